/* contract: the command line, what the command finds inside, exit statuses, records: everything but streams and
 * endings. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

/* ---- exit statuses and outcomes ---- */

static void exit_status_is_the_commands(void **state)
{
    static const int statuses[] = {0, 1, 3, 124, 125, 126, 127, 130, 137, 255};
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        result = SH(HOW(0), text_format("exit %d", statuses[i]));
        CHECK_ENDED(result, "exited", statuses[i]);
        CHECK(result, record_number(result, "exit_code") == statuses[i] && record_null(result, "signal"));
        CHECK(result, result->out_length == 0 && result->err_length == 0);
    }
}

static void a_signal_is_128_and_its_number(void **state)
{
    static const struct {
        int number;
        const char *name;
    } signals[] = {
        {SIGSEGV, "SIGSEGV"}, {SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGABRT, "SIGABRT"}, {SIGPIPE, "SIGPIPE"}};
    const struct result *result;

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        result = SH(HOW(0), text_format("kill -%d $$", signals[i].number));
        CHECK_ENDED(result, "signaled", 128 + signals[i].number);
        CHECK(result, record_number(result, "signal") == signals[i].number && record_null(result, "exit_code"));
        CHECK(result, !strcmp(record_text(result, "signal_name"), signals[i].name));
        CHECK(result, !record_limit_hit(result, "timeout") && !record_limit_hit(result, "memory"));
    }
}

static void check_exec_failed(const struct result *result, int status, const char *errno_name, const char *named)
{
    CHECK_ENDED(result, "setup_failed", status);
    CHECK(result, !strcmp(record_text(result, "error.stage"), "exec"));
    CHECK(result, !strcmp(record_text(result, "error.errno"), errno_name));
    CHECK(result, strstr(record_text(result, "error.message"), named));
    CHECK(result, !strncmp(result->err, "bivy: exec: ", 12) && strstr(result->err, named) && result->out_length == 0);
}

static void not_found_is_127(void **state)
{
    (void)state;
    check_exec_failed(BIVY("--", "no-such-command"), 127, "ENOENT", "no-such-command");
    check_exec_failed(BIVY("--", "/no/such/path"), 127, "ENOENT", "/no/such/path");
}

static void not_executable_is_126(void **state)
{
    const char *workspace = workspace_make();
    struct how how = {.workspace = workspace};

    (void)state;
    file_write(path_join(workspace, "plain"), "text\n");
    check_exec_failed(RUN(&how, "--", "./plain"), 126, "EACCES", "./plain");
    check_exec_failed(RUN(&how, "--", "/tmp"), 126, "EACCES", "/tmp");
    assert_int_equal(chmod(path_join(workspace, "plain"), 0755), 0);
    check_exec_failed(RUN(&how, "--", "./plain"), 126, "ENOEXEC", "./plain");
    /* The file is there, its interpreter is not: the kernel's ENOENT would say the wrong thing. */
    file_write(path_join(workspace, "script"), "#!/no/such/interpreter\n");
    assert_int_equal(chmod(path_join(workspace, "script"), 0755), 0);
    check_exec_failed(RUN(&how, "--", "./script"), 126, "ELIBBAD", "interpreter");
}

/* ---- what the command finds ---- */

static void the_defaults_inside(void **state)
{
    const struct result *result = SH(HOW(0), "pwd; umask; hostname; id; cat; ulimit -n; nproc");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "/workspace\n0022\nbivy\nuid=1000(sandbox) gid=1000(sandbox)\n1024\n1\n");
    CHECK(result, result->err_length == 0);
}

static void the_environment_is_clean(void **state)
{
    const struct result *result =
        RUN(HOW(.env = WORDS("LD_PRELOAD=/evil.so", "TERM=xterm", "IFS=x")), "--", "/usr/bin/env");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out,
                        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/home/sandbox\n"
                        "USER=sandbox\nLANG=C.UTF-8\nTMPDIR=/tmp\n");
}

static void environment_options(void **state)
{
    struct how how = {.env = WORDS("FROM_CALLER=a b=c", "BYTES=\xff\xfe", "EMPTY=")};
    const struct result *result =
        RUN(&how, "--env", "SET=x=y", "--env=TWICE=1", "--env", "TWICE=2", "-e", "NOTHING=", "--env", "FROM_CALLER",
            "--env", "BYTES", "--env", "EMPTY", "--env", "NOT_THERE", "--env", "USER=other", "--", "/usr/bin/env");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, text_has_line(result->out, "SET=x=y") && text_has_line(result->out, "TWICE=2") &&
                      !strstr(result->out, "TWICE=1"));
    CHECK(result, text_has_line(result->out, "NOTHING=") && text_has_line(result->out, "FROM_CALLER=a b=c"));
    CHECK(result, text_has_line(result->out, "BYTES=\xff\xfe") && text_has_line(result->out, "EMPTY="));
    CHECK(result, !strstr(result->out, "NOT_THERE") && text_has_line(result->out, "USER=other") &&
                      !strstr(result->out, "USER=sandbox"));
    CHECK(result, !strstr(result->out, "CALLER_SECRET"));
}

