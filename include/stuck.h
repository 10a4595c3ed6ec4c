/* stuck: who of a leaf will not end although he was killed, and what he waits for. */
#ifndef BIVY_STUCK_H
#define BIVY_STUCK_H

#include <stdbool.h>
#include <stddef.h>

#include "cgroup.h"
#include "place.h"

/* Writes a line about the leaf's processes (pid, name, system call, wait channel; proc(5)) into text, which always ends with NUL. Their
 * names are theirs: any byte may be in it. Reads only files that do not take a lock that a stuck process may hold. */
void stuck_describe(const struct cgroup *cgroup, char *text, size_t size);
/* The same of one process. */
void stuck_describe_process(int pid, char *text, size_t size);

/* Ends the FUSE connection that a place is on: every waiting request fails at once (Documentation/filesystems/fuse.rst). 0 or -errno. */
int stuck_abort(const struct place *place);

#endif
