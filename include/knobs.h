/* knobs: a leaf's limits, from one table (v2 file, v1 file). */
#ifndef BIVY_KNOBS_H
#define BIVY_KNOBS_H

#include "cgroup.h"
#include "fault.h"
#include "plan.h"

/* Writes every limit into the leaf's files and reads it back. missing: 1u << controller for those that the leaf does not have and
 * that may go unenforced. Fills cgroup->enforced. 0, or -errno with *fault for a limit that must be enforced and cannot be. */
int knobs_turn(const struct plan *plan, struct cgroup *cgroup, unsigned missing, struct fault *fault);

#endif
