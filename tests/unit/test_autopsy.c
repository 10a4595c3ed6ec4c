/* autopsy: what the texts below /proc/PID say, also of processes that choose their names to mislead, and what is made of it. */
#include "unit.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "autopsy.h"
#include "../fuzz/strict_json.h"

/* ---- stat ---- */

#define TAIL " S 20151 20151 20151 0 -1 4194304 54 0 0 0 3 4 0 0 20 0 1 0 3648022 1724416 191 18446744073709551615 94122844377088 " \
             "94122845004283 140723279875776 0 0 0 0 0 0 1 0 0 17 0 0 0 0 0 0 94122845149232 94122845163568 94123813945344 140723279880018 " \
             "140723279880029 140723279880029 140723279880175 0\n"

static bool stat_of(const char *text, struct autopsy_stat *stat)
{
    char *copy = copy_text(text);

    memset(stat, 0x5a, sizeof *stat);
    bool well = autopsy_stat(copy, stat);
    free(copy);
    return well;
}

static void the_name_in_stat_may_be_anything(void **state)
{
    static const char *const names[] = {"cat", "", " ", ")", "(", ") R 1 2 3", "a) S 1 (b", "\n", "\n\033[31m", ")))", "((", "\xff\xfe", "1 (x) R"};
    char text[1024];
    struct autopsy_stat stat;

    (void)state;
    for (size_t i = 0; i < LENGTH(names); i++) {
        snprintf(text, sizeof text, "20156 (%s)" TAIL, names[i]);
        assert_true(stat_of(text, &stat));
        assert_string_equal(stat.name, names[i]);
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.user_ticks, 3);
        assert_int_equal(stat.system_ticks, 4);
        assert_int_equal(stat.start_ticks, 3648022);
        assert_true(stat.args_begin == 140723279880018 && stat.args_end == 140723279880029);
    }
    char *longer = repeat_text('x', 5000, "");
    char *whole = malloc(8192);
    assert_non_null(whole);
    snprintf(whole, 8192, "1 (%s)" TAIL, longer);
    assert_true(stat_of(whole, &stat));
    assert_int_equal(strlen(stat.name), AUTOPSY_NAME);
    free(longer);
    free(whole);
}

static void stat_that_is_cut_off_or_odd(void **state)
{
    static const char whole[] = "20156 (cat)" TAIL;
    static const char *const bad[] = {"", "\n", "(", ")", "()", "1 (x)", "1 (x) ", "1 (x) S", "1 (x) S\n", "1 (x) S 1\n", ") x (", "1 (x) 5 1 2\n",
                                      "1 (x)S 1 1 1\n",
                                      "1 (x) S 1 1 1 0 -1 1 1 0 0 0 3 99999999999999999999 0 0 20 0 1 0 5 6 7\n",
                                      "1 (x) S 1 1 1 0 -1 1 1 0 0 0 3 x 0 0 20 0 1 0 5 6 7\n",
                                      "1 (x) S 1 1 1 0 -1 1 1 0 0 0 3 4 0 0 20 0 1 0\n"};
    struct autopsy_stat stat;

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(stat_of(bad[i], &stat));
    for (size_t length = 0; length + 1 < sizeof whole - 1; length++) {
        char *cut = copy_bytes(whole, length + 1);
        cut[length] = '\0';
        assert_false(autopsy_stat(cut, &stat));
        free(cut);
    }
    /* fewer fields than we know of, but all that are needed; and more than we know of */
    assert_true(stat_of("1 (x) S 1 1 1 0 -1 1 1 0 0 0 3 4 0 0 20 0 1 0 5 6 7\n", &stat));
    assert_true(stat.start_ticks == 5 && stat.args_begin == 0);
    char more[1024];
    snprintf(more, sizeof more, "%.*s 1 2 3 4\n", (int)(sizeof whole - 2), whole);
    assert_true(stat_of(more, &stat));
}

/* ---- status ---- */

