/* attack: what takes more than one process inside to try: two sandboxes side by side, a workspace that was prepared by
 * an attacker, and every way to use up a limit while a neighbour goes on working. The attacks of one process are in
 * runtime/selftest/, which `bivy selftest` runs, and which runs here as an ordinary command as well. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../integration/harness.h"

#define PAYLOAD "/workspace/payload"
#define NEIGHBOURS 3

static void release(const char *workspace)
{
    file_write(path_join(workspace, "release"), "");
}

/* Descriptors that a careless caller has open when it starts bivy: its root, its working directory, a directory of
 * secrets. */
static void leave_directories_open(void *data)
{
    for (int fd = 7; fd < 40; fd++)
        if (dup2(open(fd % 2 ? "/" : data, O_RDONLY | O_DIRECTORY), fd) != fd)
            _exit(98);
    if (chdir(data))
        _exit(98);
}

static void directories_left_open_by_the_caller(void **state)
{
    const char *secret = directory_make("secret", harness.uid, 0777);

    (void)state;
    CHECK_WELL(RUN(HOW(.workspace = workspace_make(), .prepare = leave_directories_open, .data = keep(strdup(secret))),
                   "--", PAYLOAD, "leave"));
}

/* What readers of the file get. */
static uint64_t cache_hash(const char *path)
{
    size_t length;
    const char *bytes = file_read(path, &length);

    return bytes_hash(bytes, length);
}

/* ---- the attacks of one process, as a command sees them ---- */

static void the_selftest_as_a_command(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", PAYLOAD, "selftest");

    (void)state;
    if (result->status)
        fputs(result->out, stderr);
    CHECK_WELL(result);
    CHECK(result, text_line(result->out, "1.."));
    CHECK(result, !text_line(result->out, "not ok"));
}

static void the_selftest_of_the_product(void **state)
{
    const struct result *result =
        RUN(HOW(.verb = "selftest"), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);

    (void)state;
    if (result->status)
        fputs(result->out, stderr);
    CHECK(result, result->status == 0 && !result->killed);
    CHECK(result, text_line(result->out, "1.."));
    CHECK(result, !text_line(result->out, "not ok"));
}

/* ---- files that a command finds in its workspace ---- */

static char *plant_program(const char *workspace, const char *name, uid_t owner, gid_t group, mode_t mode)
{
    char *path = path_join(workspace, name);

    tree_copy(path_join(workspace, "payload"), path);
    if (chown(path, owner, group) || chmod(path, mode))
        harness_fail("%s: %s", path, strerror(errno));
    return path;
}

static void set_id_programs_of_root(void **state)
{
    /* cap_sys_admin, cap_setuid and more, permitted and effective: linux/capability.h, struct vfs_cap_data */
    static const unsigned char capabilities[20] = {1, 0, 0,   2, 255, 255, 255, 255, 0, 0,
                                                   0, 0, 255, 1, 0,   0,   0,   0,   0, 0};
    const char *workspace = workspace_make();
    const struct how *how = HOW(.workspace = workspace);

    (void)state;
    plant_program(workspace, "root", 0, 0, 06755);
    plant_program(workspace, "own", harness.uid, harness.uid, 06755);
    plant_program(workspace, "group", harness.uid, 0, 02755);
    if (setxattr(plant_program(workspace, "caps", 0, 0, 0755), "security.capability", capabilities, sizeof capabilities,
                 0))
        harness_fail("setxattr: %s", strerror(errno));
    CHECK_WELL(RUN(how, "--", "/workspace/root", "ids"));
    CHECK_WELL(RUN(how, "--", "/workspace/own", "ids"));
    CHECK_WELL(RUN(how, "--", "/workspace/group", "ids"));
    CHECK_WELL(RUN(how, "--", "/workspace/caps", "ids"));
}

/* One that the sandbox made itself is set-id on the host too: for its own id, which is nobody there. */
static void a_set_id_program_of_its_own(void **state)
{
    const char *workspace = workspace_make();
    struct stat made;

    (void)state;
    CHECK_WELL(SH(HOW(.workspace = workspace), "cp payload mine && chmod 6755 mine && ./mine ids"));
    assert_int_equal(stat(path_join(workspace, "mine"), &made), 0);
    assert_int_equal(made.st_uid, harness.uid);
    assert_int_equal(made.st_gid, harness.uid);
}

