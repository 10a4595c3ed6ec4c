/* payload: runs inside the sandbox and asks the kernel, for one call after another, what the loaded filter says.
 *
 * usage: payload ACT [TABLE]     TABLE is a golden table (tests/unit/golden)
 *   refused TABLE   makes every call that the table refuses; the answer must be the table's errno
 *   asked TABLE     asks for every number and every boundary of the arguments, refused and allowed alike
 *   foreign         int $0x80, the 32-bit entry, with many numbers: each must end the process by SIGSYS
 *   foreign-thread  the same from a second thread: the whole process must end
 *   native-foreign  says whether this kernel has the 32-bit entry (meant for outside)
 *   hold            shows a process, a child and a thread to the test until /workspace/release is there
 *   hold-two        the same with one more filter of its own
 * Status 0: all as expected; 1: not, with a line for each difference; 2: it could not be tried.
 *
 * How an allowed call is told from one that the kernel refuses by the same errno, and without its effect (exit, fork,
 * pause ...): the calling thread puts a second filter above bivy's, which answers USER_NOTIF to the one instruction
 * that the probes use. The kernel runs both and takes the stricter answer: ERRNO and KILL beat USER_NOTIF, USER_NOTIF
 * beats ALLOW. So a call that bivy's filter refuses gives bivy's errno, and a call that it allows never reaches the
 * kernel's table: it comes to our listener, which answers with a value of its own. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the probes know the entries of x86_64 only"
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define ALLOWED 0x5ec0de /* what the listener answers */
#define X32 0x40000000u
#define NUMBERS 1024
#define SHOWN 500 /* differences; the rest are counted */

static unsigned long tried, refusals, allowances, differences;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vdprintf(1, format, arguments);
    va_end(arguments);
}

static _Noreturn void cannot(const char *what)
{
    say("cannot: %s: %s\n", what, strerror(errno));
    _exit(2);
}

/* ---- the table ---- */

struct condition {
    unsigned argument;
    uint32_t mask, value;
};

struct rule {
    int answer; /* 0: allow */
    size_t count;
    struct condition conditions[3];
};

struct entry {
    char name[48];
    size_t count; /* of rules; 0: not in the table */
    struct rule rules[80];
};

static struct entry table[NUMBERS];
static const struct {
    const char *name;
    int value;
} answers[] = {{"allow", 0},
               {"EPERM", EPERM},
               {"ENOSYS", ENOSYS},
               {"EINVAL", EINVAL},
               {"ENOMEM", ENOMEM},
               {"ENOENT", ENOENT},
               {"EAFNOSUPPORT", EAFNOSUPPORT},
               {"EPROTONOSUPPORT", EPROTONOSUPPORT},
               {"ENOPROTOOPT", ENOPROTOOPT},
               {"EOPNOTSUPP", EOPNOTSUPP}};

static const char *answer_name(int answer)
{
    static char text[32];

    for (size_t i = 0; i < LENGTH(answers); i++)
        if (answers[i].value == answer)
            return answers[i].name;
    snprintf(text, sizeof text, "errno %d", answer);
    return text;
}

static int read_answer(const char *name)
{
    for (size_t i = 0; i < LENGTH(answers); i++)
        if (!strcmp(answers[i].name, name))
            return answers[i].value;
    errno = EINVAL;
    cannot(name);
}

/* "aN&0xMASK==0xVALUE" */
static void read_condition(struct rule *rule, const char *text)
{
    struct condition *condition = &rule->conditions[rule->count];
    int end = 0;

    errno = EINVAL;
    if (rule->count == LENGTH(rule->conditions) ||
        sscanf(text, "a%u&0x%x==0x%x%n", &condition->argument, &condition->mask, &condition->value, &end) != 3 ||
        text[end] || condition->argument > 5)
        cannot(text);
    rule->count++;
}

