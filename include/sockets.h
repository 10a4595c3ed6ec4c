/* sockets: which socket an inode is, by the tables below /proc/PID/net (proc(5)). Pure. The path of a unix socket is a stranger's: any byte
 * may be in it. */
#ifndef BIVY_SOCKETS_H
#define BIVY_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOCKETS_TABLES = 5, SOCKETS_TEXT = 128 };

/* Name of a table: its file below net. */
const char *sockets_table(unsigned table);

/* Looks in that table's text, NUL-terminated, perhaps cut off, for the inode. Writes "tcp 127.0.0.1:8000", "tcp 127.0.0.1:40000 to
 * 127.0.0.1:8000", "udp 0.0.0.0:53", "unix /tmp/socket" or "unix", cut to fit, and whether it waits for others to connect. False: it is not
 * there, and nothing is written. */
bool sockets_find(unsigned table, const char *text, uint64_t inode, char name[SOCKETS_TEXT + 1], bool *listens);

#endif
