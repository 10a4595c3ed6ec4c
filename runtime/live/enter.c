#include "enter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listing.h"
#include "live_process.h"
#include "options.h"
#include "sys.h"

#define READY_WITHIN ((uint64_t)2000000000) /* ns, for a sandbox that is just being made */

/* NUL-separated words, as /proc/PID/cmdline and environ have them. The text is allocated. NULL with errno. */
static char *read_words(pid_t pid, const char *file, size_t *length)
{
    size_t room = 16 * 1024;
    char path[48], *text = NULL;
    ssize_t got = -EFBIG;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    for (; got == -EFBIG && room <= (size_t)16 << 20; room *= 4) {
        char *larger = realloc(text, room);
        if (!larger)
            break;
        text = larger;
        got = sys_read_file(AT_FDCWD, path, text, room);
    }
    if (got >= 0) {
        *length = (size_t)got;
        return text;
    }
    free(text);
    errno = (int)-got;
    return NULL;
}

static char **split(char *text, size_t length)
{
    size_t count = 0, at = 0;
    char **words;

    for (size_t i = 0; i < length; i++)
        count += text[i] == '\0';
    words = calloc(count + 2, sizeof *words);
    if (!words)
        return NULL;
    for (size_t i = 0; i < length; i += strlen(text + i) + 1)
        words[at++] = text + i;
    return words;
}

/* The run's own environment, for `--env NAME`: its supervisor's. */
static const char *environment;
static size_t environment_length;

static bool own_terminal; /* of which TERM tells */

static char *their_variable(const char *name)
{
    size_t length = strlen(name);

    if (own_terminal && !strcmp(name, "TERM"))
        return getenv(name);

    for (size_t i = 0; i < environment_length; i += strlen(environment + i) + 1)
        if (!strncmp(environment + i, name, length) && environment[i + length] == '=')
            return (char *)(uintptr_t)(environment + i + length + 1);
    return NULL;
}

/* What the run was asked for is not stored anywhere but in the command line of its supervisor, which is this user's and our own program:
 * read again, it says the same. */
static int read_theirs(struct entrance *entrance, struct fault *fault)
{
    pid_t holder = entrance->live.holder;
    SYS_CLOSES int pidfd = sys_pidfd_open(holder);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    size_t length = 0;
    struct fault why;
    int argc = 0;

    if (pidfd < 0 || live_process_holds(holder, entrance->live.leaf) != 1)
        return fault_set(fault, STAGE_PLAN, ESRCH, "it may just have ended: bivy ps", "who runs sandbox %.32s has gone", entrance->live.id);

    entrance->words = read_words(holder, "cmdline", &length);
    entrance->environment = entrance->words ? read_words(holder, "environ", &environment_length) : NULL;
    if (!entrance->environment)
        return fault_set(fault, STAGE_PLAN, errno, NULL, "what the run of sandbox %.32s was asked for cannot be read", entrance->live.id);
    if (poll(&end, 1, 0) != 0) /* its number may have become somebody else's, whose words these would be */
        return fault_set(fault, STAGE_PLAN, ESRCH, "it may just have ended: bivy ps", "who ran sandbox %.32s has gone", entrance->live.id);
    environment = entrance->environment;
    entrance->argv = split(entrance->words, length);
    if (!entrance->argv)
        return fault_set(fault, STAGE_PLAN, ENOMEM, NULL, "out of memory");
    while (entrance->argv[argc])
        argc++;
    if (options_parse(argc, entrance->argv, &entrance->theirs, &why) < 0)
        return fault_set(fault, STAGE_PLAN, EINVAL, "was its profile changed since? It is read again, by a relative path from here", "the options of sandbox %.32s are not understood: %.200s",
                         entrance->live.id, why.what);
    return 0;
}

/* Until it is there with all that belongs to it. */
static int find(const struct spec *spec, const struct facts *facts, struct live *live, struct fault *fault)
{
    uint64_t by = sys_now() + READY_WITHIN;
    char path[PATH_MAX];
    const char *where;
    int result;

    if ((result = plan_search(spec->cgroup_parent, &facts->cgroups, path, &where, fault)) < 0)
        return result;
    for (;;) {
        if ((result = live_find(&facts->cgroups, where, spec->id, live, fault)) < 0)
            return result;
        if (live->owner != facts->euid)
            return fault_set(fault, STAGE_PLAN, EPERM, "as that user", "sandbox %.32s is user %u's", live->id, live->owner);
        if ((live->state == LIVE_RUNNING || live->state == LIVE_KEPT) && live->holder)
            return 0;
        if (live->state == LIVE_STALE)
            return live_stale(live, fault);
        if (sys_now() >= by)
            return fault_set(fault, STAGE_PLAN, EAGAIN,
                             live->state == LIVE_STOPPED ? "continue its bivy (fg, or kill -CONT): all that is inside stands still, and so would who enters"
                                                         : "bivy ps shows its state",
                             "sandbox %.32s is %s, nothing can go in", live->id, listing_state_name(live->state));
        live_release(live);
        poll(NULL, 0, 5);
    }
}

int enter_find(const struct spec *spec, const struct facts *facts, struct entrance *entrance, struct plan *plan, struct fault *fault)
{
    struct live *live = &entrance->live;
    int result;

    own_terminal = spec->tty;
    if ((result = find(spec, facts, live, fault)) < 0 || (result = read_theirs(entrance, fault)) < 0 ||
        (result = join_find(live, facts->namespaces, &entrance->join, fault)) < 0 ||
        (result = plan_join(&entrance->theirs, spec, facts, their_variable, plan, fault)) < 0)
        return result;
    entrance->init = sys_pidfd_open(live->init);
    strcpy(plan->cgroup_parent, live->parent);
    plan->joins = entrance->join.inode;
    if (!live_host_ids(live->init, &plan->host_uid, &plan->host_gid) ||
        sched_getaffinity(live->init, sizeof plan->processors, &plan->processors) < 0)
        return fault_set(fault, STAGE_PLAN, ESRCH, "it may just have ended: bivy ps", "pid 1 of sandbox %.32s cannot be asked", live->id);
    plan->processor_count = (unsigned)CPU_COUNT(&plan->processors);
    return 0;
}

void enter_release(struct entrance *entrance)
{
    join_release(&entrance->join);
    live_release(&entrance->live);
    options_release(&entrance->theirs);
    free(entrance->argv);
    free(entrance->words);
    free(entrance->environment);
    entrance->argv = NULL;
    entrance->words = entrance->environment = NULL;
    environment_length = 0;
}
