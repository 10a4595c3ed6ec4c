#!/usr/bin/env python3
"""docs/OUTCOMES.md out of real runs: outcomes.py --write writes it; without, TAP: is what it shows still what bivy says?

Compared are outcome, statuses, stage, errno, limits and what each hint is about; figures and wording may change until the next --write.
Environment: BIVY, BIVY_ROOTFS; BIVY_FAULTFS (tests/fuse), the file system whose server is silent: without it `stuck` is skipped.
"""
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fuse"))
import fixture  # noqa: E402
from tap import excuse, finish, verdict  # noqa: E402

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(CHECKOUT, "docs", "OUTCOMES.md")
PATIENCE = 120

# Title, options and command, what is shown of the record beside the usual, what a caller makes of it. A title of None goes on under the
# one before.
CASES = [
    ("exited: the command ended by itself", "-- sh -c 'echo done'", ("stdout",),
     "A success: `exit_code` is 0. Look at `stdout.truncated` before you take the output for whole."),
    (None, "-- sh -c 'echo no such customer >&2; exit 3'", (), "A failure, and the command's own: what 3 means only it knows."),
    (None, "-- sh -c 'exit 124'", (),
     "The status alone would pass for a timeout. The outcome does not: **the record is the authority**."),
    (None, "--max-output 1K -- head -c 100000 /dev/zero", ("stdout",),
     "It ended well, and its output was cut: `limits_hit` has it. Limits that touched a run are listed whatever the outcome."),
    ("signaled: a signal ended it, and none of the reasons below", "-- sh -c 'kill -SEGV $$'", (),
     "The command crashed, or killed itself. `bivy_exit` is 128 and the signal's number."),
    ("timeout: its time was up", "--timeout 2s --kill-after 100ms -- sh -c 'echo half of it; exec sleep 60'", ("stdout",),
     "What was printed until then is there. Try again with more time only where the command was at work, not where it waited for something."),
    ("oom: its memory was used up", "--memory 32M --cpus 1 -- tail /dev/zero", (),
     "Files in `/tmp`, `$HOME` and `/dev/shm` count as memory. A process that was killed for memory while the command itself went on and exited "
     "is `exited`, with `memory` in `limits_hit`."),
    ("output_limit: it wrote without end", "--max-output 1K --output-limit 64K -- yes", ("stdout",),
     "It was ended. Trying again gives the same."),
    ("cancelled: bivy was told to stop", "-- sh -c 'echo began; exec sleep 60'", (),
     "bivy got SIGTERM (here), SIGINT or SIGHUP, and ended the sandbox. Nothing is known of the command but that it had not ended by itself."),
    ("setup_failed: nothing of it ran", "--memory 1K -- true", (),
     "bivy could not, or would not, run it: `error` says at which stage and how to mend it. Exit status 125 is bivy's own; a wrong option comes "
     "out like this too, when `--report` is right."),
    (None, "--rootfs /nonexistent -- true", (), "This host is not set up. Tell its operator, not your user."),
    (None, "--workspace /nonexistent -- true", ("workspace",),
     "`workspace.error`, where it is not null, is one word for what is wrong with the workspace; bivy(1) lists them."),
    (None, "-- no-such-program", (), "Exit status 127, as a shell has it; stage `exec`. The sandbox was fine; the program is not in it."),
    (None, "-- /etc/passwd", (), "Exit status 126: it is there, and cannot be executed."),
    ("stuck: a file system holds it beyond SIGKILL",
     "--workspace-root /mnt/weed/root --user-id alice --timeout 2s --kill-after 100ms -- cat report.csv", ("workspace", "residue"),
     "The workspace's server does not answer, and the kernel lets nobody kill a process that waits for it. `error` names one, its call and what "
     "it waits for, and the ways out; `residue` the cgroup leaf that stays until then, and that `bivy clean` takes away after it. The command "
     "may have done anything up to that call. Tell the host's operator, and start no more work on that mount. Where it is not the workspace "
     "that holds it, `error.stage` is `supervise` and `workspace.error` is null."),
]
SILENT = CASES[-1][1]

ALWAYS = ("outcome", "exit_code", "signal_name", "bivy_exit", "error", "limits_hit", "hints")
HEAD = """# Outcomes

What every outcome looks like, from real runs: `tests/examples/outcomes.py --write` writes this page, and the tests run it all again and
compare. Of each record only the keys that matter here are shown; every key is always there
([schema](record.schema.json), bivy(1)). Figures differ from run to run, and `cpu` is left out of `limits_hit` and `hints` here: on a
busy host any command may be held back for a moment.

How to read a record, in this order: `outcome`, then for `exited` the `exit_code`, for `setup_failed` the `error`; then `hints`, sentences for
whoever must act; then `stdout.truncated`, and `residue` (empty, or what bivy could not take away).

| outcome | bivy's exit status | whose affair |
|---|---|---|
| `exited` | the command's, 0 to 255 | the command's |
| `signaled` | 128 + the signal's number | the command's |
| `timeout` | 124 | the command's, or its limit's |
| `oom` | 137 | the command's, or its limit's |
| `output_limit` | 137 | the command's |
| `cancelled` | 129, 130 or 143: SIGHUP, SIGINT, SIGTERM | the caller's |
| `setup_failed` | 125; 126 not executable, 127 not found | the caller's, or the host's: `error.stage` |
| `stuck` | 124 | the host's: a file system does not answer, or no processor is free |
"""
def silent_server():
    """Why there can be none here, or None."""
    if not os.access(os.environ.get("BIVY_FAULTFS", ""), os.X_OK):
        return "BIVY_FAULTFS: not a program"
    return None if os.path.exists("/dev/fuse") else "no /dev/fuse: modprobe fuse"


