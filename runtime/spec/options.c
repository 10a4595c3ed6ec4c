#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "options_table.h"
#include "sys.h"
#include "units.h"

const char *limit_name(enum limit limit)
{
    return options_limit_words[limit];
}

void options_defaults(struct spec *spec)
{
    *spec = (struct spec){
        .verb = VERB_HELP,
        .memory = 256 * MIB,
        .cpu = 500,
        .pids = 50,
        .scratch = 0, /* half of --memory, decided below */
        .scratch_inodes = 32768,
        .open_files = 1024,
        .timeout = 30 * SECOND,
        .kill_after = 2 * SECOND,
        .max_output = 0,   /* decided below: a terminal that people look at shows all */
        .output_limit = 0, /* likewise: it follows --max-output */
        .file_size = SPEC_UNLIMITED,
        .host_uid = SPEC_UNSET_ID,
        .host_gid = SPEC_UNSET_ID,
        .network = NETWORK_NONE,
        .affinity = true,
        .owner_low = 1,
        .owner_high = 0xfffffffe,
        .workspace_timeout = 3 * SECOND,
    };
}

void options_release(struct spec *spec)
{
    free(spec->env);
    spec->env = NULL;
    spec->env_count = 0;
}

static const char *show_range(const struct option *option, char *text, size_t size)
{
    char low[UNITS_TIME_TEXT], high[UNITS_TIME_TEXT];

    switch (option->form) {
    case SIZE:
    case SIZE_OR_NONE:
        snprintf(text, size, "from %s to %s", units_show_size(option->low, low), units_show_size(option->high, high));
        break;
    case TIME:
        snprintf(text, size, "from %s to %s", units_show_time(option->low, low), units_show_time(option->high, high));
        break;
    case MILLI:
        snprintf(text, size, "from %g to %g", (double)option->low / 1000, (double)option->high / 1000);
        break;
    default:
        snprintf(text, size, "from %llu to %llu", (unsigned long long)option->low, (unsigned long long)option->high);
    }
    return text;
}

static int bad_option(const struct option *option, int error, const char *value, struct fault *fault)
{
    static const char *const mends[] = {
        [SIZE] = "write it like 256M or 1.5G (B, K, M, G, T)",
        [SIZE_OR_NONE] = "write it like 1M or 1.5G (B, K, M, G, T), or none",
        [TIME] = "write it like 30s, 500ms, 2m or 1h",
        [MILLI] = "write it like 0.5 or 2, three decimals at the most",
        [COUNT] = "write a plain decimal number",
        [TEXT] = "it may not be empty",
        [CHOICE] = "use one of the words that `bivy help` shows",
        [LIMITS] = "use memory, swap, cpu or pids",
        [RANGE] = "write it like 10000-59999",
        [ENVIRONMENT] = "write NAME=VALUE, or NAME to pass the caller's on",
    };
    char range[96];

    if (error == -ENOMEM)
        return fault_set(fault, STAGE_OPTIONS, ENOMEM, NULL, "--%s: out of memory", option->name);
    if (error == -ERANGE)
        return fault_set(fault, STAGE_OPTIONS, 0, show_range(option, range, sizeof range), "--%s \"%.200s\": is out of range",
                         option->name, value);
    return fault_set(fault, STAGE_OPTIONS, 0, mends[option->form], "--%s \"%.200s\": is not understood", option->name, value);
}

static int word_index(const char *const *words, const char *value)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], value))
            return i;
    return -EINVAL;
}

static int add_env(struct spec *spec, const char *value)
{
    char **env;

    if (!*value || *value == '=')
        return -EINVAL;
    env = realloc(spec->env, (spec->env_count + 1) * sizeof *env);
    if (!env)
        return -ENOMEM;
    spec->env = env;
    env[spec->env_count++] = (char *)(uintptr_t)value;
    return 0;
}

static int load_profile(struct spec *spec, const char *name, struct fault *fault);

/* "LOW-HIGH" into two neighbouring fields. */
static int set_range(const struct option *option, const char *value, uint64_t *numbers)
{
    char low[24];
    const char *dash = strchr(value, '-');
    size_t length = dash ? (size_t)(dash - value) : 0;
    int result;

    if (!dash || length >= sizeof low)
        return -EINVAL;
    memcpy(low, value, length);
    low[length] = '\0';
    if ((result = units_count(low, option->low, option->high, &numbers[0])) < 0 ||
        (result = units_count(dash + 1, option->low, option->high, &numbers[1])) < 0)
        return result;
    return numbers[0] <= numbers[1] ? 0 : -ERANGE;
}

