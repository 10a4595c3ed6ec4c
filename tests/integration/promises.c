/* promises: each promise of DESIGN.md section 1, by its number, seen from where a breach would show. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

#define NO_CAPABILITIES "0000000000000000"

/* The command's process as the host numbers it, once it has said "ready": the one of the leaf named after the payload.
 */
static pid_t command_pid(const char *leaf)
{
    pid_t pids[16], found = 0;
    size_t count = leaf_pids(leaf, pids, 16);

    for (size_t i = 0; i < count; i++)
        if (process_named(pids[i], "payload"))
            found = pids[i];
    if (!found)
        harness_fail("none of the %zu processes of %s is the command", count, leaf);
    return found;
}

static const struct result *end_ready(struct session *session)
{
    const struct result *result;

    session_kill(session, SIGTERM);
    result = session_finish(session);
    CHECK_ENDED(result, "cancelled", 128 + SIGTERM);
    return result;
}

/* ---- 1 ---- */

static void promise_01_no_privilege(void **state)
{
    static const char *const lines[] = {
        "Uid:\t1000\t1000\t1000\t1000",
        "Gid:\t1000\t1000\t1000\t1000",
        "CapInh:\t" NO_CAPABILITIES,
        "CapPrm:\t" NO_CAPABILITIES,
        "CapEff:\t" NO_CAPABILITIES,
        "CapBnd:\t" NO_CAPABILITIES,
        "CapAmb:\t" NO_CAPABILITIES,
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Seccomp_filters:\t1",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
    };
    const struct result *result = BIVY("--", "cat", "/proc/self/status");
    const char *groups, *sets[] = {"inheritable", "permitted", "effective", "bounding", "ambient"};

    (void)state;
    CHECK_WELL(result);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        CHECK(result, text_has_line(result->out, lines[i]) || !printf("missing: %s\n", lines[i]));
    groups = text_line(result->out, "Groups:");
    CHECK(result, groups && strspn(groups, " \t") == strlen(groups));
    CHECK(result, record_number(result, "isolation.uid") == 1000 && record_number(result, "isolation.gid") == 1000);
    CHECK(result, record_number(result, "isolation.groups") == 0);
    CHECK(result, record_true(result, "isolation.no_new_privs"));
    CHECK(result, !strcmp(record_text(result, "isolation.seccomp"), "filter"));
    CHECK(result, record_number(result, "isolation.seccomp_filters") == 1);
    for (size_t i = 0; i < 5; i++)
        CHECK(result, !strcmp(record_text(result, text_format("isolation.capabilities.%s", sets[i])), NO_CAPABILITIES));
}

/* Seen from the host: never id 0, one id mapped each way, and the supplementary groups of a caller gone. */
static void promise_01_ids_on_the_host(void **state)
{
    const char *workspace = workspace_make(), *leaf, *status, *map;
    struct session *session = START(HOW(.workspace = workspace), "--", "./payload", "ready");
    const struct result *result;
    pid_t pid;

    (void)state;
    session_expect(session, "ready\n");
    leaf = leaf_only();
    pid = command_pid(leaf);
    status = file_read(text_format("/proc/%d/status", pid), NULL);
    assert_string_equal(text_line(status, "Uid:"),
                        text_format("\t%u\t%u\t%u\t%u", harness.uid, harness.uid, harness.uid, harness.uid));
    assert_string_equal(text_line(status, "Gid:"),
                        text_format("\t%u\t%u\t%u\t%u", harness.uid, harness.uid, harness.uid, harness.uid));
    for (int i = 0; i < 2; i++) {
        unsigned inside, outside, length;
        int end = 0;
        map = file_read(text_format("/proc/%d/%s", pid, i ? "gid_map" : "uid_map"), NULL);
        assert_int_equal(sscanf(map, " %u %u %u %n", &inside, &outside, &length, &end), 3);
        assert_true(inside == 1000 && outside == harness.uid && length == 1 && !map[end]);
    }
    assert_string_equal(file_read(text_format("/proc/%d/setgroups", pid), NULL), "deny\n");
    result = end_ready(session);
    CHECK(result, record_number(result, "isolation.host_uid") == harness.uid);
    CHECK(result, record_number(result, "isolation.host_gid") == harness.uid);
    CHECK(result, record_number(result, "workspace.owner_uid") == harness.uid);
}

