#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "handover.h"
#include "leaves.h"
#include "options.h"
#include "readings.h"
#include "sys.h"
#include "trial.h"

#define ALL_LIMITS ((1u << LIMIT_COUNT) - 1)
#define MS ((uint64_t)1000000)

static void not_ours(struct trial *trial, const struct hierarchies *cgroups, const struct fault *fault)
{
    unsigned where = trial->setting->where;
    uid_t owner = trial->setting->uid, outside;
    enum mend mend = MEND_DELEGATE;
    char text[sizeof trial->answer->argument] = "";
    bool foreign;

    if (fault->errnum == EROFS && where & AT_ROOT) {
        handover_writable(cgroups, text, sizeof text);
    } else if (fault->stage == STAGE_OPTIONS) {
        mend = MEND_NONE; /* it has its own */
    } else if (owner == 0 && !(where & AT_ROOT)) {
        mend = MEND_RIGHTS; /* which it needs first, and may then make its own */
    } else {
        /* Root of a user namespace only: what is refused to it the machine's root may hand over. */
        outside = trial_own_outside(&foreign);
        if (owner == 0 && foreign && fault->errnum != ENOENT && !(where & AT_CONTAINER)) {
            owner = outside;
            mend = MEND_OUTSIDE;
        }
        handover_parent(trial->setting, trial->spec->cgroup_parent, cgroups, owner, text, sizeof text);
    }
    trial_fault(trial, TRIAL_MISSING, mend, text, fault);
}

/* ---- the trials ---- */

/* In the list of mounts, and something else is to be seen there: what lies over it, or over a directory above. */
static bool hidden(struct trial *trial, const char *where)
{
    struct facts *facts = trial_room(sizeof *facts);
    char above[PATH_MAX], command[700] = "umount ";
    struct mountinfo mount;
    struct statfs seen;
    struct fault fault;
    int fd = -1;

    if (statfs(where, &seen) == 0 && seen.f_type == CGROUP2_SUPER_MAGIC)
        return false;
    facts_start(facts);
    snprintf(above, sizeof above, "%s", where);
    while ((fd = SYS_AGAIN(open(above, O_PATH | O_CLOEXEC))) < 0 && strrchr(above, '/') > above)
        *strrchr(above, '/') = '\0';
    bool told = fd >= 0 && facts_mounts(facts, &fault) == 0 && trial_mount_line(fd, facts->mountinfo, &mount);
    mends_word(command, sizeof command, told ? mount.target : where);
    sys_close(&fd);
    trial_say(trial, TRIAL_MISSING, MEND_COMMAND, command, "v2 is mounted at %.200s, and something else over it", where);
    return true;
}

void trial_cgroup2(struct trial *trial)
{
    struct facts *facts = trial_room(sizeof *facts);
    struct fault fault;
    char bound[64] = "";

    facts_start(facts);
    if (facts_host(facts, &fault) < 0) {
        bool none = fault.errnum == ENOTSUP;
        trial_fault(trial, TRIAL_MISSING, none ? MEND_CGROUP2 : MEND_NONE,
                    facts->cgroups.v1[CONTROLLER_MEMORY].mount[0] ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup", &fault);
        return;
    }
    if (hidden(trial, facts->cgroups.v2.mount))
        return;
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (facts->cgroups.v1[c].mount[0]) {
            handover_add(bound, sizeof bound, *bound ? ", " : "");
            handover_add(bound, sizeof bound, controller_name((enum controller)c));
        }
    if (*bound)
        trial_say(trial, TRIAL_DEGRADED, MEND_HYBRID, NULL,
                  "v2 at %.200s, but %s on v1: limits hold, each run is slower, and less is told of it",
                  facts->cgroups.v2.mount, bound);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "v2 at %.200s, every controller on it", facts->cgroups.v2.mount);
}

/* A leaf as a run makes it, of which only `enforced` must be had. */
struct leaf {
    struct draft draft;
    struct cgroup cgroup;
    bool made;
};

