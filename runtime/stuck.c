#include "stuck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seccomp_filter.h"
#include "sys.h"

#define MOST_TOLD 3

/* Never cmdline, environ or maps: these take the process's memory lock, which it may hold while it waits. */
void stuck_describe_process(int pid, char *text, size_t size)
{
    char path[48], stat[512], call[256], channel[64];
    const char *name = "?", *name_end = name + 1, *waits = "?";
    char state = '?';

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (sys_read_file(AT_FDCWD, path, stat, sizeof stat) > 0) {
        char *open = strchr(stat, '('), *close = strrchr(stat, ')');
        if (open && close && close > open && close[1] == ' ') {
            name = open + 1;
            name_end = close;
            state = close[2];
        }
    }
    snprintf(path, sizeof path, "/proc/%d/syscall", pid);
    if (sys_read_file(AT_FDCWD, path, call, sizeof call) > 0) {
        char *end;
        long number = strtol(call, &end, 10);
        if (end == call)
            call[strcspn(call, "\n")] = '\0'; /* "running" */
        else if (number >= 0 && number < seccomp_filter_names_len && seccomp_filter_names[number])
            snprintf(call, sizeof call, "%s", seccomp_filter_names[number]);
        else
            snprintf(call, sizeof call, "call %ld", number);
    } else {
        snprintf(call, sizeof call, "?");
    }
    snprintf(path, sizeof path, "/proc/%d/wchan", pid);
    if (sys_read_file(AT_FDCWD, path, channel, sizeof channel) > 0)
        waits = channel;
    snprintf(text, size, "process %d \"%.*s\", state %c, in %.40s, waits in %.40s", pid, (int)(name_end - name), name, state, call, waits);
}

void stuck_describe(const struct cgroup *cgroup, char *text, size_t size)
{
    char pids[1024];
    size_t length = 0;
    int told = 0;

    text[0] = '\0';
    if (cgroup->leaf < 0 || sys_read_file(cgroup->leaf, "cgroup.procs", pids, sizeof pids) <= 0)
        return;
    for (char *at = pids; *at && length + 1 < size;) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0)
            break;
        at = end + strspn(end, "\n");
        if (++told > MOST_TOLD) {
            snprintf(text + length, size - length, "; and others");
            break;
        }
        if (told > 1)
            length += (size_t)snprintf(text + length, size - length, "; ");
        if (length >= size)
            break;
        stuck_describe_process((int)pid, text + length, size - length);
        length += strlen(text + length);
    }
}

int stuck_abort(const struct place *place)
{
    char path[32];
    SYS_CLOSES int context = sys_fsopen("fusectl");
    int result;

    /* A mount of our own, attached nowhere: fusectl need not be mounted on the host. */
    if (context < 0)
        return context;
    if ((result = sys_fsconfig_create(context)) < 0)
        return result;
    SYS_CLOSES int mount = sys_fsmount(context, 0);
    if (mount < 0)
        return mount;
    snprintf(path, sizeof path, "%u/abort", place->connection);
    return sys_write_file(mount, path, "1");
}
