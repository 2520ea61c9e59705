"""The leader of one queue: the queue itself, and the one ordered stream to its mirrors.

Everything that changes the queue happens here first and goes out as a numbered record of the stream
(`sequence`): enqueued, removed, announced, copied. A mirror answers with the number through which it
holds the effect. `floor` is the least number that all *required* mirrors have answered; what waits
for replication (`_pending`: confirms to publishing nodes, the answer to a purge) is released by it.

Told race by race, each with its test of the same name in tests/cluster/test_leader.py:

confirm needs all. A publish is accepted only when every member of the in-sync set holds it, so any
member may be promoted without loss. The set is the coordinator's; the leader's idea of it may be
larger (a mirror about to be admitted is required before the leader asks), never smaller.

fenced leader. A leader that was replaced without knowing cannot confirm: its mirrors have moved to the
next epoch and drop its records. It cannot deliver much either, see the next.

seen before marked. A message that comes again after a failover must carry `redelivered`, though the
word of its delivery may die with the leader. So the leader announces, ahead of time, up to which
position messages may go out, and delivers only what all required mirrors know of and hold
(`Queue.deliver_through`): a message that only the leader holds would be published again to its
successor, and go out there as a new one. A promoted mirror marks everything up to its last announcement: no
message that was out lacks the mark, and at most a consumer's window of messages has it in vain.
Announcements run ahead of the consumers' credit, so that a delivery hardly ever waits for one.

publish sent twice. A publishing node numbers what it publishes to a queue, keeps it until accepted, and
sends it again to a new leader or after a broken link. `origins` has the last number accepted from
each node, and travels with the stream, so that a new leader drops what it holds already.

mirror that lost the thread. After a new epoch or a broken link, `Begin` tells the mirror exactly which
positions the leader holds. An in-sync mirror drops what the leader lacks (it was never confirmed) and
asks for what it lacks itself (`Lacked`); positions name the same message on both, for both hold
prefixes of one stream. Any other mirror starts from nothing. Both then take copies in the background,
in chunks, within the same stream: what is removed meanwhile is not copied or removed again, because
order decides. A mirror's answers count only once its copy is complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from rabbitry.broker.message import Message
from rabbitry.broker.queue import Consumer, Holder, Queue, ranges_of
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.copying import Copier
from rabbitry.cluster.records import (
    AdmitMirror,
    Announced,
    Applied,
    Begin,
    Copied,
    Enqueued,
    Got,
    Lacked,
    QueuePlaced,
    Range,
    Record,
    Refused,
    Removed,
    Replied,
    encode,
)
from rabbitry.wire.errors import ACCESS_REFUSED, PRECONDITION_FAILED

# How far ahead of the head deliveries may be announced, and how much of it is spare at the most.
WINDOW_MAX: Final = 4096
SPARE_MAX: Final = 64


class LeaderPort(Protocol):
    """What a leader needs of its node. Users and mirrors are named by their node."""

    origin: str

    def tell_user(self, user: str, record: Record) -> None:
        """Send a record to the node that uses the queue, or hand it over where that is this one."""

    def tell_mirrors(self, nodes: list[str], encoded: bytes) -> None:
        """Send an encoded record of the stream to these nodes."""

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

    def ask_about_mirror(self, request: AdmitMirror) -> None:
        """Send the request; `admission_answered` follows."""

    def delete_queue(self, queue: int) -> None:
        """Have the queue deleted."""

    def wants_pump(self, leader: QueueLeader) -> None:
        """Have `pump` called at the end of this step."""

    def catalog_revision(self) -> int:
        """Return the revision of the catalog that this node has applied."""


class _Mirror:
    """What the leader knows of one mirror."""

    __slots__ = ("applied", "asked", "begun", "complete", "copier", "required")

    def __init__(self) -> None:
        self.required = False  # confirms wait for it
        self.begun = False  # its link is up and `Begin` was sent
        self.complete = False  # it holds everything: `applied` counts
        self.applied = -1
        self.copier: Copier | None = None
        self.asked = False  # the coordinator was asked to admit it


class QueueLeader:
    """Leads one queue in one epoch."""

    def __init__(self, port: LeaderPort, entry: QueueEntry) -> None:
        self._port = port
        self.number = entry.number
        self.epoch = entry.placed.epoch
        self.entry = entry
        self.queue = Queue(self._deliver)
        self.origins: dict[str, int] = {}
        self.sequence = 0
        self.announced = 0
        self.sealed = False  # being deleted: publishes fall away as if it were gone
        self._mirrors: dict[str, _Mirror] = {}
        self._streaming: list[str] = []  # mirrors that the stream goes to
        self._pending: deque[tuple[int, str, Record | int]] = deque()
        # What was announced and enqueued, each as (sequence, last position), until all required
        # mirrors know; then how far that goes.
        self._announcements: deque[tuple[int, int]] = deque()
        self._enqueued: deque[tuple[int, int]] = deque()
        self._known_through = 0
        self._held_through = 0
        self._gets: deque[tuple[str, int, Holder, bool]] = deque()
        self._had_consumer = False

    # --- beginning -------------------------------------------------------------------------------

    def restore(
        self,
        entries: list[tuple[int, Message]],
        seen_through: int,
        next_position: int,
        origins: dict[str, int],
    ) -> None:
        """Take over what this node held as a mirror. Comes before everything else."""
        self.queue.restore(entries, seen_through, next_position)
        # What the other mirrors know of the last announcement is not sure, so nothing goes out before
        # all have had `Begin`, which carries it (see "seen before marked").
        self.announced = max(seen_through, self.queue.head - 1)
        self.queue.deliver_through = 0
        self._announcements.append((self.sequence, self.announced))
        self._enqueued.append((self.sequence, self.queue.next_position - 1))
        self.origins = dict(origins)

    def place(self, placed: QueuePlaced) -> None:
        """Follow the coordinator's word on mirrors and the in-sync set, of this epoch."""
        for name in [name for name in self._mirrors if name not in placed.mirrors]:
            del self._mirrors[name]
        for name in placed.mirrors:
            mirror = self._mirrors.setdefault(name, _Mirror())
            mirror.required = name in placed.in_sync or mirror.asked
        self._streaming = [name for name, mirror in self._mirrors.items() if mirror.begun]
        self._advance()
        self._port.wants_pump(self)

    def begin_mirror(self, name: str) -> None:
        """A link to this node is up: start the stream to it, if it mirrors this queue."""
        mirror = self._mirrors.get(name)
        if mirror is None:
            return
        mirror.begun, mirror.complete, mirror.applied, mirror.copier = True, False, -1, None
        if name not in self._streaming:
            self._streaming.append(name)
        queue = self.queue
        self.announced = max(self.announced, queue.head - 1)
        held = [position for position, _ in queue.entries_out()]
        ranges = ranges_of(held)
        if queue.ready:
            ranges.append((queue.head, queue.next_position - 1))
        begin = Begin(
            self.number,
            self.epoch,
            self.sequence,
            not mirror.required,
            ranges,
            queue.next_position,
            self.announced,
            self.origins,
        )
        self._port.tell_mirrors([name], encode(begin))
        self._limit_deliveries()

    def lose_mirror(self, name: str) -> None:
        """The link to this node is down; if it is required, confirms wait for it to come back."""
        mirror = self._mirrors.get(name)
        if mirror is not None:
            mirror.begun, mirror.complete, mirror.applied, mirror.copier = False, False, -1, None
            self._streaming = [one for one in self._streaming if one != name]
            self._advance()

    def admission_answered(self, name: str) -> None:
        """The coordinator has granted or refused; the catalog shows which."""
        mirror = self._mirrors.get(name)
        if mirror is not None:
            mirror.asked = False
            mirror.required = name in self.entry.placed.in_sync
            self._advance()

    def not_begun(self) -> list[str]:
        """Return the mirrors that no stream goes to."""
        return [name for name, mirror in self._mirrors.items() if not mirror.begun]

    def required_but_lost(self, name: str) -> bool:
        """Whether confirms wait for this node and no stream goes there."""
        mirror = self._mirrors.get(name)
        return mirror is not None and mirror.required and not mirror.begun

    # --- from publishing nodes ---------------------------------------------------------------------

    def publish(self, user: str, last: int, messages: list[Message]) -> None:
        """Add a run of messages, all of one route; `last` is the publisher's number of the last."""
        if last > self.origins.get(user, 0) and not self.sealed:
            self.origins[user] = last
            first = self.queue.next_position
            self.queue.publish(messages)
            if self._streaming:
                route = messages[0][0]
                run = (route.exchange, route.routing_key, [frames for _, frames in messages])
                self.sequence += 1
                self._stream(
                    Enqueued(self.number, self.epoch, self.sequence, first, user, last, run)
                )
        if self._mirrors:
            self._enqueued.append((self.sequence, self.queue.next_position - 1))
            self._after_replication(user, last)
        else:
            self._port.accepted(self.number, user, last)
        self._port.wants_pump(self)

    # --- from consuming nodes ------------------------------------------------------------------------

    def subscribe(self, user: str, request: int, consumer: Consumer) -> None:
        """Add a consumer, or say why not."""
        declared = self.entry.declared
        consumers = self.queue.consumers
        if any(one.exclusive for one in consumers) or (consumer.exclusive and consumers):
            text = f"queue '{declared.name}' in vhost '{declared.virtual_host}' in exclusive use"
            self._reply(user, request, Refused(ACCESS_REFUSED, text))
            return
        self._reply(user, request, None)
        self.queue.add_consumer(consumer)
        self._had_consumer = True
        self._port.wants_pump(self)

    def unsubscribe(self, user: str, request: int, holder: Holder, number: int) -> None:
        """End a consumer; nothing is delivered to it after the reply."""
        ended = self.queue.remove_consumer(holder, number)
        self._reply(user, request, None)
        if ended:
            self._consumers_went()

    def settle(self, holder: Holder, positions: list[int]) -> None:
        """Messages are done with."""
        settled = self.queue.settle(holder, positions)
        if settled:
            settled.sort()
            self._remove(ranges_of(settled))
            self._port.wants_pump(self)

    def requeue(self, holder: Holder, positions: list[int]) -> None:
        """Messages come back."""
        self.queue.requeue(holder, positions)
        self._port.wants_pump(self)

    def release(self, holder: Holder) -> None:
        """A channel has ended."""
        self._gets = deque(get for get in self._gets if get[2] != holder)
        if self.queue.release(holder):
            self._consumers_went()
        self._port.wants_pump(self)

    def release_user(self, user: str) -> None:
        """The link to a node broke or the node is gone: its channels' business here ends.

        What was on the way to it is lost, so all that it held comes back; if it lives it will
        subscribe again.
        """
        holders = dict.fromkeys(
            [one.holder for one in self.queue.consumers] + list(self.queue.held)
        )
        for holder in holders:
            if holder[0] == user:
                self.release(holder)
        self._gets = deque(get for get in self._gets if get[0] != user)

    def forget_origin(self, user: str) -> None:
        """That process has ended and will never publish again."""
        self.origins.pop(user, None)

    def pause_consumer(self, holder: Holder, number: int, paused: bool) -> None:
        """A client does not read fast enough, or does again."""
        consumer = self.queue.find_consumer(holder, number)
        if consumer is not None:
            consumer.paused = paused
            self._port.wants_pump(self)

    def get(self, user: str, request: int, holder: Holder, no_ack: bool) -> None:
        """Answer `basic.get`, as soon as the head of the queue may be seen."""
        self._gets.append((user, request, holder, no_ack))
        self._port.wants_pump(self)

    def inquire(
        self, user: str, request: int, what: str, if_unused: bool, if_empty: bool
    ) -> None:
        """Count, purge or delete; the answer to a purge waits for the mirrors."""
        declared = self.entry.declared
        name = f"queue '{declared.name}' in vhost '{declared.virtual_host}'"
        if what == "purge":
            count = self.queue.ready_count
            self._remove(self.queue.purge())
            reply = Replied(self.number, self.epoch, request, None, count, 0)
            self._after_replication(user, reply)
        elif what == "count":
            self._reply(user, request, None)
        elif if_unused and self.queue.consumers:
            self._reply(user, request, Refused(PRECONDITION_FAILED, f"{name} in use"))
        elif if_empty and self.queue.ready_count:
            self._reply(user, request, Refused(PRECONDITION_FAILED, f"{name} not empty"))
        else:
            # The user asks the coordinator too, and waits for its answer; should it die meanwhile,
            # the queue goes all the same.
            self.sealed = True
            self._port.delete_queue(self.number)
            self._reply(user, request, None)

    # --- from mirrors ----------------------------------------------------------------------------------

    def applied(self, name: str, record: Applied) -> None:
        """A mirror holds the effect of the stream through a number."""
        mirror = self._mirrors.get(name)
        if mirror is None or not mirror.begun:
            return
        copier = mirror.copier
        if copier is not None and record.sequence >= copier.sent_at:
            if not copier.finished:
                self._copy(name, copier)
            else:
                mirror.copier, mirror.complete = None, True
                if not mirror.required:
                    # Required from now on, and only then asked for: see "confirm needs all".
                    mirror.required = mirror.asked = True
                    revision = self._port.catalog_revision()
                    self._port.ask_about_mirror(
                        AdmitMirror(self.number, self.epoch, name, revision)
                    )
        if mirror.complete:
            mirror.applied = record.sequence
            self._advance()

    def lacked(self, name: str, record: Lacked) -> None:
        """A mirror says what it lacks: copy it there in the background."""
        mirror = self._mirrors.get(name)
        if mirror is not None and mirror.begun and not mirror.complete:
            mirror.copier = Copier(self.queue, record.ranges)
            self._copy(name, mirror.copier)

    def _copy(self, name: str, copier: Copier) -> None:
        entries = copier.next_chunk()
        self.sequence += 1
        copier.sent_at = self.sequence
        copied = Copied(self.number, self.epoch, self.sequence, entries, copier.finished)
        self._port.tell_mirrors([name], encode(copied))

    # --- the stream --------------------------------------------------------------------------------------

    def _stream(self, record: Enqueued | Removed | Announced) -> None:
        self._port.tell_mirrors(self._streaming, encode(record))

    def _remove(self, ranges: list[Range]) -> None:
        if ranges and self._streaming:
            self.sequence += 1
            self._stream(Removed(self.number, self.epoch, self.sequence, ranges))

    def _after_replication(self, user: str, what: Record | int) -> None:
        """Do this once all required mirrors hold the stream as it is now."""
        self._pending.append((self.sequence, user, what))
        if self._floor() >= self.sequence:
            self._advance()

    def _floor(self) -> int:
        floor = self.sequence
        for mirror in self._mirrors.values():
            if mirror.required and mirror.applied < floor:
                floor = mirror.applied
        return floor

    def _advance(self) -> None:
        """Release what waited for replication."""
        floor = self._floor()
        pending = self._pending
        accepted: dict[str, int] = {}
        while pending and pending[0][0] <= floor:
            _, user, what = pending.popleft()
            if isinstance(what, int):
                accepted[user] = what
            else:
                self._port.tell_user(user, what)
        for user, last in accepted.items():
            self._port.accepted(self.number, user, last)
        while self._announcements and self._announcements[0][0] <= floor:
            self._known_through = self._announcements.popleft()[1]
        while self._enqueued and self._enqueued[0][0] <= floor:
            self._held_through = self._enqueued.popleft()[1]
        self._limit_deliveries()

    def _limit_deliveries(self) -> None:
        """Set the limit that a queue with mirrors has, lift it from one without."""
        queue = self.queue
        before = queue.deliver_through
        if not self._streaming and not any(one.required for one in self._mirrors.values()):
            self._announcements.clear()
            self._enqueued.clear()
            self.announced = max(self.announced, queue.head - 1)
            queue.deliver_through = None
        else:
            if before is None:
                # So far this node alone counted, and it knows what it holds and has let out.
                self.announced = max(self.announced, queue.head - 1)
                self._known_through = self.announced
                self._held_through = queue.next_position - 1
            queue.deliver_through = min(self._known_through, self._held_through)
        if queue.deliver_through != before:
            self._port.wants_pump(self)

    def pump(self) -> None:
        """Hand out what may go out, and announce what may go out next."""
        while True:
            self._remove(self.queue.deal())
            self._answer_gets()
            if not self._announce():
                break
        if self.queue.deliver_through is None:
            self.announced = max(self.announced, self.queue.head - 1)

    def _announce(self) -> bool:
        """Announce further deliveries where consumers could soon take them; True: deal again."""
        queue = self.queue
        if queue.deliver_through is None or not (queue.consumers or self._gets):
            return False
        wanted = len(self._gets)
        spare = 0
        for consumer in queue.consumers:
            wanted += consumer.credit(WINDOW_MAX)
            spare += consumer.prefetch_count
        wanted = min(wanted + min(spare, SPARE_MAX), WINDOW_MAX)
        ahead = self.announced - queue.head + 1
        if not wanted or ahead > wanted // 2:
            return False
        self.announced = queue.head - 1 + wanted
        if self._streaming:
            self.sequence += 1
            self._stream(Announced(self.number, self.epoch, self.sequence, self.announced))
        self._announcements.append((self.sequence, self.announced))
        before = queue.deliver_through
        self._advance()
        return queue.deliver_through != before

    def _answer_gets(self) -> None:
        queue = self.queue
        while self._gets and (queue.may_go() or not queue.ready_count):
            user, request, holder, no_ack = self._gets.popleft()
            got = queue.get(holder, no_ack)
            if got is None:
                record = Got(self.number, self.epoch, request, 0, False, None, 0)
            else:
                position, redelivered, (route, frames) = got
                if no_ack:
                    self._remove([(position, position)])
                run = (route.exchange, route.routing_key, [frames])
                remaining = queue.ready_count
                record = Got(
                    self.number, self.epoch, request, position, redelivered, run, remaining
                )
            self._port.tell_user(user, record)

    def _deliver(
        self,
        consumer: Consumer,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
    ) -> None:
        self._port.deliver(self.number, consumer, positions, messages, redelivered)

    def _reply(self, user: str, request: int, refusal: Refused | None) -> None:
        reply = Replied(
            self.number,
            self.epoch,
            request,
            refusal,
            self.queue.ready_count,
            len(self.queue.consumers),
        )
        self._port.tell_user(user, reply)

    def _consumers_went(self) -> None:
        if (
            self.entry.declared.auto_delete
            and self._had_consumer
            and not self.queue.consumers
            and not self.sealed
        ):
            self.sealed = True
            self._port.delete_queue(self.number)


