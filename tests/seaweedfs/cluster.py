#!/usr/bin/env python3
"""A SeaweedFS of one's own: master, volume server, filer and any number of mounts, below one private directory.

As a class for tests (with Cluster(weed) as cluster: ...) and as a program (cluster.py --help), whose state is
DIR/state.json, so that every command of a session finds the processes of the one before.

What it promises:
  * Everything listens on one address, 127.0.0.1 unless told otherwise, on free ports; nothing guesses an address. No
    S3, no WebDAV, telemetry off, sockets and caches below the directory instead of /tmp.
  * Disk use is bounded: volumes x volume_mb for data, cache_mb for each mount.
  * A process is signalled only while it is the one that was started: pid and start time, through a pidfd.
  * Nothing here touches a path below a mount, so a stalled mount cannot stall this program. What may block in the
    kernel (umount) runs in a child under a deadline.
  * stop() leaves no process, no mount and no directory, or raises and says what is left.
  * A Cluster of a test ends with the test, however that ended: a watchdog beside it calls stop(). It looks for a test
    that is exiting, not for one that is gone: a killed process that holds a file of a stopped mount open stays until
    the daemon is killed, and so would never be gone.
"""

import argparse
import contextlib
import ctypes
import errno
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

SERVERS = ("master", "volume", "filer")
# Start to ready takes 1 - 3 s each on an idle machine; the rest is for a busy one.
READY_SECONDS = 60
END_SECONDS = 20
FSTYPE = "fuse.seaweedfs"
# gRPC listens here above the HTTP port. It is weed's own default, which its tools assume when they are given one port.
GRPC = 10000
MNT_DETACH = 2
# include/linux/sched.h; field 9 of /proc/PID/stat has it.
PF_EXITING = 4

_libc = ctypes.CDLL(None, use_errno=True)
# The environment may name a proxy; these requests never leave the machine.
_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failure(Exception):
    """Something here could not be started, reached or stopped. The text names it and quotes its log."""


def wait_until(what, condition, seconds, pause=0.02):
    """Polls condition() until it is true; what it gave is returned. Raises Failure at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not so after {seconds} s")
        time.sleep(pause)


def private():
    """Runs this program again in network and mount namespaces of its own, if it is root and not there yet.

    What listens there cannot be reached from elsewhere and reaches nothing else, and the kernel takes the mounts away
    with the last process, however that ended. Returns when it is there."""
    if os.environ.get("BIVY_SEAWEEDFS_PRIVATE") == "1":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.environ["BIVY_SEAWEEDFS_PRIVATE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def _unescape(field):
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def mounts():
    """Every mount of this namespace, from mountinfo: a list of dicts id, device, root, path, options, fstype, source,
    super."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, right = line.rstrip("\n").split(" - ", 1)
            left, right = left.split(" "), right.split(" ")
            found.append(
                {
                    "id": int(left[0]),
                    "device": left[2],
                    "root": _unescape(left[3]),
                    "path": _unescape(left[4]),
                    "options": left[5],
                    "fstype": right[0],
                    "source": _unescape(right[1]),
                    "super": right[2] if len(right) > 2 else "",
                }
            )
    return found


def umount(path, flags=0, seconds=5):
    """umount2(2) in a child, since it may block on a stalled daemon. 0 or an errno; ETIMEDOUT if it never came back."""
    child = os.fork()
    if child == 0:
        status = 0 if _libc.umount2(os.fsencode(path), flags) == 0 else min(ctypes.get_errno(), 255)
        os._exit(status)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    _abandoned.append(child)
    return errno.ETIMEDOUT


# Children that hung in umount; they end when the daemon does, and are reaped then.
_abandoned = []


def _reap_abandoned():
    for child in list(_abandoned):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0] == 0:
                continue
        _abandoned.remove(child)


