/* faultfs: a file system that misbehaves on demand. A FUSE server on the raw kernel protocol, which keeps its files in
 * memory (tree.h) and can leave a request unanswered for ever, answer it late or wrongly, stop reading, or die, while a
 * test works on its mount. It looks like `weed mount`: type fuse.seaweedfs, allow_other, default_permissions.
 *
 *   faultfs [-D] [-o OPTION,...] [-c SOCKET] [-x COMMAND]... MOUNTPOINT
 *   faultfs ctl SOCKET COMMAND...
 *   faultfs ctl SOCKET await OP COUNT [SECONDS]
 *
 * It mounts in the caller's mount namespace, needs root, says "ready PID CONNECTION" on stdout and stays in the
 * foreground, where it quits with its parent; -D: it goes to the background and the first process returns. -x gives a
 * command before the first request (after -o), ctl one at any later time; `await` waits until so many requests of that
 * kind (ANY) are held back. ctl ends with 1 and a message when a command is refused, or not answered within 10 s.
 *
 * Mount options: ro, suid, dev, no_allow_other, no_default_permissions, user_id=N, group_id=N, max_read=N, fsname=TEXT,
 * fstype=TYPE. Server options: size=BYTES (of all files, 268435456), attr_timeout=S and entry_timeout=S (0: every walk
 * asks the server), keep_cache, direct_io, writeback.
 *
 * Commands. OP is a request's name (LOOKUP, WRITE, FLUSH, ...) or ANY (all but INIT). NTH is N (the Nth such request
 * and all later ones; 1 if not given) or =N (that one only). FRAGMENT: only paths that hold this text. The first rule
 * that applies decides.
 *   stall OP [NTH] [FRAGMENT]       read the request and never answer, until `release`
 *   late OP MS [NTH] [FRAGMENT]     carry it out and answer after MS
 *   errno OP ERROR [NTH] [FRAGMENT] answer with ENOSPC, EIO, EDQUOT, EROFS, ENOTCONN, ... or a number
 *   lie WHAT VALUE [NTH] [FRAGMENT] NTH counts answers that hold attributes; WHAT is one of
 *       size N, mode OCTAL, uid N, gid N, ino N, nlink N, type dir|file|link|fifo|socket|block|char
 *       free N: bytes that STATFS calls free, total N: bytes in all
 *       names slash|newline|long|longer|empty|dots|nul|control: readdir adds such a name; endless: it never ends
 *       exchange plain: RENAME_EXCHANGE acts as a plain rename
 *   clear                           no more rules; what is held stays held
 *   release                         no more stall and late rules; what is held is carried out and answered now
 *   interrupt ignore|eintr          held requests: ignore INTERRUPT, as a dead server does, or answer EINTR
 *   held, log, log clear, rules, tree, info   show
 *   mkdir PATH MODE UID GID, file PATH MODE UID GID [TEXT]   make without the kernel's knowledge
 *   stop-serving, serve             /dev/fuse stays open and nothing is read from it
 *   die                             exit without unmounting (ENOTCONN from then on)
 *   abort                           abort the connection from outside, as fusectl's `abort` does; log and tree live on
 *   quit                            unmount and exit: closing /dev/fuse first frees whoever waits for an answer
 *
 * log: SEQUENCE OP PID UID GID RESULT PATH, the result being ok, an error, `stalled`, `late` or `interrupted`. held:
 * UNIQUE OP PID MS PATH. tree: see tree_print. Nothing here ever waits for the mount, so nothing can hang with it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tree.h"

#define MAX_WRITE (128 * 1024)
#define BUFFER (MAX_WRITE + 4096)
#define LOG_MAX 65536 /* the oldest go first */
#define CLIENTS 16
#define RULES 64
#define PATIENCE_MS 10000 /* of ctl */
#define BLOCK 4096
#define COOKIE_LIE ((uint64_t)1 << 40) /* directory positions beyond the true entries */

enum fault { FAULT_NONE, FAULT_STALL, FAULT_LATE, FAULT_ERROR, FAULT_LIE };
enum lie {
    LIE_SIZE,
    LIE_MODE,
    LIE_UID,
    LIE_GID,
    LIE_INO,
    LIE_NLINK,
    LIE_TYPE,
    LIE_FREE,
    LIE_TOTAL,
    LIE_NAMES,
    LIE_EXCHANGE
};

struct rule {
    enum fault fault;
    uint32_t opcode; /* 0: ANY */
    enum lie lie;
    int64_t value; /* milliseconds, error number, or the lie */
    uint64_t nth, seen;
    bool only; /* the nth and no other */
    char fragment[256], text[512];
};

struct request {
    struct request *next;
    uint64_t due, since; /* ms; due 0: never */
    uint64_t sequence;   /* of its log entry */
    size_t length;
    char bytes[]; /* header and body */
};

struct record {
    uint32_t opcode;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    const char *state; /* NULL: result tells */
    int result;
    char *path;
};

struct client {
    int fd;
    char in[4096];
    size_t in_length, out_length, out_done;
    char *out;
};

struct answer {
    char bytes[BUFFER];
    size_t length;
    bool none; /* this kind of request gets no answer */
};

struct options {
    char fsname[256], fstype[64];
    unsigned long flags;
    bool allow_other, default_permissions, keep_cache, direct_io, writeback;
    unsigned long long user_id, group_id, max_read, size, attr_timeout, entry_timeout;
};

static struct options options = {
    .fsname = "localhost:8888:/workspaces",
    .fstype = "fuse.seaweedfs",
    .flags = MS_NOSUID | MS_NODEV,
    .allow_other = true,
    .default_permissions = true,
    .size = 256 << 20,
};
static char mountpoint[PATH_MAX], socket_path[sizeof((struct sockaddr_un *)0)->sun_path];
static int fuse = -1;
static unsigned connection;
static bool serving = true, answer_interrupts, initialised, background, keep_running, ending;
static struct tree tree;
static struct rule rules[RULES];
static size_t rule_count;
static struct request *held;
static struct record records[LOG_MAX];
static uint64_t record_count, record_first;
static struct client clients[CLIENTS];

