#include "mountinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The next word, ended in place; NULL at the end of the line. */
static char *word(char **cursor)
{
    char *start = *cursor;
    char *end;

    if (!*start)
        return NULL;
    end = strchr(start, ' ');
    if (end)
        *end++ = '\0';
    else
        end = start + strlen(start);
    *cursor = end;
    return start;
}

/* The kernel writes space, tab, newline, backslash and '#' as \ooo (seq_escape in fs/proc_namespace.c). */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
            from[3] <= '7') {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool number(const char *text, unsigned long *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return !*end && !errno;
}

static bool device(char *text, struct mountinfo *out)
{
    unsigned long major, minor;
    char *colon = strchr(text, ':');

    if (!colon)
        return false;
    *colon = '\0';
    if (!number(text, &major) || !number(colon + 1, &minor) || major > 0xffffffff || minor > 0xffffffff)
        return false;
    out->major = (unsigned)major;
    out->minor = (unsigned)minor;
    return true;
}

int mountinfo_next(char **cursor, struct mountinfo *out)
{
    char *line = *cursor;
    char *end, *id, *parent, *dev, *optional;

    if (!*line)
        return 0;
    end = strchr(line, '\n');
    if (!end)
        return -EINVAL; /* the kernel ends every line: this text was cut off */
    *end = '\0';
    *cursor = end + 1;

    memset(out, 0, sizeof *out);
    if (!(id = word(&line)) || !(parent = word(&line)) || !(dev = word(&line)) || !(out->root = word(&line)) ||
        !(out->target = word(&line)) || !(out->options = word(&line)))
        return -EINVAL;
    while ((optional = word(&line)) && strcmp(optional, "-"))
        out->propagates = true;
    if (!optional || !(out->fstype = word(&line)) || !(out->source = word(&line)))
        return -EINVAL;
    out->super = word(&line);
    if (!out->super)
        return -EINVAL;
    if (!number(id, &out->id) || !number(parent, &out->parent) || !device(dev, out))
        return -EINVAL;
    unescape(out->root);
    unescape(out->target);
    unescape(out->fstype);
    unescape(out->source);
    return 1;
}

bool mountinfo_has(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (;;) {
        size_t span = strcspn(list, ",");
        if (span == length && !memcmp(list, name, length))
            return true;
        if (!list[span])
            return false;
        list += span + 1;
    }
}
