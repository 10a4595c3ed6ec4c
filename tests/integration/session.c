/* session: one run of bivy from the outside. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "internal.h"

#define RECORD_FD 3
#define HOLD_SECONDS 15 /* for what bivy leaves in the pipes to be read once it has ended */
#define OWN_FD 10       /* our descriptors start here, clear of those that bivy is to get */

pid_t validator_pid;
static FILE *validator_in, *validator_out;
static bool validator_ready;

static struct session *running[64];

/* ---- the schema validator ---- */

void validator_start(void)
{
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        abort();
    validator_pid = fork();
    if (validator_pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execlp("python3", "python3", TEST_SOURCE "/tests/integration/validate.py",
               TEST_SOURCE "/docs/record.schema.json", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    validator_in = fdopen(in[1], "w");
    validator_out = fdopen(out[0], "r");
    validator_ready = false;
}

static char *validator_line(void)
{
    char *line = NULL;
    size_t size = 0;

    if (getline(&line, &size, validator_out) <= 0) {
        free(line);
        return keep(strdup("the validator (python3 with jsonschema) gives no answer"));
    }
    line[strcspn(line, "\n")] = '\0';
    return keep(line);
}

const char *validator_ask(const char *text, size_t length)
{
    if (!validator_ready) { /* it starts while the first test already runs */
        const char *first = validator_line();
        if (strcmp(first, "ready"))
            return first;
        validator_ready = true;
    }
    fprintf(validator_in, "%zu\n", length);
    fwrite(text, 1, length, validator_in);
    if (fflush(validator_in))
        return "the validator is gone";
    return validator_line();
}

void validator_stop(void)
{
    int status;

    if (!validator_ready) /* its first word must find a reader */
        validator_line();
    fclose(validator_in);
    fclose(validator_out);
    waitpid(validator_pid, &status, 0);
}

/* ---- starting ---- */

static bool asks_report(const char *const *words)
{
    for (; *words && strcmp(*words, "--"); words++)
        if (!strncmp(*words, "--report", 8))
            return true;
    return false;
}

static char **build_argv(const struct how *how, const char *const *words, bool *plain)
{
    const char *verb = how->verb ? how->verb : "run";
    bool run = !strcmp(verb, "run"), plan = !strcmp(verb, "plan");
    size_t count = 0, at = 0;
    char **argv;

    while (words[count])
        count++;
    argv = keep(calloc(count + 16, sizeof *argv));
    argv[at++] = keep(strdup(harness.bivy));
    *plain = how->bare || !run || asks_report(words);
    if (!how->bare) {
        argv[at++] = keep(strdup(verb));
        if (!*plain) {
            argv[at++] = keep(strdup("--report"));
            argv[at++] = text_format("fd:%d", RECORD_FD);
        }
        if (run || plan) {
            argv[at++] = keep(strdup("--rootfs"));
            argv[at++] = keep(strdup(how->rootfs ? how->rootfs : harness.rootfs));
        }
        if (run || plan || !strcmp(verb, "clean")) {
            argv[at++] = keep(strdup("--cgroup-parent"));
            argv[at++] = keep(strdup(how->parent ? how->parent : harness.parent));
        }
        if (how->workspace) {
            argv[at++] = keep(strdup("--workspace"));
            argv[at++] = keep(strdup(how->workspace));
        }
    }
    for (size_t i = 0; i < count; i++)
        argv[at++] = keep(strdup(words[i]));
    return argv;
}

static char **build_env(const struct how *how)
{
    size_t count = 0, at = 0;
    char **env;

    while (how->env && how->env[count])
        count++;
    env = keep(calloc(count + 4, sizeof *env));
    env[at++] = keep(strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"));
    env[at++] = text_format("HOME=%s", harness.tmp);
    env[at++] = keep(strdup("CALLER_SECRET=must not cross"));
    for (size_t i = 0; i < count; i++)
        env[at++] = keep(strdup(how->env[i]));
    return env;
}

static void die(const char *what)
{
    dprintf(2, "harness: before exec: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void enter_delegation(void)
{
    char path[8192];
    int fd;

    snprintf(path, sizeof path, "%s%s/caller/cgroup.procs", harness.mount[CGROUP_V2], harness.parent);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        die(path);
    close(fd);
}

static _Noreturn void become_bivy(const struct how *how, const int fds[4], char **argv, char **env)
{
    sigset_t none;

    sigemptyset(&none);
    if (signal(SIGPIPE, SIG_DFL) == SIG_ERR || sigprocmask(SIG_SETMASK, &none, NULL))
        die("signals");
    for (int i = 0; i < 4; i++)
        if (dup2(fds[i], i) < 0)
            die("dup2");
    if (harness.user)
        enter_delegation();
    if (syscall(SYS_close_range, RECORD_FD + 1, ~0u, 0))
        die("close_range");
    if (how->prepare)
        how->prepare(how->data);
    if (harness.user &&
        (setgroups(0, NULL) || setresgid(USER_ID, USER_ID, USER_ID) || setresuid(USER_ID, USER_ID, USER_ID)))
        die("ids");
    if (how->last)
        how->last(how->data);
    execve(argv[0], argv, env);
    die(argv[0]);
    _exit(99);
}

static int lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD);

    if (lifted < 0)
        harness_fail("no descriptor: %s", strerror(errno));
    close(fd);
    return lifted;
}

static struct session *session_new(void)
{
    struct session *session = keep(aligned_alloc(SESSION_ROOM, sizeof *session));

    memset(session, 0, sizeof *session);
    return session;
}

struct session *session_start(const struct how *how, const char *const *words)
{
    struct session *session = session_new();
    int out[2], err[2], in, slot = 0;
    char **argv = build_argv(how, words, &session->plain), **env = build_env(how);

    while (running[slot])
        if (++slot == (int)(sizeof running / sizeof *running))
            harness_fail("too many sessions at once");
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        harness_fail("pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        out[i] = lift(out[i]), err[i] = lift(err[i]);
    session->record = lift(memfd_create("record", MFD_CLOEXEC));
    in = lift(how->in ? dup(how->in) : open("/dev/null", O_RDONLY | O_CLOEXEC));
    session->started = now();
    session->pid = fork();
    if (session->pid == 0)
        become_bivy(how, (int[]){in, out[1], err[1], session->record}, argv, env);
    if (session->pid < 0)
        harness_fail("fork: %s", strerror(errno));
    session->pidfd = (int)syscall(SYS_pidfd_open, session->pid, 0);
    close(in);
    close(out[1]);
    close(err[1]);
    session->out = out[0];
    session->err = err[0];
    running[slot] = session;
    return session;
}

/* ---- reading and waiting ---- */

static void take_some(int *fd, char **text, size_t *length, size_t *room)
{
    ssize_t got;

    if (*room - *length < 1 << 16) {
        *room = *room ? *room * 2 : 1 << 17;
        *text = realloc(*text, *room);
        if (!*text)
            abort();
    }
    got = read(*fd, *text + *length, *room - *length - 1);
    if (got <= 0) {
        close(*fd);
        *fd = -1;
        got = 0;
    }
    *length += (size_t)got;
    (*text)[*length] = '\0';
}

/* Reads once from whatever is ready. False when the guard has passed. */
static bool session_step(struct session *session, bool watch_end)
{
    struct pollfd fds[3] = {
        {session->out, POLLIN, 0}, {session->err, POLLIN, 0}, {watch_end ? session->pidfd : -1, POLLIN, 0}};
    double left = (session->pid ? session->started + GUARD_SECONDS : session->ended + HOLD_SECONDS) - now();

    if (left <= 0 || poll(fds, 3, (int)(left * 1000) + 1) == 0)
        return false;
    if (fds[0].revents)
        take_some(&session->out, &session->result.out, &session->result.out_length, &session->out_room);
    if (fds[1].revents)
        take_some(&session->err, &session->result.err, &session->result.err_length, &session->err_room);
    return true;
}

static void session_close(struct session *session)
{
    int *fds[] = {&session->pidfd, &session->out, &session->err, &session->record};

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    for (size_t i = 0; i < sizeof running / sizeof *running; i++)
        if (running[i] == session)
            running[i] = NULL;
}

bool sessions_end(void)
{
    bool none = true;

    for (size_t i = 0; i < sizeof running / sizeof *running; i++) {
        struct session *session = running[i];
        int status;
        if (!session)
            continue;
        none = false;
        if (session->pid > 0) {
            fprintf(stderr, "bivy (process %d) still ran\n", session->pid);
            kill(session->pid, SIGKILL);
            waitpid(session->pid, &status, 0);
        }
        free(session->result.out);
        free(session->result.err);
        session_close(session);
    }
    return none;
}

void session_expect(struct session *session, const char *text)
{
    while (!session->result.out || !strstr(session->result.out, text))
        if (session->out < 0 || !session_step(session, false))
            harness_fail("bivy's stdout %s without \"%s\"; stdout: %s\nstderr: %s",
                         session->out < 0 ? "ended" : "stayed", text, session->result.out ? session->result.out : "",
                         session->result.err ? session->result.err : "");
}

static void reap(struct session *session, int options)
{
    int status;

    if (waitpid(session->pid, &status, options) != session->pid)
        return;
    session->pid = 0;
    session->ended = now();
    session->result.killed = WIFSIGNALED(status);
    session->result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    session->result.seconds = now() - session->started;
}

void session_wait(struct session *session)
{
    struct pollfd fd = {session->pidfd, POLLIN, 0};

    if (poll(&fd, 1, GUARD_SECONDS * 1000) != 1)
        harness_fail("bivy does not end");
    reap(session, 0);
}

void session_kill(struct session *session, int signal)
{
    if (syscall(SYS_pidfd_send_signal, session->pidfd, signal, NULL, 0))
        harness_fail("cannot signal bivy: %s", strerror(errno));
    if (signal == SIGKILL)
        bivy_was_killed = true;
}

static char *read_record(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = keep(calloc(1, (size_t)size + 1));

    if (pread(fd, text, (size_t)size, 0) != size)
        harness_fail("cannot read the record");
    return text;
}

/* Was the sandbox's own memory used up, as far as can be told? The kernel kills at a limit that is full but for a few pages. */
static bool used_up(const struct result *result)
{
    return record_null(result, "memory.peak_bytes") || record_null(result, "memory.limit_bytes") ||
           record_number(result, "memory.peak_bytes") >= record_number(result, "memory.limit_bytes") / 8 * 7;
}

/* What holds for every record, whatever happened. */
static void check_record(struct result *result)
{
    const char *error, *verdict, *outcome;
    size_t length = strlen(result->record_text);
    int64_t status;

    verdict = validator_ask(result->record_text, length);
    if (strcmp(verdict, "ok"))
        harness_fail("the record breaks its schema: %s\n%s", verdict, result->record_text);
    result->record = reader_parse(result->record_text, length, &error);
    if (!result->record)
        harness_fail("the record is not JSON: %s\n%s", error, result->record_text);
    keep_tree(result->record);
    CHECK(result, result->record_text[length - 1] == '\n');
    outcome = record_text(result, "outcome");
    status = record_number(result, "bivy_exit");
    CHECK(result, status == result->status && !result->killed);
    CHECK(result, reader_count(reader_at(result->record, "residue")) == 0 || !strcmp(outcome, "stuck"));
    CHECK(result, status == 0 || reader_count(reader_at(result->record, "hints")) > 0); /* no failure without a hint */
    CHECK(result, record_null(result, "exit_code") || record_null(result, "signal"));
    CHECK(result, record_null(result, "signal") == record_null(result, "signal_name"));
    CHECK(result, (!strcmp(outcome, "setup_failed") || !strcmp(outcome, "stuck")) == !record_null(result, "error"));
    if (!strcmp(outcome, "exited"))
        CHECK(result, record_number(result, "exit_code") == status);
    else if (!strcmp(outcome, "signaled"))
        CHECK(result, record_number(result, "signal") + 128 == status);
    else if (!strcmp(outcome, "timeout"))
        CHECK(result, status == 124 && record_limit_hit(result, "timeout"));
    else if (!strcmp(outcome, "oom"))
        CHECK(result, record_limit_hit(result, "memory") == used_up(result)); /* or else the host's, or that of a cgroup above */
    else if (!strcmp(outcome, "output_limit"))
        CHECK(result, record_limit_hit(result, "output"));
    else if (!strcmp(outcome, "cancelled"))
        CHECK(result, status > 128);
    else if (!strcmp(outcome, "setup_failed"))
        CHECK(result,
              status >= 125 && status <= 127 && record_null(result, "exit_code") && record_null(result, "signal"));
    if (strcmp(outcome, "setup_failed")) { /* the gate let it pass */
        CHECK(result, !record_null(result, "isolation") && !record_null(result, "id"));
        CHECK(result, !strcmp(outcome, "stuck") || record_real(result, "times.wall_ms") <= result->seconds * 1000 + 1);
        CHECK(result, record_real(result, "times.setup_ms") <= result->seconds * 1000 + 1);
    }
    CHECK(result, record_number(result, "stdout.passed_bytes") <= record_number(result, "stdout.seen_bytes"));
    CHECK(result, record_number(result, "stderr.passed_bytes") <= record_number(result, "stderr.seen_bytes"));
}

const struct result *session_finish(struct session *session)
{
    struct result *result = &session->result;

    while (session->out >= 0 || session->err >= 0 || session->pid) {
        if (!session_step(session, session->pid != 0))
            harness_fail("%s; stdout: %s\nstderr: %s",
                         session->pid ? "bivy does not end"
                                      : "bivy has ended, and somebody still holds its stdout or stderr",
                         result->out ? result->out : "", result->err ? result->err : "");
        if (session->pid)
            reap(session, WNOHANG);
    }
    result->record_text = read_record(session->record);
    session_close(session);
    result->out = keep(result->out ? result->out : calloc(1, 1));
    result->err = keep(result->err ? result->err : calloc(1, 1));
    if (*result->record_text)
        check_record(result);
    else if (!session->plain && !result->killed)
        harness_complain(result, "a record was asked for and none came", __FILE__, __LINE__);
    return result;
}

/* ---- judging ---- */

void harness_complain(const struct result *result, const char *what, const char *file, int line)
{
    fprintf(stderr,
            "%s:%d: not so: %s\nstatus %d%s after %.3f s\nstdout (%zu bytes): %.4000s\nstderr (%zu bytes): "
            "%.4000s\nrecord: %s\n",
            file, line, what, result->status, result->killed ? ", killed" : "", result->seconds, result->out_length, result->out ? result->out : "",
            result->err_length, result->err ? result->err : "", result->record_text ? result->record_text : "");
    _fail(file, line);
    abort();
}

static const struct reader *record_at(const struct result *result, const char *path, enum reader_type type)
{
    const struct reader *value = reader_at(result->record, path);

    if (!value || value->type != type)
        harness_complain(result, text_format("record.%s has the type asked for", path), __FILE__, __LINE__);
    return value;
}

const char *record_text(const struct result *result, const char *path)
{
    return record_at(result, path, READER_STRING)->text;
}

double record_real(const struct result *result, const char *path)
{
    return record_at(result, path, READER_NUMBER)->number;
}

int64_t record_number(const struct result *result, const char *path)
{
    const char *text = record_at(result, path, READER_NUMBER)->text;
    char *end;
    int64_t number = strtoll(text, &end, 10);

    CHECK(result, !*end);
    return number;
}

bool record_null(const struct result *result, const char *path)
{
    const struct reader *value = reader_at(result->record, path);

    CHECK(result, value);
    return value->type == READER_NULL;
}

bool record_true(const struct result *result, const char *path)
{
    return record_at(result, path, READER_BOOL)->truth;
}

const char *record_hint(const struct result *result, const char *about)
{
    for (int i = 0; i < 16; i++) {
        const struct reader *one = reader_at(result->record, text_format("hints.%d.about", i));
        if (one && !strcmp(one->text, about))
            return reader_at(result->record, text_format("hints.%d.hint", i))->text;
    }
    return NULL;
}

bool record_limit_hit(const struct result *result, const char *name)
{
    return reader_holds(record_at(result, "limits_hit", READER_ARRAY), name);
}

void check_ended(const struct result *result, const char *outcome, int status, const char *file, int line)
{
    if (strcmp(record_text(result, "outcome"), outcome) || result->status != status)
        harness_complain(result, text_format("outcome %s, status %d", outcome, status), file, line);
}

void check_refused(const struct result *result, const char *stage, const char *named)
{
    CHECK(result, result->status == 125);
    CHECK(result, result->out_length == 0);
    CHECK(result, !strncmp(result->err, "bivy: ", 6));
    CHECK(result, !named || strstr(result->err, named));
    for (const char *line = result->err; *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : "")
        CHECK(result, !strncmp(line, "bivy: ", 6));
    if (!result->record)
        return;
    CHECK(result, !strcmp(record_text(result, "outcome"), "setup_failed"));
    CHECK(result, !stage || !strcmp(record_text(result, "error.stage"), stage));
    CHECK(result, !named || strstr(record_text(result, "error.message"), named) ||
                      (!record_null(result, "error.hint") && strstr(record_text(result, "error.hint"), named)));
}
