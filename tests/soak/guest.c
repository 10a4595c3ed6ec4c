/* guest: what the soak runs inside. Each mode leaves behind as much as it can of one kind of kernel object, so that
 * nothing but the end of the sandbox can give it back. Static: it runs in the sandbox's rootfs. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
    exit(99);
}

static int must(int result, const char *what)
{
    if (result < 0)
        die(what);
    return result;
}

static void fill(char *memory, size_t length)
{
    for (size_t at = 0; at < length; at += PAGE)
        memory[at] = 1;
}

/* Until the kernel ends it. */
static int use_memory(void)
{
    for (;;) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            die("mmap");
        fill(block, 1 << 20);
    }
}

/* Until the kernel refuses; the children are left to the end of the sandbox. */
static int use_processes(void)
{
    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0 && errno == EAGAIN)
            return 0;
        must(pid, "fork");
    }
}

/* Forty dead children of ours that nobody waits for, and ten grandchildren handed to pid 1 without notice. */
static int leave_zombies(void)
{
    for (int i = 0; i < 40; i++) {
        pid_t pid = must(fork(), "fork");
        if (pid == 0) {
            if (i % 4 == 0 && fork() == 0)
                _exit(1);
            _exit(0);
        }
    }
    return 0;
}

/* System V and POSIX IPC objects with content, none of them removed. keyrings are not namespaced: must be refused. */
static int leave_ipc(void)
{
    struct {
        long type;
        char text[2000];
    } message = {.type = 1};
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 1024};
    char *memory;
    mqd_t queue;
    int id, fd;

    for (int i = 0; i < 4; i++) {
        id = must(shmget(IPC_PRIVATE, 16 * PAGE, IPC_CREAT | 0600), "shmget");
        memory = shmat(id, NULL, 0);
        if (memory == (void *)-1)
            die("shmat");
        fill(memory, 16 * PAGE);
        must(semget(IPC_PRIVATE, 20, IPC_CREAT | 0600), "semget");
        id = must(msgget(IPC_PRIVATE, IPC_CREAT | 0600), "msgget");
        must(msgsnd(id, &message, sizeof message.text, IPC_NOWAIT), "msgsnd");
    }
    fd = must(open("/dev/shm/left", O_RDWR | O_CREAT, 0600), "/dev/shm/left");
    must(ftruncate(fd, 16 * PAGE), "ftruncate");
    memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    fill(memory, 16 * PAGE);
    queue = mq_open("/left", O_RDWR | O_CREAT, 0600, &attr);
    if (queue == (mqd_t)-1)
        die("mq_open");
    must(mq_send(queue, message.text, 1024, 0), "mq_send");
    for (int i = 0; i < 4; i++) {
        fd = must(memfd_create("left", 0), "memfd_create");
        must(ftruncate(fd, 16 * PAGE), "ftruncate");
    }
    if (syscall(SYS_add_key, "user", "left", "x", (size_t)1, -4) != -1 || syscall(SYS_keyctl, 0, -3, 1) != -1) {
        fputs("guest: the host's keyrings can be used\n", stderr);
        return 98;
    }
    return 0;
}

static void send_descriptor(int over, int fd)
{
    char room[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    must((int)sendmsg(over, &message, 0), "sendmsg");
}

/* Descriptors of every kind, among them what only a garbage collector can find: sockets in flight over each other. */
static int leave_descriptors(void)
{
    static char bytes[60000];
    struct itimerspec soon = {{1, 0}, {1, 0}};
    struct epoll_event event = {.events = EPOLLIN};
    int pair[2], ends[2], poller, fd;
    timer_t timer;

    for (int i = 0; i < 8; i++) {
        must(pipe(ends), "pipe");
        must((int)write(ends[1], bytes, sizeof bytes), "write to a pipe");
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
        must((int)write(pair[0], bytes, 20000), "write to a socket");
        send_descriptor(pair[0], pair[0]);
        send_descriptor(pair[1], pair[0]);
        send_descriptor(pair[1], pair[1]);
        poller = must(epoll_create1(0), "epoll_create1");
        must(epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event), "epoll_ctl");
        must(epoll_ctl(poller, EPOLL_CTL_ADD, must(eventfd(1, 0), "eventfd"), &event), "epoll_ctl");
        fd = must(timerfd_create(CLOCK_MONOTONIC, 0), "timerfd_create");
        must(timerfd_settime(fd, 0, &soon, NULL), "timerfd_settime");
        if (timer_create(CLOCK_MONOTONIC, &(struct sigevent){.sigev_notify = SIGEV_NONE}, &timer))
            die("timer_create");
        fd = must(inotify_init1(0), "inotify_init1");
        must(inotify_add_watch(fd, "/tmp", IN_ALL_EVENTS), "inotify_add_watch");
        must(open("/dev/ptmx", O_RDWR | O_NOCTTY), "/dev/ptmx");
        fd = must(open("/tmp/gone", O_RDWR | O_CREAT | O_EXCL, 0600), "/tmp/gone");
        must((int)write(fd, bytes, sizeof bytes), "write to /tmp/gone");
        must(unlink("/tmp/gone"), "unlink");
        must(fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET}), "F_SETLK");
    }
    return 0;
}

/* TCP connections over the loopback with unread bytes in both directions, a listener with a backlog, UDP. */
static int leave_connections(void)
{
    static const char bytes[30000];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), client, server = -1;

    must(bind(listener, (struct sockaddr *)&address, sizeof address), "bind");
    must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    must(listen(listener, 16), "listen");
    for (int i = 0; i < 8; i++) {
        client = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
        must(connect(client, (struct sockaddr *)&address, sizeof address), "connect");
        must((int)write(client, bytes, sizeof bytes), "write to the server");
        if (i % 2 == 0) {
            server = must(accept(listener, NULL, NULL), "accept");
            must((int)write(server, bytes, sizeof bytes), "write to the client");
        }
        if (i == 2)
            close(server); /* with unread bytes: a reset */
    }
    client = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    must((int)sendto(client, bytes, 1000, 0, (struct sockaddr *)&address, sizeof address), "sendto");
    return 0;
}

/* Until bivy ends it. */
static int spew(void)
{
    static const char bytes[1 << 16];

    for (;;)
        if (write(STDOUT_FILENO, bytes, sizeof bytes) < 0)
            die("write");
}

static int abort_now(void)
{
    abort();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } modes[] = {
        {"memory", use_memory},           {"processes", use_processes},     {"zombies", leave_zombies},
        {"ipc", leave_ipc},               {"descriptors", leave_descriptors}, {"connections", leave_connections},
        {"spew", spew},                   {"abort", abort_now},
    };

    for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(argv[1], modes[i].name))
            return modes[i].run();
    fputs("usage: guest memory|processes|zombies|ipc|descriptors|connections|spew|abort\n", stderr);
    return 2;
}
