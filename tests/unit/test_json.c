/* json: what comes out is valid whatever goes in. The judge, strict_json, is tried first. */
#include "unit.h"

#include "../fuzz/strict_json.h"
#include "json.h"

/* Linked with --wrap=realloc: the allocation of that number fails. */
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
static unsigned fail_at;
void *__wrap_realloc(void *old, size_t size)
{
    if (fail_at && --fail_at == 0) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_realloc(old, size);
}

static bool valid(const char *text, size_t length)
{
    char *copy = copy_bytes(text, length);
    size_t where;
    bool good = strict_json(copy, length, &where);

    free(copy);
    return good;
}

static void the_judge(void **state)
{
    static const char *const good[] = {
        "0", "-0", "10", "-1.5e+10", "1E5", "0.001", "true", "false", "null", "\"\"", "[]", "{}", " [ 1 , 2 ] \n", "{\"a\":{\"b\":[]}}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\"", "\"\\ud83d\\ude00\"", "\"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
        "\"\x7f\"", "{\"\":0}",
    };
    static const char *const bad[] = {
        "", " ", "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "Infinity", "tru", "truee", "nul", "\"", "\"a", "[", "]", "[1,]",
        "[,1]", "[1 2]", "{", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "[}", "{]", "[1}", "1 2", "[] []", "'a'",
        "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\x01\"", "\"\n\"", "\"\t\"", "\"\\\"",
        "\"\x80\"", "\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xe0\x9f\xbf\"", "\"\xed\xa0\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"", "\"\xff\"", "\"\xc2\"", "\"\xe0\xa0\"", "\"\xf0\x90\x80\"", "\xef\xbb\xbf[]", "[]\v", "[1,\f2]",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++)
        if (!valid(good[i], strlen(good[i])))
            fail_msg("refuses %s", good[i]);
    for (size_t i = 0; i < LENGTH(bad); i++)
        if (valid(bad[i], strlen(bad[i])))
            fail_msg("takes %s", bad[i]);
    assert_false(valid("\"\0\"", 3));
    assert_false(valid("[]\0", 3));
}

/* value as the only member of an array. */
static void string_is(const char *value, size_t length, const char *expected)
{
    struct json json = {0};
    char *copy = copy_bytes(value, length);

    json_open(&json, NULL, '[');
    json_bytes(&json, NULL, copy, length);
    json_close(&json, ']');
    assert_false(json.failed);
    assert_string_equal(json.text, expected);
    assert_int_equal(json.length, strlen(expected));
    assert_true(valid(json.text, json.length));
    json_release(&json);
    free(copy);
}
#define STRING_IS(literal, expected) string_is(literal, sizeof literal - 1, "[\"" expected "\"]")

#define BAD "\\ufffd"
static void strings(void **state)
{
    (void)state;
    STRING_IS("", "");
    STRING_IS("plain /text", "plain /text");
    STRING_IS("\"\\", "\\\"\\\\");
    STRING_IS("\0\1\b\t\n\r\x1b\x1f\x7f", "\\u0000\\u0001\\u0008\\u0009\\u000a\\u000d\\u001b\\u001f\\u007f");
    STRING_IS("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    STRING_IS("\xc2\x80\xc2\x9b" "31m\xc2\x9f", "\\u0080\\u009b" "31m\\u009f");
    STRING_IS("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0"); /* controls of eight bits */
    STRING_IS("\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
              "\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    STRING_IS("a\xe2\x80\xae" "b\xe2\x80\xa8\xf3\xa0\x81\x81", "a\\u202eb\\u2028\\udb40\\udc41"); /* turned round, two lines, unseen */
    STRING_IS("\x80", BAD);
    STRING_IS("a\xff" "b", "a" BAD "b");
    STRING_IS("\xc0\xaf", BAD BAD);                 /* overlong / */
    STRING_IS("\xe0\x80\xaf", BAD BAD BAD);
    STRING_IS("\xf0\x80\x80\xaf", BAD BAD BAD BAD);
    STRING_IS("\xc1\xbf", BAD BAD);
    STRING_IS("\xed\xa0\x80", BAD BAD BAD);         /* surrogate */
    STRING_IS("\xed\xbf\xbf", BAD BAD BAD);
    STRING_IS("\xf4\x90\x80\x80", BAD BAD BAD BAD); /* above U+10FFFF */
    STRING_IS("\xf5\x80\x80\x80", BAD BAD BAD BAD);
    STRING_IS("\xc3", BAD);                         /* cut off at the end */
    STRING_IS("\xe2\x82", BAD BAD);
    STRING_IS("\xf0\x9f\x98", BAD BAD BAD);
    STRING_IS("\xc3\"", BAD "\\\"");                /* cut off by what must be escaped */
    STRING_IS("\xe2\x82\\", BAD BAD "\\\\");
    STRING_IS("\xf0\x9f\n", BAD BAD "\\u000a");
    STRING_IS("\xc3\xc3\xa9", BAD "\xc3\xa9");
}

/* All strings of one and two bytes, and of three and four where the first is a lead byte and the others are edges. */
static void every_short_string(void **state)
{
    static const unsigned char edges[] = {0x00, 0x22, 0x41, 0x5c, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff};
    struct json json = {0};
    char bytes[4];

    (void)state;
    json_open(&json, NULL, '[');
    for (int a = 0; a < 256; a++) {
        bytes[0] = (char)a;
        json_bytes(&json, NULL, bytes, 1);
        for (int b = 0; b < 256; b++) {
            bytes[1] = (char)b;
            json_bytes(&json, NULL, bytes, 2);
        }
        for (size_t b = 0; a >= 0xe0 && b < LENGTH(edges); b++)
            for (size_t c = 0; c < LENGTH(edges); c++)
                for (size_t d = 0; d < LENGTH(edges); d++) {
                    bytes[1] = (char)edges[b];
                    bytes[2] = (char)edges[c];
                    bytes[3] = (char)edges[d];
                    json_bytes(&json, NULL, bytes, 3);
                    json_bytes(&json, NULL, bytes, 4);
                }
    }
    json_close(&json, ']');
    assert_true(valid(json.text, json.length));
    json_release(&json);
}

/* Every code point comes through as it was, the controls escaped. */
static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0x80; point <= 0x10ffff; point++) {
        char bytes[5] = {0}, expected[16];
        struct json json = {0};

        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        if (point < 0x800) {
            bytes[0] = (char)(0xc0 | point >> 6);
            bytes[1] = (char)(0x80 | (point & 0x3f));
        } else if (point < 0x10000) {
            bytes[0] = (char)(0xe0 | point >> 12);
            bytes[1] = (char)(0x80 | (point >> 6 & 0x3f));
            bytes[2] = (char)(0x80 | (point & 0x3f));
        } else {
            bytes[0] = (char)(0xf0 | point >> 18);
            bytes[1] = (char)(0x80 | (point >> 12 & 0x3f));
            bytes[2] = (char)(0x80 | (point >> 6 & 0x3f));
            bytes[3] = (char)(0x80 | (point & 0x3f));
        }
        if (point < 0xa0 || point == 0x61c || point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
            (point >= 0x2066 && point <= 0x2069))
            snprintf(expected, sizeof expected, "\"\\u%04x\"", point);
        else if (point >= 0xe0000 && point <= 0xe007f)
            snprintf(expected, sizeof expected, "\"\\udb40\\udc%02x\"", point & 0xff);
        else
            snprintf(expected, sizeof expected, "\"%s\"", bytes);
        json_string(&json, NULL, bytes);
        if (strcmp(json.text, expected))
            fail_msg("U+%04X became %s", point, json.text);
        json_release(&json);
    }
}

