#include "leaves.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"
#include "readings.h"
#include "sys.h"

/* Opens mount + path; where it is ours, makes what is missing, for root only (0700: nobody else may hold locks there). */
int leaves_open_parent(const char *mount, const char *path, bool ours)
{
    char whole[2 * PATH_MAX];
    int fd;

    snprintf(whole, sizeof whole, "%s%s", mount, path);
    fd = SYS_AGAIN(open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (fd < 0 && errno == ENOENT && ours) {
        if (mkdir(whole, 0700) < 0 && errno != EEXIST)
            return -errno;
        fd = SYS_AGAIN(open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    }
    return fd < 0 ? -errno : fd;
}

/* 0 gone (or never there); -EBUSY. A cgroup that has just lost its last process may still be busy for a moment. */
int leaves_remove(int parent, const char *name, uint64_t deadline)
{
    for (;;) {
        if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        /* A mount that is read-only says so before it looks for the name: what could not be made there is not there. */
        if (errno == EROFS)
            return faccessat(parent, name, F_OK, 0) < 0 && errno == ENOENT ? 0 : -EROFS;
        if (errno != EBUSY || sys_now() >= deadline)
            return -errno;
        poll(NULL, 0, 1);
    }
}

bool leaves_event(int leaf, const char *name)
{
    char text[256];
    uint64_t value = 0;

    return sys_read_file(leaf, "cgroup.events", text, sizeof text) > 0 && readings_keyed(text, name, &value) && value;
}

bool leaves_populated(int leaf)
{
    return leaves_event(leaf, "populated");
}

/* A leaf nobody holds the lock of. */
static int sweep_leaf(const struct hierarchies *cgroups, const char *path, int parent, int leaf, const char *name, uint64_t deadline)
{
    int result = 0, last;

    if (leaves_populated(leaf))
        sys_write_file(leaf, "cgroup.kill", "1");
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        if (!cgroups->v1[c].mount[0])
            continue;
        SYS_CLOSES int v1 = leaves_open_parent(cgroups->v1[c].mount, path, false);
        if (v1 >= 0 && (last = leaves_remove(v1, name, deadline)) < 0)
            result = last;
    }
    return result < 0 ? result : leaves_remove(parent, name, deadline);
}

/* Exactly what make_id() in host.c makes, so that nobody's "bivy-test" or "bivy-worker.service" is taken for a stale leaf. */
bool leaves_name(const char *name)
{
    size_t prefix = strlen(LEAVES_PREFIX);

    return !strncmp(name, LEAVES_PREFIX, prefix) && strlen(name + prefix) == PLAN_ID_LENGTH &&
           strspn(name + prefix, PLAN_ID_LETTERS) == PLAN_ID_LENGTH;
}

/* A leaf younger than this may be one that its bivy has made and not locked yet. */
#define SWEEP_AGE_S 2

bool leaves_young(int leaf)
{
    struct stat made;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return SYS_AGAIN(fstat(leaf, &made)) < 0 ||
           (now.tv_sec >= made.st_ctim.tv_sec && now.tv_sec - made.st_ctim.tv_sec < SWEEP_AGE_S);
}

int leaves_sweep(const struct hierarchies *cgroups, const char *path, bool alone, uint64_t deadline, struct leaves_sweep *sweep,
                       struct fault *fault)
{
    SYS_CLOSES int parent = leaves_open_parent(cgroups->v2.mount, path, false);
    struct sys_names names = {.dir = parent};
    const char *name;
    int more;

    *sweep = (struct leaves_sweep){0};
    if (parent == -ENOENT)
        return 0; /* no run has ever been here */
    if (parent < 0)
        return fault_set(fault, STAGE_CGROUP, -parent, "name the cgroup parent with --cgroup-parent", "%.200s%.200s: cannot be opened",
                         cgroups->v2.mount, path);
    while ((more = sys_next_name(&names, &name)) > 0) {
        if (!leaves_name(name))
            continue;
        SYS_CLOSES int leaf = SYS_AGAIN(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
        if (leaf < 0)
            continue;
        /* Age first: to lock it, if only for a moment, would be to take it from a bivy that is about to. */
        if ((!alone && leaves_young(leaf)) || SYS_AGAIN(flock(leaf, LOCK_EX | LOCK_NB)) < 0)
            sweep->live++;
        else if (sweep_leaf(cgroups, path, parent, leaf, name, deadline) < 0)
            sweep->stuck++;
        else
            sweep->removed++;
    }
    if (more < 0)
        return fault_set(fault, STAGE_CGROUP, -more, NULL, "%.200s%.200s: cannot be listed", cgroups->v2.mount, path);
    return 0;
}

static void no_action(int signal)
{
    (void)signal;
}

/* One write that takes its time, and is interrupted at the deadline: the kernel gives up between two rounds. */
static void write_until(int dir, const char *file, const char *text, uint64_t deadline)
{
    const struct sigaction catch = {.sa_handler = no_action}; /* without SA_RESTART */
    uint64_t now = sys_now(), left = deadline > now ? (deadline - now) / 1000 : 0;
    const struct itimerval timer = {.it_value = {.tv_sec = (time_t)(left / 1000000), .tv_usec = (suseconds_t)(left % 1000000)}};
    SYS_CLOSES int fd = SYS_AGAIN(openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOCTTY));
    sigset_t alarm;
    ssize_t put;

    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    if (fd < 0 || left == 0 || sigprocmask(SIG_UNBLOCK, &alarm, NULL) < 0 || sigaction(SIGALRM, &catch, NULL) < 0 ||
        setitimer(ITIMER_REAL, &timer, NULL) < 0)
        return;
    put = write(fd, text, strlen(text));
    (void)put; /* EINTR, or EAGAIN: not all of it; the next one goes on */
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

/* The parent in the hierarchy that memory is bound to. */
static int open_memory_parent(const struct hierarchies *cgroups, const char *path, bool *v1)
{
    const char *mount = cgroups->v1[CONTROLLER_MEMORY].mount;

    *v1 = mount[0];
    return leaves_open_parent(*v1 ? mount : cgroups->v2.mount, path, false);
}

void leaves_reclaim(const struct hierarchies *cgroups, const char *path, uint64_t deadline)
{
    SYS_CLOSES int lock = leaves_open_parent(cgroups->v2.mount, path, false);
    bool v1;
    SYS_CLOSES int dir = open_memory_parent(cgroups, path, &v1);
    char text[8 * 1024];
    uint64_t cached = 0, unwritten;

    /* Alone, or it would be the pages of sandboxes at work. Asked, not held: who comes now waits for the exclusive lock. */
    if (lock < 0 || dir < 0 || SYS_AGAIN(flock(lock, LOCK_EX | LOCK_NB)) < 0 || SYS_AGAIN(flock(lock, LOCK_SH)) < 0)
        return;
    if (v1) {
        write_until(dir, "memory.force_empty", "0", deadline);
    } else if (sys_read_file(dir, "memory.stat", text, sizeof text) > 0 && readings_cache(text, v1, &cached, &unwritten) && cached > 0) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)cached);
        write_until(dir, "memory.reclaim", text, deadline); /* since 5.19 */
    }
}

