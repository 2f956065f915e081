# SPDX-License-Identifier: Apache-2.0
"""
The mesh that most tests use: workloads behind the gateway in each mode, services in front of
it for each kind of TLS, in Istio's own resources.
"""

import json
from pathlib import Path

from . import pki

CLIENT = "10.10.0.2"      # a peer in the mesh
CLIENT6 = "fd00:10::2"
GATEWAY_MESH, GATEWAY_WORK = "10.10.0.1", "10.20.0.1"
PLAIN_HOST, PLAIN_HOST6 = "10.20.0.99", "fd00:20::99"  # behind the gateway, no workload

# Workloads behind the gateway: name -> address, service account, mode, source.
WORKLOADS = {
    "web": ("10.20.0.2", "web", "STRICT", "preserve"),
    "mixed": ("10.20.0.3", "web", "PERMISSIVE", "preserve"),
    "open": ("10.20.0.4", "", "DISABLE", "preserve"),
    "masked": ("10.20.0.5", "web", "STRICT", "gateway"),
    "client": ("10.20.0.10", "client", None, "preserve"),
    "web6": ("fd00:20::2", "web", "STRICT", "preserve"),
    "mixed6": ("fd00:20::3", "web", "PERMISSIVE", "preserve"),
    "client6": ("fd00:20::10", "client", None, "preserve"),
}
ADDRESS = {name: row[0] for name, row in WORKLOADS.items()}

# Ports of every workload: 8080 is declared HTTP, 9000 TCP; others are not declared.
HTTP_PORT, TCP_PORT, AUTO_PORT = 8080, 9000, 7000

SERVER, SERVER6 = "10.10.0.11", "fd00:10::11"   # where the services' endpoints are
DOMAIN = "shop.svc.cluster.local"


class Service:
    """A service in front of the gateway, with one endpoint."""

    def __init__(self, number, tls, protocol="TCP", tls_mode=None, account="reviews",
                 location="MESH_INTERNAL", address=SERVER, virtual=None, port=None, sans=()):
        self.virtual = f"10.96.0.{number}" if virtual is None else virtual
        self.address, self.port = address, port or 20000 + number
        self.protocol, self.tls_mode, self.account = protocol, tls_mode, account
        self.tls, self.location, self.sans = tls, location, sans


def services(mesh, outside):
    """name -> Service; service port is 80 everywhere. `mesh` and `outside` are folders with the
    files that DestinationRules name."""
    istio = "istio"
    return {
        "plain": Service(1, {"mode": "DISABLE"}, tls_mode=istio),
        "simple": Service(2, {"mode": "SIMPLE", "caCertificates": f"{outside}/ca.pem",
                              "sni": "api.example.com", "subjectAltNames": ["api.example.com"]},
                          account=None, location="MESH_EXTERNAL"),
        "mutual": Service(3, {"mode": "MUTUAL", "caCertificates": f"{outside}/ca.pem",
                              "clientCertificate": f"{outside}/partner.pem",
                              "privateKey": f"{outside}/partner.key", "sni": "api.example.com"},
                          account=None, location="MESH_EXTERNAL"),
        "istio": Service(4, {"mode": "ISTIO_MUTUAL"}),
        "auto": Service(5, None, tls_mode=istio),
        "autoplain": Service(6, None, account=None),
        "named": Service(7, {"mode": "ISTIO_MUTUAL", "sni": "elsewhere.example.com"}),
        "reviews": Service(8, None, protocol="HTTP", tls_mode=istio),
        "webplain": Service(9, {"mode": "DISABLE"}, protocol="HTTP", account=None),
        "imposter": Service(10, None, tls_mode=istio),
        "imposterhttp": Service(11, None, protocol="HTTP", tls_mode=istio),
        "refused": Service(12, {"mode": "DISABLE"}),
        "refusedhttp": Service(13, {"mode": "DISABLE"}, protocol="HTTP"),
        "refusedauto": Service(14, {"mode": "DISABLE"}, protocol=None),
        "timeout": Service(15, {"mode": "DISABLE"}),
        "timeouthttp": Service(16, {"mode": "DISABLE"}, protocol="HTTP"),
        "auto6": Service(17, None, tls_mode=istio, address=SERVER6, virtual="fd00:96::17"),
        "refusedhttp6": Service(18, {"mode": "DISABLE"}, protocol="HTTP", address=SERVER6,
                                virtual="fd00:96::18"),
        "imposterauto": Service(19, None, protocol=None, tls_mode=istio),
        "wrongca": Service(20, None, protocol="HTTP", tls_mode=istio),
        # No address of its own: known by that of its endpoint.
        "direct": Service(21, None, tls_mode=istio, virtual=""),
    }


def _document(kind, name, spec, group="networking.istio.io/v1"):
    return {"apiVersion": group, "kind": kind,
            "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def _yaml(documents):
    # JSON is YAML; one document a line keeps file:line useful.
    return "".join("---\n" + json.dumps(document) + "\n" for document in documents)


def peer_authentication(name, mode):
    return _document("PeerAuthentication", name,
                     {"selector": {"matchLabels": {"app": name}}, "mtls": {"mode": mode}},
                     "security.istio.io/v1")


def workload_documents(workloads):
    for name, (address, account, mode, _) in workloads.items():
        spec = {"address": address, "labels": {"app": name, "tier": "behind"}}
        if account:
            spec["serviceAccount"] = account
        yield _document("WorkloadEntry", name, spec)
        if mode:
            yield peer_authentication(name, mode)
    yield _document("ServiceEntry", "behind", {
        "hosts": [f"behind.{DOMAIN}"], "location": "MESH_INTERNAL", "resolution": "STATIC",
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": HTTP_PORT},
                  {"number": 9000, "name": "tcp-echo", "protocol": "TCP"}],
        "workloadSelector": {"labels": {"tier": "behind"}}})


