"""Who takes part in balancing: active servers, or backups while there is no active one.

Owns the words that algorithms and servers share (`Candidate`, `Algorithm`) and the counting of
usable servers and their weights (src/backend.c, `recount_servers`, `update_backend_weight`). Knows
nothing of why a server is usable.

Invariants: candidates keep the order of the configuration; counts are those of the last `recount`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

WEIGHT_SCALE = 16
"""An effective weight is the user's times this, so that slowstart has steps (BE_WEIGHT_SCALE)."""

USER_WEIGHT_MAX = 256
"""The heaviest weight a user can give (SRV_UWGHT_MAX)."""

EFFECTIVE_WEIGHT_MAX = USER_WEIGHT_MAX * WEIGHT_SCALE


class Candidate(Protocol):
    """A server as an algorithm sees it."""

    @property
    def number(self) -> int:
        """Its id in the backend, from 1: what hashes place it by."""
        ...

    @property
    def is_backup(self) -> bool:
        """Whether it serves only while no active server can."""
        ...

    @property
    def is_usable(self) -> bool:
        """Whether sessions may be given to it: up, not in maintenance, not drained."""
        ...

    @property
    def effective_weight(self) -> int:
        """Its share, scaled by `WEIGHT_SCALE`; more than 0 if it is usable."""
        ...

    @property
    def served(self) -> int:
        """Sessions that hold one of its places."""
        ...

    @property
    def queued(self) -> int:
        """Sessions that wait for it and no other."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether one more session would get a place at once."""
        ...

    @property
    def has_room_in_queue(self) -> bool:
        """Whether one more session would get a place at once, or one in its queue."""
        ...


Member = TypeVar("Member", bound=Candidate)


class Algorithm(Protocol[Member]):
    """Whose turn it is. `changed` must be called whenever usability or weight of a server has
    changed, `moved` whenever its sessions or its queue have."""

    is_dynamic: bool
    """Whether weights may change while it runs (BE_LB_PROP_DYN)."""

    def choose(self, avoid: Member | None, source: bytes) -> Member | None:
        """Return the server for a session from the packed IP address `source`; None if all are
        full. `avoid` (where the session has failed already) only if there is no other.
        """
        ...

    def changed(self, server: Member) -> None:
        """Take note of a server's new usability or weight."""
        ...

    def moved(self, server: Member) -> None:
        """Take note of a server's new number of sessions."""
        ...

    def removed(self, server: Member) -> None:
        """Forget a server that is gone for good; it was made unusable before."""
        ...


class Pool(Generic[Member]):
    """The servers of one backend, counted."""

    def __init__(self, servers: Sequence[Member], all_backups: bool) -> None:
        self.servers = servers
        self.all_backups = all_backups
        self.recount()

    def recount(self) -> None:
        """Count anew; to be called before an algorithm hears of a change."""
        self.active = [each for each in self.servers if each.is_usable and not each.is_backup]
        self.backups = [each for each in self.servers if each.is_usable and each.is_backup]

    @property
    def sole_backup(self) -> Member | None:
        """The backup that takes every session now: the first, unless `option allbackups`."""
        if self.active or self.all_backups or not self.backups:
            return None
        return self.backups[0]

    @property
    def in_turn(self) -> Sequence[Member]:
        """The servers among which sessions are balanced now."""
        if self.active:
            return self.active
        return self.backups if self.all_backups else self.backups[:1]

    @property
    def total_weight(self) -> int:
        """The effective weights of those in turn together; 0 when nobody can serve."""
        return sum(server.effective_weight for server in self.in_turn)
