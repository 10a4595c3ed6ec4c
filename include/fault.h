/* fault: the one error type, the same in the program, on the wire from the sandbox, and in the record. */
#ifndef BIVY_FAULT_H
#define BIVY_FAULT_H

#include <stdint.h>

/* Every place where a run can fail, in the order in which a run passes them. fault.c names them in the same order. */
enum stage {
    STAGE_OPTIONS,      /* the command line or a profile */
    STAGE_REPORT,       /* opening or writing the record */
    STAGE_ROOTFS,       /* finding and checking the rootfs */
    STAGE_WORKSPACE,    /* finding and checking the workspace */
    STAGE_PLAN,         /* deciding ids, mounts and limits */
    STAGE_CGROUP,       /* the leaf and its limits */
    STAGE_STREAMS,      /* pipes between caller and command */
    STAGE_CLONE,        /* clone3 */
    STAGE_IDMAP,        /* uid_map and gid_map */
    STAGE_INHERITED,    /* from here on: inside the sandbox, before the command */
    STAGE_CGROUP_ENTER,
    STAGE_KEYRING,
    STAGE_IDS,
    STAGE_SCRATCH,
    STAGE_ROOT,
    STAGE_PROC,
    STAGE_MOUNTS,
    STAGE_PIVOT,
    STAGE_NETWORK,
    STAGE_HOST_NAME,
    STAGE_RLIMITS,
    STAGE_AFFINITY,
    STAGE_CAPABILITIES,
    STAGE_NO_NEW_PRIVS,
    STAGE_SECCOMP,
    STAGE_INIT,         /* pid 1 forking the command */
    STAGE_DESCRIPTORS,
    STAGE_GATE,         /* the read-back gate refused */
    STAGE_EXEC,         /* execve of the command */
    STAGE_SUPERVISE,
    STAGE_COUNT
};

/* Fixed size, below PIPE_BUF, so that one write to a pipe is atomic (pipe(7)). errnum 0: no errno applies. */
struct fault {
    int32_t stage;
    int32_t errnum;
    int32_t trouble; /* enum trouble of a workspace (trouble.h), else 0 */
    char what[512]; /* names the object; always NUL-terminated */
    char hint[384]; /* the mend, or "" */
};

/* The stage's name as it stands in the record; "unknown" when out of range. */
const char *stage_name(int stage);

/* "ENOENT" and so on; "E?" for a number this table does not know; NULL for 0. */
const char *errno_name(int errnum);

/* Fills *fault and returns -errnum (or -EINVAL where errnum is 0), so that callers can `return fault_set(...)`. Only the
 * origin of an error calls this; everybody else forwards. hint may be NULL. Does not allocate; safe after clone. */
int fault_set(struct fault *fault, enum stage stage, int errnum, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Gives a hint to a fault that has none, where the caller knows the mend and the origin could not. */
void fault_hint(struct fault *fault, const char *hint);

#endif
