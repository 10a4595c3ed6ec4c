#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "json.h"
#include "leaves.h"
#include "privileges.h"
#include "sys.h"
#include "version.h"

#define SECOND ((uint64_t)1000000000)
#define NEED_WITHIN (3 * SECOND) /* most take a millisecond */
#define SPARE SECOND            /* behind --workspace-timeout, for its own words */
#define SANDBOX_WITHIN (12 * SECOND) /* its own timeout, and what killing may take */

enum { USER, MNT, PID, NET, IPC, UTS, CGROUP }; /* rows of policy_namespaces */

/* In the order in which a run needs them. after: what must be there for this one to be tried at all; an earlier row. */
static const struct need {
    const char *name;
    const char *what;
    trial_work *work;
    const char *after;
    int number; /* struct trial's */
} needs[] = {
    /* clang-format off */
    {"proc",              "procfs",                          trial_proc,            NULL, 0},
    {"pidfd",             "clone3, pidfds",                  trial_pidfd,           NULL, 0},
    {"close-range",       "close_range",                     trial_close_range,     NULL, 0},
    {"openat2",           "openat2",                         trial_openat2,         "proc", 0},
    {"user-namespace",    "user namespaces",                 trial_user,            "proc", USER},
    {"namespace-limits",  "user.max_*_namespaces",           trial_limits,          "proc", 0},
    {"ids",               "free ids to map",                 trial_ids,             "user-namespace", 0},
    {"capabilities",      "capabilities inside",             trial_capabilities,    "ids", 0},
    {"mnt-namespace",     "mount namespaces",                trial_namespace,       "ids", MNT},
    {"pid-namespace",     "pid namespaces",                  trial_namespace,       "ids", PID},
    {"net-namespace",     "network namespaces",              trial_namespace,       "ids", NET},
    {"ipc-namespace",     "IPC namespaces",                  trial_namespace,       "ids", IPC},
    {"uts-namespace",     "UTS namespaces",                  trial_namespace,       "ids", UTS},
    {"cgroup-namespace",  "cgroup namespaces",               trial_namespace,       "ids", CGROUP},
    {"mount-calls",       "the new mount API",               trial_mount_calls,     "mnt-namespace", 0},
    {"tmpfs",             "tmpfs for scratch",               trial_tmpfs,           "mnt-namespace", 0},
    {"procfs",            "a procfs of its own",             trial_procfs,          "mnt-namespace", 0},
    {"devpts",            "a devpts of its own",             trial_devpts,          "mnt-namespace", 0},
    {"devices",           "device nodes",                    trial_devices,         NULL, 0},
    {"netlink",           "netlink, lo alone",               trial_netlink,         "net-namespace", 0},
    {"resource-limits",   "resource limits",                 trial_rlimits,         "ids", 0},
    {"keyring",           "a session keyring",               trial_keyring,         NULL, 0},
    {"no-new-privs",      "no_new_privs",                    trial_no_new_privs,    NULL, 0},
    {"seccomp",           "seccomp filters",                 trial_seccomp,         "no-new-privs", 0},
    {"explain",           "a filter that asks (--explain)",  trial_explain,         "seccomp", 0},
    {"cgroup2",           "cgroup v2",                       trial_cgroup2,         "proc", 0},
    {"cgroup-parent",     "a cgroup to make leaves in",      trial_parent,          "cgroup2", 0},
    {"memory-limit",      "memory limit",                    trial_limit,           "cgroup-parent", LIMIT_MEMORY},
    {"swap-limit",        "no swap",                         trial_limit,           "cgroup-parent", LIMIT_SWAP},
    {"cpu-limit",         "processor limit",                 trial_limit,           "cgroup-parent", LIMIT_CPU},
    {"pids-limit",        "process limit",                   trial_limit,           "cgroup-parent", LIMIT_PIDS},
    {"cgroup-enter",      "clone into a cgroup",             trial_enter,           "cgroup-parent", 0},
    {"cgroup-kill",       "cgroup.kill",                     trial_kill,            "cgroup-enter", 0},
    {"cgroup-readings",   "what a leaf tells",               trial_readings,        "cgroup-parent", 0},
    {"kernel-log",        "the kernel's log",                trial_kernel_log,      NULL, 0},
    {"rootfs",            "the rootfs",                      trial_rootfs,          "openat2", 0},
    {"rootfs-safe",       "the rootfs is safe from others",  trial_rootfs_safe,     "rootfs", 0},
    {"clock",             "the clock",                       trial_clock,           NULL, 0},
    {"workspace",         "the workspace",                   trial_workspace,       "openat2", 0},
    {"workspace-mount",   "its mount and FUSE options",      trial_workspace_mount, "workspace", 0},
    {"sandbox",           "a whole run of /bin/true",        trial_sandbox,         "rootfs", 0},
    /* clang-format on */
};
#define NEED_COUNT (sizeof needs / sizeof needs[0])

