# SPDX-License-Identifier: Apache-2.0
"""Connections of workloads behind the gateway to services: what goes out on the wire."""

import contextlib
import re

import pytest

from harness import peers, pki, programs
from harness.gateway import address_of, port_of
from harness.scenario import ADDRESS, DOMAIN, GATEWAY_WORK, SERVER

ISTIO_ALPN = (["istio"], ["istio-peer-exchange", "istio"])
HTTP_ALPN = ["istio-http/1.1", "istio", "http/1.1"]


@pytest.fixture
def services(shared):
    return shared.services


def serve(mesh, service, credential=None, bundle=None, handler=peers.echo, alpn=()):
    tls = pki.server_context(credential, bundle, alpn) if credential else None
    return peers.Server(mesh, service.address, service.port, handler, tls)


def call(work, service, port=80):
    client = ADDRESS["client6" if ":" in service.virtual else "client"]
    return peers.connect(work, service.virtual, port, client)


def exchange_and_log(gateway, work, service):
    sock = call(work, service)
    peers.exchange(sock)
    number = peers.local_port(sock)
    sock.close()
    line = gateway.log.wait(number)
    assert line["result"] == "ok" and line["direction"] == "outbound", line
    assert line["downstream"]["tls"] is None
    assert line["bytes_received"] == line["bytes_sent"] == 15
    return line


@pytest.mark.core
@pytest.mark.parametrize("name, kind", [("plain", "DestinationRule"), ("autoplain", "auto mTLS")])
def test_plaintext_where_the_rule_or_the_endpoint_says_so(gateway, mesh, work, services, name,
                                                          kind):
    with serve(mesh, services[name]) as server:
        line = exchange_and_log(gateway, work, services[name])
    assert line["upstream"]["tls"] is None
    assert line["service"].startswith(f"{name}.{DOMAIN}")
    assert line["policy"]["kind"] == kind
    assert server.accepted[-1].peer in (ADDRESS["client"], "10.10.0.1")


@pytest.mark.core
def test_simple_verifies_the_server_and_shows_no_certificate(gateway, mesh, work, services,
                                                             certificates):
    with serve(mesh, services["simple"], certificates.api) as server:
        line = exchange_and_log(gateway, work, services["simple"])
    seen = server.accepted[-1].hello
    assert seen.sni == "api.example.com"
    assert not any("istio" in name for name in seen.alpn)
    assert line["upstream"]["tls"]["verified"] is True
    assert line["policy"]["name"] == "shop/simple" and line["policy"]["line"] > 0


@pytest.mark.core
def test_mutual_shows_the_certificate_of_the_rule(gateway, mesh, work, services, certificates):
    with serve(mesh, services["mutual"], certificates.api, certificates.outside.bundle) as server:
        exchange_and_log(gateway, work, services["mutual"])
    names = server.accepted[-1].certificate["subjectAltName"]
    assert names == (("DNS", "partner.example.com"),)
    assert server.accepted[-1].hello.sni == "api.example.com"


@pytest.mark.core
@pytest.mark.parametrize("name, kind", [("istio", "DestinationRule"), ("auto", "auto mTLS"),
                                        ("auto6", "auto mTLS")])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_mesh_mutual_tls(gateway, mesh, work, services, certificates, name, kind, version):
    service = services[name]
    number = pki.ssl.TLSVersion.TLSv1_2 if version == "1.2" else pki.ssl.TLSVersion.TLSv1_3
    tls = pki.server_context(certificates.reviews, certificates.mesh.bundle, ["istio"], number)
    with peers.Server(mesh, service.address, service.port, peers.echo, tls) as server:
        line = exchange_and_log(gateway, work, service)
    accepted = server.accepted[-1]
    assert accepted.uris() == [pki.spiffe("client")]
    assert accepted.hello.sni == f"outbound_.80_._.{name}.{DOMAIN}"
    assert accepted.hello.alpn in ISTIO_ALPN
    assert line["policy"]["kind"] == kind
    seen = line["upstream"]["tls"]
    assert seen["peer"] == pki.spiffe("reviews") and seen["verified"] is True
    assert version in seen["version"] and seen["alpn"] == "istio"


def test_a_rules_own_sni_is_sent(gateway, mesh, work, services, certificates):
    with serve(mesh, services["named"], certificates.reviews, certificates.mesh.bundle) as server:
        exchange_and_log(gateway, work, services["named"])
    assert server.accepted[-1].hello.sni == "elsewhere.example.com"


