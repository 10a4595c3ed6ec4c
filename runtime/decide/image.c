#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* since 6.3; older kernels do not know it and need none */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool sealed(int file)
{
    int seals = fcntl(file, F_GET_SEALS); /* EINVAL: not in memory */

    return seals >= 0 && (seals & SEALS) == SEALS;
}

static bool may_change(const struct stat *file, uid_t uid, gid_t gid)
{
    return file->st_uid == uid || file->st_mode & S_IWOTH || (file->st_gid == gid && file->st_mode & S_IWGRP);
}

/* A descriptor of the copy, or -errno. */
static int copy(int file, off_t size)
{
    int memory = memfd_create("bivy", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    ssize_t put = 1;

    if (memory < 0 && errno == EINVAL)
        memory = memfd_create("bivy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory < 0)
        return -errno;
    while (size > 0 && put > 0) {
        put = SYS_AGAIN(sendfile(memory, file, NULL, (size_t)size));
        size -= put > 0 ? put : 0;
    }
    int error = size > 0 ? (put < 0 ? errno : EIO) : fchmod(memory, 0555) < 0 || fcntl(memory, F_ADD_SEALS, SEALS) < 0 ? errno : 0;
    if (error || !sealed(memory)) {
        sys_close(&memory);
        return error ? -error : -EPROTO;
    }
    return memory;
}

int image_settle(uid_t uid, gid_t gid, char **argv, struct fault *fault)
{
    SYS_CLOSES int file = SYS_AGAIN(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    struct stat now;
    int result;

    if (file < 0 || SYS_AGAIN(fstat(file, &now)) < 0)
        return fault_set(fault, STAGE_PLAN, errno, "mount /proc", "/proc/self/exe: cannot be opened");
    if (sealed(file)) {
        prctl(PR_SET_NAME, "bivy", 0, 0, 0); /* else the number of the descriptor that was executed */
        return 0;
    }
    if (!may_change(&now, uid, gid))
        return 0;
    SYS_CLOSES int memory = result = copy(file, now.st_size);
    if (memory >= 0) {
        syscall(SYS_execveat, memory, "", argv, environ, AT_EMPTY_PATH);
        result = -errno;
    }
    return fault_set(fault, STAGE_PLAN, -result, "let bivy's file be root's, and nobody else's to write; or sysctl vm.memfd_noexec=0",
                     "the user that the sandbox runs as could change bivy's own file from inside, and no sealed copy of it can be executed");
}
