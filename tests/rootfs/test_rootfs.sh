#!/bin/bash
# rootfs/build: what it builds, what it refuses, what it leaves behind. Prints TAP. See lib.bash for the packages it
# needs.
# shellcheck disable=SC2317   # check calls the functions
tests=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$tests/lib.bash"
build=$checkout/rootfs/build

# An ordinary user may not be able to read the checkout or the tarball where they are; it gets copies.
cp -r "$checkout/rootfs" "$T/rootfs-scripts"
alpine=$("$build" --locate 2>"$T/locate.log") || alpine=''
real_version=$(sed -n 's/^VERSION=//p' "$checkout/rootfs/alpine.conf")
if [[ -n $alpine ]]; then
    cp "$alpine" "$T/alpine.tar.gz"
fi

mini "$T/mini" 3.20.3
pack "$T/mini" "$T/mini.tar.gz"
define "$T/mini.conf" 3.20.3 "$T/mini.tar.gz"
with_mini() { BIVY_ROOTFS_CONF=$T/mini.conf "$build" "$@"; }

# --- what is built

looks_right() {
    local dir=$1 owner=$2 point mode
    [[ $(stat -c %a "$dir") == 755 ]]
    for point in workspace:755 home/sandbox:755 dev:755 proc:555 sys:555 tmp:1777 var/tmp:1777 run:755; do
        mode=$(stat -c '%F %a' "$dir/${point%:*}")
        [[ $mode == "directory ${point#*:}" ]] || { echo "$point is $mode"; return 1; }
        [[ -z $(ls -A "$dir/${point%:*}") ]] || { echo "$point is not empty"; return 1; }
    done
    grep -qx 'sandbox:x:1000:1000:sandbox:/home/sandbox:/bin/sh' "$dir/etc/passwd"
    grep -qx 'sandbox:x:1000:' "$dir/etc/group"
    grep -q '^sandbox:!:' "$dir/etc/shadow"
    [[ $(cat "$dir/etc/hostname") == bivy && ! -L $dir/etc/resolv.conf ]]
    [[ $(cat "$dir/etc/resolv.conf") == 'options timeout:1 attempts:1' ]]
    grep -Eq '^127\.0\.0\.1.*localhost.*bivy' "$dir/etc/hosts"
    [[ -z $(find "$dir" ! -uid "$owner") ]]
    [[ -z $(find "$dir" ! -type f ! -type d ! -type l) ]]
    [[ -z $(find "$dir" \( -type f -o -type d \) -perm /6000) ]]
    [[ -z $(find "$dir" \( -type f -o -type d \) -perm /022 ! -path "$dir/tmp" ! -path "$dir/var/tmp") ]]
}

alpine_as_root() {
    mkdir "$T/r"
    "$build" --tarball "$alpine" --output "$T/r/rootfs"
    looks_right "$T/r/rootfs" 0
    [[ -z $(find "$T/r/rootfs" ! -gid 0) ]]
    grep -qx "version=$real_version" "$T/r/rootfs/etc/bivy-rootfs"
    grep -qx 'stand_in=no' "$T/r/rootfs/etc/bivy-rootfs"
    [[ $(chroot "$T/r/rootfs" /bin/sh -c 'id -u sandbox; cat /etc/alpine-release') == 1000$'\n'$real_version ]]
    alone "$T/r/rootfs"
}
alpine_as_user() {
    mkdir "$T/u"
    chown "$nobody:$nobody" "$T/u"
    setpriv --reuid "$nobody" --regid "$nobody" --clear-groups env -u XDG_DATA_HOME -u XDG_CACHE_HOME HOME="$T/u" \
        "$T/rootfs-scripts/build" --tarball "$T/alpine.tar.gz"
    looks_right "$T/u/.local/share/bivy/rootfs" "$nobody"
    alone "$T/u/.local/share/bivy/rootfs"
}
alpine_pin() {
    local sum
    sum=$(sha512sum <"$alpine")
    grep -qx "SHA512_x86_64=${sum%% *}" "$checkout/rootfs/alpine.conf"
    sum=$(sed -n 's/^tarball_sha512=//p' "$T/r/rootfs/etc/bivy-rootfs")
    [[ $(sha512sum <"$alpine") == "$sum  -" ]]
}
no_alpine="no Alpine tarball: $(tail -n 1 "$T/locate.log")"
if [[ -z $alpine ]]; then
    for row in 'Alpine built as root' 'its pin' 'Alpine built as an ordinary user'; do skip "$row" "$no_alpine"; done
