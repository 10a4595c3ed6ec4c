/* What comes up the pipe. As it is, and laid over good messages from an offset on (the first two bytes), since no
 * fuzzer guesses a length and a magic number at once. */
#include "fuzz.h"

#include "message.h"
#include "trouble.h"

static bool ended(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\0')
            return true;
    return false;
}

/* From the header's words. Whatever else a message holds is only numbers. */
static bool expected(const void *bytes, size_t length)
{
    struct message message;

    if (length != sizeof message)
        return false;
    memcpy(&message, bytes, sizeof message);
    if (message.magic != 0x62697679)
        return false;
    if (message.kind == MESSAGE_FAULT)
        return message.fault.stage >= STAGE_OPTIONS && message.fault.stage <= STAGE_SUPERVISE &&
               message.fault.trouble >= TROUBLE_NONE && message.fault.trouble <= TROUBLE_INVALID &&
               ended(message.fault.what, sizeof message.fault.what) &&
               ended(message.fault.hint, sizeof message.fault.hint);
    if (message.kind == MESSAGE_READY)
        return ended(message.readback.cgroup, sizeof message.readback.cgroup) &&
               ended(message.readback.workspace_fs, sizeof message.readback.workspace_fs);
    return message.kind >= MESSAGE_ENDED && message.kind <= MESSAGE_ALONE;
}

static void check(const void *bytes, size_t length)
{
    void *exact = calloc(1, length ? length : 1); /* no NUL behind it */
    struct message message;

    MUST(exact);
    if (length)
        memcpy(exact, bytes, length);
    bool valid = message_valid(exact, length);
    MUST(valid == expected(exact, length));
    if (valid) { /* then the supervisor may show it */
        memcpy(&message, exact, sizeof message);
        if (message.kind == MESSAGE_FAULT) {
            const char *name = errno_name(message.fault.errnum);
            MUST(strcmp(stage_name(message.fault.stage), "unknown"));
            MUST(message.fault.trouble == TROUBLE_NONE ? !trouble_name(TROUBLE_NONE) : trouble_name((enum trouble)message.fault.trouble) != NULL);
            MUST(message.fault.errnum == 0 ? !name : name && name[0] == 'E');
        }
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(data, size);
    for (uint32_t kind = MESSAGE_FAULT; size >= 2 && kind <= MESSAGE_ALONE; kind++) {
        struct message message = {.magic = MESSAGE_MAGIC, .kind = kind};
        size_t offset = (size_t)(data[0] << 8 | data[1]) % sizeof message;
        size_t length = size - 2 < sizeof message - offset ? size - 2 : sizeof message - offset;
        memcpy((char *)&message + offset, data + 2, length);
        check(&message, sizeof message);
        check(&message, offset + length); /* and cut off behind it */
    }
    return 0;
}
