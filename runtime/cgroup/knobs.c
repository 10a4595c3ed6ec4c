#include "knobs.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "options.h"
#include "readings.h"
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
        snprintf(text, VALUE_TEXT, plan->keep ? "0" : "1"); /* pid 1 is to outlive the others */
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

    return got > 0 && readings_same(text, (size_t)got, expected);
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
    if (cgroup_unenforced(plan, knob->limit))
        return 1;
    return limit_fault(fault, plan, knob->limit, -result, file,
                       result == -EIO      ? "does not read back as written"
                       : result == -ENOENT ? "is missing"
                                           : "refuses it");
}

int knobs_turn(const struct plan *plan, struct cgroup *cgroup, unsigned missing, struct fault *fault)
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
