/* facts: everything a plan needs to know of this host, read without changing a thing. */
#ifndef BIVY_FACTS_H
#define BIVY_FACTS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "hierarchy.h"
#include "policy.h"
#include "spec.h"

struct place { /* a directory that will be bound into the sandbox */
    char path[PATH_MAX]; /* absolute, as the caller named it */
    int fd;              /* the checked directory; -1 when there is none. Owned: facts_release */
    uint64_t device, inode;
    uid_t uid;
    gid_t gid;
    mode_t mode;
    char fstype[64];     /* from mountinfo, "" when it could not be told */
};

struct facts {
    uid_t euid;
    gid_t egid;
    bool privileged; /* may write any id map and mount in this user namespace: euid 0 with CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID */
    bool no_swap;    /* nothing in /proc/swaps */
    pid_t pid;       /* of the supervisor */
    struct hierarchies cgroups;
    struct place rootfs, workspace;
    uint64_t namespaces[POLICY_NAMESPACES]; /* inodes of the supervisor's own */
    cpu_set_t processors;                   /* the caller's affinity */
    bool terminal;                          /* the caller's stdout is a terminal */
};

/* Ids, swap, processors, namespaces, cgroup hierarchies: what does not depend on a spec. Part of facts_gather. */
int facts_host(struct facts *facts, struct fault *fault);

/* Fills *facts for spec. 0 or -errno with *fault. facts must start as FACTS_NONE;
 * facts_release may be called in either case, and twice. */
#define FACTS_NONE ((struct facts){.rootfs.fd = -1, .workspace.fd = -1})
int facts_gather(const struct spec *spec, struct facts *facts, struct fault *fault);
void facts_release(struct facts *facts);

#endif
