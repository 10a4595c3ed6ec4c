#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mountinfo.h"
#include "network.h"
#include "seccomp.h"
#include "seccomp_filter.h"
#include "sys.h"

/* Static, not on the stack and not allocated: the gate runs between fork and exec. Untouched pages cost nothing. */
static char text[128 * 1024];
static int self = -1; /* /proc/self, so that it is not looked up a dozen times */

static int refuse(struct fault *fault, int error, const char *what)
{
    return fault_set(fault, STAGE_GATE, error, "this is a fault of bivy or of the kernel: please report it; the command did not run",
                     "read-back: %s", what);
}

/* Relative to /proc/self. */
static int read_proc(const char *path, struct fault *fault)
{
    ssize_t got = sys_read_file(self, path, text, sizeof text);

    if (got > 0)
        return 0;
    return fault_set(fault, STAGE_GATE, got < 0 ? (int)-got : ENODATA, NULL, "read-back: /proc/self/%s cannot be read", path);
}

/* The value behind "Name:\t" in /proc/self/status, or NULL. */
static const char *status_field(const char *name)
{
    size_t length = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (!strncmp(line, name, length) && line[length] == ':')
            return line + length + 1 + (line[length + 1] == '\t');
    }
    return NULL;
}

static bool status_number(const char *name, int base, uint64_t *out)
{
    const char *value = status_field(name);
    char *end;

    if (!value)
        return false;
    *out = strtoull(value, &end, base);
    return end != value;
}

/* All four of real, effective, saved and file system id. */
static bool status_ids(const char *name)
{
    const char *value = status_field(name);
    char *end;

    for (int i = 0; i < 4; i++) {
        if (!value || strtoul(value, &end, 10) != POLICY_UID || end == value)
            return false;
        value = end;
    }
    return true;
}

static unsigned status_groups(void)
{
    const char *value = status_field("Groups");
    unsigned count = 0;

    while (value && *value && *value != '\n') {
        char *end;
        strtoul(value, &end, 10);
        if (end == value)
            break;
        count++;
        value = end + strspn(end, " ");
    }
    return count;
}

static int check_status(const struct plan *plan, struct readback *readback, struct fault *fault)
{
    static const char *const sets[5] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    uint64_t value, pending;
    int result = read_proc("status", fault);

    if (result < 0)
        return result;
    if (!status_ids("Uid") || !status_ids("Gid"))
        return refuse(fault, EPERM, "the ids are not those of the sandbox's user");
    readback->uid = readback->gid = POLICY_UID;
    if (!status_field("Groups"))
        return refuse(fault, ENODATA, "the groups cannot be told");
    readback->groups = status_groups();
    if (readback->groups != 0 && plan->privileged)
        return refuse(fault, EPERM, "there are supplementary groups");
    for (int i = 0; i < 5; i++) {
        if (!status_number(sets[i], 16, &readback->caps[i]))
            return refuse(fault, ENODATA, "the capability sets cannot be told");
        if (readback->caps[i] != 0)
            return refuse(fault, EPERM, "a capability set is not empty");
    }
    if (!status_number("NoNewPrivs", 10, &value) || value != 1)
        return refuse(fault, EPERM, "no_new_privs is not set");
    readback->no_new_privs = 1;
    if (!status_number("Seccomp", 10, &value) || value != 2)
        return refuse(fault, EPERM, "no seccomp filter is in force");
    readback->seccomp = 2;
    if (status_number("Seccomp_filters", 10, &value))
        readback->seccomp_filters = (uint32_t)value;
    if (!status_number("SigBlk", 16, &value) || value != 0 || !status_number("SigIgn", 16, &pending) || pending != 0)
        return refuse(fault, EPERM, "signals are blocked or ignored");
    return 0;
}

static int check_id_map(const char *path, unsigned host, struct fault *fault)
{
    unsigned inside, outside, count;
    int used = 0;
    int result = read_proc(path, fault);

    if (result < 0)
        return result;
    if (sscanf(text, "%u %u %u%n", &inside, &outside, &count, &used) != 3 || strcmp(text + used, "\n") || inside != POLICY_UID ||
        outside != host || count != 1 || outside == 0)
        return refuse(fault, EPERM, "the id map is not the one id that was planned");
    return 0;
}

