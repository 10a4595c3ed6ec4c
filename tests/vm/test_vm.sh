#!/bin/bash
# The harness tested by itself: TAP on stdout; 77 and the reason when no machine can be booted here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/common.sh"

reason=$("$here/run" --check 2>&1) || {
    echo "1..0 # SKIP $reason"
    exit 77
}

# Everything under one directory of this test's own, so that what is left in it is this test's doing.
work=$(mktemp -d /var/tmp/test-vm.XXXXXX)
chmod 755 "$work" # for --user
mkdir "$work/tmp" "$work/out"
started=()
finish() {
    local pid
    for pid in "${started[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT
export TMPDIR=$work/tmp

count=0 failed=0
# check NAME COMMAND...: one TAP line; a failing one is followed by what the last machine said.
check() {
    local name=$1
    shift
    count=$((count + 1))
    if "$@"; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        failed=$((failed + 1))
        tail -n 20 "$work/stdout" "$work/stderr" 2>/dev/null | sed 's/^/# /'
    fi
}

# vm ARG...: $status, and the streams in $work/stdout and $work/stderr.
vm() {
    status=0
    "$here/run" --timeout 120 "$@" >"$work/stdout" 2>"$work/stderr" || status=$?
}

# processes TEXT: pids of living processes with TEXT in their command line.
processes() {
    local line pid
    for line in /proc/[0-9]*/cmdline; do
        pid=${line#/proc/} pid=${pid%/cmdline}
        [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
        ! tr '\0' ' ' 2>/dev/null <"$line" | grep -qF -- "$1" || echo "$pid"
    done 2>/dev/null
}

# within SECONDS COMMAND...: until COMMAND succeeds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [[ $SECONDS -le $deadline ]] || return 1
    done
}

nothing_left() {
    [[ -z $(ls -A "$work/tmp") && -z $(processes "$work/tmp") ]]
}

has() {
    grep -qF -- "$2" "$work/$1"
}

same() {
    [[ $1 == "$2" ]] || { echo "# \"$1\", expected \"$2\"" && return 1; }
}

# ---- streams, environment, directory, status ----

head -c 1048576 /dev/urandom >"$work/bytes"
hash=$(sha256sum <"$work/bytes")
mkdir "$work/a b"
cd "$work/a b"
# shellcheck disable=SC2016
BIVY_WORD=$'two words\n\xff' OTHER=no vm --out "$work/out" -- sh -c '
    cat ../bytes
    cat ../bytes >&2
    printf "%s" "$BIVY_WORD" >"$BIVY_VM_OUT/word"
    printf "%s" "$PATH" >"$BIVY_VM_OUT/path"
    pwd >"$BIVY_VM_OUT/cwd"
    env >"$BIVY_VM_OUT/env"
    printf "%s|" "$@" >"$BIVY_VM_OUT/args"
    echo lost >"../lost"
    head -c 300000 ../bytes >"$BIVY_VM_OUT/big"
    exit 42' name 'one two' '' $'\xfe*'
cd "$here"
check "exit status passes through" same "$status" 42
check "1 MiB of stdout, byte for byte" same "$(sha256sum <"$work/stdout")" "$hash"
check "1 MiB of stderr, byte for byte" same "$(sha256sum <"$work/stderr")" "$hash"
check "BIVY_ variables pass, whatever their bytes" same "$(<"$work/out/word")" $'two words\n\xff'
check "PATH passes" same "$(<"$work/out/path")" "$PATH"
# shellcheck disable=SC2016
check "other variables do not pass" eval '! grep -q ^OTHER= "$work/out/env"'
check "arguments pass, whatever their bytes" same "$(<"$work/out/args")" $'one two||\xfe*|'
check "the caller's directory is the command's" same "$(<"$work/out/cwd")" "$work/a b"
check "--out holds what was written" cmp -s <(head -c 300000 "$work/bytes") "$work/out/big"
check "the host's tree does not change" test ! -e "$work/lost"

vm -- sh -c 'kill -SEGV $$'
check "a signal is 128 + n" same "$status" 139
vm -- "$work/absent"
check "a missing command is 127" same "$status" 127
vm -- sh -c 'sh -c "echo grandchild; exec tail -f /dev/null" & exit 3'
check "a grandchild that holds the streams is not waited for" same "$status" 3
status=0
"$here/run" -- sh -c 'seq 1 300000; exit 5' 2>"$work/stderr" | head -n 1 >"$work/stdout" || status=${PIPESTATUS[0]}
check "a caller that stops reading still gets the status" same "$status" 5

# ---- the system inside ----

# each line "NAME: yes" or "NAME: no"; one machine for all of them, booting being the dear part
cat >"$work/probe" <<'PROBE'
probe() {
    name=$1
    shift
    if ("$@") >/dev/shm/said 2>&1; then
        echo "$name: yes"
    else
        echo "$name: no"
        cat /dev/shm/said
    fi
}
group=/sys/fs/cgroup/test.slice/vm.service
words() { for w in memory cpu pids; do grep -qw "$w" "$1" || return 1; done; }
probe pure-v2 sh -c '! grep -q " cgroup " /proc/self/mounts &&
    grep -q "^cgroup2 /sys/fs/cgroup cgroup2 rw" /proc/self/mounts'
probe own-cgroup grep -qx 0::/test.slice/vm.service /proc/self/cgroup
probe root-cgroup-empty sh -c 'for p in $(cat /sys/fs/cgroup/cgroup.procs); do ! readlink /proc/$p/exe || exit 1; done'
probe root-controllers words /sys/fs/cgroup/cgroup.subtree_control
probe leaf-controllers words $group/cgroup.controllers
probe limits sh -c "mkdir /sys/fs/cgroup/test.slice/t && cd /sys/fs/cgroup/test.slice/t && echo 64M >memory.max &&
    echo '50000 100000' >cpu.max && echo 50 >pids.max && cat memory.peak cpu.stat && cd .. && rmdir t"
probe userns unshare -Urm --propagation private sh -c 'mount -t tmpfs x /mnt && touch /mnt/x && test "$(id -u)" = 0'
probe userns-user setpriv --reuid 12345 --regid 12345 --clear-groups \
    unshare -Urm --propagation private sh -c 'mount -t tmpfs x /mnt && touch /mnt/x'
probe all-namespaces unshare -Urmpinuf --mount-proc true
probe modprobe sh -c 'modprobe dummy && grep -q ^dummy /proc/modules'
probe autoload sh -c '! grep -qw squashfs /proc/filesystems || exit 1
    mount -t squashfs /dev/null /mnt; grep -qw squashfs /proc/filesystems'
probe fuse sh -c 'grep -qw fuse /proc/filesystems && test "$(stat -c %a /dev/fuse)" = 666'
probe overlay sh -c 'cd /dev/shm && mkdir l u w m && touch l/a && 
    mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m && rm m/a && test -c u/a'
probe devices sh -c 'for d in null zero full random urandom tty ptmx; do test -c /dev/$d || exit 1; done
    test -d /dev/pts'
probe shm sh -c 'test "$(stat -c %a /dev/shm)" = 1777'
probe run sh -c 'touch /run/x && test "$(stat -f -c %T /run)" = tmpfs'
probe tmp sh -c "test \"\$(stat -c %a /tmp)\" = 1777 && touch /tmp/x && test -e $TEST_WORK/bytes"
probe host-build-visible test -e "$TEST_TMP_FILE"
probe flock sh -c 'flock -n /var/tmp/lock sh -c "! flock -n /var/tmp/lock true"'
probe mknod sh -c 'mknod /var/tmp/null c 1 3 && echo x >/var/tmp/null && mkfifo /var/tmp/fifo'
probe hard-link sh -c 'touch /var/tmp/f && ln /var/tmp/f /var/tmp/g && mv /var/tmp/g /var/tmp/h'
probe change-host-file sh -c "echo more >>$TEST_WORK/bytes && chown 5:5 $TEST_WORK/bytes"
probe static-elf sh -c "cp $TEST_STATIC /var/tmp/static && exec /var/tmp/static"
probe moved-tree unshare -m --propagation private sh -c "mkdir /var/tmp/tree && cp $TEST_STATIC /var/tmp/tree/static &&
    exec $TEST_MOVE /var/tmp/tree /mnt && /mnt/static"
probe lo-up sh -c 'test "$(($(cat /sys/class/net/lo/flags) & 1))" = 1'
probe hostname test "$(hostname)" = bivy-vm
probe two-processors test "$(nproc)" = 2
probe shared-root sh -c 'grep -q " / / .* shared:" /proc/self/mountinfo'
probe own-session test "$(cut -d' ' -f6 /proc/$$/stat)" = "$$"
probe stdin-empty sh -c 'test -z "$(cat)"'
probe no-descriptors sh -c 'test "$(ls /proc/self/fd | wc -l)" = 4'
probe reopen-stdout sh -c 'echo x >/dev/stdout'
PROBE
cat >"$work/move.c" <<'MOVE'
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    int fd = open_tree(AT_FDCWD, argv[1], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (argc != 3 || fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 ||
        move_mount(fd, "", AT_FDCWD, argv[2], MOVE_MOUNT_F_EMPTY_PATH) < 0 || chdir(argv[2]) < 0) {
        perror("move");
        return 1;
    }
    execl("./static", "./static", (char *)0);
    return 1;
}
MOVE
echo 'int main(void) { return 0; }' >"$work/static.c"
cc -static -o "$work/static" "$work/static.c"
cc -o "$work/move" "$work/move.c"
intmp=$(mktemp /tmp/test-vm.XXXXXX)
vm -- env TEST_WORK="$work" TEST_STATIC="$work/static" TEST_MOVE="$work/move" TEST_TMP_FILE="$intmp" sh "$work/probe"
rm -f "$intmp"
check "the probe ran to its end" same \
    "$status $(grep -c ': yes$\|: no$' "$work/stdout")" "0 $(grep -c ^probe\  "$work/probe")"
while read -r _ name _; do
    check "inside: $name" grep -qx "$name: yes" "$work/stdout"
done < <(grep '^probe ' "$work/probe")
check "a changed host file changes inside only" same "$(sha256sum <"$work/bytes")" "$hash"

mkdir "$work/user" && chown 12345:12345 "$work/user"
# shellcheck disable=SC2016
vm --user 12345 --out "$work/user" -- sh -c '
    id -u; id -g; id -G; echo 1 >"$BIVY_VM_OUT/mine"
    grep CapEff /proc/self/status
    mkdir /sys/fs/cgroup/test.slice/vm.service/leaf && echo delegated
    echo max >/sys/fs/cgroup/test.slice/vm.service/memory.max || echo "limit is not"
    unshare -Urm true && echo userns'
check "--user: ids, no groups, no capabilities, a delegated cgroup" same "$(tr -s '\n\t' '  ' <"$work/stdout")" \
    "12345 12345 12345 CapEff: 0000000000000000 delegated limit is not userns "
check "--user: result owned by the user" same "$(stat -c %u:%g "$work/user/mine" 2>&1)" 12345:12345

# ---- endings ----

# Every machine that ends otherwise costs a boot or a timeout: only with the longest form of the tests.
if [[ ${BIVY_TEST_FULL:-} != 1 ]]; then
    check "nothing is left at the end" nothing_left
    echo "1..$count"
    exit $((failed > 0))
fi

start=$SECONDS
vm --timeout 6 -- sh -c 'echo before; exec tail -f /dev/null'
check "timeout is 124" same "$status" 124
check "timeout: at its time" test $((SECONDS - start)) -le 9
check "timeout: what came before is kept" has stdout before
check "timeout: said so" has stderr "timeout after 6 s while the command ran"
vm --timeout 6 -- sh -c 'trap "" TERM; while :; do :; done'
check "a command that spins is ended too" same "$status" 124

start=$SECONDS
vm -- sh -c 'echo before; echo c >/proc/sysrq-trigger; exec tail -f /dev/null'
check "guest panic is 125" same "$status" 125
check "guest panic: noticed at once" test $((SECONDS - start)) -le 30
check "guest panic: the reason and the console are shown" has stderr \
    "the machine ended by itself while the command ran: Kernel panic - not syncing: sysrq triggered crash"
vm --cmdline rdinit=/absent -- true
check "a machine that does not come up is 125" same "$status" 125
vm -- reboot -f
check "a machine that reboots is 125" same "$status" 125
vm --memory 12Q -- true
# shellcheck disable=SC2016
check "a wrong option is 125 and named" eval 'same "$status" 125 && has stderr "--memory \"12Q\""'
check "nothing is left after all of these" nothing_left

# until_up FILE: the command inside has spoken
until_up() { grep -q up "$1" 2>/dev/null; }

for signal in TERM HUP; do
    rm -f "$work/stdout"
    "$here/run" -- sh -c 'echo up; exec tail -f /dev/null' >"$work/stdout" 2>"$work/stderr" &
    started+=($!)
    within 60 until_up "$work/stdout" || true # what never came up cannot end as is checked next
    kill -$signal $!
    status=0
    wait $! || status=$?
    check "SIG$signal ends it: 128 + n" same "$status" "$((128 + $(kill -l $signal)))"
    check "SIG$signal leaves nothing" nothing_left
done

rm -f "$work/stdout"
"$here/run" -- sh -c 'echo up; exec tail -f /dev/null' >"$work/stdout" 2>"$work/stderr" &
started+=($!)
within 60 until_up "$work/stdout" || true
kill -KILL $!
wait $! 2>/dev/null || true
# shellcheck disable=SC2016
check "SIGKILL leaves no process" within 10 eval '[[ -z $(processes "$work/tmp") ]]'

# ---- several at once; the first to start also sweeps what SIGKILL left ----

pids=()
for number in 1 2 3; do
    "$here/run" -- sh -c "echo $number; exit $number" >"$work/stdout.$number" 2>"$work/stderr" &
    pids+=($!) started+=($!)
done
for number in 1 2 3; do
    status=0
    wait "${pids[number - 1]}" || status=$?
    check "three at once: number $number" same "$status $(<"$work/stdout.$number")" "$number $number"
done
check "nothing is left at the end" nothing_left

echo "1..$count"
[[ $failed -eq 0 ]]
