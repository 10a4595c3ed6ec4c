/* ps: every sandbox, or those in a cgroup parent, with all that `bivy ps` says of it. */
#ifndef BIVY_PS_H
#define BIVY_PS_H

#include "hierarchy.h"
#include "listing.h"

struct ps {
    struct listing_row *rows; /* owned: ps_release; oldest first */
    size_t count;
};

/* Those in the cgroup path, or in all that there are where it is NULL. 0, also where no run has ever been, or -errno with *fault. ps_release in either case. */
int ps_gather(const struct hierarchies *cgroups, const char *path, struct ps *ps, struct fault *fault);
void ps_release(struct ps *ps);

#endif
