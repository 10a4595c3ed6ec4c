/* hierarchy: which hierarchy holds which controller, on made-up hosts and on this one. */
#include "unit.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include "hierarchy.h"

#define V2_ONLY "25 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define HYBRID                                                                                                                      \
    "20 1 0:20 / /sys rw - sysfs sysfs rw\n"                                                                                        \
    "30 20 0:30 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"                                                                    \
    "31 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"                                                                 \
    "32 30 0:32 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"                                                \
    "33 30 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                                                             \
    "34 30 0:34 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"                                                   \
    "35 30 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
#define HYBRID_CGROUP "4:pids:/p\n3:cpu,cpuacct:/c\n2:memory:/m/n\n1:name=systemd:/s\n0::/u/v\n"

static int read_texts(const char *mountinfo, const char *cgroup, struct hierarchies *out, struct fault *fault)
{
    char *a = copy_text(mountinfo), *b = copy_text(cgroup);
    int result;

    memset(out, 0x5a, sizeof *out);
    *fault = (struct fault){0};
    result = hierarchy_read(a, b, out, fault);
    free(a);
    free(b);
    if (result < 0) {
        assert_int_equal(fault->stage, STAGE_CGROUP);
        assert_int_equal(fault->errnum, -result);
        assert_true(fault->what[0]);
    }
    return result;
}

static struct hierarchies out;
static struct fault fault;

static void pure_v2(void **state)
{
    (void)state;
    assert_int_equal(read_texts(V2_ONLY, "0::/user.slice/a\n", &out, &fault), 0);
    assert_string_equal(out.v2.mount, "/sys/fs/cgroup");
    assert_string_equal(out.v2.own, "/user.slice/a");
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        assert_string_equal(out.v1[c].mount, "");
}

static void hybrid(void **state)
{
    (void)state;
    assert_int_equal(read_texts(HYBRID, HYBRID_CGROUP, &out, &fault), 0);
    assert_string_equal(out.v2.mount, "/sys/fs/cgroup/unified");
    assert_string_equal(out.v2.own, "/u/v");
    assert_string_equal(out.v1[CONTROLLER_MEMORY].mount, "/sys/fs/cgroup/memory");
    assert_string_equal(out.v1[CONTROLLER_MEMORY].own, "/m/n");
    assert_string_equal(out.v1[CONTROLLER_CPU].mount, "/sys/fs/cgroup/cpu,cpuacct");
    assert_string_equal(out.v1[CONTROLLER_CPU].own, "/c");
    assert_string_equal(out.v1[CONTROLLER_PIDS].mount, "/sys/fs/cgroup/pids");
    assert_string_equal(out.v1[CONTROLLER_PIDS].own, "/p");
}

/* A single controller left on v1, several on one hierarchy, one mounted twice. */
static void mixtures(void **state)
{
    (void)state;
    assert_int_equal(read_texts(V2_ONLY "26 1 0:23 / /cg/all rw - cgroup none rw,cpu,pids,memory\n", "1:cpu,pids,memory:/x\n0::/\n",
                                &out, &fault), 0);
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        assert_string_equal(out.v1[c].mount, "/cg/all");
        assert_string_equal(out.v1[c].own, "/x");
    }
    assert_int_equal(read_texts(V2_ONLY "26 1 0:23 / /one rw - cgroup none rw,pids\n27 1 0:23 / /two rw - cgroup none rw,pids\n",
                                "5:pids:/\n0::/\n", &out, &fault), 0);
    assert_string_equal(out.v1[CONTROLLER_PIDS].mount, "/one");
    assert_string_equal(out.v1[CONTROLLER_MEMORY].mount, "");
    assert_int_equal(read_texts(V2_ONLY "26 1 0:22 / /again rw - cgroup2 cgroup2 rw\n", "0::/\n", &out, &fault), 0);
    assert_string_equal(out.v2.mount, "/sys/fs/cgroup");
    /* cpuset and cpuacct are not cpu, name=memory is not memory */
    assert_int_equal(read_texts(V2_ONLY "26 1 0:23 / /one rw - cgroup none rw,cpuset,cpuacct,name=memory\n",
                                "5:cpuset,cpuacct,name=memory:/\n0::/\n", &out, &fault), 0);
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        assert_string_equal(out.v1[c].mount, "");
}

