/* live: sandboxes seen, ended, entered and kept from outside: bivy ps, kill, enter, run --keep-on-fail. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define LIVE(verb_name, ...) RUN(HOW(.verb = verb_name), "--cgroup-parent", harness.parent, __VA_ARGS__)
#define BARE(verb_name, ...) RUN(HOW(.verb = verb_name), __VA_ARGS__) /* without --cgroup-parent */
#define ENTER(id, ...) LIVE("enter", (id), "--", __VA_ARGS__)

/* Waits for the end of a session without a record, which may be either. */
#define CHECK_STATUS(session, one, other)                                     \
    do {                                                                      \
        const struct result *ended_ = session_finish(session);                \
        CHECK(ended_, ended_->status == (one) || ended_->status == (other)); \
    } while (0)

/* ---- looking ---- */

static const struct reader *list(void)
{
    const struct result *result = LIVE("ps", "--json");
    const char *error = NULL;
    struct reader *tree;

    CHECK(result, result->status == 0 && !*result->err);
    tree = reader_parse(result->out, result->out_length, &error);
    if (!tree)
        harness_fail("bivy ps --json gives no JSON: %s\n%s", error, result->out);
    keep_tree(tree);
    return tree;
}

static const char *text_at(const struct reader *tree, const char *path)
{
    const struct reader *value = reader_at(tree, path);

    if (!value || value->type != READER_STRING)
        harness_fail("no text at %s", path);
    return value->text;
}

static double number_at(const struct reader *tree, const char *path)
{
    const struct reader *value = reader_at(tree, path);

    if (!value || value->type != READER_NUMBER)
        harness_fail("no number at %s", path);
    return value->number;
}

static bool state_is(const char *state)
{
    const struct reader *tree = list();

    return reader_at(tree, "sandboxes.0.state") && !strcmp(text_at(tree, "sandboxes.0.state"), state);
}

/* The id of the one leaf there is. */
static const char *only_id(void)
{
    return leaf_only() + strlen("bivy-");
}

/* A command that runs until it is ended; the session is given once it does. */
static struct session *start_waiting(const struct how *how, const char *script)
{
    struct session *session = START(how, "--", "sh", "-c", text_format("echo up; %s; sleep 1000", script ? script : ":"));

    session_expect(session, "up\n");
    return session;
}

/* What a kept sandbox consists of comes to us, the subreaper, when bivy has returned. */
struct kept {
    pid_t keeper, init;
    const char *id;
};

static struct kept find_kept(void)
{
    const struct reader *tree = list();

    if (reader_count(reader_at(tree, "sandboxes")) != 1 || strcmp(text_at(tree, "sandboxes.0.state"), "kept"))
        harness_fail("not one kept sandbox");
    return (struct kept){.keeper = (pid_t)number_at(tree, "sandboxes.0.supervisor"), .init = (pid_t)number_at(tree, "sandboxes.0.pid"),
                         .id = text_at(tree, "sandboxes.0.id")};
}

static bool reaped(pid_t *pid)
{
    if (*pid > 0 && waitpid(*pid, NULL, WNOHANG) == *pid)
        *pid = 0;
    return *pid == 0;
}

static void await_gone(struct kept *kept)
{
    AWAIT(reaped(&kept->init));
    AWAIT(reaped(&kept->keeper));
}

static void end_kept(void)
{
    struct kept kept = find_kept();
    const struct result *result = LIVE("kill", kept.id);

    CHECK(result, result->status == 0 && leaf_count() == 0);
    await_gone(&kept);
}

/* ---- ps ---- */

