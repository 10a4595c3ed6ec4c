"""What was to be reached, and whether it was: computed from the results, never written by hand."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    what: str
    case: str
    wanted: str  # in words
    got: object  # the figure, or None where it was not measured
    limit: float
    most: bool = True  # the figure may be at the most the limit; else at least

    def reached(self):
        if self.got is None:
            return None
        slack = 1e-9 * self.limit  # the last digit of a division is no difference
        return self.got <= self.limit + slack if self.most else self.got >= self.limit - slack


def rows_of(results, case, **wanted):
    rows = results["cases"].get(case, {}).get("rows", [])
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def median(row):
    return row["wall_ms"]["p50"] if row and row.get("wall_ms") else None


def over(one, other):
    return one / other if one is not None and other else None


def cold_ratio(results, peer, mode):
    """bivy's median over the peer's, both of the schedule that holds the peer; nothing where a run of either failed."""
    for schedule in ("fast", "slow"):
        rows = {row["peer"]: row for row in rows_of(results, "cold", command="/bin/true", mode=mode, schedule=schedule)}
        if peer in rows and "bivy" in rows:
            if rows[peer]["failed"] or rows["bivy"]["failed"]:
                return None
            return over(median(rows["bivy"]), median(rows[peer]))
    return None


def at_once(results, peer, level, key):
    rows = rows_of(results, "concurrency", peer=peer, at_once=level)
    if not rows or rows[0]["wall_ms"] is None:
        return None
    return rows[0]["wall_ms"]["p99"] if key == "p99" else rows[0][key]


def worst(values):
    values = list(values)
    return None if not values or None in values else max(values)


def flat(results, case, key, exclude=()):
    """The worst ratio to the smallest size, and between which."""
    return worst(
        row["to_base"]
        for row in rows_of(results, case)
        if row.get("peer", "bivy") == "bivy" and row[key] not in exclude
    )


def targets(results):
    """Every target, those of cases that were not run as well."""
    found = []
    for mode in ("hot", "idle"):
        for peer, limit, words in (
            ("floor", 1.25, "1.25"),
            ("bwrap", 0.55, "0.55"),
            ("isolate", 0.8, "0.80"),
            ("crun", 0.35, "0.35"),
            ("docker", 1 / 80, "1/80"),
        ):
            found.append(
                Target(
                    f"cold run of /bin/true over {peer}, {mode}",
                    "cold",
                    f"<= {words}",
                    cold_ratio(results, peer, mode),
                    limit,
                )
            )
    bivy = at_once(results, "bivy", 8, "per_second")
    for peer, limit in (("bwrap", 1.7), ("docker", 90)):
        found.append(
            Target(
                f"8 at once: throughput over {peer}",
                "concurrency",
                f">= {limit}",
                over(bivy, at_once(results, peer, 8, "per_second")),
                limit,
                most=False,
            )
        )
    found.append(Target("128 at once: failed runs", "concurrency", "0", at_once(results, "bivy", 128, "failed"), 0))
    found.append(
        Target(
            "128 at once: p99 over floor",
            "concurrency",
            "<= 2.5",
            over(at_once(results, "bivy", 128, "p99"), at_once(results, "floor", 128, "p99")),
            2.5,
        )
    )
    # A population that did not come up has no figure, and then neither has the whole.
    private = worst(row.get("private_bytes") for row in rows_of(results, "memory", peer="bivy"))
    found.append(
        Target(
            "private memory per sleeping sandbox, kB",
            "memory",
            "<= 350",
            None if private is None else private / 1024,
            350,
        )
    )
    rows = rows_of(results, "stdout", peer="bivy", target="pipe")
    found.append(
        Target(
            "stdout: throughput over a bare pipe's",
            "stdout",
            ">= 0.80",
            rows[0]["to_bare"] if rows and not rows[0]["failed"] else None,
            0.8,
            most=False,
        )
    )
    rows = rows_of(results, "syscalls", peer="bivy", work="getppid")
    found.append(Target("getppid loop over bare", "syscalls", "<= 1.15", rows[0]["to_bare"] if rows else None, 1.15))
    for case, key, words in (
        ("rootfs-size", "files", "files of the rootfs"),
        ("workspace-size", "files", "files of the workspace"),
        ("live", "live", "live sandboxes"),
    ):
        found.append(Target(f"cost flat in {words}", case, "<= 1.1", flat(results, case, key, exclude=("usual",)), 1.1))
    # Fewer than before: others' died meanwhile, and may hide as many of ours. A failed run wrote nothing.
    dying = results["cases"].get("dying", {})
    for key, when in (("left", "by themselves"), ("left_after_clean", "after bivy clean")):
        left = None if dying.get("failed") or (dying.get(key) or 0) < 0 else dying.get(key)
        found.append(Target(f"memory cgroups left after 1,000 runs, {when}", "dying", "0", left, 0))
    return found


def verdicts(results):
    """Rows for the results file and the page."""
    return [
        {
            "what": target.what,
            "case": target.case,
            "wanted": target.wanted,
            "got": target.got,
            "reached": target.reached(),
        }
        for target in targets(results)
    ]


def failed(rows, cases):
    """Those of the cases that were run which are not reached; one that could not be measured is not reached either."""
    return [row for row in rows if row["case"] in cases and row["reached"] is not True]
