#include "explain.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "advice.h"
#include "fault.h"
#include "seccomp_filter.h"

#define X32_BIT 0x40000000

static bool holds(const struct seccomp_answer *rule, const uint64_t arguments[6])
{
    for (size_t i = 0; i < sizeof rule->conditions / sizeof *rule->conditions && rule->conditions[i].mask != 0; i++)
        if (((uint32_t)arguments[rule->conditions[i].argument] & rule->conditions[i].mask) != rule->conditions[i].value)
            return false;
    return true;
}

static const struct seccomp_answer *rule_of(int number, const uint64_t arguments[6])
{
    for (size_t i = 0; i < seccomp_filter_answers_len; i++)
        if (seccomp_filter_answers[i].number == number && holds(&seccomp_filter_answers[i], arguments))
            return &seccomp_filter_answers[i];
    return NULL;
}

bool explain_sends(int number)
{
    return number == SYS_sendto;
}

int explain_answer(int number, const uint64_t arguments[6], const struct seccomp_answer **rule)
{
    bool watched = number == SYS_connect || number == SYS_sendto;

    *rule = rule_of(number, arguments);
    if (*rule && (*rule)->answer != 0)
        return (*rule)->answer;
    return watched ? 0 : ENOSYS; /* whatever asks without being refused by the table is not let through for that */
}

/* ---- what of the arguments was refused ---- */

