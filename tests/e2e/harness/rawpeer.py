# SPDX-License-Identifier: Apache-2.0
"""A peer that writes its own packets, from an address that the kernel does not have, so that
nobody else answers. It speaks just enough ARP and TCP to get into a connection."""

import logging
import socket
import struct
import time

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.layers.inet import IP, TCP  # noqa: E402
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment  # noqa: E402, F401
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.utils import checksum  # noqa: E402

ETH_P_ALL = 3
MAC = "02:00:00:00:77:77"


class RawPeer:
    """On `interface` of `space`, with the next hop `gateway`."""

    def __init__(self, space, address, gateway, interface="eth0"):
        self.address, self.gateway = address, gateway
        with space:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                        socket.htons(ETH_P_ALL))
            self.socket.bind((interface, ETH_P_ALL))
        self.gateway_mac = None
        self.gateway_mac = self._resolve()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _resolve(self):
        request = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(
            op=1, hwsrc=MAC, psrc=self.address, pdst=self.gateway)
        for _ in range(5):
            self.socket.send(bytes(request))
            for frame in self.frames(0.5):
                if ARP in frame and frame[ARP].op == 2 and frame[ARP].psrc == self.gateway:
                    return frame[ARP].hwsrc
        raise AssertionError(f"{self.gateway} does not answer ARP")

    def frames(self, timeout):
        """Frames that arrive within `timeout` seconds; questions for our address are answered."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return
            frame = Ether(data)
            if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == self.address \
                    and frame.src != MAC:
                self.socket.send(bytes(Ether(src=MAC, dst=frame.src) / ARP(
                    op=2, hwsrc=MAC, psrc=self.address, hwdst=frame.src, pdst=frame[ARP].psrc)))
                continue
            yield frame

    def send_frame(self, data, kind=0x0800):
        """Any bytes behind an Ethernet header, of IPv4 unless another type is given."""
        self.socket.send(bytes(Ether(src=MAC, dst=self.gateway_mac, type=kind)) + bytes(data))

    def send(self, packet):
        self.send_frame(bytes(packet))

    def send_tcp(self, target, segment):
        """A segment as it stands but for its checksum, which is made right."""
        pseudo = socket.inet_aton(self.address) + socket.inet_aton(target) + \
            struct.pack("!BBH", 0, 6, len(segment))
        right = struct.pack("!H", checksum(pseudo + segment))
        self.send(self.ip(target, proto=6) / (segment[:16] + right + segment[18:]))

    def ip(self, target, **fields):
        return IP(src=self.address, dst=target, **fields)

    def receive_tcp(self, port, timeout=2.0, wanted=lambda tcp: True):
        """The next segment to `port` that is wanted, or None."""
        for frame in self.frames(timeout):
            if TCP in frame and frame[IP].dst == self.address and frame[TCP].dport == port \
                    and wanted(frame[TCP]):
                return frame[TCP]
        return None


class RawConnection:
    """A TCP connection whose every segment the test writes."""

    def __init__(self, peer, target, port, source_port, options=()):
        self.peer, self.target, self.port, self.source_port = peer, target, port, source_port
        self.isn = 1_000_000
        self.received = b""
        peer.send(self._segment("S", 0, options=list(options)))
        answer = peer.receive_tcp(source_port, wanted=lambda tcp: tcp.flags & 0x12 == 0x12)
        assert answer is not None, "the SYN was not answered"
        assert answer.ack == self.isn + 1
        self.rcv_nxt = answer.seq + 1
        self.acknowledged = 0
        peer.send(self._segment("A", 1))

    def _segment(self, flags, offset, data=b"", options=()):
        return self.peer.ip(self.target) / TCP(
            sport=self.source_port, dport=self.port, flags=flags,
            seq=(self.isn + offset) & 0xffffffff, ack=getattr(self, "rcv_nxt", 0), window=65535,
            options=list(options)) / data

    def send(self, offset, data, flags="PA"):
        """`data` at `offset` bytes into the stream."""
        self.peer.send(self._segment(flags, 1 + offset, data))

    def receive(self, length, timeout=5.0):
        """In-order bytes, acknowledged as they come, until there are `length`."""
        deadline = time.monotonic() + timeout
        while len(self.received) < length and time.monotonic() < deadline:
            tcp = self.peer.receive_tcp(self.source_port, 0.3)
            if tcp is None:
                continue
            assert not tcp.flags.R, "the connection was reset"
            self.acknowledged = (tcp.ack - self.isn - 1) & 0xffffffff
            data = bytes(tcp.payload)
            if data and tcp.seq == self.rcv_nxt:
                self.received += data
                self.rcv_nxt = (self.rcv_nxt + len(data)) & 0xffffffff
                self.peer.send(self._segment("A", 1 + self.acknowledged))
        return self.received

    def reset(self, offset):
        self.peer.send(self._segment("RA", 1 + offset))
