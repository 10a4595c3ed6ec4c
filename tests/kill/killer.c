/* killer: starts a parent that starts bivy, kills one of them at one moment, watches until nothing of it is left.
 *
 *   killer -v VICTIM [-k COUNTER:SEGMENT:N | -m MICROSECONDS | -g COUNTER] [-b FILE] [-r FILE] [-u ID] [-p PROCS]...
 *          [-d MS] -- BIVY ARGUMENT...
 *
 * Roles: 0 the parent, 1 bivy (the supervisor), 2 pid 1 of the sandbox, 3 the command; its descendants are nobody's.
 *
 *   -k  at the N-th boundary (an entry into or an exit from a system call) of COUNTER in a segment of its life: of bivy
 *       0 until clone3 has returned, 1 until its wait for pid 1 has, 2 to its end; of pid 1 0 until it has forked, 1
 *       thereafter; of the command 0 until its execve, 1 thereafter; of the parent 0 all of it. Where they are
 *       two, COUNTER stands still until VICTIM is dead. By ptrace; the other processes run on unstopped
 *   -m  without ptrace: so long after the start; for 2 and 3 so long after they were first seen
 *   -g  nobody is killed: how many boundaries each segment has
 *   -b  a file that the command makes first, -r bivy's record: they tell in which phase it was
 *   -u  becomes this user and group, -p joins this cgroup before that
 *   -d  everything must be over by then
 *
 * One JSON object on stdout. A call that bivy repeats in its loop with the same answers is counted twice, not for ever:
 * how often it is repeated depends on the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum role { PARENT, BIVY, PID1, COMMAND, OTHER, ROLES };

#define SEGMENTS 3
#define MOST 64        /* processes in one run */
#define LINGER_MS 15000 /* between the end of bivy and that of the last one: some ms, or seconds on a loaded machine */
#define LAST_MS 3000   /* after SIGKILL to all that is left */
#define HUNT_US 100
#define STILL_US 200000 /* how long COUNTER waits for VICTIM's death: no longer, that may need COUNTER */
#define OPTIONS                                                                                                        \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |     \
     PTRACE_O_EXITKILL)

struct call {
    uint64_t number;
    int64_t result;
};

struct tracee {
    pid_t pid;
    int role; /* -1: stopped at birth, its parent has not been heard of yet */
    bool counting;
    unsigned segment;
    uint64_t number;
    bool repeated; /* the call it is in */
    struct call last[4];
};

/* What the parent knows and others need: it may be dead by then. */
struct shared {
    pid_t bivy;
    int status;
    bool ended;
};

