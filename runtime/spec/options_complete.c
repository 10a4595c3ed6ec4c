#include <string.h>

#include "options.h"
#include "options_table.h"

/* What a value is, as far as a shell can help with it. */
enum kind { NOTHING, DIRECTORIES, FILES, WORDS, VARIABLES, PROFILES };

static enum kind kind_of(const struct option *option)
{
    if (option->form == PROFILE)
        return PROFILES;
    if (option->form == ENVIRONMENT)
        return VARIABLES;
    if (option->words)
        return WORDS;
    if (option->form == TEXT && !strncmp(option->value, "DIR", 3))
        return DIRECTORIES;
    return option->form == TEXT && !strncmp(option->value, "FILE", 4) ? FILES : NOTHING;
}

static bool repeats(const struct option *option)
{
    return option->form == ENVIRONMENT || option->form == LIMITS;
}

static bool is_for(const struct option *option, const struct verb_row *verb)
{
    return option->verbs & 1u << verb->verb;
}

static void put_words(FILE *out, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", words[i]);
}

/* The first thing that a help text says, inside single quotes; before each byte of `escaped` a backslash. */
static void put_brief(FILE *out, const char *help, const char *escaped, const char *quote)
{
    const char *end = strstr(help, "; ");

    for (; *help && help != end; help++)
        if (*help == '\'') {
            fputs(quote, out);
        } else {
            if (strchr(escaped, *help))
                fputc('\\', out);
            fputc(*help, out);
        }
}

/* ---- bash ---- */

/* The options of one kind as a case pattern, and what is done for them. */
static void bash_case(FILE *out, enum kind kind, const char *does)
{
    bool any = false;

    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options_table[i];
        if (option->form == FLAG || kind_of(option) != kind)
            continue;
        fprintf(out, "%s--%s", any ? " | " : "    ", option->name);
        if (option->letter)
            fprintf(out, " | -%c", option->letter);
        any = true;
    }
    if (any)
        fprintf(out, ") %s ;;\n", does);
}

static const char bash_begin[] =
    "# bash completion for bivy, made from its option table by: bivy help --completion=bash\n"
    "\n"
    "_bivy_ids() {\n"
    "    local id rest\n"
    "    while read -r id rest; do\n"
    "        [[ ! $id =~ ^[0-9a-z]{12}$ ]] || printf '%s\\n' \"$id\"\n"
    "    done < <(\"$1\" ps ${2:+--cgroup-parent \"$2\"} 2>/dev/null)\n"
    "}\n"
    "\n"
    "_bivy_profiles() {\n"
    "    local dir\n"
    "    for dir in \"${XDG_CONFIG_HOME:-$HOME/.config}/bivy/profiles\" /etc/bivy/profiles; do\n"
    "        (cd -- \"$dir\" 2>/dev/null && compgen -f -- \"$1\")\n"
    "    done\n"
    "}\n"
    "\n"
    "# The values of option $1 that begin with $2, into COMPREPLY. compopt counts only in this shell, not in one whose output is read:\n"
    "# without it bash would put the name of a file into the line as it is, and what is in that for a shell would be run.\n"
    "_bivy_values() {\n"
    "    case $1 in\n";

