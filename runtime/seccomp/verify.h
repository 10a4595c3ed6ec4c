/*
 * Judges a generated filter against the policy table, with the interpreter. The generator does it before it writes
 * anything, because libseccomp is known to have weakened filters while merging comparisons (GHSA-4q85-33p6-j5g6).
 */
#ifndef BIVY_SECCOMP_VERIFY_H
#define BIVY_SECCOMP_VERIFY_H

#include "policy.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

/* Where program and policy part company, and how many calls had been tried by then. */
struct seccomp_verdict {
    unsigned long tried;
    struct seccomp_data data;
    uint32_t wanted;
    uint32_t got;
};

/*
 * Tries every number from 0 to 1023, the same with the x32 bit, and the edges of the number range; on the filter's own
 * architecture and on foreign ones. For each of the policy's rules the arguments are put on, one bit beside and far off
 * every value the rule compares with, in all combinations, and then each bit of each of the six arguments is flipped.
 * 0 when the two agree throughout; -EINVAL when the program is not sound; -EBADMSG with *verdict filled at the first
 * difference. verdict->tried is always set.
 */
int seccomp_verify(enum seccomp_machine machine, const struct sock_filter *program, size_t length,
                   struct seccomp_verdict *verdict);

#endif