/* The PATH that finds the command is the one the command gets. */
static void the_path_given_is_the_path_searched(void **state)
{
    const char *workspace = workspace_make();
    struct how how = {.workspace = workspace};

    (void)state;
    CHECK_WELL(RUN(&how, "--env", "PATH=/nowhere:/workspace", "--", "payload", "count"));
    check_exec_failed(RUN(&how, "--env", "PATH=/workspace", "--", "ls"), 127, "ENOENT", "ls");
}

static char terminal[64]; /* the slave's path */

static void stdout_to_terminal(void *data)
{
    int fd = open(terminal, O_RDWR | O_NOCTTY | O_CLOEXEC);

    (void)data;
    if (fd < 0 || dup2(fd, 1) < 0)
        _exit(98);
}

static void term_only_with_a_terminal(void **state)
{
    const char *workspace = workspace_make(), *env;
    struct how how = {.workspace = workspace, .env = WORDS("TERM=vt220")};
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    (void)state;
    assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
    assert_int_equal(ptsname_r(master, terminal, sizeof terminal), 0);
    CHECK_WELL(SH(&how, "env > env"));
    assert_null(strstr(file_read(path_join(workspace, "env"), NULL), "TERM="));
    how.prepare = stdout_to_terminal;
    CHECK_WELL(SH(&how, "env > env; [ -t 1 ] && echo the terminal itself > env; :"));
    env = file_read(path_join(workspace, "env"), NULL);
    assert_true(text_has_line(env, "TERM=vt220"));
    close(master);
}

static void scratch_is_writable_and_gone_afterwards(void **state)
{
    static const char script[] = "for d in /tmp /var/tmp /run /dev/shm /home/sandbox /workspace; do"
                                 " [ -e $d/x ] && echo stale $d; echo x > $d/x && cat $d/x || echo no $d; done";
    const struct result *result;

    (void)state;
    for (int i = 0; i < 2; i++) {
        result = SH(HOW(0), script);
        CHECK_WELL(result);
        assert_string_equal(result->out, "x\nx\nx\nx\nx\nx\n");
        CHECK(result, record_null(result, "workspace"));
    }
}

static void the_workspace_persists(void **state)
{
    const char *workspace = workspace_make();
    struct how how = {.workspace = workspace};
    struct stat status;
    const struct result *result;
    struct statfs fs;

    (void)state;
    CHECK_WELL(SH(&how, "echo one > a; mkdir -p d/e; echo two > d/e/f; touch /tmp/gone"));
    result = SH(&how, "cat a d/e/f; ls /tmp");
    CHECK_WELL(result);
    assert_string_equal(result->out, "one\ntwo\n");
    assert_int_equal(stat(path_join(workspace, "d/e/f"), &status), 0);
    assert_true(status.st_uid == harness.uid && status.st_gid == harness.uid && (status.st_mode & 07777) == 0644);
    CHECK(result, !strcmp(record_text(result, "workspace.path"), workspace));
    CHECK(result, record_number(result, "workspace.owner_uid") == harness.uid &&
                      record_number(result, "workspace.owner_gid") == harness.uid);
    assert_int_equal(statfs(workspace, &fs), 0);
    CHECK(result, *record_text(result, "workspace.fstype") && record_null(result, "workspace.error"));
}

static void the_devices(void **state)
{
    const struct result *result =
        SH(HOW(0),
           "ls /dev; echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; (echo x > /dev/full) 2>&1 | grep -o 'No "
           "space.*';"
           "head -c 5 /dev/urandom | wc -c; head -c 5 /dev/random | wc -c; (: < /dev/tty) 2>/dev/null || echo no tty;"
           "echo a | cat /dev/stdin; ls -d /dev/fd/0; touch /dev/x 2>/dev/null || echo read-only");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out,
                        "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n 00 00 00\n"
                        "No space left on device\n5\n5\nno tty\na\n/dev/fd/0\nread-only\n");
}

