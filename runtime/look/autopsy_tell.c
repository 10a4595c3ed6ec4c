#include "autopsy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "plain.h"

#define MS ((uint64_t)1000000)

enum { SHOWN = 60, SHOWN_PATH = 72 }; /* bytes of a command line, of which the beginning tells most, and of a path, of which the end does */

const char *autopsy_wait_name(enum autopsy_wait wait)
{
    static const char *const names[AUTOPSY_WAITS] = {
        [AUTOPSY_RUNNING] = "running", [AUTOPSY_PIPE] = "pipe",     [AUTOPSY_FIFO] = "fifo",           [AUTOPSY_FILE] = "file",
        [AUTOPSY_TTY] = "tty",         [AUTOPSY_SOCKET] = "socket", [AUTOPSY_POLL] = "poll",           [AUTOPSY_SLEEP] = "sleep",
        [AUTOPSY_CHILD] = "child",     [AUTOPSY_LOCK] = "lock",     [AUTOPSY_SIGNAL] = "signal",       [AUTOPSY_CALLER] = "caller",
        [AUTOPSY_STOPPED] = "stopped", [AUTOPSY_ENDED] = "ended",   [AUTOPSY_WORKSPACE] = "workspace", [AUTOPSY_OTHER] = "other",
    };

    return names[wait];
}

const char *autopsy_kind_name(enum autopsy_kind kind)
{
    static const char *const names[AUTOPSY_KINDS] = {
        [AUTOPSY_IS_PIPE] = "pipe",           [AUTOPSY_IS_FIFO] = "fifo",         [AUTOPSY_IS_FILE] = "file",
        [AUTOPSY_IS_DIRECTORY] = "directory", [AUTOPSY_IS_TTY] = "tty",           [AUTOPSY_IS_DEVICE] = "device",
        [AUTOPSY_IS_SOCKET] = "socket",       [AUTOPSY_IS_EVENTPOLL] = "eventpoll", [AUTOPSY_IS_EVENTFD] = "eventfd",
        [AUTOPSY_IS_TIMERFD] = "timerfd",     [AUTOPSY_IS_SIGNALFD] = "signalfd", [AUTOPSY_IS_INOTIFY] = "inotify",
        [AUTOPSY_IS_STDIN] = "stdin",         [AUTOPSY_IS_STDOUT] = "stdout",     [AUTOPSY_IS_STDERR] = "stderr",
        [AUTOPSY_IS_OTHER] = "other",
    };

    return names[kind];
}

/* ---- the record ---- */

static void write_bytes(struct json *json, const char *name, const char *value)
{
    if (value[0])
        json_bytes(json, name, value, strlen(value));
    else
        json_null(json, name);
}

static void write_command(struct json *json, const struct autopsy_process *process)
{
    if (process->command_length == 0) {
        json_null(json, "command");
        return;
    }
    json_open(json, "command", '[');
    for (unsigned at = 0; at < process->command_length;) {
        size_t length = strnlen(process->command + at, process->command_length - at);
        json_bytes(json, NULL, process->command + at, length);
        at += (unsigned)length + 1;
    }
    json_close(json, ']');
}

static void write_end(struct json *json, const struct autopsy_end *end)
{
    json_open(json, NULL, '{');
    json_known(json, "fd", end->fd >= 0, (uint64_t)end->fd);
    json_string(json, "is", autopsy_kind_name(end->is));
    write_bytes(json, "path", end->path);
    write_bytes(json, "address", end->address);
    json_bool(json, "listens", end->listens);
    json_open(json, "with", '[');
    for (unsigned i = 0; i < end->with_count && i < AUTOPSY_WITH; i++)
        json_number(json, NULL, end->with[i]);
    json_close(json, ']');
    json_close(json, '}');
}

