/* seats: sandboxes that come and go, on hosts of every size. Each has the file open for itself, as each supervisor has. */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "seats.h"

enum { MOST = 64 };

static char path[] = "/tmp/bivy-seats-XXXXXX";
static struct plan plan;
static int seats[MOST];

static int begin(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    if (fd >= 0)
        close(fd);
    for (int i = 0; i < MOST; i++)
        seats[i] = -1;
    return fd < 0 ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    return unlink(path);
}

static void host(unsigned processors, unsigned wanted)
{
    CPU_ZERO(&plan.processors);
    for (unsigned cpu = 0; cpu < processors; cpu++)
        CPU_SET(cpu * 3 + 1, &plan.processors); /* with holes */
    plan.processor_count = wanted;
    plan.affinity = true;
}

static cpu_set_t come(int who, unsigned current)
{
    cpu_set_t chosen;

    seats[who] = open(path, O_RDWR | O_CLOEXEC);
    assert_true(seats[who] >= 0);
    seats_take(seats[who], &plan, current, &chosen);
    assert_int_equal(CPU_COUNT(&chosen), plan.processor_count);
    return chosen;
}

static void go(int who)
{
    close(seats[who]);
    seats[who] = -1;
}

static void go_all(void)
{
    for (int i = 0; i < MOST; i++)
        if (seats[i] >= 0)
            go(i);
}

/* All forked on one processor; no processor has more than one sandbox above another. */
static void evenly(void **state)
{
    static const unsigned sizes[] = {2, 3, 4, 8};

    (void)state;
    for (size_t s = 0; s < LENGTH(sizes); s++)
        for (unsigned wanted = 1; wanted < sizes[s]; wanted++) {
            unsigned has[CPU_SETSIZE] = {0};
            host(sizes[s], wanted);
            for (int who = 0; who < (int)(8 * sizes[s] / wanted) && who < 16; who++) {
                unsigned least = UINT_MAX, most = 0;
                cpu_set_t chosen = come(who, 4);
                for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
                    has[cpu] += (unsigned)CPU_ISSET(cpu, &chosen);
                    if (!CPU_ISSET(cpu, &plan.processors))
                        continue;
                    least = has[cpu] < least ? has[cpu] : least;
                    most = has[cpu] > most ? has[cpu] : most;
                }
                assert_true(most - least <= 1);
            }
            go_all();
        }
}

/* Alone it stays where it is; where somebody is already it goes to the next; and who comes later takes the place of who has gone. */
static void near_at_hand(void **state)
{
    cpu_set_t chosen;

    (void)state;
    host(4, 1); /* 1, 4, 7, 10 */
    chosen = come(0, 7);
    assert_true(CPU_ISSET(7, &chosen));
    chosen = come(1, 7);
    assert_true(CPU_ISSET(10, &chosen));
    chosen = come(2, 9);
    assert_true(CPU_ISSET(1, &chosen));
    go(0);
    chosen = come(3, 10);
    assert_true(CPU_ISSET(4, &chosen));
    chosen = come(4, 1);
    assert_true(CPU_ISSET(7, &chosen));
    go_all();
}

/* More than there are seats for: everybody has a processor all the same, the one that he is on. */
static void a_crowd(void **state)
{
    cpu_set_t chosen;

    (void)state;
    host(2, 1);
    for (int who = 0; who < 16; who++)
        come(who, 1);
    for (int who = 16; who < MOST; who++) {
        chosen = come(who, who % 2 ? 1 : 4);
        assert_true(CPU_ISSET(who % 2 ? 1 : 4, &chosen));
    }
    go_all();
}

/* Nothing to lock: as if nobody else were there. */
static void no_seats(void **state)
{
    cpu_set_t chosen;
    int directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    host(4, 2);
    seats_take(-1, &plan, 4, &chosen);
    assert_true(CPU_ISSET(4, &chosen) && CPU_ISSET(7, &chosen) && CPU_COUNT(&chosen) == 2);
    seats_take(directory, &plan, 4, &chosen); /* open for reading only: no lock can be had */
    assert_true(CPU_ISSET(4, &chosen) && CPU_ISSET(7, &chosen) && CPU_COUNT(&chosen) == 2);
    assert_int_equal(seats_open(directory, &plan), -ENOENT); /* no cgroup */
    host(4, 4);
    assert_int_equal(seats_open(directory, &plan), -ENOTSUP); /* all of them: nothing to choose */
    host(4, 2);
    plan.affinity = false;
    assert_int_equal(seats_open(directory, &plan), -ENOTSUP);
    close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evenly),
        cmocka_unit_test(near_at_hand),
        cmocka_unit_test(a_crowd),
        cmocka_unit_test(no_seats),
    };

    return cmocka_run_group_tests_name("seats", tests, begin, end);
}
