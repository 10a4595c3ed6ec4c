#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "check.h"
#include "enter.h"
#include "explain.h"
#include "facts.h"
#include "keeper.h"
#include "launch.h"
#include "leaves.h"
#include "live.h"
#include "log.h"
#include "options.h"
#include "outcome.h"
#include "plan.h"
#include "ps.h"
#include "record.h"
#include "report.h"
#include "selftest.h"
#include "streams.h"
#include "stuck.h"
#include "supervise.h"
#include "sync.h"
#include "sys.h"
#include "terminal.h"
#include "version.h"
#include "watch.h"
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
    struct watch watch;
    struct report report;
};

/* One for each process, whatever its subcommand: all of it zero, and no page of it touched before it is needed, for it holds many paths. Much
 * more of it, and a caller's small RLIMIT_DATA would let no bivy start. */
static struct host *the_host(void)
{
    static struct host host;

    return &host;
}

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
        readings_oom_victim(&host->cgroup, &outcome->victim);
    if (outcome->victim.usage.moment) /* the kernel's own word, of that very moment */
        outcome->usage = outcome->victim.usage;
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

enum { KEEPS = POLICY_NAMESPACES + 2 * CONTROLLER_COUNT + 7 };

/* Ends what is left of the sandbox and removes the leaf, or says in the outcome what would not go. */
static void end_leaf(struct host *host, struct outcome *outcome)
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

/* Leaves the sandbox that failed to a keeper, which undoes what is left to undo when its time is up. What cannot be kept goes now. */
static void keep(struct host *host, struct outcome *outcome)
{
    const struct cgroup *cgroup = &host->cgroup;
    int fds[KEEPS] = {host->launched.lifeline, host->launched.pidfd, cgroup->parent, cgroup->leaf, host->facts.rootfs.fd, host->signals};
    struct keeper keeper = {.id = host->plan.id, .ns = outcome->kept, .pidfd = host->launched.pidfd, .signals = host->signals, .fds = fds,
                            .count = 6};
    struct timespec wall;

    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        fds[keeper.count++] = cgroup->v1_parent[c];
        fds[keeper.count++] = cgroup->v1[c];
    }
    for (int i = 0; i < POLICY_NAMESPACES && host->launched.names.open; i++)
        fds[keeper.count++] = host->launched.names.fd[i];
    clock_gettime(CLOCK_REALTIME, &wall);
    outcome->kept_until = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec + (int64_t)outcome->kept;
    pid_t pid = keeper_fork(&keeper);
    if (pid == 0) {
        end_leaf(host, outcome);
        _exit(0);
    }
    if (pid < 0) {
        outcome->kept = 0;
        return;
    }
    launch_release(&host->launched);
    cgroup_close(&host->cgroup);
    host->leaf = false;
}

