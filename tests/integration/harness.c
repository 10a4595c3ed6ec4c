#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

struct harness harness;

static struct kept {
    struct kept *next;
    void *memory;
    struct reader *tree;
} * kept_list;
bool bivy_was_killed;       /* by the test, with SIGKILL */
static char *mounts_before; /* of the test */
static bool mounts_leaked;
static unsigned names; /* makes directory names unique */

static const char *const controllers[] = {"memory", "cpu", "pids"};

/* ---- small things ---- */

double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static void keep_either(void *memory, struct reader *tree)
{
    struct kept *kept = malloc(sizeof *kept);

    if ((!memory && !tree) || !kept)
        abort();
    *kept = (struct kept){kept_list, memory, tree};
    kept_list = kept;
}

void *keep(void *memory)
{
    keep_either(memory, NULL);
    return memory;
}

void keep_tree(struct reader *tree)
{
    keep_either(NULL, tree);
}

static void keep_nothing(void)
{
    while (kept_list) {
        struct kept *next = kept_list->next;
        free(kept_list->memory);
        reader_release(kept_list->tree);
        free(kept_list);
        kept_list = next;
    }
}

char *text_format(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    return keep(text);
}

char *text_line(const char *text, const char *head)
{
    size_t length = strlen(head);

    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, head, length))
            return keep(strndup(line + length, strcspn(line + length, "\n")));
    return NULL;
}

bool text_has_line(const char *text, const char *line)
{
    size_t length = strlen(line);

    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (!strncmp(at, line, length) && (at[length] == '\n' || !at[length]))
            return true;
    return false;
}

void harness_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fail();
    abort(); /* fail() does not return */
}

uint64_t bytes_hash(const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, 64 bit */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

/* ---- files ---- */

char *path_join(const char *directory, const char *name)
{
    return text_format("%s/%s", directory, name);
}

void file_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t length = strlen(text);

    if (fd < 0 || write(fd, text, length) != (ssize_t)length)
        harness_fail("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

static char *slurp(const char *path, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t room = 4096, used = 0;
    char *text;
    ssize_t got;

    if (fd < 0)
        return NULL;
    text = malloc(room);
    while (text && (got = read(fd, text + used, room - used - 1)) > 0) {
        used += (size_t)got;
        if (used + 1 == room)
            text = realloc(text, room *= 2);
    }
    close(fd);
    if (!text)
        abort();
    text[used] = '\0';
    if (length)
        *length = used;
    return text;
}

char *file_read(const char *path, size_t *length)
{
    char *text = slurp(path, length);

    return text ? keep(text) : NULL;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path) && errno != ENOENT;
}

void tree_remove(const char *path)
{
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        harness_fail("cannot remove %s: %s", path, strerror(errno));
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    return hash * 0x9e3779b97f4a7c15u ^ bytes_hash(bytes, length);
}

static uint64_t file_hash(const char *path, uint64_t hash, bool cold)
{
    static char block[1 << 16];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
    ssize_t got;

    if (fd < 0)
        harness_fail("cannot open %s: %s", path, strerror(errno));
    if (cold)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    while ((got = read(fd, block, sizeof block)) > 0)
        hash = mix(hash, block, (size_t)got);
    close(fd);
    return hash;
}

static uint64_t walk_hash(const char *path, uint64_t hash, bool cold)
{
    struct dirent **entries;
    struct stat status;
    char text[4096];
    int count;

    if (lstat(path, &status))
        harness_fail("cannot stat %s: %s", path, strerror(errno));
    int length =
        snprintf(text, sizeof text, "%s %o %u:%u %lu %ld %ld.%ld %ld.%ld %lx", path, status.st_mode, status.st_uid,
                 status.st_gid, (unsigned long)status.st_nlink, S_ISDIR(status.st_mode) ? 0L : (long)status.st_size,
                 (long)status.st_mtim.tv_sec, (long)status.st_mtim.tv_nsec, (long)status.st_ctim.tv_sec,
                 (long)status.st_ctim.tv_nsec, (unsigned long)status.st_rdev);
    hash = mix(hash, text, (size_t)length);
    if (S_ISREG(status.st_mode))
        return file_hash(path, hash, cold);
    if (S_ISLNK(status.st_mode)) {
        ssize_t got = readlink(path, text, sizeof text);
        return mix(hash, text, got > 0 ? (size_t)got : 0);
    }
    if (!S_ISDIR(status.st_mode))
        return hash;
    count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        harness_fail("cannot list %s: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, "..")) {
            char *below;
            if (asprintf(&below, "%s/%s", path, entries[i]->d_name) < 0)
                abort();
            hash = walk_hash(below, hash, cold);
            free(below);
        }
        free(entries[i]);
    }
    free(entries);
    return hash;
}

