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
        {"socket:[", AUTOPSY_IS_SOCKET},
        {"anon_inode:[eventpoll]", AUTOPSY_IS_EVENTPOLL},
        {"anon_inode:[eventfd]", AUTOPSY_IS_EVENTFD},
        {"anon_inode:[timerfd]", AUTOPSY_IS_TIMERFD},
        {"anon_inode:[signalfd]", AUTOPSY_IS_SIGNALFD},
        {"anon_inode:inotify", AUTOPSY_IS_INOTIFY},
    };
    uint64_t value;

    if (starts(link, "pipe:[")) {
        const char *at = link + strlen("pipe:[");
        if (!number(&at, 10, &value) || strcmp(at, "]"))
            return AUTOPSY_IS_OTHER;
        *inode = value;
        return AUTOPSY_IS_PIPE;
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

/* clang-format off */
static const struct autopsy_row rows[] = {
    {"read",              ACT_FD,     0, -1, -1, false}, {"write",             ACT_FD,     0, -1, -1, true},
    {"readv",             ACT_FD,     0, -1, -1, false}, {"writev",            ACT_FD,     0, -1, -1, true},
    {"pread64",           ACT_FD,     0, -1, -1, false}, {"pwrite64",          ACT_FD,     0, -1, -1, true},
    {"preadv",            ACT_FD,     0, -1, -1, false}, {"pwritev",           ACT_FD,     0, -1, -1, true},
    {"preadv2",           ACT_FD,     0, -1, -1, false}, {"pwritev2",          ACT_FD,     0, -1, -1, true},
    {"recvfrom",          ACT_FD,     0, -1, -1, false}, {"sendto",            ACT_FD,     0, -1, -1, true},
    {"recvmsg",           ACT_FD,     0, -1, -1, false}, {"sendmsg",           ACT_FD,     0, -1, -1, true},
    {"recvmmsg",          ACT_FD,     0, -1, -1, false}, {"sendmmsg",          ACT_FD,     0, -1, -1, true},
    {"accept",            ACT_FD,     0, -1, -1, false}, {"connect",           ACT_FD,     0, -1, -1, true},
    {"accept4",           ACT_FD,     0, -1, -1, false}, {"shutdown",          ACT_FD,     0, -1, -1, true},
    {"getdents64",        ACT_FD,     0, -1, -1, false}, {"fsync",             ACT_FD,     0, -1, -1, true},
    {"fstat",             ACT_FD,     0, -1, -1, false}, {"fdatasync",         ACT_FD,     0, -1, -1, true},
    {"lseek",             ACT_FD,     0, -1, -1, false}, {"ftruncate",         ACT_FD,     0, -1, -1, true},
    {"ioctl",             ACT_FD,     0, -1, -1, false}, {"fallocate",         ACT_FD,     0, -1, -1, true},
    {"fchmod",            ACT_FD,     0, -1, -1, true},  {"syncfs",            ACT_FD,     0, -1, -1, true},
    {"fchown",            ACT_FD,     0, -1, -1, true},  {"sync_file_range",   ACT_FD,     0, -1, -1, true},
    {"fchdir",            ACT_FD,     0, -1, -1, false}, {"fstatfs",           ACT_FD,     0, -1, -1, false},
    {"close",             ACT_FD,     0, -1, -1, true},  {"copy_file_range",   ACT_FD,     0, -1, -1, false},
    {"dup2",              ACT_FD,     1, -1, -1, true},  {"dup3",              ACT_FD,     1, -1, -1, true},
    {"sendfile",          ACT_FD,     0, -1, -1, true},  {"mmap",              ACT_FD,     4, -1, -1, false},
    {"open",              ACT_PATH,  -1,  0, -1, false}, {"openat",            ACT_PATH,  -1,  1,  0, false},
    {"openat2",           ACT_PATH,  -1,  1,  0, false}, {"creat",             ACT_PATH,  -1,  0, -1, true},
    {"stat",              ACT_PATH,  -1,  0, -1, false}, {"newfstatat",        ACT_PATH,  -1,  1,  0, false},
    {"lstat",             ACT_PATH,  -1,  0, -1, false}, {"statx",             ACT_PATH,  -1,  1,  0, false},
    {"access",            ACT_PATH,  -1,  0, -1, false}, {"faccessat",         ACT_PATH,  -1,  1,  0, false},
    {"faccessat2",        ACT_PATH,  -1,  1,  0, false}, {"chdir",             ACT_PATH,  -1,  0, -1, false},
    {"readlink",          ACT_PATH,  -1,  0, -1, false}, {"readlinkat",        ACT_PATH,  -1,  1,  0, false},
    {"statfs",            ACT_PATH,  -1,  0, -1, false}, {"execve",            ACT_PATH,  -1,  0, -1, false},
    {"execveat",          ACT_PATH,  -1,  1,  0, false}, {"truncate",          ACT_PATH,  -1,  0, -1, true},
    {"mkdir",             ACT_PATH,  -1,  0, -1, true},  {"mkdirat",           ACT_PATH,  -1,  1,  0, true},
    {"rmdir",             ACT_PATH,  -1,  0, -1, true},  {"unlink",            ACT_PATH,  -1,  0, -1, true},
    {"unlinkat",          ACT_PATH,  -1,  1,  0, true},  {"rename",            ACT_PATH,  -1,  0, -1, true},
    {"renameat",          ACT_PATH,  -1,  1,  0, true},  {"renameat2",         ACT_PATH,  -1,  1,  0, true},
    {"link",              ACT_PATH,  -1,  0, -1, true},  {"linkat",            ACT_PATH,  -1,  1,  0, true},
    {"symlink",           ACT_PATH,  -1,  1, -1, true},  {"symlinkat",         ACT_PATH,  -1,  2,  1, true},
    {"chmod",             ACT_PATH,  -1,  0, -1, true},  {"fchmodat",          ACT_PATH,  -1,  1,  0, true},
    {"chown",             ACT_PATH,  -1,  0, -1, true},  {"fchownat",          ACT_PATH,  -1,  1,  0, true},
    {"lchown",            ACT_PATH,  -1,  0, -1, true},  {"utimensat",         ACT_PATH,  -1,  1,  0, true},
    {"mknod",             ACT_PATH,  -1,  0, -1, true},  {"mknodat",           ACT_PATH,  -1,  1,  0, true},
    {"poll",              ACT_POLL,  -1, -1, -1, false}, {"ppoll",             ACT_POLL,  -1, -1, -1, false},
    {"select",            ACT_SELECT, -1, -1, -1, false}, {"pselect6",         ACT_SELECT, -1, -1, -1, false},
    {"epoll_wait",        ACT_EPOLL,  0, -1, -1, false}, {"epoll_pwait",       ACT_EPOLL,  0, -1, -1, false},
    {"epoll_pwait2",      ACT_EPOLL,  0, -1, -1, false},
    {"wait4",             ACT_CHILD, -1, -1, -1, false}, {"waitid",            ACT_CHILD, -1, -1, -1, false},
    {"vfork",             ACT_CHILD, -1, -1, -1, false}, /* until it calls execve(2) */
    {"nanosleep",         ACT_SLEEP, -1, -1, -1, false}, {"clock_nanosleep",   ACT_SLEEP, -1, -1, -1, false},
    {"futex",             ACT_LOCK,  -1, -1, -1, false}, {"futex_waitv",       ACT_LOCK,  -1, -1, -1, false},
    {"flock",             ACT_LOCK,   0, -1, -1, false}, {"fcntl",             ACT_LOCK,   0, -1, -1, false},
    {"semop",             ACT_LOCK,  -1, -1, -1, false}, {"semtimedop",        ACT_LOCK,  -1, -1, -1, false},
    {"pause",             ACT_SIGNAL, -1, -1, -1, false}, {"rt_sigsuspend",    ACT_SIGNAL, -1, -1, -1, false},
    {"rt_sigtimedwait",   ACT_SIGNAL, -1, -1, -1, false},
};

/* Where the call is not known, the function that waits still says something: those that wait for one kind of thing only. */
static const struct {
    const char *head;
    enum autopsy_wait waits;
} channels[] = {
    {"wait_for_partner", AUTOPSY_FIFO}, {"fifo_open", AUTOPSY_FIFO}, {"do_wait", AUTOPSY_CHILD}, {"hrtimer_nanosleep", AUTOPSY_SLEEP},
    {"do_nanosleep", AUTOPSY_SLEEP}, {"futex_", AUTOPSY_LOCK}, {"poll_schedule_timeout", AUTOPSY_POLL}, {"do_sys_poll", AUTOPSY_POLL},
    {"do_select", AUTOPSY_POLL}, {"do_poll", AUTOPSY_POLL}, {"ep_poll", AUTOPSY_POLL}, {"n_tty_read", AUTOPSY_TTY},
    {"inet_csk_accept", AUTOPSY_SOCKET}, {"unix_", AUTOPSY_SOCKET}, {"sigsuspend", AUTOPSY_SIGNAL}, {"do_sigtimedwait", AUTOPSY_SIGNAL},
};

/* FUSE, NFS, SMB, Ceph, 9p, virtiofs and what they share. */
static const char *const servers[] = {"request_wait_answer", "fuse_", "__fuse_", "nfs", "rpc_", "__rpc_", "cifs_", "smb2_", "SMB2_",
                                      "wait_for_response", "ceph_", "p9_", "v9fs_", "netfs_", "virtio_fs_", "afs_"};
/* clang-format on */

const struct autopsy_row *autopsy_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    return NULL;
}

