#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys.h"

#define KEYRING_TRIES 2000 /* of 5 ms */

/* What fork hands on besides descriptors and would make one caller's sandbox another than the next one's: scheduling class,
 * personality (no ASLR under `setarch -R`), I/O class, timer slack, protection from the OOM killer. A niceness above 0 stays: it is
 * how a caller says that something matters less, and only a privileged caller could undo it. */
int inherited_shed(struct fault *fault)
{
    char score[16];
    int result;

    if ((result = sys_schedule_normally()) < 0)
        return fault_set(fault, STAGE_INHERITED, -result, "start bivy with ordinary scheduling",
                         "the caller's scheduling class or I/O class cannot be given up");
    if (sys_personality(0) < 0 || sys_personality(0xffffffff) != 0)
        return fault_set(fault, STAGE_INHERITED, EPERM, NULL, "the caller's personality cannot be given up");
    if (prctl(PR_SET_TIMERSLACK, POLICY_TIMER_SLACK, 0, 0, 0) < 0 || prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) != POLICY_TIMER_SLACK)
        return fault_set(fault, STAGE_INHERITED, EPERM, NULL, "the caller's timer slack cannot be given up");
    if (sys_read_file(AT_FDCWD, "/proc/self/oom_score_adj", score, sizeof score) <= 0)
        return fault_set(fault, STAGE_INHERITED, ENODATA, "mount /proc", "/proc/self/oom_score_adj: cannot be read");
    if (score[0] == '-' && ((result = sys_write_file(AT_FDCWD, "/proc/self/oom_score_adj", "0")) < 0 ||
                            sys_read_file(AT_FDCWD, "/proc/self/oom_score_adj", score, sizeof score) <= 0 || score[0] == '-'))
        return fault_set(fault, STAGE_INHERITED, result < 0 ? -result : EPERM, NULL, "protection from the OOM killer cannot be given up");
    return 0;
}

int inherited_keyring(struct fault *fault)
{
    int before = sys_session_keyring(), joined = sys_join_session_keyring();

    /* The keyrings of sandboxes that have ended count until the kernel's collector has come by, which on a busy host takes its time.
     * --timeout ends this anyway. */
    for (int tries = 0; joined == -EDQUOT && tries < KEYRING_TRIES; tries++) {
        poll(NULL, 0, 5);
        joined = sys_join_session_keyring();
    }
    /* A kernel without keys has nothing to keep apart. */
    if (joined == -ENOSYS && before == -ENOSYS && SYS_AGAIN(faccessat(AT_FDCWD, "/proc/keys", F_OK, 0)) < 0)
        return 0;
    if (joined <= 0)
        return fault_set(fault, STAGE_KEYRING, -joined,
                         joined == -EDQUOT ? "raise sysctl kernel.keys.maxkeys: every live sandbox of a user holds one" : NULL,
                         "no new session keyring can be made");
    if (joined == before || sys_session_keyring() != joined)
        return fault_set(fault, STAGE_KEYRING, EPROTO, NULL, "the session keyring is still the caller's");
    return 0;
}

static int set_rlimit(const struct plan *plan, const struct rlimit_row *row, struct fault *fault)
{
    uint64_t soft, hard;
    plan_rlimit(plan, row, &soft, &hard);
    struct sys_limit limit = {soft, hard}, now;
    int result = sys_limit_set(row->resource, &limit);

    /* Only who has CAP_SYS_RESOURCE on the host may raise a hard limit; the soft one is raised as far as that allows where
     * the sandbox is none the worse for it: the cgroup limits memory, processes and time. */
    if (result == -EPERM && hard == UINT64_MAX && sys_limit_get(row->resource, &now) == 0) {
        limit.soft = soft > now.hard ? now.hard : soft;
        limit.hard = now.hard;
        result = sys_limit_set(row->resource, &limit);
    }
    if (result == 0)
        return 0;
    return fault_set(fault, STAGE_RLIMITS, -result, "raise the hard limit of whoever starts bivy (ulimit -H), or give root CAP_SYS_RESOURCE",
                     "resource limit %s cannot be set to %llu: the caller's hard limit is lower", row->name, (unsigned long long)hard);
}

/* With --explain that of open files comes last: it is what the kernel compares with the descriptors that the user has under way
 * (unix(7), ETOOMANYREFS), and another sandbox of his could have so many that the listener's found no room. */
static bool comes_late(const struct plan *plan, const struct rlimit_row *row)
{
    return plan->explain && row->resource == RLIMIT_NOFILE;
}

int inherited_rlimits(const struct plan *plan, bool late, struct fault *fault)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < policy_rlimit_count; i++)
        if (comes_late(plan, &policy_rlimits[i]) == late)
            result = set_rlimit(plan, &policy_rlimits[i], fault);
    return result;
}
