/* watch: what a terminal shows of a run while it goes on, and the set-up told by --verbose. The terminals are pseudo-terminals of the
 * test's own; what bivy writes to them goes through a model of one line. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "harness.h"

#define COLUMNS 100

/* ---- a terminal ---- */

struct terminal {
    int master, slave;
    char name[64];
    unsigned columns;
    bool in, out;              /* the command's stdin and stdout are it as well; stderr is always */
    bool background, tostop;   /* another process group is in front */
    char line[COLUMNS + 1];    /* that the cursor is on */
    unsigned at;               /* the cursor */
    char above[4096];          /* the lines that were ended by a newline, each with one */
    unsigned drawn;            /* how often a line of ours was complete */
    unsigned seconds;          /* the last number in one */
    bool memory;               /* one told of it, against the limit */
    bool wrapped;
};

static void terminal_open(struct terminal *terminal, unsigned columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};

    *terminal = (struct terminal){.columns = columns};
    terminal->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    assert_true(terminal->master >= 0 && !grantpt(terminal->master) && !unlockpt(terminal->master));
    assert_int_equal(ptsname_r(terminal->master, terminal->name, sizeof terminal->name), 0);
    terminal->slave = open(terminal->name, O_RDWR | O_NOCTTY | O_CLOEXEC); /* kept: with the last one closed, bytes could be lost */
    assert_true(terminal->slave >= 0 && !ioctl(terminal->slave, TIOCSWINSZ, &size));
    if (harness.user)
        assert_int_equal(fchown(terminal->slave, USER_ID, USER_ID), 0); /* as login does */
}

static void terminal_close(struct terminal *terminal)
{
    close(terminal->slave);
    close(terminal->master);
}

static void end_of_line(struct terminal *terminal)
{
    size_t used = strlen(terminal->above);

    snprintf(terminal->above + used, sizeof terminal->above - used, "%s\n", terminal->line);
    memset(terminal->line, 0, sizeof terminal->line);
}

/* A look at the line after each escape sequence: ours ends in one. */
static void look(struct terminal *terminal)
{
    unsigned of;

    if (sscanf(terminal->line, "bivy: %u s of %u s", &terminal->seconds, &of) == 2 && of == 30)
        terminal->drawn++;
    if (strstr(terminal->line, ", memory ") && strstr(terminal->line, " of 64.0 MiB"))
        terminal->memory = true;
}

/* What ends whatever the command has begun, before bivy's own words. */
static const char calm[] = "\030\033\\\033(B\017\033[m";

static void feed(struct terminal *terminal, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\r') {
            terminal->at = 0;
        } else if (bytes[i] == '\n') {
            end_of_line(terminal);
        } else if (i + sizeof calm - 1 <= length && !memcmp(bytes + i, calm, sizeof calm - 1)) {
            i += sizeof calm - 2;
        } else if (bytes[i] == '\x1b') {
            assert_true(i + 2 < length && !memcmp(bytes + i, "\x1b[K", 3)); /* no other is known here */
            memset(terminal->line + terminal->at, 0, sizeof terminal->line - terminal->at);
            i += 2;
            look(terminal);
        } else {
            assert_true((unsigned char)bytes[i] >= ' ');
            if (terminal->at >= terminal->columns - 1) /* nor may the cursor wait at the margin */
                terminal->wrapped = true;
            else
                terminal->line[terminal->at++] = bytes[i];
        }
    }
}

/* What bivy has written until now. Little enough for the terminal to hold. */
static void drain(struct terminal *terminal)
{
    char bytes[4096];
    size_t length = 0;
    ssize_t got;

    while (length < sizeof bytes && (got = read(terminal->master, bytes + length, sizeof bytes - length)) > 0)
        length += (size_t)got;
    feed(terminal, bytes, length);
}

static bool is_empty(const struct terminal *terminal)
{
    return terminal->line[0] == '\0';
}

/* Before exec. */
static void take_terminal(void *data)
{
    const struct terminal *terminal = data;
    struct termios settings;
    int fd;

    if (terminal->background) {
        signal(SIGTTOU, SIG_DFL);
        setsid();
    }
    fd = open(terminal->name, O_RDWR | O_CLOEXEC | (terminal->background ? 0 : O_NOCTTY));
    if (fd < 0 || dup2(fd, 2) < 0 || (terminal->in && dup2(fd, 0) < 0) || (terminal->out && dup2(fd, 1) < 0))
        _exit(98);
    if (terminal->tostop) {
        tcgetattr(fd, &settings);
        settings.c_lflag |= TOSTOP;
        tcsetattr(fd, TCSANOW, &settings);
    }
    if (terminal->background) {
        int told[2];
        char byte;
        if (pipe2(told, O_CLOEXEC))
            _exit(98);
        pid_t front = fork();
        if (front == 0) { /* ends with its session: the terminal hangs up */
            setpgid(0, 0);
            close(0);
            if (write(told[1], "", 1) == 1)
                pause();
            _exit(0);
        }
        if (front < 0 || read(told[0], &byte, 1) != 1 || tcsetpgrp(fd, front))
            _exit(98);
    }
}

