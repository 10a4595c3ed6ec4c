#include "autopsy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "policy.h"
#include "seccomp_filter.h"

/* A number in base 10 or 16 at *at, which goes behind it. */
static bool number(const char **at, unsigned base, uint64_t *out)
{
    const char *begin = *at;
    uint64_t value = 0;

    for (;; (*at)++) {
        unsigned digit = **at >= '0' && **at <= '9' ? (unsigned)(**at - '0') : **at >= 'a' && **at <= 'f' ? (unsigned)(**at - 'a') + 10 : 16;
        if (digit >= base)
            break;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return *at > begin;
}

static bool starts(const char *text, const char *head)
{
    return !strncmp(text, head, strlen(head));
}

/* Fields of stat, numbered as in proc(5). */
enum { STAT_BEGIN = 4, STAT_USER = 14, STAT_SYSTEM = 15, STAT_START = 22, STAT_ARGS = 48, STAT_ARGS_END = 49, STAT_LAST = 52 };

bool autopsy_stat(const char *text, struct autopsy_stat *stat)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')'); /* the name may hold any of these; behind it are numbers */
    uint64_t fields[STAT_LAST + 1] = {0};
    const char *at;
    int field = STAT_BEGIN;

    if (!open || !close || close < open || close[1] != ' ' || close[2] < 'A' || close[2] > 'z' || close[3] != ' ')
        return false;
    for (at = close + 4; field <= STAT_LAST; field++) {
        at += *at == '-';
        if (!number(&at, 10, &fields[field]))
            return false;
        if (*at != ' ')
            break;
        at++;
    }
    if (field < STAT_START || (field <= STAT_LAST && *at != '\n')) /* cut off; a later kernel may have more */
        return false;
    size_t length = (size_t)(close - open - 1);
    *stat = (struct autopsy_stat){
        .state = close[2],
        .user_ticks = fields[STAT_USER],
        .system_ticks = fields[STAT_SYSTEM],
        .start_ticks = fields[STAT_START],
        .args_begin = fields[STAT_ARGS],
        .args_end = fields[STAT_ARGS_END],
    };
    memcpy(stat->name, open + 1, length < AUTOPSY_NAME ? length : AUTOPSY_NAME);
    return true;
}

bool autopsy_call(const char *text, struct autopsy_call *call)
{
    struct autopsy_call found = {.number = -1};
    uint64_t value, count = 0;

    if (!strcmp(text, "running\n")) {
        found.running = true;
        *call = found;
        return true;
    }
    bool none = *text == '-';
    text += none;
    if (!number(&text, 10, &value) || value > 0xffff)
        return false;
    if (!none)
        found.number = (int)value;
    while (starts(text, " 0x")) {
        text += 3;
        if (!number(&text, 16, &value))
            return false;
        if (!none && count < 6)
            found.args[count] = value;
        count++;
    }
    if (*text != '\n' || count != (none ? 2 : 8)) /* arguments, stack and instruction pointer */
        return false;
    *call = found;
    return true;
}

/* The text behind `\nkey:`, and the tabs that follow; NULL: there is no such line. No line break of a name comes through unescaped. */
static const char *line_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? at + strlen(key) : NULL;
}

static bool number_line(const char *text, const char *key, uint64_t *out)
{
    const char *at = line_of(text, key);

    return at && number(&at, 10, out) && *at == '\n';
}

bool autopsy_status(const char *text, struct autopsy_status *status)
{
    struct autopsy_status found = {0};
    const char *state = line_of(text, "\nState:\t"), *at = line_of(text, "\nNSpid:");

    if (!state || *state < 'A' || *state > 'z' || state[1] != ' ' || !number_line(text, "\nPPid:\t", &found.parent) ||
        !number_line(text, "\nThreads:\t", &found.threads) || !at)
        return false;
    while (*at == '\t') { /* from our namespace inwards */
        at++;
        if (!number(&at, 10, &found.inner))
            return false;
    }
    if (*at != '\n' || found.inner == 0)
        return false;
    found.state = *state;
    *status = found;
    return true;
}

