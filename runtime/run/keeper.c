#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "sys.h"

#define POST_WITHIN_MS 1000

/* Away from the caller: his descriptors, session, working directory. `bivy ps` finds this process by its name and the lock that it holds,
 * and the time left by its timer. */
static int take_post(const struct keeper *keeper)
{
    struct itimerspec until = {.it_value = {.tv_sec = (time_t)(keeper->ns / 1000000000), .tv_nsec = (long)(keeper->ns % 1000000000)}};
    char name[16];
    int timer;

    sys_close_others(keeper->fds, keeper->count);
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && SYS_AGAIN(open("/dev/null", O_RDWR)) != fd)
            return -errno;
    timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
    snprintf(name, sizeof name, "%s%.12s", LIVE_KEEPER, keeper->id);
    if (timer < 0 || timerfd_settime(timer, 0, &until, NULL) < 0 || setsid() < 0 || SYS_AGAIN(chdir("/")) < 0 ||
        prctl(PR_SET_NAME, name, 0, 0, 0) < 0)
        return -errno;
    return timer;
}

static void stand(const struct keeper *keeper, int timer)
{
    struct pollfd fds[] = {{.fd = keeper->pidfd, .events = POLLIN}, {.fd = keeper->signals, .events = POLLIN}, {.fd = timer, .events = POLLIN}};

    while (poll(fds, 3, -1) <= 0) /* the timer is the deadline */
        if (errno != EINTR)
            return;
}

pid_t keeper_fork(const struct keeper *keeper)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid == 0) {
        keeper->fds[keeper->count] = ends[1];
        struct keeper own = *keeper;
        own.count++;
        int timer = take_post(&own);
        if (timer < 0 || SYS_AGAIN(write(ends[1], "", 1)) != 1)
            _exit(1);
        close(ends[1]);
        stand(&own, timer);
        return 0;
    }
    close(ends[1]);
    SYS_CLOSES int ready = ends[0];
    struct pollfd wait = {.fd = ready, .events = POLLIN};
    char byte;
    if (pid > 0 && poll(&wait, 1, POST_WITHIN_MS) > 0 && SYS_AGAIN(read(ready, &byte, 1)) == 1)
        return pid;
    if (pid < 0)
        return -errno;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return -ETIMEDOUT;
}
