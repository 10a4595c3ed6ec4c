#!/bin/bash
# Extra packages: Alpine's own apk installs a signed package from a repository that lies inside the tarball, so no
# network is needed. Prints TAP. Needs the real Alpine tarball of this architecture, and Debian's openssl; see
# lib.bash for the rest.
# shellcheck disable=SC2317   # check calls the functions
tests=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$tests/lib.bash"
cp -r "$checkout/rootfs" "$T/scripts"
build=$T/scripts/build
version=$(sed -n 's/^VERSION=//p' "$checkout/rootfs/alpine.conf")
as_user=(setpriv --reuid "$nobody" --regid "$nobody" --clear-groups env "HOME=$T/u")

names=('a package is installed as root' 'a package is installed as an ordinary user'
    'an unknown package is refused and named' 'without a network the package is named and the old rootfs stays'
    'a package of an untrusted index is refused' 'another package list is another rootfs'
    'SIGTERM and SIGKILL during apk end apk too')
skip_all() {
    for name in "${names[@]}"; do skip "$name" "$1"; done
    done_testing
}
alpine=$("$checkout/rootfs/build" --locate 2>"$T/locate.log") ||
    skip_all "no Alpine tarball: $(tail -n 1 "$T/locate.log")"
command -v openssl >/dev/null || skip_all 'openssl is not installed'
[[ $EUID -eq 0 ]] || skip_all 'making the repository needs root (chroot)'

# One package: a program, a file of another owner, and a script that runs after it is installed.
make_repository() {
    local tree=$T/tree repository=$T/tree/repo/$host
    mkdir -p "$tree" "$repository" "$T/package/usr/bin" "$T/package/srv" "$T/control"
    tar -C "$tree" -xzf "$alpine"
    printf '#!/bin/sh\necho hello from a package\n' >"$T/package/usr/bin/greet"
    chmod 4755 "$T/package/usr/bin/greet"
    echo data >"$T/package/srv/greet.data"
    chown 33:33 "$T/package/srv/greet.data"
    # apk wants the checksum of each file in a pax header before it, which GNU tar cannot be told to write.
    tar -C "$T/package" --numeric-owner --no-recursion -cf "$T/data.tar" usr usr/bin srv
    cut_end "$T/data.tar"
    local file
    for file in usr/bin/greet srv/greet.data; do
        pax_header "APK-TOOLS.checksum.SHA1=$(sha1sum <"$T/package/$file" | cut -c -40)" >>"$T/data.tar"
        tar -C "$T/package" --numeric-owner -cf "$T/member.tar" "$file"
        cut_end "$T/member.tar"
        cat "$T/member.tar" >>"$T/data.tar"
    done
    head -c 1024 /dev/zero >>"$T/data.tar"
    gzip -n "$T/data.tar"
    cat >"$T/control/.PKGINFO" <<END
pkgname = greet
pkgver = 1.0-r0
pkgdesc = test package
arch = $host
size = 100
license = none
datahash = $(sha256sum <"$T/data.tar.gz" | cut -c -64)
END
    # shellcheck disable=SC2016   # for the package's shell
    printf '#!/bin/sh\nset -e\ntest -c /dev/null\necho "$(id -u) $$" >/etc/greet.installed\n' \
        >"$T/control/.post-install"
    chmod 0755 "$T/control/.post-install"
    # The control part is followed by the data part in the same tar stream, hence no end marker.
    tar -C "$T/control" --owner=0 --group=0 -cf "$T/control.tar" .PKGINFO .post-install
    cut_end "$T/control.tar"
    gzip -n "$T/control.tar"
    cat "$T/control.tar.gz" "$T/data.tar.gz" >"$repository/greet-1.0-r0.apk"
    chroot "$tree" /sbin/apk index --allow-untrusted --rewrite-arch "$host" -o "/repo/$host/index.tar.gz" \
        "/repo/$host/greet-1.0-r0.apk"
    openssl genrsa -out "$T/key" 2048
    openssl rsa -in "$T/key" -pubout -out "$tree/etc/apk/keys/test@bivy.rsa.pub"
    openssl dgst -sha1 -sign "$T/key" -out "$T/.SIGN.RSA.test@bivy.rsa.pub" "$repository/index.tar.gz"
    tar -C "$T" --owner=0 --group=0 -cf "$T/signature.tar" .SIGN.RSA.test@bivy.rsa.pub
    cut_end "$T/signature.tar"
    gzip -n "$T/signature.tar"
    cat "$T/signature.tar.gz" "$repository/index.tar.gz" >"$repository/APKINDEX.tar.gz"
    rm "$repository/index.tar.gz"
    echo /repo >"$tree/etc/apk/repositories"
    pack "$tree" "$T/with.tar.gz"
    define "$T/with.conf" "$version" "$T/with.tar.gz"
    rm "$tree/etc/apk/keys/test@bivy.rsa.pub"
    pack "$tree" "$T/untrusted.tar.gz"
    define "$T/untrusted.conf" "$version" "$T/untrusted.tar.gz"
    echo 'http://127.0.0.1:1/alpine' >"$tree/etc/apk/repositories"
    pack "$tree" "$T/offline.tar.gz"
    define "$T/offline.conf" "$version" "$T/offline.tar.gz"
}
# pax_header KEY=VALUE: the two blocks of an extended header, see pax(1). The record begins with its own length.
pax_header() {
    # shellcheck disable=SC2016   # perl
    perl -e 'my $record = length($ARGV[0]) + 2; $record += length($record + length $record);
        my $text = "$record $ARGV[0]\n";
        my $head = pack "a100 a8 a8 a8 a12 a12 a8 a1 a100 a6 a2 x247", "pax", "0000644", "0000000", "0000000",
            sprintf("%011o", length $text), "00000000000", " " x 8, "x", "", "ustar\0", "00";
        substr($head, 148, 8) = sprintf "%06o\0 ", unpack "%32C*", $head;
        print $head, $text, "\0" x (-length($text) % 512)' "$1"
}
# cut_end TAR: without its end marker and padding, all of which is NUL.
cut_end() {
    perl -0777 -e 'open my $f, "<", $ARGV[0] or die; my $t = <$f>; $t =~ s/\0+\z//; $t .= "\0" x (-length($t) % 512);
        open $f, ">", $ARGV[0] or die; print $f $t; close $f or die' "$1"
}
(set -e; make_repository) >"$T/make.log" 2>&1
# The status is looked at afterwards: inside a condition set -e would be ignored.
# shellcheck disable=SC2181
if [[ $? -ne 0 ]]; then
    sed 's/^/# /' "$T/make.log"
    echo 'Bail out! no test repository'
    exit 1
