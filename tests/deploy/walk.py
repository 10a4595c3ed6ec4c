#!/usr/bin/env python3
"""Runs docs/DEPLOY.md in a virtual machine with systemd. TAP on stdout.

With BIVY_TEST_FULL=1 every block marked as tested, in order, on SeaweedFS itself (WALK_STAND_IN=1: on bindfs under
weed's file system type, twice as fast). Otherwise the blocks up to the units, and an orchestrator without a workspace.

  walk.py         boots the machine (tests/vm/run), which runs
  walk.py boot    in the machine: makes systemd pid 1 of a pid namespace, which runs
  walk.py drive   as a service: the blocks, in one shell, what they print compared with what stands there

Environment: BIVY, BIVY_ROOTFS."""

import os
import re
import select
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
CHECKOUT = os.path.dirname(os.path.dirname(HERE))
DOCUMENT = os.path.join(CHECKOUT, "docs", "DEPLOY.md")
OUT, STATUS, LOG = "/run/walk.out", "/run/walk.status", "/run/walk.systemd"
COMMAND_SECONDS = 150
ANY = "\N{HORIZONTAL ELLIPSIS}"

STAND_IN = """#!/bin/sh
# In the place of weed: the same file system type, from a directory.
[ "$1" != version ] || { echo 'version 8000GB 4.44 stand-in linux amd64'; exit 0; }
for word; do case $word in -dir=*) dir=${word#-dir=} ;; esac; done
mkdir -p /srv/stand-in
exec bindfs -f -o subtype=seaweedfs,allow_other,default_permissions /srv/stand-in "$dir"
"""


# The old /proc goes first: the kernel would take it, below the new one, for a /proc that a user namespace may see in
# full.
ENTER = 'umount -R /proc && mount -t proc -o nosuid,nodev,noexec proc /proc && exec "$0" "$@"'


class Block:
    """A console block: mark is 'vm', 'vm, seaweedfs' or None where the text says that it is not tested; commands are
    (line number, text, lines that it prints)."""

    def __init__(self, line, section, mark, reason):
        self.line, self.section, self.mark, self.reason = line, section, mark, reason
        self.commands = []


def blocks(text):
    """All console blocks. Raises ValueError for one that does not say whether it is tested."""
    found, section, before, inside = [], "", [], None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None and line.startswith("#"):
            section = line.lstrip("# ")
        if inside is None and line.strip() == "```console":
            mark = re.fullmatch(r"<!-- tested: (vm|vm, seaweedfs) -->", before[-1]) if before else None
            said = re.search(r"(?s)^\*(Not tested.*)\*$", "\n".join(before))
            if not mark and not said:
                raise ValueError(f"line {number}: a console block that does not say whether it is tested")
            inside = Block(number, section, mark[1] if mark else None, said[1] if said else "")
            found.append(inside)
        elif inside is not None and line.strip() == "```":
            inside, before = None, []
        elif inside is not None and line.startswith("# "):
            inside.commands.append((number, line[2:], []))
        elif inside is not None and line.startswith("> "):
            at, command, printed = inside.commands[-1]
            inside.commands[-1] = (at, command + "\n" + line[2:], printed)
        elif inside is not None:
            if not inside.commands:
                raise ValueError(f"line {number}: output before the first command")
            inside.commands[-1][2].append(line)
        else:
            before = before + [line] if line.strip() else []
    return found


def expected(lines):
    """What a command prints, as a pattern: the ellipsis stands for anything in a line, alone for any lines."""
    pattern = ""
    for line in lines:
        if line.strip() == ANY:
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split(ANY)) + r"\n"
    return re.compile(pattern)


# What the short form has instead of the sections that need a mount. The unit wants the mount and must do without it.
SHORT_UNTIL = "4. Units, and the mount"
SHORT = Block(0, "an orchestrator as an ordinary user, no mount", "vm", "")
SHORT.commands = [
    (0, command, printed)
    for command, printed in (
        ("rm /etc/bivy/mount/workspaces.conf", []),
        (
            "printf '#!/bin/sh\\nbivy run -- cat /sys/fs/cgroup/pids.max; echo status $?\\nexec sleep inf\\n'"
            " >/usr/local/bin/short && chmod 755 /usr/local/bin/short"
            " && echo ORCHESTRATOR=/usr/local/bin/short >/etc/bivy/orchestrator.conf",
            [],
        ),
        ("systemctl start bivy-orchestrator", []),
        ("until journalctl -o cat -u bivy-orchestrator | grep -B1 ^status; do sleep 0.2; done", ["50", "status 0"]),
        (
            "cat /proc/$(systemctl show -P MainPID bivy-orchestrator)/cgroup",
            ["0::/bivy.slice/bivy-orchestrator.service/orchestrator"],
        ),
        ("ls -d /sys/fs/cgroup/bivy.slice/bivy-orchestrator.service/bivy-* 2>/dev/null || echo no leaf", ["no leaf"]),
        ("systemctl stop bivy-orchestrator", []),
    )
]


