/* terminal: bivy on a terminal (-it, -t): the terminal inside, the caller's before, during and after, job control, and that what bivy
 * prints itself moves no terminal. The caller's terminal is a pty of the test's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "internal.h"

#define ROWS 33
#define COLUMNS 101

/* A person's terminal, with bivy on it. */
struct desk {
    int master, slave;
    char *name;
    bool shell, background; /* a shell of the test's between terminal and bivy, that starts it in the background */
    bool deaf;              /* the job begins with its stop signals ignored and blocked */
    bool strange;           /* not the user's own: it cannot be opened anew */
    bool piped;             /* bivy's standard output goes elsewhere */
    struct termios before;
    char *screen;
    size_t length;
    struct session *session;
};

#define DESK(...) (&(struct desk){__VA_ARGS__})

/* ---- the person's shell ---- */

static volatile sig_atomic_t told;

static void note(int number)
{
    told = number;
}

static void tell(const char *what, int number)
{
    dprintf(STDERR_FILENO, "%s %d\n", what, number);
}

/* Starts bivy as a job, says what becomes of it, and on SIGUSR1 brings it to the foreground; on SIGUSR2 continues it where it is. As
 * shells do, it has the terminal as it likes it whenever the job has stopped. */
static void be_shell(const struct desk *desk, int terminal)
{
    struct sigaction action = {.sa_handler = note};
    sigset_t asked, none;
    int status;
    pid_t job;

    sigemptyset(&none);
    sigemptyset(&asked);
    sigaddset(&asked, SIGUSR1);
    sigaddset(&asked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &asked, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    job = fork();
    if (job == 0) {
        setpgid(0, 0);
        if (!desk->background) {
            signal(SIGTTOU, SIG_IGN);
            tcsetpgrp(terminal, getpid());
        }
        signal(SIGTTOU, SIG_DFL);
        signal(SIGUSR1, SIG_DFL);
        signal(SIGUSR2, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (desk->deaf) {
            signal(SIGTTOU, SIG_IGN);
            signal(SIGTTIN, SIG_IGN);
            sigaddset(&asked, SIGTTOU);
            sigaddset(&asked, SIGTTIN);
            sigprocmask(SIG_BLOCK, &asked, NULL);
        }
        return;
    }
    signal(SIGTTOU, SIG_IGN);
    for (;;) {
        if (waitpid(job, &status, WUNTRACED) < 0)
            _exit(98);
        tcsetpgrp(terminal, getpid());
        if (!WIFSTOPPED(status))
            break;
        tell("settings", tcgetattr(terminal, &(struct termios){0}));
        tell("stopped", WSTOPSIG(status));
        told = 0;
        while (!told)
            sigsuspend(&none);
        if (told == SIGUSR1)
            tcsetpgrp(terminal, job);
        kill(-job, SIGCONT);
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        sigprocmask(SIG_SETMASK, &none, NULL);
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 97);
}

/* In the new process: the terminal is its controlling one, and its three streams. Standard error stays a pipe to the test for the
 * person's shell. */
static void sit_down(void *data)
{
    const struct desk *desk = data;
    struct rlimit core;
    int terminal;

    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &core);
    setsid();
    terminal = open(desk->name, O_RDWR);
    if (terminal < 0)
        _exit(96);
    if (desk->shell)
        be_shell(desk, terminal);
    for (int i = 0; i < 3; i++)
        if (i != STDOUT_FILENO || !desk->piped)
            dup2(terminal, i);
    close(terminal);
}

static void start(struct desk *desk, const char *const *words)
{
    struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
    char name[64];

    if (openpty(&desk->master, &desk->slave, name, NULL, &size))
        harness_fail("openpty: %s", strerror(errno));
    fcntl(desk->master, F_SETFD, FD_CLOEXEC);
    fcntl(desk->slave, F_SETFD, FD_CLOEXEC);
    desk->name = keep(strdup(name));
    if (harness.user && !desk->strange && fchown(desk->slave, USER_ID, (gid_t)-1))
        harness_fail("chown: %s", strerror(errno));
    tcgetattr(desk->slave, &desk->before);
    desk->screen = keep(calloc(1, 1 << 20));
    desk->session = session_start(HOW(.prepare = sit_down, .data = desk), words);
}
#define ON(desk, ...) start((desk), WORDS(__VA_ARGS__))

/* Reads the screen until it shows text (behind from, if that is not NULL). */
static const char *expect_after(struct desk *desk, const char *from, const char *text)
{
    double end = now() + GUARD_SECONDS;
    size_t behind = from ? (size_t)(from - desk->screen) : 0;
    const char *found;

    while (!(found = strstr(desk->screen + behind, text))) {
        struct pollfd fd = {desk->master, POLLIN, 0};
        if (now() > end || poll(&fd, 1, 1000) < 0)
            harness_fail("the screen does not show \"%s\", but: %s", text, desk->screen);
        ssize_t got = fd.revents ? read(desk->master, desk->screen + desk->length, (1 << 20) - 1 - desk->length) : 0;
        if (got < 0)
            harness_fail("nobody holds the terminal any more; the screen: %s", desk->screen);
        desk->length += (size_t)got;
        if (got == 0) { /* bivy may have ended, and its message with it */
            siginfo_t info = {0};
            if (waitid(P_PID, (id_t)desk->session->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid)
                harness_fail("bivy has ended, and the screen does not show \"%s\", but: %s", text, desk->screen);
        }
    }
    return found + strlen(text);
}

static const char *expect(struct desk *desk, const char *text)
{
    return expect_after(desk, NULL, text);
}

static void type(const struct desk *desk, const char *keys)
{
    if (write(desk->master, keys, strlen(keys)) != (ssize_t)strlen(keys))
        harness_fail("typing: %s", strerror(errno));
}

static void read_rest(struct desk *desk)
{
    struct pollfd fd = {desk->master, POLLIN, 0};

    while (poll(&fd, 1, 0) > 0) {
        ssize_t got = read(desk->master, desk->screen + desk->length, (1 << 20) - 1 - desk->length);
        if (got <= 0)
            return;
        desk->length += (size_t)got;
    }
}

static bool same_settings(const struct desk *desk)
{
    struct termios now;

    assert_int_equal(tcgetattr(desk->slave, &now), 0);
    return now.c_iflag == desk->before.c_iflag && now.c_oflag == desk->before.c_oflag && now.c_cflag == desk->before.c_cflag &&
           now.c_lflag == desk->before.c_lflag && !memcmp(now.c_cc, desk->before.c_cc, sizeof now.c_cc);
}

static struct termios read_settings(const struct desk *desk)
{
    struct termios now;

    assert_int_equal(tcgetattr(desk->slave, &now), 0);
    return now;
}

static bool is_raw(const struct desk *desk)
{
    struct termios now;

    return tcgetattr(desk->slave, &now) == 0 && !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_oflag & OPOST);
}

/* The end of the run; the terminal is as it was. */
static const struct result *leave(struct desk *desk)
{
    const struct result *result = session_finish(desk->session);

    read_rest(desk);
    desk->session->result.out = desk->screen; /* to be shown when something is not so */
    desk->session->result.out_length = desk->length;
    if (!same_settings(desk))
        harness_complain(result, "the terminal is as it was", __FILE__, __LINE__);
    close(desk->slave);
    close(desk->master);
    return result;
}

/* ---- inside ---- */

static void the_command_has_a_terminal(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result, *plain;
    static const char *const same[] = {"isolation.uid", "isolation.groups", "isolation.seccomp_filters", "isolation.mounts",
                                       "isolation.network_links", "isolation.descriptors"};

    (void)state;
    ON(desk, "-itq", "--", "sh", "-c",
       "tty; test -t 0 && test -t 1 && test -t 2 && echo all three; stty size; (: < /dev/tty) && echo its own; echo err >&2; "
       "echo fds $(ls /proc/self/fd | tr '\\n' ' '); echo pts $(ls /dev/pts); exit 3");
    expect(desk, "pts 0 ptmx\r\n");
    result = leave(desk);
    CHECK_ENDED(result, "exited", 3);
    /* 3 is the directory that ls reads */
    assert_string_equal(desk->screen, text_format("/dev/pts/0\r\nall three\r\n%d %d\r\nits own\r\nerr\r\nfds 0 1 2 3\r\npts 0 ptmx\r\n",
                                                  ROWS, COLUMNS));
    CHECK(result, record_number(result, "stdout.seen_bytes") == (int64_t)desk->length);
    CHECK(result, record_number(result, "stdout.passed_bytes") == (int64_t)desk->length);
    CHECK(result, record_number(result, "stderr.seen_bytes") == 0);
    plain = BIVY("--", "true");
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        CHECK(result, record_number(result, same[i]) == record_number(plain, same[i]));
    CHECK(result, !strcmp(record_text(result, "isolation.capabilities.bounding"), "0000000000000000"));
}

static void the_window_is_followed(void **state)
{
    struct desk *desk = DESK(0);
    struct winsize size = {.ws_row = 50, .ws_col = 20};

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "stty size; read -r word; stty size; read -r word; stty size");
    expect(desk, text_format("%d %d\r\n", ROWS, COLUMNS));
    assert_int_equal(ioctl(desk->master, TIOCSWINSZ, &size), 0);
    type(desk, "\r");
    expect(desk, "50 20\r\n");
    size.ws_col = 77;
    assert_int_equal(ioctl(desk->master, TIOCSWINSZ, &size), 0);
    type(desk, "\r");
    expect(desk, "50 77\r\n");
    CHECK_WELL(leave(desk));
    desk = DESK(0); /* and who asks for it is told */
    ON(desk, "-it", "--", "sh", "-c", "trap 'echo told; exit 4' WINCH; echo up; while :; do sleep 0.02; done");
    expect(desk, "up\r\n");
    assert_int_equal(ioctl(desk->master, TIOCSWINSZ, &size), 0);
    expect(desk, "told\r\n");
    CHECK_ENDED(leave(desk), "exited", 4);
}

