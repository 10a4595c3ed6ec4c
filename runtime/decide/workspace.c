#include "workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mountinfo.h"
#include "sys.h"

#define BELOW (PLACE_NO_LINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV)

struct question {
    const struct spec *spec;
    const char *mountinfo;
    const struct workspace_asker *asker;
    char path[PATH_MAX];
};

struct answer {
    int result;
    struct place place;
    struct fault fault;
};

static int refuse(struct answer *answer, int error, const char *what)
{
    enum trouble trouble = trouble_of_errno(error);
    const char *mend = trouble == TROUBLE_DISCONNECTED ? "is the file system's server running? unmount it and mount it again"
                       : trouble == TROUBLE_PERMISSION ? "the user bivy runs as may not search it: chmod; on FUSE mount it with allow_other"
                       : trouble == TROUBLE_FULL       ? "free some space, or raise the quota"
                       : trouble == TROUBLE_READ_ONLY  ? "mount it read-write"
                       : trouble == TROUBLE_UNRESPONSIVE ? "is the file system's server stopped or cut off?"
                       : place_mend(error)             ? place_mend(error)
                                                       : "the log of its file system's server may say why";

    answer->result = trouble_set(&answer->fault, trouble, error, mend, "workspace %.300s: %s", what,
                                 trouble == TROUBLE_DISCONNECTED ? "its file system's server is gone or in trouble"
                                                                 : place_complaint(error));
    return -1;
}

/* The line of a mount by its id (statx(2), STATX_MNT_ID). The text is a copy: the parser writes into it. */
static bool find_mount(char *text, uint64_t id, struct mountinfo *mount)
{
    for (char *cursor = text; cursor && mountinfo_next(&cursor, mount) > 0;)
        if (mount->id == id)
            return true;
    return false;
}

/* What a directory is mounted on, by what the kernel says of the open descriptor, not by its path. */
static int take_mount(const struct question *question, const char *what, struct answer *answer)
{
    struct place *place = &answer->place;
    const struct spec *spec = question->spec;
    bool strict = spec->workspace_root || spec->require_fs;
    char *text = strdup(question->mountinfo);
    struct mountinfo mount;
    struct sys_mount where;
    int result = sys_mount_of(place->fd, &where); /* asks no server: right also where one is silent or dead */

    if (result == -EACCES) {
        refuse(answer, EACCES, what);
    } else if (result < 0 || !text) {
        answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, result < 0 ? -result : ENOMEM, NULL,
                                     "workspace %.300s: its mount cannot be told", what);
    } else if (spec->workspace_root && !where.root) {
        answer->result = trouble_set(&answer->fault, TROUBLE_NOT_MOUNTED, ENODEV, "mount it (weed mount -dir=...), or correct --workspace-root",
                                     "workspace root %.300s: nothing is mounted there; what is written would go to the disk below it", what);
    } else if (!find_mount(text, where.id, &mount)) {
        answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, ENODEV, "mount /proc, and do not hide this mount from bivy",
                                     "workspace %.300s: its mount is not in /proc/self/mountinfo", what);
    } else {
        snprintf(place->fstype, sizeof place->fstype, "%s", mount.fstype);
        snprintf(place->mount, sizeof place->mount, "%s", mount.target);
        place->connection = mount.minor;
        place->may_block = trouble_may_block(mount.fstype);
        place->mount_root = where.root;
        if (strict)
            answer->result = trouble_of_mount(&mount, spec->require_fs,
                                              question->asker->privileged ? (uid_t)-1 : question->asker->euid,
                                              question->asker->privileged ? (gid_t)-1 : question->asker->egid, what, &answer->fault);
    }
    free(text);
    return answer->result < 0 ? -1 : 0;
}

/* Who the sandbox would run as, where that does not follow from the workspace. -1: it does. */
static uid_t owner_wanted(const struct question *question)
{
    if (!question->asker->privileged)
        return question->asker->euid;
    return question->spec->host_uid == SPEC_UNSET_ID ? (uid_t)-1 : (uid_t)question->spec->host_uid;
}

/* Makes what is missing, for its owner alone. As root it is root's for a moment: a run that was killed just then left an empty
 * directory of root's, which only root can have made, and which is taken over here. */
