/* readings: what a leaf's files say, as kernels write them and as they never should, and whom the kernel log names. */
#include "unit.h"

#include "readings.h"

static const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);

/* The text in a copy of exact size. */
static bool keyed(const char *text, const char *key, uint64_t *out)
{
    char *copy = copy_text(text);

    *out = untouched;
    bool found = readings_keyed(copy, key, out);
    free(copy);
    if (!found)
        assert_int_equal(*out, untouched);
    return found;
}

static bool single(const char *text, uint64_t *out)
{
    char *copy = copy_text(text);

    *out = untouched;
    bool found = readings_single(copy, out);
    free(copy);
    if (!found)
        assert_int_equal(*out, untouched);
    return found;
}

static void keyed_files(void **state)
{
    static const char v1[] = "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n";
    static const char v2[] = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 4\n";
    uint64_t value;

    (void)state;
    assert_true(keyed(v1, "oom_kill", &value));
    assert_int_equal(value, 2);
    assert_true(keyed(v1, "oom_kill_disable", &value));
    assert_int_equal(value, 0);
    assert_true(keyed(v2, "oom_kill", &value));
    assert_int_equal(value, 1);
    assert_true(keyed(v2, "max", &value));
    assert_int_equal(value, 31);
    assert_true(keyed(v2, "oom_group_kill", &value));
    assert_int_equal(value, 4);
    assert_false(keyed(v2, "kill", &value));
    assert_false(keyed(v2, "oom_kil", &value));
    assert_false(keyed(v2, "oom_kill 1", &value)); /* a key holds no blank */
    assert_false(keyed("", "max", &value));
    assert_false(keyed("\n", "max", &value));
    assert_true(keyed("\n\nmax 3\n", "max", &value));
    assert_true(keyed("max 3\nmax 4\n", "max", &value));
    assert_int_equal(value, 3);
    assert_false(keyed("max x\nmax 4\n", "max", &value));
}

static void numbers(void **state)
{
    static const char *const bad[] = {
        "", "\n", "-1\n", "+1\n", " 1\n", "1 \n", "1 2\n", "max\n", "1.5\n", "0x10\n", "1e3\n", "1\r\n", "\n5\n", "1",
        "123", "18446744073709551616\n", "18446744073709551620\n", "99999999999999999999\n",
        "100000000000000000000000000000000000000000\n"};
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0\n", 0}, {"7\n", 7}, {"0007\n", 7}, {"18446744073709551615\n", UINT64_MAX},
                {"00000000000000000000000000018446744073709551615\n", UINT64_MAX}};
    uint64_t value;
    char text[128];

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_false(single(bad[i], &value));
        snprintf(text, sizeof text, "a 1\nkey %s", bad[i]);
        assert_false(keyed(text, "key", &value));
    }
    for (size_t i = 0; i < LENGTH(good); i++) {
        assert_true(single(good[i].text, &value));
        assert_true(value == good[i].value);
        snprintf(text, sizeof text, "a 1\nkey %s", good[i].text);
        assert_true(keyed(text, "key", &value));
        assert_true(value == good[i].value);
    }
    assert_false(single("1\n2\n", &value)); /* more than one number */
    assert_false(single("1\n\n", &value));
}

/* What was believed before: a number cut off, wrapped round, or taken from the next line. Kept by name in the fuzz
 * corpus too. */
static void regressions(void **state)
{
    uint64_t value;

    (void)state;
    assert_false(keyed("oom_kill -1\n", "oom_kill", &value));           /* signs */
    assert_false(keyed("oom_kill \n7\n", "oom_kill", &value));          /* number-on-the-next-line */
    assert_false(keyed("oom_kill 18446744073709551616\n", "oom_kill", &value)); /* number-too-large */
    assert_false(keyed("oom_kill 1", "oom_kill", &value));              /* number-cut-off */
    assert_false(single("12 13\n", &value));                            /* words-for-numbers */
}