/* "allow", "EPERM", "EPERM if C", "EPERM if C and C", "else EPERM" */
static void read_rule(struct entry *entry, char *text)
{
    struct rule *rule = &entry->rules[entry->count];
    char *when = strstr(text, " if ");

    errno = EOVERFLOW;
    if (entry->count == LENGTH(entry->rules))
        cannot(entry->name);
    entry->count++;
    if (!strncmp(text, "else ", 5))
        text += 5;
    if (when) {
        *when = '\0';
        for (char *at = when + 4, *next; at; at = next) {
            next = strstr(at, " and ");
            if (next) {
                *next = '\0';
                next += 5;
            }
            read_condition(rule, at);
        }
    }
    rule->answer = read_answer(text);
}

static void read_table(const char *path)
{
    FILE *file = path ? fopen(path, "re") : NULL;
    char *line = NULL;
    size_t room = 0;
    unsigned lines = 0;

    if (!file)
        cannot(path ? path : "no table");
    while (getline(&line, &room, file) > 0) {
        char *number = strtok(line, "\t"), *name = strtok(NULL, "\t"), *rules = strtok(NULL, "\n");
        long at = number ? strtol(number, NULL, 10) : -1;

        errno = EINVAL;
        if (!name || !rules || at < 0 || at >= NUMBERS || table[at].count || strlen(name) >= sizeof table[at].name)
            cannot("a line of the table");
        strcpy(table[at].name, name);
        for (char *rule = rules, *next; rule; rule = next) {
            next = strstr(rule, "; ");
            if (next) {
                *next = '\0';
                next += 2;
            }
            read_rule(&table[at], rule);
        }
        if (table[at].rules[table[at].count - 1].count)
            cannot("an entry of the table that does not end with an answer for everything else");
        lines++;
    }
    errno = ENODATA;
    if (lines < 300)
        cannot("a table so short");
    free(line);
    fclose(file);
}

/* What the table says; a number that is not in it, and every x32 number, ENOSYS. */
static int expected(uint32_t number, const uint64_t arguments[6])
{
    const struct entry *entry = number < NUMBERS ? &table[number] : NULL;

    for (size_t i = 0; entry && i < entry->count; i++) {
        const struct rule *rule = &entry->rules[i];
        bool holds = true;

        for (size_t c = 0; c < rule->count; c++)
            holds = holds && ((uint32_t)arguments[rule->conditions[c].argument] & rule->conditions[c].mask) ==
                                 rule->conditions[c].value;
        if (holds)
            return rule->answer;
    }
    return ENOSYS;
}

/* ---- one call ---- */

