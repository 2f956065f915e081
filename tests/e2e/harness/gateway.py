# SPDX-License-Identifier: Apache-2.0
"""The gateway under test: its process, its log of connections, its admin socket."""

import http.client
import json
import os
import re
import shlex
import signal
import socket
import time
import weakref
from pathlib import Path

from .process import Failed, Process, run

ROOT = Path(__file__).resolve().parents[3]
BINARY = ROOT / "build" / "dataplane" / "portcullis"
IMPAIR = ROOT / "build" / "tests" / "e2e" / "impair"

# What a sanitizer or Valgrind says when something is wrong.
REPORTS = re.compile(r"(ERROR: (Address|Leak|UndefinedBehavior)Sanitizer|runtime error:|"
                     r"ERROR SUMMARY: [1-9]|definitely lost: [1-9])")

# Keys that every line of the connection log has, and the type of each.
OPTIONAL_DICT = (dict, type(None))
LINE = {
    "time": str, "connection": (int, str), "direction": str, "downstream": dict,
    "upstream": OPTIONAL_DICT, "workload": (str, type(None)), "service": (str, type(None)),
    "protocol": (str, type(None)), "mode": (str, type(None)), "bytes_received": int,
    "bytes_sent": int, "duration_ms": (int, float), "policy": OPTIONAL_DICT, "result": str,
    "cause": (str, type(None)), "detail": (str, type(None)),
}
TLS = {**dict.fromkeys(("version", "cipher", "alpn", "sni", "peer"), (str, type(None))),
       "verified": bool}


def check_line(line):
    """Asserts that a line of the connection log has the form that operators rely on."""
    for key, kind in LINE.items():
        assert key in line and isinstance(line[key], kind), f"{key} of {line}"
    assert line["direction"] in ("inbound", "outbound"), line
    assert line["result"] in ("ok", "refused", "failed"), line
    assert (line["cause"] is None) == (line["result"] == "ok"), line
    for leg in ("downstream", "upstream"):
        if line[leg] is None:
            continue
        assert isinstance(line[leg]["remote"], str) and isinstance(line[leg]["local"], str), line
        tls = line[leg]["tls"]
        for key, kind in (TLS.items() if tls is not None else ()):
            assert key in tls and isinstance(tls[key], kind), f"{leg}.tls.{key} of {line}"
    if line["policy"] is not None:
        assert {"kind", "name", "file", "line"} <= line["policy"].keys(), line
    return line


def port_of(endpoint):
    """The port of "10.1.2.3:80" or "[fd00::1]:80"."""
    return int(endpoint.rpartition(":")[2])


def address_of(endpoint):
    return endpoint.rpartition(":")[0].strip("[]")


