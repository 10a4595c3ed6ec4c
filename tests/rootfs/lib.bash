# shellcheck shell=bash
# TAP, fixtures and checks for the rootfs tests. Debian packages: bash coreutils diffutils findutils gzip mawk
# perl-base tar util-linux (all Essential or nearly so), busybox-static, curl (download tests), openssl (extra
# packages).
set -uo pipefail
umask 022
export LC_ALL=C
unset BIVY_ROOTFS_CONF BIVY_CACHE_DIR BIVY_ALPINE_DIR BIVY_ALPINE_MIRROR BIVY_BUSYBOX TAR_OPTIONS
# shellcheck disable=SC2154   # set by the test that sources this
checkout=$(cd -P -- "$tests/../.." && pwd)
PATH="$PATH:/usr/sbin:/sbin"
count=0 failures=0
nobody=54321    # an id without a passwd entry
host=$(uname -m)

T=$(mktemp -d) || exit 1
chmod 0755 "$T"
helpers=()      # processes this test started
kill_helpers() {
    local pid
    for pid in "${helpers[@]}"; do kill -9 "$pid" 2>/dev/null || :; done
    return 0
}
finish() {
    chmod -R u+rwX -- "$T" 2>/dev/null
    rm -rf -- "$T"
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# check NAME COMMAND...: one row; the command runs under set -e in a subshell, its output becomes the diagnosis of a
# failure.
check() {
    local name=$1 status
    shift
    count=$((count + 1))
    # Processes a test starts are ended by it, whatever stops it.
    (trap kill_helpers EXIT; set -e; "$@") >"$T/log" 2>&1
    status=$?
    if [[ $status -eq 0 ]]; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        sed 's/^/# /' "$T/log"
        failures=$((failures + 1))
    fi
}

# skip NAME REASON: a row that cannot run here; a failure where skips are not allowed.
skip() {
    count=$((count + 1))
    if [[ ${BIVY_TEST_STRICT:-0} == 1 ]]; then
        echo "not ok $count - $1 # skipped under BIVY_TEST_STRICT: $2"
        failures=$((failures + 1))
    else
        echo "ok $count - $1 # SKIP $2"
    fi
}

done_testing() {
    echo "1..$count"
    [[ $failures -eq 0 ]]
    exit
}

# refuses PATTERN COMMAND...: it must end with status 1 (2 is wrong usage, more is a crash) and say PATTERN on stderr.
refuses() {
    local pattern=$1 status=0
    shift
    "$@" 2>"$T/refusal" || status=$?
    cat "$T/refusal"
    [[ $status -eq 1 ]] || { echo "status $status, wanted 1"; return 1; }
    grep -Eq -- "$pattern" "$T/refusal" || { echo "stderr does not say: $pattern"; return 1; }
}

# content DIR: one sum over everything a sandbox could see of DIR.
content() {
    (
        cd "$1" || exit 1
        find . -printf '%y %m %U:%G %p %l\n' | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    ) | sha256sum
}

# identity DIR: content, and that it is the very same files, untouched.
identity() {
    content "$1"
    find "$1" -printf '%i %C@ %p\n' | sort | sha256sum
}

# alone DIR: nothing beside DIR in its parent.
alone() {
    local beside
    beside=$(find "${1%/*}" -mindepth 1 -maxdepth 1 ! -path "$1")
    [[ -z $beside ]] || { echo "left in ${1%/*}: $beside"; return 1; }
}

# until_true SECONDS COMMAND...: polls.
until_true() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        [[ $SECONDS -lt $deadline ]] || { echo "not within the deadline: $*"; return 1; }
        sleep 0.02
    done
}

static_busybox() {
    # ldd fails on a program that needs no dynamic linker.
    [[ -x /bin/busybox ]] && ! ldd /bin/busybox >/dev/null 2>&1 && printf /bin/busybox
}

# mini DIR VERSION: a small tree that passes for Alpine VERSION of this architecture.
mini() {
    mkdir -p "$1"/{bin,etc/apk,dev,run,tmp,var/tmp,proc,home,lib}
    cp "$(static_busybox)" "$1/bin/busybox"
    ln -s /bin/busybox "$1/bin/sh"
    ln -s /bin/busybox "$1/bin/cat"
    echo "$2" >"$1/etc/alpine-release"
    echo "$host" >"$1/etc/apk/arch"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: >"$1/etc/group"
    printf '%s\n' 'root:*::0:::::' >"$1/etc/shadow"
    chmod 1777 "$1/tmp" "$1/var/tmp"
}

# pack DIR TARBALL: the way Alpine packs its own.
pack() { tar -C "$1" --owner=0 --group=0 --numeric-owner -czf "$2" .; }

# define FILE VERSION TARBALL: a definition with TARBALL pinned for this architecture.
define() {
    local sum
    sum=$(sha512sum <"$3")
    sed -e "s/^VERSION=.*/VERSION=$2/" -e 's/^SHA512_\([a-z0-9_]*\)=.*/SHA512_\1=/' \
        -e "s/^SHA512_$host=.*/SHA512_$host=${sum%% *}/" "$checkout/rootfs/alpine.conf" >"$1"
}

# nowhere: no copy of Alpine is to be found, and the download fails at once.
nowhere() {
    export BIVY_CACHE_DIR=$T/no-cache BIVY_ALPINE_DIR=$T/no-alpine BIVY_ALPINE_MIRROR=http://127.0.0.1:1
}

if [[ -z $(static_busybox) ]]; then
    echo '1..0 # SKIP no static /bin/busybox; install busybox-static'
    [[ ${BIVY_TEST_STRICT:-0} != 1 ]]
    exit
fi
