#include "setting.h"

#include <stdio.h>
#include <string.h>

void setting_release(const char *text, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);

    *value = '\0';
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) || line[length] != '=')
            continue;
        const char *from = line + length + 1;
        size_t span = strcspn(from, "\n");
        if (span >= 2 && (*from == '"' || *from == '\'') && from[span - 1] == *from) {
            from++;
            span -= 2;
        }
        snprintf(value, size, "%.*s", span < size ? (int)span : (int)size - 1, from);
        return;
    }
}

bool setting_plain(const char *path)
{
    return *path == '/' && !path[strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./")];
}

void setting_program(const char *path, char *program, size_t size)
{
    static const char *const everybodys[] = {"/usr/local/bin/bivy", "/usr/bin/bivy", "/bin/bivy", "/usr/local/sbin/bivy", "/usr/sbin/bivy"};
    bool whole = setting_plain(path) && strlen(path) < size;

    for (size_t i = 0; i < sizeof everybodys / sizeof everybodys[0]; i++)
        whole = whole && strcmp(path, everybodys[i]);
    snprintf(program, size, "%s", whole ? path : "bivy");
}

static bool word(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; *at;) {
        size_t span = strcspn(at, " ");
        if (span == length && !memcmp(at, name, length))
            return true;
        at += span;
        at += strspn(at, " ");
    }
    return false;
}

unsigned setting_distribution(const char *id, const char *like)
{
    static const struct {
        const char *name;
        unsigned bits;
    } kin[] = {
        /* The nearest first: Ubuntu says that it is like Debian. */
        {"ubuntu", AT_UBUNTU | AT_DEBIAN}, {"debian", AT_DEBIAN}, {"alpine", AT_ALPINE},
        {"fedora", AT_FEDORA},             {"rhel", AT_FEDORA},   {"centos", AT_FEDORA},
    };

    for (size_t i = 0; i < sizeof kin / sizeof kin[0]; i++)
        if (!strcmp(id, kin[i].name))
            return kin[i].bits;
    for (size_t i = 0; i < sizeof kin / sizeof kin[0]; i++)
        if (word(like, kin[i].name))
            return kin[i].bits;
    return 0;
}

/* include/linux/proc_ns.h: the machine's first namespaces have fixed inodes. */
#define FIRST_PID 0xeffffffcu
#define FIRST_UTS 0xeffffffeu
#define FIRST_IPC 0xefffffffu

static const char *named(const char *name, unsigned *where)
{
    static const struct {
        const char *name, *shown;
        unsigned bits;
    } kinds[] = {
        {"docker", "docker", AT_DOCKER},     {"podman", "podman", AT_PODMAN},   {"libpod", "podman", AT_PODMAN},
        {"kube", "kubernetes", AT_KUBERNETES}, {"lxc", "lxc", 0},               {"systemd-nspawn", "systemd-nspawn", 0},
        {"containerd", "containerd", 0},     {"oci", "oci", 0},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strstr(name, kinds[i].name)) {
            *where |= AT_CONTAINER | kinds[i].bits;
            return kinds[i].shown;
        }
    return NULL;
}

const char *setting_container(const struct setting_hints *hints, unsigned *where)
{
    bool first = hints->pid == FIRST_PID && hints->uts == FIRST_UTS && hints->ipc == FIRST_IPC;
    const char *shown = NULL;

    if (first || hints->pid == 0)
        return NULL;
    if (hints->announced && *hints->announced && !strstr(hints->announced, "wsl"))
        shown = named(hints->announced, where);
    if (!shown && hints->cgroup)
        shown = named(hints->cgroup, where);
    if (!shown && hints->containerenv)
        shown = named("podman", where);
    if (!shown && hints->dockerenv)
        shown = named("docker", where);
    if (!shown && hints->announced && *hints->announced && !strstr(hints->announced, "wsl")) {
        *where |= AT_CONTAINER;
        shown = "container";
    }
    return shown;
}
