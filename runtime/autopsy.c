#include "autopsy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"
#include "sys.h"

/* Most of /proc/PID waits for somebody: stat, wchan, syscall, mem, maps and the links (fd, cwd) for the lock of a process's execve, mem and
 * maps for that of its memory. It may hold either while a silent server has it, for ever: execve closes descriptors, munmap and mmap of a
 * file may write. These waits end with SIGKILL, so they are a helper's. He who finds himself waiting is ended, and the next one passes over
 * the process he was at. status, comm, fdinfo and the names in fd take no such lock and are read first, of all; whatever is found stands in
 * a shared page at once. A page that lies in a file of the workspace is fetched from its server, and that wait does not end: so no such
 * memory is read. */

#define MS ((uint64_t)1000000)
#define WITHIN (100 * MS)      /* all of it */
#define FIRST_WITHIN (60 * MS) /* the first helper, when it turns out to wait */
#define NEXT_WITHIN (20 * MS)
#define TO_END (5 * MS)        /* that a helper has left when he begins nothing new */

enum { CANDIDATES = 128, THREADS = 32, DESCRIPTORS = 64, TEXT = 64 * 1024, HELD = 3 };

struct view { /* one process */
    pid_t pid;
    int dir; /* /proc/PID, opened once: whatever is read below it is about this process or nobody */
    bool listed;
    bool parent; /* of another */
    bool held;   /* a helper has waited there: only what takes no lock is read */
    struct autopsy_status status;
    uint64_t args_begin, args_end;
    int memory; /* -1: not opened, -2: refused */
};

struct notes { /* shared: what the helpers leave behind */
    struct autopsy found;
    pid_t at; /* whom a helper is reading of what may wait */
};

struct job {
    const struct autopsy_subject *subject;
    struct notes *notes;
    pid_t held[HELD]; /* where others have waited */
    unsigned held_count;
    uint64_t by;
};

struct look {
    const struct job *job;
    const struct autopsy_subject *subject;
    struct autopsy *found;
    bool may_block;      /* the workspace has a server */
    bool root_may_block; /* the rootfs too */
    unsigned count;
    struct view views[CANDIDATES];
    char text[TEXT];
};

static bool late(const struct look *look)
{
    return sys_now() >= look->job->by;
}

