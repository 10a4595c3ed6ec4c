/* child: the child story: everything between clone3 and the command's execve, as one const table of stages. */
#ifndef BIVY_CHILD_H
#define BIVY_CHILD_H

#include <sched.h>

#include "cgroup.h"
#include "fault.h"
#include "join.h"
#include "message.h"
#include "plan.h"
#include "streams.h"
#include "timing.h"

/* What the sandbox's first process needs, all of it decided or opened before it exists. */
struct child {
    const struct plan *plan;
    struct cgroup *cgroup;
    struct streams *streams;
    struct progress *progress;
    struct timing *timing;
    cpu_set_t processors;  /* chosen by the child, where the plan narrows them */
    int rootfs, workspace; /* taken by the supervisor where it may mount; else -1 */
    struct join *join;     /* `bivy enter`: namespaces to go into; NULL: new ones are made */
    int up;                /* messages */
    int lifeline;          /* CHILD_MAPPED, CHILD_LIMITED; then 'T': pass on SIGTERM; end of file: the supervisor is gone */
    int explain;           /* --explain: where the filter's listener goes; else -1 */
};

/* What the child waits for, in this order, one byte each. */
#define CHILD_MAPPED 'G'  /* its ids are mapped */
#define CHILD_LIMITED 'L' /* its leaf's limits are in force, and read back */

/* Never returns. */
_Noreturn void child_main(struct child *child);

#endif
