#include "culprit.h"

#include <stdio.h>
#include <string.h>

static const struct autopsy_process *by_pid(const struct autopsy *autopsy, uint64_t pid)
{
    for (unsigned i = 0; pid && i < autopsy->told; i++)
        if (autopsy->process[i].pid == pid)
            return &autopsy->process[i];
    return NULL;
}

static bool has_child(const struct autopsy *autopsy, const struct autopsy_process *process)
{
    for (unsigned i = 0; process->pid && i < autopsy->told; i++)
        if (autopsy->process[i].parent == process->pid)
            return true;
    return false;
}

static bool is_pipe(const struct autopsy_end *end)
{
    return end->is == AUTOPSY_IS_PIPE || (end->is == AUTOPSY_IS_FIFO && end->fd >= 0);
}

static bool all_pipes(const struct autopsy_process *process)
{
    for (unsigned i = 0; i < process->on_count; i++)
        if (!is_pipe(&process->on[i]))
            return false;
    return process->on_count > 0;
}

static bool waits_on(const struct autopsy_process *process, enum autopsy_kind kind)
{
    for (unsigned i = 0; i < process->on_count; i++)
        if (process->on[i].is == kind)
            return true;
    return false;
}

/* What it waits for, seen with the others: a shell's wait is one for signals, an open FIFO is a pipe with a name, and who polls his
 * children's pipes waits for these. */
static enum autopsy_wait among_others(const struct autopsy *autopsy, const struct autopsy_process *process)
{
    if (process->waits == AUTOPSY_SIGNAL && has_child(autopsy, process))
        return AUTOPSY_CHILD;
    if ((process->waits == AUTOPSY_FIFO || process->waits == AUTOPSY_POLL) && all_pipes(process))
        return AUTOPSY_PIPE;
    if (process->waits == AUTOPSY_POLL && waits_on(process, AUTOPSY_IS_STDIN))
        return AUTOPSY_CALLER;
    if (process->waits == AUTOPSY_POLL && waits_on(process, AUTOPSY_IS_TTY))
        return AUTOPSY_TTY;
    if (process->waits == AUTOPSY_SOCKET && !strncmp(process->call, "accept", strlen("accept")))
        return AUTOPSY_POLL; /* a server, to which nobody comes */
    return process->waits;
}

/* Its other end is nobody else's, so nobody will ever write or read there. */
static bool only_its_own(const struct autopsy_process *process)
{
    const struct autopsy_end *end = &process->on[0];

    return process->on_count == 1 && is_pipe(end) && end->with_count == 1 && end->with[0] == process->pid;
}

static unsigned telling(const struct autopsy *autopsy, const struct autopsy_process *process)
{
    /* From what tells least. A shell waits for its children, the end of a pipeline for its beginning, a client for a server and a server
     * for its clients: these wait for others of the run. */
    static const enum autopsy_wait order[AUTOPSY_WAITS] = {
        AUTOPSY_ENDED, AUTOPSY_CHILD, AUTOPSY_OTHER, AUTOPSY_PIPE, AUTOPSY_POLL,   AUTOPSY_SOCKET,  AUTOPSY_SIGNAL,  AUTOPSY_LOCK,
        AUTOPSY_SLEEP, AUTOPSY_FILE,  AUTOPSY_FIFO,  AUTOPSY_TTY,  AUTOPSY_CALLER, AUTOPSY_STOPPED, AUTOPSY_RUNNING, AUTOPSY_WORKSPACE,
    };
    enum autopsy_wait waits = among_others(autopsy, process);
    unsigned place = 0;

    if (waits == AUTOPSY_PIPE && only_its_own(process))
        waits = AUTOPSY_LOCK;
    while (place < AUTOPSY_WAITS && order[place] != waits)
        place++;
    return place;
}

const struct autopsy_process *culprit_find(const struct autopsy *autopsy)
{
    const struct autopsy_process *most = NULL;

    for (unsigned i = 0; autopsy && i < autopsy->told; i++)
        if (!most || telling(autopsy, &autopsy->process[i]) > telling(autopsy, most))
            most = &autopsy->process[i];
    return most;
}