static const char *const states[] = {"ok", "degraded", "missing"};

#define MEND_TEXT 2560
struct result {
    enum trial_state state;
    bool tried;
    const char *because; /* the need whose lack makes this one missing; NULL: nothing else's */
    char seen[sizeof((struct answer *)0)->seen];
    char mend[MEND_TEXT];
};

static uint64_t within(const struct need *need, const struct spec *spec)
{
    return need->work == trial_sandbox                                           ? SANDBOX_WITHIN
           : need->work == trial_workspace || need->work == trial_workspace_mount ? spec->workspace_timeout + SPARE
                                                                                  : NEED_WITHIN;
}

/* The need at the bottom of it. */
static void blame(const struct result *cause, const struct need *need, struct result *result)
{
    result->because = cause->because ? cause->because : need->name;
    memcpy(result->mend, cause->mend, sizeof result->mend);
}

/* What cannot be tried is missing as well, and what mends the other mends it. */
static bool untried(const struct need *need, struct result *results, struct result *result)
{
    for (size_t i = 0; need->after && i < NEED_COUNT && &needs[i] != need; i++)
        if (!strcmp(needs[i].name, need->after) && results[i].state == TRIAL_MISSING) {
            result->state = TRIAL_MISSING;
            snprintf(result->seen, sizeof result->seen, "not tried: it needs %s", need->after);
            blame(&results[i], &needs[i], result);
            return true;
        }
    return false;
}

/* Where something is missing the whole run fails because of it, and its own words say less. */
static void mend_first(const struct result *results, size_t count, struct result *result)
{
    for (size_t i = 0; i < count; i++)
        if (results[i].state == TRIAL_MISSING) {
            blame(&results[i], &needs[i], result);
            return;
        }
}

static int try_all(struct trial *trial, struct result *results, struct fault *fault)
{
    for (size_t i = 0; i < NEED_COUNT; i++) {
        const struct need *need = &needs[i];
        struct result *result = &results[i];
        int error;

        if (untried(need, results, result))
            continue;
        trial->number = need->number;
        error = trial_run(trial, need->work, sys_now() + within(need, trial->spec));
        if (error < 0)
            return fault_set(fault, STAGE_PLAN, -error, "raise the caller's limits of processes and open files", "no process to try %s in",
                             need->name);
        if (trial_stopped(trial))
            return fault_set(fault, STAGE_PLAN, EINTR, NULL, "bivy was told to stop");
        result->tried = true;
        result->state = trial->answer->state;
        trial->rootfs = trial->rootfs || (need->work == trial_rootfs && result->state != TRIAL_MISSING);
        memcpy(result->seen, trial->answer->seen, sizeof result->seen);
        result->seen[sizeof result->seen - 1] = '\0';
        trial->answer->argument[sizeof trial->answer->argument - 1] = '\0';
        mends_text(trial->answer->mend, trial->setting, trial->answer->argument, result->mend, sizeof result->mend);
        if (result->state != TRIAL_OK && !result->mend[0])
            mends_text(trial->setting->where & AT_FILTERED ? MEND_FILTER : MEND_LOOK, trial->setting, NULL, result->mend,
                       sizeof result->mend);
        if (need->work == trial_sandbox && result->state == TRIAL_MISSING)
            mend_first(results, i, result);
    }
    return 0;
}

