/* network: what the network namespace holds, by netlink (rtnetlink(7)). */
#ifndef BIVY_NETWORK_H
#define BIVY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include <stdint.h>

#include "fault.h"

struct outcome;

struct network_links {
    unsigned count;   /* interfaces */
    bool only_lo;     /* the one there is, is the loopback */
    bool up;          /* it is up */
};

/* Dumps the links. 0 or -errno. Allocates nothing that outlives the call. */
int network_dump(struct network_links *links);

/* Takes one datagram of the answer apart: 1 there is more to come, 0 that was the end, -errno. Pure. */
int network_parse(const void *datagram, size_t length, unsigned sequence, struct network_links *links);

/* How often something was to be sent for which there is no route, since the caller's network namespace was made: OutNoRoutes of
 * /proc/self/net/snmp and snmp6 (proc_pid_net(5)). UINT64_MAX: cannot be told. */
uint64_t network_unreachable(void);
/* The two files' texts; snmp6 is "" where there is no IPv6. UINT64_MAX where snmp has no such counter. Pure. */
uint64_t network_parse_unreachable(const char *snmp, const char *snmp6);

/* Brings lo up. */
int network_loopback(struct fault *fault);

#endif
