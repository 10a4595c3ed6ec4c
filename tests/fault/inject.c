/* inject: runs one command under ptrace and does one thing at one system call of one process.
 *
 * strace can do the errors and the lies too, but it counts per process without a way to say which process is meant, and
 * it stops every process at every call. Here a process has a role: 0 the command itself, 1 its child, 2 its grandchild,
 * 3 whatever else; a place is (role, system call number, how many of these the process had made before, from 1).
 *
 *   inject [-t FILE] [-c ROLE:NR:NTH:ACTION[:VALUE]] [-s A:B] [-u ID] [-p CGROUP.PROCS]... [-d MS] -- COMMAND...
 *
 *   -t  writes each system call up to a descendant's first execve there: role nr nth result text
 *   -c  at that place: error:E, value:V (the call is not made and gives that), kill, stop (SIGSTOP, SIGKILL 20 ms on),
 *       swap (A and B are exchanged), back (exchanged for this call only), race (a process begins to exchange them
 *       without end, 1 ms before the call)
 *   -u  becomes this user and group, -p joins these cgroups before that
 *   -d  everything must be over by then
 *
 * Descriptor 3 is a socket: one line an event goes out (born, hit, exec, end, survivor, hang, done); after "exec" one
 * byte must come back before the process goes on, so that whoever reads can look at it from outside.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONTROL 3
#define MOST 64        /* processes in one run: three and what the payload forks */
#define NUMBERS 1024   /* system call numbers */
#define TICK_US 20000  /* how exact deadlines are */
#define HOLD_MS 20     /* between SIGSTOP and SIGKILL */
#define LINGER_MS 2000 /* what may pass between the end of role 0 and the end of the last one */
#define OPTIONS                                                                                                        \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |     \
     PTRACE_O_EXITKILL)

enum action { NOTHING, VALUE, KILL, STOP, SWAP, BACK, RACE };

static struct {
    enum action action;
    int role;
    uint64_t number;
    unsigned nth;
    long value;
} what;

struct tracee {
    pid_t pid;
    int role;      /* -1: stopped at birth, its parent has not been heard of yet */
    bool counting; /* from its execve on, for role 0 */
    bool inside;   /* between entry and exit of a system call */
    bool force;    /* at the exit the result is replaced */
    bool restore;  /* at the exit A and B are exchanged back */
    uint64_t number;
    unsigned counts[NUMBERS];
    char text[96];
};

static struct tracee tracees[MOST];
static FILE *trace;
static const char *swap_a, *swap_b;
static bool hit, execed;
static pid_t swapper;
static uint64_t kill_at;
static pid_t kill_whom;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static _Noreturn void die(const char *message)
{
    dprintf(2, "inject: %s: %s\n", message, strerror(errno));
    _exit(99);
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    char line[256];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (write(CONTROL, line, (size_t)length) != length)
        die("control socket");
}

static void exchange(void)
{
    if (syscall(SYS_renameat2, AT_FDCWD, swap_a, AT_FDCWD, swap_b, 2 /* RENAME_EXCHANGE */) < 0)
        die("renameat2");
}

/* ---- registers ---- */

static void set_number(pid_t pid, long number)
{
#if defined __x86_64__
    if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), number) < 0)
#else
    int32_t word = (int32_t)number;
    struct iovec iov = {&word, sizeof word};
    if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &iov) < 0)
#endif
        die("system call number");
}

static void set_result(pid_t pid, long value)
{
#if defined __x86_64__
    if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), value) < 0)
        die("result");
#else
    struct user_regs_struct regs;
    struct iovec iov = {&regs, sizeof regs};
    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) < 0)
        die("registers");
    regs.regs[0] = (unsigned long)value;
    if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov) < 0)
        die("result");
#endif
}

/* ---- what a call is about, for people ---- */

