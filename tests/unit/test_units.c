/* units: every form, every edge of 64 bits, every kind of junk. */
#include "unit.h"

#include "units.h"

#define MAX UINT64_MAX
#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

typedef int parser(const char *text, uint64_t low, uint64_t high, uint64_t *out);

struct row {
    const char *text;
    int result;
    uint64_t value;
    uint64_t low, high; /* both 0: the whole range */
};

/* The text is given as a heap copy; *out must change on success only. */
static int parse(parser *parse_text, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *copy = copy_text(text);
    int result;

    *out = UNTOUCHED;
    result = parse_text(copy, low, high, out);
    if (result < 0)
        assert_true(*out == UNTOUCHED);
    free(copy);
    return result;
}

static void check(parser *parse_text, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        int result = parse(parse_text, rows[i].text, rows[i].low, rows[i].high ? rows[i].high : MAX, &value);
        if (result != rows[i].result || (!result && value != rows[i].value))
            fail_msg("\"%s\": gave %d, %llu; should give %d, %llu", rows[i].text, result, (unsigned long long)value, rows[i].result,
                     (unsigned long long)rows[i].value);
    }
}

static void sizes(void **state)
{
    static const struct row rows[] = {
        {"0B", 0, 0, 0, 0},
        {"1B", 0, 1, 0, 0},
        {"4096B", 0, 4096, 0, 0},
        {"1K", 0, 1024, 0, 0},
        {"256M", 0, UINT64_C(256) << 20, 0, 0},
        {"1.5G", 0, UINT64_C(3) << 29, 0, 0},
        {"1T", 0, UINT64_C(1) << 40, 0, 0},
        {"000256M", 0, UINT64_C(256) << 20, 0, 0},
        {"0.5B", 0, 0, 0, 0}, /* rounded down */
        {"1.999999999B", 0, 1, 0, 0},
        {"0.000000001G", 0, 1, 0, 0},
        {"0.000976562K", 0, 0, 0, 0},
        {"0.000976563K", 0, 1, 0, 0},
        {"0.999999999T", 0, UINT64_C(1099511626676), 0, 0},
        /* the 64-bit edge */
        {"18446744073709551615B", 0, MAX, 0, 0},
        {"18446744073709551616B", -ERANGE, 0, 0, 0},
        {"18446744073709551617B", -ERANGE, 0, 0, 0},
        {"18446744073709551615.999999999B", 0, MAX, 0, 0},
        {"184467440737095516150B", -ERANGE, 0, 0, 0},
        {"18014398509481983K", 0, MAX - 1023, 0, 0},
        {"18014398509481984K", -ERANGE, 0, 0, 0},
        {"18014398509481983.999K", 0, MAX - 1, 0, 0},
        {"16777215T", 0, MAX - (UINT64_C(1) << 40) + 1, 0, 0},
        {"16777216T", -ERANGE, 0, 0, 0},
        {"16777215.999999999T", 0, MAX - 1099, 0, 0},
        {"99999999999999999999G", -ERANGE, 0, 0, 0},
        /* bounds */
        {"4M", 0, 4 << 20, 4 << 20, 8 << 20},
        {"8M", 0, 8 << 20, 4 << 20, 8 << 20},
        {"4194303B", -ERANGE, 0, 4 << 20, 8 << 20},
        {"8388609B", -ERANGE, 0, 4 << 20, 8 << 20},
        {"0B", -ERANGE, 0, 1, MAX},
        /* not of the form */
        {"", -EINVAL, 0, 0, 0},
        {"0", -EINVAL, 0, 0, 0},
        {"256", -EINVAL, 0, 0, 0},
        {"M", -EINVAL, 0, 0, 0},
        {"-1", -EINVAL, 0, 0, 0},
        {"-1M", -EINVAL, 0, 0, 0},
        {"+1M", -EINVAL, 0, 0, 0},
        {"12Q", -EINVAL, 0, 0, 0},
        {"256M ", -EINVAL, 0, 0, 0},
        {" 256M", -EINVAL, 0, 0, 0},
        {"256 M", -EINVAL, 0, 0, 0},
        {"256M\n", -EINVAL, 0, 0, 0},
        {"256MB", -EINVAL, 0, 0, 0},
        {"256MiB", -EINVAL, 0, 0, 0},
        {"256m", -EINVAL, 0, 0, 0},
        {"1.M", -EINVAL, 0, 0, 0},
        {".5M", -EINVAL, 0, 0, 0},
        {".M", -EINVAL, 0, 0, 0},
        {"1..5M", -EINVAL, 0, 0, 0},
        {"1.5.5M", -EINVAL, 0, 0, 0},
        {"1,5M", -EINVAL, 0, 0, 0},
        {"1.0000000000M", -EINVAL, 0, 0, 0}, /* ten decimals */
        {"0x10M", -EINVAL, 0, 0, 0},
        {"1e3M", -EINVAL, 0, 0, 0},
        {"nan", -EINVAL, 0, 0, 0},
        {"inf", -EINVAL, 0, 0, 0},
        {"none", -EINVAL, 0, 0, 0},
        {"1_000M", -EINVAL, 0, 0, 0},
        {"\xd9\xa1M", -EINVAL, 0, 0, 0},     /* ARABIC-INDIC DIGIT ONE */
        {"\xef\xbc\x91M", -EINVAL, 0, 0, 0}, /* FULLWIDTH DIGIT ONE */
        {"1\xc2\xa0M", -EINVAL, 0, 0, 0},    /* NO-BREAK SPACE */
        {"1M\xff", -EINVAL, 0, 0, 0},
        {"\xff\xfe", -EINVAL, 0, 0, 0},
        {"1\x01M", -EINVAL, 0, 0, 0},
        {"99999999999999999999Q", -EINVAL, 0, 0, 0}, /* malformed comes before out of range */
    };

    (void)state;
    check(units_size, rows, LENGTH(rows));
}