static int make_leaf(struct trial *trial, unsigned enforced, struct leaf *leaf, struct fault *fault)
{
    int result = trial_draft(trial, true, &leaf->draft, fault);

    /* Where even ids cannot be had, the leaf still can: its row is not about them. */
    if (result < 0 && !leaf->draft.plan.cgroup_parent[0] && fault->stage == STAGE_PLAN)
        result = plan_cgroup_parent(trial->spec->cgroup_parent, leaf->draft.facts.privileged, &leaf->draft.facts.cgroups,
                                    leaf->draft.plan.cgroup_parent, &leaf->draft.plan.cgroup_parent_ours, fault);
    if (result < 0)
        return result;
    snprintf(leaf->draft.plan.id, sizeof leaf->draft.plan.id, "check%07x", (unsigned)getpid() & 0xfffffff);
    leaf->draft.plan.unenforced = ALL_LIMITS & ~enforced;
    result = cgroup_create(&leaf->draft.plan, &leaf->cgroup, fault);
    leaf->made = result == 0;
    return result;
}

/* false: it would not go, and that is the answer. */
static bool remove_leaf(struct trial *trial, struct leaf *leaf)
{
    int result = leaf->made ? cgroup_remove(&leaf->cgroup, sys_now() + 300 * MS) : 0;

    if (leaf->made)
        cgroup_close(&leaf->cgroup);
    leaf->made = false;
    if (result < 0)
        trial_say(trial, TRIAL_MISSING, MEND_CLEAN, NULL, "the leaf cannot be removed (%s)", errno_name(-result));
    return result == 0;
}

void trial_parent(struct trial *trial)
{
    struct leaf *leaf = trial_room(sizeof *leaf);
    struct fault fault;

    if (make_leaf(trial, 0, leaf, &fault) < 0) {
        not_ours(trial, &leaf->draft.facts.cgroups, &fault);
        return;
    }
    if (remove_leaf(trial, leaf))
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a leaf was made in %.200s%.200s, locked and removed",
                  leaf->draft.facts.cgroups.v2.mount,
                  leaf->draft.plan.cgroup_parent);
}

static const enum controller limit_controller[LIMIT_COUNT] = {
    [LIMIT_MEMORY] = CONTROLLER_MEMORY, [LIMIT_SWAP] = CONTROLLER_MEMORY, [LIMIT_CPU] = CONTROLLER_CPU, [LIMIT_PIDS] = CONTROLLER_PIDS};

/* Does the top of v2 know the controller? */
static bool known(const struct hierarchies *cgroups, const char *name)
{
    char path[PATH_MAX + 32], text[512], word[32], all[600];

    snprintf(path, sizeof path, "%s/cgroup.controllers", cgroups->v2.mount);
    if (sys_read_file(AT_FDCWD, path, text, sizeof text) < 0)
        return true;
    text[strcspn(text, "\n")] = '\0';
    snprintf(all, sizeof all, " %s ", text);
    snprintf(word, sizeof word, " %s ", name);
    return strstr(all, word);
}

/* Controllers are bound to a v1 hierarchy, and there is no mount of it that bivy could use: which hierarchy, as mount(8) calls it. */
static bool bound_unseen(const char *name, char *list, size_t size)
{
    char text[16 * 1024];
    const char *path, *start;
    size_t length;

    if (sys_read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) < 0 || !(path = hierarchy_path(text, name, &length)))
        return false;
    for (start = path - 1; start > text && start[-1] != ':'; start--)
        ;
    snprintf(list, size, "%.*s", (int)(path - 1 - start), start);
    return true;
}

