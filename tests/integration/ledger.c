/* ledger: every limit touched by a real run, and what record and summary make of it. */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    }
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
    const struct result *result = RUN(HOW(0), "--cpus", "0.02", "--", "sh", "-c", "i=0; while [ $((i += 1)) -lt 60000 ]; do :; done");

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
    const struct result *result = RUN(HOW(0), "--timeout", "300ms", "--", "sleep", "1000");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    check_hint(result, "timeout", "sleep was still at work after 300.0 ms");
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

/* A victim's name is the command's to choose. */
static void hostile_names(void **state)
{
    const char *workspace = workspace_make();
    const struct result *result;

    (void)state;
    result = RUN(HOW(.workspace = workspace), "--memory", "16M", "--summary", "--", "sh", "-c",
                 "cp payload \"$(printf '\\033]0;x\\007\\n\"\\\\')\"; exec ./*x* memory 67108864");
    CHECK(result, result->status != 0);
    for (const char *at = result->err; *at; at++)
        CHECK(result, (unsigned char)*at >= 0x20 || *at == '\n');
    for (const char *line = result->err; *line; line = strchr(line, '\n') + 1)
        CHECK(result, !strncmp(line, "bivy: ", 6) && strchr(line, '\n'));
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(memory_by_scratch),
        TEST(memory_by_heap),
        TEST(the_parts_of_a_good_run),
        TEST(the_parts_when_a_process_is_left),
        TEST_ROOT(a_full_memory_that_nothing_is_killed_for),
        TEST(the_processor),
        TEST(processes),
        TEST(the_timeout),
        TEST(scratch),
        TEST(the_size_of_a_file),
        TEST(open_files),
        TEST(output),
        TEST(endings_without_a_limit),
        TEST_ROOT(a_terminal_gets_a_summary),
        TEST(no_terminal_no_summary),
        TEST(hostile_names),
    };

    return harness_main(argc, argv, "ledger", tests, sizeof tests / sizeof tests[0]);
}
