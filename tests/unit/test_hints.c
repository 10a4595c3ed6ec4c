/* hints, ledger and summary: made-up outcomes, each with one thing wrong; and names that want to break out. */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "hints.h"
#include "ledger.h"
#include "summary.h"

#define MIB ((uint64_t)1 << 20)
#define SECOND UINT64_C(1000000000)
#define EXITED(status) ((status) << 8)

static char *argv[] = {(char *)(uintptr_t) "/usr/bin/job", NULL};
static struct place workspace = {.mount = "/srv"};
static struct spec spec;
static struct plan plan;
static struct outcome outcome;
static struct hint hints[HINTS_MOST];
static struct summary_line lines[SUMMARY_MOST];

static int fresh(void **state)
{
    (void)state;
    spec = (struct spec){.argv = argv, .memory = 64 * MIB, .cpu = 500, .pids = 50, .scratch = 32 * MIB, .scratch_inodes = 1000,
                         .open_files = 64, .file_size = SPEC_UNLIMITED, .timeout = 30 * SECOND};
    plan = (struct plan){.id = "0123456789ab", .memory = spec.memory, .cpu = spec.cpu, .pids = spec.pids, .scratch = spec.scratch,
                         .scratch_inodes = spec.scratch_inodes, .open_files = spec.open_files, .file_size = SPEC_UNLIMITED,
                         .timeout = spec.timeout, .max_output = MIB, .output_limit = 64 * MIB, .workspace = &workspace,
                         .cgroup_parent = "/agents.slice"};
    outcome = (struct outcome){.kind = OUTCOME_EXITED, .have_status = true, .ran = true, .have_readings = true, .enforced = 15,
                               .ready_at = SECOND, .ended_at = 2 * SECOND,
                               .readings = {.have_peak = true, .have_cpu = true, .have_throttled = true, .have_pids = true,
                                            .have_pids_peak = true, .memory_peak = 5 * MIB, .pids_peak = 3, .periods = 10},
                               .ended = {.scratch_seen = 1, .scratch_bytes = MIB, .scratch_inodes = 9}};
    return 0;
}

/* Exactly the named limits are hit. */
static void hit(const char *names)
{
    char text[200] = "";

    for (int limit = 0; limit < LEDGER_COUNT; limit++)
        if (ledger_hit((enum ledger)limit, &plan, &outcome))
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", text[0] ? " " : "", ledger_name((enum ledger)limit));
    assert_string_equal(text, names);
}

/* The first hint is about that and says all the words. */
static void says(const char *about, const char *one, const char *two)
{
    size_t count = hints_make(&spec, &plan, &outcome, hints);

    if (count == 0)
        fail_msg("no hint, %s is missing", about);
    assert_string_equal(hints[0].about, about);
    if (!strstr(hints[0].text, one) || !strstr(hints[0].text, two))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", hints[0].text, one, two);
}

static void all_is_well(void **state)
{
    (void)state;
    hit("");
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 0);
    assert_int_equal(summary_make(&spec, &plan, &outcome, lines), 1);
    assert_string_equal(lines[0].text, "exited 0, 1.00 s, peak memory 5.0 MiB of 64.0 MiB");
    assert_int_equal(lines[0].tone, TONE_GOOD);
    /* held back now and then: told in the record, not worth a block */
    outcome.readings.throttled_periods = 1;
    hit("cpu");
    assert_int_equal(summary_make(&spec, &plan, &outcome, lines), 1);
    outcome.readings.throttled = 3 * SECOND;
    says("cpu", "0.5 processors held the command back for 3.00 s, in", "1 of 10 periods");
    outcome.readback.processors = 4; /* of which three seconds are the sum */
    says("cpu", "750.0 ms on each of 4, in", "1 of 10 periods");
}

