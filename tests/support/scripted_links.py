"""A byte stream as scripts of tests speak it: lines, endings, half-closes and resets.

Owns `Link`, which both the clients and the servers around a balancer hold. Every read waits for
`PATIENCE_S` at most and raises `TimeoutError` then, so that no scenario hangs.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

PATIENCE_S = 6.0

Socket = socket.socket | ssl.SSLSocket


class Link:
    """One end of a stream. `ending` says how the other end went: "", "fin" or "rst"."""

    def __init__(self, sock: Socket) -> None:
        sock.settimeout(PATIENCE_S)
        self.sock = sock
        self.received = b""
        self.ending = ""
        self._taken = 0

    def send(self, data: bytes) -> None:
        """Send all of it; the other end may be gone already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.sock.sendall(data)

    def line(self) -> str:
        """The next line without its end; what there is if the stream ends before."""
        while b"\n" not in self.received[self._taken :] and self._read():
            pass
        rest = self.received[self._taken :]
        text, _, _ = rest.partition(b"\n")
        self._taken += min(len(text) + 1, len(rest))
        return text.decode()

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes; fewer if the stream ends before."""
        while len(self.received) < self._taken + count and self._read():
            pass
        data = self.received[self._taken : self._taken + count]
        self._taken += len(data)
        return data

    def rest(self) -> tuple[bytes, str]:
        """All bytes until the end, and the ending: "fin" or "rst"."""
        while self._read():
            pass
        data = self.received[self._taken :]
        self._taken = len(self.received)
        return data, self.ending

    def ends(self) -> tuple[bytes, str]:
        """Like `rest`, and close in turn."""
        found = self.rest()
        self.close()
        return found

    def finish(self) -> None:
        """Say that nothing more will be sent; go on reading."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close in order."""
        self.sock.close()

    def reset(self) -> None:
        """Close by RST."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read(self) -> bool:
        if self.ending:
            return False
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.ending = "rst"
            return False
        except ssl.SSLError:
            self.ending = "tls"
            return False
        if not data:
            self.ending = "fin"
            return False
        self.received += data
        return True
