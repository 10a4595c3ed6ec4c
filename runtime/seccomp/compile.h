/*
 * Makes the filter: rows of policy in, a classic BPF program out. Build machine only, and pure: it reads the rows it is
 * given and nothing else, so that the tests can hand it rows of their own.
 *
 * What it makes is kept short, because the kernel takes time for each instruction when it loads a filter, on every run
 * of bivy; and shallow in the numbers, because the kernel then runs the program in its head once for every system call
 * (seccomp_is_const_allow() in kernel/seccomp.c) to learn which of them are allowed whatever their arguments. Up to the
 * first load of an argument it understands only loads of number and architecture, jumps, AND and returns of constants;
 * the program has nothing else there.
 */
#ifndef BIVY_SECCOMP_COMPILE_H
#define BIVY_SECCOMP_COMPILE_H

#include "policy.h"

#include <linux/filter.h>

/*
 * Compiles the n_rules rules, which are to be as in policy.h, for the machine: the program goes to program, which has
 * room for BPF_MAXINSNS instructions, its length to *length. A foreign architecture kills the process, a number without
 * a rule and one of whose rules none holds answer `otherwise`. -EOVERFLOW where the rules are more than a
 * program or the tables of this compiler hold, -ENOMEM. The program is not judged here: that is seccomp_verify()'s.
 */
int seccomp_compile(const struct seccomp_rule *rules, size_t n_rules, int otherwise,
                    enum seccomp_machine machine, struct sock_filter *program, size_t *length);

#endif
