/* options: the command line, profiles, every kind of bad input, and the help that the same table gives. */
#include "unit.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"

#define MIB ((uint64_t)1 << 20)
#define SECOND UINT64_C(1000000000)
#define ARGS(...) ((const char *const[]){"bivy", __VA_ARGS__, NULL})

static struct spec spec;
static struct fault fault;
static char *owned[96];
static size_t owned_count;

static void forget(void)
{
    options_release(&spec);
    while (owned_count)
        free(owned[--owned_count]);
}

/* Parses heap copies of the words, which live until the next call. */
static int parse(const char *const *args)
{
    static char *argv[96];
    int argc = 0;

    forget();
    for (; args[argc]; argc++) {
        assert_true(argc < 95);
        argv[argc] = owned[owned_count++] = copy_text(args[argc]);
    }
    argv[argc] = NULL;
    memset(&fault, 0x5a, sizeof fault);
    int result = options_parse(argc, argv, &spec, &fault);
    if (result < 0) {
        assert_int_equal(fault.stage, STAGE_OPTIONS);
        assert_true(memchr(fault.what, '\0', sizeof fault.what) && fault.what[0]);
        assert_non_null(memchr(fault.hint, '\0', sizeof fault.hint));
    }
    return result;
}

static void good(const char *const *args)
{
    int result = parse(args);

    if (result)
        fail_msg("%s %s: %d, %s", args[1], args[2] ? args[2] : "", result, fault.what);
}

/* Refused, and the message holds says. */
static void bad(const char *const *args, const char *says)
{
    if (parse(args) >= 0)
        fail_msg("%s %s %s: accepted", args[1], args[2] ? args[2] : "", args[2] && args[3] ? args[3] : "");
    if (!strstr(fault.what, says))
        fail_msg("\"%s\" does not say \"%s\"", fault.what, says);
}

static void defaults(void **state)
{
    (void)state;
    good(ARGS("run", "true"));
    assert_int_equal(spec.verb, VERB_RUN);
    assert_null(spec.rootfs);
    assert_null(spec.workspace);
    assert_null(spec.cgroup_parent);
    assert_null(spec.report);
    assert_int_equal(spec.memory, 256 * MIB);
    assert_int_equal(spec.cpu, 500);
    assert_int_equal(spec.pids, 50);
    assert_int_equal(spec.scratch, 128 * MIB);
    assert_int_equal(spec.scratch_inodes, 32768);
    assert_int_equal(spec.open_files, 1024);
    assert_int_equal(spec.timeout, 30 * SECOND);
    assert_int_equal(spec.kill_after, 2 * SECOND);
    assert_int_equal(spec.max_output, MIB);
    assert_int_equal(spec.output_limit, 64 * MIB);
    assert_true(spec.host_uid == SPEC_UNSET_ID && spec.host_gid == SPEC_UNSET_ID);
    assert_int_equal(spec.network, NETWORK_NONE);
    assert_int_equal(spec.unenforced, 0);
    assert_false(spec.interactive);
    assert_true(spec.affinity);
    assert_false(spec.summary);
    assert_false(spec.timing);
    assert_int_equal(spec.env_count, 0);
    assert_string_equal(spec.argv[0], "true");
    assert_null(spec.argv[1]);
}

static void every_option(void **state)
{
    (void)state;
    good(ARGS("plan", "--rootfs", "/r", "--workspace", "/w", "--memory", "1.5G", "--cpus", "1.25", "--pids", "7", "--timeout", "500ms",
              "--kill-after", "0s", "--scratch", "64K", "--scratch-inodes", "64", "--open-files", "16", "--network", "loopback", "--env",
              "A=b=c", "--env", "D", "-e", "E=", "-i", "--affinity", "off", "--max-output", "2M", "--output-limit", "none", "--report",
              "fd:3", "--summary", "--timing", "--quiet", "--verbose", "--explain", "--tty", "--file-size", "1M", "--keep-on-fail", "5m",
              "--log", "syslog", "--cgroup-parent", "/x", "--host-uid", "1", "--host-gid", "4294967294", "--unenforced", "swap",
              "--unenforced", "cpu", "--", "-x", "--memory", "0"));
    assert_int_equal(spec.verb, VERB_PLAN);
    assert_string_equal(spec.rootfs, "/r");
    assert_string_equal(spec.workspace, "/w");
    assert_int_equal(spec.memory, 1536 * MIB);
    assert_int_equal(spec.cpu, 1250);
    assert_int_equal(spec.pids, 7);
    assert_int_equal(spec.timeout, SECOND / 2);
    assert_int_equal(spec.kill_after, 0);
    assert_int_equal(spec.scratch, 65536);
    assert_int_equal(spec.scratch_inodes, 64);
    assert_int_equal(spec.open_files, 16);
    assert_int_equal(spec.network, NETWORK_LOOPBACK);
    assert_int_equal(spec.env_count, 3);
    assert_string_equal(spec.env[0], "A=b=c");
    assert_string_equal(spec.env[1], "D");
    assert_string_equal(spec.env[2], "E=");
    assert_true(spec.interactive);
    assert_false(spec.affinity);
    assert_int_equal(spec.max_output, 2 * MIB);
    assert_true(spec.output_limit == SPEC_UNLIMITED);
    assert_string_equal(spec.report, "fd:3");
    assert_true(spec.summary);
    assert_true(spec.timing);
    assert_true(spec.quiet && spec.verbose && spec.explain && spec.tty);
    assert_int_equal(spec.file_size, MIB);
    assert_int_equal(spec.keep, 300 * SECOND);
    assert_int_equal(spec.log, LOG_SYSLOG);
    assert_string_equal(spec.cgroup_parent, "/x");
    assert_int_equal(spec.host_uid, 1);
    assert_int_equal(spec.host_gid, 4294967294);
    assert_int_equal(spec.unenforced, 1u << LIMIT_SWAP | 1u << LIMIT_CPU);
    assert_string_equal(spec.argv[0], "-x");
    assert_string_equal(spec.argv[1], "--memory");
    assert_string_equal(spec.argv[2], "0");
    assert_null(spec.argv[3]);
}

