"""What is measured. Each case gives a dictionary for the results file; `reach.py` and `document.py` read it."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import figures
import machine
from machine import OWNER, Trouble, Unavailable
from peers import Job
from runner import interleaved, item, run, with_ratios

PAUSE = 20  # ms before each run of an idle schedule
TRUE = Job(("/bin/true",))
SHELL = Job(("/bin/sh", "-c", ":"))
MODES = (("hot", 0), ("idle", PAUSE))


class Measure:
    """What every case gets: the peers that are there, and how much to do."""

    def __init__(self, bench, options, peers):
        self.bench, self.options, self.peers = bench, options, peers

    def count(self, full, quick):
        if self.options.runs is not None:
            return max(1, min(full, self.options.runs))
        return quick if self.options.quick else full

    def those(self, *names):
        return [self.peers[name] for name in names if name in self.peers]

    def bivy(self):
        if "bivy" not in self.peers:
            raise Unavailable("bivy itself could not be run")
        return self.peers["bivy"]

    def say(self, words):
        print(f"    {words}", flush=True)


def schedules(measure):
    """The peers in two schedules, as a slow one would leave the others few runs; what is compared with is in both."""
    fast = [peer for peer in measure.peers.values() if not peer.slow]
    slow = [peer for peer in measure.peers.values() if peer.slow]
    yield "fast", fast
    if slow:
        yield "slow", [peer for peer in fast if peer.name in ("bare", "floor", "bivy", "bwrap")] + slow


def cold(measure):
    """One run of nothing: /bin/true, and sh -c :"""
    rows = []
    for job, label, share in ((TRUE, "/bin/true", 1), (SHELL, "sh -c :", 2)):
        for schedule, those in schedules(measure):
            items = [item(peer, job) for peer in those]
            for mode, pause in MODES:
                blocks = {
                    "fast": measure.count((300 if mode == "hot" else 200) // share, 20),
                    "slow": measure.count(40 // share, 3),
                }[schedule]
                measure.say(f"{label}, {mode}, {schedule} peers: {blocks} blocks of {len(items)}")
                results = interleaved(
                    measure.bench, measure.options, items, blocks, ("cold", label, mode, schedule), pause
                )
                these = with_ratios([result.figures() for result in results])
                rows += [{"command": label, "mode": mode, "schedule": schedule} | row for row in these]
    return {"rows": rows}


def session_lines():
    """The four commands of scripts/quickstart's session, read from it."""
    script = pathlib.Path(__file__).resolve().parent.parent / "scripts/quickstart"
    lines = re.findall(r"^    works .*$", script.read_text(encoding="utf-8"), re.M)
    out = subprocess.run(
        ["bash"],
        input="works() { printf '%s\\0' \"$1\"; }\n" + "\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    found = out.stdout.split("\0")[:-1]
    if len(found) < 3:
        raise Trouble(f"{script}: its session of `works` lines is not found any more")
    return found


def session(measure):
    """scripts/quickstart's commands one after another over one workspace, each in a fresh sandbox."""
    lines = session_lines()
    example = pathlib.Path(__file__).resolve().parent.parent / "examples/deals_q2.csv"
    place = measure.bench.workspace
    shutil.copy(example, place)
    # Whoever comes first makes the file that the others write again, each as another id.
    result = place / "qualified.csv"
    result.write_text("")
    os.chmod(result, 0o666)
    jobs = [Job(("/bin/sh", "-c", line), workspace=str(place)) for line in lines]
    rows = []
    for schedule, those in schedules(measure):
        items = [item(peer, *jobs) for peer in those if peer.takes_workspace]
        for mode, pause in MODES:
            blocks = measure.count(60, 5) if schedule == "fast" else measure.count(10, 2)
            measure.say(f"{mode}, {schedule} peers: {blocks} blocks of {len(items)}")
            results = interleaved(measure.bench, measure.options, items, blocks, ("session", mode, schedule), pause)
            rows += [
                {"mode": mode, "schedule": schedule} | row
                for row in with_ratios([result.figures() for result in results])
            ]
    return {"commands": len(lines), "rows": rows}


LEVELS = (1, 2, 8, 32, 128)


def concurrency(measure):
    """So many at a time, without end: throughput, latency, processor time, failed runs."""
    measure.bivy()
    plan = []
    for level in LEVELS:
        for peer in measure.those("bare", "floor", "bivy", "bwrap"):
            plan.append((level, peer, measure.count(max(400, 12 * level), max(20, 2 * level))))
    for peer in measure.those("crun", "docker"):
        plan.append((8, peer, measure.count(96 if peer.name == "crun" else 48, 16)))
    rounds = measure.count(3, 1)
    gathered = {}
    for round_number in range(rounds):
        order = list(range(len(plan)))
        figures.generator(measure.options.seed, "concurrency", round_number).shuffle(order)
        for number in order:
            level, peer, runs = plan[number]
            (result,), seconds, busy = run(
                measure.bench, measure.options, [item(peer, TRUE)], [0] * max(runs // rounds, level), parallel=level
            )
            entry = gathered.setdefault((level, peer.name), {"result": result, "seconds": 0.0, "busy": 0.0, "runs": 0})
            if entry["result"] is not result:
                entry["result"].add(result)
            entry["seconds"] += seconds
            entry["busy"] += busy or 0.0
            entry["runs"] += max(runs // rounds, level)
        measure.say(f"round {round_number + 1} of {rounds}")
    rows = []
    for (level, name), entry in sorted(gathered.items()):
        row = entry["result"].figures()
        row |= {
            "at_once": level,
            "runs": entry["runs"],
            "per_second": (entry["runs"] - row["failed"]) / entry["seconds"],
            "machine_ms_per_run": entry["busy"] * 1000 / entry["runs"],
        }
        rows.append(row)
    return {"rows": rows}


def parent_rss(measure):
    """Started by a parent that holds 4 GiB and goes on writing to them, with vfork (as posix_spawn does) and with fork."""
    size = 4 << 30
    available = machine.meminfo()["MemAvailable"]
    if available < size + (2 << 30):
        raise Unavailable(f"{available >> 20} MiB are available; this needs {(size >> 20) + 2048}")
    items = [item(peer, TRUE) for peer in measure.those("bare", "bivy")]
    rows = []
    for parent, start in ((0, "vfork"), (size, "vfork"), (0, "fork"), (size, "fork")):
        blocks = measure.count(60 if start == "vfork" else 30, 5)
        measure.say(f"parent of {parent >> 30} GiB, {start}: {blocks} blocks")
        results = interleaved(
            measure.bench,
            measure.options,
            items,
            blocks,
            ("parent", parent, start),
            parent=parent,
            touch=1,
            start=start,
        )
        rows += [
            {"parent_bytes": parent, "start": start} | row
            for row in with_ratios([result.figures() for result in results])
        ]
    return {"rows": rows}


def dd_job(bytes_, lifted=True):
    return Job(("/bin/dd", "if=/dev/zero", "bs=1M", f"count={bytes_ >> 20}"), lifted=lifted)


def stdout(measure):
    """1 GiB from inside, through the sandbox's streams, against the same program outside with the same stdout."""
    size = (1 << 30) if not measure.options.quick else (256 << 20)
    measure.bivy()
    those = measure.those("bare", "bivy", "bwrap")
    drain = str(measure.options.tools / "bench-payload")
    target = measure.bench.place / "stdout"
    room = shutil.disk_usage(measure.bench.place).free
    kinds = ["pipe", "splice", "null"] + (["file"] if room > 4 * size else [])
    # Back to an empty file each time, or the second writer would find its pages already there.
    values = {}
    for number in figures.interleave(
        len(those) * len(kinds), measure.count(7, 3), figures.generator(measure.options.seed, "stdout")
    ):
        peer, kind = those[number % len(those)], kinds[number // len(those)]
        words = peer.argv(dd_job(size))
        began = time.monotonic()
        if kind in ("pipe", "splice"):
            reader = subprocess.Popen(
                [drain, "drain", "read" if kind == "pipe" else "splice"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            writer = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=reader.stdin, stderr=subprocess.DEVNULL)
            reader.stdin.close()
            out = reader.stdout.read().split()
            reader.wait()
            status = writer.wait()
            got, seconds = int(out[0]), int(out[1]) / 1e9
        else:
            with open(os.devnull if kind == "null" else target, "wb") as file:
                status = subprocess.run(
                    words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.DEVNULL, check=False
                ).returncode
                seconds = time.monotonic() - began
                got = size if kind == "null" else os.fstat(file.fileno()).st_size
            target.unlink(missing_ok=True)
        entry = values.setdefault((kind, peer.name), {"rates": [], "failed": 0})
        if status != 0 or got != size:
            entry["failed"] += 1
        else:
            entry["rates"].append(size / seconds / 1e6)
    rows = []
    for (kind, name), entry in sorted(values.items()):
        bare = values.get((kind, "bare"), {"rates": []})["rates"]
        spread = figures.spread(entry["rates"])
        rows.append(
            {
                "peer": name,
                "target": kind,
                "mb_per_second": spread,
                "failed": entry["failed"],
                "to_bare": figures.ratio(spread and spread["p50"], figures.quantile(bare, 0.5) if bare else None),
            }
        )
    return {"bytes": size, "rows": rows}


def syscalls(measure):
    """A loop of getppid(2), and files made and removed in the workspace, timed by the program itself."""
    measure.bivy()
    place = measure.bench.workspace
    shutil.copy(measure.options.tools / "bench-payload", place / "payload")
    os.chmod(place / "payload", 0o755)
    calls = 5_000_000 if not measure.options.quick else 2_000_000
    files = 10_000 if not measure.options.quick else 4_000
    kinds = {
        "getppid": Job(("/workspace/payload", "getppid", str(calls)), workspace=str(place), lifted=True),
        "files": Job(("/workspace/payload", "files", "/workspace", str(files)), workspace=str(place), lifted=True),
    }
    those = measure.those("bare", "bivy", "bwrap", "bwrap-filter")
    values, failed = {}, {}
    names = list(kinds)
    for number in figures.interleave(
        len(those) * 2, measure.count(7, 3), figures.generator(measure.options.seed, "syscalls")
    ):
        peer, kind = those[number % len(those)], names[number // len(those)]
        (place / "file").unlink(missing_ok=True)
        opened = [(number_, os.open(path, os.O_RDONLY)) for number_, path in peer.opened(kinds[kind])]
        done = subprocess.run(
            peer.argv(kinds[kind]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=(lambda opened=opened: [os.dup2(fd, wanted) for wanted, fd in opened]) if opened else None,
            close_fds=not opened,
        )
        for _, fd in opened:
            os.close(fd)
        if done.returncode != 0 or not done.stdout.strip().isdigit():
            failed[(kind, peer.name)] = f"status {done.returncode}: {done.stderr.strip()[-200:]}"
            continue
        values.setdefault((kind, peer.name), []).append(int(done.stdout) / (calls if kind == "getppid" else files))
    rows = []
    for kind in names:
        for peer in those:
            spread = figures.spread(values.get((kind, peer.name), []))
            bare = figures.spread(values.get((kind, "bare"), []))
            rows.append(
                {
                    "peer": peer.name,
                    "work": kind,
                    "ns_per_round": spread,
                    "why": failed.get((kind, peer.name), ""),
                    "to_bare": figures.ratio(spread and spread["p50"], bare and bare["p50"]),
                }
            )
    return {"calls": calls, "files": files, "rows": rows}


# ---- sandboxes that sleep ----


class Sleepers:
    """Sandboxes in which a command sleeps; their number can be changed."""

    def __init__(self, measure, peer):
        self.measure, self.peer = measure, peer
        self.token = f"0.{os.getpid():07d}{Sleepers.serial:04d}"
        Sleepers.serial += 1
        self.running = []
        self.log = open(measure.bench.place / f"sleepers-{self.token}", "w+b")
        self.words = peer.argv(Job(("/bin/sleep", "1200", self.token)))
        if peer.name == "bivy":
            self.words[2:2] = ["--timeout", "20m"]

    serial = 0

    def __enter__(self):
        return self

    def set(self, count):
        while len(self.running) < count:
            batch = min(50, count - len(self.running))
            for _ in range(batch):
                self.running.append(
                    subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
                )
            if not machine.wait_for(lambda: len(machine.sleepers(self.token)) >= len(self.running), 120, 0.1):
                self.log.seek(0)
                raise Unavailable(
                    f"{self.peer.name}: of {len(self.running)} sandboxes {len(machine.sleepers(self.token))} came to sleep: "
                    f"{self.log.read().decode(errors='replace').strip()[:200]}"
                )
        surplus = self.running[count:]
        del self.running[count:]
        for process in surplus:
            process.terminate()
        for process in surplus:
            machine.end(process, 20)

    def __exit__(self, *reason):
        self.set(0)
        self.log.close()


def kernel_bytes():
    found = machine.meminfo()
    return sum(found.get(name, 0) for name in ("Slab", "KernelStack", "PageTables", "SecPageTables", "Percpu"))


def settle_memory():
    """Waits until the kernel has taken away what earlier sandboxes left to it (network namespaces take seconds)."""
    last = [kernel_bytes(), 0]

    def still():
        now = kernel_bytes()
        last[1] = last[1] + 1 if abs(now - last[0]) < 256 << 10 else 0
        last[0] = now
        return last[1] >= 4

    machine.wait_for(still, 10, 0.4)


def charged(pid):
    """Kernel memory charged to the leaf of a process: v2's memory.stat, v1's memory.kmem; None where neither is there."""
    for line in machine.text(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for place, held in machine.hierarchies().items():
            if "memory" not in held or not ("memory" in controllers.split(",") or not controllers):
                continue
            found = re.search(r"^kernel (\d+)$", machine.text(f"{place}{path}/memory.stat", ""), re.M)
            value = found.group(1) if found else machine.text(f"{place}{path}/memory.kmem.usage_in_bytes", "").strip()
            if value:
                return int(value)
    return None


def tree_of(roots, commands):
    """The processes of the sandboxes but for the commands themselves: what the started ones are and have as children."""
    children = {}
    for pid in machine.processes():
        children.setdefault(machine.parent_of(pid), []).append(pid)
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        if pid not in commands:
            found.append(pid)
        todo += children.get(pid, [])
    return found


def memory(measure):
    """What a sandbox holds while its command sleeps."""
    rows = []
    measure.bivy()
    for peer in measure.those("bivy", "floor", "bwrap"):
        for count in (100, 1000) if not measure.options.quick else (10, 50):
            measure.say(f"{peer.name}: {count} sleeping sandboxes")
            settle_memory()
            before, before_kernel = machine.meminfo(), kernel_bytes()
            try:
                with Sleepers(measure, peer) as sleepers:
                    sleepers.set(count)
                    settle_memory()
                    commands = set(machine.sleepers(sleepers.token))
                    others = tree_of([process.pid for process in sleepers.running], commands)
                    private = [value for value in map(machine.private_bytes, others) if value is not None]
                    own = [value for value in map(machine.private_bytes, commands) if value is not None]
                    leaf = (
                        [value for value in map(charged, list(commands)[:20]) if value is not None]
                        if peer.name != "bwrap"
                        else []
                    )
                    after, after_kernel = machine.meminfo(), kernel_bytes()
            except Unavailable as reason:
                rows.append({"peer": peer.name, "sandboxes": count, "why": str(reason)})
                continue
            rows.append(
                {
                    "peer": peer.name,
                    "sandboxes": count,
                    "why": "",
                    "processes": len(others) / count,
                    "private_bytes": sum(private) / count,
                    "command_private_bytes": sum(own) / max(len(own), 1),
                    "kernel_bytes": (after_kernel - before_kernel) / count,
                    "leaf_kernel_bytes": sum(leaf) / len(leaf) if leaf else None,
                    "machine_bytes": (before["MemAvailable"] - after["MemAvailable"]) / count,
                }
            )
    return {"rows": rows}


def live(measure):
    """One run, while 1, 100 and 1,000 sandboxes sleep: on the way up and on the way down."""
    levels = (1, 100, 1000) if not measure.options.quick else (1, 10, 50)
    measure.bivy()
    items = [item(peer, TRUE) for peer in measure.those("bare", "floor", "bivy", "bwrap")]
    gathered = {}
    with Sleepers(measure, measure.bivy()) as sleepers:
        for direction, level in [("up", level) for level in levels] + [("down", level) for level in reversed(levels)]:
            sleepers.set(level)
            measure.say(f"{level} live, on the way {direction}")
            for mode, pause in MODES:
                blocks = measure.count(80 if mode == "hot" else 40, 8)
                results = interleaved(
                    measure.bench, measure.options, items, blocks, ("live", direction, level, mode), pause
                )
                for result in results:
                    entry = gathered.setdefault((mode, level, result.name), result)
                    if entry is not result:
                        entry.add(result)
    return {"rows": compared(gathered, "live", levels[0])}


def compared(gathered, key, base):
    """Rows of {(mode, level, peer): runs}, each with its ratio to the level `base` of the same mode and peer."""
    rows = []
    for (mode, level, name), result in gathered.items():
        row = {"mode": mode, key: level} | result.figures()
        first = gathered[(mode, base, name)]
        row["to_base"] = figures.ratio(
            row["wall_ms"] and row["wall_ms"]["p50"], figures.quantile(first.wall, 0.5) if first.wall else None
        )
        rows.append(row)
    return rows


# ---- sizes ----


def small_rootfs(place):
    """A rootfs of ten files: static busybox, three links, six texts; and the places that are mounted on."""
    busybox = shutil.which("busybox", path="/bin:/usr/bin")
    if (
        busybox is None
        or b"statically linked" not in subprocess.run(["file", "-L", busybox], capture_output=True, check=False).stdout
    ):
        raise Unavailable("no static busybox; Debian packages busybox-static, file")
    for name in ("bin", "dev", "etc", "home/sandbox", "proc", "run", "sys", "tmp", "var/tmp", "workspace"):
        (place / name).mkdir(parents=True)
    shutil.copy(busybox, place / "bin/busybox")
    for name in ("sh", "true", "sleep"):
        (place / "bin" / name).symlink_to("busybox")
    for name, words in (
        ("passwd", "sandbox:x:1000:1000::/home/sandbox:/bin/sh"),
        ("group", "sandbox:x:1000:"),
        ("hosts", "127.0.0.1 localhost"),
        ("hostname", "bivy"),
        ("shells", "/bin/sh"),
        ("profile", ""),
    ):
        (place / "etc" / name).write_text(words + "\n", encoding="utf-8")
    return place


def fill(measure, place, files):
    subprocess.run([measure.options.tools / "bench-payload", "tree", str(place), str(files)], check=True)


def many(measure):
    return 100_000 if not measure.options.quick else 10_000


def rootfs_size(measure):
    """The same small rootfs with 10 files and with 100,000, and the one that everything else is measured in."""
    bivy = measure.bivy()
    count = many(measure)
    small, large = small_rootfs(measure.bench.directory("rootfs-small")), small_rootfs(
        measure.bench.directory("rootfs-large")
    )
    measure.say(f"{count} files")
    (large / "files").mkdir()
    fill(measure, large / "files", count)
    items, usual = [], bivy.rootfs
    for name, rootfs in ((10, small), (count, large), ("usual", usual)):
        bivy.rootfs = str(rootfs)
        items.append(item(bivy, TRUE, name=str(name)))
    bivy.rootfs = usual
    rows = sized(measure, items, "rootfs-size")
    for place in (small, large):
        shutil.rmtree(place)
    return {"rows": rows}


def workspace_size(measure):
    """A workspace with 10 files and with 100,000."""
    bivy, count = measure.bivy(), many(measure)
    items, places = [], []
    for files in (10, count):
        place = measure.bench.directory(f"workspace-{files}", 0o700)
        places.append(place)
        measure.say(f"{files} files")
        fill(measure, place, files)
        os.chown(place, OWNER, OWNER)
        items.append(item(bivy, Job(("/bin/true",), workspace=str(place)), name=str(files)))
    rows = sized(measure, items, "workspace-size")
    for place in places:
        shutil.rmtree(place)
    return {"rows": rows}


def sized(measure, items, what):
    rows = []
    for mode, pause in MODES:
        results = interleaved(
            measure.bench, measure.options, items, measure.count(150 if mode == "hot" else 100, 10), (what, mode), pause
        )
        base = results[0]
        for result in results:
            row = result.figures()
            row["files"] = row.pop("peer")
            row["to_base"] = figures.ratio(
                row["wall_ms"] and row["wall_ms"]["p50"], figures.quantile(base.wall, 0.5) if base.wall else None
            )
            rows.append({"mode": mode} | row)
    return rows


def mounts(measure):
    """Started where the mount table is as it is, and where it has 300 entries more; in mount namespaces of the bench's own."""
    extra = 300
    holders = {}
    for count in (0, extra):
        place = measure.bench.directory(f"mounts-{count}")
        holder = measure.bench.popen(
            [measure.options.tools / "bench-payload", "mounts", str(place), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if holder.stdout.readline() != b"ready\n":
            raise Unavailable(f"{count} mounts could not be made")
        holders[count] = holder
    items = []
    for peer in measure.those("bare", "floor", "bivy", "bwrap"):
        for count, holder in holders.items():
            items.append(item(peer, TRUE, name=f"{peer.name} {count}", mounts=f"/proc/{holder.pid}/ns/mnt"))
    rows = []
    for mode, pause in MODES:
        results = interleaved(
            measure.bench,
            measure.options,
            items,
            measure.count(150 if mode == "hot" else 60, 10),
            ("mounts", mode),
            pause,
        )
        medians = {result.name: figures.quantile(result.wall, 0.5) for result in results if result.wall}
        for result in results:
            row = result.figures()
            name, count = row["peer"].split(" ")
            row |= {
                "peer": name,
                "extra": int(count),
                "to_base": figures.ratio(medians.get(result.name), medians.get(f"{name} 0")),
            }
            rows.append({"mode": mode} | row)
    for holder in holders.values():
        holder.stdin.close()
        machine.end(holder)
    return {"rows": rows}


def steady(value, seconds, limit, goal=None):
    """Polls a number until it is at the goal, or has not fallen for so many seconds, or the limit is over; gives the last one."""
    end, lowest, since = time.monotonic() + limit, value(), time.monotonic()
    while True:
        now = value()
        if goal is not None and now <= goal:
            return now
        if now < lowest:
            lowest, since = now, time.monotonic()
        if time.monotonic() - since > seconds or time.monotonic() > end:
            return now
        time.sleep(0.2)


def clean(measure):
    """bivy's own: gives the page cache of runs that have ended back."""
    os.sync()  # or it waits for the disk
    subprocess.run([measure.bivy().path, "clean"], check=True, stdout=subprocess.DEVNULL)


def dying(measure):
    """Memory cgroups that the kernel still holds, after a thousand runs that each wrote a file to the workspace."""
    runs = measure.count(1000, 50)
    place = measure.bench.directory("dying", 0o700)
    os.chown(place, OWNER, OWNER)
    job = Job(("/bin/sh", "-c", "head -c 65536 /dev/urandom >/workspace/%N"), workspace=str(place))
    # What dies away of earlier cases would hide as many of ours.
    clean(measure)
    before = steady(lambda: machine.memory_cgroups()[0], 10, 60)
    (result,), _, _ = run(measure.bench, measure.options, [item(measure.bivy(), job)], [0] * runs, parallel=2)
    after, source = machine.memory_cgroups()
    began = time.monotonic()
    # Until all are gone, or for ten seconds none has gone.
    steady(lambda: machine.memory_cgroups()[0], 10, 60, before)
    seconds = time.monotonic() - began
    settled_count, _ = machine.memory_cgroups()
    clean(measure)
    cleaned = steady(lambda: machine.memory_cgroups()[0], 5, 30, before)
    written = len(list(place.iterdir()))
    with contextlib.suppress(OSError):
        shutil.rmtree(place)
    if written != runs:
        result.failed = max(result.failed, runs - written)
    return {
        "runs": runs,
        "failed": result.failed,
        "why": result.why,
        "source": source,
        "before": before,
        "after": after,
        "settled": settled_count,
        "settling_s": seconds,
        "left": settled_count - before,
        "left_after_clean": cleaned - before,
    }


CASES = {
    "cold": cold,
    "session": session,
    "concurrency": concurrency,
    "parent-rss": parent_rss,
    "stdout": stdout,
    "syscalls": syscalls,
    "memory": memory,
    "rootfs-size": rootfs_size,
    "workspace-size": workspace_size,
    "live": live,
    "mounts": mounts,
    "dying": dying,
}
