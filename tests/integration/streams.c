/* streams: stdin, stdout and stderr between caller and command: live, exact, bounded, and never a reason to hang. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

/* The bytes that `payload spew` writes. */
static unsigned char *spewed(size_t length)
{
    unsigned char *bytes = keep(malloc(length));
    uint64_t random = 88172645463325252u;

    for (size_t i = 0; i < length; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        bytes[i] = (unsigned char)(random >> 32);
    }
    return bytes;
}

static void check_stream(const struct result *result, const char *name, int64_t seen, int64_t passed, bool truncated)
{
    CHECK(result, record_number(result, text_format("%s.seen_bytes", name)) == seen);
    CHECK(result, record_number(result, text_format("%s.passed_bytes", name)) == passed);
    CHECK(result, record_true(result, text_format("%s.truncated", name)) == truncated);
}

/* ---- live, exact, apart ---- */

static void output_is_passed_on_live(void **state)
{
    const char *workspace = workspace_make(), *fifo = path_join(workspace, "go");
    struct session *session;
    const struct result *result;
    int fd;

    (void)state;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(chown(fifo, harness.uid, harness.uid), 0);
    session =
        START(HOW(.workspace = workspace), "--", "sh", "-c", "echo first; read word < go; echo $word >&2; echo last");
    session_expect(session, "first\n"); /* the command waits for us now: this came live or the guard ends the test */
    fd = open(fifo, O_WRONLY | O_CLOEXEC);
    assert_int_equal(write(fd, "second\n", 7), 7);
    close(fd);
    result = session_finish(session);
    CHECK_WELL(result);
    assert_string_equal(result->out, "first\nlast\n");
    assert_string_equal(result->err, "second\n");
    check_stream(result, "stdout", 11, 11, false);
    check_stream(result, "stderr", 7, 7, false);
}

static void every_byte_crosses_on_both_streams(void **state)
{
    const struct result *result =
        SH(HOW(.workspace = workspace_make()), "./payload spew 300000 2; ./payload spew 500000");

    (void)state;
    CHECK_WELL(result);
    assert_true(result->out_length == 500000 && !memcmp(result->out, spewed(500000), 500000));
    assert_true(result->err_length == 300000 && !memcmp(result->err, spewed(300000), 300000));
}

static void sixty_four_mebibytes_pass_whole(void **state)
{
    size_t length = 64 << 20;
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--max-output", "none", "--cpus", "4",
                                      "--timeout", "100s", "--", "./payload", "spew", text_format("%zu", length));

    (void)state;
    CHECK_WELL(result);
    CHECK(result, result->out_length == length);
    assert_int_equal(memcmp(result->out, spewed(length), length), 0);
    check_stream(result, "stdout", (int64_t)length, (int64_t)length, false);
}

/* ---- head and tail ---- */

static void check_head_and_tail(const struct result *result, const char *stream, const char *out, size_t out_length,
                                size_t length, size_t kept)
{
    const unsigned char *bytes = spewed(length);
    size_t half = kept / 2, between = out_length - kept;
    const char *line = out + half;
    const char *number = text_format("%zu", length - kept);

    CHECK(result, out_length > kept && between < 200);
    CHECK(result, !memcmp(out, bytes, half));
    CHECK(result, !memcmp(out + out_length - half, bytes + length - half, half));
    line = keep(strndup(line, between));
    CHECK(result,
          strlen(line) == between && strstr(line, "bivy: ") && strstr(line, number) && line[between - 1] == '\n');
    CHECK(result, !strchr(line + (*line == '\n'), '\n')[1]); /* one line, on a line of its own */
    check_stream(result, stream, (int64_t)length, (int64_t)kept, true);
    CHECK(result, record_limit_hit(result, "output"));
}

static void head_and_tail_are_kept(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--max-output", "4K", "--", "./payload", "spew", "100000");

    (void)state;
    CHECK_WELL(result);
    check_head_and_tail(result, "stdout", result->out, result->out_length, 100000, 4096);
    result = RUN(&how, "--max-output", "4K", "--", "./payload", "spew", "100000", "2");
    CHECK_WELL(result);
    check_head_and_tail(result, "stderr", result->err, result->err_length, 100000, 4096);
    CHECK(result, result->out_length == 0);
}

