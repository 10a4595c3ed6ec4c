/* check: `bivy check` on a host that has everything, and on one where each thing is taken away in turn: it must be seen, and the mend be
 * the right one; where a mend can be carried out here, it is, and the next check must be content. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#ifdef TEST_SANITIZED
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* Over all tests of this executable: what was answered, and which need was seen to be wanting. */
static char *answers[240];
static size_t answer_count;
static char wanting[64][32];
static size_t wanting_count;

static const struct reader *need(const struct result *result, const char *name)
{
    const struct reader *all = reader_at(result->record, "needs");

    CHECK(result, all && all->type == READER_ARRAY);
    for (const struct reader *one = all->child; one; one = one->next)
        if (!strcmp(reader_at(one, "name")->text, name))
            return one;
    harness_complain(result, text_format("there is a need %s", name), __FILE__, __LINE__);
}

/* Not one that could only not be tried. */
static void note_wanting(const char *name)
{
    for (size_t i = 0; i < wanting_count; i++)
        if (!strcmp(wanting[i], name))
            return;
    snprintf(wanting[wanting_count++], sizeof *wanting, "%s", name);
}

/* The need at the bottom of it is missing by itself, and it is its mend that is shown. */
static void check_because(const struct result *result, const struct reader *one)
{
    const struct reader *because = reader_at(one, "because"), *cause;

    if (because->type == READER_NULL)
        return;
    cause = need(result, because->text);
    CHECK(result, !strcmp(reader_at(one, "state")->text, "missing") && !strcmp(reader_at(cause, "state")->text, "missing"));
    CHECK(result, cause != one && reader_at(cause, "because")->type == READER_NULL);
    CHECK(result, !strcmp(reader_at(one, "mend")->text, reader_at(cause, "mend")->text));
}

/* What holds for every answer: JSON, a verdict that is the worst state, an exit status that says the same, a mend where one is due. */
static struct result *judge(const struct result *raw)
{
    struct result *result = keep(malloc(sizeof *result));
    const char *worst = "ok", *error = NULL;

    *result = *raw;
    CHECK(raw, !raw->killed && (raw->status == 0 || raw->status == 1));
    CHECK(raw, raw->err_length == 0 || SANITIZED); /* a sanitizer misses /proc and says so */
    answers[answer_count++] = strdup(raw->out);
    result->record = reader_parse(raw->out, raw->out_length, &error);
    if (!result->record)
        harness_complain(raw, text_format("JSON: %s", error), __FILE__, __LINE__);
    keep_tree(result->record);
    for (const struct reader *one = reader_at(result->record, "needs")->child; one; one = one->next) {
        const char *is = reader_at(one, "state")->text, *seen = reader_at(one, "seen")->text;
        CHECK(raw, !strcmp(is, "ok") == (reader_at(one, "mend")->type == READER_NULL));
        if (!strcmp(is, "ok"))
            continue;
        CHECK(raw, *reader_at(one, "mend")->text);
        check_because(result, one);
        if (strncmp(seen, "not tried", 9))
            note_wanting(reader_at(one, "name")->text);
        else
            CHECK(raw, reader_at(one, "because")->type == READER_STRING);
        if (strcmp(worst, "missing"))
            worst = is;
    }
    CHECK(raw, !strcmp(reader_at(result->record, "verdict")->text, worst));
    CHECK(raw, raw->status == !strcmp(worst, "missing"));
    return result;
}

static const struct result *check_bare(const struct how *how, const char *const *words)
{
    struct how with = *how;

    with.verb = "check";
    return judge(session_finish(session_start(&with, words)));
}

static const struct result *check_with(const struct how *how, const char *const *more)
{
    const char *words[24] = {"--json", "--rootfs", how->rootfs ? how->rootfs : harness.rootfs, "--cgroup-parent",
                             how->parent ? how->parent : harness.parent};
    size_t count = 5;

    while (more && *more)
        words[count++] = *more++;
    return check_bare(how, words);
}

static const struct result *check_host(const struct how *how)
{
    return check_with(how, NULL);
}

/* The need is in that state and its mend holds these words. */
static void expect(const struct result *result, const char *name, const char *wanted, const char *mend)
{
    const struct reader *one = need(result, name);

    if (strcmp(reader_at(one, "state")->text, wanted))
        harness_complain(result, text_format("%s is %s", name, wanted), __FILE__, __LINE__);
    if (mend && !strstr(reader_at(one, "mend")->text, mend))
        harness_complain(result, text_format("the mend of %s holds \"%s\"", name, mend), __FILE__, __LINE__);
}

#define MISSING(result, name, mend) expect((result), (name), "missing", (mend))
#define DEGRADED(result, name, mend) expect((result), (name), "degraded", (mend))
#define OK(result, name) expect((result), (name), "ok", NULL)

/* Does the mend say as root does it, behind sudo where bivy was not root? */
static const char *command_of(const struct result *result, const char *name)
{
    const char *mend = reader_at(need(result, name), "mend")->text;

    CHECK(result, !harness.user == !!strncmp(mend, "sudo ", 5));
    return harness.user ? mend + 5 : mend;
}

static void carry_out(const char *command)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
        harness_fail("the mend does not work: %s", command);
}

static void must(bool well)
{
    if (!well)
        _exit(98);
}

/* The thing taken away, then what the answer says done about it by root, in the same place: now it is there. */
struct repair {
    const struct how *how;
    const char *command;
};

static void break_and_mend(void *data)
{
    const struct repair *repair = data;

    repair->how->prepare(repair->how->data);
    must(!system(repair->command));
}

static void check_mends(const struct how *how, const struct result *before, const char *name)
{
    struct repair repair = {how, text_format("(%s) >%s/said", command_of(before, name), harness.tmp)};
    struct how with = *how;
    const struct result *after;

    with.prepare = break_and_mend;
    with.data = &repair;
    after = check_host(&with);
    if (!strcmp(reader_at(need(after, name), "state")->text, reader_at(need(before, name), "state")->text))
        harness_complain(after, text_format("\"%s\" mends %s", repair.command, name), __FILE__, __LINE__);
}

/* ---- everything is there ---- */

static void a_host_that_can(void **unused)
{
    const struct result *result = check_host(HOW(0));
    bool hybrid = *harness.mount[CGROUP_MEMORY] || *harness.mount[CGROUP_CPU] || *harness.mount[CGROUP_PIDS];

    (void)unused;
    CHECK(result, result->status == 0);
    for (const struct reader *one = reader_at(result->record, "needs")->child; one; one = one->next) {
        const char *name = reader_at(one, "name")->text, *is = reader_at(one, "state")->text;
        /* The host's own business: what it lets users read, and when it was last told the time. */
        if (!strcmp(name, "kernel-log") || !strcmp(name, "clock"))
            continue;
        if (strcmp(is, !strcmp(name, "cgroup2") && hybrid ? "degraded" : "ok"))
            harness_complain(result, text_format("%s is as it should be", name), __FILE__, __LINE__);
    }
    if (hybrid)
        DEGRADED(result, "cgroup2", "boot");
    CHECK(result, strstr(reader_at(need(result, "sandbox"), "seen")->text, "set-up took"));
    CHECK(result, reader_at(result->record, "host.privileged")->truth == !harness.user);
    CHECK(result, result->seconds < 10);
}

