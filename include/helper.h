/* helper: work that may never come back (a call into a file system whose server is silent) done in a process of its own, under a
 * deadline. The process holds no descriptor but those named, so that nobody waits for a pipe's end because of it. */
#ifndef BIVY_HELPER_H
#define BIVY_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is to be done. It runs in a copy of the caller, single-threaded, and must not print. It fills answer (size bytes) and may give a
 * descriptor, which the caller gets, or -1. */
typedef int helper_work(void *data, void *answer);

struct helper_left {
    pid_t pid; /* of a helper that even SIGKILL did not end; 0: there is none */
    bool held; /* when its time was up it waited for something in the kernel, and was not merely late */
};

struct helper_task {
    helper_work *work;
    void *data;
    int keep;     /* a descriptor that work needs: it has it as HELPER_KEPT; -1: none */
    int stop;     /* gives up when this one becomes readable; -1: nothing does */
    uint64_t by;  /* or when it is that late (sys_now() scale) */
    bool finish;  /* what has begun must come to its end: then it is not killed but left to itself */
    void *answer; /* size bytes */
    size_t size;
};
enum { HELPER_KEPT = 1 };

/* 0: *answer is filled and *fd is the descriptor that work gave, or -1. -ETIMEDOUT, -ECANCELED (stop): it was killed, and left says whether
 * it went. Another -errno: no process, or it died. */
int helper_run(const struct helper_task *task, int *fd, struct helper_left *left);

#endif
