#include "handover.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

void handover_add(char *text, size_t size, const char *more)
{
    size_t length = strlen(text);

    snprintf(text + length, size - length, "%s", more);
}

/* A path as a word of a script that itself stands in single quotes. Ours have no quotes; a caller's parent was checked to be plain, and
 * one with a quote or a blank in it is left to its owner's imagination. */
static void add_path(char *text, size_t size, const char *mount, const char *path)
{
    if (strpbrk(mount, "'\" $`\\") || strpbrk(path, "'\" $`\\")) {
        handover_add(text, size, "PATH");
        return;
    }
    handover_add(text, size, mount);
    handover_add(text, size, path);
}

static void add_everywhere(char *text, size_t size, const struct hierarchies *cgroups, const char *path)
{
    add_path(text, size, cgroups->v2.mount, path);
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        bool again = false;
        for (int other = 0; other < c; other++)
            again = again || !strcmp(cgroups->v1[other].mount, cgroups->v1[c].mount);
        if (!cgroups->v1[c].mount[0] || again)
            continue;
        handover_add(text, size, " ");
        add_path(text, size, cgroups->v1[c].mount, path);
    }
}

/* Controllers that are on v2 are handed on from cgroup to cgroup, from the top to path. */
static void add_controllers(char *text, size_t size, const struct hierarchies *cgroups, const char *path)
{
    char words[64] = "", above[PATH_MAX];

    for (int c = 0; c < CONTROLLER_COUNT; c++)
        if (!cgroups->v1[c].mount[0]) {
            handover_add(words, sizeof words, *words ? " +" : "+");
            handover_add(words, sizeof words, controller_name((enum controller)c));
        }
    if (!*words)
        return;
    snprintf(above, sizeof above, "%s", path);
    for (char *end = above;; end++) {
        if (*end != '/' && *end != '\0')
            continue;
        char kept = *end;
        *end = '\0';
        handover_add(text, size, " && echo \"");
        handover_add(text, size, words);
        handover_add(text, size, "\" > ");
        add_path(text, size, cgroups->v2.mount, above);
        handover_add(text, size, "/cgroup.subtree_control");
        *end = kept;
        if (!kept)
            return;
    }
}

static void add_shell(const struct setting *setting, const struct hierarchies *cgroups, const char *path, uid_t owner, char *text, size_t size)
{
    char words[64];

    handover_add(text, size, "mkdir -p ");
    add_path(text, size, cgroups->v2.mount, path);
    snprintf(words, sizeof words, "/shell && chown -R %u ", owner);
    handover_add(text, size, words);
    add_everywhere(text, size, cgroups, path);
    snprintf(words, sizeof words, " && echo %d > ", (int)setting->caller);
    handover_add(text, size, words);
    add_path(text, size, cgroups->v2.mount, path);
    handover_add(text, size, "/shell/cgroup.procs");
}

void handover_parent(const struct setting *setting, const char *given, const struct hierarchies *cgroups, uid_t owner, char *text, size_t size)
{
    char path[PATH_MAX], words[64];

    if (setting->where & AT_ROOT || given) {
        snprintf(path, sizeof path, "%s%s", !given || *given == '/' ? "" : "/", given ? given : "/bivy");
        if (!strcmp(path, "/"))
            *path = '\0';
        handover_add(text, size, "sh -c 'mkdir -p ");
        add_everywhere(text, size, cgroups, path);
        add_controllers(text, size, cgroups, path);
        if (owner != 0) {
            snprintf(words, sizeof words, " && chown -R %u ", owner);
            handover_add(text, size, words);
            add_everywhere(text, size, cgroups, path);
        }
        handover_add(text, size, "'");
        return;
    }
    snprintf(path, sizeof path, "/bivy-%u", setting->uid);
    handover_add(text, size, "sh -c 'mkdir -p ");
    add_everywhere(text, size, cgroups, path);
    add_controllers(text, size, cgroups, path);
    handover_add(text, size, " && ");
    add_shell(setting, cgroups, path, owner, text, size);
    handover_add(text, size, "'");
}

void handover_shell(const struct setting *setting, const struct hierarchies *cgroups, const char *path, char *text, size_t size)
{
    handover_add(text, size, "sh -c '");
    add_shell(setting, cgroups, path, setting->uid, text, size);
    handover_add(text, size, "'");
}

void handover_controllers(const struct hierarchies *cgroups, const char *path, char *text, size_t size)
{
    char script[2048] = "";

    add_controllers(script, sizeof script, cgroups, path);
    handover_add(text, size, "sh -c '");
    handover_add(text, size, script + (strncmp(script, " && ", 4) ? 0 : 4));
    handover_add(text, size, "'");
}

void handover_writable(const struct hierarchies *cgroups, char *text, size_t size)
{
    const char *mounts[1 + CONTROLLER_COUNT] = {cgroups->v2.mount};
    struct statvfs now;

    for (int c = 0; c < CONTROLLER_COUNT; c++)
        mounts[1 + c] = cgroups->v1[c].mount;
    handover_add(text, size, "sh -c 'true");
    for (int i = 0; i < 1 + CONTROLLER_COUNT; i++)
        if (*mounts[i] && statvfs(mounts[i], &now) == 0 && now.f_flag & ST_RDONLY) {
            handover_add(text, size, " && mount -o remount,bind,rw ");
            add_path(text, size, mounts[i], "");
        }
    handover_add(text, size, "'");
}
