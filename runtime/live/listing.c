#include "listing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"
#include "version.h"

#define MOST_WORKSPACE 40 /* columns */
#define MOST_COMMAND 60
#define MOST_USER 16
#define MOST_PARENT 80
#define CELL 512 /* bytes: every column may be an escape of four bytes, or a character of as many */

enum column { ID, STATE, AGE, USER, MEMORY, CPU, PIDS, WORKSPACE, PARENT, COMMAND, COLUMN_COUNT };
static const char *const heads[COLUMN_COUNT] = {"ID", "STATE", "AGE", "USER", "MEMORY", "CPU", "PIDS", "WORKSPACE", "CGROUP", "COMMAND"};

struct cells {
    char text[COLUMN_COUNT][CELL];
    size_t width[COLUMN_COUNT];
};

static const char *const state_names[LIVE_COUNT] = {
    [LIVE_STARTING] = "starting", [LIVE_RUNNING] = "running", [LIVE_STOPPED] = "stopped", [LIVE_KEPT] = "kept",
    [LIVE_ENDING] = "ending",     [LIVE_STALE] = "stale",     [LIVE_HIDDEN] = "hidden",
};

const char *listing_state_name(enum live_state state)
{
    return state_names[state];
}

size_t listing_escape(const char *bytes, size_t length, size_t columns, char *text, size_t size)
{
    size_t used = 0, at = 0, mark = 0, mark_used = 0; /* mark: where the last columns could give way to "..." */

    for (size_t i = 0; i < length;) {
        char one[8];
        size_t span = json_utf8(bytes + i, length - i), wide = 1, put;
        unsigned char byte = (unsigned char)bytes[i];
        bool control = span == 0 || json_acts(bytes + i, span);
        if (control || span > 4) {
            put = wide = (size_t)snprintf(one, sizeof one, "\\x%02x", byte);
            span = 1;
        } else {
            memcpy(one, bytes + i, put = span);
        }
        if (used + wide > columns || at + put + 4 > size) {
            memcpy(text + mark, "...", 4);
            return mark_used + 3;
        }
        memcpy(text + at, one, put);
        at += put;
        used += wide;
        i += span;
        if (used + 3 <= columns) {
            mark = at;
            mark_used = used;
        }
    }
    text[at] = '\0';
    return used;
}

static size_t plain(char *cell, const char *text)
{
    return (size_t)snprintf(cell, CELL, "%s", text);
}

static void fill_age(const struct listing_row *row, char *cell)
{
    unsigned long long seconds = row->live.age / 1000000000;

    if (seconds < 60)
        snprintf(cell, CELL, "%llus", seconds);
    else if (seconds < 3600)
        snprintf(cell, CELL, "%llum%02llus", seconds / 60, seconds % 60);
    else
        snprintf(cell, CELL, "%lluh%02llum", seconds / 3600, seconds % 3600 / 60);
}

static void fill_usage(const struct listing_row *row, struct cells *cells)
{
    const struct live_usage *usage = &row->usage;
    char used[UNITS_TIME_TEXT] = "-", most[UNITS_TIME_TEXT] = "-";

    if (usage->have_memory)
        units_show_size(usage->memory, used);
    if (usage->have_memory_limit)
        units_show_size(usage->memory_limit, most);
    snprintf(cells->text[MEMORY], CELL, "%s/%s", used, most);
    if (usage->have_cpu)
        units_show_time(usage->cpu, used);
    snprintf(cells->text[CPU], CELL, "%s", usage->have_cpu ? used : "-");
    snprintf(used, sizeof used, usage->have_pids ? "%llu" : "-", (unsigned long long)usage->pids);
    snprintf(most, sizeof most, usage->have_pids_limit ? "%llu" : "-", (unsigned long long)usage->pids_limit);
    snprintf(cells->text[PIDS], CELL, "%s/%s", used, most);
}

static const char *parent_of(const struct listing_row *row)
{
    return row->live.parent[0] ? row->live.parent : "/";
}

static void fill(const struct listing_row *row, struct cells *cells)
{
    char words[LISTING_COMMAND], left[UNITS_TIME_TEXT];

    plain(cells->text[ID], row->live.id);
    if (row->have_left)
        snprintf(cells->text[STATE], CELL, "%s %s", listing_state_name(row->live.state), units_show_time(row->left, left));
    else
        plain(cells->text[STATE], listing_state_name(row->live.state));
    fill_age(row, cells->text[AGE]);
    snprintf(words, sizeof words, "%u", row->live.owner);
    fill_usage(row, cells);
    for (int c = 0; c < COLUMN_COUNT; c++)
        cells->width[c] = strlen(cells->text[c]);
    cells->width[USER] = row->user[0] ? listing_escape(row->user, strlen(row->user), MOST_USER, cells->text[USER], CELL)
                                      : plain(cells->text[USER], words);
    cells->width[WORKSPACE] = row->workspace[0] ? listing_escape(row->workspace, strlen(row->workspace), MOST_WORKSPACE,
                                                                 cells->text[WORKSPACE], CELL)
                                                : plain(cells->text[WORKSPACE], "-");
    cells->width[PARENT] = listing_escape(parent_of(row), strlen(parent_of(row)), MOST_PARENT, cells->text[PARENT], CELL);
    size_t length = row->command_length;
    while (length > 0 && row->command[length - 1] == '\0')
        length--;
    for (size_t i = 0; i < length; i++)
        words[i] = row->command[i] ? row->command[i] : ' ';
    cells->width[COMMAND] = length ? listing_escape(words, length, MOST_COMMAND, cells->text[COMMAND], CELL)
                                   : plain(cells->text[COMMAND], "-");
}

