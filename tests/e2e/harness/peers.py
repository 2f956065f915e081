# SPDX-License-Identifier: Apache-2.0
"""
Peers of the gateway. Those made here use the kernel's TCP and OpenSSL through Python, so that
a test can look at every detail; nginx, HAProxy, curl and openssl(1) are in programs.py.
"""

import contextlib
import errno
import hashlib
import select
import socket
import ssl
import struct
import threading
import time

from . import hello

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a RST


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def connect(space, address, port, source=None, tls=None, sni=None, timeout=10.0, source_port=0):
    """A connected socket in `space`, with TLS over it where a context is given."""
    sock = space.socket(family(address))
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source or source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((source or "", source_port))
        sock.connect((address, port))
        return tls.wrap_socket(sock, server_hostname=sni) if tls else sock
    except BaseException:
        sock.close()
        raise


def reset(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def local_port(sock):
    return sock.getsockname()[1]


def receive_exactly(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise EOFError(f"end of stream after {len(data)} of {length} bytes")
        data += part
    return data


def receive_all(sock):
    """Everything until the peer closes."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def exchange(sock, message=b"are you there?\n"):
    """Sends to an echo server and asserts that the same comes back."""
    sock.sendall(message)
    assert receive_exactly(sock, len(message)) == message


def get(sock, path="/", host="web.shop.svc.cluster.local"):
    """One HTTP/1.1 request over a socket; (status, headers in lower case, body)."""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return parse_response(receive_all(sock))


def parse_response(data):
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, f"not an HTTP response: {data[:200]!r}"
    status, *lines = head.decode().split("\r\n")
    headers = dict((name.lower(), value.strip()) for name, value in
                   (line.split(":", 1) for line in lines))
    if "content-length" in headers:
        assert len(body) == int(headers["content-length"]), "body and Content-Length differ"
    return int(status.split()[1]), headers, body


def ending(sock, timeout=10.0):
    """How a peer ends a connection that it will not serve: "closed", "reset", or the alert that
    TLS was told; and the bytes that came before."""
    sock.settimeout(timeout)
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
        return "closed", data
    except ssl.SSLEOFError:
        return "closed", data
    except ssl.SSLError as error:
        return error.reason or "tls error", data
    except ConnectionResetError:
        return "reset", data


class Accepted:
    """What a Server knows about one connection that it took."""

    def __init__(self, sock, peer):
        self.socket = sock
        self.peer = peer[0].removeprefix("::ffff:")
        self.port = peer[1]
        self.hello = None        # ClientHello, where TLS came
        self.certificate = None  # dict of ssl.getpeercert()
        self.first = b""
        self.error = None

    def uris(self):
        names = (self.certificate or {}).get("subjectAltName", ())
        return [value for kind, value in names if kind == "URI"]


def echo(accepted):
    while data := accepted.socket.recv(65536):
        accepted.socket.sendall(data)


def greet(accepted):
    """A protocol where the server speaks first."""
    accepted.socket.sendall(b"220 ready when you are\r\n")
    echo(accepted)


def count_then_answer(accepted):
    """Reads to the end of the stream, only then answers: needs half-close both ways."""
    digest, length = hashlib.sha256(), 0
    while data := accepted.socket.recv(65536):
        digest.update(data)
        length += len(data)
    accepted.socket.sendall(f"{length} {digest.hexdigest()}".encode())


def http(accepted):
    data = b""
    while b"\r\n\r\n" not in data:
        part = accepted.socket.recv(65536)
        if not part:
            return
        data += part
    body = f"you are {accepted.peer}, SPIFFE {accepted.uris()}\n".encode()
    accepted.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


class Server:
    """Listens in a namespace; one thread a connection runs `handler`. What was accepted stays
    in `accepted`, newest last."""

    def __init__(self, space, address, port, handler=echo, tls=None, backlog=512):
        self.space, self.address, self.port = space, address, port
        self.handler, self.tls = handler, tls
        self.accepted = []
        self._changed = threading.Condition()
        self._stopping = False
        self.listener = space.socket(family(address))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(backlog)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        self.listener.settimeout(0.2)
        while not self._stopping:
            try:
                sock, peer = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            accepted = Accepted(sock, peer)
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted):
        try:
            accepted.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                accepted.hello = hello.peek(accepted.socket)
                accepted.socket.settimeout(30)
                accepted.socket = self.tls.wrap_socket(accepted.socket, server_side=True)
                accepted.certificate = accepted.socket.getpeercert()
            self._note(accepted)
            accepted.socket.settimeout(60)
            self.handler(accepted)
        except (OSError, ValueError) as error:
            accepted.error = error
            if accepted not in self.accepted:
                self._note(accepted)
        finally:
            accepted.socket.close()

    def _note(self, accepted):
        with self._changed:
            self.accepted.append(accepted)
            self._changed.notify_all()

    def wait_accepted(self, number=1, timeout=10.0):
        """The newest connection, once `number` have come in all."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.accepted) >= number, timeout):
                raise AssertionError(f"{len(self.accepted)} connections came to "
                                     f"{self.address}:{self.port}, not {number}")
            return self.accepted[-1]

    def close(self):
        self._stopping = True
        self.listener.close()
        self._thread.join(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def deaf_listener(space, address, port):
    """A port that takes no more connections: its queue is full, SYNs are dropped."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(space.socket(family(address)))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(space.socket(family(address)))
            sock.setblocking(False)
            assert sock.connect_ex((address, port)) == errno.EINPROGRESS
        time.sleep(0.05)
        yield


class Stream:
    """Both directions of a connection at full speed, with half-close, plain or TLS. Python's own
    TLS sockets cannot be read and written at once nor closed one way."""

    def __init__(self, sock, tls=None, server_side=False, sni=None):
        self.sock = sock
        self.incoming, self.outgoing, self.tls = None, None, None
        if tls:
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_side=server_side,
                                    server_hostname=sni)
            self._handshake()
        sock.setblocking(False)

    def _handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError("closed in the handshake") from None
                self.incoming.write(data)
        self.sock.sendall(self.outgoing.read())

    def _seal(self, data):
        if not self.tls:
            return data
        self.tls.write(data)
        return self.outgoing.read()

    def _seal_end(self):
        if not self.tls:
            return b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLSyscallError):
            self.tls.unwrap()
        return self.outgoing.read()

    def _open(self, data):
        """(plaintext, whether it ends here)"""
        if not self.tls:
            return data, False
        self.incoming.write(data)
        parts = []
        try:
            while True:
                part = self.tls.read(262144)
                if not part:
                    return b"".join(parts), True
                parts.append(part)
        except ssl.SSLWantReadError:
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:
            return b"".join(parts), True

    def run(self, blocks, timeout):
        """Sends `blocks` (then half-closes) while receiving to the end; (length, SHA-256) of
        what came. With TLS the end must be a close_notify."""
        digest, length = hashlib.sha256(), 0
        blocks, pending, sending, receiving = iter(blocks), memoryview(b""), True, True
        deadline, ended = time.monotonic() + timeout, False
        while sending or receiving:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{length} bytes received in {timeout:g} s")
            readable, writable, _ = select.select([self.sock] if receiving else [],
                                                  [self.sock] if sending else [], [], 1.0)
            if readable:
                data = self.sock.recv(262144)
                plain, end = self._open(data) if data else (b"", True)
                digest.update(plain)
                length += len(plain)
                ended = ended or (end and bool(data))
                if not data:
                    receiving = False
                    if self.tls and not ended:
                        raise EOFError("the TLS stream ended without close_notify")
            if writable:
                if not pending:
                    block = next(blocks, None)
                    if block is None:
                        pending = memoryview(self._seal_end())
                        self.sock.setblocking(True)
                        self.sock.sendall(pending)
                        self.sock.shutdown(socket.SHUT_WR)
                        self.sock.setblocking(False)
                        sending = False
                        continue
                    pending = memoryview(self._seal(block))
                with contextlib.suppress(BlockingIOError):
                    pending = pending[self.sock.send(pending):]
        return length, digest.hexdigest()


class Pattern:
    """Bytes that do not repeat within a block's reach, the same for the same seed."""

    BLOCK = 65536

    def __init__(self, seed, length):
        self.seed, self.length = seed, length

    def __iter__(self):
        base = hashlib.shake_256(str(self.seed).encode()).digest(self.BLOCK)
        sent = 0
        while sent < self.length:
            block = struct.pack("!Q", sent) + base[8:]
            yield block[:self.length - sent]
            sent += len(block)

    def digest(self):
        digest = hashlib.sha256()
        for block in self:
            digest.update(block)
        return digest.hexdigest()