static const char bash_end[] =
    "    esac\n"
    "}\n"
    "\n"
    "_bivy() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]-} option='' parent='' began=no i\n"
    "    COMPREPLY=()\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$_bivy_verbs\" -- \"$word\")\n"
    "        return\n"
    "    fi\n"
    "    # Options end at --, or at the first word that is neither one nor the value of one.\n"
    "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        --) began=yes; break ;;\n"
    "        -*) ;;\n"
    "        *) began=yes; break ;;\n"
    "        esac\n"
    "        [[ \" $_bivy_valued \" == *\" ${COMP_WORDS[i]} \"* ]] || continue\n"
    "        option=${COMP_WORDS[i++]}\n"
    "        # bash makes three words of --option=value.\n"
    "        if ((i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == '=' ]]; then\n"
    "            i=$((i + 1))\n"
    "        fi\n"
    "        [[ $option != --cgroup-parent ]] || parent=${COMP_WORDS[i]}\n"
    "        ((i == COMP_CWORD)) || option=''\n"
    "    done\n"
    "    if [[ -n $option ]]; then\n"
    "        [[ $word != '=' ]] || word=''\n"
    "        _bivy_values \"$option\" \"$word\"\n"
    "    elif [[ $began == no && $word == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_bivy_options \"$verb\")\" -- \"$word\")\n"
    "    elif [[ $began == no && \" $_bivy_named \" == *\" $verb \"* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_bivy_ids \"${COMP_WORDS[0]}\" \"$parent\")\" -- \"$word\")\n"
    "    elif [[ \" $_bivy_commands \" == *\" $verb \"* ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "    fi\n"
    "}\n"
    "complete -F _bivy bivy\n";

/* The subcommands with words of one of two sorts behind the options. */
static void put_verbs(FILE *out, int one, int other)
{
    const char *between = "";

    for (size_t i = 0; i < options_verb_count; i++)
        if ((int)options_verbs[i].words == one || (int)options_verbs[i].words == other) {
            fprintf(out, "%s%s", between, options_verbs[i].name);
            between = " ";
        }
}

static void bash_values(FILE *out)
{
    bash_case(out, DIRECTORIES, "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$2\")");
    bash_case(out, FILES, "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$2\")");
    bash_case(out, VARIABLES, "mapfile -t COMPREPLY < <(compgen -e -- \"$2\")");
    bash_case(out, PROFILES, "compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(_bivy_profiles \"$2\")");
    for (size_t i = 0; i < options_count; i++)
        if (kind_of(&options_table[i]) == WORDS) {
            fprintf(out, "    --%s) mapfile -t COMPREPLY < <(compgen -W '", options_table[i].name);
            put_words(out, options_table[i].words);
            fputs("' -- \"$2\") ;;\n", out);
        }
}

void options_bash(FILE *out)
{
    fputs(bash_begin, out);
    bash_values(out);
    fputs("    esac\n}\n\n_bivy_verbs='", out);
    for (size_t i = 0; i < options_verb_count; i++)
        fprintf(out, "%s%s", i ? " " : "", options_verbs[i].name);
    fputs("'\n_bivy_named='", out);
    put_verbs(out, ID, ID_SHELL);
    fputs("'\n_bivy_commands='", out);
    put_verbs(out, COMMAND, SHELL);
    fputs("'\n_bivy_valued='", out);
    for (size_t i = 0; i < options_count; i++) {
        if (options_table[i].form == FLAG)
            continue;
        fprintf(out, "%s--%s", i ? " " : "", options_table[i].name);
        if (options_table[i].letter)
            fprintf(out, " -%c", options_table[i].letter);
    }
    fputs("'\n\n_bivy_options() {\n    case $1 in\n", out);
    for (size_t v = 0; v < options_verb_count; v++) {
        fprintf(out, "    %s) echo '--help", options_verbs[v].name);
        for (size_t i = 0; i < options_count; i++)
            if (is_for(&options_table[i], &options_verbs[v]))
                fprintf(out, " --%s", options_table[i].name);
        fputs("' ;;\n", out);
    }
    fputs(bash_end, out);
}

/* ---- zsh ---- */

