"""What a peer did, looked at from outside while a command sleeps in its sandbox."""

import os
import re
import signal
import subprocess

from machine import Unavailable, end, limits_of, sleepers, text, wait_for
from peers import Job

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
RIGHTS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def look(pid):
    """The isolation of one process, as /proc and its cgroups have it."""
    status = dict(re.findall(r"^(\w+):\s+(.*)$", text(f"/proc/{pid}/status"), re.M))
    mounts = [line.split(" - ") for line in text(f"/proc/{pid}/mountinfo").splitlines()]
    root = next((left.split()[5].split(",") for left, _ in reversed(mounts) if left.split()[4] == "/"), [])
    limits = limits_of(pid)
    return {
        "namespaces": {
            name: os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES
        },
        "host_uid": int(status["Uid"].split()[0]),
        "capabilities": {name: status[name] for name in RIGHTS},
        "no_new_privs": status["NoNewPrivs"] == "1",
        "seccomp": status["Seccomp"] == "2",
        "root_read_only": "ro" in root,
        "own_root": os.stat(f"/proc/{pid}/root/").st_ino != os.stat("/").st_ino
        or os.stat(f"/proc/{pid}/root/").st_dev != os.stat("/").st_dev,
        "links": len(text(f"/proc/{pid}/net/dev").splitlines()) - 2,
        "memory": limits["memory"],
        "cpu": limits["cpu"],
        "pids": limits["pids"],
        "mounts": len(mounts),
        "proc_hidden": any(right.startswith("proc ") and "hidepid=" in right for _, right in mounts),
    }


def undone(seen):
    """In words, what of the job's isolation is not there."""
    lacking = []
    missing = [name for name, own in seen["namespaces"].items() if not own]
    if missing:
        lacking.append(("namespace " if len(missing) == 1 else "namespaces ") + ", ".join(missing))
    missing = [name for name in ("memory", "cpu", "pids") if seen[name] is None]
    if missing:
        lacking.append(("limits " if len(missing) > 1 else "limit ") + ", ".join(missing))
    if not seen["seccomp"]:
        lacking.append("filter")
    if int(seen["capabilities"]["CapEff"], 16):
        lacking.append("capabilities dropped")
    elif int(seen["capabilities"]["CapBnd"], 16):
        lacking.append("bounding set empty")
    if not seen["no_new_privs"]:
        lacking.append("no_new_privs")
    if not seen["own_root"]:
        lacking.append("own root")
    if not seen["root_read_only"]:
        lacking.append("read-only root")
    if seen["links"] > 1:
        lacking.append("no network")
    if seen["host_uid"] == 0:
        lacking.append("an id that is not the host's root")
    if not seen["proc_hidden"]:
        lacking.append("pid 1 hidden")
    return lacking


def probe(peer, serial):
    """Runs a sleep in the peer's sandbox, looks at it, ends it. Unavailable where it did not come to sleep."""
    token = f"0.{os.getpid():07d}{serial:03d}"
    sleep = "/bin/sleep"
    job = Job((sleep, "60", token))
    log = peer.bench.place / f"probe-{peer.name}"
    opened = []
    for number, path in peer.opened(job):
        opened.append((number, path))

    def reopen():
        for number, path in opened:
            fd = os.open(path, os.O_RDONLY)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
            os.set_inheritable(number, True)

    with open(log, "wb") as file:
        words = [word.replace("%N", "probe") for word in peer.argv(job)]
        if peer.mounts:
            words = ["nsenter", f"--mount={peer.mounts}", "--", *words]
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            close_fds=False,
            preexec_fn=reopen if opened else None,
        )
    try:
        wait_for(lambda: sleepers(token) or process.poll() is not None, 20)
        found = sleepers(token)
        if not found:
            words = " ".join(text(log).split())
            raise Unavailable(f"did not run the command (status {process.poll()}): {words[-300:] or 'no word of why'}")
        seen = look(found[0])
    finally:
        for pid in sleepers(token):
            os.kill(pid, signal.SIGKILL)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            end(process)
    return seen
