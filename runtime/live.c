#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"
#include "leaves.h"
#include "mountinfo.h"
#include "readings.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)
#define MOST_PIDS 4096

/* ---- one process ---- */

static bool read_process(pid_t pid, const char *file, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return sys_read_file(AT_FDCWD, path, text, size) > 0;
}

/* The numbers behind "Name:" in the text of a /proc/PID/status: how many, of which `room` are written. */
static size_t status_numbers(const char *text, const char *name, long *out, size_t room)
{
    size_t length = strlen(name), count = 0;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) || line[length] != ':')
            continue;
        for (const char *at = line + length + 1;;) {
            char *end;
            while (*at == '\t' || *at == ' ')
                at++;
            if (*at < '0' || *at > '9')
                return count;
            long number = strtol(at, &end, 10);
            if (count < room)
                out[count] = number;
            count++;
            at = end;
        }
    }
    return 0;
}

pid_t live_number_inside(pid_t pid)
{
    char text[4096];
    long numbers[3];

    return read_process(pid, "status", text, sizeof text) && status_numbers(text, "NSpid", numbers, 3) == 2 ? (pid_t)numbers[1] : 0;
}

static pid_t parent_of(pid_t pid)
{
    char text[4096];
    long parent;

    return read_process(pid, "status", text, sizeof text) && status_numbers(text, "PPid", &parent, 1) == 1 ? (pid_t)parent : 0;
}

static bool named(pid_t pid, const char *name)
{
    char text[64];
    size_t length = strlen(name);

    return read_process(pid, "comm", text, sizeof text) && !strncmp(text, name, length) && !strcmp(text + length, "\n");
}

/* ns since it was started: field 22 of /proc/PID/stat, in ticks since the machine was (proc_pid_stat(5)); its name may hold anything. */
static bool age_of(pid_t pid, uint64_t *age)
{
    char text[1024];
    struct timespec now;
    const char *at;

    if (!read_process(pid, "stat", text, sizeof text) || !(at = strrchr(text, ')')))
        return false;
    for (int field = 2; field < 22; field++)
        if (!(at = strchr(at + 1, ' ')))
            return false;
    uint64_t ticks = strtoull(at, NULL, 10), hz = (uint64_t)sysconf(_SC_CLK_TCK);
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t up = (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec, begun = ticks / hz * SECOND + ticks % hz * (SECOND / hz);
    *age = up > begun ? up - begun : 0;
    return true;
}

/* Goes through the text of every /proc/PID/fdinfo file until one of them is what is looked for. 1 found; 0 not; -errno: may not look. */
static int search_descriptors(pid_t pid, bool (*fits)(const char *text, const void *wanted, void *found), const void *wanted, void *found)
{
    char path[32], text[4096];

    snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)pid);
    SYS_CLOSES int dir = SYS_AGAIN(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = dir};
    const char *name;
    int more;

    if (dir < 0)
        return -errno;
    while ((more = sys_next_name(&names, &name)) > 0)
        if (sys_read_file(dir, name, text, sizeof text) > 0 && fits(text, wanted, found))
            return 1;
    return more;
}

/* "lock:\t1: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF" (proc_pid_fdinfo(5)) */
static bool is_lock(const char *text, const void *wanted, void *found)
{
    const struct stat *leaf = wanted;

    (void)found;
    for (const char *line = strstr(text, "lock:"); line; line = strstr(line + 1, "lock:")) {
        unsigned major, minor;
        unsigned long inode;
        if (sscanf(line, "lock: %*[0-9]: FLOCK ADVISORY WRITE %*d %x:%x:%lu", &major, &minor, &inode) == 3 &&
            inode == (unsigned long)leaf->st_ino && makedev(major, minor) == leaf->st_dev)
            return true;
    }
    return false;
}

/* Does this process hold the leaf's lock? That is what a supervisor and a keeper do and nobody else can. 1, 0, or -errno. */
static int holds(pid_t pid, int leaf)
{
    struct stat file;

    return SYS_AGAIN(fstat(leaf, &file)) < 0 ? -errno : search_descriptors(pid, is_lock, &file, NULL);
}

static bool is_timer(const char *text, const void *wanted, void *found)
{
    const char *at = strstr(text, "it_value: (");
    unsigned long long seconds, ns;

    (void)wanted;
    if (!at || !strstr(text, "clockid: ") || sscanf(at, "it_value: (%llu, %llu)", &seconds, &ns) != 2)
        return false;
    *(uint64_t *)found = (uint64_t)seconds * SECOND + (uint64_t)ns;
    return true;
}

