"""Sends log lines where `log` lines say: syslog over UDP or a Unix socket, or a descriptor.

Owns the sockets. Does not own what is sent (`balancer.syslog_lines`).

Invariants: nothing here waits: what cannot be taken at once is dropped and counted (`dropped`), as
HAProxy does (src/log.c, `__do_send_log`), and a target that is not there costs a failed system call
a line. The first failure of a target is told on standard error, once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
from collections.abc import Sequence
from datetime import datetime

from rabbitry.balancer.configuration.model import LogTarget
from rabbitry.balancer.syslog_lines import Sender, packet
from rabbitry.machine import Address

_log = logging.getLogger("rabbitry.balancer.lines")
_DESCRIPTORS = {"stdout": 1, "stderr": 2}
_PIPE_BYTES = 4096  # what a pipe that can be written to takes without blocking (PIPE_BUF)


class Syslog:
    """Open sockets for all targets there are; `send` sends one line to some of them."""

    def __init__(self) -> None:
        self.dropped = 0
        self._sockets: dict[int, socket.socket] = {}
        self._places: dict[Address, tuple[int, str | tuple[str, int]] | None] = {}
        self._told: set[LogTarget] = set()

    def send(self, targets: Sequence[LogTarget], severity: str, sender: Sender, text: str) -> None:
        """Send a line to each of `targets` that wants it."""
        date = datetime.now().astimezone()
        for target in targets:
            line = packet(target, severity, sender, date, text)
            if line is None:
                continue
            try:
                self._send(target, line)
            except BlockingIOError:
                self.dropped += 1
            except OSError as error:
                self.dropped += 1
                if target not in self._told:
                    self._told.add(target)
                    where = target.stream or target.address
                    _log.warning("cannot log to %s: %s", where, error.strerror or error)

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def _send(self, target: LogTarget, line: bytes) -> None:
        if target.address is None:
            _write(_descriptor(target.stream), line)
            return
        family, place = self._place(target.address)
        if family not in self._sockets:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            self._sockets[family] = sock
        self._sockets[family].sendto(line, place)

    def _place(self, address: Address) -> tuple[int, str | tuple[str, int]]:
        """Where to send, asked for once: the resolver may take its time."""
        if address not in self._places:
            self._places[address] = None
            if address.host.startswith("/"):
                self._places[address] = (socket.AF_UNIX, address.host)
            else:
                with contextlib.suppress(OSError):
                    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
                    family, _, _, _, (host, port, *_) = found[0]
                    self._places[address] = (family, (str(host), int(port)))
        place = self._places[address]
        if place is None:
            raise OSError(f"no such host: {address.host}")
        return place

    def resolve(self, targets: Sequence[LogTarget]) -> None:
        """Look up the names of all targets; to be called before anything is served."""
        for target in targets:
            if target.address is not None:
                with contextlib.suppress(OSError):
                    self._place(target.address)


def _descriptor(stream: str) -> int:
    """The descriptor of `stdout`, `stderr` or `fd@N`."""
    return _DESCRIPTORS[stream] if stream in _DESCRIPTORS else int(stream.removeprefix("fd@"))


def _write(descriptor: int, line: bytes) -> None:
    """Write a line if there is room for it; nothing of it where there is none."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    for begin in range(0, len(line), _PIPE_BYTES):
        ready = poll.poll(0)
        if not ready:
            raise BlockingIOError
        if ready[0][1] & select.POLLNVAL:
            raise OSError("no such descriptor")
        os.write(descriptor, line[begin : begin + _PIPE_BYTES])
