#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "check.h"
#include "facts.h"
#include "launch.h"
#include "leaves.h"
#include "options.h"
#include "outcome.h"
#include "plan.h"
#include "report.h"
#include "selftest.h"
#include "streams.h"
#include "stuck.h"
#include "supervise.h"
#include "sync.h"
#include "sys.h"
#include "version.h"
#include "workspace.h"

/* Theory of operation: docs/ARCHITECTURE.md. This file is the host side of a run from top to bottom; the other side is child.c. */

/* Everything of a run that must be undone, in the order in which it is acquired. */
struct host {
    struct facts facts;
    struct plan plan;
    struct cgroup cgroup;
    bool leaf;
    struct streams streams;
    struct progress *progress;
    struct launched launched;
    int signals;
    struct report report;
};

/* A caller may have closed 0, 1 or 2: the next descriptor opened would land there and be taken for a stream. */
static bool standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && SYS_AGAIN(open("/dev/null", fd ? O_WRONLY : O_RDONLY)) != fd)
            return false;
    return true;
}

/* Soft limits of the caller's that would hurt bivy itself. The sandbox's own are set by the child. */
static void own_rlimits(void)
{
    static const int resources[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU, RLIMIT_STACK, RLIMIT_NPROC};

    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        struct sys_limit limit;
        if (sys_limit_get(resources[i], &limit) == 0 && limit.soft != limit.hard) {
            limit.soft = limit.hard;
            sys_limit_set(resources[i], &limit);
        }
    }
}

#define LAST_WORDS ((uint64_t)1000000000) /* for a reader of stderr or of the record that is slow, where there is no other deadline */

static int make_id(char id[PLAN_ID_TEXT], struct fault *fault)
{
    unsigned char random[PLAN_ID_LENGTH];

    if (SYS_AGAIN(getrandom(random, sizeof random, GRND_NONBLOCK)) != (ssize_t)sizeof random)
        return fault_set(fault, STAGE_PLAN, errno, "wait until the kernel's random generator is seeded", "getrandom");
    for (size_t i = 0; i < sizeof random; i++)
        id[i] = PLAN_ID_LETTERS[random[i] % 32];
    id[sizeof random] = '\0';
    return 0;
}

static int decide(const struct spec *spec, struct host *host, struct fault *fault)
{
    char id[PLAN_ID_TEXT];
    int result;

    if ((result = facts_gather(spec, &host->facts, fault)) < 0 || (result = make_id(id, fault)) < 0)
        return result;
    if (host->facts.workspace.fd >= 0 && report_within(&host->report, &host->facts.workspace))
        return fault_set(fault, STAGE_REPORT, EPERM, "write the record where the command cannot reach it",
                         "--report %.300s: lies in the workspace, where the command could forge it", spec->report);
    result = plan_make(spec, &host->facts, id, getenv, &host->plan, fault);
    if (spec->verb == VERB_SELFTEST)
        host->plan.builtin = selftest_inside;
    return result;
}