static uint64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    va_list args;

    fputs("faultfs: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* ---- the requests: name, what the body must hold at least, where in it a name stands, who serves it ---- */

static const void *body(const struct request *request)
{
    return request->bytes + sizeof(struct fuse_in_header);
}

static const struct fuse_in_header *header(const struct request *request)
{
    return (const void *)request->bytes;
}

typedef int serve(const struct request *request, struct node *node, struct answer *answer);
static serve serve_lookup, serve_forget, serve_batch_forget, serve_getattr, serve_setattr, serve_readlink,
    serve_symlink, serve_mknod, serve_mkdir, serve_unlink, serve_rmdir, serve_rename, serve_rename2, serve_link,
    serve_open, serve_create, serve_read, serve_write, serve_commit, serve_release, serve_opendir, serve_nothing,
    serve_readdir, serve_readdirplus, serve_statfs, serve_access, serve_setxattr, serve_getxattr, serve_listxattr,
    serve_removexattr, serve_interrupt, serve_init, serve_unknown;

#define NO_NAME SIZE_MAX
#define IN(name) sizeof(struct fuse_##name##_in)
static const struct operation {
    uint32_t opcode;
    const char *name;
    size_t least, name_at;
    serve *serve;
} operations[] = {
    /* clang-format off */
    {FUSE_LOOKUP,          "LOOKUP",          1,                                0,            serve_lookup},
    {FUSE_FORGET,          "FORGET",          IN(forget),                       NO_NAME,      serve_forget},
    {FUSE_BATCH_FORGET,    "BATCH_FORGET",    IN(batch_forget),                 NO_NAME,      serve_batch_forget},
    {FUSE_GETATTR,         "GETATTR",         IN(getattr),                      NO_NAME,      serve_getattr},
    {FUSE_SETATTR,         "SETATTR",         IN(setattr),                      NO_NAME,      serve_setattr},
    {FUSE_READLINK,        "READLINK",        0,                                NO_NAME,      serve_readlink},
    {FUSE_SYMLINK,         "SYMLINK",         2,                                0,            serve_symlink},
    {FUSE_MKNOD,           "MKNOD",           IN(mknod) + 1,                    IN(mknod),    serve_mknod},
    {FUSE_MKDIR,           "MKDIR",           IN(mkdir) + 1,                    IN(mkdir),    serve_mkdir},
    {FUSE_UNLINK,          "UNLINK",          1,                                0,            serve_unlink},
    {FUSE_RMDIR,           "RMDIR",           1,                                0,            serve_rmdir},
    {FUSE_RENAME,          "RENAME",          IN(rename) + 2,                   IN(rename),   serve_rename},
    {FUSE_RENAME2,         "RENAME2",         IN(rename2) + 2,                  IN(rename2),  serve_rename2},
    {FUSE_LINK,            "LINK",            IN(link) + 1,                     IN(link),     serve_link},
    {FUSE_OPEN,            "OPEN",            IN(open),                         NO_NAME,      serve_open},
    {FUSE_CREATE,          "CREATE",          IN(create) + 1,                   IN(create),   serve_create},
    {FUSE_READ,            "READ",            IN(read),                         NO_NAME,      serve_read},
    {FUSE_WRITE,           "WRITE",           IN(write),                        NO_NAME,      serve_write},
    {FUSE_FLUSH,           "FLUSH",           IN(flush),                        NO_NAME,      serve_commit},
    {FUSE_FSYNC,           "FSYNC",           IN(fsync),                        NO_NAME,      serve_commit},
    {FUSE_RELEASE,         "RELEASE",         IN(release),                      NO_NAME,      serve_release},
    {FUSE_OPENDIR,         "OPENDIR",         IN(open),                         NO_NAME,      serve_opendir},
    {FUSE_READDIR,         "READDIR",         IN(read),                         NO_NAME,      serve_readdir},
    {FUSE_READDIRPLUS,     "READDIRPLUS",     IN(read),                         NO_NAME,      serve_readdirplus},
    {FUSE_RELEASEDIR,      "RELEASEDIR",      IN(release),                      NO_NAME,      serve_release},
    {FUSE_FSYNCDIR,        "FSYNCDIR",        IN(fsync),                        NO_NAME,      serve_nothing},
    {FUSE_STATFS,          "STATFS",          0,                                NO_NAME,      serve_statfs},
    {FUSE_ACCESS,          "ACCESS",          IN(access),                       NO_NAME,      serve_access},
    {FUSE_SETXATTR,        "SETXATTR",        FUSE_COMPAT_SETXATTR_IN_SIZE + 1, NO_NAME,      serve_setxattr},
    {FUSE_GETXATTR,        "GETXATTR",        IN(getxattr) + 1,                 NO_NAME,      serve_getxattr},
    {FUSE_LISTXATTR,       "LISTXATTR",       IN(getxattr),                     NO_NAME,      serve_listxattr},
    {FUSE_REMOVEXATTR,     "REMOVEXATTR",     1,                                NO_NAME,      serve_removexattr},
    {FUSE_INTERRUPT,       "INTERRUPT",       IN(interrupt),                    NO_NAME,      serve_interrupt},
    {FUSE_INIT,            "INIT",            8,                                NO_NAME,      serve_init},
    {FUSE_DESTROY,         "DESTROY",         0,                                NO_NAME,      serve_nothing},
    /* known by name, so that they can be stalled or counted, but not served */
    {FUSE_FALLOCATE,       "FALLOCATE",       0,                                NO_NAME,      serve_unknown},
    {FUSE_LSEEK,           "LSEEK",           0,                                NO_NAME,      serve_unknown},
    {FUSE_COPY_FILE_RANGE, "COPY_FILE_RANGE", 0,                                NO_NAME,      serve_unknown},
    {FUSE_IOCTL,           "IOCTL",           0,                                NO_NAME,      serve_unknown},
    {FUSE_POLL,            "POLL",            0,                                NO_NAME,      serve_unknown},
    {FUSE_GETLK,           "GETLK",           0,                                NO_NAME,      serve_unknown},
    {FUSE_SETLK,           "SETLK",           0,                                NO_NAME,      serve_unknown},
    {FUSE_SETLKW,          "SETLKW",          0,                                NO_NAME,      serve_unknown},
    {FUSE_BMAP,            "BMAP",            0,                                NO_NAME,      serve_unknown},
    {FUSE_SYNCFS,          "SYNCFS",          0,                                NO_NAME,      serve_unknown},
    {FUSE_TMPFILE,         "TMPFILE",         0,                                NO_NAME,      serve_unknown},
    /* clang-format on */
};
#define OPERATIONS (sizeof operations / sizeof *operations)
static const struct operation stranger = {0, "UNKNOWN", 0, NO_NAME, serve_unknown};

static const struct operation *operation_of(uint32_t opcode)
{
    for (size_t i = 0; i < OPERATIONS; i++)
        if (operations[i].opcode == opcode)
            return &operations[i];
    return &stranger;
}

/* The kernel waits for no answer, so that it cannot be stalled. */
static bool silent(const struct operation *operation)
{
    return operation->opcode == FUSE_FORGET || operation->opcode == FUSE_BATCH_FORGET ||
           operation->opcode == FUSE_INTERRUPT;
}

/* Names in a body end with a NUL: the kernel says so, and the buffer has one behind it. */
static const char *name_in(const struct request *request, size_t at)
{
    return (const char *)body(request) + at;
}

/* ---- rules ---- */

static bool rule_applies(struct rule *rule, const char *path)
{
    if (*rule->fragment && !strstr(path, rule->fragment))
        return false;
    rule->seen++;
    return rule->only ? rule->seen == rule->nth : rule->seen >= rule->nth;
}

/* The fault for this request; every rule that could apply counts it. */
static struct rule *rule_for(uint32_t opcode, const char *path)
{
    struct rule *found = NULL;

    for (size_t i = 0; i < rule_count; i++) {
        bool meant = rules[i].opcode == opcode || (!rules[i].opcode && opcode != FUSE_INIT);

        if (rules[i].fault != FAULT_LIE && meant && rule_applies(&rules[i], path) && !found)
            found = &rules[i];
    }
    return found;
}

static const struct rule *lie_about(enum lie lie, const char *path)
{
    const struct rule *found = NULL;

    for (size_t i = 0; i < rule_count; i++)
        if (rules[i].fault == FAULT_LIE && rules[i].lie == lie && rule_applies(&rules[i], path) && !found)
            found = &rules[i];
    return found;
}

/* ---- answers ---- */

static void *answer_room(struct answer *answer, size_t length)
{
    void *place = answer->bytes + answer->length;

    memset(place, 0, length);
    answer->length += length;
    return place;
}

static void fill_attributes(const struct node *node, struct fuse_attr *attr)
{
    static const enum lie lies[] = {LIE_SIZE, LIE_MODE, LIE_UID, LIE_GID, LIE_INO, LIE_NLINK, LIE_TYPE};
    char path[TREE_PATH_MAX];

    *attr = (struct fuse_attr){
        .ino = node->id,
        .size = node->size,
        .blocks = (node->size + 511) / 512,
        .atime = (uint64_t)node->atime.tv_sec,
        .mtime = (uint64_t)node->mtime.tv_sec,
        .ctime = (uint64_t)node->ctime.tv_sec,
        .atimensec = (uint32_t)node->atime.tv_nsec,
        .mtimensec = (uint32_t)node->mtime.tv_nsec,
        .ctimensec = (uint32_t)node->ctime.tv_nsec,
        .mode = node->mode,
        .nlink = node->nlink,
        .uid = node->uid,
        .gid = node->gid,
        .rdev = node->rdev,
        .blksize = BLOCK,
    };
    tree_path(node, NULL, path, sizeof path);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const struct rule *rule = lie_about(lies[i], path);

        if (!rule)
            continue;
        switch (lies[i]) {
        case LIE_SIZE:
            attr->size = (uint64_t)rule->value;
            break;
        case LIE_MODE:
            attr->mode = (attr->mode & S_IFMT) | (uint32_t)rule->value;
            break;
        case LIE_UID:
            attr->uid = (uint32_t)rule->value;
            break;
        case LIE_GID:
            attr->gid = (uint32_t)rule->value;
            break;
        case LIE_INO:
            attr->ino = (uint64_t)rule->value;
            break;
        case LIE_NLINK:
            attr->nlink = (uint32_t)rule->value;
            break;
        default:
            attr->mode = (attr->mode & 07777) | (uint32_t)rule->value;
        }
    }
}

