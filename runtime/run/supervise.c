#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "readings.h"
#include "course.h"
#include "sys.h"
#include "verdict.h"

#define MS ((uint64_t)1000000)
#define OOM_WATCH (1000 * MS)   /* after a v1 OOM event: how long to look for the victim */
#define OOM_STEP (5 * MS)
#define INPUT_STEP (100 * MS)   /* a command whose input has ended may change how it reads its terminal */
#define NEVER UINT64_MAX
#define AT_ONCE 32              /* questions of the filter answered before anything else is looked at, */
#define AT_ONCE_WITHIN (5 * MS) /* unless they take long: reading the memory of who asks can wait for a lock of his */

struct loop { /* the run, and what beside it comes by the loop */
    struct course course;
    int signals;
    const struct watcher *watcher;
    uint64_t tick;      /* when the watcher is to be called */
    uint64_t oom_watch; /* look for an OOM victim until then */
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

static void on_command_ended(struct course *course, const struct message *message)
{
    course->outcome->have_status = true;
    course->outcome->wait_status = message->ended.wait_status;
    course->outcome->ended = message->ended;
    course->outcome->ended_at = message->at;
    course->outcome->have_unreachable = message->ended.unreachable != UINT64_MAX;
    course->outcome->unreachable = message->ended.unreachable;
    /* Beside pid 1's death, which takes the kernel a while. */
    if (readings_last(course->cgroup))
        course->outcome->have_readings = readings_take(course->cgroup, &course->outcome->readings) == 0;
    sampling_end(&course->sampling);
    course_command_ended(course);
}

static void on_message(struct loop *loop)
{
    struct course *course = &loop->course;
    struct message message;
    ssize_t got;

    while ((got = read(course->launched->up, &message, sizeof message)) > 0) {
        if (!message_valid(&message, (size_t)got)) {
            course->failed = !course->outcome->ran && course->progress->stage != STAGE_EXEC;
            fault_set(&course->outcome->fault, STAGE_SUPERVISE, EPROTO, NULL, "the sandbox sent something that is not a message");
            course_kill(course);
            return;
        }
        switch (message.kind) {
        case MESSAGE_FAULT:
            course->failed = true;
            course->outcome->fault = message.fault;
            break;
        case MESSAGE_READY:
            course->outcome->ready = course->outcome->ran = true;
            course->outcome->readback = message.readback;
            course->outcome->ready_at = message.at;
            if (course->launched->joined && course->phase == RUNNING)
                course->deadline = course->outcome->started + course->plan->timeout;
            if (loop->watcher->ready)
                loop->watcher->ready(loop->watcher->data);
            if (course->plan->tty)
                streams_listen(course->streams);
            break;
        case MESSAGE_ENDED:
            on_command_ended(course, &message);
            break;
        case MESSAGE_CLEARED:
            if (course->phase == CLEARING)
                cgroup_unthrottle(course->cgroup); /* nothing runs its own code any more, and dying takes time too */
            break;
        case MESSAGE_ALONE:
            course_alone(course);
            break;
        }
    }
}

static void on_signal(struct loop *loop)
{
    struct course *course = &loop->course;
    struct signalfd_siginfo info;

    while (read(loop->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        course->streams->terminal.keys = false; /* not taken again: continued in the background only to end, bivy would stop for it */
        if (course->phase == RUNNING) {
            course->outcome->cancel_signal = (int)info.ssi_signo;
            course_end(course, OUTCOME_CANCELLED);
        } else {
            course_kill(course); /* asked twice */
        }
    }
}

/* v1: memory has run out, and somebody is about to be killed. v2: the limit was touched, or likewise; what comes of it shows in the end. */
static void on_memory_event(struct loop *loop, uint64_t now)
{
    struct course *course = &loop->course;
    char text[512];
    uint64_t unused;

    if (course->cgroup->v1[CONTROLLER_MEMORY] >= 0) {
        if (read(course->cgroup->oom_event, &unused, sizeof unused) > 0)
            loop->oom_watch = now + OOM_WATCH;
        sampling_before_kill(&course->sampling);
    } else if (pread(course->cgroup->oom_event, text, sizeof text, 0) < 0) { /* also arms the next one */
        return;
    } else if (course->plan->keep) {
        loop->oom_watch = now + OOM_WATCH; /* memory.oom.group would take pid 1 along: the supervisor ends the rest instead */
    }
    sampling_at_limit(&course->sampling);
}

/* v1, and v2 with --keep-on-fail: the event comes when memory runs out, the count when somebody was killed for it. Then all go, as with memory.oom.group. */
static void on_oom(struct loop *loop, uint64_t now)
{
    struct course *course = &loop->course;

    if (readings_oom_kills(course->cgroup) > 0) {
        loop->oom_watch = 0;
        course->outcome->oom = true;
        if (course->phase == RUNNING)
            course->cause = OUTCOME_OOM;
        course_finish(course);
    } else if (now >= loop->oom_watch) {
        loop->oom_watch = 0;
    }
}

static void on_gone(struct loop *loop)
{
    struct course *course = &loop->course;
    siginfo_t info = {0};

    if (waitid(P_PIDFD, (id_t)course->launched->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        return;
    if (course->launched->up >= 0)
        on_message(loop); /* what it said last */
    course_gone(course);
}

/* Stopped by its user. What is inside stands still meanwhile, and that time is not the command's: nothing runs on without a supervisor. */
static void step_aside(struct course *course)
{
    uint64_t began = sys_now();

    if (course->phase != RUNNING)
        return; /* it is about to end anyway */
    cgroup_freeze(course->cgroup, true);
    terminal_suspend(&course->streams->terminal);
    cgroup_freeze(course->cgroup, false);
    course->deadline += sys_now() - began;
}

static void on_terminal(struct course *course)
{
    struct terminal *terminal = &course->streams->terminal;
    int result;

    if (terminal->handover < 0) {
        if (terminal_serve(terminal))
            step_aside(course);
        return;
    }
    result = terminal_receive(terminal, &course->outcome->fault);
    if (result > 0)
        result = streams_show(course->plan, course->streams, &course->outcome->fault);
    if (result < 0) { /* before the command exists: it waits for a word that does not come */
        course->failed = true;
        course_kill(course);
    }
}

/* What the filter asks, with --explain. Whose call it is: READY is written before the command's first call, and the gate's probe waits
 * for its answer before that; so after a call was taken, the messages tell whether it is the command's. */
static void on_listener(struct loop *loop, const struct pollfd *polled)
{
    struct course *course = &loop->course;
    struct listener *listener = &course->launched->listener;
    struct listener_call call;
    uint64_t by = sys_now() + AT_ONCE_WITHIN;

    for (int i = 0; i < AT_ONCE && sys_now() < by && listener_next(listener, polled, &call); i++) {
        if (!course->outcome->ran)
            on_message(loop);
        listener_answer(listener, &call, course->outcome->ran ? course->outcome->explain : NULL);
    }
}

static int patience(const struct loop *loop, uint64_t now, uint64_t until)
{
    const struct course *course = &loop->course;

    if (course->deadline < until)
        until = course->deadline;
    if (loop->tick < until)
        until = loop->tick;
    if (course->streams->listening && course->streams->in.out < 0 && now + INPUT_STEP < until)
        until = now + INPUT_STEP;
    if (loop->oom_watch && now + OOM_STEP < until)
        until = now + OOM_STEP;
    if (course->phase <= TERMINATING && course->sampling.next < until)
        until = course->sampling.next;
    if (until <= now)
        return 0;
    uint64_t ms = (until - now + MS - 1) / MS;
    return ms > 3600000 ? 3600000 : (int)ms;
}

static void go_round(struct loop *loop)
{
    struct course *course = &loop->course;

    while (course->phase < GONE) {
        enum { PIDFD, MESSAGES, SIGNALS, OOM, TERMINAL, LISTENER, STREAMS };
        struct pollfd fds[STREAMS + 3] = {
            {.fd = course->launched->pidfd, .events = POLLIN},
            {.fd = course->launched->up, .events = POLLIN}, /* poll(2) passes over a negative one */
            {.fd = loop->signals, .events = POLLIN},
            {.fd = course->cgroup->oom_event, .events = course->cgroup->v1[CONTROLLER_MEMORY] >= 0 ? POLLIN : POLLPRI},
            {.fd = terminal_poll(&course->streams->terminal), .events = POLLIN},
            {.fd = -1}, /* the filter's listener */
        };
        size_t count = streams_poll(course->streams, fds + STREAMS);
        uint64_t now = sys_now(), until = NEVER;

        if (course->outcome->explain)
            fds[LISTENER] = listener_poll(&course->launched->listener, now, &until);
        /* Out of memory, say: nothing is known to be there, the deadlines hold all the same, and the next time it works. */
        if (poll(fds, STREAMS + count, patience(loop, now, until)) < 0 && errno != EINTR)
            clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = (long)MS}, NULL);
        now = sys_now();
        if (fds[MESSAGES].revents)
            on_message(loop);
        /* Nothing more to read and nobody to write: left in poll(2), this would come back at once for as long as pid 1 takes to die. */
        if ((fds[MESSAGES].revents & (POLLIN | POLLHUP)) == POLLHUP)
            sys_close(&course->launched->up);
        if (fds[LISTENER].revents || course->launched->listener.holds)
            on_listener(loop, &fds[LISTENER]);
        if (fds[SIGNALS].revents)
            on_signal(loop);
        if (fds[OOM].revents)
            on_memory_event(loop, now);
        if (course->phase <= TERMINATING)
            sampling_turn(&course->sampling, now);
        if (loop->oom_watch)
            on_oom(loop, now);
        if (fds[TERMINAL].revents)
            on_terminal(course);
        if (streams_reach_terminal(course->streams, fds + STREAMS, count))
            loop->watcher->output(loop->watcher->data);
        streams_serve(course->streams, fds + STREAMS, count);
        if (course->streams->terminal.suspend)
            on_terminal(course);
        if (now >= loop->tick)
            loop->tick = loop->watcher->tick(loop->watcher->data, now);
        if (streams_over(course->streams, course->plan->output_limit))
            course_end(course, OUTCOME_OUTPUT_LIMIT);
        course_late(course, now);
        if (fds[PIDFD].revents)
            on_gone(loop);
    }
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
    struct loop loop = {
        .course = {
            .plan = plan,
            .cgroup = cgroup,
            .launched = launched,
            .streams = streams,
            .progress = progress,
            .outcome = outcome,
            .phase = RUNNING,
            .deadline = outcome->started + (launched->joined ? COURSE_JOIN : plan->timeout),
            .cause = OUTCOME_EXITED,
        },
        .signals = signals,
        .watcher = watcher ? watcher : &nobody,
        .tick = watcher ? watcher->first_tick : NEVER,
    };

    sampling_begin(&loop.course.sampling, plan, cgroup, launched, outcome);
    go_round(&loop);
    timing_begin(&outcome->timing, TIMING_OUTPUT);
    verdict(&loop.course);
    outcome->answer_by = verdict_by(&loop.course, sys_now());
    loop.watcher->output(loop.watcher->data);
    streams_finish(streams, outcome->answer_by, signals);
}
