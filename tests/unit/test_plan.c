/* plan: what is decided of a spec on made-up hosts. GOLDEN is the directory of the golden plans; with BIVY_GOLDEN_WRITE=1 they are
 * written anew, and the test fails all the same, so that this cannot pass for agreement. */
#include "unit.h"

#include <limits.h>
#include <sys/resource.h>

#include "../fuzz/strict_json.h"
#include "options.h"
#include "plan.h"
#include "seats.h"
#include "seccomp_filter.h"

#define MIB ((uint64_t)1 << 20)

/* Linked with --wrap for each of these: the allocation of that number fails. */
static unsigned fail_at;
static bool fails(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return false;
    errno = ENOMEM;
    return true;
}
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

static struct spec spec;
static struct facts facts;
static struct plan plan;
static struct fault fault;
static char *command[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"echo hi"}, NULL};

static char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

static char *some_env(const char *name)
{
    static const char *const pairs[] = {"TERM", "xterm-256color", "TOKEN", "s=cr\xffyz", "EMPTY", "", "PATH", "/caller/bin", "LANG", "de_DE"};

    for (size_t i = 0; i < LENGTH(pairs); i += 2)
        if (!strcmp(pairs[i], name))
            return (char *)(uintptr_t)pairs[i + 1];
    return NULL;
}

static void processors(const char *list) /* "0-3,8" */
{
    CPU_ZERO(&facts.processors);
    while (*list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (; first <= last; first++)
            CPU_SET(first, &facts.processors);
        list = *end ? end + 1 : end;
    }
}

static int begin(void **state)
{
    (void)state;
    fail_at = 0;
    plan_release(&plan);
    free(spec.env);
    options_defaults(&spec);
    spec.verb = VERB_PLAN;
    spec.scratch = 128 * MIB;
    spec.max_output = MIB;
    spec.output_limit = 64 * MIB;
    spec.argv = command;
    memset(&facts, 0, sizeof facts);
    facts.rootfs.fd = facts.workspace.fd = facts.stop = -1;
    facts.euid = facts.egid = 0;
    facts.privileged = true;
    facts.pid = 4242;
    strcpy(facts.cgroups.v2.mount, "/sys/fs/cgroup");
    strcpy(facts.cgroups.v2.own, "/system.slice/caller");
    strcpy(facts.rootfs.path, "/srv/rootfs");
    strcpy(facts.workspace.path, "/srv/workspaces/ann");
    facts.workspace.uid = 12345;
    facts.workspace.gid = 54321;
    facts.workspace.mode = 0700;
    strcpy(facts.rootfs.fstype, "ext4");
    strcpy(facts.workspace.fstype, "fuse.seaweedfs");
    facts.rootfs.device = facts.workspace.device = 0x801;
    facts.rootfs.inode = 2;
    facts.workspace.inode = 3;
    for (size_t i = 0; i < POLICY_NAMESPACES; i++)
        facts.namespaces[i] = 4026531835 + i;
    processors("0-3");
    return 0;
}

static int end(void **state)
{
    (void)state;
    plan_release(&plan);
    free(spec.env);
    spec.env = NULL;
    return 0;
}

static void rootless(void)
{
    facts.privileged = false;
    facts.euid = 1001;
    facts.egid = 1002;
    facts.workspace.uid = 1001;
    facts.workspace.gid = 1002;
    strcpy(facts.cgroups.v2.own, "/user.slice/user-1001.slice/user@1001.service/app.slice/run-1.scope");
}

static void env(const char *entry)
{
    spec.env = realloc(spec.env, (spec.env_count + 1) * sizeof *spec.env);
    assert_non_null(spec.env);
    spec.env[spec.env_count++] = (char *)(uintptr_t)entry;
}

static int make_with(char *(*get_env)(const char *))
{
    plan_release(&plan);
    memset(&fault, 0x5a, sizeof fault);
    int result = plan_make(&spec, &facts, "abc", get_env, &plan, &fault);
    if (result < 0) {
        assert_true(memchr(fault.what, '\0', sizeof fault.what) && fault.what[0]);
        assert_true(fault.stage >= 0 && fault.stage < STAGE_COUNT);
    }
    return result;
}

static void make(void)
{
    int result = make_with(no_env);

    if (result)
        fail_msg("refused: %s: %s", stage_name(fault.stage), fault.what);
}

static void refused(enum stage stage, int errnum)
{
    assert_true(make_with(no_env) < 0);
    assert_string_equal(stage_name(fault.stage), stage_name((int)stage));
    assert_int_equal(fault.errnum, errnum);
    assert_true(fault.hint[0]); /* the mend */
}