struct word {
    uint32_t value;
    const char *name;
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static const struct word namespaces[] = {
    {CLONE_NEWUSER, "CLONE_NEWUSER"}, {CLONE_NEWNS, "CLONE_NEWNS"},   {CLONE_NEWPID, "CLONE_NEWPID"},       {CLONE_NEWNET, "CLONE_NEWNET"},
    {CLONE_NEWIPC, "CLONE_NEWIPC"},   {CLONE_NEWUTS, "CLONE_NEWUTS"}, {CLONE_NEWCGROUP, "CLONE_NEWCGROUP"}, {0x80, "CLONE_NEWTIME"},
};
static const struct word families[] = {
    {1, "AF_UNIX"}, {2, "AF_INET"}, {10, "AF_INET6"}, {16, "AF_NETLINK"}, {17, "AF_PACKET"}, {21, "AF_RDS"}, {29, "AF_CAN"},
    {30, "AF_TIPC"}, {31, "AF_BLUETOOTH"}, {33, "AF_RXRPC"}, {38, "AF_ALG"}, {40, "AF_VSOCK"}, {43, "AF_SMC"}, {44, "AF_XDP"},
};
static const struct word protocols[] = {{1, "IPPROTO_ICMP"}, {33, "IPPROTO_DCCP"}, {58, "IPPROTO_ICMPV6"}, {132, "IPPROTO_SCTP"}, {262, "IPPROTO_MPTCP"}};
static const struct word types[] = {{1, "SOCK_STREAM"}, {2, "SOCK_DGRAM"}, {3, "SOCK_RAW"}, {4, "SOCK_RDM"}, {5, "SOCK_SEQPACKET"}};
static const struct word requests[] = {{0, "PTRACE_TRACEME"}, {16, "PTRACE_ATTACH"}, {0x4206, "PTRACE_SEIZE"}};

static const char *word_of(const struct word *words, size_t count, uint32_t value)
{
    for (size_t i = 0; i < count; i++)
        if (words[i].value == value)
            return words[i].name;
    return NULL;
}

/* "CLONE_NEWUSER and 2 more" would not tell enough: the first ones by name, as many as there is room for. */
static void flags_text(uint32_t flags, bool clone, char detail[EXPLAIN_DETAIL])
{
    size_t at = 0;

    for (size_t i = 0; i < COUNT(namespaces); i++) {
        if (!(flags & namespaces[i].value) || (clone && namespaces[i].value == 0x80)) /* in clone(2) it is part of the exit signal */
            continue;
        int put = snprintf(detail + at, EXPLAIN_DETAIL - at, "%s%s", at ? "|" : "", namespaces[i].name);
        if (put < 0 || (size_t)put >= EXPLAIN_DETAIL - at) {
            detail[at] = '\0';
            return;
        }
        at += (size_t)put;
    }
}

static void word_text(const struct word *words, size_t count, const char *what, uint32_t value, char detail[EXPLAIN_DETAIL])
{
    const char *name = word_of(words, count, value);

    if (name)
        snprintf(detail, EXPLAIN_DETAIL, "%s", name);
    else
        snprintf(detail, EXPLAIN_DETAIL, "%s %u", what, value);
}

static void socket_text(const uint64_t arguments[6], char detail[EXPLAIN_DETAIL])
{
    const char *type = word_of(types, COUNT(types), (uint32_t)arguments[1] & 0xf);
    char family[EXPLAIN_DETAIL];
    bool inet = (uint32_t)arguments[0] == AF_INET || (uint32_t)arguments[0] == AF_INET6; /* others number their own */
    const char *protocol = inet ? word_of(protocols, COUNT(protocols), (uint32_t)arguments[2]) : NULL;

    word_text(families, COUNT(families), "family", (uint32_t)arguments[0], family);
    if (protocol)
        snprintf(detail, EXPLAIN_DETAIL, "%.24s, %s, %s", family, type ? type : "another type", protocol);
    else
        snprintf(detail, EXPLAIN_DETAIL, "%.24s, %s, protocol %u", family, type ? type : "another type", (uint32_t)arguments[2]);
}

/* Rules with conditions begin their reason with the name of what they refuse: "TIOCSTI: ...". */
static void reason_text(const struct seccomp_answer *rule, char detail[EXPLAIN_DETAIL])
{
    size_t length = strspn(rule->reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    if (rule->conditions[0].mask != 0 && length > 1 && length < EXPLAIN_DETAIL)
        snprintf(detail, EXPLAIN_DETAIL, "%.*s", (int)length, rule->reason);
    else if (rule->conditions[0].mask != 0 && !strncmp(rule->reason, "would reach pid 1", 17))
        snprintf(detail, EXPLAIN_DETAIL, "pid 1");
}

static void detail_of(const struct seccomp_answer *rule, const uint64_t arguments[6], char detail[EXPLAIN_DETAIL])
{
    const char *name = rule ? rule->name : "";

    detail[0] = '\0';
    if (!strcmp(name, "clone") || !strcmp(name, "unshare"))
        flags_text((uint32_t)arguments[0], name[0] == 'c', detail);
    else if (!strcmp(name, "setns"))
        flags_text((uint32_t)arguments[1], false, detail);
    else if (!strcmp(name, "socket") || !strcmp(name, "socketpair"))
        socket_text(arguments, detail);
    else if (!strcmp(name, "ptrace"))
        word_text(requests, COUNT(requests), "request", (uint32_t)arguments[0], detail);
    else if (!strcmp(name, "prctl"))
        snprintf(detail, EXPLAIN_DETAIL, "option %u", (uint32_t)arguments[0]);
    else if (!strcmp(name, "personality"))
        snprintf(detail, EXPLAIN_DETAIL, "0x%x", (uint32_t)arguments[0]);
    else if (rule)
        reason_text(rule, detail);
}

static const struct advice *advice_for(const struct explain_refusal *refusal)
{
    return refusal->rule ? advice_of(refusal->rule->name, refusal->detail) : NULL;
}

/* "This kernel is too old" is what programs have a fallback for. */
static bool harmless(const struct explain_refusal *refusal)
{
    const struct advice *advice = advice_for(refusal);

    return advice ? advice->harmless : !refusal->rule || refusal->rule->answer == ENOSYS;
}

static void call_text(const struct explain_refusal *refusal, char text[EXPLAIN_CALL])
{
    if (refusal->rule)
        snprintf(text, EXPLAIN_CALL, "%s", refusal->rule->name);
    else if (refusal->number & X32_BIT)
        snprintf(text, EXPLAIN_CALL, "x32_%u", (unsigned)refusal->number & ~(unsigned)X32_BIT);
    else
        snprintf(text, EXPLAIN_CALL, "syscall_%u", (unsigned)refusal->number);
}

/* ---- the tables ---- */

bool explain_again(struct explain *explain, int number, const uint64_t arguments[6], int thread)
{
    const struct seccomp_answer *rule = rule_of(number, arguments);
    char detail[EXPLAIN_DETAIL];

    detail_of(rule, arguments, detail);
    for (size_t i = 0; i < explain->refusal_count; i++) {
        struct explain_refusal *known = &explain->refusals[i];
        if (known->number == number && known->rule == rule && known->who.thread == thread && !strcmp(known->detail, detail)) {
            known->count++;
            return true;
        }
    }
    return false;
}

void explain_refused(struct explain *explain, int number, const uint64_t arguments[6], const struct explain_who *who)
{
    struct explain_refusal new = {.rule = rule_of(number, arguments), .number = number, .who = *who, .count = 1};

    detail_of(new.rule, arguments, new.detail);
    for (size_t i = 0; i < explain->refusal_count; i++) {
        struct explain_refusal *known = &explain->refusals[i];
        if (known->number == number && known->rule == new.rule && !strcmp(known->detail, new.detail) &&
            !strncmp(known->who.process, who->process, sizeof who->process)) {
            known->count++;
            return;
        }
    }
    if (explain->refusal_count == EXPLAIN_REFUSALS)
        explain->refusals_beyond++;
    else
        explain->refusals[explain->refusal_count++] = new;
}

void explain_attempted(struct explain *explain, bool sends, const struct address *to, const char *name, const struct explain_who *who)
{
    struct explain_attempt new = {.sends = sends, .to = *to, .who = *who, .count = 1};

    if (explain->loopback && to->loopback && !name[0])
        return;
    snprintf(new.name, sizeof new.name, "%s", name);
    for (size_t i = 0; i < explain->attempt_count; i++) {
        struct explain_attempt *known = &explain->attempts[i];
        if (known->sends == sends && known->to.port == to->port && !strcmp(known->to.text, to->text) && !strcmp(known->name, new.name) &&
            !strncmp(known->who.process, who->process, sizeof who->process)) {
            known->count++;
            return;
        }
    }
    if (explain->attempt_count == EXPLAIN_ATTEMPTS)
        explain->attempts_beyond++;
    else
        explain->attempts[explain->attempt_count++] = new;
}

/* ---- what is said of it ---- */

/* A process's name as people can bear it: control characters and what is not ASCII would reach their terminal. */
static void process_text(const struct explain_who *who, char text[EXPLAIN_PROCESS])
{
    snprintf(text, EXPLAIN_PROCESS, "%s", who->process[0] ? who->process : "the command");
    for (char *at = text; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

/* How much it tells: a name more than an address, and an address more than that of a name server. */
static int rank(const struct explain_attempt *attempt)
{
    return attempt->name[0] ? 3 : attempt->to.port != ADDRESS_DNS ? 2 : 1;
}

static bool same_goal(const struct explain_attempt *one, const struct explain_attempt *other)
{
    if (one->name[0] || other->name[0])
        return !strcmp(one->name, other->name);
    return one->to.port == other->to.port && !strcmp(one->to.text, other->to.text);
}

/* The most telling attempt. *goals is how many goals there are, name servers left out. */
static const struct explain_attempt *telling(const struct explain *explain, size_t *goals)
{
    const struct explain_attempt *best = NULL;

    *goals = 0;
    for (size_t i = 0; i < explain->attempt_count; i++) {
        const struct explain_attempt *attempt = &explain->attempts[i];
        size_t same = 0;
        while (same < i && !same_goal(&explain->attempts[same], attempt))
            same++;
        *goals += same == i && rank(attempt) > 1;
        if (!best || rank(attempt) > rank(best))
            best = attempt;
    }
    return best;
}

static void attempt_hint(const struct explain_attempt *attempt, size_t goals, char *text, size_t size)
{
    static const char mend[] = "the network is off by design: put what it needs into the rootfs or the workspace";
    char process[EXPLAIN_PROCESS], others[64] = "";
    bool six = strchr(attempt->to.text, ':') != NULL;

    process_text(&attempt->who, process);
    if (goals > 1)
        snprintf(others, sizeof others, " (one of %zu: explain.network in the record)", goals);
    if (attempt->name[0])
        snprintf(text, size, "%s tried to reach %.120s%s; %s", process, attempt->name, others, mend);
    else if (attempt->to.port == ADDRESS_DNS)
        snprintf(text, size, "%s tried to ask a name server (%s) for a host; %s", process, attempt->to.text, mend);
    else if (attempt->to.loopback)
        snprintf(text, size, "%s tried to reach port %u of the sandbox itself%s, whose loopback is down: --network loopback", process,
                 attempt->to.port, others);
    else
        snprintf(text, size, "%s tried to reach %s%s%s:%u%s; %s", process, six ? "[" : "", attempt->to.text, six ? "]" : "", attempt->to.port,
                 others, mend);
}

bool explain_hint_network(const struct explain *explain, char *text, size_t size)
{
    size_t goals = 0;
    const struct explain_attempt *attempt = explain ? telling(explain, &goals) : NULL;

    if (attempt)
        attempt_hint(attempt, goals, text, size);
    return attempt;
}

static void refusal_hint(const struct explain_refusal *refusal, size_t rows, char *text, size_t size)
{
    const struct advice *advice = advice_for(refusal);
    const char *instead = advice ? advice->instead : NULL, *detail = refusal->detail;
    char process[EXPLAIN_PROCESS], call[EXPLAIN_CALL], others[64] = "";

    process_text(&refusal->who, process);
    call_text(refusal, call);
    if (rows > EXPLAIN_HINTS)
        snprintf(others, sizeof others, "; one of %zu: explain.refused in the record", rows);
    snprintf(text, size, "%s called %s%s%s%s, which the sandbox refuses (%s%s)%s%s", process, call, detail[0] ? " (" : "", detail,
             detail[0] ? ")" : "", refusal->rule->reason, others, instead ? "; instead: " : "", instead ? instead : "");
}

/* The first that may be the cause of something. */
bool explain_hint_refused(const struct explain *explain, size_t number, char *text, size_t size)
{
    const struct explain_refusal *wanted = NULL;
    size_t rows = 0;

    for (size_t i = 0; explain && i < explain->refusal_count; i++)
        if (!harmless(&explain->refusals[i]) && rows++ == number)
            wanted = &explain->refusals[i];
    if (!wanted || number >= EXPLAIN_HINTS)
        return false;
    refusal_hint(wanted, number == EXPLAIN_HINTS - 1 ? rows : 0, text, size);
    return true;
}

static void write_who(struct json *json, const struct explain_who *who)
{
    if (who->process[0])
        json_bytes(json, "process", who->process, strnlen(who->process, sizeof who->process));
    else
        json_null(json, "process");
    if (who->pid > 0)
        json_number(json, "pid", (uint64_t)who->pid);
    else
        json_null(json, "pid");
}

static void write_refusal(struct json *json, const struct explain_refusal *refusal)
{
    const struct advice *advice = advice_for(refusal);
    char call[EXPLAIN_CALL];

    call_text(refusal, call);
    json_open(json, NULL, '{');
    json_string(json, "syscall", call);
    json_string(json, "detail", refusal->detail[0] ? refusal->detail : NULL);
    json_string(json, "errno", errno_name(refusal->rule ? refusal->rule->answer : ENOSYS));
    json_number(json, "count", refusal->count);
    write_who(json, &refusal->who);
    json_bool(json, "harmless", harmless(refusal));
    json_string(json, "why", refusal->rule ? refusal->rule->reason : "not among the calls that the policy knows");
    json_string(json, "instead", advice ? advice->instead : NULL);
    json_close(json, '}');
}

static void write_attempt(struct json *json, const struct explain_attempt *attempt)
{
    json_open(json, NULL, '{');
    json_string(json, "call", attempt->sends ? "sendto" : "connect");
    json_string(json, "name", attempt->name[0] ? attempt->name : NULL);
    json_string(json, "address", attempt->to.text);
    json_number(json, "port", attempt->to.port);
    json_number(json, "count", attempt->count);
    write_who(json, &attempt->who);
    json_close(json, '}');
}

void explain_write(struct json *json, const struct explain *explain)
{
    if (!explain) {
        json_null(json, "explain");
        return;
    }
    json_open(json, "explain", '{');
    json_open(json, "refused", '[');
    for (size_t i = 0; i < explain->refusal_count; i++)
        write_refusal(json, &explain->refusals[i]);
    json_close(json, ']');
    json_number(json, "others", explain->refusals_beyond);
    json_open(json, "network", '[');
    for (size_t i = 0; i < explain->attempt_count; i++)
        write_attempt(json, &explain->attempts[i]);
    json_close(json, ']');
    json_number(json, "network_others", explain->attempts_beyond);
    json_close(json, '}');
}
