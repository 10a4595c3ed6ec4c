/* Attacks on privileges. */
#include "attack.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int attack_ids(void)
{
    static const struct {
        const char *name;
        long number, args[3];
    } changes[] = {
        {"setuid 0", SYS_setuid, {0, 0, 0}},         {"setgid 0", SYS_setgid, {0, 0, 0}},
        {"setreuid 0", SYS_setreuid, {0, 0, 0}},     {"setregid 0", SYS_setregid, {0, 0, 0}},
        {"setresuid 0", SYS_setresuid, {0, 0, 0}},   {"setresgid 0", SYS_setresgid, {0, 0, 0}},
        {"setuid 65534", SYS_setuid, {65534, 0, 0}}, {"setgid 65534", SYS_setgid, {65534, 0, 0}},
        {"setuid 1001", SYS_setuid, {1001, 0, 0}},   {"setresuid of the saved id", SYS_setresuid, {-1, -1, 0}},
    };
    gid_t group = 0;

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (failed(changes[i].name,
                   syscall(changes[i].number, changes[i].args[0], changes[i].args[1], changes[i].args[2])))
            return GOT;
    if (failed("setgroups", syscall(SYS_setgroups, 1, &group)) || failed("no groups", syscall(SYS_setgroups, 0, NULL)))
        return GOT;
    syscall(SYS_setfsuid, 0);
    if (syscall(SYS_setfsuid, -1) == 0)
        return got("setfsuid 0: it worked");
    return getuid() && geteuid() && getgid() && getegid() ? REFUSED : got("an id that is 0");
}

int attack_id_maps(void)
{
    char text[256];
    unsigned inside, outside, count;
    int used = 0;

    if (slurp("/proc/self/uid_map", text, sizeof text) < 0 ||
        sscanf(text, "%u %u %u%n", &inside, &outside, &count, &used) != 3)
        return got("uid_map is not understood");
    if (strcmp(text + used, "\n") || count != 1 || outside == 0 || inside == 0)
        return got("more than one id, or the host's 0, is mapped");
    used = 0;
    if (slurp("/proc/self/gid_map", text, sizeof text) < 0 ||
        sscanf(text, "%u %u %u%n", &inside, &outside, &count, &used) != 3)
        return got("gid_map is not understood");
    return strcmp(text + used, "\n") || count != 1 || outside == 0 || inside == 0
               ? got("more than one group, or the host's 0, is mapped")
               : REFUSED;
}

int attack_capability_sets(void)
{
    static const char *const sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    char text[4096];
    unsigned long long value = 0;

    if (slurp("/proc/self/status", text, sizeof text) < 0)
        return got("/proc/self/status cannot be read: %s", strerror(errno));
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (!status_value(text, sets[i], 16, &value) || value != 0)
            return got("%s is %llx", sets[i], value);
    return status_value(text, "NoNewPrivs", 10, &value) && value == 1 ? REFUSED : got("no_new_privs is not set");
}

int attack_capset(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}},
                                  admin[2] = {{1u << 21, 1u << 21, 0}, {0, 0, 0}},
                                  inherit[2] = {{0, 0, 1u << 21}, {0, 0, 0}};

    return EACH(refused("all", syscall(SYS_capset, &header, all), EPERM),
                refused("CAP_SYS_ADMIN", syscall(SYS_capset, &header, admin), EPERM),
                refused("inheritable", syscall(SYS_capset, &header, inherit), EPERM));
}

int attack_ambient(void)
{
    for (unsigned long cap = 0; cap < ALL_CAPABILITIES; cap++) {
        if (prctl(47 /* PR_CAP_AMBIENT */, 2 /* RAISE */, cap, 0, 0) != -1)
            return got("ambient capability %lu", cap);
        if (errno == EINVAL)
            break; /* behind the kernel's last one */
        if (errno != EPERM)
            return got("ambient capability %lu: %s", cap, strerror(errno));
    }
    return REFUSED;
}

int attack_securebits(void)
{
    static const int locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                              SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                              SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    return EACH(failed("cleared", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0)),
                failed("keeping capabilities", prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)),
                failed("no_new_privs off", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)),
                prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == locked ? REFUSED : got("securebits that are not locked"));
}