/* As much of a file as fits, NUL behind it; its length or -1. */
static ssize_t read_head(int dir, const char *path, char *text, size_t size)
{
    SYS_CLOSES int fd = SYS_AGAIN(openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
    size_t length = 0;
    ssize_t got = 0;

    while (fd >= 0 && length + 1 < size && (got = SYS_AGAIN(read(fd, text + length, size - 1 - length))) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return fd < 0 || got < 0 ? -1 : (ssize_t)length;
}

static bool read_link(int dir, const char *path, char *text, size_t size)
{
    ssize_t got = SYS_AGAIN(readlinkat(dir, path, text, size - 1));

    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static void read_channel(int dir, char channel[AUTOPSY_CHANNEL + 1])
{
    if (sys_read_file(dir, "wchan", channel, AUTOPSY_CHANNEL + 1) <= 0 || !strcmp(channel, "0"))
        channel[0] = '\0';
}

/* ---- who there is ---- */

static void each_pid(struct look *look, void (*met)(struct look *look, pid_t pid))
{
    const char *at = look->text;

    if (read_head(HELPER_KEPT, "cgroup.procs", look->text, sizeof look->text) <= 0)
        return;
    for (pid_t pid; (pid = autopsy_next_pid(&at)) > 0;)
        met(look, pid);
}

static bool is_held(const struct job *job, pid_t pid)
{
    for (unsigned i = 0; i < job->held_count; i++)
        if (job->held[i] == pid)
            return true;
    return false;
}

static void meet(struct look *look, pid_t pid)
{
    struct view *view = &look->views[look->count];
    char path[32];

    if (pid == look->subject->init)
        return;
    look->found->processes++;
    if (look->count == CANDIDATES || late(look))
        return;
    snprintf(path, sizeof path, "/proc/%d", pid);
    *view = (struct view){.pid = pid, .memory = -1, .held = is_held(look->job, pid),
                          .dir = SYS_AGAIN(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC))};
    look->count += view->dir >= 0;
}

static void meet_again(struct look *look, pid_t pid)
{
    for (unsigned i = 0; i < look->count; i++)
        look->views[i].listed |= look->views[i].pid == pid;
}

/* False: it is gone, or it never was of the leaf. */
static bool greet(struct view *view)
{
    char text[4096];

    return view->listed && sys_read_file(view->dir, "status", text, sizeof text) > 0 && autopsy_status(text, &view->status);
}

/* A pid may be given again between the list and the open of /proc/PID. It is in the list after the open as well, and what was opened
 * still is there after that: then it is the same. */
static void gather(struct look *look)
{
    unsigned kept = 0;

    each_pid(look, meet);
    each_pid(look, meet_again);
    for (unsigned i = 0; i < look->count; i++) {
        if (greet(&look->views[i]))
            look->views[kept++] = look->views[i];
        else
            close(look->views[i].dir);
    }
    look->count = kept;
    for (unsigned i = 0; i < kept; i++)
        for (unsigned j = 0; j < kept; j++)
            look->views[i].parent |= look->views[j].status.parent == (uint64_t)look->views[i].pid;
}

/* The command; then whoever is held or busy; then the ends of the tree before its forks. */
static unsigned weight(const struct view *view)
{
    char state = view->status.state;

    return view->status.inner == 2 ? 4 : view->held || state == 'D' ? 3 : state == 'R' ? 2 : !view->parent;
}

static int by_pid(const void *one, const void *other)
{
    const struct view *a = one, *b = other;

    return a->status.inner != b->status.inner ? (a->status.inner < b->status.inner ? -1 : 1) : 0;
}

static int by_weight(const void *one, const void *other)
{
    unsigned a = weight(one), b = weight(other);

    return a != b ? (a > b ? -1 : 1) : by_pid(one, other);
}

static uint64_t inner_pid(const struct look *look, uint64_t pid)
{
    for (unsigned i = 0; i < look->count; i++)
        if ((uint64_t)look->views[i].pid == pid)
            return look->views[i].status.inner;
    return pid && pid == (uint64_t)look->subject->init ? 1 : 0;
}

static void introduce(const struct look *look, const struct view *view, struct autopsy_process *to)
{
    ssize_t got = read_head(view->dir, "comm", to->name, sizeof to->name);

    to->name[got > 0 ? got - (to->name[got - 1] == '\n') : 0] = '\0';
    to->host = view->pid;
    to->held = view->held;
    to->pid = view->status.inner;
    to->parent = inner_pid(look, view->status.parent);
    to->state = view->status.state;
    to->threads = view->status.threads;
    to->waits = autopsy_judge(to, look->may_block);
}

/* ---- its memory ---- */

/* Up to size bytes; how many there are. */
static size_t peek(struct look *look, struct view *view, uint64_t address, void *bytes, size_t size)
{
    if (look->may_block || look->root_may_block) {
        bool known = read_head(view->dir, "maps", look->text, sizeof look->text) > 0;
        uint64_t sound = known ? autopsy_at_hand(look->text, address, look->root_may_block) : 0;
        size = sound < size ? (size_t)sound : size;
    }
    if (view->memory == -1) {
        view->memory = SYS_AGAIN(openat(view->dir, "mem", O_RDONLY | O_CLOEXEC));
        if (view->memory < 0)
            view->memory = -2;
    }
    if (view->memory < 0 || address > INT64_MAX || size == 0)
        return 0;
    ssize_t got = SYS_AGAIN(pread(view->memory, bytes, size, (off_t)address));
    return got > 0 ? (size_t)got : 0;
}

static void read_command(struct look *look, struct view *view, struct autopsy_process *to)
{
    uint64_t begin = view->args_begin, end = view->args_end;

    if (begin && begin < end)
        to->command_length = (unsigned)peek(look, view, begin, to->command, end - begin < AUTOPSY_COMMAND ? end - begin : AUTOPSY_COMMAND);
}

/* ---- what it waits on ---- */

static void name_descriptor(const struct look *look, const struct view *view, int fd, struct autopsy_end *end)
{
    char path[32], link[AUTOPSY_PATH + 1];
    struct stat file = {0};

    snprintf(path, sizeof path, "fd/%d", fd);
    end->fd = fd;
    if (!read_link(view->dir, path, link, sizeof link))
        return;
    if (link[0] == '/') {
        memcpy(end->path, link, sizeof end->path);
        if ((look->may_block && autopsy_in_workspace(link)) || fstatat(view->dir, path, &file, AT_NO_AUTOMOUNT) < 0)
            file.st_mode = 0;
    }
    end->is = autopsy_kind(link, file.st_mode, file.st_rdev, &end->inode);
    for (int stream = 0; stream < 3 && end->is == AUTOPSY_IS_PIPE; stream++)
        if (end->inode == look->subject->streams[stream])
            end->is = (enum autopsy_kind)(AUTOPSY_IS_STDIN + stream);
}

static void add_descriptor(const struct look *look, const struct view *view, int fd, bool writes, struct autopsy_process *seen)
{
    if (fd < 0 || seen->on_count == AUTOPSY_ON)
        return;
    struct autopsy_end *end = &seen->on[seen->on_count++];
    *end = (struct autopsy_end){.writes = writes};
    name_descriptor(look, view, fd, end);
}

/* Cut where it does not fit. */
static void append(char path[AUTOPSY_PATH + 1], const char *more)
{
    size_t length = strlen(path), wanted = strlen(more);

    memcpy(path + length, more, wanted < AUTOPSY_PATH - length ? wanted : AUTOPSY_PATH - length);
}

static void add_path(struct look *look, struct view *view, const struct autopsy_call *call, const struct autopsy_row *row,
                     struct autopsy_process *seen)
{
    struct autopsy_end *end = &seen->on[0];
    char asked[AUTOPSY_PATH + 1], base[AUTOPSY_PATH + 1] = "", where[32] = "cwd";
    size_t got = peek(look, view, call->args[row->path], asked, AUTOPSY_PATH);
    int directory = row->directory < 0 ? AT_FDCWD : (int)call->args[row->directory];

    *end = (struct autopsy_end){.fd = -1, .writes = row->writes};
    seen->on_count = 1;
    asked[got] = '\0';
    if (got == 0)
        return;
    if (asked[0] != '/') {
        if (directory != AT_FDCWD)
            snprintf(where, sizeof where, "fd/%d", directory);
        if (!read_link(view->dir, where, base, sizeof base))
            return;
    }
    append(end->path, base);
    if (base[0] && base[1] && asked[0])
        append(end->path, "/");
    append(end->path, asked);
}

static void add_polled(struct look *look, struct view *view, const struct autopsy_call *call, struct autopsy_process *seen)
{
    struct pollfd entries[AUTOPSY_POLLED];
    uint64_t wanted = call->args[1] < AUTOPSY_POLLED ? call->args[1] : AUTOPSY_POLLED;
    size_t count = wanted ? peek(look, view, call->args[0], entries, (size_t)wanted * sizeof *entries) / sizeof *entries : 0;

    for (size_t i = 0; i < count; i++)
        add_descriptor(look, view, entries[i].fd, (entries[i].events & (POLLIN | POLLOUT)) == POLLOUT, seen);
}

static void add_selected(struct look *look, struct view *view, const struct autopsy_call *call, struct autopsy_process *seen)
{
    uint64_t words[2][16] = {{0}};
    int most = call->args[0] < 1024 ? (int)call->args[0] : 1024;

    for (int set = 0; set < 2; set++)
        if (call->args[set + 1] && peek(look, view, call->args[set + 1], words[set], (size_t)(most + 63) / 64 * 8) == 0)
            memset(words[set], 0, sizeof words[set]);
    for (int fd = 0; fd < most; fd++)
        for (int set = 0; set < 2; set++)
            if (words[set][fd / 64] >> fd % 64 & 1)
                add_descriptor(look, view, fd, set == 1, seen);
}

/* Not where a descriptor may have a silent server: whoever adds such a one holds the lock that fdinfo takes. */
static void add_targets(struct look *look, const struct view *view, int fd, struct autopsy_process *seen)
{
    char path[32];
    const char *at = look->text;

    snprintf(path, sizeof path, "fdinfo/%d", fd);
    if (!look->may_block && fd >= 0 && read_head(view->dir, path, look->text, sizeof look->text) > 0)
        for (int target; (target = autopsy_next_target(&at)) >= 0 && seen->on_count < AUTOPSY_ON;)
            add_descriptor(look, view, target, false, seen);
    if (seen->on_count == 0)
        add_descriptor(look, view, fd, false, seen);
}

/* Nothing of it holds its memory's lock, as far as can be told. */
static bool calm(const struct autopsy_process *seen)
{
    return seen->state != 'D' && !autopsy_asks_server(seen->channel);
}

/* Calls that have two descriptors: (to, from). Who reads from a file waits for the other one. */
static void add_sent(const struct look *look, const struct view *view, const struct autopsy_call *call, struct autopsy_process *seen)
{
    add_descriptor(look, view, (int)call->args[1], false, seen);
    if (seen->on_count && seen->on[0].is == AUTOPSY_IS_FILE) {
        seen->on_count = 0;
        add_descriptor(look, view, (int)call->args[0], true, seen);
    }
}

static void resolve(struct look *look, struct view *view, const struct autopsy_call *call, struct autopsy_process *seen)
{
    const struct autopsy_row *row = autopsy_row(seen->call);
    bool sound = calm(seen);

    if (!row)
        return;
    if (!strcmp(row->name, "sendfile"))
        add_sent(look, view, call, seen);
    else if (row->act == ACT_PATH && row->path >= 0)
        add_path(look, view, call, row, seen); /* whoever walks a path does not hold his memory's lock */
    else if (row->act == ACT_POLL && sound)
        add_polled(look, view, call, seen);
    else if (row->act == ACT_SELECT && sound)
        add_selected(look, view, call, seen);
    else if (row->act == ACT_EPOLL)
        add_targets(look, view, (int)call->args[0], seen);
    else if (row->fd >= 0)
        add_descriptor(look, view, (int)call->args[row->fd], row->writes, seen);
}

/* ---- one process ---- */

/* A thread of it: the call first, then the state, which must fit. */
static void observe(struct look *look, struct view *view, int dir, struct autopsy_process *seen)
{
    struct autopsy_call call = {.number = -1};
    struct autopsy_stat stat;
    char text[1024];
    const char *name;

    if (sys_read_file(dir, "syscall", text, sizeof text) <= 0 || !autopsy_call(text, &call))
        call = (struct autopsy_call){.number = -1};
    seen->call[0] = '\0';
    seen->on_count = 0;
    read_channel(dir, seen->channel);
    if (sys_read_file(dir, "stat", text, sizeof text) > 0 && autopsy_stat(text, &stat))
        seen->state = stat.state;
    if (call.number >= 0 && seen->state != 'R') {
        name = autopsy_call_name(call.number);
        if (name)
            snprintf(seen->call, sizeof seen->call, "%s", name);
        else
            snprintf(seen->call, sizeof seen->call, "%d", call.number);
        resolve(look, view, &call, seen);
    }
    seen->waits = autopsy_judge(seen, look->may_block);
    if (seen->waits == AUTOPSY_FIFO && seen->on_count && seen->on[0].fd < 0)
        seen->on[0].is = AUTOPSY_IS_FIFO;
}

/* Of its threads the one that tells most. */
static void observe_threads(struct look *look, struct view *view, struct autopsy_process *to)
{
    struct autopsy_process seen = *to, best = *to;
    SYS_CLOSES int task = SYS_AGAIN(openat(view->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = task};
    const char *name;
    bool any = false;

    for (int i = 0; task >= 0 && i < THREADS && sys_next_name(&names, &name) > 0 && !late(look); i++) {
        SYS_CLOSES int dir = SYS_AGAIN(openat(task, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (dir < 0)
            continue;
        observe(look, view, dir, &seen);
        if (!any || autopsy_rank(seen.waits) > autopsy_rank(best.waits))
            best = seen;
        any = true;
    }
    if (any)
        *to = best;
}

static void read_times(struct view *view, struct autopsy_process *to)
{
    uint64_t tick = 1000 * MS / (uint64_t)sysconf(_SC_CLK_TCK), now, begun;
    struct autopsy_stat stat;
    struct timespec boot;
    char text[1024];

    if (sys_read_file(view->dir, "stat", text, sizeof text) <= 0 || !autopsy_stat(text, &stat))
        return;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    now = (uint64_t)boot.tv_sec * 1000 * MS + (uint64_t)boot.tv_nsec;
    begun = stat.start_ticks * tick;
    to->cpu = (stat.user_ticks + stat.system_ticks) * tick;
    to->age = now > begun ? now - begun : 0;
    to->timed = true;
    view->args_begin = stat.args_begin;
    view->args_end = stat.args_end;
}

/* What may wait. Its parts are given at once, each when it is known. */
static void examine(struct look *look, struct view *view, struct autopsy_process *to)
{
    struct autopsy_process seen = *to;

    look->job->notes->at = view->pid;
    read_times(view, &seen);
    if (view->status.threads > 1)
        observe_threads(look, view, &seen);
    else
        observe(look, view, view->dir, &seen);
    *to = seen;
    if (calm(&seen))
        read_command(look, view, to);
    sys_close(&view->memory);
    look->job->notes->at = 0;
}

/* ---- who holds the other end ---- */

static bool is_other_end(const struct autopsy_end *end, const char *link, mode_t mode)
{
    uint64_t inode = 0;

    if (!(mode & (end->writes ? S_IRUSR : S_IWUSR))) /* the mode of the link is that of the descriptor, proc(5) */
        return false;
    if (end->is == AUTOPSY_IS_PIPE)
        return autopsy_kind(link, 0, 0, &inode) == AUTOPSY_IS_PIPE && inode == end->inode;
    return end->is == AUTOPSY_IS_FIFO && end->fd >= 0 && strlen(link) < AUTOPSY_PATH && !strcmp(link, end->path);
}

static void match(struct look *look, const struct view *view, const char *link, mode_t mode)
{
    for (unsigned i = 0; i < look->found->told; i++) {
        struct autopsy_process *process = &look->found->process[i];
        for (unsigned j = 0; j < process->on_count; j++) {
            struct autopsy_end *end = &process->on[j];
            bool known = end->with_count && end->with[end->with_count - 1] == view->status.inner;
            if (!known && end->with_count < AUTOPSY_WITH && is_other_end(end, link, mode))
                end->with[end->with_count++] = view->status.inner;
        }
    }
}

static void match_all(struct look *look, const struct view *view)
{
    char link[AUTOPSY_PATH + 1];
    SYS_CLOSES int fds = SYS_AGAIN(openat(view->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = fds};
    const char *name;
    struct stat file;

    look->job->notes->at = view->pid;
    for (int i = 0; fds >= 0 && i < DESCRIPTORS && sys_next_name(&names, &name) > 0 && !late(look); i++)
        if (read_link(fds, name, link, sizeof link) && fstatat(fds, name, &file, AT_SYMLINK_NOFOLLOW) == 0)
            match(look, view, link, file.st_mode);
    look->job->notes->at = 0;
}

static bool wants_others(const struct autopsy *found)
{
    for (unsigned i = 0; i < found->told; i++)
        for (unsigned j = 0; j < found->process[i].on_count; j++)
            if (found->process[i].on[j].is == AUTOPSY_IS_PIPE || found->process[i].on[j].is == AUTOPSY_IS_FIFO)
                return true;
    return false;
}

/* ---- all of them ---- */

/* In the helper. */
static int look_at_all(void *data, void *answer)
{
    static struct look look; /* of the helper's own memory, and touched by nobody else */
    const struct place *workspace, *rootfs;
    struct autopsy *found;

    (void)answer;
    look.job = data;
    look.subject = look.job->subject;
    look.found = found = &look.job->notes->found;
    workspace = look.subject->plan->workspace;
    rootfs = look.subject->plan->rootfs;
    look.may_block = workspace && workspace->may_block;
    look.root_may_block = rootfs && rootfs->may_block;
    gather(&look);
    qsort(look.views, look.count, sizeof look.views[0], by_weight);
    unsigned told = look.count < AUTOPSY_TOLD ? look.count : AUTOPSY_TOLD;
    qsort(look.views, told, sizeof look.views[0], by_pid);
    for (unsigned i = 0; i < told; i++)
        introduce(&look, &look.views[i], &found->process[i]);
    found->told = told;
    for (int last = 0; last < 2; last++) /* who cannot be woken comes last */
        for (unsigned i = 0; i < told && !late(&look); i++)
            if (!look.views[i].held && (look.views[i].status.state == 'D') == last)
                examine(&look, &look.views[i], &found->process[i]);
    for (unsigned i = 0; i < look.count && wants_others(found) && !late(&look); i++)
        if (!look.views[i].held)
            match_all(&look, &look.views[i]);
    found->complete = !late(&look);
    return -1;
}

/* A helper that hangs may still write into the shared pages one day. */
static struct autopsy *take_over(const struct autopsy *shared)
{
    struct autopsy *own = malloc(sizeof *own);

    if (!own)
        return NULL;
    memcpy(own, shared, sizeof *own);
    own->told = own->told < AUTOPSY_TOLD ? own->told : AUTOPSY_TOLD;
    for (unsigned i = 0; i < own->told; i++) {
        struct autopsy_process *process = &own->process[i];
        process->name[AUTOPSY_NAME] = process->channel[AUTOPSY_CHANNEL] = process->call[sizeof process->call - 1] = '\0';
        process->command_length = process->command_length < AUTOPSY_COMMAND ? process->command_length : AUTOPSY_COMMAND;
        process->on_count = process->on_count < AUTOPSY_ON ? process->on_count : AUTOPSY_ON;
        for (unsigned j = 0; j < AUTOPSY_ON; j++)
            process->on[j].path[AUTOPSY_PATH] = '\0';
    }
    return own;
}

/* Helper after helper, as long as each finds itself waiting and time is left. */
static void look_again(struct job *job, const struct autopsy_subject *subject, uint64_t by, struct helper_left *left)
{
    uint64_t within = FIRST_WITHIN;
    char unused = 0;
    int fd;

    for (;;) {
        uint64_t now = sys_now();
        const struct helper_task task = {.work = look_at_all, .data = job, .keep = subject->cgroup->leaf, .stop = -1,
                                         .by = now + within < by ? now + within : by, .answer = &unused, .size = sizeof unused};
        job->by = task.by - TO_END;
        memset(job->notes, 0, sizeof *job->notes);
        helper_run(&task, &fd, left);
        pid_t at = job->notes->at;
        if (!left->held || left->pid || at <= 0 || job->held_count == HELD || is_held(job, at) || sys_now() >= by)
            return;
        job->held[job->held_count++] = at;
        within = NEXT_WITHIN;
    }
}

struct autopsy *autopsy_take(const struct autopsy_subject *subject)
{
    uint64_t begun = sys_now();
    struct autopsy *own = NULL;
    struct helper_left left = {0};
    struct notes *notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (notes == MAP_FAILED)
        return NULL;
    struct job job = {.subject = subject, .notes = notes};
    look_again(&job, subject, begun + WITHIN, &left);
    if (notes->found.told && (own = take_over(&notes->found))) {
        own->took = sys_now() - begun;
        own->left = left.pid;
    }
    munmap(notes, sizeof *notes);
    return own;
}
