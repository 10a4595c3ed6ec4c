#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mountinfo.h"
#include "network.h"
#include "rootfs.h"
#include "sys.h"
#include "trial.h"

void trial_user(struct trial *trial)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&args);

    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        trial_refused(trial, -pid, 0);
        return;
    }
    waitpid(pid, NULL, 0);
    trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "one was made");
}

static void see_ids(struct trial *trial)
{
    if (getuid() != POLICY_UID || getgid() != POLICY_UID)
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "ids were mapped, and the process has others");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "host user %u and group %u were mapped, one each", trial->draft->plan.host_uid,
                  trial->draft->plan.host_gid);
}

void trial_ids(struct trial *trial)
{
    trial_inside(trial, 0, see_ids);
}

/* What AppArmor's restriction takes away is not the namespace but what it is for. */
static void use_capability(struct trial *trial)
{
    char program[256], name[16] = "";
    ssize_t length;
    int error;

    if (sethostname(POLICY_HOST_NAME, strlen(POLICY_HOST_NAME)) == 0) {
        if (gethostname(name, sizeof name) == 0 && !strcmp(name, POLICY_HOST_NAME))
            trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a host name was set inside");
        else
            trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "a host name was set inside, and is another");
        return;
    }
    error = errno;
    length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length < 0 ? 0 : length] = '\0';
    if (!setting_plain(program)) /* it goes into a shell's words within words */
        strcpy(program, "/usr/bin/bivy");
    trial_call(trial, error, MEND_USED, program, "a user namespace gives no capability: no host name can be set inside");
}

void trial_capabilities(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWUTS, use_capability);
}

#define FEW 64

void trial_limits(struct trial *trial)
{
    uint64_t least = UINT64_MAX;
    const char *which = "";
    char path[64], text[32];

    for (size_t i = 0; i < POLICY_NAMESPACES; i++) {
        snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", policy_namespaces[i].name);
        if (sys_read_file(AT_FDCWD, path, text, sizeof text) <= 0)
            continue; /* the kernel has no such namespace; its own row says so */
        uint64_t value = strtoull(text, NULL, 10);
        if (value < least) {
            least = value;
            which = policy_namespaces[i].name;
        }
    }
    snprintf(path, sizeof path, "user.max_%s_namespaces=15000", which);
    if (least == UINT64_MAX) /* no such namespaces, or a procfs of processes only: the rows below find out */
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "not known: /proc/sys/user tells no limits");
    else if (least < FEW)
        trial_say(trial, least ? TRIAL_DEGRADED : TRIAL_MISSING, MEND_SYSCTL, path,
                  "user.max_%s_namespaces is %llu: so many sandboxes at once at the most",
                  which, (unsigned long long)least);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "each user may have %llu of each kind and more", (unsigned long long)least);
}

static void see_namespace(struct trial *trial)
{
    const struct namespace_row *row = &policy_namespaces[trial->number];
    uint64_t own;

    if (row->flag == CLONE_NEWCGROUP && unshare(CLONE_NEWCGROUP) < 0) {
        trial_refused(trial, errno, CLONE_NEWCGROUP);
        return;
    }
    SYS_CLOSES int dir = SYS_AGAIN(open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
    own = dir < 0 ? 0 : sys_namespace(dir, row->name);
    if (own == 0 || own == trial->draft->facts.namespaces[trial->number])
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "one was made, and the process is still in the old one");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "one was made: %s", row->why);
}

void trial_namespace(struct trial *trial)
{
    uint64_t flag = policy_namespaces[trial->number].flag;

    trial_inside(trial, flag == CLONE_NEWCGROUP ? 0 : flag, see_namespace);
}

/* One of the calls has failed: which. */
static bool failed(struct trial *trial, int result, const char *call)
{
    char what[96];

    if (result >= 0)
        return false;
    snprintf(what, sizeof what, "%s is refused in a mount namespace of its own", call);
    trial_call(trial, -result, result == -EPERM || result == -EACCES ? MEND_USERNS : MEND_KERNEL, NULL, what);
    return true;
}

/* Attached over /proc, which every host has: nobody but this process sees it. */
static void call_each(struct trial *trial)
{
    SYS_CLOSES int fs = sys_fsopen("tmpfs");
    SYS_CLOSES int mount = -1;
    SYS_CLOSES int view = -1;
    SYS_CLOSES int point = SYS_AGAIN(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const char *call = "fsconfig";
    int result = fs;

    if (failed(trial, fs, "fsopen"))
        return;
    if (failed(trial, sys_fsconfig_string(fs, "size", "64k"), call) || failed(trial, sys_fsconfig_create(fs), call))
        return;
    if (failed(trial, mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), "fsmount") ||
        failed(trial, sys_mount_setattr(mount, "", AT_EMPTY_PATH, 0, 0, MS_PRIVATE), "mount_setattr") ||
        failed(trial, sys_move_mount(mount, point), "move_mount") ||
        failed(trial, view = sys_open_tree(mount, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), "open_tree") ||
        failed(trial, sys_mount_setattr(view, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE), "mount_setattr"))
        return;
    result = mkdirat(view, "a", 0700);
    if (result == 0 || errno != EROFS) {
        trial_say(trial, TRIAL_MISSING, MEND_FILTER, NULL, "mount_setattr made a mount read-only, and it is not");
        return;
    }
    if (fchdir(mount) < 0 || failed(trial, sys_pivot_root(".", "."), "pivot_root (is / an initramfs? switch_root first)") ||
        failed(trial, sys_umount_detach("."), "umount2"))
        return;
    trial_say(trial, TRIAL_OK, MEND_NONE, NULL,
              "fsopen, fsconfig, fsmount, move_mount, open_tree, mount_setattr and pivot_root work inside");
}

