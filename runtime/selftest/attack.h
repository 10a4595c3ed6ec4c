/* attack: what the attacks of `bivy selftest` share, and their list. Private to this folder.
 * An attacker's view: nothing here asks what bivy planned. Names, numbers and lists are written down a second time on
 * purpose; an attack that looked up in policy.c what it should find would agree with a hole in it.
 */
#ifndef BIVY_SELFTEST_ATTACK_H
#define BIVY_SELFTEST_ATTACK_H

#include <stdbool.h>
#include <stddef.h>

/* Calls that C libraries older than the kernel have no number for; the same on every architecture from 424 on. */
enum {
    CALL_IO_URING_SETUP = 425,
    CALL_IO_URING_ENTER = 426,
    CALL_IO_URING_REGISTER = 427,
    CALL_OPEN_TREE = 428,
    CALL_MOVE_MOUNT = 429,
    CALL_FSOPEN = 430,
    CALL_FSCONFIG = 431,
    CALL_FSMOUNT = 432,
    CALL_FSPICK = 433,
    CALL_PIDFD_OPEN = 434,
    CALL_CLONE3 = 435,
    CALL_PIDFD_GETFD = 438,
    CALL_PROCESS_MADVISE = 440,
    CALL_MOUNT_SETATTR = 442,
    CALL_QUOTACTL_FD = 443,
    CALL_MEMFD_SECRET = 447,
    CALL_PROCESS_MRELEASE = 448,
    CALL_CACHESTAT = 451,
    CALL_STATMOUNT = 457,
    CALL_LISTMOUNT = 458,
    CALL_LSM_GET_SELF_ATTR = 459,
    CALL_OPEN_TREE_ATTR = 467,
};

#define PATIENCE 10000 /* ms for one attack */
#define ALL_CAPABILITIES 64

enum verdict { REFUSED, GOT, SKIPPED };

/* What an attacking process leaves for the one that reports: a shared page, for a descriptor would spoil the attack on
 * descriptors. */
struct finding {
    volatile int finished; /* stays 0 when the process dies on the way */
    volatile int verdict;
    char text[256];
};
extern struct finding *finding;

/* The attacker got something; he could not try. Both with the reason, for people. */
__attribute__((format(printf, 1, 2))) int got(const char *format, ...);
__attribute__((format(printf, 1, 2))) int skip(const char *format, ...);
/* An attempt that must answer -1 with exactly this errno: another one means that another layer refused, or a lower one
 * was reached. */
int refused(const char *what, long result, int error);
/* Whatever the reason, as long as it did not work. */
int failed(const char *what, long result);
/* Gives the first one that is not REFUSED. Every argument is an attempt, made whatever came of those before. */
int first(const int *verdicts, size_t count);
#define EACH(...) first((const int[]){__VA_ARGS__}, sizeof(int[]){__VA_ARGS__} / sizeof(int))
/* 0 and the text, or -1 with errno. */
int slurp(const char *path, char *text, size_t size);
/* The value behind "Name:" in /proc/self/status. */
bool status_value(const char *status, const char *name, int base, unsigned long long *value);
size_t count_lines(const char *text);
/* Ends a clone(2) that came into being after all. */
_Noreturn void leave_quietly(void);

/* The attacks, each in a process of its own; they give a verdict. */
/* namespaces and mounts */
int attack_unshare(void);
int attack_clone(void);
int attack_clone3(void);
int attack_setns(void);
int attack_more_user_namespaces(void);
int attack_mount(void);
int attack_mount_cgroup(void);
int attack_umount(void);
int attack_mount_api(void);
int attack_roots(void);
int attack_dots(void);
int attack_mount_list(void);
int attack_masks(void);
/* files: the rootfs, /proc and /dev, file handles, pages */
int attack_create(void);
int attack_proc_files(void);
int attack_every_file(void);
int attack_metadata(void);
int attack_device_nodes(void);
int attack_devices(void);
int attack_rename(void);
int attack_handles(void);
int attack_set_id_files(void);
int attack_page_cache(void);
/* other processes */
int attack_pid_1_files(void);
int attack_process_list(void);
int attack_ptrace(void);
int attack_process_memory(void);
int attack_pid_1_signals(void);
/* the kernel's side doors: sockets, terminals, other entries, the filter */
int attack_sockets(void);
int attack_socket_options(void);
int attack_terminal(void);
int attack_callers_terminal(void);
int attack_personality(void);
int attack_int_80(void);
int attack_x32(void);
int attack_huge_pages(void);
int attack_filter(void);
/* privileges */
int attack_ids(void);
int attack_id_maps(void);
int attack_capability_sets(void);
int attack_capset(void);
int attack_ambient(void);
int attack_securebits(void);
/* network, neighbours, and what crossed over from the caller */
int attack_connect(void);
int attack_links(void);
int attack_sockets_of_others(void);
int attack_ipc_of_others(void);
int attack_host_name(void);
int attack_cgroup(void);
int attack_descriptors(void);
int attack_inherited(void);
int attack_environment(void);
/* limits */
int attack_rlimits(void);
int attack_priority(void);
int attack_locked_memory(void);
int attack_process_limit(void);
int attack_scratch_limit(void);
int attack_terminal_limit(void);
int attack_timer_limit(void);

#endif
