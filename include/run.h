/* run: the host's story of a run, top to bottom, and that of a command that joins one. */
#ifndef BIVY_RUN_H
#define BIVY_RUN_H

#include "fault.h"
#include "outcome.h"
#include "spec.h"

/* `bivy run`, `shell` and `selftest`: the sandbox made, supervised and undone, then the record, the log and the summary as spec asks for them. early:
 * the options could not be read, which is told likewise, where spec has a --report or --log; else NULL. Gives bivy's exit status. */
int run_and_tell(const struct spec *spec, const struct fault *early);

/* A whole run without a record and without a word, for `bivy check`, in a process of its own. Fills *outcome. */
void run_silently(const struct spec *spec, struct outcome *outcome);

/* `bivy enter`: a command in a sandbox that is there already. argv: bivy's own (image.h). Gives bivy's exit status; 1: there is no such sandbox. */
int run_enter(const struct spec *spec, char **argv);

#endif
