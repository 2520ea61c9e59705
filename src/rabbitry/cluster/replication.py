"""What the leader of a queue knows of its mirrors, and how one becomes part of the in-sync set.

Owns the numbers of the stream, to whom it goes, how far each mirror has come, and copying. What is
in the records, and what waits for them, is `cluster.leader`, where the races are told too.

A mirror is *required* while anything that is confirmed must be held by it. That is so for the
members of the in-sync set, and before it can become one of them:

    copying   the stream goes to it, and what it lacked at the beginning is copied
    joining   it has all of that: from here on confirms wait for it, but it may lag behind what
              was confirmed without it; when its store has come to `ask_at` it lacks nothing
    asked     the coordinator was asked to admit it, and may have done so already
    in sync   the coordinator has told us
    kept      it was in sync, and its process has died: what its store has is still complete, until
              we confirm without it

It answers with two numbers: how far it holds the stream in memory (`applied`), which lets messages
go out, and how far its store has what it must have (`durable`), which confirms wait for.

If its link breaks, one that was only joining is copying again. One that was asked for stays
required until the answer has come, for nobody but the coordinator knows which it is; and the
answer counts only for the mirror that was asked for, not for one that has left and joined again
since.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from rabbitry.broker.queue import Queue
from rabbitry.cluster.copying import Copier
from rabbitry.cluster.queue_records import (
    Applied,
    Begin,
    Copied,
    Counted,
    Lacked,
    Range,
    Record,
    Removed,
)
from rabbitry.cluster.reading_back import OnRead, StoredMessages
from rabbitry.cluster.records import AdmitMirror, DropMirror, QueuePlaced, encode


class ReplicationPort(Protocol):
    """What replication needs of its node. Mirrors are named by their node."""

    def tell_mirrors(self, nodes: list[str], encoded: bytes) -> None:
        """Send an encoded record of the stream to these nodes."""
        ...

    def ask_about_mirror(self, request: AdmitMirror | DropMirror) -> None:
        """Ask the coordinator; `QueueLeader.mirror_answered` follows."""
        ...

    def read_stored(self, queue: int, epoch: int, first: int, last: int, then: OnRead) -> None:
        """Read what this node's store has at these positions; `then` follows, if it still leads."""
        ...

    def catalog_revision(self) -> int:
        """Return the revision of the catalog that this node has applied."""
        ...


class _Mirror:
    """One mirror; see the module."""

    __slots__ = (
        "applied",
        "ask_at",
        "asked",
        "begun",
        "complete",
        "copier",
        "dropping",
        "durable",
        "in_sync",
        "kept",
        "sent",
        "stored",
    )

    def __init__(self) -> None:
        self.in_sync = False  # so says the coordinator
        self.kept = False  # so too: its process has died, its store has everything
        self.begun = False  # its link is up and `Begin` was sent
        self.complete = False  # it holds everything: `applied` counts
        self.sent = 0  # the number of the last record that went to it
        self.applied = self.durable = -1
        self.copier: Copier | None = None
        self.ask_at: int | None = None
        self.asked: int | None = None  # at which revision of the catalog
        self.dropping = False  # the coordinator was asked to take it out of the set

    @property
    def required(self) -> bool:
        asked = self.ask_at is not None or self.asked is not None
        return self.in_sync or self.kept or asked

    def restart(self, begun: bool) -> None:
        self.begun, self.complete = begun, False
        self.applied = self.durable = -1
        self.copier = self.ask_at = None


