#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "console.h"
#include "sys.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* Linux 4.13, ioctl_tty(2) */
#endif
#define PTMX_DEVICE makedev(5, 2)
#define SLAVE_MAJOR 136 /* Documentation/admin-guide/devices.txt; minors have 20 bits */
#define END_OF_FILE 4   /* Ctrl-D, where the terminal names no other */
#define KILL_LINE 21    /* Ctrl-U: empties the line that is being edited */
#define MS ((uint64_t)1000000)
#define END_AGAIN (500 * MS) /* by keys */
#define END_NEXT (50 * MS)   /* by line: the next reader reads an end too */
#define END_LEAST (20 * MS)  /* whatever the command does to the terminal meanwhile */

static const char taken = 'M'; /* the supervisor's one word: it holds the master */

/* ioctl(2) whose request is a number of 32 bits: to musl it is an int, to glibc an unsigned long. */
static int ask(int fd, unsigned request, void *value)
{
    return (int)syscall(SYS_ioctl, fd, request, value);
}

/* ---- the caller's side ---- */

/* Blocked, for the supervisor's loop to take. */
static bool told_to_end(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT) || sigismember(&pending, SIGHUP));
}

/* A job that was stopped and is ended from elsewhere must not stop for the terminal again. */
static void take(const struct terminal *terminal)
{
    if (terminal->keys && !told_to_end())
        console_take();
}

static void read_size(struct terminal *terminal)
{
    struct winsize now;

    if (terminal->window >= 0 && ask(terminal->window, TIOCGWINSZ, &now) == 0 && now.ws_row && now.ws_col)
        terminal->size = now;
}

void terminal_winch(struct terminal *terminal)
{
    read_size(terminal);
    if (terminal->master >= 0)
        ask(terminal->master, TIOCSWINSZ, &terminal->size); /* its foreground gets SIGWINCH, if that is another */
}

static int open_signals(struct terminal *terminal, struct fault *fault)
{
    struct sigaction now;
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGWINCH);
    if (terminal->keys) {
        sigaddset(&wanted, SIGCONT);
        if (sigaction(SIGTSTP, NULL, &now) == 0 && now.sa_handler != SIG_IGN) /* by a shell without job control: nobody would continue us */
            sigaddset(&wanted, SIGTSTP);
    }
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    terminal->signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return terminal->signals < 0 ? fault_set(fault, STAGE_STREAMS, errno, NULL, "signalfd") : 0;
}

int terminal_open(bool interactive, struct terminal *terminal, struct fault *fault)
{
    int ends[2];

    *terminal = TERMINAL_NONE;
    terminal->keys = interactive && isatty(STDIN_FILENO) == 1;
    terminal->size = (struct winsize){.ws_row = 24, .ws_col = 80};
    terminal->window = terminal->keys ? STDIN_FILENO : isatty(STDOUT_FILENO) == 1 ? STDOUT_FILENO : -1;
    read_size(terminal);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fault_set(fault, STAGE_STREAMS, errno, NULL, "no socket can be made");
    terminal->handover = ends[0];
    terminal->child = ends[1];
    return open_signals(terminal, fault);
}

/* The default action stops us where somebody can continue us, and does nothing else. */
void terminal_suspend(struct terminal *terminal)
{
    sigset_t stop, before;

    console_restore();
    sigemptyset(&stop);
    sigaddset(&stop, SIGTSTP);
    kill(terminal->suspend ? 0 : getpid(), SIGTSTP); /* a key is for the whole job, as in `bivy run -it ... | tee log` */
    terminal->suspend = false;
    sigprocmask(SIG_UNBLOCK, &stop, &before); /* here */
    sigprocmask(SIG_SETMASK, &before, NULL);
    take(terminal);
    terminal_winch(terminal);
}

bool terminal_serve(struct terminal *terminal)
{
    struct signalfd_siginfo info;
    bool stop = terminal->suspend;

    while (read(terminal->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTSTP)
            stop = true;
        else if (info.ssi_signo == SIGCONT)
            take(terminal); /* after a SIGSTOP the shell has set it as it likes it */
        terminal_winch(terminal);
    }
    return stop;
}

/* Does SIGTSTP have its default action there? A shell ignores it, an editor has a handler. */
static bool stops(pid_t pid)
{
    static const char *const names[] = {"\nSigIgn:", "\nSigCgt:"};
    char path[32], text[4096];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (sys_read_file(AT_FDCWD, path, text, sizeof text) <= 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = strstr(text, names[i]);
        if (!value || strtoull(value + strlen(names[i]), NULL, 16) >> (SIGTSTP - 1) & 1)
            return false;
    }
    return true;
}

void terminal_typed(struct terminal *terminal, const char *keys, size_t count)
{
    struct termios mode;
    pid_t front = 0, leader = 0;

    if (tcgetattr(terminal->master, &mode) < 0 || !(mode.c_lflag & ISIG) || mode.c_cc[VSUSP] == _POSIX_VDISABLE ||
        !memchr(keys, mode.c_cc[VSUSP], count))
        return;
    if (ask(terminal->master, TIOCGPGRP, &front) == 0 && ask(terminal->master, TIOCGSID, &leader) == 0 && front == leader && leader > 0)
        terminal->suspend = stops(leader);
}

/* ---- inside ---- */

/* UTF-8 because the sandbox's LANG is that: erasing takes whole characters. */
static bool shape(int slave, const struct winsize *size)
{
    struct termios settings;

    if (tcgetattr(slave, &settings) < 0)
        return false;
    settings.c_iflag |= IUTF8;
    return tcsetattr(slave, TCSANOW, &settings) == 0 && ioctl(slave, TIOCSWINSZ, size) == 0;
}

