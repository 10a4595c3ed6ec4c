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

/* Brings lo up. */
int network_loopback(struct fault *fault);

#endif
