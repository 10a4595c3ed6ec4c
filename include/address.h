/* address: what a command gives connect(2) or sendto(2) as an address, and what it asks a name server, as text. Every byte is the
 * command's: hostile. Pure. */
#ifndef BIVY_ADDRESS_H
#define BIVY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT 48  /* INET6_ADDRSTRLEN and a little */
#define ADDRESS_NAME 256 /* of a host, escaped */
#define ADDRESS_BYTES 128 /* sockaddr_storage: what the kernel takes at the most */
#define ADDRESS_QUERY 512 /* of a datagram to a name server, looked at: RFC 1035 has no longer ones */
#define ADDRESS_DNS 53

struct address {
    char text[ADDRESS_TEXT]; /* "192.0.2.1", "2001:db8::1" */
    uint16_t port;
    bool loopback; /* 127.0.0.0/8 or ::1, also as an IPv4 address inside IPv6; the unspecified address counts, it means the same */
};

/* A struct sockaddr as the kernel would take it. 0; -EAFNOSUPPORT for other families than AF_INET and AF_INET6, -EINVAL for one that is
 * cut short. */
int address_parse(const void *bytes, size_t length, struct address *address);

/*
 * The name that a DNS query (RFC 1035, section 4.1, over UDP) asks for, without the last dot; "." for the root. Only a plain query is
 * taken: one question, no compression, labels of 1 to 63 bytes, 255 in all, type and class behind it. Bytes other than letters, digits,
 * '-' and '_' are escaped as in a zone file ("\." and "\032"), so that the text is printable. 0, or -EINVAL with name "".
 */
int address_query(const void *bytes, size_t length, char name[ADDRESS_NAME]);

/*
 * The same for memory of which nobody says that it is a query, and stricter: recursion is wanted, the class is the Internet's, and the name
 * could be a host's (letters, digits, '-', '_'). Of address_query_within() the first that begins anywhere in these bytes. 0, or -ENOENT with
 * name "".
 */
int address_query_at(const void *bytes, size_t length, char name[ADDRESS_NAME]);
int address_query_within(const void *bytes, size_t length, char name[ADDRESS_NAME]);

#endif
