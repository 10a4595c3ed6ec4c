/* Sizes, times and counts, against a second reading of the same text done by other means. The first byte chooses the form; the
 * rest is the text. */
#include "fuzz.h"

#include "units.h"

__extension__ typedef unsigned __int128 wide;

struct form {
    int (*parse)(const char *text, uint64_t low, uint64_t high, uint64_t *out);
    unsigned decimals; /* at the most */
    struct {
        const char *name;
        uint64_t factor;
    } units[6];
};

static const struct form forms[] = {
    {units_size, 9, {{"B", 1}, {"K", UINT64_C(1) << 10}, {"M", UINT64_C(1) << 20}, {"G", UINT64_C(1) << 30}, {"T", UINT64_C(1) << 40}}},
    {units_time, 9, {{"ms", 1000000}, {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)}}},
    {units_milli, 3, {{"", 1000}}},
    {units_count, 0, {{"", 1}}},
};

/* From the end: the unit, then the decimals, then the whole, one digit at a time. */
static int expected(const struct form *form, const char *text, uint64_t *out)
{
    size_t length = strlen(text), number = strspn(text, "0123456789."), whole = strspn(text, "0123456789");
    size_t decimals = number > whole ? number - whole - 1 : 0;
    uint64_t factor = 0;
    wide value = 0, fraction = 0;

    for (size_t i = 0; i < 6 && form->units[i].name; i++)
        if (strlen(form->units[i].name) == length - number && !strcmp(form->units[i].name, text + number))
            factor = form->units[i].factor;
    if (!factor || whole == 0 || (number > whole && decimals == 0) || decimals > form->decimals ||
        strspn(text + whole + (number > whole), "0123456789") != decimals)
        return -EINVAL;
    for (size_t i = 0; i < whole; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        value = value * 10 + digit;
        if (value > UINT64_MAX)
            return -ERANGE;
    }
    for (size_t i = number; i-- > whole + 1;) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        fraction = (fraction + (wide)digit * 1000000000) / 10; /* in units of 10^-9: exact for nine decimals */
    }
    value = value * factor + fraction * factor / 1000000000;
    if (value > UINT64_MAX)
        return -ERANGE;
    *out = (uint64_t)value;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);
    uint64_t got = untouched, wanted = 0, bounded = untouched;

    if (size == 0)
        return 0;
    const struct form *form = &forms[data[0] % 4];
    char *text = fuzz_text(data + 1, size - 1);
    int result = form->parse(text, 0, UINT64_MAX, &got), other = expected(form, text, &wanted);
    MUST(result == other);
    MUST(got == (result ? untouched : wanted));

    if (result == 0 && wanted > 0 && wanted < UINT64_MAX) {
        MUST(form->parse(text, wanted, wanted, &bounded) == 0 && bounded == wanted);
        bounded = untouched;
        MUST(form->parse(text, wanted + 1, UINT64_MAX, &bounded) == -ERANGE);
        MUST(form->parse(text, 0, wanted - 1, &bounded) == -ERANGE);
        MUST(bounded == untouched);
    }
    if (result == 0) {
        char shown[UNITS_TIME_TEXT];
        MUST(strlen(units_show_time(wanted, shown)) < UNITS_TIME_TEXT);
        MUST(strlen(units_show_size(wanted, shown)) < UNITS_TIME_TEXT);
    }
    free(text);
    return 0;
}
