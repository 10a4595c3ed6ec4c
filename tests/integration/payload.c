/* payload: the hostile and the curious programs that tests run inside the sandbox, in one static binary.
 *
 * usage: payload ACT [ARG...]   Every act says on stdout what it saw, one finding a line; the test judges, not the
 * payload. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *verdict(long result)
{
    return result < 0 ? strerrorname_np(errno) : "worked";
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static _Noreturn void wait_for_ever(void)
{
    for (;;)
        pause();
}

static size_t size_of(const char *text)
{
    return text ? (size_t)strtoull(text, NULL, 10) : 0;
}

/* ---- state: everything that a caller could have passed on, in a form that is the same in every run ---- */

static void show_status(FILE *out)
{
    /* FDSize is how long the kernel's table is, not what stands in it */
    static const char *const changes[] = {"Vm",           "Rss",    "voluntary_", "nonvoluntary_", "Hugetlb", "SigQ",
                                          "Cpus_allowed", "FDSize", NULL};
    FILE *in = fopen("/proc/self/status", "re");
    char line[1024];

    while (in && fgets(line, sizeof line, in)) {
        bool skip = false;
        for (size_t i = 0; changes[i]; i++)
            skip |= !strncmp(line, changes[i], strlen(changes[i]));
        if (!skip)
            fprintf(out, "status %s", line);
    }
    if (in)
        fclose(in);
}

static void show_mounts(FILE *out)
{
    FILE *in = fopen("/proc/self/mountinfo", "re");
    char line[8192];
    int at;

    /* mount ids, and the minors of anonymous devices, are new in every run */
    while (in && fgets(line, sizeof line, in))
        if (sscanf(line, "%*u %*u %*u:%*u %n", &at) == 0)
            fprintf(out, "mount %s", line + at);
    if (in)
        fclose(in);
}

static void show_descriptors(FILE *out)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        int fd = atoi(entry->d_name);
        char target[PATH_MAX];
        struct stat status;
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        if (length <= 0 || fd == dirfd(directory) || (fd == fileno(out) && out != stdout))
            continue;
        target[length] = '\0';
        fstat(fd, &status);
        fprintf(out, "descriptor %d %s flags %x mode %x type %o\n", fd, strncmp(target, "pipe:", 5) ? target : "pipe",
                (unsigned)fcntl(fd, F_GETFD), (unsigned)fcntl(fd, F_GETFL), status.st_mode & S_IFMT);
    }
    if (directory)
        closedir(directory);
}

static void show_limits(FILE *out)
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit;
        if (!getrlimit((enum __rlimit_resource)resource, &limit))
            fprintf(out, "rlimit %d %llu %llu\n", resource, (unsigned long long)limit.rlim_cur,
                    (unsigned long long)limit.rlim_max);
    }
}

static void show_file(FILE *out, const char *path)
{
    char text[256] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    fprintf(out, "%s %s\n", path, got < 0 ? verdict(-1) : text);
    if (fd >= 0)
        close(fd);
}

static int state(char **argv, char **env)
{
    FILE *out = argv[0] && strcmp(argv[0], "-") ? fopen(argv[0], "we") : stdout;
    struct sched_param param;
    struct itimerval timer;
    cpu_set_t set;
    char cwd[PATH_MAX];
    sigset_t pending;

    if (!out)
        return 1;
    show_status(out);
    show_mounts(out);
    show_descriptors(out);
    show_limits(out);
    for (; *env; env++)
        fprintf(out, "env %s\n", *env);
    fprintf(out, "cwd %s\n", getcwd(cwd, sizeof cwd) ? cwd : verdict(-1));
    errno = 0;
    fprintf(out, "nice %d\n", getpriority(PRIO_PROCESS, 0));
    sched_getparam(0, &param);
    fprintf(out, "scheduler %d %d\n", sched_getscheduler(0), param.sched_priority);
    sched_getaffinity(0, sizeof set, &set);
    fprintf(out, "processors %d\n", CPU_COUNT(&set));
    fprintf(out, "personality %x\n", (unsigned)personality(0xffffffff));
    fprintf(out, "securebits %x\n", (unsigned)prctl(PR_GET_SECUREBITS));
    fprintf(out, "timerslack %d\n", prctl(PR_GET_TIMERSLACK));
    fprintf(out, "session %d group %d\n", getsid(0), getpgrp());
    sigpending(&pending);
    fprintf(out, "pending %d\n", sigisemptyset(&pending) ? 0 : 1);
    getitimer(ITIMER_REAL, &timer);
    fprintf(out, "timer %ld\n", (long)timer.it_value.tv_sec);
    for (size_t i = 0; i < 2; i++)
        show_file(out, (const char *const[]){"/proc/self/cgroup", "/proc/sys/kernel/hostname"}[i]);
    return fflush(out) || ferror(out);
}

/* ---- promise 3: further namespaces ---- */

static int child_body(void *data)
{
    (void)data;
    return 0;
}

static int namespaces(char **argv)
{
    static const struct {
        const char *name;
        int flag;
    } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},       {"net", CLONE_NEWNET},
                 {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};
    static char stack[65536] __attribute__((aligned(16)));
    uint64_t args[11] = {CLONE_NEWUSER, [4] = SIGCHLD}; /* struct clone_args: flags first, exit_signal fifth */

    (void)argv;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[64];
        int fd;
        printf("unshare %s %s\n", kinds[i].name, verdict(unshare(kinds[i].flag)));
        printf("unshare user+%s %s\n", kinds[i].name, verdict(unshare(CLONE_NEWUSER | kinds[i].flag)));
        if (kinds[i].flag != 0x80) /* in clone(2) this bit belongs to the exit signal */
            printf("clone %s %s\n", kinds[i].name,
                   verdict(clone(child_body, stack + sizeof stack, CLONE_NEWUSER | kinds[i].flag | SIGCHLD, NULL)));
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        printf("setns %s %s\n", kinds[i].name, verdict(setns(fd, 0)));
    }
    printf("clone3 user %s\n", verdict(syscall(SYS_clone3, args, sizeof args)));
    return 0;
}

