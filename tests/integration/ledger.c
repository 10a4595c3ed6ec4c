/* ledger: every limit touched by a real run, and what record and summary make of it. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define MIB (1 << 20)

/* That limit was hit, and its hint holds the words. */
static void check_hint(const struct result *result, const char *about, const char *words)
{
    const char *text = record_hint(result, about);

    CHECK(result, record_limit_hit(result, about));
    if (!text || !strstr(text, words))
        harness_fail("the hint about %s is \"%s\", without \"%s\"", about, text ? text : "none", words);
}

/* The kernel logs ten kills in five seconds (mm/oom_kill.c, oom_rs), whoever they were; so a test that needs the log may have to wait. */
static bool victim_told(const struct result *result)
{
    return harness.user || strcmp(record_text(result, "outcome"), "oom") != 0 || !record_null(result, "memory.oom_victim");
}

static void memory_by_scratch(void **state)
{
    const struct result *result;

    (void)state;
    AWAIT(victim_told(result = RUN(HOW(.workspace = workspace_make()), "--memory", "48M", "--scratch", "40M", "--summary", "--", "sh", "-c",
                                   "dd if=/dev/zero of=/tmp/big bs=1M count=36 2>/dev/null; exec ./payload memory 33554432")));
    CHECK_ENDED(result, "oom", 137);
    check_hint(result, "memory", "at the memory limit of 48.0 MiB");
    CHECK(result, strstr(record_hint(result, "memory"), "/workspace"));
    if (!record_null(result, "memory.parts")) { /* v2 without the kernel log: everybody may be gone before there was a look */
        CHECK(result, record_number(result, "memory.parts.scratch_bytes") >= 34 * MIB);
        CHECK(result, record_number(result, "memory.parts.heap_bytes") < 14 * MIB);
    }
    CHECK(result, strstr(result->err, "bivy: oom (SIGKILL)") && strstr(result->err, "bivy:   memory: "));
    if (!harness.user) { /* who may read the kernel log */
        CHECK(result, !strcmp(record_text(result, "memory.oom_victim"), "payload"));
        CHECK(result, record_number(result, "memory.oom_victim_bytes") > MIB && record_number(result, "memory.oom_victim_bytes") < 16 * MIB);
        assert_string_equal(record_text(result, "memory.parts.moment"), "limit");
    }
}

static void memory_by_heap(void **state)
{
    const struct result *result;

    (void)state;
    AWAIT(victim_told(result = RUN(HOW(.workspace = workspace_make()), "--memory", "32M", "--", "./payload", "memory", "67108864")));
    CHECK_ENDED(result, "oom", 137);
    check_hint(result, "memory", "--memory");
    if (!harness.user) {
        CHECK(result, record_number(result, "memory.parts.heap_bytes") > 24 * MIB);
        CHECK(result, strstr(record_hint(result, "memory"), "payload, itself ") && strstr(record_hint(result, "memory"), "in parts"));
        return;
    }
    /* The kernel log is not his to read; so it is said who was large when that was looked at, which may need more than one run. */
    AWAIT(strstr(record_hint(RUN(HOW(.workspace = workspace_make()), "--memory", "32M", "--cpus", "64", "--", "./payload", "memory", "67108864"),
                             "memory"),
                 "a process (the largest seen was payload, with "));
}

/* What fills the memory is what the kernel keeps for many empty files: said so, and not to be the program's heap. */
static void memory_by_the_kernel(void **state)
{
    const struct result *result;

    (void)state;
    AWAIT(victim_told(result = RUN(HOW(.workspace = workspace_make()), "--memory", "16M", "--scratch", "8M", "--scratch-inodes", "1000000",
                                   "--", "./payload", "litter", "/tmp")));
    CHECK_ENDED(result, "oom", 137);
    check_hint(result, "memory", "--memory");
    if (harness.user)
        return;
    check_hint(result, "memory", "the kernel's own ");
    CHECK(result, record_number(result, "memory.parts.kernel_bytes") > 8 * MIB && record_number(result, "memory.parts.heap_bytes") < 4 * MIB);
}

