/* The JSON writer, as a little machine that the input drives: whatever is written must be valid. Each step is a byte:
 * what to write, and in its upper bits how many of the following bytes are the name and the value. The same input once
 * more as one string: read back, it must be what went in, save that U+FFFD stands for each byte that is no UTF-8. */
#include "fuzz.h"

#include "json.h"
#include "strict_json.h"

#define DEPTH 100

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t byte(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static uint64_t number(struct input *input)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | byte(input);
    return value;
}

static size_t take(struct input *input, size_t wanted, const uint8_t **bytes)
{
    size_t length = wanted < input->size ? wanted : input->size;

    *bytes = input->data;
    input->data += length;
    input->size -= length;
    return length;
}

/* How long the character at bytes is; 0: no UTF-8. Judged by decoding and encoding it again. */
static size_t character(const uint8_t *bytes, size_t left)
{
    size_t length = *bytes < 0x80 ? 1 : *bytes >> 5 == 6 ? 2 : *bytes >> 4 == 14 ? 3 : *bytes >> 3 == 30 ? 4 : 0;
    uint32_t point = length == 1 ? *bytes : length ? *bytes & (0x7fu >> length) : 0;
    uint8_t again[4];

    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        point = point << 6 | (bytes[i] & 0x3f);
    if (point > 0x10ffff || (point & 0xfffff800) == 0xd800)
        return 0;
    size_t shortest = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    again[0] = (uint8_t)(shortest == 1 ? point : (0xf00u >> shortest & 0xff) | point >> (6 * (shortest - 1)));
    for (size_t i = 1; i < shortest; i++)
        again[i] = (uint8_t)(0x80 | (point >> (6 * (shortest - 1 - i)) & 0x3f));
    return shortest == length && !memcmp(again, bytes, length) ? length : 0;
}

/* The character that a text holds at *at, which may be written as an escape; moves *at behind it. */
static size_t read_character(const char **at, uint8_t out[4])
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    unsigned point;

    if (**at != '\\') {
        size_t length = character((const uint8_t *)*at, strlen(*at));
        memcpy(out, *at, length);
        *at += length;
        return length;
    }
    if ((*at)[1] != 'u') {
        out[0] = (uint8_t)meant[strchr(plain, (*at)[1]) - plain];
        *at += 2;
        return 1;
    }
    MUST(sscanf(*at + 2, "%4x", &point) == 1);
    *at += 6;
    if (point == 0xfffd) {
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    if (point >= 0xd800 && point < 0xdc00) { /* one of four bytes: a pair */
        unsigned low;
        MUST(sscanf(*at, "\\u%4x", &low) == 1 && low >= 0xdc00 && low < 0xe000);
        *at += 6;
        point = 0x10000 + ((point - 0xd800) << 10 | (low - 0xdc00));
        out[0] = (uint8_t)(0xf0 | point >> 18);
        out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[3] = (uint8_t)(0x80 | (point & 0x3f));
        return 4;
    }
    if (point >= 0x800) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    if (point >= 0x80) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    out[0] = (uint8_t)point;
    return 1;
}

static void check_string(const uint8_t *data, size_t size)
{
    struct json json = {0};
    size_t where;

    json_bytes(&json, NULL, (const char *)data, size);
    MUST(!json.failed && strict_json(json.text, json.length, &where));
    const char *at = json.text + 1;
    for (size_t i = 0; i < size;) {
        size_t length = character(data + i, size - i);
        uint8_t got[4];
        size_t count = read_character(&at, got);
        if (length == 0)
            MUST(count == 3 && !memcmp(got, "\xef\xbf\xbd", 3));
        else
            MUST(count == length && !memcmp(got, data + i, length));
        i += length ? length : 1;
    }
    MUST(!strcmp(at, "\""));
    for (at = json.text; *at; at++)
        MUST((unsigned char)*at >= 0x20 && *at != 0x7f && !((uint8_t)*at == 0xc2 && (uint8_t)at[1] < 0xa0)); /* no control as such */
    json_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_string(data, size);

    struct input input = {data, size};
    struct json json = {0};
    char open[DEPTH];
    size_t depth = 0, where;

    json_open(&json, NULL, open[depth++] = byte(&input) & 1 ? '[' : '{');
    while (input.size > 0 && depth > 0) {
        uint8_t step = byte(&input);
        const uint8_t *bytes;
        char *name = NULL;
        if (open[depth - 1] == '{') {
            size_t length = take(&input, step >> 6, &bytes);
            name = fuzz_text(bytes, length);
        }
        switch (step & 15) {
        case 0:
        case 1:
            if (depth < DEPTH)
                json_open(&json, name, open[depth++] = step & 1 ? '[' : '{');
            break;
        case 2:
        case 3:
            depth--;
            json_close(&json, open[depth] == '[' ? ']' : '}');
            break;
        case 4:
            json_number(&json, name, number(&input));
            break;
        case 5:
            json_signed(&json, name, (int64_t)number(&input));
            break;
        case 6:
            json_thousandths(&json, name, number(&input));
            break;
        case 7:
            json_bool(&json, name, step & 32);
            break;
        case 8:
            json_null(&json, name);
            break;
        case 9:
            json_string(&json, name, NULL);
            break;
        case 10: {
            size_t length = take(&input, byte(&input), &bytes);
            char *value = fuzz_text(bytes, length);
            json_string(&json, name, value);
            free(value);
            break;
        }
        default: {
            size_t length = take(&input, byte(&input), &bytes);
            char *value = malloc(length ? length : 1); /* no NUL behind it */
            MUST(value);
            memcpy(value, bytes, length);
            json_bytes(&json, name, value, length);
            free(value);
        }
        }
        free(name);
    }
    while (depth > 0) {
        depth--;
        json_close(&json, open[depth] == '[' ? ']' : '}');
    }
    MUST(!json.failed && json.depth == 0);
    MUST(strlen(json.text) == json.length); /* no NUL inside */
    MUST(strict_json(json.text, json.length, &where));
    json_release(&json);
    return 0;
}