static int set_value(struct spec *spec, const struct option *option, const char *value, struct fault *fault)
{
    char *field = (char *)spec + option->field;
    uint64_t *number = (uint64_t *)(void *)field;
    int result = 0;

    switch (option->form) {
    case SIZE_OR_NONE:
        if (!strcmp(value, "none")) {
            *number = SPEC_UNLIMITED;
            break;
        }
        result = units_size(value, option->low, option->high, number);
        break;
    case SIZE:
        result = units_size(value, option->low, option->high, number);
        break;
    case TIME:
        result = units_time(value, option->low, option->high, number);
        break;
    case MILLI:
        result = units_milli(value, option->low, option->high, number);
        break;
    case COUNT:
        result = units_count(value, option->low, option->high, number);
        break;
    case TEXT:
        result = *value ? 0 : -EINVAL;
        *(const char **)(void *)field = value;
        break;
    case CHOICE:
        result = word_index(option->words, value);
        if (result >= 0 && option->words == options_network_words)
            *(enum network *)(void *)field = (enum network)result;
        else if (result >= 0 && option->words == options_log_words)
            *(enum log *)(void *)field = (enum log)result;
        else if (result >= 0)
            *(bool *)(void *)field = result > 0;
        break;
    case LIMITS:
        result = word_index(option->words, value);
        if (result >= 0)
            *(unsigned *)(void *)field |= 1u << result;
        break;
    case ENVIRONMENT:
        result = add_env(spec, value);
        break;
    case FLAG:
        *(bool *)(void *)field = true;
        break;
    case RANGE:
        result = set_range(option, value, number);
        break;
    case PROFILE:
        return load_profile(spec, value, fault);
    }
    return result < 0 ? bad_option(option, result, value, fault) : 0;
}

static const struct option *find(const char *name, size_t length)
{
    for (size_t i = 0; i < options_count; i++)
        if (strlen(options_table[i].name) == length && !memcmp(options_table[i].name, name, length))
            return &options_table[i];
    return NULL;
}

static const struct option *find_letter(char letter)
{
    for (size_t i = 0; i < options_count; i++)
        if (letter && options_table[i].letter == letter)
            return &options_table[i];
    return NULL;
}

/* Profiles are read once and kept: the spec points into them. */
static char profile_text[16 * 1024];

static int load_profile(struct spec *spec, const char *name, struct fault *fault)
{
    char path[512];
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    ssize_t got = -ENOENT;

    if (spec->profile) /* the spec points into the text: a second one must not overwrite it */
        return fault_set(fault, STAGE_OPTIONS, 0, "put everything into one profile", "--profile %.200s: only one may be given", name);
    if (!*name)
        return fault_set(fault, STAGE_OPTIONS, 0, "name a profile", "--profile: the name is empty");
    if (strchr(name, '/')) {
        got = sys_read_file(AT_FDCWD, name, profile_text, sizeof profile_text);
    } else {
        if (config && *config && snprintf(path, sizeof path, "%s/bivy/profiles/%s", config, name) < (int)sizeof path)
            got = sys_read_file(AT_FDCWD, path, profile_text, sizeof profile_text);
        else if (home && *home && snprintf(path, sizeof path, "%s/.config/bivy/profiles/%s", home, name) < (int)sizeof path)
            got = sys_read_file(AT_FDCWD, path, profile_text, sizeof profile_text);
        if (got == -ENOENT && snprintf(path, sizeof path, "/etc/bivy/profiles/%s", name) < (int)sizeof path)
            got = sys_read_file(AT_FDCWD, path, profile_text, sizeof profile_text);
    }
    if (got < 0)
        return fault_set(fault, STAGE_OPTIONS, (int)-got, "name a file by its path, or put it into /etc/bivy/profiles",
                         "--profile %.200s: cannot be read", name);
    spec->profile = name;
    if (strlen(profile_text) != (size_t)got)
        return fault_set(fault, STAGE_OPTIONS, 0, "a profile is plain text", "--profile %.200s: holds a NUL byte", name);
    return options_profile(profile_text, name, spec, fault);
}