fi

has_greet() {
    local dir=$1 owner=$2
    [[ $(chroot "$dir" /usr/bin/greet) == 'hello from a package' ]]
    [[ $(stat -c '%a %u' "$dir/usr/bin/greet") == "755 $owner" ]]
    [[ $(stat -c %u "$dir/srv/greet.data") == "$owner" ]]
    # The script ran, as the root of the tree, and what it needed in /dev is gone.
    grep -Eqx '0 [0-9]+' "$dir/etc/greet.installed"
    [[ -z $(ls -A "$dir/dev") && $(cat "$dir/etc/resolv.conf") == 'options timeout:1 attempts:1' ]]
    grep -qx 'packages=greet' "$dir/etc/bivy-rootfs"
    grep -q '^sandbox:x:1000:1000:' "$dir/etc/passwd"
    alone "$dir"
}
as_root() {
    BIVY_ROOTFS_CONF=$T/with.conf "$build" --packages greet --tarball "$T/with.tar.gz" --output "$T/r/rootfs"
    has_greet "$T/r/rootfs" 0
    [[ $(grep -c "$T" /proc/self/mountinfo) == 0 ]]
}
as_ordinary() {
    mkdir "$T/u"
    chown "$nobody:$nobody" "$T/u"
    BIVY_ROOTFS_CONF=$T/with.conf "${as_user[@]}" "$build" --packages greet --tarball "$T/with.tar.gz" \
        --output "$T/u/rootfs"
    has_greet "$T/u/rootfs" "$nobody"
}
# stays PATTERN CONF PACKAGES: refused, the old rootfs untouched.
stays() {
    local before
    before=$(identity "$T/r/rootfs")
    BIVY_ROOTFS_CONF=$T/$2.conf refuses "$1" "$build" --packages "$3" --tarball "$T/$2.tar.gz" --output "$T/r/rootfs"
    [[ $(identity "$T/r/rootfs") == "$before" ]]
    alone "$T/r/rootfs"
}
unknown() {
    stays 'packages "greet nosuch" could not be installed' with 'greet nosuch'
    grep -q 'nosuch (no such package)' "$T/refusal"
}
offline() { stays 'packages "greet" could not be installed. Without a network leave them out' offline greet; }
untrusted() { stays 'packages "greet" could not be installed' untrusted greet; }
another_list() {
    BIVY_ROOTFS_CONF=$T/with.conf "$build" --packages greet --tarball "$T/with.tar.gz" --output "$T/r/rootfs" |
        grep 'up to date'
    BIVY_ROOTFS_CONF=$T/with.conf "$build" --tarball "$T/with.tar.gz" --output "$T/r/rootfs"
    [[ ! -e $T/r/rootfs/usr/bin/greet ]]
    sed 's/^PACKAGES=.*/PACKAGES=greet/' "$T/with.conf" >"$T/listed.conf"
    BIVY_ROOTFS_CONF=$T/listed.conf "$build" --tarball "$T/with.tar.gz" --output "$T/r/rootfs"
    has_greet "$T/r/rootfs" 0
}
# A repository that accepts and never answers holds apk for as long as the test wants.
interrupted() {
    local port signal builder status
    # shellcheck disable=SC2016   # perl
    perl -MSocket -e '$| = 1; socket my $s, PF_INET, SOCK_STREAM, 0 or die;
        bind $s, sockaddr_in(0, INADDR_LOOPBACK) or die;
        listen $s, 9 or die; print +(sockaddr_in(getsockname $s))[0], "\n"; alarm 60;
        while (accept(my $c, $s)) { push @held, $c }' >"$T/port" &
    helpers+=($!)
    silent=$!
    until_true 10 test -s "$T/port"
    port=$(cat "$T/port")
    echo "http://127.0.0.1:$port/alpine" >"$T/tree/etc/apk/repositories"
    pack "$T/tree" "$T/silent.tar.gz"
    define "$T/silent.conf" "$version" "$T/silent.tar.gz"
    for signal in TERM KILL; do
        BIVY_ROOTFS_CONF=$T/silent.conf "$build" --packages "greet marker$$" --tarball "$T/silent.tar.gz" \
            --output "$T/i/rootfs" &
        builder=$!
        until_true 20 apk_runs
        status=0
        kill "-$signal" "$builder"
        wait "$builder" || status=$?
        [[ $status -eq 143 || $signal == KILL && $status -eq 137 ]]
        until_true 5 no_apk
        [[ $signal != TERM ]] || [[ -z $(ls -A "$T/i") ]]
    done
    kill "$silent"
    # What SIGKILL left goes with the next build.
    BIVY_ROOTFS_CONF=$T/with.conf "$build" --tarball "$T/with.tar.gz" --output "$T/i/rootfs"
    alone "$T/i/rootfs"
}
# The marker is an argument of its own for apk and its keepers only; in brackets so that grep does not find itself.
marked() { grep -lsazx "[m]arker$$" /proc/[0-9]*/cmdline; }
apk_runs() {
    local file
    for file in $(marked); do
        [[ $(tr '\0' ' ' 2>/dev/null <"$file") != '/sbin/apk add '* ]] || return 0
    done
    return 1
}
no_apk() { [[ -z $(marked) ]]; }
check "${names[0]}" as_root
if "${as_user[@]}" unshare --map-root-user true 2>"$T/unshare.log"; then
    check "${names[1]}" as_ordinary
else
    skip "${names[1]}" "no user namespaces for ordinary users: $(tail -n 1 "$T/unshare.log")"
fi
check "${names[2]}" unknown
check "${names[3]}" offline
check "${names[4]}" untrusted
check "${names[5]}" another_list
check "${names[6]}" interrupted
done_testing
