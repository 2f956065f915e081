# SPDX-License-Identifier: Apache-2.0
"""Identity files that are replaced while connections live and new ones come."""

import threading
import time

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT


class Load:
    """Clients that connect, exchange and leave, over and over; errors are kept."""

    def __init__(self, connect, clients=3):
        self.connect, self.errors, self.done, self.serials = connect, [], 0, set()
        self._stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        while not self._stop.is_set():
            try:
                sock = self.connect()
                peers.exchange(sock)
                if hasattr(sock, "getpeercert"):
                    self.serials.add(sock.getpeercert()["serialNumber"])
                sock.close()
                self.done += 1
            except (OSError, EOFError, AssertionError) as error:
                self.errors.append(repr(error))
            time.sleep(0.005)

    def wait_done(self, more, timeout=20):
        target, deadline = self.done + more, time.monotonic() + timeout
        while self.done < target and not self.errors:
            assert time.monotonic() < deadline, f"{self.done} of {target} exchanges"
            time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self.threads:
            thread.join(15)


def inbound(mesh, certificates, name="web"):
    tls = pki.client_context(certificates.peer, alpn=["istio"])
    return lambda: peers.connect(mesh, ADDRESS[name], TCP_PORT, CLIENT, tls)


def served_serial(connect):
    sock = connect()
    serial = sock.getpeercert()["serialNumber"]
    sock.close()
    return int(serial, 16)


def wait_for_serial(connect, serial, timeout=10):
    deadline = time.monotonic() + timeout
    while served_serial(connect) != serial:
        assert time.monotonic() < deadline, "the new certificate is not served"
        time.sleep(0.1)


@pytest.mark.core
def test_rotation_under_load_touches_no_connection(own, mesh, workloads, certificates):
    config, gateway = own()
    connect = inbound(mesh, certificates)
    living = connect()
    peers.exchange(living)
    fresh = certificates.mesh.svid("web", name="web-rotated")
    with Load(connect) as load:
        load.wait_done(30)
        assert served_serial(connect) == int(config.identities["web"].serial(), 16)
        config.identities["web"].replace_by(fresh)
        wait_for_serial(connect, int(fresh.serial(), 16))
        peers.exchange(living)
        load.wait_done(30)
    assert load.errors == []
    assert len(load.serials) == 2
    peers.exchange(living)
    living.close()


def test_rotation_of_the_client_identity(own, mesh, work, certificates):
    config, gateway = own()
    service = config.services["auto"]
    tls = pki.server_context(certificates.reviews, certificates.mesh.bundle, ["istio"])
    fresh = certificates.mesh.svid("client", name="client-rotated")
    with peers.Server(mesh, service.address, service.port, peers.echo,
                      tls) as server:
        def connect():
            return peers.connect(work, service.virtual, 80, ADDRESS["client"])
        with Load(connect) as load:
            load.wait_done(20)
            config.identities["client"].replace_by(fresh)
            deadline = time.monotonic() + 10
            while int(server.accepted[-1].certificate["serialNumber"], 16) != \
                    int(fresh.serial(), 16):
                assert time.monotonic() < deadline and not load.errors, load.errors
                time.sleep(0.1)
            load.wait_done(20)
    assert load.errors == []


def broken_key(config, certificates):
    config.identities["web"].key.write_bytes(certificates.peer.key.read_bytes())


def broken_chain(config, certificates):
    config.identities["web"].chain.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")


def expired(config, certificates):
    config.identities["web"].replace_by(
        certificates.mesh.svid("web", name="web-expired", start=-7200, end=-60))


def foreign(config, certificates):
    config.identities["web"].replace_by(certificates.other.svid("web", name="web-foreign"))


def missing(config, certificates):
    config.identities["web"].key.unlink()


@pytest.mark.core
@pytest.mark.parametrize("damage, says", [
    (broken_key, r"web\.(key|pem).*match"), (broken_chain, r"web\.pem"),
    (expired, r"web\.pem.*expired"), (foreign, r"(web|ca)\.pem"), (missing, r"web\.key")])
def test_a_broken_replacement_is_refused_and_the_old_stays(own, mesh, workloads, certificates,
                                                           damage, says):
    config, gateway = own()
    connect = inbound(mesh, certificates)
    serial = served_serial(connect)
    fresh = certificates.mesh.svid("web", name=f"web-after-{damage.__name__}")
    with Load(connect, clients=1) as load:
        load.wait_done(5)
        mark = gateway.process.mark()
        damage(config, certificates)
        gateway.process.wait_line(says, 10 * gateway.slow, since=mark)
        assert served_serial(connect) == serial
        load.wait_done(5)
        config.identities["web"].replace_by(fresh)
        wait_for_serial(connect, int(fresh.serial(), 16))
    assert load.errors == []


def test_a_new_trust_bundle_is_believed(own, mesh, workloads, certificates):
    config, gateway = own()
    stranger = pki.client_context(certificates.bad_clients["unknown_ca"],
                                  bundle=certificates.mesh.bundle, alpn=["istio"])

    def believed():
        try:
            sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, stranger)
            peers.exchange(sock)
            sock.close()
            return True
        except (OSError, EOFError):
            return False

    assert not believed()
    bundle = config.identities["web"].bundle
    both = certificates.mesh.bundle.read_text() + certificates.other.bundle.read_text()
    gateway.change(bundle, both)
    assert believed()
