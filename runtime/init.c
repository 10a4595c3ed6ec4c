#include "init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "message.h"
#include "sys.h"

enum { LIFELINE = 0, UP = 1 }; /* all that pid 1 keeps open, besides its signalfd */

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
static void listen_up(void)
{
    char byte;
    ssize_t got = read(LIFELINE, &byte, 1);

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

void init_main(pid_t command, int up, int lifeline)
{
    struct message message = {.kind = MESSAGE_ENDED};
    sigset_t wanted;
    int signals, status = 0;

    /* What the caller had as 0 and 1 is not needed here. */
    if (up <= UP || lifeline <= UP || dup2(lifeline, LIFELINE) != LIFELINE || dup2(up, UP) != UP || sys_close_range(UP + 1, ~0u) < 0)
        _exit(1);
    prctl(PR_SET_NAME, "bivy-init", 0, 0, 0);
    /* Only SIGCHLD is taken. Every other signal keeps its default, which the kernel does not let reach a pid 1 from inside
     * (pid_namespaces(7)); one that were blocked or handled would be queued. */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        _exit(1);
    while (!reap(command, &status)) {
        struct pollfd fds[] = {{.fd = LIFELINE, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (fds[0].revents)
            listen_up();
        if (fds[1].revents)
            drain(signals);
    }
    message.wait_status = status;
    message_send(UP, &message);
    _exit(0);
}
