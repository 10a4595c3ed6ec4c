#include "ends.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

enum { DESCRIPTORS = 64 }; /* of a process that are looked at */

static void name_descriptor(const struct crowd *crowd, const struct member *member, int fd, struct autopsy_end *end)
{
    char path[32], link[AUTOPSY_PATH + 1];
    struct stat file = {0};

    snprintf(path, sizeof path, "fd/%d", fd);
    end->fd = fd;
    if (!crowd_link(member->dir, path, link, sizeof link))
        return;
    if (link[0] == '/') {
        memcpy(end->path, link, sizeof end->path);
        if ((crowd->may_block && autopsy_in_workspace(link)) || fstatat(member->dir, path, &file, AT_NO_AUTOMOUNT) < 0)
            file.st_mode = 0;
    }
    end->is = autopsy_kind(link, file.st_mode, file.st_rdev, &end->inode);
    for (int stream = 0; stream < 3 && end->is == AUTOPSY_IS_PIPE; stream++)
        if (end->inode == crowd->streams[stream])
            end->is = (enum autopsy_kind)(AUTOPSY_IS_STDIN + stream);
}

static void add_descriptor(const struct crowd *crowd, const struct member *member, int fd, bool writes, struct autopsy_process *seen)
{
    if (fd < 0 || seen->on_count == AUTOPSY_ON)
        return;
    struct autopsy_end *end = &seen->on[seen->on_count++];
    *end = (struct autopsy_end){.writes = writes};
    name_descriptor(crowd, member, fd, end);
}

/* Cut where it does not fit. */
static void append(char path[AUTOPSY_PATH + 1], const char *more)
{
    size_t length = strlen(path), wanted = strlen(more);

    memcpy(path + length, more, wanted < AUTOPSY_PATH - length ? wanted : AUTOPSY_PATH - length);
}

static void add_path(struct crowd *crowd, struct member *member, const struct autopsy_call *call, const struct autopsy_row *row,
                     struct autopsy_process *seen)
{
    struct autopsy_end *end = &seen->on[0];
    char asked[AUTOPSY_PATH + 1], base[AUTOPSY_PATH + 1] = "", where[32] = "cwd";
    size_t got = crowd_peek(crowd, member, call->args[row->path], asked, AUTOPSY_PATH);
    int directory = row->directory < 0 ? AT_FDCWD : (int)call->args[row->directory];

    *end = (struct autopsy_end){.fd = -1, .writes = row->writes};
    seen->on_count = 1;
    asked[got] = '\0';
    if (got == 0)
        return;
    if (asked[0] != '/') {
        if (directory != AT_FDCWD)
            snprintf(where, sizeof where, "fd/%d", directory);
        if (!crowd_link(member->dir, where, base, sizeof base))
            return;
    }
    append(end->path, base);
    if (base[0] && base[1] && asked[0])
        append(end->path, "/");
    append(end->path, asked);
}

static void add_polled(struct crowd *crowd, struct member *member, const struct autopsy_call *call, struct autopsy_process *seen)
{
    struct pollfd entries[AUTOPSY_POLLED];
    uint64_t wanted = call->args[1] < AUTOPSY_POLLED ? call->args[1] : AUTOPSY_POLLED;
    size_t count = wanted ? crowd_peek(crowd, member, call->args[0], entries, (size_t)wanted * sizeof *entries) / sizeof *entries : 0;

    for (size_t i = 0; i < count; i++)
        add_descriptor(crowd, member, entries[i].fd, (entries[i].events & (POLLIN | POLLOUT)) == POLLOUT, seen);
}

static void add_selected(struct crowd *crowd, struct member *member, const struct autopsy_call *call, struct autopsy_process *seen)
{
    uint64_t words[2][16] = {{0}};
    int most = call->args[0] < 1024 ? (int)call->args[0] : 1024;

    for (int set = 0; set < 2; set++)
        if (call->args[set + 1] && crowd_peek(crowd, member, call->args[set + 1], words[set], (size_t)(most + 63) / 64 * 8) == 0)
            memset(words[set], 0, sizeof words[set]);
    for (int fd = 0; fd < most; fd++)
        for (int set = 0; set < 2; set++)
            if (words[set][fd / 64] >> fd % 64 & 1)
                add_descriptor(crowd, member, fd, set == 1, seen);
}

/* Not where a descriptor may have a silent server: whoever adds such a one holds the lock that fdinfo takes. */
static void add_targets(struct crowd *crowd, const struct member *member, int fd, struct autopsy_process *seen)
{
    char path[32];
    const char *at = crowd->text;

    snprintf(path, sizeof path, "fdinfo/%d", fd);
    if (!crowd->may_block && fd >= 0 && crowd_read(member->dir, path, crowd->text, sizeof crowd->text) > 0)
        for (int target; (target = autopsy_next_target(&at)) >= 0 && seen->on_count < AUTOPSY_ON;)
            add_descriptor(crowd, member, target, false, seen);
    if (seen->on_count == 0)
        add_descriptor(crowd, member, fd, false, seen);
}

/* Calls that have two descriptors: (to, from). Who reads from a file waits for the other one. */
static void add_sent(const struct crowd *crowd, const struct member *member, const struct autopsy_call *call, struct autopsy_process *seen)
{
    add_descriptor(crowd, member, (int)call->args[1], false, seen);
    if (seen->on_count && seen->on[0].is == AUTOPSY_IS_FILE) {
        seen->on_count = 0;
        add_descriptor(crowd, member, (int)call->args[0], true, seen);
    }
}

