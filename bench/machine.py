"""What is asked of the machine, and what is started on it: facts, temporary places, processes, what was left behind."""

import contextlib
import datetime
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time

CGROUPS = pathlib.Path("/sys/fs/cgroup")
BUSY = (
    "/sys/fs/cgroup/cpuacct/cpuacct.usage",
    "/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage",
    "/sys/fs/cgroup/cpu.stat",
    "/proc/stat",
)
# What peers make for themselves outside the bench's directory: removed at the end where it was not there before.
TRACES = (
    "/etc/docker/key.json",
    "/etc/docker",
    "/run/docker",
    "/run/containerd",
    "/run/crun",
    "/run/runc",
    "/run/firejail",
    "/run/systemd/nspawn",
)
OWNER = 60600  # of workspaces; root's are refused


class Trouble(Exception):
    """The bench cannot go on; the text says what and how to mend it."""


class Unavailable(Exception):
    """A peer or a case cannot be had here; the text says why and becomes its row."""


def text(path, otherwise=None):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        if otherwise is None:
            raise
        return otherwise


def meminfo():
    """/proc/meminfo in bytes."""
    return {
        name: int(value) * 1024
        for name, value in re.findall(r"^(\w+(?:\(\w+\))?):\s+(\d+) kB", text("/proc/meminfo"), re.M)
    }


def busy_source():
    return next((path for path in BUSY if os.access(path, os.R_OK)), None)


def facts():
    cpu = text("/proc/cpuinfo", "")
    model = re.search(r"^(?:model name|Model|CPU implementer)\s*:\s*(.+)$", cpu, re.M)
    types = {
        line.split(" - ")[-1].split()[0]
        for line in text("/proc/self/mountinfo").splitlines()
        if " /sys/fs/cgroup" in line
    }
    v2 = "cgroup2" in types
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpu": model.group(1).strip() if model else "unknown",
        "cores": os.cpu_count(),
        "memory_bytes": meminfo()["MemTotal"],
        "hypervisor": "hypervisor" in cpu,
        "cgroups": "hybrid" if v2 and "cgroup" in types else "v2" if v2 else "v1",
        "mounts": len(text("/proc/self/mountinfo").splitlines()),
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "load_before": os.getloadavg()[0],
        "busy_source": busy_source(),
        "user": os.geteuid(),
    }


def output_of(command, **options):
    """First line that COMMAND prints, on either stream; '' where it cannot be run."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, **options
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


# ---- processes, seen from outside ----


def processes():
    """pid: command line as a list, of every process that has one."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                words = pathlib.Path("/proc", name, "cmdline").read_bytes().split(b"\0")[:-1]
                if words:
                    found[int(name)] = words
    return found


def sleepers(token):
    """Pids of the processes that sleep with TOKEN as their last word: commands inside, not those who started them."""
    last = token.encode()
    return [
        pid
        for pid, words in processes().items()
        if words[-1] == last and len(words) in (3, 4) and b"sleep" in words[-3:][0]
    ]


def parent_of(pid):
    found = re.search(r"^PPid:\s+(\d+)", text(f"/proc/{pid}/status", ""), re.M)
    return int(found.group(1)) if found else 0


def private_bytes(pid):
    """Memory of a process that nobody shares; None where it is gone."""
    rollup = text(f"/proc/{pid}/smaps_rollup", "")
    found = re.findall(r"^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB", rollup, re.M)
    return sum(map(int, found)) * 1024 if found else None


def wait_for(condition, seconds, every=0.05):
    """Polls until the condition gives something true, and gives that; None when the time is up."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            return None
        time.sleep(every)


def gone(pid):
    """Also a zombie is gone."""
    stat = text(f"/proc/{pid}/stat", "")
    return not stat or stat.rpartition(")")[2].split()[0] == "Z"


def end(process, seconds=10):
    """Ends a process that this one has started: SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)


def end_pid(pid, seconds=10):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        if not wait_for(lambda: gone(pid), seconds):
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: gone(pid), seconds)


# ---- cgroups ----


def hierarchies():
    """Every hierarchy's mount, with its controllers; the v2 one has 'cgroup2' among them."""
    found = {}
    for line in text("/proc/self/mountinfo").splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        place = head.split()[4]
        if kind == "cgroup":
            found[place] = set(options.split(","))
        elif kind == "cgroup2":
            found[place] = {"cgroup2", *text(f"{place}/cgroup.controllers", "").split()}
    return found


def cgroup_directories():
    # os.walk takes no offence at what goes away meanwhile.
    return {os.path.join(here, name) for place in hierarchies() for here, names, _ in os.walk(place) for name in names}


