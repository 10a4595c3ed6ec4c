/* image: bivy's own program file, as it can be reached from inside: /proc/self/exe, until execve. */
#ifndef BIVY_IMAGE_H
#define BIVY_IMAGE_H

#include <sys/types.h>

#include "fault.h"

/* Where a sandbox's user could change that file (it is his, or others may write it): goes on as a sealed copy in memory, that is, executes it
 * with argv and the environment as they are, and does not return. For `bivy enter`: with a script whose interpreter is /proc/self/exe the
 * kernel runs bivy's file among processes that are there already, and these can reach it by /proc/PID/exe (CVE-2019-5736). In a run nobody
 * else is there. 0: it needs none, or is that copy. -errno with *fault: it needs one and cannot have it. */
int image_settle(uid_t uid, gid_t gid, char **argv, struct fault *fault);

#endif
