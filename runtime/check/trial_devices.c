#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mountinfo.h"
#include "sys.h"
#include "trial.h"

struct node {
    const char *path;
    unsigned major, minor;
    mode_t mode;   /* where it is made */
    mode_t needed; /* what everybody must have of it, for it to be well */
};

/* Where the mount is that the node lies on; "" when that cannot be told, or is no plain word for a script in quotes. */
static void mount_of(const char *path, char *target, size_t size)
{
    SYS_CLOSES int fd = SYS_AGAIN(open(path, O_PATH | O_CLOEXEC));
    struct facts *facts = trial_room(sizeof *facts);
    struct mountinfo mount;
    struct fault fault;

    facts_start(facts);
    *target = '\0';
    if (fd >= 0 && facts_mounts(facts, &fault) == 0 && trial_mount_line(fd, facts->mountinfo, &mount) &&
        !strpbrk(mount.target, "'\" $`\\"))
        snprintf(target, size, "%s", mount.target);
    facts_release(facts);
}

/* What is wrong with a node, or NULL; and in command what root does about it. */
static const char *complaint(const struct node *node, char *command, size_t size)
{
    char make[96], mount[200];
    struct statvfs flags;
    struct stat now;

    snprintf(make, sizeof make, "mknod -m %o %s c %u %u", (unsigned)node->mode, node->path, node->major, node->minor);
    mount_of(node->path, mount, sizeof mount);
    if (lstat(node->path, &now) < 0) {
        snprintf(command, size, "%s", make);
        return "is missing";
    }
    if (stat(node->path, &now) < 0 || !S_ISCHR(now.st_mode) || now.st_rdev != makedev(node->major, node->minor)) {
        if (!strcmp(mount, node->path))
            snprintf(command, size, "umount %s", node->path);
        else
            snprintf(command, size, "rm -rf %s && %s", node->path, make);
        return "is something else";
    }
    if (statvfs(node->path, &flags) == 0 && flags.f_flag & ST_NODEV) {
        snprintf(command, size, "mount -o remount,dev %s", *mount ? mount : "/dev");
        return "is on a mount that allows no devices";
    }
    if ((now.st_mode & node->needed) != node->needed) {
        snprintf(command, size, "chmod %o %s", (unsigned)node->mode, node->path);
        return "has a mode that does not let everybody in";
    }
    return NULL;
}

/* All that is wrong in one command, so that it need not be asked for once for each node. */
void trial_devices(struct trial *trial)
{
    char commands[700] = "", seen[500] = "", quoted[720];
    bool one = true;

    for (size_t i = 0; i < policy_mount_count; i++) {
        const struct mount_row *row = &policy_mounts[i];
        const unsigned minor = row->device & 0xff;
        const struct node node = {row->source, row->device >> 8, minor, 0666, row->device >> 8 == 1 && minor < 8 ? 0666 : 0444};
        char command[300];
        const char *what = row->kind == MOUNT_DEVICE ? complaint(&node, command, sizeof command) : NULL;
        size_t told = strlen(seen), length = strlen(commands);
        if (!what)
            continue;
        snprintf(seen + told, sizeof seen - told, "%s%s %s", told ? "; " : "", row->source, what);
        if (strstr(commands, command)) /* one mount of all of them */
            continue;
        one = one && !length && !strchr(command, '&');
        snprintf(commands + length, sizeof commands - length, "%s%s", length ? " && " : "", command);
    }
    snprintf(quoted, sizeof quoted, one ? "%s" : "sh -c '%s'", commands);
    if (*seen)
        trial_say(trial, TRIAL_MISSING, MEND_DEVICE, quoted, "%s", seen);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "null, zero, full, random, urandom and tty are what they should be");
}

void trial_kernel_log(struct trial *trial)
{
    static const char path[] = "/dev/kmsg";
    SYS_CLOSES int log = SYS_AGAIN(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    int error = log < 0 ? errno : 0;
    const struct node node = {path, 1, 11, 0644, log < 0 ? 0444 : 0};
    char record[1024], command[300], quoted[320];
    const char *what = complaint(&node, command, sizeof command);
    enum mend mend = MEND_LOG;

    /* It may be at its end (EAGAIN), or have run over (EPIPE, EINVAL). */
    if (log >= 0 && !what && read(log, record, sizeof record) < 0 && errno != EAGAIN && errno != EPIPE && errno != EINVAL)
        error = errno;
    if (error == EPERM) { /* a right that only root of the machine has, where it is not everybody's */
        what = "cannot be read (EPERM)";
        snprintf(command, sizeof command, "sysctl -w kernel.dmesg_restrict=0");
        if (trial->setting->where & AT_ROOT && !(trial->setting->where & AT_CONTAINER))
            mend = MEND_OUTSIDE;
    }
    snprintf(quoted, sizeof quoted, what && strchr(command, '&') ? "sh -c '%s'" : "%s", what ? command : "");
    if (what)
        trial_say(trial, TRIAL_DEGRADED, mend, quoted, "%s %s: of a process killed for memory the record has no name", path, what);
    else if (error)
        trial_say(trial, TRIAL_DEGRADED, MEND_LOOK, NULL, "%s cannot be read (%s): of a process killed for memory the record has no name",
                  path, errno_name(error));
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "it can be read, for the name of a process killed for memory");
}
