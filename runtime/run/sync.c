#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BELOW (PLACE_NO_LINKS | RESOLVE_BENEATH | RESOLVE_NO_XDEV)
#define CLOCKS_DIFFER ((int64_t)2 * 1000000000) /* the server's and ours, and the grain of its times */

struct job {
    const struct place *place;
    uid_t uid;
    gid_t gid;
    int64_t since;
    struct sync_result *result; /* shared with whoever waits: right also when time runs out */
};

static void note(struct job *job, int error)
{
    if (!job->result->error)
        job->result->error = error;
}

static bool changed(const struct job *job, const struct stat *file)
{
    return (int64_t)file->st_ctim.tv_sec * 1000000000 + file->st_ctim.tv_nsec >= job->since;
}

static void bring(struct job *job, int fd)
{
    if (SYS_AGAIN(fsync(fd)) == 0)
        job->result->files++;
    else if (errno != EINVAL && errno != EROFS) /* nothing that could be brought */
        note(job, errno);
}

static void walk(struct job *job, int dir, unsigned depth)
{
    struct sys_names names = {.dir = dir};
    const char *name;
    int more;

    while ((more = sys_next_name(&names, &name)) > 0) {
        struct stat file;
        bool directory;
        if (SYS_AGAIN(fstatat(dir, name, &file, AT_SYMLINK_NOFOLLOW)) < 0) {
            if (errno != ENOENT)
                note(job, errno);
            continue;
        }
        directory = S_ISDIR(file.st_mode);
        if (!directory && (!S_ISREG(file.st_mode) || !changed(job, &file)))
            continue;
        if (directory && depth >= SYNC_DEEPEST) {
            note(job, ENAMETOOLONG);
            continue;
        }
        SYS_CLOSES int fd = sys_openat2(dir, name, (directory ? O_DIRECTORY : 0) | O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, BELOW);
        if (fd < 0) {
            if (fd != -ENOENT && fd != -ELOOP && fd != -EXDEV)
                note(job, -fd);
            continue;
        }
        if (directory)
            walk(job, fd, depth + 1);
        if (!directory || changed(job, &file))
            bring(job, fd);
    }
    if (more < 0)
        note(job, -more);
}

static int work(void *data, void *answer)
{
    struct job *job = data;
    SYS_CLOSES int top = -1;

    *(int *)answer = 0;
    /* As the owner: what root may open or read beyond that is nothing to be brought. */
    if (geteuid() == 0 && (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, job->gid, job->gid, job->gid) < 0 ||
                           syscall(SYS_setresuid, job->uid, job->uid, job->uid) < 0)) {
        note(job, errno);
        return -1;
    }
    top = sys_openat2(HELPER_KEPT, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, PLACE_NO_LINKS);
    if (top < 0) {
        note(job, -top);
        return -1;
    }
    walk(job, top, 0);
    bring(job, top);
    return -1;
}

void sync_changed(const struct place *place, uid_t uid, gid_t gid, int64_t since, uint64_t by, int stop,
                  struct sync_result *result, struct helper_left *left)
{
    struct job job = {.place = place, .uid = uid, .gid = gid, .since = since - CLOCKS_DIFFER};
    int answer = 0, fd = -1, error;

    *result = (struct sync_result){0};
    job.result = mmap(NULL, sizeof *job.result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (job.result == MAP_FAILED) {
        result->error = ENOMEM;
        return;
    }
    const struct helper_task task = {.work = work, .data = &job, .keep = place->fd, .stop = stop, .by = by,
                                     .answer = &answer, .size = sizeof answer};
    error = helper_run(&task, &fd, left);
    *result = *job.result;
    if (error < 0)
        result->error = -error;
    munmap(job.result, sizeof *job.result);
}
