#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "privileges.h"
#include "rootfs.h"
#include "sys.h"
#include "weaken.h"

static int open_pipe(int *read_end, int *write_end, int flags, struct fault *fault)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | flags) < 0)
        return fault_set(fault, STAGE_CLONE, errno, NULL, "no pipe can be made");
    *read_end = ends[0];
    *write_end = ends[1];
    return 0;
}

/* What goes up may be read only as far as it is there: a supervisor that waits in read(2) serves no deadline, and with --explain the child waits
 * for it in turn. Its messages are few and small, so that the other end, which is non-blocking too, always has room. */
static int open_pipes(struct child *child, struct launched *launched, struct fault *fault)
{
    int result = open_pipe(&launched->up, &child->up, O_NONBLOCK, fault);

    return result < 0 ? result : open_pipe(&child->lifeline, &launched->lifeline, 0, fault);
}

/* The supervisor binds what it checked itself, where it may. */
static int take_places(struct child *child, struct fault *fault)
{
    const struct plan *plan = child->plan;

    child->rootfs = child->workspace = -1;
    if (!plan->privileged)
        return 0;
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct mount_row *row = plan->mounts[i].row;
        if (row->kind == MOUNT_ROOT && (child->rootfs = rootfs_take(plan->rootfs, false, row->attr, STAGE_ROOTFS, fault)) < 0)
            return child->rootfs;
        if (row->kind == MOUNT_WORKSPACE && plan->workspace &&
            (child->workspace = rootfs_take(plan->workspace, false, row->attr, STAGE_WORKSPACE, fault)) < 0)
            return child->workspace;
    }
    return 0;
}

/* May a page of the command's memory be one of a file whose server is silent? */
static bool may_block(const struct plan *plan)
{
    return plan->rootfs->may_block || (plan->workspace && plan->workspace->may_block);
}

/* user_namespaces(7): setgroups is denied before gid_map is written; one line, one id. The child is ours and not yet waited for, so
 * its pid cannot have become somebody else's. */
int launch_maps(const struct plan *plan, pid_t pid, struct fault *fault)
{
    char path[32], map[64];
    SYS_CLOSES int dir = -1;
    int result;

    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    dir = SYS_AGAIN(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (dir < 0)
        return fault_set(fault, STAGE_IDMAP, errno, "mount /proc", "%s: cannot be opened", path);
    if ((result = sys_write_file(dir, "setgroups", "deny")) < 0)
        return fault_set(fault, STAGE_IDMAP, -result, NULL, "setgroups cannot be denied");
    snprintf(map, sizeof map, "%d %u 1", POLICY_UID, plan->host_gid);
    if ((result = sys_write_file(dir, "gid_map", map)) < 0)
        return fault_set(fault, STAGE_IDMAP, -result, "is it a valid id in bivy's own user namespace? (--host-gid; bivy check names one)",
                         "no free ids: host group %u cannot be mapped", plan->host_gid);
    snprintf(map, sizeof map, "%d %u 1", POLICY_UID, plan->host_uid);
    if ((result = sys_write_file(dir, "uid_map", map)) < 0)
        return fault_set(fault, STAGE_IDMAP, -result, "is it a valid id in bivy's own user namespace? (--host-uid; bivy check names one)",
                         "no free ids: host user %u cannot be mapped", plan->host_uid);
    return 0;
}

static const char *clone_mend(int error)
{
    switch (error) {
    case EPERM:
        return "user namespaces are not allowed here; bivy check finds out whether by a sysctl (kernel.unprivileged_userns_clone, "
               "kernel.apparmor_restrict_unprivileged_userns), a chroot, a container or a filter, and names the command that mends it";
    case ENOSPC:
        return "raise sysctl user.max_user_namespaces and its kin, or end other sandboxes";
    case EACCES:
        return "bivy's own cgroup and --cgroup-parent must lie below one directory that is yours (cgroup.procs too)";
    case EAGAIN:
        return "the leaf's or the user's process limit is reached";
    case EBUSY:
        return "the cgroup parent must not be in threaded mode";
    case ENOSYS:
    case EINVAL:
        return "bivy needs Linux 5.15 or newer";
    default:
        return NULL;
    }
}

static int clone_child(struct child *child, struct launched *launched, struct fault *fault)
{
    uint64_t namespaces = 0;
    int pidfd = -1;
    pid_t pid;

    for (size_t i = 0; i < POLICY_NAMESPACES && !child->join; i++)
        /* The cgroup namespace comes once the child is in its leaf everywhere. */
        if (policy_namespaces[i].flag != CLONE_NEWCGROUP && !weakened(policy_namespaces[i].name))
            namespaces |= policy_namespaces[i].flag;
    struct clone_args args = {
        .flags = namespaces | CLONE_PIDFD | CLONE_INTO_CGROUP,
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)(unsigned)child->cgroup->leaf,
    };
    child->progress->stage = STAGE_CLONE;
    pid = sys_clone3(&args);
    if (pid == 0) {
        launch_release(launched); /* the other ends: held here too, the supervisor's death would never be seen */
        sys_close(&child->streams->terminal.handover);
        child_main(child);
    }
    if (pid < 0)
        return fault_set(fault, STAGE_CLONE, -pid, clone_mend(-pid), "clone3 into %s%.200s", child->join ? "" : "new namespaces and ",
                         child->cgroup->path);
    launched->pid = pid;
    launched->pidfd = pidfd;
    return 0;
}

