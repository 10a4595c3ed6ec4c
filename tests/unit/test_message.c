/* message: only a whole, terminated message of a known kind is believed. */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "message.h"
#include "trouble.h"
#include "sys.h"

static struct message fault_message(void)
{
    struct message message = {.magic = MESSAGE_MAGIC, .kind = MESSAGE_FAULT};

    fault_set(&message.fault, STAGE_PIVOT, EINVAL, "a hint", "pivot_root");
    return message;
}

static struct message ready_message(void)
{
    struct message message = {.magic = MESSAGE_MAGIC, .kind = MESSAGE_READY};

    strcpy(message.readback.cgroup, "/");
    strcpy(message.readback.workspace_fs, "ext4");
    return message;
}

static struct message ended_message(void)
{
    return (struct message){.magic = MESSAGE_MAGIC, .kind = MESSAGE_ENDED, .ended = {.wait_status = 0x7f00}};
}

static struct message (*const makers[])(void) = {fault_message, ready_message, ended_message};

static bool valid(const struct message *message)
{
    void *copy = copy_bytes(message, sizeof *message);
    bool good = message_valid(copy, sizeof *message);

    free(copy);
    return good;
}

static void whole_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) {
        struct message message = makers[i]();
        unsigned char *shifted = malloc(sizeof message + 1); /* a buffer need not be aligned */
        assert_true(valid(&message));
        memcpy(shifted + 1, &message, sizeof message);
        assert_true(message_valid(shifted + 1, sizeof message));
        free(shifted);
    }
}

static void every_other_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) {
        struct message message = makers[i]();
        for (size_t length = 0; length <= 2 * sizeof message; length++) {
            char *bytes = repeat_text('\0', 2 * sizeof message, "");
            memcpy(bytes, &message, sizeof message);
            char *copy = copy_bytes(bytes, length);
            assert_int_equal(message_valid(copy, length), length == sizeof message);
            free(copy);
            free(bytes);
        }
        assert_false(message_valid(&message, SIZE_MAX));
    }
    assert_false(message_valid(NULL, 0));
}

static void other_magic_or_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(makers); i++) {
        struct message message = makers[i]();
        for (int bit = 0; bit < 32; bit++) {
            message.magic = MESSAGE_MAGIC ^ 1u << bit;
            assert_false(valid(&message));
        }
        message.magic = MESSAGE_MAGIC;
        message.kind = MESSAGE_ALONE + 1; /* behind the last */
        assert_false(valid(&message));
        for (uint32_t kind = 8; kind != 0; kind <<= 1) {
            message.kind = kind;
            assert_false(valid(&message));
        }
        message.kind = 0;
        assert_false(valid(&message));
        message.kind = UINT32_MAX;
        assert_false(valid(&message));
    }
}

static void stages(void **state)
{
    static const int32_t bad[] = {-1, STAGE_COUNT, STAGE_COUNT + 1, INT32_MIN, INT32_MAX};
    struct message message = fault_message();

    (void)state;
    for (int32_t trouble = -1; trouble <= TROUBLE_COUNT; trouble++) {
        message.fault.trouble = trouble;
        assert_int_equal(message_valid(&message, sizeof message), trouble >= 0 && trouble < TROUBLE_COUNT);
    }
    message.fault.trouble = TROUBLE_NONE;
    for (int32_t stage = 0; stage < STAGE_COUNT; stage++) {
        message.fault.stage = stage;
        assert_true(valid(&message));
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        message.fault.stage = bad[i];
        assert_false(valid(&message));
    }
}

/* No text runs into what follows it; NUL as the very last byte is enough. */
static void unterminated(void **state)
{
    static const struct {
        struct message (*make)(void);
        size_t at, size;
    } texts[] = {
        {fault_message, offsetof(struct message, fault.what), sizeof((struct fault *)NULL)->what},
        {fault_message, offsetof(struct message, fault.hint), sizeof((struct fault *)NULL)->hint},
        {ready_message, offsetof(struct message, readback.cgroup), sizeof((struct readback *)NULL)->cgroup},
        {ready_message, offsetof(struct message, readback.workspace_fs), sizeof((struct readback *)NULL)->workspace_fs},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        struct message message = texts[i].make();
        memset((char *)&message + texts[i].at, 'x', texts[i].size);
        assert_false(valid(&message));
        ((char *)&message)[texts[i].at + texts[i].size - 1] = '\0';
        assert_true(valid(&message));
        ((char *)&message)[texts[i].at + texts[i].size - 1] = '\x80';
        ((char *)&message)[texts[i].at] = '\0';
        assert_true(valid(&message));
    }
}

/* A write of the sandbox's that was cut short by its death: nothing shorter than the whole is believed, whatever is behind it. */
static void cut_off_write(void **state)
{
    struct message message = ready_message();
    unsigned char buffer[2 * sizeof message];

    (void)state;
    for (size_t length = 0; length < sizeof message; length++) {
        memset(buffer, 0xff, sizeof buffer);
        memcpy(buffer, &message, length);
        assert_false(message_valid(buffer, length));
    }
}

static void sending(void **state)
{
    struct message message = fault_message(), got;
    uint64_t before = sys_now();
    int fds[2];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    message.magic = 0; /* message_send's to fill, as the time is */
    assert_int_equal(message_send(fds[1], &message), 0);
    assert_int_equal(message.magic, MESSAGE_MAGIC);
    assert_true(message.at >= before && message.at <= sys_now());
    assert_int_equal(read(fds[0], &got, sizeof got), sizeof got);
    assert_memory_equal(&got, &message, sizeof got);
    assert_int_equal(read(fds[0], &got, sizeof got), -1); /* one message, one write */
    int result, sent = 0;
    while ((result = message_send(fds[1], &message)) == 0)
        assert_true(sent++ < 1 << 20);
    assert_int_equal(result, -EAGAIN);
    assert_true(sent > 0);
    for (; sent; sent--) {
        assert_int_equal(read(fds[0], &got, sizeof got), sizeof got);
        assert_true(valid(&got)); /* nothing was torn */
    }
    close(fds[0]);
    assert_int_equal(message_send(fds[1], &message), -EPIPE);
    close(fds[1]);
    assert_int_equal(message_send(fds[1], &message), -EBADF);
    assert_int_equal(message_send(-1, &message), -EBADF);
}

static void fits_a_pipe(void **state)
{
    (void)state;
    assert_true(sizeof(struct message) <= PIPE_BUF);
    assert_true(sizeof(struct fault) < PIPE_BUF);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_ones),   cmocka_unit_test(every_other_length), cmocka_unit_test(other_magic_or_kind), cmocka_unit_test(stages),
        cmocka_unit_test(unterminated), cmocka_unit_test(cut_off_write),      cmocka_unit_test(sending),             cmocka_unit_test(fits_a_pipe),
    };

    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
