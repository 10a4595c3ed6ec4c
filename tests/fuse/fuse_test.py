#!/usr/bin/env python3
"""faultfs and the bindfs fixture do what they say, without bivy. TAP on stdout.

    fuse_test.py FAULTFS [PATTERN]

Needs root and /dev/fuse, and for the second part bindfs; otherwise it skips (77), or fails under BIVY_TEST_STRICT=1.
This process never opens anything below a mount under test: whatever does is a child that may hang, holds its own
descriptors, and is freed by ending the connection. A descriptor of a stalled file must not be inherited either: closing
it at exec is a FLUSH.
"""

import errno
import hashlib
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True  # the tests leave nothing in the source tree

import fixture
from fixture import Bindfs, Failure, Faultfs, await_true, process_state

CUT_OFF = ("ECONNABORTED", "ENOTCONN")  # what a request gets that was read already, and one that was not
TESTS = []


def test(function):
    TESTS.append(function)
    return function


def check(condition, *seen):
    if not condition:
        raise AssertionError("seen: " + " | ".join(map(str, seen)))


class Victim:
    """A child that carries out act() and hands back what it gave, or the name of its error."""

    def __init__(self, act):
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(60)  # a test that died leaves nothing behind for long
            try:
                value = repr(act())
            except OSError as wrong:
                value = errno.errorcode[wrong.errno]
            except BaseException as wrong:  # the child must not go on in the test program
                value = f"broken: {wrong!r}"
            os.write(theirs, value.encode())
            os._exit(0)
        os.close(theirs)
        self.result, self.pidfd = ours, os.pidfd_open(self.pid)

    def ended(self, seconds=0.0):
        return bool(select.select([self.pidfd], [], [], seconds)[0])

    def answer(self):
        """Waits for its end."""
        if not self.ended(fixture.DEADLINE):
            raise Failure(f"{self.pid} did not end: {self.where()}")
        value = os.read(self.result, 65536).decode()
        self.close()
        return value

    def where(self):
        with open(f"/proc/{self.pid}/stack", encoding="utf-8") as stack:
            return process_state(self.pid) + " " + " ".join(line.split()[-1] for line in stack)

    def close(self):
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        os.close(self.result)


def run(act):
    return Victim(act).answer()


def write_file(path, data=b"data"):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(fd, data)
    os.close(fd)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


class Place:
    """A private directory, and faultfs in it."""

    faultfs = None
    count = 0

    def mount(self, options="", *commands):
        Place.count += 1
        base = os.path.join(self.directory, str(Place.count))
        fs = Faultfs(self.faultfs, base, options, ["mkdir /ws 700 0 0", "file /ws/old 644 0 0 hello", *commands])
        fixture.mount_line(fs.root)  # run_one learns of the connection
        return fs


place = Place()


def stuck(fs, operation, act):
    """A victim whose request has been read and is not answered."""
    victim = Victim(act)
    fs.ctl("await", operation, "1", str(fixture.DEADLINE))
    return victim


# ---- faultfs


@test
def it_looks_like_a_seaweedfs_mount():
    with place.mount() as fs:
        connection, fstype, line = fixture.mount_line(fs.root)
        check(fstype == "fuse.seaweedfs" and connection == fs.connection, line)
        for option in ("nosuid", "nodev", "allow_other", "default_permissions", "user_id=0", "localhost:8888:"):
            check(option in line, option, line)
    options = "ro,no_allow_other,no_default_permissions,user_id=7,group_id=8,max_read=8192,fsname=a,fstype=fuse.b"
    with place.mount(options) as fs:
        line = fixture.mount_line(fs.root)[2]
        check(" ro," in line and line.endswith("fuse.b a ro,user_id=7,group_id=8,max_read=8192"), line)


