#include "sys.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define READ_MOST ((size_t)16 << 20)
#define SYS_MNT_DETACH 2 /* umount2(2) */
#define SYS_MS_BIND 4096 /* mount(2) */

static int result(long value)
{
    return value < 0 ? -errno : (int)value;
}

#define AGAIN(call) result(SYS_AGAIN(call))

int sys_seal_relocations(void)
{
    extern const char __ehdr_start[] __attribute__((visibility("hidden"))); /* the linker puts it where the file begins */
    const ElfW(Ehdr) *file = (const void *)__ehdr_start;
    const ElfW(Phdr) *part = (const void *)(__ehdr_start + file->e_phoff);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    for (size_t i = 0; i < file->e_phnum; i++) {
        uintptr_t begin = (uintptr_t)__ehdr_start + part[i].p_vaddr, end = begin + part[i].p_memsz;
        if (part[i].p_type == PT_GNU_RELRO)
            return AGAIN(mprotect((void *)(begin & -page), (end & -page) - (begin & -page), PROT_READ));
    }
    return -ENOEXEC;
}

pid_t sys_clone3(struct clone_args *args)
{
    return (pid_t)AGAIN(syscall(SYS_clone3, args, sizeof *args));
}

int sys_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_NONBLOCK ? 0 : -EIO;
}

int sys_pidfd_open(pid_t pid)
{
    return result(syscall(SYS_pidfd_open, pid, 0));
}

int sys_pidfd_send_signal(int pidfd, int signal)
{
    return result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

static int open_how(int dirfd, const char *path, struct open_how how)
{
    int fd;

    /* EAGAIN: a rename raced with the walk (openat2(2)); EINTR: a slow file system. Both are worth another try, not for ever. */
    for (int tries = 0; tries < 64; tries++) {
        fd = result(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
        if (fd != -EAGAIN && fd != -EINTR)
            break;
    }
    return fd;
}

int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
    return open_how(dirfd, path, (struct open_how){.flags = flags, .resolve = resolve});
}

int sys_create(const char *path, uint64_t flags, mode_t mode)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return open_how(AT_FDCWD, path, how);
}

int sys_open_tree(int dirfd, const char *path, unsigned flags)
{
    return AGAIN(syscall(SYS_open_tree, dirfd, path, flags));
}

int sys_move_mount(int from, int to)
{
    return AGAIN(syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int sys_move_mount_at(int from, int dir, const char *path)
{
    return AGAIN(syscall(SYS_move_mount, from, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH));
}

int sys_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
    struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};

    return AGAIN(syscall(SYS_mount_setattr, fd, path, flags, &attr, sizeof attr));
}

int sys_bind(const char *from, const char *to)
{
    return AGAIN(syscall(SYS_mount, from, to, NULL, (unsigned long)SYS_MS_BIND, NULL));
}

int sys_fsopen(const char *fstype)
{
    return AGAIN(syscall(SYS_fsopen, fstype, FSOPEN_CLOEXEC));
}

int sys_fsconfig_string(int fd, const char *key, const char *value)
{
    return AGAIN(syscall(SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0));
}

int sys_fsconfig_create(int fd)
{
    return AGAIN(syscall(SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

int sys_fsmount(int fd, unsigned attr)
{
    return AGAIN(syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attr));
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
    return AGAIN(syscall(SYS_pivot_root, new_root, put_old));
}

int sys_umount_detach(const char *path)
{
    return AGAIN(syscall(SYS_umount2, path, SYS_MNT_DETACH));
}

int sys_close_range(unsigned first, unsigned last)
{
    return AGAIN(syscall(SYS_close_range, first, last, 0));
}

void sys_close_others(int *fds, size_t count)
{
    unsigned from = 0;

    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && fds[k] < fds[k - 1]; k--) {
            int swap = fds[k];
            fds[k] = fds[k - 1];
            fds[k - 1] = swap;
        }
    for (size_t i = 0; i < count; i++) {
        if (fds[i] < 0)
            continue;
        if ((unsigned)fds[i] > from)
            sys_close_range(from, (unsigned)fds[i] - 1);
        from = (unsigned)fds[i] + 1;
    }
    sys_close_range(from, ~0u);
}

int sys_session_keyring(void)
{
    return result(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
}

int sys_join_session_keyring(void)
{
    return result(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
}

int sys_seccomp_filter(const void *fprog)
{
    return result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, fprog));
}

int sys_seccomp_listener(const void *fprog)
{
    int fd = result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                            fprog));

    return fd == -EINVAL ? result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, fprog)) : fd;
}

static ssize_t read_text(int fd, char *buffer, size_t size)
{
    size_t length = 0;

    for (;;) {
        if (length + 1 >= size)
            return -EFBIG;
        ssize_t got = read(fd, buffer + length, size - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    buffer[length] = '\0';
    return (ssize_t)length;
}

ssize_t sys_read_file(int dirfd, const char *path, char *buffer, size_t size)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY));

    return fd < 0 ? -errno : read_text(fd, buffer, size);
}

char *sys_read_all(const char *path, char *room, size_t size)
{
    ssize_t got = sys_read_file(AT_FDCWD, path, room, size);
    char *text = room;

    while (got == -EFBIG && size < READ_MOST) {
        sys_text_free(text, room);
        size *= 4;
        text = malloc(size);
        if (!text)
            return NULL;
        got = sys_read_file(AT_FDCWD, path, text, size);
    }
    if (got >= 0)
        return text;
    sys_text_free(text, room);
    errno = (int)-got;
    return NULL;
}