elif [[ $EUID -ne 0 ]]; then
    for row in 'Alpine built as root' 'its pin' 'Alpine built as an ordinary user'; do skip "$row" 'needs root'; done
else
    check 'Alpine built as root: accounts, mount points, modes, owners, and it runs' alpine_as_root
    check 'the tarball has the pinned SHA-512, and the label says so' alpine_pin
    check 'Alpine built as an ordinary user without a passwd entry, in its home' alpine_as_user
fi

# The old rootfs every refusal must leave alone.
mkdir "$T/old"
with_mini --tarball "$T/mini.tar.gz" --output "$T/old/rootfs" >/dev/null ||
    { echo 'Bail out! no rootfs to begin with'; exit 1; }
before=$(identity "$T/old/rootfs")

# refused PATTERN [ARGUMENT...]: build refuses with PATTERN and the old rootfs is the same, alone in its directory.
refused() {
    local pattern=$1
    shift
    refuses "$pattern" "$build" --force --output "$T/old/rootfs" "$@"
    [[ $(identity "$T/old/rootfs") == "$before" ]] || { echo 'the old rootfs was touched'; return 1; }
    alone "$T/old/rootfs"
}

# --- tarballs that are not the pinned one

wrong_sum() { BIVY_ROOTFS_CONF=$T/mini.conf refused 'SHA-512' --tarball "$1"; }
truncated() {
    head -c $(($(stat -c %s "$T/mini.tar.gz") / 2)) "$T/mini.tar.gz" >"$T/truncated.tar.gz"
    wrong_sum "$T/truncated.tar.gz"
}
one_byte() {
    local at=$(($(stat -c %s "$T/mini.tar.gz") / 2)) byte
    cp "$T/mini.tar.gz" "$T/byte.tar.gz"
    byte=$(od -An -tu1 -j "$at" -N 1 "$T/byte.tar.gz")
    # shellcheck disable=SC2059   # the format is the byte
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$T/byte.tar.gz" bs=1 seek="$at" conv=notrunc status=none
    wrong_sum "$T/byte.tar.gz"
}
added_member() {
    gzip -dc "$T/mini.tar.gz" >"$T/added.tar"
    echo pwned >"$T/added"
    tar -C "$T" -rf "$T/added.tar" added
    gzip -c "$T/added.tar" >"$T/added.tar.gz"
    wrong_sum "$T/added.tar.gz"
}
missing_tarball() { BIVY_ROOTFS_CONF=$T/mini.conf refused 'no such readable file' --tarball "$T/none"; }
no_fallback() {
    # A good copy in the cache must not stand in for the bad one that was asked for.
    mkdir -p "$T/good-cache"
    cp "$T/mini.tar.gz" "$T/good-cache/alpine-minirootfs-3.20.3-$host.tar.gz"
    BIVY_CACHE_DIR=$T/good-cache wrong_sum "$T/added.tar.gz"
}
bad_cache() {
    mkdir "$T/bad-cache"
    cp "$T/truncated.tar.gz" "$T/bad-cache/alpine-minirootfs-3.20.3-$host.tar.gz"
    nowhere
    export BIVY_CACHE_DIR=$T/bad-cache BIVY_ROOTFS_CONF=$T/mini.conf
    refused 'no tarball with the pinned SHA-512'
    # ... and no stand-in either, where there was nothing before.
    refuses 'no tarball with the pinned' "$build" --output "$T/fresh/rootfs"
    [[ ! -e $T/fresh/rootfs ]]
}
check 'a truncated tarball is refused' truncated
check 'a tarball with one byte changed is refused' one_byte
check 'a tarball with a member added is refused' added_member
check 'a missing --tarball is refused' missing_tarball
check 'a bad --tarball is refused even with a good one in the cache' no_fallback
check 'a bad tarball in the cache is refused, and no stand-in is built' bad_cache

# --- tarballs that have the pinned checksum and are bad all the same

