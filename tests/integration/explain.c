/* explain: what --explain tells of refused calls and of the network, that it changes no answer, and that nobody can make it a burden. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

/* The row of explain.LIST whose KEY is that text and, unless NULL, whose KEY2 is that one; fails where there is none. */
static const struct reader *row(const struct result *result, const char *list, const char *key, const char *text, const char *key2,
                                const char *text2)
{
    const struct reader *rows = result->record ? reader_at(result->record, text_format("explain.%s", list)) : NULL;

    CHECK(result, rows && rows->type == READER_ARRAY);
    for (const struct reader *one = rows->child; one; one = one->next) {
        const struct reader *value = reader_at(one, key), *value2 = key2 ? reader_at(one, key2) : NULL;
        if (value && value->text && !strcmp(value->text, text) && (!key2 || (value2 && value2->text && !strcmp(value2->text, text2))))
            return one;
    }
    harness_complain(result, text, __FILE__, __LINE__);
}

static const char *text_at(const struct reader *row, const char *key)
{
    const struct reader *value = reader_at(row, key);

    return value && value->type == READER_STRING ? value->text : "";
}

static double number_at(const struct reader *row, const char *key)
{
    const struct reader *value = reader_at(row, key);

    return value && value->type == READER_NUMBER ? value->number : -1;
}

static size_t rows_of(const struct result *result, const char *list)
{
    return reader_count(reader_at(result->record, text_format("explain.%s", list)));
}

/* ---- refused calls ---- */

static void refused_calls_are_named(void **state)
{
    const struct result *result = SH(HOW(.workspace = workspace_make()), "unshare -Ur true; unshare -Ur true; unshare -m true;"
                                     "mount -t tmpfs none /tmp; exec ./payload calls");
    const struct reader *one;

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "explain"));
    result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "sh", "-c",
                 "unshare -Ur true; unshare -Ur true; unshare -m true; mount -t tmpfs none /tmp; exec ./payload calls");
    CHECK_WELL(result);
    one = row(result, "refused", "syscall", "unshare", "detail", "CLONE_NEWUSER");
    CHECK(result, number_at(one, "count") == 2 && !strcmp(text_at(one, "process"), "unshare") && number_at(one, "pid") > 1);
    CHECK(result, !strcmp(text_at(one, "errno"), "EPERM") && strstr(text_at(one, "why"), "namespaces") && *text_at(one, "instead"));
    CHECK(result, reader_at(one, "harmless")->type == READER_BOOL && !reader_at(one, "harmless")->truth);
    one = row(result, "refused", "syscall", "unshare", "detail", "CLONE_NEWNS");
    CHECK(result, number_at(one, "count") == 1);
    one = row(result, "refused", "syscall", "mount", "process", "mount");
    CHECK(result, number_at(one, "count") >= 1 && !strcmp(text_at(one, "errno"), "EPERM"));
    one = row(result, "refused", "syscall", "ptrace", "process", "payload");
    CHECK(result, number_at(one, "count") == 1 && !strcmp(text_at(one, "errno"), "EPERM"));
    one = row(result, "refused", "syscall", "clone3", NULL, NULL);
    CHECK(result, reader_at(one, "harmless")->truth && !strcmp(text_at(one, "errno"), "ENOSYS"));
    row(result, "refused", "syscall", "syscall_1000", NULL, NULL);
    CHECK(result, record_number(result, "explain.others") == 0);
}

/* What is said of the filter itself, and of the gate's own probe, which is no call of the command's. */
static void a_quiet_command_has_nothing_to_explain(void **state)
{
    const struct result *plain = BIVY("--", "true"), *explained = BIVY("--explain", "--", "true");

    (void)state;
    CHECK_WELL(plain);
    CHECK_WELL(explained);
    CHECK(explained, rows_of(explained, "refused") == 0 && rows_of(explained, "network") == 0);
    CHECK(explained, record_number(explained, "explain.others") == 0 && record_number(explained, "explain.network_others") == 0);
    CHECK(explained, strcmp(record_text(plain, "isolation.seccomp_policy"), record_text(explained, "isolation.seccomp_policy")));
    CHECK(explained, record_number(explained, "isolation.seccomp_filters") == 1);
}

