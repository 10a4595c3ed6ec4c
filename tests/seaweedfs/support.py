"""What the tests that run bivy on a SeaweedFS share: TAP, bivy as an orchestrator calls it, what it may leave.

Environment: BIVY the program, BIVY_ROOTFS, BIVY_PAYLOAD the program of payload.c, BIVY_WEED a weed other than the
cache's; BIVY_TEST_STRICT=1: what cannot run here is a failure; BIVY_TEST_FULL=1: the long form."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import cluster as the  # noqa: E402  the module beside this file

SOURCE = os.path.dirname(os.path.dirname(HERE))
FULL = os.environ.get("BIVY_TEST_FULL") == "1"
STRICT = os.environ.get("BIVY_TEST_STRICT") == "1"
# Bivy's answer comes within timeout + kill-after + 2 s. The rest is for starting a process on a busy machine; a bivy
# that waits for its file system is minutes late, not seconds.
SLACK = 10


class Skip(Exception):
    """This one cannot be tried here. The text says what it needs."""


def equal(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, expected {want!r}")


def small(number):
    """What payload.c writes into a small file of that number."""
    text = f"file {number} "
    return text + "".join(chr(ord("a") + (number + i) % 26) for i in range(20 + number * 37 % 560))


def find_weed():
    """The checked weed of the cache, or why there is none."""
    if os.environ.get("BIVY_WEED"):
        return os.environ["BIVY_WEED"], ""
    install = os.path.join(SOURCE, "scripts", "install-seaweedfs")
    done = subprocess.run([install, "--cached"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return done.stdout.splitlines()[-1], ""
    return "", "no SeaweedFS here; get one: scripts/install-seaweedfs"


def answer(call, seconds=30):
    """What call() gives in a child of its own, as text, or the name of its errno; "blocked" where it does not answer.

    A child, because what it asks may never come back. It is left behind then; the daemon's end frees it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = str(call())
        except OSError as error:
            text = errno.errorcode.get(error.errno, str(error.errno))
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    text = "blocked"
    os.set_blocking(read, False)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            text = os.read(read, 65536).decode()
            break
        except BlockingIOError:
            time.sleep(0.01)
    os.close(read)
    if text == "blocked":
        os.kill(child, signal.SIGKILL)
    else:
        os.waitpid(child, 0)
    return text


def left(directory):
    """What is still there of a cluster: processes, mounts, the directory itself."""
    found = [directory] if os.path.exists(directory) else []
    found += [mount["path"] for mount in the.mounts() if mount["path"].startswith(directory + "/")]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if os.fsencode(directory) in file.read():
                    found.append("process " + pid)
        except OSError:
            continue
    return found


# ---- TAP


class Tap:
    """Points in the order in which they are run; names: only those of which one is a part, or all."""

    def __init__(self, names=()):
        self.names = names
        self.number = self.failed = 0

    def point(self, name, call):
        if self.names and not any(it in name for it in self.names):
            return
        self.number += 1
        mark = ""
        begin = time.monotonic()
        try:
            call()
            verdict = "ok"
        except Skip as skip:
            verdict, mark = ("not ok" if STRICT else "ok"), f" # SKIP {skip}"
            if STRICT:
                print(f"# BIVY_TEST_STRICT: {skip}")
                self.failed, mark = self.failed + 1, ""
        except (AssertionError, the.Failure, OSError, subprocess.SubprocessError, ValueError, LookupError) as problem:
            text = str(problem) if isinstance(problem, (AssertionError, the.Failure)) else traceback.format_exc()
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
            verdict = "not ok"
            self.failed += 1
        print(f"# {time.monotonic() - begin:.1f} s")
        print(f"{verdict} {self.number} - {name}{mark}")

    def cases(self, cases):
        """Every method case_... of an object, in the order in which they are written."""
        for name in [name for name in vars(type(cases)) if name.startswith("case_")]:
            self.point(name.removeprefix("case_").replace("_", " "), getattr(cases, name))

    def end(self):
        print(f"1..{self.number}")
        return 1 if self.failed else 0


def prepare():
    """(weed, "") in namespaces of one's own, or ("", why none of this can run here)."""
    weed, reason = find_weed()
    if not reason and os.geteuid() != 0:
        reason = "mounting needs root"
    for name in ("BIVY", "BIVY_PAYLOAD"):
        if not reason and not os.access(os.environ.get(name, ""), os.X_OK):
            reason = f"{name} must name a program; run this with meson test"
    if reason:
        print(f"1..0 # SKIP {reason}")
        return "", reason
    the.private()
    sys.stdout.reconfigure(line_buffering=True)
    return weed, ""


# ---- bivy