@test
def a_shell_workload_reaches_the_server():
    data = os.urandom(3_000_001)

    def work(root):
        os.chdir(os.path.join(root, "ws"))
        write_file("a", data)
        os.mkdir("d", 0o750)
        os.rename("a", "d/b")
        os.link("d/b", "c")
        os.symlink("d/b", "s")
        os.setxattr("c", "user.k", b"v")
        os.mkfifo("p")
        os.chown("c", 5, 6)
        os.utime("c", (1, 2))
        fd = os.open("gone", os.O_RDWR | os.O_CREAT)
        os.unlink("gone")
        os.write(fd, b"x" * 10)
        os.ftruncate(fd, 5)
        seen = os.pread(fd, 99, 0)
        for i in range(300):
            write_file(f"d/{i}")
        names = len(os.listdir("d"))
        for i in range(300):
            os.unlink(f"d/{i}")
        same = read_file("s") == data
        return seen, names, same, os.getxattr("c", "user.k"), os.listxattr("c"), os.stat("c").st_mtime, os.readlink("s")

    with place.mount() as fs:
        seen = run(lambda: work(fs.root))
        check(seen == repr((b"xxxxx", 301, True, b"v", ["user.k"], 2.0, "d/b")), seen)
        tree = fs.tree()
        check(set(tree) == {"/", "/ws", "/ws/old", "/ws/d", "/ws/d/b", "/ws/c", "/ws/s", "/ws/p"}, tree)
        for path in ("/ws/c", "/ws/d/b"):
            file = tree[path]
            check(file["sha256"] == hashlib.sha256(data).hexdigest() and file["size"] == str(len(data)), file)
            check((file["uid"], file["gid"], file["nlink"], file["state"]) == ("5", "6", "2", "committed"), file)
        check(tree["/ws/d"]["mode"] == "0750", tree["/ws/d"])
        check(run(lambda: os.rename(fs.root + "/ws/old", fs.root + "/ws/d/b")) == "None")
        check("/ws/old" not in fs.tree() and fs.tree()["/ws/c"]["nlink"] == "1", fs.tree())


@test
def sha256_is_the_standard_one():
    for length in (0, 1, 55, 56, 63, 64, 65, 119, 120):
        text = "a" * length
        with place.mount("", f"file /x 600 0 0 {text}") as fs:
            check(fs.tree()["/x"]["sha256"] == hashlib.sha256(text.encode()).hexdigest(), length)


def stalls():
    """operation -> what to do before the stall, and what then hangs, given the workspace"""
    opened = lambda ws: os.open(ws + "/old", os.O_RDWR)
    nothing = lambda ws: None
    return {
        "LOOKUP": (nothing, lambda ws, _: os.stat(ws + "/none")),
        "GETATTR": (opened, lambda ws, fd: os.fstat(fd)),
        "SETATTR": (opened, lambda ws, fd: os.fchmod(fd, 0o600)),
        "OPEN": (nothing, lambda ws, _: opened(ws)),
        "CREATE": (nothing, lambda ws, _: write_file(ws + "/new")),
        "WRITE": (opened, lambda ws, fd: os.write(fd, b"x")),
        "FSYNC": (opened, lambda ws, fd: os.fsync(fd)),
        "FLUSH": (opened, lambda ws, fd: os.close(fd)),
        "READDIRPLUS": (nothing, lambda ws, _: os.listdir(ws)),
        "STATFS": (nothing, lambda ws, _: os.statvfs(ws)),
        "MKDIR": (nothing, lambda ws, _: os.mkdir(ws + "/d")),
        "UNLINK": (nothing, lambda ws, _: os.unlink(ws + "/old")),
        "RENAME": (nothing, lambda ws, _: os.rename(ws + "/old", ws + "/new")),
        "GETXATTR": (nothing, lambda ws, _: os.getxattr(ws + "/old", "user.k")),
    }


