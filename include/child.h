/* child: the child story: everything between clone3 and the command's execve, as one const table of stages. */
#ifndef BIVY_CHILD_H
#define BIVY_CHILD_H

#include "launch.h"

/* Never returns. */
_Noreturn void child_main(struct child *child);

/* Two stages of it, which `bivy check` tries by themselves. Both change the calling process. */
int child_keyring(struct fault *fault);
int child_rlimits(const struct plan *plan, struct fault *fault);

#endif
