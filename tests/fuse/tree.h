/* tree: the files that faultfs serves. They live in memory, so that a test can ask what really reached the server. */
#ifndef BIVY_TEST_FUSE_TREE_H
#define BIVY_TEST_FUSE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#define TREE_ROOT 1       /* node id, as FUSE wants it */
#define TREE_NAME_MAX 255 /* bytes */
#define TREE_PATH_MAX 4096

struct node;

struct entry {
    char *name;
    uint32_t hash;   /* of the name: most entries are told apart without a comparison */
    uint64_t cookie; /* grows with every entry made in that directory: where a reading of it goes on */
    struct node *node;
};

struct xattr {
    struct xattr *next;
    char *name;
    void *value;
    size_t size;
};

struct node {
    uint64_t id;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    uint32_t rdev;
    uint32_t nlink;
    uint64_t lookups; /* references that the kernel holds */
    uint64_t opens;
    struct timespec atime, mtime, ctime;

    char *data; /* of a file, or a symbolic link's target */
    uint64_t size, room;
    bool dirty; /* written since the last FLUSH or FSYNC that was carried out */

    struct entry *entries; /* of a directory, in the order of their cookies */
    size_t count, entry_room;
    uint64_t cookie;

    struct node *parent; /* one of the links: for messages */
    char *name;
    struct xattr *xattrs;
};

struct tree {
    struct node **nodes; /* by id; an id is never used again */
    size_t count, room;
    uint64_t used, limit; /* bytes of file data */
};

/* An empty root, mode 0755 of user 0. limit: bytes of all files together, ENOSPC beyond. */
int tree_begin(struct tree *tree, uint64_t limit);
/* NULL when there is none of that id. */
struct node *tree_node(const struct tree *tree, uint64_t id);
/* Gives back a node that neither a name nor the kernel nor an open file refers to. */
void tree_settle(struct tree *tree, struct node *node);

/* ENOENT, ENOTDIR, ENAMETOOLONG. */
int tree_find(const struct node *directory, const char *name, struct node **found);
/* data: the target of a symbolic link, else NULL. EEXIST, ENOSPC, ENOMEM and what tree_find gives. */
int tree_make(struct tree *tree, struct node *directory, const char *name, mode_t mode, uid_t uid, gid_t gid,
              uint32_t rdev, const char *data, struct node **made);
int tree_link(struct tree *tree, struct node *node, struct node *directory, const char *name);
/* is_rmdir: ENOTDIR and ENOTEMPTY; otherwise EISDIR. */
int tree_remove(struct tree *tree, struct node *directory, const char *name, bool is_rmdir);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. */
int tree_rename(struct tree *tree, struct node *from, const char *name, struct node *to, const char *new_name,
                unsigned flags);

/* EFBIG beyond 1 GiB, ENOSPC beyond the limit. */
int tree_resize(struct tree *tree, struct node *node, uint64_t size);
int tree_write(struct tree *tree, struct node *node, const void *bytes, size_t length, uint64_t offset);

struct xattr *tree_xattr(const struct node *node, const char *name);
/* flags as setxattr(2). */
int tree_set_xattr(struct node *node, const char *name, const void *value, size_t size, int flags);
int tree_remove_xattr(struct node *node, const char *name);

/* The absolute path within the tree; more (may be NULL) is a name below the node. A node without a name left shows as
 * its last one with " (deleted)". */
void tree_path(const struct node *node, const char *more, char *path, size_t room);
/* One line a name, the node that path names and all below it: TYPE MODE UID GID NLINK SIZE SHA256 committed|dirty PATH.
 * Control characters of a path are written \ooo. */
void tree_print(const struct node *node, const char *path, FILE *out);
/* The same escapes. */
void tree_print_name(const char *name, FILE *out);

#endif
