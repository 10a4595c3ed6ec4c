#include "options_table.h"

const char *const options_network_words[] = {"none", "loopback", NULL};
const char *const options_log_words[] = {"off", "journal", "syslog", NULL};
const char *const options_limit_words[] = {"memory", "swap", "cpu", "pids", NULL};
static const char *const switch_words[] = {"off", "on", NULL};

#define FIELD(name) offsetof(struct spec, name)

#define MAKES (FOR(RUN) | FOR(SHELL) | FOR(PLAN) | FOR(SELFTEST)) /* a sandbox is decided on */
#define TRIED (MAKES | FOR(CHECK)) /* and what it says a host may refuse */
#define LIVE (FOR(PS) | FOR(KILL) | FOR(ENTER) | FOR(CLEAN))

const struct option options_table[] = {
    /* clang-format off */
    {"rootfs", 0, TEXT, FIELD(rootfs), 0, 0, NULL, "DIR",
     "the root file system, read-only inside; default /var/lib/bivy/rootfs, for an ordinary user first ~/.local/share/bivy/rootfs; "
     "$BIVY_ROOTFS overrides the default", TRIED},
    {"workspace", 'w', TEXT, FIELD(workspace), 0, 0, NULL, "DIR",
     "bound read-write at /workspace; without it /workspace is empty scratch", TRIED},
    {"workspace-root", 0, TEXT, FIELD(workspace_root), 0, 0, NULL, "DIR",
     "a mount that holds one directory a user: the workspace is the one named by --user-id; refused when nothing is mounted there",
     TRIED},
    {"user-id", 0, TEXT, FIELD(user_id), 0, 0, NULL, "ID", "the user's directory below --workspace-root: letters, digits and . _ @ + -",
     TRIED},
    {"require-fs", 0, TEXT, FIELD(require_fs), 0, 0, NULL, "TYPE",
     "refuse a workspace on another file system, or on one mounted read-only, without default_permissions or allow_other, or open to "
     "others; fuse.seaweedfs for SeaweedFS", TRIED},
    {"owner-range", 0, RANGE, FIELD(owner_low), 1, 0xfffffffe, NULL, "LOW-HIGH",
     "host users that may own a workspace below --workspace-root; default 1-4294967294", TRIED},
    {"create-workspace", 0, FLAG, FIELD(create_workspace), 0, 0, NULL, NULL,
     "make the user's directory below --workspace-root where it is missing, for its owner alone; root says whose: --host-uid", MAKES},
    {"workspace-timeout", 0, TIME, FIELD(workspace_timeout), 10 * MS, 60 * SECOND, NULL, "TIME",
     "how long the workspace's file system may take to answer before the run; default 3s", TRIED},
    {"sync", 0, TIME, FIELD(sync), 10 * MS, HOUR, NULL, "TIME",
     "after the run write what it changed in the workspace to the server (fsync), for that long at the most; the record says what was done", MAKES},
    {"abort-stuck", 0, FLAG, FIELD(abort_stuck), 0, 0, NULL, NULL,
     "where the workspace is a FUSE mount of its own: end its connection when it holds the command beyond SIGKILL", MAKES},
    {"memory", 0, SIZE, FIELD(memory), 4 * MIB, TIB, NULL, "SIZE", "memory, page cache and scratch together; no swap; default 256M", TRIED},
    {"cpus", 0, MILLI, FIELD(cpu), 10, 512000, NULL, "N", "processors' worth of time, 0.01 to 512; default 0.5", TRIED},
    {"pids", 0, COUNT, FIELD(pids), 2, 4194304, NULL, "N", "processes and threads, bivy's own pid 1 included; default 50", TRIED},
    {"timeout", 0, TIME, FIELD(timeout), 10 * MS, 168 * HOUR, NULL, "TIME", "from the start of the run; default 30s", MAKES},
    {"kill-after", 0, TIME, FIELD(kill_after), 0, HOUR, NULL, "TIME", "grace between SIGTERM and SIGKILL; default 2s", MAKES},
    {"scratch", 0, SIZE, FIELD(scratch), 64 * KIB, TIB, NULL, "SIZE",
     "the tmpfs behind /tmp, /var/tmp, /run, /dev/shm and the home directory, charged to --memory; default half of --memory", MAKES},
    {"scratch-inodes", 0, COUNT, FIELD(scratch_inodes), 64, 1u << 30, NULL, "N", "files in scratch; default 32768", MAKES},
    {"open-files", 0, COUNT, FIELD(open_files), 16, 1048576, NULL, "N", "descriptors a process may open; default 1024", TRIED},
    {"file-size", 0, SIZE_OR_NONE, FIELD(file_size), 4 * KIB, TIB, NULL, "SIZE|none",
     "the largest file that the command may write: beyond it SIGXFSZ; default none", MAKES},
    {"network", 0, CHOICE, FIELD(network), 0, 0, options_network_words, "none|loopback", "none: lo is down; loopback: lo is up; default none", MAKES},
    {"env", 'e', ENVIRONMENT, 0, 0, 0, NULL, "K[=V]", "set a variable, or pass the caller's on; may be repeated", MAKES},
    {"interactive", 'i', FLAG, FIELD(interactive), 0, 0, NULL, NULL, "pass stdin on; without it the command reads /dev/null",
     MAKES | FOR(ENTER)},
    {"tty", 't', FLAG, FIELD(tty), 0, 0, NULL, NULL,
     "a terminal of its own for the command, joined to the caller's; with -i, as in -it, what is typed goes to it",
     (MAKES & ~FOR(SELFTEST)) | FOR(ENTER)},
    {"affinity", 0, CHOICE, FIELD(affinity), 0, 0, switch_words, "on|off",
     "let the command see only as many processors as --cpus rounds up to; default on", TRIED},
    {"max-output", 0, SIZE_OR_NONE, FIELD(max_output), 1 * KIB, TIB, NULL, "SIZE|none",
     "kept of stdout and of stderr each: the first half live, the last half at the end; default 1M, with -it none", MAKES},
    {"output-limit", 0, SIZE_OR_NONE, FIELD(output_limit), 1 * KIB, TIB, NULL, "SIZE|none",
     "end the command once a stream has written more; default 64M, or --max-output if that is more", MAKES},
    {"report", 0, TEXT, FIELD(report), 0, 0, NULL, "FILE|fd:N", "write the record, one JSON object, there", MAKES},
    {"log", 0, CHOICE, FIELD(log), 0, 0, options_log_words, "off|journal|syslog",
     "the record as one line for the system's log too: journald's own socket, or /dev/log; default off", MAKES},
    {"summary", 0, FLAG, FIELD(summary), 0, 0, NULL, NULL,
     "what became of the run, for people, on stderr: one line, or a short block when something went wrong; on a terminal without asking", MAKES},
    {"quiet", 'q', FLAG, FIELD(quiet), 0, 0, NULL, NULL, "no summary and no progress line on a terminal either", MAKES},
    {"verbose", 'v', FLAG, FIELD(verbose), 0, 0, NULL, NULL, "tell the set-up on stderr, stage by stage with times", MAKES},
    {"explain", 0, FLAG, FIELD(explain), 0, 0, NULL, NULL,
     "list the system calls that the filter refused, and what the command tried to reach over the network; each such call takes longer", MAKES},
    {"keep-on-fail", 0, TIME, FIELD(keep), SECOND, 24 * HOUR, NULL, "TIME",
     "when the command fails keep its scratch and namespaces that long for bivy enter", MAKES},
    {"json", 0, FLAG, FIELD(json), 0, 0, NULL, NULL, "JSON on stdout", FOR(CHECK) | FOR(PS)},
    {"timing", 0, FLAG, FIELD(timing), 0, 0, NULL, NULL, "how long each stage of the run took, on stderr and in the record", MAKES},
    {"cgroup-parent", 0, TEXT, FIELD(cgroup_parent), 0, 0, NULL, "PATH",
     "where the leaf is made, below every hierarchy's mount; default for root /bivy, for others the directory of their own cgroup; "
     "ps, kill and enter look everywhere without it",
     MAKES | LIVE | FOR(CHECK)},
    {"host-uid", 0, COUNT, FIELD(host_uid), 1, 0xfffffffe, NULL, "ID", "host user the sandbox runs as (root only); default the workspace's owner",
     TRIED},
    {"host-gid", 0, COUNT, FIELD(host_gid), 1, 0xfffffffe, NULL, "ID", "host group likewise", TRIED},
    {"unenforced", 0, LIMITS, FIELD(unenforced), 0, 0, options_limit_words, "memory|swap|cpu|pids",
     "run even where the host cannot enforce this limit, and say so in the record; may be repeated", TRIED},
    {"profile", 0, PROFILE, 0, 0, 0, NULL, "NAME",
     "options from the file NAME, or from NAME in ~/.config/bivy/profiles or /etc/bivy/profiles, as if they stood here", TRIED},
    /* clang-format on */
};
const size_t options_count = sizeof options_table / sizeof options_table[0];

const struct verb_row options_verbs[] = {
    {"run", VERB_RUN, COMMAND, "run one command in a fresh sandbox"},
    {"shell", VERB_SHELL, SHELL, "the same on a terminal of its own: run -it, with an hour's --timeout; without a command a shell"},
    {"plan", VERB_PLAN, COMMAND, "print as JSON what run would do; touch nothing"},
    {"check", VERB_CHECK, NO_WORDS, "can this host do it? each need: ok, degraded or missing, and the command that mends it"},
    {"ps", VERB_PS, NO_WORDS, "live sandboxes"},
    {"kill", VERB_KILL, ID, "end one, as a timeout would"},
    {"enter", VERB_ENTER, ID_SHELL, "run a command, or a shell, in a live sandbox, locked in as its own command is"},
    {"clean", VERB_CLEAN, NO_WORDS, "sweep what a crash left behind"},
    {"selftest", VERB_SELFTEST, NO_WORDS, "attack a sandbox of this installation from inside; TAP on stdout"},
    {"help", VERB_HELP, NO_WORDS, "this text"},
    {"version", VERB_VERSION, NO_WORDS, "the version"},
};
const size_t options_verb_count = sizeof options_verbs / sizeof options_verbs[0];
