#include "rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "sys.h"
#include "weaken.h"

#define NO_LINKS (RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

/* mount_setattr on a mount held by descriptor: attr, and no propagation to or from anybody. */
static int settle(int mount, uint64_t attr)
{
    if (weakened("readonly"))
        attr &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    if (weakened("nosuid"))
        attr &= ~(uint64_t)MOUNT_ATTR_NOSUID;
    return sys_mount_setattr(mount, "", AT_EMPTY_PATH, attr, 0, weakened("private") ? 0 : MS_PRIVATE);
}

/* open_tree + settle of what fd is. */
static int clone_mount(int fd, const char *path, uint64_t attr)
{
    int mount = sys_open_tree(fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0u : AT_EMPTY_PATH));
    int result;

    if (mount < 0)
        return mount;
    result = settle(mount, attr);
    if (result < 0)
        sys_close(&mount);
    return result < 0 ? result : mount;
}

int rootfs_take(const struct place *place, bool again, uint64_t attr, enum stage stage, struct fault *fault)
{
    const char *what = stage == STAGE_WORKSPACE ? "workspace" : "rootfs";
    SYS_CLOSES int fd = -1;
    int mount;

    if (again) {
        struct sys_inode now;
        int result;
        fd = sys_openat2(AT_FDCWD, place->path, O_PATH | O_DIRECTORY | O_CLOEXEC, NO_LINKS);
        if (fd < 0)
            return fault_set(fault, stage, -fd, NULL, "%s %.300s: cannot be opened from inside", what, place->path);
        if ((result = sys_inode(fd, "", AT_EMPTY_PATH, &now)) < 0)
            return fault_set(fault, stage, -result, NULL, "%s %.300s: cannot be examined", what, place->path);
        if (now.inode != place->inode || now.device != place->device)
            return fault_set(fault, stage, ESTALE, "run it again; somebody renames directories here",
                             "%s %.300s: is no longer the directory that was checked", what, place->path);
    }
    mount = clone_mount(again ? fd : place->fd, "", attr);
    if (mount < 0)
        return fault_set(fault, stage, -mount,
                         mount == -EINVAL  ? "are there other mounts below it? name a directory that holds none"
                         : mount == -EPERM ? "in a user namespace bivy needs a mount namespace of that namespace too (unshare -Urm)"
                                           : NULL,
                         "%s %.300s: cannot be bound", what, place->path);
    return mount;
}

/* Attaches a detached mount on target, a path below root in which no symlink is followed. */
static int attach(int root, const char *target, int mount)
{
    SYS_CLOSES int point = sys_openat2(root, target + 1, O_PATH | O_CLOEXEC, NO_LINKS | RESOLVE_BENEATH);

    return point < 0 ? point : sys_move_mount(mount, point);
}

static int make_entry(int dir, const struct scratch_entry *entry)
{
    int result = entry->link        ? SYS_AGAIN(symlinkat(entry->link, dir, entry->path))
                 : entry->directory ? SYS_AGAIN(mkdirat(dir, entry->path, entry->mode))
                                    : SYS_AGAIN(mknodat(dir, entry->path, S_IFREG | entry->mode, 0));

    return result < 0 ? -errno : 0;
}

static int make_file(int dir, const char *path, const char *text)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444));
    ssize_t length = (ssize_t)strlen(text);
    char back[256];

    if (fd < 0)
        return -errno;
    if (SYS_AGAIN(write(fd, text, (size_t)length)) != length || SYS_AGAIN(pread(fd, back, sizeof back, 0)) != length)
        return -EIO;
    return memcmp(back, text, (size_t)length) ? -EIO : 0;
}