/* The only syscall instruction of the probes; the return address behind it is what a filter sees. */
extern const char probe_end[], foreign_end[];
long probe(uint64_t number, const uint64_t arguments[6]);
long foreign(uint32_t number);
__asm__(".text\n"
        ".globl probe, probe_end\n"
        "probe:\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %r11\n"
        "    mov (%r11), %rdi\n"
        "    mov 8(%r11), %rsi\n"
        "    mov 16(%r11), %rdx\n"
        "    mov 24(%r11), %r10\n"
        "    mov 32(%r11), %r8\n"
        "    mov 40(%r11), %r9\n"
        "    syscall\n"
        "probe_end:\n"
        "    ret\n"
        ".globl foreign, foreign_end\n"
        "foreign:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    mov %edi, %eax\n"
        "    mov $-1, %ebx\n"
        "    mov $-1, %ecx\n"
        "    mov $-1, %edx\n"
        "    mov $-1, %esi\n"
        "    mov $-1, %edi\n"
        "    mov $-1, %ebp\n"
        "    int $0x80\n"
        "foreign_end:\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

static void judge(uint64_t number, const uint64_t arguments[6], long seen, int wanted)
{
    uint32_t low = (uint32_t)number;
    const char *name = low < NUMBERS && table[low].count ? table[low].name : "-";

    tried++;
    if (wanted)
        refusals++;
    else
        allowances++;
    if (seen == (wanted ? -(long)wanted : ALLOWED) || ++differences > SHOWN)
        return;
    say("differs: %s 0x%llx (0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx): ", name, (unsigned long long)number,
        (unsigned long long)arguments[0], (unsigned long long)arguments[1], (unsigned long long)arguments[2],
        (unsigned long long)arguments[3], (unsigned long long)arguments[4], (unsigned long long)arguments[5]);
    say("the table says %s, ", answer_name(wanted));
    if (seen == ALLOWED)
        say("the filter allows it\n");
    else if (seen < 0 && seen > -4096)
        say("the answer is %s\n", answer_name((int)-seen));
    else
        say("it returned %ld\n", seen);
}

/* ---- which calls ---- */

typedef void call_maker(uint64_t number, const uint64_t arguments[6]);

#define MOST_VALUES 512

/* The values to try for one argument: on, beside and far off every value that a rule compares with, also below an upper
 * word that is not zero. */
static size_t boundary_values(const struct entry *entry, unsigned argument, uint64_t values[MOST_VALUES])
{
    size_t count = 0;

    for (size_t r = 0; r < entry->count; r++) {
        for (size_t c = 0; c < entry->rules[r].count; c++) {
            const struct condition *condition = &entry->rules[r].conditions[c];
            uint32_t low = condition->mask & -condition->mask, high = 1u << (31 - __builtin_clz(condition->mask));
            const uint64_t tries[] = {condition->value, condition->value | ~condition->mask, condition->value ^ low,
                                      condition->value ^ high, condition->value | 1ull << 32,
                                      condition->value | 0xffffffff00000000};

            if (condition->argument != argument)
                continue;
            for (size_t t = 0; t < LENGTH(tries); t++) {
                size_t known = 0;
                while (known < count && values[known] != tries[t])
                    known++;
                errno = EOVERFLOW;
                if (count + 2 >= MOST_VALUES)
                    cannot("boundary values");
                if (known == count)
                    values[count++] = tries[t];
            }
        }
    }
    if (count) {
        values[count++] = 0;
        values[count++] = ~0ull;
    }
    return count;
}

/* Every combination of the boundary values of the arguments that the entry's rules look at. */
static void boundaries(uint32_t number, call_maker *attempt)
{
    static uint64_t values[6][MOST_VALUES];
    const struct entry *entry = &table[number];
    size_t counts[6], at[6] = {0};
    unsigned argument = 0;

    for (unsigned i = 0; i < 6; i++) {
        counts[i] = boundary_values(entry, i, values[i]);
        if (!counts[i]) {
            values[i][0] = ~0ull; /* a descriptor, pointer or flag that no call takes */
            counts[i] = 1;
        }
    }
    while (argument < 6) {
        uint64_t arguments[6];

        for (unsigned i = 0; i < 6; i++)
            arguments[i] = values[i][at[i]];
        attempt(number, arguments);
        for (argument = 0; argument < 6 && ++at[argument] == counts[argument]; argument++)
            at[argument] = 0;
    }
}

/* Each bit of each argument, flipped in a call that just meets a rule. */
static void flipped_bits(uint32_t number, call_maker *attempt)
{
    const struct entry *entry = &table[number];

    for (size_t r = 0; r + 1 < entry->count; r++) {
        uint64_t arguments[6] = {~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull};

        for (size_t c = 0; c < entry->rules[r].count; c++)
            arguments[entry->rules[r].conditions[c].argument] = entry->rules[r].conditions[c].value;
        for (unsigned bit = 0; bit < 6 * 64; bit++) {
            arguments[bit / 64] ^= 1ull << bit % 64;
            attempt(number, arguments);
            arguments[bit / 64] ^= 1ull << bit % 64;
        }
    }
}

static const uint64_t none[6] = {~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull}, zeros[6];

/* These two come past every filter from Linux 6.14 on: only trampolines of the kernel's own may make them, and any other
 * caller gets a signal or ENXIO. Older kernels do not have them. */
static bool of_trampolines(uint32_t number)
{
    return number < NUMBERS && (!strcmp(table[number].name, "uprobe") || !strcmp(table[number].name, "uretprobe"));
}

static void trampoline(uint32_t number)
{
    pid_t child = fork();
    int status = 0;
    long seen;

    if (child == 0) {
        seen = probe(number, none);
        _exit(seen == ALLOWED ? 0 : seen == -ENXIO ? 1 : seen < 0 && seen > -4096 ? 2 : 3);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        cannot("a child");
    tried++;
    allowances++;
    if ((WIFEXITED(status) && WEXITSTATUS(status) < 2) ||
        (WIFSIGNALED(status) && (WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGSEGV)))
        return;
    differences++;
    say("differs: %s: wait status 0x%x\n", table[number].name, (unsigned)status);
}

static void every_number(call_maker *attempt)
{
    static const uint32_t odd[] = {NUMBERS,    2047,       4095,       0xffff,     0x10000,    0x3fffffff,
                                   X32 | 1024, X32 | 4095, 0x7fffffff, 0x80000000, 0x80000027, 0xbfffffff,
                                   0xc0000027, 0xffffff00, 0xfffffffe, 0xffffffff};

    for (uint32_t number = 0; number < NUMBERS; number++) {
        if (of_trampolines(number))
            continue;
        attempt(number, none);
        attempt(number, zeros);
        boundaries(number, attempt);
        flipped_bits(number, attempt);
        attempt(number | X32, none);
        attempt(number | X32, zeros);
        /* The kernel takes the low word of the register: what stands above it must not matter. */
        attempt(number | 1ull << 32, none);
        attempt(number | 0xffffffff00000000, none);
    }
    for (size_t i = 0; i < LENGTH(odd); i++) {
        attempt(odd[i], none);
        attempt(odd[i], zeros);
    }
}

/* ---- refused: by the call itself ---- */

static void make_refused(uint64_t number, const uint64_t arguments[6])
{
    int wanted = expected((uint32_t)number, arguments);

    if (wanted)
        judge(number, arguments, probe(number, arguments), wanted);
}

static int act_refused(const char *path)
{
    read_table(path);
    every_number(make_refused);
    return 0;
}

/* ---- asked: with the second filter ---- */

static _Atomic int listener = -1;
static atomic_bool done;
static _Atomic uint64_t asked_number;

static int second_filter(unsigned flags)
{
    uint64_t ends[] = {(uint64_t)(uintptr_t)probe_end, (uint64_t)(uintptr_t)foreign_end};
    const struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(ends[0] >> 32), 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ends[0], 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ends[1], 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    const struct sock_fprog loaded = {LENGTH(program), (struct sock_filter *)(uintptr_t)program};

    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &loaded);
}

static void ask(uint64_t number, const uint64_t arguments[6])
{
    atomic_store(&asked_number, number);
    judge(number, arguments, probe(number, arguments), expected((uint32_t)number, arguments));
}

static void *ask_all(void *act)
{
    listener = second_filter(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (listener < 0)
        cannot("a second filter with a listener");
    ((void (*)(void))(uintptr_t)act)();
    atomic_store(&done, true);
    probe(SYS_getpid, zeros); /* wakes the listener, where the filter lets it through */
    return NULL;
}

/* Answers what comes until the asking thread is done. */
static void listen_on(void)
{
    while (!atomic_load(&done)) {
        struct seccomp_notif notice = {0};
        struct seccomp_notif_resp answer = {.val = ALLOWED};
        struct pollfd ready = {atomic_load(&listener), POLLIN, 0};

        if (poll(&ready, 1, 20) != 1 || !(ready.revents & POLLIN)) /* a negative descriptor is passed over */
            continue;
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice)) {
            if (errno == ENOENT || errno == EINTR) /* the caller was killed meanwhile */
                continue;
            cannot("receiving a notice");
        }
        if (notice.data.arch == AUDIT_ARCH_X86_64 && !atomic_load(&done) && !of_trampolines((uint32_t)notice.data.nr) &&
            (uint32_t)notice.data.nr != (uint32_t)atomic_load(&asked_number)) {
            differences++;
            say("differs: asked for 0x%llx, the filter saw 0x%x\n", (unsigned long long)atomic_load(&asked_number),
                (unsigned)notice.data.nr);
        }
        answer.id = notice.id;
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT)
            cannot("answering a notice");
    }
}

