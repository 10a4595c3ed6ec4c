/* mountinfo: good lines, every prefix of one, damaged ones, and this very process's. */
#include "unit.h"

#include <limits.h>

#include "mountinfo.h"

#define LINE "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"

static int one(const char *text, struct mountinfo *out, char **copy)
{
    char *cursor = *copy = copy_text(text);

    return mountinfo_next(&cursor, out);
}

static void the_man_page_example(void **state)
{
    struct mountinfo mount;
    char *text = copy_text(LINE), *cursor = text;

    (void)state;
    assert_int_equal(mountinfo_next(&cursor, &mount), 1);
    assert_int_equal(mount.id, 36);
    assert_int_equal(mount.parent, 35);
    assert_int_equal(mount.major, 98);
    assert_int_equal(mount.minor, 0);
    assert_string_equal(mount.root, "/mnt1");
    assert_string_equal(mount.target, "/mnt2");
    assert_string_equal(mount.options, "rw,noatime");
    assert_string_equal(mount.fstype, "ext3");
    assert_string_equal(mount.source, "/dev/root");
    assert_string_equal(mount.super, "rw,errors=continue");
    assert_true(mount.propagates);
    assert_int_equal(mountinfo_next(&cursor, &mount), 0);
    assert_int_equal(mountinfo_next(&cursor, &mount), 0); /* stays at the end */
    free(text);
}

static void optional_fields(void **state)
{
    static const struct {
        const char *fields;
        bool propagates;
    } rows[] = {{"", false}, {"shared:1 ", true}, {"master:2 propagate_from:3 ", true}, {"unbindable ", true}, {"a b c d e f g h ", true}};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct mountinfo mount;
        char line[128], *copy;
        snprintf(line, sizeof line, "1 2 3:4 / /x rw %s- tmpfs none rw\n", rows[i].fields);
        assert_int_equal(one(line, &mount, &copy), 1);
        assert_int_equal(mount.propagates, rows[i].propagates);
        assert_string_equal(mount.fstype, "tmpfs");
        assert_string_equal(mount.super, "rw");
        free(copy);
    }
}

