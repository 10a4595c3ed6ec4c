/* words: what is kept of what was said, in pieces of every size; which line of it means something; and bytes of every kind. */
#include "unit.h"

#include "words.h"

static struct words words;
static struct words_said said;

static int fresh(void **state)
{
    (void)state;
    words = (struct words){.seen = 0};
    return 0;
}

/* As a heap copy of exact size. */
static void take(const char *text)
{
    char *copy = copy_bytes(text, strlen(text));

    words_take(&words, copy, strlen(text));
    free(copy);
}

static void silence(void **state)
{
    char tail[WORDS_MOST];

    (void)state;
    assert_int_equal(words_tail(&words, tail), 0);
    assert_false(words_telling(&words, 1, &said));
    take("\n \n\t\r\n");
    assert_false(words_telling(&words, 1, &said));
    assert_string_equal(said.line, "");
}

/* The end of a long text, whatever the pieces that it came in: whole lines, up to the last byte. */
static void the_end_of_it(void **state)
{
    char whole[4000], tail[WORDS_MOST];
    size_t length = 0;

    (void)state;
    for (int line = 0; length + 40 < sizeof whole; line++)
        length += (size_t)snprintf(whole + length, sizeof whole - length, "line %d says something\n", line);
    for (size_t piece = 1; piece < length; piece += piece < 20 ? 1 : 61) {
        fresh(NULL);
        for (size_t at = 0; at < length; at += piece)
            words_take(&words, whole + at, length - at < piece ? length - at : piece);
        size_t got = words_tail(&words, tail);
        assert_true(got <= WORDS_MOST && got > WORDS_MOST - 40);
        assert_memory_equal(tail, whole + length - got, got);
        assert_memory_equal(tail, "line ", 5);
    }
}

/* Exactly as much as there is room for is kept whole; a line longer than that is cut. */
static void edges(void **state)
{
    char tail[WORDS_MOST];
    char *most = repeat_text('x', WORDS_MOST, "");

    (void)state;
    take(most);
    assert_int_equal(words_tail(&words, tail), WORDS_MOST);
    take("y");
    assert_int_equal(words_tail(&words, tail), WORDS_MOST);
    assert_true(tail[0] == 'x' && tail[WORDS_MOST - 1] == 'y');
    assert_true(words_telling(&words, 1, &said));
    assert_int_equal(strlen(said.line), WORDS_LINE - 1);
    take("\n"); /* the only line's end is no beginning of another */
    assert_int_equal(words_tail(&words, tail), WORDS_MOST);
    free(most);
}

static void tells(const char *text, int status, const char *line, const char *about)
{
    fresh(NULL);
    take(text);
    assert_true(words_telling(&words, status, &said));
    assert_string_equal(said.line, line);
    if (!about)
        assert_null(said.about);
    else if (!said.about)
        fail_msg("\"%s\" is not known to be about %s", line, about);
    else
        assert_string_equal(said.about, about);
    assert_true(!said.about == !said.mend);
}

/* As real programs said it. */
static void known_lines(void **state)
{
    (void)state;
    tells("sh: python3: not found\n", 127, "sh: python3: not found", "exit_code");
    tells("error: 404 not found\n", 1, "error: 404 not found", NULL);
    tells("sh: ./run: Permission denied\n", 126, "sh: ./run: Permission denied", "exit_code");
    tells("cat: can't open '/root/x': Permission denied\n", 1, "cat: can't open '/root/x': Permission denied", "privileges");
    tells("Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\nModuleNotFoundError: No module named 'numpy'\n", 1,
          "ModuleNotFoundError: No module named 'numpy'", "packages");
    tells("node:internal/modules/cjs/loader:1080\n  throw err;\nError: Cannot find module 'express'\n  code: 'MODULE_NOT_FOUND'\n}\n\nNode.js v18\n", 1,
          "Error: Cannot find module 'express'", "packages");
    tells("touch: /etc/x: Read-only file system\n", 1, "touch: /etc/x: Read-only file system", "rootfs");
    tells("OSError: [Errno 24] Too many open files: 'x'\n", 1, "OSError: [Errno 24] Too many open files: 'x'", "open_files");
    tells("curl: (6) Could not resolve host: pypi.org\n", 6, "curl: (6) Could not resolve host: pypi.org", "network");
    tells("wget: bad address 'pypi.org'\n", 1, "wget: bad address 'pypi.org'", "network");
    tells("npm error code EAI_AGAIN\nnpm error network request failed\n", 1, "npm error code EAI_AGAIN", "network");
    tells("dd: error writing 'x': No space left on device\n3+0 records in\n", 1, "dd: error writing 'x': No space left on device", "scratch");
    tells("dd: error writing '/tmp/x': File too large\n", 1, "dd: error writing '/tmp/x': File too large", "file_size");
    tells("sh: ./tool: not found\n", 127, "sh: ./tool: not found", "exit_code");
    assert_non_null(strstr(said.mend, "musl"));
    tells("sh: pip: not found\n", 127, "sh: pip: not found", "exit_code");
    assert_null(strstr(said.mend, "musl"));
    tells("wget: can't connect to remote host (127.0.0.1): Network unreachable\n", 1,
          "wget: can't connect to remote host (127.0.0.1): Network unreachable", "network");
    assert_non_null(strstr(said.mend, "--network loopback"));
    tells("wget: can't connect to remote host (192.0.2.1): Network unreachable\n", 1,
          "wget: can't connect to remote host (192.0.2.1): Network unreachable", "network");
    assert_null(strstr(said.mend, "loopback"));
    tells("mount: permission denied (are you root?)\n", 1, "mount: permission denied (are you root?)", "privileges");
    tells("bash: fork: retry: Resource temporarily unavailable\n", 254, "bash: fork: retry: Resource temporarily unavailable", "pids");
    tells("a\n\nthe last one \n\n", 1, "the last one ", NULL);
    tells("without an end", 1, "without an end", NULL);
}

/* The nearest to the end counts. */
static void the_last_known_line(void **state)
{
    (void)state;
    tells("x: Read-only file system\ny: Permission denied\nfailed\n", 1, "y: Permission denied", "privileges");
}

/* Any bytes, the same each time. */
static unsigned any(void)
{
    static uint32_t seed = 7;

    seed = seed * 1664525 + 1013904223;
    return seed >> 16;
}

static void hostile_bytes(void **state)
{
    static const char bytes[] = "\xff\xfe\0\x1b]0;title\x07\xc2\x9b" "31m\x7f";
    char *random = malloc(5000);

    (void)state;
    words_take(&words, bytes, sizeof bytes - 1);
    assert_true(words_telling(&words, 1, &said));
    assert_string_equal(said.line, "\\xff\\xfe\\x00\\x1b]0;title\\x07\\xc2\\x9b31m\\x7f");
    assert_non_null(random);
    for (int round = 0; round < 2000; round++) {
        size_t length = any() % 5000;
        fresh(NULL);
        for (size_t i = 0; i < length; i++)
            random[i] = (char)(any() % 3 ? any() : '\n');
        words_take(&words, random, length);
        if (words_telling(&words, (int)(any() % 256), &said))
            for (const char *at = said.line; *at; at++)
                assert_false((unsigned char)*at < 0x20 || *at == 0x7f);
    }
    free(random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(silence, fresh),       cmocka_unit_test_setup(the_end_of_it, fresh),
        cmocka_unit_test_setup(edges, fresh),         cmocka_unit_test_setup(known_lines, fresh),
        cmocka_unit_test_setup(the_last_known_line, fresh), cmocka_unit_test_setup(hostile_bytes, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
