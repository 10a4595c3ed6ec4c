/* sys: system calls and constants that the C libraries lack or declare differently (musl, glibc), nothing else.
 * All return 0 or a value >= 0, or -errno; names and arguments are the kernel's, see the man page or header named. */
#ifndef BIVY_SYS_H
#define BIVY_SYS_H

#include <errno.h>
#include <linux/mount.h> /* never <sys/mount.h>: glibc's declares the same things again */
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Calls again what a signal interrupted, or a slow file system (stat(2) on FUSE gives EINTR too), not for ever. For calls that have
 * done nothing when they give EINTR; so never close(2), of which that is not known. */
#define SYS_AGAIN(call)                                                    \
    __extension__({                                                        \
        __typeof__(call) again_;                                           \
        int tries_ = 0;                                                    \
        do                                                                 \
            again_ = (call);                                               \
        while (again_ < 0 && errno == EINTR && ++tries_ < SYS_AGAIN_TRIES); \
        again_;                                                            \
    })
enum { SYS_AGAIN_TRIES = 64 };

/* Makes what the linker meant to be read-only after relocation (PT_GNU_RELRO, elf(5)) read-only: musl's start of a static program leaves
 * that to the program. For the main program only, which is position-independent. */
int sys_seal_relocations(void);

/* clone3(2); flags and the rest as in struct clone_args. Fork semantics: no CLONE_VM. 0 in the child. */
pid_t sys_clone3(struct clone_args *args);
/* O_NONBLOCK for this open file description, read back: whoever reads a pipe that only seems to have it waits beyond every deadline. */
int sys_nonblocking(int fd);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signal);
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t resolve);
/* open(2) with O_CREAT that follows no symlink anywhere in path. */
int sys_create(const char *path, uint64_t flags, mode_t mode);
int sys_open_tree(int dirfd, const char *path, unsigned flags);
int sys_move_mount(int from, int to); /* both by descriptor, empty paths */
int sys_move_mount_at(int from, int dir, const char *path);
int sys_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation);
int sys_bind(const char *from, const char *to); /* mount(2) with MS_BIND: the new mount has the flags of the one that from is on */
int sys_fsopen(const char *fstype);
int sys_fsconfig_string(int fd, const char *key, const char *value);
int sys_fsconfig_create(int fd);
int sys_fsmount(int fd, unsigned attr);
int sys_pivot_root(const char *new_root, const char *put_old);
int sys_umount_detach(const char *path);
int sys_close_range(unsigned first, unsigned last);
/* Closes every descriptor but these (a negative one stands for none), which it sorts. Nobody can do anything about a failure. */
void sys_close_others(int *fds, size_t count);
/* keyctl(2): serial number of the session keyring that counts; a new one, joined. */
int sys_session_keyring(void);
int sys_join_session_keyring(void);
int sys_seccomp_filter(const void *fprog); /* struct sock_fprog */
/* The same with SECCOMP_FILTER_FLAG_NEW_LISTENER: the listener's descriptor. Whose call was taken up is only interrupted by what kills it,
 * where the kernel can do that (Linux 5.19). */
int sys_seccomp_listener(const void *fprog);

/* Reads all of a file below dirfd (AT_FDCWD for a plain path) into buffer (size - 1 bytes at the most) and ends it with NUL. The
 * length, -errno, or -EFBIG. */
ssize_t sys_read_file(int dirfd, const char *path, char *buffer, size_t size);
/* The whole of a file of unknown size: in room where it fits, else allocated; NULL with errno (EFBIG beyond 16 MiB). To be given back
 * with sys_text_free(text, room), whichever it was. */
char *sys_read_all(const char *path, char *room, size_t size);
void sys_text_free(char *text, const char *room);
/* Writes text in one write(2), as kernel files want it. */
int sys_write_file(int dirfd, const char *path, const char *text);

/* What of an inode decides. Never asks a network file system's server (AT_STATX_DONT_SYNC), so it does not hang with it, statx(2). */
struct sys_inode {
    uint64_t device, inode;
    uid_t uid;
    gid_t gid;
    mode_t mode;
    uint32_t links;
};
int sys_inode(int dirfd, const char *path, int flags, struct sys_inode *out);
/* The same, asked of the server: a call that may wait for it for ever. */
int sys_inode_now(int fd, struct sys_inode *out);

/* Which mount a descriptor is on. Asks no server either, and is right also where that is silent or dead. */
struct sys_mount {
    uint64_t id; /* as in mountinfo */
    bool root;   /* the descriptor is that mount's root */
};
int sys_mount_of(int fd, struct sys_mount *out);

/* A stack for clone(2), with a guard below it: too deep a call is a fault, not somebody else's memory. NULL with errno. */
char *sys_stack(size_t bytes);
void sys_stack_release(char *stack, size_t bytes);

/* AddressSanitizer knows no stack but its own. */
#if defined __SANITIZE_ADDRESS__
#define SYS_SANITIZED true
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SYS_SANITIZED true
#endif
#endif
#ifndef SYS_SANITIZED
#define SYS_SANITIZED false
#endif

/* Every signal to its default action, none blocked. By the raw calls: the C libraries hide signals 32 to 34 from sigaction(3), and
 * glibc's posix_spawn(3) leaves two of these ignored in whatever it starts. */
void sys_signals_default(void);
/* None blocked. */
void sys_signals_unblock(void);

/* SCHED_OTHER, no negative niceness, I/O class none (sched(7), ioprio_set(2)). */
int sys_schedule_normally(void);
/* 0 when that is what the calling process has. */
int sys_scheduled_normally(void);
/* personality(2); 0xffffffff only asks. */
int sys_personality(unsigned long persona);

/* prlimit(2) on oneself, with the kernel's struct rlimit64 and one type for the resource, on which the C libraries differ.
 * UINT64_MAX: unlimited. */
struct sys_limit {
    uint64_t soft, hard;
};
int sys_limit_get(int resource, struct sys_limit *limit);
int sys_limit_set(int resource, const struct sys_limit *limit);

/* The names in a directory, getdents64(2): no allocation, and an answer that makes no sense is an error, not an endless loop. */
struct sys_names {
    int dir;
    long got, at;
    unsigned char type; /* of the last one: DT_DIR and so on, readdir(3) */
    _Alignas(8) char buffer[4096];
};
/* 1: *name is the next one ("." and ".." left out), valid until the next call; 0: no more; -errno. Begin with {.dir = fd}. */
int sys_next_name(struct sys_names *names, const char **name);

/* The inode of a namespace, namespaces(7); dir is a /proc/PID/ns. The link is read, not followed, which would make an inode of it in
 * the kernel. 0: it cannot be told. */
uint64_t sys_namespace(int dir, const char *name);

uint64_t sys_now(void); /* CLOCK_MONOTONIC, ns */

/* Closes *fd if it is one, and makes it -1. For __attribute__((cleanup)). */
void sys_close(int *fd);
#define SYS_CLOSES __attribute__((cleanup(sys_close)))

#endif