static bool status_of(const char *text, struct autopsy_status *status)
{
    char *copy = copy_text(text);
    bool well = autopsy_status(copy, status);

    free(copy);
    return well;
}

static void status(void **state)
{
    static const char good[] = "Name:\tx\\nState:\\tR\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t9\nPid:\t9\nPPid:\t7\nNSpid:\t20156\t7\t3\nThreads:\t12\n";
    static const char *const bad[] = {
        "", "State:\tS (sleeping)\n", "\nState:\tS (sleeping)\nPPid:\t7\nNSpid:\t9\t3\n",
        "\nState:\tS (sleeping)\nPPid:\t7\nThreads:\t1\nNSpid:\t9\t3",              /* cut off */
        "\nState:\tS (sleeping)\nPPid:\t7\nThreads:\t1\nNSpid:\n",
        "\nState:\tS (sleeping)\nPPid:\t7\nThreads:\t1\nNSpid:\t0\n",
        "\nState:\tS (sleeping)\nPPid:\t7\nThreads:\t1\nNSpid:\t9\tx\n",
        "\nState:\tS (sleeping)\nPPid:\t7x\nThreads:\t1\nNSpid:\t9\t3\n",
        "\nState:\tS (sleeping)\nPPid:\t99999999999999999999\nThreads:\t1\nNSpid:\t9\t3\n",
        "\nState:\t5 (sleeping)\nPPid:\t7\nThreads:\t1\nNSpid:\t9\t3\n", "\nState:\t", "\nState:\tS"};
    struct autopsy_status found;

    (void)state;
    assert_true(status_of(good, &found));
    assert_true(found.state == 'S' && found.parent == 7 && found.threads == 12 && found.inner == 3);
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(status_of(bad[i], &found));
}

/* ---- syscall ---- */

static bool call_of(const char *text, struct autopsy_call *call)
{
    char *copy = copy_text(text);

    memset(call, 0x5a, sizeof *call);
    bool well = autopsy_call(copy, call);
    free(copy);
    return well;
}

static void system_calls(void **state)
{
    static const char *const bad[] = {"", "\n", "running", "running\n\n", "0\n", "0 0x0\n", "x 0x0\n", "-\n", "-1 0x1\n", "-1 0x1 0x2 0x3\n",
                                      "0 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0x7", "0 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n",
                                      "0 0x0 0x1 0x2 0x3 0x4 0x5 0x6 7\n", "99999999 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n",
                                      "0 0x10000000000000000 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n"};
    struct autopsy_call call;

    (void)state;
    assert_true(call_of("running\n", &call));
    assert_true(call.running && call.number == -1);
    assert_true(call_of("-1 0x7ffd16bcacc0 0x7f6861fbe9f9\n", &call));
    assert_true(!call.running && call.number == -1);
    assert_true(call_of("0 0x3 0xffffffffffffffff 0x10000 0x0 0x0 0x6 0x7ffd037c4308 0x7f4ad892f992\n", &call));
    assert_true(!call.running && call.number == 0 && call.args[0] == 3 && call.args[1] == UINT64_MAX && call.args[5] == 6);
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(call_of(bad[i], &call));
    assert_string_equal(autopsy_call_name(SYS_read), "read");
    assert_string_equal(autopsy_call_name(SYS_ppoll), "ppoll");
    assert_null(autopsy_call_name(-1));
    assert_null(autopsy_call_name(65535));
}

/* Every call in the table is one that there is, and its argument positions are ones that there are. */
static void the_table_names_calls_that_exist(void **state)
{
    size_t found = 0;

    (void)state;
    for (int number = 0; number < 600; number++) {
        const char *name = autopsy_call_name(number);
        const struct autopsy_row *row = name ? autopsy_row(name) : NULL;
        if (!row)
            continue;
        found++;
        assert_true(row->fd < 6 && row->path < 6 && row->directory < 6);
        assert_true(row->act != ACT_PATH || row->path >= 0);
        assert_true(row->act != ACT_FD || row->fd >= 0);
    }
    assert_true(found > 80);
    assert_null(autopsy_row(""));
    assert_null(autopsy_row("reads"));
}

