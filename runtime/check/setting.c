#include "setting.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sys.h"

static bool there(const char *path)
{
    return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

/* The value of "container=" in pid 1's environment, which only its owner may read (systemd's "Container Interface"). */
static void announced(char *value, size_t size)
{
    char text[16 * 1024];
    ssize_t got = sys_read_file(AT_FDCWD, "/proc/1/environ", text, sizeof text);

    *value = '\0';
    for (ssize_t at = 0; at < got; at += (ssize_t)strlen(text + at) + 1)
        if (!strncmp(text + at, "container=", 10)) {
            snprintf(value, size, "%s", text + at + 10);
            return;
        }
    if (sys_read_file(AT_FDCWD, "/run/systemd/container", value, size) < 0)
        *value = '\0';
    value[strcspn(value, "\n")] = '\0';
}

static void find_container(struct setting *setting)
{
    SYS_CLOSES int ns = SYS_AGAIN(open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
    char cgroup[4096], name[64];
    struct setting_hints hints = {.dockerenv = there("/.dockerenv"), .containerenv = there("/run/.containerenv"), .announced = name};

    announced(name, sizeof name);
    if (sys_read_file(AT_FDCWD, "/proc/1/cgroup", cgroup, sizeof cgroup) > 0)
        hints.cgroup = cgroup;
    if (ns >= 0) {
        hints.pid = sys_namespace(ns, "pid");
        hints.uts = sys_namespace(ns, "uts");
        hints.ipc = sys_namespace(ns, "ipc");
    }
    setting->container = setting_container(&hints, &setting->where);
}

static bool filtered(void)
{
    char text[8 * 1024];
    const char *line = sys_read_file(AT_FDCWD, "/proc/self/status", text, sizeof text) > 0 ? strstr(text, "\nSeccomp:\t") : NULL;

    return line && line[10] != '0';
}

/* rootfs/build of this bivy's: above the program in its source tree, or where it was installed to. Root will be told to start it, so one
 * that somebody else could have put there does not count. */
static void find_build(const char *program, char *build, size_t size)
{
    static const char *const places[] = {"rootfs/build", "share/bivy/rootfs/build"};
    char above[sizeof ((struct setting *)0)->build], path[sizeof above + 32];
    struct stat own, found;

    snprintf(build, size, "rootfs/build");
    snprintf(above, sizeof above, "%s", program);
    if (!setting_plain(program) || stat(program, &own) < 0)
        return;
    for (char *slash; (slash = strrchr(above, '/')) && slash > above;) {
        *slash = '\0';
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            snprintf(path, sizeof path, "%s/%s", above, places[i]);
            if (strlen(path) < size && stat(path, &found) == 0 && S_ISREG(found.st_mode) && found.st_mode & 0111 && !(found.st_mode & 022) &&
                (found.st_uid == 0 || found.st_uid == own.st_uid)) {
                snprintf(build, size, "%s", path);
                return;
            }
        }
    }
}

static void find_program(struct setting *setting)
{
    char path[sizeof setting->program] = "";
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);

    path[length < 0 ? 0 : length] = '\0';
    setting_program(path, setting->program, sizeof setting->program);
    find_build(path, setting->build, sizeof setting->build);
}

/* Whose limits and cgroup whoever starts bivy again will have: not those of a program between, which ends with this bivy. */
static pid_t find_caller(void)
{
    static const char *const between[] = {"sudo", "doas", "su", "runuser", "timeout", "time", "strace"};
    char path[32], text[8 * 1024];
    pid_t caller = getppid();

    for (int most = 8; most > 0; most--) {
        const char *line;
        bool passed = false;
        snprintf(path, sizeof path, "/proc/%d/status", (int)caller);
        if (sys_read_file(AT_FDCWD, path, text, sizeof text) <= 0 || strncmp(text, "Name:\t", 6) || !(line = strstr(text, "\nPPid:\t")))
            break;
        for (size_t i = 0; i < sizeof between / sizeof between[0]; i++)
            passed = passed || (strcspn(text + 6, "\n") == strlen(between[i]) && !strncmp(text + 6, between[i], strlen(between[i])));
        long parent = strtol(line + 7, NULL, 10);
        if (!passed || parent <= 1)
            break;
        caller = (pid_t)parent;
    }
    return caller;
}

void setting_read(bool privileged, struct setting *setting)
{
    char text[8 * 1024], id[64] = "", like[128] = "";
    struct utsname kernel;
    bool windows = false;

    *setting = (struct setting){.uid = geteuid(), .gid = getegid(), .caller = find_caller(), .where = privileged ? AT_ROOT : AT_USER};
    if (uname(&kernel) == 0) {
        snprintf(setting->kernel, sizeof setting->kernel, "%.79s", kernel.release);
        windows = strstr(kernel.release, "icrosoft"); /* "...-microsoft-standard-WSL2", once "...-Microsoft" */
    }
    /* A kernel of one's own has another name; what starts Windows' programs is there all the same. */
    if (windows || there("/proc/sys/fs/binfmt_misc/WSLInterop") || there("/run/WSL") ||
        (sys_read_file(AT_FDCWD, "/proc/version", text, sizeof text) > 0 && strstr(text, "icrosoft")))
        setting->where |= AT_WSL;
    if (sys_read_file(AT_FDCWD, "/etc/os-release", text, sizeof text) > 0 ||
        sys_read_file(AT_FDCWD, "/usr/lib/os-release", text, sizeof text) > 0) {
        setting_release(text, "PRETTY_NAME", setting->distribution, sizeof setting->distribution);
        setting_release(text, "ID", id, sizeof id);
        setting_release(text, "ID_LIKE", like, sizeof like);
        setting->where |= setting_distribution(id, like);
    }
    if (there("/run/systemd/system"))
        setting->where |= AT_SYSTEMD;
    if (filtered())
        setting->where |= AT_FILTERED;
    find_program(setting);
    find_container(setting);
}
