/*
 * The syscall filter, a classic BPF program made at build time from runtime/seccomp/policy.c for the architecture bivy
 * is built for. It is loaded as it is, with PR_SET_NO_NEW_PRIVS set first:
 *
 *     struct sock_fprog program = { seccomp_filter_len, (struct sock_filter *)seccomp_filter };
 *     syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
 *
 * The kernel only reads the array, although the uapi struct has no const. docs/seccomp.md lists what it answers.
 */
#ifndef BIVY_SECCOMP_FILTER_H
#define BIVY_SECCOMP_FILTER_H

#include <linux/filter.h>

/* The program. */
extern const struct sock_filter seccomp_filter[];

/* Instructions in seccomp_filter, at most BPF_MAXINSNS. */
extern const unsigned short seccomp_filter_len;

/*
 * SHA-256 of the program in lower-case hexadecimal. Hashed is each instruction in order as 8 bytes (code, jt, jf, k;
 * little-endian), which is also what PTRACE_SECCOMP_GET_FILTER gives back for a running process.
 */
extern const char seccomp_filter_sha256[65];

/* Names of system calls by number, seccomp_filter_names_len of them; NULL where the policy table says nothing of a number. */
extern const char *const seccomp_filter_names[];
extern const unsigned short seccomp_filter_names_len;

#endif
