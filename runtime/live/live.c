#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "leaves.h"
#include "live_process.h"
#include "sys.h"

#define SECOND ((uint64_t)1000000000)
#define MOST_PIDS 4096

size_t live_processes(const struct live *live, pid_t *pids, size_t room)
{
    static char text[64 * 1024];
    SYS_CLOSES int file = live->leaf < 0 ? -1 : SYS_AGAIN(openat(live->leaf, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    size_t length = 0, count = 0;
    ssize_t got;

    while (file >= 0 && length < sizeof text - 1 && (got = SYS_AGAIN(read(file, text + length, sizeof text - 1 - length))) > 0)
        length += (size_t)got;
    text[length] = '\0';
    for (char *at = text, *end; count < room && (end = strchr(at, '\n')); at = end + 1) {
        long pid = strtol(at, NULL, 10);
        if (pid > 0)
            pids[count++] = (pid_t)pid;
    }
    return count;
}

/* The keeper is nobody's parent: by the name it gave itself, and by the lock. */
static pid_t find_keeper(const struct live *live, bool *named_so)
{
    SYS_CLOSES int proc = SYS_AGAIN(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = proc};
    char wanted[sizeof LIVE_KEEPER + PLAN_ID_TEXT];
    const char *name;

    snprintf(wanted, sizeof wanted, "%s%s", LIVE_KEEPER, live->id);
    while (sys_next_name(&names, &name) > 0) {
        pid_t pid = (pid_t)strtol(name, NULL, 10);
        if (pid <= 0 || !live_process_named(pid, wanted))
            continue;
        int held = live_process_holds(pid, live->leaf);
        *named_so = *named_so || held != 0;
        if (held == 1)
            return pid;
    }
    return 0;
}

pid_t live_inside(const struct live *live, pid_t number)
{
    static pid_t pids[MOST_PIDS];
    size_t count = live_processes(live, pids, MOST_PIDS);

    for (size_t i = 0; i < count; i++)
        if (live_number_inside(pids[i]) == number)
            return pids[i];
    return 0;
}

/* pid 1 takes on its name when the command has called execve, as soon as it has a processor again; until execve the command is called as
 * pid 1 is. */
static bool began(const struct live *live)
{
    char name[64], command[64];
    pid_t pid;

    return live_process_named(live->init, "bivy-init") ||
           ((pid = live_inside(live, LIVE_COMMAND)) > 0 && live_process_read(live->init, "comm", name, sizeof name) &&
            live_process_read(pid, "comm", command, sizeof command) && strcmp(name, command) != 0);
}

static void find_holder(struct live *live)
{
    pid_t parent = live->init ? live_process_parent(live->init) : 0;
    bool keeper = false;

    if (parent > 0 && live_process_holds(parent, live->leaf) == 1) {
        live->holder = parent;
        return;
    }
    live->holder = find_keeper(live, &keeper);
    if (keeper)
        live->state = LIVE_KEPT;
}

static enum live_state state_of(const struct live *live)
{
    /* Shared, and given back at once. A leaf that is not young has the lock of its supervisor or never will have one, so nobody is
     * disturbed. */
    if (!leaves_young(live->leaf) && SYS_AGAIN(flock(live->leaf, LOCK_SH | LOCK_NB)) == 0) {
        flock(live->leaf, LOCK_UN);
        return LIVE_STALE;
    }
    if (live->init && leaves_event(live->leaf, "frozen"))
        return LIVE_STOPPED;
    if (live->init)
        return began(live) ? LIVE_RUNNING : LIVE_STARTING;
    return leaves_young(live->leaf) ? LIVE_STARTING : LIVE_ENDING;
}

int live_read(int parent, const char *path, const char *name, struct live *live)
{
    struct stat made;
    struct timespec now;

    *live = (struct live){.leaf = -1, .state = LIVE_HIDDEN};
    snprintf(live->name, sizeof live->name, "%s", name);
    snprintf(live->parent, sizeof live->parent, "%s", path);
    snprintf(live->id, sizeof live->id, "%s", name + strlen(LEAVES_PREFIX));
    if (SYS_AGAIN(fstatat(parent, name, &made, AT_SYMLINK_NOFOLLOW)) < 0)
        return errno == ENOENT ? -ENOENT : 0;
    live->owner = made.st_uid;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec > made.st_ctim.tv_sec)
        live->age = (uint64_t)(now.tv_sec - made.st_ctim.tv_sec) * SECOND;
    live->leaf = SYS_AGAIN(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (live->leaf < 0)
        return errno == ENOENT ? -ENOENT : 0;
    live->init = live_inside(live, 1);
    live->state = state_of(live);
    if (live->init)
        live_process_age(live->init, &live->age);
    if (live->state != LIVE_STALE)
        find_holder(live);
    return 0;
}

void live_release(struct live *live)
{
    sys_close(&live->leaf);
}

int live_stale(const struct live *live, struct fault *fault)
{
    char mend[256];

    snprintf(mend, sizeof mend, "bivy clean --cgroup-parent %.200s removes what it left", *live->parent ? live->parent : "/");
    return fault_set(fault, STAGE_CGROUP, ENOENT, mend, "sandbox %.32s has lost its bivy", live->id);
}

static int none_such(const char *id, const char *path, struct fault *fault)
{
    if (!path)
        return fault_set(fault, STAGE_CGROUP, ENOENT, "it may just have ended; bivy ps lists those that are there", "there is no sandbox %.32s", id);
    return fault_set(fault, STAGE_CGROUP, ENOENT, "bivy ps, without --cgroup-parent, lists those of all cgroups", "there is no sandbox %.32s in %.200s",
                     id, *path ? path : "/");
}

struct search {
    char name[sizeof((struct live *)NULL)->name];
    uid_t own;
    struct live *live;
    bool found, twice;
    char other[200]; /* where the second one is */
};

static int compare(int parent, const char *path, const char *name, void *data)
{
    struct search *search = data;
    struct live *live = search->live;
    struct stat leaf;

    if (strcmp(name, search->name))
        return 0;
    if (search->found) {
        bool is_own = SYS_AGAIN(fstatat(parent, name, &leaf, AT_SYMLINK_NOFOLLOW)) == 0 && leaf.st_uid == search->own;
        if (is_own == (live->owner == search->own)) {
            snprintf(search->other, sizeof search->other, "%s", path);
            search->twice = true;
        }
        if (!is_own || live->owner == search->own)
            return 0;
        live_release(live);
        search->twice = false;
    }
    search->found = live_read(parent, path, name, live) == 0;
    return 0;
}

int live_find(const struct hierarchies *cgroups, const char *path, const char *id, struct live *live, struct fault *fault)
{
    struct search search = {.own = geteuid(), .live = live};
    int result;

    *live = (struct live){.leaf = -1};
    snprintf(search.name, sizeof search.name, "%s%s", LEAVES_PREFIX, id);
    if ((result = leaves_walk(cgroups, path, compare, &search, fault)) < 0)
        return result;
    if (search.twice)
        return fault_set(fault, STAGE_CGROUP, ENOTUNIQ, "say with --cgroup-parent which one is meant", "there are two sandboxes %.32s: in %.200s and in %.200s",
                         id, live->parent, search.other);
    return search.found ? 0 : none_such(id, path, fault);
}
