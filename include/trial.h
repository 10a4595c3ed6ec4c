/* trial: one need of a sandbox tried by doing it, in a process of its own under a deadline, so that nothing of it is left and nothing
 * it does to a process (a filter, a keyring, lower limits) stays. `bivy check` is a table of these. */
#ifndef BIVY_TRIAL_H
#define BIVY_TRIAL_H

#include <stdint.h>

#include "facts.h"
#include "fault.h"
#include "mends.h"
#include "mountinfo.h"
#include "outcome.h"
#include "plan.h"
#include "setting.h"
#include "spec.h"

enum trial_state { TRIAL_OK, TRIAL_DEGRADED, TRIAL_MISSING };

struct answer {
    enum trial_state state;
    enum mend mend;
    char seen[640];
    char argument[2048]; /* of the mend */
};

/* One whole run of spec's command, without a record and without printing. */
typedef void trial_whole_run(const struct spec *spec, struct outcome *outcome);

struct trial {
    const struct spec *spec;       /* of the check */
    const struct setting *setting;
    trial_whole_run *run;
    bool rootfs;                   /* there is one that can be used */
    int number;                    /* what the table's row says besides: a namespace, a limit, ... */
    struct draft *draft;           /* in trial_inside */
    struct answer *answer;         /* shared with the processes below */
    int stop;                      /* trial_hold_signals */
};
typedef void trial_work(struct trial *trial);

/* Does work in a process of its own and waits for it until deadline (sys_now() scale). 0: *trial->answer is filled, also where the
 * process was killed or did not end. -errno: no process. Ends every process that work has left in its session. */
int trial_run(struct trial *trial, trial_work *work, uint64_t deadline);

/* Before the first trial: SIGINT, SIGTERM and SIGHUP wait until the trial under way has undone what it made. A descriptor for struct trial,
 * or -1. Then, after each: have we been told to stop? And, when all is put away: now they may end us. */
int trial_hold_signals(void);
bool trial_stopped(const struct trial *trial);
void trial_take_signals(void);

/* In a trial: does work in a child in a new user namespace with flags' namespaces besides (CLONE_NEW*), as the sandbox's user with all
 * capabilities there, its ids mapped as a run would. What goes wrong on the way there is the answer. */
void trial_inside(struct trial *trial, uint64_t flags, trial_work *work);

/* In a child that waits for its end: it ends with its parent, at the latest. */
void trial_follow(pid_t parent);

/* Fills the answer. Gives nothing back; a later call replaces an earlier one. */
void trial_say(struct trial *trial, enum trial_state state, enum mend mend, const char *argument, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same from a fault: its words, and mend, or where that is MEND_NONE the fault's own hint. */
void trial_fault(struct trial *trial, enum trial_state state, enum mend mend, const char *argument, const struct fault *fault);
/* A system call that failed: a filter, an old kernel, or mend. */
void trial_call(struct trial *trial, int error, enum mend mend, const char *argument, const char *what);
/* clone3 with flags' namespaces and a user namespace failed. */
void trial_refused(struct trial *trial, int error, uint64_t flags);
/* The line of mountinfo's text for the mount that fd is on; its strings are in text, which must outlive it. */
bool trial_mount_line(int fd, char *text, struct mountinfo *mount);
/* May an owner that shows as nobody be anybody? In a user namespace that does not have every id: one that is not of it shows so. */
bool trial_stranger(uid_t uid);
/* The user that root of bivy's user namespace is outside of it. *foreign: that namespace is not the machine's first one. */
uid_t trial_own_outside(bool *foreign);
/* In a trial: memory, all zero, for as long as the process lives. Static memory would count against every run's RLIMIT_DATA, and what holds
 * paths is too large for a small stack. */
void *trial_room(size_t size);
/* Which mend an errno of a system call asks for: MEND_FILTER, MEND_KERNEL, or the one given. */
enum mend trial_mend(const struct trial *trial, int error, enum mend other);

/* In a trial: what a run without a workspace would be decided to be. cgroup: with its cgroup parent. Facts and plan live as long as
 * the process. 0 or -errno with *fault. */
struct draft {
    struct spec spec;
    struct facts facts;
    struct plan plan;
};
int trial_draft(struct trial *trial, bool cgroup, struct draft *draft, struct fault *fault);

/* --- The trials, in the files of their subject; check.c says what each is. --- */

/* trial_kernel.c */
trial_work trial_proc, trial_pidfd, trial_close_range, trial_openat2, trial_no_new_privs, trial_seccomp, trial_explain, trial_keyring,
    trial_rlimits, trial_clock;
/* trial_devices.c */
trial_work trial_devices, trial_kernel_log;
/* trial_namespaces.c */
trial_work trial_user, trial_capabilities, trial_limits, trial_ids, trial_namespace, trial_mount_calls, trial_tmpfs, trial_procfs,
    trial_devpts, trial_netlink;
/* trial_cgroup.c */
trial_work trial_cgroup2, trial_parent, trial_limit, trial_enter, trial_kill, trial_readings;
/* trial_places.c */
trial_work trial_rootfs, trial_rootfs_safe, trial_workspace, trial_workspace_mount, trial_sandbox;

#endif
