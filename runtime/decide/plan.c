#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "trouble.h"

#define PLAN_JOIN_MOST ((uint64_t)400 * 3600 * 1000000000) /* ns; more than the longest --timeout and --keep-on-fail together */

static int no_memory(struct fault *fault)
{
    return fault_set(fault, STAGE_PLAN, ENOMEM, NULL, "out of memory");
}

/* Which host ids the sandbox's one user and group are. Never 0, whatever was asked. */
static int decide_ids(const struct spec *spec, const struct facts *facts, struct plan *plan, struct fault *fault)
{
    const struct place *workspace = spec_binds(spec) ? &facts->workspace : NULL;
    uint64_t uid, gid;

    if (!facts->privileged) {
        uid = facts->euid;
        gid = facts->egid;
        if (uid == 0 || gid == 0)
            return fault_set(fault, STAGE_PLAN, EPERM,
                             uid != 0 ? "run it with another group than root's: setpriv --regid, or runAsGroup of a pod"
                                      : "give root CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID, or run as an ordinary user",
                             "bivy runs as user or group 0 without the capabilities to map another; the sandbox may not be host id 0");
        if ((spec->host_uid != SPEC_UNSET_ID && spec->host_uid != uid) || (spec->host_gid != SPEC_UNSET_ID && spec->host_gid != gid))
            return fault_set(fault, STAGE_PLAN, EPERM, "leave --host-uid and --host-gid out, or run bivy as root",
                             "an ordinary user can only map the own ids, %llu:%llu", (unsigned long long)uid, (unsigned long long)gid);
        if (workspace && workspace->uid != uid)
            return trouble_set(fault, TROUBLE_BAD_OWNER, EPERM, "chown it to the user that runs bivy, or run bivy as root",
                             "workspace %.300s: belongs to host user %u, the sandbox would be %llu", workspace->path, workspace->uid,
                             (unsigned long long)uid);
    } else {
        uid = spec->host_uid != SPEC_UNSET_ID ? spec->host_uid
              : workspace                     ? workspace->uid
                                              : POLICY_FREE_ID_BASE + (uint64_t)facts->pid;
        if (uid == 0)
            return trouble_set(fault, TROUBLE_BAD_OWNER, EPERM, "give a directory of its own (mkdir DIR; chown 1000:1000 DIR), or an unprivileged user's id with --host-uid ID",
                             "workspace %.300s: belongs to root; the sandbox never runs as host id 0", workspace->path);
        /* A directory that was only chowned, not chgrped, is common; its group 0 must not be mapped either. */
        gid = spec->host_gid != SPEC_UNSET_ID     ? spec->host_gid
              : workspace && workspace->gid != 0 ? workspace->gid
                                                 : uid;
    }
    plan->host_uid = (uid_t)uid;
    plan->host_gid = (gid_t)gid;
    plan->privileged = facts->privileged;
    return 0;
}

static bool below(const char *path, const char *above)
{
    size_t length = strlen(above);

    if (length == 1)
        return true; /* "/" */
    return !strncmp(path, above, length) && (path[length] == '/' || path[length] == '\0');
}

/* The workspace is the one place the command may write to. Where it is, holds or lies in the rootfs, the next sandbox would run what
 * this one wrote; where it is a file system by which the kernel is steered, the command could steer it. */