static void one_byte_more_than_the_limit(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--max-output=4K", "--", "./payload", "spew", "4096");

    (void)state;
    CHECK_WELL(result);
    assert_true(result->out_length == 4096 && !memcmp(result->out, spewed(4096), 4096));
    check_stream(result, "stdout", 4096, 4096, false);
    CHECK(result, !record_limit_hit(result, "output"));
    result = RUN(&how, "--max-output=4K", "--", "./payload", "spew", "4097");
    CHECK_WELL(result);
    check_head_and_tail(result, "stdout", result->out, result->out_length, 4097, 4096);
}

static void the_default_keeps_a_mebibyte(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "spew", "3000000");

    (void)state;
    CHECK_WELL(result);
    check_head_and_tail(result, "stdout", result->out, result->out_length, 3000000, 1 << 20);
}

static void the_tail_survives_a_timeout(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--max-output", "2K", "--timeout", "1s",
                                      "--cpus", "4", "--", "sh", "-c", "./payload spew 50000; exec ./payload ready");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->out_length > 2048 && !strcmp(result->out + result->out_length - 6, "ready\n"));
    check_stream(result, "stdout", 50006, 2048, true);
}

/* ---- the output limit ---- */

static void an_output_bomb_is_ended(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--output-limit", "1M", "--", "./payload", "spew", "0");

    (void)state;
    CHECK_ENDED(result, "output_limit", 137);
    CHECK(result, record_number(result, "stdout.seen_bytes") > 1 << 20);
    CHECK(result, record_number(result, "stdout.seen_bytes") < 4 << 20);
    CHECK(result, record_number(result, "signal") == SIGKILL && result->out_length < (1 << 20) + 200);
}

static void an_output_bomb_on_stderr_at_the_default_limit(void **state)
{
    const struct result *result = SH(HOW(0), "cat /dev/zero >&2");

    (void)state;
    CHECK_ENDED(result, "output_limit", 137);
    CHECK(result, record_number(result, "stderr.seen_bytes") > 64 << 20 &&
                      record_number(result, "stderr.seen_bytes") < 80 << 20);
    CHECK(result, record_number(result, "stderr.passed_bytes") == 1 << 20);
}

/* ---- who holds what open ---- */

static void a_grandchild_holding_the_pipes_does_not_hang(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "orphan");

    (void)state;
    CHECK_ENDED(result, "exited", 4);
    assert_string_equal(result->out, "parent is done\n");
    CHECK(result, result->seconds < 10);
}

static void the_caller_closes_stdout_early(void **state)
{
    struct how how = {.workspace = workspace_make()};
    struct session *session = START(&how, "--output-limit", "none", "--max-output", "none", "--", "./payload", "epipe");
    const struct result *result;

    (void)state;
    session_expect(session, "ready\n");
    close(session->out);
    session->out = -1;
    result = session_finish(session);
    CHECK_ENDED(result, "exited", 6);
    assert_string_equal(result->err, "stdout EPIPE\n"); /* as without bivy */

    session = START(HOW(0), "--max-output", "none", "--", "yes");
    session_expect(session, "y\n");
    close(session->out);
    session->out = -1;
    result = session_finish(session);
    CHECK_ENDED(result, "signaled", 128 + SIGPIPE);
}

static void a_caller_that_never_reads(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "200ms",
                                    "--max-output", "none", "--", "./payload", "spew", "0");
    const struct result *result;

    (void)state;
    session_wait(
        session); /* without reading: the pipe fills, the command blocks, the timeout must end it all the same */
    result = session_finish(session);
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds < 1 + 0.2 + 2);
    CHECK(result, record_true(result, "stdout.truncated"));
    CHECK(result, (int64_t)result->out_length == record_number(result, "stdout.passed_bytes"));
    CHECK(result, !memcmp(result->out, spewed(result->out_length), result->out_length));
}