static void for_people(void **unused)
{
    const struct result *result = RUN(HOW(.verb = "check"), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);
    const char *evil = directory_make("a\x1b[2J\n\xff'", harness.uid, 0755);

    (void)unused;
    CHECK(result, result->status == 0 && !strncmp(result->out, "ok        procfs  ", 18));
    CHECK(result, strstr(result->out, "\nok        a whole run of /bin/true  "));
    CHECK(result, strstr(result->out, " 0 missing: bivy runs"));
    result = RUN(HOW(.verb = "check"), "--rootfs", evil, "--cgroup-parent", harness.parent);
    CHECK(result, result->status == 1 && strstr(result->out, "missing   the rootfs  "));
    CHECK(result, strstr(result->out, "\n            mend: /") && strstr(result->out, "/rootfs/build --output '"));
    CHECK(result, strstr(result->out, "a\\x1b[2J\\x0a\\xff'\\''"));
    for (const char *p = result->out; *p; p++)
        CHECK(result, (unsigned char)*p >= 0x20 || *p == '\n');
    MISSING(check_host(HOW(.rootfs = evil)), "rootfs", "rootfs/build");
}

static void fill_stdout(void *data)
{
    (void)data;
    must(dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), 1) == 1);
}

static void an_answer_that_cannot_be_written(void **unused)
{
    const struct result *result;

    (void)unused;
    result = RUN(HOW(.verb = "check"), "--rootfs", harness.rootfs, "surplus");
    CHECK(result, result->status == 125);
    result = RUN(HOW(.verb = "check"), "--no-such-option");
    CHECK(result, result->status == 125 && strstr(result->err, "--no-such-option"));
    result = RUN(HOW(.verb = "check", .last = fill_stdout), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);
    CHECK(result, result->status == 125 && strstr(result->err, "stdout"));
}

static bool alone(void)
{
    const char *children = file_read(text_format("/proc/self/task/%d/children", getpid()), NULL);
    const char *second = children ? strchr(children, ' ') : NULL;

    return !second || !second[1]; /* the validator of the harness */
}

/* Killed at any moment: its processes go with it, and `bivy clean` finds the leaf, if there was one. */
static void killed(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 20; i += getenv("BIVY_VM") ? 5 : 1) {
        struct session *session = START(HOW(.verb = "check"), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);
        for (double until = now() + 0.005 * i; now() < until;)
            nap();
        session_kill(session, SIGKILL);
        session_finish(session);
        for (double until = now() + GUARD_SECONDS; !alone() && now() < until; nap())
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        assert_true(alone());
        RUN(HOW(.verb = "clean"), "--cgroup-parent", harness.parent);
        assert_int_equal(leaf_count(), 0);
    }
}

/* Told to stop at any moment it leaves nothing, not even an empty leaf, and ends by that signal; one that the caller ignores it ignores. */
static void ignore_hangup(void *data)
{
    (void)data;
    must(signal(SIGHUP, SIG_IGN) != SIG_ERR);
}

static void told_to_stop(void **unused)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    /* A sanitized bivy looks for leaks at its end with a process of its own, which would outlive one that is killed then. */
    static const char *const no_leak_check[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    const struct result *result;
    unsigned stopped = 0;

    (void)unused;
    for (unsigned i = 0; i < 40; i += getenv("BIVY_VM") ? 8 : 1) {
        int number = signals[i % 3];
        struct session *session = START(HOW(.verb = "check", .env = no_leak_check), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);
        for (double until = now() + 0.003 * i; now() < until;)
            nap();
        session_kill(session, number);
        result = session_finish(session);
        /* No half answer; a whole one where the signal came when all was said. */
        CHECK(result, result->killed ? result->status == 128 + number && (!*result->out || strstr(result->out, " missing: ")) : result->status == 0);
        stopped += result->killed;
        assert_int_equal(leaf_count(), 0);
    }
    assert_true(stopped > 0);
    struct session *session = START(HOW(.verb = "check", .last = ignore_hangup), "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent);
    session_expect(session, "");
    session_kill(session, SIGHUP);
    result = session_finish(session);
    CHECK(result, result->status == 0);
}

/* ---- system calls refused by a filter of the caller's ---- */

#if defined __x86_64__
#define OWN_ARCH AUDIT_ARCH_X86_64
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

struct refusal {
    int number, error;
    int argument;   /* this one, where not -1, must be value */
    unsigned value;
    const char *needs[5];
    bool idle;      /* a run that ends well makes no such call */
};

static void refuse(void *data)
{
    const struct refusal *refusal = data;
    bool any = refusal->argument < 0;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refusal->number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(any ? offsetof(struct seccomp_data, nr)
                                                          : offsetof(struct seccomp_data, args) + 8 * (size_t)refusal->argument)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, any ? (unsigned)refusal->number : refusal->value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)refusal->error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void calls_refused(void **unused)
{
    static const struct refusal rows[] = {
        {SYS_clone3, ENOSYS, -1, 0, {"pidfd", "user-namespace"}, false},
        {SYS_pidfd_send_signal, ENOSYS, -1, 0, {"pidfd"}, true},
        {SYS_close_range, ENOSYS, -1, 0, {"close-range"}, false},
        {SYS_openat2, ENOSYS, -1, 0, {"openat2"}, false},
        {SYS_sethostname, EPERM, -1, 0, {"capabilities"}, false},
        {SYS_unshare, EPERM, -1, 0, {"cgroup-namespace"}, false},
        {SYS_fsopen, ENOSYS, -1, 0, {"mount-calls", "tmpfs", "procfs", "devpts"}, false},
        {SYS_fsconfig, EPERM, -1, 0, {"mount-calls", "tmpfs", "procfs", "devpts"}, false},
        {SYS_fsmount, EPERM, -1, 0, {"mount-calls", "tmpfs", "procfs", "devpts"}, false},
        {SYS_move_mount, EPERM, -1, 0, {"mount-calls"}, false},
        {SYS_open_tree, ENOSYS, -1, 0, {"mount-calls"}, false},
        {SYS_mount_setattr, ENOSYS, -1, 0, {"mount-calls"}, false},
        {SYS_pivot_root, EPERM, -1, 0, {"mount-calls"}, false},
        {SYS_umount2, EPERM, -1, 0, {"mount-calls"}, false},
        {SYS_prlimit64, EPERM, -1, 0, {"resource-limits"}, false},
        {SYS_keyctl, EPERM, -1, 0, {"keyring"}, false},
        {SYS_prctl, EPERM, 0, PR_SET_NO_NEW_PRIVS, {"no-new-privs"}, false},
        {SYS_seccomp, EPERM, -1, 0, {"seccomp"}, false},
        {SYS_socket, EAFNOSUPPORT, 0, 16 /* AF_NETLINK */, {"netlink"}, false},
    };
    size_t step = getenv("BIVY_VM") ? 5 : 1; /* these say nothing about the kernel, and a process there takes twenty times as long */

    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += step) {
        struct refusal row = rows[i];
        if (SANITIZED && row.number == SYS_prlimit64)
            continue; /* its own start needs that */
        const struct result *result = check_host(HOW(.last = refuse, .data = &row));
        for (size_t n = 0; n < 5 && row.needs[n]; n++) {
            MISSING(result, row.needs[n], NULL);
            if (row.error != EAFNOSUPPORT && !strstr(reader_at(need(result, row.needs[n]), "mend")->text, "seccomp") &&
                !strstr(reader_at(need(result, row.needs[n]), "mend")->text, "systemd-run"))
                harness_complain(result, text_format("call %d: the mend speaks of the filter", row.number), __FILE__, __LINE__);
        }
        expect(result, "sandbox", row.idle ? "ok" : "missing", NULL);
        OK(result, "proc");
    }
}

