/* refusals: bad input. Each: status 125, an error that names the option or object, a valid record, nothing left behind.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* ---- the command line ---- */

static void option_values_out_of_form_or_range(void **state)
{
    static const struct {
        const char *option, *values[16];
    } rows[] = {
        {"--memory",
         {"0", "-1", "12Q", "99999999999999999999G", "256M ", " 256M", "256", "", "M", "1e6M", "0x10M", "256MB",
          "256 M", "0M", "nan", "1.5.5G"}},
        {"--timeout",
         {"0", "0s", "1e9", "nan", "inf", "-1s", "30", "30 s", "s", "1s1s", "99999999999999999999h", "", "1d"}},
        {"--kill-after", {"-1s", "2", "nan", "1e1s", ""}},
        {"--cpus", {"0", "-0.5", "1000", "nan", "0.5x", "", "1e0", ".", "0.0", "+1", "0.0001"}},
        {"--pids", {"0", "-1", "1.5", "", "99999999999999999999", "50 ", "0x32", "1"}},
        {"--scratch", {"0", "-1M", "12", "x", ""}},
        {"--scratch-inodes", {"0", "-1", "many", ""}},
        {"--open-files", {"0", "-1", "x", "", "99999999999"}},
        {"--network", {"host", "", "None", "bridge"}},
        {"--affinity", {"yes", "", "ON"}},
        {"--max-output", {"0", "-1", "1", "none ", "1MB", ""}},
        {"--output-limit", {"0", "-1", "1", "NONE", ""}},
        {"--env", {"", "=", "=value"}},
        {"--unenforced", {"disk", "", "memory,cpu"}},
        {"--host-uid", {"0", "-1", "4294967295", "99999999999", "root", ""}},
        {"--host-gid", {"0", "-1", "4294967295", "wheel", ""}},
        {"--rootfs", {""}},
        {"--workspace", {""}},
        {"--cgroup-parent", {"", "/../x", "/a//b", "/a/./b"}},
        {"--profile", {"", "no-such-profile", "/no/such/profile"}},
    };
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t v = 0; v < 16 && rows[i].values[v]; v++) {
            const char *value = rows[i].values[v], *joined = text_format("%s=%s", rows[i].option, value);
            /* Every value in one form; the forms by turns. */
            result = v % 2 ? RUN(HOW(0), joined, "--", "true") : RUN(HOW(0), rows[i].option, value, "--", "true");
            CHECK(result, result->status == 125 || !printf("%s was taken\n", joined));
            check_refused(result, NULL, rows[i].option);
        }
}

static void the_command_line_itself(void **state)
{
    const struct result *result;
    const char *text;
    int fd;

    (void)state;
    check_refused(BIVY("--"), "options", "no command");
    check_refused(session_finish(session_start(HOW(0), (const char *const[]){NULL})), "options", "no command");
    check_refused(BIVY("--", ""), "options", "empty");
    check_refused(BIVY("--no-such-option", "--", "true"), "options", "--no-such-option");
    check_refused(BIVY("--memoryx", "5M", "--", "true"), "options", "--memoryx");
    check_refused(BIVY("-Z", "--", "true"), "options", "-Z");
    check_refused(BIVY("--summary=yes", "--", "true"), "options", "--summary");
    check_refused(BIVY("--memory"), "options", "--memory");
    check_refused(RUN(HOW(.bare = true), "rum", "--", "true"), NULL, "rum");
    check_refused(session_finish(session_start(HOW(.bare = true), (const char *const[]){NULL})), NULL, "subcommand");
    check_refused(RUN(HOW(.verb = "clean"), "surplus"), NULL, "surplus");
    /* A record that was asked for behind the mistake is written all the same. */
    text = path_join(directory_make("report", harness.user ? USER_ID : 0, 0755), "late");
    result = RUN(HOW(.bare = true), "run", "--no-such-option", "--report", text, "--", "true");
    check_refused(result, NULL, "--no-such-option");
    fd = open(text, O_RDONLY | O_CLOEXEC);
    CHECK(result, fd >= 0);
    close(fd);
}

/* An error text never carries an escape sequence to the reader's terminal. */
static void error_texts_are_harmless(void **state)
{
    static const char *const evil[] = {"--\x1b]0;owned\x07", "--memory=\x1b[2J\r\n\x9b", "--\xff\xfe"};
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        result = BIVY(evil[i], "--", "true");
        check_refused(result, "options", NULL);
        for (const char *p = result->err; *p; p++)
            CHECK(result, (unsigned char)*p >= 0x20 || *p == '\n');
        CHECK(result, !strchr(result->err, '\x9b') || i != 1);
    }
}