static void a_slow_caller_gets_everything(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--", "./payload", "spew", "300000");
    static char block[1000];
    unsigned char *expected = spewed(300000);
    size_t total = 0;
    ssize_t got;
    const struct result *result;

    (void)state;
    while ((got = read(session->out, block, sizeof block)) > 0) {
        if (memcmp(block, expected + total, (size_t)got))
            harness_fail("wrong bytes at %zu", total);
        total += (size_t)got;
        nap();
    }
    result = session_finish(session);
    CHECK_WELL(result);
    assert_int_equal(total, 300000);
    check_stream(result, "stdout", 300000, 300000, false);
}

static void stdin_is_stdout_too(void *data)
{
    (void)data;
    if (dup2(0, 1) < 0)
        _exit(98);
}

/* A pipe end shared with the caller keeps its flags: a shell whose stdout became non-blocking breaks. */
static void the_callers_pipe_keeps_its_flags(void **state)
{
    int fds[2];
    char text[16] = "";
    const struct result *result;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    result = RUN(HOW(.in = fds[1], .prepare = stdin_is_stdout_too), "--", "echo", "through");
    CHECK_WELL(result);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(read(fds[0], text, sizeof text), 8);
    assert_string_equal(text, "through\n");
    close(fds[0]);
    close(fds[1]);
}

static void a_socket_as_stdout(void **state)
{
    int fds[2];
    static char block[65536];
    unsigned char *expected = spewed(400000);
    size_t total = 0;
    ssize_t got;
    struct session *session;
    const struct result *result;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    session = START(HOW(.in = fds[1], .prepare = stdin_is_stdout_too, .workspace = workspace_make()), "--", "./payload",
                    "spew", "400000");
    while (total < 400000 && (got = read(fds[0], block, sizeof block)) > 0) {
        assert_int_equal(memcmp(block, expected + total, (size_t)got), 0);
        total += (size_t)got;
    }
    result = session_finish(session);
    CHECK_WELL(result);
    assert_int_equal(total, 400000);
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    close(fds[0]);
    close(fds[1]);
}

/* splice(2) refuses a file opened for appending; the bytes must arrive all the same, behind what was there. */
static void a_file_as_stdout(void **state)
{
    const char *path = path_join(directory_make("out", 0, 0755), "file");
    const struct result *result;
    size_t length;
    char *text;

    (void)state;
    for (int append = 0; append < 2; append++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0600);
        assert_true(fd >= 0);
        result = RUN(HOW(.in = fd, .prepare = stdin_is_stdout_too, .workspace = workspace_make()), "--", "./payload",
                     "spew", "200000");
        CHECK_WELL(result);
        check_stream(result, "stdout", 200000, 200000, false);
        close(fd);
    }
    text = file_read(path, &length);
    assert_int_equal(length, 400000);
    assert_int_equal(memcmp(text, spewed(200000), 200000), 0);
    assert_int_equal(memcmp(text + 200000, spewed(200000), 200000), 0);
}

static void a_full_device_as_stdout(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const struct result *result = SH(HOW(.in = fd, .prepare = stdin_is_stdout_too), "echo lost; echo kept >&2; exit 3");

    (void)state;
    close(fd);
    CHECK(result, !strcmp(record_text(result, "outcome"), "exited") && record_number(result, "exit_code") == 3);
    CHECK(result, record_number(result, "stdout.passed_bytes") == 0 && record_true(result, "stdout.truncated"));
    CHECK(result, strstr(result->err, "kept\n"));
}

/* ---- stdin ---- */

static void stdin_is_empty_without_i(void **state)
{
    int fds[2];
    const struct result *result;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "secret\n", 7), 7);
    result =
        SH(HOW(.in = fds[0]), "cat; readlink /proc/self/fd/0"); /* the pipe stays open: a cat that saw it would hang */
    CHECK_WELL(result);
    assert_string_equal(result->out, "/dev/null\n");
    close(fds[0]);
    close(fds[1]);
}

