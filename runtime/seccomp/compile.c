/*
 * Rows to BPF in two steps. First a graph: a node is one instruction that knows which nodes follow it, and there are
 * never two alike, so that equal ends of different calls are one. Then the nodes that the first one leads to are laid
 * out from the last instruction to the first, so that what a jump leads to is always there before the jump.
 */
#include "compile.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NODES (2 * BPF_MAXINSNS)
#define MOST_ROWS 128  /* of one call */
#define MOST_RANGES 1024
#define WORD 0xffffffffU

/* No argument is in the accumulator. */
#define NOTHING 6

/*
 * What an instruction costs to load, in steps of the kernel's run over all numbers: 0.2 us, where a step takes 5 to 6
 * ns (measured on Linux 6.18, x86_64).
 */
#define INSTRUCTION 36U

/*
 * Calls that programs make most count this often, so that their paths are not among the long ones. That matters to
 * those whose arguments are looked at; the kernel lets the others through without the program.
 */
#define COMMON 10U
static const char *const common[] = {"read", "write", "mmap", "futex", "openat"};

/* Ranges up to this width can be picked out of their surroundings number by number; more are cheaper cut out. */
#define NARROW 2U

/* One instruction. yes follows where a jump's condition holds and after all that is no jump. */
struct node {
    uint16_t code;
    uint32_t k;
    int yes;
    int no;
    int place; /* instructions from the end of the program; -1 before it is laid out */
    bool seen;
};

struct maker {
    struct node nodes[MOST_NODES];
    int n_nodes;
    struct sock_filter *backwards; /* laid out so far, the last instruction first */
    int n_placed;
    int otherwise; /* answer where no rule holds */
    int error; /* the first, 0 or -errno; what is made after it is void */
};

/* A rule less the conditions that are known to hold. */
struct row {
    struct seccomp_condition conditions[SECCOMP_POLICY_CONDITIONS];
    size_t n;
    int answer;
};

struct rows {
    struct row row[MOST_ROWS];
    size_t n;
};

/* Where a word goes that has `value` in the bits of `mask`. */
struct choice {
    uint32_t mask;
    uint32_t value;
    int target;
};

struct choices {
    struct choice choice[MOST_ROWS];
    size_t n;
};

/* Words in a row that go to one node; a range ends where the next begins, the last has no end. */
struct range {
    uint32_t first;
    int target;
    uint32_t weight; /* how often the kernel comes by, most of it while it loads the filter */
};

/* How the ranges low to high - 1 are told apart: cut in two before `cut`, or, with cut 0, one by one from `rest`. */
struct plan {
    uint64_t cost;
    size_t cut;
    int rest;
};

/* ---- the graph ------------------------------------------------------------------------------------------------- */

static int failed(struct maker *maker, int error)
{
    if (maker->error == 0)
        maker->error = error;
    return 0;
}

/* The node of this content. A test whose outcome does not matter is none. */
static int node(struct maker *maker, uint16_t code, uint32_t k, int yes, int no)
{
    if (BPF_CLASS(code) == BPF_JMP && yes == no)
        return yes;
    for (int i = 0; i < maker->n_nodes; i++) {
        const struct node *old = &maker->nodes[i];

        if (old->code == code && old->k == k && old->yes == yes && old->no == no)
            return i;
    }
    if (maker->n_nodes == MOST_NODES)
        return failed(maker, -EOVERFLOW);
    maker->nodes[maker->n_nodes] = (struct node){.code = code, .k = k, .yes = yes, .no = no, .place = -1};
    return maker->n_nodes++;
}

static int answer_node(struct maker *maker, uint32_t value)
{
    return node(maker, BPF_RET | BPF_K, value, -1, -1);
}

static int errno_node(struct maker *maker, int answer)
{
    if (answer == SECCOMP_POLICY_ASK)
        return answer_node(maker, SECCOMP_RET_USER_NOTIF);
    return answer_node(maker, answer == SECCOMP_POLICY_ALLOW ? SECCOMP_RET_ALLOW
                                                             : SECCOMP_RET_ERRNO | (uint32_t)answer);
}

