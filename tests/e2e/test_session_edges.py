# SPDX-License-Identifier: Apache-2.0
"""Where two mechanisms meet: workloads that call each other through one gateway, connections
that belong to the other worker, starts that fail half-way."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from harness import peers, pki

from harness.process import Process
from harness.scenario import (ADDRESS, CLIENT, DOMAIN, GATEWAY_MESH, HTTP_PORT, TCP_PORT, Service)

VIRTUAL = "10.96.0.{}"


def behind(own, workers=1, **options):
    """A gateway with services whose endpoints are workloads behind it."""
    config, gateway = own(start=False, workers={"count": workers, **options})
    local = {"tls_mode": "istio", "account": "web"}
    config.services["near"] = Service(41, None, address=ADDRESS["web"], port=TCP_PORT, **local)
    config.services["nearhttp"] = Service(42, None, protocol="HTTP", address=ADDRESS["mixed"],
                                          port=HTTP_PORT, **local)
    config.services["nearplain"] = Service(43, {"mode": "DISABLE"}, address=ADDRESS["open"],
                                           port=TCP_PORT, account=None)
    config.services["nearstrict"] = Service(44, {"mode": "DISABLE"}, address=ADDRESS["web"],
                                            port=TCP_PORT, account=None)
    config.services["nobody"] = Service(45, None, protocol="HTTP", address=ADDRESS["mixed"],
                                        port=HTTP_PORT + 1, **local)
    config.write()
    return config, gateway.start()


def call(work, number, **options):
    return peers.connect(work, VIRTUAL.format(number), 80, ADDRESS["client"], **options)


def lines_of(gateway, service):
    gateway.log.poll()
    return [line for line in gateway.log.lines
            if (line["service"] or "").startswith(f"{service}.{DOMAIN}")]


@pytest.mark.parametrize("workers", [1, 2])
def test_workloads_behind_one_gateway_reach_each_other(own, work, workloads, workers):
    _, gateway = behind(own, workers)
    for number in (41, 43):
        for _ in range(6):
            sock = call(work, number)
            peers.exchange(sock)
            sock.shutdown(socket.SHUT_WR)
            assert peers.receive_all(sock) == b""
            sock.close()
    status, _, body = peers.get(call(work, 42))
    assert status == 200 and b"you are" in body
    stats = gateway.settle(lambda s: s["sessions"] == 0)
    assert sum(worker["looped"] for worker in stats["workers"]) > 100
    time.sleep(0.2)
    gateway.log.poll()
    assert all(line["result"] == "ok" for line in gateway.log.lines), gateway.log.lines
    inner = [line for line in gateway.log.lines
             if line["direction"] == "inbound" and line["downstream"]["tls"]]
    assert {line["downstream"]["tls"]["peer"] for line in inner} == {pki.spiffe("client")}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_workload_of_the_same_gateway_keeps_its_policy(own, work, workloads, workers):
    _, gateway = behind(own, workers)
    sock = call(work, 44)
    sock.sendall(b"plaintext to STRICT\n")
    assert peers.ending(sock)[0] == "reset"
    sock.close()
    status, _, body = peers.get(call(work, 45))
    assert status == 503, body
    gateway.settle(lambda s: s["sessions"] == 0)
    time.sleep(0.2)
    gateway.log.poll()
    causes = {(line["direction"], line["cause"]) for line in gateway.log.lines}
    assert ("inbound", "plaintext_to_strict") in causes
    assert ("inbound", "upstream_refused") in causes


@pytest.mark.parametrize("workers", [1, 2])
def test_megabytes_between_workloads_of_one_gateway(own, work, workloads, workers):
    _, gateway = behind(own, workers)
    data = os.urandom(1 << 20) * 8
    started = time.monotonic()
    socks = [call(work, 41) for _ in range(4)]
    for sock in socks:
        sock.settimeout(60)
        reader = peers.threading.Thread(target=sock.sendall, args=(data,), daemon=True)
        reader.start()
    for sock in socks:
        assert peers.receive_exactly(sock, len(data)) == data
        sock.close()
    assert time.monotonic() - started < 30 * gateway.slow
    gateway.settle(lambda s: s["sessions"] == 0)


def test_a_full_table_refuses_on_the_way_to_a_neighbour(own, mesh, work, workloads):
    """The refusal is a RST to an address of the gateway's own: it has to come back, too."""
    _, gateway = behind(own, maxConnections=16)
    # Eight sessions: one inbound, three pairs, and the first half of a fourth pair.
    socks = [peers.connect(mesh, ADDRESS["open"], TCP_PORT, CLIENT)]
    peers.exchange(socks[0])
    for _ in range(3):
        socks.append(call(work, 41))
        peers.exchange(socks[-1])
    with pytest.raises(OSError):  # as it connects, or after
        socks.append(call(work, 41))
        socks[-1].recv(1)
    deadline = time.monotonic() + 5
    while not (failed := [line for line in lines_of(gateway, "near") if line["cause"]]):
        assert time.monotonic() < deadline, "no refusal was logged"
        time.sleep(0.05)
    assert {line["cause"] for line in failed} == {"upstream_refused"}
    for sock in socks:
        sock.close()
    gateway.settle(lambda s: s["sessions"] == 0)


