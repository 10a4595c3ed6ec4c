/* sockets: what the tables below /proc/PID/net say of an inode, also where a path in them means to mislead. */
#include "unit.h"

#include "sockets.h"

static const char tcp[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 900 1 0000000014df169e 100 0 0 10 0\n"
    "  11: 0100007F:97DA 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1000        0 901 1 0000000014df169e 100 0 0 10 0\n"
    "  12: 0100007F:1F40 0100007F:97DA 01 00000000:00000000 00:00000000 00000000  1000        0 90";
static const char tcp6[] =
    "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 00000000000000000000000000000000:0D05 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7 1 0\n"
    "   1: 00000000000000000000000001000000:97DA 00000000000000000000000001000000:0016 02 00000000:00000000 00:00000000 00000000  1000        0 8 1 0\n";
static const char udp[] =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    "  281: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 10 2 0000000000000000 0\n";
static const char local[] =
    "Num       RefCount Protocol Flags    Type St Inode Path\n"
    "0000000000000000: 00000002 00000000 00010000 0001 01 21 /tmp/so cket\n"
    "0000000000000000: 00000003 00000000 00000000 0001 03 22\n"
    "0000000000000000: 00000003 00000000 00000000 0001 03 23 @abstract\n"
    "0000000000000000: 00000002 00000000 00010000 0001 01 24 /tmp/\n"
    "0 0 0 00010000 0 0 21 /tmp/forged\n\n"
    "x y\n";

static unsigned table(const char *name)
{
    unsigned number = 0;

    while (strcmp(sockets_table(number), name) != 0)
        number++;
    return number;
}

static void finds(const char *file, const char *text, uint64_t inode, const char *expected, bool listening)
{
    char *copy = copy_bytes(text, strlen(text) + 1), name[SOCKETS_TEXT + 1] = "untouched";
    bool listens = false, found = sockets_find(table(file), copy, inode, name, &listens);

    free(copy);
    assert_string_equal(name, expected ? expected : "untouched");
    assert_true(found == (expected != NULL) && listens == listening);
}

static void each(void **state)
{
    char path[300] = "0: 0 0 0 0 0 5 /";

    (void)state;
    finds("tcp", tcp, 900, "tcp 127.0.0.1:8000", true);
    finds("tcp", tcp, 901, "tcp 127.0.0.1:38874 to 127.0.0.1:8000", false);
    finds("tcp", tcp, 90, NULL, false); /* cut off: it may be the beginning of another number */
    finds("tcp", tcp, 1000, NULL, false);
    finds("tcp6", tcp6, 7, "tcp [::]:3333", true);
    finds("tcp6", tcp6, 8, "tcp [::1]:38874 to [::1]:22", false);
    finds("udp", udp, 10, "udp 0.0.0.0:53", false);
    finds("unix", local, 21, "unix /tmp/so cket", true);
    finds("unix", local, 22, "unix", false);
    finds("unix", local, 23, "unix @abstract", false);
    finds("unix", local, 24, "unix /tmp/", true);
    memset(path + strlen(path), 'x', 200);
    strcat(path, "\n");
    char wanted[SOCKETS_TEXT + 1] = "unix /";
    memset(wanted + strlen(wanted), 'x', SOCKETS_TEXT - strlen(wanted));
    finds("unix", path, 5, wanted, false);
    assert_null(sockets_table(SOCKETS_TABLES));
}

/* Every text cut anywhere, in every table: no more is read than there is. */
static void cut(void **state)
{
    static const char *const texts[] = {tcp, tcp6, udp, local, "", "\n", "0: 0100007F: 0100007F:1 0A 0 0 0 0 0 5\n", "0: 0:0 0:0 0A 0 0 0 0 0 5 1\n"};

    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++)
        for (size_t length = 0; length <= strlen(texts[i]); length++)
            for (unsigned number = 0; number <= SOCKETS_TABLES; number++)
                for (uint64_t inode = 5; inode < 25; inode++) {
                    char *copy = copy_bytes(texts[i], length + 1), name[SOCKETS_TEXT + 1] = "";
                    bool listens;
                    copy[length] = '\0';
                    if (sockets_find(number, copy, inode, name, &listens))
                        assert_true(name[0] && strlen(name) <= SOCKETS_TEXT);
                    free(copy);
                }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each),
        cmocka_unit_test(cut),
    };

    return cmocka_run_group_tests_name("sockets", tests, NULL, NULL);
}
