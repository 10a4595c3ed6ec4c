#include "init.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "network.h"
#include "sys.h"

#define REAP_MS 1000 /* should a SIGCHLD ever be missed */

/* Reaps everything; true once the command was among it. */
static bool reap(pid_t command, int *status)
{
    bool ended = false;

    for (;;) {
        int one;
        pid_t pid = waitpid(-1, &one, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return ended;
        if (pid == command) {
            *status = one;
            ended = true;
        }
    }
}

/* From the supervisor: a byte asks for SIGTERM to everybody; end of file means that it is gone. */
static void listen_up(int lifeline)
{
    char byte;
    ssize_t got = read(lifeline, &byte, 1);

    if (got == 1) {
        kill(-1, SIGTERM);
        kill(-1, SIGCONT); /* a stopped process could not act on it */
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        _exit(1);
    }
}

static void drain(int signals)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof info) > 0)
        ;
}

int init_prepare(void)
{
    sigset_t wanted;
    int signals;

    /* Only SIGCHLD is taken. Every other signal keeps its default, which the kernel does not let reach a pid 1 from inside
     * (pid_namespaces(7)); one that were blocked or handled would be queued. */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0)
        return -errno;
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals < 0 ? -errno : signals > 2 ? signals : -EBADF; /* 0 to 2 are taken: it cannot be one of them */
}

/* From here on the command may be running: nothing may fail any more. What cannot be closed only stays open, where nobody inside can
 * see it. */
static void keep_only(int a, int b, int c)
{
    int low = a < b ? a : b, high = a < b ? b : a, middle;

    if (c < low) {
        middle = low;
        low = c;
    } else if (c > high) {
        middle = high;
        high = c;
    } else {
        middle = c;
    }
    if (low > 0)
        sys_close_range(0, (unsigned)low - 1);
    if (middle > low + 1)
        sys_close_range((unsigned)low + 1, (unsigned)middle - 1);
    if (high > middle + 1)
        sys_close_range((unsigned)middle + 1, (unsigned)high - 1);
    sys_close_range((unsigned)high + 1, ~0u);
}

/* While its mount namespace still stands: /tmp is the one tmpfs behind all of scratch, and so never waits for a server. */
static void look_at_scratch(struct ended *ended)
{
    struct statfs now;

    if (SYS_AGAIN(statfs("/tmp", &now)) < 0 || now.f_type != TMPFS_MAGIC || now.f_bsize <= 0)
        return;
    ended->scratch_seen = 1;
    ended->scratch_bytes = (uint64_t)(now.f_blocks - now.f_bfree) * (uint64_t)now.f_bsize;
    ended->scratch_inodes = (uint64_t)(now.f_files - now.f_ffree);
    ended->scratch_full = now.f_bfree == 0 || now.f_ffree == 0;
}

void init_main(pid_t command, int up, int lifeline, int signals)
{
    struct message message = {.kind = MESSAGE_ENDED};
    int status = 0;

    keep_only(up, lifeline, signals);
    prctl(PR_SET_NAME, "bivy-init", 0, 0, 0);
    while (!reap(command, &status)) {
        struct pollfd fds[] = {{.fd = lifeline, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, REAP_MS) <= 0)
            continue;
        if (fds[0].revents)
            listen_up(lifeline);
        if (fds[1].revents)
            drain(signals);
    }
    message.ended.wait_status = status;
    look_at_scratch(&message.ended);
    /* Only here: the namespace is gone as soon as this process is, and the supervisor could not count on being quicker. Of a command that
     * did well nobody asks. */
    message.ended.unreachable = status == 0 ? UINT64_MAX : network_unreachable();
    message_send(up, &message);
    _exit(0);
}
