/* explain: what is answered to the filter's questions, the bounded tables, and what is said of them, hostile names included. */
#include "unit.h"

#include <sched.h>
#include <sys/syscall.h>

#include "../fuzz/strict_json.h"
#include "explain.h"
#include "hints.h"
#include "outcome.h"
#include "seccomp_filter.h"

static const uint64_t none[6];

static int answer(int number, const uint64_t arguments[6])
{
    const struct seccomp_answer *rule;

    return explain_answer(number, arguments, &rule);
}

/* ---- answers ---- */

/* Nothing that a rule does not allow is let through, and of what is allowed only what the program watches. */
static void only_the_watched_go_on(void **state)
{
    (void)state;
    for (int number = -5; number < 1100; number++)
        for (uint64_t word = 0; word < 64; word++) {
            uint64_t arguments[6] = {word, word, word, word, word, word};
            int error = answer(number, arguments);
            assert_int_equal(error == 0, number == SYS_connect || number == SYS_sendto);
            assert_true(error >= 0 && error < 4096);
            assert_int_equal(answer((int)((unsigned)number | 0x40000000u), arguments), ENOSYS);
        }
}

static void answers(void **state)
{
    const struct seccomp_answer *rule;

    (void)state;
    assert_int_equal(explain_answer(SYS_mount, none, &rule), EPERM);
    assert_string_equal(rule->name, "mount");
    assert_int_equal(answer(SYS_splice, none), EINVAL);
    assert_int_equal(answer(SYS_clone3, none), ENOSYS);
    assert_int_equal(answer(SYS_clone, (const uint64_t[6]){CLONE_NEWUSER}), EPERM);
    assert_int_equal(answer(SYS_socket, (const uint64_t[6]){17, 3, 0}), EAFNOSUPPORT);
    assert_int_equal(answer(SYS_socket, (const uint64_t[6]){2, 3, 1}), EPERM);
    assert_int_equal(answer(SYS_mmap, (const uint64_t[6]){0, 0, 0, 0x40000}), ENOMEM);
    assert_int_equal(explain_answer(1000, none, &rule), ENOSYS);
    assert_null(rule);
    assert_int_equal(answer(SYS_getpid, none), ENOSYS); /* no question of ours */
    assert_true(explain_sends(SYS_sendto) && !explain_sends(SYS_connect));
}

/* ---- tables ---- */

static struct explain_who who(int thread, const char *name)
{
    struct explain_who made = {.thread = thread, .pid = thread};

    snprintf(made.process, sizeof made.process, "%s", name);
    return made;
}

static void refuse(struct explain *explain, int number, const uint64_t arguments[6], int thread, const char *name)
{
    struct explain_who made = who(thread, name);

    if (!explain_again(explain, number, arguments, thread))
        explain_refused(explain, number, arguments, &made);
}

static void refusals_are_counted(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);

    (void)state;
    for (int i = 0; i < 3; i++)
        refuse(explain, SYS_mount, none, 7, "a");
    refuse(explain, SYS_mount, none, 8, "a"); /* another process of that name: the same row */
    refuse(explain, SYS_mount, none, 9, "b");
    refuse(explain, SYS_unshare, (const uint64_t[6]){CLONE_NEWUSER}, 7, "a");
    refuse(explain, SYS_unshare, (const uint64_t[6]){CLONE_NEWNET | CLONE_NEWUSER}, 7, "a");
    assert_int_equal(explain->refusal_count, 4);
    assert_int_equal(explain->refusals[0].count, 4);
    assert_int_equal(explain->refusals[0].who.pid, 7);
    assert_int_equal(explain->refusals[1].count, 1);
    assert_string_equal(explain->refusals[2].detail, "CLONE_NEWUSER");
    assert_string_equal(explain->refusals[3].detail, "CLONE_NEWUSER|CLONE_NEWNET");
    free(explain);
}

static void tables_are_bounded(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);
    struct address to = {.text = "192.0.2.1"};
    struct explain_who made = who(1, "x");

    (void)state;
    for (int i = 0; i < 1000; i++) {
        refuse(explain, 2000 + i, none, 1, "x");
        to.port = (uint16_t)i;
        explain_attempted(explain, false, &to, "", &made);
    }
    assert_int_equal(explain->refusal_count, EXPLAIN_REFUSALS);
    assert_int_equal(explain->refusals_beyond, 1000 - EXPLAIN_REFUSALS);
    assert_int_equal(explain->attempt_count, EXPLAIN_ATTEMPTS);
    assert_int_equal(explain->attempts_beyond, 1000 - EXPLAIN_ATTEMPTS);
    free(explain);
}

