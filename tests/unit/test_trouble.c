/* trouble: its names, what an errno means, which file systems may make a call wait, which mounts may hold a workspace. */
#include "unit.h"

#include "trouble.h"

static void names(void **state)
{
    static const char *const expected[] = {
        NULL, "not_mounted", "wrong_fstype", "disconnected", "unresponsive", "bad_owner", "permission", "read_only",
        "full", "io_stuck", "invalid"};

    (void)state;
    assert_int_equal(TROUBLE_COUNT, LENGTH(expected));
    assert_null(trouble_name(TROUBLE_NONE));
    for (size_t i = 1; i < LENGTH(expected); i++)
        assert_string_equal(trouble_name((enum trouble)i), expected[i]);
    assert_null(trouble_name(TROUBLE_COUNT));
    assert_null(trouble_name((enum trouble)1000));
    assert_null(trouble_name((enum trouble)-1));
}

static void errnos(void **state)
{
    static const struct {
        int errnum;
        enum trouble trouble;
    } rows[] = {
        {ENOTCONN, TROUBLE_DISCONNECTED},     {ECONNABORTED, TROUBLE_DISCONNECTED}, {ECONNRESET, TROUBLE_DISCONNECTED},
        {ECONNREFUSED, TROUBLE_DISCONNECTED}, {ESTALE, TROUBLE_DISCONNECTED},       {EIO, TROUBLE_DISCONNECTED},
        {EHOSTDOWN, TROUBLE_DISCONNECTED},    {ETIMEDOUT, TROUBLE_UNRESPONSIVE},    {EAGAIN, TROUBLE_UNRESPONSIVE},
        {EACCES, TROUBLE_PERMISSION},         {EROFS, TROUBLE_READ_ONLY},           {ENOSPC, TROUBLE_FULL},
        {EDQUOT, TROUBLE_FULL},               {ENOENT, TROUBLE_INVALID},            {ENOTDIR, TROUBLE_INVALID},
        {ELOOP, TROUBLE_INVALID},             {EXDEV, TROUBLE_INVALID},             {ENAMETOOLONG, TROUBLE_INVALID},
        {0, TROUBLE_INVALID},                 {-1, TROUBLE_INVALID},                {99999, TROUBLE_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_int_equal(trouble_of_errno(rows[i].errnum), rows[i].trouble);
}

static void set(void **state)
{
    struct fault fault;
    char *name = repeat_text('x', 4096, "");

    (void)state;
    assert_int_equal(trouble_set(&fault, TROUBLE_FULL, ENOSPC, "make room", "workspace %s", "/w"), -ENOSPC);
    assert_int_equal(fault.stage, STAGE_WORKSPACE);
    assert_int_equal(fault.trouble, TROUBLE_FULL);
    assert_int_equal(fault.errnum, ENOSPC);
    assert_string_equal(fault.what, "workspace /w");
    assert_string_equal(fault.hint, "make room");
    /* Names are the caller's, of any length and with any byte: neither formatted again nor run over. */
    assert_true(trouble_set(&fault, TROUBLE_INVALID, 0, NULL, "%s", "100% %n %s") < 0);
    assert_string_equal(fault.what, "100% %n %s");
    assert_string_equal(fault.hint, "");
    assert_int_equal(trouble_set(&fault, TROUBLE_INVALID, ENOENT, name, "%s", name), -ENOENT);
    assert_int_equal(strlen(fault.what), sizeof fault.what - 1);
    assert_int_equal(strlen(fault.hint), sizeof fault.hint - 1);
    free(name);
}

static void types_that_may_block(void **state)
{
    static const char *const may[] = {"fuse", "fuse.seaweedfs", "fuse.", "fuse.a.b", "fuseblk", "virtiofs", "nfs",
                                      "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "coda", "lustre", "gfs2", "ocfs2",
                                      "autofs", "beegfs"};
    static const char *const never[] = {"", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "fusectl", "fusex", "Fuse",
                                        "fus", "nfsd", "proc", "nfs.x", "zfs", "ramfs", "squashfs", "vfat"};

    (void)state;
    for (size_t i = 0; i < LENGTH(may); i++)
        assert_true(trouble_may_block(may[i]));
    for (size_t i = 0; i < LENGTH(never); i++)
        assert_false(trouble_may_block(never[i]));
}

#define TEXT(literal) ((char[]){literal})
#define MOUNT(type, superblock) \
    {.fstype = TEXT(type), .target = TEXT("/m"), .options = TEXT("rw,nosuid"), .root = TEXT("/"), \
     .super = TEXT(superblock)}
#define SEAWEED "fuse.seaweedfs"
#define IDS "user_id=0,group_id=0"
#define GOOD "rw," IDS ",default_permissions,allow_other"
#define ANYONE ((uid_t)-1)

static void mounts(void **state)
{
    const struct {
        struct mountinfo mount;
        const char *require;
        uid_t uid;
        gid_t gid;
        enum trouble trouble;
    } rows[] = {
        {MOUNT(SEAWEED, GOOD), SEAWEED, ANYONE, ANYONE, TROUBLE_NONE},
        {MOUNT(SEAWEED, GOOD), NULL, 1000, 1000, TROUBLE_NONE},
        {MOUNT("fuse", GOOD), NULL, ANYONE, ANYONE, TROUBLE_NONE},
        {MOUNT("fuse.bindfs", GOOD), NULL, ANYONE, ANYONE, TROUBLE_NONE},
        /* The type, to the letter. */
        {MOUNT("fuse.bindfs", GOOD), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT("fuse", GOOD), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT("fuse.seaweedfs2", GOOD), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT("fuse.seaweedf", GOOD), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT("ext4", "rw"), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT(SEAWEED, GOOD), "", ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT(SEAWEED, GOOD), "ext4", ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        /* Whatever else is wrong with it. */
        {MOUNT("ext4", "ro"), SEAWEED, ANYONE, ANYONE, TROUBLE_WRONG_FSTYPE},
        {MOUNT(SEAWEED, "ro," IDS ",default_permissions,allow_other"), SEAWEED, ANYONE, ANYONE, TROUBLE_READ_ONLY},
        {MOUNT(SEAWEED, "ro"), NULL, ANYONE, ANYONE, TROUBLE_READ_ONLY},
        {MOUNT("ext4", "ro,relatime"), NULL, ANYONE, ANYONE, TROUBLE_READ_ONLY},
        /* A word, not a part of one. */
        {MOUNT("ext4", "rw,errors=remount-ro,xro,rox"), NULL, ANYONE, ANYONE, TROUBLE_NONE},
        {MOUNT("ext4", "rw"), NULL, 1000, 1000, TROUBLE_NONE},
        {MOUNT("tmpfs", "rw,size=1k"), "tmpfs", 1000, 1000, TROUBLE_NONE},
        {MOUNT(SEAWEED, "rw," IDS ",allow_other"), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw," IDS ",allow_other,no_default_permissions"), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw," IDS ",default_permissions"), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw," IDS ",default_permissions,allow_others"), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, ""), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        /* Without allow_other: only who mounted it, by user and by group. */
        {MOUNT(SEAWEED, "rw,user_id=1000,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_NONE},
        {MOUNT(SEAWEED, "default_permissions,user_id=1000,group_id=100"), NULL, 1000, 100, TROUBLE_NONE},
        {MOUNT(SEAWEED, "rw,user_id=1000,group_id=100,default_permissions"), NULL, 1000, 101, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=1000,group_id=100,default_permissions"), NULL, 1001, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=1000,group_id=100,default_permissions"), NULL, ANYONE, ANYONE, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw," IDS ",default_permissions"), NULL, 0, 0, TROUBLE_NONE},
        /* Words that only begin or end like the right one, numbers that are none, nothing where something should be. */
        {MOUNT(SEAWEED, "rw,xuser_id=1000,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_idx=1000,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=1000x,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=,group_id=100,default_permissions"), NULL, 0, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=-2,group_id=-2,default_permissions"), NULL, ANYONE - 1, ANYONE - 1,
         TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=+1000,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id,group_id=100,default_permissions"), NULL, 0, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,group_id=100,default_permissions"), NULL, 0, 100, TROUBLE_PERMISSION},
        {MOUNT(SEAWEED, "rw,user_id=1000,default_permissions"), NULL, 1000, 0, TROUBLE_PERMISSION},
        /* 2^32 + 1000 */
        {MOUNT(SEAWEED, "rw,user_id=4294968296,group_id=100,default_permissions"), NULL, 1000, 100, TROUBLE_PERMISSION},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct fault fault = {0};
        int result = trouble_of_mount(&rows[i].mount, rows[i].require, rows[i].uid, rows[i].gid, "/w", &fault);
        if ((result == 0) != (rows[i].trouble == TROUBLE_NONE) || fault.trouble != (int32_t)rows[i].trouble)
            print_error("row %zu: %s %s\n", i, rows[i].mount.fstype, rows[i].mount.super);
        assert_int_equal(fault.trouble, rows[i].trouble);
        if (rows[i].trouble == TROUBLE_NONE) {
            assert_int_equal(result, 0);
            continue;
        }
        assert_true(result < 0);
        assert_int_equal(result, -fault.errnum);
        assert_int_equal(fault.stage, STAGE_WORKSPACE);
        assert_non_null(strstr(fault.what, "/w"));
        assert_true(fault.hint[0]); /* each has a mend */
    }
}

/* The mount's own flags count as much as the superblock's. */
static void read_only_by_either(void **state)
{
    struct mountinfo mount = MOUNT(SEAWEED, GOOD);
    struct fault fault = {0};

    (void)state;
    mount.options = (char[]){"nosuid,nodev,ro"};
    assert_int_equal(trouble_of_mount(&mount, SEAWEED, ANYONE, ANYONE, "/w", &fault), -EROFS);
    assert_int_equal(fault.trouble, TROUBLE_READ_ONLY);
    mount.options = (char[]){"rw,noro,ro="};
    assert_int_equal(trouble_of_mount(&mount, SEAWEED, ANYONE, ANYONE, "/w", &fault), 0);
}

/* Long names from the host end where the message does. */
static void long_names(void **state)
{
    struct mountinfo mount = MOUNT(SEAWEED, "ro");
    struct fault fault;
    char *name = repeat_text('n', 8000, "");

    (void)state;
    mount.target = name;
    assert_true(trouble_of_mount(&mount, SEAWEED, ANYONE, ANYONE, name, &fault) < 0);
    assert_true(strlen(fault.what) < sizeof fault.what);
    mount.fstype = name;
    assert_true(trouble_of_mount(&mount, SEAWEED, ANYONE, ANYONE, name, &fault) < 0);
    assert_int_equal(fault.trouble, TROUBLE_WRONG_FSTYPE);
    assert_false(trouble_may_block(name));
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(errnos),
        cmocka_unit_test(set),
        cmocka_unit_test(types_that_may_block),
        cmocka_unit_test(mounts),
        cmocka_unit_test(read_only_by_either),
        cmocka_unit_test(long_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
