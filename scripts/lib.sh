# shellcheck shell=bash disable=SC2154,SC2034
# What scripts/quickstart and scripts/test share: talking, packages, builds. Sourced, never run.
# The caller sets checkout, build (a directory) and step (what is being done, for the message when it fails).

export LC_ALL=C.UTF-8
step='starting'
script=${0##*/}

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "$script" "$*" >&2; }

# begin WHAT: names the step that runs from here on; with the seconds since the script began, so that a slow one shows.
begin() {
    step=$1
    printf '==> %s (%d s)\n' "$1" "$SECONDS"
}

# die WHY [MEND]
die() {
    trap - ERR
    warn "failed while $step"
    warn "why: $1"
    [[ -z ${2-} ]] || warn "mend: $2"
    exit 1
}

# A command that fails where nobody foresaw it still says which step and which line it was.
unforeseen() {
    local status=$1 line=$2 command=$3
    die "line $line of ${BASH_SOURCE[1]##*/}: \"$command\" ended with status $status"
}
trap 'unforeseen $? $LINENO "$BASH_COMMAND"' ERR

# quietly LOG COMMAND...: output goes to LOG; only the end of it is shown, and only when the command fails.
quietly() {
    local log=$1 status=0
    shift
    "$@" </dev/null >"$log" 2>&1 || status=$?
    ((status == 0)) && return
    tail -n 25 -- "$log" | sed 's/^/    /' >&2
    warn "the whole of it is in $log"
    return "$status"
}

# installed PACKAGE
installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true) == installed ]]
}

# need_packages WANT...: installs what is missing. WANT is a Debian package, or COMMAND=PACKAGE where any provider of the
# command will do (a node or a meson of the user's own).
need_packages() {
    local want missing=()
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die 'no apt-get and dpkg-query here, so packages cannot be looked up or installed' \
            'run this on Debian 12 or newer'
    fi
    for want in "$@"; do
        if [[ $want == *=* ]]; then
            command -v "${want%%=*}" >/dev/null || missing+=("${want#*=}")
        else
            installed "$want" || missing+=("$want")
        fi
    done
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || die "missing packages: ${missing[*]}" \
        "as root: apt-get install --no-install-recommends ${missing[*]}"
    say "    installing ${missing[*]}"
    apt_install "${missing[@]}" || {
        # The package lists may be absent or old.
        quietly "$build/logs/apt-update" apt-get -qq -o DPkg::Lock::Timeout=300 update ||
            die 'apt-get update failed; see above' 'see that this machine reaches a Debian mirror'
        apt_install "${missing[@]}"
    } || {
        tail -n 25 -- "$build/logs/apt-install" | sed 's/^/    /' >&2
        die "apt-get could not install ${missing[*]}; see above" 'see that this machine reaches a Debian mirror'
    }
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" \
        </dev/null >"$build/logs/apt-install" 2>&1
}

# static_prefix: sets prefix to where libcap is, static and for musl. Where its source cannot be had (no network, a mirror
# that lacks it) prefix is '' and static_reason says why; any other failure is one of ours and ends the script.
static_prefix() {
    local status=0
    static_reason=''
    prefix=$("$checkout/scripts/static-deps" libcap 2>"$build/logs/static-deps") || status=$?
    ((status != 0)) || return 0
    prefix=''
    # Its last message, which may go over several lines.
    static_reason=$(awk '/^static-deps:/ { text = "" } { sub(/^ +/, ""); text = text " " $0 } END { print text }' \
        "$build/logs/static-deps")
    ((status == 3)) || die "scripts/static-deps failed:$static_reason" 'look at build/logs/static-deps'
    say '    NOT STATIC: the source of the static library cannot be had here, so bivy is linked with this'
    say "    system's libraries, and starts slower.$static_reason"
}

# build_bivy NAME MESON_OPTION...: sets up and builds $build/NAME. Set up anew only when the options or the tools changed.
build_bivy() {
    local name=$1 dir=$build/$1 key
    shift
    key=$(printf '%s\n' "$checkout" "$@"; "${CC:-gcc}" --version | head -n 1; meson --version)
    if [[ ! -e $dir/build.ninja || $(cat "$dir/bivy-setup" 2>/dev/null || true) != "$key" ]]; then
        rm -rf -- "$dir"
        quietly "$build/logs/$name-setup" meson setup "$dir" "$checkout" "$@" ||
            die "meson setup of build/$name failed; see above" "look at build/logs/$name-setup"
        printf '%s\n' "$key" >"$dir/bivy-setup"
    fi
    quietly "$build/logs/$name-build" ninja -C "$dir" ||
        die "the build of build/$name failed; see above" "look at build/logs/$name-build"
}
