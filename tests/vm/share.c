/*
 * share ro|rw SOCKET PROGRAM [ARG...]: runs a virtiofsd that cannot outlive its parent and, with ro, cannot write.
 *
 * SOCKET is made and listened on here and handed over as descriptor 3 (`--fd=3`), so that whoever reads "ready" on
 * stdout can connect at once; virtiofsd's own --socket-path would also leave a lock file in /run. With ro the whole
 * tree is made read-only in a mount namespace of this process: the guest's root could mount the share again without
 * its read-only flag, so the flag in the guest protects nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOCKET_FD = 3 }; /* the number in `--fd=3` of the caller */

static int complain(const char *what)
{
    fprintf(stderr, "share: %s: %s\n", what, strerror(errno));
    return 1;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
        return -1;
    if (fd == SOCKET_FD)
        return 0;
    return dup2(fd, SOCKET_FD) < 0 || close(fd) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (argc < 4 || (strcmp(argv[1], "ro") != 0 && strcmp(argv[1], "rw") != 0)) {
        fprintf(stderr, "usage: share ro|rw SOCKET PROGRAM [ARG...]\n");
        return 2;
    }
    if (listen_at(argv[2]) < 0)
        return complain(argv[2]);
    if (unshare(CLONE_NEWNS) < 0)
        return complain("mount namespace");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return complain("private mounts");
    struct mount_attr readonly = {.attr_set = MOUNT_ATTR_RDONLY};
    if (strcmp(argv[1], "ro") == 0 && mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &readonly, sizeof readonly) < 0)
        return complain("read-only mounts");

    /* A parent that died before this has closed the pipe that is written to next. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return complain("PR_SET_PDEATHSIG");
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        return complain("tell that it is ready");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return complain("/dev/null");
    execv(argv[3], argv + 3);
    return complain(argv[3]);
}
