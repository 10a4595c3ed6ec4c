#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "readings.h"
#include "report.h"
#include "sys.h"
#include "timing.h"
#include "units.h"

#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)
#define FIRST_LINE (2 * SECOND) /* a command that takes no longer gets none */
#define FIRST_WORD SECOND       /* a set-up takes a few ms: one that takes this long is worth a word */
#define PATIENCE (200 * MS)     /* with a reader of stderr that is slow: the sandbox waits meanwhile */
#define ERASE "\r\x1b[K"

/* What was done when a stage is over. NULL: told otherwise, or not part of the set-up. */
static const char *const done[TIMING_COUNT] = {
    /* clang-format off */
    [STAGE_REPORT]       = "options read",
    [STAGE_ROOTFS]       = "rootfs found and checked",
    [STAGE_WORKSPACE]    = "workspace opened and checked",
    [STAGE_PLAN]         = "this host looked at, the run planned",
    [STAGE_CGROUP]       = "cgroup leaf made",
    [STAGE_STREAMS]      = "pipes for the command's streams made",
    [STAGE_CLONE]        = "sandbox's first process made, in its own namespaces and in the leaf",
    [STAGE_IDMAP]        = "user and group mapped",
    [TIMING_LIMITS]      = "limits written and read back",
    [STAGE_INHERITED]    = "inside: what the caller left open or set is gone",
    [STAGE_CGROUP_ENTER] = "inside: in the leaf of every hierarchy, cgroup namespace made",
    [STAGE_KEYRING]      = "inside: an empty keyring",
    [STAGE_IDS]          = "inside: user and group taken",
    [STAGE_SCRATCH]      = "inside: scratch made",
    [STAGE_ROOT]         = "inside: root file system attached",
    [STAGE_PROC]         = "inside: /proc mounted",
    [STAGE_MOUNTS]       = "inside: devices, scratch, workspace and masks mounted",
    [STAGE_PIVOT]        = "inside: root changed, the host's tree is out of reach",
    [STAGE_NETWORK]      = "inside: network looked at",
    [STAGE_HOST_NAME]    = "inside: host name set",
    [STAGE_RLIMITS]      = "inside: resource limits set",
    [STAGE_AFFINITY]     = "inside: processors chosen",
    [STAGE_CAPABILITIES] = "inside: all capabilities dropped",
    [STAGE_NO_NEW_PRIVS] = "inside: no_new_privs set",
    [STAGE_SECCOMP]      = "inside: system call filter loaded",
    [STAGE_INIT]         = "inside: the limits are in force, the command's process forked",
    [STAGE_DESCRIPTORS]  = "inside: descriptors set",
    /* clang-format on */
};

/* A line of ours, with when that was since the run began. */
static void tell(const struct watch *watch, uint64_t at, const char *text, uint64_t by)
{
    char line[900];

    snprintf(line, sizeof line, "%9.2f ms  %s", at > watch->outcome->started ? (double)(at - watch->outcome->started) / 1e6 : 0.0, text);
    report_line(line, by);
}

/* The object of a stage, where naming it says more. */
static const char *object(const struct watch *watch, int stage)
{
    switch (stage) {
    case STAGE_REPORT: /* where the record will go */
        return watch->spec->report;
    case STAGE_ROOTFS:
        return watch->plan->rootfs ? watch->plan->rootfs->path : NULL;
    case STAGE_WORKSPACE:
        return watch->plan->workspace ? watch->plan->workspace->path : NULL;
    case STAGE_CGROUP:
        return watch->cgroup->path;
    default:
        return NULL;
    }
}

/* When each stage began, on both sides, as far as that is known now. */
static void look(const struct watch *watch, struct timing *timing)
{
    *timing = watch->outcome->timing;
    for (int stage = STAGE_INHERITED; watch->progress && stage <= STAGE_EXEC; stage++)
        timing->began[stage] = watch->progress->entered[stage];
}

/* The stages that are over and were not told yet, in the order in which they ended. */
static void tell_stages(struct watch *watch, uint64_t by)
{
    struct timing timing;
    struct timing_row rows[TIMING_COUNT];
    size_t count;

    look(watch, &timing);
    count = timing_rows(&timing, rows);
    for (;;) {
        const struct timing_row *next = NULL;
        char text[600];
        for (size_t i = 0; i < count; i++)
            if (done[rows[i].stage] && !(watch->told & (uint64_t)1 << rows[i].stage) &&
                (!next || rows[i].start + rows[i].ns < next->start + next->ns))
                next = &rows[i];
        if (!next)
            return;
        watch->told |= (uint64_t)1 << next->stage;
        const char *which = object(watch, next->stage);
        snprintf(text, sizeof text, "%s%s%.500s", done[next->stage], which ? ": " : "", which ? which : "");
        tell(watch, timing.began[next->stage] + next->ns, text, by);
    }
}

static uint64_t soon(const struct watch *watch)
{
    uint64_t by = sys_now() + PATIENCE, late = watch->outcome->started + watch->plan->timeout;

    return by < late ? by : late;
}

