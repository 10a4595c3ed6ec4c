#include "trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "mountinfo.h"
#include "privileges.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define REAP_WITHIN (500 * MS) /* after SIGKILL */
#define STOP_WITHIN (500 * MS)

void trial_say(struct trial *trial, enum trial_state state, enum mend mend, const char *argument, const char *format, ...)
{
    struct answer *answer = trial->answer;
    va_list args;

    memset(answer, 0, sizeof *answer);
    answer->state = state;
    answer->mend = argument && strlen(argument) >= sizeof answer->argument - 1 ? MEND_LOOK : mend; /* half a command is none */
    snprintf(answer->argument, sizeof answer->argument, "%s", argument ? argument : "");
    va_start(args, format);
    vsnprintf(answer->seen, sizeof answer->seen, format, args);
    va_end(args);
}

void *trial_room(size_t size)
{
    void *room = calloc(1, size);

    if (!room)
        _exit(1); /* which is what the answer then says */
    return room;
}

void trial_fault(struct trial *trial, enum trial_state state, enum mend mend, const char *argument, const struct fault *fault)
{
    bool said = mend == MEND_NONE && fault->hint[0];

    trial_say(trial, state, said ? MEND_SAID : mend, said ? fault->hint : argument, "%s%s%s%s", fault->what, fault->errnum ? " (" : "",
              fault->errnum ? errno_name(fault->errnum) : "", fault->errnum ? ")" : "");
}

enum mend trial_mend(const struct trial *trial, int error, enum mend other)
{
    if (trial->setting->where & AT_FILTERED && (error == ENOSYS || error == EPERM || error == EACCES))
        return MEND_FILTER;
    if (other == MEND_KERNEL && (error == EPERM || error == EACCES)) /* it has the call, and somebody's policy refuses it */
        return MEND_LOOK;
    return error == ENOSYS ? MEND_KERNEL : other;
}

void trial_call(struct trial *trial, int error, enum mend mend, const char *argument, const char *what)
{
    enum mend chosen = trial_mend(trial, error, mend);

    trial_say(trial, TRIAL_MISSING, chosen, argument, "%s (%s)%s", what, errno_name(error),
              chosen == MEND_FILTER ? "; bivy is under a seccomp filter of its caller's" : "");
}

/* ---- a process for it ---- */

static _Noreturn void trial_main(struct trial *trial, trial_work *work, int done, pid_t parent)
{
    trial_follow(parent);
    sys_signals_default();
    setsid(); /* so that whatever it starts can be ended with it */
    work(trial);
    _exit(write(done, "D", 1) == 1 ? 0 : 1);
}

/* What ends a program that does nothing about it, where the caller did not have it ignored. */
static void stopping(sigset_t *set)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;

    sigemptyset(set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(set, numbers[i]);
}

int trial_hold_signals(void)
{
    sigset_t set;

    stopping(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC); /* looked at, never read: the signal stays to be had */
}

bool trial_stopped(const struct trial *trial)
{
    struct pollfd one = {.fd = trial->stop, .events = POLLIN};

    return trial->stop >= 0 && poll(&one, 1, 0) > 0;
}

void trial_take_signals(void)
{
    sigset_t set;

    stopping(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* The first byte, the end of it, or the deadline. Whoever is told to stop waits only for what a trial takes to undo its work. */
static bool wait_done(int done, int stop, uint64_t deadline)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = done, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
        uint64_t now = sys_now();
        char byte;
        int turn = poll(fds, 2, now < deadline ? (int)((deadline - now) / MS + 1) : 0);
        if (turn > 0 && fds[0].revents)
            return SYS_AGAIN(read(done, &byte, 1)) == 1;
        if (turn > 0) {
            stop = -1;
            deadline = sys_now() + STOP_WITHIN < deadline ? sys_now() + STOP_WITHIN : deadline;
        }
        if (turn == 0 && sys_now() >= deadline)
            return false;
    }
}

/* Waits for it, or for any child, until then: its pid, 0 when the time is up, -1 when there is none. SIGCHLD is blocked here, so that its
 * coming can be waited for. */
static pid_t wait_until(pid_t pid, int *status, uint64_t until)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        pid_t found = waitpid(pid, status, WNOHANG);
        uint64_t now = sys_now();
        if (found != 0 || now >= until)
            return found;
        sigtimedwait(&child, NULL, &(struct timespec){.tv_nsec = (long)(until - now < REAP_WITHIN ? until - now : REAP_WITHIN)});
    }
}

static bool gone(pid_t pid, int *status)
{
    return wait_until(pid, status, sys_now() + REAP_WITHIN) != 0;
}

/* Everything that is left of its session goes; what came to us as its heir (check.c) is reaped too. Its wait status, or -1. */
static int reap(pid_t pid, bool late)
{
    int status = 0;
    bool went = !late && gone(pid, &status);

    kill(-pid, SIGKILL);
    if (!went) {
        kill(pid, SIGKILL);
        went = gone(pid, &status);
    }
    /* All of them: a namespace's first process may take a while to die, and what comes after us would have to reap it. */
    for (uint64_t until = sys_now() + REAP_WITHIN; wait_until(-1, NULL, until) > 0;)
        ;
    return went ? status : -1;
}