static void every_file(void **state)
{
    const struct readings_texts v2 = {
        .oom = "max 3\noom_kill 1\n",
        .memory_peak = "268435456\n",
        .pids_peak = "50\n",
        .pids_events = "max 17\n",
        .cpu = "usage_usec 52340\nuser_usec 41200\nsystem_usec 11140\nnr_periods 12\nnr_throttled 5\n"
               "throttled_usec 230117\n",
    };
    struct readings got;

    (void)state;
    memset(&got, 0x5a, sizeof got);
    readings_parse(&v2, &got);
    assert_int_equal(got.oom_kills, 1);
    assert_true(got.have_peak);
    assert_int_equal(got.memory_peak, 268435456);
    assert_true(got.have_pids_peak);
    assert_int_equal(got.pids_peak, 50);
    assert_true(got.have_pids);
    assert_int_equal(got.pids_denied, 17);
    assert_true(got.have_cpu);
    assert_int_equal(got.cpu_user, 41200000);
    assert_int_equal(got.cpu_system, 11140000);
    assert_true(got.have_throttled);
    assert_int_equal(got.throttled, 230117000);
    assert_int_equal(got.throttled_periods, 5);

    struct readings_texts hybrid = v2; /* throttled_time is in ns */
    hybrid.cpu = "usage_usec 3\nuser_usec 2\nsystem_usec 1\n";
    hybrid.cpu_v1 = "nr_periods 7\nnr_throttled 3\nthrottled_time 121000342\n";
    readings_parse(&hybrid, &got);
    assert_true(got.have_cpu && got.have_throttled);
    assert_int_equal(got.cpu_user, 2000);
    assert_int_equal(got.throttled, 121000342);
    assert_int_equal(got.throttled_periods, 3);

    hybrid.cpu_v1 = NULL; /* nobody tells of throttling */
    readings_parse(&hybrid, &got);
    assert_true(got.have_cpu && !got.have_throttled);
}

static void unknown_stays_unknown(void **state)
{
    const struct readings_texts none = {0};
    const struct readings_texts junk = {"oom_kill max\n", "max\n",         "",
                                        "populated 1\n",  "user_usec 1\n", "nr_throttled 1\n"};
    const struct readings_texts huge = {
        .cpu = "user_usec 18446744073709552\nsystem_usec 1\nthrottled_usec 1\nnr_throttled 1\n"};
    struct readings got;

    (void)state;
    memset(&got, 0x5a, sizeof got);
    readings_parse(&none, &got);
    assert_int_equal(got.oom_kills, 0);
    assert_false(got.have_peak || got.have_pids_peak || got.have_pids || got.have_cpu || got.have_throttled);
    memset(&got, 0x5a, sizeof got);
    readings_parse(&junk, &got);
    assert_int_equal(got.oom_kills, 0);
    assert_false(got.have_peak || got.have_pids_peak || got.have_pids || got.have_cpu || got.have_throttled);
    readings_parse(&huge, &got); /* more than 64 bits of ns */
    assert_false(got.have_cpu);
    assert_true(got.have_throttled);
}

static void read_back(void **state)
{
    static const struct {
        const char *text, *expected;
        bool same;
    } rows[] = {{"50\n", "50", true},      {"50000 100000\n", "50000 100000", true}, {"\n", "", true},
                {"50", "50", false},       {"50\n\n", "50", false},                  {"5\n", "50", false},
                {"50 \n", "50", false},    {"max\n", "50", false},                   {"", "50", false},
                {"", "", false},           {"51\n", "50", false},                    {"500\n", "50", false}};

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char *text = copy_bytes(rows[i].text, strlen(rows[i].text)); /* no NUL behind it */
        assert_int_equal(readings_same(text, strlen(rows[i].text), rows[i].expected), rows[i].same);
        free(text);
    }
    assert_false(readings_same("50\0\n", 4, "50"));
}

#define LEAF "/bivy/bivy-3q4fjm6hu3ne"
#define RECORD(group, task, rest)                                                                                  \
    "6,59683,11225023018,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" \
    group ",task_memcg=" task ",task=" rest

