#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_filter.h"
#include "sys.h"

int seccomp_load(int *listener, struct fault *fault)
{
    struct sock_fprog program = {
        .len = listener ? seccomp_filter_explained_len : seccomp_filter_len,
        /* the kernel copies it and changes nothing */
        .filter = (struct sock_filter *)(uintptr_t)(listener ? seccomp_filter_explained : seccomp_filter),
    };
    int result = listener ? sys_seccomp_listener(&program) : sys_seccomp_filter(&program);

    if (result < 0)
        return fault_set(fault, STAGE_SECCOMP, -result,
                         result == -EBUSY ? "bivy is itself under a filter that somebody listens to: run without --explain"
                                          : "the kernel needs CONFIG_SECCOMP_FILTER",
                         "the filter cannot be loaded");
    if (listener)
        *listener = result;
    return 0;
}

int seccomp_probe(void)
{
    /* The policy answers EINVAL whatever the arguments; the kernel would say EBADF to a descriptor of -1. */
    long result = syscall(SYS_splice, -1, NULL, -1, NULL, 1, 0);

    return result == -1 && errno == EINVAL ? 0 : -EPROTO;
}
