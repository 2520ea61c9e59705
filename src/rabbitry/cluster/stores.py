"""What the coordinator knows of the nodes' stores: whose is whose, and what in them is damaged.

A node's store has a name (`Join.store`), for ever the same. A node that comes with another one, or
with none, has lost what it had, whatever its name. One without a store keeps nothing when its
process ends. Part of the coordinator's counters, so it survives with the catalog.
"""

from __future__ import annotations

from rabbitry.cluster.catalog import QueueEntry


class Stores:
    """`names` by node; `damaged`: nodes that cannot vouch for their replica, by queue.

    A queue is in `damaged` only while nobody leads it: whoever does has what there is.
    """

    def __init__(self, names: dict[str, str], damaged: dict[int, list[str]]) -> None:
        self.names = names
        self.damaged = damaged

    def keeps(self, node: str) -> bool:
        """Whether what this node held outlives its process."""
        return node in self.names

    def joined(self, node: str, store: str) -> bool:
        """Remember a node's store. Return whether it had another one before: that is lost."""
        before = self.names.get(node, "")
        if store:
            self.names[node] = store
        else:
            self.names.pop(node, None)
        return bool(before) and before != store

    def damage(self, queue: int, node: str) -> None:
        """The node cannot vouch for its replica of this queue, which nobody leads."""
        nodes = self.damaged.setdefault(queue, [])
        if node not in nodes:
            nodes.append(node)

    def damaged_on(self, entry: QueueEntry) -> list[str]:
        """Return the nodes that cannot vouch for their replicas."""
        return self.damaged.get(entry.number, [])
