"""How long a node waits for what may not come: for nodes out of reach, and for consumers.

A mirror that cannot be reached keeps confirms waiting, until it is taken out of the in-sync set. A
node that cannot be reached, or has left, keeps a new leader waiting for its word
(`cluster.gathering`). An auto-delete queue whose consumers have all gone with a failover waits for
them to come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.peers import Peers

# How long confirms wait for a mirror whose link is down before it is taken out of the in-sync set.
MIRROR_PATIENCE_US: Final = 500_000
# How many ticks an auto-delete queue waits after a failover for consumers to come back.
DESERTED_TICKS: Final = 50


class Patience:
    """See the module. `name` is this node's."""

    def __init__(self, name: str, peers: Peers) -> None:
        self._name = name
        self._peers = peers
        self._lost_since: dict[str, int] = {}  # peers that are not up: since when we know
        self._gathering: dict[QueueLeader, None] = {}
        self._deserted: dict[QueueLeader, int] = {}  # ticks seen so

    def begun(self, leader: QueueLeader) -> None:
        """This node leads a queue in a new epoch."""
        if leader.awaited:
            self._gathering[leader] = None
        if leader.is_deserted():
            # Those of its consumers that live on other nodes will subscribe again.
            self._deserted[leader] = 0

    def ended(self, leader: QueueLeader) -> None:
        """It leads it no more."""
        self._gathering.pop(leader, None)
        self._deserted.pop(leader, None)

    def peer_up(self, name: str) -> None:
        """Records can be sent to the node."""
        self._lost_since.pop(name, None)

    def tick(
        self, now: int, catalog: Catalog, leaders: Callable[[], Iterable[QueueLeader]]
    ) -> None:
        """Give up what has been waited for long enough. Called ten times a second."""
        for leader, ticks in list(self._deserted.items()):
            if not leader.is_deserted():
                del self._deserted[leader]
            elif ticks >= DESERTED_TICKS:
                leader.delete_if_deserted()
            else:
                self._deserted[leader] = ticks + 1
        for name in [*catalog.nodes, *catalog.away]:
            if name == self._name or self._peers.is_up(name):
                self._lost_since.pop(name, None)
                continue
            since = self._lost_since.setdefault(name, now)
            if now - since < MIRROR_PATIENCE_US:
                continue
            self._lost_since[name] = now
            for leader in leaders():
                leader.give_up_mirror(name)
                leader.give_up_word([name])
        for leader in list(self._gathering):
            leader.give_up_word([name for name in leader.awaited if name not in catalog.nodes])
            if not leader.awaited:
                del self._gathering[leader]