/* Who was killed for the limit of that, or NULL. */
static const char *victim_of(enum oom_of limit, const char *record, const char *path)
{
    static char name[32];
    char *copy = copy_text(record);

    strcpy(name, "untouched");
    enum oom_of found = readings_oom_name(copy, path, name, sizeof name);
    free(copy);
    if (found == OOM_UNKNOWN)
        assert_string_equal(name, "untouched");
    return found == limit ? name : NULL;
}

static const char *victim(const char *record, const char *path)
{
    return victim_of(OOM_OF_LEAF, record, path);
}

static void victims(void **state)
{
    (void)state;
    assert_string_equal(victim(RECORD(LEAF, LEAF, "payload,pid=407,uid=12345\n"), LEAF), "payload");
    assert_string_equal(victim(RECORD(LEAF, LEAF, "a,pid=1,uid=0,pid=407,uid=12345\n"), LEAF), "a,pid=1,uid=0");
    assert_string_equal(victim(RECORD(LEAF, LEAF, ",pid=407,uid=12345\n"), LEAF), "");
    /* as the log has it */
    assert_string_equal(victim(RECORD(LEAF, LEAF, "\\x1b[31m,pid=407,uid=12345\n"), LEAF), "\\x1b[31m");
    assert_string_equal(victim("6,1,2,-,caller=T7;oom-kill:x,oom_memcg=" LEAF ",task_memcg=" LEAF ",task=y,pid=1\n",
                               LEAF), "y");

    assert_null(victim(RECORD(LEAF, LEAF, "payload,pid=407,uid=12345\n"), LEAF "x"));
    assert_null(victim(RECORD(LEAF, LEAF, "payload,pid=407,uid=12345\n"), "/bivy/bivy-3q4fjm6hu3n"));
    /* a parent's limit, not the leaf's */
    assert_null(victim(RECORD("/bivy", LEAF, "payload,pid=407,uid=12345\n"), LEAF));
    assert_string_equal(victim_of(OOM_ABOVE, RECORD("/bivy", LEAF, "payload,pid=407,uid=12345\n"), LEAF), "payload");
    assert_null(victim_of(OOM_ABOVE, RECORD("/biv", LEAF, "payload,pid=407,uid=12345\n"), LEAF)); /* a neighbour's */
    assert_null(victim_of(OOM_ABOVE, RECORD("", LEAF, "payload,pid=407,uid=12345\n"), LEAF));
    assert_null(victim_of(OOM_ABOVE, RECORD("/bivy", LEAF "x", "payload,pid=407,uid=12345\n"), LEAF));
    assert_null(victim(RECORD(LEAF, LEAF, "payload\n"), LEAF)); /* cut off */
    assert_null(victim("4,59604,11225022716,-;payload invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL)\n", LEAF));
    assert_null(victim("6,1,2,-;oom-kill:x,global_oom,task_memcg=" LEAF ",task=x,pid=1\n", LEAF));
    assert_string_equal(victim_of(OOM_OF_HOST, "6,1,2,-;oom-kill:x,global_oom,task_memcg=" LEAF ",task=x,pid=1\n", LEAF), "x");
    assert_null(victim_of(OOM_OF_HOST, "6,1,2,-;oom-kill:x,global_oom,task_memcg=" LEAF "x,task=x,pid=1\n", LEAF));
    assert_null(victim("", LEAF));
    assert_null(victim("oom-kill:", LEAF));
    /* what somebody says is not what the kernel says */
    assert_null(victim("6,1,2,-;x oom-kill:,oom_memcg=" LEAF ",task_memcg=" LEAF ",task=x,pid=1\n", LEAF));
}