int trial_run(struct trial *trial, trial_work *work, uint64_t deadline)
{
    int ends[2], status;
    sigset_t child;
    bool done;
    pid_t pid, parent = getpid();

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    trial_say(trial, TRIAL_MISSING, MEND_NONE, NULL, "the trial ended without an answer");
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        trial_main(trial, work, ends[1], parent);
    }
    status = -errno;
    close(ends[1]);
    SYS_CLOSES int end = ends[0];
    if (pid < 0)
        return status;
    uint64_t begun = sys_now();
    done = wait_done(end, trial->stop, deadline);
    bool late = !done && sys_now() >= deadline;
    status = reap(pid, late);
    if (late)
        trial_say(trial, TRIAL_MISSING, MEND_SAID, "find out who holds it: cat /proc/PID/stack of what hangs", "no answer within %u s%s",
                  (unsigned)((sys_now() - begun) / (1000 * MS)), status < 0 ? "; its process does not even go when it is killed" : "");
    else if (!done && status >= 0 && WIFSIGNALED(status))
        trial_say(trial, TRIAL_MISSING, WTERMSIG(status) == SIGSYS ? MEND_FILTER : MEND_LOOK, NULL, "the trial was killed by signal %d%s",
                  WTERMSIG(status), WTERMSIG(status) == SIGSYS ? ": a seccomp filter of the caller's" : "");
    return 0;
}

bool trial_mount_line(int fd, char *text, struct mountinfo *mount)
{
    struct sys_mount where;

    if (sys_mount_of(fd, &where) < 0)
        return false;
    for (char *cursor = text; cursor && mountinfo_next(&cursor, mount) > 0;)
        if (mount->id == where.id)
            return true;
    return false;
}

/* ---- decided as for a run ---- */

int trial_draft(struct trial *trial, bool cgroup, struct draft *draft, struct fault *fault)
{
    static char *const command[] = {(char *)(uintptr_t) "/bin/true", NULL};
    struct spec *spec = &draft->spec;
    int result;

    *spec = *trial->spec;
    spec->verb = VERB_RUN;
    spec->workspace = spec->workspace_root = spec->user_id = NULL;
    spec->argv = (char **)(uintptr_t)command;
    if (!cgroup)
        spec->cgroup_parent = "/";
    facts_start(&draft->facts);
    if ((result = facts_host(&draft->facts, fault)) < 0 && (cgroup || fault->stage != STAGE_CGROUP))
        return result;
    return plan_make(spec, &draft->facts, "000000000000", getenv, &draft->plan, fault);
}

/* ---- inside ---- */

/* Joining the mount namespace that one is in leads out of a chroot (setns(2)), which only root may do. For others: mountinfo leaves out
 * what lies outside the root, so "/" itself too where that is no mount. */
