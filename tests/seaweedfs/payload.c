/* What runs inside, on a SeaweedFS workspace: the file operations of real programs, each checked where it is made, and
 * again by a later command on another host. Static, so that it runs on any rootfs; it is copied into the workspace and
 * started from there.
 *
 *   payload posix | after          single operations; what of them is to be seen later and elsewhere
 *   payload many write|check N     N small files in directories of 100
 *   payload big write|check MIB    one file, whose every 8 bytes tell where they belong
 *   payload chain I                checks the files 0 .. I-1 of earlier commands, then writes file I
 *   payload steady N SECONDS       N files, one after the other; what fails is tried again for SECONDS
 *   payload fill MIB               writes until it is refused, and says how
 *   payload hold                   one file closed, one fsynced, one only written; then waits, and ignores SIGTERM
 *   payload scribble I             the same without waiting, its own child still holding a file open
 *
 * One line of stdout for each thing that was done; status 0: all as it should be, 1: not, and stdout says what, 3: an
 * errno. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *doing = "";
static int failed;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* The check that everything here is made of: the expression as text, and errno, which the failed call has left. */
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        if (!(condition)) {                                                                                            \
            complain(#condition, __LINE__);                                                                            \
            return;                                                                                                    \
        }                                                                                                              \
    } while (0)

static void complain(const char *condition, int line)
{
    say("not ok %s: %s (line %d, %s)", doing, condition, line, errno ? strerrorname_np(errno) : "no errno");
    failed = 1;
}

static int put(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

    if (fd < 0)
        return -1;
    if (write(fd, data, size) != (ssize_t)size) {
        int error = errno ? errno : EIO;
        close(fd);
        errno = error;
        return -1;
    }
    return close(fd);
}

static int has(const char *path, const void *data, size_t size)
{
    char *got = malloc(size + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC), same = 0;
    size_t filled = 0;

    if (fd >= 0 && got) {
        for (ssize_t part; filled <= size && (part = read(fd, got + filled, size + 1 - filled)) > 0;)
            filled += (size_t)part;
        same = filled == size && memcmp(got, data, size) == 0;
    }
    if (fd >= 0)
        close(fd);
    free(got);
    return same;
}

static void renames(void)
{
    HOLDS(mkdir("from", 0755) == 0);
    HOLDS(put("from/a", "new", 3) == 0);
    HOLDS(put("b", "old", 3) == 0);
    HOLDS(rename("from/a", "b") == 0);
    HOLDS(has("b", "new", 3));
    HOLDS(access("from/a", F_OK) < 0 && errno == ENOENT);
    HOLDS(put("from/c", "inside", 6) == 0);
    HOLDS(rename("from", "to") == 0);
    HOLDS(has("to/c", "inside", 6));
    HOLDS(mkdir("empty", 0755) == 0);
    HOLDS(rmdir("to") < 0 && errno == ENOTEMPTY);
    HOLDS(rmdir("empty") == 0);
}

