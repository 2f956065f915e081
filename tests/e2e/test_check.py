# SPDX-License-Identifier: Apache-2.0
"""`portcullis check`: everything is validated without a packet, and errors say where."""

import re

import pytest

from harness import gateway as gateway_module
from harness import scenario


@pytest.fixture
def config(certificates, tmp_path):
    return scenario.Scenario(tmp_path / "config", certificates)


def verdict(config, binary):
    return gateway_module.check(config.directory / "portcullis.yaml", binary)


GOOD = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: istio-system
spec:
  mtls:
    mode: STRICT
"""


@pytest.mark.core
def test_a_good_configuration_passes(config, binary):
    (config.mesh / "default.yaml").write_text(GOOD)
    status, text = verdict(config, binary)
    assert status == 0 and " error: " not in text, text


def replaced(old, new, text=GOOD):
    assert old in text
    return text.replace(old, new)


LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n"
    for n in range(1, 20))

BAD = {
    "unknown field": (replaced("  mtls:", "  mtsl:"), r"bad\.yaml:7:3: error: .*mtsl"),
    "wrong type": (replaced("    mode: STRICT", "    mode: [STRICT]"),
                   r"bad\.yaml:8:11: error: "),
    "bad value": (replaced("STRICT", "MAYBE"), r"bad\.yaml:8:11: error: .*MAYBE"),
    "duplicate key": (replaced("    mode: STRICT", "    mode: STRICT\n    mode: DISABLE"),
                      r"bad\.yaml:9:5: error: "),
    "tab": (replaced("  mtls:\n    mode: STRICT", "\tmtls:\n\t\tmode: STRICT"),
            r"bad\.yaml:7:\d+: error: "),
    "billion laughs": (LAUGHS, r"bad\.yaml:\d+:\d+: error: "),
    "anchor": (replaced("name: default", "name: &n default"), r"bad\.yaml:4:\d+: error: "),
    "alias to itself": ("a: &a\n  b: *a\n", r"bad\.yaml:\d+:\d+: error: "),
    "unknown kind": (replaced("PeerAuthentication", "PeerAuthenticator"),
                     r"bad\.yaml:2:7: error: .*PeerAuthenticator"),
    "unknown version": (replaced("istio.io/v1", "istio.io/v9"), r"bad\.yaml:1:13: error: "),
    "not YAML": ("a: b: c: {", r"bad\.yaml:1:\d+: error: "),
    "not UTF-8": ("a: \udcff\udcfe\n", r"bad\.yaml:1:\d+: error: "),
    "no name": (replaced("  name: default\n", ""), r"bad\.yaml:\d+:\d+: error: .*name"),
    "port out of range": (replaced(
        "namespace: istio-system", "namespace: shop").replace(
        "spec:", "spec:\n  selector:\n    matchLabels: {app: web}\n"
        "  portLevelMtls:\n    99999: {mode: STRICT}"), r"bad\.yaml:10:\d+: error: .*99999"),
}


@pytest.mark.core
@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD.keys())
def test_a_bad_resource_is_an_error_with_its_place(config, binary, text, message):
    (config.mesh / "bad.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    status, said = verdict(config, binary)
    assert status == 1 and re.search(message, said), said


NODE = {
    "unknown field": ({"colour": "green"}, r"portcullis\.yaml:\d+:\d+: error: .*colour"),
    "wrong type": ({"workers": {"count": "many"}}, r"portcullis\.yaml:\d+:\d+: error: .*many"),
    "no workers": ({"workers": {"count": 0}}, r"portcullis\.yaml:\d+:\d+: error: "),
    "bad duration": ({"timeouts": {"idle": "soon"}}, r"portcullis\.yaml:\d+:\d+: error: .*soon"),
    "bad address": ({"ports": [{"name": "mesh", "device": "net_ring0",
                                "addresses": ["10.10.0.300/24"]}]},
                    r"portcullis\.yaml:\d+:\d+: error: .*10\.10\.0\.300"),
    "unknown port in a route": ({"routes": [{"to": "10.0.0.0/8", "via": "10.10.0.254",
                                             "port": "elsewhere"}]},
                                r"portcullis\.yaml:\d+:\d+: error: .*elsewhere"),
    "missing mesh folder": ({"mesh": "nowhere"}, r"portcullis\.yaml:\d+:\d+: error: .*nowhere"),
    "unknown workload": ({"workloads": [{"name": "shop/ghost"}], "listeners": []},
                         r"portcullis\.yaml:\d+:\d+: error: .*shop/ghost"),
}


@pytest.mark.core
@pytest.mark.parametrize("change, message", NODE.values(), ids=NODE.keys())
def test_a_bad_node_file_is_an_error_with_its_place(certificates, binary, tmp_path, change,
                                                    message):
    config = scenario.Scenario(tmp_path / "config", certificates, **change)
    status, said = verdict(config, binary)
    assert status == 1 and re.search(message, said), said


def test_several_errors_are_reported_in_one_run(certificates, binary, tmp_path):
    config = scenario.Scenario(tmp_path / "config", certificates, colour="green",
                               timeouts={"idle": "soon"})
    (config.mesh / "bad.yaml").write_text(BAD["bad value"][0])
    status, said = verdict(config, binary)
    assert status == 1
    for wanted in ("colour", "soon", "MAYBE"):
        assert wanted in said, said


@pytest.mark.core
@pytest.mark.parametrize("damage, message", [
    (lambda web, c: web.key.unlink(), r"web\.key"),
    (lambda web, c: web.key.write_bytes(c.peer.key.read_bytes()), r"web\.(key|pem).*match"),
    (lambda web, c: web.chain.write_text("nonsense"), r"web\.pem"),
    (lambda web, c: web.replace_by(c.bad_clients["certificate_expired"]), r"web\.pem.*expired"),
    (lambda web, c: web.replace_by(c.bad_clients["certificate_not_yet_valid"]),
     r"web\.pem.*not (yet )?valid"),
    (lambda web, c: web.replace_by(c.bad_clients["multiple_uri_sans"]), r"web\.pem.*URI"),
    (lambda web, c: web.replace_by(c.bad_clients["no_spiffe_id"]), r"web\.pem.*(SPIFFE|URI)"),
], ids=["missing key", "key of another", "nonsense", "expired", "not yet valid", "two URI SANs",
        "no URI SAN"])
def test_a_bad_identity_is_an_error_that_names_the_file(config, certificates, binary, damage,
                                                        message):
    damage(config.identities["web"], certificates)
    status, said = verdict(config, binary)
    assert status == 1 and re.search(message, said), said


def test_an_identity_of_another_trust_domain_serves_nobody_here(config, certificates, binary):
    config.identities["web"].replace_by(certificates.bad_clients["trust_domain_mismatch"])
    status, said = verdict(config, binary)
    assert status == 0
    assert re.search(r"warning: no identity for spiffe://cluster\.local/ns/shop/sa/web, have "
                     r"spiffe://elsewhere\.example/", said), said


@pytest.mark.core
def test_a_missing_file_is_an_error(binary, tmp_path):
    status, said = gateway_module.check(tmp_path / "none.yaml", binary)
    assert status == 1 and "none.yaml" in said


def test_check_needs_neither_root_nor_ports(config, binary):
    """The ports of the configuration do not exist here, and nothing is opened."""
    status, said = verdict(config, binary)
    assert status == 0, said