static void memory(void **state)
{
    (void)state;
    outcome.kind = OUTCOME_OOM;
    outcome.wait_status = SIGKILL;
    outcome.readings.memory_peak = 64 * MIB;
    outcome.readings.oom_kills = 1;
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "python3");
    outcome.victim.bytes = 12 * MIB;
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 12 * MIB, .scratch = 51 * MIB};
    hit("memory");
    says("memory", "python3, itself 12.0 MiB large, was killed at the memory limit of 64.0 MiB", "write large files to /workspace, which");
    assert_non_null(strstr(hints[0].text, "scratch 51.0 MiB"));
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 60 * MIB, .scratch = MIB};
    says("memory", "heap 60.0 MiB", "in parts");
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 40 * MIB, .scratch = 20 * MIB};
    says("memory", "to /workspace", "in parts");
    outcome.usage.moment = MOMENT_NONE;
    outcome.victim = (struct oom_report){0};
    says("memory", "a process was killed", "--memory");
    assert_null(strstr(hints[0].text, "heap"));
    outcome.usage = (struct usage){.moment = MOMENT_SAMPLE, .total = 3 * MIB, .heap = MIB, .scratch = 2 * MIB}; /* the last look was early */
    says("memory", "memory limit of 64.0 MiB: use less at a time", "--memory");
    outcome.most = (struct processes){.bytes = 11 * MIB, .name = "python3"}; /* no log to be had, but looks were taken */
    says("memory", "a process (the largest seen was python3, with 11.0 MiB) was killed", "--memory");
    outcome.readings.oom_kills = 0;
    outcome.kind = OUTCOME_EXITED;
    outcome.wait_status = 0;
    outcome.usage = (struct usage){.moment = MOMENT_END, .total = 64 * MIB, .heap = MIB, .cache = 60 * MIB};
    says("memory", "nothing was killed", "takes such pages back");
    outcome.have_major_faults = true; /* at the start of a large program, say */
    outcome.major_faults = 300;
    says("memory", "nothing was killed", "takes such pages back");
    outcome.kind = OUTCOME_TIMEOUT;
    outcome.major_faults = 7551;
    outcome.usage = (struct usage){.moment = MOMENT_SAMPLE, .total = 64 * MIB, .heap = 15 * MIB, .scratch = 48 * MIB};
    says("memory", "7551 times a page", "to /workspace");
    assert_true(summary_make(&spec, &plan, &outcome, lines) > 1); /* also on exit 0 */
}

/* What it is that fills the memory decides what helps. */
static void memory_of_the_kernel(void **state)
{
    (void)state;
    outcome.kind = OUTCOME_OOM;
    outcome.wait_status = SIGKILL;
    outcome.readings.memory_peak = 64 * MIB;
    outcome.readings.oom_kills = 1;
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 8 * MIB, .scratch = 9 * MIB, .kernel = 47 * MIB};
    says("memory", "the kernel's own 47.0 MiB", "fewer of them at once");
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 20 * MIB, .cache = 44 * MIB};
    says("memory", "page cache 44.0 MiB)", "in parts"); /* killed: the kernel could not take those pages back */
}

/* A limit above the sandbox's, or the host, ran out: its own is not blamed, nor is a higher one advised. */
static void others_ran_out(void **state)
{
    (void)state;
    outcome.kind = OUTCOME_OOM;
    outcome.wait_status = SIGKILL;
    outcome.readings.oom_kills = 1;
    outcome.readings.memory_peak = 30 * MIB; /* the log is not to be had: the peak tells */
    hit("");
    says("memory", "a process was killed for want of memory", "/agents.slice or a cgroup above");
    assert_true(strstr(hints[0].text, "30.0 MiB of 64.0 MiB") && strstr(hints[0].text, "the host") && !strstr(hints[0].text, "--memory"));
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "python3");
    outcome.victim.of = OOM_ABOVE;
    says("memory", "python3 was killed", "MemoryMax=");
    assert_null(strstr(hints[0].text, "the host"));
    outcome.victim.of = OOM_OF_HOST;
    says("memory", "python3 was killed", "the host ran out of memory");
    outcome.victim.of = OOM_OF_LEAF; /* what the log says counts */
    hit("memory");
    says("memory", "python3 was killed at the memory limit of 64.0 MiB", "--memory");
    outcome.victim.of = OOM_UNKNOWN;
    outcome.readings.have_peak = false; /* nothing to tell by */
    hit("memory");
    fresh(state);
    outcome.readings.pids_denied = 3;
    outcome.readings.pids_peak = 20;
    hit("");
    says("pids", "20 of its 50", "TasksMax=");
    assert_null(strstr(hints[0].text, "--pids"));
    assert_true(summary_make(&spec, &plan, &outcome, lines) > 1);
    outcome.readings.have_pids_peak = false;
    hit("pids");
}