/* Ctrl-C, Ctrl-\ and Ctrl-Z are bytes to bivy and signals inside; the shell in there has job control. */
static void keys_reach_the_shell(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result;
    const char *seen;

    (void)state;
    ON(desk, "-it", "--", "sh");
    expect(desk, "$ ");
    assert_true(is_raw(desk));
    type(desk, "sh -c 'echo be''gun; sleep 1000'\r");
    expect(desk, "begun\r\n");
    type(desk, "\003");
    type(desk, "echo still $((40 + 2))\r");
    seen = expect(desk, "still 42\r\n");
    type(desk, "sh -c 'echo ag''ain; sleep 1000'\r");
    seen = expect_after(desk, seen, "again\r\n");
    type(desk, "\032");
    seen = expect_after(desk, seen, "Stopped");
    type(desk, "kill -9 %1; echo alive $((50 + 2))\r");
    seen = expect_after(desk, seen, "alive 52\r\n");
    type(desk, "sh -c 'echo se''ven; exit 7'\r");
    seen = expect_after(desk, seen, "seven\r\n");
    expect_after(desk, seen, "$ "); /* a key that comes while the shell changes the mode is nobody's */
    type(desk, "\004");
    result = leave(desk);
    CHECK_ENDED(result, "exited", 7);
}

