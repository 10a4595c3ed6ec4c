#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autopsy.h"
#include "init.h"
#include "readings.h"
#include "stuck.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define STUCK_AFTER (1700 * MS)   /* from SIGKILL to saying that the kernel cannot end it: part of the contract's 2 s */
#define ABORT_AFTER (1400 * MS)   /* with --abort-stuck: from SIGKILL to ending the connection */
#define DRAIN_WITHIN (300 * MS)   /* from the command's end to that of the sandbox; then SIGKILL by cgroup, and no processor limit */
#define CLEAR_WITHIN (1000 * MS)  /* for all but pid 1 to be gone, with --keep-on-fail; then pid 1 goes too */
#define OOM_WATCH (1000 * MS)     /* after a v1 OOM event: how long to look for the victim */
#define OOM_STEP (5 * MS)
#define SAMPLE_FIRST (100 * MS)   /* of the memory, and then ever more rarely: the longer a run, the less a second matters */
#define SAMPLE_LAST (1000 * MS)
#define INPUT_STEP (100 * MS)     /* a command whose input has ended may change how it reads its terminal */
#define LAST_WORDS (1000 * MS)    /* for the caller to take the last output and the record, when no time is left of the timeout */
#define ANSWER_WITHIN (1950 * MS) /* after SIGKILL: the contract's 2 s, with some room */
#define ANSWER_LEAST (150 * MS)
#define NEVER UINT64_MAX
#define AT_ONCE 32                /* questions of the filter answered before anything else is looked at, */
#define AT_ONCE_WITHIN (5 * MS)   /* unless they take long: reading the memory of who asks can wait for a lock of his */

enum phase { RUNNING, TERMINATING, CLEARING, KILLING, GONE, KEPT, STUCK };

struct run { /* what the loop knows */
    const struct plan *plan;
    const struct cgroup *cgroup;
    struct launched *launched;
    struct streams *streams;
    const struct progress *progress;
    int signals;
    const struct watcher *watcher;
    struct outcome *outcome;
    enum phase phase;
    uint64_t deadline;        /* of the phase */
    uint64_t killed_at;       /* less what the autopsy took, which is of the time to answer */
    uint64_t autopsied;       /* how long it took */
    uint64_t tick;            /* when the watcher is to be called */
    uint64_t oom_watch;       /* look for an OOM victim until then */
    uint64_t sample_at;       /* the next look at what the memory is */
    enum outcome_kind cause;  /* why the supervisor ends it; OUTCOME_EXITED: it does not */
    bool failed;              /* a fault came up the pipe */
    bool aborted;             /* the workspace's connection was ended */
};

int supervise_signals(struct fault *fault)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t wanted;
    int fd;

    sigemptyset(&wanted);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction now;
        /* nohup and `cmd &` of a shell without job control ignore these for good reason; SIGTERM is always meant. */
        if (numbers[i] != SIGTERM && sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            continue;
        signal(numbers[i], SIG_DFL);
        sigaddset(&wanted, numbers[i]);
    }
    sigprocmask(SIG_SETMASK, &wanted, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored, the kernel would reap the sandbox before us and give its pid away */
    fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? fault_set(fault, STAGE_SUPERVISE, errno, NULL, "signalfd") : fd;
}

static void kill_all(struct run *run)
{
    if (run->phase >= KILLING)
        return;
    if (run->launched->joined && run->launched->lifeline >= 0) {
        sys_close(&run->launched->lifeline); /* who looks after the command that joined ends it, reaps it and tells */
    } else {
        cgroup_kill(run->cgroup);
        sys_pidfd_send_signal(run->launched->pidfd, SIGKILL); /* pid 1 as well: its namespace goes with it, should the cgroup not */
    }
    if (run->phase != CLEARING)
        run->killed_at = sys_now() - run->autopsied;
    run->phase = KILLING;
    run->deadline = run->killed_at + (run->plan->abort_stuck ? ABORT_AFTER : STUCK_AFTER);
}