/* ---- the workspace ---- */

static void workspaces_that_cannot_be(void **state)
{
    const char *place = directory_make("places", harness.uid, 0755), *good = workspace_make();

    (void)state;
    file_write(path_join(place, "file"), "");
    assert_int_equal(symlink(good, path_join(place, "link")), 0);
    assert_int_equal(symlink(".", path_join(place, "dot")), 0);
    assert_int_equal(symlink("nowhere", path_join(place, "dangling")), 0);
    assert_int_equal(mkdir(path_join(place, "dot/real"), 0755), 0);
    assert_int_equal(chown(path_join(place, "real"), harness.uid, harness.uid), 0);
    for (const char *const *name = WORDS("missing", "file", "link", "dangling", "dot/real", "file/below"); *name;
         name++) {
        const char *path = path_join(place, *name);
        check_refused(RUN(HOW(.workspace = path), "--", "touch", "ran"), "workspace", path);
    }
    assert_int_equal(access(path_join(good, "ran"), F_OK), -1);
    check_refused(RUN(HOW(.workspace = "/proc/self/cwd"), "--", "true"), "workspace", "/proc/self/cwd");
}

static void a_root_owned_workspace(void **state)
{
    const char *workspace = directory_make("workspace", 0, 0777);
    const struct result *result = RUN(HOW(.workspace = workspace), "--", "touch", "ran");

    (void)state;
    check_refused(result, "workspace", workspace);
    CHECK(result, strstr(result->err, "chown") && (harness.user || strstr(result->err, "--host-uid")));
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1);
}

static void an_unreadable_workspace(void **state)
{
    const char *place = directory_make("closed", 0, 0700), *workspace = path_join(place, "workspace");
    const struct result *result;

    (void)state;
    assert_int_equal(mkdir(workspace, 0755), 0);
    assert_int_equal(chown(workspace, harness.uid, harness.uid), 0);
    result = RUN(HOW(.workspace = workspace), "--", "touch", "ran");
    if (harness.user) /* may not search the directory above */
        check_refused(result, "workspace", workspace);
    else /* root may, and hands on nothing but the workspace itself */
        CHECK_WELL(result);
}

/* A workspace that the sandbox's id may not use: said before the command runs, not by a command that fails oddly. */
static void a_workspace_closed_to_the_sandbox(void **state)
{
    const char *workspace = directory_make("workspace", 777, 0700);

    (void)state;
    check_refused(RUN(HOW(.workspace = workspace), "--host-uid", "4242", "--", "true"), "workspace", workspace);
}

static void another_users_workspace(void **state)
{
    const char *workspace = directory_make("workspace", 777, 0777);

    (void)state;
    check_refused(RUN(HOW(.workspace = workspace), "--", "true"), "workspace", workspace);
}

/* ---- the rootfs ---- */

static void rootfs_that_cannot_be(void **state)
{
    const char *place = directory_make("places", 0, 0755), *good = path_join(place, "good");

    (void)state;
    tree_copy(harness.rootfs, good);
    file_write(path_join(place, "file"), "");
    assert_int_equal(mkdir(path_join(place, "empty"), 0755), 0);
    assert_int_equal(symlink("good", path_join(place, "link")), 0);
    for (const char *const *name = WORDS("missing", "file", "empty", "link"); *name; name++)
        check_refused(RUN(HOW(.rootfs = path_join(place, *name)), "--", "true"), "rootfs", path_join(place, *name));
    CHECK_WELL(RUN(HOW(.rootfs = good), "--", "true"));
}

