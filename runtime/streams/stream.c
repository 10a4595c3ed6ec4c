#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec.h"
#include "sys.h"

#define CHUNK (64u * 1024)
#define SPLICE_MOST (1u << 20)
#define WIDEN_AFTER (256u * 1024)
#define WIDE (1024u * 1024)
#define ROUNDS 16                /* before another stream gets its turn */
#define SHOWN_REST (128u * 1024) /* more than a terminal holds between its two ends */
#define BLIND_WRITE 512          /* into something that cannot be made non-blocking: no more than POLLOUT promises of any of them */

static char *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static mode_t type_of(int fd)
{
    struct stat file;

    return SYS_AGAIN(fstat(fd, &file)) < 0 ? 0 : file.st_mode & S_IFMT;
}

static bool same_file(int one, int other)
{
    struct stat a, b;

    return SYS_AGAIN(fstat(one, &a)) == 0 && SYS_AGAIN(fstat(other, &b)) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* The caller's descriptor without the caller's open file description: O_NONBLOCK set there would reach everybody who shares it.
 * A pipe or terminal is opened anew through /proc; where that may not be, and for files and sockets, it is only duplicated. */
static int open_anew(int fd, int mode, bool *ours)
{
    mode_t type = type_of(fd);
    char path[32];
    int anew = -1;

    if (type == S_IFIFO || type == S_IFCHR) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        anew = SYS_AGAIN(open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    }
    *ours = anew >= 3 && same_file(fd, anew); /* it is what it was opened as */
    if (*ours)
        return anew;
    if (anew >= 3)
        close(anew);
    anew = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return anew < 0 ? -errno : anew;
}

int stream_open_out(int fd, bool *ours)
{
    return open_anew(fd, O_WRONLY, ours);
}

int stream_to(struct stream *stream, int fd, char *last)
{
    mode_t type = type_of(fd);

    stream->out = open_anew(fd, O_WRONLY, &stream->out_ours);
    /* Not to sockets and terminals: there splice(2) may block whatever it is told. */
    stream->splices = type == S_IFIFO || type == S_IFREG;
    stream->last = type == S_IFCHR && isatty(fd) ? last : NULL;
    return stream->out < 0 ? stream->out : 0;
}

int stream_from_stdin(struct stream *stream, int out)
{
    stream->out = out;
    stream->out_ours = true;
    stream->in = open_anew(0, O_RDONLY, &stream->in_ours);
    /* A pipe that may not be opened anew (another user's): splice is the one call that does not block on it. */
    stream->splices = !stream->in_ours && type_of(0) == S_IFIFO;
    stream->head = SPEC_UNLIMITED;
    if (stream->in >= 0)
        return 0;
    sys_close(&stream->out);
    return stream->in;
}

void stream_limit(struct stream *stream, uint64_t most)
{
    stream->head = most;
    if (most == SPEC_UNLIMITED)
        return;
    stream->head = most / 2;
    stream->tail = most - stream->head;
}

/* What is still in the pipe was written by the command too, although nobody will get it. */
static void count_rest(struct stream *stream)
{
    int rest = 0;

    if (stream->in >= 0 && ioctl(stream->in, FIONREAD, &rest) == 0 && rest > 0)
        stream->seen += (uint64_t)rest;
}

/* Nobody will take any more: whoever writes into the pipe gets EPIPE, as without bivy in between. */
static void break_off(struct stream *stream)
{
    count_rest(stream);
    stream->broken = true;
    stream->pending_from = stream->pending_to = 0;
    sys_close(&stream->in);
    sys_close(&stream->out);
}

static bool ready(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};

    return poll(&one, 1, 0) > 0;
}

/* Bytes written, 0 if there is no room now, -1 if there never will be. Never blocks. */
static ssize_t put(struct stream *stream, const char *bytes, size_t length)
{
    ssize_t done;

    if (stream->out < 0)
        return -1;
    if (stream->out_ours) {
        done = write(stream->out, bytes, length);
    } else if (type_of(stream->out) == S_IFREG) {
        done = write(stream->out, bytes, length);
    } else {
        done = send(stream->out, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done < 0 && errno == ENOTSOCK)
            done = ready(stream->out, POLLOUT) ? write(stream->out, bytes, length < BLIND_WRITE ? length : BLIND_WRITE) : 0;
    }
    if (done > 0) {
        stream->passed += (uint64_t)done;
        if (stream->last) {
            *stream->last = bytes[done - 1];
            screen_given(&stream->screen, bytes, (size_t)done);
        }
    }
    if (done >= 0 || errno == EAGAIN || errno == EINTR)
        return done > 0 ? done : 0;
    return -1;
}

