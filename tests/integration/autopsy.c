/* autopsy: at a timeout the record says what each process was doing, and no name of theirs gets in its way. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define TRIES 4 /* on a machine so busy that 0.1 s were not enough to look; the answer itself must come in time every time */

static const struct reader *told(const struct result *result)
{
    const struct reader *list = reader_at(result->record, "autopsy.told");

    CHECK(result, list && list->type == READER_ARRAY);
    CHECK(result, reader_count(list) <= 16 && record_number(result, "autopsy.processes") >= (int64_t)reader_count(list));
    return list->child;
}

static const struct reader *value(const struct result *result, const struct reader *process, const char *path, enum reader_type type)
{
    const struct reader *found = reader_at(process, path);

    if (!found || found->type != type)
        harness_complain(result, text_format("a value of another type at %s", path), __FILE__, __LINE__);
    return found;
}

static bool is(const struct reader *process, const char *path, const char *text)
{
    const struct reader *found = reader_at(process, path);

    return found && (text ? found->type == READER_STRING && !strcmp(found->text, text) : found->type == READER_NULL);
}

/* The one process of that name that waits so. */
static const struct reader *find(const struct result *result, const char *name, const char *waits)
{
    for (const struct reader *process = told(result); process; process = process->next)
        if (is(process, "name", name) && is(process, "waits", waits))
            return process;
    harness_complain(result, text_format("%s that waits for: %s", name, waits), __FILE__, __LINE__);
}

static double number(const struct result *result, const struct reader *process, const char *path)
{
    return value(result, process, path, READER_NUMBER)->number;
}

/* Run until the helper came to its end within its time, which is nearly always at once. */
static const struct result *timed_out(const char *processors, double timeout, const char *script)
{
    const struct result *result = NULL;

    if (getenv("BIVY_VM")) /* where three programs take half a second to start */
        timeout *= 2;
    for (int i = 0; i < TRIES; i++) {
        result = RUN(HOW(.workspace = workspace_make()), "--timeout", text_format("%.1fs", timeout), "--kill-after", "100ms", "--cpus", processors,
                     "--pids", "150", "--", "sh", "-c", script);
        CHECK_ENDED(result, "timeout", 124);
        CHECK(result, result->seconds < timeout + 0.1 + 2);
        if (!record_null(result, "autopsy") && record_true(result, "autopsy.complete"))
            return result;
    }
    harness_complain(result, "a complete autopsy", __FILE__, __LINE__);
}

static void a_reader_of_an_empty_pipe(void **state)
{
    const struct result *result = timed_out("1", 1, "sleep 60 | cat");
    const struct reader *cat = find(result, "cat", "pipe"), *sleeper = find(result, "sleep", "sleep");

    (void)state;
    CHECK(result, record_number(result, "autopsy.processes") == 3);
    CHECK(result, is(cat, "syscall", "read") && is(cat, "state", "S") && is(cat, "command.0", "cat"));
    CHECK(result, number(result, cat, "on.0.fd") == 0 && is(cat, "on.0.is", "pipe") && is(cat, "on.0.path", NULL));
    CHECK(result, number(result, cat, "on.0.with.0") == number(result, sleeper, "pid"));
    CHECK(result, reader_count(reader_at(cat, "on.0.with")) == 1 && reader_count(reader_at(cat, "on")) == 1);
    CHECK(result, number(result, cat, "cpu_ms") < 500 && number(result, cat, "age_ms") > 100 && number(result, cat, "age_ms") < 2500);
    CHECK(result, number(result, sleeper, "limit_ms") == 60000);
    CHECK(result, is(sleeper, "command.1", "60") && reader_count(reader_at(sleeper, "on")) == 0);
    const struct reader *shell = find(result, "sh", "child");
    CHECK(result, number(result, shell, "pid") == 2 && number(result, shell, "ppid") == 1);
    CHECK(result, number(result, cat, "ppid") == 2);
}

/* For people: whole command lines, what each waits on and where, and in one sentence the one to look at. */
static void the_summary_says_it_too(void **state)
{
    static const char *const lines[] = {
        "was doing: sh -c sleep 60 | cat -n (pid 2): waits for a child; ",
        "was doing: sleep 60 (pid 3): sleeps for 60.00 s; 0.0",
        "was doing: cat -n (pid 4): read of fd 0, an empty pipe, written by pid 3; 0.0",
        "; state S in ",
    };
    const struct result *result = RUN(HOW(0), "--timeout", "1s", "--kill-after", "100ms", "--summary", "--", "sh", "-c", "sleep 60 | cat -n");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        CHECK(result, strstr(result->err, lines[i]));
}