static void answers_are_the_same(void **state)
{
    static const char *const acts[] = {"calls", "families", "reach-oddly"};

    (void)state;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const char *workspace = workspace_make();
        const struct result *plain = RUN(HOW(.workspace = workspace), "--", "./payload", acts[i]),
                            *explained = RUN(HOW(.workspace = workspace), "--explain", "--", "./payload", acts[i]);
        CHECK_WELL(plain);
        CHECK_WELL(explained);
        CHECK(explained, plain->out_length > 0 && !strcmp(plain->out, explained->out));
    }
}

static void the_table_is_bounded_and_names_may_be_anything(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "refused-many");

    (void)state;
    CHECK_WELL(result); /* the harness reads the record by the letter of RFC 8259 */
    CHECK(result, rows_of(result, "refused") == 64 && record_number(result, "explain.others") == 36);
    row(result, "refused", "syscall", "syscall_2063", "process", "\n\x1b[31m\xef\xbf\xbd\"\\");
}

/* A listener of the command's would be asked instead of bivy's, and could let through what bivy refuses. */
static void nobody_else_listens(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "second-listener");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "listener EBUSY") && text_has_line(result->out, "filter worked"));
    CHECK(result, text_has_line(result->out, "unshare EPERM") && text_has_line(result->out, "unshare again ENOSYS"));
}

/* ---- the network ---- */

static void attempts_are_listed(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "reach", "192.0.2.1", "443", "connect", "192.0.2.1", "443",
            "connect", "2001:db8::1", "80", "connect", "203.0.113.9", "9999", "send", "127.0.0.1", "5432", "connect");
    const struct reader *one;

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "192.0.2.1 ENETUNREACH"));
    CHECK(result, rows_of(result, "network") == 4 && record_number(result, "explain.network_others") == 0);
    one = row(result, "network", "address", "192.0.2.1", NULL, NULL);
    CHECK(result, number_at(one, "port") == 443 && number_at(one, "count") == 2 && !strcmp(text_at(one, "call"), "connect"));
    CHECK(result, !strcmp(text_at(one, "process"), "payload") && number_at(one, "pid") > 1 && reader_at(one, "name")->type == READER_NULL);
    CHECK(result, number_at(row(result, "network", "address", "2001:db8::1", NULL, NULL), "port") == 80);
    CHECK(result, number_at(row(result, "network", "address", "203.0.113.9", "call", "sendto"), "port") == 9999);
    row(result, "network", "address", "127.0.0.1", NULL, NULL);
    CHECK(result, rows_of(result, "refused") == 0); /* they are allowed; the network is what is not there */
}

/* The C library of Alpine asks for the name in a datagram with an address. It would try for five seconds; the rootfs says one. */
static void names_asked_for_are_listed(void **state)
{
    const struct result *result = BIVY("--explain", "--timeout", "4s", "--", "wget", "-q", "http://bivy.example.org/");
    const struct reader *one;

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    one = row(result, "network", "name", "bivy.example.org", NULL, NULL);
    CHECK(result, number_at(one, "port") == 53 && number_at(one, "count") >= 1 && !strcmp(text_at(one, "process"), "wget"));
}

/* That of others connects to the name server before, which fails, so that the question is never sent. */
static void names_that_could_not_be_asked_for_are_listed(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "ask-connected", "one.example.org",
                                      "two.example.org", "two.example.org");
    const struct reader *one;

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "one.example.org -1"));
    one = row(result, "network", "name", "one.example.org", NULL, NULL);
    CHECK(result, number_at(one, "port") == 53 && number_at(one, "count") == 1 && !strcmp(text_at(one, "call"), "connect"));
    CHECK(result, number_at(row(result, "network", "name", "two.example.org", NULL, NULL), "count") == 2);
    CHECK(result, rows_of(result, "network") == 2);
    /* What the stack points to is looked at for thirty milliseconds, which may be little on a slow machine. */
    AWAIT(reader_at((result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "ask-pointed"))->record,
                    "explain.network.0.name")->type == READER_STRING);
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "asked ENETUNREACH for right") && rows_of(result, "network") == 1);
    row(result, "network", "name", "right.example", "address", "192.0.2.1");
}