static const char zsh_begin[] =
    "#compdef bivy\n"
    "# zsh completion for bivy, made from its option table by: bivy help --completion=zsh\n"
    "\n"
    "_bivy_ids() {\n"
    "    local -a ids\n"
    "    local parent=${(Q)opt_args[--cgroup-parent]}\n" /* as it was typed, and _call_program evaluates its words */
    "    ids=(${${(f)\"$(_call_program ids bivy ps ${parent:+--cgroup-parent=${(q)parent}} 2>/dev/null)\"}%%[[:blank:]]*})\n"
    "    ids=(${(M)ids:#[0-9a-z](#c12)})\n"
    "    _describe -t ids 'sandbox' ids\n"
    "}\n"
    "\n"
    "_bivy_profiles() {\n"
    "    _files -W \"(${XDG_CONFIG_HOME:-$HOME/.config}/bivy/profiles /etc/bivy/profiles)\" || _files\n"
    "}\n"
    "\n"
    "_bivy() {\n"
    "    local curcontext=$curcontext ret=1\n"
    "    local -A opt_args\n"
    "    local -a verbs\n";

static void zsh_value(FILE *out, const struct option *option)
{
    fprintf(out, ":%s:", option->value);
    switch (kind_of(option)) {
    case DIRECTORIES:
        fputs("_directories", out);
        break;
    case FILES:
        fputs("_files", out);
        break;
    case VARIABLES:
        fputs("_parameters -g \"*export*\"", out);
        break;
    case PROFILES:
        fputs("_bivy_profiles", out);
        break;
    case WORDS:
        fputc('(', out);
        put_words(out, option->words);
        fputc(')', out);
        break;
    case NOTHING:
        fputc(' ', out);
    }
}

static void zsh_option(FILE *out, const struct option *option)
{
    const char *equals = option->form == FLAG ? "" : "=";

    fputs("            ", out);
    if (option->letter && repeats(option))
        fprintf(out, "'*'{-%c+,--%s=}'[", option->letter, option->name);
    else if (option->letter)
        fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", option->letter, option->name, option->letter, *equals ? "+" : "", option->name, equals);
    else
        fprintf(out, "'%s--%s%s[", repeats(option) ? "*" : "", option->name, equals);
    put_brief(out, option->help, "[]\\", "'\\''");
    fputc(']', out);
    if (option->form != FLAG)
        zsh_value(out, option);
    fputs("' \\\n", out);
}

static void zsh_verb(FILE *out, const struct verb_row *verb)
{
    fprintf(out, "    %s)\n        _arguments -s -S : \\\n", verb->name);
    for (size_t i = 0; i < options_count; i++)
        if (is_for(&options_table[i], verb))
            zsh_option(out, &options_table[i]);
    fputs("            '(- *)'{-h,--help}'[list the options]'", out);
    if (verb->words == ID || verb->words == ID_SHELL)
        fputs(" \\\n            '1:sandbox:_bivy_ids'", out);
    if (verb->words == COMMAND || verb->words == SHELL || verb->words == ID_SHELL)
        fputs(" \\\n            '*:::command:_files'", out);
    fputs(" && ret=0\n        ;;\n", out);
}

void options_zsh(FILE *out)
{
    fputs(zsh_begin, out);
    fputs("    verbs=(\n", out);
    for (size_t i = 0; i < options_verb_count; i++) {
        fprintf(out, "        '%s:", options_verbs[i].name);
        put_brief(out, options_verbs[i].help, "\\", "'\\''");
        fputs("'\n", out);
    }
    fputs("    )\n"
          "    if ((CURRENT == 2)); then\n"
          "        _describe -t commands 'subcommand' verbs\n"
          "        return\n"
          "    fi\n"
          "    shift words\n"
          "    ((CURRENT--))\n"
          "    case $words[1] in\n",
          out);
    for (size_t i = 0; i < options_verb_count; i++)
        zsh_verb(out, &options_verbs[i]);
    fputs("    esac\n    return ret\n}\n\n_bivy \"$@\"\n", out);
}

/* ---- fish ---- */