static void ids_are(uid_t uid, gid_t gid)
{
    make();
    assert_int_equal(plan.host_uid, uid);
    assert_int_equal(plan.host_gid, gid);
    assert_int_equal(plan.privileged, facts.privileged);
}

/* --- ids --- */

static void ids_of_root(void **state)
{
    (void)state;
    ids_are(0x70000000 + 4242, 0x70000000 + 4242);
    facts.pid = 1 << 22;
    ids_are(0x70400000, 0x70400000);
    spec.workspace = facts.workspace.path;
    ids_are(12345, 54321);
    facts.workspace.gid = 0; /* chowned, not chgrped */
    ids_are(12345, 12345);
    facts.workspace.uid = 1;
    ids_are(1, 1);
    facts.workspace.uid = 4294967294;
    ids_are(4294967294, 4294967294);
}

static void root_asks_for_ids(void **state)
{
    (void)state;
    spec.host_uid = 7;
    ids_are(7, 7);
    spec.host_gid = 8;
    ids_are(7, 8);
    spec.host_uid = SPEC_UNSET_ID;
    ids_are(0x70000000 + 4242, 8);
    spec.workspace = facts.workspace.path;
    ids_are(12345, 8);
    spec.host_uid = 7;
    spec.host_gid = SPEC_UNSET_ID;
    ids_are(7, 54321);
    facts.workspace.uid = facts.workspace.gid = 0; /* the mend of a workspace of root's */
    ids_are(7, 7);
    spec.host_uid = 4294967294;
    ids_are(4294967294, 4294967294);
}

static void a_workspace_of_roots(void **state)
{
    (void)state;
    spec.workspace = facts.workspace.path;
    facts.workspace.uid = 0;
    refused(STAGE_WORKSPACE, EPERM);
    assert_non_null(strstr(fault.what, facts.workspace.path));
    assert_non_null(strstr(fault.hint, "--host-uid"));
    assert_non_null(strstr(fault.hint, "chown"));
    facts.workspace.gid = 0;
    refused(STAGE_WORKSPACE, EPERM);
    spec.host_gid = 8; /* does not help */
    refused(STAGE_WORKSPACE, EPERM);
}

/* Where the command can write must be neither what the next sandbox runs, nor what the kernel is steered by. */
static void a_workspace_in_the_wrong_place(void **state)
{
    static const struct {
        const char *rootfs, *workspace;
        bool good;
    } paths[] = {
        {"/srv/rootfs", "/srv/rootfs", false}, {"/srv/rootfs", "/srv/rootfs/home/x", false}, {"/srv/rootfs", "/srv", false},
        {"/srv/rootfs", "/", false},           {"/", "/srv/x", false},                       {"/srv/rootfs", "/srv/rootfs-x", true},
        {"/srv/rootfs-x", "/srv/rootfs", true}, {"/srv/rootfs", "/srv/root", true},          {"/a", "/b", true},
        {"/srv/rootfs", "/srv/x/srv/rootfs", true},
    };
    static const char *const steering[] = {"proc", "sysfs", "cgroup", "cgroup2", "devtmpfs", "devpts", "debugfs", "bpf", "nsfs"};
    static const char *const files[] = {"ext4", "xfs", "tmpfs", "overlay", "nfs4", "fuse.seaweedfs", "fuse", "", "proc2", "\xff"};

    (void)state;
    spec.workspace = facts.workspace.path;
    for (size_t i = 0; i < LENGTH(paths); i++) {
        strcpy(facts.rootfs.path, paths[i].rootfs);
        strcpy(facts.workspace.path, paths[i].workspace);
        if (paths[i].good)
            make();
        else
            refused(STAGE_WORKSPACE, EPERM);
    }
    facts.workspace.inode = facts.rootfs.inode; /* the same directory by another path: a bind mount */
    refused(STAGE_WORKSPACE, EPERM);
    facts.workspace.device = 0x802; /* the same number on another file system */
    make();
    for (size_t i = 0; i < LENGTH(files); i++) {
        strcpy(facts.workspace.fstype, files[i]);
        make();
    }
    for (size_t i = 0; i < LENGTH(steering); i++) {
        strcpy(facts.workspace.fstype, steering[i]);
        refused(STAGE_WORKSPACE, EPERM);
        assert_non_null(strstr(fault.what, steering[i]));
    }
    spec.workspace = NULL; /* nothing is bound: nothing to check */
    make();
}

