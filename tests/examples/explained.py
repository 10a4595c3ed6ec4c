#!/usr/bin/env python3
"""docs/EXPLAINED.md out of ten real runs that fail: explained.py --write writes it; without, TAP: does bivy still say so?

Each run is made again and must end as the page has it, with the same limits and the same things hinted at, and its hints must hold the words
that tell a stranger what to change. Figures and the rest of the wording may change until the next --write. Environment: BIVY, BIVY_ROOTFS.
"""
import glob
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from outcomes import CHECKOUT, PATIENCE, json_block, serve, wrapped  # noqa: E402
from tap import verdict  # noqa: E402

DOCUMENT = os.path.join(CHECKOUT, "docs", "EXPLAINED.md")

# What somebody wanted; options and command; what is shown of the record beside the usual; words that the hints must hold; what to change.
CASES = [
    ("A report is made of a large table",
     "--memory 64M --cpus 1 -- tail /dev/zero", ("memory",), ("tail", "64.0 MiB", "in parts", "--memory"),
     "The program's own heap took all the memory there was. Work on the data in parts, or ask for more: `--memory 128M`."),
    ("A download is unpacked in /tmp and sorted",
     "--memory 64M --scratch 60M --cpus 1 -- sh -c 'dd if=/dev/zero of=/tmp/download bs=1M count=48 2>/dev/null; exec sort /tmp/download'",
     ("memory", "scratch"), ("sort", "scratch 48", "/workspace"),
     "48 of the 64 MiB were a file in /tmp, which is memory. Put the download into a workspace (`--workspace`), and sort has four times as much for itself."),
    ("An archive is written",
     "--scratch 8M -- dd if=/dev/zero of=/tmp/archive bs=1M count=20", ("scratch",), ("8.0 MiB", "/workspace", "--scratch"),
     "/tmp holds 8 MiB here. Write the archive to a workspace (`--workspace`), or raise `--scratch` (and `--memory`, of which it is a part)."),
    ("Ten things are done at once",
     "--pids 8 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 2 & done; wait'", ("pids",), ("limit of 8", "fewer at a time"),
     "The shell could not fork the seventh: 8 processes, with the shell itself and bivy's pid 1. Start fewer at a time, or raise `--pids`."),
    ("A pipeline does not end",
     "--timeout 1s -- sh -c 'sleep 60 | cat'", ("autopsy",), ("sleep", "--timeout"),
     "`cat` reads fd 0, an empty pipe, whose writer is `sleep`; and `sleep` only sleeps. It is the beginning of the pipeline that has to be quicker."),
    ("A script waits until something is done",
     "--timeout 1s --cpus 1 -- sh -c 'while [ ! -e /tmp/done ]; do :; done'", ("autopsy",), ("sh", "running", "loop"),
     "The shell computes and waits for nothing: a loop whose end does not come. Nobody makes /tmp/done."),
    ("A worker takes jobs from a queue",
     "--timeout 1s -- sh -c 'mkfifo /tmp/queue; cat /tmp/queue'", ("autopsy",), ("/tmp/queue", "FIFO", "other end"),
     "`cat` hangs in opening a FIFO: it opens when somebody opens it for writing. Start the writer first, or in the background."),
    ("A package is installed",
     "--explain -- wget -q -O /tmp/index https://pypi.org/simple/", ("network", "explain"), ("wget", "pypi.org", "network is off"),
     "It wanted pypi.org, and there is no network, by design. Put the package into the rootfs (`rootfs/build --packages`) or into the workspace."),
    ("A build tool makes its own sandbox",
     "--explain -- unshare -r id", ("explain",), ("unshare", "CLONE_NEWUSER", "bivy is the sandbox"),
     "The filter refuses further namespaces. Switch the tool's own sandbox off: bivy is one already."),
    ("A log is printed",
     "--max-output 4K --output-limit 64K -- yes 'not yet ready'", ("stdout",), ("64.0 KiB", "/workspace"),
     "It printed without end and was ended at 64 KiB. Print less, or write it to a file in a workspace (`--workspace`). The beginning and the end are kept."),
]