/* A set-uid root file in the workspace gives nothing. */
static void promise_01_set_uid_gives_nothing(void **state)
{
    const char *workspace = workspace_make();
    const struct result *result;

    (void)state;
    assert_int_equal(chown(path_join(workspace, "payload"), 0, 0), 0);
    assert_int_equal(chmod(path_join(workspace, "payload"), 06755), 0);
    result = RUN(HOW(.workspace = workspace), "--", "./payload", "state", "-");
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "status Uid:\t1000\t1000\t1000\t1000"));
    CHECK(result, text_has_line(result->out, "status CapEff:\t" NO_CAPABILITIES));
}

/* ---- 2, 3 ---- */

static void promise_02_own_namespaces(void **state)
{
    static const char *const kinds[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    const char *workspace = workspace_make(), *leaf;
    struct session *session = START(HOW(.workspace = workspace), "--", "./payload", "ready");
    struct stat own, inside, other;
    const struct result *result;
    ino_t seen[7];
    pid_t pids[8];
    size_t count;

    (void)state;
    session_expect(session, "ready\n");
    leaf = leaf_only();
    count = leaf_pids(leaf, pids, 8);
    assert_int_equal(count, 2); /* bivy's pid 1 and the command */
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(stat(text_format("/proc/self/ns/%s", kinds[i]), &own), 0);
        assert_int_equal(stat(text_format("/proc/%d/ns/%s", pids[0], kinds[i]), &inside), 0);
        assert_int_equal(stat(text_format("/proc/%d/ns/%s", pids[1], kinds[i]), &other), 0);
        assert_true(own.st_ino != inside.st_ino && inside.st_ino == other.st_ino);
        seen[i] = inside.st_ino;
    }
    result = end_ready(session);
    for (size_t i = 0; i < 7; i++)
        CHECK(result, record_number(result, text_format("isolation.namespaces.%s", kinds[i])) == (int64_t)seen[i]);
}

static void promise_02_what_the_namespaces_show(void **state)
{
    const struct result *result = SH(HOW(0), "hostname; cat /proc/self/cgroup; ls -d /proc/[0-9]*");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "bivy"));
    for (char *line = strtok(keep(strdup(result->out)), "\n"); line; line = strtok(NULL, "\n"))
        if (strchr(line, ':') && (!strncmp(line, "0::", 3) || strstr(line, ":memory:") || strstr(line, ":pids:")))
            CHECK(result, !strcmp(strrchr(line, ':'), ":/"));
    CHECK(result,
          strstr(record_text(result, "isolation.cgroup"), "/") && strlen(record_text(result, "isolation.cgroup")) == 1);
}

static void promise_03_no_further_namespaces(void **state)
{
    const char *workspace = workspace_make();
    struct how how = {.workspace = workspace};
    const struct result *result = SH(&how, "unshare -Ur true; echo status $?");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, !text_has_line(result->out, "status 0"));
    result = RUN(&how, "--", "./payload", "namespaces");
    CHECK_WELL(result);
    CHECK(result, !strstr(result->out, "worked"));
    CHECK(result,
          text_has_line(result->out, "clone3 user ENOSYS")); /* so that libc falls back to clone, which is filtered */
}

/* ---- 4 ---- */

struct seen_mount {
    char root[512], target[512], options[512], optional[128], type[64];
    unsigned major;
    bool found;
};

static size_t parse_mountinfo(char *text, struct seen_mount *mounts, size_t room)
{
    size_t count = 0;

    for (char *line = strtok(text, "\n"); line && count < room; line = strtok(NULL, "\n")) {
        struct seen_mount *mount = &mounts[count++];
        char *dash = strstr(line, " - ");
        int at = 0;
        *mount = (struct seen_mount){0};
        assert_non_null(dash);
        assert_int_equal(sscanf(line, "%*d %*d %u:%*u %511s %511s %511s%n", &mount->major, mount->root, mount->target,
                                mount->options, &at),
                         4);
        snprintf(mount->optional, sizeof mount->optional, "%.*s", (int)(dash - (line + at)), line + at);
        assert_int_equal(sscanf(dash, " - %63s", mount->type), 1);
    }
    return count;
}

static bool has_option(const struct seen_mount *mount, const char *word)
{
    return strstr(text_format(",%s,", mount->options), text_format(",%s,", word)) != NULL;
}

