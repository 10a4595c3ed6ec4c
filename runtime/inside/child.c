#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate.h"
#include "inherited.h"
#include "init.h"
#include "listener.h"
#include "network.h"
#include "privileges.h"
#include "rootfs.h"
#include "seats.h"
#include "seccomp.h"
#include "sys.h"
#include "weaken.h"

enum { UP = 3 }; /* where the command-to-be keeps its pipe up, close-on-exec */

static struct rootfs tree = {.scratch = -1, .root = -1};

static int shed_inherited(struct child *child, struct fault *fault)
{
    (void)child;
    return inherited_shed(fault);
}

static void choose_processors(struct child *child)
{
    unsigned current = 0;

    if (syscall(SYS_getcpu, &current, NULL, NULL) < 0)
        current = 0; /* any will do */
    seats_take(child->join ? -1 : child->cgroup->seats, child->plan, current, &child->processors);
}

static int enter_leaf(struct child *child, struct fault *fault)
{
    int result = cgroup_enter(child->cgroup, fault);

    if (result < 0)
        return result;
    if (child->plan->affinity)
        choose_processors(child); /* by a lock on what is closed now; files in scratch tell which, and set_affinity keeps to them */
    cgroup_close(child->cgroup);
    return 0;
}

static int enter_cgroup(struct child *child, struct fault *fault)
{
    int result = enter_leaf(child, fault);

    if (result < 0)
        return result;
    if (!weakened("ns_cgroup") && unshare(CLONE_NEWCGROUP) < 0)
        return fault_set(fault, STAGE_CGROUP_ENTER, errno, "the kernel needs CONFIG_CGROUPS and a free slot in max_cgroup_namespaces",
                         "no cgroup namespace can be made");
    return 0;
}

/* Waits for that word of the supervisor's. */
static void await(const struct child *child, char word)
{
    char byte;

    if (SYS_AGAIN(read(child->lifeline, &byte, 1)) != 1 || byte != word)
        _exit(1); /* it is gone, or has said itself why it gave up */
}

static int take_ids(struct child *child, struct fault *fault)
{
    await(child, CHILD_MAPPED);
    return privileges_ids(fault);
}

static int make_scratch(struct child *child, struct fault *fault)
{
    return rootfs_scratch(child->plan, child->plan->affinity ? &child->processors : NULL, &tree, fault);
}

static int make_root(struct child *child, struct fault *fault)
{
    return rootfs_root(child->plan, child->rootfs, &tree, fault);
}

static int make_proc(struct child *child, struct fault *fault)
{
    return rootfs_proc(child->plan, &tree, fault);
}

static int make_mounts(struct child *child, struct fault *fault)
{
    return rootfs_mounts(child->plan, child->workspace, &tree, fault);
}

static int pivot(struct child *child, struct fault *fault)
{
    int result = rootfs_pivot(&tree, fault);

    sys_close(&child->rootfs);
    sys_close(&child->workspace);
    return result;
}

static int set_network(struct child *child, struct fault *fault)
{
    return child->plan->network == NETWORK_LOOPBACK ? network_loopback(fault) : 0;
}

static int set_host_name(struct child *child, struct fault *fault)
{
    (void)child;
    return sethostname(POLICY_HOST_NAME, strlen(POLICY_HOST_NAME)) < 0
               ? fault_set(fault, STAGE_HOST_NAME, errno, NULL, "the host name cannot be set")
               : 0;
}

static int new_keyring(struct child *child, struct fault *fault)
{
    (void)child;
    return inherited_keyring(fault);
}

static int set_rlimits(struct child *child, struct fault *fault)
{
    return inherited_rlimits(child->plan, false, fault);
}

static int set_affinity(struct child *child, struct fault *fault)
{
    if (!child->plan->affinity)
        return 0;
    return sched_setaffinity(0, sizeof child->processors, &child->processors) < 0
               ? fault_set(fault, STAGE_AFFINITY, errno, "--affinity off", "the processors cannot be narrowed")
               : 0;
}

static int drop_capabilities(struct child *child, struct fault *fault)
{
    (void)child;
    return privileges_drop(fault);
}

static int lock_privileges(struct child *child, struct fault *fault)
{
    struct pollfd fd = {.fd = child->lifeline};
    int result = privileges_lock(fault);

    /* The parent may have died just before its death signal was asked for: then nobody holds the other end any more. */
    if (result == 0 && poll(&fd, 1, 0) > 0 && fd.revents & POLLHUP)
        _exit(1);
    return result;
}