/* Mount points that lead elsewhere: absolute, relative, dangling, to themselves; a file; nothing at all. */
static void rootfs_with_odd_mount_points(void **state)
{
    static const char *const points[] = {"dev", "proc", "workspace", "tmp", "home/sandbox",
                                         "run", "sys",  "var/tmp",   "home"};
    const char *outside = directory_make("outside", harness.uid, 0777), *workspace = workspace_make();
    const char *targets[] = {outside, "etc", "nowhere", ".", "../../../../etc"};
    const char *rootfs = path_join(directory_make("rootfs", 0, 0755), "tree");
    const struct result *result;
    struct stat status;

    (void)state;
    tree_copy(harness.rootfs, rootfs);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        const char *point = path_join(rootfs, points[i]), *saved = path_join(rootfs, "saved");
        assert_int_equal(rename(point, saved), 0);
        for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
            assert_int_equal(symlink(targets[t], point), 0);
            result = RUN(HOW(.rootfs = rootfs, .workspace = workspace), "--", "touch", "/workspace/ran");
            check_refused(result, "rootfs", points[i]);
            assert_int_equal(unlink(point), 0);
        }
        file_write(point, "");
        check_refused(RUN(HOW(.rootfs = rootfs, .workspace = workspace), "--", "touch", "/workspace/ran"), "rootfs",
                      points[i]);
        assert_int_equal(unlink(point), 0);
        assert_int_equal(rename(saved, point), 0);
    }
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1);
    assert_int_equal(stat(outside, &status), 0);
    assert_int_equal(status.st_nlink, 2);
    CHECK_WELL(RUN(HOW(.rootfs = rootfs, .workspace = workspace), "--", "true"));
}

static void rootfs_of_another_architecture(void **state)
{
    const char *rootfs = path_join(directory_make("rootfs", 0, 0755), "tree"), *shell;
    static const uint16_t machines[] = {EM_RISCV, EM_386, EM_ARM};
    int fd;

    (void)state;
    tree_copy(harness.rootfs, rootfs);
    shell = path_join(rootfs, "bin/busybox");
    for (size_t i = 0; i < 3; i++) {
        fd = open(shell, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, &machines[i], 2, offsetof(Elf64_Ehdr, e_machine)), 2);
        close(fd);
        check_refused(RUN(HOW(.rootfs = rootfs), "--", "true"), "rootfs", "architecture");
    }
}

/* ---- the record ---- */

static const char *full_disk;

static void mount_full_disk(void *data)
{
    char path[4200];
    int fd;

    (void)data;
    /* private: or the mount would be seen by the harness */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", full_disk, "tmpfs", 0, "size=8k,mode=777"))
        _exit(98);
    snprintf(path, sizeof path, "%s/filler", full_disk);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, path, 4096) > 0)
        ;
    close(fd);
}

static void records_that_cannot_be_written(void **state)
{
    const char *place = directory_make("report", harness.user ? USER_ID : 0, 0755), *workspace = workspace_make();
    const struct result *result;

    (void)state;
    assert_int_equal(symlink("target", path_join(place, "link")), 0);
    assert_int_equal(symlink("/dev/null", path_join(place, "null")), 0);
    for (const char *const *name = WORDS("", "missing/file", "link", "null"); *name; name++) {
        const char *path = path_join(place, *name);
        result = RUN(HOW(.workspace = workspace), "--report", path, "--", "touch", "ran");
        check_refused(result, NULL, path);
    }
    for (const char *const *fd = WORDS("fd:77", "fd:", "fd:-1", "fd:x", "fd:1x", "fd:99999999999", "fd:4294967295");
         *fd; fd++)
        check_refused(RUN(HOW(.workspace = workspace), "--report", *fd, "--", "touch", "ran"), NULL, *fd);
    check_refused(RUN(HOW(.workspace = workspace), "--report", "/dev/full", "--", "touch", "ran"), NULL, "/dev/full");
    assert_int_equal(access(path_join(place, "target"), F_OK), -1);
    full_disk = directory_make("disk", 0, 0777);
    result = RUN(HOW(.workspace = workspace, .prepare = mount_full_disk), "--report", path_join(full_disk, "record"),
                 "--", "touch", "ran");
    check_refused(result, NULL, path_join(full_disk, "record"));
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1); /* found out before the command, in every case */
}

static void mount_small_disk(void *data)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", data, "tmpfs", 0, "size=96k,mode=777"))
        _exit(98);
}

/* Room for an ordinary record, and not for this one, in which each byte of the command is six: found out before the command, too. */
static void a_record_that_is_large(void **state)
{
    char *disk = keep(strdup(directory_make("disk", 0, 0777))), *word = keep(calloc(1, 301));
    const char *workspace = workspace_make(), *words[80] = {"--report", path_join(disk, "record"), "--", "sh", "-c", "touch ran"};
    const struct result *result;

    (void)state;
    memset(word, '\001', 300);
    for (size_t i = 6; i < 79; i++)
        words[i] = word;
    result = session_finish(session_start(HOW(.workspace = workspace, .prepare = mount_small_disk, .data = disk), words));
    check_refused(result, NULL, path_join(disk, "record"));
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1);
}

