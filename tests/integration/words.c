/* words: what a command said before it failed, in the record and in the hints; and that no failure is without a hint. */
#include <stdio.h>
#include <string.h>

#include "harness.h"

static const char *hint(const struct result *result, const char *about)
{
    const char *text = record_hint(result, about);

    return text ? text : "";
}

static void the_last_words(void **state)
{
    const struct result *result = BIVY("--", "sh", "-c", "echo one >&2; echo 'two: the end' >&2; exit 3");

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    assert_string_equal(record_text(result, "stderr.tail"), "one\ntwo: the end\n");
    CHECK(result, strstr(hint(result, "exit_code"), "sh exited 3; on stderr: \"two: the end\""));
    assert_string_equal(result->err, "one\ntwo: the end\n");
}

static void only_of_a_failure(void **state)
{
    const struct result *result = BIVY("--", "sh", "-c", "echo warning >&2");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_null(result, "stderr.tail") && !*hint(result, "exit_code"));
    assert_string_equal(result->err, "warning\n");
}

/* dd's failure is hidden by the command behind it: what it said is there all the same. */
static void of_a_limit_that_was_met(void **state)
{
    const struct result *result = BIVY("--scratch", "1M", "--", "sh", "-c", "dd if=/dev/zero of=/tmp/x bs=64k count=100; echo done");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_limit_hit(result, "scratch") && strstr(record_text(result, "stderr.tail"), "No space left on device"));
}

/* What passed, what was left out of the middle, and what is the end: the same bytes, whether they were passed on or not. */
static void the_end_of_a_flood(void **state)
{
    const struct result *result =
        BIVY("--max-output", "1K", "--", "sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo \"line $i of it\"; i=$((i+1)); done >&2; exit 1");
    const char *tail;
    size_t length;

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    tail = record_text(result, "stderr.tail");
    length = strlen(tail);
    CHECK(result, length > 900 && length <= 1000 && !strncmp(tail, "line ", 5));
    CHECK(result, strstr(tail, "line 2998 of it\nline 2999 of it\n"));
    CHECK(result, record_true(result, "stderr.truncated") && result->err_length < 1200);
}

/* A timeout, a signal and a command killed for memory have last words too. */
static void however_it_ended(void **state)
{
    const struct result *result = BIVY("--timeout", "1s", "--kill-after", "100ms", "--", "sh", "-c", "echo began >&2; sleep 100");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    assert_string_equal(record_text(result, "stderr.tail"), "began\n");
    result = BIVY("--", "sh", "-c", "echo 'assertion failed: x > 0' >&2; kill -ABRT $$");
    CHECK_ENDED(result, "signaled", 134);
    CHECK(result, strstr(hint(result, "signal"), "on stderr: \"assertion failed: x > 0\""));
}

/* A failure that says nothing is the command's own affair, and said to be. */
static void a_failure_without_a_word(void **state)
{
    const struct result *result = BIVY("--cpus", "64", "--", "false"); /* never held back, also when slow */

    (void)state;
    CHECK_ENDED(result, "exited", 1);
    CHECK(result, record_null(result, "stderr.tail") && strstr(hint(result, "exit_code"), "without a word on stderr"));
    CHECK(result, strstr(hint(result, "exit_code"), "no limit was seen"));
}

static void what_they_mean(void **state)
{
    static const struct {
        const char *script, *about, *words;
    } rows[] = {
        {"no-such-program", "exit_code", "rootfs/build --packages"},
        {"touch /etc/x", "rootfs", "only /workspace and scratch"},
        {"mount -t tmpfs x /tmp", "privileges", "no privilege"},
        {"cat /etc/shadow", "privileges", "may not do that"},
        {"i=3; while [ $i -lt 2000 ]; do eval \"exec $i</dev/null\"; i=$((i+1)); done", "open_files", "--open-files"}, /* too short for a look */
        {"mount x /y; touch /etc/x", "rootfs", "on stderr: \"touch: "},
    };
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        result = SH(HOW(0), rows[i].script);
        CHECK(result, strcmp(record_text(result, "outcome"), "exited") == 0 && result->status != 0);
        if (!strstr(hint(result, rows[i].about), rows[i].words))
            harness_fail("%s: the hint about %s is \"%s\", without \"%s\"", rows[i].script, rows[i].about, hint(result, rows[i].about), rows[i].words);
        CHECK(result, strcmp(rows[i].about, "rootfs") || !record_limit_hit(result, "scratch"));
    }
}

/* One list to read, also when nothing ran. */
static void a_setup_that_failed(void **state)
{
    const struct result *result = BIVY("--", "/no/such/program");

    (void)state;
    CHECK_ENDED(result, "setup_failed", 127);
    CHECK(result, strstr(hint(result, "setup"), "nothing of the command ran: ") && strstr(hint(result, "setup"), "/no/such/program"));
    CHECK(result, strstr(hint(result, "setup"), record_text(result, "error.hint")) && record_null(result, "stderr.tail"));
    result = BIVY("--memory", "1K", "--", "true");
    CHECK_ENDED(result, "setup_failed", 125);
    CHECK(result, strstr(hint(result, "setup"), "--memory"));
}

/* They want to break out of JSON, of the quotes and of the terminal. */
static void hostile_words(void **state)
{
    const struct result *result = BIVY("--summary", "--max-output", "1K", "--", "sh", "-c",
                                       "printf '\\033]0;x\\007\\000\\377\\302\\233\"\\\\\\n' >&2; head -c 3000 /dev/urandom >&2; "
                                       "printf '\\nbivy: exited 0\\033[2J\\n' >&2; exit 9");
    const char *ours;

    (void)state;
    CHECK_ENDED(result, "exited", 9);
    CHECK(result, strstr(hint(result, "exit_code"), "sh exited 9; on stderr: \"bivy: exited 0\\x1b[2J\""));
    CHECK(result, strstr(record_text(result, "stderr.tail"), "bivy: exited 0\x1b[2J\n"));
    ours = memmem(result->err, result->err_length, "\nbivy: exited 9", 15);
    CHECK(result, ours);
    for (const char *at = ours; *at; at++)
        CHECK(result, (unsigned char)*at >= 0x20 || *at == '\n');
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(the_last_words),
        TEST(only_of_a_failure),
        TEST(of_a_limit_that_was_met),
        TEST(the_end_of_a_flood),
        TEST(however_it_ended),
        TEST(a_failure_without_a_word),
        TEST(what_they_mean),
        TEST(a_setup_that_failed),
        TEST(hostile_words),
    };

    return harness_main(argc, argv, "words", tests, sizeof tests / sizeof tests[0]);
}
