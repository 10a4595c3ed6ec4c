#!/usr/bin/env python3
"""How a Python program runs one command in bivy and reads the record. Only the standard library is used.

    run_in_bivy.py [BIVY-OPTION...] -- COMMAND [ARG...]     BIVY: the program, default "bivy" on the PATH
"""
import json
import os
import subprocess
import sys
import tempfile


def run_in_bivy(command, *options):
    """Gives (record, stdout, stderr). The record says how the command ended; an exit status alone cannot."""
    with tempfile.TemporaryFile() as report:
        done = subprocess.run(
            [os.environ.get("BIVY", "bivy"), "run", "--report", f"fd:{report.fileno()}", *options, "--", *command],
            pass_fds=[report.fileno()], stdin=subprocess.DEVNULL, capture_output=True)
        report.seek(0)
        text = report.read()
    if not text:  # a wrong --report option, or bivy itself was killed
        raise RuntimeError(f"bivy wrote no record, status {done.returncode}: {done.stderr.decode(errors='replace')}")
    return json.loads(text), done.stdout, done.stderr


def main():
    end = sys.argv.index("--")
    record, stdout, stderr = run_in_bivy(sys.argv[end + 1:], *sys.argv[1:end])
    sys.stderr.buffer.write(stderr)
    if record["error"]:
        print(f"bivy could not run it: {record['error']['message']}", file=sys.stderr)
    print(json.dumps({"outcome": record["outcome"], "exit_code": record["exit_code"],
                      "stdout": stdout.decode(errors="replace"), "truncated": record["stdout"]["truncated"],
                      "limits_hit": record["limits_hit"]}))


if __name__ == "__main__":
    main()
