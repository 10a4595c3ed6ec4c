/* setting: which distribution, which container. */
#include "unit.h"

#include "setting.h"

static void release_files(void **state)
{
    static const char text[] = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\n"
                               "EMPTY=\nQUOTE=\"\nIDX=x\nLAST=end";
    static const struct {
        const char *key, *value;
    } rows[] = {{"PRETTY_NAME", "Debian GNU/Linux 12 (bookworm)"}, {"ID", "debian"}, {"VERSION_ID", "12"}, {"EMPTY", ""}, {"QUOTE", "\""},
                {"LAST", "end"}, {"NAME", ""}, {"IDX", "x"}, {"PRETTY", ""}};
    char value[64], small[8];

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        setting_release(text, rows[i].key, value, sizeof value);
        assert_string_equal(value, rows[i].value);
    }
    setting_release(text, "PRETTY_NAME", small, sizeof small);
    assert_string_equal(small, "Debian ");
    setting_release("", "ID", value, sizeof value);
    assert_string_equal(value, "");
}

static void distributions(void **state)
{
    static const struct {
        const char *id, *like;
        unsigned bits;
    } rows[] = {
        {"debian", "", AT_DEBIAN},
        {"ubuntu", "debian", AT_UBUNTU | AT_DEBIAN},
        {"linuxmint", "ubuntu debian", AT_UBUNTU | AT_DEBIAN},
        {"raspbian", "debian", AT_DEBIAN},
        {"fedora", "", AT_FEDORA},
        {"rocky", "rhel centos fedora", AT_FEDORA},
        {"alpine", "", AT_ALPINE},
        {"postmarketos", "alpine", AT_ALPINE},
        {"arch", "", 0},
        {"", "", 0},
        {"debianoid", "ubuntuish  fedora", AT_FEDORA},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_int_equal(setting_distribution(rows[i].id, rows[i].like), rows[i].bits);
}

#define FIRST .pid = 4026531836, .uts = 4026531838, .ipc = 4026531839
#define OTHER .pid = 4026532500, .uts = 4026532501, .ipc = 4026532502

static void containers(void **state)
{
    static const struct {
        struct setting_hints hints;
        const char *name;
        unsigned bits;
    } rows[] = {
        {{FIRST}, NULL, 0},
        {{FIRST, .dockerenv = true}, NULL, 0}, /* a virtual machine made from an image */
        {{OTHER}, NULL, 0},                    /* unshare(1), WSL */
        {{OTHER, .dockerenv = true}, "docker", AT_CONTAINER | AT_DOCKER},
        {{.pid = 4026531836, .uts = 4026532501, .ipc = 4026532502, .dockerenv = true}, "docker", AT_CONTAINER | AT_DOCKER}, /* --pid=host */
        {{OTHER, .containerenv = true}, "podman", AT_CONTAINER | AT_PODMAN},
        {{OTHER, .announced = "podman"}, "podman", AT_CONTAINER | AT_PODMAN},
        {{OTHER, .announced = "lxc"}, "lxc", AT_CONTAINER},
        {{OTHER, .announced = "systemd-nspawn"}, "systemd-nspawn", AT_CONTAINER},
        {{OTHER, .announced = "something-new"}, "container", AT_CONTAINER},
        {{OTHER, .announced = "wsl"}, NULL, 0},
        {{OTHER, .announced = "", .cgroup = "0::/\n"}, NULL, 0},
        {{OTHER, .cgroup = "1:cpu:/docker/0123\n"}, "docker", AT_CONTAINER | AT_DOCKER},
        {{OTHER, .cgroup = "0::/kubepods.slice/pod1\n"}, "kubernetes", AT_CONTAINER | AT_KUBERNETES},
        {{.dockerenv = true}, NULL, 0}, /* without /proc nothing is known */
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        unsigned where = 0;
        const char *name = setting_container(&rows[i].hints, &where);
        assert_int_equal(!name, !rows[i].name);
        if (name)
            assert_string_equal(name, rows[i].name);
        assert_int_equal(where, rows[i].bits);
    }
}

static void programs(void **state)
{
    static const struct {
        const char *path, *program;
    } rows[] = {
        {"/usr/bin/bivy", "bivy"},
        {"/usr/local/bin/bivy", "bivy"},
        {"/opt/b/bivy", "/opt/b/bivy"},
        {"/usr/bin/bivy-1.2", "/usr/bin/bivy-1.2"},
        {"/opt/b/bivy (deleted)", "bivy"}, /* replaced while it runs */
        {"/opt/$(id)/bivy", "bivy"},
        {"/opt/a'b/bivy", "bivy"},
        {"bivy", "bivy"},
        {"", "bivy"},
    };
    char program[16], small[8];

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char whole[64];
        setting_program(rows[i].path, whole, sizeof whole);
        assert_string_equal(whole, rows[i].program);
    }
    setting_program("/opt/bivy", program, sizeof program);
    assert_string_equal(program, "/opt/bivy");
    setting_program("/opt/bivy", small, sizeof small); /* half a path would be another's */
    assert_string_equal(small, "bivy");
    assert_true(setting_plain("/a-b_c.d/E+1"));
    assert_false(setting_plain("a"));
    assert_false(setting_plain("/a b"));
    assert_false(setting_plain(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(release_files), cmocka_unit_test(distributions), cmocka_unit_test(containers),
                                       cmocka_unit_test(programs)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
