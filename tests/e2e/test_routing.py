# SPDX-License-Identifier: Apache-2.0
"""What is not to be intercepted is routed on; what is, does not pass round the gateway."""

import socket

import pytest

from harness import peers
from harness.netns import Topology
from harness.scenario import ADDRESS, CLIENT, CLIENT6, PLAIN_HOST, PLAIN_HOST6, TCP_PORT


@pytest.mark.core
@pytest.mark.parametrize("target", ["10.10.0.1", "fd00:10::1", ADDRESS["web"], PLAIN_HOST,
                                    PLAIN_HOST6, ADDRESS["web6"]])
def test_ping(gateway, mesh, target):
    done = mesh.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", target])
    assert " 0% packet loss" in done.stdout


def test_ping_with_a_large_payload(gateway, mesh):
    mesh.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", "1472", "10.10.0.1"])
    mesh.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", "1472", PLAIN_HOST])


def test_hop_limit_is_spent_and_its_end_is_answered(gateway, mesh):
    done = mesh.run(["ping", "-c", "1", "-W", "2", "-t", "1", PLAIN_HOST], check=False)
    assert "Time to live exceeded" in done.stdout and "10.10.0.1" in done.stdout


@pytest.mark.parametrize("host, client", [(PLAIN_HOST, CLIENT), (PLAIN_HOST6, CLIENT6)])
def test_udp_is_routed_on(gateway, mesh, work, host, client):
    family = peers.family(host)
    with work.socket(family, socket.SOCK_DGRAM) as server, \
            mesh.socket(family, socket.SOCK_DGRAM) as sender:
        server.bind((host, 5353))
        server.settimeout(5)
        sender.bind((client, 0))
        sender.settimeout(5)
        sender.sendto(b"question", (host, 5353))
        data, source = server.recvfrom(100)
        assert data == b"question" and source[0] == client
        server.sendto(b"answer", source)
        assert sender.recv(100) == b"answer"


@pytest.mark.core
@pytest.mark.parametrize("host, client", [(PLAIN_HOST, CLIENT), (PLAIN_HOST6, CLIENT6)])
def test_tcp_to_a_host_that_is_no_workload_is_routed_on(gateway, mesh, work, host, client):
    with peers.Server(work, host, 9000) as server:
        sock = peers.connect(mesh, host, 9000, client)
        peers.exchange(sock)
        number = peers.local_port(sock)
        sock.close()
        assert (server.accepted[-1].peer, server.accepted[-1].port) == (client, number)


def test_tcp_of_a_workload_to_what_is_no_service_is_routed_on(gateway, mesh, work):
    with peers.Server(mesh, CLIENT, 9999) as server:
        sock = peers.connect(work, CLIENT, 9999, ADDRESS["client"])
        peers.exchange(sock)
        number = peers.local_port(sock)
        sock.close()
        assert (server.accepted[-1].peer, server.accepted[-1].port) == (ADDRESS["client"], number)
    gateway.log.poll()
    assert gateway.log.find(number) == []


def test_a_refusal_beyond_the_gateway_comes_back(gateway, mesh):
    with pytest.raises(ConnectionRefusedError):
        peers.connect(mesh, PLAIN_HOST, 9, CLIENT)


def test_no_packet_of_a_workload_passes_round_the_gateway(gateway, mesh, work, workloads):
    """With the workload's listener there, a bare ACK or RST of nobody's connection, which a
    router would hand on, must not reach it."""
    scapy = pytest.importorskip("scapy.all")
    with work.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as tap, \
            mesh.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        tap.bind(("eth0", 0x0800))
        tap.settimeout(0.5)
        for flags in ("A", "R", "FA", "PA"):
            packet = scapy.IP(src=CLIENT, dst=ADDRESS["web"]) / scapy.TCP(
                sport=5999, dport=TCP_PORT, flags=flags, seq=1, ack=1) / b"x"
            raw.sendto(bytes(packet), (ADDRESS["web"], 0))
        seen = []
        try:
            while True:
                seen.append(tap.recv(2000))
        except TimeoutError:
            pass
    ports = [scapy.Ether(frame)[scapy.TCP].sport for frame in seen
             if scapy.Ether(frame).haslayer(scapy.TCP)]
    assert 5999 not in ports


def test_the_namespaces_are_what_the_tests_think(topology):
    """The gateway's ends have no address of the kernel's: what answers there is Portcullis."""
    addresses = topology.gateway.run(["ip", "-o", "address", "show"]).stdout
    for leg in Topology.GATEWAY:
        assert f"pc-{leg}" not in addresses
