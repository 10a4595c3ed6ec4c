#!/usr/bin/env python3
"""bivy on workspaces that are well, slow, stalled, dead, absent, read-only, full, somebody else's or of the wrong type,
before a run, during it and at its end: the answer comes in time and is the right one, and not one byte lands outside
the mount. TAP on stdout.

    test_workspace.py FAULTFS BIVY ROOTFS SCHEMA [PATTERN]

Needs root, /dev/fuse, cgroups and python3-jsonschema, some cases bindfs; otherwise it skips (77), or fails under
BIVY_TEST_STRICT=1. BIVY_TEST_FULL=1 runs all cases, else the most telling ones.
What drives the cases, and what is asked after each, is in drive.py.
"""

import hashlib
import os
import re
import select
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True  # the tests leave nothing in the source tree

from drive import ANSWER_WITHIN, FULL, SLACK, Lateness, Run, Setting, case, check, main
from fixture import DEADLINE, UID, Failure, await_true, contents, detach, process_state

OTHER = 12345


def sha(data):
    return hashlib.sha256(data).hexdigest()


def on_server(fs, path, data):
    """The server has exactly that file, committed."""
    file = fs.tree().get(path)
    check(file and file["sha256"] == sha(data) and file["state"] == "committed", path, fs.tree())


def untouched(fs):
    """Nothing was made on the server."""
    made = [row for row in fs.log() if row[0] in ("MKDIR", "CREATE", "MKNOD", "WRITE", "SETATTR", "SYMLINK", "UNLINK")]
    check(not made, made)


def is_stuck(record, fs, call, code=None, names=("process",)):
    """The record of a run that its workspace's file system holds."""
    check(record["exit_code"] == code, record)
    message = record["error"]["message"]
    check(fs.root in message and "fuse.seaweedfs" in message, message)
    for word in names:
        check(word in message, word, message)
    check(
        not call or re.search(rf"process \d+ \"[^\"]*\", state [DSZX], in {call}, waits in \w+", message), call, message
    )
    check(str(fs.connection) in record["error"]["hint"] and "bivy clean" in record["error"]["hint"], record["error"])
    check(len(record["residue"]) == 1 and "cgroup leaf" in record["residue"][0], record["residue"])


# ---- the table: healthy


@case()
def healthy(it):
    fs = it.serve(options="attr_timeout=1,entry_timeout=1")
    run = it.run(
        fs,
        "cat old; echo new > new; mkdir d; echo deep > d/f; mv d/f d/g; ln d/g h; ln -s h s; rm old; exit 3",
        timeout=20,
    )
    record = run.finish(3, "exited", None)
    check(run.out == b"hello" and run.err == b"", run.out, run.err)
    check(record["residue"] == [] and record["error"] is None, record)
    told = record["workspace"]
    check(
        told["path"] == fs.root + "/alice" and told["user_id"] == "alice" and told["fstype"] == "fuse.seaweedfs", told
    )
    check(told["owner_uid"] == told["owner_gid"] == UID and told["sync"] is None and 0 < told["check_ms"] < 20000, told)
    tree = fs.tree()
    check(set(tree) == {"/"} | {"/alice" + name for name in ("", "/new", "/d", "/d/g", "/h", "/s")}, tree)
    check(all(file["uid"] == file["gid"] == str(UID) for path, file in tree.items() if path != "/"), tree)
    on_server(fs, "/alice/new", b"new\n")
    on_server(fs, "/alice/h", b"deep\n")


@case()
def healthy_at_the_end(it):
    """What a killed grandchild wrote and did not close is on the server, whoever ended the run."""
    fs = it.serve()
    story = "(exec 3> %s; echo data >&3; sleep 100) & until test -s %s; do :; done; "
    it.run(fs, story % ("late", "late") + "exit 4", timeout=20).finish(4, "exited", None)
    on_server(fs, "/alice/late", b"data\n")
    run = it.run(
        fs, story % ("later", "later") + "echo closed > closed; echo go; sleep 100", timeout=2 * Setting.timeout
    )
    run.finish(124, "timeout", None)
    check(run.out == b"go\n", run.out)
    on_server(fs, "/alice/later", b"data\n")
    on_server(fs, "/alice/closed", b"closed\n")


# ---- slow


@case()
def slow_before(it):
    fs = it.serve("late ANY 30")
    it.run(fs, "cat old; echo new > new", timeout=20).finish(0, "exited", None)
    on_server(fs, "/alice/new", b"new\n")


@case(("GETATTR",), ("LOOKUP",), ("STATFS", FULL))
def too_slow_before(it, operation):
    fs = it.serve(f"late {operation} 2500")
    it.refused(fs, "unresponsive", before=0.3)


@case()
def slow_during(it):
    fs = it.serve("late WRITE 400", "late FLUSH 300", "late READ 300")
    run = it.run(fs, "cat old; echo new > new; cat new", timeout=20)
    run.finish(0, "exited", None)
    check(run.out == b"hellonew\n", run.out)
    on_server(fs, "/alice/new", b"new\n")


@case()
def slow_at_the_end(it):
    """A flush that takes 1.5 s after the kill is waited for: no run is called stuck because its server is slow."""
    for _ in range(5):
        fs = it.serve()
        run = it.run(fs, "exec 3> f; echo data >&3; echo go; exec sleep 100", timeout=Setting.timeout, kill_after=0.0)
        run.await_line()
        fs.ctl("late", "FLUSH", "1500", "=1")
        with Lateness() as lateness:
            record = run.finish()
        on_server(fs, "/alice/f", b"data\n")
        if record["outcome"] == "stuck" and lateness.late > 0.15:
            continue  # the machine was so late that nobody can tell; 0.2 s are between the two
        check(record["outcome"] == "timeout" and record["workspace"]["error"] is None, record, lateness.late)
        check(record["residue"] == [], record)
        return
    raise Failure("this machine was too late every time")


@case()
def slow_after_the_end(it):
    """The command has ended well; its server takes its time to say how it is."""
    fs = it.serve()
    run = it.run(fs, "echo go; read _; exit 7", timeout=20)
    run.await_line()
    fs.ctl("late", "ANY", "20")
    run.say()
    run.finish(7, "exited", None)


# ---- stalled


@case(("GETATTR", "1"), ("LOOKUP", "1"), ("GETATTR", "2"), ("STATFS", "1"), ("ANY", "1"))
def stalled_before(it, operation, nth):
    """Nothing of the caller's is held by the helper that hangs: Run.finish sees the end of both pipes."""
    fs = it.serve(f"stall {operation} {nth}")
    record = it.refused(fs, "unresponsive", before=0.3)
    check(len(record["residue"]) == 1 and record["residue"][0].startswith("helper process "), record["residue"])
    pid = int(record["residue"][0].split()[2])
    check(process_state(pid) == "D", process_state(pid))
    held = {link: os.readlink(f"/proc/{pid}/fd/{link}") for link in os.listdir(f"/proc/{pid}/fd")}
    check(not [link for link in held.values() if link.startswith("pipe:")], held)
    check(os.readlink(f"/proc/{pid}/cwd") == "/", os.readlink(f"/proc/{pid}/cwd"))
    untouched(fs)
    if (operation, nth) == ("GETATTR", "1"):
        it.refused(fs, "unresponsive", before=0.3)
        fs.ctl("release")
        it.run(fs, "cat old", timeout=20).finish(0, "exited", None)


@case()
def stopped_reading_before(it):
    fs = it.serve()
    fs.ctl("stop-serving")
    record = it.refused(fs, "unresponsive", before=0.3)
    check(record["residue"] == [], "requests that nobody has read can be killed", record["residue"])
    fs.ctl("serve")
    it.run(fs, "cat old", timeout=20).finish(0, "exited", None)