/* A filter that kills: the trial dies of it, and that is said; the check goes on. */
static void kill_at(void *data)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, *(unsigned *)data, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void a_filter_that_kills(void **unused)
{
    unsigned number = SYS_keyctl;
    const struct result *result = check_host(HOW(.last = kill_at, .data = &number));

    (void)unused;
    MISSING(result, "keyring", NULL);
    CHECK(result, strstr(reader_at(need(result, "keyring"), "seen")->text, "signal 31"));
    OK(result, "seccomp");
}

/* Somebody listens to what a filter of bivy's caller asks: then --explain can have no listener of its own (as in a container of LXD). */
static void listen_to(void *data)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, code};

    (void)data;
    must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    must(fcntl((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), F_SETFD, 0) == 0);
}

static void a_filter_somebody_listens_to(void **unused)
{
    const struct result *result = check_host(HOW(.last = listen_to));

    (void)unused;
    DEGRADED(result, "explain", NULL);
    OK(result, "seccomp");
    OK(result, "sandbox");
    check_refused(RUN(HOW(.last = listen_to), "--explain", "--", "true"), "seccomp", "filter");
    result = RUN(HOW(.last = listen_to), "--", "true");
    CHECK(result, result->status == 0);
}

/* ---- namespaces ---- */

/* A user namespace with these id maps, written from outside, and a mount namespace of it. */
static void enter_mapped(const char *map)
{
    char path[96], byte;
    int fd, in[2], out[2];
    pid_t helper;

    must(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
    helper = fork();
    if (helper == 0) {
        must(read(in[0], &byte, 1) == 1);
        for (int group = 0; group < 2; group++) {
            snprintf(path, sizeof path, "/proc/%d/%s", getppid(), group ? "gid_map" : "uid_map");
            fd = open(path, O_WRONLY | O_CLOEXEC);
            must(fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map));
            close(fd);
        }
        must(write(out[1], "x", 1) == 1);
        _exit(0);
    }
    must(helper > 0 && !unshare(CLONE_NEWUSER | CLONE_NEWNS) && write(in[1], "x", 1) == 1 && !close(out[1]));
    must(read(out[0], &byte, 1) == 1 && waitpid(helper, NULL, 0) == helper);
}

/* Every id mapped; and then the limit of one kind of namespace. */
struct counted {
    const char *file, *value;
};

static void enter_counted(void *data)
{
    const struct counted *counted = data;
    char path[96];
    int fd;

    enter_mapped("0 0 4294967295\n");
    snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", counted->file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0 && write(fd, counted->value, strlen(counted->value)) == (ssize_t)strlen(counted->value));
    close(fd);
}

static void namespaces_used_up(void **unused)
{
    static const char *const kinds[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup"};
    struct counted counted = {"user", "0"};
    const struct result *result = check_host(HOW(.prepare = enter_counted, .data = &counted));

    (void)unused;
    MISSING(result, "user-namespace", "sysctl -w user.max_user_namespaces=");
    MISSING(result, "namespace-limits", "sysctl -w user.max_user_namespaces=");
    MISSING(result, "ids", "sysctl -w user.max_user_namespaces="); /* not tried: it needs the other */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i += getenv("BIVY_VM") ? 3 : 1) { /* slow there, and the kernels agree */
        const char *name = text_format("%s-namespace", kinds[i]), *mend = text_format("sysctl -w user.max_%s_namespaces=", kinds[i]);
        counted = (struct counted){kinds[i], "0"};
        result = check_host(HOW(.prepare = enter_counted, .data = &counted));
        OK(result, "ids");
        MISSING(result, name, mend);
        MISSING(result, "namespace-limits", mend);
        MISSING(result, "sandbox", NULL);
        if (i == 0 && command_of(result, name)[0] == 's') /* not in a container, whose host it is for */
            check_mends(HOW(.prepare = enter_counted, .data = &counted), result, name);
    }
    counted = (struct counted){"uts", "20"};
    result = check_host(HOW(.prepare = enter_counted, .data = &counted));
    DEGRADED(result, "namespace-limits", "sysctl -w user.max_uts_namespaces=");
    OK(result, "uts-namespace");
    OK(result, "sandbox");
}

/* One cause is told once, and not among what follows from it; what to do stands at the end, in order. */
static void causes_first(void **unused)
{
    static struct counted no_user_namespaces = {"user", "0"};
    const char *missing = path_join(directory_make("places", 0, 0755), "missing"), *words, *user, *at;
    const struct result *result = RUN(HOW(.verb = "check", .prepare = enter_counted, .data = &no_user_namespaces), "--rootfs", missing,
                                      "--cgroup-parent", harness.parent);
    unsigned causes = 0;

    (void)unused;
    CHECK(result, result->status == 1 && !strstr(result->out, "not tried: it needs"));
    CHECK(result, strstr(result->out, "\n            not tried without it: "));
    for (at = result->out; (at = strstr(at, "\nmissing ")); at++)
        causes++;
    CHECK(result, causes == 3); /* user namespaces, their limit, the rootfs */
    CHECK(result, strstr(result->out, ", 3 missing, "));
    words = strstr(result->out, "\nwhat mends it, in this order, then check again:\n  1. ");
    CHECK(result, words);
    user = strstr(words, "sysctl -w user.max_user_namespaces=");
    CHECK(result, user && !strstr(user + 1, "sysctl")); /* it mends two of the three */
    CHECK(result, strstr(user, text_format("rootfs/build --output %s\n", missing)));
    at = strstr(words, "\n  2. ");
    CHECK(result, at && at > user && !strstr(words, "\n  3. "));
    result = check_with(HOW(.rootfs = missing), NULL);
    CHECK(result, !strcmp(reader_at(need(result, "rootfs-safe"), "because")->text, "rootfs"));
    CHECK(result, !strcmp(reader_at(need(result, "sandbox"), "because")->text, "rootfs"));
}

/* Root in a user namespace in which only that root is mapped. */
static void enter_poor(void *data)
{
    (void)data;
    enter_mapped("0 0 1\n");
}

static void no_free_ids(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = enter_poor));

    (void)unused;
    OK(result, "user-namespace");
    MISSING(result, "ids", "unshare --user --mount ");
    MISSING(result, "sandbox", "unshare --user --mount "); /* whatever it stumbled on */
}

/* As in a rootless container: the ids that a run takes by itself are not there, others are. */
static void enter_some(void *data)
{
    (void)data;
    enter_mapped("0 0 1\n1 100000 65535\n");
}

static void other_ids(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = enter_some));

    (void)unused;
    MISSING(result, "ids", "bivy check --host-uid 65535 --host-gid 65535 # ");
    result = check_with(HOW(.prepare = enter_some), WORDS("--host-uid", "65535", "--host-gid", "65535"));
    OK(result, "ids");
    OK(result, "sandbox");
    result = RUN(HOW(.prepare = enter_some), "--host-uid", "65535", "--host-gid", "65535", "--", "true");
    CHECK(result, result->status == 0);
    check_refused(RUN(HOW(.prepare = enter_some), "--", "true"), "idmap", "no free ids");
}