static void ids_of_an_ordinary_user(void **state)
{
    (void)state;
    rootless();
    ids_are(1001, 1002);
    spec.workspace = facts.workspace.path;
    ids_are(1001, 1002);
    facts.workspace.gid = 50; /* a group of the workspace's that is not the user's own does not matter */
    ids_are(1001, 1002);
    spec.host_uid = 1001; /* what is so anyhow may be asked for */
    spec.host_gid = 1002;
    ids_are(1001, 1002);
    spec.host_uid = 1000;
    refused(STAGE_PLAN, EPERM);
    spec.host_uid = SPEC_UNSET_ID;
    spec.host_gid = 50;
    refused(STAGE_PLAN, EPERM);
    spec.host_gid = SPEC_UNSET_ID;
    facts.workspace.uid = 1003;
    refused(STAGE_WORKSPACE, EPERM);
    assert_non_null(strstr(fault.what, "1003"));
    facts.workspace.uid = 0;
    refused(STAGE_WORKSPACE, EPERM);
}

/* Root without the capabilities to map an id, and an ordinary user with group 0. */
static void id_0_is_never_mapped(void **state)
{
    (void)state;
    rootless();
    facts.euid = 0;
    refused(STAGE_PLAN, EPERM);
    facts.euid = 1001;
    facts.egid = 0;
    refused(STAGE_PLAN, EPERM);
    facts.euid = 0;
    spec.host_uid = 5;
    spec.host_gid = 5;
    refused(STAGE_PLAN, EPERM);
}

/* Whatever is put together: no plan with host id 0 or (uid_t)-1. */
static void every_combination_of_ids(void **state)
{
    static const uint64_t asked[] = {SPEC_UNSET_ID, 1, 1001, 4294967294};
    static const uint32_t owners[] = {0, 1, 1001, 4294967294};
    unsigned plans = 0;

    (void)state;
    for (unsigned n = 0; n < 1u << 11; n++) {
        spec.host_uid = asked[n & 3];
        spec.host_gid = asked[n >> 2 & 3];
        facts.workspace.uid = owners[n >> 4 & 3];
        facts.workspace.gid = owners[n >> 6 & 3];
        facts.privileged = n >> 8 & 1;
        spec.workspace = n >> 9 & 1 ? facts.workspace.path : NULL;
        facts.euid = facts.egid = n >> 10 & 1 ? 1001 : 0;
        if (make_with(no_env) < 0)
            continue;
        plans++;
        assert_true(plan.host_uid != 0 && plan.host_gid != 0);
        assert_true(plan.host_uid != (uid_t)-1 && plan.host_gid != (gid_t)-1);
        if (spec.host_uid != SPEC_UNSET_ID)
            assert_true(plan.host_uid == spec.host_uid);
        if (spec.host_gid != SPEC_UNSET_ID)
            assert_true(plan.host_gid == spec.host_gid);
        if (!facts.privileged)
            assert_true(plan.host_uid == facts.euid && plan.host_gid == facts.egid);
    }
    assert_true(plans > 0);
}

/* --- the cgroup parent --- */

static void parent_is(const char *path, bool ours)
{
    make();
    assert_string_equal(plan.cgroup_parent, path);
    assert_int_equal(plan.cgroup_parent_ours, ours);
}

static void cgroup_parents(void **state)
{
    (void)state;
    parent_is("/bivy", true);
    spec.cgroup_parent = "/a/b";
    parent_is("/a/b", false);
    spec.cgroup_parent = "a"; /* the slash may be left out */
    parent_is("/a", false);
    spec.cgroup_parent = "/bivy"; /* named, so not ours to make */
    parent_is("/bivy", false);
    spec.cgroup_parent = "/"; /* the top: what a container sees as such */
    parent_is("", false);
    spec.cgroup_parent = "/..a/b../.c/...";
    parent_is("/..a/b../.c/...", false);
    spec.cgroup_parent = "/a b/\xff\xfe\n";
    parent_is("/a b/\xff\xfe\n", false);

    rootless();
    parent_is("/a b/\xff\xfe\n", false);
    spec.cgroup_parent = NULL;
    parent_is("/user.slice/user-1001.slice/user@1001.service/app.slice", false);
    strcpy(facts.cgroups.v2.own, "/a/b");
    parent_is("/a", false);
}

static void no_cgroup_parent(void **state)
{
    static const char *const bad[] = {"", "//", "/a/", "/a//b", "//a", "/.", "/..", "/a/..", "/a/../b", "/./a", "..", "../a", "a/", "."};
    static const char *const own[] = {"/", "", "/a", "/../a", "/a/../b", "relative"};

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        spec.cgroup_parent = bad[i];
        if (make_with(no_env) >= 0)
            fail_msg("--cgroup-parent \"%s\" became %s", bad[i], plan.cgroup_parent);
        assert_int_equal(fault.stage, STAGE_OPTIONS);
        assert_non_null(strstr(fault.what, "--cgroup-parent"));
    }
    rootless();
    spec.cgroup_parent = NULL;
    for (size_t i = 0; i < LENGTH(own); i++) {
        strcpy(facts.cgroups.v2.own, own[i]);
        refused(STAGE_CGROUP, EACCES);
        assert_non_null(strstr(fault.hint, "--cgroup-parent"));
    }
}

