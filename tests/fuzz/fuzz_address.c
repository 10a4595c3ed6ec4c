/* What a command gives as an address, or sends to a name server: hostile memory. Against a walk of labels that is written another way. */
#include "fuzz.h"

#include <sys/socket.h>

#include "address.h"

/* Does a plain query of one name lie in there? *labels is how many, *bytes what they hold. */
static bool walk(const uint8_t *data, size_t size, size_t *labels, size_t *bytes)
{
    size_t at = 12;

    *labels = *bytes = 0;
    if (size < 12 || data[2] >> 3 || data[4] || data[5] != 1 || (data[6] | data[7] | data[8] | data[9]))
        return false;
    while (at < size && data[at] != 0) {
        if (data[at] > 63)
            return false;
        *bytes += data[at];
        at += 1u + data[at];
        ++*labels;
    }
    return at + 5 <= size && at + 1 - 12 <= 255;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = calloc(1, size ? size : 1);
    char name[ADDRESS_NAME];
    struct address address;
    size_t labels, bytes;

    MUST(exact);
    if (size)
        memcpy(exact, data, size);
    int result = address_query(exact, size, name);
    bool sound = walk(exact, size, &labels, &bytes);
    MUST(result == 0 || result == -EINVAL);
    MUST(result < 0 || sound);                          /* nothing else is taken, */
    MUST(result == 0 || !sound || 4 * bytes + labels >= ADDRESS_NAME); /* and what is sound, unless its text would be too long */
    MUST((result == 0) == (name[0] != '\0') && strlen(name) < sizeof name);
    for (const char *at = name; *at; at++)
        MUST(*at > ' ' && *at <= '~');
    result = address_query_within(exact, size, name);
    MUST(result == 0 ? name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name)
                     : result == -ENOENT && !name[0]);
    bool within = false; /* it is one that stands somewhere in there */
    for (size_t at = 0; result == 0 && !within && at < size; at++) {
        char other[ADDRESS_NAME];
        within = address_query(exact + at, size - at, other) == 0 && !strcmp(name, other);
    }
    MUST(result < 0 || within);
    result = address_parse(exact, size, &address);
    MUST(result == 0 || result == -EINVAL || result == -EAFNOSUPPORT);
    if (result == 0) {
        sa_family_t family;
        memcpy(&family, exact, sizeof family);
        MUST(size >= (family == AF_INET ? 16 : 24) && (family == AF_INET || family == AF_INET6));
        MUST(strspn(address.text, "0123456789abcdef.:") == strlen(address.text) && address.text[0]);
        MUST(address.port == (exact[2] << 8 | exact[3]));
    }
    free(exact);
    return 0;
}
