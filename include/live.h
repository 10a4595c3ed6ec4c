/* live: the sandboxes that are there now, straight from the kernel: a leaf each, its pid 1, and who holds it. No state files.
 * What a process inside says of itself is not believed; what may hang because of one is asked under a deadline. */
#ifndef BIVY_LIVE_H
#define BIVY_LIVE_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "hierarchy.h"
#include "plan.h"

enum live_state {
    LIVE_STARTING, /* pid 1 is not there yet, or still at the set-up */
    LIVE_RUNNING,
    LIVE_STOPPED,  /* frozen: its bivy was stopped by Ctrl-Z, or somebody outside froze its cgroup */
    LIVE_KEPT,     /* its run has ended, a keeper holds it: --keep-on-fail */
    LIVE_ENDING,   /* pid 1 is gone, the leaf is not */
    LIVE_STALE,    /* nobody holds it: for `bivy clean` */
    LIVE_HIDDEN,   /* another user's: no more can be told */
    LIVE_COUNT
};

struct live {
    char id[PLAN_ID_TEXT];
    char name[PLAN_ID_TEXT + 8]; /* of the leaf */
    char parent[PATH_MAX];       /* the cgroup that the leaf is in, as /proc/self/cgroup shows paths; "" is the top */
    int leaf;                    /* its v2 directory; -1: may not be opened. Owned: live_release */
    enum live_state state;
    uid_t owner;  /* who made the leaf: who runs the sandbox */
    pid_t init;   /* pid 1 as its number is here; 0: not seen */
    pid_t holder; /* the supervisor, or the keeper: holds the leaf's lock, as the kernel says. 0: could not be told */
    uint64_t age; /* ns, of pid 1, or of the leaf where there is none */
};

/* A leaf in the directory parent, whose path that is, by its name. 0, or -ENOENT where it is gone. live_release in either case. */
int live_read(int parent, const char *path, const char *name, struct live *live);
void live_release(struct live *live);

/* Fills *fault for one that is LIVE_STALE: there is nothing to end or to enter. Gives -ENOENT. */
int live_stale(const struct live *live, struct fault *fault);

/* The one with this id in path or, where that is NULL, anywhere in the hierarchy. -ENOENT with *fault where there is none, -ENOTUNIQ where
 * there are two: one id is never made twice, so the other is somebody's who made a directory of that name. Of two, this user's own one
 * is meant. live_release in either case. */
int live_find(const struct hierarchies *cgroups, const char *path, const char *id, struct live *live, struct fault *fault);

/* The processes in its leaf, as their numbers are here: at most room of them. */
size_t live_processes(const struct live *live, pid_t *pids, size_t room);

/* The one that has this number in its own pid namespace, in its leaf; 0: there is none. */
pid_t live_inside(const struct live *live, pid_t number);
#define LIVE_COMMAND 2 /* the first that pid 1 made */

/* The number that a process has in its own pid namespace, where that is one level below ours; 0: it is not, or the process is gone. */
pid_t live_number_inside(pid_t pid);

/* ns until the keeper of a kept one lets it go. false: it may not be told. */
bool live_left(const struct live *live, uint64_t *left);

/* What a limit allows and what is used of it; have: the kernel told. */
struct live_usage {
    bool have_memory, have_memory_limit, have_cpu, have_cpu_limit, have_pids, have_pids_limit;
    uint64_t memory, memory_limit; /* bytes */
    uint64_t cpu;                  /* ns used */
    uint64_t cpu_limit;            /* thousandths of a processor */
    uint64_t pids, pids_limit;
};
void live_usage(const struct hierarchies *cgroups, const struct live *live, struct live_usage *usage);

/* The directory that is bound at /workspace, by its path here. "" where it is scratch or cannot be told. */
void live_workspace(const struct live *live, char *path, size_t size);

/* The command line of the command (NUL-separated, hostile bytes, cut at size), read under a deadline: a process inside can make whoever
 * reads it wait for a file system that is silent. Gives its length; 0: there is no such process any more. */
size_t live_command(const struct live *live, char *bytes, size_t size);

/* The host user of the sandbox's own; false: it cannot be told. */
bool live_host_ids(pid_t pid, uid_t *uid, gid_t *gid);

/* Path as live_find's. The same ending as a timeout's: SIGTERM to who holds it, then waits for the leaf to be gone, at most until `by` (sys_now() scale).
 * 0; -ENOENT: there is none, or nobody who could end it; another -errno: it could not be ended. *fault says why. */
int live_end(const struct hierarchies *cgroups, const char *path, const char *id, uint64_t by, struct fault *fault);

/* The name of a keeper's process: found by it, believed only if it holds the leaf's lock. */
#define LIVE_KEEPER "bk-"

#endif
