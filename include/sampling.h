/* sampling: looks now and then at what a run's memory is, and keeps the look that tells most: the one at the limit, or else the largest. */
#ifndef BIVY_SAMPLING_H
#define BIVY_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "outcome.h"

struct sampling {
    const struct cgroup *cgroup;
    struct outcome *outcome; /* usage, major faults and open files are kept there */
    uint64_t next;           /* when to look again (sys_now() scale); UINT64_MAX: never */
};

void sampling_begin(struct sampling *sampling, const struct cgroup *cgroup, struct outcome *outcome, bool wanted);
/* Looks, if it is time to. */
void sampling_turn(struct sampling *sampling, uint64_t now);
/* The limit was reached, at this moment. */
void sampling_at_limit(struct sampling *sampling);
/* Before whoever has a time limit is ended. */
void sampling_last(struct sampling *sampling);
/* The command has ended, and with it its heap. */
void sampling_end(struct sampling *sampling);

#endif
