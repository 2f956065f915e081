# SPDX-License-Identifier: Apache-2.0
"""Connections from the mesh to workloads behind the gateway: the inbound decision matrix."""

import pytest

from harness import peers, pki, programs
from harness.gateway import address_of
from harness.scenario import (ADDRESS, AUTO_PORT, CLIENT, CLIENT6, GATEWAY_MESH, GATEWAY_WORK,
                              HTTP_PORT, TCP_PORT)

OWN_TLS_PORT = 9443  # undeclared; the workload itself speaks TLS here
MODES = {"web": "STRICT", "mixed": "PERMISSIVE", "open": "DISABLE"}


@pytest.fixture(scope="module")
def own_tls(work, certificates):
    """Workloads that speak a TLS of their own, which is nobody's business on the way."""
    tls = pki.server_context(certificates.api)
    servers = {name: peers.Server(work, ADDRESS[name], OWN_TLS_PORT, peers.echo, tls)
               for name in MODES}
    yield servers
    for server in servers.values():
        server.close()


def source(address):
    return CLIENT6 if ":" in address else CLIENT


def dial(mesh, address, port, tls=None, sni=None):
    return peers.connect(mesh, address, port, source(address), tls, sni)


@pytest.mark.core
@pytest.mark.parametrize("name", ["mixed", "open", "mixed6"])
@pytest.mark.parametrize("port", [TCP_PORT, AUTO_PORT])
def test_plaintext_is_let_through(gateway, mesh, workloads, name, port):
    sock = dial(mesh, ADDRESS[name], port)
    peers.exchange(sock)
    number = peers.local_port(sock)
    sock.close()
    line = gateway.log.wait(number)
    assert line["result"] == "ok" and line["direction"] == "inbound"
    assert line["mode"] == ("DISABLE" if name == "open" else "PERMISSIVE")
    assert line["downstream"]["tls"] is None and line["upstream"]["tls"] is None
    assert line["bytes_received"] == line["bytes_sent"] == 15
    assert line["workload"] == f"shop/{name}"
    assert line["policy"]["kind"] == "PeerAuthentication"
    assert line["policy"]["name"] == f"shop/{name}" and line["policy"]["line"] > 0
    assert line["policy"]["file"].endswith("workloads.yaml")


@pytest.mark.core
@pytest.mark.parametrize("name", ["web", "masked", "web6"])
@pytest.mark.parametrize("port", [TCP_PORT, AUTO_PORT, HTTP_PORT])
def test_strict_refuses_plaintext_and_says_why(gateway, mesh, workloads, name, port):
    before = len(workloads[name][port].accepted)
    sock = dial(mesh, ADDRESS[name], port)
    number = peers.local_port(sock)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    assert peers.ending(sock)[1] == b""
    sock.close()
    line = gateway.log.wait(number)
    assert (line["result"], line["cause"]) == ("refused", "plaintext_to_strict")
    assert line["mode"] == "STRICT" and line["workload"] == f"shop/{name}"
    assert line["policy"]["name"] == f"shop/{name}" and line["detail"]
    assert line["bytes_sent"] == 0
    assert len(workloads[name][port].accepted) == before


@pytest.mark.core
@pytest.mark.parametrize("name", ["web", "mixed", "web6", "mixed6"])
@pytest.mark.parametrize("port", [TCP_PORT, AUTO_PORT])
@pytest.mark.parametrize("version", [pki.ssl.TLSVersion.TLSv1_2, pki.ssl.TLSVersion.TLSv1_3])
def test_mutual_tls_is_terminated(gateway, mesh, workloads, certificates, name, port, version):
    server = workloads[name][port]
    before = len(server.accepted)
    tls = pki.client_context(certificates.peer, alpn=["istio"], version=version)
    sock = dial(mesh, ADDRESS[name], port, tls, "outbound_.80_._.behind")
    assert sock.getpeercert()["subjectAltName"] == (("URI", pki.spiffe("web")),)
    peers.exchange(sock)
    accepted = server.wait_accepted(before + 1)
    number, cipher = peers.local_port(sock), sock.cipher()[0]
    sock.close()
    assert accepted.peer == source(ADDRESS[name])
    line = gateway.log.wait(number)
    assert line["result"] == "ok" and line["upstream"]["tls"] is None, line
    seen = line["downstream"]["tls"]
    assert seen["peer"] == pki.spiffe("sleep") and seen["verified"] is True
    assert seen["version"].replace(" ", "") in ("TLSv1." + str(version.value - 0x0301),
                                                "TLS1." + str(version.value - 0x0301))
    assert seen["cipher"].replace("TLS_", "").startswith(cipher.replace("TLS_", "")[:4])
    assert seen["sni"] == "outbound_.80_._.behind"
    assert line["bytes_received"] == line["bytes_sent"] == 15


def test_rsa_client_certificates_are_as_good(gateway, mesh, workloads, certificates):
    tls = pki.client_context(certificates.peer_rsa, alpn=["istio"])
    sock = dial(mesh, ADDRESS["web"], TCP_PORT, tls)
    peers.exchange(sock)
    sock.close()


