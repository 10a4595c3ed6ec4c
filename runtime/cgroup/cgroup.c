#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "knobs.h"
#include "leaves.h"
#include "options.h"
#include "readings.h"
#include "seats.h"
#include "sys.h"

static const enum limit controller_limit[CONTROLLER_COUNT] = {LIMIT_MEMORY, LIMIT_CPU, LIMIT_PIDS};

bool cgroup_unenforced(const struct plan *plan, enum limit limit)
{
    return plan->unenforced & 1u << limit;
}

int cgroup_controller(const struct cgroup *cgroup, enum controller c)
{
    return cgroup->v1[c] >= 0 ? cgroup->v1[c] : cgroup->leaf;
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = text; *at;) {
        size_t span = strcspn(at, " \n");
        if (span == length && !memcmp(at, word, length))
            return true;
        at += span;
        at += strspn(at, " \n");
    }
    return false;
}

/* Hands the controller on to the parent's children; for our own parent at the top, from the top as well. */
static bool delegate(const struct plan *plan, int parent, const char *name)
{
    char text[512], on[32];

    snprintf(on, sizeof on, "+%s", name);
    if (sys_read_file(parent, "cgroup.subtree_control", text, sizeof text) >= 0 && has_word(text, name))
        return true;
    if (plan->cgroup_parent_ours) {
        SYS_CLOSES int top = SYS_AGAIN(open(plan->cgroups->v2.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (top >= 0 && sys_read_file(top, "cgroup.subtree_control", text, sizeof text) >= 0 && !has_word(text, name))
            sys_write_file(top, "cgroup.subtree_control", on);
    }
    return sys_write_file(parent, "cgroup.subtree_control", on) == 0;
}

/* Controllers bound to v2 that the leaf will not have: a bit each in *missing, or a fault where the limit must be enforced. */
static int delegate_all(const struct plan *plan, int parent, unsigned *missing, struct fault *fault)
{
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (plan->cgroups->v1[c].mount[0] || delegate(plan, parent, controller_name((enum controller)c)))
            continue;
        if (!cgroup_unenforced(plan, controller_limit[c])) {
            char hint[256];
            snprintf(hint, sizeof hint,
                     "have it delegated (systemd: Delegate=yes; by hand: echo +%s > cgroup.subtree_control of every cgroup above, "
                     "none of which may hold processes), or --unenforced %s",
                     controller_name((enum controller)c), limit_name(controller_limit[c]));
            return fault_set(fault, STAGE_CGROUP, errno, hint, "controller \"%s\" is not available to children of %.200s%.200s",
                             controller_name((enum controller)c), plan->cgroups->v2.mount, plan->cgroup_parent);
        }
        *missing |= 1u << c;
    }
    return 0;
}

static int parent_fault(const struct plan *plan, const char *mount, int error, struct fault *fault)
{
    return fault_set(fault, STAGE_CGROUP, error,
                     error == ENOENT ? "create it in every hierarchy (bivy check names the command), or correct --cgroup-parent"
                                     : "have it handed over (bivy check names the command), or name another with --cgroup-parent",
                     "cgroup parent %.200s%.200s: %s", mount, plan->cgroup_parent,
                     error == ENOENT ? "does not exist" : "cannot be used");
}

static int v1_leaf(const struct plan *plan, struct cgroup *cgroup, enum controller c, struct fault *fault)
{
    const char *mount = plan->cgroups->v1[c].mount;

    for (int other = 0; other < (int)c; other++)
        if (cgroup->v1[other] >= 0 && !strcmp(plan->cgroups->v1[other].mount, mount)) { /* two controllers, one hierarchy */
            cgroup->v1[c] = fcntl(cgroup->v1[other], F_DUPFD_CLOEXEC, 3);
            return cgroup->v1[c] < 0 ? fault_set(fault, STAGE_CGROUP, errno, NULL, "fcntl") : 0;
        }
    cgroup->v1_parent[c] = leaves_open_parent(mount, plan->cgroup_parent, plan->cgroup_parent_ours);
    if (cgroup->v1_parent[c] < 0)
        return parent_fault(plan, mount, -cgroup->v1_parent[c], fault);
    if (SYS_AGAIN(mkdirat(cgroup->v1_parent[c], cgroup->name, 0700)) < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->v1[c] = SYS_AGAIN(openat(cgroup->v1_parent[c], cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (cgroup->v1[c] < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->v1_tasks[c] = SYS_AGAIN(openat(cgroup->v1[c], "tasks", O_WRONLY | O_CLOEXEC));
    if (cgroup->v1_tasks[c] < 0)
        return parent_fault(plan, mount, errno, fault);
    return 0;
}

/* memory.events changes when the limit is touched; it must be read once before poll(2) waits (cgroup-v2.rst). Only for a closer look at
 * what the memory was: not worth a fault. */
static void watch_limit(struct cgroup *cgroup)
{
    char text[512];

    cgroup->oom_event = SYS_AGAIN(openat(cgroup->leaf, "memory.events", O_RDONLY | O_CLOEXEC));
    if (cgroup->oom_event >= 0 && SYS_AGAIN(read(cgroup->oom_event, text, sizeof text)) <= 0)
        sys_close(&cgroup->oom_event);
}

/* cgroup-v1/memory.rst, section 9: an eventfd that fires when the leaf runs out of memory. */
static int watch_oom(struct cgroup *cgroup, struct fault *fault)
{
    int dir = cgroup->v1[CONTROLLER_MEMORY];
    SYS_CLOSES int control = -1;
    char text[32];
    int result;

    if (dir < 0) {
        watch_limit(cgroup);
        return 0;
    }
    control = SYS_AGAIN(openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC));
    cgroup->oom_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control < 0 || cgroup->oom_event < 0)
        return fault_set(fault, STAGE_CGROUP, errno, NULL, "memory.oom_control: cannot be watched");
    snprintf(text, sizeof text, "%d %d", cgroup->oom_event, control);
    result = sys_write_file(dir, "cgroup.event_control", text);
    return result < 0 ? fault_set(fault, STAGE_CGROUP, -result, NULL, "cgroup.event_control: refuses to watch memory.oom_control") : 0;
}

#define SWEEP_PATIENCE 50000000u /* ns, for all of them: a run does not wait for what is stuck */

/* A shared lock on the parent says "a bivy is at work here", so whoever gets it exclusively knows that everything below that is not
 * locked itself is stale. Only then does a run sweep: its cost stays flat in the number of live sandboxes. A lock that somebody holds for ever
 * costs the sweep and a tenth of a second, nothing else. */
static void lock_parent(const struct plan *plan, struct cgroup *cgroup)
{
    struct leaves_sweep sweep;
    struct fault ignored;

    if (SYS_AGAIN(flock(cgroup->parent, LOCK_EX | LOCK_NB)) == 0)
        leaves_sweep(plan->cgroups, plan->cgroup_parent, true, sys_now() + SWEEP_PATIENCE, &sweep, &ignored);
    /* Another bivy may be sweeping at this moment; it must be done before our leaf exists without a lock of its own. */
    for (int tries = 0; SYS_AGAIN(flock(cgroup->parent, LOCK_SH | LOCK_NB)) < 0 && tries < 100; tries++)
        poll(NULL, 0, 1);
}

void cgroup_keep(const struct cgroup *cgroup)
{
    flock(cgroup->parent, LOCK_UN);
}

static int v2_leaf(const struct plan *plan, struct cgroup *cgroup, unsigned *missing, struct fault *fault)
{
    const char *mount = plan->cgroups->v2.mount;
    int result;

    cgroup->parent = leaves_open_parent(mount, plan->cgroup_parent, plan->cgroup_parent_ours);
    if (cgroup->parent < 0)
        return parent_fault(plan, mount, -cgroup->parent, fault);
    lock_parent(plan, cgroup);
    if ((result = delegate_all(plan, cgroup->parent, missing, fault)) < 0)
        return result;
    if (SYS_AGAIN(mkdirat(cgroup->parent, cgroup->name, 0700)) < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->leaf = SYS_AGAIN(openat(cgroup->parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (cgroup->leaf < 0) {
        result = errno;
        unlinkat(cgroup->parent, cgroup->name, AT_REMOVEDIR);
        return parent_fault(plan, mount, result, fault);
    }
    /* Held until the supervisor is gone, however it goes: an unlocked leaf is stale. */
    if (SYS_AGAIN(flock(cgroup->leaf, LOCK_EX | LOCK_NB)) < 0)
        return fault_set(fault, STAGE_CGROUP, errno, "run it again", "the new leaf %s is locked by somebody else", cgroup->name);
    SYS_CLOSES int second = SYS_AGAIN(openat(cgroup->parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (second < 0 || SYS_AGAIN(flock(second, LOCK_EX | LOCK_NB)) == 0)
        return fault_set(fault, STAGE_CGROUP, EPROTO, NULL, "the new leaf %s does not stay locked", cgroup->name);
    cgroup->seats = seats_open(cgroup->parent, plan);
    return 0;
}

static int make_leaves(const struct plan *plan, struct cgroup *cgroup, struct fault *fault)
{
    int result = v2_leaf(plan, cgroup, &cgroup->missing, fault);

    if (result < 0)
        return result;
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (!plan->cgroups->v1[c].mount[0])
            continue;
        struct fault why; /* of the run only if the limit must be enforced */
        result = v1_leaf(plan, cgroup, (enum controller)c, &why);
        if (result < 0 && !cgroup_unenforced(plan, controller_limit[c])) {
            *fault = why;
            if (result == -EMFILE)
                return result; /* nothing is wrong with the cgroup */
            snprintf(fault->hint, sizeof fault->hint,
                     "have it made and handed over (chown) in every hierarchy, correct --cgroup-parent, or run without this limit: "
                     "--unenforced %s", limit_name(controller_limit[c]));
            return result;
        }
        if (result < 0) {
            sys_close(&cgroup->v1[c]);
            cgroup->missing |= 1u << c;
        }
    }
    return 0;
}

int cgroup_limit(const struct plan *plan, struct cgroup *cgroup, struct fault *fault)
{
    int result = knobs_turn(plan, cgroup, cgroup->missing, fault);

    return result < 0 ? result : watch_oom(cgroup, fault);
}

void cgroup_none(struct cgroup *cgroup)
{
    *cgroup = (struct cgroup){.parent = -1, .leaf = -1, .seats = -1, .oom_event = -1};
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        cgroup->v1_parent[c] = cgroup->v1[c] = cgroup->v1_tasks[c] = -1;
}

int cgroup_create(const struct plan *plan, struct cgroup *cgroup, struct fault *fault)
{
    int result;

    cgroup_none(cgroup);
    snprintf(cgroup->name, sizeof cgroup->name, "%s%s", LEAVES_PREFIX, plan->id);
    if (snprintf(cgroup->path, sizeof cgroup->path, "%s/%s", plan->cgroup_parent, cgroup->name) >= (int)sizeof cgroup->path)
        return fault_set(fault, STAGE_CGROUP, ENAMETOOLONG, "choose a shorter one", "cgroup parent %.200s: is too long",
                         plan->cgroup_parent);
    result = make_leaves(plan, cgroup, fault);
    if (result < 0) {
        cgroup_remove(cgroup, sys_now());
        cgroup_close(cgroup);
    }
    return result;
}

static int open_fault(const struct cgroup *cgroup, const char *what, struct fault *fault)
{
    return fault_set(fault, STAGE_CGROUP, errno, "it may just have ended: bivy ps", "leaf %.300s: %s cannot be opened", cgroup->path, what);
}

int cgroup_open(const struct hierarchies *cgroups, const char *parent, const char *name, struct cgroup *cgroup, struct fault *fault)
{
    char whole[2 * PATH_MAX];

    cgroup_none(cgroup);
    snprintf(cgroup->name, sizeof cgroup->name, "%s", name);
    if (snprintf(cgroup->path, sizeof cgroup->path, "%s/%s", parent, name) >= (int)sizeof cgroup->path)
        return fault_set(fault, STAGE_CGROUP, ENAMETOOLONG, NULL, "cgroup parent %.200s: is too long", parent);
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (!cgroups->v1[c].mount[0])
            continue;
        snprintf(whole, sizeof whole, "%s%s", cgroups->v1[c].mount, cgroup->path);
        cgroup->v1[c] = SYS_AGAIN(open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (cgroup->v1[c] < 0 && errno == ENOENT) {
            cgroup->missing |= 1u << c; /* it runs without this limit, --unenforced */
            continue;
        }
        cgroup->v1_tasks[c] = cgroup->v1[c] < 0 ? -1 : SYS_AGAIN(openat(cgroup->v1[c], "tasks", O_WRONLY | O_CLOEXEC));
        if (cgroup->v1_tasks[c] < 0)
            return open_fault(cgroup, controller_name((enum controller)c), fault);
    }
    snprintf(whole, sizeof whole, "%s%s", cgroups->v2.mount, cgroup->path);
    cgroup->leaf = SYS_AGAIN(open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    return cgroup->leaf < 0 ? open_fault(cgroup, "it", fault) : 0;
}

int cgroup_enter(const struct cgroup *cgroup, struct fault *fault)
{
    static char text[8 * 1024];
    ssize_t got;

    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (cgroup->v1_tasks[c] >= 0 && SYS_AGAIN(write(cgroup->v1_tasks[c], "0", 1)) != 1)
            return fault_set(fault, STAGE_CGROUP_ENTER, errno, "the leaf's tasks file must be writable by the caller",
                             "%s: cannot be entered in the %s hierarchy", cgroup->path, controller_name((enum controller)c));
    /* Read back while the cgroup namespace is still the supervisor's: afterwards every cgroup shows as "/". */
    got = sys_read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof text);
    if (got < 0)
        return fault_set(fault, STAGE_CGROUP_ENTER, (int)-got, "mount /proc", "/proc/self/cgroup: cannot be read");
    for (int c = 0; c <= CONTROLLER_COUNT; c++) {
        const char *controller = c < CONTROLLER_COUNT ? controller_name((enum controller)c) : NULL;
        size_t length = 0;
        if (controller && cgroup->v1[c] < 0)
            continue;
        const char *path = hierarchy_path(text, controller, &length);
        if (!path || length != strlen(cgroup->path) || memcmp(path, cgroup->path, length))
            return fault_set(fault, STAGE_CGROUP_ENTER, EXDEV, NULL, "the kernel says that the sandbox is not in its leaf %s (%s)",
                             cgroup->path, controller ? controller : "v2");
    }
    return 0;
}

void cgroup_unthrottle(const struct cgroup *cgroup)
{
    if (cgroup->v1[CONTROLLER_CPU] >= 0)
        sys_write_file(cgroup->v1[CONTROLLER_CPU], "cpu.cfs_quota_us", "-1");
    else
        sys_write_file(cgroup->leaf, "cpu.max", "max");
}

int cgroup_throttle(const struct plan *plan, const struct cgroup *cgroup, struct fault *fault)
{
    struct cgroup again = *cgroup;

    return knobs_turn(plan, &again, cgroup->missing, fault);
}

int cgroup_kill(const struct cgroup *cgroup)
{
    int result;

    if (cgroup->leaf < 0)
        return -ENOENT;
    result = sys_write_file(cgroup->leaf, "cgroup.kill", "1");
    /* Fifty throttled processes would take seconds to die on half a processor. Nothing in the leaf runs its own code any more. */
    cgroup_unthrottle(cgroup);
    return result;
}

void cgroup_freeze(const struct cgroup *cgroup, bool still)
{
    if (cgroup->leaf >= 0)
        sys_write_file(cgroup->leaf, "cgroup.freeze", still ? "1" : "0");
}

/* Only where every page is clean, as on FUSE: reclaim of pages that are not yet written waits for the disk, 100 ms and more (measured). */
void cgroup_reclaim(const struct cgroup *cgroup)
{
    bool v1 = cgroup->v1[CONTROLLER_MEMORY] >= 0;
    int dir = cgroup_controller(cgroup, CONTROLLER_MEMORY);
    char text[8 * 1024];
    uint64_t cached = 0, unwritten = 0;

    if (!(cgroup->enforced & 1u << LIMIT_MEMORY) || sys_read_file(dir, "memory.stat", text, sizeof text) <= 0 ||
        !readings_cache(text, v1, &cached, &unwritten) || cached == 0 || unwritten > 0)
        return;
    if (v1) {
        sys_write_file(dir, "memory.force_empty", "0");
    } else {
        snprintf(text, sizeof text, "%llu", (unsigned long long)cached);
        sys_write_file(dir, "memory.reclaim", text); /* since 5.19; EAGAIN: not all of it */
    }
}

bool cgroup_populated(const struct cgroup *cgroup)
{
    return cgroup->leaf >= 0 && leaves_populated(cgroup->leaf);
}

int cgroup_remove(struct cgroup *cgroup, uint64_t deadline)
{
    int result = 0, last;

    /* v2 last: a leaf that is still there in any hierarchy is found by the sweep through its v2 directory. */
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (cgroup->v1_parent[c] >= 0 && (last = leaves_remove(cgroup->v1_parent[c], cgroup->name, deadline)) < 0)
            result = last;
    if (cgroup->leaf >= 0 && result == 0)
        result = leaves_remove(cgroup->parent, cgroup->name, deadline);
    return result;
}

void cgroup_close(struct cgroup *cgroup)
{
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        sys_close(&cgroup->v1_parent[c]);
        sys_close(&cgroup->v1[c]);
        sys_close(&cgroup->v1_tasks[c]);
    }
    sys_close(&cgroup->oom_event);
    sys_close(&cgroup->seats);
    sys_close(&cgroup->leaf);
    sys_close(&cgroup->parent);
}
