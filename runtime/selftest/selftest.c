#include "selftest.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"

/* clang-format off */
/* One call each that must answer -1 and this errno. Arguments are such that it would do no harm if it worked. */
static const struct call {
    const char *name;
    long number, args[6];
    int error;
} calls[] = {
    {"bpf",                SYS_bpf,               {0, 0, 0, 0, 0, 0}, EPERM},
    {"perf_event_open",    SYS_perf_event_open,   {0, 0, -1, -1, 0, 0}, EPERM},
    {"userfaultfd",        SYS_userfaultfd,       {1, 0, 0, 0, 0, 0}, EPERM},
    {"io_uring_setup",     CALL_IO_URING_SETUP,   {1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_uring_enter",     CALL_IO_URING_ENTER,   {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_uring_register",  CALL_IO_URING_REGISTER, {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"io_setup",           SYS_io_setup,          {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"keyctl",             SYS_keyctl,            {0, -3, 0, 0, 0, 0}, EPERM}, /* the session keyring's number */
    {"add_key",            SYS_add_key,           {0, 0, 0, 0, -3, 0}, EPERM},
    {"request_key",        SYS_request_key,       {0, 0, 0, 0, 0, 0}, EPERM},
    {"init_module",        SYS_init_module,       {0, 0, 0, 0, 0, 0}, EPERM},
    {"finit_module",       SYS_finit_module,      {-1, 0, 0, 0, 0, 0}, EPERM},
    {"delete_module",      SYS_delete_module,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"kexec_load",         SYS_kexec_load,        {0, 0, 0, 0, 0, 0}, EPERM},
    {"reboot",             SYS_reboot,            {0, 0, 0, 0, 0, 0}, EPERM},
    {"syslog",             SYS_syslog,            {10, 0, 0, 0, 0, 0}, EPERM}, /* size of the buffer */
    {"acct",               SYS_acct,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"swapon",             SYS_swapon,            {0, 0, 0, 0, 0, 0}, EPERM},
    {"swapoff",            SYS_swapoff,           {0, 0, 0, 0, 0, 0}, EPERM},
    {"quotactl",           SYS_quotactl,          {0, 0, 0, 0, 0, 0}, EPERM},
    {"quotactl_fd",        CALL_QUOTACTL_FD,      {-1, 0, 0, 0, 0, 0}, EPERM},
    {"sync",               SYS_sync,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"fanotify_init",      SYS_fanotify_init,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"settimeofday",       SYS_settimeofday,      {0, 0, 0, 0, 0, 0}, EPERM},
    {"clock_settime",      SYS_clock_settime,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"adjtimex",           SYS_adjtimex,          {0, 0, 0, 0, 0, 0}, EPERM},
    {"clock_adjtime",      SYS_clock_adjtime,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"vhangup",            SYS_vhangup,           {0, 0, 0, 0, 0, 0}, EPERM},
#ifdef __x86_64__
    {"modify_ldt",         SYS_modify_ldt,        {0, 0, 0, 0, 0, 0}, EPERM},
    {"iopl",               SYS_iopl,              {0, 0, 0, 0, 0, 0}, EPERM},
    {"ioperm",             SYS_ioperm,            {0, 0, 0, 0, 0, 0}, EPERM},
#endif
    {"mbind",              SYS_mbind,             {0, 0, 0, 0, 0, 0}, EPERM},
    {"migrate_pages",      SYS_migrate_pages,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"set_mempolicy",      SYS_set_mempolicy,     {0, 0, 0, 0, 0, 0}, EPERM},
    {"memfd_secret",       CALL_MEMFD_SECRET,     {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"cachestat",          CALL_CACHESTAT,        {-1, 0, 0, 0, 0, 0}, ENOSYS},
    {"statmount",          CALL_STATMOUNT,        {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"listmount",          CALL_LISTMOUNT,        {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"lsm_get_self_attr",  CALL_LSM_GET_SELF_ATTR, {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"remap_file_pages",   SYS_remap_file_pages,  {0, 0, 0, 0, 0, 0}, ENOSYS},
    {"PR_SET_MM",          SYS_prctl,             {35, 0, 0, 0, 0, 0}, EINVAL},
    {"PR_SCHED_CORE",      SYS_prctl,             {62, 1, 0, 0, 0, 0}, EINVAL},
    {"PR_SET_PTRACER",     SYS_prctl,             {0x59616d61, -1, 0, 0, 0, 0}, EINVAL},
};

/* Everything that takes more than one call. */
static const struct probe {
    const char *name;
    int (*attack)(void);
} probes[] = {
    {"a new namespace by unshare",                    attack_unshare},
    {"a new namespace by clone",                      attack_clone},
    {"a new namespace by clone3",                     attack_clone3},
    {"another namespace by setns",                    attack_setns},
    {"a way back to user namespaces",                 attack_more_user_namespaces},
    {"a mount by mount()",                            attack_mount},
    {"a mount of a cgroup hierarchy",                 attack_mount_cgroup},
    {"a mount taken away",                            attack_umount},
    {"a mount by the new calls",                      attack_mount_api},
    {"another root by pivot_root and chroot",         attack_roots},
    {"above the root by ..",                          attack_dots},
    {"a mount that allows too much",                  attack_mount_list},
    {"what /proc tells of the host",                  attack_masks},
    {"a new file where nothing is to be written",     attack_create},
    {"kernel settings and own files in /proc",        attack_proc_files},
    {"any file outside scratch and workspace",        attack_every_file},
    {"owner, mode and times of shared files",         attack_metadata},
    {"device nodes made by mknod",                    attack_device_nodes},
    {"other devices in /dev",                         attack_devices},
    {"an exchange of names by rename",                attack_rename},
    {"files by handle",                               attack_handles},
    {"privileges by a set-uid file",                  attack_set_id_files},
    {"pages of a read-only file",                     attack_page_cache},
    {"pid 1 through /proc",                           attack_pid_1_files},
    {"pid 1 and programs in the process list",        attack_process_list},
    {"another process by ptrace",                     attack_ptrace},
    {"another process's memory and descriptors",      attack_process_memory},
    {"pid 1 by signals",                              attack_pid_1_signals},
    {"sockets of rare families",                      attack_sockets},
    {"socket options that load code",                 attack_socket_options},
    {"a terminal by TIOCSTI and TIOCLINUX",           attack_terminal},
    {"the caller's terminal",                         attack_callers_terminal},
    {"a weaker personality",                          attack_personality},
#ifdef __x86_64__
    {"calls by int 0x80",                             attack_int_80},
    {"calls by x32 numbers",                          attack_x32},
#endif
    {"huge pages",                                    attack_huge_pages},
    {"the filter itself",                             attack_filter},
    {"another user or group",                         attack_ids},
    {"another id by the id maps",                     attack_id_maps},
    {"a capability that was left",                    attack_capability_sets},
    {"a capability by capset",                        attack_capset},
    {"a capability by the ambient set",               attack_ambient},
    {"securebits",                                    attack_securebits},
    {"a host by the network",                         attack_connect},
    {"a network link",                                attack_links},
    {"sockets of others",                             attack_sockets_of_others},
    {"IPC objects of others",                         attack_ipc_of_others},
    {"the host's name",                               attack_host_name},
    {"the cgroup",                                    attack_cgroup},
    {"descriptors left open",                         attack_descriptors},
    {"what the caller's process hands on",            attack_inherited},
    {"higher resource limits",                        attack_rlimits},
    {"a higher priority",                             attack_priority},
    {"locked memory",                                 attack_locked_memory},
    {"more processes than the limit",                 attack_process_limit},
    {"more scratch than the limit",                   attack_scratch_limit},
    {"more terminals than the limit",                 attack_terminal_limit},
    {"more timers than the limit",                    attack_timer_limit},
};

/* Only for a program that execve started: bivy itself keeps its own environment. */
static const struct probe command_probes[] = {
    {"the caller's environment", attack_environment},
};
/* clang-format on */

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static int attack_call(const struct call *call)
{
    return refused(
        call->name,
        syscall(call->number, call->args[0], call->args[1], call->args[2], call->args[3], call->args[4], call->args[5]),
        call->error);
}

/* Runs one attack in a process of its own: it may change, kill or hang itself. */
static int run(const struct call *call, const struct probe *probe)
{
    struct pollfd end = {.events = POLLIN};
    pid_t pid;
    int status = 0;

    memset(finding, 0, sizeof *finding);
    pid = fork();
    if (pid < 0)
        return got("no process to attack with: %s", strerror(errno));
    if (pid == 0) {
        finding->verdict = call ? attack_call(call) : probe->attack();
        finding->finished = 1;
        _exit(0);
    }
    end.fd = (int)syscall(CALL_PIDFD_OPEN, pid, 0);
    if (end.fd < 0 || poll(&end, 1, PATIENCE) != 1) {
        kill(-1, SIGKILL); /* with whatever it has started; neither pid 1 nor this process: kill(2) */
        finding->finished = 0;
    }
    waitpid(pid, &status, 0);
    close(end.fd);
    if (finding->finished)
        return finding->verdict;
    return WIFSIGNALED(status)
               ? got("the attack died of signal %d, or took longer than %d s", WTERMSIG(status), PATIENCE / 1000)
               : got("the attack did not end as it should");
}

/* One write a line, so that lines of two writers do not mix. What an attacker may have named is kept to harmless bytes.
 */
static void tell(int number, int verdict, const char *name)
{
    char line[512];
    int length;

    for (char *at = finding->text; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~' || *at == '#')
            *at = '?';
    length = snprintf(line, sizeof line, "%s %d - %s%s%s\n", verdict == GOT ? "not ok" : "ok", number, name,
                      verdict == GOT       ? " # "
                      : verdict == SKIPPED ? " # SKIP "
                                           : "",
                      verdict == REFUSED ? "" : finding->text);
    for (int at = 0; at < length;) {
        ssize_t part = write(1, line + at, (size_t)(length - at));
        if (part < 0 && errno != EINTR)
            _exit(1);
        at += part > 0 ? (int)part : 0;
    }
}

static int attack_all(size_t commands)
{
    size_t total = COUNT(calls) + COUNT(probes) + commands;
    int number = 0, failures = 0;

    finding = mmap(NULL, sizeof *finding, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (finding == MAP_FAILED || dprintf(1, "1..%zu\n", total) < 0)
        return 1;
    for (size_t i = 0; i < total; i++) {
        const struct call *call = i < COUNT(calls) ? &calls[i] : NULL;
        size_t at = i - COUNT(calls);
        const struct probe *probe = call                 ? NULL
                                    : at < COUNT(probes) ? &probes[at]
                                                         : &command_probes[at - COUNT(probes)];
        int verdict = run(call, probe);

        failures += verdict == GOT;
        tell(++number, verdict, call ? call->name : probe->name);
    }
    munmap(finding, sizeof *finding);
    return failures ? 1 : 0;
}

int selftest_inside(void)
{
    return attack_all(0);
}

int selftest_command(void)
{
    return attack_all(COUNT(command_probes));
}
