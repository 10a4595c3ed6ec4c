#include "hints_list.h"

#include <stdio.h>
#include <sys/wait.h>

#include "blind.h"
#include "culprit.h"
#include "ledger.h"
#include "units.h"

/* Without one of the caller's, /workspace is scratch as well. */
static const char *large_files(const struct hints_list *list)
{
    return list->plan->workspace ? "write large files to /workspace, which does not count"
                                 : "write large files to a workspace (--workspace DIR, inside /workspace), which does not count";
}

/* At its memory limit a command may live on for long while the kernel takes its program's pages and reads them again: nothing is killed as
 * long as a page can be taken (mm/memcontrol.c, try_charge_memcg). A hundred a second are far more than a start takes. */
static bool thrashed(const struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    uint64_t ns = outcome->ended_at > outcome->started ? outcome->ended_at - outcome->started : list->plan->timeout;

    return ledger_hit(LEDGER_MEMORY, list->plan, outcome) && outcome->readings.oom_kills == 0 && outcome->have_major_faults &&
           outcome->major_faults >= 500 && outcome->major_faults / 100 >= ns / 1000000000;
}

/* What the memory was when it was full. A look long before says nothing of that. */
static const struct usage *when_full(const struct hints_list *list)
{
    static const struct usage unknown;
    const struct usage *usage = &list->outcome->usage;

    return usage->total >= list->plan->memory / 4 * 3 ? usage : &unknown;
}

/* What to do about memory depends on what it was. */
static const char *mend_memory(const struct hints_list *list)
{
    const struct usage *usage = when_full(list);
    bool killed = list->outcome->readings.oom_kills > 0; /* the kernel had taken back what pages of files it could */

    if (!usage->moment)
        return "use less at a time";
    if (usage->kernel > usage->heap && usage->kernel > usage->scratch && (killed || usage->kernel > usage->cache))
        return "the kernel keeps it for files, pipes, sockets and processes, empty ones too: have fewer of them at once";
    if (usage->scratch >= usage->heap && (killed || usage->scratch >= usage->cache))
        return large_files(list);
    if (usage->scratch * 4 >= usage->total)
        return list->plan->workspace ? "write large files to /workspace, which does not count, work on the data in parts"
                                     : "write large files to a workspace (--workspace DIR), work on the data in parts";
    if (usage->cache > usage->heap && !killed)
        return "the kernel takes such pages back when it must, which costs time: if that matters, read less";
    return "work on the data in parts";
}

/* " (heap 1 MiB, ...)", or "" where it is not known. */
static const char *parts_of(const struct usage *usage, char text[200])
{
    char heap[UNITS_TIME_TEXT], scratch[UNITS_TIME_TEXT], cache[UNITS_TIME_TEXT], kernel[UNITS_TIME_TEXT];
    int length = 0;

    if (usage->moment)
        length = snprintf(text, 200, " (heap %s, /tmp and other scratch %s, page cache %s", units_show_size(usage->heap, heap),
                          units_show_size(usage->scratch, scratch), units_show_size(usage->cache, cache));
    if (usage->moment && usage->kernel >= usage->total / 8)
        length += snprintf(text + length, 200 - (size_t)length, ", the kernel's own %s", units_show_size(usage->kernel, kernel));
    snprintf(text + length, 200 - (size_t)length, "%s", usage->moment ? ")" : "");
    return text;
}

static const char *victim(const struct outcome *outcome, char text[100])
{
    char size[UNITS_TIME_TEXT], own[64] = "";

    if (!outcome->victim.name[0] && outcome->most.bytes) { /* the kernel kills the largest (oom_badness), but no log says so */
        snprintf(text, 100, "a process (the largest seen was %s, with %s)", outcome->most.name, units_show_size(outcome->most.bytes, size));
        return text;
    }
    if (outcome->victim.bytes)
        snprintf(own, sizeof own, ", itself %s large,", units_show_size(outcome->victim.bytes, size));
    snprintf(text, 100, "%s%s", outcome->victim.name[0] ? outcome->victim.name : "a process", own);
    return text;
}