uint64_t tree_hash(const char *path, bool cold)
{
    return walk_hash(path, 0, cold);
}

void system_run(const char *const *argv)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        dup2(2, 1); /* stdout is TAP's */
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        harness_fail("%s %s ... did not exit 0", argv[0], argv[1]);
}

const char *bivy_traced(const char *options)
{
    const char *directory = directory_make("traced", harness.uid, 0755), *wrapper = path_join(directory, "bivy");

    file_write(wrapper, text_format("#!/bin/sh\nexec strace -o %s/trace %s %s \"$@\"\n", directory, options, harness.bivy));
    if (chmod(wrapper, 0755))
        harness_fail("%s: %s", wrapper, strerror(errno));
    harness.bivy = wrapper;
    return path_join(directory, "trace");
}

void tree_copy(const char *from, const char *to)
{
    system_run(WORDS("cp", "-a", "--", from, to));
}

void tree_chown(const char *path, uid_t owner)
{
    system_run(WORDS("chown", "-hR", text_format("%u:%u", owner, owner), "--", path));
}

const char *directory_make(const char *name, uid_t owner, mode_t mode)
{
    char *path = text_format("%s/%s-%u", harness.tmp, name, names++);

    if (mkdir(path, 0700) || chown(path, owner, owner) || chmod(path, mode))
        harness_fail("cannot make %s: %s", path, strerror(errno));
    return path;
}

const char *workspace_make(void)
{
    const char *path = directory_make("workspace", harness.uid, 0700);
    const char *to = path_join(path, "payload");
    size_t length;
    char *program = file_read(harness.payload, &length);
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

    if (!program || fd < 0 || write(fd, program, length) != (ssize_t)length || fchmod(fd, 0755) ||
        fchown(fd, harness.uid, harness.uid))
        harness_fail("cannot copy %s to %s: %s", harness.payload, to, strerror(errno));
    close(fd);
    return path;
}

/* ---- cgroups ---- */

/* Fills harness.mount from mountinfo: field 5 is the mount point, after " - " come type, source and super options. */
static void find_hierarchies(void)
{
    char *text = slurp("/proc/self/mountinfo", NULL), *rest = text, *line;

    while ((line = strsep(&rest, "\n")) && *line) {
        char *tail = strstr(line, " - "), type[64], options[512], target[2048], root[2048];
        if (!tail || sscanf(line, "%*s %*s %*s %2047s %2047s", root, target) != 2 || strcmp(root, "/") ||
            sscanf(tail, " - %63s %*s %511s", type, options) != 2)
            continue;
        if (!strcmp(type, "cgroup2") && !*harness.mount[CGROUP_V2])
            strcpy(harness.mount[CGROUP_V2], target);
        for (int i = 0; i < CGROUP_V2; i++) {
            char wrapped[600], word[32];
            snprintf(wrapped, sizeof wrapped, ",%s,", options);
            snprintf(word, sizeof word, ",%s,", controllers[i]);
            if (!strcmp(type, "cgroup") && strstr(wrapped, word) && !*harness.mount[i])
                strcpy(harness.mount[i], target);
        }
    }
    free(text);
}

static char *parent_path(int hierarchy)
{
    return text_format("%s%s", harness.mount[hierarchy], harness.parent);
}

/* Two v1 controllers may share a mount: only the first of them counts. */
static bool counts(int hierarchy)
{
    if (!*harness.mount[hierarchy])
        return false;
    for (int i = 0; i < hierarchy; i++)
        if (!strcmp(harness.mount[i], harness.mount[hierarchy]))
            return false;
    return true;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool well = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return well;
}

