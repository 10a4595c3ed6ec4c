/* init: pid 1 of the sandbox once the command is forked: reaps, passes SIGTERM on, tells how the command ended. */
#ifndef BIVY_INIT_H
#define BIVY_INIT_H

#include <stdbool.h>
#include <sys/types.h>

/* Down the lifeline, behind launch.h's two. */
#define INIT_TERM 'T' /* SIGTERM to everybody */
#define INIT_KEEP 'K' /* SIGKILL to everybody else; then stay, until the lifeline ends */

/* Before the fork, while a failure can still stop the run: blocks SIGCHLD and gives the descriptor that it comes by, or -errno. */
int init_prepare(void);

/* `bivy enter`: for the process outside the pid namespace that made the one inside: reaps it, passes SIGTERM on, tells how it ended, and
 * ends it when the lifeline ends. Never returns. */
_Noreturn void init_attend(pid_t command, int up, int lifeline, int signals);

/* signals: what init_prepare gave. waits: when the command has ended pid 1 stays until it is told to keep the sandbox, or the lifeline
 * ends. Never returns; when it exits the kernel kills whatever is left in the pid namespace. */
_Noreturn void init_main(pid_t command, int up, int lifeline, int signals, bool waits);

#endif