/* ---- promise 5: writes to the rootfs, by every road ---- */

static void attempt(const char *what, const char *path, long result)
{
    printf("%s %s %s\n", what, path, verdict(result));
}

static void write_games(const char *path)
{
    char other[PATH_MAX];
    int fd, pipes[2];
    struct stat status;
    off_t offset = 0;
    void *map;

    attempt("open-write", path, open(path, O_WRONLY | O_CLOEXEC));
    attempt("open-truncate", path, open(path, O_RDWR | O_TRUNC | O_CLOEXEC));
    attempt("truncate", path, truncate(path, 0));
    attempt("chmod", path, chmod(path, 0777));
    attempt("chown", path, chown(path, 1000, 1000));
    attempt("utimes", path, utimensat(AT_FDCWD, path, NULL, 0));
    attempt("unlink", path, unlink(path));
    snprintf(other, sizeof other, "%s.new", path);
    attempt("rename", path, rename(path, other));
    attempt("link", path, link(path, other));
    attempt("symlink", path, symlink("x", other));
    attempt("create", path, open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    attempt("mkdir", path, mkdir(other, 0755));
    attempt("setxattr", path, syscall(SYS_setxattr, path, "user.x", "y", 1, 0));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        close(fd);
        return;
    }
    snprintf(other, sizeof other, "/proc/self/fd/%d", fd);
    attempt("reopen", path, open(other, O_RDWR | O_CLOEXEC));
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    attempt("map-shared", path, map == MAP_FAILED ? -1 : 0);
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    attempt("protect", path, map == MAP_FAILED ? -1 : mprotect(map, 4096, PROT_READ | PROT_WRITE));
    /* CVE-2022-0847: a spliced page of the cache in a pipe, then a write that merged into it */
    if (!pipe(pipes)) {
        attempt("splice", path, splice(fd, &offset, pipes[1], NULL, 1, 0));
        attempt("sendfile", path, syscall(SYS_sendfile, pipes[1], fd, &offset, (size_t)1));
        if (write(pipes[1], "DIRTY", 5) < 0)
            attempt("pipe-write", path, -1);
        close(pipes[0]);
        close(pipes[1]);
    }
    close(fd);
}

static int writes(char **argv)
{
    for (; *argv; argv++)
        write_games(*argv);
    attempt("remount", "/", syscall(SYS_mount, "", "/", "", 32ul /* MS_REMOUNT */, ""));
    attempt("mount", "/", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0ul, ""));
    attempt("umount", "/proc", syscall(SYS_umount2, "/proc", 0));
    attempt("pivot_root", "/", syscall(SYS_pivot_root, "/tmp", "/tmp"));
    attempt("chroot", "/tmp", chroot("/tmp"));
    return 0;
}

/* ---- promise 6: ways out of /workspace ---- */

static int climb(const char *name)
{
    char path[PATH_MAX] = "/workspace";
    int fd = open("/workspace", O_RDONLY | O_DIRECTORY | O_CLOEXEC), next, found = 0;

    for (int depth = 0; depth < 40; depth++) { /* by descriptor, so that no path check is passed */
        int file = openat(fd, name, O_WRONLY | O_CLOEXEC);
        if (file >= 0) {
            found += write(file, "escaped", 7) == 7;
            close(file);
        }
        next = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        if (next < 0)
            return found;
        fd = next;
    }
    for (int depth = 0; depth < 20; depth++) {
        int file;
        strcat(path, "/..");
        strcat(strcat(path, "/"), name);
        file = open(path, O_WRONLY | O_CLOEXEC);
        if (file >= 0) {
            found += write(file, "escaped", 7) == 7;
            close(file);
        }
        path[strlen(path) - strlen(name) - 1] = '\0';
    }
    return found;
}

/* ARGs: absolute path of the canary outside, relative path of it from the workspace */
static int escape(char **argv)
{
    int file;

    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "/workspace/link-%d", i);
        attempt("symlink", path, symlink(argv[i], path));
        file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        attempt("through", path, file);
        if (file >= 0 && write(file, "escaped", 7) < 0)
            attempt("write", path, -1);
        snprintf(path, sizeof path, "/workspace/hard-%d", i);
        attempt("link", path, link(argv[i], path));
        attempt("rename-in", path, rename(argv[i], path));
        attempt("rename-out", path, rename("/workspace/payload", argv[i]));
        attempt("unlink", argv[i], unlink(argv[i]));
    }
    attempt("rename-across", "/tmp", rename("/workspace/payload", "/tmp/payload"));
    attempt("link-across", "/tmp", link("/workspace/payload", "/tmp/payload"));
    attempt("mknod", "/workspace/disk", mknod("/workspace/disk", S_IFBLK | 0666, 0x100));
    attempt("mknod", "/workspace/memory", mknod("/workspace/memory", S_IFCHR | 0666, 0x101));
    /* left for the host to trip over: a device, a symlink to itself, a set-uid shell */
    attempt("symlink", "/workspace/loop", symlink("loop", "/workspace/loop"));
    attempt("setuid", "/workspace/payload", chmod("/workspace/payload", 06755));
    printf("climbed %d\n", climb(argv[2]));
    return 0;
}

/* ---- promise 8: the supervisor and pid 1 ---- */

static bool new_finding(const char *text)
{
    static char seen[256][256];
    static size_t count;

    for (size_t i = 0; i < count; i++)
        if (!strncmp(seen[i], text, sizeof seen[i] - 1))
            return false;
    if (count < sizeof seen / sizeof *seen)
        snprintf(seen[count++], sizeof seen[0], "%.255s", text);
    return true;
}

