/* SHA-256 (FIPS 180-4), for naming a generated filter. Part of the build-time generator and its tests only. */
#ifndef BIVY_SHA256_H
#define BIVY_SHA256_H

#include <stddef.h>

/* Writes the digest of size bytes as 64 lower-case hexadecimal digits and a NUL. */
void sha256_hex(const void *bytes, size_t size, char hex[65]);

#endif
