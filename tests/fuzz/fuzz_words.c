/* The last words of a command. The first byte is the exit status, the second how long the pieces are in which they come. */
#include "fuzz.h"

#include "words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char tail[WORDS_MOST];
    struct words words = {.seen = 0};
    struct words_said said;

    if (size < 2)
        return 0;
    int status = data[0];
    size_t piece = (size_t)data[1] * 8 + 1, length = size - 2;
    char *text = fuzz_text(data + 2, length);
    for (size_t at = 0; at < length; at += piece)
        words_take(&words, text + at, length - at < piece ? length - at : piece);

    size_t got = words_tail(&words, tail);
    MUST(got <= WORDS_MOST && got <= length);
    MUST(memcmp(tail, text + length - got, got) == 0);
    MUST(length > WORDS_MOST || got == length);
    MUST(got == length || got == WORDS_MOST || text[length - got - 1] == '\n');

    bool told = words_telling(&words, status, &said);
    size_t line = strnlen(said.line, sizeof said.line);
    MUST(line < sizeof said.line);
    MUST(told == (line > 0));
    MUST(told || !said.about);
    MUST(!said.about == !said.mend);
    for (size_t i = 0; i < line; i++)
        MUST((unsigned char)said.line[i] >= 0x20 && said.line[i] != 0x7f);
    free(text);
    return 0;
}
