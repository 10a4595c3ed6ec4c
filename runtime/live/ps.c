#include "ps.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leaves.h"
#include "sys.h"

/* From the file alone: getpwuid(3) would ask whatever nsswitch.conf names, over a network if it comes to that. */
static void name_user(uid_t uid, char *name, size_t size)
{
    FILE *file = fopen("/etc/passwd", "re");
    struct passwd *entry;

    name[0] = '\0';
    while (file && !name[0] && (entry = fgetpwent(file)))
        if (entry->pw_uid == uid)
            snprintf(name, size, "%s", entry->pw_name);
    if (file)
        fclose(file);
}

static struct listing_row *add_row(struct ps *ps)
{
    struct listing_row *rows = ps->rows;

    if ((ps->count & (ps->count - 1)) == 0) /* a power of two is full */
        rows = realloc(ps->rows, (ps->count ? 2 * ps->count : 1) * sizeof *rows);
    if (!rows)
        return NULL;
    ps->rows = rows;
    memset(&rows[ps->count], 0, sizeof *rows);
    return &rows[ps->count];
}

static void describe(const struct hierarchies *cgroups, struct listing_row *row)
{
    gid_t unused;

    name_user(row->live.owner, row->user, sizeof row->user);
    live_usage(cgroups, &row->live, &row->usage);
    row->have_host = row->live.init && live_host_ids(row->live.init, &row->host_uid, &unused);
    row->have_left = live_left(&row->live, &row->left);
    live_workspace(&row->live, row->workspace, sizeof row->workspace);
    row->command_length = live_command(&row->live, row->command, sizeof row->command);
}

static int by_age(const void *one, const void *other)
{
    const struct listing_row *a = one, *b = other;

    return a->live.age == b->live.age ? strcmp(a->live.id, b->live.id) : a->live.age < b->live.age ? 1 : -1;
}

struct gathering {
    const struct hierarchies *cgroups;
    struct ps *ps;
    bool full;
};

static int gather(int parent, const char *path, const char *name, void *data)
{
    struct gathering *gathering = data;
    struct listing_row *row = add_row(gathering->ps);

    if (!row) {
        gathering->full = true;
        return 1;
    }
    if (live_read(parent, path, name, &row->live) == 0) { /* else it has gone meanwhile */
        describe(gathering->cgroups, row);
        gathering->ps->count++;
    }
    live_release(&row->live);
    return 0;
}

int ps_gather(const struct hierarchies *cgroups, const char *path, struct ps *ps, struct fault *fault)
{
    struct gathering gathering = {.cgroups = cgroups, .ps = ps};
    int result;

    *ps = (struct ps){0};
    if ((result = leaves_walk(cgroups, path, gather, &gathering, fault)) < 0)
        return result;
    if (gathering.full)
        return fault_set(fault, STAGE_CGROUP, ENOMEM, NULL, "out of memory");
    if (ps->count)
        qsort(ps->rows, ps->count, sizeof *ps->rows, by_age);
    return 0;
}

void ps_release(struct ps *ps)
{
    free(ps->rows);
    *ps = (struct ps){0};
}