static int file_of(size_t length)
{
    const char *path = path_join(directory_make("in", 0, 0755), "file");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, spewed(length), length) != (ssize_t)length || lseek(fd, 0, SEEK_SET))
        harness_fail("cannot write %s", path);
    return fd;
}

static void stdin_with_i(void **state)
{
    static const char *const options[] = {"-i", "--interactive"};
    const struct result *result;

    (void)state;
    for (int i = 0; i < 2; i++) {
        int fd = file_of(300000);
        result = RUN(HOW(.in = fd), options[i], "--", "cat");
        CHECK_WELL(result);
        assert_true(result->out_length == 300000 && !memcmp(result->out, spewed(300000), 300000));
        close(fd);
    }
}

static void stdin_through_a_live_pipe(void **state)
{
    int fds[2];
    struct session *session;
    const struct result *result;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    session = START(HOW(.in = fds[0]), "-i", "--", "sh", "-c", "while read line; do echo got $line; done; echo end");
    close(fds[0]);
    assert_int_equal(write(fds[1], "one\n", 4), 4);
    session_expect(session, "got one\n");
    assert_int_equal(write(fds[1], "two\n", 4), 4);
    session_expect(session, "got two\n");
    close(fds[1]);
    result = session_finish(session);
    CHECK_WELL(result);
    assert_string_equal(result->out, "got one\ngot two\nend\n");
}

static void odd_stdins_with_i(void **state)
{
    int fds[2], in[3] = {open("/dev/null", O_RDONLY | O_CLOEXEC), open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const struct result *result;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[1]);
    in[2] = fds[0];
    for (int i = 0; i < 3; i++) { /* /dev/null, a directory, a pipe without a writer: all read as empty */
        result = RUN(HOW(.in = in[i]), "-i", "--", "sh", "-c", "cat; echo end");
        CHECK_WELL(result);
        assert_string_equal(result->out, "end\n");
        close(in[i]);
    }
}

/* Neither a command that does not read nor a caller that does not end its input makes bivy wait. */
static void unread_stdin_does_not_hang(void **state)
{
    int fds[2], fd = file_of(300000);
    const struct result *result;

    (void)state;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    result = RUN(HOW(.in = fds[0]), "-i", "--", "true");
    CHECK_WELL(result);
    assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
    result = RUN(HOW(.in = fd), "-i", "--", "head", "-c", "5");
    CHECK_WELL(result);
    assert_true(result->out_length == 5 && !memcmp(result->out, spewed(5), 5));
    result = RUN(HOW(.in = fds[0]), "-i", "--timeout", "1s", "--", "cat");
    CHECK_ENDED(result, "timeout", 124);
    close(fds[0]);
    close(fds[1]);
    close(fd);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(output_is_passed_on_live),
        TEST(every_byte_crosses_on_both_streams),
        TEST(sixty_four_mebibytes_pass_whole),
        TEST(head_and_tail_are_kept),
        TEST(one_byte_more_than_the_limit),
        TEST(the_default_keeps_a_mebibyte),
        TEST(the_tail_survives_a_timeout),
        TEST(an_output_bomb_is_ended),
        TEST(an_output_bomb_on_stderr_at_the_default_limit),
        TEST(a_grandchild_holding_the_pipes_does_not_hang),
        TEST(the_caller_closes_stdout_early),
        TEST(a_caller_that_never_reads),
        TEST(a_slow_caller_gets_everything),
        TEST(the_callers_pipe_keeps_its_flags),
        TEST(a_socket_as_stdout),
        TEST(a_file_as_stdout),
        TEST(a_full_device_as_stdout),
        TEST(stdin_is_empty_without_i),
        TEST(stdin_with_i),
        TEST(stdin_through_a_live_pipe),
        TEST(odd_stdins_with_i),
        TEST(unread_stdin_does_not_hang),
    };

    return harness_main(argc, argv, "streams", tests, sizeof tests / sizeof *tests);
}
