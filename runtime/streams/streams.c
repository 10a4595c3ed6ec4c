#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "spec.h"
#include "sys.h"

#define UNREAD_WITHIN ((uint64_t)200000000) /* for keys that nobody read to be thrown away */
#define WIDE_MEMORY (64u * 1024 * 1024) /* of the leaf: with less it would miss what is in a pipe that was made larger */

static uint64_t inode_of(int fd)
{
    struct stat file;

    return SYS_AGAIN(fstat(fd, &file)) < 0 ? 0 : file.st_ino;
}

/* Not to be taken for one that is gone: what the command says would be lost, and nobody told. */
static int no_duplicate(int fd, int errnum, struct fault *fault)
{
    return fault_set(fault, STAGE_STREAMS, errnum, NULL, "the caller's descriptor %d cannot be duplicated", fd);
}

static int open_command_pipe(struct streams *streams, int fd, const struct plan *plan, struct fault *fault)
{
    struct stream *stream = fd == 1 ? &streams->out : &streams->err;
    int ends[2], result;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "no pipe can be made");
    stream->in = ends[0];
    stream->in_ours = true;
    stream->wide = plan->memory < WIDE_MEMORY;
    streams->child[fd] = ends[1];
    /* our end only: each end is an open file description of its own */
    if ((result = sys_nonblocking(ends[0])) < 0)
        return fault_set(fault, STAGE_STREAMS, -result, NULL, "a pipe cannot be made non-blocking");
    if ((result = stream_to(stream, fd, &streams->last)) < 0)
        return no_duplicate(fd, -result, fault);
    if (fd == 2) { /* spliced, its last words would not be seen; and who writes much, writes it to stdout */
        stream->splices = false;
        stream->words = &streams->words;
    }
    stream_limit(stream, plan->max_output);
    return 0;
}

/* The terminal is made inside, later. */
static int open_terminal(const struct plan *plan, struct streams *streams, struct fault *fault)
{
    int result = stream_to(&streams->out, 1, &streams->last);

    if (result < 0)
        return no_duplicate(1, -result, fault);
    streams->out.splices = false; /* out of a terminal splice(2) may block */
    streams->out.wide = true;
    streams->out.shown = streams->out.in_ours = true;
    stream_limit(&streams->out, plan->max_output);
    return terminal_open(plan->interactive, &streams->terminal, fault);
}

int streams_show(const struct plan *plan, struct streams *streams, struct fault *fault)
{
    streams->out.in = fcntl(streams->terminal.master, F_DUPFD_CLOEXEC, 3);
    if (plan->interactive)
        streams->in.out = fcntl(streams->terminal.master, F_DUPFD_CLOEXEC, 3);
    if (streams->out.in < 0 || (plan->interactive && streams->in.out < 0))
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "a descriptor cannot be duplicated");
    return 0;
}

void streams_listen(struct streams *streams)
{
    streams->listening = true;
    if (streams->in.out < 0)
        return;
    stream_from_stdin(&streams->in, streams->in.out);
    streams->in.keys = streams->terminal.keys ? &streams->terminal : NULL;
}

int streams_open(const struct plan *plan, struct streams *streams, struct fault *fault)
{
    int ends[2], result;

    *streams = STREAMS_NONE;
    if (plan->tty)
        return open_terminal(plan, streams, fault);
    if ((result = open_command_pipe(streams, 1, plan, fault)) < 0 || (result = open_command_pipe(streams, 2, plan, fault)) < 0)
        return result;
    if ((streams->inode[1] = inode_of(streams->child[1])) == 0 || (streams->inode[2] = inode_of(streams->child[2])) == 0)
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "a pipe cannot be examined");
    if (!plan->interactive)
        return 0; /* the child opens the sandbox's own /dev/null */
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "no pipe can be made");
    streams->child[0] = ends[0];
    streams->in.out = ends[1];
    if ((result = sys_nonblocking(ends[1])) < 0)
        return fault_set(fault, STAGE_STREAMS, -result, NULL, "a pipe cannot be made non-blocking");
    if ((streams->inode[0] = inode_of(ends[0])) == 0)
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "a pipe cannot be examined");
    return (result = stream_from_stdin(&streams->in, ends[1])) < 0 ? no_duplicate(0, -result, fault) : 0;
}

void streams_close_child(struct streams *streams)
{
    for (int i = 0; i < 3; i++)
        sys_close(&streams->child[i]);
    sys_close(&streams->terminal.child);
}

size_t streams_poll(struct streams *streams, struct pollfd fds[3])
{
    size_t count = 0;

    count += stream_poll(&streams->out, &fds[count]);
    count += stream_poll(&streams->err, &fds[count]);
    count += stream_poll(&streams->in, &fds[count]);
    return count;
}

bool streams_reach_terminal(const struct streams *streams, const struct pollfd *fds, size_t count)
{
    return (streams->out.last && stream_concerned(&streams->out, fds, count)) || (streams->err.last && stream_concerned(&streams->err, fds, count));
}

/* A pipe ends when its end is closed; a terminal must be told. */
static void serve_terminal(struct streams *streams)
{
    if (streams->out.broken) { /* the command's terminal is gone, as it would be with a window that is closed */
        sys_close(&streams->in.in);
        sys_close(&streams->in.out);
        terminal_hang_up(&streams->terminal);
    } else if (streams->listening && streams->in.out < 0) {
        terminal_end_input(&streams->terminal);
    }
}

void streams_serve(struct streams *streams, const struct pollfd *fds, size_t count)
{
    if (stream_concerned(&streams->out, fds, count))
        stream_pump(&streams->out);
    if (stream_concerned(&streams->err, fds, count))
        stream_pump(&streams->err);
    if (stream_concerned(&streams->in, fds, count))
        stream_pump(&streams->in);
    /* The caller's end of file is the command's, once everything before it has been written. */
    if (streams->in.in < 0 && (streams->listening || !streams->out.shown) && streams->in.pending_from == streams->in.pending_to)
        sys_close(&streams->in.out);
    if (streams->out.shown)
        serve_terminal(streams);
}

void streams_finish(struct streams *streams, uint64_t deadline, int signals)
{
    uint64_t now = sys_now(), by = now + UNREAD_WITHIN;

    console_release(by < now + (deadline - now) / 2 ? by : now + (deadline - now) / 2); /* from here on Ctrl-C is for us */
    sys_close(&streams->in.in);
    sys_close(&streams->in.out);
    stream_finish(&streams->out, "stdout", deadline, signals);
    stream_finish(&streams->err, "stderr", deadline, signals);
}

void streams_release(struct streams *streams)
{
    stream_release(&streams->out);
    stream_release(&streams->err);
    stream_release(&streams->in);
    streams_close_child(streams);
    terminal_release(&streams->terminal);
}

bool streams_over(const struct streams *streams, uint64_t limit)
{
    return limit != SPEC_UNLIMITED && (streams->out.seen > limit || streams->err.seen > limit);
}

void streams_collect(void)
{
    SYS_CLOSES int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)fd;
}
