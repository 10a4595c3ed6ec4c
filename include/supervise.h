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

/* Who is told of a run while it goes on. Whatever it does must not take long: the sandbox is not looked after meanwhile. */
struct watcher {
    void *data;
    void (*ready)(void *data);                  /* the gate let the command pass; nothing of its output was passed on yet. May be NULL */
    uint64_t (*tick)(void *data, uint64_t now); /* at first_tick, then when it said last (sys_now() scale; UINT64_MAX: no more) */
    uint64_t first_tick;
    void (*output)(void *data); /* output of the command's is about to go to a terminal */
};

/* From clone3 to the last process of the sandbox being gone, or known to be stuck. Fills *outcome. */
void supervise(const struct plan *plan, const struct cgroup *cgroup, struct launched *launched, struct streams *streams,
               const struct progress *progress, int signals, const struct watcher *watcher, struct outcome *outcome);

#endif
