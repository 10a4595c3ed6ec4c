/* The policy as text: the golden table and the document. */
#ifndef BIVY_SECCOMP_PRINT_H
#define BIVY_SECCOMP_PRINT_H

#include "policy.h"

#include <stdio.h>

/*
 * The table of one machine, a line a number in ascending order: number, tab, name, tab, answer. The answer of a plain
 * rule is "allow" or an errno name; of a list of rules "ANSWER if CONDITION; ...; else ANSWER", where a condition reads
 * "aN&0xMASK==0xVALUE" and several are joined by " and ". Numbers not listed answer ENOSYS. Errors stay in the stream.
 */
void seccomp_print_table(FILE *out, enum seccomp_machine machine);

/* docs/seccomp.md: what is refused and why, with the numbers of both machines. */
void seccomp_print_document(FILE *out);

#endif
