# SPDX-License-Identifier: Apache-2.0
"""Every driver that the README names carries packets between us and the kernel.

net_echo (dataplane/port and dataplane/net, nothing else) sits at one end of a link; the
kernel of a network namespace sits at the other. Each test makes its own namespaces and
removes them.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PORTCULLIS_BUILD", os.path.join(ROOT, "build"))
NET_ECHO = os.path.join(BUILD, "tests", "unit", "dataplane", "net_echo")
READY_SECONDS = 30
# For builds with AddressSanitizer: what a driver leaks is not ours.
SUPPRESSIONS = os.path.join(ROOT, "tests", "e2e", "lsan_drivers.supp")
ENVIRONMENT = {**os.environ, "LSAN_OPTIONS": f"suppressions={SUPPRESSIONS}:print_suppressions=0"}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
    pytest.mark.skipif(not os.path.exists(NET_ECHO), reason=f"no {NET_ECHO}"),
]


# --- a plain ping, run inside a namespace: `test_drivers.py ping ADDRESS COUNT SIZE` ------


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(ip6, ident, number, payload):
    """The kernel fills in the checksum of ICMPv6."""
    body = struct.pack("!HH", ident, number) + payload
    if ip6:
        return struct.pack("!BBH", 128, 0, 0) + body
    return struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body)) + body


def ping_here(address, count, size):
    ip6 = ":" in address
    family = socket.AF_INET6 if ip6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if ip6 else socket.IPPROTO_ICMP
    ident, payload = os.getpid() & 0xFFFF, (bytes(range(256)) * 8)[:size]
    answered, sent = set(), 0
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        sock.settimeout(0.01)
        target = socket.getaddrinfo(address, None)[0][4]
        deadline = time.monotonic() + 5 + count * 0.01
        while len(answered) < count and time.monotonic() < deadline:
            if sent < count:
                sock.sendto(echo_request(ip6, ident, sent, payload), target)
                sent += 1
            try:
                message = sock.recv(65536)
            except socket.timeout:
                continue
            if not ip6:
                message = message[(message[0] & 15) * 4 :]
            kind, _, _, number = message[0], message[1], message[4:6], message[6:8]
            if (
                kind == (129 if ip6 else 0)
                and message[4:6] == struct.pack("!H", ident)
                and message[8:] == payload
            ):
                answered.add(number)
    return len(answered)


def arp_here(interface, sender, target, vlan):
    """Asks for an address in a VLAN; the VLAN that the answer came in, or None."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as sock:
        sock.bind((interface, 0))
        sock.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        sock.settimeout(0.05)
        mac = sock.getsockname()[4]
        frame = b"\xff" * 6 + mac + struct.pack("!HHH", 0x8100, vlan, 0x0806)
        frame += struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(sender)
        frame += bytes(6) + socket.inet_aton(target)
        for _ in range(20):
            sock.send(frame)
            try:
                answer, aux, _, _ = sock.recvmsg(2048, 256)
            except socket.timeout:
                continue
            if answer[12:14] == b"\x81\x00":
                tag, answer = answer[14:16], answer[:12] + answer[16:]
            elif aux:
                tag = struct.pack("!H", struct.unpack("IIIHHHH", aux[0][2])[5])
            if answer[12:14] == b"\x08\x06" and answer[20:22] == b"\0\2":
                return struct.unpack("!H", tag)[0] & 0xFFF
    return None


# --- namespaces ----------------------------------------------------------------------------


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


class Namespace:
    def __init__(self, label):
        self.name = f"pc-drv-{os.getpid()}-{label}"
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")

    def run(self, *command, check=True):
        return run("ip", "netns", "exec", self.name, *command, check=check)

    def ping(self, address, count=50, size=56):
        out = self.run(sys.executable, os.path.abspath(__file__), "ping", address, str(count),
                       str(size))
        return int(out)

    def addresses(self, interface, *addresses):
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.run("ip", "addr", "add", address, "dev", interface, *nodad)
        self.run("ip", "link", "set", interface, "up")

    def silent(self, interface):
        """Up, but the kernel has nothing to say on it."""
        self.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
        self.run("ip", "link", "set", interface, "up")

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)


@contextlib.contextmanager
def namespaces(*labels):
    made = []
    try:
        for label in labels:
            made.append(Namespace(label))
        yield made
    finally:
        for namespace in made:
            namespace.delete()


def veth(a, a_name, b, b_name, queues=1):
    number = ["numtxqueues", str(queues), "numrxqueues", str(queues)]
    run("ip", "link", "add", a_name, "netns", a.name, *number, "type", "veth",
        "peer", "name", b_name, "netns", b.name, *number)


