#include "readings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

/* The file's text in buffer, or NULL. */
static const char *text_of(int dir, const char *file, char *buffer, size_t size)
{
    return sys_read_file(dir, file, buffer, size) > 0 ? buffer : NULL;
}

static const char *oom_file(const struct cgroup *cgroup)
{
    return cgroup->v1[CONTROLLER_MEMORY] >= 0 ? "memory.oom_control" : "memory.events";
}

uint64_t readings_oom_kills(const struct cgroup *cgroup)
{
    char text[1024];
    uint64_t kills = 0;

    if (text_of(cgroup_controller(cgroup, CONTROLLER_MEMORY), oom_file(cgroup), text, sizeof text))
        readings_keyed(text, "oom_kill", &kills);
    return kills;
}

bool readings_last(const struct cgroup *cgroup)
{
    char text[64];
    uint64_t count;

    return text_of(cgroup_controller(cgroup, CONTROLLER_PIDS), "pids.current", text, sizeof text) && readings_single(text, &count) &&
           count == 1;
}

int readings_take(const struct cgroup *cgroup, struct readings *readings)
{
    char oom[1024], memory_peak[64], pids_peak[64], pids_events[256], cpu[4096], cpu_v1[1024];
    int memory = cgroup_controller(cgroup, CONTROLLER_MEMORY), pids = cgroup_controller(cgroup, CONTROLLER_PIDS);
    const char *peak = cgroup->v1[CONTROLLER_MEMORY] >= 0 ? "memory.max_usage_in_bytes" : "memory.peak";
    int v1 = cgroup->v1[CONTROLLER_CPU];

    *readings = (struct readings){0};
    if (cgroup->leaf < 0)
        return -ENOENT;
    const struct readings_texts texts = {
        .oom = text_of(memory, oom_file(cgroup), oom, sizeof oom),
        .memory_peak = text_of(memory, peak, memory_peak, sizeof memory_peak),
        .pids_peak = text_of(pids, "pids.peak", pids_peak, sizeof pids_peak),
        .pids_events = text_of(pids, "pids.events", pids_events, sizeof pids_events),
        .cpu = text_of(cgroup->leaf, "cpu.stat", cpu, sizeof cpu),
        .cpu_v1 = v1 >= 0 ? text_of(v1, "cpu.stat", cpu_v1, sizeof cpu_v1) : NULL,
    };
    readings_parse(&texts, readings);
    return 0;
}

void readings_oom_victim(const struct cgroup *cgroup, struct oom_report *report)
{
    char record[8 * 1024]; /* a record is at the most CONSOLE_EXT_LOG_MAX long */
    SYS_CLOSES int log = SYS_AGAIN(open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));

    *report = (struct oom_report){0};
    if (log < 0)
        return;
    /* One record a read; EPIPE: overwritten meanwhile, the next read goes on behind it
     * (Documentation/ABI/testing/dev-kmsg). */
    for (;;) {
        ssize_t got = read(log, record, sizeof record - 1);
        if (got < 0 && (errno == EPIPE || errno == EINTR || errno == EINVAL))
            continue;
        if (got <= 0)
            break;
        record[got] = '\0';
        readings_oom_record(record, cgroup->path, report);
    }
    if (!report->name[0])
        *report = (struct oom_report){0};
}

uint64_t readings_memory(const struct cgroup *cgroup)
{
    char text[64];
    uint64_t bytes = 0;

    if (text_of(cgroup_controller(cgroup, CONTROLLER_MEMORY),
                cgroup->v1[CONTROLLER_MEMORY] >= 0 ? "memory.usage_in_bytes" : "memory.current", text, sizeof text))
        readings_single(text, &bytes);
    return bytes;
}

bool readings_usage(const struct cgroup *cgroup, struct usage *usage)
{
    bool v1 = cgroup->v1[CONTROLLER_MEMORY] >= 0;
    char text[8 * 1024];
    uint64_t kernel;

    *usage = (struct usage){.total = readings_memory(cgroup)};
    /* No memory at all is an answer as well: everybody may have gone before the look. */
    if (!text_of(cgroup_controller(cgroup, CONTROLLER_MEMORY), "memory.stat", text, sizeof text) || !readings_usage_parse(text, v1, usage))
        return false;
    if (v1 && text_of(cgroup->v1[CONTROLLER_MEMORY], "memory.kmem.usage_in_bytes", text, sizeof text) && readings_single(text, &kernel))
        readings_usage_kernel(usage, kernel);
    return true;
}

/* Its size is the second number, in pages. A name is read only of who is larger than all before. */
static void weigh(unsigned long pid, struct processes *most)
{
    char path[40], text[128], *end;
    unsigned long long pages;
    ssize_t length;

    snprintf(path, sizeof path, "/proc/%lu/statm", pid);
    if (!text_of(AT_FDCWD, path, text, sizeof text) || (strtoull(text, &end, 10), *end != ' '))
        return;
    pages = strtoull(end, NULL, 10);
    if (pages * (unsigned long long)sysconf(_SC_PAGESIZE) <= most->bytes)
        return;
    snprintf(path, sizeof path, "/proc/%lu/comm", pid);
    if ((length = sys_read_file(AT_FDCWD, path, text, sizeof most->name)) < 2)
        return;
    most->bytes = pages * (unsigned long long)sysconf(_SC_PAGESIZE);
    text[length - 1] = '\0'; /* its newline; others are the name's */
    memcpy(most->name, text, (size_t)length);
}

void readings_processes(const struct cgroup *cgroup, pid_t except, bool memory, struct processes *most)
{
    char pids[4096], path[32];

    if (!text_of(cgroup->leaf, "cgroup.procs", pids, sizeof pids))
        return;
    for (char *at = pids, *end; *at; at = end + strspn(end, "\n")) {
        struct stat file;
        unsigned long pid = strtoul(at, &end, 10);
        if (end == at)
            break;
        if ((pid_t)pid == except)
            continue;
        snprintf(path, sizeof path, "/proc/%lu/fd", pid);
        if (SYS_AGAIN(stat(path, &file)) == 0 && file.st_size > 0 && (uint64_t)file.st_size > most->open_files)
            most->open_files = (uint64_t)file.st_size;
        if (memory)
            weigh(pid, most);
    }
}
