#include "host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "keeper.h"
#include "selftest.h"
#include "sys.h"

#define MS ((uint64_t)1000000)

/* One for each process, whatever its subcommand: all of it zero, and no page of it touched before it is needed, for it holds many paths. Much
 * more of it, and a caller's small RLIMIT_DATA would let no bivy start. */
struct host *host_begin(struct timing *timing)
{
    static struct host host;

    facts_start(&host.facts);
    host.facts.timing = timing;
    host.streams = STREAMS_NONE;
    host.launched = LAUNCHED_NONE;
    host.signals = host.report.fd = -1;
    cgroup_none(&host.cgroup);
    return &host;
}

static int make_id(char id[PLAN_ID_TEXT], struct fault *fault)
{
    unsigned char random[PLAN_ID_LENGTH];

    if (SYS_AGAIN(getrandom(random, sizeof random, GRND_NONBLOCK)) != (ssize_t)sizeof random)
        return fault_set(fault, STAGE_PLAN, errno, "wait until the kernel's random generator is seeded", "getrandom");
    for (size_t i = 0; i < sizeof random; i++)
        id[i] = PLAN_ID_LETTERS[random[i] % 32];
    id[sizeof random] = '\0';
    return 0;
}

int host_decide(const struct spec *spec, struct host *host, struct fault *fault)
{
    char id[PLAN_ID_TEXT];
    int result;

    if ((result = facts_gather(spec, &host->facts, fault)) < 0 || (result = make_id(id, fault)) < 0)
        return result;
    if (host->facts.workspace.fd >= 0 && report_within(&host->report, &host->facts.workspace))
        return fault_set(fault, STAGE_REPORT, EPERM, "write the record where the command cannot reach it",
                         "--report %.300s: lies in the workspace, where the command could forge it", spec->report);
    result = plan_make(spec, &host->facts, id, getenv, &host->plan, fault);
    if (spec->verb == VERB_SELFTEST)
        host->plan.builtin = selftest_inside;
    return result;
}

int host_share_progress(struct host *host, struct fault *fault)
{
    void *page = mmap(NULL, sizeof *host->progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return fault_set(fault, STAGE_CLONE, errno, NULL, "no shared page for progress");
    host->progress = page;
    return 0;
}

enum { KEEPS = POLICY_NAMESPACES + 2 * CONTROLLER_COUNT + 7 };

/* Ends what is left of the sandbox and removes the leaf, or says in the outcome what would not go. */
static void end_leaf(struct host *host, struct outcome *outcome)
{
    int result;

    launch_release(&host->launched); /* pid 1, should it live, sees the lifeline end */
    if (!host->leaf)
        return;
    if (host->plan.workspace && host->plan.workspace->may_block && outcome->trouble != TROUBLE_IO_STUCK &&
        outcome->kind != OUTCOME_STUCK)
        cgroup_reclaim(&host->cgroup);
    if (outcome->kind == OUTCOME_STUCK || outcome->kind == OUTCOME_SETUP_FAILED || cgroup_populated(&host->cgroup))
        cgroup_kill(&host->cgroup);
    streams_collect();
    /* What is stuck will not go within any time that a caller would wait. */
    result = cgroup_remove(&host->cgroup, sys_now() + (outcome->trouble == TROUBLE_IO_STUCK ? 0 : 300 * MS));
    if (result < 0)
        snprintf(outcome->residue, sizeof outcome->residue, "cgroup leaf %.180s: %s; bivy clean removes it later",
                 host->cgroup.path, errno_name(-result));
    cgroup_close(&host->cgroup);
    host->leaf = false;
}

/* Leaves the sandbox that failed to a keeper, which undoes what is left to undo when its time is up. What cannot be kept goes now. */
static void keep(struct host *host, struct outcome *outcome)
{
    const struct cgroup *cgroup = &host->cgroup;
    int fds[KEEPS] = {host->launched.lifeline, host->launched.pidfd, cgroup->parent, cgroup->leaf, host->facts.rootfs.fd, host->signals};
    struct keeper keeper = {.id = host->plan.id, .ns = outcome->kept, .pidfd = host->launched.pidfd, .signals = host->signals, .fds = fds,
                            .count = 6};
    struct timespec wall;

    for (int c = 0; c < CONTROLLER_COUNT; c++) {
        fds[keeper.count++] = cgroup->v1_parent[c];
        fds[keeper.count++] = cgroup->v1[c];
    }
    for (int i = 0; i < POLICY_NAMESPACES && host->launched.names.open; i++)
        fds[keeper.count++] = host->launched.names.fd[i];
    cgroup_keep(cgroup);
    clock_gettime(CLOCK_REALTIME, &wall);
    outcome->kept_until = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec + (int64_t)outcome->kept;
    pid_t pid = keeper_fork(&keeper);
    if (pid == 0) {
        end_leaf(host, outcome);
        _exit(0);
    }
    if (pid < 0) {
        outcome->kept = 0;
        return;
    }
    launch_release(&host->launched);
    cgroup_close(&host->cgroup);
    host->leaf = false;
}

void host_undo(struct host *host, struct outcome *outcome)
{
    if (outcome->kept && host->leaf)
        keep(host, outcome);
    end_leaf(host, outcome);
}

void host_release(struct host *host)
{
    streams_release(&host->streams);
    plan_release(&host->plan);
    facts_release(&host->facts);
}
