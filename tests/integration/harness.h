/* harness: what every integration test executable stands on: a private cgroup parent and a private temporary directory,
 * bivy started from outside as root or as an ordinary user, its streams and record caught, every record validated, and
 * after every test the proof that nothing was left behind.
 *
 * Environment: BIVY (the binary), BIVY_ROOTFS (a rootfs tree), BIVY_TEST_AS=root|user (root). BIVY_TEST_STRICT=1 turns
 * "cannot run here" (status 77) into a failure. The first argument, if any, is a pattern that test names must match. */
#ifndef BIVY_TEST_HARNESS_H
#define BIVY_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "reader.h"

#define USER_ID 12345     /* the ordinary user: needs no passwd entry */
#define OWNER_ID 54321    /* owner of workspaces when bivy runs as root */
#define GUARD_SECONDS 120 /* nothing here takes so long, also in an emulated machine: a test that does has hung */

enum hierarchy_name { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_V2, CGROUP_COUNT };

struct harness {
    const char *bivy, *rootfs, *payload;
    bool user;                      /* bivy runs as USER_ID */
    uid_t uid;                      /* the host id of sandboxes with a workspace of harness_workspace() */
    char parent[64];                /* cgroup parent, below every hierarchy's mount */
    char mount[CGROUP_COUNT][4096]; /* "" where a controller is not bound to v1 */
    char tmp[4096];                 /* owned by root, searchable by all */
};
extern struct harness harness;

enum harness_modes { AS_ROOT = 1, AS_USER = 2, AS_BOTH = 3 };
struct harness_test {
    const char *name;
    void (*run)(void **state);
    unsigned modes;
};
#define TEST(function)               \
    {                                \
#function, function, AS_BOTH \
    }
#define TEST_ROOT(function)          \
    {                                \
#function, function, AS_ROOT \
    }
#define TEST_USER(function)          \
    {                                \
#function, function, AS_USER \
    }

/* Runs the tests that suit BIVY_TEST_AS: all, those that match the pattern argv[1], or with -PATTERN the others. Gives main's status. */
int harness_main(int argc, char **argv, const char *name, const struct harness_test *tests, size_t count);

/* ---- one run of bivy ---- */

/* How to start it; all zero is the usual way: `bivy run --rootfs R --cgroup-parent P --report fd:3 WORDS...`, stdin
 * /dev/null, an environment of three harmless variables, descriptors 0 to 3 only. */
struct how {
    const char *verb;            /* another subcommand; with it no record is asked for */
    bool bare;                   /* exactly the words given, no option added */
    const char *workspace;       /* --workspace */
    int in;                      /* stdin; 0: /dev/null */
    const char *const *env;      /* added to the environment */
    const char *rootfs;          /* another one */
    const char *parent;          /* another cgroup parent */
    void (*prepare)(void *data); /* in the new process just before exec, with root's rights */
    void (*last)(void *data);    /* the same after the change to the ordinary user: nothing but exec follows */
    void *data;
};

struct result {
    int status;      /* as a shell shows it: exit status, or 128 + signal */
    bool killed;     /* by a signal, of which status tells */
    char *out, *err; /* NUL-terminated */
    size_t out_length, err_length;
    char *record_text;     /* "" when none was written */
    struct reader *record; /* NULL: none */
    double seconds;
};

/* A run under way. */
/* Aligned so that it lies within one page, and what is first written to it after a fork is its pid, by a plain store: `killed` is computed by
 * an instruction that qemu does not repeat rightly after a page fault (tests/vm/README.md). */
#define SESSION_ROOM 512

struct session {
    _Alignas(SESSION_ROOM) pid_t pid;
    int pidfd, out, err, record; /* out and err: our read ends, -1 once closed */
    size_t out_room, err_room;
    bool plain; /* no record is to be expected */
    double started, ended;
    struct result result;
};

_Static_assert(sizeof(struct session) == SESSION_ROOM, "a power of two that divides a page");

struct session *session_start(const struct how *how, const char *const *words);
/* Reads stdout until it holds text. Fails the test when bivy ends or the guard passes first. */
void session_expect(struct session *session, const char *text);
/* Waits for bivy without reading its streams. */
void session_wait(struct session *session);
void session_kill(struct session *session, int signal);
/* Reads everything, waits, parses and checks the record. The result lives until the end of the test. */
const struct result *session_finish(struct session *session);

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HOW(...) (&(struct how){__VA_ARGS__}) /* in parentheses: its commas must not part macro arguments */
#define START(how, ...) session_start((how), WORDS(__VA_ARGS__))
#define RUN(how, ...) session_finish(START((how), __VA_ARGS__))
#define BIVY(...) RUN(HOW(0), __VA_ARGS__)
#define SH(how, ...) RUN((how), "--", "sh", "-c", __VA_ARGS__)