static void on_memory(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    char limit[UNITS_TIME_TEXT], parts[200], who[100], blind[BLIND_TEXT];

    units_show_size(list->plan->memory, limit);
    parts_of(when_full(list), parts);
    if (outcome->readings.oom_kills > 0)
        hints_say(list, "memory", "%s was killed at the memory limit of %s%s: %s, or raise --memory%s", victim(outcome, who), limit, parts,
            mend_memory(list), blind_mend(outcome->victim.name, list->plan->env, list->plan->memory, blind));
    else if (thrashed(list))
        hints_say(list, "memory", "memory was full, at its limit of %s%s: nothing was killed for it, but %llu times a page of the programs had to be "
            "read again, which leaves little time for the work itself: %s, or raise --memory", limit, parts,
            (unsigned long long)outcome->major_faults, mend_memory(list));
    else
        hints_say(list, "memory", "memory reached its limit of %s%s, and nothing was killed for it: %s, or raise --memory", limit, parts,
            mend_memory(list));
}

/* Killed for want of memory, with the sandbox's own not used up. */
static void on_memory_above(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    const char *parent = list->plan->cgroup_parent;
    char peak[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], who[100];

    if (!ledger_memory_ran_out_above(list->plan, outcome))
        return;
    units_show_size(list->plan->memory, limit);
    hints_say(list, "memory", "%s was killed for want of memory, and not for the sandbox's own limit, of which it had used %s of %s: ",
        victim(outcome, who), outcome->readings.have_peak ? units_show_size(outcome->readings.memory_peak, peak) : "some", limit);
    if (outcome->victim.of == OOM_OF_HOST)
        hints_add(list, "the host ran out of memory: run fewer at once, or give the host more");
    else
        hints_add(list, "%s%.80s or a cgroup above it ran out: raise its limit (memory.max; MemoryMax= of a service), or run fewer at once",
            outcome->victim.of == OOM_UNKNOWN ? "the host, " : "", parent);
}

static void on_cpu(struct hints_list *list)
{
    const struct readings *readings = &list->outcome->readings;
    unsigned processors = list->outcome->readback.processors; /* the kernel adds up what each of them stood still */
    char held[UNITS_TIME_TEXT], each[40] = "";

    if (processors > 1)
        snprintf(each, sizeof each, " on each of %u", processors);
    hints_say(list, "cpu", "the limit of %g processors held the command back for %s%s, in %llu of %llu periods: %s", (double)list->plan->cpu / 1000,
        units_show_time(readings->throttled / (processors > 1 ? processors : 1), held), each, (unsigned long long)readings->throttled_periods,
        (unsigned long long)readings->periods,
        readings->throttled_periods * 4 >= readings->periods ? "give it more time (--timeout) or more processors (--cpus)"
                                                             : "no matter, unless it must be faster: --cpus");
}

static void on_pids(struct hints_list *list)
{
    char often[32];

    hints_say(list, "pids", "a new process or thread was refused %s, at the limit of %llu: start fewer at a time (make -j2, a smaller pool), or "
        "raise --pids", hints_times(list->outcome->readings.pids_denied, often), (unsigned long long)list->plan->pids);
}

static void on_pids_above(struct hints_list *list)
{
    const struct readings *readings = &list->outcome->readings;
    char often[32];

    if (ledger_pids_ran_out_above(list->plan, list->outcome))
        hints_say(list, "pids", "a new process or thread was refused %s, though the sandbox had %llu of its %llu at the most: %.80s or a cgroup above "
            "it is full: raise its limit (pids.max; TasksMax= of a service), or run fewer at once", hints_times(readings->pids_denied, often),
            (unsigned long long)readings->pids_peak, (unsigned long long)list->plan->pids, list->plan->cgroup_parent);
}

