# shellcheck shell=bash
# TAP and sandboxes for the tests that run real programs under the filter.
# Environment: BIVY, BIVY_REFUSALS (the program of refusals.c); BIVY_TEST_STRICT=1: "cannot run here" is a failure.

here=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
golden=$here/../unit/golden/seccomp-x86_64.tsv
point=0 failed=0

# cannot REASON: nothing here can be tried.
cannot() {
    echo "1..0 # SKIP $1"
    [[ ${BIVY_TEST_STRICT:-} != 1 ]] || exit 1
    exit 0
}

# verdict STATUS WHAT [TEXT]
verdict() {
    point=$((point + 1))
    if (($1 == 0)); then
        printf 'ok %d - %s\n' "$point" "$2"
    else
        failed=1
        printf 'not ok %d - %s\n' "$point" "$2"
        [[ -z ${3-} ]] || printf '# %s\n' "${3//$'\n'/$'\n# '}"
    fi
}

skip() {
    point=$((point + 1))
    printf 'ok %d - %s # SKIP %s\n' "$point" "$1" "$2"
}

finish() {
    echo "1..$point"
    exit "$failed"
}

((EUID == 0)) || cannot 'needs root'
[[ -x ${BIVY:-} ]] || cannot 'BIVY must name the bivy program; run this with meson test'
[[ -x ${BIVY_REFUSALS:-} ]] || cannot 'BIVY_REFUSALS must name the program of refusals.c; run this with meson test'
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 0755 "$work"

# refusals FILE...: what refusals.c wrote, summed up as comments with the reason that expected.refusals gives for each;
# 1 when one has no reason there, or nothing was seen.
refusals() {
    awk -F '\t' -v golden="$golden" -v expected="$here/expected.refusals" '
        FILENAME == golden { name[$1] = $2; next }
        FILENAME == expected {
            if ($0 ~ /^(#|$)/) next
            if (NF != 4) { print expected ": not four fields: " $0; wrong = 1 }
            n++; program[n] = "^(" $1 ")$"; call[n] = "^(" $2 ")$"; answer[n] = $3; reason[n] = $4
            next
        }
        $1 ~ /^total / { split($1, words, " "); total += words[2]; next }
        {
            key = $1 "\t" (($2 in name) ? name[$2] : $2) "\t" $3
            count[key] += $4
        }
        END {
            print total + 0 " calls under the filter"
            if (total < 1000) { print "too few: they were not followed"; wrong = 1 }
            for (key in count) {
                split(key, field, "\t")
                why = ""
                for (i = 1; i <= n && why == ""; i++)
                    if (field[1] ~ program[i] && field[2] ~ call[i] && field[3] == answer[i]) why = reason[i]
                if (why == "") { why = "NOT EXPECTED"; wrong = 1 }
                lines[++shown] = sprintf("%s: %s %s, %d times: %s", field[1], field[2], field[3], count[key], why)
            }
            for (i = 2; i <= shown; i++) # few: any sort will do
                for (j = i; j > 1 && lines[j] < lines[j - 1]; j--) {
                    swap = lines[j]; lines[j] = lines[j - 1]; lines[j - 1] = swap
                }
            for (i = 1; i <= shown; i++) print lines[i]
            exit wrong
        }' "$golden" "$here/expected.refusals" "$@"
}

# report_refusals WHAT FILE...
report_refusals() {
    local what=$1 text status=0
    shift
    text=$(refusals "$@" 2>&1) || status=1
    if ((status == 0)); then
        printf '# %s\n' "${text//$'\n'/$'\n# '}"
    fi
    verdict "$status" "$what" "$text"
}
