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

/* The command has ended. last: nothing of the sandbox goes on. */
static void tell_ended(int up, int status, bool last)
{
    struct message message = {.kind = MESSAGE_ENDED};

    message.ended.wait_status = status;
    message.ended.unreachable = UINT64_MAX;
    look_at_scratch(&message.ended);
    /* Here, because the namespace is gone as soon as this process is, and the supervisor could not count on being quicker. Of a command that
     * did well nobody asks. To look makes /proc/1 known to everybody inside, for hidepid is asked at the first look only: so whoever is left
     * goes first, a moment earlier than he would have to, and where somebody may come after it is not asked. */
    if (last && status != 0) {
        kill(-1, SIGKILL);
        message.ended.unreachable = network_unreachable();
    }
    message_send(up, &message);
}

static void tell(int up, enum message_kind kind)
{
    struct message message = {.kind = kind};

    message_send(up, &message);
}

/* The supervisor is about to go and leave the sandbox to a keeper, so its death is no longer the sandbox's; the lifeline's end is. */
static void clear(int up)
{
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    kill(-1, SIGKILL); /* everybody but this process; who is just being forked is caught as well (fork(2), kernel/fork.c) */
    tell(up, MESSAGE_CLEARED);
}

/* From the supervisor: a byte says what to do; end of file means that it is gone. True: everybody else was killed, and this stays. */
static bool listen_up(int lifeline, int up)
{
    char byte;
    ssize_t got = read(lifeline, &byte, 1);

    if (got == 1 && byte == INIT_KEEP) {
        clear(up);
        return true;
    }
    if (got == 1) {
        kill(-1, SIGTERM);
        kill(-1, SIGCONT); /* a stopped process could not act on it */
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        _exit(1);
    }
    return false;
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
static void settle(int up, int lifeline, int signals, const char *name)
{
    sys_close_others((int[]){up, lifeline, signals}, 3);
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* One look at what may have come. True as listen_up's. */
static bool look(int lifeline, int up, int signals)
{
    struct pollfd fds[] = {{.fd = lifeline, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

    if (poll(fds, 2, REAP_MS) <= 0)
        return false;
    if (fds[1].revents)
        drain(signals);
    return fds[0].revents && listen_up(lifeline, up);
}

/* The command has ended and the sandbox may be kept: until the lifeline ends. Who joins later is not of this process's making, but what
 * he leaves behind is its to reap. */
static _Noreturn void stay(int up, int lifeline, int signals, bool cleared)
{
    bool told = false;

    for (;;) {
        int unused;
        pid_t pid;
        while ((pid = waitpid(-1, &unused, WNOHANG)) > 0 || (pid < 0 && errno == EINTR))
            ;
        if (cleared && !told && pid < 0) {
            tell(up, MESSAGE_ALONE);
            told = true;
        }
        cleared = look(lifeline, up, signals) || cleared;
    }
}

void init_main(pid_t command, int up, int lifeline, int signals, bool waits)
{
    bool cleared = false;
    int status = 0;

    settle(up, lifeline, signals, "bivy-init");
    while (!reap(command, &status))
        cleared = look(lifeline, up, signals) || cleared;
    tell_ended(up, status, !waits);
    if (!waits)
        _exit(0);
    stay(up, lifeline, signals, cleared);
}

void init_attend(pid_t command, int up, int lifeline, int signals)
{
    int status = 0;

    /* It does not die with its parent (child.c), but sees the lifeline's end. It is outside the pid namespace: never kill(-1) here, which
     * would be every process of the user's. */
    settle(up, lifeline, signals, "bivy-enter");
    while (!reap(command, &status)) {
        struct pollfd fds[] = {{.fd = lifeline, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        char byte;
        if (poll(fds, 2, REAP_MS) <= 0)
            continue;
        if (fds[0].revents && read(lifeline, &byte, 1) == 1) {
            kill(-command, SIGTERM); /* it leads a session, so a process group as well */
            kill(-command, SIGCONT);
        } else if (fds[0].revents) {
            kill(-command, SIGKILL);
            kill(command, SIGKILL);
            sys_close(&lifeline);
        }
        if (fds[1].revents)
            drain(signals);
    }
    tell_ended(up, status, false);
    _exit(0);
}