static int create(const struct question *question, int base, const char *id, struct answer *answer)
{
    uid_t owner = owner_wanted(question);
    const struct spec *spec = question->spec;
    int fd;

    if (owner == (uid_t)-1) {
        answer->result = trouble_set(&answer->fault, TROUBLE_BAD_OWNER, EINVAL, "say whose it is to be: --host-uid ID",
                                     "workspace %.200s: root cannot tell for whom to create it", id);
        return -1;
    }
    if (SYS_AGAIN(mkdirat(base, id, 0700)) < 0 && errno != EEXIST)
        return refuse(answer, errno, id);
    fd = sys_openat2(base, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC, BELOW);
    if (fd < 0)
        return refuse(answer, -fd, id);
    struct stat now;
    int error = 0;
    if (SYS_AGAIN(fstat(fd, &now)) < 0)
        error = errno;
    else if (question->asker->privileged && now.st_uid == 0 && (now.st_mode & 07777) == 0700) {
        struct sys_names names = {.dir = fd};
        const char *name;
        int some = sys_next_name(&names, &name);
        if (some < 0)
            error = -some;
        else if (some == 0 &&
                 SYS_AGAIN(fchown(fd, owner, spec->host_gid == SPEC_UNSET_ID ? (gid_t)owner : (gid_t)spec->host_gid)) < 0)
            error = errno;
    }
    close(fd);
    return error ? refuse(answer, error, id) : 0;
}

static int open_id(const struct question *question, struct answer *answer)
{
    const struct spec *spec = question->spec;
    struct place *place = &answer->place;
    SYS_CLOSES int base = place->fd;

    place->mount_root = false; /* from here on a directory of it: NO_XDEV */
    place->fd = sys_openat2(base, spec->user_id, O_PATH | O_DIRECTORY | O_CLOEXEC, BELOW);
    if (spec->create_workspace && question->asker->touch) {
        struct sys_inode now = {0};
        bool unfinished = place->fd >= 0 && question->asker->privileged && sys_inode_now(place->fd, &now) == 0 && now.uid == 0;
        if (place->fd == -ENOENT || unfinished) {
            if (place->fd >= 0)
                close(place->fd);
            place->fd = -1;
            if (create(question, base, spec->user_id, answer) < 0)
                return -1;
            place->fd = sys_openat2(base, spec->user_id, O_PATH | O_DIRECTORY | O_CLOEXEC, BELOW);
        }
    }
    if (place->fd < 0) {
        int error = -place->fd;
        place->fd = -1;
        if (error == ENOENT) {
            answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, error, "create it, or let bivy: --create-workspace",
                                         "workspace of user id %.200s: does not exist below %.200s", spec->user_id, spec->workspace_root);
            return -1;
        }
        if (error == EXDEV) {
            answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, error, "unmount it: a user's directory is a directory of the root's",
                                         "workspace of user id %.200s: something is mounted there", spec->user_id);
            return -1;
        }
        return refuse(answer, error, spec->user_id);
    }
    return 0;
}

static int check_owner(const struct question *question, struct answer *answer)
{
    const struct spec *spec = question->spec;
    const struct place *place = &answer->place;
    uid_t owner = owner_wanted(question);

    if (!spec->workspace_root && !spec->require_fs)
        return 0; /* plan decides what everybody must keep to: never root's, never another's */
    if (place->uid == 0)
        answer->result = trouble_set(&answer->fault, TROUBLE_BAD_OWNER, EPERM, "chown it to its user",
                                     "workspace %.300s: belongs to root", place->path);
    else if (place->uid < spec->owner_low || place->uid > spec->owner_high)
        answer->result = trouble_set(&answer->fault, TROUBLE_BAD_OWNER, EPERM, "chown it to its user, or widen --owner-range",
                                     "workspace %.300s: its owner %u is not from %llu to %llu", place->path, place->uid,
                                     (unsigned long long)spec->owner_low, (unsigned long long)spec->owner_high);
    else if (owner != (uid_t)-1 && place->uid != owner)
        answer->result = trouble_set(&answer->fault, TROUBLE_BAD_OWNER, EPERM, "chown it, or name the right user",
                                     "workspace %.300s: belongs to host user %u, the sandbox would be %u", place->path, place->uid, owner);
    else if (place->mode & 077)
        answer->result = trouble_set(&answer->fault, TROUBLE_BAD_OWNER, EPERM, "chmod 700",
                                     "workspace %.300s: is open to others (mode %04o)", place->path, place->mode & 07777);
    return answer->result < 0 ? -1 : 0;
}

