/* stream: passes bytes on from one descriptor to another, without ever blocking: the head live, of the rest the tail at the end. */
#ifndef BIVY_STREAM_H
#define BIVY_STREAM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "screen.h"
#include "terminal.h"
#include "words.h"

struct stream {
    int in;   /* our end of the command's pipe; -1: at its end */
    int out;  /* where it goes: the caller's, reopened non-blocking where that can be; -1: gone */
    bool in_ours, out_ours; /* non-blocking, by an open file description of our own */
    bool splices;      /* splice(2) works between these two */
    bool waits_out;    /* waiting for room in out, not for bytes in in */
    bool wide;         /* the command's pipe was made larger, or is not to be */
    struct terminal *keys; /* in is the caller's terminal: it looks at what is typed */
    bool shown;        /* in is a terminal's master */
    bool broken;       /* out is gone (EPIPE): the command's next write gets EPIPE as well */
    uint64_t seen, passed;
    uint64_t head;     /* bytes that may still be passed on live */
    uint64_t tail;     /* size of the ring, 0: everything is passed on live */
    char *ring;        /* the last bytes, once head is used up */
    uint64_t ring_seen;
    char *pending;     /* read but not yet written (where splice does not work) */
    size_t pending_from, pending_to;
    char *last; /* NULL: out is no terminal; else the byte that a terminal got last */
    struct words *words; /* what passes is looked at for its last words; NULL: it is not */
    struct screen screen; /* what that terminal was told and not untold */
};

/* Where it goes: the caller's descriptor, opened anew where that can be. last: where to note the last byte, should that be a terminal.
 * 0 or -errno: it cannot even be duplicated. */
int stream_to(struct stream *stream, int fd, char *last);
/* From the caller's standard input to out, which is non-blocking and becomes the stream's. 0 or -errno, as stream_to; then
 * out is closed: an empty input. */
int stream_from_stdin(struct stream *stream, int out);
/* Passes on this many bytes, half of them live; SPEC_UNLIMITED: all. */
void stream_limit(struct stream *stream, uint64_t most);

/* Opens a pipe or terminal of the caller's anew, for writing without blocking, or duplicates what cannot be (*ours false). */
int stream_open_out(int fd, bool *ours);

/* Fills one entry, or none; gives how many. */
size_t stream_poll(const struct stream *stream, struct pollfd *fd);
/* Is there something to do for it, by these answers? */
bool stream_concerned(const struct stream *stream, const struct pollfd *fds, size_t count);
/* Does what can be done now. */
void stream_pump(struct stream *stream);

/* Once the last writer is dead: what is left, the line that says how much is missing, the tail; and takes back what a terminal was told.
 * Until deadline at the most, or until there is something to read on signals. */
void stream_finish(struct stream *stream, const char *name, uint64_t deadline, int signals);
void stream_release(struct stream *stream);

/* Was less passed than seen? */
bool stream_truncated(const struct stream *stream);

#endif
