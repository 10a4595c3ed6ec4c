/* culprit: whom a hint names of several processes, and what it says to change. */
#include "unit.h"

#include "culprit.h"

#define SECOND UINT64_C(1000000000)

static struct autopsy found;

static struct autopsy_process *add(uint64_t pid, uint64_t parent, enum autopsy_wait waits, const char *call)
{
    struct autopsy_process *process = &found.process[found.told++];

    *process = (struct autopsy_process){.pid = pid, .parent = parent, .state = 'S', .waits = waits, .timed = true, .age = 10 * SECOND, .threads = 1};
    snprintf(process->call, sizeof process->call, "%s", call);
    return process;
}

static struct autopsy_process *on(struct autopsy_process *process, enum autopsy_kind kind, bool writes, uint64_t with)
{
    struct autopsy_end *end = &process->on[process->on_count++];

    *end = (struct autopsy_end){.fd = 3, .is = kind, .writes = writes, .with = {with}, .with_count = with != 0};
    return process;
}

/* It names that one and says this; and begins anew. */
static void blames(uint64_t pid, const char *words)
{
    const struct autopsy_process *most = culprit_find(&found);
    char text[180];

    assert_non_null(most);
    assert_int_equal(most->pid, pid);
    culprit_mend(&found, most, text, sizeof text);
    assert_true(strlen(text) + 1 < sizeof text); /* nothing is cut off */
    if (!strstr(text, words))
        fail_msg("\"%s\" lacks \"%s\"", text, words);
    memset(&found, 0, sizeof found);
}

static void pipes(void **state)
{
    (void)state;
    add(2, 1, AUTOPSY_CHILD, "wait4");
    add(3, 2, AUTOPSY_SLEEP, "nanosleep")->limit = 60 * SECOND;
    on(add(4, 2, AUTOPSY_PIPE, "read"), AUTOPSY_IS_PIPE, false, 3);
    blames(3, "sleep for less");
    add(2, 1, AUTOPSY_SLEEP, "nanosleep"); /* an open FIFO is no more than a pipe */
    on(add(3, 2, AUTOPSY_FIFO, "read"), AUTOPSY_IS_FIFO, false, 2);
    blames(2, "sleep for less");
    on(add(2, 1, AUTOPSY_FIFO, "read"), AUTOPSY_IS_FIFO, false, 0);
    blames(2, "should write to");
    on(add(2, 1, AUTOPSY_FIFO, "open"), AUTOPSY_IS_FIFO, false, 0)->on[0].fd = -1;
    blames(2, "a FIFO opens only");
    on(add(2, 1, AUTOPSY_PIPE, "read"), AUTOPSY_IS_PIPE, false, 3);
    on(add(3, 2, AUTOPSY_PIPE, "read"), AUTOPSY_IS_PIPE, false, 2);
    blames(2, "pid 3 waits for it in turn");
    add(2, 1, AUTOPSY_SIGNAL, "rt_sigsuspend");
    on(add(3, 2, AUTOPSY_PIPE, "read"), AUTOPSY_IS_PIPE, false, 3);
    blames(3, "close the end");
    add(2, 1, AUTOPSY_CHILD, "wait4");
    on(add(3, 2, AUTOPSY_PIPE, "write"), AUTOPSY_IS_PIPE, true, 2);
    blames(3, "nobody reads what it writes");
    on(on(add(2, 1, AUTOPSY_POLL, "poll"), AUTOPSY_IS_PIPE, false, 3), AUTOPSY_IS_PIPE, false, 3); /* who collects a child's output */
    add(3, 2, AUTOPSY_SLEEP, "nanosleep");
    blames(3, "sleep for less");
}

static void time_and_again(void **state)
{
    struct autopsy_process *process;

    (void)state;
    add(2, 1, AUTOPSY_CHILD, "wait4");
    process = add(99, 2, AUTOPSY_SLEEP, "nanosleep");
    process->age = SECOND / 20;
    process->limit = SECOND / 10;
    blames(99, "in a loop of its parent's");
    add(2, 1, AUTOPSY_CHILD, "wait4"); /* as young, but here to stay */
    process = add(3, 2, AUTOPSY_SLEEP, "nanosleep");
    process->age = SECOND;
    process->limit = 100 * SECOND;
    blames(3, "sleep for less");
    add(2, 1, AUTOPSY_SLEEP, "clock_nanosleep")->limit = SECOND / 10;
    blames(2, "probably in a loop:");
    add(2, 1, AUTOPSY_CHILD, "wait4");
    add(99, 2, AUTOPSY_RUNNING, "")->age = SECOND / 1000;
    blames(99, "pid 2 has only just started it");
    add(2, 1, AUTOPSY_CHILD, "wait4");
    add(99, 2, AUTOPSY_OTHER, "execve")->age = SECOND / 100; /* its program comes from a slow disk */
    blames(99, "pid 2 has only just started it");
    add(2, 1, AUTOPSY_OTHER, "mount");
    blames(2, "only needs longer");
    add(2, 1, AUTOPSY_RUNNING, "")->cpu = 4 * SECOND;
    blames(2, "a loop without an end");
    add(2, 1, AUTOPSY_RUNNING, "")->cpu = SECOND;
    blames(2, "is the host busy");
}

