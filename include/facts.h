/* facts: everything a plan needs to know of this host, read without changing a thing. */
#ifndef BIVY_FACTS_H
#define BIVY_FACTS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"
#include "helper.h"
#include "hierarchy.h"
#include "place.h"
#include "policy.h"
#include "spec.h"
#include "timing.h"

struct facts {
    uid_t euid;
    gid_t egid;
    bool privileged; /* may write any id map and mount in this user namespace: euid 0 with CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID */
    bool no_swap;    /* nothing in /proc/swaps */
    pid_t pid;       /* of the supervisor */
    struct hierarchies cgroups;
    struct place rootfs, workspace;
    bool glibc;                             /* the rootfs has its loader: programs there may be linked with it */
    struct helper_left left;                /* the helper that checked the workspace, should it not have ended */
    int stop;                               /* a descriptor of the caller's: readable when bivy is told to stop; -1: none */
    struct timing *timing;                  /* the caller's: gets when each stage began; may be NULL */
    char *mountinfo;                        /* of the supervisor; owned: facts_release */
    uint64_t namespaces[POLICY_NAMESPACES]; /* inodes of the supervisor's own */
    cpu_set_t processors;                   /* the caller's affinity */
    bool terminal;                          /* the caller's stdout is a terminal */
};

/* May this process write any id map and mount? (euid 0 with CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, capabilities(7)) */
bool facts_privileged(void);

/* Reads mountinfo, once for all: where the record goes, where the workspace is, where the hierarchies are. Part of facts_gather. */
int facts_mounts(struct facts *facts, struct fault *fault);

/* Ids, swap, processors, namespaces, cgroup hierarchies: what does not depend on a spec. Part of facts_gather. */
int facts_host(struct facts *facts, struct fault *fault);

/* The rootfs found, opened, locked and its shape checked; the workspace that spec names opened and checked. Parts of facts_gather. */
int facts_rootfs(const struct spec *spec, struct facts *facts, struct fault *fault);
int facts_workspace(const struct spec *spec, struct facts *facts, struct fault *fault);

/* What facts must be before anything else; the rest of it zero, as static memory is. */
void facts_start(struct facts *facts);

/* Fills *facts for spec. 0 or -errno with *fault; facts_release may be called in either case, and twice. */
int facts_gather(const struct spec *spec, struct facts *facts, struct fault *fault);
void facts_release(struct facts *facts);

#endif