# pinned PATTERN TARBALL: refused although the definition pins exactly this tarball.
pinned() {
    define "$T/evil.conf" 3.20.3 "$2"
    BIVY_ROOTFS_CONF=$T/evil.conf refused "$1" --tarball "$2"
}
elf_machine() {
    cp -r "$T/mini" "$T/machine"
    # e_machine, 2 bytes at 18: 243 is RISC-V
    printf '\363\000' | dd of="$T/machine/bin/busybox" bs=1 seek=18 conv=notrunc status=none
    pack "$T/machine" "$T/machine.tar.gz"
    pinned 'wrong architecture: the ELF header' "$T/machine.tar.gz"
}
apk_arch() {
    cp -r "$T/mini" "$T/apk-arch"
    echo riscv64 >"$T/apk-arch/etc/apk/arch"
    pack "$T/apk-arch" "$T/apk-arch.tar.gz"
    pinned 'wrong architecture: etc/apk/arch' "$T/apk-arch.tar.gz"
}
release() {
    cp -r "$T/mini" "$T/release"
    echo 3.19.1 >"$T/release/etc/alpine-release"
    pack "$T/release" "$T/release.tar.gz"
    pinned 'wrong release' "$T/release.tar.gz"
}
not_tar() {
    head -c 5000 /dev/urandom | gzip >"$T/noise.tar.gz"
    pinned 'not a gzipped tar|refused' "$T/noise.tar.gz"
}
# evil NAME PATTERN TAR-ARGUMENT...: mini with one more tar call appended.
evil() {
    local name=$1 pattern=$2
    shift 2
    gzip -dc "$T/mini.tar.gz" >"$T/$name.tar"
    tar -C "$T/bait" -P -rf "$T/$name.tar" "$@"
    gzip -c "$T/$name.tar" >"$T/$name.tar.gz"
    pinned "$pattern" "$T/$name.tar.gz"
    [[ ! -e $T/old/pwned && ! -e $T/victim/pwned && ! -e /pwned-by-bivy-test ]]
}
mkdir "$T/bait" "$T/victim"
echo pwned >"$T/bait/pwned"
ln -s "$T/victim" "$T/bait/link"
ln "$T/bait/pwned" "$T/bait/second"
mkfifo "$T/bait/fifo"
dot_dot() { evil dot-dot 'absolute path or ".."' --transform='s,^,../../,' pwned; }
dot_dot_inside() { evil dot-dot-inside 'absolute path or ".."' --transform='s,^,etc/../../../,' pwned; }
absolute() { evil absolute 'absolute path or ".."' --transform='s,^pwned,/pwned-by-bivy-test,' pwned; }
through_symlink() { evil through 'written through' --transform='s,^pwned,link/pwned,rSH' link pwned; }
before_symlink() { evil reversed 'written through' --transform='s,^pwned,link/pwned,rSH' pwned link; }
twice() { evil twice 'comes twice' --transform='s,^\(link\|pwned\)$,etc/passwd,rSH' link pwned; }
hard_link() { evil hard-link 'hard link' --transform='s,^pwned$,/etc/passwd,hRS' --exclude=nothing pwned second; }
fifo() { evil fifo 'neither file, directory nor link' fifo; }
device() {
    mknod "$T/bait/null" c 1 3
    evil device 'device node' null
}
check 'a busybox for another machine is refused' elf_machine
check 'a tree for another architecture is refused' apk_arch
check 'a tree of another release is refused' release
check 'a gzip of noise is refused' not_tar
check 'a member with .. is refused, nothing written' dot_dot
check 'a member with .. in the middle is refused' dot_dot_inside
check 'a member with an absolute name is refused' absolute
check 'a member written through a symlink of the archive is refused' through_symlink
check 'also when the symlink comes after it' before_symlink
check 'a member that replaces a symlink of the same name is refused' twice
check 'a hard link to a file of the host is refused' hard_link
check 'a named pipe is refused' fifo
if [[ $EUID -eq 0 ]]; then
    check 'a device node is refused' device
else
    skip 'a device node is refused' 'mknod needs root'
fi