static void times(void **state)
{
    static const struct row rows[] = {
        {"0s", 0, 0, 0, 0},
        {"500ms", 0, 500000000, 0, 0},
        {"30s", 0, UINT64_C(30000000000), 0, 0},
        {"2m", 0, UINT64_C(120000000000), 0, 0},
        {"1h", 0, UINT64_C(3600000000000), 0, 0},
        {"1.5s", 0, 1500000000, 0, 0},
        {"0.000000001s", 0, 1, 0, 0},
        {"0.000001ms", 0, 1, 0, 0},
        {"0.0000001ms", 0, 0, 0, 0},
        {"0.999999999h", 0, UINT64_C(3599999996400), 0, 0},
        {"18446744073.709551615s", 0, MAX, 0, 0},
        {"18446744073.709551616s", -ERANGE, 0, 0, 0},
        {"18446744073709.551615ms", 0, MAX, 0, 0},
        {"18446744073709.551616ms", -ERANGE, 0, 0, 0},
        {"5124095h", 0, UINT64_C(5124095) * 3600000000000, 0, 0},
        {"5124096h", -ERANGE, 0, 0, 0},
        {"18446744073709551616h", -ERANGE, 0, 0, 0},
        {"10ms", 0, 10000000, 10000000, 20000000},
        {"9.999999ms", -ERANGE, 0, 10000000, 20000000},
        {"20.000001ms", -ERANGE, 0, 10000000, 20000000},
        {"", -EINVAL, 0, 0, 0},
        {"0", -EINVAL, 0, 0, 0},
        {"30", -EINVAL, 0, 0, 0},
        {"1e9", -EINVAL, 0, 0, 0},
        {"1e9s", -EINVAL, 0, 0, 0},
        {"nan", -EINVAL, 0, 0, 0},
        {"nans", -EINVAL, 0, 0, 0},
        {"infs", -EINVAL, 0, 0, 0},
        {"-1s", -EINVAL, 0, 0, 0},
        {"s", -EINVAL, 0, 0, 0},
        {"1 s", -EINVAL, 0, 0, 0},
        {"1s ", -EINVAL, 0, 0, 0},
        {"1S", -EINVAL, 0, 0, 0},
        {"1M", -EINVAL, 0, 0, 0},
        {"1us", -EINVAL, 0, 0, 0},
        {"1mss", -EINVAL, 0, 0, 0},
        {"1sec", -EINVAL, 0, 0, 0},
        {"1m30s", -EINVAL, 0, 0, 0},
        {"1.s", -EINVAL, 0, 0, 0},
        {"1s\x7f", -EINVAL, 0, 0, 0},
        {"1\xc2\xb5s", -EINVAL, 0, 0, 0}, /* MICRO SIGN */
    };

    (void)state;
    check(units_time, rows, LENGTH(rows));
}