static void long_cgroup_parents(void **state)
{
    (void)state;
    for (size_t length = PATH_MAX - 2; length <= PATH_MAX + 2; length++) {
        char *path = repeat_text('a', length - 1, "");
        char *absolute = repeat_text('/', length, "");
        memcpy(absolute + 1, path, length - 1);
        spec.cgroup_parent = absolute;
        assert_int_equal(make_with(no_env) >= 0, length < PATH_MAX);
        spec.cgroup_parent = path; /* with the slash that is put before it as long */
        assert_int_equal(make_with(no_env) >= 0, length < PATH_MAX);
        free(path);
        free(absolute);
    }
    char *path = repeat_text('a', 1 << 20, "");
    spec.cgroup_parent = path;
    assert_true(make_with(no_env) < 0);
    free(path);
    spec.cgroup_parent = NULL;
    rootless();
    memset(facts.cgroups.v2.own, 'a', PATH_MAX - 1);
    facts.cgroups.v2.own[0] = facts.cgroups.v2.own[PATH_MAX - 3] = '/';
    make();
    assert_int_equal(strlen(plan.cgroup_parent), PATH_MAX - 3);
}

/* --- environment --- */

static void env_is(const char *const *expected)
{
    size_t count = 0;

    for (; expected[count]; count++) {
        if (!plan.env[count])
            fail_msg("%s: missing", expected[count]);
        assert_string_equal(plan.env[count], expected[count]);
    }
    assert_null(plan.env[count]);
}
#define USUAL                                                                                                                       \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/sandbox", "USER=sandbox", "LANG=C.UTF-8", "TMPDIR=/tmp"
#define ENV_IS(...) env_is((const char *const[]){__VA_ARGS__, NULL})

static void environment(void **state)
{
    (void)state;
    assert_int_equal(make_with(some_env), 0);
    ENV_IS(USUAL); /* nothing of the caller's */
    facts.terminal = true;
    assert_int_equal(make_with(some_env), 0);
    ENV_IS(USUAL, "TERM=xterm-256color");
    assert_int_equal(make_with(no_env), 0);
    ENV_IS(USUAL);
    env("TERM=dumb");
    assert_int_equal(make_with(some_env), 0);
    ENV_IS(USUAL, "TERM=dumb");
}

static void asked_for_environment(void **state)
{
    (void)state;
    env("AA=longer");   /* AA is not A, */
    env("A=b");
    env("TOKEN");       /* passed on as it is, bytes that are not UTF-8 and = included */
    env("EMPTY");       /* set and empty is set */
    env("NOT_SET");     /* nothing to pass on */
    env("B=");
    env("C==x=y");
    env("A=c");         /* the last one wins, in the first one's place */
    env("AAA=longest"); /* nor the other way round */
    env("LANG");        /* over the policy's */
    env("HOME=/tmp");
    env("PATH=/opt/bin");
    assert_int_equal(make_with(some_env), 0);
    ENV_IS("PATH=/opt/bin", "HOME=/tmp", "USER=sandbox", "LANG=de_DE", "TMPDIR=/tmp", "AA=longer", "A=c", "TOKEN=s=cr\xffyz", "EMPTY=", "B=", "C==x=y",
           "AAA=longest");
    assert_string_equal(plan.candidates[0], "/opt/bin/sh");
}

static void unset_after_set(void **state)
{
    (void)state;
    env("NOT_SET=1");
    env("NOT_SET"); /* the caller has none: the earlier one stands */
    env("\xff=\x01");
    assert_int_equal(make_with(some_env), 0);
    ENV_IS(USUAL, "NOT_SET=1", "\xff=\x01");
}

static void much_environment(void **state)
{
    static char entries[3000][16];
    char *huge = repeat_text('x', 1 << 20, "");

    (void)state;
    memcpy(huge, "HUGE=", 5);
    for (size_t i = 0; i < LENGTH(entries); i++) {
        snprintf(entries[i], sizeof entries[i], "V%zu=%zu", i % 1500, i);
        env(entries[i]);
    }
    env(huge);
    make();
    size_t count = 0;
    while (plan.env[count])
        count++;
    assert_int_equal(count, policy_env_count + 1500 + 1);
    assert_string_equal(plan.env[policy_env_count], "V0=1500");
    assert_string_equal(plan.env[count - 1], huge);
    free(huge);
}

