/*
 * The seccomp filter: interpreter, policy table, generated programs for both architectures, and the running kernel.
 * The programs come from the build (SYMBOL names below); SECCOMP_GOLDEN is the directory of the golden tables,
 * SECCOMP_DOCUMENT the committed docs/seccomp.md.
 */
#include "../../include/seccomp_filter.h"
#include "../../runtime/seccomp/bpf.h"
#include "../../runtime/seccomp/compile.h"
#include "../../runtime/seccomp/policy.h"
#include "../../runtime/seccomp/print.h"
#include "../../runtime/seccomp/sha256.h"
#include "../../runtime/seccomp/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern const struct sock_filter seccomp_x86_64[];
extern const unsigned short seccomp_x86_64_len;
extern const char seccomp_x86_64_sha256[65];
extern const struct sock_filter seccomp_aarch64[];
extern const unsigned short seccomp_aarch64_len;
extern const char seccomp_aarch64_sha256[65];
extern const struct sock_filter seccomp_x86_64_explained[];
extern const unsigned short seccomp_x86_64_explained_len;
extern const struct sock_filter seccomp_aarch64_explained[];
extern const unsigned short seccomp_aarch64_explained_len;
extern const struct seccomp_answer seccomp_x86_64_answers[];
extern const unsigned short seccomp_x86_64_answers_len;
extern const struct seccomp_answer seccomp_aarch64_answers[];
extern const unsigned short seccomp_aarch64_answers_len;

#if defined(__x86_64__)
static const enum seccomp_machine own = SECCOMP_X86_64;
#elif defined(__aarch64__)
static const enum seccomp_machine own = SECCOMP_AARCH64;
#else
#error "bivy has no seccomp policy for this architecture"
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define ERRNO(e) (SECCOMP_RET_ERRNO | (uint32_t)(e))

static const struct sock_filter *program_of(enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? seccomp_x86_64 : seccomp_aarch64;
}

static size_t length_of(enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? seccomp_x86_64_len : seccomp_aarch64_len;
}

/* ---- the interpreter ------------------------------------------------------------------------------------------- */

static const struct seccomp_data sample = {
    .nr = 7,
    .arch = 0x11111111,
    .instruction_pointer = 0x2222222233333333,
    .args = {0x4444444455555555, 1, 2, 3, 4, 0x6666666677777777},
};

struct sum {
    const char *what;
    struct sock_filter program[6];
    size_t length;
    uint32_t answer;
};

/* clang-format off */
static const struct sum sums[] = {
    {"return k", {BPF_STMT(BPF_RET | BPF_K, 42)}, 1, 42},
    {"a starts at 0", {BPF_STMT(BPF_RET | BPF_A, 9)}, 1, 0},
    {"nr", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 7},
    {"arch", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x11111111},
    {"ip low", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 8), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x33333333},
    {"ip high", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 12), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x22222222},
    {"arg 0 low", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x55555555},
    {"arg 0 high", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 20), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x44444444},
    {"arg 5 high", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 60), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0x66666666},
    {"length", {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 64},
    {"length into x", {BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0),
                       BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 64},
    {"add", {BPF_STMT(BPF_LD | BPF_IMM, 0xffffffff), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 3),
             BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 2},
    {"subtract x", {BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_LDX | BPF_IMM, 2),
                    BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 99), BPF_STMT(BPF_RET | BPF_A, 0)}, 4, 0xffffffff},
    {"multiply", {BPF_STMT(BPF_LD | BPF_IMM, 0x10001), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x10000),
                  BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 0x10000},
    {"divide", {BPF_STMT(BPF_LD | BPF_IMM, 0xfffffffe), BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 2),
                BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 0x7fffffff},
    {"divide by x = 0 ends with 0", {BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
                                     BPF_STMT(BPF_RET | BPF_K, 77)}, 3, 0},
    {"and, or", {BPF_STMT(BPF_LD | BPF_IMM, 0xf0f0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
                 BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 0xf), BPF_STMT(BPF_RET | BPF_A, 0)}, 4, 0xf00f},
    {"xor", {BPF_STMT(BPF_LD | BPF_IMM, 0xff), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0xf0),
             BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 0x0f},
    {"shifts", {BPF_STMT(BPF_LD | BPF_IMM, 0x80000001), BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
                BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1), BPF_STMT(BPF_RET | BPF_A, 0)}, 4, 8},
    {"negate", {BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_ALU | BPF_NEG, 0),
                BPF_STMT(BPF_RET | BPF_A, 0)}, 3, 0xffffffff},
    {"scratch", {BPF_STMT(BPF_LD | BPF_IMM, 6), BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LD | BPF_IMM, 0),
                 BPF_STMT(BPF_LDX | BPF_MEM, 15), BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 6, 6},
    {"tax, stx", {BPF_STMT(BPF_LD | BPF_IMM, 8), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_STX, 3),
                  BPF_STMT(BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_LD | BPF_MEM, 3), BPF_STMT(BPF_RET | BPF_A, 0)}, 6, 8},
    {"jeq taken", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 1, 0),
                   BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 2},
    {"jeq not taken", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 1, 0),
                       BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 1},
    {"jgt is unsigned", {BPF_STMT(BPF_LD | BPF_IMM, 0x80000000), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 1},
    {"jgt on equality", {BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 5, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 2},
    {"jge on equality", {BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 5, 0, 1),
                         BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 1},
    {"jset", {BPF_STMT(BPF_LD | BPF_IMM, 6), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 9, 0, 1),
              BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 4, 2},
    {"jeq x", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_STMT(BPF_LDX | BPF_IMM, 7),
               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1), BPF_STMT(BPF_RET | BPF_K, 1),
               BPF_STMT(BPF_RET | BPF_K, 2)}, 5, 1},
    {"ja", {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)}, 3, 2},
};

