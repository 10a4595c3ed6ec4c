#include "selftest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * An attacker's view: nothing here asks what bivy planned. Names, numbers and lists are written down a second time on
 * purpose; an attack that looked up in policy.c what it should find would agree with a hole in it.
 */

/* Calls that C libraries older than the kernel have no number for; the same on every architecture from 424 on. */
enum {
    CALL_IO_URING_SETUP = 425,
    CALL_IO_URING_ENTER = 426,
    CALL_IO_URING_REGISTER = 427,
    CALL_OPEN_TREE = 428,
    CALL_MOVE_MOUNT = 429,
    CALL_FSOPEN = 430,
    CALL_FSCONFIG = 431,
    CALL_FSMOUNT = 432,
    CALL_FSPICK = 433,
    CALL_PIDFD_OPEN = 434,
    CALL_CLONE3 = 435,
    CALL_PIDFD_GETFD = 438,
    CALL_PROCESS_MADVISE = 440,
    CALL_MOUNT_SETATTR = 442,
    CALL_QUOTACTL_FD = 443,
    CALL_MEMFD_SECRET = 447,
    CALL_PROCESS_MRELEASE = 448,
    CALL_CACHESTAT = 451,
    CALL_STATMOUNT = 457,
    CALL_LISTMOUNT = 458,
    CALL_LSM_GET_SELF_ATTR = 459,
    CALL_OPEN_TREE_ATTR = 467,
};

#define PATIENCE 10000 /* ms for one attack */
#define ALL_CAPABILITIES 64

enum verdict { REFUSED, GOT, SKIPPED };

/* What an attacking process leaves for the one that reports: a shared page, for a descriptor would spoil the attack on
 * descriptors. */
static struct finding {
    volatile int finished; /* stays 0 when the process dies on the way */
    volatile int verdict;
    char text[256];
} *finding;

__attribute__((format(printf, 2, 0))) static int say(int verdict, const char *format, va_list arguments)
{
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    return verdict;
}

__attribute__((format(printf, 1, 2))) static int got(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int verdict = say(GOT, format, arguments);
    va_end(arguments);
    return verdict;
}

__attribute__((format(printf, 1, 2))) static int skip(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int verdict = say(SKIPPED, format, arguments);
    va_end(arguments);
    return verdict;
}

/* An attempt that must answer -1 with exactly this errno: another one means that another layer refused, or a lower one
 * was reached. */
static int refused(const char *what, long result, int error)
{
    int seen = errno;

    if (result == -1 && seen == error)
        return REFUSED;
    if (result == -1)
        return got("%s: %s where %s was published", what, strerror(seen), strerror(error));
    return got("%s: it worked (%ld)", what, result);
}

/* Whatever the reason, as long as it did not work. */
static int failed(const char *what, long result)
{
    return result == -1 ? REFUSED : got("%s: it worked (%ld)", what, result);
}

/* Gives the first one that is not REFUSED. Every argument is an attempt, made whatever came of those before. */
static int first(const int *verdicts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (verdicts[i] != REFUSED)
            return verdicts[i];
    return REFUSED;
}
#define EACH(...) first((const int[]){__VA_ARGS__}, sizeof(int[]){__VA_ARGS__} / sizeof(int))

/* 0 and the text, or -1 with errno. */
static int slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t used = 0;
    ssize_t part = -1;

    if (fd < 0)
        return -1;
    while (used + 1 < size && (part = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)part;
    text[used] = '\0';
    close(fd);
    return part < 0 ? -1 : 0;
}

/* The value behind "Name:" in /proc/self/status. */
static bool status_value(const char *status, const char *name, int base, unsigned long long *value)
{
    size_t length = strlen(name);

    for (const char *line = status; line; line = strchr(line, '\n')) {
        char *end;
        line += *line == '\n';
        if (strncmp(line, name, length) || line[length] != ':')
            continue;
        *value = strtoull(line + length + 1, &end, base);
        return end != line + length + 1;
    }
    return false;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void leave_quietly(void)
{
    _exit(0);
}

/* ---- namespaces ---- */

static const struct {
    const char *name;
    unsigned long flag;
} namespaces[] = {
    {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP},
};
#define NAMESPACES (sizeof namespaces / sizeof namespaces[0])
#define NEW_TIME 0x80 /* CLONE_NEWTIME: not for clone, where these bits are the signal */

static int attack_unshare(void)
{
    for (size_t i = 0; i < NAMESPACES; i++)
        if (refused(namespaces[i].name, syscall(SYS_unshare, namespaces[i].flag), EPERM))
            return GOT;
    return EACH(refused("time", syscall(SYS_unshare, NEW_TIME), EPERM),
                refused("user and mnt", syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS), EPERM));
}

static int attack_clone(void)
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

static int attack_clone3(void)
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

static int attack_setns(void)
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

static int attack_more_user_namespaces(void)
{
    char text[32];

    if (slurp("/proc/sys/user/max_user_namespaces", text, sizeof text) < 0)
        return got("max_user_namespaces cannot be read: %s", strerror(errno));
    if (strcmp(text, "0\n"))
        return got("max_user_namespaces is %.*s", (int)strcspn(text, "\n"), text);
    return failed("writing it", open("/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC));
}

/* ---- mounts ---- */

static int attack_mount(void)
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

static int attack_mount_cgroup(void)
{
    return EACH(refused("cgroup2", syscall(SYS_mount, "none", "/tmp", "cgroup2", 0L, NULL), EPERM),
                refused("cgroup memory", syscall(SYS_mount, "none", "/tmp", "cgroup", 0L, "memory"), EPERM),
                refused("cgroup rdma", syscall(SYS_mount, "none", "/tmp", "cgroup", 0L, "rdma"), EPERM),
                refused("cgroup by fsopen", syscall(CALL_FSOPEN, "cgroup2", 0), EPERM));
}

static int attack_umount(void)
{
    return EACH(refused("/proc", syscall(SYS_umount2, "/proc", 2 /* MNT_DETACH */), EPERM),
                refused("a mask", syscall(SYS_umount2, "/proc/keys", 2), EPERM),
                refused("/workspace", syscall(SYS_umount2, "/workspace", 2), EPERM));
}

static int attack_mount_api(void)
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

static int attack_roots(void)
{
    return EACH(refused("pivot_root", syscall(SYS_pivot_root, ".", "."), EPERM),
                refused("chroot", chroot("/tmp"), EPERM), refused("chroot of /", chroot("/"), EPERM));
}

static int attack_dots(void)
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
static int attack_mount_list(void)
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

static int attack_masks(void)
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

/* ---- files ---- */

static int attack_create(void)
{
    static const char *const places[] = {
        "/",    "/bin",  "/etc",      "/lib", "/home", "/usr/bin", "/var",           "/opt",
        "/mnt", "/proc", "/proc/sys", "/dev", "/sys",  "/sys/fs",  "/sys/fs/cgroup",
    };

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[64];
        struct stat there;
        if (stat(places[i], &there) < 0)
            continue; /* a rootfs need not have it */
        snprintf(path, sizeof path, "%s/.bivy-selftest", places[i]);
        if (!strncmp(path, "/proc", 5)) { /* procfs says before EROFS that there is no such name */
            if (failed(path, mkdir(path, 0700)) || failed(path, open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)))
                return GOT;
            continue;
        }
        if (refused(path, mkdir(path, 0700), EROFS) ||
            refused(path, open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), EROFS) ||
            refused(path, symlink("/", path), EROFS))
            return GOT;
    }
    return REFUSED;
}