static void compare_with_plan(const struct result *seen, const struct reader *plan, struct seen_mount *mounts,
                              size_t count)
{
    static const char *const words[] = {"ro", "rw", "nosuid", "nodev", "noexec"};
    size_t matched = 0;

    for (const struct reader *row = reader_at(plan, "mounts")->child; row; row = row->next) {
        const char *target = reader_at(row, "target")->text;
        struct seen_mount *mount = NULL;
        for (size_t i = 0; i < count; i++)
            if (!strcmp(mounts[i].target, target) && !mounts[i].found)
                mount = &mounts[i];
        if (!mount) {
            CHECK(seen, reader_at(row, "optional")->truth || !printf("%s is in the plan and not inside\n", target));
            continue;
        }
        mount->found = true;
        matched++;
        for (size_t w = 0; w < 5; w++)
            CHECK(seen, has_option(mount, words[w]) == reader_holds(reader_at(row, "options"), words[w]) ||
                            !printf("%s: %s\n", target, words[w]));
    }
    for (size_t i = 0; i < count; i++)
        CHECK(seen, mounts[i].found || !printf("%s is inside and not in the plan\n", mounts[i].target));
    CHECK(seen, (int64_t)matched == record_number(seen, "isolation.mounts"));
}

static void check_mounts(const char *workspace)
{
    static struct seen_mount mounts[128];
    static const char *const nodes[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                        "/dev/random", "/dev/urandom", "/dev/tty"};
    struct how how = {.workspace = workspace};
    const struct result *seen = RUN(&how, "--", "cat", "/proc/self/mountinfo"), *planned;
    struct reader *plan;
    size_t count;

    CHECK_WELL(seen);
    how.verb = "plan";
    planned = RUN(&how, "--", "cat", "/proc/self/mountinfo");
    CHECK(planned, planned->status == 0);
    plan = reader_parse(planned->out, planned->out_length, NULL);
    CHECK(planned, plan);
    keep_tree(plan);
    count = parse_mountinfo(keep(strdup(seen->out)), mounts, 128);
    compare_with_plan(seen, plan, mounts, count);
    for (size_t i = 0; i < count; i++) {
        struct seen_mount *mount = &mounts[i];
        bool node = !strcmp(mount->target, "/dev/pts"); /* holds terminals of its own instance only */
        for (size_t n = 0; n < sizeof nodes / sizeof *nodes; n++)
            node |= !strcmp(mount->target, nodes[n]);
        CHECK(seen, has_option(mount, "nosuid") && has_option(mount, "nodev") == !node);
        CHECK(seen, strspn(mount->optional, " ") == strlen(mount->optional)); /* no shared:N, no master:N */
        if (!strcmp(mount->target, "/") || !strncmp(mount->target, "/proc", 5) || !strncmp(mount->target, "/sys", 4))
            CHECK(seen, has_option(mount, "ro"));
        if (!strcmp(mount->target, "/proc"))
            CHECK(seen, !strcmp(mount->type, "proc"));
    }
}

static void promise_04_only_the_listed_mounts(void **state)
{
    (void)state;
    check_mounts(workspace_make());
}

static void promise_04_only_the_listed_mounts_without_workspace(void **state)
{
    (void)state;
    check_mounts(NULL);
}

static void promise_04_root_and_proc_are_read_only(void **state)
{
    const struct result *result =
        SH(HOW(0),
           "for f in / /proc /sys /dev /etc /bin /proc/sys/kernel; do touch $f/x 2>/dev/null && echo wrote $f; done;"
           "for f in /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches "
           "/proc/self/oom_score_adj"
           " /proc/sysrq-trigger /proc/self/uid_map /sys/fs/cgroup/memory.max; do (echo 1 > $f) 2>/dev/null && echo "
           "wrote $f; done; echo done");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "done\n");
}

static void promise_04_masked_files_tell_nothing(void **state)
{
    const struct result *result =
        SH(HOW(0), "for f in cmdline kallsyms kcore keys interrupts modules partitions diskstats timer_list "
                   "sched_debug sysrq-trigger;"
                   " do [ -e /proc/$f ] && [ -n \"$(head -c 10 /proc/$f 2>/dev/null)\" ] && echo $f; done;"
                   "for d in acpi bus driver fs irq scsi tty; do [ -d /proc/$d ] && [ -n \"$(ls -A /proc/$d "
                   "2>/dev/null)\" ] && echo $d; done; echo done");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "done\n");
}

/* ---- 5, 6 ---- */

/* The rootfs is owned by the very id that the sandbox runs as and open to all: nothing but the read-only mount protects
 * it. */