static void find(const char *what, const char *text)
{
    char line[PATH_MAX + 64];

    snprintf(line, sizeof line, "%s %s", what, text);
    if (new_finding(line))
        say(line);
}

static void hunt_links(const char *what, const char *path)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target - 1);

    if (length <= 0)
        return;
    target[length] = '\0';
    if (!strncmp(target, "pipe:", 5))
        target[5] = '\0'; /* not its number */
    find(what, target);
}

static void hunt_text(const char *what, const char *path)
{
    static char text[65536];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);

    if (fd >= 0)
        close(fd);
    for (ssize_t i = 0; i < got; i += (ssize_t)strnlen(text + i, (size_t)(got - i)) + 1)
        if (memchr(text + i, '\0', (size_t)(got - i)))
            find(what, text + i);
}

/* Everything about a process that is to be had, of whoever comes, as fast as can be: pids that do not exist yet included. */
static int hunt(char **argv)
{
    struct timespec now;
    double end = 0;
    pid_t self = getpid(), newest = self;

    say("hunting");
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        double time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
        if (end == 0)
            end = time + (double)size_of(argv[0]);
        if (time > end)
            return 0;
        for (pid_t pid = newest > 8 ? newest - 8 : 1; pid < newest + 8; pid++) {
            char path[64];
            if (pid == self || (kill(pid, 0) && errno == ESRCH))
                continue;
            if (pid > newest)
                newest = pid;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            hunt_links("exe", path);
            snprintf(path, sizeof path, "/proc/%d/root", pid);
            hunt_links("root", path);
            snprintf(path, sizeof path, "/proc/%d/cwd", pid);
            hunt_links("cwd", path);
            snprintf(path, sizeof path, "/proc/%d/environ", pid);
            hunt_text("environ", path);
            snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
            hunt_text("cmdline", path);
            for (int fd = 0; fd < 64; fd++) {
                snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
                hunt_links("fd", path);
            }
            if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
                find("ptrace", "worked");
        }
    }
}

/* Waits for a process that runs neither busybox nor this, stops it, and changes what it can of the file that it runs. */
static int spoil(char **argv)
{
    static const struct timespec old[2] = {{1, 0}, {1, 0}};
    pid_t self = getpid(), newest = self;
    char path[64], file[256];

    (void)argv;
    say("hunting");
    for (;;)
        for (pid_t pid = newest > 8 ? newest - 8 : 1; pid < newest + 500; pid++) { /* many may have come and gone unseen */
            if (pid == self || (kill(pid, 0) && errno == ESRCH))
                continue;
            newest = pid > newest ? pid : newest;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            ssize_t length = readlink(path, file, sizeof file - 1);
            if (length <= 0)
                continue;
            file[length] = '\0';
            if (!strcmp(file, "/bin/busybox") || strstr(file, "payload") || kill(pid, SIGSTOP))
                continue;
            printf("file %s\n", file);
            printf("mode %s\n", verdict(chmod(path, 04777)));
            printf("times %s\n", verdict(utimensat(AT_FDCWD, path, old, 0)));
            printf("writing %s\n", verdict(open(path, O_WRONLY)));
            printf("length %s\n", verdict(truncate(path, 0)));
            say("spoilt");
            kill(pid, SIGCONT);
            return 0;
        }
}

static int peek(char **argv)
{
    static const char *const files[] = {"environ", "mem",    "maps",    "exe",     "fd",  "root",
                                        "cwd",     "status", "cmdline", "ns/user", "auxv"};
    char byte, path[PATH_MAX], target[PATH_MAX];
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int fd;

    (void)argv;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/1/%s", files[i]);
        printf("open %s %s\n", path, verdict(open(path, O_RDONLY | O_CLOEXEC)));
    }
    printf("readlink /proc/1/exe %s\n", verdict(readlink("/proc/1/exe", target, sizeof target)));
    printf("ptrace-attach %s\n", verdict(ptrace(PTRACE_ATTACH, 1, NULL, NULL)));
    printf("ptrace-seize %s\n", verdict(ptrace(PTRACE_SEIZE, 1, NULL, NULL)));
    printf("process_vm_readv %s\n", verdict(process_vm_readv(1, &here, 1, &there, 1, 0)));
    printf("process_vm_writev %s\n", verdict(process_vm_writev(1, &here, 1, &there, 1, 0)));
    fd = (int)syscall(SYS_pidfd_open, 1, 0);
    printf("pidfd_getfd %s\n", verdict(fd < 0 ? -1 : syscall(SYS_pidfd_getfd, fd, 1, 0)));
    printf("kcmp %s\n", verdict(syscall(SYS_kcmp, getpid(), 1, 0, 1, 1)));
    while (proc && (entry = readdir(proc))) {
        ssize_t length;
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
        length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        printf("process %s exe %s\n", atoi(entry->d_name) == getpid() ? "self" : entry->d_name,
               length > 0 ? target : verdict(-1));
    }
    return 0;
}

static int signal_one(char **argv)
{
    (void)argv;
    for (int number = 0; number <= 64; number++)
        if (number != 32 && number != 33) /* the C library's own */
            printf("kill 1 %d %s\n", number, verdict(syscall(SYS_kill, 1, number)));
    printf("queue 1 %s\n", verdict(sigqueue(1, SIGKILL, (union sigval){.sival_int = 1})));
    printf("kill 0 %s\n", verdict(kill(1, 0)));
    say("still here");
    return 3;
}

/* Whatever can be taken from pid 1 without a signal: if it is the same user's, the kernel may allow it. */
static int starve_one(char **argv)
{
    (void)argv;
    for (int resource = 0; resource < RLIM_NLIMITS; resource++)
        printf("prlimit 1 %d %s\n", resource,
               verdict(syscall(SYS_prlimit64, 1, resource, &(struct rlimit){0, 0}, NULL)));
    printf("setpriority 1 %s\n", verdict(setpriority(PRIO_PROCESS, 1, 19)));
    printf("scheduler 1 %s\n", verdict(sched_setscheduler(1, SCHED_IDLE, &(struct sched_param){0})));
    printf("affinity 1 %s\n", verdict(sched_setaffinity(1, sizeof(cpu_set_t), &(cpu_set_t){{1}})));
    say("still here");
    return 3;
}

