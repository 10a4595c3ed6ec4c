#!/bin/bash
# rootfs/update: what moves the pin, and what must not. Prints TAP. See lib.bash for the packages it needs.
# shellcheck disable=SC2317   # check calls the functions
tests=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$tests/lib.bash"
update=$checkout/rootfs/update
other=aarch64
[[ $host != aarch64 ]] || other=x86_64

mini "$T/mini" 3.20.4
new=$T/new/alpine-minirootfs-3.20.4-$host.tar.gz
mkdir "$T/new" "$T/conf" "$T/tmp"
pack "$T/mini" "$new"
export TMPDIR=$T/tmp BIVY_ROOTFS_CONF=$T/conf/alpine.conf BIVY_CACHE_DIR=$T/cache
cp "$checkout/rootfs/alpine.conf" "$T/original.conf"
sum_of() { sha512sum <"$1" | cut -c -128; }
sum=$(sum_of "$new")
fresh() {
    sed 's/^VERSION=.*/VERSION=3.20.3/' "$T/original.conf" >"$BIVY_ROOTFS_CONF"
    rm -f "$new.sha512" "$T/new/SHA512SUMS"
}
tidy() { [[ $(ls -A "$T/conf") == alpine.conf && -z $(ls -A "$T/tmp") ]] || { ls -lA "$T/conf" "$T/tmp"; return 1; }; }
# stays PATTERN ARGUMENT...: refused with PATTERN, the definition not touched.
stays() {
    local pattern=$1 before
    shift
    before=$(stat -c '%i %Z' "$BIVY_ROOTFS_CONF"; sha256sum <"$BIVY_ROOTFS_CONF")
    refuses "$pattern" "$update" "$@"
    [[ $(stat -c '%i %Z' "$BIVY_ROOTFS_CONF"; sha256sum <"$BIVY_ROOTFS_CONF") == "$before" ]] ||
        { echo 'pin touched'; return 1; }
    tidy
}