/* ---- lists ---- */

static void pids_and_targets(void **state)
{
    const char *at = "1\n22\n4194304\n99999999999\n5\n";

    (void)state;
    assert_int_equal(autopsy_next_pid(&at), 1);
    assert_int_equal(autopsy_next_pid(&at), 22);
    assert_int_equal(autopsy_next_pid(&at), 4194304);
    assert_int_equal(autopsy_next_pid(&at), 0); /* no pid, and it stays there */
    assert_int_equal(autopsy_next_pid(&at), 0);
    at = "12"; /* cut off */
    assert_int_equal(autopsy_next_pid(&at), 0);
    at = "pos:\t0\ntfd:        5 events:       19 data: 5  pos:0\ntfd:       13 events: 1\ntfd: x\n";
    assert_int_equal(autopsy_next_target(&at), 5);
    assert_int_equal(autopsy_next_target(&at), 13);
    assert_int_equal(autopsy_next_target(&at), -1);
}

static void maps(void **state)
{
    static const char text[] = "1000-2000 r--p 00000000 00:17 42                          /workspace/program\n"
                               "2000-3000 r--p 00000000 00:17 42                          /usr/bin/cat\n"
                               "3000-5000 rw-p 00000000 00:00 0 \n"
                               "6000-7000 rw-s 00000000 00:17 42                          /workspacer\n"
                               "7000-8000 rw-p 00000000 00:00 0                          [stack]\n"
                               "9000-a000 rw-p 00000000 00:00 ";

    (void)state;
    assert_int_equal(autopsy_at_hand(text, 0x1800, false), 0);
    assert_int_equal(autopsy_at_hand(text, 0x2800, false), 0x800);
    assert_int_equal(autopsy_at_hand(text, 0x2800, true), 0);
    assert_int_equal(autopsy_at_hand(text, 0x3001, true), 0x1fff);
    assert_int_equal(autopsy_at_hand(text, 0x5000, false), 0);
    assert_int_equal(autopsy_at_hand(text, 0x6000, false), 0); /* too careful is no harm */
    assert_int_equal(autopsy_at_hand(text, 0x7fff, true), 1);
    assert_int_equal(autopsy_at_hand(text, 0x9000, false), 0); /* cut off */
    assert_int_equal(autopsy_at_hand("", 0, false), 0);
    assert_int_equal(autopsy_at_hand("\n\n", 0, false), 0);
    assert_int_equal(autopsy_at_hand("0-1000\n", 0, false), 0);
    assert_int_equal(autopsy_at_hand("0-1000 r r r\n1000-2000 0 0 0 0\n", 0, false), 0);
    assert_int_equal(autopsy_at_hand("0-1000 r r r", 0, false), 0);
}

/* ---- what a descriptor is ---- */

