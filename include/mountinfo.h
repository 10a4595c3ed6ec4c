/* mountinfo: one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)) taken apart. Pure. */
#ifndef BIVY_MOUNTINFO_H
#define BIVY_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>

struct mountinfo {
    unsigned long id, parent;
    unsigned major, minor;
    char *root;    /* unescaped in place, like all strings here: they point into the text */
    char *target;
    char *options; /* of the mount */
    char *fstype;
    char *source;
    char *super;   /* options of the superblock */
    bool propagates; /* shared, slave or unbindable: any optional field */
};

/* Takes the line at *cursor apart, in place, and moves *cursor behind it. 1: *out filled; 0: end of text; -EINVAL: not a
 * mountinfo line (then the whole text must not be trusted). */
int mountinfo_next(char **cursor, struct mountinfo *out);

/* Is name one of the comma-separated words of list? */
bool mountinfo_has(const char *list, const char *name);

#endif
