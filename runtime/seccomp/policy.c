/*
 * The table. A row is: name, number on x86_64, number on aarch64 (-1: none there), conditions, answer, reason. Rows of
 * one syscall stand together, first match answers. The generator refuses to build from a table that disagrees with
 * libseccomp's numbers, and the tests one that leaves a syscall libseccomp knows unmentioned.
 */
#include "policy.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>

#define ALLOW SECCOMP_POLICY_ALLOW
#define ALWAYS {{0, 0, 0}}
#define ARG(argument, mask, value) {argument, mask, value}

#define WORD 0xffffffffU

/* Values of the target kernels, spelt out because the build machine need not be one and its headers may be older. */
#define UNIX 1U
#define INET 2U
#define INET6 10U
#define NETLINK 16U
#define TYPE 0xfU /* SOCK_TYPE_MASK; the kernel refuses unknown flags above it */
#define STREAM 1U
#define DGRAM 2U
#define RAW 3U
#define FORMAT 0xf000U /* S_IFMT */
#define HUGE_MAP 0x40000U /* MAP_HUGETLB */
#define HUGE_MEMFD 0x4U   /* MFD_HUGETLB */
#define HUGE_SHM 04000U   /* SHM_HUGETLB */

/*
 * CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. Not CLONE_NEWTIME (0x80): in clone() that bit
 * belongs to the exit signal and the kernel drops it from the flags.
 */
#define NAMESPACE_BITS 0x7e020000U

/* Reasons that many rows share. */
#define FILES "works on files; which ones is decided by the mounts"
#define EVENTS "waits, on descriptors the caller has"
#define HUGE "the host's pool of huge pages is not charged to memory.max"
#define MEMORY "the caller's own memory"
#define PROCESSES "own PID namespace, counted by pids.max"
#define IDENTITY "nothing to gain without capabilities"
#define SIGNALS "own PID namespace"
#define TIME "reads clocks, sets the caller's timers"
#define LIMITS "bounded by capabilities, rlimits and the cgroup"
#define INFORMATION "tells no more than /proc"
#define IPC "own IPC namespace"
#define SOCKETS "own network namespace"
#define PID_1 "would reach pid 1, which has the same user and is bivy's own"
#define SELF "only takes away from the caller"