/* --- what execve is tried on --- */

static void candidates_are(const char *path, const char *name, const char *const *expected)
{
    char entry[256], *argv[] = {(char *)(uintptr_t)name, NULL};
    size_t count = 0;

    snprintf(entry, sizeof entry, "PATH=%s", path);
    free(spec.env);
    spec.env = NULL;
    spec.env_count = 0;
    if (path)
        env(entry);
    spec.argv = argv;
    make();
    for (; expected[count]; count++) {
        if (!plan.candidates[count] || strcmp(plan.candidates[count], expected[count]))
            fail_msg("PATH=%s %s: %s instead of %s", path, name, plan.candidates[count] ? plan.candidates[count] : "nothing", expected[count]);
    }
    if (plan.candidates[count])
        fail_msg("PATH=%s %s: %s is one too many", path, name, plan.candidates[count]);
    plan_release(&plan);
    spec.argv = command;
}
#define CANDIDATES_ARE(path, name, ...) candidates_are(path, name, (const char *const[]){__VA_ARGS__, NULL})

static void candidates(void **state)
{
    (void)state;
    CANDIDATES_ARE(NULL, "sh", "/usr/local/sbin/sh", "/usr/local/bin/sh", "/usr/sbin/sh", "/usr/bin/sh", "/sbin/sh", "/bin/sh");
    CANDIDATES_ARE("/a:/b", "x", "/a/x", "/b/x");
    CANDIDATES_ARE("/a", "-x", "/a/-x");
    CANDIDATES_ARE("/a:b:../c", "x", "/a/x", "b/x", "../c/x");
    CANDIDATES_ARE("/a:/a", "x", "/a/x", "/a/x");
    CANDIDATES_ARE("/a/", "x", "/a//x");
    CANDIDATES_ARE("/a%s:\xff", "%n\xfe", "/a%s/%n\xfe", "\xff/%n\xfe");
    /* a slash: no search */
    CANDIDATES_ARE("/a:/b", "/bin/x", "/bin/x");
    CANDIDATES_ARE("/a:/b", "./x", "./x");
    CANDIDATES_ARE("/a:/b", "x/", "x/");
    CANDIDATES_ARE("", "/x", "/x");
}

/* An empty element is the working directory, wherever it stands (POSIX, XBD 8.3; execvp of glibc and of musl). */
static void empty_elements_of_path(void **state)
{
    (void)state;
    CANDIDATES_ARE(":/a", "x", "./x", "/a/x");
    CANDIDATES_ARE("/a::/b", "x", "/a/x", "./x", "/b/x");
    CANDIDATES_ARE("/a:", "x", "/a/x", "./x");
    CANDIDATES_ARE(":", "x", "./x", "./x");
}

static void very_long_names(void **state)
{
    char *name = repeat_text('n', 1 << 20, ""), *path = repeat_text(':', 4096, "/a"), *argv[] = {name, NULL};
    size_t size = strlen(path) + 8;
    char *entry = malloc(size);

    (void)state;
    snprintf(entry, size, "PATH=%s", path + 4090);
    env(entry);
    spec.argv = argv;
    make();
    assert_int_equal(strlen(plan.candidates[0]), 2 + strlen(name));
    name[3] = '\0';
    snprintf(entry, size, "PATH=%s", path);
    make();
    size_t count = 0;
    while (plan.candidates[count])
        count++;
    assert_int_equal(count, 4097);
    assert_string_equal(plan.candidates[0], "./nnn");
    assert_string_equal(plan.candidates[4096], "/a/nnn");
    plan_release(&plan);
    free(entry);
    free(path);
    free(name);
    spec.argv = command;
}

/* --- processors --- */

