/* spawn: starts programs by a schedule and times each run, so that whoever made the schedule is not in the figures.
 *
 * The schedule comes on standard input, a word and its value a line:
 *   pause N        microseconds of rest before each run (0)
 *   parallel N     runs under way at a time (1)
 *   limit N        seconds after which a run is killed and counts as failed (60)
 *   parent N       bytes of memory of this process to be written before the first run, in pages of the smallest size (0)
 *   touch N        1: go on writing to them, 256 pages every millisecond, while runs are started (0)
 *   start HOW      vfork or fork (vfork)
 *   busy FILE      where the processor time of the whole machine is read: cpuacct.usage, cpu.stat or /proc/stat
 *   peer NAME      the lines from here to the next `peer` or `order` describe one program:
 *   arg TEXT         one argument; %N in it is the number of the run
 *   next             what follows is a further command, run after the one before has ended
 *   out FILE         its standard output (/dev/null)
 *   err FILE         its standard error, appended (/dev/null)
 *   open N FILE      descriptor N, reading, opened anew for each run
 *   mounts FILE      the mount namespace it is started in
 *   order N N ...  numbers of peers, in the order of the runs; may be repeated
 *
 * For each run one line is printed: number of the peer, start (ns, CLOCK_MONOTONIC), duration (ns), user and system time of the
 * tree as wait4(2) gives it (us), processor time of the machine from this start to the next, less this program's own (ns; -1 where
 * runs overlap), wait status. At the end: `done`, duration of everything, processor time of the machine (ns). Whatever is written
 * is written after the last run.
 *
 * What wait4 does not count: what a daemon did, kernel threads, and descendants that nobody has waited for. The machine's time counts
 * all of them, and everybody else's as well.
 *
 * SIGTERM, SIGINT and the death of the parent end it and pass SIGTERM on to what it has started. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PEERS = 64, COMMANDS = 8, WORDS = 256, NUMBERED = 16, LONG = 4096, OPENED = 4, PARALLEL = 1024, STEP = 256, PAGE = 4096 };

struct peer {
    char *words[COMMANDS][WORDS]; /* null-terminated */
    size_t count[COMMANDS];
    size_t commands;
    const char *out, *err, *mounts;
    struct { int number; const char *path; } opened[OPENED];
    size_t opened_count;
};

struct run {
    unsigned peer;
    int status;
    int64_t start, wall, busy;
    int64_t user, system;
};

struct slot {
    pid_t pid; /* 0: free */
    size_t run, command;
};

static struct peer peers[PEERS];
static size_t peer_count;
static unsigned *order;
static size_t order_count, order_room;
static struct run *runs;
static struct slot slots[PARALLEL];
static size_t parallel = 1;
static unsigned limit = 60;
static useconds_t rest;
static bool by_fork;
static int busy_fd = -1, null_fd;
static volatile sig_atomic_t ending, overdue;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *must(void *pointer)
{
    if (pointer == NULL)
        fail("memory");
    return pointer;
}

static int64_t now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Processor time of the machine in ns, -1 where there is no source for it. */
static int64_t busy(void)
{
    char text[4096];
    ssize_t length = busy_fd < 0 ? -1 : pread(busy_fd, text, sizeof text - 1, 0);
    const char *usage;
    char *place;
    uint64_t ticks = 0;

    if (length <= 0)
        return -1;
    text[length] = '\0';
    usage = strstr(text, "usage_usec ");
    if (usage != NULL)
        return (int64_t)strtoull(usage + strlen("usage_usec "), NULL, 10) * 1000;
    if (strncmp(text, "cpu ", 4) != 0)
        return (int64_t)strtoull(text, NULL, 10);
    place = text + 4;
    for (int column = 0; column < 7; column++) { /* user nice system idle iowait irq softirq */
        uint64_t value = strtoull(place, &place, 10);

        if (column != 3 && column != 4)
            ticks += value;
    }
    return (int64_t)(ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK)));
}

/* ---- the schedule ---- */

static unsigned long number(const char *text)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        errno = EINVAL;
        fail(text);
    }
    return value;
}

