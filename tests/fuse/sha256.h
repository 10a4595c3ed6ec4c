/* sha256: the digest of FIPS 180-4, for comparing what a program wrote with what reached the server. */
#ifndef BIVY_TEST_FUSE_SHA256_H
#define BIVY_TEST_FUSE_SHA256_H

#include <stddef.h>

/* Lower-case hex, as sha256sum prints it. bytes may be NULL when length is 0. */
void sha256_hex(const void *bytes, size_t length, char hex[65]);

#endif
