#!/usr/bin/env bash
# busybox and apk under the filter: every row of alpine.table in a sandbox of its own, then all of them once more under
# the eyes of refusals.c. TAP on stdout. Environment: BIVY_ROOTFS and what lib.bash names.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.bash
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.bash"

[[ -x ${BIVY_ROOTFS:-}/bin/busybox ]] || cannot 'BIVY_ROOTFS must name a rootfs (rootfs/build makes one)'
sandbox=("$BIVY" run --rootfs "$BIVY_ROOTFS" --cpus 2)

# Applets that this rootfs has, between blanks.
applets=" $("${sandbox[@]}" -- busybox --list | tr '\n' ' ') "
[[ ! -e $BIVY_ROOTFS/sbin/apk ]] || applets+='apk '

commands=()
while IFS= read -r line; do
    [[ -n $line && $line != '#'* ]] || continue
    applet=${line%% | *} wanted=${line##* | }
    command=${line#"$applet | "}
    command=${command%" | $wanted"}
    what="$applet: $command"
    what=${what//#/:} # which TAP would take for a directive
    if [[ $applets != *" $applet "* ]]; then
        skip "$what" "no $applet in this rootfs"
        continue
    fi
    printf -v wanted %b "$wanted"
    status=0
    # One pipe for both streams inside: bivy's two keep no order between them.
    seen=$("${sandbox[@]}" -- sh -c "exec 2>&1; $command" 2>&1) || :
    [[ $seen == "$wanted" ]] || status=1
    verdict "$status" "$what" "wanted: $wanted"$'\n'"seen: $seen"
    commands+=("$command")
done <"$here/alpine.table"

status=0
"$BIVY_REFUSALS" "$work/refused" "${sandbox[@]}" --timeout 120s -- sh -c \
    'for command; do sh -c "$command" >/dev/null 2>&1; rm -rf /tmp/* /home/sandbox/*; done' sh "${commands[@]}" \
    >"$work/out" 2>&1 || status=$?
verdict "$((status != 0))" 'all of these while followed' "status $status: $(<"$work/out")"
report_refusals 'busybox and apk meet no refusal but the expected' "$work/refused"
finish