/* clang-format off */
const struct seccomp_rule seccomp_rules[] = {
    /* Files. */
    {"read",                      0,  63, ALWAYS, ALLOW, FILES},
    {"write",                     1,  64, ALWAYS, ALLOW, FILES},
    {"readv",                    19,  65, ALWAYS, ALLOW, FILES},
    {"writev",                   20,  66, ALWAYS, ALLOW, FILES},
    {"pread64",                  17,  67, ALWAYS, ALLOW, FILES},
    {"pwrite64",                 18,  68, ALWAYS, ALLOW, FILES},
    {"preadv",                  295,  69, ALWAYS, ALLOW, FILES},
    {"pwritev",                 296,  70, ALWAYS, ALLOW, FILES},
    {"preadv2",                 327, 286, ALWAYS, ALLOW, FILES},
    {"pwritev2",                328, 287, ALWAYS, ALLOW, FILES},
    {"lseek",                     8,  62, ALWAYS, ALLOW, FILES},
    {"open",                      2,  -1, ALWAYS, ALLOW, FILES},
    {"openat",                  257,  56, ALWAYS, ALLOW, FILES},
    {"openat2",                 437, 437, ALWAYS, ALLOW, FILES},
    {"creat",                    85,  -1, ALWAYS, ALLOW, FILES},
    {"close",                     3,  57, ALWAYS, ALLOW, FILES},
    {"close_range",             436, 436, ALWAYS, ALLOW, FILES},
    {"dup",                      32,  23, ALWAYS, ALLOW, FILES},
    {"dup2",                     33,  -1, ALWAYS, ALLOW, FILES},
    {"dup3",                    292,  24, ALWAYS, ALLOW, FILES},
    {"fcntl",                    72,  25, ALWAYS, ALLOW, FILES},
    {"flock",                    73,  32, ALWAYS, ALLOW, FILES},
    {"fsync",                    74,  82, ALWAYS, ALLOW, FILES},
    {"fdatasync",                75,  83, ALWAYS, ALLOW, FILES},
    {"syncfs",                  306, 267, ALWAYS, ALLOW, FILES},
    {"sync_file_range",         277,  84, ALWAYS, ALLOW, FILES},
    {"truncate",                 76,  45, ALWAYS, ALLOW, FILES},
    {"ftruncate",                77,  46, ALWAYS, ALLOW, FILES},
    {"fallocate",               285,  47, ALWAYS, ALLOW, FILES},
    {"fadvise64",               221, 223, ALWAYS, ALLOW, FILES},
    {"readahead",               187, 213, ALWAYS, ALLOW, FILES},
    {"copy_file_range",         326, 285, ALWAYS, ALLOW, FILES},
    {"stat",                      4,  -1, ALWAYS, ALLOW, FILES},
    {"lstat",                     6,  -1, ALWAYS, ALLOW, FILES},
    {"fstat",                     5,  80, ALWAYS, ALLOW, FILES},
    {"newfstatat",              262,  79, ALWAYS, ALLOW, FILES},
    {"statx",                   332, 291, ALWAYS, ALLOW, FILES},
    {"statfs",                  137,  43, ALWAYS, ALLOW, FILES},
    {"fstatfs",                 138,  44, ALWAYS, ALLOW, FILES},
    {"access",                   21,  -1, ALWAYS, ALLOW, FILES},
    {"faccessat",               269,  48, ALWAYS, ALLOW, FILES},
    {"faccessat2",              439, 439, ALWAYS, ALLOW, FILES},
    {"getdents",                 78,  -1, ALWAYS, ALLOW, FILES},
    {"getdents64",              217,  61, ALWAYS, ALLOW, FILES},
    {"getcwd",                   79,  17, ALWAYS, ALLOW, FILES},
    {"chdir",                    80,  49, ALWAYS, ALLOW, FILES},
    {"fchdir",                   81,  50, ALWAYS, ALLOW, FILES},
    {"mkdir",                    83,  -1, ALWAYS, ALLOW, FILES},
    {"mkdirat",                 258,  34, ALWAYS, ALLOW, FILES},
    {"rmdir",                    84,  -1, ALWAYS, ALLOW, FILES},
    {"unlink",                   87,  -1, ALWAYS, ALLOW, FILES},
    {"unlinkat",                263,  35, ALWAYS, ALLOW, FILES},
    {"link",                     86,  -1, ALWAYS, ALLOW, FILES},
    {"linkat",                  265,  37, ALWAYS, ALLOW, FILES},
    {"symlink",                  88,  -1, ALWAYS, ALLOW, FILES},
    {"symlinkat",               266,  36, ALWAYS, ALLOW, FILES},
    {"readlink",                 89,  -1, ALWAYS, ALLOW, FILES},
    {"readlinkat",              267,  78, ALWAYS, ALLOW, FILES},
    {"rename",                   82,  -1, ALWAYS, ALLOW, FILES},
    {"renameat",                264,  38, ALWAYS, ALLOW, FILES},
    {"umask",                    95, 166, ALWAYS, ALLOW, FILES},
    {"chmod",                    90,  -1, ALWAYS, ALLOW, FILES},
    {"fchmod",                   91,  52, ALWAYS, ALLOW, FILES},
    {"fchmodat",                268,  53, ALWAYS, ALLOW, FILES},
    {"fchmodat2",               452, 452, ALWAYS, ALLOW, FILES},
    {"chown",                    92,  -1, ALWAYS, ALLOW, FILES},
    {"fchown",                   93,  55, ALWAYS, ALLOW, FILES},
    {"lchown",                   94,  -1, ALWAYS, ALLOW, FILES},
    {"fchownat",                260,  54, ALWAYS, ALLOW, FILES},
    {"utime",                   132,  -1, ALWAYS, ALLOW, FILES},
    {"utimes",                  235,  -1, ALWAYS, ALLOW, FILES},
    {"futimesat",               261,  -1, ALWAYS, ALLOW, FILES},
    {"utimensat",               280,  88, ALWAYS, ALLOW, FILES},
    {"setxattr",                188,   5, ALWAYS, ALLOW, FILES},
    {"lsetxattr",               189,   6, ALWAYS, ALLOW, FILES},
    {"fsetxattr",               190,   7, ALWAYS, ALLOW, FILES},
    {"setxattrat",              463, 463, ALWAYS, ALLOW, FILES},
    {"getxattr",                191,   8, ALWAYS, ALLOW, FILES},
    {"lgetxattr",               192,   9, ALWAYS, ALLOW, FILES},
    {"fgetxattr",               193,  10, ALWAYS, ALLOW, FILES},
    {"getxattrat",              464, 464, ALWAYS, ALLOW, FILES},
    {"listxattr",               194,  11, ALWAYS, ALLOW, FILES},
    {"llistxattr",              195,  12, ALWAYS, ALLOW, FILES},
    {"flistxattr",              196,  13, ALWAYS, ALLOW, FILES},
    {"listxattrat",             465, 465, ALWAYS, ALLOW, FILES},
    {"removexattr",             197,  14, ALWAYS, ALLOW, FILES},
    {"lremovexattr",            198,  15, ALWAYS, ALLOW, FILES},
    {"fremovexattr",            199,  16, ALWAYS, ALLOW, FILES},
    {"removexattrat",           466, 466, ALWAYS, ALLOW, FILES},
    {"renameat2",               316, 276, {ARG(4, 2, 2)}, EINVAL,
     "RENAME_EXCHANGE: FUSE servers that do not know the flag do a plain rename and lose a file"},
    {"renameat2",               316, 276, {ARG(4, 4, 4)}, EINVAL, "RENAME_WHITEOUT makes a device node"},
    {"renameat2",               316, 276, ALWAYS, ALLOW, FILES},
    {"mknod",                   133,  -1, {ARG(1, FORMAT, 0x2000)}, EPERM,
     "S_IFCHR: no device nodes; also an overlay whiteout, which needs no capability"},
    {"mknod",                   133,  -1, {ARG(1, FORMAT, 0x6000)}, EPERM, "S_IFBLK: no device nodes"},
    {"mknod",                   133,  -1, ALWAYS, ALLOW, FILES},
    {"mknodat",                 259,  33, {ARG(2, FORMAT, 0x2000)}, EPERM,
     "S_IFCHR: no device nodes; also an overlay whiteout, which needs no capability"},
    {"mknodat",                 259,  33, {ARG(2, FORMAT, 0x6000)}, EPERM, "S_IFBLK: no device nodes"},
    {"mknodat",                 259,  33, ALWAYS, ALLOW, FILES},
    {"memfd_create",            319, 279, {ARG(1, HUGE_MEMFD, HUGE_MEMFD)}, EINVAL, "MFD_HUGETLB: " HUGE},
    {"memfd_create",            319, 279, ALWAYS, ALLOW, MEMORY},

    /* Waiting and events. */
    {"poll",                      7,  -1, ALWAYS, ALLOW, EVENTS},
    {"ppoll",                   271,  73, ALWAYS, ALLOW, EVENTS},
    {"select",                   23,  -1, ALWAYS, ALLOW, EVENTS},
    {"pselect6",                270,  72, ALWAYS, ALLOW, EVENTS},
    {"epoll_create",            213,  -1, ALWAYS, ALLOW, EVENTS},
    {"epoll_create1",           291,  20, ALWAYS, ALLOW, EVENTS},
    {"epoll_ctl",               233,  21, ALWAYS, ALLOW, EVENTS},
    {"epoll_wait",              232,  -1, ALWAYS, ALLOW, EVENTS},
    {"epoll_pwait",             281,  22, ALWAYS, ALLOW, EVENTS},
    {"epoll_pwait2",            441, 441, ALWAYS, ALLOW, EVENTS},
    {"eventfd",                 284,  -1, ALWAYS, ALLOW, EVENTS},
    {"eventfd2",                290,  19, ALWAYS, ALLOW, EVENTS},
    {"signalfd",                282,  -1, ALWAYS, ALLOW, EVENTS},
    {"signalfd4",               289,  74, ALWAYS, ALLOW, EVENTS},
    {"timerfd_create",          283,  85, ALWAYS, ALLOW, EVENTS},
    {"timerfd_settime",         286,  86, ALWAYS, ALLOW, EVENTS},
    {"timerfd_gettime",         287,  87, ALWAYS, ALLOW, EVENTS},
    {"inotify_init",            253,  -1, ALWAYS, ALLOW, EVENTS},
    {"inotify_init1",           294,  26, ALWAYS, ALLOW, EVENTS},
    {"inotify_add_watch",       254,  27, ALWAYS, ALLOW, EVENTS},
    {"inotify_rm_watch",        255,  28, ALWAYS, ALLOW, EVENTS},
    {"pipe",                     22,  -1, ALWAYS, ALLOW, EVENTS},
    {"pipe2",                   293,  59, ALWAYS, ALLOW, EVENTS},

    /* Memory. */
    {"mmap",                      9, 222, {ARG(3, HUGE_MAP, HUGE_MAP)}, ENOMEM, "MAP_HUGETLB: " HUGE},
    {"mmap",                      9, 222, ALWAYS, ALLOW, MEMORY},
    {"munmap",                   11, 215, ALWAYS, ALLOW, MEMORY},
    {"mremap",                   25, 216, ALWAYS, ALLOW, MEMORY},
    {"mprotect",                 10, 226, ALWAYS, ALLOW, MEMORY},
    {"brk",                      12, 214, ALWAYS, ALLOW, MEMORY},
    {"madvise",                  28, 233, ALWAYS, ALLOW, MEMORY},
    {"msync",                    26, 227, ALWAYS, ALLOW, MEMORY},
    {"mincore",                  27, 232, ALWAYS, ALLOW, MEMORY},
    {"mlock",                   149, 228, ALWAYS, ALLOW, MEMORY},
    {"mlock2",                  325, 284, ALWAYS, ALLOW, MEMORY},
    {"munlock",                 150, 229, ALWAYS, ALLOW, MEMORY},
    {"mlockall",                151, 230, ALWAYS, ALLOW, MEMORY},
    {"munlockall",              152, 231, ALWAYS, ALLOW, MEMORY},
    {"mseal",                   462, 462, ALWAYS, ALLOW, MEMORY},
    {"pkey_alloc",              330, 289, ALWAYS, ALLOW, MEMORY},
    {"pkey_free",               331, 290, ALWAYS, ALLOW, MEMORY},
    {"pkey_mprotect",           329, 288, ALWAYS, ALLOW, MEMORY},
    {"map_shadow_stack",        453, 453, ALWAYS, ALLOW, MEMORY},
    {"membarrier",              324, 283, ALWAYS, ALLOW, MEMORY},

    /* Processes and threads. */
    {"clone",                    56, 220, {ARG(0, NAMESPACE_BITS, 0)}, ALLOW, PROCESSES},
    {"clone",                    56, 220, ALWAYS, EPERM,
     "no further namespaces: a new user namespace would hand out capabilities over kernel code"},
    {"clone3",                  435, 435, ALWAYS, ENOSYS,
     "its flags are in memory, out of a filter's sight; C libraries fall back to clone"},
    {"unshare",                 272,  97, ALWAYS, EPERM, "no further namespaces, and none of other processes"},
    {"setns",                   308, 268, ALWAYS, EPERM, "no further namespaces, and none of other processes"},
    {"fork",                     57,  -1, ALWAYS, ALLOW, PROCESSES},
    {"vfork",                    58,  -1, ALWAYS, ALLOW, PROCESSES},
    {"execve",                   59, 221, ALWAYS, ALLOW, PROCESSES},
    {"execveat",                322, 281, ALWAYS, ALLOW, PROCESSES},
    {"exit",                     60,  93, ALWAYS, ALLOW, PROCESSES},
    {"exit_group",              231,  94, ALWAYS, ALLOW, PROCESSES},
    {"wait4",                    61, 260, ALWAYS, ALLOW, PROCESSES},
    {"waitid",                  247,  95, ALWAYS, ALLOW, PROCESSES},
    {"set_tid_address",         218,  96, ALWAYS, ALLOW, PROCESSES},
    {"set_robust_list",         273,  99, ALWAYS, ALLOW, PROCESSES},
    {"get_robust_list",         274, 100, ALWAYS, ALLOW, PROCESSES},
    {"futex",                   202,  98, ALWAYS, ALLOW, PROCESSES},
    {"futex_waitv",             449, 449, ALWAYS, ALLOW, PROCESSES},
    {"futex_wake",              454, 454, ALWAYS, ALLOW, PROCESSES},
    {"futex_wait",              455, 455, ALWAYS, ALLOW, PROCESSES},
    {"futex_requeue",           456, 456, ALWAYS, ALLOW, PROCESSES},
    {"rseq",                    334, 293, ALWAYS, ALLOW, PROCESSES},
    {"arch_prctl",              158,  -1, ALWAYS, ALLOW, PROCESSES},
    {"getpid",                   39, 172, ALWAYS, ALLOW, PROCESSES},
    {"getppid",                 110, 173, ALWAYS, ALLOW, PROCESSES},
    {"gettid",                  186, 178, ALWAYS, ALLOW, PROCESSES},
    {"getpgid",                 121, 155, ALWAYS, ALLOW, PROCESSES},
    {"setpgid",                 109, 154, ALWAYS, ALLOW, PROCESSES},
    {"getpgrp",                 111,  -1, ALWAYS, ALLOW, PROCESSES},
    {"getsid",                  124, 156, ALWAYS, ALLOW, PROCESSES},
    {"setsid",                  112, 157, ALWAYS, ALLOW, PROCESSES},
    {"pidfd_open",              434, 434, ALWAYS, ALLOW, PROCESSES},
    {"restart_syscall",         219, 128, ALWAYS, ALLOW, PROCESSES},
    {"getcpu",                  309, 168, ALWAYS, ALLOW, PROCESSES},
    {"uretprobe",               335,  -1, ALWAYS, ALLOW,
     "made by the kernel's own trampoline when the host probes a program; from elsewhere SIGILL"},
    {"uprobe",                  336,  -1, ALWAYS, ALLOW, "as uretprobe"},
    {"personality",             135,  92, {ARG(0, WORD, 0x00000000)}, ALLOW, "PER_LINUX"},
    {"personality",             135,  92, {ARG(0, WORD, 0x00000008)}, ALLOW, "PER_LINUX32"},
    {"personality",             135,  92, {ARG(0, WORD, 0x00020000)}, ALLOW, "UNAME26"},
    {"personality",             135,  92, {ARG(0, WORD, 0x00020008)}, ALLOW, "PER_LINUX32 with UNAME26"},
    {"personality",             135,  92, {ARG(0, WORD, 0xffffffff)}, ALLOW, "query"},
    {"personality",             135,  92, ALWAYS, EPERM,
     "others switch off address randomisation or the guard of page 0, or make memory executable"},
    {"prctl",                   157, 167, {ARG(0, WORD, 1)}, ALLOW, "PR_SET_PDEATHSIG"},
    {"prctl",                   157, 167, {ARG(0, WORD, 2)}, ALLOW, "PR_GET_PDEATHSIG"},
    {"prctl",                   157, 167, {ARG(0, WORD, 3)}, ALLOW, "PR_GET_DUMPABLE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 4)}, ALLOW, "PR_SET_DUMPABLE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 7)}, ALLOW, "PR_GET_KEEPCAPS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 8)}, ALLOW, "PR_SET_KEEPCAPS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 13)}, ALLOW, "PR_GET_TIMING"},
    {"prctl",                   157, 167, {ARG(0, WORD, 14)}, ALLOW, "PR_SET_TIMING"},
    {"prctl",                   157, 167, {ARG(0, WORD, 15)}, ALLOW, "PR_SET_NAME"},
    {"prctl",                   157, 167, {ARG(0, WORD, 16)}, ALLOW, "PR_GET_NAME"},
    {"prctl",                   157, 167, {ARG(0, WORD, 21)}, ALLOW, "PR_GET_SECCOMP"},
    {"prctl",                   157, 167, {ARG(0, WORD, 22)}, ALLOW, "PR_SET_SECCOMP: a filter can only take away"},
    {"prctl",                   157, 167, {ARG(0, WORD, 23)}, ALLOW, "PR_CAPBSET_READ"},
    {"prctl",                   157, 167, {ARG(0, WORD, 24)}, ALLOW, "PR_CAPBSET_DROP"},
    {"prctl",                   157, 167, {ARG(0, WORD, 25)}, ALLOW, "PR_GET_TSC"},
    {"prctl",                   157, 167, {ARG(0, WORD, 26)}, ALLOW, "PR_SET_TSC"},
    {"prctl",                   157, 167, {ARG(0, WORD, 27)}, ALLOW, "PR_GET_SECUREBITS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 28)}, ALLOW, "PR_SET_SECUREBITS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 29)}, ALLOW, "PR_SET_TIMERSLACK"},
    {"prctl",                   157, 167, {ARG(0, WORD, 30)}, ALLOW, "PR_GET_TIMERSLACK"},
    {"prctl",                   157, 167, {ARG(0, WORD, 36)}, ALLOW, "PR_SET_CHILD_SUBREAPER"},
    {"prctl",                   157, 167, {ARG(0, WORD, 37)}, ALLOW, "PR_GET_CHILD_SUBREAPER"},
    {"prctl",                   157, 167, {ARG(0, WORD, 38)}, ALLOW, "PR_SET_NO_NEW_PRIVS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 39)}, ALLOW, "PR_GET_NO_NEW_PRIVS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 40)}, ALLOW, "PR_GET_TID_ADDRESS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 41)}, ALLOW, "PR_SET_THP_DISABLE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 42)}, ALLOW, "PR_GET_THP_DISABLE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 47)}, ALLOW, "PR_CAP_AMBIENT"},
    {"prctl",                   157, 167, {ARG(0, WORD, 50)}, ALLOW, "PR_SVE_SET_VL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 51)}, ALLOW, "PR_SVE_GET_VL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 52)}, ALLOW, "PR_GET_SPECULATION_CTRL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 53)}, ALLOW, "PR_SET_SPECULATION_CTRL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 54)}, ALLOW, "PR_PAC_RESET_KEYS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 55)}, ALLOW, "PR_SET_TAGGED_ADDR_CTRL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 56)}, ALLOW, "PR_GET_TAGGED_ADDR_CTRL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 60)}, ALLOW, "PR_PAC_SET_ENABLED_KEYS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 61)}, ALLOW, "PR_PAC_GET_ENABLED_KEYS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 63)}, ALLOW, "PR_SME_SET_VL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 64)}, ALLOW, "PR_SME_GET_VL"},
    {"prctl",                   157, 167, {ARG(0, WORD, 65)}, ALLOW, "PR_SET_MDWE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 66)}, ALLOW, "PR_GET_MDWE"},
    {"prctl",                   157, 167, {ARG(0, WORD, 74)}, ALLOW, "PR_GET_SHADOW_STACK_STATUS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 75)}, ALLOW, "PR_SET_SHADOW_STACK_STATUS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 76)}, ALLOW, "PR_LOCK_SHADOW_STACK_STATUS"},
    {"prctl",                   157, 167, {ARG(0, WORD, 78)}, ALLOW, "PR_FUTEX_HASH"},
    {"prctl",                   157, 167, {ARG(0, WORD, 0x53564d41)}, ALLOW, "PR_SET_VMA: names memory"},
    {"prctl",                   157, 167, {ARG(0, WORD, 0x41555856)}, ALLOW, "PR_GET_AUXV"},
    {"prctl",                   157, 167, ALWAYS, EINVAL,
     "as without the option; left out: SET_MM fakes the command line, SCHED_CORE slows the neighbours"},

    /* Identity: no capability is held, so these can only keep or drop what is there. */
    {"getuid",                  102, 174, ALWAYS, ALLOW, IDENTITY},
    {"geteuid",                 107, 175, ALWAYS, ALLOW, IDENTITY},
    {"getgid",                  104, 176, ALWAYS, ALLOW, IDENTITY},
    {"getegid",                 108, 177, ALWAYS, ALLOW, IDENTITY},
    {"getresuid",               118, 148, ALWAYS, ALLOW, IDENTITY},
    {"getresgid",               120, 150, ALWAYS, ALLOW, IDENTITY},
    {"getgroups",               115, 158, ALWAYS, ALLOW, IDENTITY},
    {"setuid",                  105, 146, ALWAYS, ALLOW, IDENTITY},
    {"setgid",                  106, 144, ALWAYS, ALLOW, IDENTITY},
    {"setreuid",                113, 145, ALWAYS, ALLOW, IDENTITY},
    {"setregid",                114, 143, ALWAYS, ALLOW, IDENTITY},
    {"setresuid",               117, 147, ALWAYS, ALLOW, IDENTITY},
    {"setresgid",               119, 149, ALWAYS, ALLOW, IDENTITY},
    {"setfsuid",                122, 151, ALWAYS, ALLOW, IDENTITY},
    {"setfsgid",                123, 152, ALWAYS, ALLOW, IDENTITY},
    {"setgroups",               116, 159, ALWAYS, ALLOW, IDENTITY},
    {"capget",                  125,  90, ALWAYS, ALLOW, IDENTITY},
    {"capset",                  126,  91, ALWAYS, ALLOW, IDENTITY},

    /* Signals. */
    {"rt_sigaction",             13, 134, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigprocmask",           14, 135, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigreturn",             15, 139, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigpending",           127, 136, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigtimedwait",         128, 137, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigsuspend",           130, 133, ALWAYS, ALLOW, SIGNALS},
    {"rt_sigqueueinfo",         129, 138, ALWAYS, ALLOW, SIGNALS},
    {"rt_tgsigqueueinfo",       297, 240, ALWAYS, ALLOW, SIGNALS},
    {"sigaltstack",             131, 132, ALWAYS, ALLOW, SIGNALS},
    {"kill",                     62, 129, ALWAYS, ALLOW, SIGNALS},
    {"tkill",                   200, 130, ALWAYS, ALLOW, SIGNALS},
    {"tgkill",                  234, 131, ALWAYS, ALLOW, SIGNALS},
    {"pidfd_send_signal",       424, 424, ALWAYS, ALLOW, SIGNALS},
    {"pause",                    34,  -1, ALWAYS, ALLOW, SIGNALS},

    /* Time. */
    {"time",                    201,  -1, ALWAYS, ALLOW, TIME},
    {"gettimeofday",             96, 169, ALWAYS, ALLOW, TIME},
    {"clock_gettime",           228, 113, ALWAYS, ALLOW, TIME},
    {"clock_getres",            229, 114, ALWAYS, ALLOW, TIME},
    {"clock_nanosleep",         230, 115, ALWAYS, ALLOW, TIME},
    {"nanosleep",                35, 101, ALWAYS, ALLOW, TIME},
    {"alarm",                    37,  -1, ALWAYS, ALLOW, TIME},
    {"getitimer",                36, 102, ALWAYS, ALLOW, TIME},
    {"setitimer",                38, 103, ALWAYS, ALLOW, TIME},
    {"timer_create",            222, 107, ALWAYS, ALLOW, TIME},
    {"timer_settime",           223, 110, ALWAYS, ALLOW, TIME},
    {"timer_gettime",           224, 108, ALWAYS, ALLOW, TIME},
    {"timer_getoverrun",        225, 109, ALWAYS, ALLOW, TIME},
    {"timer_delete",            226, 111, ALWAYS, ALLOW, TIME},
    {"times",                   100, 153, ALWAYS, ALLOW, TIME},
    {"settimeofday",            164, 170, ALWAYS, EPERM, "the host's clock"},
    {"clock_settime",           227, 112, ALWAYS, EPERM, "the host's clock"},
    {"adjtimex",                159, 171, ALWAYS, EPERM, "the host's clock"},
    {"clock_adjtime",           305, 266, ALWAYS, EPERM, "the host's clock"},

    /* Scheduling and limits: real-time classes and raised limits need capabilities. */
    {"sched_yield",              24, 124, ALWAYS, ALLOW, LIMITS},
    {"sched_setparam",          142, 118, {ARG(0, WORD, 1)}, EPERM, PID_1},
    {"sched_setparam",          142, 118, ALWAYS, ALLOW, LIMITS},
    {"sched_getparam",          143, 121, ALWAYS, ALLOW, LIMITS},
    {"sched_setscheduler",      144, 119, {ARG(0, WORD, 1)}, EPERM, PID_1},
    {"sched_setscheduler",      144, 119, ALWAYS, ALLOW, LIMITS},
    {"sched_getscheduler",      145, 120, ALWAYS, ALLOW, LIMITS},
    {"sched_get_priority_max",  146, 125, ALWAYS, ALLOW, LIMITS},
    {"sched_get_priority_min",  147, 126, ALWAYS, ALLOW, LIMITS},
    {"sched_rr_get_interval",   148, 127, ALWAYS, ALLOW, LIMITS},
    {"sched_setaffinity",       203, 122, {ARG(0, WORD, 1)}, EPERM, PID_1},
    {"sched_setaffinity",       203, 122, ALWAYS, ALLOW, LIMITS},
    {"sched_getaffinity",       204, 123, ALWAYS, ALLOW, LIMITS},
    {"sched_setattr",           314, 274, {ARG(0, WORD, 1)}, EPERM, PID_1},
    {"sched_setattr",           314, 274, ALWAYS, ALLOW, LIMITS},
    {"sched_getattr",           315, 275, ALWAYS, ALLOW, LIMITS},
    {"getpriority",             140, 141, ALWAYS, ALLOW, LIMITS},
    {"setpriority",             141, 140, {ARG(0, WORD, 0), ARG(1, WORD, 1)}, EPERM, PID_1},
    {"setpriority",             141, 140, {ARG(0, WORD, 2)}, EPERM, PID_1},
    {"setpriority",             141, 140, ALWAYS, ALLOW, LIMITS},
    {"ioprio_set",              251,  30, {ARG(0, WORD, 1), ARG(1, WORD, 1)}, EPERM, PID_1},
    {"ioprio_set",              251,  30, {ARG(0, WORD, 3)}, EPERM, PID_1},
    {"ioprio_set",              251,  30, ALWAYS, ALLOW, LIMITS},
    {"ioprio_get",              252,  31, ALWAYS, ALLOW, LIMITS},
    {"getrlimit",                97, 163, ALWAYS, ALLOW, LIMITS},
    {"setrlimit",               160, 164, ALWAYS, ALLOW, LIMITS},
    {"prlimit64",               302, 261, {ARG(0, WORD, 1)}, EPERM, PID_1},
    {"prlimit64",               302, 261, ALWAYS, ALLOW, LIMITS},
    {"getrusage",                98, 165, ALWAYS, ALLOW, LIMITS},
    {"uname",                    63, 160, ALWAYS, ALLOW, INFORMATION},
    {"sysinfo",                  99, 179, ALWAYS, ALLOW, INFORMATION},
    {"getrandom",               318, 278, ALWAYS, ALLOW, INFORMATION},

    /* System V and POSIX IPC, in a namespace of its own. */
    {"shmget",                   29, 194, {ARG(2, HUGE_SHM, HUGE_SHM)}, ENOMEM, "SHM_HUGETLB: " HUGE},
    {"shmget",                   29, 194, ALWAYS, ALLOW, IPC},
    {"shmat",                    30, 196, ALWAYS, ALLOW, IPC},
    {"shmctl",                   31, 195, ALWAYS, ALLOW, IPC},
    {"shmdt",                    67, 197, ALWAYS, ALLOW, IPC},
    {"semget",                   64, 190, ALWAYS, ALLOW, IPC},
    {"semop",                    65, 193, ALWAYS, ALLOW, IPC},
    {"semctl",                   66, 191, ALWAYS, ALLOW, IPC},
    {"semtimedop",              220, 192, ALWAYS, ALLOW, IPC},
    {"msgget",                   68, 186, ALWAYS, ALLOW, IPC},
    {"msgsnd",                   69, 189, ALWAYS, ALLOW, IPC},
    {"msgrcv",                   70, 188, ALWAYS, ALLOW, IPC},
    {"msgctl",                   71, 187, ALWAYS, ALLOW, IPC},
    {"mq_open",                 240, 180, ALWAYS, ALLOW, IPC},
    {"mq_unlink",               241, 181, ALWAYS, ALLOW, IPC},
    {"mq_timedsend",            242, 182, ALWAYS, ALLOW, IPC},
    {"mq_timedreceive",         243, 183, ALWAYS, ALLOW, IPC},
    {"mq_notify",               244, 184, ALWAYS, ALLOW, IPC},
    {"mq_getsetattr",           245, 185, ALWAYS, ALLOW, IPC},

    /* Sockets, in a namespace of their own. Families and protocols are few because asking for one loads its module. */
    {"socket",                   41, 198, {ARG(0, WORD, UNIX)}, ALLOW, SOCKETS},
    {"socket",                   41, 198, {ARG(0, WORD, NETLINK), ARG(2, WORD, 0)}, ALLOW,
     "NETLINK_ROUTE: getifaddrs() of node and others"},
    {"socket",                   41, 198, {ARG(0, WORD, INET), ARG(1, TYPE, STREAM), ARG(2, WORD, 0)}, ALLOW, "TCP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET), ARG(1, TYPE, STREAM), ARG(2, WORD, 6)}, ALLOW, "TCP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET), ARG(1, TYPE, DGRAM), ARG(2, WORD, 0)}, ALLOW, "UDP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET), ARG(1, TYPE, DGRAM), ARG(2, WORD, 17)}, ALLOW, "UDP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET), ARG(1, TYPE, RAW)}, EPERM,
     "raw sockets, as without CAP_NET_RAW"},
    {"socket",                   41, 198, {ARG(0, WORD, INET)}, EPROTONOSUPPORT,
     "SCTP, DCCP, MPTCP, L2TP, SMC, ping and the like: kernel code nobody here needs"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6), ARG(1, TYPE, STREAM), ARG(2, WORD, 0)}, ALLOW, "TCP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6), ARG(1, TYPE, STREAM), ARG(2, WORD, 6)}, ALLOW, "TCP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6), ARG(1, TYPE, DGRAM), ARG(2, WORD, 0)}, ALLOW, "UDP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6), ARG(1, TYPE, DGRAM), ARG(2, WORD, 17)}, ALLOW, "UDP"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6), ARG(1, TYPE, RAW)}, EPERM,
     "raw sockets, as without CAP_NET_RAW"},
    {"socket",                   41, 198, {ARG(0, WORD, INET6)}, EPROTONOSUPPORT,
     "SCTP, DCCP, MPTCP, L2TP, SMC, ping and the like: kernel code nobody here needs"},
    {"socket",                   41, 198, ALWAYS, EAFNOSUPPORT,
     "AF_ALG, RDS, RXRPC: page-cache writes; AF_VSOCK: reaches the hypervisor; all others: rare code"},
    {"socketpair",               53, 199, {ARG(0, WORD, UNIX)}, ALLOW, SOCKETS},
    {"socketpair",               53, 199, ALWAYS, EAFNOSUPPORT,
     "only AF_UNIX has pairs worth having (the other is AF_TIPC)"},
    {"setsockopt",               54, 208, {ARG(1, WORD, 6), ARG(2, WORD, 31)}, ENOENT,
     "TCP_ULP: kernel TLS and espintcp work in place on pages that may belong to a file"},
    {"setsockopt",               54, 208, {ARG(1, WORD, 1), ARG(2, WORD, 60)}, ENOPROTOOPT,
     "SO_ZEROCOPY: puts mapped file pages into packets by reference"},
    {"setsockopt",               54, 208, ALWAYS, ALLOW, SOCKETS},
    {"getsockopt",               55, 209, ALWAYS, ALLOW, SOCKETS},
    {"bind",                     49, 200, ALWAYS, ALLOW, SOCKETS},
    {"listen",                   50, 201, ALWAYS, ALLOW, SOCKETS},
    {"accept",                   43, 202, ALWAYS, ALLOW, SOCKETS},
    {"accept4",                 288, 242, ALWAYS, ALLOW, SOCKETS},
    {"connect",                  42, 203, ALWAYS, ALLOW, SOCKETS},
    {"shutdown",                 48, 210, ALWAYS, ALLOW, SOCKETS},
    {"getsockname",              51, 204, ALWAYS, ALLOW, SOCKETS},
    {"getpeername",              52, 205, ALWAYS, ALLOW, SOCKETS},
    {"sendto",                   44, 206, ALWAYS, ALLOW, SOCKETS},
    {"sendmsg",                  46, 211, ALWAYS, ALLOW, SOCKETS},
    {"sendmmsg",                307, 269, ALWAYS, ALLOW, SOCKETS},
    {"recvfrom",                 45, 207, ALWAYS, ALLOW, SOCKETS},
    {"recvmsg",                  47, 212, ALWAYS, ALLOW, SOCKETS},
    {"recvmmsg",                299, 243, ALWAYS, ALLOW, SOCKETS},

    /* Pages passed on by reference: what Dirty Pipe and its kin write to the page cache with. EINVAL makes all known
       callers fall back to read and write. */
    {"splice",                  275,  76, ALWAYS, EINVAL, "puts pages of files into pipes by reference"},
    {"vmsplice",                278,  75, ALWAYS, EINVAL, "puts pages of files into pipes by reference"},
    {"tee",                     276,  77, ALWAYS, EINVAL, "puts pages of files into pipes by reference"},
    {"sendfile",                 40,  71, ALWAYS, EINVAL,
     "is splice inside: pages of files go into pipes and sockets by reference"},

    /* ioctl: what terminals, pipes and files need passes; devices are limited by what /dev holds. */
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x5412)}, EPERM, "TIOCSTI: types on the caller's terminal"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x541c)}, EPERM, "TIOCLINUX: pastes on a virtual console"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x5423)}, EPERM, "TIOCSETD: loads line disciplines"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x800c6613)}, EOPNOTSUPP,
     "FS_IOC_SET_ENCRYPTION_POLICY: state of the file system that outlives the run"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0xc0506617)}, EOPNOTSUPP,
     "FS_IOC_ADD_ENCRYPTION_KEY: keys that outlive the run"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x40806685)}, EOPNOTSUPP,
     "FS_IOC_ENABLE_VERITY: makes files read-only for ever"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x8940)}, EPERM, "SIOCGIFBR: loads the bridge module"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x8941)}, EPERM, "SIOCSIFBR: as SIOCGIFBR"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x89a0)}, EPERM, "SIOCBRADDBR: as SIOCGIFBR"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x89a1)}, EPERM, "SIOCBRDELBR: as SIOCGIFBR"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x8982)}, EPERM, "SIOCGIFVLAN: loads the 8021q module"},
    {"ioctl",                    16,  29, {ARG(1, WORD, 0x8983)}, EPERM, "SIOCSIFVLAN: as SIOCGIFVLAN"},
    {"ioctl",                    16,  29, ALWAYS, ALLOW, FILES},

    /* Restrictions a program puts on itself. */
    {"seccomp",                 317, 277, ALWAYS, ALLOW,
     "filters only add up, the strictest answer wins; file(1), man and others sandbox themselves"},
    {"landlock_create_ruleset", 444, 444, ALWAYS, ALLOW, SELF},
    {"landlock_add_rule",       445, 445, ALWAYS, ALLOW, SELF},
    {"landlock_restrict_self",  446, 446, ALWAYS, ALLOW, SELF},

    /* Mounts. */
    {"mount",                   165,  40, ALWAYS, EPERM, "the mount list is the plan's"},
    {"umount2",                 166,  39, ALWAYS, EPERM, "the mount list is the plan's"},
    {"pivot_root",              155,  41, ALWAYS, EPERM, "the mount list is the plan's"},
    {"chroot",                  161,  51, ALWAYS, EPERM, "the mount list is the plan's"},
    {"open_tree",               428, 428, ALWAYS, EPERM, "the mount list is the plan's"},
    {"open_tree_attr",          467, 467, ALWAYS, EPERM, "the mount list is the plan's"},
    {"move_mount",              429, 429, ALWAYS, EPERM, "the mount list is the plan's"},
    {"fsopen",                  430, 430, ALWAYS, EPERM, "the mount list is the plan's"},
    {"fsconfig",                431, 431, ALWAYS, EPERM, "the mount list is the plan's"},
    {"fsmount",                 432, 432, ALWAYS, EPERM, "the mount list is the plan's"},
    {"fspick",                  433, 433, ALWAYS, EPERM, "the mount list is the plan's"},
    {"mount_setattr",           442, 442, ALWAYS, EPERM, "the mount list is the plan's"},
    {"name_to_handle_at",       303, 264, ALWAYS, EPERM, "file handles reach round the mount tree"},
    {"open_by_handle_at",       304, 265, ALWAYS, EPERM, "file handles reach round the mount tree"},
    {"swapon",                  167, 224, ALWAYS, EPERM, "the host's storage"},
    {"swapoff",                 168, 225, ALWAYS, EPERM, "the host's storage"},
    {"quotactl",                179,  60, ALWAYS, EPERM, "the host's storage"},
    {"quotactl_fd",             443, 443, ALWAYS, EPERM, "the host's storage"},
    {"sync",                    162,  81, ALWAYS, EPERM,
     "acts on every file system of the host and hangs with any of them; fsync and syncfs remain"},
    {"fanotify_init",           300, 262, ALWAYS, EPERM, "marks whole mounts; inotify remains"},
    {"fanotify_mark",           301, 263, ALWAYS, EPERM, "marks whole mounts; inotify remains"},

    /* Other processes' memory and descriptors: pid 1 must stay out of reach. */
    {"ptrace",                  101, 117, ALWAYS, EPERM,
     "tracing; its access checks and its dealings with filters have failed before; no gdb, no strace"},
    {"process_vm_readv",        310, 270, ALWAYS, EPERM, "memory of other processes"},
    {"process_vm_writev",       311, 271, ALWAYS, EPERM, "memory of other processes"},
    {"pidfd_getfd",             438, 438, ALWAYS, EPERM, "descriptors of other processes"},
    {"kcmp",                    312, 272, ALWAYS, EPERM, "tells kernel addresses apart"},

    /* Kernel machinery. */
    {"bpf",                     321, 280, ALWAYS, EPERM, "programs in the kernel"},
    {"perf_event_open",         298, 241, ALWAYS, EPERM, "watches the processor, and so the neighbours"},
    {"userfaultfd",             323, 282, ALWAYS, EPERM,
     "holds up the kernel in the middle of a copy, the tool of most race exploits"},
    {"add_key",                 248, 217, ALWAYS, EPERM,
     "keyrings are not namespaced; request_key starts a program on the host"},
    {"request_key",             249, 218, ALWAYS, EPERM,
     "keyrings are not namespaced; request_key starts a program on the host"},
    {"keyctl",                  250, 219, ALWAYS, EPERM,
     "keyrings are not namespaced; request_key starts a program on the host"},
    {"init_module",             175, 105, ALWAYS, EPERM, "the host's kernel"},
    {"finit_module",            313, 273, ALWAYS, EPERM, "the host's kernel"},
    {"delete_module",           176, 106, ALWAYS, EPERM, "the host's kernel"},
    {"kexec_load",              246, 104, ALWAYS, EPERM, "the host's kernel"},
    {"kexec_file_load",         320, 294, ALWAYS, EPERM, "the host's kernel"},
    {"reboot",                  169, 142, ALWAYS, EPERM, "the host's kernel"},
    {"syslog",                  103, 116, ALWAYS, EPERM, "the host's logs"},
    {"acct",                    163,  89, ALWAYS, EPERM, "the host's logs"},
    {"sethostname",             170, 161, ALWAYS, EPERM, "the plan sets the hostname"},
    {"setdomainname",           171, 162, ALWAYS, EPERM, "the plan sets the hostname"},
    {"vhangup",                 153,  58, ALWAYS, EPERM, "hangs up the caller's terminal"},
    {"iopl",                    172,  -1, ALWAYS, EPERM, "I/O ports"},
    {"ioperm",                  173,  -1, ALWAYS, EPERM, "I/O ports"},
    {"modify_ldt",              154,  -1, ALWAYS, EPERM, "16-bit segments, a steady source of kernel holes"},
    {"get_mempolicy",           239, 236, ALWAYS, EPERM, "moves memory between the host's nodes"},
    {"set_mempolicy",           238, 237, ALWAYS, EPERM, "moves memory between the host's nodes"},
    {"mbind",                   237, 235, ALWAYS, EPERM, "moves memory between the host's nodes"},
    {"migrate_pages",           256, 238, ALWAYS, EPERM, "moves memory between the host's nodes"},
    {"move_pages",              279, 239, ALWAYS, EPERM, "moves memory between the host's nodes"},

    /* Knowingly left to the default, with the reason; programs have a fallback for a kernel that lacks them. */
    {"io_uring_setup",          425, 425, ALWAYS, ENOSYS, "does what other calls do, past the filter"},
    {"io_uring_enter",          426, 426, ALWAYS, ENOSYS, "does what other calls do, past the filter"},
    {"io_uring_register",       427, 427, ALWAYS, ENOSYS, "does what other calls do, past the filter"},
    {"io_setup",                206,   0, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"io_destroy",              207,   1, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"io_submit",               209,   2, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"io_cancel",               210,   3, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"io_getevents",            208,   4, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"io_pgetevents",           333, 292, ALWAYS, ENOSYS,
     "the number of contexts (fs.aio-max-nr) is one for the whole host"},
    {"statmount",               457, 457, ALWAYS, ENOSYS,
     "tells about mounts and namespaces beyond /proc/self/mountinfo"},
    {"listmount",               458, 458, ALWAYS, ENOSYS,
     "tells about mounts and namespaces beyond /proc/self/mountinfo"},
    {"listns",                  470, 470, ALWAYS, ENOSYS,
     "tells about mounts and namespaces beyond /proc/self/mountinfo"},
    {"lsm_get_self_attr",       459, 459, ALWAYS, ENOSYS, "the host's security modules"},
    {"lsm_set_self_attr",       460, 460, ALWAYS, ENOSYS, "the host's security modules"},
    {"lsm_list_modules",        461, 461, ALWAYS, ENOSYS, "the host's security modules"},
    {"file_getattr",            468, 468, ALWAYS, ENOSYS, "too new to be needed; the ioctl does the same"},
    {"file_setattr",            469, 469, ALWAYS, ENOSYS, "too new to be needed; the ioctl does the same"},
    {"set_mempolicy_home_node", 450, 450, ALWAYS, ENOSYS, "as mbind, and too new to be needed"},
    {"cachestat",               451, 451, ALWAYS, ENOSYS,
     "tells what others have read; kernels before 6.14 check no rights"},
    {"memfd_secret",            447, 447, ALWAYS, ENOSYS,
     "memory that the host cannot look into; off in stock kernels"},
    {"process_madvise",         440, 440, ALWAYS, ENOSYS, "acts on other processes; nothing here needs it"},
    {"process_mrelease",        448, 448, ALWAYS, ENOSYS, "acts on other processes; nothing here needs it"},
    {"remap_file_pages",        216, 234, ALWAYS, ENOSYS, "replaced by mmap since Linux 3.16"},
    {"rseq_slice_yield",        471, 471, ALWAYS, ENOSYS, "newer than the kernels this table was made for"},
    {"uselib",                  134,  -1, ALWAYS, ENOSYS, "obsolete; nothing current calls it"},
    {"ustat",                   136,  -1, ALWAYS, ENOSYS, "obsolete; nothing current calls it"},
    {"sysfs",                   139,  -1, ALWAYS, ENOSYS, "obsolete; nothing current calls it"},
    {"_sysctl",                 156,  -1, ALWAYS, ENOSYS, "obsolete; nothing current calls it"},
    {"lookup_dcookie",          212,  18, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"nfsservctl",              180,  42, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"create_module",           174,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"get_kernel_syms",         177,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"query_module",            178,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"getpmsg",                 181,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"putpmsg",                 182,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"afs_syscall",             183,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"tuxcall",                 184,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"security",                185,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"vserver",                 236,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"epoll_ctl_old",           214,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"epoll_wait_old",          215,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"set_thread_area",         205,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
    {"get_thread_area",         211,  -1, ALWAYS, ENOSYS, "no longer, or never, in the kernel for 64-bit programs"},
};
/* clang-format on */

