# SPDX-License-Identifier: Apache-2.0
"""Reads a ClientHello (RFC 8446 section 4.1.2) as a server first sees it: SNI and ALPN."""

import socket
import struct
import time


class ClientHello:
    def __init__(self, body):
        self.sni = ""
        self.alpn = []
        at = 2 + 32  # legacy_version, random
        at += 1 + body[at]  # legacy_session_id
        at += 2 + struct.unpack_from("!H", body, at)[0]  # cipher_suites
        at += 1 + body[at]  # legacy_compression_methods
        end = at + 2 + struct.unpack_from("!H", body, at)[0]
        at += 2
        while at < end:
            kind, length = struct.unpack_from("!HH", body, at)
            self._extension(kind, body[at + 4:at + 4 + length])
            at += 4 + length

    def _extension(self, kind, data):
        if kind == 0:  # RFC 6066 section 3: list length, type 0, length, name
            self.sni = data[5:5 + struct.unpack_from("!H", data, 3)[0]].decode()
        elif kind == 16:  # RFC 7301 section 3.1
            at = 2
            while at < len(data):
                self.alpn.append(data[at + 1:at + 1 + data[at]].decode())
                at += 1 + data[at]


def handshake_bytes(stream):
    """The handshake message of the records at the start of `stream`, or None if incomplete."""
    message, at = b"", 0
    while at + 5 <= len(stream) and stream[at] == 22:
        length = struct.unpack_from("!H", stream, at + 3)[0]
        message += stream[at + 5:at + 5 + length]
        at += 5 + length
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return message
    return None


def is_tls(first_bytes):
    return len(first_bytes) >= 3 and first_bytes[0] == 22 and first_bytes[1] == 3


def peek(sock, timeout=10.0):
    """The ClientHello that waits on a connected socket, left where it is; None if the bytes are
    something else or none come."""
    sock.settimeout(timeout)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            waiting = sock.recv(16384, socket.MSG_PEEK)
        except OSError:
            return None
        if not is_tls(waiting) and len(waiting) >= 3 or waiting == b"":
            return None
        message = handshake_bytes(waiting)
        if message:
            return ClientHello(message[4:])
        time.sleep(0.005)
    return None
