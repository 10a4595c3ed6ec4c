#!/usr/bin/env python3
"""bivy on a real SeaweedFS: users and their files, what is on the filer when bivy returns, and every way in which a
cluster fails. TAP on stdout. Words on the command line choose cases by parts of their names."""

import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402  the modules beside this file
from support import FULL, SLACK, Skip, answer, equal, left, small, the  # noqa: E402

PAYLOAD = "/workspace/payload"
CSV = os.path.join(support.SOURCE, "examples", "deals_q2.csv")
TOTAL = "awk -F, 'NR > 1 { n++ } END { print n }' deals.csv"
ADA, BOB, CY = ("ada", 61001), ("bob", 61002), ("cy", 61003)


class Cases:
    """One cluster with two mounts for all of them: what the second shows went through the filer."""

    def __init__(self, cluster, parent):
        self.cluster = cluster
        self.one = cluster.add_mount("one")
        self.two = cluster.add_mount("two")
        self.bivy = support.Bivy(parent, self.one.path)
        self.other = support.Bivy(parent, self.two.path)
        self.bivy.bring(*ADA, os.environ["BIVY_PAYLOAD"], "payload")

    def payload(self, *words, by=None, user=ADA, **more):
        return (by or self.bivy).run(*user, [PAYLOAD, *map(str, words)], **more)

    def start_payload(self, *words, user=ADA, **more):
        return self.bivy.start(*user, [PAYLOAD, *map(str, words)], **more)

    def on_filer(self, name, want, user=ADA):
        got = self.cluster.content(f"/{user[0]}/{name}")
        equal(f"{name} on the filer", got if got is None else got.decode(), want)

    def steady_on_filer(self, run):
        """Every file of which the command heard that it is written."""
        done = [int(line.split()[1]) for line in run.stdout().splitlines() if line.startswith("wrote ")]
        for number in done:
            self.on_filer(f"steady.{number}", small(number))
        return len(done)

    # Users.

    def case_session_of_a_user(self):
        with open(CSV, "rb") as file:
            run = self.bivy.run(*BOB, ["sh", "-euc", "cat >deals.csv"], "--interactive", stdin=file).good("")
        workspace = run.record["workspace"]
        equal("workspace", workspace["path"], os.path.join(self.one.path, "bob"))
        equal("user", workspace["user_id"], "bob")
        equal("file system", workspace["fstype"], the.FSTYPE)
        equal("owner", (workspace["owner_uid"], workspace["owner_gid"]), (61002, 61002))
        equal("checked in", 0 <= workspace["check_ms"] < 3000, True)
        with open(CSV, encoding="utf-8") as file:
            rows = len(file.readlines()) - 1
        self.bivy.shell(*BOB, TOTAL, "--memory=64M").good(f"{rows}\n")
        self.bivy.shell(*BOB, f"{TOTAL} >report.txt; mkdir out; mv report.txt out/").good("")
        # On another host, the same session goes on.
        self.other.shell(*BOB, "cat out/report.txt; id -u; pwd").good(f"{rows}\n1000\n/workspace\n")
        # Two attacks: on the rootfs, and on what lies above the workspace.
        run = self.bivy.shell(*BOB, "set +e; rm -rf / 2>/tmp/said; ls /bin/sh; ls /workspace/..")
        equal("rootfs", "/bin/sh" in run.stdout() and "ada" not in run.stdout(), True)
        equal("their own is gone", self.cluster.listing("/bob"), [])

    def case_two_users_side_by_side_do_not_see_each_other(self):
        secret = "secret of bob"
        wait = f"echo '{secret}' >mine; echo ready; until [ -e go ]; do sleep 0.05; done; cat mine; ls"
        run = self.bivy.start(*BOB, ["sh", "-euc", wait]).says("ready")
        try:
            look = (
                "set +e; ls /workspace; ls -a /workspace/..; ls /workspace/../bob; cat /workspace/../bob/mine;"
                f"ls {self.one.path}; ls {self.cluster.directory}; find / -name mine 2>/tmp/said;"
                "grep -c fuse /proc/self/mountinfo"
            )
            seen = self.bivy.shell(*CY, look)
            if secret in seen.stdout() or "mine" in seen.stdout() or "ada" in seen.stdout():
                raise AssertionError(f"another user's file is seen\n{seen.told()}")
            equal("FUSE mounts inside", [it for it in seen.stdout().splitlines() if it.isdigit()], ["1"])
            equal("exit", seen.record["outcome"], "exited")
            equal("bob runs on", run.process.poll(), None)
            self.bivy.shell(*BOB, "touch go").good("")
        finally:
            run.wait()
        run.good(f"ready\n{secret}\ngo\nmine\n")
        # One user's id may not name another's directory.
        for name in ("../bob", "bob/.", ".", "..", "", "bob/mine"):
            bad = self.bivy.run(name, CY[1], ["true"])
            equal(f"user id {name!r}", (bad.status, bad.record["outcome"]), (125, "setup_failed"))
        bad = self.bivy.run("bob", CY[1], ["true"]).ended(("setup_failed", "bad_owner"))
        equal("exit status", bad.status, 125)

    def case_two_hundred_commands_on_one_workspace(self):
        number, said = 200, []
        for i in range(number):
            script = f"ls; [ {i} = 0 ] || cat c.{i - 1}; echo 'of command {i}' >c.{i}"
            run = self.bivy.shell(*CY, script, "--cpus=2").good()
            want = sorted(f"c.{it}" for it in range(i)) + [f"of command {i - 1}"] * (i > 0)
            equal(f"command {i} sees", run.stdout().split("\n")[:-1], want)
            said.append(f"of command {i}\n")
        self.other.shell(*CY, "i=0; while [ -e c.$i ]; do cat c.$i; i=$((i + 1)); done").good("".join(said))

    # Files.

    def case_file_operations(self):
        run = self.payload("posix")
        names = [line[3:] for line in run.stdout().splitlines() if line.startswith("ok ")]
        bad = [line for line in run.stdout().splitlines() if not line.startswith("ok ")]
        equal("operations", (bad, len(names)), ([], 12))
        run.good()
        self.payload("after", by=self.other).good("ok seen elsewhere\n")

    def case_many_small_files(self):
        number = 10000 if FULL else 500
        more = {"timeout": 600 if FULL else 60}
        self.payload("many", "write", number, **more).good(f"ok many {number}\n")
        self.payload("many", "check", number, by=self.other, **more).good(f"ok many {number}\n")
        self.bivy.shell(*ADA, "rm -r many.*", **more).good("")
        equal("gone", [it for it in self.cluster.listing("/ada") if it.startswith("many")], [])

    def case_big_file(self):
        mib = 1024 if FULL else 64
        more = {"timeout": 600 if FULL else 60}
        self.payload("big", "write", mib, **more).good(f"ok big {mib}\n")
        equal("size", self.cluster.entry("/ada/big")["size"], mib << 20)
        self.payload("big", "check", mib, by=self.other, **more).good(f"ok big {mib}\n")
        self.bivy.shell(*ADA, "rm big").good("")

    def case_owner_and_mode_on_the_filer(self):
        make = "mkdir -m 750 dir; echo x >dir/f; chmod 640 dir/f; echo y >plain; ln -s plain link"
        self.bivy.shell(*CY, make).good("")
        for path, mode in (("", 0o700), ("/dir", 0o750), ("/dir/f", 0o640), ("/plain", 0o644)):
            entry = self.cluster.entry("/cy" + path)
            equal(path, (oct(entry["mode"]), entry["uid"], entry["gid"]), (oct(mode), CY[1], CY[1]))
        entry = self.cluster.entry("/cy/link")
        equal("link", (entry["target"], entry["uid"]), ("plain", CY[1]))
        # A directory that somebody else made is not taken.
        os.mkdir(os.path.join(self.one.path, "theirs"), 0o700)
        os.chown(os.path.join(self.one.path, "theirs"), 61099, 61099)
        self.bivy.run("theirs", CY[1], ["true"]).ended(("setup_failed", "bad_owner"))
        os.chmod(os.path.join(self.one.path, "theirs"), 0o755)
        self.bivy.run("theirs", 61099, ["true"]).ended(("setup_failed", "bad_owner"))

    def debian(self):
        make = os.path.join(support.SOURCE, "tests", "seccomp", "debian-rootfs")
        if not os.access(make, os.X_OK):
            raise Skip("no rootfs with git and sqlite3 here")
        done = subprocess.run([make, "--check"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip("no rootfs with git and sqlite3 here; tests/seccomp/debian-rootfs makes one")
        return done.stdout.strip()

    def case_git(self):
        more = {"rootfs": self.debian()}
        who = "export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a;"
        self.bivy.shell(
            *BOB, who + "git init -q repo; cd repo; echo one >a; git add a; git commit -qm one", "--memory=512M", **more
        ).good("")
        # The next commit on the other host, then garbage collection, which renames and links.
        self.other.shell(
            *BOB,
            who + "cd repo; git status --porcelain; echo two >>a; git commit -qam two; git gc -q; git fsck --strict",
            "--memory=512M",
            **more,
        ).good()
        self.bivy.shell(*BOB, "cd repo; git log --format=%s; git status --porcelain; cat a", **more).good(
            "two\none\none\ntwo\n"
        )

    def case_sqlite(self):
        more = {"rootfs": self.debian()}
        fill = (
            "sqlite3 db 'create table t(a integer primary key, b text);"
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)"
            'insert into t select i, hex(randomblob(50)) from n; update t set b = b || "x" where a % 2;'
            "delete from t where a > 900;'"
        )
        self.bivy.shell(*BOB, fill, **more).good("")
        look = "sqlite3 db 'pragma integrity_check; select count(*), sum(b like \"%x\") from t'"
        self.other.shell(*BOB, look, **more).good("ok\n900|450\n")

    # What is on the filer when bivy returns.

    def case_what_a_killed_command_wrote_is_on_the_filer(self):
        run = self.payload("hold", timeout=2, kill_after=0.3).ended(("timeout", None))
        equal("killed", (run.record["signal"], run.status, run.stdout()), (9, 124, "ready\n"))
        for name in ("closed.0", "synced.0", "written.0"):
            self.on_filer(name, small(0))
            equal(f"{name} by the second mount", answer(lambda: read(self.two, f"ada/{name}")), small(0))

    def case_what_a_grandchild_held_open_is_on_the_filer(self):
        self.payload("scribble", 1).good("ready\n")
        for name in ("closed.1", "synced.1", "written.1"):
            self.on_filer(name, small(1))

    def case_sync(self):
        run = self.payload("scribble", 2).good("ready\n")
        equal("without", run.record["workspace"]["sync"], None)
        run = self.bivy.run(*ADA, [PAYLOAD, "scribble", "3"], "--sync=20s").good("ready\n")
        sync = run.record["workspace"]["sync"]
        equal("errno", sync["errno"], None)
        # Three files, and the directory that they are in.
        if sync["files"] < 3 or not 0 <= sync["ms"] <= 22000:
            raise AssertionError(f"sync says {sync}")
        for name in ("closed.3", "synced.3", "written.3"):
            self.on_filer(name, small(3))

    # Mounts that bivy must refuse.

    def case_mounts_that_are_refused(self):
        mount = self.cluster.add_mount("odd", read_only=True)
        odd = support.Bivy(self.bivy.parent, mount.path)
        odd.run(*ADA, ["true"]).ended(("setup_failed", "read_only"))
        self.cluster.remove_mount("odd")
        run = odd.run(*ADA, ["true"]).ended(("setup_failed", "not_mounted"))
        equal("exit status", run.status, 125)
        equal("the mount's hint", "mount" in run.record["error"]["hint"], True)
        equal("nothing below", os.listdir(mount.path), [])
        mount = self.cluster.add_mount("odd", allow_others=False)
        odd.run(*ADA, ["true"]).ended(("setup_failed", "permission"))
        self.cluster.remove_mount("odd")
        self.bivy.run(*ADA, ["true"], "--require-fs=fuse.bindfs").ended(("setup_failed", "wrong_fstype"))

    # Room.

    def case_quota_reached_is_enospc_inside_and_full_in_the_record(self):
        mount = self.cluster.add_mount("small", filer_path="/small", collection="small", quota_mb=4)
        try:
            small_one = support.Bivy(self.bivy.parent, mount.path)
            small_one.bring(*ADA, os.environ["BIVY_PAYLOAD"], "payload")
            run = small_one.run(*ADA, [PAYLOAD, "fill", "12"]).ended(("exited", "full"))
            equal("inside", (run.record["exit_code"], run.stdout().split()[1:]), (3, ["ENOSPC"]))
            mount.set_quota(64)
            # The kernel still knows the refused file by its name.
            small_one.shell(*ADA, "head -c 8388608 /dev/zero >other; wc -c <other").good("8388608\n")
        finally:
            self.cluster.remove_mount("small")

    # Servers that go.

    def case_filer_stopped_and_restarted_in_mid_run(self):
        run = self.start_payload("steady", 150, 60, timeout=80).says("wrote 20")
        self.cluster.stop_server("filer", kill=True)
        time.sleep(1)
        self.cluster.start_server("filer")
        run.wait().good()
        equal("files written", self.steady_on_filer(run), 150)

    def case_filer_gone_until_the_timeout(self):
        run = self.start_payload("steady", 10000, 60, timeout=4, kill_after=1).says("wrote 20")
        self.cluster.stop_server("filer", kill=True)
        try:
            run.wait().ended(("timeout", None), ("timeout", "unresponsive"), ("stuck", "io_stuck"))
            equal("exit status", run.status, 124)
            # Before a run: what is asked must be answered, or refused in time.
            before = self.bivy.run("nobody-yet", 61004, ["true"], timeout=5)
            before.ended(("setup_failed", "unresponsive"), ("setup_failed", "disconnected"))
            bound(before, 3)
        finally:
            self.cluster.start_server("filer")
        self.bivy.freed()
        equal("files written", self.steady_on_filer(run) >= 21, True)
        self.bivy.shell(*ADA, "echo again").good("again\n")

    def case_volume_server_lost_in_mid_run(self):
        run = self.start_payload("steady", 10000, 1, timeout=20).says("wrote 10")
        self.cluster.stop_server("volume", kill=True)
        try:
            run.wait().ended(("exited", "full"), ("timeout", None), ("stuck", "io_stuck"))
            if run.record["outcome"] == "exited":
                equal("inside", (run.record["exit_code"], run.stdout().split()[-1]), (3, "ENOSPC"))
        finally:
            self.cluster.start_server("volume")
        self.bivy.freed()
        the.wait_until("writes work again", lambda: self.bivy.shell(*ADA, "echo x >w").status == 0, 60, 0.2)
        equal("files written", self.steady_on_filer(run) >= 11, True)

    # Mounts that go.

    def case_mount_killed_before_a_run(self):
        self.one.kill()
        try:
            run = self.bivy.run(*ADA, ["true"]).ended(("setup_failed", "disconnected"))
            equal("exit status", run.status, 125)
            bound(run, 3)
        finally:
            self.one.start()
        self.bivy.shell(*ADA, "echo again").good("again\n")

    def case_mount_killed_in_mid_run(self):
        run = self.start_payload("steady", 10000, 0).says("wrote 10")
        self.one.kill()
        try:
            run.wait().ended(("exited", "disconnected"))
            # A call that was under way, or one that came later.
            equal("inside", run.record["exit_code"], 3)
            equal("errno", run.stdout().split()[-1] in ("ECONNABORTED", "ENOTCONN"), True)
            equal("residue", run.record["residue"], [])
        finally:
            self.one.start()
        self.bivy.shell(*ADA, "echo again").good("again\n")
        self.steady_on_filer(run)

    def case_mount_stopped_before_a_run(self):
        self.one.pause()
        try:
            run = self.bivy.run(*ADA, ["true"]).ended(("setup_failed", "unresponsive"))
            equal("exit status", run.status, 125)
            bound(run, 3)
        finally:
            self.one.resume()
        self.bivy.freed()
        self.bivy.shell(*ADA, "echo again").good("again\n")

    def case_mount_stopped_in_mid_run(self):
        run = self.start_payload("steady", 10000, 60, timeout=3, kill_after=1).says("wrote 10")
        self.one.pause()
        try:
            # A request that the daemon has read holds the process; one that it has not read is taken back at SIGKILL.
            run.wait().ended(("stuck", "io_stuck"), ("timeout", "unresponsive"))
            equal("exit status", run.status, 124)
            if run.record["outcome"] == "stuck":
                equal("message names the mount", self.one.path in run.record["error"]["message"], True)
                equal("residue is said", bool(run.record["residue"]), True)
            self.bivy.clean_in_time()
            # Another user's command, on another mount of the same host, does not wait for it.
            self.other.shell(*BOB, "echo free").good("free\n")
        finally:
            self.one.resume()
        self.bivy.freed()
        self.bivy.shell(*ADA, "echo again").good("again\n")
        self.steady_on_filer(run)


def read(mount, path):
    with open(os.path.join(mount.path, path), encoding="utf-8") as file:
        return file.read()


def bound(run, seconds):
    """Set-up ends by its own deadline, and the 2 s that the answer may take."""
    equal(f"answered {run.elapsed:.1f} s after its start, in time", run.elapsed < seconds + 2 + SLACK, True)


def main():
    weed, reason = support.prepare()
    if reason:
        return 1 if support.STRICT else 0
    tap = support.Tap(sys.argv[1:])
    cluster = the.Cluster(weed)
    parent = f"/bivy-seaweedfs-{os.getpid()}"
    bivy = support.Bivy(parent, "")
    try:
        bivy.make()
        tap.cases(Cases(cluster.start(), parent))
        tap.point("no leaf is left", lambda: equal("leaves", bivy.leaves(), []))
    finally:
        directory = cluster.directory
        cluster.stop()
        bivy.remove()
    tap.point("nothing of the cluster is left", lambda: equal("left", left(directory), []))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
