/* A classic BPF interpreter for seccomp programs. */
#include "bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_alu(uint16_t operation)
{
    switch (operation) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_DIV:
    case BPF_AND:
    case BPF_OR:
    case BPF_XOR:
    case BPF_LSH:
    case BPF_RSH:
        return true;
    default: /* BPF_MOD is classic BPF but not admitted by seccomp */
        return false;
    }
}

static bool is_condition(uint16_t operation)
{
    return operation == BPF_JEQ || operation == BPF_JGE || operation == BPF_JGT || operation == BPF_JSET;
}

static bool is_alu_sound(const struct sock_filter *i)
{
    uint16_t operation = BPF_OP(i->code);

    if (operation == BPF_NEG)
        return i->code == (BPF_ALU | BPF_NEG);
    if (!is_alu(operation))
        return false;
    if (BPF_SRC(i->code) == BPF_X)
        return true;
    if (operation == BPF_DIV)
        return i->k != 0;
    if (operation == BPF_LSH || operation == BPF_RSH)
        return i->k < 32;
    return true;
}

/* One instruction by itself, jumps against what follows it. */
static bool is_sound(const struct sock_filter *i, size_t following)
{
    if (i->code > 0xff) /* the kernel compares all 16 bits */
        return false;
    switch (i->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return i->k < sizeof(struct seccomp_data) && i->k % 4 == 0;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
        return true;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return i->k < BPF_MEMWORDS;
    case BPF_JMP | BPF_JA:
        return i->k < following;
    default:
        break;
    }
    if (BPF_CLASS(i->code) == BPF_ALU)
        return is_alu_sound(i);
    if (BPF_CLASS(i->code) == BPF_JMP && is_condition(BPF_OP(i->code)))
        return i->jt < following && i->jf < following;
    return false;
}

/* Every scratch slot is written before it is read, whichever way the program runs. Jumps only go forward. */
static bool is_scratch_sound(const struct sock_filter *program, size_t length)
{
    uint16_t written[BPF_MAXINSNS]; /* slots surely written when an instruction is reached */
    uint16_t now = 0;

    memset(written, 0xff, sizeof written);
    for (size_t pc = 0; pc < length; pc++) {
        const struct sock_filter *i = &program[pc];

        now &= written[pc];
        switch (BPF_CLASS(i->code)) {
        case BPF_ST:
        case BPF_STX:
            now |= (uint16_t)(1U << i->k);
            break;
        case BPF_LD:
        case BPF_LDX:
            if (BPF_MODE(i->code) == BPF_MEM && !(now & (1U << i->k)))
                return false;
            break;
        case BPF_JMP:
            if (BPF_OP(i->code) == BPF_JA) {
                written[pc + 1 + i->k] &= now;
            } else {
                written[pc + 1 + i->jt] &= now;
                written[pc + 1 + i->jf] &= now;
            }
            now = 0xffff; /* the next instruction is only reached by a jump */
            break;
        case BPF_RET:
            now = 0xffff;
            break;
        default:
            break;
        }
    }
    return true;
}

int bpf_check(const struct sock_filter *program, size_t length)
{
    if (length == 0 || length > BPF_MAXINSNS)
        return -EINVAL;
    for (size_t pc = 0; pc < length; pc++) {
        if (!is_sound(&program[pc], length - pc - 1))
            return -EINVAL;
    }
    if (BPF_CLASS(program[length - 1].code) != BPF_RET || !is_scratch_sound(program, length))
        return -EINVAL;
    return 0;
}

/* The 32-bit word at a byte offset of struct seccomp_data on a little-endian machine, whatever this one is. */
static uint32_t word(const struct seccomp_data *data, uint32_t offset)
{
    uint64_t pair;

    if (offset == offsetof(struct seccomp_data, nr))
        return (uint32_t)data->nr;
    if (offset == offsetof(struct seccomp_data, arch))
        return data->arch;
    if (offset < offsetof(struct seccomp_data, args))
        pair = data->instruction_pointer;
    else
        pair = data->args[(offset - offsetof(struct seccomp_data, args)) / 8];
    return (uint32_t)(offset % 8 == 0 ? pair : pair >> 32);
}

