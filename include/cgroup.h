/* cgroup: one leaf per run: made, entered, killed, removed. Its limits are knobs.c's, what its files say is readings.c's.
 * Kernel: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
#ifndef BIVY_CGROUP_H
#define BIVY_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "plan.h"

struct cgroup {
    int parent;                   /* v2 directory above the leaf, shared lock held: "a bivy is at work here" */
    int leaf;                     /* v2 directory, locked for as long as the supervisor lives; -1: none */
    int v1_parent[CONTROLLER_COUNT]; /* -1: the controller is on v2, or not enforced */
    int v1[CONTROLLER_COUNT];     /* the leaf in the v1 hierarchy; two controllers in one hierarchy share it */
    int v1_tasks[CONTROLLER_COUNT]; /* opened for the child to enter by */
    int seats;                    /* which processors it has (seats.h); -1: that is left to chance */
    int oom_event;                /* v1: eventfd that fires at an OOM; v2: memory.events, POLLPRI when it has changed; -1: none */
    char name[PLAN_ID_TEXT + 8];
    unsigned missing;             /* 1u << enum controller: the leaf does not have it, and need not */
    unsigned enforced;            /* 1u << enum limit */
    char path[PATH_MAX];          /* of the leaf, the same in every hierarchy, as /proc/PID/cgroup must show it */
};

/* What a struct cgroup is before anything: no leaf, nothing open. */
void cgroup_none(struct cgroup *cgroup);

/* Makes the leaf. On failure everything made is removed again. Sweeps stale leaves first when no other bivy is at work. */
int cgroup_create(const struct plan *plan, struct cgroup *cgroup, struct fault *fault);

/* Opens the leaf of a live sandbox, for a process of ours to be born in: no lock is taken, nothing made. */
int cgroup_open(const struct hierarchies *cgroups, const char *parent, const char *name, struct cgroup *cgroup, struct fault *fault);

/* Writes every limit and reads it back: after clone3, while the child builds its mounts and before it may go on to the command. A limit
 * that cannot be enforced is a fault unless plan->unenforced names it. */
int cgroup_limit(const struct plan *plan, struct cgroup *cgroup, struct fault *fault);

/* In the child: enters the v1 hierarchies and checks in /proc/self/cgroup that it is in the leaf of every one. */
int cgroup_enter(const struct cgroup *cgroup, struct fault *fault);

/* SIGKILL to everything in the leaf, at once (cgroup.kill, 5.14), and no CPU limit for the dying. */
int cgroup_kill(const struct cgroup *cgroup);

/* No CPU limit for those that were killed and need time to die; and the limits once more as they were, for a sandbox that is kept. */
void cgroup_unthrottle(const struct cgroup *cgroup);
int cgroup_throttle(const struct plan *plan, const struct cgroup *cgroup, struct fault *fault);

/* Everything in the leaf stands still, or goes on (cgroup.freeze, 5.2). What stands still can be killed. */
void cgroup_freeze(const struct cgroup *cgroup, bool still);

/* Gives the page cache that is charged to the leaf back, for a workspace whose files others change too, on another host: what the kernel
 * has of them here would be read by the next run, and be old (cgroup-v2.rst, memory.reclaim; cgroup-v1/memory.rst, force_empty). It
 * takes pages of the rootfs along that this run was the first to read. */
void cgroup_reclaim(const struct cgroup *cgroup);

/* Did the caller allow this limit to go unenforced? */
bool cgroup_unenforced(const struct plan *plan, enum limit limit);

/* The leaf's directory in the hierarchy that the controller is bound to. */
int cgroup_controller(const struct cgroup *cgroup, enum controller c);

/* Is there still a process in it? */
bool cgroup_populated(const struct cgroup *cgroup);

/* Removes the leaf everywhere; waits at most deadline (sys_now() scale) for the last process. 0, or -EBUSY and the rest stays
 * for `bivy clean`. Idempotent. */
int cgroup_remove(struct cgroup *cgroup, uint64_t deadline);

/* The run is over and its leaf stays, for a keeper: from here on it is held by its own lock alone, and the next run sweeps what is stale
 * beside it. */
void cgroup_keep(const struct cgroup *cgroup);

/* Closes descriptors only (the child's copy). */
void cgroup_close(struct cgroup *cgroup);

#endif