static void write_process(struct json *json, const struct autopsy_process *process)
{
    char state[2] = {process->state, '\0'};

    json_open(json, NULL, '{');
    json_known(json, "pid", process->pid != 0, process->pid);
    json_known(json, "ppid", process->parent != 0, process->parent);
    json_bytes(json, "name", process->name, strlen(process->name));
    write_command(json, process);
    json_string(json, "state", state);
    json_string(json, "waits", autopsy_wait_name(process->waits));
    json_string(json, "syscall", process->call[0] ? process->call : NULL);
    json_open(json, "on", '[');
    for (unsigned i = 0; i < process->on_count && i < AUTOPSY_ON; i++)
        write_end(json, &process->on[i]);
    json_close(json, ']');
    json_known_ms(json, "limit_ms", process->limit != 0, process->limit);
    write_bytes(json, "channel", process->channel);
    json_known_ms(json, "cpu_ms", process->timed, process->cpu);
    json_known_ms(json, "age_ms", process->timed, process->age);
    json_number(json, "threads", process->threads);
    json_close(json, '}');
}

void autopsy_write(struct json *json, const struct autopsy *autopsy)
{
    if (!autopsy) {
        json_null(json, "autopsy");
        return;
    }
    json_open(json, "autopsy", '{');
    json_number(json, "processes", autopsy->processes);
    json_thousandths(json, "took_ms", autopsy->took / 1000);
    json_bool(json, "complete", autopsy->complete);
    json_open(json, "told", '[');
    for (unsigned i = 0; i < autopsy->told && i < AUTOPSY_TOLD; i++)
        write_process(json, &autopsy->process[i]);
    json_close(json, ']');
    json_close(json, '}');
}

/* ---- a line ---- */

struct line {
    char *text;
    size_t length, size;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line->text + line->length, line->size - line->length, format, args);
    va_end(args);
    if (length > 0)
        line->length += (size_t)length < line->size - line->length ? (size_t)length : line->size - line->length - 1;
}

static void add_bytes(struct line *line, const char *bytes)
{
    line->length += plain_text(bytes, strlen(bytes), line->text + line->length, line->size - line->length);
}

static void add_path(struct line *line, const char *path)
{
    char text[4 * AUTOPSY_PATH + 1];
    size_t length = plain_text(path, strlen(path), text, sizeof text), from = length > SHOWN_PATH ? length - SHOWN_PATH : 0;

    while (from && ((unsigned char)text[from] & 0xc0) == 0x80) /* not into a character */
        from++;
    add(line, "%s%s", from ? "..." : "", text + from);
}

static void add_holders(struct line *line, const struct autopsy_process *process, const struct autopsy_end *end)
{
    bool lock = process->waits == AUTOPSY_LOCK;
    unsigned own = 0, shown = 0;

    for (unsigned i = 0; i < end->with_count && i < AUTOPSY_WITH; i++)
        own += end->with[i] == process->pid;
    if (own && end->with_count == 1) {
        add(line, lock ? ", which it holds itself" : ", of which only it has the %s end", end->writes ? "reading" : "writing");
        return;
    }
    for (unsigned i = 0; i < end->with_count && i < AUTOPSY_WITH; i++)
        if (end->with[i] != process->pid)
            add(line, "%s%llu", shown++ ? ", " : lock ? ", held by pid " : end->writes ? ", read by pid " : ", written by pid ",
                (unsigned long long)end->with[i]);
}

/* "fd 0, an empty pipe"; waiting: for this one alone. */
static void add_end(struct line *line, const struct autopsy_process *process, const struct autopsy_end *end, bool waiting)
{
    static const char *const articles[AUTOPSY_KINDS] = {
        [AUTOPSY_IS_EVENTPOLL] = "an ", [AUTOPSY_IS_EVENTFD] = "an ", [AUTOPSY_IS_INOTIFY] = "an ",
        [AUTOPSY_IS_STDIN] = "",        [AUTOPSY_IS_STDOUT] = "",     [AUTOPSY_IS_STDERR] = "",
    };
    const char *name = autopsy_kind_name(end->is);
    bool brims = waiting && (end->is == AUTOPSY_IS_PIPE || end->is == AUTOPSY_IS_FIFO) && process->waits != AUTOPSY_RUNNING;

    if (end->fd >= 0)
        add(line, "fd %d", end->fd);
    if (end->path[0]) {
        add(line, "%s", end->fd >= 0 ? ", " : "");
        add_path(line, end->path);
    }
    if (name && end->is != AUTOPSY_IS_OTHER && !(end->path[0] && (end->is == AUTOPSY_IS_FILE || end->is == AUTOPSY_IS_DEVICE)))
        add(line, ", %s%s%s", brims && end->fd >= 0 ? (end->writes ? "a full " : "an empty ") : articles[end->is] ? articles[end->is] : "a ",
            name, end->is >= AUTOPSY_IS_STDIN && end->is <= AUTOPSY_IS_STDERR ? " of the whole run" : "");
    if (end->address[0]) {
        add(line, end->listens ? " that listens on " : ", ");
        add_bytes(line, end->address);
    }
    if (process->waits == AUTOPSY_FIFO && end->is == AUTOPSY_IS_FIFO && end->fd < 0)
        add(line, " whose other end nobody has opened");
    if (waiting)
        add_holders(line, process, end);
}

