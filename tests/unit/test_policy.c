/* policy: what must hold of the tables whoever edits them. */
#include "unit.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "policy.h"

#define RO MOUNT_ATTR_RDONLY

/* Is path strictly below directory? */
static bool below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    if (!strcmp(directory, "/"))
        return path[0] == '/' && path[1];
    return !strncmp(path, directory, length) && path[length] == '/';
}

/* Components without "", "." and ".."; absolute or relative as asked; no slash at the end. */
static bool clean(const char *path, bool absolute)
{
    if (absolute && !strcmp(path, "/"))
        return true;
    if (absolute && *path++ != '/')
        return false;
    for (;;) {
        size_t span = strcspn(path, "/");
        if (span == 0 || (span == 1 && path[0] == '.') || (span == 2 && !memcmp(path, "..", 2)))
            return false;
        path += span;
        if (!*path)
            return true;
        path++;
    }
}

static const struct mount_row *mount_at(const char *target)
{
    for (size_t i = 0; i < policy_mount_count; i++)
        if (!strcmp(policy_mounts[i].target, target))
            return &policy_mounts[i];
    return NULL;
}

static const struct scratch_entry *entry_at(const char *path)
{
    for (size_t i = 0; i < policy_scratch_count; i++)
        if (!strcmp(policy_scratch[i].path, path))
            return &policy_scratch[i];
    return NULL;
}

#define EACH_MOUNT(row) for (const struct mount_row *row = policy_mounts; row < policy_mounts + policy_mount_count; row++)

static void attributes(void **state)
{
    (void)state;
    EACH_MOUNT(row)
    {
        bool node = row->kind == MOUNT_DEVICE || row->kind == MOUNT_DEVPTS;
        if (!(row->attr & MOUNT_ATTR_NOSUID))
            fail_msg("%s: lacks nosuid", row->target);
        if (!(row->attr & MOUNT_ATTR_NODEV) != node)
            fail_msg("%s: nodev is missing, or is wrong on a device", row->target);
        if (node && !(row->attr & MOUNT_ATTR_NOEXEC))
            fail_msg("%s: a device that can be executed", row->target);
        if (row->attr & ~(uint64_t)(RO | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC))
            fail_msg("%s: an attribute that plan_print does not show", row->target);
    }
}

/* The whole list of places that can be written to, and of those that can be both written to and executed from. */
static void writable_places(void **state)
{
    /* Not the device nodes: their inodes are the host's. */
    static const char *const writable[] = {"/dev/pts", "/dev/shm", "/tmp", "/var/tmp", "/run", "/home/sandbox", "/workspace"};
    static const char *const executable[] = {"/tmp", "/var/tmp", "/home/sandbox", "/workspace"};
    size_t seen = 0, seen_executable = 0;

    (void)state;
    EACH_MOUNT(row)
    {
        bool expected = false, expected_executable = false;
        for (size_t i = 0; i < LENGTH(writable); i++)
            expected |= !strcmp(writable[i], row->target);
        for (size_t i = 0; i < LENGTH(executable); i++)
            expected_executable |= !strcmp(executable[i], row->target);
        if (!(row->attr & RO) != expected)
            fail_msg("%s: is %s", row->target, expected ? "read-only" : "writable");
        if ((!(row->attr & RO) && !(row->attr & MOUNT_ATTR_NOEXEC)) != expected_executable)
            fail_msg("%s: writable and executable: %d", row->target, !expected_executable);
        seen += expected;
        seen_executable += expected_executable;
    }
    assert_int_equal(seen, LENGTH(writable));
    assert_int_equal(seen_executable, LENGTH(executable));
}

static void targets(void **state)
{
    (void)state;
    EACH_MOUNT(row)
    {
        if (!clean(row->target, true))
            fail_msg("%s: not a plain absolute path", row->target);
        assert_non_null(row->why);
        assert_true(row->why[0]);
        for (const struct mount_row *later = row + 1; later < policy_mounts + policy_mount_count; later++) {
            if (!strcmp(row->target, later->target))
                fail_msg("%s: twice", row->target);
            if (below(row->target, later->target))
                fail_msg("%s: made before %s, which would hide it", row->target, later->target);
        }
    }
}