static void numbers(void **state)
{
    struct json json = {0};

    (void)state;
    json_open(&json, NULL, '[');
    json_number(&json, NULL, 0);
    json_number(&json, NULL, UINT64_MAX);
    json_signed(&json, NULL, 0);
    json_signed(&json, NULL, INT64_MAX);
    json_signed(&json, NULL, INT64_MIN);
    json_thousandths(&json, NULL, 0);
    json_thousandths(&json, NULL, 1);
    json_thousandths(&json, NULL, 10);
    json_thousandths(&json, NULL, 1937);
    json_thousandths(&json, NULL, 1000);
    json_thousandths(&json, NULL, UINT64_MAX);
    json_bool(&json, NULL, true);
    json_bool(&json, NULL, false);
    json_null(&json, NULL);
    json_string(&json, NULL, NULL);
    json_close(&json, ']');
    assert_string_equal(json.text, "[0,18446744073709551615,0,9223372036854775807,-9223372036854775808,0.000,0.001,0.010,1.937,1.000,"
                                   "18446744073709551.615,true,false,null,null]");
    assert_true(valid(json.text, json.length));
    json_release(&json);
}

static void nesting(void **state)
{
    struct json json = {0};

    (void)state;
    json_open(&json, NULL, '{');
    json_open(&json, "empty", '{');
    json_close(&json, '}');
    json_open(&json, "list", '[');
    json_open(&json, NULL, '[');
    json_close(&json, ']');
    json_open(&json, NULL, '{');
    json_string(&json, "a", "b");
    json_null(&json, "c");
    json_close(&json, '}');
    json_number(&json, NULL, 1);
    json_close(&json, ']');
    json_bool(&json, "\"\xff\n", true); /* names are escaped as well */
    json_string(&json, "", "");
    json_close(&json, '}');
    assert_string_equal(json.text, "{\"empty\":{},\"list\":[[],{\"a\":\"b\",\"c\":null},1],\"\\\"\\ufffd\\u000a\":true,\"\":\"\"}");
    assert_true(valid(json.text, json.length));
    assert_int_equal(json.depth, 0);
    json_release(&json);
    assert_null(json.text);
    json_release(&json); /* twice does no harm */
}

static void very_long(void **state)
{
    char *value = repeat_text('\x01', 4 << 20, "");
    struct json json = {0};

    (void)state;
    json_open(&json, NULL, '[');
    json_string(&json, NULL, value);
    json_close(&json, ']');
    assert_false(json.failed);
    assert_int_equal(json.length, 4 + 6 * strlen(value));
    assert_true(valid(json.text, json.length));
    json_release(&json);
    free(value);
}

/* Whichever allocation fails: failed is set, stays set, and nothing is lost or written where it should not be. */
static void out_of_memory(void **state)
{
    bool failed = true;
    unsigned tries;

    (void)state;
    for (tries = 1; failed && tries < 100; tries++) {
        struct json json = {0};
        fail_at = tries;
        json_open(&json, NULL, '{');
        for (int i = 0; i < 100; i++)
            json_string(&json, "name", "a value of some length, so that the buffer has to grow");
        json_close(&json, '}');
        failed = json.failed;
        assert_true(failed == (fail_at == 0));
        if (!failed)
            assert_true(valid(json.text, json.length));
        json_release(&json);
        assert_false(json.failed);
    }
    fail_at = 0;
    assert_true(tries > 3 && tries < 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_judge), cmocka_unit_test(strings), cmocka_unit_test(every_short_string), cmocka_unit_test(every_code_point),
        cmocka_unit_test(numbers),   cmocka_unit_test(nesting), cmocka_unit_test(very_long),          cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
