/* setting: where bivy is run: which distribution, in a container or not, under systemd or not, as whom. It chooses the words of a mend,
 * and decides nothing else. */
#ifndef BIVY_SETTING_H
#define BIVY_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bits of setting.where. */
enum {
    AT_ROOT = 1 << 0, /* may write any id map and mount here */
    AT_USER = 1 << 1,
    AT_DOCKER = 1 << 2, /* each of these three with AT_CONTAINER */
    AT_PODMAN = 1 << 3,
    AT_KUBERNETES = 1 << 4,
    AT_CONTAINER = 1 << 5,
    AT_WSL = 1 << 6,
    AT_SYSTEMD = 1 << 7,
    AT_DEBIAN = 1 << 8,
    AT_UBUNTU = 1 << 9,
    AT_FEDORA = 1 << 10, /* and its kin */
    AT_ALPINE = 1 << 11,
    AT_FILTERED = 1 << 12, /* bivy itself is under somebody's seccomp filter */
};

struct setting {
    unsigned where;
    uid_t uid;
    gid_t gid;
    pid_t caller;            /* whose limits and cgroup bivy has */
    char kernel[80];         /* uname -r */
    char distribution[128];  /* "Debian GNU/Linux 12 (bookworm)"; "" unknown */
    const char *container;   /* "docker", "podman", ...; NULL: in none */
    char program[256];       /* how a shell starts bivy */
    char build[256];         /* and rootfs/build */
};

/* Looks; changes nothing. What cannot be read is taken as not there. privileged: as facts_privileged says. */
void setting_read(bool privileged, struct setting *setting);

/* --- Pure (setting_parse.c) --- */

/* The value of KEY in the text of os-release(5), without its quotes; "" where there is none. */
void setting_release(const char *text, const char *key, char *value, size_t size);

/* An absolute path with nothing in it that any quotes would have to keep from a shell. */
bool setting_plain(const char *path);

/* How a shell, and one of root's too, starts the program at path: by its name where everybody's PATH leads to it. A path that is not plain
 * counts as not known, for mends have it within quotes. */
void setting_program(const char *path, char *program, size_t size);

/* The bits of a distribution by its ID and ID_LIKE. */
unsigned setting_distribution(const char *id, const char *like);

/* What speaks for a container. Files of one may have come along with a root file system that is no container any more, so they count only
 * where a namespace is not the machine's first one. */
struct setting_hints {
    uint64_t pid, uts, ipc;  /* inodes of /proc/self/ns; 0: not known */
    bool dockerenv, containerenv;
    const char *announced;   /* "container=" of pid 1's environment or /run/systemd/container; NULL or "" */
    const char *cgroup;      /* text of /proc/1/cgroup, or NULL */
};
const char *setting_container(const struct setting_hints *hints, unsigned *where);

#endif
