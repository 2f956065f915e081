# SPDX-License-Identifier: Apache-2.0
"""The whole gateway on ports that are no veth: the kernel behind net_tap, rings within the process,
and two gateways that are each other's next hop over net_memif."""

import contextlib

import pytest

from harness import netns, peers, pki, scenario
from harness.gateway import BINARY, Gateway
from harness.scenario import ADDRESS, CLIENT, CLIENT6, TCP_PORT


def source(address):
    return CLIENT6 if ":" in address else CLIENT


# --- net_tap -----------------------------------------------------------------------------------


class TapTopology(netns.Topology):
    """The gateway makes its cables itself: an interface each, which is then moved to its peers."""

    LEGS = ("mesh", "work")

    def _cable(self, leg, space, vlan):
        pass

    def _addresses(self):
        pass

    def connect(self):
        for leg in self.LEGS:
            space = getattr(self, leg)
            self.gateway.batch(f"link set tap-{leg} netns {space.name} name eth0")
            space.batch("link set eth0 up")
        super()._addresses()


@pytest.fixture(scope="module")
def tap(certificates, binary, wrapper, tmp_path_factory):
    ports = [{"name": leg, "device": f"net_tap{number},iface=tap-{leg}",
              "addresses": list(netns.Topology.GATEWAY[leg])}
             for number, leg in enumerate(TapTopology.LEGS)]
    with TapTopology() as topology:
        config = scenario.Scenario(tmp_path_factory.mktemp("tap") / "config", certificates,
                                   ports=ports)
        with Gateway(topology.gateway, config.directory, binary, wrapper) as gateway:
            topology.connect()
            yield topology, config, gateway


def call_workloads(topology, mesh_client):
    """Connections to workloads over IPv4 and IPv6, with and without TLS."""
    for name, tls in (("web", mesh_client), ("mixed", None), ("web6", mesh_client),
                      ("mixed6", None)):
        address = ADDRESS[name]
        with peers.Server(topology.work, address, TCP_PORT) as server:
            with peers.connect(topology.mesh, address, TCP_PORT, source(address), tls) as sock:
                for length in (1, 1000, 100_000):
                    peers.exchange(sock, b"d" * length)
            assert server.accepted[-1].peer == source(address)


def call_service(topology, config, gateway, certificates):
    service = config.services["auto"]
    tls = pki.server_context(certificates.reviews, certificates.mesh.bundle, ["istio"])
    with peers.Server(topology.mesh, service.address, service.port, peers.echo, tls) as server:
        with peers.connect(topology.work, service.virtual, 80, ADDRESS["client"]) as sock:
            peers.exchange(sock, b"d" * 100_000)
            number = peers.local_port(sock)
        assert server.accepted[-1].uris() == [pki.spiffe("client")]
    assert gateway.log.wait(number)["result"] == "ok"


def test_inbound_over_tap(tap, mesh_client):
    topology, _, gateway = tap
    call_workloads(topology, mesh_client)
    assert {port["driver"] for port in gateway.stats()["ports"]} == {"net_tap"}


def test_outbound_over_tap(tap, certificates):
    call_service(*tap, certificates)


# --- net_ring ----------------------------------------------------------------------------------


def test_both_directions_over_rings(certificates, mesh_client, tmp_path):
    """At its end no buffer is missing, which the program itself looks at."""
    program = BINARY.parents[1] / "tests" / "unit" / "dataplane" / "ring_gateway"
    ports = [{"name": leg, "device": f"net_ring_{leg}",
              "addresses": list(netns.Topology.GATEWAY[leg])} for leg in TapTopology.LEGS]
    with netns.Topology() as topology:
        config = scenario.Scenario(tmp_path / "config", certificates, ports=ports)
        with Gateway(topology.gateway, config.directory, program) as gateway:
            call_workloads(topology, mesh_client)
            call_service(topology, config, gateway, certificates)


# --- net_memif: mesh ═ gateway a ─ memif ─ gateway b ═ work -----------------------------------------

LINKS = {"a": ("10.40.0.1", "fd00:40::1"), "b": ("10.40.0.2", "fd00:40::2")}
CALLER, CALLER6 = "10.10.0.2", "fd00:10::2"
CALLED = {4: ("10.20.0.2", "10.96.1.1"), 6: ("fd00:20::2", "fd00:96::101")}


def entry(name, address, account):
    return scenario._document("WorkloadEntry", name, {
        "address": address, "serviceAccount": account, "labels": {"app": name}})


