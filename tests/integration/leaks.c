/* leaks: a thousand runs, eight at a time, leave nothing: no cgroup, mount, process, file or descriptor more than
 * before. BIVY_TEST_RUNS sets another number (an emulated machine is slow). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h> /* not <sys/mount.h>: the C library's declares the same things again */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define AT_ONCE 8

static int runs_wanted(void)
{
    const char *text = getenv("BIVY_TEST_RUNS");
    int runs = text ? atoi(text) : 1000;

    assert_true(runs > 0);
    return runs;
}

static size_t count_entries(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

/* All memory cgroups of the machine, dying ones as well. */
static long memory_cgroups(void)
{
    const char *line = text_line(file_read("/proc/cgroups", NULL), "memory\t");
    long count = 0;

    assert_true(line && sscanf(line, "%*d %ld", &count) == 1);
    return count;
}

struct counts {
    size_t leaves, descriptors;
    long cgroups;
};

static struct counts take_counts(void)
{
    return (struct counts){leaf_count(), count_entries("/proc/self/fd"), memory_cgroups()};
}

static void run_many(struct how *how, int runs, const char *const *words)
{
    struct session *sessions[AT_ONCE] = {NULL};
    const struct result *result;

    for (int i = 0; i < runs + AT_ONCE; i++) {
        struct session **slot = &sessions[i % AT_ONCE];
        if (*slot) {
            result = session_finish(*slot);
            CHECK_WELL(result);
        }
        *slot = i < runs ? session_start(how, words) : NULL;
    }
}

static void compare_counts(const struct counts *before)
{
    struct counts after = take_counts();

    assert_int_equal(before->leaves, after.leaves);
    assert_int_equal(before->descriptors, after.descriptors);
}

/* Others may make and lose cgroups meanwhile, and the kernel frees dead ones when it likes: so with patience, and a
 * bound well below one a run. */
static void compare_cgroups(const struct counts *before, int runs)
{
    for (double end = now() + 20; memory_cgroups() > before->cgroups + 5 + runs / 10; nap())
        if (now() > end)
            harness_fail("%d runs left %ld memory cgroups more than before", runs, memory_cgroups() - before->cgroups);
}

static void a_thousand_runs_leave_nothing(void **state)
{
    int runs = runs_wanted();
    struct counts before;

    (void)state;
    CHECK_WELL(BIVY("--", "/bin/true"));
    before = take_counts();
    run_many(HOW(0), runs, WORDS("--", "/bin/true"));
    compare_counts(&before);
    compare_cgroups(&before, runs);
}

static void runs_that_write_leave_nothing_but_their_files(void **state)
{
    int runs = runs_wanted() / 10 + 20;
    struct how how = {.workspace = workspace_make()};
    struct counts before = take_counts();

    (void)state;
    run_many(&how, runs,
             WORDS("--", "sh", "-c", "head -c 100000 /dev/zero > file.$RANDOM.$$; cat /etc/passwd > /tmp/x"));
    compare_counts(&before);
    /* A file's pages are charged to the run that wrote them until they are taken back, and hold its dead cgroup. Nothing else may:
     * without the files all go. */
    assert_int_equal(system(text_format("rm -rf '%s'", how.workspace)), 0);
    compare_cgroups(&before, runs);
}

/* Where the files stay, dead memory cgroups stay with their pages, a few hundred; then a run that is alone gives them back, and so does
 * bivy clean. Only for root: on v1 nobody else may write the parent's files. */
static void dead_cgroups_do_not_pile_up(void **state)
{
    int runs = runs_wanted() * 3 / 10; /* more than a run puts up with (leaves.c), where the machine is fast */
    const struct result *result;
    struct statfs files;
    struct how how = {.workspace = workspace_make()};
    struct counts before = take_counts();

    (void)state;
    run_many(&how, runs, WORDS("--", "sh", "-c", "echo hello > file.$RANDOM.$$"));
    for (int i = 0; i < 100 && memory_cgroups() > before.cgroups + 250; i++) /* alone now; one in eight looks */
        CHECK_WELL(session_finish(session_start(HOW(0), WORDS("--", "true"))));
    if (memory_cgroups() > before.cgroups + 250)
        harness_fail("%d runs that wrote left %ld memory cgroups more than before", runs, memory_cgroups() - before.cgroups);
    /* In memory, as all of the virtual machine's file system is, a file's pages are the file: only its removal gives them back. */
    assert_int_equal(statfs(how.workspace, &files), 0);
    if (files.f_type == TMPFS_MAGIC || files.f_type == OVERLAYFS_SUPER_MAGIC)
        assert_int_equal(system(text_format("rm -rf '%s'", how.workspace)), 0);
    sync(); /* else clean waits for the disk as long as it must, and no longer than 2 s */
    result = session_finish(session_start(HOW(.verb = "clean"), (const char *const[]){NULL}));
    CHECK(result, result->status == 0);
    compare_cgroups(&before, 0);
}

/* Where nothing can be written, nothing can be left: all mounts but those of the kernel's own file systems become
 * read-only. */
static void make_the_host_read_only(void *data)
{
    static const char *const writable[] = {"/proc", "/dev", "/sys/fs/cgroup"};
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    (void)data;
    if (unshare(CLONE_NEWNS) || syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof attr))
        _exit(98);
    attr = (struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY};
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
        if (syscall(SYS_mount_setattr, AT_FDCWD, writable[i], AT_RECURSIVE, &attr, sizeof attr))
            _exit(97);
    if (open("/tmp/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0)
        _exit(96);
}

static void no_file_is_needed_on_the_host(void **state)
{
    const struct result *result;

    (void)state;
    result = SH(HOW(.prepare = make_the_host_read_only), "echo works; echo too > /tmp/x; cat /tmp/x");
    CHECK_WELL(result);
    assert_string_equal(result->out, "works\ntoo\n");
    check_refused(RUN(HOW(.prepare = make_the_host_read_only), "--memory", "x", "--", "true"), "options", "--memory");
}

/* Failed set-ups, commands not found, timeouts: the other ways out of bivy. */
static void failed_runs_leave_nothing(void **state)
{
    int runs = runs_wanted() / 20 + 1;
    struct how how = {.workspace = workspace_make()};
    struct counts before = take_counts();

    (void)state;
    for (int i = 0; i < runs; i++) {
        struct session *sessions[] = {
            START(&how, "--", "no-such-command"),
            START(&how, "--timeout", "20ms", "--kill-after", "0s", "--", "./payload", "stubborn"),
            START(&how, "--memory", "8M", "--", "./payload", "memory", "0"),
            START(HOW(.workspace = "/no/such/workspace"), "--", "true"),
            START(&how, "--output-limit", "64K", "--", "./payload", "spew", "0"),
            START(&how, "--", "./payload", "orphan"),
        };
        static const char *const outcomes[] = {"setup_failed", "timeout",      "oom",
                                               "setup_failed", "output_limit", "exited"};
        for (size_t s = 0; s < 6; s++) {
            const struct result *result = session_finish(sessions[s]);
            /* 20 ms may be over before set-up is: then nothing of the command ran, and the record says so */
            CHECK(result, !strcmp(record_text(result, "outcome"), outcomes[s]) ||
                              (s == 1 && !strcmp(record_text(result, "outcome"), "setup_failed")));
        }
    }
    compare_counts(&before);
    compare_cgroups(&before, runs * 6);
}

/* bivy killed by SIGKILL again and again, while others run: one sweep by the next run, and nothing is left. */
static void killed_runs_are_swept(void **state)
{
    int runs = runs_wanted() / 20 + 1;
    struct counts before = take_counts();

    (void)state;
    for (int i = 0; i < runs; i++) {
        struct session *victims[4], *good = START(HOW(0), "--", "true");
        for (int v = 0; v < 4; v++)
            victims[v] = START(HOW(0), "--", "sh", "-c", "echo up; sleep 1000");
        for (int v = 0; v < 2; v++)
            session_expect(victims[v], "up\n"); /* two die in their command, two wherever they are */
        for (int v = 0; v < 4; v++)
            session_kill(victims[v], SIGKILL);
        for (int v = 0; v < 4; v++)
            CHECK(&victims[v]->result, session_finish(victims[v])->killed);
        CHECK_WELL(session_finish(good));
    }
    AWAIT(session_finish(session_start(HOW(0), WORDS("--", "true")))->status == 0 && leaf_count() == 0);
    compare_counts(&before);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(a_thousand_runs_leave_nothing), TEST(runs_that_write_leave_nothing_but_their_files),
        TEST_ROOT(dead_cgroups_do_not_pile_up),
        TEST(no_file_is_needed_on_the_host), TEST(failed_runs_leave_nothing),
        TEST(killed_runs_are_swept),
    };

    return harness_main(argc, argv, "leaks", tests, sizeof tests / sizeof *tests);
}
