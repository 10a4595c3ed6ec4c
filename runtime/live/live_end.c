#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "live_process.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)

#define HOLDER_WITHIN (2 * SECOND) /* a bivy that has made its leaf and not yet its sandbox is not found by it */

/* The holder by a descriptor that was opened before it was looked at: its number cannot have become somebody else's meanwhile. */
static int open_holder(const struct hierarchies *cgroups, const char *path, const char *id, pid_t *holder, struct fault *fault)
{
    uint64_t by = sys_now() + HOLDER_WITHIN;

    for (;;) {
        struct live live;
        int held = 0, result = live_find(cgroups, path, id, &live, fault);
        SYS_CLOSES int leaf = live.leaf;
        SYS_CLOSES int pidfd = result == 0 && live.holder ? sys_pidfd_open(live.holder) : -1;
        if (result < 0)
            return result;
        if (live.state == LIVE_STALE)
            return live_stale(&live, fault);
        *holder = live.holder;
        if (pidfd >= 0 && (held = live_process_holds(live.holder, leaf)) == 1)
            return fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
        if (live.owner != geteuid() && geteuid() != 0)
            return fault_set(fault, STAGE_CGROUP, EPERM, "as that user, or as root", "sandbox %.32s is user %u's", id, live.owner);
        if (sys_now() >= by)
            return fault_set(fault, STAGE_CGROUP, ESRCH, "is it in another pid namespace, or does a /proc mounted with hidepid hide it?",
                             "who runs sandbox %.32s cannot be found", id);
        poll(NULL, 0, 5);
    }
}

#define LEAF_WITHIN (500 * MS)  /* for a leaf to go once nobody holds it */
#define STOPPED_FOR (1000 * MS) /* a holder that was told to go on, and is not, has stopped again */

static bool is_there(const struct hierarchies *cgroups, const char *path, const char *id)
{
    struct live live;
    struct fault unused;
    int result = live_find(cgroups, path, id, &live, &unused);

    live_release(&live);
    return result == 0;
}

enum end { GONE, LEFT, LATE, STOPPED }; /* the leaf is gone; its holder is; it is too late; the holder is stopped and stays so */

/* Waits for one of these. */
static enum end await_end(const struct hierarchies *cgroups, const struct live *live, int holder, uint64_t by)
{
    struct pollfd gone = {.fd = holder, .events = POLLIN};
    uint64_t now, stopped_by = 0;

    while (is_there(cgroups, live->parent, live->id)) {
        if ((now = sys_now()) >= by)
            return gone.fd < 0 ? LEFT : LATE;
        if (gone.fd < 0 || !live_process_stopped(live->holder))
            stopped_by = now + STOPPED_FOR;
        else if (now >= stopped_by)
            return STOPPED;
        if (poll(&gone, gone.fd < 0 ? 0 : 1, 20) > 0) {
            gone.fd = -1;
            by = by < now + LEAF_WITHIN ? by : now + LEAF_WITHIN;
        }
    }
    return GONE;
}

static int end_fault(enum end end, const struct live *live, struct fault *fault)
{
    if (end == STOPPED)
        return fault_set(fault, STAGE_CGROUP, EBUSY, "fg in the shell that it was started from; or kill -KILL it, and the sandbox goes as well, without a record",
                         "the bivy of sandbox %.32s, process %d, was told to end and is stopped, waiting for its terminal", live->id, live->holder);
    return fault_set(fault, STAGE_CGROUP, ETIMEDOUT, "bivy ps shows it; bivy clean, once its processes have ended",
                     "sandbox %.32s was told to end and is still there", live->id);
}

int live_end(const struct hierarchies *cgroups, const char *path, const char *id, uint64_t by, struct fault *fault)
{
    struct live live; /* where it is: the looks that follow are at that one */
    int result = live_find(cgroups, path, id, &live, fault);

    live_release(&live);
    if (result < 0)
        return result;
    for (bool told = false;; told = true) {
        SYS_CLOSES int pidfd = open_holder(cgroups, live.parent, id, &live.holder, fault);
        if (pidfd == -ENOENT && told && !is_there(cgroups, live.parent, id))
            return 0;
        if (pidfd < 0)
            return pidfd;
        /* One that is stopped could not act on it. From one that is not, SIGCONT would take the SIGSTOP of whoever begins to trace it just then,
         * and he would wait for ever: as the leak checker does that a sanitizer runs at the end. */
        if ((result = sys_pidfd_send_signal(pidfd, SIGTERM)) == 0 && live_process_stopped(live.holder))
            sys_pidfd_send_signal(pidfd, SIGCONT);
        if (result < 0 && result != -ESRCH)
            return fault_set(fault, STAGE_CGROUP, -result, "as that user, or as root", "sandbox %.32s: may not be ended", id);
        enum end end = await_end(cgroups, &live, pidfd, by);
        if (end == GONE)
            return 0;
        if (end != LEFT || sys_now() >= by) /* should only its supervisor be gone, a keeper may have taken over just then */
            return end_fault(end, &live, fault);
    }
}
