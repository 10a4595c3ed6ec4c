#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hints.h"
#include "sys.h"
#include "version.h"

/* By enum log. A datagram goes whole or not at all: rsyslog's lines end at 8 KiB, and a socket's buffer at some 200. */
static const struct place_of_log {
    const char *name, *path;
    size_t most; /* bytes of the record */
} places[] = {
    [LOG_JOURNAL] = {"journal", "/run/systemd/journal/socket", 128 * 1024},
    [LOG_SYSLOG] = {"syslog", "/dev/log", 8000},
};

enum { FACILITY_USER = 1 };
enum severity { CRITICAL = 2, ERROR, WARNING, NOTICE, INFORMATION };

static enum severity severity_of(const struct outcome *outcome)
{
    switch (outcome->kind) {
    case OUTCOME_EXITED:
        return outcome_status(outcome) ? NOTICE : INFORMATION;
    case OUTCOME_SIGNALED:
    case OUTCOME_CANCELLED:
        return NOTICE;
    case OUTCOME_SETUP_FAILED: /* exec: the command is not there, which is its caller's affair and not this host's */
        return outcome->fault.stage == STAGE_EXEC ? WARNING : ERROR;
    case OUTCOME_STUCK:
        return CRITICAL;
    case OUTCOME_TIMEOUT:
    case OUTCOME_OOM:
    case OUTCOME_OUTPUT_LIMIT:
        break;
    }
    return WARNING;
}

/* What people read in the journal, with the most telling hint. As a JSON text: so no byte of a name in it can end the line. */
static void write_message(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    struct hint hints[HINTS_MOST];
    char text[1024], name[OUTCOME_SIGNAL_TEXT];
    size_t length = (size_t)snprintf(text, sizeof text, "run %s: %s", plan ? plan->id : "without an id", outcome_name(outcome->kind));

    if (outcome->have_status && WIFEXITED(outcome->wait_status))
        length += (size_t)snprintf(text + length, sizeof text - length, " %d", WEXITSTATUS(outcome->wait_status));
    else if (outcome->have_status && WIFSIGNALED(outcome->wait_status))
        length += (size_t)snprintf(text + length, sizeof text - length, " (%s)", outcome_signal_name(WTERMSIG(outcome->wait_status), name));
    if (outcome->fault.what[0])
        snprintf(text + length, sizeof text - length, " at %s: %s", stage_name(outcome->fault.stage), outcome->fault.what);
    else if (hints_make(spec, plan, outcome, hints) > 0)
        snprintf(text + length, sizeof text - length, ": %s", hints[0].text);
    json_string(json, NULL, text);
}

/* In the place of a record that is too long. */
static void write_short(struct json *json, const char *id, const struct outcome *outcome)
{
    bool exited = outcome->have_status && WIFEXITED(outcome->wait_status);

    json_open(json, NULL, '{');
    json_string(json, "bivy", BIVY_VERSION);
    json_string(json, "id", *id ? id : NULL);
    json_string(json, "outcome", outcome_name(outcome->kind));
    if (exited)
        json_number(json, "exit_code", (uint64_t)WEXITSTATUS(outcome->wait_status));
    else
        json_null(json, "exit_code");
    json_number(json, "bivy_exit", (uint64_t)outcome_status(outcome));
    json_string(json, "message", outcome->fault.what[0] ? outcome->fault.what : NULL);
    json_bool(json, "cut", true);
    json_close(json, '}');
    json_newline(json);
}

static int send_as(int type, const char *path, struct iovec *parts, unsigned short count)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    SYS_CLOSES int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    size_t whole = 0;
    ssize_t sent;

    if (fd < 0)
        return -errno;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    for (unsigned short i = 0; i < count; i++)
        whole += parts[i].iov_len;
    sent = SYS_AGAIN(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
    return sent < 0 ? -errno : (size_t)sent < whole ? -EAGAIN : 0;
}

static struct iovec part(const char *bytes, size_t length)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
}

/* Fields as journald's own protocol has them; none holds a newline, so each is a line (systemd.io/JOURNAL_NATIVE_PROTOCOL). */
static int send_journal(const char *id, const struct outcome *outcome, const struct json *message, const struct json *record)
{
    char fields[256];
    int length = snprintf(fields, sizeof fields,
                          "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=bivy\nBIVY_OUTCOME=%s\nBIVY_EXIT=%d\nBIVY_ID=%s\nBIVY_RECORD=",
                          (int)severity_of(outcome), FACILITY_USER, outcome_name(outcome->kind), outcome_status(outcome), id);
    struct iovec parts[] = {part("MESSAGE=", 8), part(message->text + 1, message->length - 2), part(fields, (size_t)length),
                            part(record->text, record->length)}; /* which ends in a newline */

    return send_as(SOCK_DGRAM, places[LOG_JOURNAL].path, parts, sizeof parts / sizeof parts[0]);
}

static int send_syslog(const struct outcome *outcome, const struct json *record)
{
    const int priority = FACILITY_USER * 8 + (int)severity_of(outcome);
    char head[96], stamp[32] = "";
    time_t seconds = time(NULL);
    struct tm local;
    int length;

    if (localtime_r(&seconds, &local)) /* RFC 3164 asks for local time, without a zone */
        strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &local);
    length = snprintf(head, sizeof head, "<%d>%s bivy[%d]: ", priority, stamp, (int)getpid());
    struct iovec parts[] = {part(head, (size_t)length), part(record->text, record->length - 1), part("", 1)};
    int result = send_as(SOCK_DGRAM, places[LOG_SYSLOG].path, parts, 2);
    /* Some daemons have a stream there; a NUL ends a line then, as with syslog(3). */
    return result == -EPROTOTYPE ? send_as(SOCK_STREAM, places[LOG_SYSLOG].path, parts, 3) : result;
}

static int send_to(enum log log, const char *id, const struct outcome *outcome, const struct json *message, const struct json *record)
{
    return log == LOG_JOURNAL ? send_journal(id, outcome, message, record) : send_syslog(outcome, record);
}

int log_send(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, const struct json *record, struct fault *fault)
{
    const enum log log = spec->log;
    const char *id = plan ? plan->id : "";
    struct json message = {0}, cut = {0};
    int result = -EMSGSIZE;

    if (log == LOG_OFF)
        return 0;
    write_message(&message, spec, plan, outcome);
    if (message.failed)
        result = -ENOMEM;
    else if (!record->failed && record->length <= places[log].most)
        result = send_to(log, id, outcome, &message, record);
    if (result == -EMSGSIZE) { /* as the socket says too, where net.core.wmem_default is small */
        write_short(&cut, id, outcome);
        result = cut.failed ? -ENOMEM : send_to(log, id, outcome, &message, &cut);
    }
    json_release(&message);
    json_release(&cut);
    return result < 0 ? fault_set(fault, STAGE_REPORT, -result,
                                  result == -EAGAIN ? "it takes no more at the moment; --report does not depend on it"
                                                    : "is its daemon running? --report FILE does not need one",
                                  "--log %s: %s did not take the record", places[log].name, places[log].path)
                      : 0;
}
