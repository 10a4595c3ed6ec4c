#!/usr/bin/env bash
# packaging/systemd without a running systemd: what install puts where, what systemd thinks of it, and the two helpers
# with programs and settings that they must refuse. TAP on stdout. Environment: BIVY.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
packaging=$checkout/packaging/systemd
[[ -x ${BIVY:-} ]] || { echo "Bail out! BIVY=${BIVY:-}: not a program; run this with meson test"; exit 1; }
dir=$(realpath -- "$(mktemp -d)")
trap 'rm -rf -- "$dir"' EXIT

count=0 failed=0
# point NAME STATUS [TEXT]: one line of TAP, with TEXT as a comment where STATUS is not 0.
point() {
    count=$((count + 1))
    if (($2 == 0)); then
        printf 'ok %d - %s\n' "$count" "$1"
    else
        failed=1
        printf 'not ok %d - %s\n' "$count" "$1"
        sed 's/^/#   /' <<<"${3-}"
    fi
}

# expect NAME STATUS TEXT COMMAND...: its exit status, and a text that is in what it prints ('' where it must print
# nothing).
expect() {
    local name=$1 wanted=$2 text=$3 status=0 said
    shift 3
    said=$("$@" 2>&1) || status=$?
    if [[ $status -eq $wanted && ( -n $text || -z $said ) && $said == *"$text"* ]]; then
        point "$name" 0
    else
        point "$name" 1 "status $status, not $wanted, or not \"$text\": $said"
    fi
}

root=$dir/root
mkdir -p "$root/usr/local/bin"
"$packaging/install" --root "$root" >"$dir/installed"
missing=''
while IFS= read -r file; do
    [[ -s $file ]] || missing+="$file "
done <"$dir/installed"
point 'install puts all that it names' "$([[ -z $missing && $(wc -l <"$dir/installed") -ge 14 ]]; echo $?)" "$missing"
echo '# mine' >>"$root/etc/bivy/orchestrator.conf"
"$packaging/install" --root "$root" >/dev/null
point 'install leaves a configuration as it is' "$(grep -qx '# mine' "$root/etc/bivy/orchestrator.conf"; echo $?)"
expect 'install refuses an option it does not know' 2 'unknown option' "$packaging/install" --rot /

# ---- systemd's opinion ----

