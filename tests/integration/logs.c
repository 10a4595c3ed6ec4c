/* --log: what journald's socket and /dev/log are given, whatever became of the run, and what happens where there is no log. Both are
 * sockets of the test's own, put in place in a mount namespace of bivy's. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

#define MOST (256 * 1024)

static int receiver = -1;
static char socket_path[4200];
enum place { JOURNAL, SYSLOG, NEITHER };
static enum place place;

/* A socket at a path that both this process and bivy's mount namespace reach. */
static void listen_on(enum place which, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (receiver >= 0)
        close(receiver);
    place = which;
    snprintf(socket_path, sizeof socket_path, "%s/log-%d", harness.tmp, (int)which);
    assert_true(strlen(socket_path) < sizeof address.sun_path);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    unlink(socket_path);
    receiver = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(receiver >= 0);
    assert_int_equal(bind(receiver, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(chmod(socket_path, 0666), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(receiver, 0), 0);
}

static void listen_as(enum place which)
{
    listen_on(which, SOCK_DGRAM);
}

static void touch_at(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        _exit(97);
    close(fd);
}

/* In bivy's process: a /run and a /dev of its own, with the socket where the log is looked for, or without one. */
static void put_in_place(void *data)
{
    static const struct {
        const char *path;
        unsigned minor_1, minor_5;
    } nodes[] = {{"/dev/null", 3, 0}, {"/dev/zero", 5, 0}, {"/dev/full", 7, 0}, {"/dev/random", 8, 0}, {"/dev/urandom", 9, 0}};

    (void)data;
    umask(0);
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("tmpfs", "/run", "tmpfs", 0, "mode=755") ||
        mount("tmpfs", "/dev", "tmpfs", 0, "mode=755"))
        _exit(98);
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(1, nodes[i].minor_1)))
            _exit(96);
    if (mknod("/dev/tty", S_IFCHR | 0666, makedev(5, 0)) || mkdir("/run/systemd", 0755) || mkdir("/run/systemd/journal", 0755))
        _exit(95);
    if (place == NEITHER)
        return;
    const char *at = place == JOURNAL ? "/run/systemd/journal/socket" : "/dev/log";
    touch_at(at);
    if (mount(socket_path, at, NULL, MS_BIND, NULL))
        _exit(94);
}

/* The one datagram that came; NULL when none did. Lives until the end of the test. */
static char *received(size_t *length)
{
    char *text = keep(calloc(1, MOST + 1)), more[16];
    ssize_t got = recv(receiver, text, MOST, 0);

    if (got < 0)
        return NULL;
    assert_int_equal(recv(receiver, more, sizeof more, 0), -1); /* one run, one line */
    *length = (size_t)got;
    assert_int_equal(strlen(text), got); /* no NUL in it */
    return text;
}

/* A field of a journal's entry; every line must be one. */
static const char *field(char *entry, const char *name)
{
    char *head = text_format("%s=", name), *value = text_line(entry, head);

    if (!value)
        harness_fail("no field %s in: %.2000s", name, entry);
    return value;
}

/* Gives MESSAGE. */
static const char *check_journal(const struct result *result, const char *outcome, const char *priority)
{
    size_t length = 0;
    char *entry = received(&length);

    CHECK(result, entry != NULL);
    CHECK(result, entry[length - 1] == '\n');
    for (const char *line = entry; *line; line = strchr(line, '\n') + 1) {
        size_t name = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
        CHECK(result, name > 0 && line[name] == '='); /* nothing looks like a binary field, or like somebody else's */
        for (const char *byte = line; *byte != '\n'; byte++)
            CHECK(result, (unsigned char)*byte >= 0x20 && *byte != 0x7f);
    }
    assert_string_equal(field(entry, "SYSLOG_IDENTIFIER"), "bivy");
    assert_string_equal(field(entry, "BIVY_OUTCOME"), outcome);
    assert_string_equal(field(entry, "PRIORITY"), priority);
    CHECK(result, strstr(field(entry, "MESSAGE"), outcome) != NULL);
    CHECK(result, atoi(field(entry, "BIVY_EXIT")) == result->status);
    if (*result->record_text) { /* the very text of --report */
        CHECK(result, !strcmp(text_format("%s\n", field(entry, "BIVY_RECORD")), result->record_text));
        CHECK(result, record_null(result, "id") || !strcmp(field(entry, "BIVY_ID"), record_text(result, "id")));
    }
    return field(entry, "MESSAGE");
}

