#include "sockets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_LISTEN = 10, FLAG_LISTENS = 0x10000 }; /* TCP_LISTEN; __SO_ACCEPTCON of include/uapi/linux/net.h */

static const struct {
    const char *file, *name;
    size_t words; /* of 32 bits in an address */
} tables[SOCKETS_TABLES] = {{"unix", "unix", 0}, {"tcp", "tcp", 1}, {"tcp6", "tcp", 4}, {"udp", "udp", 1}, {"udp6", "udp", 4}};

const char *sockets_table(unsigned table)
{
    return table < SOCKETS_TABLES ? tables[table].file : NULL;
}

/* The field of a line, counted from 0; NULL: it has fewer. */
static const char *field(const char *line, const char *end, int number)
{
    for (;; number--) {
        while (line < end && *line == ' ')
            line++;
        if (line == end)
            return NULL;
        if (number == 0)
            return line;
        while (line < end && *line != ' ')
            line++;
    }
}

/* "0100007F:1F40", each word in the processor's order, as text. */
static bool read_endpoint(const char *at, size_t words, char *text, size_t size, unsigned *port)
{
    uint32_t address[4] = {0};
    char word[9] = "", host[INET6_ADDRSTRLEN];

    if (strspn(at, "0123456789ABCDEF") != words * 8 || at[words * 8] != ':')
        return false;
    for (size_t i = 0; i < words; i++) {
        memcpy(word, at + i * 8, 8);
        address[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    *port = (unsigned)strtoul(at + words * 8 + 1, NULL, 16) & 0xffff;
    if (!inet_ntop(words == 1 ? AF_INET : AF_INET6, address, host, sizeof host))
        return false;
    snprintf(text, size, words == 1 ? "%s:%u" : "[%s]:%u", host, *port);
    return true;
}

static bool describe_inet(unsigned table, const char *line, const char *end, char name[SOCKETS_TEXT + 1], bool *listens)
{
    const char *local = field(line, end, 1), *remote = field(line, end, 2), *state = field(line, end, 3);
    char here[INET6_ADDRSTRLEN + 10], there[INET6_ADDRSTRLEN + 10];
    unsigned port;

    if (!local || !remote || !state || !read_endpoint(local, tables[table].words, here, sizeof here, &port) ||
        !read_endpoint(remote, tables[table].words, there, sizeof there, &port))
        return false;
    *listens = !strcmp(tables[table].name, "tcp") && strtoul(state, NULL, 16) == STATE_LISTEN;
    snprintf(name, SOCKETS_TEXT + 1, "%s %s%s%s", tables[table].name, here, port ? " to " : "", port ? there : "");
    return true;
}

static bool describe_unix(const char *line, const char *end, char name[SOCKETS_TEXT + 1], bool *listens)
{
    const char *flags = field(line, end, 3), *path = field(line, end, 7);

    if (!flags)
        return false;
    *listens = strtoul(flags, NULL, 16) & FLAG_LISTENS;
    snprintf(name, SOCKETS_TEXT + 1, "unix%s%.*s", path ? " " : "", path ? (int)(end - path) : 0, path ? path : "");
    return true;
}

/* The kernel lets line breaks of a unix socket's path through, so that a command may make up lines: about its own sockets only. */
bool sockets_find(unsigned table, const char *text, uint64_t inode, char name[SOCKETS_TEXT + 1], bool *listens)
{
    bool inet = table < SOCKETS_TABLES && tables[table].words > 0;

    for (const char *line = text, *end; table < SOCKETS_TABLES && (end = strchr(line, '\n')); line = end + 1) {
        const char *at = field(line, end, inet ? 9 : 6);
        if (!at || *at < '0' || *at > '9' || strtoull(at, NULL, 10) != inode)
            continue;
        return inet ? describe_inet(table, line, end, name, listens) : describe_unix(line, end, name, listens);
    }
    return false;
}