static int check_workspace(const struct plan *plan, struct fault *fault)
{
    static const char *const kernels[] = {"proc",    "sysfs",      "cgroup",   "cgroup2",  "devtmpfs", "devpts",      "securityfs", "debugfs",
                                          "tracefs", "configfs",   "fusectl",  "bpf",      "pstore",   "binfmt_misc", "efivarfs",   "mqueue",
                                          "nsfs",    "selinuxfs",  "smackfs",  "resctrl",  "autofs",   "hugetlbfs"};
    const struct place *workspace = plan->workspace, *rootfs = plan->rootfs;

    if (!workspace)
        return 0;
    if (below(workspace->path, rootfs->path) || below(rootfs->path, workspace->path) ||
        (workspace->device == rootfs->device && workspace->inode == rootfs->inode))
        return trouble_set(fault, TROUBLE_INVALID, EPERM, "keep rootfs and workspace apart",
                         "workspace %.200s: is, holds or lies in the rootfs %.200s", workspace->path, rootfs->path);
    if (plan->abort_stuck && !(workspace->mount_root && workspace->may_block && !strncmp(workspace->fstype, "fuse", 4)))
        return trouble_set(fault, TROUBLE_INVALID, EPERM, "leave --abort-stuck out, or mount each user's workspace by itself",
                           "workspace %.300s: shares its mount with others, whose connection --abort-stuck would end", workspace->path);
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if (!strcmp(workspace->fstype, kernels[i]))
            return trouble_set(fault, TROUBLE_INVALID, EPERM, "name a directory on a file system that holds files",
                             "workspace %.300s: is on %s, by which the kernel is steered", workspace->path, kernels[i]);
    return 0;
}

static int decide_mounts(const struct spec *spec, struct plan *plan, struct fault *fault)
{
    plan->mounts = calloc(policy_mount_count, sizeof *plan->mounts);
    if (!plan->mounts)
        return no_memory(fault);
    for (size_t i = 0; i < policy_mount_count; i++)
        plan->mounts[plan->mount_count++] = (struct plan_mount){
            .row = &policy_mounts[i],
            .from_scratch = policy_mounts[i].kind == MOUNT_SCRATCH || (policy_mounts[i].kind == MOUNT_WORKSPACE && !spec_binds(spec)),
        };
    return 0;
}

/* A cgroup path of the caller's: absolute below the mount, no empty, . or .. component. */
static bool clean_path(const char *path)
{
    if (*path != '/')
        return false;
    while (*path) {
        size_t span = strcspn(++path, "/");
        if (span == 0 || (span == 1 && path[0] == '.') || (span == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        path += span;
    }
    return true;
}

int plan_cgroup_parent(const char *given, bool privileged, const struct hierarchies *cgroups, char path[PATH_MAX], bool *ours,
                       struct fault *fault)
{
    static const char hand_over[] =
        "run bivy in a delegated cgroup (systemd-run --user --scope -p Delegate=yes bivy ...; without systemd bivy check names the command), or "
        "name one with --cgroup-parent";

    *ours = false;
    if (given && !strcmp(given, "/")) { /* the top, as a container sees it whose cgroup namespace begins there */
        *path = '\0';
        return 0;
    }
    if (given) {
        if (snprintf(path, PATH_MAX, "%s%s", *given == '/' ? "" : "/", given) >= PATH_MAX || !clean_path(path))
            return fault_set(fault, STAGE_OPTIONS, 0, "write it like /bivy, as /proc/self/cgroup shows paths",
                             "--cgroup-parent %.300s: is not a plain path", given);
        return 0;
    }
    if (privileged) {
        strcpy(path, "/bivy");
        *ours = true;
        return 0;
    }
    strcpy(path, cgroups->v2.own);
    char *slash = strrchr(path, '/');
    if (!slash || slash == path || !clean_path(path))
        return fault_set(fault, STAGE_CGROUP, EACCES, hand_over, "bivy's own cgroup %.300s has no directory of yours above it",
                         cgroups->v2.own);
    *slash = '\0';
    return 0;
}

int plan_search(const char *given, const struct hierarchies *cgroups, char path[PATH_MAX], const char **where, struct fault *fault)
{
    bool ours;

    *where = given ? path : NULL;
    return given ? plan_cgroup_parent(given, false, cgroups, path, &ours, fault) : 0;
}

/* As many of the caller's processors as the limit rounds up to. Which ones is the child's choice. */
static void decide_processors(const struct spec *spec, const struct facts *facts, struct plan *plan)
{
    unsigned have = (unsigned)CPU_COUNT(&facts->processors), want = (unsigned)((spec->cpu + 999) / 1000);

    plan->affinity = spec->affinity;
    plan->processors = facts->processors;
    plan->processor_count = spec->affinity && want < have ? want : have;
}

bool plan_list_processors(const cpu_set_t *processors, char *text, size_t size)
{
    size_t length = 0;

    for (unsigned first = 0, last; first < CPU_SETSIZE; first = last + 1) {
        last = first;
        if (!CPU_ISSET(first, processors))
            continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, processors))
            last++;
        length += (size_t)snprintf(text + length, size - length, last > first ? "%s%u-%u" : "%s%u", length ? "," : "", first, last);
        if (length + 2 > size)
            return false;
    }
    snprintf(text + length, size - length, "\n");
    return length > 0;
}

