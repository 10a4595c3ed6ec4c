#include "advice.h"

#include <stddef.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

#define OWN_SANDBOX \
    "bivy is the sandbox: switch the program's own off (chromium --no-sandbox, nix --option sandbox false, no bwrap or unshare)"
#define NO_MOUNT "work in /workspace or /tmp; what is wanted at another place must be in the rootfs"
#define READ_AND_WRITE "nothing, mostly: programs go on with read and write; a server that insists has a setting (nginx: sendfile off)"
#define NO_AIO "nothing, mostly: programs go on without; else choose threads or epoll (UV_USE_IO_URING=0, --direct=0 or another engine)"
#define NO_PLACES "nothing, mostly: programs go on without placing memory"
#define HOST_CLOCK "faketime, or an option of the program: the clock is the host's"
#define FALLS_BACK "nothing: the C library goes on by another call"

static const struct advice advices[] = {
    /* clang-format off */
    {"clone",             false, OWN_SANDBOX},
    {"unshare",           false, OWN_SANDBOX},
    {"setns",             false, OWN_SANDBOX},
    {"clone3",            true,  FALLS_BACK},
    {"mount",             false, NO_MOUNT},
    {"umount2",           false, NO_MOUNT},
    {"pivot_root",        false, NO_MOUNT},
    {"chroot",            false, "put the tree into a rootfs of its own and give that to --rootfs"},
    {"open_tree",         false, NO_MOUNT},
    {"move_mount",        false, NO_MOUNT},
    {"fsopen",            false, NO_MOUNT},
    {"fsconfig",          false, NO_MOUNT},
    {"fsmount",           false, NO_MOUNT},
    {"fspick",            false, NO_MOUNT},
    {"mount_setattr",     false, NO_MOUNT},
    {"mknod",             false, "the devices that there are stand in /dev"},
    {"mknodat",           false, "the devices that there are stand in /dev"},
    {"sync",              true,  /* it tells nobody that it failed */ "fsync(2) on the files, or syncfs(2); bivy run --sync writes what changed to the server"},
    {"ptrace",            false, "no debugger and no strace inside: print or log; ASAN_OPTIONS=detect_leaks=0 for LeakSanitizer"},
    {"process_vm_readv",  false, "pipes or shared memory that both sides made"},
    {"process_vm_writev", false, "pipes or shared memory that both sides made"},
    {"pidfd_getfd",       false, "pass descriptors over a Unix socket"},
    {"bpf",               false, "none of it in a sandbox; run it on the host"},
    {"perf_event_open",   false, "measure by time(1), getrusage(2) or the record's times; profile outside"},
    {"userfaultfd",       false, "mprotect(2) and a SIGSEGV handler"},
    {"add_key",           false, "keep the secret in a file in /tmp, or in memory"},
    {"request_key",       false, "keep the secret in a file in /tmp, or in memory"},
    {"keyctl",            false, "keep the secret in a file in /tmp, or in memory"},
    {"reboot",            false, "end the command; the sandbox goes with it"},
    {"sethostname",       false, "the name is the plan's; give programs the one they want by an option of theirs"},
    {"settimeofday",      false, HOST_CLOCK},
    {"clock_settime",     false, HOST_CLOCK},
    {"adjtimex",          false, HOST_CLOCK},
    {"clock_adjtime",     false, HOST_CLOCK},
    {"prctl",             true,  "nothing, mostly: programs go on, as on a kernel without the option"},
    {"kcmp",              true,  "nothing, mostly: programs compare in another way"},
    {"syslog",            false, "the kernel's log is the host's: read it there"},
    {"personality",       false, "run without setarch; addresses stay random"},
    {"fanotify_init",     false, "inotify(7)"},
    {"fanotify_mark",     false, "inotify(7)"},
    {"socket",            false, "TCP, UDP and Unix sockets, and NETLINK_ROUTE to look at links"},
    {"socketpair",        false, "AF_UNIX"},
    {"setsockopt",        true,  "nothing, mostly: programs go on without the option"},
    {"splice",            true,  READ_AND_WRITE},
    {"vmsplice",          true,  READ_AND_WRITE},
    {"tee",               true,  READ_AND_WRITE},
    {"sendfile",          true,  READ_AND_WRITE},
    {"io_uring_setup",    true,  NO_AIO},
    {"io_uring_enter",    true,  NO_AIO},
    {"io_uring_register", true,  NO_AIO},
    {"io_setup",          true,  NO_AIO},
    {"memfd_secret",      true,  "ordinary memory, mlock(2)"},
    {"memfd_create",      false, "ordinary pages: without MFD_HUGETLB"},
    {"mmap",              false, "ordinary pages: without MAP_HUGETLB; madvise(2) with MADV_HUGEPAGE"},
    {"shmget",            false, "ordinary pages: without SHM_HUGETLB"},
    {"get_mempolicy",     true,  NO_PLACES},
    {"set_mempolicy",     true,  NO_PLACES},
    {"mbind",             true,  NO_PLACES},
    {"migrate_pages",     true,  NO_PLACES},
    {"move_pages",        true,  NO_PLACES},
    {"name_to_handle_at", true,  "nothing, mostly: programs go on by path"},
    {"renameat2",         false, "rename in two steps by way of a third name"},
    {"ioctl",             false, NULL},
    /* clang-format on */
};

/* Where the arguments tell more: what their text ends with. Go's listeners try MPTCP first, every one of them (Go 1.24). */
static const struct {
    const char *end;
    struct advice advice;
} particular[] = {
    {"IPPROTO_MPTCP", {"socket", true, "nothing: programs go on with plain TCP"}},
};

const struct advice *advice_of(const char *call, const char *detail)
{
    size_t length = strlen(detail);

    for (size_t i = 0; i < COUNT(particular); i++) {
        size_t end = strlen(particular[i].end);
        if (!strcmp(particular[i].advice.call, call) && length >= end && !strcmp(detail + length - end, particular[i].end))
            return &particular[i].advice;
    }
    for (size_t i = 0; i < COUNT(advices); i++)
        if (!strcmp(advices[i].call, call))
            return &advices[i];
    return NULL;
}
