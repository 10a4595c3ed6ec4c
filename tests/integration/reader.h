/* reader: a strict JSON reader (RFC 8259) for records and plans. It refuses what a lax reader would let pass: bytes
 * that are not UTF-8, raw control characters, double keys, trailing text. */
#ifndef BIVY_TEST_READER_H
#define BIVY_TEST_READER_H

#include <stdbool.h>
#include <stddef.h>

enum reader_type { READER_NULL, READER_BOOL, READER_NUMBER, READER_STRING, READER_ARRAY, READER_OBJECT };

struct reader {
    enum reader_type type;
    char *key;  /* inside an object, else NULL */
    char *text; /* READER_STRING: decoded, NUL-terminated; READER_NUMBER: as written */
    double number;
    bool truth;
    struct reader *child, *next;
};

/* Reads one JSON text of length bytes, white space around it allowed. NULL and *error (static text) when it is not one.
 * Owned by the caller: reader_release. */
struct reader *reader_parse(const char *text, size_t length, const char **error);
void reader_release(struct reader *value);

/* The value at a dotted path ("memory.limit_bytes", array elements by number: "mounts.0.target"), or NULL. */
const struct reader *reader_at(const struct reader *value, const char *path);

/* Elements of an array, members of an object. */
size_t reader_count(const struct reader *value);

/* Is text one of the array's strings? */
bool reader_holds(const struct reader *array, const char *text);

#endif