static int attack_proc_files(void)
{
    static const char *const files[] = {
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/poweroff_cmd",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/kernel/usermodehelper/bset",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/domainname",
        "/proc/sys/kernel/shmmax",
        "/proc/sys/kernel/sysrq",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/vm/panic_on_oom",
        "/proc/sys/vm/nr_hugepages",
        "/proc/sys/fs/file-max",
        "/proc/sys/fs/protected_hardlinks",
        "/proc/sys/fs/suid_dumpable",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/fs/mqueue/queues_max",
        "/proc/sys/user/max_net_namespaces",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/ping_group_range",
        "/proc/sys/net/core/somaxconn",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sysrq-trigger",
        "/proc/irq/0/smp_affinity",
        "/proc/mtrr",
        "/proc/kcore",
        "/proc/self/mem",
        "/proc/self/oom_score_adj",
        "/proc/self/oom_adj",
        "/proc/self/coredump_filter",
        "/proc/self/uid_map",
        "/proc/self/gid_map",
        "/proc/self/setgroups",
        "/proc/self/attr/current",
        "/proc/self/attr/exec",
        "/proc/self/clear_refs",
        "/proc/self/timerslack_ns",
        "/proc/self/comm",
        "/proc/self/sched",
        "/proc/self/autogroup",
        "/proc/self/task/1/mem",
        "/proc/self/loginuid",
        "/proc/thread-self/attr/current",
    };

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        int fd = open(files[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
            return got("%s is open for writing", files[i]);
        if (errno != EROFS && errno != EACCES && errno != EPERM && errno != ENOENT)
            return got("%s: %s", files[i], strerror(errno));
        fd = open(files[i], O_RDWR | O_TRUNC | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0)
            return got("%s is open for truncating", files[i]);
    }
    return REFUSED;
}

static const char *writable_found;

static int try_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    /* The walk stops at other devices; the workspace may lie on the rootfs's own. */
    static const char *const scratch[] = {"/dev/shm", "/dev/pts",      "/tmp",      "/var/tmp",
                                          "/run",     "/home/sandbox", "/workspace"};
    static char kept[PATH_MAX];
    int fd = -1;

    (void)type, (void)place;
    for (size_t i = 0; i < sizeof scratch / sizeof scratch[0]; i++)
        if (!strncmp(path, scratch[i], strlen(scratch[i])))
            return 0;
    /* Not by name of a permission: by opening. Directories by their own right only; attack_create tries the ones that
     * matter. */
    if (S_ISREG(status->st_mode))
        fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    else if (S_ISDIR(status->st_mode) && faccessat(AT_FDCWD, path, W_OK, 0) == 0)
        fd = open(path, O_PATH | O_CLOEXEC);
    else if (S_ISCHR(status->st_mode) || S_ISBLK(status->st_mode))
        fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    close(fd);
    snprintf(kept, sizeof kept, "%s", path);
    writable_found = kept;
    return 1;
}

static int attack_every_file(void)
{
    static const char *const trees[] = {"/", "/sys", "/dev", "/proc/sys"};

    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
        if (nftw(trees[i], try_one, 32, FTW_PHYS | FTW_MOUNT) == 1)
            return got("%.200s can be written", writable_found);
    return REFUSED;
}

/* Time stamps and the like of things that cannot be written: an inode shared with the host or with other sandboxes is a
 * channel. */
static int attack_metadata(void)
{
    static const char *const files[] = {"/",
                                        "/etc/passwd",
                                        "/bin/busybox",
                                        "/dev/null",
                                        "/dev/zero",
                                        "/dev/full",
                                        "/dev/random",
                                        "/dev/urandom",
                                        "/dev/tty",
                                        "/proc/keys",
                                        "/sys/fs/cgroup/memory.max"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct stat there;
        if (stat(files[i], &there) < 0)
            continue;
        if (utimensat(AT_FDCWD, files[i], NULL, 0) == 0)
            return got("the times of %s can be set", files[i]);
        if (chmod(files[i], 0777) == 0 || chown(files[i], getuid(), getgid()) == 0)
            return got("mode or owner of %s can be set", files[i]);
    }
    return REFUSED;
}

static int attack_device_nodes(void)
{
    static const struct {
        const char *name;
        mode_t type;
        unsigned major, minor;
    } nodes[] = {{"null", S_IFCHR, 1, 3},
                 {"mem", S_IFCHR, 1, 1},
                 {"kmsg", S_IFCHR, 1, 11},
                 {"disk", S_IFBLK, 8, 0},
                 {"whiteout", S_IFCHR, 0, 0}};
    static const char *const places[] = {"/tmp", "/workspace", "/run"};

    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            char path[64];
            snprintf(path, sizeof path, "%s/.bivy-selftest", places[j]);
            long made = mknod(path, nodes[i].type | 0600, makedev(nodes[i].major, nodes[i].minor));
            int verdict = refused(nodes[i].name, made, EPERM);
            unlink(path);
            if (verdict)
                return verdict;
        }
    return REFUSED;
}

static int attack_devices(void)
{
    static const char *const known[] = {".",   "..",  "null", "zero", "full",  "random", "urandom", "tty",
                                        "pts", "shm", "ptmx", "fd",   "stdin", "stdout", "stderr"};
    DIR *directory = opendir("/dev");
    struct dirent *entry;

    if (!directory)
        return got("/dev cannot be listed: %s", strerror(errno));
    while ((entry = readdir(directory))) {
        bool expected = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            expected |= !strcmp(entry->d_name, known[i]);
        if (!expected)
            return got("/dev/%.200s", entry->d_name);
    }
    closedir(directory);
    return REFUSED;
}

