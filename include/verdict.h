/* verdict: what became of a run, of what was seen of it; and until when that must be said. */
#ifndef BIVY_VERDICT_H
#define BIVY_VERDICT_H

#include <stdint.h>

#include "course.h"

/* The kind of outcome, and where something went wrong the fault that names it. The run is over. */
void verdict(struct course *course);
/* When everything must be said: the last output, what stderr gets, the record (sys_now() scale). */
uint64_t verdict_by(const struct course *course, uint64_t now);

#endif