static enum trial_state verdict(const struct result *results)
{
    enum trial_state worst = TRIAL_OK;

    for (size_t i = 0; i < NEED_COUNT; i++)
        if (results[i].state > worst)
            worst = results[i].state;
    return worst;
}

/* ---- as a text ---- */

struct text {
    char *bytes;
    size_t length, room;
    bool failed;
};

/* Names come from the caller and the host: no byte of theirs may move a terminal. */
static void put(struct text *text, const char *bytes)
{
    while (*bytes && !text->failed) {
        unsigned char byte = (unsigned char)*bytes;
        size_t span = json_utf8(bytes, strlen(bytes));
        bool control = span == 0 || json_acts(bytes, span);
        if (text->room - text->length < 16) {
            char *more = realloc(text->bytes, text->room + 16384);
            if (!more) {
                text->failed = true;
                return;
            }
            text->bytes = more;
            text->room += 16384;
        }
        if (control) {
            text->length += (size_t)sprintf(text->bytes + text->length, "\\x%02x", byte);
            span = 1;
        } else {
            memcpy(text->bytes + text->length, bytes, span);
            text->length += span;
        }
        text->bytes[text->length] = '\0';
        bytes += span;
    }
}

static void end_line(struct text *text)
{
    put(text, " "); /* makes room, and is taken back */
    if (!text->failed)
        text->bytes[text->length - 1] = '\n';
}

static void put_field(struct text *text, const char *bytes, int width)
{
    char field[64];

    snprintf(field, sizeof field, "%-*.60s", width, bytes);
    put(text, field);
}

/* A need, what was seen of it and what mends it. What only follows from another is counted there: twenty consequences would hide one cause. */
static void put_need(struct text *text, size_t number, const struct result *results)
{
    const struct result *result = &results[number];
    unsigned follow = 0;
    char line[80];

    if (!result->tried)
        return;
    put_field(text, states[result->state], 10);
    put_field(text, needs[number].what, 32);
    put(text, result->seen);
    end_line(text);
    if (result->state == TRIAL_OK || result->because)
        return;
    put(text, "            mend: ");
    put(text, result->mend);
    end_line(text);
    for (size_t i = 0; i < NEED_COUNT; i++)
        follow += !results[i].tried && !strcmp(results[i].because, needs[number].name);
    if (follow == 0)
        return;
    snprintf(line, sizeof line, "            not tried without it: %u of the needs", follow);
    put(text, line);
    end_line(text);
}

/* What to do first, and what then: last, where it is read first. One command may mend several. */
static void put_work(struct text *text, const struct result *results)
{
    unsigned number = 0;
    char line[32];

    for (size_t i = 0; i < NEED_COUNT; i++) {
        bool said = results[i].state != TRIAL_MISSING || results[i].because;
        for (size_t earlier = 0; earlier < i; earlier++)
            said = said || (results[earlier].state == TRIAL_MISSING && !strcmp(results[earlier].mend, results[i].mend));
        if (said)
            continue;
        if (number == 0) {
            put(text, "what mends it, in this order, then check again:");
            end_line(text);
        }
        snprintf(line, sizeof line, "%3u. ", ++number);
        put(text, line);
        put(text, results[i].mend);
        end_line(text);
    }
}