static void keys_reach_a_plain_command(void **state)
{
    static const struct {
        const char *key;
        int signal;
    } keys[] = {{"\003", SIGINT}, {"\034", SIGQUIT}};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct desk *desk = DESK(0);
        ON(desk, "-it", "--", "cat");
        AWAIT(is_raw(desk));
        type(desk, "up\r");
        expect(desk, "up\r\nup\r\n"); /* echo and answer */
        type(desk, keys[i].key);
        CHECK_ENDED(leave(desk), "signaled", 128 + keys[i].signal);
    }
}

static void bivy_shell(void **state)
{
    struct desk *desk = DESK(0);
    struct how how = {.bare = true, .prepare = sit_down, .data = desk};

    (void)state;
    ON(desk, "-it", "--", "true"); /* for the terminal */
    leave(desk);
    assert_int_equal(openpty(&desk->master, &desk->slave, desk->name, NULL, NULL), 0); /* of no size: 24 by 80 then */
    fcntl(desk->master, F_SETFD, FD_CLOEXEC);
    if (harness.user)
        assert_int_equal(fchown(desk->slave, USER_ID, (gid_t)-1), 0);
    tcgetattr(desk->slave, &desk->before);
    memset(desk->screen, 0, desk->length);
    desk->length = 0;
    desk->session = START(&how, "shell", "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent, "--report", "fd:3");
    expect(desk, "$ ");
    type(desk, "stty size; tty\r");
    expect(desk, "24 80\r\n/dev/pts/0\r\n");
    type(desk, "exit 5\r");
    const struct result *result = leave(desk);
    CHECK_ENDED(result, "exited", 5);
    CHECK(result, record_real(result, "times.timeout_ms") == 3600000);
}

/* A terminal that bivy may use and not open: after su(1), or in a container. */
static void a_terminal_of_somebody_else(void **state)
{
    struct desk *desk = DESK(.strange = true);

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "echo ask; read -r word; echo got $word; seq 1 200");
    expect(desk, "ask\r\n");
    type(desk, "this\r");
    expect(desk, "got this\r\n");
    expect(desk, "\n200\r\n");
    CHECK_WELL(leave(desk));
}

/* ---- the caller's terminal after the run ---- */

static void restored_after_a_timeout(void **state)
{
    struct desk *desk = DESK(0);

    (void)state;
    ON(desk, "-it", "--timeout", "1500ms", "--kill-after", "100ms", "--", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done");
    expect(desk, "up\r\n");
    assert_true(is_raw(desk));
    CHECK_ENDED(leave(desk), "timeout", 124);
}

static void restored_after_signals(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT};

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct desk *desk = DESK(0);
        ON(desk, "-it", "--", "sh", "-c", "echo up; sleep 1000");
        expect(desk, "up\r\n");
        assert_true(is_raw(desk));
        session_kill(desk->session, signals[i]);
        CHECK_ENDED(leave(desk), "cancelled", 128 + signals[i]);
    }
}

static bool alone(void)
{
    char *children;

    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    children = file_read(text_format("/proc/self/task/%d/children", getpid()), NULL);
    return children && atoi(children) == validator_pid && !strchr(children, ' ')[1];
}

/* After a bivy that was killed: its sandbox, which is ours to reap now, ends by itself, and the leaf goes with the next sweep. */
static void clean_up(void)
{
    AWAIT(alone());
    AWAIT((session_finish(session_start(HOW(.verb = "clean"), (const char *const[]){NULL})), leaf_count() == 0));
}

/* Of these bivy dies, but not without giving the terminal back; after SIGKILL somebody else does. */
static void restored_after_deadly_signals(void **state)
{
    const int signals[] = {
        SIGQUIT, SIGABRT, SIGUSR1, SIGALRM, SIGRTMIN + 3, SIGKILL,
#ifndef TEST_SANITIZED /* AddressSanitizer has a handler of its own */
        SIGSEGV,
#endif
    };

    (void)state;
    bivy_was_killed = true; /* nobody reaps pid 1 */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct desk *desk = DESK(0);
        const struct result *result;
        ON(desk, "-it", "--", "sh", "-c", "echo up; sleep 1000");
        expect(desk, "up\r\n");
        assert_true(is_raw(desk));
        session_kill(desk->session, signals[i]);
        if (signals[i] == SIGKILL)
            AWAIT(same_settings(desk));
        result = leave(desk);
        CHECK(result, result->killed && result->status == 128 + signals[i]);
    }
    clean_up();
}