/* SeaweedFS takes RENAME_EXCHANGE for a plain rename, which loses a file: bivy's filter refuses it. */
static void exchange(void)
{
    HOLDS(put("x", "first", 5) == 0);
    HOLDS(put("y", "second", 6) == 0);
    HOLDS(syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", 2 /* RENAME_EXCHANGE */) < 0 && errno == EINVAL);
    HOLDS(has("x", "first", 5));
    HOLDS(has("y", "second", 6));
}

static void hard_links(void)
{
    struct stat one, two;

    HOLDS(put("one", "linked", 6) == 0);
    HOLDS(link("one", "two") == 0);
    HOLDS(stat("one", &one) == 0 && stat("two", &two) == 0);
    HOLDS(one.st_nlink == 2 && two.st_nlink == 2);
    HOLDS(put("two", "through two", 11) == 0);
    HOLDS(has("one", "through two", 11));
    HOLDS(link("one", "three") == 0);
    HOLDS(unlink("three") == 0);
    HOLDS(has("one", "through two", 11));
}

static void symbolic_links(void)
{
    char target[32] = "";

    HOLDS(symlink("one", "link") == 0);
    HOLDS(readlink("link", target, sizeof target) == 3 && memcmp(target, "one", 3) == 0);
    HOLDS(has("link", "through two", 11));
}

static void attributes(void)
{
    char value[64];

    HOLDS(put("xattr", "x", 1) == 0);
    HOLDS(setxattr("xattr", "user.kept", "a value", 7, XATTR_CREATE) == 0);
    HOLDS(setxattr("xattr", "user.gone", "b", 1, 0) == 0);
    HOLDS(getxattr("xattr", "user.kept", value, sizeof value) == 7 && memcmp(value, "a value", 7) == 0);
    HOLDS(listxattr("xattr", value, sizeof value) == 20);
    HOLDS(removexattr("xattr", "user.gone") == 0);
    HOLDS(getxattr("xattr", "user.gone", value, sizeof value) < 0 && errno == ENODATA);
}

/* Another process holds the lock until its pipe ends. kind 0: flock(2), 1: fcntl(2). */
static void lock(int kind)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int ready[2], release[2], status;
    char byte;

    HOLDS(pipe(ready) == 0 && pipe(release) == 0);
    HOLDS(put("lock", "", 0) == 0);
    pid_t child = fork();
    HOLDS(child >= 0);
    int fd = open("lock", O_RDWR | O_CLOEXEC);
    HOLDS(fd >= 0);
    if (child == 0) {
        close(release[1]);
        if ((kind ? fcntl(fd, F_SETLK, &whole) : flock(fd, LOCK_EX | LOCK_NB)) < 0)
            _exit(1);
        if (write(ready[1], "x", 1) != 1 || read(release[0], &byte, 1) != 0)
            _exit(2);
        _exit(0);
    }
    close(ready[1]);
    close(release[0]);
    HOLDS(read(ready[0], &byte, 1) == 1);
    HOLDS((kind ? fcntl(fd, F_SETLK, &whole) : flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EAGAIN);
    close(release[1]);
    HOLDS(waitpid(child, &status, 0) == child && status == 0);
    HOLDS((kind ? fcntl(fd, F_SETLKW, &whole) : flock(fd, LOCK_EX)) == 0);
    close(fd);
    close(ready[0]);
}

static void flocks(void)
{
    lock(0);
}

static void record_locks(void)
{
    lock(1);
}

enum { MAPPED = 3 * 4096 };

static void fill_map(char *at)
{
    for (int i = 0; i < MAPPED; i++)
        at[i] = (char)('a' + i % 23);
}

static void shared_maps(void)
{
    char want[MAPPED];
    int fd = open("mmap", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644), status;

    fill_map(want);
    HOLDS(fd >= 0 && ftruncate(fd, MAPPED) == 0);
    char *map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HOLDS(map != MAP_FAILED);
    pid_t child = fork();
    HOLDS(child >= 0);
    if (child == 0) {
        fill_map(map);
        _exit(0);
    }
    HOLDS(waitpid(child, &status, 0) == child && status == 0);
    HOLDS(memcmp(map, want, MAPPED) == 0);
    HOLDS(msync(map, MAPPED, MS_SYNC) == 0 && munmap(map, MAPPED) == 0);
    HOLDS(close(fd) == 0);
    HOLDS(has("mmap", want, MAPPED));
}

static void sizes(void)
{
    char zeros[4096] = {0}, got[4096];
    int fd = open("sparse", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
    struct stat now;

    HOLDS(fd >= 0 && pwrite(fd, "end", 3, 5 << 20) == 3);
    HOLDS(pwrite(fd, "start", 5, 0) == 5);
    HOLDS(pread(fd, got, sizeof got, 1 << 20) == sizeof got && memcmp(got, zeros, sizeof got) == 0);
    HOLDS(close(fd) == 0);
    HOLDS(stat("sparse", &now) == 0 && now.st_size == (5 << 20) + 3);
    HOLDS(truncate("sparse", 5) == 0 && has("sparse", "start", 5));
    HOLDS(truncate("sparse", 8) == 0 && has("sparse", "start\0\0\0", 8));
    HOLDS((fd = open("sparse", O_WRONLY | O_APPEND | O_CLOEXEC)) >= 0);
    HOLDS(write(fd, "more", 4) == 4 && close(fd) == 0);
    HOLDS((fd = open("sparse", O_WRONLY | O_CLOEXEC)) >= 0);
    HOLDS(pwrite(fd, "X", 1, 2) == 1 && close(fd) == 0);
    HOLDS(has("sparse", "stXrt\0\0\0more", 12));
}

static void names(void)
{
    char longest[256];

    memset(longest, 'n', 255);
    longest[255] = '\0';
    HOLDS(mkdir("names", 0755) == 0 && chdir("names") == 0);
    HOLDS(put(longest, "1", 1) == 0 && has(longest, "1", 1));
    HOLDS(put("two words\nand a line", "2", 1) == 0 && has("two words\nand a line", "2", 1));
    HOLDS(put("Gr\xc3\xbc\xc3\x9f" "e %2F ?#&", "3", 1) == 0 && has("Gr\xc3\xbc\xc3\x9f" "e %2F ?#&", "3", 1));
    HOLDS(chdir("..") == 0);
}

static void modes_and_times(void)
{
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1234567890}};
    struct stat now;
    int fd = open("mode", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    HOLDS(fd >= 0 && close(fd) == 0);
    HOLDS(open("mode", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) < 0 && errno == EEXIST);
    HOLDS(chmod("mode", 0640) == 0);
    HOLDS(utimensat(AT_FDCWD, "mode", times, 0) == 0);
    HOLDS(stat("mode", &now) == 0 && (now.st_mode & 07777) == 0640 && now.st_mtime == 1234567890);
    HOLDS(now.st_uid == getuid() && now.st_gid == getgid());
}

static void unlinked_but_open(void)
{
    char got[4];
    int fd = open("gone", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);

    HOLDS(fd >= 0 && write(fd, "here", 4) == 4);
    HOLDS(unlink("gone") == 0);
    HOLDS(pread(fd, got, 4, 0) == 4 && memcmp(got, "here", 4) == 0);
    HOLDS(close(fd) == 0);
    HOLDS(access("gone", F_OK) < 0 && errno == ENOENT);
}

static void seen_elsewhere(void)
{
    char want[MAPPED], value[64];
    struct stat one, two;

    fill_map(want);
    HOLDS(has("b", "new", 3));
    HOLDS(has("to/c", "inside", 6));
    HOLDS(has("x", "first", 5) && has("y", "second", 6));
    HOLDS(has("one", "through two", 11) && has("two", "through two", 11) && has("link", "through two", 11));
    HOLDS(stat("one", &one) == 0 && stat("two", &two) == 0 && one.st_nlink == 2 && two.st_nlink == 2);
    HOLDS(getxattr("xattr", "user.kept", value, sizeof value) == 7 && memcmp(value, "a value", 7) == 0);
    HOLDS(getxattr("xattr", "user.gone", value, sizeof value) < 0 && errno == ENODATA);
    HOLDS(has("mmap", want, MAPPED));
    HOLDS(has("sparse", "stXrt\0\0\0more", 12));
    HOLDS(has("names/two words\nand a line", "2", 1));
    HOLDS(stat("mode", &one) == 0 && (one.st_mode & 07777) == 0640 && one.st_mtime == 1234567890);
    HOLDS(access("gone", F_OK) < 0 && errno == ENOENT);
}

static const struct {
    const char *name;
    void (*call)(void);
    int later;
} operations[] = {
    {"renames", renames, 0},
    {"exchange", exchange, 0},
    {"hard links", hard_links, 0},
    {"symbolic links", symbolic_links, 0},
    {"xattrs", attributes, 0},
    {"flock", flocks, 0},
    {"record locks", record_locks, 0},
    {"shared mmap", shared_maps, 0},
    {"sizes", sizes, 0},
    {"names", names, 0},
    {"modes and times", modes_and_times, 0},
    {"unlinked but open", unlinked_but_open, 0},
    {"seen elsewhere", seen_elsewhere, 1},
};

static void posix(int later)
{
    doing = "directory";
    if (!later)
        HOLDS(mkdir("posix", 0755) == 0);
    HOLDS(chdir("posix") == 0);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (operations[i].later != later)
            continue;
        doing = operations[i].name;
        int before = failed;
        failed = 0;
        operations[i].call();
        if (!failed)
            say("ok %s", doing);
        failed |= before;
    }
}