/* clang-format off */
const struct seccomp_rule seccomp_watches[] = {
    /* The newest filter that asks is the one that is heard, so a command's own listener could let through what ours refuses. The kernel takes
       no second listener while the first is open; this holds also in the moment between the supervisor's death and the sandbox's. */
    {"seccomp",                 317, 277, {ARG(0, WORD, 1), ARG(1, 8, 8)}, EBUSY,
     "SECCOMP_FILTER_FLAG_NEW_LISTENER: the kernel allows one listener, which is bivy's"},
    {"sendto",                   44, 206, {ARG(4, WORD, 0)}, ALLOW, "without an address"},
    {"sendto",                   44, 206, ALWAYS, SECCOMP_POLICY_ASK, "tells whom the command tries to reach; goes on"},
    {"connect",                  42, 203, ALWAYS, SECCOMP_POLICY_ASK, "tells whom the command tries to reach; goes on"},
};
/* clang-format on */

const size_t seccomp_watches_len = sizeof seccomp_watches / sizeof *seccomp_watches;

const size_t seccomp_rules_len = sizeof seccomp_rules / sizeof *seccomp_rules;

static const struct {
    const char *name;
    uint32_t arch;
} machines[] = {
    [SECCOMP_X86_64] = {"x86_64", AUDIT_ARCH_X86_64},
    [SECCOMP_AARCH64] = {"aarch64", AUDIT_ARCH_AARCH64},
};

