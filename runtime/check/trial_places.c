#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mountinfo.h"
#include "sys.h"
#include "trial.h"
#include "trouble.h"
#include "units.h"

static const char *asked_rootfs(const struct trial *trial)
{
    const char *given = trial->spec->rootfs ? trial->spec->rootfs : getenv("BIVY_ROOTFS");

    return given && *given ? given : NULL;
}

/* Where one is looked for that was not named (facts.c), and can be made. */
static void default_rootfs(const struct trial *trial, char *words, size_t size)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char path[PATH_MAX] = "/var/lib/bivy/rootfs";

    if (trial->setting->uid && data && *data)
        snprintf(path, sizeof path, "%s/bivy/rootfs", data);
    else if (trial->setting->uid && home && *home)
        snprintf(path, sizeof path, "%s/.local/share/bivy/rootfs", home);
    mends_word(words, size, path);
}

void trial_rootfs(struct trial *trial)
{
    struct facts *facts = trial_room(sizeof *facts);
    struct fault fault;
    char words[512] = "";
    const char *given = asked_rootfs(trial);

    facts_start(facts);
    if (facts_rootfs(trial->spec, facts, &fault) == 0) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%.400s: every mount point is there, and it is for this machine", facts->rootfs.path);
        return;
    }
    if (fault.errnum != ENOENT && !strstr(fault.hint, "rootfs/build")) {
        bool over = !strncmp(fault.hint, "umount ", 7); /* there as words for people */
        strcpy(words, over ? "umount " : "");
        mends_word(words, sizeof words, over ? fault.hint + 7 : "");
        trial_fault(trial, TRIAL_MISSING, over ? MEND_COMMAND : MEND_NONE, words, &fault);
        return;
    }
    if (given)
        mends_word(words, sizeof words, given);
    else
        default_rootfs(trial, words, sizeof words);
    trial_fault(trial, TRIAL_MISSING, MEND_ROOTFS, words, &fault);
}

/* A mount below it, which a user namespace may not leave out of what it binds (mount_namespaces(7)); root of the machine may. */
static bool covered(struct trial *trial, const char *path)
{
    struct facts *facts = trial_room(sizeof *facts);
    char command[700] = "umount ";
    struct mountinfo mount;
    struct fault fault;
    size_t length = strlen(path);
    bool foreign, found = false;

    trial_own_outside(&foreign);
    facts_start(facts);
    if ((trial->setting->where & AT_ROOT && !foreign) || facts_mounts(facts, &fault) < 0)
        return false;
    for (char *cursor = facts->mountinfo; !found && mountinfo_next(&cursor, &mount) > 0;)
        found = !strncmp(mount.target, path, length) && mount.target[length] == '/';
    if (found) {
        mends_word(command, sizeof command, mount.target);
        trial_say(trial, TRIAL_MISSING, MEND_COMMAND, command, "%.250s: %.250s is mounted below it, and it cannot be bound without that", path,
                  mount.target);
    }
    facts_release(facts);
    return found;
}

/* Who else could change it: the next sandbox would run what he writes. */
static bool open_to_others(struct trial *trial, const struct place *rootfs)
{
    static const char *const parts[] = {".", "bin", "sbin", "lib", "etc", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/local/bin"};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct stat now;
        char command[700] = "";
        SYS_CLOSES int part = sys_openat2(rootfs->fd, parts[i], O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        if (part < 0 || fstat(part, &now) < 0)
            continue;
        bool wide = now.st_mode & 022;
        if (!wide && (now.st_uid == 0 || trial_stranger(now.st_uid) || (!(trial->setting->where & AT_ROOT) && now.st_uid == trial->setting->uid)))
            continue;
        if (wide)
            snprintf(command, sizeof command, "chmod -R go-w ");
        else
            snprintf(command, sizeof command, "chown -hR %s ", trial->setting->where & AT_ROOT ? "0:0" : "\"$USER\"");
        mends_word(command, sizeof command, rootfs->path);
        trial_say(trial, TRIAL_DEGRADED, MEND_COMMAND, command,
                  "%.300s: /%s %s (owner %u, mode %04o); who may write there decides what sandboxes run",
                  rootfs->path, parts[i][0] == '.' ? "" : parts[i], wide ? "may be written by others" : "belongs to somebody else",
                  now.st_uid,
                  now.st_mode & 07777);
        return true;
    }
    return false;
}

void trial_rootfs_safe(struct trial *trial)
{
    struct facts *facts = trial_room(sizeof *facts);
    struct mountinfo mount = {0};
    struct fault fault;
    char command[700] = "";

    facts_start(facts);
    if (facts_rootfs(trial->spec, facts, &fault) == 0 && covered(trial, facts->rootfs.path))
        return;
    if (facts->rootfs.fd < 0 || facts_mounts(facts, &fault) < 0) {
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
        return;
    }
    bool told = trial_mount_line(facts->rootfs.fd, facts->mountinfo, &mount);
    if (told && mountinfo_has(mount.options, "noexec")) {
        snprintf(command, sizeof command, "mount -o remount,exec ");
        mends_word(command, sizeof command, mount.target);
        trial_say(trial, TRIAL_MISSING, MEND_COMMAND, command, "%.300s: its mount %.200s allows no programs (noexec)", facts->rootfs.path,
                  mount.target);
    } else if (told && trouble_may_block(mount.fstype)) {
        snprintf(command, sizeof command, "cp -a ");
        mends_word(command, sizeof command, facts->rootfs.path);
        snprintf(command + strlen(command), sizeof command - strlen(command), " /var/lib/bivy/rootfs");
        trial_say(trial, TRIAL_DEGRADED, MEND_COMMAND, command, "%.300s: is on %.60s, whose server every start of a program may wait for",
                  facts->rootfs.path, mount.fstype);
    } else if (!open_to_others(trial, &facts->rootfs)) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%.300s: nobody but its owner may write there, and it is on a local file system",
                  facts->rootfs.path);
    }
}

