/* workspace: which directory may be bound at /workspace. It is opened once; what is checked is the descriptor, and the descriptor
 * is what is bound. On a file system that may block, all of it is done by a helper under a deadline (helper.h). */
#ifndef BIVY_WORKSPACE_H
#define BIVY_WORKSPACE_H

#include <stdbool.h>

#include "fault.h"
#include "helper.h"
#include "place.h"
#include "spec.h"
#include "trouble.h"

/* Who asks. */
struct workspace_asker {
    uid_t euid;
    gid_t egid;
    bool privileged; /* the sandbox will run as the workspace's owner, not as the asker */
    int stop;        /* a descriptor that becomes readable when bivy is told to stop; -1: none */
    bool touch;      /* false: create nothing (`bivy plan`) */
};

/* Opens and checks what spec names; mountinfo: the text of /proc/self/mountinfo. 0 or -errno with *fault, whose trouble says which of
 * nine things is wrong. */
int workspace_open(const struct spec *spec, const char *mountinfo, const struct workspace_asker *asker, struct place *place,
                   struct helper_left *left, struct fault *fault);

/* The same directory after the run: TROUBLE_NONE, or FULL, DISCONNECTED, UNRESPONSIVE as its file system now answers, until `by`. On a
 * file system that may block and after a command that failed it also writes a byte to a file of its own (.bivy-ID) and takes it away
 * again: nothing else tells of a quota. */
struct workspace_look {
    const struct place *place;
    uid_t uid; /* the sandbox's, on the host */
    gid_t gid;
    const char *id; /* of the run */
    bool failed;
};
enum trouble workspace_look_again(struct workspace_look *look, uint64_t by, struct helper_left *left);

#endif