static void ps_shows_a_live_run(void **state)
{
    const char *workspace = workspace_make();
    static const char hostile[] = "a\033[31mb\nc\"\\\xff\xc2\x9b";
    struct session *session = START(HOW(.workspace = workspace), "--memory", "64M", "--pids", "20", "--cpus", "0.25", "--", "sh",
                                    "-c", "echo up; sleep 1000; :", hostile);
    const struct reader *tree;
    const struct result *result;
    pid_t pids[8];
    bool in_leaf = false;

    (void)state;
    session_expect(session, "up\n");
    AWAIT(number_at(tree = list(), "sandboxes.0.pids.used") == 3 && /* the sleep too */
          !strcmp(text_at(tree, "sandboxes.0.state"), "running"));  /* and pid 1 has come round to saying so */
    assert_int_equal(reader_count(reader_at(tree, "sandboxes")), 1);
    assert_string_equal(text_at(tree, "cgroup_parent"), harness.parent);
    assert_string_equal(text_at(tree, "sandboxes.0.id"), only_id());
    assert_string_equal(text_at(tree, "sandboxes.0.state"), "running");
    assert_string_equal(text_at(tree, "sandboxes.0.workspace"), workspace);
    assert_true(number_at(tree, "sandboxes.0.uid") == (harness.user ? USER_ID : 0));
    assert_true(number_at(tree, "sandboxes.0.host_uid") == harness.uid);
    assert_true(number_at(tree, "sandboxes.0.supervisor") == session->pid);
    assert_true(number_at(tree, "sandboxes.0.age_seconds") < GUARD_SECONDS);
    assert_string_equal(text_at(tree, "sandboxes.0.command.2"), "echo up; sleep 1000; :");
    assert_string_equal(text_at(tree, "sandboxes.0.command.3"), "a\033[31mb\nc\"\\\xef\xbf\xbd\xc2\x9b");
    assert_true(number_at(tree, "sandboxes.0.memory.limit_bytes") == 64 << 20);
    assert_in_range((size_t)number_at(tree, "sandboxes.0.memory.used_bytes"), 4096, 64 << 20);
    assert_true(number_at(tree, "sandboxes.0.pids.limit") == 20 && number_at(tree, "sandboxes.0.pids.used") == 3);
    assert_true(number_at(tree, "sandboxes.0.cpu.limit") == 0.25 && number_at(tree, "sandboxes.0.cpu.used_ms") > 0);
    for (size_t i = 0, count = leaf_pids(leaf_only(), pids, 8); i < count; i++)
        in_leaf = in_leaf || number_at(tree, "sandboxes.0.pid") == pids[i];
    assert_true(in_leaf);

    result = LIVE("ps", "--cgroup-parent", harness.parent);
    CHECK(result, result->status == 0 && strstr(result->out, only_id()) && strstr(result->out, workspace));
    CHECK(result, strstr(result->out, "a\\x1b[31mb\\x0ac\"\\\\xff\\xc2") && !strchr(result->out, '\033'));
    CHECK(result, strchr(strchr(result->out, '\n') + 1, '\n') == result->out + result->out_length - 1); /* two lines */

    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    assert_int_equal(reader_count(reader_at(list(), "sandboxes")), 0);
}

/* Thousands of looks disturb nobody: no run fails because a leaf was being looked at, or its lock tried. */
static void looking_disturbs_no_run(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct session *run = START(HOW(0), "--", "true"), *ps[3], *clean;
        for (int k = 0; k < 3; k++)
            ps[k] = session_start(HOW(.verb = "ps"), WORDS("--cgroup-parent", harness.parent));
        clean = session_start(HOW(.verb = "clean"), (const char *const[]){NULL});
        CHECK_WELL(session_finish(run));
        for (int k = 0; k < 3; k++)
            CHECK_STATUS(ps[k], 0, 0);
        CHECK_STATUS(clean, 0, 0);
    }
}

static void what_ps_writes_follows_its_schema(void **state)
{
    struct session *session = start_waiting(HOW(.workspace = workspace_make()), NULL);
    const struct result *result = LIVE("ps", "--json");
    const char *path = path_join(harness.tmp, "ps.json");
    char *answer;

    (void)state;
    file_write(path, text_format("%zu\n%s", result->out_length, result->out));
    assert_int_equal(0, system(text_format("python3 %s/tests/integration/validate.py %s/docs/ps.schema.json <%s >%s/answer", TEST_SOURCE,
                                           TEST_SOURCE, path, harness.tmp)));
    answer = file_read(path_join(harness.tmp, "answer"), NULL);
    assert_string_equal(answer, "ready\nok\n");
    session_kill(session, SIGTERM);
    session_finish(session);
}

/* ---- kill ---- */

static void kill_ends_a_run_as_a_timeout_would(void **state)
{
    struct session *session = start_waiting(HOW(0), "trap 'echo got; exit 9' TERM; while :; do sleep 0.01; done");
    const char *id = only_id();
    const struct result *result = LIVE("kill", id);

    (void)state;
    CHECK(result, result->status == 0 && strstr(result->out, id));
    assert_int_equal(leaf_count(), 0); /* it has waited */
    result = session_finish(session);
    CHECK(result, !strcmp(record_text(result, "outcome"), "cancelled") && strstr(result->out, "got\n"));
    CHECK(result, record_number(result, "exit_code") == 9);

    session = START(HOW(.workspace = workspace_make()), "--kill-after", "100ms", "--", "./payload", "stubborn");
    AWAIT(leaf_count() && state_is("running"));
    result = LIVE("kill", only_id());
    CHECK(result, result->status == 0 && leaf_count() == 0);
    result = session_finish(session);
    CHECK(result, !strcmp(record_text(result, "outcome"), "cancelled"));
}

/* Ctrl-Z leaves it like that: a signal alone would wait until it is continued. */
static void kill_ends_a_run_that_was_stopped(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL);
    const struct result *result;

    (void)state;
    session_kill(session, SIGSTOP);
    result = LIVE("kill", only_id());
    CHECK(result, result->status == 0 && leaf_count() == 0);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

