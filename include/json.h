/* json: writes one JSON text (RFC 8259) into a growing buffer; the output is valid whatever bytes go in. */
#ifndef BIVY_JSON_H
#define BIVY_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *text; /* NUL-terminated when not NULL; owned: json_release */
    size_t length, room;
    unsigned depth;
    bool separate; /* a comma is due before the next value */
    bool failed;   /* out of memory: everything after is dropped */
};

void json_release(struct json *json);

/* name is NULL inside arrays and at the top. */
void json_open(struct json *json, const char *name, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                  /* '}' or ']' */
void json_string(struct json *json, const char *name, const char *value); /* NULL: null. Bytes that are not UTF-8: U+FFFD */
void json_bytes(struct json *json, const char *name, const char *value, size_t length);
void json_number(struct json *json, const char *name, uint64_t value);
void json_signed(struct json *json, const char *name, int64_t value);
void json_thousandths(struct json *json, const char *name, uint64_t value); /* 1937 -> 1.937 */
/* The same, or null where it is not known; ns as milliseconds. */
void json_known(struct json *json, const char *name, bool known, uint64_t value);
void json_known_thousandths(struct json *json, const char *name, bool known, uint64_t value);
void json_known_ms(struct json *json, const char *name, bool known, uint64_t ns);
void json_bool(struct json *json, const char *name, bool value);
/* Length of the well-formed UTF-8 sequence at bytes (RFC 3629), 0 if there is none. */
size_t json_utf8(const char *bytes, size_t left);
/* Does that character (json_utf8's answer, not 0) act on what shows it, or hide: a control, or one that turns text round, ends a line, or is
 * never seen? Names are not shown with such in them. */
bool json_acts(const char *bytes, size_t span);
void json_null(struct json *json, const char *name);
void json_newline(struct json *json); /* behind the whole text */

#endif
