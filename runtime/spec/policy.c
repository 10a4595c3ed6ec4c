#include "policy.h"

#include "sys.h" /* MOUNT_ATTR_*, CLONE_NEW* */

#include <sys/resource.h>

/* clang-format off */

#define RO   MOUNT_ATTR_RDONLY
#define SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define DATA (SAFE | MOUNT_ATTR_NOEXEC)
/* The only mounts without nodev: each is one checked character device. Read-only stops no write to the device, only to its inode,
 * which is the host's (times). */
#define NODE (RO | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)

/* In the order in which they are made: a row's target may lie in an earlier row's mount. */
const struct mount_row policy_mounts[] = {
    {.kind = MOUNT_ROOT, .target = "/", .attr = RO | SAFE,
     .why = "the Alpine rootfs, shared by every sandbox, so never writable"},
    {.kind = MOUNT_PROC, .target = "/proc", .attr = RO | DATA,
     .why = "own pid namespace only; hidepid=ptraceable hides pid 1, which is not dumpable"},
    {.kind = MOUNT_SCRATCH, .target = "/dev", .source = "dev", .attr = RO | DATA, .mode = 0755,
     .why = "nothing but the rows below and five links"},
    {.kind = MOUNT_DEVICE, .target = "/dev/null",    .source = "/dev/null",    .attr = NODE, .device = 0x103, .why = "programs need it"},
    {.kind = MOUNT_DEVICE, .target = "/dev/zero",    .source = "/dev/zero",    .attr = NODE, .device = 0x105, .why = "programs need it"},
    {.kind = MOUNT_DEVICE, .target = "/dev/full",    .source = "/dev/full",    .attr = NODE, .device = 0x107, .why = "tests of programs need it"},
    {.kind = MOUNT_DEVICE, .target = "/dev/random",  .source = "/dev/random",  .attr = NODE, .device = 0x108, .why = "programs need it"},
    {.kind = MOUNT_DEVICE, .target = "/dev/urandom", .source = "/dev/urandom", .attr = NODE, .device = 0x109, .why = "programs need it"},
    {.kind = MOUNT_DEVICE, .target = "/dev/tty",     .source = "/dev/tty",     .attr = NODE, .device = 0x500,
     .why = "the controlling terminal, of which the command has none: ENXIO, as programs expect"},
    {.kind = MOUNT_DEVPTS, .target = "/dev/pts", .attr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
     .why = "own instance: no terminal of the host can be named"},
    {.kind = MOUNT_SCRATCH, .target = "/dev/shm",      .source = "shm",    .attr = DATA, .mode = 01777, .why = "POSIX shared memory"},
    {.kind = MOUNT_SCRATCH, .target = "/tmp",          .source = "tmp",    .attr = SAFE, .mode = 01777, .why = "scratch; programs are built and run here"},
    {.kind = MOUNT_SCRATCH, .target = "/var/tmp",      .source = "vartmp", .attr = SAFE, .mode = 01777, .why = "scratch"},
    {.kind = MOUNT_SCRATCH, .target = "/run",          .source = "run",    .attr = DATA, .mode = 0755,  .why = "pid files and sockets"},
    {.kind = MOUNT_SCRATCH, .target = "/home/sandbox", .source = "home",   .attr = SAFE, .mode = 0700,  .why = "HOME"},
    {.kind = MOUNT_SCRATCH, .target = "/sys", .source = "sys", .attr = RO | DATA, .mode = 0755,
     .why = "no sysfs; a few plain files tell language runtimes their limits"},
    {.kind = MOUNT_WORKSPACE, .target = POLICY_WORKSPACE, .source = "workspace", .attr = SAFE, .mode = 0700,
     .why = "all that persists"},
    /* What is readable by everybody in a fresh procfs and tells about the host. Files that only root may read need no mask:
     * their owner is not mapped. */
    {.kind = MOUNT_MASK_FILE, .target = "/proc/cmdline",       .attr = POLICY_MASK_ATTR, .why = "the host's boot options"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/config.gz",     .attr = POLICY_MASK_ATTR, .why = "the host's kernel configuration"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/consoles",      .attr = POLICY_MASK_ATTR, .why = "the host's consoles"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/diskstats",     .attr = POLICY_MASK_ATTR, .why = "the host's disks and what they do"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/interrupts",    .attr = POLICY_MASK_ATTR, .why = "keystroke timing, devices"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/kallsyms",      .attr = POLICY_MASK_ATTR, .why = "kernel symbols"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/kcore",         .attr = POLICY_MASK_ATTR, .why = "kernel memory; masked although only root may read it"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/key-users",     .attr = POLICY_MASK_ATTR, .why = "other users' keys"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/keys",          .attr = POLICY_MASK_ATTR, .why = "keys"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/latency_stats", .attr = POLICY_MASK_ATTR, .why = "what other processes wait for"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/locks",         .attr = POLICY_MASK_ATTR, .why = "locks and inodes of the host's files"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/mdstat",        .attr = POLICY_MASK_ATTR, .why = "the host's disks"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/modules",       .attr = POLICY_MASK_ATTR, .why = "what an attacker would look up exploits for"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/partitions",    .attr = POLICY_MASK_ATTR, .why = "the host's disks"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/sched_debug",   .attr = POLICY_MASK_ATTR, .why = "every process of the host by name"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/schedstat",     .attr = POLICY_MASK_ATTR, .why = "timing of other sandboxes"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/softirqs",      .attr = POLICY_MASK_ATTR, .why = "timing of other sandboxes"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/swaps",         .attr = POLICY_MASK_ATTR, .why = "paths of the host"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/sysrq-trigger", .attr = POLICY_MASK_ATTR, .why = "would crash the host; masked although read-only"},
    {.kind = MOUNT_MASK_FILE, .target = "/proc/timer_list",    .attr = POLICY_MASK_ATTR, .why = "every process of the host by name"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/acpi",          .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/asound",        .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/bus",           .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/driver",        .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/fs",            .attr = POLICY_MASK_ATTR, .why = "the host's file systems"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/irq",           .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/pressure",      .attr = POLICY_MASK_ATTR, .why = "load of the host, so timing of other sandboxes"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/scsi",          .attr = POLICY_MASK_ATTR, .why = "hardware"},
    {.kind = MOUNT_MASK_DIR,  .target = "/proc/tty",           .attr = POLICY_MASK_ATTR, .why = "hardware"},
};
const size_t policy_mount_count = sizeof policy_mounts / sizeof policy_mounts[0];

/* Made in the scratch tmpfs after the directories of the rows above. */
const struct scratch_entry policy_scratch[] = {
    {.path = "root", .directory = true, .mode = 0755},    /* where the new root is attached until the pivot */
    {.path = "view-ro", .directory = true, .mode = 0755},   /* scratch and /dev once more, with other flags (rootfs.c) */
    {.path = "view-noexec", .directory = true, .mode = 0755},
    {.path = "view-node", .directory = true, .mode = 0755},
    {.path = "nodir", .directory = true, .mode = 0555},   /* MOUNT_MASK_DIR */
    {.path = "nofile", .mode = 0444},                     /* MOUNT_MASK_FILE */
    {.path = "dev/pts", .directory = true, .mode = 0755},
    {.path = "dev/shm", .directory = true, .mode = 0755},
    {.path = "dev/null", .mode = 0666},                   /* what the nodes are bound on */
    {.path = "dev/zero", .mode = 0666},
    {.path = "dev/full", .mode = 0666},
    {.path = "dev/random", .mode = 0666},
    {.path = "dev/urandom", .mode = 0666},
    {.path = "dev/tty", .mode = 0666},
    {.path = "dev/ptmx", .link = "pts/ptmx"},
    {.path = "dev/fd", .link = "/proc/self/fd"},
    {.path = "dev/stdin", .link = "/proc/self/fd/0"},
    {.path = "dev/stdout", .link = "/proc/self/fd/1"},
    {.path = "dev/stderr", .link = "/proc/self/fd/2"},
    {.path = "sys/fs", .directory = true, .mode = 0755},
    {.path = "sys/fs/cgroup", .directory = true, .mode = 0755},
    {.path = "sys/fs/cgroup/memory", .directory = true, .mode = 0755},
};
const size_t policy_scratch_count = sizeof policy_scratch / sizeof policy_scratch[0];

#define ALL UINT64_MAX
/* Set whatever the caller had, so that the sandbox is the same under a shell, a service and cron. */
const struct rlimit_row policy_rlimits[] = {
    {RLIMIT_CORE, 1, 1, "core", "no core dumps; 1, not 0: only 1 also stops a piped core_pattern (core(5))"},
    {RLIMIT_NOFILE, 1024, 1024, "nofile", "--open-files"},
    {RLIMIT_STACK, 8u << 20, ALL, "stack", "the usual stack"},
    {RLIMIT_AS, ALL, ALL, "as", "memory is limited by the cgroup"},
    {RLIMIT_DATA, ALL, ALL, "data", "memory is limited by the cgroup"},
    {RLIMIT_RSS, ALL, ALL, "rss", "has no effect; the same everywhere all the same"},
    {RLIMIT_CPU, ALL, ALL, "cpu", "time is limited by --timeout"},
    {RLIMIT_FSIZE, ALL, ALL, "fsize", "--file-size"},
    {RLIMIT_LOCKS, ALL, ALL, "locks", "has no effect"},
    {RLIMIT_NPROC, ALL, ALL, "nproc", "processes are limited by the cgroup; this one counts the user's on the whole host"},
    {RLIMIT_MEMLOCK, 64u << 10, 64u << 10, "memlock", "locked memory cannot be reclaimed"},
    {RLIMIT_MSGQUEUE, 800u << 10, 800u << 10, "msgqueue", "charged per user of the host: keep it small"},
    {RLIMIT_SIGPENDING, 1024, 1024, "sigpending", "queued signals and timers are kernel memory"},
    {RLIMIT_NICE, 0, 0, "nice", "no raising of priority"},
    {RLIMIT_RTPRIO, 0, 0, "rtprio", "no real-time priority"},
    {RLIMIT_RTTIME, ALL, ALL, "rttime", "has no effect without one"},
};
const size_t policy_rlimit_count = sizeof policy_rlimits / sizeof policy_rlimits[0];

const struct env_row policy_env[] = {
    {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "as Alpine's login shell has it"},
    {"HOME", POLICY_HOME, "scratch"},
    {"USER", "sandbox", "as in the rootfs's passwd"},
    {"LANG", "C.UTF-8", "musl and glibc both have it without locale files"},
    {"TMPDIR", "/tmp", "scratch"},
};
const size_t policy_env_count = sizeof policy_env / sizeof policy_env[0];

/* The order of the record and of struct facts. */
const struct namespace_row policy_namespaces[POLICY_NAMESPACES] = {
    {"user", CLONE_NEWUSER, "capabilities count only inside; one id mapped"},
    {"mnt", CLONE_NEWNS, "own mounts"},
    {"pid", CLONE_NEWPID, "own processes; all die with pid 1"},
    {"net", CLONE_NEWNET, "no interface but lo; own abstract sockets"},
    {"ipc", CLONE_NEWIPC, "own SysV and POSIX message queues"},
    {"uts", CLONE_NEWUTS, "own host name"},
    {"cgroup", CLONE_NEWCGROUP, "the leaf shows as /; made by unshare once the child is in the leaf"},
};
/* clang-format on */
