#include "verdict.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "autopsy.h"
#include "readings.h"
#include "stuck.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define LAST_WORDS (1000 * MS)    /* for the caller to take the last output and the record, when no time is left of the timeout */
#define ANSWER_WITHIN (1950 * MS) /* after SIGKILL: the contract's 2 s, with some room */
#define ANSWER_LEAST (150 * MS)

/* Set-up ended without a word: killed, or out of time. The progress page tells where. */
static void name_silence(struct course *course)
{
    uint32_t stage = course->progress->stage < STAGE_COUNT ? course->progress->stage : STAGE_CLONE;
    bool late = course->cause == OUTCOME_TIMEOUT;

    if (course->failed)
        return;
    if (course->cause == OUTCOME_CANCELLED)
        fault_set(&course->outcome->fault, (enum stage)stage, EINTR, NULL, "bivy was told to stop before the command ran");
    else if (course->launched->joined)
        fault_set(&course->outcome->fault, (enum stage)stage, late ? ETIMEDOUT : 0,
                  late ? "is it frozen, at its processor limit, or does its workspace not answer? bivy ps" : "has it just ended, or is its memory full? bivy ps",
                  late ? "the sandbox lets nobody in" : "who entered was killed before the command ran");
    else if (readings_oom_kills(course->cgroup) > 0)
        fault_set(&course->outcome->fault, (enum stage)stage, ENOMEM, "raise --memory", "the memory limit is too small to set the sandbox up");
    else
        fault_set(&course->outcome->fault, (enum stage)stage, late ? ETIMEDOUT : 0,
                  late ? "raise --timeout; does the file system of the rootfs or the workspace answer?" : "who killed it?",
                  late ? "set-up did not end within the timeout" : "the sandbox's first process died during set-up");
}

/* What will not go, and who could make it go. */
static void name_stuck(struct course *course)
{
    const struct place *workspace = course->plan->workspace;
    struct fault *fault = &course->outcome->fault;
    char who[300], hint[256] = "";
    struct autopsy *autopsy;

    if (course->launched->joined) { /* the leaf is another run's */
        fault_set(fault, STAGE_SUPERVISE, EIO, "it ends with what it waits for: does the workspace answer?", "the kernel does not end what entered the sandbox");
        return;
    }
    autopsy = course_look_inside(course);
    stuck_describe(autopsy, who, sizeof who);
    course->outcome->starved = stuck_by(autopsy, course->launched->pid) == STUCK_PROCESSOR;
    free(autopsy);
    if (course->outcome->starved) {
        fault_set(fault, STAGE_SUPERVISE, EAGAIN, "run fewer at once on this host; bivy clean removes what is left, once it has ended",
                  "what was killed had no processor to end on, so busy is the host: %s", who[0] ? who : "pid 1");
    } else if (workspace && workspace->may_block) {
        snprintf(hint, sizeof hint, "make %.120s answer again, or end it: umount -f, or echo 1 > /sys/fs/fuse/connections/%u/abort; then bivy clean",
                 workspace->mount, workspace->connection);
        trouble_set(fault, TROUBLE_IO_STUCK, EIO, hint, "%.100s (%.40s) holds what was killed: %s", workspace->mount, workspace->fstype,
                    who[0] ? who : "pid 1");
    } else {
        fault_set(fault, STAGE_SUPERVISE, EIO, "bivy clean, once it has ended", "the kernel does not end what was killed: %s",
                  who[0] ? who : "pid 1");
    }
    course->outcome->trouble = (enum trouble)fault->trouble;
}

void verdict(struct course *course)
{
    struct outcome *outcome = course->outcome;
    bool killed = outcome->have_status && WIFSIGNALED(outcome->wait_status) && WTERMSIG(outcome->wait_status) == SIGKILL;

    if (course->failed || !outcome->ran) {
        name_silence(course);
        if (course->phase == STUCK && !course->failed)
            name_stuck(course);
        outcome->kind = OUTCOME_SETUP_FAILED;
        outcome->have_status = false;
        return;
    }
    if (course->cause != OUTCOME_EXITED)
        outcome->kind = course->cause;
    else if (killed && (outcome->oom || readings_oom_kills(course->cgroup) > 0))
        outcome->kind = OUTCOME_OOM;
    else
        outcome->kind = WIFSIGNALED(outcome->wait_status) ? OUTCOME_SIGNALED : OUTCOME_EXITED;
    if (course->phase == STUCK) {
        outcome->timed_out = outcome->kind == OUTCOME_TIMEOUT;
        outcome->kind = OUTCOME_STUCK;
        name_stuck(course);
    }
}

/* A reader that is slow gets what is left of the time
 * when the command ended by itself, as it would have without bivy in between. */
uint64_t verdict_by(const struct course *course, uint64_t now)
{
    uint64_t by = now + LAST_WORDS, late = course->outcome->started + course->plan->timeout + course->plan->kill_after;

    if (course->cause == OUTCOME_EXITED && (course->phase == GONE || course->phase == KEPT))
        return by > late ? by : late;
    if (course->killed_at && course->killed_at + ANSWER_WITHIN < by)
        by = course->killed_at + ANSWER_WITHIN;
    return by > now + ANSWER_LEAST ? by : now + ANSWER_LEAST;
}
