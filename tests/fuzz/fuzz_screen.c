/* What a command tells a terminal. The first byte is how long the pieces are in which it comes. */
#include "fuzz.h"

#include "screen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct screen whole = {0}, pieces = {0};
    char undo[SCREEN_UNDO];

    if (size < 1)
        return 0;
    size_t piece = (size_t)data[0] + 1, length = size - 1;
    char *text = fuzz_text(data + 1, length);
    screen_given(&whole, text, length);
    for (size_t at = 0; at < length; at += piece)
        screen_given(&pieces, text + at, length - at < piece ? length - at : piece);
    MUST(whole.left == pieces.left && whole.state == pieces.state);
    MUST(whole.count <= SCREEN_NUMBERS);

    size_t got = screen_undo(&pieces, undo);
    MUST(got <= sizeof undo && (got > 0) == (whole.left != 0));
    MUST(pieces.left == 0);
    screen_given(&whole, undo, got); /* the terminal is as it was, whatever the command was in the middle of */
    MUST(whole.left == 0);
    free(text);
    return 0;
}