/* A directory handed over as an administrator does it: cgroups(7), "Delegation". */
static const char *hand_over(const char *path)
{
    static const char *const files[] = {"", "/cgroup.procs", "/tasks", "/cgroup.subtree_control", "/cgroup.threads"};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *file = text_format("%s%s", path, files[i]);
        if (chown(file, USER_ID, USER_ID) && errno != ENOENT)
            return text_format("cannot chown %s: %s", file, strerror(errno));
    }
    return NULL;
}

static const char *make_parent(void)
{
    /* not bivy-*: a run whose parent is the top would take it for a stale leaf */
    snprintf(harness.parent, sizeof harness.parent, "/test-bivy-%d", getpid());
    for (int i = 0; i < CGROUP_V2; i++)
        if (!*harness.mount[i] && !write_text(path_join(harness.mount[CGROUP_V2], "cgroup.subtree_control"),
                                              text_format("+%s", controllers[i])))
            return text_format("the %s controller is neither on v1 nor to be had on v2: %s", controllers[i],
                               strerror(errno));
    for (int i = 0; i < CGROUP_COUNT; i++) {
        const char *path, *trouble;
        if (!counts(i))
            continue;
        path = parent_path(i);
        if (mkdir(path, 0755))
            return text_format("cannot make the cgroup %s: %s", path, strerror(errno));
        if (harness.user && (trouble = hand_over(path)))
            return trouble;
    }
    if (harness.user) {
        const char *path = path_join(parent_path(CGROUP_V2), "caller"), *trouble;
        if (mkdir(path, 0755))
            return text_format("cannot make the cgroup %s: %s", path, strerror(errno));
        if ((trouble = hand_over(path)))
            return trouble;
    }
    return NULL;
}

static size_t each_leaf(void (*found)(const char *path, const char *name, void *data), void *data)
{
    size_t count = 0;

    for (int i = 0; i < CGROUP_COUNT; i++) {
        char path[8192];
        DIR *directory;
        struct dirent *entry;

        if (!counts(i))
            continue;
        snprintf(path, sizeof path, "%s%s", harness.mount[i], harness.parent);
        directory = opendir(path);
        while (directory && (entry = readdir(directory))) {
            if (entry->d_type != DT_DIR || strncmp(entry->d_name, "bivy-", 5))
                continue;
            count++;
            if (found)
                found(path, entry->d_name, data);
        }
        if (directory)
            closedir(directory);
    }
    return count;
}

size_t leaf_count(void)
{
    return each_leaf(NULL, NULL);
}

struct only {
    char name[256];
    bool several;
};

static void note_name(const char *path, const char *name, void *data)
{
    struct only *only = data;

    (void)path;
    if (*only->name && strcmp(only->name, name))
        only->several = true;
    snprintf(only->name, sizeof only->name, "%s", name);
}

const char *leaf_only(void)
{
    struct only only = {0};

    each_leaf(note_name, &only);
    if (!*only.name || only.several)
        harness_fail("%s leaf below %s", only.several ? "more than one" : "no", harness.parent);
    return keep(strdup(only.name));
}

char *leaf_path(const char *leaf, enum hierarchy_name hierarchy, const char *v1_file, const char *v2_file)
{
    bool v1 = hierarchy != CGROUP_V2 && *harness.mount[hierarchy];
    const char *file = v1 ? v1_file : v2_file;

    if (!file)
        return NULL;
    return text_format("%s%s/%s/%s", harness.mount[v1 ? hierarchy : CGROUP_V2], harness.parent, leaf, file);
}

size_t leaf_pids(const char *leaf, pid_t *pids, size_t room)
{
    char *text = file_read(leaf_path(leaf, CGROUP_V2, NULL, "cgroup.procs"), NULL), *end;
    size_t count = 0;

    for (char *at = text; at && *at && count < room; at = *end ? end + 1 : end) {
        pids[count++] = (pid_t)strtol(at, &end, 10);
        if (end == at)
            harness_fail("not a list of pids: %s", text);
    }
    return count;
}