static void attempts_are_counted(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);
    struct address server = {.text = "127.0.0.1", .port = 53, .loopback = true}, there = {.text = "192.0.2.1", .port = 443};
    struct explain_who one = who(1, "wget"), other = who(2, "curl");

    (void)state;
    explain_attempted(explain, true, &server, "example.org", &one);
    explain_attempted(explain, true, &server, "example.org", &one);
    explain_attempted(explain, true, &server, "example.com", &one);
    explain_attempted(explain, false, &there, "", &one);
    explain_attempted(explain, true, &there, "", &one);
    explain_attempted(explain, false, &there, "", &other);
    assert_int_equal(explain->attempt_count, 5);
    assert_int_equal(explain->attempts[0].count, 2);
    explain->loopback = true; /* then the sandbox itself is nobody to tell of; who it asked its name server for still is */
    server.port = 80;
    explain_attempted(explain, false, &server, "", &one);
    assert_int_equal(explain->attempt_count, 5);
    explain_attempted(explain, true, &server, "example.net", &one);
    assert_int_equal(explain->attempt_count, 6);
    free(explain);
}

static void details(void **state)
{
    static const struct {
        int number;
        uint64_t arguments[6];
        const char *detail;
    } rows[] = {
        {SYS_clone, {CLONE_NEWUSER | CLONE_NEWTIME}, "CLONE_NEWUSER"},
        {SYS_unshare, {CLONE_NEWTIME}, "CLONE_NEWTIME"},
        {SYS_unshare, {0}, ""},
        {SYS_unshare, {UINT64_MAX}, "CLONE_NEWUSER|CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWNET"},
        {SYS_setns, {3, CLONE_NEWNET}, "CLONE_NEWNET"},
        {SYS_socket, {16, 3, 12}, "AF_NETLINK, SOCK_RAW, protocol 12"},
        {SYS_socket, {17, 0x80003, 768}, "AF_PACKET, SOCK_RAW, protocol 768"},
        {SYS_socket, {0xffffffff, 0xff, 0xffffffff}, "family 4294967295, another t"},
        {SYS_socket, {2, 1, 262}, "AF_INET, SOCK_STREAM, IPPROTO_MPTCP"},
        {SYS_socket, {10, 0x80001, 132}, "AF_INET6, SOCK_STREAM, IPPROTO_SCTP"},
        {SYS_socket, {16, 3, 1}, "AF_NETLINK, SOCK_RAW, protocol 1"},
        {SYS_ptrace, {0}, "PTRACE_TRACEME"},
        {SYS_ptrace, {99}, "request 99"},
        {SYS_prctl, {35}, "option 35"},
        {SYS_personality, {0x40000}, "0x40000"},
        {SYS_mmap, {0, 0, 0, 0x40000}, "MAP_HUGETLB"},
        {SYS_renameat2, {0, 0, 0, 0, 2}, "RENAME_EXCHANGE"},
        {SYS_ioctl, {0, 0x5412}, "TIOCSTI"},
        {SYS_prlimit64, {1}, "pid 1"},
        {SYS_mount, {1, 2, 3, 4, 5}, ""},
        {1000, {1, 2, 3, 4, 5, 6}, ""},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct explain *explain = calloc(1, sizeof *explain);
        refuse(explain, rows[i].number, rows[i].arguments, 1, "x");
        if (strncmp(explain->refusals[0].detail, rows[i].detail, strlen(rows[i].detail)) ||
            (!rows[i].detail[0] && explain->refusals[0].detail[0]))
            fail_msg("row %zu: \"%s\", not \"%s\"", i, explain->refusals[0].detail, rows[i].detail);
        free(explain);
    }
}

/* ---- what is said ---- */

static const char *hint(struct explain *explain)
{
    static char text[512];
    char *exact = malloc(400);
    bool some = explain_hint_network(explain, exact, 400) || explain_hint_refused(explain, 0, exact, 400);

    snprintf(text, sizeof text, "%s", some ? exact : "");
    free(exact);
    return text;
}

