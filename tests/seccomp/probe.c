/* probe: the filter as it is live in a sandbox. The payload asks for every call from inside; here, from outside, root
 * reads the loaded filters back from the kernel and compares them, instruction by instruction, with the built one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../include/seccomp_filter.h"
#include "../integration/harness.h"

#define PAYLOAD "/workspace/payload"
#define TABLE "/workspace/table"
#define HELD 4 /* tasks of `payload hold` and pid 1: pid 1, the command, its thread, its child */

/* ---- what the payload finds ---- */

static const char *table_text(void)
{
    const char *text = file_read(TEST_TABLE, NULL);

    if (!text)
        harness_fail("%s: %s", TEST_TABLE, strerror(errno));
    return text;
}

static const char *workspace_with(const char *table)
{
    const char *workspace = workspace_make();
    const char *path = path_join(workspace, "table");

    file_write(path, table);
    if (chmod(path, 0644))
        harness_fail("%s: %s", path, strerror(errno));
    return workspace;
}

struct counts {
    unsigned long tried, refused, allowed, different;
};

static struct counts counts_of(const struct result *result)
{
    const char *line = text_line(result->out, "tried ");
    struct counts counts;

    CHECK(result, line && sscanf(line, "%lu, refused %lu, allowed %lu, different %lu", &counts.tried, &counts.refused,
                                 &counts.allowed, &counts.different) == 4);
    return counts;
}

static struct counts probe_well(const char *act)
{
    const struct result *result = RUN(HOW(.workspace = workspace_with(table_text())), "--cpus", "2", "--", PAYLOAD, act,
                                       TABLE);
    struct counts counts;

    CHECK_WELL(result);
    counts = counts_of(result);
    CHECK(result, counts.different == 0);
    print_message("# %s: %lu calls, %lu of them refused\n", act, counts.tried, counts.refused);
    return counts;
}

/* 1024 numbers, each plain, as x32 and with an upper word, and tens of thousands of combinations of arguments. */
static void every_refusal_is_the_table_s(void **state)
{
    (void)state;
    assert_in_range(probe_well("refused").refused, 20000, 1000000);
}

/* The same where the supervisor answers. He takes his time: a quarter of a minute, so only with BIVY_TEST_FULL=1; integration's `explain`
 * asks a few dozen. */
static void every_refusal_is_the_table_s_when_explained(void **state)
{
    const char *full = getenv("BIVY_TEST_FULL");
    const struct result *result;

    (void)state;
    if (!full || strcmp(full, "1")) {
        print_message("# left out without BIVY_TEST_FULL=1\n");
        return;
    }
    result = RUN(HOW(.workspace = workspace_with(table_text())), "--explain", "--cpus", "2", "--timeout", "100s", "--", PAYLOAD, "refused",
                 TABLE);
    CHECK_WELL(result);
    CHECK(result, counts_of(result).different == 0 && counts_of(result).refused > 20000);
}

static void every_number_is_answered_as_in_the_table(void **state)
{
    struct counts counts;

    (void)state;
    counts = probe_well("asked");
    assert_in_range(counts.refused, 20000, 1000000);
    assert_in_range(counts.allowed, 20000, 1000000);
}

/* ---- the 32-bit entry ---- */

/* A kernel without it ends the caller by SIGSEGV: then there is nothing to filter. */
static bool kernel_has_foreign_entry(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null < 0 || dup2(null, 1) < 0)
            _exit(98);
        execl(harness.payload, harness.payload, "native-foreign", (char *)NULL);
        _exit(98);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        harness_fail("cannot start the payload outside: %s", strerror(errno));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        harness_fail("the payload outside: wait status 0x%x", (unsigned)status);
    return true;
}

static void foreign_calls_kill_the_process(void **state)
{
    const char *workspace = workspace_make();

    (void)state;
    if (!kernel_has_foreign_entry()) {
        const struct result *result = RUN(HOW(.workspace = workspace), "--", PAYLOAD, "native-foreign");

        print_message("# this kernel has no 32-bit entry: the kernel itself ends the caller\n");
        CHECK(result, result->status == 128 + SIGSEGV);
        return;
    }
    const struct result *numbers = RUN(HOW(.workspace = workspace), "--", PAYLOAD, "foreign");
    CHECK_WELL(numbers);
    CHECK(numbers, counts_of(numbers).refused > 470 && counts_of(numbers).different == 0);
    CHECK_WELL(RUN(HOW(.workspace = workspace), "--", PAYLOAD, "foreign-thread"));
}

/* ---- would a difference be seen? ---- */

