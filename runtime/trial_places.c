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
    if (facts_rootfs(trial->spec, facts, &fault) < 0 || facts_mounts(facts, &fault) < 0) {
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

static void workspace_trouble(struct trial *trial, const struct place *place, const struct fault *fault)
{
    const struct spec *spec = trial->spec;
    const char *path = place->path[0] ? place->path : spec->workspace_root ? spec->workspace_root : spec->workspace;
    char command[700] = "", owner[64];

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
        break;
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

void trial_workspace_mount(struct trial *trial)
{
    struct draft *draft = trial_room(sizeof *draft);
    struct facts *mounts = trial_room(sizeof *mounts);
    struct mountinfo mount = {0};
    struct fault fault;
    char words[512] = "";
    bool root = trial->setting->where & AT_ROOT;

    if (!spec_binds(trial->spec)) {
        trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "no workspace was named");
        return;
    }
    facts_start(mounts);
    if (!open_workspace(trial, draft, &fault) || facts_mounts(mounts, &fault) < 0) {
        trial_fault(trial, TRIAL_MISSING, MEND_NONE, NULL, &fault);
        return;
    }
    if (draft->facts.workspace.fd < 0 || !trial_mount_line(draft->facts.workspace.fd, mounts->mountinfo, &mount)) {
        trial_say(trial, TRIAL_DEGRADED, MEND_PROC, NULL, "its mount is not in /proc/self/mountinfo");
        return;
    }
    if (trouble_of_mount(&mount, trial->spec->require_fs, root ? (uid_t)-1 : trial->setting->uid, root ? (gid_t)-1 : trial->setting->gid,
                         draft->facts.workspace.path, &fault) < 0) {
        mends_word(words, sizeof words, mount.target);
        if (fault.trouble == TROUBLE_READ_ONLY) {
            char command[600] = "mount -o remount,rw ";
            mends_word(command, sizeof command, mount.target);
            trial_fault(trial, TRIAL_DEGRADED, MEND_COMMAND, command, &fault);
        } else {
            trial_fault(trial, TRIAL_DEGRADED, MEND_FUSE, words, &fault);
        }
        return;
    }
    trial_say(trial, TRIAL_OK, MEND_NONE, NULL, "%.60s at %.300s, read-write%s", mount.fstype, mount.target,
              strncmp(mount.fstype, "fuse", 4) ? "" : ", with allow_other and default_permissions");
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
