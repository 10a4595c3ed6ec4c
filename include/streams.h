/* streams: stdin, stdout and stderr between caller and command, through bivy's own pipes or the sandbox's terminal. */
#ifndef BIVY_STREAMS_H
#define BIVY_STREAMS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "plan.h"
#include "stream.h"
#include "terminal.h"
#include "words.h"

struct streams {
    struct stream out, err;
    struct stream in; /* the other way round: in is the caller's stdin, out the command's */
    int child[3];     /* the command's ends, closed in the supervisor after clone */
    uint64_t inode[3]; /* of these pipes; 0: none (stdin without -i) */
    char last;        /* the last byte of the command's that a terminal got: is what stands there a whole line? */
    struct words words; /* the last on stderr; not with -t, where there is none */
    bool listening;   /* with -t: keys, or the end of input, go to the command */
    struct terminal terminal; /* with -t, in place of all of them: out is what the command's terminal shows, err is nothing */
};

#define STREAMS_NONE ((struct streams){.out = {.in = -1, .out = -1}, .err = {.in = -1, .out = -1}, .in = {.in = -1, .out = -1}, \
                                       .child = {-1, -1, -1}, .last = '\n', .terminal = TERMINAL_NONE})

int streams_open(const struct plan *plan, struct streams *streams, struct fault *fault);
void streams_close_child(struct streams *streams);
/* With -t: shows what the terminal shows, once that has its master; passes on what is typed, or that nothing is, once the command is there,
 * so that a Ctrl-C does not hit the set-up. 0 or -errno with *fault. */
int streams_show(const struct plan *plan, struct streams *streams, struct fault *fault);
void streams_listen(struct streams *streams);

/* Fills up to 3 entries; streams_serve takes the answers. */
size_t streams_poll(struct streams *streams, struct pollfd fds[3]);
void streams_serve(struct streams *streams, const struct pollfd *fds, size_t count);

/* Does any of the answers concern output that goes to a terminal? */
bool streams_reach_terminal(const struct streams *streams, const struct pollfd *fds, size_t count);

/* Reads what is left after the last writer died, emits the missing-bytes line and the tails. Until deadline at the most, or until
 * there is something to read on signals. */
void streams_finish(struct streams *streams, uint64_t deadline, int signals);
void streams_release(struct streams *streams);

/* Did either stream pass limit? */
bool streams_over(const struct streams *streams, uint64_t limit);

/* Unix sockets that only their own queue refers to outlive their process, hold its cgroup and count against its user until some Unix
 * socket closes: closes one, so that the kernel collects them (unix(7), net/unix/garbage.c). */
void streams_collect(void);

#endif
