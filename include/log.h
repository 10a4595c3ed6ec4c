/* log: the record once more, as one line of the system's log. */
#ifndef BIVY_LOG_H
#define BIVY_LOG_H

#include "fault.h"
#include "json.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"

/* Hands the record that record_write made to journald's own socket or, as RFC 3164 has it, to /dev/log; nothing where spec->log is LOG_OFF. What is
 * too long for a line there goes as a shorter object. plan may be NULL. Never waits: a log that is gone, or full, is an error.
 * 0 or -errno with *fault. */
int log_send(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, const struct json *record, struct fault *fault);

#endif