static void the_limits_shown_to_runtimes(void **state)
{
    const struct result *result =
        SH(HOW(0), "cd /sys/fs/cgroup; ls; cat cpu.max memory.max pids.max memory.high memory/*; find /sys -type f | wc -l");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "cpu.max\nmemory\nmemory.high\nmemory.max\npids.max\n50000 100000\n268435456\n50\n"
                                     "268435456\n268435456\n268435456\n6\n");
    result = RUN(HOW(0), "--memory", "1.5G", "--cpus", "2", "--pids", "9", "--", "sh", "-c",
                 "cd /sys/fs/cgroup; cat cpu.max memory.max pids.max");
    CHECK_WELL(result);
    assert_string_equal(result->out, "200000 100000\n1610612736\n9\n");
}

static void affinity_follows_cpus(void **state)
{
    cpu_set_t own;
    int have;
    const struct result *result;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    have = CPU_COUNT(&own);
    for (int i = 0; i < 4; i++) {
        static const char *const cpus[] = {"0.5", "1", "1.001", "64"};
        static const int wanted[] = {1, 1, 2, 64};
        int expected = wanted[i] < have ? wanted[i] : have;
        result = RUN(HOW(0), "--cpus", cpus[i], "--", "nproc");
        CHECK_WELL(result);
        CHECK(result, atoi(result->out) == expected && record_number(result, "isolation.processors") == expected);
    }
    result = RUN(HOW(0), "--affinity", "off", "--", "nproc");
    CHECK_WELL(result);
    CHECK(result, atoi(result->out) == have && record_number(result, "isolation.processors") == have);
    CHECK_WELL(RUN(HOW(0), "--affinity=on", "--", "true"));
}

static void narrow(void *own)
{
    if (sched_setaffinity(0, sizeof(cpu_set_t), own) < 0)
        _exit(98);
}

/* Wherever they are forked, sandboxes that are there at the same time have the processors evenly, whatever order they come in. */
static void sandboxes_share_the_processors(void **state)
{
    enum { EACH = 3, PROCESSORS = 4 };
    struct session *sessions[EACH * PROCESSORS];
    unsigned has[CPU_SETSIZE] = {0};
    cpu_set_t own;
    int count;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof own, &own), 0);
    for (unsigned cpu = CPU_SETSIZE; cpu-- > 0 && CPU_COUNT(&own) > PROCESSORS;)
        CPU_CLR(cpu, &own);
    count = CPU_COUNT(&own) * EACH;
    for (int i = 0; i < count; i++)
        sessions[i] = START(HOW(.prepare = narrow, .data = &own), "--", "sh", "-c", "grep Cpus_allowed_list /proc/self/status; exec sleep 1000");
    for (int i = 0; i < count; i++) {
        session_expect(sessions[i], "\n");
        unsigned long cpu = strtoul(text_line(sessions[i]->result.out, "Cpus_allowed_list:"), NULL, 10);
        assert_true(cpu < CPU_SETSIZE);
        has[cpu]++;
    }
    for (int i = 0; i < count; i++)
        session_kill(sessions[i], SIGTERM);
    for (int i = 0; i < count; i++)
        CHECK_ENDED(session_finish(sessions[i]), "cancelled", 128 + SIGTERM);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        assert_int_equal(has[cpu], CPU_ISSET(cpu, &own) ? EACH : 0);
}

static void open_files_and_scratch_options(void **state)
{
    const struct result *result =
        RUN(HOW(0), "--open-files=17", "--scratch", "1M", "--scratch-inodes", "100", "--", "sh", "-c",
            "ulimit -n; ulimit -Hn; dd if=/dev/zero of=/tmp/x bs=64k count=32 2>&1 | grep -o 'No space left on "
            "device'; rm /tmp/x;"
            "i=0; while (: > /var/tmp/$i) 2>/dev/null; do i=$((i+1)); done; [ $i -gt 20 ] && [ $i -le 100 ] && echo "
            "inodes end");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "17\n17\nNo space left on device\ninodes end\n");
}

static void words_may_stand_without_dashes(void **state)
{
    const struct result *result = RUN(HOW(0), "echo", "--memory", "0", "--", "-x");

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "--memory 0 -- -x\n");
}

/* ---- arguments ---- */