#ifndef TEST_SANITIZED /* the leak sanitizer does not work in a traced process */
/* SIGCONT takes a SIGSTOP back that is under way: by ptrace(2), whose sender would wait for it for ever. */
static void kill_tells_nobody_to_go_on_who_goes_on(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL);
    const char *trace = bivy_traced("-e trace=pidfd_send_signal"), *text;
    const struct result *result = LIVE("kill", only_id());

    (void)state;
    CHECK(result, result->status == 0);
    text = file_read(trace, NULL);
    assert_non_null(text);
    assert_true(strstr(text, "SIGTERM") && !strstr(text, "SIGCONT"));
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}
#endif

static bool lists(const struct result *result, const char *id)
{
    CHECK(result, result->status == 0);
    return strstr(result->out, id) != NULL;
}

/* Without --cgroup-parent, from a cgroup that has nothing to do with the sandbox's: whoever looks need not know where it was run. */
static void sandboxes_are_found_wherever_they_are(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL);
    const char *id = only_id(), *elsewhere = text_format("%s%s/elsewhere", harness.mount[CGROUP_V2], harness.parent),
               *twin = text_format("%s/bivy-%s", elsewhere, id);
    const struct result *result;

    (void)state;
    assert_true(lists(BARE("ps", "--json"), id));
    assert_true(lists(LIVE("ps", "--json"), id));
    assert_int_equal(0, mkdir(elsewhere, 0755));
    assert_false(lists(BARE("ps", "--cgroup-parent", text_format("%s/elsewhere", harness.parent)), id));
    result = BARE("kill", "--cgroup-parent", text_format("%s/elsewhere", harness.parent), id);
    CHECK(result, result->status == 1 && strstr(result->err, "without --cgroup-parent"));
    result = BARE("enter", id, "--", "echo", "in");
    CHECK(result, result->status == 0 && !strcmp(result->out, "in\n"));
    /* Somebody's directory of that name: not another user's is meant, and of two that could be none. */
    assert_int_equal(0, mkdir(twin, 0700));
    assert_int_equal(0, chown(twin, OWNER_ID, OWNER_ID));
    result = BARE("enter", id, "--", "echo", "in");
    CHECK(result, result->status == 0 && !strcmp(result->out, "in\n"));
    assert_int_equal(0, chown(twin, harness.user ? USER_ID : 0, harness.user ? USER_ID : 0));
    result = BARE("kill", id);
    CHECK(result, result->status == 125 && strstr(result->err, "two sandboxes") && strstr(result->err, "/elsewhere"));
    assert_int_equal(0, rmdir(twin));
    assert_int_equal(0, rmdir(elsewhere));
    result = BARE("kill", id);
    CHECK(result, result->status == 0);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    result = BARE("kill", id);
    CHECK(result, result->status == 1 && strstr(result->err, "there is no sandbox"));
}

static void refuse_both(const char *id, int status, const char *said)
{
    const struct result *result = LIVE("kill", id);

    CHECK(result, result->status == status && strstr(result->err, said) && !*result->out);
    result = ENTER(id, "echo", "in");
    CHECK(result, result->status == status && strstr(result->err, said) && !*result->out);
}

static void ids_that_are_none_are_refused(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL);
    const char *id = only_id();

    (void)state;
    refuse_both("../..", 125, "is not a sandbox's id");
    refuse_both(".", 125, "is not a sandbox's id");
    refuse_both(text_format("%s/", id), 125, "is not a sandbox's id");
    refuse_both(text_format("../%s", leaf_only()), 125, "is not a sandbox's id");
    refuse_both(text_format("%sa", id), 125, "is not a sandbox's id");
    refuse_both("LLLLLLLLLLLL", 125, "is not a sandbox's id");
    refuse_both("000000000000", 1, "there is no sandbox");
    session_kill(session, SIGTERM);
    session_finish(session);
    refuse_both(id, 1, "there is no sandbox"); /* it was there */
}

/* A leaf whose bivy is gone, younger and older than a sweep would wait for. */
static void a_stale_one_is_left_to_clean(void **state)
{
    char *id = keep(strdup("0123456789ab"));
    const struct result *result;

    (void)state;
    for (int h = 0; h < CGROUP_COUNT; h++)
        if (h == CGROUP_V2 || *harness.mount[h]) {
            char *leaf = text_format("%s%s/bivy-%s", harness.mount[h], harness.parent, id);
            assert_int_equal(0, mkdir(leaf, 0700));
            if (harness.user)
                assert_int_equal(0, chown(leaf, USER_ID, USER_ID));
        }
    result = LIVE("kill", id);
    CHECK(result, (result->status == 1 && strstr(result->err, "bivy clean")) || result->status == 125);
    AWAIT(state_is("stale"));
    result = LIVE("kill", id);
    CHECK(result, result->status == 1 && strstr(result->err, "bivy clean"));
    result = ENTER(id, "true");
    CHECK(result, result->status == 1 && strstr(result->err, "bivy clean"));
    result = LIVE("clean", "--cgroup-parent", harness.parent);
    CHECK(result, leaf_count() == 0);
}