class Process:
    """One process that was started here, or by an earlier command of the same session."""

    def __init__(self, pid, start_time):
        self.pid = pid
        self.start_time = start_time

    @staticmethod
    def _stat(pid):
        """(state, start time, flags), or None where there is no such process."""
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                # The command's name may hold blanks and brackets; the fields count from its last bracket.
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return fields[0], int(fields[19]), int(fields[6])

    @classmethod
    def spawn(cls, argv, log, directory, environment):
        with open(log, "ab") as out:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
        # Reaped by alive() below, by pid. Popen must not do so behind its back, nor warn.
        child.returncode = 0
        return cls(child.pid, cls._stat(child.pid)[1])

    def alive(self):
        """A killed process counts as alive until its last thread is gone: so long it holds /dev/fuse, and its ports."""
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(self.pid, os.WNOHANG)[0] != self.pid
        now = self._stat(self.pid)
        if now is None or now[1] != self.start_time or now[0] == "X":
            return False
        if now[0] == "Z":
            with contextlib.suppress(OSError):
                return len(os.listdir(f"/proc/{self.pid}/task")) > 1
            return False
        return True

    def exiting(self):
        """Gone, or on its way out of the kernel for good."""
        now = self._stat(self.pid)
        return now is None or now[1] != self.start_time or now[0] in "ZX" or bool(now[2] & PF_EXITING)

    def state(self):
        """The letter of /proc/PID/stat, '' where it is gone."""
        now = self._stat(self.pid)
        return now[0] if now and now[1] == self.start_time else ""

    def doing(self):
        """For a message: its state, where it waits in the kernel, and the processor time that it had."""
        parts = [f"process {self.pid} in state {self.state() or 'gone'}"]
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/wchan", encoding="ascii") as file:
                parts.append(f"waits in {file.read()}")
            with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
                ran, waited = (int(it) / 1e9 for it in file.read().split()[:2])
                parts.append(f"first thread ran {ran:.2f} s and waited {waited:.2f} s for a processor")
        return ", ".join(parts)

    def signal(self, number):
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Behind the pidfd the pid cannot change hands any more.
            if self.alive():
                signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)

    def end(self, seconds=END_SECONDS):
        """SIGTERM, then SIGKILL. Raises Failure where it outlives that as well."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        with contextlib.suppress(Failure):
            wait_until("", lambda: not self.alive(), seconds)
            return
        self.kill()

    def kill(self):
        self.signal(signal.SIGKILL)
        wait_until(f"process {self.pid} gone after SIGKILL", lambda: not self.alive(), END_SECONDS)

    def memory(self):
        """Kilobytes, resident now and at most: (VmRSS, VmHWM)."""
        with open(f"/proc/{self.pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)
        return tuple(int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))


class Mount:
    """One `weed mount` of a cluster."""

    def __init__(self, cluster, name, options, process=None):
        self.cluster = cluster
        self.name = name
        self.options = options
        self.process = process
        self.path = os.path.join(cluster.directory, "mnt", name)
        self.log = os.path.join(cluster.directory, "log", "mount-" + name)
        self.socket = os.path.join(cluster.directory, "run", f"mount-{name}.sock")

    def _argv(self):
        given = self.options
        cache = given["cache_dir"] or os.path.join(self.cluster.directory, "cache", self.name)
        os.makedirs(cache, exist_ok=True)
        argv = []
        if given["netns"]:
            argv += ["nsenter", "--net=" + given["netns"], "--"]
        argv += [
            self.cluster.weed,
            "-logtostderr=true",
            "mount",
            "-filer=" + self.cluster.endpoint("filer"),
            "-dir=" + self.path,
            "-filer.path=" + given["filer_path"],
            "-localSocket=" + self.socket,
            "-cacheDir=" + cache,
            f"-cacheCapacityMB={given['cache_mb']}",
            f"-writeBufferSizeMB={given['write_buffer_mb']}",
            f"-allowOthers={str(given['allow_others']).lower()}",
            f"-defaultPermissions={str(given['default_permissions']).lower()}",
            "-umask=" + given["umask"],
        ]
        if given["map_uid"]:
            argv.append("-map.uid=" + given["map_uid"])
        if given["map_gid"]:
            argv.append("-map.gid=" + given["map_gid"])
        if given["read_only"]:
            argv.append("-readOnly")
        if given["writeback"]:
            argv.append("-writebackCache")
        if given["collection"]:
            argv.append("-collection=" + given["collection"])
        if given["quota_mb"]:
            argv.append(f"-collectionQuotaMB={given['quota_mb']}")
        return argv + list(given["extra"])

    def start(self):
        """Starts the daemon and waits until the kernel shows the mount. A dead mount in its place is taken away."""
        self._detach()
        os.makedirs(self.path, exist_ok=True)
        self.process = self.cluster.spawn(self._argv(), self.log)
        self.cluster.save()

        def mounted():
            if not self.process.alive():
                raise Failure(f"mount {self.name}: weed ended while it started\n{self.cluster.tail(self.log)}")
            return self.info()

        wait_until(f"mount {self.name} shown in mountinfo", mounted, READY_SECONDS)
        return self

    def info(self):
        """Its line of mountinfo as mounts() gives it, None where it is not mounted."""
        for mount in mounts():
            if mount["path"] == self.path:
                return mount
        return None

    def abort(self):
        """Makes the kernel answer ECONNABORTED to whatever waits for this daemon, by the fusectl file system."""
        info = self.info()
        if not info or info["fstype"] != FSTYPE:
            raise Failure(f"mount {self.name}: not mounted, so there is no connection to abort")
        place = os.path.join(self.cluster.directory, "fusectl")
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", "fusectl", "fusectl", place], check=True)
        try:
            with open(os.path.join(place, info["device"].partition(":")[2], "abort"), "w", encoding="ascii") as file:
                file.write("1")
        finally:
            umount(place, MNT_DETACH)

    def kill(self):
        """SIGKILL. The mount stays, and answers ENOTCONN."""
        self.process.kill()

    def pause(self):
        self.process.signal(signal.SIGSTOP)
        wait_until(f"mount {self.name} stopped", lambda: self.process.state() in "Tt", END_SECONDS)

    def resume(self):
        self.process.signal(signal.SIGCONT)
        wait_until(f"mount {self.name} goes on", lambda: self.process.state() not in "Tt", END_SECONDS)

    def set_quota(self, mb):
        """The collection's quota as this mount holds it, in MiB; 0 takes it away. Needs a mount with a collection."""
        # weed shell looks for a mount's socket nowhere else; the link is there for as long as it looks.
        number = int.from_bytes(hashlib.md5(os.fsencode(self.path)).digest()[:4], "big", signed=True)
        link = f"/tmp/seaweedfs-mount-{abs(number)}.sock"
        os.symlink(self.socket, link)
        try:
            said = self.cluster.shell(f"mount.configure -dir={self.path} -quotaMB={mb}")
        finally:
            os.unlink(link)
        if "error" in said:
            raise Failure(f"mount {self.name}: quota not set: {said.strip()}")

    def _detach(self):
        while self.info():
            if umount(self.path, MNT_DETACH):
                raise Failure(f"mount {self.name}: {self.path} cannot be unmounted, not even lazily")

    def stop(self):
        """Unmounts, then ends the daemon. Whoever still uses the mount gets ENOTCONN, not a stall."""
        alive = self.process is not None and self.process.alive()
        if alive:
            self.process.signal(signal.SIGCONT)
        if self.info():
            # A plain umount writes dirty pages back first, which is what a test that reads elsewhere wants.
            if umount(self.path) and alive:
                try:
                    self.process.end(5)
                except Failure:
                    self.abort()
                    self.process.kill()
            self._detach()
        if self.process is not None and self.process.alive():
            self.process.end()
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)