static void kinds(void **state)
{
    static const struct {
        const char *link;
        mode_t mode;
        unsigned major, minor;
        enum autopsy_kind kind;
    } rows[] = {
        {"pipe:[4711]", 0, 0, 0, AUTOPSY_IS_PIPE},
        {"pipe:[99999999999999999999]", 0, 0, 0, AUTOPSY_IS_OTHER},
        {"pipe:[47", 0, 0, 0, AUTOPSY_IS_OTHER},
        {"/pipe:[4711]", S_IFREG, 0, 0, AUTOPSY_IS_FILE},
        {"/tmp/socket:[1]", S_IFDIR, 0, 0, AUTOPSY_IS_DIRECTORY},
        {"socket:[3]", 0, 0, 0, AUTOPSY_IS_SOCKET},
        {"socket:[", 0, 0, 0, AUTOPSY_IS_OTHER},
        {"anon_inode:[eventpoll]", 0, 0, 0, AUTOPSY_IS_EVENTPOLL},
        {"anon_inode:[eventfd]", 0, 0, 0, AUTOPSY_IS_EVENTFD},
        {"anon_inode:[timerfd]", 0, 0, 0, AUTOPSY_IS_TIMERFD},
        {"anon_inode:[signalfd]", 0, 0, 0, AUTOPSY_IS_SIGNALFD},
        {"anon_inode:inotify", 0, 0, 0, AUTOPSY_IS_INOTIFY},
        {"anon_inode:[pidfd]", 0, 0, 0, AUTOPSY_IS_OTHER},
        {"/tmp/f", S_IFIFO, 0, 0, AUTOPSY_IS_FIFO},
        {"/dev/pts/0", S_IFCHR, 136, 0, AUTOPSY_IS_TTY},
        {"/dev/tty", S_IFCHR, 5, 0, AUTOPSY_IS_TTY},
        {"/dev/ptmx", S_IFCHR, 5, 2, AUTOPSY_IS_DEVICE},
        {"/dev/null", S_IFCHR, 1, 3, AUTOPSY_IS_DEVICE},
        {"/workspace/x", 0, 0, 0, AUTOPSY_IS_UNKNOWN}, /* not asked for */
        {"", 0, 0, 0, AUTOPSY_IS_OTHER},
    };
    uint64_t inode = 0;

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_int_equal(autopsy_kind(rows[i].link, rows[i].mode, makedev(rows[i].major, rows[i].minor), &inode), rows[i].kind);
    assert_int_equal(inode, 3); /* of the last pipe or socket there was */
    assert_true(autopsy_in_workspace("/workspace") && autopsy_in_workspace("/workspace/x"));
    assert_false(autopsy_in_workspace("/workspaces/x") || autopsy_in_workspace("workspace/x") || autopsy_in_workspace(""));
}

/* ---- the judgement ---- */

static struct autopsy_process seen(char letter, const char *call, const char *channel, enum autopsy_kind kind, const char *path)
{
    struct autopsy_process process = {.pid = 7, .name = "cat", .state = letter, .timed = true};

    snprintf(process.call, sizeof process.call, "%s", call);
    snprintf(process.channel, sizeof process.channel, "%s", channel);
    if (kind != AUTOPSY_IS_UNKNOWN || path) {
        process.on_count = 1;
        process.on[0] = (struct autopsy_end){.fd = kind == AUTOPSY_IS_UNKNOWN ? -1 : 0, .is = kind};
        snprintf(process.on[0].path, sizeof process.on[0].path, "%s", path ? path : "");
    }
    return process;
}