pid_t autopsy_next_pid(const char **at)
{
    const char *next = *at;
    uint64_t value;

    if (!number(&next, 10, &value) || *next != '\n' || value > INT32_MAX)
        return 0;
    *at = next + 1;
    return (pid_t)value;
}

int autopsy_next_target(const char **at)
{
    const char *line = strstr(*at, "tfd:");
    uint64_t value;

    if (!line)
        return -1;
    line += strlen("tfd:");
    line += strspn(line, " ");
    if (!number(&line, 10, &value) || value > INT32_MAX)
        return -1;
    *at = line;
    return (int)value;
}

enum autopsy_kind autopsy_kind(const char *link, mode_t mode, dev_t device, uint64_t *inode)
{
    static const struct {
        const char *head;
        enum autopsy_kind kind;
    } heads[] = {
        {"anon_inode:[eventpoll]", AUTOPSY_IS_EVENTPOLL},
        {"anon_inode:[eventfd]", AUTOPSY_IS_EVENTFD},
        {"anon_inode:[timerfd]", AUTOPSY_IS_TIMERFD},
        {"anon_inode:[signalfd]", AUTOPSY_IS_SIGNALFD},
        {"anon_inode:inotify", AUTOPSY_IS_INOTIFY},
    };
    uint64_t value;

    if (starts(link, "pipe:[") || starts(link, "socket:[")) {
        const char *at = strchr(link, '[') + 1;
        if (!number(&at, 10, &value) || strcmp(at, "]"))
            return AUTOPSY_IS_OTHER;
        *inode = value;
        return starts(link, "pipe") ? AUTOPSY_IS_PIPE : AUTOPSY_IS_SOCKET;
    }
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        if (starts(link, heads[i].head))
            return heads[i].kind;
    switch (*link == '/' ? mode & S_IFMT : 0) {
    case S_IFREG:
        return AUTOPSY_IS_FILE;
    case S_IFDIR:
        return AUTOPSY_IS_DIRECTORY;
    case S_IFIFO:
        return AUTOPSY_IS_FIFO;
    case S_IFCHR: /* Documentation/admin-guide/devices.txt: consoles and serial lines, /dev/tty, pseudoterminals */
        return major(device) == 4 || (major(device) == 5 && minor(device) < 2) || (major(device) >= 128 && major(device) <= 143)
                   ? AUTOPSY_IS_TTY
                   : AUTOPSY_IS_DEVICE;
    default:
        return *link == '/' && !mode ? AUTOPSY_IS_UNKNOWN : AUTOPSY_IS_OTHER;
    }
}

/* "FROM-TO rwxp OFFSET MAJOR:MINOR INODE   PATH"; no line break of a path comes through unescaped. Inode 0 is no file. */
uint64_t autopsy_at_hand(const char *maps, uint64_t address, bool none)
{
    for (const char *line = maps, *end; (end = strchr(line, '\n')); line = end + 1) { /* one without its end may be cut off */
        uint64_t from, to, inode;
        const char *at = line;
        if (!number(&at, 16, &from) || *at++ != '-' || !number(&at, 16, &to) || address < from || address >= to)
            continue;
        for (int field = 0; field < 4 && at; field++)
            at = (at = memchr(at, ' ', (size_t)(end - at))) ? at + 1 : NULL;
        if (!at || !number(&at, 10, &inode))
            return 0;
        at += strspn(at, " ");
        return inode == 0 || (!none && !starts(at, POLICY_WORKSPACE)) ? to - address : 0;
    }
    return 0;
}

const char *autopsy_call_name(int number_)
{
    return number_ >= 0 && number_ < seccomp_filter_names_len ? seccomp_filter_names[number_] : NULL;
}