@case()
def stalled_before_without_a_policy(it):
    """--workspace alone is under the same deadline."""
    fs = it.serve("stall GETATTR")
    run = Run(it, ["--workspace", fs.root + "/alice"], ["true"], before=0.3)
    run.finish(125, "setup_failed", "unresponsive")


@case(("//",), ("/./",))
def stalled_before_and_the_path_written_oddly(it, separator):
    fs = it.serve("stall GETATTR", "stall LOOKUP")
    head, tail = os.path.split(fs.root)
    for options in (
        ["--workspace-root", head + separator + tail, "--user-id", "alice"],
        ["--workspace", head + separator + tail + "/alice"],
    ):
        Run(it, options, ["true"], before=0.3).finish(125, "setup_failed", "unresponsive")


@case()
def stalled_before_and_the_caller_is_in_it(it):
    """bivy's own working directory is on the mount, the path relative."""
    fs = it.serve()
    # Only a child may stand there, and it is bivy itself in the end.
    for options in (["--workspace", "."], ["--workspace", "alice"], it.options(fs)):
        cwd = fs.root + ("/alice" if options[1] == "." else "")
        fs.ctl("clear")
        gate = subprocess.Popen(
            [
                "sh",
                "-c",
                'cd "$1" && echo in && read _ && shift && exec "$@"',
                "sh",
                cwd,
                Setting.bivy,
                "run",
                "--rootfs",
                Setting.rootfs,
                "--cgroup-parent",
                it.parent,
                "--workspace-timeout",
                "300ms",
                "--timeout",
                "1s",
                *options,
                "true",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        check(gate.stdout.readline() == "in\n", "cd")
        fs.ctl("stall", "ANY")
        begin = time.monotonic()
        with Lateness() as lateness:
            try:
                _, words = gate.communicate("\n", timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                gate.kill()
                raise AssertionError(f"no answer: {options}") from None
        elapsed = time.monotonic() - begin
        check(gate.returncode == 125 and "does not answer" in words, gate.returncode, words)
        check(elapsed < 0.3 + ANSWER_WITHIN + SLACK + 2 * lateness.late, elapsed)
        fs.ctl("release")


@case()
def stalled_before_and_only_planned(it):
    fs = it.serve("stall GETATTR")
    run = Run(it, it.options(fs), ["true"], before=0.3, verb="plan", timeout=0.1)
    run.finish(125)
    check(b"does not answer" in run.err and run.out == b"", run.out, run.err)


@case()
def stalled_before_and_bivy_told_to_stop(it):
    """SIGTERM is heard while a helper waits."""
    fs = it.serve("stall GETATTR")
    run = it.run(fs, "true", "--workspace-timeout", "10s", timeout=1.0)
    fs.ctl("await", "GETATTR", "1")
    began = time.monotonic()
    run.process.terminate()
    record = run.finish(125, "setup_failed", more=10)
    elapsed = time.monotonic() - began
    check(elapsed < ANSWER_WITHIN + SLACK + 2 * run.lateness.late, f"answered {elapsed:.2f} s after SIGTERM", record)
    check("told to stop" in record["error"]["message"], record["error"])


@case()
def stalled_before_and_bivy_killed(it):
    """The helper goes with it as soon as its server lets it."""
    fs = it.serve("stall GETATTR")
    run = it.run(fs, "true", "--workspace-timeout", "30s")
    fs.ctl("await", "GETATTR", "1")
    run.process.kill()
    run.process.wait()
    for pipe in run.open:
        check(select.select([pipe], [], [], DEADLINE)[0] and pipe.read() == b"", "a pipe is held")
    run.lateness.__exit__()
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 1, f"the helper's end: {it.children()}")


@case()
def stalled_before_and_the_record_lies_there_too(it):
    """A record on the same silent file system: no answer there, yet one on stderr and by the exit status."""
    fs = it.serve("file /record 644 0 0", "stall OPEN", "stall SETATTR")
    run = Run(it, it.options(fs), ["true"], before=0.3, report=fs.root + "/record")
    run.verb = "plan"  # there is no record to read
    run.finish(125)


@case(("exits", "7"), ("times out", "124"))
def stalled_at_the_end(it, how, status):
    """The command did nothing that could hang; its server has gone silent meanwhile."""
    fs = it.serve()
    run = it.run(fs, "echo go; read _; exit 7", timeout=20 if how == "exits" else Setting.timeout)
    run.await_line()
    fs.ctl("stall", "ANY")
    if how == "exits":
        run.say()
    run.finish(int(status), "exited" if how == "exits" else "timeout", "unresponsive")


@case(("WRITE",), ("FSYNC", FULL), ("UNLINK", FULL))
def stalled_at_the_end_while_bivy_tries_to_write(it, operation):
    """What bivy makes in order to see whether there is room does not stay in the user's workspace."""
    fs = it.serve()
    run = it.run(fs, "echo go; read _; exit 7", timeout=20)
    run.await_line()
    fs.ctl("stall", operation)
    run.say()
    run.finish(7, "exited", "unresponsive")
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 1, f"the helper's end: {it.children()}")
    it.run(fs, "true", timeout=20).finish(0, "exited", None)
    check(set(fs.tree()) == {"/", "/alice", "/alice/old"}, fs.tree())


# ---- stalled during: each operation, at each moment, by each process

ACTS = {  # what sh does to meet it, and the system call that hangs, if it is always the same
    "LOOKUP": ("cat victim", "open"),
    "OPEN": ("cat victim", "open"),
    "READ": ("cat victim", "(read|sendfile)"),
    "WRITE": ("dd if=/dev/zero of=victim bs=4096 count=1 conv=notrunc", "write"),
    "FLUSH": ("dd if=/dev/zero of=victim bs=4096 count=1 conv=notrunc", "(close|dup2)"),
}
OPERATIONS = tuple(ACTS)


def victim():
    return f"file /alice/victim 755 {UID} {UID} data"


DIRECT = "direct_io"  # a read that waits for a page can be killed, one that goes to the server cannot


def held_to_the_end(it, fs, run, operation, code=None, call=None):
    """Its answer is `stuck`; and then the leaf goes as soon as the server lets it."""
    fs.ctl("await", operation, "1", str(DEADLINE))
    record = run.finish(124, "stuck", "io_stuck")
    is_stuck(record, fs, call, code)
    check(len(it.stuck_leaves()) == 1, it.stuck_leaves())
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 1, f"the end of what was held: {it.children()}")
    return record


@case(*((operation,) if operation in ("LOOKUP", "WRITE") else (operation, FULL) for operation in OPERATIONS))
def stalled_from_the_first_call(it, operation):
    """The command's own first call: its program's for the first three, which lies in the workspace."""
    fs = it.serve(victim(), f"stall {operation} 1 victim", options=DIRECT)
    command = ["/workspace/victim"] if operation in ("LOOKUP", "OPEN", "READ") else ACTS[operation][0].split()
    held_to_the_end(it, fs, it.run(fs, command), operation)


@case(*((operation,) for operation in OPERATIONS))
def stalled_during(it, operation):
    fs = it.serve(victim(), options=DIRECT)
    act, call = ACTS[operation]
    run = it.run(fs, f"cat old; echo go; read _; exec {act}", timeout=Setting.timeout + 0.5)
    run.await_line()
    fs.ctl("stall", operation, "1", "victim")
    run.say()
    held_to_the_end(it, fs, run, operation, call=call)
    check(run.out == b"hellogo\n", "output before the stall", run.out)