/* A cgroup parent may be called anything; a process's name may say anything. */
static void imitations(void **state)
{
    static const char parent[] = "/a,task=b/bivy-3q4fjm6hu3ne"; /* oom-parent-called-like-a-task */
    char record[512], name[8];

    (void)state;
    snprintf(record, sizeof record, "6,1,2,-;oom-kill:x,oom_memcg=%s,task_memcg=%s,task=payload,pid=1,uid=2\n", parent,
             parent);
    assert_string_equal(victim(record, parent), "payload");
    /* oom-name-imitates-leaf */
    assert_null(victim(RECORD("/other", "/other", ",oom_memcg=" LEAF ",task_memcg=" LEAF ",task=evil,pid=1,uid=2\n"),
                       LEAF));
    assert_null(victim_of(OOM_OF_HOST, RECORD("/other", "/other", ",global_oom,task_memcg=" LEAF ",task=evil,pid=1,uid=2\n"), LEAF));
    assert_string_equal(victim_of(OOM_ABOVE, RECORD("/a,task_memcg=b", "/a,task_memcg=b/c", "x,pid=1\n"), "/a,task_memcg=b/c"), "x");
    assert_true(readings_oom_name(RECORD(LEAF, LEAF, "a long name,pid=1,uid=2\n"), LEAF, name, sizeof name));
    assert_string_equal(name, "a long "); /* cut off to fit */
}

/* memory.stat: v1 says it of the cgroup alone as well, and that is not what is asked for. */
static void cache(void **state)
{
    static const char v1[] = "cache 1\ndirty 2\nwriteback 3\ntotal_cache 4096\ntotal_dirty 10\ntotal_writeback 7\n";
    static const char v2[] = "anon 5\nfile 8192\nshmem 1\nfile_dirty 0\nfile_writeback 4\n";
    uint64_t cached = 0, unwritten = 0;

    (void)state;
    assert_true(readings_cache(v1, true, &cached, &unwritten));
    assert_int_equal(cached, 4096);
    assert_int_equal(unwritten, 17);
    assert_true(readings_cache(v2, false, &cached, &unwritten));
    assert_int_equal(cached, 8192);
    assert_int_equal(unwritten, 4);
    assert_false(readings_cache(v1, false, &cached, &unwritten));
    assert_false(readings_cache(v2, true, &cached, &unwritten));
    assert_false(readings_cache("total_cache 1\ntotal_dirty 2\n", true, &cached, &unwritten));
    assert_false(readings_cache("", false, &cached, &unwritten));
}