static int attack_rename(void)
{
    static const char *const names[] = {"/tmp/.bivy-selftest-a", "/tmp/.bivy-selftest-b"};
    int verdict;

    for (int i = 0; i < 2; i++)
        close(open(names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    verdict =
        EACH(refused("RENAME_EXCHANGE", syscall(SYS_renameat2, AT_FDCWD, names[0], AT_FDCWD, names[1], 2), EINVAL),
             refused("RENAME_WHITEOUT", syscall(SYS_renameat2, AT_FDCWD, names[0], AT_FDCWD, names[1], 4), EINVAL),
             refused("with high bits", syscall(SYS_renameat2, AT_FDCWD, names[0], AT_FDCWD, names[1], 1L << 32 | 2),
                     EINVAL));
    for (int i = 0; i < 2; i++)
        unlink(names[i]);
    return verdict;
}

static int attack_handles(void)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char handle[16];
    } handle = {.bytes = 8, .type = 1, .handle = {2}}; /* inode 2: the root of most disk file systems */
    int mount;

    return EACH(refused("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY), EPERM),
                refused("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", &handle, &mount, 0), EPERM));
}

static int attack_set_id_files(void)
{
    /* no_new_privs and nosuid each take the meaning from the bit; that it is there to be set is no harm. */
    struct statfs tmp;

    if (statfs("/tmp", &tmp) < 0 || statfs("/workspace", &tmp) < 0)
        return got("statfs: %s", strerror(errno));
    if (!(tmp.f_flags & 2 /* ST_NOSUID */) || statfs("/tmp", &tmp) < 0 || !(tmp.f_flags & 2) || statfs("/", &tmp) < 0 ||
        !(tmp.f_flags & 2))
        return got("a file system on which set-uid files work");
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? REFUSED : got("programs that gain privileges by execve");
}

/* Pages of a file that cannot be written, by the ways that have led to them before. */
static int attack_page_cache(void)
{
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC), ends[2];
    long long offset = 0;
    char byte = 'X';
    int verdict;

    if (file < 0 || pipe(ends) < 0)
        return got("no file or pipe to try it with: %s", strerror(errno));
    void *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    verdict =
        EACH(failed("pwrite", pwrite(file, &byte, 1, 0)), failed("ftruncate", ftruncate(file, 0)),
             failed("fallocate", fallocate(file, 3 /* PUNCH_HOLE | KEEP_SIZE */, 0, 4096)),
             failed("a shared writable mapping",
                    mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED ? -1 : 0),
             refused("mprotect", shared == MAP_FAILED ? 0 : mprotect(shared, 4096, PROT_READ | PROT_WRITE), EACCES),
             refused("splice", syscall(SYS_splice, file, &offset, ends[1], NULL, 1L, 0), EINVAL),
             refused("vmsplice", syscall(SYS_vmsplice, ends[1], &(struct iovec){shared, 1}, 1L, 0), EINVAL),
             refused("tee", syscall(SYS_tee, ends[0], ends[1], 1L, 0), EINVAL),
             refused("sendfile", syscall(SYS_sendfile, ends[1], file, NULL, 1L), EINVAL));
    return verdict;
}

/* ---- other processes ---- */

static int attack_pid_1_files(void)
{
    static const char *const files[] = {"",        "/mem",    "/environ",   "/maps",      "/root/etc",   "/cwd/.",
                                        "/fd",     "/fd/0",   "/exe",       "/cmdline",   "/status",     "/stat",
                                        "/ns/mnt", "/task/1", "/mountinfo", "/map_files", "/task/1/mem", "/auxv"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/1%s", files[i]);
        if (refused(path, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ENOENT))
            return GOT;
    }
    return REFUSED;
}

static int attack_process_list(void)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    if (!directory)
        return got("/proc cannot be listed: %s", strerror(errno));
    while ((entry = readdir(directory))) {
        char path[64];
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        if (pid == 1)
            return got("pid 1 shows");
        snprintf(path, sizeof path, "/proc/%ld/exe", pid);
        if (failed(path, open(path, O_WRONLY | O_CLOEXEC)) || failed(path, open(path, O_RDWR | O_CLOEXEC)))
            return GOT;
        snprintf(path, sizeof path, "/proc/%ld/mem", pid);
        if (failed(path, open(path, O_RDWR | O_CLOEXEC)))
            return GOT;
    }
    closedir(directory);
    return REFUSED;
}

static int attack_ptrace(void)
{
    return EACH(refused("attach to pid 1", syscall(SYS_ptrace, 16L, 1L, 0L, 0L), EPERM),
                refused("seize pid 1", syscall(SYS_ptrace, 0x4206L, 1L, 0L, 0L), EPERM),
                /* not attach, which stops: the parent is who reports */
                refused("seize the parent", syscall(SYS_ptrace, 0x4206L, (long)getppid(), 0L, 0L), EPERM),
                refused("be traced", syscall(SYS_ptrace, 0L, 0L, 0L, 0L), EPERM));
}

static int attack_process_memory(void)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    int pidfd = (int)syscall(CALL_PIDFD_OPEN, 1, 0);

    return EACH(refused("reading pid 1", syscall(SYS_process_vm_readv, 1L, &here, 1L, &there, 1L, 0L), EPERM),
                refused("writing pid 1", syscall(SYS_process_vm_writev, 1L, &here, 1L, &there, 1L, 0L), EPERM),
                refused("writing the parent",
                        syscall(SYS_process_vm_writev, (long)getppid(), &here, 1L, &there, 1L, 0L), EPERM),
                refused("descriptors of pid 1", syscall(CALL_PIDFD_GETFD, pidfd, 0, 0), EPERM),
                refused("descriptors of itself",
                        syscall(CALL_PIDFD_GETFD, (int)syscall(CALL_PIDFD_OPEN, getpid(), 0), 1, 0), EPERM),
                refused("process_madvise", syscall(CALL_PROCESS_MADVISE, pidfd, &there, 1L, 4L, 0L), ENOSYS),
                refused("process_mrelease", syscall(CALL_PROCESS_MRELEASE, pidfd, 0), ENOSYS),
                refused("kcmp", syscall(SYS_kcmp, 1L, (long)getpid(), 0L, 0L, 0L), EPERM),
                refused("move_pages", syscall(SYS_move_pages, 1L, 0L, NULL, NULL, NULL, 0L), EPERM));
}