/* 20 to 600 bytes, other ones for every number. */
static size_t small(char *text, size_t size, int number)
{
    int length = snprintf(text, size, "file %d ", number);

    for (int i = 0; i < 20 + number * 37 % 560; i++)
        length += snprintf(text + length, size - (size_t)length, "%c", 'a' + (number + i) % 26);
    return (size_t)length;
}

static void many(int writing, int number)
{
    char path[64], text[1024];

    doing = "many";
    for (int i = 0; i < number; i++) {
        size_t size = small(text, sizeof text, i);
        if (writing && i % 100 == 0) {
            snprintf(path, sizeof path, "many.%d", i / 100);
            HOLDS(mkdir(path, 0755) == 0);
        }
        snprintf(path, sizeof path, "many.%d/%d", i / 100, i);
        HOLDS(writing ? put(path, text, size) == 0 : has(path, text, size));
    }
    say("ok many %d", number);
}

enum { BLOCK = 1 << 20 };

static void fill_block(uint64_t *block, uint64_t number)
{
    for (uint64_t i = 0; i < BLOCK / sizeof *block; i++)
        block[i] = (number * (BLOCK / sizeof *block) + i) * 0x9e3779b97f4a7c15u;
}

static void big(int writing, uint64_t mib)
{
    static uint64_t want[BLOCK / sizeof(uint64_t)], got[BLOCK / sizeof(uint64_t)];
    int fd = open("big", writing ? O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0644);
    struct stat now;

    doing = "big";
    HOLDS(fd >= 0);
    for (uint64_t i = 0; i < mib; i++) {
        fill_block(want, i);
        if (writing) {
            HOLDS(write(fd, want, BLOCK) == BLOCK);
            continue;
        }
        for (size_t filled = 0; filled < BLOCK;) {
            ssize_t part = read(fd, (char *)got + filled, BLOCK - filled);
            HOLDS(part > 0);
            filled += (size_t)part;
        }
        HOLDS(memcmp(want, got, BLOCK) == 0);
    }
    HOLDS(fstat(fd, &now) == 0 && now.st_size == (off_t)(mib * BLOCK));
    HOLDS(!writing || fsync(fd) == 0);
    HOLDS(close(fd) == 0);
    say("ok big %llu", (unsigned long long)mib);
}