cleaned() {
    local dir=$T/cleaned/rootfs
    cp -r "$T/mini" "$T/dirty"
    chmod 6755 "$T/dirty/bin/busybox"
    chmod 2777 "$T/dirty/lib"
    echo x >"$T/dirty/dev/null"
    mkdir "$T/dirty/run/stale"
    rmdir "$T/dirty/proc" "$T/dirty/var/tmp"
    ln -s /etc "$T/dirty/proc"
    ln -s "$T/victim" "$T/dirty/var/tmp"
    rm "$T/dirty/etc/passwd"
    echo untouched >"$T/victim/file"
    ln -s "$T/victim/file" "$T/dirty/etc/passwd"
    ln -s "$T/victim/file" "$T/dirty/etc/resolv.conf"
    echo 'someone:x:1000:1000::/:/bin/sh' >"$T/dirty/etc/group"
    pack "$T/dirty" "$T/dirty.tar.gz"
    define "$T/dirty.conf" 3.20.3 "$T/dirty.tar.gz"
    BIVY_ROOTFS_CONF=$T/dirty.conf "$build" --tarball "$T/dirty.tar.gz" --output "$dir"
    looks_right "$dir" "$EUID"
    [[ $(stat -c %a "$dir/bin/busybox") == 755 && $(stat -c %a "$dir/lib") == 755 ]]
    [[ $(cat "$T/victim/file") == untouched && $(ls "$T/victim") == file ]]
    [[ $(grep -c : "$dir/etc/group") == 1 ]]
}
check 'setuid and write bits go, /dev and /run are emptied, symlinked mount points and files become real' cleaned

# --- definition and arguments

conf_refused() {
    sed "$1" "$T/mini.conf" >"$T/bad.conf"
    BIVY_ROOTFS_CONF=$T/bad.conf refused "$2" --tarball "$T/mini.tar.gz"
}
definition() {
    local mark=$T/ran
    # shellcheck disable=SC2016   # must stay unexpanded
    conf_refused 's,^HOST_NAME=.*,HOST_NAME=$(touch '"$mark"'),' 'HOST_NAME'
    [[ ! -e $mark ]]
    conf_refused 's,^HOST_NAME=,PATH=,' 'unknown key PATH'
    conf_refused 's,^HOST_NAME=.*,,' 'HOST_NAME is missing'
    conf_refused 's,^VERSION=.*,&\n&,' 'VERSION is given twice'
    conf_refused 's,^HOST_NAME=.*,touch x,' 'not KEY=value'
    conf_refused 's,^MOUNT_POINTS=.*,MOUNT_POINTS=/home/sandbox:0755 /../etc:0755,' 'MOUNT_POINTS'
    conf_refused "s,^SHA512_$host=.*,SHA512_$host=," "no SHA-512 is pinned for $host.*rootfs/update"
}
usage() {
    local status
    "$build" --help | grep -q -- '--output DIR'
    for argument in --colour --output '--arch=m68k' '--packages=-X' '--output=' extra; do
        status=0
        "$build" "$argument" >/dev/null 2>"$T/usage" || status=$?
        [[ $status -eq 2 && -s $T/usage ]] || { echo "$argument: status $status"; return 1; }
    done
}
alien() {
    mkdir -p "$T/alien/home"
    echo precious >"$T/alien/home/file"
    ln -s "$T/old/rootfs" "$T/alien/link"
    refuses 'not made by rootfs/build' with_mini --tarball "$T/mini.tar.gz" --output "$T/alien/home"
    refuses 'not made by rootfs/build' with_mini --tarball "$T/mini.tar.gz" --output "$T/alien/link"
    [[ $(find "$T/alien" -type f -exec cat {} +) == precious && -L $T/alien/link ]]
    mkdir "$T/alien/empty"
    with_mini --tarball "$T/mini.tar.gz" --output "$T/alien/empty"
    [[ $(ls -A "$T/alien") == empty$'\n'home$'\n'link ]]
}
check 'the definition is parsed, not run; every bad line is refused' definition
check 'help, and wrong usage with status 2' usage
check 'a directory build did not make is not replaced; an empty one is' alien

# --- again, and while others look

