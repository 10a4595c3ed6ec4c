/* floor ROOTFS COMMAND [ARG...]: the least code that gives the isolation of `bivy run` with its default limits, so that
 * bench/run can say in every measurement how far bivy is from what this kernel asks for such a sandbox.
 *
 * The same: seven namespaces, one id mapped each way, a leaf with the limits in every hierarchy, every row of
 * runtime/spec/policy.c (mounts, scratch, resource limits, environment), keyring, scheduling, one processor, empty
 * capability sets, locked securebits, no_new_privs, bivy's own filter, pid 1 that reaps. Left out: options, checks, the
 * read-back gate, the pipes, the record, deadlines, the sweep, the workspace (it is scratch), messages beyond
 * perror(3).
 *
 * Exit status: the command's, 128+n when a signal ended it, 125 when any step failed; then the command has not run.
 * Root only. SIGINT, SIGTERM and SIGHUP end the sandbox and remove the leaf.
 *
 * Three processes, as bivy has them: the supervisor (main), pid 1 (inside) and the command. How each step is done is
 * the cheapest of several that were measured; docs/PERFORMANCE.md has the numbers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/mount.h> /* never <sys/mount.h>: glibc's declares the same things again */
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy.h"
#include "seccomp_filter.h"

#define RO MOUNT_ATTR_RDONLY
#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define DATA (SAFE | MOUNT_ATTR_NOEXEC)
#define NODE (RO | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
#define PRIVATE (1ul << 18) /* MS_PRIVATE; <linux/mount.h> has it beside enums that clash in some versions */

#define MEMORY_BYTES "268435456"
#define SCRATCH_OPTIONS "size=134217728,nr_inodes=32768,mode=0755"
#define PTS_OPTIONS "mode=0620,ptmxmode=0666,max=16"
_Static_assert(POLICY_PTYS == 16, "PTS_OPTIONS has the number as text");
_Static_assert(POLICY_UID == 1000, "MAP_INSIDE has the number as text");
#define MAP_INSIDE "1000 "

enum controller { MEMORY, CPU, PIDS, CONTROLLERS };

static const struct limit {
    enum controller controller;
    const char *v1, *v1_text, *v2, *v2_text; /* NULL: this side has no such file */
} limits[] = {
    /* clang-format off */
    {MEMORY, "memory.limit_in_bytes",       MEMORY_BYTES, "memory.max",       MEMORY_BYTES},
    {MEMORY, "memory.memsw.limit_in_bytes", MEMORY_BYTES, "memory.swap.max",  "0"}, /* v1: memory and swap together */
    {MEMORY, NULL,                          NULL,         "memory.oom.group", "1"},
    {CPU,    "cpu.cfs_quota_us",            "50000",      "cpu.max",          "50000 100000"}, /* v1: period as born */
    {PIDS,   "pids.max",                    "50",         "pids.max",         "50"},
    /* clang-format on */
};

