# SPDX-License-Identifier: Apache-2.0
"""Start, readiness, the end: what operators and their supervisors see."""

import signal
import socket
import time

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT


def tls(certificates):
    return pki.client_context(certificates.peer, alpn=["istio"])


@pytest.mark.core
def test_admin_socket_tells_readiness_and_statistics(gateway):
    assert gateway.request("/ready")[0] == 200
    stats = gateway.stats()
    assert stats["mempools"] and all(p["size"] >= p["in_use"] >= 0 for p in stats["mempools"])
    assert isinstance(stats["sessions"], int) and len(stats["workers"]) == 1
    assert isinstance(stats["heap_bytes"], int)
    assert gateway.request("/no/such/page")[0] == 404


def test_admin_socket_survives_nonsense(gateway):
    for nonsense in (b"\x00" * 100, b"GET /" + b"a" * 100_000, b"\r\n\r\n", b""):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(gateway.admin))
            sock.settimeout(2)
            try:
                sock.sendall(nonsense)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1000)
            except OSError:
                pass
    assert gateway.request("/ready")[0] == 200


@pytest.mark.core
def test_sigterm_lets_what_lives_finish_and_takes_nothing_new(own, mesh, workloads, certificates):
    _, gateway = own()
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls(certificates))
    peers.exchange(sock)
    number = peers.local_port(sock)
    gateway.process.popen.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    peers.exchange(sock)  # within the two seconds of timeouts.drain
    with pytest.raises((OSError, EOFError)):
        other = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, timeout=1)
        peers.exchange(tls(certificates).wrap_socket(other))
    sock.close()
    gateway.wait_end(10)
    assert gateway.log.wait(number)["result"] == "ok"


@pytest.mark.core
def test_sigterm_ends_what_does_not_finish(own, mesh, workloads, certificates):
    _, gateway = own()
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls(certificates))
    peers.exchange(sock)
    number = peers.local_port(sock)
    started = time.monotonic()
    gateway.process.popen.send_signal(signal.SIGTERM)
    peers.ending(sock, 15)
    gateway.wait_end(15)
    assert 1.0 < time.monotonic() - started < 8 * gateway.slow
    sock.close()
    assert gateway.log.wait(number)["cause"] is not None


def test_without_connections_sigterm_ends_at_once(own):
    _, gateway = own()
    started = time.monotonic()
    gateway.stop()
    assert time.monotonic() - started < 1.9 * gateway.slow


def test_an_idle_connection_is_ended_after_its_timeout(own, mesh, workloads, certificates):
    _, gateway = own(timeouts={"idle": "1s"})
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls(certificates))
    peers.exchange(sock)
    number = peers.local_port(sock)
    peers.ending(sock, 10)
    sock.close()
    assert gateway.log.wait(number)["cause"] == "idle_timeout"


@pytest.mark.core
def test_an_idle_gateway_leaves_the_processor_alone(own):
    _, gateway = own()
    time.sleep(0.5)

    def ticks():
        with open(f"/proc/{gateway.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])  # utime, stime in 1/100 s

    before = ticks()
    time.sleep(2)
    assert ticks() - before < 100 * gateway.slow, "more than half a core without any traffic"


def test_two_workers_share_the_traffic(own, mesh, workloads, certificates):
    """Software ports give both workers a queue; a packet that reaches the wrong one must find
    its connection all the same."""
    _, gateway = own(workers={"count": 2})
    connections = [peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls(certificates))
                   for _ in range(24)]
    for _ in range(3):
        for sock in connections:
            peers.exchange(sock)
    assert len(gateway.stats()["workers"]) == 2
    for sock in connections:
        sock.close()


def test_start_fails_clearly_without_its_interface(own):
    config, gateway = own(start=False, ports=[
        {"name": "mesh", "device": "net_af_packet0,iface=pc-nowhere",
         "addresses": ["10.10.0.1/24"]}], listeners=[])
    with pytest.raises(AssertionError, match="(?s)ended with [1-9].*pc-nowhere"):
        gateway.start()
    gateway.process = None
