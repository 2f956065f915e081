# SPDX-License-Identifier: Apache-2.0
"""Bytes that nobody honest sends: each is dropped and counted or answered, none stops us."""

import contextlib
import random
import struct
import time

import pytest

from harness import peers, pki
from harness.rawpeer import TCP, IPv6, IPv6ExtHdrFragment, RawConnection, RawPeer
from harness.scenario import ADDRESS, CLIENT, CLIENT6, GATEWAY_MESH, TCP_PORT

SEED = 3

ports = iter(range(21000, 60000))


@pytest.fixture
def raw(mesh, gateway):
    with RawPeer(mesh, "10.10.0.77", GATEWAY_MESH) as peer:
        yield peer


@pytest.fixture(autouse=True)
def still_works(gateway, mesh, workloads, certificates):
    """After each of these the gateway serves a stranger as before."""
    yield
    assert gateway.alive(), gateway.process.text()
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT,
                         pki.client_context(certificates.peer, alpn=["istio"]))
    peers.exchange(sock)
    sock.close()


def syn(raw, **fields):
    return raw.ip(ADDRESS["open"]) / TCP(sport=next(ports), dport=TCP_PORT, flags="S", seq=7,
                                         **fields)


@pytest.mark.core
def test_frames_cut_at_every_length(raw):
    whole = bytes(syn(raw, options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)]) / b"data")
    for length in range(len(whole)):
        raw.send_frame(whole[:length])


@pytest.mark.core
def test_lengths_that_lie(raw, gateway):
    before = gateway.counter("bad_ip_header")
    for total in (0, 19, 20, 39, 41, 1500, 65535):
        raw.send(raw.ip(ADDRESS["open"], len=total) / TCP(sport=next(ports), dport=TCP_PORT,
                                                          flags="S"))
    for ihl in (0, 4, 6, 15):
        raw.send(raw.ip(ADDRESS["open"], ihl=ihl) / TCP(sport=next(ports), dport=TCP_PORT,
                                                        flags="S"))
    for offset in (0, 4, 6, 15):
        raw.send(syn(raw, dataofs=offset))
    gateway.settle(lambda _: gateway.counter("bad_ip_header") >= before + 4, 3,
                   "broken headers to be counted")


@pytest.mark.core
@pytest.mark.parametrize("counter", ["bad_ip_checksum", "bad_l4_checksum"])
def test_wrong_checksums_are_counted_and_not_answered(raw, gateway, counter):
    before, port = gateway.counter(counter), next(ports)
    tcp = TCP(sport=port, dport=TCP_PORT, flags="S", seq=7)
    packet = raw.ip(ADDRESS["open"], chksum=0x1234) / tcp if counter == "bad_ip_checksum" \
        else raw.ip(ADDRESS["open"]) / TCP(sport=port, dport=TCP_PORT, flags="S", chksum=0x1234)
    raw.send(packet)
    assert raw.receive_tcp(port, 0.5) is None
    gateway.settle(lambda _: gateway.counter(counter) == before + 1, 3, counter)


@pytest.mark.core
def test_ipv4_fragments(raw):
    """net_af_packet has the kernel put IPv4 fragments together; those that overlap, never end or
    begin nowhere must do no harm."""
    payload = bytes(syn(raw) / (b"x" * 64))[20:]
    for flags, offset, part in (("MF", 0, payload[:24]), ("MF", 3, payload[24:48]),
                                (0, 6, payload[48:]), ("MF", 0, payload[:8]), ("MF", 0, payload),
                                ("MF", 1, payload), (0, 8191, payload[:24])):
        raw.send(raw.ip(ADDRESS["open"], flags=flags, frag=offset, proto=6) / part)


@pytest.mark.core
def test_ipv6_fragments_are_counted_and_dropped(raw, gateway):
    before = gateway.counter("fragments")
    packet = IPv6(src=CLIENT6, dst=ADDRESS["web6"]) / IPv6ExtHdrFragment(id=7, m=1) / TCP(
        sport=next(ports), dport=TCP_PORT, flags="S")
    raw.send_frame(packet, 0x86dd)
    raw.send_frame(IPv6(src=CLIENT6, dst=ADDRESS["web6"]) / IPv6ExtHdrFragment(id=7, offset=3)
                   / (b"y" * 40), 0x86dd)
    gateway.settle(lambda _: gateway.counter("fragments") >= before + 2, 3, "fragments")


