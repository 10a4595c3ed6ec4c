#include "autopsy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "ends.h"
#include "helper.h"
#include "sys.h"

/* Most of /proc/PID waits for somebody: stat, wchan, syscall, mem, maps and the links (fd, cwd) for the lock of a process's execve, mem and
 * maps for that of its memory. It may hold either while a silent server has it, for ever: execve closes descriptors, munmap and mmap of a
 * file may write. These waits end with SIGKILL, so they are a helper's. He who finds himself waiting is ended, and the next one passes over
 * the process he was at. status, comm, fdinfo and the names in fd take no such lock and are read first, of all; whatever is found stands in
 * a shared page at once. A page that lies in a file of the workspace is fetched from its server, and that wait does not end: so no such
 * memory is read. */

#define MS ((uint64_t)1000000)
#define WITHIN (100 * MS)      /* all of it */
#define FIRST_WITHIN (50 * MS) /* the first helper, when he turns out to wait */
#define NEXT_WITHIN (20 * MS)
#define TO_END (5 * MS)        /* that a helper has left when he begins nothing new */

enum { GLANCES = 1024, HELPERS = 1 + 2 * CROWD_HELD };

enum doing { OBSERVE, MATCH, COMMAND }; /* COMMAND: its memory alone is read */

struct notes { /* shared: what a helper leaves behind */
    struct autopsy found;
    volatile pid_t at; /* whom it is reading of what may wait */
    volatile enum doing doing;
};

struct job {
    const struct autopsy_subject *subject;
    struct notes *notes; /* of the helper that is at work */
    struct crowd_held held, dumb; /* where others have waited: for whatever it was, and for its memory alone */
    uint64_t by;
};

static void read_channel(int dir, char channel[AUTOPSY_CHANNEL + 1])
{
    if (sys_read_file(dir, "wchan", channel, AUTOPSY_CHANNEL + 1) <= 0 || !strcmp(channel, "0"))
        channel[0] = '\0';
}

static void introduce(const struct crowd *crowd, const struct member *member, struct autopsy_process *to)
{
    ssize_t got = crowd_read(member->dir, "comm", to->name, sizeof to->name);

    to->name[got > 0 ? got - (to->name[got - 1] == '\n') : 0] = '\0';
    to->host = member->pid;
    to->held = member->held;
    to->pid = member->status.inner;
    to->parent = crowd_inner(crowd, member->status.parent);
    to->state = member->status.state;
    to->threads = member->status.threads;
    to->waits = autopsy_judge(to, crowd->may_block);
}

static void read_command(struct crowd *crowd, struct member *member, struct autopsy_process *to)
{
    uint64_t begin = member->args_begin, end = member->args_end;

    if (begin && begin < end)
        to->command_length = (unsigned)crowd_peek(crowd, member, begin, to->command, end - begin < AUTOPSY_COMMAND ? end - begin : AUTOPSY_COMMAND);
}

/* ---- one process ---- */

/* The call first, then the state, which must fit: who went to sleep in between is looked at again. */
static void read_state(int dir, struct autopsy_call *call, struct autopsy_process *seen)
{
    struct autopsy_stat stat;
    char text[1024];

    for (int i = 0; i < 3; i++) {
        bool known = sys_read_file(dir, "syscall", text, sizeof text) > 0 && autopsy_call(text, call);
        if (!known)
            *call = (struct autopsy_call){.number = -1};
        read_channel(dir, seen->channel);
        if (sys_read_file(dir, "stat", text, sizeof text) > 0 && autopsy_stat(text, &stat))
            seen->state = stat.state;
        if (!known || call->number >= 0 || seen->state == 'R')
            break;
    }
}

/* How long the call would wait. */
static void read_limit(struct crowd *crowd, struct member *member, const struct autopsy_call *call, struct autopsy_process *seen)
{
    const struct autopsy_limit *limit = autopsy_limit(seen->call);
    struct timespec now = {0};
    int64_t value[2], second = 1000 * (int64_t)MS;

    if (!limit || !call->args[limit->arg])
        return;
    if (limit->form == FORM_MS) {
        int ms = (int)call->args[limit->arg];
        seen->limit = ms > 0 ? (uint64_t)ms * MS : 0;
        return;
    }
    if (!autopsy_calm(seen) || crowd_peek(crowd, member, call->args[limit->arg], value, sizeof value) != sizeof value)
        return;
    seen->rest = limit->form == FORM_CLOCK && call->args[1] & TIMER_ABSTIME;
    if (seen->rest && clock_gettime((clockid_t)call->args[0], &now) < 0)
        return;
    value[0] -= now.tv_sec;
    value[1] = (limit->form == FORM_TIMEVAL ? value[1] * 1000 : value[1]) - now.tv_nsec;
    if (value[0] >= -1 && value[0] < INT32_MAX && value[1] > -second && value[1] < second && value[0] * second + value[1] > 0)
        seen->limit = (uint64_t)(value[0] * second + value[1]);
}

