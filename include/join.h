/* join: the namespaces of a live sandbox, as descriptors, and how a process of ours gets into them (setns(2)). */
#ifndef BIVY_JOIN_H
#define BIVY_JOIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "live.h"
#include "policy.h"

/* In the order of policy_namespaces, the user namespace first: it gives the rights to enter the others. */
struct join {
    bool open;
    int fd[POLICY_NAMESPACES]; /* owned: join_release; only where open is set */
    uint64_t inode[POLICY_NAMESPACES];
};

/* Those of one process. Needs what ptrace(2) would need to look at it (PTRACE_MODE_READ). 0 or -errno. */
int join_open(pid_t pid, struct join *join);

/* Those of a live sandbox: a kept one's from its keeper, who took them early; else pid 1's, which only root may look at, or those of any
 * other process inside. What was found is checked: seven namespaces, none of them ours, all owned by the one user namespace. own: ours.
 * 0 or -errno with *fault. */
int join_find(const struct live *live, const uint64_t own[POLICY_NAMESPACES], struct join *join, struct fault *fault);

/* Puts the calling process into them, except that only its children are in the pid namespace (pid_namespaces(7)), and closes them. It
 * has all capabilities there, and "/" and "." are the sandbox's root. */
int join_enter(struct join *join, struct fault *fault);

void join_release(struct join *join);

#endif
