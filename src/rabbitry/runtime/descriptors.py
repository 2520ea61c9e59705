"""Which file descriptors of a process are for clients, and who waits when those are used up.

Owns the division of `ulimit -n`, what is said where `maxconn` asks for more than there is, and
`Door`, which counts the clients of one process. A client needs
two descriptors, its own and its server's. What checks, runtime sockets, pages and pipes need is not
given to clients: so a balancer that is full can still be asked, and finds its servers well. HAProxy
divides in the same way when it starts (src/haproxy.c, `compute_ideal_maxconn`).

Invariants: listeners are shut exactly while there are as many clients as descriptors allow; people
are told when that begins, but not again within `COMPLAINT_PAUSE_S`.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from rabbitry.balancer.configuration.model import Configuration

KEPT = 48
"""Descriptors for the process itself: its loop, logs, operators (ten by default) and pages."""

COMPLAINT_PAUSE_S = 60.0
"""How long people are not told again of a lack that goes on or comes back."""


def open_files_limit() -> int:
    """Return how many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def pipes_affordable(limit: int, wanted: int) -> int:
    """Return how many pipes of `wanted` a process with this limit can spare descriptors for."""
    return min(wanted, limit // 64)


def clients_affordable(limit: int, kept: int) -> int:
    """Return how many clients a process with this limit can have, `kept` descriptors beside."""
    return max((limit - KEPT - kept) // 2, 1)


def descriptors_kept(configuration: Configuration) -> int:
    """What listeners and checks may need at once: an AMQP check has two links, an agent another."""
    listeners = sum(len(frontend.binds) for frontend in configuration.frontends)
    return listeners + 3 * sum(len(backend.servers) for backend in configuration.backends)


def lack_of_descriptors(configuration: Configuration, limit: int) -> str:
    """What people are told if processes with this limit cannot have as many clients as `maxconn` of
    `global` says; empty where they can, or where it says nothing: then the limit is what there is.
    """
    maxconn, processes = configuration.process.maxconn, configuration.process.processes
    kept = descriptors_kept(configuration)
    affordable = clients_affordable(limit, kept) * processes
    if maxconn is None or maxconn <= affordable:
        return ""
    needed = KEPT + kept + 2 * -(-maxconn // processes)
    return (
        f"maxconn {maxconn} needs about {needed} open files{' a process' if processes > 1 else ''},"
        f" {limit} are allowed, which is enough for {affordable} clients: raise `ulimit -n`"
        " (LimitNOFILE= in a unit of systemd), or lower maxconn"
    )


class Door:
    """Counts clients; calls `shut` with True when there are `clients_max`, False when fewer again.

    `tell` hears, in one line, when clients begin to wait.
    """

    def __init__(self, clients_max: int, shut: Callable[[bool], None], tell: Callable[[], None]):
        self.clients_max = clients_max
        self._shut = shut
        self._tell = tell
        self._clients = 0

    def came(self) -> None:
        """One more client."""
        self._clients += 1
        if self._clients == self.clients_max:
            self._shut(True)
            self._tell()

    def left(self) -> None:
        """One client less."""
        self._clients -= 1
        if self._clients == self.clients_max - 1:
            self._shut(False)
