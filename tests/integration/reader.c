#include "reader.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 32 /* records and plans are flat: deeper is a fault of the writer */

struct input {
    const unsigned char *at, *end;
    const char *error;
    unsigned depth;
};

static struct reader *read_value(struct input *input);

void reader_release(struct reader *value)
{
    while (value) {
        struct reader *next = value->next;
        reader_release(value->child);
        free(value->key);
        free(value->text);
        free(value);
        value = next;
    }
}

static void *complain(struct input *input, const char *error)
{
    if (!input->error)
        input->error = error;
    return NULL;
}

static void skip_space(struct input *input)
{
    while (input->at < input->end && strchr(" \t\r\n", *input->at) && *input->at)
        input->at++;
}

static bool take(struct input *input, unsigned char byte)
{
    if (input->at == input->end || *input->at != byte)
        return false;
    input->at++;
    return true;
}

static int hex4(struct input *input, uint32_t *out)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *found;
        if (input->at == input->end)
            return -1;
        unsigned char byte = *input->at++;
        if (byte >= 'A' && byte <= 'F')
            byte = (unsigned char)(byte - 'A' + 'a');
        found = byte ? strchr(digits, byte) : NULL;
        if (!found)
            return -1;
        value = value << 4 | (uint32_t)(found - digits);
    }
    *out = value;
    return 0;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Length of the UTF-8 sequence at the cursor, 0 when it is not one (overlong, surrogate, out of range, cut off). */