/* What was read and could not be written at once. */
static bool flush(struct stream *stream)
{
    while (stream->pending_from < stream->pending_to) {
        ssize_t done = put(stream, stream->pending + stream->pending_from, stream->pending_to - stream->pending_from);
        if (done < 0) {
            break_off(stream);
            return false;
        }
        if (done == 0) {
            stream->waits_out = true;
            return false;
        }
        stream->pending_from += (size_t)done;
    }
    stream->pending_from = stream->pending_to = 0;
    return true;
}

/* A pipe holds 64 KiB, and a command that writes much would be put to sleep and woken for each: one that has written that much gets
 * more room. Its pages are charged to the leaf like any others. */
static void widen(struct stream *stream)
{
    if (stream->wide || stream->seen < WIDEN_AFTER)
        return;
    stream->wide = true;
    fcntl(stream->in, F_SETPIPE_SZ, WIDE); /* refused beyond the caller's share (pipe-user-pages-soft): then it stays as it is */
}

static void at_end(struct stream *stream)
{
    sys_close(&stream->in);
}

/* One splice. True: go on. */
static bool splice_on(struct stream *stream)
{
    size_t most = stream->head < SPLICE_MOST ? (size_t)stream->head : SPLICE_MOST;
    ssize_t done = splice(stream->in, NULL, stream->out, NULL, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

    if (done > 0) {
        stream->seen += (uint64_t)done;
        stream->passed += (uint64_t)done;
        if (stream->head != SPEC_UNLIMITED)
            stream->head -= (uint64_t)done;
        return true;
    }
    if (done == 0) {
        at_end(stream);
        return false;
    }
    switch (errno) {
    case EINTR:
        return true;
    case EAGAIN:
        stream->waits_out = ready(stream->in, POLLIN); /* bytes are there, so it is room that is missing */
        return false;
    case EINVAL: /* a file opened for appending, or a file system that cannot */
        stream->splices = false;
        return true;
    default:
        break_off(stream);
        return false;
    }
}

/* Bytes read into buffer; 0: none now, or the end (then in is closed). */
static size_t take(struct stream *stream, char *buffer, size_t size)
{
    ssize_t got;

    got = stream->in_ours ? read(stream->in, buffer, size) : recv(stream->in, buffer, size, MSG_DONTWAIT);
    if (got < 0 && errno == ENOTSOCK) { /* the caller's file or device; a pipe of another user's is spliced instead */
        if (!ready(stream->in, POLLIN))
            return 0;
        got = read(stream->in, buffer, size);
    }
    if (got > 0) {
        if (stream->words)
            words_take(stream->words, buffer, (size_t)got);
        return (size_t)got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    at_end(stream); /* also on EISDIR and EIO: a stdin that cannot be read is an empty one */
    return 0;
}

static bool copy_on(struct stream *stream)
{
    if (!stream->pending && !(stream->pending = map(CHUNK))) {
        break_off(stream);
        return false;
    }
    stream->pending_to = take(stream, stream->pending, stream->head < CHUNK ? (size_t)stream->head : CHUNK);
    stream->seen += stream->pending_to;
    if (stream->keys)
        terminal_typed(stream->keys, stream->pending, stream->pending_to);
    if (stream->head != SPEC_UNLIMITED)
        stream->head -= stream->pending_to;
    return stream->pending_to > 0 && flush(stream);
}

/* The head is used up: keep the last bytes, count the rest. */
static bool keep_on(struct stream *stream)
{
    size_t at, got, room;

    if (!stream->ring && !(stream->ring = map(stream->tail))) {
        break_off(stream);
        return false;
    }
    at = (size_t)(stream->ring_seen % stream->tail);
    room = stream->tail - at < CHUNK ? (size_t)(stream->tail - at) : CHUNK;
    got = take(stream, stream->ring + at, room);
    stream->seen += got;
    stream->ring_seen += got;
    return got > 0;
}

void stream_pump(struct stream *stream)
{
    stream->waits_out = false;
    if (!flush(stream))
        return;
    for (int round = 0; round < ROUNDS && stream->in >= 0; round++) {
        widen(stream);
        bool more = stream->head == 0 ? keep_on(stream) : stream->splices ? splice_on(stream) : copy_on(stream);
        if (!more)
            break;
    }
}

size_t stream_poll(const struct stream *stream, struct pollfd *fd)
{
    if (stream->waits_out && stream->out >= 0)
        *fd = (struct pollfd){.fd = stream->out, .events = POLLOUT};
    else if (stream->in >= 0)
        *fd = (struct pollfd){.fd = stream->in, .events = POLLIN};
    else
        return 0;
    return 1;
}

bool stream_concerned(const struct stream *stream, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].revents && fds[i].fd >= 0 && (fds[i].fd == stream->in || fds[i].fd == stream->out))
            return true;
    return false;
}

