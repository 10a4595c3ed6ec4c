/* Compares a filter with the policy table over every number, the boundary arguments and what the program asks for. */
#include "verify.h"

#include "bpf.h"

#include <linux/audit.h>

#define NUMBERS 1024U
#define MOST_VALUES 128U
#define MOST_CONSTANTS 4096U
#define MIXTURES 256U /* of constants and random words, for each number */

struct constants {
    size_t n;
    uint32_t value[MOST_CONSTANTS];
};

struct subject {
    enum seccomp_machine machine;
    bool explained; /* it is the explaining program */
    const struct sock_filter *program;
    size_t length;
    bool (*skips)(enum seccomp_machine machine, uint32_t number);
    struct seccomp_verdict *verdict;
    struct constants constants;
    uint64_t random;
    size_t first; /* rule of the number that is being tried */
};

static const uint64_t upper[] = {0, UINT64_C(1) << 32, UINT64_C(0xffffffff) << 32};

#define UPPERS (sizeof upper / sizeof *upper)

/* Whether the policy looks at arguments of the number that is being tried. */
static bool is_conditional(const struct subject *subject, uint32_t number)
{
    for (size_t w = 0; subject->explained && w < seccomp_watches_len; w++) {
        if ((uint32_t)seccomp_rule_number(&seccomp_watches[w], subject->machine) == number &&
            seccomp_rule_conditions(&seccomp_watches[w]) > 0)
            return true;
    }
    return subject->first < seccomp_rules_len && seccomp_rule_conditions(&seccomp_rules[subject->first]) > 0;
}

static int try_call(const struct subject *subject, uint32_t arch, uint32_t number, const uint64_t arguments[6])
{
    struct seccomp_verdict *verdict = subject->verdict;
    struct seccomp_data data = {.nr = (int)number, .arch = arch, .instruction_pointer = 0x5555deadbeefU};
    int r;

    for (size_t i = 0; i < 6; i++)
        data.args[i] = arguments[i];
    verdict->tried++;
    verdict->data = data;
    verdict->wanted = (subject->explained ? seccomp_explained_answer_from : seccomp_policy_answer_from)(
        subject->first, subject->machine, arch, number, arguments);
    r = bpf_run_checked(subject->program, subject->length, &data, &verdict->got);
    if (r < 0)
        return r;
    return verdict->got == verdict->wanted ? 0 : -EBADMSG;
}

static int add_constant(struct constants *constants, uint32_t value)
{
    for (size_t i = 0; i < constants->n; i++) {
        if (constants->value[i] == value)
            return 0;
    }
    if (constants->n == MOST_CONSTANTS)
        return -EOVERFLOW;
    constants->value[constants->n++] = value;
    return 0;
}

/*
 * What the program compares with, masks with or computes with, whichever instruction holds it, and its neighbours; the
 * complement too, which is what a mask leaves out. Returns and long jumps are left out: theirs are not compared.
 */
static int collect_constants(struct subject *subject)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < subject->length; i++) {
        const struct sock_filter *instruction = &subject->program[i];
        uint32_t k = instruction->k;

        if (BPF_CLASS(instruction->code) == BPF_RET || instruction->code == (BPF_JMP | BPF_JA))
            continue;
        for (uint32_t beside = 0; r == 0 && beside < 3; beside++)
            r = add_constant(&subject->constants, k + beside - 1);
        if (r == 0 && (BPF_CLASS(instruction->code) == BPF_ALU || BPF_OP(instruction->code) == BPF_JSET))
            r = add_constant(&subject->constants, ~k);
    }
    return r;
}

/* Xorshift: the same words in every run. */
static uint64_t random_word(struct subject *subject)
{
    subject->random ^= subject->random << 13;
    subject->random ^= subject->random >> 7;
    subject->random ^= subject->random << 17;
    return subject->random;
}

/* The call as it stands, then with each bit of each argument flipped. */
static int try_flips(const struct subject *subject, uint32_t arch, uint32_t number, const uint64_t base[6])
{
    uint64_t arguments[6];
    int r = try_call(subject, arch, number, base);

    for (size_t i = 0; i < 6; i++)
        arguments[i] = base[i];
    for (size_t bit = 0; r == 0 && bit < 6 * 64; bit++) {
        arguments[bit / 64] ^= UINT64_C(1) << bit % 64;
        r = try_call(subject, arch, number, arguments);
        arguments[bit / 64] ^= UINT64_C(1) << bit % 64;
    }
    return r;
}

struct values {
    size_t n;
    uint32_t value[MOST_VALUES];
};

static int add_value(struct values *values, uint32_t value)
{
    for (size_t i = 0; i < values->n; i++) {
        if (values->value[i] == value)
            return 0;
    }
    if (values->n == MOST_VALUES)
        return -EOVERFLOW;
    values->value[values->n++] = value;
    return 0;
}

