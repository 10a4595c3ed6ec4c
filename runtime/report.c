#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "options.h"
#include "seccomp_filter.h"
#include "streams.h"
#include "sys.h"
#include "units.h"
#include "version.h"

#define RECORD_ROOM (64 * 1024) /* set aside in a record file before anything runs; a record is smaller */
#define COMMAND_WORDS 64
#define WORD_BYTES 256

static const char *const names[] = {
    [OUTCOME_EXITED] = "exited",       [OUTCOME_SIGNALED] = "signaled",
    [OUTCOME_TIMEOUT] = "timeout",     [OUTCOME_OOM] = "oom",
    [OUTCOME_OUTPUT_LIMIT] = "output_limit", [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_SETUP_FAILED] = "setup_failed", [OUTCOME_STUCK] = "stuck",
};

static const char *outcome_name(enum outcome_kind kind)
{
    return names[kind];
}

/* sigabbrev_np of glibc, which musl has not. Linux's numbers are the same on x86_64 and aarch64 (signal(7)). */
static const char *signal_name(int number, char text[16])
{
    static const char *const short_names[] = {
        "",     "HUP",  "INT",  "QUIT", "ILL",  "TRAP",   "ABRT", "BUS",  "FPE",  "KILL",   "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",  "SYS"};

    if (number > 0 && number < (int)(sizeof short_names / sizeof short_names[0]))
        snprintf(text, 16, "SIG%s", short_names[number]);
    else
        snprintf(text, 16, "SIG%d", number);
    return text;
}

int report_status(const struct outcome *outcome)
{
    switch (outcome->kind) {
    case OUTCOME_SETUP_FAILED:
        if (outcome->fault.stage != STAGE_EXEC)
            return 125;
        return outcome->fault.errnum == ENOENT ? 127 : 126;
    case OUTCOME_TIMEOUT:
    case OUTCOME_STUCK:
        return 124;
    case OUTCOME_CANCELLED:
        return 128 + outcome->cancel_signal;
    case OUTCOME_EXITED:
    case OUTCOME_SIGNALED:
    case OUTCOME_OOM:
    case OUTCOME_OUTPUT_LIMIT:
        break;
    }
    if (!outcome->have_status)
        return 125;
    if (WIFSIGNALED(outcome->wait_status))
        return 128 + WTERMSIG(outcome->wait_status);
    /* A command that was ended and exits 0 on SIGTERM has not succeeded all the same. */
    if (WEXITSTATUS(outcome->wait_status) == 0 && outcome->kind != OUTCOME_EXITED)
        return 128 + SIGKILL;
    return WEXITSTATUS(outcome->wait_status);
}

