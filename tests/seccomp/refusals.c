/* refusals: runs a command, follows it and all its descendants with ptrace, and writes down every system call that was
 * answered by bivy's filter with an errno. Runs outside, as root.
 *
 * usage: refusals OUTPUT COMMAND [ARG...]
 *
 * OUTPUT gets a line for each (program, call, answer): program name, number, errno, how often, separated by tabs; then
 * "total N" with the number of all calls seen under a filter. The status is the command's own; 128 + n when it died of
 * a signal; 125 when it could not be followed.
 *
 * A call counts when its process runs under a filter, the filter as built (the interpreter runs it on number,
 * architecture and arguments as they were at the entry) answers ERRNO, and that errno is what the call gave. */
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../include/seccomp_filter.h"
#include "../../runtime/seccomp/bpf.h"

#define TASKS 4096 /* open addressing; far more than any sandbox may have */
#define ROWS 512

/* A task that is followed; its call between entry and exit. */
static struct task {
    pid_t id; /* 0: free, -1: was used */
    bool filtered, inside;
    struct seccomp_data call;
} tasks[TASKS];

static struct row {
    char program[16];
    int number, error;
    unsigned long count;
} rows[ROWS];
static size_t row_count;
static unsigned long total;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "refusals: %s: %s\n", what, strerror(errno));
    exit(125); /* the kernel ends what was followed: PTRACE_O_EXITKILL */
}

static struct task *find(pid_t id, bool make)
{
    struct task *room = NULL;

    for (size_t i = 0; i < TASKS; i++) {
        struct task *task = &tasks[((size_t)id + i) % TASKS];

        if (task->id == id)
            return task;
        if (!room && task->id <= 0)
            room = task;
        if (task->id == 0)
            break;
    }
    if (!make)
        return NULL;
    errno = ENOSPC;
    if (!room)
        die("too many tasks");
    *room = (struct task){.id = id};
    return room;
}

/* Once filtered, always filtered, and so are its descendants. */
static bool is_filtered(struct task *task)
{
    char path[64], line[256];
    FILE *file;

    if (task->filtered)
        return true;
    snprintf(path, sizeof path, "/proc/%d/status", task->id);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (!strcmp(line, "Seccomp:\t2\n"))
            task->filtered = true;
    if (file)
        fclose(file);
    return task->filtered;
}

static void program_of(pid_t id, char name[16])
{
    char path[64];
    FILE *file;
    size_t length = 0;

    snprintf(path, sizeof path, "/proc/%d/comm", id);
    file = fopen(path, "re");
    if (file) {
        length = fread(name, 1, 15, file);
        fclose(file);
    }
    name[length] = '\0';
    name[strcspn(name, "\n")] = '\0';
    for (char *at = name; *at; at++)
        if ((unsigned char)*at <= ' ')
            *at = '_';
}

static void note(const struct task *task, int error)
{
    char program[16];
    size_t at = 0;

    program_of(task->id, program);
    while (at < row_count && (rows[at].number != task->call.nr || rows[at].error != error ||
                              strcmp(rows[at].program, program)))
        at++;
    errno = ENOSPC;
    if (at == ROWS)
        die("too many different refusals");
    if (at == row_count) {
        row_count++;
        strcpy(rows[at].program, program);
        rows[at].number = task->call.nr;
        rows[at].error = error;
    }
    rows[at].count++;
}

static void at_call(struct task *task)
{
    struct __ptrace_syscall_info info;
    uint32_t answer;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, task->id, sizeof info, &info) <= 0) {
        if (errno == ESRCH) /* killed meanwhile */
            return;
        die("PTRACE_GET_SYSCALL_INFO");
    }
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        task->inside = true;
        task->call = (struct seccomp_data){.nr = (int)info.entry.nr,
                                           .arch = info.arch,
                                           .instruction_pointer = info.instruction_pointer};
        for (size_t i = 0; i < 6; i++)
            task->call.args[i] = info.entry.args[i];
        return;
    }
    if (info.op != PTRACE_SYSCALL_INFO_EXIT || !task->inside)
        return;
    task->inside = false;
    if (task->filtered)
        total++;
    if (!info.exit.is_error)
        return;
    if (bpf_run_checked(seccomp_filter, seccomp_filter_len, &task->call, &answer)) {
        errno = EINVAL;
        die("running the filter");
    }
    if ((answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
        (int)(answer & SECCOMP_RET_DATA) == (int)-info.exit.rval && is_filtered(task))
        note(task, (int)-info.exit.rval);
}

