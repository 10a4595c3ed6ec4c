/* options_table: the tables behind options: what can be asked of bivy. Everything that parses, documents or completes the command line
 * reads these, so that it cannot say anything else than what is parsed. Internal to options*.c. */
#ifndef BIVY_OPTIONS_TABLE_H
#define BIVY_OPTIONS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "spec.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define TIB ((uint64_t)1 << 40)
#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)

enum form { SIZE, SIZE_OR_NONE, TIME, MILLI, COUNT, TEXT, CHOICE, ENVIRONMENT, LIMITS, FLAG, RANGE, PROFILE };

/* The bit of a subcommand in option.verbs. */
#define FOR(verb) (1u << VERB_##verb)

/* One row an option. */
struct option {
    const char *name;
    char letter;
    enum form form;
    size_t field; /* in struct spec */
    uint64_t low, high;
    const char *const *words; /* of CHOICE and LIMITS, NULL-terminated */
    const char *value;        /* as the help shows it; DIR and FILE in it are what completions offer */
    const char *help;
    unsigned verbs; /* which subcommands it is for */
};

/* One row a subcommand. */
struct verb_row {
    const char *name;
    enum verb verb;
    enum { NO_WORDS, COMMAND, SHELL, ID, ID_SHELL } words; /* what stands behind the options; SHELL: a command, or none for a shell */
    const char *help;
};

extern const struct option options_table[];
extern const size_t options_count;
extern const struct verb_row options_verbs[];
extern const size_t options_verb_count;

/* The words of --network, of --log, and of --unenforced by enum limit: which of them a row has tells the type of its field. */
extern const char *const options_network_words[], *const options_log_words[], *const options_limit_words[];

#endif