static int text_argument(uint64_t number)
{
    static const struct {
        long number;
        int argument;
    } table[] = {
#ifdef SYS_open
        {SYS_open, 0},     {SYS_readlink, 0},      {SYS_stat, 0},        {SYS_access, 0},     {SYS_mkdir, 0},
#endif
        {SYS_openat, 1},   {SYS_openat2, 1},       {SYS_readlinkat, 1},  {SYS_newfstatat, 1}, {SYS_statx, 1},
        {SYS_mkdirat, 1},  {SYS_faccessat, 1},     {SYS_unlinkat, 1},    {SYS_fsopen, 0},     {SYS_open_tree, 1},
        {SYS_fsconfig, 2}, {SYS_symlinkat, 2},     {SYS_linkat, 3},     {SYS_umount2, 0},     {SYS_chdir, 0},      {SYS_execve, 0},
        {SYS_write, 1},    {SYS_mount_setattr, 1}, {SYS_sethostname, 0}, {SYS_pivot_root, 0}, {SYS_rt_sigaction, -2},
        {SYS_prctl, -2},   {SYS_close, -2},        {SYS_prlimit64, -3},  {SYS_dup2, -2},      {SYS_fcntl, -2},
        {SYS_flock, -2},   {SYS_fstat, -2},        {SYS_read, -2},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if ((uint64_t)table[i].number == number)
            return table[i].argument;
    return -1;
}

static void describe(struct tracee *tracee, const struct __ptrace_syscall_info *info)
{
    int argument = text_argument(info->entry.nr);
    unsigned long long word;
    size_t wanted = sizeof tracee->text - 1;
    ssize_t got;

    tracee->text[0] = '\0';
    if (argument == -1)
        return;
    if (argument < 0) {
        snprintf(tracee->text, sizeof tracee->text, "%llu,%llu", (unsigned long long)info->entry.args[0],
                 (unsigned long long)info->entry.args[1]);
        return;
    }
    word = info->entry.args[argument];
    if (info->entry.nr == SYS_write && info->entry.args[2] < wanted)
        wanted = (size_t)info->entry.args[2];
    if (wanted > 4096 - word % 4096) /* no further than the page: the next may not be there */
        wanted = 4096 - word % 4096;
    got = process_vm_readv(tracee->pid, &(struct iovec){tracee->text, wanted}, 1,
                           &(struct iovec){(void *)(uintptr_t)word, wanted}, 1, 0);
    tracee->text[got > 0 ? got : 0] = '\0';
    for (char *at = tracee->text; *at; at++)
        if (*at <= ' ' || *at > '~')
            *at = '_';
}

static void write_trace(const struct tracee *tracee, const char *result)
{
    fprintf(trace, "%d %llu %u %s %s\n", tracee->role, (unsigned long long)tracee->number,
            tracee->counts[tracee->number], result, tracee->text);
}

/* ---- the one thing ---- */

static void start_swapper(void)
{
    swapper = fork();
    if (swapper < 0)
        die("fork");
    if (swapper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(CONTROL);
        for (;;)
            syscall(SYS_renameat2, AT_FDCWD, swap_a, AT_FDCWD, swap_b, 2);
    }
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void act(struct tracee *tracee)
{
    hit = true;
    tell("hit %d\n", tracee->role);
    switch (what.action) {
    case VALUE:
        set_number(tracee->pid, SYS_getpid); /* changes nothing and no filter forbids it */
        tracee->force = true;
        break;
    case KILL:
        kill(tracee->pid, SIGKILL);
        break;
    case STOP:
        kill(tracee->pid, SIGSTOP);
        kill_whom = tracee->pid;
        kill_at = now_ms() + HOLD_MS;
        break;
    case BACK:
        tracee->restore = true;
        exchange();
        break;
    case SWAP:
        exchange();
        break;
    case RACE:
        start_swapper();
        break;
    case NOTHING:
        break;
    }
}

static void on_syscall(struct tracee *tracee)
{
    struct __ptrace_syscall_info info = {0};

    if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, sizeof info, &info) < 0)
        return; /* it was killed meanwhile */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        tracee->inside = true;
        tracee->number = info.entry.nr < NUMBERS ? info.entry.nr : NUMBERS - 1;
        if (!tracee->counting)
            return;
        tracee->counts[tracee->number]++;
        if (trace)
            describe(tracee, &info);
        if (!hit && what.action != NOTHING && tracee->role == what.role && tracee->number == what.number &&
            tracee->counts[tracee->number] == what.nth)
            act(tracee);
        return;
    }
    if (info.op != PTRACE_SYSCALL_INFO_EXIT)
        return;
    tracee->inside = false;
    if (tracee->force)
        set_result(tracee->pid, what.value);
    if (tracee->restore)
        exchange();
    tracee->force = tracee->restore = false;
    if (trace && !execed && tracee->counting) {
        char result[24];
        snprintf(result, sizeof result, "%lld", (long long)info.exit.rval);
        write_trace(tracee, result);
    }
}