def test_openssl_server_sees_the_same(gateway, mesh, work, services, certificates):
    service = services["auto"]
    with programs.s_server(mesh, service.address, service.port, certificates.reviews,
                           "-Verify", "2", "-tlsextdebug", "-servername", "other", "-alpn", "istio",
                           "-cert2", certificates.reviews.chain, "-key2", certificates.reviews.key,
                           "-rev") as server:
        sock = call(work, service)
        sock.sendall(b"straight\n")
        assert peers.receive_exactly(sock, 9) == b"thgiarts\n"
        sock.close()
        server.wait_line("DONE|CONNECTION CLOSED")
        said = server.text()
    dump = re.findall(r"^[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -])+)", said, re.M)
    extensions = bytes.fromhex("".join(dump).replace("-", " "))
    assert f"outbound_.80_._.auto.{DOMAIN}".encode() in extensions
    assert b"\x05istio" in extensions
    assert "CN = client" in said or "CN=client" in said


@pytest.mark.core
def test_nginx_that_takes_mutual_tls_only(gateway, mesh, work, services, certificates, directory):
    service = services["reviews"]
    block = f"""server {{
  listen {service.address}:{service.port} ssl;
  ssl_certificate {certificates.reviews.chain};
  ssl_certificate_key {certificates.reviews.key};
  ssl_client_certificate {certificates.mesh.bundle};
  ssl_verify_client on;
  ssl_protocols TLSv1.2 TLSv1.3;
  location / {{ return 200 "$ssl_client_s_dn|$ssl_server_name|$ssl_alpn_protocol|$host\\n"; }} }}"""
    with programs.nginx(mesh, directory, block):
        answer = programs.curl(work, f"http://{service.virtual}/", "-H", "Host: reviews",
                               source=ADDRESS["client"])
    assert (answer.status, answer.body) == (
        200, f"O=Portcullis,CN=client|outbound_.80_._.reviews.{DOMAIN}|http/1.1|reviews\n")
    assert gateway.log.wait(answer.port)["upstream"]["tls"]["peer"] == pki.spiffe("reviews")


def test_haproxy_as_the_services_sidecar(gateway, mesh, work, services, certificates, directory):
    service = services["reviews"]
    directory.mkdir()
    pem = programs.haproxy_pem(certificates.reviews, directory / "reviews.pem")
    sections = f"""
frontend sidecar
    mode http
    bind {service.address}:{service.port} ssl crt {pem} ca-file {certificates.mesh.bundle} \
verify required alpn istio-http/1.1,istio,http/1.1
    http-request return status 200 content-type text/plain lf-string \
"%[ssl_fc_sni]|%[ssl_fc_alpn]|%[ssl_c_s_dn(cn)]"
"""
    with programs.haproxy(mesh, directory, sections):
        for _ in range(3):
            answer = programs.curl(work, f"http://{service.virtual}/", source=ADDRESS["client"])
            assert (answer.status, answer.body) == (
                200, f"outbound_.80_._.reviews.{DOMAIN}|istio-http/1.1|client"), answer.error


def test_http_port_offers_the_mesh_alpns_of_http(gateway, mesh, work, services, certificates):
    with serve(mesh, services["reviews"], certificates.reviews, certificates.mesh.bundle,
               peers.http, HTTP_ALPN) as server:
        status, _, body = peers.get(call(work, services["reviews"]))
    assert (status, b"spiffe://cluster.local/ns/shop/sa/client" in body) == (200, True)
    assert server.accepted[-1].hello.alpn == HTTP_ALPN


@pytest.mark.core
def test_a_service_without_an_address_is_known_by_its_endpoint(gateway, mesh, work, services,
                                                               certificates):
    service = services["direct"]
    with serve(mesh, service, certificates.reviews, certificates.mesh.bundle) as server:
        sock = peers.connect(work, service.address, service.port, ADDRESS["client"])
        peers.exchange(sock)
        number = peers.local_port(sock)
        sock.close()
        assert server.accepted[-1].uris() == [pki.spiffe("client")]
    assert gateway.log.wait(number)["direction"] == "outbound"


def test_a_listener_on_the_gateways_own_address(gateway, mesh, work, services, certificates):
    with serve(mesh, services["reviews"], certificates.reviews, certificates.mesh.bundle,
               peers.http) as server:
        sock = peers.connect(work, GATEWAY_WORK, 9080, ADDRESS["client"])
        assert peers.get(sock)[0] == 200
        assert server.accepted[-1].hello.sni == f"outbound_.80_._.reviews.{DOMAIN}"


# --- what fails says so --------------------------------------------------------------------------


