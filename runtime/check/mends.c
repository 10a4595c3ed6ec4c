#include "mends.h"

#include <stdio.h>
#include <string.h>

/* The first row of a mend whose conditions all hold is taken; the last one of each has none. `@` stands for the argument, BIVY for the
 * program as a shell finds it, BUILD for rootfs/build. Words that are no command stand behind a `#`, so that the line can be pasted.
 * A first letter `!`: root's work on this machine, so an ordinary user is shown sudo. `^`: on the machine whose kernel this is, which in a
 * container is the host. What could not be tried where bivy is built is marked in docs/CHECK.md. */
/* clang-format off */
#define BIVY "\001"
#define BUILD "\002"
#define GRUB(words) "^sh -c \"sed -i 's/^GRUB_CMDLINE_LINUX=\\\"/&" words " /' /etc/default/grub && update-grub && reboot\""
#define GRUBBY(words) "^sh -c 'grubby --update-kernel=ALL --args=" words " && reboot'"
#define WSL(words) "in Windows: put the lines [wsl2] and kernelCommandLine=" words " into %UserProfile%\\.wslconfig, then wsl --shutdown"
#define PRIVILEGED " run --privileged --cgroupns=private IMAGE " BIVY " check"
#define SERVICE "systemd-run --pipe --wait -p Delegate=yes " BIVY " check"
#define USER_SERVICE "systemd-run --user --pipe --wait -p Delegate=yes " BIVY " check"
/* As systemd mounts it. The options are those of the whole file system: without them here, a mount elsewhere would lose its own. */
#define CGROUP2 "mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2"
#define KUBE "in the pod's spec: securityContext: {privileged: true}"