/* A pid 1 that were dead would take this process along; one that were stopped would reap nobody. */
static int attack_pid_1_signals(void)
{
    int pidfd = (int)syscall(CALL_PIDFD_OPEN, 1, 0), ends[2];
    pid_t orphan = 0, middle;

    for (int signal = 1; signal <= 64; signal++) {
        kill(1, signal);
        syscall(424 /* pidfd_send_signal */, pidfd, signal, NULL, 0);
        syscall(SYS_tgkill, 1, 1, signal);
    }
    if (pipe(ends) < 0 || (middle = fork()) < 0)
        return got("no process to look with: %s", strerror(errno));
    if (middle == 0) {
        orphan = fork();
        if (orphan == 0)
            _exit(0);
        if (write(ends[1], &orphan, sizeof orphan) != sizeof orphan)
            _exit(1);
        _exit(0);
    }
    waitpid(middle, NULL, 0);
    if (read(ends[0], &orphan, sizeof orphan) != sizeof orphan || orphan <= 0)
        return got("no process to look with: %s", strerror(errno));
    for (int i = 0; i < PATIENCE / 2; i++) {
        if (kill(orphan, 0) < 0 && errno == ESRCH)
            return REFUSED;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return got("pid 1 reaps no more: a signal stopped it");
}

/* ---- the kernel's side doors ---- */

static int attack_sockets(void)
{
    static const struct {
        const char *name;
        int family, type, protocol, error;
    } sockets[] = {
        {"AF_VSOCK", 40, SOCK_STREAM, 0, EAFNOSUPPORT},
        {"AF_ALG", 38, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_PACKET", 17, SOCK_RAW, 0x300, EAFNOSUPPORT},
        {"AF_PACKET, datagrams", 17, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_XDP", 44, SOCK_RAW, 0, EAFNOSUPPORT},
        {"AF_KEY", 15, SOCK_RAW, 2, EAFNOSUPPORT},
        {"AF_RDS", 21, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_RXRPC", 33, SOCK_DGRAM, 2, EAFNOSUPPORT},
        {"AF_TIPC", 30, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_CAN", 29, SOCK_RAW, 1, EAFNOSUPPORT},
        {"AF_BLUETOOTH", 31, SOCK_RAW, 1, EAFNOSUPPORT},
        {"AF_NFC", 39, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_KCM", 41, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_SMC", 43, SOCK_STREAM, 0, EAFNOSUPPORT},
        {"AF_QIPCRTR", 42, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_APPLETALK", 5, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"raw IPv4", AF_INET, SOCK_RAW, 255, EPERM},
        {"raw IPv6", AF_INET6, SOCK_RAW, 255, EPERM},
        {"raw ICMP", AF_INET, SOCK_RAW, 1, EPERM},
        {"ping", AF_INET, SOCK_DGRAM, 1, EPROTONOSUPPORT},
        {"SCTP", AF_INET, SOCK_STREAM, 132, EPROTONOSUPPORT},
        {"MPTCP", AF_INET, SOCK_STREAM, 262, EPROTONOSUPPORT},
        {"UDP-Lite", AF_INET6, SOCK_DGRAM, 136, EPROTONOSUPPORT},
        {"netlink XFRM", AF_NETLINK, SOCK_RAW, 6, EAFNOSUPPORT},
        {"netlink netfilter", AF_NETLINK, SOCK_RAW, 12, EAFNOSUPPORT},
        {"netlink audit", AF_NETLINK, SOCK_RAW, 9, EAFNOSUPPORT},
        {"netlink uevent", AF_NETLINK, SOCK_RAW, 15, EAFNOSUPPORT},
        {"netlink generic", AF_NETLINK, SOCK_RAW, 16, EAFNOSUPPORT},
        {"netlink diag", AF_NETLINK, SOCK_RAW, 4, EAFNOSUPPORT},
        {"netlink crypto", AF_NETLINK, SOCK_RAW, 21, EAFNOSUPPORT},
    };
    int pair[2];

    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++)
        if (refused(sockets[i].name, socket(sockets[i].family, sockets[i].type, sockets[i].protocol), sockets[i].error))
            return GOT;
    return refused("a TIPC pair", socketpair(30, SOCK_SEQPACKET, 0, pair), EAFNOSUPPORT);
}

static int attack_socket_options(void)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (tcp < 0)
        return got("no socket to try it with: %s", strerror(errno));
    return EACH(refused("TCP_ULP tls", setsockopt(tcp, 6, 31, "tls", 3), ENOENT),
                refused("SO_ZEROCOPY", setsockopt(tcp, 1, 60, &one, sizeof one), ENOPROTOOPT),
                failed("SO_RCVBUFFORCE", setsockopt(tcp, SOL_SOCKET, 33, &one, sizeof one)),
                failed("iptables", setsockopt(tcp, 0, 64, &one, sizeof one)),
                refused("the bridge module", syscall(SYS_ioctl, tcp, 0x89a0L, "x"), EPERM),
                refused("the VLAN module", syscall(SYS_ioctl, tcp, 0x8983L, "x"), EPERM));
}

static int attack_terminal(void)
{
    int master, slave, unlocked = 0;

    signal(SIGHUP, SIG_IGN);
    setsid();
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return got("no terminal to try it with: %s", strerror(errno));
    slave = ioctl(master, 0x5441 /* TIOCGPTPEER */, O_RDWR);
    if (slave < 0)
        return got("no terminal to try it with: %s", strerror(errno));
    ioctl(slave, TIOCSCTTY, 0); /* TIOCSTI works on one's own only */
    return EACH(refused("TIOCSTI", syscall(SYS_ioctl, slave, 0x5412L, "x"), EPERM),
                refused("TIOCSTI with high bits", syscall(SYS_ioctl, slave, 0x5412L | 1L << 32, "x"), EPERM),
                refused("TIOCSTI with the sign bits", syscall(SYS_ioctl, slave, 0x5412L | ~0xffffffffL, "x"), EPERM),
                refused("TIOCLINUX", syscall(SYS_ioctl, slave, 0x541cL, "\3"), EPERM),
                refused("TIOCLINUX with high bits", syscall(SYS_ioctl, slave, 0x541cL | 1L << 40, "\3"), EPERM),
                refused("TIOCSETD", syscall(SYS_ioctl, slave, 0x5423L, &unlocked), EPERM));
}

static int attack_callers_terminal(void)
{
    static const char *const others[] = {"/dev/console", "/dev/tty0", "/dev/tty1",
                                         "/dev/ttyS0",   "/dev/vcs",  "/dev/vcsa1"};

    if (refused("/dev/tty", open("/dev/tty", O_RDWR | O_CLOEXEC), ENXIO))
        return GOT;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (refused(others[i], open(others[i], O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), ENOENT))
            return GOT;
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd))
            return got("descriptor %d is a terminal", fd);
    if (getsid(0) <= 1)
        return got("the session is the caller's");
    return REFUSED;
}

static int attack_personality(void)
{
    return EACH(refused("no address randomisation", syscall(SYS_personality, 0x0040000L), EPERM),
                refused("reading implies executing", syscall(SYS_personality, 0x0400000L), EPERM),
                refused("a page at 0", syscall(SYS_personality, 0x0100000L), EPERM),
                syscall(SYS_personality, 0xffffffffL) == 0 ? REFUSED : got("the caller's personality is still there"));
}

#ifdef __x86_64__
/* Calls by the door for 32-bit programs, whose numbers mean something else. 20: getpid, harmless. */
static int attack_int_80(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        long answer = 20;
        __asm__ volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return got("no process to try it with: %s", strerror(errno));
    /* SIGSEGV: a kernel without that door */
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV)
               ? REFUSED
               : got("an i386 call that returned");
}

static int attack_x32(void)
{
    return EACH(refused("getpid", syscall(0x40000000L | 39), ENOSYS),
                refused("ptrace", syscall(0x40000000L | 521, 16L, 1L, 0L, 0L), ENOSYS),
                refused("ioctl", syscall(0x40000000L | 514, 0L, 0x5412L, "x"), ENOSYS));
}
#endif

static int attack_huge_pages(void)
{
    return EACH(
        refused("mmap",
                mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x40000, -1, 0) == MAP_FAILED ? -1 : 0,
                ENOMEM),
        refused("memfd_create", syscall(SYS_memfd_create, "x", 4L), EINVAL),
        refused("shmget", syscall(SYS_shmget, 0L, 2L << 20, 04000L | 01000L | 0600L), ENOMEM));
}

