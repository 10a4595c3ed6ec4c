/* endings: how runs end: timeouts, signals, kills, bombs; and that a neighbour notices nothing of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "internal.h"

#define CLEAN() session_finish(session_start(HOW(.verb = "clean"), (const char *const[]){NULL}))

/* How long a short run takes here, so that moments can be spread over it. */
static double a_runs_length(void)
{
    const struct result *result = BIVY("--", "true");

    CHECK_WELL(result);
    return result->seconds;
}

/* ---- the timeout ---- */

static void partial_output_survives_a_timeout(void **state)
{
    const struct result *result =
        RUN(HOW(0), "--timeout", "1500ms", "--", "sh", "-c", "echo partial; echo trouble >&2; sleep 1000");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, !strcmp(result->out, "partial\n") && !strncmp(result->err, "trouble\n", 8));
    CHECK(result, record_real(result, "times.timeout_ms") == 1500);
    CHECK(result, result->seconds >= 1.5 && result->seconds < 1.5 + 2 + 2);
    CHECK(result, record_number(result, "signal") == SIGTERM);
}

static void a_handler_gets_its_grace(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "30s",
                                      "--", "./payload", "polite");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    assert_string_equal(result->out, "ready\ngot 15\n");
    CHECK(result, record_number(result, "exit_code") == 7 && record_null(result, "signal"));
    CHECK(result, result->seconds < 10); /* the grace ends with the command, not after 30 s */
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "400ms",
                                      "--", "./payload", "stubborn");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds >= 1.4 && result->seconds < 1.4 + 2);
    CHECK(result, record_number(result, "signal") == SIGKILL);
    result = RUN(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "0s", "--", "./payload",
                 "stubborn");
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds < 1 + 2);
}

#ifndef TEST_SANITIZED /* the leak sanitizer does not work in a traced process */
/* While what was killed takes its time to die, bivy waits; it does not ask again and again. Counted from outside, by strace on bivy's
 * own process (not on what it starts). */
static void bivy_sleeps_while_a_sandbox_dies(void **state)
{
    static const char busy[] = "i=0; while [ $((i += 1)) -lt 40 ]; do (while :; do :; done) & done; exit 0";
    const char *trace = bivy_traced("-e trace=poll"), *text;
    size_t polls = 0;

    (void)state;
    double begin = now();
    const struct result *result = BIVY("--cpus", "0.05", "--", "sh", "-c", busy);
    CHECK(result, result->status == 0 || result->status == 124); /* 124: on a slow machine */
    text = file_read(trace, NULL);
    assert_non_null(text);
    for (const char *at = text; (at = strstr(at, "poll(")); at++)
        polls++;
    /* Five were seen, and from 80 to 17,000 while it asked again and again; and while the command runs it looks at its memory, at most ten
     * times a second. */
    if ((double)polls > 30 + 10 * (now() - begin))
        harness_fail("%zu polls while the sandbox was torn down", polls);
}
#endif

/* A whole tree that ignores everything, in sessions of its own. */
static void a_timeout_takes_the_grandchildren(void **state)
{
    const char *script = "for i in 1 2 3 4 5; do setsid ./payload stubborn > /dev/null & done; ./payload stubborn";
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--timeout", "2s", "--kill-after", "100ms",
                                      "--", "sh", "-c", script);

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, record_number(result, "pids.peak") >= 7);
}

static void children_die_with_the_main_process(void **state)
{
    const struct result *result = SH(HOW(0), "sleep 1000 & setsid sleep 1000 & nohup sleep 1000 > /dev/null & exit 3");

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    CHECK(result, result->seconds < 10);
}

/* ---- cancelling ---- */

static void signals_cancel(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct session *session =
            START(HOW(.workspace = workspace_make()), "--kill-after", "30s", "--", "./payload", "polite");
        session_expect(session, "ready\n");
        session_kill(session, signals[i]);
        result = session_finish(session);
        CHECK_ENDED(result, "cancelled", 128 + signals[i]);
        assert_string_equal(result->out, "ready\ngot 15\n"); /* whichever came, the command is told by SIGTERM */
        CHECK(result, record_number(result, "exit_code") == 7);
        CHECK(result, !record_limit_hit(result, "timeout") && !record_limit_hit(result, "memory"));
    }
}