/* Without pid 1, whose story the supervisor knows, unless there is nobody else yet. */
static struct autopsy *look_inside(const struct run *run)
{
    const struct autopsy_subject subject = {.cgroup = run->cgroup, .plan = run->plan, .streams = run->streams->inode,
                                            .init = run->outcome->ran ? run->launched->pid : 0};

    return autopsy_take(&subject);
}

/* What everybody is doing, before SIGTERM changes it. */
static void examine(struct run *run)
{
    uint64_t begun = sys_now();

    if (run->launched->joined)
        return; /* the leaf is another run's */
    run->outcome->autopsy = look_inside(run);
    run->autopsied = sys_now() - begun;
}

/* With --keep-on-fail pid 1 kills all but itself; what the cgroup could kill is everybody. Whoever cancels a run wants it gone. */
static void finish(struct run *run)
{
    const char keep = INIT_KEEP;

    if (run->phase >= CLEARING)
        return;
    if (!run->plan->keep || !run->outcome->ran || run->failed || run->cause == OUTCOME_CANCELLED ||
        SYS_AGAIN(write(run->launched->lifeline, &keep, 1)) != 1) {
        kill_all(run);
        return;
    }
    run->phase = CLEARING;
    run->killed_at = sys_now() - run->autopsied;
    run->deadline = run->killed_at + CLEAR_WITHIN;
}

/* The contract's ending: SIGTERM, a grace, SIGKILL. The first cause counts. */
static bool look_at_memory(struct run *run, struct usage *now)
{
    if (!readings_usage(run->cgroup, now))
        return false;
    run->outcome->have_major_faults = true;
    run->outcome->major_faults = now->major_faults;
    return true;
}

static void end(struct run *run, enum outcome_kind cause)
{
    struct usage unused;

    if (run->phase != RUNNING)
        return;
    run->cause = cause;
    if (run->outcome->ran && (cause == OUTCOME_TIMEOUT || cause == OUTCOME_CANCELLED)) {
        examine(run);
        look_at_memory(run, &unused);
    }
    /* Whoever floods its output may catch SIGTERM and go on: no grace. */
    if (!run->outcome->ran || cause == OUTCOME_OUTPUT_LIMIT || run->plan->kill_after == 0 ||
        SYS_AGAIN(write(run->launched->lifeline, "T", 1)) != 1) {
        finish(run);
        return;
    }
    run->phase = TERMINATING;
    run->deadline = sys_now() + run->plan->kill_after;
}

static void on_deadline(struct run *run, uint64_t now)
{
    if (now < run->deadline)
        return;
    switch (run->phase) {
    case RUNNING:
        if (run->outcome->have_status)
            kill_all(run);
        else
            end(run, OUTCOME_TIMEOUT);
        break;
    case TERMINATING:
        finish(run);
        break;
    case CLEARING:
        kill_all(run);
        break;
    case KILLING:
        if (run->plan->abort_stuck && !run->aborted) {
            run->aborted = true;
            run->outcome->trouble = TROUBLE_IO_STUCK;
            stuck_abort(run->plan->workspace);
            run->deadline = run->killed_at + STUCK_AFTER;
        } else {
            run->phase = STUCK;
        }
        break;
    case GONE:
    case KEPT:
    case STUCK:
        break;
    }
}

/* What the memory is: kept is what was seen at the limit, or else the largest. */
static void sample(struct run *run, enum moment moment)
{
    struct usage *best = &run->outcome->usage, now;

    if (moment < best->moment || (moment == best->moment && readings_memory(run->cgroup) <= best->total) ||
        !look_at_memory(run, &now))
        return;
    now.moment = moment;
    *best = now;
}

static void sample_now_and_then(struct run *run, uint64_t now)
{
    uint64_t step = (now - run->outcome->started) / 8, files;

    if (now < run->sample_at || run->phase > TERMINATING)
        return;
    run->sample_at = now + (step < SAMPLE_FIRST ? SAMPLE_FIRST : step > SAMPLE_LAST ? SAMPLE_LAST : step);
    sample(run, MOMENT_SAMPLE);
    files = readings_open_files(run->cgroup);
    if (files > run->outcome->open_files)
        run->outcome->open_files = files;
}

