#include "live_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "live.h"
#include "sys.h"

#define SECOND ((uint64_t)1000000000)

bool live_process_read(pid_t pid, const char *file, char *text, size_t size)
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

    return live_process_read(pid, "status", text, sizeof text) && status_numbers(text, "NSpid", numbers, 3) == 2 ? (pid_t)numbers[1] : 0;
}

pid_t live_process_parent(pid_t pid)
{
    char text[4096];
    long parent;

    return live_process_read(pid, "status", text, sizeof text) && status_numbers(text, "PPid", &parent, 1) == 1 ? (pid_t)parent : 0;
}

bool live_process_named(pid_t pid, const char *name)
{
    char text[64];
    size_t length = strlen(name);

    return live_process_read(pid, "comm", text, sizeof text) && !strncmp(text, name, length) && !strcmp(text + length, "\n");
}

bool live_process_stopped(pid_t pid)
{
    char text[1024];
    const char *at;

    return live_process_read(pid, "stat", text, sizeof text) && (at = strrchr(text, ')')) && !strncmp(at, ") T", 3);
}

/* Field 22 of /proc/PID/stat, in ticks since the machine was started (proc_pid_stat(5)); its name may hold anything. */
bool live_process_age(pid_t pid, uint64_t *age)
{
    char text[1024];
    struct timespec now;
    const char *at;

    if (!live_process_read(pid, "stat", text, sizeof text) || !(at = strrchr(text, ')')))
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

int live_process_holds(pid_t pid, int leaf)
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

bool live_process_timer(pid_t pid, uint64_t *left)
{
    return search_descriptors(pid, is_timer, NULL, left) == 1;
}
