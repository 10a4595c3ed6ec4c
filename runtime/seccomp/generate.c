/*
 * Build-time generator: policy table in, filter as C source out. It runs on the build machine and is the only part that
 * needs libseccomp, which gives a second opinion: what is written is seccomp_compile()'s program, but only after
 * libseccomp has made one of the same table with its own numbers, and the interpreter has found either equal to it.
 *
 *     generate MACHINE OUTPUT [SYMBOL]   write OUTPUT, a C source defining SYMBOL, SYMBOL_len, SYMBOL_sha256, the same of
 *                                        SYMBOL_explained, and SYMBOL_answers and SYMBOL_names (seccomp_filter when left out, as seccomp_filter.h declares)
 *     generate --table MACHINE           print the golden table
 *     generate --doc                     print docs/seccomp.md
 *     generate --check                   say which syscalls libseccomp knows that the table does not mention
 *
 * MACHINE is x86_64 or aarch64. Exit status 0, or 1 with the reason on stderr.
 */
#include "compile.h"
#include "policy.h"
#include "print.h"
#include "sha256.h"
#include "verify.h"

#include <linux/filter.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t token_of(enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? SCMP_ARCH_X86_64 : SCMP_ARCH_AARCH64;
}

static int failed(const char *what, int r)
{
    fprintf(stderr, "generate: %s: %s\n", what, strerror(-r));
    return r;
}

/*
 * The table's number must be libseccomp's. A name libseccomp does not know is newer than it and the table's number has
 * to do; a negative answer for a name it knows says that the architecture lacks the call.
 */
static int check_number(const struct seccomp_rule *rule, enum seccomp_machine machine)
{
    int ours = seccomp_rule_number(rule, machine);
    int theirs = seccomp_syscall_resolve_name_arch(token_of(machine), rule->name);

    if (theirs == __NR_SCMP_ERROR || theirs == ours || (theirs < 0 && ours < 0))
        return 0;
    fprintf(stderr, "generate: %s on %s: the table says %d, libseccomp %d; mend runtime/seccomp/policy.c\n", rule->name,
            seccomp_machine_name(machine), ours, theirs);
    return -EINVAL;
}

static int has_same_conditions(const struct seccomp_rule *less, const struct seccomp_rule *more)
{
    for (size_t i = 0; i < seccomp_rule_conditions(less); i++) {
        const struct seccomp_condition *a = &less->conditions[i];
        const struct seccomp_condition *b = &more->conditions[i];

        if (a->argument != b->argument || a->mask != b->mask || a->value != b->value)
            return 0;
    }
    return 1;
}

/*
 * The rule before this one, of the same syscall, that asks the same and more; NULL if there is none. This rule is then
 * its "else".
 */
static const struct seccomp_rule *narrower(size_t index)
{
    const struct seccomp_rule *rule = &seccomp_rules[index];
    size_t n = seccomp_rule_conditions(rule);

    for (size_t i = index; i-- > 0 && strcmp(seccomp_rules[i].name, rule->name) == 0;) {
        if (seccomp_rule_conditions(&seccomp_rules[i]) > n && has_same_conditions(rule, &seccomp_rules[i]))
            return &seccomp_rules[i];
    }
    return NULL;
}

static bool is_mentioned(int number, enum seccomp_machine machine)
{
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        if (seccomp_rule_number(&seccomp_rules[i], machine) == number)
            return true;
    }
    return false;
}

/*
 * What libseccomp can say nothing about: numbers it has no name for, being older than they are, and x32 numbers, which
 * it takes for a foreign architecture.
 */
static bool leaves_out(enum seccomp_machine machine, uint32_t number)
{
    char *name;
    bool known;

    if (number >= SECCOMP_POLICY_X32_BIT)
        return true;
    name = seccomp_syscall_resolve_num_arch(token_of(machine), (int)number);
    known = name != NULL;
    free(name);
    return !known && is_mentioned((int)number, machine);
}

/*
 * libseccomp has no "else": a rule that asks less swallows those that ask more. An else is therefore put as a
 * comparison of its own, "the argument that the narrower rules test next is >= 0", which always holds and which
 * libseccomp tests after the masked comparisons of that argument. libseccomp does not promise that order;
 * seccomp_verify() sees to it.
 */
