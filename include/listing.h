/* listing: what `bivy ps` says of each sandbox, as aligned columns for people and as JSON (docs/ps.schema.json). Pure. */
#ifndef BIVY_LISTING_H
#define BIVY_LISTING_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "json.h"
#include "live.h"

#define LISTING_COMMAND 1024 /* bytes of a command line */

struct listing_row {
    struct live live; /* its descriptor is not used */
    struct live_usage usage;
    char user[64];    /* name of live.owner, "" where it is not known */
    bool have_host, have_left;
    uid_t host_uid;   /* the sandbox's own user on the host */
    uint64_t left;    /* ns that a kept one has */
    char workspace[PATH_MAX];
    char command[LISTING_COMMAND]; /* words, each ended by a NUL byte; the last one may be cut off */
    size_t command_length;
};

/* "running" and so on. */
const char *listing_state_name(enum live_state state);

/* A line for the heads, one a row; where they are, should that be several cgroups or should one be stale, which needs it said to bivy clean; no byte of a row can move a terminal, and no row is longer than is read at a glance. *text is
 * allocated and NUL-terminated. 0 or -ENOMEM. */
int listing_text(const struct listing_row *rows, size_t count, char **text);

/* cgroup_parent: the one that was named; NULL: all were looked through. */
void listing_json(struct json *json, const char *cgroup_parent, const struct listing_row *rows, size_t count);

/* Bytes as printable ASCII and UTF-8, at most `columns` of them and never more than fit: controls and what is no UTF-8 as \xNN, a cut
 * marked by "...". Gives the columns that it takes. */
size_t listing_escape(const char *bytes, size_t length, size_t columns, char *text, size_t size);

#endif