static int attack_filter(void)
{
    char text[4096];
    unsigned long long value;

    if (slurp("/proc/self/status", text, sizeof text) < 0 || !status_value(text, "Seccomp", 10, &value) || value != 2)
        return got("no filter is in force");
    return EACH(failed("strict mode instead", prctl(PR_SET_SECCOMP, 0, 0, 0, 0)),
                failed("no filter instead", syscall(SYS_seccomp, 1L, 0L, NULL)));
}

/* ---- privileges ---- */

static int attack_ids(void)
{
    static const struct {
        const char *name;
        long number, args[3];
    } changes[] = {
        {"setuid 0", SYS_setuid, {0, 0, 0}},         {"setgid 0", SYS_setgid, {0, 0, 0}},
        {"setreuid 0", SYS_setreuid, {0, 0, 0}},     {"setregid 0", SYS_setregid, {0, 0, 0}},
        {"setresuid 0", SYS_setresuid, {0, 0, 0}},   {"setresgid 0", SYS_setresgid, {0, 0, 0}},
        {"setuid 65534", SYS_setuid, {65534, 0, 0}}, {"setgid 65534", SYS_setgid, {65534, 0, 0}},
        {"setuid 1001", SYS_setuid, {1001, 0, 0}},   {"setresuid of the saved id", SYS_setresuid, {-1, -1, 0}},
    };
    gid_t group = 0;

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (failed(changes[i].name,
                   syscall(changes[i].number, changes[i].args[0], changes[i].args[1], changes[i].args[2])))
            return GOT;
    if (failed("setgroups", syscall(SYS_setgroups, 1, &group)) || failed("no groups", syscall(SYS_setgroups, 0, NULL)))
        return GOT;
    syscall(SYS_setfsuid, 0);
    if (syscall(SYS_setfsuid, -1) == 0)
        return got("setfsuid 0: it worked");
    return getuid() && geteuid() && getgid() && getegid() ? REFUSED : got("an id that is 0");
}

static int attack_id_maps(void)
{
    char text[256];
    unsigned inside, outside, count;
    int used = 0;

    if (slurp("/proc/self/uid_map", text, sizeof text) < 0 ||
        sscanf(text, "%u %u %u%n", &inside, &outside, &count, &used) != 3)
        return got("uid_map is not understood");
    if (strcmp(text + used, "\n") || count != 1 || outside == 0 || inside == 0)
        return got("more than one id, or the host's 0, is mapped");
    used = 0;
    if (slurp("/proc/self/gid_map", text, sizeof text) < 0 ||
        sscanf(text, "%u %u %u%n", &inside, &outside, &count, &used) != 3)
        return got("gid_map is not understood");
    return strcmp(text + used, "\n") || count != 1 || outside == 0 || inside == 0
               ? got("more than one group, or the host's 0, is mapped")
               : REFUSED;
}

static int attack_capability_sets(void)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    char text[4096];
    unsigned long long value;

    if (slurp("/proc/self/status", text, sizeof text) < 0)
        return got("/proc/self/status cannot be read: %s", strerror(errno));
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (!status_value(text, sets[i], 16, &value) || value != 0)
            return got("%s is %llx", sets[i], value);
    return status_value(text, "NoNewPrivs", 10, &value) && value == 1 ? REFUSED : got("no_new_privs is not set");
}

static int attack_capset(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}},
                                  admin[2] = {{1u << 21, 1u << 21, 0}, {0, 0, 0}},
                                  inherit[2] = {{0, 0, 1u << 21}, {0, 0, 0}};

    return EACH(refused("all", syscall(SYS_capset, &header, all), EPERM),
                refused("CAP_SYS_ADMIN", syscall(SYS_capset, &header, admin), EPERM),
                refused("inheritable", syscall(SYS_capset, &header, inherit), EPERM));
}

static int attack_ambient(void)
{
    for (unsigned long cap = 0; cap < ALL_CAPABILITIES; cap++) {
        if (prctl(47 /* PR_CAP_AMBIENT */, 2 /* RAISE */, cap, 0, 0) != -1)
            return got("ambient capability %lu", cap);
        if (errno == EINVAL)
            break; /* behind the kernel's last one */
        if (errno != EPERM)
            return got("ambient capability %lu: %s", cap, strerror(errno));
    }
    return REFUSED;
}

static int attack_securebits(void)
{
    static const int locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                              SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                              SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    return EACH(failed("cleared", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0)),
                failed("keeping capabilities", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)),
                failed("no_new_privs off", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)),
                prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == locked ? REFUSED : got("securebits that are not locked"));
}

/* ---- network and neighbours ---- */

static bool nobody_there(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    int error = 0;
    socklen_t length = sizeof error;

    errno = 0;
    send(fd, "x", 1, MSG_NOSIGNAL); /* a datagram socket hears of it only when it has sent */
    poll(&end, 1, 1000);
    return errno == ECONNREFUSED ||
           (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == ECONNREFUSED);
}

static int reach(const char *address, unsigned short port, int type)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool v6 = strchr(address, ':'), own = !strcmp(address, "127.0.0.1") || !strcmp(address, "::1");
    int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return errno == EAFNOSUPPORT ? REFUSED : got("no socket to try it with: %s", strerror(errno));
    inet_pton(v6 ? AF_INET6 : AF_INET, address, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
    result = connect(fd, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, v6 ? sizeof six : sizeof four);
    int error = errno;
    if (own && (result == 0 || error == EINPROGRESS)) { /* lo is up, as was asked for: nobody must be there */
        error = nobody_there(fd) ? ECONNREFUSED : 0;
        result = -1;
    }
    close(fd);
    if (result < 0 && (error == ENETUNREACH || error == EADDRNOTAVAIL || (own && error == ECONNREFUSED)))
        return REFUSED;
    return got("%s port %u: %s", address, port, result < 0 ? strerror(error) : "connected");
}

static int attack_connect(void)
{
    static const char *const addresses[] = {"192.0.2.1",   "198.51.100.1",    "10.0.0.1",  "10.0.2.2",  "172.17.0.1",
                                            "192.168.0.1", "169.254.169.254", "127.0.0.1", "224.0.0.1", "2001:db8::1",
                                            "::1"};
    static const unsigned short ports[] = {22, 53, 80, 2375, 8888};

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        for (size_t j = 0; j < sizeof ports / sizeof ports[0]; j++)
            if (reach(addresses[i], ports[j], SOCK_STREAM) || reach(addresses[i], ports[j], SOCK_DGRAM))
                return GOT;
    return REFUSED;
}