@case(*((operation,) if operation in ("READ", "FLUSH") else (operation, FULL) for operation in OPERATIONS))
def stalled_at_the_timeout(it, operation):
    """It is SIGTERM that makes the process call."""
    fs = it.serve(victim(), options=DIRECT)
    act = "exec 3>> victim; echo x >&3; echo go; exec sleep 100"
    if operation != "FLUSH":
        act = f"trap 'exec {ACTS[operation][0]}' TERM; echo go; sleep 100 & wait; exit 9"
    run = it.run(fs, act, kill_after=1.0)
    run.await_line()
    fs.ctl("stall", operation, "1", "victim")
    held_to_the_end(it, fs, run, operation)


@case(*((operation,) if operation in ("READ", "FLUSH") else (operation, FULL) for operation in OPERATIONS))
def stalled_child_of_a_sound_main_process(it, operation):
    fs = it.serve(victim(), options=DIRECT)
    run = it.run(fs, f"echo go; read _; {ACTS[operation][0]} & exec sleep 100", timeout=Setting.timeout + 0.5)
    run.await_line()
    fs.ctl("stall", operation, "1", "victim")
    run.say()
    held_to_the_end(it, fs, run, operation)


@case(*((operation,) if operation in ("OPEN", "WRITE") else (operation, FULL) for operation in OPERATIONS))
def stalled_child_of_a_main_process_that_exits(it, operation):
    """What the main process gave stands in the record."""
    fs = it.serve(victim(), options=DIRECT)
    run = it.run(fs, f"({ACTS[operation][0]}) & echo go; read _; exit 5", timeout=Setting.timeout + 0.5)
    fs.ctl("stall", operation, "1", "victim")
    run.await_line()
    try:
        fs.ctl("await", operation, "1", "1")
    except Failure:  # it was faster than the rule
        run = it.run(fs, f"({ACTS[operation][0]}) & echo go; read _; exit 5", timeout=Setting.timeout + 0.5)
        fs.ctl("await", operation, "1", str(DEADLINE))
    run.say()
    held_to_the_end(it, fs, run, operation, code=5)


def told(record, waits):
    """The processes that the autopsy says wait so."""
    check(record["autopsy"] and record["autopsy"]["took_ms"] < 1000, record)
    return [process for process in record["autopsy"]["told"] if process["waits"] == waits]


@case(*((operation,) if operation in ("LOOKUP", "READ", "FLUSH") else (operation, FULL) for operation in OPERATIONS))
def stalled_and_the_autopsy_says_so(it, operation):
    """Who waits for the workspace's server, in which call, on which file; and that the others wait for him."""
    fs = it.serve(victim(), options=DIRECT)
    act, call = ACTS[operation]
    run = it.run(fs, f"echo go; read _; {act}; echo never", timeout=Setting.timeout + 0.5)
    run.await_line()
    fs.ctl("stall", operation, "1", "victim")
    run.say()
    record = held_to_the_end(it, fs, run, operation)
    held = told(record, "workspace")
    check(len(held) == 1 and held[0]["name"] == act.split()[0], record["autopsy"])
    check(re.fullmatch(call, str(held[0]["syscall"])), record["autopsy"])
    if operation != "FLUSH":  # dup2 has closed it already
        check([end["path"] for end in held[0]["on"]] == ["/workspace/victim"], held)
    check(held[0]["state"] in "SD" and held[0]["pid"] != 2 and held[0]["ppid"] == 2, held)
    check([process["pid"] for process in told(record, "child")] == [2], record["autopsy"])


@case()
def stalled_page_and_the_autopsy_says_so(it):
    """A reader that waits for a page, not for a request of his own."""
    fs = it.serve(victim(), "stall READ 1 victim")
    run = it.run(fs, "exec cat victim")
    fs.ctl("await", "READ", "1", str(DEADLINE))
    record = run.finish(124, "timeout")
    check([process["name"] for process in told(record, "workspace")] == ["cat"], record["autopsy"])


@case()
def stalled_in_execve(it):
    """execve closes descriptors while it holds a lock that much of /proc waits for: bivy must not wait with it."""
    fs = it.serve(options=DIRECT)
    story = "echo 'echo go; read _; exec sleep 100' > script; exec sh script"
    run = it.run(fs, story, timeout=Setting.timeout + 0.5)
    run.await_line()
    fs.ctl("stall", "FLUSH", "1", "script")
    run.say()
    record = held_to_the_end(it, fs, run, "FLUSH")
    check([process["name"] for process in told(record, "workspace")] == ["sh"], record["autopsy"])
    check(record["autopsy"]["processes"] == 1 and record["autopsy"]["took_ms"] >= 40, record["autopsy"])


@case()
def stalled_with_a_command_line_in_it(it):
    """Whose command line lies in a silent server's file is not asked for it: bivy's helper would wait for ever."""
    if not os.path.exists(os.environ.get("BIVY_PAYLOAD", "")):
        raise Failure("BIVY_PAYLOAD must name the integration tests' payload program")
    fs = it.serve(victim())
    it.child("cp", os.environ["BIVY_PAYLOAD"], fs.root + "/alice/payload")
    it.child("chown", f"{UID}:{UID}", fs.root + "/alice/payload")
    it.child("chmod", "700", fs.root + "/alice/payload")
    run = it.run(fs, ["./payload", "trap"])
    fs.ctl("stall", "READ", "1", "victim")
    run.await_line()
    record = run.finish(124, "timeout", None)
    check([process["command"] for process in told(record, "signal")] == [None], record["autopsy"])
    check(record["residue"] == [] and len(it.children()) == 1, record["residue"])


@case()
def a_stuck_child_does_not_cost_the_rest_of_the_timeout(it):
    """The command has ended; only what it left hangs."""
    fs = it.serve(victim(), "stall READ 1 victim", options=DIRECT)
    run = it.run(fs, "cat victim & echo go; read _; exit 5", timeout=25, kill_after=0.1)
    fs.ctl("await", "READ", "1", str(DEADLINE))
    began = time.monotonic()
    run.say()
    run.finish(124, "stuck", "io_stuck")
    elapsed = time.monotonic() - began
    check(
        elapsed < 0.1 + ANSWER_WITHIN + SLACK + 2 * run.lateness.late,
        f"answered {elapsed:.2f} s after the command's end",
    )


@case()
def a_stalled_read_of_a_page_can_be_killed(it):
    """Without direct_io a reader waits for the page, and SIGKILL ends that: nothing is stuck."""
    fs = it.serve(victim(), "stall READ 1 victim")
    run = it.run(fs, "exec cat victim")
    fs.ctl("await", "READ", "1", str(DEADLINE))
    record = run.finish(124, "timeout")
    check(record["residue"] == [] and not it.stuck_leaves(), record["residue"])


@case()
def stalled_where_explain_looks(it):
    """--explain reads from the command's memory whom it wants to reach. Here that is a page whose server is silent: bivy goes on."""
    fs = it.serve(victim(), "stall READ 1 victim")
    program = fs.root + "/alice/payload"
    it.child("sh", "-c", 'cat "$0" > "$1" && chmod 755 "$1"', os.environ["BIVY_PAYLOAD"], program)
    run = it.run(fs, "./payload reach-through victim & echo shell; read _; echo more; wait", "--explain")
    run.await_line()
    fs.ctl("await", "READ", "1", str(DEADLINE))
    run.say()
    run.await_line("more")
    record = run.finish(124, "timeout")
    check(record["explain"]["network"] == [] and record["explain"]["network_others"] == 1, record["explain"])
    check(record["residue"] == [] and not it.stuck_leaves(), record["residue"])