/* ---- promise 9: network and IPC ---- */

static void show_link(const char *message, size_t length)
{
    const struct ifinfomsg *body = (const void *)(message + NLMSG_HDRLEN);
    size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof *body);

    while (at + sizeof(struct rtattr) <= length) {
        const struct rtattr *part = (const void *)(message + at);
        if (part->rta_type == IFLA_IFNAME)
            printf("link %s %s\n", message + at + sizeof *part, body->ifi_flags & IFF_UP ? "up" : "down");
        at += RTA_ALIGN(part->rta_len);
    }
}

static int links(char **argv)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg body;
    } ask = {{sizeof ask, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {.ifi_family = AF_UNSPEC}};
    static char answer[65536] __attribute__((aligned(8)));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    ssize_t got;

    (void)argv;
    if (fd < 0 || send(fd, &ask, sizeof ask, 0) != sizeof ask) {
        printf("netlink %s\n", verdict(-1));
        return 1;
    }
    while ((got = recv(fd, answer, sizeof answer, 0)) > 0)
        for (size_t at = 0; at + sizeof(struct nlmsghdr) <= (size_t)got;) {
            const struct nlmsghdr *head = (const void *)(answer + at);
            if (head->nlmsg_type == NLMSG_DONE)
                return 0;
            if (head->nlmsg_type != RTM_NEWLINK)
                return 1;
            show_link(answer + at, head->nlmsg_len);
            at += NLMSG_ALIGN(head->nlmsg_len);
        }
    return 1;
}

static int talk(char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)argv;
    printf("listen %s\n", verdict(bind(server, (void *)&address, length) || listen(server, 1) ? -1 : 0));
    getsockname(server, (void *)&address, &length);
    printf("connect %s\n", verdict(connect(client, (void *)&address, length)));
    address.sin_addr.s_addr = htonl(0x01010101);
    address.sin_port = htons(53);
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    printf("outside %s\n", verdict(connect(client, (void *)&address, sizeof address)));
    return 0;
}

static struct sockaddr_un abstract_name(socklen_t *length)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    memcpy(name.sun_path, "\0bivy-test", 10);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 10);
    return name;
}

#define SHARED_KEY 0x62697679

/* Puts a thing into everything that sandboxes might share, then waits for the test to end it. */
static int offer(char **argv)
{
    socklen_t length;
    struct sockaddr_un name = abstract_name(&length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)argv;
    printf("socket %s\n", verdict(bind(fd, (void *)&name, length) || listen(fd, 4) ? -1 : 0));
    printf("shm %s\n", verdict(shmget(SHARED_KEY, 4096, IPC_CREAT | 0666)));
    printf("file %s\n", verdict(open("/dev/shm/bivy-test", O_CREAT | O_RDWR | O_CLOEXEC, 0666)));
    printf("tmp %s\n", verdict(open("/tmp/bivy-test", O_CREAT | O_RDWR | O_CLOEXEC, 0666)));
    printf("key %s\n", verdict(syscall(SYS_add_key, "user", "bivy-test", "x", 1, -3 /* session keyring */)));
    say("offered");
    wait_for_ever();
}

