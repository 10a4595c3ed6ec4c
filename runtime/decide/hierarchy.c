#include "hierarchy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mountinfo.h"

static const char *const names[CONTROLLER_COUNT] = {"memory", "cpu", "pids"};

const char *controller_name(enum controller controller)
{
    return names[controller];
}

static bool listed(const char *list, size_t length, const char *name)
{
    size_t wanted = strlen(name);

    while (length > 0) {
        const char *comma = memchr(list, ',', length);
        size_t span = comma ? (size_t)(comma - list) : length;
        if (span == wanted && !memcmp(list, name, wanted))
            return true;
        if (!comma)
            return false;
        length -= span + 1;
        list = comma + 1;
    }
    return false;
}

const char *hierarchy_path(const char *cgroup, const char *controller, size_t *length)
{
    for (const char *line = cgroup; *line;) {
        const char *end = strchr(line, '\n');
        size_t span = end ? (size_t)(end - line) : strlen(line);
        const char *list = memchr(line, ':', span);
        const char *path = list ? memchr(list + 1, ':', span - (size_t)(list + 1 - line)) : NULL;

        if (path) {
            size_t list_length = (size_t)(path - list - 1);
            bool v2 = line[0] == '0' && list == line + 1 && list_length == 0;
            if (controller ? !v2 && listed(list + 1, list_length, controller) : v2) {
                *length = span - (size_t)(path + 1 - line);
                return path + 1;
            }
        }
        if (!end)
            break;
        line = end + 1;
    }
    return NULL;
}

static int keep(struct hierarchy *hierarchy, const struct mountinfo *mount, const char *cgroup, const char *controller,
                struct fault *fault)
{
    size_t length;
    const char *own = hierarchy_path(cgroup, controller, &length);

    if (!own)
        return 0; /* mounted, but the caller's kernel says it is not a member: of no use */
    if (strlen(mount->target) >= sizeof hierarchy->mount || length >= sizeof hierarchy->own)
        return fault_set(fault, STAGE_CGROUP, ENAMETOOLONG, NULL, "path of the cgroup mount %.100s is too long", mount->target);
    strcpy(hierarchy->mount, mount->target);
    memcpy(hierarchy->own, own, length);
    hierarchy->own[length] = '\0';
    return 0;
}

int hierarchy_read(char *mountinfo, char *cgroup, struct hierarchies *out, struct fault *fault)
{
    struct mountinfo mount;
    int more, error;

    /* Only what says "none": the paths have room for long ones. */
    out->v2.mount[0] = out->v2.own[0] = '\0';
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        out->v1[c].mount[0] = out->v1[c].own[0] = '\0';
    while ((more = mountinfo_next(&mountinfo, &mount)) > 0) {
        /* A mount of some subtree only ("/foo" as root) does not show the paths of /proc/self/cgroup. */
        if (strcmp(mount.root, "/"))
            continue;
        if (!strcmp(mount.fstype, "cgroup2") && !out->v2.mount[0]) {
            if ((error = keep(&out->v2, &mount, cgroup, NULL, fault)) < 0)
                return error;
        } else if (!strcmp(mount.fstype, "cgroup")) {
            for (int c = 0; c < CONTROLLER_COUNT; c++) {
                if (!mountinfo_has(mount.super, names[c]) || out->v1[c].mount[0])
                    continue;
                if ((error = keep(&out->v1[c], &mount, cgroup, names[c], fault)) < 0)
                    return error;
            }
        }
    }
    if (more < 0)
        return fault_set(fault, STAGE_CGROUP, EINVAL, NULL, "/proc/self/mountinfo has a line that is not one");
    if (!out->v2.mount[0])
        return fault_set(fault, STAGE_CGROUP, ENOTSUP, /* mounted without these options every mount of it would lose them */
                         "mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup/unified (or boot with cgroup v2)",
                         "no cgroup2 file system is mounted; bivy needs cgroup.kill and clone into a cgroup");
    return 0;
}