/* ---- what to change ---- */

/* Its parent has been there for long, and it has not: perhaps one of many, one after the other. */
static const struct autopsy_process *starter(const struct autopsy *autopsy, const struct autopsy_process *process)
{
    const struct autopsy_process *parent = by_pid(autopsy, process->parent);

    return parent && parent->timed && process->timed && process->age < parent->age / 4 ? parent : NULL;
}

static bool writes_to_each_other(const struct autopsy *autopsy, const struct autopsy_process *process, uint64_t *other)
{
    for (unsigned i = 0; i < process->on[0].with_count; i++) {
        const struct autopsy_process *peer = by_pid(autopsy, process->on[0].with[i]);
        for (unsigned j = 0; peer && peer != process && peer->on_count == 1 && j < peer->on[0].with_count; j++)
            if (is_pipe(&peer->on[0]) && peer->on[0].with[j] == process->pid) {
                *other = peer->pid;
                return true;
            }
    }
    return false;
}

static void mend_pipe(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    const struct autopsy_end *end = &process->on[0];
    uint64_t other;

    if (only_its_own(process))
        snprintf(text, size, "it holds the other end itself, and nobody else does: close the end that is not used, or let somebody %s it",
                 end->writes ? "read" : "write to");
    else if (process->on_count && writes_to_each_other(autopsy, process, &other))
        snprintf(text, size, "pid %llu waits for it in turn: close the end that nothing more is written to, or write and read by turns",
                 (unsigned long long)other);
    else if (process->on_count == 1 && end->writes)
        snprintf(text, size, "nobody reads what it writes: read all of its output before waiting for its end (communicate(), say)");
    else
        snprintf(text, size, "look at who should write to, or read from, the other end");
}

static void mend_sleep(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    const struct autopsy_process *parent = starter(autopsy, process);
    uint64_t lasts = parent ? parent->age : process->age;

    if (process->limit ? process->timed && process->limit < lasts / 2 : parent != NULL)
        snprintf(text, size, "it sleeps for a moment only, probably in a loop%s: what that loop waits for (a file, a server) does not come",
                 parent ? " of its parent's" : "");
    else
        snprintf(text, size, "it only sleeps: sleep for less, or raise --timeout");
}

/* Is it, or its parent, and so on, a child that this one waits for? */
static bool waits_for(const struct autopsy *autopsy, uint64_t holder, const struct autopsy_process *process)
{
    const struct autopsy_process *who = by_pid(autopsy, holder);

    if (!who || among_others(autopsy, who) != AUTOPSY_CHILD)
        return false;
    for (unsigned steps = 0; process && process->parent != holder && steps < AUTOPSY_TOLD; steps++)
        process = by_pid(autopsy, process->parent);
    return process != NULL && process->parent == holder;
}

static void mend_file_lock(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    const struct autopsy_end *end = &process->on[0];

    if (end->with_count == 1 && end->with[0] == process->pid)
        snprintf(text, size, "it waits for itself, the lock being taken through another descriptor: take it once, or give it back first");
    else if (end->with_count && waits_for(autopsy, end->with[0], process))
        snprintf(text, size, "a deadlock: pid %llu has the lock and waits for this one to end; give it back first (flock -u), or take it once",
                 (unsigned long long)end->with[0]);
    else if (end->with_count)
        snprintf(text, size, "look at what pid %llu does, which does not give the lock back", (unsigned long long)end->with[0]);
    else if (autopsy_in_workspace(end->path))
        snprintf(text, size, "nobody in here was seen to hold that lock: does another run with the same workspace, or somebody outside?");
    else
        snprintf(text, size, "somebody holds that file's lock and does not give it back: end him, or use another file");
}