static void device_nodes_in_the_workspace(void **state)
{
    static const struct {
        const char *name;
        mode_t type;
        unsigned major, minor;
    } nodes[] = {{"null", S_IFCHR, 1, 3}, {"mem", S_IFCHR, 1, 1}, {"disk", S_IFBLK, 8, 0}};
    const char *workspace = workspace_make();

    (void)state;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        const char *path = path_join(workspace, nodes[i].name);
        if (mknod(path, nodes[i].type, makedev(nodes[i].major, nodes[i].minor)) || chmod(path, 0666))
            harness_fail("%s: %s", path, strerror(errno));
    }
    CHECK_WELL(RUN(HOW(.workspace = workspace), "--", PAYLOAD, "nodes"));
}

static void links_out_of_the_workspace(void **state)
{
    const char *workspace = workspace_make(), *outside = directory_make("outside", harness.uid, 0777);
    const char *secret = path_join(outside, "secret");
    uint64_t before;

    (void)state;
    file_write(secret, "not for the sandbox\n");
    assert_int_equal(chmod(secret, 0666), 0);
    assert_int_equal(symlink(secret, path_join(workspace, "planted")), 0);
    assert_int_equal(symlink(outside, path_join(workspace, "planted-directory")), 0);
    before = tree_hash(outside, false);
    CHECK_WELL(RUN(HOW(.workspace = workspace), "--", PAYLOAD, "reach", secret));
    assert_true(before == tree_hash(outside, false));
}

/* runc's CVE-2019-5736: the script's interpreter is the runtime's own program on the host. The kernel does start it,
 * with no more rights than the command has; it must refuse the work, and its file must not change even where the
 * sandbox's own id owns it. */
static void a_script_whose_interpreter_is_proc_self_exe(void **state)
{
    static const char *const heads[] = {
        "#!/proc/self/exe\n",          "#!/proc/self/exe version\n",      "#!/proc/self/exe run\n",
        "#!/proc/self/exe selftest\n", "#!/proc/thread-self/exe clean\n", "#!/proc/1/exe\n"};
    const char *workspace = workspace_make(), *usual = harness.bivy,
               *own = path_join(directory_make("bin", harness.uid, 0755), "bivy");
    uint64_t before;

    (void)state;
    tree_copy(usual, own);
    if (chown(own, harness.uid, harness.uid) || chmod(own, 0777))
        harness_fail("%s: %s", own, strerror(errno));
    before = cache_hash(own);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const char *script = path_join(workspace, "script");
        unlink(script);
        file_write(script, heads[i]);
        assert_int_equal(chmod(script, 0755), 0);
        harness.bivy = own;
        const struct result *result = RUN(HOW(.workspace = workspace), "--", "/workspace/script");
        harness.bivy = usual;
        CHECK(result, result->status != 0 && !*result->out);
    }
    assert_true(before == cache_hash(own));
}

/* Median time of /bin/true with this workspace. */
static double usual_time(const char *workspace)
{
    double times[7];

    for (size_t i = 0; i < 7; i++) {
        const struct result *result = RUN(HOW(.workspace = workspace), "--", "/bin/true");
        CHECK_WELL(result);
        times[i] = result->seconds;
        for (size_t j = i; j > 0 && times[j - 1] > times[j]; j--) {
            double other = times[j];
            times[j] = times[j - 1];
            times[j - 1] = other;
        }
    }
    return times[3];
}

/* Whatever lies in a workspace, bivy looks at its root only. */
static void compare_times(const char *what, const char *hostile, double plain)
{
    double seconds = usual_time(hostile);

    printf("# %s: %.1f ms, plain workspace %.1f ms\n", what, seconds * 1000, plain * 1000);
    if (seconds > plain * 5 + 0.05)
        harness_fail("%s: %.1f ms, five times the %.1f ms of a plain workspace", what, seconds * 1000, plain * 1000);
}