/* The number of cgroups in a controller's hierarchy, from the text of /proc/cgroups: name, hierarchy, number, enabled. */
static uint64_t hierarchy_size(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    char *end;

    if (!line)
        return 0;
    strtoull(line + strlen(name), &end, 10);
    return strtoull(end, NULL, 10);
}

/* Memory cgroups that are dead and not gone. v1 does not tell; there the memory hierarchy is compared with that of pids, which in most
 * places has the same directories and whose dead go at once. */
static uint64_t count_dying(const struct hierarchies *cgroups, const char *path)
{
    char text[4096];
    uint64_t memory = 0, pids = 0;

    if (!cgroups->v1[CONTROLLER_MEMORY].mount[0]) {
        SYS_CLOSES int parent = leaves_open_parent(cgroups->v2.mount, path, false);
        return parent >= 0 && sys_read_file(parent, "cgroup.stat", text, sizeof text) > 0 &&
                       readings_keyed(text, "nr_dying_descendants", &memory)
                   ? memory
                   : 0;
    }
    if (sys_read_file(AT_FDCWD, "/proc/cgroups", text, sizeof text) <= 0)
        return 0;
    memory = hierarchy_size(text, "\nmemory\t");
    pids = hierarchy_size(text, "\npids\t");
    return memory > pids ? memory - pids : 0;
}

/* Is no page of runs below path waiting to be written? */
static bool all_clean(const struct hierarchies *cgroups, const char *path)
{
    bool v1;
    SYS_CLOSES int dir = open_memory_parent(cgroups, path, &v1);
    uint64_t cached, unwritten = 0;
    char text[8 * 1024];

    return dir >= 0 && sys_read_file(dir, "memory.stat", text, sizeof text) > 0 &&
           readings_cache(text, v1, &cached, &unwritten) && unwritten == 0;
}

#define TEND_CLEAN 24                        /* so many are worth it where no page must be written first */
#define TEND_DYING 200                       /* each some 100 kB of kernel memory: worth waiting for the disk */
#define TEND_LETTERS "04hm"                  /* of the 32 that an id may begin with: one run in eight looks */
#define TEND_PATIENCE ((uint64_t)150000000) /* ns */

void leaves_tend(const struct hierarchies *cgroups, const char *path, const char *id)
{
    uint64_t dying = id[0] && strchr(TEND_LETTERS, id[0]) ? count_dying(cgroups, path) : 0;

    if (dying >= TEND_DYING || (dying >= TEND_CLEAN && all_clean(cgroups, path)))
        leaves_reclaim(cgroups, path, sys_now() + TEND_PATIENCE);
}

#define CLEAN_PATIENCE 2000000000u /* ns */

int leaves_clean(const struct hierarchies *cgroups, const char *path, struct leaves_sweep *sweep, struct fault *fault)
{
    SYS_CLOSES int parent = leaves_open_parent(cgroups->v2.mount, path, false);
    bool alone = parent >= 0 && SYS_AGAIN(flock(parent, LOCK_EX | LOCK_NB)) == 0;

    int result = leaves_sweep(cgroups, path, alone, sys_now() + CLEAN_PATIENCE, sweep, fault);

    sys_close(&parent); /* its lock with it */
    if (alone && result == 0)
        leaves_reclaim(cgroups, path, sys_now() + CLEAN_PATIENCE);
    return result;
}