static int look(char **argv)
{
    socklen_t length;
    struct sockaddr_un name = abstract_name(&length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others = 0;

    (void)argv;
    printf("socket %s\n", verdict(connect(fd, (void *)&name, length)));
    printf("shm %s\n", verdict(shmget(SHARED_KEY, 4096, 0)));
    printf("file %s\n", verdict(open("/dev/shm/bivy-test", O_RDWR | O_CLOEXEC)));
    printf("tmp %s\n", verdict(open("/tmp/bivy-test", O_RDWR | O_CLOEXEC)));
    printf("key %s\n", verdict(syscall(SYS_request_key, "user", "bivy-test", NULL, 0)));
    for (int pid = 1; pid < 70000; pid++)
        others += pid != 1 && pid != getpid() && !kill(pid, 0);
    printf("others %d\n", others);
    return 0;
}

/* ---- promise 10: a short probe of the syscall table ---- */

static int calls(char **argv)
{
    static const struct {
        const char *name;
        long number;
    } probes[] = {
        {"mount", SYS_mount},
        {"umount2", SYS_umount2},
        {"pivot_root", SYS_pivot_root},
        {"chroot", SYS_chroot},
        {"open_tree", SYS_open_tree},
        {"move_mount", SYS_move_mount},
        {"fsopen", SYS_fsopen},
        {"fsconfig", SYS_fsconfig},
        {"fsmount", SYS_fsmount},
        {"fspick", SYS_fspick},
        {"mount_setattr", SYS_mount_setattr},
        {"unshare", SYS_unshare},
        {"setns", SYS_setns},
        {"clone3", SYS_clone3},
        {"ptrace", SYS_ptrace},
        {"process_vm_readv", SYS_process_vm_readv},
        {"process_vm_writev", SYS_process_vm_writev},
        {"kcmp", SYS_kcmp},
        {"pidfd_getfd", SYS_pidfd_getfd},
        {"bpf", SYS_bpf},
        {"perf_event_open", SYS_perf_event_open},
        {"userfaultfd", SYS_userfaultfd},
        {"io_uring_setup", SYS_io_uring_setup},
        {"io_uring_enter", SYS_io_uring_enter},
        {"io_uring_register", SYS_io_uring_register},
        {"keyctl", SYS_keyctl},
        {"add_key", SYS_add_key},
        {"request_key", SYS_request_key},
        {"init_module", SYS_init_module},
        {"finit_module", SYS_finit_module},
        {"delete_module", SYS_delete_module},
        {"kexec_load", SYS_kexec_load},
        {"kexec_file_load", SYS_kexec_file_load},
        {"reboot", SYS_reboot},
        {"swapon", SYS_swapon},
        {"swapoff", SYS_swapoff},
        {"sethostname", SYS_sethostname},
        {"setdomainname", SYS_setdomainname},
        {"settimeofday", SYS_settimeofday},
        {"clock_settime", SYS_clock_settime},
        {"adjtimex", SYS_adjtimex},
        {"quotactl", SYS_quotactl},
        {"acct", SYS_acct},
        {"syslog", SYS_syslog},
        {"open_by_handle_at", SYS_open_by_handle_at},
        {"name_to_handle_at", SYS_name_to_handle_at},
        {"fanotify_init", SYS_fanotify_init},
        {"lookup_dcookie", SYS_lookup_dcookie},
        {"vhangup", SYS_vhangup},
        {"move_pages", SYS_move_pages},
        {"mbind", SYS_mbind},
    };

    (void)argv;
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        printf("%s %s\n", probes[i].name, verdict(syscall(probes[i].number, -1L, -1L, -1L, -1L, -1L, -1L)));
    printf("unknown %s\n", verdict(syscall(1000, 0, 0, 0)));
    return 0;
}

static int families(char **argv)
{
    static const struct {
        const char *name;
        int family, type, protocol;
    } sockets[] = {
        {"unix", AF_UNIX, SOCK_STREAM, 0},
        {"inet", AF_INET, SOCK_STREAM, 0},
        {"inet6", AF_INET6, SOCK_STREAM, 0},
        {"route", AF_NETLINK, SOCK_RAW, 0},
        {"xfrm", AF_NETLINK, SOCK_RAW, 6},
        {"audit", AF_NETLINK, SOCK_RAW, 9},
        {"packet", AF_PACKET, SOCK_RAW, 0x300},
        {"alg", 38, SOCK_SEQPACKET, 0},
        {"vsock", 40, SOCK_STREAM, 0},
        {"rds", 21, SOCK_SEQPACKET, 0},
        {"rxrpc", 33, SOCK_DGRAM, AF_INET},
        {"bluetooth", 31, SOCK_RAW, 1},
        {"xdp", 44, SOCK_RAW, 0},
        {"key", 15, SOCK_RAW, 2},
        {"can", 29, SOCK_RAW, 1},
        {"tipc", 30, SOCK_RDM, 0},
    };

    (void)argv;
    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++)
        printf("%s %s\n", sockets[i].name, verdict(socket(sockets[i].family, sockets[i].type, sockets[i].protocol)));
    return 0;
}

/* A call by the door of the 32-bit kernel interface, which no filter of 64-bit numbers sees. */
static int old_door(char **argv)
{
    long result = -1;

    (void)argv;
#ifdef __x86_64__
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory"); /* getpid */
#endif
    printf("came back %ld\n", result);
    return 0;
}

/* ---- what --explain tells ---- */

/* ARG: address, port, "connect" or "send", and so on. */
static int reach(char **argv)
{
    for (; argv[0] && argv[1] && argv[2]; argv += 3) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)size_of(argv[1]))};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = four.sin_port};
        bool is_six = inet_pton(AF_INET6, argv[0], &six.sin6_addr) == 1;
        const struct sockaddr *to = is_six ? (const struct sockaddr *)&six : (const struct sockaddr *)&four;
        socklen_t length = is_six ? sizeof six : sizeof four;
        bool sends = !strcmp(argv[2], "send");
        int fd = socket(is_six ? AF_INET6 : AF_INET, (sends ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

        if (!is_six && inet_pton(AF_INET, argv[0], &four.sin_addr) != 1)
            return 1;
        printf("%s %s\n", argv[0], verdict(sends ? sendto(fd, "x", 1, 0, to, length) : connect(fd, to, length)));
        close(fd);
    }
    return 0;
}

/* Addresses that are none: memory that is not there, lengths that do not fit, another family; and a socket that works. */
static int reach_oddly(char **argv)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0bivy-explain"};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr = {htonl(0xc0000201)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)argv;
    munmap(page + 4096, 4096);
    memcpy(page + 4096 - 8, &four, 8);
    printf("null %s\n", verdict(connect(fd, NULL, sizeof four)));
    printf("nowhere %s\n", verdict(syscall(SYS_connect, fd, 8L, sizeof four)));
    printf("half %s\n", verdict(syscall(SYS_connect, fd, page + 4096 - 8, sizeof four)));
    printf("short %s\n", verdict(syscall(SYS_connect, fd, &four, 3L)));
    printf("huge %s\n", verdict(syscall(SYS_connect, fd, &four, 0xffffffffL)));
    printf("no descriptor %s\n", verdict(connect(-1, (struct sockaddr *)&four, sizeof four)));
    printf("listening %s\n", verdict(bind(server, (struct sockaddr *)&name, sizeof name) | listen(server, 1)));
    printf("unix %s\n", verdict(connect(client, (struct sockaddr *)&name, sizeof name)));
    printf("pair %s\n", verdict(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair)));
    printf("sent %s\n", verdict(send(pair[0], "x", 1, 0)));
    return 0;
}

/* ARG...: names, asked for as the GNU C library does: it connects to the name server first, and sends nothing where that fails. */
static int ask_connected(char **argv)
{
    unsigned char answer[512];

    for (; argv[0]; argv++)
        printf("%s %d\n", argv[0], res_query(argv[0], 1 /* C_IN */, 1 /* T_A */, answer, sizeof answer));
    return 0;
}

static const unsigned char question[] = "\0\0\1\0\0\1\0\0\0\0\0\0\5right\7example\0\0\1\0\1";

