#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys.h"

#define MS ((uint64_t)1000000)
#define FREE 1000            /* answers at once, for what a program does while it starts */
#define SHARE 20             /* then answering may take a twentieth of the time; the caller waits */
#define LEAST 25000          /* ns that an answer is reckoned at, at least: 2,000 a second */
#define MOST (5 * MS)        /* that can be saved up */
#define PAUSE (10 * MS)       /* of whoever has used up his share: so bivy wakes up for it a hundred times a second at the most */
#define READS 2000           /* of memory in a run; then attempts are only counted */
#define READS_BY_HELPER 256  /* likewise, where each takes a process */
#define READ_HELD_WITHIN (100 * MS)
#define READ_WITHIN (500 * MS) /* who is not held up: the machine is busy */
#define READ_SLOW (50 * MS)  /* what took so long waited for a lock that the command holds: half as many reads are left then */
#define PAGE 4096
#define STACK 16384          /* bytes of a caller's, in which a question to a name server is looked for */
#define POINTED 512          /* places that it points to, likewise */
#define POINTED_WITHIN (30 * MS) /* where each call is slow; usually a third of one */
#define POINTED_LEAST (2 * MS)   /* that it is reckoned at */
#define POINTED_IN_ALL (128 * MS) /* in a run; then only the stack itself is looked at */
#define ASLEEP_WITHIN (100 * MS) /* a period of the limit of processors, in which who has used up his share stands still */
#define ASLEEP_IN_ALL (200 * MS) /* in a run */
#define LOWEST 0x10000ull    /* that memory is mapped at, vm.mmap_min_addr(5), */
#define HIGHEST 0xffffffffffffull /* and highest that programs use which do not ask for more, aarch64's */
#define MOST_REQUEST 512     /* bytes of the kernel's struct seccomp_notif, now 80 */

#if defined __x86_64__
#define OWN_MACHINE AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OWN_MACHINE AUDIT_ARCH_AARCH64
#endif

/* The C libraries do not agree on the type of ioctl(2)'s request. An answer that a signal kept from being given would be waited for in
 * vain. */
static long control(int fd, unsigned long request, void *argument)
{
    return SYS_AGAIN(syscall(SYS_ioctl, fd, request, argument));
}

int listener_open(struct listener *listener, bool may_block, int *inner, struct fault *fault)
{
    struct seccomp_notif_sizes sizes;
    int ends[2];

    *listener = LISTENER_NONE;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return fault_set(fault, STAGE_SECCOMP, errno, "run without --explain", "the kernel cannot tell which calls a filter refuses");
    if (sizes.seccomp_notif > MOST_REQUEST || sizes.seccomp_notif_resp > MOST_REQUEST)
        return fault_set(fault, STAGE_SECCOMP, E2BIG, "run without --explain",
                         "the kernel tells more of a refused call than bivy can hold");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fault_set(fault, STAGE_SECCOMP, errno, NULL, "no socket can be made");
    listener->socket = ends[0];
    listener->may_block = may_block;
    listener->reads = may_block ? READS_BY_HELPER : READS;
    listener->pointed = POINTED_IN_ALL;
    listener->asleep = ASLEEP_IN_ALL;
    listener->free = FREE;
    listener->earned = sys_now();
    *inner = ends[1];
    return 0;
}

void listener_release(struct listener *listener)
{
    sys_close(&listener->socket);
    sys_close(&listener->fd);
}

int listener_send(int inner, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0}, byte = 'F';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return SYS_AGAIN(sendmsg(inner, &message, MSG_NOSIGNAL | MSG_DONTWAIT)) == 1 ? 0 : -errno;
}

/* Sent by our own code, before anything of the command's: one byte, one descriptor. Without it every question is answered ENOSYS by the
 * kernel, the gate's probe too, and the command does not run. */
static void take_descriptor(struct listener *listener)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))), byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = SYS_AGAIN(recvmsg(listener->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    if (got < 0 && errno == EAGAIN)
        return;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof listener->fd))
        memcpy(&listener->fd, CMSG_DATA(header), sizeof listener->fd);
    sys_close(&listener->socket);
}

static bool exhausted(const struct listener *listener)
{
    return listener->free == 0 && listener->allowance <= 0;
}

