#include "sampling.h"

#include "readings.h"
#include "sys.h"

#define MS ((uint64_t)1000000)
#define FIRST (100 * MS) /* and then ever more rarely: the longer a run, the less a second matters */
#define LAST (1000 * MS)

void sampling_begin(struct sampling *sampling, const struct cgroup *cgroup, struct outcome *outcome, bool wanted)
{
    *sampling = (struct sampling){.cgroup = cgroup, .outcome = outcome, .next = wanted ? outcome->started + FIRST : UINT64_MAX};
}

static bool look(struct sampling *sampling, struct usage *now)
{
    if (!readings_usage(sampling->cgroup, now))
        return false;
    sampling->outcome->have_major_faults = true;
    sampling->outcome->major_faults = now->major_faults;
    return true;
}

/* What the memory is: kept is what was seen at the limit, or else the largest. */
static void keep(struct sampling *sampling, enum moment moment)
{
    struct usage *best = &sampling->outcome->usage, now;

    if (moment < best->moment || (moment == best->moment && readings_memory(sampling->cgroup) <= best->total) ||
        !look(sampling, &now))
        return;
    now.moment = moment;
    *best = now;
}

void sampling_turn(struct sampling *sampling, uint64_t now)
{
    uint64_t step = (now - sampling->outcome->started) / 8, files;

    if (now < sampling->next)
        return;
    sampling->next = now + (step < FIRST ? FIRST : step > LAST ? LAST : step);
    keep(sampling, MOMENT_SAMPLE);
    files = readings_open_files(sampling->cgroup);
    if (files > sampling->outcome->open_files)
        sampling->outcome->open_files = files;
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

    if (!sampling->outcome->have_readings) /* somebody is left, and the record's are taken later */
        readings_take(sampling->cgroup, &readings);
    peak = readings.memory_peak;
    if (!look(sampling, &now) || best->moment == MOMENT_LIMIT || (best->moment == MOMENT_SAMPLE && best->total >= peak / 10 * 8))
        return;
    if (now.total < peak) {
        now.heap += peak - now.total;
        now.total = peak;
    }
    now.moment = MOMENT_END;
    *best = now;
}
