/* spec: what the caller asked for, exactly as asked. Filled by options, read by plan. */
#ifndef BIVY_SPEC_H
#define BIVY_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verb {
    VERB_RUN, VERB_SHELL, VERB_PLAN, VERB_CHECK, VERB_PS, VERB_KILL, VERB_ENTER, VERB_CLEAN, VERB_SELFTEST, VERB_HELP, VERB_VERSION
};

enum network { NETWORK_NONE, NETWORK_LOOPBACK };
enum log { LOG_OFF, LOG_JOURNAL, LOG_SYSLOG };
enum help { HELP_PEOPLE, HELP_ROFF, HELP_BASH, HELP_ZSH, HELP_FISH }; /* what the option table is shown as */

/* A run's id: five bits a letter; no l or o. */
#define SPEC_ID_LETTERS "0123456789abcdefghijkmnpqrstuvwx"
#define SPEC_ID_LENGTH 12

/* Bits of spec.unenforced and of the leaf's "could not" set. */
enum limit { LIMIT_MEMORY, LIMIT_SWAP, LIMIT_CPU, LIMIT_PIDS, LIMIT_COUNT };

#define SPEC_UNSET_ID UINT64_MAX /* --host-uid or --host-gid not given */
#define SPEC_UNLIMITED UINT64_MAX

/* Strings point into argv (or into a profile's text, which lives as long as the program): not owned. */
struct spec {
    enum verb verb;
    const char *rootfs;        /* NULL: the default places */
    const char *workspace;     /* NULL: empty scratch, or below workspace_root */
    const char *workspace_root; /* a mount that holds workspaces; NULL: none */
    const char *user_id;       /* one path component below workspace_root */
    const char *require_fs;    /* the type that the workspace's mount must have, or NULL */
    uint64_t owner_low, owner_high; /* of a workspace below a root */
    uint64_t workspace_timeout; /* ns: how long opening and checking it may take */
    uint64_t sync;             /* ns that writing what changed to the server may take afterwards; 0: not asked for */
    bool create_workspace;
    bool abort_stuck;          /* end the FUSE connection that holds processes beyond SIGKILL */
    const char *cgroup_parent; /* NULL: chosen by plan */
    const char *report;        /* FILE, "fd:N" or NULL */
    uint64_t memory;           /* bytes */
    uint64_t cpu;              /* thousandths of a processor */
    uint64_t pids;
    uint64_t scratch;        /* bytes */
    uint64_t scratch_inodes;
    uint64_t open_files;
    uint64_t timeout;        /* ns */
    uint64_t kill_after;     /* ns */
    uint64_t max_output;     /* bytes kept of each stream; SPEC_UNLIMITED: all */
    uint64_t output_limit;   /* bytes a stream may write before the command is ended; SPEC_UNLIMITED: no end */
    uint64_t file_size;      /* bytes; SPEC_UNLIMITED */
    uint64_t keep;           /* ns that a failed sandbox stays for `bivy enter`; 0: it goes at once */
    uint64_t host_uid;       /* or SPEC_UNSET_ID */
    uint64_t host_gid;       /* or SPEC_UNSET_ID */
    enum network network;
    unsigned unenforced;     /* 1u << enum limit */
    bool interactive;        /* pass stdin on */
    bool tty;                /* a terminal of its own */
    bool affinity;           /* narrow the processors to ceil(cpu) */
    bool summary;            /* what became of it, for people, on stderr, a terminal or not */
    bool quiet;              /* nothing of that on a terminal either */
    bool verbose;            /* the set-up, stage by stage */
    bool explain;            /* list refused system calls and network attempts */
    bool json;
    unsigned absent;         /* not an option: 1u << N, the caller had closed standard descriptor N; /dev/null stands in for it */
    enum log log;
    const char *id;          /* of kill and enter: checked, SPEC_ID_LENGTH letters */
    bool timing;             /* where the time went, on stderr and in the record */
    enum help help;
    const char *profile;     /* its name, once one was read */
    char **env;              /* "K=V" or "K"; allocated array of env_count pointers */
    size_t env_count;
    char **argv;             /* the command, NULL-terminated; NULL when none was given */
};

/* Is something bound at /workspace? */
static inline bool spec_binds(const struct spec *spec)
{
    return spec->workspace || spec->workspace_root;
}

#endif
