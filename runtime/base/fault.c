#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const stage_names[STAGE_COUNT] = {
    "options",   "report",       "rootfs",  "workspace", "plan",     "cgroup",   "streams",      "clone",
    "idmap",     "inherited",    "cgroup_enter", "keyring", "ids",   "scratch",  "root",         "proc",
    "mounts",    "pivot",        "network", "hostname",  "rlimits",  "affinity", "capabilities", "no_new_privs",
    "seccomp",   "init",         "descriptors", "gate",  "exec",     "supervise",
};

const char *stage_name(int stage)
{
    return stage >= 0 && stage < STAGE_COUNT ? stage_names[stage] : "unknown";
}

/* glibc has strerrorname_np, musl has not; these are what the calls that bivy makes can answer (man pages of each). */
#define NAME(e) {e, #e}
static const struct {
    int number;
    const char *name;
} errno_names[] = {
    NAME(EPERM),    NAME(ENOENT),   NAME(ESRCH),    NAME(EINTR),     NAME(EIO),          NAME(ENXIO),     NAME(E2BIG),
    NAME(ENOEXEC),  NAME(EBADF),    NAME(ECHILD),   NAME(EAGAIN),    NAME(ENOMEM),       NAME(EACCES),    NAME(EFAULT),
    NAME(ENOTBLK),  NAME(EBUSY),    NAME(EEXIST),   NAME(EXDEV),     NAME(ENODEV),       NAME(ENOTDIR),   NAME(EISDIR),
    NAME(EINVAL),   NAME(ENFILE),   NAME(EMFILE),   NAME(ENOTTY),    NAME(ETXTBSY),      NAME(EFBIG),     NAME(ENOSPC),
    NAME(ESPIPE),   NAME(EROFS),    NAME(EMLINK),   NAME(EPIPE),     NAME(EDOM),         NAME(ERANGE),    NAME(EDEADLK),
    NAME(ENAMETOOLONG), NAME(ENOLCK), NAME(ENOSYS), NAME(ENOTEMPTY), NAME(ELOOP),        NAME(EPROTO),    NAME(EOVERFLOW),
    NAME(EBADMSG),  NAME(EILSEQ),   NAME(EUSERS),   NAME(ENOTSOCK),  NAME(EOPNOTSUPP),   NAME(EAFNOSUPPORT),
    NAME(EADDRINUSE), NAME(ENETDOWN), NAME(ENETUNREACH), NAME(ECONNABORTED), NAME(ECONNRESET), NAME(ENOBUFS),
    NAME(ENOTCONN), NAME(ETIMEDOUT), NAME(ECONNREFUSED), NAME(EHOSTDOWN), NAME(EALREADY), NAME(EINPROGRESS),
    NAME(ESTALE),   NAME(EDQUOT),   NAME(ECANCELED), NAME(ENOKEY),   NAME(EKEYREVOKED),  NAME(ENOMEDIUM), NAME(ELIBBAD),
    NAME(ENOPROTOOPT), NAME(EPROTONOSUPPORT), NAME(ETOOMANYREFS), NAME(EPROTOTYPE), NAME(EMSGSIZE),
};

const char *errno_name(int errnum)
{
    if (errnum == 0)
        return NULL;
    for (size_t i = 0; i < sizeof errno_names / sizeof errno_names[0]; i++)
        if (errno_names[i].number == errnum)
            return errno_names[i].name;
    return "E?";
}

void fault_hint(struct fault *fault, const char *hint)
{
    if (hint && !fault->hint[0])
        snprintf(fault->hint, sizeof fault->hint, "%s", hint);
}

int fault_set(struct fault *fault, enum stage stage, int errnum, const char *hint, const char *format, ...)
{
    va_list args;

    memset(fault, 0, sizeof *fault);
    fault->stage = (int32_t)stage;
    fault->errnum = errnum;
    va_start(args, format);
    vsnprintf(fault->what, sizeof fault->what, format, args);
    va_end(args);
    /* Whatever was to be opened: the same mend everywhere, and no other would help. */
    fault_hint(fault, errnum == EMFILE ? "raise the caller's limit of open files (ulimit -n)" : hint);
    return errnum ? -errnum : -EINVAL;
}
