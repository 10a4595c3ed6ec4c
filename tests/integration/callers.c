/* callers: the sandbox is the same whatever state its caller is in. Each test compares the whole state that the command
 * sees with that of an ordinary run. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "harness.h"

/* What the command sees of itself in a run under how. It writes to the workspace, because stdout may be part of the
 * game. */
static const char *attest(struct how *how)
{
    const struct result *result = RUN(how, "--", "./payload", "state", "state");
    char *path = path_join(how->workspace, "state"), *text;

    CHECK_WELL(result);
    text = file_read(path, NULL);
    CHECK(result, text && strlen(text) > 1000 && !unlink(path));
    return text;
}

static void show_difference(const char *expected, const char *seen)
{
    while (*expected || *seen) {
        size_t one = strcspn(expected, "\n"), other = strcspn(seen, "\n");
        if (one != other || strncmp(expected, seen, one))
            fprintf(stderr, "expected: %.*s\nseen:     %.*s\n", (int)one, expected, (int)other, seen);
        expected += one + (expected[one] == '\n');
        seen += other + (seen[other] == '\n');
    }
}

static void compare(struct how how)
{
    struct how plain = {0};
    const char *expected, *seen;

    how.workspace = plain.workspace = workspace_make();
    expected = attest(&plain);
    seen = attest(&how);
    if (strcmp(expected, seen)) {
        show_difference(expected, seen);
        harness_fail("the sandbox is another one");
    }
}

/* The measure itself: two ordinary runs agree, and hold what is to be compared. */
static void two_ordinary_runs_agree(void **state)
{
    const char *text, *workspace = workspace_make();

    (void)state;
    compare((struct how){0});
    text = attest(HOW(.workspace = workspace));
    for (const char *const *head = WORDS("status SigBlk:", "status SigIgn:", "status Umask:", "status CapBnd:",
                                         "mount ", "descriptor 2 ", "rlimit 15 ", "env PATH=", "cwd /workspace",
                                         "nice 0", "scheduler 0 0", "securebits ", "pending 0", "/proc/self/cgroup ");
         *head; head++)
        if (!text_line(text, *head) && !text_has_line(text, *head))
            harness_fail("the state holds no \"%s\"", *head);
}

/* ---- descriptors ---- */

static void close_some(void *data)
{
    unsigned mask = *(unsigned *)data;

    for (int fd = 0; fd < 3; fd++)
        if (mask & 1u << fd)
            close(fd);
}

static void closed_standard_descriptors(void **state)
{
    (void)state;
    for (unsigned mask = 1; mask < 8; mask++)
        compare((struct how){.prepare = close_some, .data = &mask});
}

/* What stands in for a closed descriptor would swallow the record: refused, and nothing runs. */
static void a_record_to_a_closed_descriptor(void **state)
{
    const char *workspace = workspace_make(), *ran = path_join(workspace, "ran");

    (void)state;
    for (int fd = 0; fd < 3; fd++) {
        unsigned mask = 1u << fd;
        const struct result *result = RUN(HOW(.bare = true, .prepare = close_some, .data = &mask), "run", "--rootfs", harness.rootfs,
                                          "--cgroup-parent", harness.parent, "--workspace", workspace, "--report", text_format("fd:%d", fd),
                                          "--", "touch", "ran");
        CHECK(result, result->status == 125 && access(ran, F_OK) < 0);
        CHECK(result, fd == 2 || strstr(result->err, text_format("--report fd:%d: is not open", fd)));
    }
}

static void limit_file_size(void *data)
{
    if (setrlimit(RLIMIT_FSIZE, data))
        _exit(98);
}

/* It did not fit after all: said, and half a record is not left to be taken for one. */
static void a_record_that_is_cut_off(void **state)
{
    const char *path = path_join(directory_make("records", 0, 0777), "record");
    struct rlimit limit = {512, 512};
    const struct result *result = RUN(HOW(.bare = true, .last = limit_file_size, .data = &limit), "run", "--rootfs", harness.rootfs,
                                      "--cgroup-parent", harness.parent, "--report", path, "--", "true");
    size_t length;

    (void)state;
    CHECK(result, result->status == 125 && strstr(result->err, "the record could not be written (EFBIG)"));
    CHECK(result, file_read(path, &length) && length == 0);
}

static void closed_stdin_with_i(void **state)
{
    unsigned mask = 1;
    const struct result *result =
        RUN(HOW(.prepare = close_some, .data = &mask), "-i", "--", "sh", "-c", "cat; echo end");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "end\n");
}

