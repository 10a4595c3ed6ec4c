#include "trouble.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[TROUBLE_COUNT] = {
    [TROUBLE_NOT_MOUNTED] = "not_mounted", [TROUBLE_WRONG_FSTYPE] = "wrong_fstype",
    [TROUBLE_DISCONNECTED] = "disconnected", [TROUBLE_UNRESPONSIVE] = "unresponsive",
    [TROUBLE_BAD_OWNER] = "bad_owner",     [TROUBLE_PERMISSION] = "permission",
    [TROUBLE_READ_ONLY] = "read_only",     [TROUBLE_FULL] = "full",
    [TROUBLE_IO_STUCK] = "io_stuck",       [TROUBLE_INVALID] = "invalid",
};

const char *trouble_name(enum trouble trouble)
{
    return trouble > TROUBLE_NONE && trouble < TROUBLE_COUNT ? names[trouble] : NULL;
}

enum trouble trouble_of_errno(int errnum)
{
    switch (errnum) {
    case ENOTCONN:
    case ECONNABORTED:
    case ECONNRESET:
    case ECONNREFUSED:
    case ESTALE:
    case EIO:
    case EHOSTDOWN:
        return TROUBLE_DISCONNECTED;
    case ETIMEDOUT:
    case EAGAIN:
        return TROUBLE_UNRESPONSIVE;
    case EACCES:
        return TROUBLE_PERMISSION;
    case EROFS:
        return TROUBLE_READ_ONLY;
    case ENOSPC:
    case EDQUOT:
        return TROUBLE_FULL;
    default:
        return TROUBLE_INVALID;
    }
}

int trouble_set(struct fault *fault, enum trouble trouble, int errnum, const char *hint, const char *format, ...)
{
    char what[sizeof fault->what];
    va_list args;
    int result;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    result = fault_set(fault, STAGE_WORKSPACE, errnum, hint, "%s", what);
    fault->trouble = (int32_t)trouble;
    return result;
}

bool trouble_may_block(const char *fstype)
{
    static const char *const types[] = {"fuse", "fuseblk", "virtiofs", "nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs",
                                        "ncpfs", "coda",   "lustre",  "glusterfs", "gfs2", "ocfs2", "autofs", "beegfs", "orangefs"};

    if (!strncmp(fstype, "fuse.", 5))
        return true;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(fstype, types[i]))
            return true;
    return false;
}

/* "user_id=0" in a comma-separated list. */
static bool option_number(const char *list, const char *name, unsigned long *value)
{
    size_t length = strlen(name);

    for (const char *at = list; at; at = strchr(at, ',')) {
        char *end;
        at += *at == ',';
        if (strncmp(at, name, length) || at[length] != '=' || at[length + 1] < '0' || at[length + 1] > '9')
            continue;
        *value = strtoul(at + length + 1, &end, 10);
        return *end == ',' || *end == '\0';
    }
    return false;
}

int trouble_of_mount(const struct mountinfo *mount, const char *require, uid_t uid, gid_t gid, const char *what, struct fault *fault)
{
    bool fuse = !strcmp(mount->fstype, "fuse") || !strncmp(mount->fstype, "fuse.", 5);
    unsigned long owner, group;

    if (require && strcmp(mount->fstype, require))
        return trouble_set(fault, TROUBLE_WRONG_FSTYPE, EPERM, "mount the right file system there, or correct --require-fs",
                           "workspace %.200s: is on %.60s, not on %.60s", what, mount->fstype, require);
    if (mountinfo_has(mount->options, "ro") || mountinfo_has(mount->super, "ro"))
        return trouble_set(fault, TROUBLE_READ_ONLY, EROFS, "mount it read-write", "workspace %.200s: its mount %.200s is read-only", what,
                           mount->target);
    if (!fuse)
        return 0;
    if (!mountinfo_has(mount->super, "default_permissions"))
        return trouble_set(fault, TROUBLE_PERMISSION, EPERM, "mount it with default_permissions: without it the kernel checks no modes",
                           "workspace %.200s: its mount %.200s lacks default_permissions", what, mount->target);
    if (!mountinfo_has(mount->super, "allow_other") &&
        (uid == (uid_t)-1 || !option_number(mount->super, "user_id", &owner) || !option_number(mount->super, "group_id", &group) ||
         owner != uid || group != gid))
        return trouble_set(fault, TROUBLE_PERMISSION, EACCES, "mount it with allow_other (weed mount: -allowOthers, the default)",
                           "workspace %.200s: its mount %.200s lacks allow_other, so that only who mounted it may use it", what,
                           mount->target);
    return 0;
}