int seccomp_machine_named(const char *name, enum seccomp_machine *machine)
{
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        if (strcmp(machines[i].name, name) == 0) {
            *machine = (enum seccomp_machine)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *seccomp_machine_name(enum seccomp_machine machine)
{
    return machines[machine].name;
}

uint32_t seccomp_machine_arch(enum seccomp_machine machine)
{
    return machines[machine].arch;
}

int seccomp_rule_number(const struct seccomp_rule *rule, enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? rule->x86_64 : rule->aarch64;
}

size_t seccomp_rule_conditions(const struct seccomp_rule *rule)
{
    size_t n = 0;

    while (n < SECCOMP_POLICY_CONDITIONS && rule->conditions[n].mask != 0)
        n++;
    return n;
}

const char *seccomp_answer_name(int answer)
{
    switch (answer) {
    case SECCOMP_POLICY_ALLOW:
        return "allow";
    case SECCOMP_POLICY_ASK:
        return "ask";
    case EPERM:
        return "EPERM";
    case ENOENT:
        return "ENOENT";
    case EINVAL:
        return "EINVAL";
    case EBUSY:
        return "EBUSY";
    case ENOSYS:
        return "ENOSYS";
    case ENOMEM:
        return "ENOMEM";
    case ENOPROTOOPT:
        return "ENOPROTOOPT";
    case EPROTONOSUPPORT:
        return "EPROTONOSUPPORT";
    case EOPNOTSUPP:
        return "EOPNOTSUPP";
    case EAFNOSUPPORT:
        return "EAFNOSUPPORT";
    default:
        return NULL;
    }
}

static int matches(const struct seccomp_rule *rule, const uint64_t arguments[6])
{
    for (size_t i = 0; i < seccomp_rule_conditions(rule); i++) {
        const struct seccomp_condition *condition = &rule->conditions[i];

        if (((uint32_t)arguments[condition->argument] & condition->mask) != condition->value)
            return 0;
    }
    return 1;
}

size_t seccomp_policy_first(enum seccomp_machine machine, uint32_t number)
{
    size_t first = 0;

    while (first < seccomp_rules_len && (uint32_t)seccomp_rule_number(&seccomp_rules[first], machine) != number)
        first++;
    return (int)number < 0 ? seccomp_rules_len : first;
}

uint32_t seccomp_policy_answer_from(size_t first, enum seccomp_machine machine, uint32_t arch, uint32_t number,
                                    const uint64_t arguments[6])
{
    int answer = SECCOMP_POLICY_DEFAULT;

    /* Another architecture has other numbers, so no rule here means anything for it. */
    if (arch != seccomp_machine_arch(machine))
        return SECCOMP_RET_KILL_PROCESS;
    for (size_t i = first; i < seccomp_rules_len; i++) {
        int of_rule = seccomp_rule_number(&seccomp_rules[i], machine);

        if (of_rule >= 0 && (uint32_t)of_rule == number && matches(&seccomp_rules[i], arguments)) {
            answer = seccomp_rules[i].answer;
            break;
        }
    }
    return answer == SECCOMP_POLICY_ALLOW ? SECCOMP_RET_ALLOW
                                          : SECCOMP_RET_ERRNO | ((uint32_t)answer & SECCOMP_RET_DATA);
}

uint32_t seccomp_policy_answer(enum seccomp_machine machine, uint32_t arch, uint32_t number,
                               const uint64_t arguments[6])
{
    return seccomp_policy_answer_from(0, machine, arch, number, arguments);
}

/* Both rules' conditions, those of the second not again where the first has them. -EOVERFLOW where a rule has no room for them. */
static int narrow(struct seccomp_rule *rule, const struct seccomp_rule *by)
{
    size_t n = seccomp_rule_conditions(rule);

    for (size_t i = 0; i < seccomp_rule_conditions(by); i++) {
        if (n == SECCOMP_POLICY_CONDITIONS)
            return -EOVERFLOW;
        rule->conditions[n++] = by->conditions[i];
    }
    return 0;
}

static int append(struct seccomp_rule *rules, size_t room, size_t *n, const struct seccomp_rule *rule)
{
    if (*n == room)
        return -EOVERFLOW;
    rules[(*n)++] = *rule;
    return 0;
}

int seccomp_explained_rules(struct seccomp_rule *rules, size_t room, size_t *n)
{
    int r = 0;

    *n = 0;
    for (size_t i = 0; r == 0 && i < seccomp_rules_len; i++) {
        struct seccomp_rule rule = seccomp_rules[i];

        for (size_t w = 0; r == 0 && rule.answer == SECCOMP_POLICY_ALLOW && w < seccomp_watches_len; w++) {
            struct seccomp_rule watched = rule;

            if (strcmp(seccomp_watches[w].name, rule.name) != 0)
                continue;
            watched.answer = seccomp_watches[w].answer;
            r = narrow(&watched, &seccomp_watches[w]);
            if (r == 0)
                r = append(rules, room, n, &watched);
        }
        if (rule.answer != SECCOMP_POLICY_ALLOW)
            rule.answer = SECCOMP_POLICY_ASK;
        if (r == 0)
            r = append(rules, room, n, &rule);
    }
    return r;
}

uint32_t seccomp_explained_answer_from(size_t first, enum seccomp_machine machine, uint32_t arch, uint32_t number,
                                       const uint64_t arguments[6])
{
    uint32_t answer = seccomp_policy_answer_from(first, machine, arch, number, arguments);

    if ((answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
        return SECCOMP_RET_USER_NOTIF;
    for (size_t w = 0; answer == SECCOMP_RET_ALLOW && w < seccomp_watches_len; w++) {
        const struct seccomp_rule *watch = &seccomp_watches[w];

        if ((uint32_t)seccomp_rule_number(watch, machine) != number || !matches(watch, arguments))
            continue;
        if (watch->answer == SECCOMP_POLICY_ALLOW)
            return answer;
        return watch->answer == SECCOMP_POLICY_ASK ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ERRNO | (uint32_t)watch->answer;
    }
    return answer;
}
