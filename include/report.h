/* report: where the record goes, and what people read on stderr. With main the only room that prints. */
#ifndef BIVY_REPORT_H
#define BIVY_REPORT_H

#include <linux/limits.h>
#include <stdbool.h>

#include "fault.h"
#include "json.h"
#include "outcome.h"
#include "plan.h"
#include "spec.h"

struct report {
    int fd;      /* -1: no record was asked for */
    bool ours;   /* opened by us */
    bool file;   /* a regular file: truncated before the record is written */
    bool may_block; /* on a file system whose server may be silent: fd is -1, only helpers touch it, by path */
    char path[PATH_MAX]; /* then: as the kernel calls it */
};

/* Opens FILE (made 0600 where missing, never through a symlink) or takes fd:N, and makes sure that a record will fit. absent: 1u << N for a
 * standard descriptor that the caller had closed, whatever stands there now. mountinfo: the text, or NULL where it could not be read. */
int report_open(const char *where, unsigned absent, const char *mountinfo, struct report *report, struct fault *fault);

/* A record inside the workspace would be the command's to forge: is the file that was opened below place? */
bool report_within(const struct report *report, const struct place *place);

/* Was a record asked for, and is there a place for it? */
bool report_wanted(const struct report *report);

/* Writes the record that record_write made; where: as asked for. 0 or -errno with *fault. Here as below: gives up on a reader that
 * does not read at `by` (sys_now() scale). */
int report_write(struct report *report, const char *where, const struct json *record, uint64_t by, struct fault *fault);
void report_release(struct report *report);

/* The command wrote to what may be the terminal that stderr is: what it wrote may not swallow, hide or disguise the next line of ours. */
void report_after_command(void);

/* "bivy: stage: what (errno)" and the hint, on stderr; control characters made harmless. */
#define REPORT_LAST_WORDS ((uint64_t)1000000000) /* ns, for a reader of stderr or of the record that is slow, where there is no other deadline */
void report_fault(const struct fault *fault, uint64_t by);
/* May this process write to the terminal without being stopped for it (SIGTTOU)? */
bool report_in_front(int terminal);
/* Are people to be told what became of the run? With --summary, and without asking where stderr is a terminal. */
bool report_for_people(const struct spec *spec);
/* One line for people, or a short block where something went wrong; in colour on a terminal. within_line: the command has left the
 * cursor in a line of its own. */
void report_summary(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, bool within_line, uint64_t by);
/* "bivy: text" on stderr, likewise harmless. */
void report_line(const char *text, uint64_t by);

/* One line a stage: where it ran, when it began and how long it took, in microseconds. */
void report_timing(const struct outcome *outcome, uint64_t by);

#endif