static size_t utf8_length(const struct input *input)
{
    const unsigned char *p = input->at;
    size_t left = (size_t)(input->end - p), length;
    uint32_t c, least;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2, c = p[0] & 0x1fu, least = 0x80;
    else if ((p[0] & 0xf0) == 0xe0)
        length = 3, c = p[0] & 0x0fu, least = 0x800;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4, c = p[0] & 0x07u, least = 0x10000;
    else
        return 0;
    if (left < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    return c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : length;
}

static int read_escape(struct input *input, char *to, size_t *length)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    uint32_t c, low;
    const char *found;

    if (input->at == input->end)
        return -1;
    unsigned char byte = *input->at++;
    if (byte != 'u') {
        found = byte ? strchr(names, byte) : NULL;
        if (!found)
            return -1;
        to[(*length)++] = means[found - names];
        return 0;
    }
    if (hex4(input, &c))
        return -1;
    if (c >= 0xdc00 && c <= 0xdfff)
        return -1;
    if (c >= 0xd800 && c <= 0xdbff) {
        if (!take(input, '\\') || !take(input, 'u') || hex4(input, &low) || low < 0xdc00 || low > 0xdfff)
            return -1;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (!c)
        return -1; /* no string of bivy's can hold NUL */
    *length += put_utf8(to + *length, c);
    return 0;
}

static char *read_string(struct input *input)
{
    size_t length = 0;
    char *text;

    if (!take(input, '"'))
        return complain(input, "a string was expected");
    text = malloc((size_t)(input->end - input->at) + 1); /* decoded text is never longer */
    if (!text)
        abort();
    for (;;) {
        size_t more;
        if (input->at == input->end)
            break;
        if (take(input, '"')) {
            text[length] = '\0';
            return text;
        }
        if (take(input, '\\')) {
            if (read_escape(input, text, &length)) {
                complain(input, "bad escape in a string");
                break;
            }
            continue;
        }
        if (*input->at < 0x20) {
            complain(input, "raw control character in a string");
            break;
        }
        more = utf8_length(input);
        if (!more) {
            complain(input, "bytes that are not UTF-8");
            break;
        }
        memcpy(text + length, input->at, more);
        length += more;
        input->at += more;
    }
    free(text);
    return complain(input, "a string does not end");
}

static bool take_digits(struct input *input)
{
    const unsigned char *from = input->at;

    while (input->at < input->end && *input->at >= '0' && *input->at <= '9')
        input->at++;
    return input->at > from;
}

static bool take_number(struct input *input)
{
    take(input, '-');
    if (take(input, '0')) {
        if (input->at < input->end && *input->at >= '0' && *input->at <= '9')
            return false;
    } else if (!take_digits(input)) {
        return false;
    }
    if (take(input, '.') && !take_digits(input))
        return false;
    if (take(input, 'e') || take(input, 'E')) {
        if (!take(input, '+'))
            take(input, '-');
        return take_digits(input);
    }
    return true;
}

static int read_number(struct input *input, struct reader *value)
{
    const unsigned char *from = input->at;

    value->type = READER_NUMBER;
    if (!take_number(input)) {
        complain(input, "neither a value nor a number");
        return -1;
    }
    value->text = strndup((const char *)from, (size_t)(input->at - from));
    if (!value->text)
        abort();
    value->number = strtod(value->text, NULL);
    return 0;
}

static bool take_word(struct input *input, const char *word)
{
    size_t length = strlen(word);

    if ((size_t)(input->end - input->at) < length || memcmp(input->at, word, length))
        return false;
    input->at += length;
    return true;
}

static bool has_key(const struct reader *object, const char *key)
{
    for (const struct reader *member = object->child; member; member = member->next)
        if (!strcmp(member->key, key))
            return true;
    return false;
}

static int read_members(struct input *input, struct reader *value, bool object)
{
    struct reader **last = &value->child;
    unsigned char end = object ? '}' : ']';

    skip_space(input);
    if (take(input, end))
        return 0;
    for (;;) {
        char *key = NULL;
        skip_space(input);
        if (object) {
            key = read_string(input);
            if (key && has_key(value, key)) {
                free(key);
                key = complain(input, "a key stands twice");
            }
            skip_space(input);
            if (!key || !take(input, ':')) {
                free(key);
                complain(input, "a colon was expected");
                return -1;
            }
        }
        *last = read_value(input);
        if (!*last) {
            free(key);
            return -1;
        }
        (*last)->key = key;
        last = &(*last)->next;
        skip_space(input);
        if (take(input, end))
            return 0;
        if (!take(input, ',')) {
            complain(input, "a comma was expected");
            return -1;
        }
    }
}

static struct reader *read_value(struct input *input)
{
    struct reader *value = calloc(1, sizeof(*value));
    int result = 0;

    if (!value)
        abort();
    skip_space(input);
    if (++input->depth > DEPTH || input->at == input->end) {
        complain(input, "too deep, or cut off");
        result = -1;
    } else if (take_word(input, "null")) {
        value->type = READER_NULL;
    } else if (take_word(input, "true")) {
        value->type = READER_BOOL;
        value->truth = true;
    } else if (take_word(input, "false")) {
        value->type = READER_BOOL;
    } else if (*input->at == '"') {
        value->type = READER_STRING;
        value->text = read_string(input);
        result = value->text ? 0 : -1;
    } else if (take(input, '{')) {
        value->type = READER_OBJECT;
        result = read_members(input, value, true);
    } else if (take(input, '[')) {
        value->type = READER_ARRAY;
        result = read_members(input, value, false);
    } else {
        result = read_number(input, value);
    }
    input->depth--;
    if (result) {
        reader_release(value);
        return NULL;
    }
    return value;
}

struct reader *reader_parse(const char *text, size_t length, const char **error)
{
    struct input input = {(const unsigned char *)text, (const unsigned char *)text + length, NULL, 0};
    struct reader *value = read_value(&input);

    skip_space(&input);
    if (value && input.at != input.end) {
        reader_release(value);
        value = complain(&input, "text after the value");
    }
    if (error)
        *error = value ? NULL : input.error;
    return value;
}

const struct reader *reader_at(const struct reader *value, const char *path)
{
    while (value && *path) {
        size_t length = strcspn(path, ".");
        const struct reader *member;
        unsigned long index = 0;

        if (value->type == READER_ARRAY) {
            char *end;
            index = strtoul(path, &end, 10);
            if (end != path + length)
                return NULL;
        }
        for (member = value->child; member; member = member->next)
            if (value->type == READER_ARRAY ? index-- == 0
                                            : strlen(member->key) == length && !memcmp(member->key, path, length))
                break;
        value = member;
        path += length;
        if (*path == '.')
            path++;
    }
    return value;
}

size_t reader_count(const struct reader *value)
{
    size_t count = 0;

    for (const struct reader *member = value ? value->child : NULL; member; member = member->next)
        count++;
    return count;
}

bool reader_holds(const struct reader *array, const char *text)
{
    for (const struct reader *member = array ? array->child : NULL; member; member = member->next)
        if (member->type == READER_STRING && !strcmp(member->text, text))
            return true;
    return false;
}
