#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "sys.h"
#include "weaken.h"

#define CPU_PERIOD_US 100000
#define VALUE_TEXT 48

/* The limits as the kernel takes them, one row a file. What was written is read back: a write that returned well and did
 * nothing is a fault. v1 rows are in the order in which the kernel wants them (memsw may not be below limit). */
static const struct knob {
    enum limit limit;
    enum controller controller;
    const char *v2, *v1;  /* NULL: this side has no such file */
    enum { VALUE_MEMORY, VALUE_ZERO, VALUE_ONE, VALUE_CPU_MAX, VALUE_PERIOD, VALUE_QUOTA, VALUE_PIDS } value;
} knobs[] = {
    {LIMIT_MEMORY, CONTROLLER_MEMORY, "memory.max", "memory.limit_in_bytes", VALUE_MEMORY},
    {LIMIT_SWAP, CONTROLLER_MEMORY, "memory.swap.max", NULL, VALUE_ZERO},
    {LIMIT_SWAP, CONTROLLER_MEMORY, NULL, "memory.memsw.limit_in_bytes", VALUE_MEMORY}, /* memory and swap together */
    {LIMIT_MEMORY, CONTROLLER_MEMORY, "memory.oom.group", NULL, VALUE_ONE}, /* on v1 the supervisor does it (oom_event) */
    {LIMIT_CPU, CONTROLLER_CPU, "cpu.max", NULL, VALUE_CPU_MAX},
    {LIMIT_CPU, CONTROLLER_CPU, NULL, "cpu.cfs_period_us", VALUE_PERIOD},
    {LIMIT_CPU, CONTROLLER_CPU, NULL, "cpu.cfs_quota_us", VALUE_QUOTA},
    {LIMIT_PIDS, CONTROLLER_PIDS, "pids.max", "pids.max", VALUE_PIDS},
};
#define KNOB_COUNT (sizeof knobs / sizeof knobs[0])

static const enum limit controller_limit[CONTROLLER_COUNT] = {LIMIT_MEMORY, LIMIT_CPU, LIMIT_PIDS};

static void knob_value(const struct plan *plan, const struct knob *knob, char text[VALUE_TEXT])
{
    unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    unsigned long long quota = plan->cpu * CPU_PERIOD_US / 1000;

    switch (knob->value) {
    case VALUE_MEMORY: /* the kernel counts pages and would read back rounded down */
        snprintf(text, VALUE_TEXT, "%llu", plan->memory / page * page);
        break;
    case VALUE_ZERO:
        snprintf(text, VALUE_TEXT, "0");
        break;
    case VALUE_ONE:
        snprintf(text, VALUE_TEXT, "1");
        break;
    case VALUE_CPU_MAX:
        snprintf(text, VALUE_TEXT, "%llu %d", quota, CPU_PERIOD_US);
        break;
    case VALUE_PERIOD:
        snprintf(text, VALUE_TEXT, "%d", CPU_PERIOD_US);
        break;
    case VALUE_QUOTA:
        snprintf(text, VALUE_TEXT, "%llu", quota);
        break;
    case VALUE_PIDS:
        snprintf(text, VALUE_TEXT, "%llu", (unsigned long long)plan->pids);
        break;
    }
}

static bool allowed_unenforced(const struct plan *plan, enum limit limit)
{
    return plan->unenforced & 1u << limit;
}

static int limit_fault(struct fault *fault, const struct plan *plan, enum limit limit, int error, const char *file, const char *what)
{
    char hint[192];

    snprintf(hint, sizeof hint, "%s, or run without this limit: --unenforced %s",
             error == EACCES || error == EPERM || error == EROFS ? "name a cgroup of yours with --cgroup-parent"
             : error == EINVAL                                   ? "ask for less than the cgroups above allow"
                                                                 : "give the kernel this controller",
             limit_name(limit));
    return fault_set(fault, STAGE_CGROUP, error, hint, "the %s limit cannot be enforced in %.200s: %s %s", limit_name(limit),
                     plan->cgroup_parent, file, what);
}

