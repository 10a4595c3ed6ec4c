/* words: the last that a command said on stderr, and what such words mean in a sandbox. Its own words, so never more than a help: what bivy
 * itself knows stands before them. Pure. */
#ifndef BIVY_WORDS_H
#define BIVY_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORDS_MOST = 1000, WORDS_LINE = 160 };

struct words { /* all zero: nothing was said */
    char ring[WORDS_MOST];
    uint64_t seen;
};

/* What one line of them says. */
struct words_said {
    char line[WORDS_LINE]; /* as plain text: moves no terminal; cut where it is longer */
    const char *about;     /* what bivy knows it to be about: a limit's name, network, ...; NULL: a line like any other */
    const char *mend;      /* then: what to change */
};

void words_take(struct words *words, const char *bytes, size_t length);

/* The last of what was said, any byte among it; where something was left out, from the beginning of a line, if there is one. The length. */
size_t words_tail(const struct words *words, char tail[WORDS_MOST]);

/* The last line that means something here, for a command that ended with that exit status (0: by a signal); or else the last that is not empty.
 * false: nothing was said. */
bool words_telling(const struct words *words, int status, struct words_said *said);

#endif
