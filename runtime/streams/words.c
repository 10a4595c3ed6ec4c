#include "words.h"

#include <string.h>

#include "plain.h"

#define WRITABLE "only /workspace and scratch (/tmp, $HOME, /dev/shm) can be written, the rest is read-only by design: write there"
#define INSTALL "put it into the rootfs (rootfs/build --packages) or the workspace; there is no network to fetch it from"
#define OFFLINE "the network is off by design: put what is needed into the rootfs or the workspace"
#define LOOPBACK "the sandbox's own loopback is down: --network loopback brings it up"
#define UNPRIVILEGED "the sandbox has no privilege, by design: do without it"
#define DESCRIPTORS "a process may have only so many descriptors open: close what is not needed, or raise --open-files"
#define MEMORY "there was no more memory for it: work on the data in parts, or raise --memory"
#define FORK "start fewer processes and threads at a time, or raise --pids"
#define SPACE "the file system it wrote to was full: delete something in the workspace, or, was it /tmp, raise --scratch and --memory (or, for many " \
    "small files, --scratch-inodes)"

/* What C libraries, shells, interpreters and package managers say (strerror(3) of musl and glibc, gai_strerror(3), busybox, curl, node,
 * python). No row for what is said just as well outside a sandbox and means nothing else in one. */
static const struct {
    const char *phrase, *also; /* in the same line; also may be NULL */
    int status; /* 0: whatever it ended with */
    const char *about, *mend;
} known[] = {
    {"not found", "/", 127, "exit_code", "is it there? If so, it, or the interpreter in its first line, is none of this rootfs's: Alpine has musl, no glibc"},
    {"not found", NULL, 127, "exit_code", INSTALL},
    {"Exec format error", NULL, 0, "exit_code", "it was built for another kind of machine, or is a script without a #! line"},
    {"Permission denied", NULL, 126, "exit_code", "a file was found and cannot be executed: chmod +x, or run it with its interpreter"},
    {"No module named", NULL, 0, "packages", INSTALL},
    {"Cannot find module", NULL, 0, "packages", INSTALL},
    {"Read-only file system", NULL, 0, "rootfs", WRITABLE},
    {"Too many open files", NULL, 0, "open_files", DESCRIPTORS},
    {"No file descriptors available", NULL, 0, "open_files", DESCRIPTORS},
    {"No space left on device", NULL, 0, "scratch", SPACE},
    {"File too large", NULL, 0, "file_size", "a file was as large as one may be: write smaller ones, or, was --file-size given, raise it"},
    {"Disk quota exceeded", NULL, 0, "workspace", "the workspace takes no byte more: delete something there"},
    {"Cannot allocate memory", NULL, 0, "memory", MEMORY},
    {"Out of memory", NULL, 0, "memory", MEMORY},
    {"out of memory", NULL, 0, "memory", MEMORY},
    {"MemoryError", NULL, 0, "memory", MEMORY},
    {"std::bad_alloc", NULL, 0, "memory", MEMORY},
    {"can't fork", NULL, 0, "pids", FORK},
    {"annot fork", NULL, 0, "pids", FORK},
    {"can't start new thread", NULL, 0, "pids", FORK},
    {"Resource temporarily unavailable", NULL, 0, "pids", FORK},
    {"127.0.0.1", "nreachable", 0, "network", LOOPBACK},
    {"localhost", "nreachable", 0, "network", LOOPBACK},
    {"::1", "nreachable", 0, "network", LOOPBACK},
    {"emporary failure in name resolution", NULL, 0, "network", OFFLINE},
    {"Name or service not known", NULL, 0, "network", OFFLINE},
    {"Name does not resolve", NULL, 0, "network", OFFLINE},
    {"ould not resolve host", NULL, 0, "network", OFFLINE},
    {"EAI_AGAIN", NULL, 0, "network", OFFLINE},
    {"bad address '", NULL, 0, "network", OFFLINE},
    {"Network is unreachable", NULL, 0, "network", OFFLINE},
    {"Network unreachable", NULL, 0, "network", OFFLINE},
    {"ENETUNREACH", NULL, 0, "network", OFFLINE},
    {"Operation not permitted", NULL, 0, "privileges", UNPRIVILEGED},
    {"are you root?", NULL, 0, "privileges", UNPRIVILEGED},
    {"Permission denied", NULL, 0, "privileges",
     "the command is the user sandbox and may not do that: what is another user's has to be handed over outside (chown, chmod)"},
};

void words_take(struct words *words, const char *bytes, size_t length)
{
    if (length > WORDS_MOST) {
        words->seen += length - WORDS_MOST;
        bytes += length - WORDS_MOST;
        length = WORDS_MOST;
    }
    while (length > 0) {
        size_t at = (size_t)(words->seen % WORDS_MOST), room = WORDS_MOST - at, part = length < room ? length : room;
        memcpy(words->ring + at, bytes, part);
        words->seen += part;
        bytes += part;
        length -= part;
    }
}

size_t words_tail(const struct words *words, char tail[WORDS_MOST])
{
    size_t at = (size_t)(words->seen % WORDS_MOST);
    const char *begin;

    if (words->seen <= WORDS_MOST) {
        memcpy(tail, words->ring, (size_t)words->seen);
        return (size_t)words->seen;
    }
    memcpy(tail, words->ring + at, WORDS_MOST - at);
    memcpy(tail + WORDS_MOST - at, words->ring, at);
    begin = memchr(tail, '\n', WORDS_MOST - 1);
    if (!begin)
        return WORDS_MOST;
    size_t left_out = (size_t)(begin + 1 - tail);
    memmove(tail, begin + 1, WORDS_MOST - left_out);
    return WORDS_MOST - left_out;
}

static bool blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static bool holds(const char *line, size_t length, const char *phrase)
{
    return memmem(line, length, phrase, strlen(phrase)) != NULL;
}

/* Looks whether the line is a known one. */
static bool know(const char *line, size_t length, int status, struct words_said *said)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((known[i].status && known[i].status != status) || !holds(line, length, known[i].phrase) ||
            (known[i].also && !holds(line, length, known[i].also)))
            continue;
        said->about = known[i].about;
        said->mend = known[i].mend;
        return true;
    }
    return false;
}

bool words_telling(const struct words *words, int status, struct words_said *said)
{
    char tail[WORDS_MOST];
    size_t end = words_tail(words, tail);

    *said = (struct words_said){.about = NULL};
    while (end > 0) {
        const char *before = memrchr(tail, '\n', end - (tail[end - 1] == '\n'));
        const char *line = before ? before + 1 : tail;
        size_t length = (size_t)(tail + end - line);

        if (length > 0 && line[length - 1] == '\n')
            length--;
        if (!blank(line, length)) {
            bool telling = know(line, length, status, said);
            if (telling || !said->line[0])
                plain_text(line, length, said->line, sizeof said->line);
            if (telling)
                return true;
        }
        end = (size_t)(line - tail);
    }
    return said->line[0] != '\0';
}