class ConnectionLog:
    """Follows the file of JSON lines."""

    live = weakref.WeakSet()  # all of them: conftest.py has them forget before each test

    def __init__(self, path):
        ConnectionLog.live.add(self)
        self.path = Path(path)
        self.lines = []
        self._at = 0
        self._rest = b""

    def poll(self):
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = self._rest + file.read()
            self._at = file.tell()
        *whole, self._rest = data.split(b"\n")
        for line in whole:
            try:
                self.lines.append(check_line(json.loads(line)))
            except ValueError as error:
                raise AssertionError(f"not a JSON line: {line!r}: {error}") from None

    def forget(self):
        """Leaves out the lines of before: ports of clients come again."""
        self.poll()
        self.lines.clear()

    def find(self, port):
        """Lines of connections from this port of the client."""
        return [line for line in self.lines if port_of(line["downstream"]["remote"]) == port]

    def wait(self, port, timeout=10.0):
        """The newest line of the connection from this port of the client."""
        deadline = time.monotonic() + timeout
        while True:
            self.poll()
            if found := self.find(port):
                return found[-1]
            if time.monotonic() > deadline:
                recent = "\n".join(json.dumps(line) for line in self.lines[-5:])
                raise AssertionError(f"no line about port {port}; the newest are:\n{recent}")
            time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=5.0):
        super().__init__("portcullis", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Gateway:
    """One run of the binary in a topology's gateway namespace, from a folder with
    portcullis.yaml. stop() asserts that it ended well and that no sanitizer complained."""

    def __init__(self, space, directory, binary=BINARY, wrapper=()):
        self.space = space
        self.directory = Path(directory)
        self.binary = Path(binary)
        self.wrapper = shlex.split(wrapper) if isinstance(wrapper, str) else list(wrapper)
        self.config = self.directory / "portcullis.yaml"
        self.log = ConnectionLog(self.directory / "connections.log")
        self.admin = self.directory / "admin.sock"
        self.process = None
        # Under Valgrind or a sanitizer everything takes longer.
        self.slow = 20 if self.wrapper else 1

    def start(self, timeout=20.0):
        environment = {**os.environ,
                       "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
                       "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=98"}
        suppressions = ROOT / "tests" / "e2e" / "lsan.supp"
        if suppressions.exists():
            environment["LSAN_OPTIONS"] = f"suppressions={suppressions}:print_suppressions=0"
        self.process = Process(
            self.space.command([*self.wrapper, str(self.binary), "--config", str(self.config)]),
            name="portcullis", env=environment, cwd=self.directory,
            output=self.directory / "portcullis.log")
        try:
            self.process.wait_line(r"^portcullis: .*\bready\b", timeout * self.slow)
        except BaseException:
            self.process.stop()
            raise
        return self

    def request(self, path, timeout=5.0):
        """(status, body) of a GET on the admin socket."""
        connection = UnixConnection(self.admin, timeout * self.slow)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stats(self):
        status, body = self.request("/stats")
        assert status == 200, body
        return json.loads(body)

    def counter(self, name):
        """The sum of every number called `name` anywhere in the statistics."""
        def total(node):
            if isinstance(node, dict):
                return sum(value if key == name and isinstance(value, int) else total(value)
                           for key, value in node.items())
            return sum(total(value) for value in node) if isinstance(node, list) else 0
        return total(self.stats())

    def pools(self):
        """Buffers in use, by name of the mempool."""
        return {pool["name"]: pool["in_use"] for pool in self.stats()["mempools"]}

    def settle(self, predicate, timeout=15.0, what="the gateway to settle"):
        """Waits until `predicate(stats)` is true and returns those statistics."""
        deadline = time.monotonic() + timeout * self.slow
        while True:
            stats = self.stats()
            if predicate(stats):
                return stats
            if time.monotonic() > deadline:
                raise Failed(f"waited for {what}; statistics: {json.dumps(stats)}")
            time.sleep(0.1)

    def change(self, path, text, expect=r"\b(published|reloaded)\b", timeout=10.0):
        """Writes a watched file anew and waits for what the gateway says about it."""
        mark = self.process.mark()
        fresh = Path(str(path) + ".new")
        fresh.write_text(text)
        os.replace(fresh, path)
        return self.process.wait_line(expect, timeout * self.slow, since=mark)

    def hang_up(self):
        self.process.popen.send_signal(signal.SIGHUP)

    def alive(self):
        return self.process is not None and self.process.running()

    def wait_end(self, timeout=20.0):
        """Waits for the end of a gateway that was asked to stop, and asserts that it was a good
        one."""
        process, self.process = self.process, None
        try:
            status = process.wait(timeout * self.slow)
        finally:
            process.stop()
        text = process.text()
        report = REPORTS.search(text)
        if status != 0 or report:
            tail = text[report.start():][:6000] if report else "\n".join(process.lines[-40:])
            raise Failed(f"the gateway ended with status {status}:\n{tail}")
        self.log.poll()

    def stop(self, timeout=20.0):
        if self.process is None:
            return
        if not self.process.running():
            lines, self.process = self.process.lines, None
            raise Failed("the gateway had ended by itself:\n" + "\n".join(lines[-60:]))
        self.process.popen.send_signal(signal.SIGTERM)
        self.wait_end(timeout)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self.process is not None:
            print("--- portcullis said ---\n" + "\n".join(self.process.lines[-60:]))
            self.process.stop()
            self.process = None


def check(config, binary=BINARY, timeout=60):
    """`portcullis check`: (exit status, what it said)."""
    done = run([binary, "check", "--config", config], timeout=timeout, check=False)
    return done.returncode, done.stdout + done.stderr