static void odd_stacks_do_no_harm(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "ask-oddly");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "asked") && record_number(result, "explain.network_others") == 0);
#if defined __x86_64__
    CHECK(result, rows_of(result, "network") == 2);
    CHECK(result, number_at(row(result, "network", "name", "right.example", NULL, NULL), "count") == 1);
    CHECK(result, number_at(row(result, "network", "address", "192.0.2.1", NULL, NULL), "count") == 110);
#endif
}

static void with_loopback_only_what_leaves_is_listed(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--network", "loopback", "--", "./payload", "reach",
                                      "127.0.0.1", "5432", "connect", "::1", "80", "connect", "192.0.2.1", "443", "connect");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "127.0.0.1 ECONNREFUSED"));
    CHECK(result, !strcmp(record_text(result, "network.mode"), "loopback"));
    CHECK(result, rows_of(result, "network") == 1);
    row(result, "network", "address", "192.0.2.1", NULL, NULL);
}

static void odd_addresses_do_no_harm(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--explain", "--", "./payload", "reach-oddly");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "nowhere EFAULT") && text_has_line(result->out, "short EINVAL"));
    CHECK(result, text_has_line(result->out, "unix worked") && text_has_line(result->out, "sent worked"));
    CHECK(result, record_number(result, "explain.network_others") >= 2); /* null and nowhere cannot be read */
    CHECK(result, rows_of(result, "network") == 1);
}

static void a_failed_command_tells_what_had_no_route(void **state)
{
    const char *workspace = workspace_make();
    const struct result *result = SH(HOW(.workspace = workspace), "./payload reach 192.0.2.1 443 connect 192.0.2.1 1 send; exit 3");

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    CHECK(result, record_number(result, "network.unreachable") == 2 && !strcmp(record_text(result, "network.mode"), "none"));
    result = SH(HOW(0), "exit 3");
    CHECK(result, record_number(result, "network.unreachable") == 0);
    result = SH(HOW(.workspace = workspace), "./payload reach 192.0.2.1 443 connect");
    CHECK_WELL(result);
    CHECK(result, record_null(result, "network.unreachable")); /* nobody asks */
    result = RUN(HOW(.workspace = workspace), "--timeout", "1s", "--kill-after", "0s", "--", "./payload", "stubborn");
    CHECK(result, record_null(result, "network.unreachable")); /* pid 1 was killed with the rest */
}

/* Bivy and all that it starts: a call is then handed over before its caller has gone to sleep, as far as the kernel lets itself be interrupted there
 * (that of the virtual machine does). */
static void on_one_processor(void *unused)
{
    cpu_set_t all, one;

    (void)unused;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof all, &all))
        _exit(99);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        _exit(99);
}

static void names_are_found_also_where_there_is_one_processor(void **state)
{
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example", "e.example", "f.example"};
    const struct result *result = RUN(HOW(.workspace = workspace_make(), .prepare = on_one_processor), "--explain", "--", "./payload", "ask-connected",
                                      names[0], names[1], names[2], names[3], names[4], names[5]);

    (void)state;
    CHECK_WELL(result);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        row(result, "network", "name", names[i], NULL, NULL);
    CHECK(result, rows_of(result, "network") == sizeof names / sizeof *names);
}

/* ---- floods ---- */

