/* supervise: the one loop of the supervisor: sandbox, deadlines, signals, streams, memory events. Every wait has a deadline. */
#ifndef BIVY_SUPERVISE_H
#define BIVY_SUPERVISE_H

#include "cgroup.h"
#include "launch.h"
#include "outcome.h"
#include "plan.h"
#include "streams.h"

/* Blocks the signals that cancel a run and gives the descriptor they come by. */
int supervise_signals(struct fault *fault);

/* From clone3 to the last process of the sandbox being gone, or known to be stuck. Fills *outcome. */
void supervise(const struct plan *plan, const struct cgroup *cgroup, struct launched *launched, struct streams *streams,
               const struct progress *progress, int signals, struct outcome *outcome);

#endif
