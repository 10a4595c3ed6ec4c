#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct json *json, const char *bytes, size_t length)
{
    if (json->failed)
        return;
    if (json->length + length + 1 > json->room) {
        size_t room = (json->length + length + 1) * 2;
        char *text = realloc(json->text, room);
        if (!text) {
            json->failed = true;
            return;
        }
        json->text = text;
        json->room = room;
    }
    memcpy(json->text + json->length, bytes, length);
    json->length += length;
    json->text[json->length] = '\0';
}

static void put_text(struct json *json, const char *text)
{
    put(json, text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence at bytes (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF), or 0. */
size_t json_utf8(const char *text, size_t left)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t length;
    unsigned char low = 0x80, high = 0xbf;

    if (bytes[0] < 0x80)
        return 1;
    if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf) {
        length = 2;
    } else if (bytes[0] >= 0xe0 && bytes[0] <= 0xef) {
        length = 3;
        if (bytes[0] == 0xe0)
            low = 0xa0;
        if (bytes[0] == 0xed)
            high = 0x9f;
    } else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4) {
        length = 4;
        if (bytes[0] == 0xf0)
            low = 0x90;
        if (bytes[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (left < length || bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xbf)
            return 0;
    return length;
}

static uint32_t code_point(const char *text, size_t span)
{
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t point = span == 1 ? bytes[0] : span == 2 ? bytes[0] & 0x1fu : span == 3 ? bytes[0] & 0x0fu : bytes[0] & 0x07u;

    for (size_t i = 1; i < span; i++)
        point = point << 6 | (bytes[i] & 0x3fu);
    return point;
}

bool json_acts(const char *bytes, size_t span)
{
    static const struct {
        uint32_t from, to;
    } rows[] = {
        {0x0000, 0x001f},
        {0x007f, 0x009f},   /* some terminals obey U+0080 to U+009F too */
        {0x061c, 0x061c},   /* the order of what stands on either side (UAX #9) */
        {0x200e, 0x200f},
        {0x2028, 0x2029},   /* new lines, for some */
        {0x202a, 0x202e},   /* the order again */
        {0x2066, 0x2069},
        {0xe0000, 0xe007f}, /* an alphabet that nobody sees, and a language model reads */
    };
    uint32_t point = code_point(bytes, span);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (point >= rows[i].from && point <= rows[i].to)
            return true;
    return false;
}

static void put_escape(struct json *json, uint32_t point)
{
    char escape[16];

    if (point > 0xffff) /* RFC 8259, 7: as UTF-16 has it */
        snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
    else
        snprintf(escape, sizeof escape, "\\u%04x", point);
    put_text(json, escape);
}

static void put_quoted(struct json *json, const char *value, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)value;
    char escape[2];

    put_text(json, "\"");
    for (size_t i = 0; i < length;) {
        size_t span = json_utf8(value + i, length - i);
        if (span == 0) {
            put_text(json, "\\ufffd");
            i++;
        } else if (bytes[i] == '"' || bytes[i] == '\\') {
            escape[0] = '\\';
            escape[1] = (char)bytes[i++];
            put(json, escape, 2);
        } else if (json_acts(value + i, span)) { /* most of these are legal JSON, but a record is looked at on terminals too */
            put_escape(json, code_point(value + i, span));
            i += span;
        } else {
            put(json, value + i, span);
            i += span;
        }
    }
    put_text(json, "\"");
}

static void begin(struct json *json, const char *name)
{
    if (json->separate)
        put_text(json, ",");
    if (name) {
        put_quoted(json, name, strlen(name));
        put_text(json, ":");
    }
    json->separate = true;
}

void json_release(struct json *json)
{
    free(json->text);
    *json = (struct json){0};
}

void json_open(struct json *json, const char *name, char bracket)
{
    begin(json, name);
    put(json, &bracket, 1);
    json->depth++;
    json->separate = false;
}

void json_close(struct json *json, char bracket)
{
    put(json, &bracket, 1);
    json->depth--;
    json->separate = true;
}

void json_bytes(struct json *json, const char *name, const char *value, size_t length)
{
    begin(json, name);
    put_quoted(json, value, length);
}

void json_string(struct json *json, const char *name, const char *value)
{
    if (value)
        json_bytes(json, name, value, strlen(value));
    else
        json_null(json, name);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    char text[24];

    begin(json, name);
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_text(json, text);
}

void json_signed(struct json *json, const char *name, int64_t value)
{
    char text[24];

    begin(json, name);
    snprintf(text, sizeof text, "%lld", (long long)value);
    put_text(json, text);
}

void json_thousandths(struct json *json, const char *name, uint64_t value)
{
    char text[32];

    begin(json, name);
    snprintf(text, sizeof text, "%llu.%03u", (unsigned long long)(value / 1000), (unsigned)(value % 1000));
    put_text(json, text);
}

void json_known(struct json *json, const char *name, bool known, uint64_t value)
{
    if (known)
        json_number(json, name, value);
    else
        json_null(json, name);
}

void json_known_thousandths(struct json *json, const char *name, bool known, uint64_t value)
{
    if (known)
        json_thousandths(json, name, value);
    else
        json_null(json, name);
}

void json_known_ms(struct json *json, const char *name, bool known, uint64_t ns)
{
    json_known_thousandths(json, name, known, ns / 1000);
}

void json_bool(struct json *json, const char *name, bool value)
{
    begin(json, name);
    put_text(json, value ? "true" : "false");
}

void json_null(struct json *json, const char *name)
{
    begin(json, name);
    put_text(json, "null");
}

void json_newline(struct json *json)
{
    put_text(json, "\n");
}