static struct tracee tracees[MOST];
static struct shared *shared;
static enum role victim = OTHER;
static struct {
    bool traced, golden, random;
    enum role counter;
    unsigned segment, nth;
    uint64_t delay_us;
} when;
static const char *begun, *report;
static unsigned counts[SEGMENTS];
static bool hit, execed;
static const char *phase = "none", *edge = "none";
static uint64_t call_number;
static int statuses[ROLES] = {-1, -1, -1, -1, -1};
static uint64_t started, killed_at, seen_at; /* us; the victim was first seen */
static uint64_t born[ROLES], died[ROLES];    /* us; by ptrace */

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static _Noreturn void die(const char *what)
{
    dprintf(2, "killer: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* ---- who is who, seen from outside ---- */

static ssize_t slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

/* Its state, or 0: there is no such process. */
static char state_of(pid_t pid)
{
    char path[64], text[512], *mark;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (slurp(path, text, sizeof text) <= 0 || !(mark = strrchr(text, ')')) || !mark[1])
        return 0;
    return mark[2];
}

static bool lives(pid_t pid)
{
    char state = pid > 0 ? state_of(pid) : 0;

    return state && state != 'Z' && state != 'X';
}

static pid_t child_of(pid_t pid)
{
    char path[64], text[256];

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    return slurp(path, text, sizeof text) > 0 ? (pid_t)atoi(text) : 0;
}

/* 0: not there, yet or any more. */
static pid_t pid_of(enum role role, pid_t parent)
{
    pid_t pid = role == PARENT ? parent : __atomic_load_n(&shared->bivy, __ATOMIC_ACQUIRE);

    for (enum role at = BIVY; pid > 0 && at < role; at++)
        pid = lives(pid) ? child_of(pid) : 0;
    return lives(pid) ? pid : 0;
}

static bool runs_payload(pid_t pid)
{
    char path[64], exe[512];
    ssize_t got;

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    got = readlink(path, exe, sizeof exe - 1);
    exe[got > 0 ? got : 0] = '\0';
    return strstr(exe, "payload") != NULL;
}

static const char *phase_now(void)
{
    struct stat status;
    bool ran = begun && stat(begun, &status) == 0;
    pid_t pid1 = pid_of(PID1, 0), command = pid1 ? child_of(pid1) : 0;

    if (pid1 && command && runs_payload(command))
        return "run";
    if (ran)
        return report && stat(report, &status) == 0 && status.st_size > 0 ? "report" : "end";
    return pid1 ? "set-up" : "start";
}

/* wait: until it is a zombie, so that its descriptors are closed and its children have heard of it. */
static void strike(pid_t pid, bool wait)
{
    phase = phase_now();
    hit = true;
    killed_at = now_us();
    kill(pid, SIGKILL);
    while (wait && lives(pid) && now_us() < killed_at + STILL_US)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* Without ptrace a pid may be another's by the time that it is used: the pidfd is taken, then it is asked again. */
static bool strike_untraced(pid_t parent)
{
    pid_t pid = pid_of(victim, parent);
    int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    bool struck = false;

    if (pidfd >= 0 && pid_of(victim, parent) == pid) {
        phase = phase_now();
        struck = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
        killed_at = now_us();
    }
    if (pidfd >= 0)
        close(pidfd);
    return struck;
}

/* ---- ptrace ---- */

static struct tracee *find(pid_t pid)
{
    struct tracee *empty = NULL;

    for (size_t i = 0; i < MOST; i++) {
        if (tracees[i].pid == pid)
            return &tracees[i];
        if (!tracees[i].pid && !empty)
            empty = &tracees[i];
    }
    if (!empty) {
        errno = E2BIG;
        die("processes");
    }
    *empty = (struct tracee){.pid = pid, .role = -1};
    return empty;
}

static struct tracee *find_role(enum role role)
{
    for (size_t i = 0; i < MOST; i++)
        if (tracees[i].pid && tracees[i].role == (int)role)
            return &tracees[i];
    return NULL;
}

static void resume(const struct tracee *tracee, int number)
{
    bool step = !hit && when.traced && tracee->role == (int)when.counter;

    ptrace(step ? PTRACE_SYSCALL : PTRACE_CONT, tracee->pid, 0, number);
}

static bool equal(const struct call *one, const struct call *other)
{
    return one->number == other->number && one->result == other->result;
}

/* The third time round: the last two calls were the two before them, and this is the next one again. */
static bool repeats(const struct tracee *tracee, uint64_t number)
{
    return tracee->role == BIVY && tracee->segment == 1 && number == tracee->last[1].number &&
           equal(&tracee->last[0], &tracee->last[2]) && equal(&tracee->last[1], &tracee->last[3]);
}

static void boundary(const struct tracee *tracee, bool entry)
{
    counts[tracee->segment]++;
    if (when.golden || hit || tracee->segment != when.segment || counts[tracee->segment] != when.nth)
        return;
    struct tracee *target = find_role(victim);
    if (!target)
        return;
    call_number = tracee->number;
    edge = entry ? "entry" : "exit";
    strike(target->pid, victim != when.counter);
}

static void on_syscall(struct tracee *tracee)
{
    struct __ptrace_syscall_info info = {0};

    if (!tracee->counting || ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, sizeof info, &info) < 0)
        return; /* it was killed meanwhile */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        tracee->number = info.entry.nr;
        tracee->repeated = repeats(tracee, info.entry.nr);
        if (!tracee->repeated)
            boundary(tracee, true);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
        memmove(tracee->last + 1, tracee->last, 3 * sizeof tracee->last[0]);
        tracee->last[0] = (struct call){tracee->number, info.exit.rval};
        if (!tracee->repeated)
            boundary(tracee, false);
        if (tracee->role == BIVY && ((tracee->segment == 0 && tracee->number == SYS_clone3) ||
                                     (tracee->segment == 1 && tracee->number == SYS_waitid)))
            tracee->segment++;
        if (tracee->role == PID1 && tracee->segment == 0 && find_role(COMMAND))
            tracee->segment = 1;
    }
}

static void on_birth(const struct tracee *parent)
{
    unsigned long pid;
    struct tracee *child;
    bool waiting = false;

    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) < 0)
        return;
    for (size_t i = 0; i < MOST; i++)
        waiting |= tracees[i].pid == (pid_t)pid;
    child = find((pid_t)pid);
    child->role = parent->role < OTHER ? parent->role + 1 : OTHER;
    if (child->role < OTHER && statuses[child->role] != -1)
        child->role = OTHER; /* there was one already */
    born[child->role] = now_us();
    child->counting = child->role == PID1 || child->role == COMMAND;
    if (waiting)
        resume(child, 0);
}

