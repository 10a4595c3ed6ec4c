#include "sampling.h"

#include "readings.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define FIRST (5 * MS)  /* each after as long again as it took until then, */
#define STEP (100 * MS) /* from there on evenly, and then ever more rarely: the longer a run, the less a second matters */
#define LAST (1000 * MS)

void sampling_begin(struct sampling *sampling, const struct plan *plan, const struct cgroup *cgroup, const struct launched *launched,
                    struct outcome *outcome)
{
    *sampling = (struct sampling){.plan = plan, .cgroup = cgroup, .launched = launched, .outcome = outcome,
                                  .next = launched->joined /* the leaf is another run's */ ? UINT64_MAX : outcome->started + FIRST};
}

static bool look(struct sampling *sampling, struct usage *now)
{
    if (!readings_usage(sampling->cgroup, now))
        return false;
    sampling->outcome->have_major_faults = true;
    sampling->outcome->major_faults = now->major_faults;
    if (now->scratch > sampling->outcome->scratch_most && now->scratch <= sampling->plan->scratch + OUTCOME_SCRATCH_NEAR)
        sampling->outcome->scratch_most = now->scratch;
    return true;
}

/* Who is large is asked only when it may come to that. */
static void look_at_processes(struct sampling *sampling)
{
    if (sampling->outcome->ran)
        readings_processes(sampling->cgroup, sampling->launched->pid, readings_memory(sampling->cgroup) >= sampling->plan->memory / 2,
                           &sampling->outcome->most);
}

/* What the memory is: kept is what was seen at the limit, or else the largest. At the limit the last look counts, unless much is gone by
 * then: at the first one the kernel may still have had pages of files to take back, and would not have killed. */
static void keep(struct sampling *sampling, enum moment moment)
{
    struct usage *best = &sampling->outcome->usage, now;
    uint64_t least = moment == MOMENT_LIMIT ? best->total - best->total / 8 : best->total;

    if (sampling->outcome->have_status || !look(sampling, &now) || now.behind || moment < best->moment || (moment == best->moment && now.total <= least))
        return;
    now.moment = moment;
    *best = now;
}

void sampling_turn(struct sampling *sampling, uint64_t now)
{
    uint64_t since = now - sampling->outcome->started, step = since < STEP ? since : since / 8 < STEP ? STEP : since / 8;

    if (now < sampling->next)
        return;
    sampling->next = now + (step < LAST ? step : LAST);
    keep(sampling, MOMENT_SAMPLE);
    look_at_processes(sampling);
}

void sampling_before_kill(struct sampling *sampling)
{
    look_at_processes(sampling);
}

void sampling_at_limit(struct sampling *sampling)
{
    keep(sampling, MOMENT_LIMIT);
}

void sampling_last(struct sampling *sampling)
{
    struct usage unused;

    look(sampling, &unused);
}

/* The command is gone, its heap too; what it left in scratch and in the page cache is still there. Unless a sample was about as large as
 * the peak, the rest of the peak was the heap's, as far as can be told. */
void sampling_end(struct sampling *sampling)
{
    struct usage *best = &sampling->outcome->usage, now;
    struct readings readings = sampling->outcome->readings;
    uint64_t peak;

    sampling->next = UINT64_MAX; /* what goes away from now on says nothing of the command */
    if (!sampling->outcome->have_readings) /* somebody is left, and the record's are taken later */
        readings_take(sampling->cgroup, &readings);
    peak = readings.memory_peak;
    if (!look(sampling, &now) || best->moment == MOMENT_LIMIT || (best->moment == MOMENT_SAMPLE && best->total >= peak / 10 * 8))
        return;
    if (sampling->outcome->ended.scratch_seen)
        readings_usage_scratch(&now, sampling->outcome->ended.scratch_bytes);
    now.behind = now.behind < now.kernel ? now.behind : now.kernel;
    now.heap += now.behind;
    now.kernel -= now.behind;
    if (now.total < peak) {
        now.heap += peak - now.total;
        now.total = peak;
    }
    now.moment = MOMENT_END;
    *best = now;
}