static int add_rule(scmp_filter_ctx filter, size_t index, enum seccomp_machine machine)
{
    const struct seccomp_rule *rule = &seccomp_rules[index];
    const struct seccomp_rule *narrow = narrower(index);
    struct scmp_arg_cmp compare[SECCOMP_POLICY_CONDITIONS];
    unsigned n = (unsigned)seccomp_rule_conditions(rule);
    int number = seccomp_rule_number(rule, machine);
    int r;

    if (leaves_out(machine, (uint32_t)number)) /* a number of -1 too */
        return 0;
    if (n == 0 && narrow == NULL && rule->answer == SECCOMP_POLICY_DEFAULT) /* it takes no rule for its default */
        return 0;
    for (unsigned i = 0; i < n; i++) {
        const struct seccomp_condition *condition = &rule->conditions[i];

        compare[i] = (struct scmp_arg_cmp){.arg = condition->argument,
                                           .op = SCMP_CMP_MASKED_EQ,
                                           .datum_a = condition->mask,
                                           .datum_b = condition->value};
    }
    if (narrow != NULL) {
        compare[n] = (struct scmp_arg_cmp){.arg = narrow->conditions[n].argument, .op = SCMP_CMP_GE};
        n++;
    }
    r = seccomp_rule_add_exact_array(
        filter, rule->answer == SECCOMP_POLICY_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)rule->answer),
        seccomp_syscall_resolve_name(rule->name), n, compare); /* it wants the build machine's number and translates */
    return r < 0 ? failed(rule->name, r) : 0;
}

/* An empty filter for one architecture. */
static int make_filter(uint32_t token, scmp_filter_ctx *made)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(SECCOMP_POLICY_DEFAULT));
    int r;

    if (filter == NULL)
        return failed("seccomp_init", -ENOMEM);
    r = seccomp_arch_remove(filter, SCMP_ARCH_NATIVE);
    if (r == 0)
        r = seccomp_arch_add(filter, token);
    if (r == 0) /* libseccomp's own default kills one thread only */
        r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0) /* a binary tree over the numbers */
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r < 0) {
        seccomp_release(filter);
        return failed("new filter", r);
    }
    *made = filter;
    return 0;
}

/* libseccomp's program, which it writes to descriptors only. */
static int export_program(scmp_filter_ctx filter, struct sock_filter *program, size_t *length)
{
    FILE *file = tmpfile();
    int r;

    if (file == NULL)
        return failed("temporary file", -errno);
    r = seccomp_export_bpf(filter, fileno(file));
    if (r == 0 && fseek(file, 0, SEEK_SET) != 0)
        r = -errno;
    if (r == 0) {
        *length = fread(program, sizeof *program, BPF_MAXINSNS, file);
        if (ferror(file) || *length == 0 || fgetc(file) != EOF)
            r = -EIO;
    }
    fclose(file);
    return r < 0 ? failed("exporting libseccomp's program", r) : 0;
}

static int verify(enum seccomp_machine machine, bool explained, const char *whose, const struct sock_filter *program, size_t length,
                  bool (*skips)(enum seccomp_machine machine, uint32_t number))
{
    struct seccomp_verdict verdict;
    int r = seccomp_verify(machine, explained, program, length, skips, &verdict);

    if (r == 0)
        return 0;
    if (r == -EDOM) {
        fprintf(stderr, "generate: %s program looks at arguments of nr %d, which the policy does not\n", whose,
                verdict.data.nr);
        return r;
    }
    if (r != -EBADMSG) {
        fprintf(stderr, "generate: %s program is none that seccomp would take: %s\n", whose, strerror(-r));
        return r;
    }
    fprintf(stderr,
            "generate: %s program differs from the policy: arch 0x%x nr %d "
            "(0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx): policy 0x%x, program 0x%x\n",
            whose, verdict.data.arch, verdict.data.nr, (unsigned long long)verdict.data.args[0],
            (unsigned long long)verdict.data.args[1], (unsigned long long)verdict.data.args[2],
            (unsigned long long)verdict.data.args[3], (unsigned long long)verdict.data.args[4],
            (unsigned long long)verdict.data.args[5], verdict.wanted, verdict.got);
    return r;
}

/* The second opinion: libseccomp's numbers, and a program of its making, which is judged and thrown away. */
static int ask_libseccomp(enum seccomp_machine machine)
{
    static struct sock_filter program[BPF_MAXINSNS];
    scmp_filter_ctx filter = NULL;
    size_t length = 0;
    int r = make_filter(token_of(machine), &filter);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < seccomp_rules_len; i++) {
        r = check_number(&seccomp_rules[i], machine);
        if (r == 0)
            r = add_rule(filter, i, machine);
    }
    if (r == 0)
        r = export_program(filter, program, &length);
    seccomp_release(filter);
    return r == 0 ? verify(machine, false, "libseccomp's", program, length, leaves_out) : r;
}

