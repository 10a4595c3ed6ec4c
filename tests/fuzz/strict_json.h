/* strict_json: is this one JSON text, to the letter of RFC 8259 and in well-formed UTF-8 (RFC 3629)? Knows nothing of the writer it judges. */
#ifndef BIVY_TESTS_STRICT_JSON_H
#define BIVY_TESTS_STRICT_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* True for exactly one value with nothing but white space around it. Beyond the grammar it refuses lone surrogates in \u escapes
 * and nesting deeper than 128; two members of one name it lets pass, as the RFC does. *where is where reading stopped. */
bool strict_json(const char *text, size_t length, size_t *where);

#endif