static void hints(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);
    struct address server = {.text = "127.0.0.1", .port = 53, .loopback = true}, six = {.text = "2001:db8::1", .port = 443};
    struct explain_who python = who(1, "python3"), evil = who(2, "\x1b[31m\n\xff");

    (void)state;
    assert_string_equal(hint(NULL), "");
    assert_string_equal(hint(explain), "");
    refuse(explain, SYS_clone3, none, 1, "x"); /* harmless: nothing to say */
    refuse(explain, SYS_socket, (const uint64_t[6]){2, 1, 262}, 1, "go");
    refuse(explain, SYS_socket, (const uint64_t[6]){10, 0x80801, 262}, 1, "go");
    refuse(explain, SYS_prctl, (const uint64_t[6]){62}, 1, "x");
    assert_string_equal(hint(explain), "");
    refuse(explain, SYS_mount, none, 2, evil.process);
    assert_string_equal(hint(explain), "?[31m?? called mount, which the sandbox refuses (the mount list is the plan's); instead: "
                                       "work in /workspace or /tmp; what is wanted at another place must be in the rootfs");
    refuse(explain, SYS_unshare, (const uint64_t[6]){CLONE_NEWUSER}, 1, "x");
    assert_non_null(strstr(hint(explain), "refuses (the mount list is the plan's); instead: "));
    char second[400];
    assert_true(explain_hint_refused(explain, 1, second, sizeof second) && strstr(second, "x called unshare (CLONE_NEWUSER), which"));
    assert_false(explain_hint_refused(explain, 2, second, sizeof second));
    explain_attempted(explain, false, &server, "", &evil);
    assert_string_equal(hint(explain), "?[31m?? tried to ask a name server (127.0.0.1) for a host; the network is off by design: "
                                       "put what it needs into the rootfs or the workspace");
    explain_attempted(explain, false, &six, "", &python);
    assert_string_equal(hint(explain), "python3 tried to reach [2001:db8::1]:443; the network is off by design: "
                                       "put what it needs into the rootfs or the workspace");
    explain_attempted(explain, true, &server, "pypi.org", &python);
    assert_string_equal(hint(explain), "python3 tried to reach pypi.org (one of 2: explain.network in the record); the network is off by "
                                       "design: put what it needs into the rootfs or the workspace");
    free(explain);
    explain = calloc(1, sizeof *explain);
    explain_attempted(explain, true, &server, "pypi.org", &python);
    explain_attempted(explain, true, &six, "pypi.org", &python); /* asked of another server: the same goal */
    explain_attempted(explain, false, &server, "", &evil);       /* and a name server is none */
    assert_string_equal(hint(explain), "python3 tried to reach pypi.org; the network is off by design: "
                                       "put what it needs into the rootfs or the workspace");
    server.port = 80;
    explain_attempted(explain, false, &server, "", &python);
    explain_attempted(explain, false, &server, "", &evil);
    explain_attempted(explain, false, &six, "", &python);
    assert_non_null(strstr(hint(explain), "python3 tried to reach pypi.org (one of 3: explain.network in the record); "));
    free(explain);
    explain = calloc(1, sizeof *explain);
    server.port = 5432;
    explain_attempted(explain, false, &server, "", &python);
    assert_non_null(strstr(hint(explain), "port 5432 of the sandbox itself, whose loopback is down: --network loopback"));
    free(explain);
}

/* What is said of any refusal, with its arguments and another row beside it, is said to the end. */
static void hints_have_room(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);
    struct explain_who made = who(1, "fifteen letters");
    char text[1024];

    (void)state;
    for (size_t i = 0; i < seccomp_filter_answers_len; i++) {
        const struct seccomp_answer *rule = &seccomp_filter_answers[i];
        uint64_t arguments[6] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

        for (size_t c = 0; c < 3 && rule->conditions[c].mask; c++)
            arguments[rule->conditions[c].argument] = rule->conditions[c].value;
        if (rule->answer == 0)
            continue;
        explain->refusal_count = 0;
        explain_refused(explain, rule->number, arguments, &made);
        explain_refused(explain, SYS_mount, none, &made);
        explain_refused(explain, SYS_umount2, none, &made);
        explain_refused(explain, SYS_chroot, none, &made);
        explain_refused(explain, SYS_setns, none, &made);
        size_t number = 0;
        for (; explain_hint_refused(explain, number, text, sizeof text); number++) {
            if (strlen(text) >= sizeof(((struct hint *)NULL)->text))
                fail_msg("%s: %zu characters: %s", rule->name, strlen(text), text);
            assert_true(!strstr(text, "explain.refused") == (number < 2)); /* the third says that there are more */
        }
        assert_int_equal(number, 3);
    }
    free(explain);
}

static bool strict(const struct explain *explain)
{
    struct outcome outcome = {.explain = (struct explain *)(uintptr_t)explain};
    struct json json = {0};
    size_t where;
    bool good;

    json_open(&json, NULL, '{');
    explain_write(&json, outcome.explain);
    json_close(&json, '}');
    good = !json.failed && strict_json(json.text, json.length, &where);
    json_release(&json);
    return good;
}

/* Every rule of the policy, under names that hold every byte. */
static void records_are_sound(void **state)
{
    struct explain *explain = calloc(1, sizeof *explain);

    (void)state;
    assert_true(strict(NULL));
    assert_true(strict(explain));
    for (size_t i = 0; i < seccomp_filter_answers_len; i++) {
        const struct seccomp_answer *rule = &seccomp_filter_answers[i];
        uint64_t arguments[6] = {0};
        struct explain_who made = {.thread = 1};

        for (size_t c = 0; c < 3 && rule->conditions[c].mask; c++)
            arguments[rule->conditions[c].argument] = rule->conditions[c].value;
        memset(made.process, (int)(i % 255) + 1, sizeof made.process); /* not even terminated */
        if (rule->answer == 0)
            continue;
        explain->refusal_count = 0;
        explain_refused(explain, rule->number, arguments, &made);
        assert_int_equal(explain->refusal_count, 1);
        assert_non_null(explain->refusals[0].rule);
        assert_string_not_equal(errno_name(rule->answer), "E?");
        assert_true(strict(explain));
    }
    free(explain);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_watched_go_on), cmocka_unit_test(answers), cmocka_unit_test(refusals_are_counted),
        cmocka_unit_test(tables_are_bounded),     cmocka_unit_test(attempts_are_counted), cmocka_unit_test(details),
        cmocka_unit_test(hints),                  cmocka_unit_test(records_are_sound),    cmocka_unit_test(hints_have_room),
    };

    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