def stalled_process(fs, operation):
    """A victim in the stall; its file was opened before."""
    prepare, act = stalls()[operation]
    ready, go = os.pipe(), os.pipe()
    workspace = fs.root + "/ws"

    def story():
        fd = prepare(workspace)
        os.write(ready[1], b"r")
        os.read(go[0], 1)
        return act(workspace, fd)

    victim = Victim(story)
    os.read(ready[0], 1)
    fs.ctl("stall", operation)
    os.write(go[1], b"g")
    for fd in ready + go:
        os.close(fd)
    fs.ctl("await", operation, "1", str(fixture.DEADLINE))
    return victim


@test
def a_read_request_survives_sigkill_and_ends_with_the_connection():
    for operation in stalls():
        with place.mount() as fs:
            victim = stalled_process(fs, operation)
            os.kill(victim.pid, signal.SIGKILL)
            await_true(lambda: "INTERRUPT" in [row[0] for row in fs.log()], f"INTERRUPT of {operation}")
            check(not victim.ended(0.05), operation, "ended by SIGKILL")
            check(victim.where().startswith("D request_wait_answer"), operation, victim.where())
            held = fs.ctl("held")
            check(len(held) == 1 and held[0].split()[1:3] == [operation, str(victim.pid)], held)
            check("waiting 1" in fs.ctl("info"), fs.ctl("info"))
            fs.ctl("abort")
            check(victim.ended(fixture.DEADLINE), operation, "survived abort")
            check(run(lambda: os.stat(fs.root)) == "ENOTCONN")
            victim.close()


@test
def dying_closes_are_flushes_nobody_can_kill():
    def story():
        fd = os.open(path, os.O_RDWR)
        os.write(fd, b"dirty")
        os.kill(os.getpid(), signal.SIGKILL)

    with place.mount("", "stall FLUSH") as fs:
        path = fs.root + "/ws/old"
        victim = stuck(fs, "FLUSH", story)
        check("do_exit" in victim.where() and "fuse_flush" in victim.where(), victim.where())
        os.kill(victim.pid, signal.SIGKILL)
        check(not victim.ended(0.05), "ended")
        check(fs.tree()["/ws/old"]["state"] == "dirty", fs.tree())
        fs.ctl("release")
        check(victim.ended(fixture.DEADLINE), "not released")
        victim.close()
        check(fs.tree()["/ws/old"]["state"] == "committed", fs.tree())


@test
def one_stalled_request_stops_no_other():
    with place.mount("", "stall FLUSH =1") as fs:
        victim = stuck(fs, "FLUSH", lambda: write_file(fs.root + "/ws/a"))
        check(run(lambda: write_file(fs.root + "/ws/b", b"b")) == "None")
        check(run(lambda: read_file(fs.root + "/ws/b")) == repr(b"b"))
        fs.ctl("release")
        check(victim.answer() == "None")


@test
def interrupts_can_be_answered():
    with place.mount("", "interrupt eintr") as fs:
        for operation in ("LOOKUP", "FLUSH", "WRITE"):
            victim = stalled_process(fs, operation)
            os.kill(victim.pid, signal.SIGKILL)
            await_true(lambda: "interrupted" in [row[3] for row in fs.log()], operation)
            fs.ctl("release")  # its death flushes what it had open
            check(victim.ended(fixture.DEADLINE), operation, victim.where())
            victim.close()
            fs.ctl("log", "clear")


@test
def rules_match_by_count_and_path():
    with place.mount("", "errno OPEN EDQUOT 2 wanted", "errno CREATE ENOSPC =2") as fs:
        workspace = fs.root + "/ws/"
        seen = [run(lambda name=name: write_file(workspace + name)) for name in ("wanted", "other", "third")]
        check(seen == ["None", "ENOSPC", "None"], seen)
        seen = [run(lambda: read_file(workspace + "wanted")) for _ in range(3)]
        check(seen == [repr(b"data"), "EDQUOT", "EDQUOT"], seen)
        check(("OPEN", 0, "EDQUOT") in [(row[0], row[2], row[3]) for row in fs.log()], fs.log())
        fs.ctl("clear")
        check(run(lambda: read_file(workspace + "wanted")) == repr(b"data"))
        for error in ("EIO", "EROFS", "ENOTCONN", "EACCES", "ETIMEDOUT", "5"):
            fs.ctl("errno", "STATFS", error)
            check(run(lambda: os.statvfs(workspace)) == ("EIO" if error == "5" else error), error)
            fs.ctl("clear")