class Cluster:
    """start() to stop(), or a with statement. directory is made, 0700, if it is not given."""

    def __init__(
        self, weed, directory=None, address="127.0.0.1", volume_mb=64, volumes=32, watched=True, netns=None
    ):
        self.weed = os.path.realpath(weed)
        self.directory = os.path.realpath(directory) if directory else None
        self.address = address
        self.volume_mb = volume_mb
        self.volumes = volumes
        self.watched = watched
        self.watchdog = None
        self.netns = netns
        self.ports = {}
        self.processes = {}
        self.mounts = {}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    # The state of a session of the program.

    def save(self):
        state = {
            "weed": self.weed,
            "address": self.address,
            "volume_mb": self.volume_mb,
            "volumes": self.volumes,
            "netns": self.netns,
            "ports": self.ports,
            "processes": {name: [it.pid, it.start_time] for name, it in self.processes.items()},
            "mounts": {
                name: [it.options, [it.process.pid, it.process.start_time] if it.process else None]
                for name, it in self.mounts.items()
            },
        }
        path = os.path.join(self.directory, "state.json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(state, file)
        os.replace(path + ".new", path)

    @classmethod
    def load(cls, directory):
        directory = os.path.realpath(directory)
        try:
            with open(os.path.join(directory, "state.json"), encoding="utf-8") as file:
                state = json.load(file)
        except FileNotFoundError:
            raise Failure(f"{directory}: no cluster there; start one: cluster.py start {directory}") from None
        self = cls(
            state["weed"], directory, state["address"], state["volume_mb"], state["volumes"], False, state["netns"]
        )
        self.ports = state["ports"]
        self.processes = {name: Process(*it) for name, it in state["processes"].items()}
        for name, (options, process) in state["mounts"].items():
            self.mounts[name] = Mount(self, name, options, Process(*process) if process else None)
        return self

    # Processes.

    def spawn(self, argv, log):
        environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            # Configuration and scratch files are looked for and left here only.
            "HOME": os.path.join(self.directory, "etc"),
            "TMPDIR": os.path.join(self.directory, "tmp"),
            "LC_ALL": "C.UTF-8",
        }
        return Process.spawn(argv, log, os.path.join(self.directory, "etc"), environment)

    def _strays(self):
        """Processes in the working directory that only this cluster's have: what a test that was killed between start
        and save() did not write down."""
        found = []
        here = os.path.join(self.directory, "etc") if self.directory else None
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/cwd") == here and pid != os.getpid():
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
                    found.append(pid)
        return found

    def tail(self, log, lines=15):
        with contextlib.suppress(FileNotFoundError):
            with open(log, encoding="utf-8", errors="replace") as file:
                return "".join("    " + line for line in file.readlines()[-lines:])
        return ""

    def endpoint(self, server):
        """host:port of its HTTP side; the gRPC side is GRPC above."""
        return f"{self.address}:{self.ports[server]}"

    def _free_port(self):
        # Below the range that the kernel hands out, so that no connection takes it between here and weed's bind.
        for _ in range(200):
            port = random.randint(12000, 21999)
            if port in self.ports.values():
                continue
            try:
                for number in (port, port + GRPC):
                    with socket.socket() as probe:
                        probe.bind((self.address if self.netns is None else "127.0.0.1", number))
            except OSError:
                continue
            return port
        raise Failure(f"{self.address}: no free port found in 200 tries")

    def _server_argv(self, name):
        below = os.path.join(self.directory, "data", name)
        os.makedirs(below, exist_ok=True)
        argv = ["nsenter", "--net=" + self.netns, "--"] if self.netns else []
        argv += [
            self.weed,
            "-logtostderr=true",
            name,
            "-ip=" + self.address,
            "-ip.bind=" + self.address,
            f"-port={self.ports[name]}",
            f"-port.grpc={self.ports[name] + GRPC}",
        ]
        if name == "master":
            argv += ["-mdir=" + below, f"-volumeSizeLimitMB={self.volume_mb}", "-telemetry=false", "-peers=none"]
        elif name == "volume":
            argv += ["-dir=" + below, f"-max={self.volumes}", "-master=" + self.endpoint("master")]
            # Two seconds of goodbye instead of ten; and this disk is the machine's, so that a full one is not ours to
            # notice by turning read-only at 1 %.
            argv += ["-preStopSeconds=0", "-minFreeSpace=512MiB"]
        else:
            argv += ["-defaultStoreDir=" + below, "-master=" + self.endpoint("master")]
            argv += ["-localSocket=" + os.path.join(self.directory, "run", "filer.sock")]
        return argv

    def _ask(self, server, path, seconds=5):
        """What it answers, parsed where it is JSON; None where it does not answer or says an error."""
        url = f"http://{self.endpoint(server)}{path}"
        request = urllib.request.Request(url, headers={"Accept": "application/json"})
        try:
            with _http.open(request, timeout=seconds) as answer:
                body = answer.read()
        except (OSError, urllib.error.URLError, http.client.HTTPException):
            return None
        try:
            return json.loads(body)
        except ValueError:
            return body

    def _ready(self, name):
        if not self.processes[name].alive():
            raise Failure(f"{name}: weed ended while it started\n{self.tail(self.server_log(name))}")
        if name == "master":
            state = self._ask("master", "/cluster/status")
            return isinstance(state, dict) and state.get("IsLeader")
        if name == "volume":
            state = self._ask("master", "/dir/status")
            return isinstance(state, dict) and self.endpoint("volume") in json.dumps(state)
        return self._ask("filer", "/?limit=1") is not None

    def server_log(self, name):
        return os.path.join(self.directory, "log", name)

    def start_server(self, name):
        """name is one of SERVERS. Returns when it answers and, for the volume server, when the master has seen it."""
        if name in self.processes and self.processes[name].alive():
            raise Failure(f"{name}: runs already, pid {self.processes[name].pid}")
        self.processes[name] = self.spawn(self._server_argv(name), self.server_log(name))
        self.save()
        try:
            wait_until(f"{name} answers", lambda: self._ready(name), READY_SECONDS, 0.05)
        except Failure as failure:
            raise Failure(f"{failure}; {self.processes[name].doing()}\n{self.tail(self.server_log(name))}") from None

    def stop_server(self, name, kill=False):
        """Its data stay, so that start_server(name) goes on with them."""
        process = self.processes.pop(name)
        if kill:
            process.kill()
        else:
            process.end()
        self.save()

    def start(self):
        if self.directory is None:
            self.directory = tempfile.mkdtemp(prefix="bivy-seaweedfs-")
        for name in ("etc", "tmp", "run", "log", "data", "cache", "mnt"):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        os.chmod(self.directory, 0o711)
        # One volume at a time for each collection, instead of seven.
        with open(os.path.join(self.directory, "etc", "master.toml"), "w", encoding="ascii") as file:
            file.write("[master.volume_growth]\ncopy_1 = 1\ncopy_2 = 1\ncopy_3 = 1\ncopy_other = 1\n")
        for name in SERVERS:
            if name not in self.ports:
                self.ports[name] = self._free_port()
        self.save()
        if self.watched:
            argv = [sys.executable, os.path.abspath(__file__), "watch", self.directory, str(os.getpid())]
            self.watchdog = self.spawn(argv, os.path.join(self.directory, "log", "watchdog"))
        for name in SERVERS:
            self.start_server(name)
        # The master hands out a place for a file only when a volume is writable.
        wait_until(
            "a writable volume",
            lambda: "fid" in (self._ask("master", "/dir/assign") or {}),
            READY_SECONDS,
            0.05,
        )
        return self

    def stop(self):
        """Mounts first, then filer, volume server, master, then the directory.

        The servers get SIGKILL: their data go anyway, and a filer takes 10 s to say goodbye."""
        left = []
        if self.watchdog is not None:
            self.watchdog.kill()
            self.watchdog = None
        for mount in list(self.mounts.values()):
            try:
                mount.stop()
                del self.mounts[mount.name]
            except (Failure, OSError, subprocess.CalledProcessError) as failure:
                left.append(str(failure))
        for name in reversed(SERVERS):
            if name in self.processes:
                try:
                    self.processes[name].kill()
                    del self.processes[name]
                except Failure as failure:
                    left.append(f"{name}: {failure}")
        for pid in self._strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until("every process of the cluster gone", lambda: not self._strays(), END_SECONDS)
        _reap_abandoned()
        if self.directory and os.path.isdir(self.directory):
            # Never walk into a mount: what is there is not ours to delete.
            below = self.directory + "/"
            inside = [mount["path"] for mount in mounts() if mount["path"].startswith(below)]
            if inside:
                left.append("still mounted: " + ", ".join(inside))
            elif not left:
                shutil.rmtree(self.directory)
        if left:
            raise Failure("left behind: " + "; ".join(left))

    # What a test does with it.

    def add_mount(
        self,
        name,
        *,
        allow_others=True,
        default_permissions=True,
        umask="022",
        map_uid="",
        map_gid="",
        read_only=False,
        filer_path="/",
        cache_dir="",
        cache_mb=64,
        write_buffer_mb=256,
        collection="",
        quota_mb=0,
        writeback=False,
        netns="",
        extra=(),
    ):
        """Starts a mount; its path is .path. map_uid and map_gid are LOCAL:FILER as weed takes them, cache_dir a
        directory other than its own below the cluster's, netns the path of a network namespace, extra further
        arguments."""
        options = {key: value for key, value in locals().items() if key not in ("self", "name")}
        options["extra"] = list(extra)
        if name in self.mounts:
            raise Failure(f"mount {name}: there is one of that name already")
        self.mounts[name] = Mount(self, name, options)
        return self.mounts[name].start()

    def remove_mount(self, name):
        self.mounts[name].stop()
        del self.mounts[name]
        self.save()

    def shell(self, *commands, seconds=60):
        """Runs commands in `weed shell`; gives what they printed. Raises Failure where the shell itself fails."""
        argv = ["nsenter", "--net=" + self.netns, "--"] if self.netns else []
        argv += [self.weed, "shell", "-master=" + self.endpoint("master"), "-filer=" + self.endpoint("filer")]
        try:
            done = subprocess.run(
                argv,
                input="".join(command + "\n" for command in commands) + "exit\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=os.path.join(self.directory, "etc"),
                env={**os.environ, "HOME": os.path.join(self.directory, "etc"), "TMPDIR": self.directory + "/tmp"},
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"weed shell: no end after {seconds} s of: {'; '.join(commands)}") from None
        if done.returncode:
            raise Failure(f"weed shell: status {done.returncode}\n{done.stdout}")
        return done.stdout

    def entry(self, path):
        """The filer's own record of one path, or None: name, mode (as st_mode has it), uid, gid, size, directory,
        target (of a symbolic link), chunks, inline (bytes kept in the filer itself), and raw, all that it says."""
        raw = self._ask("filer", urllib.parse.quote(path) + "?metadata=true")
        if not isinstance(raw, dict) or "FullPath" not in raw:
            return None
        mode = raw.get("Mode", 0)
        content = raw.get("Content")
        chunks = raw.get("chunks") or []
        return {
            "name": os.path.basename(raw["FullPath"]),
            "mode": mode & 0o7777,
            "directory": bool(mode & (1 << 31)),
            "uid": raw.get("Uid", 0),
            "gid": raw.get("Gid", 0),
            "size": max([raw.get("FileSize", 0), *(it.get("offset", 0) + it.get("size", 0) for it in chunks)]),
            "target": raw.get("SymlinkTarget", ""),
            "chunks": len(chunks),
            "inline": len(content) if content else 0,
            "raw": raw,
        }

    def content(self, path, seconds=30):
        """The bytes of a file as the filer serves them by HTTP, no mount between; None where it has none."""
        try:
            with _http.open(f"http://{self.endpoint('filer')}{urllib.parse.quote(path)}", timeout=seconds) as answer:
                return answer.read()
        except (OSError, urllib.error.URLError, http.client.HTTPException):
            return None

    def listing(self, path, limit=100000):
        """The names in a directory, as the filer has them."""
        raw = self._ask("filer", urllib.parse.quote(path.rstrip("/") + "/") + f"?limit={limit}", 30)
        if not isinstance(raw, dict):
            return None
        return sorted(os.path.basename(it["FullPath"]) for it in raw.get("Entries") or [])

    def all_processes(self):
        found = dict(self.processes)
        for name, mount in self.mounts.items():
            if mount.process is not None:
                found["mount " + name] = mount.process
        return found

    def memory(self):
        """For each process that lives, (kB now, kB at most)."""
        return {name: it.memory() for name, it in self.all_processes().items() if it.alive()}