/* A tree of the same contents whose top is no mount. */
static void enter_chroot(void *data)
{
    const char *top = data;
    DIR *root = opendir("/");
    struct dirent *entry;
    char from[300], to[4600], link[300];

    must(root && !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    while ((entry = readdir(root))) {
        struct stat status;
        snprintf(from, sizeof from, "/%s", entry->d_name);
        snprintf(to, sizeof to, "%s/%s", top, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(from, &status))
            continue;
        if (S_ISDIR(status.st_mode)) {
            must((!mkdir(to, 0755) || errno == EEXIST) && !mount(from, to, NULL, MS_BIND | MS_REC, NULL));
        } else if (S_ISLNK(status.st_mode)) {
            ssize_t length = readlink(from, link, sizeof link - 1);
            must(length > 0);
            link[length] = '\0';
            must(!symlink(link, to) || errno == EEXIST);
        }
    }
    closedir(root);
    must(!chroot(top) && !chdir("/"));
}

static void in_a_chroot(void **unused)
{
    const char *top = directory_make("chroot", 0, 0755);
    const struct result *result = check_host(HOW(.prepare = enter_chroot, .data = (void *)(uintptr_t)top));

    (void)unused;
    MISSING(result, "user-namespace", "nsenter --mount=/proc/self/ns/mnt --wd=/ unshare -m sh -c '");
    OK(result, "rootfs");
    /* It is carried out in there, and ends in a check without our options: whose words for this need must be others. */
    struct how how = {.prepare = enter_chroot, .data = (void *)(uintptr_t)top};
    struct repair repair = {&how, text_format("(%s) >%s/said; test -s %s/said", command_of(result, "user-namespace"), harness.tmp, harness.tmp)};
    check_host(HOW(.prepare = break_and_mend, .data = &repair));
    const char *said = file_read(text_format("%s/said", harness.tmp), NULL);
    assert_non_null(strstr(said, "\nok        user namespaces "));
    assert_non_null(strstr(said, "\nok        mount namespaces "));
}

/* ---- mounts ---- */

static void own_mounts(void)
{
    must(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void without_proc(void *data)
{
    (void)data;
    own_mounts();
    must(!umount2("/proc", MNT_DETACH));
}

static void no_proc(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = without_proc));

    (void)unused;
    MISSING(result, "proc", "mount -t proc proc /proc");
    MISSING(result, "cgroup2", "mount -t proc proc /proc");
    MISSING(result, "sandbox", "mount -t proc proc /proc");
    check_mends(HOW(.prepare = without_proc), result, "proc");
}

struct over {
    const char *what, *where;
    unsigned long flags;
};

static void bind_over(void *data)
{
    const struct over *over = data;

    own_mounts();
    must(!mount(over->what, over->where, NULL, MS_BIND, NULL));
    must(!over->flags || !mount(NULL, over->where, NULL, MS_BIND | MS_REMOUNT | over->flags, NULL));
}

/* As container runtimes mask files of /proc. */
static void a_masked_proc(void **unused)
{
    struct over over = {"/dev/null", "/proc/cpuinfo", 0};
    const struct result *result = check_host(HOW(.prepare = bind_over, .data = &over));

    (void)unused;
    MISSING(result, "procfs", "/proc/cpuinfo");
    CHECK(result, !strcmp(command_of(result, "procfs"), "umount /proc/cpuinfo"));
    check_mends(HOW(.prepare = bind_over, .data = &over), result, "procfs");
    MISSING(result, "sandbox", NULL);
}

static void mask_two(void *data)
{
    struct over first = {"/dev/null", "/proc/cpuinfo", 0};

    (void)data;
    bind_over(&first);
    must(!mount("/dev/null", "/proc/meminfo", NULL, MS_BIND, NULL));
}

/* A procfs of processes only, as some harden their services with (ProcSubset=pid): a run does not mind. */
static void only_processes(void *data)
{
    (void)data;
    own_mounts();
    must(!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "subset=pid"));
}

static void read_only_proc(void *data)
{
    (void)data;
    own_mounts();
    must(!mount(NULL, "/proc", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void other_procs(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = mask_two));

    (void)unused;
    MISSING(result, "procfs", "/proc/meminfo");
    if (strstr(command_of(result, "procfs"), "umount"))
        check_mends(HOW(.prepare = mask_two), result, "procfs"); /* both, by one command */
    result = check_host(HOW(.prepare = only_processes));
    OK(result, "namespace-limits");
    OK(result, "sandbox");
    result = check_host(HOW(.prepare = read_only_proc));
    MISSING(result, "ids", "mount -o remount,bind,rw /proc");
    check_mends(HOW(.prepare = read_only_proc), result, "ids");
    check_refused(RUN(HOW(.prepare = read_only_proc), "--", "true"), "idmap", "setgroups");
    CHECK(result, !strcmp(record_text(RUN(HOW(.prepare = read_only_proc), "--", "true"), "error.hint"),
                          "bivy check tries each need of a run by itself, and names the command that mends it"));
}

/* A /dev with nothing right in it: missing, a file, a mode, another device. */
static void poor_devices(void *data)
{
    int fd = -1;

    (void)data;
    own_mounts();
    must(!mount("poor", "/dev", "tmpfs", 0, "mode=755") && (fd = open("/dev/null", O_CREAT | O_WRONLY | O_CLOEXEC, 0666)) >= 0);
    close(fd);
    must(!mknod("/dev/full", S_IFCHR | 0600, (dev_t)0x107) && !mkdir("/dev/zero", 0755) && !mknod("/dev/tty", S_IFCHR | 0666, (dev_t)0x103));
}

static void devices_and_log(void **unused)
{
    const char *file = path_join(directory_make("dev", 0, 0755), "full");
    struct over over = {file, "/dev/full", 0};
    const struct result *result;

    (void)unused;
    file_write(file, "");
    result = check_host(HOW(.prepare = bind_over, .data = &over));
    MISSING(result, "devices", "umount /dev/full");
    check_mends(HOW(.prepare = bind_over, .data = &over), result, "devices");
    result = check_host(HOW(.prepare = poor_devices));
    MISSING(result, "devices", "mknod -m 666 /dev/random c 1 8");
    check_mends(HOW(.prepare = poor_devices), result, "devices"); /* all of them, by one command */
    if (!strstr(reader_at(need(result, "kernel-log"), "mend")->text, "container"))
        DEGRADED(result, "kernel-log", "mknod -m 644 /dev/kmsg c 1 11");
    over = (struct over){"/dev", "/dev", MS_NODEV};
    result = check_host(HOW(.prepare = bind_over, .data = &over));
    MISSING(result, "devices", "mount -o remount,dev /dev");
    check_mends(HOW(.prepare = bind_over, .data = &over), result, "devices");
    if (access("/dev/kmsg", F_OK))
        return; /* then it was seen as wanting already */
    over = (struct over){"/dev/null", "/dev/kmsg", 0};
    result = check_host(HOW(.prepare = bind_over, .data = &over));
    DEGRADED(result, "kernel-log", NULL);
    OK(result, "sandbox");
    if (!harness.user && !strcmp(command_of(result, "kernel-log"), "umount /dev/kmsg"))
        check_mends(HOW(.prepare = bind_over, .data = &over), result, "kernel-log");
}

/* ---- resource limits ---- */

static void lower_limit(void *data)
{
    (void)data;
    must(!setrlimit(RLIMIT_NOFILE, &(struct rlimit){512, 512}));
}

static void a_low_hard_limit(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = lower_limit));

    (void)unused;
    MISSING(result, "resource-limits", NULL);
    if (strstr(reader_at(need(result, "resource-limits"), "mend")->text, "docker"))
        return;
    CHECK(result, !strcmp(command_of(result, "resource-limits"), text_format("prlimit --pid %d --nofile=1024:1024", getpid())));
}

/* Whose limit is to be raised: the shell's, which will start bivy again, not that of a program between, which is gone by then. */
static void behind_another_program(void **unused)
{
    const char *said;

    (void)unused;
    if (access("/usr/bin/timeout", X_OK))
        return;
    carry_out(text_format("ulimit -n 512; echo $$ >%s/shell; /usr/bin/timeout %d %s check --rootfs %s --cgroup-parent %s >%s/said; true",
                          harness.tmp, GUARD_SECONDS, harness.bivy, harness.rootfs, harness.parent, harness.tmp));
    said = file_read(text_format("%s/said", harness.tmp), NULL);
    assert_non_null(strstr(said, "1. "));
    if (!strstr(said, "docker"))
        assert_non_null(strstr(said, text_format("prlimit --pid %d --nofile=1024:1024\n",
                                                 atoi(file_read(text_format("%s/shell", harness.tmp), NULL)))));
}

