/* listener: what becomes of a call that must wait for its answer. The filter is a real one, in a child of the test's own. */
#include "unit.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listener.h"
#include "sys.h"

/* Linux before 5.19 says that it does not know the flag before it looks for the program. */
static bool kernel_holds_calls(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, NULL) < 0 &&
           errno == EFAULT;
}

static void on_alarm(int number)
{
    (void)number;
}

/* Asks for one connect, of a kind that never waits and so is never interrupted. Exits 0 where it worked, 1 where a signal ended it. */
static _Noreturn void ask(int inner)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ, SYS_connect, 0, 1),
        BPF_STMT(BPF_RET, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {LENGTH(code), code};
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sigaction action = {.sa_handler = on_alarm}; /* without SA_RESTART */
    int fd, result;

    sigaction(SIGALRM, &action, NULL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || (fd = sys_seccomp_listener(&program)) < 0 || listener_send(inner, fd) < 0)
        _exit(2);
    close(fd);
    close(inner);
    result = connect(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&there, sizeof there);
    _exit(result == 0 ? 0 : errno == EINTR ? 1 : 3);
}

/* One turn of the supervisor's loop, without its other work. */
static bool turn(struct listener *listener, struct listener_call *call)
{
    uint64_t until = sys_now() + 60000000000u;
    struct pollfd fd = listener_poll(listener, sys_now(), &until);
    uint64_t now = sys_now();

    assert_true(poll(&fd, 1, until <= now ? 0 : (int)((until - now) / 1000000 + 1)) >= 0);
    return listener_next(listener, &fd, call);
}

static void who_must_wait_is_not_interrupted(void **state)
{
    struct fault fault = {0};
    struct listener listener;
    struct listener_call call;
    int inner, status;

    (void)state;
    if (!kernel_holds_calls())
        skip();
    assert_int_equal(listener_open(&listener, false, &inner, &fault), 0);
    pid_t child = fork();
    if (child == 0)
        ask(inner);
    close(inner);
    while (listener.socket >= 0)
        assert_false(turn(&listener, &call));
    if (listener.fd < 0) { /* the test itself is under a filter that somebody listens to */
        assert_int_equal(waitpid(child, &status, 0), child);
        listener_release(&listener);
        skip();
    }
    listener.free = 0; /* it has asked more than its share */
    listener.allowance = -1000000000000;
    while (!listener.holds)
        assert_false(turn(&listener, &call));
    assert_int_equal(kill(child, SIGALRM), 0);
    assert_false(listener_next(&listener, &(struct pollfd){.fd = -1}, &call));
    listener.allowance = 1000000; /* now it may ask */
    while (listener.fd >= 0 && !turn(&listener, &call))
        ;
    assert_true(listener.fd >= 0); /* who was interrupted asks no more, and is gone */
    assert_false(listener.holds);
    assert_int_equal(call.number, SYS_connect);
    assert_int_equal(call.thread, child);
    listener_answer(&listener, &call, NULL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    while (listener.fd >= 0) /* nobody is left who could ask */
        assert_false(turn(&listener, &call));
    listener_release(&listener);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(who_must_wait_is_not_interrupted)};

    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