static void forms(void **state)
{
    (void)state;
    good(ARGS("run", "--memory=8M", "--env=A=b", "-w", "/w", "--interactive", "x"));
    assert_int_equal(spec.memory, 8 * MIB);
    assert_string_equal(spec.env[0], "A=b");
    assert_string_equal(spec.workspace, "/w");
    assert_true(spec.interactive);
    /* the last one wins */
    good(ARGS("run", "--memory", "8M", "--memory", "16M", "x"));
    assert_int_equal(spec.memory, 16 * MIB);
    /* options end at the command; a single dash is a command */
    good(ARGS("run", "x", "--memory", "0", "--", "-i"));
    assert_string_equal(spec.argv[1], "--memory");
    assert_string_equal(spec.argv[3], "--");
    assert_int_equal(spec.memory, 256 * MIB);
    good(ARGS("run", "-", "x"));
    assert_string_equal(spec.argv[0], "-");
    good(ARGS("run", "--", "--"));
    assert_string_equal(spec.argv[0], "--");
    /* flags of one letter may stand together */
    good(ARGS("run", "-it", "x"));
    assert_true(spec.interactive && spec.tty);
    good(ARGS("run", "-tivq", "x"));
    assert_true(spec.interactive && spec.tty && spec.verbose && spec.quiet);
    /* a value may begin with a dash */
    good(ARGS("run", "--workspace", "-w", "x"));
    assert_string_equal(spec.workspace, "-w");
}

static void what_follows_what(void **state)
{
    (void)state;
    good(ARGS("run", "--memory", "64M", "x"));
    assert_int_equal(spec.scratch, 32 * MIB);
    good(ARGS("run", "--scratch", "1M", "--memory", "64M", "x"));
    assert_int_equal(spec.scratch, MIB);
    good(ARGS("run", "--max-output", "100M", "x"));
    assert_int_equal(spec.output_limit, 100 * MIB);
    good(ARGS("run", "--max-output", "none", "x"));
    assert_true(spec.output_limit == SPEC_UNLIMITED);
    good(ARGS("run", "--max-output", "none", "--output-limit", "2M", "x"));
    assert_true(spec.max_output == SPEC_UNLIMITED);
    assert_int_equal(spec.output_limit, 2 * MIB);
    good(ARGS("run", "-it", "x"));
    assert_true(spec.max_output == SPEC_UNLIMITED);
    assert_int_equal(spec.output_limit, 64 * MIB);
    good(ARGS("run", "-it", "--max-output", "2M", "x"));
    assert_int_equal(spec.max_output, 2 * MIB);
    good(ARGS("run", "-t", "x"));
    assert_int_equal(spec.max_output, MIB);
}

