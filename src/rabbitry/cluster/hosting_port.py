"""What the queues of a node need of the rest of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.queue_records import Refused
from rabbitry.cluster.records import Request


class HostingPort(Protocol):
    """What the queues need of their node."""

    def request(self, request: Request, on_answer: Callable[[Refused | None], None]) -> None:
        """Ask the coordinator."""
        ...

    def catalog_revision(self) -> int:
        """Return the revision of the catalog that this node has applied."""
        ...

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        """Count what waits to be accepted (negative: what does no longer)."""
        ...

    def now(self) -> int:
        """Return the time, in microseconds since 1970."""
        ...

    def dead_letter(
        self,
        entry: QueueEntry,
        reason: Reason,
        messages: list[Message],
        on_done: Callable[[], None],
    ) -> None:
        """Publish what a queue gave up; `on_done` when it is safe, or has nowhere to go."""
        ...
