# SPDX-License-Identifier: Apache-2.0
"""The whole gateway on other ports than the usual ones, and with several workers."""

import concurrent.futures

import pytest
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.sendrecv import srp1

from harness import peers, pki
from harness.scenario import (ADDRESS, CLIENT, CLIENT6, GATEWAY_MESH, PLAIN_HOST, TCP_PORT)


def ports(mesh_device, work_device, **more):
    return [{"name": "mesh", "device": mesh_device,
             "addresses": ["10.10.0.1/24", "fd00:10::1/64"], **more},
            {"name": "workloads", "device": work_device,
             "addresses": ["10.20.0.1/24", "fd00:20::1/64"], **more}]


def traffic(mesh, tls, connections, size=20_000):
    """Connections side by side, to workloads over IPv4 and IPv6, with and without TLS."""
    kinds = [("web", tls), ("mixed", None), ("web6", tls), ("mixed6", None), ("masked", tls)]

    def one(number):
        name, context = kinds[number % len(kinds)]
        source = CLIENT6 if ":" in ADDRESS[name] else CLIENT
        with peers.connect(mesh, ADDRESS[name], TCP_PORT, source, context, timeout=30) as sock:
            for round_trip in range(3):
                peers.exchange(sock, bytes([number & 0xff, round_trip]) * (size // 2))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in pool.map(one, range(connections)):
            pass


@pytest.mark.core
def test_two_workers_share_the_connections_and_find_each_others(own, mesh, workloads, mesh_client):
    _, gateway = own(workers={"count": 2})
    traffic(mesh, mesh_client, 100)
    stats = gateway.settle(lambda s: s["sessions"] == 0)
    accepted = [w["session"]["accepted_inbound"] for w in stats["workers"]]
    assert sum(accepted) == 100
    # The owner is chosen by a keyed hash: of 100 connections each worker has its share.
    assert min(accepted) >= 20
    assert all(w["redirect_lost"] == 0 for w in stats["workers"])


def test_two_workers_call_services_and_pass_on_what_is_not_theirs(own, mesh, work, workloads,
                                                                  certificates):
    config, gateway = own(workers={"count": 2})
    service = config.services["auto"]
    tls = pki.server_context(certificates.reviews, alpn=["istio"])
    with peers.Server(mesh, service.address, service.port, peers.echo, tls), \
            peers.Server(work, PLAIN_HOST, 4711, peers.echo):
        for _ in range(20):
            with peers.connect(work, service.virtual, 80, ADDRESS["client"]) as sock:
                peers.exchange(sock, b"through mutual TLS")
            with peers.connect(mesh, PLAIN_HOST, 4711, CLIENT) as sock:
                peers.exchange(sock, b"past the gateway")
    stats = gateway.settle(lambda s: s["sessions"] == 0)
    assert sum(w["session"]["handshakes_client"] for w in stats["workers"]) == 20


def test_af_xdp_ports(own, mesh, workloads, mesh_client):
    _, gateway = own(workers={"count": 1}, ports=ports("net_af_xdp0,iface=pc-mesh",
                                                      "net_af_xdp1,iface=pc-work"))
    traffic(mesh, mesh_client, 30)
    gateway.settle(lambda s: s["sessions"] == 0)
    assert {port["driver"] for port in gateway.stats()["ports"]} == {"net_af_xdp"}


def test_vlan_ports_speak_in_their_vlan_and_hear_no_other(own, mesh):
    """With hand-made frames: the kernel here may have no VLAN device."""
    _, gateway = own(ports=ports("net_af_packet0,iface=pc-mesh", "net_af_packet1,iface=pc-work",
                                 vlan=42))

    def ask(*tags):
        frame = Ether(dst="ff:ff:ff:ff:ff:ff")
        for tag in tags:
            frame /= Dot1Q(vlan=tag)
        return srp1(frame / ARP(op="who-has", psrc=CLIENT, pdst=GATEWAY_MESH), iface="eth0",
                    timeout=2, verbose=False)

    with mesh:
        answer = ask(42)
        assert answer is not None and answer[Dot1Q].vlan == 42
        assert answer[ARP].op == 2 and answer[ARP].psrc == GATEWAY_MESH
        assert ask() is None
        assert ask(43) is None
    assert gateway.counter("wrong_vlan") >= 2