static void add_order(char *text)
{
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        unsigned long peer = number(word);

        if (peer >= peer_count) {
            errno = EINVAL;
            fail("order names a peer that is not there");
        }
        if (order_count == order_room) {
            order_room = order_room == 0 ? 1024 : order_room * 2;
            order = must(realloc(order, order_room * sizeof *order));
        }
        order[order_count++] = (unsigned)peer;
    }
}

static void add_to_peer(struct peer *peer, const char *key, char *value)
{
    size_t last = peer->commands - 1;

    if (strcmp(key, "arg") == 0) {
        if (peer->count[last] == WORDS - 1) {
            errno = E2BIG;
            fail(value);
        }
        peer->words[last][peer->count[last]++] = must(strdup(value));
    } else if (strcmp(key, "next") == 0) {
        if (peer->commands == COMMANDS) {
            errno = E2BIG;
            fail("next");
        }
        peer->commands++;
    } else if (strcmp(key, "out") == 0) {
        peer->out = must(strdup(value));
    } else if (strcmp(key, "err") == 0) {
        peer->err = must(strdup(value));
    } else if (strcmp(key, "mounts") == 0) {
        peer->mounts = must(strdup(value));
    } else if (strcmp(key, "open") == 0 && peer->opened_count < OPENED && strchr(value, ' ') != NULL) {
        char *path = strchr(value, ' ');

        *path++ = '\0';
        peer->opened[peer->opened_count].number = (int)number(value);
        peer->opened[peer->opened_count++].path = must(strdup(path));
    } else {
        errno = EINVAL;
        fail(key);
    }
}

struct parent {
    unsigned char *memory;
    size_t size;
    bool touch;
};

static void read_schedule(struct parent *parent)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    while ((length = getline(&line, &room, stdin)) > 0) {
        char *value;

        if (line[length - 1] == '\n')
            line[length - 1] = '\0';
        value = strchr(line, ' ');
        if (value != NULL)
            *value++ = '\0';
        else
            value = line + strlen(line);
        if (strcmp(line, "pause") == 0) {
            rest = (useconds_t)number(value);
        } else if (strcmp(line, "parallel") == 0) {
            parallel = number(value);
            if (parallel == 0 || parallel > PARALLEL) {
                errno = ERANGE;
                fail("parallel");
            }
        } else if (strcmp(line, "limit") == 0) {
            limit = (unsigned)number(value);
        } else if (strcmp(line, "parent") == 0) {
            parent->size = number(value);
        } else if (strcmp(line, "touch") == 0) {
            parent->touch = number(value) != 0;
        } else if (strcmp(line, "start") == 0) {
            by_fork = strcmp(value, "fork") == 0;
        } else if (strcmp(line, "busy") == 0) {
            busy_fd = open(value, O_RDONLY | O_CLOEXEC);
            if (busy_fd < 0)
                fail(value);
        } else if (strcmp(line, "order") == 0) {
            add_order(value);
        } else if (strcmp(line, "peer") == 0) {
            if (peer_count == PEERS) {
                errno = E2BIG;
                fail("peer");
            }
            peers[peer_count++].commands = 1;
        } else if (peer_count > 0) {
            add_to_peer(&peers[peer_count - 1], line, value);
        } else {
            errno = EINVAL;
            fail(line);
        }
    }
    free(line);
    for (size_t i = 0; i < peer_count; i++)
        for (size_t command = 0; command < peers[i].commands; command++)
            if (peers[i].count[command] == 0) {
                errno = EINVAL;
                fail("a command without an argument");
            }
    if (ferror(stdin) != 0 || order_count == 0) {
        errno = EINVAL;
        fail("no order");
    }
}

/* ---- one run ---- */