int options_profile(char *text, const char *name, struct spec *spec, struct fault *fault)
{
    unsigned number = 0;

    for (char *line = text, *next; line && *line; line = next) {
        number++;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        while (*line == ' ' || *line == '\t')
            line++;
        for (char *end = line + strlen(line); end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r');)
            *--end = '\0';
        if (!*line || *line == '#')
            continue;
        size_t span = strcspn(line, " \t");
        char *value = line + span;
        while (*value == ' ' || *value == '\t')
            *value++ = '\0';
        const struct option *option = find(line, span);
        if (!option || option->form == PROFILE || !(option->verbs & FOR(RUN)))
            return fault_set(fault, STAGE_OPTIONS, 0, "each line is an option's name without dashes, blanks, and its value",
                             "profile %.100s, line %u: no such option \"%.100s\"", name, number, line);
        if ((option->form == FLAG) != !*value)
            return fault_set(fault, STAGE_OPTIONS, 0, "each line is an option's name without dashes, blanks, and its value",
                             "profile %.100s, line %u: \"%.100s\" %s", name, number, option->name,
                             *value ? "takes no value" : "needs a value");
        int result = set_value(spec, option, value, fault);
        if (result < 0)
            return result;
    }
    return 0;
}

static const struct verb_row *find_verb(const char *name)
{
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    else if (!strcmp(name, "--version"))
        name = "version";
    for (size_t i = 0; i < options_verb_count; i++)
        if (!strcmp(options_verbs[i].name, name))
            return &options_verbs[i];
    return NULL;
}

/* An option that was found and its value, argv[*at] where it is not in the same word. */
static int give_value(const struct option *option, const char *value, char **argv, int *at, struct spec *spec, struct fault *fault)
{
    if (!(option->verbs & 1u << spec->verb))
        return fault_set(fault, STAGE_OPTIONS, 0, "bivy help lists the options and what they are for", "--%s: not an option of this subcommand",
                         option->name);
    if (option->form == FLAG) {
        if (value)
            return fault_set(fault, STAGE_OPTIONS, 0, NULL, "--%s takes no value", option->name);
        value = "";
    } else if (!value) {
        if (!argv[*at])
            return fault_set(fault, STAGE_OPTIONS, 0, NULL, "--%s needs a value: --%s %s", option->name, option->name, option->value);
        value = argv[(*at)++];
    }
    return set_value(spec, option, value, fault);
}

static int unknown_option(const char *word, struct fault *fault)
{
    return fault_set(fault, STAGE_OPTIONS, 0, "bivy help lists the options; put -- before a command that begins with a dash",
                     "unknown option: %.200s", word);
}

/* -i, -w DIR, and flags together: -it. */
static int parse_letters(const char *word, char **argv, int *at, struct spec *spec, struct fault *fault)
{
    const struct option *option;
    int result;

    for (const char *letter = word + 1; *letter; letter++)
        if (!(option = find_letter(*letter)) || (option->form != FLAG && word[2]))
            return unknown_option(word, fault);
    for (const char *letter = word + 1; *letter; letter++)
        if ((result = give_value(find_letter(*letter), NULL, argv, at, spec, fault)) < 0)
            return result;
    return 0;
}

/* One option at argv[*at]; moves *at behind it and its value. */
static int parse_option(char **argv, int *at, struct spec *spec, struct fault *fault)
{
    const char *word = argv[(*at)++];
    const struct option *option;
    const char *equals;

    if (word[1] != '-')
        return parse_letters(word, argv, at, spec, fault);
    equals = strchr(word, '=');
    option = find(word + 2, strcspn(word + 2, "="));
    return option ? give_value(option, equals ? equals + 1 : NULL, argv, at, spec, fault) : unknown_option(word, fault);
}

/* One path component, of characters that need no quoting anywhere, and never one that a server might keep for itself (a dot in front). */
static bool is_id(const char *id)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t length = strlen(id);

    return length > 0 && length <= 128 && strchr(letters, id[0]) &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@+-") == length;
}

/* Options that mean something only together. */
static int check_together(const struct spec *spec, struct fault *fault)
{
    if (spec->workspace && spec->workspace_root)
        return fault_set(fault, STAGE_OPTIONS, 0, "give one of the two", "--workspace and --workspace-root: both were given");
    if (spec->workspace_root && !spec->user_id)
        return fault_set(fault, STAGE_OPTIONS, 0, "say whose workspace: --user-id ID", "--workspace-root: needs --user-id");
    if (spec->user_id && !spec->workspace_root)
        return fault_set(fault, STAGE_OPTIONS, 0, "say where the workspaces are: --workspace-root DIR", "--user-id: needs --workspace-root");
    if (spec->user_id && !is_id(spec->user_id))
        return fault_set(fault, STAGE_OPTIONS, 0, "1 to 128 letters, digits and . _ @ + -, the first a letter, a digit or _",
                         "--user-id \"%.200s\": is not a user's id", spec->user_id);
    if (spec->create_workspace && !spec->workspace_root)
        return fault_set(fault, STAGE_OPTIONS, 0, "name the root: --workspace-root DIR", "--create-workspace: needs --workspace-root");
    if ((spec->sync || spec->abort_stuck || spec->require_fs) && !spec_binds(spec))
        return fault_set(fault, STAGE_OPTIONS, 0, "name it: --workspace DIR", "--%s: there is no workspace",
                         spec->sync ? "sync" : spec->abort_stuck ? "abort-stuck" : "require-fs");
    return 0;
}

