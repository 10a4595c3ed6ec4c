#include "facts.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "sys.h"
#include "workspace.h"

#if defined __x86_64__
#define OWN_MACHINE EM_X86_64
#define OWN_NAME "x86_64"
#define GLIBC_LOADER "lib64/ld-linux-x86-64.so.2"
#elif defined __aarch64__
#define OWN_MACHINE EM_AARCH64
#define OWN_NAME "aarch64"
#define GLIBC_LOADER "lib/ld-linux-aarch64.so.1"
#else
#error "bivy has a policy table for x86_64 and aarch64 only"
#endif

static int place_open(const char *what, const char *path, uint64_t flags, enum stage stage, struct place *place,
                      struct fault *fault)
{
    struct sys_inode now;
    int result;

    place->fd = sys_openat2(AT_FDCWD, path, flags | O_DIRECTORY | O_CLOEXEC, PLACE_NO_LINKS);
    if (place->fd < 0) {
        int error = -place->fd;
        place->fd = -1;
        return fault_set(fault, stage, error, place_mend(error), "%s %.300s: %s", what, path, place_complaint(error));
    }
    if ((result = place_name(place)) < 0)
        return fault_set(fault, stage, -result, "mount /proc, and name a directory that is not deleted",
                         "%s %.300s: its path cannot be told", what, path);
    if ((result = sys_inode(place->fd, "", AT_EMPTY_PATH, &now)) < 0)
        return fault_set(fault, stage, -result, NULL, "%s %.300s: cannot be examined", what, path);
    place_inode(place, &now);
    return 0;
}

/* The mount points must be there, real directories, before anything is started: a symlink would be followed by nobody, but the
 * error from inside the sandbox would say less. */
static int rootfs_shape(const struct place *rootfs, struct fault *fault)
{
    static const char *const mend = "make it with rootfs/build";

    for (size_t i = 0; i < policy_mount_count; i++) {
        const struct mount_row *row = &policy_mounts[i];
        const char *target = row->target + 1;
        if (!*target || !strncmp(target, "dev/", 4) || !strncmp(target, "proc/", 5))
            continue; /* these lie in mounts of our own */
        SYS_CLOSES int fd = sys_openat2(rootfs->fd, target, O_PATH | O_DIRECTORY | O_CLOEXEC, PLACE_NO_LINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV);
        char unmount[sizeof fault->hint];
        snprintf(unmount, sizeof unmount, "umount %.300s%.32s", rootfs->path, row->target);
        if (fd < 0)
            return fault_set(fault, STAGE_ROOTFS, -fd, fd == -EXDEV ? unmount : mend, "rootfs %.300s: %s %s", rootfs->path, row->target,
                             fd == -ENOENT    ? "is missing"
                             : fd == -ELOOP   ? "is a symbolic link, not a directory"
                             : fd == -ENOTDIR ? "is not a directory"
                             : fd == -EXDEV   ? "has something mounted over it"
                                              : "cannot be a mount point");
    }
    return 0;
}

/* A rootfs for another processor would fail at exec only, and there by an errno that says little. */
static int rootfs_machine(const struct place *rootfs, struct fault *fault)
{
    Elf64_Ehdr header;
    SYS_CLOSES int fd = sys_openat2(rootfs->fd, "bin/sh", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

    if (fd < 0)
        return 0; /* a rootfs without a shell is its owner's choice; a command not found says so */
    if (SYS_AGAIN(read(fd, &header, sizeof header)) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG))
        return 0;
    if (header.e_machine != OWN_MACHINE || header.e_ident[EI_CLASS] != ELFCLASS64)
        return fault_set(fault, STAGE_ROOTFS, ENOEXEC, "make one for this machine with rootfs/build",
                         "rootfs %.300s: is for another architecture (ELF machine %u, this one is %u)", rootfs->path,
                         header.e_machine, OWN_MACHINE);
    return 0;
}