def service_documents(table):
    for name, service in table.items():
        endpoint = {"address": service.address}
        if service.tls_mode:
            endpoint["labels"] = {"security.istio.io/tlsMode": service.tls_mode}
        if service.account:
            endpoint["serviceAccount"] = service.account
        port = {"number": 80, "name": "port", "targetPort": service.port}
        if service.protocol:
            port["protocol"] = service.protocol
        spec = {"hosts": [f"{name}.{DOMAIN}"], "location": service.location,
                "resolution": "STATIC", "ports": [port], "endpoints": [endpoint]}
        if service.virtual:
            spec["addresses"] = [service.virtual]
        if service.sans:
            spec["subjectAltNames"] = list(service.sans)
        yield _document("ServiceEntry", name, spec)
        if service.tls:
            yield _document("DestinationRule", name, {
                "host": f"{name}.{DOMAIN}", "trafficPolicy": {"tls": service.tls}})


class Certificates:
    """Every certificate that the tests need, made once."""

    def __init__(self, directory):
        self.mesh = pki.Authority(directory / "mesh", "Mesh CA")
        self.other = pki.Authority(directory / "other", "Another CA")
        self.outside = pki.Authority(directory / "outside", "Outside CA")
        self.web = self.mesh.svid("web")
        self.client = self.mesh.svid("client")
        self.peer = self.mesh.svid("sleep")
        self.peer_rsa = self.mesh.svid("sleep", name="sleep-rsa", key="rsa")
        self.reviews = self.mesh.svid("reviews")
        self.imposter = self.mesh.svid("mallory")
        self.stranger = self.other.svid("reviews")
        self.api = self.outside.issue("api", dns=["api.example.com"])
        self.partner = self.outside.issue("partner", dns=["partner.example.com"])
        self.bad_clients = {
            "unknown_ca": self.other.svid("sleep"),
            "certificate_expired": self.mesh.svid("sleep", name="expired", start=-7200, end=-60),
            "certificate_not_yet_valid":
                self.mesh.svid("sleep", name="future", start=3600, end=86400),
            "trust_domain_mismatch":
                self.mesh.svid("sleep", name="foreign", domain="elsewhere.example"),
            "multiple_uri_sans": self.mesh.issue("two", uris=[
                pki.spiffe("sleep"), pki.spiffe("other")]),
            "no_spiffe_id": self.mesh.issue("none", dns=["sleep.example.com"]),
            "certificate_invalid": self.mesh.svid("sleep", name="authority", authority=True),
        }


class Scenario:
    """A folder with portcullis.yaml, the mesh folder, and copies of the identity files, that a
    test may change without disturbing others. `node` changes sections of portcullis.yaml."""

    def __init__(self, directory, certificates, **node):
        self.directory = Path(directory)
        self.mesh = self.directory / "mesh"
        self.mesh.mkdir(parents=True)
        self.certificates = certificates
        self.workloads = dict(WORKLOADS)
        outside = certificates.outside.directory
        self.services = services(certificates.mesh.directory, outside)
        self.identities = {name: self._copy(name) for name in ("web", "client")}
        self.node = node
        self.write()

    def _copy(self, name):
        source = getattr(self.certificates, name)
        target = pki.Credential(self.directory / f"{name}.pem", self.directory / f"{name}.key",
                                self.directory / "ca.pem")
        target.bundle.write_bytes(source.bundle.read_bytes())
        target.replace_by(source)
        return target

    def write(self):
        (self.mesh / "workloads.yaml").write_text(_yaml(workload_documents(self.workloads)))
        (self.mesh / "services.yaml").write_text(_yaml(service_documents(self.services)))
        (self.directory / "portcullis.yaml").write_text(json.dumps(self.portcullis(), indent=2))

    def set_mode(self, gateway, workload, mode):
        """Edits a workload's PeerAuthentication and waits until it is in force."""
        address, account, _, source = self.workloads[workload]
        self.workloads[workload] = (address, account, mode, source)
        gateway.change(self.mesh / "workloads.yaml", _yaml(workload_documents(self.workloads)))

    def portcullis(self):
        config = {
            "node": {"name": "gateway-e2e", "trustDomain": "cluster.local",
                     "rootNamespace": "istio-system"},
            "workers": {"count": 1, "idle": "auto", "maxConnections": 4096, "memory": 256},
            "ports": [
                {"name": "mesh", "device": "net_af_packet0,iface=pc-mesh",
                 "addresses": ["10.10.0.1/24", "fd00:10::1/64"]},
                {"name": "workloads", "device": "net_af_packet1,iface=pc-work",
                 "addresses": ["10.20.0.1/24", "fd00:20::1/64"]}],
            "identities": [
                {"certificateChain": f"{name}.pem", "privateKey": f"{name}.key",
                 "trustBundle": "ca.pem"} for name in self.identities],
            "mesh": "mesh",
            "workloads": [{"name": f"shop/{name}", "source": row[3]}
                          for name, row in self.workloads.items()],
            "listeners": [
                {"address": GATEWAY_MESH, "port": 15443,
                 "inbound": {"workload": "shop/web", "port": TCP_PORT}},
                {"address": GATEWAY_WORK, "port": 9080,
                 "outbound": {"client": "shop/client", "host": f"reviews.{DOMAIN}", "port": 80}}],
            "timeouts": {"connect": "2s", "handshake": "3s", "idle": "1h", "drain": "2s"},
            "log": {"connections": str(self.directory / "connections.log")},
            "admin": {"socket": str(self.directory / "admin.sock")},
        }
        for key, value in self.node.items():
            config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
        return config