bool process_named(pid_t pid, const char *comm)
{
    char *text = file_read(text_format("/proc/%d/comm", pid), NULL);

    return text && !strncmp(text, comm, strlen(comm)) && text[strlen(comm)] == '\n';
}

static void end_leaf(const char *path, const char *name, void *data)
{
    char file[8192], *text;

    (void)data;
    snprintf(file, sizeof file, "%s/%s/cgroup.kill", path, name);
    if (!write_text(file, "1")) { /* a v1 hierarchy has no such file */
        snprintf(file, sizeof file, "%s/%s/cgroup.procs", path, name);
        text = slurp(file, NULL);
        for (char *at = text, *end; at && *at; at = end) {
            pid_t pid = (pid_t)strtol(at, &end, 10);
            if (end == at)
                break;
            kill(pid, SIGKILL);
        }
        free(text);
    }
    snprintf(file, sizeof file, "%s/%s", path, name);
    for (int i = 0; i < 2000 && rmdir(file) && errno == EBUSY; i++)
        nap();
}

static int remove_cgroup(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)place;
    if (type == FTW_DP && rmdir(path)) /* the files in it are the kernel's and go with it */
        fprintf(stderr, "cannot remove %s: %s\n", path, strerror(errno));
    return 0;
}

static void remove_parent(void)
{
    each_leaf(end_leaf, NULL);
    for (int i = 0; i < CGROUP_COUNT; i++)
        if (counts(i))
            nftw(parent_path(i), remove_cgroup, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- before and after ---- */

static int before_each(void **state)
{
    (void)state;
    bivy_was_killed = false;
    harness.bivy = getenv("BIVY");
    mounts_before = slurp("/proc/self/mountinfo", NULL);
    return mounts_before ? 0 : -1;
}

size_t children(pid_t *pids, size_t room)
{
    char *text = slurp(text_format("/proc/self/task/%d/children", getpid()), NULL), *end;
    size_t count = 0;

    for (char *at = text; at && *at && count < room; at = *end ? end + 1 : end) {
        pid_t pid = (pid_t)strtol(at, &end, 10);
        if (end == at)
            break;
        pids[count++] = pid;
    }
    free(text);
    return count;
}

/* Reaps who is dead, which bivy should have done unless it was killed. */
static bool reap_the_dead(void)
{
    bool found = false;
    int status;

    for (siginfo_t dead = {0}; waitid(P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT) == 0 && dead.si_pid > 0; dead.si_pid = 0) {
        char *name = slurp(text_format("/proc/%d/comm", dead.si_pid), NULL);
        if (dead.si_pid != validator_pid && !bivy_was_killed) {
            fprintf(stderr, "nobody has reaped process %d, %s, which ended with %d (%d)\n", dead.si_pid, name ? name : "?", dead.si_status, dead.si_code);
            found = true;
        }
        free(name);
        waitpid(dead.si_pid, &status, 0);
    }
    return found;
}

/* Children but the validator: a sandbox process that outlived bivy comes to us, the subreaper. Who was killed with bivy may take a moment more
 * to end than it takes to leave his leaf. */
static bool strays(void)
{
    bool found = reap_the_dead();
    double until = now() + (bivy_was_killed ? GUARD_SECONDS : 0);
    pid_t pids[512];
    size_t count;
    int status;

    while ((count = children(pids, sizeof pids / sizeof *pids)) > 1 && now() < until) {
        nap();
        reap_the_dead();
    }
    for (size_t i = 0; i < count; i++)
        if (pids[i] != validator_pid) {
            char *stat = slurp(text_format("/proc/%d/stat", pids[i]), NULL);
            fprintf(stderr, "process %d was left behind: %s\n", pids[i], stat ? stat : "?");
            free(stat);
            kill(pids[i], SIGKILL);
            waitpid(pids[i], &status, 0);
            found = true;
        }
    return found;
}

static void empty_tmp(void)
{
    DIR *directory = opendir(harness.tmp);
    struct dirent *entry;

    while (directory && (entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            tree_remove(path_join(harness.tmp, entry->d_name));
    if (directory)
        closedir(directory);
}

static void print_leaf(const char *path, const char *name, void *data)
{
    (void)data;
    fprintf(stderr, "left behind: %s/%s\n", path, name);
}

/* The proof after every test that nothing was left: no leaf, no process, no mount. */
static int after_each(void **state)
{
    bool clean = sessions_end();
    char *mounts;

    (void)state;
    if (each_leaf(print_leaf, NULL)) {
        clean = false;
        each_leaf(end_leaf, NULL);
    }
    if (strays())
        clean = false;
    mounts = slurp("/proc/self/mountinfo", NULL);
    if (!mounts || strcmp(mounts, mounts_before)) {
        mounts_leaked = true;
        fprintf(stderr, "mounts changed from\n%sto\n%s", mounts_before, mounts ? mounts : "");
        clean = false;
    }
    free(mounts);
    free(mounts_before);
    if (!mounts_leaked) /* else removing might reach through the mount */
        empty_tmp();
    keep_nothing();
    return clean ? 0 : -1;
}

/* Why this executable cannot run here; NULL: it can. */
static const char *prepare(void)
{
    const char *as = getenv("BIVY_TEST_AS");

    harness.bivy = getenv("BIVY");
    harness.rootfs = getenv("BIVY_ROOTFS");
    harness.payload = TEST_PAYLOAD;
    harness.user = as && !strcmp(as, "user");
    harness.uid = harness.user ? USER_ID : OWNER_ID;
    if (as && strcmp(as, "user") && strcmp(as, "root"))
        return "BIVY_TEST_AS must be root or user";
    if (!harness.bivy || access(harness.bivy, X_OK))
        return "BIVY must name the bivy program";
    if (!harness.rootfs || access(path_join(harness.rootfs, "bin/sh"), F_OK))
        return "BIVY_ROOTFS must name a rootfs (rootfs/build makes one)";
    if (access(harness.payload, X_OK))
        return "the payload program " TEST_PAYLOAD " is not built";
    if (geteuid())
        return "the tests need root to make cgroups and to change ids";
    find_hierarchies();
    if (!*harness.mount[CGROUP_V2])
        return "this host has no cgroup2 mount";
    /* A mount namespace of our own, shared like a systemd host's: a mount that leaks out of a sandbox shows here, and
     * one that somebody else makes meanwhile does not. */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL))
        return text_format("cannot make a mount namespace: %s", strerror(errno));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1))
        return "cannot become a subreaper";
    snprintf(harness.tmp, sizeof harness.tmp, "%s/bivy-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(harness.tmp) || chmod(harness.tmp, 0755))
        return text_format("cannot make %s: %s", harness.tmp, strerror(errno));
    return make_parent();
}

int harness_main(int argc, char **argv, const char *name, const struct harness_test *tests, size_t count)
{
    struct CMUnitTest chosen[128];
    const char *strict = getenv("BIVY_TEST_STRICT"), *trouble;
    size_t suit = 0;
    int result = 77;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_DFL); /* under nohup(1) or in a script's background they are ignored, and bivy would keep to that */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    trouble = prepare();
    if (trouble) {
        fprintf(stderr, "SKIP %s: %s\n", name, trouble);
        if (strict && !strcmp(strict, "1"))
            result = 1;
    } else {
        for (size_t i = 0; i < count && suit < sizeof chosen / sizeof *chosen; i++)
            if (tests[i].modes & (harness.user ? AS_USER : AS_ROOT))
                chosen[suit++] = (struct CMUnitTest){tests[i].name, tests[i].run, before_each, after_each, NULL};
        if (argc > 1 && argv[1][0] == '-')
            cmocka_set_skip_filter(argv[1] + 1);
        else if (argc > 1)
            cmocka_set_test_filter(argv[1]);
        validator_start();
        result = _cmocka_run_group_tests(name, chosen, suit, NULL, NULL);
        validator_stop();
    }
    if (*harness.parent)
        remove_parent();
    if (*harness.tmp && !mounts_leaked)
        tree_remove(harness.tmp);
    keep_nothing();
    return result;
}