static void undo(struct host *host, struct outcome *outcome)
{
    if (outcome->kept && host->leaf)
        keep(host, outcome);
    end_leaf(host, outcome);
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
    if (host->plan.explain && (result = make_explain(host, outcome)) < 0)
        return result;
    child.progress = host->progress;
    host->watch.progress = host->progress;
    child.timing = &outcome->timing;
    timing_begin(&outcome->timing, STAGE_CLONE);
    if ((result = launch(&child, &host->launched, fault)) < 0)
        return result;
    streams_close_child(&host->streams);
    timing_begin(&outcome->timing, TIMING_WAIT);
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

static int run_main(const struct spec *spec, const struct fault *early)
{
    struct host *host = the_host();
    struct timespec wall;
    struct outcome outcome = {.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    struct fault unused;
    uint64_t by;
    int status;

    facts_start(&host->facts);
    host->streams = STREAMS_NONE;
    host->launched = LAUNCHED_NONE;
    host->signals = host->report.fd = -1;
    host->facts.timing = &outcome.timing;
    timing_begin(&outcome.timing, STAGE_REPORT);
    clock_gettime(CLOCK_REALTIME, &wall);
    outcome.started_wall = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec;
    facts_mounts(&host->facts, &unused); /* asked for again, should it have failed, where it must not */
    if (report_open(spec->report, host->facts.mountinfo, &host->report, &outcome.fault) == 0) {
        if (early)
            outcome.fault = *early;
        else if (run(spec, host, &outcome) == 0 || host->leaf)
            read_outcome(host, &outcome);
        watch_end(&host->watch, outcome.answer_by ? outcome.answer_by : sys_now() + LAST_WORDS);
        timing_begin(&outcome.timing, TIMING_AFTER);
        look_after(spec, host, &outcome);
    } else if (early) {
        report_fault(&outcome.fault, sys_now() + LAST_WORDS);
        outcome.fault = *early;
    }
    timing_begin(&outcome.timing, TIMING_UNDO);
    undo(host, &outcome);
    if (host->facts.left.pid && !outcome.residue[0]) {
        char who[160];
        stuck_describe_process(host->facts.left.pid, who, sizeof who);
        snprintf(outcome.residue, sizeof outcome.residue, "helper %.160s; it ends with its file system", who);
    }
    status = outcome_status(&outcome);
    by = outcome.answer_by ? outcome.answer_by : sys_now() + LAST_WORDS;
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
    streams_release(&host->streams);
    free(outcome.explain);
    plan_release(&host->plan);
    facts_release(&host->facts);
    return status;
}

/* The story of `bivy enter`: a run whose sandbox is there already. */
static int enter(const struct spec *spec, struct host *host, struct entrance *entrance, struct outcome *outcome)
{
    struct fault *fault = &outcome->fault;
    struct child child = {.plan = &host->plan, .cgroup = &host->cgroup, .streams = &host->streams, .join = &entrance->join};
    int result;

    /* Should who looks after the command be killed with the sandbox, the command is ours to reap: unreaped it would keep the pid namespace
     * from ending. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    if ((result = host->signals = supervise_signals(fault)) < 0 || (result = facts_host(&host->facts, fault)) < 0 ||
        (result = enter_find(spec, &host->facts, entrance, &host->plan, fault)) < 0 || (result = share_progress(host, fault)) < 0 ||
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

static void reap_all(void)
{
    uint64_t by = sys_now() + REAP_WITHIN;
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0 || (pid == 0 && sys_now() < by))
        if (pid == 0)
            poll(NULL, 0, 1);
}

static int enter_main(const struct spec *spec)
{
    struct host *host = the_host();
    struct entrance entrance = {.live = {.leaf = -1}};
    struct outcome outcome = {.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    uint64_t by;
    int status, result;

    facts_start(&host->facts);
    host->streams = STREAMS_NONE;
    host->launched = LAUNCHED_NONE;
    host->signals = host->report.fd = -1;
    cgroup_none(&host->cgroup);
    result = enter(spec, host, &entrance, &outcome);
    status = result == -ENOENT && outcome.fault.stage == STAGE_CGROUP ? 1 : outcome_status(&outcome);
    by = outcome.answer_by ? outcome.answer_by : sys_now() + LAST_WORDS;
    if (outcome.fault.what[0])
        report_fault(&outcome.fault, by);
    launch_release(&host->launched);
    reap_all();
    enter_release(&entrance);
    cgroup_close(&host->cgroup);
    streams_release(&host->streams);
    plan_release(&host->plan);
    facts_release(&host->facts);
    return status;
}

static int plan_main(const struct spec *spec)
{
    struct host *host = the_host();
    struct fault fault;
    int status = 0;

    facts_start(&host->facts);
    host->report.fd = -1;
    if (decide(spec, host, &fault) < 0) {
        report_fault(&fault, sys_now() + LAST_WORDS);
        status = 125;
    } else if (plan_print(&host->plan, stdout) < 0) {
        fault_set(&fault, STAGE_REPORT, EIO, NULL, "the plan could not be written to stdout");
        report_fault(&fault, sys_now() + LAST_WORDS);
        status = 125;
    }
    plan_release(&host->plan);
    facts_release(&host->facts);
    return status;
}

/* Where the leaves are, for the subcommands that look for sandboxes. */
static int find_parent(const struct spec *spec, struct facts *facts, char parent[PATH_MAX], struct fault *fault)
{
    bool ours;
    int result;

    facts_start(facts);
    if ((result = facts_host(facts, fault)) < 0)
        return result;
    return plan_cgroup_parent(spec->cgroup_parent, facts->privileged, &facts->cgroups, parent, &ours, fault);
}

static int clean_main(const struct spec *spec)
{
    struct facts *facts = &the_host()->facts;
    struct leaves_sweep sweep = {0};
    struct fault fault;
    char parent[PATH_MAX];

    if (find_parent(spec, facts, parent, &fault) < 0 ||
        leaves_clean(&facts->cgroups, parent, &sweep, &fault) < 0) {
        report_fault(&fault, sys_now() + LAST_WORDS);
        facts_release(facts);
        return 125;
    }
    facts_release(facts);
    printf("removed %u, live %u, stuck %u\n", sweep.removed, sweep.live, sweep.stuck);
    return sweep.stuck ? 1 : 0;
}

/* A whole run without a record and without a word, for `bivy check`, in a process of its own. */
static void run_silently(const struct spec *spec, struct outcome *outcome)
{
    struct host *host = the_host();

    *outcome = (struct outcome){.kind = OUTCOME_SETUP_FAILED, .started = sys_now()};
    facts_start(&host->facts);
    host->streams = STREAMS_NONE;
    host->launched = LAUNCHED_NONE;
    host->signals = host->report.fd = -1;
    host->facts.timing = &outcome->timing;
    run(spec, host, outcome);
    undo(host, outcome);
    streams_release(&host->streams);
    plan_release(&host->plan);
    facts_release(&host->facts);
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

static int ps_main(const struct spec *spec)
{
    struct facts *facts = &the_host()->facts;
    char parent[PATH_MAX], *text = NULL;
    struct json json = {0};
    struct ps ps = {0};
    struct fault fault;
    int result = find_parent(spec, facts, parent, &fault);

    if (result == 0 && (result = ps_gather(&facts->cgroups, parent, &ps, &fault)) == 0) {
        if (spec->json)
            listing_json(&json, parent, ps.rows, ps.count);
        else
            listing_text(ps.rows, ps.count, &text);
        if (!(spec->json ? json.text : text) || json.failed || fputs(spec->json ? json.text : text, stdout) < 0 || fflush(stdout) < 0)
            result = fault_set(&fault, STAGE_REPORT, EIO, NULL, "the list could not be written to stdout");
    }
    if (result < 0)
        report_fault(&fault, sys_now() + LAST_WORDS);
    free(text);
    json_release(&json);
    ps_release(&ps);
    facts_release(facts);
    return result < 0 ? 125 : 0;
}

#define KILL_WITHIN ((uint64_t)3660000000000) /* the longest --kill-after, and a minute: the run's own deadlines come first */

static int kill_main(const struct spec *spec)
{
    struct facts *facts = &the_host()->facts;
    char parent[PATH_MAX];
    struct fault fault;
    int result = find_parent(spec, facts, parent, &fault);

    if (result == 0)
        result = live_end(&facts->cgroups, parent, spec->id, sys_now() + KILL_WITHIN, &fault);
    if (result == 0)
        printf("%s has ended\n", spec->id);
    else
        report_fault(&fault, sys_now() + LAST_WORDS);
    facts_release(facts);
    return result == 0 ? 0 : result == -ENOENT ? 1 : 125;
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
        if ((spec.verb == VERB_RUN || spec.verb == VERB_SHELL) && (spec.report || spec.log != LOG_OFF)) {
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
        if (spec.tty)
            terminal_foreground(spec.interactive); /* before the clock starts and anything is made */
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
        status = ps_main(&spec);
        break;
    case VERB_KILL:
        status = kill_main(&spec);
        break;
    case VERB_ENTER:
        if (spec.tty)
            terminal_foreground(spec.interactive);
        status = enter_main(&spec);
        break;
    case VERB_VERSION:
        status = printf("bivy %s\n", BIVY_VERSION) < 0 ? 125 : 0;
        break;
    case VERB_HELP:
    default:
        options_print(spec.help, stdout);
        status = 0;
        break;
    }
    options_release(&spec);
    return status;
}
