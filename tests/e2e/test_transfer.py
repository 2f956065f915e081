# SPDX-License-Identifier: Apache-2.0
"""Large transfers both ways at once, over a good cable and over bad ones."""

import threading
import time

import pytest

from harness import netns, peers, pki, scenario
from harness.gateway import Gateway
from harness.scenario import ADDRESS, CLIENT

MEGABYTE = 1_000_000
PORT = 9500


class Transfer:
    """One server that sends and receives at once; what it received is in `result`."""

    def __init__(self, space, address, port, length, tls=None, timeout=90):
        self.length, self.tls, self.timeout = length, tls, timeout
        self.result, self.error = None, None
        self.listener = space.socket(peers.family(address))
        self.listener.setsockopt(peers.socket.SOL_SOCKET, peers.socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(1)
        self.listener.settimeout(timeout)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        try:
            sock, _ = self.listener.accept()
            sock.settimeout(self.timeout)
            with sock:
                stream = peers.Stream(sock, self.tls, server_side=True)
                self.result = stream.run(peers.Pattern("down", self.length), self.timeout)
        except Exception as error:  # shown by check(), in the thread that asserts
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def check(self):
        self.thread.join(self.timeout)
        assert self.error is None, f"the server's side: {self.error!r}"
        assert self.result == (self.length, peers.Pattern("up", self.length).digest())


def transfer(client_space, server_space, target, port, length, server_address=None,
             server_port=None, source=None, client_tls=None, server_tls=None, timeout=90):
    """Sends `length` bytes each way at once and compares digests; megabytes per second."""
    with Transfer(server_space, server_address or target, server_port or port, length,
                  server_tls, timeout) as server:
        started = time.monotonic()
        sock = peers.connect(client_space, target, port, source, timeout=timeout)
        with sock:
            got = peers.Stream(sock, client_tls).run(peers.Pattern("up", length), timeout)
        assert got == (length, peers.Pattern("down", length).digest())
        server.check()
        return 2 * length / MEGABYTE / (time.monotonic() - started)


@pytest.fixture(scope="module")
def lossy(impair, certificates, binary, wrapper, tmp_path_factory):
    """A topology of its own whose cable to the mesh loses one frame in a hundred."""
    with netns.Topology(impaired=["mesh"]) as topology:
        topology.start_impairment(impair, loss=1, seed=20)
        config = scenario.Scenario(tmp_path_factory.mktemp("lossy") / "config", certificates)
        with Gateway(topology.gateway, config.directory, binary, wrapper):
            yield topology, config


@pytest.fixture(scope="module")
def terrible(impair, certificates, binary, wrapper, tmp_path_factory):
    """Both cables lose, double, reorder and corrupt."""
    with netns.Topology(impaired=["mesh", "work"]) as topology:
        topology.start_impairment(impair, loss=0.5, duplicate=1, reorder=2, corrupt=0.2, seed=30)
        config = scenario.Scenario(tmp_path_factory.mktemp("terrible") / "config", certificates)
        with Gateway(topology.gateway, config.directory, binary, wrapper):
            yield topology, config


def test_inbound_mutual_tls_100_mb_each_way(gateway, mesh, work, certificates, record_property):
    speed = transfer(mesh, work, ADDRESS["web"], PORT, 100 * MEGABYTE, source=CLIENT,
                     client_tls=pki.client_context(certificates.peer, alpn=["istio"]))
    record_property("megabytes_per_second", round(speed, 1))


def test_outbound_mutual_tls_100_mb_each_way(gateway, shared, mesh, work, certificates,
                                             record_property):
    service = shared.services["auto"]
    speed = transfer(work, mesh, service.virtual, 80, 100 * MEGABYTE,
                     server_address=service.address, server_port=service.port,
                     source=ADDRESS["client"], server_tls=pki.server_context(
                         certificates.reviews, certificates.mesh.bundle, ["istio"]))
    record_property("megabytes_per_second", round(speed, 1))


def test_plaintext_100_mb_each_way(gateway, mesh, work, record_property):
    speed = transfer(mesh, work, ADDRESS["open"], PORT, 100 * MEGABYTE, source=CLIENT)
    record_property("megabytes_per_second", round(speed, 1))


@pytest.mark.core
def test_a_few_megabytes_each_way(gateway, mesh, work, certificates):
    transfer(mesh, work, ADDRESS["web"], PORT, 3 * MEGABYTE, source=CLIENT,
             client_tls=pki.client_context(certificates.peer, alpn=["istio"]))
    transfer(mesh, work, ADDRESS["mixed6"], PORT, 3 * MEGABYTE)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_100_mb_each_way_with_one_percent_of_packets_lost(lossy, certificates, direction,
                                                          record_property):
    topology, config = lossy
    if direction == "inbound":
        speed = transfer(topology.mesh, topology.work, ADDRESS["web"], PORT, 100 * MEGABYTE,
                         source=CLIENT, timeout=120,
                         client_tls=pki.client_context(certificates.peer, alpn=["istio"]))
    else:
        service = config.services["auto"]
        speed = transfer(topology.work, topology.mesh, service.virtual, 80, 100 * MEGABYTE,
                         server_address=service.address, server_port=service.port,
                         source=ADDRESS["client"], timeout=120, server_tls=pki.server_context(
                             certificates.reviews, certificates.mesh.bundle, ["istio"]))
    record_property("megabytes_per_second", round(speed, 1))


@pytest.mark.core
def test_everything_that_a_cable_can_do_wrong(terrible, certificates):
    topology, _ = terrible
    transfer(topology.mesh, topology.work, ADDRESS["web"], PORT, 5 * MEGABYTE, source=CLIENT,
             client_tls=pki.client_context(certificates.peer, alpn=["istio"]))
    transfer(topology.mesh, topology.work, ADDRESS["open"], PORT, 5 * MEGABYTE, source=CLIENT)


def test_a_reader_that_stops_for_a_while_gets_everything(gateway, mesh, work, certificates):
    """Zero windows and their probes, on the far side of a termination."""
    pattern = peers.Pattern("slow", 8 * MEGABYTE)

    def send(accepted):
        for block in pattern:
            accepted.socket.sendall(block)

    with peers.Server(work, ADDRESS["web"], 9501, send):
        sock = peers.connect(mesh, ADDRESS["web"], 9501, CLIENT,
                             tls=pki.client_context(certificates.peer, alpn=["istio"]))
        time.sleep(2.5)
        data = peers.receive_all(sock)
        sock.close()
    assert peers.hashlib.sha256(data).hexdigest() == pattern.digest()


def test_one_slow_reader_does_not_slow_others(gateway, mesh, work, workloads, certificates):
    """The stalled connection holds its own budget of buffers and no more."""
    def flood(accepted):
        while True:
            accepted.socket.sendall(bytes(65536))

    tls = pki.client_context(certificates.peer, alpn=["istio"])
    with peers.Server(work, ADDRESS["web"], 9502, flood):
        stalled = [peers.connect(mesh, ADDRESS["web"], 9502, CLIENT, tls) for _ in range(8)]
        time.sleep(1)
        for _ in range(20):
            sock = peers.connect(mesh, ADDRESS["web"], 9000, CLIENT, tls, timeout=5)
            peers.exchange(sock)
            sock.close()
        for sock in stalled:
            peers.reset(sock)
