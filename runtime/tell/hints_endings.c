#include "hints_list.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "culprit.h"
#include "ledger.h"
#include "trouble.h"

/* Whoever cancelled it knows why; but perhaps not what it was at. */
static void on_cancel(struct hints_list *list)
{
    const struct autopsy_process *process = culprit_find(list->outcome->autopsy);
    char name[OUTCOME_SIGNAL_TEXT], line[200] = "";

    if (list->outcome->kind != OUTCOME_CANCELLED)
        return;
    if (process)
        autopsy_line(process, false, line, sizeof line);
    hints_say(list, "cancelled", "bivy was sent %s and ended the run%s%s", outcome_signal_name(list->outcome->cancel_signal, name),
        process ? ". " : "", line);
}

/* Ended by a signal that nothing above explains. */
static void on_signal(struct hints_list *list)
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
    hints_say(list, "signal", "%s was ended by %s: %s%s%s%s", list->program, outcome_signal_name(number, name), text,
        words ? "; on stderr: \"" : "", words ? said.line : "", words ? "\"" : "");
}

static bool said_about(const struct hints_list *list, const char *about)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->hints[i].about, about))
            return true;
    return false;
}

/* Is what words would be about told already, or known not to be so, from what bivy itself has seen? */
static bool seen_itself(const struct hints_list *list, const char *about)
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
static const char *mend_words(const struct hints_list *list, const struct words_said *said, char text[160])
{
    if (!strcmp(said->about, "open_files")) {
        snprintf(text, 160, "a process may have %llu descriptors open: close what is not needed, or raise --open-files",
                 (unsigned long long)list->plan->open_files);
        return text;
    }
    return strcmp(said->about, "scratch") != 0 || list->plan->workspace ? said->mend
           : "scratch (/tmp, $HOME, /workspace too) was full for a moment: write less there at a time, give it a --workspace for large files, or "
             "raise --scratch and --memory (or, for many small files, --scratch-inodes)";
}

/* Exit statuses that a shell gives by convention (POSIX, Shell & Utilities, 2.8.2). Who else gives them means something else, so it is said
 * whose they are; and 129 is git's for a wrong option far more often than anybody's SIGHUP. NULL: none of them. */
static const char *by_convention(const struct hints_list *list, int status, char text[100])
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
static const char *ask(const struct hints_list *list, const char *about)
{
    if (list->plan->explain)
        return "";
    return !strcmp(about, "privileges") ? " (--explain names the system call that was refused, and what to use instead)"
           : !strcmp(about, "network")  ? " (--explain lists who wanted to reach whom)"
                                        : "";
}

/* It ended by itself, and not well: what it said, and what such words mean in here. No failure is left without a sentence. */
static void on_exit(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    int status = outcome->kind == OUTCOME_EXITED && outcome->have_status ? WEXITSTATUS(outcome->wait_status) : 0;
    struct words_said said;
    bool words = status && outcome->words && words_telling(outcome->words, status, &said);
    bool known = words && said.about && !seen_itself(list, said.about);
    char text[100], mend[160];
    const char *meaning = words && said.about ? NULL : by_convention(list, status, text); /* those words say what it was */

    if (status == 0)
        return;
    if (known)
        hints_say(list, said.about, "%s exited %d; on stderr: \"%s\": %s%s", list->program, status, said.line, mend_words(list, &said, mend),
            ask(list, said.about));
    else if (words)
        hints_say(list, "exit_code", "%s exited %d; on stderr: \"%s\"%s%s", list->program, status, said.line, meaning ? ": " : "", meaning ? meaning : "");
    else if (meaning)
        hints_say(list, "exit_code", "%s exited %d: %s", list->program, status, meaning);
    else
        hints_say(list, "exit_code", "%s exited %d without a word on stderr%s", list->program, status,
            list->count ? "" : ", and no limit was seen to touch it: what that status means is its own affair");
}

/* What only --explain tells, and of the network the little that is known without. */
static void on_explain(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;
    char text[sizeof list->hints[0].text], often[32];

    if (explain_hint_network(outcome->explain, text, sizeof text))
        hints_say(list, "network", "%s", text);
    else if (outcome->have_unreachable && outcome->unreachable > 0)
        hints_say(list, "network", "something was to be sent %s, and there was no route: the network is off by design; put what is needed "
            "into the rootfs or the workspace, or, where it was 127.0.0.1, add --network loopback (--explain lists who wanted to reach whom)", hints_times(outcome->unreachable, often));
    for (size_t i = 0; explain_hint_refused(outcome->explain, i, text, sizeof text); i++)
        hints_say(list, "syscall", "%s", text);
}

static void on_workspace(struct hints_list *list)
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
        hints_say(list, "workspace", "%s", text);
}

/* Where the workspace holds it that was said. */
static void on_stuck(struct hints_list *list)
{
    const struct outcome *outcome = list->outcome;

    if (outcome->kind == OUTCOME_STUCK && outcome->starved)
        hints_say(list, "stuck", "what was killed had no processor to end on, so busy is the host: run fewer commands at once there; bivy clean removes "
            "what is left, once it has ended");
    else if (outcome->kind == OUTCOME_STUCK && outcome->trouble != TROUBLE_IO_STUCK)
        hints_say(list, "stuck", "the kernel does not end what was killed: `error` says who it is and what he waits for; bivy clean removes what is left, "
            "once it has ended");
}

/* The same as `error`, for a reader who looks at hints alone. */
void hints_setup(struct hints_list *list)
{
    const struct fault *fault = &list->outcome->fault;

    if (fault->what[0])
        hints_say(list, "setup", "nothing of the command ran: %s%s%s", fault->what, fault->hint[0] ? ": " : "", fault->hint);
}

void hints_circumstances(struct hints_list *list)
{
    on_cancel(list);
    on_workspace(list);
    on_stuck(list);
}

void hints_ending(struct hints_list *list)
{
    on_explain(list);
    on_signal(list);
    on_exit(list);
}