@case()
def named_where_a_helper_looks(it):
    """On a workspace whose server may be silent a helper reads the memory, and finds the same names."""
    fs = it.serve(victim())
    program = fs.root + "/alice/payload"
    it.child("sh", "-c", 'cat "$0" > "$1" && chmod 755 "$1"', os.environ["BIVY_PAYLOAD"], program)
    record = it.run(fs, "./payload ask-connected one.example.org; ./payload ask-pointed", "--explain").finish(0, "exited")
    names = [(row["name"], row["port"]) for row in record["explain"]["network"]]
    check(names == [("one.example.org", 53), ("right.example", 53)], record["explain"])
    check(record["explain"]["network_others"] == 0 and record["residue"] == [], record["explain"], record["residue"])


@case()
def stalled_in_several(it):
    """Three kinds at once."""
    fs = it.serve(victim(), "stall READ 1 victim", "stall LOOKUP 1 nowhere", "stall FLUSH 1 new", options=DIRECT)
    run = it.run(fs, "cat victim & cat nowhere & echo x > new & wait", timeout=Setting.timeout + 0.5)
    held_to_the_end(it, fs, run, "ANY")


@case(("2",), ("3",), ("4",))
def stalled_bind_source(it, nth):
    """It answered when it was checked, and not when the sandbox was set up on it."""
    fs = it.serve(f"stall GETATTR {nth} alice")
    record = it.run(fs, "echo ran > ran").finish()
    tree = fs.tree()
    if record["isolation"] is None:
        check(record["outcome"] == "setup_failed" and record["bivy_exit"] == 125, record)
    else:
        check(record["outcome"] == "stuck" and record["bivy_exit"] == 124, record)
    check(record["workspace"]["error"] == "io_stuck" and "/alice/ran" not in tree, record, tree)


@case()
def stalled_root_as_the_bind_source(it):
    fs = it.serve(name=None)
    it.child("chown", f"{UID}:{UID}", fs.root)
    it.child("chmod", "700", fs.root)
    options = ["--workspace", fs.root, "--require-fs", "fuse.seaweedfs"]
    Run(it, options, ["sh", "-c", "echo new > new"], timeout=20).finish(0, "exited", None)
    on_server(fs, "/new", b"new\n")
    fs.ctl("stall", "GETATTR")
    Run(it, options, ["true"], before=0.3).finish(125, "setup_failed", "unresponsive")


@case()
def stalled_and_bivy_told_to_stop(it):
    """SIGTERM to bivy ends it in time too."""
    fs = it.serve(victim(), "stall READ 1 victim", options=DIRECT)
    run = it.run(fs, "exec cat victim", timeout=30)
    fs.ctl("await", "READ", "1", str(DEADLINE))
    began = time.monotonic()
    run.process.terminate()
    record = run.finish(124, "stuck", "io_stuck")
    elapsed = time.monotonic() - began
    check(
        elapsed < 0.1 + ANSWER_WITHIN + SLACK + 2 * run.lateness.late, f"answered {elapsed:.2f} s after SIGTERM", record
    )


@case()
def stalled_and_bivy_killed(it):
    """bivy gone in mid-run: the next clean finds the leaf, says so, and removes it once it can."""
    fs = it.serve(victim(), "stall READ 1 victim", options=DIRECT)
    run = it.run(fs, "exec cat victim", timeout=30)
    fs.ctl("await", "READ", "1", str(DEADLINE))
    run.process.kill()
    run.process.wait()
    run.lateness.__exit__()
    await_true(lambda: len(it.stuck_leaves()) == 1, "the leaf")
    time.sleep(2.1)  # a leaf younger than this may be somebody's
    it.clean(1, "removed 0, live 0, stuck 1")
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 1, f"the end of what was held: {it.children()}")


@case()
def what_is_stuck_is_in_nobodys_way(it):
    """bivy clean says so in time, later runs of others work, and clean removes it when it has gone."""
    fs, well = it.serve(victim(), "stall READ 1 victim", options=DIRECT), it.serve(user=OTHER, name="bob")
    run = it.run(fs, "exec cat victim")
    fs.ctl("await", "READ", "1", str(DEADLINE))
    run.finish(124, "stuck", "io_stuck")
    it.clean(1, "removed 0, live 0, stuck 1")
    for _ in range(3):
        later = it.run(well, "echo fine > fine; cat fine", name="bob", timeout=Setting.timeout)
        later.finish(0, "exited", None)
        check(later.out == b"fine\n", later.out)
    again = it.run(fs, "cat old")  # the same user, another file: his server still answers that
    again.finish(0, "exited", None)
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 2, f"the end of what was held: {it.children()}")
    it.clean(0, "removed 1, live 0, stuck 0")


@case()
def abort_stuck_frees(it):
    fs = it.serve(victim().replace("/alice", ""), "stall READ 1 victim", options=DIRECT, name=None)
    it.child("chown", f"{UID}:{UID}", fs.root)
    it.child("chmod", "700", fs.root)
    run = Run(it, ["--workspace", fs.root, "--require-fs", "fuse.seaweedfs", "--abort-stuck"], ["cat", "victim"])
    fs.ctl("await", "READ", "1", str(DEADLINE))
    record = run.finish(124, "timeout", "io_stuck")
    check(record["residue"] == [], record["residue"])
    check(not it.stuck_leaves(), it.stuck_leaves())


@case()
def abort_stuck_leaves_the_healthy_alone(it):
    fs = it.serve(name=None)
    it.child("chown", f"{UID}:{UID}", fs.root)
    it.child("chmod", "700", fs.root)
    options = ["--workspace", fs.root, "--require-fs", "fuse.seaweedfs", "--abort-stuck"]
    Run(it, options, ["sh", "-c", "trap '' TERM; while :; do :; done"]).finish(124, "timeout", None)
    Run(it, options, ["sh", "-c", "echo new > new"], timeout=20).finish(0, "exited", None)
    on_server(fs, "/new", b"new\n")


def weigh(shares, weight):
    """How much of a processor all sandboxes of the test get together, against the rest of the machine."""
    for mount in Setting.mounts:
        for name, value in (("cpu.shares", shares), ("cpu.weight", weight)):
            if os.path.exists(os.path.join(mount + Setting.parent, name)):
                with open(os.path.join(mount + Setting.parent, name), "w", encoding="ascii") as file:
                    file.write(value)