/* A jump. Bits that lead to one node are tested together. */
static int jump_node(struct maker *maker, uint16_t operation, uint32_t k, int yes, int no)
{
    const struct node *after = &maker->nodes[no];

    if (operation == BPF_JSET && after->code == (BPF_JMP | BPF_JSET | BPF_K) && after->yes == yes)
        return node(maker, after->code, k | after->k, yes, after->no);
    return node(maker, (uint16_t)(BPF_JMP | operation | BPF_K), k, yes, no);
}

static int load_node(struct maker *maker, size_t offset, int next)
{
    return node(maker, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, next, -1);
}

/* The lower word of the argument on a little-endian machine, which both are. */
static int argument_node(struct maker *maker, unsigned argument, int next)
{
    return load_node(maker, offsetof(struct seccomp_data, args) + 8 * (size_t)argument, next);
}

static int and_node(struct maker *maker, uint32_t mask, int next)
{
    return mask == WORD ? next : node(maker, BPF_ALU | BPF_AND | BPF_K, mask, next, -1);
}

/* How many nodes a node leads to, itself included, that are not marked yet. */
static size_t count(struct maker *maker, int i)
{
    struct node *here;

    if (i < 0 || maker->nodes[i].seen)
        return 0;
    here = &maker->nodes[i];
    here->seen = true;
    return 1 + count(maker, here->yes) + count(maker, here->no);
}

static size_t size_of(struct maker *maker, int i)
{
    for (int j = 0; j < maker->n_nodes; j++)
        maker->nodes[j].seen = false;
    return count(maker, i);
}

/* ---- ranges of a word ------------------------------------------------------------------------------------------ */

static uint64_t width(const struct range *ranges, size_t n, size_t i)
{
    return (i + 1 < n ? ranges[i + 1].first : UINT64_C(1) << 32) - ranges[i].first;
}

/*
 * What it costs to pick the narrow ranges of low to high - 1 out one number at a time, what remains going to one node:
 * that of the wide ones, which must then be the same, or without wide ones that of the last.
 */
static struct plan plan_picking(const struct range *ranges, size_t n, size_t low, size_t high, uint64_t weight)
{
    struct plan plan = {UINT64_MAX, 0, ranges[high - 1].target};
    uint64_t picks = 0;

    for (size_t i = low; i < high; i++) {
        if (width(ranges, n, i) > NARROW)
            plan.rest = ranges[i].target;
    }
    for (size_t i = low; i < high; i++) {
        if (ranges[i].target == plan.rest)
            continue;
        if (width(ranges, n, i) > NARROW)
            return plan;
        picks += width(ranges, n, i);
    }
    plan.cost = picks * (INSTRUCTION + weight);
    return plan;
}

/* The cheapest way for every stretch of the ranges: plans[low * (n + 1) + high]. */
static void plan_ranges(const struct range *ranges, size_t n, struct plan *plans)
{
    for (size_t length = 1; length <= n; length++) {
        for (size_t low = 0; low + length <= n; low++) {
            size_t high = low + length;
            uint64_t weight = 0;
            struct plan best;

            for (size_t i = low; i < high; i++)
                weight += ranges[i].weight;
            best = plan_picking(ranges, n, low, high, weight);
            for (size_t cut = low + 1; cut < high; cut++) {
                uint64_t cost = INSTRUCTION + weight + plans[low * (n + 1) + cut].cost +
                                plans[cut * (n + 1) + high].cost;

                if (cost < best.cost)
                    best = (struct plan){cost, cut, 0};
            }
            plans[low * (n + 1) + high] = best;
        }
    }
}

static int carry_out(struct maker *maker, const struct range *ranges, size_t n, const struct plan *plans, size_t low,
                     size_t high)
{
    const struct plan *plan = &plans[low * (n + 1) + high];
    int here = plan->rest;

    if (plan->cut > 0) {
        int below = carry_out(maker, ranges, n, plans, low, plan->cut);
        int above = carry_out(maker, ranges, n, plans, plan->cut, high);

        return jump_node(maker, BPF_JGE, ranges[plan->cut].first, above, below);
    }
    for (size_t i = high; i-- > low;) {
        if (ranges[i].target == plan->rest)
            continue;
        for (uint64_t j = width(ranges, n, i); j-- > 0;)
            here = jump_node(maker, BPF_JEQ, ranges[i].first + (uint32_t)j, ranges[i].target, here);
    }
    return here;
}

