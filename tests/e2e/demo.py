# SPDX-License-Identifier: Apache-2.0
"""
The demo: six things that Portcullis does, each with the command that was run and what came
back. Every step asserts that it showed what it says; the exit status is 1 if one did not.
Called by ../../demo, which installs and builds.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import netns, pki, programs  # noqa: E402
from harness.gateway import ROOT, Gateway  # noqa: E402
from harness.process import Failed  # noqa: E402

CLIENT, FRONTEND, WEB, LEGACY = "10.10.0.2", "10.20.0.10", "10.20.0.2", "10.20.0.3"
REVIEWS, PAYMENTS = "10.10.0.11", "10.10.0.12"
HOST = "reviews.shop.svc.cluster.local"
RESOLVE = ["--resolve", f"{HOST}:80:10.96.0.10",
           "--resolve", "payments.shop.svc.cluster.local:80:10.96.0.11"]


class Screen:
    def __init__(self, color):
        self.color = color

    def _paint(self, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if self.color else text

    def title(self, text):
        print("\n" + self._paint("1;36", text), flush=True)

    def say(self, text):
        print(textwrap.fill(" ".join(text.split()), 96), flush=True)

    def command(self, text):
        print(self._paint("1", "  $ " + text), flush=True)

    def output(self, text):
        for line in text.rstrip("\n").split("\n"):
            print(self._paint("2", "    " + line), flush=True)

    def good(self, text):
        print(self._paint("32", "  ✔ " + text), flush=True)

    def bad(self, text):
        print(self._paint("1;31", "  ✘ " + text), flush=True)


# How a line of the connection log, which is long, is broken for the screen.
ROWS = [("time", "connection", "direction"), ("downstream",), ("upstream",),
        ("workload", "service", "protocol", "mode"),
        ("bytes_received", "bytes_sent", "duration_ms"), ("policy",), ("result", "cause", "leg"),
        ("detail", "local_reply")]


def broken_into_lines(line):
    rows = [", ".join(f"{json.dumps(key)}: {json.dumps(line[key])}" for key in row if key in line)
            for row in ROWS]
    return "{" + ",\n ".join(row for row in rows if row) + "}"


class Demo:
    def __init__(self, screen, directory, topology):
        self.screen, self.directory, self.topology = screen, directory, topology
        self.mesh, self.work = topology.mesh, topology.work
        self.certs = directory / "certs"
        self.processes = []
        self.gateway = None
        self.failures = 0

    # --- setting the stage -----------------------------------------------------------------

    def prepare(self):
        shutil.copytree(ROOT / "examples" / "demo", self.directory, dirs_exist_ok=True)
        self.certs.mkdir()
        authority = pki.Authority(self.directory / "ca", "Demo mesh CA")
        for account in ("frontend", "web", "sleep", "reviews", "mallory"):
            self._place(authority.svid(account), account)
        self._place(authority.svid("web", name="web-next"), "web-next")
        shutil.copy(authority.bundle, self.certs / "ca.pem")

    def _place(self, credential, name):
        shutil.copy(credential.chain, self.certs / f"{name}.pem")
        shutil.copy(credential.key, self.certs / f"{name}.key")

    def start(self):
        self.start_reviews()
        self._nginx(self.mesh, "payments", self._tls_server(PAYMENTS, "mallory"))
        (self.directory / "workloads").mkdir()
        with (self.directory / "workloads" / "slow").open("wb") as file:
            file.write(os.urandom(6_000_000))
        self._nginx(self.work, "workloads", "\n".join(
            self._plain_server(address, name)
            for address, name in ((WEB, "web"), (LEGACY, "legacy"))))
        self.gateway = Gateway(self.topology.gateway, self.directory)
        self.gateway.start()
        self.screen.output("\n".join(self.gateway.process.lines))

    def start_reviews(self):
        self.reviews = self._nginx(self.mesh, "reviews", self._tls_server(REVIEWS, "reviews"))

    def _nginx(self, space, name, servers):
        directory = self.directory / name
        process, listening = programs.start_nginx(space, directory, servers)
        self.processes.append(process)
        listening()
        return process

    def _tls_server(self, address, name):
        return f"""server {{
    listen {address}:8443 ssl;
    ssl_certificate {self.certs}/{name}.pem;
    ssl_certificate_key {self.certs}/{name}.key;
    ssl_client_certificate {self.certs}/ca.pem;
    ssl_verify_client on;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ return 200 "reviews: hello $ssl_client_s_dn, you came by $ssl_protocol\\n"; }}
}}"""

    def _plain_server(self, address, name):
        directory = self.directory / "workloads"
        return f"""log_format {name} '$remote_addr "$request" $status';