/* As Go's resolver and c-ares do: the same, with the question on the heap. */
static int ask_pointed(char **argv)
{
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0xc0000201)}};
    unsigned char *volatile there = malloc(sizeof question);

    (void)argv;
    memcpy(there, question, sizeof question);
    long result = connect(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&server, sizeof server);
    printf("asked %s for %.5s\n", verdict(result), there + 13); /* which a compiler then must have put there */
    free(there);
    return 0;
}

#if defined __x86_64__
/* connect(2) with another stack pointer than there is a stack for. */
static long connect_on(uint64_t stack, long fd, const void *address, long length)
{
    long result;

    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %[stack], %%rsp\n\tsyscall\n\tmov %%rbx, %%rsp"
                     : "=a"(result)
                     : "0"((long)SYS_connect), "D"(fd), "S"(address), "d"(length), [stack] "r"(stack)
                     : "rbx", "rcx", "r11", "memory");
    return result;
}
#endif

/* Asks a name server from stacks that are none, that end soon, that nobody may read, and that hold what only looks like a question. */
static int ask_oddly(char **argv)
{
#if defined __x86_64__
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(0xc0000201)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = page + 4096;
    const uint64_t stacks[] = {0, 1, 4095, UINT64_MAX, UINT64_MAX - 4096, 0x7ffffffff000, 0x800000000000, (uintptr_t)end - 8, (uintptr_t)end};

    mprotect(end, 4096, PROT_NONE);
    memset(page, 0xff, 4096);
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        if (connect_on(stacks[i], fd, &server, sizeof server) != -ENETUNREACH)
            return 1;
    memcpy(end - sizeof question + 2, question, sizeof question - 2); /* cut short by what cannot be read */
    if (connect_on((uintptr_t)end - 1000, fd, &server, sizeof server) != -ENETUNREACH)
        return 1;
    for (size_t i = 0; i < 4096; i += sizeof end) /* where it points to nobody may look; and it is asked more often than is looked there */
        memcpy(page + i, &end, sizeof end);
    for (int i = 0; i < 100; i++)
        if (connect_on((uintptr_t)page, fd, &server, sizeof server) != -ENETUNREACH)
            return 1;
    memcpy(end - sizeof question, question, sizeof question);
    if (connect_on((uintptr_t)end - 1000, fd, &server, sizeof server) != -ENETUNREACH)
        return 1;
#endif
    (void)argv;
    say("asked");
    return 0;
}

/* ARG: a file whose pages are the address. */
static int reach_through(char **argv)
{
    int file = open(argv[0], O_RDONLY | O_CLOEXEC), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);

    if (page == MAP_FAILED)
        return 1;
    say("go");
    printf("through %s\n", verdict(connect(fd, page, sizeof(struct sockaddr_in))));
    return 0;
}

/* Puts as many descriptors under way as the user may have (unix(7), ETOOMANYREFS), and keeps them there. */
static int in_flight(char **argv)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte = 'x';

    (void)argv;
    for (;;) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
            return 1;
        do {
            struct iovec data = {&byte, 1};
            struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
            control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.header), &pair[1], sizeof(int));
            errno = 0;
            sendmsg(pair[0], &message, 0);
        } while (errno == 0);
        if (errno == ETOOMANYREFS)
            break;
        if (errno != EAGAIN)
            return 1;
    }
    say("ready");
    wait_for_ever();
}

/* Many refused calls, each another; under a name that is no text. */
static int refused_many(char **argv)
{
    (void)argv;
    prctl(PR_SET_NAME, "\n\x1b[31m\xff\"\\");
    for (long number = 2000; number < 2100; number++)
        if (syscall(number) != -1 || errno != ENOSYS)
            return 1;
    return 0;
}

/* ARG: how many refused calls, without pause; of 4 threads' worth of processes. */
static int refused_flood(char **argv)
{
    size_t most = size_of(argv[0]);

    say("ready");
    fork();
    fork();
    for (size_t i = 0; i < most; i++)
        if (syscall(SYS_unshare, 0) != -1 || errno != EPERM)
            return 1;
    return 0;
}

/* A filter with a listener of its own, which would be asked before an older one; and one without, which must not hide the older one. */
static int second_listener(char **argv)
{
    struct sock_filter ask[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_filter refuse[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_unshare},
                                   {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog one = {1, ask}, two = {4, refuse};

    (void)argv;
    printf("listener %s\n", verdict(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &one)));
    printf("filter %s\n", verdict(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &one)));
    printf("unshare %s\n", verdict(syscall(SYS_unshare, 0)));
    printf("asking filter %s\n", verdict(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &two)));
    printf("unshare again %s\n", verdict(syscall(SYS_unshare, 0)));
    return 0;
}

/* ---- bombs ---- */

static int forks(char **argv)
{
    bool ends = argv[0] && !strcmp(argv[0], "once");
    int born = 0;
    pid_t pid;

    say("ready");
    for (;;) {
        pid = fork();
        if (pid == 0) {
            if (ends)
                wait_for_ever();
            continue; /* the child forks on as well */
        }
        if (pid > 0) {
            born++;
            continue;
        }
        if (ends) {
            printf("born %d %s\n", born, verdict(-1));
            return 0;
        }
    }
}

static void eat(size_t bytes)
{
    for (size_t step = 1 << 20, done = 0; !bytes || done < bytes; done += step) {
        char *block = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            printf("ate %zu %s\n", done, verdict(-1));
            fflush(stdout);
            wait_for_ever();
        }
        memset(block, 1, step);
    }
}

static int memory(char **argv)
{
    eat(size_of(argv[0]));
    say("ate all");
    return 0;
}

/* The child eats, the parent lives: which of them the kernel kills is its choice. */
static int memory_child(char **argv)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_NAME, "glutton");
        eat(size_of(argv[0]));
        return 0;
    }
    waitpid(pid, &status, 0);
    printf("child %s %d\n", WIFSIGNALED(status) ? "killed" : "exited",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 5;
}