def gone(name):
    """Swept, as soon as nobody is in it any more?"""
    subprocess.run([os.environ["BIVY"], "clean"], stdout=subprocess.DEVNULL, check=False)
    done = subprocess.run([os.environ["BIVY"], "ps", "--json"], stdout=subprocess.PIPE, check=True)
    return name not in [one["id"] for one in json.loads(done.stdout)["sandboxes"]]


@contextlib.contextmanager
def server_of(text):
    """For SILENT the mount that it names, whose server reads a question for the report and never answers. In a mount namespace, on a /mnt,
    of this program's own. When it is over the server answers, what was held ends, and its leaf is taken away."""
    if text != SILENT:
        yield lambda record: None
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt"], check=True)
    try:
        first = [f"mkdir /alice 700 {fixture.UID} {fixture.UID}", f"file /alice/report.csv 600 {fixture.UID} {fixture.UID} 1,2,3",
                 "stall READ 1 report.csv"]
        with fixture.Faultfs(os.environ["BIVY_FAULTFS"], "/mnt/weed", "direct_io", first) as server:
            def release(record):
                server.ctl("release")
                fixture.await_true(lambda: gone(record["id"]), f"the end of {record['id']}")
            yield release
    finally:
        fixture.detach("/mnt")


def run(text):
    """(record, status), as ended() gives it."""
    with server_of(text) as release:
        record, status = ended(text)
        release(record)
    return record, status


def ended(text):
    """(record, status) of bivy run with these words; SIGTERM once it has printed `began`."""
    with tempfile.TemporaryFile() as report:
        bivy = subprocess.Popen([os.environ["BIVY"], "run", "--report", f"fd:{report.fileno()}", *shlex.split(text)],
                                pass_fds=[report.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            if "echo began" in text:
                bivy.stdout.readline()
                bivy.send_signal(signal.SIGTERM)
            bivy.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            bivy.kill()
            raise
        report.seek(0)
        return json.loads(report.read()), bivy.returncode


def shown(record, more):
    """The keys that the page has."""
    part = {key: record[key] for key in record if key in ALWAYS + tuple(more)}
    part["limits_hit"] = [limit for limit in part["limits_hit"] if limit != "cpu"]
    part["hints"] = [hint for hint in part["hints"] if hint["about"] != "cpu"]
    if part.get("workspace"):
        part["workspace"] = {"path": part["workspace"]["path"], "error": part["workspace"]["error"]}
    return part


def gist(part):
    """What must not change unseen."""
    error = part["error"] or {}
    return {"outcome": part["outcome"], "exit_code": part["exit_code"], "signal_name": part["signal_name"], "bivy_exit": part["bivy_exit"],
            "stage": error.get("stage"), "errno": error.get("errno"), "limits_hit": sorted(part["limits_hit"]),
            "hints": sorted(hint["about"] for hint in part["hints"]), "keys": sorted(part),
            "truncated": part.get("stdout", {}).get("truncated"), "workspace": (part.get("workspace") or {}).get("error"),
            "residue": len(part.get("residue", []))}


def json_block(part):
    """One line a key."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in part.items())
    return f"```json\n{{\n{lines}\n}}\n```\n"


def wrapped(text):
    return textwrap.fill(text, 128, break_long_words=False, break_on_hyphens=False)


def page():
    yield HEAD
    for title, words, more, meaning in CASES:
        record, status = run(words)
        if status != record["bivy_exit"]:
            raise RuntimeError(f"{words}: status {status}, record {record['bivy_exit']}")
        yield (f"\n## {title}\n" if title else "") + f"\n```console\n$ bivy run {words}\n```\n{json_block(shown(record, more))}\n{wrapped(meaning)}\n"


def written(document=DOCUMENT):
    """{words: what the page shows}"""
    with open(document, encoding="utf-8") as file:
        text = file.read()
    blocks = re.findall(r"```console\n\$ bivy run ([^\n]*)\n```\n```json\n(.*?)\n```", text, re.DOTALL)
    return {words: json.loads(shows) for words, shows in blocks}


def serve(document, head, page, check):
    """The whole program of a page: --write writes it; without, check(text, shows) makes its points, shows as written() gives it."""
    status = excuse()
    if status is not None:
        return status
    if sys.argv[1:] == ["--write"]:
        text = "".join(page())
        with open(document, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    with open(document, encoding="utf-8") as file:
        text = file.read()
    check(text, written(document))
    verdict(text.startswith(head), "the page begins with the program's own words")
    finish()
    return 0


def check(text, shows):
    with open(os.path.join(CHECKOUT, "docs", "record.schema.json"), encoding="utf-8") as file:
        outcomes = json.load(file)["properties"]["outcome"]["enum"]
    for _, words, more, _ in CASES:
        if words == SILENT and silent_server():
            verdict(True, f"{words} # SKIP {silent_server()}")
            continue
        record, status = run(words)
        seen, page_has = gist(shown(record, more)), gist(shows[words]) if words in shows else None
        verdict(seen == page_has and status == seen["bivy_exit"], words,
                f"status {status}\nseen {seen}\npage {page_has}\ntests/examples/outcomes.py --write")
    has = {show["outcome"] for show in shows.values()}
    verdict(has == set(outcomes), "every outcome is there", has ^ set(outcomes))
    verdict(all(wrapped(meaning) in text for *_, meaning in CASES) and len(shows) == len(CASES),
            "the page's own words are those of outcomes.py")


if __name__ == "__main__":
    if os.geteuid() == 0 and not silent_server():
        fixture.enter_namespace()
    sys.exit(serve(DOCUMENT, HEAD, page, check))