static bool rootfs_glibc(const struct place *rootfs)
{
    SYS_CLOSES int fd = sys_openat2(rootfs->fd, GLIBC_LOADER, O_PATH | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

    return fd >= 0;
}

/* rootfs/build replaces a tree by exchanging directories and deletes the old one once nobody holds a lock on it. So: lock, and
 * make sure that what was locked still has a name. */
static int rootfs_open(const char *path, struct place *rootfs, struct fault *fault)
{
    struct stat now;
    int result;

    for (int tries = 0; tries < 200; tries++) {
        if ((result = place_open("rootfs", path, O_RDONLY, STAGE_ROOTFS, rootfs, fault)) < 0)
            return result;
        if (SYS_AGAIN(flock(rootfs->fd, LOCK_SH | LOCK_NB)) == 0 && SYS_AGAIN(fstat(rootfs->fd, &now)) == 0 &&
            now.st_nlink > 0) {
            SYS_CLOSES int second = SYS_AGAIN(open(rootfs->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (second >= 0 && SYS_AGAIN(flock(second, LOCK_EX | LOCK_NB)) < 0)
                return 0;
        }
        sys_close(&rootfs->fd);
    }
    return fault_set(fault, STAGE_ROOTFS, EBUSY, "wait for rootfs/build to finish", "rootfs %.300s: is being replaced", path);
}

static int rootfs_find(const struct spec *spec, const struct facts *facts, struct place *rootfs, struct fault *fault)
{
    static const char system_wide[] = "/var/lib/bivy/rootfs";
    const char *given = spec->rootfs ? spec->rootfs : getenv("BIVY_ROOTFS");
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char path[PATH_MAX] = "";
    int result;

    if (given && *given)
        return rootfs_open(given, rootfs, fault);
    if (facts->euid != 0) {
        if (data && *data)
            snprintf(path, sizeof path, "%s/bivy/rootfs", data);
        else if (home && *home)
            snprintf(path, sizeof path, "%s/.local/share/bivy/rootfs", home);
        if (path[0] && access(path, F_OK) == 0)
            return rootfs_open(path, rootfs, fault);
    }
    result = rootfs_open(system_wide, rootfs, fault);
    if (result == -ENOENT)
        fault_set(fault, STAGE_ROOTFS, ENOENT, "make it with rootfs/build, or name one with --rootfs DIR",
                  "there is no rootfs at %s%s%s", path, path[0] ? " or " : "", system_wide);
    return result;
}

static int own_namespaces(struct facts *facts, struct fault *fault)
{
    SYS_CLOSES int dir = SYS_AGAIN(open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));

    for (size_t i = 0; i < POLICY_NAMESPACES; i++) {
        facts->namespaces[i] = dir < 0 ? 0 : sys_namespace(dir, policy_namespaces[i].name);
        if (facts->namespaces[i] == 0)
            return fault_set(fault, STAGE_PLAN, errno, "a kernel with all namespaces, and /proc, are needed",
                             "/proc/self/ns/%s: cannot be examined", policy_namespaces[i].name);
    }
    return 0;
}

static bool without_swap(void)
{
    char text[256];
    ssize_t got = sys_read_file(AT_FDCWD, "/proc/swaps", text, sizeof text);
    char *line = got > 0 ? strchr(text, '\n') : NULL;
    struct sysinfo info = {.totalswap = 1}; /* a call that says it was done and was not must not read as "none" */

    /* A heading and nothing else; or no such file, which a procfs of processes only does not have either. */
    return (got == -ENOENT || (line && !line[1])) && sysinfo(&info) == 0 && info.totalswap == 0;
}

bool facts_privileged(void)
{
    static const cap_value_t needed[] = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID};
    cap_t own = cap_get_proc();
    bool all = geteuid() == 0 && own;

    for (size_t i = 0; all && i < sizeof needed / sizeof needed[0]; i++) {
        cap_flag_value_t value = CAP_CLEAR;
        all = cap_get_flag(own, needed[i], CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
    }
    if (own)
        cap_free(own);
    return all;
}

void facts_start(struct facts *facts)
{
    facts->rootfs.fd = facts->workspace.fd = facts->stop = -1;
}

static char mountinfo_room[64 * 1024]; /* of which only what a host's mounts need is ever touched */

int facts_mounts(struct facts *facts, struct fault *fault)
{
    if (facts->mountinfo)
        return 0;
    facts->mountinfo = sys_read_all("/proc/self/mountinfo", mountinfo_room, sizeof mountinfo_room);
    return facts->mountinfo ? 0 : fault_set(fault, STAGE_PLAN, errno, "mount /proc", "/proc/self/mountinfo: cannot be read");
}

static int read_hierarchies(struct facts *facts, struct fault *fault)
{
    static char cgroup[16 * 1024];
    ssize_t got;
    int result = facts_mounts(facts, fault);

    if (result < 0)
        return result;
    got = sys_read_file(AT_FDCWD, "/proc/self/cgroup", cgroup, sizeof cgroup);
    return got < 0 ? fault_set(fault, STAGE_CGROUP, (int)-got, "mount /proc", "/proc/self/cgroup: cannot be read")
                   : hierarchy_read(facts->mountinfo, cgroup, &facts->cgroups, fault);
}

int facts_host(struct facts *facts, struct fault *fault)
{
    facts->euid = geteuid();
    facts->egid = getegid();
    facts->pid = getpid();
    facts->privileged = facts_privileged();
    facts->terminal = isatty(1) == 1;
    facts->no_swap = without_swap();
    if (sched_getaffinity(0, sizeof facts->processors, &facts->processors) < 0)
        return fault_set(fault, STAGE_PLAN, errno, NULL, "sched_getaffinity");
    int result = own_namespaces(facts, fault);
    return result < 0 ? result : read_hierarchies(facts, fault);
}

/* After a run with such a workspace its page cache is given back (cgroup_reclaim), and with it what that run was the first to read of
 * the rootfs, which the next one would read from the disk again. So the most common of it is read here, outside any leaf. */
static void rootfs_warm(const struct place *rootfs)
{
    static const char *const files[] = {"bin/sh", "lib/ld-musl-" OWN_NAME ".so.1"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        SYS_CLOSES int fd = sys_openat2(rootfs->fd, files[i], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                                        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        if (fd >= 0)
            posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    }
}

static void begin(const struct facts *facts, enum stage stage)
{
    if (facts->timing)
        timing_begin(facts->timing, (int)stage);
}

int facts_rootfs(const struct spec *spec, struct facts *facts, struct fault *fault)
{
    int result;

    facts->euid = geteuid(); /* rootfs_find asks */
    if ((result = rootfs_find(spec, facts, &facts->rootfs, fault)) < 0 || (result = rootfs_shape(&facts->rootfs, fault)) < 0)
        return result;
    return rootfs_machine(&facts->rootfs, fault);
}

int facts_workspace(const struct spec *spec, struct facts *facts, struct fault *fault)
{
    struct workspace_asker asker = {.euid = geteuid(), .egid = getegid(), .privileged = facts_privileged(),
                                    .touch = spec->verb == VERB_RUN || spec->verb == VERB_SHELL, .stop = facts->stop};
    int result = facts_mounts(facts, fault);

    return result < 0 ? result : workspace_open(spec, facts->mountinfo, &asker, &facts->workspace, &facts->left, fault);
}

int facts_gather(const struct spec *spec, struct facts *facts, struct fault *fault)
{
    int result;

    begin(facts, STAGE_ROOTFS);
    if ((result = facts_rootfs(spec, facts, fault)) < 0)
        return result;
    facts->glibc = rootfs_glibc(&facts->rootfs);
    if (spec_binds(spec)) {
        begin(facts, STAGE_WORKSPACE);
        if ((result = facts_workspace(spec, facts, fault)) < 0)
            return result;
        if (facts->workspace.may_block && (spec->verb == VERB_RUN || spec->verb == VERB_SHELL))
            rootfs_warm(&facts->rootfs);
    }
    begin(facts, STAGE_PLAN);
    return facts_host(facts, fault);
}

void facts_release(struct facts *facts)
{
    sys_close(&facts->rootfs.fd);
    sys_close(&facts->workspace.fd);
    sys_text_free(facts->mountinfo, mountinfo_room);
    facts->mountinfo = NULL;
}