static bool read_back(int dir, const char *file, const char *expected)
{
    char text[VALUE_TEXT + 16];
    ssize_t got = sys_read_file(dir, file, text, sizeof text);

    if (got > 0 && text[got - 1] == '\n')
        text[got - 1] = '\0';
    return got > 0 && !strcmp(text, expected);
}

/* 0 done; 1 not enforced and allowed so; -errno. */
static int turn_knob(const struct plan *plan, struct cgroup *cgroup, const struct knob *knob, struct fault *fault)
{
    bool v1 = cgroup->v1[knob->controller] >= 0;
    int dir = v1 ? cgroup->v1[knob->controller] : cgroup->leaf;
    const char *file = v1 ? knob->v1 : knob->v2;
    char value[VALUE_TEXT];
    int result;

    if (!file || weakened(limit_name(knob->limit)))
        return 0; /* the other side's row */
    knob_value(plan, knob, value);
    result = sys_write_file(dir, file, value);
    if (result == -ENOENT && knob->limit == LIMIT_SWAP && plan->no_swap)
        return 0; /* no swap accounting, and nothing to swap to */
    if (result == 0 && !read_back(dir, file, value))
        result = -EIO;
    if (result == 0)
        return 0;
    if (allowed_unenforced(plan, knob->limit))
        return 1;
    return limit_fault(fault, plan, knob->limit, -result, file,
                       result == -EIO      ? "does not read back as written"
                       : result == -ENOENT ? "is missing"
                                           : "refuses it");
}

static int turn_knobs(const struct plan *plan, struct cgroup *cgroup, unsigned missing, struct fault *fault)
{
    cgroup->enforced = (1u << LIMIT_COUNT) - 1;
    for (size_t i = 0; i < KNOB_COUNT; i++) {
        int result = 1;
        if (!(missing & 1u << knobs[i].controller))
            result = turn_knob(plan, cgroup, &knobs[i], fault);
        if (result < 0)
            return result;
        if (result > 0)
            cgroup->enforced &= ~(1u << knobs[i].limit);
    }
    return 0;
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

/* Opens mount + path; where it is ours, makes what is missing, for root only (0700: nobody else may hold locks there). */
static int open_parent(const char *mount, const char *path, bool ours)
{
    char whole[2 * PATH_MAX];
    int fd;

    snprintf(whole, sizeof whole, "%s%s", mount, path);
    fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT && ours) {
        if (mkdir(whole, 0700) < 0 && errno != EEXIST)
            return -errno;
        fd = open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    }
    return fd < 0 ? -errno : fd;
}

