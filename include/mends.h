/* mends: the command that mends what a host lacks, chosen by where bivy is run. One const table. Pure. */
#ifndef BIVY_MENDS_H
#define BIVY_MENDS_H

#include <stddef.h>

#include "setting.h"

enum mend {
    MEND_NONE,
    MEND_SAID,      /* the argument is the mend, from the room that found the trouble */
    MEND_KERNEL,    /* it lacks something: a newer one */
    MEND_FILTER,    /* somebody's seccomp filter refuses */
    MEND_PROC,
    MEND_SYSCTL,    /* argument: name=value */
    MEND_USERNS,    /* no user namespace, and no sysctl tells why */
    MEND_CHROOT,
    MEND_NO_IDS,    /* root is the only id that is mapped here */
    MEND_RIGHTS,    /* root without root's capabilities */
    MEND_IDS,       /* argument: an id that is mapped here */
    MEND_GROUP,     /* an ordinary user in root's group. Argument: the user's id */
    MEND_USED,      /* user namespaces are made and give no capability. Argument: path of the program */
    MEND_MOUNTED,   /* something is mounted over a part of /proc. Argument: where */
    MEND_MASKED,    /* the same, and it cannot be told where */
    MEND_CGROUP2,   /* argument: where to mount it */
    MEND_HYBRID,
    MEND_DELEGATE,  /* argument: what root would do by hand */
    MEND_HAND_ON,   /* a controller that the parent's children do not get. Argument: what root would do by hand */
    MEND_CONTROLLER, /* the kernel has it switched off. Argument: its name */
    MEND_SWAP,
    MEND_KEYS,
    MEND_LIMIT,     /* argument: --name=value of prlimit(1) and the process */
    MEND_DEVICE,    /* argument: what root does about the nodes */
    MEND_ROOTFS,    /* argument: where */
    MEND_COMMAND,   /* argument: a command that needs root */
    MEND_OUTSIDE,   /* argument: one that needs the root of the machine, which root here is not */
    MEND_CLEAN,
    MEND_OWN,       /* argument: words for bivy itself */
    MEND_LOOK,      /* nobody knows: how to find out */
    MEND_FUSE,      /* argument: where it is mounted */
    MEND_CLOCK,
    MEND_LOG,       /* argument: a command that needs root */
    MEND_COUNT
};

/* Writes the mend for this setting; "" for MEND_NONE. argument: see above, may be NULL. */
void mends_text(enum mend mend, const struct setting *setting, const char *argument, char *text, size_t size);

/* Adds word to text so that a POSIX shell takes it as one word. */
void mends_word(char *text, size_t size, const char *word);

/* Is there a row for every mend without a condition, so that there is always one? For the unit test. */
int mends_complete(void);

#endif
