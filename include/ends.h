/* ends: the descriptors and paths that a process waits on, named (pipe, file, terminal, socket), and who holds a pipe's other end or a lock. For an
 * autopsy's helper: see autopsy.c for what may wait. */
#ifndef BIVY_ENDS_H
#define BIVY_ENDS_H

#include "autopsy.h"
#include "crowd.h"

/* Fills seen->on from the call that it is in (seen->call). */
void ends_resolve(struct crowd *crowd, struct member *member, const struct autopsy_call *call, struct autopsy_process *seen);

/* Does anything of what was found have another end, or one who holds its lock? */
bool ends_are_open(const struct autopsy *found);
/* Writes member down wherever it holds the other end, or the lock, of what somebody waits on. */
void ends_match(const struct crowd *crowd, const struct member *member, struct autopsy *found);

/* Says which sockets those are that somebody waits on, by the tables of the network, which is the same for all. Takes no lock of theirs. */
void ends_name_sockets(struct crowd *crowd, struct autopsy *found);

#endif
