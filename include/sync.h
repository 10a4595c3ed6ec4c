/* sync: brings what a run changed in its workspace to the server, file by file: syncfs(2) does not reach a FUSE server. */
#ifndef BIVY_SYNC_H
#define BIVY_SYNC_H

#include <stdint.h>

#include "helper.h"
#include "place.h"

struct sync_result {
    uint64_t files; /* files and directories that were brought to the server */
    int error;      /* errno of the first that could not be, 0: none; ETIMEDOUT: out of time */
};

/* fsync(2) of every file and directory below place that changed since (CLOCK_REALTIME ns; a little earlier is taken too, for clocks
 * differ), as its owner, in a helper, until `by`, or until the descriptor stop becomes readable. No link is followed, no other mount entered; devices, FIFOs and sockets have nothing
 * to bring. Directories more than SYNC_DEEPEST deep are an error (ENAMETOOLONG), not left out in silence. */
enum { SYNC_DEEPEST = 128 };
void sync_changed(const struct place *place, uid_t uid, gid_t gid, int64_t since, uint64_t by, int stop,
                  struct sync_result *result, struct helper_left *left);

#endif
