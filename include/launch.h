/* launch: clone3 into namespaces and the leaf, id maps, handshake. */
#ifndef BIVY_LAUNCH_H
#define BIVY_LAUNCH_H

#include <sys/types.h>

#include "child.h"
#include "fault.h"
#include "join.h"
#include "listener.h"
#include "message.h"
#include "plan.h"

struct launched {
    pid_t pid;
    int pidfd;
    int up;       /* read end */
    int lifeline; /* write end; closing it kills the sandbox, or the command that joined one */
    struct listener listener;
    struct join names; /* --keep-on-fail: its namespaces, for a keeper */
    bool joined;  /* the process that was cloned is no pid 1: what it looks after does not die with it */
};
#define LAUNCHED_NONE ((struct launched){.pidfd = -1, .up = -1, .lifeline = -1, .listener = LISTENER_NONE})

/* Writes the one-line id maps of pid's user namespace; pid: a child of the caller's, not yet waited for. Part of launch. */
int launch_maps(const struct plan *plan, pid_t pid, struct fault *fault);

int launch(struct child *child, struct launched *launched, struct fault *fault);
/* The same for a command that joins a live sandbox (child->join): the process is born in its leaf, child->cgroup, and goes into its
 * namespaces by itself. */
int launch_join(struct child *child, struct launched *launched, struct fault *fault);
void launch_release(struct launched *launched);

#endif
