#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "sha256.h"

#define FILE_MAX ((uint64_t)1 << 30)
#define DELETED " (deleted)"

static uint32_t hash(const char *name)
{
    uint32_t value = 2166136261u;

    for (; *name; name++)
        value = (value ^ (unsigned char)*name) * 16777619u;
    return value;
}

static struct timespec now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return time;
}

static void *grow(void *array, size_t *room, size_t count, size_t size)
{
    size_t more = *room ? *room * 2 : 16;
    void *bigger;

    if (count < *room)
        return array;
    bigger = reallocarray(array, more, size);
    if (bigger)
        *room = more;
    return bigger;
}

/* ---- nodes ---- */

static int node_make(struct tree *tree, mode_t mode, uid_t uid, gid_t gid, struct node **made)
{
    struct node **nodes = grow(tree->nodes, &tree->room, tree->count, sizeof *nodes);
    struct node *node = calloc(1, sizeof *node);

    if (nodes)
        tree->nodes = nodes;
    if (!nodes || !node) {
        free(node);
        return -ENOMEM;
    }
    node->id = tree->count;
    node->mode = mode;
    node->uid = uid;
    node->gid = gid;
    node->atime = node->mtime = node->ctime = now();
    tree->nodes[tree->count++] = node;
    *made = node;
    return 0;
}

int tree_begin(struct tree *tree, uint64_t limit)
{
    struct node *root = NULL;
    int result;

    *tree = (struct tree){.limit = limit};
    tree->nodes = grow(NULL, &tree->room, 0, sizeof *tree->nodes);
    if (!tree->nodes)
        return -ENOMEM;
    tree->nodes[tree->count++] = NULL; /* id 0 is none */
    result = node_make(tree, S_IFDIR | 0755, 0, 0, &root);
    if (result < 0)
        return result;
    root->nlink = 2;
    root->lookups = 1; /* never forgotten */
    return 0;
}

struct node *tree_node(const struct tree *tree, uint64_t id)
{
    return id < tree->count ? tree->nodes[id] : NULL;
}

void tree_settle(struct tree *tree, struct node *node)
{
    if (node->nlink || node->lookups || node->opens)
        return;
    for (size_t i = 1; S_ISDIR(node->mode) && i < tree->count; i++) /* its children are gone but may be in use */
        if (tree->nodes[i] && tree->nodes[i]->parent == node)
            tree->nodes[i]->parent = NULL;
    while (node->xattrs)
        tree_remove_xattr(node, node->xattrs->name);
    if (S_ISREG(node->mode))
        tree->used -= node->size;
    tree->nodes[node->id] = NULL;
    free(node->data);
    free(node->entries);
    free(node->name);
    free(node);
}

/* ---- names ---- */

static struct entry *entry_find(const struct node *directory, const char *name)
{
    uint32_t wanted = hash(name);

    for (size_t i = 0; i < directory->count; i++)
        if (directory->entries[i].hash == wanted && !strcmp(directory->entries[i].name, name))
            return &directory->entries[i];
    return NULL;
}

int tree_find(const struct node *directory, const char *name, struct node **found)
{
    struct entry *entry;

    if (!S_ISDIR(directory->mode))
        return -ENOTDIR;
    if (strlen(name) > TREE_NAME_MAX)
        return -ENAMETOOLONG;
    entry = entry_find(directory, name);
    if (!entry)
        return -ENOENT;
    *found = entry->node;
    return 0;
}

static void name_set(struct node *node, struct node *parent, const char *name)
{
    char *copy = strdup(name);

    if (!copy)
        return; /* the old one: it is only for messages */
    free(node->name);
    node->name = copy;
    node->parent = parent;
}

static int entry_add(struct node *directory, const char *name, struct node *node)
{
    struct entry *entries = grow(directory->entries, &directory->entry_room, directory->count, sizeof *entries);
    char *copy = strdup(name);

    if (entries)
        directory->entries = entries;
    if (!entries || !copy) {
        free(copy);
        return -ENOMEM;
    }
    directory->entries[directory->count++] =
        (struct entry){.name = copy, .hash = hash(name), .cookie = ++directory->cookie, .node = node};
    directory->mtime = directory->ctime = node->ctime = now();
    if (S_ISDIR(node->mode))
        directory->nlink++;
    name_set(node, directory, name);
    return 0;
}