/* Hands the controller on to the parent's children; for our own parent at the top, from the top as well. */
static bool delegate(const struct plan *plan, int parent, const char *name)
{
    char text[512], on[32];

    snprintf(on, sizeof on, "+%s", name);
    if (sys_read_file(parent, "cgroup.subtree_control", text, sizeof text) >= 0 && has_word(text, name))
        return true;
    if (plan->cgroup_parent_ours) {
        SYS_CLOSES int top = open(plan->cgroups->v2.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
        if (!allowed_unenforced(plan, controller_limit[c])) {
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
                     error == ENOENT ? "create it in every hierarchy, or correct --cgroup-parent"
                                     : "have it handed over (chown), or name another with --cgroup-parent",
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
    cgroup->v1_parent[c] = open_parent(mount, plan->cgroup_parent, plan->cgroup_parent_ours);
    if (cgroup->v1_parent[c] < 0)
        return parent_fault(plan, mount, -cgroup->v1_parent[c], fault);
    if (mkdirat(cgroup->v1_parent[c], cgroup->name, 0700) < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->v1[c] = openat(cgroup->v1_parent[c], cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->v1[c] < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->v1_tasks[c] = openat(cgroup->v1[c], "tasks", O_WRONLY | O_CLOEXEC);
    if (cgroup->v1_tasks[c] < 0)
        return parent_fault(plan, mount, errno, fault);
    return 0;
}

/* cgroup-v1/memory.rst, section 9: an eventfd that fires when the leaf runs out of memory. */
static int watch_oom(struct cgroup *cgroup, struct fault *fault)
{
    int dir = cgroup->v1[CONTROLLER_MEMORY];
    SYS_CLOSES int control = -1;
    char text[32];
    int result;

    if (dir < 0)
        return 0;
    control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    cgroup->oom_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (control < 0 || cgroup->oom_event < 0)
        return fault_set(fault, STAGE_CGROUP, errno, NULL, "memory.oom_control: cannot be watched");
    snprintf(text, sizeof text, "%d %d", cgroup->oom_event, control);
    result = sys_write_file(dir, "cgroup.event_control", text);
    return result < 0 ? fault_set(fault, STAGE_CGROUP, -result, NULL, "cgroup.event_control: refuses to watch memory.oom_control") : 0;
}

/* A shared lock on the parent says "a bivy is at work here", so whoever gets it exclusively knows that everything below is
 * stale. Only then does a run sweep: its cost stays flat in the number of live sandboxes. A lock that somebody holds for ever
 * costs the sweep and a tenth of a second, nothing else. */
static int sweep_below(const struct hierarchies *cgroups, const char *path, bool alone, uint64_t patience, struct cgroup_sweep *sweep,
                       struct fault *fault);

static void lock_parent(const struct plan *plan, struct cgroup *cgroup)
{
    struct cgroup_sweep sweep;
    struct fault ignored;

    if (flock(cgroup->parent, LOCK_EX | LOCK_NB) == 0)
        sweep_below(plan->cgroups, plan->cgroup_parent, true, 0, &sweep, &ignored);
    /* Another bivy may be sweeping at this moment; it must be done before our leaf exists without a lock of its own. */
    for (int tries = 0; flock(cgroup->parent, LOCK_SH | LOCK_NB) < 0 && tries < 100; tries++)
        poll(NULL, 0, 1);
}

static int v2_leaf(const struct plan *plan, struct cgroup *cgroup, unsigned *missing, struct fault *fault)
{
    const char *mount = plan->cgroups->v2.mount;
    int result;

    cgroup->parent = open_parent(mount, plan->cgroup_parent, plan->cgroup_parent_ours);
    if (cgroup->parent < 0)
        return parent_fault(plan, mount, -cgroup->parent, fault);
    lock_parent(plan, cgroup);
    if ((result = delegate_all(plan, cgroup->parent, missing, fault)) < 0)
        return result;
    if (mkdirat(cgroup->parent, cgroup->name, 0700) < 0)
        return parent_fault(plan, mount, errno, fault);
    cgroup->leaf = openat(cgroup->parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup->leaf < 0) {
        result = errno;
        unlinkat(cgroup->parent, cgroup->name, AT_REMOVEDIR);
        return parent_fault(plan, mount, result, fault);
    }
    /* Held until the supervisor is gone, however it goes: an unlocked leaf is stale. */
    if (flock(cgroup->leaf, LOCK_EX | LOCK_NB) < 0)
        return fault_set(fault, STAGE_CGROUP, errno, "run it again", "the new leaf %s is locked by somebody else", cgroup->name);
    SYS_CLOSES int second = openat(cgroup->parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (second < 0 || flock(second, LOCK_EX | LOCK_NB) == 0)
        return fault_set(fault, STAGE_CGROUP, EPROTO, NULL, "the new leaf %s does not stay locked", cgroup->name);
    return 0;
}

static int make_leaves(const struct plan *plan, struct cgroup *cgroup, struct fault *fault)
{
    unsigned missing = 0;
    int result = v2_leaf(plan, cgroup, &missing, fault);

    if (result < 0)
        return result;
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (!plan->cgroups->v1[c].mount[0])
            continue;
        struct fault why; /* of the run only if the limit must be enforced */
        result = v1_leaf(plan, cgroup, (enum controller)c, &why);
        if (result < 0 && !allowed_unenforced(plan, controller_limit[c])) {
            *fault = why;
            snprintf(fault->hint, sizeof fault->hint,
                     "have it made and handed over (chown) in every hierarchy, correct --cgroup-parent, or run without this limit: "
                     "--unenforced %s", limit_name(controller_limit[c]));
            return result;
        }
        if (result < 0) {
            sys_close(&cgroup->v1[c]);
            missing |= 1u << c;
        }
    }
    if ((result = turn_knobs(plan, cgroup, missing, fault)) < 0)
        return result;
    return watch_oom(cgroup, fault);
}

int cgroup_create(const struct plan *plan, struct cgroup *cgroup, struct fault *fault)
{
    int result;

    *cgroup = (struct cgroup){.parent = -1, .leaf = -1, .oom_event = -1};
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        cgroup->v1_parent[c] = cgroup->v1[c] = cgroup->v1_tasks[c] = -1;
    snprintf(cgroup->name, sizeof cgroup->name, "%s%s", CGROUP_PREFIX, plan->id);
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

int cgroup_enter(const struct cgroup *cgroup, struct fault *fault)
{
    char text[8 * 1024];
    ssize_t got;

    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (cgroup->v1_tasks[c] >= 0 && write(cgroup->v1_tasks[c], "0", 1) != 1)
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

/* The number behind `key ` at the start of a line of text. */
static bool keyed(const char *text, const char *key, uint64_t *out)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (!strncmp(line, key, length) && line[length] == ' ') {
            *out = strtoull(line + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool single(int dir, const char *file, uint64_t *out)
{
    char text[64];

    if (sys_read_file(dir, file, text, sizeof text) <= 0 || text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

static int controller_dir(const struct cgroup *cgroup, enum controller c)
{
    return cgroup->v1[c] >= 0 ? cgroup->v1[c] : cgroup->leaf;
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
    char text[1024];
    uint64_t kills = 0;
    bool v1 = cgroup->v1[CONTROLLER_MEMORY] >= 0;

    if (sys_read_file(controller_dir(cgroup, CONTROLLER_MEMORY), v1 ? "memory.oom_control" : "memory.events", text, sizeof text) > 0)
        keyed(text, "oom_kill", &kills);
    return kills;
}

int cgroup_read(const struct cgroup *cgroup, struct cgroup_readings *readings)
{
    char text[4096];
    uint64_t value;

    *readings = (struct cgroup_readings){0};
    if (cgroup->leaf < 0)
        return -ENOENT;
    readings->oom_kills = cgroup_oom_kills(cgroup);
    readings->have_peak = single(controller_dir(cgroup, CONTROLLER_MEMORY),
                                 cgroup->v1[CONTROLLER_MEMORY] >= 0 ? "memory.max_usage_in_bytes" : "memory.peak",
                                 &readings->memory_peak);
    readings->have_pids_peak = single(controller_dir(cgroup, CONTROLLER_PIDS), "pids.peak", &readings->pids_peak);
    if (sys_read_file(controller_dir(cgroup, CONTROLLER_PIDS), "pids.events", text, sizeof text) > 0)
        readings->have_pids = keyed(text, "max", &readings->pids_denied);
    /* Every v2 cgroup has these two, with or without the controller. */
    if (sys_read_file(cgroup->leaf, "cpu.stat", text, sizeof text) > 0) {
        readings->have_cpu = keyed(text, "user_usec", &value);
        readings->cpu_user = readings->have_cpu ? value * 1000 : 0;
        if (keyed(text, "system_usec", &value))
            readings->cpu_system = value * 1000;
        if (keyed(text, "throttled_usec", &value)) {
            readings->have_throttled = true;
            readings->throttled = value * 1000;
            keyed(text, "nr_throttled", &readings->throttled_periods);
        }
    }
    if (cgroup->v1[CONTROLLER_CPU] >= 0 && sys_read_file(cgroup->v1[CONTROLLER_CPU], "cpu.stat", text, sizeof text) > 0) {
        readings->have_throttled = keyed(text, "throttled_time", &readings->throttled); /* ns here */
        keyed(text, "nr_throttled", &readings->throttled_periods);
    }
    return 0;
}

/* "...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=1,uid=2": the path before the name is the kernel's, so a process whose name
 * imitates another leaf's line can only spoil its own. */
static bool oom_line(const char *line, const char *path, char *name, size_t size)
{
    const char *at = strstr(line, "oom-kill:");
    const char *group = at ? strstr(at, ",oom_memcg=") : NULL;
    const char *task = group ? strstr(group, ",task=") : NULL;
    const char *end = NULL;
    size_t length = strlen(path);

    if (!task || strncmp(group + 11, path, length) || group[11 + length] != ',')
        return false;
    task += 6;
    for (const char *next = strstr(task, ",pid="); next; next = strstr(next + 1, ",pid="))
        end = next;
    if (!end)
        return false;
    snprintf(name, size, "%.*s", (int)(end - task), task);
    return true;
}

int cgroup_oom_victim(const struct cgroup *cgroup, char *name, size_t size)
{
    char record[2048];
    int found = 0;
    SYS_CLOSES int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (log < 0)
        return 0;
    for (;;) { /* one record a read; EPIPE: overwritten meanwhile, the next read goes on behind it (Documentation/ABI/testing/dev-kmsg) */
        ssize_t got = read(log, record, sizeof record - 1);
        if (got < 0 && (errno == EPIPE || errno == EINTR || errno == EINVAL))
            continue;
        if (got <= 0)
            return found;
        record[got] = '\0';
        if (oom_line(record, cgroup->path, name, size))
            found = 1;
    }
}

int cgroup_kill(const struct cgroup *cgroup)
{
    int result;

    if (cgroup->leaf < 0)
        return -ENOENT;
    result = sys_write_file(cgroup->leaf, "cgroup.kill", "1");
    /* Fifty throttled processes would take seconds to die on half a processor. Nothing in the leaf runs its own code any more. */
    if (cgroup->v1[CONTROLLER_CPU] >= 0)
        sys_write_file(cgroup->v1[CONTROLLER_CPU], "cpu.cfs_quota_us", "-1");
    else
        sys_write_file(cgroup->leaf, "cpu.max", "max");
    return result;
}

static bool dir_populated(int dir)
{
    char text[256];
    uint64_t populated = 0;

    return sys_read_file(dir, "cgroup.events", text, sizeof text) > 0 && keyed(text, "populated", &populated) && populated;
}

void cgroup_reclaim(const struct cgroup *cgroup)
{
    bool v1 = cgroup->v1[CONTROLLER_MEMORY] >= 0;
    int dir = controller_dir(cgroup, CONTROLLER_MEMORY);
    char text[8 * 1024];
    uint64_t cached = 0;

    if (!(cgroup->enforced & 1u << LIMIT_MEMORY) || sys_read_file(dir, "memory.stat", text, sizeof text) <= 0 ||
        !keyed(text, v1 ? "cache" : "file", &cached) || cached == 0)
        return; /* nothing to give back: most runs */
    if (v1) {
        sys_write_file(dir, "memory.force_empty", "0");
    } else {
        snprintf(text, sizeof text, "%llu", (unsigned long long)cached);
        sys_write_file(dir, "memory.reclaim", text); /* since 5.19; EAGAIN: not all of it */
    }
}

bool cgroup_populated(const struct cgroup *cgroup)
{
    return cgroup->leaf >= 0 && dir_populated(cgroup->leaf);
}

/* 0 gone (or never there); -EBUSY. A cgroup that has just lost its last process may still be busy for a moment. */
static int remove_dir(int parent, const char *name, uint64_t deadline)
{
    for (;;) {
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != EBUSY || sys_now() >= deadline)
            return -errno;
        poll(NULL, 0, 1);
    }
}

int cgroup_remove(struct cgroup *cgroup, uint64_t deadline)
{
    int result = 0, last;

    /* v2 last: a leaf that is still there in any hierarchy is found by the sweep through its v2 directory. */
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (cgroup->v1_parent[c] >= 0 && (last = remove_dir(cgroup->v1_parent[c], cgroup->name, deadline)) < 0)
            result = last;
    if (cgroup->leaf >= 0 && result == 0)
        result = remove_dir(cgroup->parent, cgroup->name, deadline);
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
    sys_close(&cgroup->leaf);
    sys_close(&cgroup->parent);
}

/* A leaf nobody holds the lock of. */
static int sweep_leaf(const struct hierarchies *cgroups, const char *path, int parent, int leaf, const char *name, uint64_t patience)
{
    uint64_t deadline = sys_now() + patience;
    int result = 0, last;

    if (dir_populated(leaf))
        sys_write_file(leaf, "cgroup.kill", "1");
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (!cgroups->v1[c].mount[0])
            continue;
        SYS_CLOSES int v1 = open_parent(cgroups->v1[c].mount, path, false);
        if (v1 >= 0 && (last = remove_dir(v1, name, deadline)) < 0)
            result = last;
    }
    return result < 0 ? result : remove_dir(parent, name, deadline);
}

/* Exactly what make_id() in main.c makes, so that nobody's "bivy-test" or "bivy-worker.service" is taken for a stale leaf. */
static bool leaf_name(const char *name)
{
    size_t prefix = strlen(CGROUP_PREFIX);

    return !strncmp(name, CGROUP_PREFIX, prefix) && strlen(name + prefix) == PLAN_ID_LENGTH &&
           strspn(name + prefix, PLAN_ID_LETTERS) == PLAN_ID_LENGTH;
}

/* A leaf younger than this may be one that its bivy has made and not locked yet. */
#define SWEEP_AGE_S 2

static bool too_young(int leaf)
{
    struct stat made;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return fstat(leaf, &made) < 0 || (now.tv_sec >= made.st_ctim.tv_sec && now.tv_sec - made.st_ctim.tv_sec < SWEEP_AGE_S);
}

/* patience, ns: how long a leaf may take to empty after its processes were killed; what is stuck in a dead file system never does. */
static int sweep_below(const struct hierarchies *cgroups, const char *path, bool alone, uint64_t patience, struct cgroup_sweep *sweep,
                       struct fault *fault)
{
    int parent = open_parent(cgroups->v2.mount, path, false);
    DIR *dir;

    *sweep = (struct cgroup_sweep){0};
    if (parent == -ENOENT)
        return 0; /* no run has ever been here */
    if (parent < 0)
        return fault_set(fault, STAGE_CGROUP, -parent, "name the cgroup parent with --cgroup-parent", "%.200s%.200s: cannot be opened",
                         cgroups->v2.mount, path);
    dir = fdopendir(parent);
    if (!dir) {
        close(parent);
        return fault_set(fault, STAGE_CGROUP, ENOMEM, NULL, "out of memory");
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!leaf_name(entry->d_name))
            continue;
        SYS_CLOSES int leaf = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (leaf < 0)
            continue;
        if (flock(leaf, LOCK_EX | LOCK_NB) < 0 || (!alone && too_young(leaf)))
            sweep->live++;
        else if (sweep_leaf(cgroups, path, parent, leaf, entry->d_name, patience) < 0)
            sweep->stuck++;
        else
            sweep->removed++;
    }
    closedir(dir);
    return 0;
}

#define CLEAN_PATIENCE 500000000u /* ns */

int cgroup_sweep(const struct hierarchies *cgroups, const char *path, struct cgroup_sweep *sweep, struct fault *fault)
{
    SYS_CLOSES int parent = open_parent(cgroups->v2.mount, path, false);
    bool alone = parent >= 0 && flock(parent, LOCK_EX | LOCK_NB) == 0;

    return sweep_below(cgroups, path, alone, CLEAN_PATIENCE, sweep, fault);
}
