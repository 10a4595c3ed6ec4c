"""Drives bivy on workspaces under test: each case in a process with a directory, a cgroup parent and servers of its
own, four at a time. The process never opens anything below a mount under test: its children do. After each case nothing
may be left once its servers have gone: no process, no leaf, no mount, and what the mount hid is as it was."""

import collections
import ctypes
import errno
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import fixture
from fixture import DEADLINE, UID, Bindfs, Failure, Faultfs, await_true, contents, detach, process_state

AT_ONCE = 4
CASE_WITHIN = 240  # seconds; a case that hangs is a failure, not the end of the test
ANSWER_WITHIN = 2.0  # bivy's promise beyond timeout and kill-after
SLACK = 1.0  # for programs to start and to end, which is not bivy's time; what the machine is late comes on top
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
Row = collections.namedtuple("Row", "name function full bindfs alone")
CASES = []


def check(condition, *seen):
    if not condition:
        raise AssertionError("seen: " + " | ".join(map(str, seen)))


FULL = object()  # at the end of a row: not in the normal run


def case(*rows, full=False, bindfs=False, alone=False):
    """Registers a function once for each row, a tuple of arguments. alone: no other case runs at the same time."""

    def register(function):
        for row in rows or [()]:
            values = tuple(value for value in row if value is not FULL)
            name = ", ".join([function.__name__.replace("_", " "), *map(str, values)])
            CASES.append(Row(name, lambda it, values=values: function(it, *values), full or FULL in row, bindfs, alone))
        return function

    return register


# ---- the machine


class Setting:
    """What all cases share."""

    faultfs = bivy = rootfs = schema = directory = validator = ""
    mounts = ()  # the hierarchies: where they are mounted
    cgroup2 = ""
    parent = ""  # the cgroup below which each case has one of its own
    timeout = 1.0  # long enough for bivy to set a sandbox up on this machine now


class Lateness:
    """How much later than asked for this machine wakes a sleeper, summed up while it is watched."""

    STEP = 0.01

    def __enter__(self):
        self.late, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.is_set():
            begin = time.monotonic()
            time.sleep(self.STEP)
            self.late += max(0.0, time.monotonic() - begin - self.STEP - 0.001)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def hierarchies():
    """Mount points of the v2 hierarchy and of those v1 ones that hold memory, cpu or pids."""
    found, second = [], ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split()
            rest = fields[fields.index("-") + 1 :]
            if fields[3] != "/":
                continue
            if rest[0] == "cgroup2" and not second:
                second = fields[4]
                found.append(second)
            elif rest[0] == "cgroup" and {"memory", "cpu", "pids"} & set(rest[2].split(",")):
                found.append(fields[4])
    return found, second


def hand_down(directory):
    """Has a v2 directory's children controlled, where there is anything to control."""
    with open(directory + "/cgroup.controllers", encoding="ascii") as file:
        there = {"memory", "cpu", "pids"} & set(file.read().split())
    if there:
        write(directory + "/cgroup.subtree_control", " ".join("+" + controller for controller in sorted(there)))


def make_cgroup(path):
    for mount in Setting.mounts:
        os.mkdir(mount + path, 0o711)  # an ordinary user passes through to what is his
    hand_down(Setting.cgroup2 + path)


def removed(directory):
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError as wrong:
        if wrong.errno != errno.EBUSY:
            raise
        return False
    return True


def remove_cgroup(path):
    for mount in Setting.mounts:
        await_true(
            lambda mount=mount: removed(mount + path), f"the cgroup {mount + path} empty: {os.listdir(mount + path)}"
        )


# ---- a run


