/* Attacks on namespaces and mounts. */
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *name;
    unsigned long flag;
} namespaces[] = {
    {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP},
};
#define NAMESPACES (sizeof namespaces / sizeof namespaces[0])
#define NEW_TIME 0x80 /* CLONE_NEWTIME: not for clone, where these bits are the signal */

int attack_unshare(void)
{
    for (size_t i = 0; i < NAMESPACES; i++)
        if (refused(namespaces[i].name, syscall(SYS_unshare, namespaces[i].flag), EPERM))
            return GOT;
    return EACH(refused("time", syscall(SYS_unshare, NEW_TIME), EPERM),
                refused("user and mnt", syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS), EPERM));
}

int attack_clone(void)
{
    for (size_t i = 0; i < NAMESPACES; i++) {
        long pid = syscall(SYS_clone, namespaces[i].flag | SIGCHLD, 0L, 0L, 0L, 0L);
        if (pid == 0)
            leave_quietly();
        if (refused(namespaces[i].name, pid, EPERM))
            return GOT;
    }
    return REFUSED;
}

int attack_clone3(void)
{
    /* flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls: clone(2) */
    unsigned long long args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
    long in_new = syscall(CALL_CLONE3, args, sizeof args);

    if (in_new == 0)
        leave_quietly();
    if (refused("into a new user namespace", in_new, ENOSYS))
        return GOT;
    args[0] = 0;
    long plain = syscall(CALL_CLONE3, args, sizeof args);
    if (plain == 0)
        leave_quietly();
    return refused("without a flag", plain, ENOSYS);
}

int attack_setns(void)
{
    int pidfd = (int)syscall(CALL_PIDFD_OPEN, 1, 0);

    for (size_t i = 0; i < NAMESPACES; i++) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i].name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (refused(path, syscall(SYS_setns, fd, 0), EPERM))
            return GOT;
        close(fd);
    }
    return refused("those of pid 1 by pidfd", syscall(SYS_setns, pidfd, CLONE_NEWNS | CLONE_NEWUSER), EPERM);
}

int attack_more_user_namespaces(void)
{
    char text[32];

    if (slurp("/proc/sys/user/max_user_namespaces", text, sizeof text) < 0)
        return got("max_user_namespaces cannot be read: %s", strerror(errno));
    if (strcmp(text, "0\n"))
        return got("max_user_namespaces is %.*s", (int)strcspn(text, "\n"), text);
    return failed("writing it", open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC));
}

int attack_mount(void)
{
    return EACH(
        refused("a tmpfs", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0L, NULL), EPERM),
        refused("a bind", syscall(SYS_mount, "/tmp", "/home/sandbox", NULL, 4096L /* MS_BIND */, NULL), EPERM),
        refused("/ made writable", syscall(SYS_mount, NULL, "/", NULL, 4096L | 32L /* MS_REMOUNT */, NULL), EPERM),
        refused("/proc made writable", syscall(SYS_mount, NULL, "/proc", NULL, 4096L | 32L, NULL), EPERM),
        refused("proc again", syscall(SYS_mount, "proc", "/tmp", "proc", 0L, NULL), EPERM),
        refused("sysfs", syscall(SYS_mount, "sysfs", "/tmp", "sysfs", 0L, NULL), EPERM),
        refused("overlay", syscall(SYS_mount, "o", "/tmp", "overlay", 0L, "lowerdir=/bin:/etc"), EPERM));
}

int attack_mount_cgroup(void)
{
    return EACH(refused("cgroup2", syscall(SYS_mount, "none", "/tmp", "cgroup2", 0L, NULL), EPERM),
                refused("cgroup memory", syscall(SYS_mount, "none", "/tmp", "cgroup", 0L, "memory"), EPERM),
                refused("cgroup rdma", syscall(SYS_mount, "none", "/tmp", "cgroup", 0L, "rdma"), EPERM),
                refused("cgroup by fsopen", syscall(CALL_FSOPEN, "cgroup2", 0), EPERM));
}

int attack_umount(void)
{
    return EACH(refused("/proc", syscall(SYS_umount2, "/proc", 2 /* MNT_DETACH */), EPERM),
                refused("a mask", syscall(SYS_umount2, "/proc/keys", 2), EPERM),
                refused("/workspace", syscall(SYS_umount2, "/workspace", 2), EPERM));
}

int attack_mount_api(void)
{
    unsigned long long writable[4] = {0, 1 /* MOUNT_ATTR_RDONLY */, 0, 0}; /* set, clear, propagation, userns */

    return EACH(
        refused("fsopen", syscall(CALL_FSOPEN, "tmpfs", 0), EPERM),
        refused("fspick", syscall(CALL_FSPICK, AT_FDCWD, "/", 0), EPERM),
        refused("fsconfig", syscall(CALL_FSCONFIG, -1, 0, NULL, NULL, 0), EPERM),
        refused("fsmount", syscall(CALL_FSMOUNT, -1, 0, 0), EPERM),
        refused("open_tree", syscall(CALL_OPEN_TREE, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */), EPERM),
        refused("open_tree_attr", syscall(CALL_OPEN_TREE_ATTR, AT_FDCWD, "/", 1, NULL, 0), EPERM),
        refused("move_mount", syscall(CALL_MOVE_MOUNT, AT_FDCWD, "/tmp", AT_FDCWD, "/run", 0), EPERM),
        refused("/ by mount_setattr", syscall(CALL_MOUNT_SETATTR, AT_FDCWD, "/", 0, writable, sizeof writable), EPERM));
}