static void cancelling_kills_after_the_grace(void **state)
{
    struct session *session =
        START(HOW(.workspace = workspace_make()), "--kill-after", "300ms", "--", "./payload", "stubborn");
    const struct result *result;
    double start;

    (void)state;
    session_expect(session, "ready\n");
    start = now();
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
    CHECK(result, now() - start >= 0.3 && now() - start < 0.3 + 2);
    CHECK(result, record_number(result, "signal") == SIGKILL);
}

/* Whoever asks twice will not wait for the grace. */
static void the_second_signal_kills_at_once(void **state)
{
    struct session *session =
        START(HOW(.workspace = workspace_make()), "--kill-after", "100s", "--", "./payload", "polite-once");
    const struct result *result;

    (void)state;
    session_expect(session, "ready\n");
    session_kill(session, SIGINT);
    session_expect(session, "got 15\n"); /* it has had its SIGTERM and goes on */
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGINT);
    CHECK(result, record_number(result, "signal") == SIGKILL && result->seconds < 50);
}

/* A signal at any moment of the set-up: the record says cancelled, or that nothing of the command ran; never a mess. */
static void a_signal_during_set_up(void **state)
{
    const struct result *result;
    const char *outcome;
    unsigned cancelled = 0;
    double span = a_runs_length();

    (void)state;
    for (int i = 0; i < 40; i++) {
        struct session *session = START(HOW(0), "--", "sleep", "1000");
        double until = now() + i * span / 40;
        while (now() < until)
            ;
        session_kill(session, SIGTERM);
        result = session_finish(session);
        if (result->killed) { /* it came before bivy had blocked it: nothing was begun */
            CHECK(result, result->status == 128 + SIGTERM && !*result->record_text);
            continue;
        }
        outcome = record_text(result, "outcome");
        if (!strcmp(outcome, "setup_failed"))
            CHECK(result, result->status == 125 && !strcmp(record_text(result, "error.errno"), "EINTR") &&
                              result->out_length == 0);
        else
            CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
        cancelled++;
    }
    assert_true(cancelled > 0);
}

/* ---- SIGKILL to bivy ---- */

static void await_death(const int *pidfds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct pollfd fd = {pidfds[i], POLLIN, 0};
        if (poll(&fd, 1, GUARD_SECONDS * 1000) != 1)
            harness_fail("a process of the sandbox outlived bivy");
        close(pidfds[i]);
    }
}

static void kill_bivy(const char *act)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--", "sh", "-c",
                                    text_format("setsid ./payload stubborn & exec ./payload %s", act));
    pid_t pids[8];
    int pidfds[8];
    size_t count = 0;

    session_expect(session, "ready\nready\n"); /* both */
    count = leaf_pids(leaf_only(), pids, 8);
    assert_true(count >= 3);
    for (size_t i = 0; i < count; i++) {
        pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
        assert_true(pidfds[i] >= 0);
    }
    session_kill(session, SIGKILL);
    await_death(pidfds, count);
    assert_true(session_finish(session)->killed);
}

static void killing_bivy_takes_the_sandbox_and_clean_sweeps(void **state)
{
    const struct result *result;

    (void)state;
    kill_bivy("stubborn");
    assert_true(leaf_count() > 0); /* nobody was left to remove it */
    result = CLEAN();
    CHECK(result, result->status == 0);
    assert_int_equal(leaf_count(), 0);
}

static void the_next_run_sweeps(void **state)
{
    (void)state;
    kill_bivy("ready");
    assert_true(leaf_count() > 0);
    CHECK_WELL(BIVY("--", "true"));
    assert_int_equal(leaf_count(), 0);
}