static const struct {
    const char *path, *text;
} limit_files[] = {
    {"sys/fs/cgroup/memory.max", MEMORY_BYTES "\n"},
    {"sys/fs/cgroup/cpu.max", "50000 100000\n"},
    {"sys/fs/cgroup/pids.max", "50\n"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define LEAF_TEXT 64

static char v2_leaf[LEAF_TEXT], v1_leaf[CONTROLLERS][LEAF_TEXT]; /* "" where there is none */
static const char *v2_top = "/sys/fs/cgroup/unified";
static int v1_tasks[CONTROLLERS] = {-1, -1, -1};
static pid_t supervisor;
static volatile sig_atomic_t sandbox; /* pid 1, once there is one */

static int remove_leaves(void)
{
    int failed = 0;

    for (int c = 0; c < CONTROLLERS; c++)
        if (*v1_leaf[c] && rmdir(v1_leaf[c]) < 0)
            failed = -1;
    return *v2_leaf && rmdir(v2_leaf) < 0 ? -1 : failed;
}

static _Noreturn void fail(const char *what)
{
    perror(what);
    if (getpid() == supervisor) {
        if (sandbox) {
            kill((pid_t)sandbox, SIGKILL);
            waitpid((pid_t)sandbox, NULL, 0);
        }
        remove_leaves();
    }
    _exit(125);
}

static long need(const char *what, long result)
{
    if (result < 0)
        fail(what);
    return result;
}

/* Decimal digits of value, in a static buffer. */
static const char *number(unsigned long value)
{
    static char digits[24];
    char *at = digits + sizeof digits - 1;

    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return at;
}

static bool put(int dir, const char *path, const char *text)
{
    size_t length = strlen(text);
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    bool done;

    if (fd < 0)
        return false;
    done = write(fd, text, length) == (ssize_t)length;
    close(fd);
    return done;
}

static void need_put(int dir, const char *path, const char *text)
{
    if (!put(dir, path, text))
        fail(path);
}

/* Makes TOP/CONTROLLER/bivy/floor-PID; false where there is no such hierarchy. The directory above is made by whoever
 * comes first and stays, as bivy's does. */
static bool make_leaf(char leaf[LEAF_TEXT], const char *top, const char *controller, const char *pid)
{
    char *end = stpcpy(stpcpy(stpcpy(leaf, top), controller), "/bivy");

    strcpy(stpcpy(end, "/floor-"), pid);
    if (mkdir(leaf, 0700) == 0)
        return true;
    if (errno == ENOENT) {
        *end = '\0';
        if (mkdir(leaf, 0700) == 0 || errno == EEXIST) {
            *end = '/';
            if (mkdir(leaf, 0700) == 0)
                return true;
        } else if (errno == ENOENT) {
            *leaf = '\0';
            return false;
        }
    }
    perror(leaf);
    *leaf = '\0'; /* not ours to remove */
    fail("no cgroup leaf");
}

/* A v2 file that is missing: the controller was never handed down to bivy's directory. */
static void delegate_all(void)
{
    static const char all[] = "+memory +cpu +pids";
    char path[LEAF_TEXT];

    strcpy(stpcpy(path, v2_top), "/cgroup.subtree_control");
    need_put(AT_FDCWD, path, all);
    strcpy(stpcpy(path, v2_top), "/bivy/cgroup.subtree_control");
    need_put(AT_FDCWD, path, all);
}

/* The v2 leaf's descriptor. */
static int make_leaves(void)
{
    char pid[24];
    int v2, v1[CONTROLLERS];

    strcpy(pid, number((unsigned long)supervisor));
    if (!make_leaf(v2_leaf, v2_top, "", pid) && !make_leaf(v2_leaf, v2_top = "/sys/fs/cgroup", "", pid))
        fail("no cgroup2 mount");
    v2 = (int)need(v2_leaf, open(v2_leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int c = 0; c < CONTROLLERS; c++) {
        static const char *const names[] = {"/memory", "/cpu", "/pids"};
        v1[c] = -1;
        if (!make_leaf(v1_leaf[c], "/sys/fs/cgroup", names[c], pid))
            continue;
        v1[c] = (int)need(v1_leaf[c], open(v1_leaf[c], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        v1_tasks[c] = (int)need("tasks", openat(v1[c], "tasks", O_WRONLY | O_CLOEXEC));
    }
    for (size_t i = 0; i < COUNT(limits); i++) {
        bool v1_side = v1[limits[i].controller] >= 0;
        const char *file = v1_side ? limits[i].v1 : limits[i].v2;
        if (!file)
            continue;
        if (put(v1_side ? v1[limits[i].controller] : v2, file, v1_side ? limits[i].v1_text : limits[i].v2_text))
            continue;
        if (v1_side || errno != ENOENT)
            fail(file);
        delegate_all();
        need_put(v2, file, limits[i].v2_text);
    }
    for (int c = 0; c < CONTROLLERS; c++)
        if (v1[c] >= 0)
            close(v1[c]);
    return v2;
}

static void set_attr(int fd, const char *path, uint64_t attr)
{
    struct mount_attr all = {.attr_set = attr, .propagation = PRIVATE};

    need(path, syscall(SYS_mount_setattr, fd, path, AT_EMPTY_PATH, &all, sizeof all));
}

/* A detached copy of the one mount at path, with attr. */
static int clone_mount(const char *path, uint64_t attr)
{
    int fd = (int)need(path, syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));

    set_attr(fd, "", attr);
    return fd;
}

static void attach(int mount, const char *target)
{
    need(target, syscall(SYS_move_mount, mount, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
    close(mount);
}

static void fill_scratch(void)
{
    for (size_t i = 0; i < policy_mount_count; i++)
        if (policy_mounts[i].kind == MOUNT_SCRATCH || policy_mounts[i].kind == MOUNT_WORKSPACE)
            need(policy_mounts[i].source, mkdir(policy_mounts[i].source, policy_mounts[i].mode));
    for (size_t i = 0; i < policy_scratch_count; i++) {
        const struct scratch_entry *entry = &policy_scratch[i];
        /* mknod(2) makes a file in one call where open(2) needs two */
        need(entry->path, entry->link        ? symlink(entry->link, entry->path)
                          : entry->directory ? mkdir(entry->path, entry->mode)
                                             : mknod(entry->path, S_IFREG | entry->mode, 0));
    }
    for (size_t i = 0; i < COUNT(limit_files); i++) {
        const char *path = limit_files[i].path, *text = limit_files[i].text;
        int fd = (int)need(path, open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
        if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
            fail(path);
        close(fd);
    }
}

/* mount(2) makes a bind in one call, with the flags of the mount it is taken from; mount_setattr(2) would be another.
 * So scratch and /dev are each attached once more, beside the new root, with the flags that most rows want, and rows
 * are bound from there. */
static void bind_row(const struct mount_row *row, const char *target)
{
    char source[64] = "readonly/";
    uint64_t have = SAFE;
    const char *from = source;

    if (row->kind == MOUNT_DEVICE) {
        strcpy(stpcpy(source, "devices"), row->source + strlen("/dev"));
        have = NODE;
    } else if (row->attr == (RO | DATA)) {
        strcat(source, row->kind == MOUNT_MASK_FILE  ? "nofile"
                       : row->kind == MOUNT_MASK_DIR ? "nodir"
                                                     : row->source);
        have = RO | DATA;
    } else {
        from = row->source;
    }
    if (syscall(SYS_mount, from, target, NULL, 4096ul /* MS_BIND */, NULL) < 0) {
        if (errno == ENOENT && (row->kind == MOUNT_MASK_FILE || row->kind == MOUNT_MASK_DIR))
            return; /* this kernel has no such file */
        fail(target);
    }
    if (have != row->attr)
        set_attr(AT_FDCWD, target, row->attr);
}

/* Everything is made below the scratch tmpfs, which covers the host's cgroup2 mount until the old root is detached. */
static void make_mounts(int rootfs, int devices)
{
    static const unsigned long safe = 2 | 4, noexec = 8; /* MS_NOSUID | MS_NODEV, MS_NOEXEC */
    char target[64] = "root";

    need("scratch", syscall(SYS_mount, "none", v2_top, "tmpfs", safe, SCRATCH_OPTIONS));
    need(v2_top, chdir(v2_top));
    fill_scratch();
    need("readonly", mkdir("readonly", 0755));
    need("devices", mkdir("devices", 0755));
    attach(rootfs, "root");
    attach(clone_mount(".", RO | DATA), "readonly");
    attach(devices, "devices");
    /* Through the host's procfs, which shows the writer its own user namespace's; the sandbox's will be read-only. */
    need_put(AT_FDCWD, "/proc/sys/user/max_user_namespaces", "0");
    for (size_t i = 0; i < policy_mount_count; i++) {
        const struct mount_row *row = &policy_mounts[i];
        strcpy(target + strlen("root"), row->target);
        switch (row->kind) {
        case MOUNT_ROOT:
            break;
        case MOUNT_PROC:
            need(target, syscall(SYS_mount, "none", target, "proc", safe | noexec, "hidepid=ptraceable"));
            set_attr(AT_FDCWD, target, row->attr);
            break;
        case MOUNT_DEVPTS:
            need(target, syscall(SYS_mount, "none", target, "devpts", 2 | noexec, PTS_OPTIONS));
            break;
        case MOUNT_SCRATCH:
        case MOUNT_DEVICE:
        case MOUNT_MASK_FILE:
        case MOUNT_MASK_DIR:
        case MOUNT_WORKSPACE:
            bind_row(row, target);
            break;
        }
    }
    need("root", chdir("root"));
    need("pivot_root", syscall(SYS_pivot_root, ".", "."));
    need("umount2", syscall(SYS_umount2, ".", 2 /* MNT_DETACH */));
    need("/", chdir("/"));
}

static void shed_inherited(void)
{
    static const unsigned long action[8]; /* the kernel's struct sigaction, SIG_DFL */
    static const uint64_t none;
    static const int no_priority[1];
    char score[16];
    int fd;

    for (int signal = 1; signal <= 64; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            need("rt_sigaction", syscall(SYS_rt_sigaction, signal, action, NULL, sizeof none));
    need("rt_sigprocmask", syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none));
    umask(0);
    need("sched_setscheduler", syscall(SYS_sched_setscheduler, 0, 0 /* SCHED_OTHER */, no_priority));
    if (need("getpriority", syscall(SYS_getpriority, PRIO_PROCESS, 0)) > 20) /* 20 - nice */
        need("setpriority", syscall(SYS_setpriority, PRIO_PROCESS, 0, 0));
    need("ioprio_set", syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)));
    need("personality", syscall(SYS_personality, 0));
    need("timer slack", prctl(PR_SET_TIMERSLACK, POLICY_TIMER_SLACK, 0, 0, 0));
    fd = (int)need("oom_score_adj", open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC));
    if (read(fd, score, sizeof score) < 1)
        fail("oom_score_adj");
    close(fd);
    if (*score == '-')
        need_put(AT_FDCWD, "/proc/self/oom_score_adj", "0");
}

static void set_rlimits(void)
{
    for (size_t i = 0; i < policy_rlimit_count; i++) {
        const struct rlimit_row *row = &policy_rlimits[i];
        uint64_t limit[2] = {row->soft, row->hard}, now[2];
        if (syscall(SYS_prlimit64, 0, row->resource, limit, NULL) == 0)
            continue;
        /* as bivy: no capability on the host, so a hard limit that is there stays */
        need(row->name, syscall(SYS_prlimit64, 0, row->resource, NULL, now));
        if (row->hard != UINT64_MAX)
            fail(row->name);
        if (limit[0] > now[1])
            limit[0] = now[1];
        limit[1] = now[1];
        need(row->name, syscall(SYS_prlimit64, 0, row->resource, limit, NULL));
    }
}

/* The one it runs on: to be sent to another costs 100 us. */
static void set_affinity(void)
{
    unsigned long mask[16] = {0};
    unsigned cpu, bits = 8 * sizeof mask[0];

    need("getcpu", syscall(SYS_getcpu, &cpu, NULL, NULL));
    if (cpu >= bits * COUNT(mask))
        fail("more processors than floor has room for");
    mask[cpu / bits] = 1ul << cpu % bits;
    need("sched_setaffinity", syscall(SYS_sched_setaffinity, 0, sizeof mask, mask));
}

static void drop_privileges(void)
{
    static const unsigned long locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                        SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                        SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    struct sock_fprog filter = {.len = seccomp_filter_len, .filter = (struct sock_filter *)(uintptr_t)seccomp_filter};

    for (unsigned long cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL && cap > CAP_SYSLOG)
                break; /* behind the kernel's last one */
            fail("bounding set");
        }
    need("securebits", prctl(PR_SET_SECUREBITS, locked, 0, 0, 0));
    need("ambient set", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    need("capset", syscall(SYS_capset, &head, none));
    need("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    need("dumpable", prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    need("death signal", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    need("seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

static char *environment[16];

static void make_environment(void)
{
    static char text[512];
    char *at = text;

    for (size_t i = 0; i < policy_env_count; i++) {
        size_t need = strlen(policy_env[i].name) + strlen(policy_env[i].value) + 2;
        if (i + 1 >= COUNT(environment) || need > (size_t)(text + sizeof text - at))
            fail("more environment than floor has room for");
        environment[i] = at;
        at = stpcpy(stpcpy(stpcpy(at, policy_env[i].name), "="), policy_env[i].value) + 1;
    }
}

/* Runs in pid 1's memory (vfork), so it changes nothing that pid 1 reads afterwards. */
static _Noreturn void command(char **argv)
{
    static const char *const path[] = {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/",
                                       "/usr/bin/",        "/sbin/",          "/bin/"};
    char file[512];
    int null = (int)need("/dev/null", open("/dev/null", O_RDONLY | O_NOCTTY | O_CLOEXEC));

    need("stdin", dup2(null, 0));
    need("close_range", syscall(SYS_close_range, 3, ~0u, 0));
    need("setsid", setsid());
    umask(POLICY_UMASK);
    need(POLICY_WORKSPACE, chdir(POLICY_WORKSPACE));
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, environment);
    } else if (strlen(argv[0]) < sizeof file - 32) {
        for (size_t i = 0; i < COUNT(path); i++) {
            strcpy(stpcpy(file, path[i]), argv[0]);
            execve(file, argv, environment);
        }
    }
    fail(argv[0]);
}

/* What the supervisor hands to pid 1. */
struct given {
    int go;              /* the pipe on which it says that the id maps are written; it ends with the supervisor */
    int rootfs, devices; /* detached mounts */
};

/* Pid 1 up to the last step that the command has no part in: all but what is given up. */
static void prepare(const struct given *given)
{
    char byte;

    shed_inherited();
    for (int c = 0; c < CONTROLLERS; c++)
        if (v1_tasks[c] >= 0)
            need("tasks", write(v1_tasks[c], "0", 1) == 1 ? 0 : -1);
    need("cgroup namespace", syscall(SYS_unshare, CLONE_NEWCGROUP));
    need("keyring", syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    if (read(given->go, &byte, 1) != 1)
        _exit(125);
    need("setresgid", syscall(SYS_setresgid, POLICY_UID, POLICY_UID, POLICY_UID));
    need("setresuid", syscall(SYS_setresuid, POLICY_UID, POLICY_UID, POLICY_UID));
    make_mounts(given->rootfs, given->devices);
    need("host name", sethostname(POLICY_HOST_NAME, strlen(POLICY_HOST_NAME)));
    set_rlimits();
    set_affinity();
}

static pid_t start(char **argv)
{
    pid_t pid = vfork();

    if (pid == 0)
        command(argv);
    return (pid_t)need("vfork", pid);
}

/* Pid 1 from there on; the exit status of the command. keep: a descriptor that pid 1 needs afterwards, or -1. */
static int run(char **argv, const struct given *given, int keep)
{
    struct pollfd parent = {.fd = given->go};
    int status;
    pid_t pid, ended;

    drop_privileges();
    if (poll(&parent, 1, 0) != 0) /* it died before its death signal was asked for */
        _exit(125);
    make_environment();
    pid = start(argv);
    if (keep >= 0)
        keep = (int)need("dup2", dup2(keep, 0));
    need("close_range", syscall(SYS_close_range, keep + 1, ~0u, 0));
    do
        ended = waitpid(-1, &status, 0);
    while (ended != pid && (ended > 0 || errno == EINTR));
    if (ended != pid)
        _exit(125);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* user_namespaces(7): setgroups is denied before gid_map is written. */
static void write_maps(pid_t pid)
{
    char path[48] = "/proc/", map[48] = MAP_INSIDE;
    char *end = stpcpy(path + strlen(path), number((unsigned long)pid));

    strcat(strcat(map, number(POLICY_FREE_ID_BASE + (unsigned long)supervisor)), " 1");
    strcpy(end, "/setgroups");
    need_put(AT_FDCWD, path, "deny");
    strcpy(end, "/gid_map");
    need_put(AT_FDCWD, path, map);
    strcpy(end, "/uid_map");
    need_put(AT_FDCWD, path, map);
}

static void stop(int signal)
{
    (void)signal;
    if (sandbox)
        kill((pid_t)sandbox, SIGKILL);
}

/* Clones pid 1 into its leaf and all namespaces but those in shared, where it runs story(argument). */
static void launch(const char *rootfs, uint64_t shared, void (*story)(const struct given *, void *), void *argument)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = stop};
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
    struct given given;
    int go[2];
    pid_t pid;

    supervisor = getpid();
    signal(SIGCHLD, SIG_DFL); /* ignored, nothing could be waited for */
    signal(SIGPIPE, SIG_IGN); /* pid 1 may have failed before it is told to go on */
    args.cgroup = (uint64_t)(unsigned)make_leaves();
    given.rootfs = clone_mount(rootfs, RO | SAFE);
    given.devices = clone_mount("/dev", NODE); /* here: inside, what is mounted below may not be uncovered (EINVAL) */
    need("setgroups", syscall(SYS_setgroups, 0, NULL));
    need("pipe2", pipe2(go, O_CLOEXEC));
    given.go = go[0];
    for (size_t i = 0; i < POLICY_NAMESPACES; i++)
        if (policy_namespaces[i].flag != CLONE_NEWCGROUP) /* made once pid 1 is in its leaf everywhere */
            args.flags |= policy_namespaces[i].flag & ~shared;
    pid = (pid_t)need("clone3", syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
        close(go[1]);
        story(&given, argument);
        _exit(125);
    }
    sandbox = pid;
    for (size_t i = 0; i < COUNT(stops); i++)
        sigaction(stops[i], &action, NULL);
    close(go[0]);
    write_maps(pid);
    need("pipe", write(go[1], "G", 1));
}

/* Waits for pid 1 and removes the leaves; the exit status. */
static int finish(void)
{
    int status;
    pid_t ended;

    do
        ended = waitpid((pid_t)sandbox, &status, 0);
    while (ended < 0 && errno == EINTR);
    need("waitpid", ended);
    sandbox = 0;
    need("rmdir", remove_leaves());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#ifndef FLOOR_PARTS /* bench/pool.c takes the steps and has a main of its own */
static void inside(const struct given *given, void *argv)
{
    prepare(given);
    _exit(run(argv, given, -1));
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: floor ROOTFS COMMAND [ARG...]\n";

    if (argc < 3)
        return write(2, usage, sizeof usage - 1) < 0 ? 1 : 125;
    launch(argv[1], 0, inside, argv + 2);
    return finish();
}
#endif
