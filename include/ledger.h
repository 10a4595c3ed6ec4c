/* ledger: what each limit held, and which of them touched a run. Pure. */
#ifndef BIVY_LEDGER_H
#define BIVY_LEDGER_H

#include <stdbool.h>

#include "json.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"

enum ledger {
    LEDGER_MEMORY, LEDGER_CPU, LEDGER_PIDS, LEDGER_TIMEOUT, LEDGER_SCRATCH, LEDGER_FILE_SIZE, LEDGER_OPEN_FILES, LEDGER_OUTPUT, LEDGER_COUNT
};

/* As limits_hit has it: "memory", ... */
const char *ledger_name(enum ledger limit);

/* Did that limit touch the run, also one that ended well? plan may be NULL where a run failed before there was one. */
bool ledger_hit(enum ledger limit, const struct plan *plan, const struct outcome *outcome);

/* Was it refused or killed without having had what its own limit allows? Then a cgroup above it, or the host, had no more to give: a higher
 * limit of its own would change nothing, and it is not named as hit. */
bool ledger_memory_ran_out_above(const struct plan *plan, const struct outcome *outcome);
bool ledger_pids_ran_out_above(const struct plan *plan, const struct outcome *outcome);

/* Is there nothing to tell of? Exit status 0, and no limit that touched it, but for the processor's, which holds nearly every command back now
 * and then. */
bool ledger_all_well(const struct plan *plan, const struct outcome *outcome);

/* Is that limit in force in this run's leaf? */
bool ledger_enforced(const struct outcome *outcome, enum limit limit);

/* The part of scratch that was in use when it was last seen, bytes; false where it was not. */
bool ledger_scratch(const struct outcome *outcome, uint64_t *bytes);

/* The record's keys `memory`, `cpu`, `pids`, `scratch`, `open_files`, `file_size`; and `limits_hit`. */
void ledger_write(struct json *json, const struct spec *spec, const struct outcome *outcome, const struct plan *plan);
void ledger_write_hit(struct json *json, const struct plan *plan, const struct outcome *outcome);

#endif
