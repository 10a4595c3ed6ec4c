#include "readings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

/* The number behind `key ` at the start of a line of text. */
bool readings_keyed(const char *text, const char *key, uint64_t *out)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (!strncmp(line, key, length) && line[length] == ' ') {
            *out = strtoull(line + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool single(int dir, const char *file, uint64_t *out)
{
    char text[64];

    if (sys_read_file(dir, file, text, sizeof text) <= 0 || text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

uint64_t readings_oom_kills(const struct cgroup *cgroup)
{
    char text[1024];
    uint64_t kills = 0;
    bool v1 = cgroup->v1[CONTROLLER_MEMORY] >= 0;

    if (sys_read_file(cgroup_controller(cgroup, CONTROLLER_MEMORY), v1 ? "memory.oom_control" : "memory.events", text, sizeof text) > 0)
        readings_keyed(text, "oom_kill", &kills);
    return kills;
}

int readings_take(const struct cgroup *cgroup, struct readings *readings)
{
    char text[4096];
    uint64_t value;

    *readings = (struct readings){0};
    if (cgroup->leaf < 0)
        return -ENOENT;
    readings->oom_kills = readings_oom_kills(cgroup);
    readings->have_peak = single(cgroup_controller(cgroup, CONTROLLER_MEMORY),
                                 cgroup->v1[CONTROLLER_MEMORY] >= 0 ? "memory.max_usage_in_bytes" : "memory.peak",
                                 &readings->memory_peak);
    readings->have_pids_peak = single(cgroup_controller(cgroup, CONTROLLER_PIDS), "pids.peak", &readings->pids_peak);
    if (sys_read_file(cgroup_controller(cgroup, CONTROLLER_PIDS), "pids.events", text, sizeof text) > 0)
        readings->have_pids = readings_keyed(text, "max", &readings->pids_denied);
    /* Every v2 cgroup has these two, with or without the controller. */
    if (sys_read_file(cgroup->leaf, "cpu.stat", text, sizeof text) > 0) {
        readings->have_cpu = readings_keyed(text, "user_usec", &value);
        readings->cpu_user = readings->have_cpu ? value * 1000 : 0;
        if (readings_keyed(text, "system_usec", &value))
            readings->cpu_system = value * 1000;
        if (readings_keyed(text, "throttled_usec", &value)) {
            readings->have_throttled = true;
            readings->throttled = value * 1000;
            readings_keyed(text, "nr_throttled", &readings->throttled_periods);
        }
    }
    if (cgroup->v1[CONTROLLER_CPU] >= 0 && sys_read_file(cgroup->v1[CONTROLLER_CPU], "cpu.stat", text, sizeof text) > 0) {
        readings->have_throttled = readings_keyed(text, "throttled_time", &readings->throttled); /* ns here */
        readings_keyed(text, "nr_throttled", &readings->throttled_periods);
    }
    return 0;
}

/* "...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=1,uid=2": the path before the name is the kernel's, so a process whose name
 * imitates another leaf's line can only spoil its own. */
static bool oom_line(const char *line, const char *path, char *name, size_t size)
{
    const char *at = strstr(line, "oom-kill:");
    const char *group = at ? strstr(at, ",oom_memcg=") : NULL;
    const char *task = group ? strstr(group, ",task=") : NULL;
    const char *end = NULL;
    size_t length = strlen(path);

    if (!task || strncmp(group + 11, path, length) || group[11 + length] != ',')
        return false;
    task += 6;
    for (const char *next = strstr(task, ",pid="); next; next = strstr(next + 1, ",pid="))
        end = next;
    if (!end)
        return false;
    snprintf(name, size, "%.*s", (int)(end - task), task);
    return true;
}

int readings_oom_victim(const struct cgroup *cgroup, char *name, size_t size)
{
    char record[2048];
    int found = 0;
    SYS_CLOSES int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (log < 0)
        return 0;
    for (;;) { /* one record a read; EPIPE: overwritten meanwhile, the next read goes on behind it (Documentation/ABI/testing/dev-kmsg) */
        ssize_t got = read(log, record, sizeof record - 1);
        if (got < 0 && (errno == EPIPE || errno == EINTR || errno == EINVAL))
            continue;
        if (got <= 0)
            return found;
        record[got] = '\0';
        if (oom_line(record, cgroup->path, name, size))
            found = 1;
    }
}