static void mend_lock(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    if (process->on_count)
        mend_file_lock(autopsy, process, text, size);
    else if (!process->private)
        snprintf(text, size, "somebody holds a lock and does not give it back, perhaps another process: a deadlock?");
    else if (process->threads > AUTOPSY_THREADS)
        snprintf(text, size, "its threads wait for locks: a deadlock among them, or a queue into which nobody puts anything?");
    else if (process->threads > 1)
        snprintf(text, size, "all of its %llu threads wait for one another: a deadlock, or a queue into which nobody puts anything",
                 (unsigned long long)process->threads);
    else
        snprintf(text, size, "it has no other thread that could wake it: a lock taken twice, or a queue into which nobody puts anything");
}

static void mend_poll(const struct autopsy_process *process, char *text, size_t size)
{
    bool listens = process->waits == AUTOPSY_SOCKET;

    for (unsigned i = 0; i < process->on_count; i++)
        listens |= process->on[i].listens;
    if (listens)
        snprintf(text, size, "a server, which ends only when it is told to: start it in the background, and end it when the work is done");
    else if (process->limit)
        snprintf(text, size, "it waits for something to happen, or for its own time to be over: who should make it happen?");
    else
        snprintf(text, size, "it waits for something to happen: a server, say, which ends only when it is told to");
}

/* Caught at its beginning, where it only runs yet, or loads its program: no more can be said of it, but of its parent. False: it was not. */
static bool mend_begun(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    const struct autopsy_process *parent = starter(autopsy, process);

    if (parent)
        snprintf(text, size, "pid %llu has only just started it: if that starts programs in a loop, look for why it does not end; if not, "
                 "raise --timeout or --cpus", (unsigned long long)parent->pid);
    return parent != NULL;
}

static void mend_running(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    if (mend_begun(autopsy, process, text, size))
        return;
    if (process->timed && process->cpu < process->age / 5)
        snprintf(text, size, "it was ready to run, and has had little of a processor so far: is the host busy, does --cpus hold it back, or "
                 "is it a loop that mostly sleeps?");
    else
        snprintf(text, size, "it computes: if it should, raise --timeout or --cpus; if not, look for a loop without an end");
}

static const char *mend_caller(const struct autopsy_process *process)
{
    return waits_on(process, AUTOPSY_IS_STDIN) ? "bivy's caller has not written all of its input: write it and close the pipe, or leave -i out"
                                               : "bivy's caller does not read its output: read stdout and stderr, both, until they end";
}

void culprit_mend(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size)
{
    static const char *const mends[AUTOPSY_WAITS] = {
        [AUTOPSY_FIFO] = "a FIFO opens only when somebody opens its other end: start that first, or in the background",
        [AUTOPSY_FILE] = "the file system of that file is slow",
        [AUTOPSY_TTY] = "it waits for somebody to type: answer it, or run it without a question (a --yes option, input from a file)",
        [AUTOPSY_SOCKET] = "whoever should answer does not; there is no network inside, only what runs there",
        [AUTOPSY_SIGNAL] = "it waits for a signal that nobody sends",
        [AUTOPSY_WORKSPACE] = "the workspace's file system does not answer: look at its server",
        [AUTOPSY_STOPPED] = "it is stopped and waits for SIGCONT",
    };
    enum autopsy_wait waits = among_others(autopsy, process);

    if (waits == AUTOPSY_PIPE)
        mend_pipe(autopsy, process, text, size);
    else if (waits == AUTOPSY_SLEEP)
        mend_sleep(autopsy, process, text, size);
    else if (waits == AUTOPSY_LOCK)
        mend_lock(autopsy, process, text, size);
    else if (waits == AUTOPSY_POLL)
        mend_poll(process, text, size);
    else if (waits == AUTOPSY_RUNNING)
        mend_running(autopsy, process, text, size);
    else if (waits == AUTOPSY_CALLER)
        snprintf(text, size, "%s", mend_caller(process));
    else if (waits == AUTOPSY_STOPPED && process->state == 't')
        snprintf(text, size, "whoever traces it (gdb, strace) has stopped it and does not let it go on");
    else if (waits != AUTOPSY_OTHER || !mend_begun(autopsy, process, text, size))
        snprintf(text, size, "%s", mends[waits] ? mends[waits] : "if it only needs longer, raise --timeout");
}