/* The process that looks after a command that joined: it must not die with its parent, for it has to reap that command, which would else
 * keep the pid namespace from ending. It sees the lifeline's end. */
static int lock_joining(struct child *child, struct fault *fault)
{
    int result = lock_privileges(child, fault);

    if (result == 0 && prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_NO_NEW_PRIVS, errno, NULL, "parent death signal cannot be cleared");
    return result;
}

static int load_filter(struct child *child, struct fault *fault)
{
    int listener = -1, result = seccomp_load(child->plan->explain ? &listener : NULL, fault);

    if (result < 0 || !child->plan->explain)
        return result;
    /* To the supervisor, and closed here before there is a command, which could answer itself by it. */
    if ((result = listener_send(child->explain, listener)) < 0)
        fault_set(fault, STAGE_SECCOMP, -result, "run without --explain", "the filter's listener cannot be handed over");
    sys_close(&listener);
    sys_close(&child->explain);
    return result < 0 ? result : inherited_rlimits(child->plan, true, fault);
}

/* Into a live sandbox. Afterwards nothing of the host is open but bivy's own pipes, and its root and working directory are the
 * sandbox's. Only then is a process made that those inside can see. */
static int join_namespaces(struct child *child, struct fault *fault)
{
    int *ends = child->streams->child;
    int result = join_enter(child->join, fault);

    if (result < 0)
        return result;
    sys_close_others((int[]){ends[0], ends[1], ends[2], child->up, child->lifeline, child->streams->terminal.child}, 6);
    /* Out of reach of the keys of the caller's terminal, as pid 1 is: it has to reap, and to end the command as --kill-after says. */
    if (setsid() < 0)
        return fault_set(fault, STAGE_CLONE, errno, NULL, "no session can be made");
    for (int fd = 0; fd < 3; fd++) /* taken, as everything that follows expects; what the command has there is made as in a run */
        if (SYS_AGAIN(open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY)) != fd)
            return fault_set(fault, STAGE_CLONE, errno, NULL, "descriptor %d cannot be made", fd);
    return 0;
}

static int join_ids(struct child *child, struct fault *fault)
{
    (void)child;
    return privileges_ids(fault);
}

struct step {
    enum stage stage;
    int (*run)(struct child *child, struct fault *fault);
};

/* The story, in order. What must come before what, and why, beside the row. */
static const struct step story[] = {
    /* clang-format off */
    {STAGE_INHERITED,    shed_inherited},    /* while the child has the caller's host id, whose process it still is */
    {STAGE_CGROUP_ENTER, enter_cgroup},      /* early: all that follows is charged; before the cgroup namespace, whose root it is */
    {STAGE_KEYRING,      new_keyring},       /* as root while it still is: an ordinary user's quota is 200 (keyrings(7)) */
    {STAGE_IDS,          take_ids},          /* before any inode is made: an unmapped owner cannot (EOVERFLOW) */
    {STAGE_SCRATCH,      make_scratch},      /* stages everything below */
    {STAGE_ROOT,         make_root},
    {STAGE_PROC,         make_proc},         /* before the pivot: needs the host's /proc in sight, or the kernel refuses a new one */
    {STAGE_MOUNTS,       make_mounts},       /* the masks lie in /proc */
    {STAGE_PIVOT,        pivot},             /* from here on no path of the host can be named */
    {STAGE_NETWORK,      set_network},
    {STAGE_HOST_NAME,    set_host_name},
    {STAGE_RLIMITS,      set_rlimits},
    {STAGE_AFFINITY,     set_affinity},
    {STAGE_CAPABILITIES, drop_capabilities}, /* after the last mount and the host name */
    {STAGE_NO_NEW_PRIVS, lock_privileges},   /* after the last change of credentials, which clears the death signal */
    {STAGE_SECCOMP,      load_filter},       /* needs no_new_privs; before the fork: pid 1 lives under the filter too */
    /* clang-format on */
};