static void kinds(void **state)
{
    unsigned roots = 0, procs = 0, workspaces = 0, ptys = 0;

    (void)state;
    EACH_MOUNT(row)
    switch (row->kind) {
    case MOUNT_ROOT:
        roots++;
        assert_ptr_equal(row, policy_mounts);
        assert_string_equal(row->target, "/");
        assert_true(row->attr & RO);
        break;
    case MOUNT_PROC:
        procs++;
        assert_string_equal(row->target, "/proc");
        assert_true(row->attr & RO && row->attr & MOUNT_ATTR_NOEXEC);
        break;
    case MOUNT_WORKSPACE:
        workspaces++;
        assert_string_equal(row->target, POLICY_WORKSPACE);
        assert_false(row->attr & RO);
        break;
    case MOUNT_DEVPTS:
        ptys++;
        assert_string_equal(row->target, "/dev/pts");
        break;
    case MOUNT_MASK_FILE:
    case MOUNT_MASK_DIR:
        if (!below(row->target, "/proc") || !(row->attr & RO) || !(row->attr & MOUNT_ATTR_NOEXEC) || !(row->attr & MOUNT_ATTR_NODEV))
            fail_msg("%s: a mask must be below /proc, ro and noexec", row->target);
        break;
    case MOUNT_SCRATCH:
    case MOUNT_DEVICE:
        break;
    }
    assert_int_equal(roots, 1);
    assert_int_equal(procs, 1);
    assert_int_equal(workspaces, 1);
    assert_int_equal(ptys, 1);
    assert_non_null(mount_at(POLICY_HOME));
    assert_non_null(mount_at("/sys")); /* or sysfs of the rootfs's own could be there */
}

/* What tells most about the host, or would harm it. */
static void must_be_masked(void **state)
{
    static const char *const files[] = {"/proc/kcore",      "/proc/kallsyms", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/sched_debug",
                                        "/proc/interrupts", "/proc/keys",     "/proc/key-users",     "/proc/cmdline",    "/proc/modules",
                                        "/proc/config.gz",  "/proc/swaps",    "/proc/diskstats",     "/proc/partitions", "/proc/locks",
                                        "/proc/latency_stats"};
    static const char *const directories[] = {"/proc/acpi", "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/scsi", "/proc/pressure"};

    (void)state;
    for (size_t i = 0; i < LENGTH(files); i++)
        if (!mount_at(files[i]) || mount_at(files[i])->kind != MOUNT_MASK_FILE)
            fail_msg("%s: not masked as a file", files[i]);
    for (size_t i = 0; i < LENGTH(directories); i++)
        if (!mount_at(directories[i]) || mount_at(directories[i])->kind != MOUNT_MASK_DIR)
            fail_msg("%s: not masked as a directory", directories[i]);
}

/* A mask over a file must be a file, and over a directory a directory. */
static void masks_fit_this_kernel(void **state)
{
    unsigned seen = 0;

    (void)state;
    EACH_MOUNT(row)
    {
        struct stat stat;
        if ((row->kind != MOUNT_MASK_FILE && row->kind != MOUNT_MASK_DIR) || lstat(row->target, &stat) < 0)
            continue;
        seen++;
        if (S_ISLNK(stat.st_mode) || !S_ISDIR(stat.st_mode) != (row->kind == MOUNT_MASK_FILE))
            fail_msg("%s: mode %o", row->target, stat.st_mode);
    }
    assert_true(seen > 0);
}