/* So few descriptors that other trials could stumble on it: none of them may take it for something else. */
static void few_descriptors(void *data)
{
    (void)data;
    must(!setrlimit(RLIMIT_NOFILE, &(struct rlimit){20, 20}));
}

static void hardly_a_descriptor(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = few_descriptors));

    (void)unused;
    OK(result, "close-range");
    MISSING(result, "resource-limits", "nofile=1");
    MISSING(result, "sandbox", reader_at(need(result, "resource-limits"), "mend")->text);
}

/* ---- cgroups ---- */

static void each_mount(void (*act)(const char *mount, const char *type))
{
    for (int i = 0; i < CGROUP_COUNT; i++)
        if (*harness.mount[i])
            act(harness.mount[i], i == CGROUP_V2 ? "cgroup2" : "cgroup");
}

static void unmount(const char *where, const char *type)
{
    if (!strcmp(type, "cgroup2"))
        must(!umount2(where, MNT_DETACH));
}

static void without_cgroup2(void *data)
{
    (void)data;
    own_mounts();
    each_mount(unmount);
}

static void make_read_only(const char *where, const char *type)
{
    (void)type;
    must(!mount(NULL, where, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void read_only_cgroups(void *data)
{
    (void)data;
    own_mounts();
    each_mount(make_read_only);
}

static void make_v1_read_only(const char *where, const char *type)
{
    if (!strcmp(type, "cgroup"))
        make_read_only(where, type);
}

static void read_only_v1(void *data)
{
    (void)data;
    own_mounts();
    each_mount(make_v1_read_only);
}

/* The leaf is made in v2 first. What fails in v1 must not leave it there: the harness looks. */
static void v1_read_only(void **unused)
{
    const struct result *result;

    (void)unused;
    if (!*harness.mount[CGROUP_MEMORY] && !*harness.mount[CGROUP_CPU] && !*harness.mount[CGROUP_PIDS])
        return;
    check_refused(RUN(HOW(.prepare = read_only_v1), "--", "true"), "cgroup", "cannot be used");
    assert_int_equal(leaf_count(), 0);
    result = check_host(HOW(.prepare = read_only_v1));
    OK(result, "cgroup-parent");
    if (*harness.mount[CGROUP_MEMORY]) {
        MISSING(result, "memory-limit", harness.user ? "mkdir -p" : harness.mount[CGROUP_MEMORY]);
        if (!harness.user)
            check_mends(HOW(.prepare = read_only_v1), result, "memory-limit");
    }
}

static void cgroups_gone_or_read_only(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = without_cgroup2));

    (void)unused;
    MISSING(result, "cgroup2", NULL);
    CHECK(result, strstr(reader_at(need(result, "cgroup2"), "mend")->text, "cgroup"));
    MISSING(result, "cgroup-parent", NULL);
    OK(result, "mount-calls");
    /* The options of cgroup2 are the whole machine's: only where they are what the mend says. */
    if (getenv("BIVY_VM") && strstr(reader_at(need(result, "cgroup2"), "mend")->text, "mount -t cgroup2"))
        check_mends(HOW(.prepare = without_cgroup2), result, "cgroup2");
    result = check_host(HOW(.prepare = read_only_cgroups));
    MISSING(result, "cgroup-parent", harness.user ? "mkdir -p" : "mount -o remount,bind,rw ");
    MISSING(result, "memory-limit", NULL);
    if (!harness.user)
        check_mends(HOW(.prepare = read_only_cgroups), result, "cgroup-parent");
}

static void write_or_die(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* One controller lost: on v1 its hierarchy's parent is no cgroup, on v2 nobody can hand it on. */
static void lose_controller(void *data)
{
    enum hierarchy_name which = *(enum hierarchy_name *)data;
    char path[4400];

    own_mounts();
    if (*harness.mount[which]) {
        snprintf(path, sizeof path, "%s%s", harness.mount[which], harness.parent);
        must(!mount("none", path, "tmpfs", 0, harness.user ? "mode=755,uid=12345" : "mode=755"));
    } else {
        snprintf(path, sizeof path, "%s%s/cgroup.subtree_control", harness.mount[CGROUP_V2], harness.parent);
        must(!mount("/dev/null", path, NULL, MS_BIND, NULL));
    }
}

static void drop_controllers(void)
{
    static const char *const off[] = {"-memory", "-cpu", "-pids"};
    char *path = text_format("%s%s/cgroup.subtree_control", harness.mount[CGROUP_V2], harness.parent);

    for (size_t i = 0; i < 3; i++) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, off[i], strlen(off[i])) < 0)
            errno = 0; /* it is on v1 */
        if (fd >= 0)
            close(fd);
    }
}

static void limits_that_cannot_be_had(void **unused)
{
    static const struct {
        enum hierarchy_name which;
        const char *needs[2];
    } rows[] = {{CGROUP_MEMORY, {"memory-limit", "swap-limit"}}, {CGROUP_CPU, {"cpu-limit"}}, {CGROUP_PIDS, {"pids-limit"}}};

    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        enum hierarchy_name which = rows[i].which;
        drop_controllers(); /* what a check before has handed on */
        const struct result *result = check_host(HOW(.prepare = lose_controller, .data = &which));
        OK(result, "cgroup-parent");
        for (size_t n = 0; n < 2 && rows[i].needs[n]; n++)
            MISSING(result, rows[i].needs[n], NULL);
        if (which != CGROUP_CPU)
            DEGRADED(result, "cgroup-readings", NULL);
        MISSING(result, "sandbox", NULL);
        if (which != CGROUP_PIDS || *harness.mount[which]) /* on v1 there is no parent for it at all */
            continue;
        drop_controllers();
        result = check_with(HOW(.prepare = lose_controller, .data = &which),
                            WORDS("--unenforced", "pids", "--unenforced", "memory", "--unenforced", "swap", "--unenforced", "cpu"));
        DEGRADED(result, "pids-limit", NULL);
        DEGRADED(result, "memory-limit", NULL);
        DEGRADED(result, "swap-limit", "cgroup.subtree_control"); /* and not swapoff: what is missing is memory's file */
        OK(result, "sandbox");
    }
}

/* A v1 controller that is bound and cannot be reached: nothing that a boot parameter would mend. Its mount shows another cgroup's tree to
 * who is in a cgroup namespace further down. */
static void enter_below(void *data)
{
    char path[4400];

    (void)data;
    own_mounts();
    snprintf(path, sizeof path, "%s%s/cgroup.procs", harness.mount[CGROUP_MEMORY], harness.parent);
    write_or_die(path, "0");
    must(!unshare(CLONE_NEWCGROUP));
}

static void a_controller_out_of_reach(void **unused)
{
    const struct result *result;

    (void)unused;
    if (!*harness.mount[CGROUP_MEMORY])
        return;
    result = check_host(HOW(.prepare = enter_below));
    MISSING(result, "memory-limit", "mount -t cgroup -o memory cgroup ");
    MISSING(result, "swap-limit", reader_at(need(result, "memory-limit"), "mend")->text);
    MISSING(result, "sandbox", "mount -t cgroup -o memory cgroup ");
}