/* /workspace is scratch where the caller gave none. */
static void without_a_workspace(void **state)
{
    (void)state;
    plan.workspace = NULL;
    outcome.ended.scratch_full = 1;
    says("scratch", "--workspace DIR", "--scratch");
    fresh(state);
    plan.workspace = NULL;
    outcome.out.seen = 3 * MIB;
    says("output", "--workspace DIR", "--max-output");
    fresh(state);
    plan.workspace = NULL;
    outcome.readings.memory_peak = 64 * MIB;
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 12 * MIB, .scratch = 51 * MIB};
    says("memory", "--workspace DIR", "--memory");
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = 64 * MIB, .heap = 40 * MIB, .scratch = 20 * MIB};
    says("memory", "--workspace DIR", "in parts");
}

/* However long its name is: what to do is still there. */
static void a_long_name(void **state)
{
    static char longest[5000], *words[] = {longest, NULL};
    static struct autopsy autopsy = {.processes = 1, .told = 1, .complete = true, .process = {{.pid = 2, .state = 'R', .waits = AUTOPSY_RUNNING}}};

    (void)state;
    memset(longest, 'n', sizeof longest - 1);
    memset(autopsy.process[0].name, 'p', sizeof autopsy.process[0].name - 1);
    spec.argv = words;
    outcome.kind = OUTCOME_TIMEOUT;
    outcome.wait_status = SIGTERM;
    outcome.autopsy = &autopsy;
    says("timeout", "nnnn was still at work", "look for a loop without an end");
    outcome.kind = OUTCOME_SIGNALED;
    outcome.wait_status = SIGSEGV;
    says("signal", "nnnn was ended by SIGSEGV", "no limit of bivy's does that");
}

/* What cannot see its limit must be told, but once. */
static void a_runtime_that_is_blind(void **state)
{
    char *told[] = {(char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t) "JAVA_TOOL_OPTIONS=-Xmx32m", NULL};

    (void)state;
    outcome.kind = OUTCOME_OOM;
    outcome.wait_status = SIGKILL;
    outcome.readings.memory_peak = 64 * MIB;
    outcome.readings.oom_kills = 1;
    outcome.victim.bytes = 63 * MIB;
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "java");
    says("memory", "java, itself 63.0 MiB large, was killed", "; Java cannot see this limit: tell it, --env JAVA_TOOL_OPTIONS=-XX:MaxRAM=67108864");
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "dotnet");
    says("memory", "dotnet", "--env DOTNET_GCHeapHardLimit=0x3000000");
    plan.env = told;
    says("memory", ".NET cannot see", "0x3000000");
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "java");
    hints_make(&spec, &plan, &outcome, hints);
    assert_null(strstr(hints[0].text, "Java cannot"));
    snprintf(outcome.victim.name, sizeof outcome.victim.name, "javac");
    plan.env = NULL;
    hints_make(&spec, &plan, &outcome, hints);
    assert_null(strstr(hints[0].text, "--env"));
}

