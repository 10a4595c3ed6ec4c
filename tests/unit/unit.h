/* What every unit test includes first: cmocka and what it needs, and copies of exact size, behind which a sanitizer sees an
 * overrun. */
#ifndef BIVY_TESTS_UNIT_H
#define BIVY_TESTS_UNIT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A heap copy of length bytes; the caller frees it. */
static inline void *copy_bytes(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);

    assert_non_null(copy);
    if (length)
        memcpy(copy, bytes, length);
    return copy;
}

static inline char *copy_text(const char *text)
{
    return copy_bytes(text, strlen(text) + 1);
}

/* count times byte, then tail; the caller frees it. */
static inline char *repeat_text(char byte, size_t count, const char *tail)
{
    char *text = malloc(count + strlen(tail) + 1);

    assert_non_null(text);
    memset(text, byte, count);
    memcpy(text + count, tail, strlen(tail) + 1);
    return text;
}

#endif
