#!/usr/bin/env bash
# What an installation has: `meson install`, and the release's program and Debian package, made twice, installed into a throw-away root,
# run, removed. Nothing of this machine is changed. TAP on stdout. Environment: BIVY_BUILD (a static build), BIVY_ROOTFS.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
bail() { printf 'Bail out! %s\n' "$*"; exit 1; }
[[ -e ${BIVY_BUILD:-}/build.ninja ]] || bail "BIVY_BUILD=${BIVY_BUILD:-}: no meson build; run this with meson test"
[[ -d ${BIVY_ROOTFS:-} ]] || bail "BIVY_ROOTFS=${BIVY_ROOTFS:-}: not a directory; make it with rootfs/build --output"
if ((EUID != 0)); then
    echo '1..0 # SKIP not root: dpkg installs as root only'
    exit 0
fi
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C.UTF-8
dir=$(realpath -- "$(mktemp -d)")
trap 'rm -rf -- "$dir"' EXIT
chmod 755 "$dir"

count=0
# point NAME STATUS TEXT
point() {
    count=$((count + 1))
    if (($2 == 0)); then
        printf 'ok %d - %s\n' "$count" "$1"
    else
        printf 'not ok %d - %s\n#   %s\n' "$count" "$1" "${3//$'\n'/$'\n#   '}"
    fi
}
# check NAME COMMAND...: it must succeed.
check() {
    local name=$1 said status=0
    shift
    said=$("$@" 2>&1) || status=$?
    point "$name" "$status" "$said"
}

# ---- meson install ----