static void verbs(void **state)
{
    (void)state;
    good(ARGS("clean"));
    assert_int_equal(spec.verb, VERB_CLEAN);
    assert_null(spec.argv);
    good(ARGS("clean", "--cgroup-parent", "/x"));
    assert_string_equal(spec.cgroup_parent, "/x");
    good(ARGS("selftest"));
    assert_int_equal(spec.verb, VERB_SELFTEST);
    assert_string_equal(spec.argv[0], "selftest"); /* what the record shows as its command */
    bad(ARGS("selftest", "x"), "x");
    bad(ARGS("selftest", "--tty"), "--tty"); /* its words are for programs */
    good(ARGS("help"));
    assert_int_equal(spec.verb, VERB_HELP);
    good(ARGS("--help"));
    assert_int_equal(spec.verb, VERB_HELP);
    good(ARGS("-h"));
    assert_int_equal(spec.verb, VERB_HELP);
    good(ARGS("run", "--help"));
    assert_int_equal(spec.verb, VERB_HELP);
    good(ARGS("version"));
    assert_int_equal(spec.verb, VERB_VERSION);
    good(ARGS("--version"));
    assert_int_equal(spec.verb, VERB_VERSION);
    good(ARGS("run", "--", "--help"));
    assert_int_equal(spec.verb, VERB_RUN);
    bad((const char *const[]){"bivy", NULL}, "subcommand");
    assert_true(parse((const char *const[]){NULL}) < 0); /* argv may be empty, execve(2) */
    bad(ARGS(""), "subcommand");
    bad(ARGS("Run", "x"), "Run");
    bad(ARGS("runx", "x"), "runx");
    bad(ARGS("--memory", "8M"), "--memory");
    bad(ARGS("clean", "x"), "x");
    bad(ARGS("help", "x"), "x");
    good(ARGS("shell"));
    assert_true(spec.verb == VERB_SHELL && spec.tty && spec.interactive && spec.timeout == 3600 * SECOND);
    assert_string_equal(spec.argv[0], "sh");
    assert_null(spec.argv[1]);
    good(ARGS("shell", "--timeout", "5s", "--", "bash", "-l"));
    assert_string_equal(spec.argv[1], "-l");
    assert_true(spec.timeout == 5 * SECOND);
    good(ARGS("check", "--json"));
    assert_true(spec.verb == VERB_CHECK && spec.json);
    good(ARGS("ps", "--json", "--cgroup-parent", "/x"));
    assert_true(spec.verb == VERB_PS && spec.json);
    good(ARGS("kill", "0123456789ab"));
    assert_true(spec.verb == VERB_KILL);
    assert_string_equal(spec.id, "0123456789ab");
    assert_null(spec.argv);
    good(ARGS("enter", "-it", "0123456789ab"));
    assert_string_equal(spec.argv[0], "sh");
    good(ARGS("enter", "0123456789ab", "--", "ps", "-x"));
    assert_string_equal(spec.argv[1], "-x");
    good(ARGS("enter", "0123456789ab", "ps", "--", "x"));
    assert_string_equal(spec.argv[1], "--");
    bad(ARGS("kill"), "named");
    bad(ARGS("enter"), "named");
    bad(ARGS("kill", "0123456789ab", "0123456789ab"), "too many");
    for (const char *const *id = (const char *const[]){"", ".", "..", "../..", "0123456789a", "0123456789abc", "0123456789aB", "0123456789al",
                                                       "/123456789ab", "0123456789a\n", "\x1b[2J56789ab", "bivy-0123456", NULL}; *id; id++) {
        bad(ARGS("kill", *id), "id");
        bad(ARGS("enter", *id, "sh"), "id");
    }
    /* an option is for the subcommands that know what to do with it */
    bad(ARGS("run", "--json", "x"), "--json");
    bad(ARGS("ps", "--memory", "64M"), "--memory");
    bad(ARGS("kill", "--timeout", "1s", "0123456789ab"), "--timeout");
    bad(ARGS("clean", "-w", "/w"), "--workspace");
    bad(ARGS("help", "--memory", "64M"), "--memory");
    bad(ARGS("version", "x"), "x");
}

static void no_command(void **state)
{
    (void)state;
    bad(ARGS("run"), "command");
    assert_true(fault.hint[0]);
    bad(ARGS("run", "--"), "command");
    bad(ARGS("run", "--memory", "8M"), "command");
    bad(ARGS("run", ""), "command");
    bad(ARGS("run", "--", ""), "command");
    bad(ARGS("plan", "-i"), "command");
}

static void unknown(void **state)
{
    static const char *const words[] = {"--nope", "--nope=1", "--mem",    "--memoryx", "--Memory",  "--=",  "---memory", "-x",
                                        "-iw",    "-w/tmp",   "--memory ", "--\xff\xfe", "--mem\xc3", "-\x80", "--host_uid", "--no-summary"};

    (void)state;
    for (size_t i = 0; i < LENGTH(words); i++) {
        bad(ARGS("run", words[i], "x"), words[i]);
        assert_true(fault.hint[0]);
    }
}

/* option, value: each is refused with the option and the value named, and a mend. */
static void bad_values(void **state)
{
    static const struct {
        const char *option, *value;
    } rows[] = {
        {"--memory", "0"}, {"--memory", "-1"}, {"--memory", "12Q"}, {"--memory", "99999999999999999999G"}, {"--memory", "256M "},
        {"--memory", "256"}, {"--memory", "0M"}, {"--memory", "4194303B"}, {"--memory", "1025G"}, {"--memory", "18446744073709551617B"},
        {"--memory", "none"}, {"--memory", "\xff\xfe"}, {"--memory", "1M\n"}, {"--memory", "0x100M"},
        {"--timeout", "0"}, {"--timeout", "0s"}, {"--timeout", "1e9"}, {"--timeout", "nan"}, {"--timeout", "9ms"}, {"--timeout", "169h"},
        {"--timeout", "-1s"}, {"--timeout", "30"}, {"--timeout", "inf"}, {"--timeout", "99999999999999999999s"},
        {"--kill-after", "61m"}, {"--kill-after", "-1s"}, {"--kill-after", "2"},
        {"--cpus", "0"}, {"--cpus", "-0.5"}, {"--cpus", "1000"}, {"--cpus", "0.0001"}, {"--cpus", "0.009"}, {"--cpus", "512.001"},
        {"--cpus", "nan"}, {"--cpus", "1,5"}, {"--cpus", "half"},
        {"--pids", "0"}, {"--pids", "1"}, {"--pids", "-1"}, {"--pids", "4194305"}, {"--pids", "max"}, {"--pids", "5.0"},
        {"--pids", "18446744073709551666"},
        {"--scratch", "0B"}, {"--scratch", "65535B"}, {"--scratch", "1M5"}, {"--scratch-inodes", "0"}, {"--scratch-inodes", "63"},
        {"--scratch-inodes", "1073741825"}, {"--open-files", "15"}, {"--open-files", "1048577"}, {"--open-files", "-1"},
        {"--max-output", "0B"}, {"--max-output", "1023B"}, {"--max-output", "None"}, {"--max-output", "1"}, {"--max-output", "none "},
        {"--output-limit", "0"}, {"--output-limit", "nonesuch"}, {"--output-limit", "1025G"},
        {"--file-size", "0B"}, {"--file-size", "4095B"}, {"--file-size", "1"}, {"--keep-on-fail", "0s"}, {"--keep-on-fail", "25h"},
        {"--keep-on-fail", "none"}, {"--log", "on"}, {"--log", "Journal"},
        {"--network", "host"}, {"--network", "Loopback"}, {"--network", "none,loopback"}, {"--network", "no"},
        {"--affinity", "yes"}, {"--affinity", "ON"}, {"--affinity", "1"},
        {"--unenforced", "all"}, {"--unenforced", "memory,cpu"}, {"--unenforced", "Memory"}, {"--unenforced", "timeout"},
        {"--host-uid", "0"}, {"--host-uid", "4294967295"}, {"--host-uid", "4294967296"}, {"--host-uid", "-1"}, {"--host-uid", "root"},
        {"--host-uid", "18446744073709551617"}, {"--host-gid", "0"}, {"--host-gid", "4294967295"}, {"--host-gid", "0x3e8"},
        {"--env", "=x"}, {"--env", "="},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char joined[256];
        bad(ARGS("run", rows[i].option, rows[i].value, "x"), rows[i].option);
        assert_non_null(strstr(fault.what, rows[i].value));
        assert_true(fault.hint[0]);
        assert_int_equal(!!strstr(fault.what, "out of range"), !strncmp(fault.hint, "from ", 5)); /* then the range is the mend */
        snprintf(joined, sizeof joined, "%s=%s", rows[i].option, rows[i].value);
        bad(ARGS("run", joined, "x"), rows[i].option);
        assert_non_null(strstr(fault.what, rows[i].value));
    }
}