/* Deals with one stop and lets the task go on. */
static void at_stop(pid_t id, int status)
{
    struct task *task = find(id, true);
    int event = status >> 16, signal = WSTOPSIG(status);
    enum __ptrace_request request = PTRACE_SYSCALL;

    if (signal == (SIGTRAP | 0x80)) {
        at_call(task);
        signal = 0;
    } else if (event == PTRACE_EVENT_STOP) {
        /* A group stop must last until SIGCONT; the first stop of a new task looks the same but for its signal. */
        if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU)
            request = PTRACE_LISTEN;
        signal = 0;
    } else if (event) {
        unsigned long former = 0;

        /* A thread that executes a program takes on the process's number; the message is the one it had. */
        if (event == PTRACE_EVENT_EXEC && !ptrace(PTRACE_GETEVENTMSG, id, 0, &former) && (pid_t)former != id) {
            struct task *old = find((pid_t)former, false);
            if (old) {
                task->call = old->call;
                task->inside = old->inside;
                old->id = -1;
            }
        }
        if (event == PTRACE_EVENT_EXEC)
            is_filtered(task);
        else if (task->filtered && !ptrace(PTRACE_GETEVENTMSG, id, 0, &former)) /* of the new task: it inherits */
            find((pid_t)former, true)->filtered = true;
        signal = 0;
    }
    if (ptrace(request, id, 0, signal) && errno != ESRCH)
        die("PTRACE_SYSCALL");
}

static int follow(pid_t command)
{
    int ended = 125;

    for (;;) {
        int status;
        pid_t id = waitpid(-1, &status, __WALL);

        if (id < 0) {
            if (errno == EINTR)
                continue;
            if (errno == ECHILD)
                return ended;
            die("waitpid");
        }
        if (WIFSTOPPED(status)) {
            at_stop(id, status);
            continue;
        }
        struct task *task = find(id, false);
        if (task)
            task->id = -1;
        if (id == command)
            ended = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

static pid_t start(char **argv)
{
    int go[2];
    char byte;
    pid_t child;

    if (pipe(go) || (child = fork()) < 0)
        die("fork");
    if (child == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) != 1)
            _exit(125);
        close(go[0]);
        execvp(argv[0], argv);
        fprintf(stderr, "refusals: %s: %s\n", argv[0], strerror(errno));
        _exit(125);
    }
    close(go[0]);
    if (ptrace(PTRACE_SEIZE, child, 0,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL) ||
        ptrace(PTRACE_INTERRUPT, child, 0, 0))
        die("PTRACE_SEIZE");
    if (write(go[1], "", 1) != 1)
        die("pipe");
    close(go[1]);
    return child;
}

int main(int argc, char **argv)
{
    FILE *out;
    int status;

    if (argc < 3) {
        fprintf(stderr, "usage: refusals OUTPUT COMMAND [ARG...]\n");
        return 125;
    }
    if (bpf_check(seccomp_filter, seccomp_filter_len)) {
        fprintf(stderr, "refusals: the filter is unsound\n");
        return 125;
    }
    out = fopen(argv[1], "we");
    if (!out)
        die(argv[1]);
    status = follow(start(argv + 2));
    for (size_t i = 0; i < row_count; i++)
        fprintf(out, "%s\t%d\t%s\t%lu\n", rows[i].program, rows[i].number, strerrorname_np(rows[i].error),
                rows[i].count);
    fprintf(out, "total %lu\n", total);
    if (fclose(out))
        die(argv[1]);
    return status;
}