/* What a shell has made of its terminal by the time that bivy is killed is the shell's. */
static void a_shell_that_was_first_keeps_its_settings(void **state)
{
    struct desk *desk = DESK(0);
    struct termios mine;

    (void)state;
    bivy_was_killed = true;
    ON(desk, "-it", "--", "sh", "-c", "echo up; sleep 1000");
    expect(desk, "up\r\n");
    assert_true(is_raw(desk));
    session_kill(desk->session, SIGSTOP);
    mine = desk->before;
    mine.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* as one that edits lines */
    tcsetattr(desk->slave, TCSANOW, &mine);
    desk->before = mine;
    session_kill(desk->session, SIGKILL);
    session_finish(desk->session);
    clean_up(); /* nobody is left who could change them */
    assert_true(same_settings(desk));
    close(desk->slave);
    close(desk->master);
}

/* bivy's own words stand at the beginning of lines, in a terminal that does what it did. */
static void restored_after_a_failed_set_up(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result;
    const char *at;

    (void)state;
    ON(desk, "-it", "--", "no-such-command");
    expect(desk, "bivy: hint: ");
    result = leave(desk);
    CHECK_ENDED(result, "setup_failed", 127);
    CHECK(result, (at = strstr(desk->screen, "bivy: exec: no-such-command")) && (at == desk->screen || at[-1] == '\n'));
    for (at = desk->screen; (at = strchr(at, '\n')); at++)
        CHECK(result, at > desk->screen && at[-1] == '\r');
    desk = DESK(0);
    ON(desk, "-it", "--rootfs", "/nowhere", "--", "true");
    expect(desk, "bivy: rootfs: ");
    CHECK_ENDED(leave(desk), "setup_failed", 125);
}

#define BUSY "\033[?1049h\033[?25l\033[?1000h\033[?7l"
#define IDLE "\033[?1049l\033[?7h\033[?25h\033[?1000l"

/* An editor that is killed had the other screen, no cursor, the mouse: bivy's words come after all that is taken back. Likewise without -t;
 * and a command that takes it back itself, or whose output is no terminal's, gets nothing added. */
static void what_programs_told_the_terminal(void **state)
{
    static const char show[] = "printf '" BUSY "up\\n'; sleep 1000", tidy[] = "printf '" BUSY "up\\n" IDLE "'";
    struct desk *desk = DESK(0);
    const struct result *result;
    const char *at;

    (void)state;
    ON(desk, "-it", "--timeout", "1s", "--kill-after", "0s", "--", "sh", "-c", show);
    at = expect_after(desk, expect(desk, BUSY "up\r\n"), IDLE);
    expect_after(desk, at, "bivy: timeout");
    result = leave(desk);
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, record_number(result, "stdout.passed_bytes") == strlen(BUSY "up\r\n"));
    desk = DESK(0);
    ON(desk, "--timeout", "1s", "--kill-after", "0s", "--", "sh", "-c", show);
    at = expect_after(desk, expect(desk, BUSY "up\r\n"), IDLE);
    expect_after(desk, at, "bivy: timeout");
    CHECK_ENDED(leave(desk), "timeout", 124);
    desk = DESK(0);
    ON(desk, "-it", "--quiet", "--", "sh", "-c", tidy);
    expect(desk, IDLE);
    CHECK_WELL(leave(desk));
    assert_string_equal(desk->screen, BUSY "up\r\n" IDLE);
    result = BIVY("-t", "--", "sh", "-c", "printf '" BUSY "'");
    CHECK_WELL(result);
    assert_string_equal(result->out, BUSY);
}

/* Keys until nobody takes any more: bivy's own room and the sandbox's are full, and the rest waits in the person's terminal. */
static void type_until_full(const struct desk *desk)
{
    static const char line[] = "echo this is for the sandbox; exit\r";
    double taken = now();

    fcntl(desk->master, F_SETFL, O_RDWR | O_NONBLOCK);
    while (now() - taken < 0.2)
        if (write(desk->master, line, sizeof line - 1) > 0)
            taken = now();
        else
            poll(NULL, 0, 1);
}

/* What was typed while the terminal was the sandbox's, and not read there, is not for the person's shell, which would run it. */
static void keys_for_the_sandbox_stay_there(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result;
    struct termios raw;
    int rest = -1;

    (void)state;
    ON(desk, "-it", "--timeout", "20s", "--", "sh", "-c", "stty -echo; echo up; exec sleep 1000");
    expect(desk, "up\r\n");
    type_until_full(desk);
    assert_true(ioctl(desk->slave, FIONREAD, &rest) == 0 && rest > 0);
    session_kill(desk->session, SIGTERM);
    result = session_finish(desk->session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
    assert_true(same_settings(desk));
    raw = desk->before;
    raw.c_lflag &= ~(tcflag_t)ICANON; /* else only whole lines count */
    tcsetattr(desk->slave, TCSANOW, &raw);
    assert_true(ioctl(desk->slave, FIONREAD, &rest) == 0 && rest == 0);
    close(desk->slave);
    close(desk->master);
}

/* A screen that stood still after half a --max-output would be of no use. */
static void a_long_session_stays_live(void **state)
{
    struct desk *desk = DESK(0);

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "seq 1 100000; echo up; read -r word; echo got $word");
    expect(desk, "up\r\n");
    type(desk, "it\r");
    expect(desk, "got it\r\n");
    CHECK_WELL(leave(desk));
}

