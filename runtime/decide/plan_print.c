#include "plan.h"

#include <errno.h>

#include "json.h"
#include "options.h"
#include "seccomp_filter.h"
#include "sys.h"

static const char *const kinds[] = {
    [MOUNT_ROOT] = "rootfs",      [MOUNT_SCRATCH] = "scratch",     [MOUNT_DEVICE] = "device",       [MOUNT_DEVPTS] = "devpts",
    [MOUNT_PROC] = "proc",        [MOUNT_MASK_FILE] = "mask_file", [MOUNT_MASK_DIR] = "mask_dir",   [MOUNT_WORKSPACE] = "workspace",
};

static void print_strings(struct json *json, const char *name, char **strings)
{
    json_open(json, name, '[');
    for (; *strings; strings++)
        json_string(json, NULL, *strings);
    json_close(json, ']');
}

static void print_mount(struct json *json, const struct plan *plan, const struct plan_mount *mount)
{
    static const struct {
        uint64_t bit;
        const char *on;
    } words[] = {{MOUNT_ATTR_NOSUID, "nosuid"}, {MOUNT_ATTR_NODEV, "nodev"}, {MOUNT_ATTR_NOEXEC, "noexec"}};
    const struct mount_row *row = mount->row;
    const char *source = row->kind == MOUNT_ROOT                                ? plan->rootfs->path
                         : row->kind == MOUNT_WORKSPACE && !mount->from_scratch ? plan->workspace->path
                         : row->kind == MOUNT_DEVICE                            ? row->source
                                                                                : NULL;

    json_open(json, NULL, '{');
    json_string(json, "target", row->target);
    json_string(json, "kind", kinds[row->kind]);
    json_string(json, "source", source);
    json_open(json, "options", '[');
    json_string(json, NULL, row->attr & MOUNT_ATTR_RDONLY ? "ro" : "rw");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (row->attr & words[i].bit)
            json_string(json, NULL, words[i].on);
    json_close(json, ']');
    /* A mask is only made where the kernel has the file. */
    json_bool(json, "optional", row->kind == MOUNT_MASK_FILE || row->kind == MOUNT_MASK_DIR);
    json_string(json, "why", row->why);
    json_close(json, '}');
}

static void print_limits(struct json *json, const struct plan *plan)
{
    json_open(json, "limits", '{');
    json_number(json, "memory_bytes", plan->memory);
    json_number(json, "swap_bytes", 0);
    json_thousandths(json, "cpus", plan->cpu);
    json_number(json, "pids", plan->pids);
    json_thousandths(json, "timeout_ms", plan->timeout / 1000);
    json_thousandths(json, "kill_after_ms", plan->kill_after / 1000);
    json_number(json, "scratch_bytes", plan->scratch);
    json_number(json, "scratch_inodes", plan->scratch_inodes);
    json_number(json, "open_files", plan->open_files);
    if (plan->file_size == SPEC_UNLIMITED)
        json_null(json, "file_size_bytes");
    else
        json_number(json, "file_size_bytes", plan->file_size);
    if (plan->max_output == SPEC_UNLIMITED)
        json_null(json, "max_output_bytes");
    else
        json_number(json, "max_output_bytes", plan->max_output);
    if (plan->output_limit == SPEC_UNLIMITED)
        json_null(json, "output_limit_bytes");
    else
        json_number(json, "output_limit_bytes", plan->output_limit);
    json_close(json, '}');

    json_open(json, "rlimits", '[');
    for (size_t i = 0; i < policy_rlimit_count; i++) {
        uint64_t soft, hard;
        plan_rlimit(plan, &policy_rlimits[i], &soft, &hard);
        json_open(json, NULL, '{');
        json_string(json, "name", policy_rlimits[i].name);
        if (soft == UINT64_MAX)
            json_null(json, "soft");
        else
            json_number(json, "soft", soft);
        if (hard == UINT64_MAX)
            json_null(json, "hard");
        else
            json_number(json, "hard", hard);
        json_string(json, "why", policy_rlimits[i].why);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void print_cgroup(struct json *json, const struct plan *plan)
{
    json_open(json, "cgroup", '{');
    json_string(json, "parent", plan->cgroup_parent);
    json_string(json, "v2", plan->cgroups->v2.mount);
    for (int c = 0; c < CONTROLLER_COUNT; c++)
        json_string(json, controller_name((enum controller)c),
                    plan->cgroups->v1[c].mount[0] ? plan->cgroups->v1[c].mount : plan->cgroups->v2.mount);
    json_close(json, '}');
    json_open(json, "unenforced", '[');
    for (int l = 0; l < LIMIT_COUNT; l++)
        if (plan->unenforced & 1u << l)
            json_string(json, NULL, limit_name((enum limit)l));
    json_close(json, ']');
}

int plan_print(const struct plan *plan, FILE *out)
{
    struct json json = {0};
    int result;

    json_open(&json, NULL, '{');
    print_strings(&json, "command", plan->argv);
    print_strings(&json, "candidates", plan->candidates);
    print_strings(&json, "environment", plan->env);
    json_open(&json, "ids", '{');
    json_number(&json, "uid", POLICY_UID);
    json_number(&json, "gid", POLICY_UID);
    json_number(&json, "host_uid", plan->host_uid);
    json_number(&json, "host_gid", plan->host_gid);
    json_close(&json, '}');
    json_open(&json, "namespaces", '[');
    for (size_t i = 0; i < POLICY_NAMESPACES; i++)
        json_string(&json, NULL, policy_namespaces[i].name);
    json_close(&json, ']');
    json_open(&json, "mounts", '[');
    for (size_t i = 0; i < plan->mount_count; i++)
        print_mount(&json, plan, &plan->mounts[i]);
    json_close(&json, ']');
    print_limits(&json, plan);
    print_cgroup(&json, plan);
    json_string(&json, "hostname", POLICY_HOST_NAME);
    json_string(&json, "network", plan->network == NETWORK_LOOPBACK ? "loopback" : "none");
    json_string(&json, "stdin", plan->tty ? "terminal" : plan->interactive ? "pipe" : "/dev/null");
    json_open(&json, "processors", '[');
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &plan->processors))
            json_number(&json, NULL, cpu);
    json_close(&json, ']');
    json_number(&json, "processor_count", plan->processor_count); /* of these, chosen when it runs */
    json_string(&json, "seccomp_policy", seccomp_filter_sha256);
    json_close(&json, '}');
    json_newline(&json);
    result = json.failed ? -ENOMEM : 0;
    if (!result && (fwrite(json.text, 1, json.length, out) != json.length || fflush(out) == EOF))
        result = errno ? -errno : -EIO;
    json_release(&json);
    return result;
}
