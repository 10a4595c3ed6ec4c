#!/usr/bin/env python3
"""What real language runtimes make of the limits: node, python3, make, Go and Java inside, on a rootfs of Debian packages (that of
tests/seccomp) and on Alpine's. TAP on stdout. docs/VIEW.md says what is expected of each, and why.

Environment: BIVY, BIVY_ROOTFS; BIVY_TEST_CACHE (tests/seccomp/debian-rootfs). BIVY_TEST_STRICT=1: "cannot run here" is a failure.
Go and Java are this machine's (scripts/test installs them): only their points are skipped where it has none, which is a failure too then."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
STRICT = os.environ.get("BIVY_TEST_STRICT") == "1"
OWNER = 54321
ENOUGH = {"256M": 300, "1G": 1024}  # MiB of heap that V8 may take at the most; with little it takes no less than about 256


class Points:
    def __init__(self):
        self.count, self.failed = 0, False

    def check(self, what, good, seen=""):
        self.count += 1
        self.failed |= not good
        print("ok" if good else "not ok", self.count, "-", what, flush=True)
        if not good:
            print("#", str(seen).replace("\n", "\n# "))

    def skip(self, what, why):
        self.count += 1
        print("ok", self.count, "-", what, "# SKIP", why)


def cannot(why):
    print("1..0 # SKIP", why)
    sys.exit(1 if STRICT else 0)


class Sandbox:
    """Runs commands of one rootfs over a workspace with the files of this directory in it."""

    def __init__(self, rootfs, workspace):
        self.rootfs, self.workspace = rootfs, workspace

    def run(self, *words, **limits):
        options = ["--rootfs", self.rootfs, "--workspace", self.workspace, "--timeout", "300s", "--report", "fd:%d"]
        for name, value in limits.items():
            options += ["--" + name, value]
        with tempfile.TemporaryFile() as record:
            options[options.index("fd:%d")] = "fd:%d" % record.fileno()
            done = subprocess.run([os.environ["BIVY"], "run", *options, "--", *words], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                                  pass_fds=[record.fileno()])
            record.seek(0)
            return done.returncode, done.stdout, json.loads(record.read())


def numbers(text):
    return [int(word) for word in re.findall(r"-?\d+", text)]


def processors(points, debian, alpine, cpus, wanted):
    for name, sandbox in (("Debian", debian), ("Alpine", alpine)):
        status, text, _ = sandbox.run("sh", "-c", "nproc; getconf _NPROCESSORS_ONLN", cpus=cpus)
        points.check(f"nproc and getconf on {name} at --cpus {cpus}", status == 0 and numbers(text) == [wanted, wanted], text)
    status, text, _ = debian.run("python3", "size.py", cpus=cpus)
    # cpu_count, affinity, sysconf, workers of a pool; concurrent.futures takes four more
    wants = [wanted, wanted, wanted, wanted, wanted + 4, 4950]
    points.check(f"python3 at --cpus {cpus}: os.cpu_count, the size of pools", status == 0 and numbers(text) == wants, text)


def node(points, sandbox, program, name):
    heaps = {}
    for memory, most in ENOUGH.items():
        status, text, _ = sandbox.run(program, "size.js", memory=memory, cpus="1")
        seen = numbers(text) if status == 0 else [0, 0, 0]
        limit = {"256M": 256, "1G": 1024}[memory] << 20
        heaps[memory] = seen[0]
        points.check(f"{name} at --memory {memory}: heap limit, parallelism, constrainedMemory",
                     0 < seen[0] <= most and seen[1] == 1 and seen[2] in (-1, limit), f"status {status}: {text}")
    points.check(f"{name}: the heap grows with the limit", heaps["1G"] > heaps["256M"] + 100, heaps)


def node_of_v2(points, sandbox, program):
    """libuv goes another way where /proc/self/cgroup has the one line of v2. So: the files as a sandbox has them, under this machine's
    /sys/fs/cgroup, and a /proc/self/cgroup made up, in a mount namespace."""
    what = "node where /proc/self/cgroup is v2's: heap limit, constrainedMemory"
    status, text, _ = sandbox.run("cp", "-a", "/sys/fs/cgroup", "shown", memory="1G")
    script = ("echo 0::/ >'{0}/cgroup' && mount --bind '{0}/shown' /sys/fs/cgroup && mount --bind '{0}/cgroup' /proc/$$/cgroup &&"
              " exec '{1}' '{0}/size.js'").format(sandbox.workspace, program)
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seen = numbers(done.stdout) if done.returncode == 0 else []
    points.check(what, status == 0 and len(seen) == 3 and seen[0] < 1024 and seen[2] in (-1, 1 << 30), text + done.stdout)


def go(points, sandbox):
    what = "Go at --cpus 1: NumCPU, GOMAXPROCS; GOMEMLIMIT by --env"
    found = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if not found:
        return points.skip(what, "no go here")
    program = os.path.join(sandbox.workspace, "size")
    built = subprocess.run([found, "build", "-o", program, os.path.join(HERE, "size.go")], check=False, stderr=subprocess.PIPE, text=True,
                           env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local",
                                "HOME": os.environ.get("HOME", "/tmp")})
    if built.returncode:
        return points.check(what, False, built.stderr)
    status, text, _ = sandbox.run("./size", cpus="1", env="GOMEMLIMIT=200MiB")
    return points.check(what, status == 0 and numbers(text) == [1, 1, 200], text)


def java_home():
    found = shutil.which("java")
    home = os.path.dirname(os.path.dirname(os.path.realpath(found))) if found else ""
    return home if os.path.exists(os.path.join(home, "lib", "server", "libjvm.so")) else None


def java(points, sandbox):
    home = java_home()
    if not home:
        points.skip("Java at --cpus 1: processors", "no java here; apt-get install default-jre-headless")
        points.skip("Java: the heap follows JAVA_TOOL_OPTIONS given by --env", "no java here")
        points.skip("Java: the hint says how to tell it", "no java here")
        return
    inside = os.path.join(sandbox.workspace, "jre")
    # Without src.zip, which may be a link to nowhere; links are followed, for some lead to /etc.
    shutil.copytree(home, inside, ignore=shutil.ignore_patterns("src.zip", "jmods", "legal", "demo"), ignore_dangling_symlinks=True)
    command = ["jre/bin/java", "-Xlog:gc+init", "-XshowSettings:vm", "-version"]
    status, text, _ = sandbox.run(*command, cpus="1", memory="512M")
    points.check("Java at --cpus 1: processors", status == 0 and "total, 1 available" in text, text)
    status, text, _ = sandbox.run(*command, cpus="1", memory="512M", env="JAVA_TOOL_OPTIONS=-XX:MaxRAM=512m")
    heap = re.search(r"Max\. Heap Size \(Estimated\): ([\d.]+)M", text)
    points.check("Java: the heap follows JAVA_TOOL_OPTIONS given by --env", status == 0 and heap and float(heap.group(1)) <= 256, text)
    status, text, record = sandbox.run("jre/bin/java", "-Xms300m", "-XX:+AlwaysPreTouch", "-version", cpus="1", memory="256M")
    # The kernel log, which has the name, is not every host's to read, and leaves some kills out.
    named = record["memory"]["oom_victim"] != "java" or "--env JAVA_TOOL_OPTIONS=-XX:MaxRAM=268435456" in record["hints"][0]["hint"]
    points.check("Java: the hint says how to tell it", record["outcome"] == "oom" and named, (status, text, record["memory"], record["hints"]))


def make(points, sandbox):
    """On a machine with many processors `nproc` without the affinity says as many: there --jobs is what 64 of them would give."""
    status, text, record = sandbox.run("sh", "-c", "make -s -j$(nproc)", cpus="1", pids="50", scratch="64M")
    points.check("make -j$(nproc), 40 targets, 50 processes", status == 0 and record["pids"]["denied"] == 0, (text, record["pids"]))
    peak = record["pids"]["peak"]
    points.check("... and it stayed far from the limit", peak is None or peak < 25, peak)
    status, text, record = sandbox.run("make", "-s", "-j64", cpus="1", pids="50", scratch="64M")
    points.check("make -j64, as 64 processors would have it, dies of the limit",
                 status != 0 and record["pids"]["denied"] != 0, (text, record["pids"]))


def main():
    if os.geteuid() != 0:
        cannot("needs root")
    if not os.access(os.environ.get("BIVY", ""), os.X_OK):
        cannot("BIVY must name the bivy program; run this with meson test")
    alpine = os.environ.get("BIVY_ROOTFS", "")
    if not os.path.exists(os.path.join(alpine, "bin/sh")):
        cannot("BIVY_ROOTFS must name a rootfs (rootfs/build makes one)")
    built = subprocess.run([os.path.join(HERE, "../seccomp/debian-rootfs")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           check=False)
    if built.returncode == 77:
        cannot(built.stderr.strip().splitlines()[-1])
    points = Points()
    if built.returncode:
        points.check("a rootfs of Debian packages", False, built.stderr)
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        workspace = os.path.join(place, "workspace")
        os.mkdir(workspace)
        for name in ("size.js", "size.py", "Makefile"):
            shutil.copy(os.path.join(HERE, name), workspace)
        os.chown(workspace, OWNER, OWNER)
        debian = Sandbox(built.stdout.strip(), workspace)
        have = len(os.sched_getaffinity(0))
        for cpus, wanted in (("0.5", 1), ("2", min(2, have))):
            processors(points, debian, Sandbox(alpine, workspace), cpus, wanted)
        node(points, debian, "node", "node of Debian")
        other = shutil.which("node")
        if not other:
            points.skip("node of this machine", "none here; apt-get install nodejs")
        else:
            if os.path.getsize(os.path.realpath(other)) > 50 << 20:  # else its V8 is in a library, and it is Debian's, as above
                shutil.copy(os.path.realpath(other), os.path.join(workspace, "node"))
                node(points, debian, "./node", "node of this machine")
            node_of_v2(points, debian, os.path.realpath(other))
        make(points, debian)
        go(points, debian)
        java(points, debian)
    print(f"1..{points.count}")
    sys.exit(points.failed)


if __name__ == "__main__":
    main()