static void the_journal_has_every_outcome(void **state)
{
    struct session *session;
    const char *message;

    (void)state;
    listen_as(JOURNAL);
    message = check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--cpus", "2", "--", "true"), "exited", "6");
    if (!strstr(message, ": exited 0") || strstr(message, "raise --"))
        harness_fail("a run that went well: %s", message);
    check_journal(RUN(HOW(.prepare = put_in_place), "--log=journal", "--", "sh", "-c", "exit 3"), "exited", "5");
    check_journal(RUN(HOW(.prepare = put_in_place), "--log=journal", "--", "sh", "-c", "kill -9 $$"), "signaled", "5");
    check_journal(RUN(HOW(.prepare = put_in_place), "--log=journal", "--timeout", "1s", "--kill-after", "0s", "--", "sleep", "60"),
                  "timeout", "4");
    message = check_journal(RUN(HOW(.prepare = put_in_place), "--log=journal", "--cpus", "2", "--output-limit", "2K", "--", "yes"),
                            "output_limit", "4");
    if (!strstr(message, ": output_limit") || !strstr(message, "--output-limit 2.0 KiB")) /* the hint of the record */
        harness_fail("what the limit was is not in: %s", message);
    session = START(HOW(.prepare = put_in_place), "--log=journal", "--", "sh", "-c", "echo here; exec sleep 60");
    session_expect(session, "here");
    session_kill(session, SIGTERM);
    check_journal(session_finish(session), "cancelled", "5");
}

static void the_journal_has_what_could_not_be_run(void **state)
{
    (void)state;
    listen_as(JOURNAL);
    check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--", "/no/such"), "setup_failed", "4");
    check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--workspace", "/no/such", "--", "true"), "setup_failed", "3");
    check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--memory", "1", "--", "true"), "setup_failed", "3");
    /* Without a record: bad options alone, and a record that has no place. */
    check_journal(RUN(HOW(.bare = true, .prepare = put_in_place), "run", "--log", "journal", "--no-such-option", "--", "true"), "setup_failed", "3");
    check_journal(RUN(HOW(.bare = true, .prepare = put_in_place), "run", "--log", "journal", "--report", "/no/such/file", "--", "true"),
                  "setup_failed", "3");
}

static void hostile_bytes_end_no_line(void **state)
{
    (void)state;
    listen_as(JOURNAL);
    check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--workspace", "/x\nPRIORITY=0\nMESSAGE=no\x1b[31m\x7f\xff\xc2\x9b",
                      "--", "true"), "setup_failed", "3");
    check_journal(RUN(HOW(.prepare = put_in_place), "--log", "journal", "--", "sh", "-c", "exit 3", "a\nBIVY_OUTCOME=x", "\x1b]0;x\a\xfe"),
                  "exited", "5");
}

/* "<PRI>Mon dd hh:mm:ss bivy[PID]: " and what is behind it. */
static char *syslog_text(const struct result *result, char *line, const char *priority)
{
    char month[4];
    int day, hour, minute, second, pid, end = 0;

    CHECK(result, line && !strncmp(line, priority, strlen(priority)));
    line += strlen(priority);
    CHECK(result, sscanf(line, "%3[A-Z a-z] %d %d:%d:%d bivy[%d]: %n", month, &day, &hour, &minute, &second, &pid, &end) == 6 && end > 0);
    CHECK(result, strstr("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", month) && day >= 1 && day <= 31 && hour < 24 && pid > 0);
    CHECK(result, !strchr(line, '\n'));
    return line + end;
}

static void syslog_has_a_line(void **state)
{
    const struct result *result;
    size_t length;

    (void)state;
    listen_as(SYSLOG);
    result = RUN(HOW(.prepare = put_in_place), "--log", "syslog", "--", "true");
    CHECK_WELL(result);
    CHECK(result, !strcmp(text_format("%s\n", syslog_text(result, received(&length), "<14>")), result->record_text));
    result = RUN(HOW(.prepare = put_in_place), "--log", "syslog", "--workspace", "/no/such", "--", "true");
    CHECK(result, !strcmp(text_format("%s\n", syslog_text(result, received(&length), "<11>")), result->record_text));
}