static void fill_entry(struct node *node, struct fuse_entry_out *entry)
{
    *entry = (struct fuse_entry_out){
        .nodeid = node->id, .entry_valid = options.entry_timeout, .attr_valid = options.attr_timeout};
    fill_attributes(node, &entry->attr);
    node->lookups++;
}

static void answer_entry(struct answer *answer, struct node *node)
{
    fill_entry(node, answer_room(answer, sizeof(struct fuse_entry_out)));
}

static void answer_attributes(struct answer *answer, const struct node *node)
{
    struct fuse_attr_out *out = answer_room(answer, sizeof *out);

    out->attr_valid = options.attr_timeout;
    fill_attributes(node, &out->attr);
}

static void answer_open(struct answer *answer, struct node *node)
{
    struct fuse_open_out *out = answer_room(answer, sizeof *out);

    out->fh = node->id;
    out->open_flags = (options.keep_cache ? FOPEN_KEEP_CACHE : 0u) | (options.direct_io ? FOPEN_DIRECT_IO : 0u);
    node->opens++;
}

/* ---- serving: names ---- */

static int serve_lookup(const struct request *request, struct node *node, struct answer *answer)
{
    struct node *found;
    int result = tree_find(node, name_in(request, 0), &found);

    if (result == 0)
        answer_entry(answer, found);
    return result;
}

static void forget(uint64_t id, uint64_t count)
{
    struct node *node = tree_node(&tree, id);

    if (!node || id == TREE_ROOT)
        return;
    node->lookups = count < node->lookups ? node->lookups - count : 0;
    tree_settle(&tree, node);
}

static int serve_forget(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_forget_in *in = body(request);

    (void)node;
    answer->none = true;
    forget(header(request)->nodeid, in->nlookup);
    return 0;
}

static int serve_batch_forget(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_batch_forget_in *in = body(request);
    const struct fuse_forget_one *one = (const void *)(in + 1);

    (void)node;
    answer->none = true;
    for (uint32_t i = 0; i < in->count; i++)
        forget(one[i].nodeid, one[i].nlookup);
    return 0;
}

static int make(const struct request *request, struct node *node, const char *name, mode_t mode, uint32_t rdev,
                const char *target, struct answer *answer)
{
    struct node *made;
    int result = tree_make(&tree, node, name, mode, header(request)->uid, header(request)->gid, rdev, target, &made);

    if (result == 0)
        answer_entry(answer, made);
    return result;
}

static int serve_symlink(const struct request *request, struct node *node, struct answer *answer)
{
    const char *name = name_in(request, 0);

    return make(request, node, name, S_IFLNK | 0777, 0, name + strlen(name) + 1, answer);
}

static int serve_mknod(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_mknod_in *in = body(request);

    return make(request, node, name_in(request, sizeof *in), in->mode, in->rdev, NULL, answer);
}

static int serve_mkdir(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_mkdir_in *in = body(request);

    return make(request, node, name_in(request, sizeof *in), S_IFDIR | (in->mode & 07777), 0, NULL, answer);
}

static int serve_unlink(const struct request *request, struct node *node, struct answer *answer)
{
    (void)answer;
    return tree_remove(&tree, node, name_in(request, 0), false);
}

static int serve_rmdir(const struct request *request, struct node *node, struct answer *answer)
{
    (void)answer;
    return tree_remove(&tree, node, name_in(request, 0), true);
}

static int rename_to(struct node *node, uint64_t to, const char *name, unsigned flags)
{
    struct node *directory = tree_node(&tree, to);
    const char *new_name = name + strlen(name) + 1;

    if (!directory)
        return -ESTALE;
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    if (flags & RENAME_EXCHANGE && lie_about(LIE_EXCHANGE, name))
        flags = 0;
    return tree_rename(&tree, node, name, directory, new_name, flags);
}

static int serve_rename(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_rename_in *in = body(request);

    (void)answer;
    return rename_to(node, in->newdir, name_in(request, sizeof *in), 0);
}

static int serve_rename2(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_rename2_in *in = body(request);

    (void)answer;
    return rename_to(node, in->newdir, name_in(request, sizeof *in), in->flags);
}

static int serve_link(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_link_in *in = body(request);
    struct node *old = tree_node(&tree, in->oldnodeid);
    int result = old ? tree_link(&tree, old, node, name_in(request, sizeof *in)) : -ESTALE;

    if (result == 0)
        answer_entry(answer, old);
    return result;
}

static int serve_readlink(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    if (!S_ISLNK(node->mode) || node->size > sizeof answer->bytes - answer->length)
        return -EINVAL;
    memcpy(answer_room(answer, node->size), node->data, node->size);
    return 0;
}

/* ---- serving: attributes ---- */

static int serve_getattr(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    answer_attributes(answer, node);
    return 0;
}

static struct timespec time_of(bool is_now, uint64_t seconds, uint32_t nanoseconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)nanoseconds};

    if (is_now)
        clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

static int serve_setattr(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_setattr_in *in = body(request);

    if (in->valid & FATTR_SIZE) {
        int result = S_ISREG(node->mode) ? tree_resize(&tree, node, in->size) : -EINVAL;

        if (result < 0)
            return result;
    }
    if (in->valid & FATTR_MODE)
        node->mode = (node->mode & S_IFMT) | (in->mode & 07777);
    if (in->valid & FATTR_UID)
        node->uid = in->uid;
    if (in->valid & FATTR_GID)
        node->gid = in->gid;
    if (in->valid & FATTR_ATIME)
        node->atime = time_of(in->valid & FATTR_ATIME_NOW, in->atime, in->atimensec);
    if (in->valid & FATTR_MTIME)
        node->mtime = time_of(in->valid & FATTR_MTIME_NOW, in->mtime, in->mtimensec);
    node->ctime = time_of(true, 0, 0);
    answer_attributes(answer, node);
    return 0;
}

/* Asked for only without default_permissions: with it the kernel itself judges by the attributes. */
static int serve_access(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_access_in *in = body(request);
    const struct fuse_in_header *who = header(request);
    unsigned shift = who->uid == node->uid ? 6 : who->gid == node->gid ? 3 : 0;

    (void)answer;
    if (who->uid == 0 || (node->mode >> shift & in->mask) == in->mask)
        return 0;
    return -EACCES;
}

static int serve_statfs(const struct request *request, struct node *node, struct answer *answer)
{
    struct fuse_statfs_out *out = answer_room(answer, sizeof *out);
    const struct rule *lie_total = lie_about(LIE_TOTAL, "/"), *lie_free = lie_about(LIE_FREE, "/");
    uint64_t total = lie_total ? (uint64_t)lie_total->value : tree.limit;
    uint64_t left = lie_free ? (uint64_t)lie_free->value : tree.limit - tree.used;

    (void)request;
    (void)node;
    out->st = (struct fuse_kstatfs){.blocks = total / BLOCK,
                                    .bfree = left / BLOCK,
                                    .bavail = left / BLOCK,
                                    .files = 1 << 20,
                                    .ffree = 1 << 19,
                                    .bsize = BLOCK,
                                    .namelen = TREE_NAME_MAX,
                                    .frsize = BLOCK};
    return 0;
}

static int answer_xattr(struct answer *answer, const void *value, size_t size, uint32_t room)
{
    if (!room) {
        struct fuse_getxattr_out *out = answer_room(answer, sizeof *out);

        out->size = (uint32_t)size;
        return 0;
    }
    if (size > room)
        return -ERANGE;
    if (size)
        memcpy(answer_room(answer, size), value, size);
    return 0;
}