bool autopsy_in_workspace(const char *path)
{
    size_t length = strlen(POLICY_WORKSPACE);

    return !strncmp(path, POLICY_WORKSPACE, length) && (path[length] == '/' || path[length] == '\0');
}

bool autopsy_asks_server(const char *channel)
{
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++)
        if (starts(channel, servers[i]))
            return true;
    return false;
}

static enum autopsy_wait of_channel(const char *channel)
{
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++)
        if (starts(channel, channels[i].head))
            return channels[i].waits;
    return AUTOPSY_OTHER;
}

static enum autopsy_wait of_kind(enum autopsy_kind kind)
{
    static const enum autopsy_wait waits[AUTOPSY_KINDS] = {
        [AUTOPSY_IS_UNKNOWN] = AUTOPSY_OTHER,   [AUTOPSY_IS_PIPE] = AUTOPSY_PIPE,     [AUTOPSY_IS_FIFO] = AUTOPSY_FIFO,
        [AUTOPSY_IS_FILE] = AUTOPSY_FILE,       [AUTOPSY_IS_DIRECTORY] = AUTOPSY_FILE, [AUTOPSY_IS_TTY] = AUTOPSY_TTY,
        [AUTOPSY_IS_DEVICE] = AUTOPSY_OTHER,    [AUTOPSY_IS_SOCKET] = AUTOPSY_SOCKET, [AUTOPSY_IS_EVENTPOLL] = AUTOPSY_POLL,
        [AUTOPSY_IS_EVENTFD] = AUTOPSY_OTHER,   [AUTOPSY_IS_TIMERFD] = AUTOPSY_SLEEP, [AUTOPSY_IS_SIGNALFD] = AUTOPSY_SIGNAL,
        [AUTOPSY_IS_INOTIFY] = AUTOPSY_OTHER,   [AUTOPSY_IS_STDIN] = AUTOPSY_CALLER,  [AUTOPSY_IS_STDOUT] = AUTOPSY_CALLER,
        [AUTOPSY_IS_STDERR] = AUTOPSY_CALLER,   [AUTOPSY_IS_OTHER] = AUTOPSY_OTHER,
    };

