#include "timing.h"

#include <stdbool.h>

#include "sys.h"

static const char *const names[] = {"command", "teardown", "limits", "wait", "output", "readings", "workspace_after", "undo", "record", "done"};

void timing_begin(struct timing *timing, int stage)
{
    timing->began[stage] = sys_now();
}

static bool inside(int stage)
{
    return (stage >= STAGE_INHERITED && stage <= STAGE_EXEC) || stage == TIMING_COMMAND || stage == TIMING_TEARDOWN;
}

/* When what began at `stage` was over: the next beginning on the same side. The sandbox's last stage ends with the host's wait. */
static uint64_t end_of(const struct timing *timing, int stage)
{
    uint64_t begin = timing->began[stage], after = timing->began[TIMING_OUTPUT];
    uint64_t end = stage == TIMING_TEARDOWN && after >= begin ? after : 0;

    for (int other = 0; other < TIMING_COUNT; other++) {
        uint64_t at = timing->began[other];
        /* Two that begin in the same nanosecond are in the order of the table. */
        if (at && inside(other) == inside(stage) && (at > begin || (at == begin && other > stage)) && (!end || at < end))
            end = at;
    }
    return end;
}

size_t timing_rows(const struct timing *timing, struct timing_row rows[TIMING_COUNT])
{
    uint64_t first = UINT64_MAX;
    size_t count = 0;

    for (int stage = 0; stage < TIMING_COUNT; stage++)
        if (timing->began[stage] && timing->began[stage] < first)
            first = timing->began[stage];
    for (int stage = 0; stage < TIMING_COUNT; stage++) {
        uint64_t begin = timing->began[stage], end = end_of(timing, stage);
        size_t at = count;
        if (!begin || !end)
            continue;
        for (; at > 0 && rows[at - 1].start > begin - first; at--)
            rows[at] = rows[at - 1];
        rows[at] = (struct timing_row){
            .name = stage < STAGE_COUNT ? stage_name(stage) : names[stage - STAGE_COUNT],
            .side = inside(stage) ? "sandbox" : "host",
            .stage = stage,
            .start = begin - first,
            .ns = end - begin,
        };
        count++;
    }
    return count;
}
