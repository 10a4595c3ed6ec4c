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
        bool harmless = span > 0 && !json_acts(bytes + i, span);
        size_t wanted = harmless ? span : 4;
        if (written + wanted >= size)
            break;
        if (harmless)
            memcpy(text + written, bytes + i, span);
        else
            snprintf(text + written, 5, "\\x%02x", byte);
        i += harmless ? span : 1;
        written += wanted;
    }
    text[written] = '\0';
    return written;
}