static void digest(const struct sock_filter *program, size_t length, char hex[65])
{
    static unsigned char bytes[BPF_MAXINSNS * 8];

    for (size_t i = 0; i < length; i++) {
        unsigned char *at = bytes + 8 * i;

        at[0] = (unsigned char)program[i].code;
        at[1] = (unsigned char)(program[i].code >> 8);
        at[2] = program[i].jt;
        at[3] = program[i].jf;
        for (size_t b = 0; b < 4; b++)
            at[4 + b] = (unsigned char)(program[i].k >> 8 * b);
    }
    sha256_hex(bytes, 8 * length, hex);
}

/* Names by number, as the table has them. */
static void write_names(FILE *out, const char *symbol, enum seccomp_machine machine)
{
    int most = -1;

    for (size_t i = 0; i < seccomp_rules_len; i++)
        if (seccomp_rule_number(&seccomp_rules[i], machine) > most)
            most = seccomp_rule_number(&seccomp_rules[i], machine);
    fprintf(out, "\nextern const char *const %s_names[];\nextern const unsigned short %s_names_len;\n", symbol, symbol);
    fprintf(out, "const char *const %s_names[] = {\n", symbol);
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        int number = seccomp_rule_number(&seccomp_rules[i], machine);
        if (number >= 0 && (i == 0 || seccomp_rule_number(&seccomp_rules[i - 1], machine) != number))
            fprintf(out, "    [%d] = \"%s\",\n", number, seccomp_rules[i].name);
    }
    fprintf(out, "};\nconst unsigned short %s_names_len = %d;\n", symbol, most + 1);
}

/* Where the next rule of another number begins. */
static size_t next_call(size_t i)
{
    size_t next = i + 1;

    while (next < seccomp_rules_len && strcmp(seccomp_rules[next].name, seccomp_rules[i].name) == 0)
        next++;
    return next;
}

static void write_answer(FILE *out, const struct seccomp_rule *rule, int number)
{
    fprintf(out, "    {%d, {", number);
    for (size_t i = 0; i < SECCOMP_POLICY_CONDITIONS; i++)
        fprintf(out, "{%u, 0x%x, 0x%x}%s", (unsigned)rule->conditions[i].argument, rule->conditions[i].mask,
                rule->conditions[i].value, i + 1 < SECCOMP_POLICY_CONDITIONS ? ", " : "");
    fprintf(out, "}, %d, \"%s\", \"%s\"},\n", rule->answer, rule->name, rule->reason);
}

/* The rules of the calls that some arguments are refused to, for the supervisor to answer by what the explaining program asks it. */
static void write_answers(FILE *out, const char *symbol, enum seccomp_machine machine)
{
    size_t n = 0;

    fputs("\n/* As in include/seccomp_filter.h. */\n"
          "struct seccomp_answer {\n    int number;\n    struct {\n        unsigned char argument;\n        unsigned mask, value;\n"
          "    } conditions[3];\n    int answer;\n    const char *name, *reason;\n};\n", out);
    fprintf(out, "extern const struct seccomp_answer %s_answers[];\nextern const unsigned short %s_answers_len;\n", symbol, symbol);
    fprintf(out, "const struct seccomp_answer %s_answers[] = {\n", symbol);
    for (size_t i = 0; i < seccomp_rules_len; i = next_call(i)) {
        bool refuses = false;

        for (size_t j = i; j < next_call(i); j++)
            refuses = refuses || seccomp_rules[j].answer != SECCOMP_POLICY_ALLOW;
        if (!refuses || seccomp_rule_number(&seccomp_rules[i], machine) < 0)
            continue;
        for (size_t j = i; j < next_call(i); j++, n++)
            write_answer(out, &seccomp_rules[j], seccomp_rule_number(&seccomp_rules[j], machine));
    }
    fprintf(out, "};\nconst unsigned short %s_answers_len = %zu;\n", symbol, n);
}

static void write_program(FILE *out, const char *symbol, const struct sock_filter *program, size_t length)
{
    char hex[65];

    digest(program, length, hex);
    fprintf(out, "extern const struct sock_filter %s[];\n", symbol);
    fprintf(out, "extern const unsigned short %s_len;\n", symbol);
    fprintf(out, "extern const char %s_sha256[65];\n\n", symbol);
    fprintf(out, "const struct sock_filter %s[] = {\n", symbol);
    for (size_t i = 0; i < length; i++) {
        fprintf(out, "    {0x%02x, %3u, %3u, 0x%08x},\n", (unsigned)program[i].code, (unsigned)program[i].jt,
                (unsigned)program[i].jf, program[i].k);
    }
    fputs("};\n\n", out);
    fprintf(out, "const unsigned short %s_len = %zu;\n", symbol, length);
    fprintf(out, "const char %s_sha256[65] = \"%s\";\n\n", symbol, hex);
}

