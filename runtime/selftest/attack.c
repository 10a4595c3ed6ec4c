#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct finding *finding;

__attribute__((format(printf, 2, 0))) static int say(int verdict, const char *format, va_list arguments)
{
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    return verdict;
}

int got(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int verdict = say(GOT, format, arguments);
    va_end(arguments);
    return verdict;
}

int skip(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int verdict = say(SKIPPED, format, arguments);
    va_end(arguments);
    return verdict;
}

int refused(const char *what, long result, int error)
{
    int seen = errno;

    if (result == -1 && seen == error)
        return REFUSED;
    if (result == -1)
        return got("%s: %s where %s was published", what, strerror(seen), strerror(error));
    return got("%s: it worked (%ld)", what, result);
}

int failed(const char *what, long result)
{
    return result == -1 ? REFUSED : got("%s: it worked (%ld)", what, result);
}

int first(const int *verdicts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (verdicts[i] != REFUSED)
            return verdicts[i];
    return REFUSED;
}

int slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t used = 0;
    ssize_t part = -1;

    if (fd < 0)
        return -1;
    while (used + 1 < size && (part = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)part;
    text[used] = '\0';
    close(fd);
    return part < 0 ? -1 : 0;
}

bool status_value(const char *status, const char *name, int base, unsigned long long *value)
{
    size_t length = strlen(name);

    for (const char *line = status; line; line = strchr(line, '\n')) {
        char *end;
        line += *line == '\n';
        if (strncmp(line, name, length) || line[length] != ':')
            continue;
        *value = strtoull(line + length + 1, &end, base);
        return end != line + length + 1;
    }
    return false;
}

size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

_Noreturn void leave_quietly(void)
{
    _exit(0);
}
