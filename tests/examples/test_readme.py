#!/usr/bin/env python3
"""README.md as a newcomer uses it: its commands are run as they stand there, what it shows is what bivy says, and its options, words and
defaults are bivy's. TAP. Environment: BIVY, BIVY_ROOTFS."""
import json
import os
import pty
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import excuse, finish, verdict  # noqa: E402

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIVY = os.environ.get("BIVY", "")
PATIENCE = 120
FOREIGN = {"--destdir", "--user", "--scope", "--cross-file", "--packages"}  # of meson, systemd-run and rootfs/build
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "": 1, "s": 1000, "processors": 1}
# Option of the table of limits: its key in what bivy plan prints.
DEFAULTS = {"--memory": "memory_bytes", "--cpus": "cpus", "--pids": "pids", "--timeout": "timeout_ms", "--max-output": "max_output_bytes",
            "--output-limit": "output_limit_bytes", "--open-files": "open_files"}


def text_of(*names):
    with open(os.path.join(CHECKOUT, *names), encoding="utf-8") as file:
        return file.read()


def section(text, heading):
    return re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def commands(text):
    """Those of its console blocks, each with what is shown below it, the comments behind them left out."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line, shown in re.findall(r"^# (.*)\n((?:(?!# ).*\n)*)", block, re.MULTILINE):
            yield re.sub(r"\s{2,}# .*", "", line), shown


def run(line, at):
    return subprocess.run(["sh", "-c", line], cwd=at, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)


def typed(line, at):
    """On a terminal, where somebody types exit. (exit status, what was seen)"""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(at)
        os.execvp("sh", ["sh", "-c", line])
    os.write(fd, b"exit\n")
    seen = b""
    try:
        while part := os.read(fd, 65536):
            seen += part
    except OSError:  # EIO: nobody has the other end any more
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def without_figures(text):
    """Nor the kernel's own function, whose name is not every kernel's."""
    return " ".join(re.sub(r"\b[\d.]+ (ms|s|B|KiB|MiB)\b|(?<=; state )[A-Z]( in \w+)?", "N", text).split())


def first_run(readme, at):
    lines = [line for line, _ in commands(section(readme, "A first run"))]
    verdict(len(lines) >= 6, "the first run is a handful of commands", lines)
    for line in lines:
        if " shell " in line:
            status, seen = typed(line, at)
        else:
            done = run(line, at)
            status, seen = done.returncode, done.stdout + done.stderr
        verdict(status == 0 and "setup_failed" not in str(seen), f"# {line}", (status, seen))


def goes_wrong(readme, at):
    for line, shown in commands(section(readme, "When something goes wrong")):
        done = run(line.replace("bivy run ", "bivy run --summary "), at)
        said = "".join(row for row in done.stderr.splitlines(True) if not row.startswith("bivy:   cpu: "))  # a busy machine's
        verdict(without_figures(said) == without_figures(shown), f"what is shown of: {line}",
                (without_figures(shown), without_figures(said)))


def of_bivy(readme):
    """Its options, the words of the record, its defaults."""
    options = set(re.findall(r"^ +(?:-[a-z], )?(--[a-z-]+)", run(f"{BIVY} help", "/").stdout, re.MULTILINE))
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme))
    wrong = spoken - options - FOREIGN - {"--completion"}
    verdict(not wrong, "every option is one of bivy's", wrong)
    keys = json.loads(text_of("docs", "record.schema.json"))["properties"]
    listed = re.search(r"`outcome` \(`([a-z_\s]+)`\)", readme)[1].split()
    verdict(listed == keys["outcome"]["enum"], "the outcomes are the schema's", listed)
    errors = [branch for branch in keys["workspace"]["oneOf"] if "properties" in branch][0]["properties"]["error"]["enum"]
    listed = re.search(r"`workspace\.error`: `([a-z_\s]+)`", readme)[1].split()
    verdict(set(listed) == set(errors) - {None, "invalid"}, "what may be wrong with a workspace is the schema's", (listed, errors))
    limits = json.loads(run(f"{BIVY} plan -- true", "/").stdout)["limits"]
    rows = {option: value for value, option in re.findall(r"^\| [^|]+\| ([^|]+?) \| `(--[a-z-]+)", section(readme, "Limits"), re.MULTILINE)}
    for option, key in DEFAULTS.items():
        number, unit = re.fullmatch(r"([\d.,]+) ?(\w*)(?:; .*)?", rows.get(option, "0 s")).groups()
        verdict(float(number.replace(",", "")) * UNITS.get(unit, 0) == limits[key], f"the default of {option}", (rows.get(option), limits[key]))
    places = [target for target in re.findall(r"\]\(([^)#:]+)", readme) if not os.path.exists(os.path.join(CHECKOUT, target))]
    verdict(not places, "every link leads somewhere", places)


def main():
    status = excuse()
    if status is not None:
        return status
    readme = text_of("README.md")
    with tempfile.TemporaryDirectory() as top:
        at = os.path.realpath(top)
        os.chmod(at, 0o755)
        os.mkdir(f"{at}/build")
        os.symlink(BIVY, f"{at}/build/bivy")
        os.environ["PATH"] = f"{at}/build:{os.environ['PATH']}"
        first_run(readme, at)
        goes_wrong(readme, at)
        of_bivy(readme)
    finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
