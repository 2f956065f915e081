# SPDX-License-Identifier: Apache-2.0
"""Policy that changes while traffic flows: by watching, by SIGHUP, and refused where broken."""

import pytest

from harness import peers, pki
from harness.scenario import ADDRESS, CLIENT, TCP_PORT, peer_authentication, _yaml
from test_rotation import Load, inbound


def plaintext(mesh, name="mixed"):
    return lambda: peers.connect(mesh, ADDRESS[name], TCP_PORT, CLIENT)


def is_refused(connect):
    sock = connect()
    try:
        sock.sendall(b"anybody?\n")
        return peers.ending(sock, 5)[1] == b""
    except TimeoutError:
        return False
    finally:
        sock.close()


@pytest.mark.core
def test_permissive_to_strict_and_back_under_load(own, mesh, workloads, certificates):
    config, gateway = own()
    with Load(inbound(mesh, certificates, "mixed")) as load:
        load.wait_done(20)
        sock = plaintext(mesh)()
        peers.exchange(sock)
        sock.close()
        config.set_mode(gateway, "mixed", "STRICT")
        assert is_refused(plaintext(mesh))
        load.wait_done(20)
        config.set_mode(gateway, "mixed", "PERMISSIVE")
        sock = plaintext(mesh)()
        peers.exchange(sock)
        sock.close()
        load.wait_done(20)
    assert load.errors == []


@pytest.mark.core
@pytest.mark.parametrize("text, says", [
    ("kind: [", r"broken\.yaml:\d+:\d+: error: "),
    (_yaml([peer_authentication("mixed", "SOMETIMES")]), r"broken\.yaml:\d+:\d+: error: .*mode"),
    ("a: 1\na: 2\n", r"broken\.yaml:2:\d+: error: "),
], ids=["syntax", "value", "duplicate"])
def test_a_broken_change_is_refused_whole(own, mesh, workloads, certificates, text, says):
    config, gateway = own()
    mark = gateway.process.mark()
    (config.mesh / "broken.yaml").write_text(text)
    gateway.process.wait_line(says, 10 * gateway.slow, since=mark)
    sock = plaintext(mesh)()
    peers.exchange(sock)
    sock.close()
    assert is_refused(plaintext(mesh, "web"))
    mark = gateway.process.mark()
    (config.mesh / "broken.yaml").unlink()
    config.set_mode(gateway, "mixed", "STRICT")
    assert is_refused(plaintext(mesh))


@pytest.mark.core
def test_sighup_reloads(own, mesh, workloads, certificates):
    config, gateway = own()
    mark = gateway.process.mark()
    gateway.hang_up()
    gateway.process.wait_line(r"reload|publish|unchanged|nothing", 10 * gateway.slow, since=mark)
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT,
                         pki.client_context(certificates.peer, alpn=["istio"]))
    peers.exchange(sock)
    sock.close()


def test_a_rule_that_is_added_and_removed_takes_effect(own, mesh, workloads, certificates):
    """Of two policies of the same age for a workload the one that is first by name wins whole."""
    config, gateway = own()
    late = config.mesh / "late.yaml"
    document = peer_authentication("masked", "DISABLE")
    assert is_refused(plaintext(mesh, "masked"))
    document["metadata"]["name"] = "late"
    gateway.change(late, _yaml([document]))
    sock = plaintext(mesh, "masked")()
    peers.exchange(sock)
    sock.close()
    mark = gateway.process.mark()
    late.unlink()
    gateway.process.wait_line(r"\b(published|reloaded)\b", 10 * gateway.slow, since=mark)
    assert is_refused(plaintext(mesh, "masked"))