static int serve_setxattr(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_setxattr_in *in = body(request);
    const char *name = name_in(request, FUSE_COMPAT_SETXATTR_IN_SIZE); /* the longer form was not agreed on */

    (void)answer;
    return tree_set_xattr(node, name, name + strlen(name) + 1, in->size, (int)in->flags);
}

static int serve_getxattr(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_getxattr_in *in = body(request);
    const struct xattr *xattr = tree_xattr(node, name_in(request, sizeof *in));

    return xattr ? answer_xattr(answer, xattr->value, xattr->size, in->size) : -ENODATA;
}

static int serve_listxattr(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_getxattr_in *in = body(request);
    char names[XATTR_LIST_MAX];
    size_t length = 0;

    for (const struct xattr *xattr = node->xattrs; xattr; xattr = xattr->next) {
        size_t more = strlen(xattr->name) + 1;

        if (more > sizeof names - length)
            return -E2BIG;
        memcpy(names + length, xattr->name, more);
        length += more;
    }
    return answer_xattr(answer, names, length, in->size);
}

static int serve_removexattr(const struct request *request, struct node *node, struct answer *answer)
{
    (void)answer;
    return tree_remove_xattr(node, name_in(request, 0));
}

/* ---- serving: files ---- */

static int serve_open(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_open_in *in = body(request);
    int result = in->flags & O_TRUNC && S_ISREG(node->mode) ? tree_resize(&tree, node, 0) : 0;

    if (result == 0)
        answer_open(answer, node);
    return result;
}

static int serve_create(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_create_in *in = body(request);
    const char *name = name_in(request, sizeof *in);
    struct node *made;
    int result = tree_make(&tree, node, name, S_IFREG | (in->mode & 07777), header(request)->uid, header(request)->gid,
                           0, NULL, &made);

    if (result == -EEXIST && !(in->flags & O_EXCL)) { /* made by the control socket behind the kernel's back */
        result = tree_find(node, name, &made);
        if (result == 0 && in->flags & O_TRUNC)
            result = tree_resize(&tree, made, 0);
    }
    if (result < 0)
        return result;
    answer_entry(answer, made);
    answer_open(answer, made);
    return 0;
}

static int serve_read(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_read_in *in = body(request);
    uint64_t left = in->offset < node->size ? node->size - in->offset : 0;
    size_t length = in->size < left ? in->size : (size_t)left;

    if (length > sizeof answer->bytes - answer->length)
        length = sizeof answer->bytes - answer->length;
    if (length)
        memcpy(answer_room(answer, length), node->data + in->offset, length);
    return 0;
}

static int serve_write(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_write_in *in = body(request);
    struct fuse_write_out *out;
    int result;

    if (in->size > request->length - sizeof(struct fuse_in_header) - sizeof *in)
        return -EINVAL;
    result = tree_write(&tree, node, in + 1, in->size, in->offset);
    if (result < 0)
        return result;
    out = answer_room(answer, sizeof *out);
    out->size = in->size;
    return 0;
}

static int serve_commit(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    (void)answer;
    node->dirty = false;
    return 0;
}

static int serve_release(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    (void)answer;
    node->opens--;
    tree_settle(&tree, node);
    return 0;
}

static int serve_nothing(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    (void)node;
    (void)answer;
    return 0;
}

static int serve_unknown(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    (void)node;
    (void)answer;
    return -ENOSYS;
}

/* ---- serving: directories ---- */

static int serve_opendir(const struct request *request, struct node *node, struct answer *answer)
{
    (void)request;
    if (!S_ISDIR(node->mode))
        return -ENOTDIR;
    answer_open(answer, node);
    return 0;
}

/* False: no room left. node NULL: an entry that the kernel shall not enter into its cache. */
static bool add_entry(struct answer *answer, size_t room, bool plus, const char *name, size_t length, uint64_t cookie,
                      uint64_t ino, mode_t mode, struct node *node)
{
    size_t ahead = plus ? sizeof(struct fuse_entry_out) : 0;
    size_t size = ahead + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
    struct fuse_dirent dirent = {.ino = ino, .off = cookie, .namelen = (uint32_t)length, .type = (mode & S_IFMT) >> 12};
    char *place;

    if (answer->length - sizeof(struct fuse_out_header) + size > room)
        return false;
    place = answer_room(answer, size);
    if (plus && node)
        fill_entry(node, (void *)place);
    memcpy(place + ahead, &dirent, FUSE_NAME_OFFSET);
    if (length)
        memcpy(place + ahead + FUSE_NAME_OFFSET, name, length);
    return true;
}

enum names {
    NAMES_SLASH,
    NAMES_NEWLINE,
    NAMES_LONG,
    NAMES_LONGER,
    NAMES_EMPTY,
    NAMES_DOTS,
    NAMES_NUL,
    NAMES_CONTROL,
    NAMES_ENDLESS
};
static const char *const names_words[] = {
    [NAMES_SLASH] = "slash", [NAMES_NEWLINE] = "newline", [NAMES_LONG] = "long",
    [NAMES_LONGER] = "longer", [NAMES_EMPTY] = "empty", [NAMES_DOTS] = "dots",
    [NAMES_NUL] = "nul", [NAMES_CONTROL] = "control", [NAMES_ENDLESS] = "endless"};

static size_t odd_name(int64_t kind, uint64_t count, char name[4200])
{
    static const char *const fixed[] = {[NAMES_SLASH] = "../escaped",
                                        [NAMES_NEWLINE] = "new\nline",
                                        [NAMES_DOTS] = "..",
                                        [NAMES_CONTROL] = "\033[2J\r\377"};

    switch (kind) {
    case NAMES_LONG:
    case NAMES_LONGER:
        memset(name, 'x', 4200);
        return kind == NAMES_LONG ? 256 : 4096; /* NAME_MAX, and the most that any kernel takes, plus one each */
    case NAMES_EMPTY:
        return 0;
    case NAMES_NUL:
        memcpy(name, "nul\0nul", 7);
        return 7;
    case NAMES_ENDLESS:
        return (size_t)snprintf(name, 4200, "endless-%llu", (unsigned long long)count);
    default:
        return (size_t)snprintf(name, 4200, "%s", fixed[kind]);
    }
}

static int read_directory(const struct request *request, struct node *node, struct answer *answer, bool plus)
{
    const struct fuse_read_in *in = body(request);
    size_t most = BUFFER - sizeof(struct fuse_out_header), room = in->size < most ? in->size : most;
    const struct node *parent = node->parent ? node->parent : node;
    const struct rule *rule;
    char path[TREE_PATH_MAX], name[4200];
    uint64_t position = in->offset;

    if (position < 1 && !add_entry(answer, room, plus, ".", 1, 1, node->id, S_IFDIR, NULL))
        return 0;
    if (position < 2 && !add_entry(answer, room, plus, "..", 2, 2, parent->id, S_IFDIR, NULL))
        return 0;
    for (size_t i = 0; i < node->count; i++) {
        const struct entry *entry = &node->entries[i];

        if (entry->cookie + 2 > position &&
            !add_entry(answer, room, plus, entry->name, strlen(entry->name), entry->cookie + 2, entry->node->id,
                       entry->node->mode, entry->node))
            return 0;
    }
    tree_path(node, NULL, path, sizeof path);
    rule = lie_about(LIE_NAMES, path);
    if (!rule)
        return 0;
    for (uint64_t at = position > COOKIE_LIE ? position : COOKIE_LIE;; at++) {
        size_t length = odd_name(rule->value, at - COOKIE_LIE, name);

        if (rule->value != NAMES_ENDLESS && at > COOKIE_LIE)
            return 0;
        if (!add_entry(answer, room, plus, name, length, at + 1, at, S_IFREG, NULL))
            return 0;
    }
}

static int serve_readdir(const struct request *request, struct node *node, struct answer *answer)
{
    return read_directory(request, node, answer, false);
}

static int serve_readdirplus(const struct request *request, struct node *node, struct answer *answer)
{
    return read_directory(request, node, answer, true);
}