/* Killed at any moment: no process stays, and one sweep removes all that is left. */
static void killing_bivy_at_any_moment(void **state)
{
    const struct result *result;
    double span = a_runs_length();

    (void)state;
    for (int i = 0; i < 60; i++) {
        struct session *session = START(HOW(0), "--", "sh", "-c", "sleep 1000 & sleep 1000");
        double until = now() + i * span / 60;
        while (now() < until)
            ;
        session_kill(session, SIGKILL);
        result = session_finish(session);
        CHECK(result, result->killed && !*result->record_text);
    }
    AWAIT(CLEAN()->status == 0 && leaf_count() == 0);
}

static void clean_leaves_the_living_alone(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--", "./payload", "ready");
    const struct result *result;

    (void)state;
    session_expect(session, "ready\n");
    result = CLEAN();
    CHECK(result, result->status == 0);
    CHECK_WELL(BIVY("--", "true"));
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
}

static void clean_with_nothing_to_do(void **state)
{
    const struct result *result = CLEAN();

    (void)state;
    CHECK(result, result->status == 0);
}

/* ---- bombs ---- */

static void a_refused_fork_is_told_even_when_all_ends_well(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "forks", "once");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "born 48 EAGAIN")); /* 50 with pid 1 and itself */
    CHECK(result, record_number(result, "pids.denied") == 1 && record_limit_hit(result, "pids"));
    CHECK(result, record_number(result, "pids.peak") == 50);
}

/* A pid 1 that bivy did not wait for came to us. */
static void reap_orphans(void)
{
    pid_t pids[64];
    size_t count = children(pids, sizeof pids / sizeof *pids);

    for (size_t i = 0; i < count; i++)
        if (process_named(pids[i], "bivy-init"))
            waitpid(pids[i], NULL, 0);
}

/* A machine that is so busy that fifty processes do not even come to their end is no place to judge a neighbour's luck. */
static bool starved(const struct result *result)
{
    if (strcmp(record_text(result, "outcome"), "stuck") || strcmp(record_text(result, "error.errno"), "EAGAIN"))
        return false;
    fprintf(stderr, "# no processor was free for what was killed\n");
    bivy_was_killed = true; /* nobody reaps pid 1 */
    AWAIT(CLEAN()->status == 0 && leaf_count() == 0);
    reap_orphans();
    return true;
}

/* To that processor, or to the others. */
static void pin(pid_t pid, int cpu, bool there)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if ((i == cpu) == there)
            CPU_SET((size_t)i, &set);
    assert_int_equal(sched_setaffinity(pid, sizeof set, &set), 0);
}

static int last_processor(void)
{
    cpu_set_t set;
    int last = -1;

    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &set))
            last = i;
    return CPU_COUNT(&set) > 1 ? last : -1;
}

static void pin_itself(void *cpu)
{
    pin(0, *(int *)cpu, true);
}

/* Somebody far more important on that processor: with a group of its own where the kernel makes them for sessions (sched(7)). */
static pid_t hog(int cpu)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setsid();
    pin(0, cpu, true);
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    ssize_t unused = fd >= 0 ? write(fd, "-20", 3) : 0;
    (void)unused;
    setpriority(PRIO_PROCESS, 0, -20);
    for (volatile unsigned i = 0;; i++)
        ;
}

/* Its pid 1 has closed what was the caller's. */
static bool is_full_and_settled(const char *leaf)
{
    pid_t pids[64];
    size_t count = leaf_pids(leaf, pids, sizeof pids / sizeof *pids);
    bool settled = false;

    for (size_t i = 0; i < count; i++)
        settled |= process_named(pids[i], "bivy-init");
    return count > 40 && settled;
}