static int compute(uint16_t operation, uint32_t *a, uint32_t operand)
{
    switch (operation) {
    case BPF_ADD:
        *a += operand;
        return 0;
    case BPF_SUB:
        *a -= operand;
        return 0;
    case BPF_MUL:
        *a *= operand;
        return 0;
    case BPF_DIV: /* by zero: the caller has seen to it */
        *a /= operand;
        return 0;
    case BPF_AND:
        *a &= operand;
        return 0;
    case BPF_OR:
        *a |= operand;
        return 0;
    case BPF_XOR:
        *a ^= operand;
        return 0;
    case BPF_NEG:
        *a = 0U - *a;
        return 0;
    case BPF_LSH:
        if (operand >= 32)
            return -EINVAL;
        *a <<= operand;
        return 0;
    case BPF_RSH:
        if (operand >= 32)
            return -EINVAL;
        *a >>= operand;
        return 0;
    default:
        return -EINVAL;
    }
}

static bool holds(uint16_t operation, uint32_t a, uint32_t operand)
{
    switch (operation) {
    case BPF_JEQ:
        return a == operand;
    case BPF_JGT:
        return a > operand;
    case BPF_JGE:
        return a >= operand;
    default: /* BPF_JSET */
        return (a & operand) != 0;
    }
}

int bpf_run_checked(const struct sock_filter *program, size_t length, const struct seccomp_data *data,
                    uint32_t *answer)
{
    uint32_t a = 0;
    uint32_t x = 0;
    uint32_t scratch[BPF_MEMWORDS] = {0};

    /* Jumps go forward only, so this ends. */
    for (size_t pc = 0; pc < length; pc++) {
        const struct sock_filter *i = &program[pc];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? x : i->k;

        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
        case BPF_LDX: {
            uint32_t loaded;

            if (BPF_MODE(i->code) == BPF_ABS)
                loaded = word(data, i->k);
            else if (BPF_MODE(i->code) == BPF_MEM)
                loaded = scratch[i->k];
            else if (BPF_MODE(i->code) == BPF_LEN)
                loaded = sizeof *data;
            else
                loaded = i->k;
            *(BPF_CLASS(i->code) == BPF_LD ? &a : &x) = loaded;
            break;
        }
        case BPF_ST:
            scratch[i->k] = a;
            break;
        case BPF_STX:
            scratch[i->k] = x;
            break;
        case BPF_ALU:
            if (BPF_OP(i->code) == BPF_DIV && operand == 0) {
                *answer = 0;
                return 0;
            }
            if (compute(BPF_OP(i->code), &a, operand) < 0)
                return -EINVAL;
            break;
        case BPF_JMP:
            if (BPF_OP(i->code) == BPF_JA)
                pc += i->k;
            else
                pc += holds(BPF_OP(i->code), a, operand) ? i->jt : i->jf;
            break;
        case BPF_RET:
            *answer = BPF_RVAL(i->code) == BPF_A ? a : i->k;
            return 0;
        default: /* BPF_MISC */
            if (BPF_MISCOP(i->code) == BPF_TAX)
                x = a;
            else
                a = x;
            break;
        }
    }
    return -EINVAL;
}

int bpf_run(const struct sock_filter *program, size_t length, const struct seccomp_data *data, uint32_t *answer)
{
    int r = bpf_check(program, length);

    return r < 0 ? r : bpf_run_checked(program, length, data, answer);
}

int bpf_run_bare(const struct sock_filter *program, size_t length, uint32_t arch, uint32_t number, uint32_t *answer)
{
    uint32_t a = 0;

    for (size_t pc = 0; pc < length; pc++) {
        const struct sock_filter *i = &program[pc];

        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (i->k == offsetof(struct seccomp_data, nr))
                a = number;
            else if (i->k == offsetof(struct seccomp_data, arch))
                a = arch;
            else
                return -EDOM;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += holds(BPF_OP(i->code), a, i->k) ? i->jt : i->jf;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_RET | BPF_K:
            *answer = i->k;
            return 0;
        default:
            return -EDOM;
        }
    }
    return -EDOM;
}