static void arguments_cross_exactly(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result;
    static const char odd[] = "\xff\xfe\x80 \xc3\x28 \xed\xa0\x80\n\t\"\\\x01\x7f";

    (void)state;
    result = RUN(&how, "--", "./payload", "count", odd, "", "\xf0\x9f\x8f\x95");
    CHECK_WELL(result);
    char *all = text_format("%s\xf0\x9f\x8f\x95", odd);
    assert_string_equal(result->out, text_format("words 3 bytes %zu hash %016llx\n", strlen(all),
                                                 (unsigned long long)bytes_hash(all, strlen(all))));
    CHECK(result, reader_count(reader_at(result->record, "command")) == 5);
    CHECK(result, strstr(record_text(result, "command.2"), "\xef\xbf\xbd")); /* U+FFFD where it was not UTF-8 */
    CHECK(result, !strcmp(record_text(result, "command.3"), "") &&
                      !strcmp(record_text(result, "command.4"), "\xf0\x9f\x8f\x95"));
}

static void many_and_long_arguments(void **state)
{
    struct how how = {.workspace = workspace_make()};
    const struct result *result;
    const char **words = keep(calloc(2100, sizeof *words));
    char *longest = keep(malloc(131072)), *word = keep(malloc(64));
    size_t count = 0;

    (void)state;
    memset(word, 'w', 63);
    word[63] = '\0';
    for (const char *const *head = WORDS("--", "./payload", "count"); *head; head++)
        words[count++] = *head;
    while (count < 3 + 2048) /* 128 KiB with their NULs */
        words[count++] = word;
    result = session_finish(session_start(&how, words));
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "words 2048 bytes 129024 "));
    CHECK(result, reader_count(reader_at(result->record, "command")) == 64);
    memset(longest, 'x', 131071); /* MAX_ARG_STRLEN with its NUL: execve(2) takes no longer word */
    longest[131071] = '\0';
    result = RUN(&how, "--", "./payload", "count", longest);
    CHECK_WELL(result);
    CHECK(result, strstr(result->out, "words 1 bytes 131071 "));
    CHECK(result, strlen(record_text(result, "command.2")) <= 256 + 3);
}

/* ---- records, plan, summary ---- */

static void a_record_in_a_file(void **state)
{
    const char *directory = directory_make("report", harness.user ? USER_ID : 0, 0755),
               *file = path_join(directory, "record.json");
    struct reader *record;
    struct stat status;
    size_t length;
    const char *text;
    const struct result *result;

    (void)state;
    result = RUN(HOW(0), "--report", file, "--", "sh", "-c", "exit 3");
    CHECK(result, result->status == 3);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    text = file_read(file, &length);
    record = reader_parse(text, length, NULL);
    assert_non_null(record);
    keep_tree(record);
    assert_string_equal(reader_at(record, "outcome")->text, "exited");
    /* A second, shorter one leaves nothing of the first behind. */
    result = RUN(HOW(0), text_format("--report=%s", file), "--", "/no");
    CHECK(result, result->status == 127);
    text = file_read(file, &length);
    record = reader_parse(text, length, NULL);
    assert_non_null(record);
    keep_tree(record);
    assert_string_equal(reader_at(record, "outcome")->text, "setup_failed");
}

static void record_to_fd_4(void *data)
{
    if (dup2(3, 4) < 0 || close(3))
        _exit(98);
    (void)data;
}

static void a_record_on_any_descriptor(void **state)
{
    struct session *session =
        START(HOW(.prepare = record_to_fd_4), "--report", "fd:4", "--", "sh", "-c", "ls /proc/self/fd | wc -l");
    const struct result *result;

    (void)state;
    session->plain = false;
    result = session_finish(session);
    CHECK_WELL(result);
    CHECK(result, !strcmp(result->out, "4\n")); /* 0, 1, 2 and the directory that ls reads: never the record's */
}

static void the_times_are_real(void **state)
{
    const struct result *result;
    time_t before = time(NULL), started;
    struct tm tm = {0};
    const char *rest;

    (void)state;
    result = RUN(HOW(.workspace = workspace_make()), "--cpus", "1", "--", "sh", "-c", "./payload burn 100; sleep 0.3");
    CHECK_WELL(result);
    rest = strptime(record_text(result, "times.started"), "%Y-%m-%dT%H:%M:%S", &tm);
    CHECK(result, rest && rest[strlen(rest) - 1] == 'Z');
    started = timegm(&tm);
    CHECK(result, started >= before - 1 && started <= time(NULL));
    CHECK(result, record_real(result, "times.wall_ms") >= 400);
    CHECK(result, record_real(result, "times.setup_ms") > 0);
    CHECK(result,
          record_real(result, "times.wall_ms") + record_real(result, "times.setup_ms") <= result->seconds * 1000 + 1);
    CHECK(result, record_real(result, "times.cpu_user_ms") + record_real(result, "times.cpu_system_ms") >= 95);
    CHECK(result, record_number(result, "pids.peak") >= 3 && record_number(result, "pids.denied") == 0);
}

