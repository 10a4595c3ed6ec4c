/* payload: the command of the kill test, and the one that says afterwards whether its bytes are there.
 *
 *   payload write RUN SEED COUNT WAIT_US go|hold
 *                                          in the working directory: RUN.begun first, COUNT files RUN.0 ..., a line in
 *                                          "log", RUN.done last; a descendant that never ends is left behind. Each
 *                                          closed file is told on stdout; an even seed does not mind if nobody reads.
 *                                          hold: nor does it end by itself then, but has to be ended
 *   payload verify DIRECTORY               reads "RUN SEED COUNT c|p" a line: c, the command completed, so everything
 *                                          must be there to the byte; p, it may have been killed, so what is there must
 *                                          be the beginning of what it wrote. One line for each trouble, then
 *                                          "verified FILES BYTES LOST"
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARTS 4 /* written one after the other: as many calls whatever the seed */
#define MOST (24 * 1024)
#define NAME 64

static _Noreturn void die(const char *what)
{
    dprintf(2, "payload: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* What the file holds: as many bytes as this returns. */
static size_t content(uint64_t seed, unsigned index, unsigned char bytes[MOST])
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + index + 1;
    size_t length;

    for (size_t i = 0; i < MOST; i += 8) { /* xorshift64* */
        uint64_t word;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        word = state * 0x2545f4914f6cdd1du;
        memcpy(bytes + i, &word, 8);
    }
    length = (size_t)((state >> 20) % MOST);
    return length < 64 ? 64 : length;
}

/* ---- writing ---- */

static void put(int fd, const void *bytes, size_t length)
{
    if (write(fd, bytes, length) != (ssize_t)length)
        die("write");
}

static void put_file(const char *name, const void *bytes, size_t length, bool synced)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        die(name);
    for (size_t part = 0; part < PARTS; part++) {
        size_t from = length * part / PARTS, to = length * (part + 1) / PARTS;
        put(fd, (const char *)bytes + from, to - from);
    }
    if ((synced && fsync(fd) < 0) || close(fd) < 0)
        die(name);
}

/* It leaves the command's session and is reparented to pid 1, with the command's pipes still open. */
static void leave_descendant(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0) {
        setsid();
        pid = fork();
        if (pid < 0)
            die("fork");
        if (pid > 0)
            _exit(0);
        for (;;)
            pause();
    }
    if (waitpid(pid, NULL, 0) != pid)
        die("waitpid");
}

/* Nobody reads stdout any more. */
static bool deserted(void)
{
    struct pollfd out = {.fd = 1};

    return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

static int write_all(const char *run, uint64_t seed, unsigned count, long wait_us, bool hold)
{
    static unsigned char bytes[MOST];
    char name[NAME], whole[NAME + 8];
    int log, length;

    if (hold || seed % 2 == 0)
        signal(SIGPIPE, SIG_IGN);
    snprintf(name, sizeof name, "%s.begun", run);
    put_file(name, "", 0, false);
    leave_descendant();
    for (unsigned i = 0; i < count; i++) {
        size_t size = content(seed, i, bytes);
        snprintf(name, sizeof name, "%s.%u", run, i);
        snprintf(whole, sizeof whole, "%s%s", name, i % 4 == 2 ? ".new" : "");
        put_file(whole, bytes, size, i == 1); /* most are closed and never synced */
        if (i % 4 == 2 && rename(whole, name) < 0)
            die(whole);
        length = snprintf(whole, sizeof whole, "closed %s\n", name);
        if (write(1, whole, (size_t)length) != length && errno != EPIPE)
            die("stdout");
        while (deserted() && hold)
            pause();
        if (wait_us)
            nanosleep(&(struct timespec){.tv_nsec = wait_us * 1000 / count}, NULL);
    }
    log = open("log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    length = snprintf(whole, sizeof whole, "%s\n", run);
    if (log < 0)
        die("log");
    put(log, whole, (size_t)length);
    if (close(log) < 0)
        die("log");
    snprintf(name, sizeof name, "%s.done", run);
    put_file(name, "done\n", 5, false);
    return 0;
}

/* ---- looking ---- */

static unsigned long files, total, lost;

static void missing(const char *name, const char *how, size_t bytes)
{
    printf("%s: %s\n", name, how);
    lost += bytes;
}

/* complete: all of it must be there; else it may be cut off or not be there at all. */
static void check(int directory, const char *name, const void *wanted, size_t length, bool complete)
{
    static unsigned char bytes[MOST + 1];
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    size_t have = 0, same = 0;
    ssize_t got;

    if (fd < 0) {
        if (complete || errno != ENOENT)
            missing(name, strerror(errno), length ? length : 1);
        return;
    }
    while (have < sizeof bytes && (got = read(fd, bytes + have, sizeof bytes - have)) > 0)
        have += (size_t)got;
    close(fd);
    while (same < have && same < length && bytes[same] == ((const unsigned char *)wanted)[same])
        same++;
    if (have > length)
        missing(name, "is longer than what was written", have - length);
    else if (same < have)
        missing(name, "differs from what was written", have - same);
    else if (complete && have < length)
        missing(name, "is shorter than what was written", length - have);
    files++;
    total += have;
}

static char *read_log(int directory)
{
    int fd = openat(directory, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    char *text;

    if (fd < 0)
        return calloc(1, 1);
    if (fstat(fd, &status) < 0 || !(text = calloc(1, (size_t)status.st_size + 1)) ||
        read(fd, text, (size_t)status.st_size) != status.st_size)
        die("log");
    close(fd);
    return text;
}

/* A run's name as a line of its own, exactly once. */
static void check_log(const char *log, const char *run)
{
    size_t length = strlen(run);
    unsigned found = 0;

    for (const char *at = log; (at = strstr(at, run)); at += length)
        found += (at == log || at[-1] == '\n') && at[length] == '\n';
    if (found != 1)
        missing(run, found ? "is in the log more than once" : "is not in the log", length + 1);
}

static int verify(const char *path)
{
    static unsigned char wanted[MOST];
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char run[32], kind, name[NAME], *log;
    unsigned long long seed;
    unsigned count;

    if (directory < 0)
        die(path);
    log = read_log(directory);
    while (scanf("%31s %llu %u %c", run, &seed, &count, &kind) == 4) {
        bool complete = kind == 'c';
        snprintf(name, sizeof name, "%s.begun", run);
        check(directory, name, "", 0, complete);
        for (unsigned i = 0; i < count; i++) {
            size_t length = content(seed, i, wanted);
            snprintf(name, sizeof name, "%s.%u", run, i);
            check(directory, name, wanted, length, complete);
            if (i % 4 == 2) {
                snprintf(name, sizeof name, "%s.%u.new", run, i);
                check(directory, name, wanted, length, false);
            }
        }
        snprintf(name, sizeof name, "%s.done", run);
        check(directory, name, "done\n", 5, complete);
        if (complete)
            check_log(log, run);
    }
    free(log);
    printf("verified %lu %lu %lu\n", files, total, lost);
    return lost > 0;
}

int main(int argc, char **argv)
{
    if (argc == 7 && !strcmp(argv[1], "write"))
        return write_all(argv[2], strtoull(argv[3], NULL, 10), (unsigned)atoi(argv[4]), atol(argv[5]),
                         !strcmp(argv[6], "hold"));
    if (argc == 3 && !strcmp(argv[1], "verify"))
        return verify(argv[2]);
    dprintf(2, "usage: payload write RUN SEED COUNT WAIT_US go|hold | payload verify DIRECTORY\n");
    return 99;
}
