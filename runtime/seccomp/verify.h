/*
 * Judges a generated filter against the policy table, with the interpreter, whoever made it and in whatever form. The
 * generator does it before it writes anything, because those who make filters err: libseccomp is known to have weakened
 * some while merging comparisons (GHSA-4q85-33p6-j5g6).
 */
#ifndef BIVY_SECCOMP_VERIFY_H
#define BIVY_SECCOMP_VERIFY_H

#include "policy.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>

/* Where program and policy part company, and how many calls had been tried by then. */
struct seccomp_verdict {
    unsigned long tried;
    struct seccomp_data data;
    uint32_t wanted;
    uint32_t got;
};

/*
 * Tries every number from 0 to 1023, the edges of the number range and every constant of the program with its
 * neighbours, all of it with and without the x32 bit, on the filter's own architecture, on foreign ones and on every
 * constant again. A number whose arguments the policy does not ask for must be answered without them
 * (bpf_run_bare()), which leaves nothing to try. The arguments of every other number are put on
 *
 *   - every constant of the program and its neighbours, one argument at a time, beside all combinations of what the
 *     policy compares the call's other arguments with;
 *   - all combinations of the values the policy compares with, alone and among set bits, and from each of these every
 *     bit of each of the six arguments flipped;
 *   - constants of the program and random words, mixed at random, by the same sequence in every run;
 *
 * each under upper words of zeros, ones and a single bit. Numbers that `skips` holds for, if it is not NULL, are left
 * out. With `explained` it is the explaining program that is judged, by
 * seccomp_explained_answer_from(), and the watches count as the policy. 0 when the two agree throughout; -EINVAL when the program is not sound; -EOVERFLOW when it has more constants
 * than the verifier holds; -EBADMSG with *verdict filled at the first difference; -EDOM with verdict->data where the
 * program looks at arguments that the policy does not ask for. verdict->tried is always set.
 */
int seccomp_verify(enum seccomp_machine machine, bool explained, const struct sock_filter *program, size_t length,
                   bool (*skips)(enum seccomp_machine machine, uint32_t number), struct seccomp_verdict *verdict);

#endif
