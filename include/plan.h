/* plan: spec and facts -> everything that will be done, decided, validated and then const. Pure. */
#ifndef BIVY_PLAN_H
#define BIVY_PLAN_H

#include <linux/limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "facts.h"
#include "fault.h"
#include "policy.h"
#include "spec.h"

#define PLAN_ID_LETTERS SPEC_ID_LETTERS
#define PLAN_ID_LENGTH SPEC_ID_LENGTH
#define PLAN_ID_TEXT 24

struct plan_mount {
    const struct mount_row *row;
    bool from_scratch; /* the workspace row when there is no workspace */
};

struct plan {
    char id[PLAN_ID_TEXT]; /* names the leaf, bivy-ID, and the run in `ps`, `kill` and the record */

    uid_t host_uid;
    gid_t host_gid;
    bool privileged;

    const uint64_t *joins; /* `bivy enter`: the namespaces of the sandbox that is joined. NULL: it is a new one */
    const struct place *rootfs;    /* NULL: of a joined sandbox, where its own gate has seen to it */
    bool glibc;                    /* the rootfs has it */
    const struct place *workspace; /* NULL: scratch */
    const uint64_t *own_namespaces; /* the supervisor's, which the sandbox's must differ from */
    struct plan_mount *mounts;     /* in the order in which they are made */
    size_t mount_count;
    uint64_t scratch, scratch_inodes;

    const struct hierarchies *cgroups;
    char cgroup_parent[PATH_MAX]; /* the same path below every hierarchy's mount */
    bool cgroup_parent_ours;      /* the default of root: made where missing */
    uint64_t memory, cpu, pids;
    unsigned unenforced;
    bool no_swap;

    uint64_t open_files, file_size;
    enum network network;
    bool interactive, tty, explain;
    uint64_t keep;     /* ns that a failed sandbox stays; 0: it goes at once */
    bool affinity;
    cpu_set_t processors; /* the caller's, of which the command gets */
    unsigned processor_count;
    uint64_t timeout, kill_after, max_output, output_limit;
    uint64_t sync;     /* ns for writing what changed to the workspace's server; 0: not asked for */
    bool abort_stuck;

    char **env;        /* allocated, NULL-terminated */
    char **argv;       /* the caller's */
    int (*builtin)(void); /* selftest: run instead of execve, in the same place; its status is the command's. NULL otherwise */
    char **candidates; /* what execve is tried on, in order (PATH search of argv[0]); allocated, NULL-terminated */
};

/* 0 or -errno with *fault. The plan points into spec, facts and the static policy, which must outlive it. getenv is the one
 * look outside (for `--env K`); it is a parameter so that tests can give their own. id must be unique among live runs. */
int plan_make(const struct spec *spec, const struct facts *facts, const char *id, char *(*get_env)(const char *),
              struct plan *plan, struct fault *fault);
void plan_release(struct plan *plan);

/* The same for a command that joins a live sandbox: theirs is the spec of the run that made it, asked that of `bivy enter`. Ids, leaf
 * and namespaces are not decided but found, and are the caller's to fill in. */
int plan_join(const struct spec *theirs, const struct spec *asked, const struct facts *facts, char *(*get_env)(const char *),
              struct plan *plan, struct fault *fault);

/* Where leaves go: --cgroup-parent, or the default of root or of an ordinary user. */
int plan_cgroup_parent(const char *given, bool privileged, const struct hierarchies *cgroups, char path[PATH_MAX], bool *ours,
                       struct fault *fault);

/* Where a subcommand looks for sandboxes: *where is path, which is the cgroup that was named, or NULL, everywhere. 0 or -errno with *fault. */
int plan_search(const char *given, const struct hierarchies *cgroups, char path[PATH_MAX], const char **where, struct fault *fault);

/* The processors as the kernel lists them, "0-2,5" and a newline (cpuset(7)). false where that does not fit. Pure. */
bool plan_list_processors(const cpu_set_t *processors, char *text, size_t size);

/* The plan as JSON, one object, newline at the end (what `bivy plan` prints). */
int plan_print(const struct plan *plan, FILE *out);

/* Soft and hard value of a resource limit row under this plan (RLIMIT_NOFILE follows --open-files). */
void plan_rlimit(const struct plan *plan, const struct rlimit_row *row, uint64_t *soft, uint64_t *hard);

#endif
