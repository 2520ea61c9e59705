"""One AMQP connection of the load: a raw socket, handshake, requests that wait for their reply.

Owns the socket and what was received and not yet looked at. Invariant: nothing waits for ever, and
whatever goes wrong is LoadError or PeerFault, one line.
"""

from __future__ import annotations

import socket

from bench import frames
from bench.frames import PeerFault

READ_BYTES = 1 << 20


class LoadError(Exception):
    """The load could not be run to its end; one line for the user."""


class Connection:
    """One AMQP connection with channel 1 open; requests wait for their reply."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.where = f"{host}:{port}"
        self._timeout_s = timeout_s
        self.buffer = bytearray()
        try:
            self.socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise LoadError(f"cannot connect to {self.where}: {error}") from None
        try:
            self._handshake()
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.call(frames.PROTOCOL_HEADER, frames.CONNECTION_START)
        tune = self.call(frames.start_ok("guest", "guest"), frames.CONNECTION_TUNE)
        self.frame_max = frames.frame_max_of(tune)
        self.send(frames.tune_ok(tune))
        self.call(frames.connection_open("/"), frames.CONNECTION_OPEN_OK)
        opening = frames.method(frames.CHANNEL, frames.CHANNEL_OPEN, b"\x00")
        self.call(opening, frames.CHANNEL_OPEN_OK)

    def send(self, data: bytes) -> None:
        """Send all of ``data``; where the broker has hung up, say what it said."""
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise LoadError(f"{self.where} did not take bytes for {self._timeout_s:g} s") from None
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> Exception:
        """A send failed: the reason may be waiting among the received bytes."""
        try:
            while data := self.socket.recv(READ_BYTES):
                self.buffer += data
        except OSError:
            pass
        at = 0
        try:
            while size := frames.next_frame(self.buffer, at, len(self.buffer)):
                if frames.method_id_at(self.buffer, at) in (
                    frames.CONNECTION_CLOSE,
                    frames.CHANNEL_CLOSE,
                ):
                    return frames.fault_at(self.buffer, at)
                at += size
        except PeerFault as fault:
            return fault
        return LoadError(f"connection to {self.where} lost: {error}")

    def receive_into(self, target: memoryview) -> int:
        """Bytes received into ``target``, at least one."""
        try:
            size = self.socket.recv_into(target)
        except TimeoutError:
            raise LoadError(f"nothing from {self.where} for {self._timeout_s:g} s") from None
        except OSError as error:
            raise LoadError(f"connection to {self.where} lost: {error}") from None
        if not size:
            raise LoadError(f"connection to {self.where} ended without a close method")
        return size

    def call(self, request: bytes, reply: frames.MethodId) -> bytes:
        """Send ``request`` and return the encoded arguments of the method ``reply``."""
        self.send(request)
        chunk = memoryview(bytearray(65536))
        while True:
            while not (size := frames.next_frame(self.buffer, 0, len(self.buffer))):
                self.buffer += chunk[: self.receive_into(chunk)]
            whole = bytes(self.buffer[:size])
            fault = frames.fault_at(whole, 0)
            method_id = frames.method_id_at(whole, 0)
            del self.buffer[:size]
            if method_id == reply:
                return whole[11:-1]
            if whole[0] != frames.FRAME_HEARTBEAT and method_id not in frames.NOTICES:
                raise fault

    def close(self) -> None:
        """Close politely: wait for close-ok, reading past whatever still comes."""
        try:
            self.socket.sendall(
                frames.method(0, frames.CONNECTION_CLOSE, b"\x00\xc8\x00" + b"\x00\x00\x00\x00")
            )
            ok = frames.method(0, frames.CONNECTION_CLOSE_OK)
            tail = b""
            while data := self.socket.recv(READ_BYTES):
                tail = (tail + data)[-len(ok) :]
                if tail == ok:
                    break
        except OSError:
            pass
        self.socket.close()