static void on_stop(struct tracee *tracee, int status)
{
    int number = WSTOPSIG(status), event = status >> 16;

    if (number == (SIGTRAP | 0x80)) {
        on_syscall(tracee);
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        on_birth(tracee);
    } else if (event == PTRACE_EVENT_EXEC) {
        if (tracee->role == BIVY)
            tracee->counting = true;
        if (tracee->role == COMMAND) {
            execed = true;
            tracee->segment = 1;
        }
    } else if (event == PTRACE_EVENT_STOP) {
        if (tracee->role < 0)
            return; /* newborn: goes on once its parent has told */
        if (number != SIGTRAP) {
            ptrace(PTRACE_LISTEN, tracee->pid, 0, 0);
            return;
        }
    } else {
        resume(tracee, number);
        return;
    }
    resume(tracee, 0);
}

/* ---- the loop ---- */

static void note_end(pid_t pid, pid_t parent, int status)
{
    if (when.traced) {
        struct tracee *tracee = find(pid);
        if (tracee->role >= 0 && tracee->role < OTHER) {
            statuses[tracee->role] = status;
            died[tracee->role] = now_us();
        }
        tracee->pid = 0;
    } else if (pid == parent) {
        statuses[PARENT] = status;
    } else if (pid == shared->bivy) {
        statuses[BIVY] = status;
    }
}

/* Everything that has happened. false: there is nobody left. */
static bool reap(pid_t parent)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL | WNOHANG);
        if (pid < 0)
            return errno != ECHILD;
        if (pid == 0)
            return true;
        if (WIFSTOPPED(status))
            on_stop(find(pid), status);
        else
            note_end(pid, parent, status);
    }
}

/* Those that came to this process, the subreaper. The parent ends with them, but is no survivor of a sandbox. */
static void end_survivors(pid_t parent, char *names, size_t size)
{
    char path[64], text[4096], *rest, *end;
    size_t used = strlen(names);

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    slurp(path, text, sizeof text);
    for (rest = text; *rest; rest = end) {
        pid_t pid = (pid_t)strtol(rest, &end, 10);
        if (end == rest)
            break;
        char comm[32] = "?";
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        slurp(path, comm, sizeof comm);
        comm[strcspn(comm, "\n\"\\")] = '\0';
        if (used < size && pid != parent)
            used += (size_t)snprintf(names + used, size - used, "%s\"%d %c %s\"", used ? "," : "", (int)pid,
                                     state_of(pid) ? state_of(pid) : '?', comm);
        kill(pid, SIGKILL);
    }
}

static uint64_t watch(pid_t parent, uint64_t patience_us, char *survivors, size_t size, bool *hang)
{
    uint64_t deadline = started + patience_us, bivy_ended = 0;
    bool ending = false;
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    while (reap(parent)) {
        uint64_t now = now_us(), wait = 20000;
        if (!bivy_ended && (statuses[BIVY] != -1 || __atomic_load_n(&shared->ended, __ATOMIC_ACQUIRE)))
            bivy_ended = now;
        if (now >= deadline || (!ending && bivy_ended && now >= bivy_ended + LINGER_MS * 1000)) {
            if (ending)
                break; /* in D state, or nobody's child */
            *hang = !bivy_ended;
            ending = true;
            deadline = now + LAST_MS * 1000;
        }
        if (ending)
            end_survivors(parent, survivors, survivors[0] ? 0 : size);
        if (when.random && !hit && !ending) {
            if (!seen_at && (victim < PID1 || pid_of(victim, parent)))
                seen_at = victim < PID1 ? started : now;
            if (seen_at && now >= seen_at + when.delay_us)
                hit = strike_untraced(parent);
            if (!hit)
                wait = seen_at && now < seen_at + when.delay_us ? seen_at + when.delay_us - now : HUNT_US;
        }
        sigtimedwait(&child, NULL, &(struct timespec){.tv_nsec = (long)(wait < 20000 ? wait : 20000) * 1000});
    }
    return now_us();
}

/* ---- starting ---- */

