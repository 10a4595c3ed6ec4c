#include "readings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_US 1000u

/* Digits and the end of the line. The kernel ends every line: a number without it may have been cut off, and half a
 * number is worse than none. */
static bool number_line(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    if (*text != '\n')
        return false;
    *out = value;
    return true;
}

bool readings_keyed(const char *text, const char *key, uint64_t *out)
{
    size_t length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (!strncmp(line, key, length) && line[length] == ' ')
            return number_line(line + length + 1, out);
    }
    return false;
}

bool readings_single(const char *text, uint64_t *out)
{
    uint64_t value;

    if (!number_line(text, &value) || strchr(text, '\n')[1])
        return false;
    *out = value;
    return true;
}

bool readings_same(const char *text, size_t length, const char *expected)
{
    size_t wanted = strlen(expected);

    return length == wanted + 1 && !memcmp(text, expected, wanted) && text[wanted] == '\n';
}

static bool microseconds(const char *text, const char *key, uint64_t *ns)
{
    uint64_t value;

    if (!readings_keyed(text, key, &value) || __builtin_mul_overflow(value, NS_PER_US, &value))
        return false;
    *ns = value;
    return true;
}

bool readings_cache(const char *text, bool v1, uint64_t *cached, uint64_t *unwritten)
{
    uint64_t writeback = 0;

    if (!readings_keyed(text, v1 ? "total_cache" : "file", cached) ||
        !readings_keyed(text, v1 ? "total_dirty" : "file_dirty", unwritten) ||
        !readings_keyed(text, v1 ? "total_writeback" : "file_writeback", &writeback))
        return false;
    *unwritten += writeback;
    return true;
}

void readings_parse(const struct readings_texts *texts, struct readings *readings)
{
    *readings = (struct readings){0};
    if (texts->oom)
        readings_keyed(texts->oom, "oom_kill", &readings->oom_kills);
    readings->have_peak = texts->memory_peak && readings_single(texts->memory_peak, &readings->memory_peak);
    readings->have_pids_peak = texts->pids_peak && readings_single(texts->pids_peak, &readings->pids_peak);
    readings->have_pids = texts->pids_events && readings_keyed(texts->pids_events, "max", &readings->pids_denied);
    if (texts->cpu) {
        readings->have_cpu = microseconds(texts->cpu, "user_usec", &readings->cpu_user) &&
                             microseconds(texts->cpu, "system_usec", &readings->cpu_system);
        readings->have_throttled = microseconds(texts->cpu, "throttled_usec", &readings->throttled) &&
                                   readings_keyed(texts->cpu, "nr_throttled", &readings->throttled_periods);
        readings_keyed(texts->cpu, "nr_periods", &readings->periods);
    }
    if (texts->cpu_v1) { /* the controller is there, so that v2's text has no such lines; its times are ns */
        readings->have_throttled = readings_keyed(texts->cpu_v1, "throttled_time", &readings->throttled) &&
                                   readings_keyed(texts->cpu_v1, "nr_throttled", &readings->throttled_periods);
        readings_keyed(texts->cpu_v1, "nr_periods", &readings->periods);
    }
}

#define BEHIND_LEAST ((uint64_t)1 << 20) /* each processor may have some pages in stock */

void readings_usage_kernel(struct usage *usage, uint64_t kernel)
{
    uint64_t more = usage->kernel > kernel ? usage->kernel - kernel : 0;

    usage->behind = more > BEHIND_LEAST + usage->total / 8 ? more : 0;
}

bool readings_usage_parse(const char *text, bool v1, struct usage *usage)
{
    uint64_t files, named, kernel = 0, sockets = 0;

    if (!readings_keyed(text, v1 ? "total_rss" : "anon", &usage->heap) || !readings_keyed(text, v1 ? "total_cache" : "file", &files) ||
        !readings_keyed(text, v1 ? "total_shmem" : "shmem", &usage->scratch))
        return false;
    usage->cache = files > usage->scratch ? files - usage->scratch : 0; /* shmem is counted among the files */
    named = usage->heap + usage->scratch + usage->cache;
    if (usage->total < named)
        usage->total = named; /* the counters are read one after the other */
    usage->kernel = usage->total - named;
    usage->behind = 0;
    if (!v1 && readings_keyed(text, "kernel", &kernel)) { /* since Linux 5.18 */
        readings_keyed(text, "sock", &sockets);
        readings_usage_kernel(usage, kernel + sockets);
    }
    usage->major_faults = 0;
    readings_keyed(text, v1 ? "total_pgmajfault" : "pgmajfault", &usage->major_faults);
    return true;
}

void readings_usage_scratch(struct usage *usage, uint64_t scratch)
{
    uint64_t missing = scratch > usage->scratch ? scratch - usage->scratch : 0;
    uint64_t unnamed = missing < usage->kernel ? missing : usage->kernel;

    usage->scratch += missing;
    usage->kernel -= unnamed;
    usage->total += missing - unnamed;
}

void readings_usage_full(struct usage *usage, uint64_t limit)
{
    if (usage->total >= limit)
        return;
    usage->kernel += limit - usage->total;
    usage->total = limit;
}

/* Steps over text at *at. */
static bool step(const char **at, const char *text, size_t length)
{
    if (strncmp(*at, text, length))
        return false;
    *at += length;
    return true;
}

#define OOM_GROUP ",oom_memcg="
#define TASK_GROUP ",task_memcg="
#define HOST_GROUP ",global_oom,task_memcg="
#define TASK ",task="