/* ---- serving: the connection ---- */

static int serve_init(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_init_in *in = body(request);
    uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                      FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | (options.writeback ? FUSE_WRITEBACK_CACHE : 0u);
    struct fuse_init_out *out = answer_room(answer, sizeof *out);

    (void)node;
    if (in->major != FUSE_KERNEL_VERSION || request->length < sizeof(struct fuse_in_header) + 16)
        return -EPROTO;
    out->major = FUSE_KERNEL_VERSION;
    out->minor = FUSE_KERNEL_MINOR_VERSION;
    out->max_readahead = in->max_readahead;
    out->flags = in->flags & wanted;
    out->max_background = 64;
    out->congestion_threshold = 48;
    out->max_write = MAX_WRITE;
    out->max_pages = MAX_WRITE / BLOCK;
    out->time_gran = 1;
    initialised = true;
    return 0;
}

static void send_answer(uint64_t unique, int result, struct answer *answer);
static void note(uint64_t sequence, const char *state, int result);

static int serve_interrupt(const struct request *request, struct node *node, struct answer *answer)
{
    const struct fuse_interrupt_in *in = body(request);

    (void)node;
    answer->none = true;
    for (struct request **link = &held; answer_interrupts && *link; link = &(*link)->next)
        if (header(*link)->unique == in->unique) {
            struct request *gone = *link;
            struct answer *empty = calloc(1, sizeof *empty);

            if (!empty)
                return -ENOMEM;
            empty->length = sizeof(struct fuse_out_header);
            *link = gone->next;
            send_answer(in->unique, -EINTR, empty);
            note(gone->sequence, "interrupted", 0);
            free(empty);
            free(gone);
            break;
        }
    return 0;
}

/* ---- one request ---- */

static uint64_t log_add(const struct request *request, const char *path)
{
    struct record *record = &records[record_count % LOG_MAX];

    free(record->path);
    *record = (struct record){.opcode = header(request)->opcode,
                              .pid = (pid_t)header(request)->pid,
                              .uid = header(request)->uid,
                              .gid = header(request)->gid,
                              .path = strdup(path)};
    if (record_count - record_first == LOG_MAX)
        record_first++;
    return record_count++;
}

static void note(uint64_t sequence, const char *state, int result)
{
    if (sequence >= record_first) {
        records[sequence % LOG_MAX].state = state;
        records[sequence % LOG_MAX].result = result;
    }
}

static void send_answer(uint64_t unique, int result, struct answer *answer)
{
    struct fuse_out_header *out = (void *)answer->bytes;
    ssize_t written;

    if (result < 0)
        answer->length = sizeof *out;
    *out = (struct fuse_out_header){.len = (uint32_t)answer->length, .error = result, .unique = unique};
    written = write(fuse, answer->bytes, answer->length);
    /* ENOENT: nobody waits for it any more. ENODEV: the connection is gone. Anything else is our own mistake. */
    if (written < 0 && errno != ENOENT && errno != ENODEV && fuse >= 0)
        fprintf(stderr, "faultfs: the kernel refused an answer of %zu bytes: %s\n", answer->length, strerror(errno));
}

/* A path to know the request by: that of the node, or of the name below it. */
static void path_of(const struct request *request, const struct operation *operation, char path[TREE_PATH_MAX])
{
    const struct node *node = tree_node(&tree, header(request)->nodeid);
    bool complete = request->length >= sizeof(struct fuse_in_header) + operation->least;

    if (!node)
        snprintf(path, TREE_PATH_MAX, "-");
    else
        tree_path(node, complete && operation->name_at != NO_NAME ? name_in(request, operation->name_at) : NULL, path,
                  TREE_PATH_MAX);
}

/* Carries it out and answers. */
static void serve_request(const struct request *request)
{
    static struct answer answer; /* too large for the stack, and there is one thread */
    const struct operation *operation = operation_of(header(request)->opcode);
    struct node *node = tree_node(&tree, header(request)->nodeid);
    uint32_t opcode = operation->opcode;
    bool nodeless = opcode == FUSE_INIT || opcode == FUSE_INTERRUPT || opcode == FUSE_BATCH_FORGET ||
                    opcode == FUSE_DESTROY || operation == &stranger;
    int result;

    answer.length = sizeof(struct fuse_out_header);
    answer.none = false;
    if (request->length < sizeof(struct fuse_in_header) + operation->least)
        result = -EINVAL;
    else if (!node && !nodeless)
        result = -ESTALE;
    else
        result = operation->serve(request, node, &answer);
    note(request->sequence, NULL, result);
    if (!answer.none)
        send_answer(header(request)->unique, result, &answer);
}

static void hold(struct request *request, uint64_t due)
{
    struct request **link = &held;

    while (*link)
        link = &(*link)->next;
    request->since = now_ms();
    request->due = due;
    request->next = NULL;
    *link = request;
}

static void take(struct request *request)
{
    const struct operation *operation = operation_of(header(request)->opcode);
    char path[TREE_PATH_MAX];
    struct rule *rule;

    path_of(request, operation, path);
    request->sequence = log_add(request, path);
    rule = silent(operation) ? NULL : rule_for(header(request)->opcode, path);
    if (rule && rule->fault == FAULT_STALL) {
        note(request->sequence, "stalled", 0);
        hold(request, 0);
        return;
    }
    if (rule && rule->fault == FAULT_LATE) {
        note(request->sequence, "late", 0);
        hold(request, now_ms() + (uint64_t)rule->value);
        return;
    }
    if (rule) {
        static struct answer answer;

        answer.length = sizeof(struct fuse_out_header);
        note(request->sequence, NULL, (int)-rule->value);
        send_answer(header(request)->unique, (int)-rule->value, &answer);
    } else {
        serve_request(request);
    }
    free(request);
}

/* What is due now, or everything; in the order in which it came. */
static void serve_held(bool all)
{
    uint64_t now = now_ms();
    struct request **link = &held;

    while (*link) {
        struct request *request = *link;

        if (all || (request->due && request->due <= now)) {
            *link = request->next;
            serve_request(request);
            free(request);
        } else {
            link = &request->next;
        }
    }
}

static void close_fuse(void)
{
    if (fuse >= 0)
        close(fuse);
    fuse = -1;
}

static void read_fuse(void)
{
    static char buffer[BUFFER];
    ssize_t got = read(fuse, buffer, sizeof buffer);
    struct request *request;

    if (got < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOENT)) /* ENOENT: withdrawn while we read */
        return;
    if (got < 0 && errno == ENODEV) { /* unmounted or aborted by somebody */
        close_fuse();
        ending |= background && !keep_running; /* nobody would end it; in the foreground the parent may want the log */
        return;
    }
    if (got < (ssize_t)sizeof(struct fuse_in_header))
        die("read of /dev/fuse: %s", got < 0 ? strerror(errno) : "too short");
    request = malloc(sizeof *request + (size_t)got + 2);
    if (!request)
        die("no memory for a request of %zd bytes", got);
    *request = (struct request){.length = (size_t)got};
    memcpy(request->bytes, buffer, (size_t)got);
    memset(request->bytes + got, 0, 2); /* a name or a pair of names ends here at the latest */
    take(request);
}

/* ---- the connection from outside ---- */

/* A file of this connection's directory in fusectl, through a mount of our own: on many hosts, and in most containers,
 * none is mounted. */
static int open_fusectl(const char *file, int flags)
{
    int context = fsopen("fusectl", FSOPEN_CLOEXEC), place = -1, fd = -1;
    char path[64];

    if (context < 0)
        return -errno;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        place = fsmount(context, FSMOUNT_CLOEXEC, 0);
    if (place >= 0) {
        snprintf(path, sizeof path, "%u/%s", connection, file);
        fd = openat(place, path, flags | O_CLOEXEC);
    }
    if (fd < 0)
        fd = -errno;
    close(context);
    if (place >= 0)
        close(place);
    return fd;
}

static int abort_connection(void)
{
    int fd = open_fusectl("abort", O_WRONLY), result;

    if (fd < 0)
        return fd;
    result = write(fd, "1", 1) == 1 ? 0 : -errno;
    close(fd);
    return result;
}