def test_strict_needs_no_mesh_alpn(gateway, mesh, workloads, certificates):
    sock = dial(mesh, ADDRESS["web"], TCP_PORT, pki.client_context(certificates.peer))
    peers.exchange(sock)
    sock.close()


@pytest.mark.parametrize("name", ["mixed", "open"])
@pytest.mark.parametrize("alpn", [[], ["h2", "http/1.1"]])
def test_tls_of_the_applications_own_passes_untouched(gateway, mesh, own_tls, certificates, name,
                                                      alpn):
    tls = pki.client_context(bundle=certificates.outside.bundle, alpn=alpn)
    sock = dial(mesh, ADDRESS[name], OWN_TLS_PORT, tls, "api.example.com")
    peers.exchange(sock)
    assert sock.getpeercert()["subjectAltName"] == (("DNS", "api.example.com"),)
    number = peers.local_port(sock)
    sock.close()
    assert own_tls[name].accepted[-1].hello.sni == "api.example.com"
    line = gateway.log.wait(number)
    assert line["result"] == "ok" and line["downstream"]["tls"] is None


def test_disable_passes_mutual_tls_untouched(gateway, mesh, own_tls, certificates, mesh_client):
    tls = pki.client_context(certificates.peer, bundle=certificates.outside.bundle, alpn=["istio"])
    sock = dial(mesh, ADDRESS["open"], OWN_TLS_PORT, tls)
    peers.exchange(sock)
    sock.close()
    assert own_tls["open"].accepted[-1].hello.alpn == ["istio"]


def test_strict_takes_no_tls_without_a_client_certificate(gateway, mesh, own_tls, certificates):
    tls = pki.client_context(bundle=certificates.mesh.bundle,
                             version=pki.ssl.TLSVersion.TLSv1_3)
    sock = dial(mesh, ADDRESS["web"], OWN_TLS_PORT, tls)
    number = peers.local_port(sock)
    assert peers.ending(sock)[1] == b""
    sock.close()
    assert gateway.log.wait(number)["cause"] == "no_client_certificate"


def test_permissive_http_port_takes_no_tls_without_mesh_alpn(gateway, mesh, workloads,
                                                             certificates):
    before = len(workloads["mixed"][HTTP_PORT].accepted)
    sock = dial(mesh, ADDRESS["mixed"], HTTP_PORT)
    number = peers.local_port(sock)
    tls = pki.client_context(certificates.peer)
    with pytest.raises((OSError, EOFError)):
        peers.Stream(sock, tls)
    sock.close()
    assert gateway.log.wait(number)["result"] == "refused"
    assert len(workloads["mixed"][HTTP_PORT].accepted) == before


def test_source_gateway_hides_the_client(gateway, mesh, workloads, mesh_client):
    server = workloads["masked"][TCP_PORT]
    before = len(server.accepted)
    sock = dial(mesh, ADDRESS["masked"], TCP_PORT, mesh_client)
    peers.exchange(sock)
    assert server.wait_accepted(before + 1).peer == GATEWAY_WORK
    number = peers.local_port(sock)
    sock.close()
    assert address_of(gateway.log.wait(number)["upstream"]["local"]) == GATEWAY_WORK


@pytest.mark.core
def test_a_listener_on_the_gateways_own_address(gateway, mesh, workloads, mesh_client):
    server = workloads["web"][TCP_PORT]
    before = len(server.accepted)
    sock = dial(mesh, GATEWAY_MESH, 15443, mesh_client)
    peers.exchange(sock)
    assert server.wait_accepted(before + 1).peer == CLIENT
    number = peers.local_port(sock)
    sock.close()
    line = gateway.log.wait(number)
    assert line["workload"] == "shop/web" and line["result"] == "ok"


def test_a_port_of_the_gateway_without_listener_is_closed(gateway, mesh):
    with pytest.raises(ConnectionRefusedError):
        dial(mesh, GATEWAY_MESH, 15444)


def test_a_workload_that_does_not_listen_is_reported(gateway, mesh, mesh_client):
    sock = dial(mesh, ADDRESS["web"], 4444)
    number = peers.local_port(sock)
    with pytest.raises((OSError, EOFError, AssertionError)):
        peers.exchange(mesh_client.wrap_socket(sock))
    sock.close()
    line = gateway.log.wait(number)
    assert (line["result"], line["cause"]) == ("failed", "upstream_refused")


def test_half_close_lets_the_answer_come_back(gateway, mesh, work, certificates):
    with peers.Server(work, ADDRESS["mixed"], 9100, peers.count_then_answer):
        for tls in (None, pki.client_context(certificates.peer, alpn=["istio"])):
            pattern = peers.Pattern("half", 300_000)
            sock = dial(mesh, ADDRESS["mixed"], 9100)
            stream = peers.Stream(sock, tls)
            length, digest = stream.run(pattern, 20)
            expected = f"300000 {pattern.digest()}".encode()
            assert (length, digest) == (len(expected),
                                        peers.hashlib.sha256(expected).hexdigest())
            sock.close()