/* Steps over whose limit it was: the leaf's at path, or that of a cgroup above it. */
static enum oom_of step_group(const char **at, const char *path)
{
    for (size_t length = strlen(path), whole = length; length > 0; length--) {
        const char *try = *at;
        if (length < whole && path[length] != '/')
            continue;
        if (step(&try, path, length) && step(&try, TASK_GROUP, strlen(TASK_GROUP))) {
            *at = try;
            return length == whole ? OOM_OF_LEAF : OOM_ABOVE;
        }
    }
    return OOM_UNKNOWN;
}

/* "6,SEQUENCE,TIME,-;oom-kill:constraint=...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=1,uid=2", with global_oom instead of the first
 * path where it was the host's (mm/oom_kill.c, mm/memcontrol.c). The paths stand before the name and are the kernel's, so a process whose
 * name imitates another leaf's record can only spoil its own; and both are stepped over by their length, so a parent may be called anything.
 * */
enum oom_of readings_oom_name(const char *record, const char *path, char *name, size_t size)
{
    const char *at = strchr(record, ';'), *end = NULL, *group;
    enum oom_of of;

    if (!at || !step(&at, ";oom-kill:", strlen(";oom-kill:")))
        return OOM_UNKNOWN;
    if ((group = strstr(at, OOM_GROUP))) {
        at = group + strlen(OOM_GROUP);
        of = step_group(&at, path);
    } else if ((group = strstr(at, HOST_GROUP))) {
        at = group + strlen(HOST_GROUP);
        of = OOM_OF_HOST;
    } else {
        return OOM_UNKNOWN;
    }
    if (!of || !step(&at, path, strlen(path)) || !step(&at, TASK, strlen(TASK)))
        return OOM_UNKNOWN;
    for (const char *next = strstr(at, ",pid="); next; next = strstr(next + 1, ",pid="))
        end = next; /* the last: a name may hold one */
    if (!end)
        return OOM_UNKNOWN;
    snprintf(name, size, "%.*s", (int)(end - at), at);
    return of;
}

#define KILLED ": Killed process "
#define STATS ";Memory cgroup stats for "

/* The number behind a "key:" or "key " anywhere in text, which the kernel wrote. */
static bool number_behind(const char *text, const char *key, uint64_t *out)
{
    const char *at = strstr(text, key);
    uint64_t value = 0;

    if (!at || (at += strlen(key), *at < '0' || *at > '9'))
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    *out = value;
    return true;
}

/* "Killed process 12 (NAME) total-vm:1kB, anon-rss:2kB, file-rss:3kB, shmem-rss:4kB, UID:...": the sizes stand behind the name, so the
 * last of each counts. */
static void victim_size(const char *record, struct oom_report *report)
{
    static const char *const parts[] = {", anon-rss:", ", file-rss:", ", shmem-rss:"};
    static const char cgroup[] = ";Memory cgroup out of memory" KILLED, host[] = ";Out of memory" KILLED;
    const char *at = strchr(record, ';');
    uint64_t pid, kib, sum = 0;

    if (!at || (strncmp(at, cgroup, sizeof cgroup - 1) != 0 && strncmp(at, host, sizeof host - 1) != 0) ||
        !number_behind(at, KILLED, &pid) || pid != report->pid)
        return;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *last = NULL;
        for (const char *next = strstr(at, parts[i]); next; next = strstr(next + 1, parts[i]))
            last = next;
        if (last && number_behind(last, parts[i], &kib) && kib < UINT64_MAX / 4096)
            sum += kib * 1024;
    }
    report->bytes = sum;
}

/* A line of the leaf's memory.stat, a record each (6.x on v1) or many in one with \x0a between them (v2 before 6.12). */
static void take_stats(const char *text, struct usage *usage)
{
    static const struct {
        const char *key;
        size_t field;
    } rows[] = {
        {"anon ", offsetof(struct usage, heap)},         {"total_rss ", offsetof(struct usage, heap)},
        {"file ", offsetof(struct usage, cache)},        {"total_cache ", offsetof(struct usage, cache)},
        {"shmem ", offsetof(struct usage, scratch)},     {"total_shmem ", offsetof(struct usage, scratch)},
        {"kernel ", offsetof(struct usage, kernel)},
    };

    while (text) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            if (!strncmp(text, rows[i].key, strlen(rows[i].key)))
                number_behind(text, rows[i].key, (uint64_t *)(void *)((char *)usage + rows[i].field));
        text = strstr(text, "\\x0a");
        if (text)
            text += 4;
    }
}

void readings_oom_record(const char *record, const char *path, struct oom_report *report)
{
    const char *text = strchr(record, ';'), *end;
    size_t length = strlen(path);
    enum oom_of of;

    if (!text)
        return;
    if (!strncmp(text, STATS, strlen(STATS))) {
        text += strlen(STATS);
        report->stats = !strncmp(text, path, length) && text[length] == ':';
        if (report->stats)
            report->usage = (struct usage){0};
        return;
    }
    if ((of = readings_oom_name(record, path, report->name, sizeof report->name)) != OOM_UNKNOWN) {
        struct usage *usage = &report->usage;
        report->of = of;
        report->stats = false;
        report->bytes = report->pid = 0;
        for (end = strstr(text, ",pid="); end; end = strstr(end + 1, ",pid="))
            number_behind(end, ",pid=", &report->pid);
        usage->cache = usage->cache > usage->scratch ? usage->cache - usage->scratch : 0;
        usage->total = usage->heap + usage->scratch + usage->cache + usage->kernel;
        usage->moment = usage->total ? MOMENT_LIMIT : MOMENT_NONE;
    } else if (report->pid && !report->bytes) {
        victim_size(record, report);
    } else if (report->stats) {
        take_stats(text + 1, &report->usage);
    }
}
