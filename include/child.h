/* child: the child story: everything between clone3 and the command's execve, as one const table of stages. */
#ifndef BIVY_CHILD_H
#define BIVY_CHILD_H

#include "launch.h"

/* Never returns. */
_Noreturn void child_main(struct child *child);

#endif