/* What belongs to a workspace below a root. */
static void workspace_options(void **state)
{
    static const char *const ids[] = {"a", "_", "0", "ann", "ann.b@example.org", "A-1+x", "0b7c9a52-8e1d-4d1f-9d55-c6f3c7b1d0aa"};
    static const char *const not_ids[] = {".",  "..", ".a", "a/b", "/",    "../a", "a/..", "a b", "a\n", "\x1b[2J", "-x",
                                          "@a", "+a", "~",  "a:b", "\xc3\xa4", "a\\", "a*",   "$a",  "a%",  "a;b"};
    char longest[130];

    (void)state;
    for (size_t i = 0; i < LENGTH(ids); i++) {
        good(ARGS("run", "--workspace-root", "/r", "--user-id", ids[i], "x"));
        assert_string_equal(spec.user_id, ids[i]);
        assert_true(spec_binds(&spec));
        assert_int_equal(spec.workspace_timeout, 3 * SECOND);
        assert_true(spec.owner_low == 1 && spec.owner_high == 0xfffffffe && spec.sync == 0);
        assert_false(spec.create_workspace || spec.abort_stuck);
    }
    for (size_t i = 0; i < LENGTH(not_ids); i++)
        bad(ARGS("run", "--workspace-root", "/r", "--user-id", not_ids[i], "x"), "user-id");
    memset(longest, 'a', 128);
    longest[128] = '\0';
    good(ARGS("run", "--workspace-root", "/r", "--user-id", longest, "x"));
    longest[128] = 'a', longest[129] = '\0';
    bad(ARGS("run", "--workspace-root", "/r", "--user-id", longest, "x"), "user-id");
    good(ARGS("run", "--workspace-root", "/r", "--user-id", "ann", "--require-fs", "fuse.seaweedfs", "--owner-range", "10000-59999",
              "--create-workspace", "--workspace-timeout", "500ms", "--sync", "2s", "--abort-stuck", "x"));
    assert_true(spec.owner_low == 10000 && spec.owner_high == 59999 && spec.workspace_timeout == 500 * (SECOND / 1000));
    assert_true(spec.sync == 2 * SECOND && spec.create_workspace && spec.abort_stuck);
    assert_string_equal(spec.require_fs, "fuse.seaweedfs");
    bad(ARGS("run", "--workspace", "/w", "--workspace-root", "/r", "--user-id", "ann", "x"), "both");
    bad(ARGS("run", "--workspace-root", "/r", "x"), "user-id");
    bad(ARGS("run", "--user-id", "ann", "x"), "workspace-root");
    bad(ARGS("run", "--create-workspace", "--workspace", "/w", "x"), "workspace-root");
    bad(ARGS("run", "--sync", "1s", "x"), "no workspace");
    bad(ARGS("run", "--abort-stuck", "x"), "no workspace");
    bad(ARGS("run", "--require-fs", "fuse.seaweedfs", "x"), "no workspace");
    for (const char *const *range = (const char *const[]){"", "1", "-", "1-", "-1", "2-1", "0-5", "1-4294967295", "1-2-3", "a-b", " 1-2", "1 -2", NULL};
         *range; range++)
        bad(ARGS("run", "--workspace", "/w", "--owner-range", *range, "x"), "owner-range");
}