static const struct row {
    enum mend mend;
    unsigned where;
    const char *text;
} rows[] = {
    {MEND_SAID, 0, "@"},

    {MEND_KERNEL, AT_WSL, "in Windows: wsl --update"},
    {MEND_KERNEL, AT_CONTAINER, "on the container's host: install Linux 6.1 or newer (5.15 is the least)"},
    {MEND_KERNEL, AT_UBUNTU, "!sh -c 'apt-get update && apt-get install -y linux-generic && reboot'"},
    {MEND_KERNEL, AT_DEBIAN, "!sh -c 'apt-get update && apt-get install -y linux-image-$(dpkg --print-architecture) && reboot'"},
    {MEND_KERNEL, AT_FEDORA, "!sh -c 'dnf -y upgrade kernel && reboot'"},
    {MEND_KERNEL, AT_ALPINE, "!sh -c 'apk add --upgrade linux-lts && reboot'"},
    {MEND_KERNEL, 0, "install Linux 6.1 or newer (5.15 is the least), with all namespaces, cgroups, seccomp filters and tmpfs"},

    {MEND_FILTER, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_FILTER, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_FILTER, AT_KUBERNETES, KUBE},
    {MEND_FILTER, AT_CONTAINER, "start the container privileged and without a seccomp profile"},
    {MEND_FILTER, AT_SYSTEMD | AT_ROOT, SERVICE},
    {MEND_FILTER, AT_SYSTEMD, USER_SERVICE},
    {MEND_FILTER, 0, "start bivy from a process that no seccomp filter holds: where `grep Seccomp: /proc/self/status` shows 0"},

    {MEND_PROC, 0, "!mount -t proc proc /proc"},
    {MEND_SYSCTL, 0, "^sysctl -w @"},

    {MEND_USERNS, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_USERNS, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_USERNS, AT_KUBERNETES, KUBE},
    {MEND_USERNS, AT_CONTAINER, "start the container privileged"},
    {MEND_USERNS, AT_FILTERED | AT_SYSTEMD | AT_ROOT, SERVICE},
    {MEND_USERNS, AT_FILTERED | AT_SYSTEMD, USER_SERVICE},
    {MEND_USERNS, AT_FILTERED, "start bivy from a process that no seccomp filter holds: where `grep Seccomp: /proc/self/status` shows 0"},
    {MEND_USERNS, AT_USER, "!" BIVY " check"}, /* some policy keeps them from users */
    {MEND_USERNS, 0, "ask whoever runs this host what keeps user namespaces, or mounts in them, from root (an LSM's policy, or the kernel's CONFIG_USER_NS)"},

    /* Its tree becomes the root of a mount namespace of its own; the way there leads out of the chroot, but for the working directory. */
    {MEND_CHROOT, 0, "!nsenter --mount=/proc/self/ns/mnt --wd=/ unshare -m sh -c 'd=$(pwd -P) && mount --rbind \"$d\" \"$d\" && cd \"$d\" "
                     "&& pivot_root . . && umount -l . && exec " BIVY " check'"},

    {MEND_RIGHTS, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_RIGHTS, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_RIGHTS, AT_KUBERNETES, KUBE},
    {MEND_RIGHTS, AT_SYSTEMD, SERVICE},
    {MEND_RIGHTS, 0, "run it as an ordinary user, or as root with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID"},

    {MEND_IDS, 0, BIVY " check --host-uid @ --host-gid @ # and the same for bivy run, or a --workspace whose owner has an id here"},
    {MEND_NO_IDS, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_NO_IDS, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_NO_IDS, AT_KUBERNETES, KUBE},
    {MEND_NO_IDS, 0, "outside of this user namespace, whose only id is root's: unshare --user --mount --map-root-user --map-users=auto "
                     "--map-groups=auto " BIVY " check # needs newuidmap, and lines in /etc/subuid and /etc/subgid"},

    {MEND_GROUP, AT_DOCKER, "docker run --user @:@ IMAGE " BIVY " check"},
    {MEND_GROUP, AT_PODMAN, "podman run --user @:@ IMAGE " BIVY " check"},
    {MEND_GROUP, AT_KUBERNETES, "in the pod's spec: securityContext: {runAsGroup: @}"},
    {MEND_GROUP, 0, "!setpriv --reuid @ --regid @ --clear-groups " BIVY " check"},

    {MEND_USED, AT_CONTAINER, "on the container's host, as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
    {MEND_USED, AT_UBUNTU, "!sh -c \"printf 'abi <abi/4.0>,\\nprofile bivy @ flags=(unconfined) {\\n  userns,\\n}\\n' > /etc/apparmor.d/bivy && "
                           "apparmor_parser -r /etc/apparmor.d/bivy\""},
    {MEND_USED, AT_USER, "!" BIVY " check"},
    {MEND_USED, 0, "ask whoever runs this host which LSM takes the capabilities away"},

    {MEND_MOUNTED, AT_DOCKER, "docker run --security-opt systempaths=unconfined IMAGE " BIVY " check"},
    {MEND_MOUNTED, AT_PODMAN, "podman run --security-opt unmask=ALL IMAGE " BIVY " check"},
    {MEND_MOUNTED, AT_KUBERNETES, "in the pod's spec: securityContext: {procMount: Unmasked}"},
    {MEND_MOUNTED, 0, "!umount @"},
    {MEND_MASKED, AT_DOCKER, "docker run --security-opt systempaths=unconfined IMAGE " BIVY " check"},
    {MEND_MASKED, AT_PODMAN, "podman run --security-opt unmask=ALL IMAGE " BIVY " check"},
    {MEND_MASKED, AT_KUBERNETES, "in the pod's spec: securityContext: {procMount: Unmasked}"},
    {MEND_MASKED, 0, "!unshare -m sh -c 'mount -t proc proc /proc && exec " BIVY " check'"},

    {MEND_CGROUP2, AT_CONTAINER | AT_ROOT, "sh -c 'mkdir -p /run/cgroup2 && " CGROUP2 " /run/cgroup2'"}, /* /sys is read-only */
    {MEND_CGROUP2, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_CGROUP2, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_CGROUP2, AT_KUBERNETES, KUBE},
    {MEND_CGROUP2, AT_WSL, WSL("cgroup_no_v1=all")},
    {MEND_CGROUP2, AT_ALPINE, "!sh -c 'rc-update add cgroups && rc-service cgroups start'"},
    {MEND_CGROUP2, 0, "!sh -c 'mkdir -p @ && " CGROUP2 " @'"},

    {MEND_HYBRID, AT_WSL, WSL("cgroup_no_v1=all")},
    {MEND_HYBRID, AT_CONTAINER, "on the container's host: boot with systemd.unified_cgroup_hierarchy=1"},
    {MEND_HYBRID, AT_ALPINE, "^sh -c \"sed -i 's/^#*rc_cgroup_mode=.*/rc_cgroup_mode=unified/' /etc/rc.conf && rc-update add cgroups && reboot\""},
    {MEND_HYBRID, AT_SYSTEMD | AT_DEBIAN, GRUB("systemd.unified_cgroup_hierarchy=1")},
    {MEND_HYBRID, AT_SYSTEMD | AT_FEDORA, GRUBBY("systemd.unified_cgroup_hierarchy=1")},
    {MEND_HYBRID, AT_SYSTEMD, "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"},
    {MEND_HYBRID, 0, "boot with cgroup_no_v1=all on the kernel's command line (under systemd: systemd.unified_cgroup_hierarchy=1)"},

    {MEND_DELEGATE, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_DELEGATE, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_DELEGATE, AT_KUBERNETES, KUBE},
    {MEND_DELEGATE, AT_SYSTEMD | AT_USER, "systemd-run --user --scope -p Delegate=yes " BIVY " check"},
    {MEND_DELEGATE, 0, "!@"},

    {MEND_HAND_ON, AT_DOCKER, "docker" PRIVILEGED},
    {MEND_HAND_ON, AT_PODMAN, "podman" PRIVILEGED},
    {MEND_HAND_ON, AT_KUBERNETES, KUBE},
    {MEND_HAND_ON, AT_SYSTEMD | AT_USER,
     "!sh -c \"mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu memory pids\\n' "
     "> /etc/systemd/system/user@.service.d/bivy.conf && systemctl daemon-reload\" # then log in again, and: "
     "systemd-run --user --scope -p Delegate=yes " BIVY " check"},
    {MEND_HAND_ON, 0, "!@"},

    {MEND_CONTROLLER, AT_WSL, WSL("cgroup_no_v1=all cgroup_enable=@")},
    {MEND_CONTROLLER, AT_CONTAINER, "on the container's host: boot with cgroup_enable=@ on the kernel's command line"},
    {MEND_CONTROLLER, AT_DEBIAN, GRUB("cgroup_enable=@")},
    {MEND_CONTROLLER, AT_FEDORA, GRUBBY("cgroup_enable=@")},
    {MEND_CONTROLLER, 0, "boot with cgroup_enable=@ on the kernel's command line"},

    {MEND_SWAP, AT_CONTAINER, "on the container's host, as root: swapoff -a"},
    {MEND_SWAP, 0, "!swapoff -a"},
    {MEND_KEYS, 0, "^sysctl -w kernel.keys.maxkeys=20000"},

    {MEND_LIMIT, AT_DOCKER, "docker run --ulimit nofile=1048576:1048576 IMAGE " BIVY " check"},
    {MEND_LIMIT, AT_PODMAN, "podman run --ulimit nofile=1048576:1048576 IMAGE " BIVY " check"},
    {MEND_LIMIT, AT_ALPINE, "!sh -c 'apk add util-linux-misc && prlimit @'"},
    {MEND_LIMIT, 0, "!prlimit @"},

    {MEND_DEVICE, 0, "!@"},

    {MEND_ROOTFS, 0, BUILD " --output @"},
    {MEND_COMMAND, 0, "!@"},
    {MEND_OUTSIDE, 0, "outside of this user namespace, as root: @"},
    {MEND_CLEAN, 0, BIVY " clean"},
    {MEND_OWN, 0, BIVY " @"},
    {MEND_LOOK, 0, "strace -f -o /tmp/bivy.strace " BIVY " run -- /bin/true # what was refused stands near its end; and dmesg, for what killed it"},

    {MEND_FUSE, 0, "!umount @ # then mount it again with -o allow_other,default_permissions (weed mount: both are its default), which for an "
                   "ordinary user needs the line user_allow_other in /etc/fuse.conf"},

    {MEND_CLOCK, AT_WSL, "!hwclock --hctosys"},
    {MEND_CLOCK, AT_CONTAINER, "on the container's host, as root: timedatectl set-ntp true"},
    {MEND_CLOCK, AT_SYSTEMD, "!timedatectl set-ntp true"},
    {MEND_CLOCK, AT_ALPINE, "!sh -c 'rc-update add chronyd && rc-service chronyd restart'"},
    {MEND_CLOCK, 0, "!hwclock --hctosys"},

    {MEND_LOG, AT_DOCKER, "docker run --device /dev/kmsg --cap-add SYSLOG IMAGE " BIVY " check"},
    {MEND_LOG, AT_CONTAINER, "give the container /dev/kmsg and CAP_SYSLOG"},
    {MEND_LOG, 0, "!@"},
};
/* clang-format on */
#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* Only shows: a user who may not sudo reads whose work it is. */
static const char *prefix(char mark, const struct setting *setting)
{
    if (mark == '^' && setting->where & AT_CONTAINER)
        return "on the container's host, as root: ";
    if (setting->uid == 0)
        return "";
    return setting->where & AT_ALPINE ? "doas " : "sudo ";
}

void mends_text(enum mend mend, const struct setting *setting, const char *argument, char *text, size_t size)
{
    size_t length = 0;

    *text = '\0';
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *at = rows[i].text;
        if (rows[i].mend != mend || (rows[i].where & setting->where) != rows[i].where)
            continue;
        if (*at == '!' || *at == '^')
            length = (size_t)snprintf(text, size, "%s", prefix(*at++, setting));
        for (; *at && length < size - 1; at++) {
            if (*at == '@' && at[1] != '.') /* systemd's user@.service is a name */
                length += (size_t)snprintf(text + length, size - length, "%s", argument ? argument : "");
            else if (*at == *BIVY || *at == *BUILD)
                length += (size_t)snprintf(text + length, size - length, "%s", *at == *BIVY ? setting->program : setting->build);
            else
                text[length++] = *at;
        }
        text[length < size ? length : size - 1] = '\0';
        return;
    }
}

void mends_word(char *text, size_t size, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
    size_t length = strlen(text);
    bool quote = !*word || word[strspn(word, plain)];

    if (quote && length + 1 < size)
        text[length++] = '\'';
    for (; *word && length + 6 < size; word++) {
        if (*word == '\'') {
            memcpy(text + length, "'\\''", 4);
            length += 4;
        } else {
            text[length++] = *word;
        }
    }
    if (quote && length + 1 < size)
        text[length++] = '\'';
    text[length] = '\0';
}

int mends_complete(void)
{
    for (int mend = MEND_NONE + 1; mend < MEND_COUNT; mend++) {
        const struct row *last = NULL;
        for (size_t i = 0; i < ROW_COUNT; i++)
            if (rows[i].mend == (enum mend)mend)
                last = &rows[i];
        if (!last || last->where)
            return mend;
    }
    return 0;
}