/* A thread of it. */
static void observe(struct crowd *crowd, struct member *member, int dir, struct autopsy_process *seen)
{
    struct autopsy_call call;
    const char *name;

    seen->call[0] = '\0';
    seen->on_count = 0;
    seen->limit = 0;
    seen->rest = seen->private = false;
    read_state(dir, &call, seen);
    if (call.number >= 0 && seen->state != 'R') {
        name = autopsy_call_name(call.number);
        if (name)
            snprintf(seen->call, sizeof seen->call, "%s", name);
        else
            snprintf(seen->call, sizeof seen->call, "%d", call.number);
        ends_resolve(crowd, member, &call, seen);
        read_limit(crowd, member, &call, seen);
        seen->private = !strcmp(seen->call, "futex") && call.args[1] & FUTEX_PRIVATE_FLAG;
    }
    seen->waits = autopsy_judge(seen, crowd->may_block);
    if (seen->waits == AUTOPSY_FIFO && seen->on_count && seen->on[0].fd < 0)
        seen->on[0].is = AUTOPSY_IS_FIFO;
}

static bool sleeps(int task, const char *thread)
{
    struct autopsy_stat stat;
    char path[32], text[1024];

    snprintf(path, sizeof path, "%.20s/stat", thread);
    return sys_read_file(task, path, text, sizeof text) <= 0 || !autopsy_stat(text, &stat) || stat.state == 'S';
}