void sys_text_free(char *text, const char *room)
{
    if (text != room)
        free(text);
}

int sys_write_file(int dirfd, const char *path, const char *text)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY));
    size_t length = 0;
    ssize_t put;

    if (fd < 0)
        return -errno;
    while (text[length])
        length++;
    put = SYS_AGAIN(write(fd, text, length));
    if (put < 0)
        return -errno;
    return (size_t)put == length ? 0 : -EIO;
}

static int inode(int dirfd, const char *path, int flags, struct sys_inode *out)
{
    struct statx now;
    int error = AGAIN(syscall(SYS_statx, dirfd, path, flags, STATX_BASIC_STATS, &now));

    if (error < 0)
        return error;
    *out = (struct sys_inode){
        .device = makedev(now.stx_dev_major, now.stx_dev_minor),
        .inode = now.stx_ino,
        .uid = now.stx_uid,
        .gid = now.stx_gid,
        .mode = now.stx_mode,
        .links = now.stx_nlink,
    };
    return 0;
}

int sys_inode(int dirfd, const char *path, int flags, struct sys_inode *out)
{
    return inode(dirfd, path, flags | AT_STATX_DONT_SYNC, out);
}

int sys_inode_now(int fd, struct sys_inode *out)
{
    return inode(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, out);
}

int sys_mount_of(int fd, struct sys_mount *out)
{
    struct statx now;
    int error = AGAIN(syscall(SYS_statx, fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &now));

    if (error < 0)
        return error;
    if (!(now.stx_mask & STATX_MNT_ID) || !(now.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
        return -ENOSYS;
    *out = (struct sys_mount){.id = now.stx_mnt_id, .root = now.stx_attributes & STATX_ATTR_MOUNT_ROOT};
    return 0;
}

#define GUARD ((size_t)64 * 1024) /* a page of any size */

char *sys_stack(size_t bytes)
{
    char *whole = mmap(NULL, GUARD + bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (whole == MAP_FAILED)
        return NULL;
    if (mprotect(whole + GUARD, bytes, PROT_READ | PROT_WRITE) == 0)
        return whole + GUARD;
    munmap(whole, GUARD + bytes);
    return NULL;
}

void sys_stack_release(char *stack, size_t bytes)
{
    if (stack)
        munmap(stack - GUARD, GUARD + bytes);
}

void sys_signals_default(void)
{
    /* The kernel's struct sigaction and sigset_t, whose layout differs by architecture; SIG_DFL, no flags, nothing masked: all 0. */
    static const unsigned long action[8];

    for (int number = 1; number <= 64; number++)
        if (number != SIGKILL && number != SIGSTOP)
            syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
    sys_signals_unblock();
}

void sys_signals_unblock(void)
{
    static const uint64_t none;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

/* The raw calls: musl's sched_setscheduler(3) refuses, because POSIX means something else by it. */
static int scheduler(void)
{
    return result(syscall(SYS_sched_getscheduler, 0));
}

static int niceness(void)
{
    return 20 - result(syscall(SYS_getpriority, 0, 0)); /* the kernel's own answer is 20 - nice, never negative */
}

int sys_schedule_normally(void)
{
    static const int no_priority[1] = {0}; /* struct sched_param */
    int error;

    if (scheduler() != 0 && (error = result(syscall(SYS_sched_setscheduler, 0, 0, no_priority))) < 0)
        return error;
    if (niceness() < 0 && (error = result(syscall(SYS_setpriority, 0, 0, 0))) < 0)
        return error;
    if ((error = result(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)))) < 0)
        return error;
    return sys_scheduled_normally();
}

int sys_scheduled_normally(void)
{
    return scheduler() == 0 && niceness() >= 0 ? 0 : -EPERM;
}

int sys_personality(unsigned long persona)
{
    return result(syscall(SYS_personality, persona));
}

int sys_limit_get(int resource, struct sys_limit *limit)
{
    return result(syscall(SYS_prlimit64, 0, resource, NULL, limit));
}

int sys_limit_set(int resource, const struct sys_limit *limit)
{
    return result(syscall(SYS_prlimit64, 0, resource, limit, NULL));
}

int sys_next_name(struct sys_names *names, const char **name)
{
    const struct entry { /* struct linux_dirent64 */
        uint64_t inode;
        int64_t offset;
        unsigned short length;
        unsigned char type;
        char name[];
    } *entry;

    do {
        if (names->at >= names->got) {
            names->got = AGAIN(syscall(SYS_getdents64, names->dir, names->buffer, sizeof names->buffer));
            names->at = 0;
            if (names->got <= 0)
                return (int)names->got;
        }
        entry = (const struct entry *)(const void *)(names->buffer + names->at);
        if (entry->length < sizeof *entry || entry->length > names->got - names->at)
            return -EPROTO;
        names->at += entry->length;
    } while (entry->name[0] == '.' && (!entry->name[1] || (entry->name[1] == '.' && !entry->name[2])));
    *name = entry->name;
    names->type = entry->type;
    return 1;
}

uint64_t sys_namespace(int dir, const char *name)
{
    char link[64], *number, *end;
    ssize_t got = SYS_AGAIN(readlinkat(dir, name, link, sizeof link - 1));
    unsigned long long inode;

    if (got <= 0)
        return 0;
    link[got] = '\0';
    number = strchr(link, '['); /* "mnt:[4026531841]" */
    if (!number)
        return 0;
    inode = strtoull(number + 1, &end, 10);
    return *end == ']' ? inode : 0;
}

uint64_t sys_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sys_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
