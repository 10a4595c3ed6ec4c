/* autopsy: what each process of a sandbox was doing when its time was up: its command line, the system call that it is in and what that
 * waits for (proc(5)). Taken by a helper under a deadline, because some files of /proc wait for locks that the process may hold. Every
 * name, argument and path in it is a stranger's: any byte may be in them. */
#ifndef BIVY_AUTOPSY_H
#define BIVY_AUTOPSY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "json.h"
#include "plan.h"
#include "sockets.h"

enum {
    AUTOPSY_TOLD = 16,     /* processes */
    AUTOPSY_ON = 4,        /* descriptors that one waits on */
    AUTOPSY_WITH = 4,      /* processes at the other end of a pipe, or that hold a lock */
    AUTOPSY_COMMAND = 256, /* bytes of a command line */
    AUTOPSY_PATH = 256,
    AUTOPSY_NAME = 64,
    AUTOPSY_CHANNEL = 48,
    AUTOPSY_POLLED = 8,    /* entries of a poll(2) that are looked at */
    AUTOPSY_THREADS = 64,  /* of a process, likewise; of more only those that do not sleep */
};

/* What it waits for, in a word. */
enum autopsy_wait {
    AUTOPSY_RUNNING,   /* nothing: it computes */
    AUTOPSY_PIPE, AUTOPSY_FIFO, AUTOPSY_FILE, AUTOPSY_TTY, AUTOPSY_SOCKET,
    AUTOPSY_POLL,      /* one of several descriptors */
    AUTOPSY_SLEEP,
    AUTOPSY_CHILD,     /* the end of one */
    AUTOPSY_LOCK, AUTOPSY_SIGNAL,
    AUTOPSY_CALLER,    /* whoever called bivy: for input from him, or for him to take output */
    AUTOPSY_WORKSPACE, /* the server of the workspace's file system */
    AUTOPSY_STOPPED,   /* SIGCONT */
    AUTOPSY_ENDED,     /* nothing: its parent has not asked for its exit status */
    AUTOPSY_OTHER, AUTOPSY_WAITS
};

enum autopsy_kind {
    AUTOPSY_IS_UNKNOWN, AUTOPSY_IS_PIPE, AUTOPSY_IS_FIFO, AUTOPSY_IS_FILE, AUTOPSY_IS_DIRECTORY, AUTOPSY_IS_TTY, AUTOPSY_IS_DEVICE,
    AUTOPSY_IS_SOCKET, AUTOPSY_IS_EVENTPOLL, AUTOPSY_IS_EVENTFD, AUTOPSY_IS_TIMERFD, AUTOPSY_IS_SIGNALFD, AUTOPSY_IS_INOTIFY,
    AUTOPSY_IS_STDIN, AUTOPSY_IS_STDOUT, AUTOPSY_IS_STDERR, /* bivy's pipes, whose other end is the caller's */
    AUTOPSY_IS_OTHER, AUTOPSY_KINDS
};

struct autopsy_end { /* what it waits on */
    int fd; /* -1: a path only */
    enum autopsy_kind is;
    bool writes;
    uint64_t inode; /* of a pipe or a socket */
    char path[AUTOPSY_PATH + 1]; /* "": it has none, or it cannot be told */
    char address[SOCKETS_TEXT + 1]; /* of a socket, as sockets.h writes it; "" likewise */
    bool listens;                   /* and it waits for others to connect */
    uint64_t with[AUTOPSY_WITH]; /* who holds the other end of a pipe, or the lock, as seen inside */
    unsigned with_count;
};

struct autopsy_process {
    pid_t host;           /* its pid out here */
    bool held;            /* so deep in something that the kernel tells little of it; what is missing is unknown */
    uint64_t pid, parent; /* as seen inside; 0: it cannot be told */
    char name[AUTOPSY_NAME + 1];
    char command[AUTOPSY_COMMAND]; /* NUL behind each word, the last one perhaps cut off */
    unsigned command_length;       /* 0: it cannot be told */
    char state;                    /* as in proc(5); of the thread that tells most, as all that follows */
    enum autopsy_wait waits;
    char call[32]; /* system call: "", it is in none or it cannot be told */
    struct autopsy_end on[AUTOPSY_ON];
    unsigned on_count;
    uint64_t limit; /* ns that the call would wait at the most; 0: for ever, or it cannot be told */
    bool rest;      /* limit is what was left of it then, the call having been given a time of day */
    bool private;   /* a lock that only threads of the same process can give back */
    char channel[AUTOPSY_CHANNEL + 1]; /* function of the kernel: "" likewise */
    bool timed;        /* cpu and age can be told */
    uint64_t cpu, age; /* ns */
    uint64_t threads;
};

