/* network: rtnetlink answers, made up, damaged and lying; and this host's own, held against libmnl's reading of it. */
#include "unit.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <time.h>

#include "network.h"

#define SEQUENCE 7u

struct datagram {
    size_t length;
    unsigned char bytes[4096];
};

/* Appends a message; claimed is nlmsg_len, 0 for the truth. */
static void add(struct datagram *datagram, uint16_t type, uint16_t flags, uint32_t sequence, const void *body, size_t size, uint32_t claimed)
{
    struct nlmsghdr header = {
        .nlmsg_len = claimed ? claimed : (uint32_t)(sizeof header + size), .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = sequence};

    assert_true(datagram->length + sizeof header + size + 4 <= sizeof datagram->bytes);
    memcpy(datagram->bytes + datagram->length, &header, sizeof header);
    if (size)
        memcpy(datagram->bytes + datagram->length + sizeof header, body, size);
    datagram->length += sizeof header + NLMSG_ALIGN(size);
}

static void add_link(struct datagram *datagram, int index, unsigned short type, unsigned flags)
{
    struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_type = type, .ifi_index = index, .ifi_flags = flags};

    add(datagram, RTM_NEWLINK, NLM_F_MULTI, SEQUENCE, &link, sizeof link, 0);
}

static void add_done(struct datagram *datagram, int error)
{
    add(datagram, NLMSG_DONE, NLM_F_MULTI, SEQUENCE, &error, sizeof error, 0);
}

static int parse(const struct datagram *datagram, struct network_links *links)
{
    unsigned char *copy = copy_bytes(datagram->bytes, datagram->length);
    int result = network_parse(copy, datagram->length, SEQUENCE, links);

    free(copy);
    return result;
}

static void the_lone_loopback(void **state)
{
    struct datagram datagram = {0};
    struct network_links links = {0};

    (void)state;
    add_link(&datagram, 1, ARPHRD_LOOPBACK, IFF_LOOPBACK);
    assert_int_equal(parse(&datagram, &links), 1);
    assert_int_equal(links.count, 1);
    assert_true(links.only_lo);
    assert_false(links.up);
    add_done(&datagram, 0);
    links = (struct network_links){0};
    assert_int_equal(parse(&datagram, &links), 0);
    assert_int_equal(links.count, 1);
    assert_true(links.only_lo);

    datagram.length = 0;
    links = (struct network_links){0};
    add_link(&datagram, 1, ARPHRD_LOOPBACK, IFF_LOOPBACK | IFF_UP);
    add_done(&datagram, 0);
    assert_int_equal(parse(&datagram, &links), 0);
    assert_true(links.only_lo && links.up);
}

static void anything_more(void **state)
{
    static const struct {
        int index;
        unsigned short type;
    } alone[] = {{1, ARPHRD_ETHER}, {2, ARPHRD_LOOPBACK}, {0, ARPHRD_LOOPBACK}, {-1, ARPHRD_LOOPBACK}, {2, ARPHRD_TUNNEL}};

    (void)state;
    for (size_t i = 0; i < LENGTH(alone); i++) {
        struct datagram datagram = {0};
        struct network_links links = {0};
        add_link(&datagram, alone[i].index, alone[i].type, 0);
        assert_int_equal(parse(&datagram, &links), 1);
        assert_int_equal(links.count, 1);
        assert_false(links.only_lo);
    }
    for (int first = 0; first < 2; first++) { /* lo and another, in either order, in one datagram and in two */
        struct datagram datagram = {0}, other = {0};
        struct network_links links = {0};
        add_link(&datagram, first ? 1 : 2, first ? ARPHRD_LOOPBACK : ARPHRD_ETHER, 0);
        add_link(&datagram, first ? 2 : 1, first ? ARPHRD_ETHER : ARPHRD_LOOPBACK, IFF_UP);
        assert_int_equal(parse(&datagram, &links), 1);
        assert_int_equal(links.count, 2);
        assert_false(links.only_lo);
        assert_true(links.up);

        links = (struct network_links){0};
        datagram.length = 0;
        add_link(&datagram, first ? 1 : 2, first ? ARPHRD_LOOPBACK : ARPHRD_ETHER, IFF_UP);
        add_link(&other, first ? 2 : 1, first ? ARPHRD_ETHER : ARPHRD_LOOPBACK, 0);
        assert_int_equal(parse(&datagram, &links), 1);
        assert_int_equal(parse(&other, &links), 1);
        assert_int_equal(links.count, 2);
        assert_false(links.only_lo);
        assert_true(links.up);
    }
}