static void promise_05_the_rootfs_never_changes(void **state)
{
    const char *workspace = workspace_make(), *rootfs = path_join(harness.tmp, "rootfs");
    struct how how = {.workspace = workspace, .rootfs = rootfs};
    const struct result *result;
    uint64_t before;

    (void)state;
    tree_copy(harness.rootfs, rootfs);
    tree_chown(rootfs, harness.uid);
    file_write(path_join(rootfs, "etc/canary"), "unchanged\n");
    assert_int_equal(chown(path_join(rootfs, "etc/canary"), harness.uid, harness.uid), 0);
    assert_int_equal(chmod(path_join(rootfs, "etc/canary"), 0777), 0);
    before = tree_hash(rootfs, false);
    result = RUN(&how, "--", "./payload", "writes", "/etc/canary", "/bin/busybox", "/bin", "/etc/passwd", "/");
    CHECK_WELL(result);
    CHECK(result, !strstr(result->out, "worked"));
    CHECK(result, strstr(result->out, "open-write /etc/canary EROFS"));
    CHECK(result, strstr(result->out, "splice /etc/canary EINVAL"));
    result = SH(&how, "rm -rf /bin /etc /lib /usr /sbin 2>/dev/null; echo done");
    CHECK(result, result->status == 0 && !strcmp(result->out, "done\n"));
    assert_true(tree_hash(rootfs, false) == before); /* as the page cache has it */
    assert_true(tree_hash(rootfs, true) == before);  /* as the disk has it */
}

static void promise_06_the_host_is_reached_through_the_workspace_only(void **state)
{
    const char *workspace = workspace_make(), *canary = directory_make("canary", harness.uid, 0777);
    const char *file = path_join(canary, "victim"), *name = strrchr(canary, '/') + 1;
    const struct result *result;
    struct stat status;
    uint64_t before;

    (void)state;
    file_write(file, "unchanged\n");
    assert_int_equal(chown(file, harness.uid, harness.uid), 0);
    assert_int_equal(chmod(file, 0666), 0);
    before = tree_hash(canary, false);
    result = RUN(HOW(.workspace = workspace), "--", "./payload", "escape", file, text_format("../%s/victim", name),
                 text_format("%s/victim", name));
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "climbed 0"));
    CHECK(result, strstr(result->out, "symlink /workspace/link-0 worked"));
    for (const char *const *what =
             WORDS("through", "link ", "rename-in", "rename-out", "rename-across", "link-across", "mknod");
         *what; what++)
        for (const char *line = result->out; (line = strstr(line, *what)); line++)
            if (line == result->out || line[-1] == '\n')
                CHECK(result, strncmp(strchr(line, '\n') - 6, "worked", 6));
    assert_true(tree_hash(canary, false) == before);
    /* What it left in the workspace is what the kernel let it make as an ordinary user: no device, nothing of root's.
     */
    assert_int_equal(lstat(path_join(workspace, "disk"), &status), -1);
    assert_int_equal(lstat(path_join(workspace, "link-0"), &status), 0);
    assert_int_equal(status.st_uid, harness.uid);
    /* The same workspace, symlinks and all, still works. */
    result = SH(HOW(.workspace = workspace), "cat link-0 link-1 loop; echo kept > file; cat file");
    CHECK(result, result->status == 0 && !strcmp(result->out, "kept\n"));
    assert_string_equal(file_read(path_join(workspace, "file"), NULL), "kept\n");
    assert_true(tree_hash(canary, false) == before);
}

/* ---- 7 ---- */

static void promise_07_only_pipes_and_a_clean_environment(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "state", "-");
    size_t descriptors = 0, variables = 0;

    (void)state;
    CHECK_WELL(result);
    for (const char *line = result->out; *line; line = strchr(line, '\n') + 1) {
        descriptors += !strncmp(line, "descriptor ", 11);
        variables += !strncmp(line, "env ", 4);
    }
    CHECK(result, descriptors == 3 && variables == 5);
    CHECK(result, strstr(result->out, "descriptor 0 /dev/null ") && strstr(result->out, "descriptor 1 pipe ") &&
                      strstr(result->out, "descriptor 2 pipe "));
    CHECK(result, record_number(result, "isolation.descriptors") == 3);
}

