/* Attacks on the kernel's side doors: sockets, terminals, other entries, the filter. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int attack_sockets(void)
{
    static const struct {
        const char *name;
        int family, type, protocol, error;
    } sockets[] = {
        {"AF_VSOCK", 40, SOCK_STREAM, 0, EAFNOSUPPORT},
        {"AF_ALG", 38, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_PACKET", 17, SOCK_RAW, 0x300, EAFNOSUPPORT},
        {"AF_PACKET, datagrams", 17, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_XDP", 44, SOCK_RAW, 0, EAFNOSUPPORT},
        {"AF_KEY", 15, SOCK_RAW, 2, EAFNOSUPPORT},
        {"AF_RDS", 21, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_RXRPC", 33, SOCK_DGRAM, 2, EAFNOSUPPORT},
        {"AF_TIPC", 30, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_CAN", 29, SOCK_RAW, 1, EAFNOSUPPORT},
        {"AF_BLUETOOTH", 31, SOCK_RAW, 1, EAFNOSUPPORT},
        {"AF_NFC", 39, SOCK_SEQPACKET, 0, EAFNOSUPPORT},
        {"AF_KCM", 41, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_SMC", 43, SOCK_STREAM, 0, EAFNOSUPPORT},
        {"AF_QIPCRTR", 42, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"AF_APPLETALK", 5, SOCK_DGRAM, 0, EAFNOSUPPORT},
        {"raw IPv4", AF_INET, SOCK_RAW, 255, EPERM},
        {"raw IPv6", AF_INET6, SOCK_RAW, 255, EPERM},
        {"raw ICMP", AF_INET, SOCK_RAW, 1, EPERM},
        {"ping", AF_INET, SOCK_DGRAM, 1, EPROTONOSUPPORT},
        {"SCTP", AF_INET, SOCK_STREAM, 132, EPROTONOSUPPORT},
        {"MPTCP", AF_INET, SOCK_STREAM, 262, EPROTONOSUPPORT},
        {"UDP-Lite", AF_INET6, SOCK_DGRAM, 136, EPROTONOSUPPORT},
        {"netlink XFRM", AF_NETLINK, SOCK_RAW, 6, EAFNOSUPPORT},
        {"netlink netfilter", AF_NETLINK, SOCK_RAW, 12, EAFNOSUPPORT},
        {"netlink audit", AF_NETLINK, SOCK_RAW, 9, EAFNOSUPPORT},
        {"netlink uevent", AF_NETLINK, SOCK_RAW, 15, EAFNOSUPPORT},
        {"netlink generic", AF_NETLINK, SOCK_RAW, 16, EAFNOSUPPORT},
        {"netlink diag", AF_NETLINK, SOCK_RAW, 4, EAFNOSUPPORT},
        {"netlink crypto", AF_NETLINK, SOCK_RAW, 21, EAFNOSUPPORT},
    };
    int pair[2];

    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++)
        if (refused(sockets[i].name, socket(sockets[i].family, sockets[i].type, sockets[i].protocol), sockets[i].error))
            return GOT;
    return refused("a TIPC pair", socketpair(30, SOCK_SEQPACKET, 0, pair), EAFNOSUPPORT);
}

int attack_socket_options(void)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (tcp < 0)
        return got("no socket to try it with: %s", strerror(errno));
    return EACH(refused("TCP_ULP tls", setsockopt(tcp, 6, 31, "tls", 3), ENOENT),
                refused("SO_ZEROCOPY", setsockopt(tcp, 1, 60, &one, sizeof one), ENOPROTOOPT),
                failed("SO_RCVBUFFORCE", setsockopt(tcp, SOL_SOCKET, 33, &one, sizeof one)),
                failed("iptables", setsockopt(tcp, 0, 64, &one, sizeof one)),
                refused("the bridge module", syscall(SYS_ioctl, tcp, 0x89a0L, "x"), EPERM),
                refused("the VLAN module", syscall(SYS_ioctl, tcp, 0x8983L, "x"), EPERM));
}

int attack_terminal(void)
{
    int master, slave, unlocked = 0;

    signal(SIGHUP, SIG_IGN);
    setsid();
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return got("no terminal to try it with: %s", strerror(errno));
    slave = ioctl(master, 0x5441 /* TIOCGPTPEER */, O_RDWR);
    if (slave < 0)
        return got("no terminal to try it with: %s", strerror(errno));
    ioctl(slave, TIOCSCTTY, 0); /* TIOCSTI works on one's own only */
    return EACH(refused("TIOCSTI", syscall(SYS_ioctl, slave, 0x5412L, "x"), EPERM),
                refused("TIOCSTI with high bits", syscall(SYS_ioctl, slave, 0x5412L | 1L << 32, "x"), EPERM),
                refused("TIOCSTI with the sign bits", syscall(SYS_ioctl, slave, 0x5412L | ~0xffffffffL, "x"), EPERM),
                refused("TIOCLINUX", syscall(SYS_ioctl, slave, 0x541cL, "\3"), EPERM),
                refused("TIOCLINUX with high bits", syscall(SYS_ioctl, slave, 0x541cL | 1L << 40, "\3"), EPERM),
                refused("TIOCSETD", syscall(SYS_ioctl, slave, 0x5423L, &unlocked), EPERM));
}

