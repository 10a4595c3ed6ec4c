/* check: can this host do it? One table of needs, each tried by doing it (trial.h), and the answer as a text. */
#ifndef BIVY_CHECK_H
#define BIVY_CHECK_H

#include "fault.h"
#include "spec.h"
#include "trial.h"

/* Tries every need for spec's rootfs, workspace and cgroup parent. *text: for people, or JSON where spec asks for it; the caller frees it,
 * also after a fault. 0: a run works, if with less; 1: something that a run needs is missing; -errno with *fault: it cannot be told. */
int check_run(const struct spec *spec, trial_whole_run *run, char **text, struct fault *fault);

#endif