/* The pipes are bivy's own: another inode than the caller's, so that no flag or lock set on them is seen outside. */
static void promise_07_the_pipes_are_not_the_callers(void **state)
{
    const char *workspace = workspace_make(), *leaf;
    struct session *session = START(HOW(.workspace = workspace), "--", "./payload", "ready");
    struct stat ours, theirs;
    pid_t pid;

    (void)state;
    session_expect(session, "ready\n");
    leaf = leaf_only();
    pid = command_pid(leaf);
    for (int fd = 1; fd < 3; fd++) {
        assert_int_equal(fstat(fd == 1 ? session->out : session->err, &ours), 0);
        assert_int_equal(stat(text_format("/proc/%d/fd/%d", pid, fd), &theirs), 0);
        assert_true(S_ISFIFO(theirs.st_mode) && ours.st_ino != theirs.st_ino);
    }
    end_ready(session);
}

/* ---- 8 ---- */

static void promise_08_pid_1_cannot_be_read_or_traced(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "peek");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, !strstr(result->out, " worked"));
    CHECK(result, text_has_line(result->out, "process self exe /workspace/payload"));
    for (const char *line = result->out; (line = strstr(line, "process ")); line++)
        if (line == result->out || line[-1] == '\n')
            CHECK(result, !strncmp(line, "process self", 12) || !strncmp(line, "process_vm", 10));
    CHECK(result, !strstr(result->out, "bivy"));
}

static void promise_08_pid_1_cannot_be_signalled(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "signal-one");

    (void)state;
    CHECK_ENDED(result, "exited", 3); /* pid 1 lived to tell how the command ended */
    CHECK(result, text_has_line(result->out, "still here"));
}

static void promise_08_pid_1_cannot_be_starved(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "starve-one");

    (void)state;
    CHECK_ENDED(result, "exited", 3);
    CHECK(result, text_has_line(result->out, "still here"));
    CHECK(result, !strstr(result->out,
                          "prlimit 1 7 worked")); /* what it breaks in pid 1 depends on the kernel and the moment */
}

/* kill -1 reaches whatever the sandbox may signal: it must not reach pid 1's work, nor bivy. */
static void promise_08_kill_minus_one(void **state)
{
    const struct result *result = SH(HOW(0), "kill -9 -1; kill -TERM -1; kill -STOP 1; kill -9 1; echo alive; exit 9");

    (void)state;
    CHECK_ENDED(result, "exited", 9);
    CHECK(result, text_has_line(result->out, "alive"));
}

/* ---- 9 ---- */

static void promise_09_no_network(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--", "./payload", "links");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "link lo down\n");
    CHECK(result,
          record_number(result, "isolation.network_links") == 1 && !record_true(result, "isolation.loopback_up"));
    result = RUN(&how, "--", "./payload", "talk");
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "connect ENETUNREACH\n") && strstr(result->out, "outside ENETUNREACH\n"));
}

static void promise_09_loopback_when_asked(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--network", "loopback", "--", "./payload", "links");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "link lo up\n");
    CHECK(result,
          record_number(result, "isolation.network_links") == 1 && record_true(result, "isolation.loopback_up"));
    result = RUN(&how, "--network", "loopback", "--", "./payload", "talk");
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "connect worked\n") && strstr(result->out, "outside ENETUNREACH\n"));
}

/* Two sandboxes of the same host id and workspace at the same time share the workspace and nothing else. */
static void promise_09_nothing_shared_side_by_side(void **state)
{
    struct how how = {.workspace = workspace_make()};
    struct session *first = START(&how, "--network", "loopback", "--", "./payload", "offer");
    const struct result *result;

    (void)state;
    session_expect(first, "offered\n");
    if (!strstr(first->result.out, "socket worked") || !strstr(first->result.out, "shm worked") ||
        !strstr(first->result.out, "file worked") || !strstr(first->result.out, "tmp worked"))
        harness_fail("nothing was offered: %s", first->result.out);
    result = RUN(&how, "--network", "loopback", "--", "./payload", "look");
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "socket ECONNREFUSED\n") && strstr(result->out, "shm ENOENT\n") &&
                      strstr(result->out, "file ENOENT\n") && strstr(result->out, "tmp ENOENT\n") &&
                      strstr(result->out, "others 0\n") && !strstr(result->out, "key worked"));
    end_ready(first);
}

/* ---- 10 ---- */

