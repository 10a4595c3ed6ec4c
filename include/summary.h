/* summary: what became of a run, for people: one line when all is well, a short block when not. Pure; report prints it. */
#ifndef BIVY_SUMMARY_H
#define BIVY_SUMMARY_H

#include <stddef.h>

#include "outcome.h"
#include "plan.h"
#include "spec.h"

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_HINT };

struct summary_line {
    enum tone tone;
    char text[560]; /* names in it are the command's: any byte but NUL may be there */
};
#define SUMMARY_MOST 40

/* Gives how many lines. plan may be NULL where the run failed before there was one. */
size_t summary_make(const struct spec *spec, const struct plan *plan, const struct outcome *outcome,
                    struct summary_line lines[SUMMARY_MOST]);

#endif
