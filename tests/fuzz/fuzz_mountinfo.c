/* /proc/PID/mountinfo: any text comes to an end, and what is handed out lies in it. */
#include "fuzz.h"

#include "mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), *cursor = text;
    struct mountinfo mount;
    size_t lines = 0, newlines = 0;
    int result;

    for (size_t i = 0; i < strlen(text); i++)
        newlines += text[i] == '\n';
    for (;;) {
        char *before = cursor;
        result = mountinfo_next(&cursor, &mount);
        if (result <= 0)
            break;
        const char *fields[] = {mount.root, mount.target, mount.options, mount.fstype, mount.source, mount.super};
        lines++;
        MUST(cursor > before && cursor <= text + size);
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            MUST(fields[i] >= before && fields[i] < cursor);
            MUST(fields[i] + strlen(fields[i]) < cursor); /* ends within its own line */
        }
        (void)mountinfo_has(mount.super, "memory");
        MUST(mountinfo_has(mount.options, mount.options) == !strchr(mount.options, ','));
    }
    MUST(result == 0 || result == -EINVAL);
    MUST(lines <= newlines);
    MUST(result < 0 || lines == newlines);
    MUST(result < 0 || !*cursor);
    free(text);
    return 0;
}
