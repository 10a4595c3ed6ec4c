#include "hints.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "culprit.h"
#include "ledger.h"
#include "trouble.h"
#include "units.h"

struct list {
    const struct spec *spec;
    const struct plan *plan;
    const struct outcome *outcome;
    struct hint *hints;
    size_t count;
};

__attribute__((format(printf, 3, 4))) static void say(struct list *list, const char *about, const char *format, ...)
{
    va_list args;

    if (list->count == HINTS_MOST)
        return;
    list->hints[list->count].about = about;
    va_start(args, format);
    vsnprintf(list->hints[list->count].text, sizeof list->hints[0].text, format, args);
    va_end(args);
    list->count++;
}

/* What the command is called, without its directories. */
static const char *program(const struct list *list)
{
    const char *name = list->spec->argv && list->spec->argv[0] ? list->spec->argv[0] : "the command", *slash = strrchr(name, '/');

    return slash && slash[1] ? slash + 1 : name;
}

/* At its memory limit a command may live on for long while the kernel takes its program's pages and reads them again: nothing is killed as
 * long as a page can be taken (mm/memcontrol.c, try_charge_memcg). A hundred a second are far more than a start takes. */
static bool thrashed(const struct list *list)
{
    const struct outcome *outcome = list->outcome;
    uint64_t ns = outcome->ended_at > outcome->started ? outcome->ended_at - outcome->started : list->plan->timeout;

    return ledger_hit(LEDGER_MEMORY, list->plan, outcome) && outcome->readings.oom_kills == 0 && outcome->have_major_faults &&
           outcome->major_faults >= 500 && outcome->major_faults / 100 >= ns / 1000000000;
}

/* What to do about memory depends on what it was. */
static const char *mend_memory(const struct usage *usage)
{
    if (!usage->moment)
        return "use less at a time, or raise --memory";
    if (usage->scratch >= usage->heap && usage->scratch >= usage->cache)
        return "write large files to /workspace, which does not count, or raise --memory";
    if (usage->scratch * 4 >= usage->total)
        return "write large files to /workspace, which does not count, work on the data in parts, or raise --memory";
    if (usage->cache > usage->heap)
        return "the kernel takes such pages back when it must, which costs time: raise --memory if it must be faster";
    return "work on the data in parts, or raise --memory";
}

static void on_memory(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    const struct usage *usage = &outcome->usage;
    char limit[UNITS_TIME_TEXT], heap[UNITS_TIME_TEXT], scratch[UNITS_TIME_TEXT], cache[UNITS_TIME_TEXT], own[UNITS_TIME_TEXT];
    char parts[160] = "", size[64] = "";

    units_show_size(list->plan->memory, limit);
    if (usage->moment)
        snprintf(parts, sizeof parts, " (heap %s, /tmp and other scratch %s, page cache %s)", units_show_size(usage->heap, heap),
                 units_show_size(usage->scratch, scratch), units_show_size(usage->cache, cache));
    if (outcome->victim.bytes)
        snprintf(size, sizeof size, ", itself %s large,", units_show_size(outcome->victim.bytes, own));
    if (outcome->readings.oom_kills > 0)
        say(list, "memory", "%s%s was killed at the memory limit of %s%s: %s",
            outcome->victim.name[0] ? outcome->victim.name : "a process", size, limit, parts, mend_memory(usage));
    else if (thrashed(list))
        say(list, "memory", "memory was full, at its limit of %s%s: nothing was killed for it, but %llu times a page of the programs had to be "
            "read again, which leaves little time for the work itself: %s", limit, parts, (unsigned long long)outcome->major_faults,
            mend_memory(usage));
    else
        say(list, "memory", "memory reached its limit of %s%s, and nothing was killed for it: %s", limit, parts, mend_memory(usage));
}