def hog(processor):
    """Somebody far more important than anybody else there; with a group of its own where the kernel makes them for sessions (sched(7))."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        os.sched_setaffinity(0, {processor})
        if os.path.exists("/proc/self/autogroup"):
            with open("/proc/self/autogroup", "w", encoding="ascii") as group:
                group.write("-20")
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        while True:
            pass
    finally:
        os._exit(1)


@case(alone=True)
def abort_stuck_ends_no_mount_because_the_host_is_busy(it):
    """Forty that were killed, and no processor for them to end on. No server is blamed for that."""
    *others, processor = sorted(os.sched_getaffinity(0))
    if not others:
        return  # bivy itself needs one
    fs = it.serve(name=None)
    it.child("chown", f"{UID}:{UID}", fs.root)
    it.child("chmod", "700", fs.root)
    options = ["--workspace", fs.root, "--require-fs", "fuse.seaweedfs", "--abort-stuck"]
    loops = "i=0; while [ $((i += 1)) -lt 40 ]; do (while :; do :; done) & done; echo go; while :; do :; done"
    os.sched_setaffinity(0, {processor})
    run = Run(it, options, ["sh", "-c", loops], timeout=3 * Setting.timeout)
    os.sched_setaffinity(0, {*others, processor})
    run.await_line()
    os.sched_setaffinity(run.process.pid, others)
    weigh("2", "1")
    busy = hog(processor)
    try:
        record = run.finish(124, "stuck", None)
    finally:
        weigh("1024", "100")
        os.kill(busy, signal.SIGKILL)
        os.waitpid(busy, 0)
    check(record["error"]["errno"] == "EAGAIN" and "no processor" in record["error"]["message"], record["error"])
    await_true(lambda: len(it.children()) == 1, f"the end of what was killed: {it.children()}")
    Run(it, options, ["sh", "-c", "echo new > new"], timeout=20).finish(0, "exited", None)
    on_server(fs, "/new", b"new\n")


@case()
def abort_stuck_is_refused_on_a_shared_mount(it):
    fs = it.serve()
    it.refused(fs, "invalid", "--abort-stuck")
    run = Run(it, ["--workspace", fs.root + "/alice", "--abort-stuck"], ["true"])
    run.finish(125, "setup_failed", "invalid")


# ---- dead


@case(("die",), ("abort",))
def dead_before(it, how):
    fs = it.serve()
    fs.ctl(how)
    it.refused(fs, "disconnected")
    Run(it, ["--workspace", fs.root + "/alice"], ["true"]).finish(125, "setup_failed", "disconnected")
    Run(it, ["--workspace", fs.root], ["true"]).finish(125, "setup_failed", "disconnected")


@case(("die",), ("abort", FULL))
def dead_during(it, how):
    fs = it.serve()
    run = it.run(fs, "exec 3> f; echo go; read _; cat old; exit 6", timeout=20)
    run.await_line()
    fs.ctl(how)
    run.say()
    run.finish(6, "exited", "disconnected")
    check(b"not connected" in run.err or b"abort" in run.err.lower(), run.err)


@case(("exits",), ("times out",))
def dead_at_the_end(it, how):
    fs = it.serve()
    run = it.run(
        fs, "exec 3> f; echo data >&3; echo go; read _; exit 6", timeout=20 if how == "exits" else Setting.timeout
    )
    run.await_line()
    fs.ctl("die")
    if how == "exits":
        run.say()
        run.finish(6, "exited", "disconnected")
    else:
        run.finish(124, "timeout", "disconnected")


@case(("ENOTCONN", "disconnected"), ("EIO", "disconnected", FULL), ("EACCES", "permission", FULL))
def dead_between_check_and_setup(it, error, expected):
    fs = it.serve(f"errno GETATTR {error} 2 alice")
    run = it.run(fs, "echo ran > ran")
    record = run.finish(125, "setup_failed", expected)
    check(record["isolation"] is None and "/alice/ran" not in fs.tree(), record)


@case(
    ("EIO", "disconnected"),
    ("ETIMEDOUT", "unresponsive"),
    ("EAGAIN", "unresponsive"),
    ("EACCES", "permission"),
    ("ENOSPC", "full"),
    ("ECONNREFUSED", "disconnected"),
    ("ESTALE", "disconnected"),
)
def errors_before(it, error, expected):
    for operation in ("LOOKUP", "GETATTR"):
        fs = it.serve(f"errno {operation} {error} 1 alice")
        it.refused(fs, expected)


# ---- absent


@case()
def absent_before(it):
    """The directory below the mount holds all that a careless runtime would write to."""
    fs = it.serve()
    detach(fs.root)
    it.refused(fs, "not_mounted")
    it.refused(fs, "not_mounted", "--create-workspace", "--host-uid", str(UID))
    it.refused(fs, "not_mounted", "--create-workspace", "--host-uid", str(UID), name="new")
    run = Run(it, ["--workspace-root", fs.root + "/nowhere", "--user-id", "alice"], ["true"])
    run.finish(125, "setup_failed", "invalid")


@case(("during",), ("at the end",))
def absent(it, when):
    """A mount that is taken away stays the run's: the sandbox holds it. The next run is refused."""
    fs = it.serve()
    end = "echo kept > kept; cat kept" if when == "during" else "exit 0"
    run = it.run(fs, f"exec 3> f; echo data >&3; echo go; read _; {end}", timeout=20)
    run.await_line()
    detach(fs.root)
    run.say()
    run.finish(0, "exited", None)
    it.refused(fs, "not_mounted")


@case()
def another_mount_below_the_root_is_not_the_users(it):
    fs = it.serve()
    it.cover(fs.root + "/alice")
    it.child("chown", str(UID), fs.root + "/alice")
    it.child("chmod", "700", fs.root + "/alice")
    record = it.refused(fs, "invalid")
    check("mounted" in record["error"]["message"], record["error"])
    check(it.child("ls", "-A", fs.root + "/alice") == "", "something was written")


@case()
def a_directory_of_the_mount_is_not_the_root(it):
    """--workspace-root has to be the mount itself, on whatever it lies."""
    fs = it.serve("mkdir /sub 755 0 0", f"mkdir /sub/alice 700 {UID} {UID}")
    run = Run(it, ["--workspace-root", fs.root + "/sub", "--user-id", "alice"], ["true"])
    run.finish(125, "setup_failed", "not_mounted")


# ---- read-only


@case()
def read_only_before(it):
    fs = it.serve(options="ro")
    it.refused(fs, "read_only")
    it.refused(fs, "read_only", "--create-workspace", "--host-uid", str(UID), name="new")


@case(("during",), ("at the end",))
def read_only(it, when):
    """Remounted under the command: its own errors and status, and the record says why."""
    fs = it.serve()
    end = "echo new > new; exit 6" if when == "during" else "exit 6"
    run = it.run(fs, f"echo go; read _; {end}", timeout=20)
    run.await_line()
    it.child("mount", "-i", "-o", "remount,ro", fs.root)
    run.say()
    run.finish(6, "exited", "read_only")
    check((b"Read-only" in run.err) == (when == "during"), run.err)
    check("/alice/new" not in fs.tree(), fs.tree())
    it.refused(fs, "read_only")


@case()
def read_only_by_the_servers_word(it):
    fs = it.serve("errno WRITE EROFS", "errno MKDIR EROFS")
    run = it.run(fs, "dd if=/dev/zero of=new bs=1 count=1", timeout=20)
    run.finish(1, "exited", "read_only")
    it.refused(fs, "read_only", "--create-workspace", "--host-uid", str(UID), name="new")


# ---- full


@case()
def full_before(it):
    """Whoever has a full workspace must be able to make room in it."""
    fs = it.serve("lie free 0")
    it.run(fs, "rm old; exit 3", timeout=20).finish(3, "exited", "full")
    check("/alice/old" not in fs.tree(), fs.tree())


@case()
def full_during(it):
    fs = it.serve(options="size=65536")
    run = it.run(fs, "dd if=/dev/zero of=big bs=4096 count=64", timeout=20)
    run.finish(1, "exited", "full")
    check(b"No space" in run.err, run.err)
    it.run(fs, "rm big", timeout=20).finish(0, "exited", "full")  # it was, when it began
    it.run(fs, "true", timeout=20).finish(0, "exited", None)
    check(set(fs.tree()) == {"/", "/alice", "/alice/old"}, "what bivy tries leaves nothing", fs.tree())


@case(("ENOSPC", "WRITE"), ("ENOSPC", "FLUSH"), ("EDQUOT", "WRITE", FULL), ("EDQUOT", "FLUSH"))
def full_by_the_servers_word(it, error, operation):
    fs = it.serve(f"errno {operation} {error}")
    words = b"No space" if error == "ENOSPC" else b"Disk quota"
    run = it.run(fs, "dd if=/dev/zero of=big bs=4096 count=1", timeout=20)
    run.finish(1, "exited", "full")
    check(words in run.err or b"uota" in run.err, run.err)
    fs.ctl("clear")
    it.run(fs, "exit 1", timeout=20).finish(1, "exited", None)
    check(set(fs.tree()) == {"/", "/alice", "/alice/old", "/alice/big"}, "what bivy tries leaves nothing", fs.tree())


@case()
def full_at_the_end(it):
    """Nobody but the record can say it of a flush that a dying process makes."""
    fs = it.serve("errno FLUSH ENOSPC")
    run = it.run(fs, "exec 3> f; echo data >&3; echo go; exec sleep 100")
    run.await_line()
    fs.ctl("lie", "free", "0")
    run.finish(124, "timeout", "full")


