/*
 * Pid 1 of the test machine: makes an ordinary system out of the host's tree, runs one command as a service would
 * be run, passes its streams and its exit status out, and stops.
 *
 *   initramfs --modules--> virtiofs "root" (host /, read-only) + tmpfs --overlay--> / ; proc sys dev cgroup run
 *   request file (NUL-terminated key=value records, written by `run`) --> the command, in test.slice/vm.service
 *   command --pipes--> pump --> virtio-serial ports 1 (stdout) and 2 (stderr)
 *   port 3: control, one line each: "ready", "start", then "exit N" or "fail REASON"
 *
 * `run` kills the machine when it has read the exit line, so that line goes out last: after both streams were
 * taken by the host and the result directory was synced.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SERVICE "/sys/fs/cgroup/test.slice/vm.service"

enum { PORT_STDOUT = 1, PORT_STDERR = 2, PORT_CONTROL = 3 };

enum {
    PORT_DEADLINE_MS = 30000, /* the host answers the port handshake in milliseconds, on a loaded host in seconds */
    KILL_DEADLINE_MS = 5000,  /* what SIGKILL has not ended by then is stuck in the kernel and is left behind */
};

/* What `run` asks for; strings point into the request file's buffer. */
struct request {
    const char *cwd, *modules, *release, *out;
    uid_t uid;
    gid_t gid;
    char **argv, **envp;
};

static int control = -1;

static void __attribute__((noreturn)) stop(void)
{
    reboot(RB_AUTOBOOT); /* qemu runs with -no-reboot, so this ends it on every machine type */
    for (;;)
        pause();
}

/* Tells the host why there is no machine, on the control port or, before that is open, on the console. */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (control >= 0)
        dprintf(control, "fail %s\n", what);
    int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    dprintf(console >= 0 ? console : STDERR_FILENO, "vm init: %s\n", what);
    stop();
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    int status = n < 0 ? -errno : 0;
    close(fd);
    return status;
}

static void must_write(const char *path, const char *text)
{
    int status = write_file(path, text);
    if (status < 0)
        fail("write \"%s\" to %s: %s", text, path, strerror(-status));
}

static void must_mkdir(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        fail("mkdir %s: %s", path, strerror(errno));
}

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    if (mount(source, target, type, flags, data) < 0)
        fail("mount %s (%s) on %s: %s", source, type ? type : "bind", target, strerror(errno));
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Milliseconds left until `deadline`, never negative: what poll() wants. */
static int left_ms(long long deadline)
{
    long long left = deadline - now_ms();
    return left > 0 ? (int)left : 0;
}

/* ---- modules ---- */

/* `run` packed /modules.list in load order, dependencies first. */
static void load_modules(void)
{
    FILE *list = fopen("/modules.list", "re");
    if (!list)
        fail("/modules.list: %s", strerror(errno));
    char name[256];
    while (fgets(name, sizeof name, list)) {
        name[strcspn(name, "\n")] = '\0';
        char path[300];
        snprintf(path, sizeof path, "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            fail("module %s: %s", path, strerror(errno));
        if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
            fail("load module %s: %s", name, strerror(errno));
        close(fd);
    }
    fclose(list);
}

/* ---- ports ---- */

/* The driver makes the port's node when the host has announced it: wait for that on /dev itself. */
static int open_port(int number)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/vport0p%d", number);
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0 || inotify_add_watch(watch, "/dev", IN_CREATE) < 0)
        fail("watch /dev: %s", strerror(errno));
    long long deadline = now_ms() + PORT_DEADLINE_MS;
    int fd;
    while ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0) {
        struct pollfd event = {.fd = watch, .events = POLLIN};
        if (left_ms(deadline) == 0 || poll(&event, 1, left_ms(deadline)) == 0)
            fail("%s did not appear: %s", path, strerror(errno));
        char events[4096];
        while (read(watch, events, sizeof events) > 0)
            continue;
    }
    close(watch);
    return fd;
}

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vdprintf(control, format, args);
    va_end(args);
}