static long waiting(void)
{
    int fd = open_fusectl("waiting", O_RDONLY);
    char text[32] = "";
    ssize_t got;

    if (fd < 0)
        return fd;
    got = read(fd, text, sizeof text - 1);
    close(fd);
    return got > 0 ? strtol(text, NULL, 10) : -EIO;
}

/* ---- commands ---- */

struct words {
    char *rest;
};

/* The next word, NULL at the end. */
static char *word(struct words *words)
{
    char *start = words->rest + strspn(words->rest, " "), *end = start + strcspn(start, " ");

    if (!*start)
        return NULL;
    words->rest = *end ? end + 1 : end;
    *end = '\0';
    return start;
}

static bool number(const char *text, int base, int64_t *value)
{
    char *end;

    errno = 0;
    if (!text || !*text)
        return false;
    *value = strtoll(text, &end, base);
    return errno == 0 && !*end;
}

static bool error_number(const char *text, int64_t *value)
{
    for (int i = 1; text && i < 134; i++)
        if (strerrorname_np(i) && !strcmp(strerrorname_np(i), text)) {
            *value = i;
            return true;
        }
    return number(text, 10, value) && *value > 0 && *value < 512;
}

/* NTH and FRAGMENT, both optional. */
static void rule_tail(struct rule *rule, struct words *words)
{
    const char *start = words->rest + strspn(words->rest, " ");
    size_t sign = *start == '=', digits = strspn(start + sign, "0123456789");
    char after = start[sign + digits];

    rule->nth = 1;
    if (digits && (!after || after == ' ')) {
        rule->only = sign;
        rule->nth = strtoull(start + sign, NULL, 10);
        start += sign + digits;
        start += strspn(start, " ");
    }
    snprintf(rule->fragment, sizeof rule->fragment, "%s", start);
}

static const char *parse_lie(struct rule *rule, struct words *words)
{
    static const struct {
        const char *name;
        enum lie lie;
        int base; /* 0: a word */
    } lies[] = {{"size", LIE_SIZE, 10},   {"mode", LIE_MODE, 8},   {"uid", LIE_UID, 10},     {"gid", LIE_GID, 10},
                {"ino", LIE_INO, 10},     {"nlink", LIE_NLINK, 10}, {"free", LIE_FREE, 10},  {"total", LIE_TOTAL, 10},
                {"type", LIE_TYPE, 0},    {"names", LIE_NAMES, 0}, {"exchange", LIE_EXCHANGE, 0}};
    static const struct {
        const char *name;
        mode_t mode;
    } types[] = {{"dir", S_IFDIR},     {"file", S_IFREG},  {"link", S_IFLNK}, {"fifo", S_IFIFO},
                 {"socket", S_IFSOCK}, {"block", S_IFBLK}, {"char", S_IFCHR}};
    const char *what = word(words), *value = word(words);
    size_t i = 0;

    while (what && i < sizeof lies / sizeof *lies && strcmp(lies[i].name, what) != 0)
        i++;
    if (!what || !value || i == sizeof lies / sizeof *lies)
        return "lie wants WHAT and VALUE";
    rule->fault = FAULT_LIE;
    rule->lie = lies[i].lie;
    if (lies[i].base)
        return number(value, lies[i].base, &rule->value) ? NULL : "not a number";
    if (rule->lie == LIE_EXCHANGE)
        return strcmp(value, "plain") ? "exchange plain is the only one" : NULL;
    rule->value = -1;
    for (size_t j = 0; rule->lie == LIE_TYPE && j < sizeof types / sizeof *types; j++)
        if (!strcmp(types[j].name, value))
            rule->value = types[j].mode;
    for (size_t j = 0; rule->lie == LIE_NAMES && j < sizeof names_words / sizeof *names_words; j++)
        if (!strcmp(names_words[j], value))
            rule->value = (int64_t)j;
    return rule->value < 0 ? "no such value" : NULL;
}

static const char *command_rule(const char *verb, struct words *words)
{
    struct rule rule = {0};
    const char *name, *value, *wrong = NULL;

    if (rule_count == RULES)
        return "too many rules";
    snprintf(rule.text, sizeof rule.text, "%s %s", verb, words->rest);
    if (!strcmp(verb, "lie")) {
        wrong = parse_lie(&rule, words);
    } else {
        const struct operation *operation = NULL;

        name = word(words);
        for (size_t i = 0; name && i < OPERATIONS; i++)
            if (!strcmp(operations[i].name, name))
                operation = &operations[i];
        if (!name || (!operation && strcmp(name, "ANY") != 0))
            return "no such request";
        if (operation && silent(operation))
            return "the kernel waits for no answer to that one";
        rule.opcode = operation ? operation->opcode : 0;
        rule.fault = !strcmp(verb, "stall") ? FAULT_STALL : !strcmp(verb, "late") ? FAULT_LATE : FAULT_ERROR;
        value = rule.fault == FAULT_STALL ? NULL : word(words);
        if (rule.fault == FAULT_LATE && (!number(value, 10, &rule.value) || rule.value < 0))
            wrong = "late wants milliseconds";
        if (rule.fault == FAULT_ERROR && !error_number(value, &rule.value))
            wrong = "errno wants an error's name or number";
    }
    if (wrong)
        return wrong;
    rule_tail(&rule, words);
    rules[rule_count++] = rule;
    return NULL;
}

static const char *command_make(const char *verb, struct words *words)
{
    const char *path = word(words);
    int64_t mode, uid, gid;
    struct node *node = tree_node(&tree, TREE_ROOT), *made;
    bool is_file = !strcmp(verb, "file");
    char *slash, copy[TREE_PATH_MAX], *at = copy;
    int result;

    if (!number(word(words), 8, &mode) || !number(word(words), 10, &uid) || !number(word(words), 10, &gid) ||
        *path != '/')
        return "wanted: PATH MODE UID GID";
    snprintf(copy, sizeof copy, "%s", path + 1);
    while ((slash = strchr(at, '/')) != NULL) {
        *slash = '\0';
        result = tree_find(node, at, &node);
        if (result < 0)
            return strerrorname_np(-result);
        at = slash + 1;
    }
    if (!*at) { /* the root itself */
        node->mode = S_IFDIR | (mode_t)mode;
        node->uid = (uid_t)uid;
        node->gid = (gid_t)gid;
        return is_file ? "EISDIR" : NULL;
    }
    mode |= is_file ? S_IFREG : S_IFDIR;
    result = tree_make(&tree, node, at, (mode_t)mode, (uid_t)uid, (gid_t)gid, 0, NULL, &made);
    if (result == 0 && is_file) {
        result = tree_write(&tree, made, words->rest, strlen(words->rest), 0);
        made->dirty = false;
    }
    return result < 0 ? strerrorname_np(-result) : NULL;
}

static void show_log(FILE *out)
{
    for (uint64_t i = record_first; i < record_count; i++) {
        const struct record *record = &records[i % LOG_MAX];

        fprintf(out, "%llu %s %d %u %u %s ", (unsigned long long)i, operation_of(record->opcode)->name, record->pid,
                record->uid, record->gid,
                record->state         ? record->state
                : record->result == 0 ? "ok"
                                      : strerrorname_np(-record->result));
        tree_print_name(record->path ? record->path : "-", out);
        fputc('\n', out);
    }
}

static void show_held(FILE *out)
{
    for (const struct request *request = held; request; request = request->next) {
        const struct operation *operation = operation_of(header(request)->opcode);
        char path[TREE_PATH_MAX];

        path_of(request, operation, path);
        fprintf(out, "%llu %s %u %llu ", (unsigned long long)header(request)->unique, operation->name,
                header(request)->pid, (unsigned long long)(now_ms() - request->since));
        tree_print_name(path, out);
        fputc('\n', out);
    }
}