static void thousandths(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0, 0, 0},
        {"0.5", 0, 500, 0, 0},
        {"2", 0, 2000, 0, 0},
        {"0.001", 0, 1, 0, 0},
        {"1.999", 0, 1999, 0, 0},
        {"18446744073709551.615", 0, MAX, 0, 0},
        {"18446744073709551.616", -ERANGE, 0, 0, 0},
        {"18446744073709552", -ERANGE, 0, 0, 0},
        {"0", -ERANGE, 0, 10, 512000},
        {"0.009", -ERANGE, 0, 10, 512000},
        {"0.01", 0, 10, 10, 512000},
        {"512", 0, 512000, 10, 512000},
        {"512.001", -ERANGE, 0, 10, 512000},
        {"1000", -ERANGE, 0, 10, 512000},
        {"0.0005", -EINVAL, 0, 0, 0}, /* nothing is rounded silently */
        {"0.5000", -EINVAL, 0, 0, 0},
        {"-0.5", -EINVAL, 0, 0, 0},
        {"", -EINVAL, 0, 0, 0},
        {".5", -EINVAL, 0, 0, 0},
        {"1.", -EINVAL, 0, 0, 0},
        {"1.5K", -EINVAL, 0, 0, 0},
        {"0.5 ", -EINVAL, 0, 0, 0},
        {"1/2", -EINVAL, 0, 0, 0},
        {"0,5", -EINVAL, 0, 0, 0},
        {"nan", -EINVAL, 0, 0, 0},
    };

    (void)state;
    check(units_milli, rows, LENGTH(rows));
}

static void counts(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0, 0, 0},
        {"50", 0, 50, 0, 0},
        {"0050", 0, 50, 0, 0},
        {"18446744073709551615", 0, MAX, 0, 0},
        {"18446744073709551616", -ERANGE, 0, 0, 0},
        {"18446744073709551620", -ERANGE, 0, 0, 0},
        {"36893488147419103232", -ERANGE, 0, 0, 0}, /* 2^65: wraps to 0 */
        {"0", -ERANGE, 0, 2, 4194304},
        {"4194305", -ERANGE, 0, 2, 4194304},
        {"", -EINVAL, 0, 0, 0},
        {"-1", -EINVAL, 0, 0, 0},
        {"+1", -EINVAL, 0, 0, 0},
        {"1.0", -EINVAL, 0, 0, 0},
        {"50 ", -EINVAL, 0, 0, 0},
        {" 50", -EINVAL, 0, 0, 0},
        {"5 0", -EINVAL, 0, 0, 0},
        {"0x32", -EINVAL, 0, 0, 0},
        {"50K", -EINVAL, 0, 0, 0},
        {"1e2", -EINVAL, 0, 0, 0},
        {"max", -EINVAL, 0, 0, 0},
    };

    (void)state;
    check(units_count, rows, LENGTH(rows));
}

/* One byte of every value behind, before and inside a good number: only the units of each form pass. */
static void every_byte(void **state)
{
    static const struct {
        parser *parser;
        const char *unit; /* that makes "1" good */
        const char *ends; /* bytes that may follow "1" at its end */
    } forms[] = {{units_size, "M", "BKMGT"}, {units_time, "s", "smh"}, {units_milli, "", "0123456789"}, {units_count, "", "0123456789"}};

    (void)state;
    for (size_t f = 0; f < LENGTH(forms); f++)
        for (int byte = 1; byte < 256; byte++) {
            char text[8];
            uint64_t value;
            bool digit = byte >= '0' && byte <= '9';

            snprintf(text, sizeof text, "1%c", byte);
            assert_int_equal(parse(forms[f].parser, text, 0, MAX, &value), strchr(forms[f].ends, byte) ? 0 : -EINVAL);
            snprintf(text, sizeof text, "%c1%s", byte, forms[f].unit);
            assert_int_equal(parse(forms[f].parser, text, 0, MAX, &value), digit ? 0 : -EINVAL);
            snprintf(text, sizeof text, "1%c1%s", byte, forms[f].unit);
            assert_int_equal(parse(forms[f].parser, text, 0, MAX, &value),
                             digit || (byte == '.' && forms[f].parser != units_count) ? 0 : -EINVAL);
            snprintf(text, sizeof text, "1%s%c", forms[f].unit, byte);
            assert_int_equal(parse(forms[f].parser, text, 0, MAX, &value), !*forms[f].unit && digit ? 0 : -EINVAL);
        }
}

