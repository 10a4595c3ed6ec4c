/* Attacks on files: the rootfs, /proc and /dev, file handles, pages. */
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int attack_create(void)
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

int attack_proc_files(void)
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

int attack_every_file(void)
{
    static const char *const trees[] = {"/", "/sys", "/dev", "/proc/sys"};

    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
        if (nftw(trees[i], try_one, 32, FTW_PHYS | FTW_MOUNT) == 1)
            return got("%.200s can be written", writable_found);
    return REFUSED;
}

/* Time stamps and the like of things that cannot be written: an inode shared with the host or with other sandboxes is a
 * channel. */
int attack_metadata(void)
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

int attack_device_nodes(void)
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

int attack_devices(void)
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

int attack_rename(void)
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

int attack_handles(void)
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

int attack_set_id_files(void)
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
int attack_page_cache(void)
{
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC), ends[2];
    long long offset = 0;
    char byte = 'X';
    int verdict;

    if (file < 0 || pipe2(ends, O_CLOEXEC) < 0)
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