static bool hand_over(int socket, int master, int slave)
{
    int ends[2] = {master, slave};
    char control[CMSG_SPACE(sizeof ends)] __attribute__((aligned(8))) = {0}, byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof ends);
    memcpy(CMSG_DATA(header), ends, sizeof ends);
    /* --timeout ends a supervisor that does not answer, its death the sandbox. */
    return SYS_AGAIN(sendmsg(socket, &message, MSG_NOSIGNAL)) == 1 && SYS_AGAIN(recv(socket, &byte, 1, 0)) == 1 && byte == taken;
}

int terminal_make(struct terminal *terminal, int *slave, struct fault *fault)
{
    SYS_CLOSES int master = SYS_AGAIN(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    int unlocked = 0;

    if (master < 0 || ask(master, TIOCSPTLCK, &unlocked) < 0 ||
        (*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return fault_set(fault, STAGE_DESCRIPTORS, errno, "leave -t out, or raise sysctl kernel.pty.max", "no terminal can be made");
    if (!shape(*slave, &terminal->size))
        return fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "the terminal cannot be set");
    if (!hand_over(terminal->child, master, *slave))
        return fault_set(fault, STAGE_DESCRIPTORS, EPIPE, NULL, "the supervisor did not take the terminal");
    sys_close(&terminal->child);
    return 0;
}

int terminal_control(struct fault *fault)
{
    return ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0
               ? fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "the terminal cannot become the command's controlling terminal")
               : 0;
}

/* ---- the supervisor's side of the sandbox's terminal ---- */

int terminal_poll(const struct terminal *terminal)
{
    return terminal->handover >= 0 ? terminal->handover : terminal->signals;
}

/* Both ends of one pty, and of nothing else. The command does not exist yet; what sends this is our own code, in a process that is not
 * trusted any more than its messages are. */
static bool is_pty(int master, int slave)
{
    struct stat one, other;
    unsigned number = 0;

    return SYS_AGAIN(fstat(master, &one)) == 0 && SYS_AGAIN(fstat(slave, &other)) == 0 && S_ISCHR(one.st_mode) &&
           one.st_rdev == PTMX_DEVICE && ask(master, TIOCGPTN, &number) == 0 && S_ISCHR(other.st_mode) &&
           other.st_rdev == makedev(SLAVE_MAJOR, number) && other.st_dev == one.st_dev;
}

/* What came, -1 where nothing did. False: too much, too little, or the caller's limit of open files. */
static bool take_ends(struct msghdr *message, int ends[2])
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return false;
    size_t size = header->cmsg_len - CMSG_LEN(0);
    memcpy(ends, CMSG_DATA(header), size < 2 * sizeof *ends ? size : 2 * sizeof *ends);
    return size == 2 * sizeof *ends && !(message->msg_flags & (MSG_TRUNC | MSG_CTRUNC));
}

int terminal_receive(struct terminal *terminal, struct fault *fault)
{
    char control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))), byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int ends[2] = {-1, -1};
    ssize_t got = SYS_AGAIN(recvmsg(terminal->handover, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));

    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0) { /* the sandbox ended before; it says why by its own pipe */
        sys_close(&terminal->handover);
        return 0;
    }
    bool whole = take_ends(&message, ends);
    terminal->master = ends[0];
    terminal->slave = ends[1];
    if (!whole || !is_pty(ends[0], ends[1]) || sys_nonblocking(ends[0]) < 0) {
        terminal_release(terminal);
        return fault_set(fault, STAGE_DESCRIPTORS, EPROTO, "raise the caller's limit of open files, should that be reached",
                         "the sandbox sent something that is not its terminal");
    }
    /* One that cannot be had (its session is gone) cannot be read either: the input ends by itself. */
    take(terminal);
    terminal_winch(terminal);
    SYS_AGAIN(send(terminal->handover, &taken, 1, MSG_NOSIGNAL | MSG_DONTWAIT)); /* if this fails the sandbox is gone */
    sys_close(&terminal->handover);
    return 1;
}

/* A terminal has no end of file, only a key for it, which counts where lines are read: so whenever nothing is left to read there. A shell
 * that edits lines itself reads keys one by one, and takes the same key for the end on an empty line, which another key makes it. What is
 * typed while the mode changes may be read either way, or be lost: so these come again. Never so fast that a command could keep the
 * supervisor busy with it. */
void terminal_end_input(struct terminal *terminal)
{
    struct pollfd unread = {.fd = terminal->slave, .events = POLLIN};
    uint64_t now = sys_now();
    struct termios mode;

    if (terminal->master < 0 || tcgetattr(terminal->master, &mode) < 0 || poll(&unread, 1, 0) != 0)
        return;
    bool by_line = mode.c_lflag & ICANON;
    uint64_t least = by_line != terminal->by_line ? END_LEAST : by_line ? END_NEXT : END_AGAIN;
    if ((terminal->told && now - terminal->told < least) || (by_line && mode.c_cc[VEOF] == _POSIX_VDISABLE))
        return;
    const char keys[] = {KILL_LINE, by_line ? (char)mode.c_cc[VEOF] : END_OF_FILE};
    if (write(terminal->master, keys + by_line, sizeof keys - by_line) > 0) {
        terminal->told = now;
        terminal->by_line = by_line;
    }
}

void terminal_hang_up(struct terminal *terminal)
{
    sys_close(&terminal->slave);
    sys_close(&terminal->master);
}

void terminal_release(struct terminal *terminal)
{
    console_release(0);
    terminal_hang_up(terminal);
    sys_close(&terminal->child);
    sys_close(&terminal->handover);
    sys_close(&terminal->signals);
}
