/* Attacks on network, neighbours, and what crossed over from the caller. */
#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool nobody_there(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    int error = 0;
    socklen_t length = sizeof error;

    errno = 0;
    send(fd, "x", 1, MSG_NOSIGNAL); /* a datagram socket hears of it only when it has sent */
    poll(&end, 1, 1000);
    return errno == ECONNREFUSED ||
           (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == ECONNREFUSED);
}

static int reach(const char *address, unsigned short port, int type)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool v6 = strchr(address, ':'), own = !strcmp(address, "127.0.0.1") || !strcmp(address, "::1");
    int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return errno == EAFNOSUPPORT ? REFUSED : got("no socket to try it with: %s", strerror(errno));
    inet_pton(v6 ? AF_INET6 : AF_INET, address, v6 ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
    result = connect(fd, v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four, v6 ? sizeof six : sizeof four);
    int error = errno;
    if (own && (result == 0 || error == EINPROGRESS)) { /* lo is up, as was asked for: nobody must be there */
        error = nobody_there(fd) ? ECONNREFUSED : 0;
        result = -1;
    }
    close(fd);
    if (result < 0 && (error == ENETUNREACH || error == EADDRNOTAVAIL || (own && error == ECONNREFUSED)))
        return REFUSED;
    return got("%s port %u: %s", address, port, result < 0 ? strerror(error) : "connected");
}

int attack_connect(void)
{
    static const char *const addresses[] = {"192.0.2.1",   "198.51.100.1",    "10.0.0.1",  "10.0.2.2",  "172.17.0.1",
                                            "192.168.0.1", "169.254.169.254", "127.0.0.1", "224.0.0.1", "2001:db8::1",
                                            "::1"};
    static const unsigned short ports[] = {22, 53, 80, 2375, 8888};

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
        for (size_t j = 0; j < sizeof ports / sizeof ports[0]; j++)
            if (reach(addresses[i], ports[j], SOCK_STREAM) || reach(addresses[i], ports[j], SOCK_DGRAM))
                return GOT;
    return REFUSED;
}

int attack_links(void)
{
    struct if_nameindex *links = if_nameindex();
    static char text[16 * 1024];

    if (!links)
        return got("the links cannot be listed: %s", strerror(errno));
    for (size_t i = 0; links[i].if_index; i++)
        if (strcmp(links[i].if_name, "lo"))
            return got("a link named %.32s", links[i].if_name);
    if_freenameindex(links);
    if (slurp("/proc/net/dev", text, sizeof text) == 0 && count_lines(text) > 3)
        return got("more links than lo in /proc/net/dev");
    if (slurp("/proc/net/route", text, sizeof text) == 0 && count_lines(text) > 1)
        return got("a route");
    return REFUSED;
}

int attack_sockets_of_others(void)
{
    static const char *const lists[] = {"/proc/net/unix", "/proc/net/tcp", "/proc/net/tcp6",  "/proc/net/udp",
                                        "/proc/net/udp6", "/proc/net/raw", "/proc/net/packet"};
    static char text[16 * 1024];

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (slurp(lists[i], text, sizeof text) == 0 && count_lines(text) > 1)
            return got("a socket of somebody else in %s", lists[i]);
    return REFUSED;
}

int attack_ipc_of_others(void)
{
    static const char *const lists[] = {"/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem"};
    static char text[16 * 1024];

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (slurp(lists[i], text, sizeof text) == 0 && count_lines(text) > 1)
            return got("an object of somebody else in %s", lists[i]);
    return REFUSED;
}

int attack_host_name(void)
{
    struct utsname name;

    if (uname(&name) < 0 || strcmp(name.nodename, "bivy"))
        return got("the host's name is %.64s", name.nodename);
    return EACH(refused("sethostname", sethostname("x", 1), EPERM),
                refused("setdomainname", syscall(SYS_setdomainname, "x", 1L), EPERM));
}

int attack_cgroup(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/cgroup.procs",         "/sys/fs/cgroup/release_agent",
                                        "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.subtree_control",
                                        "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/devices.allow"};
    struct statfs type;
    static char text[16 * 1024];
    char *rest = text, *line;

    if (slurp("/proc/self/cgroup", text, sizeof text) < 0 || !*text)
        return got("/proc/self/cgroup cannot be read: %s", strerror(errno));
    while ((line = strsep(&rest, "\n")) && *line) {
        size_t length = strlen(line);
        if (length < 2 || strcmp(line + length - 2, ":/"))
            return got("a path of the host's: %.100s", line);
    }
    if (statfs("/sys/fs/cgroup", &type) < 0 || type.f_type != TMPFS_MAGIC)
        return got("/sys/fs/cgroup is a cgroup file system");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (refused(files[i], open(files[i], O_RDWR | O_CLOEXEC), ENOENT))
            return GOT;
    return EACH(failed("memory.max", open("/sys/fs/cgroup/memory.max", O_WRONLY | O_CLOEXEC)),
                refused("memory.max by mode", chmod("/sys/fs/cgroup/memory.max", 0666), EROFS));
}

int attack_descriptors(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        struct stat file;
        if (fstat(fd, &file) < 0)
            continue;
        if (fd > 2)
            return got("descriptor %d is open", fd);
        if (!S_ISFIFO(file.st_mode) && !(S_ISCHR(file.st_mode) && file.st_rdev == makedev(1, 3)))
            return got("descriptor %d is neither a pipe nor /dev/null", fd);
        if (failed("fchdir", fchdir(fd)) || failed("openat", openat(fd, "..", O_PATH | O_CLOEXEC)))
            return GOT;
    }
    return REFUSED;
}

int attack_inherited(void)
{
    char text[32];
    struct sigaction action;
    sigset_t blocked;

    if (slurp("/proc/self/oom_score_adj", text, sizeof text) < 0 || *text == '-')
        return got("protection from the OOM killer");
    if (syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER)
        return got("a scheduling class of the caller's");
    if (sigprocmask(SIG_BLOCK, NULL, &blocked) < 0)
        return got("the signal mask cannot be read");
    for (int signal = 1; signal < 32; signal++)
        if (sigismember(&blocked, signal) == 1 ||
            (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL))
            return got("signal %d is blocked or ignored", signal);
    return umask(022) == 022 ? REFUSED : got("the caller's umask");
}

extern char **environ;

int attack_environment(void)
{
    static const char *const known[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                        "HOME=/home/sandbox", "USER=sandbox", "LANG=C.UTF-8", "TMPDIR=/tmp"};

    for (char **entry = environ; *entry; entry++) {
        bool expected = !strncmp(*entry, "TERM=", 5);
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            expected |= !strcmp(*entry, known[i]);
        if (!expected)
            return got("%.*s of the caller's environment", (int)strcspn(*entry, "="), *entry);
    }
    return REFUSED;
}