/* A whole text to a descriptor that may be slow, full or closed, until `by`. */
static int put_patiently(int caller, const char *bytes, size_t length, uint64_t by)
{
    bool ours;
    SYS_CLOSES int fd = streams_open_out(caller, &ours);

    if (fd < 0)
        return errno == EBADF ? -EBADF : -errno;
    while (length > 0) {
        struct pollfd one = {.fd = fd, .events = POLLOUT};
        uint64_t now = sys_now();
        int turn = poll(&one, 1, now < by ? (int)((by - now) / 1000000 + 1) : 0);
        if (turn == 0)
            return -ETIMEDOUT;
        if (turn < 0 && errno == EINTR)
            continue;
        /* Where it could not be made non-blocking: no more than a pipe that polls writable takes (pipe(7)). */
        ssize_t done = write(fd, bytes, ours || length < 4096 ? length : 4096);
        if (done < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (done < 0)
            return -errno;
        bytes += done;
        length -= (size_t)done;
    }
    return 0;
}

static int open_file(const char *path, struct report *report, struct fault *fault)
{
    struct stat file;

    /* O_NONBLOCK: a FIFO without a reader must not hang bivy. */
    report->fd = sys_create(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (report->fd < 0) {
        int error = -report->fd;
        return fault_set(fault, STAGE_REPORT, error,
                         error == ELOOP    ? "there is a symbolic link in the path: give the path that `readlink -f` prints, or fd:N"
                         : error == EISDIR ? "name a file"
                         : error == ENXIO  ? "start its reader first"
                                           : "name a file that can be written",
                         "--report %.300s: cannot be opened", path);
    }
    report->ours = true;
    if (SYS_AGAIN(fstat(report->fd, &file)) < 0)
        return fault_set(fault, STAGE_REPORT, errno, NULL, "--report %.300s: cannot be examined", path);
    report->file = S_ISREG(file.st_mode);
    /* An earlier record must not pass for this run's if bivy is killed: empty means no record. */
    if (report->file && SYS_AGAIN(ftruncate(report->fd, 0)) < 0)
        return fault_set(fault, STAGE_REPORT, errno, "name a file that can be written", "--report %.300s: cannot be emptied", path);
    return 0;
}

static int take_descriptor(const char *text, struct report *report, struct fault *fault)
{
    uint64_t number;
    struct stat file;
    int flags;

    if (units_count(text, 0, 1 << 20, &number) < 0)
        return fault_set(fault, STAGE_REPORT, 0, "write it like fd:3", "--report fd:%.100s: is not a descriptor's number", text);
    flags = fcntl((int)number, F_GETFL);
    if (flags < 0 || SYS_AGAIN(fstat((int)number, &file)) < 0)
        return fault_set(fault, STAGE_REPORT, EBADF, "open it in the caller and let bivy inherit it", "--report fd:%llu: is not open",
                         (unsigned long long)number);
    if ((flags & O_ACCMODE) == O_RDONLY || flags & O_PATH)
        return fault_set(fault, STAGE_REPORT, EBADF, "open it for writing", "--report fd:%llu: is not open for writing",
                         (unsigned long long)number);
    report->fd = (int)number;
    report->file = false; /* the caller's position and length are the caller's */
    return 0;
}

/* A record that cannot be written would be learnt of too late: make room, or see now that there is none. */
static int make_room(const char *where, const struct report *report, struct fault *fault)
{
    struct stat file;
    int error = 0;

    if (SYS_AGAIN(fstat(report->fd, &file)) < 0)
        error = errno;
    else if (report->file && SYS_AGAIN(fallocate(report->fd, FALLOC_FL_KEEP_SIZE, 0, RECORD_ROOM)) < 0 &&
             errno != EOPNOTSUPP && errno != ENOSYS)
        error = errno;
    else if (S_ISCHR(file.st_mode) && write(report->fd, " ", 1) < 0)
        error = errno; /* /dev/full; a blank before a JSON text means nothing */
    return error ? fault_set(fault, STAGE_REPORT, error, "free some space, or write the record elsewhere",
                             "--report %.300s: a record would not fit", where)
                 : 0;
}

int report_open(const char *where, struct report *report, struct fault *fault)
{
    int result;

    *report = (struct report){.fd = -1};
    if (!where)
        return 0;
    result = strncmp(where, "fd:", 3) ? open_file(where, report, fault) : take_descriptor(where + 3, report, fault);
    if (result == 0)
        result = make_room(where, report, fault);
    if (result < 0)
        report_release(report); /* no record can be written: the fault goes to stderr only */
    return result;
}

bool report_within(const struct report *report, const struct place *place)
{
    char link[32], path[PATH_MAX];
    size_t length = strlen(place->path);
    ssize_t got;

    if (report->fd < 0 || !report->ours)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", report->fd);
    got = SYS_AGAIN(readlink(link, path, sizeof path - 1));
    if (got <= 0)
        return true; /* what cannot be told is not trusted */
    path[got] = '\0';
    return !strncmp(path, place->path, length) && (path[length] == '/' || length == 1);
}

void report_release(struct report *report)
{
    if (report->ours)
        sys_close(&report->fd);
    *report = (struct report){.fd = -1};
}

static void write_time(struct json *json, const char *name, int64_t wall)
{
    char text[48], whole[32];
    time_t seconds = (time_t)(wall / 1000000000);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", whole, (int)(wall % 1000000000 / 1000000));
    json_string(json, name, text);
}

/* ns as milliseconds with three decimals, or null. */
static void write_ms(struct json *json, const char *name, bool known, uint64_t ns)
{
    if (known)
        json_thousandths(json, name, ns / 1000);
    else
        json_null(json, name);
}

static void write_known(struct json *json, const char *name, bool known, uint64_t value)
{
    if (known)
        json_number(json, name, value);
    else
        json_null(json, name);
}

static void write_error(struct json *json, const struct outcome *outcome)
{
    const struct fault *fault = &outcome->fault;

    if (!fault->what[0]) {
        json_null(json, "error");
        return;
    }
    json_open(json, "error", '{');
    json_string(json, "stage", stage_name(fault->stage));
    json_string(json, "errno", errno_name(fault->errnum));
    json_string(json, "message", fault->what);
    json_string(json, "hint", fault->hint[0] ? fault->hint : NULL);
    json_close(json, '}');
}

static void write_command(struct json *json, char **argv)
{
    json_open(json, "command", '[');
    for (int i = 0; argv && argv[i] && i < COMMAND_WORDS; i++)
        json_bytes(json, NULL, argv[i], strnlen(argv[i], WORD_BYTES));
    json_close(json, ']');
}

static bool enforced(const struct outcome *outcome, enum limit limit)
{
    return outcome->have_readings && outcome->enforced & 1u << limit;
}

static void write_limits_hit(struct json *json, const struct plan *plan, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;

    json_open(json, "limits_hit", '[');
    /* At the limit the kernel takes pages back before it kills: the command was held up by it all the same. */
    if (outcome->have_readings && (readings->oom_kills > 0 || (plan && readings->have_peak && readings->memory_peak >= plan->memory)))
        json_string(json, NULL, "memory");
    if (outcome->have_readings && readings->throttled_periods > 0)
        json_string(json, NULL, "cpu");
    if (outcome->have_readings && readings->pids_denied > 0)
        json_string(json, NULL, "pids");
    if (outcome->kind == OUTCOME_TIMEOUT || outcome->kind == OUTCOME_STUCK)
        json_string(json, NULL, "timeout");
    if (outcome->kind == OUTCOME_OUTPUT_LIMIT || (plan && plan->max_output != SPEC_UNLIMITED &&
                                                  (outcome->out.seen > plan->max_output || outcome->err.seen > plan->max_output)))
        json_string(json, NULL, "output");
    json_close(json, ']');
}

static void write_stream(struct json *json, const char *name, uint64_t seen, uint64_t passed, bool truncated)
{
    json_open(json, name, '{');
    json_number(json, "seen_bytes", seen);
    json_number(json, "passed_bytes", passed);
    json_bool(json, "truncated", truncated);
    json_close(json, '}');
}

static void write_isolation(struct json *json, const struct plan *plan, const struct outcome *outcome)
{
    static const char *const sets[5] = {"inheritable", "permitted", "effective", "bounding", "ambient"};
    static const char *const modes[3] = {"none", "strict", "filter"};
    const struct readback *seen = &outcome->readback;
    char text[32];

    if (!outcome->ready) {
        json_null(json, "isolation");
        return;
    }
    json_open(json, "isolation", '{');
    json_number(json, "uid", seen->uid);
    json_number(json, "gid", seen->gid);
    json_number(json, "groups", seen->groups);
    json_number(json, "host_uid", plan->host_uid);
    json_number(json, "host_gid", plan->host_gid);
    json_open(json, "capabilities", '{');
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%016llx", (unsigned long long)seen->caps[i]);
        json_string(json, sets[i], text);
    }
    json_close(json, '}');
    json_bool(json, "no_new_privs", seen->no_new_privs == 1);
    json_string(json, "seccomp", modes[seen->seccomp <= 2 ? seen->seccomp : 0]);
    json_number(json, "seccomp_filters", seen->seccomp_filters);
    json_string(json, "seccomp_policy", seccomp_filter_sha256);
    json_open(json, "namespaces", '{');
    for (size_t i = 0; i < POLICY_NAMESPACES; i++)
        json_number(json, policy_namespaces[i].name, seen->namespaces[i]);
    json_close(json, '}');
    json_number(json, "mounts", seen->mounts);
    snprintf(text, sizeof text, "%u:%u", seen->root_major, seen->root_minor);
    json_string(json, "root_device", text);
    json_number(json, "network_links", seen->links);
    json_bool(json, "loopback_up", seen->loopback_up == 1);
    json_number(json, "descriptors", seen->descriptors);
    json_number(json, "processors", seen->processors);
    json_string(json, "cgroup", seen->cgroup);
    json_close(json, '}');
}

static void write_workspace(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    const struct place *place = plan ? plan->workspace : NULL;
    bool failed = outcome->kind == OUTCOME_SETUP_FAILED && outcome->fault.stage == STAGE_WORKSPACE;

    if (!spec->workspace) {
        json_null(json, "workspace");
        return;
    }
    json_open(json, "workspace", '{');
    json_string(json, "path", place ? place->path : spec->workspace);
    json_string(json, "fstype", place && place->fstype[0] ? place->fstype : NULL);
    write_known(json, "owner_uid", place, place ? place->uid : 0);
    write_known(json, "owner_gid", place, place ? place->gid : 0);
    json_string(json, "error", outcome->kind == OUTCOME_STUCK ? "io_stuck" : failed ? outcome->fault.what : NULL);
    json_close(json, '}');
}

static void write_readings(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;
    bool known = outcome->have_readings;

    json_open(json, "times", '{');
    write_time(json, "started", outcome->started_wall);
    write_ms(json, "setup_ms", outcome->ran, outcome->ready_at - outcome->started);
    write_ms(json, "wall_ms", outcome->ran && outcome->ended_at, outcome->ended_at - outcome->ready_at);
    write_ms(json, "cpu_user_ms", known && readings->have_cpu, readings->cpu_user);
    write_ms(json, "cpu_system_ms", known && readings->have_cpu, readings->cpu_system);
    write_ms(json, "throttled_ms", known && readings->have_throttled, readings->throttled);
    write_ms(json, "timeout_ms", true, spec->timeout);
    json_close(json, '}');

    json_open(json, "memory", '{');
    write_known(json, "limit_bytes", enforced(outcome, LIMIT_MEMORY), spec->memory);
    write_known(json, "peak_bytes", known && readings->have_peak, readings->memory_peak);
    write_known(json, "oom_kills", enforced(outcome, LIMIT_MEMORY), readings->oom_kills);
    json_string(json, "oom_victim", outcome->victim[0] ? outcome->victim : NULL);
    json_close(json, '}');

    json_open(json, "cpu", '{');
    if (enforced(outcome, LIMIT_CPU))
        json_thousandths(json, "limit", spec->cpu);
    else
        json_null(json, "limit");
    write_known(json, "throttled_periods", known && readings->have_throttled, readings->throttled_periods);
    json_close(json, '}');

    json_open(json, "pids", '{');
    write_known(json, "limit", enforced(outcome, LIMIT_PIDS), spec->pids);
    write_known(json, "peak", known && readings->have_pids_peak, readings->pids_peak);
    write_known(json, "denied", known && readings->have_pids, readings->pids_denied);
    json_close(json, '}');
}

static void write_record(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    bool exited = outcome->have_status && WIFEXITED(outcome->wait_status);
    bool signaled = outcome->have_status && WIFSIGNALED(outcome->wait_status);
    char text[16];

    json_open(json, NULL, '{');
    json_number(json, "schema", 1);
    json_string(json, "bivy", BIVY_VERSION);
    json_string(json, "id", plan ? plan->id : NULL);
    json_string(json, "outcome", outcome_name(outcome->kind));
    write_known(json, "exit_code", exited, exited ? (uint64_t)WEXITSTATUS(outcome->wait_status) : 0);
    write_known(json, "signal", signaled, signaled ? (uint64_t)WTERMSIG(outcome->wait_status) : 0);
    json_string(json, "signal_name", signaled ? signal_name(WTERMSIG(outcome->wait_status), text) : NULL);
    json_number(json, "bivy_exit", (uint64_t)report_status(outcome));
    write_error(json, outcome);
    write_command(json, spec->argv);
    write_readings(json, spec, outcome);
    write_stream(json, "stdout", outcome->out.seen, outcome->out.passed, outcome->out.truncated);
    write_stream(json, "stderr", outcome->err.seen, outcome->err.passed, outcome->err.truncated);
    write_limits_hit(json, plan, outcome);
    json_open(json, "unenforced", '[');
    for (int l = 0; l < LIMIT_COUNT; l++)
        if (outcome->have_readings && !enforced(outcome, (enum limit)l))
            json_string(json, NULL, limit_name((enum limit)l));
    json_close(json, ']');
    write_isolation(json, plan, outcome);
    write_workspace(json, spec, plan, outcome);
    json_open(json, "residue", '[');
    if (outcome->residue[0])
        json_string(json, NULL, outcome->residue);
    json_close(json, ']');
    json_close(json, '}');
    json_newline(json);
}

int report_write(struct report *report, const struct spec *spec, const struct plan *plan, const struct outcome *outcome,
                 uint64_t by, struct fault *fault)
{
    struct json json = {0};
    int result = 0;

    if (report->fd < 0)
        return 0;
    write_record(&json, spec, plan, outcome);
    result = json.failed ? -ENOMEM : put_patiently(report->fd, json.text, json.length, by);
    if (result == 0 && report->file && SYS_AGAIN(ftruncate(report->fd, (off_t)json.length)) < 0) /* gives room back */
        result = -errno;
    json_release(&json);
    return result < 0 ? fault_set(fault, STAGE_REPORT, -result, "write the record to a place with room and a reader",
                                  "--report %.300s: the record could not be written", spec->report)
                      : 0;
}

/* Names in our messages come from the caller, the workspace and the command: no byte of theirs may move a terminal. */
static void put_line(const char *prefix, const char *text, uint64_t by)
{
    char line[2048];
    size_t length = (size_t)snprintf(line, sizeof line, "bivy: %s", prefix);

    while (*text && length < sizeof line - 8) {
        unsigned char byte = (unsigned char)*text;
        size_t span = json_utf8(text, strlen(text));
        bool c1 = byte == 0xc2 && (unsigned char)text[1] < 0xa0; /* U+0080 to U+009F: controls too, as is a lone byte of 0x80 to 0x9f */
        if (byte < 0x20 || byte == 0x7f || span == 0 || c1) {
            length += (size_t)snprintf(line + length, sizeof line - length, "\\x%02x", byte);
            span = 1;
        } else {
            memcpy(line + length, text, span);
            length += span;
        }
        text += span;
    }
    line[length++] = '\n';
    put_patiently(STDERR_FILENO, line, length, by);
}

void report_fault(const struct fault *fault, uint64_t by)
{
    char text[800];

    snprintf(text, sizeof text, "%s: %s%s%s%s", stage_name(fault->stage), fault->what, fault->errnum ? " (" : "",
             fault->errnum ? errno_name(fault->errnum) : "", fault->errnum ? ")" : "");
    put_line("", text, by);
    if (fault->hint[0])
        put_line("hint: ", fault->hint, by);
}

void report_summary(const struct plan *plan, const struct outcome *outcome, uint64_t by)
{
    char text[400], wall[UNITS_TIME_TEXT], peak[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], how[64] = "", name[16];

    if (outcome->kind == OUTCOME_SETUP_FAILED) {
        snprintf(text, sizeof text, "setup_failed at %s", stage_name(outcome->fault.stage));
        put_line("", text, by);
        return;
    }
    if (outcome->have_status && WIFEXITED(outcome->wait_status))
        snprintf(how, sizeof how, " %d", WEXITSTATUS(outcome->wait_status));
    else if (outcome->have_status && WIFSIGNALED(outcome->wait_status))
        snprintf(how, sizeof how, " (%s)", signal_name(WTERMSIG(outcome->wait_status), name));
    snprintf(text, sizeof text, "%s%s, %s, peak memory %s of %s%s%s%s", outcome_name(outcome->kind), how,
             units_show_time((outcome->ended_at ? outcome->ended_at : sys_now()) - outcome->ready_at, wall),
             outcome->readings.have_peak ? units_show_size(outcome->readings.memory_peak, peak) : "unknown",
             units_show_size(plan->memory, limit), outcome->victim[0] ? ", killed for memory: " : "", outcome->victim,
             outcome->readings.pids_denied ? ", forks refused" : "");
    put_line("", text, by);
}
