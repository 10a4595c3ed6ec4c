#include "hints.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "blind.h"
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
    char program[64]; /* the command, without its directories; cut off: a long name must leave room for what to do */
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

/* More of the sentence that say() began. */
__attribute__((format(printf, 2, 3))) static void add(struct list *list, const char *format, ...)
{
    char *text = list->hints[list->count - 1].text;
    size_t length = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + length, sizeof list->hints[0].text - length, format, args);
    va_end(args);
}

static void name_program(struct list *list)
{
    const char *name = list->spec->argv && list->spec->argv[0] ? list->spec->argv[0] : "the command", *slash = strrchr(name, '/');

    snprintf(list->program, sizeof list->program, "%s", slash && slash[1] ? slash + 1 : name);
}

/* Without one of the caller's, /workspace is scratch as well. */
static const char *large_files(const struct list *list)
{
    return list->plan->workspace ? "write large files to /workspace, which does not count"
                                 : "write large files to a workspace (--workspace DIR, inside /workspace), which does not count";
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

/* What the memory was when it was full. A look long before says nothing of that. */
static const struct usage *when_full(const struct list *list)
{
    static const struct usage unknown;
    const struct usage *usage = &list->outcome->usage;

    return usage->total >= list->plan->memory / 4 * 3 ? usage : &unknown;
}

/* What to do about memory depends on what it was. */
static const char *mend_memory(const struct list *list)
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

static void on_memory(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    char limit[UNITS_TIME_TEXT], parts[200], who[100], blind[BLIND_TEXT];

    units_show_size(list->plan->memory, limit);
    parts_of(when_full(list), parts);
    if (outcome->readings.oom_kills > 0)
        say(list, "memory", "%s was killed at the memory limit of %s%s: %s, or raise --memory%s", victim(outcome, who), limit, parts,
            mend_memory(list), blind_mend(outcome->victim.name, list->plan->env, list->plan->memory, blind));
    else if (thrashed(list))
        say(list, "memory", "memory was full, at its limit of %s%s: nothing was killed for it, but %llu times a page of the programs had to be "
            "read again, which leaves little time for the work itself: %s, or raise --memory", limit, parts,
            (unsigned long long)outcome->major_faults, mend_memory(list));
    else
        say(list, "memory", "memory reached its limit of %s%s, and nothing was killed for it: %s, or raise --memory", limit, parts,
            mend_memory(list));
}

/* Killed for want of memory, with the sandbox's own not used up. */
static void on_memory_above(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    const char *parent = list->plan->cgroup_parent;
    char peak[UNITS_TIME_TEXT], limit[UNITS_TIME_TEXT], who[100];

    if (!ledger_memory_ran_out_above(list->plan, outcome))
        return;
    units_show_size(list->plan->memory, limit);
    say(list, "memory", "%s was killed for want of memory, and not for the sandbox's own limit, of which it had used %s of %s: ",
        victim(outcome, who), outcome->readings.have_peak ? units_show_size(outcome->readings.memory_peak, peak) : "some", limit);
    if (outcome->victim.of == OOM_OF_HOST)
        add(list, "the host ran out of memory: run fewer at once, or give the host more");
    else
        add(list, "%s%.80s or a cgroup above it ran out: raise its limit (memory.max; MemoryMax= of a service), or run fewer at once",
            outcome->victim.of == OOM_UNKNOWN ? "the host, " : "", parent);
}

static void on_cpu(struct list *list)
{
    const struct readings *readings = &list->outcome->readings;
    unsigned processors = list->outcome->readback.processors; /* the kernel adds up what each of them stood still */
    char held[UNITS_TIME_TEXT], each[40] = "";

    if (processors > 1)
        snprintf(each, sizeof each, " on each of %u", processors);
    say(list, "cpu", "the limit of %g processors held the command back for %s%s, in %llu of %llu periods: %s", (double)list->plan->cpu / 1000,
        units_show_time(readings->throttled / (processors > 1 ? processors : 1), held), each, (unsigned long long)readings->throttled_periods,
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

static void on_pids_above(struct list *list)
{
    const struct readings *readings = &list->outcome->readings;
    char often[32];

    if (ledger_pids_ran_out_above(list->plan, list->outcome))
        say(list, "pids", "a new process or thread was refused %s, though the sandbox had %llu of its %llu at the most: %.80s or a cgroup above "
            "it is full: raise its limit (pids.max; TasksMax= of a service), or run fewer at once", times(readings->pids_denied, often),
            (unsigned long long)readings->pids_peak, (unsigned long long)list->plan->pids, list->plan->cgroup_parent);
}

static void on_timeout(struct list *list)
{
    const struct autopsy *autopsy = list->outcome->autopsy;
    const struct autopsy_process *process = culprit_find(autopsy);
    char limit[UNITS_TIME_TEXT], line[220], mend[180];

    units_show_time(list->plan->timeout, limit);
    if (list->outcome->kind == OUTCOME_STUCK) {
        say(list, "timeout", "a file system that does not answer holds the command beyond SIGKILL: make it answer, then bivy clean");
    } else if (process) {
        autopsy_line(process, false, line, sizeof line);
        culprit_mend(autopsy, process, mend, sizeof mend);
        say(list, "timeout", "%s was still at work after %s and was ended. %s: %s", list->program, limit, line,
            thrashed(list) ? "it was short of memory: see there" : mend);
    } else {
        say(list, "timeout", "%s was still at work after %s and was ended: if it only needs longer, raise --timeout", list->program, limit);
    }
}

/* Whoever cancelled it knows why; but perhaps not what it was at. */
static void on_cancel(struct list *list)
{
    const struct autopsy_process *process = culprit_find(list->outcome->autopsy);
    char name[OUTCOME_SIGNAL_TEXT], line[200] = "";

    if (list->outcome->kind != OUTCOME_CANCELLED)
        return;
    if (process)
        autopsy_line(process, false, line, sizeof line);
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
        say(list, "scratch", "/tmp and the rest of scratch were full (%s), so that writing there gave \"no space left on device\": %s, or raise "
            "--scratch and --memory", units_show_size(list->plan->scratch, limit), large_files(list));
}

static void on_file_size(struct list *list)
{
    char limit[UNITS_TIME_TEXT];

    say(list, "file_size", "SIGXFSZ, the signal for a file that would grow beyond --file-size %s, ended %s: write smaller files, or raise it",
        units_show_size(list->plan->file_size, limit), WIFSIGNALED(list->outcome->wait_status) ? "the command" : "a program that it ran");
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
    const char *where = list->plan->workspace ? "write it to a file in /workspace" : "write it to a file in a workspace (--workspace DIR, inside /workspace)";
    char limit[UNITS_TIME_TEXT], seen[UNITS_TIME_TEXT];

    units_show_size(out ? outcome->out.seen : outcome->err.seen, seen);
    if (outcome->kind == OUTCOME_OUTPUT_LIMIT)
        say(list, "output", "%s passed --output-limit %s, and the command was ended: %s, or print less", out ? "stdout" : "stderr",
            units_show_size(list->plan->output_limit, limit), where);
    else
        say(list, "output", "%s was %s, of which %s are kept and the middle left out: %s, or raise --max-output", out ? "stdout" : "stderr",
            seen, units_show_size(list->plan->max_output, limit), where);
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
    say(list, "signal", "%s was ended by %s: %s%s%s%s", list->program, outcome_signal_name(number, name), text,
        words ? "; it said \"" : "", words ? said.line : "", words ? "\"" : "");
}

static bool said_about(const struct list *list, const char *about)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->hints[i].about, about))
            return true;
    return false;
}

