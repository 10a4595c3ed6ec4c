/* crowd: the processes of a leaf, seen by an autopsy's helper: who there is, and what may be read of them without waiting for a silent
 * server (what that means is said in autopsy.c). */
#ifndef BIVY_CROWD_H
#define BIVY_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "autopsy.h"

enum { CROWD_MOST = 128, CROWD_TEXT = 64 * 1024, CROWD_HELD = 3 };

struct member { /* one process */
    pid_t pid;
    int dir; /* /proc/PID, opened once: whatever is read below it is about this process or nobody */
    bool listed;
    bool parent; /* of another */
    bool held;   /* a helper has waited there: only what takes no lock is read */
    struct autopsy_status status;
    uint64_t args_begin, args_end;
    int memory; /* -1: not opened, -2: refused, or of a process whose memory nobody is to wait for */
};

struct crowd_held { /* where helpers have waited */
    pid_t pids[CROWD_HELD];
    unsigned count;
};

struct crowd {
    /* given */
    uint64_t by;         /* nothing new is begun after that (sys_now() scale) */
    pid_t init;          /* bivy's own, who is not of it; 0: he is */
    const uint64_t *streams; /* inodes of the whole run's pipes 0, 1 and 2 */
    bool may_block;      /* the workspace has a server */
    bool root_may_block; /* the rootfs too */
    struct crowd_held held; /* of these only what takes no lock is read */
    struct crowd_held dumb; /* and of these no memory */
    /* found */
    unsigned processes; /* that there are, whether there is room for them or not */
    unsigned count;
    struct member members[CROWD_MOST];
    char text[CROWD_TEXT]; /* of one file, for a moment */
};

bool crowd_late(const struct crowd *crowd);

/* Fills processes and members from the leaf that the helper has as HELPER_KEPT. Takes no lock. */
void crowd_gather(struct crowd *crowd);
/* Puts those that are to be told of first, at the most `most` of them and these by age. Gives how many. */
unsigned crowd_order(struct crowd *crowd, unsigned most);
/* A pid as seen inside; 0: it cannot be told. */
uint64_t crowd_inner(const struct crowd *crowd, uint64_t pid);
bool crowd_holds(const struct crowd_held *held, pid_t pid);

/* As much of a file below dir as fits, NUL behind it; its length or -1. */
ssize_t crowd_read(int dir, const char *path, char *text, size_t size);
bool crowd_link(int dir, const char *path, char *text, size_t size);
/* Up to size bytes of its memory; how many there are. Of pages that have a server none. */
size_t crowd_peek(struct crowd *crowd, struct member *member, uint64_t address, void *bytes, size_t size);

#endif
