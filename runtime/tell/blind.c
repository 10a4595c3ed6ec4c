#include "blind.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* They believe a cgroup mount alone, of which there is none inside. */
static const struct row {
    const char *process, *name, *variable, *option; /* "variable" with its =, as --env has it */
    unsigned percent;                               /* of the limit */
    bool hex;
} rows[] = {
    {"java", "Java", "JAVA_TOOL_OPTIONS=", "-XX:MaxRAM=", 100, false}, /* of which the heap gets a half at the most */
    {"dotnet", ".NET", "DOTNET_GCHeapHardLimit=", "", 75, true},
};

const char *blind_mend(const char *process, char *const *env, uint64_t memory, char text[static BLIND_TEXT])
{
    const struct row *row = rows, *end = rows + sizeof rows / sizeof rows[0];
    char size[32];

    text[0] = '\0';
    while (row < end && strcmp(row->process, process) != 0)
        row++;
    if (row == end)
        return text;
    for (; env && *env; env++)
        if (!strncmp(*env, row->variable, strlen(row->variable)))
            return text;
    snprintf(size, sizeof size, row->hex ? "0x%llx" : "%llu", (unsigned long long)(memory * row->percent / 100));
    snprintf(text, BLIND_TEXT, "; %s cannot see this limit: tell it, --env %s%s%s", row->name, row->variable, row->option, size);
    return text;
}