/* One of weed's words: -name, -name=value or --name value; the value, "true" where there is none, NULL: another word. */
static const char *weed_option(const char *word, const char *name)
{
    size_t length = strlen(name);

    if (*word++ != '-')
        return NULL;
    word += *word == '-';
    if (strncmp(word, name, length) || (word[length] && word[length] != '='))
        return NULL;
    return word[length] ? word + length + 1 : "true";
}

/* Does this process serve the mount with answers given before anything is written? */
static bool weed_writes_back(const char *words, size_t length, const char *mount)
{
    bool back = false, ours = false;

    for (const char *word = words; word < words + length; word += strlen(word) + 1) {
        const char *dir = weed_option(word, "dir"), *value = weed_option(word, "writebackCache");
        const char *next = word + strlen(word) + 1;
        if (dir && !strcmp(dir, "true") && !strchr(word, '=') && next < words + length)
            dir = next;
        ours = ours || (dir && !strcmp(dir, mount));
        back = back || (value && strcmp(value, "false") && strcmp(value, "0"));
    }
    return ours && back;
}

/* The kernel shows nothing of it (it is between weed and the filer), so the command line of whoever serves the mount is asked. That takes
 * about ten microseconds a process of the host, too long for every run: `bivy plan` does it, and whoever asks for --sync. 0, the process's
 * id, or -errno. */
static int find_write_back(const char *mount)
{
    SYS_CLOSES int proc = SYS_AGAIN(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct sys_names names = {.dir = proc};
    const char *name;
    int more;

    if (proc < 0)
        return -errno;
    while ((more = sys_next_name(&names, &name)) > 0) {
        char path[64], text[8192];
        ssize_t got;
        if (name[0] < '0' || name[0] > '9' || strlen(name) > 10)
            continue;
        snprintf(path, sizeof path, "%.10s/comm", name);
        if (sys_read_file(proc, path, text, sizeof text) <= 0 || strcmp(text, "weed\n"))
            continue;
        snprintf(path, sizeof path, "%.10s/cmdline", name);
        if ((got = sys_read_file(proc, path, text, sizeof text)) > 0 && weed_writes_back(text, (size_t)got, mount))
            return (int)strtol(name, NULL, 10);
    }
    return more;
}

static int check_write_back(const struct question *question, struct answer *answer)
{
    const struct place *place = &answer->place;
    int weed = !strcmp(place->fstype, "fuse.seaweedfs") && (question->spec->sync || !question->asker->touch)
                   ? find_write_back(place->mount) : 0;

    if (weed > 0)
        answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, EPERM, "start weed mount without -writebackCache",
                                     "workspace %.200s: weed (process %d) serves %.100s with -writebackCache: what a command has closed may "
                                     "still be lost", place->path, weed, place->mount);
    return answer->result < 0 ? -1 : 0;
}

/* No room for the sandbox's user? A quota shows the same way. A file system that tells no sizes at all (0 blocks) is not full. */
static bool is_full(const struct statfs *room)
{
    return (room->f_blocks > 0 && room->f_bavail == 0) || (room->f_files > 0 && room->f_ffree == 0);
}

static void check(const struct question *question, struct answer *answer)
{
    const struct spec *spec = question->spec;
    const char *path = question->path;
    struct place *place = &answer->place;
    struct sys_inode now;
    struct statfs room;
    int result;

    memset(answer, 0, sizeof *answer);
    place->fd = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, PLACE_NO_LINKS);
    if (place->fd < 0) {
        int error = -place->fd;
        place->fd = -1;
        refuse(answer, error, path);
        return;
    }
    if (take_mount(question, path, answer) < 0 || (spec->workspace_root && open_id(question, answer) < 0))
        return;
    if ((result = place_name(place)) < 0) {
        answer->result = trouble_set(&answer->fault, TROUBLE_INVALID, -result, "mount /proc, and name a directory that is not deleted",
                                     "workspace %.300s: its path cannot be told", path);
        return;
    }
    /* A dead server's root still opens, and a silent one's attributes are invented: ask. */
    if ((result = sys_inode_now(place->fd, &now)) < 0) {
        refuse(answer, -result, path);
        return;
    }
    place_inode(place, &now);
    if (check_owner(question, answer) < 0 || check_write_back(question, answer) < 0)
        return;
    place->full = fstatfs(place->fd, &room) == 0 && is_full(&room);
}

static int check_in_helper(void *data, void *answer)
{
    check(data, answer);
    return ((struct answer *)answer)->place.fd;
}

