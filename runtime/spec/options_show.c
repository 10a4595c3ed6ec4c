#include "options.h"

#include "options_table.h"

void options_help(FILE *out)
{
    fputs("usage: bivy run [OPTIONS] [--] COMMAND [ARG...]\n\n", out);
    for (size_t i = 0; i < options_verb_count; i++)
        fprintf(out, "  bivy %-9s %s\n", options_verbs[i].name, options_verbs[i].help);
    fputs("\noptions:\n", out);
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options_table[i];
        if (option->letter)
            fprintf(out, "  -%c, --%s%s%s\n", option->letter, option->name, option->value ? " " : "", option->value ? option->value : "");
        else
            fprintf(out, "  --%s%s%s\n", option->name, option->value ? " " : "", option->value ? option->value : "");
        fprintf(out, "        %s\n", option->help);
    }
    fputs("\nExit status: the command's own; 128+n a signal; 124 timeout; 125 bivy could not run it; 126, 127 not executable,\n"
          "not found. The record (--report) is the authority. man bivy has the rest.\n", out);
}

/* A dash in roff is a hyphen unless escaped, and a line must not begin with a dot. */
static void roff_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            fputc(*text, out);
    }
}

void options_roff(FILE *out)
{
    for (size_t i = 0; i < options_count; i++) {
        const struct option *option = &options_table[i];
        fputs(".TP\n", out);
        if (option->letter)
            fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
        fputs("\\fB", out);
        roff_text(out, "--");
        roff_text(out, option->name);
        fputs("\\fR", out);
        if (option->value) {
            fputs(" \\fI", out);
            roff_text(out, option->value);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        roff_text(out, option->help);
        fputs(".\n", out);
    }
}

void options_print(enum help form, FILE *out)
{
    static void (*const prints[])(FILE *) = {
        [HELP_PEOPLE] = options_help, [HELP_ROFF] = options_roff, [HELP_BASH] = options_bash,
        [HELP_ZSH] = options_zsh,     [HELP_FISH] = options_fish,
    };

    prints[form](out);
}
