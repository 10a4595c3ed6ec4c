#!/usr/bin/env python3
"""What FUSE tests stand on: faultfs, and bindfs dressed as a SeaweedFS mount, in every state that a workspace root can
be found in. Also a command, for tests that are not in Python:

    fixture.py up STATE BASE [ID [UID]]   makes BASE/root and says "ready PID CONNECTION" (0 0 where nothing is mounted)
    fixture.py kill|stop|cont BASE        the daemon: SIGKILL, SIGSTOP, SIGCONT
    fixture.py down BASE                  ends the daemon, unmounts, removes BASE; also after a half-made `up`

BASE is a private directory that does not exist yet; the workspace is BASE/root/ID (default alice, owned by UID 54321),
what bindfs shows of BASE/backing/ID. States:

    healthy          mode 0700, owner UID, allow_other and default_permissions
    wrong-uid        owned by UID + 1
    uid-0            owned by root
    mode-0755        readable by others
    symlinked-id     ID is a symbolic link to mallory, who has a good workspace
    no-allow-other   only root may look
    ro               mounted read-only
    unmounted        no mount: BASE/root is a local directory, and holds a good workspace
    killed           the daemon was killed after mounting: ENOTCONN
    stopped          the daemon was stopped before its first request after mounting
    wrong-type       healthy, but of type fuse.bindfs

Taking down never asks the file system for anything: the daemon is killed first, which frees whoever waits for it, and
only then the mount is detached. Needs root, bindfs and /dev/fuse.
"""

import ctypes
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

DEADLINE = 20  # seconds; only for what takes milliseconds
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
STATES = (
    "healthy",
    "wrong-uid",
    "uid-0",
    "mode-0755",
    "symlinked-id",
    "no-allow-other",
    "ro",
    "unmounted",
    "killed",
    "stopped",
    "wrong-type",
)
UID = 54321
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """The fixture itself could not be made; never what a test looks for."""


def await_true(condition, what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"in vain awaited for {seconds} s: {what}")
        time.sleep(0.005)


# ---- mounts