static void devices(void **state)
{
    static const struct {
        const char *target;
        unsigned major, minor; /* Documentation/admin-guide/devices.txt */
    } expected[] = {{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    size_t count = 0;

    (void)state;
    EACH_MOUNT(row)
    {
        if (row->kind != MOUNT_DEVICE)
            continue;
        count++;
        assert_string_equal(row->target, row->source);
        const struct scratch_entry *entry = entry_at(row->target + 1);
        assert_non_null(entry); /* what it is bound on */
        assert_false(entry->directory);
        assert_null(entry->link);
    }
    assert_int_equal(count, LENGTH(expected));
    for (size_t i = 0; i < LENGTH(expected); i++) {
        const struct mount_row *row = mount_at(expected[i].target);
        assert_non_null(row);
        assert_int_equal(row->kind, MOUNT_DEVICE);
        assert_int_equal(row->device, expected[i].major << 8 | expected[i].minor);
    }
}

/* Rows that are directories of the one tmpfs: simple, distinct names, with a mode; and nobody else has one. */
static void scratch_rows(void **state)
{
    (void)state;
    EACH_MOUNT(row)
    {
        bool scratch = row->kind == MOUNT_SCRATCH || row->kind == MOUNT_WORKSPACE;
        if (!scratch) {
            assert_int_equal(row->mode, 0);
            if (row->kind != MOUNT_DEVICE)
                assert_null(row->source);
            continue;
        }
        assert_non_null(row->source);
        assert_true(clean(row->source, false));
        assert_null(strchr(row->source, '/'));
        assert_true(row->mode != 0 && !(row->mode & ~(mode_t)01777));
        if (row->mode & 0002)
            assert_true(row->mode & S_ISVTX);
        assert_null(entry_at(row->source)); /* made once */
        for (const struct mount_row *later = row + 1; later < policy_mounts + policy_mount_count; later++)
            if (later->source && (later->kind == MOUNT_SCRATCH || later->kind == MOUNT_WORKSPACE))
                assert_string_not_equal(row->source, later->source);
    }
}

static void scratch_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < policy_scratch_count; i++) {
        const struct scratch_entry *entry = &policy_scratch[i];
        const char *slash = strrchr(entry->path, '/');
        bool parent = !slash;

        assert_true(clean(entry->path, false));
        assert_false(entry->link && entry->directory);
        assert_true(entry->link ? entry->mode == 0 : entry->mode != 0);
        assert_false(entry->mode & ~(mode_t)0777); /* no set-id bit, no sticky bit */
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(policy_scratch[j].path, entry->path);
            parent |= slash && policy_scratch[j].directory && strlen(policy_scratch[j].path) == (size_t)(slash - entry->path) &&
                      !strncmp(policy_scratch[j].path, entry->path, (size_t)(slash - entry->path));
        }
        EACH_MOUNT(row)
        parent |= slash && row->kind == MOUNT_SCRATCH && strlen(row->source) == (size_t)(slash - entry->path) &&
                  !strncmp(row->source, entry->path, (size_t)(slash - entry->path));
        if (!parent)
            fail_msg("%s: made before its directory", entry->path);
    }
    assert_non_null(entry_at("root"));
    assert_true(entry_at("root")->directory);
    assert_non_null(entry_at("nofile"));
    assert_false(entry_at("nofile")->directory || entry_at("nofile")->mode & 0333);
    assert_non_null(entry_at("nodir"));
    assert_true(entry_at("nodir")->directory && !(entry_at("nodir")->mode & 0222));
}

/* A mount inside a scratch directory needs something to be mounted on there: that is read-only by then, or empty. */
static void mount_points_in_scratch(void **state)
{
    (void)state;
    EACH_MOUNT(row)
    {
        const struct mount_row *parent = NULL;
        for (const struct mount_row *earlier = policy_mounts; earlier < row; earlier++)
            if (below(row->target, earlier->target) && (!parent || below(earlier->target, parent->target)))
                parent = earlier;
        if (!parent || parent->kind != MOUNT_SCRATCH)
            continue;
        char path[128];
        snprintf(path, sizeof path, "%s%s", parent->source, row->target + strlen(parent->target));
        if (!entry_at(path))
            fail_msg("%s: nothing to mount it on, %s", row->target, path);
        assert_int_equal(entry_at(path)->directory, row->kind != MOUNT_DEVICE);
    }
}

static void links(void **state)
{
    static const struct {
        const char *path, *link;
    } expected[] = {{"dev/ptmx", "pts/ptmx"},
                    {"dev/fd", "/proc/self/fd"},
                    {"dev/stdin", "/proc/self/fd/0"},
                    {"dev/stdout", "/proc/self/fd/1"},
                    {"dev/stderr", "/proc/self/fd/2"}};
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < policy_scratch_count; i++)
        count += policy_scratch[i].link != NULL;
    assert_int_equal(count, LENGTH(expected));
    for (size_t i = 0; i < LENGTH(expected); i++) {
        assert_non_null(entry_at(expected[i].path));
        assert_string_equal(entry_at(expected[i].path)->link, expected[i].link);
    }
}

