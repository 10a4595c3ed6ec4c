#!/usr/bin/env bash
# The callers in examples/ against a real sandbox: each must tell every outcome apart, as the README says; `stuck`, which takes a broken
# host, and a word that a later version may have, by a stand-in for bivy. TAP on stdout. Environment: BIVY, BIVY_ROOTFS.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
python=$checkout/examples/python/run_in_bivy.py
node=$checkout/examples/node/run-in-bivy.mjs

bail() { printf 'Bail out! %s\n' "$*"; exit 1; }
[[ -x ${BIVY:-} ]] || bail "BIVY=${BIVY:-}: not a program; run this with meson test"
[[ -d ${BIVY_ROOTFS:-} ]] || bail "BIVY_ROOTFS=${BIVY_ROOTFS:-}: not a directory; make it with rootfs/build --output"
export BIVY BIVY_ROOTFS BIVY_REAL=$BIVY
if ((EUID != 0)); then
    echo '1..0 # SKIP not root, and no delegated cgroup is known here'
    exit 0
fi

point=0
# verdict STATUS WHAT [TEXT]
verdict() {
    point=$((point + 1))
    if (($1 == 0)); then
        printf 'ok %d - %s\n' "$point" "$2"
    else
        printf 'not ok %d - %s\n' "$point" "$2"
        [[ -z ${3-} ]] || printf '# %s\n' "${3//$'\n'/$'\n# '}"
    fi
}

# differs EXPECTED SEEN: prints each key of the JSON object EXPECTED that SEEN has otherwise; 1 when there is one. "cpu" among
# limits_hit is no difference: on a slow machine any command may be held back for a moment. A sentence begins as expected.
differs() {
    python3 - "$1" "$2" <<'PYTHON'
import json
import sys

expected, seen = (json.loads(text) for text in sys.argv[1:])
seen["limits_hit"] = [limit for limit in seen["limits_hit"] if limit != "cpu"]
begins = expected.pop("sentence", None)
wrong = [f"{key}: {value!r} expected, {seen.get(key)!r} seen" for key, value in expected.items() if seen.get(key) != value]
if begins and not seen["sentence"].startswith(begins):
    wrong.append(f"sentence: {begins!r} expected, {seen['sentence']!r} seen")
print("\n".join(wrong))
sys.exit(bool(wrong))
PYTHON
}

# expect CALLER WHAT EXPECTED ARGUMENT...: the caller, run with these arguments, must print an object with what EXPECTED has.
expect() {
    local caller=$1 what=$2 expected=$3 seen status=0 errors text
    shift 3
    errors=$(mktemp)
    seen=$("$caller" "$@" </dev/null 2>"$errors") || status=$?
    if ((status != 0)); then
        verdict 1 "${caller##*/}: $what" "the caller ended with status $status"$'\n'"$(<"$errors")"
    elif text=$(differs "$expected" "$seen" 2>&1); then
        verdict 0 "${caller##*/}: $what"
    else
        verdict 1 "${caller##*/}: $what" "$text"$'\n'"$(<"$errors")"
    fi
    rm -f -- "$errors"
}

# cancel CALLER: interrupted in the middle of a run, it must have the sandbox ended and say so.
cancel() {
    local caller=$1 workspace=$top/cancel pid errors seen='' text='' status=0 end=$((SECONDS + 60))
    rm -rf -- "$workspace"
    mkdir -- "$workspace"
    chown 54321:54321 "$workspace"
    errors=$top/errors
    # A background command of a script has SIGINT ignored.
    env --default-signal=INT "$caller" --workspace "$workspace" -- sh -c 'touch began; exec sleep 1000' \
        </dev/null >"$top/seen" 2>"$errors" &
    pid=$!
    until [[ -e $workspace/began ]] || ((SECONDS > end)); do sleep 0.05; done
    kill -INT "$pid"
    wait "$pid" || status=$?
    seen=$(<"$top/seen")
    text=$(differs '{"outcome": "cancelled", "exit_code": null, "sentence": "the command was ended because we asked for it"}' "$seen" 2>&1) ||
        status=1
    verdict "$status" "${caller##*/}: interrupted" "$text"$'\n'"$seen"$'\n'"$(<"$errors")"
}

# made_up CALLER OUTCOME SENTENCE: of a record that is real but for these.
made_up() {
    BIVY=$top/stand-in BIVY_OUTCOME=$2 expect "$1" "$2" \
        "{\"outcome\": \"$2\", \"exit_code\": null, \"sentence\": \"$3\"}" -- sleep 60
}