/* The set-up is told while the terminal is raw already. */
static void a_told_set_up_keeps_its_lines(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result;

    (void)state;
    ON(desk, "-it", "--verbose", "--", "echo", "up");
    expect(desk, "the gate passed");
    expect(desk, "up\r\n");
    result = leave(desk);
    CHECK_WELL(result);
    for (const char *at = desk->screen; (at = strchr(at, '\n')); at++)
        CHECK(result, at > desk->screen && at[-1] == '\r');
}

/* In a pipeline others write to the terminal meanwhile, lines that end as they do. */
static void a_pipeline_keeps_its_lines(void **state)
{
    struct desk *desk = DESK(.piped = true);
    const struct result *result;

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "read -r word; echo got $word; read -r word");
    AWAIT((read_settings(desk).c_lflag & ICANON) == 0);
    assert_true(read_settings(desk).c_oflag & OPOST);
    type(desk, "one\rtwo\r");
    result = leave(desk);
    CHECK_WELL(result);
}

/* The window is closed. */
static void a_terminal_that_goes_away(void **state)
{
    struct desk *desk = DESK(0);
    const struct result *result;

    (void)state;
    ON(desk, "-it", "--kill-after", "0s", "--", "sh", "-c", "echo up; sleep 1000");
    expect(desk, "up\r\n");
    close(desk->slave);
    close(desk->master);
    result = session_finish(desk->session);
    CHECK(result, !strcmp(record_text(result, "outcome"), "cancelled") && result->status == 128 + SIGHUP);
}

/* ---- job control of the caller's shell ---- */

/* What the person's shell says of its job; its words come by the session's standard error, which has no reader of its own here. */
static void expect_job(struct desk *desk, const char *text)
{
    struct session *session = desk->session;
    double end = now() + GUARD_SECONDS;
    static char heard[4096];
    static size_t length;
    static struct session *whose;

    if (whose != session) {
        whose = session;
        length = 0;
        heard[0] = '\0';
    }
    while (!strstr(heard, text)) {
        struct pollfd fd = {session->err, POLLIN, 0};
        ssize_t got;
        if (now() > end || poll(&fd, 1, 1000) < 0)
            harness_fail("the job did not do \"%s\", but: %s", text, heard);
        if (!fd.revents)
            continue;
        got = read(session->err, heard + length, sizeof heard - 1 - length);
        if (got <= 0)
            harness_fail("the job ended without \"%s\": %s\nscreen: %s", text, heard, desk->screen);
        length += (size_t)got;
        heard[length] = '\0';
    }
    length = 0;
    heard[0] = '\0';
}

static pid_t job_of(const struct desk *desk)
{
    char *text = file_read(text_format("/proc/%d/task/%d/children", desk->session->pid, desk->session->pid), NULL);

    assert_non_null(text);
    return (pid_t)atoi(text);
}

static void wait_in_background(bool deaf)
{
    struct desk *desk = DESK(.shell = true, .background = true, .deaf = deaf);

    ON(desk, "-it", "--timeout", "20s", "--", "sh", "-c", "echo up; read -r word; echo got $word");
    type(desk, "for the shell\r"); /* a line that bivy must not eat */
    expect_job(desk, text_format("stopped %d\n", SIGTTOU));
    assert_true(leaf_count() == 0 && same_settings(desk));
    session_kill(desk->session, SIGUSR2); /* bg: it stops again */
    expect_job(desk, text_format("stopped %d\n", SIGTTOU));
    assert_true(leaf_count() == 0 && same_settings(desk));
    session_kill(desk->session, SIGUSR1); /* fg */
    expect(desk, "up\r\n");
    expect(desk, "got for the shell\r\n");
    CHECK_WELL(leave(desk));
}

static void the_background_waits(void **state)
{
    (void)state;
    wait_in_background(false);
    wait_in_background(true);
}

static void stopped_and_continued(void **state)
{
    static const int signals[] = {SIGTSTP, SIGSTOP};
    struct desk *desk = DESK(.shell = true);
    const char *seen;

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "echo up; while read -r word; do echo got $word; stty size; done");
    seen = expect(desk, "up\r\n");
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct winsize size = {.ws_row = 10, .ws_col = (unsigned short)(100 + i)};
        assert_true(is_raw(desk));
        kill(job_of(desk), signals[i]);
        expect_job(desk, text_format("stopped %d\n", signals[i]));
        if (signals[i] == SIGTSTP)
            assert_true(same_settings(desk));
        tcsetattr(desk->slave, TCSANOW, &desk->before); /* as a shell does */
        ioctl(desk->master, TIOCSWINSZ, &size);
        session_kill(desk->session, SIGUSR2); /* bg: the terminal is not its own */
        expect_job(desk, text_format("stopped %d\n", SIGTTOU));
        assert_true(same_settings(desk));
        session_kill(desk->session, SIGUSR1);
        AWAIT(is_raw(desk));
        type(desk, text_format("w%zu\r", i));
        seen = expect_after(desk, seen, text_format("got w%zu\r\n10 %zu\r\n", i, 100 + i));
    }
    type(desk, "\004");
    CHECK_WELL(leave(desk));
}