/* DIR: one file until the file system or the memory limit says no */
static int fill(char **argv)
{
    static char block[1 << 16];
    char path[PATH_MAX];
    size_t done = 0;
    ssize_t got;
    int fd;

    snprintf(path, sizeof path, "%s/filler", argv[0]);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    memset(block, 1, sizeof block);
    while ((got = write(fd, block, sizeof block)) > 0)
        done += (size_t)got;
    printf("filled %zu %s\n", done, verdict(-1));
    return 0;
}

/* As many descriptors as there may be, and then nothing more. */
static int descriptors(char **argv)
{
    unsigned made = 0;

    (void)argv;
    while (open("/dev/null", O_RDONLY) >= 0)
        made++;
    printf("opened %u %s\n", made, verdict(-1));
    fflush(stdout);
    wait_for_ever();
    return 0;
}

static int litter(char **argv)
{
    unsigned made = 0;
    char path[PATH_MAX];
    int fd;

    do {
        snprintf(path, sizeof path, "%s/%u", argv[0], made);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
    } while (fd >= 0 && ++made < 10000000);
    printf("littered %u %s\n", made, verdict(-1));
    return 0;
}

/* BYTES [FD]: the same bytes in every run, all values among them. 0: for ever. */
static int spew(char **argv)
{
    size_t bytes = size_of(argv[0]);
    int fd = argv[0] && argv[1] ? atoi(argv[1]) : 1;
    static unsigned char block[1 << 16];
    uint64_t random = 88172645463325252u;

    for (size_t done = 0; !bytes || done < bytes;) {
        size_t length = bytes && bytes - done < sizeof block ? bytes - done : sizeof block, put = 0;
        for (size_t i = 0; i < length; i++) { /* xorshift64 */
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            block[i] = (unsigned char)(random >> 32);
        }
        while (put < length) {
            ssize_t got = write(fd, block + put, length - put);
            if (got < 0)
                return 1;
            put += (size_t)got;
        }
        done += length;
    }
    return 0;
}

/* ---- endings ---- */

static volatile sig_atomic_t caught;

static void note(int number)
{
    caught = number;
}

/* Says which signal came, and ends with 7. */
static int polite(char **argv)
{
    struct sigaction action = {.sa_handler = note};
    sigset_t all, none;

    (void)argv;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigemptyset(&none);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    say("ready");
    while (!caught)
        sigsuspend(&none);
    printf("got %d\n", (int)caught);
    return 7;
}

/* Says which signal came, and goes on. */
static int polite_once(char **argv)
{
    polite(argv);
    wait_for_ever();
}

static int stubborn(char **argv)
{
    (void)argv;
    for (int number = 1; number <= 64; number++)
        signal(number, SIG_IGN);
    say("ready");
    wait_for_ever();
}

/* The main process ends at once; a grandchild in a session of its own keeps the pipes. */
static int orphan(char **argv)
{
    (void)argv;
    if (fork() == 0) {
        setsid();
        signal(SIGHUP, SIG_IGN);
        wait_for_ever();
    }
    say("parent is done");
    return 4;
}

static int ready(char **argv)
{
    (void)argv;
    say("ready");
    wait_for_ever();
}

/* Spins, to be throttled. ARG: milliseconds of processor time. */
static int burn(char **argv)
{
    clock_t until = (clock_t)size_of(argv[0]) * (CLOCKS_PER_SEC / 1000);

    while (clock() < until)
        ;
    return 0;
}

/* How many words, how many bytes, and their hash, as the test computes it. */
static int count(char **argv)
{
    size_t words = 0, bytes = 0;
    uint64_t hash = 0xcbf29ce484222325u;

    for (; argv[words]; words++)
        for (const unsigned char *p = (const unsigned char *)argv[words]; *p; p++, bytes++)
            hash = (hash ^ *p) * 0x100000001b3u;
    printf("words %zu bytes %zu hash %016llx\n", words, bytes, (unsigned long long)hash);
    return 0;
}

static int epipe(char **argv)
{
    static char block[4096];

    (void)argv;
    signal(SIGPIPE, SIG_IGN);
    say("ready");
    while (write(1, block, sizeof block) > 0)
        ;
    dprintf(2, "stdout %s\n", verdict(-1));
    return 6;
}

/* ---- wait: processes that each wait in a way of its own, for the autopsy ---- */

static int pipe_ends[2], sockets[2]; /* shared by all of them: nothing ever comes */

static void wait_in_poll(void)
{
    struct pollfd fds[3] = {{-1, POLLIN, 0}, {sockets[0], POLLIN, 0}, {pipe_ends[0], POLLIN, 0}};

    poll(fds, 3, -1);
}

static void wait_in_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(pipe_ends[0], &set);
    FD_SET(sockets[0], &set);
    select(64, &set, NULL, NULL, NULL);
}

static void wait_in_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = epoll_create1(0);

    epoll_ctl(fd, EPOLL_CTL_ADD, sockets[0], &event);
    epoll_ctl(fd, EPOLL_CTL_ADD, pipe_ends[0], &event);
    epoll_wait(fd, &event, 1, -1);
}

static void *read_pipe(void *unused)
{
    char byte;

    (void)unused;
    return read(pipe_ends[0], &byte, 1) < 0 ? NULL : unused;
}

static void wait_in_threads(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, read_pipe, NULL) == 0)
        pthread_join(thread, NULL);
}

static void *spin(void *unused)
{
    for (volatile unsigned turn = 0;; turn++)
        ;
    return unused;
}

/* So many threads, and the last of them has something to do. */
static void wait_for_one_of(int threads)
{
    pthread_t thread;

    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread, NULL, read_pipe, NULL))
            return;
    if (pthread_create(&thread, NULL, spin, NULL) == 0)
        read_pipe(NULL);
}

static void wait_for_one_of_many(void)
{
    wait_for_one_of(100);
}

static void wait_for_one_of_a_dozen(void)
{
    wait_for_one_of(12);
}

