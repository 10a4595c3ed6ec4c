/* hints: one sentence for each thing that touched a run, for the reader who must act on it: what happened, with its figures, and what to
 * change. Pure. */
#ifndef BIVY_HINTS_H
#define BIVY_HINTS_H

#include <stddef.h>

#include "json.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"

struct hint {
    const char *about; /* a limit's name, or what else it is about: setup, cancelled, exit_code, signal, workspace, ... */
    char text[520];    /* names in it are the command's: any byte but NUL may be there */
};
#define HINTS_MOST 20

/* Writes what there is to say, the most telling first, and gives how many. plan may be NULL where set-up failed. */
size_t hints_make(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, struct hint hints[HINTS_MOST]);

/* The record's key `hints`. */
void hints_write(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome);

#endif