static int with_listener(void (*act)(void))
{
    pthread_t thread;

    errno = pthread_create(&thread, NULL, ask_all, (void *)(uintptr_t)act);
    if (errno)
        cannot("a thread");
    listen_on();
    /* The last notice may still stand unanswered: once nobody listens, the call fails and the thread ends. */
    close(listener);
    pthread_join(thread, NULL);
    return 0;
}

static void ask_table(void)
{
    every_number(ask);
    for (uint32_t number = 0; number < NUMBERS; number++)
        if (of_trampolines(number))
            trampoline(number);
}

static int act_asked(const char *path)
{
    read_table(path);
    return with_listener(ask_table);
}

/* ---- foreign: the 32-bit entry ---- */

static void foreign_number(uint32_t number)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0); /* no work for a core dump */
        _exit(foreign(number) == ALLOWED ? 1 : 2);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        cannot("a child");
    tried++;
    refusals++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        return;
    if (++differences <= SHOWN)
        say("differs: int 0x80 with %u: wait status 0x%x\n", number, (unsigned)status);
}

static void foreign_numbers(void)
{
    static const uint32_t odd[] = {512,        1000,       0x3fffffff, X32,       X32 | 20,
                                   0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

    for (uint32_t number = 0; number <= 471; number++)
        foreign_number(number);
    for (size_t i = 0; i < LENGTH(odd); i++)
        foreign_number(odd[i]);
}

static int act_foreign(const char *unused)
{
    (void)unused;
    return with_listener(foreign_numbers);
}

static void *foreign_getpid(void *unused)
{
    (void)unused;
    foreign(20);
    return NULL;
}

static int act_foreign_thread(const char *unused)
{
    pid_t child = fork();
    int status = 0;
    pthread_t thread;

    (void)unused;
    if (child == 0) {
        if (pthread_create(&thread, NULL, foreign_getpid, NULL))
            _exit(2);
        pthread_join(thread, NULL);
        _exit(1); /* the thread has ended, the process has not */
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        cannot("a child");
    tried++;
    refusals++;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
        differences++;
        say("differs: int 0x80 in a thread: wait status 0x%x\n", (unsigned)status);
    }
    return 0;
}

static int act_native_foreign(const char *unused)
{
    (void)unused;
    say("%s\n", foreign(20) == getpid() ? "yes" : "no"); /* getpid; without the entry this ends by SIGSEGV */
    return 0;
}

/* ---- hold ---- */

static void *idle(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static int act_hold(const char *unused)
{
    pthread_t thread;
    pid_t child = fork();

    (void)unused;
    if (child == 0)
        idle(NULL);
    errno = child < 0 ? errno : pthread_create(&thread, NULL, idle, NULL);
    if (child < 0 || errno)
        cannot("a child and a thread");
    say("ready\n");
    while (access("/workspace/release", F_OK))
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tried = 1;
    return 0;
}

static int act_hold_two(const char *unused)
{
    if (second_filter(0))
        cannot("a second filter");
    return act_hold(unused);
}

static const struct {
    const char *name;
    int (*run)(const char *path);
} acts[] = {
    {"refused", act_refused},
    {"asked", act_asked},
    {"foreign", act_foreign},
    {"foreign-thread", act_foreign_thread},
    {"native-foreign", act_native_foreign},
    {"hold", act_hold},
    {"hold-two", act_hold_two},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc >= 2 && i < LENGTH(acts); i++) {
        if (strcmp(acts[i].name, argv[1]))
            continue;
        int status = acts[i].run(argc > 2 ? argv[2] : NULL);
        say("tried %lu, refused %lu, allowed %lu, different %lu\n", tried, refusals, allowances, differences);
        return status ? status : differences > 0;
    }
    fprintf(stderr, "payload: no such act\n");
    return 2;
}