struct program {
    struct sock_filter instructions[BPF_MAXINSNS];
    size_t length;
};

static int write_source(const char *path, const char *symbol, enum seccomp_machine machine, const struct program *plain,
                        const struct program *explained)
{
    FILE *out = fopen(path, "we");
    char explained_symbol[256];
    int broken;

    if (out == NULL)
        return failed(path, -errno);
    snprintf(explained_symbol, sizeof explained_symbol, "%s_explained", symbol);
    fprintf(out, "/* Generated from runtime/seccomp/policy.c for %s. Do not edit. */\n", seccomp_machine_name(machine));
    fputs("#include <linux/filter.h>\n\n", out);
    write_program(out, symbol, plain->instructions, plain->length);
    write_program(out, explained_symbol, explained->instructions, explained->length);
    write_answers(out, symbol, machine);
    write_names(out, symbol, machine);
    broken = ferror(out);
    if (fclose(out) != 0 || broken) {
        remove(path);
        return failed(path, -EIO);
    }
    return 0;
}

/* One of the two programs, compiled and judged. */
static int make_program(enum seccomp_machine machine, bool explained, struct program *program)
{
    static struct seccomp_rule rules[4096];
    size_t n = 0;
    int r;

    if (explained) {
        r = seccomp_explained_rules(rules, sizeof rules / sizeof *rules, &n);
        if (r == 0)
            r = seccomp_compile(rules, n, SECCOMP_POLICY_ASK, machine, program->instructions, &program->length);
    } else {
        r = seccomp_compile(seccomp_rules, seccomp_rules_len, SECCOMP_POLICY_DEFAULT, machine, program->instructions,
                            &program->length);
    }
    if (r < 0)
        return failed("compiling the policy", r);
    return verify(machine, explained, explained ? "the explaining" : "the compiled", program->instructions, program->length,
                  NULL);
}

static int generate(enum seccomp_machine machine, const char *path, const char *symbol)
{
    static struct program plain, explained;
    int r = ask_libseccomp(machine);

    if (r == 0)
        r = make_program(machine, false, &plain);
    if (r == 0)
        r = make_program(machine, true, &explained);
    return r < 0 ? r : write_source(path, symbol, machine, &plain, &explained);
}

/* What libseccomp knows and the table does not say a word about, whatever its number. */
static int check_mentions(enum seccomp_machine machine)
{
    int missing = 0;

    for (int number = 0; number < 1024; number++) {
        char *name = seccomp_syscall_resolve_num_arch(token_of(machine), number);

        if (name != NULL && !is_mentioned(number, machine)) {
            fprintf(stderr, "generate: %s (%d on %s) is not in runtime/seccomp/policy.c: say what it answers and why\n",
                    name, number, seccomp_machine_name(machine));
            missing = -ENOENT;
        }
        free(name);
    }
    return missing;
}

static int flush_stdout(void)
{
    return fflush(stdout) != 0 || ferror(stdout) ? failed("standard output", -EIO) : 0;
}

int main(int argc, char **argv)
{
    enum seccomp_machine machine;
    int r = -EINVAL;

    if (argc == 2 && strcmp(argv[1], "--doc") == 0) {
        seccomp_print_document(stdout);
        r = flush_stdout();
    } else if (argc == 2 && strcmp(argv[1], "--check") == 0) {
        r = check_mentions(SECCOMP_X86_64);
        if (check_mentions(SECCOMP_AARCH64) < 0)
            r = -ENOENT;
    } else if (argc == 3 && strcmp(argv[1], "--table") == 0 && seccomp_machine_named(argv[2], &machine) == 0) {
        seccomp_print_table(stdout, machine);
        r = flush_stdout();
    } else if ((argc == 3 || argc == 4) && seccomp_machine_named(argv[1], &machine) == 0) {
        r = generate(machine, argv[2], argc == 4 ? argv[3] : "seccomp_filter");
    } else {
        fputs("usage: generate x86_64|aarch64 OUTPUT [SYMBOL] | --table x86_64|aarch64 | --doc | --check\n", stderr);
    }
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
