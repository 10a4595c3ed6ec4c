#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

#define MS ((uint64_t)1000000)
#define REAP_WITHIN (100 * MS)  /* after SIGKILL: what is not gone then waits for its file system */
#define LEAVE_WITHIN (1000 * MS) /* after an answer: nothing is left for it to wait for, but the machine may be busy */

enum { SOCKET = 0, KEPT = HELPER_KEPT };

/* A stuck helper must hold nothing of the caller's: not its pipes, not its working directory, not its session's terminal. */
static void settle(int sock, const struct helper_task *task)
{
    int keep = task->keep;
    int high = fcntl(sock, F_DUPFD_CLOEXEC, 64), high_keep = keep < 0 ? -1 : fcntl(keep, F_DUPFD_CLOEXEC, 64);

    if (!task->finish)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    sys_signals_default();
    if (high < 0 || (keep >= 0 && high_keep < 0) || dup2(high, SOCKET) != SOCKET || (keep >= 0 && dup2(high_keep, KEPT) != KEPT) ||
        sys_close_range(keep >= 0 ? KEPT + 1 : SOCKET + 1, ~0u) < 0 || chdir("/") < 0)
        _exit(1);
}

static _Noreturn void helper_main(const struct helper_task *task)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec part = {.iov_base = task->answer, .iov_len = task->size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int fd = task->work(task->data, task->answer);

    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    _exit(SYS_AGAIN(sendmsg(SOCKET, &message, MSG_NOSIGNAL)) == (ssize_t)task->size ? 0 : 1);
}

static int receive(int sock, void *answer, size_t size, int *fd)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = answer, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = SYS_AGAIN(recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));

    if (got < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(header), sizeof *fd);
    if ((size_t)got != size || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        sys_close(fd);
        return -EPIPE; /* it died without an answer */
    }
    return 0;
}

/* By status, which waits for no lock. */
static bool waits(pid_t pid)
{
    char path[32], text[2048];

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return sys_read_file(AT_FDCWD, path, text, sizeof text) > 0 && !strstr(text, "\nState:\tR");
}

static bool gone(int pidfd, uint64_t by)
{
    siginfo_t info;

    for (;;) {
        struct pollfd end = {.fd = pidfd, .events = POLLIN};
        uint64_t now = sys_now();
        int turn = poll(&end, 1, now < by ? (int)((by - now) / MS + 1) : 0);
        if (turn > 0)
            return SYS_AGAIN(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG)) == 0;
        if (turn == 0 && sys_now() >= by)
            return false;
    }
}

int helper_run(const struct helper_task *task, int *fd, struct helper_left *left)
{
    int ends[2], pidfd_raw = -1, result = -ETIMEDOUT;
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd_raw, .exit_signal = SIGCHLD};
    uint64_t until = task->held_by && task->held_by < task->by ? task->held_by : task->by;
    pid_t pid;

    *fd = -1;
    *left = (struct helper_left){0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid = sys_clone3(&args);
    if (pid == 0) {
        settle(ends[1], task);
        helper_main(task);
    }
    close(ends[1]);
    SYS_CLOSES int sock = ends[0];
    SYS_CLOSES int pidfd = pidfd_raw;
    if (pid < 0)
        return pid;
    for (;;) {
        struct pollfd ready[2] = {{.fd = sock, .events = POLLIN}, {.fd = task->stop, .events = POLLIN}};
        uint64_t now = sys_now();
        int turn = poll(ready, 2, now < until ? (int)((until - now) / MS + 1) : 0);
        if (turn > 0 && ready[0].revents) {
            result = receive(sock, task->answer, task->size, fd);
            break;
        }
        if (turn > 0) {
            result = -ECANCELED;
            break;
        }
        if (turn == 0 && sys_now() >= until) {
            left->held = waits(pid);
            if (left->held || until == task->by)
                break;
            until = task->by;
        }
    }
    if (result < 0 && task->finish) {
        left->pid = pid;
        return result;
    }
    if (result < 0)
        sys_pidfd_send_signal(pidfd, SIGKILL);
    if (!gone(pidfd, sys_now() + (result < 0 ? REAP_WITHIN : LEAVE_WITHIN)))
        left->pid = pid;
    return result;
}
