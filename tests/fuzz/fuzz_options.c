/* The command line and the profile. Input: words, each ended by NUL; an empty word ends the command line, and what follows is what
 * every --profile reads. A first byte of 'P' gives all the rest to options_profile instead. */
#include "fuzz.h"

#include <fcntl.h>

/* No file of this machine is to be read, and the one profile that bivy keeps for its life must be forgotten between two inputs:
 * so the source itself is here, and reads from the input. */
#include "sys.h"
static ssize_t fuzz_read_file(int dirfd, const char *path, char *buffer, size_t size);
#define sys_read_file fuzz_read_file
#include "../../runtime/options.c"

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
    memcpy(buffer, profile, profile_length);
    buffer[profile_length] = '\0';
    reads++;
    return (ssize_t)profile_length;
}

static void check_fault(const struct fault *fault)
{
    MUST(fault->stage == STAGE_OPTIONS);
    MUST(fault->what[0] && memchr(fault->what, '\0', sizeof fault->what));
    MUST(memchr(fault->hint, '\0', sizeof fault->hint));
}

static void check_numbers(const struct spec *spec)
{
    MUST(spec->memory >= 4 << 20 && spec->memory <= UINT64_C(1) << 40);
    MUST(spec->cpu >= 10 && spec->cpu <= 512000);
    MUST(spec->pids >= 2 && spec->pids <= 4194304);
    MUST(spec->timeout >= 10000000 && spec->timeout <= UINT64_C(604800000000000));
    MUST(spec->kill_after <= UINT64_C(3600000000000));
    MUST(spec->scratch_inodes >= 64 && spec->open_files >= 16);
    MUST(spec->max_output >= 1024);
    MUST(spec->host_uid != 0 && (spec->host_uid < UINT32_MAX || spec->host_uid == SPEC_UNSET_ID));
    MUST(spec->host_gid != 0 && (spec->host_gid < UINT32_MAX || spec->host_gid == SPEC_UNSET_ID));
    MUST(spec->network == NETWORK_NONE || spec->network == NETWORK_LOOPBACK);
    MUST(!(spec->unenforced >> LIMIT_COUNT));
    for (size_t i = 0; i < spec->env_count; i++)
        MUST(spec->env[i][0] && spec->env[i][0] != '=');
}

static void fuzz_profile(const uint8_t *data, size_t size)
{
    struct spec spec;
    struct fault fault;
    char *text = fuzz_text(data, size);

    options_defaults(&spec);
    int result = options_profile(text, "fuzz", &spec, &fault);
    if (result < 0)
        check_fault(&fault);
    check_numbers(&spec); /* a refused value leaves the field as it was */
    options_release(&spec);
    free(text);
}

static void fuzz_words(const uint8_t *data, size_t size)
{
    char *argv[130] = {fuzz_text("bivy", 4)};
    int argc = 1;
    struct spec spec;
    struct fault fault;

    while (size > 0 && argc < 129) {
        const uint8_t *end = memchr(data, '\0', size);
        size_t span = end ? (size_t)(end - data) : size;
        if (span == 0) { /* the profile */
            data++;
            size--;
            break;
        }
        argv[argc++] = fuzz_text(data, span);
        data += span + (end != NULL);
        size -= span + (end != NULL);
    }
    profile = (const char *)data;
    profile_length = size;
    memset(profile_text, 0, sizeof profile_text);
    reads = 0;

    int result = options_parse(argc, argv, &spec, &fault);
    MUST(reads <= 1); /* the spec points into it */
    check_numbers(&spec);
    if (result < 0) {
        check_fault(&fault);
    } else {
        bool runs = spec.verb == VERB_RUN || spec.verb == VERB_PLAN, found = false;
        for (int i = 1; i < argc; i++)
            found |= spec.argv == &argv[i];
        MUST(!runs || (found && spec.argv[0][0]));
        MUST(spec.verb == VERB_HELP || spec.verb == VERB_VERSION || spec.verb == VERB_CLEAN ||
             spec.verb == VERB_SELFTEST || runs);
        MUST(!runs || (spec.scratch > 0 && spec.output_limit >= 1024));
        MUST(!runs || !spec.rootfs || *spec.rootfs);
        MUST(!runs || !spec.workspace || *spec.workspace);
        MUST(!runs || !spec.report || *spec.report);
        MUST(!runs || !spec.cgroup_parent || *spec.cgroup_parent);
    }
    options_release(&spec);
    while (argc)
        free(argv[--argc]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'P')
        fuzz_profile(data + 1, size - 1);
    else
        fuzz_words(data, size);
    return 0;
}