static void on_timeout(struct hints_list *list)
{
    const struct autopsy *autopsy = list->outcome->autopsy;
    const struct autopsy_process *process = culprit_find(autopsy);
    char limit[UNITS_TIME_TEXT], line[220], mend[180];

    units_show_time(list->plan->timeout, limit);
    if (list->outcome->kind == OUTCOME_STUCK) {
        hints_say(list, "timeout", "%s was still at work after %s and was killed", list->program, limit);
    } else if (process) {
        autopsy_line(process, false, line, sizeof line);
        culprit_mend(autopsy, process, mend, sizeof mend);
        hints_say(list, "timeout", "%s was still at work after %s and was ended. %s: %s", list->program, limit, line,
            thrashed(list) ? "it was short of memory: see there" : mend);
    } else {
        hints_say(list, "timeout", "%s was still at work after %s and was ended: if it only needs longer, raise --timeout", list->program, limit);
    }
}

static void on_scratch(struct hints_list *list)
{
    const struct ended *ended = &list->outcome->ended;
    char limit[UNITS_TIME_TEXT];

    if (ended->scratch_seen && ended->scratch_inodes >= list->plan->scratch_inodes)
        hints_say(list, "scratch", "/tmp and the rest of scratch had no inode left (%llu files): write fewer files there, or raise --scratch-inodes",
            (unsigned long long)list->plan->scratch_inodes);
    else
        hints_say(list, "scratch", "/tmp and the rest of scratch were full (%s), so that writing there gave \"no space left on device\": %s, or raise "
            "--scratch and --memory", units_show_size(list->plan->scratch, limit), large_files(list));
}

static void on_file_size(struct hints_list *list)
{
    char limit[UNITS_TIME_TEXT];

    hints_say(list, "file_size", "SIGXFSZ, the signal for a file that would grow beyond --file-size %s, ended %s: write smaller files, or raise it",
        units_show_size(list->plan->file_size, limit), WIFSIGNALED(list->outcome->wait_status) ? "the command" : "a program that it ran");
}

static void on_open_files(struct hints_list *list)
{
    hints_say(list, "open_files", "a process had all of its %llu descriptors open: close what is not needed, or raise --open-files",
        (unsigned long long)list->plan->open_files);
}

static void on_output(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    bool out = outcome->out.seen >= outcome->err.seen;
    const char *where = list->plan->workspace ? "write it to a file in /workspace" : "write it to a file in a workspace (--workspace DIR, inside /workspace)";
    char limit[UNITS_TIME_TEXT], seen[UNITS_TIME_TEXT];

    units_show_size(out ? outcome->out.seen : outcome->err.seen, seen);
    if (outcome->kind == OUTCOME_OUTPUT_LIMIT)
        hints_say(list, "output", "%s passed --output-limit %s, and the command was ended: %s, or print less", out ? "stdout" : "stderr",
            units_show_size(list->plan->output_limit, limit), where);
    else
        hints_say(list, "output", "%s was %s, of which %s are kept and the middle left out: %s, or raise --max-output", out ? "stdout" : "stderr",
            seen, units_show_size(list->plan->max_output, limit), where);
}

void hints_limits(struct hints_list *list)
{
    static const struct {
        enum ledger limit;
        void (*say)(struct hints_list *list);
    } limits[] = {
        {LEDGER_MEMORY, on_memory},       {LEDGER_TIMEOUT, on_timeout}, {LEDGER_OUTPUT, on_output},         {LEDGER_FILE_SIZE, on_file_size},
        {LEDGER_SCRATCH, on_scratch},     {LEDGER_PIDS, on_pids},       {LEDGER_OPEN_FILES, on_open_files}, {LEDGER_CPU, on_cpu},
    };

    on_memory_above(list);
    on_pids_above(list);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (ledger_hit(limits[i].limit, list->plan, list->outcome))
            limits[i].say(list);
}