/* ---- the workspace ---- */

static bool open_workspace(struct trial *trial, struct draft *draft, struct fault *fault)
{
    struct spec *spec = &draft->spec;
    static char *const command[] = {(char *)(uintptr_t) "/bin/true", NULL};

    *spec = *trial->spec;
    spec->argv = (char **)(uintptr_t)command;
    facts_start(&draft->facts);
    if (facts_workspace(spec, &draft->facts, fault) < 0)
        return false;
    if (facts_rootfs(spec, &draft->facts, fault) < 0 || facts_host(&draft->facts, fault) < 0)
        return true; /* of which other rows tell */
    return plan_make(spec, &draft->facts, "000000000000", getenv, &draft->plan, fault) == 0 || fault->stage != STAGE_WORKSPACE;
}

static void say_command(char *text, size_t size, const char *command, const char *path)
{
    snprintf(text, size, "%s", command);
    mends_word(text, size, path);
}

/* Is the mount that path lies on, by its name, FUSE for nobody but its mounter? Asks no server. */
static bool closed_mount(const char *path, char *target, size_t size)
{
    struct facts *facts = trial_room(sizeof *facts);
    char whole[PATH_MAX];
    struct mountinfo mount;
    struct fault fault;
    bool closed = false;

    facts_start(facts);
    *target = '\0';
    if (place_absolute(path, whole) < 0 || facts_mounts(facts, &fault) < 0)
        return false;
    for (char *cursor = facts->mountinfo; mountinfo_next(&cursor, &mount) > 0;) {
        size_t length = strlen(mount.target);
        if (length < strlen(target) || strncmp(mount.target, whole, length) || (length > 1 && whole[length] != '/' && whole[length]))
            continue;
        snprintf(target, size, "%s", mount.target);
        closed = !strncmp(mount.fstype, "fuse", 4) && !mountinfo_has(mount.super, "allow_other");
    }
    facts_release(facts);
    return closed;
}

static void workspace_trouble(struct trial *trial, const struct place *place, const struct fault *fault)
{
    const struct spec *spec = trial->spec;
    const char *path = place->path[0] ? place->path : spec->workspace_root ? spec->workspace_root : spec->workspace;
    char command[700] = "", owner[64], mount[512];

    snprintf(owner, sizeof owner, "chown -hR %u:%u ", trial->setting->where & AT_ROOT ? POLICY_UID : trial->setting->uid,
             trial->setting->where & AT_ROOT ? POLICY_UID : trial->setting->gid);
    switch ((enum trouble)fault->trouble) {
    case TROUBLE_BAD_OWNER:
        say_command(command, sizeof command, strstr(fault->hint, "chmod 700") ? "chmod 700 " : owner, path);
        break;
    case TROUBLE_READ_ONLY:
        say_command(command, sizeof command, "mount -o remount,rw ", place->mount[0] ? place->mount : path);
        break;
    case TROUBLE_DISCONNECTED:
        say_command(command, sizeof command, "umount -l ", place->mount[0] ? place->mount : path);
        strncat(command, " # then mount it again", sizeof command - strlen(command) - 1);
        break;
    case TROUBLE_PERMISSION:
        if (!closed_mount(path, mount, sizeof mount))
            break;
        mends_word(command, sizeof command, mount);
        trial_fault(trial, TRIAL_MISSING, MEND_FUSE, command, fault);
        return;
    case TROUBLE_INVALID:
        if (fault->errnum != ENOENT || spec->workspace_root)
            break;
        snprintf(command, sizeof command, "install -d -m 700 -o %u ", trial->setting->where & AT_ROOT ? POLICY_UID : trial->setting->uid);
        mends_word(command, sizeof command, path);
        break;
    default:
        break;
    }
    bool own = place->uid == trial->setting->uid; /* then no root is needed for it */
    trial_fault(trial, TRIAL_MISSING, !*command ? MEND_NONE : own ? MEND_SAID : MEND_COMMAND, command, fault);
}