    return waits[kind];
}

static enum autopsy_wait of_path(const struct autopsy_process *seen)
{
    enum autopsy_wait waits = of_channel(seen->channel);

    return waits == AUTOPSY_FIFO ? AUTOPSY_FIFO : seen->state == 'D' ? AUTOPSY_FILE : AUTOPSY_OTHER;
}

static enum autopsy_wait of_call(const struct autopsy_process *seen, const struct autopsy_row *row)
{
    switch (row->act) {
    case ACT_FD:
        return seen->on_count ? of_kind(seen->on[0].is) : of_channel(seen->channel);
    case ACT_PATH:
        return of_path(seen);
    case ACT_POLL:
    case ACT_SELECT:
        return seen->on_count ? AUTOPSY_POLL : AUTOPSY_SLEEP;
    case ACT_EPOLL:
        return AUTOPSY_POLL;
    case ACT_CHILD:
        return AUTOPSY_CHILD;
    case ACT_SLEEP:
        return AUTOPSY_SLEEP;
    case ACT_LOCK:
        return AUTOPSY_LOCK;
    case ACT_SIGNAL:
        return AUTOPSY_SIGNAL;
    }
    return AUTOPSY_OTHER;
}

enum autopsy_wait autopsy_judge(const struct autopsy_process *seen, bool may_block)
{
    const struct autopsy_row *row = seen->call[0] ? autopsy_row(seen->call) : NULL;
    bool files = row && (row->act == ACT_FD || row->act == ACT_PATH);

