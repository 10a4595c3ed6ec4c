/* What stands below /proc/PID, and what is told of it. The first byte chooses what the rest is. */
#include "fuzz.h"

#include <ctype.h>
#include <sys/stat.h>

#include "autopsy.h"
#include "plain.h"
#include "strict_json.h"

/* The fields behind the name say the same when the name is another one. */
static void check_stat(const char *text)
{
    struct autopsy_stat stat, again;
    const char *open = strchr(text, '('), *close = strrchr(text, ')');

    if (!autopsy_stat(text, &stat))
        return;
    MUST(open && close && strlen(stat.name) <= AUTOPSY_NAME && isalpha((unsigned char)stat.state));
    MUST(!strncmp(stat.name, open + 1, strlen(stat.name)));
    char *other = malloc(strlen(close) + 32);
    MUST(other);
    sprintf(other, "1 ()) R 1 (%s", close);
    MUST(autopsy_stat(other, &again) && again.state == stat.state && again.user_ticks == stat.user_ticks &&
         again.system_ticks == stat.system_ticks && again.start_ticks == stat.start_ticks && again.args_begin == stat.args_begin &&
         again.args_end == stat.args_end);
    free(other);
}

static void check_call(const char *text)
{
    struct autopsy_call call;
    char again[256];

    if (!autopsy_call(text, &call))
        return;
    MUST(call.number >= -1 && call.number <= 0xffff && !(call.running && call.number >= 0));
    if (call.number < 0)
        return;
    snprintf(again, sizeof again, "%d 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x", call.number, (unsigned long long)call.args[0],
             (unsigned long long)call.args[1], (unsigned long long)call.args[2], (unsigned long long)call.args[3],
             (unsigned long long)call.args[4], (unsigned long long)call.args[5]);
    struct autopsy_call other;
    strcat(again, "1 0x2\n");
    MUST(autopsy_call(again, &other) && other.number == call.number && !memcmp(other.args, call.args, sizeof call.args));
}

static void check_lists(const char *text)
{
    const char *at = text, *before;

    do
        before = at;
    while (autopsy_next_pid(&at) > 0 && at > before);
    MUST(at >= text && at <= text + strlen(text));
    for (unsigned table = 0; table <= SOCKETS_TABLES; table++) {
        char name[SOCKETS_TEXT + 1] = "";
        bool listens;
        MUST(!sockets_find(table, text, 0, name, &listens) || strlen(name) <= SOCKETS_TEXT);
    }
    for (at = text, before = NULL; autopsy_next_target(&at) >= 0; before = at)
        MUST(at > text && (!before || at > before) && at <= text + strlen(text));
}

static void check_maps(const char *text, uint64_t address)
{
    uint64_t some = autopsy_at_hand(text, address, false), none = autopsy_at_hand(text, address, true);

    MUST(none == 0 || none == some);
    MUST(some <= UINT64_MAX - address);
}

static void check_told(const uint8_t *data, size_t size)
{
    struct autopsy autopsy = {.processes = 1, .told = 1};
    struct autopsy_process *process = &autopsy.process[0];
    struct json json = {0};
    char line[300];
    size_t where;

    memcpy(process->name, data, size < AUTOPSY_NAME ? size : AUTOPSY_NAME);
    memcpy(process->command, data, size < AUTOPSY_COMMAND ? size : AUTOPSY_COMMAND);
    memcpy(process->channel, data, size < AUTOPSY_CHANNEL ? size : AUTOPSY_CHANNEL);
    memcpy(process->on[0].address, data, size < SOCKETS_TEXT ? size : SOCKETS_TEXT);
    memcpy(process->on[0].path, data, size < AUTOPSY_PATH ? size : AUTOPSY_PATH);
    process->command_length = (unsigned)(size < AUTOPSY_COMMAND ? size : AUTOPSY_COMMAND);
    process->on_count = 1;
    process->state = "RSDTZ"[size % 5];
    snprintf(process->call, sizeof process->call, "%s", size % 2 ? "openat" : "read");
    process->on[0].is = (enum autopsy_kind)(size % AUTOPSY_KINDS);
    process->waits = autopsy_judge(process, size % 3);
    autopsy_write(&json, &autopsy);
    MUST(!json.failed && json.length > strlen("\"autopsy\":"));
    /* the key alone is no text of its own */
    MUST(strict_json(json.text + strlen("\"autopsy\":"), json.length - strlen("\"autopsy\":"), &where));
    json_release(&json);
    autopsy_line(process, size % 2, line, sizeof line);
    for (const unsigned char *at = (const unsigned char *)line; *at; at++)
        MUST(*at >= 0x20 && *at != 0x7f && !(*at == 0xc2 && at[1] < 0xa0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct autopsy_status status;
    uint64_t inode;

    if (size == 0)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    switch (data[0] % 6) {
    case 0:
        check_stat(text);
        break;
    case 1:
        check_call(text);
        break;
    case 2:
        if (autopsy_status(text, &status))
            MUST(status.inner > 0 && isalpha((unsigned char)status.state));
        break;
    case 3:
        check_lists(text);
        MUST(autopsy_kind(text, S_IFREG, 0, &inode) < AUTOPSY_KINDS);
        break;
    case 4:
        check_maps(text, size > 1 ? data[1] * UINT64_C(0x100) : 0);
        break;
    default:
        check_told(data + 1, size - 1);
    }
    free(text);
    return 0;
}
