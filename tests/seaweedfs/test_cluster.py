#!/usr/bin/env python3
"""The cluster that the tests use, tested: what it starts, what it says, what it leaves. TAP on stdout; without a weed
in the cache it says SKIP and the command that installs one."""

import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support import answer, equal, find_weed, left, the  # noqa: E402  the modules beside this file


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)
        os.fsync(file.fileno())


def get(path):
    with open(path, "rb") as file:
        return file.read()


class Cases:
    """One cluster with two mounts for all of them, in the order in which they are written."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.one = cluster.add_mount("one")
        self.two = cluster.add_mount("two")

    def case_mount_is_what_bivy_asks_for(self):
        info = self.one.info()
        options = set(info["options"].split(",")) | set(info["super"].split(","))
        equal("file system", info["fstype"], the.FSTYPE)
        for option in ("rw", "nosuid", "nodev", "allow_other", "default_permissions"):
            equal(option, option in options, True)

    def case_owner_and_mode_reach_the_filer(self):
        place = os.path.join(self.one.path, "ada")
        os.mkdir(place, 0o700)
        os.chown(place, 12345, 12346)
        put(os.path.join(place, "file"), b"x" * 5000)
        os.chmod(os.path.join(place, "file"), 0o640)
        entry = self.cluster.entry("/ada")
        equal("directory", (entry["directory"], entry["mode"], entry["uid"], entry["gid"]), (True, 0o700, 12345, 12346))
        entry = self.cluster.entry("/ada/file")
        equal("file", (entry["directory"], entry["mode"], entry["size"]), (False, 0o640, 5000))
        equal("listing", self.cluster.listing("/ada"), ["file"])
        equal("content", self.cluster.content("/ada/file"), b"x" * 5000)
        equal("nobody's", self.cluster.entry("/nobody"), None)

    def case_second_mount_reads_what_was_synced(self):
        data = os.urandom(3 << 20)
        put(os.path.join(self.one.path, "ada", "data"), data)
        there = os.path.join(self.two.path, "ada", "data")
        the.wait_until("the second mount has it", lambda: answer(lambda: get(there) == data) == "True", 10)

    def case_read_only_mount(self):
        mount = self.cluster.add_mount("ro", read_only=True)
        equal("write", answer(lambda: put(os.path.join(mount.path, "no"), b"x")), "EROFS")
        self.cluster.remove_mount("ro")

    def case_other_users_are_kept_out_without_allow_others(self):
        mount = self.cluster.add_mount("mine", allow_others=False)

        def as_somebody():
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            return os.stat(mount.path)

        equal("stat", answer(as_somebody), "EACCES")
        self.cluster.remove_mount("mine")

    def case_ids_are_mapped(self):
        mount = self.cluster.add_mount("mapped", map_uid="5000:12345", map_gid="5000:12346")
        equal("owner", os.stat(os.path.join(mount.path, "ada")).st_uid, 5000)
        self.cluster.remove_mount("mapped")

    def case_quota_is_enforced_and_can_be_changed(self):
        mount = self.cluster.add_mount("small", filer_path="/small", collection="small", quota_mb=4)
        equal("8 MiB", answer(lambda: put(os.path.join(mount.path, "big"), bytes(8 << 20))), "ENOSPC")
        mount.set_quota(64)
        # Another name: the kernel still knows that of the refused file, and opens it to ENOENT.
        put(os.path.join(mount.path, "other"), bytes(8 << 20))
        self.cluster.remove_mount("small")

    def case_filer_stopped_and_started_keeps_the_data(self):
        data = get(os.path.join(self.two.path, "ada", "data"))
        self.cluster.stop_server("filer", kill=True)
        equal("answers", self.cluster.entry("/ada"), None)
        self.cluster.start_server("filer")
        the.wait_until("the mount has it again", lambda: answer(self.ada) == "['data', 'file']", 60)
        equal("content", get(os.path.join(self.one.path, "ada", "data")), data)

    def case_volume_server_lost_and_back(self):
        self.cluster.stop_server("volume", kill=True)
        path = os.path.join(self.one.path, "late")
        equal("write with fsync", answer(lambda: put(path, b"x" * 5000)), "ENOSPC")
        self.cluster.start_server("volume")
        the.wait_until("writes work again", lambda: answer(lambda: put(path, b"x" * 5000)) == "None", 60)

    def ada(self):
        return sorted(os.listdir(os.path.join(self.one.path, "ada")))

    def case_killed_mount_answers_enotconn_until_started_again(self):
        self.one.kill()
        equal("list", answer(self.ada), "ENOTCONN")
        equal("still in mountinfo", self.one.info() is not None, True)
        self.one.start()
        equal("list", answer(self.ada), "['data', 'file']")

    def case_paused_mount_blocks_until_resumed(self):
        self.one.pause()
        equal("list", answer(self.ada, 0.5), "blocked")
        self.one.resume()
        equal("list", answer(self.ada), "['data', 'file']")

    def case_aborted_connection_answers(self):
        self.one.pause()
        self.one.abort()
        got = answer(self.ada)
        if got not in ("ENOTCONN", "ECONNABORTED"):
            raise AssertionError(f"list: {got}")
        self.one.start()

    def case_shell_answers(self):
        equal("ls", self.cluster.shell("fs.ls /ada").split(), ["data", "file"])

    def case_memory_is_read(self):
        memory = self.cluster.memory()
        equal("processes", sorted(memory), ["filer", "master", "mount one", "mount two", "volume"])
        equal("all have some", all(0 < now <= peak for now, peak in memory.values()), True)


def killed_test_leaves_nothing(weed):
    """A test dies by SIGKILL while it holds a file of a stopped mount open, the worst it can do."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        cluster = the.Cluster(weed)
        cluster.start()
        mount = cluster.add_mount("held")
        held = os.open(os.path.join(mount.path, "held"), os.O_CREAT | os.O_WRONLY)
        os.write(held, bytes(100000))
        mount.pause()
        os.write(write, cluster.directory.encode())
        while True:
            signal.pause()
    os.close(write)
    directory = os.read(read, 4096).decode()
    os.close(read)
    equal("the test got ready", bool(directory), True)
    os.kill(child, signal.SIGKILL)
    the.wait_until(f"nothing left of {directory}", lambda: not left(directory), 60)
    os.waitpid(child, 0)


