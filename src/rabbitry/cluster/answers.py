"""Answers of the coordinator that wait until all nodes know what was changed.

Owns who asked, and at which revision what was asked for is done; that a request is answered only
then is what makes it true on every node (docs/decisions/0010-declarations-wait-for-all-nodes.md).
An asker that has gone, or has begun anew, does not hear its answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rabbitry.cluster.annals import Annals
from rabbitry.cluster.members import Member
from rabbitry.cluster.queue_records import Refused
from rabbitry.cluster.records import Answered


class Answers:
    """See the module. `tell_node` sends to a link, `tell_operator` answers a question."""

    def __init__(
        self,
        annals: Annals,
        members: dict[str, Member],
        tell_node: Callable[[int, Answered], None],
        tell_operator: Callable[[int, Any], None],
    ) -> None:
        self._annals = annals
        self._members = members
        self._tell_node = tell_node
        self._tell_operator = tell_operator
        # (revision, asker, its incarnation, number, answer), revisions never fall. The operator's
        # have no asker.
        self._waiting: deque[tuple[int, str, str, int, Any]] = deque()

    def add(self, asker: str, number: int, answer: Refused | None) -> None:
        """A node's request is to be answered when all have followed what was decided so far."""
        incarnation = self._members[asker].incarnation
        self._waiting.append((self._annals.revision, asker, incarnation, number, answer))
        self.send()

    def add_for_operator(self, number: int, answer: Any) -> None:
        """The same for a question of the operator's."""
        self._waiting.append((self._annals.revision, "", "", number, answer))
        self.send()

    def send(self) -> None:
        """Answer what all nodes of the cluster have followed; where there are none, the store."""
        if not self._waiting:
            return
        running = [one.followed for one in self._members.values() if one.state == "running"]
        least = min(running, default=self._annals.durable_revision)
        while self._waiting and self._waiting[0][0] <= least:
            _, name, incarnation, number, answer = self._waiting.popleft()
            if not name:
                self._tell_operator(number, answer)
                continue
            member = self._members[name]
            if member.link is not None and member.incarnation == incarnation:
                self._tell_node(member.link, Answered(number, answer))