void ends_resolve(struct crowd *crowd, struct member *member, const struct autopsy_call *call, struct autopsy_process *seen)
{
    const struct autopsy_row *row = autopsy_row(seen->call);
    bool sound = autopsy_calm(seen);

    if (!row)
        return;
    if (!strcmp(row->name, "sendfile"))
        add_sent(crowd, member, call, seen);
    else if (row->act == ACT_PATH && row->path >= 0)
        add_path(crowd, member, call, row, seen); /* whoever walks a path does not hold his memory's lock */
    else if (row->act == ACT_POLL && sound)
        add_polled(crowd, member, call, seen);
    else if (row->act == ACT_SELECT && sound)
        add_selected(crowd, member, call, seen);
    else if (row->act == ACT_EPOLL)
        add_targets(crowd, member, (int)call->args[0], seen);
    else if (row->fd >= 0)
        add_descriptor(crowd, member, (int)call->args[row->fd], row->writes, seen);
}

/* ---- who holds the other end, or the lock ---- */

struct holding { /* one descriptor of a process */
    const struct member *member;
    const char *name; /* its number */
    const char *link;
    mode_t mode; /* of the link, which is that of the descriptor, proc(5) */
};

static bool is_lock(const struct autopsy_process *process, const struct autopsy_end *end)
{
    return process->waits == AUTOPSY_LOCK && end->is == AUTOPSY_IS_FILE;
}

/* fdinfo says which locks were taken by it. */
static bool has_lock(const struct holding *holding, const struct autopsy_end *end)
{
    char path[32], text[1024];

    if (strlen(holding->link) >= AUTOPSY_PATH || strcmp(holding->link, end->path) != 0)
        return false;
    snprintf(path, sizeof path, "fdinfo/%.10s", holding->name);
    return crowd_read(holding->member->dir, path, text, sizeof text) > 0 && strstr(text, "\nlock:");
}

static bool is_other_end(const struct holding *holding, const struct autopsy_end *end)
{
    uint64_t inode = 0;

    if (!(holding->mode & (end->writes ? S_IRUSR : S_IWUSR)))
        return false;
    if (end->is == AUTOPSY_IS_PIPE)
        return autopsy_kind(holding->link, 0, 0, &inode) == AUTOPSY_IS_PIPE && inode == end->inode;
    return end->is == AUTOPSY_IS_FIFO && end->fd >= 0 && strlen(holding->link) < AUTOPSY_PATH && !strcmp(holding->link, end->path);
}

static void match(const struct holding *holding, struct autopsy *found)
{
    uint64_t inner = holding->member->status.inner;

    for (unsigned i = 0; i < found->told; i++) {
        struct autopsy_process *process = &found->process[i];
        for (unsigned j = 0; j < process->on_count; j++) {
            struct autopsy_end *end = &process->on[j];
            if (end->with_count == AUTOPSY_WITH || (end->with_count && end->with[end->with_count - 1] == inner))
                continue;
            if (is_lock(process, end) ? has_lock(holding, end) : is_other_end(holding, end))
                end->with[end->with_count++] = inner;
        }
    }
}

void ends_match(const struct crowd *crowd, const struct member *member, struct autopsy *found)
{
    char link[AUTOPSY_PATH + 1];
    SYS_CLOSES int fds = SYS_AGAIN(openat(member->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = fds};
    struct holding holding = {.member = member, .link = link};
    struct stat file;

    for (int i = 0; fds >= 0 && i < DESCRIPTORS && sys_next_name(&names, &holding.name) > 0 && !crowd_late(crowd); i++)
        if (crowd_link(fds, holding.name, link, sizeof link) && fstatat(fds, holding.name, &file, AT_SYMLINK_NOFOLLOW) == 0) {
            holding.mode = file.st_mode;
            match(&holding, found);
        }
}

bool ends_are_open(const struct autopsy *found)
{
    for (unsigned i = 0; i < found->told; i++)
        for (unsigned j = 0; j < found->process[i].on_count; j++) {
            const struct autopsy_end *end = &found->process[i].on[j];
            if (end->is == AUTOPSY_IS_PIPE || end->is == AUTOPSY_IS_FIFO || is_lock(&found->process[i], end))
                return true;
        }
    return false;
}

static void name_sockets(unsigned table, const char *text, struct autopsy *found)
{
    for (unsigned i = 0; i < found->told; i++)
        for (unsigned j = 0; j < found->process[i].on_count; j++) {
            struct autopsy_end *end = &found->process[i].on[j];
            if (end->is == AUTOPSY_IS_SOCKET && !end->address[0])
                sockets_find(table, text, end->inode, end->address, &end->listens);
        }
}

static bool has_unnamed(const struct autopsy *found)
{
    for (unsigned i = 0; i < found->told; i++)
        for (unsigned j = 0; j < found->process[i].on_count; j++)
            if (found->process[i].on[j].is == AUTOPSY_IS_SOCKET && !found->process[i].on[j].address[0])
                return true;
    return false;
}

void ends_name_sockets(struct crowd *crowd, struct autopsy *found)
{
    char path[16];
    unsigned who = 0;

    while (who < crowd->count && (crowd->members[who].held || crowd->members[who].status.state == 'Z'))
        who++;
    if (who == crowd->count)
        return;
    for (unsigned table = 0; table < SOCKETS_TABLES && has_unnamed(found) && !crowd_late(crowd); table++) {
        snprintf(path, sizeof path, "net/%s", sockets_table(table));
        if (crowd_read(crowd->members[who].dir, path, crowd->text, sizeof crowd->text) > 0)
            name_sockets(table, crowd->text, found);
    }
}
