# SPDX-License-Identifier: Apache-2.0
"""Peers that others wrote: nginx, HAProxy, curl and openssl(1), started inside a namespace."""

import contextlib
import re
import time

from .process import Failed, run

NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    client_max_body_size 0;
    default_type text/plain;
{servers}
}}
"""

HAPROXY = """\
global
    maxconn 512
defaults
    timeout connect 5s
    timeout client 30s
    timeout server 30s
{sections}
"""


def start_nginx(space, directory, servers):
    """Starts nginx with the given `server { }` blocks; (the process, what waits until it
    listens)."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, servers=servers))
    process = space.start(["nginx", "-e", directory / "error.log", "-p", directory, "-c", config],
                          output=directory / "output.log")
    sockets = len(re.findall(r"\blisten\s", servers))
    return process, lambda: _wait_listening(space, process, sockets)


@contextlib.contextmanager
def nginx(space, directory, servers):
    """Runs nginx with the given `server { }` blocks."""
    process, listening = start_nginx(space, directory, servers)
    try:
        listening()
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def haproxy(space, directory, sections):
    """Runs HAProxy with the given sections."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "haproxy.cfg"
    config.write_text(HAPROXY.format(sections=sections))
    process = space.start(["haproxy", "-db", "-f", config])
    try:
        _wait_listening(space, process, len(re.findall(r"^\s*bind\s", sections, re.M)))
        yield process
    finally:
        process.stop()


def haproxy_pem(credential, path):
    """HAProxy wants the chain and the key in one file."""
    path.write_bytes(credential.chain.read_bytes() + credential.key.read_bytes())
    path.chmod(0o600)
    return path


def _wait_listening(space, process, sockets, timeout=10.0):
    """Until the process has as many listening sockets as its configuration says."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not process.running():
            break
        listing = space.run(["ss", "-Hltnp"]).stdout
        if len([line for line in listing.splitlines()
                if f"pid={process.pid}," in line]) >= sockets:
            return
        time.sleep(0.05)
    raise Failed(f"{process.name} does not listen:\n{process.text()}")


class CurlResult:
    def __init__(self, done, report):
        self.exit_status = done.returncode
        self.body = done.stdout
        self.error = done.stderr
        self.status, self.port = int(report[0]), int(report[1])


def curl(space, url, *arguments, source=None, timeout=20):
    """Runs curl; `port` of the result is its own port, by which a log line is found."""
    command = ["curl", "--silent", "--show-error", "--max-time", timeout, "--noproxy", "*",
               "--write-out", "%{stderr}\n@%{http_code} %{local_port}"]
    if source:
        command += ["--interface", source]
    done = space.run([*command, *arguments, url], timeout=timeout + 5, check=False)
    done.stderr, _, report = done.stderr.rpartition("\n@")
    return CurlResult(done, report.split())


def curl_identity(credential):
    return ["--cert", credential.chain, "--key", credential.key, "--cacert", credential.bundle]


def s_client(space, address, port, *arguments, send=b"", timeout=10):
    """Runs openssl s_client until the server or `send`'s end closes; its output as text."""
    host = f"[{address}]" if ":" in address else address
    command = space.command(["timeout", str(timeout), "openssl", "s_client", "-connect",
                             f"{host}:{port}", *arguments])
    done = run(command, stdin=send, timeout=timeout + 5, check=False)
    return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")


def s_client_identity(credential):
    return ["-cert", credential.chain, "-key", credential.key, "-CAfile", credential.bundle]


@contextlib.contextmanager
def s_server(space, address, port, credential, *arguments):
    """Runs openssl s_server; what it prints about each client is in the process's lines."""
    host = f"[{address}]" if ":" in address else address
    process = space.start(["openssl", "s_server", "-accept", f"{host}:{port}",
                           "-cert", credential.chain, "-key", credential.key,
                           "-CAfile", credential.bundle, *arguments])
    try:
        process.wait_line("ACCEPT")
        yield process
    finally:
        process.stop()
