/* handover: what root does by hand about cgroups, and that a shell reads it. */
#include "unit.h"

#include "handover.h"

static void set(struct hierarchies *cgroups, const char *v2, const char *memory, const char *cpu, const char *pids)
{
    memset(cgroups, 0, sizeof *cgroups);
    strcpy(cgroups->v2.mount, v2);
    strcpy(cgroups->v1[CONTROLLER_MEMORY].mount, memory);
    strcpy(cgroups->v1[CONTROLLER_CPU].mount, cpu);
    strcpy(cgroups->v1[CONTROLLER_PIDS].mount, pids);
}

static void parents(void **state)
{
    static const struct setting root = {.where = AT_ROOT}, user = {.where = AT_USER, .uid = 7, .caller = 99};
    struct hierarchies *pure = malloc(sizeof *pure), *hybrid = malloc(sizeof *hybrid);
    const struct {
        const struct setting *setting;
        const char *given;
        const struct hierarchies *cgroups;
        uid_t owner;
        const char *text;
    } rows[] = {
        {&root, NULL, pure, 0,
         "sh -c 'mkdir -p /c/bivy && echo \"+memory +cpu +pids\" > /c/cgroup.subtree_control && "
         "echo \"+memory +cpu +pids\" > /c/bivy/cgroup.subtree_control'"},
        {&root, "a", hybrid, 0, "sh -c 'mkdir -p /u/a /m/a /x/a && echo \"+pids\" > /u/cgroup.subtree_control && "
                                "echo \"+pids\" > /u/a/cgroup.subtree_control'"},
        {&root, "/a", hybrid, 5, "sh -c 'mkdir -p /u/a /m/a /x/a && echo \"+pids\" > /u/cgroup.subtree_control && "
                                 "echo \"+pids\" > /u/a/cgroup.subtree_control && chown -R 5 /u/a /m/a /x/a'"},
        {&user, NULL, hybrid, 7,
         "sh -c 'mkdir -p /u/bivy-7 /m/bivy-7 /x/bivy-7 && echo \"+pids\" > /u/cgroup.subtree_control && "
         "echo \"+pids\" > /u/bivy-7/cgroup.subtree_control && mkdir -p /u/bivy-7/shell && chown -R 7 /u/bivy-7 /m/bivy-7 /x/bivy-7 && "
         "echo 99 > /u/bivy-7/shell/cgroup.procs'"},
        {&user, "/it's", pure, 7, NULL}, /* no path of such a name goes into the quotes */
    };
    char text[2048];

    (void)state;
    set(pure, "/c", "", "", "");
    set(hybrid, "/u", "/m", "/x", "");
    for (size_t i = 0; i < LENGTH(rows); i++) {
        *text = '\0';
        handover_parent(rows[i].setting, rows[i].given, rows[i].cgroups, rows[i].owner, text, sizeof text);
        if (rows[i].text)
            assert_string_equal(text, rows[i].text);
        else
            assert_null(strstr(text, rows[i].given));
    }
    free(pure);
    free(hybrid);
}

static void controllers(void **state)
{
    struct hierarchies *cgroups = malloc(sizeof *cgroups);
    char text[2048] = "", small[32] = "";

    (void)state;
    set(cgroups, "/c", "", "/v1/cpu", "/v1/pids");
    handover_controllers(cgroups, "/a/b", text, sizeof text);
    assert_string_equal(text, "sh -c 'echo \"+memory\" > /c/cgroup.subtree_control && echo \"+memory\" > /c/a/cgroup.subtree_control && "
                              "echo \"+memory\" > /c/a/b/cgroup.subtree_control'");
    handover_controllers(cgroups, "/a/b", small, sizeof small); /* cut, never beyond its end */
    assert_int_equal(strlen(small), sizeof small - 1);
    free(cgroups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parents), cmocka_unit_test(controllers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
