# SPDX-License-Identifier: Apache-2.0
"""
Network namespaces, and the topology that the gateway stands in:

    mesh ─ eth0 ════ pc-mesh ─ gateway ─ pc-work ════ eth0 ─ work

A leg may run through a namespace `wire` in which `impair` loses, doubles and reorders frames.
The gateway's two ends have no address of the kernel's: the gateway itself answers there.
"""

import ctypes
import itertools
import os
import socket
import threading

from .process import Process, run

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_entered = threading.local()
_numbers = itertools.count()


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Namespace:
    """A network namespace. `with ns:` moves the calling thread into it, so that sockets made
    there belong to it for good, whoever uses them later."""

    def __init__(self, name):
        self.name = name
        run(["ip", "netns", "add", name])
        self.batch("link set lo up")

    def remove(self):
        run(["ip", "netns", "del", self.name], check=False)

    def batch(self, text):
        """Commands of ip(8), one a line."""
        run(["ip", "-n", self.name, "-batch", "-"], stdin=text + "\n")

    def sysctl(self, **values):
        """Sets keys of /proc/sys/net, slashes written as `__`."""
        with self:
            for key, value in values.items():
                with open("/proc/sys/net/" + key.replace("__", "/"), "w", encoding="ascii") as file:
                    file.write(str(value))

    def command(self, command):
        return ["ip", "netns", "exec", self.name, *command]

    def run(self, command, **options):
        return run(self.command(command), **options)

    def start(self, command, **options):
        """A Process in here: ip(8) executes the command in its own place, so that the pid is
        the program's."""
        return Process(self.command(command), name=os.path.basename(str(command[0])), **options)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        with self:
            return socket.socket(family, kind, protocol)

    def __enter__(self):
        stack = _entered.__dict__.setdefault("stack", [])
        stack.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(fd)
        except OSError:
            os.close(stack.pop())
            raise
        finally:
            os.close(fd)
        return self

    def __exit__(self, *_):
        fd = _entered.stack.pop()
        try:
            _setns(fd)
        finally:
            os.close(fd)


class Topology:
    """The namespaces with their links and addresses. `impaired` names legs ("mesh", "work")
    that run through an impairing forwarder; start_impairment() makes it forward."""

    GATEWAY = {"mesh": ("10.10.0.1/24", "fd00:10::1/64"),
               "work": ("10.20.0.1/24", "fd00:20::1/64")}
    MESH = ["10.10.0.%d/24" % n for n in (2, 3, *range(11, 20))] + \
           ["fd00:10::%d/64" % n for n in (2, 11, 12)]
    WORK = ["10.20.0.%d/24" % n for n in (*range(2, 11), 99)] + \
           ["fd00:20::%d/64" % n for n in (2, 3, 10, 99)]

    def __init__(self, impaired=(), vlan=None):
        self._spaces = []
        self._forwarders = []
        self.suffix = f"{os.getpid()}" + (f"-{n}" if (n := next(_numbers)) else "")
        try:
            self.gateway = self._space("gw")
            self.mesh = self._space("mesh")
            self.work = self._space("work")
            self.gateway.sysctl(ipv4__ip_forward=0, ipv6__conf__all__disable_ipv6=1,
                                ipv6__conf__default__disable_ipv6=1)
            self.wires = {leg: self._space(f"wire-{leg}") for leg in impaired}
            for leg, space in (("mesh", self.mesh), ("work", self.work)):
                self._cable(leg, space, vlan)
            self._addresses()
        except BaseException:
            self.close()
            raise

    def _space(self, role):
        space = Namespace(f"pc-{role}-{self.suffix}")
        self._spaces.append(space)
        return space

    def _cable(self, leg, space, vlan):
        wire = self.wires.get(leg)
        if wire:
            wire.sysctl(ipv6__conf__default__disable_ipv6=1, ipv6__conf__all__disable_ipv6=1)
            self._veth(space, "eth0", wire, "outer")
            self._veth(wire, "inner", self.gateway, f"pc-{leg}")
        else:
            self._veth(space, "eth0", self.gateway, f"pc-{leg}")

    @staticmethod
    def _veth(left, left_name, right, right_name):
        run(["ip", "link", "add", left_name, "netns", left.name, "type", "veth",
             "peer", "name", right_name, "netns", right.name])
        for space, name in ((left, left_name), (right, right_name)):
            # What arrives must be what was on a wire: whole checksums, frames of at most the MTU.
            space.run(["ethtool", "-K", name, *"tx off gso off tso off gro off".split()])
            space.batch(f"link set {name} up")

    def _addresses(self):
        for leg, space, own, beyond in (
                ("mesh", self.mesh, self.MESH, ("10.20.0.0/24", "fd00:20::/64")),
                ("work", self.work, self.WORK, ("0.0.0.0/0", "::/0"))):
            space.sysctl(ipv4__ip_forward=0, ipv6__conf__eth0__accept_dad=0,
                         ipv6__conf__eth0__accept_ra=0, ipv4__tcp_fin_timeout=5)
            hops = [address.split("/")[0] for address in self.GATEWAY[leg]]
            space.batch("\n".join(
                [f"address add {a} dev eth0" + (" nodad" if ":" in a else "") for a in own]
                + [f"route add {to} via {hop}" for to, hop in zip(beyond, hops)]))

    def start_impairment(self, program, **options):
        """Lets the wires forward, worse than they were given: loss=1 is one percent."""
        arguments = [f"--{key}={value}" for key, value in options.items()]
        for wire in self.wires.values():
            forwarder = wire.start([program, *arguments, "outer", "inner"])
            self._forwarders.append(forwarder)
            forwarder.wait_line("ready")
        return self._forwarders

    def close(self):
        for forwarder in self._forwarders:
            forwarder.stop()
        for space in reversed(self._spaces):
            space.remove()
        self._spaces = []
        self._forwarders = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