# ---- wrong owner


@case()
def wrong_owner_before(it):
    fs = it.serve(
        "mkdir /root 700 0 0",
        f"mkdir /group 710 {UID} {UID}",
        f"mkdir /other 701 {UID} {UID}",
        f"mkdir /open 777 {UID} {UID}",
        f"mkdir /no-write 500 {UID} {UID}",
        f"mkdir /nothing 0 {UID} {UID}",
        f"file /file 700 {UID} {UID} text",
    )
    for name in ("root", "group", "other", "open"):
        it.refused(fs, "bad_owner", name=name)
    it.refused(fs, "bad_owner", "--owner-range", "1-1000")
    it.refused(fs, "bad_owner", "--owner-range", f"{UID + 1}-{UID + 9}")
    it.refused(fs, "bad_owner", "--host-uid", str(OTHER))
    it.refused(fs, "permission", name="nothing")
    it.refused(fs, "invalid", name="file")
    it.refused(fs, "invalid", name="nobody")
    it.run(fs, "echo x > f", name="no-write", timeout=20).finish(1, "exited", None)
    it.run(fs, "cat old", "--owner-range", f"{UID}-{UID}", "--host-uid", str(UID), timeout=20).finish(0, "exited", None)


@case()
def wrong_owner_where_the_server_lies(it):
    for lie, error in (
        ("uid 0", "bad_owner"),
        (f"uid {UID + 7}", "bad_owner"),
        ("mode 755", "bad_owner"),
        ("type file", "invalid"),
        ("type link", "invalid"),
        ("type fifo", "invalid"),
        ("type socket", "invalid"),
        ("type block", "invalid"),
    ):
        fs = it.serve(f"lie {lie} 1 alice")
        it.refused(fs, error, "--owner-range", f"{UID}-{UID}")
        untouched(fs)


@case(("during", "6"), ("at the end", "6"))
def wrong_owner(it, when, status):
    fs = it.serve()
    run = it.run(fs, "echo go; read _; " + ("cat old; exit 6" if when == "during" else "exit 6"), timeout=20)
    run.await_line()
    it.child("chown", str(UID + 1), fs.root + "/alice")
    run.say()
    run.finish(int(status), "exited", None)
    check((b"denied" in run.err) == (when == "during"), run.err)
    it.refused(fs, "bad_owner", "--owner-range", f"{UID}-{UID}")


# ---- wrong type


@case()
def wrong_type_before(it):
    for options in ("fstype=fuse.other", "fstype=fuse"):
        fs = it.serve(options=options)
        it.refused(fs, "wrong_fstype")
    fs = it.serve()
    it.cover(fs.root)
    it.child("sh", "-c", f"mkdir -m 700 {fs.root}/alice; chown {UID} {fs.root}/alice")
    it.refused(fs, "wrong_fstype")
    check(it.child("ls", "-A", fs.root + "/alice") == "", "something was written")


@case(("during",), ("at the end",))
def wrong_type(it, when):
    """Something else mounted over it: the run keeps what was checked."""
    fs = it.serve()
    run = it.run(
        fs, "exec 3> f; echo go; read _; " + ("echo new > new; cat old" if when == "during" else "exit 0"), timeout=20
    )
    run.await_line()
    it.cover(fs.root)
    it.child("sh", "-c", f"mkdir -m 700 {fs.root}/alice; chown {UID} {fs.root}/alice")
    run.say()
    run.finish(0, "exited", None)
    check(it.child("ls", "-A", fs.root + "/alice") == "", "something was written")
    if when == "during":
        on_server(fs, "/alice/new", b"new\n")
    it.refused(fs, "wrong_fstype")


@case(("no_allow_other",), ("no_default_permissions",))
def wrong_mount_options(it, option):
    fs = it.serve(options=option)
    it.refused(fs, "permission")
    untouched(fs)


# ---- bindfs

BINDFS = {
    "wrong-uid": "bad_owner",
    "uid-0": "bad_owner",
    "mode-0755": "bad_owner",
    "symlinked-id": "invalid",
    "no-allow-other": "permission",
    "ro": "read_only",
    "unmounted": "not_mounted",
    "killed": "disconnected",
    "stopped": "unresponsive",
    "wrong-type": "wrong_fstype",
}


@case(*((state,) for state in BINDFS), bindfs=True)
def bindfs_before(it, state):
    bound = it.bind(state)
    seen = os.open(bound.root if state == "unmounted" else bound.backing, os.O_RDONLY | os.O_DIRECTORY)
    before = contents(seen)
    it.refused(bound, BINDFS[state], "--owner-range", f"{UID}-{UID}", before=0.4)
    check(contents(seen) == before, "something was written", before, contents(seen))
    os.close(seen)


@case(bindfs=True)
def bindfs_healthy(it):
    bound = it.bind("healthy")
    it.run(bound, "echo new > new; mkdir d; echo x > d/f", "--owner-range", f"{UID}-{UID}", timeout=20).finish(
        0, "exited", None
    )
    with open(bound.backing + "/alice/new", "rb") as file:
        check(file.read() == b"new\n", "new")
    check(os.stat(bound.backing + "/alice/d/f").st_uid == UID, "owner")


@case(("killed", "during"), ("killed", "at the end"), ("stopped", "during"), ("stopped", "at the end"), bindfs=True)
def bindfs(it, how, when):
    """Requests that a stopped daemon has not read can be killed: nothing is stuck then."""
    bound = it.bind("healthy")
    command = "exec 3> f; echo data >&3; echo go; read _; " + ("cat f; exit 6" if when == "during" else "exit 6")
    stopped = how == "stopped"
    run = it.run(bound, command, timeout=Setting.timeout if stopped else 20)
    run.await_line()
    (bound.stop if stopped else bound.kill)()
    run.say()
    if stopped:  # the shell's own end flushes f
        record = run.finish(error="unresponsive")
        check(record["outcome"] in ("timeout", "exited"), record)
    else:
        run.finish(6, "exited", "disconnected")
    with open(bound.backing + "/alice/f", "rb") as file:
        check(file.read() == b"data\n", "f")
    bound.cont()


# ---- lies about files, and names


@case(
    ("size 1",),
    ("size 0",),
    ("size 1099511627776",),
    ("size 9223372036854775807",),
    ("mode 4777",),
    ("uid 0",),
    ("nlink 0",),
    ("type fifo",),
    ("type link", FULL),
    ("type char", FULL),
    ("type block",),
    ("type dir", FULL),
    ("ino 1", FULL),
)
def lies_about_a_file(it, lie):
    """Whatever becomes of the command: the answer comes, and nothing leaves the mount."""
    fs = it.serve(f"lie {lie} 1 old")
    run = it.run(
        fs, "cat old | head -c 10; cp old copy; ls -l; rm -f old; exit 0", sync=0.5, timeout=Setting.timeout + 1
    )
    record = run.finish(error=None)
    check(record["outcome"] in ("exited", "timeout"), record)
    check(record["residue"] == [], record)


@case(("slash",), ("newline",), ("long",), ("longer",), ("empty",), ("dots",), ("nul",), ("control",), ("endless",))
def lies_about_names(it, lie):
    """A directory that is not one, listed by the command and walked by --sync."""
    fs = it.serve(f"lie names {lie}")
    run = it.run(fs, "ls -a; echo new > new", sync=0.6, timeout=Setting.timeout + 1)
    record = run.finish(error=None)
    check(record["outcome"] in ("exited", "timeout", "oom", "output_limit"), record)
    if lie == "endless":
        check(record["workspace"]["sync"]["errno"] is not None, record["workspace"])
    check(all(path in ("/", "/alice", "/alice/old", "/alice/new") for path in fs.tree()), fs.tree())


