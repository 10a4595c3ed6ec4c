#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"
#include "weaken.h"

#define MOST_TRIED 64

static void empty(struct join *join)
{
    for (int i = 0; i < POLICY_NAMESPACES; i++)
        join->fd[i] = -1;
    join->open = true;
}

void join_release(struct join *join)
{
    for (int i = 0; join->open && i < POLICY_NAMESPACES; i++)
        sys_close(&join->fd[i]);
    join->open = false;
}

/* All seven are there: their inodes, which are their names (namespaces(7)). */
static int complete(struct join *join)
{
    for (int i = 0; i < POLICY_NAMESPACES; i++) {
        struct stat file;
        if (join->fd[i] < 0 || SYS_AGAIN(fstat(join->fd[i], &file)) < 0)
            return -ENODATA;
        join->inode[i] = file.st_ino;
    }
    return 0;
}

static int opened(struct join *join, int result)
{
    if (result == 0)
        result = complete(join);
    if (result < 0)
        join_release(join);
    return result;
}

int join_open(pid_t pid, struct join *join)
{
    char path[64];
    int result = 0;

    empty(join);
    for (int i = 0; i < POLICY_NAMESPACES && result == 0; i++) {
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, policy_namespaces[i].name);
        join->fd[i] = SYS_AGAIN(open(path, O_RDONLY | O_CLOEXEC));
        result = join->fd[i] < 0 ? -errno : 0;
    }
    return opened(join, result);
}

/* A keeper has one of each among its descriptors, and no other. */
static int open_keeper(pid_t keeper, struct join *join)
{
    char path[32], target[64];

    snprintf(path, sizeof path, "/proc/%d/fd", (int)keeper);
    SYS_CLOSES int dir = SYS_AGAIN(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = dir};
    const char *name;
    int more = dir < 0 ? -errno : 0;

    empty(join);
    while (dir >= 0 && (more = sys_next_name(&names, &name)) > 0) {
        ssize_t length = readlinkat(dir, name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0'; /* "user:[4026531837]" */
        size_t span = strcspn(target, ":");
        for (int i = 0; target[span] == ':' && target[span + 1] == '[' && i < POLICY_NAMESPACES; i++)
            if (join->fd[i] < 0 && strlen(policy_namespaces[i].name) == span && !memcmp(policy_namespaces[i].name, target, span))
                join->fd[i] = SYS_AGAIN(openat(dir, name, O_RDONLY | O_CLOEXEC));
    }
    return opened(join, more < 0 ? more : 0);
}

/* Nothing of the host's, and nothing that belongs to another user namespace than the one that is joined first. */
static int check(const struct join *join, const uint64_t own[POLICY_NAMESPACES], struct fault *fault)
{
    for (int i = 0; i < POLICY_NAMESPACES; i++) {
        struct stat owner = {0};
        if (join->inode[i] == own[i])
            return fault_set(fault, STAGE_CLONE, EPERM, NULL, "the sandbox's %s namespace is bivy's own", policy_namespaces[i].name);
        if (i == 0)
            continue;
        SYS_CLOSES int user = ioctl(join->fd[i], NS_GET_USERNS);
        if (user < 0 || SYS_AGAIN(fstat(user, &owner)) < 0 || owner.st_ino != join->inode[0])
            return fault_set(fault, STAGE_CLONE, EPERM, NULL, "the sandbox's %s namespace does not belong to its user namespace",
                             policy_namespaces[i].name);
    }
    return 0;
}

static bool alive(int pidfd)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return pidfd >= 0 && poll(&end, 1, 0) == 0;
}

static bool is_in(pid_t pid, const pid_t *pids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

/* Through one process of the leaf. It is held by a descriptor before it is looked at, and is still there afterwards: the number was its
 * own all the while. */
static int open_through(const struct live *live, pid_t pid, struct join *join)
{
    static pid_t again[4096];
    SYS_CLOSES int pidfd = sys_pidfd_open(pid);
    int result;

    if (pidfd < 0 || !is_in(pid, again, live_processes(live, again, sizeof again / sizeof again[0])) || live_number_inside(pid) == 0)
        return -ESRCH; /* not inside: the other end of another `bivy enter` is in the leaf, and not in the pid namespace */
    result = join_open(pid, join);
    if (result == 0 && !alive(pidfd)) {
        join_release(join);
        return -ESRCH;
    }
    return result;
}

int join_find(const struct live *live, const uint64_t own[POLICY_NAMESPACES], struct join *join, struct fault *fault)
{
    static pid_t pids[4096];
    size_t count = live_processes(live, pids, sizeof pids / sizeof pids[0]);
    int result;

    if (live->state == LIVE_KEPT) {
        result = open_keeper(live->holder, join);
    } else {
        result = open_through(live, live->init, join);
        for (size_t i = 0; i < count && i < MOST_TRIED && result < 0; i++)
            result = open_through(live, pids[i], join);
    }
    if (result < 0)
        return fault_set(fault, STAGE_CLONE, -result, "try again: an ordinary user needs a process inside that is not just being made or ending",
                         "the namespaces of sandbox %.32s cannot be opened", live->id);
    result = check(join, own, fault);
    if (result < 0)
        join_release(join);
    return result;
}

int join_enter(struct join *join, struct fault *fault)
{
    for (int i = 0; i < POLICY_NAMESPACES; i++)
        if (!weakened(policy_namespaces[i].name) && setns(join->fd[i], (int)policy_namespaces[i].flag) < 0)
            return fault_set(fault, STAGE_CLONE, errno, NULL, "the sandbox's %s namespace cannot be joined", policy_namespaces[i].name);
    join_release(join);
    return 0;
}