/* The command is gone, its heap too; what it left in scratch and in the page cache is still there. Unless a sample was about as large as
 * the peak, the rest of the peak was the heap's, as far as can be told. */
static void sample_end(struct run *run)
{
    struct usage *best = &run->outcome->usage, now;
    struct readings readings = run->outcome->readings;
    uint64_t peak;

    if (!run->outcome->have_readings) /* somebody is left, and the record's are taken later */
        readings_take(run->cgroup, &readings);
    peak = readings.memory_peak;
    if (!look_at_memory(run, &now) || best->moment == MOMENT_LIMIT || (best->moment == MOMENT_SAMPLE && best->total >= peak / 10 * 8))
        return;
    if (now.total < peak) {
        now.heap += peak - now.total;
        now.total = peak;
    }
    now.moment = MOMENT_END;
    *best = now;
}

/* pid 1 waits to be told what becomes of the sandbox. */
static void on_end_kept(struct run *run)
{
    if (run->cause != OUTCOME_EXITED || run->outcome->wait_status != 0)
        finish(run);
    else
        sys_close(&run->launched->lifeline); /* all went well */
}

/* Nobody but pid 1 is left. Without limits nothing is kept. */
static void on_alone(struct run *run)
{
    struct fault unused;

    if (run->phase != CLEARING)
        return;
    if (!run->outcome->have_readings)
        run->outcome->have_readings = readings_take(run->cgroup, &run->outcome->readings) == 0;
    if (!run->outcome->have_status || cgroup_throttle(run->plan, run->cgroup, &unused) < 0) {
        kill_all(run);
        return;
    }
    run->outcome->kept = run->plan->keep;
    run->phase = KEPT;
}

static void on_message(struct run *run)
{
    struct message message;
    ssize_t got;

    while ((got = read(run->launched->up, &message, sizeof message)) > 0) {
        if (!message_valid(&message, (size_t)got)) {
            run->failed = !run->outcome->ran && run->progress->stage != STAGE_EXEC;
            fault_set(&run->outcome->fault, STAGE_SUPERVISE, EPROTO, NULL, "the sandbox sent something that is not a message");
            kill_all(run);
            return;
        }
        switch (message.kind) {
        case MESSAGE_FAULT:
            run->failed = true;
            run->outcome->fault = message.fault;
            break;
        case MESSAGE_READY:
            run->outcome->ready = run->outcome->ran = true;
            run->outcome->readback = message.readback;
            run->outcome->ready_at = message.at;
            if (run->watcher->ready)
                run->watcher->ready(run->watcher->data);
            if (run->plan->tty)
                streams_listen(run->streams);
            break;
        case MESSAGE_ENDED:
            run->outcome->have_status = true;
            run->outcome->wait_status = message.ended.wait_status;
            run->outcome->ended = message.ended;
            run->outcome->ended_at = message.at;
            run->outcome->have_unreachable = message.ended.unreachable != UINT64_MAX;
            run->outcome->unreachable = message.ended.unreachable;
            /* Beside pid 1's death, which takes the kernel a while. */
            if (readings_last(run->cgroup))
                run->outcome->have_readings = readings_take(run->cgroup, &run->outcome->readings) == 0;
            sample_end(run);
            if (run->plan->keep && run->phase < CLEARING)
                on_end_kept(run);
            /* pid 1 exits now, and the kernel kills the rest: whoever is not gone soon is held by something. */
            if (run->phase < CLEARING && run->deadline > sys_now() + DRAIN_WITHIN)
                run->deadline = sys_now() + DRAIN_WITHIN;
            break;
        case MESSAGE_CLEARED:
            if (run->phase == CLEARING)
                cgroup_unthrottle(run->cgroup); /* nothing runs its own code any more, and dying takes time too */
            break;
        case MESSAGE_ALONE:
            on_alone(run);
            break;
        }
    }
}

static void on_signal(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (run->phase == RUNNING) {
            run->outcome->cancel_signal = (int)info.ssi_signo;
            end(run, OUTCOME_CANCELLED);
        } else {
            kill_all(run); /* asked twice */
        }
    }
}