static void empty_values(void **state)
{
    static const char *const options[] = {"rootfs", "workspace", "memory", "cpus", "pids", "timeout", "kill-after", "scratch", "scratch-inodes",
                                          "open-files", "network", "env", "affinity", "max-output", "output-limit", "report", "cgroup-parent",
                                          "host-uid", "host-gid", "unenforced", "profile", "workspace-root", "user-id", "require-fs",
                                          "owner-range", "workspace-timeout", "sync", "file-size", "log", "keep-on-fail"};

    (void)state;
    for (size_t i = 0; i < LENGTH(options); i++) {
        char word[64];
        snprintf(word, sizeof word, "--%s", options[i]);
        bad(ARGS("run", word, "", "x"), options[i]);
        bad(ARGS("run", word), options[i]); /* needs a value */
        snprintf(word, sizeof word, "--%s=", options[i]);
        bad(ARGS("run", word, "x"), options[i]);
    }
    bad(ARGS("run", "--interactive=yes", "x"), "interactive");
    bad(ARGS("run", "--interactive=", "x"), "interactive");
    bad(ARGS("run", "--summary=1", "x"), "summary");
    bad(ARGS("run", "--timing=1", "x"), "timing");
    bad(ARGS("run", "-w"), "workspace");
    bad(ARGS("run", "-e"), "env");
}

static void edges(void **state)
{
    (void)state;
    good(ARGS("run", "--memory", "4M", "--cpus", "0.01", "--pids", "2", "--timeout", "10ms", "--max-output", "1K", "--output-limit", "1024B", "x"));
    assert_int_equal(spec.memory, 4 * MIB);
    assert_int_equal(spec.cpu, 10);
    good(ARGS("run", "--memory", "1T", "--cpus", "512", "--pids", "4194304", "--timeout", "168h", "--kill-after", "1h", "x"));
    assert_true(spec.memory == UINT64_C(1) << 40);
    assert_int_equal(spec.timeout, 604800 * SECOND);
    good(ARGS("run", "--memory", "00000000000000000000000000000000000000000000000008M", "x"));
    assert_int_equal(spec.memory, 8 * MIB);
}

/* The record of a run that was refused goes where --report says, also when that stands behind the fault. */
static void report_behind_a_fault(void **state)
{
    (void)state;
    bad(ARGS("run", "--memory", "0", "--report", "/r", "--", "x"), "--memory");
    assert_string_equal(spec.report, "/r");
    assert_int_equal(spec.verb, VERB_RUN);
    bad(ARGS("run", "--report=/r", "--memory", "0", "x"), "--memory");
    assert_string_equal(spec.report, "/r");
    bad(ARGS("run", "--memory=0", "--cpus=0", "--env", "=", "--report", "fd:9", "x"), "--memory"); /* the first fault is told */
    assert_string_equal(spec.report, "fd:9");
    bad(ARGS("run", "--interactive=x", "--report", "/r", "x"), "interactive");
    assert_string_equal(spec.report, "/r");
    bad(ARGS("run", "--report", "/r", "--nope", "x"), "--nope");
    assert_string_equal(spec.report, "/r");
    bad(ARGS("run", "--report", "/r"), "command");
    assert_string_equal(spec.report, "/r");
    /* behind an unknown option too: the record is always written, and no option's value begins with dashes */
    bad(ARGS("run", "--nope", "--report", "/r", "x"), "--nope");
    assert_string_equal(spec.report, "/r");
    /* not in the command */
    bad(ARGS("run", "--memory", "0", "x", "--report", "/r"), "--memory");
    assert_null(spec.report);
    bad(ARGS("run", "--memory", "0", "--", "--report", "/r"), "--memory");
    assert_null(spec.report);
}

static void odd_bytes(void **state)
{
    char *text = repeat_text('\xff', 4096, "");

    (void)state;
    good(ARGS("run", "--workspace", "/w\xff\xfe", "--rootfs", "/\x1b[31m", "--env", "\x80=\xff\n", "--", "\xc3\x28", "\x01\x7f"));
    assert_string_equal(spec.workspace, "/w\xff\xfe");
    assert_string_equal(spec.rootfs, "/\x1b[31m");
    assert_string_equal(spec.env[0], "\x80=\xff\n");
    assert_string_equal(spec.argv[0], "\xc3\x28");
    assert_string_equal(spec.argv[1], "\x01\x7f");
    bad(ARGS("run", "--memory", text, "x"), "--memory");
    free(text);
}

static void very_long(void **state)
{
    char *value = repeat_text('9', 128 << 10, "M"), *word = repeat_text('-', 128 << 10, ""), *plain = repeat_text('a', 128 << 10, "");

    (void)state;
    bad(ARGS("run", "--memory", value, "x"), "--memory");
    bad(ARGS("run", word, "x"), "unknown");
    bad(ARGS(plain), "subcommand");
    bad(ARGS("clean", plain), "too many");
    good(ARGS("run", "--workspace", plain, plain, plain));
    assert_string_equal(spec.argv[1], plain);
    free(value);
    free(word);
    free(plain);
}

static void many_variables(void **state)
{
    enum { COUNT = 10000 };
    char **argv = calloc(2 * COUNT + 4, sizeof *argv);
    char (*names)[16] = calloc(COUNT, sizeof *names);
    int argc = 0;

    (void)state;
    forget();
    argv[argc++] = copy_text("bivy");
    argv[argc++] = copy_text("run");
    char *option = copy_text("--env"), *command = copy_text("x");
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "V%d=", i);
        argv[argc++] = option;
        argv[argc++] = names[i];
    }
    argv[argc++] = command;
    assert_int_equal(options_parse(argc, argv, &spec, &fault), 0);
    assert_int_equal(spec.env_count, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(spec.env[i], names[i]);
    options_release(&spec);
    assert_null(spec.env);
    options_release(&spec); /* twice does no harm */
    free(argv[0]);
    free(argv[1]);
    free(option);
    free(command);
    free(names);
    free(argv);
}

