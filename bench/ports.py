"""Ports for the servers that tests and comparisons start: no two processes are given the same.

Owns the range, and the claim that each process has to a part of it. Does not own what listens
there: a port is free when it is handed out, and nothing but this claim keeps it so.

A look at whether anybody listens cannot tell two processes apart that look at the same moment, each
before its server is up. So a process claims a block of ports for itself, by an abstract Unix
socket of that block's name: the kernel gives each name to one, and takes it back when its process
ends, however it ends. Linux only.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from bench.processes import SideError

PORTS = range(20_000, 32_000)
"""Below what Linux gives to outgoing connections: such a port may be taken at any moment. Blocks
that a machine gives to them none the less, by OUTGOING, are left out."""
BLOCK_SIZE = 500
"""So many that a port is not handed out again while the one who had it is about to use it."""


OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TAKEN = {errno.EADDRINUSE, errno.EACCES}


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of this machine, at whatever address of IPv4 or IPv6.

    Looks as servers bind, with SO_REUSEADDR. Without it the look itself could take the port: a
    process that another thread starts meanwhile has the probe's socket until its `exec` is done,
    and to a bound socket without SO_REUSEADDR no other is bound.
    """
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((host, port))
        except OSError as error:
            # Anything else tells of a machine without IPv6, where nobody listens at it.
            if family == socket.AF_INET or error.errno in _TAKEN:
                return False
    return True


class ClaimedPorts:
    """A block of ports that no other process is given, handed out round and round."""

    def __init__(self, is_free: Callable[[int], bool] = is_free) -> None:
        self.block, self._claim = _claim_block()
        self._is_free = is_free
        self._next = self.block.start

    def take(self, count: int) -> int:
        """The first of `count` ports in a row that nobody listens on. Raises SideError."""
        for _ in self.block:
            if self._next + count > self.block.stop:
                self._next = self.block.start
            first = self._next
            self._next += 1
            row = range(first, first + count)
            if row.stop <= self.block.stop and all(map(self._is_free, row)):
                self._next = row.stop
                return first
        what = f"{count} ports in a row are not free"
        raise SideError(f"{what} from {self.block.start} to {self.block.stop - 1}")

    def close(self) -> None:
        """Leave the block to others."""
        self._claim.close()


def free_ports(count: int = 1) -> int:
    """The first of `count` ports in a row that nobody listens on, of this process alone.

    Raises SideError.
    """
    with _lock:
        # A process that was forked has ports of its own.
        if os.getpid() not in _claimed:
            _claimed.clear()
            _claimed[os.getpid()] = ClaimedPorts()
        return _claimed[os.getpid()].take(count)


_lock = threading.Lock()
_claimed: dict[int, ClaimedPorts] = {}


def _claim_block() -> tuple[range, socket.socket]:
    lowest, highest = map(int, OUTGOING.read_text().split())
    blocks = [range(first, first + BLOCK_SIZE) for first in PORTS[::BLOCK_SIZE]]
    blocks = [block for block in blocks if block.stop <= lowest or block.start > highest]
    if not blocks:
        raise SideError(f"{PORTS} are all of outgoing connections, {lowest} to {highest}")
    # From another one each time: what the process before left behind may still be about to end.
    begin = os.getpid() % len(blocks)
    for block in blocks[begin:] + blocks[:begin]:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0rabbitry-ports-{block.start}")
        except OSError:
            claim.close()
        else:
            return block, claim
    raise SideError(f"{len(blocks)} processes have claimed all ports of {PORTS}")