again() {
    with_mini --tarball "$T/mini.tar.gz" --output "$T/old/rootfs" | grep 'up to date'
    [[ $(identity "$T/old/rootfs") == "$before" ]]
    # Not even a tarball is needed for that.
    (nowhere; with_mini --output "$T/old/rootfs") | grep 'up to date'
}
noticed() {
    local dir=$T/noticed/rootfs reference
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    reference=$(content "$dir")
    echo x >>"$dir/etc/profile"
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    [[ $(content "$dir") == "$reference" ]] || { echo 'an added file was not noticed'; return 1; }
    chmod 0777 "$dir/bin/busybox"
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    [[ $(content "$dir") == "$reference" ]] || { echo 'a changed mode was not noticed'; return 1; }
    sed -i 's/bivy/evil/' "$dir/etc/hosts"
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    [[ $(content "$dir") == "$reference" ]] || { echo 'changed content was not noticed'; return 1; }
    alone "$dir"
}
atomic() {
    local dir=$T/atomic/rootfs i reader
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    # shellcheck disable=SC2016   # perl
    perl -e '$| = 1; my ($file, $stop) = @ARGV; my ($good, $bad) = (0, 0);
        until (-e $stop) {
            if (open my $in, "<", $file) { $good++ } else { $bad++ }
            print "started\n" if $good + $bad == 1;
        }
        print "$good $bad\n"' "$dir/etc/alpine-release" "$T/atomic/stop" >"$T/atomic.out" &
    reader=$!
    until_true 10 grep -q started "$T/atomic.out"
    for i in {1..20}; do
        with_mini --force --tarball "$T/mini.tar.gz" --output "$dir" >/dev/null ||
            { echo "build $i failed"; kill "$reader"; return 1; }
    done
    : >"$T/atomic/stop"
    wait "$reader"
    read -r good bad < <(tail -n 1 "$T/atomic.out")
    echo "$good opens, $bad failed"
    [[ $bad -eq 0 && $good -gt 1000 ]]
    rm "$T/atomic/stop"
    alone "$dir"
}
in_use() {
    local dir=$T/in-use/rootfs inode lock kept
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    inode=$(stat -c %i "$dir")
    exec {lock}<"$dir"
    flock -s "$lock"
    with_mini --force --tarball "$T/mini.tar.gz" --output "$dir"
    [[ $(stat -c %i "$dir") != "$inode" ]]
    kept=$(find "$T/in-use" -maxdepth 1 -name 'rootfs.old.*')
    [[ -d $kept && $(stat -c %i "$kept") == "$inode" ]] || { echo "the locked tree was not kept: \"$kept\""; return 1; }
    [[ $(cat "/proc/self/fd/$lock/etc/alpine-release") == 3.20.3 ]]
    # Kept by every build as long as it is locked, swept by the first one after.
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    [[ -f $kept/etc/alpine-release ]]
    exec {lock}<&-
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    alone "$dir"
}
two_builders() {
    local dir=$T/two/rootfs a b
    with_mini --force --tarball "$T/mini.tar.gz" --output "$dir" &
    a=$!
    with_mini --force --tarball "$T/mini.tar.gz" --output "$dir" &
    b=$!
    wait "$a"
    wait "$b"
    looks_right "$dir" "$EUID"
    alone "$dir"
}
check 'a second build does nothing, and needs no tarball' again
check 'a changed tree is noticed and rebuilt' noticed
check 'a reader never fails during 20 rebuilds' atomic
check 'a replaced tree is kept while its lock is held, and swept after' in_use
check 'two builds at once wait for each other' two_builders

# --- where the tarball comes from

serve() {
    local site=$T/site/v3.20/releases/$host
    mkdir -p "$site"
    cp "$1" "$site/alpine-minirootfs-3.20.3-$host.tar.gz"
    # Port 0 is not to be had with this httpd, so a free one is looked for.
    for ((port = 20000 + $$ % 20000; port < 60000; port++)); do
        busybox httpd -f -p "127.0.0.1:$port" -h "$T/site" 2>/dev/null &
        server=$!
        helpers+=("$server")
        # shellcheck disable=SC2016
        until_true 5 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" || ! kill -0 "$2"' _ "$port" "$server" 2>/dev/null ||
            return 1
        kill -0 "$server" 2>/dev/null && return 0
    done
    return 1
}
download() {
    local dir=$T/downloaded/rootfs server port
    serve "$T/mini.tar.gz"
    export BIVY_CACHE_DIR=$T/fill-cache BIVY_ALPINE_DIR=$T/no-alpine BIVY_ALPINE_MIRROR=http://127.0.0.1:$port
    export BIVY_ROOTFS_CONF=$T/mini.conf
    "$build" --output "$dir"
    kill "$server"
    wait "$server" || :
    alone "$dir"
    cmp "$T/mini.tar.gz" "$T/fill-cache/alpine-minirootfs-3.20.3-$host.tar.gz"
    # The site is gone; the cache serves.
    BIVY_ALPINE_MIRROR=http://127.0.0.1:1 "$build" --force --output "$dir" | grep 'fill-cache'
}
bad_download() {
    local server port
    serve "$T/truncated.tar.gz"
    export BIVY_CACHE_DIR=$T/clean-cache BIVY_ALPINE_DIR=$T/no-alpine BIVY_ALPINE_MIRROR=http://127.0.0.1:$port
    BIVY_ROOTFS_CONF=$T/mini.conf refused 'no tarball with the pinned SHA-512'
    kill "$server"
    [[ ! -e $T/clean-cache ]]
}
sibling() {
    mkdir -p "$T/beside/checkout" "$T/beside/shared/alpine"
    cp -r "$checkout/rootfs" "$T/beside/checkout/"
    cp "$T/mini.tar.gz" "$T/beside/shared/alpine/alpine-minirootfs-3.20.3-$host.tar.gz"
    nowhere
    unset BIVY_ALPINE_DIR
    BIVY_ROOTFS_CONF=$T/mini.conf "$T/beside/checkout/rootfs/build" --output "$T/beside/out/rootfs" |
        grep "$T/beside/shared/alpine"
}
if command -v curl >/dev/null || command -v wget >/dev/null; then
    check 'a download is verified, used and kept in the cache' download
    check 'a bad download is refused and not kept' bad_download