static int read_only_fd;

static void make_3_read_only(void *data)
{
    (void)data;
    read_only_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (read_only_fd < 0 || dup2(read_only_fd, 3) < 0)
        _exit(98);
}

static void a_record_on_a_read_only_descriptor(void **state)
{
    const char *workspace = workspace_make();

    (void)state;
    check_refused(
        RUN(HOW(.workspace = workspace, .prepare = make_3_read_only), "--report", "fd:3", "--", "touch", "ran"), NULL,
        "fd:3");
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1);
}

/* ---- cgroups and ids ---- */

static void cgroup_parents_that_cannot_be(void **state)
{
    (void)state;
    check_refused(RUN(HOW(.parent = "/bivy-test-no-such-parent"), "--", "true"), "cgroup", "/bivy-test-no-such-parent");
    assert_int_equal(access(path_join(harness.mount[CGROUP_V2], "bivy-test-no-such-parent"), F_OK), -1);
}

static void a_cgroup_parent_of_somebody_else(void **state)
{
    const char *path = text_format("%s%s/foreign", harness.mount[CGROUP_V2], harness.parent);
    const struct result *result;

    (void)state;
    assert_true(!mkdir(path, 0755) || errno == EEXIST);
    result = RUN(HOW(.parent = text_format("%s/foreign", harness.parent)), "--", "true");
    rmdir(path);
    check_refused(result, "cgroup", "foreign");
}

/* Root in a user namespace in which only that root is mapped: no other id is to be had for the sandbox. */
static void enter_poor_namespace(void *data)
{
    char text[64];
    int fd, in[2], out[2];
    pid_t helper;

    (void)data;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        _exit(98);
    helper = fork();
    if (helper == 0) { /* outside, where the maps may be written from */
        if (read(in[0], text, 1) != 1)
            _exit(98);
        for (int map = 0; map < 2; map++) {
            snprintf(text, sizeof text, "/proc/%d/%s", getppid(), map ? "gid_map" : "uid_map");
            fd = open(text, O_WRONLY | O_CLOEXEC);
            if (fd < 0 || write(fd, "0 0 1\n", 6) != 6)
                _exit(98);
            close(fd);
        }
        if (write(out[1], "x", 1) != 1)
            _exit(98);
        _exit(0);
    }
    if (helper < 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) || write(in[1], "x", 1) != 1 || close(out[1]) ||
        read(out[0], text, 1) != 1 || waitpid(helper, NULL, 0) != helper)
        _exit(98);
}

static void no_free_ids(void **state)
{
    const struct result *result;

    (void)state;
    result = RUN(HOW(.prepare = enter_poor_namespace), "--", "true");
    check_refused(result, NULL, NULL);
    CHECK(result, !strcmp(record_text(result, "error.stage"), "idmap") && strstr(result->err, "no free ids"));
    CHECK(result, !record_null(result, "error.hint"));
}

static void options_for_root_only(void **state)
{
    (void)state;
    check_refused(BIVY("--host-uid", "4242", "--", "true"), NULL, "--host-uid");
    check_refused(BIVY("--host-gid", "4242", "--", "true"), NULL, "--host-gid");
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(option_values_out_of_form_or_range),
        TEST(the_command_line_itself),
        TEST(error_texts_are_harmless),
        TEST(workspaces_that_cannot_be),
        TEST(a_root_owned_workspace),
        TEST(an_unreadable_workspace),
        TEST_ROOT(a_workspace_closed_to_the_sandbox),
        TEST_USER(another_users_workspace),
        TEST(rootfs_that_cannot_be),
        TEST(rootfs_with_odd_mount_points),
        TEST(rootfs_of_another_architecture),
        TEST(records_that_cannot_be_written),
        TEST(a_record_that_is_large),
        TEST(a_record_on_a_read_only_descriptor),
        TEST(cgroup_parents_that_cannot_be),
        TEST_USER(a_cgroup_parent_of_somebody_else),
        TEST_ROOT(no_free_ids),
        TEST_USER(options_for_root_only),
    };

    return harness_main(argc, argv, "refusals", tests, sizeof tests / sizeof *tests);
}