/* v1: memory has run out, and somebody is about to be killed. v2: the limit was touched, or likewise; what comes of it shows in the end. */
static void on_memory_event(struct run *run, uint64_t now)
{
    char text[512];
    uint64_t unused;

    if (run->cgroup->v1[CONTROLLER_MEMORY] >= 0) {
        if (read(run->cgroup->oom_event, &unused, sizeof unused) > 0)
            run->oom_watch = now + OOM_WATCH;
    } else if (pread(run->cgroup->oom_event, text, sizeof text, 0) < 0) { /* also arms the next one */
        return;
    } else if (run->plan->keep) {
        run->oom_watch = now + OOM_WATCH; /* memory.oom.group would take pid 1 along: the supervisor ends the rest instead */
    }
    sample(run, MOMENT_LIMIT);
}

/* v1, and v2 with --keep-on-fail: the event comes when memory runs out, the count when somebody was killed for it. Then all go, as with memory.oom.group. */
static void on_oom(struct run *run, uint64_t now)
{
    if (readings_oom_kills(run->cgroup) > 0) {
        run->oom_watch = 0;
        run->outcome->oom = true;
        if (run->phase == RUNNING)
            run->cause = OUTCOME_OOM;
        finish(run);
    } else if (now >= run->oom_watch) {
        run->oom_watch = 0;
    }
}