static void throttling_is_told(void **state)
{
    const struct result *result =
        RUN(HOW(.workspace = workspace_make()), "--cpus", "0.1", "--", "./payload", "burn", "60");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_limit_hit(result, "cpu"));
    CHECK(result, record_number(result, "cpu.throttled_periods") > 0 && record_real(result, "times.throttled_ms") > 0);
    CHECK(result, record_real(result, "times.wall_ms") >= 300); /* 60 ms of a tenth of a processor */
}

static void the_summary_is_one_line(void **state)
{
    const struct result *result = RUN(HOW(0), "--summary", "--", "sh", "-c", "echo out; echo err >&2");
    const char *line;

    (void)state;
    CHECK_WELL(result);
    assert_string_equal(result->out, "out\n");
    CHECK(result, !strncmp(result->err, "err\nbivy: ", 10));
    line = result->err + 4;
    CHECK(result, strchr(line, '\n') && !strchr(line, '\n')[1]);
    CHECK(result, strstr(line, "exited") || strstr(line, "exit"));
}

/* Rows by their beginning, none longer than the run; every stage between the first and the command's end on its own side only. */
static void the_timing_tells_every_stage(void **state)
{
    static const char *const host[] = {"report", "rootfs", "plan", "cgroup", "streams", "clone", "idmap", "limits", "wait",
                                       "output", "readings", "workspace_after", "undo"};
    static const char *const sandbox[] = {"inherited", "cgroup_enter", "keyring", "ids", "scratch", "root", "proc", "mounts",
                                          "pivot", "network", "hostname", "rlimits", "affinity", "capabilities", "no_new_privs",
                                          "seccomp", "init", "descriptors", "gate", "exec", "command", "teardown"};
    const struct result *result = RUN(HOW(0), "--timing", "--", "sh", "-c", "sleep 0.2");
    double before = 0, command = 0;
    size_t rows = 0;
    char path[64], line[96];

    (void)state;
    CHECK_WELL(result);
    for (;; rows++) {
        snprintf(path, sizeof path, "timing.%zu.start_us", rows);
        if (!reader_at(result->record, path))
            break;
        double start = record_real(result, path);
        CHECK(result, start >= before);
        before = start;
        snprintf(path, sizeof path, "timing.%zu.us", rows);
        CHECK(result, record_real(result, path) >= 0 && record_real(result, path) < 60e6);
        snprintf(path, sizeof path, "timing.%zu.stage", rows);
        const char *stage = record_text(result, path);
        bool known = false;
        for (size_t i = 0; i < sizeof host / sizeof *host; i++)
            known |= !strcmp(stage, host[i]);
        for (size_t i = 0; i < sizeof sandbox / sizeof *sandbox; i++)
            known |= !strcmp(stage, sandbox[i]);
        CHECK(result, known);
        snprintf(line, sizeof line, " %s ", stage);
        CHECK(result, strstr(result->err, line)); /* and for people */
        if (!strcmp(stage, "command")) {
            snprintf(path, sizeof path, "timing.%zu.us", rows);
            command = record_real(result, path);
        }
    }
    CHECK(result, rows == sizeof host / sizeof *host + sizeof sandbox / sizeof *sandbox);
    CHECK(result, command >= 200000);
    result = RUN(HOW(0), "--", "true");
    CHECK(result, record_null(result, "timing") && result->err_length == 0);
}

static void plan_touches_nothing(void **state)
{
    struct how how = {.verb = "plan", .workspace = workspace_make(), .parent = "/bivy-test-no-such-parent"};
    const struct result *result =
        RUN(&how, "--memory", "64M", "--env", "A=b", "--network", "loopback", "--", "sh", "-c", "touch x");
    struct reader *plan;

    (void)state;
    CHECK(result, result->status == 0 && result->err_length == 0);
    plan = reader_parse(result->out, result->out_length, NULL);
    CHECK(result, plan);
    keep_tree(plan);
    assert_int_equal(access(path_join(how.workspace, "x"), F_OK), -1);
    assert_int_equal(reader_at(plan, "limits.memory_bytes")->number, 64 << 20);
    assert_true(reader_at(plan, "limits.cpus")->number == 0.5);
    assert_int_equal(reader_at(plan, "limits.pids")->number, 50);
    assert_int_equal(reader_at(plan, "limits.timeout_ms")->number, 30000);
    assert_int_equal(reader_at(plan, "limits.kill_after_ms")->number, 2000);
    assert_int_equal(reader_at(plan, "limits.max_output_bytes")->number, 1 << 20);
    assert_int_equal(reader_at(plan, "limits.output_limit_bytes")->number, 64 << 20);
    assert_int_equal(reader_at(plan, "limits.scratch_inodes")->number, 32768);
    assert_int_equal(reader_at(plan, "limits.open_files")->number, 1024);
    assert_int_equal(reader_at(plan, "ids.uid")->number, 1000);
    assert_int_equal(reader_at(plan, "ids.host_uid")->number, harness.uid);
    assert_int_equal(reader_count(reader_at(plan, "namespaces")), 7);
    assert_true(reader_holds(reader_at(plan, "environment"), "A=b"));
    assert_string_equal(reader_at(plan, "network")->text, "loopback");
    assert_string_equal(reader_at(plan, "hostname")->text, "bivy");
}