@test
def late_answers_come_and_the_data_with_them():
    with place.mount("", "late FLUSH 700") as fs:
        victim = stuck(fs, "FLUSH", lambda: write_file(fs.root + "/ws/a", b"late"))
        check(fs.tree()["/ws/a"]["state"] == "dirty" or not fs.ctl("held"), fs.tree())
        check(victim.answer() == "None")
        file = fs.tree()["/ws/a"]
        check(file["sha256"] == hashlib.sha256(b"late").hexdigest() and file["state"] == "committed", file)


@test
def lies_about_attributes():
    lies = {
        "size 3": lambda seen: seen.st_size == 3,
        "size 9223372036854775807": lambda seen: seen.st_size == 2**63 - 1,
        "mode 4777": lambda seen: seen.st_mode == 0o104777,
        "uid 4": lambda seen: seen.st_uid == 4,
        "gid 4": lambda seen: seen.st_gid == 4,
        "ino 77": lambda seen: seen.st_ino == 77,
        "nlink 0": lambda seen: seen.st_nlink == 0,
    }
    for lie, true in lies.items():
        with place.mount("", f"lie {lie} 1 old") as fs:
            check(run(lambda: true(os.stat(fs.root + "/ws/old"))) == "True", lie)
    for lie in ("size -1", "type dir 2"):  # the kernel notices these: a bad inode
        with place.mount("", f"lie {lie} old") as fs:
            check(run(lambda: os.stat(fs.root + "/ws/old")) == "EIO", lie)

    def twice():
        fd = os.open(fs.root + "/ws", os.O_PATH)
        return [os.stat(fd).st_uid for _ in range(3)]

    with place.mount("", "lie uid 9 3 /ws") as fs:  # one for the lookup, one for the first look
        check(run(twice) == "[0, 9, 9]", run(twice))
    with place.mount("", "lie size 2 1 old") as fs:
        check(run(lambda: read_file(fs.root + "/ws/old")) == repr(b"he"))
    with place.mount("", "lie free 0", "lie total 8192") as fs:
        check(run(lambda: (os.statvfs(fs.root).f_bavail, os.statvfs(fs.root).f_blocks)) == "(0, 2)")


@test
def odd_names_in_directories():
    refused = ("slash", "empty", "longer")  # EIO by the kernel; a NUL cuts the name short
    for kind in ("slash", "newline", "long", "longer", "empty", "dots", "nul", "control"):
        with place.mount("", f"lie names {kind} 1 /ws") as fs:
            seen = run(lambda: sorted(os.listdir(os.fsencode(fs.root + "/ws"))))
            check(seen == "EIO" if kind in refused else "old" in seen, kind, seen)

    def some():
        with os.scandir(fs.root + "/ws") as entries:
            return len([next(entries) for _ in range(20000)])

    with place.mount("", "lie names endless 1 /ws") as fs:
        check(run(some) == "20000")


@test
def exchange_can_be_plain():
    def exchange():
        os.chdir(fs.root + "/ws")
        write_file("a", b"a")
        write_file("b", b"b")
        return fixture.libc.renameat2(-100, b"a", -100, b"b", 2), sorted(os.listdir(".")), read_file("b")

    with place.mount() as fs:
        check(run(exchange) == repr((0, ["a", "b", "old"], b"a")))
    with place.mount("", "lie exchange plain") as fs:
        check(run(exchange) == repr((0, ["b", "old"], b"a")))


