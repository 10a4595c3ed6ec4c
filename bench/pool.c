/* pool: could a run be faster with pieces made ahead? A study for docs/PERFORMANCE.md, no part of bivy. Every piece is
 * used once and thrown away, so the question is only what must be known, held and trusted before the run.
 *
 *   pool serve net N SOCKET             keeps N network namespaces and hands one to whoever connects
 *   pool serve whole N SOCKET ROOTFS    keeps N sandboxes as floor makes them, each waiting just before the
 *                                       workspace, the loss of privilege and the command
 *   pool net SOCKET ROOTFS COMMAND...   floor, with a network namespace from there
 *   pool whole SOCKET COMMAND...        runs it in a sandbox from there; returns when that is gone and its leaf removed
 *
 * serve prints "ready" once N pieces are there, ends with its standard input or SIGTERM, and leaves nothing. The status
 * is floor's. Root only; the socket belongs to root. */
#define FLOOR_PARTS
#include "floor.c"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define POOL_MOST 1024
#define REQUEST_MOST 4096 /* bytes of a command line */
#define ARGUMENTS_MOST 64

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof at.sun_path)
        fail(path);
    strcpy(at.sun_path, path);
    return at;
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = address(path);
    int fd = (int)need("socket", socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

    umask(077);
    need(path, bind(fd, (const struct sockaddr *)&at, sizeof at));
    need("listen", listen(fd, POOL_MOST));
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un at = address(path);
    int fd = (int)need("socket", socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

    need(path, connect(fd, (const struct sockaddr *)&at, sizeof at));
    return fd;
}

#define FDS_MOST 2
union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(FDS_MOST * sizeof(int))];
};

static void send_fds(int to, const void *data, size_t size, const int *fds, size_t count)
{
    union control control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
    struct cmsghdr *head;

    message.msg_controllen = (socklen_t)CMSG_SPACE(count * sizeof(int)); /* socklen_t or size_t: the libraries differ */
    head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = (socklen_t)CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    need("sendmsg", sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1);
}

/* Bytes received, with exactly count descriptors; 0 when the other end is gone. */
static size_t receive_fds(int from, void *data, size_t size, int *fds, size_t count)
{
    union control control = {0};
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head;
    ssize_t got;

    do
        got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (need("recvmsg", got) == 0)
        return 0;
    head = CMSG_FIRSTHDR(&message);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !head || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(count * sizeof(int))) {
        errno = EPROTO;
        fail("recvmsg");
    }
    memcpy(fds, CMSG_DATA(head), count * sizeof(int));
    return (size_t)got;
}

static pid_t keepers[2 * POOL_MOST]; /* of sandboxes that wait and that run; 0 is a free place */
static volatile sig_atomic_t ending;

static void end(int signal)
{
    (void)signal;
    ending = 1;
}

static void reap_keepers(int how)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, how)) > 0 || (pid < 0 && errno == EINTR))
        for (size_t i = 0; i < COUNT(keepers); i++)
            if (pid > 0 && keepers[i] == pid)
                keepers[i] = 0;
}

#define QUIET_MS 5 /* what is missing is made when nobody has come for so long, not beside a run */

enum event { SOMEBODY, QUIET, END };

/* SOMEBODY: something to read or accept. QUIET: not so, and something is missing. END: of standard input, or by a
 * signal. */
static enum event await(int fd, size_t missing)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    char ignored[64];

    while (!ending) {
        int ready = poll(fds, COUNT(fds), missing ? QUIET_MS : 1000); /* a signal just before poll(2) is seen then */
        if (ready < 0 && errno != EINTR)
            fail("poll");
        reap_keepers(WNOHANG);
        if (ready > 0 && fds[1].revents && read(0, ignored, sizeof ignored) <= 0)
            return END;
        if (ready > 0 && fds[0].revents)
            return SOMEBODY;
        if (ready == 0 && missing)
            return QUIET;
    }
    return END;
}

static void end_on_signals(void)
{
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = end};

    for (size_t i = 0; i < COUNT(stops); i++)
        need("sigaction", sigaction(stops[i], &action, NULL));
}

static void say_ready(void)
{
    need("stdout", write(1, "ready\n", 6));
}

/* ---- net: a namespace of the host's user namespace, since the sandbox's own does not exist yet ---- */