/* The plan and the run decide alike: what the plan prints is what the command sees and the record says. */
static void the_run_keeps_to_the_plan(void **state)
{
    struct how how = {.workspace = workspace_make()}, plan_how = how;
    const struct result *result = RUN(&how, "--open-files", "99", "--", "./payload", "state", "-"), *planned;
    struct reader *plan;
    struct rlimit own;

    (void)state;
    plan_how.verb = "plan";
    CHECK_WELL(result);
    planned = RUN(&plan_how, "--open-files", "99", "--", "./payload", "state", "-");
    plan = reader_parse(planned->out, planned->out_length, NULL);
    CHECK(planned, plan);
    keep_tree(plan);
    for (const struct reader *row = reader_at(plan, "environment")->child; row; row = row->next)
        CHECK(result, text_has_line(result->out, text_format("env %s", row->text)));
    for (const struct reader *row = reader_at(plan, "rlimits")->child; row; row = row->next) {
        static const char *const names[] = {"cpu",      "fsize",  "data",    "stack", "core",  "rss",
                                            "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
                                            "msgqueue", "nice",   "rtprio",  "rttime"}; /* their numbers: getrlimit(2),
                                                                                         * asm-generic
                                                                                         */
        int number = -1;
        unsigned long long values[2];
        for (int i = 0; i < 16; i++)
            if (!strcmp(names[i], reader_at(row, "name")->text))
                number = i;
        assert_true(number >= 0);
        const char *line = text_line(result->out, text_format("rlimit %d ", number));
        CHECK(result, line && sscanf(line, "%llu %llu", &values[0], &values[1]) == 2);
        /* null: no limit, or the caller's hard one, which nobody can raise from inside a user namespace */
        assert_int_equal(getrlimit((enum __rlimit_resource)number, &own), 0);
        for (int i = 0; i < 2; i++) {
            const struct reader *value = reader_at(row, i ? "hard" : "soft");
            CHECK(result, values[i] == (value->type == READER_NULL ? own.rlim_max : strtoull(value->text, NULL, 10)));
        }
    }
    CHECK(result, !strcmp(record_text(result, "isolation.seccomp_policy"), reader_at(plan, "seccomp_policy")->text));
}

static void help_and_version(void **state)
{
    static const char *const options[] = {
        "--rootfs",        "--workspace", "--memory",         "--cpus",         "--pids",    "--timeout",
        "--kill-after",    "--scratch",   "--scratch-inodes", "--open-files",   "--network", "--env",
        "--interactive",   "--affinity",  "--max-output",     "--output-limit", "--report",  "--summary", "--timing",
        "--cgroup-parent", "--host-uid",  "--host-gid",       "--unenforced",   "--profile", "--file-size",
        "--tty",           "--log",       "--quiet",          "--verbose",      "--explain", "--keep-on-fail",
    };
    const struct result *result = RUN(HOW(.bare = true), "help"), *again;

    (void)state;
    CHECK(result, result->status == 0 && result->err_length == 0);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        CHECK(result, strstr(result->out, options[i]));
    again = RUN(HOW(.bare = true), "--help");
    CHECK(again, again->status == 0 && !strcmp(again->out, result->out));
    again = RUN(HOW(.bare = true), "version");
    CHECK(again, again->status == 0 && !strncmp(again->out, "bivy ", 5));
    result = BIVY("--", "true");
    CHECK(result, strstr(again->out, record_text(result, "bivy")));
}

static void a_profile_stores_options(void **state)
{
    const char *directory = directory_make("config", 0, 0755), *file = path_join(directory, "small");
    const struct result *result;

    (void)state;
    file_write(file, "# a small one\n\nmemory 32M\nenv A=from the profile\npids   5\nsummary\n");
    result = RUN(HOW(0), "--profile", file, "--pids", "6", "--", "sh", "-c", "echo $A");
    CHECK_WELL(result);
    assert_string_equal(result->out, "from the profile\n");
    CHECK(result, record_number(result, "memory.limit_bytes") == 32 << 20 && record_number(result, "pids.limit") == 6);
    CHECK(result, strstr(result->err, "bivy: "));
}