def _add_mount_options(parser):
    parser.add_argument("--no-allow-others", dest="allow_others", action="store_false")
    parser.add_argument("--no-default-permissions", dest="default_permissions", action="store_false")
    parser.add_argument("--umask", default="022")
    parser.add_argument("--map-uid", default="", metavar="LOCAL:FILER")
    parser.add_argument("--map-gid", default="", metavar="LOCAL:FILER")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--filer-path", default="/", metavar="PATH", help="what of the filer's tree is mounted")
    parser.add_argument("--cache-dir", default="", metavar="DIR")
    parser.add_argument("--cache-mb", type=int, default=64, metavar="N")
    parser.add_argument("--write-buffer-mb", type=int, default=256, metavar="N")
    parser.add_argument("--collection", default="", metavar="NAME", help="where its files go")
    parser.add_argument("--quota-mb", type=int, default=0, metavar="N", help="quota of that collection")
    parser.add_argument("--writeback", action="store_true", help="weed's -writebackCache")
    parser.add_argument("--netns", default="", metavar="FILE", help="network namespace that it runs in")
    parser.add_argument("extra", nargs="*", help="further arguments of weed mount, after --")


def _parser():
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("directory", metavar="DIR")
        return sub

    sub = command("start", "start master, volume server and filer in DIR, which it makes")
    sub.add_argument("--weed", default=os.environ.get("BIVY_WEED", ""), help="default $BIVY_WEED")
    sub.add_argument("--address", default="127.0.0.1")
    sub.add_argument("--volume-mb", type=int, default=64, metavar="N")
    sub.add_argument("--volumes", type=int, default=32, metavar="N")
    sub.add_argument("--netns", default=None, metavar="FILE")
    sub = command("mount", "start a mount and print its path")
    sub.add_argument("name")
    _add_mount_options(sub)
    sub = command("umount", "unmount it and end its daemon")
    sub.add_argument("name")
    sub = command("signal", "send a signal to master, volume, filer or a mount's daemon")
    sub.add_argument("name")
    sub.add_argument("signal", help="KILL, STOP, CONT, ...")
    sub = command("server-stop", "end one server; its data stay")
    sub.add_argument("name", choices=SERVERS)
    sub.add_argument("--kill", action="store_true", help="SIGKILL")
    sub = command("server-start", "start it again on its data")
    sub.add_argument("name", choices=SERVERS)
    sub = command("quota", "set the quota of a mount's collection, in MiB; 0 takes it away")
    sub.add_argument("name")
    sub.add_argument("mb", type=int)
    sub = command("shell", "run commands in weed shell")
    sub.add_argument("commands", nargs="+", metavar="LINE")
    sub = command("stat", "print what the filer says of a path, as JSON")
    sub.add_argument("path")
    sub = command("list", "print the names in a directory of the filer")
    sub.add_argument("path")
    command("status", "print processes, memory and mounts")
    command("stop", "unmount and end all, and remove DIR")
    sub = command("watch", "stop as soon as process PID exits (a test's watchdog)")
    sub.add_argument("pid", type=int)
    return parser