def test_a_server_that_speaks_first_is_heard_on_a_tcp_port(gateway, mesh, work, mesh_client):
    """Declared TCP and DISABLE, or TLS that has been terminated: no client byte is waited for."""
    for name, port, tls in (("open", 9200, None), ("mixed", 9200, mesh_client)):
        with peers.Server(work, ADDRESS[name], port, peers.greet):
            sock = dial(mesh, ADDRESS[name], port, tls)
            assert peers.receive_exactly(sock, 24) == b"220 ready when you are\r\n"
            peers.exchange(sock)
            sock.close()


def test_a_reset_by_the_client_reaches_the_workload(gateway, mesh, workloads):
    server = workloads["mixed"][TCP_PORT]
    before = len(server.accepted)
    sock = dial(mesh, ADDRESS["mixed"], TCP_PORT)
    peers.exchange(sock)
    accepted = server.wait_accepted(before + 1)
    number = peers.local_port(sock)
    peers.reset(sock)
    line = gateway.log.wait(number)
    assert line["cause"] == "downstream_reset" and line["result"] == "failed"
    assert isinstance(accepted.error, ConnectionResetError)


def test_a_reset_by_the_workload_reaches_the_client(gateway, mesh, work):
    def slam(accepted):
        accepted.socket.recv(100)
        peers.reset(accepted.socket)

    with peers.Server(work, ADDRESS["mixed"], 9300, slam):
        sock = dial(mesh, ADDRESS["mixed"], 9300)
        sock.sendall(b"hello\n")
        assert peers.ending(sock) == ("reset", b"")
        number = peers.local_port(sock)
        sock.close()
    assert gateway.log.wait(number)["cause"] == "upstream_reset"


# --- programs that others wrote ------------------------------------------------------------------


@pytest.fixture(scope="module")
def nginx_workload(work, tmp_path_factory):
    servers = "\n".join(
        f"server {{ listen {ADDRESS[name]}:8088;\n location / {{ return 200 "
        f"\"{name} sees $remote_addr over $scheme\\n\"; }} }}" for name in MODES)
    with programs.nginx(work, tmp_path_factory.mktemp("nginx"), servers) as process:
        yield process


@pytest.mark.core
def test_curl_with_a_certificate_reaches_nginx_in_plaintext(gateway, mesh, nginx_workload,
                                                            certificates):
    answer = programs.curl(mesh, f"https://{ADDRESS['web']}:8088/", "--insecure", "--http1.1",
                           *programs.curl_identity(certificates.peer))
    assert (answer.status, answer.body) == (200, f"web sees {CLIENT} over http\n"), answer.error
    line = gateway.log.wait(answer.port)
    assert line["downstream"]["tls"]["peer"] == pki.spiffe("sleep")


def test_curl_that_offers_h2_gets_an_answer_from_an_http1_port(gateway, mesh, workloads,
                                                               certificates):
    """Bytes are passed on as they are: HTTP/2 must not be agreed on for a port that is declared
    to speak HTTP/1."""
    answer = programs.curl(mesh, f"https://{ADDRESS['web']}:{HTTP_PORT}/", "--insecure",
                           *programs.curl_identity(certificates.peer))
    assert answer.status == 200, answer.error
    assert gateway.log.wait(answer.port)["downstream"]["tls"]["alpn"] == "http/1.1"


@pytest.mark.core
def test_curl_without_tls_is_refused_by_strict_and_served_by_permissive(gateway, mesh,
                                                                        nginx_workload):
    refused = programs.curl(mesh, f"http://{ADDRESS['web']}:8088/")
    assert refused.exit_status in (52, 56) and refused.body == ""  # empty reply, reset
    assert gateway.log.wait(refused.port)["cause"] == "plaintext_to_strict"
    served = programs.curl(mesh, f"http://{ADDRESS['mixed']}:8088/")
    assert (served.status, served.body) == (200, f"mixed sees {CLIENT} over http\n")


@pytest.mark.parametrize("name", ["web", "mixed"])
@pytest.mark.parametrize("protocol", ["-tls1_2", "-tls1_3"])
def test_openssl_client_with_mesh_alpn(gateway, mesh, nginx_workload, certificates, name,
                                       protocol):
    output = programs.s_client(
        mesh, ADDRESS[name], 8088, protocol, "-alpn", "istio-http/1.1,istio,http/1.1",
        "-ign_eof", *programs.s_client_identity(certificates.peer),
        send=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert f"{name} sees {CLIENT} over http" in output, output
    assert "Verify return code: 0 (ok)" in output


def test_haproxy_as_the_callers_sidecar(gateway, mesh, nginx_workload, certificates, directory):
    directory.mkdir()
    pem = programs.haproxy_pem(certificates.peer, directory / "peer.pem")
    sections = f"""
listen sidecar
    mode http
    bind 127.0.0.1:18080
    server gateway {ADDRESS['mixed']}:8088 ssl crt {pem} ca-file {certificates.mesh.bundle} \
verify required alpn istio-http/1.1,istio,http/1.1
"""
    with programs.haproxy(mesh, directory, sections):
        for _ in range(3):
            answer = programs.curl(mesh, "http://127.0.0.1:18080/")
            assert (answer.status, answer.body) == (200, f"mixed sees {CLIENT} over http\n")