static int check_id_maps(const struct plan *plan, struct fault *fault)
{
    int result;

    if ((result = check_id_map("uid_map", plan->host_uid, fault)) < 0 ||
        (result = check_id_map("gid_map", plan->host_gid, fault)) < 0 ||
        (result = read_proc("setgroups", fault)) < 0)
        return result;
    return strcmp(text, "deny\n") ? refuse(fault, EPERM, "groups could be changed") : 0;
}

static int check_namespaces(const struct plan *plan, struct readback *readback, struct fault *fault)
{
    SYS_CLOSES int dir = SYS_AGAIN(openat(self, "ns", O_PATH | O_DIRECTORY | O_CLOEXEC));

    for (size_t i = 0; i < POLICY_NAMESPACES; i++) {
        uint64_t inode = dir < 0 ? 0 : sys_namespace(dir, policy_namespaces[i].name);
        if (inode == 0)
            return refuse(fault, ENODATA, "a namespace cannot be told");
        readback->namespaces[i] = inode;
        if (plan->joins && inode != plan->joins[i])
            return fault_set(fault, STAGE_GATE, EPERM, NULL, "read-back: the %s namespace is not the sandbox's", policy_namespaces[i].name);
        if (inode == plan->own_namespaces[i])
            return fault_set(fault, STAGE_GATE, EPERM, NULL, "read-back: the %s namespace is still the supervisor's",
                             policy_namespaces[i].name);
    }
    /* Who joins has a parent outside, of whom nothing is seen inside. */
    if (getpid() == 1 || getppid() != (plan->joins ? 0 : 1))
        return refuse(fault, EPERM, plan->joins ? "the command's parent is in the sandbox" : "the command's parent is not pid 1 of a pid namespace");
    if (getsid(0) != getpid())
        return refuse(fault, EPERM, "the command has no session of its own");
    int result = read_proc("../sys/user/max_user_namespaces", fault);
    if (result < 0)
        return result;
    if (strcmp(text, "0\n"))
        return refuse(fault, EPERM, "further user namespaces could be made");
    /* Fork copies it from pid 1, so this answers for both; execve gives the command its own back. */
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return refuse(fault, EPERM, "pid 1 is dumpable and could be looked into");
    if (SYS_AGAIN(faccessat(AT_FDCWD, "/proc/1", F_OK, 0)) == 0 || errno != ENOENT)
        return refuse(fault, EPERM, "pid 1 shows in /proc");
    return 0;
}

static bool options_hold(const struct mount_row *row, const char *options)
{
    return (!(row->attr & MOUNT_ATTR_RDONLY) || mountinfo_has(options, "ro")) &&
           (!(row->attr & MOUNT_ATTR_NOSUID) || mountinfo_has(options, "nosuid")) &&
           (!(row->attr & MOUNT_ATTR_NODEV) || mountinfo_has(options, "nodev")) &&
           (!(row->attr & MOUNT_ATTR_NOEXEC) || mountinfo_has(options, "noexec"));
}

static bool fstype_fits(const struct plan_mount *mount, const char *fstype)
{
    switch (mount->row->kind) {
    case MOUNT_PROC:
        return !strcmp(fstype, "proc");
    case MOUNT_DEVPTS:
        return !strcmp(fstype, "devpts");
    case MOUNT_SCRATCH:
    case MOUNT_MASK_FILE:
    case MOUNT_MASK_DIR:
        return !strcmp(fstype, "tmpfs");
    case MOUNT_WORKSPACE:
        return !mount->from_scratch || !strcmp(fstype, "tmpfs");
    case MOUNT_ROOT:
    case MOUNT_DEVICE:
        return true; /* told by device and inode below, or by major and minor */
    }
    return false;
}

