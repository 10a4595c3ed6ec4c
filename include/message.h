/* message: what travels up the one pipe from the sandbox to the supervisor. Fixed size, one write each, below PIPE_BUF. */
#ifndef BIVY_MESSAGE_H
#define BIVY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "policy.h"

/* What the gate read back from the kernel. Goes into the record as `isolation`. */
struct readback {
    uint32_t uid, gid, groups;
    uint64_t caps[5]; /* inheritable, permitted, effective, bounding, ambient */
    uint32_t no_new_privs, seccomp, seccomp_filters;
    uint64_t namespaces[POLICY_NAMESPACES];
    uint32_t mounts;
    uint32_t root_major, root_minor;
    uint32_t links;          /* network interfaces seen */
    uint32_t loopback_up;
    uint32_t descriptors;    /* open in the command */
    uint32_t processors;     /* it may run on */
    char cgroup[64];         /* v2 path as the command sees it */
    char workspace_fs[64];
};

/* What pid 1 tells when it has reaped the command. */
struct ended {
    int32_t wait_status;   /* of wait(2) */
    uint32_t scratch_seen; /* the following are known */
    uint64_t scratch_bytes, scratch_inodes; /* in use */
    uint32_t scratch_full; /* no block or no inode is left */
    uint64_t unreachable;  /* network_unreachable() where the command failed, else UINT64_MAX */
};

enum message_kind {
    MESSAGE_FAULT = 1, /* set-up failed; nothing of the command ran */
    MESSAGE_READY,     /* the gate let the command pass; execve is the next call */
    MESSAGE_ENDED,     /* pid 1 reaped the command */
    MESSAGE_CLEARED,   /* --keep-on-fail: pid 1 has sent SIGKILL to everybody else */
    MESSAGE_ALONE,     /* likewise: and all of them are gone */
};

struct message {
    uint32_t magic; /* MESSAGE_MAGIC: anything else is refused */
    uint32_t kind;
    uint64_t at; /* CLOCK_MONOTONIC ns at the sender: the reader may be late */
    union {
        struct fault fault;
        struct readback readback;
        struct ended ended;
    };
};
#define MESSAGE_MAGIC 0x62697679u

/* Is this a whole, well-formed message (magic, kind, terminated strings)? What comes up the pipe is written by our own code,
 * but by code in a process that the sandbox's limits can kill at any byte. Pure. */
bool message_valid(const void *bytes, size_t length);

/* Fills magic and at, then one write(2) to fd, EINTR survived. 0 or -errno. */
int message_send(int fd, struct message *message);

/* Shared between supervisor and sandbox until the command runs: where set-up stands, so that a set-up that is killed or hangs
 * can be named, and how long each stage took. */
struct progress {
    volatile uint32_t stage;
    volatile uint64_t entered[STAGE_COUNT]; /* CLOCK_MONOTONIC ns */
};

#endif