@case()
def links_are_never_followed(it):
    """To the outside, to itself, to another user, and where the id itself is one."""
    fs = it.serve(f"mkdir /mallory 700 {UID} {UID}", f"file /mallory/secret 644 {UID} {UID} secret")
    outside = os.path.join(it.base, "outside")
    os.mkdir(outside, 0o777)
    os.chmod(outside, 0o777)
    it.run(
        fs,
        f"ln -s {outside} out; ln -s loop loop; ln -s ../mallory up; ln -s /etc/passwd abs; mkfifo fifo; "
        "echo x > out/x; cat up/secret; cat abs > copy; echo y > y",
        sync=2,
        timeout=20,
    ).finish(0, "exited", None)
    check(os.listdir(outside) == [], os.listdir(outside))
    check("/mallory/x" not in fs.tree(), fs.tree())
    brought = {row[4] for row in fs.log() if row[0] in ("FSYNC", "FSYNCDIR")}
    check(brought <= {"/alice", "/alice/copy", "/alice/y", "/alice/old"} and "/alice/y" in brought, brought)
    it.child("ln", "-s", "alice", fs.root + "/linked")
    it.child("ln", "-s", outside, fs.root + "/outside")
    it.child("ln", "-s", "/proc/self/cwd", fs.root + "/magic")
    for name in ("linked", "outside", "magic"):
        it.refused(fs, "invalid", name=name)
        it.refused(fs, "invalid", "--create-workspace", "--host-uid", str(UID), name=name)
    check(os.listdir(outside) == [], os.listdir(outside))


# ---- who the user is


@case(
    *(
        (word,)
        for word in (
            "..",
            ".",
            "a/b",
            "../alice",
            "/alice",
            "",
            "x" * 300,
            "-x",
            "a\nb",
            "a\x1b[2J",
            "a b",
            "a\udcff",
            ".hidden",
            "alice/",
        )
    )
)
def hostile_id(it, word):
    """Refused before anything is asked of the server; also of --create-workspace."""
    fs = it.serve()
    for more in ([], ["--create-workspace", "--host-uid", str(UID)]):
        run = Run(
            it,
            [
                "--workspace-root",
                fs.root,
                *more,
                f"--user-id={word}" if word.startswith("-") else "--user-id",
                *([] if word.startswith("-") else [word]),
            ],
            ["sh", "-c", "echo ran > ran"],
        )
        record = run.finish(125, "setup_failed")
        check(record["error"]["stage"] == "options" and record["error"]["hint"], record["error"])
        control = [byte for byte in run.err if byte < 0x20 and byte != 0x0A or byte == 0x7F]
        check(not control and run.err.count(b"\n") == run.err.count(b"bivy: "), run.err)
    check([row for row in fs.log() if row[0] != "INIT"] == [], fs.log())


@case()
def hostile_id_that_is_allowed(it):
    """All that an id may be made of is one directory's name."""
    name = "_A.b-c@d+9" + "x" * 118
    fs = it.serve(name=name)
    it.run(fs, "echo new > new", name=name, timeout=20).finish(0, "exited", None)
    on_server(fs, f"/{name}/new", b"new\n")
    fs = it.serve(name="a..")
    it.run(fs, "echo new > new", name="a..", timeout=20).finish(0, "exited", None)


# ---- --create-workspace


CREATE = ("--create-workspace", "--host-uid", str(UID))


def is_users(fs, path, uid=UID, mode="0700"):
    node = fs.tree().get(path)
    check(
        node and node["type"] == "dir" and node["mode"] == mode and node["uid"] == node["gid"] == str(uid),
        path,
        fs.tree(),
    )


@case()
def create(it):
    fs = it.serve()
    it.refused(fs, "invalid", name="new")
    check("--create-workspace" in it.refused(fs, "invalid", name="new")["error"]["hint"], "hint")
    it.refused(fs, "bad_owner", "--create-workspace", name="new")
    untouched(fs)
    planned = Run(it, [*it.options(fs, "new"), *CREATE], ["true"], verb="plan", timeout=20)
    planned.finish(125)
    untouched(fs)
    record = it.run(fs, "echo new > new", *CREATE, name="new", timeout=20).finish(0, "exited", None)
    check(record["workspace"]["owner_uid"] == UID, record["workspace"])
    is_users(fs, "/new")
    on_server(fs, "/new/new", b"new\n")
    it.run(fs, "cat new", *CREATE, name="new", timeout=20).finish(0, "exited", None)
    it.run(fs, "cat old", *CREATE, timeout=20).finish(0, "exited", None)  # what is there stays as it is
    it.run(
        fs, "true", "--create-workspace", "--host-uid", str(OTHER), "--host-gid", "77", name="group", timeout=20
    ).finish(0)
    check(fs.tree()["/group"]["uid"] == str(OTHER) and fs.tree()["/group"]["gid"] == "77", fs.tree())


@case()
def create_after_an_interruption(it):
    """A directory of root's, empty and 0700, is what a killed bivy left between two calls. No other is taken over."""
    fs = it.serve(
        "mkdir /left 700 0 0",
        "mkdir /some 700 0 0",
        "file /some/thing 600 0 0 root's",
        "mkdir /open 755 0 0",
        f"mkdir /anothers 700 {OTHER} {OTHER}",
    )
    it.refused(fs, "bad_owner", name="left")
    for name in ("some", "open", "anothers"):
        it.refused(fs, "bad_owner", *CREATE, name=name)
    untouched(fs)
    it.run(fs, "echo new > new", *CREATE, name="left", timeout=20).finish(0, "exited", None)
    is_users(fs, "/left")
    # And a real one: killed when the directory was made and not yet given away.
    fs.ctl("interrupt", "eintr")  # a request that is held goes with its process
    fs.ctl("stall", "SETATTR")
    run = it.run(fs, "true", *CREATE, "--workspace-timeout", "30s", name="cut", timeout=30)
    fs.ctl("await", "SETATTR", "1", str(DEADLINE))
    run.process.kill()
    run.process.wait()
    run.lateness.__exit__()
    await_true(lambda: len(it.children()) == 1, f"the helper's end: {it.children()}")
    is_users(fs, "/cut", uid=0)
    fs.ctl("clear")
    it.run(fs, "echo new > new", *CREATE, name="cut", timeout=20).finish(0, "exited", None)
    is_users(fs, "/cut")


@case()
def create_with_several_at_once(it):
    fs = it.serve("late MKDIR 100", "late SETATTR 100")
    runs = [it.run(fs, f"echo {i} > {i}", *CREATE, name="new", timeout=20) for i in range(4)]
    for run in runs:
        run.finish(0, "exited", None)
    is_users(fs, "/new")
    check(len([path for path in fs.tree() if path.startswith("/new/")]) == 4, fs.tree())


@case(
    ("MKDIR", "ENOSPC", "full"),
    ("MKDIR", "EDQUOT", "full", FULL),
    ("MKDIR", "EROFS", "read_only"),
    ("MKDIR", "EACCES", "permission"),
    ("MKDIR", "EIO", "disconnected"),
    ("SETATTR", "EIO", "disconnected"),
    ("SETATTR", "EPERM", "invalid"),
)
def create_fails(it, operation, error, expected):
    fs = it.serve(f"errno {operation} {error}")
    it.refused(fs, expected, *CREATE, name="new")
    fs.ctl("clear")
    it.run(fs, "true", *CREATE, name="new", timeout=20).finish(0, "exited", None)
    is_users(fs, "/new")


