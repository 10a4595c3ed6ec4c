# shellcheck shell=bash
# What rootfs/build and rootfs/update share: messages, the definition, fetching, verifying, unpacking. Sourced by both
# after they have set `here` (this directory, absolute). Functions that give a value set REPLY, because a die in a
# $(subshell) would not end the script.
# shellcheck disable=SC2154   # here and self come from the script

umask 022
export LC_ALL=C
# Ordinary users often lack the sbin directories; settings meant for a person's own tar must not change what is
# unpacked.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
unset TAR_OPTIONS GZIP POSIXLY_CORRECT CDPATH

machines=(x86_64 aarch64)
said=           # non-empty once the reason of a failure has been told
child=          # the long-running command a signal must end
failed_at=

say() { printf '%s: %s\n' "$self" "$*"; }
warn() { printf '%s: %s\n' "$self" "$*" >&2; }
die() { said=1; warn "error: $*"; exit 1; }
misuse() { said=1; warn "error: $*; see $self --help"; exit 2; }

# Runs a command that may take long, so that a signal to this script is acted on at once and not after it.
run() {
    local rc=0
    "$@" &
    child=$!
    wait "$child" || rc=$?
    child=
    return "$rc"
}

# on_exit calls the script's own clean_up whatever ends it; SIGKILL is left to the next run's sweep.
on_exit() {
    local rc=$?
    trap '' INT TERM HUP EXIT
    set +e
    trap - ERR
    if [[ -n $child ]]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child" 2>/dev/null
    fi
    [[ $rc -eq 0 || -n $said ]] || warn "error: stopped at $failed_at (status $rc)"
    clean_up "$rc"
    exit "$rc"
}
set -E
trap 'failed_at="line $LINENO: $BASH_COMMAND"' ERR
trap on_exit EXIT
trap 'failed_at="SIGINT"; exit 130' INT
trap 'failed_at="SIGTERM"; exit 143' TERM
trap 'failed_at="SIGHUP"; exit 129' HUP

