/* course: how far a run has come and what ends it: its phases, and the deadline of each. */
#ifndef BIVY_COURSE_H
#define BIVY_COURSE_H

#include <stdbool.h>
#include <stdint.h>

#include "autopsy.h"
#include "cgroup.h"
#include "launch.h"
#include "outcome.h"
#include "plan.h"
#include "sampling.h"
#include "streams.h"

/* RUNNING, then as far as needed: TERMINATING (SIGTERM was sent), CLEARING (all but pid 1 are being killed, with --keep-on-fail), KILLING; and in
 * the end GONE (pid 1 is dead and reaped), KEPT (pid 1 alone is left, and waits) or STUCK (the kernel does not end it). */
enum course_phase { RUNNING, TERMINATING, CLEARING, KILLING, GONE, KEPT, STUCK };

struct course {
    const struct plan *plan;
    const struct cgroup *cgroup;
    struct launched *launched;
    struct streams *streams;
    const struct progress *progress;
    struct outcome *outcome;
    enum course_phase phase;
    uint64_t deadline;        /* of the phase */
    uint64_t killed_at;       /* less what the autopsy took, which is of the time to answer; 0: was not */
    uint64_t autopsied;       /* how long it took */
    enum outcome_kind cause;  /* why the supervisor ends it; OUTCOME_EXITED: it does not */
    bool failed;              /* a fault came up the pipe */
    bool aborted;             /* the workspace's connection was ended, if it held anybody; or who looks after a command that joined was killed as well */
    struct sampling sampling; /* of a phase up to TERMINATING */
};

#define COURSE_JOIN ((uint64_t)30000000000) /* ns for whoever enters to be ready: a sandbox at its processor limit has little time to give */

/* The contract's ending: SIGTERM, a grace, SIGKILL. The first cause counts. */
void course_end(struct course *course, enum outcome_kind cause);
/* SIGKILL to everybody, or, with --keep-on-fail, to everybody but pid 1. */
void course_finish(struct course *course);
/* SIGKILL to everybody. */
void course_kill(struct course *course);
/* What comes next if the phase's time is up. */
void course_late(struct course *course, uint64_t now);

/* The command has ended and pid 1 has told how. */
void course_command_ended(struct course *course);
/* pid 1 has told that nobody but it is left. */
void course_alone(struct course *course);
/* pid 1 is dead and its last words were read. */
void course_gone(struct course *course);

/* What everybody inside is doing; to be freed. */
struct autopsy *course_look_inside(const struct course *course);

#endif
