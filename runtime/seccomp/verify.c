/* Compares a filter with the policy table over every number and the boundary arguments. */
#include "verify.h"

#include "bpf.h"

#include <linux/audit.h>

#define NUMBERS 1024U
#define MOST_VALUES 128U

struct subject {
    enum seccomp_machine machine;
    const struct sock_filter *program;
    size_t length;
    struct seccomp_verdict *verdict;
};

static int try_call(const struct subject *subject, uint32_t arch, uint32_t number, const uint64_t arguments[6])
{
    struct seccomp_verdict *verdict = subject->verdict;
    struct seccomp_data data = {.nr = (int)number, .arch = arch, .instruction_pointer = 0x5555deadbeefU};
    int r;

    for (size_t i = 0; i < 6; i++)
        data.args[i] = arguments[i];
    verdict->tried++;
    verdict->data = data;
    verdict->wanted = seccomp_policy_answer(subject->machine, arch, number, arguments);
    r = bpf_run_checked(subject->program, subject->length, &data, &verdict->got);
    if (r < 0)
        return r;
    return verdict->got == verdict->wanted ? 0 : -EBADMSG;
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

/* What one argument is tried with: each compared value alone and among set bits, its neighbours, and the extremes. */
static int collect(const struct subject *subject, uint32_t number, unsigned argument, struct values *values)
{
    int r = add_value(values, 0);

    for (size_t i = 0; r == 0 && i < seccomp_rules_len; i++) {
        const struct seccomp_rule *rule = &seccomp_rules[i];

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
    /* An argument nobody looks at needs only one value: the flips do the rest. */
    if (r == 0 && values->n > 1) {
        r = add_value(values, UINT32_MAX);
        if (r == 0)
            r = add_value(values, (uint32_t)INT32_MAX + 1);
    }
    return r;
}

/* All combinations of the values of the six arguments, under three different upper words. */
static int try_number(const struct subject *subject, uint32_t arch, uint32_t number)
{
    static const uint64_t upper[] = {0, UINT64_C(1) << 32, UINT64_C(0xffffffff) << 32};
    struct values values[6] = {0};
    size_t combinations = 1;

    for (unsigned i = 0; i < 6; i++) {
        int r = collect(subject, number, i, &values[i]);

        if (r < 0)
            return r;
        combinations *= values[i].n;
    }
    for (size_t u = 0; u < sizeof upper / sizeof *upper; u++) {
        for (size_t combination = 0; combination < combinations; combination++) {
            uint64_t arguments[6];
            size_t rest = combination;
            int r;

            for (size_t i = 0; i < 6; i++) {
                arguments[i] = upper[u] | values[i].value[rest % values[i].n];
                rest /= values[i].n;
            }
            r = try_flips(subject, arch, number, arguments);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Numbers that are no number of any table, and foreign architectures: the arguments must not matter. */
static int try_elsewhere(const struct subject *subject)
{
    static const uint32_t archs[] = {
        AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_RISCV64,
        AUDIT_ARCH_PPC64LE, AUDIT_ARCH_S390X, AUDIT_ARCH_X86_64 & ~(uint32_t)__AUDIT_ARCH_64BIT,
        AUDIT_ARCH_AARCH64 & ~(uint32_t)__AUDIT_ARCH_LE, 0, UINT32_MAX,
    };
    static const uint32_t edges[] = {
        1024, 4095, 0xffff, 0x10000, 0x20000000, 0x3fffffff, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000,
        0xfffffffe, 0xffffffff,
    };
    static const uint64_t arguments[2][6] = {
        {0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    int r = 0;

    for (size_t a = 0; r == 0 && a < sizeof archs / sizeof *archs; a++) {
        for (size_t s = 0; r == 0 && s < 2; s++) {
            for (uint32_t number = 0; r == 0 && number < NUMBERS; number++) {
                r = try_call(subject, archs[a], number, arguments[s]);
                if (r == 0)
                    r = try_call(subject, archs[a], number | SECCOMP_POLICY_X32_BIT, arguments[s]);
            }
            for (size_t e = 0; r == 0 && e < sizeof edges / sizeof *edges; e++)
                r = try_call(subject, archs[a], edges[e], arguments[s]);
        }
    }
    return r;
}

int seccomp_verify(enum seccomp_machine machine, const struct sock_filter *program, size_t length,
                   struct seccomp_verdict *verdict)
{
    const struct subject subject = {machine, program, length, verdict};
    int r;

    *verdict = (struct seccomp_verdict){0};
    r = bpf_check(program, length);
    if (r == 0)
        r = try_elsewhere(&subject);
    for (uint32_t number = 0; r == 0 && number < NUMBERS; number++)
        r = try_number(&subject, seccomp_machine_arch(machine), number);
    return r;
}