/* The same for a process that joins a live sandbox: what was made stays as it is, what a process has of its own is made anew. */
static const struct step joining[] = {
    /* clang-format off */
    {STAGE_INHERITED,    shed_inherited},    /* while /proc is the host's: inside there is no /proc/self for who is outside */
    {STAGE_CGROUP_ENTER, enter_leaf},        /* likewise; and all that follows is charged */
    {STAGE_KEYRING,      new_keyring},
    {STAGE_CLONE,        join_namespaces},
    {STAGE_IDS,          join_ids},
    {STAGE_RLIMITS,      set_rlimits},
    {STAGE_AFFINITY,     set_affinity},
    {STAGE_CAPABILITIES, drop_capabilities},
    {STAGE_NO_NEW_PRIVS, lock_joining},      /* not dumpable from here on, so neither is what it makes inside */
    {STAGE_SECCOMP,      load_filter},
    /* clang-format on */
};

static void enter(struct child *child, enum stage stage)
{
    child->progress->entered[stage] = sys_now();
    child->progress->stage = (uint32_t)stage;
}

static _Noreturn void tell_fault(int up, const struct fault *fault)
{
    struct message message = {.kind = MESSAGE_FAULT};

    message.fault = *fault;
    message_send(up, &message);
    _exit(125);
}

static int set_descriptors(struct child *child, struct fault *fault)
{
    int *ends = child->streams->child, result;

    if (child->plan->tty) {
        if ((result = terminal_make(&child->streams->terminal, &ends[0], fault)) < 0)
            return result;
        ends[1] = ends[2] = ends[0];
    }
    if (ends[0] < 0)
        ends[0] = SYS_AGAIN(open("/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY));
    for (int fd = 0; fd < 3; fd++)
        if (ends[fd] < 0 || SYS_AGAIN(dup2(ends[fd], fd)) != fd)
            return fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "descriptor %d cannot be made", fd);
    if (child->up != UP && SYS_AGAIN(dup3(child->up, UP, O_CLOEXEC)) != UP)
        return fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "the message pipe cannot be moved");
    child->up = UP;
    if (!weakened("close") && sys_close_range(UP + 1, ~0u) < 0)
        return fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "descriptors cannot be closed");
    if (!weakened("session") && setsid() < 0)
        return fault_set(fault, STAGE_DESCRIPTORS, errno, NULL, "no new session can be made");
    if (child->plan->tty && (result = terminal_control(fault)) < 0)
        return result;
    umask(POLICY_UMASK);
    if (SYS_AGAIN(chdir(POLICY_WORKSPACE)) < 0 || SYS_AGAIN(faccessat(AT_FDCWD, ".", R_OK | X_OK, 0)) < 0)
        return fault_set(fault, STAGE_WORKSPACE, errno,
                         "give its owner read, write and search permission (chmod u+rwx); on FUSE the mount needs allow_other",
                         "workspace %.300s: may not be read by host user %u, which the sandbox runs as",
                         child->plan->workspace ? child->plan->workspace->path : POLICY_WORKSPACE, child->plan->host_uid);
    return 0;
}