def _start(args):
    if not args.weed:
        raise Failure("no weed given: --weed FILE or BIVY_WEED; scripts/install-seaweedfs prints one")
    if os.path.exists(args.directory) and (not os.path.isdir(args.directory) or os.listdir(args.directory)):
        raise Failure(f"{args.directory}: exists and is not empty; stop removes the directory, so give one of its own")
    os.makedirs(args.directory, mode=0o711, exist_ok=True)
    cluster = Cluster(
        args.weed, args.directory, args.address, args.volume_mb, args.volumes, watched=False, netns=args.netns
    )
    with contextlib.ExitStack() as undo:
        undo.callback(cluster.stop)
        cluster.start()
        undo.pop_all()
    print(cluster.directory)


def _status(cluster):
    for name, process in cluster.all_processes().items():
        if process.alive():
            now, peak = process.memory()
            print(f"{name}: pid {process.pid}, state {process.state()}, {now} kB now, {peak} kB at most")
        else:
            print(f"{name}: pid {process.pid}, ended")
    for name, mount in cluster.mounts.items():
        info = mount.info()
        print(f"mount {name}: {mount.path}: {info['options'] + ' ' + info['super'] if info else 'not mounted'}")


def _watch(args):
    seen = Process._stat(args.pid)
    process = Process(args.pid, seen[1] if seen else -1)
    while not process.exiting():
        time.sleep(0.1)
    # Only now: what the test had started last is in the state file.
    Cluster.load(args.directory).stop()


