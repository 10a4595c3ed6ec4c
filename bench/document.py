"""Tables, plots and the generated part of docs/PERFORMANCE.md, all from the results file."""

import html
import json
import pathlib

BEGIN, END = "<!-- bench/run: begin -->", "<!-- bench/run: end -->"
BLUE, ORANGE, GREY, RED = "#2b6cb0", "#dd6b20", "#a0aec0", "#c53030"
COLOURS = {"bare": GREY, "floor": "#4a5568", "bivy": BLUE, "bwrap": ORANGE, "crun": "#805ad5", "docker": RED}


def number(value, digits=3):
    """So many significant digits, no exponent; '-' where there is nothing."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return f"{float(text):f}".rstrip("0").rstrip(".") if "e" in text else text


def of(row, key, part="p50"):
    return row[key][part] if row.get(key) else None


class Table:
    def __init__(self, title, head, rows):
        self.title, self.head, self.rows = title, head, [[str(cell) for cell in row] for row in rows]

    def plain(self):
        table = [self.head, *self.rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(self.head))]
        # Figures to the right, words to the left.
        right = [all(row[column][:1] in "-0123456789" for row in self.rows) for column in range(len(self.head))]

        def line(row):
            return "  ".join(
                cell.rjust(width) if figure else cell.ljust(width) for cell, width, figure in zip(row, widths, right)
            ).rstrip()

        return "\n".join([self.title, line(self.head), line(["-" * width for width in widths]), *map(line, self.rows)])

    def markdown(self):
        lines = [f"**{self.title}**", "", "| " + " | ".join(self.head) + " |", "|" + "---|" * len(self.head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        return "\n".join(lines)


def titles(results):
    return {peer["name"]: peer["title"] for peer in results["peers"]}


def lacks(results):
    """What each peer did not do: as it was seen, then what cannot be seen."""
    words = {}
    for peer in results["peers"]:
        parts = list(peer["undone"] or [])
        if peer["lacks"]:
            parts.append(peer["lacks"])
        words[peer["name"]] = "all" if peer["name"] == "bare" else "; ".join(parts) if parts else "-"
    return words


# ---- tables, one function a case ----


def timed(rows, name, extra=(), lacking=None):
    head = ["", *[word for word, _ in extra], "p50 ms", "p90", "p99", "CPU ms", "machine ms", "x bare", "x bivy"]
    head += ["did not do"] if lacking is not None else []
    out = []
    for row in rows:
        cells = [name(row), *[show(row) for _, show in extra]]
        if row["wall_ms"] is None:
            out.append([*cells, "failed"] + ["-"] * 6 + ([row["why"]] if lacking is not None else []))
            continue
        failed = f" ({row['failed']} failed)" if row["failed"] else ""
        cells += [
            number(of(row, "wall_ms")) + failed,
            number(of(row, "wall_ms", "p90")),
            number(of(row, "wall_ms", "p99")),
            number(of(row, "cpu_ms")),
            number(of(row, "machine_ms")),
            number(row.get("to_bare")),
            number(row.get("to_bivy")),
        ]
        out.append(cells + ([lacking.get(row["peer"], "-")] if lacking is not None else []))
    return head, out


def shown(rows):
    """Of two schedules: each peer once, as it was in its own."""
    seen, out = set(), []
    for row in rows:
        if row["peer"] not in seen:
            seen.add(row["peer"])
            out.append(row)
    return out


def table_cold(results):
    case, names, missing = results["cases"]["cold"], titles(results), lacks(results)
    tables = []
    for command in dict.fromkeys(row["command"] for row in case["rows"]):
        for mode, words in (("hot", "back to back"), ("idle", "after 20 ms of rest")):
            rows = shown([row for row in case["rows"] if row["command"] == command and row["mode"] == mode])
            head, out = timed(rows, lambda row: names.get(row["peer"], row["peer"]), lacking=missing)
            tables.append(Table(f"Cold run of {command}, {words} ({mode})", head, out))
    return tables


def table_session(results):
    case, names = results["cases"]["session"], titles(results)
    tables = []
    for mode in ("hot", "idle"):
        head, out = timed(
            shown([row for row in case["rows"] if row["mode"] == mode]), lambda row: names.get(row["peer"], row["peer"])
        )
        tables.append(Table(f"Session of {case['commands']} commands over one workspace, {mode}", head, out))
    return tables


def table_concurrency(results):
    names = titles(results)
    rows = [
        [
            names.get(row["peer"], row["peer"]),
            row["at_once"],
            number(row["per_second"]),
            number(of(row, "wall_ms")),
            number(of(row, "wall_ms", "p99")),
            number(row["machine_ms_per_run"]),
            row["failed"],
            row["runs"],
            row["why"] or "-",
        ]
        for row in results["cases"]["concurrency"]["rows"]
    ]
    return [
        Table(
            "Many at a time",
            ["", "at once", "runs/s", "p50 ms", "p99", "machine ms a run", "failed", "runs", "why"],
            rows,
        )
    ]


def table_parent(results):
    rows = results["cases"]["parent-rss"]["rows"]
    head, out = timed(
        rows,
        lambda row: row["peer"],
        (("parent GiB", lambda row: row["parent_bytes"] >> 30), ("start", lambda row: row["start"])),
    )
    return [Table("Started by a parent that writes to its memory", head, out)]


def table_stdout(results):
    case = results["cases"]["stdout"]
    rows = [
        [
            row["peer"],
            row["target"],
            number(of(row, "mb_per_second")),
            number(of(row, "mb_per_second", "min")),
            number(row["to_bare"]),
            row["failed"],
        ]
        for row in case["rows"]
    ]
    return [
        Table(
            f"Output of {case['bytes'] >> 20} MiB: to a pipe whose reader reads, one whose reader splices, /dev/null, a file",
            ["", "to", "MB/s", "worst", "x bare", "failed"],
            rows,
        )
    ]


def table_syscalls(results):
    case = results["cases"]["syscalls"]
    rows = [
        [
            row["peer"],
            row["work"],
            number(of(row, "ns_per_round"), 4),
            number(of(row, "ns_per_round", "p90"), 4),
            number(row["to_bare"], 4),
            row["why"] or "-",
        ]
        for row in case["rows"]
    ]
    return [
        Table(
            f"Work inside: {case['calls']:,} getppid; {case['files']:,} files made and removed",
            ["", "work", "ns each", "p90", "x bare", "why"],
            rows,
        )
    ]


def table_memory(results):
    rows = []
    for row in results["cases"]["memory"]["rows"]:
        if row["why"]:
            rows.append([row["peer"], row["sandboxes"], "failed", "-", "-", "-", "-", "-", row["why"]])
            continue
        kib = [
            None if row[key] is None else row[key] / 1024
            for key in ("private_bytes", "command_private_bytes", "kernel_bytes", "leaf_kernel_bytes", "machine_bytes")
        ]
        rows.append([row["peer"], row["sandboxes"], number(row["processes"]), *map(number, kib), "-"])
    return [
        Table(
            "Memory per sleeping sandbox, kB",
            [
                "",
                "sandboxes",
                "processes",
                "private",
                "the command's own",
                "kernel",
                "charged to the leaf",
                "machine, all",
                "why",
            ],
            rows,
        )
    ]


def table_sizes(results, case, title):
    rows = [
        [
            row["files"],
            row["mode"],
            number(of(row, "wall_ms")),
            number(of(row, "wall_ms", "p99")),
            number(row["to_base"]),
            row["failed"],
        ]
        for row in results["cases"][case]["rows"]
    ]
    return [Table(title, ["files", "mode", "p50 ms", "p99", "x smallest", "failed"], rows)]


def table_live(results):
    rows = [
        [
            row["peer"],
            row["live"],
            row["mode"],
            number(of(row, "wall_ms")),
            number(of(row, "wall_ms", "p99")),
            number(row["to_base"]),
            row["failed"],
        ]
        for row in results["cases"]["live"]["rows"]
    ]
    return [Table("One run while others sleep", ["", "live", "mode", "p50 ms", "p99", "x fewest", "failed"], rows)]


def table_mounts(results):
    rows = [
        [
            row["peer"],
            row["extra"],
            row["mode"],
            number(of(row, "wall_ms")),
            number(of(row, "wall_ms", "p99")),
            number(row["to_base"]),
            row["failed"],
        ]
        for row in results["cases"]["mounts"]["rows"]
    ]
    return [Table("With more mounts on the host", ["", "more", "mode", "p50 ms", "p99", "x none more", "failed"], rows)]


def table_dying(results):
    case = results["cases"]["dying"]
    return [
        Table(
            "Memory cgroups held by the kernel",
            ["runs", "failed", "before", "after", "settled", "settling s", "left", "left after bivy clean"],
            [
                [
                    case["runs"],
                    case["failed"],
                    case["before"],
                    case["after"],
                    case["settled"],
                    number(case["settling_s"]),
                    case["left"],
                    case["left_after_clean"],
                ]
            ],
        )
    ]


TABLES = {
    "cold": table_cold,
    "session": table_session,
    "concurrency": table_concurrency,
    "parent-rss": table_parent,
    "stdout": table_stdout,
    "syscalls": table_syscalls,
    "memory": table_memory,
    "rootfs-size": lambda results: table_sizes(results, "rootfs-size", "Size of the rootfs"),
    "workspace-size": lambda results: table_sizes(results, "workspace-size", "Size of the workspace"),
    "live": table_live,
    "mounts": table_mounts,
    "dying": table_dying,
}


def table_reach(results):
    words = {True: "yes", False: "NO", None: "not measured"}
    rows = [[row["what"], row["wanted"], number(row["got"], 4), words[row["reached"]]] for row in results["reach"]]
    return Table("Reach", ["", "wanted", "got", "reached"], rows)


def table_peers(results):
    rows = []
    for peer in results["peers"]:
        if peer["why"]:
            rows.append([peer["title"], "-", "-", f"not measured: {peer['why']}"])
        else:
            rows.append([peer["title"], peer["version"] or "-", peer["told"], lacks(results)[peer["name"]]])
    return Table("Peers", ["", "version", "told to do", "did not do, as seen from outside while a command slept"], rows)


def tables(results):
    found = []
    for case, data in results["cases"].items():
        if data.get("why_not"):
            found.append(Table(f"{case}: not measured", ["why"], [[data["why_not"]]]))
        else:
            found += TABLES[case](results)
    return found


# ---- plots ----


class Drawing:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def text(self, x, y, words, anchor="start", size=12, colour="#1a202c"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">'
            f"{html.escape(str(words))}</text>"
        )

    def box(self, x, y, width, height, colour):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'
        )

    def line(self, points, colour, width=2):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" '
            f'font-family="sans-serif">\n<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


def log_place(value, low, high, start, end):
    from math import log10

    if high <= low:
        return start
    return start + (log10(value) - log10(low)) / (log10(high) - log10(low)) * (end - start)


def decades(low, high):
    from math import ceil, floor, log10

    return [10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1)]


def plot_bars(title, unit, bars):
    """bars: (label, [(value, colour, words), ...]); the scale is logarithmic, as the values lie far apart."""
    values = [value for _, those in bars for value, _, _ in those if value]
    if not values:
        return None
    marks = decades(min(values), max(values))
    left, top, step = 210, 50, 16
    height = top + sum(step * len(those) + 10 for _, those in bars) + 40
    drawing = Drawing(760, height)
    drawing.text(10, 22, title, size=15)
    for mark in marks:
        x = log_place(mark, marks[0], marks[-1], left, 660)
        drawing.line([(x, top - 8), (x, height - 30)], "#e2e8f0", 1)
        drawing.text(x, height - 14, f"{mark:g}", "middle", 11, "#4a5568")
    drawing.text(690, height - 14, unit, size=11, colour="#4a5568")
    y = top
    for label, those in bars:
        drawing.text(left - 8, y + step * len(those) / 2 + 4, label, "end")
        for value, colour, words in those:
            if value:
                x = log_place(value, marks[0], marks[-1], left, 660)
                drawing.box(left, y, x - left, step - 3, colour)
                drawing.text(x + 5, y + step - 5, f"{number(value)} {words}", size=11)
            y += step
        y += 10
    return drawing.svg()


def plot_lines(title, across, up, lines):
    """lines: (label, colour, [(x, y), ...]); both scales are logarithmic."""
    points = [point for _, _, those in lines for point in those if point[0] and point[1]]
    if not points:
        return None
    xs, ys = sorted({x for x, _ in points}), decades(min(y for _, y in points), max(y for _, y in points))
    left, right, top, bottom = 80, 560, 50, 350
    drawing = Drawing(760, 400)
    drawing.text(10, 22, title, size=15)
    for mark in ys:
        y = log_place(mark, ys[0], ys[-1], bottom, top)
        drawing.line([(left, y), (right, y)], "#e2e8f0", 1)
        drawing.text(left - 8, y + 4, f"{mark:g}", "end", 11, "#4a5568")
    for mark in xs:
        x = log_place(mark, xs[0], xs[-1], left, right)
        drawing.line([(x, top), (x, bottom)], "#e2e8f0", 1)
        drawing.text(x, bottom + 18, f"{mark:g}", "middle", 11, "#4a5568")
    drawing.text((left + right) / 2, bottom + 38, across, "middle")
    drawing.text(10, 40, up, size=11, colour="#4a5568")
    labels = []
    for label, colour, those in lines:
        placed = [
            (log_place(x, xs[0], xs[-1], left, right), log_place(y, ys[0], ys[-1], bottom, top))
            for x, y in those
            if x and y
        ]
        if not placed:
            continue
        if len(placed) > 1:
            drawing.line(placed, colour)
        for x, y in placed:
            drawing.dot(x, y, colour)
        labels.append([placed[-1][1], label, colour])
    # Beside the last point, but never on one another.
    labels.sort()
    for index, entry in enumerate(labels):
        if index and entry[0] < labels[index - 1][0] + 15:
            entry[0] = labels[index - 1][0] + 15
        drawing.text(right + 12, entry[0] + 4, entry[1], colour=entry[2])
    return drawing.svg()


def plot_cold(results):
    names = titles(results)
    rows = [row for row in results["cases"]["cold"]["rows"] if row["command"] == "/bin/true" and row["wall_ms"]]
    bars = []
    for row in shown([row for row in rows if row["mode"] == "hot"]):
        idle = next(
            (
                other
                for other in shown([other for other in rows if other["mode"] == "idle"])
                if other["peer"] == row["peer"]
            ),
            None,
        )
        bars.append(
            (
                names.get(row["peer"], row["peer"]),
                [(of(row, "wall_ms"), BLUE, "hot"), (idle and of(idle, "wall_ms"), ORANGE, "idle")],
            )
        )
    bars.sort(key=lambda bar: bar[1][0][0])
    return plot_bars("Cold run of /bin/true: back to back (hot) and after 20 ms of rest (idle), medians", "ms", bars)


def plot_concurrency(results):
    names, lines = titles(results), []
    rows = results["cases"]["concurrency"]["rows"]
    for peer in dict.fromkeys(row["peer"] for row in rows):
        lines.append(
            (
                names.get(peer, peer),
                COLOURS.get(peer, "#2f855a"),
                sorted((row["at_once"], row["per_second"]) for row in rows if row["peer"] == peer),
            )
        )
    return plot_lines("Throughput", "runs at a time", "runs a second", lines)


def plot_live(results):
    rows = results["cases"]["live"]["rows"]
    lines = []
    for peer, mode, colour in (
        ("bivy", "hot", BLUE),
        ("bivy", "idle", "#63b3ed"),
        ("bwrap", "hot", ORANGE),
        ("floor", "hot", COLOURS["floor"]),
        ("bare", "hot", GREY),
    ):
        points = sorted(
            (row["live"], of(row, "wall_ms"))
            for row in rows
            if row["peer"] == peer and row["mode"] == mode and row["wall_ms"]
        )
        lines.append((f"{peer}, {mode}", colour, points))
    return plot_lines("One run while others sleep, median", "sleeping sandboxes", "ms", lines)


def plot_memory(results):
    bars = []
    for row in results["cases"]["memory"]["rows"]:
        if not row["why"]:
            parts = (
                ("private_bytes", BLUE, "private"),
                ("kernel_bytes", ORANGE, "kernel"),
                ("machine_bytes", GREY, "machine, all"),
            )
            bars.append(
                (
                    f"{row['peer']}, {row['sandboxes']} sleeping",
                    [(max(row[key], 0) / 1024, colour, words) for key, colour, words in parts],
                )
            )
    return plot_bars("Memory per sleeping sandbox", "kB", bars)


PLOTS = {"cold": plot_cold, "concurrency": plot_concurrency, "live": plot_live, "memory": plot_memory}


def plots(results):
    """Name and text of every plot there are figures for."""
    found = {}
    for case, draw in PLOTS.items():
        if case in results["cases"] and not results["cases"][case].get("why_not"):
            drawn = draw(results)
            if drawn:
                found[case] = drawn
    return found


# ---- the page ----

SKELETON = """# Performance