/* Tells the ranges of the accumulator apart: a tree, with short runs of "is it this one" at its ends. */
static int ranges_node(struct maker *maker, const struct range *ranges, size_t n)
{
    struct plan *plans = calloc(n * (n + 1) + n + 1, sizeof *plans);
    int made;

    if (plans == NULL)
        return failed(maker, -ENOMEM);
    plan_ranges(ranges, n, plans);
    made = carry_out(maker, ranges, n, plans, 0, n);
    free(plans);
    return made;
}

/* Appends a range; one with the target of the last before it belongs to that. */
static void add_range(struct maker *maker, struct range *ranges, size_t *n, struct range more)
{
    if (*n > 0 && ranges[*n - 1].target == more.target) {
        ranges[*n - 1].weight += more.weight;
    } else if (*n == MOST_RANGES) {
        failed(maker, -EOVERFLOW);
    } else {
        ranges[(*n)++] = more;
    }
}

static int by_value(const void *left, const void *right)
{
    const struct choice *a = left;
    const struct choice *b = right;

    return (a->value > b->value) - (a->value < b->value);
}

/* The accumulator goes where the choices say, all of one mask that is in force already; otherwise to `other`. */
static int values_node(struct maker *maker, const struct choices *choices, int other)
{
    struct choices sorted = *choices;
    struct range ranges[2 * MOST_ROWS + 1];
    size_t n = 0;
    uint32_t next = 0; /* the first word that no range has yet */
    bool whole = false;

    qsort(sorted.choice, sorted.n, sizeof *sorted.choice, by_value);
    for (size_t i = 0; i < sorted.n; i++) {
        const struct choice *choice = &sorted.choice[i];

        if (choice->value > next)
            add_range(maker, ranges, &n, (struct range){next, other, 1});
        add_range(maker, ranges, &n, (struct range){choice->value, choice->target, 1});
        next = choice->value + 1;
        whole = choice->value == WORD;
    }
    if (!whole)
        add_range(maker, ranges, &n, (struct range){next, other, 1});
    return ranges_node(maker, ranges, n);
}

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static bool is_one_bit(uint32_t word)
{
    return word != 0 && (word & (word - 1)) == 0;
}

/* Choices that differ in one bit and lead to one node become one that does not look at that bit. */
static void merge(struct choices *choices)
{
    for (size_t i = 0; i < choices->n; i++) {
        for (size_t j = i + 1; j < choices->n; j++) {
            struct choice *a = &choices->choice[i];
            const struct choice *b = &choices->choice[j];
            uint32_t bit = a->value ^ b->value;

            if (a->mask != b->mask || a->target != b->target || !is_one_bit(bit) || a->mask == bit)
                continue;
            a->mask &= ~bit;
            a->value &= ~bit;
            choices->choice[j] = choices->choice[--choices->n];
            i = (size_t)-1; /* what is new may merge with what has been passed */
            break;
        }
    }
}

/* Whether one instruction tells it, without AND. */
static bool is_bit_test(const struct choice *choice)
{
    return choice->value == 0 || (choice->value == choice->mask && is_one_bit(choice->mask));
}

static int bit_test(struct maker *maker, const struct choice *choice, int other)
{
    return choice->value == 0 ? jump_node(maker, BPF_JSET, choice->mask, other, choice->target)
                              : jump_node(maker, BPF_JSET, choice->mask, choice->target, other);
}

/* Takes the choices of the mask that has most bits out into `taken`; false when there is none left. */
static bool take_mask(struct choices *choices, struct choices *taken)
{
    uint32_t mask = 0;
    size_t kept = 0;

    taken->n = 0;
    for (size_t i = 0; i < choices->n; i++) {
        if (__builtin_popcount(choices->choice[i].mask) > __builtin_popcount(mask))
            mask = choices->choice[i].mask;
    }
    for (size_t i = 0; i < choices->n; i++) {
        if (choices->choice[i].mask == mask)
            taken->choice[taken->n++] = choices->choice[i];
        else
            choices->choice[kept++] = choices->choice[i];
    }
    choices->n = kept;
    return taken->n > 0;
}