static void mount_v1(struct trial *trial, const char *list, const struct fault *fault)
{
    unsigned where = trial->setting->where;
    char text[300], at[96];
    struct statfs there;

    /* Elsewhere where a directory would be a cgroup, or the same file system is mounted already, if from further down. */
    snprintf(at, sizeof at, "/sys/fs/cgroup/%.60s", list);
    if ((statfs("/sys/fs/cgroup", &there) == 0 && there.f_type == CGROUP2_SUPER_MAGIC) ||
        (statfs(at, &there) == 0 && there.f_type == CGROUP_SUPER_MAGIC))
        snprintf(at, sizeof at, "/run/cgroup/%.60s", list);
    snprintf(text, sizeof text, "sh -c 'mkdir -p %s && mount -t cgroup -o %.60s cgroup %s'", at, list, at);
    trial_say(trial, TRIAL_MISSING, where & AT_CONTAINER && !(where & AT_ROOT) ? MEND_HAND_ON : MEND_COMMAND, text,
              "%s; it is on a v1 hierarchy (%.60s) that is not mounted here, or not from its top", fault->what, list);
}

static void no_limit(struct trial *trial, enum limit limit, const struct hierarchies *cgroups, const struct plan *plan,
                     const struct fault *fault)
{
    const char *name = controller_name(limit_controller[limit]);
    bool v1 = cgroups->v1[limit_controller[limit]].mount[0];
    char text[sizeof trial->answer->argument] = "", list[64];

    if (!v1 && bound_unseen(name, list, sizeof list)) {
        mount_v1(trial, list, fault);
    } else if (!v1 && !known(cgroups, name)) {
        trial_fault(trial, TRIAL_MISSING, MEND_CONTROLLER, name, fault);
    } else if (limit == LIMIT_SWAP && fault->errnum == ENOENT && (strstr(fault->what, "memory.swap") || strstr(fault->what, "memory.memsw"))) {
        /* Its own file, and not memory's: no accounting of swap. */
        trial_fault(trial, TRIAL_MISSING, MEND_SWAP, NULL, fault);
    } else if (!v1 && !(trial->setting->where & AT_ROOT && fault->errnum == EROFS)) {
        handover_controllers(cgroups, plan->cgroup_parent, text, sizeof text);
        trial_fault(trial, TRIAL_MISSING, MEND_HAND_ON, text, fault);
    } else {
        not_ours(trial, cgroups, fault);
    }
}

void trial_limit(struct trial *trial)
{
    struct leaf *leaf = trial_room(sizeof *leaf);
    enum limit limit = (enum limit)trial->number;
    struct fault fault;
    /* Without the memory controller there is no swap limit either. */
    int result = make_leaf(trial, 1u << limit | (limit == LIMIT_SWAP ? 1u << LIMIT_MEMORY : 0), leaf, &fault);

    if (result == 0)
        result = cgroup_limit(&leaf->draft.plan, &leaf->cgroup, &fault);
    if (!remove_leaf(trial, leaf))
        return;
    if (result < 0) {
        no_limit(trial, limit, &leaf->draft.facts.cgroups, &leaf->draft.plan, &fault);
        if (trial->spec->unenforced & 1u << limit)
            trial->answer->state = TRIAL_DEGRADED; /* a run goes without it */
    } else if (limit == LIMIT_SWAP && leaf->draft.facts.no_swap)
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "this host has no swap");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a leaf's %s limit was written and read back (%s)", limit_name(limit),
                  leaf->draft.facts.cgroups.v1[limit_controller[limit]].mount[0] ? "v1" : "v2");
}