/* Mounted, and not to be seen. */
static void cover_v2(void *data)
{
    (void)data;
    own_mounts();
    must(!mount("none", harness.mount[CGROUP_V2], "tmpfs", 0, "mode=755"));
}

static void a_hidden_cgroup2(void **unused)
{
    const struct result *result = check_host(HOW(.prepare = cover_v2));

    (void)unused;
    MISSING(result, "cgroup2", text_format("umount %s", harness.mount[CGROUP_V2]));
    MISSING(result, "sandbox", text_format("umount %s", harness.mount[CGROUP_V2]));
    check_mends(HOW(.prepare = cover_v2), result, "cgroup2"); /* takes away what covers it, and nothing else */
}

static void cgroup_parents(void **unused)
{
    const struct result *result = check_host(HOW(.parent = "/bivy-test-no-such-parent"));
    const char *foreign, *made;

    (void)unused;
    MISSING(result, "cgroup-parent", "mkdir -p");
    CHECK(result, strstr(reader_at(need(result, "cgroup-parent"), "mend")->text, "/bivy-test-no-such-parent"));
    MISSING(check_host(HOW(.parent = "/../x")), "cgroup-parent", "write it like");
    made = text_format("%s/made", harness.parent);
    result = check_host(HOW(.parent = made));
    MISSING(result, "cgroup-parent", made);
    carry_out(command_of(result, "cgroup-parent"));
    result = check_host(HOW(.parent = made));
    OK(result, "cgroup-parent");
    OK(result, "memory-limit");
    OK(result, "sandbox");
    if (!harness.user)
        return;
    foreign = text_format("%s%s/foreign", harness.mount[CGROUP_V2], harness.parent);
    assert_int_equal(mkdir(foreign, 0755), 0);
    result = check_host(HOW(.parent = text_format("%s/foreign", harness.parent)));
    rmdir(foreign);
    MISSING(result, "cgroup-parent", "chown -R 12345");
}

/* A threaded cgroup takes no processes of other kinds: nothing can be born in a leaf below it. */
static void a_threaded_parent(void **unused)
{
    const char *name = text_format("/test-bivy-threaded-%d", getpid()), *path;
    const struct result *result = NULL;

    (void)unused;
    for (int i = 0; i < CGROUP_COUNT; i++) {
        if (!*harness.mount[i])
            continue;
        path = text_format("%s%s", harness.mount[i], name);
        assert_true(!mkdir(path, 0755) || errno == EEXIST);
        if (harness.user)
            tree_chown(path, USER_ID);
    }
    file_write(text_format("%s%s/cgroup.type", harness.mount[CGROUP_V2], name), "threaded");
    result = check_host(HOW(.parent = name));
    for (int i = 0; i < CGROUP_COUNT; i++)
        if (*harness.mount[i])
            rmdir(text_format("%s%s", harness.mount[i], name));
    OK(result, "cgroup-parent");
    MISSING(result, "cgroup-enter", NULL);
    MISSING(result, "sandbox", NULL);
}

/* An ordinary user's shell as it is on a host without systemd: in nobody's cgroup. The mend is carried out as it is printed, and then the
 * check is content. */
static void move_to(void *data)
{
    char path[4200];

    snprintf(path, sizeof path, "%s%s/cgroup.procs", harness.mount[CGROUP_V2], (const char *)data);
    write_or_die(path, "0");
}

static void a_user_without_delegation(void **unused)
{
    const struct result *result = check_bare(HOW(.prepare = move_to, .data = (void *)(uintptr_t) ""),
                                             WORDS("--json", "--rootfs", harness.rootfs));
    const char *mend, *own, *parent = text_format("/bivy-%d", USER_ID), *before = text_line(file_read("/proc/self/cgroup", NULL), "0::");
    bool shared = !access(text_format("%s%s", harness.mount[CGROUP_V2], parent), F_OK);

    (void)unused;
    MISSING(result, "cgroup-parent", NULL);
    mend = command_of(result, "cgroup-parent");
    if (!strncmp(mend, "systemd-run --user --scope", 26) || shared)
        return;
    CHECK(result, strstr(mend, text_format("echo %d > ", getpid())));
    carry_out(mend); /* moves this process, as it would have moved the shell */
    own = text_line(file_read("/proc/self/cgroup", NULL), "0::");
    result = check_bare(HOW(.prepare = move_to, .data = (void *)(uintptr_t)own), WORDS("--json", "--rootfs", harness.rootfs));
    move_to((void *)(uintptr_t)(strcmp(before, "/") ? before : ""));
    rmdir(text_format("%s%s/shell", harness.mount[CGROUP_V2], parent));
    for (int i = 0; i < CGROUP_COUNT; i++)
        if (*harness.mount[i])
            rmdir(text_format("%s%s", harness.mount[i], parent));
    CHECK(result, !strcmp(own, text_format("%s/shell", parent)));
    OK(result, "cgroup-parent");
    OK(result, "memory-limit");
    OK(result, "cgroup-kill");
    OK(result, "sandbox");
}

/* A parent that is the user's, and the shell is not below it: the kernel lets nothing be born in a leaf there. */
static void a_shell_elsewhere(void **unused)
{
    const char *before = text_line(file_read("/proc/self/cgroup", NULL), "0::"), *own;
    const struct result *result = check_host(HOW(.prepare = move_to, .data = (void *)(uintptr_t) ""));

    (void)unused;
    OK(result, "cgroup-parent");
    MISSING(result, "cgroup-enter", text_format("echo %d > ", getpid()));
    carry_out(command_of(result, "cgroup-enter")); /* moves this process */
    own = text_line(file_read("/proc/self/cgroup", NULL), "0::");
    result = check_host(HOW(.prepare = move_to, .data = (void *)(uintptr_t)own));
    move_to((void *)(uintptr_t)(strcmp(before, "/") ? before : ""));
    rmdir(text_format("%s%s", harness.mount[CGROUP_V2], own));
    CHECK(result, !strcmp(own, text_format("%s/shell", harness.parent)));
    OK(result, "cgroup-enter");
    OK(result, "sandbox");
}

/* As platforms start containers that allow no root: an ordinary user in root's group, which no sandbox may have. */
static void in_roots_group(void **unused)
{
    const char *command = text_format("/usr/bin/setpriv --reuid %d --regid 0 --clear-groups %s check --rootfs %s --cgroup-parent %s >%s/said; true",
                                      USER_ID, harness.bivy, harness.rootfs, harness.parent, harness.tmp);
    const char *said;

    (void)unused;
    if (access("/usr/bin/setpriv", X_OK))
        return;
    carry_out(command);
    said = file_read(text_format("%s/said", harness.tmp), NULL);
    assert_true(strstr(said, text_format("setpriv --reuid %d --regid %d --clear-groups ", USER_ID, USER_ID)) || strstr(said, " --user ") ||
                strstr(said, "runAsGroup"));
}

/* ---- rootfs ---- */

/* Every mount point and nothing else, which is a rootfs as far as it goes. */
static const char *bare_rootfs(uid_t owner)
{
    static const char *const points[] = {"dev",  "proc", "tmp",  "var", "var/tmp",   "run", "home",
                                         "home/sandbox", "sys", "workspace", "bin", "etc"};
    const char *top = directory_make("rootfs", 0, 0755);

    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_int_equal(mkdir(path_join(top, points[i]), 0755), 0);
    tree_chown(top, owner);
    return top;
}

