#include "ledger.h"

#include <signal.h>
#include <sys/wait.h>

const char *ledger_name(enum ledger limit)
{
    static const char *const names[LEDGER_COUNT] = {"memory",  "cpu",       "pids",       "timeout",
                                                    "scratch", "file_size", "open_files", "output"};

    return names[limit];
}

bool ledger_enforced(const struct outcome *outcome, enum limit limit)
{
    return outcome->have_readings && outcome->enforced & 1u << limit;
}

/* The processor's limit holds nearly every command back now and then: that alone is nothing to tell. */
bool ledger_all_well(const struct plan *plan, const struct outcome *outcome)
{
    if (outcome_status(outcome) != 0 || outcome->trouble != TROUBLE_NONE || outcome->residue[0])
        return false;
    if (ledger_memory_ran_out_above(plan, outcome) || ledger_pids_ran_out_above(plan, outcome))
        return false;
    for (int limit = 0; limit < LEDGER_COUNT; limit++)
        if (limit != LEDGER_CPU && ledger_hit((enum ledger)limit, plan, outcome))
            return false;
    return true;
}

bool ledger_scratch(const struct outcome *outcome, uint64_t *bytes)
{
    if (outcome->have_status && outcome->ended.scratch_seen)
        *bytes = outcome->ended.scratch_bytes;
    else if (outcome->usage.moment)
        *bytes = outcome->usage.scratch;
    else
        return false;
    return true;
}

/* Before the kernel kills for a limit it has filled it but for a few pages. */
bool ledger_memory_ran_out_above(const struct plan *plan, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;

    if (!plan || !outcome->have_readings || readings->oom_kills == 0)
        return false;
    if (outcome->victim.of != OOM_UNKNOWN)
        return outcome->victim.of != OOM_OF_LEAF;
    return readings->have_peak && readings->memory_peak < plan->memory - plan->memory / 8;
}

/* A fork is refused at a limit that is full, and the peak tells of every process up to it (kernel/cgroup/pids.c, pids_try_charge). Before
 * Linux 6.11 the refusal is counted here, whoever's limit it was. */
bool ledger_pids_ran_out_above(const struct plan *plan, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;

    return plan && outcome->have_readings && readings->pids_denied > 0 && readings->have_pids_peak && readings->pids_peak < plan->pids;
}

/* Full at the end, or as good as full when the memory was looked at: a program that is refused a page often clears up before it ends. */
static bool scratch_full(const struct plan *plan, const struct outcome *outcome)
{
    return (outcome->have_status && outcome->ended.scratch_seen && outcome->ended.scratch_full) ||
           (outcome->scratch_most + 4096 >= plan->scratch && outcome->scratch_most <= plan->scratch + OUTCOME_SCRATCH_NEAR);
}

static bool output_hit(const struct plan *plan, const struct outcome *outcome)
{
    return outcome->kind == OUTCOME_OUTPUT_LIMIT ||
           (plan->max_output != SPEC_UNLIMITED &&
            (outcome->out.seen > plan->max_output || outcome->err.seen > plan->max_output));
}

/* By that signal itself, or as a shell tells that a program of its was (POSIX, Shell & Utilities, 2.8.2). */
static bool ended_by(int status, int signal)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) == signal : WIFEXITED(status) && WEXITSTATUS(status) == 128 + signal;
}

bool ledger_hit(enum ledger limit, const struct plan *plan, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;
    bool known = outcome->have_readings;

    switch (limit) {
    case LEDGER_MEMORY: /* at the limit the kernel takes pages back before it kills: the command was held up by it all the same */
        return known && ((readings->oom_kills > 0 && !ledger_memory_ran_out_above(plan, outcome)) ||
                         (plan && readings->have_peak && readings->memory_peak >= plan->memory));
    case LEDGER_CPU:
        return known && readings->throttled_periods > 0;
    case LEDGER_PIDS:
        return known && readings->pids_denied > 0 && !ledger_pids_ran_out_above(plan, outcome);
    case LEDGER_TIMEOUT:
        return outcome->kind == OUTCOME_TIMEOUT || (outcome->kind == OUTCOME_STUCK && outcome->timed_out);
    case LEDGER_SCRATCH:
        return plan && scratch_full(plan, outcome);
    case LEDGER_FILE_SIZE:
        return plan && plan->file_size != SPEC_UNLIMITED && outcome->have_status && ended_by(outcome->wait_status, SIGXFSZ);
    case LEDGER_OPEN_FILES:
        return plan && outcome->most.open_files >= plan->open_files;
    case LEDGER_OUTPUT:
        return plan && output_hit(plan, outcome);
    case LEDGER_COUNT:
        break;
    }
    return false;
}

