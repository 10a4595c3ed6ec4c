#include "seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_filter.h"
#include "sys.h"

int seccomp_load(struct fault *fault)
{
    struct sock_fprog program = {
        .len = seccomp_filter_len,
        .filter = (struct sock_filter *)(uintptr_t)seccomp_filter, /* the kernel copies it and changes nothing */
    };
    int result = sys_seccomp_filter(&program);

    return result < 0 ? fault_set(fault, STAGE_SECCOMP, -result, "the kernel needs CONFIG_SECCOMP_FILTER", "the filter cannot be loaded") : 0;
}

int seccomp_probe(void)
{
    /* The policy answers EINVAL whatever the arguments; the kernel would say EBADF to a descriptor of -1. */
    long result = syscall(SYS_splice, -1, NULL, -1, NULL, 1, 0);

    return result == -1 && errno == EINVAL ? 0 : -EPROTO;
}