/* Nothing behind NLMSG_DONE counts; no link at all is not "only lo". */
static void the_end(void **state)
{
    struct datagram datagram = {0};
    struct network_links links = {0};

    (void)state;
    assert_int_equal(parse(&datagram, &links), 1);
    add_done(&datagram, 0);
    assert_int_equal(parse(&datagram, &links), 0);
    add_link(&datagram, 1, ARPHRD_LOOPBACK, 0);
    assert_int_equal(parse(&datagram, &links), 0);
    assert_int_equal(links.count, 0);
    assert_false(links.only_lo);
}

/* A dump that failed half-way ends with NLMSG_DONE too, with the error in it (netlink_dump in net/netlink/af_netlink.c), and one
 * that changed while it was read carries NLM_F_DUMP_INTR. Neither may pass for the whole list. */
static void incomplete_dumps(void **state)
{
    struct datagram datagram = {0};
    struct network_links links = {0};

    (void)state;
    add_link(&datagram, 1, ARPHRD_LOOPBACK, 0);
    add_done(&datagram, -ENOMEM);
    assert_int_equal(parse(&datagram, &links), -ENOMEM);

    struct ifinfomsg link = {.ifi_type = ARPHRD_LOOPBACK, .ifi_index = 1};
    int error = 0;
    datagram.length = 0;
    links = (struct network_links){0};
    add(&datagram, RTM_NEWLINK, NLM_F_MULTI | NLM_F_DUMP_INTR, SEQUENCE, &link, sizeof link, 0);
    add(&datagram, NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, SEQUENCE, &error, sizeof error, 0);
    assert_true(parse(&datagram, &links) < 0);
}

static void errors(void **state)
{
    struct nlmsgerr body = {.error = -EPERM};
    struct datagram datagram = {0};
    struct network_links links = {0};

    (void)state;
    add(&datagram, NLMSG_ERROR, 0, SEQUENCE, &body, sizeof body, 0);
    assert_int_equal(parse(&datagram, &links), -EPERM);
    body.error = 0; /* the acknowledgement */
    datagram.length = 0;
    add(&datagram, NLMSG_ERROR, 0, SEQUENCE, &body, sizeof body, 0);
    assert_int_equal(parse(&datagram, &links), 0);
    body.error = 1; /* no errno: whoever wrote this lies */
    datagram.length = 0;
    add(&datagram, NLMSG_ERROR, 0, SEQUENCE, &body, sizeof body, 0);
    assert_int_equal(parse(&datagram, &links), -EPROTO);
    for (size_t size = 0; size < sizeof body.error; size++) {
        datagram.length = 0;
        add(&datagram, NLMSG_ERROR, 0, SEQUENCE, &body, size, 0);
        assert_int_equal(parse(&datagram, &links), -EPROTO);
    }
}

static void other_types_and_sequences(void **state)
{
    static const uint16_t types[] = {0, NLMSG_NOOP, NLMSG_OVERRUN, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK, RTM_NEWADDR, 0xffff};
    static const uint32_t sequences[] = {0, SEQUENCE - 1, SEQUENCE + 1, UINT32_MAX, SEQUENCE | 0x80000000};
    struct ifinfomsg link = {.ifi_type = ARPHRD_LOOPBACK, .ifi_index = 1};

    (void)state;
    for (size_t i = 0; i < LENGTH(types); i++) {
        struct datagram datagram = {0};
        struct network_links links = {0};
        add(&datagram, types[i], NLM_F_MULTI, SEQUENCE, &link, sizeof link, 0);
        assert_int_equal(parse(&datagram, &links), -EPROTO);
        assert_int_equal(links.count, 0);
    }
    for (size_t i = 0; i < LENGTH(sequences); i++) {
        struct datagram datagram = {0};
        struct network_links links = {0};
        add(&datagram, RTM_NEWLINK, NLM_F_MULTI, sequences[i], &link, sizeof link, 0);
        assert_int_equal(parse(&datagram, &links), -EPROTO);
        assert_int_equal(links.count, 0);
    }
}