/* The choices one mask after the other, most bits first. `held` is the mask that the accumulator has been through. */
static int masks_node(struct maker *maker, unsigned argument, struct choices choices, uint32_t held, int other)
{
    struct choices taken;
    uint32_t mask;
    int here;

    if (!take_mask(&choices, &taken))
        return other;
    mask = taken.choice[0].mask;
    here = and_node(maker, mask, values_node(maker, &taken, masks_node(maker, argument, choices, mask, other)));
    return (mask & ~held) != 0 ? argument_node(maker, argument, here) : here;
}

/*
 * Sends the argument, which is in the accumulator, where the choices say. They exclude one another, so their order is
 * free: whole words first, then what one bit test tells, then what needs AND and spoils the accumulator.
 */
static int merged_node(struct maker *maker, unsigned argument, struct choices choices, int other)
{
    struct choices whole = {.n = 0};
    struct choices bits = {.n = 0};
    struct choices rest = {.n = 0};
    int here;

    merge(&choices);
    for (size_t i = 0; i < choices.n; i++) {
        const struct choice *choice = &choices.choice[i];
        struct choices *of = choice->mask == WORD ? &whole : is_bit_test(choice) ? &bits : &rest;

        of->choice[of->n++] = *choice;
    }
    here = masks_node(maker, argument, rest, WORD, other);
    for (size_t i = bits.n; i-- > 0;)
        here = bit_test(maker, &bits.choice[i], here);
    return whole.n > 0 ? values_node(maker, &whole, here) : here;
}

/* The shorter of two ways to make the choice, with the argument loaded. */
static int choose(struct maker *maker, unsigned argument, const struct choices *choices, int other)
{
    int merged = merged_node(maker, argument, *choices, other);
    int plain = masks_node(maker, argument, *choices, WORD, other);

    return size_of(maker, merged) < size_of(maker, plain) ? merged : plain;
}

static const struct seccomp_condition *condition_on(const struct row *row, unsigned argument)
{
    for (size_t i = 0; i < row->n; i++) {
        if (row->conditions[i].argument == argument)
            return &row->conditions[i];
    }
    return NULL;
}

static bool is_same(const struct seccomp_condition *a, const struct seccomp_condition *b)
{
    return a->mask == b->mask && a->value == b->value;
}

static bool exclude(const struct seccomp_condition *a, const struct seccomp_condition *b)
{
    return ((a->value ^ b->value) & a->mask & b->mask) != 0;
}

static struct row without(const struct row *row, const struct seccomp_condition *condition)
{
    struct row less = {.answer = row->answer};

    for (size_t i = 0; i < row->n; i++) {
        if (&row->conditions[i] != condition)
            less.conditions[less.n++] = row->conditions[i];
    }
    return less;
}

/* What is left to ask once it is known that a condition holds. What follows a row without conditions is never asked. */
static struct rows rows_if(const struct rows *rows, const struct seccomp_condition *holds)
{
    struct rows left = {.n = 0};

    for (size_t i = 0; i < rows->n; i++) {
        const struct seccomp_condition *condition = condition_on(&rows->row[i], holds->argument);

        if (condition != NULL && !is_same(condition, holds) && exclude(condition, holds))
            continue;
        left.row[left.n++] = condition != NULL && is_same(condition, holds) ? without(&rows->row[i], condition)
                                                                            : rows->row[i];
        if (left.row[left.n - 1].n == 0)
            break;
    }
    return left;
}

/* The same once it is known that it does not hold; with holds->mask 0, that no condition on the argument does. */
static struct rows rows_unless(const struct rows *rows, const struct seccomp_condition *holds)
{
    struct rows left = {.n = 0};

    for (size_t i = 0; i < rows->n; i++) {
        const struct seccomp_condition *condition = condition_on(&rows->row[i], holds->argument);

        if (condition != NULL && (holds->mask == 0 || is_same(condition, holds)))
            continue;
        left.row[left.n++] = rows->row[i];
    }
    return left;
}