/* ---- the request ---- */

static char *slurp(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        fail("request %s: %s", path, strerror(errno));
    size_t want = (size_t)st.st_size;
    char *text = malloc(want + 1);
    if (!text)
        fail("request %s: %s", path, strerror(ENOMEM));
    size_t have = 0;
    while (have < want) {
        ssize_t n = read(fd, text + have, want - have);
        if (n <= 0)
            fail("request %s: read %zu of %zu bytes", path, have, want);
        have += (size_t)n;
    }
    text[have] = '\0';
    close(fd);
    *size = have;
    return text;
}

static void append(char ***list, size_t *count, char *item)
{
    *list = realloc(*list, (*count + 2) * sizeof **list);
    if (!*list)
        fail("request: %s", strerror(ENOMEM));
    (*list)[(*count)++] = item;
    (*list)[*count] = NULL;
}

static struct request read_request(const char *path)
{
    struct request request = {0};
    size_t size, argc = 0, envc = 0;
    char *text = slurp(path, &size);
    for (char *record = text; record < text + size; record += strlen(record) + 1) {
        char *value = strchr(record, '=');
        if (!value)
            fail("request: record \"%.60s\" has no '='", record);
        value++;
        size_t key = (size_t)(value - record - 1);
#define IS(name) (key == sizeof(name) - 1 && memcmp(record, name, key) == 0)
        if (IS("arg"))
            append(&request.argv, &argc, value);
        else if (IS("env"))
            append(&request.envp, &envc, value);
        else if (IS("cwd"))
            request.cwd = value;
        else if (IS("uid"))
            request.uid = (uid_t)strtoul(value, NULL, 10);
        else if (IS("gid"))
            request.gid = (gid_t)strtoul(value, NULL, 10);
        else if (IS("modules"))
            request.modules = value;
        else if (IS("release"))
            request.release = value;
        else if (IS("out"))
            request.out = value;
        else
            fail("request: unknown record \"%.60s\"", record);
#undef IS
    }
    if (!request.argv || !request.envp || !request.cwd || !request.modules || !request.release)
        fail("request %s: incomplete", path);
    return request;
}

/* The value of `name=` on the kernel command line. */
static const char *boot_option(const char *name)
{
    static char line[4096];
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof line - 1);
    if (n < 0)
        fail("/proc/cmdline: %s", strerror(errno));
    close(fd);
    line[n] = '\0';
    size_t length = strlen(name);
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
        if (strncmp(word, name, length) == 0 && word[length] == '=')
            return word + length + 1;
    fail("no %s= on the kernel command line", name);
}

/* ---- the system ---- */

