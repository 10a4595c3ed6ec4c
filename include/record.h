/* record: the one JSON object that says what became of a run. Its keys and values: docs/record.schema.json, bivy(1). */
#ifndef BIVY_RECORD_H
#define BIVY_RECORD_H

#include "json.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"

/* Writes the record and a newline into json, which says itself when memory ran out. plan may be NULL where the run failed before there
 * was one. */
void record_write(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome);

#endif