    if (seen->state == 'Z' || seen->state == 'X')
        return AUTOPSY_ENDED;
    if (seen->state == 'T' || seen->state == 't')
        return AUTOPSY_STOPPED;
    if (may_block && (seen->held || autopsy_asks_server(seen->channel)))
        return AUTOPSY_WORKSPACE;
    if (seen->state == 'R')
        return AUTOPSY_RUNNING;
    if (row && row->act == ACT_PATH && of_path(seen) == AUTOPSY_FIFO)
        return AUTOPSY_FIFO;
    if (may_block && files && seen->on_count && seen->on[0].is != AUTOPSY_IS_FIFO && autopsy_in_workspace(seen->on[0].path))
        return AUTOPSY_WORKSPACE;
    return row ? of_call(seen, row) : of_channel(seen->channel);
}

static unsigned place_in(const enum autopsy_wait *order, enum autopsy_wait wait)
{
    unsigned place = 0;

    while (place < AUTOPSY_WAITS && order[place] != wait)
        place++;
    return place;
}

unsigned autopsy_rank(enum autopsy_wait wait)
{
    /* From what tells least: most threads of most programs wait for others of them, by a lock. */
    static const enum autopsy_wait order[AUTOPSY_WAITS] = {
        AUTOPSY_ENDED, AUTOPSY_OTHER, AUTOPSY_LOCK, AUTOPSY_SIGNAL, AUTOPSY_SLEEP, AUTOPSY_CHILD,   AUTOPSY_POLL,    AUTOPSY_SOCKET,
        AUTOPSY_FILE,  AUTOPSY_TTY,   AUTOPSY_FIFO, AUTOPSY_PIPE,   AUTOPSY_CALLER, AUTOPSY_STOPPED, AUTOPSY_RUNNING, AUTOPSY_WORKSPACE,
    };

    return place_in(order, wait);
}

unsigned autopsy_telling(enum autopsy_wait wait)
{
    /* A shell waits for its children, and the end of a pipeline for its beginning: both wait for another of the run. */
    static const enum autopsy_wait order[AUTOPSY_WAITS] = {
        AUTOPSY_ENDED, AUTOPSY_CHILD, AUTOPSY_OTHER,  AUTOPSY_PIPE, AUTOPSY_SIGNAL, AUTOPSY_LOCK,    AUTOPSY_SLEEP,   AUTOPSY_FILE,
        AUTOPSY_POLL,  AUTOPSY_SOCKET, AUTOPSY_TTY,   AUTOPSY_FIFO, AUTOPSY_CALLER, AUTOPSY_STOPPED, AUTOPSY_RUNNING, AUTOPSY_WORKSPACE,
    };

    return place_in(order, wait);
}