static void a_rootfs_that_will_not_do(void **unused)
{
    const char *place = directory_make("places", 0, 0755), *rootfs = bare_rootfs(0);
    const struct result *result;
    struct over over = {harness.rootfs, harness.rootfs, MS_NOEXEC};

    (void)unused;
    assert_int_equal(mkdir(path_join(place, "empty"), 0755), 0);
    assert_int_equal(symlink(harness.rootfs, path_join(place, "link")), 0);
    file_write(path_join(place, "file"), "");
    MISSING(check_host(HOW(.rootfs = path_join(place, "missing"))), "rootfs",
            text_format("rootfs/build --output %s", path_join(place, "missing")));
    result = check_host(HOW(.rootfs = path_join(place, "empty")));
    MISSING(result, "rootfs", text_format("rootfs/build --output %s", path_join(place, "empty")));
    MISSING(result, "sandbox", "rootfs/build");
    MISSING(check_host(HOW(.rootfs = path_join(place, "link"))), "rootfs", "readlink -f");
    MISSING(check_host(HOW(.rootfs = path_join(place, "file"))), "rootfs", "name a directory");
    result = check_host(HOW(.prepare = bind_over, .data = &over));
    MISSING(result, "rootfs-safe", "mount -o remount,exec ");
    check_mends(HOW(.prepare = bind_over, .data = &over), result, "rootfs-safe");
    assert_int_equal(chmod(path_join(rootfs, "bin"), 0777), 0);
    result = check_host(HOW(.rootfs = rootfs));
    DEGRADED(result, "rootfs-safe", text_format("chmod -R go-w %s", rootfs));
    MISSING(result, "sandbox", NULL); /* there is no /bin/true */
    carry_out(command_of(result, "rootfs-safe"));
    OK(check_host(HOW(.rootfs = rootfs)), "rootfs-safe");
    over = (struct over){harness.tmp, path_join(rootfs, "tmp"), 0};
    result = check_host(HOW(.rootfs = rootfs, .prepare = bind_over, .data = &over));
    MISSING(result, "rootfs", text_format("umount %s/tmp", rootfs));
    check_mends(HOW(.rootfs = rootfs, .prepare = bind_over, .data = &over), result, "rootfs");
    tree_chown(rootfs, 777);
    result = check_host(HOW(.rootfs = rootfs));
    DEGRADED(result, "rootfs-safe", "chown -hR ");
    if (!harness.user) {
        carry_out(command_of(result, "rootfs-safe"));
        OK(check_host(HOW(.rootfs = rootfs)), "rootfs-safe");
    }
}

static void a_clock_that_is_slow(void **unused)
{
    const char *rootfs = bare_rootfs(0);
    struct timespec times[2] = {{.tv_sec = 4102444800}, {.tv_sec = 4102444800}}; /* 2100 */
    const struct result *result;

    (void)unused;
    assert_int_equal(utimensat(AT_FDCWD, rootfs, times, 0), 0);
    result = check_host(HOW(.rootfs = rootfs));
    DEGRADED(result, "clock", NULL);
    CHECK(result, strstr(reader_at(need(result, "clock"), "seen")->text, "the rootfs was not there yet"));
}

/* A file system whose server takes no request: the answer comes all the same, and the process goes. */
static void mount_silence(void *data)
{
    char options[128];
    int fd = open("/dev/fuse", O_RDWR); /* kept open over exec, so that the connection lives */

    own_mounts();
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    must(fd >= 0 && !mount("silence", data, "fuse.silence", MS_NOSUID | MS_NODEV, options));
}

static void a_rootfs_that_does_not_answer(void **unused)
{
    const char *rootfs = directory_make("silent", 0, 0755);
    const struct result *result;

    (void)unused;
    if (access("/dev/fuse", F_OK))
        return;
    result = check_host(HOW(.rootfs = rootfs, .prepare = mount_silence, .data = (void *)(uintptr_t)rootfs));
    MISSING(result, "rootfs", NULL);
    CHECK(result, strstr(reader_at(need(result, "rootfs"), "seen")->text, "no answer within"));
    OK(result, "seccomp");
}

/* ---- the workspace ---- */

static void workspaces(void **unused)
{
    const char *good = workspace_make(), *roots = directory_make("workspace", 0, 0755), *others = directory_make("workspace", 777, 0700);
    const char *missing = path_join(directory_make("places", 0, 0755), "missing");
    const struct result *result = check_with(HOW(0), WORDS("--workspace", good));

    (void)unused;
    OK(result, "workspace");
    OK(result, "workspace-mount");
    OK(result, "sandbox");
    result = check_with(HOW(0), WORDS("--workspace", missing));
    MISSING(result, "workspace", text_format("install -d -m 700 -o %d %s", harness.user ? USER_ID : 1000, missing));
    result = check_with(HOW(0), WORDS("--workspace", roots));
    MISSING(result, "workspace", "chown -hR");
    carry_out(command_of(result, "workspace"));
    OK(check_with(HOW(0), WORDS("--workspace", roots)), "workspace");
    if (harness.user)
        MISSING(check_with(HOW(0), WORDS("--workspace", others)), "workspace", "chown -hR 12345:12345");
    MISSING(check_with(HOW(0), WORDS("--workspace", good, "--require-fs", "fuse.seaweedfs")), "workspace", "--require-fs");
    MISSING(check_with(HOW(0), WORDS("--workspace-root", roots, "--user-id", "ann")), "workspace", "weed mount");
}

static void a_workspace_mounted_read_only(void **unused)
{
    const char *workspace = workspace_make();
    struct over over = {workspace, workspace, MS_RDONLY};
    const struct result *result = check_with(HOW(.prepare = bind_over, .data = &over), WORDS("--workspace", workspace));

    (void)unused;
    DEGRADED(result, "workspace-mount", text_format("mount -o remount,rw %s", workspace));
}

/* FUSE as it is by default for whoever mounts it: for nobody else. */
static void a_workspace_without_allow_other(void **unused)
{
    const char *from = workspace_make(), *at = directory_make("mount", 0, 0755), *text;
    const struct result *result;
    pid_t server;

    (void)unused;
    if (access("/usr/bin/bindfs", X_OK) || access("/dev/fuse", R_OK))
        return;
    server = fork();
    if (server == 0) {
        execl("/usr/bin/bindfs", "bindfs", "-f", "--no-allow-other", from, at, (char *)NULL);
        _exit(127);
    }
    AWAIT(strstr(file_read("/proc/self/mountinfo", NULL), at));
    result = check_with(HOW(0), WORDS("--workspace", at));
    umount2(at, MNT_DETACH);
    waitpid(server, NULL, 0);
    MISSING(result, "workspace-mount", "allow_other"); /* the sandbox's user did not mount it */
    text = reader_at(need(result, "workspace-mount"), "mend")->text;
    CHECK(result, strstr(text, text_format("umount %s # ", at)));
    MISSING(result, "sandbox", text); /* whose own words are about modes */
    CHECK(result, !strcmp(reader_at(need(result, "sandbox"), "because")->text, "workspace-mount"));
}

/* What is mounted below a tree that is bound: a user namespace may not leave it out, so for an ordinary user it is in the way. */
static void mounts_below(void **unused)
{
    const char *workspace = workspace_make(), *inner = path_join(workspace, "inner"), *spot = path_join(harness.rootfs, "mnt");
    struct over below = {harness.tmp, inner, 0};
    const struct result *result;

    (void)unused;
    assert_int_equal(mkdir(inner, 0755), 0);
    result = check_with(HOW(.prepare = bind_over, .data = &below), WORDS("--workspace", workspace));
    expect(result, "workspace-mount", harness.user ? "missing" : "ok", harness.user ? text_format("umount %s", inner) : NULL);
    expect(result, "sandbox", harness.user ? "missing" : "ok", NULL);
    rmdir(inner);
    if (access(spot, F_OK))
        return;
    below = (struct over){harness.tmp, spot, 0};
    result = check_host(HOW(.prepare = bind_over, .data = &below));
    expect(result, "rootfs-safe", harness.user ? "missing" : "ok", harness.user ? text_format("umount %s", spot) : NULL);
    expect(result, "sandbox", harness.user ? "missing" : "ok", NULL);
    if (harness.user)
        check_mends(HOW(.prepare = bind_over, .data = &below), result, "rootfs-safe");
}

