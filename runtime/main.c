#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "console.h"
#include "facts.h"
#include "host.h"
#include "leaves.h"
#include "live.h"
#include "options.h"
#include "plan.h"
#include "ps.h"
#include "report.h"
#include "run.h"
#include "sys.h"
#include "version.h"

/* Where a bivy begins, and each subcommand but for the runs themselves (run.c). */

/* A caller may have closed 0, 1 or 2: the next descriptor opened would land there and be taken for a stream. */
static bool standard_descriptors(unsigned *absent)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (SYS_AGAIN(open("/dev/null", fd ? O_WRONLY : O_RDONLY)) != fd)
            return false;
        *absent |= 1u << fd;
    }
    return true;
}

/* Soft limits of the caller's that would hurt bivy itself. The sandbox's own are set by the child. */
static void own_rlimits(void)
{
    static const int resources[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU, RLIMIT_STACK, RLIMIT_NPROC};

    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        struct sys_limit limit;
        if (sys_limit_get(resources[i], &limit) == 0 && limit.soft != limit.hard) {
            limit.soft = limit.hard;
            sys_limit_set(resources[i], &limit);
        }
    }
}

static void complain(const struct fault *fault)
{
    report_fault(fault, sys_now() + REPORT_LAST_WORDS);
}

static int plan_main(const struct spec *spec)
{
    struct host *host = host_begin(NULL);
    struct fault fault;
    int status = 0;

    if (host_decide(spec, host, &fault) < 0) {
        complain(&fault);
        status = 125;
    } else if (plan_print(&host->plan, stdout) < 0) {
        fault_set(&fault, STAGE_REPORT, EIO, NULL, "the plan could not be written to stdout");
        complain(&fault);
        status = 125;
    }
    host_release(host);
    return status;
}

static int clean_main(const struct spec *spec)
{
    struct facts *facts = &host_begin(NULL)->facts;
    struct leaves_sweep sweep = {0};
    struct fault fault;
    char parent[PATH_MAX];
    bool ours;

    if (facts_host(facts, &fault) < 0 ||
        plan_cgroup_parent(spec->cgroup_parent, facts->privileged, &facts->cgroups, parent, &ours, &fault) < 0 ||
        leaves_clean(&facts->cgroups, parent, &sweep, &fault) < 0) {
        complain(&fault);
        facts_release(facts);
        return 125;
    }
    facts_release(facts);
    printf("removed %u, live %u, stuck %u\n", sweep.removed, sweep.live, sweep.stuck);
    return sweep.stuck ? 1 : 0;
}

static int check_main(const struct spec *spec)
{
    struct fault fault;
    char *text = NULL;
    int status = check_run(spec, run_silently, &text, &fault);

    if (status >= 0 && (fputs(text, stdout) < 0 || fflush(stdout) < 0))
        status = fault_set(&fault, STAGE_REPORT, errno, NULL, "the answer could not be written to stdout");
    free(text);
    if (status < 0)
        complain(&fault);
    return status < 0 ? 125 : status;
}

/* Where to look for sandboxes. */
static int find_where(const struct spec *spec, struct facts *facts, char path[PATH_MAX], const char **where, struct fault *fault)
{
    int result = facts_host(facts, fault);

    return result < 0 ? result : plan_search(spec->cgroup_parent, &facts->cgroups, path, where, fault);
}

static int ps_main(const struct spec *spec)
{
    struct facts *facts = &host_begin(NULL)->facts;
    char path[PATH_MAX], *text = NULL;
    const char *where;
    struct json json = {0};
    struct ps ps = {0};
    struct fault fault;
    int result = find_where(spec, facts, path, &where, &fault);

    if (result == 0 && (result = ps_gather(&facts->cgroups, where, &ps, &fault)) == 0) {
        if (spec->json)
            listing_json(&json, where, ps.rows, ps.count);
        else
            listing_text(ps.rows, ps.count, &text);
        if (!(spec->json ? json.text : text) || json.failed || fputs(spec->json ? json.text : text, stdout) < 0 || fflush(stdout) < 0)
            result = fault_set(&fault, STAGE_REPORT, EIO, NULL, "the list could not be written to stdout");
    }
    if (result < 0)
        complain(&fault);
    free(text);
    json_release(&json);
    ps_release(&ps);
    facts_release(facts);
    return result < 0 ? 125 : 0;
}

#define KILL_WITHIN ((uint64_t)3660000000000) /* the longest --kill-after, and a minute: the run's own deadlines come first */

static int kill_main(const struct spec *spec)
{
    struct facts *facts = &host_begin(NULL)->facts;
    char path[PATH_MAX];
    const char *where;
    struct fault fault;
    int result = find_where(spec, facts, path, &where, &fault);

    if (result == 0)
        result = live_end(&facts->cgroups, where, spec->id, sys_now() + KILL_WITHIN, &fault);
    if (result == 0)
        printf("%s has ended\n", spec->id);
    else
        complain(&fault);
    facts_release(facts);
    return result == 0 ? 0 : result == -ENOENT ? 1 : 125;
}

static int run_verb(const struct spec *spec)
{
    return run_and_tell(spec, NULL);
}

static int version_main(const struct spec *spec)
{
    (void)spec;
    return printf("bivy %s\n", BIVY_VERSION) < 0 ? 125 : 0;
}

static int help_main(const struct spec *spec)
{
    options_print(spec->help, stdout);
    return 0;
}

/* What the options ask for. Only `enter` has a use for the words as they were. */
static int carry_out(const struct spec *spec, char **argv)
{
    static int (*const mains[])(const struct spec *spec) = {
        [VERB_RUN] = run_verb,   [VERB_SHELL] = run_verb,  [VERB_SELFTEST] = run_verb, [VERB_PLAN] = plan_main,       [VERB_CLEAN] = clean_main,
        [VERB_CHECK] = check_main, [VERB_PS] = ps_main,    [VERB_KILL] = kill_main,    [VERB_VERSION] = version_main, [VERB_HELP] = help_main,
    };

    if (spec->tty && (spec->verb == VERB_RUN || spec->verb == VERB_SHELL || spec->verb == VERB_ENTER))
        console_foreground(spec->interactive); /* before the clock starts and anything is made */
    return spec->verb == VERB_ENTER ? run_enter(spec, argv) : mains[spec->verb](spec);
}

/* What was asked for cannot be read: also said in the record, where there is to be one. */
static int refuse(const struct spec *spec, const struct fault *fault)
{
    if ((spec->verb == VERB_RUN || spec->verb == VERB_SHELL) && (spec->report || spec->log != LOG_OFF))
        return run_and_tell(spec, fault);
    complain(fault);
    return 125;
}

int main(int argc, char **argv)
{
    struct spec spec;
    struct fault fault;
    unsigned absent = 0;
    int status;

    if (!standard_descriptors(&absent))
        return 125; /* no descriptor to say it on */
    if ((status = sys_seal_relocations()) < 0) {
        fault_set(&fault, STAGE_PLAN, -status, NULL, "bivy's own tables cannot be made read-only");
        complain(&fault);
        return 125;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone, and a record beyond the caller's file size limit, are errors, not deaths */
    signal(SIGXFSZ, SIG_IGN);
    umask(077); /* whatever the caller's: what is made here, the leaf and the record, is made with a mode that says all */
    own_rlimits();
    status = options_parse(argc, argv, &spec, &fault);
    spec.absent = absent;
    status = status < 0 ? refuse(&spec, &fault) : carry_out(&spec, argv);
    options_release(&spec);
    return status;
}