# An install prefix is the build's own; the default is /usr/local.
check 'meson install' meson install -C "$BIVY_BUILD" --no-rebuild --destdir "$dir/staged"
prefix=$(cd "$dir/staged" && find . -path '*/bin/bivy' -printf '%h\n')
prefix=$dir/staged/${prefix%/bin}
said=$(diff -- "$checkout/tests/install/files" <(find "$prefix" ! -type d -printf '%P\n' | sort)) && status=0 || status=$?
point 'what it installs is what tests/install/files lists' "$status" "$said"
said=$(find "$prefix" -xtype l)
point 'no link leads nowhere' "$([[ -z $said ]]; echo $?)" "$said"
# dangling TREE: each link of its documents, by Markdown, to a file that is not there.
dangling() {
    local text target
    while IFS= read -r text; do
        while IFS= read -r target; do
            [[ -e ${text%/*}/$target ]] || printf '%s: %s\n' "$text" "$target"
        done < <(grep -oE '\]\([^)#: ]+' -- "$text" | cut -c 3-)
    done < <(find "$1" -name '*.md')
}
said=$(dangling "$prefix/share/doc")
point 'the documents speak of nothing that is not installed' "$([[ -z $said && -n $(find "$prefix/share/doc" -name '*.md') ]]; echo $?)" "$said"
for shell in bash:bash-completion/completions/bivy zsh:zsh/site-functions/_bivy fish:fish/vendor_completions.d/bivy.fish; do
    check "the completions of ${shell%%:*} are the installed program's" \
        cmp "$prefix/share/${shell#*:}" <("$prefix/bin/bivy" help --completion="${shell%%:*}")
done

# ---- the release, twice ----

check 'scripts/release' "$checkout/scripts/release" --build "$BIVY_BUILD" --output "$dir/one"
check 'and again' "$checkout/scripts/release" --build "$BIVY_BUILD" --output "$dir/two"
check 'the same bytes both times' diff -r "$dir/one" "$dir/two"
check 'the checksums are right' env -C "$dir/one" sha256sum --check --strict SHA256SUMS
program=$(find "$dir/one" -name 'bivy-*')
package=$(find "$dir/one" -name '*.deb')
said=$(file -b "$program" 2>/dev/null || readelf --wide --dynamic --sections "$program")
point 'the program is static and stripped' "$(! readelf -d "$program" | grep -q NEEDED && ! readelf -SW "$program" | grep -qF .symtab; echo $?)" "$said"
check 'it runs a command' "$program" run -- sh -c 'id | grep -q uid=1000'

# ---- the package ----

said=$(dpkg-deb -c "$package" | awk '$2 != "root/root" || $1 ~ /[sStT]/ || $1 ~ /^[^l]....w|^[^l].......w/ || $6 !~ /^\.\/(usr\/.*)?$/')
point 'everything is of root, in /usr, and nobody else may write it' "$([[ -z $said ]]; echo $?)" "$said"
root=$dir/root
mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info"
: >"$root/var/lib/dpkg/status"
check 'dpkg installs it' dpkg --root="$root" --log="$dir/log" --install "$package"
check 'the files are those of its checksums' test -z "$(dpkg --root="$root" --verify bivy 2>&1)"
check 'its version is the program'\''s' test "bivy $(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Version}' bivy)" = \
    "$("$root/usr/bin/bivy" version)"
check 'the installed program runs a command' "$root/usr/bin/bivy" run -- grep -q sandbox /etc/passwd
check 'its rootfs tools work from there' "$root/usr/share/bivy/rootfs/build" --help
check 'so does the installer of the units' "$root/usr/share/bivy/systemd/install" --root "$dir/units"
check 'the manual is compressed, and has a name' grep -q 'throw-away' <(zcat "$root/usr/share/man/man1/bivy.1.gz")
check 'the notices of what is linked in are there' test -s "$root/usr/share/doc/bivy/copyright.libcap2" -a \
    -s "$root/usr/share/doc/bivy/copyright.musl"
# Of another version, with a file that this one has not: as an upgrade finds it, and a way back.
mkdir "$dir/other"
dpkg-deb --raw-extract "$package" "$dir/other"
sed -i 's/^Version: .*/Version: 999.1/' "$dir/other/DEBIAN/control"
echo old >"$dir/other/usr/share/bivy/gone-later"
dpkg-deb --root-owner-group --build "$dir/other" "$dir/other.deb" >"$dir/log.build"
dpkg_here() { dpkg --root="$root" --log="$dir/log" --force-downgrade "$@"; }
check 'an upgrade' dpkg_here --install "$dir/other.deb"
check 'has what the new version has' test -e "$root/usr/share/bivy/gone-later"
check 'another' dpkg_here --install "$package"
point 'takes away what the new version has no more' "$([[ ! -e $root/usr/share/bivy/gone-later ]]; echo $?)" "$(find "$root/usr/share/bivy")"
check 'and it is whole' test -z "$(dpkg --root="$root" --verify bivy 2>&1)" -a -x "$root/usr/bin/bivy"
for how in remove purge; do
    dpkg-query --admindir="$root/var/lib/dpkg" -W bivy >/dev/null 2>&1 || dpkg_here --install "$package" >"$dir/log.build"
    check "dpkg takes it away: --$how" dpkg_here "--$how" bivy
    said=$(find "$root" -path "$root/var/lib/dpkg" -prune -o ! -type d -print)
    point 'and nothing is left' "$([[ -z $said && ! -e $root/usr ]]; echo $?)" "$said$(find "$root/usr" 2>/dev/null | head)"
done

# ---- what must not be packaged ----

mkdir "$dir/fake" "$dir/bin"
: >"$dir/fake/build.ninja"
cat >"$dir/bin/meson" <<'SCRIPT'
#!/bin/sh
for word; do last=$word; done
mkdir -p "$last/usr/bin" "$last/usr/share/zsh/site-functions" && cp /bin/ls "$last/usr/bin/bivy"
SCRIPT
chmod 755 "$dir/bin/meson"
said=$(PATH=$dir/bin:$PATH "$checkout/packaging/deb" --build "$dir/fake" --output "$dir/three" 2>&1) && status=0 || status=$?
point 'a program that needs libraries is refused' "$([[ $status == 1 && $said == *'not static'* && ! -e $dir/three ]]; echo $?)" "$status: $said"
for words in '--build' "--build $dir/none --output $dir/three" "--output $dir/three" '--bild x' "--build x --output y --notice a/b=/etc/passwd"; do
    # shellcheck disable=SC2086
    said=$("$checkout/packaging/deb" $words 2>&1) && status=0 || status=$?
    point "packaging/deb ${words//$dir/DIR}: refused" "$([[ $status != 0 && -n $said ]]; echo $?)" "$status: $said"
done
echo "1..$count"
