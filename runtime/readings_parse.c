#include "readings.h"

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
    }
    if (texts->cpu_v1) /* the controller is there, so that v2's text has no such lines; its times are ns */
        readings->have_throttled = readings_keyed(texts->cpu_v1, "throttled_time", &readings->throttled) &&
                                   readings_keyed(texts->cpu_v1, "nr_throttled", &readings->throttled_periods);
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
#define TASK ",task="

/* "6,SEQUENCE,TIME,-;oom-kill:constraint=...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=1,uid=2" (mm/oom_kill.c,
 * mm/memcontrol.c). The paths stand before the name and are the kernel's, so a process whose name imitates another
 * leaf's record can only spoil its own; and both are stepped over by their length, so a parent may be called anything.
 * */
bool readings_oom_name(const char *record, const char *path, char *name, size_t size)
{
    size_t length = strlen(path);
    const char *at = strchr(record, ';'), *end = NULL;

    if (!at || !step(&at, ";oom-kill:", strlen(";oom-kill:")) || !(at = strstr(at, OOM_GROUP)))
        return false;
    at += strlen(OOM_GROUP);
    if (!step(&at, path, length) || !step(&at, TASK_GROUP, strlen(TASK_GROUP)) || !step(&at, path, length) ||
        !step(&at, TASK, strlen(TASK)))
        return false;
    for (const char *next = strstr(at, ",pid="); next; next = strstr(next + 1, ",pid="))
        end = next; /* the last: a name may hold one */
    if (!end)
        return false;
    snprintf(name, size, "%.*s", (int)(end - at), at);
    return true;
}
