/* keeper: the process that holds a failed sandbox for a while after its run has ended (--keep-on-fail): a copy of the supervisor with
 * nothing of the caller's, in a session of its own. */
#ifndef BIVY_KEEPER_H
#define BIVY_KEEPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct keeper {
    const char *id;
    uint64_t ns;      /* how long */
    int pidfd;        /* of the sandbox's pid 1 */
    int signals;      /* by which it is told to end: signalfd(2) */
    int *fds;         /* all that stays open, the two above included; room for one more */
    size_t count;
};

/* Forks. The caller gets the keeper's pid once that is at its post, or -errno. The keeper itself gets 0, when the time is up, the sandbox
 * has ended or it was told to let go: it must end the sandbox and exit. */
pid_t keeper_fork(const struct keeper *keeper);

#endif