static void the_other_limits(void **state)
{
    fresh(state);
    outcome.readings.pids_denied = 12;
    outcome.readings.pids_peak = 50;
    outcome.wait_status = EXITED(1);
    hit("pids");
    says("pids", "12 times", "limit of 50");
    fresh(state);
    outcome.kind = OUTCOME_TIMEOUT;
    outcome.wait_status = SIGTERM;
    hit("timeout");
    says("timeout", "job was still at work after 30.00 s", "--timeout");
    struct autopsy autopsy = {.processes = 3, .told = 3, .complete = true, .process = {
        {.pid = 2, .name = "sh", .state = 'S', .waits = AUTOPSY_CHILD, .call = "wait4"},
        {.pid = 3, .name = "sleep", .state = 'S', .waits = AUTOPSY_SLEEP, .call = "nanosleep"},
        {.pid = 4, .name = "cat", .state = 'S', .waits = AUTOPSY_PIPE, .call = "read", .on = {{.is = AUTOPSY_IS_PIPE}}, .on_count = 1},
    }};
    outcome.autopsy = &autopsy;
    says("timeout", "sleep (pid 3)", "sleep for less"); /* cat waits for another process of the run; whom it waits for says more */
    assert_int_equal(summary_make(&spec, &plan, &outcome, lines), 6);
    for (int wait = 0; wait < AUTOPSY_WAITS; wait++) {
        autopsy.process[1].waits = (enum autopsy_wait)wait;
        assert_in_range(hints_make(&spec, &plan, &outcome, hints), 1, HINTS_MOST);
    }
    outcome.autopsy = NULL;
    fresh(state);
    outcome.kind = OUTCOME_TIMEOUT;
    outcome.autopsy = &autopsy;
    autopsy.process[1].waits = AUTOPSY_SLEEP;
    char name[4097], *words[] = {name, NULL};
    memset(name, '\033', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(autopsy.process[1].command, name, autopsy.process[1].command_length = AUTOPSY_COMMAND);
    spec.argv = words;
    says("timeout", "(pid 3): sleeps", "sleep for less, or raise --timeout"); /* long names do not push out what matters */
    outcome.autopsy = NULL;
    fresh(state);
    outcome.kind = OUTCOME_STUCK;
    hit("");
    says("stuck", "does not end what was killed", "bivy clean");
    outcome.timed_out = true;
    outcome.starved = true;
    hit("timeout");
    says("stuck", "no processor", "run fewer");
    outcome.have_status = false;
    outcome.ended_at = 0;
    assert_true(summary_make(&spec, &plan, &outcome, lines) > 1);
    assert_non_null(strstr(lines[0].text, "stuck, not ended, "));
    fresh(state);
    outcome.ended.scratch_full = 1;
    hit("scratch");
    says("scratch", "32.0 MiB", "no space left on device");
    outcome.ended.scratch_inodes = 1000;
    says("scratch", "1000 files", "--scratch-inodes");
    fresh(state); /* cleared up before it ended; and shared memory that is no file */
    outcome.scratch_most = 32 * MIB;
    hit("scratch");
    outcome.scratch_most = 40 * MIB;
    hit("");
    fresh(state);
    plan.file_size = 4 * MIB;
    outcome.kind = OUTCOME_SIGNALED;
    outcome.wait_status = SIGXFSZ;
    hit("file_size");
    says("file_size", "4.0 MiB", "SIGXFSZ");
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 1);
    fresh(state);
    outcome.most.open_files = 64;
    hit("open_files");
    says("open_files", "64 descriptors", "--open-files");
    outcome.most.open_files = 63;
    hit("");
    fresh(state);
    outcome.kind = OUTCOME_OUTPUT_LIMIT;
    outcome.wait_status = SIGKILL;
    outcome.err.seen = 65 * MIB;
    hit("output");
    says("output", "stderr passed --output-limit 64.0 MiB", "ended");
    fresh(state);
    plan.file_size = 4 * MIB; /* as a shell tells of a program of its own; said once */
    outcome.wait_status = EXITED(128 + SIGXFSZ);
    hit("file_size");
    says("file_size", "a program that it ran", "SIGXFSZ");
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 2);
    assert_null(strstr(hints[1].text, "SIGXFSZ"));
    plan.file_size = SPEC_UNLIMITED;
    hit("");
    fresh(state);
    outcome.out.seen = 3 * MIB;
    outcome.out.passed = MIB;
    hit("output");
    says("output", "stdout was 3.0 MiB, of which 1.0 MiB are kept", "--max-output");
}