/* Was the look at the moment in which a program was only being started, or had just ended? In a loop that starts one after the other that
 * is a matter of luck, and where a start takes long (a virtual machine) of bad luck, often enough. */
static bool begins_or_ends(const struct result *result)
{
    for (const struct reader *process = told(result); process; process = process->next)
        if (is(process, "waits", "running") || is(process, "waits", "other") || is(process, "waits", "ended"))
            return true;
    return false;
}

/* One sentence, and it must be about the one that holds the rest up, and say what to change. */
static void the_hint_names_whom_to_look_at(void **state)
{
    static const struct {
        const char *script, *who, *mend;
    } runs[] = {
        {"while sleep 0.1; do :; done", " sleep 0.1 (pid ", "probably in a loop of its parent's"},
        {"mkfifo /tmp/inbox && (sleep 60 > /tmp/inbox &); cat /tmp/inbox", " sleep 60 (pid ", "it only sleeps"},
        {"nc -l -p 3333 & (sleep 60; :) | cat", " sleep 60 (pid ", "it only sleeps"},
        {"nc -l -p 3333", " nc -l -p 3333 (pid 2): accept of fd 3, a socket that listens on tcp [::]:3333; ", "a server"},
        {"exec ./payload wait room", " ./payload wait room (pid ", "it holds the other end itself"},
        {"exec ./payload wait itself", " ./payload wait itself (pid ", "it has no other thread that could wake it"},
        {"d=$(printf %0110d 1) && mkdir /tmp/$d && cd /tmp/$d && mkfifo inbox && exec cat inbox", "1/inbox, a fifo whose other end nobody has",
         "a FIFO opens only"},
        {"exec 8> /tmp/lock 9> /tmp/lock; flock 8; flock 9", " flock of fd 9, /tmp/lock, which it holds itself; ", "through another descriptor"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        for (int tries = 1;; tries++) {
            const struct result *result = timed_out("1", 1, runs[i].script);
            const char *hint = record_hint(result, "timeout");
            if (hint && strstr(hint, runs[i].who) && strstr(hint, runs[i].mend))
                break;
            if (!begins_or_ends(result) || tries == TRIES * 2)
                harness_complain(result, text_format("a hint with \"%s\" and \"%s\"", runs[i].who, runs[i].mend), __FILE__, __LINE__);
        }
    }
}

static void a_loop_spins_also_when_its_limit_holds_it_back(void **state)
{
    const struct result *result = timed_out("0.2", 1.5, "while :; do :; done");
    const struct reader *loop = find(result, "sh", "running");

    (void)state;
    CHECK(result, is(loop, "state", "R") && is(loop, "syscall", NULL) && reader_count(reader_at(loop, "on")) == 0);
    CHECK(result, number(result, loop, "cpu_ms") > 0 && record_real(result, "times.throttled_ms") > 0);
}

static void a_reader_of_a_fifo_without_a_writer(void **state)
{
    const struct result *result = timed_out("1", 1, "cd /tmp && mkfifo inbox && cat inbox");
    const struct reader *cat = find(result, "cat", "fifo");

    (void)state;
    CHECK(result, is(cat, "syscall", "open") && is(cat, "on.0.is", "fifo") && is(cat, "on.0.path", "/tmp/inbox"));
    CHECK(result, is(cat, "on.0.fd", NULL));
    result = timed_out("1", 1, "mkfifo /tmp/inbox && sleep 60 > /tmp/inbox & until test -p /tmp/inbox; do :; done; cat /tmp/inbox");
    cat = find(result, "cat", "fifo");
    CHECK(result, is(cat, "syscall", "read") && is(cat, "on.0.is", "fifo") && is(cat, "on.0.path", "/tmp/inbox"));
    CHECK(result, number(result, cat, "on.0.with.0") == number(result, find(result, "sleep", "sleep"), "pid"));
}

/* ---- every way to wait, in one sandbox that is cancelled when all of them do ---- */

/* How often its processes have gone to sleep so far; -1: one of them is not asleep. */
static long naps(const char *leaf, size_t wanted)
{
    pid_t pids[64];
    size_t count = leaf_pids(leaf, pids, 64);
    long sum = 0;

    for (size_t i = 0; i < count; i++) {
        char *status = file_read(text_format("/proc/%d/status", pids[i]), NULL);
        const char *asleep = status ? text_line(status, "State:\t") : NULL, *times = status ? text_line(status, "voluntary_ctxt_switches:") : NULL;
        if (!asleep || !times || (*asleep != 'S' && *asleep != 'T'))
            return -1;
        sum += strtol(times, NULL, 10);
    }
    return count == wanted ? sum : -1;
}

static void await_sleep(size_t wanted)
{
    const char *leaf = leaf_only();
    long before = -1, after = -1;

    for (int same = 0; same < 5; same = after >= 0 && after == before ? same + 1 : 0) {
        before = after;
        nap();
        AWAIT((after = naps(leaf, wanted)) >= 0);
    }
}

static const struct result *cancelled(const char *const *kinds, const char *ready, size_t processes)
{
    const char *words[32] = {"--timeout", "100s", "--kill-after", "0s", "-i", "--", "./payload", "wait"};
    const struct result *result = NULL;
    int ends[2];

    for (size_t i = 0; kinds[i] && i < 20; i++)
        words[8 + i] = kinds[i];
    for (int i = 0; i < TRIES; i++) {
        if (pipe2(ends, O_CLOEXEC))
            harness_fail("no pipe");
        struct session *session = session_start(HOW(.workspace = workspace_make(), .in = ends[0]), words);
        for (const char *line = ready; *line; line = strchr(line, '\n') + 1)
            session_expect(session, keep(strndup(line, (size_t)(strchr(line, '\n') - line))));
        await_sleep(processes + 1);
        session_kill(session, SIGTERM);
        result = session_finish(session);
        close(ends[0]);
        close(ends[1]);
        CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
        if (!record_null(result, "autopsy") && record_true(result, "autopsy.complete"))
            return result;
    }
    harness_complain(result, "a complete autopsy", __FILE__, __LINE__);
}

static void every_way_to_wait(void **state)
{
    static const struct {
        const char *name, *waits, *call, *on[2];
    } ways[] = {
        {"itself", "lock", "futex", {NULL, NULL}},
        {"poll", "poll", NULL, {"socket", "pipe"}},
        {"select", "poll", NULL, {"pipe", "socket"}},
        {"epoll", "poll", NULL, {NULL, NULL}},
        {"threads", "pipe", "read", {"pipe", NULL}},
        {"room", "pipe", "write", {"pipe", NULL}},
        {"lock", "lock", "flock", {"file", NULL}},
        {"caller", "caller", "read", {"stdin", NULL}},
        {"peer", "socket", "recvfrom", {"socket", NULL}},
        {"tty", "tty", "read", {"tty", NULL}},
        {"private", "pipe", NULL, {NULL, NULL}}, /* where its files are refused, by the wait channel alone */
        {"child", "child", "wait4", {NULL, NULL}},
        {"child", "signal", "pause", {NULL, NULL}},
        {"stopped", "stopped", NULL, {NULL, NULL}},
    };
    const struct result *result = cancelled(
        WORDS("poll", "select", "epoll", "threads", "room", "lock", "caller", "peer", "tty", "child", "stopped", "private", "itself"), "waiting\n",
        15);

    (void)state;
    CHECK(result, record_number(result, "autopsy.processes") == 15);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const struct reader *process = find(result, ways[i].name, ways[i].waits);
        CHECK(result, !ways[i].call || is(process, "syscall", ways[i].call));
        for (size_t j = 0; j < 2 && ways[i].on[j]; j++)
            CHECK(result, is(process, text_format("on.%zu.is", j), ways[i].on[j]));
    }
    const struct reader *epoll = find(result, "epoll", "poll"); /* its descriptors come in no order */
    CHECK(result, (is(epoll, "on.0.is", "pipe") && is(epoll, "on.1.is", "socket")) ||
                      (is(epoll, "on.0.is", "socket") && is(epoll, "on.1.is", "pipe")));
    CHECK(result, number(result, find(result, "threads", "pipe"), "threads") == 2);
    CHECK(result, is(find(result, "peer", "socket"), "on.0.address", "unix"));
    const struct reader *lock = find(result, "lock", "lock"); /* by another descriptor of its own */
    CHECK(result, number(result, lock, "on.0.with.0") == number(result, lock, "pid") && is(lock, "limit_ms", NULL));
    const struct reader *room = find(result, "room", "pipe");
    CHECK(result, number(result, room, "on.0.with.0") == number(result, room, "pid")); /* it only waits for itself */
}