static void on_gone(struct run *run)
{
    siginfo_t info = {0};

    if (waitid(P_PIDFD, (id_t)run->launched->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        return;
    if (run->launched->up >= 0)
        on_message(run); /* what it said last */
    run->phase = GONE;
    if (!run->outcome->ended_at)
        run->outcome->ended_at = sys_now();
    /* READY may have been lost; what the child wrote into the shared page was not. Whoever came that far may have run. */
    if (!run->outcome->ran && !run->failed && run->progress->stage == STAGE_EXEC) {
        run->outcome->ran = true;
        run->outcome->ready_at = run->progress->entered[STAGE_EXEC];
    }
    /* Killed together with pid 1, which could not tell any more. */
    if (!run->outcome->have_status && run->outcome->ran && !run->failed) {
        run->outcome->have_status = true;
        run->outcome->wait_status = SIGKILL;
    }
}

/* Stopped by its user. What is inside stands still meanwhile, and that time is not the command's: nothing runs on without a supervisor. */
static void step_aside(struct run *run)
{
    uint64_t began = sys_now();

    if (run->phase != RUNNING)
        return; /* it is about to end anyway */
    cgroup_freeze(run->cgroup, true);
    terminal_suspend(&run->streams->terminal);
    cgroup_freeze(run->cgroup, false);
    run->deadline += sys_now() - began;
}

static void on_terminal(struct run *run)
{
    struct terminal *terminal = &run->streams->terminal;
    int result;

    if (terminal->handover < 0) {
        if (terminal_serve(terminal))
            step_aside(run);
        return;
    }
    result = terminal_receive(terminal, &run->outcome->fault);
    if (result > 0)
        result = streams_show(run->plan, run->streams, &run->outcome->fault);
    if (result < 0) { /* before the command exists: it waits for a word that does not come */
        run->failed = true;
        kill_all(run);
    }
}

/* What the filter asks, with --explain. Whose call it is: READY is written before the command's first call, and the gate's probe waits
 * for its answer before that; so after a call was taken, the messages tell whether it is the command's. */
static void on_listener(struct run *run, const struct pollfd *polled)
{
    struct listener *listener = &run->launched->listener;
    struct listener_call call;
    uint64_t by = sys_now() + AT_ONCE_WITHIN;

    for (int i = 0; i < AT_ONCE && sys_now() < by && listener_next(listener, polled, &call); i++) {
        if (!run->outcome->ran)
            on_message(run);
        listener_answer(listener, &call, run->outcome->ran ? run->outcome->explain : NULL);
    }
}

static int patience(const struct run *run, uint64_t now, uint64_t until)
{
    if (run->deadline < until)
        until = run->deadline;
    if (run->tick < until)
        until = run->tick;
    if (run->streams->listening && run->streams->in.out < 0 && now + INPUT_STEP < until)
        until = now + INPUT_STEP;
    if (run->oom_watch && now + OOM_STEP < until)
        until = now + OOM_STEP;
    if (run->phase <= TERMINATING && run->sample_at < until)
        until = run->sample_at;
    if (until <= now)
        return 0;
    uint64_t ms = (until - now + MS - 1) / MS;
    return ms > 3600000 ? 3600000 : (int)ms;
}

static void loop(struct run *run)
{
    while (run->phase < GONE) {
        enum { PIDFD, MESSAGES, SIGNALS, OOM, TERMINAL, LISTENER, STREAMS };
        struct pollfd fds[STREAMS + 3] = {
            {.fd = run->launched->pidfd, .events = POLLIN},
            {.fd = run->launched->up, .events = POLLIN}, /* poll(2) passes over a negative one */
            {.fd = run->signals, .events = POLLIN},
            {.fd = run->cgroup->oom_event, .events = run->cgroup->v1[CONTROLLER_MEMORY] >= 0 ? POLLIN : POLLPRI},
            {.fd = terminal_poll(&run->streams->terminal), .events = POLLIN},
            {.fd = -1}, /* the filter's listener */
        };
        size_t count = streams_poll(run->streams, fds + STREAMS);
        uint64_t now = sys_now(), until = NEVER;

        if (run->outcome->explain)
            fds[LISTENER] = listener_poll(&run->launched->listener, now, &until);
        if (poll(fds, STREAMS + count, patience(run, now, until)) < 0 && errno != EINTR)
            kill_all(run);
        now = sys_now();
        if (fds[MESSAGES].revents)
            on_message(run);
        /* Nothing more to read and nobody to write: left in poll(2), this would come back at once for as long as pid 1 takes to die. */
        if ((fds[MESSAGES].revents & (POLLIN | POLLHUP)) == POLLHUP)
            sys_close(&run->launched->up);
        if (fds[LISTENER].revents || run->launched->listener.holds)
            on_listener(run, &fds[LISTENER]);
        if (fds[SIGNALS].revents)
            on_signal(run);
        if (fds[OOM].revents)
            on_memory_event(run, now);
        sample_now_and_then(run, now);
        if (run->oom_watch)
            on_oom(run, now);
        if (fds[TERMINAL].revents)
            on_terminal(run);
        if (streams_reach_terminal(run->streams, fds + STREAMS, count))
            run->watcher->output(run->watcher->data);
        streams_serve(run->streams, fds + STREAMS, count);
        if (run->streams->terminal.suspend)
            on_terminal(run);
        if (now >= run->tick)
            run->tick = run->watcher->tick(run->watcher->data, now);
        if (streams_over(run->streams, run->plan->output_limit))
            end(run, OUTCOME_OUTPUT_LIMIT);
        on_deadline(run, now);
        if (fds[PIDFD].revents)
            on_gone(run);
    }
}

/* Set-up ended without a word: killed, or out of time. The progress page tells where. */
static void name_silence(struct run *run)
{
    uint32_t stage = run->progress->stage < STAGE_COUNT ? run->progress->stage : STAGE_CLONE;
    bool late = run->cause == OUTCOME_TIMEOUT;

    if (run->failed)
        return;
    if (run->cause == OUTCOME_CANCELLED)
        fault_set(&run->outcome->fault, (enum stage)stage, EINTR, NULL, "bivy was told to stop before the command ran");
    else if (readings_oom_kills(run->cgroup) > 0)
        fault_set(&run->outcome->fault, (enum stage)stage, ENOMEM, "raise --memory", "the memory limit is too small to set the sandbox up");
    else
        fault_set(&run->outcome->fault, (enum stage)stage, late ? ETIMEDOUT : 0,
                  late ? "raise --timeout; does the file system of the rootfs or the workspace answer?" : "who killed it?",
                  late ? "set-up did not end within the timeout" : "the sandbox's first process died during set-up");
}

/* What will not go, and who could make it go. */
static void name_stuck(struct run *run)
{
    const struct place *workspace = run->plan->workspace;
    struct fault *fault = &run->outcome->fault;
    char who[300], hint[256] = "";
    struct autopsy *autopsy = look_inside(run);

    stuck_describe(autopsy, who, sizeof who);
    free(autopsy);
    if (workspace && workspace->may_block) {
        snprintf(hint, sizeof hint, "make %.120s answer again, or end it: umount -f, or echo 1 > /sys/fs/fuse/connections/%u/abort; then bivy clean",
                 workspace->mount, workspace->connection);
        trouble_set(fault, TROUBLE_IO_STUCK, EIO, hint, "%.100s (%.40s) holds what was killed: %s", workspace->mount, workspace->fstype,
                    who[0] ? who : "pid 1");
    } else {
        fault_set(fault, STAGE_SUPERVISE, EIO, "bivy clean, once it has ended", "the kernel does not end what was killed: %s",
                  who[0] ? who : "pid 1");
    }
    run->outcome->trouble = (enum trouble)fault->trouble;
}

static void judge(struct run *run)
{
    struct outcome *outcome = run->outcome;
    bool killed = outcome->have_status && WIFSIGNALED(outcome->wait_status) && WTERMSIG(outcome->wait_status) == SIGKILL;

    if (run->failed || !outcome->ran) {
        name_silence(run);
        if (run->phase == STUCK && !run->failed)
            name_stuck(run);
        outcome->kind = OUTCOME_SETUP_FAILED;
        outcome->have_status = false;
        return;
    }
    if (run->cause != OUTCOME_EXITED)
        outcome->kind = run->cause;
    else if (killed && (outcome->oom || readings_oom_kills(run->cgroup) > 0))
        outcome->kind = OUTCOME_OOM;
    else
        outcome->kind = WIFSIGNALED(outcome->wait_status) ? OUTCOME_SIGNALED : OUTCOME_EXITED;
    if (run->phase == STUCK) {
        outcome->kind = OUTCOME_STUCK;
        name_stuck(run);
    }
}

/* When everything must be said: the last output, what stderr gets, the record. A reader that is slow gets what is left of the time
 * when the command ended by itself, as it would have without bivy in between. */
static uint64_t answer_by(const struct run *run, uint64_t now)
{
    uint64_t by = now + LAST_WORDS, late = run->outcome->started + run->plan->timeout + run->plan->kill_after;

    if (run->cause == OUTCOME_EXITED && (run->phase == GONE || run->phase == KEPT))
        return by > late ? by : late;
    if (run->killed_at && run->killed_at + ANSWER_WITHIN < by)
        by = run->killed_at + ANSWER_WITHIN;
    return by > now + ANSWER_LEAST ? by : now + ANSWER_LEAST;
}

static uint64_t never(void *unused, uint64_t now)
{
    (void)unused;
    (void)now;
    return NEVER;
}

static void ignore(void *unused)
{
    (void)unused;
}

static const struct watcher nobody = {.tick = never, .first_tick = NEVER, .output = ignore};

void supervise(const struct plan *plan, const struct cgroup *cgroup, struct launched *launched, struct streams *streams,
               const struct progress *progress, int signals, const struct watcher *watcher, struct outcome *outcome)
{
    struct run run = {
        .plan = plan,
        .cgroup = cgroup,
        .launched = launched,
        .streams = streams,
        .progress = progress,
        .signals = signals,
        .watcher = watcher ? watcher : &nobody,
        .tick = watcher ? watcher->first_tick : NEVER,
        .outcome = outcome,
        .phase = RUNNING,
        .deadline = outcome->started + plan->timeout,
        .sample_at = launched->joined ? NEVER : outcome->started + SAMPLE_FIRST, /* the leaf is another run's */
        .cause = OUTCOME_EXITED,
    };

    loop(&run);
    timing_begin(&outcome->timing, TIMING_OUTPUT);
    judge(&run);
    outcome->answer_by = answer_by(&run, sys_now());
    run.watcher->output(run.watcher->data);
    streams_finish(streams, outcome->answer_by, signals);
}
