#!/usr/bin/env bash
# The manual against what it describes: every option, every key, outcome, stage and limit of the record's schema is in it,
# and mandoc finds no fault with it. TAP on stdout. Environment: BIVY.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
[[ -x ${BIVY:-} ]] || { echo "Bail out! BIVY=${BIVY:-}: not a program; run this with meson test"; exit 1; }

page=$(mktemp --suffix=.1)
trap 'rm -f -- "$page"' EXIT
sh "$checkout/docs/man-page" "$BIVY" "$checkout/docs/bivy.1.in" "$page"

echo 1..3
if text=$(python3 - "$page" "$checkout/docs/record.schema.json" "$checkout/docs/check.schema.json" 2>&1 <<'PYTHON'
import json
import re
import sys

page = open(sys.argv[1], encoding="utf-8").read().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
words = set(re.findall(r"[\w.-]+", page))
missing = []


def look(node, path):
    for branch in node.get("oneOf", []) + ([node["items"]] if "items" in node else []):
        look(branch, path)
    missing.extend(f"{path}: {value}" for value in node.get("enum", []) + node.get("items", {}).get("enum", [])
                   if value is not None and not {value, f"{value}."} & words)
    for key, below in node.get("properties", {}).items():
        name = f"{path}.{key}" if path else key
        # The sets of capabilities and the namespaces stand as a list in the paragraph of their parent.
        if not {name, key if path.count(".") else name} & words:
            missing.append(name)
        look(below, name)


for schema in sys.argv[2:]:
    look(json.load(open(schema, encoding="utf-8")), "")
print("\n".join(missing))
sys.exit(bool(missing))
PYTHON
); then echo 'ok 1 - every key and value of the record'; else
    echo 'not ok 1 - every key and value of the record'
    printf '# missing: %s\n' "${text//$'\n'/$'\n# missing: '}"
fi

missing=()
while IFS= read -r option; do
    grep -qF -- "\\fB${option//-/\\-}\\fR" "$page" || missing+=("$option")
done < <("$BIVY" help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
if ((${#missing[@]})); then
    echo "not ok 2 - every option # missing: ${missing[*]}"
else
    echo 'ok 2 - every option'
fi

if ! command -v mandoc >/dev/null; then
    echo 'ok 3 - mandoc finds no fault # SKIP no mandoc here; apt-get install mandoc'
elif text=$(mandoc -T lint -W warning "$page" 2>&1); then
    echo 'ok 3 - mandoc finds no fault'
else
    echo 'not ok 3 - mandoc finds no fault'
    printf '# %s\n' "${text//$'\n'/$'\n# '}"
fi