static void write_memory(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    static const char *const moments[] = {[MOMENT_END] = "end", [MOMENT_SAMPLE] = "sample", [MOMENT_LIMIT] = "limit"};
    const struct readings *readings = &outcome->readings;
    const struct usage *usage = &outcome->usage;

    json_open(json, "memory", '{');
    json_known(json, "limit_bytes", ledger_enforced(outcome, LIMIT_MEMORY), spec->memory);
    json_known(json, "peak_bytes", outcome->have_readings && readings->have_peak, readings->memory_peak);
    json_known(json, "oom_kills", ledger_enforced(outcome, LIMIT_MEMORY), readings->oom_kills);
    json_string(json, "oom_victim", outcome->victim.name[0] ? outcome->victim.name : NULL);
    json_known(json, "oom_victim_bytes", outcome->victim.bytes > 0, outcome->victim.bytes);
    json_known(json, "major_faults", outcome->have_major_faults, outcome->major_faults);
    if (usage->moment) {
        json_open(json, "parts", '{');
        json_string(json, "moment", moments[usage->moment]);
        json_number(json, "heap_bytes", usage->heap);
        json_number(json, "scratch_bytes", usage->scratch);
        json_number(json, "page_cache_bytes", usage->cache);
        json_number(json, "kernel_bytes", usage->kernel);
        json_close(json, '}');
    } else {
        json_null(json, "parts");
    }
    json_close(json, '}');
}

static void write_cpu(struct json *json, const struct spec *spec, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;
    bool known = outcome->have_readings;

    json_open(json, "cpu", '{');
    json_known_thousandths(json, "limit", ledger_enforced(outcome, LIMIT_CPU), spec->cpu);
    json_known_ms(json, "used_ms", known && readings->have_cpu, readings->cpu_user + readings->cpu_system);
    json_known(json, "periods", known && readings->have_throttled, readings->periods);
    json_known(json, "throttled_periods", known && readings->have_throttled, readings->throttled_periods);
    json_known_thousandths(json, "throttled_share", known && readings->have_throttled,
                           readings->periods ? readings->throttled_periods * 1000 / readings->periods : 0);
    json_close(json, '}');
}

void ledger_write(struct json *json, const struct spec *spec, const struct outcome *outcome, const struct plan *plan)
{
    const struct readings *readings = &outcome->readings;
    const struct ended *ended = &outcome->ended;
    bool known = outcome->have_readings, seen = outcome->have_status && ended->scratch_seen;
    uint64_t scratch = 0;
    bool have_scratch = ledger_scratch(outcome, &scratch);

    write_memory(json, spec, outcome);
    write_cpu(json, spec, outcome);

    json_open(json, "pids", '{');
    json_known(json, "limit", ledger_enforced(outcome, LIMIT_PIDS), spec->pids);
    json_known(json, "peak", known && readings->have_pids_peak, readings->pids_peak);
    json_known(json, "denied", known && readings->have_pids, readings->pids_denied);
    json_close(json, '}');

    json_open(json, "scratch", '{');
    json_known(json, "limit_bytes", plan, spec->scratch);
    json_known(json, "used_bytes", have_scratch, scratch);
    json_known(json, "limit_inodes", plan, spec->scratch_inodes);
    json_known(json, "used_inodes", seen, ended->scratch_inodes);
    if (have_scratch && plan)
        json_bool(json, "full", ledger_hit(LEDGER_SCRATCH, plan, outcome));
    else
        json_null(json, "full");
    json_close(json, '}');

    json_open(json, "open_files", '{');
    json_number(json, "limit", spec->open_files);
    json_known(json, "peak", outcome->most.open_files > 0, outcome->most.open_files);
    json_close(json, '}');

    json_open(json, "file_size", '{');
    json_known(json, "limit_bytes", spec->file_size != SPEC_UNLIMITED, spec->file_size);
    json_close(json, '}');
}

void ledger_write_hit(struct json *json, const struct plan *plan, const struct outcome *outcome)
{
    json_open(json, "limits_hit", '[');
    for (int limit = 0; limit < LEDGER_COUNT; limit++)
        if (ledger_hit((enum ledger)limit, plan, outcome))
            json_string(json, NULL, ledger_name((enum ledger)limit));
    json_close(json, ']');
}
