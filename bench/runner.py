"""Runs schedules with bench-spawn, whose C does all the timing."""

import dataclasses
import subprocess

import figures
from machine import Trouble, end, text

WARM = 2  # blocks before those that count


@dataclasses.dataclass(frozen=True)
class Item:
    """One row of a schedule."""

    name: str
    commands: tuple  # of argument lists, run one after another
    out: str = None
    opened: tuple = ()
    mounts: str = None


def item(peer, *jobs, name=None, out=None, mounts=None):
    return Item(
        name or peer.name,
        tuple(peer.argv(job) for job in jobs),
        out,
        tuple(peer.opened(jobs[0])),
        mounts or peer.mounts,
    )


@dataclasses.dataclass
class Runs:
    """What one row of a schedule gave."""

    name: str
    wall: list = dataclasses.field(default_factory=list)  # ms
    cpu: list = dataclasses.field(default_factory=list)  # ms, of the tree
    busy: list = dataclasses.field(default_factory=list)  # ms, of the machine
    failed: int = 0
    why: str = ""

    def figures(self):
        """As it goes into the results; a row with a failed run has the reason."""
        return {
            "peer": self.name,
            "wall_ms": figures.spread(self.wall),
            "cpu_ms": figures.spread(self.cpu),
            "machine_ms": figures.spread(self.busy),
            "failed": self.failed,
            "why": self.why,
        }

    def add(self, other):
        self.wall += other.wall
        self.cpu += other.cpu
        self.busy += other.busy
        self.failed += other.failed
        self.why = self.why or other.why


def schedule(items, order, err, **settings):
    """The text that bench-spawn reads."""
    lines = [f"{key} {value}" for key, value in settings.items() if value is not None]
    for row, log in zip(items, err):
        lines.append(f"peer {row.name}")
        for number, words in enumerate(row.commands):
            lines += ["next"] if number else []
            for word in words:
                if "\n" in str(word):
                    raise Trouble(f"{row.name}: an argument with a line break cannot be in a schedule")
                lines.append(f"arg {word}")
        lines += [f"out {row.out}"] if row.out else []
        lines.append(f"err {log}")
        lines += [f"open {number} {path}" for number, path in row.opened]
        lines += [f"mounts {row.mounts}"] if row.mounts else []
    for start in range(0, len(order), 500):
        lines.append("order " + " ".join(map(str, order[start : start + 500])))
    return "\n".join(lines) + "\n"


def run(bench, options, items, order, warm=0, **settings):
    """Runs of every item, in its order; the first `warm` of the order do not count. Also duration (s) and the machine's time (s)."""
    err = [bench.place / f"err-{number}" for number in range(len(items))]
    for path in err:
        path.unlink(missing_ok=True)
    process = subprocess.Popen(
        [options.tools / "bench-spawn"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        out, _ = process.communicate(schedule(items, order, err, busy=options.busy, **settings))
    except BaseException:
        end(process)
        raise
    if process.returncode != 0:
        raise Trouble(f"bench-spawn ended with status {process.returncode}; its words are above")
    results = [Runs(row.name) for row in items]
    for number, line in enumerate(out.splitlines()):
        words = line.split()
        if words[0] == "done":
            return results, int(words[1]) / 1e9, int(words[2]) / 1e9 if int(words[2]) >= 0 else None
        row = results[int(words[0])]
        if int(words[6]) != 0:
            row.failed += 1
            if not row.why:
                status = int(words[6])
                how = f"status {status >> 8}" if status & 127 == 0 else f"signal {status & 127}"
                said = " ".join(text(err[int(words[0])], "").split())
                row.why = f"{how}: {said[:300]}" if said else how
        elif number >= warm:
            row.wall.append(int(words[2]) / 1e6)
            row.cpu.append((int(words[3]) + int(words[4])) / 1e3)
            if int(words[5]) >= 0:
                row.busy.append(int(words[5]) / 1e6)
    raise Trouble("bench-spawn did not finish its list")


def interleaved(bench, options, items, blocks, what, pause_ms=0, **settings):
    """Blocks in random order, each with every item once, after two that do not count."""
    order = figures.interleave(len(items), blocks + WARM, figures.generator(options.seed, *what))
    results, _, _ = run(bench, options, items, order, WARM * len(items), pause=int(pause_ms * 1000), **settings)
    return results


def with_ratios(rows, to=("bare", "bivy")):
    """Adds to each row of one schedule the ratios of its median to those of `to`."""
    medians = {row["peer"]: row["wall_ms"]["p50"] for row in rows if row["wall_ms"]}
    for row in rows:
        for other in to:
            row[f"to_{other}"] = figures.ratio(medians.get(row["peer"]), medians.get(other))
    return rows