/* A node that lost the name it was known by goes by another one that it has. */
static void name_again(struct tree *tree, struct node *node)
{
    for (size_t i = 1; node->nlink && i < tree->count; i++) {
        struct node *directory = tree->nodes[i];
        for (size_t j = 0; directory && j < directory->count; j++)
            if (directory->entries[j].node == node) {
                name_set(node, directory, directory->entries[j].name);
                return;
            }
    }
}

static void entry_drop(struct tree *tree, struct node *directory, struct entry *entry)
{
    struct node *node = entry->node;
    size_t index = (size_t)(entry - directory->entries);
    bool known = node->parent == directory && node->name && !strcmp(node->name, entry->name);

    free(entry->name);
    memmove(entry, entry + 1, (directory->count - index - 1) * sizeof *entry);
    directory->count--;
    directory->mtime = directory->ctime = node->ctime = now();
    if (S_ISDIR(node->mode))
        directory->nlink--;
    if (known && !S_ISDIR(node->mode) && node->nlink > 0)
        name_again(tree, node);
}

int tree_make(struct tree *tree, struct node *directory, const char *name, mode_t mode, uid_t uid, gid_t gid,
              uint32_t rdev, const char *data, struct node **made)
{
    struct node *node;
    int result = tree_find(directory, name, &node);

    if (result != -ENOENT)
        return result < 0 ? result : -EEXIST;
    if (directory->mode & S_ISGID) {
        gid = directory->gid;
        mode |= S_ISDIR(mode) ? S_ISGID : 0;
    }
    result = node_make(tree, mode, uid, gid, &node);
    if (result < 0)
        return result;
    node->rdev = rdev;
    if (data) {
        node->data = strdup(data);
        node->size = strlen(data);
    }
    result = data && !node->data ? -ENOMEM : entry_add(directory, name, node);
    if (result < 0) {
        tree_settle(tree, node);
        return result;
    }
    node->nlink = S_ISDIR(mode) ? 2 : 1;
    *made = node;
    return 0;
}

int tree_link(struct tree *tree, struct node *node, struct node *directory, const char *name)
{
    struct node *there;
    int result = tree_find(directory, name, &there);

    (void)tree;
    if (S_ISDIR(node->mode))
        return -EPERM;
    if (result != -ENOENT)
        return result < 0 ? result : -EEXIST;
    result = entry_add(directory, name, node);
    if (result == 0)
        node->nlink++;
    return result;
}

int tree_remove(struct tree *tree, struct node *directory, const char *name, bool is_rmdir)
{
    struct node *node;
    int result = tree_find(directory, name, &node);

    if (result < 0)
        return result;
    if (is_rmdir && !S_ISDIR(node->mode))
        return -ENOTDIR;
    if (!is_rmdir && S_ISDIR(node->mode))
        return -EISDIR;
    if (node->count)
        return -ENOTEMPTY;
    node->nlink = S_ISDIR(node->mode) ? 0 : node->nlink - 1;
    entry_drop(tree, directory, entry_find(directory, name));
    tree_settle(tree, node);
    return 0;
}

static void entry_point(struct node *directory, struct entry *entry, struct node *node)
{
    if (S_ISDIR(entry->node->mode))
        directory->nlink--;
    if (S_ISDIR(node->mode))
        directory->nlink++;
    entry->node = node;
    name_set(node, directory, entry->name);
    directory->mtime = directory->ctime = node->ctime = now();
}

