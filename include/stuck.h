/* stuck: who of a leaf will not end although he was killed, and what he waits for. */
#ifndef BIVY_STUCK_H
#define BIVY_STUCK_H

#include <stdbool.h>
#include <stddef.h>

#include "autopsy.h"
#include "place.h"

/* What keeps those that an autopsy found, or, where it found nobody, bivy's own pid 1, SIGKILL having been sent to all of them. */
enum stuck_by {
    STUCK_UNKNOWN,   /* it cannot be told */
    STUCK_HELD,      /* at least one waits in the kernel for what does not come (state D, or one of its threads asks a silent server) */
    STUCK_PROCESSOR, /* nothing: they could go on and end as soon as a processor is free (state R) */
};
enum stuck_by stuck_by(const struct autopsy *autopsy, pid_t init);

/* Writes a line about those whom an autopsy found, or about none (NULL): pid, name, system call, wait channel. The text always ends with
 * NUL. Their names are theirs: any byte may be in it. */
void stuck_describe(const struct autopsy *autopsy, char *text, size_t size);
/* The same of one process that is ours and does not execve(2): else its files could make us wait (autopsy.c). */
void stuck_describe_process(int pid, char *text, size_t size);

/* Ends the FUSE connection that a place is on: every waiting request fails at once (Documentation/filesystems/fuse.rst). 0 or -errno. */
int stuck_abort(const struct place *place);

#endif