def no_offloads(namespace, interface):
    namespace.run("ethtool", "-K", interface, "tx", "off", "gso", "off", "gro", "off", "tso",
                  "off")


class NetEcho:
    """A running net_echo; `report` has its counters after stop()."""

    def __init__(self, namespace, *arguments):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace.name, NET_ECHO, *arguments], env=ENVIRONMENT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.report = ""

    def wait_ready(self):
        # The first line is "ready"; if the process dies instead, the line is empty.
        timer = signal.signal(signal.SIGALRM, lambda *_: self.process.kill())
        signal.alarm(READY_SECONDS)
        line = self.process.stdout.readline()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, timer)
        if line.strip() != "ready":
            self.process.kill()
            raise AssertionError(f"net_echo: {self.process.communicate()[1]}")
        return self

    def finish(self, timeout=30):
        """Waits for the end of its own accord."""
        self.report, errors = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, self.report + errors
        return self

    def stop(self):
        return self.finish()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def counter(self, name):
        return sum(int(n) for n in re.findall(rf"\b{name} (\d+)", self.report))


@contextlib.contextmanager
def net_echo(namespace, *arguments, ready=True):
    echo = NetEcho(namespace, *arguments)
    try:
        yield echo.wait_ready() if ready else echo
    finally:
        echo.kill()


OURS = "10.9.0.2/24,fd09::2/64"
KERNEL = ["10.9.0.1/24", "fd09::1/64"]


def assert_pings(host):
    assert host.ping("10.9.0.2") == 50
    assert host.ping("fd09::2") == 50
    assert host.ping("10.9.0.2", count=10, size=1472) == 10
    assert host.ping("fd09::2", count=10, size=1452) == 10


@contextlib.contextmanager
def host_and_gateway(queues=1):
    with namespaces("host", "gate") as (host, gate):
        veth(host, "eth0", gate, "gate0", queues)
        host.addresses("eth0", *KERNEL)
        gate.silent("gate0")
        no_offloads(host, "eth0")
        yield host, gate


# --- the drivers -----------------------------------------------------------------------------


def test_af_packet():
    with host_and_gateway() as (host, gate):
        with net_echo(gate, "--port", "net_af_packet0,iface=gate0", OURS) as echo:
            assert_pings(host)
            echo.stop()
    assert echo.counter("echo_in") == 120
    assert echo.counter("tx_dropped") == 0
    assert "buffers in use 0" in echo.report


def test_af_packet_with_two_queues():
    """The number of queues is added to the device's arguments; what one queue hears of
    neighbours reaches the other."""
    with host_and_gateway() as (host, gate):
        with net_echo(gate, "--queues", "2", "--port", "net_af_packet0,iface=gate0",
                      OURS) as echo:
            assert_pings(host)
            echo.stop()
    assert echo.counter("echo_in") == 120


def test_af_xdp():
    with host_and_gateway() as (host, gate):
        with net_echo(gate, "--port", "net_af_xdp0,iface=gate0", OURS) as echo:
            assert_pings(host)
            echo.stop()
    assert echo.counter("echo_in") == 120
    assert echo.counter("tx_dropped") == 0


def test_tap():
    with namespaces("tap") as (host,):
        with net_echo(host, "--port", "net_tap0,iface=dtap0", OURS) as echo:
            host.addresses("dtap0", *KERNEL)
            assert_pings(host)
            echo.stop()
    assert echo.counter("echo_in") == 120
    assert "buffers in use 0" in echo.report


def test_memif_between_two_processes(tmp_path):
    device = f"net_memif0,socket={tmp_path}/memif.sock,socket-abstract=no"
    with namespaces("memif") as (here,):
        with net_echo(here, "--port", f"{device},role=server", OURS) as server:
            for target in ("10.9.0.2", "fd09::2"):
                with net_echo(here, "--ping", target, "--count", "50", "--port",
                              f"{device},role=client", ",".join(KERNEL)) as client:
                    client.finish()
                    assert "pings 50 answers 50" in client.report
            server.stop()
    assert server.counter("echo_in") == 100


@pytest.mark.parametrize("driver, copied", [("net_af_packet0", False), ("net_af_xdp0", True)])
def test_chains_of_buffers_reach_the_kernel(driver, copied):
    """net_af_xdp takes one buffer to a frame: there the frame is copied, and counted."""
    with host_and_gateway() as (_, gate):
        for target in ("10.9.0.1", "fd09::1"):
            with net_echo(gate, "--ping", target, "--count", "20", "--port",
                          f"{driver},iface=gate0", OURS) as echo:
                echo.finish()
                assert "pings 20 answers 20" in echo.report
                assert (echo.counter("tx_copied_bytes") > 0) == copied