static void names_of_strangers(void **state)
{
    const struct result *result = cancelled(WORDS("odd"), "waiting\nodd\n", 2);
    const struct reader *odd = find(result, ") R 1 2\n\033\"\xef\xbf\xbd", "fifo");
    const char *path = value(result, odd, "on.0.path", READER_STRING)->text, *head = "/tmp/\n\033]0;owned\a\"";

    (void)state;
    CHECK(result, is(odd, "state", "S") && !strncmp(path, head, strlen(head)) && strlen(path) <= 256 + 2);
    CHECK(result, is(odd, "command.0", "/proc/self/exe") && reader_count(reader_at(odd, "command")) == 2);
    /* 15 of the 256 bytes are the first word's; every byte that is no UTF-8 has become three */
    CHECK(result, !strncmp(value(result, odd, "command.1", READER_STRING)->text, "\n\033[31m\a\"\\\xef\xbf\xbd\xef\xbf\xbd,\n", 16));
    CHECK(result, strlen(value(result, odd, "command.1", READER_STRING)->text) <= 256 * 3);
    for (const char *at = result->record_text; *at; at++)
        CHECK(result, (unsigned char)*at >= 0x20 ? *at != 0x7f : *at == '\n' && !at[1]);
}

/* ---- bounds ---- */

