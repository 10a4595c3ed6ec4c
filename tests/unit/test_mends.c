/* mends: there is one for every trouble wherever bivy is run, it is chosen by where, and a shell can read what is a command. */
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "mends.h"

static const char *text_for(enum mend mend, unsigned where, uid_t uid, const char *argument)
{
    static char text[1024];
    const struct setting setting = {.where = where, .uid = uid, .program = "/opt/bivy", .build = "/src/rootfs/build"};

    mends_text(mend, &setting, argument, text, sizeof text);
    return text;
}

static const unsigned settings[] = {
    0,
    AT_ROOT | AT_SYSTEMD | AT_DEBIAN,
    AT_USER | AT_SYSTEMD | AT_DEBIAN,
    AT_ROOT | AT_SYSTEMD | AT_DEBIAN | AT_UBUNTU,
    AT_USER | AT_SYSTEMD | AT_DEBIAN | AT_UBUNTU,
    AT_USER | AT_SYSTEMD | AT_FEDORA,
    AT_ROOT | AT_SYSTEMD | AT_FEDORA,
    AT_ROOT | AT_ALPINE,
    AT_USER | AT_ALPINE,
    AT_ROOT | AT_WSL | AT_DEBIAN | AT_UBUNTU,
    AT_USER | AT_WSL | AT_DEBIAN | AT_UBUNTU | AT_SYSTEMD,
    AT_ROOT | AT_CONTAINER | AT_DOCKER | AT_DEBIAN,
    AT_ROOT | AT_CONTAINER | AT_DOCKER | AT_ALPINE | AT_FILTERED,
    AT_USER | AT_CONTAINER | AT_PODMAN | AT_FEDORA | AT_FILTERED,
    AT_ROOT | AT_CONTAINER | AT_KUBERNETES,
    AT_ROOT | AT_CONTAINER,
    AT_USER | AT_SYSTEMD | AT_FILTERED,
    AT_USER | AT_FILTERED,
};

static void one_for_every_trouble(void **state)
{
    (void)state;
    assert_int_equal(mends_complete(), 0);
    for (int mend = MEND_NONE + 1; mend < MEND_COUNT; mend++)
        for (size_t i = 0; i < LENGTH(settings); i++) {
            const char *text = text_for((enum mend)mend, settings[i], settings[i] & AT_USER ? 1000 : 0, "ARGUMENT");
            assert_true(*text);
            assert_null(strchr(text, '!'));
            for (const char *at = text; (at = strchr(at, '@')); at++) /* no placeholder is left, but for systemd's own */
                assert_memory_equal(at, "@.service", 9);
        }
    assert_string_equal(text_for(MEND_NONE, AT_ROOT, 0, NULL), "");
    assert_string_equal(text_for(MEND_SAID, AT_ROOT, 0, NULL), "");
}