void trial_mount_calls(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWNS, call_each);
}

static void new_tmpfs(struct trial *trial)
{
    SYS_CLOSES int mount = rootfs_new_tmpfs(&trial->draft->plan);
    struct statfs room;

    if (failed(trial, mount, "a tmpfs"))
        return;
    if (fstatfs(mount, &room) < 0 || (uint64_t)room.f_blocks * (uint64_t)room.f_bsize > trial->draft->plan.scratch)
        trial_say(trial, TRIAL_MISSING, MEND_KERNEL, NULL, "a tmpfs does not keep to its size");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "one was made, of limited size");
}

void trial_tmpfs(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWNS, new_tmpfs);
}

/* A new procfs must not show what mounts over the old one hide (fs/namespace.c, mount_too_revealing). Which are they? All of them, the last
 * one first, as they are to be unmounted. */
static bool over_proc(char *words, size_t size)
{
    struct facts *facts = trial_room(sizeof *facts);
    struct fault fault;
    struct mountinfo mount;

    facts_start(facts);
    *words = '\0';
    if (facts_mounts(facts, &fault) < 0)
        return false;
    for (char *cursor = facts->mountinfo; mountinfo_next(&cursor, &mount) > 0;) {
        char more[1024] = "";
        /* Directories that are always empty hide nothing. */
        if (strncmp(mount.target, "/proc/", 6) || !strcmp(mount.target, "/proc/sys/fs/binfmt_misc") ||
            !strcmp(mount.target, "/proc/fs/nfsd"))
            continue;
        mends_word(more, sizeof more, mount.target);
        if (strlen(more) + 1 + strlen(words) >= size)
            continue; /* one of a hundred: the next check shows it */
        if (*words)
            strcat(more, " ");
        memmove(words + strlen(more), words, strlen(words) + 1);
        memcpy(words, more, strlen(more));
    }
    facts_release(facts);
    return *words;
}

static void new_procfs(struct trial *trial)
{
    struct fault fault;
    SYS_CLOSES int mount = rootfs_new_proc(&fault);
    char where[sizeof trial->answer->argument];

    if (mount >= 0)
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a new procfs with hidepid=ptraceable, in which user namespaces can be forbidden");
    else if (fault.errnum == EPERM && over_proc(where, sizeof where))
        trial_fault(trial, TRIAL_MISSING, MEND_MOUNTED, where, &fault);
    else
        trial_fault(trial, TRIAL_MISSING, trial_mend(trial, fault.errnum, fault.errnum == EPERM ? MEND_MASKED : MEND_KERNEL), NULL, &fault);
}

void trial_procfs(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWNS | CLONE_NEWPID, new_procfs);
}

static void new_devpts(struct trial *trial)
{
    const struct mount_row *row = NULL;

    for (size_t i = 0; i < policy_mount_count; i++)
        if (policy_mounts[i].kind == MOUNT_DEVPTS)
            row = &policy_mounts[i];
    SYS_CLOSES int mount = row ? rootfs_new_devpts(row) : -ENOENT;
    if (failed(trial, mount, "a devpts"))
        return;
    SYS_CLOSES int terminal = SYS_AGAIN(openat(mount, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (terminal >= 0)
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "an instance of its own was made, and a terminal in it");
    else /* 1024 are for the machine's own instance (Documentation/filesystems/devpts.rst) */
        trial_say(trial, TRIAL_DEGRADED, errno == ENOSPC ? MEND_SYSCTL : MEND_LOOK, "kernel.pty.max=4096",
                  "an instance of its own was made, but no terminal in it (%s): none for -t", errno_name(errno));
}

void trial_devpts(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWNS, new_devpts);
}

static void dump_links(struct trial *trial)
{
    struct network_links links;
    int result = network_dump(&links);

    if (result < 0)
        trial_call(trial, -result, MEND_KERNEL, NULL, "the interfaces cannot be listed over netlink");
    else if (links.count != 1 || !links.only_lo || links.up)
        trial_say(trial, TRIAL_MISSING, MEND_SYSCTL, "net.core.fb_tunnels_only_for_init_net=2",
                  "a new network namespace has %u interfaces%s, not lo alone and down", links.count, links.up ? ", and one is up" : "");
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "a new network namespace has lo alone, and it is down");
}

void trial_netlink(struct trial *trial)
{
    trial_inside(trial, CLONE_NEWNET, dump_links);
}