static int attack_links(void)
{
    struct if_nameindex *links = if_nameindex();
    static char text[16 * 1024];

    if (!links)
        return got("the links cannot be listed: %s", strerror(errno));
    for (size_t i = 0; links[i].if_index; i++)
        if (strcmp(links[i].if_name, "lo"))
            return got("a link named %.32s", links[i].if_name);
    if_freenameindex(links);
    if (slurp("/proc/net/dev", text, sizeof text) == 0 && count_lines(text) > 3)
        return got("more links than lo in /proc/net/dev");
    if (slurp("/proc/net/route", text, sizeof text) == 0 && count_lines(text) > 1)
        return got("a route");
    return REFUSED;
}

static int attack_sockets_of_others(void)
{
    static const char *const lists[] = {"/proc/net/unix", "/proc/net/tcp", "/proc/net/tcp6",  "/proc/net/udp",
                                        "/proc/net/udp6", "/proc/net/raw", "/proc/net/packet"};
    static char text[16 * 1024];

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (slurp(lists[i], text, sizeof text) == 0 && count_lines(text) > 1)
            return got("a socket of somebody else in %s", lists[i]);
    return REFUSED;
}

static int attack_ipc_of_others(void)
{
    static const char *const lists[] = {"/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem"};
    static char text[16 * 1024];

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (slurp(lists[i], text, sizeof text) == 0 && count_lines(text) > 1)
            return got("an object of somebody else in %s", lists[i]);
    return REFUSED;
}

static int attack_host_name(void)
{
    struct utsname name;

    if (uname(&name) < 0 || strcmp(name.nodename, "bivy"))
        return got("the host's name is %.64s", name.nodename);
    return EACH(refused("sethostname", sethostname("x", 1), EPERM),
                refused("setdomainname", syscall(SYS_setdomainname, "x", 1L), EPERM));
}

static int attack_cgroup(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/cgroup.procs",         "/sys/fs/cgroup/release_agent",
                                        "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.subtree_control",
                                        "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/devices.allow"};
    struct statfs type;
    static char text[16 * 1024];
    char *rest = text, *line;

    if (slurp("/proc/self/cgroup", text, sizeof text) < 0 || !*text)
        return got("/proc/self/cgroup cannot be read: %s", strerror(errno));
    while ((line = strsep(&rest, "\n")) && *line) {
        size_t length = strlen(line);
        if (length < 2 || strcmp(line + length - 2, ":/"))
            return got("a path of the host's: %.100s", line);
    }
    if (statfs("/sys/fs/cgroup", &type) < 0 || type.f_type != TMPFS_MAGIC)
        return got("/sys/fs/cgroup is a cgroup file system");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (refused(files[i], open(files[i], O_RDWR | O_CLOEXEC), ENOENT))
            return GOT;
    return EACH(failed("memory.max", open("/sys/fs/cgroup/memory.max", O_WRONLY | O_CLOEXEC)),
                refused("memory.max by mode", chmod("/sys/fs/cgroup/memory.max", 0666), EROFS));
}

/* ---- what crossed over ---- */

static int attack_descriptors(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        struct stat file;
        if (fstat(fd, &file) < 0)
            continue;
        if (fd > 2)
            return got("descriptor %d is open", fd);
        if (!S_ISFIFO(file.st_mode) && !(S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3)))
            return got("descriptor %d is neither a pipe nor /dev/null", fd);
        if (failed("fchdir", fchdir(fd)) || failed("openat", openat(fd, "..", O_PATH | O_CLOEXEC)))
            return GOT;
    }
    return REFUSED;
}

static int attack_inherited(void)
{
    char text[32];
    struct sigaction action;
    sigset_t blocked;

    if (slurp("/proc/self/oom_score_adj", text, sizeof text) < 0 || *text == '-')
        return got("protection from the OOM killer");
    if (syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER)
        return got("a scheduling class of the caller's");
    if (sigprocmask(SIG_BLOCK, NULL, &blocked) < 0)
        return got("the signal mask cannot be read");
    for (int signal = 1; signal < 32; signal++)
        if (sigismember(&blocked, signal) == 1 ||
            (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL))
            return got("signal %d is blocked or ignored", signal);
    return umask(022) == 022 ? REFUSED : got("the caller's umask");
}

extern char **environ;

static int attack_environment(void)
{
    static const char *const known[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                        "HOME=/home/sandbox", "USER=sandbox", "LANG=C.UTF-8", "TMPDIR=/tmp"};

    for (char **entry = environ; *entry; entry++) {
        bool expected = !strncmp(*entry, "TERM=", 5);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            expected |= !strcmp(*entry, known[i]);
        if (!expected)
            return got("%.*s of the caller's environment", (int)strcspn(*entry, "="), *entry);
    }
    return REFUSED;
}

/* ---- limits ---- */

static int attack_rlimits(void)
{
    static const struct {
        const char *name;
        int resource;
        unsigned long long most;
    } limits[] = {
        {"core", RLIMIT_CORE, 1},
        {"nofile", RLIMIT_NOFILE, 1 << 20},
        {"memlock", RLIMIT_MEMLOCK, 1 << 20},
        {"msgqueue", RLIMIT_MSGQUEUE, 1 << 20},
        {"sigpending", RLIMIT_SIGPENDING, 4096},
        {"nice", RLIMIT_NICE, 0},
        {"rtprio", RLIMIT_RTPRIO, 0},
    };

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        unsigned long long limit[2]; /* soft, hard: prlimit(2) */
        if (syscall(SYS_prlimit64, 0, limits[i].resource, NULL, limit) < 0 || limit[1] > limits[i].most)
            return got("%s: %llu", limits[i].name, limit[1]);
        limit[1]++;
        if (refused(limits[i].name, syscall(SYS_prlimit64, 0, limits[i].resource, limit, NULL), EPERM))
            return GOT;
    }
    return REFUSED;
}

static int attack_priority(void)
{
    struct sched_param high = {.sched_priority = 1};
    /* size, policy, flags, nice, priority, runtime, deadline, period: sched_setattr(2) */
    struct {
        unsigned size, policy;
        unsigned long long flags;
        int nice;
        unsigned priority;
        unsigned long long runtime, deadline, period;
    } deadline = {.size = 48, .policy = 6, .runtime = 10000000, .deadline = 20000000, .period = 20000000};

    errno = 0;
    return EACH(failed("a lower niceness", setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) - 1)),
                failed("the lowest niceness", setpriority(PRIO_USER, 0, -20)),
                refused("SCHED_FIFO", syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &high), EPERM),
                refused("SCHED_RR", syscall(SYS_sched_setscheduler, 0, SCHED_RR, &high), EPERM),
                refused("SCHED_DEADLINE", syscall(SYS_sched_setattr, 0, &deadline, 0), EPERM),
                refused("real-time I/O", syscall(SYS_ioprio_set, 1, 0, 1 << 13), EPERM));
}