static char *joined(const char *name, const char *between, const char *value)
{
    size_t size = strlen(name) + strlen(between) + strlen(value) + 1;
    char *text = malloc(size);

    if (text)
        snprintf(text, size, "%s%s%s", name, between, value);
    return text;
}

/* Puts "K=V" (owned from here on) into env, over an earlier K. */
static bool env_put(char **env, size_t *count, char *entry)
{
    size_t name;

    if (!entry)
        return false;
    name = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < *count; i++)
        if (!strncmp(env[i], entry, name)) {
            free(env[i]);
            env[i] = entry;
            return true;
        }
    env[(*count)++] = entry;
    return true;
}

static int decide_env(const struct spec *spec, const struct facts *facts, char *(*get_env)(const char *), struct plan *plan,
                      struct fault *fault)
{
    size_t count = 0;
    const char *term = facts->terminal ? get_env("TERM") : NULL;

    plan->env = calloc(policy_env_count + spec->env_count + 2, sizeof *plan->env);
    if (!plan->env)
        return no_memory(fault);
    for (size_t i = 0; i < policy_env_count; i++)
        if (!env_put(plan->env, &count, joined(policy_env[i].name, "=", policy_env[i].value)))
            return no_memory(fault);
    if (term && *term && !env_put(plan->env, &count, joined("TERM", "=", term)))
        return no_memory(fault);
    for (size_t i = 0; i < spec->env_count; i++) {
        const char *entry = spec->env[i];
        const char *value = strchr(entry, '=') ? "" : get_env(entry);
        if (!value)
            continue; /* the caller has no such variable: nothing to pass on */
        if (!env_put(plan->env, &count, joined(entry, strchr(entry, '=') ? "" : "=", value)))
            return no_memory(fault);
    }
    return 0;
}

/* PATH search is decided here, with the environment the command will have, so that the child only tries in order. */
static int decide_candidates(struct plan *plan, struct fault *fault)
{
    const char *name = plan->argv[0], *path = "";
    size_t count = 0, room = 2;

    for (char **env = plan->env; *env; env++)
        if (!strncmp(*env, "PATH=", 5))
            path = *env + 5;
    for (const char *c = path; *c; c++)
        room += *c == ':';
    plan->candidates = calloc(room + 1, sizeof *plan->candidates);
    if (!plan->candidates)
        return no_memory(fault);
    if (strchr(name, '/')) {
        plan->candidates[0] = strdup(name);
        return plan->candidates[0] ? 0 : no_memory(fault);
    }
    for (bool more = *path != '\0'; more;) {
        size_t span = strcspn(path, ":");
        size_t size = span + strlen(name) + 3;
        char *candidate = malloc(size);
        if (!candidate)
            return no_memory(fault);
        snprintf(candidate, size, "%.*s/%s", span ? (int)span : 1, span ? path : ".", name); /* empty: here, execvp(3) */
        plan->candidates[count++] = candidate;
        more = path[span] == ':'; /* behind the last colon there is one more, if only an empty one */
        path += span + more;
    }
    return 0;
}

