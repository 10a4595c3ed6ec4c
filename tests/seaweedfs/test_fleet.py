#!/usr/bin/env python3
"""examples/fleet on two hosts of one cluster, one of which is cut off half-way: every command is answered once or said
to be lost, none that is not safe to repeat runs twice, and no byte of a workspace is lost. TAP on stdout.

Each run of a command leaves a file of its own in the workspace, so that a second one is seen."""

import collections
import gc
import os
import shutil
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hosts  # noqa: E402  the modules beside this file
import support  # noqa: E402
from support import FULL, equal, left, the  # noqa: E402

FLEET = os.path.join(support.SOURCE, "examples", "fleet")
# Debian's packages are for its own python3.
DEBIAN_PYTHON = "/usr/bin/python3"
COMMANDS = 500 if FULL else 60
USERS = 20
THREADS = 3
TIMEOUT = 5
# More than a run takes at the most: timeout, kill-after, 2 s, and a wait behind others on a busy machine.
REDELIVER = 12
# With no further answer and no message under way for so long, what is left is lost. A worker looks for what to deliver again every
# 100 s (kombu 5.2: every tenth of its timer's 10 s). The long form waits for that; the short one looks itself, see redeliver().
PATIENCE = REDELIVER + (120 if FULL else 15)
PATIENCE_IN_ALL = 400
SCRIPT = (
    "run=run.$0.$(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \\n');"
    "i=0; while [ $i -lt 200 ]; do echo \"command $0 line $i\"; i=$((i + 1)); done >$run; sleep 0.2; echo end >>$run;"
    "echo $run"
)


def content(number):
    return "".join(f"command {number} line {i}\n" for i in range(200)) + "end\n"


def safe_to_repeat(number):
    return number % 5 == 0


def needed():
    """Why this cannot run here, or nothing. Goes on in Debian's python3 where celery is not in this one."""
    try:
        import celery  # noqa: F401
        import redis  # noqa: F401
    except ImportError:
        if sys.executable != DEBIAN_PYTHON and os.access(DEBIAN_PYTHON, os.X_OK):
            os.execv(DEBIAN_PYTHON, [DEBIAN_PYTHON, *sys.argv])
        return "no Celery here: apt-get install python3-celery python3-redis redis-server"
    if not shutil.which("redis-server"):
        return "no redis-server here: apt-get install redis-server"
    return ""


class Fleet:
    """Redis beside the servers, and a worker on each host."""

    def __init__(self, cluster, both):
        self.cluster, self.both = cluster, both
        port = cluster._free_port()
        self.url = f"redis://{hosts.ADDRESS}:{port}/0"
        argv = ["redis-server", "--bind", hosts.ADDRESS, "--port", str(port), "--protected-mode", "no", "--save", ""]
        self.redis = cluster.spawn(
            [*argv, "--appendonly", "no", "--dir", cluster.directory + "/tmp"], self.log("redis")
        )
        os.environ.update(FLEET_REDIS=self.url, FLEET_REDELIVER=str(REDELIVER))
        sys.path.insert(0, FLEET)
        import fleet

        self.fleet = fleet
        the.wait_until("redis answers", self.pings, the.READY_SECONDS)
        self.workers = [self.worker(host) for host in both]
        for host in both:
            the.wait_until(f"worker of {host.name} ready", lambda: self.ready(host), the.READY_SECONDS)

    def log(self, name):
        return os.path.join(self.cluster.directory, "log", name)

    def pings(self):
        try:
            return self.fleet.claims.ping()
        except self.fleet.redis.exceptions.ConnectionError:
            return False

    def worker(self, host, url=None):
        bivy = host.bivy
        options = f"--rootfs={bivy.rootfs} --cgroup-parent={bivy.parent} --workspace-root={bivy.root}"
        return self.cluster.spawn(
            [
                *bivy.prefix,
                # It leaves the working directory by which the cluster finds what a killed test left.
                *("setpriv", "--pdeathsig", "KILL", "env", "PYTHONPATH=" + FLEET, "PYTHONDONTWRITEBYTECODE=1"),
                *("FLEET_REDIS=" + (url or self.url), "FLEET_HOST=" + host.name, f"FLEET_REDELIVER={REDELIVER}"),
                f"FLEET_BIVY={bivy.program} run {options} --require-fs={the.FSTYPE}",
                *(sys.executable, "-m", "celery", "-A", "fleet", "worker", "--pool=threads", "--loglevel=info"),
                *(f"--concurrency={THREADS}", "--hostname=worker@" + host.name),
            ],
            self.log(host.name),
        )

    def says_ready(self, host):
        with open(self.log(host.name), encoding="utf-8", errors="replace") as file:
            return " ready." in file.read()

    def ready(self, host):
        if self.says_ready(host):
            return True
        if not self.workers_alive():
            raise the.Failure(f"worker of {host.name}\n{self.cluster.tail(self.log(host.name))}")
        return False

    def workers_alive(self):
        return all(it.alive() for it in getattr(self, "workers", []))

    def waiting(self):
        """Messages that are still to be delivered, for the first time or again."""
        return self.fleet.claims.llen("celery") + self.fleet.claims.hlen("unacked")

    def start_again(self, host):
        """The worker of that host, as its unit would, and again where it ends: there may be no route yet."""
        place = self.both.index(host)
        self.workers[place].kill()
        os.truncate(self.log(host.name), 0)
        self.workers[place] = self.worker(host)

        def ready():
            if not self.workers[place].alive():
                self.workers[place] = self.worker(host)
            return self.says_ready(host)

        the.wait_until(f"worker of {host.name} ready", ready, the.READY_SECONDS, 0.2)

    def redeliver(self):
        """What a worker does every 100 s, now."""
        if not FULL:
            with self.fleet.app.connection_for_write() as connection:
                connection.default_channel.qos.restore_visible(num=None)

    def stop(self):
        # Results say goodbye to Redis when they are collected, so not after its end.
        gc.collect()
        for worker in self.workers:
            worker.kill()
        self.redis.kill()