@test
def a_full_server_says_so():
    with place.mount("size=65536") as fs:
        check(run(lambda: write_file(fs.root + "/ws/a", b"x" * 65000)) == "None", fs.tree())
        check(run(lambda: write_file(fs.root + "/ws/b", b"x" * 65000)) == "ENOSPC", fs.tree())
        check(fs.tree()["/ws/a"]["size"] == "65000", fs.tree())


@test
def not_serving_is_neither_dead_nor_an_answer():
    with place.mount() as fs:
        check(run(lambda: os.stat(fs.root).st_uid) == "0")
        fs.ctl("stop-serving")
        victim = Victim(lambda: os.stat(fs.root + "/ws/old").st_size)
        await_true(lambda: "waiting 1" in fs.ctl("info"), "one request waiting")
        check(fs.ctl("held") == [] and not victim.ended(), "a request was read")
        fs.ctl("serve")
        check(victim.answer() == "5")
        fs.ctl("stop-serving")
        victim = Victim(lambda: os.stat(fs.root + "/ws/old"))
        await_true(lambda: "waiting 1" in fs.ctl("info"), "one request waiting")
        os.kill(victim.pid, signal.SIGKILL)  # nobody has read it: this one can be killed
        check(victim.ended(fixture.DEADLINE), victim.pid)
        victim.close()


@test
def a_stalled_init_holds_everything_and_death_frees_it():
    fs = place.mount("", "stall INIT")
    with fs:
        victim = Victim(lambda: os.stat(fs.root))
        await_true(lambda: "fuse_get_req" in victim.where(), "waiting for INIT")
        check("initialised no" in fs.ctl("info"), fs.ctl("info"))
        fs.ctl("die")
        check(victim.answer() in CUT_OFF)
        check(fs.daemon.wait(fixture.DEADLINE) == 1)
        check(fixture.mount_line(fs.root), "unmounted by death")
        check(run(lambda: os.listdir(fs.root)) == "ENOTCONN")


@test
def quitting_frees_the_stuck_and_unmounts():
    with place.mount() as fs:
        victim = stalled_process(fs, "FLUSH")
        fs.ctl("quit")
        seen = victim.answer()
        check(seen in CUT_OFF, seen)
        check(fs.daemon.wait(fixture.DEADLINE) == 0)
        check(not fixture.mount_line(fs.root) and not os.path.exists(fs.socket), "left behind")


@test
def commands_that_make_no_sense_are_refused():
    with place.mount() as fs:
        rules = ("stall FORGET", "stall NOTHING", "late FLUSH soon", "errno OPEN EWHAT", "lie size", "lie type tree")
        others = ("nonsense", "lie names odd", "interrupt maybe", "tree now", "file x 600 0 0", "mkdir /no/x 700 0 0")
        for words in rules + others:
            try:
                fs.ctl(*words.split())
            except Failure:
                continue
            check(False, words, "was taken")
        check(fs.ctl("rules") == [], fs.ctl("rules"))


# ---- bindfs


def as_owner(act, uid=fixture.UID):
    def changed():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        return act()

    return changed


def bindfs_test(function):
    function.needs_bindfs = True
    return test(function)