bool live_left(const struct live *live, uint64_t *left)
{
    return live->state == LIVE_KEPT && live->holder && search_descriptors(live->holder, is_timer, NULL, left) == 1;
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
        if (pid <= 0 || !named(pid, wanted))
            continue;
        int held = holds(pid, live->leaf);
        *named_so = *named_so || held != 0;
        if (held == 1)
            return pid;
    }
    return 0;
}

/* ---- one leaf ---- */

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

static pid_t find_init(const struct live *live)
{
    static pid_t pids[MOST_PIDS];
    size_t count = live_processes(live, pids, MOST_PIDS);

    for (size_t i = 0; i < count; i++)
        if (live_number_inside(pids[i]) == 1)
            return pids[i];
    return 0;
}

static void find_holder(struct live *live)
{
    pid_t parent = live->init ? parent_of(live->init) : 0;
    bool keeper = false;

    if (parent > 0 && holds(parent, live->leaf) == 1) {
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
    if (live->init)
        return named(live->init, "bivy-init") ? LIVE_RUNNING : LIVE_STARTING;
    return leaves_young(live->leaf) ? LIVE_STARTING : LIVE_ENDING;
}

int live_read(int parent, const char *name, struct live *live)
{
    struct stat made;
    struct timespec now;

    *live = (struct live){.leaf = -1, .state = LIVE_HIDDEN};
    snprintf(live->name, sizeof live->name, "%s", name);
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
    live->init = find_init(live);
    live->state = state_of(live);
    if (live->init)
        age_of(live->init, &live->age);
    if (live->state != LIVE_STALE)
        find_holder(live);
    return 0;
}

void live_release(struct live *live)
{
    sys_close(&live->leaf);
}

static int none_such(const char *id, struct fault *fault)
{
    return fault_set(fault, STAGE_CGROUP, ENOENT, "bivy ps lists them; --cgroup-parent where they were given one", "there is no sandbox %.32s",
                     id);
}

int live_find(const struct hierarchies *cgroups, const char *path, const char *id, struct live *live, struct fault *fault)
{
    SYS_CLOSES int parent = leaves_open_parent(cgroups->v2.mount, path, false);
    char name[sizeof live->name];

    *live = (struct live){.leaf = -1};
    snprintf(name, sizeof name, "%s%s", LEAVES_PREFIX, id);
    if (parent == -ENOENT)
        return none_such(id, fault);
    if (parent < 0)
        return fault_set(fault, STAGE_CGROUP, -parent, "name the cgroup parent with --cgroup-parent", "%.200s%.200s: cannot be opened",
                         cgroups->v2.mount, path);
    return !leaves_name(name) || live_read(parent, name, live) < 0 ? none_such(id, fault) : 0;
}

/* ---- what it uses ---- */

static bool read_number(int dir, const char *file, uint64_t *out)
{
    char text[64];

    return dir >= 0 && sys_read_file(dir, file, text, sizeof text) > 0 && readings_single(text, out);
}

/* "50000 100000" of cpu.max; "max" is no number. */
static bool read_cpu_max(int dir, uint64_t *milli)
{
    unsigned long long quota, period;
    char text[64];

    if (sys_read_file(dir, "cpu.max", text, sizeof text) <= 0 || sscanf(text, "%llu %llu", &quota, &period) != 2 || period == 0)
        return false;
    *milli = quota * 1000 / period;
    return true;
}

void live_usage(const struct hierarchies *cgroups, const char *path, const struct live *live, struct live_usage *usage)
{
    int dirs[CONTROLLER_COUNT], v1[CONTROLLER_COUNT];
    char below[PATH_MAX + 64], text[4096];
    uint64_t quota, period, us;

    *usage = (struct live_usage){0};
    if (live->leaf < 0)
        return;
    snprintf(below, sizeof below, "%s/%s", path, live->name);
    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        v1[c] = cgroups->v1[c].mount[0] ? leaves_open_parent(cgroups->v1[c].mount, below, false) : -1;
        dirs[c] = cgroups->v1[c].mount[0] ? v1[c] : live->leaf;
    }
    bool old = v1[CONTROLLER_MEMORY] >= 0;
    usage->have_memory = read_number(dirs[CONTROLLER_MEMORY], old ? "memory.usage_in_bytes" : "memory.current", &usage->memory);
    usage->have_memory_limit = read_number(dirs[CONTROLLER_MEMORY], old ? "memory.limit_in_bytes" : "memory.max", &usage->memory_limit) &&
                               usage->memory_limit < (uint64_t)1 << 62; /* v1 writes "none" as a number */
    usage->have_pids = read_number(dirs[CONTROLLER_PIDS], "pids.current", &usage->pids);
    usage->have_pids_limit = read_number(dirs[CONTROLLER_PIDS], "pids.max", &usage->pids_limit);
    usage->have_cpu = sys_read_file(live->leaf, "cpu.stat", text, sizeof text) > 0 && readings_keyed(text, "usage_usec", &us);
    usage->cpu = usage->have_cpu ? us * 1000 : 0;
    if (v1[CONTROLLER_CPU] < 0) {
        usage->have_cpu_limit = dirs[CONTROLLER_CPU] >= 0 && read_cpu_max(dirs[CONTROLLER_CPU], &usage->cpu_limit);
    } else if (read_number(v1[CONTROLLER_CPU], "cpu.cfs_quota_us", &quota) && read_number(v1[CONTROLLER_CPU], "cpu.cfs_period_us", &period) &&
               period > 0) { /* -1, no limit, is no number */
        usage->have_cpu_limit = true;
        usage->cpu_limit = quota * 1000 / period;
    }
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        sys_close(&v1[c]);
}