/* Programs that must be refused. */
static const struct sum unsound[] = {
    {"empty", {BPF_STMT(BPF_RET | BPF_K, 0)}, 0, 0},
    {"no return at the end", {BPF_STMT(BPF_LD | BPF_IMM, 0)}, 1, 0},
    {"load beyond the data", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"load far beyond", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0xfffffffc), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"unaligned load", {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"byte load", {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"indexed load", {BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"msh load", {BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"jump past the end", {BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"jump around the word", {BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"jt past the end", {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"jf past the end", {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 255), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"division by 0", {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"shift by 32", {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"modulo", {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"slot 16", {BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"slot read unwritten", {BPF_STMT(BPF_LD | BPF_MEM, 0), BPF_STMT(BPF_RET | BPF_A, 0)}, 2, 0},
    {"slot written on one path only",
     {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0), BPF_STMT(BPF_ST, 1), BPF_STMT(BPF_LD | BPF_MEM, 1),
      BPF_STMT(BPF_RET | BPF_A, 0)}, 4, 0},
    {"unknown opcode", {BPF_STMT(0xff, 0), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"opcode with a high byte", {BPF_STMT(0x100 | BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_RET | BPF_K, 0)}, 2, 0},
    {"return x", {BPF_STMT(BPF_RET | BPF_X, 0)}, 1, 0},
};
/* clang-format on */

static void interpreter_computes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(sums); i++) {
        uint32_t answer = 0xdead;
        int r = bpf_run(sums[i].program, sums[i].length, &sample, &answer);

        if (r != 0 || answer != sums[i].answer)
            fail_msg("%s: r %d, answer 0x%x instead of 0x%x", sums[i].what, r, answer, sums[i].answer);
    }
}

static void interpreter_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(unsound); i++) {
        uint32_t answer;

        if (bpf_run(unsound[i].program, unsound[i].length, &sample, &answer) != -EINVAL)
            fail_msg("%s: taken", unsound[i].what);
    }
}

static void interpreter_refuses_too_long(void **state)
{
    static struct sock_filter program[BPF_MAXINSNS + 1];

    (void)state;
    for (size_t i = 0; i < LENGTH(program); i++)
        program[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0);
    assert_int_equal(bpf_check(program, BPF_MAXINSNS), 0);
    assert_int_equal(bpf_check(program, BPF_MAXINSNS + 1), -EINVAL);
}

static void interpreter_refuses_wide_shift(void **state)
{
    static const struct sock_filter program[] = {
        BPF_STMT(BPF_LDX | BPF_IMM, 32),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    uint32_t answer;

    (void)state;
    assert_int_equal(bpf_check(program, LENGTH(program)), 0);
    assert_int_equal(bpf_run(program, LENGTH(program), &sample, &answer), -EINVAL);
}

static int load(const struct sock_filter *program, size_t length)
{
    struct sock_fprog fprog = {(unsigned short)length, (struct sock_filter *)(uintptr_t)program};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) == 0 ? 0 : -errno;
}

/* Whether the running kernel takes a program, tried in a child: it answers by its exit, or dies of what it loaded. */
static bool kernel_takes(const struct sum *sum)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int r = load(sum->program, sum->length);

        _exit(r == 0 ? 0 : r == -EINVAL ? 1 : 2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return true;
    if (WEXITSTATUS(status) == 2)
        fail_msg("%s: the kernel could not be asked", sum->what);
    return WEXITSTATUS(status) == 0;
}

static void interpreter_and_kernel_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(sums); i++) {
        struct sum harmless = sums[i];

        /* The return is swapped for one that lets the child end; what is judged is the rest. */
        for (size_t pc = 0; pc < harmless.length; pc++) {
            if (BPF_CLASS(harmless.program[pc].code) == BPF_RET)
                harmless.program[pc] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        }
        if (!kernel_takes(&harmless))
            fail_msg("%s: the kernel refuses it", sums[i].what);
    }
    for (size_t i = 0; i < LENGTH(unsound); i++) {
        if (kernel_takes(&unsound[i]))
            fail_msg("%s: the kernel takes it", unsound[i].what);
    }
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

static void table_is_orderly(void **state)
{
    (void)state;
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        const struct seccomp_rule *rule = &seccomp_rules[i];
        const struct seccomp_rule *next = i + 1 < seccomp_rules_len ? rule + 1 : NULL;
        bool more = next != NULL && strcmp(next->name, rule->name) == 0;
        size_t n = seccomp_rule_conditions(rule);

        if (rule->reason == NULL || rule->reason[0] == '\0')
            fail_msg("%s: no reason", rule->name);
        if (seccomp_answer_name(rule->answer) == NULL)
            fail_msg("%s: an answer without a name", rule->name);
        if (rule->x86_64 < 0 && rule->aarch64 < 0)
            fail_msg("%s: nowhere", rule->name);
        if (more != (n > 0))
            fail_msg("%s: the rule without conditions is the last and only the last", rule->name);
        for (size_t c = 0; c < n; c++) {
            if ((rule->conditions[c].value & ~rule->conditions[c].mask) != 0)
                fail_msg("%s: a value outside its mask never matches", rule->name);
            if (rule->conditions[c].argument > 5)
                fail_msg("%s: no such argument", rule->name);
            if (c > 0 && rule->conditions[c].argument <= rule->conditions[c - 1].argument)
                fail_msg("%s: arguments out of order", rule->name);
        }
        for (size_t j = i + 1; j < seccomp_rules_len; j++) {
            const struct seccomp_rule *other = &seccomp_rules[j];
            bool same = strcmp(rule->name, other->name) == 0;

            if (same && strcmp(seccomp_rules[j - 1].name, rule->name) != 0)
                fail_msg("%s: rules apart", rule->name);
            if (!same && rule->x86_64 >= 0 && rule->x86_64 == other->x86_64)
                fail_msg("%s and %s: one number on x86_64", rule->name, other->name);
            if (!same && rule->aarch64 >= 0 && rule->aarch64 == other->aarch64)
                fail_msg("%s and %s: one number on aarch64", rule->name, other->name);
            if (same && (rule->x86_64 != other->x86_64 || rule->aarch64 != other->aarch64))
                fail_msg("%s: two numbers", rule->name);
        }
    }
}

static void machines_have_names(void **state)
{
    enum seccomp_machine machine = SECCOMP_X86_64;

    (void)state;
    assert_int_equal(seccomp_machine_named("aarch64", &machine), 0);
    assert_int_equal(machine, SECCOMP_AARCH64);
    assert_int_equal(seccomp_machine_named("x86_64", &machine), 0);
    assert_int_equal(machine, SECCOMP_X86_64);
    assert_int_equal(seccomp_machine_named("riscv64", &machine), -EINVAL);
    assert_string_equal(seccomp_machine_name(SECCOMP_AARCH64), "aarch64");
    assert_int_equal(seccomp_machine_arch(SECCOMP_AARCH64), AUDIT_ARCH_AARCH64);
    assert_int_equal(seccomp_machine_arch(SECCOMP_X86_64), AUDIT_ARCH_X86_64);
}

/* The whole of a file, NUL-terminated, to be freed. */
static char *slurp(const char *path)
{
    FILE *file = fopen(path, "r");
    size_t size = 0;
    char *text = NULL;
    FILE *copy;
    int c;

    if (file == NULL)
        fail_msg("%s: %s", path, strerror(errno));
    copy = open_memstream(&text, &size);
    assert_non_null(copy);
    while ((c = fgetc(file)) != EOF)
        fputc(c, copy);
    fclose(file);
    assert_int_equal(fclose(copy), 0);
    return text;
}

static void compare_text(const char *path, const char *printed, const char *mode)
{
    char *committed = slurp(path);

    if (strcmp(committed, printed) != 0) {
        size_t at = 0;
        int line = 1;

        for (; committed[at] != '\0' && committed[at] == printed[at]; at++)
            line += committed[at] == '\n';
        fail_msg("%s:%d is not what the policy says; if the change is meant, write it anew with generate %s", path,
                 line, mode);
    }
    free(committed);
}

static void golden_table(enum seccomp_machine machine, const char *path, const char *mode)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    seccomp_print_table(out, machine);
    assert_int_equal(fclose(out), 0);
    compare_text(path, text, mode);
    free(text);
}

static void golden_tables_hold(void **state)
{
    (void)state;
    golden_table(SECCOMP_X86_64, SECCOMP_GOLDEN "/seccomp-x86_64.tsv", "--table x86_64");
    golden_table(SECCOMP_AARCH64, SECCOMP_GOLDEN "/seccomp-aarch64.tsv", "--table aarch64");
}

static void document_holds(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    seccomp_print_document(out);
    assert_int_equal(fclose(out), 0);
    compare_text(SECCOMP_DOCUMENT, text, "--doc");
    free(text);
}

/* ---- the programs ---------------------------------------------------------------------------------------------- */

static void follows_policy(enum seccomp_machine machine)
{
    struct seccomp_verdict verdict;
    int r = seccomp_verify(machine, false, program_of(machine), length_of(machine), NULL, &verdict);

    if (r != 0) {
        fail_msg("%s: %s after %lu calls: arch 0x%x nr %d (0x%llx, 0x%llx, 0x%llx): policy 0x%x, program 0x%x",
                 seccomp_machine_name(machine), strerror(-r), verdict.tried, verdict.data.arch, verdict.data.nr,
                 (unsigned long long)verdict.data.args[0], (unsigned long long)verdict.data.args[1],
                 (unsigned long long)verdict.data.args[2], verdict.wanted, verdict.got);
    }
    print_message("# %s: %zu instructions, %lu calls tried\n", seccomp_machine_name(machine), length_of(machine),
                  verdict.tried);
    /* Two dozen numbers and more ask for arguments, each bit of which is flipped under three upper words. */
    assert_true(verdict.tried > 24UL * 3 * 6 * 64);
}

static void x86_64_follows_policy(void **state)
{
    (void)state;
    follows_policy(SECCOMP_X86_64);
}

static void aarch64_follows_policy(void **state)
{
    (void)state;
    follows_policy(SECCOMP_AARCH64);
}

/* ---- the explaining program -------------------------------------------------------------------------------------- */

static const struct sock_filter *explained_of(enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? seccomp_x86_64_explained : seccomp_aarch64_explained;
}

static size_t explained_length_of(enum seccomp_machine machine)
{
    return machine == SECCOMP_X86_64 ? seccomp_x86_64_explained_len : seccomp_aarch64_explained_len;
}

static void explained_follows_policy(void **state)
{
    static const enum seccomp_machine machines[] = {SECCOMP_X86_64, SECCOMP_AARCH64};

    (void)state;
    for (size_t i = 0; i < LENGTH(machines); i++) {
        struct seccomp_verdict verdict;
        int r = seccomp_verify(machines[i], true, explained_of(machines[i]), explained_length_of(machines[i]), NULL, &verdict);

        if (r != 0)
            fail_msg("%s: %s: arch 0x%x nr %d: wanted 0x%x, program 0x%x", seccomp_machine_name(machines[i]), strerror(-r),
                     verdict.data.arch, verdict.data.nr, verdict.wanted, verdict.got);
        assert_true(verdict.tried > 24UL * 3 * 6 * 64);
        /* and neither program passes for the other */
        assert_int_not_equal(seccomp_verify(machines[i], true, program_of(machines[i]), length_of(machines[i]), NULL, &verdict), 0);
        assert_int_not_equal(
            seccomp_verify(machines[i], false, explained_of(machines[i]), explained_length_of(machines[i]), NULL, &verdict), 0);
    }
}

/* Without the tables of watches: whatever the first program refuses, the second does not allow, and the other way round only what is
 * written down here. */
static void explained_allows_nothing_more(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (uint32_t number = 0; number < 1024; number++) {
        for (uint64_t i = 0; i < 2000; i++) {
            struct seccomp_data data = {.nr = (int)number, .arch = seccomp_machine_arch(own)};
            uint32_t plain, explained;

            for (size_t a = 0; a < 6; a++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                data.args[a] = i < 16 ? i : seed >> 60 < 8 ? seed >> 33 & 0x1f : seed >> 32;
            }
            assert_int_equal(bpf_run_checked(program_of(own), length_of(own), &data, &plain), 0);
            assert_int_equal(bpf_run_checked(explained_of(own), explained_length_of(own), &data, &explained), 0);
            if ((plain & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
                assert_int_equal(explained, SECCOMP_RET_USER_NOTIF);
            else if (number == SYS_connect)
                assert_int_equal(explained, SECCOMP_RET_USER_NOTIF);
            else if (number == SYS_sendto)
                assert_int_equal(explained, (uint32_t)data.args[4] ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW);
            else if (number == SYS_seccomp && (uint32_t)data.args[0] == SECCOMP_SET_MODE_FILTER &&
                     data.args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER)
                assert_int_equal(explained, ERRNO(EBUSY));
            else
                assert_int_equal(explained, plain);
        }
    }
}

/* What the supervisor answers by: as the policy, for every number and every value that a rule compares with. */
static void answers_are_the_policy_s(void **state)
{
    static const enum seccomp_machine machines[] = {SECCOMP_X86_64, SECCOMP_AARCH64};

    (void)state;
    for (size_t m = 0; m < LENGTH(machines); m++) {
        const struct seccomp_answer *answers = machines[m] == SECCOMP_X86_64 ? seccomp_x86_64_answers : seccomp_aarch64_answers;
        size_t n = machines[m] == SECCOMP_X86_64 ? seccomp_x86_64_answers_len : seccomp_aarch64_answers_len, at = 0;

        for (size_t i = 0; i < seccomp_rules_len; i++) {
            const struct seccomp_rule *rule = &seccomp_rules[i];
            int number = seccomp_rule_number(rule, machines[m]);
            bool refuses = false;

            for (size_t j = 0; j < seccomp_rules_len; j++)
                refuses |= seccomp_rules[j].answer != SECCOMP_POLICY_ALLOW && !strcmp(seccomp_rules[j].name, rule->name);
            if (!refuses || number < 0)
                continue;
            assert_true(at < n);
            assert_int_equal(answers[at].number, number);
            assert_int_equal(answers[at].answer, rule->answer);
            assert_string_equal(answers[at].name, rule->name);
            assert_string_equal(answers[at].reason, rule->reason);
            for (size_t c = 0; c < SECCOMP_POLICY_CONDITIONS; c++) {
                assert_int_equal(answers[at].conditions[c].argument, rule->conditions[c].argument);
                assert_int_equal(answers[at].conditions[c].mask, rule->conditions[c].mask);
                assert_int_equal(answers[at].conditions[c].value, rule->conditions[c].value);
            }
            at++;
        }
        assert_int_equal(at, n);
    }
}

static void explained_rules_need_room(void **state)
{
    static struct seccomp_rule rules[4096];
    size_t n, less;

    (void)state;
    assert_int_equal(seccomp_explained_rules(rules, LENGTH(rules), &n), 0);
    assert_true(n > seccomp_rules_len);
    assert_int_equal(seccomp_explained_rules(rules, n - 1, &less), -EOVERFLOW);
    assert_int_equal(seccomp_explained_rules(rules, 0, &less), -EOVERFLOW);
}

/* The mutation-th change to an instruction; false when it has no such change. */
static bool mutate(struct sock_filter *i, size_t mutation)
{
    static const uint16_t jumps[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
    const struct sock_filter kept = *i;
    bool jump = BPF_CLASS(i->code) == BPF_JMP && BPF_OP(i->code) != BPF_JA;

    switch (mutation) {
    case 0:
        i->k++;
        break;
    case 1:
        i->k--;
        break;
    case 2:
        i->k ^= 0x80000000;
        break;
    case 3: /* the other answer, the next word, the upper word of the argument */
        i->k = i->code == (BPF_RET | BPF_K) ? (i->k == SECCOMP_RET_ALLOW ? ERRNO(EPERM) : SECCOMP_RET_ALLOW) : i->k ^ 4;
        break;
    case 4:
        i->k ^= 8;
        break;
    case 5:
        i->jt++;
        break;
    case 6:
        i->jt--;
        break;
    case 7:
        i->jf++;
        break;
    case 8:
        i->jf--;
        break;
    case 9:
        i->jt = kept.jf;
        i->jf = kept.jt;
        break;
    case 10:
    case 11:
    case 12:
    case 13:
        i->code = (uint16_t)(BPF_JMP | jumps[mutation - 10] | BPF_K);
        break;
    case 14:
        i->code = BPF_JMP | BPF_JA;
        i->k = kept.jt;
        break;
    case 15:
        i->code = BPF_JMP | BPF_JA;
        i->k = kept.jf;
        break;
    case 16:
        i->code = BPF_ALU | BPF_OR | BPF_K;
        break;
    case 17:
        i->code = BPF_LD | BPF_IMM;
        break;
    default: /* nothing at all */
        *i = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
        break;
    }
    if (!jump && mutation >= 5 && mutation <= 15)
        return false;
    return memcmp(i, &kept, sizeof kept) != 0;
}

#define MUTATIONS 19

/*
 * The comparison must be able to fail: each instruction of the program is changed, and the change is found or the
 * program refused. One change an instruction, with BIVY_TEST_FULL=1 all that mutate() knows (a minute or two). What
 * passes unnoticed means the same: a jump to the test before the return it was meant for, which leads there for all
 * that come by; >= for == at the end of a range; a test less or another in a short cut through numbers without a call,
 * which is there to make the path of many numbers shorter.
 */
static void spoilt_programs_are_found(void **state)
{
    static struct sock_filter program[BPF_MAXINSNS];
    const char *full = getenv("BIVY_TEST_FULL");
    bool all = full != NULL && strcmp(full, "1") == 0;
    size_t length = length_of(own);
    size_t spoilt = 0;
    size_t unnoticed = 0;

    (void)state;
    memcpy(program, program_of(own), length * sizeof *program);
    for (size_t pc = 0; pc < length; pc++) {
        const struct sock_filter kept = program[pc];
        bool done = false;

        for (size_t m = 0; m < MUTATIONS && (all || !done); m++) {
            struct seccomp_verdict verdict;

            done = mutate(&program[pc], (m + pc) % MUTATIONS);
            spoilt += done;
            if (done && seccomp_verify(own, false, program, length, NULL, &verdict) == 0) {
                print_message("# instruction %zu {0x%x, %u, %u, 0x%x} as {0x%x, %u, %u, 0x%x} not noticed\n", pc,
                              kept.code, kept.jt, kept.jf, kept.k, program[pc].code, program[pc].jt, program[pc].jf,
                              program[pc].k);
                unnoticed++;
            }
            program[pc] = kept;
        }
    }
    print_message("# %zu changes, %zu unnoticed\n", spoilt, unnoticed);
    assert_true(spoilt >= length);
    assert_true(unnoticed * 10 <= spoilt);
}

/* ---- the compiler, on tables of its own ------------------------------------------------------------------------- */

/* The same words in every run. */
static uint32_t some(uint64_t *seed, uint32_t below)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16) % below;
}

#define MADE_RULES 600

/*
 * A table as no policy has it: conditions that overlap and contradict one another, masks of every kind, values at both
 * ends of a word. Its length, and the numbers used in *numbers.
 */
static size_t make_rules(uint64_t *seed, struct seccomp_rule rules[MADE_RULES], uint32_t *numbers)
{
    static const uint32_t masks[] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 0xf, 0xf000, 0xff, 0x80000000,
                                      4,          6,          0x1e,       0x39};
    static const int answers[] = {SECCOMP_POLICY_ALLOW, EPERM, EINVAL, ENOSYS};
    uint32_t most = 1 + some(seed, 12);
    size_t n = 0;

    *numbers = 5 + some(seed, 120);
    for (uint32_t number = 0; number < *numbers; number++) {
        uint32_t conditional = some(seed, 3) == 0 ? some(seed, most) : 0;

        if (some(seed, 4) == 0) /* a number without a rule */
            continue;
        for (uint32_t i = 0; i <= conditional && n < MADE_RULES; i++) {
            struct seccomp_rule *rule = &rules[n++];
            size_t slots = i == conditional || n == MADE_RULES ? 0 : 1 + some(seed, SECCOMP_POLICY_CONDITIONS);
            unsigned char argument = (unsigned char)some(seed, 2);

            *rule = (struct seccomp_rule){.name = "made", .x86_64 = (int)number, .aarch64 = -1,
                                          .answer = answers[some(seed, LENGTH(answers))]};
            for (size_t c = 0; c < slots; c++) {
                uint32_t mask = masks[some(seed, LENGTH(masks))];
                uint32_t value = some(seed, 8) == 0 ? 0U - some(seed, 3) : some(seed, 40);

                rule->conditions[c] = (struct seccomp_condition){argument, mask, value & mask};
                argument = (unsigned char)(argument + 1 + some(seed, 1 + (c == 0)));
            }
        }
    }
    return n;
}

/* The first rule that holds, read from the table once more. */
static uint32_t answer_by_hand(const struct seccomp_rule *rules, size_t n, const struct seccomp_data *data)
{
    for (size_t i = 0; i < n; i++) {
        size_t c = 0;

        if (rules[i].x86_64 != data->nr)
            continue;
        while (c < seccomp_rule_conditions(&rules[i]) &&
               ((uint32_t)data->args[rules[i].conditions[c].argument] & rules[i].conditions[c].mask) ==
                   rules[i].conditions[c].value)
            c++;
        if (c == seccomp_rule_conditions(&rules[i]))
            return rules[i].answer == SECCOMP_POLICY_ALLOW ? SECCOMP_RET_ALLOW : ERRNO(rules[i].answer);
    }
    return ERRNO(SECCOMP_POLICY_DEFAULT);
}

/* Calls with words near what the rules compare with. The number of the first call that is answered wrong, or -1. */
static int first_wrong(uint64_t *seed, const struct seccomp_rule *rules, size_t n, uint32_t numbers,
                       const struct sock_filter *program, size_t length)
{
    for (size_t call = 0; call < 20000; call++) {
        struct seccomp_data data = {.nr = (int)some(seed, numbers + 2), .arch = AUDIT_ARCH_X86_64};
        uint32_t answer = 0;

        for (size_t i = 0; i < 6; i++) {
            uint32_t low = some(seed, 4) == 0 ? 0U - some(seed, 4) : some(seed, 42);

            low ^= some(seed, 4) == 0 ? UINT32_C(1) << some(seed, 32) : 0;
            data.args[i] = (uint64_t)some(seed, 3) << 32 | low;
        }
        if (bpf_run_checked(program, length, &data, &answer) != 0 || answer != answer_by_hand(rules, n, &data))
            return data.nr;
    }
    return -1;
}

static void compiler_follows_any_table(void **state)
{
    static struct seccomp_rule rules[MADE_RULES];
    static struct sock_filter program[BPF_MAXINSNS];
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    size_t longest = 0;

    (void)state;
    for (int table = 0; table < 100; table++) {
        uint32_t numbers;
        size_t n = make_rules(&seed, rules, &numbers);
        size_t length;
        int r = seccomp_compile(rules, n, SECCOMP_POLICY_DEFAULT, SECCOMP_X86_64, program, &length);
        int wrong;

        if (r != 0 || bpf_check(program, length) != 0)
            fail_msg("table %d: %zu rules, %s, %zu instructions", table, n, strerror(-r), length);
        wrong = first_wrong(&seed, rules, n, numbers, program, length);
        if (wrong >= 0)
            fail_msg("table %d: %zu rules, %zu instructions: number %d is answered wrong", table, n, length, wrong);
        if (length > longest)
            longest = length;
    }
    print_message("# the longest has %zu instructions\n", longest);
    assert_true(longest > 3 * UINT8_MAX); /* so that some jumps were too short */
}

static void compiler_refuses_too_much(void **state)
{
    static struct seccomp_rule rules[MADE_RULES];
    static struct sock_filter program[BPF_MAXINSNS];
    size_t length;

    (void)state;
    /* No rule at all is a filter too: everything is unknown. */
    assert_int_equal(seccomp_compile(rules, 0, SECCOMP_POLICY_DEFAULT, SECCOMP_AARCH64, program, &length), 0);
    assert_int_equal(bpf_check(program, length), 0);
    for (size_t i = 0; i < MADE_RULES; i++) {
        rules[i] = (struct seccomp_rule){.name = "made", .aarch64 = 7, .answer = EPERM};
        if (i + 1 < MADE_RULES)
            rules[i].conditions[0] = (struct seccomp_condition){0, UINT32_MAX, (uint32_t)i * 3};
    }
    assert_int_equal(seccomp_compile(rules, MADE_RULES, SECCOMP_POLICY_DEFAULT, SECCOMP_AARCH64, program, &length), -EOVERFLOW);
}

/* Short because it is loaded on every run: what it took before it was compiled here was 439 instructions. */
static void program_is_short(void **state)
{
    (void)state;
    assert_true(seccomp_x86_64_len < 220);
    assert_true(seccomp_aarch64_len < 220);
}

static void embedded_is_own(void **state)
{
    (void)state;
    assert_int_equal(seccomp_filter_len, length_of(own));
    assert_memory_equal(seccomp_filter, program_of(own), length_of(own) * sizeof *seccomp_filter);
    assert_string_equal(seccomp_filter_sha256,
                        own == SECCOMP_X86_64 ? seccomp_x86_64_sha256 : seccomp_aarch64_sha256);
    assert_string_not_equal(seccomp_x86_64_sha256, seccomp_aarch64_sha256);
}

static void digest_is_of_the_program(void **state)
{
    char hex[65];

    (void)state;
    /* FIPS 180-4 examples, and the lengths at which padding takes another block. */
    sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    /* This machine is little-endian, so the array itself is what is hashed. */
    sha256_hex(seccomp_filter, seccomp_filter_len * sizeof *seccomp_filter, hex);
    assert_string_equal(hex, seccomp_filter_sha256);
}

/* Expectations written by hand from DESIGN and kernel headers, not from the table: {numbers, arguments, answer}. */
struct pin {
    const char *what;
    int x86_64;
    int aarch64;
    uint64_t arguments[6];
    uint32_t answer;
};

#define ALLOWED SECCOMP_RET_ALLOW
#define NEGATIVE UINT64_C(0xffffffff00000000)

/* clang-format off */
static const struct pin pins[] = {
    {"read", 0, 63, {0}, ALLOWED},
    {"openat", 257, 56, {0}, ALLOWED},
    {"execve", 59, 221, {0}, ALLOWED},
    {"exit_group", 231, 94, {0}, ALLOWED},
    {"futex", 202, 98, {0}, ALLOWED},
    {"rt_sigreturn", 15, 139, {0}, ALLOWED},
    {"restart_syscall", 219, 128, {0}, ALLOWED},
    {"fork by clone", 56, 220, {17}, ALLOWED},
    {"thread by clone", 56, 220, {0x3d0f00}, ALLOWED},
    {"clone whose exit signal has the bit of CLONE_NEWTIME", 56, 220, {0x80}, ALLOWED},
    {"clone into a user namespace", 56, 220, {0x10000011}, ERRNO(EPERM)},
    {"clone into a mount namespace", 56, 220, {0x00020011}, ERRNO(EPERM)},
    {"clone into a cgroup namespace", 56, 220, {0x02000011}, ERRNO(EPERM)},
    {"clone into a UTS namespace", 56, 220, {0x04000011}, ERRNO(EPERM)},
    {"clone into an IPC namespace", 56, 220, {0x08000011}, ERRNO(EPERM)},
    {"clone into a PID namespace", 56, 220, {0x20000011}, ERRNO(EPERM)},
    {"clone into a network namespace, sign-extended", 56, 220, {NEGATIVE | 0x40000011}, ERRNO(EPERM)},
    {"clone3", 435, 435, {0}, ERRNO(ENOSYS)},
    {"unshare", 272, 97, {0}, ERRNO(EPERM)},
    {"setns", 308, 268, {0}, ERRNO(EPERM)},
    {"TIOCSTI", 16, 29, {0, 0x5412}, ERRNO(EPERM)},
    {"TIOCSTI under an upper word", 16, 29, {0, UINT64_C(0x100005412)}, ERRNO(EPERM)},
    {"TIOCLINUX, sign-extended", 16, 29, {0, NEGATIVE | 0x541c}, ERRNO(EPERM)},
    {"TIOCSETD", 16, 29, {0, 0x5423}, ERRNO(EPERM)},
    {"TCGETS", 16, 29, {0, 0x5401}, ALLOWED},
    {"TIOCGPTN as musl passes it", 16, 29, {0, NEGATIVE | 0x80045430}, ALLOWED},
    {"FIONBIO", 16, 29, {0, 0x5421}, ALLOWED},
    {"splice", 275, 76, {UINT64_MAX, 0, UINT64_MAX, 0, 0, 0}, ERRNO(EINVAL)},
    {"vmsplice", 278, 75, {0}, ERRNO(EINVAL)},
    {"tee", 276, 77, {0}, ERRNO(EINVAL)},
    {"sendfile", 40, 71, {1, 0, 0, 1}, ERRNO(EINVAL)},
    {"copy_file_range", 326, 285, {0}, ALLOWED},
    {"AF_UNIX", 41, 198, {1, 0x80802, 0}, ALLOWED},
    {"TCP", 41, 198, {2, 0x80801, 6}, ALLOWED},
    {"UDP over IPv6", 41, 198, {10, 2, 0}, ALLOWED},
    {"UDP by a stream", 41, 198, {2, 1, 17}, ERRNO(EPROTONOSUPPORT)},
    {"MPTCP", 41, 198, {2, 1, 262}, ERRNO(EPROTONOSUPPORT)},
    {"SCTP", 41, 198, {2, 5, 132}, ERRNO(EPROTONOSUPPORT)},
    {"ping", 41, 198, {2, 2, 1}, ERRNO(EPROTONOSUPPORT)},
    {"raw IP", 41, 198, {2, 3, 255}, ERRNO(EPERM)},
    {"raw IPv6", 41, 198, {10, 0x80003, 58}, ERRNO(EPERM)},
    {"SOCK_PACKET under AF_INET", 41, 198, {2, 10, 768}, ERRNO(EPROTONOSUPPORT)},
    {"NETLINK_ROUTE", 41, 198, {16, 3, 0}, ALLOWED},
    {"NETLINK_XFRM", 41, 198, {16, 3, 6}, ERRNO(EAFNOSUPPORT)},
    {"NETLINK_AUDIT", 41, 198, {16, 3, 9}, ERRNO(EAFNOSUPPORT)},
    {"AF_PACKET", 41, 198, {17, 3, 768}, ERRNO(EAFNOSUPPORT)},
    {"AF_RDS", 41, 198, {21, 5, 0}, ERRNO(EAFNOSUPPORT)},
    {"AF_RXRPC", 41, 198, {33, 2, 2}, ERRNO(EAFNOSUPPORT)},
    {"AF_ALG", 41, 198, {38, 5, 0}, ERRNO(EAFNOSUPPORT)},
    {"AF_ALG under an upper word", 41, 198, {UINT64_C(0x100000026), 5, 0}, ERRNO(EAFNOSUPPORT)},
    {"AF_VSOCK", 41, 198, {40, 1, 0}, ERRNO(EAFNOSUPPORT)},
    {"AF_XDP", 41, 198, {44, 3, 0}, ERRNO(EAFNOSUPPORT)},
    {"AF_UNSPEC", 41, 198, {0, 1, 0}, ERRNO(EAFNOSUPPORT)},
    {"socket(-1)", 41, 198, {UINT64_MAX, 1, 0}, ERRNO(EAFNOSUPPORT)},
    {"socketpair", 53, 199, {1, 1, 0}, ALLOWED},
    {"socketpair of AF_TIPC", 53, 199, {30, 1, 0}, ERRNO(EAFNOSUPPORT)},
    {"TCP_ULP", 54, 208, {3, 6, 31}, ERRNO(ENOENT)},
    {"TCP_NODELAY", 54, 208, {3, 6, 1}, ALLOWED},
    {"SO_ZEROCOPY", 54, 208, {3, 1, 60}, ERRNO(ENOPROTOOPT)},
    {"SO_REUSEADDR", 54, 208, {3, 1, 2}, ALLOWED},
    {"rename without flags", 316, 276, {0, 0, 0, 0, 0}, ALLOWED},
    {"RENAME_NOREPLACE", 316, 276, {0, 0, 0, 0, 1}, ALLOWED},
    {"RENAME_EXCHANGE", 316, 276, {0, 0, 0, 0, 2}, ERRNO(EINVAL)},
    {"RENAME_EXCHANGE under an upper word", 316, 276, {0, 0, 0, 0, NEGATIVE | 2}, ERRNO(EINVAL)},
    {"RENAME_WHITEOUT", 316, 276, {0, 0, 0, 0, 4}, ERRNO(EINVAL)},
    {"mknodat of a FIFO", 259, 33, {0, 0, 010644}, ALLOWED},
    {"mknodat of a file", 259, 33, {0, 0, 0644}, ALLOWED},
    {"mknodat of a character device", 259, 33, {0, 0, 020644}, ERRNO(EPERM)},
    {"mknodat of a block device", 259, 33, {0, 0, 060644}, ERRNO(EPERM)},
    {"personality query", 135, 92, {0xffffffff}, ALLOWED},
    {"personality query, sign-extended", 135, 92, {UINT64_MAX}, ALLOWED},
    {"PER_LINUX", 135, 92, {0}, ALLOWED},
    {"ADDR_NO_RANDOMIZE", 135, 92, {0x0040000}, ERRNO(EPERM)},
    {"READ_IMPLIES_EXEC", 135, 92, {0x0400000}, ERRNO(EPERM)},
    {"PR_SET_NAME", 157, 167, {15}, ALLOWED},
    {"PR_SET_MM", 157, 167, {35}, ERRNO(EINVAL)},
    {"PR_SCHED_CORE", 157, 167, {62}, ERRNO(EINVAL)},
    {"ptrace", 101, 117, {0}, ERRNO(EPERM)},
    {"process_vm_readv", 310, 270, {0}, ERRNO(EPERM)},
    {"pidfd_getfd", 438, 438, {0}, ERRNO(EPERM)},
    {"mount", 165, 40, {0}, ERRNO(EPERM)},
    {"fsopen", 430, 430, {0}, ERRNO(EPERM)},
    {"open_tree_attr", 467, 467, {0}, ERRNO(EPERM)},
    {"bpf", 321, 280, {0}, ERRNO(EPERM)},
    {"perf_event_open", 298, 241, {0}, ERRNO(EPERM)},
    {"userfaultfd", 323, 282, {0}, ERRNO(EPERM)},
    {"keyctl", 250, 219, {0}, ERRNO(EPERM)},
    {"io_uring_setup", 425, 425, {0}, ERRNO(ENOSYS)},
    {"fchmodat2", 452, 452, {0}, ALLOWED},
    {"mseal", 462, 462, {0}, ALLOWED},
    {"statmount", 457, 457, {0}, ERRNO(ENOSYS)},
    {"a number of the future", 700, 700, {0}, ERRNO(ENOSYS)},
    {"-1", -1, -1, {0}, ERRNO(ENOSYS)},
};
/* clang-format on */

static uint32_t run_program(enum seccomp_machine machine, uint32_t arch, int number, const uint64_t arguments[6])
{
    struct seccomp_data data = {.nr = number, .arch = arch};
    uint32_t answer = 0;

    for (size_t i = 0; i < 6; i++)
        data.args[i] = arguments[i];
    assert_int_equal(bpf_run(program_of(machine), length_of(machine), &data, &answer), 0);
    return answer;
}

static void pinned_answers_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(pins); i++) {
        const struct pin *pin = &pins[i];
        uint32_t x = run_program(SECCOMP_X86_64, AUDIT_ARCH_X86_64, pin->x86_64, pin->arguments);
        uint32_t a = run_program(SECCOMP_AARCH64, AUDIT_ARCH_AARCH64, pin->aarch64, pin->arguments);

        if (x != pin->answer || a != pin->answer)
            fail_msg("%s: 0x%x on x86_64, 0x%x on aarch64, instead of 0x%x", pin->what, x, a, pin->answer);
    }
}

static void foreign_calls_are_refused(void **state)
{
    static const uint64_t none[6] = {0};

    (void)state;
    /* getpid by the x32, i386 and arm conventions */
    assert_int_equal(run_program(SECCOMP_X86_64, AUDIT_ARCH_X86_64, 0x40000000 | 39, none), ERRNO(ENOSYS));
    assert_int_equal(run_program(SECCOMP_X86_64, AUDIT_ARCH_X86_64, 0x40000000 | 512, none), ERRNO(ENOSYS));
    assert_int_equal(run_program(SECCOMP_X86_64, AUDIT_ARCH_I386, 20, none), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(run_program(SECCOMP_X86_64, AUDIT_ARCH_AARCH64, 172, none), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(run_program(SECCOMP_AARCH64, AUDIT_ARCH_ARM, 20, none), SECCOMP_RET_KILL_PROCESS);
    assert_int_equal(run_program(SECCOMP_AARCH64, AUDIT_ARCH_X86_64, 39, none), SECCOMP_RET_KILL_PROCESS);
}

/* ---- the running kernel ---------------------------------------------------------------------------------------- */

/* Runs body in a child, with the filter if asked; what it writes to its descriptor is the failure. Its wait status. */
static int in_child(bool filtered, void (*body)(int complain), char *complaint, size_t size)
{
    int ends[2];
    int status;
    ssize_t got;
    size_t length = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        if (filtered && load(seccomp_filter, seccomp_filter_len) != 0) {
            dprintf(ends[1], "loading the filter: %s", strerror(errno));
            _exit(1);
        }
        body(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    while (length + 1 < size && (got = read(ends[0], complaint + length, size - 1 - length)) > 0)
        length += (size_t)got;
    complaint[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void passes(bool filtered, void (*body)(int complain))
{
    char complaint[512];
    int status = in_child(filtered, body, complaint, sizeof complaint);

    if (complaint[0] != '\0')
        fail_msg("%s", complaint);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/*
 * Calls that are safe whatever answers. distinct: without the filter any kernel, for any user, says something else, so
 * that the answer proves the filter.
 */
struct live {
    const char *what;
    long number;
    long arguments[5];
    int answer;
    bool distinct;
};

/* clang-format off */
static const struct live lives[] = {
    {"splice(-1)", SYS_splice, {-1, 0, -1, 0, 0}, EINVAL, true},
    {"vmsplice(-1)", SYS_vmsplice, {-1, 0, 0, 0}, EINVAL, false},
    {"tee(-1)", SYS_tee, {-1, -1, 1, 0}, EINVAL, true},
    {"sendfile(-1)", SYS_sendfile, {-1, -1, 0, 1}, EINVAL, true},
    {"clone3", SYS_clone3, {0, 0}, ENOSYS, true},
    {"clone into a user namespace, flags the kernel refuses", SYS_clone, {0x10000200 | SIGCHLD}, EPERM, true},
    {"unshare(0)", SYS_unshare, {0}, EPERM, true},
    {"setns(-1)", SYS_setns, {-1, 0}, EPERM, true},
    {"personality(ADDR_NO_RANDOMIZE)", SYS_personality, {0x0040000}, EPERM, true},
    {"personality(query)", SYS_personality, {0xffffffff}, 0, false},
    {"ptrace of nobody", SYS_ptrace, {16, 0x7fffffff, 0, 0}, EPERM, true},
    {"keyctl", SYS_keyctl, {-1, 0, 0, 0, 0}, EPERM, true},
    {"kcmp of nobody", SYS_kcmp, {0x7fffffff, 0x7fffffff, 0, 0, 0}, EPERM, true},
    {"process_vm_readv of nobody", SYS_process_vm_readv, {0x7fffffff, 0, 0, 0, 0}, EPERM, false},
    {"pidfd_getfd(-1)", SYS_pidfd_getfd, {-1, 0, 0}, EPERM, true},
    {"socket(AF_VSOCK)", SYS_socket, {40, 1, 0}, EAFNOSUPPORT, false},
    {"socket(AF_ALG)", SYS_socket, {38, 5, 0}, EAFNOSUPPORT, false},
    {"socket(AF_UNIX)", SYS_socket, {1, 1, 0}, 0, false},
    {"socket(AF_INET, SOCK_STREAM)", SYS_socket, {2, 1, 0}, 0, false},
    {"socket(AF_NETLINK, SOCK_RAW, 0)", SYS_socket, {16, 3, 0}, 0, false},
    {"socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)", SYS_socket, {2, 1, 17}, EPROTONOSUPPORT, false},
    {"socket(AF_INET, SOCK_RAW)", SYS_socket, {2, 3, 255}, EPERM, false},
    {"socketpair(AF_INET)", SYS_socketpair, {2, 1, 0, 0}, EAFNOSUPPORT, true},
    {"setsockopt(-1, TCP_ULP)", SYS_setsockopt, {-1, 6, 31, 0, 0}, ENOENT, true},
    {"setsockopt(-1, SO_ZEROCOPY)", SYS_setsockopt, {-1, 1, 60, 0, 0}, ENOPROTOOPT, true},
    {"ioctl(-1, TIOCSTI)", SYS_ioctl, {-1, 0x5412, 0}, EPERM, true},
    {"ioctl(-1, TIOCSTI) under an upper word", SYS_ioctl, {-1, 0x100005412, 0}, EPERM, true},
    {"ioctl(-1, TIOCLINUX)", SYS_ioctl, {-1, 0x541c, 0}, EPERM, true},
    {"ioctl(-1, TCGETS)", SYS_ioctl, {-1, 0x5401, 0}, EBADF, false},
    {"renameat2(RENAME_EXCHANGE)", SYS_renameat2, {-1, (long)"a", -1, (long)"b", 2}, EINVAL, true},
    {"renameat2(0)", SYS_renameat2, {-1, (long)"a", -1, (long)"b", 0}, EBADF, false},
    {"mknodat(S_IFCHR)", SYS_mknodat, {-1, (long)"a", 020600, 0}, EPERM, false},
    {"mknodat(S_IFIFO)", SYS_mknodat, {-1, (long)"a", 010600, 0}, EBADF, false},
    {"prctl(PR_GET_NO_NEW_PRIVS)", SYS_prctl, {39, 0, 0, 0, 0}, 0, false},
    {"prctl(PR_SET_MM)", SYS_prctl, {35, 0, 0, 0, 0}, EINVAL, false},
    {"getpid", SYS_getpid, {0}, 0, false},
    {"number 1000", 1000, {0}, ENOSYS, false},
};
/* clang-format on */

/* errno of the call, 0 when it worked. */
static int answer_to(const struct live *live)
{
    const long *a = live->arguments;

    return syscall(live->number, a[0], a[1], a[2], a[3], a[4], 0L) < 0 ? errno : 0;
}

static void answers_as_told(int complain)
{
    for (size_t i = 0; i < LENGTH(lives); i++) {
        int answer = answer_to(&lives[i]);

        if (answer != lives[i].answer) {
            dprintf(complain, "%s: %s instead of %s", lives[i].what, strerror(answer), strerror(lives[i].answer));
            return;
        }
    }
}

static void answers_otherwise(int complain)
{
    for (size_t i = 0; i < LENGTH(lives); i++) {
        if (lives[i].distinct && answer_to(&lives[i]) == lives[i].answer) {
            dprintf(complain, "%s: the kernel says that without the filter too", lives[i].what);
            return;
        }
    }
}

static void kernel_agrees(void **state)
{
    (void)state;
    passes(false, answers_otherwise);
    passes(true, answers_as_told);
}

/* Every call refused outright, with arguments no kernel would act on. vhangup has none to spoil. */
static void refuses_all(int complain)
{
    if (syscall(SYS_splice, -1L, 0L, -1L, 0L, 0L, 0L) != -1 || errno != EINVAL) {
        dprintf(complain, "no filter");
        return;
    }
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        const struct seccomp_rule *rule = &seccomp_rules[i];
        int number = seccomp_rule_number(rule, own);
        bool alone = i == 0 || strcmp(seccomp_rules[i - 1].name, rule->name) != 0;

        if (number < 0 || !alone || seccomp_rule_conditions(rule) > 0 || rule->answer == SECCOMP_POLICY_ALLOW ||
            strcmp(rule->name, "vhangup") == 0)
            continue;
        if (syscall(number, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != rule->answer) {
            dprintf(complain, "%s: %s", rule->name, strerror(errno));
            return;
        }
    }
}

static void kernel_refuses_all(void **state)
{
    (void)state;
    passes(true, refuses_all);
}

static void *one_more(void *number)
{
    ++*(int *)number;
    return NULL;
}

/* What any program does: a thread, a child, a pipe, a file, a program executed. */
static void works_as_usual(int complain)
{
    pthread_t thread;
    int number = 1;
    int status = 0;
    int ends[2];
    char c = 0;
    pid_t child;
    int r = pthread_create(&thread, NULL, one_more, &number);

    if (r != 0 || pthread_join(thread, NULL) != 0 || number != 2)
        dprintf(complain, "thread: %s; ", strerror(r));
    if (pipe(ends) != 0) {
        dprintf(complain, "pipe: %s; ", strerror(errno));
        return;
    }
    child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execl("/bin/sh", "sh", "-c", "test -r /proc/self/status && echo y", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (read(ends[0], &c, 1) != 1 || c != 'y')
        dprintf(complain, "no answer from the shell; ");
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        dprintf(complain, "shell: wait status %d; ", status);
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        dprintf(complain, "not in filter mode; ");
}

static void kernel_lets_programs_work(void **state)
{
    (void)state;
    passes(true, works_as_usual);
}

#if defined(__x86_64__)

static void calls_x32(int complain)
{
    if (syscall(0x40000000L | SYS_getpid) != -1 || errno != ENOSYS)
        dprintf(complain, "x32 getpid is not ENOSYS");
}

static void calls_i386(int complain)
{
    long number = 20; /* getpid */

    (void)complain;
    __asm__ volatile("int $0x80" : "+a"(number) : : "r8", "r9", "r10", "r11", "memory");
    _exit(number == getpid() ? 0 : 3);
}

static void kernel_refuses_foreign_calls(void **state)
{
    char complaint[64];
    int status;

    (void)state;
    passes(true, calls_x32);
    /* A kernel without 32-bit emulation has nothing to filter here: it ends the process by itself. */
    status = in_child(false, calls_i386, complaint, sizeof complaint);
    if (!WIFEXITED(status)) {
        print_message("no 32-bit emulation in this kernel\n");
        assert_int_equal(WTERMSIG(status), SIGSEGV);
        return;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    status = in_child(true, calls_i386, complaint, sizeof complaint);
    assert_string_equal(complaint, "");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreter_computes),
        cmocka_unit_test(interpreter_refuses),
        cmocka_unit_test(interpreter_refuses_too_long),
        cmocka_unit_test(interpreter_refuses_wide_shift),
        cmocka_unit_test(interpreter_and_kernel_agree),
        cmocka_unit_test(table_is_orderly),
        cmocka_unit_test(machines_have_names),
        cmocka_unit_test(golden_tables_hold),
        cmocka_unit_test(document_holds),
        cmocka_unit_test(x86_64_follows_policy),
        cmocka_unit_test(aarch64_follows_policy),
        cmocka_unit_test(explained_follows_policy),
        cmocka_unit_test(explained_allows_nothing_more),
        cmocka_unit_test(answers_are_the_policy_s),
        cmocka_unit_test(explained_rules_need_room),
        cmocka_unit_test(spoilt_programs_are_found),
        cmocka_unit_test(compiler_follows_any_table),
        cmocka_unit_test(compiler_refuses_too_much),
        cmocka_unit_test(program_is_short),
        cmocka_unit_test(embedded_is_own),
        cmocka_unit_test(digest_is_of_the_program),
        cmocka_unit_test(pinned_answers_hold),
        cmocka_unit_test(foreign_calls_are_refused),
        cmocka_unit_test(kernel_agrees),
        cmocka_unit_test(kernel_refuses_all),
        cmocka_unit_test(kernel_lets_programs_work),
#if defined(__x86_64__)
        cmocka_unit_test(kernel_refuses_foreign_calls),
#endif
    };

    return cmocka_run_group_tests_name("seccomp", tests, NULL, NULL);
}
