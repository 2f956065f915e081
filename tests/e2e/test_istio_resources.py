# SPDX-License-Identifier: Apache-2.0
"""
Istio's resources as people write them (mesh_istio/: block style, many documents to a file, what
kubectl adds) and what they make of the traffic: policies of every scope, rules for a port, a
wildcard, a workload; endpoints by selector; several networks on a port; calls between two
workloads of the same gateway.
"""

import shutil
from pathlib import Path

import pytest

from harness import netns, peers, pki
from harness.gateway import ROOT, Gateway, address_of, check
from harness.scenario import CLIENT

MESH = Path(__file__).parent / "mesh_istio"
PORT = 7001  # no ServiceEntry declares it but that of shop/stock

WORKLOADS = {"bank/ledger": "10.20.0.2", "shop/cart": "10.20.0.3", "lab/bench": "10.20.0.4",
             "shop/till": "10.20.0.5", "shop/second": "10.21.0.2", "shop/client": "10.20.0.10",
             "shop/visitor": "10.20.0.9", "bank/stock": "10.50.0.2"}
MASKED = "shop/second"  # source: gateway

CONFIG = """\
node:
  name: gateway-istio
  trustDomainAliases: [old.example]
workers: {{count: {workers}, maxConnections: 1024, memory: 128}}
ports:
  - name: mesh
    device: net_af_packet0,iface=pc-mesh
    addresses: [10.10.0.1/24, fd00:10::1/64]
  - name: workloads
    device: net_af_packet1,iface=pc-work
    addresses: [10.20.0.1/24, 10.21.0.1/24, fd00:20::1/64, fd00:21::1/64]
  - name: more
    device: net_af_packet2,iface=pc-more
    addresses: [10.50.0.1/24]
identities:
{identities}
mesh: mesh
workloads:
{behind}
timeouts: {{connect: 2s, handshake: 3s, drain: 1s, keepalive: 1s}}
log: {{connections: connections.log}}
admin: {{socket: admin.sock}}
"""


class Topology(netns.Topology):
    """With a second network on the workloads' side, and more workloads behind a third port."""

    def _addresses(self):
        super()._addresses()
        self.more = self._space("more")
        self._veth(self.more, "eth0", self.gateway, "pc-more")
        self.more.batch("address add 10.50.0.2/24 dev eth0\nroute add default via 10.50.0.1")
        self.work.batch("address add 10.21.0.2/24 dev eth0\n"
                        "address add fd00:21::2/64 dev eth0 nodad")
        self.mesh.batch("route add 10.21.0.0/24 via 10.10.0.1\n"
                        "route add fd00:21::/64 via fd00:10::1")


def write(directory, certificates, workers):
    identities = {"web": certificates.web, "client": certificates.client,
                  "ledger": certificates.mesh.issue("ledger", uris=[pki.spiffe("ledger", "bank")])}
    shutil.copytree(MESH, directory / "mesh")
    shutil.copy(certificates.outside.bundle, directory / "outside.pem")
    (directory / "portcullis.yaml").write_text(CONFIG.format(
        workers=workers,
        identities="\n".join(
            f"  - {{certificateChain: {c.chain}, privateKey: {c.key}, trustBundle: {c.bundle}}}"
            for c in identities.values()),
        behind="\n".join(
            f"  - {{name: {name}, source: {'gateway' if name == MASKED else 'preserve'}}}"
            for name in WORKLOADS)))


@pytest.fixture(scope="module", params=[1, 2], ids=["1 worker", "2 workers"])
def istio(request, certificates, binary, wrapper, tmp_path_factory):
    directory = tmp_path_factory.mktemp("istio")
    write(directory, certificates, request.param)
    with Topology() as topology, \
            Gateway(topology.gateway, directory, binary, wrapper) as gateway:
        yield topology, gateway


def test_check_says_only_that_one_has_no_identity(certificates, binary, tmp_path):
    write(tmp_path, certificates, 1)
    status, said = check(tmp_path / "portcullis.yaml", binary)
    assert status == 0 and " 0 errors, 1 warning\n" in said, said
    assert "lab/bench has no serviceAccount" in said


def test_the_example_of_the_documentation_is_one(certificates, binary, tmp_path):
    write(tmp_path, certificates, 1)
    section = (ROOT / "docs" / "configuration.md").read_text().split("## The mesh folder")[1]
    for file in (tmp_path / "mesh").iterdir():
        file.unlink()
    (tmp_path / "mesh" / "example.yaml").write_text(section.split("```yaml\n")[1].split("```")[0])
    config = tmp_path / "portcullis.yaml"
    behind = "\n".join(line for line in config.read_text().splitlines()
                       if "source:" not in line).replace("workloads:\n", "workloads:\n"
                                                         "  - {name: shop/web}\n")
    config.write_text(behind)
    status, said = check(config, binary)
    assert status == 0 and " 0 errors, 0 warnings" in said, said


# --- PeerAuthentication --------------------------------------------------------------------------

