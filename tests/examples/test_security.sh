#!/usr/bin/env bash
# docs/SECURITY.md names the test that shows each promise. Each must exist, each promise must name one, and each suite it speaks
# of must be one of ours: a promise without a test is a wish. TAP on stdout.
set -euo pipefail
checkout=$(cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
python3 - "$checkout" <<'PYTHON'
import pathlib
import re
import sys

top = pathlib.Path(sys.argv[1])
text = (top / "docs/SECURITY.md").read_text()
sources = {path.stem: path.read_text() for pattern in ("tests/integration/*.c", "tests/attack/*.c") for path in top.glob(pattern)}
probes = "".join(path.read_text() for path in top.glob("runtime/selftest/*.c"))
rows = re.findall(r"^\| (\d+) \| ([^|]*)\| ([^|]*)\|$", text, re.MULTILINE)
builds = "".join(path.read_text() for path in top.glob("tests/*/meson.build"))
points = []


def point(good, name):
    points.append(f"{'ok' if good else 'not ok'} {len(points) + 1} - {name}")


point([int(row[0]) for row in rows] == list(range(1, 13)), "the table has the twelve promises")
for number, promise, shown in rows:
    names = re.findall(r"`([a-z]+):([^`]+)`", shown)
    missing = [f"{suite}:{name}" for suite, name in names
               if (f'"{name}"' not in probes if suite == "selftest" else not re.search(rf"\b{name}\b", sources.get(suite, "")))]
    suites = re.findall(r"`([a-z]+)`", shown)
    missing += [suite for suite in suites if f"suite: '{suite}'" not in builds]
    point(names and not missing, f"promise {number} is shown by tests that exist {missing or ''}".rstrip())
for path in re.findall(r"`((?:tests|examples)/[\w./]+)`", text):
    point((top / path).exists(), f"{path} exists")
for path in re.findall(r"\]\(([\w.]+)\)", text):
    point((top / "docs" / path).exists(), f"docs/{path} exists")
print(*points, f"1..{len(points)}", sep="\n")
PYTHON