/* ---- where it works ---- */

/* The path here of a directory that its file system knows as root: by the mount of ours that holds the most of it. */
static void host_path(const struct mountinfo *bound, char *path, size_t size)
{
    char room[16 * 1024], *text = sys_read_all("/proc/self/mountinfo", room, sizeof room), *cursor = text;
    size_t best = 0;
    struct mountinfo line;

    while (text && mountinfo_next(&cursor, &line) > 0) {
        size_t length = strcmp(line.root, "/") ? strlen(line.root) : 0;
        if (line.major != bound->major || line.minor != bound->minor || strncmp(bound->root, line.root, length) ||
            (bound->root[length] && bound->root[length] != '/') || (best && length + 1 < best))
            continue;
        best = length + 1;
        const char *rest = strcmp(bound->root + length, "/") ? bound->root + length : "";
        snprintf(path, size, "%s%s", strcmp(line.target, "/") || !*rest ? line.target : "", rest);
    }
    if (!best)
        snprintf(path, size, "%s:%s", bound->fstype, bound->root);
    sys_text_free(text, room);
}

void live_workspace(const struct live *live, char *path, size_t size)
{
    char name[32], room[16 * 1024], *text, *cursor;
    unsigned scratch_major = 0, scratch_minor = 0;
    struct mountinfo line;

    path[0] = '\0';
    if (live->state != LIVE_RUNNING && live->state != LIVE_KEPT)
        return;
    snprintf(name, sizeof name, "/proc/%d/mountinfo", (int)live->init);
    text = cursor = sys_read_all(name, room, sizeof room);
    while (text && mountinfo_next(&cursor, &line) > 0) { /* the workspace comes behind /tmp (policy.c) */
        if (!strcmp(line.target, "/tmp")) {
            scratch_major = line.major;
            scratch_minor = line.minor;
        }
        if (!strcmp(line.target, POLICY_WORKSPACE) && (line.major != scratch_major || line.minor != scratch_minor))
            host_path(&line, path, size);
    }
    sys_text_free(text, room);
}

/* ---- what it runs ---- */

#define COMMAND_BYTES 1024
#define COMMAND_WITHIN (500 * MS)

struct command_line {
    size_t length;
    char bytes[COMMAND_BYTES];
};

static int read_command(void *data, void *answer)
{
    struct command_line *line = answer;
    char path[32];
    ssize_t got;

    snprintf(path, sizeof path, "/proc/%d/cmdline", *(const pid_t *)data);
    int file = SYS_AGAIN(open(path, O_RDONLY | O_CLOEXEC));
    got = file < 0 ? -1 : SYS_AGAIN(read(file, line->bytes, sizeof line->bytes));
    line->length = got > 0 ? (size_t)got : 0;
    return -1;
}

size_t live_command(const struct live *live, char *bytes, size_t size)
{
    static pid_t pids[MOST_PIDS];
    struct command_line line = {0};
    size_t count = live->state == LIVE_RUNNING ? live_processes(live, pids, MOST_PIDS) : 0;
    pid_t command = 0;

    for (size_t i = 0; i < count && !command; i++)
        if (live_number_inside(pids[i]) == 2) /* the first that pid 1 forked */
            command = pids[i];
    if (!command)
        return 0;
    struct helper_left left;
    int fd = -1;
    const struct helper_task task = {.work = read_command, .data = &command, .keep = -1, .stop = -1, .by = sys_now() + COMMAND_WITHIN,
                                     .answer = &line, .size = sizeof line};
    if (helper_run(&task, &fd, &left) < 0)
        line.length = 0;
    sys_close(&fd);
    if (line.length > size)
        line.length = size;
    memcpy(bytes, line.bytes, line.length);
    return line.length;
}