static void very_long(void **state)
{
    const size_t length = 1 << 20;
    uint64_t value;
    char *text;

    (void)state;
    text = repeat_text('9', length, "B");
    assert_int_equal(parse(units_size, text, 0, MAX, &value), -ERANGE);
    assert_int_equal(parse(units_time, text, 0, MAX, &value), -EINVAL);
    assert_int_equal(parse(units_count, text, 0, MAX, &value), -EINVAL);
    free(text);
    text = repeat_text('9', length, "");
    assert_int_equal(parse(units_count, text, 0, MAX, &value), -ERANGE);
    assert_int_equal(parse(units_milli, text, 0, MAX, &value), -ERANGE);
    free(text);
    text = repeat_text('0', length, "1K");
    assert_int_equal(parse(units_size, text, 0, MAX, &value), 0);
    assert_int_equal(value, 1024);
    free(text);
    text = repeat_text('0', length, ".0000000000s");
    assert_int_equal(parse(units_time, text, 0, MAX, &value), -EINVAL);
    free(text);
}

/* 2^64 and what a little arithmetic around it makes, digit by digit: whatever does not fit is refused, never wrapped. */
static void never_wraps(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift <= 40; shift += 10)
        for (unsigned over = 0; over < 64; over++) {
            static const char letters[] = "BKMGT";
            char text[32];
            uint64_t value, whole = (MAX >> shift) - 31 + over;
            bool fits = over <= 31 && whole <= MAX >> shift;

            if (shift == 0 && over > 31)
                continue; /* not a uint64_t any more: "sizes" has these as text */
            snprintf(text, sizeof text, "%llu%c", (unsigned long long)whole, letters[shift / 10]);
            assert_int_equal(parse(units_size, text, 0, MAX, &value), fits ? 0 : -ERANGE);
            if (fits)
                assert_true(value == whole << shift);
        }
}

static void shown_times(void **state)
{
    static const struct {
        uint64_t ns;
        double value;
        const char *unit;
    } rows[] = {{0, 0.0, " ms"},          {1900000, 1.9, " ms"},      {999000000, 999.0, " ms"}, {1000000000, 1.0, " s"},
                {12300000000, 12.3, " s"}, {604800000000000, 604800.0, " s"}};
    char text[UNITS_TIME_TEXT];

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char *unit;
        assert_ptr_equal(units_show_time(rows[i].ns, text), text);
        double value = strtod(text, &unit);
        assert_true(value > rows[i].value - 0.001 && value < rows[i].value + 0.001);
        assert_string_equal(unit, rows[i].unit);
    }
    assert_true(strlen(units_show_time(MAX, text)) < UNITS_TIME_TEXT);
    assert_string_equal(strchr(text, ' '), " s");
}

static void shown_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},
                {1, "1 B"},
                {1023, "1023 B"},
                {1024, "1.0 KiB"},
                {3565158, "3.4 MiB"},
                {UINT64_C(256) << 20, "256.0 MiB"},
                {UINT64_C(3) << 29, "1.5 GiB"},
                {UINT64_C(1) << 40, "1.0 TiB"},
                {MAX, "16777216.0 TiB"}};
    char text[UNITS_TIME_TEXT];

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_string_equal(units_show_size(rows[i].bytes, text), rows[i].text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),       cmocka_unit_test(times),      cmocka_unit_test(thousandths), cmocka_unit_test(counts),
        cmocka_unit_test(every_byte),  cmocka_unit_test(very_long),  cmocka_unit_test(never_wraps), cmocka_unit_test(shown_times),
        cmocka_unit_test(shown_sizes),
    };

    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