def test_two_workers_and_a_listener_of_the_nodes_own(own, mesh, workloads, certificates):
    """Another address and port than the workload's, so the answers have another hash."""
    _, gateway = own(workers={"count": 2})
    tls = pki.client_context(certificates.peer, alpn=["istio"])
    socks = [peers.connect(mesh, GATEWAY_MESH, 15443, CLIENT, tls) for _ in range(16)]
    for sock in socks:
        peers.exchange(sock)
        sock.close()
    gateway.settle(lambda s: s["sessions"] == 0)
    time.sleep(0.2)
    gateway.log.poll()
    assert all(line["result"] == "ok" for line in gateway.log.lines), gateway.log.lines


# --- starts that fail -------------------------------------------------------------------------------

RUNTIME = Path("/var/run/dpdk")


def left_behind(process):
    return (RUNTIME / f"portcullis-{process.popen.pid}").exists()


def fails_to_start(gateway, *words):
    """The gateway says why in one line, ends with 1 and leaves nothing."""
    process = Process(gateway.space.command([*gateway.wrapper, str(gateway.binary), "--config",
                                             str(gateway.config)]),
                      name="portcullis", cwd=gateway.directory)
    try:
        assert process.wait(30 * gateway.slow) == 1, process.text()
    finally:
        process.stop()
    errors = [line for line in process.lines if "error" in line]
    assert any(all(word in line for word in words) for line in errors), process.text()
    assert not left_behind(process)
    return process


def test_start_with_a_log_that_cannot_be_written(own, tmp_path):
    _, gateway = own(start=False, log={"connections": str(tmp_path)})
    fails_to_start(gateway, "log.connections", "directory")


def test_start_with_more_memory_than_there_is(own):
    _, gateway = own(start=False, workers={"count": 1, "memory": 1 << 20})
    fails_to_start(gateway, "error: ")


def test_start_beside_another_on_the_admin_socket(own, directory):
    config, gateway = own(start=False)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(gateway.admin))
        other.listen()
        fails_to_start(gateway, "admin socket", "another process listens")
        assert gateway.admin.exists(), "the other's socket was removed"
    # Nobody listens any more: the path is taken over.
    gateway.start()
    assert gateway.request("/ready")[0] == 200


def test_start_without_an_interface(own):
    _, gateway = own(start=False, ports=[
        {"name": "mesh", "device": "net_af_packet0,iface=pc-nowhere",
         "addresses": ["10.10.0.1/24"]}], listeners=[])
    fails_to_start(gateway, "port mesh")


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_sigterm_while_it_starts_is_an_orderly_end(own, delay):
    _, gateway = own(start=False)
    process = Process(gateway.space.command([*gateway.wrapper, str(gateway.binary), "--config",
                                             str(gateway.config)]),
                      name="portcullis", cwd=gateway.directory)
    try:
        time.sleep(delay)
        process.popen.send_signal(signal.SIGTERM)
        # Before its handler is there, the signal ends it as it ends anything.
        assert process.wait(20 * gateway.slow) in (0, -signal.SIGTERM), process.text()
    finally:
        process.stop()
    assert not left_behind(process)
    assert not gateway.admin.exists()


# --- the end ---------------------------------------------------------------------------------------

def test_every_connection_that_shutdown_cuts_is_logged(own, mesh, workloads):
    """More of them than the log has entries: the worker waits for it, a little."""
    _, gateway = own(workers={"count": 1, "maxConnections": 8192, "memory": 256},
                     timeouts={"drain": "0s"})
    socks = [peers.connect(mesh, ADDRESS["open"], TCP_PORT, CLIENT) for _ in range(1500)]
    gateway.settle(lambda s: s["sessions"] == len(socks))
    gateway.stop()
    cut = [line for line in gateway.log.lines if line["cause"] == "shutdown"]
    assert len(cut) == len(socks)
    for sock in socks:
        assert peers.ending(sock, 1)[0] == "reset"
        sock.close()