static void escapes(void **state)
{
    static const struct {
        const char *written, *meant;
    } rows[] = {
        {"/a\\040b", "/a b"},          {"/a\\011b", "/a\tb"},       {"/a\\012b", "/a\nb"},     {"/a\\134b", "/a\\b"},
        {"/a\\043b", "/a#b"},          {"\\057", "/"},              {"/\\040", "/ "},          {"/\\134040", "/\\040"},
        {"/\\377\\200", "/\xff\x80"},  {"/a\\", "/a\\"},            {"/a\\0", "/a\\0"},        {"/a\\04", "/a\\04"},
        {"/a\\08x", "/a\\08x"},        {"/a\\400", "/a\\400"},      {"/a\\\\040", "/a\\ "},    {"/\xff\xfe", "/\xff\xfe"},
        {"/\x01\x1b[31m", "/\x01\x1b[31m"}, {"/a\\049", "/a\\049"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct mountinfo mount;
        char line[256], *copy;
        snprintf(line, sizeof line, "1 2 3:4 %s %s rw - %s %s rw\n", rows[i].written, rows[i].written, rows[i].written, rows[i].written);
        assert_int_equal(one(line, &mount, &copy), 1);
        assert_string_equal(mount.root, rows[i].meant);
        assert_string_equal(mount.target, rows[i].meant);
        assert_string_equal(mount.fstype, rows[i].meant);
        assert_string_equal(mount.source, rows[i].meant);
        free(copy);
    }
}

/* mount(8) with "" as source leaves the field empty. */
static void empty_source(void **state)
{
    struct mountinfo mount;
    char *copy;

    (void)state;
    assert_int_equal(one("1 2 3:4 / /x rw - tmpfs  rw,size=4k\n", &mount, &copy), 1);
    assert_string_equal(mount.source, "");
    assert_string_equal(mount.super, "rw,size=4k");
    free(copy);
}

static void every_prefix(void **state)
{
    (void)state;
    for (size_t length = 0; length < strlen(LINE); length++) {
        struct mountinfo mount;
        char *text = copy_bytes(LINE, length + 1), *cursor = text;
        text[length] = '\0';
        assert_int_equal(mountinfo_next(&cursor, &mount), length ? -EINVAL : 0);
        free(text);
        /* cut off, but with a newline: good once the last field has begun */
        text = copy_bytes(LINE, length + 2);
        text[length] = '\n';
        text[length + 1] = '\0';
        cursor = text;
        assert_int_equal(mountinfo_next(&cursor, &mount), length > (size_t)(strstr(LINE, "rw,errors") - LINE) ? 1 : -EINVAL);
        free(text);
    }
}

static void not_lines(void **state)
{
    static const char *const lines[] = {
        "\n",
        " \n",
        "-\n",
        "- - - - - - - - - -\n",
        "x 35 98:0 / / rw - ext3 dev rw\n",
        "36 x 98:0 / / rw - ext3 dev rw\n",
        "36 35 98 / / rw - ext3 dev rw\n",
        "36 35 98: / / rw - ext3 dev rw\n",
        "36 35 :0 / / rw - ext3 dev rw\n",
        "36 35 98:0x / / rw - ext3 dev rw\n",
        "36 35 98:0:1 / / rw - ext3 dev rw\n",
        "36 35 -98:0 / / rw - ext3 dev rw\n",
        "36 35 98:-1 / / rw - ext3 dev rw\n",
        "36 35 +98:0 / / rw - ext3 dev rw\n",
        "-36 35 98:0 / / rw - ext3 dev rw\n",
        "+36 35 98:0 / / rw - ext3 dev rw\n",
        "36 0x23 98:0 / / rw - ext3 dev rw\n",
        "36  35 98:0 / / rw - ext3 dev rw\n",
        " 36 35 98:0 / / rw - ext3 dev rw\n",
        "36\t35 98:0 / / rw - ext3 dev rw\n",
        "36 35 98:0 / / rw ext3 dev rw\n",
        "36 35 98:0 / / rw shared:1 ext3 dev rw\n",
        "36 35 98:0 / / rw -- ext3 dev rw\n",
        "36 35 98:0 / / rw - ext3 dev\n",
        "36 35 98:0 / / rw - ext3 dev \n",
        "36 35 98:0 / / rw -\n",
        "36 35 4294967296:0 / / rw - ext3 dev rw\n",
        "36 35 0:4294967296 / / rw - ext3 dev rw\n",
        "18446744073709551616 35 98:0 / / rw - ext3 dev rw\n",
        "36 99999999999999999999999999 98:0 / / rw - ext3 dev rw\n",
        "36 35 99999999999999999999999999:0 / / rw - ext3 dev rw\n",
        "\xff\xfe\xfd\n",
        "36\r35\r98:0\r/\r/\rrw\r-\rext3\rdev\rrw\n",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(lines); i++) {
        struct mountinfo mount;
        char *copy;
        if (one(lines[i], &mount, &copy) != -EINVAL)
            fail_msg("taken for a line: %s", lines[i]);
        free(copy);
    }
}

static void edges_of_numbers(void **state)
{
    struct mountinfo mount;
    char *copy;

    (void)state;
    assert_int_equal(one("18446744073709551615 0 4294967295:4294967295 / / rw - x y rw\n", &mount, &copy), 1);
    assert_true(mount.id == ULONG_MAX);
    assert_int_equal(mount.parent, 0);
    assert_true(mount.major == UINT32_MAX && mount.minor == UINT32_MAX);
    free(copy);
}

/* A damaged line in the middle is told apart from the end of the text. */
static void stops_at_damage(void **state)
{
    struct mountinfo mount;
    char *text = copy_text(LINE "damage\n" LINE), *cursor = text;

    (void)state;
    assert_int_equal(mountinfo_next(&cursor, &mount), 1);
    assert_int_equal(mountinfo_next(&cursor, &mount), -EINVAL);
    free(text);
}

static void very_long(void **state)
{
    char *path = repeat_text('a', 1 << 20, ""), *options = repeat_text('-', 1 << 16, "");
    size_t size = strlen(path) + strlen(options) * 2 + 64;
    char *text = malloc(size), *cursor = text;
    struct mountinfo mount;

    (void)state;
    snprintf(text, size, "1 2 3:4 / /%s rw %s - tmpfs none %s\n", path, options, options);
    assert_int_equal(mountinfo_next(&cursor, &mount), 1);
    assert_int_equal(strlen(mount.target), strlen(path) + 1);
    assert_string_equal(mount.super, options);
    assert_int_equal(mountinfo_next(&cursor, &mount), 0);
    free(path);
    free(options);
    free(text);
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    assert_non_null(file);
    assert_true(getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    return text;
}

/* Is the field at *at, up to a blank, text as the kernel escapes it? Moves *at behind it. */
static void field_is(const char **at, const char *text, const char *escaped)
{
    char octal[5];

    for (; *text; text++) {
        bool plain = !strchr(escaped, *text);
        snprintf(octal, sizeof octal, plain ? "%c" : "\\%03o", (unsigned char)*text);
        if (strncmp(*at, octal, strlen(octal)))
            fail_msg("at %.80s: not %s", *at, text);
        *at += strlen(octal);
    }
    assert_int_equal(**at, ' ');
    ++*at;
}

/* Against the older, simpler /proc/self/mounts: the same file systems at the same places, in the same order. */
static void our_own(void **state)
{
    char *text, *mounts, *again, *cursor;
    const char *at;
    struct mountinfo mount;
    int result;

    (void)state;
    for (int tries = 0;; tries++) { /* until nobody mounted anything meanwhile */
        text = slurp("/proc/self/mountinfo");
        mounts = slurp("/proc/self/mounts");
        again = slurp("/proc/self/mountinfo");
        if (!strcmp(text, again))
            break;
        assert_true(tries < 1000);
        free(text);
        free(mounts);
        free(again);
    }
    for (cursor = text, at = mounts; (result = mountinfo_next(&cursor, &mount)) > 0; at = strchr(at, '\n') + 1) {
        field_is(&at, mount.source, " \t\n\\#");
        field_is(&at, mount.target, " \t\n\\");
        field_is(&at, mount.fstype, " \t\n\\#");
        assert_true(mountinfo_has(mount.options, "rw") != mountinfo_has(mount.options, "ro"));
    }
    assert_int_equal(result, 0);
    assert_true(at > mounts && !*at);
    free(text);
    free(mounts);
    free(again);
}

static void words_of_a_list(void **state)
{
    (void)state;
    assert_true(mountinfo_has("rw", "rw"));
    assert_true(mountinfo_has("rw,nosuid,nodev", "rw"));
    assert_true(mountinfo_has("rw,nosuid,nodev", "nosuid"));
    assert_true(mountinfo_has("rw,nosuid,nodev", "nodev"));
    assert_false(mountinfo_has("rw,nosuid,nodev", "nosui"));
    assert_false(mountinfo_has("rw,nosuid,nodev", "nosuidx"));
    assert_false(mountinfo_has("rw,nosuid,nodev", "suid"));
    assert_false(mountinfo_has("rw,nosuid,nodev", "rw,nosuid"));
    assert_false(mountinfo_has("cpuacct", "cpu"));
    assert_true(mountinfo_has("cpu,cpuacct", "cpu"));
    assert_true(mountinfo_has("cpuacct,cpu", "cpu"));
    assert_false(mountinfo_has("", "rw"));
    assert_false(mountinfo_has(",", "rw"));
    assert_true(mountinfo_has(",rw", "rw"));
    assert_true(mountinfo_has("rw,", "rw"));
    assert_false(mountinfo_has("name=memory", "memory"));
    assert_false(mountinfo_has("RW", "rw"));
    assert_true(mountinfo_has("x,\xff\xfe", "\xff\xfe"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_man_page_example), cmocka_unit_test(optional_fields),  cmocka_unit_test(escapes),
        cmocka_unit_test(empty_source),         cmocka_unit_test(every_prefix),     cmocka_unit_test(not_lines),
        cmocka_unit_test(edges_of_numbers),     cmocka_unit_test(stops_at_damage),  cmocka_unit_test(very_long),
        cmocka_unit_test(our_own),              cmocka_unit_test(words_of_a_list),
    };

    return cmocka_run_group_tests_name("mountinfo", tests, NULL, NULL);
}
