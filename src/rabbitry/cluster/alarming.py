"""What this node is low on, and what other nodes have told of themselves: who hears it, and when.

Owns when `rabbitry.broker.alarms` changes. A node is low on disk when little is left, and when its
store refuses to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rabbitry.broker.alarms import Alarms


class AlarmingPort(Protocol):
    """What it needs of its node."""

    def report(self, level: str, what: str, **details: object) -> None:
        """Tell people."""
        ...

    def low_on(self, resources: list[str]) -> None:
        """This node is low on these: tell all other nodes, and the coordinator."""
        ...

    def alarms_over(self) -> None:
        """Nothing keeps publishers any more."""
        ...


class Alarming:
    """See the module. `own` is what this node is low on."""

    def __init__(self, port: AlarmingPort, name: str, alarms: Alarms) -> None:
        self.own: list[str] = []
        self._port = port
        self._name = name
        self._alarms = alarms
        self._low: dict[str, str] = {}  # what is watched -> the resource that it is low on

    def changed(self, watched: str, resource: str, low: bool) -> None:
        """This node has become low on something, or has enough of it again: tell everybody."""
        if low:
            self._low[watched] = resource
        else:
            self._low.pop(watched, None)
        own = list(dict.fromkeys(self._low.values()))
        if own != self.own:
            self.own = own
            self.told(self._name, own)
            self._port.low_on(own)

    def told(self, node: str, resources: Iterable[str]) -> None:
        """A node is low on these, and on nothing else."""
        alarms = self._alarms
        before = alarms.reason
        alarms.set(node, list(resources))
        if alarms.reason != before:
            if alarms.reason:
                what = "alarm: publishers are blocked"
                self._port.report("warning", what, node=node, reason=alarms.reason)
            else:
                self._port.report("warning", "alarm is over", node=node)
        if before and not alarms.reason:
            self._port.alarms_over()