static void open_many(void *data)
{
    static const char *const places[] = {"/", "/etc", "/proc", "/root", "/sys"};

    (void)data;
    for (int fd = 4; fd <= 200; fd++) {
        int got = open(places[fd % 5], O_RDONLY | O_DIRECTORY);
        if (got < 0 || (got != fd && (dup2(got, fd) < 0 || close(got))))
            _exit(98);
    }
}

static void descriptors_open_on_host_directories(void **state)
{
    (void)state;
    compare((struct how){.prepare = open_many});
}

static void open_high(void *data)
{
    struct rlimit limit;

    (void)data;
    if (getrlimit(RLIMIT_NOFILE, &limit) || dup2(0, (int)limit.rlim_max - 1) < 0)
        _exit(98);
}

static void raise_files(void *data)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        _exit(98);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        _exit(98);
    open_high(data);
}

/* Above the sandbox's own limit of open files, where a closing loop would end too soon. */
static void a_descriptor_at_the_very_top(void **state)
{
    (void)state;
    compare((struct how){.prepare = raise_files});
}

static void stdin_a_directory(void **state)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    compare((struct how){.in = fd});
    close(fd);
}

/* ---- where and as what the caller stands ---- */

static void delete_cwd(void *data)
{
    if (mkdir(data, 0777) || chdir(data) || rmdir(data))
        _exit(98);
}

static void a_deleted_cwd(void **state)
{
    (void)state;
    compare((struct how){.prepare = delete_cwd, .data = path_join(harness.tmp, "deleted")});
}

static void odd_umask(void *data)
{
    umask(*(mode_t *)data);
}

static void odd_umasks(void **state)
{
    mode_t masks[] = {0, 0777, 0077};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        compare((struct how){.prepare = odd_umask, .data = &masks[i]});
}

/* ---- signals ---- */

static void ignore_children(void *data)
{
    (void)data;
    signal(SIGCHLD, SIG_IGN);
}

static void sigchld_ignored(void **state)
{
    (void)state;
    compare((struct how){.prepare = ignore_children});
}

static void block_everything(void *data)
{
    sigset_t all;

    (void)data;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static void all_signals_blocked(void **state)
{
    (void)state;
    compare((struct how){.last = block_everything});
}

static void ignore_everything(void *data)
{
    (void)data;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_IGN);
}

static void all_signals_ignored(void **state)
{
    (void)state;
    compare((struct how){.last = ignore_everything});
}

/* Blocked or ignored, SIGTERM still cancels: it is always meant. */
static void sigterm_cancels_whatever_the_caller_did_to_it(void **state)
{
    void (*const hooks[])(void *) = {block_everything, ignore_everything};
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct session *session =
            START(HOW(.workspace = workspace_make(), .last = hooks[i]), "--", "./payload", "polite");
        session_expect(session, "ready\n");
        session_kill(session, SIGTERM);
        result = session_finish(session);
        CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
        CHECK(result, strstr(result->out, "got 15\n"));
    }
}

/* nohup(1) and a shell's background jobs ignore SIGHUP and SIGINT for good reason. */
static void an_ignored_sighup_does_not_cancel(void **state)
{
    struct session *session =
        START(HOW(.workspace = workspace_make(), .last = ignore_everything), "--", "./payload", "polite");
    const struct result *result;

    (void)state;
    session_expect(session, "ready\n");
    session_kill(session, SIGHUP);
    session_kill(session, SIGINT);
    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
}

/* ---- limits ---- */

static void tiny_soft_limits(void *data)
{
    static const struct {
        int resource;
        rlim_t soft;
    } limits[] = {
        {RLIMIT_NOFILE, 5}, {RLIMIT_FSIZE, 10}, {RLIMIT_CORE, 0},       {RLIMIT_MEMLOCK, 0},
        {RLIMIT_NPROC, 1},  {RLIMIT_CPU, 1},    {RLIMIT_SIGPENDING, 0}, {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_RSS, 0},    {RLIMIT_LOCKS, 0},  {RLIMIT_NICE, 0},       {RLIMIT_RTPRIO, 0},
#ifndef TEST_SANITIZED /* the sanitizers' own start-up needs more than this */
        {RLIMIT_STACK, 64 << 10}, {RLIMIT_DATA, 1 << 20},
#endif
    };

    (void)data;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        if (getrlimit((enum __rlimit_resource)limits[i].resource, &limit))
            _exit(98);
        limit.rlim_cur = limits[i].soft < limit.rlim_max ? limits[i].soft : limit.rlim_max;
        if (setrlimit((enum __rlimit_resource)limits[i].resource, &limit))
            _exit(98);
    }
}

static void few_descriptors(void *data)
{
    struct rlimit limit = {.rlim_cur = *(rlim_t *)data, .rlim_max = *(rlim_t *)data};

    if (setrlimit(RLIMIT_NOFILE, &limit))
        _exit(98);
}

