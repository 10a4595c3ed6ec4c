/* trouble: what can be wrong with a workspace, told apart because each has another mend. Pure. Goes into the record as
 * workspace.error, by name. */
#ifndef BIVY_TROUBLE_H
#define BIVY_TROUBLE_H

#include <stdbool.h>
#include <sys/types.h>

#include "fault.h"
#include "mountinfo.h"

enum trouble {
    TROUBLE_NONE,
    TROUBLE_NOT_MOUNTED,  /* the configured root is a directory of the file system below it */
    TROUBLE_WRONG_FSTYPE,
    TROUBLE_DISCONNECTED, /* the file system's server is dead: ENOTCONN, ECONNABORTED */
    TROUBLE_UNRESPONSIVE, /* it does not answer in time */
    TROUBLE_BAD_OWNER,    /* root's, somebody else's, out of range, or open to others */
    TROUBLE_PERMISSION,   /* the sandbox's user may not reach it: allow_other, default_permissions, mode */
    TROUBLE_READ_ONLY,
    TROUBLE_FULL,
    TROUBLE_IO_STUCK,     /* it holds processes beyond SIGKILL */
    TROUBLE_INVALID,      /* anything else: it does not exist, is no directory, lies in the rootfs, ... */
    TROUBLE_COUNT
};

/* As it stands in the record; NULL for TROUBLE_NONE and for numbers out of range. */
const char *trouble_name(enum trouble trouble);

/* What an errno from the workspace's file system means. */
enum trouble trouble_of_errno(int errnum);

/* fault_set for STAGE_WORKSPACE with its trouble. */
int trouble_set(struct fault *fault, enum trouble trouble, int errnum, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* May a call on this file system wait for somebody else for ever (FUSE, network)? By its type's name. */
bool trouble_may_block(const char *fstype);

/* Is the mount one that may hold workspaces? mount: its mountinfo(5) line; require: the type it must have, or NULL; uid and gid: who the
 * sandbox is on the host, where known, else -1. what names it in messages. FUSE's options are the superblock's; mount(8) "fuse". */
int trouble_of_mount(const struct mountinfo *mount, const char *require, uid_t uid, gid_t gid, const char *what, struct fault *fault);

#endif