/* Looks at the first of its threads, as far as they are awake where that is asked for, and keeps what tells most. */
static void observe_some(struct crowd *crowd, struct member *member, int most, bool awake, struct autopsy_process *best, bool *any)
{
    struct autopsy_process seen = *best;
    SYS_CLOSES int task = SYS_AGAIN(openat(member->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = task};
    const char *name;

    for (int i = 0; task >= 0 && i < most && sys_next_name(&names, &name) > 0 && !crowd_late(crowd); i++) {
        if (awake && sleeps(task, name))
            continue;
        SYS_CLOSES int dir = SYS_AGAIN(openat(task, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (dir < 0)
            continue;
        observe(crowd, member, dir, &seen);
        if (!*any || autopsy_rank(seen.waits) > autopsy_rank(best->waits))
            *best = seen;
        *any = true;
    }
}

/* Of its threads the one that tells most. Who is awake is quickly found and tells more, so he comes first: there may be more of them than there
 * is time for. */
static void observe_threads(struct crowd *crowd, struct member *member, struct autopsy_process *to)
{
    struct autopsy_process best = *to;
    bool any = false;

    observe_some(crowd, member, GLANCES, true, &best, &any);
    observe_some(crowd, member, AUTOPSY_THREADS, false, &best, &any);
    if (any)
        *to = best;
}

static void read_times(struct member *member, struct autopsy_process *to)
{
    uint64_t tick = 1000 * MS / (uint64_t)sysconf(_SC_CLK_TCK), now, begun;
    struct autopsy_stat stat;
    struct timespec boot;
    char text[1024];

    if (sys_read_file(member->dir, "stat", text, sizeof text) <= 0 || !autopsy_stat(text, &stat))
        return;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    now = (uint64_t)boot.tv_sec * 1000 * MS + (uint64_t)boot.tv_nsec;
    begun = stat.start_ticks * tick;
    to->cpu = (stat.user_ticks + stat.system_ticks) * tick;
    to->age = now > begun ? now - begun : 0;
    to->timed = true;
    member->args_begin = stat.args_begin;
    member->args_end = stat.args_end;
}

static void examine(struct crowd *crowd, struct member *member, struct autopsy_process *to)
{
    struct autopsy_process seen = *to;

    read_times(member, &seen);
    if (member->status.threads > 1)
        observe_threads(crowd, member, &seen);
    else
        observe(crowd, member, member->dir, &seen);
    *to = seen;
}

/* ---- all of them ---- */

static void prepare(struct crowd *crowd, const struct job *job)
{
    const struct place *workspace = job->subject->plan->workspace, *rootfs = job->subject->plan->rootfs;

    crowd->by = job->by;
    crowd->init = job->subject->init;
    crowd->streams = job->subject->streams;
    crowd->may_block = workspace && workspace->may_block;
    crowd->root_may_block = rootfs && rootfs->may_block;
    crowd->held = job->held;
    crowd->dumb = job->dumb;
}

/* What may wait. */
static void step(struct crowd *crowd, struct notes *notes, unsigned who, enum doing doing)
{
    struct member *member = &crowd->members[who];
    struct autopsy_process *to = &notes->found.process[who]; /* where it is told of */

    if (member->held || crowd_late(crowd))
        return;
    notes->doing = doing;
    notes->at = member->pid;
    if (doing == OBSERVE)
        examine(crowd, member, to);
    else if (doing == COMMAND && autopsy_calm(to))
        read_command(crowd, member, to);
    else if (doing == MATCH)
        ends_match(crowd, member, &notes->found);
    notes->at = 0;
}

/* In the helper. Who cannot be woken comes last, and so does the memory of those that compute: other threads of theirs may want its lock
 * all the time. */
static int look_at_all(void *data, void *answer)
{
    static struct crowd crowd; /* of the helper's own memory, and touched by nobody else */
    const struct job *job = data;
    struct notes *notes = job->notes;
    struct autopsy *found = &notes->found;

    (void)answer;
    prepare(&crowd, job);
    crowd_gather(&crowd);
    found->processes = crowd.processes;
    unsigned told = crowd_order(&crowd, AUTOPSY_TOLD);
    for (unsigned i = 0; i < told; i++)
        introduce(&crowd, &crowd.members[i], &found->process[i]);
    found->told = told;
    for (int last = 0; last < 2; last++)
        for (unsigned i = 0; i < told; i++)
            if ((crowd.members[i].status.state == 'D') == last)
                step(&crowd, notes, i, OBSERVE);
    for (unsigned i = 0; i < told; i++)
        if (found->process[i].state != 'R')
            step(&crowd, notes, i, COMMAND);
    ends_name_sockets(&crowd, found);
    for (unsigned i = 0; i < crowd.count && ends_are_open(found); i++)
        step(&crowd, notes, i, MATCH);
    for (unsigned i = 0; i < told; i++)
        if (found->process[i].state == 'R')
            step(&crowd, notes, i, COMMAND);
    found->complete = !crowd_late(&crowd);
    return -1;
}

/* A helper that hangs may still write into the shared pages one day. */
static struct autopsy *take_over(const struct autopsy *shared)
{
    struct autopsy *own = malloc(sizeof *own);

    if (!own)
        return NULL;
    memcpy(own, shared, sizeof *own);
    own->told = own->told < AUTOPSY_TOLD ? own->told : AUTOPSY_TOLD;
    for (unsigned i = 0; i < own->told; i++) {
        struct autopsy_process *process = &own->process[i];
        process->name[AUTOPSY_NAME] = process->channel[AUTOPSY_CHANNEL] = process->call[sizeof process->call - 1] = '\0';
        process->command_length = process->command_length < AUTOPSY_COMMAND ? process->command_length : AUTOPSY_COMMAND;
        process->on_count = process->on_count < AUTOPSY_ON ? process->on_count : AUTOPSY_ON;
        for (unsigned j = 0; j < AUTOPSY_ON; j++)
            process->on[j].path[AUTOPSY_PATH] = process->on[j].address[SOCKETS_TEXT] = '\0';
    }
    return own;
}

/* Writes down where a helper has waited; false: it was nowhere that another one could pass over. */
static bool pass_over(struct job *job)
{
    struct crowd_held *list = job->notes->doing == COMMAND ? &job->dumb : &job->held;
    pid_t at = job->notes->at;

    if (at <= 0 || list->count == CROWD_HELD || crowd_holds(list, at))
        return false;
    list->pids[list->count++] = at;
    return true;
}

/* Helper after helper, as long as each finds itself waiting and time is left. Gives the last of their notes in which there is something. */
static const struct autopsy *look_again(struct job *job, const struct autopsy_subject *subject, uint64_t by, struct helper_left *left)
{
    const struct autopsy *found = NULL;
    uint64_t within = FIRST_WITHIN;
    char unused = 0;
    int fd;

    for (struct notes *end = job->notes + HELPERS; job->notes < end; job->notes++) {
        const struct helper_task task = {.work = look_at_all, .data = job, .keep = subject->cgroup->leaf, .stop = -1, .by = by,
                                         .held_by = sys_now() + within, .answer = &unused, .size = sizeof unused};
        helper_run(&task, &fd, left);
        if (job->notes->found.told)
            found = &job->notes->found;
        if (!left->held || left->pid || sys_now() >= by || !pass_over(job))
            break;
        within = NEXT_WITHIN;
    }
    return found;
}

struct autopsy *autopsy_take(const struct autopsy_subject *subject)
{
    uint64_t begun = sys_now();
    struct autopsy *own = NULL;
    struct helper_left left = {0};
    size_t size = HELPERS * sizeof(struct notes); /* of which nothing is there until it is written to */
    struct notes *notes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (notes == MAP_FAILED)
        return NULL;
    struct job job = {.subject = subject, .notes = notes, .by = begun + WITHIN - TO_END};
    const struct autopsy *found = look_again(&job, subject, begun + WITHIN, &left);
    if (found && (own = take_over(found))) {
        own->took = sys_now() - begun;
        own->left = left.pid;
    }
    munmap(notes, size);
    return own;
}