static const char fish_begin[] =
    "# fish completion for bivy, made from its option table by: bivy help --completion=fish\n"
    "\n"
    "# The subcommand is one of these, and no word of its own follows it yet.\n"
    "function __bivy_in\n"
    "    set -l words (commandline -opc)\n"
    "    test (count $words) -ge 2; and contains -- $words[2] $argv; or return 1\n"
    "    set -l value no\n"
    "    for word in $words[3..-1]\n"
    "        if test $value = yes\n"
    "            set value no\n"
    "        else if test \"$word\" = --\n"
    "            return 1\n"
    "        else if contains -- \"$word\" $__bivy_valued\n"
    "            set value yes\n"
    "        else if not string match -q -- '-*' \"$word\"\n"
    "            return 1\n"
    "        end\n"
    "    end\n"
    "end\n"
    "\n"
    "function __bivy_ids\n"
    "    set -l last ''\n"
    "    set -l parent\n"
    "    for word in (commandline -opc)\n"
    "        test \"$last\" = --cgroup-parent; and set parent --cgroup-parent=$word\n"
    "        string match -q -- '--cgroup-parent=*' \"$word\"; and set parent $word\n"
    "        set last $word\n"
    "    end\n"
    "    bivy ps $parent 2>/dev/null | string match -r '^[0-9a-z]{12}(?=\\s|$)'\n"
    "end\n"
    "\n"
    "function __bivy_profiles\n"
    "    set -l config $HOME/.config\n"
    "    set -q XDG_CONFIG_HOME; and set config $XDG_CONFIG_HOME\n"
    "    for file in $config/bivy/profiles/* /etc/bivy/profiles/*\n"
    "        path basename $file 2>/dev/null; or string replace -r '.*/' '' -- $file\n"
    "    end\n"
    "    __fish_complete_path\n"
    "end\n"
    "\n"
    "complete -c bivy -f\n";

static void fish_value(FILE *out, const struct option *option)
{
    switch (kind_of(option)) {
    case DIRECTORIES:
        fputs(" -x -a '(__fish_complete_directories)'", out);
        break;
    case FILES:
        fputs(" -r -F", out);
        break;
    case VARIABLES:
        fputs(" -x -a '(set -xn)'", out);
        break;
    case PROFILES:
        fputs(" -x -a '(__bivy_profiles)'", out);
        break;
    case WORDS:
        fputs(" -x -a '", out);
        put_words(out, option->words);
        fputc('\'', out);
        break;
    case NOTHING:
        fputs(" -x", out);
    }
}

static void fish_option(FILE *out, const struct option *option)
{
    fputs("complete -c bivy -n '__bivy_in", out);
    for (size_t v = 0; v < options_verb_count; v++)
        if (is_for(option, &options_verbs[v]))
            fprintf(out, " %s", options_verbs[v].name);
    fprintf(out, "' -l %s", option->name);
    if (option->letter)
        fprintf(out, " -s %c", option->letter);
    if (option->form != FLAG)
        fish_value(out, option);
    fputs(" -d '", out);
    put_brief(out, option->help, "\\", "\\'");
    fputs("'\n", out);
}

void options_fish(FILE *out)
{
    fputs(fish_begin, out);
    fputs("set -g __bivy_valued", out);
    for (size_t i = 0; i < options_count; i++) {
        if (options_table[i].form == FLAG)
            continue;
        fprintf(out, " --%s", options_table[i].name);
        if (options_table[i].letter)
            fprintf(out, " -%c", options_table[i].letter);
    }
    fputc('\n', out);
    for (size_t i = 0; i < options_verb_count; i++) {
        fprintf(out, "complete -c bivy -n 'test (count (commandline -opc)) -eq 1' -a %s -d '", options_verbs[i].name);
        put_brief(out, options_verbs[i].help, "\\", "\\'");
        fputs("'\n", out);
    }
    for (size_t i = 0; i < options_count; i++)
        fish_option(out, &options_table[i]);
    fputs("complete -c bivy -n '__bivy_in ", out);
    put_verbs(out, ID, ID_SHELL);
    fputs("' -a '(__bivy_ids)'\ncomplete -c bivy -n 'contains -- (commandline -opc)[2] ", out);
    put_verbs(out, COMMAND, SHELL);
    fputs("' -F\n", out);
}