struct pollfd listener_poll(struct listener *listener, uint64_t now, uint64_t *until)
{
    struct pollfd fd = {.fd = listener->fd >= 0 ? listener->fd : listener->socket, .events = POLLIN};
    int64_t earned = (int64_t)((now - listener->earned) / SHARE);

    listener->earned += (uint64_t)earned * SHARE;
    listener->allowance = listener->allowance + earned > (int64_t)MOST ? (int64_t)MOST : listener->allowance + earned;
    if (exhausted(listener))
        listener->pause = now + PAUSE;
    if (listener->holds) {
        fd.fd = -1;
        if (listener->pause < *until)
            *until = listener->pause;
    }
    return fd;
}

static bool waiting(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0) > 0 && one.revents & POLLIN;
}

static void charge(struct listener *listener)
{
    uint64_t spent = sys_now() - listener->taken;

    if (listener->free > 0)
        listener->free--;
    else
        listener->allowance -= (int64_t)(spent > LEAST ? spent : LEAST);
}

/* The next one that the kernel has. */
static bool take(struct listener *listener, struct listener_call *call)
{
    union {
        struct seccomp_notif notif;
        char room[MOST_REQUEST];
    } request;

    /* The kernel's call waits where nobody asks; that somebody does was seen, and nobody but us takes it. */
    if (!waiting(listener->fd))
        return false;
    memset(&request, 0, sizeof request);
    listener->taken = sys_now();
    if (control(listener->fd, SECCOMP_IOCTL_NOTIF_RECV, &request.notif) < 0) {
        charge(listener); /* it was killed meanwhile */
        return false;
    }
    call->id = request.notif.id;
    call->thread = (int)request.notif.pid;
    call->number = request.notif.data.nr;
    call->machine = request.notif.data.arch;
    for (size_t i = 0; i < 6; i++)
        call->arguments[i] = request.notif.data.args[i];
    return true;
}

bool listener_next(struct listener *listener, const struct pollfd *polled, struct listener_call *call)
{
    bool late = exhausted(listener) || sys_now() < listener->pause;

    if (listener->holds && !late) {
        *call = listener->held;
        listener->taken = sys_now();
        listener->holds = false;
        return true;
    }
    if (listener->holds || !polled->revents)
        return false;
    if (listener->fd < 0) {
        if (listener->socket >= 0)
            take_descriptor(listener);
        return false;
    }
    if (!(polled->revents & POLLIN)) {
        sys_close(&listener->fd); /* the last process under the filter is gone */
        return false;
    }
    if (!late)
        return take(listener, call);
    /* From being taken up on no signal interrupts it (Linux 5.19), as none does without --explain. */
    listener->holds = take(listener, &listener->held);
    return false;
}

static void reply(const struct listener *listener, uint64_t id, int error)
{
    union {
        struct seccomp_notif_resp response;
        char room[MOST_REQUEST];
    } answer;

    memset(&answer, 0, sizeof answer);
    answer.response.id = id;
    answer.response.error = -error;
    if (error == 0)
        answer.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    control(listener->fd, SECCOMP_IOCTL_NOTIF_SEND, &answer.response); /* fails where the caller is gone: nobody is left to tell */
}