static void promise_10_dangerous_calls_are_refused(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--", "./payload", "calls");

    (void)state;
    CHECK_WELL(result);
    for (const char *line = result->out; *line; line = strchr(line, '\n') + 1) {
        const char *verdict = strchr(line, ' ') + 1;
        CHECK(result, !strncmp(verdict, "EPERM\n", 6) || !strncmp(verdict, "ENOSYS\n", 7) ||
                          !printf("%.*s", (int)strcspn(line, "\n") + 1, line));
    }
    CHECK(result, text_has_line(result->out, "unknown ENOSYS"));
}

static void promise_10_only_harmless_sockets(void **state)
{
    static const char *const open_ones[] = {"unix", "inet", "inet6", "route"};
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "families");

    (void)state;
    CHECK_WELL(result);
    for (size_t i = 0; i < 4; i++)
        CHECK(result, text_has_line(result->out, text_format("%s worked", open_ones[i])));
    for (const char *line = result->out; *line; line = strchr(line, '\n') + 1) {
        bool listed = false;
        for (size_t i = 0; i < 4; i++)
            listed |= !strncmp(line, open_ones[i], strlen(open_ones[i])) && line[strlen(open_ones[i])] == ' ';
        CHECK(result, listed || strncmp(strchr(line, ' '), " worked\n", 8));
    }
}

#ifdef __x86_64__
static void promise_10_the_32_bit_door_kills(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--", "./payload", "old-door");

    (void)state;
    CHECK_ENDED(result, "signaled", 128 + SIGSYS);
    CHECK(result, !strcmp(record_text(result, "signal_name"), "SIGSYS") && result->out_length == 0);
}
#endif

/* ---- 11 ---- */

static void check_knob(const char *leaf, enum hierarchy_name hierarchy, const char *v1, const char *v2,
                       const char *v1_value, const char *v2_value)
{
    bool old = *harness.mount[hierarchy];
    const char *path = leaf_path(leaf, hierarchy, v1, v2), *text, *expected = old ? v1_value : v2_value;

    if (!path)
        return;
    text = file_read(path, NULL);
    if (!text || strncmp(text, expected, strlen(expected)) || strcmp(text + strlen(expected), "\n"))
        harness_fail("%s holds %s, not %s", path, text ? text : "nothing", expected);
}