static void odd_things_in_the_workspace(void **state)
{
    const char *workspace = workspace_make();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    double plain = usual_time(workspace);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(mkfifo(path_join(workspace, "fifo"), 0666), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_join(workspace, "socket"));
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    close(server);
    static const char *const names[] = {
        "a\nb", "\033[2J\033]0;owned\a", "\"\\,{}", "\xff\xfe", "-rf", "--report=x", " ", "$(reboot)", "..."};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        file_write(path_join(workspace, names[i]), names[i]);
    assert_int_equal(symlink("loop", path_join(workspace, "loop")), 0);
    tree_chown(workspace, harness.uid);
    compare_times("FIFO, socket, odd names", workspace, plain);
    CHECK_WELL(SH(HOW(.workspace = workspace), "rm -f fifo socket && ls -la"));
}

/* On a tmpfs: few disk file systems can hold the size. */
static void a_sparse_file_of_an_exbibyte(void **state)
{
    double plain = usual_time(workspace_make()), seconds;
    const char *workspace = directory_make("sparse", harness.uid, 0700);
    int fd, made;

    (void)state;
    if (mount("sparse", workspace, "tmpfs", MS_NOSUID | MS_NODEV, NULL))
        harness_fail("mount: %s", strerror(errno));
    fd = open(path_join(workspace, "file"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    made = ftruncate(fd, (off_t)1 << 60);
    close(fd);
    tree_chown(workspace, harness.uid);
    seconds = usual_time(workspace);
    umount2(workspace, MNT_DETACH);
    assert_int_equal(made, 0);
    printf("# 1 EiB: %.1f ms, plain workspace %.1f ms\n", seconds * 1000, plain * 1000);
    assert_true(seconds <= plain * 5 + 0.05);
}

static void a_hundred_thousand_files(void **state)
{
    const char *workspace = workspace_make();
    double plain = usual_time(workspace);
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        execl(path_join(workspace, "payload"), "payload", "many", workspace, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    compare_times("100,000 files", workspace, plain);
}

/* By descriptor, for the path is longer than a path may be. */
static void dig(int from, int depth)
{
    int fd = dup(from);

    for (int i = 0; i < depth; i++) {
        int below;
        if (mkdirat(fd, "dir", 0777) || (below = openat(fd, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
            harness_fail("at depth %d: %s", i, strerror(errno));
        close(fd);
        fd = below;
    }
    close(fd);
}

static void fill_in(int from, int depth)
{
    int *fds = calloc((size_t)depth + 1, sizeof *fds), reached = 0;

    /* A thousand at a time: more descriptors than a process has would be needed for all. */
    for (int left = depth; left > 0; left -= reached) {
        int most = left > 500 ? 500 : left, skip = left - most, fd = dup(from);
        for (int i = 0; i < skip; i++) {
            int below = openat(fd, "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
            close(fd);
            fd = below;
        }
        fds[0] = fd;
        for (reached = 0; reached < most; reached++)
            fds[reached + 1] = openat(fds[reached], "dir", O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (int i = reached; i > 0; i--) {
            close(fds[i]);
            unlinkat(fds[i - 1], "dir", AT_REMOVEDIR);
        }
        close(fds[0]);
    }
    free(fds);
}

static void a_tree_five_thousand_deep(void **state)
{
    const char *workspace = workspace_make();
    double plain = usual_time(workspace), deep;
    int fd = open(workspace, O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)state;
    dig(fd, 5000);
    deep = usual_time(workspace);
    fill_in(fd, 5000); /* before any verdict: the harness could not remove it */
    close(fd);
    printf("# 5,000 directories deep: %.1f ms, plain workspace %.1f ms\n", deep * 1000, plain * 1000);
    assert_true(deep <= plain * 5 + 0.05);
}

/* The workspace's own name goes into mounts, messages and the record; the harness checks that each record is JSON. */
static void a_workspace_with_an_odd_name(void **state)
{
    static const char *const names[] = {
        "new\nline", "esc\033[31m\033]0;x\a", "quo\"te\\back,comma", "bad\xff\xfeutf8", "tab\there ", "-dash", "#hash"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *path = directory_make(names[i], harness.uid, 0700);
        const struct result *result = RUN(HOW(.workspace = path), "--", "sh", "-c", "echo kept > file");
        CHECK_WELL(result);
        assert_string_equal(file_read(path_join(path, "file"), NULL), "kept\n");
        assert_int_equal(chmod(path, 0), 0);
        result = RUN(HOW(.workspace = text_format("%s/none", path)), "--", "true");
        CHECK(result, result->status == 125);
        CHECK(result, !strchr(result->err, '\033') && !strchr(result->err, '\a'));
    }
}

/* ---- two sandboxes with the same host id ---- */

static void nothing_of_a_neighbour(void **state)
{
    const char *workspace = workspace_make();
    struct session *session = START(HOW(.workspace = workspace), "--", PAYLOAD, "place");

    (void)state;
    session_expect(session, "placed");
    CHECK_WELL(RUN(HOW(.workspace = workspace_make()), "--", PAYLOAD, "look"));
    release(workspace);
    CHECK_WELL(session_finish(session));
}

static void locks_on_the_rootfs(void **state)
{
    const char *workspace = workspace_make();
    struct session *session = START(HOW(.workspace = workspace), "--", PAYLOAD, "lock");

    (void)state;
    session_expect(session, "placed");
    CHECK_WELL(BIVY("--", "true"));
    release(workspace);
    CHECK_WELL(session_finish(session));
}

/* ---- the rootfs ---- */

/* What the disk holds, past the page cache; where the file system cannot, with the cache dropped. */
static uint64_t disk_hash(const char *path)
{
    size_t length = 0, room = 16 << 20;
    char *bytes = keep(aligned_alloc(4096, room));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    ssize_t part;

    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        harness_fail("%s: %s", path, strerror(errno));
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    while (length < room && (part = read(fd, bytes + length, room - length)) > 0)
        length += (size_t)part;
    close(fd);
    return bytes_hash(bytes, length);
}

static void pages_of_the_rootfs(void **state)
{
    static const char *const files[] = {"bin/busybox", "etc/passwd", "etc/shadow", "lib/ld-musl-x86_64.so.1",
                                        "lib/ld-musl-aarch64.so.1"};
    uint64_t before = tree_hash(harness.rootfs, false);

    (void)state;
    CHECK_WELL(RUN(HOW(.workspace = workspace_make()), "--", PAYLOAD, "pages"));
    assert_true(before == tree_hash(harness.rootfs, false));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const char *path = path_join(harness.rootfs, files[i]);
        if (access(path, F_OK) == 0 && cache_hash(path) != disk_hash(path))
            harness_fail("%s: the page cache is not what the disk holds", path);
    }
}

/* ---- bombs ---- */

/* Runs of a neighbour meanwhile. Each must succeed; how long they took is printed, and no more, for the machine is
 * shared. */
static void neighbour_works(const char *bomb)
{
    double longest = 0;

    for (int i = 0; i < NEIGHBOURS; i++) {
        const struct result *result = BIVY("--", "sh", "-c", "echo alive > /tmp/x && cat /tmp/x");
        CHECK_WELL(result);
        assert_string_equal(result->out, "alive\n");
        if (result->seconds > longest)
            longest = result->seconds;
    }
    printf("# %s: the neighbour's slowest run of %d took %.1f ms\n", bomb, NEIGHBOURS, longest * 1000);
}

/* A bomb that reaches its limit, says so and stays there until the neighbour has run. */
static const struct result *held_bomb(const char *bomb)
{
    const char *workspace = workspace_make();
    struct session *session = START(HOW(.workspace = workspace), "--", PAYLOAD, "bomb", bomb);
    const struct result *result;

    session_expect(session, "reached");
    neighbour_works(bomb);
    release(workspace);
    result = session_finish(session);
    CHECK_WELL(result);
    return result;
}

/* A bomb that only bivy can end. */
static const struct result *wild_bomb(const char *bomb, const char *option, const char *value)
{
    struct session *session = START(HOW(.workspace = workspace_make()), option, value, "--", PAYLOAD, "bomb", bomb);

    neighbour_works(bomb);
    return session_finish(session);
}

#define HELD_BOMB(name)                   \
    static void bomb_##name(void **state) \
    {                                     \
        (void)state;                      \
        held_bomb(#name);                 \
    }
HELD_BOMB(threads)
HELD_BOMB(zombies)
HELD_BOMB(tmpfs)
HELD_BOMB(inodes)
HELD_BOMB(fds)
HELD_BOMB(flight)
HELD_BOMB(ptys)
HELD_BOMB(timers)
HELD_BOMB(signals)
HELD_BOMB(mq)
HELD_BOMB(inotify)

/* Sockets whose only references are messages in each other's queues outlive their process until some Unix socket of the host's closes
 * (net/unix/garbage.c), and count against the user meanwhile: the next run of the same host id must not pay for the last one's. */
static void sockets_in_flight_do_not_add_up(void **state)
{
    const char *workspace = workspace_make();

    (void)state;
    for (int i = 0; i < 4; i++) {
        const struct result *result = RUN(HOW(.workspace = workspace), "--", PAYLOAD, "crossed");
        CHECK_WELL(result);
    }
}

static void bomb_fork(void **state)
{
    const struct result *result = held_bomb("fork");

    (void)state;
    CHECK(result, record_limit_hit(result, "pids"));
}

static void bomb_wild(void **state)
{
    const struct result *result = wild_bomb("wild", "--timeout", "1s");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, record_limit_hit(result, "pids"));
}

static void bomb_pipes(void **state)
{
    const char *workspace = workspace_make();
    struct session *session = START(HOW(.workspace = workspace), "--", PAYLOAD, "bomb", "pipes");

    (void)state;
    neighbour_works("pipes");
    release(workspace);
    /* Pipe buffers are charged to the sandbox: which of the two bounds comes first depends on sysctl
     * fs.pipe-user-pages-soft. */
    const struct result *result = session_finish(session);
    if (strcmp(record_text(result, "outcome"), "oom"))
        CHECK_WELL(result);
}

static void check_oom_bomb(const char *bomb)
{
    CHECK_ENDED(wild_bomb(bomb, "--memory", "64M"), "oom", 137);
}

static void bomb_memory(void **state)
{
    (void)state;
    check_oom_bomb("memory");
}

static void bomb_named(void **state)
{
    (void)state;
    check_oom_bomb("named");
}

static void bomb_memfd(void **state)
{
    (void)state;
    check_oom_bomb("memfd");
}

static void bomb_shm(void **state)
{
    (void)state;
    check_oom_bomb("shm");
}

static void bomb_output(void **state)
{
    const struct result *result = wild_bomb("output", "--output-limit", "8M");

    (void)state;
    CHECK_ENDED(result, "output_limit", 137);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(the_selftest_of_the_product),
        TEST(the_selftest_as_a_command),
        TEST(set_id_programs_of_root),
        TEST(a_set_id_program_of_its_own),
        TEST(device_nodes_in_the_workspace),
        TEST(links_out_of_the_workspace),
        TEST(a_script_whose_interpreter_is_proc_self_exe),
        TEST(directories_left_open_by_the_caller),
        TEST(odd_things_in_the_workspace),
        TEST(a_sparse_file_of_an_exbibyte),
        TEST_ROOT(a_hundred_thousand_files),
        TEST(a_tree_five_thousand_deep),
        TEST(a_workspace_with_an_odd_name),
        TEST(nothing_of_a_neighbour),
        TEST(locks_on_the_rootfs),
        TEST(pages_of_the_rootfs),
        TEST(bomb_fork),
        TEST(bomb_wild),
        TEST(bomb_threads),
        TEST(bomb_zombies),
        TEST(bomb_memory),
        TEST(bomb_named),
        TEST(bomb_memfd),
        TEST(bomb_shm),
        TEST(bomb_tmpfs),
        TEST(bomb_inodes),
        TEST(bomb_fds),
        TEST(bomb_flight),
        TEST(sockets_in_flight_do_not_add_up),
        TEST(bomb_ptys),
        TEST(bomb_output),
        TEST(bomb_timers),
        TEST(bomb_signals),
        TEST(bomb_mq),
        TEST(bomb_inotify),
        TEST(bomb_pipes),
    };

    return harness_main(argc, argv, "attack", tests, sizeof tests / sizeof tests[0]);
}