/* Where an ordinary user may not look, as with a program that he may not read. */
static void wait_in_private(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    read_pipe(NULL);
}

static void wait_for_room(void)
{
    static char block[4096];
    int own[2];

    while (pipe(own) == 0 && write(own[1], block, sizeof block) > 0)
        while (write(own[1], block, sizeof block) > 0)
            ;
}

static void wait_for_lock(void)
{
    int one = open("/tmp/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600), two = open("/tmp/lock", O_RDWR | O_CLOEXEC);

    flock(one, LOCK_EX);
    flock(two, LOCK_EX);
}

static void wait_for_caller(void)
{
    char byte;

    while (read(0, &byte, 1) > 0)
        ;
}

static void wait_for_peer(void)
{
    char byte;

    recv(sockets[0], &byte, 1, 0);
}

static void wait_for_terminal(void)
{
    char name[64], byte;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal = -1;

    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0)
        terminal = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (read(terminal, &byte, 1) < 0)
        dprintf(2, "terminal %s\n", verdict(-1));
}

static void wait_for_child(void)
{
    if (fork() == 0)
        wait_for_ever();
    wait(NULL);
}

/* What a thread does that takes a lock twice, or waits for a queue into which nobody puts anything. */
static void wait_for_itself(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&mutex);
}

static void wait_stopped(void)
{
    raise(SIGSTOP);
}

/* Every name that it has is a stranger's. */
static void wait_with_odd_names(void)
{
    static char self[] = "/proc/self/exe", odd[4097];
    char *argv[3] = {self, odd, NULL};

    for (int i = 0; i < 4096; i++)
        odd[i] = "\n\033[31m\a\"\\\x9b\xff,"[i % 12];
    execv(argv[0], argv); /* main() knows it by the newline */
}

static int odd_names(void)
{
    char path[300] = "/tmp/\n\033]0;owned\a\"\xc3";

    prctl(PR_SET_NAME, ") R 1 2\n\033\"\xff", 0, 0, 0);
    memset(path + strlen(path), '\001', 200);
    mkfifo(path, 0600);
    say("odd");
    open(path, O_RDONLY | O_CLOEXEC);
    return 0;
}

static void *cover_arguments(void *argument)
{
    int fd = open("victim", O_RDONLY | O_CLOEXEC);
    void *page = (void *)((uintptr_t)argument & ~(uintptr_t)4095);

    if (mmap(page, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
        say(verdict(-1));
    say("go");
    wait_for_ever();
}

/* Puts a file of the workspace where its command line was: who reads that asks the file's server. Another thread does, for the first one's
 * stack may be in the same page. */
static int trap(char **argv)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, cover_arguments, argv[-2]) == 0)
        wait_for_ever();
    return 1;
}

static int wait_act(char **argv)
{
    static const struct {
        const char *name;
        void (*wait)(void);
    } kinds[] = {
        {"poll", wait_in_poll},      {"select", wait_in_select}, {"epoll", wait_in_epoll},       {"threads", wait_in_threads},
        {"room", wait_for_room},     {"lock", wait_for_lock},    {"caller", wait_for_caller},    {"peer", wait_for_peer},
        {"tty", wait_for_terminal},  {"child", wait_for_child},  {"stopped", wait_stopped},      {"odd", wait_with_odd_names},
        {"signal", wait_for_ever},   {"private", wait_in_private}, {"itself", wait_for_itself},
        {"many", wait_for_one_of_many}, {"dozen", wait_for_one_of_a_dozen},
    };

    if (pipe(pipe_ends) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
        return 1;
    for (; *argv; argv++)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (!strcmp(kinds[i].name, *argv) && fork() == 0) {
                prctl(PR_SET_NAME, *argv, 0, 0, 0);
                kinds[i].wait();
                dprintf(2, "%s: it did not wait: %s\n", *argv, verdict(-1));
                _exit(1);
            }
    say("waiting");
    wait_for_ever();
}

int main(int argc, char **argv, char **env)
{
    static const struct {
        const char *name;
        int (*act)(char **argv);
    } acts[] = {
        {"namespaces", namespaces},
        {"writes", writes},
        {"escape", escape},
        {"peek", peek},
        {"hunt", hunt},
        {"spoil", spoil},
        {"signal-one", signal_one},
        {"starve-one", starve_one},
        {"links", links},
        {"talk", talk},
        {"offer", offer},
        {"look", look},
        {"calls", calls},
        {"families", families},
        {"old-door", old_door},
        {"reach", reach},
        {"reach-oddly", reach_oddly},
        {"ask-connected", ask_connected},
        {"ask-pointed", ask_pointed},
        {"ask-oddly", ask_oddly},
        {"reach-through", reach_through},
        {"in-flight", in_flight},
        {"refused-many", refused_many},
        {"refused-flood", refused_flood},
        {"second-listener", second_listener},
        {"forks", forks},
        {"memory", memory},
        {"memory-child", memory_child},
        {"fill", fill},
        {"litter", litter},
        {"descriptors", descriptors},
        {"spew", spew},
        {"polite", polite},
        {"polite-once", polite_once},
        {"stubborn", stubborn},
        {"orphan", orphan},
        {"ready", ready},
        {"burn", burn},
        {"count", count},
        {"epipe", epipe},
        {"wait", wait_act},
        {"trap", trap},
    };

    setvbuf(stdout, NULL, _IOLBF, 0); /* what was seen before the end must not be lost */
    if (argc > 1 && argv[1][0] == '\n')
        return odd_names();
    if (argc > 1 && !strcmp(argv[1], "state"))
        return state(argv + 2, env);
    for (size_t i = 0; argc > 1 && i < sizeof acts / sizeof *acts; i++)
        if (!strcmp(acts[i].name, argv[1]))
            return acts[i].act(argv + 2);
    fputs("payload: no such act\n", stderr);
    return 120;
}