/* Seconds of processor time of that process itself; -1 once it is gone. */
static double processor_time(pid_t pid)
{
    const char *text = file_read(text_format("/proc/%d/stat", (int)pid), NULL), *at = text ? strrchr(text, ')') : NULL;
    unsigned long user, system;

    if (!at || at[1] == '\0' || at[2] == 'Z' ||
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Four processes that do nothing but make refused calls, far more than there is time for. */
static void a_flood_is_held_back(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--explain", "--cpus", "2", "--timeout", "2s", "--kill-after", "0s",
                                    "--", "./payload", "refused-flood", "100000");
    const struct result *result;
    double used = 0, one;

    (void)state;
    session_expect(session, "ready\n");
    while ((one = processor_time(session->pid)) >= 0) {
        used = one;
        nap();
    }
    result = session_finish(session);
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds < 2 + 2);
    double count = number_at(row(result, "refused", "syscall", "unshare", NULL, NULL), "count");
    print_message("# %.0f calls answered, %.2f s of processor time in bivy\n", count, used);
    CHECK(result, count > 100 && count <= 1000 + 2000 * result->seconds + 400);
    /* The first thousand are free. What comes after them may take a twentieth of the time, and about as much again between the answers. */
    if (count > 1000)
        CHECK(result, used * (count - 1000) / count < 0.2 * result->seconds);
}

static void what_is_killed_in_a_flood_leaves_nothing(void **state)
{
    struct session *session =
        START(HOW(.workspace = workspace_make()), "--explain", "--cpus", "2", "--", "./payload", "refused-flood", "100000000");
    struct pollfd fds[8];
    pid_t pids[8];
    size_t count;

    (void)state;
    session_expect(session, "ready\n");
    AWAIT(leaf_pids(leaf_only(), pids, 8) == 5); /* pid 1 and four more */
    count = leaf_pids(leaf_only(), pids, 8);
    for (size_t i = 0; i < count; i++) {
        fds[i] = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pids[i], 0), .events = POLLIN};
        assert_true(fds[i].fd >= 0);
    }
    session_kill(session, SIGKILL);
    for (size_t i = 0; i < count; i++) {
        if (poll(&fds[i], 1, GUARD_SECONDS * 1000) != 1)
            harness_fail("a process of the sandbox outlived bivy");
        close(fds[i].fd);
    }
    assert_true(session_finish(session)->killed);
    const struct result *clean = session_finish(session_start(HOW(.verb = "clean"), (const char *const[]){NULL}));
    CHECK(clean, clean->status == 0 && leaf_count() == 0);
}

/* The listener travels as a descriptor, of which a user may have only so many under way: here another sandbox of his has them all. */
static void a_neighbour_cannot_take_the_way(void **state)
{
    const char *workspace = workspace_make();
    struct session *session = START(HOW(.workspace = workspace), "--", "./payload", "in-flight");

    (void)state;
    session_expect(session, "ready\n");
    CHECK_WELL(RUN(HOW(.workspace = workspace), "--explain", "--", "sh", "-c", "test $(ulimit -n) = 1024 && test $(ulimit -Hn) = 1024"));
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* A signal of the caller's, an ordinary end and the limits come through while calls wait for their answers. */
static void a_flood_can_be_cancelled(void **state)
{
    struct session *session =
        START(HOW(.workspace = workspace_make()), "--explain", "--cpus", "2", "--", "./payload", "refused-flood", "100000000");
    const struct result *result;

    (void)state;
    session_expect(session, "ready\n");
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(refused_calls_are_named),
        TEST(a_quiet_command_has_nothing_to_explain),
        TEST(answers_are_the_same),
        TEST(the_table_is_bounded_and_names_may_be_anything),
        TEST(nobody_else_listens),
        TEST(attempts_are_listed),
        TEST(names_asked_for_are_listed),
        TEST(names_that_could_not_be_asked_for_are_listed),
        TEST(names_are_found_also_where_there_is_one_processor),
        TEST(odd_stacks_do_no_harm),
        TEST(with_loopback_only_what_leaves_is_listed),
        TEST(odd_addresses_do_no_harm),
        TEST(a_failed_command_tells_what_had_no_route),
        TEST(a_flood_is_held_back),
        TEST(what_is_killed_in_a_flood_leaves_nothing),
        TEST(a_flood_can_be_cancelled),
        TEST(a_neighbour_cannot_take_the_way),
    };

    return harness_main(argc, argv, "explain", tests, sizeof tests / sizeof *tests);
}