static int new_network(void)
{
    need("network namespace", syscall(SYS_unshare, CLONE_NEWNET));
    return (int)need("/proc/self/ns/net", open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
}

static int serve_networks(size_t count, const char *path)
{
    static int pieces[POOL_MOST];
    int own = (int)need("/proc/self/ns/net", open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    int listener = listen_at(path);
    size_t have = 0;
    enum event event;

    while (have < count)
        pieces[have++] = new_network();
    need("setns", syscall(SYS_setns, own, CLONE_NEWNET));
    say_ready();
    while ((event = await(listener, count - have)) != END) {
        if (event == QUIET || have == 0) {
            pieces[have++] = new_network();
            need("setns", syscall(SYS_setns, own, CLONE_NEWNET));
        }
        if (event == SOMEBODY) {
            int client = (int)need("accept4", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
            send_fds(client, "n", 1, &pieces[--have], 1);
            close(client);
            close(pieces[have]); /* the client's is the only one left: the server cannot enter it any more */
        }
    }
    unlink(path);
    return 0;
}

static void inside_net(const struct given *given, void *argv)
{
    prepare(given);
    _exit(run(argv, given, -1));
}

static int run_net(const char *path, const char *rootfs, char **argv)
{
    int server = connect_to(path), network;
    char byte;

    if (receive_fds(server, &byte, 1, &network, 1) == 0)
        fail("no network namespace");
    close(server);
    need("setns", syscall(SYS_setns, network, CLONE_NEWNET)); /* pid 1 is born in it */
    close(network);
    launch(rootfs, CLONE_NEWNET, inside_net, argv);
    return finish();
}

/* ---- whole: pid 1 waits in accept(2), its keeper (a supervisor as floor's) for its end ---- */

struct waiting {
    int listener;
    int keeper; /* pid 1's end of a socket to its keeper */
    int told;   /* write end of a pipe to the server: P prepared, T taken, so that it makes the next */
};

static void inside_whole(const struct given *given, void *argument)
{
    struct waiting *at = argument;
    char text[REQUEST_MOST + 1], *argv[ARGUMENTS_MOST + 1];
    int client, fds[2];
    size_t got, words = 0;
    unsigned char status;

    prepare(given);
    need("death signal", prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    need("told", write(at->told, "P", 1));
    client = (int)need("accept4", accept4(at->listener, NULL, NULL, SOCK_CLOEXEC));
    close(at->listener);
    need("told", write(at->told, "T", 1));
    close(at->told);
    got = receive_fds(client, text, REQUEST_MOST, fds, 2);
    text[got] = '\0';
    for (char *word = text; word < text + got && words < ARGUMENTS_MOST; word += strlen(word) + 1)
        argv[words++] = word;
    argv[words] = NULL;
    if (words == 0)
        fail("no command");
    need("stdout", dup2(fds[0], 1));
    need("stderr", dup2(fds[1], 2));
    send_fds(at->keeper, "c", 1, &client, 1); /* the keeper answers once all is gone */
    close(client);
    status = (unsigned char)run(argv, given, at->keeper);
    _exit(status);
}

/* One sandbox from its making to its end. */
static _Noreturn void keep(const char *rootfs, pid_t server, int listener, int told)
{
    int pair[2], client;
    unsigned char status;
    char byte;

    need("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    struct waiting at = {.listener = listener, .keeper = pair[1], .told = told};
    launch(rootfs, 0, inside_whole, &at);
    close(pair[1]);
    close(listener);
    close(told);
    /* Only now: launch has a handler that ends the sandbox and removes the leaf. */
    need("death signal", prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0));
    if (getppid() != server || ending)
        stop(SIGTERM);
    if (receive_fds(pair[0], &byte, 1, &client, 1) == 0)
        client = -1;
    status = (unsigned char)finish();
    if (client >= 0)
        need("answer", send(client, &status, 1, MSG_NOSIGNAL));
    _exit(0);
}

static void add_keeper(const char *rootfs, int listener, int told)
{
    pid_t server = getpid();
    size_t place = 0;

    while (keepers[place])
        if (++place == COUNT(keepers))
            fail("more sandboxes at once than pool has room for");
    keepers[place] = (pid_t)need("fork", fork());
    if (keepers[place] == 0)
        keep(rootfs, server, listener, told);
}

static int serve_whole(size_t count, const char *path, const char *rootfs)
{
    int listener = listen_at(path), told[2];
    char bytes[POOL_MOST];
    size_t prepared = 0, have = 0; /* have: those that were begun, too */
    enum event event;
    ssize_t got;

    need("pipe2", pipe2(told, O_CLOEXEC));
    for (; have < count; have++)
        add_keeper(rootfs, listener, told[1]);
    for (; prepared < count; prepared += (size_t)got)
        got = need("prepared", read(told[0], bytes, sizeof bytes));
    say_ready();
    while ((event = await(told[0], count - have)) != END) {
        if (event == SOMEBODY) {
            got = need("told", read(told[0], bytes, sizeof bytes));
            for (ssize_t i = 0; i < got; i++)
                have -= bytes[i] == 'T';
        }
        if (event == QUIET || have == 0) {
            add_keeper(rootfs, listener, told[1]);
            have++;
        }
    }
    for (size_t i = 0; i < COUNT(keepers); i++)
        if (keepers[i])
            kill(keepers[i], SIGTERM);
    reap_keepers(0);
    unlink(path);
    return 0;
}

static int run_whole(const char *path, char **argv)
{
    static const int outputs[2] = {1, 2};
    char text[REQUEST_MOST];
    size_t length = 0;
    unsigned char status;
    int server = connect_to(path);

    for (; *argv; argv++) {
        size_t size = strlen(*argv) + 1;
        if (size > sizeof text - length)
            fail("command line too long");
        memcpy(text + length, *argv, size);
        length += size;
    }
    send_fds(server, text, length, outputs, 2);
    need("answer", recv(server, &status, 1, 0) == 1 ? 0 : -1);
    return status;
}

int main(int argc, char **argv)
{
    size_t count = argc >= 5 ? strtoul(argv[3], NULL, 10) : 0;
    bool serve = argc >= 5 && !strcmp(argv[1], "serve") && count >= 1 && count <= POOL_MOST;

    if (serve)
        end_on_signals();
    if (serve && argc == 5 && !strcmp(argv[2], "net"))
        return serve_networks(count, argv[4]);
    if (serve && argc == 6 && !strcmp(argv[2], "whole"))
        return serve_whole(count, argv[4], argv[5]);
    if (argc >= 5 && !strcmp(argv[1], "net"))
        return run_net(argv[2], argv[3], argv + 4);
    if (argc >= 4 && !strcmp(argv[1], "whole"))
        return run_whole(argv[2], argv + 3);
    fputs("usage: pool serve net N SOCKET | serve whole N SOCKET ROOTFS | net SOCKET ROOTFS COMMAND... | "
          "whole SOCKET COMMAND...\n", stderr);
    return 125;
}