/* ---- where it is ---- */

/* The same trouble in made-up places; what is in /etc/os-release and /proc/version is all that tells them apart here. */
struct place {
    const char *release, *version;
    bool systemd;
};

static void pretend(void *data)
{
    const struct place *place = data;
    struct over over = {place->release, "/etc/os-release", 0};

    bind_over(&over);
    must(!place->version || !mount(place->version, "/proc/version", NULL, MS_BIND, NULL));
    must(!mount("none", "/run", "tmpfs", 0, "mode=755"));
    must(!place->systemd || (!mkdir("/run/systemd", 0755) && !mkdir("/run/systemd/system", 0755)));
}

static void other_places(void **unused)
{
    const char *dir = directory_make("release", 0, 0755);
    const struct {
        const char *release, *version;
        bool systemd;
        const char *cgroup2, *first, *named;
    } rows[] = {
        {"ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME='Ubuntu 24.04'\n", NULL, true, "update-grub && reboot", "sudo ", "Ubuntu 24.04"},
        {"ID=debian\n", NULL, true, "sed -i 's/^GRUB_CMDLINE_LINUX=", "sudo ", NULL},
        {"ID=fedora\n", NULL, true, "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1", "sudo ", NULL},
        {"ID=rocky\nID_LIKE=\"rhel centos fedora\"\n", NULL, true, "grubby", "sudo ", NULL},
        {"ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.20\"\n", NULL, false, "rc_cgroup_mode=unified", "doas ", "Alpine Linux v3.20"},
        {"ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n", NULL, true, "boot with systemd.unified_cgroup_hierarchy=1", "boot", NULL},
        {"ID=arch\n", NULL, true, "boot with systemd.unified_cgroup_hierarchy=1", "boot", NULL},
        {"ID=void\n", NULL, false, "cgroup_no_v1=all", "boot", NULL},
        {"ID=ubuntu\n", "Linux version 5.15.1-microsoft-standard-WSL2 (a@b)\n", true, "in Windows: ", "in Windows: ", NULL},
    };
    bool hybrid = *harness.mount[CGROUP_MEMORY] || *harness.mount[CGROUP_CPU] || *harness.mount[CGROUP_PIDS];

    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += getenv("BIVY_VM") ? 4 : 1) {
        struct place place = {.release = path_join(dir, text_format("r%zu", i)), .systemd = rows[i].systemd};
        file_write(place.release, rows[i].release);
        if (rows[i].version) {
            place.version = path_join(dir, text_format("v%zu", i));
            file_write(place.version, rows[i].version);
        }
        const struct result *result = check_host(HOW(.prepare = pretend, .data = &place));
        const struct reader *name = reader_at(result->record, "host.distribution"), *log = reader_at(need(result, "kernel-log"), "mend");
        CHECK(result, rows[i].named ? !strcmp(name->text, rows[i].named) : name->type == READER_NULL);
        if (!rows[i].version)
            OK(result, "sandbox"); /* else /proc is masked */
        if (hybrid && reader_at(result->record, "host.container")->type == READER_NULL)
            DEGRADED(result, "cgroup2", rows[i].cgroup2);
        if (harness.user && log->type == READER_STRING && strcmp(rows[i].first, "boot") && strncmp(rows[i].first, "in", 2))
            CHECK(result, !strncmp(log->text, rows[i].first, 5));
    }
}

/* ---- all of them together ---- */

static void every_answer_fits_the_schema(void **unused)
{
    char line[4096];
    int in[2], out[2], status;
    FILE *to, *from;
    pid_t pid;

    (void)unused;
    assert_true(answer_count > 10);
    assert_true(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
    pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execlp("python3", "python3", TEST_SOURCE "/tests/integration/validate.py", TEST_SOURCE "/docs/check.schema.json", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to = fdopen(in[1], "w");
    from = fdopen(out[0], "r");
    assert_true(fgets(line, sizeof line, from) && !strcmp(line, "ready\n"));
    for (size_t i = 0; i < answer_count; i++) {
        fprintf(to, "%zu\n%s", strlen(answers[i]), answers[i]);
        fflush(to);
        if (!fgets(line, sizeof line, from) || strcmp(line, "ok\n"))
            harness_fail("an answer breaks its schema: %s\n%s", line, answers[i]);
        free(answers[i]);
    }
    fclose(to);
    fclose(from);
    waitpid(pid, &status, 0);
    answer_count = 0;
}

static void every_need_was_seen_wanting(void **unused)
{
    /* What cannot be taken away here, and why. */
    static const struct {
        const char *name;
        bool root, user;
    } excepted[] = {
        {"cgroup-kill", true, true}, /* a file of a leaf that is just being made: nothing can be put over it beforehand */
        {"ids", false, true},        /* a user's own id can always be mapped where there are user namespaces at all */
    };
    const struct result *result = check_host(HOW(0));

    (void)unused;
    if (getenv("BIVY_VM"))
        return; /* where not every call is refused in turn */
    for (const struct reader *one = reader_at(result->record, "needs")->child; one; one = one->next) {
        const char *name = reader_at(one, "name")->text;
        bool found = false;
        for (size_t i = 0; i < wanting_count; i++)
            found = found || !strcmp(wanting[i], name);
        for (size_t i = 0; i < sizeof excepted / sizeof *excepted; i++)
            found = found || (!strcmp(name, excepted[i].name) && (harness.user ? excepted[i].user : excepted[i].root));
        if (!found)
            harness_fail("%s was never seen to be wanting", name);
    }
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(a_host_that_can),
        TEST(for_people),
        TEST(an_answer_that_cannot_be_written),
        TEST(killed),
        TEST(told_to_stop),
        TEST(calls_refused),
        TEST(a_filter_that_kills),
        TEST(a_filter_somebody_listens_to),
        TEST(namespaces_used_up),
        TEST(causes_first),
        TEST_ROOT(other_ids),
        TEST_ROOT(no_free_ids),
        TEST(in_a_chroot),
        TEST(no_proc),
        TEST(a_masked_proc),
        TEST(other_procs),
        TEST(devices_and_log),
        TEST(a_low_hard_limit),
        TEST(hardly_a_descriptor),
        TEST_ROOT(behind_another_program),
        TEST(cgroups_gone_or_read_only),
        TEST(v1_read_only),
        TEST(limits_that_cannot_be_had),
        TEST_ROOT(a_controller_out_of_reach),
        TEST(a_hidden_cgroup2),
        TEST(cgroup_parents),
        TEST(a_threaded_parent),
        TEST_USER(a_user_without_delegation),
        TEST_USER(a_shell_elsewhere),
        TEST_ROOT(in_roots_group),
        TEST(a_rootfs_that_will_not_do),
        TEST(a_clock_that_is_slow),
        TEST(a_rootfs_that_does_not_answer),
        TEST(workspaces),
        TEST(a_workspace_mounted_read_only),
        TEST_ROOT(a_workspace_without_allow_other),
        TEST(mounts_below),
        TEST(other_places),
        TEST(every_need_was_seen_wanting), /* these two last: of all that came before */
        TEST(every_answer_fits_the_schema),
    };

    return harness_main(argc, argv, "check", tests, sizeof tests / sizeof *tests);
}
