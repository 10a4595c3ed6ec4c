#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mountinfo.h"
#include "trouble.h"

const char *place_mend(int errnum)
{
    switch (errnum) {
    case ELOOP:
        return "there is a symbolic link in the path: give the path that `readlink -f` prints";
    case ENOTDIR:
        return "name a directory";
    case ENOENT:
        return "create it, or correct the path";
    case EACCES:
        return "the user bivy runs as may not search or read it";
    default:
        return NULL;
    }
}

const char *place_complaint(int errnum)
{
    return errnum == ENOENT    ? "does not exist"
           : errnum == ENOTDIR ? "is not a directory"
           : errnum == ELOOP   ? "is, or leads through, a symbolic link"
                               : "cannot be opened";
}

int place_name(struct place *place)
{
    char link[32];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", place->fd);
    length = SYS_AGAIN(readlink(link, place->path, sizeof place->path - 1));
    if (length <= 0)
        return length < 0 ? -errno : -ENOENT;
    place->path[length] = '\0';
    return place->path[0] == '/' ? 0 : -ENOENT;
}

void place_inode(struct place *place, const struct sys_inode *now)
{
    place->device = now->device;
    place->inode = now->inode;
    place->uid = now->uid;
    place->gid = now->gid;
    place->mode = now->mode;
}

int place_absolute(const char *path, char whole[PATH_MAX])
{
    size_t length = 0;

    if (path[0] != '/') {
        if (!getcwd(whole, PATH_MAX) || whole[0] != '/')
            return errno ? -errno : -ENOENT; /* "(unreachable)": it lies outside the root */
        length = strlen(whole);
        length -= length == 1;
    }
    while (*path) {
        size_t span = strcspn(path, "/");
        if (span > 0 && !(span == 1 && path[0] == '.')) {
            if (length + span + 2 > PATH_MAX)
                return -ENAMETOOLONG;
            whole[length++] = '/';
            memcpy(whole + length, path, span);
            length += span;
        }
        path += span;
        path += strspn(path, "/");
    }
    if (length == 0)
        whole[length++] = '/';
    whole[length] = '\0';
    return 0;
}

static bool climbs(const char *path)
{
    for (; *path; path += strcspn(path, "/")) {
        path += strspn(path, "/");
        if (path[0] == '.' && path[1] == '.' && (path[2] == '/' || path[2] == '\0'))
            return true;
    }
    return false;
}

bool place_may_block(const char *path, const char *mountinfo)
{
    char *text, *cursor;
    struct mountinfo mount;
    bool may = false;

    if (climbs(path))
        return true;
    text = cursor = strdup(mountinfo);
    while (cursor && !may && mountinfo_next(&cursor, &mount) > 0) {
        size_t length = strlen(mount.target);
        may = trouble_may_block(mount.fstype) &&
              (length == 1 || (!strncmp(mount.target, path, length) && (path[length] == '/' || path[length] == '\0')));
    }
    free(text);
    return may || !cursor;
}
