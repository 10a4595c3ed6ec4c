/* weakened: does anybody notice when one hardening step is missing? bivy-weakened (include/weaken.h) leaves out what
 * $BIVY_WEAKEN names. For each row: with the gate in place the run must be refused where the gate can see it; without
 * the gate at least one attack must succeed, or the set-up must break by itself. Prints the table step -> who noticed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../integration/harness.h"

#define KEY 0x62697679 /* as in payload.c */

/* ---- what the caller gives a sandbox to inherit ---- */

static void be_odd(void *data)
{
    (void)data;
    if (personality(ADDR_NO_RANDOMIZE) < 0)
        _exit(98);
}

static void be_in_groups(void *data)
{
    (void)data;
    if (setgroups(2, (const gid_t[]){4, 27}))
        _exit(98);
}

static void hold_a_key(void *data)
{
    (void)data;
    /* KEYCTL_JOIN_SESSION_KEYRING; the key may be searched by everybody who possesses the keyring */
    if (syscall(SYS_keyctl, 1L, "bivy-attack", 0L, 0L, 0L) < 0 ||
        syscall(SYS_add_key, "user", "bivy-attack", "secret", 6L, -3L) < 0)
        _exit(98);
}

/* A sandbox whose mounts are not private puts them into the namespace it came from: not into the harness's. */
static void be_shared(void *data)
{
    (void)data;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL))
        _exit(98);
}

static void leave_open(void *data)
{
    (void)data;
    if (dup2(open("/", O_RDONLY | O_DIRECTORY), 9) != 9)
        _exit(98);
}

/* ---- who notices ---- */

enum by {
    SELFTEST,    /* bivy selftest says "not ok" */
    PAYLOAD,     /* the payload's act ends with status 1 */
    OOM_MISSING, /* a memory bomb does not end as oom */
    THROTTLE,    /* a processor hog is not throttled */
    ENVIRONMENT, /* the payload's selftest sees the caller's environment */
};

struct step {
    const char *name; /* what is left out, besides the gate */
    enum by by;
    const char *act; /* PAYLOAD */
    bool gate;       /* with the gate the run is refused, by it or already by a step that needs this one */
    void (*prepare)(void *data);
    const char *option; /* a word for bivy */
    unsigned modes;
};

