"""The servers behind one section: which of them gets a session, and their sums.

Owns the choice of a server for a session, by the section's algorithm. Does not own a server's
states (`servers`, `transitions`) or what happens in a session (`relay`).

Invariants: only a usable server is chosen; backups get sessions only while no active server is
usable; the algorithm hears of each change of a server before the next choice.
"""

from __future__ import annotations

from collections.abc import Sequence

from rabbitry.balancer.algorithms.named import algorithm_named
from rabbitry.balancer.algorithms.pool import Algorithm, Pool
from rabbitry.balancer.configuration.model import BackendSection
from rabbitry.balancer.servers import Changes, Counters, Server
from rabbitry.balancer.tls_use import TlsCounters


class Backend:
    """The servers of one section, and what is counted for all of them together.

    `queued` counts the sessions that wait for any server of it; kept by `queueing`. `fullconn` is
    how many sessions it has at full load: servers with `minconn` get their `maxconn` then.
    """

    __slots__ = (
        "_algorithm",
        "_pool",
        "changes",
        "counters",
        "fullconn",
        "queued",
        "queued_max",
        "section",
        "servers",
        "tls",
    )

    def __init__(self, section: BackendSection) -> None:
        self.section = section
        self.servers = [
            Server(line, number, section.name)
            for number, line in enumerate(section.servers, start=1)
        ]
        self._pool: Pool[Server] = Pool(self.servers, section.all_backups)
        self._algorithm: Algorithm[Server] = algorithm_named(section.balance, self._pool)
        self.counters = Counters()
        self.changes = Changes()
        self.fullconn = section.fullconn or 1
        self.queued = 0
        self.queued_max = 0
        self.tls = TlsCounters()

    def started(self, now: int) -> None:
        """Begin to count time at `now`: everything is up since then (or never was: no servers)."""
        self.changes.at = now
        self.changes.up = not self.servers or bool(self.in_turn)
        for server in self.servers:
            server.changes.at = now

    @property
    def weights_are_dynamic(self) -> bool:
        """Whether the algorithm can take any weight at any time (configuration.txt, "balance")."""
        return self._algorithm.is_dynamic

    @property
    def active_usable(self) -> Sequence[Server]:
        """The usable servers that are not backups."""
        return self._pool.active

    @property
    def backup_usable(self) -> Sequence[Server]:
        """The usable backups."""
        return self._pool.backups

    @property
    def in_turn(self) -> Sequence[Server]:
        """The servers among which sessions are balanced now.

        Backups serve only while no active server is usable; all of them with `option allbackups`,
        else the first one.
        """
        return self._pool.in_turn

    @property
    def total_weight(self) -> int:
        """The effective weights of those in turn together; 0 when nobody can serve."""
        return self._pool.total_weight

    def choose(self, avoid: Server | None = None, source: bytes = b"") -> Server | None:
        """Choose a server for a session of the client with the packed IP address `source`.

        `avoid`, where it has failed already, only if there is no other. None: nobody is usable
        (`in_turn` is empty), or all are full (src/backend.c, `assign_server`).
        """
        if not self.in_turn:
            return None
        waiting = self.queued and self.queued != self.counters.sessions
        if waiting and self.section.balance.algorithm in ("roundrobin", "static-rr", "first"):
            return None  # they wait because all servers are full
        chosen = self._algorithm.choose(avoid, source)
        if chosen is not None and chosen is not avoid:
            chosen.counters.chosen_total += 1
            self.counters.chosen_total += 1
        return chosen

    def server_changed(self, server: Server) -> None:
        """A server's usability or effective weight has changed."""
        self._pool.recount()
        self._algorithm.changed(server)

    def server_moved(self, server: Server) -> None:
        """A server's `served` or `queued` has changed."""
        self._algorithm.moved(server)

    def add_server(self, server: Server) -> None:
        """Take in a server that was not there (`add server`, reload)."""
        self.servers.append(server)
        self.server_changed(server)

    def remove_server(self, server: Server) -> None:
        """Let go of a server that is in maintenance and has no session (`del server`, reload)."""
        self.servers.remove(server)
        self._pool.recount()
        self._algorithm.removed(server)

    def adopt(self, section: BackendSection, servers: list[Server]) -> None:
        """Go on with another section and these servers, whom a new file names (`proxies`)."""
        self.section = section
        self.fullconn = section.fullconn or 1
        self.servers = servers
        self._pool = Pool(servers, section.all_backups)
        self._algorithm = algorithm_named(section.balance, self._pool)

    def refresh(self, now: int) -> bool:
        """Note whether any server is usable; return whether that has just ended."""
        was_up = self.changes.up
        self.changes.become(bool(self.in_turn), now)
        return was_up and not self.changes.up
