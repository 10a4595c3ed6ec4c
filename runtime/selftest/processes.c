/* Attacks on other processes. */
#include "attack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int attack_pid_1_files(void)
{
    static const char *const files[] = {"",        "/mem",    "/environ",   "/maps",      "/root/etc",   "/cwd/.",
                                        "/fd",     "/fd/0",   "/exe",       "/cmdline",   "/status",     "/stat",
                                        "/ns/mnt", "/task/1", "/mountinfo", "/map_files", "/task/1/mem", "/auxv"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/1%s", files[i]);
        if (refused(path, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ENOENT))
            return GOT;
    }
    return REFUSED;
}

int attack_process_list(void)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;

    if (!directory)
        return got("/proc cannot be listed: %s", strerror(errno));
    while ((entry = readdir(directory))) {
        char path[64];
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0)
            continue;
        if (pid == 1)
            return got("pid 1 shows");
        snprintf(path, sizeof path, "/proc/%ld/exe", pid);
        if (failed(path, open(path, O_WRONLY | O_CLOEXEC)) || failed(path, open(path, O_RDWR | O_CLOEXEC)))
            return GOT;
        snprintf(path, sizeof path, "/proc/%ld/mem", pid);
        if (failed(path, open(path, O_RDWR | O_CLOEXEC)))
            return GOT;
    }
    closedir(directory);
    return REFUSED;
}

int attack_ptrace(void)
{
    return EACH(refused("attach to pid 1", syscall(SYS_ptrace, 16L, 1L, 0L, 0L), EPERM),
                refused("seize pid 1", syscall(SYS_ptrace, 0x4206L, 1L, 0L, 0L), EPERM),
                /* not attach, which stops: the parent is who reports */
                refused("seize the parent", syscall(SYS_ptrace, 0x4206L, (long)getppid(), 0L, 0L), EPERM),
                refused("be traced", syscall(SYS_ptrace, 0L, 0L, 0L, 0L), EPERM));
}

int attack_process_memory(void)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    int pidfd = (int)syscall(CALL_PIDFD_OPEN, 1, 0);

    return EACH(refused("reading pid 1", syscall(SYS_process_vm_readv, 1L, &here, 1L, &there, 1L, 0L), EPERM),
                refused("writing pid 1", syscall(SYS_process_vm_writev, 1L, &here, 1L, &there, 1L, 0L), EPERM),
                refused("writing the parent",
                        syscall(SYS_process_vm_writev, (long)getppid(), &here, 1L, &there, 1L, 0L), EPERM),
                refused("descriptors of pid 1", syscall(CALL_PIDFD_GETFD, pidfd, 0, 0), EPERM),
                refused("descriptors of itself",
                        syscall(CALL_PIDFD_GETFD, (int)syscall(CALL_PIDFD_OPEN, getpid(), 0), 1, 0), EPERM),
                refused("process_madvise", syscall(CALL_PROCESS_MADVISE, pidfd, &there, 1L, 4L, 0L), ENOSYS),
                refused("process_mrelease", syscall(CALL_PROCESS_MRELEASE, pidfd, 0), ENOSYS),
                refused("kcmp", syscall(SYS_kcmp, 1L, (long)getpid(), 0L, 0L, 0L), EPERM),
                refused("move_pages", syscall(SYS_move_pages, 1L, 0L, NULL, NULL, NULL, 0L), EPERM));
}

/* A pid 1 that were dead would take this process along; one that were stopped would reap nobody. */
int attack_pid_1_signals(void)
{
    int pidfd = (int)syscall(CALL_PIDFD_OPEN, 1, 0), ends[2];
    pid_t orphan = 0, middle;

    for (int signal = 1; signal <= 64; signal++) {
        kill(1, signal);
        syscall(424 /* pidfd_send_signal */, pidfd, signal, NULL, 0);
        syscall(SYS_tgkill, 1, 1, signal);
    }
    if (pipe2(ends, O_CLOEXEC) < 0 || (middle = fork()) < 0)
        return got("no process to look with: %s", strerror(errno));
    if (middle == 0) {
        orphan = fork();
        if (orphan == 0)
            _exit(0);
        if (write(ends[1], &orphan, sizeof orphan) != sizeof orphan)
            _exit(1);
        _exit(0);
    }
    waitpid(middle, NULL, 0);
    if (read(ends[0], &orphan, sizeof orphan) != sizeof orphan || orphan <= 0)
        return got("no process to look with: %s", strerror(errno));
    for (int i = 0; i < PATIENCE / 2; i++) {
        if (kill(orphan, 0) < 0 && errno == ESRCH)
            return REFUSED;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return got("pid 1 reaps no more: a signal stopped it");
}
