/* options_source: runtime/spec/options.c for the targets of its own. No file of this machine is to be read, and the one
 * profile that bivy keeps for its life must be forgotten between two inputs: so the source itself is here, and reads
 * from memory. */
#ifndef BIVY_TESTS_OPTIONS_SOURCE_H
#define BIVY_TESTS_OPTIONS_SOURCE_H

#include "fuzz.h"

#include <fcntl.h>

#include "sys.h"
static ssize_t fuzz_read_file(int dirfd, const char *path, char *buffer, size_t size);
#define sys_read_file fuzz_read_file
#include "../../runtime/spec/options.c"

static const char *profile;
static size_t profile_length;
static unsigned reads;

static ssize_t fuzz_read_file(int dirfd, const char *path, char *buffer, size_t size)
{
    MUST(dirfd == AT_FDCWD && path && *path);
    if (strstr(path, "none"))
        return -ENOENT;
    if (profile_length + 1 > size)
        return -EFBIG;
    if (profile_length)
        memcpy(buffer, profile, profile_length);
    buffer[profile_length] = '\0';
    reads++;
    return (ssize_t)profile_length;
}

/* options_parse as in a process of its own whose profiles hold what was set above. */
static inline int parse_anew(int argc, char **argv, struct spec *spec, struct fault *fault)
{
    memset(profile_text, 0, sizeof profile_text);
    reads = 0;
    int result = options_parse(argc, argv, spec, fault);
    MUST(reads <= 1); /* the spec points into it */
    return result;
}

static inline void check_fault(const struct fault *fault)
{
    MUST(fault->stage == STAGE_OPTIONS);
    MUST(fault->what[0] && memchr(fault->what, '\0', sizeof fault->what));
    MUST(memchr(fault->hint, '\0', sizeof fault->hint));
}

/* Holds at every moment: a refused value leaves the field as it was. */
static inline void check_numbers(const struct spec *spec)
{
    MUST(spec->memory >= 4 << 20 && spec->memory <= UINT64_C(1) << 40);
    MUST(spec->cpu >= 10 && spec->cpu <= 512000);
    MUST(spec->pids >= 2 && spec->pids <= 4194304);
    MUST(spec->timeout >= 10000000 && spec->timeout <= UINT64_C(604800000000000));
    MUST(spec->kill_after <= UINT64_C(3600000000000));
    MUST(spec->scratch_inodes >= 64 && spec->open_files >= 16);
    MUST(spec->max_output == 0 || spec->max_output >= 1024); /* 0: not said, and the line is not complete */
    MUST(spec->file_size >= 4096 && (spec->keep == 0 || spec->keep >= 1000000000) && spec->log <= LOG_SYSLOG);
    MUST(spec->host_uid != 0 && (spec->host_uid < UINT32_MAX || spec->host_uid == SPEC_UNSET_ID));
    MUST(spec->host_gid != 0 && (spec->host_gid < UINT32_MAX || spec->host_gid == SPEC_UNSET_ID));
    MUST(spec->network == NETWORK_NONE || spec->network == NETWORK_LOOPBACK);
    MUST(!(spec->unenforced >> LIMIT_COUNT));
    for (size_t i = 0; i < spec->env_count; i++)
        MUST(spec->env[i][0] && spec->env[i][0] != '=');
}

static inline void same_text(const char *a, const char *b)
{
    MUST(!a == !b && (!a || !strcmp(a, b)));
}

/* All that was asked for, save the verb, the command and from which profile it came. */
static inline void same_spec(const struct spec *a, const struct spec *b)
{
    same_text(a->rootfs, b->rootfs);
    same_text(a->workspace, b->workspace);
    same_text(a->workspace_root, b->workspace_root);
    same_text(a->user_id, b->user_id);
    same_text(a->require_fs, b->require_fs);
    same_text(a->cgroup_parent, b->cgroup_parent);
    same_text(a->report, b->report);
    MUST(a->memory == b->memory && a->cpu == b->cpu && a->pids == b->pids);
    MUST(a->scratch == b->scratch && a->scratch_inodes == b->scratch_inodes && a->open_files == b->open_files);
    MUST(a->timeout == b->timeout && a->kill_after == b->kill_after);
    MUST(a->max_output == b->max_output && a->output_limit == b->output_limit);
    MUST(a->owner_low == b->owner_low && a->owner_high == b->owner_high && a->sync == b->sync);
    MUST(a->workspace_timeout == b->workspace_timeout && a->create_workspace == b->create_workspace && a->abort_stuck == b->abort_stuck);
    MUST(a->host_uid == b->host_uid && a->host_gid == b->host_gid);
    MUST(a->network == b->network && a->unenforced == b->unenforced);
    MUST(a->interactive == b->interactive && a->affinity == b->affinity);
    MUST(a->tty == b->tty && a->quiet == b->quiet && a->verbose == b->verbose && a->explain == b->explain);
    MUST(a->file_size == b->file_size && a->keep == b->keep && a->log == b->log);
    MUST(a->summary == b->summary && a->timing == b->timing && a->help == b->help);
    MUST(a->env_count == b->env_count);
    for (size_t i = 0; i < a->env_count; i++)
        same_text(a->env[i], b->env[i]);
}

#endif