/* Ctrl-Z where nobody inside can stop: bivy does, with everything inside, and the time of the command stands still as well. */
static void a_plain_command_is_suspended(void **state)
{
    struct desk *desk = DESK(.shell = true);
    const struct result *result;
    double typed;

    (void)state;
    ON(desk, "-it", "--timeout", "1200ms", "--", "sh", "-c", "echo up; while read -r word; do echo got $word; done; echo end");
    expect(desk, "up\r\n");
    type(desk, "one\r");
    expect(desk, "got one\r\n");
    type(desk, "\032");
    expect_job(desk, text_format("stopped %d\n", SIGTSTP));
    typed = now();
    assert_true(same_settings(desk));
    AWAIT(strstr(file_read(leaf_path(leaf_only(), CGROUP_V2, NULL, "cgroup.events"), NULL), "frozen 1"));
    AWAIT(now() - typed > 1.3); /* longer than the command may take */
    type(desk, "two\r");
    session_kill(desk->session, SIGUSR1);
    expect(desk, "got two\r\n");
    AWAIT(strstr(file_read(leaf_path(leaf_only(), CGROUP_V2, NULL, "cgroup.events"), NULL), "frozen 0"));
    type(desk, "\004");
    expect(desk, "end\r\n");
    result = leave(desk);
    CHECK_WELL(result);
}

/* Stopped for good: what is frozen dies with bivy all the same. */
static void killed_while_suspended(void **state)
{
    struct desk *desk = DESK(.shell = true);

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "echo up; exec sleep 1000");
    expect(desk, "up\r\n");
    type(desk, "\032");
    expect_job(desk, text_format("stopped %d\n", SIGTSTP));
    bivy_was_killed = true;
    kill(job_of(desk), SIGKILL);
    session_kill(desk->session, SIGUSR1);
    CHECK(&desk->session->result, leave(desk)->status == 128 + SIGKILL);
    clean_up();
}

/* From elsewhere: it goes on to end, in the background as it is, and does not stop for the terminal. */
static void ended_while_suspended(void **state)
{
    struct desk *desk = DESK(.shell = true);
    const struct result *killed;

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "echo up; exec sleep 1000");
    expect(desk, "up\r\n");
    type(desk, "\032");
    expect_job(desk, text_format("stopped %d\n", SIGTSTP));
    killed = RUN(HOW(.verb = "kill"), "--cgroup-parent", harness.parent, leaf_only() + strlen("bivy-"));
    CHECK(killed, killed->status == 0 && leaf_count() == 0);
    session_kill(desk->session, SIGUSR2); /* the shell looks at its job again */
    CHECK_ENDED(leave(desk), "cancelled", 128 + SIGTERM);
}

/* Continued by `bg` it waits for the terminal in the kernel: nobody can end it gently, which is said at once. */
static void who_waits_for_the_terminal_is_named(void **state)
{
    struct desk *desk = DESK(.shell = true);
    const struct result *killed;

    (void)state;
    ON(desk, "-it", "--", "sh", "-c", "echo up; exec sleep 1000");
    expect(desk, "up\r\n");
    kill(job_of(desk), SIGTSTP);
    expect_job(desk, text_format("stopped %d\n", SIGTSTP));
    session_kill(desk->session, SIGUSR2);
    expect_job(desk, text_format("stopped %d\n", SIGTTOU));
    killed = RUN(HOW(.verb = "kill"), "--cgroup-parent", harness.parent, leaf_only() + strlen("bivy-"));
    CHECK(killed, killed->status == 125 && strstr(killed->err, text_format("process %d", job_of(desk))) && strstr(killed->err, "fg "));
    session_kill(desk->session, SIGUSR1);
    CHECK_ENDED(leave(desk), "cancelled", 128 + SIGTERM); /* once it has the terminal it does what it was told */
}

/* ---- -t without a terminal ---- */

static int full_pipe(const char *text)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    close(ends[1]);
    return ends[0];
}

static void pipes_outside(void **state)
{
    const struct result *result = BIVY("-t", "--", "sh", "-c", "tty; stty size; echo err >&2; cat; echo end");
    int in;

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "/dev/pts/0\r\n24 80\r\nerr\r\nend\r\n");
    CHECK(result, record_number(result, "stderr.seen_bytes") == 0);
    in = full_pipe("one\ntwo");
    result = RUN(HOW(.in = in), "-it", "--", "sh", "-c", "stty -echo; echo ready; cat; cat; echo end");
    close(in);
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "ready\r\n") && strstr(result->out, "one\r\ntwoend\r\n"));
    in = full_pipe("echo $((6 * 7))\n");
    result = RUN(HOW(.in = in), "-it", "--", "sh"); /* edits lines itself, and learns of the end all the same */
    close(in);
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "\n42\r\n"));
}

