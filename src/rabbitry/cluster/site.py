"""What a node has of one queue: it leads it or mirrors it, and its channels use it."""

from __future__ import annotations

from collections.abc import Iterable

from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.mirror import QueueMirror
from rabbitry.cluster.paging import Pageable
from rabbitry.cluster.proxy import QueueProxy
from rabbitry.cluster.queue_store import QueueStore


class Site:
    """One queue on this node."""

    __slots__ = ("entry", "leader", "mirror", "proxy", "spoken", "store")

    def __init__(self, entry: QueueEntry) -> None:
        self.entry = entry
        self.leader: QueueLeader | None = None
        self.mirror: QueueMirror | None = None
        self.proxy: QueueProxy | None = None
        self.store: QueueStore | None = None
        # The leader and the epoch that were told that no channel here has anything of the queue.
        self.spoken = "", 0

    @property
    def epoch(self) -> int:
        return self.entry.placed.epoch


def pageable(sites: Iterable[Site]) -> list[Pageable]:
    """Return those whose messages may be in memory."""
    found: list[Pageable] = []
    for site in sites:
        if site.leader is not None:
            found.append(site.leader.pager)
        elif site.mirror is not None:
            found.append(site.mirror)
    return found