class Cases:
    def __init__(self, fleet, cluster, both):
        self.fleet, self.cluster, self.both = fleet, cluster, both
        self.answers = {}
        for user in range(USERS):
            path = os.path.join(both[0].mount.path, f"user{user}")
            os.mkdir(path, 0o700)
            os.chown(path, 62000 + user, 62000 + user)

    def case_answers_are_records(self):
        for task in (self.fleet.fleet.run, self.fleet.fleet.run_again):
            asked = task.delay("user0", ["sh", "-c", "echo out; echo err >&2; exit 7"], TIMEOUT)
            got = self.fleet.fleet.answer(asked, 60)
            equal("lost", got["lost"], False)
            record = got["record"]
            equal("record", (record["outcome"], record["exit_code"]), ("exited", 7))
            equal("streams", (got["stdout"], got["stderr"]), ("out\n", "err\n"))
            equal("host", got["host"] in ("host1", "host2"), True)
        got = self.fleet.fleet.answer(self.fleet.fleet.run.delay("nobody", ["true"], TIMEOUT), 60)
        equal("no such user", got["record"]["outcome"], "setup_failed")

    def case_message_that_comes_twice_starts_nothing(self):
        task = self.fleet.fleet.run
        first = task.apply_async(("user1", ["sh", "-euc", "echo once >>once"]), task_id="twice")
        equal("first", self.fleet.fleet.answer(first, 60)["record"]["exit_code"], 0)
        task.apply_async(("user1", ["sh", "-euc", "echo once >>once"]), task_id="twice")
        the.wait_until("the second is taken", lambda: self.fleet.waiting() == 0, 60)
        # Behind it in the same queue.
        last = [task.delay("user1", ["true"]) for _ in range(2 * THREADS)]
        equal("later ones", {self.fleet.fleet.answer(it, 60)["lost"] for it in last}, {False})
        equal("ran", self.cluster.content("/user1/once"), b"once\n")

    def case_worker_that_does_not_reach_redis_at_once_ends(self):
        """It would take no commands when it reaches it later, be it at its second try."""
        with open(self.fleet.log("host1"), encoding="utf-8", errors="replace") as file:
            before = len(file.read())
        with socket.create_server((hosts.ADDRESS, 0)) as server:
            server.settimeout(0.1)
            worker, tries = self.fleet.worker(self.both[0], f"redis://{hosts.ADDRESS}:{server.getsockname()[1]}/0"), []

            def gone():
                try:
                    client = server.accept()[0]
                except TimeoutError:
                    return not worker.alive()
                with client:
                    client.settimeout(the.READY_SECONDS)
                    tries.append(client.recv(4096))  # a client that is dropped before it says a word tries again by itself
                return False

            try:
                the.wait_until("worker without Redis gone", gone, the.READY_SECONDS)
            finally:
                worker.kill()
        with open(self.fleet.log("host1"), encoding="utf-8", errors="replace") as file:
            said = file.read()[before:]
        equal("it says why", "Unrecoverable error: ConnectionError" in said and " ready." not in said, True)
        equal("tries", len(tries), 1)

    def case_every_command_is_answered_once_or_lost(self):
        fleet = self.fleet.fleet
        asked = [
            (fleet.run_again if safe_to_repeat(it) else fleet.run).delay(
                f"user{it % USERS}", ["sh", "-euc", SCRIPT, str(it)], TIMEOUT
            )
            for it in range(COMMANDS)
        ]
        open_ones, progress = dict(enumerate(asked)), time.monotonic()
        last = progress + PATIENCE_IN_ALL
        while open_ones and time.monotonic() - progress < PATIENCE and time.monotonic() < last:
            if self.fleet.waiting():
                progress = time.monotonic()
            for number in [number for number, result in open_ones.items() if result.ready()]:
                self.answers[number] = fleet.answer(open_ones.pop(number), 1)
                progress = time.monotonic()
                if len(self.answers) == COMMANDS // 2:
                    # In the middle of something on that host.
                    the.wait_until("host2 has commands", lambda: self.held_by("host2", asked), 60, 0.005)
                    self.both[1].cut()
                    cut_at = time.monotonic()
            self.fleet.redeliver()
            time.sleep(0.1)
        for number, result in open_ones.items():
            self.answers[number] = fleet.answer(result, 0.1)
        equal("answers", len(self.answers), COMMANDS)
        count = collections.Counter("lost" if it["lost"] else it["record"]["outcome"] for it in self.answers.values())
        print(f"# {dict(count)}, all {time.monotonic() - cut_at:.1f} s after the cut")
        print(f"# by host: {dict(collections.Counter(it['host'] for it in self.answers.values()))}")
        lost = [number for number, it in self.answers.items() if it["lost"]]
        # Celery takes a message out of Redis and only then notes it as unacknowledged: one may be on its way to the host at the cut, and
        # is gone. It was started nowhere, and the answer says so (lost on None).
        nowhere = [number for number in lost if self.answers[number]["host"] is None]
        equal("no more than one lost on its way", len(nowhere) <= 1, True)
        lost = [number for number in lost if number not in nowhere]
        equal("lost though safe to repeat", [it for it in lost if safe_to_repeat(it)], [])
        # Only what that host had begun; what it had but not begun was delivered again.
        equal("lost on", {self.answers[it]["host"] for it in lost} - {"host2"}, set())
        equal("no more lost than it ran at once", len(lost) <= THREADS, True)
        wrong = {
            number: it for number, it in self.answers.items()
            if not it["lost"] and (it["record"]["outcome"], it["record"]["exit_code"]) != ("exited", 0)
        }
        equal("answers of commands that did not work", wrong, {})

    def held_by(self, host, asked):
        """A command that this host has claimed and not answered."""
        claims = self.fleet.fleet.claims
        return any(claims.get("fleet-claim-" + it.id) == host.encode() and not it.ready() for it in asked)

    def case_none_ran_twice(self):
        self.look()

    def case_none_runs_when_the_host_is_back(self):
        self.both[1].join()

        def none_waits():
            self.fleet.redeliver()
            return self.fleet.waiting() == 0

        the.wait_until("no message is left", none_waits, 200, 0.2)
        self.both[1].bivy.freed()
        self.look()

    def case_host_that_is_back_takes_commands_with_its_worker_started_again(self):
        self.fleet.start_again(self.both[1])
        fleet = self.fleet.fleet

        got = []

        def takes():
            """One may have gone to the worker that was just ended, and is lost: waiting for it long would take all the time there is."""
            some = [fleet.run.delay("user0", ["sleep", "0.3"], TIMEOUT) for _ in range(2 * THREADS)]
            got[:] = [fleet.answer(it, 10) for it in some]
            return any(it["host"] == "host2" and it["record"] and it["record"]["exit_code"] == 0 for it in got)

        try:
            the.wait_until("host2 answers", takes, 120, 0.2)
        except the.Failure as failure:
            raise AssertionError(f"{failure}\nthe last answers: {got}\n{self.cluster.tail(self.fleet.log('host2'), 80)}") from None

    def look(self):
        """The files that runs left, as the filer has them, against the answers."""
        runs = collections.defaultdict(list)
        for user in range(USERS):
            for name in self.cluster.listing(f"/user{user}"):
                if name.startswith("run."):
                    runs[int(name.split(".")[1])].append(f"/user{user}/{name}")
        for number, it in self.answers.items():
            paths = runs[number]
            if len(paths) > 1 and not safe_to_repeat(number):
                raise AssertionError(f"command {number} ran {len(paths)} times: {paths}, answer {it}")
            if it["lost"]:
                equal(f"runs of command {number}, lost on {it['host']}", len(paths) if it["host"] is None else 0, 0)
                continue
            mine = f"/user{number % USERS}/{it['stdout'].strip()}"
            if mine not in paths:
                raise AssertionError(f"command {number}: {mine} is not on the filer, only {paths}")
            got = self.cluster.content(mine)
            equal(f"bytes of command {number}", got and got.decode(), content(number))


def main():
    reason = needed()
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 1 if support.STRICT else 0
    weed, reason = support.prepare()
    if reason:
        return 1 if support.STRICT else 0
    tap = support.Tap(sys.argv[1:])
    hosts.servers()
    cluster, both, fleet = the.Cluster(weed, address=hosts.ADDRESS), [], None
    try:
        cluster.start()
        for number in (1, 2):
            both.append(hosts.Host(cluster, number, f"/bivy-fleet-{os.getpid()}"))
        for host in both:
            host.enter()
        fleet = Fleet(cluster, both)
        tap.cases(Cases(fleet, cluster, both))
    finally:
        directory = cluster.directory
        if fleet:
            fleet.stop()
        hosts.stop(cluster, both)
    tap.point("nothing is left", lambda: equal("left", left(directory), []))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
