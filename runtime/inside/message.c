#include "message.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"
#include "trouble.h"

_Static_assert(sizeof(struct message) <= 4096, "a write of at most PIPE_BUF bytes is atomic (pipe(7))");

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

bool message_valid(const void *bytes, size_t length)
{
    struct message message;

    if (length != sizeof message)
        return false;
    memcpy(&message, bytes, sizeof message);
    if (message.magic != MESSAGE_MAGIC)
        return false;
    switch (message.kind) {
    case MESSAGE_FAULT:
        return message.fault.stage >= 0 && message.fault.stage < STAGE_COUNT && message.fault.trouble >= 0 &&
               message.fault.trouble < TROUBLE_COUNT && ends(message.fault.what, sizeof message.fault.what) &&
               ends(message.fault.hint, sizeof message.fault.hint);
    case MESSAGE_READY:
        return ends(message.readback.cgroup, sizeof message.readback.cgroup) &&
               ends(message.readback.workspace_fs, sizeof message.readback.workspace_fs);
    case MESSAGE_ENDED:
    case MESSAGE_CLEARED:
    case MESSAGE_ALONE:
        return true;
    default:
        return false;
    }
}

int message_send(int fd, struct message *message)
{
    ssize_t put;

    message->magic = MESSAGE_MAGIC;
    message->at = sys_now();
    put = SYS_AGAIN(write(fd, message, sizeof *message));
    if (put < 0)
        return -errno;
    return put == (ssize_t)sizeof *message ? 0 : -EIO;
}