def _session(args):
    if args.command == "watch":
        _watch(args)
        return
    cluster = Cluster.load(args.directory)
    if args.command == "mount":
        known = ("command", "directory", "name")
        options = {key: value for key, value in vars(args).items() if key not in known}
        print(cluster.add_mount(args.name, **options).path)
    elif args.command in ("umount", "quota") and args.name not in cluster.mounts:
        raise Failure(f"{args.name}: no mount of that name; there are: {', '.join(cluster.mounts) or 'none'}")
    elif args.command == "umount":
        cluster.remove_mount(args.name)
    elif args.command == "quota":
        cluster.mounts[args.name].set_quota(args.mb)
    elif args.command == "signal":
        everyone = cluster.all_processes()
        process = everyone.get(args.name) or everyone.get("mount " + args.name)
        if process is None:
            raise Failure(f"{args.name}: no such process; there are: {', '.join(everyone)}")
        process.signal(signal.Signals["SIG" + args.signal.upper().removeprefix("SIG")])
    elif args.command == "server-stop":
        if args.name not in cluster.processes:
            raise Failure(f"{args.name}: does not run")
        cluster.stop_server(args.name, args.kill)
    elif args.command == "server-start":
        cluster.start_server(args.name)
    elif args.command == "shell":
        print(cluster.shell(*args.commands), end="")
    elif args.command == "stat":
        print(json.dumps(cluster.entry(args.path), indent=1))
    elif args.command == "list":
        names = cluster.listing(args.path)
        if names is None:
            raise Failure(f"{args.path}: no such directory on the filer, or it does not answer")
        print("".join(name + "\n" for name in names), end="")
    elif args.command == "status":
        _status(cluster)
    else:
        cluster.stop()


def main():
    args = _parser().parse_args()
    try:
        (_start if args.command == "start" else _session)(args)
    except (Failure, OSError, subprocess.CalledProcessError) as failure:
        print(f"cluster.py: {args.command}: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
