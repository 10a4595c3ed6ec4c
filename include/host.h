/* host: everything on this host's side of a run, in one struct: acquired in its order, undone by one call in the reverse. */
#ifndef BIVY_HOST_H
#define BIVY_HOST_H

#include <stdbool.h>

#include "cgroup.h"
#include "facts.h"
#include "fault.h"
#include "launch.h"
#include "outcome.h"
#include "plan.h"
#include "report.h"
#include "spec.h"
#include "streams.h"
#include "watch.h"

/* Everything of a run that must be undone, in the order in which it is acquired. */
struct host {
    struct facts facts;
    struct plan plan;
    struct cgroup cgroup;
    bool leaf; /* the cgroup leaf is this run's, to be removed */
    struct streams streams;
    struct progress *progress; /* shared with the child */
    struct launched launched;
    int signals; /* signalfd; -1: none */
    struct watch watch;
    struct report report;
};

/* The only one of this process, with nothing acquired yet. timing: gets when each stage began; may be NULL. */
struct host *host_begin(struct timing *timing);

/* Finds out what this host is and decides the plan; changes nothing. 0 or -errno with *fault. */
int host_decide(const struct spec *spec, struct host *host, struct fault *fault);

/* Makes the page by which the child says how far it is. 0 or -errno with *fault. */
int host_share_progress(struct host *host, struct fault *fault);

/* Ends what is left of the sandbox and removes its leaf, or leaves both to a keeper, where the outcome says so (--keep-on-fail). What would
 * not go is said in outcome->residue; what could not be kept is gone, and outcome->kept is 0. Idempotent. */
void host_undo(struct host *host, struct outcome *outcome);

/* Closes what is left: streams, plan, facts. Idempotent. */
void host_release(struct host *host);

#endif
