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

/* The explaining program (`--explain`), of the same table: where the one above refuses, it asks the supervisor (SECCOMP_RET_USER_NOTIF);
 * connect, and sendto with an address, ask as well. Loaded with SECCOMP_FILTER_FLAG_NEW_LISTENER. */
extern const struct sock_filter seccomp_filter_explained[];
extern const unsigned short seccomp_filter_explained_len;
extern const char seccomp_filter_explained_sha256[65];

/*
 * What the supervisor answers then: the rules of every call that is refused with some arguments or all. Those of one number stand together,
 * the first all of whose conditions hold answers: 0 lets the call through, otherwise it is the errno. A condition is
 * (low 32 bits of the argument & mask) == value, mask 0 none. A number that is not here and is not allowed answers ENOSYS.
 */
struct seccomp_answer {
    int number;
    struct {
        unsigned char argument;
        unsigned mask, value;
    } conditions[3];
    int answer;
    const char *name, *reason;
};
extern const struct seccomp_answer seccomp_filter_answers[];
extern const unsigned short seccomp_filter_answers_len;

/* Names of system calls by number, seccomp_filter_names_len of them; NULL where the policy table says nothing of a number. */
extern const char *const seccomp_filter_names[];
extern const unsigned short seccomp_filter_names_len;

#endif
