/* gate: reads back from the kernel what the plan asked for, in the very process that will become the command, and refuses on
 * any difference. Nothing that set-up believes counts here, only what the kernel answers. */
#ifndef BIVY_GATE_H
#define BIVY_GATE_H

#include "fault.h"
#include "message.h"
#include "plan.h"
#include "streams.h"

/* streams: whose pipes 0, 1 and 2 must be; with -t they must be the sandbox's one terminal. up: the one descriptor above 2 that may be open (close-on-exec). 0 with *readback
 * filled, or -errno with *fault. */
int gate_check(const struct plan *plan, const struct streams *streams, int up, struct readback *readback, struct fault *fault);

#endif
