/* A leaf's files and the kernel log's OOM records, against a second reading of the same texts done by other means. The
 * first byte chooses what the rest is. */
#include "fuzz.h"

#include "readings.h"

__extension__ typedef unsigned __int128 wide;

#define TEXTS 6

/* One decimal number and a newline: from its last digit to its first. */
static bool expected_number(const char *text, size_t length, uint64_t *out)
{
    wide value = 0, power = 1;

    if (length < 2 || text[length - 1] != '\n' || strspn(text, "0123456789") != length - 1)
        return false;
    for (size_t i = length - 1; i-- > 0;) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        if (digit && power > UINT64_MAX)
            return false; /* 10^20 and more */
        value += digit * power;
        power = power > UINT64_MAX ? power : power * 10;
        if (value > UINT64_MAX)
            return false;
    }
    *out = (uint64_t)value;
    return true;
}

static bool expected_keyed(const char *text, const char *key, uint64_t *out)
{
    size_t wanted = strlen(key);

    for (const char *end; *text; text = end) {
        end = text + strcspn(text, "\n");
        end += *end == '\n';
        if ((size_t)(end - text) > wanted && !memcmp(text, key, wanted) && text[wanted] == ' ')
            return expected_number(text + wanted + 1, (size_t)(end - text) - wanted - 1, out);
    }
    return false;
}

static const char *const keys[] = {
    "oom_kill", "max", "user_usec", "system_usec", "throttled_usec", "throttled_time", "nr_throttled", "populated",
    "cache", "file", "dirty", "file_dirty", "writeback", "file_writeback",
};

static void check_key(const char *text, const char *key)
{
    const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);
    uint64_t got = untouched, wanted = untouched;

    MUST(readings_keyed(text, key, &got) == expected_keyed(text, key, &wanted));
    MUST(got == wanted);
}

static void check_text(const char *text)
{
    const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);
    uint64_t got = untouched, wanted = untouched;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        check_key(text, keys[i]);
    size_t word = strcspn(text, " \n"); /* and whatever stands first */
    char *first = fuzz_text(text, word);
    check_key(text, first);
    free(first);
    MUST(readings_single(text, &got) == expected_number(text, strlen(text), &wanted));
    MUST(got == wanted);
}

/* Nanoseconds from microseconds, where they fit. */
static bool expected_ns(const char *text, const char *key, uint64_t *out)
{
    uint64_t value;

    if (!text || !expected_keyed(text, key, &value) || (wide)value * 1000 > UINT64_MAX)
        return false;
    *out = value * 1000;
    return true;
}

/* The second byte says which files there are; the rest are their texts, each ended by NUL. */
static void fuzz_files(const uint8_t *data, size_t size)
{
    char *texts[TEXTS] = {0};
    unsigned there = size ? data[0] : 0;
    struct readings got, wanted = {0};

    for (size_t i = 0, at = 1; i < TEXTS && at <= size; i++) {
        const uint8_t *end = at < size ? memchr(data + at, '\0', size - at) : NULL;
        size_t length = end ? (size_t)(end - data) - at : size - at;
        if (there & 1u << i)
            texts[i] = fuzz_text(data + at, length);
        at += length + 1;
    }
    const struct readings_texts all = {texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]};
    memset(&got, 0x5a, sizeof got);
    readings_parse(&all, &got);
    for (size_t i = 0; i < TEXTS; i++)
        if (texts[i])
            check_text(texts[i]);

    if (texts[0])
        expected_keyed(texts[0], "oom_kill", &wanted.oom_kills);
    MUST(got.oom_kills == wanted.oom_kills);
    MUST(got.have_peak == (texts[1] && expected_number(texts[1], strlen(texts[1]), &wanted.memory_peak)));
    MUST(!got.have_peak || got.memory_peak == wanted.memory_peak);
    MUST(got.have_pids_peak == (texts[2] && expected_number(texts[2], strlen(texts[2]), &wanted.pids_peak)));
    MUST(!got.have_pids_peak || got.pids_peak == wanted.pids_peak);
    MUST(got.have_pids == (texts[3] && expected_keyed(texts[3], "max", &wanted.pids_denied)));
    MUST(!got.have_pids || got.pids_denied == wanted.pids_denied);
    MUST(got.have_cpu == (expected_ns(texts[4], "user_usec", &wanted.cpu_user) &&
                          expected_ns(texts[4], "system_usec", &wanted.cpu_system)));
    MUST(!got.have_cpu || (got.cpu_user == wanted.cpu_user && got.cpu_system == wanted.cpu_system));
    bool throttled = texts[5] ? expected_keyed(texts[5], "throttled_time", &wanted.throttled)
                              : expected_ns(texts[4], "throttled_usec", &wanted.throttled);
    const char *source = texts[5] ? texts[5] : texts[4];
    MUST(got.have_throttled == (throttled && expected_keyed(source, "nr_throttled", &wanted.throttled_periods)));
    MUST(!got.have_throttled ||
         (got.throttled == wanted.throttled && got.throttled_periods == wanted.throttled_periods));
    for (size_t i = 0; i < TEXTS; i++)
        free(texts[i]);
}