/* What some rules compare one argument of the number with, alone and among set bits. */
static int collect_from(const struct subject *subject, const struct seccomp_rule *rules, size_t n_rules, uint32_t number,
                        unsigned argument, struct values *values)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n_rules; i++) {
        const struct seccomp_rule *rule = &rules[i];

        if (seccomp_rule_number(rule, subject->machine) != (int)number)
            continue;
        for (size_t c = 0; r == 0 && c < seccomp_rule_conditions(rule); c++) {
            const struct seccomp_condition *condition = &rule->conditions[c];

            if (condition->argument != argument)
                continue;
            r = add_value(values, condition->value);
            if (r == 0)
                r = add_value(values, condition->value | ~condition->mask);
        }
    }
    return r;
}

/* What one argument is tried with: each compared value alone and among set bits, its neighbours, and the extremes. */
static int collect(const struct subject *subject, uint32_t number, unsigned argument, struct values *values)
{
    int r = add_value(values, 0);

    if (r == 0)
        r = collect_from(subject, seccomp_rules, seccomp_rules_len, number, argument, values);
    if (r == 0 && subject->explained)
        r = collect_from(subject, seccomp_watches, seccomp_watches_len, number, argument, values);
    /* An argument nobody looks at needs only one value: the flips do the rest. */
    if (r == 0 && values->n > 1) {
        r = add_value(values, UINT32_MAX);
        if (r == 0)
            r = add_value(values, (uint32_t)INT32_MAX + 1);
    }
    return r;
}

/* The combination-th combination of values, all under one upper word. */
static void combine(const struct values values[6], size_t combination, uint64_t above, uint64_t arguments[6])
{
    for (size_t i = 0; i < 6; i++) {
        arguments[i] = above | values[i].value[combination % values[i].n];
        combination /= values[i].n;
    }
}

static size_t combinations(const struct values values[6])
{
    size_t n = 1;

    for (size_t i = 0; i < 6; i++)
        n *= values[i].n;
    return n;
}