struct autopsy {
    unsigned processes; /* that there were, without bivy's own pid 1 */
    unsigned told;      /* of these, in process[] */
    bool complete;      /* all that was to be read was read in time */
    uint64_t took;      /* ns */
    pid_t left;         /* of a helper that even SIGKILL did not end; 0: there is none */
    struct autopsy_process process[AUTOPSY_TOLD];
};

struct autopsy_subject {
    const struct cgroup *cgroup;
    const struct plan *plan;
    const uint64_t *streams; /* inodes of the pipes 0, 1 and 2; 0: there is none */
    pid_t init;              /* bivy's own pid 1, of which nothing is told; 0: it is told of as well */
};

/* Within 0.1 s (and as much for the end of a helper that even SIGKILL does not end). NULL: nothing could be learned. To be given back with
 * free(). */
struct autopsy *autopsy_take(const struct autopsy_subject *subject);

/* --- Pure (autopsy_tell.c): for the record, and for people. --- */

/* The key "autopsy". NULL: null. */
void autopsy_write(struct json *json, const struct autopsy *autopsy);

/* "cat log (pid 7): read of fd 0, an empty pipe; 0.00 s of CPU in 29.9 s": one line without its end, of plain text, cut to fit. whole: with
 * "state S in pipe_read" behind it. */
void autopsy_line(const struct autopsy_process *process, bool whole, char *text, size_t size);

const char *autopsy_wait_name(enum autopsy_wait wait);
const char *autopsy_kind_name(enum autopsy_kind kind); /* NULL: unknown */

/* --- Pure (autopsy_parse.c): what the texts below /proc/PID say. All are NUL-terminated. What is not of the form is not believed: false,
 * and nothing is written. --- */

struct autopsy_status { /* status */
    char state;
    uint64_t parent, threads;
    uint64_t inner; /* the pid in the innermost namespace */
};
bool autopsy_status(const char *text, struct autopsy_status *status);

struct autopsy_stat { /* stat */
    char name[AUTOPSY_NAME + 1];
    char state;
    uint64_t user_ticks, system_ticks, start_ticks;
    uint64_t args_begin, args_end; /* 0 without the right to know */
};
bool autopsy_stat(const char *text, struct autopsy_stat *stat);

struct autopsy_call { /* syscall */
    bool running; /* it was on a processor, or ready to be */
    int number;   /* -1: in none */
    uint64_t args[6];
};
bool autopsy_call(const char *text, struct autopsy_call *call);

/* The next pid of a list of one a line, and *at behind it; 0: no more. */
pid_t autopsy_next_pid(const char **at);
/* The next descriptor in the fdinfo of an eventpoll, and *at behind it; -1: no more. */
int autopsy_next_target(const char **at);
/* What the link of a descriptor names, mode as stat(2) gives it for what is a path. *inode is written for a pipe and for a
 * socket. */
enum autopsy_kind autopsy_kind(const char *link, mode_t mode, dev_t device, uint64_t *inode);
/* How many bytes from address on are memory of no file of the workspace, and, with none, of no file at all; from the text of maps. */
uint64_t autopsy_at_hand(const char *maps, uint64_t address, bool none);

/* A system call's name, or NULL. */
const char *autopsy_call_name(int number);

/* --- Pure (autopsy_judge.c): what a thread waits for, from what was read of it. --- */

/* How the arguments of a call that may wait are to be read. Positions; -1: there is none. */
enum autopsy_act { ACT_FD, ACT_PATH, ACT_POLL, ACT_SELECT, ACT_EPOLL, ACT_CHILD, ACT_SLEEP, ACT_LOCK, ACT_SIGNAL };
struct autopsy_row {
    const char *name;
    enum autopsy_act act;
    int fd, path, directory;
    bool writes;
};
const struct autopsy_row *autopsy_row(const char *name); /* NULL: none that is known to wait */

/* Which argument of a call says how long it may wait, and how. NULL: none does, or it cannot be told from there. */
enum autopsy_form { FORM_MS, FORM_TIMESPEC, FORM_TIMEVAL, FORM_CLOCK /* a timespec, and by the flags a time of day */ };
struct autopsy_limit {
    const char *name;
    int arg;
    enum autopsy_form form;
};
const struct autopsy_limit *autopsy_limit(const char *name);

/* Is path, as the sandbox has it, in the workspace? */
bool autopsy_in_workspace(const char *path);
/* Does a wait channel belong to a file system with a server? */
bool autopsy_asks_server(const char *channel);

/* Nothing of it holds its memory's lock, as far as can be told. */
bool autopsy_calm(const struct autopsy_process *seen);

/* From what is known of one thread: what it waits for. may_block: the workspace has a server. */
enum autopsy_wait autopsy_judge(const struct autopsy_process *seen, bool may_block);
/* Of two threads of a process the one with the larger rank tells more. */
unsigned autopsy_rank(enum autopsy_wait wait);

#endif