static void chain(int number)
{
    char path[32], text[1024];

    doing = "chain";
    for (int i = 0; i <= number; i++) {
        size_t size = small(text, sizeof text, i);
        snprintf(path, sizeof path, "chain.%d", i);
        if (i < number && !has(path, text, size)) {
            say("not ok chain: file %d is not what command %d wrote", i, i);
            failed = 1;
        }
        if (i == number)
            HOLDS(put(path, text, size) == 0);
    }
    say("wrote %d", number);
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int steady(int number, double patience)
{
    char path[32], text[1024];
    double start = now_seconds();

    for (int i = 0; i < number; i++) {
        size_t size = small(text, sizeof text, i);
        snprintf(path, sizeof path, "steady.%d", i);
        while (put(path, text, size) < 0) {
            int error = errno;
            say("refused %d %s", i, strerrorname_np(error));
            if (now_seconds() - start > patience)
                return 3;
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        }
        say("wrote %d", i);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return 0;
}

static int fill(int mib)
{
    static char block[BLOCK];
    int fd = open("fill", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    const char *what = "open";

    if (fd < 0)
        goto refused;
    what = "write";
    for (int i = 0; i < mib; i++)
        if (write(fd, block, sizeof block) < 0)
            goto refused;
    what = "fsync";
    if (fsync(fd) < 0)
        goto refused;
    what = "close";
    if (close(fd) < 0)
        goto refused;
    say("wrote %d MiB", mib);
    return 0;
refused:
    say("%s: %s", what, strerrorname_np(errno));
    return 3;
}

static void three(int number)
{
    char path[32], text[1024];
    int fd;
    size_t size = small(text, sizeof text, number);

    doing = "three";
    snprintf(path, sizeof path, "closed.%d", number);
    HOLDS(put(path, text, size) == 0);
    snprintf(path, sizeof path, "synced.%d", number);
    HOLDS((fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644)) >= 0);
    HOLDS(write(fd, text, size) == (ssize_t)size && fsync(fd) == 0);
    snprintf(path, sizeof path, "written.%d", number);
    HOLDS((fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644)) >= 0);
    HOLDS(write(fd, text, size) == (ssize_t)size);
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    int number = argc > 2 ? atoi(argv[argc > 3 && !strchr("0123456789", *argv[2]) ? 3 : 2]) : 0;
    int writing = argc > 2 && !strcmp(argv[2], "write");

    if (!strcmp(verb, "posix") || !strcmp(verb, "after")) {
        posix(*verb == 'a');
    } else if (!strcmp(verb, "many")) {
        many(writing, number);
    } else if (!strcmp(verb, "big")) {
        big(writing, (uint64_t)number);
    } else if (!strcmp(verb, "chain")) {
        chain(number);
    } else if (!strcmp(verb, "steady") && argc > 3) {
        return steady(number, atof(argv[3]));
    } else if (!strcmp(verb, "fill")) {
        return fill(number);
    } else if (!strcmp(verb, "hold")) {
        signal(SIGTERM, SIG_IGN);
        three(number);
        say("ready");
        for (;;)
            pause();
    } else if (!strcmp(verb, "scribble")) {
        three(number);
        if (fork() == 0)
            for (;;)
                pause();
        say("ready");
    } else {
        fprintf(stderr, "payload: see its source for what it does\n");
        return 2;
    }
    return failed;
}
