/* terminal: the command's own terminal (-t): a pty of the sandbox's own devpts, whose master the supervisor holds. No descriptor of the
 * caller's terminal (console) enters the sandbox.
 *
 * The order: console_foreground; terminal_open; in the process that becomes the command terminal_make, and terminal_control once it
 * has a session; in the supervisor terminal_receive (which takes the console) and terminal_serve; console_release before anything of
 * bivy's own is printed; terminal_release. */
#ifndef BIVY_TERMINAL_H
#define BIVY_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "fault.h"

struct terminal {
    int child;     /* the sandbox's end of the socket over which master and slave come; close-on-exec */
    int handover;  /* ours; -1 once they came */
    int master;    /* non-blocking; -1: not there yet, or hung up */
    int slave;     /* held open: the command may close all of its own and open the terminal anew */
    int signals;   /* signalfd: SIGWINCH, and with keys SIGTSTP and SIGCONT */
    int window;    /* the caller's descriptor whose size is the terminal's; -1: none, 80 by 24 */
    bool keys;     /* stdin is a terminal, and what is typed there goes to the command */
    bool suspend;  /* Ctrl-Z was typed, and nobody inside stops for it */
    uint64_t told; /* sys_now() when the end of input was typed last; 0: never */
    bool by_line;  /* the terminal gave out whole lines then */
    struct winsize size;
};

#define TERMINAL_NONE ((struct terminal){.child = -1, .handover = -1, .master = -1, .slave = -1, .signals = -1, .window = -1})

/* The socket, the size, the signals. keys: pass on what is typed, should stdin be a terminal. */
int terminal_open(bool interactive, struct terminal *terminal, struct fault *fault);

/* Inside, where /dev/pts is mounted: makes the pty, gives *slave (close-on-exec) and hands both ends to the supervisor; back when that
 * has them. Does not allocate. */
int terminal_make(struct terminal *terminal, int *slave, struct fault *fault);
/* Inside: descriptor 0, the slave, becomes the controlling terminal of the calling session leader. */
int terminal_control(struct fault *fault);

/* What to poll for POLLIN: the socket, later the signals; -1: nothing. */
int terminal_poll(const struct terminal *terminal);
/* Takes the ends from the socket and looks what they are, takes the caller's terminal and tells the sandbox to go on. 1: master is
 * there; 0: not yet, or the sandbox is gone; -errno with *fault: it sent something else. */
int terminal_receive(struct terminal *terminal, struct fault *fault);
/* SIGWINCH, SIGTSTP and SIGCONT. True: bivy is to be stopped, by that or by Ctrl-Z; terminal_suspend is the next call. */
bool terminal_serve(struct terminal *terminal);
/* What was typed, on its way to the command. A command that leads its session is in an orphaned process group, which the kernel stops for
 * no key (setpgid(2)): where it would have stopped otherwise, bivy is to be. */
void terminal_typed(struct terminal *terminal, const char *keys, size_t count);
/* Gives the terminal back and stops the process as Ctrl-Z does; once it is continued, and in the foreground, takes the terminal again. */
void terminal_suspend(struct terminal *terminal);
/* To be called again and again, every 100 ms or so, once the input has ended: the command reads an end of file, by line or not. */
void terminal_end_input(struct terminal *terminal);
/* The caller takes no more output: the command's session gets SIGHUP, as from a terminal that is gone. */
void terminal_hang_up(struct terminal *terminal);

/* The caller's window size, to the sandbox. */
void terminal_winch(struct terminal *terminal);
void terminal_release(struct terminal *terminal);

#endif