/* false: the deadline came, or signals has something to say. */
static bool wait_room(const struct stream *stream, uint64_t deadline, int signals)
{
    struct pollfd fds[] = {{.fd = stream->out, .events = POLLOUT}, {.fd = signals, .events = POLLIN}};
    uint64_t now = sys_now();

    if (now >= deadline || stream->out < 0)
        return false;
    return poll(fds, 2, (int)((deadline - now) / 1000000 + 1)) > 0 && !fds[1].revents;
}

static bool put_all(struct stream *stream, const char *bytes, size_t length, uint64_t deadline, int signals)
{
    while (length > 0) {
        ssize_t done = put(stream, bytes, length);
        if (done < 0 || (done == 0 && !wait_room(stream, deadline, signals)))
            return false;
        bytes += done;
        length -= (size_t)done;
    }
    return true;
}

/* The terminal is the caller's again: as it was, as far as the command said otherwise. These bytes are ours. */
static void undo_screen(struct stream *stream, uint64_t deadline, int signals)
{
    char text[SCREEN_UNDO];
    size_t length = screen_undo(&stream->screen, text);
    uint64_t passed = stream->passed;
    char last;

    if (length == 0)
        return;
    last = *stream->last;
    put_all(stream, text, length, deadline, signals);
    stream->passed = passed;
    *stream->last = last;
}

void stream_finish(struct stream *stream, const char *name, uint64_t deadline, int signals)
{
    int rest = 0;
    uint64_t last;

    /* The sandbox is dead, but a command may have handed its end of the pipe to somebody outside, through a socket in the workspace.
     * So: what is in the pipe now is the command's, and no more. Of a terminal the kernel does not say how much that is. */
    if (stream->in >= 0 && !stream->shown)
        ioctl(stream->in, FIONREAD, &rest);
    last = stream->seen + (stream->shown ? SHOWN_REST : rest > 0 ? (uint64_t)rest : 0);
    do
        stream_pump(stream);
    while (sys_now() < deadline && (stream->waits_out ? wait_room(stream, deadline, signals)
                                                      : stream->in >= 0 && stream->seen < last && ready(stream->in, POLLIN)));
    if (stream->shown)
        count_rest(stream);
    else if (stream->seen < last)
        stream->seen = last; /* nobody took it in time */
    sys_close(&stream->in);
    if (stream->ring_seen > 0 && !stream->broken) {
        uint64_t missing = stream->ring_seen > stream->tail ? stream->ring_seen - stream->tail : 0;
        size_t start = missing ? (size_t)(stream->ring_seen % stream->tail) : 0;
        size_t length = missing ? (size_t)stream->tail : (size_t)stream->ring_seen;
        size_t first = missing ? length - start : length;
        if (missing) {
            char line[96];
            uint64_t passed = stream->passed; /* the line is ours, not the command's */
            int size = snprintf(line, sizeof line, "\n[bivy: %llu bytes of %s left out]\n", (unsigned long long)missing, name);
            put_all(stream, line, (size_t)size, deadline, signals);
            stream->passed = passed;
        }
        if (put_all(stream, stream->ring + start, first, deadline, signals) && missing)
            put_all(stream, stream->ring, start, deadline, signals);
    }
    undo_screen(stream, deadline, signals);
}

void stream_release(struct stream *stream)
{
    sys_close(&stream->in);
    sys_close(&stream->out);
    if (stream->ring)
        munmap(stream->ring, stream->tail);
    if (stream->pending)
        munmap(stream->pending, CHUNK);
    stream->ring = stream->pending = NULL;
}

bool stream_truncated(const struct stream *stream)
{
    return stream->passed < stream->seen;
}
