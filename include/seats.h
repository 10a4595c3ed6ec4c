/* seats: which processors a sandbox takes, so that those that are at work at the same time, below one cgroup parent, share them evenly. The
 * kernel keeps the count: for each sandbox and processor a lock on one byte of the parent's cgroup.procs, gone with its supervisor. */
#ifndef BIVY_SEATS_H
#define BIVY_SEATS_H

#include <sched.h>

#include "plan.h"

/* For the supervisor, who holds the locks by it: a descriptor (owned by the caller), or -errno, and then nothing is shared out. parent: the v2
 * directory above the leaf. Where the plan does not narrow the processors, -ENOTSUP. */
int seats_open(int parent, const struct plan *plan);

/* As many processors as the plan gives: those that the fewest others have, and of these the nearest from `current` upwards and round, where the
 * scheduler has just put the caller. seats negative: from current on. A crowd of more than some eight sandboxes a processor is left to chance, which
 * evens out. The locks (F_OFD_SETLK, fcntl(2)) belong to the open file, so that a child may take them for its supervisor. */
void seats_take(int seats, const struct plan *plan, unsigned current, cpu_set_t *chosen);

#endif
