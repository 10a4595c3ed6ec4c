#include "outcome.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static const char *const names[] = {
    [OUTCOME_EXITED] = "exited",       [OUTCOME_SIGNALED] = "signaled",
    [OUTCOME_TIMEOUT] = "timeout",     [OUTCOME_OOM] = "oom",
    [OUTCOME_OUTPUT_LIMIT] = "output_limit", [OUTCOME_CANCELLED] = "cancelled",
    [OUTCOME_SETUP_FAILED] = "setup_failed", [OUTCOME_STUCK] = "stuck",
};

const char *outcome_name(enum outcome_kind kind)
{
    return names[kind];
}

/* sigabbrev_np of glibc, which musl has not. Linux's numbers are the same on x86_64 and aarch64 (signal(7)). */
const char *outcome_signal_name(int number, char text[OUTCOME_SIGNAL_TEXT])
{
    static const char *const short_names[] = {
        "",     "HUP",  "INT",  "QUIT", "ILL",  "TRAP",   "ABRT", "BUS",  "FPE",  "KILL",   "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",  "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",  "SYS"};

    if (number > 0 && number < (int)(sizeof short_names / sizeof short_names[0]))
        snprintf(text, OUTCOME_SIGNAL_TEXT, "SIG%s", short_names[number]);
    else
        snprintf(text, OUTCOME_SIGNAL_TEXT, "SIG%d", number);
    return text;
}

int outcome_status(const struct outcome *outcome)
{
    switch (outcome->kind) {
    case OUTCOME_SETUP_FAILED:
        if (outcome->fault.stage != STAGE_EXEC)
            return 125;
        return outcome->fault.errnum == ENOENT ? 127 : 126;
    case OUTCOME_TIMEOUT:
    case OUTCOME_STUCK:
        return 124;
    case OUTCOME_CANCELLED:
        return 128 + outcome->cancel_signal;
    case OUTCOME_EXITED:
    case OUTCOME_SIGNALED:
    case OUTCOME_OOM:
    case OUTCOME_OUTPUT_LIMIT:
        break;
    }
    if (!outcome->have_status)
        return 125;
    if (WIFSIGNALED(outcome->wait_status))
        return 128 + WTERMSIG(outcome->wait_status);
    /* A command that was ended and exits 0 on SIGTERM has not succeeded all the same. */
    if (WEXITSTATUS(outcome->wait_status) == 0 && outcome->kind != OUTCOME_EXITED)
        return 128 + SIGKILL;
    return WEXITSTATUS(outcome->wait_status);
}
