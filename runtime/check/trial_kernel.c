#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inherited.h"
#include "listener.h"
#include "privileges.h"
#include "seccomp.h"
#include "sys.h"
#include "trial.h"

void trial_proc(struct trial *trial)
{
    struct statfs type;
    char self[24] = "";

    if (statfs("/proc", &type) < 0 || type.f_type != PROC_SUPER_MAGIC) {
        trial_say(trial, TRIAL_MISSING, MEND_PROC, NULL, "/proc is no procfs");
        return;
    }
    if (readlink("/proc/self", self, sizeof self - 1) < 0 || strtol(self, NULL, 10) != getpid())
        trial_say(trial, TRIAL_MISSING, MEND_PROC, NULL, "/proc belongs to another pid namespace than bivy's");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "/proc is this pid namespace's");
}

void trial_pidfd(struct trial *trial)
{
    int pidfd = -1;
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    siginfo_t info = {0};
    pid_t own = getpid(), pid = sys_clone3(&args);
    int result;

    if (pid == 0) {
        trial_follow(own);
        for (;;)
            pause();
    }
    if (pid < 0) {
        trial_call(trial, -pid, MEND_KERNEL, NULL, "clone3 with a pidfd is refused");
        return;
    }
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    if ((result = sys_pidfd_send_signal(pidfd, SIGKILL)) < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        trial_call(trial, -result, MEND_KERNEL, NULL, "pidfd_send_signal is refused");
    } else if (poll(&end, 1, 1000) <= 0 || waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 || info.si_status != SIGKILL) {
        trial_call(trial, errno, MEND_KERNEL, NULL, "a process cannot be waited for by its pidfd");
    } else {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a process was made, killed and waited for by its pidfd");
    }
    close(pidfd);
}

void trial_close_range(struct trial *trial)
{
    int fd = fcntl(0, F_DUPFD_CLOEXEC, 3), result = fd < 0 ? 0 : sys_close_range((unsigned)fd, (unsigned)fd);
    char words[64];

    snprintf(words, sizeof words, "--pid %d --nofile=1024:1024", (int)trial->setting->caller);
    if (fd < 0)
        trial_call(trial, errno, errno == EMFILE ? MEND_LIMIT : MEND_LOOK, words, "no descriptor can be had");
    else if (result < 0)
        trial_call(trial, -result, MEND_KERNEL, NULL, "close_range is refused");
    else if (fcntl(fd, F_GETFD) >= 0)
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "close_range says it has closed a descriptor, and it is still open");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a descriptor was closed with it");
}

void trial_openat2(struct trial *trial)
{
    SYS_CLOSES int root = sys_openat2(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, PLACE_NO_LINKS);
    SYS_CLOSES int link = root < 0 ? root : sys_openat2(AT_FDCWD, "/proc/self/cwd", O_PATH | O_CLOEXEC, PLACE_NO_LINKS);

    if (root < 0)
        trial_call(trial, -root, MEND_KERNEL, NULL, "openat2 is refused");
    else if (link != -ELOOP)
        trial_say(trial, TRIAL_MISSING, MEND_KERNEL, NULL, "openat2 follows a link that it must not follow");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a path was opened, and a link refused");
}

void trial_no_new_privs(struct trial *trial)
{
    struct fault fault;

    if (privileges_lock(&fault) < 0)
        trial_fault(trial, TRIAL_MISSING, trial_mend(trial, fault.errnum, MEND_KERNEL), NULL, &fault);
    else if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "no_new_privs was set and is not");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "set, and read back");
}

void trial_seccomp(struct trial *trial)
{
    struct fault fault;

    if (privileges_lock(&fault) < 0 || seccomp_load(NULL, &fault) < 0)
        trial_fault(trial, TRIAL_MISSING, trial_mend(trial, fault.errnum, MEND_KERNEL), NULL, &fault);
    else if (seccomp_probe() < 0)
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "the filter was loaded and does not answer");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "the filter of a run was loaded, and answered");
}

/* Only --explain needs it. Under the caller's filter there can be no second one that somebody listens to (seccomp(2), EBUSY). */
void trial_explain(struct trial *trial)
{
    struct listener listener;
    struct fault fault;
    int inner = -1, asks = -1;

    if (listener_open(&listener, false, &inner, &fault) < 0 || privileges_lock(&fault) < 0 || seccomp_load(&asks, &fault) < 0) {
        trial_fault(trial, TRIAL_DEGRADED,
                    fault.errnum == EBUSY ? MEND_FILTER : trial_mend(trial, fault.errnum, fault.errnum == EINVAL ? MEND_KERNEL : MEND_NONE),
                    NULL, &fault);
        return;
    }
    sys_close(&asks); /* from here on nobody waits for an answer */
    trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "the filter of --explain was loaded, and its listener had");
}

void trial_keyring(struct trial *trial)
{
    struct fault fault;

    if (inherited_keyring(&fault) < 0)
        trial_fault(trial, TRIAL_MISSING, fault.errnum == EDQUOT ? MEND_KEYS : trial_mend(trial, fault.errnum, MEND_FILTER), NULL, &fault);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, sys_session_keyring() < 0 ? "this kernel has no keys to keep apart" : "joined");
}

/* The first limit that is lower than a run needs, as prlimit(1) would raise it for whoever starts bivy. */
static bool raise_limit(const struct trial *trial, char *words, size_t size)
{
    for (size_t i = 0; i < policy_rlimit_count; i++) {
        const struct rlimit_row *row = &policy_rlimits[i];
        struct sys_limit now;
        uint64_t soft, hard;
        plan_rlimit(&trial->draft->plan, row, &soft, &hard);
        if (hard == UINT64_MAX || sys_limit_get(row->resource, &now) < 0 || now.hard >= hard)
            continue;
        snprintf(words, size, "--pid %d --%s=%llu:%llu", (int)trial->setting->caller, row->name, (unsigned long long)hard,
                 (unsigned long long)hard);
        return true;
    }
    return false;
}

static void set_rlimits(struct trial *trial)
{
    struct fault fault;
    char words[96];
    bool low = raise_limit(trial, words, sizeof words);

    if (inherited_rlimits(&trial->draft->plan, false, &fault) < 0)
        trial_fault(trial, TRIAL_MISSING, low ? MEND_LIMIT : trial_mend(trial, fault.errnum, MEND_NONE), words, &fault);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "every resource limit of a run was set");
}

void trial_rlimits(struct trial *trial)
{
    trial_inside(trial, 0, set_rlimits); /* where root has no right to raise one either */
}

#define SLACK 60 /* s */

/* A clock that is before what is already there is wrong; one that is ahead cannot be told. */
void trial_clock(struct trial *trial)
{
    struct facts *facts = trial_room(sizeof *facts);
    struct fault fault;
    struct stat program, tree = {0};
    struct timespec now;
    time_t newest = 0;
    const char *what = "bivy itself";
    char text[64] = "?";
    struct tm parts;

    facts_start(facts);
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat("/proc/self/exe", &program) == 0)
        newest = program.st_mtime;
    if (trial->rootfs && facts_rootfs(trial->spec, facts, &fault) == 0 && fstat(facts->rootfs.fd, &tree) == 0 && tree.st_mtime > newest) {
        newest = tree.st_mtime;
        what = "the rootfs";
    }
    if (gmtime_r(&now.tv_sec, &parts))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (now.tv_sec + SLACK < newest)
        trial_say(trial, TRIAL_DEGRADED, MEND_CLOCK, NULL, "it says %s, when %s was not there yet; records would have the wrong time",
                  text, what);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%s, after %s was made", text, what);
}
