#!/usr/bin/env python3
"""examples/prometheus against records of real runs, and against lines that are none. TAP. Environment: BIVY, BIVY_ROOTFS."""
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tap import excuse, finish, verdict  # noqa: E402

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(CHECKOUT, "examples/prometheus/bivy_textfile.py")
# The text format: https://prometheus.io/docs/instrumenting/exposition_formats
LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"\})? ([0-9.e+-]+)')


def bivy(*words):
    with tempfile.TemporaryFile() as report:
        subprocess.run([os.environ["BIVY"], "run", "--report", f"fd:{report.fileno()}", *words], pass_fds=[report.fileno()],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=120)
        report.seek(0)
        return report.read()


def give(output, text, *files):
    return subprocess.run([PROGRAM, output, *files], input=text, capture_output=True, timeout=120, check=False)


def read(path):
    """{series: value}; every line must be of the format, and every series of a type that was declared."""
    series, declared = {}, set()
    with open(path, encoding="ascii") as file:
        text = file.read()
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            declared.add(line.split()[2])
        elif not line.startswith("# HELP "):
            found = LINE.fullmatch(line)
            if not found or found[1] not in declared | {name + end for name in declared for end in ("_bucket", "_sum", "_count")}:
                raise ValueError(line)
            if found[1] + (found[2] or "") in series:
                raise ValueError("twice: " + line)
            series[found[1] + (found[2] or "")] = float(found[3])
    return series