/* The caller of bivy: takes its output and waits for it. */
static _Noreturn void be_parent(char **argv, const char *const *procs, long user, int gate)
{
    char bytes[4096];
    int out[2], status;
    sigset_t none;
    pid_t pid;

    if (read(gate, bytes, 1) != 1)
        _exit(99);
    close(gate);
    for (; *procs; procs++) {
        int fd = open(*procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            die(*procs);
        close(fd);
    }
    if (user && (setgroups(0, NULL) < 0 || setresgid((gid_t)user, (gid_t)user, (gid_t)user) < 0 ||
                 setresuid((uid_t)user, (uid_t)user, (uid_t)user) < 0))
        die("ids");
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (pipe2(out, O_CLOEXEC) < 0 || (pid = fork()) < 0)
        die("parent");
    if (pid == 0) {
        __atomic_store_n(&shared->bivy, getpid(), __ATOMIC_RELEASE);
        if (dup2(out[1], 1) < 0)
            die("dup2");
        execv(argv[0], argv);
        die(argv[0]);
    }
    close(out[1]);
    while (read(out[0], bytes, sizeof bytes) > 0)
        ;
    if (waitpid(pid, &status, 0) == pid) {
        shared->status = status;
        __atomic_store_n(&shared->ended, true, __ATOMIC_RELEASE);
    }
    _exit(0);
}

static void parse_place(char *text)
{
    unsigned counter;

    if (sscanf(text, "%u:%u:%u", &counter, &when.segment, &when.nth) != 3 || counter > COMMAND ||
        when.segment >= SEGMENTS || !when.nth) {
        errno = EINVAL;
        die(text);
    }
    when.counter = (enum role)counter;
    when.traced = true;
}

static double life_ms(enum role role)
{
    return died[role] > born[role] && born[role] ? (double)(died[role] - born[role]) / 1000 : 0;
}

static void print(const char *survivors, bool hang, uint64_t ended)
{
    printf("{\"hit\": %s, \"phase\": \"%s\", \"edge\": \"%s\", \"call\": %llu, \"execed\": %s, \"hang\": %s,\n"
           " \"survivors\": [%s], \"status\": [%d, %d, %d, %d], \"counts\": [%u, %u, %u], \"took_ms\": %.3f, "
           "\"after_ms\": %.3f, \"life_ms\": [%.3f, %.3f, %.3f, %.3f]}\n",
           hit ? "true" : "false", phase, edge, (unsigned long long)call_number, execed ? "true" : "false",
           hang ? "true" : "false", survivors, statuses[PARENT], statuses[BIVY], statuses[PID1], statuses[COMMAND],
           counts[0], counts[1], counts[2], (double)(ended - started) / 1000,
           killed_at ? (double)(ended - killed_at) / 1000 : 0.0, life_ms(PARENT), life_ms(BIVY), life_ms(PID1),
           life_ms(COMMAND));
}

int main(int argc, char **argv)
{
    static char survivors[2048];
    const char *procs[16] = {NULL};
    size_t joins = 0;
    long user = 0;
    uint64_t patience_ms = 30000, ended;
    bool hang = false;
    int option, gate[2];
    sigset_t child;
    pid_t parent;

    while ((option = getopt(argc, argv, "+v:k:m:g:b:r:u:p:d:")) != -1)
        switch (option) {
        case 'v':
            victim = (enum role)atoi(optarg);
            break;
        case 'k':
            parse_place(optarg);
            break;
        case 'm':
            when.random = true;
            when.delay_us = strtoull(optarg, NULL, 10);
            break;
        case 'g':
            when.golden = when.traced = true;
            when.counter = (enum role)atoi(optarg);
            break;
        case 'b':
            begun = optarg;
            break;
        case 'r':
            report = optarg;
            break;
        case 'u':
            user = atol(optarg);
            break;
        case 'p':
            if (joins + 1 < sizeof procs / sizeof procs[0])
                procs[joins++] = optarg;
            break;
        case 'd':
            patience_ms = strtoull(optarg, NULL, 10);
            break;
        default:
            return 99;
        }
    if (optind >= argc || pipe2(gate, O_CLOEXEC) < 0)
        die("usage");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* with PTRACE_O_EXITKILL everything traced ends with whoever started this */
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    parent = fork();
    if (parent < 0)
        die("fork");
    if (parent == 0) {
        close(gate[1]);
        be_parent(argv + optind, procs, user, gate[0]);
    }
    if (when.traced) {
        *find(parent) = (struct tracee){.pid = parent, .role = PARENT, .counting = true};
        /* stopped once, to go on as resume() wants it: as the counter, with a stop at every boundary */
        if (ptrace(PTRACE_SEIZE, parent, 0, OPTIONS) < 0 || ptrace(PTRACE_INTERRUPT, parent, 0, 0) < 0)
            die("PTRACE_SEIZE");
    }
    started = born[PARENT] = now_us();
    if (write(gate[1], "G", 1) != 1)
        die("start");
    close(gate[1]);
    ended = watch(parent, patience_ms * 1000, survivors, sizeof survivors, &hang);
    if (statuses[BIVY] == -1 && shared->ended)
        statuses[BIVY] = shared->status;
    print(survivors, hang, ended);
    return 0;
}
