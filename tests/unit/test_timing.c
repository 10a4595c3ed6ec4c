/* timing: rows of made-up beginnings. */
#include "unit.h"

#include "timing.h"

static struct timing timing;
static struct timing_row rows[TIMING_COUNT];

static int fresh(void **state)
{
    (void)state;
    memset(&timing, 0, sizeof timing);
    memset(rows, 0xa5, sizeof rows);
    return 0;
}

static void check_row(size_t i, const char *name, const char *side, uint64_t start, uint64_t ns)
{
    assert_string_equal(rows[i].name, name);
    assert_string_equal(rows[i].side, side);
    assert_int_equal(rows[i].start, start);
    assert_int_equal(rows[i].ns, ns);
}

static void nothing_began(void **state)
{
    (void)state;
    assert_int_equal(timing_rows(&timing, rows), 0);
}

/* The last one's end is not known. */
static void one_has_no_end(void **state)
{
    (void)state;
    timing.began[STAGE_REPORT] = 7;
    assert_int_equal(timing_rows(&timing, rows), 0);
}

/* Each side ends its own stages; the sandbox's last is over when the host goes on. */
static void sides_apart(void **state)
{
    (void)state;
    timing.began[STAGE_REPORT] = 1000;
    timing.began[STAGE_CLONE] = 1100;
    timing.began[STAGE_INHERITED] = 1150;
    timing.began[TIMING_WAIT] = 1200;
    timing.began[STAGE_GATE] = 1300;
    timing.began[TIMING_COMMAND] = 1310;
    timing.began[TIMING_TEARDOWN] = 1400;
    timing.began[TIMING_OUTPUT] = 1500;
    timing.began[TIMING_DONE] = 1600;
    assert_int_equal(timing_rows(&timing, rows), 8);
    check_row(0, "report", "host", 0, 100);
    check_row(1, "clone", "host", 100, 100);
    check_row(2, "inherited", "sandbox", 150, 150);
    check_row(3, "wait", "host", 200, 300);
    check_row(4, "gate", "sandbox", 300, 10);
    check_row(5, "command", "sandbox", 310, 90);
    check_row(6, "teardown", "sandbox", 400, 100);
    check_row(7, "output", "host", 500, 100);
}

/* Times that make no sense, as a child that was killed half-way may leave them, give rows, no crash and no wrap-around. */
static void odd_times(void **state)
{
    (void)state;
    for (int stage = 0; stage < TIMING_COUNT; stage++)
        timing.began[stage] = stage % 3 ? UINT64_MAX - (uint64_t)stage : 1 + (uint64_t)stage;
    size_t count = timing_rows(&timing, rows);
    assert_in_range(count, 1, TIMING_COUNT);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(rows[i].name);
        assert_true(rows[i].start + rows[i].ns >= rows[i].start);
        assert_true(i == 0 || rows[i].start >= rows[i - 1].start);
    }
}

/* Two that begin at once: the order of the table, the first one empty. */
static void at_once(void **state)
{
    (void)state;
    timing.began[STAGE_ROOTFS] = timing.began[STAGE_PLAN] = 5;
    timing.began[STAGE_CGROUP] = 9;
    assert_int_equal(timing_rows(&timing, rows), 2);
    check_row(0, "rootfs", "host", 0, 0);
    check_row(1, "plan", "host", 0, 4);
}

static void every_stage_has_a_name(void **state)
{
    (void)state;
    for (int stage = 0; stage < TIMING_COUNT; stage++)
        timing.began[stage] = 10 + (uint64_t)stage;
    size_t count = timing_rows(&timing, rows);
    assert_int_equal(count, TIMING_COUNT - 1); /* all but the last, which nothing ends */
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(rows[i].name, "unknown");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(rows[i].name, rows[j].name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_began, fresh), cmocka_unit_test_setup(one_has_no_end, fresh),
        cmocka_unit_test_setup(sides_apart, fresh),   cmocka_unit_test_setup(odd_times, fresh),
        cmocka_unit_test_setup(at_once, fresh),       cmocka_unit_test_setup(every_stage_has_a_name, fresh),
    };

    return cmocka_run_group_tests_name("timing", tests, NULL, NULL);
}
