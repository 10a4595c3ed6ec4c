/* selftest: attacks from inside, run where a command would be (plan->builtin). Every attack is a row of a table and a
 * line of TAP. */
#ifndef BIVY_SELFTEST_H
#define BIVY_SELFTEST_H

/* Writes TAP to descriptor 1: the plan, then `ok N - NAME`, `ok N - NAME # SKIP why` or `not ok N - NAME # what the
 * attacker got`. Each attack runs in a process of its own, 10 s at most. 0 when every attack was refused, 1 otherwise.
 * Runs inside the sandbox, after the gate, with descriptors 0 to 2 only; it leaves nothing behind there. */
int selftest_inside(void);

/* The same, and what can only be told by a program that execve started (its environment). For a program other than
 * bivy. */
int selftest_command(void);

#endif
