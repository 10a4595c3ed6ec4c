/* watch: what people see of a run while it goes on: the set-up told stage by stage (--verbose), and on a terminal one line that is
 * redrawn: how long, how much memory. It is supervise's watcher. With main and report the only room that prints. */
#ifndef BIVY_WATCH_H
#define BIVY_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "message.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"
#include "streams.h"
#include "supervise.h"

struct watch {
    struct watcher watcher; /* what supervise calls */
    const struct spec *spec;
    const struct plan *plan;
    const struct cgroup *cgroup;
    struct streams *streams;
    const struct progress *progress; /* NULL: there is none yet */
    const struct outcome *outcome;
    bool on;             /* watch_begin was called */
    bool looked;         /* whether there is a terminal to draw on */
    bool drawn;          /* the line stands there */
    int terminal;        /* -1: none; an open file description of our own, non-blocking */
    uint64_t told;       /* 1u << stage: told already */
    uint64_t word_after; /* how long until the next word on a set-up that does not come on */
};

/* Everything that *watch names must outlive it. Makes no system call. */
void watch_begin(struct watch *watch);

/* What is still to be told of a set-up that did not get as far as the command, and the line taken away. Nothing of ours may be printed
 * between watch_begin and this. Waits for a slow terminal until `by` at the most, and not long. Idempotent. */
void watch_end(struct watch *watch, uint64_t by);

#endif