class Shell:
    """One bash for all blocks, so that what a block defines holds in the next ones."""

    MARK = "walk:status:"

    def __init__(self):
        self.bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT,
            bufsize=0,
        )

    def run(self, command):
        """(status, output); status None where it took too long."""
        with open("/run/walk.command", "w", encoding="utf-8") as file:
            file.write(command + "\n")
        # A file of its own: a command that reads its input must not read the next command.
        self.bash.stdin.write(f". /run/walk.command </dev/null; echo {self.MARK}$?\n".encode())
        got, deadline = b"", time.monotonic() + COMMAND_SECONDS
        while True:
            text = got.decode(errors="replace")
            end = re.search(re.escape(self.MARK) + r"(\d+)\n\Z", text)
            if end:
                return int(end[1]), text[: end.start()]
            if not select.select([self.bash.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                return None, text
            more = os.read(self.bash.stdout.fileno(), 65536)
            if not more:
                return None, text + "(the shell ended)\n"
            got += more


def comment(text):
    for line in text.splitlines():
        print("#   " + line, flush=True)


def run_block(shell, block):
    for line, command, printed in block.commands:
        begin = time.monotonic()
        status, output = shell.run(command)
        if output and not output.endswith("\n"):
            output += "\n"
        if status == 0 and expected(printed).fullmatch(output):
            print(f"# line {line}: {time.monotonic() - begin:.1f} s", flush=True)
            continue
        print(f"# line {line}: # {command}", flush=True)
        comment("status " + ("none: too long" if status is None else str(status)))
        comment("expected:\n" + "\n".join(printed))
        comment("printed:\n" + output)
        return False
    return True


def drive():
    with open(DOCUMENT, encoding="utf-8") as file:
        wanted = [it for it in blocks(file.read()) if it.mark == "vm" or (it.mark and os.environ.get("WALK_WEED"))]
    if not os.environ.get("WALK_WHOLE"):
        last = [it.section for it in wanted].index(SHORT_UNTIL)
        wanted = wanted[: last + 1] + [SHORT]
    print(f"1..{len(wanted)}", flush=True)
    shell, good = Shell(), True
    for number, block in enumerate(wanted, 1):
        name = f"line {block.line}: {block.section}"
        # A walk: what comes after a step that failed says nothing.
        if good:
            good = run_block(shell, block)
            print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
        else:
            print(f"not ok {number} - {name}: not reached", flush=True)
    if not good:
        journal = ["journalctl", "--no-pager", "-o", "cat", "-n", "60", "_TRANSPORT=stdout", "+", "_TRANSPORT=journal"]
        comment(subprocess.run(journal, capture_output=True, text=True).stdout)
    return 0 if good else 1


def lean_systemd():
    """Leaves of a boot what services need. All of it takes a minute under emulation; the tree is thrown away."""
    keep = {"systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"}
    keep.add("sys-fs-fuse-connections.mount")
    for below in ("/usr/lib/systemd/system", "/etc/systemd/system"):
        for name in os.listdir(below):
            directory = os.path.join(below, name)
            if name.endswith(".wants") and os.path.isdir(directory):
                for unit in os.listdir(directory):
                    if unit not in keep:
                        os.unlink(os.path.join(directory, unit))
    shutil.rmtree("/usr/lib/systemd/system-generators", ignore_errors=True)


def host_as_it_would_be():
    """What the blocks that are not run would have left: the build, the rootfs, weed."""
    build = os.path.join(CHECKOUT, "build")
    if os.path.islink(build) or os.path.exists(build):
        os.rename(build, build + ".of-the-host")
    os.makedirs(os.path.join(build, "quickstart", "docs"))
    os.symlink(os.environ["BIVY"], os.path.join(build, "bivy"))
    page = os.path.join(build, "quickstart", "docs", "bivy.1")
    subprocess.run(
        ["sh", f"{CHECKOUT}/docs/man-page", os.environ["BIVY"], f"{CHECKOUT}/docs/bivy.1.in", page], check=True
    )
    os.makedirs("/var/lib/bivy/rootfs", exist_ok=True)
    subprocess.run(["mount", "--bind", os.environ["BIVY_ROOTFS"], "/var/lib/bivy/rootfs"], check=True)
    for path in ("/usr/local/bin/weed", "/usr/local/bin/bivy"):
        if os.path.lexists(path):
            os.unlink(path)
    if os.environ.get("WALK_WEED"):
        os.symlink(os.environ["WALK_WEED"], "/usr/local/bin/weed")
    else:
        with open("/usr/local/bin/weed", "w", encoding="utf-8") as file:
            file.write(STAND_IN)
        os.chmod("/usr/local/bin/weed", 0o755)


def boot():
    with open("/proc/cmdline", encoding="utf-8") as file:
        if "bivy.vm=1" not in file.read().split():  # tests/vm/run's machine, whose tree is thrown away
            sys.exit("walk.py boot rewrites the system that it runs on: only in the machine of tests/vm/run")
    lean_systemd()
    host_as_it_would_be()
    os.makedirs("/run/systemd/system")
    given = [it for it in ("WALK_WEED", "WALK_WHOLE") if os.environ.get(it)]
    pass_on = "".join(f"Environment={it}={os.environ[it]}\n" for it in given)
    with open("/run/systemd/system/walk.service", "w", encoding="utf-8") as file:
        file.write(
            "[Unit]\nWants=dbus.socket\nAfter=dbus.socket\n"  # systemd-run --wait hears of the end over it
            f"[Service]\nType=oneshot\nTimeoutStartSec=infinity\nWorkingDirectory={CHECKOUT}\n{pass_on}"
            "Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8\n"
            f"ExecStart=/usr/bin/python3 {os.path.realpath(__file__)} drive\n"
            f"StandardOutput=file:{OUT}\nStandardError=inherit\n"
            f"ExecStopPost=/bin/sh -c 'echo \"$EXIT_STATUS\" >{STATUS}.new && mv {STATUS}.new {STATUS}'\n"
        )
    # At the top, as on a real machine, and so that no process that systemd cannot see is in a cgroup of systemd's.
    with open("/sys/fs/cgroup/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")
    print(f"# ready for systemd after {time.clock_gettime(time.CLOCK_BOOTTIME):.1f} s", flush=True)
    with open(LOG, "wb") as log:
        systemd = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount", "--kill-child", "sh", "-c", ENTER, "/lib/systemd/systemd"]
            + ["--system", "--unit=walk.service", "--log-target=console", "--show-status=no"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    at = 0
    while True:
        ended = os.path.exists(STATUS) or systemd.poll() is not None
        if os.path.exists(OUT):
            with open(OUT, "rb") as file:
                file.seek(at)
                sys.stdout.buffer.write(file.read())
                sys.stdout.flush()
                at = file.tell()
        if ended:
            break
        time.sleep(0.1)
    if not os.path.exists(STATUS):
        with open(LOG, encoding="utf-8", errors="replace") as file:
            comment("systemd ended:\n" + file.read()[-4000:])
        return 1
    with open(STATUS, encoding="ascii") as file:
        return int(file.read())


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    return 1 if os.environ.get("BIVY_TEST_STRICT") == "1" else 0


def main():
    vm = os.path.join(CHECKOUT, "tests", "vm", "run")
    check = subprocess.run([vm, "--check"], capture_output=True, text=True)
    if check.returncode:
        return skip(check.stderr.strip().replace("\n", " "))
    if not os.access("/lib/systemd/systemd", os.X_OK):
        return skip("no systemd here; apt-get install systemd (it need not be pid 1)")
    if not shutil.which("dbus-daemon"):
        return skip("no dbus-daemon here; apt-get install dbus")
    whole = os.environ.get("BIVY_TEST_FULL") == "1"
    weed = ""
    if whole and not os.environ.get("WALK_STAND_IN"):
        found = subprocess.run([f"{CHECKOUT}/scripts/install-seaweedfs", "--cached"], capture_output=True, text=True)
        if found.returncode:
            return skip("no weed in the cache; scripts/install-seaweedfs")
        weed = os.path.realpath(found.stdout.strip().splitlines()[-1])
    elif whole and not shutil.which("bindfs"):
        return skip("no bindfs here; apt-get install bindfs")
    environment = {name: os.path.realpath(os.environ[name]) for name in ("BIVY", "BIVY_ROOTFS")}
    if whole:
        environment["WALK_WHOLE"] = "1"
    if weed:
        environment["WALK_WEED"] = weed
    passed = [f"{name}={value}" for name, value in environment.items()]
    os.execv(vm, [vm, "--timeout", "900", "--memory", "3000", "--", "env", *passed, "python3", __file__, "boot"])


if __name__ == "__main__":
    sys.exit({"boot": boot, "drive": drive}.get(sys.argv[1] if len(sys.argv) > 1 else "", main)())
