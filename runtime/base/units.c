#include "units.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define FRACTION_DIGITS 9 /* more are junk: nobody means picobytes */

__extension__ typedef unsigned __int128 wide; /* gcc and clang have it on both architectures */

struct decimal {
    uint64_t whole, fraction; /* fraction in units of 10^-digits */
    unsigned digits;
    bool huge; /* whole does not fit */
};

static bool digit(char c)
{
    return c >= '0' && c <= '9'; /* not isdigit(): that one may follow the locale */
}

/* The number at the start of text; gives the first byte behind it, or NULL when there is none. */
static const char *decimal_parse(const char *text, struct decimal *out)
{
    *out = (struct decimal){0};
    if (!digit(*text))
        return NULL;
    for (; digit(*text); text++)
        if (__builtin_mul_overflow(out->whole, 10u, &out->whole) ||
            __builtin_add_overflow(out->whole, (uint64_t)(*text - '0'), &out->whole))
            out->huge = true;
    if (*text != '.')
        return text;
    text++;
    if (!digit(*text))
        return NULL;
    for (; digit(*text); text++) {
        if (++out->digits > FRACTION_DIGITS)
            return NULL;
        out->fraction = out->fraction * 10 + (uint64_t)(*text - '0');
    }
    return text;
}

/* number * unit, rounded down; false when it does not fit. */
static bool decimal_scale(const struct decimal *number, uint64_t unit, uint64_t *out)
{
    uint64_t whole, power = 1;

    for (unsigned i = 0; i < number->digits; i++)
        power *= 10;
    if (number->huge || __builtin_mul_overflow(number->whole, unit, &whole))
        return false;
    /* fraction < 10^9 and unit <= 2^40 or 3.6e12: the product needs 128 bits. */
    uint64_t rest = (uint64_t)((wide)number->fraction * unit / power);
    return !__builtin_add_overflow(whole, rest, out);
}

static int within(bool fits, uint64_t value, uint64_t low, uint64_t high, uint64_t *out)
{
    if (!fits || value < low || value > high)
        return -ERANGE;
    *out = value;
    return 0;
}

int units_size(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    static const char letters[] = "BKMGT";
    struct decimal number;
    uint64_t value = 0;
    const char *end = decimal_parse(text, &number);
    const char *letter = end && *end ? strchr(letters, *end) : NULL;

    if (!letter || end[1])
        return -EINVAL;
    bool fits = decimal_scale(&number, (uint64_t)1 << (10 * (letter - letters)), &value);
    return within(fits, value, low, high, out);
}

int units_time(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};
    struct decimal number;
    uint64_t value = 0;
    const char *end = decimal_parse(text, &number);

    if (!end)
        return -EINVAL;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(end, units[i].name)) {
            bool fits = decimal_scale(&number, units[i].ns, &value);
            return within(fits, value, low, high, out);
        }
    return -EINVAL;
}

int units_milli(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    struct decimal number;
    uint64_t value = 0;
    const char *end = decimal_parse(text, &number);

    if (!end || *end || number.digits > 3)
        return -EINVAL;
    bool fits = decimal_scale(&number, 1000, &value);
    return within(fits, value, low, high, out);
}

int units_count(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    struct decimal number;
    const char *end = decimal_parse(text, &number);

    if (!end || *end || number.digits)
        return -EINVAL;
    return within(!number.huge, number.whole, low, high, out);
}

char *units_show_time(uint64_t ns, char text[UNITS_TIME_TEXT])
{
    if (ns < 999950000) /* what would be rounded to "1000.0 ms" is a second */
        snprintf(text, UNITS_TIME_TEXT, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(text, UNITS_TIME_TEXT, "%.2f s", (double)ns / 1e9);
    return text;
}

char *units_show_size(uint64_t bytes, char text[UNITS_TIME_TEXT])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t i = 0;

    while (value >= 1024 && i < 4) {
        value /= 1024;
        i++;
    }
    snprintf(text, UNITS_TIME_TEXT, i ? "%.1f %s" : "%.0f %s", value, names[i]);
    return text;
}