/* Root's sandbox below a cgroup parent of the user's. */
static void another_users_are_refused(void **state)
{
    struct session *session;
    const char *id;

    (void)state;
    harness.user = false;
    session = start_waiting(HOW(0), NULL);
    harness.user = true;
    id = only_id();
    refuse_both(id, 125, "is user 0's");
    assert_true(state_is("hidden"));
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* ---- enter ---- */

static bool differs_by_right(const char *line)
{
    static const char *const heads[] = {"status Tgid:", "status Pid:", "status PPid:", "status NStgid:", "status NSpid:", "status NSpgid:",
                                        "status NSsid:", "session "};

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (!strncmp(line, heads[i], strlen(heads[i])))
            return true;
    return false;
}

/* Line by line: status with ids, capabilities, filters, mounts, descriptors, limits, environment, scheduling, cgroup. */
static void same_state(const char *one, const char *other)
{
    size_t lines = 0;

    while (*one && *other) {
        size_t a = strcspn(one, "\n"), b = strcspn(other, "\n");
        if ((a != b || memcmp(one, other, a)) && !(differs_by_right(one) && differs_by_right(other)))
            harness_fail("the command has \"%.*s\", who entered \"%.*s\"", (int)a, one, (int)b, other);
        one += a + (one[a] == '\n');
        other += b + (other[b] == '\n');
        lines++;
    }
    if (*one || *other || lines < 50)
        harness_fail("after %zu lines: \"%s\" and \"%s\"", lines, one, other);
}

static void who_enters_is_locked_in_alike(void **state)
{
    static const char script[] = "./payload state; ls -l /proc/self/ns | sed 's/.* //'; ulimit -a; umask; pwd; id";
    struct session *session = START(HOW(.workspace = workspace_make()), "--env", "CALLER_SECRET", "--env", "MORE=x y", "--open-files", "77",
                                    "--file-size", "1M", "--network", "loopback", "--", "sh", "-c",
                                    text_format("%s; echo up; exec sleep 1000", script));
    const struct result *result;
    char *theirs;

    (void)state;
    session_expect(session, "up\n");
    theirs = keep(strdup(session->result.out));
    *strstr(theirs, "up\n") = '\0';
    result = RUN(HOW(.verb = "enter", .env = (const char *const[]){"CALLER_SECRET=another", "OTHER=y", NULL}), "--cgroup-parent",
                 harness.parent, only_id(), "--", "sh", "-c", text_format("%s; true", script));
    CHECK(result, result->status == 0 && !*result->err);
    same_state(theirs, result->out);
    /* And the cgroup is the leaf in every hierarchy, as seen from outside. */
    struct session *inside = session_start(HOW(.verb = "enter"), WORDS("--cgroup-parent", harness.parent, only_id(), "--", "sh", "-c",
                                                                       "echo in; exec sleep 1000"));
    session_expect(inside, "in\n");
    pid_t pids[8];
    size_t count = leaf_pids(leaf_only(), pids, 8);
    assert_int_equal(count, 4); /* pid 1, the command, who entered, and who waits for him */
    for (int h = 0; h < CGROUP_V2; h++)
        if (*harness.mount[h]) {
            char *text = file_read(leaf_path(leaf_only(), (enum hierarchy_name)h, "cgroup.procs", NULL), NULL);
            for (size_t i = 0; i < count; i++)
                assert_true(text_has_line(text, text_format("%d", pids[i])));
        }
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    CHECK_STATUS(inside, 128 + SIGTERM, 128 + SIGKILL);
}

static void streams_and_status_are_the_entered_commands(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL);
    const char *id = only_id();
    const struct result *result = ENTER(id, "sh", "-c", "echo out; echo err >&2; exit 7");
    struct session *inside;
    int pipes[2];

    (void)state;
    CHECK(result, result->status == 7 && !strcmp(result->out, "out\n") && !strcmp(result->err, "err\n"));
    result = ENTER(id, "sh", "-c", "kill -KILL $$");
    CHECK(result, result->status == 128 + SIGKILL);
    result = ENTER(id, "no-such-program");
    CHECK(result, result->status == 127 && strstr(result->err, "not found in the sandbox"));
    result = ENTER(id, "cat"); /* without -i: /dev/null */
    CHECK(result, result->status == 0 && !*result->out);
    assert_int_equal(0, pipe(pipes));
    assert_int_equal(12, write(pipes[1], "echo $((6*7)", 12));
    assert_int_equal(9, write(pipes[1], "); exit 3", 9));
    close(pipes[1]);
    result = RUN(HOW(.verb = "enter", .in = pipes[0]), "--cgroup-parent", harness.parent, "-i", id); /* the default command is a shell */
    CHECK(result, result->status == 3 && !strcmp(result->out, "42\n"));
    close(pipes[0]);
    result = LIVE("enter", "-t", id, "--", "sh", "-c", "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty </dev/tty; exit 5");
    CHECK(result, result->status == 5 && !strcmp(result->out, "/dev/pts/0\r\n/dev/tty\r\n"));
    inside = session_start(HOW(.verb = "enter"), WORDS("--cgroup-parent", harness.parent, "-t", id, "--", "sh", "-c", "echo in; exec sleep 1000"));
    session_expect(inside, "in");
    result = LIVE("enter", "-t", id, "--", "tty"); /* a second one, beside it */
    CHECK(result, result->status == 0 && !strcmp(result->out, "/dev/pts/1\r\n"));
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    CHECK_STATUS(inside, 128 + SIGTERM, 128 + SIGKILL);
}

