/* What comes up the pipe. As it is, and laid over good messages from an offset on (the first two bytes), since no fuzzer guesses
 * a length and a magic number at once. */
#include "fuzz.h"

#include "message.h"

static void check(const void *bytes, size_t length)
{
    void *copy = fuzz_text(bytes, length);
    struct message message;
    void *shrunk = realloc(copy, length ? length : 1); /* without the NUL */

    MUST(shrunk);
    if (message_valid(shrunk, length)) {
        MUST(length == sizeof message);
        memcpy(&message, shrunk, sizeof message);
        MUST(message.magic == MESSAGE_MAGIC);
        MUST(message.kind == MESSAGE_FAULT || message.kind == MESSAGE_READY || message.kind == MESSAGE_ENDED);
        if (message.kind == MESSAGE_FAULT) {
            MUST(strcmp(stage_name(message.fault.stage), "unknown"));
            MUST(memchr(message.fault.what, '\0', sizeof message.fault.what));
            MUST(memchr(message.fault.hint, '\0', sizeof message.fault.hint));
            (void)errno_name(message.fault.errnum);
        }
        if (message.kind == MESSAGE_READY) {
            MUST(memchr(message.readback.cgroup, '\0', sizeof message.readback.cgroup));
            MUST(memchr(message.readback.workspace_fs, '\0', sizeof message.readback.workspace_fs));
        }
    }
    free(shrunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    for (uint32_t kind = MESSAGE_FAULT; size >= 2 && kind <= MESSAGE_ENDED; kind++) {
        struct message message = {.magic = MESSAGE_MAGIC, .kind = kind};
        size_t offset = (size_t)(data[0] << 8 | data[1]) % sizeof message;
        size_t length = size - 2 < sizeof message - offset ? size - 2 : sizeof message - offset;
        memcpy((char *)&message + offset, data + 2, length);
        check(&message, sizeof message);
        check(&message, offset + length); /* and cut off behind it */
    }
    return 0;
}