/* However few a caller leaves bivy: all of it works, or nothing runs and the reason is said. */
static void any_number_of_descriptors(void **state)
{
    unsigned refused = 0, ran = 0;

    (void)state;
    for (rlim_t most = 16; most < 64 && ran < 5; most++) { /* which --open-files takes at the least */
        const struct result *result = RUN(HOW(.last = few_descriptors, .data = &most), "--open-files", "16", "--", "sh", "-c", "echo out; echo err >&2");
        if (result->status == 125) {
            CHECK(result, strstr(result->err, "bivy: ") && strstr(result->err, "open files") && result->out_length == 0);
            refused++;
        } else {
            CHECK_WELL(result);
            CHECK(result, !strcmp(result->out, "out\n") && !strcmp(result->err, "err\n"));
            ran++;
        }
    }
    assert_true(refused > 0 && ran == 5);
}

static void tiny_soft_limits_of_the_caller(void **state)
{
    (void)state;
    compare((struct how){.last = tiny_soft_limits});
}

static void unlimited_core(void *data)
{
    struct rlimit limit;

    (void)data;
    if (getrlimit(RLIMIT_CORE, &limit))
        _exit(98);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_CORE, &limit))
        _exit(98);
}

static void core_dumps_stay_off(void **state)
{
    const char *workspace = workspace_make();
    const struct result *result;

    (void)state;
    compare((struct how){.last = unlimited_core});
    result = SH(HOW(.workspace = workspace, .last = unlimited_core), "kill -SEGV $$");
    CHECK_ENDED(result, "signaled", 128 + SIGSEGV);
    result = SH(HOW(.workspace = workspace), "ls");
    assert_string_equal(result->out, "payload\n");
}

/* ---- what else is inherited across fork and exec ---- */

static void odd_attributes(void *data)
{
    struct itimerval timer = {.it_value.tv_sec = 1000};

    (void)data;
    personality(ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC);
    prctl(PR_SET_TIMERSLACK, 123456UL);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void odd_attributes_of_the_caller(void **state)
{
    (void)state;
    compare((struct how){.last = odd_attributes});
}

static void in_a_group_of_its_own(void *data)
{
    (void)data;
    if (setsid() < 0)
        _exit(98);
}

static void a_caller_with_a_session_of_its_own(void **state)
{
    (void)state;
    compare((struct how){.last = in_a_group_of_its_own});
}

static void a_hostile_environment(void **state)
{
    const char *const env[] = {"LD_PRELOAD=/no/such.so",
                               "LD_LIBRARY_PATH=/tmp",
                               "MALLOC_CHECK_=3",
                               "TERM=evil",
                               "PATH=/nowhere",
                               "TZ=:/etc/shadow",
                               "LD_AUDIT=/x",
                               "no equals sign",
                               "=empty name",
                               "A=1",
                               "A=2",
                               "BASH_FUNC_x%%=() { :; }",
                               "TMPDIR=/nowhere",
                               NULL};

    (void)state;
    compare((struct how){.env = env});
}

/* Groups that a careless caller has are given up where that can be; where it cannot (an ordinary user), they are worth
 * nothing inside. */
static void many_groups(void *data)
{
    gid_t groups[] = {0, 4, 27, 100, 4242};

    (void)data;
    if (syscall(SYS_setgroups, 5, groups))
        _exit(98);
}

static void supplementary_groups_do_not_cross(void **state)
{
    (void)state;
    compare((struct how){.prepare = many_groups});
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(two_ordinary_runs_agree),
        TEST(closed_standard_descriptors),
        TEST(a_record_to_a_closed_descriptor),
        TEST(a_record_that_is_cut_off),
        TEST(closed_stdin_with_i),
        TEST(descriptors_open_on_host_directories),
        TEST(a_descriptor_at_the_very_top),
        TEST(stdin_a_directory),
        TEST(a_deleted_cwd),
        TEST(odd_umasks),
        TEST(sigchld_ignored),
        TEST(all_signals_blocked),
        TEST(all_signals_ignored),
        TEST(sigterm_cancels_whatever_the_caller_did_to_it),
        TEST(an_ignored_sighup_does_not_cancel),
        TEST(tiny_soft_limits_of_the_caller),
        TEST(any_number_of_descriptors),
        TEST(core_dumps_stay_off),
        TEST(odd_attributes_of_the_caller),
        TEST(a_caller_with_a_session_of_its_own),
        TEST(a_hostile_environment),
        TEST_ROOT(supplementary_groups_do_not_cross),
    };

    return harness_main(argc, argv, "callers", tests, sizeof tests / sizeof *tests);
}