static void put_verdict(struct text *text, const struct setting *setting, const struct result *results)
{
    unsigned counts[3] = {0}, not_tried = 0;
    char line[80];

    for (size_t i = 0; i < NEED_COUNT; i++) {
        counts[results[i].state] += results[i].tried;
        not_tried += !results[i].tried;
    }
    snprintf(line, sizeof line, "%u ok, %u degraded, %u missing", counts[TRIAL_OK], counts[TRIAL_DEGRADED], counts[TRIAL_MISSING]);
    put(text, line);
    snprintf(line, sizeof line, ", %u not tried", not_tried);
    put(text, not_tried ? line : "");
    put(text, counts[TRIAL_MISSING]    ? ": bivy does not run here as it should ("
              : counts[TRIAL_DEGRADED] ? ": bivy runs here, with less ("
                                       : ": bivy runs here (");
    put(text, setting->distribution[0] ? setting->distribution : "an unknown distribution");
    put(text, ", Linux ");
    put(text, setting->kernel);
    put(text, setting->where & AT_WSL ? ", in WSL" : "");
    if (setting->container) {
        put(text, ", in a container of ");
        put(text, setting->container);
    }
    put(text, setting->where & AT_ROOT ? ", as root"
              : setting->uid == 0      ? ", as root without root's capabilities"
                                       : ", as an ordinary user");
    put(text, ")");
    end_line(text);
}

static char *for_people(const struct setting *setting, const struct result *results)
{
    struct text text = {0};

    for (size_t i = 0; i < NEED_COUNT; i++)
        put_need(&text, i, results);
    put_verdict(&text, setting, results);
    put_work(&text, results);
    if (text.failed) {
        free(text.bytes);
        return NULL;
    }
    return text.bytes;
}

static char *for_programs(const struct setting *setting, const struct result *results)
{
    struct json json = {0};

    json_open(&json, NULL, '{');
    json_string(&json, "bivy", BIVY_VERSION);
    json_open(&json, "host", '{');
    json_string(&json, "kernel", setting->kernel);
    json_string(&json, "distribution", setting->distribution[0] ? setting->distribution : NULL);
    json_string(&json, "container", setting->container);
    json_bool(&json, "privileged", setting->where & AT_ROOT);
    json_close(&json, '}');
    json_open(&json, "needs", '[');
    for (size_t i = 0; i < NEED_COUNT; i++) {
        json_open(&json, NULL, '{');
        json_string(&json, "name", needs[i].name);
        json_string(&json, "state", states[results[i].state]);
        json_string(&json, "seen", results[i].seen);
        json_string(&json, "mend", results[i].state == TRIAL_OK ? NULL : results[i].mend);
        json_string(&json, "because", results[i].because);
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_string(&json, "verdict", states[verdict(results)]);
    json_close(&json, '}');
    json_newline(&json);
    if (json.failed) {
        json_release(&json);
        return NULL;
    }
    return json.text;
}

int check_run(const struct spec *spec, trial_whole_run *run, char **text, struct fault *fault)
{
    struct result *results = calloc(NEED_COUNT, sizeof *results);
    struct setting setting;
    struct trial trial = {.spec = spec, .setting = &setting, .run = run};
    int result;

    if (!results)
        return fault_set(fault, STAGE_PLAN, ENOMEM, NULL, "out of memory");

    trial.answer = mmap(NULL, sizeof *trial.answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (trial.answer == MAP_FAILED) {
        free(results);
        return fault_set(fault, STAGE_PLAN, errno, NULL, "no shared page for the answers");
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* what a trial leaves is reaped by trial_run */
    trial.stop = trial_hold_signals();
    setting_read(facts_privileged(), &setting);
    if ((result = privileges_prepare(fault)) == 0 && (result = try_all(&trial, results, fault)) == 0) {
        *text = (spec->json ? for_programs : for_people)(&setting, results);
        result = !*text ? fault_set(fault, STAGE_PLAN, ENOMEM, NULL, "out of memory") : verdict(results) == TRIAL_MISSING;
    }
    free(results);
    sys_close(&trial.stop);
    trial_take_signals();
    return result;
}