server {{
    listen {address}:8080;
    access_log {directory}/{name}.log {name};
    location / {{ return 200 "{name}: hello $remote_addr, you came by $scheme\\n"; }}
    location = /slow {{ root {directory}; limit_rate 600k; }}
}}"""

    def stop(self):
        try:
            if self.gateway is not None:
                self.gateway.stop()  # raises when it did not end well
        finally:
            for process in self.processes:
                process.stop()

    # --- showing ---------------------------------------------------------------------------

    def expect(self, condition, text):
        """Asserts what a step is there to show."""
        if condition:
            self.screen.good(text)
        else:
            self.failures += 1
            self.screen.bad(f"NOT SHOWN: {text}")

    def shell(self, space, text):
        """Runs a command of the shell in a namespace, shows both; what it printed."""
        if space is not None:
            text = f"ip netns exec {space.name} {text}"
        self.screen.command(text)
        done = self.run(["bash", "-c", text])
        if done.stdout:
            self.screen.output(done.stdout)
        if done.returncode != 0:
            self.screen.output(f"(exit status {done.returncode})")
        return done.stdout

    def run(self, command):
        """Runs a command in the demo's folder, stdout and stderr together."""
        return subprocess.run(command, cwd=self.directory, timeout=30, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)

    def log_line(self, matches, why):
        """Shows the first line of the connection log from here on that matches."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.gateway.log.poll()
            found = [line for line in self.gateway.log.lines[self.logged:] if matches(line)]
            if found:
                self.screen.say(why)
                self.screen.output(broken_into_lines(found[0]))
                return found[0]
            time.sleep(0.05)
        raise Failed("the gateway's log has no such line:\n" + "\n".join(
            json.dumps(line) for line in self.gateway.log.lines[self.logged:]))

    def step(self, number, title, show):
        self.screen.title(f"{number}. {title}")
        self.gateway.log.poll()
        self.logged = len(self.gateway.log.lines)
        before = self.failures
        try:
            show()
        except (Failed, AssertionError, OSError, subprocess.SubprocessError) as error:
            self.failures += 1
            self.screen.bad(f"this step failed: {error}")
        return self.failures == before

    def curl(self, space, arguments, timeout=10):
        return self.shell(space, f"curl -sS --max-time {timeout} {arguments}")

    # --- the six steps ---------------------------------------------------------------------

    def plaintext_to_mutual_tls(self):
        self.screen.say("""reviews, an nginx in the mesh, takes mutual TLS only. From the mesh
            itself, without a certificate, it cannot be had:""")
        refused = self.curl(self.mesh, f"--insecure https://{REVIEWS}:8443/")
        self.expect("400" in refused, "nginx refuses a client without a certificate")
        self.screen.say("""A workload behind the gateway speaks plain HTTP to the service. Two
            captures run meanwhile: one before the gateway, one behind it.""")
        captures = {name: self.capture(space, name, port) for name, space, port in (
            ("plain", self.work, 80), ("mesh", self.mesh, 8443))}
        answer = self.curl(self.work, f"--interface {FRONTEND} "
                           + " ".join(RESOLVE[:2]) + f" http://{HOST}/")
        self.expect("hello O=Portcullis,CN=frontend" in answer and "TLSv1." in answer,
                    "nginx saw the workload's own identity, over TLS")
        time.sleep(0.3)
        for process in captures.values():
            process.stop(number=signal.SIGINT)
        plain, wire = ((self.directory / f"{name}.pcap").read_bytes()
                       for name in ("plain", "mesh"))
        self.screen.say("On the workload's side of the gateway:")
        first = self.shell(None, "tcpdump -r plain.pcap -n -t -A -c 1 'tcp[tcpflags] & tcp-push "
                           "!= 0 and dst port 80' 2>/dev/null | grep -a -o 'GET.*' | head -n 1")
        self.expect("GET / HTTP/1.1" in first and b"GET / HTTP" in plain,
                    "there the request is readable")
        self.screen.say("""On the wire to the mesh: a ClientHello (record type 16), then only
            encrypted records (type 17):""")
        hello = self.shell(None, "tcpdump -r mesh.pcap -n -t -q -c 1 -x 'dst port 8443 and "
                           "tcp[((tcp[12] & 0xf0) >> 2)] = 0x16' 2>/dev/null | head -n 6")
        records = self.shell(None, "tcpdump -r mesh.pcap -n -t -q -c 2 'port 8443 and "
                             "tcp[((tcp[12] & 0xf0) >> 2)] = 0x17' 2>/dev/null")
        self.expect(f"> {REVIEWS}.8443" in hello and f"{REVIEWS}.8443" in records
                    and b"GET / HTTP" not in wire
                    and f"outbound_.80_._.{HOST}".encode() in wire,
                    "there TLS is all there is, with the SNI that Istio's sidecars use")
        line = self.log_line(lambda l: l["direction"] == "outbound", "The gateway's own account:")
        self.expect(line["upstream"]["tls"]["peer"] == pki.spiffe("reviews"),
                    "the server proved to be spiffe://cluster.local/ns/shop/sa/reviews")

    def capture(self, space, name, port):
        process = space.start(["tcpdump", "-i", "eth0", "-n", "--immediate-mode", "-U", "-w",
                               self.directory / f"{name}.pcap", "tcp", "port", str(port)],
                              cwd=self.directory)
        process.wait_line("listening on")
        return process

    def mutual_tls_to_plaintext(self):
        self.screen.say("""web, an nginx behind the gateway, knows nothing of TLS. A client in
            the mesh calls it with its certificate:""")
        answer = self.curl(self.mesh, "--insecure --cert certs/sleep.pem --key certs/sleep.key "
                           f"https://{WEB}:8080/")
        self.expect(f"web: hello {CLIENT}, you came by http" in answer,
                    "the answer came over mutual TLS from a server that speaks plain HTTP")
        self.screen.say("Who called, as the server sees it (its access log):")
        seen = self.shell(None, "tail -n 1 workloads/web.log")
        self.expect(seen.startswith(CLIENT), "it sees the client's own address, not the gateway's")
        line = self.log_line(lambda l: l["workload"] == "shop/web" and l["result"] == "ok",
                             "And who it was, as the gateway proved it:")
        self.expect(line["downstream"]["tls"]["peer"] == pki.spiffe("sleep"),
                    "the caller was spiffe://cluster.local/ns/shop/sa/sleep")

    def strict_and_permissive(self):
        self.screen.say("web is STRICT: plaintext is refused.")
        self.curl(self.mesh, f"http://{WEB}:8080/")
        line = self.log_line(lambda l: l["result"] == "refused", "Why, says the log:")
        self.expect(line["cause"] == "plaintext_to_strict"
                    and line["policy"]["name"] == "shop/default",
                    f"plaintext_to_strict, decided by {line['policy']['file']}:"
                    f"{line['policy']['line']}")
        self.screen.say("legacy is PERMISSIVE: the same port takes plaintext...")
        answer = self.curl(self.mesh, f"http://{LEGACY}:8080/")
        self.expect("legacy: hello" in answer, "plaintext was served")
        self.screen.say("... and mutual TLS from a sidecar, which it knows by the ALPN `istio`:")
        self.shell(None, "cat mtls-get")
        answer = self.shell(self.mesh, f"./mtls-get {LEGACY}")
        self.expect("legacy: hello" in answer, "mutual TLS was served on the same port")

    def wrong_identity(self):
        self.screen.say("""The endpoint of payments shows a certificate of the right CA, but it
            is mallory's. Secure naming refuses it:""")
        answer = self.curl(self.work, f"-i --interface {FRONTEND} " + " ".join(RESOLVE[2:])
                           + " http://payments.shop.svc.cluster.local/")
        self.expect("HTTP/1.1 503" in answer, "the client gets a 503, and no byte of its request "
                    "reached the impostor")
        line = self.log_line(lambda l: l["cause"] == "san_mismatch", "What was wanted, what came:")
        self.expect(pki.spiffe("payments") in line["detail"]
                    and pki.spiffe("mallory") in line["detail"],
                    "the log names the identity that was wanted and the one that came")

    def upstream_stopped(self):
        self.screen.say("reviews is stopped.")
        self.screen.command(f"kill {self.reviews.pid}")
        self.reviews.stop()
        answer = self.curl(self.work, f"-i --interface {FRONTEND} " + " ".join(RESOLVE[:2])
                           + f" http://{HOST}/")
        self.expect("HTTP/1.1 503" in answer and "upstream" in answer.split("\r\n\r\n", 1)[-1],
                    "the client gets a well-formed 503, not a reset")
        line = self.log_line(lambda l: l["result"] == "failed", "In the log:")
        self.expect(line["cause"] == "upstream_refused", "the cause is upstream_refused")

    def changes_under_load(self):
        self.screen.say("""Two clients call legacy over mutual TLS again and again, a third has a
            slow download in progress. Meanwhile the policy and a certificate change.""")
        self.screen.command(f"while :; do ip netns exec {self.mesh.name} ./mtls-get {LEGACY}; "
                            "done &   # twice")
        with Load(self) as load:
            load.wait(20)
            mark = self.gateway.process.mark()
            self.shell(None, "sed -i 's/mode: PERMISSIVE/mode: STRICT/' mesh/policy.yaml")
            self.show_gateway_said(mark)
            self.curl(self.mesh, f"http://{LEGACY}:8080/")
            line = self.log_line(lambda l: l["cause"] == "plaintext_to_strict"
                                 and l["workload"] == "shop/legacy",
                                 "From now on plaintext is refused:")
            self.expect(line["mode"] == "STRICT", "PERMISSIVE became STRICT without a restart")
            load.wait(20)
            before = self.serial()
            mark = self.gateway.process.mark()
            self.shell(None, "mv certs/web-next.key certs/web.key; "
                             "mv certs/web-next.pem certs/web.pem")
            after = self.wait_serial(before)
            self.show_gateway_said(mark)
            self.serial(show=True)
            self.expect(after != before, f"new handshakes get the new certificate: serial "
                        f"{before[:8]}… became {after[:8]}…")
            load.wait(20)
            self.screen.say("The slow download that began before all this:")
            load.download.wait(30)
        got = (self.directory / "slow.received").read_bytes().partition(b"\r\n\r\n")[2]
        self.expect(got == (self.directory / "workloads" / "slow").read_bytes(),
                    f"arrived whole, {len(got)} bytes, over the connection of before")
        self.expect(load.errors == [] and load.served > 60,
                    f"{load.served} requests were served meanwhile, {len(load.errors)} errors")
        for error in load.errors[:3]:
            self.screen.output(error)

    def show_gateway_said(self, mark):
        self.gateway.process.wait_line(r"\b(published|reloaded)\b", since=mark)
        self.screen.output("\n".join(self.gateway.process.lines[mark:]))

    def serial(self, show=False):
        command = (f"openssl s_client -connect {LEGACY}:8080 -alpn istio -cert certs/sleep.pem "
                   "-key certs/sleep.key </dev/null 2>/dev/null | openssl x509 -noout -serial")
        if show:
            return self.shell(self.mesh, command)
        done = self.run(self.mesh.command(["bash", "-c", command]))
        return done.stdout.strip().partition("=")[2]

    def wait_serial(self, before):
        deadline = time.monotonic() + 10
        while (now := self.serial()) in ("", before):
            if time.monotonic() > deadline:
                raise Failed("the new certificate is not served")
            time.sleep(0.1)
        return now


