"""Which nodes of the cluster run low on what: while one does, nobody may publish anywhere.

Owns the alarms as one node knows them, and the words that blocked clients are told. Each node hears
of the others' from themselves, over the links between nodes, so that alarms do without the
coordinator; what a node has told is forgotten with its link. RabbitMQ: rabbit_alarm.erl.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

RESOURCES: Final = ("memory", "disk")


class Alarms:
    """See the module. `reason` is empty where all is well, else "low on memory" or the like."""

    def __init__(self) -> None:
        self.reason = ""
        self._nodes: dict[str, tuple[str, ...]] = {}

    def set(self, node: str, resources: Sequence[str]) -> None:
        """From now on the node is low on these resources, and on no other."""
        if resources:
            self._nodes[node] = tuple(resources)
        else:
            self._nodes.pop(node, None)
        low = [one for one in RESOURCES if any(one in held for held in self._nodes.values())]
        self.reason = f"low on {' & '.join(low)}" if low else ""

    def of(self, node: str) -> list[str]:
        """Return what the node is low on."""
        return list(self._nodes.get(node, ()))