/* ---- the loop ---- */

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

static void resume(struct tracee *tracee, int signal)
{
    bool step = (trace && !execed) || tracee->force || tracee->restore ||
                (what.action != NOTHING && !hit && tracee->role == what.role);

    ptrace(step ? PTRACE_SYSCALL : PTRACE_CONT, tracee->pid, 0, signal);
}

static void on_exec(struct tracee *tracee)
{
    char byte;
    ssize_t got;

    if (!tracee->counting) { /* role 0 becomes what is watched */
        tracee->counting = true;
        return;
    }
    if (trace && !execed) /* its exit comes behind this event */
        write_trace(tracee, "0");
    execed = true;
    tell("exec %d %d\n", tracee->role, (int)tracee->pid);
    do
        got = read(CONTROL, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1)
        die("nobody reads");
}

static void on_birth(struct tracee *parent)
{
    unsigned long pid;
    struct tracee *child;
    bool waiting;

    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid) < 0)
        return;
    waiting = false;
    for (size_t i = 0; i < MOST; i++)
        waiting |= tracees[i].pid == (pid_t)pid;
    child = find((pid_t)pid);
    child->role = parent->role < 2 ? parent->role + 1 : 3;
    child->counting = true;
    tell("born %d %d\n", child->role, (int)pid);
    if (waiting)
        resume(child, 0);
}

static void on_stop(struct tracee *tracee, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;

    if (signal == (SIGTRAP | 0x80)) {
        on_syscall(tracee);
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
        on_birth(tracee);
    } else if (event == PTRACE_EVENT_EXEC) {
        on_exec(tracee);
    } else if (event == PTRACE_EVENT_STOP) {
        if (tracee->role < 0)
            return; /* newborn: goes on once its parent has told */
        if (signal != SIGTRAP) {
            ptrace(PTRACE_LISTEN, tracee->pid, 0, 0);
            return;
        }
    } else {
        resume(tracee, signal);
        return;
    }
    resume(tracee, 0);
}

static int name_left(const char *event, bool end)
{
    int left = 0;

    for (size_t i = 0; i < MOST; i++) {
        if (!tracees[i].pid)
            continue;
        left++;
        if (event) {
            char path[32], state[160] = "?";
            snprintf(path, sizeof path, "/proc/%d/stat", (int)tracees[i].pid);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            ssize_t got = fd < 0 ? -1 : read(fd, state, sizeof state - 1);
            char *mark = got > 0 ? memrchr(state, ')', (size_t)got) : NULL;
            tell("%s %d %d %c\n", event, tracees[i].role, (int)tracees[i].pid, mark && mark[1] ? mark[2] : '?');
            if (fd >= 0)
                close(fd);
        }
        if (end)
            kill(tracees[i].pid, SIGKILL);
    }
    return left;
}

static void forget(struct tracee *tracee, int status)
{
    if (trace && !execed && tracee->inside && tracee->counting)
        write_trace(tracee, "?");
    tell("end %d %d\n", tracee->role, status);
    tracee->pid = 0;
}

static void on_tick(int signal)
{
    (void)signal;
}

static int watch(pid_t first, uint64_t deadline)
{
    int result = -1;
    bool named = false;
    uint64_t last = 0; /* when role 0 ended */

    while (name_left(NULL, false) > 0) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        uint64_t now = now_ms();
        if (pid < 0 && errno != EINTR)
            break;
        if (kill_at && now >= kill_at) {
            kill(kill_whom, SIGKILL);
            kill_at = 0;
        }
        if (!named && (now >= deadline || (last && now >= last + LINGER_MS))) {
            named = true;
            name_left(last ? "survivor" : "hang", true);
            deadline = now + 3000;
        } else if (named && now >= deadline) {
            name_left("stuck", true);
            break;
        }
        if (pid < 0 || pid == swapper)
            continue;
        struct tracee *tracee = find(pid);
        if (WIFSTOPPED(status)) {
            on_stop(tracee, status);
            continue;
        }
        forget(tracee, status);
        if (pid == first) {
            result = status;
            last = now;
        }
    }
    return result;
}

