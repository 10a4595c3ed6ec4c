/* Unit tests of listing: aligned columns, hostile bytes, cuts. */
#include "unit.h"

#include <string.h>

#include "listing.h"

static void escaped(const char *bytes, size_t length, size_t columns, const char *expected)
{
    char text[512];
    size_t used = listing_escape(bytes, length, columns, text, sizeof text);

    assert_string_equal(text, expected);
    assert_true(used <= columns);
}

static void test_escape(void **state)
{
    (void)state;
    escaped("plain", 5, 40, "plain");
    escaped("a\033[31mb\n\t\x7f", 10, 40, "a\\x1b[31mb\\x0a\\x09\\x7f");
    escaped("\x9b\xff\xc2\x9b", 4, 40, "\\x9b\\xff\\xc2\\x9b"); /* the C1 introducer, raw and as UTF-8 */
    escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, 40, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    escaped("a\xe2\x80\xae", 4, 40, "a\\xe2\\x80\\xae"); /* turns round what follows */
    escaped("\xc3", 1, 40, "\\xc3"); /* cut in the middle of a character */
    escaped("a\0b", 3, 40, "a\\x00b");
    escaped("0123456789", 10, 10, "0123456789");
    escaped("0123456789a", 11, 10, "0123456...");
    escaped("01234\n\n", 7, 10, "01234...");
    escaped("\n\n\n\n", 4, 10, "\\x0a...");
    escaped("", 0, 10, "");
}

/* A buffer that is too small for what the columns would allow is never overrun. */
static void test_escape_room(void **state)
{
    char text[16], bytes[64];

    (void)state;
    memset(bytes, '\n', sizeof bytes);
    for (size_t size = 8; size <= sizeof text; size++) {
        memset(text, 'X', sizeof text);
        listing_escape(bytes, sizeof bytes, 60, text, size);
        assert_non_null(memchr(text, '\0', size));
        for (size_t i = size; i < sizeof text; i++)
            assert_int_equal(text[i], 'X');
    }
}

static struct listing_row row_of(const char *id, enum live_state state, const char *command, size_t length)
{
    struct listing_row row = {.live = {.state = state, .age = 61000000000, .owner = 1000}, .command_length = length};

    snprintf(row.live.id, sizeof row.live.id, "%s", id);
    memcpy(row.command, command, length);
    return row;
}

static void test_text(void **state)
{
    struct listing_row rows[2] = {row_of("0123456789ab", LIVE_RUNNING, "sh\0-c\0x\ny\0", 10), row_of("ba9876543210", LIVE_HIDDEN, "", 0)};
    char *text;

    (void)state;
    rows[0].usage = (struct live_usage){.have_memory = true, .memory = 1024, .have_pids = true, .pids = 3, .have_pids_limit = true, .pids_limit = 50};
    snprintf(rows[0].user, sizeof rows[0].user, "al\nice");
    assert_int_equal(0, listing_text(rows, 2, &text));
    assert_string_equal(text, "ID            STATE    AGE    USER       MEMORY     CPU  PIDS  WORKSPACE  COMMAND\n"
                              "0123456789ab  running  1m01s  al\\x0aice  1.0 KiB/-  -    3/50  -          sh -c x\\x0ay\n"
                              "ba9876543210  hidden   1m01s  1000       -/-        -    -/-   -          -\n");
    free(text);
    rows[0].live.state = LIVE_STALE; /* which needs its cgroup said to bivy clean */
    assert_int_equal(0, listing_text(rows, 1, &text));
    assert_non_null(strstr(text, "  WORKSPACE  CGROUP  COMMAND\n"));
    assert_non_null(strstr(text, "  -          /       sh -c x"));
    free(text);
    rows[0].live.state = LIVE_RUNNING;
    snprintf(rows[1].live.parent, sizeof rows[1].live.parent, "/a\nb");
    assert_int_equal(0, listing_text(rows, 2, &text)); /* in several */
    assert_non_null(strstr(text, "  /a\\x0ab  -\n"));
    free(text);
    assert_int_equal(0, listing_text(NULL, 0, &text));
    assert_string_equal(text, "ID  STATE  AGE  USER  MEMORY  CPU  PIDS  WORKSPACE  COMMAND\n");
    free(text);
}

static void test_json(void **state)
{
    struct listing_row row = row_of("0123456789ab", LIVE_KEPT, "a\xff\0cut", 6);
    struct json json = {0};

    (void)state;
    row.have_left = true;
    row.left = 1500000000;
    snprintf(row.live.parent, sizeof row.live.parent, "/a\033b");
    listing_json(&json, "", &row, 1);
    assert_false(json.failed);
    assert_non_null(strstr(json.text, "\"cgroup_parent\":\"/\""));
    assert_non_null(strstr(json.text, "\"cgroup_parent\":\"/a\\u001bb\""));
    assert_non_null(strstr(json.text, "\"state\":\"kept\",\"age_seconds\":61.000,\"kept_seconds\":1.500,"));
    assert_non_null(strstr(json.text, "\"command\":[\"a\\ufffd\",\"cut\"]"));
    assert_non_null(strstr(json.text, "\"memory\":{\"used_bytes\":null,\"limit_bytes\":null}"));
    json_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_room),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