/* nlmsg_len that lies: shorter than a header, shorter than its body, longer than the datagram, at the edge of 32 bits. */
static void lying_lengths(void **state)
{
    static const uint32_t lies[] = {1, 15, 17, 31, 33, 36, 48, 4096, 0x7fffffff, 0x80000000, 0xfffffffc, 0xfffffffd, UINT32_MAX};
    struct ifinfomsg link = {.ifi_type = ARPHRD_LOOPBACK, .ifi_index = 1};

    (void)state;
    for (size_t i = 0; i < LENGTH(lies); i++) {
        struct datagram datagram = {0};
        struct network_links links = {0};
        add(&datagram, RTM_NEWLINK, NLM_F_MULTI, SEQUENCE, &link, sizeof link, lies[i]);
        if (parse(&datagram, &links) != -EPROTO)
            fail_msg("nlmsg_len %u of 32 passed", lies[i]);
        assert_int_equal(links.count, 0);
    }
    struct datagram datagram = {0};
    struct network_links links = {0};
    add(&datagram, RTM_NEWLINK, NLM_F_MULTI, SEQUENCE, NULL, 0, 0); /* a header alone is no link */
    assert_int_equal(parse(&datagram, &links), -EPROTO);
    datagram.length = 0;
    struct nlmsghdr zero = {.nlmsg_len = 0, .nlmsg_type = RTM_NEWLINK, .nlmsg_seq = SEQUENCE}; /* would never end */
    memcpy(datagram.bytes, &zero, sizeof zero);
    datagram.length = sizeof zero;
    assert_int_equal(parse(&datagram, &links), -EPROTO);
}

static void truncated(void **state)
{
    struct datagram whole = {0};

    (void)state;
    add_link(&whole, 1, ARPHRD_LOOPBACK, 0);
    add_link(&whole, 2, ARPHRD_ETHER, 0);
    add_done(&whole, 0);
    for (size_t length = 0; length < whole.length; length++) {
        struct datagram datagram = whole;
        struct network_links links = {0};
        datagram.length = length;
        int result = parse(&datagram, &links);
        assert_int_equal(result, length == 0 || length == 32 || length == 64 ? 1 : -EPROTO);
        assert_int_equal(links.count, length / 32);
    }
}

/* The last message need not be padded, and a start that is not aligned does no harm. */
static void unaligned(void **state)
{
    struct ifinfomsg link = {.ifi_type = ARPHRD_LOOPBACK, .ifi_index = 1};
    unsigned char body[sizeof link + 3] = {0}, shifted[128];
    struct datagram datagram = {0};
    struct network_links links = {0};

    (void)state;
    memcpy(body, &link, sizeof link);
    add(&datagram, RTM_NEWLINK, NLM_F_MULTI, SEQUENCE, body, sizeof link + 1, 0);
    datagram.length -= 3;
    assert_int_equal(parse(&datagram, &links), 1);
    assert_int_equal(links.count, 1);
    for (size_t shift = 0; shift < 4; shift++) {
        links = (struct network_links){0};
        datagram.length = 0;
        add_link(&datagram, 1, ARPHRD_LOOPBACK, 0);
        add_done(&datagram, 0);
        memcpy(shifted + shift, datagram.bytes, datagram.length);
        assert_int_equal(network_parse(shifted + shift, datagram.length, SEQUENCE, &links), 0);
        assert_int_equal(links.count, 1);
    }
}

static void noise(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        for (size_t length = 1; length < 200; length++) {
            struct datagram datagram = {.length = length};
            struct network_links links = {0};
            memset(datagram.bytes, byte, length);
            assert_int_equal(parse(&datagram, &links), -EPROTO);
            assert_int_equal(links.count, 0);
        }
}

static int count_link(const struct nlmsghdr *header, void *data)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(header);
    struct network_links *links = data;

    links->count++;
    links->only_lo = links->count == 1 && link->ifi_type == ARPHRD_LOOPBACK && link->ifi_index == 1;
    links->up = links->up || (link->ifi_flags & IFF_UP);
    return MNL_CB_OK;
}