static void endings(void **state)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGPIPE, SIGKILL, SIGTERM};
    char name[OUTCOME_SIGNAL_TEXT];

    (void)state;
    for (size_t i = 0; i < LENGTH(signals); i++) {
        outcome.kind = OUTCOME_SIGNALED;
        outcome.wait_status = signals[i];
        says("signal", outcome_signal_name(signals[i], name), "job");
    }
    outcome.wait_status = SIGUSR1;
    says("signal", "SIGUSR1", "sent it");
    outcome.kind = OUTCOME_CANCELLED;
    outcome.cancel_signal = SIGHUP;
    says("cancelled", "bivy was sent SIGHUP", "ended the run");
    outcome.kind = OUTCOME_EXITED;
    outcome.wait_status = EXITED(0);
    outcome.kind = OUTCOME_EXITED;
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 0);
    outcome.wait_status = EXITED(127);
    says("exit_code", "127", "not found");
    outcome.wait_status = EXITED(126);
    says("exit_code", "126", "chmod");
    outcome.wait_status = EXITED(139);
    says("exit_code", "139", "SIGSEGV");
    outcome.wait_status = EXITED(129); /* git, called wrongly */
    says("exit_code", "exited 129", "without a word");
    outcome.wait_status = EXITED(255);
    says("exit_code", "job exited 255 without a word on stderr", "no limit was seen");
    assert_int_equal(summary_make(&spec, &plan, &outcome, lines), 3); /* and the ledger's line */
    outcome.trouble = TROUBLE_FULL;
    says("workspace", "full", "delete");
}

/* The command's words come last, and count for less than what was seen. */
static void its_own_words(void **state)
{
    static struct words words;
    const char text[] = "begin\ntouch: /etc/x: Read-only file system\n\n", other[] = "bash: fork: Resource temporarily unavailable\n";

    (void)state;
    words_take(&words, text, sizeof text - 1);
    outcome.words = &words;
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 0); /* all went well */
    outcome.wait_status = EXITED(1);
    says("rootfs", "job exited 1; on stderr: \"touch: /etc/x: Read-only file system\"", "/workspace");
    outcome.wait_status = EXITED(126);
    says("rootfs", "exited 126", "/workspace");
    words_take(&words, other, sizeof other - 1);
    outcome.wait_status = EXITED(2);
    says("exit_code", "exited 2", "Resource temporarily unavailable"); /* but no fork was refused: some other EAGAIN */
    outcome.readings.have_pids = false;
    says("pids", "exited 2", "--pids");
    outcome.readings.have_pids = true;
    words_take(&words, "chown: x: Operation not permitted\n", 34);
    says("privileges", "no privilege", "--explain");
    plan.explain = true;
    says("privileges", "no privilege", "do without it");
    assert_null(strstr(hints[0].text, "--explain"));
    words_take(&words, other, sizeof other - 1);
    outcome.readings.pids_denied = 3; /* known for sure: said once */
    outcome.readings.pids_peak = 50;
    says("pids", "refused 3 times", "--pids");
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 2);
    assert_string_equal(hints[1].about, "exit_code");
    assert_string_equal(hints[1].text, "job exited 2; on stderr: \"bash: fork: Resource temporarily unavailable\"");
    outcome.wait_status = EXITED(126); /* the words say what it was, the convention something else */
    hints_make(&spec, &plan, &outcome, hints);
    assert_null(strstr(hints[1].text, "chmod"));
    outcome.kind = OUTCOME_SIGNALED;
    outcome.wait_status = SIGABRT;
    hints_make(&spec, &plan, &outcome, hints);
    assert_non_null(strstr(hints[1].text, "on stderr: \"bash: fork"));
    fresh(state); /* what was full is known: scratch is not blamed too */
    words_take(&words, "dd: No space left on device\n", 28);
    outcome.words = &words;
    outcome.wait_status = EXITED(1);
    says("scratch", "delete something in the workspace", "--scratch");
    outcome.trouble = TROUBLE_FULL;
    says("workspace", "full", "delete");
    assert_int_equal(hints_make(&spec, &plan, &outcome, hints), 2);
    assert_string_equal(hints[1].about, "exit_code");
    outcome.trouble = TROUBLE_NONE;
    plan.workspace = NULL; /* nor is there one in which something could be deleted */
    says("scratch", "--workspace", "--scratch");
    assert_null(strstr(hints[0].text, "in the workspace"));
}