def program_has_a_session(weed):
    """The same by the program, one process for each command."""
    directory = os.path.join("/tmp", f"bivy-seaweedfs-session-{os.getpid()}")

    def run(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, "-B", the.__file__, arguments[0], directory, *arguments[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != status:
            raise AssertionError(f"{arguments}: status {done.returncode}\n{done.stdout}")
        return done.stdout

    try:
        equal("start", run("start", "--weed", weed, "--volumes", "4").strip(), directory)
        path = run("mount", "w", "--cache-mb", "16").strip()
        put(os.path.join(path, "f"), b"12345")
        equal("stat", '"size": 5' in run("stat", "/f"), True)
        equal("list", run("list", "/"), "f\n")
        equal("status", run("status").count(": pid "), 4)
        run("signal", "w", "KILL")
        # Nobody has waited for its end here: a call may still be under way in it.
        equal("killed", answer(lambda: os.listdir(path)) in ("ENOTCONN", "ECONNABORTED"), True)
        run("umount", "w")
        equal("unknown", "no mount of that name" in run("umount", "w", status=1), True)
        run("server-stop", "filer", "--kill")
        run("server-start", "filer")
        equal("list again", run("list", "/"), "f\n")
    finally:
        run("stop")
    equal("left", left(directory), [])


def main():
    weed, reason = find_weed()
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    if os.geteuid() != 0:
        print("1..0 # SKIP mounting needs root")
        return 0
    the.private()
    sys.stdout.reconfigure(line_buffering=True)
    names = [name for name in vars(Cases) if name.startswith("case_")]
    print(f"1..{len(names) + 3}")
    failed = number = 0

    def report(name, call):
        nonlocal failed, number
        number += 1
        try:
            call()
            print(f"ok {number} - {name}")
        except (AssertionError, the.Failure, OSError) as problem:
            failed += 1
            print("".join(f"# {line}\n" for line in str(problem).splitlines()), end="")
            print(f"not ok {number} - {name}")

    cluster = the.Cluster(weed)
    try:
        cases = Cases(cluster.start())
        for name in names:
            report(name.removeprefix("case_").replace("_", " "), getattr(cases, name))
    finally:
        directory = cluster.directory
        report("stop leaves nothing", lambda: (cluster.stop(), equal("left", left(directory), [])))
    report("killed test leaves nothing", lambda: killed_test_leaves_nothing(weed))
    report("program has a session", lambda: program_has_a_session(weed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
