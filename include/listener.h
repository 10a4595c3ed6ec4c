/* listener: the supervisor's end of the explaining filter (seccomp_unotify(2)): takes what the filter asks, answers as the policy says, and
 * writes down what it was. Only with --explain. */
#ifndef BIVY_LISTENER_H
#define BIVY_LISTENER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "explain.h"
#include "fault.h"
#include "helper.h"

/* A call that waits for its answer. */
struct listener_call {
    uint64_t id;
    int thread;
    int number;
    uint32_t machine; /* AUDIT_ARCH_* */
    uint64_t arguments[6];
};

struct listener {
    int socket;        /* the descriptor comes by it, from pid 1, before there is a command; -1 */
    int fd;            /* -1: has not come yet, or nobody is left who could ask */
    unsigned free;     /* answers that may still be given at once; then it is the allowance that counts */
    int64_t allowance; /* ns that may be spent on answers */
    uint64_t earned;   /* when that was reckoned */
    uint64_t pause;    /* nothing is answered until then: the allowance was used up */
    uint64_t taken;    /* when the call was taken that is being answered */
    bool holds;        /* a call that was taken up and must wait for its answer until then: taken, so that no signal interrupts it */
    struct listener_call held;
    unsigned reads;    /* of the command's memory that may still be made */
    uint64_t pointed;  /* ns that are left for looking wherever its stack points */
    uint64_t asleep;   /* ns that are left for waiting until a caller sleeps in his call */
    bool may_block;    /* its memory may be a file whose server is silent: only a helper reads it */
    struct helper_left left;
};
#define LISTENER_NONE ((struct listener){.socket = -1, .fd = -1})

/* The pair of sockets: *inner is pid 1's end, for listener_send(). */
int listener_open(struct listener *listener, bool may_block, int *inner, struct fault *fault);
void listener_release(struct listener *listener);

/* In pid 1: hands the filter's descriptor over. Closes neither. 0 or -errno. */
int listener_send(int inner, int fd);

/* What to poll for: .fd is -1 while there is nothing to wait for. While the command has asked more than its share one call is taken up and
 * held, and *until is lowered to when it may have its answer. */
struct pollfd listener_poll(struct listener *listener, uint64_t now, uint64_t *until);

/* After poll(2), also where nothing came: takes the descriptor when it comes, and gives the next call that may be answered. false: none, for
 * now. Never blocks. */
bool listener_next(struct listener *listener, const struct pollfd *polled, struct listener_call *call);

/* Answers, and writes down what it was unless explain is NULL. Never lets through what the policy refuses. */
void listener_answer(struct listener *listener, const struct listener_call *call, struct explain *explain);

#endif
