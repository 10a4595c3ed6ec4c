/* handover: what root does by hand about cgroups, as a command for a shell: make a parent, hand it and controllers over, make mounts writable.
 * Only texts; all are added to what text holds, which is long enough or cut. */
#ifndef BIVY_HANDOVER_H
#define BIVY_HANDOVER_H

#include <stddef.h>
#include <sys/types.h>

#include "hierarchy.h"
#include "setting.h"

void handover_add(char *text, size_t size, const char *more);

/* For root, or where a parent was given: one that can be used, and is owner's. For a user: a cgroup of his own, with the shell that bivy was
 * started from in a child of it (cgroups(7), "Delegation"; bivy's own cgroup and the leaves need one directory above them that is his). */
void handover_parent(const struct setting *setting, const char *given, const struct hierarchies *cgroups, uid_t owner, char *text, size_t size);

/* For a user whose parent it is: the shell that bivy was started from moved to a child of it, for who makes a process in a leaf must be below
 * the same directory of his. */
void handover_shell(const struct setting *setting, const struct hierarchies *cgroups, const char *path, char *text, size_t size);

/* The controllers that are on v2, handed on from the top down to path. */
void handover_controllers(const struct hierarchies *cgroups, const char *path, char *text, size_t size);

/* Every hierarchy that is mounted read-only, mounted as it must be. */
void handover_writable(const struct hierarchies *cgroups, char *text, size_t size);

#endif