static void judgement(void **state)
{
    static const struct {
        char state;
        const char *call, *channel;
        enum autopsy_kind kind;
        const char *path;
        enum autopsy_wait plain, with_server;
    } rows[] = {
        {'R', "", "", 0, NULL, AUTOPSY_RUNNING, AUTOPSY_RUNNING},
        {'S', "read", "pipe_read", AUTOPSY_IS_PIPE, NULL, AUTOPSY_PIPE, AUTOPSY_PIPE},
        {'S', "read", "pipe_read", AUTOPSY_IS_STDIN, NULL, AUTOPSY_CALLER, AUTOPSY_CALLER},
        {'S', "read", "", AUTOPSY_IS_TTY, "/dev/pts/0", AUTOPSY_TTY, AUTOPSY_TTY},
        {'S', "open", "wait_for_partner", 0, "/tmp/f", AUTOPSY_FIFO, AUTOPSY_FIFO},
        {'S', "open", "wait_for_partner", 0, "/workspace/f", AUTOPSY_FIFO, AUTOPSY_FIFO},
        {'S', "open", "", 0, "/tmp/f", AUTOPSY_OTHER, AUTOPSY_OTHER}, /* no guess */
        {'D', "open", "", 0, "/tmp/f", AUTOPSY_FILE, AUTOPSY_FILE},
        {'D', "openat", "folio_wait_bit", 0, "/workspace/f", AUTOPSY_FILE, AUTOPSY_WORKSPACE},
        {'S', "openat", "request_wait_answer", 0, "/workspace/f", AUTOPSY_OTHER, AUTOPSY_WORKSPACE},
        {'D', "read", "folio_wait_bit_common", AUTOPSY_IS_FILE, "/workspace/f", AUTOPSY_FILE, AUTOPSY_WORKSPACE},
        {'D', "", "__fuse_simple_request", 0, NULL, AUTOPSY_OTHER, AUTOPSY_WORKSPACE},
        {'D', "read", "nfs_wait_bit_killable", AUTOPSY_IS_FILE, "/workspace/f", AUTOPSY_FILE, AUTOPSY_WORKSPACE},
        {'S', "poll", "", AUTOPSY_IS_SOCKET, NULL, AUTOPSY_POLL, AUTOPSY_POLL},
        {'S', "poll", "", 0, NULL, AUTOPSY_SLEEP, AUTOPSY_SLEEP},
        {'S', "nanosleep", "hrtimer_nanosleep", 0, NULL, AUTOPSY_SLEEP, AUTOPSY_SLEEP},
        {'S', "wait4", "do_wait", 0, NULL, AUTOPSY_CHILD, AUTOPSY_CHILD},
        {'S', "futex", "futex_wait_queue", 0, NULL, AUTOPSY_LOCK, AUTOPSY_LOCK},
        {'S', "flock", "", AUTOPSY_IS_FILE, "/tmp/f", AUTOPSY_LOCK, AUTOPSY_LOCK},
        {'S', "pause", "", 0, NULL, AUTOPSY_SIGNAL, AUTOPSY_SIGNAL},
        {'S', "accept4", "", AUTOPSY_IS_SOCKET, NULL, AUTOPSY_SOCKET, AUTOPSY_SOCKET},
        {'S', "getpid", "", 0, NULL, AUTOPSY_OTHER, AUTOPSY_OTHER},
        {'S', "", "do_wait", 0, NULL, AUTOPSY_CHILD, AUTOPSY_CHILD}, /* the call is not known */
        {'S', "", "", 0, NULL, AUTOPSY_OTHER, AUTOPSY_OTHER},
        {'T', "read", "", AUTOPSY_IS_PIPE, NULL, AUTOPSY_STOPPED, AUTOPSY_STOPPED},
        {'Z', "", "", 0, NULL, AUTOPSY_ENDED, AUTOPSY_ENDED},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct autopsy_process process = seen(rows[i].state, rows[i].call, rows[i].channel, rows[i].kind, rows[i].path);
        assert_int_equal(autopsy_judge(&process, false), rows[i].plain);
        assert_int_equal(autopsy_judge(&process, true), rows[i].with_server);
    }
    struct autopsy_process held = {.held = true, .state = 'S'};
    assert_int_equal(autopsy_judge(&held, true), AUTOPSY_WORKSPACE);
    assert_int_equal(autopsy_judge(&held, false), AUTOPSY_OTHER);
}

static void ranks(void **state)
{
    bool taken[AUTOPSY_WAITS] = {false};

    (void)state;
    for (enum autopsy_wait wait = 0; wait < AUTOPSY_WAITS; wait++) { /* each has one of its own, and a name */
        assert_true(autopsy_rank(wait) < AUTOPSY_WAITS && !taken[autopsy_rank(wait)]);
        taken[autopsy_rank(wait)] = true;
        assert_true(autopsy_wait_name(wait)[0]);
    }
    for (enum autopsy_kind kind = AUTOPSY_IS_UNKNOWN + 1; kind < AUTOPSY_KINDS; kind++)
        assert_true(autopsy_kind_name(kind)[0]);
    assert_null(autopsy_kind_name(AUTOPSY_IS_UNKNOWN));
    assert_true(autopsy_rank(AUTOPSY_WORKSPACE) > autopsy_rank(AUTOPSY_RUNNING) && autopsy_rank(AUTOPSY_RUNNING) > autopsy_rank(AUTOPSY_LOCK));
}