class Load:
    """Two clients in a loop and one slow download, all over mutual TLS, all by openssl(1)."""

    def __init__(self, demo):
        self.demo, self.served, self.errors = demo, 0, []
        self._stop = threading.Event()
        self.threads = [threading.Thread(target=self._loop, daemon=True) for _ in range(2)]

    def _command(self, *path):
        return self.demo.mesh.command(["./mtls-get", LEGACY, *path])

    def _loop(self):
        while not self._stop.is_set():
            try:
                done = self.demo.run(self._command())
                if "legacy: hello" in done.stdout:
                    self.served += 1
                else:
                    self.errors.append(f"exit status {done.returncode}, answer {done.stdout!r}")
            except subprocess.TimeoutExpired:
                self.errors.append("no answer within 30 s")

    def wait(self, more):
        target, deadline = self.served + more, time.monotonic() + 20
        while self.served < target and not self.errors and time.monotonic() < deadline:
            time.sleep(0.02)

    def __enter__(self):
        with open(self.demo.directory / "slow.received", "wb") as received:
            self.download = subprocess.Popen(self._command("/slow"), stdout=received,
                                             stdin=subprocess.DEVNULL, start_new_session=True,
                                             cwd=self.demo.directory)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self.threads:
            thread.join(35)
        if self.download.poll() is None:
            os.killpg(self.download.pid, signal.SIGTERM)
            self.download.wait()


