#!/usr/bin/env bash
# --log journal with a real journald, and the pipe from there into examples/prometheus as its own text has it. The daemon is the test's own, with
# a /run of its own, in a mount namespace; it reads nothing of the machine's. TAP on stdout. Environment: BIVY, BIVY_ROOTFS.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
daemon=/lib/systemd/systemd-journald

bail() { printf 'Bail out! %s\n' "$*"; exit 1; }
[[ -x ${BIVY:-} ]] || bail "BIVY=${BIVY:-}: not a program; run this with meson test"
[[ -d ${BIVY_ROOTFS:-} ]] || bail "BIVY_ROOTFS=${BIVY_ROOTFS:-}: not a directory; make it with rootfs/build --output"
if ((EUID != 0)); then
    echo '1..0 # SKIP not root, and no delegated cgroup is known here'
    exit 0
fi
if [[ ! -x $daemon ]] || ! command -v journalctl >/dev/null; then
    echo '1..0 # SKIP no journald here; apt-get install systemd'
    exit 0
fi
if [[ ${1-} != inside ]]; then
    exec unshare --mount --propagation private "$0" inside
fi

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nForwardToSyslog=no\nForwardToWall=no\nForwardToConsole=no\nRateLimitBurst=0\n' \
    >/run/systemd/journald.conf.d/test.conf
echo 0123456789abcdef0123456789abcdef >/run/machine-id
[[ -e /etc/machine-id ]] || { echo '1..0 # SKIP no /etc/machine-id to put another over'; exit 0; }
mount --bind /run/machine-id /etc/machine-id
"$daemon" >/run/daemon.log 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || :; wait "$pid" 2>/dev/null || :' EXIT
end=$((SECONDS + 60))
until [[ -S /run/systemd/journal/socket ]] || ((SECONDS > end)); do sleep 0.05; done
[[ -S /run/systemd/journal/socket ]] || bail "journald did not begin: $(</run/daemon.log)"

point=0
# verdict STATUS WHAT TEXT
verdict() {
    point=$((point + 1))
    if (($1 == 0)); then printf 'ok %d - %s\n' "$point" "$2"; else printf 'not ok %d - %s\n# %s\n' "$point" "$2" "${3//$'\n'/$'\n# '}"; fi
}
record() { "$BIVY" run --log journal --report "/run/$1.json" "${@:2}" >/dev/null 2>&1 || :; }
# read_field FIELD MATCH...
read_field() { journalctl --no-pager --quiet -t bivy -o cat --output-fields="$1" "${@:2}"; }

long=$(printf 'y%.0s' {1..250})
words=()
for ((i = 0; i < 60; i++)); do words+=("$long"); done
record oom --memory 32M --cpus 1 -- tail /dev/zero
record failed -- sh -c 'exit 3'
record hostile --workspace $'/x\nMESSAGE=evil\nPRIORITY=0\xc2\x9b' -- true
record long -- true "${words[@]}"
# journald writes what it was sent in turn: the last there means all are.
until [[ $(read_field BIVY_RECORD | wc -l) -ge 4 ]] || ((SECONDS > end)); do sleep 0.1; done

for name in oom failed hostile long; do
    status=0
    said=$(diff <(cat "/run/$name.json") <(read_field BIVY_RECORD | grep -xF -f "/run/$name.json") 2>&1) || status=$?
    verdict "$status" "the record of '$name' is in the journal, byte for byte" "${said:0:2000}"
done
said=$(read_field MESSAGE BIVY_OUTCOME=oom)
[[ $said == 'run '*': oom (SIGKILL): '*'--memory'* ]] && status=0 || status=1
verdict "$status" 'its outcome can be asked for; the message is for people' "$said"
said=$(journalctl --no-pager --quiet -t bivy -p err -o cat | wc -l) # of the four one is an error; none is an emergency
[[ $said == 1 && -z $(journalctl --no-pager --quiet -t bivy -p 0 -o cat) && -z $(read_field MESSAGE MESSAGE=evil) ]] && status=0 || status=1
verdict "$status" 'the hostile name made no field and no entry' "$said"

pipe=$(sed -n '/^    journalctl /,/^        bivy_textfile/p' "$checkout/examples/prometheus/bivy_textfile.py" |
    sed "s|/var/lib/bivy/|/run/|; s|bivy_textfile.py /var/lib/prometheus/node-exporter/|'$checkout/examples/prometheus/bivy_textfile.py' /run/|")
said=$(bash -euo pipefail -c "$pipe" 2>&1 && bash -euo pipefail -c "$pipe" 2>&1) && status=0 || status=$?
counted=$(grep -h '^bivy_runs_total' /run/bivy.prom | tr '\n' ' ')
[[ $status == 0 && $counted == 'bivy_runs_total{outcome="exited"} 2 bivy_runs_total{outcome="oom"} 1 bivy_runs_total{outcome="setup_failed"} 1 ' ]] &&
    status=0 || status=1
verdict "$status" "the pipe of the Prometheus example counts each run once, also when it is run again" "$pipe"$'\n'"$said"$'\n'"$counted"

kill "$pid"
wait "$pid" 2>/dev/null || :
said=$(timeout 60 "$BIVY" run --log journal -- sh -c 'exit 7' 2>&1) && status=0 || status=$?
[[ $status == 7 && $said == *'--log journal'* ]] && status=0 || status=1
verdict "$status" 'a journald that has gone is said, and changes nothing' "$said"
echo "1..$point"