static void many_processes_are_counted_and_some_told(void **state)
{
    static const char script[] = "i=0; while [ $((i += 1)) -le 38 ]; do sleep 100 & done; (while :; do :; done) & wait";
    const struct result *result = NULL;

    (void)state;
    for (int timeout = 2; timeout <= 32; timeout *= 2) { /* a slow machine may not be done with forking */
        result = RUN(HOW(0), "--timeout", text_format("%ds", timeout), "--kill-after", "200ms", "--", "sh", "-c", script);
        CHECK_ENDED(result, "timeout", 124);
        CHECK(result, result->seconds < timeout + 0.2 + 2);
        if (record_number(result, "pids.peak") > 40)
            break;
    }
    CHECK(result, record_number(result, "autopsy.processes") == 40);
    CHECK(result, reader_count(reader_at(result->record, "autopsy.told")) == 16);
    CHECK(result, record_real(result, "autopsy.took_ms") <= 1000); /* 0.1 s, and what the machine is late */
    find(result, "sh", "running"); /* the last one born, and the one that tells most */
    CHECK(result, is(told(result), "name", "sh") && number(result, told(result), "pid") == 2); /* the command itself is there always */
}

static void one_busy_thread_of_many(void **state)
{
    bool slow = getenv("BIVY_VM") != NULL; /* where a tenth of a second is not enough to look at a hundred */
    const struct result *result = timed_out("1", 1.5, slow ? "exec ./payload wait dozen" : "exec ./payload wait many");

    (void)state;
    CHECK(result, number(result, find(result, slow ? "dozen" : "many", "running"), "threads") == (slow ? 13 : 101));
}

static void others_have_none(void **state)
{
    const struct result *result = BIVY("--", "true");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "autopsy"));
    result = BIVY("--", "no-such-command");
    CHECK_ENDED(result, "setup_failed", 127);
    CHECK(result, record_null(result, "autopsy"));
    result = SH(HOW(0), "kill -9 $$");
    CHECK_ENDED(result, "signaled", 137);
    CHECK(result, record_null(result, "autopsy"));
}

/* What looking takes comes out of bivy's own time, not on top of it. */
static void the_answer_comes_in_time(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "300ms", "--", "./payload",
                                      "stubborn");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds >= 1.3 && result->seconds < 1.3 + 2);
    CHECK(result, !record_null(result, "autopsy"));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(a_reader_of_an_empty_pipe),
        TEST(the_summary_says_it_too),
        TEST(the_hint_names_whom_to_look_at),
        TEST(a_loop_spins_also_when_its_limit_holds_it_back),
        TEST(a_reader_of_a_fifo_without_a_writer),
        TEST(every_way_to_wait),
        TEST(names_of_strangers),
        TEST(many_processes_are_counted_and_some_told),
        TEST(one_busy_thread_of_many),
        TEST(others_have_none),
        TEST(the_answer_comes_in_time),
    };

    return harness_main(argc, argv, "autopsy", tests, sizeof tests / sizeof *tests);
}
