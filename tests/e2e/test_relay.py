# SPDX-License-Identifier: Apache-2.0
"""Between two legs: who closes when, how data comes, ciphers, keys that change, ports that come
again."""

import concurrent.futures
import os
import subprocess
import time

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT

TLS12, TLS13 = pki.ssl.TLSVersion.TLSv1_2, pki.ssl.TLSVersion.TLSv1_3


def mesh_tls(certificates, **options):
    return pki.client_context(certificates.peer, alpn=["istio"], **options)


@pytest.mark.core
@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256",
                                    "ECDHE-ECDSA-AES256-GCM-SHA384",
                                    "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_every_cipher_of_tls_1_2(gateway, mesh, workloads, certificates, cipher):
    tls = mesh_tls(certificates, version=TLS12)
    tls.set_ciphers(cipher)
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls)
    assert sock.cipher()[0] == cipher
    peers.exchange(sock, b"q" * 50_000)
    sock.close()


@pytest.mark.core
@pytest.mark.parametrize("cipher", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                    "TLS_CHACHA20_POLY1305_SHA256"])
def test_every_cipher_of_tls_1_3(gateway, mesh, workloads, certificates, cipher):
    with SClient(mesh, certificates, "-ciphersuites", cipher) as client:
        client.say("shaken\n")
        client.hear("shaken")
        assert cipher in client.text()