moves() {
    fresh
    echo "$sum  alpine-minirootfs-3.20.4-$host.tar.gz" >"$new.sha512"
    "$update" 3.20.4 --tarball "$new"
    grep -qx 'VERSION=3.20.4' "$BIVY_ROOTFS_CONF"
    grep -qx "SHA512_$host=$sum" "$BIVY_ROOTFS_CONF"
    grep -qx "SHA512_$other=" "$BIVY_ROOTFS_CONF"
    # All else, comments too, is as it was.
    diff <(grep -Ev '^(VERSION|SHA512_)' "$T/original.conf") <(grep -Ev '^(VERSION|SHA512_)' "$BIVY_ROOTFS_CONF")
    [[ $(stat -c %a "$BIVY_ROOTFS_CONF") == 644 ]]
    tidy
    "$checkout/rootfs/build" --tarball "$new" --output "$T/out/rootfs"
    grep -qx 'version=3.20.4' "$T/out/rootfs/etc/bivy-rootfs"
    refuses "no SHA-512 is pinned for $other.*rootfs/update" \
        "$checkout/rootfs/build" --arch "$other" --output "$T/out/other"
}
sums_file() {
    fresh
    printf '%s\n' "${sum//?/0}  unrelated.tar.gz" "$sum *alpine-minirootfs-3.20.4-$host.tar.gz" >"$T/new/SHA512SUMS"
    "$update" 3.20.4 --tarball "$new"
    grep -qx "SHA512_$host=$sum" "$BIVY_ROOTFS_CONF"
    fresh
    "$update" 3.20.4 --tarball "$new" --sha512 "${sum^^}"
    grep -qx "SHA512_$host=$sum" "$BIVY_ROOTFS_CONF"
}
wrong_checksum() {
    fresh
    echo "${sum//?/0}  alpine-minirootfs-3.20.4-$host.tar.gz" >"$new.sha512"
    stays 'wrong checksum' 3.20.4 --tarball "$new"
    fresh
    stays 'wrong checksum' 3.20.4 --tarball "$new" --sha512 "${sum//?/0}"
}
no_checksum() {
    fresh
    stays 'published SHA-512' 3.20.4 --tarball "$new"
    # A checksum of something else is none for this tarball.
    echo "$sum  alpine-minirootfs-3.20.4-riscv64.tar.gz" >"$new.sha512"
    stays 'published SHA-512' 3.20.4 --tarball "$new"
}
truncated() {
    fresh
    head -c 5000 "$new" >"$T/new/short.tar.gz"
    stays 'wrong checksum' 3.20.4 --tarball "$T/new/short.tar.gz" --sha512 "$sum"
    stays 'cannot read it|refused' 3.20.4 --tarball "$T/new/short.tar.gz" --sha512 "$(sum_of "$T/new/short.tar.gz")"
}
not_what_it_says() {
    fresh
    stays 'wrong release' 3.20.5 --tarball "$new" --sha512 "$sum"
    cp -r "$T/mini" "$T/machine"
    printf '\363\000' | dd of="$T/machine/bin/busybox" bs=1 seek=18 conv=notrunc status=none
    pack "$T/machine" "$T/machine.tar.gz"
    stays 'is not one of' 3.20.4 --tarball "$T/machine.tar.gz" --sha512 "$(sum_of "$T/machine.tar.gz")"
}
downgrade() {
    fresh
    sed -i 's/^VERSION=.*/VERSION=3.20.10/' "$BIVY_ROOTFS_CONF"
    stays 'older than the pinned 3.20.10' 3.20.4 --tarball "$new" --sha512 "$sum"
    "$update" 3.20.4 --allow-downgrade --tarball "$new" --sha512 "$sum"
    grep -qx 'VERSION=3.20.4' "$BIVY_ROOTFS_CONF"
}
same_version() {
    fresh
    sed -i 's/^VERSION=.*/VERSION=3.20.4/' "$BIVY_ROOTFS_CONF"
    # Pinned already, to something else.
    stays 'already pinned' 3.20.4 --tarball "$new" --sha512 "$sum"
    # A missing pin is filled in, the other one kept.
    sed -i "s/^SHA512_$host=.*/SHA512_$host=/" "$BIVY_ROOTFS_CONF"
    "$update" 3.20.4 --tarball "$new" --sha512 "$sum"
    grep -qx "SHA512_$host=$sum" "$BIVY_ROOTFS_CONF"
    [[ $(grep "^SHA512_$other" "$BIVY_ROOTFS_CONF") == $(grep "^SHA512_$other" "$T/original.conf") ]]
}
# A mirror on disk with both architectures.
site() {
    local arch file
    for arch in x86_64 aarch64; do
        rm -rf "$T/tree"
        cp -r "$T/mini" "$T/tree"
        echo "$arch" >"$T/tree/etc/apk/arch"
        if [[ $arch == aarch64 ]]; then printf '\267\000'; else printf '\076\000'; fi |
            dd of="$T/tree/bin/busybox" bs=1 seek=18 conv=notrunc status=none
        mkdir -p "$T/site/v3.20/releases/$arch"
        file=alpine-minirootfs-3.20.4-$arch.tar.gz
        pack "$T/tree" "$T/site/v3.20/releases/$arch/$file"
        (cd "$T/site/v3.20/releases/$arch" && sha512sum "$file" >"$file.sha512")
    done
}
from_mirror() {
    local arch
    fresh
    site
    BIVY_ALPINE_MIRROR=file://$T/site "$update" 3.20.4
    for arch in x86_64 aarch64; do
        grep -qx "SHA512_$arch=$(cut -c -128 "$T/site/v3.20/releases/$arch"/*.sha512)" "$BIVY_ROOTFS_CONF"
    done
    tidy
    # The download is in the cache for the build that follows.
    BIVY_ALPINE_DIR=$T/none BIVY_ALPINE_MIRROR=http://127.0.0.1:1 "$checkout/rootfs/build" --output "$T/mirrored/rootfs"
    [[ $(ls "$T/mirrored/rootfs/etc/alpine-release") ]]
}
half_a_mirror() {
    fresh
    site
    export BIVY_ALPINE_MIRROR=file://$T/site
    # The second architecture's checksum is wrong: neither is moved.
    sed -i "s/^[0-9a-f]*/${sum//?/0}/" "$T/site/v3.20/releases/aarch64"/*.sha512
    stays 'wrong checksum' 3.20.4
    rm "$T/site/v3.20/releases/aarch64"/*.sha512
    stays 'sha512: no such file' 3.20.4
}
no_network() {
    fresh
    BIVY_ALPINE_MIRROR=http://127.0.0.1:1 stays 'Without a network use --tarball' 3.20.4
    BIVY_ALPINE_MIRROR=http://mirror.example stays 'not taken over plain http' 3.20.4
}
usage() {
    local status argument
    fresh
    "$update" --help | grep -q -- --allow-downgrade
    for argument in '' 3.20 latest 3.20.4.1 ../3.20.4 --colour; do
        status=0
        # shellcheck disable=SC2086   # the empty one is no argument at all
        "$update" $argument 2>/dev/null || status=$?
        [[ $status -eq 2 ]] || { echo "\"$argument\": status $status"; return 1; }
    done
}
read_only() {
    fresh
    chmod 0555 "$T/conf"
    chown -R "$nobody" "$T/conf" "$T/tmp" "$T/new"
    cp -r "$checkout/rootfs" "$T/scripts"
    local before status=0
    before=$(sha256sum <"$BIVY_ROOTFS_CONF")
    setpriv --reuid "$nobody" --regid "$nobody" --clear-groups "$T/scripts/update" 3.20.4 --tarball "$new" \
        --sha512 "$sum" || status=$?
    chmod 0755 "$T/conf"
    chown -R 0 "$T/conf" "$T/tmp" "$T/new"
    [[ $status -eq 1 && $(sha256sum <"$BIVY_ROOTFS_CONF") == "$before" ]]
    tidy
}

check 'the pin moves to a verified newer tarball, and build uses it' moves
check 'the checksum is taken from SHA512SUMS and from --sha512' sums_file
check 'a wrong checksum leaves the pin' wrong_checksum
check 'no published checksum leaves the pin' no_checksum
check 'a truncated tarball leaves the pin' truncated
check 'another release or architecture inside leaves the pin' not_what_it_says
check 'an older release is refused without --allow-downgrade' downgrade
check 'the same release: a missing pin is filled, another checksum refused' same_version
check 'both architectures from a mirror, kept in the cache' from_mirror
check 'one bad architecture leaves both pins' half_a_mirror
check 'no network, or an open line, leaves the pin' no_network
check 'help, and wrong usage with status 2' usage
if [[ $EUID -eq 0 ]]; then
    check 'a folder that cannot be written leaves the pin and no file' read_only
else
    skip 'a folder that cannot be written leaves the pin and no file' 'setpriv needs root'
fi
done_testing