static int attack_locked_memory(void)
{
    size_t length = 64u << 20;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return got("no memory to try it with");
    return EACH(
        failed("mlock", mlock(memory, length)), failed("mlockall", mlockall(MCL_CURRENT)),
        failed("MAP_LOCKED",
               mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -1 : 0));
}

static int attack_process_limit(void)
{
    enum { MOST = 1024 };
    static pid_t children[MOST + 1];
    char text[32];
    long limit, count = 0;
    int error = 0;

    if (slurp("/sys/fs/cgroup/pids.max", text, sizeof text) < 0 || (limit = strtol(text, NULL, 10)) <= 0)
        return got("the limit cannot be read");
    if (limit >= MOST)
        return skip("a limit of %ld takes too long to reach", limit);
    while (count <= limit) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0) {
            error = errno;
            break;
        }
        children[count++] = pid;
    }
    for (long i = 0; i < count; i++)
        kill(children[i], SIGKILL);
    for (long i = 0; i < count; i++)
        waitpid(children[i], NULL, 0);
    return error == EAGAIN ? REFUSED : got("%ld processes under a limit of %ld", count, limit);
}

static int attack_scratch_limit(void)
{
    static const char path[] = "/tmp/.bivy-selftest-size";
    static char block[64 << 10];
    struct statfs size;
    unsigned long long written = 0, room;
    int fd, error;

    if (statfs("/tmp", &size) < 0)
        return got("statfs: %s", strerror(errno));
    room = (unsigned long long)size.f_blocks * (unsigned long long)size.f_bsize;
    if (room > 256u << 20)
        return skip("%llu MiB take too long to fill", room >> 20);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return got("no file to try it with: %s", strerror(errno));
    memset(block, 'x', sizeof block);
    for (ssize_t part = 1; part > 0 && written <= room; written += part > 0 ? (unsigned long long)part : 0)
        part = write(fd, block, sizeof block);
    error = errno;
    unlink(path);
    close(fd);
    return written <= room && error == ENOSPC ? REFUSED : got("%llu bytes of scratch", written);
}

static int attack_terminal_limit(void)
{
    for (int i = 0; i < 64; i++)
        if (open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) < 0)
            return errno == ENOSPC || errno == EMFILE ? REFUSED : got("after %d terminals: %s", i, strerror(errno));
    return got("more than 64 terminals");
}

static int attack_timer_limit(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int timer;

    for (int i = 0; i < 8192; i++)
        if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
            return errno == EAGAIN ? REFUSED : got("after %d timers: %s", i, strerror(errno));
    return got("more than 8192 timers");
}

/* ---- the tables ---- */