@pytest.mark.core
def test_options_of_every_length(raw):
    """A SYN whose options are well-formed is answered whatever they are; the others may be."""
    answered = 0
    for kind in (2, 3, 4, 5, 8, 34, 254):
        for length in range(0, 39):
            port = next(ports)
            body = bytes([kind, length]) + bytes(max(length - 2, 0))
            body = (body + bytes(40))[:40]
            header = struct.pack("!HHIIBBHHH", port, TCP_PORT, 7, 0, 15 << 4, 2, 65535, 0, 0)
            raw.send_tcp(ADDRESS["open"], header + body)
            if kind == 254 and length >= 2:
                reply = raw.receive_tcp(port, 1, lambda tcp: tcp.flags & 0x12 == 0x12)
                assert reply is not None, f"unknown option of {length} bytes"
                raw.send(raw.ip(ADDRESS["open"]) / TCP(sport=port, dport=TCP_PORT, flags="R",
                                                       seq=8))
                answered += 1
    assert answered == 37


@pytest.mark.core
def test_overlapping_segments_arrive_once_and_in_order(raw):
    connection = RawConnection(raw, ADDRESS["open"], TCP_PORT, next(ports))
    text = bytes(range(65, 91)) * 4
    for offset, length in ((10, 20), (25, 30), (5, 12), (60, 44), (50, 54), (0, 8), (3, 60),
                           (0, len(text)), (40, 10)):
        connection.send(offset, text[offset:offset + length])
    assert connection.receive(len(text)) == text
    connection.reset(len(text))


def test_segments_outside_the_window_change_nothing(raw):
    connection = RawConnection(raw, ADDRESS["open"], TCP_PORT, next(ports))
    connection.send(0, b"before ")
    assert connection.receive(7) == b"before "
    for offset in (-100, -1, 20_000_000, 0x7fffffff):
        connection.send(offset, b"evil", "PA")
        connection.send(offset, b"", "RA")
    connection.send(7, b"", "S")  # RFC 5961 section 4: a challenge ACK, no reset
    connection.send(7, b"after")
    assert connection.receive(12) == b"before after"
    connection.reset(12)


def test_flags_that_make_no_sense(raw):
    for flags in range(64):
        raw.send(raw.ip(ADDRESS["open"]) / TCP(sport=next(ports), dport=TCP_PORT, flags=flags,
                                               seq=1, ack=1) / b"x")


