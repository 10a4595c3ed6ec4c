#include "run.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "enter.h"
#include "explain.h"
#include "host.h"
#include "image.h"
#include "launch.h"
#include "leaves.h"
#include "log.h"
#include "record.h"
#include "report.h"
#include "stuck.h"
#include "supervise.h"
#include "sync.h"
#include "sys.h"
#include "watch.h"
#include "workspace.h"

/* Theory of operation: docs/ARCHITECTURE.md. This file is the host side of a run from top to bottom; the other side is child.c. */

static void read_outcome(struct host *host, struct outcome *outcome)
{
    timing_begin(&outcome->timing, TIMING_READINGS);
    if (!outcome->have_readings)
        outcome->have_readings = readings_take(&host->cgroup, &outcome->readings) == 0;
    outcome->enforced = host->cgroup.enforced;
    if (outcome->readings.oom_kills > 0)
        readings_oom_victim(&host->cgroup, &outcome->victim);
    if (outcome->victim.usage.moment) { /* the kernel's own word, of that very moment */
        outcome->usage = outcome->victim.usage;
        readings_usage_full(&outcome->usage, outcome->victim.of == OOM_OF_LEAF ? host->plan.memory : 0);
    } else if (outcome->readings.oom_kills > 0 && outcome->usage.total < outcome->readings.memory_peak / 4 * 3) {
        outcome->usage = (struct usage){.moment = MOMENT_NONE}; /* an early look says nothing of what filled the memory after it */
    }
    outcome->out.seen = host->streams.out.seen;
    outcome->out.passed = host->streams.out.passed;
    outcome->out.truncated = stream_truncated(&host->streams.out);
    outcome->err.seen = host->streams.err.seen;
    outcome->err.passed = host->streams.err.passed;
    outcome->err.truncated = stream_truncated(&host->streams.err);
    outcome->words = &host->streams.words;
}

#define MS ((uint64_t)1000000)
#define RESERVE (100 * MS)    /* of the time to answer, for the record */

/* The workspace after the run: what changed brought to its server where that was asked for, and how its file system is now. */
static void look_after(const struct spec *spec, struct host *host, struct outcome *outcome)
{
    const struct place *place = host->plan.workspace;
    struct helper_left *left = &host->facts.left;
    uint64_t by = sys_now() + spec->workspace_timeout;
    struct workspace_look look = {.place = place, .uid = host->plan.host_uid, .gid = host->plan.host_gid, .id = host->plan.id,
                                  .failed = outcome->kind != OUTCOME_EXITED || outcome_status(outcome) != 0};

    if (outcome->kind == OUTCOME_SETUP_FAILED || outcome->kind == OUTCOME_STUCK)
        outcome->trouble = outcome->fault.trouble || outcome->fault.stage != STAGE_WORKSPACE
                               ? (enum trouble)outcome->fault.trouble
                               : trouble_of_errno(outcome->fault.errnum);
    if (!place || outcome->kind == OUTCOME_SETUP_FAILED || outcome->kind == OUTCOME_STUCK)
        return;
    if (spec->sync) {
        struct sync_result result;
        uint64_t begin = sys_now();
        sync_changed(place, host->plan.host_uid, host->plan.host_gid, outcome->started_wall, begin + spec->sync, host->signals,
                     &result, left);
        outcome->sync.asked = true;
        outcome->sync.files = result.files;
        outcome->sync.error = result.error;
        outcome->sync.ns = sys_now() - begin;
        if (outcome->answer_by)
            outcome->answer_by += outcome->sync.ns;
        by = sys_now() + spec->workspace_timeout;
    }
    if (outcome->answer_by && outcome->answer_by - RESERVE < by)
        by = outcome->answer_by - RESERVE;
    if (outcome->trouble == TROUBLE_NONE && left->pid == 0)
        outcome->trouble = workspace_look_again(&look, by, left);
    if (outcome->trouble == TROUBLE_NONE && place->full)
        outcome->trouble = TROUBLE_FULL;
}

