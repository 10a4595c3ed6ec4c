/* fault: names as the record's schema has them, errno names as the C library has them, texts that always end. SCHEMA is the path
 * of docs/record.schema.json. */
#include "unit.h"

#include <limits.h>

#include "fault.h"

/* The words of "stage": {"enum": [...]} in the schema, in order. */
static size_t schema_stages(char words[][32], size_t room)
{
    FILE *file = fopen(SCHEMA, "re");
    char *text = NULL, *at;
    size_t size = 0, count = 0;

    if (!file)
        fail_msg("%s: %s", SCHEMA, strerror(errno));
    assert_true(getdelim(&text, &size, '\0', file) > 0);
    fclose(file);
    for (at = text; (at = strstr(at, "\"stage\"")); ) { /* first it stands among the required names, without a colon */
        at += strlen("\"stage\"");
        at += strspn(at, " \n");
        if (*at == ':')
            break;
    }
    assert_non_null(at);
    at = strstr(at, "\"enum\"");
    assert_non_null(at);
    at = strchr(at, '[');
    assert_non_null(at);
    char *end = strchr(at, ']');
    assert_non_null(end);
    *end = '\0';
    while ((at = strchr(at, '"'))) {
        size_t length = strcspn(++at, "\"");
        assert_true(count < room && length > 0 && length < 32);
        memcpy(words[count], at, length);
        words[count++][length] = '\0';
        at += length + 1;
    }
    free(text);
    return count;
}

static void stages_of_the_schema(void **state)
{
    char words[2 * STAGE_COUNT][32];
    size_t count = schema_stages(words, LENGTH(words));

    (void)state;
    assert_int_equal(count, STAGE_COUNT);
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        assert_string_equal(stage_name(stage), words[stage]);
        for (int other = 0; other < stage; other++)
            assert_string_not_equal(words[other], words[stage]);
    }
}

static void no_such_stage(void **state)
{
    static const int numbers[] = {-1, STAGE_COUNT, STAGE_COUNT + 1, INT_MIN, INT_MAX};

    (void)state;
    for (size_t i = 0; i < LENGTH(numbers); i++)
        assert_string_equal(stage_name(numbers[i]), "unknown");
}

/* Names whose number the stage must be: these are spelled by hand in docs and in other tests. */
static void spot_checks(void **state)
{
    (void)state;
    assert_string_equal(stage_name(STAGE_OPTIONS), "options");
    assert_string_equal(stage_name(STAGE_CLONE), "clone");
    assert_string_equal(stage_name(STAGE_IDMAP), "idmap");
    assert_string_equal(stage_name(STAGE_CGROUP_ENTER), "cgroup_enter");
    assert_string_equal(stage_name(STAGE_HOST_NAME), "hostname");
    assert_string_equal(stage_name(STAGE_PIVOT), "pivot");
    assert_string_equal(stage_name(STAGE_NO_NEW_PRIVS), "no_new_privs");
    assert_string_equal(stage_name(STAGE_GATE), "gate");
    assert_string_equal(stage_name(STAGE_EXEC), "exec");
    assert_string_equal(stage_name(STAGE_SUPERVISE), "supervise");
}

/* Either the C library's name or "E?". */
static void errno_names(void **state)
{
    static const int needed[] = {EPERM,  ENOENT, EINTR,  EIO,     ENXIO,  E2BIG,  ENOEXEC, EBADF,   EAGAIN,   ENOMEM,      EACCES, EBUSY,
                                 EEXIST, EXDEV,  ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE,  EMFILE,  ETXTBSY,  EFBIG,       ENOSPC, EROFS,
                                 EPIPE,  ERANGE, ENAMETOOLONG, ENOSYS, ENOTEMPTY, ELOOP, EOVERFLOW, EOPNOTSUPP, EUSERS, ENOTCONN,
                                 ETIMEDOUT, ESTALE, EDQUOT, EPROTO, ENOTSUP};

    (void)state;
    assert_null(errno_name(0));
    for (int number = 1; number < 4096; number++) {
        const char *name = errno_name(number), *libc = strerrorname_np(number);
        assert_non_null(name);
        if (strcmp(name, "E?"))
            assert_string_equal(name, libc);
    }
    for (size_t i = 0; i < LENGTH(needed); i++)
        assert_string_equal(errno_name(needed[i]), strerrorname_np(needed[i]));
    assert_string_equal(errno_name(-1), "E?");
    assert_string_equal(errno_name(-EPERM), "E?");
    assert_string_equal(errno_name(INT_MIN), "E?");
    assert_string_equal(errno_name(INT_MAX), "E?");
}

static void setting(void **state)
{
    struct fault fault;

    (void)state;
    memset(&fault, 0xa5, sizeof fault);
    assert_int_equal(fault_set(&fault, STAGE_ROOTFS, ENOENT, "make it", "%s: %d", "rootfs", 5), -ENOENT);
    assert_int_equal(fault.stage, STAGE_ROOTFS);
    assert_int_equal(fault.errnum, ENOENT);
    assert_string_equal(fault.what, "rootfs: 5");
    assert_string_equal(fault.hint, "make it");
    for (size_t i = strlen(fault.what); i < sizeof fault.what; i++)
        assert_int_equal(fault.what[i], 0); /* nothing of the stack goes over the wire */
    for (size_t i = strlen(fault.hint); i < sizeof fault.hint; i++)
        assert_int_equal(fault.hint[i], 0);
    assert_int_equal(fault_set(&fault, STAGE_PLAN, 0, NULL, "no errno"), -EINVAL);
    assert_int_equal(fault.errnum, 0);
    assert_string_equal(fault.what, "no errno");
    assert_string_equal(fault.hint, "");
}

static void too_long(void **state)
{
    char *text = repeat_text('\xff', 1 << 16, "");
    struct {
        struct fault fault;
        unsigned char guard[64];
    } guarded;

    (void)state;
    memset(&guarded, 0xa5, sizeof guarded);
    assert_int_equal(fault_set(&guarded.fault, STAGE_EXEC, E2BIG, text, "%s", text), -E2BIG);
    assert_int_equal(strnlen(guarded.fault.what, sizeof guarded.fault.what), sizeof guarded.fault.what - 1);
    assert_int_equal(strnlen(guarded.fault.hint, sizeof guarded.fault.hint), sizeof guarded.fault.hint - 1);
    for (size_t i = 0; i < sizeof guarded.guard; i++)
        assert_int_equal(guarded.guard[i], 0xa5);
    free(text);
}

static void later_hints(void **state)
{
    struct fault fault;

    (void)state;
    fault_set(&fault, STAGE_EXEC, ENOENT, NULL, "x");
    fault_hint(&fault, NULL);
    assert_string_equal(fault.hint, "");
    fault_hint(&fault, "first");
    assert_string_equal(fault.hint, "first");
    fault_hint(&fault, "second"); /* the origin's is the better one */
    assert_string_equal(fault.hint, "first");
    fault_hint(&fault, NULL);
    assert_string_equal(fault.hint, "first");
}

/* What users typed goes in as data, never as a format. */
static void formats(void **state)
{
    struct fault fault;

    (void)state;
    fault_set(&fault, STAGE_EXEC, 0, "100 %s %n", "%s", "%s%n%d");
    assert_string_equal(fault.what, "%s%n%d");
    assert_string_equal(fault.hint, "100 %s %n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_of_the_schema), cmocka_unit_test(no_such_stage), cmocka_unit_test(spot_checks), cmocka_unit_test(errno_names),
        cmocka_unit_test(setting),              cmocka_unit_test(too_long),      cmocka_unit_test(later_hints), cmocka_unit_test(formats),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
