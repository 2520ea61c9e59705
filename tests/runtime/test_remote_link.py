"""What is wanted of a link of a worker is said to its worker, with its number."""

from __future__ import annotations

from typing import Any

from rabbitry.runtime import hand_messages as m
from rabbitry.runtime.remote_link import RemoteLink


class Worker:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.send = self.told.append


def test_each_wish_is_a_message() -> None:
    worker = Worker()
    link = RemoteLink(worker, "front", 7)  # type: ignore[arg-type]
    assert (link.listener, link.joined, link.seen_bytes) == ("front", False, 0)
    link.write(b"abc")
    link.finish()
    link.pause_reading()
    link.resume_reading()
    link.close()
    link.abort()
    assert worker.told == [
        *[m.Send(7, b"abc"), m.Finish(7), m.PauseLink(7), m.ResumeLink(7)],
        *[m.Close(7, False), m.Close(7, True)],
    ]