static pid_t pid_in_leaf(const char *comm)
{
    pid_t pids[32];
    size_t count = leaf_pids(leaf_only(), pids, 32);

    for (size_t i = 0; i < count; i++)
        if (process_named(pids[i], comm))
            return pids[i];
    return 0;
}

static bool in_leaf(const char *comm)
{
    return pid_in_leaf(comm) > 0;
}

static void stop_in_leaf(const char *comm)
{
    pid_t pid = pid_in_leaf(comm);

    assert_true(pid > 0);
    assert_int_equal(0, kill(pid, SIGSTOP));
}

static void freeze(const char *leaf, bool on)
{
    file_write(leaf_path(leaf, CGROUP_V2, NULL, "cgroup.freeze"), on ? "1" : "0");
}

static struct session *enter_stubborn(void)
{
    struct session *session = session_start(HOW(.verb = "enter"), WORDS("--cgroup-parent", harness.parent, only_id(), "--", "./payload", "stubborn"));

    AWAIT(in_leaf("payload"));
    return session;
}

static struct session *enter_sleeping(const struct how *how, const char *script)
{
    struct session *session = session_start(how, WORDS("--cgroup-parent", harness.parent, only_id(), "--", "sh", "-c",
                                                       script));

    session_expect(session, "in\n");
    return session;
}

static void who_entered_dies_with_his_enter(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--kill-after", "100ms", "--", "sh", "-c", "echo up; sleep 1000"), *inside;

    (void)state;
    session_expect(session, "up\n");
    inside = enter_stubborn();
    session_kill(inside, SIGKILL);
    session_finish(inside);
    AWAIT(!in_leaf("payload") && !in_leaf("bivy-enter"));
    inside = enter_stubborn();
    session_kill(inside, SIGTERM); /* the run's grace, then SIGKILL */
    session_finish(inside);
    CHECK(&inside->result, inside->result.status == 128 + SIGTERM);
    AWAIT(!in_leaf("payload") && !in_leaf("bivy-enter"));
    session_kill(session, SIGTERM); /* the run has noticed nothing */
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

static void who_entered_dies_with_the_sandbox(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--", "sh", "-c", "until [ -e end ]; do sleep 0.01; done"), *inside;
    const char *id;

    (void)state;
    AWAIT(leaf_count() && state_is("running"));
    id = only_id();
    inside = enter_stubborn();
    const struct result *result = ENTER(id, "touch", "end");
    CHECK(result, result->status == 0 || result->status == 128 + SIGKILL); /* the run may end first */
    CHECK_WELL(session_finish(session));                                   /* and is not held up by who is in it */
    CHECK_STATUS(inside, 128 + SIGKILL, 128 + SIGKILL);
    CHECK(&inside->result, strstr(inside->result.err, "has ended")); /* 137 alone says too little */
}

/* Ctrl-Z stops `bivy enter`; and should who looks after the command be stopped too, nobody is left to reap it. */
static void a_stopped_enter_holds_no_run_up(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL), *inside;

    (void)state;
    inside = enter_sleeping(HOW(.verb = "enter"), "echo in; sleep 1000");
    AWAIT(in_leaf("bivy-enter")); /* it takes on its name beside the command's start */
    stop_in_leaf("bivy-enter");
    session_kill(inside, SIGSTOP);
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    assert_int_equal(leaf_count(), 0);
    session_kill(inside, SIGCONT);
    CHECK_STATUS(inside, 128 + SIGTERM, 128 + SIGKILL);
}

static void lead_group(void *unused)
{
    (void)unused;
    if (setpgid(0, 0))
        abort();
}