static void show_info(FILE *out)
{
    fprintf(out, "pid %d\nconnection %u\nmountpoint %s\n", getpid(), connection, mountpoint);
    fprintf(out, "connected %s\nserving %s\ninitialised %s\n", fuse < 0 ? "no" : "yes", serving ? "yes" : "no",
            initialised ? "yes" : "no");
    fprintf(out, "waiting %ld\nused %llu\n", waiting(), (unsigned long long)tree.used);
}

/* Carries out one line; what it shows goes to out. NULL or what is wrong. */
static const char *command(char *line, FILE *out)
{
    struct words words = {line};
    const char *verb = word(&words), *second;
    int result;

    if (!verb)
        return "no command";
    if (!strcmp(verb, "stall") || !strcmp(verb, "late") || !strcmp(verb, "errno") || !strcmp(verb, "lie"))
        return command_rule(verb, &words);
    if (!strcmp(verb, "mkdir") || !strcmp(verb, "file"))
        return command_make(verb, &words);
    second = word(&words);
    if (!strcmp(verb, "interrupt")) {
        answer_interrupts = second && !strcmp(second, "eintr");
        return second && (answer_interrupts || !strcmp(second, "ignore")) ? NULL : "interrupt ignore or eintr";
    }
    if (!strcmp(verb, "log") && second && !strcmp(second, "clear")) {
        record_first = record_count;
        return NULL;
    }
    if (second)
        return "too many words";
    if (!strcmp(verb, "log")) {
        show_log(out);
    } else if (!strcmp(verb, "held")) {
        show_held(out);
    } else if (!strcmp(verb, "tree")) {
        tree_print(tree_node(&tree, TREE_ROOT), "/", out);
    } else if (!strcmp(verb, "info")) {
        show_info(out);
    } else if (!strcmp(verb, "rules")) {
        for (size_t i = 0; i < rule_count; i++)
            fprintf(out, "%llu %s\n", (unsigned long long)rules[i].seen, rules[i].text);
    } else if (!strcmp(verb, "clear")) {
        rule_count = 0;
    } else if (!strcmp(verb, "release")) {
        size_t kept = 0;

        for (size_t i = 0; i < rule_count; i++)
            if (rules[i].fault == FAULT_ERROR || rules[i].fault == FAULT_LIE)
                rules[kept++] = rules[i];
        rule_count = kept;
        serve_held(true);
    } else if (!strcmp(verb, "stop-serving")) {
        serving = false;
    } else if (!strcmp(verb, "serve")) {
        serving = true;
    } else if (!strcmp(verb, "die")) {
        _exit(1);
    } else if (!strcmp(verb, "abort")) {
        keep_running = true;
        result = abort_connection();
        return result < 0 ? strerrorname_np(-result) : NULL;
    } else if (!strcmp(verb, "quit")) {
        ending = true;
    } else {
        return "no such command";
    }
    return NULL;
}

/* ---- the control socket ---- */

static void client_drop(struct client *client)
{
    close(client->fd);
    free(client->out);
    *client = (struct client){.fd = -1};
}

static void client_line(struct client *client, char *line)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    const char *wrong;
    char *joined;

    if (!out)
        die("no memory for an answer");
    wrong = command(line, out);
    fprintf(out, wrong ? "error %s\n" : "ok\n", wrong);
    if (fclose(out) != 0)
        die("no memory for an answer");
    joined = realloc(client->out, client->out_length + length);
    if (!joined)
        die("no memory for an answer");
    memcpy(joined + client->out_length, text, length);
    client->out = joined;
    client->out_length += length;
    free(text);
}

static void client_read(struct client *client)
{
    ssize_t got = read(client->fd, client->in + client->in_length, sizeof client->in - 1 - client->in_length);
    char *end;

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            client_drop(client);
        return;
    }
    client->in_length += (size_t)got;
    client->in[client->in_length] = '\0';
    while ((end = strchr(client->in, '\n')) != NULL) {
        size_t used = (size_t)(end + 1 - client->in);

        *end = '\0';
        client_line(client, client->in);
        client->in_length -= used;
        memmove(client->in, end + 1, client->in_length + 1);
    }
    if (client->in_length == sizeof client->in - 1)
        client_drop(client);
}

static void client_write(struct client *client)
{
    ssize_t done = write(client->fd, client->out + client->out_done, client->out_length - client->out_done);

    if (done < 0 && errno != EAGAIN && errno != EINTR) {
        client_drop(client);
        return;
    }
    client->out_done += done > 0 ? (size_t)done : 0;
    if (client->out_done == client->out_length)
        client->out_done = client->out_length = 0;
}

static void client_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    for (size_t i = 0; fd >= 0 && i < CLIENTS; i++)
        if (clients[i].fd < 0) {
            clients[i] = (struct client){.fd = fd};
            return;
        }
    if (fd >= 0)
        close(fd);
}

static int connect_to(const char *path, bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (listening ? SOCK_NONBLOCK : 0), 0);

    if (strlen(path) >= sizeof address.sun_path)
        die("%s: too long for a socket", path);
    strcpy(address.sun_path, path);
    if (fd < 0)
        die("socket: %s", strerror(errno));
    if (listening && (bind(fd, (void *)&address, sizeof address) < 0 || listen(fd, CLIENTS) < 0))
        die("%s: %s", path, strerror(errno));
    if (!listening && connect(fd, (void *)&address, sizeof address) < 0) {
        close(fd);
        return -errno;
    }
    return fd;
}

/* ---- the loop ---- */

static int next_due(void)
{
    uint64_t now = now_ms(), least = UINT64_MAX;

    for (const struct request *request = held; request; request = request->next)
        if (request->due && request->due < least)
            least = request->due;
    if (least == UINT64_MAX)
        return -1;
    return least <= now ? 0 : least - now > INT_MAX ? INT_MAX : (int)(least - now);
}

static void loop(int listener, int signals)
{
    struct pollfd polls[3 + CLIENTS];

    while (!ending) {
        polls[0] = (struct pollfd){.fd = signals, .events = POLLIN};
        polls[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        polls[2] = (struct pollfd){.fd = serving ? fuse : -1, .events = POLLIN};
        for (size_t i = 0; i < CLIENTS; i++)
            polls[3 + i] = (struct pollfd){.fd = clients[i].fd,
                                           .events = (short)(POLLIN | (clients[i].out_length ? POLLOUT : 0))};
        if (poll(polls, 3 + CLIENTS, next_due()) < 0 && errno != EINTR)
            die("poll: %s", strerror(errno));
        if (polls[0].revents)
            ending = true;
        serve_held(false);
        if (polls[2].revents)
            read_fuse();
        for (size_t i = 0; i < CLIENTS; i++) {
            if (clients[i].fd >= 0 && polls[3 + i].revents & POLLOUT)
                client_write(&clients[i]);
            if (clients[i].fd >= 0 && polls[3 + i].revents & (POLLIN | POLLHUP | POLLERR))
                client_read(&clients[i]);
        }
        if (polls[1].revents)
            client_accept(listener);
    }
    for (size_t i = 0; i < CLIENTS; i++) /* the answer to `quit` */
        if (clients[i].fd >= 0 && clients[i].out_length)
            client_write(&clients[i]);
}

/* ---- mounting ---- */

static void parse_option(char *option)
{
    static const struct {
        const char *name;
        bool *flag, value;
    } flags[] = {{"no_allow_other", &options.allow_other, false},
                 {"no_default_permissions", &options.default_permissions, false},
                 {"allow_other", &options.allow_other, true},
                 {"default_permissions", &options.default_permissions, true},
                 {"keep_cache", &options.keep_cache, true},
                 {"direct_io", &options.direct_io, true},
                 {"writeback", &options.writeback, true}};
    static const struct {
        const char *name;
        unsigned long set, clear;
    } mount_flags[] = {{"ro", MS_RDONLY, 0}, {"rw", 0, MS_RDONLY}, {"suid", 0, MS_NOSUID}, {"dev", 0, MS_NODEV}};
    static const struct {
        const char *name;
        unsigned long long *value;
    } numbers[] = {{"user_id", &options.user_id},           {"group_id", &options.group_id},
                   {"max_read", &options.max_read},         {"size", &options.size},
                   {"attr_timeout", &options.attr_timeout}, {"entry_timeout", &options.entry_timeout}};
    char *value = strchr(option, '=');
    int64_t parsed;

    if (value)
        *value++ = '\0';
    for (size_t i = 0; !value && i < sizeof flags / sizeof *flags; i++)
        if (!strcmp(flags[i].name, option)) {
            *flags[i].flag = flags[i].value;
            return;
        }
    for (size_t i = 0; !value && i < sizeof mount_flags / sizeof *mount_flags; i++)
        if (!strcmp(mount_flags[i].name, option)) {
            options.flags = (options.flags | mount_flags[i].set) & ~mount_flags[i].clear;
            return;
        }
    for (size_t i = 0; value && i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(numbers[i].name, option) && number(value, 10, &parsed) && parsed >= 0) {
            *numbers[i].value = (unsigned long long)parsed;
            return;
        }
    if (value && !strcmp(option, "fsname"))
        snprintf(options.fsname, sizeof options.fsname, "%s", value);
    else if (value && !strcmp(option, "fstype"))
        snprintf(options.fstype, sizeof options.fstype, "%s", value);
    else
        die("-o %s: no such option, or a bad value", option);
}

static void mount_it(void)
{
    struct statx place;
    char data[256];
    int length;

    fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fuse < 0)
        die("/dev/fuse: %s", strerror(errno));
    length = snprintf(data, sizeof data, "fd=%d,rootmode=40000,user_id=%llu,group_id=%llu%s%s", fuse, options.user_id,
                      options.group_id, options.allow_other ? ",allow_other" : "",
                      options.default_permissions ? ",default_permissions" : "");
    if (options.max_read)
        snprintf(data + length, sizeof data - (size_t)length, ",max_read=%llu", options.max_read);
    if (mount(options.fsname, mountpoint, options.fstype, options.flags, data) < 0)
        die("mount of %s on %s (%s): %s", options.fstype, mountpoint, data, strerror(errno));
    /* Asking for nothing asks no server and needs no allow_other, and yet gives the device. */
    if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &place) < 0)
        die("statx of %s: %s", mountpoint, strerror(errno));
    connection = place.stx_dev_minor;
}