class SClient:
    """openssl s_client with its standard input in our hands."""

    def __init__(self, space, certificates, *arguments, name="web"):
        peer = certificates.peer
        self.popen = subprocess.Popen(
            [str(part) for part in space.command(
                ["openssl", "s_client", "-connect", f"{ADDRESS[name]}:{TCP_PORT}", "-alpn",
                 "istio", "-cert", peer.chain, "-key", peer.key, "-CAfile", peer.bundle,
                 *arguments])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.popen.stdout.fileno(), False)
        self.output = b""

    def say(self, text):
        self.popen.stdin.write(text.encode())
        self.popen.stdin.flush()

    def text(self):
        while data := self.popen.stdout.read():
            self.output += data
        return self.output.decode("utf-8", "replace")

    def hear(self, wanted, times=1, timeout=10):
        deadline = time.monotonic() + timeout
        while self.text().count(wanted) < times:
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def __enter__(self):
        self.hear("Verify return code")
        return self

    def __exit__(self, *_):
        self.popen.stdin.close()
        self.popen.terminate()
        self.popen.wait(5)
        self.popen.stdout.close()


@pytest.mark.core
def test_keys_that_the_client_updates(gateway, mesh, workloads, certificates):
    """RFC 8446 section 4.6.3: `k` updates the client's keys, `K` asks for the server's too."""
    with SClient(mesh, certificates, "-tls1_3") as client:
        for number, command in enumerate(["k\n", "K\n", "K\n", "k\n", "K\n"]):
            client.say(f"before {number}\n")
            client.hear(f"before {number}")
            client.say(command)
            client.hear("KEYUPDATE", number + 1)
            client.say(f"after {number}\n")
            client.hear(f"after {number}")


def test_renegotiation_is_refused(gateway, mesh, workloads, certificates):
    with SClient(mesh, certificates, "-tls1_2") as client:
        client.say("before\n")
        client.hear("before")
        client.say("R\n")
        client.hear("RENEGOTIATING")
        time.sleep(0.5)
    assert gateway.request("/ready")[0] == 200


@pytest.mark.core
@pytest.mark.parametrize("secured", [False, True])
def test_a_server_that_closes_first(gateway, mesh, work, certificates, secured):
    """It sends its answer and closes, while the client still has its side open."""
    def answer_and_close(accepted):
        accepted.socket.recv(100)
        accepted.socket.sendall(b"z" * 100_000)

    with peers.Server(work, ADDRESS["mixed"], 9600, answer_and_close):
        sock = peers.connect(mesh, ADDRESS["mixed"], 9600, CLIENT,
                             mesh_tls(certificates) if secured else None)
        number = peers.local_port(sock)
        sock.sendall(b"go\n")
        assert peers.receive_all(sock) == b"z" * 100_000
        sock.close()
    assert gateway.log.wait(number)["result"] == "ok"


@pytest.mark.core
def test_a_byte_at_a_time(gateway, mesh, workloads, certificates):
    for name, tls in (("mixed", None), ("web", mesh_tls(certificates))):
        sock = peers.connect(mesh, ADDRESS[name], TCP_PORT, CLIENT, tls)
        for number in range(500):
            sock.sendall(bytes([number % 256]))
        assert peers.receive_exactly(sock, 500) == bytes(n % 256 for n in range(500))
        sock.close()


def test_data_that_comes_with_the_end_of_the_handshake(gateway, mesh, workloads, certificates):
    """The client's Finished, its first data and its close_notify in one segment."""
    incoming, outgoing = pki.ssl.MemoryBIO(), pki.ssl.MemoryBIO()
    client = mesh_tls(certificates, version=TLS13).wrap_bio(incoming, outgoing)
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    while True:
        try:
            client.do_handshake()
            break
        except pki.ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    client.write(b"all at once")
    with pytest.raises(pki.ssl.SSLWantReadError):
        client.unwrap()
    sock.sendall(outgoing.read())
    sock.shutdown(peers.socket.SHUT_WR)
    data = b""
    while part := sock.recv(65536):
        incoming.write(part)
    with pytest.raises((pki.ssl.SSLZeroReturnError, pki.ssl.SSLWantReadError, EOFError)):
        while True:
            part = client.read(1000)
            if not part:
                raise EOFError
            data += part
    sock.close()
    assert data == b"all at once"


def test_a_client_that_leaves_while_the_upstream_is_called(gateway, shared, mesh, work):
    service = shared.services["timeout"]
    with peers.deaf_listener(mesh, service.address, service.port):
        left = []
        for number in range(20):
            sock = peers.connect(work, service.virtual, 80, ADDRESS["client"])
            sock.sendall(b"hello\n")
            left.append(sock)
        for number, sock in enumerate(left):
            (peers.reset if number % 2 else peers.socket.socket.close)(sock)
        gateway.settle(lambda stats: stats["sessions"] == 0, 10, "the sessions to end")


def test_a_port_of_a_client_that_comes_again(gateway, mesh, workloads, certificates):
    """The same four numbers within a second, after a reset and after an orderly end."""
    tls = mesh_tls(certificates)
    for number in range(30):
        sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls, source_port=30123)
        peers.exchange(sock, b"again %d" % number)
        peers.reset(sock)
    def close_at_once(accepted):
        accepted.socket.recv(10)

    with peers.Server(workloads["mixed"][TCP_PORT].space, ADDRESS["mixed"], 9700, close_at_once):
        for number in range(10):
            sock = peers.connect(mesh, ADDRESS["mixed"], 9700, CLIENT, source_port=30124)
            sock.sendall(b"x")
            assert peers.receive_all(sock) == b""
            sock.close()
            time.sleep(0.1)  # for the last ACK


@pytest.mark.core
def test_many_transfers_at_once(gateway, mesh, work, certificates):
    """Forty connections of a megabyte each way, mutual TLS and plaintext mixed."""
    length, tls = 1_000_000, mesh_tls(certificates)

    def echo(accepted):
        accepted.socket.settimeout(60)
        peers.echo(accepted)

    def one(number):
        sock = peers.connect(mesh, ADDRESS["mixed"], 9800, CLIENT, timeout=60)
        pattern = peers.Pattern(number, length)
        got = peers.Stream(sock, tls if number % 2 else None).run(pattern, 90)
        sock.close()
        return got == (length, pattern.digest())

    with peers.Server(work, ADDRESS["mixed"], 9800, echo):
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            assert all(pool.map(one, range(40)))