class Run:
    """bivy at work, the record it writes, and the time it may take."""

    def __init__(
        self,
        owner,
        options,
        command,
        timeout=None,
        kill_after=0.1,
        before=0.0,
        sync=0.0,
        more=0.0,
        uid=None,
        verb="run",
        cwd=None,
        report=None,
        parent=None,
    ):
        owner.runs += 1
        self.name = f"run {owner.runs}"
        timeout = Setting.timeout if timeout is None else timeout
        self.within = timeout + kill_after + ANSWER_WITHIN + before + sync + more
        self.memory = os.memfd_create("record") if uid else -1
        self.report = report or os.path.join(owner.base, f"record-{owner.runs}")
        words = [Setting.bivy, verb, "--rootfs", Setting.rootfs, "--cgroup-parent", parent or owner.parent]
        words += ["--timeout", f"{timeout * 1000:.0f}ms", "--kill-after", f"{kill_after * 1000:.0f}ms", "-i"]
        words += ["--workspace-timeout", f"{before * 1000:.0f}ms"] if before else []
        words += ["--sync", f"{sync * 1000:.0f}ms"] if sync else []
        words += ["--report", f"fd:{self.memory}" if uid else self.report] if verb == "run" else []
        words += [*options, "--", *command]
        self.verb, self.out, self.err = verb, b"", b""
        if uid:
            enter = f'echo 0 > "$0" && exec setpriv --reuid {uid} --regid {uid} --clear-groups -- "$@"'
            words = ["sh", "-c", enter, Setting.cgroup2 + owner.parent + "/caller/cgroup.procs", *words]
        owner.started.append(self)
        self.lateness = Lateness()
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd or "/",
            pass_fds=[self.memory] if uid else [],
        )
        self.lateness.__enter__()
        self.open = [self.process.stdout, self.process.stderr]
        for pipe in self.open:
            os.set_blocking(pipe.fileno(), False)

    def take(self, seconds):
        for pipe in select.select(self.open, [], [], max(0.0, seconds))[0]:
            data = pipe.read()
            if data == b"":
                self.open.remove(pipe)
            elif pipe is self.process.stdout:
                self.out += data
            else:
                self.err += data

    def await_line(self, text="go"):
        """Until the command has said so."""
        end = time.monotonic() + DEADLINE
        while f"{text}\n".encode() not in self.out:
            if time.monotonic() > end or not self.open:
                raise Failure(f"{self.name} never said {text}: {self.out!r} {self.err!r} {self.process.poll()}")
            self.take(0.1)

    def say(self):
        """A line for the command to read."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def where(self):
        try:
            with open(f"/proc/{self.process.pid}/stack", encoding="utf-8") as stack:
                calls = " ".join(line.split()[-1] for line in stack)
        except OSError:
            calls = ""
        return f"bivy {self.process.pid} is {process_state(self.process.pid)} {calls}"

    def finish(self, status=None, outcome=None, error=..., more=0.0):
        """Waits for the end of both pipes and of bivy, and for no longer than it may take; the record, checked."""
        patience = self.begin + self.within + more + DEADLINE + 30
        while self.open and time.monotonic() < patience:
            self.take(0.1)
        held = [("stdout", "stderr")[pipe is self.process.stderr] for pipe in self.open]
        try:
            self.process.wait(max(0.1, patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            where = self.where()
            self.process.kill()
            raise AssertionError(f"{self.name} gave no answer: {where}") from None
        elapsed = time.monotonic() - self.begin
        self.lateness.__exit__()
        self.process.stdin.close()
        check(not held, f"{self.name}: still open after bivy's end", held)
        allowed = self.within + more + SLACK + 2 * self.lateness.late
        self.record = record = self.read_record() if self.verb == "run" else None
        seen = json.dumps(record, ensure_ascii=False), self.out[-300:], self.err[-600:]
        check(elapsed <= allowed, f"{self.name}: answered after {elapsed:.2f} s, {allowed:.2f} allowed", *seen)
        if record:
            check(record["bivy_exit"] == self.process.returncode, f"{self.name}: exit {self.process.returncode}", *seen)
            for found in Setting.validator.iter_errors(record):
                place = ".".join(map(str, found.absolute_path)) or "record"
                raise AssertionError(f"{self.name}: schema: {place}: {found.message}")
            if outcome:
                check(record["outcome"] == outcome, f"{self.name}: outcome, not {outcome}", *seen)
            if error is not ...:
                there = record["workspace"] and record["workspace"]["error"]
                check(there == error, f"{self.name}: workspace.error {there}, not {error}", *seen)
        if status is not None:
            check(
                self.process.returncode == status, f"{self.name}: exit {self.process.returncode}, not {status}", *seen
            )
        return record

    def read_record(self):
        if self.memory >= 0:
            os.lseek(self.memory, 0, os.SEEK_SET)
            with open(self.memory, "rb") as file:
                text = file.read()
        else:
            with open(self.report, "rb") as file:
                text = file.read()
        try:
            return json.loads(text.decode("utf-8"))
        except ValueError as wrong:
            raise AssertionError(f"{self.name}: the record is {text[:200]!r}: {wrong}; {self.err!r}") from None


class Case:
    """One case's own things, and the proof that nothing stays."""

    def __init__(self, number):
        self.base = os.path.join(Setting.directory, str(number))
        os.mkdir(self.base, 0o711)
        self.parent = f"{Setting.parent}/{number}"
        make_cgroup(self.parent)
        self.runs, self.started = 0, []
        self.servers, self.hidden, self.on_top = [], [], []
        self.delegated = False

    # What a workspace lies on.

    def serve(self, *commands, options="", user=UID, name="alice", old=True):
        """faultfs with a good workspace of that user, in which there is a file `old`; commands come after that."""
        first = [f"mkdir /{name} 700 {user} {user}"] if name else []
        first += [f"file /{name}/old 755 {user} {user} hello"] if name and old else []
        base = os.path.join(self.base, f"faultfs-{len(self.servers)}")
        server = Faultfs(Setting.faultfs, base, options, [*first, *commands], tempt=(name or "alice", user))
        return self.keep(server)

    def bind(self, state):
        server = Bindfs(os.path.join(self.base, f"bindfs-{len(self.servers)}"))
        self.servers.append(server)
        server.up(state, tempt=("alice", UID))
        return self.keep(server, known=True)

    def keep(self, server, known=False):
        if not known:
            self.servers.append(server)
        if server.below >= 0:
            self.hidden.append((server, contents(server.below)))
        return server

    def cover(self, path):
        """A tmpfs over that path, with a workspace to be tempted by."""
        self.child("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
        self.on_top.append(path)

    def child(self, *words):
        """A program that may touch the mount: should it hang, the case fails and the servers' end frees it."""
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        if done.returncode:
            raise Failure(f"{' '.join(words)}: {done.returncode} {done.stderr}")
        return done.stdout

    # Runs.

    def options(self, server, name="alice"):
        return ["--workspace-root", server.root, "--user-id", name, "--require-fs", "fuse.seaweedfs"]

    def run(self, server, command, *more, name="alice", **how):
        command = command if isinstance(command, list) else ["sh", "-c", command]
        return Run(self, [*self.options(server, name), *more], command, **how)

    def refused(self, server, error, *more, before=0.0, name="alice", **how):
        """Set-up ends in stage workspace, says why and how to mend it, and nothing of the command runs."""
        run = self.run(server, "echo ran; echo ran > /workspace/ran", *more, before=before, name=name, **how)
        record = run.finish(125, "setup_failed", error)
        check(record["error"]["stage"] == "workspace", record["error"])
        check(record["error"]["hint"] and record["error"]["message"], record["error"])
        check(record["isolation"] is None and record["exit_code"] is None, record)
        check(run.out == b"" and b"bivy: workspace: " in run.err and b"bivy: hint: " in run.err, run.out, run.err)
        return record

    def delegate(self, uid=UID):
        """The case's cgroup parent becomes an ordinary user's, who may call from within it."""
        for mount in Setting.mounts:
            directory = mount + self.parent
            for name in (".", "cgroup.procs", "tasks", "cgroup.subtree_control", "cgroup.threads"):
                if os.path.exists(os.path.join(directory, name)):
                    os.chown(os.path.join(directory, name), uid, uid)
        os.mkdir(Setting.cgroup2 + self.parent + "/caller")
        self.delegated = True

    def clean(self, status, expected):
        begin = time.monotonic()
        with Lateness() as lateness:
            done = subprocess.run(
                [Setting.bivy, "clean", "--cgroup-parent", self.parent],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        elapsed = time.monotonic() - begin
        check(elapsed < 2 + SLACK + 2 * lateness.late, f"bivy clean took {elapsed:.2f} s")
        check((done.returncode, done.stdout.strip()) == (status, expected), done)

    def stuck_leaves(self):
        return [entry for entry in os.listdir(Setting.cgroup2 + self.parent) if entry.startswith("bivy-")]

    # The end.

    def close(self, judge):
        """Ends the servers and then asks for traces: all that waited must have ended with them."""
        for run in [run for run in self.started if run.process.poll() is None]:
            run.process.kill()  # the case has failed
        for path in reversed(self.on_top):
            detach(path)
        for server, before in self.hidden if judge else []:
            after = contents(server.below)
            check(after == before, "below the mount", before, after)
        wrong = None
        for server in self.servers:
            try:
                server.close()
            except (Failure, OSError) as failure:
                wrong = failure
        await_true(self.alone, f"no process left, but {self.children()}")
        if judge and wrong:
            raise wrong
        leaves = len(self.stuck_leaves())
        if judge:
            self.clean(0, f"removed {leaves}, live 0, stuck 0")
        else:
            subprocess.run(
                [Setting.bivy, "clean", "--cgroup-parent", self.parent], capture_output=True, timeout=60, check=False
            )
        if self.delegated:
            os.rmdir(Setting.cgroup2 + self.parent + "/caller")
        remove_cgroup(self.parent)
        shutil.rmtree(self.base)

    def children(self):
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children", encoding="ascii") as file:
            living = [(pid, process_state(pid)) for pid in file.read().split()]
        return [f"{pid} {state}" for pid, state in living if state not in ("Z", None)]

    def alone(self):
        """This process inherits what bivy leaves (PR_SET_CHILD_SUBREAPER)."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            return False
        except ChildProcessError:
            return True


# ---- all of them


def carry_out(function, number, pipe):
    """In a process of its own: None when all is well, else what is wrong."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # and its servers go with it
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    wrong, it = "", None
    try:
        it = Case(number)
        try:
            function(it)
        except BaseException:
            wrong = traceback.format_exc()
        it.close(not wrong)
    except BaseException:
        wrong += traceback.format_exc()
    with os.fdopen(pipe, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(wrong)


class Worker:
    told = 0  # points are numbered as they come: TAP wants them in order

    def __init__(self, number, name, function):
        self.number, self.name, self.begin, self.text = number, name, time.monotonic(), b""
        self.pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            try:
                carry_out(function, number, theirs)
            finally:
                os._exit(0)
        os.close(theirs)

    def step(self):
        """True once it has ended. Its pipe is its own: whoever else had it would hide its end."""
        if time.monotonic() - self.begin > CASE_WITHIN:
            os.kill(self.pid, signal.SIGKILL)  # its servers go with it, and so does what waits for them
            self.text += f"the case did not end within {CASE_WITHIN} s".encode()
            os.waitpid(self.pid, 0)
            os.close(self.pipe)
            return True
        if not select.select([self.pipe], [], [], 0)[0]:
            return False
        data = os.read(self.pipe, 65536)
        self.text += data
        if data:
            return False
        os.waitpid(self.pid, 0)
        os.close(self.pipe)
        return True

    def tell(self):
        wrong = self.text.decode("utf-8", "replace").strip()
        name = "".join(char if char.isprintable() and char not in "#\\" else f"<{ord(char):x}>" for char in self.name)[
            :120
        ]
        Worker.told += 1
        print("not ok" if wrong else "ok", f"{Worker.told} - {name}", flush=True)
        if os.environ.get("BIVY_TEST_TIMES"):
            print(f"# {time.monotonic() - self.begin:.1f} s", flush=True)
        if wrong:
            print("# " + wrong.replace("\n", "\n# "), flush=True)
        return not wrong


def run_all(chosen):
    waiting = list(enumerate(sorted(chosen, key=lambda row: row.alone), 1))  # those that run alone in the end
    working, bad = [], 0
    while waiting or working:
        while waiting and len(working) < (1 if waiting[0][1].alone else AT_ONCE):
            number, row = waiting.pop(0)
            working.append(Worker(number, row.name, row.function))
        select.select([worker.pipe for worker in working], [], [], 1.0)
        for worker in [worker for worker in working if worker.step()]:
            working.remove(worker)
            bad += not worker.tell()
    return bad


def sweep():
    """Also what cases that failed have left."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        left = [fixture.unescape(line.split()[4]) for line in lines if Setting.directory in line]
    for path in reversed(left):
        detach(path)
    shutil.rmtree(Setting.directory)
    for mount in Setting.mounts:
        for path, _, _ in os.walk(mount + Setting.parent, topdown=False):
            await_true(lambda path=path: removed(path), f"the cgroup {path} empty")


def measure():
    """How long bivy takes here and now, for timeouts that must be long enough to set a sandbox up."""
    slowest = 0.0
    for _ in range(3):
        begin = time.monotonic()
        words = [Setting.bivy, "run", "--rootfs", Setting.rootfs, "--cgroup-parent", Setting.parent, "--", "true"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise Failure(f"bivy does not run here at all: {done}")
        slowest = max(slowest, time.monotonic() - begin)
    return min(5.0, 0.7 + 10 * slowest)


def unable():
    if os.geteuid() != 0:
        return "needs root: it mounts"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse: modprobe fuse"
    if not importlib.util.find_spec("jsonschema"):
        return "no python3-jsonschema: apt-get install python3-jsonschema"
    if not hierarchies()[1]:
        return "no cgroup2 mounted"
    return None


def main():
    status = fixture.excuse(unable())
    if status is not None:
        return status
    fixture.enter_namespace()
    from jsonschema import Draft202012Validator

    Setting.faultfs, Setting.bivy, Setting.rootfs, schema = (os.path.abspath(word) for word in sys.argv[1:5])
    pattern = sys.argv[5] if len(sys.argv) > 5 else ""
    with open(schema, encoding="utf-8") as file:
        Setting.validator = Draft202012Validator(json.load(file))
    Setting.mounts, Setting.cgroup2 = hierarchies()
    Setting.parent = f"/bivy-fuse-{os.getpid()}"
    Setting.directory = tempfile.mkdtemp(prefix="bivy-workspace-")
    os.chmod(Setting.directory, 0o711)  # the owner of a workspace passes through
    hand_down(Setting.cgroup2)
    make_cgroup(Setting.parent)
    Setting.timeout = measure()
    full = os.environ.get("BIVY_TEST_FULL") == "1" or pattern
    chosen = [row for row in CASES if pattern in row.name and (full or not row.full)]
    if not fixture.strict() and not shutil.which("bindfs"):
        skipped = [row.name for row in chosen if row.bindfs]
        chosen = [row for row in chosen if not row.bindfs]
        print(f"# no bindfs (apt-get install bindfs): {len(skipped)} cases left out")
    print(f"1..{len(chosen)}", flush=True)
    print(f"# {Setting.timeout:.2f} s is the timeout of runs that meet it", flush=True)
    bad = run_all(chosen)
    sweep()
    return 1 if bad else 0
