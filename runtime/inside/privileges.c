#include "privileges.h"

#include <errno.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "weaken.h"

/* Made before clone: the child must not allocate. */
static cap_t no_capabilities;

int privileges_prepare(struct fault *fault)
{
    if (!no_capabilities)
        no_capabilities = cap_init();
    return no_capabilities ? 0 : fault_set(fault, STAGE_CAPABILITIES, errno, NULL, "cap_init");
}

int privileges_ids(struct fault *fault)
{
    static const char mend[] = "is the id mapped in the user namespace that bivy runs in? (/proc/self/uid_map)";

    /* The raw calls: the C libraries' wrappers also tell other threads, of which there are none. */
    if (syscall(SYS_setresgid, POLICY_UID, POLICY_UID, POLICY_UID) < 0)
        return fault_set(fault, STAGE_IDS, errno, mend, "setresgid %d", POLICY_UID);
    if (syscall(SYS_setresuid, POLICY_UID, POLICY_UID, POLICY_UID) < 0)
        return fault_set(fault, STAGE_IDS, errno, mend, "setresuid %d", POLICY_UID);
    return 0;
}

int privileges_drop(struct fault *fault)
{
    static const unsigned long locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                        SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                        SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

    /* While CAP_SETPCAP is still there: bounding set and securebits. Every number the kernel knows, not those libcap knows. */
    for (unsigned long cap = 0; cap < 64 && !weakened("bounding"); cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL && cap > CAP_SYSLOG)
                break; /* behind the kernel's last one */
            return fault_set(fault, STAGE_CAPABILITIES, errno, NULL, "bounding set: capability %lu cannot be dropped", cap);
        }
    if (prctl(PR_SET_SECUREBITS, locked, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_CAPABILITIES, errno, NULL, "securebits cannot be locked");
    /* One call; cap_reset_ambient(3) asks for each of them. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_CAPABILITIES, errno, NULL, "ambient set cannot be emptied");
    if (cap_set_proc(no_capabilities) < 0)
        return fault_set(fault, STAGE_CAPABILITIES, errno, NULL, "capability sets cannot be emptied");
    if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != (int)locked)
        return fault_set(fault, STAGE_CAPABILITIES, EPERM, NULL, "securebits do not read back as set");
    return 0;
}

int privileges_lock(struct fault *fault)
{
    int death = 0;

    if (!weakened("nnp") && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_NO_NEW_PRIVS, errno, NULL, "no_new_privs cannot be set");
    if (!weakened("dumpable") && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_NO_NEW_PRIVS, errno, NULL, "dumpable cannot be cleared");
    /* A change of credentials clears this, so not earlier. The lifeline covers the time before and the thread it follows. */
    if (!weakened("pdeathsig") && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return fault_set(fault, STAGE_NO_NEW_PRIVS, errno, NULL, "parent death signal cannot be set");
    if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) < 0 || (death != SIGKILL && !weakened("pdeathsig")))
        return fault_set(fault, STAGE_NO_NEW_PRIVS, EPERM, NULL, "parent death signal does not read back as set");
    return 0;
}
