"""A queue's leader alone: its port records what it does, and mirrors answer when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rabbitry.broker.dead_letters import Reason
from rabbitry.broker.message import Message, Route
from rabbitry.broker.queue import Consumer
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.queue_records import Applied, Lacked, Record
from rabbitry.cluster.records import (
    AdmitMirror,
    AnyRecord,
    DropMirror,
    QueueDeclared,
    QueuePlaced,
    decode,
)
from rabbitry.wire.values import FieldValue, encode_table

ROUTE = Route(b"", b"q")


class RecordingPort:
    """What a leader needs of its node, written down."""

    origin = "a#1"

    def __init__(self) -> None:
        self.told: list[tuple[str, Record]] = []
        self.sent: list[tuple[list[str], AnyRecord]] = []
        self.accepted_through: list[tuple[str, int]] = []
        self.delivered: list[tuple[int, bool]] = []
        self.requests: list[AdmitMirror | DropMirror] = []
        self.deletions = 0
        self.pump_wanted = False
        self.time = 1_000_000_000
        self.wake_at: int | None = None
        self.dead_letters: list[tuple[Reason, bytes]] = []
        self.undone: list[Callable[[], None]] = []

    def tell_user(self, user: str, record: Record) -> None:
        self.told.append((user, record))

    def tell_mirrors(self, nodes: list[str], encoded: bytes) -> None:
        self.sent.append((list(nodes), decode(encoded)))

    def accepted(self, queue: int, user: str, last: int) -> None:
        self.accepted_through.append((user, last))

    def deliver(
        self,
        queue: int,
        consumer: Consumer,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
    ) -> None:
        assert len(positions) == len(messages)
        self.delivered += [(position, redelivered) for position in positions]

    def ask_about_mirror(self, request: AdmitMirror | DropMirror) -> None:
        self.requests.append(request)

    def delete_queue(self, queue: int) -> None:
        self.deletions += 1

    def wants_pump(self, leader: QueueLeader) -> None:
        self.pump_wanted = True

    def catalog_revision(self) -> int:
        return 7

    def now(self) -> int:
        return self.time

    def wake(self, leader: QueueLeader, due: int | None) -> None:
        self.wake_at = due

    def dead_letter(
        self, queue: int, reason: Reason, messages: list[Message], on_done: Callable[[], None]
    ) -> None:
        self.dead_letters += [(reason, frames) for _, frames in messages]
        self.undone.append(on_done)


class LeaderAlone:
    """A leader in epoch 1, with these mirrors, of which all are in sync unless `in_sync` says."""

    def __init__(
        self,
        mirrors: Sequence[str],
        in_sync: Sequence[str] | None = None,
        auto_delete: bool = False,
        arguments: Mapping[str, FieldValue] | None = None,
    ) -> None:
        self.port = RecordingPort()
        entry = QueueEntry(
            QueueDeclared("/", "q", 1, True, auto_delete, "", encode_table(arguments or {}))
        )
        members = mirrors if in_sync is None else in_sync
        entry.placed = QueuePlaced(1, 1, "a", list(mirrors), ["a", *members])
        self.leader = QueueLeader(self.port, entry)
        self.leader.place(entry.placed)
        self.pump()

    def place(self, mirrors: Sequence[str], in_sync: Sequence[str]) -> None:
        placed = QueuePlaced(1, 1, "a", list(mirrors), ["a", *in_sync])
        self.leader.entry.placed = placed
        self.leader.place(placed)

    def pump(self) -> None:
        """End the step."""
        while self.port.pump_wanted:
            self.port.pump_wanted = False
            self.leader.pump()

    def publish(self, user: str, first: int, count: int) -> None:
        """Publish a run; bodies are the publisher's numbers."""
        messages = [(ROUTE, b"%d" % number) for number in range(first, first + count)]
        self.leader.publish(user, first + count - 1, messages)
        self.pump()

    def stream(self) -> list[AnyRecord]:
        """Return what was sent to mirrors since the last call."""
        sent, self.port.sent = self.port.sent, []
        return [record for _, record in sent]

    @property
    def last_sent(self) -> int:
        return self.leader._replication.sequence

    def applied(self, mirror: str, sequence: int) -> None:
        self.leader.applied(mirror, Applied(1, 1, sequence, sequence))
        self.pump()

    def answer_all(self, mirror: str) -> None:
        """Let a mirror answer until nothing new is sent to it."""
        while True:
            last = self.last_sent
            self.applied(mirror, last)
            if self.last_sent == last:
                return

    def complete(self, mirror: str) -> None:
        """Begin the stream to a mirror that lacks nothing."""
        self.leader.begin_mirror(mirror)
        self.leader.lacked(mirror, Lacked(1, 1, self.last_sent, []))
        self.answer_all(mirror)
