#include "crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "sys.h"

bool crowd_late(const struct crowd *crowd)
{
    return sys_now() >= crowd->by;
}

ssize_t crowd_read(int dir, const char *path, char *text, size_t size)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
    size_t length = 0;
    ssize_t got = 0;

    while (fd >= 0 && length + 1 < size && (got = SYS_AGAIN(read(fd, text + length, size - 1 - length))) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return fd < 0 || got < 0 ? -1 : (ssize_t)length;
}

bool crowd_link(int dir, const char *path, char *text, size_t size)
{
    ssize_t got = SYS_AGAIN(readlinkat(dir, path, text, size - 1));

    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static void each_pid(struct crowd *crowd, void (*met)(struct crowd *crowd, pid_t pid))
{
    const char *at = crowd->text;

    if (crowd_read(HELPER_KEPT, "cgroup.procs", crowd->text, sizeof crowd->text) <= 0)
        return;
    for (pid_t pid; (pid = autopsy_next_pid(&at)) > 0;)
        met(crowd, pid);
}

bool crowd_holds(const struct crowd_held *held, pid_t pid)
{
    for (unsigned i = 0; i < held->count; i++)
        if (held->pids[i] == pid)
            return true;
    return false;
}

static void meet(struct crowd *crowd, pid_t pid)
{
    struct member *member = &crowd->members[crowd->count];
    char path[32];

    if (pid == crowd->init)
        return;
    crowd->processes++;
    if (crowd->count == CROWD_MOST || crowd_late(crowd))
        return;
    snprintf(path, sizeof path, "/proc/%d", pid);
    *member = (struct member){.pid = pid, .memory = crowd_holds(&crowd->dumb, pid) ? -2 : -1, .held = crowd_holds(&crowd->held, pid),
                              .dir = SYS_AGAIN(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC))};
    crowd->count += member->dir >= 0;
}

static void meet_again(struct crowd *crowd, pid_t pid)
{
    for (unsigned i = 0; i < crowd->count; i++)
        crowd->members[i].listed |= crowd->members[i].pid == pid;
}

/* False: it is gone, or it never was of the leaf. */
static bool greet(struct member *member)
{
    char text[4096];

    return member->listed && sys_read_file(member->dir, "status", text, sizeof text) > 0 && autopsy_status(text, &member->status);
}

/* A pid may be given again between the list and the open of /proc/PID. It is in the list after the open as well, and what was opened
 * still is there after that: then it is the same. */
void crowd_gather(struct crowd *crowd)
{
    unsigned kept = 0;

    each_pid(crowd, meet);
    each_pid(crowd, meet_again);
    for (unsigned i = 0; i < crowd->count; i++) {
        if (greet(&crowd->members[i]))
            crowd->members[kept++] = crowd->members[i];
        else
            close(crowd->members[i].dir);
    }
    crowd->count = kept;
    for (unsigned i = 0; i < kept; i++)
        for (unsigned j = 0; j < kept; j++)
            crowd->members[i].parent |= crowd->members[j].status.parent == (uint64_t)crowd->members[i].pid;
}

/* The command; then whoever is held or busy; then the ends of the tree before its forks. */
static unsigned weight(const struct member *member)
{
    char state = member->status.state;

    return member->status.inner == 2 ? 4 : member->held || state == 'D' ? 3 : state == 'R' ? 2 : !member->parent;
}

static int by_pid(const void *one, const void *other)
{
    const struct member *a = one, *b = other;

    return a->status.inner != b->status.inner ? (a->status.inner < b->status.inner ? -1 : 1) : 0;
}

static int by_weight(const void *one, const void *other)
{
    unsigned a = weight(one), b = weight(other);

    return a != b ? (a > b ? -1 : 1) : by_pid(one, other);
}

unsigned crowd_order(struct crowd *crowd, unsigned most)
{
    unsigned told = crowd->count < most ? crowd->count : most;

    qsort(crowd->members, crowd->count, sizeof crowd->members[0], by_weight);
    qsort(crowd->members, told, sizeof crowd->members[0], by_pid);
    return told;
}

uint64_t crowd_inner(const struct crowd *crowd, uint64_t pid)
{
    for (unsigned i = 0; i < crowd->count; i++)
        if ((uint64_t)crowd->members[i].pid == pid)
            return crowd->members[i].status.inner;
    return pid && pid == (uint64_t)crowd->init ? 1 : 0;
}

size_t crowd_peek(struct crowd *crowd, struct member *member, uint64_t address, void *bytes, size_t size)
{
    if (member->memory == -2)
        return 0;
    if (crowd->may_block || crowd->root_may_block) {
        bool known = crowd_read(member->dir, "maps", crowd->text, sizeof crowd->text) > 0;
        uint64_t sound = known ? autopsy_at_hand(crowd->text, address, crowd->root_may_block) : 0;
        size = sound < size ? (size_t)sound : size;
    }
    if (member->memory == -1) {
        member->memory = SYS_AGAIN(openat(member->dir, "mem", O_RDONLY | O_CLOEXEC));
        if (member->memory < 0)
            member->memory = -2;
    }
    if (member->memory < 0 || address > INT64_MAX || size == 0)
        return 0;
    ssize_t got = SYS_AGAIN(pread(member->memory, bytes, size, (off_t)address));
    return got > 0 ? (size_t)got : 0;
}
