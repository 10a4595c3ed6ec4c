/* Attacks on limits. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int attack_rlimits(void)
{
    static const struct {
        const char *name;
        int resource;
        unsigned long long most;
    } limits[] = {
        {"core", RLIMIT_CORE, 1},
        {"nofile", RLIMIT_NOFILE, 1 << 20},
        {"memlock", RLIMIT_MEMLOCK, 1 << 20},
        {"msgqueue", RLIMIT_MSGQUEUE, 1 << 20},
        {"sigpending", RLIMIT_SIGPENDING, 4096},
        {"nice", RLIMIT_NICE, 0},
        {"rtprio", RLIMIT_RTPRIO, 0},
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unsigned long long limit[2]; /* soft, hard: prlimit(2) */
        if (syscall(SYS_prlimit64, 0, limits[i].resource, NULL, limit) < 0 || limit[1] > limits[i].most)
            return got("%s: %llu", limits[i].name, limit[1]);
        limit[1]++;
        if (refused(limits[i].name, syscall(SYS_prlimit64, 0, limits[i].resource, limit, NULL), EPERM))
            return GOT;
    }
    return REFUSED;
}

int attack_priority(void)
{
    struct sched_param high = {.sched_priority = 1};
    /* size, policy, flags, nice, priority, runtime, deadline, period: sched_setattr(2) */
    struct {
        unsigned size, policy;
        unsigned long long flags;
        int nice;
        unsigned priority;
        unsigned long long runtime, deadline, period;
    } deadline = {.size = 48, .policy = 6, .runtime = 10000000, .deadline = 20000000, .period = 20000000};

    errno = 0;
    return EACH(failed("a lower niceness", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1)),
                failed("the lowest niceness", setpriority(PRIO_USER, 0, -20)),
                refused("SCHED_FIFO", syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &high), EPERM),
                refused("SCHED_RR", syscall(SYS_sched_setscheduler, 0, SCHED_RR, &high), EPERM),
                refused("SCHED_DEADLINE", syscall(SYS_sched_setattr, 0, &deadline, 0), EPERM),
                refused("real-time I/O", syscall(SYS_ioprio_set, 1, 0, 1 << 13), EPERM));
}

int attack_locked_memory(void)
{
    size_t length = 64u << 20;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return got("no memory to try it with");
    return EACH(
        failed("mlock", mlock(memory, length)), failed("mlockall", mlockall(MCL_CURRENT)),
        failed("MAP_LOCKED",
               mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -1 : 0));
}

int attack_process_limit(void)
{
    enum { MOST = 1024 };
    static pid_t children[MOST + 1];
    char text[32];
    long limit, count = 0;
    int error = 0;

    if (slurp("/sys/fs/cgroup/pids.max", text, sizeof text) < 0 || (limit = strtol(text, NULL, 10)) <= 0)
        return got("the limit cannot be read");
    if (limit >= MOST)
        return skip("a limit of %ld takes too long to reach", limit);
    while (count <= limit) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0) {
            error = errno;
            break;
        }
        children[count++] = pid;
    }
    for (long i = 0; i < count; i++)
        kill(children[i], SIGKILL);
    for (long i = 0; i < count; i++)
        waitpid(children[i], NULL, 0);
    return error == EAGAIN ? REFUSED : got("%ld processes under a limit of %ld", count, limit);
}

int attack_scratch_limit(void)
{
    static const char path[] = "/tmp/.bivy-selftest-size";
    static char block[64 << 10];
    struct statfs size;
    unsigned long long written = 0, room;
    int fd, error;

    if (statfs("/tmp", &size) < 0)
        return got("statfs: %s", strerror(errno));
    room = (unsigned long long)size.f_blocks * (unsigned long long)size.f_bsize;
    if (room > 256u << 20)
        return skip("%llu MiB take too long to fill", room >> 20);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return got("no file to try it with: %s", strerror(errno));
    memset(block, 'x', sizeof block);
    for (ssize_t part = 1; part > 0 && written <= room; written += part > 0 ? (unsigned long long)part : 0)
        part = write(fd, block, sizeof block);
    error = errno;
    unlink(path);
    close(fd);
    return written <= room && error == ENOSPC ? REFUSED : got("%llu bytes of scratch", written);
}

int attack_terminal_limit(void)
{
    for (int i = 0; i < 64; i++)
        if (open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0)
            return errno == ENOSPC || errno == EMFILE ? REFUSED : got("after %d terminals: %s", i, strerror(errno));
    return got("more than 64 terminals");
}

int attack_timer_limit(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int timer;

    for (int i = 0; i < 8192; i++)
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
            return errno == EAGAIN ? REFUSED : got("after %d timers: %s", i, strerror(errno));
    return got("more than 8192 timers");
}
