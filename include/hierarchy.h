/* hierarchy: where this host keeps each cgroup controller, from /proc/self/mountinfo and /proc/self/cgroup. Pure. */
#ifndef BIVY_HIERARCHY_H
#define BIVY_HIERARCHY_H

#include <linux/limits.h>
#include <stddef.h>
#include <stdbool.h>

#include "fault.h"

/* CPUACCT only matters on v1, where it may be mounted apart; bivy takes CPU times from v2's cpu.stat, which every cgroup has. */
enum controller { CONTROLLER_MEMORY, CONTROLLER_CPU, CONTROLLER_PIDS, CONTROLLER_COUNT };

struct hierarchy {
    char mount[PATH_MAX]; /* "" where there is none */
    char own[PATH_MAX];   /* the caller's own cgroup in it, below mount; "/" at the top */
};

struct hierarchies {
    struct hierarchy v2;
    struct hierarchy v1[CONTROLLER_COUNT]; /* mount "" : the controller is not bound to v1 */
};

const char *controller_name(enum controller controller);

/* Reads both texts (changed in place). 0; -ENOTSUP without a cgroup2 mount; -EINVAL when a text is malformed;
 * -ENAMETOOLONG. Source: cgroups(7), cgroup-v2.rst. */
int hierarchy_read(char *mountinfo, char *cgroup, struct hierarchies *out, struct fault *fault);

/* The path of hierarchy `id:list:path` for a controller in the text of /proc/PID/cgroup: NULL controller means v2 ("0::").
 * Gives a pointer into text and its length, or NULL. Does not change text. */
const char *hierarchy_path(const char *cgroup, const char *controller, size_t *length);

#endif
