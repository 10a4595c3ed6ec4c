/* One datagram of rtnetlink, against a walk with the kernel's own macros. Input: the datagram; its sequence number is taken to be
 * that of its first message, so that the fuzzer need not guess it. */
#include "fuzz.h"

#include <linux/if_arp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* in an allocation of exactly that size, which is also aligned as the macros want it */
    unsigned char *datagram = malloc(size ? size : 1);
    struct network_links links = {0};
    unsigned sequence = 1, count = 0, loopbacks = 0;
    bool ended = false, up = false;

    MUST(datagram);
    if (size)
        memcpy(datagram, data, size);
    if (size >= sizeof(struct nlmsghdr))
        sequence = ((struct nlmsghdr *)(void *)datagram)->nlmsg_seq;
    int result = network_parse(datagram, size, sequence, &links);
    MUST(result <= 1);
    if (result >= 0) { /* believed: then it must be sound from end to end, and hold what was counted */
        size_t left = size;
        const struct nlmsghdr *header = (const struct nlmsghdr *)(void *)datagram;
        while (!ended && left > 0) {
            MUST(left >= sizeof *header && header->nlmsg_len >= sizeof *header && header->nlmsg_len <= left);
            MUST(header->nlmsg_seq == sequence);
            ended = header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR;
            MUST(!(header->nlmsg_flags & NLM_F_DUMP_INTR) || header->nlmsg_type == NLMSG_ERROR);
            if (header->nlmsg_type == NLMSG_DONE && NLMSG_PAYLOAD(header, 0) >= sizeof(int))
                MUST(*(const int *)NLMSG_DATA(header) >= 0); /* a dump that broke off */
            if (header->nlmsg_type == NLMSG_ERROR)
                MUST(((const struct nlmsgerr *)NLMSG_DATA(header))->error == 0);
            if (header->nlmsg_type == RTM_NEWLINK) {
                const struct ifinfomsg *link = NLMSG_DATA(header);
                MUST(NLMSG_PAYLOAD(header, 0) >= sizeof *link);
                count++;
                loopbacks += link->ifi_type == ARPHRD_LOOPBACK && link->ifi_index == 1;
                up |= link->ifi_flags & 1;
            } else {
                MUST(ended);
            }
            size_t step = NLMSG_ALIGN(header->nlmsg_len);
            if (step >= left)
                break;
            left -= step;
            header = (const struct nlmsghdr *)(const void *)((const unsigned char *)header + step);
        }
        MUST(result == !ended);
        MUST(links.count == count);
        MUST(links.only_lo == (count == 1 && loopbacks == 1));
        MUST(links.up == up);
    }
    free(datagram);
    return 0;
}