/* ---- starting ---- */

static _Noreturn void become(char **argv, const char *const *procs, long user, int ready)
{
    char byte;

    if (read(ready, &byte, 1) != 1)
        _exit(99);
    for (; *procs; procs++) {
        int fd = open(*procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            die(*procs);
        close(fd);
    }
    if (syscall(SYS_close_range, CONTROL, ~0u, 0) < 0)
        die("close_range");
    if (user && (setgroups(0, NULL) < 0 || setresgid((gid_t)user, (gid_t)user, (gid_t)user) < 0 ||
                 setresuid((uid_t)user, (uid_t)user, (uid_t)user) < 0))
        die("ids");
    execv(argv[0], argv);
    die(argv[0]);
}

static void parse_case(char *text)
{
    static const char *const names[] = {"", "value", "kill", "stop", "swap", "back", "race"};
    char *action = NULL, *value = NULL;
    char *role = strtok(text, ":"), *number = strtok(NULL, ":"), *nth = strtok(NULL, ":");

    action = strtok(NULL, ":");
    value = strtok(NULL, ":");
    errno = EINVAL;
    if (!action)
        die("-c");
    what.role = atoi(role);
    what.number = strtoull(number, NULL, 10);
    what.nth = (unsigned)atoi(nth);
    what.value = value ? atol(value) : 0;
    for (int i = VALUE; i <= RACE; i++)
        if (!strcmp(action, names[i]))
            what.action = (enum action)i;
    if (!strcmp(action, "error")) {
        what.action = VALUE;
        what.value = -what.value;
    }
    if (what.action == NOTHING || (what.action >= SWAP && !swap_a))
        die("-c");
}

int main(int argc, char **argv)
{
    const char *procs[16] = {NULL};
    char *place = NULL;
    size_t joins = 0;
    long user = 0;
    uint64_t patience = 10000;
    int option, gate[2], status;
    pid_t first;

    while ((option = getopt(argc, argv, "+t:c:s:u:p:d:")) != -1)
        switch (option) {
        case 't':
            if (!(trace = fopen(optarg, "we")))
                die(optarg);
            break;
        case 'c':
            place = optarg;
            break;
        case 's':
            swap_a = strtok(optarg, ":");
            swap_b = strtok(NULL, ":");
            break;
        case 'u':
            user = atol(optarg);
            break;
        case 'p':
            if (joins + 1 < sizeof procs / sizeof procs[0])
                procs[joins++] = optarg;
            break;
        case 'd':
            patience = strtoull(optarg, NULL, 10);
            break;
        default:
            return 99;
        }
    if (place)
        parse_case(place);
    if (optind >= argc || pipe2(gate, O_CLOEXEC) < 0)
        die("usage");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* with PTRACE_O_EXITKILL everything ends with whoever started this */
    first = fork();
    if (first < 0)
        die("fork");
    if (first == 0)
        become(argv + optind, procs, user, gate[0]);
    *find(first) = (struct tracee){.pid = first, .role = 0};
    if (ptrace(PTRACE_SEIZE, first, 0, OPTIONS) < 0)
        die("PTRACE_SEIZE");
    struct sigaction tick = {.sa_handler = on_tick};
    struct itimerval every = {.it_interval.tv_usec = TICK_US, .it_value.tv_usec = TICK_US};
    if (write(gate[1], "G", 1) != 1 || sigaction(SIGALRM, &tick, NULL) < 0 || setitimer(ITIMER_REAL, &every, NULL) < 0)
        die("start");
    status = watch(first, now_ms() + patience);
    if (swapper) {
        kill(swapper, SIGKILL);
        while (waitpid(swapper, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (trace)
        fclose(trace);
    tell("done %d\n", status);
    return 0;
}