SCOPES = [("bank/ledger", PORT, "STRICT", "istio-system/default"),
          ("shop/cart", PORT, "PERMISSIVE", "shop/default"),
          ("lab/bench", PORT, "DISABLE", "lab/default"),
          ("shop/till", PORT, "STRICT", "shop/till"),
          ("shop/till", 8081, "DISABLE", "shop/till"),
          ("shop/till", 8082, "PERMISSIVE", "shop/till")]


@pytest.mark.parametrize("name, port, mode, policy", SCOPES)
def test_the_narrowest_policy_decides(istio, mesh_client, name, port, mode, policy):
    topology, gateway = istio
    with peers.Server(topology.work, WORKLOADS[name], port) as server:
        sock = peers.connect(topology.mesh, WORKLOADS[name], port, CLIENT)
        number = peers.local_port(sock)
        if mode == "STRICT":
            sock.sendall(b"plaintext\n")
            assert peers.ending(sock)[1] == b"" and server.accepted == []
        else:
            peers.exchange(sock)
        sock.close()
        line = gateway.log.wait(number)
        assert (line["mode"], line["policy"]["name"]) == (mode, policy), line
        assert line["policy"]["file"].endswith("10-policy.yaml")
        assert line["cause"] == ("plaintext_to_strict" if mode == "STRICT" else None)
        if mode == "DISABLE":
            return
        with peers.connect(topology.mesh, WORKLOADS[name], port, CLIENT, mesh_client) as sock:
            peers.exchange(sock)
            number = peers.local_port(sock)
        line = gateway.log.wait(number)
        assert (line["mode"], line["result"]) == (mode, "ok")
        assert line["downstream"]["tls"]["peer"] == pki.spiffe("sleep")


def test_an_alias_of_the_trust_domain_is_believed(istio, certificates):
    topology, gateway = istio
    old = certificates.mesh.svid("sleep", name="sleep-old", domain="old.example")
    tls = pki.client_context(old, alpn=["istio"])
    with peers.Server(topology.work, WORKLOADS["bank/ledger"], PORT):
        with peers.connect(topology.mesh, WORKLOADS["bank/ledger"], PORT, CLIENT, tls) as sock:
            peers.exchange(sock)
            number = peers.local_port(sock)
    assert gateway.log.wait(number)["downstream"]["tls"]["peer"] == \
        pki.spiffe("sleep", domain="old.example")


# --- several networks on a port ------------------------------------------------------------------


@pytest.mark.parametrize("target", ["10.21.0.1", "10.20.0.1", "fd00:21::1", "fd00:20::1",
                                    "10.21.0.2", "fd00:21::2"])
def test_every_address_of_a_port_answers_and_leads_on(istio, target):
    topology, _ = istio
    done = topology.mesh.run(["ping", "-c", "2", "-i", "0.2", "-W", "2", target])
    assert " 0% packet loss" in done.stdout


def test_the_gateways_address_in_the_workloads_network_is_the_source(istio):
    topology, gateway = istio
    with peers.Server(topology.work, WORKLOADS[MASKED], PORT) as server:
        with peers.connect(topology.mesh, WORKLOADS[MASKED], PORT, CLIENT) as sock:
            peers.exchange(sock)
        assert server.accepted[-1].peer == "10.21.0.1"


# --- ServiceEntry and DestinationRule ----------------------------------------------------------------


def call(topology, virtual, port=80, client="shop/client"):
    return peers.connect(topology.work, virtual, port, WORKLOADS[client])


def exchange(istio, *arguments, **options):
    """One exchange with a service; the log's line."""
    topology, gateway = istio
    with call(topology, *arguments, **options) as sock:
        peers.exchange(sock)
        number = peers.local_port(sock)
    line = gateway.log.wait(number)
    assert line["result"] == "ok", line
    return line


@pytest.fixture
def mesh_server(certificates):
    return pki.server_context(certificates.reviews, certificates.mesh.bundle, ["istio"])


def test_endpoints_are_the_workloads_that_the_selector_takes(istio, mesh_server):
    topology, _ = istio
    with peers.Server(topology.mesh, "10.10.0.11", 20001, peers.echo, mesh_server) as first, \
            peers.Server(topology.mesh, "10.10.0.12", 20011, peers.echo, mesh_server) as second:
        lines = [exchange(istio, "10.96.0.1") for _ in range(16)]
    assert first.accepted and second.accepted
    assert len(first.accepted) + len(second.accepted) == 16
    assert {line["upstream"]["remote"] for line in lines} == \
        {"10.10.0.11:20001", "10.10.0.12:20011"}
    assert {line["policy"]["name"] for line in lines} == {"shop/reviews"}
    assert {line["mode"] for line in lines} == {"ISTIO_MUTUAL"}


def test_a_rule_for_a_port_is_for_that_port(istio):
    topology, _ = istio
    with peers.Server(topology.mesh, "10.10.0.11", 20002), \
            peers.Server(topology.mesh, "10.10.0.12", 20002):
        line = exchange(istio, "10.96.0.1", 81)
    assert line["mode"] == "DISABLE" and line["upstream"]["tls"] is None
    assert line["policy"]["name"] == "shop/reviews"