/* What of memory.stat is what. */
static void usage(void **state)
{
    static const char v1[] = "cache 1\nrss 2\nshmem 3\ntotal_cache 5000\ntotal_rss 7000\ntotal_shmem 4000\n";
    static const char v2[] = "anon 7000\nfile 5000\nkernel 9\nshmem 4000\n";
    struct usage seen = {.total = 13000};

    (void)state;
    assert_true(readings_usage_parse(v1, true, &seen));
    assert_true(seen.heap == 7000 && seen.scratch == 4000 && seen.cache == 1000 && seen.kernel == 1000);
    seen = (struct usage){.total = 11000}; /* read before the parts had grown */
    assert_true(readings_usage_parse(v2, false, &seen));
    assert_true(seen.heap == 7000 && seen.scratch == 4000 && seen.cache == 1000 && seen.kernel == 0 && seen.total == 12000);
    assert_true(readings_usage_parse("anon 1\nfile 2\nshmem 3\n", false, &seen)); /* shmem has grown meanwhile */
    assert_int_equal(seen.cache, 0);
    assert_int_equal(seen.major_faults, 0);
    assert_true(readings_usage_parse("anon 1\nfile 2\nshmem 3\npgfault 99\npgmajfault 77\n", false, &seen));
    assert_int_equal(seen.major_faults, 77);
    assert_true(readings_usage_parse("pgmajfault 8\ntotal_cache 1\ntotal_rss 2\ntotal_pgmajfault 9\ntotal_shmem 0\n", true, &seen));
    assert_int_equal(seen.major_faults, 9);
    seen = (struct usage){.total = 40 << 20}; /* the sums of v2 are behind what is charged, and a line that says how much is the kernel's shows it */
    assert_true(readings_usage_parse("anon 1048576\nfile 0\nkernel 1048576\nshmem 0\n", false, &seen));
    assert_int_equal(seen.behind, 38 << 20);
    assert_true(readings_usage_parse("anon 1048576\nfile 0\nkernel 1048576\nsock 37748736\nshmem 0\n", false, &seen));
    assert_int_equal(seen.behind, 0); /* what sockets hold is neither */
    assert_true(readings_usage_parse("anon 37748736\nfile 0\nkernel 1048576\nshmem 0\n", false, &seen));
    assert_int_equal(seen.behind, 0);
    assert_true(readings_usage_parse("anon 1048576\nfile 0\nshmem 0\n", false, &seen)); /* before Linux 5.18 it cannot be told */
    assert_true(seen.behind == 0 && seen.kernel == 39 << 20);
    seen = (struct usage){.total = 31 << 20}; /* v1 has that in a file of its own; and who held the rest had gone before memory.stat was read */
    assert_true(readings_usage_parse("total_cache 0\ntotal_rss 3145728\ntotal_shmem 0\n", true, &seen));
    assert_true(seen.kernel == 28 << 20 && seen.behind == 0);
    readings_usage_kernel(&seen, 300000);
    assert_int_equal(seen.behind, (28 << 20) - 300000);
    readings_usage_kernel(&seen, 27 << 20);
    assert_int_equal(seen.behind, 0);
    assert_false(readings_usage_parse(v1, false, &seen));
    assert_false(readings_usage_parse("anon 1\nfile 2\n", false, &seen));
    assert_false(readings_usage_parse("anon 1\nfile 2\nshmem 3", false, &seen));
}

/* Killed at the limit: what the kernel does not name of it is its own. */
static void full(void **state)
{
    struct usage usage = {.moment = MOMENT_LIMIT, .total = 900, .heap = 500, .scratch = 300, .kernel = 100};

    (void)state;
    readings_usage_full(&usage, 1000);
    assert_true(usage.total == 1000 && usage.kernel == 200 && usage.heap == 500);
    /* pid 1 said at the end how much was scratch */
    readings_usage_scratch(&usage, 250);
    assert_true(usage.total == 1000 && usage.kernel == 200 && usage.scratch == 300);
    readings_usage_scratch(&usage, 400); /* the sums were behind */
    assert_true(usage.total == 1000 && usage.kernel == 100 && usage.scratch == 400);
    readings_usage_scratch(&usage, 1400); /* the look came late */
    assert_true(usage.total == 1900 && usage.kernel == 0 && usage.scratch == 1400 && usage.heap == 500);
    usage = (struct usage){.moment = MOMENT_LIMIT, .total = 1000, .heap = 500, .scratch = 300, .kernel = 200};
    readings_usage_full(&usage, 0);
    readings_usage_full(&usage, 999);
    assert_true(usage.total == 1000 && usage.kernel == 200);
}

static void log_of(struct oom_report *report, const char *const *records)
{
    *report = (struct oom_report){0};
    for (; *records; records++) {
        char *copy = copy_text(*records);
        readings_oom_record(copy, LEAF, report);
        free(copy);
    }
}

#define LOG(...) ((const char *const[]){__VA_ARGS__, NULL})
#define KILLED(pid, name) "3,9,9,-;Memory cgroup out of memory: Killed process " pid " (" name ") total-vm:900kB, anon-rss:100kB, " \
                          "file-rss:20kB, shmem-rss:3kB, UID:1 pgtables:216kB oom_score_adj:0\n"