static void on_cpu(struct list *list)
{
    const struct readings *readings = &list->outcome->readings;
    char held[UNITS_TIME_TEXT];

    say(list, "cpu", "the limit of %g processors held the command back for %s, in %llu of %llu periods: %s", (double)list->plan->cpu / 1000,
        units_show_time(readings->throttled, held), (unsigned long long)readings->throttled_periods,
        (unsigned long long)readings->periods,
        readings->throttled_periods * 4 >= readings->periods ? "give it more time (--timeout) or more processors (--cpus)"
                                                             : "no matter, unless it must be faster: --cpus");
}

static const char *times(uint64_t count, char text[32])
{
    if (count == 1)
        return "once";
    snprintf(text, 32, "%llu times", (unsigned long long)count);
    return text;
}

static void on_pids(struct list *list)
{
    char often[32];

    say(list, "pids", "a new process or thread was refused %s, at the limit of %llu: start fewer at a time (make -j2, a smaller pool), or "
        "raise --pids", times(list->outcome->readings.pids_denied, often), (unsigned long long)list->plan->pids);
}

static void on_timeout(struct list *list)
{
    const struct autopsy *autopsy = list->outcome->autopsy;
    const struct autopsy_process *process = culprit_find(autopsy);
    char limit[UNITS_TIME_TEXT], line[180], mend[180];

    units_show_time(list->plan->timeout, limit);
    if (list->outcome->kind == OUTCOME_STUCK) {
        say(list, "timeout", "a file system that does not answer holds the command beyond SIGKILL: make it answer, then bivy clean");
    } else if (process) {
        autopsy_line(process, false, line, sizeof line);
        culprit_mend(autopsy, process, mend, sizeof mend);
        say(list, "timeout", "%.40s was still at work after %s and was ended. %s: %s", program(list), limit, line,
            thrashed(list) ? "it was short of memory: see there" : mend);
    } else {
        say(list, "timeout", "%s was still at work after %s and was ended: if it only needs longer, raise --timeout", program(list), limit);
    }
}

/* Whoever cancelled it knows why; but perhaps not what it was at. */
static void on_cancel(struct list *list)
{
    const struct autopsy_process *process = held_by(list->outcome->autopsy);
    char name[OUTCOME_SIGNAL_TEXT], line[200] = "";

    if (list->outcome->kind != OUTCOME_CANCELLED)
        return;
    if (process)
        autopsy_line(process, line, sizeof line);
    say(list, "cancelled", "bivy was sent %s and ended the run%s%s", outcome_signal_name(list->outcome->cancel_signal, name),
        process ? ". " : "", line);
}

static void on_scratch(struct list *list)
{
    const struct ended *ended = &list->outcome->ended;
    char limit[UNITS_TIME_TEXT];

    if (ended->scratch_seen && ended->scratch_inodes >= list->plan->scratch_inodes)
        say(list, "scratch", "/tmp and the rest of scratch had no inode left (%llu files): write fewer files there, or raise --scratch-inodes",
            (unsigned long long)list->plan->scratch_inodes);
    else
        say(list, "scratch", "/tmp and the rest of scratch were full (%s), so that writing there gave \"no space left on device\": write large "
            "files to /workspace, or raise --scratch and --memory", units_show_size(list->plan->scratch, limit));
}

static void on_file_size(struct list *list)
{
    char limit[UNITS_TIME_TEXT];

    say(list, "file_size", "a file grew beyond --file-size %s, and SIGXFSZ ended the command: write smaller files, or raise it",
        units_show_size(list->plan->file_size, limit));
}

static void on_open_files(struct list *list)
{
    say(list, "open_files", "a process had all of its %llu descriptors open: close what is not needed, or raise --open-files",
        (unsigned long long)list->plan->open_files);
}

static void on_output(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    bool out = outcome->out.seen >= outcome->err.seen;
    char limit[UNITS_TIME_TEXT], seen[UNITS_TIME_TEXT];

    units_show_size(out ? outcome->out.seen : outcome->err.seen, seen);
    if (outcome->kind == OUTCOME_OUTPUT_LIMIT)
        say(list, "output", "%s passed --output-limit %s, and the command was ended: write it to a file in /workspace, or print less",
            out ? "stdout" : "stderr", units_show_size(list->plan->output_limit, limit));
    else
        say(list, "output", "%s was %s, of which %s are kept and the middle left out: write it to a file in /workspace, or raise --max-output",
            out ? "stdout" : "stderr", seen, units_show_size(list->plan->max_output, limit));
}