static bool still_waits(const struct listener *listener, uint64_t id)
{
    return control(listener->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

/* ---- who it is ---- */

/* The last number of the line that begins as `name` says, which begins with a newline: "\nName:\t1 2 3\n". */
static int last_number(const char *status, const char *name)
{
    const char *line = strstr(status, name), *end = line ? strchr(line + 1, '\n') : NULL;
    int number = 0;

    while (line && end && (line = strpbrk(line, "\t ")) && line < end) {
        line++;
        number = (int)strtol(line, NULL, 10);
    }
    return number;
}

/* Reads of /proc that touch nothing of the process's memory. The name is the process's, not the thread's. In status its first line is the
 * thread's name, with a newline in it escaped: nothing of it can be taken for another line. */
static void look_at(const struct listener *listener, const struct listener_call *call, struct explain_who *who)
{
    char path[48], status[4096], name[64];
    ssize_t got;

    *who = (struct explain_who){.thread = call->thread};
    snprintf(path, sizeof path, "/proc/%d/status", call->thread);
    if (sys_read_file(AT_FDCWD, path, status, sizeof status) <= 0)
        return;
    who->pid = last_number(status, "\nNStgid:");
    snprintf(path, sizeof path, "/proc/%d/comm", last_number(status, "\nTgid:"));
    got = sys_read_file(AT_FDCWD, path, name, sizeof name);
    if (got > 0 && name[got - 1] == '\n')
        name[got - 1] = '\0';
    if (got > 0)
        snprintf(who->process, sizeof who->process, "%.15s", name);
    if (!still_waits(listener, call->id)) /* the number may be another's by now */
        *who = (struct explain_who){.thread = -1};
}

/* ---- what it gave as an address ---- */

struct target {
    pid_t pid;
    uint64_t address, query;
    size_t address_length, query_length;
    bool sends;
    uint64_t points; /* ns for which memory may be looked at to which the stack points */
};

struct seen {
    int result;              /* 0; -EAFNOSUPPORT or -EINVAL: nothing to tell; -EFAULT: it could not be read */
    struct address to;
    char name[ADDRESS_NAME]; /* that is asked of a name server, or "" */
    uint64_t pointed;        /* ns for which it was looked for wherever the stack points */
};

/* As much of it as can be read. In parts that end with a page: what lies in no memory ends it, and does not undo it. */
static size_t read_memory(pid_t pid, uint64_t from, void *to, size_t length)
{
    struct iovec here = {.iov_base = to, .iov_len = length}, there[STACK / PAGE + 2];
    unsigned long count = 0;

    for (size_t part; from != 0 && length > 0 && count < sizeof there / sizeof *there; from += part, length -= part) {
        part = PAGE - from % PAGE < length ? PAGE - from % PAGE : length;
        there[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)from, .iov_len = part};
    }
    ssize_t got = count > 0 ? process_vm_readv(pid, &here, 1, there, count, 0) : 0;
    return got > 0 ? (size_t)got : 0;
}

/* Where the stack of a thread that waits in a system call ends: of "NUMBER ARGUMENT... STACK INSTRUCTION", proc_pid_syscall(5). 0: not known. */
static uint64_t stack_of(pid_t thread)
{
    char path[48], text[256], *at;

    snprintf(path, sizeof path, "/proc/%d/syscall", thread);
    if (sys_read_file(AT_FDCWD, path, text, sizeof text) <= 0 || !(at = strrchr(text, ' ')))
        return 0;
    *at = '\0';
    at = strrchr(text, ' ');
    return at ? strtoull(at, NULL, 16) : 0;
}

/* What the words of a stack point to, until there is a question. Each may take a page from a disk. */
static void read_pointed(pid_t pid, const char *stack, size_t length, uint64_t until, char name[ADDRESS_NAME])
{
    char bytes[ADDRESS_QUERY];
    uint64_t word;
    unsigned left = POINTED;

    for (size_t at = 0; at + sizeof word <= length && left > 0 && sys_now() < until; at += sizeof word) {
        memcpy(&word, stack + at, sizeof word);
        if (word < LOWEST || word > HIGHEST)
            continue;
        left--;
        if (address_query_at(bytes, read_memory(pid, word, bytes, sizeof bytes), name) == 0)
            return;
    }
}

/*
 * musl's resolver sends its question with an address. Others connect first, which fails already where there is no network, so that nothing
 * is ever sent; but they have made their question by then. The GNU C library's lies a little further up the stack, Go's and older c-ares's
 * (1.18, not 1.34) on the heap, to which a word of the stack points.
 */
static void read_name(const struct target *target, struct seen *seen)
{
    char bytes[STACK];
    size_t got;

    if (target->sends) {
        got = read_memory(target->pid, target->query, bytes, target->query_length);
        address_query(bytes, got, seen->name);
        return;
    }
    got = read_memory(target->pid, stack_of(target->pid), bytes, sizeof bytes);
    if (address_query_within(bytes, got, seen->name) < 0 && target->points) {
        uint64_t begin = sys_now();

        read_pointed(target->pid, bytes, got, begin + target->points, seen->name);
        seen->pointed = sys_now() - begin;
    }
}

static int read_target(void *data, void *answer)
{
    const struct target *target = data;
    struct seen *seen = answer;
    char address[ADDRESS_BYTES];
    size_t got = read_memory(target->pid, target->address, address, target->address_length);

    seen->result = got > 0 ? address_parse(address, got, &seen->to) : -EFAULT;
    if (seen->result == 0 && seen->to.port == ADDRESS_DNS)
        read_name(target, seen);
    return -1;
}

/* The pages may be those of a file in the workspace, and its server silent: whoever touches them then waits for ever. */
static bool read_by_helper(struct listener *listener, struct target *target, struct seen *seen)
{
    uint64_t begin = sys_now();
    struct helper_task task = {.work = read_target, .data = target, .keep = -1, .stop = -1, .by = begin + READ_WITHIN,
                               .held_by = begin + READ_HELD_WITHIN, .answer = seen, .size = sizeof *seen};
    int none, result = helper_run(&task, &none, &listener->left);

    sys_close(&none);
    if (result < 0)
        listener->reads = 0; /* once is enough */
    return result == 0;
}

static void take_from(uint64_t *left, uint64_t spent)
{
    *left -= spent < *left ? spent : *left;
}

/* The kernel hands a call over a moment before its caller goes to sleep, and only of one that sleeps it says where his stack ends. Where he shares
 * a processor with this process he does not get there by himself, and where his share of it is used up not soon: so he is waited for, a while. */
static void await_sleep(struct listener *listener, pid_t thread)
{
    uint64_t begin = sys_now(), until = begin + (listener->asleep < ASLEEP_WITHIN ? listener->asleep : ASLEEP_WITHIN);
    char path[48], text[1024], *at;

    snprintf(path, sizeof path, "/proc/%d/stat", thread);
    while (sys_read_file(AT_FDCWD, path, text, sizeof text) > 0 && (at = strrchr(text, ')')) && !strncmp(at, ") R", 3) && sys_now() < until)
        poll(NULL, 0, 1);
    take_from(&listener->asleep, sys_now() - begin);
}

/* Reads what the caller of connect or sendto gave. The call waits meanwhile, but its memory may be shared with threads that do not: what
 * is read may be another thing than what the kernel reads when the call goes on. So it is told, and nothing is decided by it. */
static bool read_attempt(struct listener *listener, const struct listener_call *call, struct seen *seen)
{
    bool sends = explain_sends(call->number);
    uint32_t length = (uint32_t)call->arguments[sends ? 5 : 2];
    struct target target = {
        .pid = call->thread,
        .address = call->arguments[sends ? 4 : 1],
        .address_length = length < ADDRESS_BYTES ? length : ADDRESS_BYTES,
        .query = sends ? call->arguments[1] : 0,
        .query_length = !sends ? 0 : call->arguments[2] < ADDRESS_QUERY ? (size_t)call->arguments[2] : ADDRESS_QUERY,
        .sends = sends,
        .points = listener->pointed < POINTED_WITHIN ? listener->pointed : POINTED_WITHIN,
    };
    uint64_t begin;

    *seen = (struct seen){0};
    if (listener->reads == 0)
        return false;
    listener->reads--;
    if (!sends)
        await_sleep(listener, call->thread);
    if (!still_waits(listener, call->id))
        return false;
    begin = sys_now();
    if (!listener->may_block)
        read_target(&target, seen);
    else if (!read_by_helper(listener, &target, seen))
        return false;
    if (seen->pointed > 0)
        take_from(&listener->pointed, seen->pointed > POINTED_LEAST ? seen->pointed : POINTED_LEAST);
    if (sys_now() - begin > READ_SLOW)
        listener->reads /= 2;
    return seen->result != -EFAULT && still_waits(listener, call->id);
}

static void note_attempt(struct listener *listener, const struct listener_call *call, struct explain *explain)
{
    struct explain_who who;
    struct seen seen;

    if (!read_attempt(listener, call, &seen)) {
        explain->attempts_beyond++;
        return;
    }
    if (seen.result < 0)
        return; /* a Unix socket, or what the kernel will not take either */
    look_at(listener, call, &who);
    explain_attempted(explain, explain_sends(call->number), &seen.to, seen.name, &who);
}

void listener_answer(struct listener *listener, const struct listener_call *call, struct explain *explain)
{
    const struct seccomp_answer *rule;
    int error = call->machine == OWN_MACHINE ? explain_answer(call->number, call->arguments, &rule) : ENOSYS;
    struct explain_who who;

    if (explain && error == 0) {
        note_attempt(listener, call, explain);
    } else if (explain && !explain_again(explain, call->number, call->arguments, call->thread)) {
        look_at(listener, call, &who);
        explain_refused(explain, call->number, call->arguments, &who);
    }
    reply(listener, call->id, error);
    charge(listener);
}