/* The table with a text of it replaced. */
static const char *spoilt(const char *table, const char *text, const char *instead)
{
    const char *at = strstr(table, text);

    if (!at)
        harness_fail("the table does not say \"%s\"", text);
    return text_format("%.*s%s%s", (int)(at - table), table, instead, at + strlen(text));
}

static void a_wrong_table_is_found_out(void **state)
{
    /* clang-format off */
    static const struct {
        const char *text, *instead, *refused, *asked; /* what the two acts say to it */
    } rows[] = {
        {"\n165\tmount\tEPERM\n", "\n165\tmount\tEINVAL\n",
         "differs: mount 0xa5 (0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff, 0xffffffffffffffff, "
         "0xffffffffffffffff, 0xffffffffffffffff): the table says EINVAL, the answer is EPERM",
         "the table says EINVAL, the answer is EPERM"},
        {"\n39\tgetpid\tallow\n", "\n39\tgetpid\tEPERM\n",
         "0xffffffffffffffff): the table says EPERM, it returned ", "the table says EPERM, the filter allows it"},
        /* the kernel knows it no more: only the second filter can tell */
        {"\n183\tafs_syscall\tENOSYS\n", "\n183\tafs_syscall\tallow\n",
         NULL, "the table says allow, the answer is ENOSYS"},
        {"\n57\tfork\tallow\n", "\n57\tfork\tallow if a3&0x1==0x1; else ENOSYS\n",
         NULL, "differs: fork 0x39 (0x0, 0x0, 0x0, 0x0, 0x0, 0x0): the table says ENOSYS, the filter allows it"},
        {"a0&0x7e020000==0x0;", "a0&0x7c020000==0x0;", NULL, "differs: clone 0x38 (0x2000000,"},
        {"EINVAL if a4&0x2==0x2;", "EINVAL if a4&0x8==0x8;", NULL, "differs: renameat2 0x13c ("},
    };
    /* clang-format on */
    const char *table = table_text();
    const struct how *how;
    const struct result *refused, *asked;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        table = spoilt(table, rows[i].text, rows[i].instead);
    how = HOW(.workspace = workspace_with(table));
    /* fork with a refusal of its own is not for the act that makes the calls: it would be a fork */
    asked = RUN(how, "--cpus", "2", "--", PAYLOAD, "asked", TABLE);
    how = HOW(.workspace = workspace_with(spoilt(table, "\n57\tfork\tallow if a3&0x1==0x1; else ENOSYS\n",
                                                 "\n57\tfork\tallow\n")));
    refused = RUN(how, "--cpus", "2", "--", PAYLOAD, "refused", TABLE);
    CHECK_ENDED(asked, "exited", 1);
    CHECK_ENDED(refused, "exited", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!strstr(asked->out, rows[i].asked))
            harness_complain(asked, rows[i].asked, __FILE__, __LINE__);
        if (rows[i].refused && !strstr(refused->out, rows[i].refused))
            harness_complain(refused, rows[i].refused, __FILE__, __LINE__);
    }
}

/* bivy-weakened can leave the filter out, and the gate that would refuse the run. */
static void a_missing_filter_is_found_out(void **state)
{
    static const char *const acts[] = {"asked", "foreign"}; /* without the filter these make no call either */
    const char *workspace = workspace_with(table_text());
    const char *strong = harness.bivy;

    (void)state;
    harness.bivy = getenv("BIVY_WEAKENED");
    if (!harness.bivy)
        harness_fail("BIVY_WEAKENED must name bivy-weakened");
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        const struct result *result;

        if (!strcmp(acts[i], "foreign") && !kernel_has_foreign_entry())
            continue;
        result = RUN(HOW(.workspace = workspace, .env = (const char *const[]){"BIVY_WEAKEN=seccomp,gate", NULL}),
                     "--cpus", "2", "--", PAYLOAD, acts[i], TABLE);
        CHECK(result, result->status == 1);
        CHECK(result, strstr(result->out, "differs: "));
    }
    harness.bivy = strong;
}

/* ---- the loaded filter ---- */

static void stop(pid_t id)
{
    int status;

    if (ptrace(PTRACE_SEIZE, id, 0, 0) || ptrace(PTRACE_INTERRUPT, id, 0, 0))
        harness_fail("task %d cannot be stopped: %s", id, strerror(errno));
    if (waitpid(id, &status, __WALL) != id || !WIFSTOPPED(status))
        harness_fail("task %d did not stop: wait status 0x%x", id, (unsigned)status);
}

