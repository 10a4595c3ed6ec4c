/* Writes the policy table as text. */
#include "print.h"

#include <inttypes.h>
#include <string.h>

static void print_conditions(FILE *out, const struct seccomp_rule *rule)
{
    for (size_t i = 0; i < seccomp_rule_conditions(rule); i++) {
        const struct seccomp_condition *condition = &rule->conditions[i];

        fprintf(out, "%sa%u&0x%" PRIx32 "==0x%" PRIx32, i == 0 ? "" : " and ", (unsigned)condition->argument,
                condition->mask, condition->value);
    }
}

/* Rules of one syscall stand together, so its first is the one whose predecessor has another name. */
static int is_first(size_t i)
{
    return i == 0 || strcmp(seccomp_rules[i - 1].name, seccomp_rules[i].name) != 0;
}

static int is_last(size_t i)
{
    return i + 1 == seccomp_rules_len || strcmp(seccomp_rules[i + 1].name, seccomp_rules[i].name) != 0;
}

static void print_answers(FILE *out, size_t i)
{
    for (;; i++) {
        if (seccomp_rule_conditions(&seccomp_rules[i]) == 0) {
            fprintf(out, "%s%s\n", is_first(i) ? "" : "else ", seccomp_answer_name(seccomp_rules[i].answer));
            return;
        }
        fprintf(out, "%s if ", seccomp_answer_name(seccomp_rules[i].answer));
        print_conditions(out, &seccomp_rules[i]);
        fputs("; ", out);
    }
}

void seccomp_print_table(FILE *out, enum seccomp_machine machine)
{
    for (int number = 0;; number++) {
        int next = -1;

        for (size_t i = 0; i < seccomp_rules_len; i++) {
            int of_rule = seccomp_rule_number(&seccomp_rules[i], machine);

            if (of_rule >= number && (next < 0 || of_rule < next))
                next = of_rule;
        }
        if (next < 0)
            return;
        number = next;
        for (size_t i = 0; i < seccomp_rules_len; i++) {
            if (is_first(i) && seccomp_rule_number(&seccomp_rules[i], machine) == number) {
                fprintf(out, "%d\t%s\t", number, seccomp_rules[i].name);
                print_answers(out, i);
            }
        }
    }
}

static void print_number(FILE *out, int number)
{
    if (number < 0)
        fputs("-", out);
    else
        fprintf(out, "%d", number);
}

static void print_row(FILE *out, const struct seccomp_rule *rule)
{
    fprintf(out, "| `%s` | ", rule->name);
    print_number(out, rule->x86_64);
    fputs(" | ", out);
    print_number(out, rule->aarch64);
    fprintf(out, " | %s | ", seccomp_answer_name(rule->answer));
    if (seccomp_rule_conditions(rule) > 0) {
        fputs("if `", out);
        print_conditions(out, rule);
        fputs("`", out);
    }
    fprintf(out, " | %s |\n", rule->reason);
}

static const char table_head[] = "| call | x86_64 | aarch64 | answer | when | why |\n"
                                 "|---|---|---|---|---|---|\n";

static void print_conditional(FILE *out)
{
    fputs("\n## Calls that depend on their arguments\n\n"
          "The first row that holds answers. `aN` is argument N, counted from 0; only its low 32 bits are looked at,\n"
          "as the kernel does for these arguments.\n\n",
          out);
    fputs(table_head, out);
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        if (!is_first(i) || !is_last(i))
            print_row(out, &seccomp_rules[i]);
    }
}

static void print_refused(FILE *out, int unknown)
{
    fputs(table_head, out);
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        const struct seccomp_rule *rule = &seccomp_rules[i];

        if (is_first(i) && is_last(i) && rule->answer != SECCOMP_POLICY_ALLOW && (rule->answer == ENOSYS) == unknown)
            print_row(out, rule);
    }
}

static void print_allowed(FILE *out)
{
    const char *reason = NULL;
    const char *mark = "";

    fputs("\n## Allowed whatever the arguments\n", out);
    for (size_t i = 0; i < seccomp_rules_len; i++) {
        const struct seccomp_rule *rule = &seccomp_rules[i];

        if (!is_first(i) || !is_last(i) || rule->answer != SECCOMP_POLICY_ALLOW)
            continue;
        if (reason == NULL || strcmp(reason, rule->reason) != 0) {
            fprintf(out, "%s\n* %s:\n", mark, rule->reason);
            reason = rule->reason;
            mark = "";
        }
        fprintf(out, "%s  `%s`", mark, rule->name);
        mark = ",\n";
    }
    fputs("\n", out);
}

static void print_explained(FILE *out)
{
    fputs("\n## With --explain\n\n"
          "`bivy run --explain` loads a second program, made of the same table and judged by the same comparison. Wherever\n"
          "the first refuses, it asks the supervisor (SECCOMP_RET_USER_NOTIF), who writes the call down and answers the\n"
          "errno that stands here, by the same table; he never lets such a call through, and without him it answers\n"
          "ENOSYS. Killing stays killing. Calls of this table's that are allowed are allowed, but for these rows:\n\n",
          out);
    fputs("| call | x86_64 | aarch64 | answer | when | why |\n|---|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < seccomp_watches_len; i++)
        print_row(out, &seccomp_watches[i]);
}

void seccomp_print_document(FILE *out)
{
    fputs("# The syscall filter\n\n"
          "Generated from `runtime/seccomp/policy.c` (generator mode `--doc`); change the table there, not this text.\n"
          "The answers per number are in `tests/unit/golden/seccomp-x86_64.tsv` and `seccomp-aarch64.tsv`.\n\n"
          "The filter is a list of what is allowed. A number it does not list, on either architecture, answers\n"
          "ENOSYS: programs have a fallback for a kernel that is too old, but not for a call that is forbidden. Calls\n"
          "that are refused although programs know them well answer the errno that the kernel itself gives to a\n"
          "process without privileges. Calls by another architecture's convention (32-bit calls on x86_64 and\n"
          "aarch64) kill the process; x32 calls answer ENOSYS.\n\n"
          "The filter comes on top of empty capability sets, no_new_privs and namespaces; nothing rests on it alone.\n"
          "What a refusal costs: no debugger and no strace inside, and LeakSanitizer, which traces its own process,\n"
          "needs `ASAN_OPTIONS=detect_leaks=0`; servers that insist on sendfile (nginx) need it switched off; new\n"
          "kinds of device, namespace and mount cannot be made by anyone inside.\n",
          out);
    print_conditional(out);
    fputs("\n## Refused\n\n", out);
    print_refused(out, 0);
    fputs("\n## As if the kernel were older\n\n", out);
    print_refused(out, 1);
    print_allowed(out);
    print_explained(out);
}