static void chosen_by_where(void **state)
{
    static const struct {
        enum mend mend;
        unsigned where;
        uid_t uid;
        const char *argument, *text;
    } rows[] = {
        {MEND_SYSCTL, AT_USER | AT_DEBIAN, 1000, "a.b=1", "sudo sysctl -w a.b=1"},
        {MEND_SYSCTL, AT_USER | AT_ALPINE, 1000, "a.b=1", "doas sysctl -w a.b=1"},
        {MEND_SYSCTL, AT_ROOT | AT_DEBIAN, 0, "a.b=1", "sysctl -w a.b=1"},
        {MEND_SYSCTL, AT_ROOT | AT_CONTAINER, 0, "a.b=1", "on the container's host, as root: sysctl -w a.b=1"},
        {MEND_PROC, AT_ROOT | AT_CONTAINER, 0, NULL, "mount -t proc proc /proc"},
        {MEND_CGROUP2, AT_ROOT | AT_ALPINE, 0, "/c", "sh -c 'rc-update add cgroups && rc-service cgroups start'"},
        {MEND_CGROUP2, AT_ROOT, 0, "/c", "sh -c 'mkdir -p /c && mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /c'"},
        {MEND_CGROUP2, AT_ROOT | AT_CONTAINER | AT_DOCKER, 0, "/c",
         "sh -c 'mkdir -p /run/cgroup2 && mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /run/cgroup2'"},
        {MEND_CGROUP2, AT_USER | AT_CONTAINER | AT_DOCKER, 0, "/c", "docker run --privileged --cgroupns=private IMAGE /opt/bivy check"},
        {MEND_DELEGATE, AT_USER | AT_SYSTEMD, 1000, "x", "systemd-run --user --scope -p Delegate=yes /opt/bivy check"},
        {MEND_DELEGATE, AT_USER, 1000, "x y", "sudo x y"},
        {MEND_CLEAN, AT_USER, 1000, NULL, "/opt/bivy clean"},
        {MEND_ROOTFS, AT_USER, 1000, "/r", "/src/rootfs/build --output /r"},
        {MEND_IDS, AT_ROOT, 0, "7",
         "/opt/bivy check --host-uid 7 --host-gid 7 # and the same for bivy run, or a --workspace whose owner has an id here"},
        {MEND_LIMIT, AT_USER | AT_DEBIAN, 1000, "--pid 1 --nofile=1:1", "sudo prlimit --pid 1 --nofile=1:1"},
        {MEND_LIMIT, AT_USER | AT_ALPINE, 1000, "--pid 1 --nofile=1:1",
         "doas sh -c 'apk add util-linux-misc && prlimit --pid 1 --nofile=1:1'"},
        {MEND_CLOCK, AT_ROOT | AT_SYSTEMD, 0, NULL, "timedatectl set-ntp true"},
        {MEND_CLOCK, AT_ROOT | AT_WSL | AT_SYSTEMD, 0, NULL, "hwclock --hctosys"},
        {MEND_KERNEL, AT_USER | AT_WSL | AT_DEBIAN, 1000, NULL, "in Windows: wsl --update"},
        {MEND_KERNEL, AT_USER | AT_FEDORA, 1000, NULL, "sudo sh -c 'dnf -y upgrade kernel && reboot'"},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_string_equal(text_for(rows[i].mend, rows[i].where, rows[i].uid, rows[i].argument), rows[i].text);
}

static int shell(const char *flag, const char *script, char *out, size_t size)
{
    int ends[2], status;
    pid_t pid;
    ssize_t got, length = 0;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/sh", "sh", flag, script, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (size && (got = read(ends[0], out + length, size - 1 - (size_t)length)) > 0)
        length += got;
    if (size)
        out[length] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* What a shell is to be given, or NULL where the mend is words for people: these say first where or what for. */
static const char *as_command(const char *text)
{
    static const char *const words[] = {"in Windows:",     "on the container's host", "in the pod's spec:", "install Linux", "start ",
                                        "ask whoever",     "run it as",               "boot with",          "unmount ",      "give the container",
                                        "outside of this"};

    for (size_t i = 0; i < LENGTH(words); i++)
        if (!strncmp(text, words[i], strlen(words[i])))
            return NULL;
    return text;
}

/* A command is a shell's to read, as it stands, with quotes within quotes and what is said behind a #: it names programs that exist, and
 * nothing of it would be run that is only words. */
static void commands_a_shell_can_read(void **state)
{
    static const char known[] = " sh docker podman systemd-run sysctl mount umount nsenter unshare prlimit mknod swapoff timedatectl hwclock "
                                "apt-get dnf apk reboot sed update-grub grubby rc-update rc-service mkdir printf apparmor_parser systemctl strace setpriv "
                                "/opt/bivy /src/rootfs/build ARGUMENT cd pivot_root exec d=$(pwd pwd ";
    char script[2400], out[1200];
    unsigned count = 0;

    (void)state;
    for (int mend = MEND_NONE + 1; mend < MEND_COUNT; mend++)
        for (size_t i = 0; i < LENGTH(settings); i++)
            for (uid_t uid = 0; uid <= 1000; uid += 1000) {
                const char *text = text_for((enum mend)mend, settings[i], uid, "ARGUMENT"), *line = as_command(text);
                if (!line)
                    continue;
                if (shell("-nc", line, NULL, 0))
                    fail_msg("a shell cannot read: %s", text);
                /* The first word of each simple command: of the line itself, and of the script that a `sh -c` is given. */
                snprintf(script, sizeof script,
                         "sh() { test \"$#\" = 2 && command sh -nc \"$2\" && printf '%%s\\n' \"$2\" | sed 's/ && /\\n/g'; }; "
                         "sudo() { case $1 in sh) \"$@\";; *) echo \"$1\";; esac; }; doas() { sudo \"$@\"; }; sudo %s",
                         !strncmp(line, "sudo ", 5) || !strncmp(line, "doas ", 5) ? line + 5 : line);
                if (shell("-c", script, out, sizeof out))
                    fail_msg("a shell cannot run: %s", text);
                for (char *at = out, *end; *at; at = end + 1) {
                    char word[80];
                    end = strchr(at, '\n');
                    assert_non_null(end);
                    snprintf(word, sizeof word, " %.*s ", (int)strcspn(at, " \n"), at);
                    if (!strstr(known, word))
                        fail_msg("%s is no command in: %s", word, text);
                }
                count++;
            }
    assert_true(count > 300);
}

/* A boot parameter goes into the line it should, a profile becomes what AppArmor reads. */
static void commands_that_write(void **state)
{
    char path[] = "/tmp/bivy-mends-XXXXXX", script[2400], out[512], *at;
    char text[1024];
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "A=\"x\"\nGRUB_CMDLINE_LINUX=\"quiet\"\n", 33), 33);
    close(fd);
    strcpy(text, text_for(MEND_HYBRID, AT_ROOT | AT_SYSTEMD | AT_DEBIAN, 0, NULL));
    at = strstr(text, "/etc/default/grub");
    assert_non_null(at);
    snprintf(script, sizeof script, "%.*s%s\" && cat %s", (int)(at - text), text, path, path);
    assert_int_equal(shell("-c", script, out, sizeof out), 0);
    assert_string_equal(out, "A=\"x\"\nGRUB_CMDLINE_LINUX=\"systemd.unified_cgroup_hierarchy=1 quiet\"\n");
    strcpy(text, text_for(MEND_USED, AT_ROOT | AT_DEBIAN | AT_UBUNTU, 0, "/usr/bin/bivy"));
    at = strstr(text, "/etc/apparmor.d/bivy");
    assert_non_null(at);
    snprintf(script, sizeof script, "%.*s%s\" && cat %s", (int)(at - text), text, path, path);
    assert_int_equal(shell("-c", script, out, sizeof out), 0);
    assert_string_equal(out, "abi <abi/4.0>,\nprofile bivy /usr/bin/bivy flags=(unconfined) {\n  userns,\n}\n");
    unlink(path);
}