static void enter_host_tree(void)
{
    must_mkdir("/lower", 0755);
    must_mkdir("/upper", 0755);
    must_mkdir("/new", 0755);
    must_mount("root", "/lower", "virtiofs", MS_RDONLY, NULL);
    must_mount("tmpfs", "/upper", "tmpfs", 0, "mode=755,size=75%");
    must_mkdir("/upper/data", 0755);
    must_mkdir("/upper/work", 0755);
    must_mount("overlay", "/new", "overlay", 0, "lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work,volatile");

    /* The overlay holds its layers by itself: without these two names nothing inside can reach below it. */
    if (umount2("/lower", MNT_DETACH) < 0 || umount2("/upper", MNT_DETACH) < 0)
        fail("detach the layers: %s", strerror(errno));

    /* The kernel shares its root with pid 1, so this chroot is also what finds /sbin/modprobe for request_module. */
    if (chdir("/new") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        fail("enter the host tree: %s", strerror(errno));
}

static void mount_system(void)
{
    static const struct {
        const char *source, *target, *type, *data;
        unsigned long flags;
        mode_t make; /* a directory to be made first, 0 if the tree or the file system has it */
    } table[] = {
        {"proc", "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0},
        {"sysfs", "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0},
        {"devtmpfs", "/dev", "devtmpfs", "mode=755", MS_NOSUID, 0},
        {"devpts", "/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=000", MS_NOSUID | MS_NOEXEC, 0755},
        {"tmpfs", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, 0755},
        {"mqueue", "/dev/mqueue", "mqueue", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
        {"tmpfs", "/run", "tmpfs", "mode=755", MS_NOSUID | MS_NODEV, 0},
        {"tmpfs", "/run/lock", "tmpfs", "mode=1777,size=5m", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0755},
        {"securityfs", "/sys/kernel/security", "securityfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0},
        /* as systemd mounts it */
        {"cgroup2", "/sys/fs/cgroup", "cgroup2", "nsdelegate,memory_recursiveprot",
         MS_NOSUID | MS_NODEV | MS_NOEXEC, 0},
    };
    for (size_t i = 0; i < COUNT(table); i++) {
        if (table[i].make)
            must_mkdir(table[i].target, table[i].make);
        must_mount(table[i].source, table[i].target, table[i].type, table[i].flags, table[i].data);
    }
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},
        {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"},
    };
    for (size_t i = 0; i < COUNT(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            fail("link %s: %s", links[i][1], strerror(errno));
    if (chmod("/dev/fuse", 0666) < 0) /* udev's part */
        fail("chmod /dev/fuse: %s", strerror(errno));

    /* systemd shares every mount: what fails to make its own private is to show here. */
    must_mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL);
}

static void settle_kernel(void)
{
    /* Debian's own sysctl.d; the kernel's built-in values are laxer and would hide refusals met in practice. */
    static const char *const table[][2] = {
        {"/proc/sys/fs/protected_hardlinks", "1"}, {"/proc/sys/fs/protected_symlinks", "1"},
        {"/proc/sys/fs/protected_fifos", "1"},     {"/proc/sys/fs/protected_regular", "2"},
        {"/proc/sys/kernel/pid_max", "4194304"},
    };
    for (size_t i = 0; i < COUNT(table); i++)
        must_write(table[i][0], table[i][1]);
    if (sethostname("bivy-vm", 7) < 0)
        fail("sethostname: %s", strerror(errno));

    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
        fail("lo up: %s", strerror(errno));
    close(fd);
    must_write("/proc/self/oom_score_adj", "-1000"); /* the command may eat all memory, the harness goes on */
}

/* The tree systemd makes for a service: nothing but kernel threads in the root, controllers handed down to the leaf. */
static void make_cgroups(uid_t uid, gid_t gid)
{
    static const char controllers[] = "+memory +cpu +pids";
    must_write("/sys/fs/cgroup/cgroup.subtree_control", controllers);
    must_mkdir("/sys/fs/cgroup/init.scope", 0755);
    must_write("/sys/fs/cgroup/init.scope/cgroup.procs", "1");
    must_mkdir("/sys/fs/cgroup/test.slice", 0755);
    must_write("/sys/fs/cgroup/test.slice/cgroup.subtree_control", controllers);
    must_mkdir(SERVICE, 0755);
    if (uid == 0)
        return;
    /* Delegate=yes: the service owns its subtree, not its own limits. */
    static const char *const handed[] = {SERVICE, SERVICE "/cgroup.procs", SERVICE "/cgroup.threads",
                                         SERVICE "/cgroup.subtree_control"};
    for (size_t i = 0; i < COUNT(handed); i++)
        if (chown(handed[i], uid, gid) < 0)
            fail("chown %s: %s", handed[i], strerror(errno));
}

static void bind_modules(const struct request *request)
{
    char target[PATH_MAX];
    snprintf(target, sizeof target, "/lib/modules/%s", request->release);
    must_mkdir("/lib/modules", 0755);
    must_mkdir(target, 0755);
    must_mount(request->modules, target, NULL, MS_BIND, NULL);
}

/* ---- the command ---- */

static void __attribute__((noreturn)) become_command(const struct request *request, int out, int err)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 ||
        syscall(SYS_close_range, 3, ~0U, 0) < 0)
        _exit(125);

    /* as systemd sets them: many descriptors for those who ask, few for those who use select() */
    struct rlimit files = {.rlim_cur = 1024, .rlim_max = 524288};
    setrlimit(RLIMIT_NOFILE, &files);
    umask(022);
    const char *step = "enter " SERVICE;
    int status = write_file("/proc/self/oom_score_adj", "0");
    if (status == 0)
        status = write_file(SERVICE "/cgroup.procs", "0");
    errno = -status;
    if (status == 0) {
        step = "change ids";
        if (setgroups(0, NULL) < 0 || setresgid(request->gid, request->gid, request->gid) < 0 ||
            setresuid(request->uid, request->uid, request->uid) < 0)
            status = -1;
    }
    if (status == 0) {
        step = request->cwd;
        status = chdir(request->cwd);
    }
    if (status < 0) {
        dprintf(2, "vm init: %s: %s\n", step, strerror(errno));
        _exit(125);
    }
    environ = request->envp;
    execvp(request->argv[0], request->argv);
    int error = errno;
    dprintf(2, "vm init: %s: %s\n", request->argv[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

/* One stream on its way out: what was read from the command and not yet taken by the host. */
struct pump {
    int from, to;
    size_t start, end;
    bool ended, sent; /* no more to read; something was written since the port was last seen empty */
    char buffer[32768];
};

static struct pump pumps[2];

/* Reads when empty, writes when not; the port takes one buffer at a time and polls writable when it is free. */
static void pump_poll(struct pump *pump, struct pollfd event[2])
{
    bool empty = pump->start == pump->end;
    event[0] = (struct pollfd){.fd = empty && !pump->ended ? pump->from : -1, .events = POLLIN};
    event[1] = (struct pollfd){.fd = empty && !pump->sent ? -1 : pump->to, .events = POLLOUT};
}

static void pump_move(struct pump *pump, const struct pollfd event[2])
{
    if (event[1].revents & POLLOUT)
        pump->sent = false;
    else if (event[1].revents)
        fail("the host closed a stream's port");
    if (event[0].revents) {
        ssize_t n = read(pump->from, pump->buffer, sizeof pump->buffer);
        if (n > 0) {
            pump->start = 0;
            pump->end = (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            pump->ended = true;
        }
    }
    if (pump->start < pump->end && !pump->sent) {
        ssize_t n = write(pump->to, pump->buffer + pump->start, pump->end - pump->start);
        if (n > 0) {
            pump->start += (size_t)n;
            pump->sent = true;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            fail("write to a stream's port: %s", strerror(errno));
        }
    }
}

static bool pumps_idle(void)
{
    for (size_t i = 0; i < COUNT(pumps); i++)
        if (pumps[i].start < pumps[i].end || pumps[i].sent)
            return false;
    return true;
}

/* Reaps whatever ended; true when `pid` was among it, its wait status then in *status. */
static bool reap(pid_t pid, int *status)
{
    bool seen = false;
    int ended;
    pid_t child;
    while ((child = waitpid(-1, &ended, WNOHANG)) > 0)
        if (child == pid) {
            *status = ended;
            seen = true;
        }
    return seen;
}

static bool service_populated(void)
{
    char text[256] = "";
    int fd = open(SERVICE "/cgroup.events", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n <= 0 || !strstr(text, "populated 0");
}

/*
 * One turn of the only loop: streams, deaths, and with `events` >= 0 changes of the service's cgroup. Returns false
 * when nothing happened within `timeout` ms (-1: no limit).
 */
static bool turn(int deaths, int events, int timeout)
{
    struct pollfd fds[6];
    pump_poll(&pumps[0], &fds[0]);
    pump_poll(&pumps[1], &fds[2]);
    fds[4] = (struct pollfd){.fd = deaths, .events = POLLIN};
    fds[5] = (struct pollfd){.fd = events, .events = POLLPRI};
    int ready = poll(fds, COUNT(fds), timeout);
    if (ready < 0 && errno != EINTR)
        fail("poll: %s", strerror(errno));
    if (ready <= 0)
        return false;
    pump_move(&pumps[0], &fds[0]);
    pump_move(&pumps[1], &fds[2]);
    if (fds[4].revents) {
        struct signalfd_siginfo info;
        while (read(deaths, &info, sizeof info) > 0)
            continue;
    }
    if (fds[5].revents) {
        char text[256]; /* a read re-arms POLLPRI */
        if (pread(events, text, sizeof text, 0) < 0)
            fail("read cgroup.events: %s", strerror(errno));
    }
    return true;
}

static int run_command(const struct request *request)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    int deaths = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    int out[2], err[2];
    if (deaths < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        fail("descriptors for the command: %s", strerror(errno));
    /* so that the command may open /dev/stdout anew under its own ids */
    if (fchown(out[1], request->uid, request->gid) < 0 || fchown(err[1], request->uid, request->gid) < 0)
        fail("chown of the streams: %s", strerror(errno));

    say("start\n");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0)
        become_command(request, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    pumps[0].from = out[0];
    pumps[1].from = err[0];
    for (size_t i = 0; i < COUNT(pumps); i++) {
        if (fcntl(pumps[i].from, F_SETFL, O_NONBLOCK) < 0 || fcntl(pumps[i].to, F_SETFL, O_NONBLOCK) < 0)
            fail("O_NONBLOCK: %s", strerror(errno));
    }

    int status = 0;
    while (!reap(pid, &status))
        turn(deaths, -1, -1);

    /* As a service manager does: the main process has ended, so the rest of its cgroup goes too. */
    int events = open(SERVICE "/cgroup.events", O_RDONLY | O_CLOEXEC);
    if (events < 0)
        fail("%s/cgroup.events: %s", SERVICE, strerror(errno));
    must_write(SERVICE "/cgroup.kill", "1");
    long long deadline = now_ms() + KILL_DEADLINE_MS;
    int ignored;
    while (service_populated() && left_ms(deadline) > 0) {
        turn(deaths, events, left_ms(deadline));
        reap(0, &ignored);
    }

    /* The pipes hold what the dead have written. Without limit: a slow reader outside is no reason to lose bytes. */
    while (turn(deaths, -1, pumps_idle() ? 0 : -1))
        reap(0, &ignored);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(void)
{
    must_mkdir("/proc", 0755);
    must_mkdir("/dev", 0755);
    must_mount("proc", "/proc", "proc", 0, NULL);
    must_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    char request_path[PATH_MAX];
    snprintf(request_path, sizeof request_path, "%s", boot_option("bivy.request"));

    pumps[0].to = open_port(PORT_STDOUT);
    pumps[1].to = open_port(PORT_STDERR);
    int port = open_port(PORT_CONTROL);
    control = port;
    say("ready\n"); /* waits until the host's end is open, and those of ports 1 and 2 were opened before it */

    umount2("/proc", MNT_DETACH);
    umount2("/dev", MNT_DETACH);
    enter_host_tree();
    struct request request = read_request(request_path);
    mount_system();
    settle_kernel();
    make_cgroups(request.uid, request.gid);
    bind_modules(&request);
    if (request.out)
        must_mount("out", request.out, "virtiofs", MS_NOSUID | MS_NODEV, NULL);

    int status = run_command(&request);
    if (request.out) {
        int fd = open(request.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || syncfs(fd) < 0)
            fail("sync %s: %s", request.out, strerror(errno));
    }
    say("exit %d\n", status);
    for (;;)
        pause(); /* the host ends the machine */
}