def main():
    status = excuse()
    if status is not None:
        return status
    with tempfile.TemporaryDirectory() as top:
        output = f"{top}/bivy.prom"
        texts = [bivy("--", "true"), bivy("--", "sh", "-c", "exit 3"), bivy("--memory", "32M", "--cpus", "1", "--", "tail", "/dev/zero"),
                 bivy("--", "/no/such"), bivy("--timeout", "2s", "--kill-after", "0s", "--", "sleep", "60")]
        records = [json.loads(text) for text in texts]
        done = give(output, b"".join(texts))
        verdict(done.returncode == 0 and not done.stderr, "real records are taken", done.stderr)
        seen = read(output)
        outcomes = collections.Counter(record["outcome"] for record in records)
        verdict(sorted(outcomes) == ["exited", "oom", "setup_failed", "timeout"], "of four outcomes", outcomes)
        verdict(all(seen.get(f'bivy_runs_total{{outcome="{name}"}}') == count for name, count in outcomes.items()), "runs by outcome", seen)
        verdict(seen["bivy_exit_nonzero_total"] == 1 and seen['bivy_setup_failed_total{stage="exec"}'] == 1, "exit status, stage", seen)
        limits = collections.Counter(limit for record in records for limit in record["limits_hit"])
        verdict({"memory", "timeout"} <= set(limits) and all(
            seen.get(f'bivy_limits_hit_total{{limit="{name}"}}') == count for name, count in limits.items()), "limits", seen)
        wall = sum(record["times"]["wall_ms"] or 0 for record in records) / 1000
        verdict(abs(seen["bivy_wall_seconds_total"] - wall) < 1e-6 * wall + 1e-6, "seconds", (seen, wall))
        peaks = [record["memory"]["peak_bytes"] for record in records if record["memory"]["peak_bytes"]]
        buckets = {name: value for name, value in seen.items() if "_bucket" in name}
        right = all(value == sum(peak <= float(re.search(r'"(.*)"', name)[1].replace("+Inf", "inf")) for peak in peaks)
                    for name, value in buckets.items())
        verdict(right and len(buckets) == 12 and seen["bivy_memory_peak_bytes_count"] == len(peaks) >= 3 and
                seen["bivy_memory_peak_bytes_sum"] == sum(peaks), "the histogram of memory", (seen, peaks))

        for name, text in enumerate(texts):
            with open(f"{top}/{name}.json", "wb") as file:
                file.write(text)
        before = os.stat(output)
        done = give(output, None, *(f"{top}/{name}.json" for name in range(len(texts))))
        twice = read(output)
        verdict(done.returncode == 0 and all(abs(twice[name] - 2 * value) <= 1e-6 * value for name, value in seen.items()),
                "the same records as files: every counter doubles", (seen, twice))
        after = os.stat(output)
        verdict(after.st_ino != before.st_ino and after.st_mode & 0o777 == 0o644, "by a new file, which the collector may read", after)

        good = json.loads(texts[0])
        hostile = [b"{}", b"null", b"[]", b"no JSON", b'{"outcome": "exited"}', b"[" * 100000, b"\xff\xfe", b"", b"9" * 5000,
                   json.dumps(good | {"outcome": None}).encode(), json.dumps(good | {"outcome": ["exited"]}).encode(),
                   json.dumps(good | {"limits_hit": ["memory", {}]}).encode(), json.dumps(good | {"limits_hit": ["memory", 1]}).encode(),
                   json.dumps(good | {"limits_hit": "memory"}).encode(), json.dumps(good | {"limits_hit": None}).encode()]
        done = give(output, b"\n".join(hostile))
        last = read(output)
        verdict(done.returncode == 0 and last.pop("bivy_not_records_total") == len(hostile) - 1 and last == twice,
                "what is no record is counted as that, and as nothing else", (done.stderr, last))
        words = ['x"} 1\nevil 1', "y" * 41, "", "\\", "\n", "é", *(f"w{number}" for number in range(200))]
        done = give(f"{top}/words.prom", b"\n".join(json.dumps(good | {"outcome": word, "limits_hit": [word]}).encode() for word in words))
        seen = {name: value for name, value in read(f"{top}/words.prom").items() if "{" in name and "_bucket" not in name and "mode=" not in name}
        verdict(done.returncode == 0 and seen == {'bivy_runs_total{outcome="other"}': len(words), 'bivy_limits_hit_total{limit="other"}': len(words)},
                "words that bivy has not are one label", (done.stderr, seen))
        short = {key: good[key] for key in ("bivy", "id", "outcome", "exit_code", "bivy_exit")} | {"message": None, "cut": True}
        give(f"{top}/short.prom", json.dumps(short).encode())
        verdict(read(f"{top}/short.prom") == {'bivy_runs_total{outcome="exited"}': 1}, "the short form of a long record is a run")
        give(f"{top}/often.prom", json.dumps(good | {"limits_hit": ["cpu"] * 1000}).encode())
        verdict(read(f"{top}/often.prom")['bivy_limits_hit_total{limit="cpu"}'] == 1, "a limit counts once a run")
        for name, size in (("infinite", 1e999), ("huge", 1.7e308), ("long", int("9" * 400)), ("true", True), ("text", "x"), ("negative", -5)):
            odd = good | {"times": good["times"] | dict.fromkeys(("wall_ms", "setup_ms", "cpu_user_ms", "cpu_system_ms"), size),
                          "memory": good["memory"] | {"peak_bytes": size, "oom_kills": size}}
            path = f"{top}/{name}.prom"
            done = [give(path, json.dumps(odd).encode() + b"\n" + json.dumps(odd).encode()), give(path, texts[0])]
            seen = read(path)
            verdict([one.returncode for one in done] == [0, 0] and seen['bivy_runs_total{outcome="exited"}'] == 3 and
                    abs(seen["bivy_wall_seconds_total"] - (good["times"]["wall_ms"] or 0) / 1000) < 1e-6 and
                    seen["bivy_memory_peak_bytes_sum"] == good["memory"]["peak_bytes"],
                    f"numbers that are none count as nothing: {name}", (done, seen))

        many = [subprocess.Popen([PROGRAM, f"{top}/many.prom", f"{top}/0.json"]) for _ in range(8)]
        while None in [one.poll() for one in many]:
            if os.path.exists(f"{top}/many.prom"):
                read(f"{top}/many.prom")  # whole at any time
        verdict([one.wait(120) for one in many] == [0] * 8 and read(f"{top}/many.prom")['bivy_runs_total{outcome="exited"}'] == 8,
                "eight at a time lose nothing", read(f"{top}/many.prom"))

        with open(f"{top}/other.prom", "w", encoding="ascii") as file:
            file.write("something else\n")
        done = give(f"{top}/other.prom", texts[0])
        with open(f"{top}/other.prom", encoding="ascii") as file:
            verdict(done.returncode == 1 and b"other.prom" in done.stderr and file.read() == "something else\n",
                    "a file of somebody else's is left alone", done)
        done = give(f"{top}/none/x.prom", texts[0])
        verdict(done.returncode == 1 and b"none/x.prom" in done.stderr, "no directory: said", done)
        with open(os.path.join(CHECKOUT, "docs", "record.schema.json"), encoding="utf-8") as file:
            keys = json.load(file)["properties"]
        stages = [branch for branch in keys["error"]["oneOf"] if "properties" in branch][0]["properties"]["stage"]["enum"]
        wants = {"outcome": keys["outcome"]["enum"], "limit": keys["limits_hit"]["items"]["enum"], "stage": stages, "mode": ["user", "system"]}
        sys.path.insert(0, os.path.dirname(PROGRAM))
        import bivy_textfile
        verdict(bivy_textfile.WORDS == {label: set(words) for label, words in wants.items()}, "its words are the schema's", bivy_textfile.WORDS)
        verdict(not [name for name in os.listdir(top) if name.startswith(".bivy-")], "no half file is left")
    finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