/* A limit of the cgroup parent's for a moment, and what came of a run below it. The parent has it no more when this returns. */
static const struct result *below(enum hierarchy_name hierarchy, const char *v1_file, const char *v2_file, const char *limit, const char *script)
{
    bool v1 = *harness.mount[hierarchy];
    char *file = text_format("%s%s/%s", harness.mount[v1 ? hierarchy : CGROUP_V2], harness.parent, v1 ? v1_file : v2_file);
    struct session *session;

    file_write(file, limit);
    session = START(HOW(0), "--cpus", "1", "--timeout", "5s", "--", "sh", "-c", script);
    session_wait(session);
    file_write(file, v1 && hierarchy == CGROUP_MEMORY ? "-1" : "max"); /* before anything is checked */
    return session_finish(session);
}

/* It is not the sandbox's limit that was in the way, and a higher one would not help. */
static void processes_of_others(void **state)
{
    const struct result *result =
        below(CGROUP_PIDS, "pids.max", "pids.max", "8", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 100 & done; exit 3");
    const char *text = record_hint(result, "pids");

    (void)state;
    CHECK(result, result->status != 0 && !record_limit_hit(result, "pids"));
    if (!record_null(result, "pids.denied") && record_number(result, "pids.denied") > 0) /* newer kernels count it where the limit is */
        CHECK(result, text && !strstr(text, "--pids") && strstr(text, harness.parent));
}

static void memory_of_others(void **state)
{
    const struct result *result = below(CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", "33554432", "exec tail /dev/zero");
    const char *text = record_hint(result, "memory");

    (void)state;
    CHECK(result, !record_limit_hit(result, "memory"));
    if (!strcmp(record_text(result, "outcome"), "timeout"))
        return; /* the kernel took the program's pages again and again, as below; nothing was killed */
    CHECK_ENDED(result, "oom", 137);
    CHECK(result, text && !strstr(text, "--memory") && strstr(text, "not for the sandbox's own limit") && strstr(text, harness.parent));
}

/* A run that ends well: its parts are there, and add up to about the peak. */
static void the_parts_of_a_good_run(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--cpus", "64", "--", "sh", "-c", /* never throttled, also when slow */
                                      "dd if=/dev/zero of=/tmp/ten bs=1M count=10 2>/dev/null; ./payload memory 20971520");
    int64_t sum;

    (void)state;
    CHECK_WELL(result);
    sum = record_number(result, "memory.parts.heap_bytes") + record_number(result, "memory.parts.scratch_bytes") +
          record_number(result, "memory.parts.page_cache_bytes") + record_number(result, "memory.parts.kernel_bytes");
    /* A look at v2's statistics may be half a MiB behind (mem_cgroup_flush_stats). */
    CHECK(result, record_number(result, "memory.parts.scratch_bytes") >= 9 * MIB);
    CHECK(result, record_number(result, "memory.parts.scratch_bytes") < 12 * MIB);
    CHECK(result, record_number(result, "memory.parts.heap_bytes") >= 12 * MIB); /* of 20, in a look at four fifths of the peak or more */
    CHECK(result, record_null(result, "memory.peak_bytes") || sum <= record_number(result, "memory.peak_bytes") + 2 * MIB);
    CHECK(result, record_number(result, "scratch.used_bytes") >= 10 * MIB && record_number(result, "scratch.used_inodes") > 1);
    CHECK(result, !record_true(result, "scratch.full") && reader_count(reader_at(result->record, "hints")) == 0);
    CHECK(result, record_real(result, "cpu.used_ms") > 0 && record_real(result, "cpu.throttled_share") <= 1);
}

/* The last look was before the peak, and at the command's end somebody else is still there. */
static void the_parts_when_a_process_is_left(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--cpus", "64", "--", "sh", "-c", "sleep 0.5; ./payload memory 20971520; sleep 100 & exit 0");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "memory.peak_bytes") || record_number(result, "memory.parts.heap_bytes") >= 12 * MIB);
}

/* What was left behind takes its time to die, for there is little of a processor to be had: those looks are not the command's. */
static void the_parts_when_the_end_takes_long(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--cpus", "0.3", "--timeout", "100s", "--", "sh", "-c",
                                      "./payload memory 20971520; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 100 & done; exit 0");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "memory.peak_bytes") || record_number(result, "memory.parts.heap_bytes") >= 12 * MIB);
}

/* Where the pages of the program are charged to the sandbox itself the kernel takes them, again and again, before it kills: the command
 * makes no headway. Said to be so, not to be a loop. (Root: an ordinary user may find them mapped by others.) */
