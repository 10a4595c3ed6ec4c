/* plain: bytes of strangers (names, paths, arguments) as text that moves no terminal. Pure. */
#ifndef BIVY_PLAIN_H
#define BIVY_PLAIN_H

#include <stddef.h>

/* Writes bytes to text, which has room for size >= 1 bytes, as far as they fit, and ends it with NUL. What is no UTF-8, and every character
 * that acts (json_acts), comes as \xNN; the rest as it is. A character is never cut in two. The length written. */
size_t plain_text(const char *bytes, size_t length, char *text, size_t size);

#endif
