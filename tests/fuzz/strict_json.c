#include "strict_json.h"

#include <stdint.h>
#include <string.h>

#define DEPTH 128

struct reader {
    const unsigned char *text;
    size_t at, length;
};

static int peek(const struct reader *reader)
{
    return reader->at < reader->length ? reader->text[reader->at] : -1;
}

static bool take(struct reader *reader, int wanted)
{
    if (peek(reader) != wanted)
        return false;
    reader->at++;
    return true;
}

static void blanks(struct reader *reader)
{
    while (peek(reader) == ' ' || peek(reader) == '\t' || peek(reader) == '\n' || peek(reader) == '\r')
        reader->at++;
}

static bool word(struct reader *reader, const char *wanted)
{
    for (; *wanted; wanted++)
        if (!take(reader, *wanted))
            return false;
    return true;
}

static bool digits(struct reader *reader)
{
    size_t start = reader->at;

    while (peek(reader) >= '0' && peek(reader) <= '9')
        reader->at++;
    return reader->at > start;
}

static bool number(struct reader *reader)
{
    take(reader, '-');
    if (!take(reader, '0') && !digits(reader))
        return false;
    if (take(reader, '.') && !digits(reader))
        return false;
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '+'))
            take(reader, '-');
        return digits(reader);
    }
    return true;
}

static bool hex4(struct reader *reader, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(reader);
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (value < 0)
            return false;
        *out = *out << 4 | (uint32_t)value;
        reader->at++;
    }
    return true;
}

static bool escape(struct reader *reader)
{
    uint32_t unit, low;
    int c = peek(reader);

    if (c < 0 || c == '\0' || !strchr("\"\\/bfnrtu", c))
        return false;
    reader->at++;
    if (c != 'u')
        return true;
    if (!hex4(reader, &unit))
        return false;
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return false;
    if (unit < 0xd800 || unit > 0xdbff)
        return true;
    return word(reader, "\\u") && hex4(reader, &low) && low >= 0xdc00 && low <= 0xdfff;
}

/* Decodes and compares the code point with what its length allows, which is not how the writer does it. */
static bool multibyte(struct reader *reader)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t first = reader->text[reader->at];
    unsigned length = first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    uint32_t point;

    if (!length || reader->length - reader->at < length)
        return false;
    point = first & (0x7fu >> length);
    for (unsigned i = 1; i < length; i++) {
        uint32_t next = reader->text[reader->at + i];
        if (next >> 6 != 2)
            return false;
        point = point << 6 | (next & 0x3f);
    }
    reader->at += length;
    return point >= least[length] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static bool string(struct reader *reader)
{
    if (!take(reader, '"'))
        return false;
    for (;;) {
        int c = peek(reader);
        if (c < 0x20)
            return false; /* also the end of the text */
        if (c == '"') {
            reader->at++;
            return true;
        }
        if (c == '\\') {
            reader->at++;
            if (!escape(reader))
                return false;
        } else if (c < 0x80) {
            reader->at++;
        } else if (!multibyte(reader)) {
            return false;
        }
    }
}

static bool value(struct reader *reader, unsigned depth);

static bool members(struct reader *reader, unsigned depth, bool named, char close)
{
    blanks(reader);
    if (take(reader, close))
        return true;
    do {
        if (named) {
            blanks(reader);
            if (!string(reader))
                return false;
            blanks(reader);
            if (!take(reader, ':'))
                return false;
        }
        if (!value(reader, depth + 1))
            return false;
    } while (take(reader, ','));
    return take(reader, close);
}

static bool value(struct reader *reader, unsigned depth)
{
    bool good;

    if (depth > DEPTH)
        return false;
    blanks(reader);
    switch (peek(reader)) {
    case '{':
        reader->at++;
        good = members(reader, depth, true, '}');
        break;
    case '[':
        reader->at++;
        good = members(reader, depth, false, ']');
        break;
    case '"':
        good = string(reader);
        break;
    case 't':
        good = word(reader, "true");
        break;
    case 'f':
        good = word(reader, "false");
        break;
    case 'n':
        good = word(reader, "null");
        break;
    default:
        good = number(reader);
    }
    blanks(reader);
    return good;
}

bool strict_json(const char *text, size_t length, size_t *where)
{
    struct reader reader = {.text = (const unsigned char *)text, .length = length};
    bool good = value(&reader, 0) && reader.at == length;

    *where = reader.at;
    return good;
}