@pytest.mark.core
@pytest.mark.parametrize("name, http", [("imposter", False), ("imposterhttp", True),
                                        ("imposterauto", True)])
def test_secure_naming_refuses_another_service_and_names_both(gateway, mesh, work, services,
                                                              certificates, name, http):
    with serve(mesh, services[name], certificates.imposter, certificates.mesh.bundle) as server:
        sock = call(work, services[name])
        number = peers.local_port(sock)
        if http:
            status, headers, body = peers.get(sock)
            assert status == 503 and body and headers["content-type"].startswith("text/plain")
        else:
            sock.sendall(b"anybody?\n")
            assert peers.ending(sock) == ("reset", b"")
        sock.close()
        assert not [a for a in server.accepted if a.error is None and a.first]
    line = gateway.log.wait(number)
    assert (line["result"], line["cause"]) == ("failed", "san_mismatch")
    assert pki.spiffe("reviews") in line["detail"] and pki.spiffe("mallory") in line["detail"]


def test_a_server_of_an_unknown_ca_is_refused(gateway, mesh, work, services, certificates):
    with serve(mesh, services["wrongca"], certificates.stranger):
        sock = call(work, services["wrongca"])
        number = peers.local_port(sock)
        assert peers.get(sock)[0] == 503
    assert gateway.log.wait(number)["cause"] == "unknown_ca"


def test_a_server_that_refuses_our_certificate_is_reported(gateway, mesh, work, services,
                                                           certificates):
    with serve(mesh, services["auto"], certificates.reviews, certificates.other.bundle):
        sock = call(work, services["auto"])
        number = peers.local_port(sock)
        with contextlib.suppress(OSError):
            sock.sendall(b"hello\n")
        assert peers.ending(sock)[1] == b""
        sock.close()
    line = gateway.log.wait(number)
    assert line["cause"] == "tls_alert_received" and line["result"] == "failed"


def test_a_server_that_speaks_no_tls_is_reported(gateway, mesh, work, services):
    with serve(mesh, services["reviews"], handler=peers.greet):
        sock = call(work, services["reviews"])
        number = peers.local_port(sock)
        assert peers.get(sock)[0] == 503
    assert gateway.log.wait(number)["cause"] == "tls_protocol_error"


@pytest.mark.core
@pytest.mark.parametrize("name", ["refusedhttp", "refusedauto", "refusedhttp6"])
def test_http_gets_a_503_where_nobody_listens(gateway, work, services, name):
    sock = call(work, services[name])
    number = peers.local_port(sock)
    status, headers, body = peers.get(sock)
    sock.close()
    assert status == 503 and len(body) > 0
    assert headers["content-type"].startswith("text/plain") and "content-length" in headers
    line = gateway.log.wait(number)
    assert (line["result"], line["cause"]) == ("failed", "upstream_refused")


def test_http_gets_a_503_where_nobody_answers(gateway, mesh, work, services):
    service = services["timeouthttp"]
    with peers.deaf_listener(mesh, service.address, service.port):
        answer = programs.curl(work, f"http://{service.virtual}/", source=ADDRESS["client"])
    assert answer.status == 503 and "upstream" in answer.body
    assert gateway.log.wait(answer.port)["cause"] == "upstream_timeout"


def test_a_503_is_given_for_a_request_that_has_a_body(gateway, work, services, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 200_000)
    answer = programs.curl(work, f"http://{services['refusedhttp'].virtual}/", "--data-binary",
                           f"@{tmp_path}/body", "-H", "Expect:", source=ADDRESS["client"])
    assert answer.status == 503, answer.error


@pytest.mark.core
def test_tcp_gets_a_reset_where_nobody_listens(gateway, work, services):
    number = 31999  # the reset may come while connect() is still at it
    with pytest.raises(ConnectionResetError):
        sock = peers.connect(work, services["refused"].virtual, 80, ADDRESS["client"],
                             source_port=number)
        sock.sendall(b"anybody?\n")
        sock.recv(1)
    assert gateway.log.wait(number)["cause"] == "upstream_refused"


def test_tcp_gets_a_reset_where_nobody_answers(gateway, mesh, work, services):
    service = services["timeout"]
    with peers.deaf_listener(mesh, service.address, service.port):
        sock = call(work, service)
        number = peers.local_port(sock)
        sock.sendall(b"anybody?\n")
        assert peers.ending(sock) == ("reset", b"")
    line = gateway.log.wait(number)
    assert line["cause"] == "upstream_timeout"
    assert address_of(line["upstream"]["remote"]) == SERVER
    assert port_of(line["upstream"]["remote"]) == service.port
