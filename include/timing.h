/* timing: where the time of a run went: when each stage began, on CLOCK_MONOTONIC, on the host's side and in the sandbox. */
#ifndef BIVY_TIMING_H
#define BIVY_TIMING_H

#include <stddef.h>
#include <stdint.h>

#include "fault.h"

/* Behind the stages of the set-up (fault.h), in the order in which a run passes them. */
enum timing_stage {
    TIMING_COMMAND = STAGE_COUNT, /* from the call of execve to the command's end, as pid 1 saw it */
    TIMING_TEARDOWN,              /* from there until the kernel has ended pid 1 and its namespaces */
    TIMING_LIMITS,                /* the leaf's limits, beside the child's first stages */
    TIMING_WAIT,                  /* the host: from there until pid 1 is gone */
    TIMING_OUTPUT,                /* the last output passed on */
    TIMING_READINGS,              /* what the leaf's files say */
    TIMING_AFTER,                 /* the look at the workspace after the run, --sync with it */
    TIMING_UNDO,                  /* the leaf removed */
    TIMING_RECORD,                /* the record; in the record itself only when that began */
    TIMING_DONE,                  /* nothing left but to print this */
    TIMING_COUNT
};

struct timing {
    uint64_t began[TIMING_COUNT]; /* ns; 0: this run did not come there. The index is an enum stage or an enum timing_stage */
};

struct timing_row {
    const char *name;
    const char *side;   /* "host" or "sandbox" */
    int stage;          /* enum stage or enum timing_stage */
    uint64_t start, ns; /* since the first stage began; until the same side's next stage, so a host row may hold waiting */
};

/* A stage of the host's begins now. */
void timing_begin(struct timing *timing, int stage);

/* The rows, by start: the name and how long each took. A stage that has begun and whose end is not known (the last) has none.
 * Gives how many; rows has room for TIMING_COUNT. Pure. */
size_t timing_rows(const struct timing *timing, struct timing_row rows[TIMING_COUNT]);

#endif