all_of() {
    expect "$1" 'success' '{"outcome": "exited", "exit_code": 0, "stdout": "hello\n", "truncated": false, "limits_hit": [],
        "sentence": "the command exited with status 0"}' -- echo hello
    expect "$1" 'exit status 3, output kept apart' '{"outcome": "exited", "exit_code": 3, "stdout": "out\n",
        "sentence": "the command exited with status 3"}' \
        -- sh -c 'echo out; echo err >&2; exit 3'
    expect "$1" 'a command that itself exits 124 is no timeout' '{"outcome": "exited", "exit_code": 124, "limits_hit": []}' \
        -- sh -c 'exit 124'
    expect "$1" 'timeout, with what was printed before' \
        '{"outcome": "timeout", "exit_code": null, "stdout": "before\n", "limits_hit": ["timeout"],
        "sentence": "the command was ended because its time was up; "}' \
        --timeout 1s --kill-after 200ms -- sh -c 'echo before; exec sleep 60'
    expect "$1" 'out of memory' '{"outcome": "oom", "exit_code": null, "limits_hit": ["memory"],
        "sentence": "the command was ended because its memory was used up; "}' \
        --memory 32M --cpus 1 -- tail /dev/zero
    expect "$1" 'more output than is kept' '{"outcome": "exited", "exit_code": 0, "truncated": true, "limits_hit": ["output"]}' \
        --max-output 1K -- head -c 100000 /dev/zero
    expect "$1" 'set-up that fails' '{"outcome": "setup_failed", "exit_code": null, "stdout": "",
        "sentence": "nothing ran: workspace /nonexistent"}' --workspace /nonexistent -- true
    expect "$1" 'a command that is not there' '{"outcome": "setup_failed", "exit_code": null, "stdout": "",
        "sentence": "nothing ran: /no/such: not found in the sandbox; "}' -- /no/such
    expect "$1" 'a signal' '{"outcome": "signaled", "exit_code": null, "sentence": "SIGSEGV ended the command; "}' -- sh -c 'kill -SEGV $$'
    expect "$1" 'output without end' '{"outcome": "output_limit", "exit_code": null, "truncated": true, "limits_hit": ["output"],
        "sentence": "the command was ended because it wrote too much; "}' --max-output 1K --output-limit 64K -- yes
    made_up "$1" stuck 'a file system does not answer and holds the command; '
    made_up "$1" unheard_of 'the sandbox ended in a way that this program does not know: unheard_of; '
    cancel "$1"
}

top=$(mktemp -d)
trap 'rm -rf -- "$top"' EXIT
chmod 755 "$top"
cat >"$top/stand-in" <<'PYTHON'
#!/usr/bin/env python3
import json, os, subprocess, sys, tempfile
place = sys.argv[sys.argv.index("--report") + 1].removeprefix("fd:")
with tempfile.TemporaryFile() as report:
    words = [f"fd:{report.fileno()}" if word == f"fd:{place}" else word for word in sys.argv[2:]]
    subprocess.run([os.environ["BIVY_REAL"], "run", "--timeout", "1s", "--kill-after", "0s", *words], pass_fds=[report.fileno()])
    report.seek(0)
    record = json.load(report)
record |= {"outcome": os.environ["BIVY_OUTCOME"], "exit_code": None, "signal": None, "signal_name": None}
os.write(int(place), json.dumps(record).encode())
sys.exit(124)
PYTHON
chmod 755 "$top/stand-in"
go=$top/run_in_bivy
callers=("$python" "$node" "$go")
each=13
echo "1..$((${#callers[@]} * each + 1))"

all_of "$python"
# skip WHAT PACKAGE
skip() {
    for ((i = 0; i < each; i++)); do
        point=$((point + 1))
        printf 'ok %d - %s # SKIP no %s here; apt-get install %s\n' "$point" "$1" "$1" "$2"
    done
}
if command -v node >/dev/null; then all_of "$node"; else skip node nodejs; fi
# Nothing is downloaded; what the compiler makes of its own library is kept beside the build.
if ! command -v go >/dev/null; then
    skip go golang-go
elif text=$(cd "$checkout/examples/go" && GOCACHE=${BIVY_BUILD:-$top}/go-cache GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 \
    nice go build -o "$go" . 2>&1); then
    all_of "$go"
else
    bail "examples/go does not compile: ${text//$'\n'/; }"
fi

# The README shows the Python caller; it must be the one that was just tested.
text=$(
    python3 - "$checkout/README.md" "$python" 2>&1 <<'PYTHON'
import re
import sys

readme, example = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
print(f"{len(blocks)} Python blocks in the README")
sys.exit(not blocks or any(block not in example for block in blocks))
PYTHON
) && status=0 || status=$?
verdict "$status" 'the README shows the Python caller as it is' "$text"