static _Noreturn void execute(const struct plan *plan, int up)
{
    struct fault fault;
    int error = ENOENT;
    bool there = false;

    if (plan->builtin) { /* selftest: our own code where a command would be, as a command would be */
        sys_close(&up);
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* execve would give it back */
        _exit(plan->builtin());
    }
    for (char **path = plan->candidates; *path; path++) {
        SYS_AGAIN(execve(*path, plan->argv, weakened("environment") ? environ : plan->env));
        if (errno == ENOENT && SYS_AGAIN(faccessat(AT_FDCWD, *path, F_OK, 0)) == 0)
            there = true; /* the file is there, so what is missing is its interpreter */
        if (errno != ENOENT && (errno != ENOTDIR || strchr(plan->argv[0], '/')))
            error = errno; /* as the shell does: what was found but cannot be run says more than what was not found */
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    if (there && error == ENOENT)
        fault_set(&fault, STAGE_EXEC, ELIBBAD, "its #! line or its dynamic loader names a file that the rootfs does not have",
                  "%.300s: its interpreter was not found in the sandbox", plan->argv[0]);
    else if (error == ENOEXEC)
        fault_set(&fault, STAGE_EXEC, error, "give it a #! line, or run it with its interpreter: sh FILE", "%.300s: is not a program",
                  plan->argv[0]);
    else if (error == EACCES)
        fault_set(&fault, STAGE_EXEC, error, "is it a file, and executable by the sandbox's user (chmod +x)?",
                  "%.300s: may not be executed", plan->argv[0]);
    else if (error == ENOENT)
        fault_set(&fault, STAGE_EXEC, error, "is it in the rootfs (rootfs/build --packages) or the workspace, and on PATH?",
                  "%.300s: not found in the sandbox", plan->argv[0]);
    else
        fault_set(&fault, STAGE_EXEC, error, error == E2BIG ? "pass less on the command line and in the environment" : NULL,
                  "%.300s: cannot be executed", plan->argv[0]);
    tell_fault(up, &fault);
}

/* The process that becomes the command. */
static _Noreturn void command_main(struct child *child)
{
    struct message ready = {.kind = MESSAGE_READY};
    struct fault fault;
    int result;

    sys_signals_unblock(); /* pid 1 has SIGCHLD blocked by now */
    if (child->join) {
        struct pollfd lifeline = {.fd = child->lifeline};
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* its parent is no pid 1, with which it would die */
        if (poll(&lifeline, 1, 0) > 0 && lifeline.revents & POLLHUP)
            _exit(1); /* and may just have been killed: that is done behind the lifeline's end only */
    }
    enter(child, STAGE_DESCRIPTORS);
    if (set_descriptors(child, &fault) < 0)
        tell_fault(child->up, &fault);
    enter(child, STAGE_GATE);
    if (!weakened("gate") && gate_check(child->plan, child->streams, child->up, &ready.readback, &fault) < 0)
        tell_fault(child->up, &fault);
    result = message_send(child->up, &ready);
    if (result < 0)
        _exit(125); /* nobody would know that it runs */
    enter(child, STAGE_EXEC); /* and should the message be lost, this says so */
    execute(child->plan, child->up);
}

#define STACK_BYTES ((size_t)128 * 1024)

/* The memory is pid 1's too, the descriptors are not: what is known of these is kept apart. */
static int command_entry(void *shared)
{
    struct child child = *(const struct child *)shared;
    struct streams streams = *child.streams;

    child.streams = &streams;
    command_main(&child);
}

/* As vfork(2): the process that becomes the command shares pid 1's memory, on a stack of its own, and pid 1 waits in the kernel until it
 * has called execve or is gone. No page table is copied and no page twice. Pid 1 does not hear its lifeline meanwhile: should the
 * supervisor die, the parent death signal ends both, and a read-back or an execve that hangs ends with --timeout. The selftest calls no
 * execve, and AddressSanitizer knows no stack but its own: these fork. */
static pid_t spawn_command(struct child *child)
{
    pid_t command;
    char *stack;

    if (child->plan->builtin || SYS_SANITIZED) {
        command = fork();
        if (command == 0)
            command_main(child);
        return command;
    }
    stack = sys_stack(STACK_BYTES);
    if (!stack)
        return -1;
    command = clone(command_entry, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
    sys_stack_release(stack, STACK_BYTES);
    return command;
}

void child_main(struct child *child)
{
    const struct step *steps = child->join ? joining : story;
    size_t count = child->join ? sizeof joining / sizeof joining[0] : sizeof story / sizeof story[0];
    struct fault fault = {0};
    pid_t command;
    int signals;

    sys_signals_default(); /* whatever the caller ignored, blocked or handled */
    umask(0); /* modes of scratch are the policy's */
    for (size_t i = 0; i < count; i++) {
        enter(child, steps[i].stage);
        if (!weakened(stage_name((int)steps[i].stage)) && steps[i].run(child, &fault) < 0)
            tell_fault(child->up, &fault);
    }
    enter(child, STAGE_INIT);
    if (!child->join) /* there they are in force already */
        await(child, CHILD_LIMITED); /* nothing is forked, nor comes near the command, without limits */
    signals = init_prepare();
    if (signals < 0) {
        fault_set(&fault, STAGE_INIT, -signals, NULL, "pid 1 cannot be made ready");
        tell_fault(child->up, &fault);
    }
    command = spawn_command(child);
    if (command < 0) {
        fault_set(&fault, STAGE_INIT, errno, "raise --pids or --memory", "the command's process cannot be forked");
        tell_fault(child->up, &fault);
    }
    if (child->join)
        init_attend(command, child->up, child->lifeline, signals);
    init_main(command, child->up, child->lifeline, signals, child->plan->keep > 0);
}