void trial_workspace(struct trial *trial)
{
    struct draft *draft = trial_room(sizeof *draft);
    struct fault fault;

    if (!spec_binds(trial->spec))
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "none was named (--workspace, or --workspace-root with --user-id)");
    else if (!open_workspace(trial, draft, &fault))
        workspace_trouble(trial, &draft->facts.workspace, &fault);
    else if (draft->facts.workspace.full)
        trial_say(trial, TRIAL_DEGRADED, MEND_SAID, "free some space, or raise the quota", "%.300s: has no room left",
                  draft->facts.workspace.path);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%.300s on %s: owner %u, answered", draft->facts.workspace.path,
                  draft->facts.workspace.fstype,
                  draft->facts.workspace.uid);
}

/* What its mount is like, for the user that the sandbox would be. */
static void judge_mount(struct trial *trial, const struct draft *draft, const struct mountinfo *mount)
{
    const struct place *place = &draft->facts.workspace;
    bool decided = draft->plan.workspace; /* else of what is missing for that other rows tell */
    char words[600] = "";
    struct fault fault;

    if (trouble_of_mount(mount, trial->spec->require_fs, decided ? draft->plan.host_uid : (uid_t)-1, decided ? draft->plan.host_gid : (gid_t)-1,
                         place->path, &fault) == 0) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%.60s at %.300s, read-write%s", mount->fstype, mount->target,
                  strncmp(mount->fstype, "fuse", 4) ? "" : ", with default_permissions, and open to the sandbox's user");
        return;
    }
    snprintf(words, sizeof words, "%s", fault.trouble == TROUBLE_READ_ONLY ? "mount -o remount,rw " : "");
    mends_word(words, sizeof words, mount->target);
    if (fault.trouble == TROUBLE_READ_ONLY)
        trial_fault(trial, TRIAL_DEGRADED, MEND_COMMAND, words, &fault);
    else /* closed to the sandbox's user, or open beyond what the modes say */
        trial_fault(trial, fault.errnum == EACCES ? TRIAL_MISSING : TRIAL_DEGRADED, MEND_FUSE, words, &fault);
}

void trial_workspace_mount(struct trial *trial)
{
    struct draft *draft = trial_room(sizeof *draft);
    struct facts *mounts = trial_room(sizeof *mounts);
    struct mountinfo mount = {0};
    struct fault fault;

    if (!spec_binds(trial->spec)) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "no workspace was named");
        return;
    }
    facts_start(mounts);
    if (!open_workspace(trial, draft, &fault)) {
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
        return;
    }
    if (covered(trial, draft->facts.workspace.path))
        return;
    if (facts_mounts(mounts, &fault) < 0)
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
    else if (draft->facts.workspace.fd < 0 || !trial_mount_line(draft->facts.workspace.fd, mounts->mountinfo, &mount))
        trial_say(trial, TRIAL_DEGRADED, MEND_PROC, NULL, "its mount is not in /proc/self/mountinfo");
    else
        judge_mount(trial, draft, &mount);
}

/* ---- all of it ---- */

#define RUN_TIMEOUT ((uint64_t)5000000000)

void trial_sandbox(struct trial *trial)
{
    struct spec *spec = trial_room(sizeof *spec);
    struct outcome *outcome = trial_room(sizeof *outcome);
    static char *const command[] = {(char *)(uintptr_t) "/bin/true", NULL};
    char text[UNITS_TIME_TEXT];

    *spec = *trial->spec;
    spec->verb = VERB_RUN;
    spec->argv = (char **)(uintptr_t)command;
    spec->timeout = RUN_TIMEOUT;
    spec->kill_after = 0;
    trial->run(spec, outcome);
    if (outcome->kind == OUTCOME_SETUP_FAILED || outcome->kind == OUTCOME_STUCK)
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &outcome->fault);
    else if (outcome->kind != OUTCOME_EXITED || outcome_status(outcome) != 0)
        trial_say(trial, TRIAL_MISSING, MEND_OWN, "run --verbose --summary -- /bin/true", "/bin/true: %s, status %d",
                  outcome_name(outcome->kind),
                  outcome_status(outcome));
    else if (outcome->residue[0])
        trial_say(trial, TRIAL_DEGRADED, MEND_CLEAN, NULL, "/bin/true ran; left: %.200s", outcome->residue);
    else
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "/bin/true ran and exited 0; set-up took %s",
                  units_show_time(outcome->ready_at - outcome->started, text));
}
