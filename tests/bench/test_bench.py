#!/usr/bin/env python3
"""bench/run: its arithmetic, its schedules, its pages and verdicts from figures made up here, and one small real run. TAP."""

import argparse
import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import traceback
import xml.dom.minidom

sys.dont_write_bytecode = True
CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT / "bench"))

import cases
import document
import figures
import machine
import peers
import reach
import runner

RUN = CHECKOUT / "bench/run"
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Skip(Exception):
    pass


def same(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r} where {wanted!r} was expected")


def bench(*words, status=0):
    done = subprocess.run(
        [RUN, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
    )
    if done.returncode != status:
        raise AssertionError(
            f"bench/run {' '.join(map(str, words))}: status {done.returncode}: {done.stderr}{done.stdout[-500:]}"
        )
    return done


# ---- figures that nobody measured ----


def spread(value):
    return {name: value for name, _ in figures.QUANTILES} | {"n": 9}


def cold_row(peer, schedule, mode, value, failed=0):
    return {
        "command": "/bin/true",
        "mode": mode,
        "schedule": schedule,
        "peer": peer,
        "wall_ms": spread(value),
        "cpu_ms": spread(value),
        "machine_ms": spread(value),
        "failed": failed,
        "why": "",
        "to_bare": value,
        "to_bivy": value / 2,
    }


def made_up():
    """Results in which every target is just reached."""
    cold = []
    for mode in ("hot", "idle"):
        for peer, value in (("bare", 1.0), ("floor", 1.6), ("bivy", 2.0), ("bwrap", 2 / 0.55), ("isolate", 2.5)):
            cold.append(cold_row(peer, "fast", mode, value))
        for peer, value in (("bare", 1.5), ("bivy", 3.0), ("crun", 3 / 0.35), ("docker", 240.0)):
            cold.append(cold_row(peer, "slow", mode, value))
    many = [
        {
            "peer": peer,
            "at_once": level,
            "per_second": rate,
            "wall_ms": spread(p99),
            "cpu_ms": spread(1.0),
            "machine_ms": None,
            "failed": 0,
            "why": "",
            "runs": 100,
            "machine_ms_per_run": 1.0,
        }
        for peer, level, rate, p99 in (
            ("bivy", 8, 900.0, 9.0),
            ("bwrap", 8, 900 / 1.7, 9.0),
            ("docker", 8, 10.0, 800.0),
            ("bivy", 128, 900.0, 250.0),
            ("floor", 128, 900.0, 100.0),
        )
    ]
    sized = [
        {
            "mode": "hot",
            "files": files,
            "wall_ms": spread(2.0),
            "cpu_ms": spread(2.0),
            "machine_ms": spread(2.0),
            "failed": 0,
            "why": "",
            "to_base": ratio,
        }
        for files, ratio in (("10", 1.0), ("100000", 1.1))
    ]
    live = [
        {
            "mode": "hot",
            "live": count,
            "peer": "bivy",
            "wall_ms": spread(2.0),
            "cpu_ms": None,
            "machine_ms": None,
            "failed": 0,
            "why": "",
            "to_base": ratio,
        }
        for count, ratio in ((1, 1.0), (1000, 1.1))
    ]
    memory = [
        {
            "peer": "bivy",
            "sandboxes": count,
            "why": "",
            "processes": 2.0,
            "private_bytes": 350 * 1024,
            "command_private_bytes": 1e5,
            "kernel_bytes": 2e5,
            "leaf_kernel_bytes": None,
            "machine_bytes": 4e5,
        }
        for count in (100, 1000)
    ]
    known = [
        {
            "name": peer.name,
            "title": peer.title,
            "told": peer.told,
            "lacks": peer.lacks,
            "version": "1",
            "seen": None,
            "undone": [],
            "why": "",
        }
        for peer in peers.ALL
    ]
    known[-1]["why"] = "no engine | here"
    return {
        "schema": 1,
        "seed": 7,
        "quick": False,
        "runs": None,
        "seconds": 60.0,
        "left": {"mounts": [], "cgroups": []},
        "peers": known,
        "machine": {
            "started": "2026-01-01T00:00:00+00:00",
            "cpu": "made <up>",
            "cores": 2,
            "memory_bytes": 1 << 34,
            "kernel": "6",
            "hypervisor": True,
            "distribution": "none",
            "cgroups": "v2",
            "mounts": 30,
            "load_before": 0.0,
            "busy_source": None,
            "machine": "x86_64",
            "user": 0,
        },
        "cases": {
            "cold": {"rows": cold},
            "concurrency": {"rows": many},
            "memory": {"rows": memory},
            "live": {"rows": live},
            "stdout": {
                "bytes": 1 << 30,
                "rows": [
                    {"peer": "bivy", "target": "pipe", "mb_per_second": spread(800.0), "failed": 0, "to_bare": 0.8}
                ],
            },
            "syscalls": {
                "calls": 1,
                "files": 1,
                "rows": [{"peer": "bivy", "work": "getppid", "ns_per_round": spread(60.0), "why": "", "to_bare": 1.15}],
            },
            "rootfs-size": {"rows": sized + [dict(sized[0], files="usual", to_base=3.0)]},
            "workspace-size": {"rows": sized},
            "dying": {
                "runs": 1000,
                "failed": 0,
                "why": "",
                "source": "cgroup.stat",
                "before": 3,
                "after": 900,
                "settled": 3,
                "settling_s": 1.0,
                "left": 0,
                "left_after_clean": 0,
            },
            "mounts": {"why_not": "no mounts"},
        },
    }


# ---- arithmetic ----


@test
def quantiles():
    same([figures.quantile([4, 1, 3, 2], part) for part in (0, 0.5, 1)], [1, 2.5, 4])
    same(figures.quantile([7], 0.99), 7)
    same(round(figures.quantile(list(range(101)), 0.99), 9), 99)
    same(figures.spread([]), None)
    same(figures.spread([1, 2, 3])["p50"], 2)
    same((figures.ratio(3, 2), figures.ratio(None, 2), figures.ratio(3, 0)), (1.5, None, None))


@test
def schedule_holds_every_peer_once_a_block():
    order = figures.interleave(5, 200, figures.generator(3, "cold", "hot"))
    same(len(order), 1000)
    blocks = [order[start : start + 5] for start in range(0, 1000, 5)]
    same({tuple(sorted(block)) for block in blocks}, {(0, 1, 2, 3, 4)})
    if len({tuple(block) for block in blocks}) < 60:
        raise AssertionError("the order within the blocks is not random")
    first = [block[0] for block in blocks]
    if any(not 20 <= first.count(peer) <= 60 for peer in range(5)):
        raise AssertionError(f"one peer comes first too often: {first}")


@test
def schedule_depends_on_seed_and_purpose_alone():
    one = figures.interleave(5, 20, figures.generator(3, "cold", "hot"))
    same(figures.interleave(5, 20, figures.generator(3, "cold", "hot")), one)
    if (
        figures.interleave(5, 20, figures.generator(4, "cold", "hot")) == one
        or figures.interleave(5, 20, figures.generator(3, "cold", "idle")) == one
    ):
        raise AssertionError("another seed or purpose gives the same order")


@test
def ratios_are_within_one_schedule():
    rows = runner.with_ratios(
        [
            {"peer": "bare", "wall_ms": {"p50": 2}},
            {"peer": "bivy", "wall_ms": {"p50": 4}},
            {"peer": "x", "wall_ms": None},
        ]
    )
    same([(row["to_bare"], row["to_bivy"]) for row in rows], [(1, 0.5), (2, 1), (None, None)])


@test
def session_is_quickstarts():
    lines = cases.session_lines()
    same(len(lines), 4)
    same(lines[0], "head -5 deals_q2.csv")
    if "$3" not in lines[1]:
        raise AssertionError(lines[1])


# ---- the program that times ----


def spawn(text, status=0):
    done = subprocess.run([TOOLS / "bench-spawn"], input=text, capture_output=True, text=True, timeout=30, check=False)
    same(done.returncode, status)
    return [line.split() for line in done.stdout.splitlines()]


@test
def spawner_keeps_the_order_and_the_status():
    shell = "arg /bin/sh\narg -c\narg"
    rows = spawn(
        f"peer a\n{shell} exit 3\npeer b\n{shell} sleep 0.05\npeer c\narg /nonexistent\norder 1 0 2 0\norder 1\n"
    )
    same([row[0] for row in rows], ["1", "0", "2", "0", "1", "done"])
    same([int(row[6]) for row in rows[:-1]], [0, 3 << 8, 127 << 8, 3 << 8, 0])
    if not all(int(rows[index][2]) > 50_000_000 for index in (0, 4)) or int(rows[1][2]) > 50_000_000 * 20:
        raise AssertionError(f"durations: {rows}")
    if int(rows[-1][1]) < 100_000_000:
        raise AssertionError(f"duration of everything: {rows[-1]}")


@test
def spawner_runs_chains_many_at_once_with_numbers_and_files():
    with tempfile.TemporaryDirectory() as place:
        shell = "arg /bin/sh\narg -c\narg"
        rows = spawn(
            f"parallel 4\npeer a\n{shell} read x <&7 && echo $x >{place}/first%N\n"
            f"next\n{shell} echo said >&2; cp {place}/first%N {place}/second%N\n"
            f"open 7 /etc/hostname\nerr {place}/err\norder 0 0 0 0 0 0\n"
        )
        same([row[6] for row in rows[:-1]], ["0"] * 6)
        same(
            sorted(name for name in os.listdir(place) if name != "err"),
            sorted(f"{name}{run}" for name in ("first", "second") for run in range(6)),
        )
        same(pathlib.Path(place, "second5").read_text(), pathlib.Path("/etc/hostname").read_text())
        same(pathlib.Path(place, "err").read_text(), "said\n" * 6)


@test
def spawner_kills_what_takes_too_long():
    rows = spawn("limit 1\npeer a\narg /bin/sleep\narg 60\norder 0\n")
    same(int(rows[0][6]), 9)


@test
def spawner_refuses_a_bad_schedule():
    for text in (
        "",
        "order 0\n",
        "peer a\norder 1\n",
        "nonsense 1\n",
        "pause x\n",
        "peer a\narg /bin/true\n",
        "parallel 0\npeer a\norder 0\n",
    ):
        spawn(text, status=1)


@test
def payload_works():
    def payload(*words, **options):
        return subprocess.run(
            [TOOLS / "bench-payload", *words], capture_output=True, timeout=30, check=True, **options
        ).stdout

    with tempfile.TemporaryDirectory() as place:
        if int(payload("getppid", "1000")) <= 0 or int(payload("files", place, "10")) <= 0:
            raise AssertionError("no time")
        same(os.listdir(place), [])
        payload("tree", place, "1500")
        same(sorted(os.listdir(place)), ["0", "1"])
        same(len(os.listdir(f"{place}/1")), 500)
        same(payload("drain", "read", input=b"x" * 100000).split()[0], b"100000")
        same(payload("drain", "splice", input=b"x" * 100000).split()[0], b"100000")
        if len(payload("filter")) % 8 or len(payload("filter")) < 80:
            raise AssertionError("not a filter")


# ---- verdicts ----


@test
def everything_just_reached():
    results = made_up()
    rows = reach.verdicts(results)
    same([row["what"] for row in rows if row["reached"] is not True], [])
    same(len(rows), 22)
    same(reach.failed(rows, results["cases"]), [])


def spoil(change, missed):
    """The change makes exactly the targets whose names hold one of the words be missed."""
    results = json.loads(json.dumps(made_up()))  # no row shared by two cases
    change(results["cases"])
    rows = reach.verdicts(results)
    got = {row["what"] for row in rows if row["reached"] is not True}
    wanted = {row["what"] for row in rows if any(word in row["what"] for word in missed)}
    if not wanted:
        raise AssertionError(f"no target is called {missed}")
    same(got, wanted)
    same({row["what"] for row in reach.failed(rows, results["cases"])}, wanted)


def worse(rows, factor, key="wall_ms", **which):
    for row in rows:
        if all(row.get(name) == value for name, value in which.items()):
            row[key] = spread(row[key]["p50"] * factor) if isinstance(row[key], dict) else row[key] * factor


@test
def a_worse_figure_is_missed():
    for peer, word in (
        ("floor", "over floor, "),
        ("bwrap", "over bwrap, "),
        ("isolate", "over isolate"),
        ("crun", "over crun"),
        ("docker", "over docker, "),
    ):
        spoil(lambda data, peer=peer: worse(data["cold"]["rows"], 0.98, peer=peer), [f"true {word}"])
    spoil(lambda data: worse(data["cold"]["rows"], 1.02, peer="bivy", mode="idle"), [", idle"])
    spoil(lambda data: worse(data["concurrency"]["rows"], 1.02, "per_second", peer="bwrap"), ["throughput over bwrap"])
    spoil(
        lambda data: worse(data["concurrency"]["rows"], 1.02, "per_second", peer="docker"), ["throughput over docker"]
    )
    spoil(lambda data: worse(data["concurrency"]["rows"], 1.02, at_once=128, peer="bivy"), ["p99 over floor"])
    spoil(lambda data: data["concurrency"]["rows"][3].update(failed=1), ["failed runs"])
    spoil(lambda data: worse(data["memory"]["rows"], 1.02, "private_bytes", sandboxes=1000), ["private memory"])
    spoil(lambda data: worse(data["stdout"]["rows"], 0.98, "to_bare"), ["stdout"])
    spoil(lambda data: worse(data["syscalls"]["rows"], 1.02, "to_bare"), ["getppid"])
    for case, word in (("rootfs-size", "rootfs"), ("workspace-size", "files of the workspace"), ("live", "live")):
        spoil(
            lambda data, case=case: worse([data[case]["rows"][1]], 1.02, "to_base"),
            [f"flat in {word}" if case == "live" else word],
        )
    for key, when in (("left", "by themselves"), ("left_after_clean", "after bivy clean")):
        spoil(lambda data, key=key: data["dying"].update({key: 1}), [when])
        spoil(lambda data, key=key: data["dying"].update({key: -8}), [when])
    spoil(lambda data: data["dying"].update(failed=1), ["by themselves", "after bivy clean"])


@test
def a_missing_or_failed_figure_is_not_reached():
    spoil(
        lambda data: data["cold"].update(rows=[row for row in data["cold"]["rows"] if row["peer"] != "isolate"]),
        ["isolate"],
    )
    spoil(
        lambda data: data["cold"]["rows"][2].update(failed=1),
        ["true over floor, hot", "true over bwrap, hot", "true over isolate, hot"],
    )
    spoil(
        lambda data: data["memory"]["rows"].append({"peer": "bivy", "sandboxes": 1000, "why": "did not come to sleep"}),
        ["private memory"],
    )
    spoil(lambda data: data["stdout"]["rows"][0].update(failed=1), ["stdout"])
    spoil(lambda data: data["syscalls"]["rows"][0].update(to_bare=None), ["getppid"])


@test
def a_case_that_was_not_run_misses_nothing():
    results = made_up()
    results["cases"] = {"cold": results["cases"]["cold"]}
    rows = reach.verdicts(results)
    same({row["reached"] for row in rows if row["case"] != "cold"}, {None})
    same(reach.failed(rows, results["cases"]), [])


# ---- pages ----


def rendered(place, results, *words, status=0):
    source = pathlib.Path(place, "made-up.json")
    source.write_text(json.dumps(results))
    return bench("--render", source, "--document", pathlib.Path(place, "PAGE.md"), *words, status=status)


@test
def page_keeps_what_was_written_by_hand():
    with tempfile.TemporaryDirectory() as place:
        page = pathlib.Path(place, "PAGE.md")
        page.write_text(f"# Mine\n\nbefore\n\n{document.BEGIN}\nold figures\n{document.END}\n\nafter\n")
        rendered(place, made_up())
        text = page.read_text()
        if (
            not text.startswith(f"# Mine\n\nbefore\n\n{document.BEGIN}\n")
            or not text.endswith(f"{document.END}\n\nafter\n")
            or "old figures" in text
        ):
            raise AssertionError(text[:300])
        for words in (
            "| floor program |",
            "**Reach**",
            "not measured: no engine \\| here",
            "--seed 7",
            "**mounts**: not measured: no mounts",
        ):
            if words not in text:
                raise AssertionError(f"{words!r} is not on the page")
        pictures = {path.name for path in pathlib.Path(place, "performance").glob("*.svg")}
        same(pictures, {"cold.svg", "concurrency.svg", "live.svg", "memory.svg"})
        same({name for name in re.findall(r"\(performance/(\S+)\)", text)}, pictures)
        for name in pictures:
            xml.dom.minidom.parse(str(pathlib.Path(place, "performance", name)))
        rendered(place, made_up())
        same(page.read_text(), text)


@test
def page_without_markers_is_refused_and_untouched():
    with tempfile.TemporaryDirectory() as place:
        page = pathlib.Path(place, "PAGE.md")
        for text in (
            "by hand\n",
            f"{document.END}\n{document.BEGIN}\n",
            f"{document.BEGIN}{document.BEGIN}{document.END}",
        ):
            page.write_text(text)
            done = rendered(place, made_up(), status=1)
            if "markers" not in done.stderr:
                raise AssertionError(done.stderr)
            same(page.read_text(), text)


@test
def strict_is_the_only_way_to_fail():
    with tempfile.TemporaryDirectory() as place:
        results = made_up()
        rendered(place, results, "--strict")
        results["cases"]["dying"]["left"] = 5
        rendered(place, results)
        rendered(place, results, "--strict", status=1)


@test
def another_schema_is_refused():
    with tempfile.TemporaryDirectory() as place:
        done = rendered(place, made_up() | {"schema": 99}, status=1)
        if "schema 99" not in done.stderr:
            raise AssertionError(done.stderr)


@test
def a_case_without_figures_is_a_row_with_the_reason():
    results = made_up()
    for row in results["cases"]["cold"]["rows"]:
        if row["peer"] == "crun":
            row.update(wall_ms=None, cpu_ms=None, machine_ms=None, failed=9, why="status 1: would not")
    table = next(table for table in document.tables(results) if "back to back" in table.title)
    row = next(row for row in table.rows if row[0] == "crun")
    same((row[1], row[-1]), ("failed", "status 1: would not"))


@test
def numbers_are_readable():
    same(
        [document.number(value) for value in (None, 0, 0.0123456, 1.0, 12.345, 123.4, 1234567.8)],
        ["-", "0", "0.0123", "1", "12.3", "123", "1,234,568"],
    )


# ---- the command line ----


@test
def unknown_names_are_refused():
    for words in (("--case", "cold", "warm"), ("--peer", "nobody"), ("--runs", "0"), ("--nonsense",)):
        done = bench(*words, status=2)
        if words[-1].lstrip("-") not in done.stderr and "at least 1" not in done.stderr:
            raise AssertionError(done.stderr)
    listed = bench("--list").stdout
    for name in [*cases.CASES, *(peer.name for peer in peers.ALL)]:
        if not re.search(rf"^{name} ", listed, re.M):
            raise AssertionError(f"--list does not name {name}")
        if name in cases.CASES and not cases.CASES[name].__doc__:
            raise AssertionError(f"the case {name} says nothing about itself")


@test
def a_real_run():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with tempfile.TemporaryDirectory() as place:
        output = pathlib.Path(place, "results.json")
        before = machine.Bench.snapshot()["mounts"]
        bench(
            "--quick",
            "--runs",
            "3",
            "--case",
            "cold",
            "--peer",
            "bare",
            "bivy",
            "--no-install",
            "--bivy",
            options.bivy,
            "--rootfs",
            options.rootfs,
            "--tools",
            options.tools,
            "--output",
            output,
            "--seed",
            "11",
        )
        same(machine.Bench.snapshot()["mounts"], before)
        results = json.loads(output.read_text())
        same((results["schema"], results["seed"]), (1, 11))
        bivy = next(peer for peer in results["peers"] if peer["name"] == "bivy")
        same((bivy["why"], bivy["undone"]), ("", []))
        same(
            {
                (row["command"], row["mode"], row["peer"], row["failed"], row["wall_ms"]["n"])
                for row in results["cases"]["cold"]["rows"]
            },
            {
                (command, mode, peer, 0, 3)
                for command in ("/bin/true", "sh -c :")
                for mode in ("hot", "idle")
                for peer in ("bare", "bivy")
            },
        )
        if any(row["to_bare"] <= 1 for row in results["cases"]["cold"]["rows"] if row["peer"] == "bivy"):
            raise AssertionError("a sandbox cannot be cheaper than none")
        rows = {row["what"]: row["reached"] for row in results["reach"]}
        same(rows["cold run of /bin/true over floor, hot"], None)


@test
def a_program_that_fails_is_not_a_figure():
    if os.geteuid() != 0:
        raise Skip("needs root")
    with tempfile.TemporaryDirectory() as place:
        output = pathlib.Path(place, "results.json")
        broken = pathlib.Path(place, "broken")
        broken.write_text("#!/bin/sh\necho it will not >&2\nexit 3\n")
        broken.chmod(0o755)
        bench(
            "--quick",
            "--runs",
            "1",
            "--case",
            "cold",
            "stdout",
            "--peer",
            "bare",
            "bivy",
            "--no-install",
            "--bivy",
            broken,
            "--rootfs",
            options.rootfs,
            "--tools",
            options.tools,
            "--output",
            output,
        )
        results = json.loads(output.read_text())
        bivy = next(peer for peer in results["peers"] if peer["name"] == "bivy")
        if "it will not" not in bivy["why"]:
            raise AssertionError(bivy)
        same([row for row in results["cases"]["cold"]["rows"] if row["peer"] == "bivy"], [])
        same(results["cases"]["stdout"]["why_not"], "bivy itself could not be run")


parser = argparse.ArgumentParser()
for name in ("--bivy", "--rootfs", "--tools"):
    parser.add_argument(name, required=True)
options = parser.parse_args()
TOOLS = pathlib.Path(options.tools)
print(f"1..{len(TESTS)}")
failures = 0
for index, function in enumerate(TESTS, 1):
    words = function.__name__.replace("_", " ")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            function()
        print(f"ok {index} - {words}", flush=True)
    except Skip as reason:
        print(f"ok {index} - {words} # SKIP {reason}", flush=True)
    except Exception:
        failures += 1
        print(f"not ok {index} - {words}")
        print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
sys.exit(1 if failures else 0)
