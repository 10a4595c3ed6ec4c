/* policy: what every sandbox is made of, as const tables. No code decides anything that a row here could say. */
#ifndef BIVY_POLICY_H
#define BIVY_POLICY_H

#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mount_kind {
    MOUNT_ROOT,      /* the rootfs */
    MOUNT_SCRATCH,   /* a directory of the one scratch tmpfs, made with mode */
    MOUNT_DEVICE,    /* a host device node, bound on a file of /dev */
    MOUNT_DEVPTS,    /* an own instance */
    MOUNT_PROC,      /* procfs of the own pid namespace */
    MOUNT_MASK_FILE, /* an empty file over a file of /proc; left out where the kernel has no such file */
    MOUNT_MASK_DIR,  /* an empty directory over a directory of /proc; likewise */
    MOUNT_WORKSPACE, /* the caller's directory, or scratch */
};

struct mount_row {
    enum mount_kind kind;
    const char *target; /* absolute, inside */
    const char *source; /* MOUNT_SCRATCH: name of the directory in the tmpfs; MOUNT_DEVICE: the host's node */
    uint64_t attr;      /* MOUNT_ATTR_* of mount_setattr(2) */
    mode_t mode;        /* MOUNT_SCRATCH: mode of the directory */
    unsigned device;    /* MOUNT_DEVICE: major << 8 | minor that the node must have */
    const char *why;
};

/* Files and links made in scratch directories before these are bound read-only. */
struct scratch_entry {
    const char *path;   /* below the tmpfs root */
    const char *link;   /* symlink target; NULL: a directory or file */
    bool directory;
    mode_t mode;
};

struct rlimit_row {
    int resource;
    uint64_t soft, hard; /* UINT64_MAX: RLIM_INFINITY */
    const char *name;
    const char *why;
};

struct env_row {
    const char *name, *value, *why;
};

struct namespace_row {
    const char *name; /* as in /proc/self/ns */
    uint64_t flag;    /* CLONE_NEW* */
    const char *why;
};

/* Of every mask: they are binds of one pattern. */
#define POLICY_MASK_ATTR ((uint64_t)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC))

extern const struct mount_row policy_mounts[];
extern const size_t policy_mount_count;
extern const struct scratch_entry policy_scratch[];
extern const size_t policy_scratch_count;
extern const struct rlimit_row policy_rlimits[];
extern const size_t policy_rlimit_count;
extern const struct env_row policy_env[];
extern const size_t policy_env_count;
extern const struct namespace_row policy_namespaces[];
#define POLICY_NAMESPACES 7

#define POLICY_UID 1000 /* user and group `sandbox` inside */
#define POLICY_HOST_NAME "bivy"
#define POLICY_WORKSPACE "/workspace"
#define POLICY_HOME "/home/sandbox"
#define POLICY_UMASK 022
#define POLICY_TIMER_SLACK 50000 /* ns, what the kernel gives init */
#define POLICY_PTYS 16 /* devpts max=: a pty bomb ends here, not at the host's kernel.pty.max */

/* Host ids for sandboxes without a workspace (root only): base + bivy's own pid, so that no two live sandboxes share one and
 * no list of used ids is needed. 0x70000000 - 0x7fffffff is left free by systemd's table of id ranges. */
#define POLICY_FREE_ID_BASE 0x70000000u

#endif
