# SPDX-License-Identifier: Apache-2.0
"""Clients whose certificate does not do: each is refused, told so by an alert, and logged."""

import pytest

from harness import peers, pki, programs
from harness.scenario import ADDRESS, CLIENT, TCP_PORT

CAUSES = ["unknown_ca", "certificate_expired", "certificate_not_yet_valid",
          "trust_domain_mismatch", "multiple_uri_sans", "no_spiffe_id", "certificate_invalid"]
VERSIONS = [pki.ssl.TLSVersion.TLSv1_2, pki.ssl.TLSVersion.TLSv1_3]


def refused(gateway, mesh, tls):
    """Tries an exchange that must not succeed; the log's line."""
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    told = None
    try:
        secured = tls.wrap_socket(sock)
        secured.sendall(b"let me in\n")
        told, data = peers.ending(secured)
        assert data == b""
        secured.close()
    except pki.ssl.SSLError as error:
        told = error.reason
    except ConnectionResetError:
        told = "reset"
    finally:
        sock.close()
    return told, gateway.log.wait(number)


@pytest.mark.core
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cause", CAUSES)
def test_bad_client_certificate_is_refused(gateway, mesh, workloads, certificates, cause, version):
    server = workloads["web"][TCP_PORT]
    before = len(server.accepted)
    credential = certificates.bad_clients[cause]
    told, line = refused(gateway, mesh, pki.client_context(
        credential, bundle=certificates.mesh.bundle, alpn=["istio"], version=version))
    assert (line["result"], line["cause"]) == ("refused", cause), line
    assert "ALERT" in told, told
    assert line["detail"] and line["workload"] == "shop/web"
    assert line["downstream"]["tls"] is None or not line["downstream"]["tls"]["verified"]
    assert len(server.accepted) == before
    if cause == "trust_domain_mismatch":
        assert "elsewhere.example" in line["detail"] and "cluster.local" in line["detail"]


@pytest.mark.core
@pytest.mark.parametrize("version", VERSIONS)
def test_no_client_certificate_is_refused(gateway, mesh, workloads, certificates, version):
    told, line = refused(gateway, mesh, pki.client_context(
        bundle=certificates.mesh.bundle, alpn=["istio"], version=version))
    assert (line["result"], line["cause"]) == ("refused", "no_client_certificate")
    assert "ALERT" in told, told


@pytest.mark.parametrize("cause", ["unknown_ca", "certificate_expired", "trust_domain_mismatch"])
def test_openssl_client_is_told_by_an_alert(gateway, mesh, workloads, certificates, cause):
    credential = certificates.bad_clients[cause]
    output = programs.s_client(
        mesh, ADDRESS["web"], TCP_PORT, "-ign_eof", "-cert", credential.chain,
        "-key", credential.key, "-CAfile", certificates.mesh.bundle, send=b"hello\n")
    assert "alert" in output and "hello" not in output.splitlines()


def test_a_client_that_does_not_believe_the_gateway_is_reported(gateway, mesh, certificates):
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    tls = pki.client_context(certificates.peer, bundle=certificates.other.bundle)
    with pytest.raises(pki.ssl.SSLCertVerificationError):
        tls.wrap_socket(sock)
    sock.close()
    line = gateway.log.wait(number)
    assert line["cause"] == "tls_alert_received", line
    assert "unknown" in line["detail"].lower()


def test_a_handshake_that_stalls_is_ended(gateway, mesh):
    sock = peers.connect(mesh, ADDRESS["web"], TCP_PORT, CLIENT)
    number = peers.local_port(sock)
    sock.sendall(bytes.fromhex("1603010200010001fc0303"))  # a ClientHello that never ends
    assert peers.ending(sock, 10)[1][:1] in (b"", b"\x15")
    sock.close()
    assert gateway.log.wait(number)["cause"] == "handshake_timeout"
