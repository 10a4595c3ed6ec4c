#!/usr/bin/env python3
"""Counters for Prometheus out of bivy's records, by way of node_exporter's textfile collector. Only the standard library is used.

    bivy_textfile.py OUTPUT.prom [FILE...]     adds the records in the files, or on standard input, to what OUTPUT.prom counts

One record a line. From the journal, each record once, say every minute (bivy run --log journal):

    journalctl -t bivy _UID=0 -o cat --output-fields=BIVY_RECORD --cursor-file=/var/lib/bivy/prometheus.cursor |
        bivy_textfile.py /var/lib/prometheus/node-exporter/bivy.prom

_UID: the user who runs bivy. Anybody may write to the journal and call it bivy's; only this field is journald's own word.

OUTPUT.prom itself holds the totals; it is replaced in one step, so that nobody reads half of it, and several of these take turns. What
is no record is counted, and otherwise passed over; a word that bivy has not becomes the label "other", so that no text, whoever wrote it,
makes ever more series. Exit status: 0; 1 the totals could not be read or written, and are as they were.
"""
import collections
import fcntl
import json
import os
import re
import sys
import tempfile

MIB = 1 << 20
BUCKETS = [size * MIB for size in (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 16384)]
MOST = 1 << 53  # of milliseconds or bytes in one record: more is no reading, and a sum of such is no number any more
LABELS = {  # as docs/record.schema.json has them
    "outcome": "exited signaled timeout oom output_limit cancelled setup_failed stuck",
    "limit": "memory cpu pids timeout scratch file_size open_files output",
    "stage": "options report rootfs workspace plan cgroup streams clone idmap inherited cgroup_enter keyring ids scratch root proc mounts pivot "
             "network hostname rlimits affinity capabilities no_new_privs seccomp init descriptors gate exec supervise",
    "mode": "user system",
}
WORDS = {label: frozenset(words.split()) for label, words in LABELS.items()}
HELP = {
    "bivy_runs_total": ("counter", "Runs, by what became of them."),
    "bivy_exit_nonzero_total": ("counter", "Runs whose command exited with another status than 0."),
    "bivy_setup_failed_total": ("counter", "Runs that failed before the command, by stage."),
    "bivy_limits_hit_total": ("counter", "Limits that touched a run, also one that ended well."),
    "bivy_oom_kills_total": ("counter", "Processes that the kernel killed for memory."),
    "bivy_setup_seconds_total": ("counter", "Time spent on making sandboxes."),
    "bivy_wall_seconds_total": ("counter", "Time that commands were alive."),
    "bivy_cpu_seconds_total": ("counter", "Processor time of commands."),
    "bivy_throttled_seconds_total": ("counter", "Time for which --cpus held commands back."),
    "bivy_residue_total": ("counter", "Runs that left something behind."),
    "bivy_memory_peak_bytes": ("histogram", "The most memory that a run used."),
    "bivy_not_records_total": ("counter", "Lines that were no record."),
}
SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="([a-z0-9_+.I]*)"\})? ([0-9.e+-]+)')


def number(value):
    """What is no number counts as nothing; null is what a record has for "not known"."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST else 0


def add(totals, record):
    """One record. KeyError, TypeError, AttributeError or ValueError: it is none, and nothing was counted."""
    seen = collections.Counter()

    def count(name, label=None, value=None, by=1):
        if label and not isinstance(value, str):
            raise TypeError(value)
        seen[name, label, value if not label or value in WORDS[label] else "other"] += by

    outcome = record["outcome"]
    count("bivy_runs_total", "outcome", outcome)
    if record.get("cut") is True:  # what --log gives in the place of a record that is too long for the log
        totals.update(seen)
        return
    times, memory = record["times"], record["memory"]
    if outcome == "exited" and record["exit_code"] != 0:
        count("bivy_exit_nonzero_total")
    if outcome == "setup_failed":
        count("bivy_setup_failed_total", "stage", record["error"]["stage"])
    if not isinstance(record["limits_hit"], list):
        raise TypeError("limits_hit")
    for limit in set(record["limits_hit"]):
        count("bivy_limits_hit_total", "limit", limit)
    count("bivy_oom_kills_total", by=number(memory["oom_kills"]))
    count("bivy_setup_seconds_total", by=number(times["setup_ms"]) / 1000)
    count("bivy_wall_seconds_total", by=number(times["wall_ms"]) / 1000)
    for mode in "user", "system":
        count("bivy_cpu_seconds_total", "mode", mode, by=number(times[f"cpu_{mode}_ms"]) / 1000)
    count("bivy_throttled_seconds_total", by=number(times["throttled_ms"]) / 1000)
    count("bivy_residue_total", by=1 if record["residue"] else 0)
    peak = number(memory["peak_bytes"])
    if peak:
        for bucket in BUCKETS:
            seen["bivy_memory_peak_bytes_bucket", "le", str(bucket)] += peak <= bucket
        seen["bivy_memory_peak_bytes_bucket", "le", "+Inf"] += 1
        seen["bivy_memory_peak_bytes_sum", None, None] += peak
        seen["bivy_memory_peak_bytes_count", None, None] += 1
    totals.update(seen)


def add_lines(totals, lines):
    for line in lines:
        if not line.strip():
            continue
        try:
            add(totals, json.loads(line))
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            totals["bivy_not_records_total", None, None] += 1


def read_totals(path):
    totals = collections.Counter()
    try:
        with open(path, encoding="ascii") as file:
            for line in file:
                if line.startswith("#"):
                    continue
                name, label, value, amount = SAMPLE.fullmatch(line.rstrip("\n")).groups()
                totals[name, label, value] = float(amount) if not amount.isdigit() else int(amount)
    except FileNotFoundError:
        pass
    except (AttributeError, ValueError):
        raise OSError(0, "is not a file that this program wrote; move it away", path) from None
    return totals


def bound(key):
    return (key[0], float("inf") if key[2] == "+Inf" else float(key[2])) if key[1] == "le" else (key[0], key[2] or "")


def text_of(totals):
    for name, (kind, words) in HELP.items():
        yield f"# HELP {name} {words}\n# TYPE {name} {kind}\n"
        series = [name + end for end in ("_bucket", "_sum", "_count")] if kind == "histogram" else [name]
        for one in series:
            for key in sorted((key for key in totals if key[0] == one), key=bound):
                labels = f'{{{key[1]}="{key[2]}"}}' if key[1] else ""
                amount = totals[key]
                yield f"{one}{labels} {amount!r}\n"  # every digit: what is added may be small


def write_totals(path, totals):
    fd, new = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".bivy-")  # the collector reads *.prom only
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.writelines(text_of(totals))
            os.fchmod(fd, 0o644)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    output, files = sys.argv[1], sys.argv[2:]
    news = collections.Counter()
    if not files:
        add_lines(news, sys.stdin.buffer)
    for path in files:
        with open(path, "rb") as file:
            add_lines(news, file)
    with open(output + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        totals = read_totals(output)
        totals.update(news)
        write_totals(output, totals)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
