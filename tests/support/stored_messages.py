"""Contents with the delivery mode that a test wants, and a store of one node that a test drives."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from rabbitry.broker.message import Run
from rabbitry.cluster.node_store import NodeStore
from rabbitry.machine import BULK, Commit, Load, Started
from rabbitry.simulation.schedule import SeededEntropy
from rabbitry.wire.frames import content_frames
from rabbitry.wire.methods import BasicProperties
from rabbitry.wire.properties import DELIVERY_MODE


def content(body: bytes, persistent: bool = True) -> bytes:
    """Return a content's frames."""
    properties = BasicProperties(delivery_mode=2 if persistent else 1)
    return content_frames(1, properties.encode(), body, 131072)


def run(*bodies: bytes, persistent: bool = True) -> Run:
    """Return a run of messages to the queue "q"."""
    return b"", b"q", DELIVERY_MODE, [content(body, persistent) for body in bodies]


class StoringNode:
    """A node's store over a dictionary; commits and loads are answered when the test says so."""

    def __init__(self, values: dict[bytes, bytes] | None = None) -> None:
        self.values = {} if values is None else values
        self.store = NodeStore(self, SeededEntropy(Random(len(self.values))))
        self.stored: list[int] = []
        self.refusals: list[str] = []
        self.failures: list[int] = []
        self.commits: list[Commit] = []
        self.loads: list[Load] = []

    def start(self, damaged: Sequence[bytes] = ()) -> None:
        items = sorted(item for item in self.values.items() if item[0] not in damaged)
        stored = [item for item in items if not item[0].startswith(BULK)]
        bulk = [key for key, _ in items if key.startswith(BULK)]
        self.store.start(Started(stored, bulk, list(damaged)))

    def end_step(self) -> None:
        for effect in self.store.take_effects():
            if isinstance(effect, Commit):
                self.commits.append(effect)
            elif isinstance(effect, Load):
                self.loads.append(effect)

    def commit(self) -> None:
        """Let the commit under way, and all that it makes way for, become durable."""
        self.end_step()
        while self.commits:
            self.commit_one()

    def commit_one(self) -> None:
        """Let the commit under way become durable; the next, if there is one, is handed over."""
        commit = self.commits.pop(0)
        for key, value in commit.writes:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        self.store.committed(commit.commit)
        self.end_step()

    def load(self) -> None:
        """Answer what is to be read, and what is asked for then."""
        self.end_step()
        while self.loads:
            load = self.loads.pop(0)
            self.store.loaded(load.load, [self.values.get(key) for key in load.keys])
            self.commit()

    # --- as the node ---

    def queue_stored(self, queue: int) -> None:
        self.stored.append(queue)

    def store_refuses(self, reason: str) -> None:
        self.refusals.append(reason)

    def store_failed(self, queue: int) -> None:
        self.failures.append(queue)
