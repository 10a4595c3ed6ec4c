/* /proc/PID/mountinfo, against a second reading of each line done by other means: any text comes to an end, what is
 * handed out lies in its own line, and says what stands there. */
#include "fuzz.h"

#include "mountinfo.h"

static bool decimal(const char *text, unsigned long most, unsigned long *out)
{
    char *end;

    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && *out <= most;
}

/* Does text say shown, once its \ooo are taken for bytes? A NUL so written ends what can be shown. */
static bool says(const char *text, const char *shown)
{
    for (;; shown++) {
        unsigned char byte = (unsigned char)*text;
        if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3 && text[1] < '4') {
            char octal[4] = {text[1], text[2], text[3], '\0'};
            byte = (unsigned char)strtoul(octal, NULL, 8);
            text += 3;
        }
        if (byte != (unsigned char)*shown)
            return false;
        if (byte == '\0')
            return true;
        text++;
    }
}

/* Of a line that ends in a newline: does mount hold what it says? Or, for NULL: is there nothing that could be held? */
static bool agrees(const char *line, const struct mountinfo *mount)
{
    size_t count = 0, dash = 6;
    unsigned long id = 0, parent = 0, major = 0, minor = 0;
    char *copy = fuzz_text(line, strcspn(line, "\n")), *rest = copy;
    char **fields = calloc(strlen(copy) + 1, sizeof *fields);
    bool good, valid;

    MUST(fields);
    while (rest && *rest)
        fields[count++] = strsep(&rest, " ");
    while (dash < count && strcmp(fields[dash], "-"))
        dash++;
    valid = dash + 3 < count;
    if (valid) {
        char *colon = strchr(fields[2], ':');
        if (colon)
            *colon = '\0';
        valid = colon && decimal(fields[0], ~0ul, &id) && decimal(fields[1], ~0ul, &parent) &&
                decimal(fields[2], 0xffffffff, &major) && decimal(colon + 1, 0xffffffff, &minor);
    }
    if (!valid || !mount) {
        good = valid == (mount != NULL);
    } else {
        good = mount->id == id && mount->parent == parent && mount->major == major && mount->minor == minor &&
               mount->propagates == (dash > 6) && says(fields[3], mount->root) && says(fields[4], mount->target) &&
               !strcmp(fields[5], mount->options) && says(fields[dash + 1], mount->fstype) &&
               says(fields[dash + 2], mount->source) && !strcmp(fields[dash + 3], mount->super);
    }
    free(fields);
    free(copy);
    return good;
}

static void check_words(const char *list, const char *name)
{
    size_t length = strlen(list), wanted = strlen(name);
    char *framed = malloc(length + 3), *word = malloc(wanted + 3);

    MUST(framed && word);
    snprintf(framed, length + 3, ",%s,", list);
    snprintf(word, wanted + 3, ",%s,", name);
    MUST(mountinfo_has(list, name) == (!strchr(name, ',') && strstr(framed, word)));
    free(framed);
    free(word);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size), *whole = fuzz_text(data, size), *cursor = text;
    struct mountinfo mount;
    size_t lines = 0, newlines = 0;
    int result;

    for (size_t i = 0; i < strlen(text); i++)
        newlines += text[i] == '\n';
    for (;;) {
        char *before = cursor;
        const char *line = whole + (before - text);
        result = mountinfo_next(&cursor, &mount);
        if (result <= 0) {
            MUST(result == 0 || !strchr(line, '\n') || agrees(line, NULL));
            MUST(result < 0 || !*line);
            break;
        }
        const char *fields[] = {mount.root, mount.target, mount.options, mount.fstype, mount.source, mount.super};
        lines++;
        MUST(cursor > before && cursor <= text + size && cursor[-1] == '\0');
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            MUST(fields[i] >= before && fields[i] < cursor);
            MUST(fields[i] + strlen(fields[i]) < cursor); /* ends within its own line */
        }
        MUST(agrees(line, &mount));
        check_words(mount.super, "memory");
        check_words(mount.super, mount.options);
        check_words(mount.options, "");
    }
    MUST(result == 0 || result == -EINVAL);
    MUST(lines <= newlines);
    MUST(result < 0 || lines == newlines);
    free(whole);
    free(text);
    return 0;
}