static bool read_map(pid_t pid, const char *file, unsigned *host)
{
    char text[256];
    unsigned inside, count;

    return read_process(pid, file, text, sizeof text) && sscanf(text, "%u %u %u", &inside, host, &count) == 3 && inside == POLICY_UID &&
           count == 1;
}

bool live_host_ids(pid_t pid, uid_t *uid, gid_t *gid)
{
    return read_map(pid, "uid_map", uid) && read_map(pid, "gid_map", gid);
}

/* ---- its end ---- */

#define HOLDER_WITHIN (2 * SECOND) /* a bivy that has made its leaf and not yet its sandbox is not found by it */

/* The holder by a descriptor that was opened before it was looked at: its number cannot have become somebody else's meanwhile. */
static int open_holder(const struct hierarchies *cgroups, const char *path, const char *id, struct fault *fault)
{
    uint64_t by = sys_now() + HOLDER_WITHIN;

    for (;;) {
        struct live live;
        int held = 0, result = live_find(cgroups, path, id, &live, fault);
        SYS_CLOSES int leaf = live.leaf;
        SYS_CLOSES int pidfd = result == 0 && live.holder ? sys_pidfd_open(live.holder) : -1;
        if (result < 0)
            return result;
        if (live.state == LIVE_STALE)
            return fault_set(fault, STAGE_CGROUP, ENOENT, "bivy clean removes what it left", "sandbox %.32s has lost its bivy", id);
        if (pidfd >= 0 && (held = holds(live.holder, leaf)) == 1)
            return fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
        if (live.owner != geteuid() && geteuid() != 0)
            return fault_set(fault, STAGE_CGROUP, EPERM, "as that user, or as root", "sandbox %.32s is user %u's", id, live.owner);
        if (sys_now() >= by)
            return fault_set(fault, STAGE_CGROUP, ESRCH, "is it in another pid namespace, or does a /proc mounted with hidepid hide it?",
                             "who runs sandbox %.32s cannot be found", id);
        poll(NULL, 0, 5);
    }
}

#define LEAF_WITHIN (500 * MS) /* for a leaf to go once nobody holds it */

static bool is_there(const struct hierarchies *cgroups, const char *path, const char *id)
{
    struct live live;
    struct fault unused;
    int result = live_find(cgroups, path, id, &live, &unused);

    live_release(&live);
    return result == 0;
}

/* Until the leaf is gone, whoever held it is, or it is too late. True: the leaf is gone. */
static bool await_end(const struct hierarchies *cgroups, const char *path, const char *id, int holder, uint64_t by)
{
    struct pollfd gone = {.fd = holder, .events = POLLIN};
    uint64_t now;

    while (is_there(cgroups, path, id)) {
        if ((now = sys_now()) >= by)
            return false;
        if (poll(&gone, gone.fd < 0 ? 0 : 1, 20) > 0) {
            gone.fd = -1;
            by = by < now + LEAF_WITHIN ? by : now + LEAF_WITHIN;
        }
    }
    return true;
}

int live_end(const struct hierarchies *cgroups, const char *path, const char *id, uint64_t by, struct fault *fault)
{
    for (bool told = false;; told = true) {
        SYS_CLOSES int pidfd = open_holder(cgroups, path, id, fault);
        int result = pidfd;
        if (pidfd == -ENOENT && told && !is_there(cgroups, path, id))
            return 0;
        if (pidfd >= 0)
            result = sys_pidfd_send_signal(pidfd, SIGTERM);
        if (pidfd >= 0 && result < 0 && result != -ESRCH)
            return fault_set(fault, STAGE_CGROUP, -result, "as that user, or as root", "sandbox %.32s: may not be ended", id);
        if (pidfd < 0)
            return pidfd;
        /* Should its supervisor be gone and the leaf not, a keeper may have taken over just then. */
        if (await_end(cgroups, path, id, pidfd, by))
            return 0;
        if (sys_now() >= by)
            return fault_set(fault, STAGE_CGROUP, ETIMEDOUT, "bivy ps shows it; bivy clean, once its processes have ended",
                             "sandbox %.32s was told to end and is still there", id);
    }
}