/* clang-format off */
static const struct step steps[] = {
    {"seccomp",              SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"no_new_privs,seccomp", SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"nnp,seccomp",          SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"capabilities",         SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"bounding",             SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"readonly",             SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"nosuid",               SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"private",              SELFTEST, NULL, true,  be_shared, NULL, AS_BOTH},
    {"masks",                SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"hidepid",              SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"dumpable",             SELFTEST, NULL, true,  NULL, NULL, AS_USER}, /* as root the change of ids clears it too */
    {"net",                  SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"ipc",                  SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"uts,hostname",         SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"hostname",             SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"ns_cgroup",            SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"max_user_namespaces",  SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"max_user_namespaces,seccomp", PAYLOAD, "nested", true, NULL, NULL, AS_BOTH},
    {"keyring,seccomp",      PAYLOAD, "key", true, hold_a_key, NULL, AS_ROOT},
    {"rlimits",              SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"close",                SELFTEST, NULL, true,  leave_open, NULL, AS_BOTH},
    {"session",              SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"inherited",            SELFTEST, NULL, true,  be_odd, NULL, AS_BOTH},
    {"groups",               PAYLOAD, "groups", true, be_in_groups, NULL, AS_ROOT},
    {"environment",          ENVIRONMENT, "selftest", false, NULL, NULL, AS_BOTH},
    {"pids",                 SELFTEST, NULL, false, NULL, NULL, AS_BOTH},
    {"cgroup_enter",         SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"memory,swap",          OOM_MISSING, NULL, false, NULL, NULL, AS_BOTH},
    {"cpu",                  THROTTLE, NULL, false, NULL, NULL, AS_BOTH},
    /* Without these nothing can be built at all. */
    {"user",                 SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"mnt",                  SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"pid",                  SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"ids",                  SELFTEST, NULL, true,  NULL, NULL, AS_ROOT},
    {"scratch",              SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"root",                 SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"proc",                 SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"mounts",               SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
    {"pivot",                SELFTEST, NULL, true,  NULL, NULL, AS_BOTH},
};
/* clang-format on */
#define STEPS (sizeof steps / sizeof steps[0])

static const char *weakened;

static const struct result *run_weakened(const struct step *step, const char *without, const char *workspace)
{
    const char *usual = harness.bivy;
    const char *env[] = {text_format("BIVY_WEAKEN=%s", without), NULL};
    struct how how = {.env = env, .prepare = step->prepare};
    const struct result *result;

    harness.bivy = weakened;
    switch (step->by) {
    case SELFTEST:
        how.verb = "selftest";
        result = RUN(&how, "--rootfs", harness.rootfs, "--cgroup-parent", harness.parent, "--timeout", "20s");
        break;
    case PAYLOAD:
    case ENVIRONMENT:
        how.workspace = workspace;
        result = RUN(&how, "--", "/workspace/payload", step->act);
        break;
    case OOM_MISSING:
        how.workspace = workspace;
        result = RUN(&how, "--memory", "64M", "--", "/workspace/payload", "eat");
        break;
    case THROTTLE:
    default:
        how.workspace = workspace;
        result = RUN(&how, "--cpus", "0.1", "--", "/workspace/payload", "burn");
        break;
    }
    harness.bivy = usual;
    return result;
}

static char *control; /* what selftest says with nothing left out: no step is noticed by that */

/* The first attack that worked, or NULL. */
static const char *attack_that_worked(const char *out, const char *named)
{
    for (const char *at = out; (at = strstr(at, "not ok ")); at++) {
        const char *line = text_line(at, "not ok ");
        if (strstr(line, named) && (!control || !strstr(control, line)))
            return line;
    }
    return NULL;
}

/* Who noticed: a text for the table, or NULL. */
static const char *noticed(const struct step *step, const struct result *result)
{
    const char *probe = attack_that_worked(result->out, step->by == ENVIRONMENT ? "environment" : "");

    if (result->status == 125 && strstr(result->err, "bivy: "))
        return text_format("set-up itself: %s", text_line(result->err, "bivy: "));
    switch (step->by) {
    case SELFTEST:
    case ENVIRONMENT:
        return result->status == 1 && probe ? text_format("selftest: %s", probe) : NULL;
    case PAYLOAD:
        return result->status == 1 && text_line(result->out, "worked: ")
                   ? text_format("attack %s: %s", step->act, text_line(result->out, "worked: "))
                   : NULL;
    case OOM_MISSING:
        return result->status == 0 ? "attack: 90 MiB under a limit of 64" : NULL;
    case THROTTLE:
    default:
        return record_real(result, "times.throttled_ms") == 0
                   ? "attack: a hog on a tenth of a processor is never throttled"
                   : NULL;
    }
}

/* The other way round: with nothing left out nobody may notice a thing, or the table would prove nothing. */
static void check_unweakened(const struct step *step, const char *workspace)
{
    const struct result *result = run_weakened(step, "nothing", workspace);
    const char *who;

    if (step->by == OOM_MISSING) {
        CHECK_ENDED(result, "oom", 137);
        return;
    }
    who = noticed(step, result);
    if (step->by == SELFTEST)
        control = strdup(result->out);
    if (who)
        harness_fail("%s: with nothing left out: %s", step->name, who);
    CHECK(result, result->status == 0);
}

static void check_step(const struct step *step)
{
    const char *workspace = workspace_make(), *who;
    const struct result *result;
    char stage[32] = "-";

    if (step->gate) {
        result = run_weakened(step, step->name, workspace);
        CHECK(result, result->status == 125 && sscanf(result->err, "bivy: %31[^:]", stage) == 1);
    }
    result = run_weakened(step, text_format("gate,%s", step->name), workspace);
    who = noticed(step, result);
    CHECK(result, who);
    printf("# without %-28s refused by: %-10s else noticed by: %s\n", step->name, stage, who);
}

/* clang-format off */
/* The harness's tests take no argument: one function a row. */
#define STEP(n)                        \
    static void step_##n(void **state) \
    {                                  \
        (void)state;                   \
        check_step(&steps[n]);         \
    }
STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
STEP(12) STEP(13) STEP(14) STEP(15) STEP(16) STEP(17) STEP(18) STEP(19) STEP(20) STEP(21) STEP(22) STEP(23)
STEP(24) STEP(25) STEP(26) STEP(27) STEP(28) STEP(29) STEP(30) STEP(31) STEP(32) STEP(33) STEP(34) STEP(35)
STEP(36) STEP(37)

static void (*const step_tests[])(void **) = {
    step_0, step_1, step_2, step_3, step_4, step_5, step_6, step_7, step_8, step_9, step_10, step_11,
    step_12, step_13, step_14, step_15, step_16, step_17, step_18, step_19, step_20, step_21, step_22, step_23,
    step_24, step_25, step_26, step_27, step_28, step_29, step_30, step_31, step_32, step_33, step_34, step_35,
    step_36, step_37,
};
/* clang-format on */
_Static_assert(sizeof step_tests / sizeof step_tests[0] == STEPS, "one function a row");

static void nothing_left_out(void **state)
{
    bool done[ENVIRONMENT + 1] = {false};
    const char *workspace = workspace_make();

    (void)state;
    for (size_t i = 0; i < STEPS; i++) { /* each kind of look once; each act of the payload every time */
        if (!(steps[i].modes & (harness.user ? AS_USER : AS_ROOT)) || (done[steps[i].by] && steps[i].by != PAYLOAD))
            continue;
        done[steps[i].by] = true;
        check_unweakened(&steps[i], workspace);
    }
}

int main(int argc, char **argv)
{
    struct harness_test tests[STEPS + 1] = {TEST(nothing_left_out)};
    char names[STEPS][64];
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0bivy-attack-host"};
    int queue, server, status;

    weakened = getenv("BIVY_WEAKENED");
    if (!weakened || access(weakened, X_OK)) {
        fprintf(stderr, "SKIP weakened: BIVY_WEAKENED must name the bivy-weakened program\n");
        return getenv("BIVY_TEST_STRICT") && !strcmp(getenv("BIVY_TEST_STRICT"), "1") ? 1 : 77;
    }
    for (size_t i = 0; i < STEPS; i++) {
        snprintf(names[i], sizeof names[i], "without %s", steps[i].name);
        tests[i + 1] = (struct harness_test){names[i], step_tests[i], steps[i].modes};
    }
    /* For a sandbox without its own IPC or network namespace to see. */
    queue = msgget(KEY, IPC_CREAT | 0600);
    server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (queue < 0 || bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 1)) {
        fprintf(stderr, "weakened: no message queue or abstract socket: %s\n", strerror(errno));
        return 1;
    }
    status = harness_main(argc, argv, "weakened", tests, STEPS + 1);
    msgctl(queue, IPC_RMID, NULL);
    close(server);
    free(control);
    return status;
}