def test_a_wildcard_is_for_those_without_a_rule_of_their_own(istio, certificates):
    topology, _ = istio
    tls = pki.server_context(certificates.api)
    with peers.Server(topology.mesh, "10.10.0.11", 20003, peers.echo, tls) as server:
        line = exchange(istio, "10.96.0.2", 443)
        assert server.accepted[-1].hello.sni == "api.example.com"
    assert (line["mode"], line["policy"]["name"]) == ("SIMPLE", "shop/everything-outside")
    with peers.Server(topology.mesh, "10.10.0.11", 20004):
        line = exchange(istio, "10.96.0.3")
    assert (line["mode"], line["policy"]["name"]) == ("DISABLE", "shop/plain-outside")


def test_a_rule_for_a_workload_is_for_no_other(istio, mesh_server):
    """The other finds neither this rule nor, in its own namespace, another: auto mTLS."""
    topology, _ = istio
    with peers.Server(topology.mesh, "10.10.0.11", 20005, peers.echo, mesh_server) as server:
        line = exchange(istio, "10.96.0.4")
        assert server.accepted[-1].hello.sni == "for-the-client.example"
        assert line["policy"]["name"] == "shop/picky-client"
        line = exchange(istio, "10.96.0.4", client="shop/visitor")
        assert server.accepted[-1].hello.sni == "outbound_.80_._.picky.shop.svc.cluster.local"
        assert line["policy"]["kind"] == "auto mTLS"


def test_a_service_entrys_own_names_and_aliases_of_accounts_are_believed(istio, certificates):
    topology, gateway = istio
    alias = certificates.mesh.svid("reviews", name="reviews-old", domain="old.example")
    for credential in (certificates.imposter, certificates.reviews, alias):
        tls = pki.server_context(credential, certificates.mesh.bundle, ["istio"])
        with peers.Server(topology.mesh, "10.10.0.11", 20006, peers.echo, tls):
            exchange(istio, "10.96.0.5")
    tls = pki.server_context(certificates.peer, certificates.mesh.bundle, ["istio"])
    with peers.Server(topology.mesh, "10.10.0.11", 20006, peers.echo, tls):
        with call(topology, "10.96.0.5") as sock:
            number = peers.local_port(sock)
            sock.sendall(b"anybody?\n")
            assert peers.ending(sock) == ("reset", b"")
    line = gateway.log.wait(number)
    assert line["cause"] == "san_mismatch"
    for wanted in ("sa/mallory", "cluster.local/ns/shop/sa/reviews"):
        assert wanted in line["detail"], line["detail"]


# --- both ends behind the same gateway -----------------------------------------------------------------


def test_workloads_of_one_gateway_speak_through_mutual_tls(istio):
    """The call leaves under the caller's identity and arrives under the policy of the called,
    as if there were two gateways."""
    topology, gateway = istio
    with peers.Server(topology.more, WORKLOADS["bank/stock"], PORT) as server:
        socks = [call(topology, "10.96.0.6") for _ in range(8)]
        for sock in socks:
            peers.exchange(sock, b"h" * 200_000)
        numbers = [peers.local_port(sock) for sock in socks]
        for sock in socks:
            sock.close()
        assert len(server.accepted) == 8
    for number in numbers:
        out = gateway.log.wait(number)
        assert (out["direction"], out["result"]) == ("outbound", "ok"), out
        assert out["upstream"]["tls"]["peer"] == pki.spiffe("ledger", "bank")
        back = [line for line in gateway.log.find(int(out["upstream"]["local"].rpartition(":")[2]))
                if line["direction"] == "inbound"][-1]
        assert (back["workload"], back["mode"], back["result"]) == ("bank/stock", "STRICT", "ok")
        assert back["downstream"]["tls"]["peer"] == pki.spiffe("client")
        assert back["bytes_received"] == out["bytes_received"] == 200_000
        assert address_of(back["downstream"]["remote"]) == address_of(out["upstream"]["local"])
    assert gateway.counter("looped") > 0


def test_nobody_behind_the_same_gateway_is_reported_as_anywhere(istio):
    topology, gateway = istio
    number = 31998  # the reset may come while connect() is still at it
    with pytest.raises(ConnectionResetError):
        with peers.connect(topology.work, "10.96.0.6", 80, WORKLOADS["shop/client"],
                           source_port=number) as sock:
            sock.sendall(b"anybody?\n")
            sock.recv(1)
    out = gateway.log.wait(number)
    assert (out["result"], out["cause"]) == ("failed", "upstream_reset"), out
    back = gateway.log.wait(int(out["upstream"]["local"].rpartition(":")[2]))
    assert (back["workload"], back["cause"]) == ("bank/stock", "upstream_refused"), back


def test_keepalives_ask_whether_an_idle_peer_is_there(istio):
    topology, gateway = istio
    before = gateway.counter("keepalives")
    with peers.Server(topology.work, WORKLOADS["shop/cart"], PORT):
        with peers.connect(topology.mesh, WORKLOADS["shop/cart"], PORT, CLIENT) as sock:
            peers.exchange(sock)
            gateway.settle(lambda _: gateway.counter("keepalives") >= before + 2, 10,
                           "both legs to be probed")
            peers.exchange(sock)