/* clang-format off */
/* One call each that must answer -1 and this errno. Arguments are such that it would do no harm if it worked. */
static const struct call {
    const char *name;
    long number, args[6];
    int error;
} calls[] = {
    {"bpf",                SYS_bpf,               {0, 0, 0, 0, 0, 0}, EPERM},
    {"perf_event_open",    SYS_perf_event_open,   {0, 0, -1, -1, 0, 0}, EPERM},
    {"userfaultfd",        SYS_userfaultfd,       {1, 0, 0, 0, 0, 0}, EPERM},
    {"io_uring_setup",     CALL_IO_URING_SETUP,   {1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_uring_enter",     CALL_IO_URING_ENTER,   {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_uring_register",  CALL_IO_URING_REGISTER, {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_setup",           SYS_io_setup,          {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"keyctl",             SYS_keyctl,            {0, -3, 0, 0, 0, 0}, EPERM}, /* the session keyring's number */
    {"add_key",            SYS_add_key,           {0, 0, 0, 0, -3, 0}, EPERM},
    {"request_key",        SYS_request_key,       {0, 0, 0, 0, 0, 0}, EPERM},
    {"init_module",        SYS_init_module,       {0, 0, 0, 0, 0, 0}, EPERM},
    {"finit_module",       SYS_finit_module,      {-1, 0, 0, 0, 0, 0}, EPERM},
    {"delete_module",      SYS_delete_module,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"kexec_load",         SYS_kexec_load,        {0, 0, 0, 0, 0, 0}, EPERM},
    {"reboot",             SYS_reboot,            {0, 0, 0, 0, 0, 0}, EPERM},
    {"syslog",             SYS_syslog,            {10, 0, 0, 0, 0, 0}, EPERM}, /* size of the buffer */
    {"acct",               SYS_acct,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"swapon",             SYS_swapon,            {0, 0, 0, 0, 0, 0}, EPERM},
    {"swapoff",            SYS_swapoff,           {0, 0, 0, 0, 0, 0}, EPERM},
    {"quotactl",           SYS_quotactl,          {0, 0, 0, 0, 0, 0}, EPERM},
    {"quotactl_fd",        CALL_QUOTACTL_FD,      {-1, 0, 0, 0, 0, 0}, EPERM},
    {"sync",               SYS_sync,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"fanotify_init",      SYS_fanotify_init,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"settimeofday",       SYS_settimeofday,      {0, 0, 0, 0, 0, 0}, EPERM},
    {"clock_settime",      SYS_clock_settime,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"adjtimex",           SYS_adjtimex,          {0, 0, 0, 0, 0, 0}, EPERM},
    {"clock_adjtime",      SYS_clock_adjtime,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"vhangup",            SYS_vhangup,           {0, 0, 0, 0, 0, 0}, EPERM},
#ifdef __x86_64__
    {"modify_ldt",         SYS_modify_ldt,        {0, 0, 0, 0, 0, 0}, EPERM},
    {"iopl",               SYS_iopl,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"ioperm",             SYS_ioperm,            {0, 0, 0, 0, 0, 0}, EPERM},
#endif
    {"mbind",              SYS_mbind,             {0, 0, 0, 0, 0, 0}, EPERM},
    {"migrate_pages",      SYS_migrate_pages,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"set_mempolicy",      SYS_set_mempolicy,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"memfd_secret",       CALL_MEMFD_SECRET,     {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"cachestat",          CALL_CACHESTAT,        {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"statmount",          CALL_STATMOUNT,        {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"listmount",          CALL_LISTMOUNT,        {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"lsm_get_self_attr",  CALL_LSM_GET_SELF_ATTR, {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"remap_file_pages",   SYS_remap_file_pages,  {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"PR_SET_MM",          SYS_prctl,             {35, 0, 0, 0, 0, 0}, EINVAL},
    {"PR_SCHED_CORE",      SYS_prctl,             {62, 1, 0, 0, 0, 0}, EINVAL},
    {"PR_SET_PTRACER",     SYS_prctl,             {0x59616d61, -1, 0, 0, 0, 0}, EINVAL},
};

/* Everything that takes more than one call. */
static const struct probe {
    const char *name;
    int (*attack)(void);
} probes[] = {
    {"a new namespace by unshare",                    attack_unshare},
    {"a new namespace by clone",                      attack_clone},
    {"a new namespace by clone3",                     attack_clone3},
    {"another namespace by setns",                    attack_setns},
    {"a way back to user namespaces",                 attack_more_user_namespaces},
    {"a mount by mount()",                            attack_mount},
    {"a mount of a cgroup hierarchy",                 attack_mount_cgroup},
    {"a mount taken away",                            attack_umount},
    {"a mount by the new calls",                      attack_mount_api},
    {"another root by pivot_root and chroot",         attack_roots},
    {"above the root by ..",                          attack_dots},
    {"a mount that allows too much",                  attack_mount_list},
    {"what /proc tells of the host",                  attack_masks},
    {"a new file where nothing is to be written",     attack_create},
    {"kernel settings and own files in /proc",        attack_proc_files},
    {"any file outside scratch and workspace",        attack_every_file},
    {"owner, mode and times of shared files",         attack_metadata},
    {"device nodes made by mknod",                    attack_device_nodes},
    {"other devices in /dev",                         attack_devices},
    {"an exchange of names by rename",                attack_rename},
    {"files by handle",                               attack_handles},
    {"privileges by a set-uid file",                  attack_set_id_files},
    {"pages of a read-only file",                     attack_page_cache},
    {"pid 1 through /proc",                           attack_pid_1_files},
    {"pid 1 and programs in the process list",        attack_process_list},
    {"another process by ptrace",                     attack_ptrace},
    {"another process's memory and descriptors",      attack_process_memory},
    {"pid 1 by signals",                              attack_pid_1_signals},
    {"sockets of rare families",                      attack_sockets},
    {"socket options that load code",                 attack_socket_options},
    {"a terminal by TIOCSTI and TIOCLINUX",           attack_terminal},
    {"the caller's terminal",                         attack_callers_terminal},
    {"a weaker personality",                          attack_personality},
#ifdef __x86_64__
    {"calls by int 0x80",                             attack_int_80},
    {"calls by x32 numbers",                          attack_x32},
#endif
    {"huge pages",                                    attack_huge_pages},
    {"the filter itself",                             attack_filter},
    {"another user or group",                         attack_ids},
    {"another id by the id maps",                     attack_id_maps},
    {"a capability that was left",                    attack_capability_sets},
    {"a capability by capset",                        attack_capset},
    {"a capability by the ambient set",               attack_ambient},
    {"securebits",                                    attack_securebits},
    {"a host by the network",                         attack_connect},
    {"a network link",                                attack_links},
    {"sockets of others",                             attack_sockets_of_others},
    {"IPC objects of others",                         attack_ipc_of_others},
    {"the host's name",                               attack_host_name},
    {"the cgroup",                                    attack_cgroup},
    {"descriptors left open",                         attack_descriptors},
    {"what the caller's process hands on",            attack_inherited},
    {"higher resource limits",                        attack_rlimits},
    {"a higher priority",                             attack_priority},
    {"locked memory",                                 attack_locked_memory},
    {"more processes than the limit",                 attack_process_limit},
    {"more scratch than the limit",                   attack_scratch_limit},
    {"more terminals than the limit",                 attack_terminal_limit},
    {"more timers than the limit",                    attack_timer_limit},
};

/* Only for a program that execve started: bivy itself keeps its own environment. */
static const struct probe command_probes[] = {
    {"the caller's environment", attack_environment},
};
/* clang-format on */

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static int attack_call(const struct call *call)
{
    return refused(
        call->name,
        syscall(call->number, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4], call->args[5]),
        call->error);
}

/* Runs one attack in a process of its own: it may change, kill or hang itself. */
static int run(const struct call *call, const struct probe *probe)
{
    struct pollfd end = {.events = POLLIN};
    pid_t pid;
    int status = 0;

    memset(finding, 0, sizeof *finding);
    pid = fork();
    if (pid < 0)
        return got("no process to attack with: %s", strerror(errno));
    if (pid == 0) {
        finding->verdict = call ? attack_call(call) : probe->attack();
        finding->finished = 1;
        _exit(0);
    }
    end.fd = (int)syscall(CALL_PIDFD_OPEN, pid, 0);
    if (end.fd < 0 || poll(&end, 1, PATIENCE) != 1) {
        kill(-1, SIGKILL); /* with whatever it has started; neither pid 1 nor this process: kill(2) */
        finding->finished = 0;
    }
    waitpid(pid, &status, 0);
    close(end.fd);
    if (finding->finished)
        return finding->verdict;
    return WIFSIGNALED(status)
               ? got("the attack died of signal %d, or took longer than %d s", WTERMSIG(status), PATIENCE / 1000)
               : got("the attack did not end as it should");
}

/* One write a line, so that lines of two writers do not mix. What an attacker may have named is kept to harmless bytes.
 */
static void tell(int number, int verdict, const char *name)
{
    char line[512];
    int length;

    for (char *at = finding->text; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~' || *at == '#')
            *at = '?';
    length = snprintf(line, sizeof line, "%s %d - %s%s%s\n", verdict == GOT ? "not ok" : "ok", number, name,
                      verdict == GOT       ? " # "
                      : verdict == SKIPPED ? " # SKIP "
                                           : "",
                      verdict == REFUSED ? "" : finding->text);
    for (int at = 0; at < length;) {
        ssize_t part = write(1, line + at, (size_t)(length - at));
        if (part < 0 && errno != EINTR)
            _exit(1);
        at += part > 0 ? (int)part : 0;
    }
}

static int attack_all(size_t commands)
{
    size_t total = COUNT(calls) + COUNT(probes) + commands;
    int number = 0, failures = 0;

    finding = mmap(NULL, sizeof *finding, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (finding == MAP_FAILED || dprintf(1, "1..%zu\n", total) < 0)
        return 1;
    for (size_t i = 0; i < total; i++) {
        const struct call *call = i < COUNT(calls) ? &calls[i] : NULL;
        size_t at = i - COUNT(calls);
        const struct probe *probe = call                 ? NULL
                                    : at < COUNT(probes) ? &probes[at]
                                                         : &command_probes[at - COUNT(probes)];
        int verdict = run(call, probe);

        failures += verdict == GOT;
        tell(++number, verdict, call ? call->name : probe->name);
    }
    munmap(finding, sizeof *finding);
    return failures ? 1 : 0;
}

int selftest_inside(void)
{
    return attack_all(0);
}

int selftest_command(void)
{
    return attack_all(COUNT(command_probes));
}