def pair_documents():
    yield entry("caller", CALLER, "client")
    yield entry("caller6", CALLER6, "client")
    for version, (address, virtual) in CALLED.items():
        name = f"called{version}"
        yield entry(name, address, "web")
        yield scenario.peer_authentication(name, "STRICT")
        yield scenario._document("ServiceEntry", name, {
            "hosts": [f"{name}.{scenario.DOMAIN}"], "addresses": [virtual],
            "location": "MESH_INTERNAL", "resolution": "STATIC",
            "ports": [{"number": 80, "name": "tcp", "protocol": "TCP", "targetPort": TCP_PORT}],
            "workloadSelector": {"labels": {"app": name}}})


class Side(scenario.Scenario):
    """The configuration of one of the two gateways."""

    def __init__(self, directory, certificates, leg, link, behind, vlan):
        self.leg, self.link, self.behind, self.vlan = leg, link, behind, vlan
        super().__init__(directory, certificates)

    def write(self):
        (self.mesh / "pair.yaml").write_text(scenario._yaml(pair_documents()))
        super().write()
        for name in ("workloads.yaml", "services.yaml"):
            (self.mesh / name).unlink()

    def portcullis(self):
        other, beyond = ("b", "work") if self.link == "a" else ("a", "mesh")
        role = "server" if self.link == "a" else "client"
        socket = self.directory.parent / "memif.sock"
        networks = {"mesh": ("10.10.0.0/24", "fd00:10::/64"),
                    "work": ("10.20.0.0/24", "fd00:20::/64")}
        return {
            **super().portcullis(),
            "node": {"name": f"gateway-{self.link}"},
            "workers": {"count": 1, "maxConnections": 1024, "memory": 128},
            "ports": [
                {"name": "edge", "device": f"net_af_packet0,iface=pc-{self.leg}",
                 "addresses": list(netns.Topology.GATEWAY[self.leg])},
                {"name": "between",
                 "device": f"net_memif0,socket={socket},socket-abstract=no,role={role}",
                 "vlan": self.vlan,
                 "addresses": [f"{LINKS[self.link][0]}/24", f"{LINKS[self.link][1]}/64"]}],
            "routes": [{"to": to, "via": via, "port": "between"}
                       for to, via in zip(networks[beyond], LINKS[other])],
            "workloads": [{"name": f"shop/{name}"} for name in self.behind],
            "listeners": [],
        }


@pytest.fixture(scope="module", params=[0, 42], ids=["untagged", "VLAN 42"])
def pair(request, certificates, binary, wrapper, tmp_path_factory):
    directory = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        topology = stack.enter_context(netns.Topology())
        topology.mesh.batch("route add 10.96.0.0/16 via 10.10.0.1\n"
                            "route add fd00:96::/64 via fd00:10::1")
        gateways = []
        for leg, link, behind in (("mesh", "a", ["caller", "caller6"]),
                                  ("work", "b", ["called4", "called6"])):
            config = Side(directory / link, certificates, leg, link, behind, request.param)
            gateways.append(stack.enter_context(
                Gateway(topology.gateway, config.directory, binary, wrapper)))
        yield topology, *gateways


def test_what_is_not_intercepted_is_routed_over_memif_by_both(pair):
    topology, *_ = pair
    for target in ("10.20.0.99", "fd00:20::99"):
        done = topology.mesh.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", target])
        assert " 0% packet loss" in done.stdout


@pytest.mark.parametrize("version", [4, 6])
def test_two_gateways_make_mutual_tls_of_plaintext_and_back(pair, version):
    """Neither end knows of TLS; between the gateways, over the next hop of a static route,
    there is nothing else."""
    topology, near, far = pair
    address, virtual = CALLED[version]
    caller = CALLER6 if version == 6 else CALLER
    with peers.Server(topology.work, address, TCP_PORT) as server:
        with peers.connect(topology.mesh, virtual, 80, caller) as sock:
            for length in (1, 1000, 300_000):
                peers.exchange(sock, b"m" * length)
            number = peers.local_port(sock)
        seen = server.accepted[-1]
    line = near.log.wait(number)
    assert line["direction"] == "outbound" and line["result"] == "ok", line
    assert line["upstream"]["tls"]["peer"] == pki.spiffe("web")
    line = far.log.wait(int(line["upstream"]["local"].rpartition(":")[2]))
    assert line["direction"] == "inbound" and line["mode"] == "STRICT", line
    assert line["downstream"]["tls"]["peer"] == pki.spiffe("client")
    assert line["upstream"]["tls"] is None
    assert seen.peer in (caller, *LINKS["a"])
    assert {port["driver"] for port in far.stats()["ports"]} == {"net_af_packet", "net_memif"}
