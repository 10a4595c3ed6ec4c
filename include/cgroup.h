/* cgroup: one leaf per run: made, limited, read, killed, removed. Limits come from one table of knobs (v2 file, v1 file).
 * Kernel: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
#ifndef BIVY_CGROUP_H
#define BIVY_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "plan.h"

#define CGROUP_PREFIX "bivy-"

struct cgroup {
    int parent;                   /* v2 directory above the leaf, shared lock held: "a bivy is at work here" */
    int leaf;                     /* v2 directory, locked for as long as the supervisor lives; -1: none */
    int v1_parent[CONTROLLER_COUNT]; /* -1: the controller is on v2, or not enforced */
    int v1[CONTROLLER_COUNT];     /* the leaf in the v1 hierarchy; two controllers in one hierarchy share it */
    int v1_tasks[CONTROLLER_COUNT]; /* opened for the child to enter by */
    int oom_event;                /* v1: eventfd that fires at an OOM; -1 on v2 */
    char name[PLAN_ID_TEXT + 8];
    unsigned enforced;            /* 1u << enum limit */
    char path[PATH_MAX];          /* of the leaf, the same in every hierarchy, as /proc/PID/cgroup must show it */
};

struct cgroup_readings {
    bool have_peak, have_pids_peak, have_pids, have_throttled, have_cpu;
    uint64_t memory_peak;
    uint64_t oom_kills;
    uint64_t pids_peak, pids_denied;
    uint64_t cpu_user, cpu_system, throttled; /* ns */
    uint64_t throttled_periods;
};

/* Makes the leaf, writes every limit and reads it back. On failure everything made is removed again. A limit that cannot be
 * enforced is a fault unless plan->unenforced names it. Sweeps stale leaves first when no other bivy is at work. */
int cgroup_create(const struct plan *plan, struct cgroup *cgroup, struct fault *fault);

/* In the child: enters the v1 hierarchies and checks in /proc/self/cgroup that it is in the leaf of every one. */
int cgroup_enter(const struct cgroup *cgroup, struct fault *fault);

int cgroup_read(const struct cgroup *cgroup, struct cgroup_readings *readings);

/* v1 has no memory.oom.group: has the kernel killed something of this leaf for memory? */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);

/* The name of the process the kernel chose, from the kernel log: 1 found, 0 not (no right to read it, or rate-limited). */
int cgroup_oom_victim(const struct cgroup *cgroup, char *name, size_t size);

/* SIGKILL to everything in the leaf, at once (cgroup.kill, 5.14), and no CPU limit for the dying. */
int cgroup_kill(const struct cgroup *cgroup);

/* Gives the page cache that is charged to the leaf back, where there is any: a removed memory cgroup lives on, unseen, for as long as
 * a page is charged to it (cgroup-v2.rst, memory.reclaim; cgroup-v1/memory.rst, force_empty). */
void cgroup_reclaim(const struct cgroup *cgroup);

/* Is there still a process in it? */
bool cgroup_populated(const struct cgroup *cgroup);

/* Removes the leaf everywhere; waits at most deadline (sys_now() scale) for the last process. 0, or -EBUSY and the rest stays
 * for `bivy clean`. Idempotent. */
int cgroup_remove(struct cgroup *cgroup, uint64_t deadline);

/* Closes descriptors only (the child's copy). */
void cgroup_close(struct cgroup *cgroup);

struct cgroup_sweep {
    unsigned removed, live, stuck;
};
/* Kills and removes leaves below the plan's parent whose supervisor is gone. */
int cgroup_sweep(const struct hierarchies *cgroups, const char *parent, struct cgroup_sweep *sweep, struct fault *fault);

#endif