static bool chrooted(char *mountinfo)
{
    SYS_CLOSES int before = SYS_AGAIN(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    SYS_CLOSES int space = SYS_AGAIN(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
    struct sys_mount was, is;
    struct mountinfo mount;
    bool top = false;

    if (before >= 0 && space >= 0 && setns(space, CLONE_NEWNS) == 0) {
        SYS_CLOSES int after = SYS_AGAIN(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        struct sys_inode old, new;
        return after >= 0 && sys_mount_of(before, &was) == 0 && sys_mount_of(after, &is) == 0 &&
               sys_inode(before, "", AT_EMPTY_PATH, &old) == 0 && sys_inode(after, "", AT_EMPTY_PATH, &new) == 0 &&
               (was.id != is.id || old.inode != new.inode);
    }
    while (mountinfo && !top && mountinfo_next(&mountinfo, &mount) > 0)
        top = !strcmp(mount.target, "/");
    return mountinfo && !top;
}

static bool reads(const char *path, char value)
{
    char text[8];

    return sys_read_file(AT_FDCWD, path, text, sizeof text) > 0 && text[0] == value && text[1] == '\n';
}

void trial_refused(struct trial *trial, int error, uint64_t flags)
{
    const char *name = "user";
    char sysctl[64];
    struct facts *facts = trial_room(sizeof *facts);
    struct fault fault;

    for (size_t i = 0; i < POLICY_NAMESPACES; i++)
        if (flags & policy_namespaces[i].flag)
            name = policy_namespaces[i].name;
    snprintf(sysctl, sizeof sysctl, "user.max_%s_namespaces=15000", name);
    facts_start(facts);
    facts_mounts(facts, &fault);
    if (error == ENOSPC || error == EUSERS)
        trial_say(trial, TRIAL_MISSING, MEND_SYSCTL, sysctl,
                  "no %s namespace (%s): user.max_%s_namespaces is used up, here or in a namespace above",
                  name, errno_name(error), name);
    else if (error == EINVAL)
        trial_say(trial, TRIAL_MISSING, MEND_KERNEL, NULL, "this kernel has no %s namespaces (EINVAL)", name);
    else if (error == EPERM && flags == 0 && chrooted(facts->mountinfo))
        trial_say(trial, TRIAL_MISSING, MEND_CHROOT, NULL, "no user namespace (EPERM): bivy is in a chroot, where the kernel allows none");
    else if (error == EPERM && trial->setting->where & AT_USER && reads("/proc/sys/kernel/unprivileged_userns_clone", '0'))
        trial_say(trial, TRIAL_MISSING, MEND_SYSCTL, "kernel.unprivileged_userns_clone=1",
                  "no user namespace (EPERM): users may make none");
    else
        trial_call(trial, error, MEND_USERNS, NULL, "no new namespace: clone3 refuses");
    facts_release(facts);
}

/* A map of user_namespaces(7): the largest id that it has, where its root is outside, and whether it has every id there is. */
struct map {
    uint64_t largest, root;
    bool whole;
};

static struct map read_map(const char *path)
{
    struct map map = {0};
    char text[8 * 1024];

    if (sys_read_file(AT_FDCWD, path, text, sizeof text) <= 0)
        return map;
    for (char *at = text; *at;) { /* first, outside, count */
        uint64_t first = strtoull(at, &at, 10), outside = strtoull(at, &at, 10), count = strtoull(at, &at, 10);
        if (*at++ != '\n')
            break;
        if (count > 0 && first + count - 1 > map.largest)
            map.largest = first + count - 1;
        if (first == 0)
            map.root = outside;
        map.whole = map.whole || count == UINT32_MAX;
    }
    return map;
}

bool trial_stranger(uid_t uid)
{
    char text[16];

    return !read_map("/proc/self/uid_map").whole && sys_read_file(AT_FDCWD, "/proc/sys/kernel/overflowuid", text, sizeof text) > 0 &&
           strtoull(text, NULL, 10) == uid;
}

uid_t trial_own_outside(bool *foreign)
{
    struct map map = read_map("/proc/self/uid_map");

    *foreign = !map.whole;
    return (uid_t)map.root;
}

static void no_ids(struct trial *trial, const struct fault *fault)
{
    struct map users = read_map("/proc/self/uid_map"), groups = read_map("/proc/self/gid_map");
    uint64_t id = users.largest < groups.largest ? users.largest : groups.largest;
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    if (fault->errnum == EROFS)
        trial_fault(trial, TRIAL_MISSING, MEND_COMMAND, "mount -o remount,bind,rw /proc", fault);
    else if (fault->stage != STAGE_IDMAP || !(trial->setting->where & AT_ROOT) || users.whole)
        trial_fault(trial, TRIAL_MISSING, trial_mend(trial, fault->errnum, MEND_LOOK), NULL, fault);
    else
        trial_fault(trial, TRIAL_MISSING, id > 0 ? MEND_IDS : MEND_NO_IDS, text, fault);
}

static _Noreturn void inside_main(struct trial *trial, trial_work *work, int go)
{
    struct fault fault;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (SYS_AGAIN(read(go, &byte, 1)) != 1)
        _exit(1);
    if (privileges_ids(&fault) < 0)
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
    else
        work(trial);
    _exit(0);
}

void trial_follow(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent)
        _exit(1); /* it died just before */
}

void trial_inside(struct trial *trial, uint64_t flags, trial_work *work)
{
    struct draft *draft = trial_room(sizeof *draft);
    struct clone_args args = {.flags = CLONE_NEWUSER | flags, .exit_signal = SIGCHLD};
    struct fault fault;
    int ends[2];
    pid_t pid;

    if (trial_draft(trial, false, draft, &fault) < 0) {
        bool rights = fault.stage == STAGE_PLAN && fault.errnum == EPERM, group = trial->setting->uid != 0 && trial->setting->gid == 0;
        char id[16];
        snprintf(id, sizeof id, "%u", trial->setting->uid);
        trial_fault(trial, TRIAL_MISSING, rights && group                       ? MEND_GROUP
                                          : rights && trial->setting->uid == 0 ? MEND_RIGHTS
                                                                               : MEND_NONE, id, &fault);
        return;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        trial_call(trial, errno, MEND_NONE, NULL, "no pipe");
        return;
    }
    trial->draft = draft;
    pid = sys_clone3(&args);
    if (pid == 0) {
        close(ends[1]);
        inside_main(trial, work, ends[0]);
    }
    close(ends[0]);
    SYS_CLOSES int go = ends[1];
    if (pid < 0) {
        trial_refused(trial, -pid, flags);
        return;
    }
    if (launch_maps(&draft->plan, pid, &fault) < 0)
        no_ids(trial, &fault);
    else if (SYS_AGAIN(write(go, "G", 1)) != 1)
        trial_say(trial, TRIAL_MISSING, MEND_NONE, NULL, "the process in the new namespaces is gone");
    sys_close(&go);
    waitpid(pid, NULL, 0); /* the trial's deadline ends this */
}
