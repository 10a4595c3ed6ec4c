/* payload: the work that is measured inside a sandbox and beside it, and what stands at the other end of a pipe.
 *
 *   getppid N      N calls of getppid(2); prints ns for all
 *   files DIR N    N times: a file made, 100 bytes written, closed, unlinked; prints ns for all
 *   drain HOW      reads standard input to its end: HOW is read (64 KiB at a time) or splice (to /dev/null); prints bytes, and ns
 *                  from the first byte to the end
 *   mounts DIR N   makes N directories in DIR, and in a mount namespace of its own N tmpfs on them; prints `ready`; stays until
 *                  standard input ends
 *   tree DIR N     makes N files in DIR, 1,000 a directory
 *   filter         prints bivy's system-call filter as the kernel takes it (struct sock_filter) */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>

#include "seccomp_filter.h"

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "payload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int getppid_loop(unsigned long count)
{
    int64_t began = now();

    for (unsigned long i = 0; i < count; i++)
        syscall(SYS_getppid);
    printf("%" PRId64 "\n", now() - began);
    return 0;
}

static int files_loop(const char *where, unsigned long count)
{
    static const char text[100];
    int directory = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t began = now();

    if (directory < 0)
        fail(where);
    for (unsigned long i = 0; i < count; i++) {
        int fd = openat(directory, "file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0 || write(fd, text, sizeof text) != sizeof text || close(fd) < 0 || unlinkat(directory, "file", 0) < 0)
            fail("file");
    }
    printf("%" PRId64 "\n", now() - began);
    return 0;
}

static int drain(const char *how)
{
    static char buffer[64 << 10];
    int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int splicing = strcmp(how, "splice") == 0;
    int64_t began = 0;
    uint64_t total = 0;

    if (sink < 0 || (!splicing && strcmp(how, "read") != 0))
        fail(how);
    for (;;) {
        ssize_t got = splicing ? splice(STDIN_FILENO, NULL, sink, NULL, 1 << 20, 0) : read(STDIN_FILENO, buffer, sizeof buffer);

        if (got < 0)
            fail("standard input");
        if (got == 0)
            break;
        if (total == 0)
            began = now();
        total += (uint64_t)got;
    }
    printf("%" PRIu64 " %" PRId64 "\n", total, total == 0 ? 0 : now() - began);
    return 0;
}

static int mounts(const char *where, unsigned long count)
{
    char path[4096], byte;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        fail("mount namespace");
    for (unsigned long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%lu", where, i);
        if (mkdir(path, 0700) < 0 || mount("bench", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=4k") < 0)
            fail(path);
    }
    puts("ready");
    fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

static int tree(const char *where, unsigned long count)
{
    char path[4096];

    for (unsigned long i = 0; i < count; i++) {
        int fd;

        if (i % 1000 == 0) {
            snprintf(path, sizeof path, "%s/%lu", where, i / 1000);
            if (mkdir(path, 0755) < 0)
                fail(path);
        }
        snprintf(path, sizeof path, "%s/%lu/%lu", where, i / 1000, i);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            fail(path);
        close(fd);
    }
    return 0;
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";

    if (strcmp(what, "getppid") == 0 && count == 3)
        return getppid_loop(strtoul(words[2], NULL, 10));
    if (strcmp(what, "files") == 0 && count == 4)
        return files_loop(words[2], strtoul(words[3], NULL, 10));
    if (strcmp(what, "drain") == 0 && count == 3)
        return drain(words[2]);
    if (strcmp(what, "mounts") == 0 && count == 4)
        return mounts(words[2], strtoul(words[3], NULL, 10));
    if (strcmp(what, "tree") == 0 && count == 4)
        return tree(words[2], strtoul(words[3], NULL, 10));
    if (strcmp(what, "filter") == 0 && count == 2)
        return fwrite(seccomp_filter, sizeof *seccomp_filter, seccomp_filter_len, stdout) == seccomp_filter_len ? 0 : 1;
    fputs("usage: payload getppid N | files DIR N | drain read|splice | mounts DIR N | tree DIR N | filter\n", stderr);
    return 2;
}
