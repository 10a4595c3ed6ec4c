/* hints_list: what the parts of the room "hints" share. */
#ifndef BIVY_HINTS_LIST_H
#define BIVY_HINTS_LIST_H

#include "hints.h"

struct hints_list {
    const struct spec *spec;
    const struct plan *plan;
    const struct outcome *outcome;
    struct hint *hints;
    size_t count;
    char program[64]; /* the command, without its directories; cut off: a long name must leave room for what to do */
};

/* One more sentence, and more of the one that is last. */
void hints_say(struct hints_list *list, const char *about, const char *format, ...) __attribute__((format(printf, 3, 4)));
void hints_add(struct hints_list *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "once", "7 times"; gives text. */
const char *hints_times(uint64_t count, char text[32]);

/* What limits have to do with it: of others first, then each that touched the run, what killed first, what only slowed last. */
void hints_limits(struct hints_list *list);

/* Why nothing ran; who ended it, and what is with its workspace; and, behind the limits, what it was refused, by which signal or status it ended
 * and what it said. */
void hints_setup(struct hints_list *list);
void hints_circumstances(struct hints_list *list);
void hints_ending(struct hints_list *list);

#endif
