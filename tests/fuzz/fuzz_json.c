/* The JSON writer, as a little machine that the input drives: whatever is written must be valid. Each step is a byte: what to
 * write, and in its upper bits how many of the following bytes are the name and the value. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
