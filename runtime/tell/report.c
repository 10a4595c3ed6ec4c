#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "helper.h"
#include "json.h"
#include "place.h"
#include "plain.h"
#include "stream.h"
#include "summary.h"
#include "sys.h"
#include "units.h"

#define OPEN_WITHIN ((uint64_t)3000000000)
#define UNASKED ((uint64_t)500000000) /* a terminal that takes no summary, stopped by Ctrl-S, say, does not hold a run for longer */
#define RECORD_ROOM (256 * 1024) /* set aside in a record file before anything runs; a record is smaller, also one full of escapes */

/* A whole text to a descriptor that may be slow, full or closed, until `by`. */
static int put_patiently(int caller, const char *bytes, size_t length, uint64_t by)
{
    bool ours;
    SYS_CLOSES int fd = stream_open_out(caller, &ours);

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

static int take_descriptor(const char *text, unsigned absent, struct report *report, struct fault *fault)
{
    uint64_t number;
    struct stat file;
    int flags;

    if (units_count(text, 0, 1 << 20, &number) < 0)
        return fault_set(fault, STAGE_REPORT, 0, "write it like fd:3", "--report fd:%.100s: is not a descriptor's number", text);
    flags = number < 3 && absent & 1u << number ? -1 : fcntl((int)number, F_GETFL);
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

struct opened {
    int result;
    struct report report;
    struct fault fault;
};

static bool name_of(int fd, char path[PATH_MAX])
{
    char link[32];
    ssize_t got;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    got = SYS_AGAIN(readlink(link, path, PATH_MAX - 1));
    path[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static int try_to_open(void *where, void *answer)
{
    struct opened *opened = answer;
    struct report *report = &opened->report;

    memset(opened, 0, sizeof *opened);
    report->fd = -1;
    opened->result = open_file(where, report, &opened->fault);
    if (opened->result == 0)
        opened->result = make_room(where, report, &opened->fault);
    if (opened->result == 0 && !name_of(report->fd, report->path))
        opened->result = fault_set(&opened->fault, STAGE_REPORT, EIO, "mount /proc", "--report %.300s: its path cannot be told",
                                   (const char *)where);
    sys_close(&report->fd); /* here: closing asks the server too */
    return -1;
}

/* A record on a file system whose server may be silent: a helper tries now whether it can be written there, and another one writes it in
 * the end. The supervisor never holds a descriptor of it, for closing that, or a child's copy, may hang as well. */
static int open_patiently(const char *where, struct report *report, struct fault *fault)
{
    static struct opened opened;
    struct helper_left left;
    const struct helper_task task = {.work = try_to_open, .data = (void *)(uintptr_t)where, .keep = -1, .stop = -1,
                                     .by = sys_now() + OPEN_WITHIN, .answer = &opened, .size = sizeof opened};
    int fd, result = helper_run(&task, &fd, &left);

    if (result < 0)
        return fault_set(fault, STAGE_REPORT, -result, "write the record to a local file, or to fd:N",
                         "--report %.300s: its file system does not answer", where);
    *report = opened.report;
    report->may_block = opened.result == 0;
    *fault = opened.fault;
    return opened.result;
}

int report_open(const char *where, unsigned absent, const char *mountinfo, struct report *report, struct fault *fault)
{
    bool may_block;
    int result;

    *report = (struct report){.fd = -1};
    if (!where)
        return 0;
    if (!strncmp(where, "fd:", 3)) {
        if ((result = take_descriptor(where + 3, absent, report, fault)) == 0)
            result = make_room(where, report, fault);
    } else {
        char whole[PATH_MAX];
        if ((result = place_absolute(where, whole)) < 0)
            return fault_set(fault, STAGE_REPORT, -result, "name a file", "--report %.300s: cannot be opened", where);
        may_block = !mountinfo || place_may_block(whole, mountinfo);
        if (may_block) {
            result = open_patiently(whole, report, fault);
        } else if ((result = open_file(where, report, fault)) == 0) {
            result = make_room(where, report, fault);
        }
    }
    if (result < 0)
        report_release(report); /* no record can be written: the fault goes to stderr only */
    return result;
}

bool report_within(const struct report *report, const struct place *place)
{
    char path[PATH_MAX];
    size_t length = strlen(place->path);

    if (report->may_block)
        snprintf(path, sizeof path, "%s", report->path);
    else if (report->fd < 0 || !report->ours)
        return false;
    else if (!name_of(report->fd, path))
        return true; /* what cannot be told is not trusted */
    return !strncmp(path, place->path, length) && (path[length] == '/' || length == 1);
}

void report_release(struct report *report)
{
    if (report->ours)
        sys_close(&report->fd);
    *report = (struct report){.fd = -1};
}

struct letter {
    const char *path; /* for a helper */
    int fd;
    bool file;
    const char *text;
    size_t length;
    uint64_t by;
};

static int post(const struct letter *letter)
{
    int result = put_patiently(letter->fd, letter->text, letter->length, letter->by);

    /* Gives room back; and half a record is none. */
    if (letter->file && SYS_AGAIN(ftruncate(letter->fd, result == 0 ? (off_t)letter->length : 0)) < 0 && result == 0)
        result = -errno;
    return result;
}

static int post_in_helper(void *data, void *answer)
{
    struct letter *letter = data;
    int result;

    letter->fd = sys_create(letter->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    result = letter->fd < 0 ? letter->fd : post(letter);
    if (letter->fd >= 0 && close(letter->fd) < 0 && result == 0 && errno != EINTR)
        result = -errno; /* there a server may still say no */
    *(int *)answer = result;
    return -1;
}

bool report_wanted(const struct report *report)
{
    return report->fd >= 0 || report->may_block;
}

int report_write(struct report *report, const char *where, const struct json *record, uint64_t by, struct fault *fault)
{
    int result = 0;

    if (!report_wanted(report))
        return 0;
    if (record->failed) {
        result = -ENOMEM;
    } else if (report->may_block) {
        struct letter letter = {.path = report->path, .file = report->file, .text = record->text, .length = record->length, .by = by};
        struct helper_left left;
        int answer = 0, fd, error;
        const struct helper_task task = {.work = post_in_helper, .data = &letter, .keep = -1, .stop = -1, .by = by,
                                         .answer = &answer, .size = sizeof answer};
        error = helper_run(&task, &fd, &left);
        result = error < 0 ? error : answer;
    } else {
        struct letter letter = {.fd = report->fd, .file = report->file, .text = record->text, .length = record->length, .by = by};
        result = post(&letter);
    }
    return result < 0 ? fault_set(fault, STAGE_REPORT, -result, "write the record to a place with room and a reader",
                                  "--report %.300s: the record could not be written", where)
                      : 0;
}

/* CAN and ST end whatever sequence was begun, the rest undoes hidden letters and other alphabets (ECMA-48, ISO 2022). */
static const char calm[] = "\030\033\\\033(B\017\033[m";
static bool calm_first;

void report_after_command(void)
{
    const char *terminal = getenv("TERM");

    calm_first = isatty(STDERR_FILENO) == 1 && !(terminal && !strcmp(terminal, "dumb"));
}

static void be_calm(uint64_t by)
{
    if (calm_first)
        put_patiently(STDERR_FILENO, calm, sizeof calm - 1, by);
    calm_first = false;
}

/* Names in our messages come from the caller, the workspace and the command: no byte of theirs may move a terminal. */
static void put_coloured(const char *colour, const char *prefix, const char *text, uint64_t by)
{
    char line[2048];
    size_t length = (size_t)snprintf(line, sizeof line, "%sbivy: %s", colour, prefix);

    length += plain_text(text, strlen(text), line + length, sizeof line - 8 - length);
    length += (size_t)snprintf(line + length, sizeof line - length, "%s%s\n", *colour ? "\x1b[0m" : "", console_is_raw() ? "\r" : "");
    be_calm(by);
    put_patiently(STDERR_FILENO, line, length, by);
}

static void put_line(const char *prefix, const char *text, uint64_t by)
{
    put_coloured("", prefix, text, by);
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

void report_line(const char *text, uint64_t by)
{
    put_line("", text, by);
}

bool report_in_front(int terminal)
{
    pid_t group = tcgetpgrp(terminal);

    return group < 0 ? errno == ENOTTY : group == getpgrp();
}

bool report_for_people(const struct spec *spec)
{
    if (spec->quiet || spec->summary)
        return !spec->quiet;
    return (spec->verb == VERB_RUN || spec->verb == VERB_SHELL) && isatty(STDERR_FILENO) && report_in_front(STDERR_FILENO);
}

/* https://no-color.org: set and not empty. */
static bool coloured(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return isatty(STDERR_FILENO) && !(no && *no) && terminal && strcmp(terminal, "dumb") != 0;
}

void report_summary(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, bool within_line, uint64_t by)
{
    static const char *const colours[] = {[TONE_PLAIN] = "", [TONE_GOOD] = "\x1b[32m", [TONE_BAD] = "\x1b[31m", [TONE_HINT] = "\x1b[33m"};
    static struct summary_line lines[SUMMARY_MOST];
    size_t count = summary_make(spec, plan, outcome, lines);
    bool colour = coloured();

    if (!spec->summary && by > sys_now() + UNASKED)
        by = sys_now() + UNASKED;
    if (within_line && isatty(STDERR_FILENO)) {
        be_calm(by);
        put_patiently(STDERR_FILENO, "\n", 1, by);
    }
    for (size_t i = 0; i < count; i++)
        put_coloured(colour ? colours[lines[i].tone] : "", "", lines[i].text, by);
}

void report_timing(const struct outcome *outcome, uint64_t by)
{
    struct timing_row rows[TIMING_COUNT];
    size_t count = timing_rows(&outcome->timing, rows);
    char text[160];

    put_line("timing: ", "side     stage             begins us    took us", by);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%-8s %-16s %10.1f %10.1f", rows[i].side, rows[i].name, (double)rows[i].start / 1000,
                 (double)rows[i].ns / 1000);
        put_line("timing: ", text, by);
    }
}
