/* units: sizes, times and counts as people write them. Pure. */
#ifndef BIVY_UNITS_H
#define BIVY_UNITS_H

#include <stdint.h>

/* Each parses the whole of text or nothing: no white space, no sign, no exponent, no trailing junk. Returns 0, -EINVAL when
 * the text is not of the form, -ERANGE when it is of the form and out of [low, high]. *out is written only on success. */

/* "256M", "1.5G", "4096B": digits, an optional fraction, and one of B K M G T (powers of 1024). Rounded down to bytes. */
int units_size(const char *text, uint64_t low, uint64_t high, uint64_t *out);

/* "30s", "500ms", "2m", "1h", fractions allowed: nanoseconds. */
int units_time(const char *text, uint64_t low, uint64_t high, uint64_t *out);

/* "0.5", "2": thousandths of a processor. At most three decimals, so that nothing is rounded silently. */
int units_milli(const char *text, uint64_t low, uint64_t high, uint64_t *out);

/* "50": a plain decimal number. */
int units_count(const char *text, uint64_t low, uint64_t high, uint64_t *out);

#define UNITS_TIME_TEXT 32
/* Writes ns for people ("1.9 ms", "12.30 s"); gives text back. */
char *units_show_time(uint64_t ns, char text[UNITS_TIME_TEXT]);
/* Writes bytes for people ("3.4 MiB"); gives text back. */
char *units_show_size(uint64_t bytes, char text[UNITS_TIME_TEXT]);

#endif
