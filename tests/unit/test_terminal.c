/* terminal: the supervisor takes nothing for the sandbox's terminal but both ends of one pty; and how the end of input is typed. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "sys.h"
#include "terminal.h"

static int descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void hand(int socket, const int *fds, size_t count)
{
    char control[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = {0}, byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof *fds);
        memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
    }
    assert_int_equal(sendmsg(socket, &message, 0), 1);
}

/* As inside: by the ptmx of the very file system that the slave is on. False: only root may do that on a host, and what comes of openpty(3)
 * may lie apart. */
static bool make_pty(int ends[2])
{
    int unlocked = 0;

    ends[0] = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
    if (ends[0] < 0) {
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, NULL, NULL), 0);
        return false;
    }
    assert_int_equal(ioctl(ends[0], TIOCSPTLCK, &unlocked), 0);
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    assert_true(ends[1] >= 0);
    return true;
}

/* A terminal as terminal_open leaves it, but for signals and the caller's terminal. */
static struct terminal waiting(void)
{
    struct terminal terminal = TERMINAL_NONE;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    terminal.handover = ends[0];
    terminal.child = ends[1];
    terminal.size = (struct winsize){.ws_row = 7, .ws_col = 11};
    return terminal;
}

static void a_pty_is_taken(void **state)
{
    struct terminal terminal = waiting();
    struct fault fault;
    struct winsize size;
    int ends[2];
    char word;

    (void)state;
    if (!make_pty(ends)) {
        print_message("# a_pty_is_taken: not as this user\n");
        goto out;
    }
    assert_int_equal(terminal_receive(&terminal, &fault), 0); /* nothing there yet */
    hand(terminal.child, ends, 2);
    assert_int_equal(terminal_receive(&terminal, &fault), 1);
    assert_true(terminal.master >= 0 && terminal.slave >= 0 && terminal.handover < 0);
    assert_int_equal(fcntl(terminal.master, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(terminal.slave, F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(terminal.master, F_GETFL) & O_NONBLOCK);
    assert_int_equal(recv(terminal.child, &word, 1, MSG_DONTWAIT), 1);
    assert_int_equal(word, 'M');
    assert_int_equal(ioctl(ends[1], TIOCGWINSZ, &size), 0);
    assert_true(size.ws_row == 7 && size.ws_col == 11);
out:
    terminal_release(&terminal);
    close(ends[0]);
    close(ends[1]);
}

static void nothing_else_is(void **state)
{
    int one[2], other[2], pipes[2], null = open("/dev/null", O_RDWR), file = open(".", O_RDONLY), before;

    (void)state;
    make_pty(one);
    make_pty(other);
    assert_int_equal(pipe(pipes), 0);
    const struct {
        int fds[4];
        size_t count;
    } wrong[] = {
        {{0}, 0},                                /* a byte and no descriptor */
        {{one[0]}, 1},                           /* one of the two */
        {{one[0], one[1], null}, 3},             /* one too many */
        {{one[0], other[1]}, 2},                 /* of two ptys */
        {{one[1], one[0]}, 2},                   /* the wrong way round: the slave is a terminal of its own */
        {{one[1], one[1]}, 2}, {{one[0], one[0]}, 2},
        {{pipes[0], pipes[1]}, 2}, {{null, null}, 2}, {{file, file}, 2}, {{null, one[1]}, 2}, {{one[0], null}, 2},
    };
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        struct terminal terminal = waiting();
        struct fault fault = {0};
        char word;
        before = descriptors();
        int child = dup(terminal.child);
        hand(terminal.child, wrong[i].fds, wrong[i].count);
        assert_int_equal(terminal_receive(&terminal, &fault), -EPROTO);
        assert_true(fault.stage == STAGE_DESCRIPTORS && fault.what[0]);
        assert_true(terminal.master < 0 && terminal.slave < 0 && terminal.handover < 0);
        assert_int_equal(recv(child, &word, 1, MSG_DONTWAIT), 0); /* it hears of the end, not of a yes */
        close(child);
        assert_int_equal(descriptors(), before - 2); /* both ends of the socket; what came was closed */
    }
    close(pipes[0]), close(pipes[1]), close(one[0]), close(one[1]), close(other[0]), close(other[1]), close(null), close(file);
}

static void a_sandbox_that_ends_before(void **state)
{
    struct terminal terminal = waiting();
    struct fault fault = {0};

    (void)state;
    sys_close(&terminal.child);
    assert_int_equal(terminal_receive(&terminal, &fault), 0);
    assert_true(terminal.handover < 0 && terminal.master < 0 && !fault.what[0]);
    terminal_release(&terminal);
}

static struct terminal with_pty(void)
{
    struct terminal terminal = TERMINAL_NONE;

    assert_int_equal(openpty(&terminal.master, &terminal.slave, NULL, NULL, NULL), 0);
    return terminal;
}

static size_t unread(const struct terminal *terminal, char *keys, size_t size)
{
    struct pollfd fd = {.fd = terminal->slave, .events = POLLIN};

    return poll(&fd, 1, 0) > 0 ? (size_t)read(terminal->slave, keys, size) : SIZE_MAX;
}

static void the_end_of_input(void **state)
{
    struct terminal terminal = with_pty();
    struct termios mode;
    char keys[16];

    (void)state;
    assert_int_equal(write(terminal.master, "last", 4), 4); /* a line without an end */
    terminal_end_input(&terminal);
    assert_int_equal(unread(&terminal, keys, sizeof keys), 4);
    terminal_end_input(&terminal); /* at once: not again, whatever is read */
    assert_int_equal(unread(&terminal, keys, sizeof keys), SIZE_MAX);
    terminal.told = 1; /* long ago */
    terminal_end_input(&terminal);
    terminal.told = 1;
    terminal_end_input(&terminal); /* one is waiting: no second */
    assert_int_equal(unread(&terminal, keys, sizeof keys), 0);
    assert_int_equal(unread(&terminal, keys, sizeof keys), SIZE_MAX);
    terminal.told = 1;
    terminal_end_input(&terminal); /* whoever reads next finds it too */
    assert_int_equal(unread(&terminal, keys, sizeof keys), 0);

    tcgetattr(terminal.slave, &mode);
    mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(terminal.slave, TCSANOW, &mode);
    terminal.told = 1;
    terminal_end_input(&terminal);
    assert_int_equal(unread(&terminal, keys, sizeof keys), 2);
    assert_memory_equal(keys, "\025\004", 2);
    terminal_end_input(&terminal); /* not over and over */
    assert_int_equal(unread(&terminal, keys, sizeof keys), SIZE_MAX);
    terminal.told = 1;
    terminal_end_input(&terminal);
    assert_int_equal(unread(&terminal, keys, sizeof keys), 2);

    mode.c_lflag |= ICANON;
    mode.c_cc[VEOF] = '!';
    tcsetattr(terminal.slave, TCSANOW, &mode);
    terminal.told = 1;
    terminal_end_input(&terminal);
    assert_int_equal(unread(&terminal, keys, sizeof keys), 0);

    mode.c_lflag |= ECHO;
    mode.c_cc[VEOF] = _POSIX_VDISABLE; /* no key for it: none is typed, or its echo would be answered for ever */
    tcsetattr(terminal.slave, TCSANOW, &mode);
    terminal.told = 1;
    struct pollfd echo = {.fd = terminal.master, .events = POLLIN};
    while (poll(&echo, 1, 0) > 0)
        assert_true(read(terminal.master, keys, sizeof keys) > 0);
    terminal_end_input(&terminal);
    assert_int_equal(poll(&echo, 1, 0), 0);
    terminal_hang_up(&terminal);
    terminal_end_input(&terminal); /* harmless */
    assert_true(terminal.master < 0 && terminal.slave < 0);
}

/* Only Ctrl-Z, only where keys are signals, and only for who would stop: nobody leads a session on this pty, so never here. */
static void what_is_typed(void **state)
{
    struct terminal terminal = with_pty();

    (void)state;
    terminal_typed(&terminal, "\032", 1);
    assert_false(terminal.suspend);
    terminal_hang_up(&terminal);
    terminal_typed(&terminal, "\032", 1);
    assert_false(terminal.suspend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pty_is_taken),     cmocka_unit_test(nothing_else_is), cmocka_unit_test(a_sandbox_that_ends_before),
        cmocka_unit_test(the_end_of_input), cmocka_unit_test(what_is_typed),
    };

    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
