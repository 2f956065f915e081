# SPDX-License-Identifier: Apache-2.0
"""A thousand connections of each kind leave the memory pools and the heap where they began."""

import concurrent.futures
import contextlib
import json
import time

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT

HEAP_SLACK = 32 * 1024  # bytes in a thousand connections: 33 of each would show
AT_ONCE = 8


class Kinds:
    """What one client of each kind does."""

    def __init__(self, mesh, work, services, certificates):
        self.mesh, self.work, self.services = mesh, work, services
        self.tls = pki.client_context(certificates.peer, alpn=["istio"])
        self.bad = pki.client_context(certificates.bad_clients["unknown_ca"],
                                      bundle=certificates.mesh.bundle)

    def _inbound(self, name, tls=None):
        sock = peers.connect(self.mesh, ADDRESS[name], TCP_PORT, CLIENT, tls, timeout=20)
        peers.exchange(sock, b"x" * 3000)
        sock.close()

    def inbound_plaintext(self):
        self._inbound("mixed")

    def inbound_mutual_tls(self):
        self._inbound("web", self.tls)

    def inbound_refused_plaintext(self):
        sock = peers.connect(self.mesh, ADDRESS["web"], TCP_PORT, CLIENT, timeout=20)
        sock.sendall(b"plaintext\n")
        peers.ending(sock, 20)
        sock.close()

    def inbound_refused_certificate(self):
        with contextlib.suppress(OSError):
            sock = peers.connect(self.mesh, ADDRESS["web"], TCP_PORT, CLIENT, self.bad,
                                 timeout=20)
            peers.ending(sock, 20)
            sock.close()

    def inbound_reset(self):
        sock = peers.connect(self.mesh, ADDRESS["web"], TCP_PORT, CLIENT, self.tls, timeout=20)
        sock.sendall(b"y" * 20_000)
        peers.reset(sock)

    def inbound_abandoned_handshake(self):
        sock = peers.connect(self.mesh, ADDRESS["web"], TCP_PORT, CLIENT, timeout=20)
        sock.sendall(bytes.fromhex("1603010200010001fc0303"))
        peers.reset(sock)

    def _outbound(self, name):
        sock = peers.connect(self.work, self.services[name].virtual, 80, ADDRESS["client"],
                             timeout=20)
        peers.exchange(sock, b"z" * 3000)
        sock.close()

    def outbound_plaintext(self):
        self._outbound("plain")

    def outbound_mutual_tls(self):
        self._outbound("auto")

    def outbound_refused_503(self):
        sock = peers.connect(self.work, self.services["refusedhttp"].virtual, 80,
                             ADDRESS["client"], timeout=20)
        assert peers.get(sock)[0] == 503
        sock.close()

    def outbound_san_mismatch(self):
        with contextlib.suppress(ConnectionError):
            sock = peers.connect(self.work, self.services["imposter"].virtual, 80,
                                 ADDRESS["client"], timeout=20)
            sock.sendall(b"hello\n")
            peers.ending(sock, 20)
            sock.close()


KINDS = [name for name in vars(Kinds) if not name.startswith("_")]


@pytest.fixture(scope="module")
def kinds(topology, shared, workloads, certificates):
    mesh_tls = pki.server_context(certificates.reviews, certificates.mesh.bundle, ["istio"])
    imposter = pki.server_context(certificates.imposter, certificates.mesh.bundle, ["istio"])
    servers = [(shared.services["plain"], None), (shared.services["auto"], mesh_tls),
               (shared.services["imposter"], imposter)]
    with contextlib.ExitStack() as stack:
        for service, tls in servers:
            stack.enter_context(
                peers.Server(topology.mesh, service.address, service.port, peers.echo, tls))
        yield Kinds(topology.mesh, topology.work, shared.services, certificates)


def several(kind, number, at_once=AT_ONCE):
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(kind) for _ in range(number)]:
            done.result(120)


def at_rest(gateway):
    """Statistics once no session lives and the numbers have stopped moving."""
    gateway.settle(lambda stats: stats["sessions"] == 0, what="the sessions to end")
    deadline, last = time.monotonic() + 15, None
    while time.monotonic() < deadline:
        stats = gateway.stats()
        now = {pool["name"]: pool["in_use"] for pool in stats["mempools"]}
        if now == last:
            return now, stats["heap_bytes"]
        last = now
        time.sleep(0.5)
    raise AssertionError(f"the pools do not come to rest: {json.dumps(now)}")


@pytest.mark.parametrize("name", KINDS)
def test_a_thousand_connections_leave_nothing(gateway, kinds, name):
    kind = getattr(kinds, name)
    several(kind, 300, 2 * AT_ONCE)  # caches and free lists reach their greatest size once
    pools, heap = at_rest(gateway)
    several(kind, 1000)
    pools_after, heap_after = at_rest(gateway)
    assert pools_after == pools
    assert heap_after - heap < HEAP_SLACK, f"the heap grew by {heap_after - heap} bytes"


@pytest.mark.core
def test_a_few_of_each_kind_leave_nothing(gateway, kinds):
    for name in KINDS:
        several(getattr(kinds, name), 5)
    pools, _ = at_rest(gateway)
    for name in KINDS:
        several(getattr(kinds, name), 10)
    assert at_rest(gateway)[0] == pools


def test_hundreds_at_once(gateway, mesh, workloads, certificates):
    tls = pki.client_context(certificates.peer, alpn=["istio"])
    before, _ = at_rest(gateway)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        opened = list(pool.map(lambda _: peers.connect(
            mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls, timeout=20), range(400)))
    assert gateway.settle(lambda stats: stats["sessions"] >= 400)["sessions"] == 400
    for sock in opened:
        peers.exchange(sock)
    for sock in opened:
        sock.close()
    assert at_rest(gateway)[0] == before