def unescape(text):
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def mount_line(path):
    """The fields of the topmost mount on that path, or None: (connection, fstype, whole line)."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(" ")
            if unescape(fields[4]) == path:
                rest = fields[fields.index("-") + 1 :]
                found = (int(fields[2].split(":")[1]), rest[0], line.rstrip("\n"))
    return found


def detach(path):
    """Unmounts whatever is mounted there. Touches no server: the mount is cut off, not asked."""
    while mount_line(path):
        if libc.umount2(os.fsencode(path), MNT_DETACH | UMOUNT_NOFOLLOW) < 0:
            raise Failure(f"umount {path}: {os.strerror(ctypes.get_errno())}")


def connections():
    """The FUSE connections of this kernel as (number, inode): numbers are given again at once, inodes are not. Needs
    fusectl mounted, see enter_namespace."""
    return {(int(entry.name), entry.inode()) for entry in os.scandir("/sys/fs/fuse/connections")}


def strict():
    """Is what cannot run a failure?"""
    return os.environ.get("BIVY_TEST_STRICT") == "1"


def excuse(reason):
    """The exit status where a test cannot run for that reason, which is told; None where there is none."""
    if not reason:
        return None
    if strict():
        print(f"Bail out! {reason}")
        return 1
    print(f"1..0 # SKIP {reason}")
    return 77


def enter_namespace():
    """Goes on in a mount namespace of its own, in which fusectl is mounted: run first, before any thread."""
    if os.environ.get("BIVY_FUSE_NAMESPACE") != str(os.getpid()):
        os.environ["BIVY_FUSE_NAMESPACE"] = str(os.getpid())
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    if not mount_line("/sys/fs/fuse/connections"):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"], check=True)


# ---- processes


def process_state(pid):
    """One letter, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def all_stopped(pid):
    """A thread that was about to answer may run on for a moment after the first one has stopped."""
    try:
        return all(process_state(f"{pid}/task/{thread}") == "T" for thread in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return False


def start_time(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as text:
            return text.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


# ---- what lies below a mount


def contents(directory):
    """All that is in a directory, by its open descriptor: whatever has been mounted over it since does not matter."""
    seen = {}
    for place, directories, files, fd in os.fwalk(".", dir_fd=directory):
        for name in [".", *directories, *files]:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            data = b""
            if stat.S_ISREG(status.st_mode):
                with open(name, "rb", opener=lambda path, flags, fd=fd: os.open(path, flags, dir_fd=fd)) as file:
                    data = file.read()
            seen[os.path.join(place, name)] = (status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns, data)
    return seen


def open_below(root, tempt):
    """An open descriptor of what is to be mounted on. tempt: None, or (name, uid): with a directory in it which that
    user may write to, as somebody who missed the mount would find it."""
    if tempt:
        path = os.path.join(root, tempt[0])
        make_workspace(path, tempt[1])
        with open(os.path.join(path, "canary"), "wb") as file:
            file.write(b"below the mount")
        os.chown(os.path.join(path, "canary"), tempt[1], tempt[1])
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


# ---- faultfs


class Faultfs:
    """One faultfs in the foreground. Ends with the test, whatever the test does. below: a descriptor of the directory
    that the mount hides."""

    def __init__(self, program, base, options="", commands=(), tempt=None):
        self.program, self.base = program, base
        self.root, self.socket = os.path.join(base, "root"), os.path.join(base, "socket")
        os.makedirs(self.root)
        self.below = open_below(self.root, tempt)
        words = [program, "-c", self.socket]
        if options:
            words += ["-o", options]
        for command in commands:
            words += ["-x", command]
        self.daemon = subprocess.Popen([*words, self.root], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        ready = self.daemon.stdout.readline().split()
        if len(ready) != 3:
            raise Failure(f"faultfs did not start (status {self.daemon.wait()})")
        self.connection = int(ready[2])

    def ctl(self, *words):
        """The lines that the command shows."""
        done = subprocess.run([self.program, "ctl", self.socket, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"ctl {' '.join(words)}: {done.stderr.strip() or done.returncode}")
        return done.stdout.splitlines()

    def tree(self):
        """{path: {type, mode, uid, gid, nlink, size, sha256, state}}: what the server really holds."""
        names = ("type", "mode", "uid", "gid", "nlink", "size", "sha256", "state")
        return {(words := line.split(" ", 8))[8]: dict(zip(names, words)) for line in self.ctl("tree")}

    def log(self):
        """[(op, pid, uid, result, path)]"""
        rows = (line.split(" ", 6) for line in self.ctl("log"))
        return [(row[1], int(row[2]), int(row[3]), row[5], row[6]) for row in rows]

    def close(self):
        """Unmounts and ends it, also when it was told to die, was stopped or has been unmounted by others."""
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGCONT)
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
                raise Failure("faultfs did not end at SIGTERM") from None
        self.daemon.stdout.close()
        detach(self.root)
        os.close(self.below)
        shutil.rmtree(self.base)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ---- bindfs


def mount_options(state):
    options = ["subtype=bindfs" if state == "wrong-type" else "subtype=seaweedfs"]
    options += ["default_permissions", "nosuid", "nodev"]  # bindfs names BASE/backing as the source, whatever one asks
    options.append("nonempty")  # tests put something below the mount, that must stay as it is
    if state == "ro":
        options.append("ro")
    return ["--no-allow-other"] * (state == "no-allow-other") + ["-o", ",".join(options)]


def make_workspace(path, uid, mode=0o700):
    os.mkdir(path)
    os.chown(path, uid, uid)
    os.chmod(path, mode)


class Bindfs:
    """A bindfs in one of STATES. An object can be made for a base that another process brought up."""

    def __init__(self, base):
        self.base = os.path.realpath(base)
        self.root, self.backing = os.path.join(self.base, "root"), os.path.join(self.base, "backing")
        self.pid_file = os.path.join(self.base, "daemon")
        self.connection, self.below = 0, -1

    def up(self, state, name="alice", uid=UID, tempt=None):
        if state not in STATES:
            raise Failure(f"no state {state}; there are {' '.join(STATES)}")
        os.makedirs(self.backing)
        os.mkdir(self.root)
        if tempt and state != "unmounted":
            self.below = open_below(self.root, tempt)
        where = self.root if state == "unmounted" else self.backing
        owner = {"wrong-uid": uid + 1, "uid-0": 0}.get(state, uid)
        if state == "symlinked-id":
            make_workspace(os.path.join(where, "mallory"), uid)
            os.symlink("mallory", os.path.join(where, name))
        else:
            make_workspace(os.path.join(where, name), owner, 0o755 if state == "mode-0755" else 0o700)
        if state != "unmounted":
            self.mount(state)
        return self

    def mount(self, state):
        before = mount_line(self.root)
        with open(os.path.join(self.base, "messages"), "wb") as messages:
            daemon = subprocess.Popen(
                ["bindfs", "-f", *mount_options(state), self.backing, self.root],
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
                cwd="/",
            )
        with open(self.pid_file, "w", encoding="ascii") as file:
            print(daemon.pid, start_time(daemon.pid), file=file)

        def mounted():
            if daemon.poll() is not None:
                with open(os.path.join(self.base, "messages"), encoding="utf-8") as text:
                    raise Failure(f"bindfs ended with {daemon.returncode}: {text.read()}")
            line = mount_line(self.root)
            return line if line != before else None

        self.connection = await_true(mounted, f"bindfs mounted on {self.root}")[0]
        if state == "killed":
            self.kill()
        elif state == "stopped":
            self.stop()

    def pid(self):
        """The daemon's, 0 when it is gone: a number that was given again is not taken for it."""
        try:
            with open(self.pid_file, encoding="ascii") as file:
                pid, started = file.read().split()
        except (FileNotFoundError, ValueError):
            return 0
        return int(pid) if start_time(int(pid)) == started and process_state(int(pid)) != "Z" else 0

    def signal(self, number):
        pid = self.pid()
        if pid:
            os.kill(pid, number)
        return pid

    def reap(self, pid):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:  # somebody else's child: init's
            pass
        return not self.pid()

    def kill(self):
        pid = self.signal(signal.SIGKILL)
        if pid:
            await_true(lambda: self.reap(pid), f"the end of bindfs {pid}")

    def stop(self):
        pid = self.signal(signal.SIGSTOP)
        if pid:
            await_true(lambda: all_stopped(pid), f"bindfs {pid} stopped")

    def cont(self):
        self.signal(signal.SIGCONT)

    def close(self):
        self.kill()
        detach(self.root)
        if self.below >= 0:
            os.close(self.below)
        try:
            shutil.rmtree(self.base)
        except FileNotFoundError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(words):
    if len(words) in (3, 4, 5) and words[0] == "up":
        fixture = Bindfs(words[2])
        try:
            fixture.up(words[1], *words[3:4], *map(int, words[4:5]))
        except BaseException:
            fixture.close()
            raise
        print("ready", fixture.pid(), fixture.connection)
    elif len(words) == 2 and words[0] in ("kill", "stop", "cont", "down"):
        fixture = Bindfs(words[1])
        getattr(fixture, "close" if words[0] == "down" else words[0])()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Failure, OSError) as wrong:
        sys.exit(f"fixture: {wrong}" + (f" ({errno.errorcode[wrong.errno]})" if getattr(wrong, "errno", 0) else ""))