static bool superblock_fits(const struct mount_row *row, const char *options)
{
    char most[24];

    if (row->kind == MOUNT_PROC)
        return mountinfo_has(options, "hidepid=ptraceable");
    if (row->kind != MOUNT_DEVPTS)
        return true;
    snprintf(most, sizeof most, "max=%d", POLICY_PTYS);
    return mountinfo_has(options, most) && mountinfo_has(options, "mode=620") && mountinfo_has(options, "ptmxmode=666");
}

/* Sizes are read from the file system itself: mountinfo rounds them. */
static bool scratch_fits(const struct plan *plan)
{
    struct statfs scratch;
    struct stat tmp;

    return SYS_AGAIN(statfs("/tmp", &scratch)) == 0 && SYS_AGAIN(stat("/tmp", &tmp)) == 0 &&
           (tmp.st_mode & 07777) == 01777 &&
           (uint64_t)scratch.f_blocks <= (plan->scratch + (uint64_t)scratch.f_bsize - 1) / (uint64_t)scratch.f_bsize &&
           scratch.f_blocks > 0 && scratch.f_files > 0 && (uint64_t)scratch.f_files <= plan->scratch_inodes;
}

static int mount_fault(struct fault *fault, const char *target, const char *what)
{
    return fault_set(fault, STAGE_GATE, EPERM, "this is a fault of bivy or of the kernel: please report it; the command did not run",
                     "read-back: mount %.300s %s", target, what);
}

static bool same_place(const char *path, const struct place *place)
{
    struct sys_inode now;

    return sys_inode(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &now) == 0 && now.inode == place->inode && now.device == place->device;
}

#define MOST_MOUNTS 128

static int check_mounts(const struct plan *plan, struct readback *readback, struct fault *fault)
{
    bool seen[MOST_MOUNTS] = {false};
    struct mountinfo line;
    char *cursor = text;
    size_t next = 0;
    int more, result = read_proc("mountinfo", fault);

    if (result < 0)
        return result;
    if (plan->mount_count > MOST_MOUNTS)
        return refuse(fault, E2BIG, "the plan has more mounts than the gate can hold");
    while ((more = mountinfo_next(&cursor, &line)) > 0) {
        size_t i = next, tries = 0; /* the kernel lists them as they were made, mostly */
        while (tries < plan->mount_count && strcmp(plan->mounts[i].row->target, line.target)) {
            i = (i + 1) % plan->mount_count;
            tries++;
        }
        if (tries == plan->mount_count)
            return mount_fault(fault, line.target, "was not planned");
        next = (i + 1) % plan->mount_count;
        if (seen[i])
            return mount_fault(fault, line.target, "is there twice");
        if (line.propagates)
            return mount_fault(fault, line.target, "is not private");
        if (!options_hold(plan->mounts[i].row, line.options))
            return mount_fault(fault, line.target, "lacks an option that was planned");
        if (!fstype_fits(&plan->mounts[i], line.fstype))
            return mount_fault(fault, line.target, "is of another file system type than was planned");
        if (!superblock_fits(plan->mounts[i].row, line.super))
            return mount_fault(fault, line.target, "lacks an option of its file system that was planned");
        if (plan->mounts[i].row->kind == MOUNT_ROOT) {
            readback->root_major = line.major;
            readback->root_minor = line.minor;
        }
        if (plan->mounts[i].row->kind == MOUNT_WORKSPACE)
            snprintf(readback->workspace_fs, sizeof readback->workspace_fs, "%s", line.fstype);
        seen[i] = true;
        readback->mounts++;
    }
    if (more < 0)
        return refuse(fault, EINVAL, "mountinfo is not understood");
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct mount_row *row = plan->mounts[i].row;
        bool mask = row->kind == MOUNT_MASK_FILE || row->kind == MOUNT_MASK_DIR;
        if (!seen[i] && !(mask && SYS_AGAIN(faccessat(AT_FDCWD, row->target, F_OK, AT_SYMLINK_NOFOLLOW)) < 0 &&
                          errno == ENOENT))
            return mount_fault(fault, row->target, "is missing");
    }
    if (!scratch_fits(plan))
        return mount_fault(fault, "/tmp", "is larger than was planned, or has another mode");
    if (plan->rootfs && !same_place("/", plan->rootfs))
        return mount_fault(fault, "/", "is not the rootfs that was checked");
    if (plan->workspace && !same_place(POLICY_WORKSPACE, plan->workspace))
        return mount_fault(fault, POLICY_WORKSPACE, "is not the directory that was checked");
    return 0;
}

