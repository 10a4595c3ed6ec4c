/* console: the caller's terminal, which is standard input: its foreground, raw mode while keys go to the command, and that it is given back
 * as it was. One for each process, not in a struct: a signal that ends the process must find it. */
#ifndef BIVY_CONSOLE_H
#define BIVY_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

/* For a caller with job control, before anything is made: in the background this process stops here (SIGTTOU), as any program that
 * wants the terminal, until it is in the foreground. Does nothing unless stdin is a terminal and its keys are wanted. */
void console_foreground(bool interactive);

/* Raw mode; may stop the process (SIGTTOU) until it is in the foreground. Where it cannot be had (its session is gone), nothing can be
 * read there either. */
void console_take(void);
/* As it was before console_take. Not in the background, where the terminal is somebody else's. Can be called at any time, and by a handler. */
void console_restore(void);
/* The same, for good. Keys that are still there were typed for the command: until `by` (sys_now() scale) they are thrown away, as long as they
 * keep coming, so that the caller's shell does not run them. */
void console_release(uint64_t by);

/* Does a line of ours need a carriage return now? */
bool console_is_raw(void);

#endif