static char *oom_record(const char *path, const char *name, const char *tail)
{
    size_t room = 2 * strlen(path) + strlen(name) + strlen(tail) + 160;
    char *record = malloc(room);

    MUST(record);
    snprintf(record, room,
             "6,59683,11225023018,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
             "oom_memcg=%s,task_memcg=%s,task=%s%s", path, path, name, tail);
    return record;
}

/* A buffer of exactly that size; the name found must be what is expected, cut off to fit. */
static void check_found(const char *record, const char *path, const char *expected, size_t size)
{
    char *name = malloc(size);

    MUST(name);
    memset(name, 'z', size);
    enum oom_of found = readings_oom_name(record, path, name, size);
    MUST(found == (expected ? OOM_OF_LEAF : OOM_UNKNOWN));
    if (expected)
        MUST(strlen(name) == (strlen(expected) < size ? strlen(expected) : size - 1) &&
             !strncmp(name, expected, strlen(name)));
    else
        MUST(name[0] == 'z'); /* left alone */
    free(name);
}

/* The second byte is the room for the name; then a leaf's path, NUL, and the name of a victim in it; or all the rest as
 * a record. */
static void fuzz_log(const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    size_t room = data[0] % 64 + 1u;
    const uint8_t *end = memchr(data + 1, '\0', size - 1);
    size_t length = end ? (size_t)(end - data) - 1 : size - 1;
    char *path = fuzz_text(data + 1, length);
    char *name = end ? fuzz_text(end + 1, size - length - 2) : fuzz_text("", 0);
    char *record = oom_record(path, name, ",pid=365,uid=12345\n SUBSYSTEM=x\n");
    char *other = malloc(length + 2);

    MUST(other);
    check_found(record, path, name, room);
    snprintf(other, length + 2, "%sx", path); /* a neighbour, whatever the victim calls itself */
    check_found(record, other, NULL, room);
    if (length > 0 && !strchr(path, ',')) {
        other[length - 1] = '\0'; /* the leaf's name cut off: another leaf's */
        check_found(record, other, NULL, room);
    }
    free(record);
    record = oom_record(path, name, "\n"); /* no pid: cut off, unless the name holds one */
    char *pid = strstr(name, ",pid=");
    for (char *next = pid; next; next = strstr(next + 1, ",pid="))
        pid = next;
    if (pid)
        *pid = '\0';
    check_found(record, path, pid ? name : NULL, room);
    free(record);

    /* As it came: must end, stay within, and name nobody unless both paths and the mark are there. */
    char *raw = fuzz_text(data + 1, size - 1), *found = malloc(room);
    static const char leaf[] = "/bivy/bivy-3q4fjm6hu3ne";
    MUST(found);
    static const char *const groups[] = {[OOM_OF_LEAF] = ",oom_memcg=/bivy/bivy-3q4fjm6hu3ne,task_memcg=",
                                         [OOM_ABOVE] = ",oom_memcg=/bivy,task_memcg=", [OOM_OF_HOST] = ",global_oom,task_memcg="};
    enum oom_of of = readings_oom_name(raw, leaf, found, room);
    if (of) {
        MUST(strlen(found) < room && strstr(raw, found));
        MUST(strstr(raw, ";oom-kill:") && strstr(raw, groups[of]));
        MUST(strstr(raw, ",task_memcg=/bivy/bivy-3q4fjm6hu3ne,task="));
    }
    free(found);
    free(raw);
    free(other);
    free(name);
    free(path);
}

/* What was written, NUL, what is read back. */
static void fuzz_same(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    size_t length = end ? (size_t)(end - data) : size, left = end ? size - length - 1 : 0;
    char *expected = fuzz_text(data, length), *text = malloc(left ? left : 1); /* no NUL behind it */
    bool same = left == length + 1;

    MUST(text);
    if (left)
        memcpy(text, end + 1, left);
    for (size_t i = 0; i < left; i++)
        same &= text[i] == (i < length ? expected[i] : '\n');
    MUST(readings_same(text, left, expected) == same);
    free(text);
    text = fuzz_text(expected, length);
    MUST(!readings_same(text, length, expected)); /* its newline missing */
    text[length] = '\n';
    MUST(readings_same(text, length + 1, expected));
    free(text);
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        fuzz_files(data + 1, size - 1);
        break;
    case 1:
        fuzz_log(data + 1, size - 1);
        break;
    default:
        fuzz_same(data + 1, size - 1);
    }
    return 0;
}
