/* privileges: ids, capabilities (libcap) and no_new_privs. */
#ifndef BIVY_PRIVILEGES_H
#define BIVY_PRIVILEGES_H

#include "fault.h"
#include "plan.h"

/* Supervisor, before clone: allocates what privileges_drop needs, so that the child need not. */
int privileges_prepare(struct fault *fault);

/* Child: real, effective and saved ids become the sandbox user's. Keeps capabilities (the new user namespace has no id 0). */
int privileges_ids(struct fault *fault);

/* Child: empties bounding, ambient, inheritable, permitted and effective sets and locks securebits. */
int privileges_drop(struct fault *fault);

/* Child: no_new_privs; not dumpable; dies with its parent (PR_SET_PDEATHSIG, set after the last change of credentials). */
int privileges_lock(struct fault *fault);

#endif