static void add_ends(struct line *line, const struct autopsy_process *process)
{
    add(line, " of ");
    add_end(line, process, &process->on[0], process->on_count == 1);
    for (unsigned i = 1; i < process->on_count && i < AUTOPSY_ON; i++) {
        add(line, " or ");
        add_end(line, process, &process->on[i], false);
    }
}

/* "for 0.10 s more"; what is very long is for ever. */
static void add_limit(struct line *line, const struct autopsy_process *process)
{
    double seconds = (double)(process->limit / MS) / 1000;

    if (process->limit && seconds < 1e6)
        add(line, process->waits == AUTOPSY_SLEEP ? " for %.2f s%s" : ", for %.2f s%s at the most", seconds, process->rest ? " more" : "");
}

static void add_wait(struct line *line, const struct autopsy_process *process)
{
    static const char *const alone[AUTOPSY_WAITS] = {
        [AUTOPSY_RUNNING] = "running",
        [AUTOPSY_SLEEP] = "sleeps",
        [AUTOPSY_CHILD] = "waits for a child",
        [AUTOPSY_LOCK] = "waits for a lock",
        [AUTOPSY_SIGNAL] = "waits for a signal",
        [AUTOPSY_STOPPED] = "stopped",
        [AUTOPSY_ENDED] = "ended, and its parent has not asked for its status",
        [AUTOPSY_WORKSPACE] = "waits for the workspace's server",
        [AUTOPSY_FIFO] = "waits for a FIFO's other end",
    };
    bool on = process->on_count > 0 && process->waits != AUTOPSY_RUNNING && process->waits != AUTOPSY_STOPPED;

    if (alone[process->waits] && !(process->waits == AUTOPSY_FIFO && on))
        add(line, "%s%s%s", alone[process->waits], process->call[0] && on ? " in " : "", process->call[0] && on ? process->call : "");
    else if (process->call[0])
        add(line, "%s", process->call);
    else if (process->channel[0]) {
        add(line, "waits in ");
        add_bytes(line, process->channel);
    } else
        add(line, "it cannot be told");
    if (on)
        add_ends(line, process);
    add_limit(line, process);
}

/* As it was typed, more or less, and short; where it is not known, its name. */
static void add_command(struct line *line, const struct autopsy_process *process)
{
    char words[AUTOPSY_COMMAND], text[4 * AUTOPSY_COMMAND + 1], shown[SHOWN + 1];
    size_t length = process->command_length < AUTOPSY_COMMAND ? process->command_length : AUTOPSY_COMMAND;

    while (length > 0 && process->command[length - 1] == '\0')
        length--;
    for (size_t i = 0; i < length; i++)
        words[i] = process->command[i] ? process->command[i] : ' ';
    if (length > 0)
        length = plain_text(words, length, text, sizeof text);
    else
        length = plain_text(process->name, strlen(process->name), text, sizeof text);
    plain_text(text, length, shown, sizeof shown);
    add(line, "%s%s", shown, length > SHOWN ? "..." : "");
}

void autopsy_line(const struct autopsy_process *process, bool whole, char *text, size_t size)
{
    struct line line = {.text = text, .size = size};

    text[0] = '\0';
    add_command(&line, process);
    if (process->pid)
        add(&line, " (pid %llu)", (unsigned long long)process->pid);
    add(&line, ": ");
    add_wait(&line, process);
    if (process->timed)
        add(&line, "; %.2f s of CPU in %.1f s", (double)(process->cpu / MS) / 1000, (double)(process->age / MS) / 1000);
    if (whole) {
        add(&line, "; state %c%s", process->state, process->channel[0] ? " in " : "");
        add_bytes(&line, process->channel);
    }
}