static void affinity(void **state)
{
    static const char *const sets[] = {"0", "5", "0-1", "0-3", "1,3,5,7", "0-63", "60-70", "2,1000-1023", "0-1023", "1023"};
    static const struct {
        uint64_t cpu;
        int wanted;
    } limits[] = {{10, 1}, {500, 1}, {999, 1}, {1000, 1}, {1001, 2}, {2000, 2}, {2001, 3}, {7500, 8}, {64000, 64}, {512000, 512}};
    static const unsigned currents[] = {0, 1, 2, 5, 63, 1000, 1023, 4096, UINT_MAX};

    (void)state;
    for (size_t s = 0; s < LENGTH(sets); s++)
        for (size_t l = 0; l < LENGTH(limits); l++) {
            processors(sets[s]);
            int have = CPU_COUNT(&facts.processors), wanted = limits[l].wanted < have ? limits[l].wanted : have;
            spec.cpu = limits[l].cpu;
            make();
            assert_true(CPU_EQUAL(&plan.processors, &facts.processors));
            assert_int_equal(plan.processor_count, wanted);
            for (size_t c = 0; c < LENGTH(currents); c++) {
                cpu_set_t chosen, both;
                seats_take(-1, &plan, currents[c], &chosen);
                CPU_AND(&both, &chosen, &facts.processors);
                assert_true(CPU_EQUAL(&both, &chosen)); /* none that the caller may not use */
                assert_int_equal(CPU_COUNT(&chosen), wanted);
            }
            spec.affinity = false;
            make();
            assert_false(plan.affinity);
            assert_int_equal(plan.processor_count, have);
            spec.affinity = true;
        }
}

/* The processor that it is on is among them where the caller may use it; the rest follow it, round the end and over holes. */
static void sandboxes_stay(void **state)
{
    static const struct {
        const char *set, *chosen;
        uint64_t cpu;
        unsigned current;
    } rows[] = {{"0-3", "2", 500, 2},   {"0-3", "0,2-3", 3000, 2}, {"1,3,5,7", "3", 1000, 2},  {"1,3,5,7", "1", 1000, 8},
                {"0,1023", "1023", 10, 1023}, {"0,7,1023", "0,1023", 2000, 900}, {"4", "4", 500, 0}};

    (void)state;
    for (size_t r = 0; r < LENGTH(rows); r++) {
        cpu_set_t chosen;
        processors(rows[r].set);
        spec.cpu = rows[r].cpu;
        make();
        seats_take(-1, &plan, rows[r].current, &chosen);
        processors(rows[r].chosen);
        assert_true(CPU_EQUAL(&chosen, &facts.processors));
    }
}

/* As the kernel writes them, and nothing written past the end. */
static void a_list_of_processors(void **state)
{
    static const char *const rows[] = {"0", "5", "0-1", "0-2,5", "1,3,5-7", "0,1022-1023", "0-1023"};
    char text[64], whole[64];

    (void)state;
    for (size_t r = 0; r < LENGTH(rows); r++) {
        processors(rows[r]);
        snprintf(whole, sizeof whole, "%s\n", rows[r]);
        for (size_t size = 1; size <= sizeof text; size++) {
            memset(text, 'x', sizeof text);
            bool fits = plan_list_processors(&facts.processors, text, size);
            assert_int_equal(fits, size > strlen(whole));
            assert_true(size == sizeof text || text[size] == 'x');
            if (fits)
                assert_string_equal(text, whole);
        }
    }
    CPU_ZERO(&facts.processors);
    assert_false(plan_list_processors(&facts.processors, text, sizeof text));
}

/* --- the rest --- */

static void passed_through(void **state)
{
    (void)state;
    spec.memory = 11;
    spec.pids = 12;
    spec.scratch = 13;
    spec.scratch_inodes = 14;
    spec.open_files = 15;
    spec.timeout = 16;
    spec.kill_after = 17;
    spec.max_output = 18;
    spec.output_limit = 19;
    spec.cpu = 20;
    spec.unenforced = 1u << LIMIT_SWAP;
    spec.network = NETWORK_LOOPBACK;
    spec.interactive = true;
    facts.no_swap = true;
    make();
    assert_string_equal(plan.id, "abc");
    assert_int_equal(plan.memory, 11);
    assert_int_equal(plan.pids, 12);
    assert_int_equal(plan.scratch, 13);
    assert_int_equal(plan.scratch_inodes, 14);
    assert_int_equal(plan.open_files, 15);
    assert_int_equal(plan.timeout, 16);
    assert_int_equal(plan.kill_after, 17);
    assert_int_equal(plan.max_output, 18);
    assert_int_equal(plan.output_limit, 19);
    assert_int_equal(plan.cpu, 20);
    assert_int_equal(plan.unenforced, 1u << LIMIT_SWAP);
    assert_int_equal(plan.network, NETWORK_LOOPBACK);
    assert_true(plan.interactive && plan.no_swap && plan.affinity);
    assert_ptr_equal(plan.argv, command);
    assert_ptr_equal(plan.rootfs, &facts.rootfs);
    assert_ptr_equal(plan.cgroups, &facts.cgroups);
    assert_ptr_equal(plan.own_namespaces, facts.namespaces);
    assert_null(plan.workspace);
    spec.workspace = facts.workspace.path;
    make();
    assert_ptr_equal(plan.workspace, &facts.workspace);
}