static void of_no_use(void **state)
{
    (void)state;
    /* a bind mount of a part of the tree does not show the paths of /proc/self/cgroup */
    assert_int_equal(read_texts("25 1 0:22 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/docker/x\n", &out, &fault), -ENOTSUP);
    assert_int_equal(read_texts("24 1 0:22 /part /mnt rw - cgroup2 cgroup2 rw\n" V2_ONLY, "0::/\n", &out, &fault), 0);
    assert_string_equal(out.v2.mount, "/sys/fs/cgroup");
    /* mounted, but no line in /proc/self/cgroup */
    assert_int_equal(read_texts(V2_ONLY "26 1 0:23 / /one rw - cgroup none rw,pids\n", "0::/\n", &out, &fault), 0);
    assert_string_equal(out.v1[CONTROLLER_PIDS].mount, "");
    assert_int_equal(read_texts(V2_ONLY, "1:memory:/\n", &out, &fault), -ENOTSUP);
    assert_int_equal(read_texts(V2_ONLY, "", &out, &fault), -ENOTSUP);
    assert_true(fault.hint[0]);
    assert_int_equal(read_texts("", "0::/\n", &out, &fault), -ENOTSUP);
    assert_int_equal(read_texts("", "", &out, &fault), -ENOTSUP);
    /* something else that is called cgroup2 */
    assert_int_equal(read_texts("25 1 0:22 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\n", "0::/\n", &out, &fault), -ENOTSUP);
}

static void odd_paths(void **state)
{
    (void)state;
    assert_int_equal(read_texts("25 1 0:22 / /my\\040cgroups\\012 rw - cgroup2 cgroup2 rw\n", "0::/a:b: c\xff\n", &out, &fault), 0);
    assert_string_equal(out.v2.mount, "/my cgroups\n");
    assert_string_equal(out.v2.own, "/a:b: c\xff");
}

static void damaged_mountinfo(void **state)
{
    (void)state;
    assert_int_equal(read_texts("damage\n", "0::/\n", &out, &fault), -EINVAL);
    assert_int_equal(read_texts(V2_ONLY "damage\n", "0::/\n", &out, &fault), -EINVAL);
    assert_int_equal(read_texts(V2_ONLY "25 1 0:22 / /cut", "0::/\n", &out, &fault), -EINVAL);
}

/* Every prefix of a good pair is answered, and no prefix of mountinfo that ends within a line is trusted. */
static void every_prefix(void **state)
{
    static const char mountinfo[] = HYBRID, cgroup[] = HYBRID_CGROUP;

    (void)state;
    for (size_t length = 0; length < strlen(mountinfo); length++) {
        char text[sizeof mountinfo] = {0};
        memcpy(text, mountinfo, length);
        int result = read_texts(text, cgroup, &out, &fault);
        if (length > 0 && mountinfo[length - 1] != '\n')
            assert_int_equal(result, -EINVAL);
        else
            assert_int_equal(result, strstr(text, "cgroup2") ? 0 : -ENOTSUP);
    }
    for (size_t length = 0; length < strlen(cgroup); length++) {
        char text[sizeof cgroup] = {0};
        memcpy(text, cgroup, length);
        int result = read_texts(mountinfo, text, &out, &fault);
        assert_int_equal(result, strstr(text, "\n0::") ? 0 : -ENOTSUP);
    }
}

static void long_paths(void **state)
{
    (void)state;
    for (size_t length = PATH_MAX - 2; length <= PATH_MAX + 1; length++) {
        char *path = repeat_text('a', length - 1, "");
        char mountinfo[PATH_MAX + 128], cgroup[PATH_MAX + 128];
        int expected = length >= PATH_MAX ? -ENAMETOOLONG : 0;

        snprintf(mountinfo, sizeof mountinfo, "25 1 0:22 / /%s rw - cgroup2 cgroup2 rw\n", path);
        assert_int_equal(read_texts(mountinfo, "0::/\n", &out, &fault), expected);
        if (!expected)
            assert_int_equal(strlen(out.v2.mount), length);
        snprintf(cgroup, sizeof cgroup, "0::/%s\n", path);
        assert_int_equal(read_texts(V2_ONLY, cgroup, &out, &fault), expected);
        if (!expected)
            assert_int_equal(strlen(out.v2.own), length);
        free(path);
    }
    char *path = repeat_text('a', 1 << 20, "\n");
    char *cgroup = malloc(strlen(path) + 16);
    sprintf(cgroup, "0::/%s", path);
    assert_int_equal(read_texts(V2_ONLY, cgroup, &out, &fault), -ENAMETOOLONG);
    free(cgroup);
    free(path);
}

