"""The servers behind one section: which of them may get a session, and their sums.

Owns the choice of a server for a session. Does not own a server's health (`servers`) or what
happens in a session (`relay`).

Invariants: a server with weight 0 never gets a session from the algorithm; backups get sessions
only while no active server is usable.
"""

from __future__ import annotations

from rabbitry.balancer.algorithms import round_robin
from rabbitry.balancer.configuration.model import BackendSection
from rabbitry.balancer.servers import Changes, Counters, Server


class Backend:
    """The servers of one section, and what is counted for all of them together."""

    __slots__ = ("changes", "counters", "section", "servers")

    def __init__(self, section: BackendSection) -> None:
        self.section = section
        self.servers = [Server(line) for line in section.servers]
        self.counters = Counters()
        self.changes = Changes()

    def started(self, now: int) -> None:
        """Begin to count time at `now`: everything is up since then (or never was: no servers)."""
        self.changes.at = now
        self.changes.up = not self.servers or any(self._usable(server) for server in self.servers)
        for server in self.servers:
            server.changes.at = now

    @staticmethod
    def _usable(server: Server) -> bool:
        return server.is_up and server.weight > 0

    @property
    def active_usable(self) -> list[Server]:
        """The usable servers that are not backups."""
        return [each for each in self.servers if not each.line.backup and self._usable(each)]

    @property
    def backup_usable(self) -> list[Server]:
        """The usable backups."""
        return [each for each in self.servers if each.line.backup and self._usable(each)]

    @property
    def in_turn(self) -> list[Server]:
        """The servers among which sessions go round now.

        Backups serve only while no active server is usable; all of them with `option allbackups`,
        else the first one.
        """
        active = self.active_usable
        if active:
            return active
        backups = self.backup_usable
        return backups if self.section.all_backups else backups[:1]

    def choose(self, avoid: Server | None = None) -> Server | None:
        """Choose a server for a session; `avoid` only if there is no other. None: none is
        usable.
        """
        candidates = self.in_turn
        if avoid is not None and len(candidates) > 1:
            candidates = [each for each in candidates if each is not avoid]
        chosen = round_robin(candidates)
        if chosen is not None:
            chosen.counters.chosen_total += 1
            self.counters.chosen_total += 1
        return chosen

    def refresh(self, now: int) -> bool:
        """Note whether any server is usable; return whether that has just ended."""
        was_up = self.changes.up
        self.changes.become(bool(self.in_turn), now)
        return was_up and not self.changes.up