/* What language runtimes read to size themselves: the limits as v2 would show them, whichever hierarchy holds them. */
static int make_limits(const struct plan *plan, int dir)
{
    /* libuv takes memory.max without memory.high for no limit at all; where /proc/self/cgroup has lines of v1, and before 1.45, it asks
     * for v1's names. */
    static const char limit[] = "sys/fs/cgroup/memory.max";
    static const char *const also[] = {"sys/fs/cgroup/memory.high", "sys/fs/cgroup/memory/memory.limit_in_bytes",
                                       "sys/fs/cgroup/memory/memory.soft_limit_in_bytes"};
    struct stat linked;
    char text[64];
    int result;

    snprintf(text, sizeof text, "%llu\n", (unsigned long long)plan->memory);
    if ((result = make_file(dir, limit, text)) < 0)
        return result;
    for (size_t i = 0; i < sizeof also / sizeof also[0]; i++)
        if (SYS_AGAIN(linkat(dir, limit, dir, also[i], 0)) < 0)
            return -errno;
    if (SYS_AGAIN(fstatat(dir, limit, &linked, AT_SYMLINK_NOFOLLOW)) < 0 || linked.st_nlink != 1 + sizeof also / sizeof also[0])
        return -EIO;
    snprintf(text, sizeof text, "%llu 100000\n", (unsigned long long)plan->cpu * 100);
    if ((result = make_file(dir, "sys/fs/cgroup/cpu.max", text)) < 0)
        return result;
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)plan->pids);
    return make_file(dir, "sys/fs/cgroup/pids.max", text);
}

/* glibc takes its number of processors from here, not from the affinity: os.cpu_count() of Python, and so the size
 * of its pools, std::thread::hardware_concurrency() of old. A cpuN for each, because before 2.34 it counts those. What is `possible`
 * stays untold: programs size their affinity masks by it, and the kernel refuses one that is too small for the host. */
static int make_processors(int dir, const cpu_set_t *processors)
{
    static const char *const above[] = {"sys/devices", "sys/devices/system", "sys/devices/system/cpu"};
    char text[200], path[48];

    if (!plan_list_processors(processors, text, sizeof text))
        return 0; /* more than a hint is worth */
    for (size_t i = 0; i < sizeof above / sizeof above[0]; i++)
        if (SYS_AGAIN(mkdirat(dir, above[i], 0755)) < 0)
            return -errno;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, processors))
            continue;
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%u", cpu);
        if (SYS_AGAIN(mkdirat(dir, path, 0755)) < 0)
            return -errno;
    }
    return make_file(dir, "sys/devices/system/cpu/online", text);
}

