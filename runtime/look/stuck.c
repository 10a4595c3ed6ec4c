#include "stuck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "sys.h"

#define MOST_TOLD 3

static void describe(int pid, const char *name, char state, const char *call, const char *channel, char *text, size_t size)
{
    snprintf(text, size, "process %d \"%s\", state %c, in %.40s, waits in %.40s", pid, name, state, call[0] ? call : "?",
             channel[0] ? channel : "?");
}

static void read_stat(pid_t pid, struct autopsy_stat *stat)
{
    char path[32], text[1024];

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (sys_read_file(AT_FDCWD, path, text, sizeof text) > 0)
        autopsy_stat(text, stat);
}

/* Who is in state D is told of before those in state R (crowd.c): where none is among those told, none is among the rest. */
enum stuck_by stuck_by(const struct autopsy *autopsy, pid_t init)
{
    struct autopsy_stat stat = {.state = '?'};
    bool ready = false;

    for (unsigned i = 0; autopsy && i < autopsy->told; i++) {
        if (autopsy->process[i].state == 'D' || autopsy->process[i].waits == AUTOPSY_WORKSPACE)
            return STUCK_HELD;
        ready |= autopsy->process[i].state == 'R';
    }
    if (autopsy && autopsy->told == 0) {
        read_stat(init, &stat);
        ready = stat.state == 'R';
    }
    return ready ? STUCK_PROCESSOR : stat.state == 'D' ? STUCK_HELD : STUCK_UNKNOWN;
}

void stuck_describe_process(int pid, char *text, size_t size)
{
    struct autopsy_stat stat = {.name = "?", .state = '?'};
    struct autopsy_call call = {.number = -1};
    char path[48], found[1024], channel[AUTOPSY_CHANNEL + 1] = "";
    const char *name = NULL;

    read_stat(pid, &stat);
    snprintf(path, sizeof path, "/proc/%d/syscall", pid);
    if (sys_read_file(AT_FDCWD, path, found, sizeof found) > 0 && autopsy_call(found, &call))
        name = autopsy_call_name(call.number);
    snprintf(path, sizeof path, "/proc/%d/wchan", pid);
    if (sys_read_file(AT_FDCWD, path, channel, sizeof channel) <= 0)
        channel[0] = '\0';
    describe(pid, stat.name, stat.state, name ? name : "", channel, text, size);
}

void stuck_describe(const struct autopsy *autopsy, char *text, size_t size)
{
    size_t length = 0;

    text[0] = '\0';
    for (unsigned i = 0; autopsy && i < autopsy->told && length + 1 < size; i++) {
        const struct autopsy_process *process = &autopsy->process[i];
        if (i == MOST_TOLD) {
            snprintf(text + length, size - length, "; and others");
            break;
        }
        if (i > 0)
            length += (size_t)snprintf(text + length, size - length, "; ");
        if (length >= size)
            break;
        describe(process->host, process->name, process->state, process->call, process->channel, text + length, size - length);
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