static void mounts(void **state)
{
    (void)state;
    for (int with = 0; with < 2; with++) {
        spec.workspace = with ? facts.workspace.path : NULL;
        make();
        assert_int_equal(plan.mount_count, policy_mount_count);
        for (size_t i = 0; i < plan.mount_count; i++) {
            assert_ptr_equal(plan.mounts[i].row, &policy_mounts[i]); /* in the order of the table */
            assert_int_equal(plan.mounts[i].from_scratch, policy_mounts[i].kind == MOUNT_SCRATCH ||
                                                              (policy_mounts[i].kind == MOUNT_WORKSPACE && !with));
        }
    }
}

static void long_ids(void **state)
{
    char *id = repeat_text('i', 4096, "");

    (void)state;
    assert_int_equal(plan_make(&spec, &facts, id, no_env, &plan, &fault), 0);
    assert_int_equal(strlen(plan.id), PLAN_ID_TEXT - 1);
    free(id);
}

static void rlimits(void **state)
{
    (void)state;
    spec.open_files = 77;
    make();
    for (size_t i = 0; i < policy_rlimit_count; i++) {
        const struct rlimit_row *row = &policy_rlimits[i];
        uint64_t soft = 1, hard = 2;
        plan_rlimit(&plan, row, &soft, &hard);
        assert_true(soft == (row->resource == RLIMIT_NOFILE ? 77 : row->soft));
        assert_true(hard == (row->resource == RLIMIT_NOFILE ? 77 : row->hard));
    }
}

static void releasing(void **state)
{
    static const struct plan nothing;

    (void)state;
    make();
    plan_release(&plan);
    assert_memory_equal(&plan, &nothing, sizeof plan);
    plan_release(&plan);
    spec.cgroup_parent = "/..";
    assert_true(make_with(no_env) < 0);
    plan_release(&plan); /* after a failure as well */
}

/* Whichever allocation fails: ENOMEM, and the sanitizer sees nothing lost. */
static void out_of_memory(void **state)
{
    unsigned tries;
    int result = -1;

    (void)state;
    facts.terminal = true;
    env("A=b");
    env("A=c");
    env("TOKEN");
    for (int slash = 0; slash < 2; slash++) {
        char *argv[] = {(char *)(uintptr_t)(slash ? "/bin/sh" : "sh"), NULL};
        spec.argv = argv;
        for (tries = 1; tries < 100; tries++) {
            plan_release(&plan);
            fail_at = tries;
            result = plan_make(&spec, &facts, "abc", some_env, &plan, &fault);
            if (fail_at) {
                fail_at = 0;
                break;
            }
            assert_int_equal(result, -ENOMEM);
            assert_int_equal(fault.errnum, ENOMEM);
            assert_int_equal(fault.stage, STAGE_PLAN);
        }
        assert_int_equal(result, 0);
        assert_true(tries > 10 && tries < 100);
        plan_release(&plan);
    }
    spec.argv = command;
}

/* --- plan_print --- */

static char *print_plan(void)
{
    char *text = NULL;
    size_t size = 0, where;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(plan_print(&plan, out), 0);
    assert_int_equal(fclose(out), 0);
    if (!strict_json(text, size, &where))
        fail_msg("not JSON from offset %zu: %.80s", where, text + where);
    assert_int_equal(text[size - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + size - 1); /* one line */
    return text;
}

/* One member a line down to the second level, and the filter's hash, which differs between architectures, by name. */
static char *normalised(const char *text)
{
    char *out = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&out, &size);
    unsigned depth = 0;
    bool quoted = false;

    assert_non_null(stream);
    for (; *text; text++) {
        bool close = !quoted && strchr("]}", *text), open = !quoted && strchr("[{", *text);
        if (!strncmp(text, seccomp_filter_sha256, 64)) {
            fputs("SECCOMP-FILTER-SHA256", stream);
            text += 63;
            continue;
        }
        if (close && depth-- <= 2)
            fprintf(stream, "\n%*s", (int)depth, "");
        fputc(*text, stream);
        if (quoted && *text == '\\')
            fputc(*++text, stream);
        else if (*text == '"')
            quoted = !quoted;
        if (open)
            depth++;
        if ((open || (!quoted && *text == ',')) && depth <= 2)
            fprintf(stream, "\n%*s", (int)depth, "");
    }
    fclose(stream);
    return out;
}

