/* outcome: what was seen of a run. Filled by supervise, course, sampling, verdict and main, read by record and report. */
#ifndef BIVY_OUTCOME_H
#define BIVY_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "autopsy.h"
#include "explain.h"
#include "readings.h"
#include "fault.h"
#include "message.h"
#include "timing.h"
#include "trouble.h"
#include "words.h"

enum outcome_kind {
    OUTCOME_EXITED, OUTCOME_SIGNALED, OUTCOME_TIMEOUT, OUTCOME_OOM, OUTCOME_OUTPUT_LIMIT, OUTCOME_CANCELLED,
    OUTCOME_SETUP_FAILED, OUTCOME_STUCK
};

/* Shared memory that is no file is counted together with scratch: what is farther beyond its size than this is not scratch alone. */
#define OUTCOME_SCRATCH_NEAR ((uint64_t)256 * 1024)

struct outcome {
    enum outcome_kind kind;
    bool have_status;   /* wait_status is the command's */
    int wait_status;
    int cancel_signal;  /* that bivy was sent */
    bool ran;           /* the gate let it pass: the command may have done something */
    bool ready;         /* likewise, and what the gate read back arrived */
    struct readback readback;
    struct fault fault; /* outcome setup_failed; also record-writing trouble */
    bool timed_out;     /* it is stuck since its time was up */
    bool starved;       /* it is stuck, and nothing holds who is left: they lack a processor to end on */
    bool oom;
    struct oom_report victim; /* what the kernel log tells of who was killed for memory */
    struct usage usage;       /* the leaf's memory where it is known best: at the limit, in a sample, at the end */
    uint64_t scratch_most;    /* of scratch in any look; 0: none was seen */
    bool have_major_faults;
    uint64_t major_faults;    /* until the last look */
    struct processes most;    /* that a look saw in one process */
    struct ended ended;       /* pid 1's word, where have_status */
    uint64_t started, ready_at, ended_at; /* CLOCK_MONOTONIC ns */
    uint64_t answer_by;                   /* likewise: everything must be said by then; 0: no matter */
    int64_t started_wall;                 /* CLOCK_REALTIME ns */
    bool have_readings; /* taken at the command's end already where it left nobody behind */
    struct readings readings;
    unsigned enforced; /* 1u << enum limit */
    struct {
        uint64_t seen, passed;
        bool truncated;
    } out, err;
    const struct words *words; /* the last on stderr, of the streams; NULL: nothing ran */
    enum trouble trouble; /* with the workspace, before, during or after the run */
    struct {
        bool asked;
        uint64_t files, ns; /* brought to the server, and how long it took */
        int error;          /* errno: 0 all of them; ETIMEDOUT: out of time */
    } sync;
    struct autopsy *autopsy; /* taken at a timeout and when the run was cancelled, else NULL. Owned: free() */
    bool have_unreachable; /* asked only where the command failed */
    uint64_t unreachable;  /* what it wanted to send and had no route for */
    struct explain *explain; /* NULL without --explain; owned by main */
    struct timing timing;
    uint64_t kept;      /* ns that the sandbox stays, --keep-on-fail; 0: it does not */
    int64_t kept_until; /* CLOCK_REALTIME ns */
    char residue[256]; /* "" or what could not be removed and why */
};

/* As the record has it: "exited", "timeout", ... */
const char *outcome_name(enum outcome_kind kind);
/* "SIGTERM" for 15, "SIG40" for one without a name, written to text, which it gives. */
enum { OUTCOME_SIGNAL_TEXT = 16 };
const char *outcome_signal_name(int number, char text[OUTCOME_SIGNAL_TEXT]);
/* bivy's own exit status (124 timeout, 125 set-up, 126, 127, 128+n). */
int outcome_status(const struct outcome *outcome);

#endif