/* In the child, which may share this process's memory: no allocation, nothing written but its own stack. */
static _Noreturn void become(const struct peer *peer, char *const *words)
{
    sigset_t none;

    if (peer->mounts != NULL) {
        int mounts = open(peer->mounts, O_RDONLY | O_CLOEXEC);

        if (mounts < 0 || setns(mounts, CLONE_NEWNS) < 0)
            _exit(125);
    }
    dup2(null_fd, STDIN_FILENO);
    for (int stream = STDOUT_FILENO; stream <= STDERR_FILENO; stream++) {
        const char *path = stream == STDOUT_FILENO ? peer->out : peer->err;
        int fd = path == NULL ? null_fd
                              : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (stream == STDERR_FILENO ? O_APPEND : O_TRUNC), 0600);

        if (fd < 0 || dup2(fd, stream) < 0)
            _exit(125);
    }
    for (size_t i = 0; i < peer->opened_count; i++) {
        int fd = open(peer->opened[i].path, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || (fd == peer->opened[i].number ? fcntl(fd, F_SETFD, 0) : dup2(fd, peer->opened[i].number)) < 0)
            _exit(125);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(words[0], words);
    _exit(127);
}

/* The words with every %N replaced, in memory that lasts until the next call. */
static char **number_words(char *const *from, size_t run)
{
    static char room[NUMBERED][LONG];
    static char *words[WORDS];
    size_t used = 0, i;

    for (i = 0; from[i] != NULL; i++) {
        const char *rest_of = from[i], *mark;
        size_t length = 0;

        words[i] = from[i];
        if (strstr(from[i], "%N") == NULL)
            continue;
        if (used == NUMBERED || strlen(from[i]) > LONG / 16) {
            errno = E2BIG;
            fail(from[i]);
        }
        while ((mark = strstr(rest_of, "%N")) != NULL) {
            length += (size_t)snprintf(room[used] + length, LONG - length, "%.*s%zu", (int)(mark - rest_of), rest_of, run);
            rest_of = mark + 2;
        }
        snprintf(room[used] + length, LONG - length, "%s", rest_of);
        words[i] = room[used++];
    }
    words[i] = NULL;
    return words;
}

struct child {
    const struct peer *peer;
    char *const *words;
};

static int child(void *argument)
{
    const struct child *self = argument;

    become(self->peer, self->words);
}

/* As vfork or as fork, but on a stack of its own. */
static pid_t start_child(const struct peer *peer, char *const *words)
{
    static _Alignas(16) char stack[64 << 10];
    struct child argument = {peer, words};

    return clone(child, stack + sizeof stack, SIGCHLD | (by_fork ? 0 : CLONE_VM | CLONE_VFORK), &argument);
}

static void start(struct slot *slot)
{
    const struct peer *peer = &peers[runs[slot->run].peer];
    char **words = number_words(peer->words[slot->command], slot->run);

    if (slot->command == 0)
        runs[slot->run].start = now(CLOCK_MONOTONIC);
    slot->pid = start_child(peer, words);
    if (slot->pid < 0)
        fail("fork");
}

/* The slot's child has ended. Says whether the slot is free again. */
static bool ended(struct slot *slot, int status, const struct rusage *usage)
{
    struct run *run = &runs[slot->run];

    run->user += (int64_t)usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec;
    run->system += (int64_t)usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec;
    slot->pid = 0;
    if (run->status == 0)
        run->status = status;
    if (status == 0 && !ending && ++slot->command < peers[run->peer].commands) {
        start(slot);
        return false;
    }
    run->wall = now(CLOCK_MONOTONIC) - run->start;
    return true;
}

static void kill_all(int signal)
{
    for (size_t i = 0; i < parallel; i++)
        if (slots[i].pid > 0)
            kill(slots[i].pid, signal);
}

/* Waits for any child; SIGTERM goes on to all, and what takes longer than the limit is killed. */
static struct slot *wait_any(int *status, struct rusage *usage)
{
    for (;;) {
        pid_t pid = wait4(-1, status, 0, usage);

        if (pid > 0) {
            for (size_t i = 0; i < parallel; i++)
                if (slots[i].pid == pid)
                    return &slots[i];
            continue;
        }
        if (errno != EINTR)
            fail("wait4");
        if (overdue) {
            overdue = 0;
            kill_all(SIGKILL);
        } else if (ending) {
            kill_all(SIGTERM);
            alarm(5);
        }
    }
}

