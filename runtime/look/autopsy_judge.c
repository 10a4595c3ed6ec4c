#include "autopsy.h"

#include <string.h>

#include "policy.h"

static bool starts(const char *text, const char *head)
{
    return !strncmp(text, head, strlen(head));
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

static const struct autopsy_limit limits[] = {
    {"poll",         2, FORM_MS},       {"ppoll",           2, FORM_TIMESPEC}, {"select",          4, FORM_TIMEVAL},
    {"pselect6",     4, FORM_TIMESPEC}, {"epoll_wait",      3, FORM_MS},       {"epoll_pwait",     3, FORM_MS},
    {"epoll_pwait2", 3, FORM_TIMESPEC}, {"nanosleep",       0, FORM_TIMESPEC}, {"clock_nanosleep", 2, FORM_CLOCK},
    {"semtimedop",   3, FORM_TIMESPEC}, {"rt_sigtimedwait", 2, FORM_TIMESPEC},
};

/* Where the call is not known, the function that waits still says something: those that wait for one kind of thing only. */
static const struct {
    const char *head;
    enum autopsy_wait waits;
} channels[] = {
    {"anon_pipe_", AUTOPSY_PIPE}, {"pipe_read", AUTOPSY_PIPE}, {"pipe_write", AUTOPSY_PIPE}, {"fifo_pipe_", AUTOPSY_FIFO},
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

const struct autopsy_limit *autopsy_limit(const char *name)
{
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (!strcmp(limits[i].name, name))
            return &limits[i];
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

bool autopsy_calm(const struct autopsy_process *seen)
{
    return seen->state != 'D' && !autopsy_asks_server(seen->channel);
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

/* Who polls one descriptor only waits for that, as shells do that read a line. */
static enum autopsy_wait of_polled(const struct autopsy_process *seen)
{
    enum autopsy_wait one = seen->on_count == 1 ? of_kind(seen->on[0].is) : AUTOPSY_POLL;

    return one == AUTOPSY_PIPE || one == AUTOPSY_FIFO || one == AUTOPSY_TTY || one == AUTOPSY_CALLER ? one : AUTOPSY_POLL;
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
        return seen->on_count ? of_polled(seen) : AUTOPSY_SLEEP;
    case ACT_EPOLL:
        return of_polled(seen);
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

unsigned autopsy_rank(enum autopsy_wait wait)
{
    /* From what tells least: most threads of most programs wait for others of them, by a lock. */
    static const enum autopsy_wait order[AUTOPSY_WAITS] = {
        AUTOPSY_ENDED, AUTOPSY_OTHER, AUTOPSY_LOCK, AUTOPSY_SIGNAL, AUTOPSY_SLEEP, AUTOPSY_CHILD,   AUTOPSY_POLL,    AUTOPSY_SOCKET,
        AUTOPSY_FILE,  AUTOPSY_TTY,   AUTOPSY_FIFO, AUTOPSY_PIPE,   AUTOPSY_CALLER, AUTOPSY_STOPPED, AUTOPSY_RUNNING, AUTOPSY_WORKSPACE,
    };
    unsigned place = 0;

    while (place < AUTOPSY_WAITS && order[place] != wait)
        place++;
    return place;
}