/* A process in a leaf of its own: there, in every hierarchy, or the answer says why not. */
static pid_t start_inside(struct trial *trial, struct leaf *leaf, int *pidfd)
{
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_INTO_CGROUP, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
    struct fault fault;
    char word = 0;
    pid_t own = getpid(), pid;
    int ends[2];

    if (make_leaf(trial, 0, leaf, &fault) < 0) {
        not_ours(trial, &leaf->draft.facts.cgroups, &fault);
        return -1;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        trial_call(trial, errno, MEND_LOOK, NULL, "no pipe");
        return -1;
    }
    args.cgroup = (uint64_t)(unsigned)leaf->cgroup.leaf;
    pid = sys_clone3(&args);
    if (pid == 0) {
        trial_follow(own);
        if (cgroup_enter(&leaf->cgroup, &fault) < 0) {
            trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
            _exit(1);
        }
        if (write(ends[1], "I", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    SYS_CLOSES int end = ends[0];
    if (pid < 0) {
        fault_set(&fault, STAGE_CLONE, -pid, NULL, "no process can be made in a leaf");
        if (pid == -EACCES) { /* the leaf is ours, and what is above both it and us is not */
            char text[sizeof trial->answer->argument] = "";
            handover_shell(trial->setting, &leaf->draft.facts.cgroups, leaf->draft.plan.cgroup_parent, text, sizeof text);
            trial_fault(trial, TRIAL_MISSING, MEND_COMMAND, text, &fault);
        } else
            trial_call(trial, -pid, pid == -EOPNOTSUPP || pid == -EBUSY ? MEND_SAID : MEND_KERNEL,
                       "name a cgroup with --cgroup-parent that is not threaded (cgroup.type) and holds no processes itself",
                       "clone3 into a cgroup is refused");
        return -1;
    }
    if (SYS_AGAIN(read(end, &word, 1)) != 1) {
        waitpid(pid, NULL, 0);
        return -1;
    }
    return pid;
}

void trial_enter(struct trial *trial)
{
    struct leaf *leaf = trial_room(sizeof *leaf);
    SYS_CLOSES int pidfd = -1;
    pid_t pid = start_inside(trial, leaf, &pidfd);

    if (pid > 0) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a process was born in a leaf, in every hierarchy");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    remove_leaf(trial, leaf);
}

void trial_kill(struct trial *trial)
{
    struct leaf *leaf = trial_room(sizeof *leaf);
    SYS_CLOSES int pidfd = -1;
    pid_t pid = start_inside(trial, leaf, &pidfd);

    if (pid > 0) {
        int result = cgroup_kill(&leaf->cgroup);
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        if (result < 0)
            trial_call(trial, -result, result == -ENOENT ? MEND_KERNEL : MEND_LOOK, NULL, "cgroup.kill cannot be written");
        else if (poll(&end, 1, 1000) <= 0)
            trial_say(trial, TRIAL_MISSING, MEND_KERNEL, NULL, "cgroup.kill was written, and the process lives");
        else
            trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a leaf's process was killed through it, and the leaf removed");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    remove_leaf(trial, leaf);
}

void trial_readings(struct trial *trial)
{
    struct leaf *leaf = trial_room(sizeof *leaf);
    struct readings readings = {0};
    struct fault fault;
    char without[96] = "";
    int result = make_leaf(trial, 0, leaf, &fault);

    if (result == 0)
        result = cgroup_limit(&leaf->draft.plan, &leaf->cgroup, &fault);
    if (result == 0)
        readings_take(&leaf->cgroup, &readings);
    unsigned lost = leaf->cgroup.missing;
    if (!remove_leaf(trial, leaf))
        return;
    if (result < 0) {
        not_ours(trial, &leaf->draft.facts.cgroups, &fault);
        return;
    }
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (lost & 1u << c) { /* it tells nothing of what it does not have: what is wrong is that */
            trial->number = c == CONTROLLER_MEMORY ? LIMIT_MEMORY : c == CONTROLLER_CPU ? LIMIT_CPU : LIMIT_PIDS;
            trial_limit(trial);
            trial->answer->state = TRIAL_DEGRADED;
            return;
        }
    const struct {
        bool have;
        const char *name;
    } kinds[] = {{readings.have_peak, "peak memory"}, {readings.have_pids_peak, "most processes"}, {readings.have_pids, "refused forks"},
                 {readings.have_throttled, "throttled time"}, {readings.have_cpu, "processor time"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!kinds[i].have) {
            handover_add(without, sizeof without, *without ? ", " : "");
            handover_add(without, sizeof without, kinds[i].name);
        }
    if (*without)
        trial_say(trial, TRIAL_DEGRADED, MEND_KERNEL, NULL, "a leaf does not tell: %s; null in the record", without);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a leaf tells peak memory, most processes, refused forks and processor time");
}