/* --- profiles --- */

static char *profile_copy;

static int profile(const char *text)
{
    forget();
    options_defaults(&spec);
    memset(&fault, 0x5a, sizeof fault);
    free(profile_copy);
    profile_copy = copy_text(text);
    int result = options_profile(profile_copy, "NAME", &spec, &fault);
    if (result < 0) {
        assert_int_equal(fault.stage, STAGE_OPTIONS);
        assert_non_null(memchr(fault.what, '\0', sizeof fault.what));
    }
    return result;
}

static void profile_is_good(const char *text)
{
    if (profile(text) < 0)
        fail_msg("\"%s\": %s", text, fault.what);
}

static void profile_is_bad(const char *text, const char *says)
{
    if (profile(text) >= 0)
        fail_msg("accepted: \"%s\"", text);
    if (!strstr(fault.what, says))
        fail_msg("\"%s\" does not say \"%s\"", fault.what, says);
}

static void profiles(void **state)
{
    (void)state;
    profile_is_good("");
    profile_is_good("\n\n   \n\t\n# memory 0\n  # more\n#");
    assert_int_equal(spec.memory, 256 * MIB);
    profile_is_good("memory 8M\ncpus\t2\n  pids   7  \n\ttimeout\t \t1m\t\ninteractive\nenv A=b c\nenv D\nreport /my records/x\n"
                    "unenforced swap\nunenforced cpu\nmax-output none\nnetwork loopback\naffinity off");
    assert_int_equal(spec.memory, 8 * MIB);
    assert_int_equal(spec.cpu, 2000);
    assert_int_equal(spec.pids, 7);
    assert_int_equal(spec.timeout, 60 * SECOND);
    assert_true(spec.interactive);
    assert_int_equal(spec.env_count, 2);
    assert_string_equal(spec.env[0], "A=b c");
    assert_string_equal(spec.report, "/my records/x");
    assert_int_equal(spec.unenforced, 1u << LIMIT_SWAP | 1u << LIMIT_CPU);
    assert_true(spec.max_output == SPEC_UNLIMITED);
    assert_int_equal(spec.network, NETWORK_LOOPBACK);
    assert_false(spec.affinity);
    profile_is_good("workspace /\xff\xfe\nenv X=\x1b[0m#y\n");
    assert_string_equal(spec.workspace, "/\xff\xfe");
    assert_string_equal(spec.env[0], "X=\x1b[0m#y");
}

static void bad_profiles(void **state)
{
    (void)state;
    profile_is_bad("memory 0\n", "--memory");
    profile_is_bad("memory\n", "memory");
    profile_is_bad("memory   \n", "memory");
    profile_is_bad("nope 1\n", "nope");
    profile_is_bad("\n# x\n\nnope 1\n", "line 4");
    profile_is_bad("--memory 8M\n", "--memory");
    profile_is_bad("memory=8M\n", "memory=8M");
    profile_is_bad("memory 8M # comment\n", "8M # comment");
    profile_is_bad("interactive yes\n", "interactive");
    profile_is_bad("summary 1\n", "summary");
    profile_is_bad("profile other\n", "no such option \"profile\""); /* no chains */
    profile_is_bad("run\n", "run");
    profile_is_bad("env =x\n", "--env");
    profile_is_bad("network host\n", "--network");
    profile_is_bad("\xff\xfe\n", "\xff");
    profile_is_bad("\xef\xbb\xbfmemory 8M\n", "line 1");
    profile_is_bad("i\n", "\"i\"");
    char *text = repeat_text('a', 1 << 20, " b\n");
    profile_is_bad(text, "line 1");
    free(text);
    assert_int_equal(spec.memory, 256 * MIB);
}

/* A file from another system: its line ends are no part of any value. */
static void carriage_returns(void **state)
{
    (void)state;
    profile_is_good("memory 8M\r\nreport /r\r\n");
    assert_int_equal(spec.memory, 8 * MIB);
    assert_string_equal(spec.report, "/r");
    profile_is_good("memory 8M\r\n\r\ninteractive\r\n# x\r\n");
    assert_true(spec.interactive);
}

/* --- profiles as files: each case in a process of its own, as bivy reads at most one --- */

static char directory[] = "/tmp/bivy-test-options-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static const char *in_directory(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static int remove_directory(void **state)
{
    static const char *const names[] = {"a", "b", "xdg/bivy/profiles/p", "xdg/bivy/profiles", "xdg/bivy", "xdg",
                                        "home/.config/bivy/profiles/p", "home/.config/bivy/profiles", "home/.config/bivy", "home/.config",
                                        "home", "unreadable"};

    (void)state;
    forget();
    free(profile_copy);
    for (size_t i = 0; i < LENGTH(names); i++)
        remove(in_directory(names[i])); /* not every test came as far as making it */
    return rmdir(directory);
}

static void write_file(const char *name, const char *text, size_t length)
{
    char path[256];

    snprintf(path, sizeof path, "%s", in_directory(name));
    for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* Runs body in a child; its asserts there end it with another status. */
static void in_child(void (*body)(void))
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(43);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 43);
}