/* ---- places and ids ---- */

static void the_rootfs_from_the_environment(void **state)
{
    const struct result *result = RUN(HOW(.bare = true, .env = WORDS(text_format("BIVY_ROOTFS=%s", harness.rootfs))),
                                      "run", "--cgroup-parent", harness.parent, "--", "echo", "here");

    (void)state;
    CHECK(result, result->status == 0 && !strcmp(result->out, "here\n") && result->err_length == 0);
}

static void the_rootfs_of_an_ordinary_user(void **state)
{
    const char *data = directory_make("data", USER_ID, 0755), *bivy = path_join(data, "bivy"),
               *rootfs = path_join(bivy, "rootfs");
    const struct result *result;

    (void)state;
    assert_int_equal(mkdir(bivy, 0755), 0);
    tree_copy(harness.rootfs, rootfs);
    result = RUN(HOW(.bare = true, .env = WORDS(text_format("XDG_DATA_HOME=%s", data))), "run", "--cgroup-parent",
                 harness.parent, "--", "echo", "here");
    CHECK(result, result->status == 0 && !strcmp(result->out, "here\n"));
}

/* A bare run, no option at all. The cgroup parent /bivy is made where it is missing, and stays: the product's own. */
static void a_bare_run_as_root(void **state)
{
    bool was_there[CGROUP_COUNT];
    const struct result *result;

    (void)state;
    for (int i = 0; i < CGROUP_COUNT; i++)
        was_there[i] = !*harness.mount[i] || !access(text_format("%s/bivy", harness.mount[i]), F_OK);
    result = RUN(HOW(.bare = true, .env = WORDS(text_format("BIVY_ROOTFS=%s", harness.rootfs))), "run", "sh", "-c",
                 "echo hi");
    CHECK(result, result->status == 0 && !strcmp(result->out, "hi\n") && result->err_length == 0);
    for (int i = 0; i < CGROUP_COUNT; i++)
        if (!was_there[i]) /* EBUSY: another bivy of this host uses it by now */
            assert_true(!rmdir(text_format("%s/bivy", harness.mount[i])) || errno == EBUSY);
}

/* The directory beside the caller's own cgroup is the parent. */
static void a_bare_run_as_a_user(void **state)
{
    const struct result *result = RUN(HOW(.bare = true, .env = WORDS(text_format("BIVY_ROOTFS=%s", harness.rootfs))),
                                      "run", "--report", "fd:1", "--", "true");

    (void)state;
    CHECK(result, result->status == 0 && strstr(result->out, "\"exited\""));
}

static void host_ids_by_option(void **state)
{
    const char *workspace = directory_make("workspace", 777, 0777);
    const struct result *result =
        RUN(HOW(.workspace = workspace), "--host-uid", "4242", "--host-gid=4343", "--", "touch", "x");
    struct stat status;

    (void)state;
    CHECK_WELL(result);
    assert_int_equal(stat(path_join(workspace, "x"), &status), 0);
    assert_true(status.st_uid == 4242 && status.st_gid == 4343);
    CHECK(result,
          record_number(result, "isolation.host_uid") == 4242 && record_number(result, "isolation.host_gid") == 4343);
    CHECK(result, record_number(result, "isolation.uid") == 1000);
}

static void group_0_of_a_workspace_is_never_mapped(void **state)
{
    const char *workspace = directory_make("workspace", 777, 0755);
    const struct result *result;

    (void)state;
    assert_int_equal(chown(workspace, 777, 0), 0);
    result = RUN(HOW(.workspace = workspace), "--", "true");
    CHECK_WELL(result);
    CHECK(result,
          record_number(result, "isolation.host_uid") == 777 && record_number(result, "isolation.host_gid") == 777);
}

static void root_without_a_workspace_takes_a_free_id(void **state)
{
    const struct result *result = BIVY("--", "true");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, record_number(result, "isolation.host_uid") >= 0x70000000 &&
                      record_number(result, "isolation.host_uid") < 0x80000000);
    CHECK(result, record_number(result, "isolation.host_gid") == record_number(result, "isolation.host_uid"));
}

/* ---- limits that cannot be enforced ---- */

/* A parent whose children cannot have the memory controller: on v1 it is not there in that hierarchy, on v2 not handed
 * on. */
