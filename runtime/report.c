#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "record.h"
#include "streams.h"
#include "sys.h"
#include "units.h"

#define RECORD_ROOM (64 * 1024) /* set aside in a record file before anything runs; a record is smaller */

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

int report_write(struct report *report, const struct spec *spec, const struct plan *plan, const struct outcome *outcome,
                 uint64_t by, struct fault *fault)
{
    struct json json = {0};
    int result = 0;

    if (report->fd < 0)
        return 0;
    record_write(&json, spec, plan, outcome);
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
    char text[400], wall[UNITS_TIME_TEXT], peak[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], how[64] = "", name[OUTCOME_SIGNAL_TEXT];

    if (outcome->kind == OUTCOME_SETUP_FAILED) {
        snprintf(text, sizeof text, "setup_failed at %s", stage_name(outcome->fault.stage));
        put_line("", text, by);
        return;
    }
    if (outcome->have_status && WIFEXITED(outcome->wait_status))
        snprintf(how, sizeof how, " %d", WEXITSTATUS(outcome->wait_status));
    else if (outcome->have_status && WIFSIGNALED(outcome->wait_status))
        snprintf(how, sizeof how, " (%s)", outcome_signal_name(WTERMSIG(outcome->wait_status), name));
    snprintf(text, sizeof text, "%s%s, %s, peak memory %s of %s%s%s%s", outcome_name(outcome->kind), how,
             units_show_time((outcome->ended_at ? outcome->ended_at : sys_now()) - outcome->ready_at, wall),
             outcome->readings.have_peak ? units_show_size(outcome->readings.memory_peak, peak) : "unknown",
             units_show_size(plan->memory, limit), outcome->victim[0] ? ", killed for memory: " : "", outcome->victim,
             outcome->readings.pids_denied ? ", forks refused" : "");
    put_line("", text, by);
}