def memory_cgroups():
    """Memory cgroups that the kernel still holds, dying ones among them, and where the number is from."""
    for place, controllers in hierarchies().items():
        if "cgroup2" in controllers and "memory" in controllers:
            counted = dict(line.split() for line in text(f"{place}/cgroup.stat").splitlines())
            return int(counted["nr_descendants"]) + int(counted["nr_dying_descendants"]), "cgroup.stat"
    for line in text("/proc/cgroups").splitlines():
        if line.startswith("memory\t"):
            return int(line.split()[2]), "/proc/cgroups"
    raise Unavailable("no memory controller")


def limits_of(pid):
    """The limits that hold for a process, from its cgroups as seen from outside: the lowest on the way up."""
    limits = {"memory": None, "cpu": None, "pids": None}
    own = {}
    for line in text(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers or "cgroup2"] = path

    def lower(name, value):
        if value is not None and (limits[name] is None or value < limits[name]):
            limits[name] = value

    for place, controllers in hierarchies().items():
        path = next(
            (own[key] for key in own if set(key.split(",")) & controllers or key == "cgroup2" and key in controllers),
            None,
        )
        if path is None:
            continue
        here = pathlib.Path(place + path)
        top = pathlib.Path(place)
        while here != top and top in here.parents:
            for file in ("memory.max", "memory.limit_in_bytes"):
                value = text(here / file, "max").strip()
                lower("memory", None if value == "max" or int(value) >= 1 << 60 else int(value))
            value = text(here / "pids.max", "max").strip()
            lower("pids", None if value == "max" else int(value))
            value = text(here / "cpu.max", "max 1").split()
            lower("cpu", None if value[0] == "max" else int(value[0]) / int(value[1]))
            value = int(text(here / "cpu.cfs_quota_us", "-1"))
            lower("cpu", None if value < 0 else value / int(text(here / "cpu.cfs_period_us", "100000")))
            here = here.parent
    return limits


# ---- temporary things ----


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        pathlib.Path(path).unlink(missing_ok=True)


class Bench:
    """All that a run of the bench owns; leaving it undoes everything, in reverse order."""

    def __init__(self):
        self.undo = contextlib.ExitStack()

    def __enter__(self):
        self.before = self.snapshot()
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="bivy-bench."))
        os.chmod(self.place, 0o711)  # the sandboxes' user walks through it
        self.undo.callback(shutil.rmtree, self.place, ignore_errors=True)
        for trace in TRACES:
            if not os.path.exists(trace):
                self.undo.callback(remove, trace)
        self.undo.callback(self.unmount)
        # Every peer may write there: most run as an id that is theirs to choose.
        self.workspace = self.directory("workspace", 0o777)
        os.chown(self.workspace, OWNER, OWNER)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupt)
        return self

    @staticmethod
    def interrupt(number, _):
        raise SystemExit(128 + number)

    def __exit__(self, *reason):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.undo.close()

    def ours(self):
        """Mounts that were not there before, below the bench's directory or where peers leave some (firejail does), last first."""
        places = tuple(f"{path}/" for path in (self.place, *TRACES))
        mounts = [line.split()[4] for line in text("/proc/self/mountinfo").splitlines()]
        return [mount for mount in reversed(mounts) if mount.startswith(places) and mount not in self.before["mounts"]]

    def unmount(self):
        for mount in self.ours():
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)

    def directory(self, name, mode=0o755):
        path = self.place / name
        path.mkdir(mode=mode, parents=True)
        os.chmod(path, mode)
        return path

    def popen(self, command, **options):
        """A process that is ended with the bench, at the latest."""
        process = subprocess.Popen(command, **({"stdin": subprocess.DEVNULL} | options))
        self.undo.callback(end, process)
        return process

    @staticmethod
    def snapshot():
        mounts = [line.split()[4] for line in text("/proc/self/mountinfo").splitlines()]
        return {"mounts": sorted(mounts), "cgroups": cgroup_directories()}

    def left(self):
        """Mounts and cgroups of the bench that are still there once what is on its way out is gone. On a machine where others work,
        theirs are not counted: of bivy's and the floor program's leaves only the empty ones that stay."""

        def remaining():
            after = self.snapshot()
            cgroups = [
                path
                for path in after["cgroups"] - self.before["cgroups"]
                if "bivy-bench" in path
                or "bivybench" in path
                or "/bivy/" in path
                and not text(f"{path}/cgroup.procs", "")
            ]
            return {"mounts": self.ours(), "cgroups": sorted(cgroups)}

        wait_for(lambda: not any(remaining().values()), 5, 0.2)
        first = remaining()
        if any(first.values()):
            time.sleep(1)
        second = remaining()
        return {name: [path for path in paths if path in second[name]] for name, paths in first.items()}