int attack_callers_terminal(void)
{
    static const char *const others[] = {"/dev/console", "/dev/tty0", "/dev/tty1",
                                         "/dev/ttyS0",   "/dev/vcs",  "/dev/vcsa1"};

    if (refused("/dev/tty", open("/dev/tty", O_RDWR | O_CLOEXEC), ENXIO))
        return GOT;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (refused(others[i], open(others[i], O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), ENOENT))
            return GOT;
    for (int fd = 0; fd < 3; fd++)
        if (isatty(fd))
            return got("descriptor %d is a terminal", fd);
    if (getsid(0) <= 1)
        return got("the session is the caller's");
    return REFUSED;
}

int attack_personality(void)
{
    return EACH(refused("no address randomisation", syscall(SYS_personality, 0x0040000L), EPERM),
                refused("reading implies executing", syscall(SYS_personality, 0x0400000L), EPERM),
                refused("a page at 0", syscall(SYS_personality, 0x0100000L), EPERM),
                syscall(SYS_personality, 0xffffffffL) == 0 ? REFUSED : got("the caller's personality is still there"));
}

#ifdef __x86_64__
/* Calls by the door for 32-bit programs, whose numbers mean something else. 20: getpid, harmless. */
int attack_int_80(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        long answer = 20;
        __asm__ volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return got("no process to try it with: %s", strerror(errno));
    /* SIGSEGV: a kernel without that door */
    return WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV)
               ? REFUSED
               : got("an i386 call that returned");
}

int attack_x32(void)
{
    return EACH(refused("getpid", syscall(0x40000000L | 39), ENOSYS),
                refused("ptrace", syscall(0x40000000L | 521, 16L, 1L, 0L, 0L), ENOSYS),
                refused("ioctl", syscall(0x40000000L | 514, 0L, 0x5412L, "x"), ENOSYS));
}
#endif

int attack_huge_pages(void)
{
    return EACH(
        refused("mmap",
                mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x40000, -1, 0) == MAP_FAILED ? -1 : 0,
                ENOMEM),
        refused("memfd_create", syscall(SYS_memfd_create, "x", 4L), EINVAL),
        refused("shmget", syscall(SYS_shmget, 0L, 2L << 20, 04000L | 01000L | 0600L), ENOMEM));
}

int attack_filter(void)
{
    char text[4096];
    unsigned long long value;

    if (slurp("/proc/self/status", text, sizeof text) < 0 || !status_value(text, "Seccomp", 10, &value) || value != 2)
        return got("no filter is in force");
    return EACH(failed("strict mode instead", prctl(PR_SET_SECCOMP, 0, 0, 0, 0)),
                failed("no filter instead", syscall(SYS_seccomp, 1L, 0L, NULL)));
}
