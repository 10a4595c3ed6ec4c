#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "sys.h"

#define DISMISS_MS 100
#define QUIET_MS 20 /* a paste that takes longer to go on is over */

struct settings {
    struct termios before, raw;
};

static struct {
    volatile sig_atomic_t raw;
    struct settings settings;
    int guardian; /* a pipe's end: what it has to know */
    pid_t pid;    /* of the guardian; 0: none */
} console;

/* In the background of stdin's terminal? Not if that is another session's: then nobody stops us. */
static bool in_background(void)
{
    pid_t group = tcgetpgrp(STDIN_FILENO);

    return group >= 0 && group != getpgrp();
}

/* What a caller left ignored or blocked would let a background process take the terminal. */
static void stop_as_usual(void)
{
    sigset_t stops;

    signal(SIGTTOU, SIG_DFL);
    signal(SIGTTIN, SIG_DFL);
    sigemptyset(&stops);
    sigaddset(&stops, SIGTTOU);
    sigaddset(&stops, SIGTTIN);
    sigprocmask(SIG_UNBLOCK, &stops, NULL);
}

void console_foreground(bool interactive)
{
    struct termios now;

    if (!interactive || tcgetattr(STDIN_FILENO, &now) < 0)
        return;
    stop_as_usual();
    /* Changes nothing; the kernel stops whoever asks for it from the background. EIO: nobody could continue us. */
    while (in_background() && tcsetattr(STDIN_FILENO, TCSANOW, &now) < 0 && errno == EINTR)
        ;
}

/* ---- whatever ends this process ---- */

/* Any signal that is about to end the process. tcsetattr(3) may be called here (signal-safety(7)). */
static void on_fatal(int number)
{
    if (console.raw && !in_background())
        tcflush(STDIN_FILENO, TCIFLUSH);
    console_restore();
    raise(number); /* its action is the default again */
}

static void catch(int number)
{
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)}, now;

    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

static void catch_deadly(void)
{
    static const int deadly[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGALRM, SIGVTALRM, SIGPROF,
                                 SIGUSR1, SIGUSR2, SIGXCPU, SIGIO, SIGPWR, SIGSTKFLT};

    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
        catch(deadly[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        catch(number);
}

static bool same(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag && !memcmp(a->c_cc, b->c_cc, sizeof a->c_cc);
}

/* SIGKILL has no handler. What is left then is a terminal with exactly our settings, unless the shell, which wakes at the same moment,
 * has put its own there: those are not touched. In a session of its own nothing that is meant for the job reaches this process, and the
 * kernel lets it set a terminal that is not its own. The pipe closes before the shell is told of the death. */
static _Noreturn void guard(int pipe)
{
    struct settings settings = {0};
    struct termios now;
    ssize_t got;
    sigset_t all;
    int mine[] = {STDIN_FILENO, pipe};

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sys_close_others(mine, 2);
    setsid();
    prctl(PR_SET_NAME, "bivy-terminal", 0, 0, 0);
    while ((got = SYS_AGAIN(read(pipe, &settings, sizeof settings))) == (ssize_t)sizeof settings)
        ;
    if (got == 0 && tcgetattr(STDIN_FILENO, &now) == 0 && same(&now, &settings.raw)) {
        tcflush(STDIN_FILENO, TCIFLUSH);
        tcsetattr(STDIN_FILENO, TCSANOW, &settings.before);
    }
    _exit(0);
}

/* Without one, for want of a process, only SIGKILL finds nobody. */
static void post_guardian(void)
{
    int ends[2];

    if (console.pid || pipe2(ends, O_CLOEXEC) < 0)
        return;
    console.pid = fork();
    if (console.pid == 0) {
        sys_close(&ends[1]);
        guard(ends[0]);
    }
    sys_close(&ends[0]);
    console.guardian = ends[1];
    fcntl(ends[1], F_SETFL, O_NONBLOCK); /* this end only: one that was stopped holds nobody up */
    if (console.pid < 0) {
        sys_close(&console.guardian);
        console.pid = 0;
    }
}

static void tell_guardian(void)
{
    if (console.pid) /* a pipe takes this whole or not at all, and it is empty */
        SYS_AGAIN(write(console.guardian, &console.settings, sizeof console.settings));
}

static void dismiss_guardian(void)
{
    if (!console.pid)
        return;
    SYS_CLOSES int pidfd = sys_pidfd_open(console.pid);
    struct pollfd gone = {.fd = pidfd, .events = POLLIN};

    sys_close(&console.guardian); /* it looks once more, and goes */
    if (pidfd < 0 || poll(&gone, 1, DISMISS_MS) <= 0) {
        kill(console.pid, SIGKILL); /* it was stopped */
        poll(&gone, 1, DISMISS_MS);
    }
    waitpid(console.pid, NULL, WNOHANG);
    console.pid = 0;
}

/* ---- raw, and back ---- */

/* cfmakeraw(3), which POSIX does not have: every key is a byte, and every byte of the command's terminal is shown as it comes. Where that
 * goes to a pipe, as in `bivy run -it ... | tee log`, what others write here stays as they expect it. */
static void make_raw(struct termios *settings)
{
    settings->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    if (isatty(STDOUT_FILENO) == 1)
        settings->c_oflag &= ~(tcflag_t)OPOST;
    settings->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    settings->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    settings->c_cflag |= CS8;
    settings->c_cc[VMIN] = 1;
    settings->c_cc[VTIME] = 0;
}

void console_take(void)
{
    struct termios now;

    stop_as_usual();
    catch_deadly();
    post_guardian();
    if (in_background() && tcgetattr(STDIN_FILENO, &now) == 0)
        while (tcsetattr(STDIN_FILENO, TCSANOW, &now) < 0 && errno == EINTR) /* stops here; afterwards the settings may be others */
            ;
    if (!console.raw && tcgetattr(STDIN_FILENO, &console.settings.before) < 0)
        return;
    console.settings.raw = console.settings.before;
    make_raw(&console.settings.raw);
    tell_guardian();
    console.raw = 1; /* before it is: a signal in between restores what need not be */
    if (SYS_AGAIN(tcsetattr(STDIN_FILENO, TCSANOW, &console.settings.raw)) < 0)
        console.raw = 0;
}

void console_restore(void)
{
    sigset_t quiet, before;

    if (!console.raw)
        return;
    sigemptyset(&quiet);
    sigaddset(&quiet, SIGTTOU); /* should the shell take the terminal back at this moment: not stop over it */
    sigprocmask(SIG_BLOCK, &quiet, &before);
    /* Never TCSADRAIN: it waits for whoever reads the terminal. */
    if (!in_background())
        SYS_AGAIN(tcsetattr(STDIN_FILENO, TCSANOW, &console.settings.before));
    console.raw = 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* A paste comes in pieces, as fast as they are taken. */
static void throw_keys_away(uint64_t by)
{
    struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
    char unread[4096];
    int wait = 0;

    while (console.raw && !in_background() && poll(&keys, 1, wait) > 0 && keys.revents & POLLIN && sys_now() < by &&
           read(STDIN_FILENO, unread, sizeof unread) > 0)
        wait = QUIET_MS;
}

void console_release(uint64_t by)
{
    throw_keys_away(by);
    console_restore();
    dismiss_guardian();
}

bool console_is_raw(void)
{
    return console.raw && !(console.settings.raw.c_oflag & OPOST);
}