/* A record that would be cut in the middle is no record: a shorter one takes its place. */
static void a_long_record_is_shortened_for_syslog(void **state)
{
    char word[257] = {0};
    const char *words[64] = {"--log", "syslog", "--", "true"};
    const struct result *result;
    struct reader *tree;
    const char *error;
    size_t length;
    char *text;

    (void)state;
    memset(word, 'x', 256);
    for (size_t i = 4; i < 60; i++)
        words[i] = word;
    listen_as(SYSLOG);
    result = session_finish(session_start(HOW(.prepare = put_in_place), words));
    CHECK_WELL(result);
    CHECK(result, strlen(result->record_text) > 8192);
    text = syslog_text(result, received(&length), "<14>");
    CHECK(result, length < 1024 && strstr(text, "\"cut\":true") && strstr(text, record_text(result, "id")));
    tree = reader_parse(text, strlen(text), &error);
    CHECK(result, tree != NULL);
    keep_tree(tree);
    listen_as(JOURNAL); /* which takes the whole */
    check_journal(session_finish(session_start(HOW(.prepare = put_in_place), (words[1] = "journal", words))), "exited", "6");
}

/* Some daemons have a stream at /dev/log. Each line ends with a NUL there. One whose daemon does not take connections holds nobody. */
static void syslog_may_be_a_stream(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *text = keep(calloc(1, MOST + 1));
    const struct result *result;
    size_t length = 0;
    ssize_t got;
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), taken;

    (void)state;
    listen_on(SYSLOG, SOCK_STREAM);
    result = RUN(HOW(.prepare = put_in_place), "--log", "syslog", "--", "true");
    CHECK_WELL(result);
    taken = accept(receiver, NULL, NULL);
    assert_true(taken >= 0);
    while ((got = recv(taken, text + length, MOST - length, 0)) > 0)
        length += (size_t)got;
    CHECK(result, length == strlen(text) + 1);
    CHECK(result, !strcmp(text_format("%s\n", syslog_text(result, text, "<14>")), result->record_text));
    close(taken);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    assert_int_equal(connect(other, (struct sockaddr *)&address, sizeof address), 0); /* the one that may wait */
    result = RUN(HOW(.prepare = put_in_place), "--log", "syslog", "--", "true");
    CHECK_WELL(result);
    CHECK(result, strstr(result->err, "--log syslog:") && strstr(result->err, "EAGAIN"));
    close(other);
    listen_on(JOURNAL, SOCK_STREAM); /* which is no journald */
    result = RUN(HOW(.prepare = put_in_place), "--log", "journal", "--", "true");
    CHECK_WELL(result);
    CHECK(result, strstr(result->err, "EPROTOTYPE"));
}

/* A log is a copy: that it is missing is said, and changes nothing else. */
static void no_log_is_said_and_no_more(void **state)
{
    (void)state;
    listen_as(NEITHER);
    for (const char *const *log = WORDS("journal", "syslog"); *log; log++) {
        const struct result *result = RUN(HOW(.prepare = put_in_place), "--log", *log, "--", "sh", "-c", "echo out; exit 3");
        CHECK_ENDED(result, "exited", 3);
        assert_string_equal(result->out, "out\n");
        CHECK(result, strstr(result->err, text_format("bivy: report: --log %s:", *log)) && strstr(result->err, "ENOENT"));
    }
}

/* Nobody reads, and the queue is full: bivy does not wait. */
static void a_full_log_holds_nobody(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct result *result;
    int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)state;
    listen_as(JOURNAL);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path);
    while (sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof address) == 1)
        ;
    assert_int_equal(errno, EAGAIN);
    result = RUN(HOW(.prepare = put_in_place), "--log", "journal", "--", "true");
    CHECK_WELL(result);
    CHECK(result, strstr(result->err, "--log journal:") && strstr(result->err, "EAGAIN"));
    close(sender);
}

static void off_is_off(void **state)
{
    size_t length;

    (void)state;
    listen_as(JOURNAL);
    CHECK_WELL(RUN(HOW(.prepare = put_in_place), "--log", "off", "--", "true"));
    CHECK_WELL(RUN(HOW(.prepare = put_in_place), "--", "true"));
    assert_null(received(&length));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(the_journal_has_every_outcome), TEST(the_journal_has_what_could_not_be_run), TEST(hostile_bytes_end_no_line),
        TEST(syslog_has_a_line),             TEST(a_long_record_is_shortened_for_syslog), TEST(no_log_is_said_and_no_more),
        TEST(syslog_may_be_a_stream),        TEST(a_full_log_holds_nobody),       TEST(off_is_off),
    };

    return harness_main(argc, argv, "logs", tests, sizeof tests / sizeof tests[0]);
}