# read_definition FILE: fills the associative array `definition`, every value checked. The file is data, never run.
declare -A definition
read_definition() {
    local file=$1 line number=0 key value
    local -A form=(
        [VERSION]='[0-9]+\.[0-9]+\.[0-9]+'
        [SHA512_x86_64]='([0-9a-f]{128})?'
        [SHA512_aarch64]='([0-9a-f]{128})?'
        [MIRROR]='(https?|file)://[A-Za-z0-9./:_~%-]+'
        [PACKAGES]='[^/]*'
        [USER_NAME]='[a-z_][a-z0-9_-]{0,30}'
        [USER_ID]='[1-9][0-9]{0,8}'
        [GROUP_NAME]='[a-z_][a-z0-9_-]{0,30}'
        [GROUP_ID]='[1-9][0-9]{0,8}'
        [HOME_DIR]='(/[a-z0-9_-]+)+'
        [HOST_NAME]='[a-z][a-z0-9-]{0,62}'
        [MOUNT_POINTS]='(/[a-z0-9_/-]+:[01]?[0-7]{3} ?)+'
    )
    [[ -f $file && -r $file ]] || die "$file: no such readable file; it is the definition of the rootfs"
    definition=()
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        [[ -z $line || $line == '#'* ]] && continue
        [[ $line =~ ^([A-Za-z0-9_]+)=(.*)$ ]] || die "$file:$number: not KEY=value: \"$line\""
        key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        [[ -v form[$key] ]] || die "$file:$number: unknown key $key; known are: ${!form[*]}"
        [[ -v definition[$key] ]] && die "$file:$number: $key is given twice"
        [[ $value =~ ^(${form[$key]})$ ]] || die "$file:$number: $key: \"$value\" is not of the form ${form[$key]}"
        definition[$key]=$value
    done <"$file"
    for key in "${!form[@]}"; do
        [[ -v definition[$key] ]] || die "$file: $key is missing"
    done
    local point other
    for point in ${definition[MOUNT_POINTS]}; do
        for other in ${definition[MOUNT_POINTS]}; do
            [[ ${other%:*} != "${point%:*}"/* ]] || die "$file: MOUNT_POINTS: ${other%:*} lies inside ${point%:*}"
        done
    done
    [[ " ${definition[MOUNT_POINTS]}" == *" ${definition[HOME_DIR]}:"* ]] ||
        die "$file: HOME_DIR ${definition[HOME_DIR]} is not among MOUNT_POINTS, so nothing could be mounted on it"
}

# sha512 FILE: REPLY is its SHA-512 in hex.
sha512() {
    REPLY=$(sha512sum <"$1") || die "$1: cannot be read"
    REPLY=${REPLY%% *}
}

# cache_directory: REPLY is where verified downloads are kept, empty if there is no place for them.
cache_directory() {
    if [[ -n ${BIVY_CACHE_DIR:-} ]]; then
        REPLY=$BIVY_CACHE_DIR
    elif [[ $EUID -eq 0 ]]; then
        REPLY=/var/cache/bivy
    elif [[ -n ${XDG_CACHE_HOME:-} ]]; then
        REPLY=$XDG_CACHE_HOME/bivy
    else
        REPLY=${HOME:+$HOME/.cache/bivy}
    fi
}

# release_url VERSION ARCH: REPLY is the address of the tarball.
release_url() {
    REPLY="${BIVY_ALPINE_MIRROR:-${definition[MIRROR]}}/v${1%.*}/releases/$2/alpine-minirootfs-$1-$2.tar.gz"
}

# fetch URL FILE: downloads; 0, or 1 with the reason in REPLY. Gives up after 10 s without a connection, so that a
# host with no way out is not kept waiting.
fetch() {
    local url=$1 file=$2
    REPLY=
    case $url in
    file:///*)
        cp -- "${url#file://}" "$file" 2>/dev/null || REPLY='no such file'
        ;;
    https://* | http://*)
        if command -v curl >/dev/null; then
            run curl --fail --silent --show-error --location --proto '=https,http' --connect-timeout 10 --max-time 300 \
                --speed-limit 1000 --speed-time 20 --output "$file" -- "$url" 2>"$file.error" ||
                REPLY=$(head -n 1 -- "$file.error")
        elif command -v wget >/dev/null; then
            run wget --no-verbose --tries=1 --timeout=10 --output-document="$file" -- "$url" 2>"$file.error" ||
                REPLY=$(tail -n 1 -- "$file.error")
        else
            REPLY='neither curl nor wget is installed'
        fi
        ;;
    *)
        REPLY="not an https, http or file address"
        ;;
    esac
    rm -f -- "$file.error"
    [[ -z $REPLY && -s $file ]] && return 0
    REPLY=${REPLY:-nothing came}
    rm -f -- "$file"
    return 1
}

# keep FILE NAME: puts a verified download into the cache; without a usable cache it is only downloaded again next time.
keep() {
    local temporary
    cache_directory
    [[ -n $REPLY ]] || return 0
    { mkdir -p -- "$REPLY" && temporary=$(mktemp -- "$REPLY/.download.XXXXXX"); } 2>/dev/null || {
        warn "note: $REPLY: cannot be written, the download is not kept"
        return 0
    }
    if cp -- "$1" "$temporary" && chmod 0644 -- "$temporary" && mv -T -- "$temporary" "$REPLY/$2"; then
        return 0
    fi
    rm -f -- "$temporary"
    warn "note: $REPLY/$2: cannot be written, the download is not kept"
}

# unpack TARBALL TREE SCRATCH: TREE must be empty. The listing is judged before the first file is written, so neither
# a name nor a link can lead out of TREE. Owners in the archive are ignored: everything belongs to whoever builds,
# root:root as root.
unpack() {
    local tarball=$1 tree=$2 scratch=$3 reason
    run tar --list --gzip --absolute-names --quoting-style=escape --file="$tarball" >"$scratch/names" ||
        die "$tarball: tar cannot read it; it is truncated or not a gzipped tar archive"
    run tar --list --verbose --numeric-owner --gzip --absolute-names --quoting-style=escape --file="$tarball" \
        >"$scratch/verbose" || die "$tarball: tar cannot read it"
    reason=$(perl "$here/tree.pl" listing "$scratch/names" "$scratch/verbose" 2>&1) ||
        die "$tarball: refused, nothing was unpacked: $reason"
    run tar --extract --gzip --no-same-owner --preserve-permissions --file="$tarball" --directory="$tree" ||
        die "$tarball: could not be unpacked into $tree; is the disk full?"
}

# identify TREE: sets machine, linkage, release, apk_arch from the files of an unpacked tree.
identify() {
    local line facts
    machine='' linkage='' release='' apk_arch=''
    facts=$(perl "$here/tree.pl" identify "$1") || die "$1: cannot be looked into"
    while IFS= read -r line; do
        case $line in
        machine=*) machine=${line#*=} ;;
        linkage=*) linkage=${line#*=} ;;
        release=*) release=${line#*=} ;;
        apk_arch=*) apk_arch=${line#*=} ;;
        esac
    done <<<"$facts"
}

# must_be TARBALL VERSION ARCH: after identify; dies unless the tree is what its name says.
must_be() {
    [[ $machine == "$3" ]] ||
        die "$1: wrong architecture: the ELF header of bin/busybox says $machine, wanted $3; get the $3 tarball"
    [[ $apk_arch == "$3" ]] ||
        die "$1: wrong architecture: etc/apk/arch says \"$apk_arch\", wanted $3; get the $3 tarball"
    [[ $release == "$2" ]] || die "$1: wrong release: etc/alpine-release says \"$release\", wanted $2"
}