static void oom_log(void **state)
{
    struct oom_report report;

    (void)state;
    log_of(&report, LOG("6,1,2,-;memory: usage 131072kB, limit 131072kB, failcnt 0\n", "6,1,2,-;Memory cgroup stats for " LEAF ":\n",
                        "6,1,2,-;cache 4\n", "6,1,2,-;total_cache 5000\n", "6,1,2,-;total_rss 7000\n", "6,1,2,-;total_rss_huge 1\n",
                        "6,1,2,-;total_shmem 4000\n", "6,1,2,-;Tasks state (memory values in pages):\n",
                        RECORD(LEAF, LEAF, "python3,pid=407,uid=12345\n"), KILLED("407", "python3")));
    assert_string_equal(report.name, "python3");
    assert_true(report.pid == 407 && report.bytes == 123 * 1024);
    assert_true(report.usage.moment == MOMENT_LIMIT && report.usage.heap == 7000 && report.usage.scratch == 4000 && report.usage.cache == 1000);
    /* v2 before 6.12: one record, the newlines escaped */
    log_of(&report, LOG("6,1,2,-;Memory cgroup stats for " LEAF ":\n", "6,1,2,-;anon 7000\\x0afile 5000\\x0akernel 300\\x0ashmem 4000\n",
                        RECORD(LEAF, LEAF, "x,pid=407,uid=12345\n")));
    assert_true(report.usage.heap == 7000 && report.usage.cache == 1000 && report.usage.kernel == 300 && report.bytes == 0);
    /* another leaf's lines are not ours, nor is another process's size, nor what a name says */
    log_of(&report, LOG("6,1,2,-;Memory cgroup stats for " LEAF "x:\n", "6,1,2,-;anon 7000\n",
                        RECORD(LEAF, LEAF, "x) anon-rss:9,pid=407,uid=12345\n"), KILLED("408", "x"), KILLED("407", ", anon-rss:7kB"), KILLED("407", "y")));
    assert_true(report.usage.moment == MOMENT_NONE && report.bytes == 123 * 1024);
    log_of(&report, LOG(RECORD("/other", "/other", "x,pid=407,uid=1\n"), KILLED("407", "x")));
    assert_true(report.name[0] == '\0' && report.bytes == 0 && report.pid == 0);
    log_of(&report, LOG("", ";", "6,1,2,-;", "6,1,2,-;Memory cgroup stats for ", KILLED("", "x"), KILLED("99999999999999999999", "x")));
    assert_true(report.name[0] == '\0' && report.bytes == 0);
    /* for want of the host's memory, or of a cgroup's above: what the leaf held is not in the log then */
    log_of(&report, LOG("6,1,2,-;oom-kill:x,global_oom,task_memcg=" LEAF ",task=x,pid=407,uid=1\n",
                        "3,9,9,-;Out of memory: Killed process 407 (x) total-vm:900kB, anon-rss:100kB, file-rss:20kB, shmem-rss:3kB, UID:1\n"));
    assert_true(report.of == OOM_OF_HOST && !strcmp(report.name, "x") && report.bytes == 123 * 1024 && !report.usage.moment);
    log_of(&report, LOG("6,1,2,-;Memory cgroup stats for /bivy:\n", "6,1,2,-;total_rss 7000\n", RECORD("/bivy", LEAF, "y,pid=407,uid=1\n"),
                        KILLED("407", "y")));
    assert_true(report.of == OOM_ABOVE && report.bytes == 123 * 1024 && !report.usage.moment);
    /* the last kill counts */
    log_of(&report, LOG(RECORD(LEAF, LEAF, "one,pid=1,uid=1\n"), KILLED("1", "one"), RECORD(LEAF, LEAF, "two,pid=2,uid=1\n")));
    assert_true(!strcmp(report.name, "two") && report.bytes == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyed_files), cmocka_unit_test(numbers),
        cmocka_unit_test(regressions), cmocka_unit_test(every_file),
        cmocka_unit_test(unknown_stays_unknown), cmocka_unit_test(read_back),
        cmocka_unit_test(victims), cmocka_unit_test(imitations),
        cmocka_unit_test(cache), cmocka_unit_test(usage), cmocka_unit_test(full), cmocka_unit_test(oom_log),
    };

    return cmocka_run_group_tests_name("readings", tests, NULL, NULL);
}