/* Ended by a signal that nothing above explains. */
static void on_signal(struct list *list)
{
    static const struct {
        int number;
        const char *text;
    } rows[] = {
        {SIGSEGV, "it used memory that is not its own: a fault of the program's; no limit of bivy's does that"},
        {SIGBUS, "it used a mapped file beyond its end: the file was cut short, or its file system failed"},
        {SIGABRT, "it gave up by itself (abort, a failed assertion): its stderr says why"},
        {SIGFPE, "it divided by zero or the like: a fault of the program's"},
        {SIGILL, "it met an instruction that this processor does not know: is it built for this machine?"},
        {SIGSYS, "it made a system call in a way that the filter kills for (another architecture's): use a program built for this one"},
        {SIGPIPE, "whoever read its output has gone"},
        {SIGKILL, "somebody in the sandbox, or on the host, sent it; bivy and the kernel's memory limit did not"},
        {SIGTERM, "somebody in the sandbox, or on the host, sent it; bivy did not"},
    };
    const struct outcome *outcome = list->outcome;
    char name[OUTCOME_SIGNAL_TEXT];
    struct words_said said;
    bool words = outcome->words && words_telling(outcome->words, 0, &said);
    int number = outcome->have_status && WIFSIGNALED(outcome->wait_status) ? WTERMSIG(outcome->wait_status) : 0;
    const char *text = "somebody in the sandbox, or on the host, sent it";

    if (outcome->kind != OUTCOME_SIGNALED || ledger_hit(LEDGER_FILE_SIZE, list->plan, outcome))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].number == number)
            text = rows[i].text;
    say(list, "signal", "%s was ended by %s: %s%s%s%s", program(list), outcome_signal_name(number, name), text,
        words ? "; it said \"" : "", words ? said.line : "", words ? "\"" : "");
}

static bool said_about(const struct list *list, const char *about)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->hints[i].about, about))
            return true;
    return false;
}

/* Exit statuses that a shell gives by convention (POSIX, Shell & Utilities, 2.8.2). NULL: none of them. */
static const char *by_convention(const struct outcome *outcome, int status, char text[64])
{
    char name[OUTCOME_SIGNAL_TEXT];

    if (status == 127)
        return "a program was not found: put it into the rootfs (rootfs/build --packages) or the workspace";
    if (status == 126)
        return "a file was found and cannot be executed: chmod +x, or run it with its interpreter";
    if (status <= 128 || status >= 128 + 65 || outcome->readings.oom_kills > 0)
        return NULL;
    snprintf(text, 64, "a program that it ran was ended by %s", outcome_signal_name(status - 128, name));
    return text;
}

/* What --explain would tell in a run with it. */
static const char *ask(const struct list *list, const char *about)
{
    if (list->plan->explain)
        return "";
    return !strcmp(about, "privileges") ? " (--explain names the system call that was refused, and what to use instead)"
           : !strcmp(about, "network")  ? " (--explain lists who wanted to reach whom)"
                                        : "";
}

/* It ended by itself, and not well: what it said, and what such words mean in here. No failure is left without a sentence. */
static void on_exit(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    int status = outcome->kind == OUTCOME_EXITED && outcome->have_status ? WEXITSTATUS(outcome->wait_status) : 0;
    struct words_said said;
    bool words = status && outcome->words && words_telling(outcome->words, status, &said);
    bool known = words && said.about && !said_about(list, said.about) && !(said_about(list, "syscall") && !strcmp(said.about, "privileges"));
    char text[64];
    const char *meaning = by_convention(outcome, status, text);

    if (status == 0)
        return;
    if (known)
        say(list, said.about, "%s exited %d and said \"%s\": %s%s", program(list), status, said.line, said.mend, ask(list, said.about));
    else if (words)
        say(list, "exit_code", "%s exited %d and said \"%s\"%s%s", program(list), status, said.line, meaning ? ": " : "", meaning ? meaning : "");
    else if (meaning)
        say(list, "exit_code", "%s exited %d: %s", program(list), status, meaning);
    else
        say(list, "exit_code", "%s exited %d without a word on stderr%s", program(list), status,
            list->count ? "" : ", and no limit was seen to touch it: what that status means is its own affair");
}

