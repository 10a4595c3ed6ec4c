#!/bin/bash
# rootfs/build interrupted anywhere: each external command it runs is, in turn, the moment at which the builder is
# killed (SIGKILL), told to end (SIGTERM), or at which that command fails. After each: the rootfs is the old one or
# the new one, whole; the next build succeeds and nothing is left beside it. Prints TAP. BIVY_TEST_FAULTS=all tries
# every command, not a selection.
# shellcheck disable=SC2317   # check calls the functions
tests=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$tests/lib.bash"
build=$checkout/rootfs/build
dir=$T/out/rootfs

for which in 0 1; do
    mini "$T/mini$which" "3.20.$which"
    pack "$T/mini$which" "$T/mini$which.tar.gz"
    define "$T/$which.conf" "3.20.$which" "$T/mini$which.tar.gz"
done
build_one() {
    local which=$1
    shift
    BIVY_ROOTFS_CONF=$T/$which.conf "$@" --tarball "$T/mini$which.tar.gz" --output "$dir"
}
whole=()
for which in 0 1; do
    build_one "$which" "$build" >/dev/null || { echo 'Bail out! cannot build at all'; exit 1; }
    whole[which]=$(content "$dir")
done

# Every command the builder runs goes through this stub: it counts them, and acts on the one it was told.
mkdir "$T/bin"
cat >"$T/stub" <<'END'
#!/bin/sh
name=${0##*/}
PATH=$STUB_PATH
export PATH
# Appends are atomic, so commands of one pipeline get numbers of their own.
echo "$name $$" >>"$STUB_TRACE"
number=$(grep -n -x "$name $$" "$STUB_TRACE" | tail -n 1)
if [ "${number%%:*}" = "$STUB_AT" ]; then
    case $STUB_ACTION in
    kill) kill -9 "$STUB_BUILDER" ;;
    late-kill)
        "$name" "$@"
        kill -9 "$STUB_BUILDER"
        exit 0
        ;;
    term) kill -TERM "$STUB_BUILDER" ;;
    fail) exit 1 ;;
    esac
fi
PATH=$STUB_BIN:$STUB_PATH
exec "$(PATH=$STUB_PATH command -v "$name")" "$@"
END
chmod +x "$T/stub"
for name in awk cat chmod chown cmp cp dirname find flock mkdir mktemp mv perl realpath rm sha256sum sha512sum sort \
    sync tar uname xargs; do
    ln -s "$T/stub" "$T/bin/$name"
done

# with_fault ACTION AT WHICH: one build under a fault; the stub learns the builder's pid, which exec keeps.
with_fault() {
    : >"$T/trace"
    (
        export STUB_ACTION=$1 STUB_AT=$2 STUB_TRACE=$T/trace STUB_PATH=$PATH STUB_BIN=$T/bin STUB_BUILDER=$BASHPID
        export BIVY_ROOTFS_CONF=$T/$3.conf
        PATH=$T/bin:$PATH exec "$build" --tarball "$T/mini$3.tar.gz" --output "$dir"
    ) >"$T/faulty" 2>&1
}

with_fault none 0 0 || { cat "$T/faulty"; echo 'Bail out! the stub breaks the build'; exit 1; }
total=$(wc -l <"$T/trace")
[[ $total -gt 40 ]] || { echo "Bail out! only $total commands went through the stub"; exit 1; }

# after_fault STATUS NEXT: what must hold; `now` becomes which tree is there.
after_fault() {
    local sum
    sum=$(content "$dir")
    case $sum in
    "${whole[0]}") now=0 ;;
    "${whole[1]}") now=1 ;;
    *) echo 'the rootfs is neither the old one nor the new one'; return 1 ;;
    esac
    [[ $1 -ne 0 || $now == "$2" ]] ||
        { echo 'the build said it had succeeded, but the rootfs is the old one'; return 1; }
}
tell() {
    echo "$1 at command $2 ($(sed -n "${2}p" "$T/trace")): status $3"
    cat "$T/faulty"
}
points() {
    local action=$1 step=$2 at next status now=0
    local hit=0 old=0
    [[ ${BIVY_TEST_FAULTS:-} != all ]] || step=1
    # shellcheck disable=SC2154
    for ((at = 1 + RANDOM % step; at <= total; at += step)); do
        next=$((1 - now))
        status=0
        with_fault "$action" "$at" "$next" || status=$?
        hit=$((hit + 1))
        after_fault "$status" "$next" || { tell "$action" "$at" "$status"; return 1; }
        [[ $now == "$next" ]] || old=$((old + 1))
        case $action in
        kill | late-kill) [[ $status -eq 137 || $at -gt $(wc -l <"$T/trace") ]] ;;
        term)
            [[ $status -ne 143 ]] || alone "$dir"
            # Those left over are the commands after the swap, where TERM no longer matters.
            [[ $status -eq 143 || $status -eq 0 ]]
            ;;
        fail) [[ $status -le 1 ]] ;;
        esac || { tell "$action" "$at" "$status"; return 1; }
        build_one "$next" "$build" || { echo "after $action at command $at"; return 1; }
        alone "$dir" || { echo "after $action at command $at"; return 1; }
        after_fault 0 "$next"
    done
    echo "$hit faults, the old tree stayed in $old"
    [[ $old -gt 0 ]]
}
build_one 0 "$build" >/dev/null
check "SIGKILL before a command ($total commands)" points kill 29
build_one 0 "$build" >/dev/null
check 'SIGKILL after a command' points late-kill 29
build_one 0 "$build" >/dev/null
check 'SIGTERM at a command: nothing is left at once' points term 29
build_one 0 "$build" >/dev/null
check 'a command fails' points fail 29

# A killed builder whose tar lives on: the next build waits for it, since it still holds the lock.
outlives() {
    local killed waiting status=0
    build_one 0 "$build" >/dev/null
    mkfifo "$T/gate"
    mkdir "$T/slow"
    cat >"$T/slow/tar" <<END
#!/bin/sh
case \$1 in --extract) : >"$T/extracting"; read -r _ <"$T/gate" ;; esac
exec $(command -v tar) "\$@"
END
    chmod +x "$T/slow/tar"
    BIVY_ROOTFS_CONF=$T/1.conf PATH=$T/slow:$PATH "$build" --tarball "$T/mini1.tar.gz" --output "$dir" &
    killed=$!
    until_true 20 test -e "$T/extracting"
    kill -9 "$killed"
    wait "$killed" || status=$?
    [[ $status -eq 137 ]]
    [[ $(content "$dir") == "${whole[0]}" ]]
    build_one 1 "$build" 2>"$T/waited" &
    waiting=$!
    until_true 20 grep -q 'waiting' "$T/waited"
    echo >"$T/gate"
    wait "$waiting"
    [[ $(content "$dir") == "${whole[1]}" ]]
    alone "$dir"
}
check 'a build waits for the tar of a killed one' outlives

done_testing
