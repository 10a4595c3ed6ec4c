#!/usr/bin/env python3
"""Two hosts, one cluster: a user's next command runs on the other host and sees all files of the one before; a host
that is cut off says so, and the other goes on. TAP on stdout."""

import contextlib
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hosts  # noqa: E402  the modules beside this file
import support  # noqa: E402
from support import SLACK, equal, left, the  # noqa: E402

PAYLOAD = "/workspace/payload"
ADA, LOAD = ("ada", 61001), ("load", 61010)
HAND_OVERS = 50


class Cases:
    def __init__(self, cluster, both):
        self.cluster, self.both = cluster, both
        self.one, self.two = (host.bivy for host in both)
        for user in (ADA, LOAD):
            self.one.bring(*user, os.environ["BIVY_PAYLOAD"], "payload")

    def case_a_host_sees_its_own_mount_only(self):
        for host in self.both:
            look = subprocess.check_output([*host.bivy.prefix, "cat", "/proc/self/mountinfo"], text=True)
            seen = [it.name for it in self.both if it.mount.path in look]
            equal("mounts of " + host.name, seen, [host.name])

    def case_fifty_hand_overs_under_load(self):
        with contextlib.ExitStack() as undo:
            for number, bivy in enumerate((self.one, self.two)):
                script = f"mkdir -p {number}; cd {number}; exec {PAYLOAD} steady 1000000 0"
                load = bivy.start(*LOAD, ["sh", "-euc", script], timeout=600).says("wrote 5")
                undo.callback(self.end_load, load)
            for i in range(HAND_OVERS):
                bivy = (self.one, self.two)[i % 2]
                bivy.run(*ADA, [PAYLOAD, "chain", str(i)]).good(f"wrote {i}\n")

    def end_load(self, load):
        """It worked all the time, and nothing was refused."""
        before = load.stdout().count("wrote")
        the.wait_until("the load goes on", lambda: load.stdout().count("wrote") > before, 30)
        load.process.send_signal(signal.SIGTERM)
        load.bound = time.monotonic() - load.begin + 4
        load.wait().ended(("cancelled", None))
        equal("refused", "refused" in load.stdout(), False)

    def case_changes_of_one_file_are_seen_on_the_other_host(self):
        """The same name again and again: what a cache of the other host would get wrong."""
        for i in range(20):
            bivy = (self.one, self.two)[i % 2]
            want = f"version {i - 1}\n" if i else ""
            script = f"cat same 2>/dev/null || true; echo version {i} >new; mv new same; echo {i} >>log; wc -l <log"
            bivy.shell(*ADA, script).good(f"{want}{i + 1}\n")

    def case_host_cut_off_in_mid_command(self):
        cut, rest = self.both[1], self.one
        run = cut.bivy.start(*ADA, [PAYLOAD, "steady", "100000", "60"], timeout=4, kill_after=1).says("wrote 20")
        cut.cut()
        try:
            run.wait().ended(("timeout", "unresponsive"), ("timeout", "disconnected"), ("stuck", "io_stuck"))
            equal("exit status", run.status, 124)
            # At once on the other host, with every file that the cut-off command was told is written.
            done = [int(line.split()[1]) for line in run.stdout().splitlines() if line.startswith("wrote ")]
            script = f"i=0; while [ $i -lt {len(done)} ]; do cat steady.$i; echo; i=$((i + 1)); done"
            rest.shell(*ADA, script).good("".join(support.small(it) + "\n" for it in done))
            cut.bivy.clean_in_time()
            # There: a clear answer, in time, and nothing is run.
            begin = time.monotonic()
            after = cut.bivy.run(*ADA, ["touch", "ran-cut-off"])
            after.ended(("setup_failed", "unresponsive"), ("setup_failed", "disconnected"))
            equal("exit status", after.status, 125)
            equal("answered in time", time.monotonic() - begin < 3 + 2 + SLACK, True)
            rest.shell(*ADA, "ls ran-cut-off 2>/dev/null || echo nothing").good("nothing\n")
        finally:
            cut.join()
        self.back(cut)

    def back(self, host):
        """Joined again, it works again without a hand's turn."""
        host.bivy.freed()

        def works():
            run = host.bivy.shell(*ADA, "cat steady.0; echo from-there >there")
            return run if run.status == 0 else None

        the.wait_until("the host that was cut off works again", works, 180, 0.5).good(support.small(0))
        self.one.shell(*ADA, "cat there").good("from-there\n")


def main():
    weed, reason = support.prepare()
    if reason:
        return 1 if support.STRICT else 0
    tap = support.Tap(sys.argv[1:])
    hosts.servers()
    cluster, both = the.Cluster(weed, address=hosts.ADDRESS), []
    try:
        cluster.start()
        for number in (1, 2):
            both.append(hosts.Host(cluster, number, f"/bivy-hosts-{os.getpid()}"))
        for host in both:
            host.enter()
        tap.cases(Cases(cluster, both))
        tap.point("no leaf is left", lambda: equal("leaves", [host.bivy.leaves() for host in both], [[], []]))
    finally:
        directory = cluster.directory
        hosts.stop(cluster, both)
    tap.point("nothing of the cluster is left", lambda: equal("left", left(directory), []))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