static void one_at_a_time(void)
{
    int64_t before = 0, own = 0;

    for (size_t i = 0; i < order_count && !ending; i++) {
        struct slot *slot = &slots[0];
        struct rusage usage;
        int status;

        if (rest > 0)
            usleep(rest);
        if (busy_fd >= 0) {
            int64_t after = busy(), own_after = now(CLOCK_PROCESS_CPUTIME_ID);

            if (i > 0)
                runs[i - 1].busy = after - before - (own_after - own);
            before = after;
            own = own_after;
        }
        *slot = (struct slot){.run = i};
        alarm(limit);
        start(slot);
        do
            slot = wait_any(&status, &usage);
        while (!ended(slot, status, &usage));
    }
    alarm(0);
    if (busy_fd >= 0) {
        if (rest > 0)
            usleep(rest);
        runs[order_count - 1].busy = busy() - before - (now(CLOCK_PROCESS_CPUTIME_ID) - own);
    }
}

static void many_at_a_time(void)
{
    size_t next = 0, under_way = 0;
    struct rusage usage;
    int status;

    for (size_t i = 0; i < order_count; i++)
        runs[i].busy = -1;
    while (next < order_count && under_way < parallel) {
        slots[under_way] = (struct slot){.run = next++};
        alarm(limit);
        start(&slots[under_way++]);
    }
    while (under_way > 0) {
        struct slot *slot = wait_any(&status, &usage);

        if (!ended(slot, status, &usage))
            continue;
        if (next < order_count && !ending) {
            *slot = (struct slot){.run = next++};
            alarm(limit);
            start(slot);
        } else {
            under_way--;
        }
    }
    alarm(0);
}

/* ---- a parent with much memory ---- */

static void *touch(void *argument)
{
    const struct parent *parent = argument;
    size_t page = 0;

    for (;;) {
        for (size_t i = 0; i < STEP; i++) {
            parent->memory[page]++;
            page = page + PAGE < parent->size ? page + PAGE : 0;
        }
        usleep(1000);
    }
    return NULL;
}

static void grow(struct parent *parent)
{
    pthread_t thread;
    sigset_t all, before;

    if (parent->size == 0)
        return;
    parent->memory = mmap(NULL, parent->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (parent->memory == MAP_FAILED)
        fail("parent");
    madvise(parent->memory, parent->size, MADV_NOHUGEPAGE);
    for (size_t page = 0; page < parent->size; page += PAGE)
        parent->memory[page] = 1;
    if (!parent->touch)
        return;
    sigfillset(&all); /* signals are for the thread that waits */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&thread, NULL, touch, parent);
    if (errno != 0)
        fail("thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_end(int signal)
{
    (void)signal;
    ending = 1;
}

static void on_alarm(int signal)
{
    (void)signal;
    overdue = 1;
}

int main(void)
{
    static struct parent parent;
    struct sigaction end = {.sa_handler = on_end}, late = {.sa_handler = on_alarm};
    int64_t began, busy_before;
    int64_t own;

    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGALRM, &late, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        fail("/dev/null");
    read_schedule(&parent);
    runs = must(calloc(order_count, sizeof *runs));
    for (size_t i = 0; i < order_count; i++)
        runs[i].peer = order[i];
    grow(&parent);

    began = now(CLOCK_MONOTONIC);
    busy_before = busy();
    own = now(CLOCK_PROCESS_CPUTIME_ID);
    if (parallel == 1)
        one_at_a_time();
    else
        many_at_a_time();
    busy_before = busy_before < 0 ? -1 : busy() - busy_before - (now(CLOCK_PROCESS_CPUTIME_ID) - own);
    began = now(CLOCK_MONOTONIC) - began;
    if (ending)
        return 143;
    for (size_t i = 0; i < order_count; i++)
        printf("%u %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %d\n", runs[i].peer, runs[i].start, runs[i].wall,
               runs[i].user, runs[i].system, runs[i].busy, runs[i].status);
    printf("done %" PRId64 " %" PRId64 "\n", began, busy_before);
    return fflush(stdout) == 0 ? 0 : 1;
}
