# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what the tests stand on must hold before they mean anything."""

import socket
import ssl
import threading

from harness import hello, netns, peers, pki
from harness.process import run


def test_impair_loses_what_it_was_told_and_says_so(impair):
    with netns.Topology(impaired=["mesh"]) as topology:
        wire = topology.wires["mesh"]
        (forwarder,) = topology.start_impairment(impair, loss=20, seed=7)
        sender = topology.mesh.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind(("eth0", 0x0800))
        frame = b"\xff" * 6 + b"\x02" * 6 + b"\x08\x00" + bytes(60)
        for _ in range(2000):
            sender.send(frame)
        sender.close()
        counts = topology.gateway.run(["cat", "/sys/class/net/pc-mesh/statistics/rx_packets"])
        forwarder.stop()
        numbers = dict(item.split("=") for item in forwarder.lines[-1].split())
        lost, passed = int(numbers["lost"]), int(numbers["passed"])
        assert 320 <= lost <= 480 and lost + passed >= 2000, forwarder.lines
        assert int(counts.stdout) >= 1400
        assert wire.name.startswith("pc-wire-mesh-")


def test_certificates_carry_what_they_were_asked_for(certificates):
    text = run(["openssl", "x509", "-in", certificates.bad_clients["multiple_uri_sans"].chain,
                "-noout", "-text"]).stdout
    assert text.count("URI:spiffe://cluster.local/ns/shop/sa/") == 2
    expired = certificates.bad_clients["certificate_expired"].chain
    assert run(["openssl", "x509", "-in", expired, "-checkend", "0"], check=False).returncode == 1
    verify = run(["openssl", "verify", "-CAfile", certificates.mesh.bundle,
                  certificates.peer.chain])
    assert ": OK" in verify.stdout


def test_client_hello_is_read_as_the_server_sees_it(certificates):
    left, right = socket.socketpair()
    context = pki.client_context(certificates.peer, alpn=["istio-peer-exchange", "istio"])

    def client():
        try:
            context.wrap_socket(left, server_hostname="outbound_.80_._.reviews")
        except (OSError, ssl.SSLError):
            pass

    thread = threading.Thread(target=client)
    thread.start()
    seen = hello.peek(right)
    right.close()
    thread.join()
    left.close()
    assert seen.sni == "outbound_.80_._.reviews"
    assert seen.alpn == ["istio-peer-exchange", "istio"]


def test_stream_half_closes_both_ways_under_tls(certificates):
    listener = socket.create_server(("127.0.0.1", 0))
    server_tls = pki.server_context(certificates.web, certificates.mesh.bundle)
    results = {}

    def serve():
        sock, _ = listener.accept()
        stream = peers.Stream(sock, server_tls, server_side=True)
        results["server"] = stream.run(peers.Pattern("down", 3_000_000), 20)
        sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    sock = socket.create_connection(listener.getsockname())
    stream = peers.Stream(sock, pki.client_context(certificates.peer))
    got = stream.run(peers.Pattern("up", 2_000_000), 20)
    thread.join()
    sock.close()
    listener.close()
    assert got == (3_000_000, peers.Pattern("down", 3_000_000).digest())
    assert results["server"] == (2_000_000, peers.Pattern("up", 2_000_000).digest())
