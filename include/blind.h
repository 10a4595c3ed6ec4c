/* blind: language runtimes that take the host's memory for theirs, and what tells them (docs/VIEW.md). */
#ifndef BIVY_BLIND_H
#define BIVY_BLIND_H

#include <stdint.h>

enum { BLIND_TEXT = 128 };

/* "; Java cannot see this limit: ..." for a process of that name, which was killed at a limit of `memory` bytes; "" where it is none of them, or where
 * env, its environment (NULL-terminated, or NULL), tells it already. */
const char *blind_mend(const char *process, char *const *env, uint64_t memory, char text[static BLIND_TEXT]);

#endif
