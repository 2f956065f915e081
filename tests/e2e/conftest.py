# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the topology, the certificates, the gateway that most tests share."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from harness import netns, pki, scenario  # noqa: E402
from harness.gateway import BINARY, IMPAIR, ConnectionLog, Gateway  # noqa: E402
from harness.peers import Server, echo, http  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("portcullis")
    group.addoption("--binary", default=str(BINARY), help="the portcullis to test")
    group.addoption("--impair", default=str(IMPAIR), help="the impairing forwarder")
    group.addoption("--wrapper", default="", help="what to run it under, e.g. 'valgrind -q ...'")


def pytest_configure(config):
    config.addinivalue_line("markers", "core: the subset that also runs under sanitizers")
    if os.geteuid() != 0:
        raise pytest.UsageError("these tests make network namespaces: run them as root")
    for option in ("--binary", "--impair"):
        program = Path(config.getoption(option)).resolve()
        if not os.access(program, os.X_OK):
            raise pytest.UsageError(f"{option} {program}: build it first (ninja -C build)")


@pytest.fixture(autouse=True)
def _fresh_logs():
    """Ports of clients come again: a test looks at lines of its own time only."""
    for log in list(ConnectionLog.live):
        log.forget()


@pytest.fixture(scope="session")
def binary(request):
    return Path(request.config.getoption("--binary")).resolve()


@pytest.fixture(scope="session")
def wrapper(request):
    return request.config.getoption("--wrapper")


@pytest.fixture(scope="session")
def impair(request):
    return Path(request.config.getoption("--impair")).resolve()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return scenario.Certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def topology():
    with netns.Topology() as made:
        yield made


@pytest.fixture(scope="session")
def shared(topology, certificates, binary, wrapper, tmp_path_factory):
    """The scenario whose gateway most tests share: only to be read."""
    return scenario.Scenario(tmp_path_factory.mktemp("shared") / "config", certificates)


class _Shared:
    """The shared gateway gives way to tests that run one of their own in the same topology."""

    def __init__(self, make):
        self.make, self.gateway = make, None

    def up(self):
        if self.gateway is None:
            self.gateway = self.make().start()
        return self.gateway

    def down(self):
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            gateway.stop()


@pytest.fixture(scope="session")
def _shared_gateway(topology, shared, binary, wrapper):
    holder = _Shared(lambda: Gateway(topology.gateway, shared.directory, binary, wrapper))
    yield holder
    holder.down()


@pytest.fixture
def gateway(_shared_gateway):
    """The shared gateway, running; a test must leave it as it found it."""
    running = _shared_gateway.up()
    running.log.forget()
    yield running
    if not running.alive():
        _shared_gateway.down()  # raises with what it said last


@pytest.fixture
def own(topology, certificates, binary, wrapper, tmp_path, _shared_gateway):
    """Makes a scenario and a gateway for one test, which may change and stop them."""
    _shared_gateway.down()
    made = []

    def make(start=True, **options):
        config = scenario.Scenario(tmp_path / f"config{len(made)}", certificates, **options)
        gateway = Gateway(topology.gateway, config.directory, binary, wrapper)
        made.append(gateway)
        return config, gateway.start() if start else gateway

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture(scope="session")
def mesh(topology):
    return topology.mesh


@pytest.fixture(scope="session")
def work(topology):
    return topology.work


@pytest.fixture(scope="session")
def workloads(topology, certificates):
    """Plaintext servers on the ports of every workload: name -> port -> Server."""
    servers = {}
    for name, (address, *_) in scenario.WORKLOADS.items():
        servers[name] = {
            scenario.TCP_PORT: Server(topology.work, address, scenario.TCP_PORT, echo),
            scenario.AUTO_PORT: Server(topology.work, address, scenario.AUTO_PORT, echo),
            scenario.HTTP_PORT: Server(topology.work, address, scenario.HTTP_PORT, http),
        }
    yield servers
    for ports in servers.values():
        for server in ports.values():
            server.close()


@pytest.fixture(scope="session")
def mesh_client(certificates):
    """TLS of a peer in the mesh, as its sidecar would do it."""
    return pki.client_context(certificates.peer, alpn=["istio"])


@pytest.fixture
def directory(tmp_path):
    """For the files of a program."""
    return tmp_path / "program"
