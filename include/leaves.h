/* leaves: the directories that bivy makes in the cgroup hierarchies: opened, removed, and swept when their supervisor is gone. */
#ifndef BIVY_LEAVES_H
#define BIVY_LEAVES_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "hierarchy.h"

#define LEAVES_PREFIX "bivy-"

/* Opens mount + path; where it is ours, makes what is missing, for its owner only (0700: nobody else may hold locks there). The
 * descriptor (owned by the caller), or -errno. */
int leaves_open_parent(const char *mount, const char *path, bool ours);

/* rmdir of name below parent; waits at most deadline (sys_now() scale) for its last process. 0 gone or never there, or -EBUSY. */
int leaves_remove(int parent, const char *name, uint64_t deadline);

/* Has this line of the v2 cgroup's cgroup.events a number that is not 0? */
bool leaves_event(int leaf, const char *name);

/* Is there a live process in or below it? */
bool leaves_populated(int leaf);

/* Is it the name of a leaf: LEAVES_PREFIX and a run's id? */
bool leaves_name(const char *name);

/* May its bivy have made this leaf and not locked it yet? Nobody else may try its lock then. */
bool leaves_young(int leaf);

/* Called with each leaf: its parent's descriptor and path, and its name, which are valid for the call only. Not 0: no more of them. */
typedef int leaves_visitor(int parent, const char *path, const char *name, void *data);

/* Every leaf in the directory path of the v2 hierarchy or, where path is NULL, in all of the hierarchy that this user may look at: 32 deep,
 * and not in leaves, which have nothing below. 0, also where path is not there, or -errno with *fault. */
int leaves_walk(const struct hierarchies *cgroups, const char *path, leaves_visitor *visit, void *data, struct fault *fault);

struct leaves_sweep {
    unsigned removed, live, stuck;
};

/* Kills and removes leaves below path whose supervisor is gone: nobody holds their lock. alone: the caller holds the parent's lock
 * exclusively, so that no new leaf can be about to be locked. deadline (sys_now() scale): until then a leaf may take to empty after
 * its processes were killed; what is stuck in a dead file system never does. */
int leaves_sweep(const struct hierarchies *cgroups, const char *path, bool alone, uint64_t deadline, struct leaves_sweep *sweep,
                 struct fault *fault);

/* The same for `bivy clean`: finds out whether it is alone, and is patient. */
int leaves_clean(const struct hierarchies *cgroups, const char *path, struct leaves_sweep *sweep, struct fault *fault);

/* Gives the page cache of runs that have ended back, where no bivy is at work below path: what a run wrote to its workspace or read
 * first of the rootfs stays charged to its leaf, and the leaf's memory cgroup lives on, unseen, for as long (cgroup-v2.rst,
 * memory.reclaim; cgroup-v1/memory.rst, force_empty). Takes a few milliseconds, more where pages must be written first; ends at
 * deadline (sys_now() scale) at the latest. */
void leaves_reclaim(const struct hierarchies *cgroups, const char *path, uint64_t deadline);

/* The same for the end of a run: only now and then, by the run's id, and only if there are many such cgroups. */
void leaves_tend(const struct hierarchies *cgroups, const char *path, const char *id);

#endif
