# SPDX-License-Identifier: Apache-2.0
"""What portcullis.yaml sets, seen in the process and its traffic; and the causes of refusals that
no other file is about."""

import contextlib
import re
import ssl
import time
from pathlib import Path

import pytest

from harness import netns, peers, pki, scenario
from harness.gateway import Gateway
from harness.scenario import ADDRESS, AUTO_PORT, CLIENT, HTTP_PORT, PLAIN_HOST, TCP_PORT, Service
from test_transfer import transfer

DETECT = 0.4  # seconds
SMALL_MTU = 1300


def add_services(config):
    config.services["routeless"] = Service(40, {"mode": "DISABLE"}, protocol="HTTP",
                                           address="192.0.2.1")
    config.workloads["nameless"] = ("10.20.0.6", "", "STRICT", "preserve")
    config.write()
    (config.mesh / "nobody.yaml").write_text(scenario._yaml([scenario._document(
        "ServiceEntry", "nobody", {
            "hosts": [f"nobody.{scenario.DOMAIN}"], "addresses": ["10.96.0.41"],
            "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "http"}],
            "workloadSelector": {"labels": {"app": "nobody"}}})]))


@pytest.fixture(scope="module")
def small(certificates, binary, wrapper, tmp_path_factory):
    """A gateway whose workloads are behind a smaller MTU, and which does not wait for ever for
    the first bytes."""
    with netns.Topology() as topology:
        topology.work.batch(f"link set eth0 mtu {SMALL_MTU}")
        config = scenario.Scenario(
            tmp_path_factory.mktemp("small") / "config", certificates,
            timeouts={"detect": f"{round(DETECT * 1000)}ms"})
        add_services(config)
        file = config.directory / "portcullis.yaml"
        file.write_text(file.read_text().replace('"device": "net_af_packet1,iface=pc-work",',
                                                 '"device": "net_af_packet1,iface=pc-work", '
                                                 f'"mtu": {SMALL_MTU},'))
        with Gateway(topology.gateway, config.directory, binary, wrapper) as gateway:
            yield topology, gateway


# --- MTU -------------------------------------------------------------------------------------------


def test_a_packet_that_does_not_fit_is_answered_with_the_mtu(small):
    topology, _ = small
    done = topology.mesh.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", "1400",
                              PLAIN_HOST], check=False)
    assert re.search(f"mtu ?= ?{SMALL_MTU}", done.stdout + done.stderr), done.stdout + done.stderr


@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "mutual TLS"])
def test_each_leg_has_segments_of_its_own_size(small, certificates, secured):
    topology, gateway = small
    before = gateway.counter("tx_too_long")
    transfer(topology.mesh, topology.work, ADDRESS["mixed"], 9600, 2_000_000, source=CLIENT,
             client_tls=pki.client_context(certificates.peer, alpn=["istio"]) if secured else None)
    assert gateway.counter("tx_too_long") == before


# --- detection ---------------------------------------------------------------------------------------


def test_a_client_that_waits_for_the_server_is_plaintext_after_a_while(small):
    topology, gateway = small
    with peers.Server(topology.work, ADDRESS["mixed"], AUTO_PORT, peers.greet):
        started = time.monotonic()
        with peers.connect(topology.mesh, ADDRESS["mixed"], AUTO_PORT, CLIENT) as sock:
            assert peers.receive_exactly(sock, 24) == b"220 ready when you are\r\n"
            assert time.monotonic() - started >= DETECT * 0.9
            peers.exchange(sock)
            number = peers.local_port(sock)
    assert gateway.log.wait(number)["result"] == "ok"


def test_a_client_may_take_its_time_on_an_http_port(small):
    topology, _ = small
    with peers.Server(topology.work, ADDRESS["mixed"], HTTP_PORT, peers.http):
        with peers.connect(topology.mesh, ADDRESS["mixed"], HTTP_PORT, CLIENT) as sock:
            time.sleep(DETECT * 1.5)
            assert peers.get(sock)[0] == 200


def test_a_hello_that_stops_halfway_is_plaintext_too(small):
    topology, _ = small
    with peers.Server(topology.work, ADDRESS["mixed"], AUTO_PORT):
        with peers.connect(topology.mesh, ADDRESS["mixed"], AUTO_PORT, CLIENT) as sock:
            half = bytes.fromhex("1603010200010001fc0303")
            sock.sendall(half)
            assert peers.receive_exactly(sock, len(half)) == half


def test_a_client_that_never_says_anything_is_not_kept_for_ever(own, mesh):
    _, gateway = own(timeouts={"idle": "1s"})
    with peers.connect(mesh, ADDRESS["mixed"], AUTO_PORT, CLIENT) as sock:
        number = peers.local_port(sock)
        assert peers.ending(sock, 5)[1] == b""
    assert gateway.log.wait(number)["cause"] == "detect_timeout"


# --- causes --------------------------------------------------------------------------------------------


def test_plaintext_that_is_no_http_gets_a_400_on_an_http_port(small):
    topology, gateway = small
    with peers.Server(topology.work, ADDRESS["mixed"], HTTP_PORT) as server:
        with peers.connect(topology.mesh, ADDRESS["mixed"], HTTP_PORT, CLIENT) as sock:
            sock.sendall(b"\x00\x01\x02\x03 this is no request\r\n\r\n")
            number = peers.local_port(sock)
            status, _, _ = peers.parse_response(peers.ending(sock)[1])
        assert status == 400 and server.accepted == []
    assert gateway.log.wait(number)["cause"] == "not_http"


