/*
 * An interpreter of classic BPF as seccomp defines it, written from the kernel's rules (Documentation/networking/
 * filter.rst, kernel/seccomp.c: seccomp_check_filter) and owing nothing to libseccomp, so that what libseccomp made can
 * be judged without it. It serves the generator and the tests.
 */
#ifndef BIVY_BPF_H
#define BIVY_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/*
 * 0 when the kernel would take the program: 1 to BPF_MAXINSNS instructions, only opcodes that seccomp admits, loads
 * aligned and inside struct seccomp_data, jumps inside the program, scratch slots written before they are read on every
 * path, the last instruction a return. -EINVAL otherwise.
 */
int bpf_check(const struct sock_filter *program, size_t length);

/*
 * Runs a program over data, whose words are read as a little-endian kernel lays them out, and puts the SECCOMP_RET_*
 * value into *answer. -EINVAL where bpf_check() refuses the program or something undefined happens (a shift by 32 or
 * more); division by zero ends the program with 0, as in the kernel.
 */
int bpf_run(const struct sock_filter *program, size_t length, const struct seccomp_data *data, uint32_t *answer);

/* bpf_run() for a program that bpf_check() has passed: the same without checking it again on every call. */
int bpf_run_checked(const struct sock_filter *program, size_t length, const struct seccomp_data *data,
                    uint32_t *answer);

/*
 * The answer to a call whose arguments do not matter, found without them: 0 with *answer filled when the program
 * answers the number on the architecture before it looks at anything else, and does so by nothing but what the kernel
 * follows when it works out which calls are always allowed (kernel/seccomp.c: seccomp_is_const_allow(): loads of number
 * and architecture, jumps by constants, AND with constants, returns of constants). -EDOM when it does not. The program
 * must have passed bpf_check().
 */
int bpf_run_bare(const struct sock_filter *program, size_t length, uint32_t arch, uint32_t number, uint32_t *answer);

#endif
