#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADER = 12, MOST_LABEL = 63, MOST_NAME = 255, TYPE_AND_CLASS = 4 };

static int parse_inet(const void *bytes, size_t length, struct address *address)
{
    struct sockaddr_in in;

    if (length < sizeof in)
        return -EINVAL;
    memcpy(&in, bytes, sizeof in);
    uint32_t host = ntohl(in.sin_addr.s_addr);
    address->port = ntohs(in.sin_port);
    address->loopback = host >> 24 == 127 || host == 0;
    return inet_ntop(AF_INET, &in.sin_addr, address->text, sizeof address->text) ? 0 : -EINVAL;
}

static int parse_inet6(const void *bytes, size_t length, struct address *address)
{
    struct sockaddr_in6 in = {0};
    size_t least = offsetof(struct sockaddr_in6, sin6_scope_id); /* SIN6_LEN_RFC2133, as the kernel has it */

    if (length < least)
        return -EINVAL;
    memcpy(&in, bytes, length < sizeof in ? least : sizeof in);
    address->port = ntohs(in.sin6_port);
    address->loopback = IN6_IS_ADDR_LOOPBACK(&in.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&in.sin6_addr) ||
                        (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr) && in.sin6_addr.s6_addr[12] == 127);
    return inet_ntop(AF_INET6, &in.sin6_addr, address->text, sizeof address->text) ? 0 : -EINVAL;
}

int address_parse(const void *bytes, size_t length, struct address *address)
{
    sa_family_t family;

    memset(address, 0, sizeof *address);
    if (length < sizeof family)
        return -EINVAL;
    memcpy(&family, bytes, sizeof family);
    switch (family) {
    case AF_INET:
        return parse_inet(bytes, length, address);
    case AF_INET6:
        return parse_inet6(bytes, length, address);
    default:
        return -EAFNOSUPPORT;
    }
}

/* One byte of a label; false when there is no room left. */
static bool put_byte(char name[ADDRESS_NAME], size_t *at, unsigned char byte)
{
    bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
    int put = plain ? snprintf(name + *at, ADDRESS_NAME - *at, "%c", byte)
                    : snprintf(name + *at, ADDRESS_NAME - *at, byte == '.' || byte == '\\' ? "\\%c" : "\\%03u", byte);

    if (put < 0 || (size_t)put >= ADDRESS_NAME - *at)
        return false;
    *at += (size_t)put;
    return true;
}

/* The labels from *from on, and *from behind the one of length 0 that ends them. */
static bool put_labels(const unsigned char *query, size_t length, size_t *from, char name[ADDRESS_NAME])
{
    size_t at = 0, begin = *from;

    for (;;) {
        if (*from >= length || *from - begin >= MOST_NAME)
            return false;
        size_t label = query[(*from)++];
        if (label == 0)
            break;
        if (label > MOST_LABEL || label > length - *from) /* the top bits would be a pointer, which a question has no use for */
            return false;
        if (at > 0 && at + 1 < ADDRESS_NAME)
            name[at++] = '.';
        for (size_t i = 0; i < label; i++)
            if (!put_byte(name, &at, query[*from + i]))
                return false;
        *from += label;
    }
    if (at == 0)
        name[at++] = '.';
    name[at] = '\0';
    return true;
}

/* *end is where the name ends, and its type begins. */
static int parse_query(const unsigned char *query, size_t length, char name[ADDRESS_NAME], size_t *end)
{
    *end = HEADER;
    name[0] = '\0';
    /* QR and OPCODE are 0 (a standard query), QDCOUNT is 1, ANCOUNT and NSCOUNT 0; EDNS puts a record behind. */
    if (length < HEADER || (query[2] & 0xf8) != 0 || query[4] != 0 || query[5] != 1 || query[6] || query[7] || query[8] || query[9])
        return -EINVAL;
    if (put_labels(query, length, end, name) && length - *end >= TYPE_AND_CLASS)
        return 0;
    name[0] = '\0';
    return -EINVAL;
}

int address_query(const void *bytes, size_t length, char name[ADDRESS_NAME])
{
    size_t end;

    return parse_query(bytes, length, name, &end);
}

int address_query_at(const void *bytes, size_t length, char name[ADDRESS_NAME])
{
    const unsigned char *query = bytes;
    size_t end;

    name[0] = '\0';
    /* RD is set; of the second byte of flags AD and CD may be; one more record at the most, EDNS's. */
    if (length <= HEADER || query[2] != 1 || query[3] & ~0x30u || query[10] || query[11] > 1 || query[HEADER] == 0)
        return -ENOENT;
    if (parse_query(query, length, name, &end) == 0 && !strchr(name, '\\') && query[end] == 0 && query[end + 1] != 0 && query[end + 2] == 0 &&
        query[end + 3] == 1)
        return 0;
    name[0] = '\0';
    return -ENOENT;
}

int address_query_within(const void *bytes, size_t length, char name[ADDRESS_NAME])
{
    const char *from = bytes;

    for (size_t at = 0; at + HEADER < length; at++)
        if (address_query_at(from + at, length - at, name) == 0)
            return 0;
    name[0] = '\0';
    return -ENOENT;
}
