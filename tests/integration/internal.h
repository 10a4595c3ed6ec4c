/* internal: what harness.c and session.c share and tests have no use for. */
#ifndef BIVY_TEST_INTERNAL_H
#define BIVY_TEST_INTERNAL_H

#include "harness.h"

extern pid_t validator_pid;
extern bool bivy_was_killed; /* in this test, with SIGKILL: nobody was left to reap the sandbox */

void validator_start(void);
/* "ok", or what is wrong with the record. */
const char *validator_ask(const char *text, size_t length);
void validator_stop(void);

/* Ends and reaps what a failed test left running. True when there was nothing. */
bool sessions_end(void);

/* The children of this process, orphans of sandboxes among them; how many there is room for, at the most. */
size_t children(pid_t *pids, size_t room);

/* One program of the system, waited for; fails the test unless it exits 0. */
void system_run(const char *const *argv);

#endif
