/* network: what the network namespace holds, by netlink (rtnetlink(7)). */
#ifndef BIVY_NETWORK_H
#define BIVY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

struct network_links {
    unsigned count;   /* interfaces */
    bool only_lo;     /* the one there is, is the loopback */
    bool up;          /* it is up */
};

/* Dumps the links. 0 or -errno. Allocates nothing that outlives the call. */
int network_dump(struct network_links *links);

/* Takes one datagram of the answer apart: 1 there is more to come, 0 that was the end, -errno. Pure. */
int network_parse(const void *datagram, size_t length, unsigned sequence, struct network_links *links);

/* The sandbox's network namespace, made while the caller goes on: that takes the kernel longer than all mounts together. network_begin
 * starts a thread that unshares it; network_join waits for it and enters it, after which there is one thread again. Both in the child,
 * join while it still has CAP_SYS_ADMIN. 0 or -errno with *fault. */
int network_begin(struct fault *fault);
int network_join(struct fault *fault);

/* Brings lo up. */
int network_loopback(struct fault *fault);

#endif
