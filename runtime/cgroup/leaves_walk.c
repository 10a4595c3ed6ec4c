#include "leaves.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

#define MOST_DEEP 32       /* systemd's own are six or seven deep; who hides his deeper hides them from himself as well */
#define MOST_CGROUPS 65536 /* a second or so: whoever was handed a cgroup over could make any number of them */

struct walk {
    char path[PATH_MAX]; /* of the innermost, below the mount */
    struct level {
        struct sys_names names;
        size_t length; /* of its path */
    } levels[MOST_DEEP];
    size_t depth, seen;
};

static void enter_level(struct walk *walk, int dir, size_t length)
{
    struct level *level = &walk->levels[walk->depth];

    level->names.dir = dir;
    level->names.got = level->names.at = 0;
    level->length = length;
}

/* A cgroup that may hold leaves. Whoever may not look there, or comes too late, sees none. */
static int descend(struct walk *walk, const char *name)
{
    const struct level *level = &walk->levels[walk->depth];
    size_t room = sizeof walk->path - level->length;

    if (++walk->seen > MOST_CGROUPS)
        return -E2BIG;
    if (walk->depth + 1 >= MOST_DEEP || (size_t)snprintf(walk->path + level->length, room, "/%s", name) >= room)
        return 0;
    int dir = SYS_AGAIN(openat(level->names.dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (dir < 0)
        return 0;
    walk->depth++;
    enter_level(walk, dir, strlen(walk->path));
    return 0;
}

static int walk_levels(struct walk *walk, bool deep, leaves_visitor *visit, void *data)
{
    for (;;) {
        struct level *level = &walk->levels[walk->depth];
        const char *name;
        int more = sys_next_name(&level->names, &name), result = 0;

        walk->path[level->length] = '\0';
        if (more <= 0 && walk->depth == 0)
            return more;
        if (more <= 0) { /* its end; or it went while it was read */
            sys_close(&level->names.dir);
            walk->depth--;
        } else if (leaves_name(name)) {
            result = visit(level->names.dir, walk->path, name, data);
        } else if (deep && level->names.type == DT_DIR) {
            result = descend(walk, name);
        }
        if (result != 0)
            return result;
    }
}

int leaves_walk(const struct hierarchies *cgroups, const char *path, leaves_visitor *visit, void *data, struct fault *fault)
{
    static struct walk walk;
    SYS_CLOSES int top = leaves_open_parent(cgroups->v2.mount, path ? path : "", false);
    int result;

    if (top == -ENOENT)
        return 0; /* no run has ever been here */
    if (top < 0)
        return fault_set(fault, STAGE_CGROUP, -top, "name the cgroup parent with --cgroup-parent", "%.200s%.200s: cannot be opened",
                         cgroups->v2.mount, path ? path : "");
    walk.depth = walk.seen = 0;
    enter_level(&walk, top, (size_t)snprintf(walk.path, sizeof walk.path, "%s", path ? path : ""));
    result = walk_levels(&walk, !path, visit, data);
    for (; walk.depth > 0; walk.depth--)
        sys_close(&walk.levels[walk.depth].names.dir);
    if (result == -E2BIG)
        return fault_set(fault, STAGE_CGROUP, E2BIG, "name the cgroup parent with --cgroup-parent",
                         "%.200s: there are too many cgroups to look through all of them", cgroups->v2.mount);
    if (result < 0)
        return fault_set(fault, STAGE_CGROUP, -result, NULL, "%.200s%.200s: cannot be listed", cgroups->v2.mount, path ? path : "");
    return 0;
}