int attack_roots(void)
{
    return EACH(refused("pivot_root", syscall(SYS_pivot_root, ".", "."), EPERM),
                refused("chroot", chroot("/tmp"), EPERM), refused("chroot of /", chroot("/"), EPERM));
}

int attack_dots(void)
{
    struct stat root, up;
    char path[PATH_MAX];
    int fd;

    /* The way out of a chroot: up and up from a directory below nobody's root. */
    if (chdir("/workspace") < 0 || stat("/", &root) < 0)
        return got("no directory to start from: %s", strerror(errno));
    for (int i = 0; i < 64; i++)
        if (chdir("..") < 0)
            break;
    if (stat(".", &up) < 0 || up.st_ino != root.st_ino || up.st_dev != root.st_dev)
        return got("a directory above the root");
    fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < 64; i++) {
        int above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = above;
    }
    if (fd < 0 || fstat(fd, &up) < 0 || up.st_ino != root.st_ino || up.st_dev != root.st_dev)
        return got("a directory above the root, by descriptor");
    close(fd);
    if (syscall(SYS_getcwd, path, sizeof path) <= 0 || strcmp(path, "/"))
        return got("a working directory outside: %.100s", path);
    return REFUSED;
}

/* The mount list by what it allows, not by name: no privilege from a file, nothing shared with the host, writable only
 * the scratch. */
int attack_mount_list(void)
{
    static const char *const writable[] = {"/dev/pts", "/dev/shm",      "/tmp",      "/var/tmp",
                                           "/run",     "/home/sandbox", "/workspace"};
    static const char *const devices[] = {"/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
                                          "/dev/urandom", "/dev/tty",  "/dev/pts"};
    static char text[64 * 1024];
    char *rest = text, *line;

    if (slurp("/proc/self/mountinfo", text, sizeof text) < 0 || !*text)
        return got("mountinfo cannot be read: %s", strerror(errno));
    while ((line = strsep(&rest, "\n")) && *line) {
        char target[256], options[256], optional[128];
        bool may_write = false, device = false;
        if (sscanf(line, "%*s %*s %*s %*s %255s %255s %127s", target, options, optional) != 3)
            return got("a line of mountinfo that is not understood: %.100s", line);
        if (strcmp(optional, "-"))
            return got("%s is not private: %s", target, optional);
        for (size_t i = 0; i < sizeof writable / sizeof writable[0]; i++)
            may_write |= !strcmp(target, writable[i]);
        for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++)
            device |= !strcmp(target, devices[i]);
        if (!strstr(options, "nosuid"))
            return got("%s lets set-uid files work", target);
        if (!device && !strstr(options, "nodev"))
            return got("%s lets device nodes work", target);
        if (device && !strstr(options, "noexec"))
            return got("%s lets programs run", target);
        if (!may_write && !device && strncmp(options, "ro,", 3))
            return got("%s is writable", target);
    }
    return REFUSED;
}

int attack_masks(void)
{
    static const char *const files[] = {
        "/proc/cmdline",     "/proc/config.gz",    "/proc/consoles",      "/proc/diskstats",     "/proc/interrupts",
        "/proc/kallsyms",    "/proc/kcore",        "/proc/key-users",     "/proc/keys",          "/proc/kmsg",
        "/proc/kpagecount",  "/proc/kpageflags",   "/proc/latency_stats", "/proc/locks",         "/proc/mdstat",
        "/proc/modules",     "/proc/pagetypeinfo", "/proc/partitions",    "/proc/sched_debug",   "/proc/schedstat",
        "/proc/slabinfo",    "/proc/softirqs",     "/proc/swaps",         "/proc/sysrq-trigger", "/proc/timer_list",
        "/proc/vmallocinfo",
    };
    static const char *const directories[] = {
        "/proc/acpi", "/proc/asound",   "/proc/bus",  "/proc/driver", "/proc/fs",
        "/proc/irq",  "/proc/pressure", "/proc/scsi", "/proc/tty",
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char byte;
        int fd = open(files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && read(fd, &byte, 1) > 0)
            return got("%s can be read", files[i]);
        close(fd);
    }
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        DIR *directory = opendir(directories[i]);
        struct dirent *entry;
        while (directory && (entry = readdir(directory)))
            if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
                return got("%s holds %.100s", directories[i], entry->d_name);
        if (directory)
            closedir(directory);
    }
    return REFUSED;
}