/* What a terminal sends to all of a process group is for `bivy enter` alone: the command has the grace that the run's has. */
static void a_hang_up_ends_who_entered_gently(void **state)
{
    struct session *session = start_waiting(HOW(0), NULL), *inside;

    (void)state;
    inside = enter_sleeping(HOW(.verb = "enter", .prepare = lead_group), "trap 'echo got; exit 9' TERM; echo in; while :; do sleep 0.01; done");
    assert_int_equal(0, kill(-inside->pid, SIGHUP));
    session_finish(inside);
    CHECK(&inside->result, strstr(inside->result.out, "got\n"));
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* Ctrl-Z at a terminal freezes what is inside. Nobody goes in, whoever is in comes out, and it can be ended. */
static void a_frozen_one_says_so(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--kill-after", "100ms", "--", "sh", "-c", "echo up; sleep 1000"), *inside;
    const struct result *result;
    const char *leaf;

    (void)state;
    session_expect(session, "up\n");
    leaf = leaf_only();
    inside = enter_stubborn();
    freeze(leaf, true);
    AWAIT(state_is("stopped"));
    assert_true(reader_count(reader_at(list(), "sandboxes.0.command")) > 0);
    result = ENTER(only_id(), "true");
    CHECK(result, result->status == 125 && strstr(result->err, "is stopped") && strstr(result->err, "kill -CONT"));
    session_kill(inside, SIGTERM);
    session_finish(inside);
    CHECK(&inside->result, inside->result.status == 128 + SIGTERM && !*inside->result.err && inside->result.seconds < GUARD_SECONDS);
    freeze(leaf, false);
    AWAIT(state_is("running") && !in_leaf("payload") && !in_leaf("bivy-enter"));
    freeze(leaf, true);
    result = LIVE("kill", only_id());
    CHECK(result, result->status == 0 && leaf_count() == 0);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* CVE-2019-5736, CVE-2016-9962: somebody inside waits for whoever comes and takes all that can be had of him. */
static void nothing_of_the_host_comes_in(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--cpus", "2", "--timeout", "100s", "--", "./payload", "hunt", "100"),
                   *sleeper;
    const struct result *result;
    const char *id;

    (void)state;
    session_expect(session, "hunting\n");
    id = only_id();
    sleeper = session_start(HOW(.verb = "enter"), WORDS("--cgroup-parent", harness.parent, id, "--", "sleep", "1000"));
    session_expect(session, "cmdline 1000\n"); /* it does see who has come */
    for (int i = 0; i < 30; i++) {
        result = ENTER(id, "sleep", "0.01");
        CHECK(result, result->status == 0);
    }
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
    CHECK_STATUS(sleeper, 128 + SIGTERM, 128 + SIGKILL);
    for (char *line = strtok(keep(strdup(result->out)), "\n"); line; line = strtok(NULL, "\n")) {
        static const char *const allowed[] = {"hunting", "exe /bin/busybox", "root /", "cwd /workspace", "cmdline sleep", "cmdline 0.01", "cmdline 1000",
                                              "fd /dev/null", "fd pipe:", "environ USER=sandbox", "environ HOME=/home/sandbox",
                                              "environ LANG=C.UTF-8", "environ TMPDIR=/tmp",
                                              "environ PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
        bool expected = false;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            expected = expected || !strcmp(line, allowed[i]);
        if (!expected)
            harness_fail("seen from inside of who entered: %s", line);
    }
}

#ifndef TEST_SANITIZED /* that one is not static, and without its loader nobody inside can execute it */
/* CVE-2019-5736 as it was: what is run in there is a script whose interpreter is whoever runs it, bivy; and its file is that user's whom
 * the sandbox runs as, as one's own build is. That file is not what executes it. */
static void bivys_own_file_is_not_there(void **state)
{
    const char *usual = harness.bivy, *workspace = workspace_make(), *own = path_join(directory_make("bin", harness.uid, 0755), "bivy");
    struct stat before, after;
    struct session *session;
    bool seen = false;

    (void)state;
    tree_copy(usual, own);
    assert_int_equal(0, chown(own, harness.uid, harness.uid));
    assert_int_equal(0, stat(own, &before));
    file_write(path_join(workspace, "script"), "#!/proc/self/exe help\n");
    assert_int_equal(0, chmod(path_join(workspace, "script"), 0755));
    harness.bivy = own;
    session = START(HOW(.workspace = workspace), "--cpus", "2", "--timeout", "100s", "--", "./payload", "spoil");
    session_expect(session, "hunting\n");
    for (double end = now() + GUARD_SECONDS; !seen && now() < end;) {
        const struct result *result = leaf_count() ? ENTER(only_id(), "./script") : NULL;
        seen = !result || result->status != 125; /* as long as nobody stops it, it says that its words are none of bivy's */
    }
    harness.bivy = usual;
    const struct result *result = session_finish(session);
    CHECK(result, strstr(result->out, "spoilt\n"));
    CHECK(result, strstr(result->out, "file /memfd:bivy (deleted)\n") && !strstr(result->out, "writing worked"));
    assert_int_equal(0, stat(own, &after));
    assert_true(before.st_mode == after.st_mode && before.st_size == after.st_size && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
                before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
}

#endif

/* The same binary with one step left out: nothing runs. Without this the test above could not fail. */
static void a_join_that_leaves_something_out_is_refused(void **state)
{
    static const char *const steps[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "ids", "rlimits", "capabilities",
                                        "bounding", "nnp", "seccomp", "close", "session"};
    const char *whole = harness.bivy, *weakened = getenv("BIVY_WEAKENED");
    struct session *session = start_waiting(HOW(0), NULL);
    const struct result *result;
    const char *id = only_id();

    (void)state;
    if (!weakened || access(weakened, X_OK))
        harness_fail("BIVY_WEAKENED must name the weakened bivy");
    harness.bivy = weakened;
    result = ENTER(id, "echo", "ran");
    bool ran = result->status == 0 && !strcmp(result->out, "ran\n"), refused = true;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && ran && refused; i++) {
        const char *const env[] = {text_format("BIVY_WEAKEN=%s", steps[i]), NULL};
        if (harness.user && !strcmp(steps[i], "ids"))
            continue; /* an ordinary user has the sandbox's ids as soon as he is in its user namespace */
        result = RUN(HOW(.verb = "enter", .env = env), "--cgroup-parent", harness.parent, id, "--", "echo", "ran");
        refused = result->status == 125 && !*result->out;
        if (!refused)
            fprintf(stderr, "left out: %s\n", steps[i]);
    }
    harness.bivy = whole;
    CHECK(result, ran && refused);
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* A sandbox at its limit lets nobody in, and says so. */
static void a_full_sandbox_says_so(void **state)
{
    struct session *session = start_waiting(HOW(0), "i=0; while [ $((i += 1)) -le 60 ]; do sleep 1000 & done 2>/dev/null");
    const struct result *result;

    (void)state;
    session_kill(session, SIGTERM);
    session_finish(session);
    session = START(HOW(0), "--pids", "3", "--", "sh", "-c", "echo up; sleep 1000; :");
    session_expect(session, "up\n");
    AWAIT(number_at(list(), "sandboxes.0.pids.used") == 3);
    result = ENTER(only_id(), "true");
    CHECK(result, result->status == 125 && strstr(result->err, "process"));
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
}

/* ---- keep ---- */

static void a_failed_sandbox_stays(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--keep-on-fail", "1h", "--env", "KEPT=yes", "--", "sh", "-c",
                                      "echo said; echo left >/tmp/file; sleep 1000 & exit 3");
    struct kept kept = find_kept();
    const struct reader *tree = list();
    char link[64], directory[4096];

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    CHECK(result, record_real(result, "kept.seconds") == 3600 && record_text(result, "kept.until"));
    CHECK(result, !strcmp(result->out, "said\n") && result->seconds < 10);
    assert_string_equal(kept.id, record_text(result, "id"));
    assert_true(number_at(tree, "sandboxes.0.kept_seconds") <= 3600 && number_at(tree, "sandboxes.0.kept_seconds") > 3400);
    assert_true(number_at(tree, "sandboxes.0.pids.used") == 1); /* only pid 1 is left */
    result = ENTER(kept.id, "sh", "-c", "cat /tmp/file; echo $KEPT; ps; echo more >/tmp/more");
    CHECK(result, result->status == 0 && !strncmp(result->out, "left\nyes\n", 9) && !strstr(result->out, "sleep"));
    result = ENTER(kept.id, "cat", "/tmp/more");
    CHECK(result, result->status == 0 && !strcmp(result->out, "more\n"));
    /* Its limits are back in force. */
    char *cpu = file_read(leaf_path(leaf_only(), CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max"), NULL);
    assert_true(!cpu || !strncmp(cpu, "50000", 5));
    /* Nothing of the caller's is with the keeper. */
    snprintf(link, sizeof link, "/proc/%d/cwd", kept.keeper);
    assert_non_null(realpath(link, directory));
    assert_string_equal("/", directory);
    assert_int_equal(getsid(kept.keeper), kept.keeper);
    end_kept();
}

static void what_went_well_is_not_kept(void **state)
{
    struct session *session;
    const struct result *result = BIVY("--keep-on-fail", "1h", "--", "true");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "kept") && leaf_count() == 0);
    result = BIVY("--keep-on-fail", "1h", "--", "no-such-program"); /* nothing ran */
    CHECK(result, result->status == 127 && record_null(result, "kept") && leaf_count() == 0);
    session = START(HOW(0), "--keep-on-fail", "1h", "--", "sh", "-c", "echo up; sleep 1000");
    session_expect(session, "up\n");
    session_kill(session, SIGTERM);
    CHECK_ENDED(session_finish(session), "cancelled", 128 + SIGTERM);
    assert_int_equal(leaf_count(), 0);
    session = START(HOW(0), "--keep-on-fail", "1h", "--", "sh", "-c", "echo up; sleep 1000");
    session_expect(session, "up\n");
    session_kill(session, SIGKILL); /* bivy's death is the sandbox's end all the same */
    session_finish(session);
    AWAIT(state_is("ending") || state_is("stale") || state_is("starting"));
    result = LIVE("clean", "--cgroup-parent", harness.parent);
    CHECK(result, result->status == 0 && leaf_count() == 0);
}

/* What a killed bivy left is swept by the next run, also while one is kept. */
static void a_kept_one_does_not_keep_the_sweep_away(void **state)
{
    const struct result *result = BIVY("--keep-on-fail", "1h", "--", "false");
    struct session *session;
    size_t leaves = leaf_count();

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    session = start_waiting(HOW(0), NULL);
    session_kill(session, SIGKILL);
    session_finish(session);
    CHECK_WELL(BIVY("--", "true"));
    assert_int_equal(leaf_count(), leaves);
    end_kept();
}

static void a_kept_one_goes_by_itself(void **state)
{
    const struct result *result = BIVY("--keep-on-fail", "1s", "--", "false");
    double since = now();
    struct kept kept = find_kept();

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    struct session *inside = session_start(HOW(.verb = "enter"), WORDS("--cgroup-parent", harness.parent, kept.id, "--", "sleep", "1000"));
    await_gone(&kept);
    assert_int_equal(leaf_count(), 0);
    assert_true(now() - since < 10);
    CHECK_STATUS(inside, 128 + SIGKILL, 128 + SIGKILL);
}

static void a_kept_one_goes_with_its_keeper(void **state)
{
    const struct result *result = BIVY("--keep-on-fail", "1h", "--", "false");
    struct kept kept = find_kept();

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    assert_int_equal(0, kill(kept.keeper, SIGKILL));
    await_gone(&kept);
    result = LIVE("clean", "--cgroup-parent", harness.parent);
    CHECK(result, result->status == 0 && leaf_count() == 0);
}

/* Each limit that ends a run, and a bomb: pid 1 outlives them all, and nobody else. */
static void what_a_limit_ended_is_kept(void **state)
{
    const struct result *result = BIVY("--keep-on-fail", "1h", "--timeout", "1s", "--kill-after", "0s", "--", "sh", "-c",
                                       "(f() { f | f & }; f) 2>/dev/null & while :; do :; done");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds < 1 + 2 && !record_null(result, "kept"));
    assert_true(number_at(list(), "sandboxes.0.pids.used") == 1);
    end_kept();

    result = BIVY("--keep-on-fail", "1h", "--output-limit", "64K", "--", "sh", "-c", "trap '' TERM; while :; do echo flood; done");
    CHECK(result, !strcmp(record_text(result, "outcome"), "output_limit") && !record_null(result, "kept"));
    end_kept();

    result = BIVY("--keep-on-fail", "1h", "--memory", "32M", "--", "sh", "-c", "echo x >/tmp/x; (tail /dev/zero); sleep 1000");
    CHECK(result, !strcmp(record_text(result, "outcome"), "oom") && !record_null(result, "kept"));
    result = ENTER(find_kept().id, "cat", "/tmp/x");
    CHECK(result, result->status == 0 && !strcmp(result->out, "x\n"));
    end_kept();
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(ps_shows_a_live_run),
        TEST(looking_disturbs_no_run),
        TEST(what_ps_writes_follows_its_schema),
        TEST(kill_ends_a_run_as_a_timeout_would),
        TEST(kill_ends_a_run_that_was_stopped),
#ifndef TEST_SANITIZED
        TEST_ROOT(kill_tells_nobody_to_go_on_who_goes_on),
#endif
        TEST(sandboxes_are_found_wherever_they_are),
        TEST(ids_that_are_none_are_refused),
        TEST(a_stale_one_is_left_to_clean),
        TEST_USER(another_users_are_refused),
        TEST(who_enters_is_locked_in_alike),
        TEST(streams_and_status_are_the_entered_commands),
        TEST(who_entered_dies_with_his_enter),
        TEST(who_entered_dies_with_the_sandbox),
        TEST(a_stopped_enter_holds_no_run_up),
        TEST(a_hang_up_ends_who_entered_gently),
        TEST(a_frozen_one_says_so),
        TEST(nothing_of_the_host_comes_in),
#ifndef TEST_SANITIZED
        TEST(bivys_own_file_is_not_there),
#endif
        TEST(a_join_that_leaves_something_out_is_refused),
        TEST(a_full_sandbox_says_so),
        TEST(a_failed_sandbox_stays),
        TEST(what_went_well_is_not_kept),
        TEST(a_kept_one_does_not_keep_the_sweep_away),
        TEST(a_kept_one_goes_by_itself),
        TEST(a_kept_one_goes_with_its_keeper),
        TEST(what_a_limit_ended_is_kept),
    };

    return harness_main(argc, argv, "live", tests, sizeof tests / sizeof *tests);
}