static void on_ready(void *data)
{
    struct watch *watch = data;
    const struct readback *back = &watch->outcome->readback;
    uint64_t by = soon(watch), capabilities = 0;
    char text[700];

    tell_stages(watch, by);
    for (size_t i = 0; i < sizeof back->caps / sizeof back->caps[0]; i++)
        capabilities |= back->caps[i];
    snprintf(text, sizeof text,
             "the gate passed: uid %u, %s, no_new_privs %u, seccomp mode %u, %u mounts, %u descriptors, %u processor%s; %.300s starts",
             back->uid, capabilities ? "capabilities" : "no capability", back->no_new_privs, back->seccomp, back->mounts, back->descriptors,
             back->processors, back->processors == 1 ? "" : "s", watch->plan->argv ? watch->plan->argv[0] : "the command");
    tell(watch, watch->outcome->ready_at, text, by);
}

/* A set-up that takes long: how far it came, and a word that it is still there, after 1, 2, 4, 8... seconds. */
static void on_silence(struct watch *watch, uint64_t now)
{
    char text[128];
    uint64_t by = soon(watch);

    if (now < watch->outcome->started + watch->word_after)
        return;
    while (now >= watch->outcome->started + watch->word_after)
        watch->word_after *= 2;
    tell_stages(watch, by);
    snprintf(text, sizeof text, "still in stage %s", stage_name((int)watch->progress->stage));
    tell(watch, now, text, by);
}

/* A terminal that can be drawn on without ever blocking, or none. */
static void find_terminal(struct watch *watch)
{
    const char *kind = getenv("TERM");
    bool ours;

    watch->looked = true;
    if (watch->spec->quiet || watch->spec->tty || !isatty(STDERR_FILENO) || !kind || !strcmp(kind, "dumb"))
        return;
    if (watch->spec->interactive && isatty(STDIN_FILENO))
        return; /* what is typed is echoed there too: the line would wipe it away */
    watch->terminal = stream_open_out(STDERR_FILENO, &ours);
    if (!ours)
        sys_close(&watch->terminal);
}

static void erase(struct watch *watch)
{
    if (watch->drawn && report_in_front(watch->terminal) && SYS_AGAIN(write(watch->terminal, ERASE, strlen(ERASE))) > 0)
        watch->drawn = false;
}

static void draw(struct watch *watch, uint64_t now)
{
    struct winsize size;
    char line[200], used[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT];
    unsigned columns = 80;
    uint64_t bytes;
    int length, most;

    /* What stands there is the command's, and not yet a whole line: a prompt, say. */
    if (watch->streams->last != '\n' || !report_in_front(watch->terminal))
        return;
    if (ioctl(watch->terminal, TIOCGWINSZ, &size) == 0 && size.ws_col)
        columns = size.ws_col;
    length = snprintf(line, sizeof line, "\rbivy: %llu s of %llu s", (unsigned long long)((now - watch->outcome->started) / SECOND),
                      (unsigned long long)((watch->plan->timeout + SECOND - 1) / SECOND));
    if ((bytes = readings_memory(watch->cgroup)) > 0)
        length += snprintf(line + length, sizeof line - (size_t)length, ", memory %s of %s", units_show_size(bytes, used),
                           units_show_size(watch->plan->memory, limit));
    most = columns < 100 ? (int)columns : 100; /* one less than the columns, and the \r: what wraps cannot be taken away again */
    if (length > most)
        length = most;
    length += snprintf(line + length, sizeof line - (size_t)length, "\x1b[K");
    if (SYS_AGAIN(write(watch->terminal, line, (size_t)length)) > 0) /* EAGAIN: Ctrl-S; the next second, perhaps */
        watch->drawn = true;
}

static uint64_t on_tick(void *data, uint64_t now)
{
    struct watch *watch = data;

    if (!watch->outcome->ran) {
        if (watch->spec->verbose)
            on_silence(watch, now);
        return now + SECOND;
    }
    if (now < watch->outcome->started + FIRST_LINE)
        return watch->outcome->started + FIRST_LINE;
    if (!watch->looked)
        find_terminal(watch);
    if (watch->terminal < 0)
        return UINT64_MAX;
    draw(watch, now);
    return now + SECOND;
}

static void on_output(void *data)
{
    erase(data);
}

void watch_begin(struct watch *watch)
{
    watch->on = true;
    watch->terminal = -1;
    watch->word_after = FIRST_WORD;
    watch->watcher = (struct watcher){
        .data = watch,
        .ready = watch->spec->verbose ? on_ready : NULL,
        .tick = on_tick,
        .first_tick = watch->outcome->started + (watch->spec->verbose ? FIRST_WORD : FIRST_LINE),
        .output = on_output,
    };
}

void watch_end(struct watch *watch, uint64_t by)
{
    uint64_t now = sys_now();

    if (!watch->on)
        return;
    watch->on = false;
    if (by > now + PATIENCE)
        by = now + PATIENCE;
    erase(watch);
    while (watch->drawn && report_in_front(watch->terminal) && now < by) { /* a stopped terminal, or a slow one */
        struct pollfd room = {.fd = watch->terminal, .events = POLLOUT};
        poll(&room, 1, (int)((by - now) / MS + 1));
        erase(watch);
        now = sys_now();
    }
    if (watch->terminal >= 0)
        sys_close(&watch->terminal);
    if (watch->spec->verbose && !watch->outcome->ready) {
        char text[128];
        tell_stages(watch, by);
        snprintf(text, sizeof text, "stopped in stage %s", stage_name(watch->outcome->fault.stage));
        if (!watch->outcome->ran)
            tell(watch, now, text, by);
    }
}
