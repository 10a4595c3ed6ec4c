#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys.h"

/* The whole need is one dump of links and one change of a flag, so this speaks rtnetlink itself; the unit tests hold it against
 * libmnl. Every message is checked for length before it is looked into, although the kernel is the only sender. */

#define LOOPBACK_INDEX 1 /* the first device of every network namespace (net/core/dev.c) */

struct link_request {
    struct nlmsghdr header;
    struct ifinfomsg link;
};

static int open_netlink(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct timeval patience = {.tv_sec = 1};

    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd < 0 ? -errno : fd;
}

static int ask(int fd, uint16_t type, uint16_t flags, uint32_t sequence, const struct ifinfomsg *link)
{
    struct link_request request = {
        .header = {.nlmsg_len = sizeof request,
                   .nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                   .nlmsg_seq = sequence},
        .link = *link,
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    if (SYS_AGAIN(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel)) !=
        (ssize_t)sizeof request)
        return errno ? -errno : -EIO;
    return 0;
}

/* Gives the length of one datagram from the kernel; anybody else's is refused. */
static ssize_t answer(int fd, void *buffer, size_t size)
{
    struct sockaddr_nl from = {0};
    socklen_t length = sizeof from;
    ssize_t got;

    do
        got = SYS_AGAIN(recvfrom(fd, buffer, size, MSG_TRUNC, (struct sockaddr *)&from, &length));
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    if (length != sizeof from || from.nl_family != AF_NETLINK || from.nl_pid != 0 || (size_t)got > size)
        return -EPROTO;
    return got;
}

static int take_link(const unsigned char *body, size_t length, struct network_links *links)
{
    struct ifinfomsg link;

    if (length < sizeof link)
        return -EPROTO;
    memcpy(&link, body, sizeof link);
    links->count++;
    links->only_lo = links->count == 1 && link.ifi_type == ARPHRD_LOOPBACK && link.ifi_index == LOOPBACK_INDEX;
    if (link.ifi_flags & IFF_UP)
        links->up = true;
    return 0;
}

int network_parse(const void *datagram, size_t length, unsigned sequence, struct network_links *links)
{
    const unsigned char *at = datagram;

    while (length > 0) {
        struct nlmsghdr header;
        int result = 0, error = 0;

        if (length < sizeof header)
            return -EPROTO;
        memcpy(&header, at, sizeof header);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > length || header.nlmsg_seq != sequence)
            return -EPROTO;
        if (header.nlmsg_flags & NLM_F_DUMP_INTR) /* the list changed while it was read: it is not to be trusted */
            return -EAGAIN;
        switch (header.nlmsg_type) {
        case NLMSG_DONE:  /* a dump that failed half-way ends so too, with the error */
        case NLMSG_ERROR: /* with error 0 the acknowledgement that was asked for */
            if (header.nlmsg_len < sizeof header + sizeof error)
                return -EPROTO;
            memcpy(&error, at + sizeof header, sizeof error);
            return error > 0 ? -EPROTO : error;
        case RTM_NEWLINK:
            result = take_link(at + sizeof header, header.nlmsg_len - sizeof header, links);
            break;
        default:
            return -EPROTO;
        }
        if (result < 0)
            return result;
        size_t step = NLMSG_ALIGN(header.nlmsg_len);
        if (step >= length)
            break;
        at += step;
        length -= step;
    }
    return 1;
}

/* Sends one request and reads until its answer is complete. */
static int talk(uint16_t type, uint16_t flags, const struct ifinfomsg *link, struct network_links *links)
{
    static _Alignas(struct nlmsghdr) unsigned char buffer[16 * 1024];
    const uint32_t sequence = 1;
    SYS_CLOSES int fd = open_netlink();
    int result = fd < 0 ? fd : ask(fd, type, flags, sequence, link);

    if (result < 0)
        return result;
    do {
        ssize_t got = answer(fd, buffer, sizeof buffer);
        result = got < 0 ? (int)got : network_parse(buffer, (size_t)got, sequence, links);
    } while (result > 0);
    return result;
}

int network_dump(struct network_links *links)
{
    struct ifinfomsg all = {.ifi_family = AF_UNSPEC};

    *links = (struct network_links){0};
    return talk(RTM_GETLINK, NLM_F_DUMP, &all, links);
}

int network_loopback(struct fault *fault)
{
    struct ifinfomsg up = {.ifi_family = AF_UNSPEC, .ifi_index = LOOPBACK_INDEX, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct network_links unused = {0};
    int result = talk(RTM_NEWLINK, NLM_F_ACK, &up, &unused);

    return result < 0 ? fault_set(fault, STAGE_NETWORK, -result, NULL, "lo cannot be brought up") : 0;
}

/* The word after *at on its line, or NULL at the line's end; *at goes behind it. */
static const char *next_word(const char **at, size_t *length)
{
    const char *word = *at + strspn(*at, " ");

    *length = strcspn(word, " \n");
    *at = word + *length;
    return *length ? word : NULL;
}

/* Of "Ip: Forwarding ... OutNoRoutes ...\nIp: 1 64 ...\n". */
static uint64_t counter_of(const char *snmp, const char *name)
{
    const char *names = snmp, *values = strchr(snmp, '\n');
    size_t length, wanted = strlen(name), unused;

    if (strncmp(names, "Ip: ", 4) || !values || strncmp(++values, "Ip: ", 4))
        return UINT64_MAX;
    for (;;) {
        const char *one = next_word(&names, &length), *value = next_word(&values, &unused);
        if (!one || !value)
            return UINT64_MAX;
        if (length == wanted && !strncmp(one, name, wanted))
            return *value >= '0' && *value <= '9' ? strtoull(value, NULL, 10) : UINT64_MAX;
    }
}

uint64_t network_parse_unreachable(const char *snmp, const char *snmp6)
{
    static const char name[] = "Ip6OutNoRoutes";
    uint64_t count = counter_of(snmp, "OutNoRoutes");
    const char *line = strstr(snmp6, name);

    if (count == UINT64_MAX || !line)
        return count;
    return count + strtoull(line + strlen(name), NULL, 10);
}

uint64_t network_unreachable(void)
{
    char snmp[8192], snmp6[8192];

    if (sys_read_file(AT_FDCWD, "/proc/self/net/snmp", snmp, sizeof snmp) <= 0)
        return UINT64_MAX;
    if (sys_read_file(AT_FDCWD, "/proc/self/net/snmp6", snmp6, sizeof snmp6) <= 0)
        snmp6[0] = '\0';
    return network_parse_unreachable(snmp, snmp6);
}
