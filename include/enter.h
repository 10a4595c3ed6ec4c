/* enter: what `bivy enter` has to know of the sandbox that it goes into: found, checked, and made into a plan. */
#ifndef BIVY_ENTER_H
#define BIVY_ENTER_H

#include "facts.h"
#include "fault.h"
#include "join.h"
#include "live.h"
#include "plan.h"
#include "spec.h"

struct entrance {
    struct live live;
    struct join join;
    char *words, *environment; /* texts of the supervisor's that plan and spec point into; owned */
    char **argv;               /* likewise */
    struct spec theirs;        /* what the sandbox's run was asked for */
    int init;                  /* pidfd of pid 1, or -1: the caller's to close */
};

/* Finds spec->id, which must be running or kept and this very user's, opens its namespaces and decides what the command will be: the ids,
 * limits, processors and environment of the run's own. facts_host was called. 0 or -errno with *fault; -ENOENT at STAGE_CGROUP: there is
 * no such sandbox. enter_release in either case; the entrance begins with no descriptor, ENTRANCE_NONE. */
#define ENTRANCE_NONE {.live = {.leaf = -1}, .init = -1}
int enter_find(const struct spec *spec, const struct facts *facts, struct entrance *entrance, struct plan *plan, struct fault *fault);
void enter_release(struct entrance *entrance);

#endif
