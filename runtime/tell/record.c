#include "record.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "hints.h"
#include "ledger.h"
#include "options.h"
#include "seccomp_filter.h"
#include "trouble.h"
#include "version.h"

#define COMMAND_WORDS 64
#define WORD_BYTES 256

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

static void open_stream(struct json *json, const char *name, uint64_t seen, uint64_t passed, bool truncated)
{
    json_open(json, name, '{');
    json_number(json, "seen_bytes", seen);
    json_number(json, "passed_bytes", passed);
    json_bool(json, "truncated", truncated);
}

/* The last words of a command that did not end well, or met a limit, so that the record explains itself where stderr is not at hand. */
static void write_tail(struct json *json, const struct plan *plan, const struct outcome *outcome)
{
    char tail[WORDS_MOST];
    size_t length = outcome->words && !ledger_all_well(plan, outcome) ? words_tail(outcome->words, tail) : 0;

    for (char *nul = tail; length > 0 && (nul = memchr(nul, '\0', (size_t)(tail + length - nul)));)
        *nul = '\xff'; /* no UTF-8: becomes U+FFFD. U+0000 is JSON, and breaks databases and C programs all the same */
    if (length > 0)
        json_bytes(json, "tail", tail, length);
    else
        json_null(json, "tail");
}

static void write_isolation(struct json *json, const struct plan *plan, const struct outcome *outcome)
{
    static const char *const sets[5] = {"inheritable", "permitted", "effective", "bounding", "ambient"};
    static const char *const modes[3] = {"none", "strict", "filter"};
    const struct readback *seen = &outcome->readback;
    char text[32];

    if (!outcome->ready || !plan) {
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
    json_string(json, "seccomp_policy", plan->explain ? seccomp_filter_explained_sha256 : seccomp_filter_sha256);
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

    if (!spec_binds(spec)) {
        json_null(json, "workspace");
        return;
    }
    json_open(json, "workspace", '{');
    json_string(json, "path", place ? place->path : spec->workspace ? spec->workspace : spec->workspace_root);
    json_string(json, "user_id", spec->user_id);
    json_string(json, "fstype", place && place->fstype[0] ? place->fstype : NULL);
    json_known(json, "owner_uid", place, place ? place->uid : 0);
    json_known(json, "owner_gid", place, place ? place->gid : 0);
    json_known_ms(json, "check_ms", place, place ? place->checked_ns : 0);
    json_string(json, "error", trouble_name(outcome->trouble));
    if (outcome->sync.asked) {
        json_open(json, "sync", '{');
        json_number(json, "files", outcome->sync.files);
        json_known_ms(json, "ms", true, outcome->sync.ns);
        json_string(json, "errno", errno_name(outcome->sync.error));
        json_close(json, '}');
    } else {
        json_null(json, "sync");
    }
    json_close(json, '}');
}

static void write_times(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;
    bool known = outcome->have_readings;

    json_open(json, "times", '{');
    write_time(json, "started", outcome->started_wall);
    json_known_ms(json, "setup_ms", outcome->ran, outcome->ready_at - outcome->started);
    json_known_ms(json, "wall_ms", outcome->ran && outcome->ended_at, outcome->ended_at - outcome->ready_at);
    json_known_ms(json, "cpu_user_ms", known && readings->have_cpu, readings->cpu_user);
    json_known_ms(json, "cpu_system_ms", known && readings->have_cpu, readings->cpu_system);
    json_known_ms(json, "throttled_ms", known && readings->have_throttled, readings->throttled);
    json_known_ms(json, "timeout_ms", true, spec->timeout);
    json_close(json, '}');
}

static void write_timing(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    struct timing_row rows[TIMING_COUNT];
    size_t count = timing_rows(&outcome->timing, rows);

    if (!spec->timing) {
        json_null(json, "timing");
        return;
    }
    json_open(json, "timing", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(json, NULL, '{');
        json_string(json, "stage", rows[i].name);
        json_string(json, "side", rows[i].side);
        json_thousandths(json, "start_us", rows[i].start);
        json_thousandths(json, "us", rows[i].ns);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_network(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    json_open(json, "network", '{');
    json_string(json, "mode", spec->network == NETWORK_LOOPBACK ? "loopback" : "none");
    json_known(json, "unreachable", outcome->have_unreachable, outcome->unreachable);
    json_close(json, '}');
}

static void write_kept(struct json *json, const struct outcome *outcome)
{
    if (!outcome->kept) {
        json_null(json, "kept");
        return;
    }
    json_open(json, "kept", '{');
    json_thousandths(json, "seconds", outcome->kept / 1000000);
    write_time(json, "until", outcome->kept_until);
    json_close(json, '}');
}

void record_write(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    bool exited = outcome->have_status && WIFEXITED(outcome->wait_status);
    bool signaled = outcome->have_status && WIFSIGNALED(outcome->wait_status);
    char text[OUTCOME_SIGNAL_TEXT];

    json_open(json, NULL, '{');
    json_number(json, "schema", 1);
    json_string(json, "bivy", BIVY_VERSION);
    json_string(json, "id", plan ? plan->id : NULL);
    json_string(json, "outcome", outcome_name(outcome->kind));
    json_known(json, "exit_code", exited, exited ? (uint64_t)WEXITSTATUS(outcome->wait_status) : 0);
    json_known(json, "signal", signaled, signaled ? (uint64_t)WTERMSIG(outcome->wait_status) : 0);
    json_string(json, "signal_name", signaled ? outcome_signal_name(WTERMSIG(outcome->wait_status), text) : NULL);
    json_number(json, "bivy_exit", (uint64_t)outcome_status(outcome));
    write_error(json, outcome);
    write_command(json, spec->argv);
    write_times(json, spec, outcome);
    ledger_write(json, spec, outcome, plan);
    open_stream(json, "stdout", outcome->out.seen, outcome->out.passed, outcome->out.truncated);
    json_close(json, '}');
    open_stream(json, "stderr", outcome->err.seen, outcome->err.passed, outcome->err.truncated);
    write_tail(json, plan, outcome);
    json_close(json, '}');
    ledger_write_hit(json, plan, outcome);
    hints_write(json, spec, plan, outcome);
    json_open(json, "unenforced", '[');
    for (int l = 0; l < LIMIT_COUNT; l++)
        if (outcome->have_readings && !ledger_enforced(outcome, (enum limit)l))
            json_string(json, NULL, limit_name((enum limit)l));
    json_close(json, ']');
    write_isolation(json, plan, outcome);
    write_workspace(json, spec, plan, outcome);
    write_timing(json, spec, outcome);
    autopsy_write(json, outcome->autopsy);
    write_network(json, spec, outcome);
    explain_write(json, outcome->explain);
    write_kept(json, outcome);
    json_open(json, "residue", '[');
    if (outcome->residue[0])
        json_string(json, NULL, outcome->residue);
    json_close(json, ']');
    json_close(json, '}');
    json_newline(json);
}
