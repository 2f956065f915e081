# SPDX-License-Identifier: Apache-2.0
"""Files that are named in resources, the log, and what is said of files that will not do."""

import re
import time

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT
from test_rotation import Load, wait_for_serial


def dial(work, service):
    return peers.connect(work, service.virtual, 80, ADDRESS["client"])


def works(connect):
    try:
        with connect() as sock:
            peers.exchange(sock)
        return True
    except (OSError, EOFError):
        return False


def wait_until(predicate, what, timeout=10):
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_new_ca_of_a_destination_rule_is_believed(own, mesh, work, certificates):
    """And the old one, which is no longer in the file, is not."""
    config, gateway = own(start=False)
    service, file = config.services["simple"], config.directory / "partner-ca.pem"
    service.tls["caCertificates"] = str(file)
    file.write_bytes(certificates.outside.bundle.read_bytes())
    config.write()
    gateway.start()
    moved = certificates.other.issue("api-moved", dns=["api.example.com"])
    with peers.Server(mesh, service.address, service.port, peers.echo,
                      pki.server_context(certificates.api)):
        assert works(lambda: dial(work, service))
    with peers.Server(mesh, service.address, service.port, peers.echo, pki.server_context(moved)):
        assert not works(lambda: dial(work, service))
        gateway.change(file, certificates.other.bundle.read_text())
        assert works(lambda: dial(work, service))
    with peers.Server(mesh, service.address, service.port, peers.echo,
                      pki.server_context(certificates.api)):
        with dial(work, service) as sock:
            number = peers.local_port(sock)
            assert peers.ending(sock) == ("reset", b"")
    assert gateway.log.wait(number)["cause"] == "unknown_ca"


def test_a_new_client_certificate_of_a_destination_rule_is_shown(own, mesh, work, certificates):
    config, gateway = own(start=False)
    service = config.services["mutual"]
    shown = pki.Credential(config.directory / "shown.pem", config.directory / "shown.key",
                           certificates.outside.bundle)
    shown.replace_by(certificates.partner)
    service.tls.update(clientCertificate=str(shown.chain), privateKey=str(shown.key))
    config.write()
    gateway.start()
    tls = pki.server_context(certificates.api, certificates.outside.bundle)
    fresh = certificates.outside.issue("partner-fresh", dns=["partner.example.com"])
    with peers.Server(mesh, service.address, service.port, peers.echo, tls) as server, \
            Load(lambda: dial(work, service), clients=1) as load:
        load.wait_done(5)
        shown.replace_by(fresh)
        wait_until(lambda: int(server.accepted[-1].certificate["serialNumber"], 16)
                   == int(fresh.serial(), 16), "the new certificate is not shown")
        load.wait_done(5)
    assert load.errors == []


def test_sighup_opens_the_log_anew(own, mesh, workloads):
    """As logrotate(8) wants it: rename, signal; no line is lost, none comes to the old file."""
    config, gateway = own()
    path = gateway.log.path
    kept = path.with_name("connections.log.1")

    def one():
        with peers.connect(mesh, ADDRESS["mixed"], TCP_PORT, CLIENT) as sock:
            peers.exchange(sock)
            return f":{peers.local_port(sock)}\""

    def lines(file):
        return file.read_text() if file.exists() else ""

    first = one()
    wait_until(lambda: first in lines(path), "the first line")
    path.rename(kept)
    between = one()
    wait_until(lambda: between in lines(kept), "the line before the signal")
    gateway.hang_up()
    wait_until(path.exists, "the new file")
    last = one()
    wait_until(lambda: last in lines(path), "the line after the signal")
    assert last not in lines(kept) and first not in lines(path) and between not in lines(path)


def test_identity_folder_swapped_by_a_symbolic_link(own, mesh, workloads, certificates):
    """As Kubernetes replaces the files of a Secret: all of them at once."""
    config, gateway = own(start=False)
    web = config.identities["web"]
    old, new, link = (config.directory / name for name in ("..old", "..new", "secret"))
    for folder, source in ((old, certificates.web),
                           (new, certificates.mesh.svid("web", name="web-swapped"))):
        folder.mkdir()
        (folder / "tls.crt").write_bytes(source.chain.read_bytes())
        (folder / "tls.key").write_bytes(source.key.read_bytes())
    link.symlink_to(old.name)
    for file, name in ((web.chain, "tls.crt"), (web.key, "tls.key")):
        file.unlink()
        file.symlink_to(f"{link.name}/{name}")
    gateway.start()
    tls = pki.client_context(certificates.peer, alpn=["istio"])

    def connect():
        return peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT, tls)

    fresh = pki.Credential(new / "tls.crt", new / "tls.key", web.bundle)
    with Load(connect, clients=1) as load:
        load.wait_done(5)
        temporary = config.directory / "secret.new"
        temporary.symlink_to(new.name)
        temporary.replace(link)
        wait_for_serial(connect, int(fresh.serial(), 16))
        load.wait_done(5)
    assert load.errors == []


def refuses_to_start(gateway, *says):
    with pytest.raises(AssertionError) as failure:
        gateway.start()
    gateway.process = None
    for wanted in says:
        assert re.search(wanted, str(failure.value)), failure.value
    assert re.search(r"ended with [1-9]", str(failure.value)), failure.value


def test_start_says_everything_that_is_wrong_at_once(own):
    config, gateway = own(start=False, colour="green", timeouts={"idle": "soon"})
    (config.mesh / "bad.yaml").write_text("a: &a [1]\nb: *a\n")
    config.identities["web"].key.unlink()
    refuses_to_start(gateway, r"portcullis\.yaml:\d+:\d+: error: .*colour",
                     r"portcullis\.yaml:\d+:\d+: error: .*soon",
                     r"bad\.yaml:1:\d+: error: anchor", r"web\.key")


def test_start_without_a_key_names_the_file(own):
    config, gateway = own(start=False)
    config.identities["web"].key.unlink()
    refuses_to_start(gateway, r"portcullis\.yaml:\d+:\d+: error: .*web\.key")


@pytest.mark.parametrize("device, says", [
    ("net_af_packet0", "net_af_packet0"), ("net_nonsense0", "net_nonsense0"),
    ("0000:ff:1f.7", "0000:ff:1f.7"), ("net_tap0,iface=far-too-long-for-an-interface", "net_tap0")])
def test_start_without_a_device_names_the_port(own, device, says):
    config, gateway = own(start=False, listeners=[], ports=[
        {"name": "front", "device": device, "addresses": ["10.10.0.1/24"]}])
    refuses_to_start(gateway, rf"portcullis: error: port front: .*{re.escape(says)}")
