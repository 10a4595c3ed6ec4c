#!/usr/bin/env bash
# examples/python/read_back.py against a workspace that hostile commands have furnished: it gives a plain file's bytes and
# refuses everything else, at once. TAP on stdout. Environment: BIVY, BIVY_ROOTFS.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
read_back=$checkout/examples/python/read_back.py

bail() { printf 'Bail out! %s\n' "$*"; exit 1; }
[[ -x ${BIVY:-} ]] || bail "BIVY=${BIVY:-}: not a program; run this with meson test"
[[ -d ${BIVY_ROOTFS:-} ]] || bail "BIVY_ROOTFS=${BIVY_ROOTFS:-}: not a directory; make it with rootfs/build --output"
if ((EUID != 0)); then
    echo '1..0 # SKIP not root, and no delegated cgroup is known here'
    exit 0
fi
top=$(mktemp -d)
trap 'rm -rf -- "$top"' EXIT
mkdir "$top/ws"
chown 54321:54321 "$top/ws"
echo secret >"$top/outside"
chmod 755 "$top"

point=0
verdict() {
    point=$((point + 1))
    if (($1 == 0)); then printf 'ok %d - %s\n' "$point" "$2"; else printf 'not ok %d - %s\n# %s\n' "$point" "$2" "$3"; fi
}
# gives WHAT PATH EXPECTED [MOST]
gives() {
    local seen status=0 bad=0
    seen=$(timeout 10 "$read_back" "$top/ws" "$2" ${4+"$4"} 2>&1) || status=$?
    [[ $status == 0 && $seen == "$3" ]] || bad=1
    verdict "$bad" "$1" "status $status: ${seen:0:200}"
}
# refuses WHAT PATH WORDS [MOST]
refuses() {
    local seen status=0 bad=0
    seen=$(timeout 10 "$read_back" "$top/ws" "$2" ${4+"$4"} 2>&1) || status=$?
    [[ $status == 1 && $seen == *"$3"* && $seen != *secret* ]] || bad=1
    verdict "$bad" "$1" "status $status: ${seen:0:200}"
}

"$BIVY" run --rootfs "$BIVY_ROOTFS" --workspace "$top/ws" -- sh -c "
    mkdir dir && echo hello >dir/file && ln -s '$top/outside' link && ln -s .. up && ln -s dir alias && ln -s /proc/self/fd/0 magic
    mkfifo fifo && truncate -s 4398046511104 sparse && head -c 4096 /dev/zero | tr '\\0' x >exact" ||
    bail "the hostile command itself failed"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$top/ws/socket"

echo '1..13'
gives 'a file' dir/file hello
gives 'a file as long as is allowed' exact "$(printf 'x%.0s' {1..4096})" 4096
refuses 'a file one byte longer' exact 'longer than 4095' 4095
refuses 'a sparse file of 4 TiB' sparse 'longer than'
refuses 'a link to a file of the host' link 'symbolic link'
refuses 'a way up by ..' ../outside 'link'
refuses 'a way up by a link' up/outside 'symbolic link'
refuses 'an absolute path' "$top/outside" 'link'
refuses 'a link within the workspace' alias/file 'symbolic link'
refuses 'a FIFO that nobody writes' fifo 'not a regular file'
refuses 'a socket' socket 'No such device'
refuses 'a magic link' magic 'symbolic link'
refuses 'a directory' dir 'not a regular file'