ALWAYS = ("outcome", "exit_code", "signal_name", "limits_hit", "hints")
HEAD = """# Explained

Ten runs that failed, each with what a person sees on stderr (`--summary`), what a program gets in the record (only the keys that matter
here), and what to change. `tests/examples/explained.py --write` writes this page from real runs, and the tests make them all again.
Read the record's `hints` first: each says what happened, with its figures, and what would mend it. The summary says the same.
(`cpu` is left out of `limits_hit` and `hints` below: on a busy host any command may be held back for a moment.)

[OUTCOMES.md](OUTCOMES.md) has every outcome; bivy(1) every key.
"""


def warm():
    """The programs' pages belong to us, then, and not to the sandbox that touches them first: one that is full of memory would have them
    taken and read again for as long as it lives, instead of being killed."""
    for path in glob.glob(os.environ["BIVY_ROOTFS"] + "/bin/busybox") + glob.glob(os.environ["BIVY_ROOTFS"] + "/lib/*.so*"):
        with open(path, "rb") as file:
            file.read()


def run(words):
    """(record, what bivy itself said on stderr)"""
    warm()
    with tempfile.TemporaryFile() as report:
        bivy = subprocess.run([os.environ["BIVY"], "run", "--summary", "--report", f"fd:{report.fileno()}", *shlex.split(words)],
                              pass_fds=[report.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=PATIENCE, check=False)
        report.seek(0)
        said = [line for line in bivy.stderr.decode("utf-8", "replace").splitlines() if line.startswith("bivy: ")]
        return json.loads(report.read()), said


def brief(process):
    """Of a process in the autopsy, what tells most."""
    on = [{key: end[key] for key in ("fd", "is", "path") if end[key] is not None} for end in process["on"]]
    return {"pid": process["pid"], "name": process["name"], "state": process["state"], "waits": process["waits"], "syscall": process["syscall"],
            "on": on, "cpu_ms": process["cpu_ms"]}


def shown(record, more):
    part = {key: record[key] for key in record if key in ALWAYS + tuple(more)}
    part["limits_hit"] = [limit for limit in part["limits_hit"] if limit != "cpu"]
    part["hints"] = [hint for hint in part["hints"] if hint["about"] != "cpu"]
    if part.get("autopsy"):
        part["autopsy"] = [brief(process) for process in part["autopsy"]["told"]]
    return part


def gist(part):
    """What must not change unseen."""
    waits = [(process["name"], process["waits"]) for process in part.get("autopsy", [])]
    refused = [call["syscall"] for call in part.get("explain", {}).get("refused", []) if not call["harmless"]]
    return {"outcome": part["outcome"], "exit_code": part["exit_code"], "signal_name": part["signal_name"],
            "limits_hit": sorted(part["limits_hit"]), "hints": [hint["about"] for hint in part["hints"]], "keys": sorted(part),
            "waits": [list(one) for one in waits], "refused": refused}


def lacking(part, said, words):
    """Words that a reader would need and that neither form has."""
    hints, people = " ".join(hint["hint"] for hint in part["hints"]), " ".join(said)
    return [word for word in words if word not in hints or word not in people]


def page():
    yield HEAD
    for number, (title, words, more, _, change) in enumerate(CASES, 1):
        record, said = run(words)
        people = "\n".join(line for line in said if not re.match(r"bivy: {3}cpu: ", line))
        yield (f"\n## {number}. {title}\n\n```console\n$ bivy run {words}\n```\n{json_block(shown(record, more))}\n"
               f"```text\n{people}\n```\n\n**What to change:** {wrapped(change)}\n")


def check(text, shows):
    for _, words, more, needed, _ in CASES:
        record, said = run(words)
        part = shown(record, more)
        seen, page_has, missing = gist(part), gist(shows[words]) if words in shows else None, lacking(part, said, needed)
        verdict(seen == page_has and not missing, words,
                f"seen {seen}\npage {page_has}\nlacking {missing}\n{part['hints']}\ntests/examples/explained.py --write")
    verdict(all(wrapped(change) in text for *_, change in CASES) and len(shows) == len(CASES) == 10,
            "the page's own words are those of explained.py")


if __name__ == "__main__":
    sys.exit(serve(DOCUMENT, HEAD, page, check))