class Run:
    """One bivy that was started. wait() gives what came of it."""

    def __init__(self, argv, bound, stdin=None, environment=None):
        self.bound = bound
        self.report = tempfile.TemporaryFile()
        self.output = tempfile.TemporaryFile()
        self.messages = tempfile.TemporaryFile()
        self.begin = time.monotonic()
        argv = [it.replace("@REPORT@", f"fd:{self.report.fileno()}") for it in argv]
        self.process = subprocess.Popen(
            argv,
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.messages,
            pass_fds=[self.report.fileno()],
            env=environment,
        )
        self.record = None

    def stdout(self):
        return os.pread(self.output.fileno(), 1 << 24, 0).decode(errors="replace")

    def stderr(self):
        return os.pread(self.messages.fileno(), 1 << 20, 0).decode(errors="replace")

    def says(self, line, seconds=60):
        """Waits until the command has written that line."""

        def there():
            if line in self.stdout().splitlines():
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"ended ({self.process.returncode}) before it said {line!r}\n{self.told()}")
            return False

        the.wait_until(f"command says {line!r}\n{self.stdout()}", there, seconds)
        return self

    def wait(self):
        """Until bivy's end, for which it has the contract's bound. Fills status, record, elapsed."""
        late = self.begin + self.bound + SLACK - time.monotonic()
        try:
            self.status = self.process.wait(max(late, SLACK))
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"bivy has not answered {self.bound:.0f} + {SLACK} s after its start") from None
        self.elapsed = time.monotonic() - self.begin
        text = os.pread(self.report.fileno(), 1 << 20, 0)
        if not text:
            raise AssertionError(f"bivy wrote no record, status {self.status}: {self.stderr()}")
        self.record = json.loads(text)
        return self

    def told(self):
        """All that is known of it, for a message."""
        brief = {key: self.record[key] for key in ("outcome", "exit_code", "signal", "error", "workspace", "residue")} \
            if self.record else None
        return f"record {brief}\nstdout: {self.stdout()[-600:]}\nstderr: {self.stderr()[-600:]}"

    def good(self, stdout=None):
        """It exited 0 with nothing to complain about, and wrote stdout, where that is given."""
        record = self.record
        right = record["outcome"] == "exited" and record["exit_code"] == 0 and record["residue"] == []
        right = right and (record["workspace"] or {}).get("error") is None
        if not right or (stdout is not None and self.stdout() != stdout):
            raise AssertionError(f"expected a good run that says {stdout!r}\n{self.told()}")
        return self

    def ended(self, *expected):
        """Its outcome and workspace.error are one of the pairs expected."""
        if (self.record["outcome"], (self.record["workspace"] or {}).get("error")) not in expected:
            raise AssertionError(f"expected outcome and workspace.error: {expected}\n{self.told()}")
        return self


class Bivy:
    """bivy with one cgroup parent of its own, on workspaces below one mount."""

    def __init__(self, parent, root, prefix=(), rootfs=None):
        self.program = os.environ["BIVY"]
        self.rootfs = rootfs or os.environ.get("BIVY_ROOTFS", "/var/lib/bivy/rootfs")
        self.parent, self.root, self.prefix = parent, root, list(prefix)
        self.extra = []

    def argv(self, user, uid, command, options, timeout, kill_after, rootfs=None):
        return [
            *self.prefix,
            self.program,
            "run",
            "--report=@REPORT@",
            "--rootfs=" + (rootfs or self.rootfs),
            "--cgroup-parent=" + self.parent,
            "--workspace-root=" + self.root,
            "--user-id=" + user,
            "--require-fs=" + the.FSTYPE,
            "--create-workspace",
            f"--host-uid={uid}",
            f"--timeout={timeout}s",
            f"--kill-after={kill_after}s",
            *self.extra,
            *options,
            "--",
            *command,
        ]

    def start(self, user, uid, command, *options, timeout=60, kill_after=2, stdin=None, rootfs=None):
        argv = self.argv(user, uid, command, options, timeout, kill_after, rootfs)
        return Run(argv, timeout + kill_after + 2, stdin)

    def run(self, *arguments, **options):
        return self.start(*arguments, **options).wait()

    def shell(self, user, uid, script, *options, **more):
        return self.run(user, uid, ["sh", "-euc", script], *options, **more)

    def bring(self, user, uid, source, name):
        """Puts a program into the workspace, the way an orchestrator would: by a command's stdin."""
        with open(source, "rb") as file:
            return self.run(
                user, uid, ["sh", "-euc", f"cat >{name}; chmod 755 {name}"], "--interactive", stdin=file
            ).good()

    def places(self):
        """The parent in every hierarchy that bivy uses."""
        return [
            mount["path"] + self.parent
            for mount in the.mounts()
            if mount["fstype"] == "cgroup2"
            or (mount["fstype"] == "cgroup" and {"memory", "cpu", "pids"} & set(mount["super"].split(",")))
        ]

    def make(self):
        for place in self.places():
            os.mkdir(place)
            control = os.path.join(place, "cgroup.subtree_control")
            if os.path.exists(control):
                with open(os.path.join(os.path.dirname(place), "cgroup.controllers"), encoding="ascii") as file:
                    controllers = {"memory", "cpu", "pids"} & set(file.read().split())
                for path in (os.path.join(os.path.dirname(place), "cgroup.subtree_control"), control):
                    with open(path, "w", encoding="ascii") as file:
                        file.write(" ".join("+" + it for it in controllers))
        return self

    def leaves(self):
        """The cgroups below the parent, of every hierarchy."""
        return [it.path for place in self.places() if os.path.isdir(place) for it in os.scandir(place) if it.is_dir()]

    def clean(self):
        """bivy clean, which must leave no leaf. Raises AssertionError where it hangs or leaves one."""
        argv = [*self.prefix, self.program, "clean", "--cgroup-parent=" + self.parent]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or self.leaves():
            raise AssertionError(f"bivy clean: status {done.returncode}, {self.leaves()}\n{done.stdout}{done.stderr}")

    def clean_in_time(self):
        """bivy clean beside something stuck: it may leave that, but not wait for it."""
        argv = [*self.prefix, self.program, "clean", "--cgroup-parent=" + self.parent]
        try:
            subprocess.run(argv, capture_output=True, timeout=2 + SLACK, check=False)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"bivy clean has not ended after {2 + SLACK} s") from None

    def freed(self):
        """What was stuck goes on and ends by itself; then bivy clean finds nothing that it cannot remove."""

        def clean():
            try:
                self.clean()
                return True
            except AssertionError:
                return False

        the.wait_until(f"bivy clean leaves no leaf of {self.leaves()}", clean, 120, 0.2)

    def remove(self):
        """The parent itself, at the end of the tests."""
        if any(map(os.path.isdir, self.places())):
            self.clean()
        for place in filter(os.path.isdir, self.places()):
            os.rmdir(place)
