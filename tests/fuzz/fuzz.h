/* fuzz: what every target shares. A target takes any bytes and returns 0; what must hold is said with MUST. */
#ifndef BIVY_TESTS_FUZZ_H
#define BIVY_TESTS_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                             \
    do {                                                                                                                            \
        if (!(condition)) {                                                                                                         \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                          \
            abort();                                                                                                                \
        }                                                                                                                           \
    } while (0)

/* A heap copy with NUL behind it and nothing more, so that a sanitizer sees any step beyond. The caller frees it. */
static inline char *fuzz_text(const void *data, size_t size)
{
    char *text = malloc(size + 1);

    MUST(text);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

#endif
