/* options: argv -> struct spec, by one table from which the help text, the man page and the completions come too. */
#ifndef BIVY_OPTIONS_H
#define BIVY_OPTIONS_H

#include <stdio.h>

#include "fault.h"
#include "spec.h"

/* Parses the whole command line. 0, or -errno with *fault naming the option and the mend. spec->env is allocated (freed by
 * options_release); every other pointer is into argv or a profile kept until options_release. */
int options_parse(int argc, char **argv, struct spec *spec, struct fault *fault);

/* As options_parse of a profile file's text: one "name value" a line, # comments, blank lines; text is changed in place. */
int options_profile(char *text, const char *name, struct spec *spec, struct fault *fault);

void options_defaults(struct spec *spec);
void options_release(struct spec *spec);

/* The table, as the help text, as roff for the man page, or as a shell's completion script. */
void options_print(enum help form, FILE *out);
void options_help(FILE *out);
void options_roff(FILE *out);
void options_bash(FILE *out);
void options_zsh(FILE *out);
void options_fish(FILE *out);

const char *limit_name(enum limit limit);

#endif