/* The sandbox was cloned and the rest of the launch failed. If that is because the child had a fault of its own and is gone, its
 * word counts; in any case it must not outlive this. */
static void abandon(struct launched *launched, struct fault *fault)
{
    struct pollfd gone = {.fd = launched->pidfd, .events = POLLIN};
    struct message message;

    sys_close(&launched->lifeline);
    if (poll(&gone, 1, 10) <= 0) /* a moment for its last word */
        sys_pidfd_send_signal(launched->pidfd, SIGKILL);
    if (poll(&gone, 1, 1000) > 0)
        waitpid(launched->pid, NULL, WNOHANG);
    ssize_t got = read(launched->up, &message, sizeof message);
    if (got > 0 && message_valid(&message, (size_t)got) && message.kind == MESSAGE_FAULT)
        *fault = message.fault;
}

#define NAMES_TRIES 1000 /* of 1 ms */

/* pid 1 can be looked into by an ordinary user only until it is locked in, so a keeper's descriptors of its namespaces are opened now: it
 * has made the last of them and waits for its id maps. */
static int take_names(const struct child *child, struct launched *launched, struct fault *fault)
{
    struct pollfd gone = {.fd = launched->pidfd, .events = POLLIN};
    int result = -ETIMEDOUT;

    if (child->plan->keep == 0)
        return 0;
    for (int tries = 0; child->progress->stage < STAGE_IDS && tries < NAMES_TRIES; tries++)
        if (poll(&gone, 1, 1) > 0)
            break;
    if (child->progress->stage >= STAGE_IDS)
        result = join_open(launched->pid, &launched->names);
    return result < 0 ? fault_set(fault, STAGE_CLONE, -result, "leave --keep-on-fail out", "the sandbox's namespaces cannot be held") : 0;
}

static int tell(const struct launched *launched, char byte, struct fault *fault)
{
    return SYS_AGAIN(write(launched->lifeline, &byte, 1)) == 1
               ? 0
               : fault_set(fault, STAGE_IDMAP, errno, NULL, "the sandbox is gone before it began");
}

static int drop_groups(const struct plan *plan, struct fault *fault)
{
    /* Root's groups would go along, and inside setgroups is denied. An ordinary user's cannot be given up (user_namespaces(7)). */
    return plan->privileged && !weakened("groups") && setgroups(0, NULL) < 0
               ? fault_set(fault, STAGE_IDMAP, errno, NULL, "supplementary groups cannot be dropped")
               : 0;
}

int launch_join(struct child *child, struct launched *launched, struct fault *fault)
{
    int result;

    *launched = LAUNCHED_NONE;
    launched->joined = true;
    child->up = child->lifeline = child->rootfs = child->workspace = -1;
    if ((result = privileges_prepare(fault)) == 0 && (result = open_pipes(child, launched, fault)) == 0 &&
        (result = drop_groups(child->plan, fault)) == 0)
        result = clone_child(child, launched, fault);
    sys_close(&child->up); /* ours must be closed, or its end would never be seen */
    sys_close(&child->lifeline);
    return result;
}

int launch(struct child *child, struct launched *launched, struct fault *fault)
{
    int result;

    *launched = LAUNCHED_NONE;
    child->up = child->lifeline = child->explain = -1;
    child->rootfs = child->workspace = -1;
    if ((result = privileges_prepare(fault)) < 0 || (result = open_pipes(child, launched, fault)) < 0 ||
        (result = take_places(child, fault)) < 0)
        goto out;
    if ((result = drop_groups(child->plan, fault)) < 0)
        goto out;
    if (child->plan->explain && (result = listener_open(&launched->listener, may_block(child->plan), &child->explain, fault)) < 0)
        goto out;
    if ((result = clone_child(child, launched, fault)) < 0)
        goto out;
    /* What is told is over before it is told: the child may well be quicker to go on than this process to come back from telling it. */
    timing_begin(child->timing, STAGE_IDMAP);
    if ((result = launch_maps(child->plan, launched->pid, fault)) < 0 || (result = take_names(child, launched, fault)) < 0)
        goto out;
    timing_begin(child->timing, TIMING_LIMITS); /* beside the child, which builds its mounts meanwhile */
    if ((result = tell(launched, CHILD_MAPPED, fault)) < 0 || (result = cgroup_limit(child->plan, child->cgroup, fault)) < 0)
        goto out;
    timing_begin(child->timing, TIMING_WAIT);
    result = tell(launched, CHILD_LIMITED, fault);
out:
    sys_close(&child->up); /* ours must be closed, or its end would never be seen */
    sys_close(&child->explain);
    if (result < 0 && launched->pidfd >= 0)
        abandon(launched, fault);
    sys_close(&child->lifeline);
    sys_close(&child->rootfs);
    sys_close(&child->workspace);
    return result;
}

void launch_release(struct launched *launched)
{
    join_release(&launched->names);
    sys_close(&launched->lifeline);
    sys_close(&launched->up);
    sys_close(&launched->pidfd);
    listener_release(&launched->listener);
}
