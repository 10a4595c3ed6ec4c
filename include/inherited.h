/* inherited: what a process has from whoever started it, besides descriptors and memory: given up, made anew, or set. Each changes the calling process;
 * `bivy check` tries some of them by themselves. */
#ifndef BIVY_INHERITED_H
#define BIVY_INHERITED_H

#include <stdbool.h>

#include "fault.h"
#include "plan.h"

/* Scheduling and I/O class, personality, timer slack, protection from the OOM killer: an ordinary process's, read back. 0 or -errno. */
int inherited_shed(struct fault *fault);

/* A session keyring of its own (keyctl(2)), read back. Waits while the keyrings of sandboxes that have ended still count. 0 or -errno. */
int inherited_keyring(struct fault *fault);

/* The plan's resource limits; those that come late, behind the filter, or all the others. 0 or -errno. */
int inherited_rlimits(const struct plan *plan, bool late, struct fault *fault);

#endif
