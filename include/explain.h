/* explain: what --explain found out: which system calls the filter refused, and whom the command tried to reach. Bounded tables; the names
 * in them are the command's and hostile. Pure. */
#ifndef BIVY_EXPLAIN_H
#define BIVY_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "json.h"

struct seccomp_answer;

#define EXPLAIN_REFUSALS 64
#define EXPLAIN_ATTEMPTS 32
#define EXPLAIN_DETAIL 64
#define EXPLAIN_PROCESS 16 /* TASK_COMM_LEN */
#define EXPLAIN_CALL 32

/* Who made a call. */
struct explain_who {
    int thread;                    /* its id as bivy sees it */
    int pid;                       /* of its process, as the sandbox sees it; 0: not known */
    char process[EXPLAIN_PROCESS]; /* "" : not known. Any bytes but NUL */
};

struct explain_refusal {
    const struct seccomp_answer *rule; /* NULL: a number that the policy has no rule for */
    int number;
    char detail[EXPLAIN_DETAIL]; /* "" or what of the arguments was refused; printable */
    struct explain_who who;      /* the first of that name */
    uint64_t count;
};

struct explain_attempt {
    bool sends;          /* sendto, else connect */
    struct address to;
    char name[ADDRESS_NAME]; /* that a name server was asked for, or "" */
    struct explain_who who;
    uint64_t count;
};

struct explain {
    bool loopback; /* the sandbox's loopback is up: what goes there is no attempt */
    struct explain_refusal refusals[EXPLAIN_REFUSALS];
    size_t refusal_count;
    uint64_t refusals_beyond; /* calls for which there was no room */
    struct explain_attempt attempts[EXPLAIN_ATTEMPTS];
    size_t attempt_count;
    uint64_t attempts_beyond; /* for which there was no room, or that could not be read */
};

/*
 * What the policy answers a call that the explaining program asks about: the errno, or 0 when it is one that the program only watches
 * (connect, sendto), which goes on. It is never 0 for anything else, whatever the table says. *rule is the row that says so, NULL for a
 * number without one.
 */
int explain_answer(int number, const uint64_t arguments[6], const struct seccomp_answer **rule);

/* Does this call send (sendto), rather than connect? For numbers that explain_answer() says 0 to. */
bool explain_sends(int number);

/* Counts one more refusal where the same thread met the same before: true. False: find out who it is, then explain_refused(). */
bool explain_again(struct explain *explain, int number, const uint64_t arguments[6], int thread);
void explain_refused(struct explain *explain, int number, const uint64_t arguments[6], const struct explain_who *who);

/* An attempt to reach somebody. name is "" where none is known. */
void explain_attempted(struct explain *explain, bool sends, const struct address *to, const char *name, const struct explain_who *who);

/* One sentence for people, at most size - 1 bytes, printable, and what to do about it: whom the command tried to reach; which call the
 * filter refused. False: nothing is to be said. explain may be NULL. */
bool explain_hint_network(const struct explain *explain, char *text, size_t size);
/* The number-th call that did not go well (from 0), of EXPLAIN_HINTS at the most; the last of them says how many there were. */
enum { EXPLAIN_HINTS = 3 };
bool explain_hint_refused(const struct explain *explain, size_t number, char *text, size_t size);

/* The record's "explain": null without --explain. */
void explain_write(struct json *json, const struct explain *explain);

#endif