class Replication:
    """The mirrors of one queue in one epoch. `sequence` numbers the stream's records."""

    def __init__(self, port: ReplicationPort, number: int, epoch: int, queue: Queue) -> None:
        self.sequence = 0
        self._port = port
        self._number = number
        self._epoch = epoch
        self._queue = queue
        self._mirrors: dict[str, _Mirror] = {}
        self._begun: list[_Mirror] = []  # those that the stream goes to, and their names
        self._streaming: list[str] = []

    # --- who mirrors ------------------------------------------------------------------------------

    def place(self, placed: QueuePlaced) -> None:
        """Follow the coordinator's word on mirrors and the in-sync set."""
        for name in [name for name in self._mirrors if name not in placed.mirrors]:
            del self._mirrors[name]
        for name in placed.mirrors:
            mirror = self._mirrors.setdefault(name, _Mirror())
            mirror.in_sync, mirror.kept = name in placed.in_sync, name in placed.stored
        self._find_streaming()

    def begin(self, name: str) -> bool | None:
        """The stream to this mirror starts. Return whether it is required; None: it mirrors not."""
        mirror = self._mirrors.get(name)
        if mirror is None:
            return None
        mirror.restart(begun=True)
        mirror.sent = self.sequence
        self._find_streaming()
        return mirror.required

    def lose(self, name: str) -> None:
        """The link to this node is down."""
        mirror = self._mirrors.get(name)
        if mirror is not None:
            mirror.restart(begun=False)
            self._find_streaming()
            if mirror.kept:
                self.give_up(name)

    def give_up(self, name: str) -> None:
        """A node is out of reach for long: if confirms wait for it, have it taken out."""
        mirror = self._mirrors.get(name)
        if mirror is not None and mirror.required and not mirror.begun and not mirror.dropping:
            mirror.dropping = True
            self._port.ask_about_mirror(DropMirror(self._number, self._epoch, name))

    def answered(self, request: AdmitMirror | DropMirror) -> None:
        """The coordinator has answered; what it decided was told before, by `place`."""
        mirror = self._mirrors.get(request.node)
        if mirror is None:
            return
        if isinstance(request, DropMirror):
            mirror.dropping = False
        elif mirror.asked == request.revision:
            mirror.asked = None

    def ask(self) -> None:
        """Have mirrors admitted that hold everything. Call it at the end of a step.

        Not before: one whose link this step has found to be that of a dead process is lost by then.

        One that is required by its store only is taken out at once: it will not answer soon.
        """
        for name, mirror in self._mirrors.items():
            if mirror.kept and not mirror.begun:
                self.give_up(name)
            elif mirror.complete and not mirror.in_sync and mirror.asked is None:
                if mirror.ask_at is None:
                    mirror.ask_at = mirror.sent
                if mirror.durable >= mirror.ask_at:
                    mirror.ask_at, mirror.asked = None, self._port.catalog_revision()
                    self._port.ask_about_mirror(
                        AdmitMirror(self._number, self._epoch, name, mirror.asked)
                    )

    def not_begun(self) -> list[str]:
        """Return the mirrors that no stream goes to."""
        return [name for name, mirror in self._mirrors.items() if not mirror.begun]

    @property
    def any_mirrors(self) -> bool:
        """Whether there are any, required or not."""
        return bool(self._mirrors)

    @property
    def streaming(self) -> bool:
        """Whether the stream goes to anybody."""
        return bool(self._streaming)

    @property
    def limited(self) -> bool:
        """Whether somebody besides the leader counts, or soon may."""
        return bool(self._streaming) or any(one.required for one in self._mirrors.values())

    @property
    def wants_asking(self) -> bool:
        """Whether `ask` would do something, now or when a mirror has come further."""
        return any(one.complete and not one.in_sync for one in self._mirrors.values())

    def _find_streaming(self) -> None:
        self._begun = [mirror for mirror in self._mirrors.values() if mirror.begun]
        self._streaming = [name for name, mirror in self._mirrors.items() if mirror.begun]

    # --- the stream -------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Return the number of the record that is sent next."""
        self.sequence += 1
        return self.sequence

    def send(self, record: Record) -> None:
        """Send a record of the stream, numbered just now, to all whom it goes to."""
        for mirror in self._begun:
            mirror.sent = self.sequence
        self._port.tell_mirrors(self._streaming, encode(record))

    def send_begin(self, name: str, record: Begin) -> None:
        """Send the beginning of the stream to a mirror; it has the number of the last record."""
        self._port.tell_mirrors([name], encode(record))

    def remove(self, ranges: list[Range]) -> None:
        """Messages are no more."""
        if ranges and self._streaming:
            for mirror in self._mirrors.values():
                if mirror.copier is not None:
                    mirror.copier.removed(ranges)
            self.send(Removed(self._number, self._epoch, self.next_number(), ranges))

    def count(self, counts: list[tuple[int, int]]) -> None:
        """Messages came back, as in `Counted`."""
        if counts and self._streaming:
            self.send(Counted(self._number, self._epoch, self.next_number(), counts))

    def floors(self) -> tuple[int, int]:
        """Return through which numbers all required mirrors hold, and have stored, the stream.

        That is, what of it concerns them: copies go to one mirror only.
        """
        held = stored = self.sequence
        for mirror in self._mirrors.values():
            if mirror.durable < mirror.sent and mirror.required:
                stored = min(stored, mirror.durable)
                if mirror.applied < mirror.sent:
                    held = min(held, mirror.applied)
        return held, stored

    # --- from mirrors -----------------------------------------------------------------------------

    def applied(self, name: str, record: Applied) -> None:
        """A mirror holds the effect of the stream through a number."""
        mirror = self._mirrors.get(name)
        if mirror is None or not mirror.begun:
            return
        copier = mirror.copier
        if copier is not None and not copier.reading and record.stored >= copier.sent_at:
            if copier.finished:
                mirror.copier, mirror.complete = None, True
            else:
                self._copy(name, mirror, copier)
        if mirror.complete:
            mirror.applied, mirror.durable = record.sequence, record.stored

    def lacked(self, name: str, record: Lacked) -> None:
        """A mirror says what it lacks: copy it there in the background."""
        mirror = self._mirrors.get(name)
        if mirror is not None and mirror.begun and not mirror.complete:
            mirror.copier = Copier(self._queue, record.ranges)
            self._copy(name, mirror, mirror.copier)

    def _copy(self, name: str, mirror: _Mirror, copier: Copier) -> None:
        wanted = copier.wanted()
        if wanted is not None:
            then = partial(self._go_on_copying, name, copier)
            self._port.read_stored(self._number, self._epoch, *wanted, then)
            return
        entries = copier.next_chunk()
        mirror.sent = copier.sent_at = self.next_number()
        copied = Copied(
            self._number,
            self._epoch,
            copier.sent_at,
            entries,
            copier.finished,
            copier.expiries_of(entries),
        )
        self._port.tell_mirrors([name], encode(copied))

    def _go_on_copying(self, name: str, copier: Copier, found: StoredMessages) -> None:
        """What was to be copied next has been read."""
        mirror = self._mirrors.get(name)
        if mirror is not None and mirror.copier is copier:
            copier.take(*found)
            self._copy(name, mirror, copier)
