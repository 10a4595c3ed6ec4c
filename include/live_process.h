/* live_process: what /proc says of one process: who made it, since when it is there, what it is called, which lock it holds. Nothing here
 * waits for the process. */
#ifndef BIVY_LIVE_PROCESS_H
#define BIVY_LIVE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The text of /proc/PID/FILE, NUL-terminated. false: it cannot be read, is empty, or is longer. */
bool live_process_read(pid_t pid, const char *file, char *text, size_t size);

/* 0: it is gone. */
pid_t live_process_parent(pid_t pid);

bool live_process_named(pid_t pid, const char *name);

/* Is it stopped, by a signal? */
bool live_process_stopped(pid_t pid);

/* ns since it was started. */
bool live_process_age(pid_t pid, uint64_t *age);

/* Does it hold the lock of the leaf (a descriptor)? That is what a supervisor and a keeper do and nobody else can. 1, 0, or -errno: it may
 * not be looked into. */
int live_process_holds(pid_t pid, int leaf);

/* ns until the timer that it has open goes off. */
bool live_process_timer(pid_t pid, uint64_t *left);

#endif