static void others(void **state)
{
    (void)state;
    on(add(2, 1, AUTOPSY_SOCKET, "accept4"), AUTOPSY_IS_SOCKET, false, 0);
    blames(2, "a server");
    on(add(2, 1, AUTOPSY_SOCKET, "accept4"), AUTOPSY_IS_SOCKET, false, 0);
    on(add(3, 1, AUTOPSY_SOCKET, "recvfrom"), AUTOPSY_IS_SOCKET, false, 0);
    blames(3, "whoever should answer");
    on(add(2, 1, AUTOPSY_SOCKET, "accept4"), AUTOPSY_IS_SOCKET, false, 0);
    add(3, 1, AUTOPSY_SLEEP, "nanosleep");
    blames(3, "sleep for less");
    on(add(2, 1, AUTOPSY_POLL, "poll"), AUTOPSY_IS_SOCKET, false, 0)->on[0].listens = true;
    blames(2, "a server");
    on(add(2, 1, AUTOPSY_POLL, "epoll_wait"), AUTOPSY_IS_SOCKET, false, 0)->limit = 100 * SECOND;
    blames(2, "its own time");
    on(on(add(2, 1, AUTOPSY_POLL, "epoll_wait"), AUTOPSY_IS_EVENTFD, false, 0), AUTOPSY_IS_STDIN, false, 0);
    blames(2, "write it and close the pipe");
    on(add(2, 1, AUTOPSY_CALLER, "write"), AUTOPSY_IS_STDOUT, true, 0);
    blames(2, "read stdout and stderr");
    on(add(2, 1, AUTOPSY_TTY, "poll"), AUTOPSY_IS_TTY, false, 0);
    blames(2, "somebody to type");
    add(2, 1, AUTOPSY_LOCK, "futex")->private = true;
    blames(2, "no other thread");
    add(2, 1, AUTOPSY_LOCK, "futex")->private = true;
    found.process[0].threads = 3;
    blames(2, "all of its 3 threads");
    add(2, 1, AUTOPSY_LOCK, "futex")->private = true; /* not all of them were looked at */
    found.process[0].threads = 500;
    blames(2, "its threads wait for locks");
    add(2, 1, AUTOPSY_LOCK, "futex");
    blames(2, "perhaps another process");
    on(add(2, 1, AUTOPSY_LOCK, "flock"), AUTOPSY_IS_FILE, true, 0);
    blames(2, "somebody holds that file's lock");
    on(add(2, 1, AUTOPSY_LOCK, "flock"), AUTOPSY_IS_FILE, true, 2);
    blames(2, "waits for itself");
    on(add(2, 1, AUTOPSY_LOCK, "fcntl"), AUTOPSY_IS_FILE, true, 9);
    blames(2, "what pid 9 does");
    add(2, 1, AUTOPSY_CHILD, "wait4"); /* it waits for a shell that waits for who wants the lock */
    add(3, 2, AUTOPSY_CHILD, "wait4");
    on(add(4, 3, AUTOPSY_LOCK, "flock"), AUTOPSY_IS_FILE, true, 2);
    blames(4, "a deadlock: pid 2 has the lock");
    add(2, 1, AUTOPSY_CHILD, "wait4"); /* for another child */
    on(add(4, 1, AUTOPSY_LOCK, "flock"), AUTOPSY_IS_FILE, true, 2);
    blames(4, "what pid 2 does");
    strcpy(on(add(2, 1, AUTOPSY_LOCK, "flock"), AUTOPSY_IS_FILE, true, 0)->on[0].path, "/workspace/.lock");
    blames(2, "another run with the same workspace");
    add(2, 1, AUTOPSY_STOPPED, "")->state = 't';
    blames(2, "traces it");
    add(2, 1, AUTOPSY_STOPPED, "")->state = 'T';
    blames(2, "SIGCONT");
    add(2, 1, AUTOPSY_RUNNING, "");
    add(3, 1, AUTOPSY_WORKSPACE, "read");
    blames(3, "look at its server");
}

/* Each has something said about it, whatever it waits for; and of nobody nothing is. */
static void all(void **state)
{
    (void)state;
    assert_null(culprit_find(NULL));
    assert_null(culprit_find(&found));
    for (int wait = 0; wait < AUTOPSY_WAITS; wait++) {
        add(2, 1, (enum autopsy_wait)wait, "");
        blames(2, "");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipes),
        cmocka_unit_test(time_and_again),
        cmocka_unit_test(others),
        cmocka_unit_test(all),
    };

    return cmocka_run_group_tests_name("culprit", tests, NULL, NULL);
}