/* Is what words would be about told already, or known not to be so, from what bivy itself has seen? */
static bool seen_itself(const struct list *list, const char *about)
{
    const struct readings *readings = &list->outcome->readings;
    static const struct {
        const char *words, *seen;
    } same[] = {{"privileges", "syscall"}, {"scratch", "workspace"}};

    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        if (!strcmp(about, same[i].words) && said_about(list, same[i].seen))
            return true;
    if (!strcmp(about, "pids") && readings->have_pids && readings->pids_denied == 0)
        return true; /* EAGAIN of something else, a lock or a pipe: no fork was refused */
    return said_about(list, about);
}

/* What full means without a workspace can only be scratch, if not for long. */
static const char *mend_words(const struct list *list, const struct words_said *said)
{
    return strcmp(said->about, "scratch") != 0 || list->plan->workspace ? said->mend
           : "scratch (/tmp, $HOME, /workspace too) was full for a moment: write less there at a time, give it a --workspace for large files, or "
             "raise --scratch and --memory (or, for many small files, --scratch-inodes)";
}

/* Exit statuses that a shell gives by convention (POSIX, Shell & Utilities, 2.8.2). Who else gives them means something else, so it is said
 * whose they are; and 129 is git's for a wrong option far more often than anybody's SIGHUP. NULL: none of them. */
static const char *by_convention(const struct list *list, int status, char text[100])
{
    char name[OUTCOME_SIGNAL_TEXT];

    if (status == 127)
        return "what a shell gives when a program was not found: put it into the rootfs (rootfs/build --packages) or the workspace";
    if (status == 126)
        return "what a shell gives when a file was found and cannot be executed: chmod +x, or run it with its interpreter";
    if (status <= 128 + SIGHUP || status > 128 + SIGSYS || list->outcome->readings.oom_kills > 0 ||
        ledger_hit(LEDGER_FILE_SIZE, list->plan, list->outcome))
        return NULL;
    snprintf(text, 100, "what a shell gives when a program that it ran was ended by %s", outcome_signal_name(status - 128, name));
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
    bool known = words && said.about && !seen_itself(list, said.about);
    char text[100];
    const char *meaning = by_convention(list, status, text);

    if (status == 0)
        return;
    if (known)
        say(list, said.about, "%s exited %d and said \"%s\": %s%s", list->program, status, said.line, mend_words(list, &said),
            ask(list, said.about));
    else if (words)
        say(list, "exit_code", "%s exited %d and said \"%s\"%s%s", list->program, status, said.line, meaning ? ": " : "", meaning ? meaning : "");
    else if (meaning)
        say(list, "exit_code", "%s exited %d: %s", list->program, status, meaning);
    else
        say(list, "exit_code", "%s exited %d without a word on stderr%s", list->program, status,
            list->count ? "" : ", and no limit was seen to touch it: what that status means is its own affair");
}

/* What only --explain tells, and of the network the little that is known without. */
static void on_explain(struct list *list)
{
    const struct outcome *outcome = list->outcome;
    char text[sizeof list->hints[0].text], often[32];

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
    name_program(&list);
    on_cancel(&list);
    on_workspace(&list);
    on_memory_above(&list);
    on_pids_above(&list);
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