static void no_plan(void **state)
{
    (void)state;
    outcome = (struct outcome){.kind = OUTCOME_SETUP_FAILED};
    assert_int_equal(hints_make(&spec, NULL, &outcome, hints), 0);
    fault_set(&outcome.fault, STAGE_OPTIONS, EINVAL, "spell it right", "--no-such-option: unknown");
    assert_int_equal(hints_make(&spec, NULL, &outcome, hints), 1);
    assert_string_equal(hints[0].about, "setup");
    assert_string_equal(hints[0].text, "nothing of the command ran: --no-such-option: unknown: spell it right");
    assert_int_equal(summary_make(&spec, NULL, &outcome, lines), 1);
    for (int limit = 0; limit < LEDGER_COUNT; limit++)
        assert_false(ledger_hit((enum ledger)limit, NULL, &outcome));
}

/* Everything at once, with the longest names: cut off, ended, never more than there is room for. */
static void everything(void **state)
{
    static char longest[5000], *words[] = {longest, NULL};
    struct json json = {0};
    size_t count;

    (void)state;
    memset(longest, '\n', sizeof longest - 1);
    spec.argv = words;
    memset(outcome.victim.name, '\x1b', sizeof outcome.victim.name - 1);
    outcome.kind = OUTCOME_TIMEOUT;
    outcome.readings.oom_kills = outcome.readings.pids_denied = outcome.readings.throttled_periods = UINT64_MAX;
    outcome.readings.throttled = outcome.readings.memory_peak = outcome.readings.pids_peak = UINT64_MAX;
    outcome.readings.cpu_user = outcome.out.seen = outcome.err.seen = outcome.most.open_files = UINT64_MAX;
    outcome.usage = (struct usage){.moment = MOMENT_LIMIT, .total = UINT64_MAX, .heap = UINT64_MAX / 2, .scratch = UINT64_MAX / 2};
    outcome.ended = (struct ended){.scratch_seen = 1, .scratch_full = 1, .scratch_bytes = UINT64_MAX, .scratch_inodes = UINT64_MAX};
    memset(outcome.residue, 0xff, sizeof outcome.residue - 1);
    hit("memory cpu pids timeout scratch open_files output");
    count = hints_make(&spec, &plan, &outcome, hints);
    assert_int_equal(count, 7);
    for (size_t i = 0; i < count; i++)
        assert_non_null(memchr(hints[i].text, '\0', sizeof hints[i].text));
    count = summary_make(&spec, &plan, &outcome, lines);
    assert_in_range(count, 9, SUMMARY_MOST);
    for (size_t i = 0; i < count; i++)
        assert_non_null(memchr(lines[i].text, '\0', sizeof lines[i].text));
    json_open(&json, NULL, '{');
    ledger_write(&json, &spec, &outcome, &plan);
    hints_write(&json, &spec, &plan, &outcome);
    json_close(&json, '}');
    assert_false(json.failed);
    for (const char *at = json.text; *at; at++)
        assert_true((unsigned char)*at >= 0x20);
    json_release(&json);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_is_well, fresh), cmocka_unit_test_setup(memory, fresh), cmocka_unit_test_setup(a_runtime_that_is_blind, fresh),
        cmocka_unit_test_setup(the_other_limits, fresh),
        cmocka_unit_test_setup(memory_of_the_kernel, fresh), cmocka_unit_test_setup(others_ran_out, fresh),
        cmocka_unit_test_setup(without_a_workspace, fresh), cmocka_unit_test_setup(a_long_name, fresh),
        cmocka_unit_test_setup(endings, fresh),     cmocka_unit_test_setup(no_plan, fresh), cmocka_unit_test_setup(everything, fresh),
        cmocka_unit_test_setup(its_own_words, fresh),
    };

    return cmocka_run_group_tests_name("hints", tests, NULL, NULL);
}