def write_stop_script(demo):
    """For --keep: ends what we started, by pid, and removes namespaces and folder."""
    pids = [p.pid for p in [demo.gateway.process, *demo.processes] if p.running()]
    script = demo.directory / "stop"
    spaces = [s.name for s in (demo.mesh, demo.work, demo.topology.gateway)]
    script.write_text("#!/bin/sh\n"
                      f"kill {' '.join(map(str, pids))}\n"
                      f"sleep 3\n"
                      + "".join(f"ip netns del {name}\n" for name in spaces)
                      + f"rm -rf {shlex.quote(str(demo.directory))}\n")
    script.chmod(0o755)
    return script


def look_around(demo, script):
    directory, mesh, work = demo.directory, demo.mesh.name, demo.work.name
    demo.screen.title("Left running. To look around:")
    print(f"""
  Everything is in      {directory}
  policy, editable      {directory}/mesh/*.yaml      (a change takes effect at once)
  the gateway's log     tail -f {directory}/portcullis.log
  connections, as JSON  tail -f {directory}/connections.log
  statistics            curl --unix-socket {directory}/admin.sock http://gateway/stats

  a client in the mesh, without TLS and with:
    ip netns exec {mesh} curl http://{LEGACY}:8080/
    ip netns exec {mesh} curl -k --cert {directory}/certs/sleep.pem \\
        --key {directory}/certs/sleep.key https://{WEB}:8080/
  a workload behind the gateway:
    ip netns exec {work} curl --interface {FRONTEND} http://10.96.0.10/

  To end it and leave nothing behind:
    sudo {script}
""", flush=True)