/* What only --explain tells, and of the network the little that is known without. */
static void on_explain(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    char text[300], often[32];

    if (explain_hint_network(outcome->explain, text, sizeof text))
        say(list, "network", "%s", text);
    else if (outcome->have_unreachable && outcome->unreachable > 0)
        say(list, "network", "something was to be sent %s and there was no route: the network is off by design; put what is needed into "
            "the rootfs or the workspace (--explain lists who wanted to reach whom)", times(outcome->unreachable, often));
    if (explain_hint_refused(outcome->explain, text, sizeof text))
        say(list, "syscall", "%s", text);
}

static void on_workspace(struct list *list)
{
    static const char *const texts[TROUBLE_COUNT] = {
        [TROUBLE_DISCONNECTED] = "the workspace's server is gone: mount it anew, then run again",
        [TROUBLE_UNRESPONSIVE] = "the workspace's server does not answer in time: is it stopped, or cut off?",
        [TROUBLE_FULL] = "the workspace takes no byte more (full, over quota, or no server has room): delete something there",
        [TROUBLE_IO_STUCK] = "the workspace holds processes beyond SIGKILL: make its server answer, or end the mount, then bivy clean",
        [TROUBLE_READ_ONLY] = "the workspace is mounted read-only: mount it read-write, or write to /tmp",
    };
    const char *text = list->plan->workspace ? texts[list->outcome->trouble] : NULL;

    if (text)
        say(list, "workspace", "%s", text);
}

/* The same as `error`, for a reader who looks at hints alone. */
static void on_setup(struct list *list)
{
    const struct fault *fault = &list->outcome->fault;

    if (fault->what[0])
        say(list, "setup", "nothing of the command ran: %s%s%s", fault->what, fault->hint[0] ? ": " : "", fault->hint);
}

size_t hints_make(const struct spec *spec, const struct plan *plan, const struct outcome *outcome, struct hint hints[HINTS_MOST])
{
    /* The order is that of the ending's cause: what killed first, what only slowed last. */
    static const struct {
        enum ledger limit;
        void (*say)(struct list *list);
    } limits[] = {
        {LEDGER_MEMORY, on_memory},       {LEDGER_TIMEOUT, on_timeout}, {LEDGER_OUTPUT, on_output},         {LEDGER_FILE_SIZE, on_file_size},
        {LEDGER_SCRATCH, on_scratch},     {LEDGER_PIDS, on_pids},       {LEDGER_OPEN_FILES, on_open_files}, {LEDGER_CPU, on_cpu},
    };
    struct list list = {.spec = spec, .plan = plan, .outcome = outcome, .hints = hints};

    if (!plan || outcome->kind == OUTCOME_SETUP_FAILED) {
        on_setup(&list);
        return list.count;
    }
    on_cancel(&list);
    on_workspace(&list);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (ledger_hit(limits[i].limit, plan, outcome))
            limits[i].say(&list);
    on_explain(&list);
    on_signal(&list);
    on_exit(&list);
    return list.count;
}

void hints_write(struct json *json, const struct spec *spec, const struct plan *plan, const struct outcome *outcome)
{
    struct hint hints[HINTS_MOST];
    size_t count = hints_make(spec, plan, outcome, hints);

    json_open(json, "hints", '[');
    for (size_t i = 0; i < count; i++) {
        json_open(json, NULL, '{');
        json_string(json, "about", hints[i].about);
        json_string(json, "hint", hints[i].text);
        json_close(json, '}');
    }
    json_close(json, ']');
}