static char *parent_without_memory(void)
{
    char *path = text_format("%s/lean", harness.parent);

    for (int i = 0; i < CGROUP_COUNT; i++) {
        char *top = text_format("%s%s", harness.mount[i], path);
        if (!*harness.mount[i] || i == CGROUP_MEMORY)
            continue;
        if (i == CGROUP_V2 && !*harness.mount[CGROUP_MEMORY])
            file_write(text_format("%s%s/cgroup.subtree_control", harness.mount[i], harness.parent),
                       "+cpu +pids -memory");
        if (mkdir(top, 0755) && errno != EEXIST)
            harness_fail("cannot make %s: %s", top, strerror(errno));
        if (harness.user)
            for (const char *const *file = WORDS("", "/cgroup.procs", "/tasks", "/cgroup.subtree_control"); *file;
                 file++)
                if (chown(text_format("%s%s", top, *file), USER_ID, USER_ID) && errno != ENOENT)
                    harness_fail("cannot chown %s%s: %s", top, *file, strerror(errno));
    }
    return path;
}

static void an_unenforceable_limit_is_refused_unless_named(void **state)
{
    struct how how = {.parent = parent_without_memory()};
    const struct result *refused = RUN(&how, "--", "echo", "ran"),
                        *half = RUN(&how, "--unenforced", "memory", "--", "echo", "ran"),
                        *allowed = RUN(&how, "--unenforced", "memory", "--unenforced", "swap", "--", "echo", "ran");
    const struct reader *list;

    (void)state;
    check_refused(refused, "cgroup", "memory");
    CHECK(refused, strstr(refused->err, "--unenforced memory"));
    CHECK_WELL(allowed);
    list = reader_at(allowed->record, "unenforced");
    CHECK(allowed, reader_holds(list, "memory") && reader_holds(list, "swap") && !reader_holds(list, "cpu") &&
                       !reader_holds(list, "pids"));
    CHECK(allowed, record_null(allowed, "memory.limit_bytes"));
    CHECK(half, half->status == 125 || !strcmp(half->out, "ran\n"));
}

/* A limit that can be enforced is, whatever was allowed. */
static void unenforced_is_leave_not_an_order(void **state)
{
    const struct result *result =
        BIVY("--unenforced", "memory", "--unenforced=cpu", "--unenforced", "pids", "--", "true");

    (void)state;
    CHECK_WELL(result);
    CHECK(result, reader_count(reader_at(result->record, "unenforced")) == 0);
    CHECK(result,
          record_number(result, "memory.limit_bytes") == 268435456 && record_number(result, "pids.limit") == 50);
}

int main(int argc, char **argv)
{
    static const struct harness_test tests[] = {
        TEST(exit_status_is_the_commands),
        TEST(a_signal_is_128_and_its_number),
        TEST(not_found_is_127),
        TEST(not_executable_is_126),
        TEST(the_defaults_inside),
        TEST(the_environment_is_clean),
        TEST(environment_options),
        TEST(the_path_given_is_the_path_searched),
        TEST(term_only_with_a_terminal),
        TEST(scratch_is_writable_and_gone_afterwards),
        TEST(the_workspace_persists),
        TEST(the_devices),
        TEST(the_limits_shown_to_runtimes),
        TEST(affinity_follows_cpus),
        TEST(sandboxes_share_the_processors),
        TEST(open_files_and_scratch_options),
        TEST(words_may_stand_without_dashes),
        TEST(arguments_cross_exactly),
        TEST(many_and_long_arguments),
        TEST(a_record_in_a_file),
        TEST(a_record_on_any_descriptor),
        TEST(the_times_are_real),
        TEST(throttling_is_told),
        TEST(the_summary_is_one_line),
        TEST(the_timing_tells_every_stage),
        TEST(plan_touches_nothing),
        TEST(the_run_keeps_to_the_plan),
        TEST(help_and_version),
        TEST(a_profile_stores_options),
        TEST(the_rootfs_from_the_environment),
        TEST_USER(the_rootfs_of_an_ordinary_user),
        TEST_ROOT(a_bare_run_as_root),
        TEST_USER(a_bare_run_as_a_user),
        TEST_ROOT(host_ids_by_option),
        TEST_ROOT(group_0_of_a_workspace_is_never_mapped),
        TEST_ROOT(root_without_a_workspace_takes_a_free_id),
        TEST(an_unenforceable_limit_is_refused_unless_named),
        TEST(unenforced_is_leave_not_an_order),
    };

    return harness_main(argc, argv, "contract", tests, sizeof tests / sizeof *tests);
}