#define CHECK(condition)                                                                                                            \
    do {                                                                                                                            \
        if (!(condition)) {                                                                                                         \
            fprintf(stderr, "# %s:%d: %s (%.200s)\n", __FILE__, __LINE__, #condition, fault.what);                                      \
            _exit(1);                                                                                                               \
        }                                                                                                                           \
    } while (0)

static void file_by_path(void)
{
    CHECK(parse(ARGS("run", "--memory", "4M", "--pids", "3", "--profile", in_directory("a"), "--cpus", "3", "x")) == 0);
    CHECK(spec.memory == 8 * MIB); /* it stands where --profile stands: over what is before it, */
    CHECK(spec.cpu == 3000);       /* under what is behind */
    CHECK(spec.pids == 3);
    CHECK(!strcmp(spec.report, "/r"));
}

static void xdg_before_home(void)
{
    setenv("HOME", in_directory("home"), 1);
    setenv("XDG_CONFIG_HOME", in_directory("xdg"), 1);
    CHECK(parse(ARGS("run", "--profile", "p", "x")) == 0);
    CHECK(spec.pids == 11);
}

static void home(void)
{
    setenv("HOME", in_directory("home"), 1);
    unsetenv("XDG_CONFIG_HOME");
    CHECK(parse(ARGS("run", "--profile", "p", "x")) == 0);
    CHECK(spec.pids == 12);
}

static void no_such_name(void)
{
    setenv("HOME", "/nonexistent", 1);
    unsetenv("XDG_CONFIG_HOME");
    CHECK(parse(ARGS("run", "--profile", "bivy-test-no-such-profile", "--report", "/r", "x")) < 0);
    CHECK(fault.errnum == ENOENT && strstr(fault.what, "bivy-test-no-such-profile"));
    CHECK(!strcmp(spec.report, "/r")); /* read on, as behind any bad value */
}

static void no_home(void)
{
    unsetenv("HOME");
    unsetenv("XDG_CONFIG_HOME");
    CHECK(parse(ARGS("run", "--profile", "bivy-test-no-such-profile", "x")) < 0);
    CHECK(fault.errnum == ENOENT);
}

static void no_such_file(void)
{
    CHECK(parse(ARGS("run", "--profile", in_directory("none"), "x")) < 0);
    CHECK(fault.errnum == ENOENT);
}

static void a_directory(void)
{
    CHECK(parse(ARGS("run", "--profile", directory, "x")) < 0);
    CHECK(fault.errnum == EISDIR);
}

static void a_very_long_name(void)
{
    char *name = repeat_text('a', 128 << 10, "");
    CHECK(parse(ARGS("run", "--profile", name, "x")) < 0);
    CHECK(strstr(fault.what, "--profile aaaa"));
    free(name);
}

static void too_big(void)
{
    CHECK(parse(ARGS("run", "--profile", in_directory("a"), "x")) < 0);
    CHECK(fault.errnum == EFBIG);
}

static void with_a_nul(void)
{
    CHECK(parse(ARGS("run", "--profile", in_directory("a"), "x")) < 0);
    CHECK(strstr(fault.what, "NUL"));
}

/* What the first one's options point to must not be overwritten by a second one. */
static void two_files(void)
{
    CHECK(parse(ARGS("run", "--profile", in_directory("a"), "--profile", in_directory("b"), "x")) < 0);
    CHECK(strstr(fault.what, "only one"));
    CHECK(!spec.report || !strcmp(spec.report, "/r"));
}

static void profile_files(void **state)
{
    static const char plain[] = "memory 8M\ncpus 2\nreport /r\n", blank_first[] = "\n# comment\nreport /r\n", other[] = "\nworkspace /other\n";

    (void)state;
    write_file("a", plain, strlen(plain));
    in_child(file_by_path);
    write_file("xdg/bivy/profiles/p", "pids 11\n", 8);
    write_file("home/.config/bivy/profiles/p", "pids 12\n", 8);
    in_child(xdg_before_home);
    in_child(home);
    in_child(no_such_name);
    in_child(no_home);
    in_child(no_such_file);
    in_child(a_directory);
    in_child(a_very_long_name);
    char *big = repeat_text('#', 1 << 20, "\n");
    write_file("a", big, strlen(big));
    free(big);
    in_child(too_big);
    write_file("a", "memory 8M\0\ncpus 2\n", 18);
    in_child(with_a_nul);
    write_file("a", plain, strlen(plain));
    write_file("b", other, strlen(other));
    in_child(two_files);
    write_file("a", blank_first, strlen(blank_first));
    in_child(two_files);
}

/* --- help --- */

/* noinline: gcc 12 takes what comes back for the address of text (-Wdangling-pointer). */
__attribute__((noinline)) static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    print(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void help(void **state)
{
    static const char *const options[] = {"rootfs", "workspace", "memory", "cpus", "pids", "timeout", "kill-after", "scratch", "scratch-inodes",
                                          "open-files", "network", "env", "interactive", "affinity", "max-output", "output-limit", "report",
                                          "summary", "timing", "cgroup-parent", "host-uid", "host-gid", "unenforced", "profile", "workspace-root",
                                          "user-id", "require-fs", "owner-range", "create-workspace", "workspace-timeout", "sync", "abort-stuck",
                                          "file-size", "tty", "log", "quiet", "verbose", "explain", "keep-on-fail", "json"};
    static const char *const subcommands[] = {"run", "shell", "plan", "check", "ps", "kill", "enter", "clean", "selftest", "help", "version"};
    char *text = printed(options_help), *roff = printed(options_roff);
    char *scripts[] = {printed(options_bash), printed(options_zsh), printed(options_fish)};
    size_t seen = 0, seen_roff = 0;

    (void)state;
    for (size_t i = 0; i < LENGTH(options); i++) {
        char word[64], *to = word;
        snprintf(word, sizeof word, "--%s", options[i]);
        char *at = text;
        do /* another option's help may name it too */
            at = strstr(at + 1, word);
        while (at && at[strlen(word)] != ' ' && at[strlen(word)] != '\n');
        if (!at || (at[strlen(word)] != ' ' && at[strlen(word)] != '\n'))
            fail_msg("the help lacks %s", word);
        to += sprintf(to, "\\-\\-");
        for (const char *c = options[i]; *c; c++)
            to += sprintf(to, *c == '-' ? "\\-" : "%c", *c);
        to += sprintf(to, "\\fR");
        if (!strstr(roff, word))
            fail_msg("the roff lacks %s", word);
        for (size_t s = 0; s < LENGTH(scripts); s++) {
            snprintf(word, sizeof word, "%s%s", s == 2 ? " -l " : "--", options[i]);
            char *found = strstr(scripts[s], word);
            while (found && strchr("-abcdefghijklmnopqrstuvwxyz", found[strlen(word)]))
                found = strstr(found + 1, word);
            if (!found)
                fail_msg("completion script %zu lacks %s", s, word);
        }
    }
    for (size_t i = 0; i < LENGTH(subcommands); i++) {
        char word[64];
        snprintf(word, sizeof word, "\n  bivy %s ", subcommands[i]);
        assert_non_null(strstr(text, word));
        for (size_t s = 0; s < LENGTH(scripts); s++)
            assert_non_null(strstr(scripts[s], subcommands[i]));
    }
    for (char *line = text; line; line = strchr(line, '\n'), line += line != NULL)
        seen += !strncmp(line, "  -", 3);
    for (char *line = roff; line; line = strchr(line, '\n'), line += line != NULL) {
        seen_roff += !strncmp(line, ".TP\n", 4);
        if (*line == '.' || *line == '\'')
            assert_true(!strncmp(line, ".TP\n", 4)); /* no text is taken for a request */
    }
    assert_int_equal(seen, LENGTH(options)); /* nothing that this list does not know */
    assert_int_equal(seen_roff, LENGTH(options));
    free(text);
    free(roff);
    for (size_t s = 0; s < LENGTH(scripts); s++)
        free(scripts[s]);
}

static void help_forms(void **state)
{
    static const struct {
        const char *word;
        enum help help;
    } forms[] = {{"--roff", HELP_ROFF}, {"--completion=bash", HELP_BASH}, {"--completion=zsh", HELP_ZSH}, {"--completion=fish", HELP_FISH}};
    static const char *const wrong[] = {"--completion", "--completion=", "--completion=sh", "--completion=bashful", "--rof", "--memory=1G"};

    (void)state;
    for (size_t i = 0; i < LENGTH(forms); i++) {
        assert_int_equal(options_parse(3, (char *[]){strdupa("bivy"), strdupa("help"), strdupa(forms[i].word), NULL}, &spec, &fault), 0);
        assert_int_equal(spec.verb, VERB_HELP);
        assert_int_equal(spec.help, forms[i].help);
        assert_true(options_parse(4, (char *[]){strdupa("bivy"), strdupa("run"), strdupa(forms[i].word), strdupa("true"), NULL}, &spec, &fault) < 0);
        options_release(&spec);
    }
    for (size_t i = 0; i < LENGTH(wrong); i++)
        assert_true(options_parse(3, (char *[]){strdupa("bivy"), strdupa("help"), strdupa(wrong[i]), NULL}, &spec, &fault) < 0);
}

static void limit_names(void **state)
{
    (void)state;
    assert_string_equal(limit_name(LIMIT_MEMORY), "memory");
    assert_string_equal(limit_name(LIMIT_SWAP), "swap");
    assert_string_equal(limit_name(LIMIT_CPU), "cpu");
    assert_string_equal(limit_name(LIMIT_PIDS), "pids");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),     cmocka_unit_test(every_option),          cmocka_unit_test(forms),        cmocka_unit_test(what_follows_what),
        cmocka_unit_test(verbs),        cmocka_unit_test(no_command),            cmocka_unit_test(unknown),      cmocka_unit_test(bad_values),
        cmocka_unit_test(empty_values), cmocka_unit_test(edges),                 cmocka_unit_test(report_behind_a_fault),
        cmocka_unit_test(odd_bytes),    cmocka_unit_test(very_long),             cmocka_unit_test(many_variables),
        cmocka_unit_test(profiles),     cmocka_unit_test(bad_profiles),          cmocka_unit_test(carriage_returns),
        cmocka_unit_test(profile_files), cmocka_unit_test(workspace_options), cmocka_unit_test(help), cmocka_unit_test(help_forms),                cmocka_unit_test(limit_names),
    };

    return cmocka_run_group_tests_name("options", tests, make_directory, remove_directory);
}