/* What the child wrote into the shared page, where it may be read without the child: numbers, bounded by their own array. */
static void take_progress(const struct host *host, struct outcome *outcome)
{
    for (int stage = STAGE_INHERITED; stage <= STAGE_EXEC; stage++)
        outcome->timing.began[stage] = host->progress->entered[stage];
    if (outcome->timing.began[STAGE_EXEC] && outcome->ended_at) {
        outcome->timing.began[TIMING_COMMAND] = outcome->timing.began[STAGE_EXEC];
        outcome->timing.began[TIMING_TEARDOWN] = outcome->ended_at;
    }
}

/* The decided plan and what will be made are shown as they come to be, as far as was asked for. */
static void watch(const struct spec *spec, struct host *host, const struct outcome *outcome)
{
    host->watch = (struct watch){.spec = spec, .plan = &host->plan, .cgroup = &host->cgroup, .streams = &host->streams,
                                 .outcome = outcome};
    watch_begin(&host->watch);
}

/* Only with --explain: nobody else pays for its tables. */
static int make_explain(const struct host *host, struct outcome *outcome)
{
    outcome->explain = calloc(1, sizeof *outcome->explain);
    if (!outcome->explain)
        return fault_set(&outcome->fault, STAGE_SUPERVISE, ENOMEM, NULL, "no memory for what --explain finds out");
    outcome->explain->loopback = host->plan.network == NETWORK_LOOPBACK;
    return 0;
}

/* The story of a run. 0 when the sandbox was started and supervised, whatever became of it. */
static int run(const struct spec *spec, struct host *host, struct outcome *outcome)
{
    struct fault *fault = &outcome->fault;
    struct child child = {.plan = &host->plan, .cgroup = &host->cgroup, .streams = &host->streams};
    int result;

    watch(spec, host, outcome);
    if ((result = host->signals = host->facts.stop = supervise_signals(fault)) < 0 || (result = host_decide(spec, host, fault)) < 0 ||
        (result = host_share_progress(host, fault)) < 0)
        return result;
    timing_begin(&outcome->timing, STAGE_CGROUP);
    if ((result = cgroup_create(&host->plan, &host->cgroup, fault)) < 0)
        return result;
    host->leaf = true;
    timing_begin(&outcome->timing, STAGE_STREAMS);
    if ((result = streams_open(&host->plan, &host->streams, fault)) < 0)
        return result;
    if (host->plan.explain && (result = make_explain(host, outcome)) < 0)
        return result;
    child.progress = host->progress;
    host->watch.progress = host->progress;
    child.timing = &outcome->timing;
    timing_begin(&outcome->timing, STAGE_CLONE);
    if ((result = launch(&child, &host->launched, fault)) < 0)
        return result;
    streams_close_child(&host->streams);
    supervise(&host->plan, &host->cgroup, &host->launched, &host->streams, host->progress, host->signals,
              &host->watch.watcher, outcome);
    if (outcome->autopsy && outcome->autopsy->left)
        host->facts.left.pid = outcome->autopsy->left;
    take_progress(host, outcome);
    if (host->facts.left.pid == 0)
        host->facts.left = host->launched.listener.left;
    return 0;
}

/* What programs read: the record, and its copy for the system's log. That a record is missing is an error, for its reader counts on it; a
 * log is nobody's only source, and when it is full or gone the run went no worse for that. */
static int tell_programs(const struct spec *spec, struct host *host, const struct outcome *outcome, uint64_t by)
{
    const struct plan *plan = host->plan.id[0] ? &host->plan : NULL;
    struct json record = {0};
    struct fault trouble;
    int result;

    if (spec->log != LOG_OFF || report_wanted(&host->report))
        record_write(&record, spec, plan, outcome);
    if ((result = report_write(&host->report, spec->report, &record, by, &trouble)) < 0)
        report_fault(&trouble, by);
    if (log_send(spec, plan, outcome, &record, &trouble) < 0)
        report_fault(&trouble, by);
    json_release(&record);
    return result;
}