static struct session *start_at(struct terminal *terminal, const char *option, const char *script)
{
    const char *const words[] = {"--timeout", "30s", "--memory", "64M", option, "--", "sh", "-c", script, NULL};

    return session_start(HOW(.env = WORDS("TERM=vt220", "NO_COLOR=1"), .prepare = take_terminal, .data = terminal), words);
}

/* ---- the line ---- */

/* The lines above are these, and then the summary that a terminal gets without asking. */
static void check_above(const struct terminal *terminal, const char *lines)
{
    const char *rest = terminal->above + strlen(lines);

    assert_true(!strncmp(terminal->above, lines, strlen(lines)) && !strncmp(rest, "bivy: exited 0, ", 16));
    assert_true(strchr(rest, '\n') == rest + strlen(rest) - 1);
}

/* All at once: each takes more than two seconds. */
static void a_line_on_a_terminal(void **state)
{
    enum { PLAIN, NARROW, BETWEEN, PROMPT, QUIET, TYPED, BEHIND, STOPPED, SCENES };
    struct terminal at[SCENES];
    struct session *sessions[SCENES];
    const struct result *result;

    (void)state;
    for (int i = 0; i < SCENES; i++)
        terminal_open(&at[i], i == NARROW ? 12 : COLUMNS);
    at[BETWEEN].out = at[PROMPT].out = at[TYPED].in = at[BEHIND].background = at[BEHIND].tostop = true;
    assert_int_equal(tcflow(at[STOPPED].slave, TCOOFF), 0); /* as Ctrl-S does */
    for (int i = 0; i < SCENES; i++) {
        const char *script = i == BETWEEN  ? "echo one; sleep 2.4; echo two; sleep 0.4"
                             : i == PROMPT ? "printf 'one\\nname? '; sleep 2.4; printf x; sleep 0.4"
                                           : "sleep 2.8";
        sessions[i] = start_at(&at[i], i == QUIET ? "--quiet" : i == TYPED ? "--interactive" : "--cpus=1", script);
    }
    for (int i = 0; i < SCENES; i++) {
        result = session_finish(sessions[i]);
        CHECK_WELL(result);
        CHECK(result, result->seconds < 2.8 + 5);
        if (i == STOPPED)
            assert_int_equal(tcflow(at[i].slave, TCOON), 0);
        drain(&at[i]);
        terminal_close(&at[i]);
        CHECK(result, !at[i].wrapped || i == NARROW); /* there the summary does */
        CHECK(result, is_empty(&at[i]));              /* gone at the end */
    }
    AWAIT(waitpid(-1, NULL, WNOHANG) > 0); /* who was in front of BEHIND */
    assert_true(at[PLAIN].drawn >= 1 && at[PLAIN].seconds >= 2 && at[PLAIN].seconds < 30 && at[PLAIN].memory);
    check_above(&at[PLAIN], "");
    assert_true(!strncmp(at[NARROW].above, "bivy: ", 6));
    assert_string_equal(at[BEHIND].above, ""); /* nor a summary: bivy would be stopped for it */
    assert_true(at[BETWEEN].drawn >= 1); /* below "one", and gone before "two" */
    check_above(&at[BETWEEN], "one\ntwo\n");
    assert_int_equal(at[PROMPT].drawn, 0); /* that is for the person to see */
    check_above(&at[PROMPT], "one\nname? x\n"); /* and the summary on a line of its own */
    assert_true(at[QUIET].drawn + at[TYPED].drawn + at[BEHIND].drawn + at[STOPPED].drawn == 0);
}

/* Cancelled while it stands there; and what bivy says of its own begins on a line of its own. */
static void the_line_is_gone_when_a_run_is_ended(void **state)
{
    struct terminal terminal;
    struct session *session;
    const struct result *result;

    (void)state;
    terminal_open(&terminal, COLUMNS);
    session = start_at(&terminal, "--summary", "exec sleep 1000");
    AWAIT((drain(&terminal), terminal.drawn > 0));
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
    drain(&terminal);
    terminal_close(&terminal);
    CHECK(result, is_empty(&terminal) && !strncmp(terminal.above, "bivy: cancelled", 15));
}

/* Not a terminal, or one that knows no escape sequence: not a byte. */
static void nothing_is_drawn_elsewhere(void **state)
{
    struct terminal dumb;
    struct session *other, *one;
    const struct result *result;

    (void)state;
    terminal_open(&dumb, COLUMNS);
    one = session_start(HOW(.prepare = take_terminal, .data = &dumb), WORDS("--env", "TERM=vt220", "--", "sleep", "2.2"));
    other = session_start(HOW(.env = WORDS("TERM=vt220")), WORDS("--", "sleep", "2.2"));
    result = session_finish(one);
    CHECK_WELL(result);
    drain(&dumb);
    terminal_close(&dumb);
    CHECK(result, is_empty(&dumb) && dumb.drawn == 0);
    check_above(&dumb, "");
    result = session_finish(other);
    CHECK_WELL(result);
    CHECK(result, result->err_length == 0 && result->out_length == 0);
}

