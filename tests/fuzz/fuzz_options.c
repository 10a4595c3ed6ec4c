/* The command line. Input: words, each ended by NUL; an empty word ends the command line, and what follows is what
 * every --profile reads. Whatever is accepted must mean the same when each option is written in its other form. */
#include "options_source.h"

static bool is_flag(const char *name)
{
    static const char *const flags[] = {"interactive", "tty", "summary", "quiet", "verbose", "explain", "timing", "create-workspace", "abort-stuck"};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (!strcmp(flags[i], name))
            return true;
    return false;
}

/* NULL: no such flag of one letter. */
static const char *flag_of(char letter)
{
    return letter == 'i' ? "--interactive" : letter == 't' ? "--tty" : letter == 'q' ? "--quiet" : letter == 'v' ? "--verbose" : NULL;
}

/* "--a=b" for "--a" "b" and the other way about, long names for letters, and "--" before the command. */
static void check_other_forms(char **argv, const struct spec *spec)
{
    size_t words = 0, letters = 0, at = 2, count = 2;
    struct spec other;
    struct fault fault;

    while (argv[words])
        letters += strlen(argv[words++]);
    char **form = calloc(2 * words + letters + 2, sizeof *form);
    MUST(form);
    form[0] = fuzz_text(argv[0], strlen(argv[0]));
    form[1] = fuzz_text(argv[1], strlen(argv[1]));
    while (&argv[at] < spec->argv) {
        const char *word = argv[at++], *equals = strchr(word, '=');
        if (!strcmp(word, "--"))
            break;
        if (word[1] != '-' && flag_of(word[1])) {
            for (const char *letter = word + 1; *letter; letter++) {
                const char *name = flag_of(*letter);
                MUST(name);
                form[count++] = fuzz_text(name, strlen(name));
            }
        } else if (word[1] != '-' || (!equals && !is_flag(word + 2))) {
            const char *name = !strcmp(word, "-w") ? "--workspace" : !strcmp(word, "-e") ? "--env" : word;
            size_t room = strlen(name) + strlen(argv[at]) + 2;
            form[count] = malloc(room);
            MUST(form[count]);
            snprintf(form[count++], room, "%s=%s", name, argv[at++]);
        } else if (equals) {
            form[count++] = fuzz_text(word, (size_t)(equals - word));
            form[count++] = fuzz_text(equals + 1, strlen(equals + 1));
        } else {
            form[count++] = fuzz_text(word, strlen(word));
        }
    }
    MUST(&argv[at] == spec->argv); /* a walk by other means ends at the same word */
    form[count++] = fuzz_text("--", 2);
    size_t command = count;
    for (; argv[at]; at++)
        form[count++] = fuzz_text(argv[at], strlen(argv[at]));
    MUST(parse_anew((int)count, form, &other, &fault) == 0);
    MUST(other.verb == spec->verb && other.argv == &form[command]);
    same_text(other.profile, spec->profile);
    same_spec(spec, &other);
    options_release(&other);
    while (count)
        free(form[--count]);
    free(form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *argv[130] = {fuzz_text("bivy", 4)};
    int argc = 1;
    struct spec spec;
    struct fault fault;

    while (size > 0 && argc < 129) {
        const uint8_t *end = memchr(data, '\0', size);
        size_t span = end ? (size_t)(end - data) : size;
        if (span == 0) { /* the profile */
            data++;
            size--;
            break;
        }
        argv[argc++] = fuzz_text(data, span);
        data += span + (end != NULL);
        size -= span + (end != NULL);
    }
    profile = (const char *)data;
    profile_length = size;

    int result = parse_anew(argc, argv, &spec, &fault);
    check_numbers(&spec);
    if (result < 0) {
        check_fault(&fault);
    } else {
        bool runs = spec.verb == VERB_RUN || spec.verb == VERB_PLAN, found = false;
        for (int i = 1; i < argc; i++)
            found |= spec.argv == &argv[i];
        MUST(!runs || (found && spec.argv[0][0]));
        MUST(spec.verb <= VERB_VERSION);
        MUST((spec.verb == VERB_KILL || spec.verb == VERB_ENTER) == (spec.id != NULL));
        MUST(!spec.id || (strlen(spec.id) == SPEC_ID_LENGTH && !strpbrk(spec.id, "/.\n")));
        MUST((spec.verb != VERB_SHELL && spec.verb != VERB_ENTER) || (spec.argv && spec.argv[0][0]));
        MUST(!runs || (spec.scratch > 0 && spec.output_limit >= 1024 && spec.max_output >= 1024));
        MUST(!runs || !spec.rootfs || *spec.rootfs);
        MUST(!runs || !spec.workspace || *spec.workspace);
        MUST(!runs || !spec.report || *spec.report);
        MUST(!runs || !spec.cgroup_parent || *spec.cgroup_parent);
        if (runs)
            check_other_forms(argv, &spec);
    }
    options_release(&spec);
    while (argc)
        free(argv[--argc]);
    return 0;
}
