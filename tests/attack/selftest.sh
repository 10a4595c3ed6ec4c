#!/usr/bin/env bash
# `bivy selftest` as an operator runs it, each line of its TAP a case.
# Environment: BIVY, BIVY_ROOTFS; BIVY_TEST_STRICT=1 turns "cannot run here" into a failure.
set -euo pipefail

cannot() {
    printf '1..0 # SKIP %s\n' "$1"
    [[ ${BIVY_TEST_STRICT:-} != 1 ]] || exit 1
    exit 0
}

[[ -x ${BIVY:-} ]] || cannot 'BIVY must name the bivy program'
[[ -e ${BIVY_ROOTFS:-}/bin/sh ]] || cannot 'BIVY_ROOTFS must name a rootfs (rootfs/build makes one)'
((EUID == 0)) || cannot 'needs root, or a delegated cgroup'
exec "$BIVY" selftest --rootfs "$BIVY_ROOTFS"