else
    skip 'a download is verified, used and kept in the cache' 'neither curl nor wget is installed'
    skip 'a bad download is refused and not kept' 'neither curl nor wget is installed'
fi
check 'the tarball beside the checkout is found' sibling

# --- the stand-in

in_chroot() {
    if [[ $EUID -eq 0 ]]; then chroot "$@"; else unshare -r chroot "$@"; fi
}
stand_in() {
    local dir=$T/stand/rootfs said
    nowhere
    BIVY_ROOTFS_CONF=$T/mini.conf "$build" --output "$dir" 2>"$T/stand.err"
    cat "$T/stand.err"
    grep -q 'WARNING: Alpine 3.20.3' "$T/stand.err"
    grep -q "$T/no-cache/alpine-minirootfs" "$T/stand.err"
    grep -q "$T/no-alpine/alpine-minirootfs" "$T/stand.err"
    grep -q 'http://127.0.0.1:1/' "$T/stand.err"
    grep -q 'To mend' "$T/stand.err"
    looks_right "$dir" "$EUID"
    grep -qx 'stand_in=yes' "$dir/etc/bivy-rootfs"
    [[ $(in_chroot "$dir" /bin/sh -c 'echo hi') == hi ]]
    said=$(printf 'b\na\n' | in_chroot "$dir" /bin/sh -c 'sort | head -1; id -u sandbox; awk "BEGIN { print 6 * 7 }"')
    [[ $said == $'a\n1000\n42' ]]
    alone "$dir"
    BIVY_ROOTFS_CONF=$T/mini.conf "$build" --output "$dir" | grep 'stand-in is up to date'
    # Alpine takes its place as soon as it is to be had.
    with_mini --tarball "$T/mini.tar.gz" --output "$dir"
    grep -qx 'stand_in=no' "$dir/etc/bivy-rootfs"
    alone "$dir"
}
never_instead() {
    nowhere
    # An older Alpine is still an Alpine.
    sed 's/^VERSION=.*/VERSION=3.20.4/' "$T/mini.conf" >"$T/newer.conf"
    BIVY_ROOTFS_CONF=$T/newer.conf refused 'NOT replaced by a stand-in'
}
no_stand_in_for() {
    nowhere
    BIVY_ROOTFS_CONF=$T/mini.conf refuses 'a stand-in has no apk' "$build" --packages jq --output "$T/none/rootfs"
    [[ ! -e $T/none/rootfs ]]
    alone "$T/none/rootfs"
}
from_package() {
    nowhere
    BIVY_BUSYBOX=$T/no-busybox BIVY_ROOTFS_CONF=$T/mini.conf "$build" --output "$T/deb/rootfs"
    [[ $(in_chroot "$T/deb/rootfs" /bin/sh -c 'echo hi') == hi ]]
    alone "$T/deb/rootfs"
}
check 'without any Alpine: a loud warning, and a stand-in that runs' stand_in
check 'an Alpine is never replaced by a stand-in' never_instead
check 'a stand-in with extra packages is refused' no_stand_in_for
row='the stand-in from the Debian package, where the host has no static busybox'
mkdir "$T/apt"
if env --chdir="$T/apt" apt-get -qq -o APT::Sandbox::User=root download busybox-static >"$T/apt.log" 2>&1; then
    check "$row" from_package
else
    skip "$row" "apt-get: $(tail -n 1 "$T/apt.log")"
fi

done_testing
