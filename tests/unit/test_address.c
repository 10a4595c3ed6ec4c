/* address: what a command gives as an address, and what it asks a name server: honest, cut short and lying. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "address.h"

static int parse(const void *bytes, size_t length, struct address *address)
{
    void *copy = copy_bytes(bytes, length); /* exact: a sanitizer sees what is read behind it */
    int result = address_parse(copy, length, address);

    free(copy);
    return result;
}

static void addresses(void **state)
{
    static const struct {
        int family;
        const char *text;
        uint16_t port;
        bool loopback;
    } rows[] = {
        {AF_INET, "192.0.2.1", 443, false}, {AF_INET, "127.0.0.1", 53, true},     {AF_INET, "127.255.255.255", 1, true},
        {AF_INET, "0.0.0.0", 80, true},     {AF_INET, "255.255.255.255", 65535, false}, {AF_INET6, "2001:db8::1", 8080, false},
        {AF_INET6, "::1", 53, true},        {AF_INET6, "::", 0, true},            {AF_INET6, "::ffff:127.0.0.2", 5, true},
        {AF_INET6, "::ffff:192.0.2.1", 5, false}, {AF_INET6, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", 9, false},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(rows[i].port)};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(rows[i].port)};
        bool is_four = rows[i].family == AF_INET;
        const void *bytes = is_four ? (const void *)&four : &six;
        size_t whole = is_four ? sizeof four : sizeof six, least = is_four ? sizeof four : 24;
        char canonical[INET6_ADDRSTRLEN];
        struct address address;

        assert_int_equal(inet_pton(rows[i].family, rows[i].text, is_four ? (void *)&four.sin_addr : &six.sin6_addr), 1);
        inet_ntop(rows[i].family, is_four ? (void *)&four.sin_addr : &six.sin6_addr, canonical, sizeof canonical);
        for (size_t length = 0; length <= whole; length++) {
            int result = parse(bytes, length, &address);
            assert_int_equal(result, length >= least ? 0 : -EINVAL);
        }
        assert_string_equal(address.text, canonical);
        assert_int_equal(address.port, rows[i].port);
        assert_int_equal(address.loopback, rows[i].loopback);
    }
}

static void other_families(void **state)
{
    struct address address;

    (void)state;
    for (unsigned family = 0; family < 65536; family++) {
        struct sockaddr_un un = {.sun_family = (sa_family_t)family, .sun_path = "\xc0\xa8\x01\x01"};
        int result = parse(&un, sizeof un, &address);
        assert_int_equal(result, family == AF_INET || family == AF_INET6 ? 0 : -EAFNOSUPPORT);
    }
}

/* ---- names ---- */

struct query {
    size_t length;
    unsigned char bytes[600];
};

static void begin(struct query *query)
{
    static const unsigned char header[12] = {0x12, 0x34, 0x01, 0x00, 0, 1};

    memcpy(query->bytes, header, sizeof header);
    query->length = sizeof header;
}

static void label(struct query *query, const char *text, size_t length)
{
    query->bytes[query->length++] = (unsigned char)length;
    memcpy(query->bytes + query->length, text, length);
    query->length += length;
}

static void finish(struct query *query)
{
    static const unsigned char end[] = {0, 0, 1, 0, 1};

    memcpy(query->bytes + query->length, end, sizeof end);
    query->length += sizeof end;
}

static const char *name_of(const struct query *query)
{
    static char name[ADDRESS_NAME];
    void *copy = copy_bytes(query->bytes, query->length);
    int result = address_query(copy, query->length, name);

    free(copy);
    assert_true(result == 0 || (result == -EINVAL && name[0] == '\0'));
    for (const char *at = name; *at; at++)
        assert_true(*at > ' ' && *at <= '~');
    return result == 0 ? name : NULL;
}

static void names(void **state)
{
    struct query query;

    (void)state;
    begin(&query);
    label(&query, "Example", 7);
    label(&query, "org", 3);
    finish(&query);
    assert_string_equal(name_of(&query), "Example.org");
    query.length += 11; /* an EDNS record behind it */
    query.bytes[11] = 1;
    assert_string_equal(name_of(&query), "Example.org");
    begin(&query);
    finish(&query);
    assert_string_equal(name_of(&query), ".");
    begin(&query);
    label(&query, "a.b\\\x1b[31m\n\xff\0z", 13);
    label(&query, "_dmarc-x", 8);
    finish(&query);
    assert_string_equal(name_of(&query), "a\\.b\\\\\\027\\09131m\\010\\255\\000z._dmarc-x");
}

static void every_cut(void **state)
{
    struct query query;

    (void)state;
    begin(&query);
    label(&query, "example", 7);
    label(&query, "org", 3);
    finish(&query);
    for (size_t whole = query.length; query.length-- > 0;) {
        assert_true(query.length < whole);
        assert_null(name_of(&query));
    }
}

static void lies(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
        const char *what;
    } rows[] = {
        {2, 0x81, "an answer"},      {2, 0x08, "another opcode"},     {4, 1, "256 questions"},  {5, 0, "no question"},
        {5, 2, "two questions"},     {7, 1, "an answer in it"},       {9, 1, "an authority"},   {12, 64, "a long label"},
        {12, 0xc0, "a pointer"},     {12, 0x80, "an extended label"}, {12, 63, "past the end"}, {16, 0xff, "a pointer further on"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct query query;
        begin(&query);
        label(&query, "abc", 3);
        label(&query, "de", 2);
        finish(&query);
        assert_non_null(name_of(&query));
        query.bytes[rows[i].at] = rows[i].byte;
        if (name_of(&query))
            fail_msg("%s is taken", rows[i].what);
    }
}

static void lengths(void **state)
{
    char long_label[63];
    struct query query;

    (void)state;
    memset(long_label, 'a', sizeof long_label);
    begin(&query);
    for (int i = 0; i < 3; i++)
        label(&query, long_label, 63);
    label(&query, long_label, 61); /* 255 bytes with the last, empty label */
    finish(&query);
    assert_int_equal(strlen(name_of(&query)), 253);
    begin(&query);
    for (int i = 0; i < 3; i++)
        label(&query, long_label, 63);
    label(&query, long_label, 62);
    finish(&query);
    assert_null(name_of(&query)); /* longer than RFC 1035 has it */
    begin(&query);
    memset(long_label, '\n', sizeof long_label);
    label(&query, long_label, 63);
    label(&query, long_label, 1);
    finish(&query);
    assert_null(name_of(&query)); /* 64 times \010 and a dot: more than there is room for */
}

/* ---- names on a stack ---- */

static const char *name_within(const void *bytes, size_t length)
{
    static char name[ADDRESS_NAME];
    void *copy = copy_bytes(bytes, length);
    int result = address_query_within(copy, length, name);

    free(copy);
    assert_true(result == 0 || (result == -ENOENT && name[0] == '\0'));
    return result == 0 ? name : NULL;
}

static void names_on_a_stack(void **state)
{
    unsigned char stack[2048];
    struct query query;

    (void)state;
    begin(&query);
    label(&query, "pypi", 4);
    label(&query, "org", 3);
    finish(&query);
    for (size_t at = 0; at < 300; at++) {
        memset(stack, at % 2 ? 0 : 1, sizeof stack); /* neither zeros nor ones are a question */
        memcpy(stack + at, query.bytes, query.length);
        assert_string_equal(name_within(stack, sizeof stack), "pypi.org");
        assert_string_equal(name_within(stack, at + query.length), "pypi.org");
        for (size_t cut = 0; cut < at + query.length; cut++)
            assert_null(name_within(stack, cut));
    }
    query.bytes[13] = 'g'; /* "gypi": another question further on is an older one */
    memcpy(stack + 1024, query.bytes, query.length);
    assert_string_equal(name_within(stack, sizeof stack), "pypi.org");
}

static void what_only_looks_like_a_name(void **state)
{
    static const struct {
        size_t at;
        unsigned char byte;
        bool taken;
        const char *what;
    } rows[] = {
        {0, 0xff, true, "any number"},      {2, 0, false, "no recursion wanted"}, {2, 0x81, false, "an answer"}, {3, 0x20, true, "AD"},
        {3, 0x80, false, "recursion"},      {3, 3, false, "a result"},            {5, 2, false, "two questions"}, {11, 1, true, "EDNS"},
        {11, 2, false, "two records"},      {10, 1, false, "256 records"},        {12, 0, false, "the root"},    {13, '\n', false, "a newline"},
        {13, '.', false, "a dot in a label"}, {13, 0xc3, false, "not ASCII"},     {13, '_', true, "a service"},  {18, 0, false, "no type"},
        {17, 1, false, "a high type"},      {18, 28, true, "AAAA"},               {20, 3, false, "another class"}, {19, 1, false, "a high class"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct query query;
        begin(&query);
        label(&query, "abc", 3);
        finish(&query);
        assert_int_equal(query.length, 21);
        query.bytes[rows[i].at] = rows[i].byte;
        char name[ADDRESS_NAME];
        if ((name_within(query.bytes, query.length) != NULL) != rows[i].taken ||
            (address_query_at(query.bytes, query.length, name) == 0) != rows[i].taken || (name[0] != '\0') != rows[i].taken)
            fail_msg("%s", rows[i].what);
    }
}

static void noise(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct query query;
        begin(&query);
        query.length = 12;
        for (size_t length = 12 + (size_t)(seed >> 40) % 300; query.length < length; query.length++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            query.bytes[query.length] = seed >> 63 ? (unsigned char)(seed >> 40) & 7 : (unsigned char)(seed >> 48);
        }
        name_of(&query);
        name_within(query.bytes, query.length);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses), cmocka_unit_test(other_families), cmocka_unit_test(names), cmocka_unit_test(every_cut),
        cmocka_unit_test(lies),      cmocka_unit_test(lengths),        cmocka_unit_test(noise),
        cmocka_unit_test(names_on_a_stack), cmocka_unit_test(what_only_looks_like_a_name),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