/* What was killed lies ready and gets no processor: no file system is blamed, and the answer comes in time all the same. */
static void what_a_busy_host_does_not_end(void **state)
{
    int cpu = last_processor();
    bool v1 = *harness.mount[CGROUP_CPU];
    char *weight = text_format("%s%s/%s", harness.mount[v1 ? CGROUP_CPU : CGROUP_V2], harness.parent, v1 ? "cpu.shares" : "cpu.weight");

    (void)state;
    if (cpu < 0)
        return; /* bivy itself needs one */
    struct session *bomb = START(HOW(.workspace = workspace_make(), .prepare = pin_itself, .data = &cpu), "--timeout", "1500ms", "--kill-after", "0s",
                                 "--", "./payload", "forks");
    session_expect(bomb, "ready\n");
    AWAIT(is_full_and_settled(leaf_only()));
    pin(bomb->pid, cpu, false);
    file_write(weight, v1 ? "2" : "1");
    pid_t busy = hog(cpu);
    const struct result *result = session_finish(bomb);
    kill(busy, SIGKILL);
    waitpid(busy, NULL, 0);
    file_write(weight, v1 ? "1024" : "100");
    CHECK(result, result->seconds < 1.5 + 2 + 1);
    CHECK_ENDED(result, "stuck", 124);
    CHECK(result, !strcmp(record_text(result, "error.errno"), "EAGAIN") && strstr(record_text(result, "error.message"), "no processor to end on"));
    CHECK(result, record_null(result, "workspace.error") && record_limit_hit(result, "timeout"));
    CHECK(result, record_hint(result, "stuck") && strstr(record_hint(result, "stuck"), "run fewer"));
    assert_true(starved(result));
}

static void a_fork_bomb_and_its_neighbour(void **state)
{
    struct how how = {.workspace = workspace_make()};
    struct session *bomb;
    const struct result *result;
    double start;
    int runs = 0;

    (void)state;
    do {
        bomb = START(&how, "--timeout", "3s", "--", "./payload", "forks");
        session_expect(bomb, "ready\n");
        start = now();
        while (now() - start < 1.5 || !runs) { /* same workspace, same host id */
            result = RUN(&how, "--", "sh", "-c", "for i in 1 2 3 4 5; do true | cat; done; echo done");
            CHECK_WELL(result);
            CHECK(result, !strcmp(result->out, "done\n") && result->seconds < 2);
            CHECK(result, record_number(result, "pids.denied") == 0);
            runs++;
        }
        result = session_finish(bomb);
    } while (starved(result));
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, record_number(result, "pids.denied") > 0 && record_limit_hit(result, "pids") &&
                      record_limit_hit(result, "timeout"));
    CHECK(result, record_number(result, "pids.peak") <= 50);
    CHECK(result, result->seconds < 3 + 2 + 2);
}

static void check_oom(const struct result *result, int64_t limit)
{
    CHECK_ENDED(result, "oom", 137);
    CHECK(result, record_number(result, "memory.oom_kills") >= 1 && record_limit_hit(result, "memory"));
    CHECK(result, record_number(result, "memory.peak_bytes") <= limit &&
                      record_number(result, "memory.peak_bytes") > limit / 2);
    CHECK(result, record_number(result, "memory.limit_bytes") == limit);
}

static void a_memory_bomb_in_the_main_process(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--memory", "32M", "--", "./payload", "memory", "0");

    (void)state;
    check_oom(result, 32 << 20);
    CHECK(result, record_number(result, "signal") == SIGKILL);
    CHECK(result,
          record_null(result, "memory.oom_victim") || !strcmp(record_text(result, "memory.oom_victim"), "payload"));
    CHECK(result, !strstr(result->out, "ate all"));
}

/* The kernel may choose a child: all of the sandbox ends with it, and the record says why. */
static void a_memory_bomb_in_a_child(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--memory", "32M", "--", "sh", "-c",
                                      "./payload memory-child 0; sleep 1000");

    (void)state;
    check_oom(result, 32 << 20);
    CHECK(result,
          record_null(result, "memory.oom_victim") || !strcmp(record_text(result, "memory.oom_victim"), "glutton"));
    CHECK(result, result->seconds < 20);
}

static void memory_below_the_limit_is_to_be_had(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--", "./payload", "memory", text_format("%d", 220 << 20));

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "ate all\n");
    CHECK(result, record_number(result, "memory.oom_kills") == 0 && !record_limit_hit(result, "memory"));
    CHECK(result, record_number(result, "memory.peak_bytes") >= 220 << 20);
}