/* Length of the task's filter at index, which the kernel counts from the one loaded first, or -errno. */
static int filter_of(pid_t id, unsigned index, struct sock_filter *program)
{
    long length;

    errno = 0;
    length = ptrace(PTRACE_SECCOMP_GET_FILTER, id, index, NULL);
    if (length < 0)
        return -errno;
    if (length > BPF_MAXINSNS || ptrace(PTRACE_SECCOMP_GET_FILTER, id, index, program) != length)
        harness_fail("task %d: filter %u: %s", id, index, strerror(errno));
    return (int)length;
}

static const char *status_line(pid_t id, const char *head)
{
    const char *text = file_read(text_format("/proc/%d/status", id), NULL);
    const char *line = text ? text_line(text, head) : NULL;

    if (!line)
        harness_fail("task %d: no %s in its status", id, head);
    while (*line == '\t' || *line == ' ')
        line++;
    return line;
}

/* What `bivy run` loads, with --explain or without. */
struct built {
    const struct sock_filter *program;
    int length;
};

/* The built filter and `more` others. */
static void has_the_filter(pid_t id, unsigned more, struct built built)
{
    static struct sock_filter program[BPF_MAXINSNS];
    int length;

    if (strcmp(status_line(id, "Seccomp:"), "2") || strcmp(status_line(id, "NoNewPrivs:"), "1") ||
        strcmp(status_line(id, "Seccomp_filters:"), text_format("%u", 1 + more)))
        harness_fail("task %d: mode %s, %s filters", id, status_line(id, "Seccomp:"),
                     status_line(id, "Seccomp_filters:"));
    stop(id);
    length = filter_of(id, 0, program);
    if (length != built.length)
        harness_fail("task %d: the filter has %d instructions, the built one %d", id, length, built.length);
    for (int i = 0; i < length; i++)
        if (memcmp(&program[i], &built.program[i], sizeof *program))
            harness_fail("task %d: instruction %d is {0x%x, %u, %u, 0x%x} instead of {0x%x, %u, %u, 0x%x}", id, i,
                         program[i].code, program[i].jt, program[i].jf, program[i].k, built.program[i].code,
                         built.program[i].jt, built.program[i].jf, built.program[i].k);
    if (filter_of(id, more, program) < 0 || filter_of(id, more + 1, program) != -ENOENT)
        harness_fail("task %d: there are not %u filters", id, more + 1);
    if (ptrace(PTRACE_DETACH, id, 0, 0))
        harness_fail("task %d cannot be let go: %s", id, strerror(errno));
}

/* Every task of the leaf, threads as well. */
static size_t leaf_tasks(const char *leaf, pid_t *tasks, size_t room)
{
    char *text = file_read(leaf_path(leaf, CGROUP_V2, NULL, "cgroup.threads"), NULL), *end;
    size_t count = 0;

    for (char *at = text; at && *at && count < room; at = *end ? end + 1 : end)
        tasks[count++] = (pid_t)strtol(at, &end, 10);
    return count;
}

static void the_loaded_filter_is_the_built_one(void **state)
{
    pid_t tasks[HELD + 1];

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        unsigned more = round == 1; /* a second one is counted: so the count is one */
        bool explained = round == 2;
        struct built built = explained ? (struct built){seccomp_filter_explained, seccomp_filter_explained_len}
                                       : (struct built){seccomp_filter, seccomp_filter_len};
        const char *workspace = workspace_make();
        struct session *session = START(HOW(.workspace = workspace), explained ? "--explain" : "--summary", "--", PAYLOAD,
                                        more ? "hold-two" : "hold");
        size_t own = 0;

        session_expect(session, "ready\n");
        assert_int_equal(leaf_tasks(leaf_only(), tasks, HELD + 1), HELD);
        for (size_t i = 0; i < HELD; i++) {
            bool first = !strcmp(strrchr(status_line(tasks[i], "NSpid:"), '\t'), "\t1");

            has_the_filter(tasks[i], first ? 0 : more, built);
            own += first;
        }
        assert_int_equal(own, 1); /* pid 1 is under the filter as well */
        file_write(path_join(workspace, "release"), "");
        CHECK_WELL(session_finish(session));
    }
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(every_refusal_is_the_table_s),
        TEST_ROOT(every_refusal_is_the_table_s_when_explained),
        TEST(every_number_is_answered_as_in_the_table),
        TEST(foreign_calls_kill_the_process),
        TEST_ROOT(a_wrong_table_is_found_out),
        TEST_ROOT(a_missing_filter_is_found_out),
        TEST(the_loaded_filter_is_the_built_one),
    };

    return harness_main(argc, argv, "seccomp", tests, sizeof tests / sizeof *tests);
}