static int check_cgroup(struct readback *readback, struct fault *fault)
{
    size_t length = 0;
    const char *path;
    int result = read_proc("cgroup", fault);

    if (result < 0)
        return result;
    /* That it is the leaf was read back before the cgroup namespace was made; now it must be the namespace's root. */
    path = hierarchy_path(text, NULL, &length);
    if (!path || length != 1 || *path != '/')
        return refuse(fault, EXDEV, "the leaf is not the root of the cgroup namespace");
    snprintf(readback->cgroup, sizeof readback->cgroup, "%.*s", (int)length, path);
    return 0;
}

/* A terminal of the sandbox's own devpts (which the mount list has shown to be that), the only one unless the sandbox was there before,
 * and the command's session on it. */
static bool is_terminal(const struct plan *plan, int fd, const struct stat *file)
{
    struct stat pts, node;
    char path[24];
    int session = -1;

    snprintf(path, sizeof path, "/dev/pts/%u", minor(file->st_rdev));
    return S_ISCHR(file->st_mode) && major(file->st_rdev) == 136 && SYS_AGAIN(stat("/dev/pts", &pts)) == 0 &&
           SYS_AGAIN(lstat(path, &node)) == 0 && file->st_dev == pts.st_dev && file->st_dev == node.st_dev &&
           file->st_ino == node.st_ino && ioctl(fd, TIOCGSID, &session) == 0 && session == getpid() &&
           (plan->joins || (minor(file->st_rdev) == 0 && SYS_AGAIN(faccessat(AT_FDCWD, "/dev/pts/1", F_OK, 0)) < 0 && errno == ENOENT));
}

/* bivy's own pipes by inode, each with the end that a command should have of it, or the sandbox's own terminal; never something of the
 * caller's. */
static bool descriptor_fits(const struct plan *plan, const struct streams *streams, int fd, int up)
{
    struct stat file;
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || SYS_AGAIN(fstat(fd, &file)) < 0)
        return false;
    if (fd == up)
        return S_ISFIFO(file.st_mode) && (flags & O_ACCMODE) == O_WRONLY && fcntl(fd, F_GETFD) == FD_CLOEXEC;
    if (plan->tty)
        return fd <= 2 && (flags & (O_ACCMODE | O_NONBLOCK)) == O_RDWR && fcntl(fd, F_GETFD) == 0 && is_terminal(plan, fd, &file);
    if (fd > 2 || (flags & O_ACCMODE) != (fd == 0 ? O_RDONLY : O_WRONLY) || fcntl(fd, F_GETFD) != 0)
        return false;
    if (streams->inode[fd] == 0)
        return fd == 0 && S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3);
    return S_ISFIFO(file.st_mode) && file.st_ino == streams->inode[fd];
}

