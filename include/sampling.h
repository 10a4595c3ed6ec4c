/* sampling: looks now and then at what a run's memory is, and keeps the look that tells most: the one at the limit, or else the largest. */
#ifndef BIVY_SAMPLING_H
#define BIVY_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "launch.h"
#include "outcome.h"
#include "plan.h"

struct sampling {
    const struct plan *plan;
    const struct cgroup *cgroup;
    const struct launched *launched;
    struct outcome *outcome; /* usage, major faults, and who had most open and was largest are kept there */
    uint64_t next;           /* when to look again (sys_now() scale); UINT64_MAX: never */
};

void sampling_begin(struct sampling *sampling, const struct plan *plan, const struct cgroup *cgroup, const struct launched *launched,
                    struct outcome *outcome);
/* Looks, if it is time to. */
void sampling_turn(struct sampling *sampling, uint64_t now);
/* v1: memory has run out, and who is largest is still there to be looked at. */
void sampling_before_kill(struct sampling *sampling);
/* The limit was reached, at this moment. */
void sampling_at_limit(struct sampling *sampling);
/* Before whoever has a time limit is ended. */
void sampling_last(struct sampling *sampling);
/* The command has ended, and with it its heap. */
void sampling_end(struct sampling *sampling);

#endif
