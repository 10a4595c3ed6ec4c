/* weaken: for tests only. A binary built with -DBIVY_WEAKEN leaves out the steps that $BIVY_WEAKEN names (comma-separated), so that a
 * test can show that its assertion fails when the step is missing. In every other build this is a constant that the compiler
 * removes, and the name of the variable is not in the program (a test looks). */
#ifndef BIVY_WEAKEN_H
#define BIVY_WEAKEN_H

#include <stdbool.h>

#ifdef BIVY_WEAKEN
bool weakened(const char *step);
#else
static inline bool weakened(const char *step)
{
    (void)step;
    return false;
}
#endif

#endif