# weed SAYS: a program in the place of weed.
weed() {
    printf '#!/bin/sh\necho "%s"\n' "$1" >"$root/usr/local/bin/weed"
    chmod 755 "$root/usr/local/bin/weed"
}
weed 'version 8000GB 4.44 abc linux amd64'
mkdir "$dir/units"
cp "$root"/etc/systemd/system/*.service "$root"/etc/systemd/system/*.slice "$dir/units/"
# verify wants every program to be there.
sed -i "s,/usr/local/,$root/usr/local/,g" "$dir/units/"*.service
verify() {
    systemd-analyze --man=no verify "$dir/units/weed-mount@workspaces.service" "$dir/units/bivy-orchestrator.service" \
        "$dir/units/bivy-orchestrator-root.service" "$dir/units/bivy.slice"
}
if ! command -v systemd-analyze >/dev/null; then
    for name in 'systemd finds no fault with the units' 'systemd finds a fault that is there'; do
        count=$((count + 1))
        echo "ok $count - $name # SKIP no systemd-analyze here; apt-get install systemd (it need not be pid 1)"
    done
else
    said=$(verify 2>&1) && status=0 || status=$?
    # Other units of this machine may have faults of their own; only ours count.
    faults=$(grep -E 'bivy|weed-mount' <<<"$said" || true)
    point 'systemd finds no fault with the units' \
        "$([[ $status -eq 0 && -z $faults ]]; echo $?)" "status $status: $said"
    sed -i 's/^\[Service\]/&\nDelegateAll=yes/' "$dir/units/bivy-orchestrator.service"
    said=$(verify 2>&1) || true
    point 'systemd finds a fault that is there' "$(grep -q DelegateAll <<<"$said"; echo $?)" "$said"
fi
for unit in bivy-orchestrator bivy-orchestrator-root; do
    name=$(sed -n 's/^DelegateSubgroup=//p' "$packaging/$unit.service.d/subgroup.conf")
    point "$unit: the drop-in's subgroup is the one that in-subgroup makes" \
        "$(grep -q "in-subgroup $name " "$packaging/$unit.service"; echo $?)" "$name"
done
# Every variable of the unit has a row in the example, and a value here or there.
said=''
for name in $(grep -oE '\$\{?[A-Z_]+' "$packaging/weed-mount@.service" | tr -d '${' | sort -u); do
    grep -q "^$name=" "$packaging/mount.conf.example" || said+="$name "
done
point 'every setting of the mount is in its example' "$([[ -z $said ]]; echo $?)" "$said"

# ---- weed-mount ----

mkdir "$dir/mnt"
# check [NAME=VALUE...]: weed-mount check with good settings, these changed.
check() {
    env FILER=localhost:8888 FILER_PATH=/workspaces DIR="$dir/mnt" MORE= "$@" "$packaging/weed-mount" check \
        "$root/usr/local/bin/weed"
}
expect 'a weed of the floor is taken' 0 '' check
weed 'version 30GB 5.0 abc linux amd64'
expect 'a newer one too' 0 '' check
weed 'version 30GB 4.100 abc linux amd64'
expect '4.100 is newer than 4.44' 0 '' check
weed 'version 30GB 4.43 abc linux amd64'
expect 'an older one is refused' 1 'is SeaweedFS 4.43' check
weed 'version 30GB 4.5 abc linux amd64'
expect '4.5 is older than 4.44' 1 'is SeaweedFS 4.5' check
weed 'no version at all'
expect 'a program that says no version is refused' 1 'which is no version' check
rm "$root/usr/local/bin/weed"
expect 'no weed' 1 'there is no such program' check
weed 'version 8000GB 4.44 abc linux amd64'
for word in -writebackCache --writebackCache=true -nonempty -readOnly -allowOthers=false -defaultPermissions=false; do
    expect "MORE=$word is refused" 1 "MORE: $word" check "MORE=-dlm $word"
done
expect 'other options are passed on' 0 '' check 'MORE=-dlm -collection=a -writebackCache=false'
expect 'no filer' 1 'FILER is not set' check FILER=
expect "the filer's own top is refused" 1 'FILER_PATH "/"' check FILER_PATH=/
for where in mnt /mnt/ /mnt/../mnt /mnt/. //mnt '/mnt/a b' /; do
    expect "DIR=$where is refused" 1 'DIR "' check "DIR=$where"
done
ln -s . "$dir/link"
expect 'a symbolic link on the way is refused' 1 'symbolic link' check "DIR=$dir/link/mnt"
expect 'a mount point that is not there' 1 'is not a directory' check "DIR=$dir/none"
expect 'nothing to clear' 0 '' env DIR="$dir/mnt" "$packaging/weed-mount" clear
expect 'nothing to stop' 0 '' env DIR="$dir/mnt" "$packaging/weed-mount" stop
expect 'weed that ended is not waited for' 1 'weed ended' \
    env DIR="$dir/mnt" MAINPID=4194305 "$packaging/weed-mount" wait
if ((EUID == 0)) && command -v bindfs >/dev/null; then
    # In mount and pid namespaces of its own: nothing of it outlives the test. The daemon's death leaves a dead mount.
    # shellcheck disable=SC2016
    expect 'a mount is waited for, a dead one taken away, another one left alone' 0 'as it should be' \
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -euc '
        cd / && export DIR=$1/mnt && helper=$2
        bindfs -f -o subtype=seaweedfs "$1/root" "$DIR" & daemon=$!
        MAINPID=$daemon timeout 60 "$helper" wait
        kill -KILL $daemon; wait $daemon 2>/dev/null || true
        "$helper" clear && ! grep -qF " $DIR " /proc/self/mountinfo
        bindfs -f -o subtype=seaweedfs "$1/root" "$DIR" & daemon=$!
        MAINPID=$daemon timeout 60 "$helper" wait
        "$helper" stop && ! grep -qF " $DIR " /proc/self/mountinfo
        mount -t tmpfs tmpfs "$DIR"
        "$helper" clear && "$helper" stop && grep -qF " $DIR " /proc/self/mountinfo
        echo as it should be' - "$dir" "$packaging/weed-mount"
else
    count=$((count + 1))
    echo "ok $count - a mount is waited for, a dead one taken away # SKIP needs root and bindfs; apt-get install bindfs"
fi

# ---- in-subgroup, profiles, sysctl ----

expect 'in-subgroup: no command' 125 'no command was given' "$packaging/in-subgroup" orchestrator
for name in .. a/b ''; do
    expect "in-subgroup: \"$name\" is no name" 125 'is not a name' "$packaging/in-subgroup" "$name" true
done
for name in service service-root; do
    # Understood, and refused for nothing but the mount that is not here.
    sed "s,/workspaces,$dir/mnt," "$packaging/profiles/$name" >"$dir/$name"
    expect "profile $name is understood" 125 'nothing is mounted there' \
        "$BIVY" plan --rootfs "${BIVY_ROOTFS:?}" --profile "$dir/$name" --user-id alice -- true
done
said=$(grep -hvE '^(#|$|-?(fs\.fuse|kernel\.keys)\.[a-z_]+ = [0-9]+$)' "$packaging"/60-*.conf || true)
point 'sysctl files are understood' "$([[ -z $said ]]; echo $?)" "$said"
said=''
for name in $(sed -nE 's/^(kernel[a-z._]+) = .*/\1/p' "$packaging"/60-*.conf | tr . /); do
    [[ -e /proc/sys/$name ]] || said+="$name "
done
point 'this kernel has the settings that every kernel has' "$([[ -z $said ]]; echo $?)" "$said"

echo "1..$count"
exit "$failed"
