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
        bivy = subprocess.Popen(
            [os.environ.get("BIVY", "bivy"), "run", "--report", f"fd:{report.fileno()}", *options, "--", *command],
            pass_fds=[report.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            stdout, stderr = bivy.communicate()
        except KeyboardInterrupt:  # SIGTERM, not kill(): bivy ends everything inside, and says in the record that it did
            bivy.terminate()
            stdout, stderr = bivy.communicate()
        report.seek(0)
        text = report.read()
    if not text:  # a wrong --report option, or bivy itself was killed
        raise RuntimeError(f"bivy wrote no record, status {bivy.returncode}: {stderr.decode(errors='replace')}")
    return json.loads(text), stdout, stderr


def sentence(record):
    """What became of the command, for people, and what bivy advises."""
    outcome, error = record["outcome"], record["error"] or {}
    parts = [{
        "exited": f"the command exited with status {record['exit_code']}",
        "signaled": f"{record['signal_name']} ended the command",
        "timeout": "the command was ended because its time was up",
        "oom": "the command was ended because its memory was used up",
        "output_limit": "the command was ended because it wrote too much",
        "cancelled": "the command was ended because we asked for it",
        "setup_failed": f"nothing ran: {error.get('message')}",
        "stuck": "a file system does not answer and holds the command; tell whoever runs this host",
    }.get(outcome, f"the sandbox ended in a way that this program does not know: {outcome}")]
    if outcome == "setup_failed" and error.get("hint"):
        parts.append(error["hint"])
    return "; ".join(parts + [hint["hint"] for hint in record["hints"]])


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    end = sys.argv.index("--")
    record, stdout, stderr = run_in_bivy(sys.argv[end + 1:], *sys.argv[1:end])
    sys.stderr.buffer.write(stderr)
    print(json.dumps({"outcome": record["outcome"], "exit_code": record["exit_code"],
                      "stdout": stdout.decode(errors="replace"), "truncated": record["stdout"]["truncated"],
                      "limits_hit": record["limits_hit"], "sentence": sentence(record)}))


if __name__ == "__main__":
    main()