/* False when the links changed meanwhile. */
static bool dump_by_libmnl(struct network_links *links)
{
    static char buffer[64 * 1024];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    unsigned sequence = (unsigned)time(NULL);
    struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
    ssize_t length;
    int result, error;

    *links = (struct network_links){0};
    header->nlmsg_type = RTM_GETLINK;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    header->nlmsg_seq = sequence;
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(header, sizeof *link);
    link->ifi_family = AF_UNSPEC;
    assert_non_null(socket);
    assert_int_equal(mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID), 0);
    assert_int_equal(mnl_socket_sendto(socket, header, header->nlmsg_len), header->nlmsg_len);
    do {
        length = mnl_socket_recvfrom(socket, buffer, sizeof buffer);
        assert_true(length > 0);
        result = mnl_cb_run(buffer, (size_t)length, sequence, mnl_socket_get_portid(socket), count_link, links);
        error = errno;
    } while (result > MNL_CB_STOP);
    mnl_socket_close(socket);
    assert_true(result == MNL_CB_STOP || error == EINTR);
    return result == MNL_CB_STOP;
}

static bool same(const struct network_links *a, const struct network_links *b)
{
    return a->count == b->count && a->only_lo == b->only_lo && a->up == b->up;
}

/* Others may add and remove links meanwhile: what libmnl says the same before and after must be what bivy says in between. */
static void this_host(void **state)
{
    struct network_links before, ours, after;

    (void)state;
    for (int tries = 0;; tries++) {
        bool steady = dump_by_libmnl(&before);
        int result = network_dump(&ours);
        steady &= dump_by_libmnl(&after) && same(&before, &after);
        if (steady && result == 0 && (same(&before, &ours) || tries > 20))
            break;
        if (tries > 1000)
            fail_msg("1000 dumps: the last gave %d", result);
    }
    assert_true(ours.count > 0); /* every network namespace has lo */
    assert_int_equal(ours.count, before.count);
    assert_int_equal(ours.only_lo, before.only_lo);
    assert_int_equal(ours.up, before.up);
}

static void unreachable_counts(void **state)
{
    static const struct {
        const char *snmp, *snmp6;
        uint64_t count;
    } rows[] = {
        {"Ip: Forwarding OutNoRoutes X\nIp: 1 7 9\nIcmp: OutNoRoutes\nIcmp: 3\n", "", 7},
        {"Ip: OutNoRoutes\nIp: 7\n", "Ip6InReceives  \t5\nIp6OutNoRoutes                  \t35\nIp6X 1\n", 42},
        {"Ip: Forwarding OutNoRoutes\nIp: 1\n", "", UINT64_MAX},         /* no value under the name */
        {"Ip: Forwarding\nIp: 1\n", "Ip6OutNoRoutes 3\n", UINT64_MAX},    /* no name */
        {"Ip: OutNoRoutesToo\nIp: 1\n", "", UINT64_MAX},
        {"Ip: OutNoRoutes\nIp: x\n", "", UINT64_MAX},
        {"Ip: OutNoRoutes\n", "", UINT64_MAX},
        {"Ip: OutNoRoutes", "", UINT64_MAX},
        {"Udp: OutNoRoutes\nUdp: 1\n", "", UINT64_MAX},
        {"", "", UINT64_MAX},
        {"Ip: OutNoRoutes\nIp: 7\n", "Ip6OutNoRoutes", 7},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char *snmp = copy_text(rows[i].snmp), *snmp6 = copy_text(rows[i].snmp6);
        if (network_parse_unreachable(snmp, snmp6) != rows[i].count)
            fail_msg("row %zu", i);
        free(snmp);
        free(snmp6);
    }
    assert_int_not_equal(network_unreachable(), UINT64_MAX); /* this host */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lone_loopback), cmocka_unit_test(anything_more), cmocka_unit_test(the_end),
        cmocka_unit_test(incomplete_dumps),  cmocka_unit_test(errors),        cmocka_unit_test(other_types_and_sequences),
        cmocka_unit_test(lying_lengths),     cmocka_unit_test(truncated),     cmocka_unit_test(unaligned),
        cmocka_unit_test(noise),             cmocka_unit_test(this_host),
        cmocka_unit_test(unreachable_counts),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