static int check_descriptors(const struct plan *plan, const struct streams *streams, int up, struct readback *readback, struct fault *fault)
{
    SYS_CLOSES int dir = SYS_AGAIN(openat(self, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = dir};
    const char *name;
    int got;

    if (dir < 0)
        return refuse(fault, errno, "the open descriptors cannot be listed");
    while ((got = sys_next_name(&names, &name)) > 0) {
        int fd = atoi(name);
        if (fd == dir || fd == self)
            continue;
        if (!descriptor_fits(plan, streams, fd, up))
            return fault_set(fault, STAGE_GATE, EBADF, NULL,
                             "read-back: descriptor %d is open and should not be, or is not what it should be", fd);
        readback->descriptors += fd != up;
    }
    if (got < 0 || readback->descriptors != 3)
        return refuse(fault, EBADF, "descriptors 0, 1 and 2 are not all there");
    return 0;
}

static int check_network(const struct plan *plan, struct readback *readback, struct fault *fault)
{
    struct network_links links;
    int result = network_dump(&links);

    if (result < 0)
        return refuse(fault, -result, "the network links cannot be listed");
    if (!links.only_lo)
        return fault_set(fault, STAGE_GATE, EPERM,
                         "sysctl net.core.fb_tunnels_only_for_init_net=1, where tunnel modules add links to every namespace",
                         "read-back: there is another network link than lo");
    if (links.up != (plan->network == NETWORK_LOOPBACK))
        return refuse(fault, EPERM, "lo is up and should be down, or the other way round");
    readback->links = links.count;
    readback->loopback_up = links.up;
    return 0;
}

static int check_surroundings(const struct plan *plan, struct readback *readback, struct fault *fault)
{
    struct utsname name;
    cpu_set_t processors;

    for (size_t i = 0; i < policy_rlimit_count; i++) {
        struct sys_limit now = {0};
        uint64_t soft, hard;
        plan_rlimit(plan, &policy_rlimits[i], &soft, &hard);
        /* Unlimited is what the caller's own hard limit allows (child.c): never more than was planned. */
        if (sys_limit_get(policy_rlimits[i].resource, &now) < 0 || (hard != UINT64_MAX && now.hard != hard) ||
            (soft != UINT64_MAX && now.soft != (soft < now.hard ? soft : now.hard)))
            return fault_set(fault, STAGE_GATE, EPERM, NULL, "read-back: resource limit %s is not as planned", policy_rlimits[i].name);
    }
    /* A cpuset of the cgroups above may leave fewer. */
    if (sched_getaffinity(0, sizeof processors, &processors) < 0)
        return refuse(fault, errno, "the processors cannot be told");
    for (size_t cpu = 0; plan->affinity && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &processors) && !CPU_ISSET(cpu, &plan->processors))
            return refuse(fault, EPERM, "there is a processor that was not the caller's");
    if (plan->affinity && (unsigned)CPU_COUNT(&processors) > plan->processor_count)
        return refuse(fault, EPERM, "there are more processors than were planned");
    if (sys_scheduled_normally() < 0 || sys_personality(0xffffffff) != 0 || prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) != POLICY_TIMER_SLACK)
        return refuse(fault, EPERM, "scheduling class, priority or personality are the caller's");
    if (umask(POLICY_UMASK) != POLICY_UMASK)
        return refuse(fault, EPERM, "the umask is not as planned");
    readback->processors = (uint32_t)CPU_COUNT(&processors);
    if (uname(&name) < 0 || strcmp(name.nodename, POLICY_HOST_NAME))
        return refuse(fault, EPERM, "the host name is not the sandbox's");
    if (syscall(SYS_getcwd, text, sizeof text) <= 0 || strcmp(text, POLICY_WORKSPACE))
        return refuse(fault, EPERM, "the working directory is not " POLICY_WORKSPACE);
    return 0;
}

int gate_check(const struct plan *plan, const struct streams *streams, int up, struct readback *readback, struct fault *fault)
{
    SYS_CLOSES int proc = SYS_AGAIN(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int result;

    memset(readback, 0, sizeof *readback);
    self = proc;
    if (self < 0)
        return refuse(fault, errno, "/proc/self cannot be opened");
    if ((result = check_status(plan, readback, fault)) < 0 ||
        (result = check_id_maps(plan, fault)) < 0 ||
        (result = check_namespaces(plan, readback, fault)) < 0 || (result = check_mounts(plan, readback, fault)) < 0 ||
        (result = check_cgroup(readback, fault)) < 0 || (result = check_network(plan, readback, fault)) < 0 ||
        (result = check_surroundings(plan, readback, fault)) < 0 ||
        (result = check_descriptors(plan, streams, up, readback, fault)) < 0)
        return result;
    /* Last: whatever came before ran under the filter as well. */
    return seccomp_probe() < 0 ? refuse(fault, EPERM, "the seccomp filter does not answer as its policy says") : 0;
}