int workspace_open(const struct spec *spec, const char *mountinfo, const struct workspace_asker *asker, struct place *place,
                   struct helper_left *left, struct fault *fault)
{
    static struct question question; /* paths and messages are much for a stack */
    static struct answer answer;
    const char *path = spec->workspace_root ? spec->workspace_root : spec->workspace;
    uint64_t started = sys_now();
    int result, fd = -1;

    question = (struct question){.spec = spec, .mountinfo = mountinfo, .asker = asker};
    if ((result = place_absolute(path, question.path)) < 0) /* also because a helper has another working directory */
        return trouble_set(fault, TROUBLE_INVALID, -result, "name it by an absolute path", "workspace %.300s: cannot be told where it is", path);
    if (place_may_block(question.path, mountinfo)) {
        const struct helper_task task = {.work = check_in_helper, .data = &question, .keep = -1, .stop = asker->stop,
                                         .by = started + spec->workspace_timeout, .answer = &answer, .size = sizeof answer};
        result = helper_run(&task, &fd, left);
        if (result == -ECANCELED)
            return trouble_set(fault, TROUBLE_UNRESPONSIVE, EINTR, NULL, "bivy was told to stop before the workspace's file system answered");
        if (result == -ETIMEDOUT)
            return trouble_set(fault, TROUBLE_UNRESPONSIVE, ETIMEDOUT,
                               "is the file system's server stopped or cut off? raise --workspace-timeout if it is only slow",
                               "workspace %.300s: its file system does not answer", path);
        if (result < 0)
            return trouble_set(fault, TROUBLE_INVALID, -result, "raise the limit of processes and open files",
                               "workspace %.300s: no helper to check it", path);
        answer.place.fd = fd; /* its number is another in this process */
    } else {
        check(&question, &answer);
    }
    *place = answer.place;
    *fault = answer.fault;
    if (answer.result == 0 && place->fd < 0)
        return trouble_set(fault, TROUBLE_INVALID, EPROTO, NULL, "workspace %.300s: the helper gave no descriptor", path);
    place->checked_ns = sys_now() - started;
    return answer.result;
}

/* Is there room for a byte? statfs(2) does not tell: a quota of SeaweedFS's does not show in it, nor does a cluster that has lost its
 * volume servers. So as the owner a file is made, brought to the server and taken away again. Only after a command that failed: it costs
 * some round trips, and the reason may be this. */
static int try_to_write(int dir, const struct workspace_look *look)
{
    char name[64];
    int fd, result = 0;

    if (geteuid() == 0 && (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, look->gid, look->gid, look->gid) < 0 ||
                           syscall(SYS_setresuid, look->uid, look->uid, look->uid) < 0))
        return 0; /* nothing was learnt */
    snprintf(name, sizeof name, ".bivy-%.32s", look->id);
    fd = SYS_AGAIN(openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600));
    if (fd < 0)
        return errno == EACCES || errno == EEXIST ? 0 : -errno;
    if (SYS_AGAIN(write(fd, "\n", 1)) < 0 || SYS_AGAIN(fsync(fd)) < 0)
        result = -errno;
    if (close(fd) < 0 && result == 0 && errno != EINTR)
        result = -errno;
    unlinkat(dir, name, 0);
    return result;
}

static int look_again(void *data, void *answer)
{
    const struct workspace_look *look = data;
    int fd = look->place->may_block ? HELPER_KEPT : look->place->fd; /* where the helper has it */
    struct statfs room;
    struct sys_inode now;
    int result = sys_inode_now(fd, &now);

    if (result == 0 && fstatfs(fd, &room) < 0)
        result = -errno;
    if (result == 0 && is_full(&room))
        result = -ENOSPC;
    if (result == 0 && look->failed && look->place->may_block)
        result = try_to_write(fd, look);
    *(enum trouble *)answer = result < 0 ? trouble_of_errno(-result) : TROUBLE_NONE;
    return -1;
}

enum trouble workspace_look_again(struct workspace_look *look, uint64_t by, struct helper_left *left)
{
    enum trouble trouble = TROUBLE_NONE;
    int fd = -1, result;

    if (!look->place->may_block) {
        look_again(look, &trouble);
        return trouble;
    }
    /* What it has made it must be able to take away again, however long the server takes. */
    const struct helper_task task = {.work = look_again, .data = look, .keep = look->place->fd, .stop = -1, .by = by,
                                     .finish = look->failed, .answer = &trouble, .size = sizeof trouble};
    result = helper_run(&task, &fd, left);
    return result == -ETIMEDOUT ? TROUBLE_UNRESPONSIVE : result < 0 ? TROUBLE_NONE : trouble;
}
