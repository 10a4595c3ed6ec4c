#include "seats.h"

#include <errno.h>
#include <fcntl.h>

#include "sys.h"

#define ROWS 8   /* of seats, one for each processor in a row */
#define TRIES 64 /* at the most: on a large host that is more than one row already */

int seats_open(int parent, const struct plan *plan)
{
    int fd;

    if (!plan->affinity || plan->processor_count >= (unsigned)CPU_COUNT(&plan->processors))
        return -ENOTSUP;
    fd = SYS_AGAIN(openat(parent, "cgroup.procs", O_RDWR | O_CLOEXEC));
    return fd < 0 ? -errno : fd < 3 ? -EBADF : fd; /* those are the caller's */
}

/* Nobody waits for a seat, and whatever speaks against it is the same as taken. */
static bool take(int seats, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    return fcntl(seats, F_OFD_SETLK, &lock) == 0;
}

void seats_take(int seats, const struct plan *plan, unsigned current, cpu_set_t *chosen)
{
    unsigned left = plan->processor_count, tries = 0;

    CPU_ZERO(chosen);
    for (unsigned row = 0; row <= ROWS && left > 0; row++)
        for (unsigned i = 0; i < CPU_SETSIZE && left > 0; i++) {
            unsigned cpu = (current + i) % CPU_SETSIZE;
            if (!CPU_ISSET(cpu, &plan->processors) || CPU_ISSET(cpu, chosen))
                continue;
            if (seats >= 0 && row < ROWS && tries < TRIES) { /* else it is standing room */
                tries++;
                if (!take(seats, (off_t)row * CPU_SETSIZE + (off_t)cpu))
                    continue;
            }
            CPU_SET(cpu, chosen);
            left--;
        }
}
