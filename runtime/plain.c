#include "plain.h"

#include <stdio.h>
#include <string.h>

#include "json.h"

size_t plain_text(const char *bytes, size_t length, char *text, size_t size)
{
    size_t written = 0;

    for (size_t i = 0; i < length;) {
        unsigned char byte = (unsigned char)bytes[i];
        size_t span = json_utf8(bytes + i, length - i);
        /* U+0080 to U+009F are controls too, as is a lone byte of 0x80 to 0x9f. */
        bool control = byte < 0x20 || byte == 0x7f || (byte == 0xc2 && span == 2 && (unsigned char)bytes[i + 1] < 0xa0);
        size_t wanted = control || span == 0 ? 4 : span;
        if (written + wanted >= size)
            break;
        if (control || span == 0)
            snprintf(text + written, 5, "\\x%02x", byte);
        else
            memcpy(text + written, bytes + i, span);
        i += control || span == 0 ? 1 : span;
        written += wanted;
    }
    text[written] = '\0';
    return written;
}