static void unmount(void)
{
    close_fuse(); /* the connection ends here, so nothing below can wait for us */
    if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        fprintf(stderr, "faultfs: umount of %s: %s\n", mountpoint, strerror(errno));
    if (*socket_path)
        unlink(socket_path);
}

/* ---- ctl ---- */

/* One line there, the answer to out. 0, 1 for a refusal, -errno when there is nobody. */
static int ask(const char *path, const char *line, FILE *out)
{
    int fd = connect_to(path, false);
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    FILE *stream;
    char *text = NULL;
    size_t room = 0;
    int result = -EPIPE;

    if (fd < 0)
        return fd;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    stream = fdopen(fd, "r+");
    if (!stream)
        die("no memory");
    fprintf(stream, "%s\n", line);
    fflush(stream);
    while (getline(&text, &room, stream) > 0) {
        if (!strcmp(text, "ok\n")) {
            result = 0;
            break;
        }
        if (!strncmp(text, "error ", 6)) {
            fprintf(stderr, "faultfs: %s: %s", line, text + 6);
            result = 1;
            break;
        }
        fputs(text, out);
    }
    if (result < 0 && errno == EAGAIN)
        result = -ETIMEDOUT;
    free(text);
    fclose(stream);
    return result;
}

static int await(const char *path, const char *name, const char *count, const char *seconds)
{
    uint64_t end = now_ms() + (uint64_t)(seconds ? strtod(seconds, NULL) * 1000 : PATIENCE_MS);
    unsigned long wanted = strtoul(count, NULL, 10), seen;

    do {
        char *text = NULL, *line, *next;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        int result;

        if (!out)
            die("no memory");
        result = ask(path, "held", out);
        fclose(out);
        if (result != 0)
            die("held: %s", result < 0 ? strerror(-result) : "refused");
        seen = 0;
        for (line = text; (next = strchr(line, '\n')) != NULL; line = next + 1) {
            char *kind = strchr(line, ' ') + 1;

            seen += !strcmp(name, "ANY") || (!strncmp(kind, name, strlen(name)) && kind[strlen(name)] == ' ');
        }
        free(text);
        if (seen >= wanted)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    } while (now_ms() < end);
    fprintf(stderr, "faultfs: await: %lu of %lu %s held in time\n", seen, wanted, name);
    return 1;
}

static int control(int argc, char **argv)
{
    char line[4096];
    size_t length = 0;
    int result;

    if (argc < 4)
        die("usage: faultfs ctl SOCKET COMMAND...");
    if (!strcmp(argv[3], "await")) {
        if (argc < 6)
            die("usage: faultfs ctl SOCKET await OP COUNT [SECONDS]");
        return await(argv[2], argv[4], argv[5], argv[6]);
    }
    for (int i = 3; i < argc; i++)
        length += (size_t)snprintf(line + length, sizeof line - length, "%s%s", i > 3 ? " " : "", argv[i]);
    if (length >= sizeof line - 1 || strchr(line, '\n'))
        die("a command is one line of less than 4 kB");
    result = ask(argv[2], line, stdout);
    if (result == -EPIPE && !strcmp(line, "die")) /* no answer from the dead */
        return 0;
    if (result < 0)
        die("%s: %s", argv[2], strerror(-result));
    return result;
}

/* ---- start ---- */

static int watch_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        die("signalfd: %s", strerror(errno));
    return fd;
}

/* The first process passes the ready line on and returns; the second one goes on. */
static void go_to_background(void)
{
    int ends[2];
    pid_t pid;

    if (pipe(ends) < 0)
        die("pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid > 0) {
        char line[128];
        ssize_t got;

        close(ends[1]);
        got = read(ends[0], line, sizeof line);
        if (got > 0 && write(STDOUT_FILENO, line, (size_t)got) != got)
            got = -1;
        _exit(got > 0 ? 0 : 1);
    }
    close(ends[0]);
    setsid();
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
}

int main(int argc, char **argv)
{
    pid_t parent = getppid();
    int listener = -1, signals, option;

    if (argc > 1 && !strcmp(argv[1], "ctl"))
        return control(argc, argv);
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    while ((option = getopt(argc, argv, "+Do:c:x:")) != -1) {
        const char *wrong = NULL;

        if (option == 'D')
            background = true;
        else if (option == 'c' && strlen(optarg) < sizeof socket_path)
            strcpy(socket_path, optarg);
        else if (option == 'o')
            for (char *one = strtok(optarg, ","); one; one = strtok(NULL, ","))
                parse_option(one);
        else if (option == 'x' && (!strncmp(optarg, "mkdir ", 6) || !strncmp(optarg, "file ", 5)) && !tree.nodes &&
                 tree_begin(&tree, options.size) < 0)
            die("no memory");
        else if (option != 'x')
            die("usage: faultfs [-D] [-o OPTION,...] [-c SOCKET] [-x COMMAND]... MOUNTPOINT");
        if (option == 'x')
            wrong = command(optarg, stderr);
        if (wrong)
            die("-x: %s", wrong);
    }
    if (optind != argc - 1 || !realpath(argv[optind], mountpoint))
        die("%s: %s", optind == argc - 1 ? argv[optind] : "MOUNTPOINT",
            optind == argc - 1 ? strerror(errno) : "wanted after the options");
    if (!tree.nodes && tree_begin(&tree, options.size) < 0)
        die("no memory");
    if (background)
        go_to_background();
    signals = watch_signals();
    if (*socket_path)
        listener = connect_to(socket_path, true);
    if (chdir("/") < 0)
        die("chdir: %s", strerror(errno));
    mount_it();
    if (!background && (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent))
        ending = true;
    printf("ready %d %u\n", getpid(), connection);
    fflush(stdout);
    if (background && !freopen("/dev/null", "w", stdout)) /* the reader of the line waits for the end of the stream */
        die("/dev/null: %s", strerror(errno));
    loop(listener, signals);
    unmount();
    return 0;
}
