/* place: a directory that will be bound into the sandbox, opened once and checked. */
#ifndef BIVY_PLACE_H
#define BIVY_PLACE_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "sys.h"

struct place {
    char path[PATH_MAX]; /* absolute, as the kernel calls it */
    int fd;              /* the checked directory; -1 when there is none. Owned: facts_release */
    uint64_t device, inode;
    uid_t uid;
    gid_t gid;
    mode_t mode;
    char fstype[64];     /* from mountinfo, "" when it could not be told */
    char mount[256];     /* where that is mounted, cut where longer */
    unsigned connection; /* minor of its device: FUSE's connection number */
    bool may_block;      /* it is on FUSE or a network's: calls may wait for somebody else */
    bool mount_root;     /* it is that mount's root */
    bool full;           /* no room for an ordinary user when it was looked at */
    uint64_t checked_ns; /* how long opening and checking took */
};

/* No symlink in the path, none of /proc's magic links (openat2(2)). */
#define PLACE_NO_LINKS (RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

/* The mend for an errno of opening a directory, or NULL; and the words for what is wrong. */
const char *place_mend(int errnum);
const char *place_complaint(int errnum);
/* Fills path from fd: absolute, never a symlink. 0 or -errno. Asks no server. */
int place_name(struct place *place);
/* path as an absolute one without "." and doubled slashes; ".." and links stay as they are. 0, or -errno (the working directory is gone).
 * Asks no server. */
int place_absolute(const char *path, char whole[PATH_MAX]);
/* Could the walk to this path, which place_absolute gave, meet a file system that may block? By the names of the mounts above it.
 * Symbolic links do not count: the walk refuses them. */
bool place_may_block(const char *path, const char *mountinfo);
/* Takes over what an inode says. */
void place_inode(struct place *place, const struct sys_inode *now);

#endif
