/* One datagram of rtnetlink, against a walk with the kernel's own macros. Input: the datagram; its sequence number is
 * taken to be that of its first message, so that the fuzzer need not guess it. */
#include "fuzz.h"

#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "network.h"

enum end { MORE, END, BAD };

/* Sound to its end, and what it holds. */
static enum end walk(const unsigned char *datagram, size_t size, unsigned sequence, struct network_links *links)
{
    size_t left = size;
    unsigned loopbacks = 0;
    enum end end = MORE;

    for (const unsigned char *at = datagram; left > 0 && end == MORE;) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)at;
        if (!NLMSG_OK(header, left) || header->nlmsg_seq != sequence || header->nlmsg_flags & NLM_F_DUMP_INTR)
            return BAD;
        size_t payload = NLMSG_PAYLOAD(header, 0);
        if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
            if (payload < sizeof(int) || *(const int *)NLMSG_DATA(header) != 0)
                return BAD; /* a dump that broke off, or a refusal */
            end = END;
        } else if (header->nlmsg_type == RTM_NEWLINK) {
            const struct ifinfomsg *link = NLMSG_DATA(header);
            if (payload < sizeof *link)
                return BAD;
            links->count++;
            loopbacks += link->ifi_type == ARPHRD_LOOPBACK && link->ifi_index == 1;
            links->up |= link->ifi_flags & 1;
        } else {
            return BAD;
        }
        size_t step = NLMSG_ALIGN((size_t)header->nlmsg_len);
        step = step < left ? step : left;
        at += step;
        left -= step;
    }
    links->only_lo = links->count == 1 && loopbacks == 1;
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* in an allocation of exactly that size, which is also aligned as the macros want it */
    unsigned char *datagram = calloc(1, size ? size : 1);
    struct network_links links = {0}, expected = {0};
    unsigned sequence = 1;

    MUST(datagram);
    if (size)
        memcpy(datagram, data, size);
    if (size >= sizeof(struct nlmsghdr))
        sequence = ((struct nlmsghdr *)(void *)datagram)->nlmsg_seq;
    int result = network_parse(datagram, size, sequence, &links);
    enum end end = walk(datagram, size, sequence, &expected);
    MUST(result == (end == MORE ? 1 : 0) || (end == BAD && result < 0));
    MUST(end != BAD || result < 0);
    if (result >= 0)
        MUST(links.count == expected.count && links.only_lo == expected.only_lo && links.up == expected.up);
    MUST(network_parse(datagram, size, sequence + 1, &links) < 0 || size == 0); /* somebody else's answer */
    free(datagram);
    return 0;
}