What a run costs, side by side with the peers. `bench/run`, as root on a machine that does nothing else, measures
everything and writes the part between the markers, the plots and `performance/results.json`; `bench/run --render FILE`
writes them again from a results file. What stands outside the markers is written by hand and stays.

{begin}
{end}
"""


def page(results, pictures):
    machine = results["machine"]
    lines = [
        f"Measured {machine['started']} on {machine['cpu']}, {machine['cores']} cores"
        f"{' of a virtual machine' if machine['hypervisor'] else ''}, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"Linux {machine['kernel']}, {machine['distribution']}, {machine['cgroups']} cgroups, "
        f"{machine['mounts']} mounts; load before: {machine['load_before']:.2f}. "
        f"`bench/run --seed {results['seed']}`{' --quick' if results['quick'] else ''}, {results['seconds'] / 60:.0f} min.",
        "",
        "Runs of all peers are interleaved in random order: *hot* back to back, *idle* with 20 ms of rest before each run,",
        "which is nearer to real use. Slow peers have a schedule of their own, with bare, floor, bivy and bubblewrap in it",
        "again: a ratio is always within one schedule. *CPU* is user and system time of the tree as wait4(2) gives it; what",
        "a daemon, a kernel thread or a process that nobody waited for did is only in *machine*, the processor time of the",
        f"whole machine from one start to the next ({machine['busy_source'] or 'no source here'}).",
        "",
        table_reach(results).markdown(),
        "",
        table_peers(results).markdown(),
        "",
    ]
    drawn = set()
    for case, data in results["cases"].items():
        if data.get("why_not"):
            lines += [f"**{case}**: not measured: {data['why_not']}", ""]
            continue
        if case in pictures:
            lines += [f"![{case}](performance/{case}.svg)", ""]
            drawn.add(case)
        for table in TABLES[case](results):
            lines += [table.markdown(), ""]
    left = results["left"]
    if left["mounts"] or left["cgroups"]:
        lines += ["Left behind on the machine: " + ", ".join(left["mounts"] + left["cgroups"]), ""]
    return "\n".join(lines).rstrip() + "\n"


def write(results, document):
    """The page's generated part, the plots and the results beside it. What was written by hand stays."""
    document = pathlib.Path(document)
    pictures = plots(results)
    old = document.read_text(encoding="utf-8") if document.exists() else SKELETON.format(begin=BEGIN, end=END)
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise ValueError(
            f"{document}: the markers {BEGIN} and {END} are not there once each, in this order; "
            "put them where the figures go"
        )
    head, rest = old.split(BEGIN)
    _, tail = rest.split(END)
    place = document.parent / "performance"
    place.mkdir(parents=True, exist_ok=True)
    for name in PLOTS:
        if name in pictures:
            (place / f"{name}.svg").write_text(pictures[name], encoding="utf-8")
        else:
            (place / f"{name}.svg").unlink(missing_ok=True)
    (place / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    document.write_text(head + BEGIN + "\n" + page(results, pictures) + END + tail, encoding="utf-8")
