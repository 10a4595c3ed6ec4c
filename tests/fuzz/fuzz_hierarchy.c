/* /proc/self/mountinfo and /proc/self/cgroup. Input: the first, NUL, the second. */
#include "fuzz.h"

#include "hierarchy.h"

static void check_path(const char *text, const char *controller)
{
    size_t length = 0;
    const char *path = hierarchy_path(text, controller, &length);

    if (!path)
        return;
    MUST(path > text && path[-1] == ':' && path + length <= text + strlen(text));
    MUST(!memchr(path, '\n', length));
    MUST(path[length] == '\n' || path[length] == '\0');
}

static void check(const struct hierarchy *hierarchy)
{
    MUST(memchr(hierarchy->mount, '\0', sizeof hierarchy->mount));
    MUST(memchr(hierarchy->own, '\0', sizeof hierarchy->own));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hierarchies out;
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    size_t first = end ? (size_t)(end - data) : size;
    char *mountinfo = fuzz_text(data, first);
    char *cgroup = end ? fuzz_text(end + 1, size - first - 1) : fuzz_text(NULL, 0);
    struct fault fault;

    check_path(cgroup, NULL);
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        check_path(cgroup, controller_name((enum controller)c));
    int result = hierarchy_read(mountinfo, cgroup, &out, &fault);
    MUST(result == 0 || result == -ENOTSUP || result == -EINVAL || result == -ENAMETOOLONG);
    if (result < 0) {
        MUST(fault.stage == STAGE_CGROUP && fault.errnum == -result);
        MUST(fault.what[0] && memchr(fault.what, '\0', sizeof fault.what));
    } else {
        MUST(out.v2.mount[0]);
    }
    check(&out.v2);
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        check(&out.v1[c]);
    free(mountinfo);
    free(cgroup);
    return 0;
}