static void words(void **state)
{
    static const char *const rows[] = {"/plain/path-1.2", "two words", "it's", "$(id)", "`id`", "a;b", "", "\\", "*", "\"", "''''", "-x",
                                       "a\nb", "\xff"};
    char word[64], script[128], out[64];

    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        *word = '\0';
        mends_word(word, sizeof word, rows[i]);
        snprintf(script, sizeof script, "printf %%s %s", word);
        assert_int_equal(shell("-c", script, out, sizeof out), 0);
        assert_string_equal(out, rows[i]);
    }
    for (size_t size = 2; size < 20; size++) { /* cut, never beyond its end */
        char *exact = copy_text("0123456789012345678");
        exact[0] = '\0';
        mends_word(exact, size, "a long word's quote");
        assert_true(strlen(exact) < size);
        free(exact);
    }
}

static void cut_to_fit(void **state)
{
    const struct setting setting = {.where = AT_ROOT, .program = "bivy", .build = "rootfs/build"};
    char argument[3000];

    (void)state;
    memset(argument, 'a', sizeof argument - 1);
    argument[sizeof argument - 1] = '\0';
    for (size_t size = 1; size < 200; size++) {
        char *text = malloc(size);
        assert_non_null(text);
        for (int mend = MEND_NONE; mend < MEND_COUNT; mend++) {
            mends_text((enum mend)mend, &setting, argument, text, size);
            assert_true(strlen(text) < size);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_for_every_trouble), cmocka_unit_test(chosen_by_where), cmocka_unit_test(commands_a_shell_can_read),
        cmocka_unit_test(commands_that_write),   cmocka_unit_test(words),           cmocka_unit_test(cut_to_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