/* ---- --verbose ---- */

/* Every line is ours and has a time that is not before the one above. Gives how many there are before `mark`, or all. */
static size_t told(const struct result *result, const char *mark)
{
    double before = 0, at;
    size_t count = 0;

    for (const char *line = result->err; *line; line = strchr(line, '\n') + 1) {
        if (mark && !strncmp(line, mark, strlen(mark)))
            return count;
        CHECK(result, strchr(line, '\n'));
        if (sscanf(line, "bivy: %lf ms  ", &at) != 1) {
            CHECK(result, !mark);
            return count;
        }
        CHECK(result, at >= before && at < GUARD_SECONDS * 1000);
        before = at;
        count++;
    }
    CHECK(result, !mark);
    return count;
}

static void the_setup_is_told_before_the_command_speaks(void **state)
{
    static const char *const order[] = {"options read", "rootfs found and checked: ", "cgroup leaf made: ", "first process made",
                                        "user and group taken",
                                        "/proc mounted", "root changed", "filter loaded",
                                        "the gate passed: uid 1000, no capability, no_new_privs 1, seccomp mode 2, "};
    const struct result *result = RUN(HOW(0), "--verbose", "--", "sh", "-c", "echo mark >&2; echo out");
    const char *from = result->err;

    (void)state;
    CHECK_WELL(result);
    CHECK(result, told(result, "mark\n") >= 20);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        from = strstr(from, order[i]);
        CHECK(result, from);
    }
    CHECK(result, strstr(result->err, harness.rootfs) && strstr(result->err, record_text(result, "id")));
    CHECK(result, strstr(result->err, "; sh starts\nmark\n") && !strcmp(result->out, "out\n"));
}

#ifndef TEST_SANITIZED /* the leak sanitizer does not work in a traced process */
/* The child goes on as soon as it is told to, and bivy may come back from telling it much later: each write of bivy's own returns late here. */
static void the_setup_is_told_in_order_also_when_the_child_is_quicker(void **state)
{
    const struct result *result;

    (void)state;
    bivy_traced("-e trace=write -e inject=write:delay_exit=20000");
    result = RUN(HOW(0), "--verbose", "--", "true");
    CHECK_WELL(result);
    CHECK(result, told(result, NULL) >= 20);
}
#endif

static void the_setup_is_told_when_it_fails(void **state)
{
    const struct result *result = RUN(HOW(.rootfs = "/nowhere"), "--verbose", "--", "true");

    (void)state;
    CHECK_ENDED(result, "setup_failed", 125);
    CHECK(result, told(result, NULL) == 2 && strstr(result->err, "  stopped in stage rootfs\nbivy: rootfs: "));
    result = RUN(HOW(.workspace = directory_make("workspace", harness.uid, 0)), "--verbose", "--", "true");
    CHECK_ENDED(result, "setup_failed", 125);
    CHECK(result, told(result, NULL) >= 20 && strstr(result->err, "filter loaded\n"));
    CHECK(result, strstr(result->err, "  stopped in stage workspace\nbivy: workspace: ") && !strstr(result->err, "gate passed"));
    result = RUN(HOW(0), "--verbose", "--", "no\x1b[2Jsuch"); /* and a name does nothing to a terminal */
    CHECK_ENDED(result, "setup_failed", 127);
    CHECK(result, strstr(result->err, "; no\\x1b[2Jsuch starts\nbivy: exec: ") && !strchr(result->err, '\x1b'));
}

static void freeze(const char *yes)
{
    file_write(text_format("%s%s/cgroup.freeze", harness.mount[CGROUP_V2], harness.parent), yes);
}

/* A set-up that does not come on, because its processes are born frozen: said while it hangs, and where. Root only: an ordinary
 * user's bivy would freeze as well. */
static void the_setup_is_told_while_it_hangs(void **state)
{
    const struct result *result;
    struct session *session;
    const char *still;

    (void)state;
    freeze("1");
    session = START(HOW(0), "--verbose", "--timeout", "1300ms", "--", "true");
    session_wait(session);
    freeze("0");
    result = session_finish(session);
    CHECK_ENDED(result, "setup_failed", 125);
    CHECK(result, told(result, NULL) >= 8);
    still = strstr(result->err, " ms  still in stage clone\n"); /* after one second */
    CHECK(result, still && strstr(result->err, "cgroup leaf made"));
    CHECK(result, strstr(still, "  stopped in stage clone\nbivy: clone: "));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(a_line_on_a_terminal),
        TEST(the_line_is_gone_when_a_run_is_ended),
        TEST(nothing_is_drawn_elsewhere),
        TEST(the_setup_is_told_before_the_command_speaks),
#ifndef TEST_SANITIZED
        TEST(the_setup_is_told_in_order_also_when_the_child_is_quicker),
#endif
        TEST(the_setup_is_told_when_it_fails),
        TEST_ROOT(the_setup_is_told_while_it_hangs),
    };

    return harness_main(argc, argv, "watch", tests, sizeof tests / sizeof tests[0]);
}
