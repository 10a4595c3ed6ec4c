/* seccomp: loads the filter that the build made from the policy table. */
#ifndef BIVY_SECCOMP_H
#define BIVY_SECCOMP_H

#include "fault.h"

int seccomp_load(struct fault *fault);

/* The gate's probe: a call that the filter answers otherwise than the kernel would. 0: the filter answered. */
int seccomp_probe(void);

#endif