static void path_of(const char *text, const char *controller, const char *expected)
{
    char *copy = copy_text(text), *before = copy_text(text);
    size_t length = 4711;
    const char *path = hierarchy_path(copy, controller, &length);

    assert_string_equal(copy, before); /* not changed */
    if (!expected) {
        if (path)
            fail_msg("\"%s\", %s: found %.*s", text, controller ? controller : "v2", (int)length, path);
    } else {
        assert_non_null(path);
        assert_true(path >= copy && path + length <= copy + strlen(copy));
        assert_int_equal(length, strlen(expected));
        assert_memory_equal(path, expected, length);
    }
    free(copy);
    free(before);
}

static void paths(void **state)
{
    (void)state;
    path_of(HYBRID_CGROUP, NULL, "/u/v");
    path_of(HYBRID_CGROUP, "memory", "/m/n");
    path_of(HYBRID_CGROUP, "cpu", "/c");
    path_of(HYBRID_CGROUP, "cpuacct", "/c");
    path_of(HYBRID_CGROUP, "pids", "/p");
    path_of(HYBRID_CGROUP, "name=systemd", "/s");
    path_of(HYBRID_CGROUP, "systemd", NULL);
    path_of(HYBRID_CGROUP, "cpuac", NULL);
    path_of(HYBRID_CGROUP, "hugetlb", NULL);
    path_of("0::/", NULL, "/"); /* no newline at the end */
    path_of("0::\n", NULL, "");
    path_of("0::/a:b\n", NULL, "/a:b");
    path_of("1:memory:/x:memory:/y\n", "memory", "/x:memory:/y");
    path_of("1:a,memory,b:/x\n", "memory", "/x");
    path_of("1:,memory:/x\n", "memory", "/x");
    path_of("1:memory,:/x\n", "memory", "/x");
    path_of("1:memory:/first\n2:memory:/second\n", "memory", "/first");
    path_of("00::/x\n", NULL, NULL);
    path_of("1::/x\n", NULL, NULL);
    path_of("10::/x\n", NULL, NULL);
    path_of("0:memory:/x\n", NULL, NULL);
    path_of(" 0::/x\n", NULL, NULL);
    path_of("0:\n:/x\n", NULL, NULL); /* the colons of two lines */
    path_of("1:memory\n:/x\n", "memory", NULL);
    path_of("", NULL, NULL);
    path_of("\n", NULL, NULL);
    path_of("\n\n\n0::/x\n", NULL, "/x");
    path_of(":", NULL, NULL);
    path_of("::", NULL, NULL);
    path_of(":::::", "memory", NULL);
    path_of("0:", NULL, NULL);
    path_of("\xff:\xfe:\xfd\n", "\xfe", "\xfd");
}

static void controller_names(void **state)
{
    (void)state;
    assert_string_equal(controller_name(CONTROLLER_MEMORY), "memory");
    assert_string_equal(controller_name(CONTROLLER_CPU), "cpu");
    assert_string_equal(controller_name(CONTROLLER_PIDS), "pids");
}

static char *slurp(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    assert_non_null(file);
    assert_true(getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    return text;
}

/* What is found here is what the kernel says it is. */
static void this_host(void **state)
{
    char *mountinfo = slurp("/proc/self/mountinfo"), *cgroup = slurp("/proc/self/cgroup");
    bool v2 = strstr(mountinfo, " - cgroup2 ");
    int result = hierarchy_read(mountinfo, cgroup, &out, &fault);
    struct statfs fs;

    (void)state;
    assert_int_equal(result, v2 ? 0 : -ENOTSUP);
    if (v2) {
        assert_int_equal(statfs(out.v2.mount, &fs), 0);
        assert_int_equal(fs.f_type, CGROUP2_SUPER_MAGIC);
        assert_int_equal(out.v2.own[0], '/');
    }
    for (int c = 0; v2 && c < CONTROLLER_COUNT; c++)
        if (out.v1[c].mount[0]) {
            assert_int_equal(statfs(out.v1[c].mount, &fs), 0);
            assert_int_equal(fs.f_type, CGROUP_SUPER_MAGIC);
        }
    free(mountinfo);
    free(cgroup);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pure_v2),   cmocka_unit_test(hybrid),            cmocka_unit_test(mixtures),     cmocka_unit_test(of_no_use),
        cmocka_unit_test(odd_paths), cmocka_unit_test(damaged_mountinfo), cmocka_unit_test(every_prefix), cmocka_unit_test(long_paths),
        cmocka_unit_test(paths),     cmocka_unit_test(controller_names),  cmocka_unit_test(this_host),
    };

    return cmocka_run_group_tests_name("hierarchy", tests, NULL, NULL);
}
