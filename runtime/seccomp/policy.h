/*
 * The syscall policy: one const table, read by the build-time generator, by the document writer and by the tests.
 * Nothing of this is linked into bivy itself; what bivy carries is the generated program (seccomp_filter.h).
 *
 * The rules of one syscall stand together and the first whose conditions all hold answers; the last of them has no
 * condition. A number without a rule answers SECCOMP_POLICY_DEFAULT. Errno values are those of asm-generic/errno*.h,
 * which x86_64 and aarch64 share.
 */
#ifndef BIVY_SECCOMP_POLICY_H
#define BIVY_SECCOMP_POLICY_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/* Answer of a rule that lets the call through; every other answer is the errno the caller sees. */
#define SECCOMP_POLICY_ALLOW 0

/*
 * Answer that only the explaining program's rules have: the supervisor is asked (SECCOMP_RET_USER_NOTIF), and says what the policy says.
 */
#define SECCOMP_POLICY_ASK (-1)

/* Answer for every number without a rule: "this kernel is too old" is what programs have a fallback for. */
#define SECCOMP_POLICY_DEFAULT ENOSYS

/* Most conditions one rule can have. */
#define SECCOMP_POLICY_CONDITIONS 3

/* x32 calls carry this bit in their number while reporting the architecture x86_64. */
#define SECCOMP_POLICY_X32_BIT 0x40000000U

/*
 * One condition: (low 32 bits of argument `argument` & mask) == value. mask 0 marks an unused slot.
 * The upper word is never looked at: the kernel takes int and flag arguments from the low word only, and C libraries
 * leave either zeros or copies of the sign above it.
 */
struct seccomp_condition {
    unsigned char argument;
    uint32_t mask;
    uint32_t value;
};

/* One rule. Numbers are -1 where the architecture lacks the call. */
struct seccomp_rule {
    const char *name;
    int x86_64;
    int aarch64;
    struct seccomp_condition conditions[SECCOMP_POLICY_CONDITIONS];
    int answer;
    const char *reason;
};

enum seccomp_machine { SECCOMP_X86_64, SECCOMP_AARCH64 };

/* The table, seccomp_rules_len rules long, ordered by subject and not by number. */
extern const struct seccomp_rule seccomp_rules[];
extern const size_t seccomp_rules_len;

/* Machine named `name` ("x86_64", "aarch64") into *machine; -EINVAL for any other name. */
int seccomp_machine_named(const char *name, enum seccomp_machine *machine);

/* Name of a machine, as seccomp_machine_named() takes it. */
const char *seccomp_machine_name(enum seccomp_machine machine);

/* AUDIT_ARCH_* value by which the kernel names the machine in struct seccomp_data. */
uint32_t seccomp_machine_arch(enum seccomp_machine machine);

/* Number of the rule's syscall on the machine, -1 if there is none. */
int seccomp_rule_number(const struct seccomp_rule *rule, enum seccomp_machine machine);

/* How many of the rule's condition slots are used. */
size_t seccomp_rule_conditions(const struct seccomp_rule *rule);

/* Name of an errno value the table uses ("EPERM"), "allow" for SECCOMP_POLICY_ALLOW; NULL for any other value. */
const char *seccomp_answer_name(int answer);

/*
 * What the policy says to a call made on `machine`: a SECCOMP_RET_* value. `arch`, `number` and `arguments` are what
 * the kernel puts into struct seccomp_data. This reads the table and nothing else, so that it can judge a program that
 * was generated from it.
 */
uint32_t seccomp_policy_answer(enum seccomp_machine machine, uint32_t arch, uint32_t number,
                               const uint64_t arguments[6]);

/* The first rule of a number on a machine, an index into seccomp_rules; seccomp_rules_len where there is none. */
size_t seccomp_policy_first(enum seccomp_machine machine, uint32_t number);

/* seccomp_policy_answer() for who asks much about one number: `first` is what seccomp_policy_first() says of it. */
uint32_t seccomp_policy_answer_from(size_t first, enum seccomp_machine machine, uint32_t arch, uint32_t number,
                                    const uint64_t arguments[6]);

/*
 * What the explaining program (`bivy run --explain`) does otherwise with calls that the policy allows: the first of these rows whose name is
 * the call's and whose conditions hold. The rows of one syscall stand together; where none holds, the call is let through.
 */
extern const struct seccomp_rule seccomp_watches[];
extern const size_t seccomp_watches_len;

/*
 * The explaining program's rules, made of the table and the watches, for seccomp_compile(): every refusal asks, a watch comes before what
 * it watches. rules has room for `room`, *n is how many there are. -EOVERFLOW where that is too little, or a rule too long.
 */
int seccomp_explained_rules(struct seccomp_rule *rules, size_t room, size_t *n);

/*
 * What the explaining program is to answer, as seccomp_policy_answer_from() and from nothing but the two tables: never an allowance where
 * the policy has none, and never a refusal where the policy allows, except by a watch.
 */
uint32_t seccomp_explained_answer_from(size_t first, enum seccomp_machine machine, uint32_t arch, uint32_t number,
                                       const uint64_t arguments[6]);

#endif