/* A command may close its terminal and come back to it. */
static void closed_and_opened_anew(void **state)
{
    const struct result *result = BIVY("-t", "--", "sh", "-c", "exec 0<&- 1>&- 2>&-; sleep 0.2; echo back > /dev/tty; exit 3");

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    assert_string_equal(result->out, "back\r\n");
}

static void limits_of_the_one_stream(void **state)
{
    const struct result *result = BIVY("-t", "--max-output", "2K", "--", "sh", "-c", "seq 1 10000 >&2");
    size_t most = 48894 + 10000; /* with a carriage return each */

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_number(result, "stdout.seen_bytes") == (int64_t)most);
    CHECK(result, record_number(result, "stdout.passed_bytes") == 2048 && record_true(result, "stdout.truncated"));
    CHECK(result, !strncmp(result->out, "1\r\n2\r\n", 6) && strstr(result->out, " bytes of stdout left out]\n"));
    CHECK(result, !strcmp(result->out + result->out_length - 7, "10000\r\n"));
    result = BIVY("-t", "--output-limit", "100K", "--", "yes");
    CHECK_ENDED(result, "output_limit", 137);
}

/* What the command does to its terminal gives the supervisor nothing to do, also when all input has ended. */
static void no_end_of_input_without_end(void **state)
{
    static const char *const scripts[] = {"stty eof undef; sleep 0.4", "stty -icanon echo; sleep 0.4", "while :; do cat; done & sleep 0.4"};

    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        const struct result *result = BIVY("-t", "--", "sh", "-c", scripts[i]);
        CHECK_WELL(result);
        CHECK(result, result->out_length < 200);
    }
}

/* All of it comes, although it is still on its way inside the kernel when the command ends. */
static void the_last_words_arrive(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        const struct result *result = BIVY("-t", "--", "sh", "-c", "seq 1 8000; echo last");
        CHECK_WELL(result);
        CHECK(result, result->out_length == 38893 + 8000 + 6 && !strcmp(result->out + result->out_length - 6, "last\r\n"));
    }
}

static void a_reader_that_goes_away(void **state)
{
    struct session *session = START(HOW(0), "-t", "--", "yes");
    const struct result *result;

    (void)state;
    session_expect(session, "y\r\n");
    close(session->out);
    session->out = -1;
    result = session_finish(session);
    CHECK_ENDED(result, "signaled", 128 + SIGHUP); /* as in a window that is closed */
}

/* The command runs on a terminal of its own, which it controls: the step that was left out was none that counts. */
static bool ran_well(const char *stat)
{
    int pid, session, tty;

    return sscanf(stat, "%d (cat) %*c %*d %*d %d %d", &pid, &session, &tty) == 3 && session == pid && tty == 136 << 8;
}

/* Each step that makes the terminal left out, while the kernel seems to say that it was done: the command does not run. */
static void steps_that_lie(void **state)
{
    static const char *const lies[] = {
        "ioctl:retval=0:when=1",  "ioctl:retval=0:when=2", "ioctl:retval=0:when=6", "ioctl:retval=0:when=7",       "setsid:retval=1:when=1",
        "dup2:retval=0:when=1",   "dup2:retval=1:when=2",  "dup2:retval=2:when=3",  "close_range:retval=0:when=1", "recvfrom:retval=1:when=1",
        "recvmsg:retval=1:when=1"};
    const char *trace = path_join(harness.tmp, "trace"), *out = path_join(harness.tmp, "out");

    (void)state;
    if (system("strace -V > /dev/null 2>&1")) {
        print_message("# steps_that_lie: SKIP no strace here\n");
        return;
    }
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char *command = text_format("export ASAN_OPTIONS=detect_leaks=0; exec strace -f -o %s -e trace=%.*s -e inject=%s "
                                    "%s run -t --rootfs %s --cgroup-parent %s --kill-after 0s -- cat /proc/self/stat < /dev/null > %s 2>&1",
                                    trace, (int)strcspn(lies[i], ":"), lies[i], lies[i], harness.bivy, harness.rootfs, harness.parent, out);
        int status = system(command);
        if (!strstr(file_read(trace, NULL), "(INJECTED)"))
            harness_fail("%s: nothing was injected", lies[i]);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != 125 && !(WEXITSTATUS(status) == 0 && ran_well(file_read(out, NULL)))))
            harness_fail("%s: status %d, output %s", lies[i], WEXITSTATUS(status), file_read(out, NULL));
    }
}

static void not_for_the_selftest(void **state)
{
    (void)state;
    check_refused(RUN(HOW(.verb = "selftest"), "--tty"), "options", "--tty");
}

/* ---- what bivy prints itself ---- */

#define EVIL "\033[2J\033]0;owned\007\r\b\177\302\233m\233m\n"

static void check_harmless(const struct result *result)
{
    CHECK(result, result->err_length > 0);
    for (const char *at = result->err; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        CHECK(result, byte == '\n' || (byte >= 0x20 && byte != 0x7f));
        CHECK(result, byte != 0xc2 || (unsigned char)at[1] >= 0xa0);
    }
    for (const char *line = result->err; *line; line = strchr(line, '\n') + 1)
        CHECK(result, !strncmp(line, "bivy: ", 6) && strchr(line, '\n')); /* no line of somebody else's making */
}