int rootfs_new_tmpfs(const struct plan *plan)
{
    SYS_CLOSES int fs = sys_fsopen("tmpfs");
    char text[32];
    int result;

    if (fs < 0)
        return fs;
    snprintf(text, sizeof text, "%llu", (unsigned long long)plan->scratch);
    if ((result = sys_fsconfig_string(fs, "size", text)) < 0)
        return result;
    snprintf(text, sizeof text, "%llu", (unsigned long long)plan->scratch_inodes);
    if ((result = sys_fsconfig_string(fs, "nr_inodes", text)) < 0 || (result = sys_fsconfig_string(fs, "mode", "0755")) < 0 ||
        (result = sys_fsconfig_create(fs)) < 0)
        return result;
    return sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

static const char *scratch_mend(int error)
{
    switch (error) {
    case ENOSPC:
        return "raise --scratch or --scratch-inodes";
    case ENOMEM:
        return "raise --memory";
    case EPERM:
    case EACCES:
        return "this host lets user namespaces be made but not used: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run "
               "bivy as root";
    default:
        return NULL;
    }
}

int rootfs_scratch(const struct plan *plan, const cpu_set_t *processors, struct rootfs *rootfs, struct fault *fault)
{
    SYS_CLOSES int point = SYS_AGAIN(open(plan->cgroups->v2.mount, O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct sys_inode top;
    int result;

    rootfs->scratch = rootfs_new_tmpfs(plan);
    if (rootfs->scratch < 0)
        return fault_set(fault, STAGE_SCRATCH, -rootfs->scratch, scratch_mend(-rootfs->scratch), "the scratch tmpfs cannot be made");
    /* Attached, because before 6.15 only mounts of one's own namespace can be cloned from; over the cgroup2 mount, because every host
     * has it and nothing here needs it any more. Not over "/": then the umount after the pivot would take this one, the topmost,
     * and leave the host's root in the sandbox. settle first: the host's mounts may propagate, ours must not. */
    if (sys_inode(rootfs->scratch, "", AT_EMPTY_PATH, &top) < 0 || (top.mode & 07777) != 0755)
        return fault_set(fault, STAGE_SCRATCH, EPROTO, NULL, "the scratch tmpfs does not have the mode that was asked for");
    if ((result = settle(rootfs->scratch, 0)) < 0 || (result = sys_move_mount(rootfs->scratch, point)) < 0)
        return fault_set(fault, STAGE_SCRATCH, -result, NULL, "the scratch tmpfs cannot be attached");
    for (size_t i = 0; i < plan->mount_count; i++)
        if (plan->mounts[i].from_scratch &&
            SYS_AGAIN(mkdirat(rootfs->scratch, plan->mounts[i].row->source, plan->mounts[i].row->mode)) < 0)
            return fault_set(fault, STAGE_SCRATCH, errno, scratch_mend(errno), "scratch directory %s cannot be made",
                             plan->mounts[i].row->source);
    for (size_t i = 0; i < policy_scratch_count; i++)
        if ((result = make_entry(rootfs->scratch, &policy_scratch[i])) < 0)
            return fault_set(fault, STAGE_SCRATCH, -result, scratch_mend(-result), "scratch entry %s cannot be made",
                             policy_scratch[i].path);
    if ((result = make_limits(plan, rootfs->scratch)) < 0 ||
        (processors && plan->glibc && (result = make_processors(rootfs->scratch, processors)) < 0))
        return fault_set(fault, STAGE_SCRATCH, -result, scratch_mend(-result), "limit files cannot be made");
    return 0;
}

int rootfs_root(const struct plan *plan, int taken, struct rootfs *rootfs, struct fault *fault)
{
    int result;

    rootfs->root = taken >= 0 ? taken : rootfs_take(plan->rootfs, true, plan->mounts[0].row->attr, STAGE_ROOT, fault);
    if (rootfs->root < 0)
        return rootfs->root;
    /* Once more: were it still shared with the host's mount, all that is attached below would appear on the host, before the gate could
     * see it. */
    if ((result = settle(rootfs->root, plan->mounts[0].row->attr)) < 0)
        return fault_set(fault, STAGE_ROOT, -result, NULL, "rootfs %.300s: cannot be made private", plan->rootfs->path);
    result = attach(rootfs->scratch, "/root", rootfs->root);
    return result < 0 ? fault_set(fault, STAGE_ROOT, -result, NULL, "rootfs %.300s: cannot be attached", plan->rootfs->path) : 0;
}

int rootfs_new_proc(struct fault *fault)
{
    SYS_CLOSES int fs = sys_fsopen("proc");
    SYS_CLOSES int mount = -1;
    struct statfs type;
    int result = fs;

    /* Only what may be ptraced shows: pid 1 is not dumpable, so from inside there is no /proc/1 (proc(5)). */
    if (fs < 0 || (!weakened("hidepid") && (result = sys_fsconfig_string(fs, "hidepid", "ptraceable")) < 0) ||
        (result = sys_fsconfig_create(fs)) < 0 ||
        (result = mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)) < 0)
        return fault_set(fault, STAGE_PROC, -result, "the host's /proc, or a container's, must not be read-only or have mounts over parts of it: bivy check names them",
                         "a new procfs cannot be mounted");
    /* No user namespace below this one, for anybody who has no CAP_SYS_RESOURCE in it: user_namespaces(7). Written through the
     * mount just made, and only if it is what it should be. */
    if (SYS_AGAIN(fstatfs(mount, &type)) < 0 || type.f_type != PROC_SUPER_MAGIC)
        return fault_set(fault, STAGE_PROC, EPROTO, NULL, "the new procfs is not one");
    if (!weakened("max_user_namespaces") && (result = sys_write_file(mount, "sys/user/max_user_namespaces", "0")) < 0)
        return fault_set(fault, STAGE_PROC, -result, NULL, "max_user_namespaces cannot be set to 0");
    result = mount;
    mount = -1; /* the caller's now */
    return result;
}

int rootfs_proc(const struct plan *plan, struct rootfs *rootfs, struct fault *fault)
{
    SYS_CLOSES int mount = rootfs_new_proc(fault);
    uint64_t attr = 0;
    const char *target = "/proc";
    int result;

    if (mount < 0)
        return mount;
    for (size_t i = 0; i < plan->mount_count; i++)
        if (plan->mounts[i].row->kind == MOUNT_PROC)
            attr = plan->mounts[i].row->attr;
    if ((result = settle(mount, attr)) < 0 || (result = attach(rootfs->root, target, mount)) < 0)
        return fault_set(fault, STAGE_PROC, -result, "make the rootfs with rootfs/build", "%s cannot be mounted", target);
    return 0;
}

/* Most mounts are binds of something in scratch or of the host's /dev. One call each, mount(2) by path, instead of six: for each set of
 * flags there is a view, a mount of the whole with these flags, and a bind has the flags of the mount that it is a part of. Paths are
 * relative to the new root, whose ".." is the scratch that it is attached in. The sources are our own; that the targets are no symbolic
 * links the supervisor has checked (facts.c), and the gate sees where everything came to lie. */
static const struct view {
    const char *name; /* its directory in scratch (policy.c); "." scratch itself, as it was mounted */
    uint64_t attr;
} views[] = {
    {"view-ro", POLICY_MASK_ATTR},
    {"view-noexec", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC},
    {".", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV},
};
#define VIEW_NODES "view-node"

static const char *view_of(uint64_t attr)
{
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        if (views[i].attr == attr)
            return views[i].name;
    return NULL;
}

static int make_view(const struct rootfs *rootfs, int from, const char *path, const char *name, uint64_t attr)
{
    SYS_CLOSES int mount = clone_mount(from, path, attr);

    return mount < 0 ? mount : sys_move_mount_at(mount, rootfs->scratch, name);
}

static int make_views(struct rootfs *rootfs, struct fault *fault)
{
    uint64_t node = 0;
    int result = 0;

    for (size_t i = 0; i < sizeof views / sizeof views[0] && result == 0; i++)
        if (views[i].name[0] != '.')
            result = make_view(rootfs, rootfs->scratch, "", views[i].name, views[i].attr);
    if (result < 0)
        return fault_set(fault, STAGE_MOUNTS, -result, NULL, "scratch cannot be cloned");
    for (size_t i = 0; i < policy_mount_count && !node; i++)
        if (policy_mounts[i].kind == MOUNT_DEVICE)
            node = policy_mounts[i].attr;
    /* In a container the nodes may be mounts of their own: then this fails, or does not show them, and they are taken one by one. */
    rootfs->nodes = make_view(rootfs, AT_FDCWD, "/dev", VIEW_NODES, node) == 0;
    if (SYS_AGAIN(fchdir(rootfs->root)) < 0)
        return fault_set(fault, STAGE_MOUNTS, errno, NULL, "the new root cannot be entered");
    return 0;
}

static bool is_device(const struct stat *node, const struct mount_row *row)
{
    return S_ISCHR(node->st_mode) && node->st_rdev == makedev(row->device >> 8, row->device & 0xff);
}

/* A mount of the one node, where /dev as a whole does not serve. */
static int take_device(const struct mount_row *row)
{
    SYS_CLOSES int fd = sys_openat2(AT_FDCWD, row->source, O_PATH | O_CLOEXEC, NO_LINKS);
    struct stat node;

    if (fd < 0)
        return fd;
    if (SYS_AGAIN(fstat(fd, &node)) < 0)
        return -errno;
    return is_device(&node, row) ? clone_mount(fd, "", row->attr) : -ENXIO;
}

static int bind_device(const struct mount_row *row, const struct rootfs *rootfs)
{
    char source[64];
    struct stat node;
    int result = -ENXIO;

    snprintf(source, sizeof source, "../" VIEW_NODES "%s", row->source + strlen("/dev"));
    if (rootfs->nodes && SYS_AGAIN(fstatat(AT_FDCWD, source, &node, AT_SYMLINK_NOFOLLOW)) == 0 && is_device(&node, row))
        return sys_bind(source, row->target + 1);
    SYS_CLOSES int mount = result = take_device(row);
    return mount < 0 ? result : attach(rootfs->root, row->target, mount);
}

static int bind_scratch(const struct mount_row *row, const char *source)
{
    const char *view = view_of(row->attr);
    char path[64];

    if (!view)
        return -EINVAL;
    snprintf(path, sizeof path, "../%s/%s", view, source);
    return sys_bind(path, row->target + 1);
}

int rootfs_new_devpts(const struct mount_row *row)
{
    SYS_CLOSES int fs = sys_fsopen("devpts");
    char most[16];
    int mount, result = fs;

    snprintf(most, sizeof most, "%d", POLICY_PTYS);
    if (fs < 0 || (result = sys_fsconfig_string(fs, "mode", "0620")) < 0 ||
        (result = sys_fsconfig_string(fs, "ptmxmode", "0666")) < 0 || (result = sys_fsconfig_string(fs, "max", most)) < 0 ||
        (result = sys_fsconfig_create(fs)) < 0 || (result = mount = sys_fsmount(fs, (unsigned)row->attr)) < 0)
        return result;
    result = settle(mount, row->attr);
    if (result < 0)
        sys_close(&mount);
    return result < 0 ? result : mount;
}

static int bind_workspace(const struct plan *plan, const struct mount_row *row, int taken, const struct rootfs *rootfs,
                          struct fault *fault)
{
    SYS_CLOSES int again = -1;
    int result;

    if (taken < 0) {
        again = rootfs_take(plan->workspace, true, row->attr, STAGE_WORKSPACE, fault);
        if (again < 0)
            return again;
    }
    result = attach(rootfs->root, row->target, taken < 0 ? again : taken);
    return result < 0 ? fault_set(fault, STAGE_MOUNTS, -result, NULL, "%s cannot be mounted", row->target) : 0;
}

static int bind_row(const struct plan *plan, const struct plan_mount *mount, int workspace, const struct rootfs *rootfs,
                    struct fault *fault)
{
    const struct mount_row *row = mount->row;
    const char *mend = "make the rootfs with rootfs/build";
    int result = 0;

    switch (mount->from_scratch ? MOUNT_SCRATCH : row->kind) {
    case MOUNT_WORKSPACE:
        return bind_workspace(plan, row, workspace, rootfs, fault);
    case MOUNT_SCRATCH:
        result = bind_scratch(row, row->source);
        break;
    case MOUNT_DEVICE:
        result = bind_device(row, rootfs);
        mend = "the host's /dev must have this node, on a mount that allows devices: bivy check names the command";
        break;
    case MOUNT_DEVPTS: {
        SYS_CLOSES int pts = result = rootfs_new_devpts(row);
        if (pts >= 0)
            result = attach(rootfs->root, row->target, pts);
        break;
    }
    case MOUNT_MASK_FILE:
    case MOUNT_MASK_DIR:
        if (!weakened("masks"))
            result = bind_scratch(row, row->kind == MOUNT_MASK_FILE ? "nofile" : "nodir");
        if (result == -ENOENT)
            result = 0; /* this kernel has no such file; the gate looks again */
        break;
    case MOUNT_ROOT: /* made by stages of their own */
    case MOUNT_PROC:
        break;
    }
    return result < 0 ? fault_set(fault, STAGE_MOUNTS, -result, mend, "%s cannot be mounted", row->target) : 0;
}

int rootfs_mounts(const struct plan *plan, int workspace, struct rootfs *rootfs, struct fault *fault)
{
    int result = make_views(rootfs, fault);

    for (size_t i = 0; i < plan->mount_count && result == 0; i++)
        result = bind_row(plan, &plan->mounts[i], workspace, rootfs, fault);
    return result;
}

int rootfs_pivot(struct rootfs *rootfs, struct fault *fault)
{
    int result;

    if (SYS_AGAIN(fchdir(rootfs->root)) < 0)
        return fault_set(fault, STAGE_PIVOT, errno, NULL, "the new root cannot be entered");
    /* Both the same: the old root ends up over the new one, and is then the topmost thing at "." (pivot_root(2), notes). */
    if ((result = sys_pivot_root(".", ".")) < 0)
        return fault_set(fault, STAGE_PIVOT, -result, "bivy cannot run from an initramfs: switch_root first", "pivot_root");
    if ((result = sys_umount_detach(".")) < 0)
        return fault_set(fault, STAGE_PIVOT, -result, NULL, "the old root cannot be detached");
    if (SYS_AGAIN(chdir("/")) < 0)
        return fault_set(fault, STAGE_PIVOT, errno, NULL, "the new root cannot be entered");
    sys_close(&rootfs->root);
    sys_close(&rootfs->scratch);
    return 0;
}
