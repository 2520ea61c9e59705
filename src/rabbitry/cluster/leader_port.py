"""What the leader of a queue needs of its node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rabbitry.broker.message import Message
from rabbitry.broker.queue import Consumer
from rabbitry.cluster.dead_lettering import DeadLetterPort
from rabbitry.cluster.paging import PagingPort
from rabbitry.cluster.queue_records import Record
from rabbitry.cluster.replication import ReplicationPort

if TYPE_CHECKING:
    from rabbitry.cluster.leader_stream import LeaderStream


class LeaderPort(ReplicationPort, DeadLetterPort, PagingPort, Protocol):
    """What a leader needs of its node. Users are named by their process, mirrors by their node."""

    origin: str

    def tell_user(self, user: str, record: Record) -> None:
        """Send a record to the node that uses the queue, or hand it over where that is this one."""

    def accepted(self, queue: int, user: str, last: int) -> None:
        """Tell a publishing node that all through its number `last` is safe."""

    def deliver(
        self,
        queue: int,
        consumer: Consumer,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
    ) -> None:
        """Bring messages to a consumer, here or on another node."""

    def delete_queue(self, queue: int) -> None:
        """Have the queue deleted."""

    def wants_pump(self, leader: LeaderStream) -> None:
        """Have `pump` called at the end of this step."""

    def wake(self, leader: LeaderStream, due: int | None) -> None:
        """Have `pump` called at that time, whatever was asked before; None: no more."""

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        ...