int plan_make(const struct spec *spec, const struct facts *facts, const char *id, char *(*get_env)(const char *), struct plan *plan,
              struct fault *fault)
{
    int result;

    *plan = (struct plan){
        .rootfs = &facts->rootfs,
        .glibc = facts->glibc,
        .workspace = spec_binds(spec) ? &facts->workspace : NULL,
        .own_namespaces = facts->namespaces,
        .cgroups = &facts->cgroups,
        .scratch = spec->scratch,
        .scratch_inodes = spec->scratch_inodes,
        .memory = spec->memory,
        .cpu = spec->cpu,
        .pids = spec->pids,
        .unenforced = spec->unenforced,
        .no_swap = facts->no_swap,
        .open_files = spec->open_files,
        .file_size = spec->file_size,
        .network = spec->network,
        .interactive = spec->interactive,
        .tty = spec->tty,
        .explain = spec->explain,
        .keep = spec->keep,
        .sync = spec->sync,
        .abort_stuck = spec->abort_stuck,
        .timeout = spec->timeout,
        .kill_after = spec->kill_after,
        .max_output = spec->max_output,
        .output_limit = spec->output_limit,
        .argv = spec->argv,
    };
    snprintf(plan->id, sizeof plan->id, "%s", id);
    if ((result = check_workspace(plan, fault)) < 0 || (result = decide_ids(spec, facts, plan, fault)) < 0 ||
        (result = decide_mounts(spec, plan, fault)) < 0 ||
        (result = plan_cgroup_parent(spec->cgroup_parent, facts->privileged, &facts->cgroups, plan->cgroup_parent,
                                     &plan->cgroup_parent_ours, fault)) < 0 ||
        (result = decide_env(spec, facts, get_env, plan, fault)) < 0 ||
        (result = decide_candidates(plan, fault)) < 0)
        return result;
    decide_processors(spec, facts, plan);
    return 0;
}

int plan_join(const struct spec *theirs, const struct spec *asked, const struct facts *facts, char *(*get_env)(const char *),
              struct plan *plan, struct fault *fault)
{
    int result;

    *plan = (struct plan){
        .own_namespaces = facts->namespaces,
        .privileged = facts->privileged,
        .cgroups = &facts->cgroups,
        .scratch = theirs->scratch,
        .scratch_inodes = theirs->scratch_inodes,
        .memory = theirs->memory,
        .open_files = theirs->open_files,
        .file_size = theirs->file_size,
        .network = theirs->network,
        .interactive = asked->interactive,
        .tty = asked->tty,
        .affinity = true,
        .timeout = PLAN_JOIN_MOST, /* the sandbox's own end comes first */
        .kill_after = theirs->kill_after,
        .max_output = SPEC_UNLIMITED,
        .output_limit = SPEC_UNLIMITED,
        .argv = asked->argv,
    };
    snprintf(plan->id, sizeof plan->id, "%s", asked->id);
    if ((result = decide_mounts(theirs, plan, fault)) < 0 || (result = decide_env(theirs, facts, get_env, plan, fault)) < 0)
        return result;
    return decide_candidates(plan, fault);
}

static void free_strings(char **strings)
{
    for (char **s = strings; s && *s; s++)
        free(*s);
    free(strings);
}

void plan_release(struct plan *plan)
{
    free(plan->mounts);
    free_strings(plan->env);
    free_strings(plan->candidates);
    *plan = (struct plan){0};
}

void plan_rlimit(const struct plan *plan, const struct rlimit_row *row, uint64_t *soft, uint64_t *hard)
{
    switch (row->resource) {
    case RLIMIT_NOFILE:
        *soft = *hard = plan->open_files;
        break;
    case RLIMIT_FSIZE:
        *soft = *hard = plan->file_size;
        break;
    default:
        *soft = row->soft;
        *hard = row->hard;
    }
}
