/* seccomp: loads the filter that the build made from the policy table. */
#ifndef BIVY_SECCOMP_H
#define BIVY_SECCOMP_H

#include "fault.h"

/* With listener, the explaining program: *listener is the descriptor by which its questions come (close-on-exec). NULL: the ordinary one. */
int seccomp_load(int *listener, struct fault *fault);

/* The gate's probe: a call that the filter answers otherwise than the kernel would. 0: the filter answered. */
int seccomp_probe(void);

#endif