/* A call that the host refused, and whose origin knows no mend: the room that tries each need by itself often does. */
static void point_at_check(struct outcome *outcome)
{
    const struct fault *fault = &outcome->fault;

    if (outcome->kind == OUTCOME_SETUP_FAILED && fault->stage >= STAGE_PLAN && fault->stage < STAGE_INIT && fault->errnum != EINTR)
        fault_hint(&outcome->fault, "bivy check tries each need of a run by itself, and names the command that mends it");
}

int run_and_tell(const struct spec *spec, const struct fault *early)
{
    struct outcome outcome = {.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    struct host *host = host_begin(&outcome.timing);
    struct timespec wall;
    struct fault unused;
    uint64_t by;
    int status;

    timing_begin(&outcome.timing, STAGE_REPORT);
    clock_gettime(CLOCK_REALTIME, &wall);
    outcome.started_wall = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    facts_mounts(&host->facts, &unused); /* asked for again, should it have failed, where it must not */
    if (report_open(spec->report, spec->absent, host->facts.mountinfo, &host->report, &outcome.fault) == 0) {
        if (early)
            outcome.fault = *early;
        else if (run(spec, host, &outcome) == 0 || host->leaf)
            read_outcome(host, &outcome);
        point_at_check(&outcome);
        watch_end(&host->watch, outcome.answer_by ? outcome.answer_by : sys_now() + REPORT_LAST_WORDS);
        timing_begin(&outcome.timing, TIMING_AFTER);
        look_after(spec, host, &outcome);
    } else if (early) {
        report_fault(&outcome.fault, sys_now() + REPORT_LAST_WORDS);
        outcome.fault = *early;
    }
    timing_begin(&outcome.timing, TIMING_UNDO);
    host_undo(host, &outcome);
    if (host->facts.left.pid && !outcome.residue[0]) {
        char who[160];
        stuck_describe_process(host->facts.left.pid, who, sizeof who);
        snprintf(outcome.residue, sizeof outcome.residue, "helper %.160s; it ends with its file system", who);
    }
    status = outcome_status(&outcome);
    by = outcome.answer_by ? outcome.answer_by : sys_now() + REPORT_LAST_WORDS;
    if (outcome.out.passed || outcome.err.passed)
        report_after_command();
    timing_begin(&outcome.timing, TIMING_RECORD);
    if (tell_programs(spec, host, &outcome, by) < 0)
        status = 125;
    if (outcome.fault.what[0])
        report_fault(&outcome.fault, by);
    if (report_for_people(spec))
        report_summary(spec, host->plan.id[0] ? &host->plan : NULL, &outcome, host->streams.last != '\n', by);
    timing_begin(&outcome.timing, TIMING_DONE);
    if (spec->timing)
        report_timing(&outcome, by);
    report_release(&host->report);
    free(outcome.autopsy);
    if (host->plan.id[0] && outcome.kind != OUTCOME_STUCK) /* everything is said, and the leaf is gone */
        leaves_tend(&host->facts.cgroups, host->plan.cgroup_parent, host->plan.id);
    free(outcome.explain);
    host_release(host);
    return status;
}

static int leave_unreaped(struct fault *fault)
{
    const struct sigaction none = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};

    return sigaction(SIGCHLD, &none, NULL) < 0 ? fault_set(fault, STAGE_SUPERVISE, errno, NULL, "sigaction") : 0;
}