def test_vlan():
    """A kernel without 802.1Q still moves tags between frames and their metadata."""
    with host_and_gateway() as (host, gate):
        with net_echo(gate, "--vlan", "42", "--port", "net_af_packet0,iface=gate0",
                      OURS) as echo:
            answers = host.run(sys.executable, os.path.abspath(__file__), "arp", "eth0",
                               "10.9.0.1", "10.9.0.2", "42", "43")
            echo.stop()
    assert answers.split() == ["42", "none"]
    assert echo.counter("wrong_vlan") >= 1


def test_mtu_is_set_on_the_interface():
    with host_and_gateway() as (host, gate):
        with net_echo(gate, "--mtu", "1400", "--port", "net_af_packet0,iface=gate0",
                      OURS) as echo:
            assert " mtu 1400 " in gate.run("ip", "link", "show", "gate0")
            assert host.ping("10.9.0.2", count=5, size=1372) == 5
            echo.stop()


def test_mtu_that_the_driver_refuses_is_said():
    with host_and_gateway() as (_, gate):
        with net_echo(gate, "--mtu", "9000", "--port", "net_af_packet0,iface=gate0", OURS,
                      ready=False) as echo:
            _, errors = echo.process.communicate(timeout=30)
    assert echo.process.returncode == 1
    assert "MTU of 9000" in errors


def test_too_few_queues_are_said():
    with host_and_gateway() as (_, gate):
        with net_echo(gate, "--queues", "2", "--port", "net_af_packet0,iface=gate0,qpairs=1",
                      OURS, ready=False) as echo:
            _, errors = echo.process.communicate(timeout=30)
    assert echo.process.returncode == 1
    assert "2 workers need 2 each" in errors


# --- routing between two kernels -----------------------------------------------------------------

SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], 7), family=socket.AF_INET6 if ":" in sys.argv[1]
                         else socket.AF_INET)
print("ready", flush=True)
c, _ = s.accept()
while data := c.recv(65536):
    c.sendall(data)
"""

CLIENT = """
import os, socket, sys
c = socket.create_connection((sys.argv[1], 7), timeout=20)
data, back = os.urandom(200000), b""
for i in range(0, len(data), 20000):
    c.sendall(data[i:i + 20000])
    while len(back) < i + 20000:
        back += c.recv(65536)
assert back == data
"""


@pytest.mark.parametrize("driver", ["net_af_packet", "net_af_xdp"])
@pytest.mark.parametrize("address", ["10.8.0.1", "fd08::1"])
def test_tcp_is_routed_on_with_checksums_left_to_a_device(driver, address):
    """Nobody said `ethtool -K ... tx off`: the checksums of what the kernels send are
    partial, and we complete them."""
    with namespaces("left", "gate", "right") as (left, gate, right):
        veth(left, "eth0", gate, "gate0")
        veth(right, "eth0", gate, "gate1")
        for host, net in ((left, 9), (right, 8)):
            host.addresses("eth0", f"10.{net}.0.1/24", f"fd0{net}::1/64")
            host.run("ethtool", "-K", "eth0", "gso", "off", "gro", "off", "tso", "off")
            host.run("ip", "route", "add", "default", "via", f"10.{net}.0.2")
            host.run("ip", "-6", "route", "add", "default", "via", f"fd0{net}::2")
        gate.silent("gate0")
        gate.silent("gate1")
        with net_echo(gate, "--port", f"{driver}0,iface=gate0", OURS, "--port",
                      f"{driver}1,iface=gate1", "10.8.0.2/24,fd08::2/64") as echo:
            server = subprocess.Popen(
                ["ip", "netns", "exec", right.name, sys.executable, "-c", SERVER, address],
                stdout=subprocess.PIPE, text=True)
            try:
                assert server.stdout.readline().strip() == "ready"
                left.run(sys.executable, "-c", CLIENT, address)
            finally:
                server.kill()
                server.communicate()
            echo.stop()
    assert echo.counter("bad_l4_checksum") == 0
    assert echo.counter("forwarded") > 100


if __name__ == "__main__" and sys.argv[1:2] == ["ping"]:
    print(ping_here(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
if __name__ == "__main__" and sys.argv[1:2] == ["arp"]:
    for tag in sys.argv[5:]:
        print(arp_here(*sys.argv[2:5], int(tag)) or "none")