STEPS = [
    ("a plaintext client reaches a server that takes mutual TLS only",
     Demo.plaintext_to_mutual_tls),
    ("an mTLS client reaches a plaintext server", Demo.mutual_tls_to_plaintext),
    ("STRICT refuses plaintext and says why; PERMISSIVE takes both", Demo.strict_and_permissive),
    ("a server with the wrong identity is refused by secure naming", Demo.wrong_identity),
    ("the upstream is stopped: 503", Demo.upstream_stopped),
    ("PERMISSIVE to STRICT and a certificate rotated, under load", Demo.changes_under_load),
]


def show_everything(demo):
    """The titles of the steps that did not show what they should."""
    screen = demo.screen
    screen.title("The stage")
    screen.say("""Three network namespaces: clients and servers of the mesh, the gateway, and
        workloads behind it. The gateway's interfaces have no address of the kernel's; Portcullis
        drives them by DPDK and speaks TCP itself.""")
    print(f"""
    {demo.mesh.name:<22} {demo.topology.gateway.name:<22} {demo.work.name}
    curl, openssl  .2  ┐                         ┌ .2  web     nginx, plain HTTP, STRICT
    reviews (nginx) .11 ├─ 10.10.0.1 ▐ portcullis ▌ 10.20.0.1 ─┤ .3  legacy  nginx, plain HTTP, PERMISSIVE
    payments (nginx).12 ┘                         └ .10 frontend  curl
""")
    screen.command("portcullis --config portcullis.yaml")
    demo.start()
    failed = []
    for number, (title, show) in enumerate(STEPS, 1):
        if not demo.step(number, title, lambda show=show: show(demo)):
            failed.append(f"{number}. {title}")
        if not demo.gateway.alive():
            screen.bad("the gateway has ended:")
            screen.output("\n".join(demo.gateway.process.lines[-30:]))
            failed += [f"{n}. {t}" for n, (t, _) in enumerate(STEPS, 1) if n > number]
            break
    return failed


def summary(screen, failed, seconds):
    screen.title("Summary")
    for number, (title, _) in enumerate(STEPS, 1):
        entry = f"{number}. {title}"
        (screen.bad if entry in failed else screen.good)(entry)
    print(f"\n{len(STEPS) - len(failed)} of {len(STEPS)} steps showed what they should, "
          f"in {seconds:.0f} s.", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    screen = Screen(sys.stdout.isatty() and not arguments.no_color
                    and "NO_COLOR" not in os.environ)
    started, kept, failed = time.monotonic(), False, ["nothing was shown"]
    directory = Path(tempfile.mkdtemp(prefix="portcullis-demo-"))
    directory.chmod(0o755)  # tcpdump reads captures as a user of its own; keys are root's anyway
    topology, demo = None, None
    try:
        topology = netns.Topology()
        demo = Demo(screen, directory, topology)
        demo.prepare()
        failed = show_everything(demo)
        kept = arguments.keep and demo.gateway.alive()
        if kept:
            demo.start_reviews()
    except Failed as error:
        screen.bad(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    finally:
        if not kept:
            try:
                if demo is not None:
                    demo.stop()
            except Failed as error:
                screen.bad(str(error))
                failed.append("the gateway's end")
            finally:
                if topology is not None:
                    topology.close()
                shutil.rmtree(directory, ignore_errors=True)
    if demo is not None and failed != ["nothing was shown"]:
        summary(screen, failed, time.monotonic() - started)
    if kept:
        look_around(demo, write_stop_script(demo))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