/* ---- for people ---- */

static void check_line(const struct autopsy_process *process, const char *expected)
{
    char text[400];

    autopsy_line(process, false, text, sizeof text);
    assert_string_equal(text, expected);
}

static void lines(void **state)
{
    struct autopsy_process process = seen('S', "read", "pipe_read", AUTOPSY_IS_PIPE, NULL);

    (void)state;
    process.waits = AUTOPSY_PIPE;
    process.age = UINT64_C(29900000000);
    process.on[0].with[process.on[0].with_count++] = 3;
    check_line(&process, "cat (pid 7): read of fd 0, an empty pipe, written by pid 3; 0.00 s of CPU in 29.9 s");
    process.on[0].with[0] = 7;
    check_line(&process, "cat (pid 7): read of fd 0, an empty pipe, of which only it has the writing end; 0.00 s of CPU in 29.9 s");
    process = seen('R', "", "", 0, NULL);
    process.waits = AUTOPSY_RUNNING;
    process.cpu = UINT64_C(1490000000);
    process.age = UINT64_C(1500000000);
    check_line(&process, "cat (pid 7): running; 1.49 s of CPU in 1.5 s");
    process = seen('S', "open", "wait_for_partner", 0, "/tmp/f\n\033[2J");
    process.waits = AUTOPSY_FIFO;
    process.on[0].is = AUTOPSY_IS_FIFO;
    process.timed = false;
    check_line(&process, "cat (pid 7): open of /tmp/f\\x0a\\x1b[2J, a fifo whose other end nobody has opened");
    process = seen('S', "openat", "request_wait_answer", 0, "/workspace/x");
    process.waits = AUTOPSY_WORKSPACE;
    process.timed = false;
    check_line(&process, "cat (pid 7): waits for the workspace's server in openat of /workspace/x");
    process = seen('S', "read", "pipe_read", AUTOPSY_IS_STDIN, NULL);
    process.waits = AUTOPSY_CALLER;
    process.timed = false;
    check_line(&process, "cat (pid 7): read of fd 0, stdin of the whole run");
    process = seen('S', "wait4", "do_wait", 0, NULL);
    process.waits = AUTOPSY_CHILD;
    process.timed = false;
    check_line(&process, "cat (pid 7): waits for a child");
    process = seen('S', "clock_nanosleep", "hrtimer_nanosleep", 0, NULL);
    process.waits = AUTOPSY_SLEEP;
    process.timed = false;
    process.limit = UINT64_C(70000000);
    process.rest = true;
    check_line(&process, "cat (pid 7): sleeps for 0.07 s more");
    process = seen('S', "poll", "", AUTOPSY_IS_SOCKET, NULL);
    process.waits = AUTOPSY_POLL;
    process.timed = false;
    process.limit = UINT64_C(500000000);
    check_line(&process, "cat (pid 7): poll of fd 0, a socket, for 0.50 s at the most");
}

/* Its command line, cut where it would hide the rest; and with all that there is. */
static void whole_lines(void **state)
{
    struct autopsy_process process = seen('S', "read", "anon_pipe_read", AUTOPSY_IS_STDIN, NULL);
    char text[400];

    (void)state;
    process.waits = AUTOPSY_CALLER;
    process.timed = false;
    memcpy(process.command, "cat\0-n\0/tmp/a\nb", process.command_length = sizeof "cat\0-n\0/tmp/a\nb");
    autopsy_line(&process, true, text, sizeof text);
    assert_string_equal(text, "cat -n /tmp/a\\x0ab (pid 7): read of fd 0, stdin of the whole run; state S in anon_pipe_read");
    memset(process.command, '\033', process.command_length = AUTOPSY_COMMAND);
    autopsy_line(&process, false, text, 180); /* as in a hint */
    assert_non_null(strstr(text, "\\x1b... (pid 7): read of fd 0, stdin of the whole run"));
    process.on[0].is = AUTOPSY_IS_FILE; /* of a path the end tells most */
    memset(process.on[0].path, '/', AUTOPSY_PATH);
    memcpy(process.on[0].path + AUTOPSY_PATH - 9, "/\xc3\xa4/x\n.py", 9);
    autopsy_line(&process, false, text, sizeof text);
    assert_non_null(strstr(text, ": read of fd 0, ...//////"));
    assert_non_null(strstr(text, "///\xc3\xa4/x\\x0a.py"));
    process.on[0].is = AUTOPSY_IS_STDIN;
    process.on[0].path[0] = '\0';
    memset(process.command, 0, process.command_length = AUTOPSY_COMMAND); /* a process may wipe it */
    check_line(&process, "cat (pid 7): read of fd 0, stdin of the whole run");
}