static void names_move_no_terminal(void **state)
{
    const char *workspace = workspace_make(), *evil = path_join(workspace, "evil" EVIL);
    const struct result *result;

    (void)state;
    check_harmless(BIVY("--", EVIL));
    check_harmless(BIVY("--", "/" EVIL "/x"));
    check_harmless(BIVY("--workspace", "/tmp/" EVIL, "--", "true"));
    check_harmless(BIVY("--rootfs", "/tmp/" EVIL, "--", "true"));
    check_harmless(BIVY("--memory", EVIL, "--", "true"));
    check_harmless(BIVY("--" EVIL, "--", "true"));
    check_harmless(BIVY("--profile", "/tmp/" EVIL, "--", "true"));
    check_harmless(BIVY("--cgroup-parent", "/" EVIL, "--", "true"));
    check_harmless(BIVY("--report", "/nowhere/" EVIL, "--", "true"));
    check_harmless(RUN(HOW(.bare = true), EVIL));
    check_harmless(RUN(HOW(.verb = "clean"), "--cgroup-parent", "/../" EVIL));
    /* A file of the workspace: its name is the command's choice, as are the name of a process that is killed for memory ... */
    assert_int_equal(rename(path_join(workspace, "payload"), evil), 0);
    result = RUN(HOW(.workspace = workspace), "--summary", "--memory", "16M", "--", "./evil" EVIL, "memory", "67108864");
    CHECK_ENDED(result, "oom", 137);
    check_harmless(result);
    assert_int_equal(chmod(evil, 0644), 0);
    check_harmless(RUN(HOW(.workspace = workspace), "--", "./evil" EVIL));
    /* ... and what is in it. */
    file_write(evil, "#!/" EVIL "\n");
    assert_int_equal(chmod(evil, 0755), 0);
    check_harmless(RUN(HOW(.workspace = workspace), "--", "./evil" EVIL));
}

/* A sequence that the command left unfinished would swallow what bivy says, and letters that it hid would hide it. */
static void unfinished_sequences_swallow_nothing(void **state)
{
    static const char *const options[] = {"-it", "-t", "-i"};

    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct desk *desk = DESK(0);
        ON(desk, options[i], "--summary", "--", "printf", "%b", "\\033[8m\\033]0;");
        expect(desk, "\033[8m\033]0;\030\033\\\033(B\017\033[m\r\nbivy: exited 0");
        CHECK_WELL(leave(desk));
        desk = DESK(0); /* nothing was written: nothing is undone */
        ON(desk, options[i], "--summary", "--", "true");
        expect(desk, "bivy: exited 0");
        CHECK_WELL(leave(desk));
        assert_null(strchr(desk->screen, '\033'));
    }
}

/* `bivy plan` is read on terminals as well. */
static void a_plan_moves_no_terminal(void **state)
{
    const struct result *result = RUN(HOW(.verb = "plan"), "--env", "A=" EVIL, "--", EVIL);

    (void)state;
    CHECK(result, result->status == 0 && strstr(result->out, "\"stdin\":\"/dev/null\""));
    for (const char *at = result->out; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        CHECK(result, (byte == '\n' && !at[1]) || (byte >= 0x20 && byte != 0x7f && (byte != 0xc2 || (unsigned char)at[1] >= 0xa0)));
    }
    result = RUN(HOW(.verb = "plan"), "-it", "--", "true");
    CHECK(result, strstr(result->out, "\"stdin\":\"terminal\""));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(the_command_has_a_terminal),
        TEST(the_window_is_followed),
        TEST(keys_reach_the_shell),
        TEST(keys_reach_a_plain_command),
        TEST(bivy_shell),
        TEST(a_terminal_of_somebody_else),
        TEST(restored_after_a_timeout),
        TEST(restored_after_signals),
        TEST(restored_after_deadly_signals),
        TEST(a_shell_that_was_first_keeps_its_settings),
        TEST(restored_after_a_failed_set_up),
        TEST(what_programs_told_the_terminal),
        TEST(keys_for_the_sandbox_stay_there),
        TEST(a_long_session_stays_live),
        TEST(a_told_set_up_keeps_its_lines),
        TEST(a_pipeline_keeps_its_lines),
        TEST(a_terminal_that_goes_away),
        TEST(the_background_waits),
        TEST(stopped_and_continued),
        TEST(a_plain_command_is_suspended),
        TEST(killed_while_suspended),
        TEST(ended_while_suspended),
        TEST(who_waits_for_the_terminal_is_named),
        TEST(pipes_outside),
        TEST(closed_and_opened_anew),
        TEST(limits_of_the_one_stream),
        TEST(no_end_of_input_without_end),
        TEST(the_last_words_arrive),
        TEST(a_reader_that_goes_away),
        TEST_ROOT(steps_that_lie),
        TEST(not_for_the_selftest),
        TEST(names_move_no_terminal),
        TEST(unfinished_sequences_swallow_nothing),
        TEST(a_plan_moves_no_terminal),
    };

    return harness_main(argc, argv, "terminal", tests, sizeof tests / sizeof *tests);
}
