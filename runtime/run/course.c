#include "course.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "init.h"
#include "readings.h"
#include "stuck.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define STUCK_AFTER (1700 * MS)  /* from SIGKILL to saying that the kernel cannot end it: part of the contract's 2 s */
#define ABORT_AFTER (1400 * MS)  /* with --abort-stuck: from SIGKILL to ending the connection */
#define DRAIN_WITHIN (300 * MS)  /* from the command's end to that of the sandbox; then SIGKILL by cgroup, and no processor limit */
#define JOINED_ENDS (500 * MS)   /* for who entered to go by himself; then SIGKILL, as to one who is frozen */
#define CLEAR_WITHIN (1000 * MS) /* for all but pid 1 to be gone, with --keep-on-fail; then pid 1 goes too */

void course_kill(struct course *course)
{
    if (course->phase >= KILLING)
        return;
    if (course->launched->joined) {
        sys_close(&course->launched->lifeline); /* who looks after the command that joined ends it, reaps it and tells */
    } else {
        cgroup_kill(course->cgroup);
        sys_pidfd_send_signal(course->launched->pidfd, SIGKILL); /* pid 1 as well: its namespace goes with it, should the cgroup not */
    }
    if (course->phase != CLEARING)
        course->killed_at = sys_now() - course->autopsied;
    course->phase = KILLING;
    course->deadline = course->killed_at + (course->launched->joined ? JOINED_ENDS : course->plan->abort_stuck ? ABORT_AFTER : STUCK_AFTER);
}

/* Without pid 1, whose story the supervisor knows, unless there is nobody else yet. */
struct autopsy *course_look_inside(const struct course *course)
{
    const struct autopsy_subject subject = {.cgroup = course->cgroup, .plan = course->plan, .streams = course->streams->inode,
                                            .init = course->outcome->ran ? course->launched->pid : 0};

    return autopsy_take(&subject);
}

/* What ends a connection ends it for all files of the mount: not because the host is merely busy. */
static bool is_held(const struct course *course)
{
    struct autopsy *autopsy = course_look_inside(course);
    bool held = stuck_by(autopsy, course->launched->pid) == STUCK_HELD;

    free(autopsy);
    return held;
}

/* What everybody is doing, before SIGTERM changes it. */
static void examine(struct course *course)
{
    uint64_t begun = sys_now();

    if (course->launched->joined)
        return; /* the leaf is another run's */
    course->outcome->autopsy = course_look_inside(course);
    course->autopsied = sys_now() - begun;
}

/* With --keep-on-fail pid 1 kills all but itself; what the cgroup could kill is everybody. Whoever cancels a run wants it gone. */
void course_finish(struct course *course)
{
    const char keep = INIT_KEEP;

    if (course->phase >= CLEARING)
        return;
    if (!course->plan->keep || !course->outcome->ran || course->failed || course->cause == OUTCOME_CANCELLED ||
        SYS_AGAIN(write(course->launched->lifeline, &keep, 1)) != 1) {
        course_kill(course);
        return;
    }
    course->phase = CLEARING;
    course->killed_at = sys_now() - course->autopsied;
    course->deadline = course->killed_at + CLEAR_WITHIN;
}

void course_end(struct course *course, enum outcome_kind cause)
{
    if (course->phase != RUNNING)
        return;
    course->cause = cause;
    if (course->outcome->ran && (cause == OUTCOME_TIMEOUT || cause == OUTCOME_CANCELLED)) {
        examine(course);
        sampling_last(&course->sampling);
    }
    /* Whoever floods its output may catch SIGTERM and go on: no grace. */
    if (!course->outcome->ran || cause == OUTCOME_OUTPUT_LIMIT || course->plan->kill_after == 0 ||
        SYS_AGAIN(write(course->launched->lifeline, "T", 1)) != 1) {
        course_finish(course);
        return;
    }
    course->phase = TERMINATING;
    course->deadline = sys_now() + course->plan->kill_after;
}

void course_late(struct course *course, uint64_t now)
{
    if (now < course->deadline)
        return;
    switch (course->phase) {
    case RUNNING:
        if (course->outcome->have_status)
            course_kill(course);
        else
            course_end(course, OUTCOME_TIMEOUT);
        break;
    case TERMINATING:
        course_finish(course);
        break;
    case CLEARING:
        course_kill(course);
        break;
    case KILLING:
        if (course->launched->joined && !course->aborted) {
            course->aborted = true;
            sys_pidfd_send_signal(course->launched->pidfd, SIGKILL); /* its command goes with it, and comes to bivy, the subreaper */
            course->deadline = course->killed_at + STUCK_AFTER;
        } else if (course->plan->abort_stuck && !course->aborted) {
            course->aborted = true;
            if (is_held(course)) {
                course->outcome->trouble = TROUBLE_IO_STUCK;
                stuck_abort(course->plan->workspace);
            }
            course->deadline = course->killed_at + STUCK_AFTER;
        } else {
            course->phase = STUCK;
        }
        break;
    case GONE:
    case KEPT:
    case STUCK:
        break;
    }
}

/* pid 1 waits to be told what becomes of the sandbox. */
static void end_kept(struct course *course)
{
    if (course->cause != OUTCOME_EXITED || course->outcome->wait_status != 0)
        course_finish(course);
    else
        sys_close(&course->launched->lifeline); /* all went well */
}

void course_command_ended(struct course *course)
{
    if (course->plan->keep && course->phase < CLEARING)
        end_kept(course);
    /* pid 1 exits now, and the kernel kills the rest: whoever is not gone soon is held by something. */
    if (course->phase < CLEARING && course->deadline > sys_now() + DRAIN_WITHIN)
        course->deadline = sys_now() + DRAIN_WITHIN;
}

/* Nobody but pid 1 is left. Without limits nothing is kept. */
void course_alone(struct course *course)
{
    struct fault unused;

    if (course->phase != CLEARING)
        return;
    if (!course->outcome->have_readings)
        course->outcome->have_readings = readings_take(course->cgroup, &course->outcome->readings) == 0;
    if (!course->outcome->have_status || cgroup_throttle(course->plan, course->cgroup, &unused) < 0) {
        course_kill(course);
        return;
    }
    course->outcome->kept = course->plan->keep;
    course->phase = KEPT;
}

void course_gone(struct course *course)
{
    course->phase = GONE;
    if (!course->outcome->ended_at)
        course->outcome->ended_at = sys_now();
    /* READY may have been lost; what the child wrote into the shared page was not. Whoever came that far may have run. */
    if (!course->outcome->ran && !course->failed && course->progress->stage == STAGE_EXEC) {
        course->outcome->ran = true;
        course->outcome->ready_at = course->progress->entered[STAGE_EXEC];
    }
    /* Killed together with pid 1, which could not tell any more. */
    if (!course->outcome->have_status && course->outcome->ran && !course->failed) {
        course->outcome->have_status = true;
        course->outcome->wait_status = SIGKILL;
    }
}