static int rows_node(struct maker *maker, const struct rows *rows, unsigned held);

/*
 * The choices that the rows make by one argument and where they lead; false where that is no such list, because two of
 * the conditions can hold together: the earlier is then still open when the later is known to hold.
 */
static bool list_choices(struct maker *maker, const struct rows *rows, unsigned argument, struct choices *choices)
{
    choices->n = 0;
    for (size_t i = 0; i < rows->n; i++) {
        const struct seccomp_condition *condition = condition_on(&rows->row[i], argument);
        struct rows left;
        bool listed = false;

        if (condition == NULL)
            continue;
        for (size_t j = 0; j < choices->n; j++)
            listed = listed || (choices->choice[j].mask == condition->mask &&
                                choices->choice[j].value == condition->value);
        if (listed)
            continue;
        left = rows_if(rows, condition);
        for (size_t j = 0; j < left.n; j++) {
            if (condition_on(&left.row[j], argument) != NULL)
                return false;
        }
        choices->choice[choices->n++] =
            (struct choice){condition->mask, condition->value, rows_node(maker, &left, NOTHING)};
    }
    return true;
}

/* One condition by itself, then what is left either way: always right, seldom short. The argument is loaded. */
static int condition_node(struct maker *maker, const struct rows *rows, const struct seccomp_condition *condition)
{
    struct choice choice = {condition->mask, condition->value, 0};
    bool spoils = condition->mask != WORD && !is_bit_test(&choice);
    unsigned held = spoils ? NOTHING : condition->argument;
    struct rows left = rows_if(rows, condition);
    int no;

    choice.target = rows_node(maker, &left, held);
    left = rows_unless(rows, condition);
    no = rows_node(maker, &left, held);
    if (condition->mask != WORD && !spoils)
        return bit_test(maker, &choice, no);
    return and_node(maker, condition->mask, jump_node(maker, BPF_JEQ, condition->value, choice.target, no));
}

/* Answers a call by its rows, the first that holds. `held` is the argument in the accumulator, or NOTHING. */
static int rows_node(struct maker *maker, const struct rows *rows, unsigned held)
{
    const struct seccomp_condition *first;
    struct choices choices;
    int here;

    if (rows->n == 0)
        return errno_node(maker, maker->otherwise);
    if (rows->row[0].n == 0 || maker->error != 0)
        return errno_node(maker, rows->row[0].answer);
    first = &rows->row[0].conditions[0];
    if (list_choices(maker, rows, first->argument, &choices)) {
        struct rows left = rows_unless(rows, &(struct seccomp_condition){.argument = first->argument});

        here = choose(maker, first->argument, &choices, rows_node(maker, &left, NOTHING));
    } else {
        here = condition_node(maker, rows, first);
    }
    return held == first->argument ? here : argument_node(maker, first->argument, here);
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static void collect_rows(struct maker *maker, const struct seccomp_rule *rules, size_t n_rules,
                         enum seccomp_machine machine, int number, struct rows *rows)
{
    rows->n = 0;
    for (size_t i = 0; i < n_rules; i++) {
        struct row row = {.n = seccomp_rule_conditions(&rules[i]), .answer = rules[i].answer};

        if (seccomp_rule_number(&rules[i], machine) != number)
            continue;
        if (rows->n == MOST_ROWS) {
            failed(maker, -EOVERFLOW);
            return;
        }
        memcpy(row.conditions, rules[i].conditions, sizeof row.conditions);
        rows->row[rows->n++] = row;
    }
}

static int most_number(const struct seccomp_rule *rules, size_t n_rules, enum seccomp_machine machine)
{
    int most = -1;

    for (size_t i = 0; i < n_rules; i++) {
        if (seccomp_rule_number(&rules[i], machine) > most)
            most = seccomp_rule_number(&rules[i], machine);
    }
    return most;
}

static uint32_t weight_of(const struct seccomp_rule *rules, size_t n_rules, enum seccomp_machine machine, int number)
{
    for (size_t i = 0; i < n_rules; i++) {
        for (size_t c = 0; c < sizeof common / sizeof *common; c++) {
            if (seccomp_rule_number(&rules[i], machine) == number && strcmp(rules[i].name, common[c]) == 0)
                return COMMON;
        }
    }
    return 1;
}

/* The whole program. x32 calls, whose bit makes their numbers great, end up in the last range, that of no rule. */
static int first_node(struct maker *maker, const struct seccomp_rule *rules, size_t n_rules,
                      enum seccomp_machine machine)
{
    static struct range ranges[MOST_RANGES];
    static struct rows rows;
    int most = most_number(rules, n_rules, machine);
    size_t n = 0;
    int numbers;

    for (int number = 0; number <= most; number++) {
        collect_rows(maker, rules, n_rules, machine, number, &rows);
        add_range(maker, ranges, &n,
                  (struct range){(uint32_t)number, rows_node(maker, &rows, NOTHING),
                                 weight_of(rules, n_rules, machine, number)});
    }
    add_range(maker, ranges, &n,
              (struct range){(uint32_t)(most + 1), errno_node(maker, maker->otherwise), 0});
    numbers = load_node(maker, offsetof(struct seccomp_data, nr), ranges_node(maker, ranges, n));
    return load_node(maker, offsetof(struct seccomp_data, arch),
                     jump_node(maker, BPF_JEQ, seccomp_machine_arch(machine), numbers,
                               answer_node(maker, SECCOMP_RET_KILL_PROCESS)));
}

/* ---- the layout ------------------------------------------------------------------------------------------------ */

/* Puts one instruction in front of what is there; its place. */
static int put(struct maker *maker, struct sock_filter instruction)
{
    if (maker->n_placed == BPF_MAXINSNS)
        return failed(maker, -EOVERFLOW);
    maker->backwards[maker->n_placed] = instruction;
    return maker->n_placed++;
}

/* What a jump that is put next says to get to a place. */
static int distance(const struct maker *maker, int place)
{
    return maker->n_placed - place - 1;
}

/* A place from which the one given is reached, made here: a copy of a return, or a jump that reaches further. */
static int closer(struct maker *maker, int place)
{
    struct sock_filter there = maker->backwards[place];

    if (BPF_CLASS(there.code) == BPF_RET)
        return put(maker, there);
    return put(maker, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)distance(maker, place)));
}