static void rlimits(void **state)
{
    (void)state;
    for (size_t i = 0; i < policy_rlimit_count; i++) {
        const struct rlimit_row *row = &policy_rlimits[i];
        assert_true(row->resource >= 0 && row->resource < RLIMIT_NLIMITS);
        assert_true(row->name && row->name[0] && row->why && row->why[0]);
        if (row->soft > row->hard)
            fail_msg("%s: soft above hard", row->name);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(policy_rlimits[j].resource, row->resource);
            assert_string_not_equal(policy_rlimits[j].name, row->name);
        }
        if (row->resource == RLIMIT_CORE)
            assert_true(row->hard == 1);
        if (row->resource == RLIMIT_RTPRIO || row->resource == RLIMIT_NICE)
            assert_true(row->hard == 0);
    }
}

/* The sandbox is the same whatever limits the caller had: so every one the kernel knows is set. */
static void every_rlimit(void **state)
{
    (void)state;
    for (int resource = 0; resource < RLIMIT_NLIMITS; resource++) {
        bool found = false;
        for (size_t i = 0; i < policy_rlimit_count; i++)
            found |= policy_rlimits[i].resource == resource;
        if (!found)
            fail_msg("resource %d (RLIMIT_RTTIME is %d): no row, so the caller's limit is inherited", resource, RLIMIT_RTTIME);
    }
}

static void environment(void **state)
{
    static const struct {
        const char *name, *value;
    } expected[] = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                    {"HOME", POLICY_HOME},
                    {"USER", "sandbox"},
                    {"LANG", "C.UTF-8"},
                    {"TMPDIR", "/tmp"}};

    (void)state;
    assert_int_equal(policy_env_count, LENGTH(expected));
    for (size_t i = 0; i < LENGTH(expected); i++) {
        unsigned found = 0;
        for (size_t j = 0; j < policy_env_count; j++)
            if (!strcmp(policy_env[j].name, expected[i].name)) {
                found++;
                assert_string_equal(policy_env[j].value, expected[i].value);
                assert_true(policy_env[j].why && policy_env[j].why[0]);
            }
        assert_int_equal(found, 1);
    }
    assert_false(mount_at("/tmp")->attr & RO);
}

static void namespaces(void **state)
{
    static const struct {
        const char *name;
        uint64_t flag;
    } expected[POLICY_NAMESPACES] = {{"user", 0x10000000}, {"mnt", 0x00020000}, {"pid", 0x20000000},   {"net", 0x40000000},
                                     {"ipc", 0x08000000},  {"uts", 0x04000000}, {"cgroup", 0x02000000}}; /* include/uapi/linux/sched.h */

    (void)state;
    for (size_t i = 0; i < POLICY_NAMESPACES; i++) {
        char path[64];
        assert_string_equal(policy_namespaces[i].name, expected[i].name);
        assert_true(policy_namespaces[i].flag == expected[i].flag);
        assert_true(policy_namespaces[i].why && policy_namespaces[i].why[0]);
        snprintf(path, sizeof path, "/proc/self/ns/%s", policy_namespaces[i].name);
        assert_int_equal(access(path, F_OK), 0);
    }
}

static void constants(void **state)
{
    (void)state;
    assert_int_equal(POLICY_UID, 1000);
    assert_string_equal(POLICY_HOST_NAME, "bivy");
    assert_string_equal(POLICY_WORKSPACE, "/workspace");
    assert_int_equal(POLICY_UMASK, 022);
    /* with the largest pid (PID_MAX_LIMIT, 2^22) still in the range that nobody else uses */
    assert_true(POLICY_FREE_ID_BASE >= 0x70000000 && POLICY_FREE_ID_BASE + (UINT64_C(1) << 22) <= 0x7fffffff);
    assert_true(POLICY_PTYS > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes),     cmocka_unit_test(writable_places),       cmocka_unit_test(targets),      cmocka_unit_test(kinds),
        cmocka_unit_test(must_be_masked), cmocka_unit_test(masks_fit_this_kernel), cmocka_unit_test(devices),      cmocka_unit_test(scratch_rows),
        cmocka_unit_test(scratch_entries), cmocka_unit_test(mount_points_in_scratch), cmocka_unit_test(links),     cmocka_unit_test(rlimits),
        cmocka_unit_test(every_rlimit),   cmocka_unit_test(environment),           cmocka_unit_test(namespaces),   cmocka_unit_test(constants),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
