"""A link of a worker process, as the first process of a balancer knows it.

Owns how it is steered: each wish is a message to its worker. Which links there are is `crew`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rabbitry.runtime import hand_messages as m

if TYPE_CHECKING:
    from rabbitry.runtime.crew import Worker


class RemoteLink:
    """A link of a worker, as the first process knows it."""

    __slots__ = ("joined", "listener", "number", "seen_bytes", "worker")

    def __init__(self, worker: Worker, listener: str, number: int) -> None:
        self.worker = worker
        self.listener = listener
        self.number = number
        self.joined = False
        self.seen_bytes = 0  # told to the machine

    def write(self, data: bytes) -> None:
        """Have bytes sent."""
        self.worker.send(m.Send(self.number, data))

    def finish(self) -> None:
        """Have a FIN sent after what waits."""
        self.worker.send(m.Finish(self.number))

    def close(self) -> None:
        """Have it closed in order."""
        self.worker.send(m.Close(self.number, False))

    def abort(self) -> None:
        """Have it closed at once."""
        self.worker.send(m.Close(self.number, True))

    def pause_reading(self) -> None:
        """Have nothing more read."""
        self.worker.send(m.PauseLink(self.number))

    def resume_reading(self) -> None:
        """Have it read again."""
        self.worker.send(m.ResumeLink(self.number))
