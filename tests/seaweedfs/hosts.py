"""Hosts of a cluster on one machine: each a network namespace with an address and a link of its own, a mount namespace
that shows only its own weed mount, and a cgroup parent of its own for its bivy.

Nothing but a host's link joins it with the servers, which listen on ADDRESS in the namespace of the test. A host ends
with the test, since its namespaces live as long as a process that reads the test's pipe."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import support  # noqa: E402  the modules beside this file
from support import the  # noqa: E402

ADDRESS = "10.77.0.1"


def ip(*words, prefix=()):
    subprocess.run([*prefix, "ip", *words], check=True)


def servers():
    """The address of the servers, in this namespace."""
    ip("address", "add", ADDRESS + "/32", "dev", "lo")


def _hold(*prefix):
    """A process that only keeps its namespaces alive, until this one ends or lets go. cat answers when it is in."""
    holder = subprocess.Popen([*prefix, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write(b"x")
    holder.stdin.flush()
    if holder.stdout.read(1) != b"x":
        raise the.Failure(f"no namespace: {' '.join(prefix)} ended with {holder.wait()}")
    return holder


def _let_go(holder):
    holder.stdin.close()
    holder.stdout.close()
    holder.wait()


class Host:
    """number: 1 to 200. Its mount has the name of the host."""

    def __init__(self, cluster, number, parent):
        self.cluster, self.number = cluster, number
        self.name, self.link = f"host{number}", f"link{number}"
        self.address, here = f"10.77.{number}.2", f"10.77.{number}.1"
        self.net = _hold("unshare", "--net")
        self.inside = ["nsenter", f"--net=/proc/{self.net.pid}/ns/net", "--"]
        self.holder = None
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self.net.pid))
        ip("address", "add", here + "/24", "dev", self.link)
        ip("link", "set", self.link, "up")
        ip("link", "set", "lo", "up", prefix=self.inside)
        ip("address", "add", self.address + "/24", "dev", "eth0", prefix=self.inside)
        self._route()
        self.mount = cluster.add_mount(self.name, netns=f"/proc/{self.net.pid}/ns/net")
        self.bivy = support.Bivy(parent + "-" + self.name, self.mount.path).make()

    def _route(self):
        ip("link", "set", "eth0", "up", prefix=self.inside)
        ip("route", "replace", "default", "via", f"10.77.{self.number}.1", prefix=self.inside)

    def enter(self):
        """Its own mount namespace, from which the mounts of other hosts are taken away. Once they are all up."""
        self.holder = _hold(*self.inside, "unshare", "--mount", "--propagation", "private", "--")
        prefix = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--"]
        for other in self.cluster.mounts.values():
            if other is not self.mount:
                subprocess.run([*prefix, "umount", "--lazy", other.path], check=True)
        self.bivy.prefix = prefix
        return self

    def cut(self):
        """The cable is pulled: what it sends is lost, and nobody tells it."""
        ip("link", "set", self.link, "down")

    def join(self):
        ip("link", "set", self.link, "up")
        self._route()

    def stop(self):
        """Before the mount goes: whoever is inside its mount namespace holds the mount."""
        self.bivy.remove()
        if self.holder:
            _let_go(self.holder)

    def end(self):
        """After it: the daemon needs its network to say goodbye."""
        _let_go(self.net)


def stop(cluster, all_hosts):
    """Hosts and cluster, in the order that lets each of them go."""
    for host in all_hosts:
        host.stop()
    cluster.stop()
    for host in all_hosts:
        host.end()