int tree_rename(struct tree *tree, struct node *from, const char *name, struct node *to, const char *new_name,
                unsigned flags)
{
    struct node *node, *there = NULL;
    int result = tree_find(from, name, &node);

    if (result < 0)
        return result;
    result = tree_find(to, new_name, &there);
    if (result < 0 && result != -ENOENT)
        return result;
    if (flags & RENAME_EXCHANGE) {
        if (!there)
            return -ENOENT;
        entry_point(from, entry_find(from, name), there);
        entry_point(to, entry_find(to, new_name), node);
        return 0;
    }
    if (there && flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (there == node)
        return 0;
    if (there) {
        if (S_ISDIR(node->mode) && !S_ISDIR(there->mode))
            return -ENOTDIR;
        result = tree_remove(tree, to, new_name, S_ISDIR(node->mode));
        if (result < 0)
            return result;
    }
    result = entry_add(to, new_name, node);
    if (result == 0)
        entry_drop(tree, from, entry_find(from, name)); /* looked up only now: adding may have moved the entries */
    return result;
}

/* ---- contents ---- */

int tree_resize(struct tree *tree, struct node *node, uint64_t size)
{
    if (size > FILE_MAX)
        return -EFBIG;
    if (size > node->size && size - node->size > tree->limit - tree->used)
        return -ENOSPC;
    if (size > node->room) {
        uint64_t room = size > node->room * 2 ? size : node->room * 2;
        char *data = realloc(node->data, room);

        if (!data)
            return -ENOMEM;
        node->data = data;
        node->room = room;
    }
    if (size > node->size)
        memset(node->data + node->size, 0, size - node->size);
    tree->used += size - node->size;
    node->size = size;
    node->mtime = node->ctime = now();
    return 0;
}

int tree_write(struct tree *tree, struct node *node, const void *bytes, size_t length, uint64_t offset)
{
    int result = 0;

    if (offset > FILE_MAX)
        return -EFBIG;
    if (offset + length > node->size)
        result = tree_resize(tree, node, offset + length);
    if (result < 0)
        return result;
    if (length)
        memcpy(node->data + offset, bytes, length);
    node->mtime = node->ctime = now();
    node->dirty = true;
    return 0;
}

/* ---- extended attributes ---- */

struct xattr *tree_xattr(const struct node *node, const char *name)
{
    for (struct xattr *xattr = node->xattrs; xattr; xattr = xattr->next)
        if (!strcmp(xattr->name, name))
            return xattr;
    return NULL;
}

int tree_set_xattr(struct node *node, const char *name, const void *value, size_t size, int flags)
{
    struct xattr *xattr = tree_xattr(node, name);
    void *copy;

    if (xattr && flags & XATTR_CREATE)
        return -EEXIST;
    if (!xattr && flags & XATTR_REPLACE)
        return -ENODATA;
    copy = malloc(size ? size : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, value, size);
    if (!xattr) {
        xattr = calloc(1, sizeof *xattr);
        if (xattr)
            xattr->name = strdup(name);
        if (!xattr || !xattr->name) {
            free(xattr);
            free(copy);
            return -ENOMEM;
        }
        xattr->next = node->xattrs;
        node->xattrs = xattr;
    }
    free(xattr->value);
    xattr->value = copy;
    xattr->size = size;
    node->ctime = now();
    return 0;
}

int tree_remove_xattr(struct node *node, const char *name)
{
    for (struct xattr **link = &node->xattrs; *link; link = &(*link)->next)
        if (!strcmp((*link)->name, name)) {
            struct xattr *gone = *link;

            *link = gone->next;
            free(gone->name);
            free(gone->value);
            free(gone);
            node->ctime = now();
            return 0;
        }
    return -ENODATA;
}

/* ---- for messages ---- */

/* Writes text so that it ends where *end points, and moves *end to its beginning; leaves out what has no room. */
static void put_before(char *path, size_t *end, const char *text, size_t length)
{
    if (length > *end)
        length = *end;
    *end -= length;
    memcpy(path + *end, text, length);
}

void tree_path(const struct node *node, const char *more, char *path, size_t room)
{
    size_t end = room - 1;

    path[end] = '\0';
    if (more) {
        put_before(path, &end, more, strlen(more));
        put_before(path, &end, "/", 1);
    }
    if (!node->nlink)
        put_before(path, &end, DELETED, strlen(DELETED));
    for (; node && node->name; node = node->parent) {
        put_before(path, &end, node->name, strlen(node->name));
        put_before(path, &end, "/", 1);
    }
    if (!path[end])
        put_before(path, &end, "/", 1);
    memmove(path, path + end, room - end);
}

void tree_print_name(const char *name, FILE *out)
{
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f || *name == '\\')
            fprintf(out, "\\%03o", (unsigned)(unsigned char)*name);
        else
            fputc(*name, out);
}

void tree_print(const struct node *node, const char *path, FILE *out)
{
    const char *type = S_ISDIR(node->mode)   ? "dir"
                       : S_ISREG(node->mode) ? "file"
                       : S_ISLNK(node->mode) ? "link"
                                             : "node";
    char below[TREE_PATH_MAX], digest[65] = "-";

    if (node->data || S_ISREG(node->mode))
        sha256_hex(node->data, node->size, digest);
    fprintf(out, "%s %04o %u %u %u %llu %s %s ", type, node->mode & 07777, node->uid, node->gid, node->nlink,
            (unsigned long long)node->size, digest, node->dirty ? "dirty" : "committed");
    tree_print_name(path, out);
    fputc('\n', out);
    for (size_t i = 0; i < node->count; i++) {
        snprintf(below, sizeof below, "%s/%s", path[1] ? path : "", node->entries[i].name);
        tree_print(node->entries[i].node, below, out);
    }
}