/* Whatever is in it, the line is one, of plain text, and within its bounds; and the JSON is JSON. */
static void strangers_in_lines_and_json(void **state)
{
    static const char nasty[] = "\n\033]0;x\a\x9b\xff\x7f\xc2\x9b\"\\\xe2\x80\xa8,\x01";
    struct autopsy autopsy = {.processes = 99, .told = AUTOPSY_TOLD};
    struct json json = {0};

    (void)state;
    for (unsigned i = 0; i < AUTOPSY_TOLD; i++) {
        struct autopsy_process *process = &autopsy.process[i];
        *process = seen("RSDTZ"[i % 5], "read", nasty, AUTOPSY_IS_PIPE, nasty);
        process->waits = i;
        process->command_length = i % 2 ? AUTOPSY_COMMAND : i;
        for (unsigned j = 0; j < AUTOPSY_COMMAND; j++)
            process->command[j] = nasty[j % sizeof nasty];
        for (unsigned j = 0; j < AUTOPSY_NAME; j++)
            process->name[j] = nasty[j % (sizeof nasty - 1)];
        for (unsigned j = 0; j < AUTOPSY_PATH; j++)
            process->on[0].path[j] = nasty[j % (sizeof nasty - 1)];
        for (unsigned j = 0; j < SOCKETS_TEXT; j++)
            process->on[0].address[j] = nasty[j % (sizeof nasty - 1)];
        process->on_count = AUTOPSY_ON;
        for (size_t size = 1; size < 600; size += size < 40 ? 1 : 37) {
            char *text = malloc(size);
            assert_non_null(text);
            autopsy_line(process, i % 3, text, size);
            assert_true(strlen(text) < size);
            for (const unsigned char *at = (const unsigned char *)text; *at; at++)
                assert_true(*at >= 0x20 && *at != 0x7f && !(*at == 0xc2 && at[1] < 0xa0) && !(*at == 0xe2 && at[1] == 0x80 && at[2] >= 0xa8));
            free(text);
        }
    }
    for (int none = 0; none < 2; none++) {
        size_t where;
        json_open(&json, NULL, '{');
        autopsy_write(&json, none ? NULL : &autopsy);
        json_close(&json, '}');
        assert_false(json.failed);
        assert_true(strict_json(json.text, json.length, &where));
        if (none)
            assert_string_equal(json.text, "{\"autopsy\":null}");
        json_release(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_in_stat_may_be_anything),
        cmocka_unit_test(stat_that_is_cut_off_or_odd),
        cmocka_unit_test(status),
        cmocka_unit_test(system_calls),
        cmocka_unit_test(the_table_names_calls_that_exist),
        cmocka_unit_test(pids_and_targets),
        cmocka_unit_test(maps),
        cmocka_unit_test(kinds),
        cmocka_unit_test(judgement),
        cmocka_unit_test(ranks),
        cmocka_unit_test(lines), cmocka_unit_test(whole_lines),
        cmocka_unit_test(strangers_in_lines_and_json),
    };

    return cmocka_run_group_tests_name("autopsy", tests, NULL, NULL);
}