/* `bivy help --roff`, and the like for what else the build makes of the table. */
static bool options_form(const char *word, struct spec *spec)
{
    static const char *const words[] = {
        [HELP_ROFF] = "--roff",
        [HELP_BASH] = "--completion=bash",
        [HELP_ZSH] = "--completion=zsh",
        [HELP_FISH] = "--completion=fish",
    };

    for (size_t i = HELP_ROFF; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(words[i], word)) {
            spec->help = (enum help)i;
            return true;
        }
    return false;
}

/* What a run's id is: it becomes the name of a directory. */
static bool is_run_id(const char *id)
{
    return strlen(id) == SPEC_ID_LENGTH && strspn(id, SPEC_ID_LETTERS) == SPEC_ID_LENGTH;
}

static int take_words(const struct verb_row *verb, char **words, struct spec *spec, struct fault *fault)
{
    static char shell[] = "sh", *only_shell[] = {shell, NULL};

    if (verb->words == ID || verb->words == ID_SHELL) {
        if (!*words)
            return fault_set(fault, STAGE_OPTIONS, 0, "bivy ps lists them", "no sandbox was named: bivy %s ID", verb->name);
        if (!is_run_id(*words))
            return fault_set(fault, STAGE_OPTIONS, 0, "bivy ps lists the live ones", "\"%.200s\": is not a sandbox's id", *words);
        spec->id = *words++;
        if (*words && !strcmp(*words, "--"))
            words++;
    }
    if (verb->words == COMMAND && !*words)
        return fault_set(fault, STAGE_OPTIONS, 0, "put the command behind --: bivy run -- sh -c 'echo hi'", "no command was given");
    if ((verb->words == NO_WORDS || verb->words == ID) && *words)
        return fault_set(fault, STAGE_OPTIONS, 0, "bivy help shows the form", "one word too many: %.200s", *words);
    if (*words && !**words)
        return fault_set(fault, STAGE_OPTIONS, 0, "name a program", "the command's name is empty");
    if (verb->words == COMMAND || verb->words == SHELL || verb->words == ID_SHELL)
        spec->argv = *words ? words : only_shell;
    return 0;
}

/* What a subcommand has from the start. */
static void begin_verb(enum verb verb, struct spec *spec)
{
    options_defaults(spec);
    spec->verb = verb;
    if (verb == VERB_SHELL) {
        spec->interactive = spec->tty = true;
        spec->timeout = HOUR;
        spec->max_output = spec->output_limit = SPEC_UNLIMITED;
    }
}

int options_parse(int argc, char **argv, struct spec *spec, struct fault *fault)
{
    const struct verb_row *verb;
    struct fault later;
    int at = 1, result, bad = 0;

    options_defaults(spec);
    if (argc < 2)
        return fault_set(fault, STAGE_OPTIONS, 0, "try: bivy run -- sh -c 'echo hi'", "no subcommand was given");
    if (!(verb = find_verb(argv[at++])))
        return fault_set(fault, STAGE_OPTIONS, 0, "bivy help lists what there is", "no such subcommand: %.200s", argv[1]);
    begin_verb(verb->verb, spec);
    while (argv[at] && argv[at][0] == '-' && argv[at][1]) {
        if (!strcmp(argv[at], "--")) {
            at++;
            break;
        }
        if (verb->verb == VERB_HELP && options_form(argv[at], spec)) {
            at++;
            continue;
        }
        if (verb->verb != VERB_HELP && !bad && (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h"))) {
            spec->verb = VERB_HELP;
            return 0;
        }
        /* After the first fault the rest is still read, so that a --report behind it gets its record. */
        result = parse_option(argv, &at, spec, bad ? &later : fault);
        bad = bad ? bad : result;
    }
    if (bad || (bad = take_words(verb, &argv[at], spec, fault)) < 0 || (bad = check_together(spec, fault)) < 0)
        return bad;
    if (spec->verb == VERB_SELFTEST)
        spec->argv = &argv[1];
    if (spec->scratch == 0)
        spec->scratch = spec->memory / 2;
    if (spec->output_limit == 0)
        spec->output_limit = spec->max_output > 64 * MIB ? spec->max_output : 64 * MIB;
    if (spec->max_output == 0)
        spec->max_output = spec->tty && spec->interactive ? SPEC_UNLIMITED : 1 * MIB;
    return 0;
}