/* The story of `bivy enter`: a run whose sandbox is there already. */
static int enter(const struct spec *spec, char **argv, struct host *host, struct entrance *entrance, struct outcome *outcome)
{
    struct fault *fault = &outcome->fault;
    struct child child = {.plan = &host->plan, .cgroup = &host->cgroup, .streams = &host->streams, .join = &entrance->join};
    int result;

    /* Should who looks after the command be killed with the sandbox, the command is ours: and nobody's to reap, for this process may be
     * stopped, and what is not reaped keeps the pid namespace from ending, so that the run would be stuck. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if ((result = host->signals = supervise_signals(fault)) < 0 || (result = leave_unreaped(fault)) < 0 || (result = facts_host(&host->facts, fault)) < 0 ||
        (result = enter_find(spec, &host->facts, entrance, &host->plan, fault)) < 0 ||
        (result = image_settle(host->plan.host_uid, host->plan.host_gid, argv, fault)) < 0 || (result = host_share_progress(host, fault)) < 0 ||
        (result = cgroup_open(&host->facts.cgroups, host->plan.cgroup_parent, entrance->live.name, &host->cgroup, fault)) < 0 ||
        (result = streams_open(&host->plan, &host->streams, fault)) < 0)
        return result;
    child.processors = host->plan.processors; /* those of pid 1, as they were found */
    child.progress = host->progress;
    child.timing = &outcome->timing;
    result = launch_join(&child, &host->launched, fault);
    /* The leaf and the namespaces are the run's, not ours: from here on nothing of them is held. */
    cgroup_close(&host->cgroup);
    enter_release(entrance);
    streams_close_child(&host->streams);
    if (result < 0)
        return result;
    supervise(&host->plan, &host->cgroup, &host->launched, &host->streams, host->progress, host->signals, NULL, outcome);
    return 0;
}

#define REAP_WITHIN (300 * MS)
#define GONE_WITHIN (100 * MS) /* between the end of those inside and that of pid 1 */

static bool gone(int pidfd, uint64_t within)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return pidfd >= 0 && poll(&end, 1, (int)(within / MS)) > 0;
}

/* Until no process that comes from here is left. */
static void await_all(void)
{
    uint64_t by = sys_now() + REAP_WITHIN;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0 || (pid == 0 && sys_now() < by))
        if (pid == 0)
            poll(NULL, 0, 1);
}

/* Was it the sandbox's end? Then that is to be said, and 1 is the status where it left no time to go in. */
static int add_end(const char *id, int init, struct outcome *outcome, int status)
{
    bool ran = outcome->kind != OUTCOME_SETUP_FAILED;

    if ((ran ? !outcome->have_status || !WIFSIGNALED(outcome->wait_status) : outcome->fault.stage == STAGE_EXEC || outcome->cancel_signal) ||
        !gone(init, GONE_WITHIN))
        return status;
    fault_set(&outcome->fault, ran ? STAGE_SUPERVISE : STAGE_CGROUP, ran ? 0 : ENOENT, "the record of its run says why",
              ran ? "sandbox %.32s has ended, and what had entered it as well" : "sandbox %.32s has just ended", id);
    return ran ? status : 1;
}

int run_enter(const struct spec *spec, char **argv)
{
    struct host *host = host_begin(NULL);
    struct entrance entrance = ENTRANCE_NONE;
    struct outcome outcome = {.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    uint64_t by;
    int status, result;

    result = enter(spec, argv, host, &entrance, &outcome);
    status = result == -ENOENT && outcome.fault.stage == STAGE_CGROUP ? 1 : outcome_status(&outcome);
    by = outcome.answer_by ? outcome.answer_by : sys_now() + REPORT_LAST_WORDS;
    launch_release(&host->launched);
    await_all();
    status = add_end(spec->id, entrance.init, &outcome, status);
    if (outcome.fault.what[0])
        report_fault(&outcome.fault, by);
    sys_close(&entrance.init);
    enter_release(&entrance);
    cgroup_close(&host->cgroup);
    host_release(host);
    return status;
}

void run_silently(const struct spec *spec, struct outcome *outcome)
{
    struct host *host = host_begin(&outcome->timing);

    *outcome = (struct outcome){.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    run(spec, host, outcome);
    host_undo(host, outcome);
    host_release(host);
}