static void lay_out(struct maker *maker, int i)
{
    struct node *here = &maker->nodes[i];
    int yes;
    int no;

    if (here->place >= 0 || maker->error != 0)
        return;
    if (BPF_CLASS(here->code) == BPF_RET) {
        here->place = put(maker, (struct sock_filter)BPF_STMT(here->code, here->k));
        return;
    }
    lay_out(maker, here->yes);
    yes = maker->nodes[here->yes].place;
    if (BPF_CLASS(here->code) != BPF_JMP) {
        if (distance(maker, yes) != 0)
            closer(maker, yes);
        here->place = put(maker, (struct sock_filter)BPF_STMT(here->code, here->k));
        return;
    }
    lay_out(maker, here->no);
    no = maker->nodes[here->no].place;
    while (maker->error == 0 && (distance(maker, yes) > UINT8_MAX || distance(maker, no) > UINT8_MAX)) {
        if (distance(maker, yes) > UINT8_MAX)
            yes = closer(maker, yes);
        else
            no = closer(maker, no);
    }
    here->place = put(maker, (struct sock_filter)BPF_JUMP(here->code, here->k, (unsigned char)distance(maker, yes),
                                                          (unsigned char)distance(maker, no)));
}

int seccomp_compile(const struct seccomp_rule *rules, size_t n_rules, int otherwise,
                    enum seccomp_machine machine, struct sock_filter *program, size_t *length)
{
    struct maker *maker = calloc(1, sizeof *maker);
    int r;

    if (maker == NULL)
        return -ENOMEM;
    maker->backwards = program;
    maker->otherwise = otherwise;
    lay_out(maker, first_node(maker, rules, n_rules, machine));
    r = maker->error;
    *length = (size_t)maker->n_placed;
    for (size_t i = 0; i < *length / 2; i++) {
        struct sock_filter swapped = program[i];

        program[i] = program[*length - 1 - i];
        program[*length - 1 - i] = swapped;
    }
    free(maker);
    return r;
}