static int share_progress(struct host *host, struct fault *fault)
{
    void *page = mmap(NULL, sizeof *host->progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return fault_set(fault, STAGE_CLONE, errno, NULL, "no shared page for progress");
    host->progress = page;
    return 0;
}

static void read_outcome(struct host *host, struct outcome *outcome)
{
    timing_begin(&outcome->timing, TIMING_READINGS);
    if (!outcome->have_readings)
        outcome->have_readings = readings_take(&host->cgroup, &outcome->readings) == 0;
    outcome->enforced = host->cgroup.enforced;
    if (outcome->readings.oom_kills > 0)
        readings_oom_victim(&host->cgroup, outcome->victim, sizeof outcome->victim);
    outcome->out.seen = host->streams.out.seen;
    outcome->out.passed = host->streams.out.passed;
    outcome->out.truncated = stream_truncated(&host->streams.out);
    outcome->err.seen = host->streams.err.seen;
    outcome->err.passed = host->streams.err.passed;
    outcome->err.truncated = stream_truncated(&host->streams.err);
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

/* Ends what is left of the sandbox and removes the leaf, or says in the outcome what would not go. */
static void undo(struct host *host, struct outcome *outcome)
{
    int result;

    launch_release(&host->launched); /* pid 1, should it live, sees the lifeline end */
    if (!host->leaf)
        return;
    if (host->plan.workspace && host->plan.workspace->may_block && outcome->trouble != TROUBLE_IO_STUCK &&
        outcome->kind != OUTCOME_STUCK)
        cgroup_reclaim(&host->cgroup);
    if (outcome->kind == OUTCOME_STUCK || outcome->kind == OUTCOME_SETUP_FAILED || cgroup_populated(&host->cgroup))
        cgroup_kill(&host->cgroup);
    streams_collect();
    /* What is stuck will not go within any time that a caller would wait. */
    result = cgroup_remove(&host->cgroup, sys_now() + (outcome->trouble == TROUBLE_IO_STUCK ? 0 : 300 * MS));
    if (result < 0)
        snprintf(outcome->residue, sizeof outcome->residue, "cgroup leaf %.180s: %s; bivy clean removes it later",
                 host->cgroup.path, errno_name(-result));
    cgroup_close(&host->cgroup);
    host->leaf = false;
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

/* The story of a run. 0 when the sandbox was started and supervised, whatever became of it. */
static int run(const struct spec *spec, struct host *host, struct outcome *outcome)
{
    struct fault *fault = &outcome->fault;
    struct child child = {.plan = &host->plan, .cgroup = &host->cgroup, .streams = &host->streams};
    int result;

    if ((result = host->signals = host->facts.stop = supervise_signals(fault)) < 0 || (result = decide(spec, host, fault)) < 0 ||
        (result = share_progress(host, fault)) < 0)
        return result;
    timing_begin(&outcome->timing, STAGE_CGROUP);
    if ((result = cgroup_create(&host->plan, &host->cgroup, fault)) < 0)
        return result;
    host->leaf = true;
    timing_begin(&outcome->timing, STAGE_STREAMS);
    if ((result = streams_open(&host->plan, &host->streams, fault)) < 0)
        return result;
    child.progress = host->progress;
    child.timing = &outcome->timing;
    timing_begin(&outcome->timing, STAGE_CLONE);
    if ((result = launch(&child, &host->launched, fault)) < 0)
        return result;
    streams_close_child(&host->streams);
    timing_begin(&outcome->timing, TIMING_WAIT);
    supervise(&host->plan, &host->cgroup, &host->launched, &host->streams, host->progress, host->signals, outcome);
    take_progress(host, outcome);
    return 0;
}

static int run_main(const struct spec *spec, const struct fault *early)
{
    static struct host host; /* all of it zero, and no page of it touched before it is needed: it holds many paths */
    struct timespec wall;
    struct outcome outcome = {.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    struct fault trouble, unused;
    uint64_t by;
    int status;

    facts_start(&host.facts);
    host.streams = STREAMS_NONE;
    host.launched = (struct launched){.pidfd = -1, .up = -1, .lifeline = -1};
    host.signals = host.report.fd = -1;
    host.facts.timing = &outcome.timing;
    timing_begin(&outcome.timing, STAGE_REPORT);
    clock_gettime(CLOCK_REALTIME, &wall);
    outcome.started_wall = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    facts_mounts(&host.facts, &unused); /* asked for again, should it have failed, where it must not */
    if (report_open(spec->report, host.facts.mountinfo, &host.report, &outcome.fault) == 0) {
        if (early)
            outcome.fault = *early;
        else if (run(spec, &host, &outcome) == 0 || host.leaf)
            read_outcome(&host, &outcome);
        timing_begin(&outcome.timing, TIMING_AFTER);
        look_after(spec, &host, &outcome);
    } else if (early) {
        report_fault(&outcome.fault, sys_now() + LAST_WORDS);
        outcome.fault = *early;
    }
    timing_begin(&outcome.timing, TIMING_UNDO);
    undo(&host, &outcome);
    if (host.facts.left.pid && !outcome.residue[0]) {
        char who[160];
        stuck_describe_process(host.facts.left.pid, who, sizeof who);
        snprintf(outcome.residue, sizeof outcome.residue, "helper %.160s; it ends with its file system", who);
    }
    status = outcome_status(&outcome);
    by = outcome.answer_by ? outcome.answer_by : sys_now() + LAST_WORDS;
    timing_begin(&outcome.timing, TIMING_RECORD);
    /* First what a program reads. */
    if (report_write(&host.report, spec, host.plan.id[0] ? &host.plan : NULL, &outcome, by, &trouble) < 0) {
        report_fault(&trouble, by);
        status = 125;
    }
    if (outcome.fault.what[0])
        report_fault(&outcome.fault, by);
    if (spec->summary)
        report_summary(&host.plan, &outcome, by);
    timing_begin(&outcome.timing, TIMING_DONE);
    if (spec->timing)
        report_timing(&outcome, by);
    report_release(&host.report);
    if (host.plan.id[0] && outcome.kind != OUTCOME_STUCK) /* everything is said, and the leaf is gone */
        leaves_tend(&host.facts.cgroups, host.plan.cgroup_parent, host.plan.id);
    streams_release(&host.streams);
    plan_release(&host.plan);
    facts_release(&host.facts);
    return status;
}

static int plan_main(const struct spec *spec)
{
    static struct host host;
    struct fault fault;
    int status = 0;

    facts_start(&host.facts);
    host.report.fd = -1;
    if (decide(spec, &host, &fault) < 0) {
        report_fault(&fault, sys_now() + LAST_WORDS);
        status = 125;
    } else if (plan_print(&host.plan, stdout) < 0) {
        fault_set(&fault, STAGE_REPORT, EIO, NULL, "the plan could not be written to stdout");
        report_fault(&fault, sys_now() + LAST_WORDS);
        status = 125;
    }
    plan_release(&host.plan);
    facts_release(&host.facts);
    return status;
}

static int clean_main(const struct spec *spec)
{
    static struct facts facts;
    struct leaves_sweep sweep = {0};
    struct fault fault;
    char parent[PATH_MAX];
    bool ours;

    facts_start(&facts);
    if (facts_host(&facts, &fault) < 0 ||
        plan_cgroup_parent(spec->cgroup_parent, facts.privileged, &facts.cgroups, parent, &ours, &fault) < 0 ||
        leaves_clean(&facts.cgroups, parent, &sweep, &fault) < 0) {
        report_fault(&fault, sys_now() + LAST_WORDS);
        facts_release(&facts);
        return 125;
    }
    facts_release(&facts);
    printf("removed %u, live %u, stuck %u\n", sweep.removed, sweep.live, sweep.stuck);
    return sweep.stuck ? 1 : 0;
}

/* A whole run without a record and without a word, for `bivy check`, in a process of its own. */
static void run_silently(const struct spec *spec, struct outcome *outcome)
{
    struct host *host = calloc(1, sizeof *host);

    *outcome = (struct outcome){.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    if (!host) {
        fault_set(&outcome->fault, STAGE_PLAN, ENOMEM, NULL, "out of memory");
        return;
    }
    facts_start(&host->facts);
    host->streams = STREAMS_NONE;
    host->launched = (struct launched){.pidfd = -1, .up = -1, .lifeline = -1};
    host->signals = host->report.fd = -1;
    host->facts.timing = &outcome->timing;
    run(spec, host, outcome);
    undo(host, outcome);
    streams_release(&host->streams);
    plan_release(&host->plan);
    facts_release(&host->facts);
    free(host);
}

static int check_main(const struct spec *spec)
{
    struct fault fault;
    char *text = NULL;
    int status = check_run(spec, run_silently, &text, &fault);

    if (status >= 0 && (fputs(text, stdout) < 0 || fflush(stdout) < 0))
        status = fault_set(&fault, STAGE_REPORT, errno, NULL, "the answer could not be written to stdout");
    free(text);
    if (status < 0)
        report_fault(&fault, sys_now() + LAST_WORDS);
    return status < 0 ? 125 : status;
}

int main(int argc, char **argv)
{
    struct spec spec;
    struct fault fault;
    int status;

    if (!standard_descriptors())
        return 125; /* no descriptor to say it on */
    if ((status = sys_seal_relocations()) < 0) {
        fault_set(&fault, STAGE_PLAN, -status, NULL, "bivy's own tables cannot be made read-only");
        report_fault(&fault, sys_now() + LAST_WORDS);
        return 125;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone, and a record beyond the caller's file size limit, are errors, not deaths */
    signal(SIGXFSZ, SIG_IGN);
    umask(077); /* whatever the caller's: what is made here, the leaf and the record, is made with a mode that says all */
    own_rlimits();
    if (options_parse(argc, argv, &spec, &fault) < 0) {
        if ((spec.verb == VERB_RUN || spec.verb == VERB_SHELL) && spec.report) {
            status = run_main(&spec, &fault);
        } else {
            report_fault(&fault, sys_now() + LAST_WORDS);
            status = 125;
        }
        options_release(&spec);
        return status;
    }
    switch (spec.verb) {
    case VERB_RUN:
    case VERB_SHELL:
        status = run_main(&spec, NULL);
        break;
    case VERB_SELFTEST:
        status = run_main(&spec, NULL);
        break;
    case VERB_PLAN:
        status = plan_main(&spec);
        break;
    case VERB_CLEAN:
        status = clean_main(&spec);
        break;
    case VERB_CHECK:
        status = check_main(&spec);
        break;
    case VERB_PS:
    case VERB_KILL:
    case VERB_ENTER:
        status = 125;
        break;
    case VERB_VERSION:
        status = printf("bivy %s\n", BIVY_VERSION) < 0 ? 125 : 0;
        break;
    case VERB_HELP:
    default:
        (spec.roff ? options_roff : options_help)(stdout);
        status = 0;
        break;
    }
    options_release(&spec);
    return status;
}