@bindfs_test
def every_state_is_what_it_says():
    expected = {
        "healthy": "None",
        "wrong-uid": "EACCES",
        "uid-0": "EACCES",
        "mode-0755": "None",
        "symlinked-id": "None",
        "no-allow-other": "EACCES",
        "ro": "EROFS",
        "unmounted": "None",
        "killed": "ENOTCONN",
        "wrong-type": "None",
    }
    for state, result in expected.items():
        with Bindfs(os.path.join(place.directory, state)).up(state) as mount:
            line = fixture.mount_line(mount.root)
            check((line is None) == (state == "unmounted"), state, line)
            check(not line or line[1] == ("fuse.bindfs" if state == "wrong-type" else "fuse.seaweedfs"), state, line)
            check(not line or (" ro," in line[2]) == (state == "ro"), state, line)
            check(not line or ("allow_other" in line[2]) == (state != "no-allow-other"), state, line)
            seen = run(as_owner(lambda: write_file(mount.root + "/alice/file")))
            check(seen == result, state, seen)
            check(os.path.exists(mount.backing + "/alice/file") == (result == "None" and state != "unmounted"), state)
            if state == "symlinked-id":
                check(os.path.islink(mount.backing + "/alice"), state)
            elif state not in ("no-allow-other", "killed"):
                there = os.stat((mount.root if state == "unmounted" else mount.backing) + "/alice")
                owner = {"wrong-uid": fixture.UID + 1, "uid-0": 0}.get(state, fixture.UID)
                check((there.st_uid, there.st_mode & 0o777) == (owner, 0o755 if state == "mode-0755" else 0o700), state)


def waiting_for_bindfs(mount):
    """statfs is what no cache answers."""
    victim = Victim(lambda: os.statvfs(mount.root).f_namemax)
    await_true(lambda: "fuse" in victim.where(), "the victim waits")
    return victim


@bindfs_test
def a_stopped_daemon_answers_once_it_goes_on():
    with Bindfs(os.path.join(place.directory, "stopped")).up("stopped") as mount:
        victim = waiting_for_bindfs(mount)
        check(not victim.ended(0.05), "somebody answered")
        mount.cont()
        check(victim.answer() == "255")
        mount.stop()
        victim = waiting_for_bindfs(mount)
        mount.kill()
        check(victim.answer() in CUT_OFF)


@bindfs_test
def taking_down_never_waits_for_a_stopped_daemon():
    mount = Bindfs(os.path.join(place.directory, "down")).up("healthy")
    mount.stop()
    victim = waiting_for_bindfs(mount)
    mount.close()
    check(victim.answer() in CUT_OFF)
    check(not os.path.exists(mount.base) and not fixture.mount_line(mount.root), "left behind")
    mount.close()  # twice does no harm


# ---- running them


def unable():
    if os.geteuid() != 0:
        return "needs root"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as wrong:
        return f"/dev/fuse: {wrong.strerror}"
    return None


def run_one(function):
    """The connections that a test made must be gone after it: others on this machine may come and go."""
    made = set()
    original = fixture.mount_line

    def noting(path):
        line = original(path)
        if line and path.startswith(place.directory):
            made.update(pair for pair in fixture.connections() if pair[0] == line[0])
        return line

    fixture.mount_line = noting
    try:
        function()
        ours = {int(line.split()[2].split(":")[1]) for line in open("/proc/self/mountinfo") if place.directory in line}
        check(not ours, "still mounted", ours)
        await_true(lambda: not fixture.connections() & made, "the connections of this test gone")
        return None
    except Exception:
        return traceback.format_exc()
    finally:
        fixture.mount_line = original


def main():
    status = fixture.excuse(unable())
    if status is not None:
        return status
    fixture.enter_namespace()
    Place.faultfs = os.path.abspath(sys.argv[1])
    Place.directory = tempfile.mkdtemp(prefix="bivy-fuse-")
    os.chmod(Place.directory, 0o711)  # the owner of a workspace passes through
    pattern = sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = [function for function in TESTS if pattern in function.__name__]
    bad = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, function in enumerate(chosen, 1):
        name = function.__name__
        if getattr(function, "needs_bindfs", False) and not shutil.which("bindfs") and not fixture.strict():
            print(f"ok {number} - {name} # SKIP no bindfs: apt-get install bindfs", flush=True)
            continue
        wrong = run_one(function)
        print("ok" if wrong is None else "not ok", number, "-", name, flush=True)
        if wrong:
            bad += 1
            print("# " + wrong.rstrip().replace("\n", "\n# "), flush=True)
    if not bad:
        shutil.rmtree(Place.directory)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
