"""The leader of one queue: the queue itself, and the one ordered stream to its mirrors.

Everything that changes the queue happens here first and goes out as a numbered record of the
stream (`sequence`): enqueued, removed, announced, copied. A mirror answers with the number through
which it holds the effect. `floor` is the least number that all *required* mirrors have answered;
what waits for replication (`_pending`: confirms to publishing nodes, the answer to a purge) is
released by it.

Told race by race, each with its test of the same name in tests/cluster/test_leader.py:

confirm needs all. A publish is accepted only when every member of the in-sync set holds it, so any
member may be promoted without loss. The set is the coordinator's; the leader's idea of it may be
larger, never smaller: a mirror is required before the coordinator is asked to admit it, and asked
for only when it has caught up with all that was confirmed without it (see `cluster.replication`).

fenced leader. A leader that was replaced without knowing cannot confirm: its mirrors have moved to
the next epoch and drop its records. It cannot deliver much either, see the next.

seen before marked. A message that comes again after a failover must carry `redelivered`, though
the word of its delivery may die with the leader. So the leader announces, ahead of time, up to
which position messages may go out, and delivers only what all required mirrors know of and hold
(`Queue.deliver_through`): a message that only the leader holds would be published again to its
successor, and go out there as a new one. A promoted mirror marks everything up to its last
announcement: no message that was out lacks the mark, and at most as many have it in vain as
consumers could have taken at that moment. What consumers with free credit wait for is announced
before it is published.

publish sent twice. A publishing node numbers what it publishes to a queue, keeps it until
accepted, and sends it again to a new leader or after a broken link. `origins` has the last number
accepted from each node, and travels with the stream, so that a new leader drops what it holds
already. Messages and numbers belong together: a mirror that is still copying is promoted with both
as they were before.

order is not position. In a queue with priorities messages go out by priority first, so what has
been announced is no prefix of what goes out, only of what was published: whatever has come by then
may go out, in any order. After a failover all of it is marked, more in vain than elsewhere.

mirror that lost the thread. After a new epoch or a broken link, `Begin` tells the mirror exactly
which positions the leader holds, and the mirror asks for what it lacks (`Lacked`). It is copied in
the background, in chunks, within the same stream: what is removed meanwhile is not copied or
removed again, because order decides. A mirror's answers count only once its copy is complete, and
until then what it held before is kept (see `cluster.mirror`). A position names the same message on
both only as far as both hold prefixes of one stream: a new leader may have published at positions
that its predecessor had given to other messages, which never were confirmed but lie on the mirror
still. So `Begin` says in which epoch, and up to where, the leader's own beginnings lie.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from rabbitry.broker.message import Message, run_of
from rabbitry.broker.queue import Consumer, Holder, Queue, ranges_of
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.queue_records import (
    Announced,
    Applied,
    Begin,
    Enqueued,
    Got,
    Lacked,
    Record,
    Refused,
    Replied,
)
from rabbitry.cluster.records import AdmitMirror, DropMirror, QueuePlaced
from rabbitry.cluster.replica import Replica
from rabbitry.cluster.replication import Replication, ReplicationPort
from rabbitry.wire.errors import ACCESS_REFUSED, PRECONDITION_FAILED

# How far ahead of the head deliveries may be announced.
WINDOW_MAX: Final = 4096


class LeaderPort(ReplicationPort, Protocol):
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

    def wants_pump(self, leader: QueueLeader) -> None:
        """Have `pump` called at the end of this step."""


class QueueLeader:
    """Leads one queue in one epoch."""

    def __init__(self, port: LeaderPort, entry: QueueEntry) -> None:
        self._port = port
        self.number = entry.number
        self.epoch = entry.placed.epoch
        self.entry = entry
        self.queue = Queue(self._deliver, entry.settings)
        self.origins: dict[str, int] = {}
        self.announced = 0
        self.sealed = False  # being deleted: publishes fall away as if it were gone
        self._follows, self._first_position = 0, 1  # see `Begin`
        self._replication = Replication(port, entry.number, entry.placed.epoch, self.queue)
        self._pending: deque[tuple[int, str, Record | int]] = deque()
        # What was announced and enqueued, each as (sequence, last position), until all required
        # mirrors know; then how far that goes.
        self._announcements: deque[tuple[int, int]] = deque()
        self._enqueued: deque[tuple[int, int]] = deque()
        self._known_through = 0
        self._held_through = 0
        self._gets: deque[tuple[str, int, Holder, bool]] = deque()
        self._had_consumer = False

    # --- beginning --------------------------------------------------------------------------------

    def restore(self, replica: Replica) -> None:
        """Take over what this node held as a mirror. Comes before everything else."""
        queue = self.queue
        queue.restore(replica.entries(), replica.seen_through, replica.next_position)
        self._follows, self._first_position = replica.epoch, replica.next_position
        # What the other mirrors know of the last announcement is not sure, so nothing goes out
        # before all have had `Begin`, which carries it (see "seen before marked").
        self.announced = max(replica.seen_through, queue.head - 1)
        queue.deliver_through = 0
        self._announcements.append((0, self.announced))
        self._enqueued.append((0, queue.next_position - 1))
        self.origins = dict(replica.origins)
        self._had_consumer = replica.consumed

    def replica(self) -> Replica:
        """Return what is held here, for this node to mirror, or to lead in a later epoch."""
        replica = Replica()
        replica.epoch = self.epoch
        replica.messages = dict(self.queue.entries())
        replica.next_position = self.queue.next_position
        replica.seen_through = max(self.announced, self.queue.head - 1)
        replica.origins = dict(self.origins)
        replica.consumed = self._had_consumer
        return replica

    def place(self, placed: QueuePlaced) -> None:
        """Follow the coordinator's word on mirrors and the in-sync set, of this epoch."""
        self._replication.place(placed)
        self._advance()
        self._port.wants_pump(self)

    def begin_mirror(self, name: str) -> None:
        """A link to this node is up: start the stream to it, if it mirrors this queue."""
        required = self._replication.begin(name)
        if required is None:
            return
        queue = self.queue
        self.announced = max(self.announced, queue.head - 1)
        ranges = ranges_of([position for position, _ in queue.entries_out()])
        if queue.ready:
            ranges.append((queue.head, queue.next_position - 1))
        begin = Begin(
            self.number,
            self.epoch,
            self._replication.sequence,
            not required,
            ranges,
            queue.next_position,
            self.announced,
            self.origins,
            self._follows,
            self._first_position,
            self._had_consumer,
        )
        self._replication.send_begin(name, begin)
        self._limit_deliveries()

    def lose_mirror(self, name: str) -> None:
        """The link to this node is down; if it is required, confirms wait for it to come back."""
        self._replication.lose(name)
        self._advance()

    def give_up_mirror(self, name: str) -> None:
        """A node is out of reach for long: if confirms wait for it, have it taken out."""
        self._replication.give_up(name)

    def mirror_answered(self, request: AdmitMirror | DropMirror) -> None:
        """The coordinator has answered; what it decided was told before, by `place`."""
        self._replication.answered(request)
        self._advance()
        self._port.wants_pump(self)

    def not_begun(self) -> list[str]:
        """Return the mirrors that no stream goes to."""
        return self._replication.not_begun()

    # --- from publishing nodes --------------------------------------------------------------------

    def publish(self, user: str, last: int, messages: list[Message]) -> None:
        """Add a run of messages, all of one route; `last` is the publisher's number of the last."""
        replication = self._replication
        if last > self.origins.get(user, 0) and not self.sealed:
            self.origins[user] = last
            first = self.queue.next_position
            self.queue.publish(messages)
            if replication.streaming:
                number, run = replication.next_number(), run_of(messages)
                replication.send(Enqueued(self.number, self.epoch, number, first, user, last, run))
        if replication.any_mirrors:
            self._enqueued.append((replication.sequence, self.queue.next_position - 1))
            self._after_replication(user, last)
        else:
            self._port.accepted(self.number, user, last)
        self._port.wants_pump(self)

    # --- from consuming nodes ---------------------------------------------------------------------

    def subscribe(self, user: str, request: int, consumer: Consumer) -> None:
        """Add a consumer, or say why not."""
        declared = self.entry.declared
        consumers = self.queue.consumers
        if any(one.exclusive for one in consumers) or (
            consumer.exclusive and (consumers or consumers.single_active)
        ):
            text = f"queue '{declared.name}' in vhost '{declared.virtual_host}' in exclusive use"
            self._reply(user, request, Refused(ACCESS_REFUSED, text))
            return
        # Before the reply: it may bring the end of the consumer at once, pipelined behind.
        self.queue.add_consumer(consumer)
        self._had_consumer = True
        self._port.wants_pump(self)
        self._reply(user, request, None)

    def unsubscribe(self, user: str, request: int, holder: Holder, number: int) -> None:
        """End a consumer; nothing is delivered to it after the reply."""
        ended = self.queue.remove_consumer(holder, number)
        self._reply(user, request, None)
        if ended:
            self.delete_if_deserted()

    def settle(self, holder: Holder, positions: list[int]) -> None:
        """Messages are done with."""
        settled = self.queue.settle(holder, positions)
        if settled:
            settled.sort()
            self._replication.remove(ranges_of(settled))
            self._port.wants_pump(self)

    def reject(self, holder: Holder, positions: list[int]) -> None:
        """A client will not have these messages."""
        self.settle(holder, positions)

    def requeue(self, holder: Holder, positions: list[int], redelivered: bool = True) -> None:
        """Messages come back, to go out again with this mark."""
        self.queue.requeue(holder, positions, redelivered)
        self._port.wants_pump(self)

    def release(self, holder: Holder) -> None:
        """A channel has ended."""
        self._gets = deque(get for get in self._gets if get[2] != holder)
        if self.queue.release(holder):
            self.delete_if_deserted()
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

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        """A consumer is to be sent no more, or again; perhaps with another prefetch."""
        consumer = self.queue.find_consumer(holder, number)
        if consumer is not None:
            consumer.paused = paused
            if prefetch_count is not None:
                consumer.prefetch_count = prefetch_count
                consumer.shares_limit = True
            self._port.wants_pump(self)

    def get(self, user: str, request: int, holder: Holder, no_ack: bool) -> None:
        """Answer `basic.get`, as soon as the head of the queue may be seen."""
        self._gets.append((user, request, holder, no_ack))
        self._port.wants_pump(self)

    def inquire(self, user: str, request: int, what: str, if_unused: bool, if_empty: bool) -> None:
        """Count, purge or delete; the answer to a purge waits for the mirrors."""
        declared = self.entry.declared
        name = f"queue '{declared.name}' in vhost '{declared.virtual_host}'"
        if what == "purge":
            count = self.queue.ready_count
            self._replication.remove(self.queue.purge())
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

    # --- from mirrors -----------------------------------------------------------------------------

    def applied(self, name: str, record: Applied) -> None:
        """A mirror holds the effect of the stream through a number."""
        self._replication.applied(name, record)
        if self._replication.wants_asking:
            self._port.wants_pump(self)
        self._advance()

    def lacked(self, name: str, record: Lacked) -> None:
        """A mirror says what it lacks: copy it there in the background."""
        self._replication.lacked(name, record)

    # --- what waits for the stream ----------------------------------------------------------------

    def _after_replication(self, user: str, what: Record | int) -> None:
        """Do this once all required mirrors hold the stream as it is now."""
        replication = self._replication
        self._pending.append((replication.sequence, user, what))
        if replication.floor >= replication.sequence:
            self._advance()

    def _advance(self) -> None:
        """Release what waited for replication."""
        floor = self._replication.floor
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
        if not self._replication.limited:
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
        self._replication.ask()
        while True:
            self._replication.remove(self.queue.deal())
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
        wanted = min(len(self._gets) + queue.consumers.credit(WINDOW_MAX), WINDOW_MAX)
        ahead = self.announced - queue.head + 1
        if not wanted or ahead > wanted // 2:
            return False
        self.announced = queue.head - 1 + wanted
        replication = self._replication
        if replication.streaming:
            number = replication.next_number()
            announced = self.announced
            replication.send(
                Announced(self.number, self.epoch, number, announced, self._had_consumer)
            )
        self._announcements.append((replication.sequence, self.announced))
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
                position, redelivered, message = got
                if no_ack:
                    self._replication.remove([(position, position)])
                run = run_of([message])
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

    def is_deserted(self) -> bool:
        """Whether all consumers of an auto-delete queue have gone."""
        return (
            self.entry.declared.auto_delete
            and self._had_consumer
            and not self.queue.consumers
            and not self.sealed
        )

    def delete_if_deserted(self) -> None:
        """Have an auto-delete queue deleted whose consumers have all gone."""
        if self.is_deserted():
            self.sealed = True
            self._port.delete_queue(self.number)