@case(("MKDIR",), ("SETATTR",), ("READDIR",))
def create_stalls(it, operation):
    fs = it.serve(f"stall {operation}")
    it.refused(fs, "unresponsive", *CREATE, name="new", before=0.5)
    fs.ctl("release")
    await_true(lambda: len(it.children()) == 1, f"the helper's end: {it.children()}")
    it.run(fs, "true", *CREATE, name="new", timeout=20).finish(0, "exited", None)
    is_users(fs, "/new")


@case(("names dots",), ("names endless",), ("uid 77",), ("type link",), ("mode 755",))
def create_where_the_server_lies(it, lie):
    fs = it.serve(f"lie {lie} 1" + ("" if lie.startswith("names") else " new"), "mkdir /new 700 0 0")
    record = it.run(fs, "true", *CREATE, name="new", before=0.5).finish()
    check(record["outcome"] in ("setup_failed", "exited"), record)
    check(set(fs.tree()) == {"/", "/alice", "/alice/old", "/new"}, fs.tree())


# ---- --sync


@case()
def sync(it):
    fs = it.serve(f"mkdir /alice/quiet 700 {UID} {UID}", f"file /alice/quiet/f 644 {UID} {UID} quiet")
    record = it.run(fs, "echo a > a; mkdir d; echo b > d/b; rm old", sync=10, timeout=20).finish(0, "exited", None)
    result = record["workspace"]["sync"]
    check(result["errno"] is None and result["files"] >= 4 and result["ms"] < 12000, result)
    brought = {row[4] for row in fs.log() if row[0] in ("FSYNC", "FSYNCDIR")}
    check({"/alice", "/alice/a", "/alice/d", "/alice/d/b"} <= brought, brought)
    who = {row[2] for row in fs.log() if row[0] in ("FSYNC", "FSYNCDIR")}
    check(who == {UID}, "as the owner, not as root", who)


@case()
def sync_after_a_timeout(it):
    fs = it.serve()
    run = it.run(fs, "exec 3> a; echo data >&3; echo go; exec sleep 100", sync=5)
    record = run.finish(124, "timeout", None)
    check(
        record["workspace"]["sync"]["errno"] is None and record["workspace"]["sync"]["files"] >= 2, record["workspace"]
    )
    check("/alice/a" in {row[4] for row in fs.log() if row[0] == "FSYNC"}, fs.log())
    on_server(fs, "/alice/a", b"data\n")


@case(("FSYNC",), ("FSYNCDIR", FULL), ("READDIR",), ("OPENDIR", FULL))
def sync_stalls(it, operation):
    """The deadline is kept, and the record says that time ran out."""
    fs = it.serve(f"stall {operation}")
    record = it.run(fs, "echo a > a", sync=0.5, timeout=20).finish(0, "exited")
    result = record["workspace"]["sync"]
    check(result["errno"] == "ETIMEDOUT" and 450 < result["ms"] < 5000, result)
    check(len(record["residue"]) == 1 and "helper process" in record["residue"][0], record["residue"])


@case(("ENOSPC",), ("EIO",), ("EDQUOT", FULL))
def sync_fails(it, error):
    fs = it.serve(f"errno FSYNC {error} =1")
    record = it.run(fs, "echo a > a; echo b > b", sync=5, timeout=20).finish(0, "exited", None)
    check(
        record["workspace"]["sync"]["errno"] == error and record["workspace"]["sync"]["files"] >= 1, record["workspace"]
    )


@case()
def sync_with_a_dead_server(it):
    fs = it.serve()
    run = it.run(fs, "echo a > a; echo go; read _; exit 3", sync=5, timeout=20)
    run.await_line()
    fs.ctl("die")
    run.say()
    record = run.finish(3, "exited", "disconnected")
    check(record["workspace"]["sync"]["errno"] in ("ENOTCONN", "ECONNABORTED"), record["workspace"])


@case()
def sync_of_a_deep_tree(it):
    """Deeper than it goes: an error in the record, not silence; what is above is brought."""
    fs = it.serve()
    command = "i=0; while test $i -lt %d; do mkdir d; echo x > f; cd d; i=$((i + 1)); done"
    record = it.run(fs, command % 100, sync=30, timeout=30).finish(0, "exited", None)
    check(
        record["workspace"]["sync"]["errno"] is None and record["workspace"]["sync"]["files"] >= 200,
        record["workspace"],
    )
    record = it.run(fs, "rm -rf d; " + command % 200, sync=30, timeout=30).finish(0, "exited", None)
    check(
        record["workspace"]["sync"]["errno"] == "ENAMETOOLONG" and record["workspace"]["sync"]["files"] >= 200,
        record["workspace"],
    )


@case()
def sync_where_nothing_is_brought_twice(it):
    """FIFOs, links, hard links and files that only the mode hides."""
    fs = it.serve()
    record = it.run(
        fs, "mkfifo fifo; ln -s fifo l; echo a > a; ln a b; echo c > c; chmod 0 c; mkdir -m 0 shut", sync=5, timeout=20
    ).finish(0)
    brought = [row[4] for row in fs.log() if row[0] == "FSYNC"]
    check(not [path for path in brought if path in ("/alice/fifo", "/alice/l")], brought)
    check(record["workspace"]["sync"]["errno"] in (None, "EACCES"), record["workspace"])


# ---- an ordinary user


def user(it, server, command, *more, **how):
    return it.run(server, command, *more, uid=UID, **how)


@case()
def ordinary_user(it):
    fs = it.serve(
        f"mkdir /bob 700 {OTHER} {OTHER}",
        "mkdir /root 700 0 0",
        f"mkdir /open 755 {UID} {UID}",
        victim(),
        options=DIRECT,
    )
    it.delegate()
    user(it, fs, "echo new > new; cat old", timeout=20).finish(0, "exited", None)
    on_server(fs, "/alice/new", b"new\n")
    is_users(fs, "/alice")
    for name, errors in (
        ("bob", ("bad_owner", "permission")),
        ("root", ("bad_owner", "permission")),
        ("open", ("bad_owner",)),
        ("none", ("invalid",)),
    ):
        record = user(it, fs, "true", name=name).finish(125, "setup_failed")
        check(record["workspace"]["error"] in errors, name, record)
    record = user(it, fs, "true", "--create-workspace", name="none").finish(125, "setup_failed", "permission")
    fs.ctl("stall", "READ", "1", "victim")
    run = user(it, fs, "exec cat victim")
    held_to_the_end(it, fs, run, "READ")
    fs.ctl("stall", "GETATTR")
    user(it, fs, "true", before=0.3).finish(125, "setup_failed", "unresponsive")
    fs.ctl("release")
    run = user(it, fs, "echo go; read _; exit 3", timeout=20)
    run.await_line()
    fs.ctl("die")
    run.say()
    run.finish(3, "exited", "disconnected")
    user(it, fs, "true").finish(125, "setup_failed", "disconnected")
    detach(fs.root)
    user(it, fs, "true").finish(125, "setup_failed", "not_mounted")


@case(("ro", "read_only"), ("no_allow_other", "permission"), ("fstype=fuse.other", "wrong_fstype"))
def ordinary_user_on_a_bad_mount(it, options, error):
    fs = it.serve(options=options)
    it.delegate()
    user(it, fs, "true").finish(125, "setup_failed", error)


@case()
def ordinary_user_creates(it):
    """Where the root lets him: root's directories at once his own."""
    fs = it.serve()
    it.child("chmod", "1777", fs.root)
    it.delegate()
    user(it, fs, "echo new > new", "--create-workspace", name="new", timeout=20).finish(0, "exited", None)
    is_users(fs, "/new")
    user(it, fs, "echo new > later", "--create-workspace", name="new", sync=5, timeout=20).finish(0, "exited", None)


if __name__ == "__main__":
    sys.exit(main())
