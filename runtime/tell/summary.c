#include "summary.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "autopsy.h"
#include "hints.h"
#include "ledger.h"
#include "units.h"

#define MOST_TOLD 8u /* processes; the record has more */

struct page {
    struct summary_line *lines;
    size_t count;
};

__attribute__((format(printf, 3, 4))) static void add(struct page *page, enum tone tone, const char *format, ...)
{
    va_list args;

    if (page->count == SUMMARY_MOST)
        return;
    page->lines[page->count].tone = tone;
    va_start(args, format);
    vsnprintf(page->lines[page->count].text, sizeof page->lines[0].text, format, args);
    va_end(args);
    page->count++;
}

static void headline(struct page *page, const struct plan *plan, const struct outcome *outcome, bool well)
{
    char wall[UNITS_TIME_TEXT], peak[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], how[64] = "", name[OUTCOME_SIGNAL_TEXT];

    if (outcome->kind == OUTCOME_SETUP_FAILED) {
        add(page, TONE_BAD, "setup_failed at %s", stage_name(outcome->fault.stage));
        return;
    }
    if (outcome->have_status && WIFEXITED(outcome->wait_status))
        snprintf(how, sizeof how, " %d", WEXITSTATUS(outcome->wait_status));
    else if (outcome->have_status && WIFSIGNALED(outcome->wait_status))
        snprintf(how, sizeof how, " (%s)", outcome_signal_name(WTERMSIG(outcome->wait_status), name));
    add(page, well ? TONE_GOOD : TONE_BAD, "%s%s, %s, peak memory %s of %s%s%s", outcome_name(outcome->kind), how,
        !outcome->ended_at ? "not ended"
                           : units_show_time(outcome->ended_at > outcome->ready_at ? outcome->ended_at - outcome->ready_at : 0, wall),
        outcome->readings.have_peak ? units_show_size(outcome->readings.memory_peak, peak) : "unknown",
        units_show_size(plan->memory, limit), outcome->victim.name[0] ? ", killed for memory: " : "", outcome->victim.name);
}

/* What was used of what there was. */
static void ledger_line(struct page *page, const struct plan *plan, const struct outcome *outcome)
{
    const struct readings *readings = &outcome->readings;
    char used[UNITS_TIME_TEXT], scratch[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], text[400];
    uint64_t bytes;
    size_t length = 0;

    text[0] = '\0';
    if (readings->have_cpu)
        length += (size_t)snprintf(text + length, sizeof text - length, "; processor %s",
                                   units_show_time(readings->cpu_user + readings->cpu_system, used));
    if (readings->throttled_periods)
        length += (size_t)snprintf(text + length, sizeof text - length, ", held back in %llu of %llu periods",
                                   (unsigned long long)readings->throttled_periods, (unsigned long long)readings->periods);
    if (readings->have_pids_peak)
        length += (size_t)snprintf(text + length, sizeof text - length, "; %llu of %llu processes",
                                   (unsigned long long)readings->pids_peak, (unsigned long long)plan->pids);
    if (ledger_scratch(outcome, &bytes))
        length += (size_t)snprintf(text + length, sizeof text - length, "; scratch %s of %s", units_show_size(bytes, scratch),
                                   units_show_size(plan->scratch, limit));
    if (length > 0)
        add(page, TONE_PLAIN, "  %s", text + 2);
}

size_t summary_make(const struct spec *spec, const struct plan *plan, const struct outcome *outcome,
                    struct summary_line lines[SUMMARY_MOST])
{
    struct page page = {.lines = lines};
    struct hint hints[HINTS_MOST];
    char kept[UNITS_TIME_TEXT];
    bool well = ledger_all_well(plan, outcome);

    if (!plan && outcome->kind != OUTCOME_SETUP_FAILED)
        return 0;
    headline(&page, plan, outcome, well);
    if (well || outcome->kind == OUTCOME_SETUP_FAILED)
        return page.count;
    ledger_line(&page, plan, outcome);
    for (size_t i = 0, count = hints_make(spec, plan, outcome, hints); i < count; i++)
        add(&page, TONE_HINT, "  %s: %s", hints[i].about, hints[i].text);
    for (unsigned i = 0; outcome->autopsy && i < outcome->autopsy->told && i < MOST_TOLD; i++) {
        char line[400];
        autopsy_line(&outcome->autopsy->process[i], true, line, sizeof line);
        add(&page, TONE_PLAIN, "  was doing: %s", line);
    }
    if (outcome->autopsy && outcome->autopsy->processes > MOST_TOLD)
        add(&page, TONE_PLAIN, "  and %u more", outcome->autopsy->processes - MOST_TOLD);
    if (outcome->kept && plan)
        add(&page, TONE_HINT, "  kept for %s: bivy enter %s", units_show_time(outcome->kept, kept), plan->id);
    if (outcome->residue[0])
        add(&page, TONE_BAD, "  left behind: %s", outcome->residue);
    return page.count;
}
