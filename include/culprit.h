/* culprit: of the processes that an autopsy found, the one that says most about why the run took so long, and what to change. Pure. */
#ifndef BIVY_CULPRIT_H
#define BIVY_CULPRIT_H

#include <stddef.h>

#include "autopsy.h"

/* Who computes, or waits for something that is not another process of the run. NULL: nobody is known. */
const struct autopsy_process *culprit_find(const struct autopsy *autopsy);

/* What its reader should look at or change, as half a sentence that stands behind autopsy_line(). Plain text, cut to fit. */
void culprit_mend(const struct autopsy *autopsy, const struct autopsy_process *process, char *text, size_t size);

#endif
