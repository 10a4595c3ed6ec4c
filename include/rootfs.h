/* rootfs: builds the sandbox's mount tree on descriptors and pivots into it. Runs in the child. */
#ifndef BIVY_ROOTFS_H
#define BIVY_ROOTFS_H

#include <stdbool.h>

#include "fault.h"
#include "plan.h"

/* Clones a checked directory as a detached, private mount with attr (open_tree(2), mount_setattr(2)). Returns the mount's
 * descriptor, or -errno. Called by the supervisor where it may mount: what it checked is what is bound, and directories above
 * that only others may search are passed by root. Otherwise called by the child with again: the kernel clones mounts only within
 * one mount namespace, so the child opens the path once more, without symlinks, and refuses unless device and inode are those
 * that were checked. */
int rootfs_take(const struct place *place, bool again, uint64_t attr, enum stage stage, struct fault *fault);

struct rootfs {
    int scratch; /* the tmpfs that stages everything */
    int root;    /* the new root, attached */
    bool nodes;  /* the host's /dev is there to bind from */
};

/* What the functions below mount, each as a detached mount: its descriptor, or -errno. The procfs is that of the caller's pid namespace,
 * with pid 1 hidden and no user namespace allowed below this one. */
int rootfs_new_tmpfs(const struct plan *plan);
int rootfs_new_proc(struct fault *fault);
int rootfs_new_devpts(const struct mount_row *row);

/* processors: those that the command will get, or NULL where it gets all of the caller's. */
int rootfs_scratch(const struct plan *plan, const cpu_set_t *processors, struct rootfs *rootfs, struct fault *fault);
int rootfs_root(const struct plan *plan, int taken, struct rootfs *rootfs, struct fault *fault);
int rootfs_proc(const struct plan *plan, struct rootfs *rootfs, struct fault *fault);
int rootfs_mounts(const struct plan *plan, int workspace, struct rootfs *rootfs, struct fault *fault);
int rootfs_pivot(struct rootfs *rootfs, struct fault *fault);

#endif