static void promise_11_the_default_limits_stand_in_the_cgroup(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--", "./payload", "ready");
    const struct result *result;
    const char *leaf, *path;

    (void)state;
    session_expect(session, "ready\n");
    leaf = leaf_only();
    check_knob(leaf, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", "268435456", "268435456");
    path = leaf_path(leaf, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max");
    if (!access(path, F_OK)) /* no swap accounting: then there must be no swap */
        check_knob(leaf, CGROUP_MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max", "268435456", "0");
    else
        assert_null(strstr(file_read("/proc/swaps", NULL), "\n/"));
    check_knob(leaf, CGROUP_MEMORY, NULL, "memory.oom.group", NULL, "1");
    check_knob(leaf, CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000");
    check_knob(leaf, CGROUP_CPU, "cpu.cfs_period_us", NULL, "100000", NULL);
    check_knob(leaf, CGROUP_PIDS, "pids.max", "pids.max", "50", "50");
    for (int i = 0; i < CGROUP_COUNT; i++) { /* and it is the command that is in there, in every hierarchy */
        pid_t pid = command_pid(leaf);
        path = leaf_path(leaf, (enum hierarchy_name)i, "cgroup.procs", "cgroup.procs");
        assert_true(text_has_line(file_read(path, NULL), text_format("%d", pid)));
    }
    result = end_ready(session);
    CHECK(result, record_number(result, "memory.limit_bytes") == 268435456);
    CHECK(result, record_real(result, "cpu.limit") == 0.5);
    CHECK(result, record_number(result, "pids.limit") == 50);
    CHECK(result, record_real(result, "times.timeout_ms") == 30000);
    CHECK(result, reader_count(reader_at(result->record, "unenforced")) == 0);
    CHECK(result,
          record_number(result, "memory.peak_bytes") > 0 && record_number(result, "memory.peak_bytes") <= 268435456);
}

static void promise_11_the_limits_asked_for_stand_in_the_cgroup(void **state)
{
    struct session *session = START(HOW(.workspace = workspace_make()), "--memory", "40M", "--cpus=1.5", "--pids", "7",
                                    "--timeout", "1.5m", "--", "./payload", "ready");
    const struct result *result;
    const char *leaf;

    (void)state;
    session_expect(session, "ready\n");
    leaf = leaf_only();
    check_knob(leaf, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", "41943040", "41943040");
    check_knob(leaf, CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max", "150000", "150000 100000");
    check_knob(leaf, CGROUP_PIDS, "pids.max", "pids.max", "7", "7");
    result = end_ready(session);
    CHECK(result, record_number(result, "memory.limit_bytes") == 41943040 && record_number(result, "pids.limit") == 7);
    CHECK(result, record_real(result, "cpu.limit") == 1.5 && record_real(result, "times.timeout_ms") == 90000);
}

static void promise_11_the_answer_comes_in_time(void **state)
{
    const struct result *result = RUN(HOW(.workspace = workspace_make()), "--timeout", "1s", "--kill-after", "300ms",
                                      "--", "./payload", "stubborn");

    (void)state;
    CHECK_ENDED(result, "timeout", 124);
    CHECK(result, result->seconds >= 1 && result->seconds < 1 + 0.3 + 2);
}

/* ---- 12 ---- */

static void remove_mount_point(const char *rootfs, const char *name)
{
    tree_remove(path_join(rootfs, name));
}

/* A set-up that cannot be done as planned: nothing of the command runs, not even a little. */
static void promise_12_fails_closed(void **state)
{
    static const char *const points[] = {"tmp", "proc", "dev", "var/tmp", "home/sandbox", "workspace"};
    const char *workspace = workspace_make(), *rootfs;
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        rootfs = path_join(directory_make("rootfs", 0, 0755), "tree");
        tree_copy(harness.rootfs, rootfs);
        remove_mount_point(rootfs, points[i]);
        result = SH(HOW(.workspace = workspace, .rootfs = rootfs), "touch /workspace/ran; echo ran");
        check_refused(result, "rootfs", points[i]);
        tree_remove(rootfs);
    }
    assert_int_equal(access(path_join(workspace, "ran"), F_OK), -1);
}

/* Limits too small for set-up itself: it is refused or it runs whole, but never runs with less. */
static void promise_12_limits_that_hit_the_set_up(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result = RUN(&how, "--pids", "2", "--", "./payload", "state", "-");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "status Seccomp:\t2"));
    result = RUN(&how, "--memory", "4M", "--", "./payload", "state", "-");
    if (result->out_length)
        CHECK(result, text_has_line(result->out, "status Seccomp:\t2"));
    else
        CHECK(result, !strcmp(record_text(result, "outcome"), "oom") || result->status == 125);
    result = RUN(&how, "--scratch", "64K", "--scratch-inodes", "64", "--", "./payload", "state", "-");
    CHECK_WELL(result);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(promise_01_no_privilege),
        TEST(promise_01_ids_on_the_host),
        TEST(promise_01_set_uid_gives_nothing),
        TEST(promise_02_own_namespaces),
        TEST(promise_02_what_the_namespaces_show),
        TEST(promise_03_no_further_namespaces),
        TEST(promise_04_only_the_listed_mounts),
        TEST(promise_04_only_the_listed_mounts_without_workspace),
        TEST(promise_04_root_and_proc_are_read_only),
        TEST(promise_04_masked_files_tell_nothing),
        TEST(promise_05_the_rootfs_never_changes),
        TEST(promise_06_the_host_is_reached_through_the_workspace_only),
        TEST(promise_07_only_pipes_and_a_clean_environment),
        TEST(promise_07_the_pipes_are_not_the_callers),
        TEST(promise_08_pid_1_cannot_be_read_or_traced),
        TEST(promise_08_pid_1_cannot_be_signalled),
        TEST(promise_08_pid_1_cannot_be_starved),
        TEST(promise_08_kill_minus_one),
        TEST(promise_09_no_network),
        TEST(promise_09_loopback_when_asked),
        TEST(promise_09_nothing_shared_side_by_side),
        TEST(promise_10_dangerous_calls_are_refused),
        TEST(promise_10_only_harmless_sockets),
#ifdef __x86_64__
        TEST(promise_10_the_32_bit_door_kills),
#endif
        TEST(promise_11_the_default_limits_stand_in_the_cgroup),
        TEST(promise_11_the_limits_asked_for_stand_in_the_cgroup),
        TEST(promise_11_the_answer_comes_in_time),
        TEST(promise_12_fails_closed),
        TEST(promise_12_limits_that_hit_the_set_up),
    };

    return harness_main(argc, argv, "promises", tests, sizeof tests / sizeof *tests);
}