@pytest.mark.core
def test_random_and_mutated_frames(raw):
    rng = random.Random(SEED)
    models = [bytes(syn(raw, options=[("MSS", 1460), ("Timestamp", (1, 0)), ("WScale", 7)])),
              bytes(raw.ip(GATEWAY_MESH) / TCP(sport=9, dport=15443, flags="PA") / (b"z" * 200)),
              bytes(raw.ip(GATEWAY_MESH, proto=1) / (b"\x08\x00" + bytes(40))),
              bytes(raw.ip(GATEWAY_MESH, proto=1) / (b"\x03\x04" + bytes(40)))]
    for number in range(3000):
        frame = bytearray(rng.choice(models))
        for _ in range(rng.randint(1, 6)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        raw.send_frame(frame[:rng.randint(1, len(frame))] if number % 3 == 0 else frame)
        if number % 100 == 0:
            time.sleep(0.01)
    for number in range(300):
        raw.socket.send(rng.randbytes(rng.randint(14, 200)))


# --- TLS -----------------------------------------------------------------------------------------


def first_flight(tls, sni="outbound_.80_._.behind"):
    incoming, outgoing = pki.ssl.MemoryBIO(), pki.ssl.MemoryBIO()
    client = tls.wrap_bio(incoming, outgoing, server_hostname=sni)
    with pytest.raises(pki.ssl.SSLWantReadError):
        client.do_handshake()
    return client, incoming, outgoing, outgoing.read()


def finish(sock, client, incoming, outgoing):
    while True:
        try:
            client.do_handshake()
            sock.sendall(outgoing.read())
            return
        except pki.ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            data = sock.recv(65536)
            assert data, "closed in the handshake"
            incoming.write(data)


@pytest.mark.core
@pytest.mark.parametrize("name", ["web", "mixed"])
@pytest.mark.parametrize("form", ["segments", "records"])
def test_a_client_hello_in_many_pieces(gateway, mesh, workloads, certificates, name, form):
    tls = pki.client_context(certificates.peer, alpn=["istio"])
    client, incoming, outgoing, flight = first_flight(tls)
    if form == "records":  # RFC 8446 section 5.1: a handshake message over several records
        message = flight[5:]
        flight = b"".join(b"\x16\x03\x01" + struct.pack("!H", len(message[at:at + 40]))
                          + message[at:at + 40] for at in range(0, len(message), 40))
    sock = peers.connect(mesh, ADDRESS[name], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    step = 1 if form == "segments" else 33
    for at in range(0, len(flight), step):
        sock.sendall(flight[at:at + step])
        time.sleep(0.0005)
    finish(sock, client, incoming, outgoing)
    client.write(b"ping")
    sock.sendall(outgoing.read())
    data = b""
    while not data:
        incoming.write(sock.recv(65536))
        try:
            data = client.read(100)
        except pki.ssl.SSLWantReadError:
            pass
    assert data == b"ping"
    sock.close()
    assert gateway.log.wait(number)["downstream"]["tls"]["peer"] == pki.spiffe("sleep")


@pytest.mark.core
@pytest.mark.parametrize("name", ["web", "mixed"])
def test_a_client_hello_that_is_too_large(gateway, mesh, name):
    sock = peers.connect(mesh, ADDRESS[name], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    message = b"\x01" + (100_000).to_bytes(3, "big") + b"\x03\x03" + bytes(100_000)
    try:
        for at in range(0, len(message), 16000):
            part = message[at:at + 16000]
            sock.sendall(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part)
    except OSError:
        pass
    try:
        assert len(peers.ending(sock)[1]) < 100  # an alert at most
    except TimeoutError:
        pytest.fail("the connection is still open")
    sock.close()
    line = gateway.log.wait(number)
    assert line["result"] == "refused" and line["cause"] in (
        "client_hello_too_large", "tls_handshake_too_large", "tls_protocol_error"), line


@pytest.mark.core
def test_first_bytes_that_only_look_like_tls(gateway, mesh, workloads):
    """PERMISSIVE: what turns out not to be TLS is the application's plaintext."""
    for start in (b"\x16", b"\x16\x03", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x03\xff\xff",
                  b"\x15\x03\x01\x00\x02\x01\x00", b"\x80\x2e\x01\x00\x02", bytes(20)):
        sock = peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT)
        sock.sendall(start + b"\n" * 8)
        sock.shutdown(peers.socket.SHUT_WR)
        kind, data = peers.ending(sock)
        assert kind in ("closed", "reset") and data in (b"", start + b"\n" * 8)
        sock.close()


@pytest.mark.core
def test_a_record_that_was_tampered_with_ends_the_connection(gateway, mesh, workloads,
                                                             certificates):
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    client, incoming, outgoing, flight = first_flight(
        pki.client_context(certificates.peer, alpn=["istio"]))
    sock.sendall(flight)
    finish(sock, client, incoming, outgoing)
    client.write(b"good")
    record = bytearray(outgoing.read())
    record[-1] ^= 1
    sock.sendall(record)
    kind, data = peers.ending(sock)
    incoming.write(data)
    with pytest.raises(pki.ssl.SSLError, match="(?i)bad.record.mac"):
        client.read(100)
    assert kind in ("closed", "reset")
    sock.close()
    assert gateway.log.wait(number)["cause"] == "tls_alert_sent"


@pytest.mark.core
def test_garbage_after_a_client_hello(gateway, mesh, certificates):
    rng = random.Random(SEED)
    for _ in range(20):
        sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
        _, _, _, flight = first_flight(pki.client_context(certificates.peer, alpn=["istio"]))
        broken = bytearray(flight)
        for _ in range(8):
            broken[rng.randrange(5, len(broken))] = rng.randrange(256)
        with contextlib.suppress(OSError):  # it may be over already
            sock.sendall(broken + rng.randbytes(300))
            sock.shutdown(peers.socket.SHUT_WR)
            peers.ending(sock, 10)
        sock.close()