static void a_scratch_bomb_meets_the_end_of_scratch(void **state)
{
    static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/run", "/home/sandbox"};
    struct how how = {.workspace = workspace_make()};
    const struct result *result;
    size_t filled;

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        result = RUN(&how, "--scratch", "8M", "--", "./payload", "fill", places[i]);
        CHECK_WELL(result);
        CHECK(result, sscanf(result->out, "filled %zu ENOSPC", &filled) == 1 && strstr(result->out, "ENOSPC\n"));
        CHECK(result, filled > 7 << 20 && filled <= 8 << 20);
    }
    result = RUN(HOW(0), "--scratch", "8M", "--", "sh", "-c",
                 "cat /dev/zero > /workspace/x; ls -l /workspace/x | awk '{print $5}'");
    CHECK(result,
          atol(result->out) > 7 << 20 && atol(result->out) <= 8 << 20); /* without a workspace it is scratch as well */
    result = RUN(&how, "--scratch-inodes", "500", "--", "./payload", "litter", "/tmp");
    CHECK_WELL(result);
    CHECK(result, sscanf(result->out, "littered %zu", &filled) == 1 && filled > 400 && filled <= 500 &&
                      strstr(result->out, "ENOSPC"));
}

/* Scratch counts as memory: more of it than memory is an oom, and the host's own memory is never touched. */
static void a_scratch_bomb_meets_the_memory_limit(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--memory", "16M", "--scratch", "1G", "--",
                                      "./payload", "fill", "/tmp");

    (void)state;
    check_oom(result, 16 << 20);
}

static void all_bombs_at_once(void **state)
{
    struct how how = {.workspace = workspace_make()};
    struct session *bombs[4];
    const struct result *result;
    const char *outcome;

    (void)state;
    bombs[0] = START(&how, "--timeout", "2s", "--kill-after", "100ms", "--", "./payload", "forks");
    bombs[1] = START(&how, "--memory", "64M", "--", "./payload", "memory", "0");
    bombs[2] = START(&how, "--scratch", "16M", "--", "./payload", "fill", "/tmp");
    bombs[3] = START(&how, "--output-limit", "2M", "--", "./payload", "spew", "0");
    for (int i = 0; i < 3; i++) {
        result = SH(&how, "echo neighbour; ls /tmp | wc -l");
        CHECK_WELL(result);
        assert_string_equal(result->out, "neighbour\n0\n");
        CHECK(result, result->seconds < 5);
    }
    for (int i = 0; i < 4; i++) {
        static const char *const outcomes[] = {"timeout", "oom", "exited", "output_limit"};
        result = session_finish(bombs[i]);
        outcome = record_text(result, "outcome");
        CHECK(result, !strcmp(outcome, outcomes[i]) || (i == 0 && starved(result)));
    }
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(partial_output_survives_a_timeout),
        TEST(a_handler_gets_its_grace),
        TEST(one_that_ignores_sigterm_is_killed),
        TEST(a_timeout_takes_the_grandchildren),
#ifndef TEST_SANITIZED
        TEST_ROOT(bivy_sleeps_while_a_sandbox_dies),
#endif
        TEST(children_die_with_the_main_process),
        TEST(signals_cancel),
        TEST(cancelling_kills_after_the_grace),
        TEST(the_second_signal_kills_at_once),
        TEST(a_signal_during_set_up),
        TEST(killing_bivy_takes_the_sandbox_and_clean_sweeps),
        TEST(the_next_run_sweeps),
        TEST(killing_bivy_at_any_moment),
        TEST(clean_leaves_the_living_alone),
        TEST(clean_with_nothing_to_do),
        TEST(a_refused_fork_is_told_even_when_all_ends_well),
        TEST_ROOT(what_a_busy_host_does_not_end),
        TEST(a_fork_bomb_and_its_neighbour),
        TEST(a_memory_bomb_in_the_main_process),
        TEST(a_memory_bomb_in_a_child),
        TEST(memory_below_the_limit_is_to_be_had),
        TEST(a_scratch_bomb_meets_the_end_of_scratch),
        TEST(a_scratch_bomb_meets_the_memory_limit),
        TEST(all_bombs_at_once),
    };

    return harness_main(argc, argv, "endings", tests, sizeof tests / sizeof *tests);
}