/* Must it be said where they are? */
static bool shows_parents(const struct listing_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].live.state == LIVE_STALE || strcmp(rows[i].live.parent, rows[0].live.parent))
            return true;
    return false;
}

/* Appends the cells, each but the last as wide as its column; a column without a width is left out. */
static char *put_row(char *at, const struct cells *cells, const size_t *widths)
{
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (widths[c] == 0)
            continue;
        at = stpcpy(at, cells->text[c]);
        for (size_t pad = cells->width[c]; c + 1 < COLUMN_COUNT && pad < widths[c] + 2; pad++)
            *at++ = ' ';
    }
    *at++ = '\n';
    *at = '\0';
    return at;
}

int listing_text(const struct listing_row *rows, size_t count, char **text)
{
    size_t widths[COLUMN_COUNT] = {0};
    struct cells *cells = calloc(count + 1, sizeof *cells);

    *text = cells ? malloc((count + 1) * COLUMN_COUNT * (CELL + 2) + 1) : NULL;
    if (!*text) {
        free(cells);
        return -ENOMEM;
    }
    for (int c = 0; c < COLUMN_COUNT; c++)
        cells[0].width[c] = plain(cells[0].text[c], heads[c]);
    for (size_t i = 0; i < count; i++)
        fill(&rows[i], &cells[i + 1]);
    for (size_t i = 0; i <= count; i++)
        for (int c = 0; c < COLUMN_COUNT; c++)
            if (cells[i].width[c] > widths[c])
                widths[c] = cells[i].width[c];
    if (!shows_parents(rows, count))
        widths[PARENT] = 0;
    char *at = *text;
    for (size_t i = 0; i <= count; i++)
        at = put_row(at, &cells[i], widths);
    free(cells);
    return 0;
}

static void write_command(struct json *json, const struct listing_row *row)
{
    if (row->command_length == 0) {
        json_null(json, "command");
        return;
    }
    json_open(json, "command", '[');
    for (size_t at = 0; at < row->command_length;) {
        size_t length = strnlen(row->command + at, row->command_length - at);
        json_bytes(json, NULL, row->command + at, length);
        at += length + 1;
    }
    json_close(json, ']');
}

static void write_row(struct json *json, const struct listing_row *row)
{
    const struct live_usage *usage = &row->usage;

    json_open(json, NULL, '{');
    json_string(json, "id", row->live.id);
    json_string(json, "state", listing_state_name(row->live.state));
    json_thousandths(json, "age_seconds", row->live.age / 1000000);
    json_known_thousandths(json, "kept_seconds", row->have_left, row->left / 1000000);
    json_number(json, "uid", row->live.owner);
    json_string(json, "user", row->user[0] ? row->user : NULL);
    json_known(json, "host_uid", row->have_host, row->host_uid);
    json_known(json, "supervisor", row->live.holder > 0, (uint64_t)row->live.holder);
    json_known(json, "pid", row->live.init > 0, (uint64_t)row->live.init);
    json_string(json, "cgroup_parent", parent_of(row));
    json_string(json, "workspace", row->workspace[0] ? row->workspace : NULL);
    write_command(json, row);
    json_open(json, "memory", '{');
    json_known(json, "used_bytes", usage->have_memory, usage->memory);
    json_known(json, "limit_bytes", usage->have_memory_limit, usage->memory_limit);
    json_close(json, '}');
    json_open(json, "cpu", '{');
    json_known_thousandths(json, "used_ms", usage->have_cpu, usage->cpu / 1000);
    json_known_thousandths(json, "limit", usage->have_cpu_limit, usage->cpu_limit);
    json_close(json, '}');
    json_open(json, "pids", '{');
    json_known(json, "used", usage->have_pids, usage->pids);
    json_known(json, "limit", usage->have_pids_limit, usage->pids_limit);
    json_close(json, '}');
    json_close(json, '}');
}

void listing_json(struct json *json, const char *cgroup_parent, const struct listing_row *rows, size_t count)
{
    json_open(json, NULL, '{');
    json_number(json, "schema", 1);
    json_string(json, "bivy", BIVY_VERSION);
    json_string(json, "cgroup_parent", !cgroup_parent || cgroup_parent[0] ? cgroup_parent : "/");
    json_open(json, "sandboxes", '[');
    for (size_t i = 0; i < count; i++)
        write_row(json, &rows[i]);
    json_close(json, ']');
    json_close(json, '}');
    json_newline(json);
}
