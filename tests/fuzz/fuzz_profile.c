/* A profile file. Its lines are read a second time by other means and put on a command line: both must give the same
 * spec, or refuse the same line. */
#include "options_source.h"

static const char *const with_value[] = {
    "rootfs", "workspace", "memory", "cpus", "pids", "timeout", "kill-after", "scratch", "scratch-inodes", "open-files",
    "network", "env", "affinity", "max-output", "output-limit", "report", "cgroup-parent", "host-uid", "host-gid",
    "unenforced", "file-size", "log", "keep-on-fail", "workspace-root", "user-id", "require-fs", "owner-range", "workspace-timeout", "sync",
};
static const char *const without_value[] = {"interactive", "tty", "summary", "quiet", "verbose", "explain", "timing",
                                            "create-workspace", "abort-stuck"};

static bool among(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(words[i], word))
            return true;
    return false;
}

#define AMONG(words, word) among(words, sizeof words / sizeof words[0], word)

struct line {
    char *name, *value; /* value NULL: a flag */
    bool wrong;         /* no option, or one too few or too many words: no command line can say it */
};

/* False: nothing on it. */
static bool read_line(const char *text, size_t length, struct line *line)
{
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        length--;
    while (length > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        length--;
    }
    if (length == 0 || *text == '#')
        return false;
    size_t name = 0, value;
    while (name < length && text[name] != ' ' && text[name] != '\t')
        name++;
    for (value = name; value < length && (text[value] == ' ' || text[value] == '\t');)
        value++;
    line->name = malloc(name + 3);
    MUST(line->name);
    snprintf(line->name, name + 3, "--%.*s", (int)name, text);
    line->value = value < length ? fuzz_text(text + value, length - value) : NULL;
    line->wrong = line->value ? !AMONG(with_value, line->name + 2) : !AMONG(without_value, line->name + 2);
    return true;
}

static void end_line(struct line *line)
{
    free(line->name);
    free(line->value);
}

/* The text as a command line: gives the number of the first line that cannot be said so, or 0. */
static unsigned as_words(const char *text, char ***out, size_t *out_count)
{
    size_t count = 2, room = 2 * strlen(text) + 8;
    char **words = calloc(room, sizeof *words);
    unsigned number = 0, wrong = 0;

    MUST(words);
    words[0] = fuzz_text("bivy", 4);
    words[1] = fuzz_text("run", 3);
    for (const char *at = text; *at && !wrong;) {
        size_t length = strcspn(at, "\n");
        struct line line;
        number++;
        if (read_line(at, length, &line)) {
            if (line.wrong) {
                wrong = number;
                end_line(&line);
            } else {
                words[count++] = line.name;
                if (line.value)
                    words[count++] = line.value;
            }
        }
        at += length + (at[length] == '\n');
    }
    words[count++] = fuzz_text("command", 7);
    MUST(count < room);
    *out = words;
    *out_count = count;
    return wrong;
}

/* Options that do not go together are refused when all of them are read, behind every fault of a single one. */
static bool of_all(const struct fault *fault)
{
    static const char *const ends[] = {": both were given", ": needs --user-id", ": needs --workspace-root", ": is not a user's id",
                                       ": there is no workspace"};
    size_t length = strlen(fault->what);

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (length > strlen(ends[i]) && !strcmp(fault->what + length - strlen(ends[i]), ends[i]))
            return true;
    return false;
}

static void check_words(const char *text, int result, const struct spec *spec, const struct fault *fault)
{
    struct spec other;
    struct fault why;
    char **words, place[64];
    size_t count;
    unsigned wrong = as_words(text, &words, &count);
    int expected = parse_anew((int)count, words, &other, &why);

    MUST(reads == 0);
    if (expected < 0 && !(wrong && of_all(&why))) { /* a value that is refused, before any line that is wrong in itself */
        MUST(result == expected);
        MUST(!strcmp(fault->what, why.what) && !strcmp(fault->hint, why.hint) && fault->errnum == why.errnum);
    } else if (wrong) {
        MUST(result < 0);
        snprintf(place, sizeof place, "profile ./p, line %u: ", wrong);
        MUST(!strncmp(fault->what, place, strlen(place)));
    } else {
        MUST(result == 0);
        same_spec(spec, &other);
    }
    options_release(&other);
    while (count)
        free(words[--count]);
    free(words);
}

static void check_text(const char *text, size_t size, int result, const struct spec *spec, const struct fault *fault)
{
    struct spec direct;
    struct fault why;
    char *copy = fuzz_text(text, size);

    options_defaults(&direct);
    if (options_profile(copy, "./p", &direct, &why) == 0)
        MUST(result == 0 || of_all(fault));
    else
        MUST(result < 0 && !strcmp(fault->what, why.what) && !strcmp(fault->hint, why.hint));
    check_numbers(&direct);
    if (direct.scratch == 0) /* what a command line gets when it is complete */
        direct.scratch = direct.memory / 2;
    if (direct.output_limit == 0)
        direct.output_limit = direct.max_output > 64 * MIB ? direct.max_output : 64 * MIB;
    if (direct.max_output == 0)
        direct.max_output = direct.tty && direct.interactive ? SPEC_UNLIMITED : 1 * MIB;
    if (result == 0)
        same_spec(spec, &direct);
    check_words(text, result, &direct, fault); /* not spec: its text goes with the next parsing */
    options_release(&direct);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char words[][10] = {"bivy", "run", "--profile", "./p", "command"};
    char *argv[] = {words[0], words[1], words[2], words[3], words[4], NULL};
    char *text = fuzz_text(data, size);
    struct spec spec;
    struct fault fault;

    profile = text;
    profile_length = size;
    int result = parse_anew(5, argv, &spec, &fault);
    MUST(reads == (size < sizeof profile_text));
    check_numbers(&spec);
    if (result < 0)
        check_fault(&fault);
    if (size >= sizeof profile_text)
        MUST(result == -EFBIG);
    else if (memchr(text, '\0', size))
        MUST(result < 0 && strstr(fault.what, "NUL"));
    else
        check_text(text, size, result, &spec, &fault);
    options_release(&spec);
    free(text);
    return 0;
}