static void golden(const char *name)
{
    char path[PATH_MAX], *printed = print_plan(), *text = normalised(printed), *expected = NULL;
    size_t room = 0;

    snprintf(path, sizeof path, "%s/plan-%s.json", GOLDEN, name);
    if (getenv("BIVY_GOLDEN_WRITE")) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
        fail_msg("%s: written; read it, then run again without BIVY_GOLDEN_WRITE", path);
    }
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    assert_true(getdelim(&expected, &room, '\0', file) > 0);
    fclose(file);
    if (strcmp(text, expected)) {
        size_t same = 0;
        while (text[same] == expected[same])
            same++;
        while (same && text[same - 1] != '\n')
            same--;
        fail_msg("%s says\n%.*s\nand the plan is\n%.*s", path, (int)strcspn(expected + same, "\n"), expected + same,
                 (int)strcspn(text + same, "\n"), text + same);
    }
    free(expected);
    free(text);
    free(printed);
}

static void golden_root_with_a_workspace(void **state)
{
    (void)state;
    spec.workspace = facts.workspace.path;
    make();
    golden("root-workspace");
}

static void golden_hybrid_without_limits(void **state)
{
    (void)state;
    strcpy(facts.cgroups.v2.mount, "/sys/fs/cgroup/unified");
    strcpy(facts.cgroups.v1[CONTROLLER_MEMORY].mount, "/sys/fs/cgroup/memory");
    strcpy(facts.cgroups.v1[CONTROLLER_CPU].mount, "/sys/fs/cgroup/cpu,cpuacct");
    strcpy(facts.cgroups.v1[CONTROLLER_PIDS].mount, "/sys/fs/cgroup/pids");
    spec.max_output = spec.output_limit = SPEC_UNLIMITED;
    spec.network = NETWORK_LOOPBACK;
    spec.interactive = true;
    spec.affinity = false;
    spec.unenforced = 1u << LIMIT_SWAP | 1u << LIMIT_MEMORY;
    spec.open_files = 4096;
    spec.timeout = 1500000;
    spec.cpu = 2250;
    make();
    golden("root-hybrid");
}

static void golden_rootless(void **state)
{
    char *argv[] = {(char[]){"/bin/true"}, (char[]){"caf\xc3\xa9"}, (char[]){"\xff\"\\\n"}, NULL};

    (void)state;
    rootless();
    spec.workspace = facts.workspace.path;
    facts.terminal = true;
    env("TOKEN");
    spec.argv = argv;
    assert_int_equal(make_with(some_env), 0);
    golden("rootless");
    spec.argv = command;
}

/* Hostile text in every place that is printed. */
static void hostile_text(void **state)
{
    char every[256];

    (void)state;
    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    char *argv[] = {every, every, NULL};
    snprintf(facts.rootfs.path, sizeof facts.rootfs.path, "/%s", every);
    snprintf(facts.workspace.path, sizeof facts.workspace.path, "/w%s", every);
    snprintf(facts.cgroups.v2.mount, sizeof facts.cgroups.v2.mount, "/%s", every);
    spec.cgroup_parent = "/a\xff\"\\\n\x1b[31m";
    spec.workspace = facts.workspace.path;
    spec.argv = argv;
    env(every);
    char entry[300];
    snprintf(entry, sizeof entry, "PATH=%s", every);
    env(entry);
    make();
    char *text = print_plan();
    free(text);
    plan_release(&plan);
    spec.argv = command;
}

static void where_nothing_can_be_written(void **state)
{
    FILE *full = fopen("/dev/full", "we"), *closed = fopen("/dev/null", "re");

    (void)state;
    make();
    assert_non_null(full);
    assert_int_equal(plan_print(&plan, full), -ENOSPC);
    fclose(full);
    assert_non_null(closed);
    assert_true(plan_print(&plan, closed) < 0);
    fclose(closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(ids_of_root),
        TEST(root_asks_for_ids),
        TEST(a_workspace_of_roots),
        TEST(a_workspace_in_the_wrong_place),
        TEST(ids_of_an_ordinary_user),
        TEST(id_0_is_never_mapped),
        TEST(every_combination_of_ids),
        TEST(cgroup_parents),
        TEST(no_cgroup_parent),
        TEST(long_cgroup_parents),
        TEST(environment),
        TEST(asked_for_environment),
        TEST(unset_after_set),
        TEST(much_environment),
        TEST(candidates),
        TEST(empty_elements_of_path),
        TEST(very_long_names),
        TEST(affinity),
        TEST(sandboxes_stay),
        TEST(a_list_of_processors),
        TEST(passed_through),
        TEST(mounts),
        TEST(long_ids),
        TEST(rlimits),
        TEST(releasing),
        TEST(out_of_memory),
        TEST(golden_root_with_a_workspace),
        TEST(golden_hybrid_without_limits),
        TEST(golden_rootless),
        TEST(hostile_text),
        TEST(where_nothing_can_be_written),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