def test_a_workload_without_an_identity_takes_no_tls(small, mesh_client):
    topology, gateway = small
    with peers.connect(topology.mesh, "10.20.0.6", TCP_PORT, CLIENT) as sock:
        number = peers.local_port(sock)
        with pytest.raises((ssl.SSLError, OSError)):
            mesh_client.wrap_socket(sock)
    assert gateway.log.wait(number)["cause"] == "no_identity"


@pytest.mark.parametrize("virtual, cause", [("10.96.0.41", "no_healthy_upstream"),
                                            ("10.96.0.40", "upstream_unreachable")])
def test_a_service_that_leads_nowhere_is_a_503(small, virtual, cause):
    topology, gateway = small
    with peers.connect(topology.work, virtual, 80, ADDRESS["client"]) as sock:
        number = peers.local_port(sock)
        assert peers.get(sock)[0] == 503
    assert gateway.log.wait(number)["cause"] == cause


def test_a_client_that_leaves_before_it_says_anything_is_no_failure(small):
    """Whoever only looks whether a port is open."""
    topology, gateway = small
    sock = peers.connect(topology.mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    sock.close()
    line = gateway.log.wait(number)
    assert (line["result"], line["upstream"]) == ("ok", None)


def test_a_client_that_leaves_in_the_handshake(small, mesh_client):
    topology, gateway = small
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = mesh_client.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with peers.connect(topology.mesh, ADDRESS["web"], TCP_PORT, CLIENT) as sock:
        number = peers.local_port(sock)
        sock.sendall(outgoing.read())
        assert sock.recv(65536)
        sock.shutdown(peers.socket.SHUT_WR)
        with contextlib.suppress(OSError):
            peers.ending(sock)
    assert gateway.log.wait(number)["cause"] == "tls_truncated"


def test_a_client_without_a_cipher_of_ours(small, certificates):
    topology, gateway = small
    tls = pki.client_context(certificates.peer, version=ssl.TLSVersion.TLSv1_2)
    tls.set_ciphers("ECDHE-ECDSA-AES256-SHA384")
    with peers.connect(topology.mesh, ADDRESS["web"], TCP_PORT, CLIENT) as sock:
        number = peers.local_port(sock)
        with pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
            tls.wrap_socket(sock)
    assert gateway.log.wait(number)["cause"] == "tls_no_shared_cipher"


def test_connections_over_the_limit_are_turned_away_and_those_that_live_stay(own, mesh, workloads):
    _, gateway = own(workers={"maxConnections": 16})
    with contextlib.ExitStack() as stack:
        living = [stack.enter_context(peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT))
                  for _ in range(6)]
        for sock in living:
            peers.exchange(sock)
        refused = 0
        for _ in range(12):
            try:
                sock = stack.enter_context(
                    peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT, timeout=1.5))
                peers.exchange(sock)
                living.append(sock)
            except (OSError, EOFError):
                refused += 1
        assert refused >= 8 and len(living) <= 8
        for sock in living:
            peers.exchange(sock)
    gateway.settle(lambda stats: stats["sessions"] == 0)
    with peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT) as sock:
        peers.exchange(sock)


# --- the process ----------------------------------------------------------------------------------------


def threads_by_cpus(pid):
    """Name of each thread -> the CPUs that it may use."""
    threads = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines()
                      if ":\t" in line)
        threads[fields["Name"]] = fields["Cpus_allowed_list"]
    return threads


def test_what_was_chosen_is_said_and_done(own, mesh, workloads, certificates):
    """One line for the memory, one for the rest; the worker stays on the core that it was given;
    OpenSSL seals the records; TLS 1.2 is not spoken."""
    _, gateway = own(workers={"count": 1, "cores": [1]}, crypto={"device": "openssl"},
                     tls={"minVersion": "1.3"})
    said = gateway.process.text()
    assert len(re.findall(r"(?m)^portcullis: memory: \d+ MiB of (normal|huge) pages", said)) == 1
    assert len(re.findall(r"(?m)^portcullis: ready: 1 worker, adaptive idling, crypto by openssl 3",
                          said)) == 1
    worker = [cpus for name, cpus in threads_by_cpus(gateway.process.pid).items()
              if "worker" in name]
    assert worker == ["1"]
    with peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT,
                       pki.client_context(certificates.peer, alpn=["istio"])) as sock:
        peers.exchange(sock, b"o" * 200_000)
        assert sock.version() == "TLSv1.3"
    with peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT) as sock:
        number = peers.local_port(sock)
        with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
            pki.client_context(certificates.peer, version=ssl.TLSVersion.TLSv1_2).wrap_socket(sock)
    assert gateway.log.wait(number)["cause"] == "tls_version"


def test_a_worker_that_polls_says_so(own, mesh, workloads):
    _, gateway = own(workers={"idle": "poll"})
    assert "polling without idling" in gateway.process.text()
    with peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT) as sock:
        peers.exchange(sock)


def test_a_core_that_is_not_there_is_an_error(own):
    _, gateway = own(start=False, workers={"count": 1, "cores": [4095]})
    with pytest.raises(AssertionError, match=r"(?s)ended with [1-9].*CPU 4095"):
        gateway.start()
    gateway.process = None