/* One argument after the other on every constant of the program, beside all combinations of the others' values. */
static int try_constants(const struct subject *subject, uint32_t arch, uint32_t number, const struct values values[6])
{
    for (size_t argument = 0; argument < 6; argument++) {
        struct values others[6];
        size_t n;

        for (size_t i = 0; i < 6; i++)
            others[i] = values[i];
        others[argument] = (struct values){.n = 1};
        n = combinations(others);
        for (size_t combination = 0; combination < n; combination++) {
            for (size_t c = 0; c < subject->constants.n; c++) {
                uint64_t arguments[6];
                int r;

                combine(others, combination, upper[c % UPPERS], arguments);
                arguments[argument] |= subject->constants.value[c];
                r = try_call(subject, arch, number, arguments);
                arguments[argument] ^= upper[2]; /* the upper word says nothing */
                if (r == 0)
                    r = try_call(subject, arch, number, arguments);
                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}

/* All combinations of the values of the six arguments, under each of the upper words, and every bit flipped. */
static int try_combinations(const struct subject *subject, uint32_t arch, uint32_t number,
                            const struct values values[6])
{
    size_t n = combinations(values);
    int r = 0;

    for (size_t u = 0; r == 0 && u < UPPERS; u++) {
        for (size_t combination = 0; r == 0 && combination < n; combination++) {
            uint64_t arguments[6];

            combine(values, combination, upper[u], arguments);
            r = try_flips(subject, arch, number, arguments);
        }
    }
    return r;
}

/* Constants and random words at random, the constants under random upper words. */
static int try_mixtures(struct subject *subject, uint32_t arch, uint32_t number)
{
    int r = 0;

    for (size_t m = 0; r == 0 && m < MIXTURES; m++) {
        uint64_t arguments[6];

        for (size_t i = 0; i < 6; i++) {
            uint64_t word = random_word(subject);

            if (subject->constants.n > 0 && (word >> 8 & 1) != 0)
                word = (word & upper[2]) | subject->constants.value[word % subject->constants.n];
            arguments[i] = word;
        }
        r = try_call(subject, arch, number, arguments);
    }
    return r;
}

/*
 * A number on the filter's own architecture whose arguments the policy does not ask for. The program has to answer
 * before it loads any, which it then does whatever they are: no trial could tell as much.
 */
static int try_bare_number(const struct subject *subject, uint32_t number)
{
    static const uint64_t none[6] = {0};
    uint32_t answer;
    int r = try_call(subject, seccomp_machine_arch(subject->machine), number, none);

    return r < 0 ? r : bpf_run_bare(subject->program, subject->length, seccomp_machine_arch(subject->machine), number,
                                    &answer);
}

/* The trials of a number, quick ones first: a spoilt program is to be found out early. */
enum trial { MIXED, CONSTANTS, COMBINED, TRIALS };

static int try_number(struct subject *subject, enum trial trial, uint32_t number)
{
    uint32_t arch = seccomp_machine_arch(subject->machine);
    struct values values[6] = {0};
    int r = 0;

    subject->first = seccomp_policy_first(subject->machine, number);
    if (!is_conditional(subject, number))
        return try_bare_number(subject, number);
    for (unsigned i = 0; r == 0 && i < 6; i++)
        r = collect(subject, number, i, &values[i]);
    if (r == 0 && trial == CONSTANTS)
        r = try_constants(subject, arch, number, values);
    if (r == 0 && trial == MIXED)
        r = try_mixtures(subject, arch, number);
    if (r == 0 && trial == COMBINED)
        r = try_combinations(subject, arch, number, values);
    return r;
}

/* A number with no arguments set and with all of them, with the x32 bit and without. */
static int try_bare(const struct subject *subject, uint32_t arch, uint32_t number)
{
    static const uint64_t arguments[2][6] = {
        {0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    int r = 0;

    for (size_t s = 0; s < 2; s++) {
        if (r == 0 && (subject->skips == NULL || !subject->skips(subject->machine, number)))
            r = try_call(subject, arch, number, arguments[s]);
        number ^= SECCOMP_POLICY_X32_BIT;
        if (r == 0 && (subject->skips == NULL || !subject->skips(subject->machine, number)))
            r = try_call(subject, arch, number, arguments[s]);
        number ^= SECCOMP_POLICY_X32_BIT;
    }
    return r;
}

/* All numbers on one architecture. */
static int try_arch(const struct subject *subject, uint32_t arch)
{
    static const uint32_t edges[] = {
        1024, 4095, 0xffff, 0x10000, 0x20000000, 0x3fffffff, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000,
        0xfffffffe, 0xffffffff,
    };
    int r = 0;

    for (uint32_t number = 0; r == 0 && number < NUMBERS; number++)
        r = try_bare(subject, arch, number);
    for (size_t e = 0; r == 0 && e < sizeof edges / sizeof *edges; e++)
        r = try_bare(subject, arch, edges[e]);
    for (size_t bit = 0; r == 0 && bit < 32; bit++)
        r = try_bare(subject, arch, UINT32_C(1) << bit);
    for (size_t c = 0; r == 0 && c < subject->constants.n; c++)
        r = try_bare(subject, arch, subject->constants.value[c]);
    return r;
}

/* What comes by with an architecture that is not the filter's: all numbers, and all architectures with one number. */
static int try_elsewhere(const struct subject *subject)
{
    static const uint32_t archs[] = {
        AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64,
        AUDIT_ARCH_PPC64LE, AUDIT_ARCH_S390X, AUDIT_ARCH_X86_64 & ~(uint32_t)__AUDIT_ARCH_64BIT,
        AUDIT_ARCH_AARCH64 & ~(uint32_t)__AUDIT_ARCH_LE, 0, UINT32_MAX,
    };
    uint32_t own = seccomp_machine_arch(subject->machine);
    int r = 0;

    for (size_t a = 0; r == 0 && a < sizeof archs / sizeof *archs; a++)
        r = try_arch(subject, archs[a]);
    for (size_t bit = 0; r == 0 && bit < 32; bit++)
        r = try_bare(subject, own ^ UINT32_C(1) << bit, 0);
    for (size_t c = 0; r == 0 && c < subject->constants.n; c++)
        r = try_bare(subject, subject->constants.value[c], 0);
    return r;
}

int seccomp_verify(enum seccomp_machine machine, bool explained, const struct sock_filter *program, size_t length,
                   bool (*skips)(enum seccomp_machine machine, uint32_t number), struct seccomp_verdict *verdict)
{
    struct subject subject = {.machine = machine,
                              .explained = explained,
                              .program = program,
                              .length = length,
                              .skips = skips,
                              .verdict = verdict,
                              .random = UINT64_C(0x9e3779b97f4a7c15)};
    int r;

    *verdict = (struct seccomp_verdict){0};
    r = bpf_check(program, length);
    if (r == 0)
        r = collect_constants(&subject);
    if (r == 0)
        r = try_elsewhere(&subject);
    for (int trial = 0; r == 0 && trial < TRIALS; trial++) {
        for (uint32_t number = 0; r == 0 && number < NUMBERS; number++) {
            if (skips == NULL || !skips(machine, number))
                r = try_number(&subject, (enum trial)trial, number);
        }
    }
    return r;
}
