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
    SYS_CLOSES int fd = -1;

    if (entry->link)
        return SYS_AGAIN(symlinkat(entry->link, dir, entry->path)) < 0 ? -errno : 0;
    if (entry->directory)
        return SYS_AGAIN(mkdirat(dir, entry->path, entry->mode)) < 0 ? -errno : 0;
    fd = SYS_AGAIN(openat(dir, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, entry->mode));
    return fd < 0 ? -errno : 0;
}

static int make_file(int dir, const char *path, const char *text)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444));
    size_t length = strlen(text);
    char back[64];

    if (fd < 0)
        return -errno;
    if (SYS_AGAIN(write(fd, text, length)) != (ssize_t)length)
        return -EIO;
    sys_close(&fd);
    return sys_read_file(dir, path, back, sizeof back) == (ssize_t)length && !memcmp(back, text, length) ? 0 : -EIO;
}

/* What language runtimes read to size themselves: the limits as v2 would show them, whichever hierarchy holds them. */
static int make_limits(const struct plan *plan, int dir)
{
    char text[64];
    int result;

    snprintf(text, sizeof text, "%llu\n", (unsigned long long)plan->memory);
    if ((result = make_file(dir, "sys/fs/cgroup/memory.max", text)) < 0)
        return result;
    snprintf(text, sizeof text, "%llu 100000\n", (unsigned long long)plan->cpu * 100);
    if ((result = make_file(dir, "sys/fs/cgroup/cpu.max", text)) < 0)
        return result;
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)plan->pids);
    return make_file(dir, "sys/fs/cgroup/pids.max", text);
}

static int new_tmpfs(const struct plan *plan)
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

int rootfs_scratch(const struct plan *plan, struct rootfs *rootfs, struct fault *fault)
{
    SYS_CLOSES int point = SYS_AGAIN(open(plan->cgroups->v2.mount, O_PATH | O_DIRECTORY | O_CLOEXEC));
    struct sys_inode top;
    int result;

    rootfs->scratch = new_tmpfs(plan);
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
    if ((result = make_limits(plan, rootfs->scratch)) < 0)
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

int rootfs_proc(const struct plan *plan, struct rootfs *rootfs, struct fault *fault)
{
    SYS_CLOSES int fs = sys_fsopen("proc");
    SYS_CLOSES int mount = -1;
    struct statfs type;
    int result = fs;
    uint64_t attr = 0;
    const char *target = "/proc";

    for (size_t i = 0; i < plan->mount_count; i++)
        if (plan->mounts[i].row->kind == MOUNT_PROC)
            attr = plan->mounts[i].row->attr;
    /* Only what may be ptraced shows: pid 1 is not dumpable, so from inside there is no /proc/1 (proc(5)). */
    if (fs < 0 || (!weakened("hidepid") && (result = sys_fsconfig_string(fs, "hidepid", "ptraceable")) < 0) ||
        (result = sys_fsconfig_create(fs)) < 0 ||
        (result = mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)) < 0)
        return fault_set(fault, STAGE_PROC, -result, "in a container, its own /proc must not be masked (EPERM)",
                         "a new procfs cannot be mounted");
    /* No user namespace below this one, for anybody who has no CAP_SYS_RESOURCE in it: user_namespaces(7). Written through the
     * mount just made, and only if it is what it should be. */
    if (SYS_AGAIN(fstatfs(mount, &type)) < 0 || type.f_type != PROC_SUPER_MAGIC)
        return fault_set(fault, STAGE_PROC, EPROTO, NULL, "the new procfs is not one");
    if (!weakened("max_user_namespaces") && (result = sys_write_file(mount, "sys/user/max_user_namespaces", "0")) < 0)
        return fault_set(fault, STAGE_PROC, -result, NULL, "max_user_namespaces cannot be set to 0");
    if ((result = settle(mount, attr)) < 0 || (result = attach(rootfs->root, target, mount)) < 0)
        return fault_set(fault, STAGE_PROC, -result, "make the rootfs with rootfs/build", "%s cannot be mounted", target);
    return 0;
}

static int take_device(const struct mount_row *row)
{
    SYS_CLOSES int fd = sys_openat2(AT_FDCWD, row->source, O_PATH | O_CLOEXEC, NO_LINKS);
    struct stat node;

    if (fd < 0)
        return fd;
    if (SYS_AGAIN(fstat(fd, &node)) < 0)
        return -errno;
    if (!S_ISCHR(node.st_mode) || node.st_rdev != makedev(row->device >> 8, row->device & 0xff))
        return -ENXIO;
    return clone_mount(fd, "", row->attr);
}

static int new_devpts(const struct mount_row *row)
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

/* The detached mount for a row, or -errno with *fault. */
static int make_mount(const struct plan *plan, const struct plan_mount *mount, int workspace, const struct rootfs *rootfs,
                      struct fault *fault)
{
    const struct mount_row *row = mount->row;
    const char *mend = NULL;
    int made = -EINVAL;

    switch (mount->from_scratch ? MOUNT_SCRATCH : row->kind) {
    case MOUNT_WORKSPACE:
        if (workspace < 0)
            return rootfs_take(plan->workspace, true, row->attr, STAGE_WORKSPACE, fault);
        made = fcntl(workspace, F_DUPFD_CLOEXEC, 3);
        break;
    case MOUNT_SCRATCH:
        made = clone_mount(rootfs->scratch, row->source, row->attr);
        break;
    case MOUNT_DEVICE:
        made = take_device(row);
        mend = "the host's /dev must have this node, on a mount that allows devices";
        break;
    case MOUNT_DEVPTS:
        made = new_devpts(row);
        break;
    case MOUNT_MASK_FILE:
        made = clone_mount(rootfs->scratch, "nofile", row->attr);
        break;
    case MOUNT_MASK_DIR:
        made = clone_mount(rootfs->scratch, "nodir", row->attr);
        break;
    case MOUNT_ROOT: /* made by stages of their own */
    case MOUNT_PROC:
        break;
    }
    return made < 0 ? fault_set(fault, STAGE_MOUNTS, -made, mend, "%s cannot be made", row->target) : made;
}

int rootfs_mounts(const struct plan *plan, int workspace, struct rootfs *rootfs, struct fault *fault)
{
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct mount_row *row = plan->mounts[i].row;
        bool mask = row->kind == MOUNT_MASK_FILE || row->kind == MOUNT_MASK_DIR;

        if (row->kind == MOUNT_ROOT || row->kind == MOUNT_PROC || (mask && weakened("masks")))
            continue; /* made by stages of their own */
        if (mask && SYS_AGAIN(faccessat(rootfs->root, row->target + 1, F_OK, AT_SYMLINK_NOFOLLOW)) < 0 &&
            errno == ENOENT)
            continue; /* this kernel has no such file; the gate looks again */
        SYS_CLOSES int mount = make_mount(plan, &plan->mounts[i], workspace, rootfs, fault);
        if (mount < 0)
            return mount;
        int result = attach(rootfs->root, row->target, mount);
        if (result < 0)
            return fault_set(fault, STAGE_MOUNTS, -result, "make the rootfs with rootfs/build", "%s cannot be mounted", row->target);
    }
    return 0;
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
