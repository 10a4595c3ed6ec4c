#include "live.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"
#include "leaves.h"
#include "live_process.h"
#include "mountinfo.h"
#include "readings.h"
#include "sys.h"

#define MS ((uint64_t)1000000)

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

void live_usage(const struct hierarchies *cgroups, const struct live *live, struct live_usage *usage)
{
    int dirs[CONTROLLER_COUNT], v1[CONTROLLER_COUNT];
    char below[PATH_MAX + 64], text[4096];
    uint64_t quota, period, us;

    *usage = (struct live_usage){0};
    if (live->leaf < 0)
        return;
    snprintf(below, sizeof below, "%s/%s", live->parent, live->name);
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

/* Is there a command? */
static bool ready(const struct live *live)
{
    return live->state == LIVE_RUNNING || live->state == LIVE_STOPPED;
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
    if (!ready(live) && live->state != LIVE_KEPT)
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
    struct command_line line = {0};
    pid_t command = ready(live) ? live_inside(live, LIVE_COMMAND) : 0;

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

    return live_process_read(pid, file, text, sizeof text) && sscanf(text, "%u %u %u", &inside, host, &count) == 3 && inside == POLICY_UID &&
           count == 1;
}

bool live_host_ids(pid_t pid, uid_t *uid, gid_t *gid)
{
    return read_map(pid, "uid_map", uid) && read_map(pid, "gid_map", gid);
}

bool live_left(const struct live *live, uint64_t *left)
{
    return live->state == LIVE_KEPT && live->holder && live_process_timer(live->holder, left);
}
