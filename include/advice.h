/* advice: what to use instead of a system call that the filter refuses. Pure. */
#ifndef BIVY_ADVICE_H
#define BIVY_ADVICE_H

#include <stdbool.h>

struct advice {
    const char *call;
    bool harmless; /* what is known to call it goes on without */
    const char *instead; /* or NULL */
};

/* Of the call of that name, whose refused arguments are that text ("" for none). NULL: nothing is known. */
const struct advice *advice_of(const char *call, const char *detail);

#endif
