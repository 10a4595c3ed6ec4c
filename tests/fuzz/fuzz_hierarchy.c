/* /proc/self/mountinfo and /proc/self/cgroup. Input: the first, NUL, the second. */
#include "fuzz.h"

#include "hierarchy.h"
#include "mountinfo.h"

/* Is it a word of the list, set between commas? */
static bool word_of(const char *list, size_t length, const char *word)
{
    size_t wanted = strlen(word);

    for (size_t i = 0; i + wanted <= length; i++)
        if (!memcmp(list + i, word, wanted) && (i == 0 || list[i - 1] == ',') &&
            (i + wanted == length || list[i + wanted] == ','))
            return true;
    return false;
}

/* The path on the first line "id:list:path" that is the controller's, or v2's for NULL. */
static const char *expected_path(const char *text, const char *controller, size_t *length)
{
    for (const char *line = text, *end; *line; line = end + (*end == '\n')) {
        end = line + strcspn(line, "\n");
        const char *list = line + strcspn(line, ":\n") + 1;
        if (list > end)
            continue;
        const char *path = list + strcspn(list, ":\n") + 1;
        if (path > end)
            continue;
        bool v2 = !strncmp(line, "0::", 3);
        if (controller ? !v2 && word_of(list, (size_t)(path - 1 - list), controller) : v2) {
            *length = (size_t)(end - path);
            return path;
        }
    }
    return NULL;
}

static const char *controller_at(int index)
{
    return index < CONTROLLER_COUNT ? controller_name((enum controller)index) : NULL;
}

/* What one controller's, or v2's, place must be: the first mount of the whole hierarchy, if the caller is in it. */
static void check_place(const struct hierarchy *place, const char *mountinfo, const char *cgroup,
                        const char *controller)
{
    size_t length = 0;
    const char *own = expected_path(cgroup, controller, &length), *mounted = NULL;
    char *text = fuzz_text(mountinfo, strlen(mountinfo)), *cursor = text;
    struct mountinfo mount;

    while (own && !mounted && mountinfo_next(&cursor, &mount) > 0)
        if (!strcmp(mount.root, "/") && *mount.target &&
            (controller ? !strcmp(mount.fstype, "cgroup") && mountinfo_has(mount.super, controller)
                        : !strcmp(mount.fstype, "cgroup2")))
            mounted = mount.target;
    MUST(!strcmp(place->mount, mounted ? mounted : ""));
    if (mounted)
        MUST(strlen(place->own) == length && !memcmp(place->own, own, length));
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hierarchies out;
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    size_t first = end ? (size_t)(end - data) : size;
    char *mountinfo = fuzz_text(data, first), *mountinfo_kept = fuzz_text(data, first);
    char *cgroup = end ? fuzz_text(end + 1, size - first - 1) : fuzz_text(NULL, 0);
    char *cgroup_kept = fuzz_text(cgroup, strlen(cgroup));
    struct fault fault;

    for (int c = 0; c <= CONTROLLER_COUNT; c++) {
        size_t length = 0, wanted = 0;
        const char *path = hierarchy_path(cgroup, controller_at(c), &length);
        MUST(path == expected_path(cgroup, controller_at(c), &wanted));
        MUST(!path || length == wanted);
    }
    int result = hierarchy_read(mountinfo, cgroup, &out, &fault);
    MUST(result == 0 || result == -ENOTSUP || result == -EINVAL || result == -ENAMETOOLONG);
    if (result < 0) {
        MUST(fault.stage == STAGE_CGROUP && fault.errnum == -result);
        MUST(fault.what[0] && memchr(fault.what, '\0', sizeof fault.what));
    }
    MUST(result < 0 || out.v2.mount[0]);
    if (result == 0 || result == -ENOTSUP)
        for (int c = 0; c <= CONTROLLER_COUNT; c++)
            check_place(c < CONTROLLER_COUNT ? &out.v1[c] : &out.v2, mountinfo_kept, cgroup_kept, controller_at(c));
    for (int c = 0; c <= CONTROLLER_COUNT; c++) {
        const struct hierarchy *place = c < CONTROLLER_COUNT ? &out.v1[c] : &out.v2;
        MUST(memchr(place->mount, '\0', sizeof place->mount) && memchr(place->own, '\0', sizeof place->own));
    }
    free(mountinfo);
    free(mountinfo_kept);
    free(cgroup);
    free(cgroup_kept);
    return 0;
}