/* Fails the test, showing streams and record, unless condition holds. */
#define CHECK(result, condition) ((condition) ? (void)0 : harness_complain((result), #condition, __FILE__, __LINE__))
_Noreturn void harness_complain(const struct result *result, const char *what, const char *file, int line);
/* Fails the test with a message. */
_Noreturn void harness_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Values of the record; a wrong type or a missing key fails the test. */
const char *record_text(const struct result *result, const char *path);
int64_t record_number(const struct result *result, const char *path);
double record_real(const struct result *result, const char *path);
bool record_null(const struct result *result, const char *path);
bool record_true(const struct result *result, const char *path);
const char *record_hint(const struct result *result, const char *about); /* NULL: there is none */
bool record_limit_hit(const struct result *result, const char *name);

/* outcome and bivy's status at once. */
#define CHECK_ENDED(result, outcome, bivy_status) check_ended((result), (outcome), (bivy_status), __FILE__, __LINE__)
/* The command ran and ended with exit status 0. */
#define CHECK_WELL(result) CHECK_ENDED((result), "exited", 0)
void check_ended(const struct result *result, const char *outcome, int status, const char *file, int line);
/* Set-up refused: 125, "bivy:" on stderr naming the object, nothing on stdout; with a record: setup_failed at that
 * stage. */
void check_refused(const struct result *result, const char *stage, const char *named);

/* ---- places ---- */

/* A fresh workspace owned by the sandbox's host id, with the payload program in it as `payload`. Lives until the test's
 * end. */
const char *workspace_make(void);
/* A fresh directory below harness.tmp, owner and mode as given. */
const char *directory_make(const char *name, uid_t owner, mode_t mode);
char *path_join(const char *directory, const char *name); /* lives until the end of the test */
void file_write(const char *path, const char *text);
char *file_read(const char *path, size_t *length); /* NULL when it cannot be read; lives until the end of the test */
/* Hash of a whole tree: names, types, modes, owners, times, link targets and contents. cold: contents from disk, not
 * cache. */
uint64_t tree_hash(const char *path, bool cold);
uint64_t bytes_hash(const void *bytes, size_t length);
/* From here to the end of the test, bivy is started under strace with these options, which sees bivy's own process and not what it starts. Gives
 * the path of what strace writes. Not where the leak sanitizer is: it does not work in a traced process. */
const char *bivy_traced(const char *options);
void tree_copy(const char *from, const char *to); /* with owners, modes and links; to must not exist */
void tree_remove(const char *path);
void tree_chown(const char *path, uid_t owner);

/* ---- the leaf of a running sandbox, seen from outside ---- */

size_t leaf_count(void);     /* over all hierarchies */
const char *leaf_only(void); /* the name of the one leaf there is */
/* Path of a file in the leaf: v1 names where the controller is bound to v1, NULL where this host has none of it. */
char *leaf_path(const char *leaf, enum hierarchy_name hierarchy, const char *v1_file, const char *v2_file);
size_t leaf_pids(const char *leaf, pid_t *pids, size_t room);
bool process_named(pid_t pid, const char *comm);

/* ---- small things ---- */

double now(void); /* seconds, CLOCK_MONOTONIC */
void nap(void);   /* between two looks at a condition */
/* Looks again and again until condition holds; fails the test at the guard. */
#define AWAIT(condition)                                                                    \
    do {                                                                                    \
        double await_end = now() + GUARD_SECONDS;                                           \
        while (!(condition)) {                                                              \
            if (now() > await_end)                                                          \
                harness_fail("%s:%d: in vain awaited: %s", __FILE__, __LINE__, #condition); \
            nap();                                                                          \
        }                                                                                   \
    } while (0)
void *keep(void *memory);            /* freed at the end of the test */
void keep_tree(struct reader *tree); /* likewise */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The line of text that begins with head, without head; NULL when there is none. */
char *text_line(const char *text, const char *head);
bool text_has_line(const char *text, const char *line);

#endif