static void a_full_memory_that_nothing_is_killed_for(void **state)
{
    char program[4200];
    const struct result *result;
    int file;

    (void)state;
    snprintf(program, sizeof program, "%s/bin/busybox", harness.rootfs);
    file = open(program, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(file);
    result = BIVY("--timeout", "3s", "--memory", "64M", "--scratch", "60M", "--cpus", "1", "--", "sh", "-c",
                  "dd if=/dev/zero of=/tmp/download bs=1M count=48 2>/dev/null; exec sort /tmp/download");
    CHECK(result, !strcmp(record_text(result, "outcome"), "timeout") || !strcmp(record_text(result, "outcome"), "oom"));
    CHECK(result, record_number(result, "memory.major_faults") >= 0);
    if (strcmp(record_text(result, "outcome"), "timeout") != 0 || record_number(result, "memory.major_faults") < 500)
        return; /* it got away with it: the kernel found nothing to take */
    check_hint(result, "memory", "had to be read again");
    check_hint(result, "timeout", "short of memory");
}

static void the_processor(void **state)
{
    /* So little that also a busy host gives more than that. */
    const struct result *result = RUN(HOW(0), "--cpus", "0.02", "--", "sh", "-c", "i=0; while [ $((i += 1)) -lt 12000 ]; do :; done");

    (void)state;
    if (result->status != 0) /* a slow machine */
        CHECK_ENDED(result, "timeout", 124);
    check_hint(result, "cpu", "0.02 processors");
    CHECK(result, record_number(result, "cpu.periods") >= record_number(result, "cpu.throttled_periods"));
    CHECK(result, record_number(result, "cpu.throttled_periods") > 0);
}

static void processes(void **state)
{
    const struct result *result = RUN(HOW(0), "--pids", "6", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; exit 3");

    (void)state;
    CHECK(result, result->status != 0);
    check_hint(result, "pids", "limit of 6");
    CHECK(result, record_number(result, "pids.denied") > 0);
}

static void the_timeout(void **state)
{
    const struct result *result = RUN(HOW(0), "--timeout", "1s", "--", "sleep", "1000");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    check_hint(result, "timeout", "sleep was still at work after 1.00 s");
}

static void scratch(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--scratch", "1M", "--", "./payload", "fill", "/tmp");

    (void)state;
    CHECK_WELL(result); /* touched, and ended well all the same */
    check_hint(result, "scratch", "1.0 MiB");
    CHECK(result, record_true(result, "scratch.full"));
    result = RUN(HOW(.workspace = workspace_make()), "--scratch-inodes", "100", "--", "./payload", "litter", "/tmp");
    CHECK_WELL(result);
    check_hint(result, "scratch", "--scratch-inodes");
}

static void the_size_of_a_file(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--file-size", "1M", "--", "./payload", "fill", "/tmp");

    (void)state;
    CHECK_ENDED(result, "signaled", 128 + SIGXFSZ);
    check_hint(result, "file_size", "1.0 MiB");
    CHECK(result, record_number(result, "file_size.limit_bytes") == MIB);
    result = RUN(HOW(.workspace = workspace_make()), "--file-size", "1M", "--", "sh", "-c", "./payload fill /tmp; exit $?");
    CHECK_ENDED(result, "exited", 128 + SIGXFSZ);
    check_hint(result, "file_size", "a program that it ran");
}

static void open_files(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--open-files", "40", "--timeout", "1s", "--", "./payload", "descriptors");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    assert_string_equal(result->out, "opened 37 EMFILE\n");
    if (record_null(result, "open_files.peak"))
        return; /* before Linux 6.2 it cannot be told */
    check_hint(result, "open_files", "40 descriptors");
    CHECK(result, record_number(result, "open_files.peak") == 40);
}

/* Is that much seen of a run that is over before a tenth of a second is? Tried until it is; a machine may be too slow for such a run. */
static bool seen_in_a_short_run(const char *script, const char *path, int64_t least)
{
    bool too_slow = true;

    for (int i = 0; i < (too_slow ? 25 : 100); i++) {
        const struct result *result = SH(HOW(0), script);
        if (record_real(result, "times.setup_ms") + record_real(result, "times.wall_ms") > 95)
            continue;
        if (!record_null(result, path) && record_number(result, path) >= least)
            return true;
        too_slow = false;
    }
    return too_slow;
}

/* Full for a while, cleared up, and then the memory was something else's: touched all the same. */
static void scratch_that_was_full_once(void **state)
{
    const struct result *result;

    (void)state;
    AWAIT(record_limit_hit(result = RUN(HOW(.workspace = workspace_make()), "--scratch", "4M", "--", "sh", "-c",
                                        "dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; sleep 0.1; rm /tmp/x; ./payload memory 33554432; sleep 0.1"),
                           "scratch"));
    CHECK_WELL(result);
    CHECK(result, record_number(result, "memory.parts.scratch_bytes") < 4 * MIB && record_true(result, "scratch.full"));
    check_hint(result, "scratch", "4.0 MiB");
}

/* Most commands are over soon, and are looked at all the same. */
static void a_short_run_is_looked_at(void **state)
{
    struct stat file;

    (void)state;
    assert_int_equal(stat("/proc/self/fd", &file), 0);
    assert_true(file.st_size == 0 || /* before Linux 6.2 */
                seen_in_a_short_run("i=3; while [ $i -lt 40 ]; do eval \"exec $i</dev/null\"; i=$((i+1)); done; sleep 0.04", "open_files.peak", 40));
    assert_true(seen_in_a_short_run("dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; sleep 0.04; rm /tmp/x", "memory.parts.scratch_bytes",
                                    8 * MIB));
}

static void output(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--max-output", "8K", "--", "./payload", "spew", "65536");

    (void)state;
    CHECK_WELL(result);
    check_hint(result, "output", "stdout was 64.0 KiB, of which 8.0 KiB are kept");
    result = RUN(HOW(.workspace = workspace_make()), "--output-limit", "64K", "--", "./payload", "spew", "0", "2");
    CHECK_ENDED(result, "output_limit", 137);
    check_hint(result, "output", "stderr passed --output-limit 64.0 KiB");
}

static void endings_without_a_limit(void **state)
{
    const struct result *result = SH(HOW(0), "kill -SEGV $$");

    (void)state;
    CHECK(result, record_hint(result, "signal") && strstr(record_hint(result, "signal"), "SIGSEGV"));
    result = SH(HOW(0), "no-such-program-here");
    CHECK(result, record_hint(result, "exit_code") && strstr(record_hint(result, "exit_code"), "127"));
}

/* ---- what people see ---- */

static char *on_terminal(const char *const *environment, const char *const *words, int *status)
{
    static char text[65536];
    size_t length = 0;
    int master, slave;
    struct pollfd fd;
    pid_t pid;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    pid = fork();
    if (pid == 0) {
        const char *argv[64] = {harness.bivy, "run", "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent};
        size_t count = 6;
        for (; *words; words++)
            argv[count++] = *words;
        setsid();
        dup2(open("/dev/null", O_RDONLY), 0);
        dup2(open("/dev/null", O_WRONLY), 1);
        dup2(slave, 2);
        closefrom(3);
        execve(harness.bivy, (char **)(uintptr_t)argv, (char **)(uintptr_t)environment);
        _exit(99);
    }
    close(slave);
    fd = (struct pollfd){.fd = master, .events = POLLIN};
    while (length + 1 < sizeof text && poll(&fd, 1, GUARD_SECONDS * 1000) > 0) {
        ssize_t got = read(master, text + length, sizeof text - 1 - length);
        if (got <= 0)
            break; /* EIO: nobody has it open any more */
        length += (size_t)got;
    }
    text[length] = '\0';
    close(master);
    assert_int_equal(waitpid(pid, status, 0), pid);
    return text;
}

/* What the command may have begun on the terminal is ended before the first word of bivy's. */
static const char *after_calm(const char *text)
{
    static const char calm[] = "\030\033\\\033(B\017\033[m";

    assert_true(!strncmp(text, calm, sizeof calm - 1));
    return text + sizeof calm - 1;
}

static void a_terminal_gets_a_summary(void **state)
{
    static const char *const colour[] = {"PATH=/usr/bin:/bin", "TERM=xterm", NULL},
                             *const none[] = {"PATH=/usr/bin:/bin", "TERM=xterm", "NO_COLOR=1", NULL},
                             *const dumb[] = {"PATH=/usr/bin:/bin", "TERM=dumb", NULL};
    int status;
    const char *text = on_terminal(colour, WORDS("--", "true"), &status);

    (void)state;
    assert_int_equal(status, 0);
    assert_true(!strncmp(text, "\x1b[32mbivy: exited 0, ", strlen("\x1b[32mbivy: exited 0, ")) && strstr(text, "\x1b[0m\r\n"));
    assert_true(strchr(text, '\n') == text + strlen(text) - 1); /* one line */
    text = on_terminal(none, WORDS("--", "true"), &status);
    assert_true(!strncmp(text, "bivy: exited 0, ", 16) && !strchr(text, '\x1b'));
    text = on_terminal(none, WORDS("--", "sh", "-c", "printf '\\033]0;' >&2"), &status); /* of which the terminal would wait for the end */
    assert_true(!strncmp(text, "\033]0;", 4) && !strncmp(after_calm(text + 4), "\r\nbivy: exited 0, ", 18));
    text = on_terminal(dumb, WORDS("--", "false"), &status);
    assert_true(!strncmp(text, "bivy: exited 1, ", 16) && !strchr(text, '\x1b') && strchr(text, '\n') != text + strlen(text) - 1);
    text = on_terminal(colour, WORDS("--quiet", "--", "true"), &status);
    assert_string_equal(text, "");
}

static void no_terminal_no_summary(void **state)
{
    const struct result *result = BIVY("--", "false");

    (void)state;
    CHECK(result, result->err_length == 0);
    result = BIVY("--summary", "--", "false");
    CHECK(result, !strncmp(result->err, "bivy: exited 1, ", 16) && !strchr(result->err, '\x1b'));
    result = BIVY("--summary", "--quiet", "--", "false");
    CHECK(result, result->err_length == 0);
}

/* Each line is ours, and ends. */
static void check_lines(const struct result *result)
{
    for (const char *at = result->err; *at; at++)
        CHECK(result, (unsigned char)*at >= 0x20 || *at == '\n');
    for (const char *line = result->err; *line; line = strchr(line, '\n') + 1)
        CHECK(result, !strncmp(line, "bivy: ", 6) && strchr(line, '\n'));
}

/* A victim's name is the command's to choose. */
static void hostile_names(void **state)
{
    const char *workspace = workspace_make();
    const struct result *result;

    (void)state;
    result = RUN(HOW(.workspace = workspace), "--memory", "16M", "--summary", "--", "sh", "-c",
                 "cp payload \"$(printf '\\033]0;x\\007\\n\"\\\\')\"; exec ./*x* memory 67108864");
    CHECK(result, result->status != 0);
    check_lines(result);
    result = RUN(HOW(.workspace = workspace), "--timeout", "1s", "--kill-after", "0s", "--summary", "--", "sh", "-c", /* U+202E, U+2028, U+E0041 */
                 "n=$(printf 'x\\342\\200\\256\\342\\200\\250\\363\\240\\201\\201'); mkfifo \"/tmp/$n\"; cp payload \"$n\"; exec ./\"$n\" spew 1 <\"/tmp/$n\"");
    CHECK_ENDED(result, "timeout", 124);
    check_lines(result);
    CHECK(result, strstr(result->err, "/tmp/x\\xe2\\x80\\xae\\xe2\\x80\\xa8\\xf3\\xa0\\x81\\x81") && !strchr(result->record_text, '\xe2'));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(memory_by_scratch),
        TEST(memory_by_heap),
        TEST(memory_by_the_kernel),
        TEST_ROOT(processes_of_others),
        TEST_ROOT(memory_of_others),
        TEST(the_parts_of_a_good_run),
        TEST(the_parts_when_a_process_is_left),
        TEST(the_parts_when_the_end_takes_long),
        TEST_ROOT(a_full_memory_that_nothing_is_killed_for),
        TEST(the_processor),
        TEST(processes),
        TEST(the_timeout),
        TEST(scratch),
        TEST(the_size_of_a_file),
        TEST(open_files),
        TEST(scratch_that_was_full_once),
        TEST(a_short_run_is_looked_at),
        TEST(output),
        TEST(endings_without_a_limit),
        TEST_ROOT(a_terminal_gets_a_summary),
        TEST(no_terminal_no_summary),
        TEST(hostile_names),
    };

    return harness_main(argc, argv, "ledger", tests, sizeof tests / sizeof tests[0]);
}
