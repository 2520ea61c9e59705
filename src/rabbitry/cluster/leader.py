"""The leader of one queue: the queue itself, and the one ordered stream to its mirrors.

Everything that changes the queue happens here first and goes out as a numbered record of the
stream (`sequence`): enqueued, removed, announced, copied. A mirror answers with the number through
which it holds the effect, and with that through which its store has what is to be kept. Messages
may go out when all *required* mirrors hold them. What waits longer (confirms to publishing
nodes, the answer to a purge) is released when they, and this node, have stored it.

Told race by race, each with its test of the same name in tests/cluster/test_leader*.py:

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

publish rejected twice. A queue that is full may refuse a publish and accept a later one of the same
node. If the leader dies before the node has heard, the node sends both again, and its numbers say
that both were taken. So the stream tells which numbers were rejected (`rejections`), and a new
leader says so again; the node tells with each publish how far it has heard, which bounds the list.

expired in a mirror's time. What expires is decided by the leader alone, at the front of its queue,
and told as removed; mirrors keep when each message is due, so that the next leader goes on. Time
runs on in a failover: what was due goes before anything is delivered.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from rabbitry.broker.message import Message, Run, run_of
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Consumer, Holder, Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.announcing import Announcing
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.dead_lettering import DeadLettering
from rabbitry.cluster.leader_port import LeaderPort
from rabbitry.cluster.limits import Limits
from rabbitry.cluster.paging import Pager
from rabbitry.cluster.queue_records import (
    Accepted,
    Announced,
    Applied,
    Begin,
    Enqueued,
    Got,
    Lacked,
    Range,
    Record,
    Refused,
    Replied,
)
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.records import AdmitMirror, DropMirror, QueuePlaced
from rabbitry.cluster.releasing import Releasing
from rabbitry.cluster.replica import Replica, first_position_of, note_rejected
from rabbitry.cluster.replication import Replication
from rabbitry.wire.errors import ACCESS_REFUSED, PRECONDITION_FAILED

NO_RUN: Final[Run] = (b"", b"", 0, [])


class QueueLeader:
    """Leads one queue in one epoch."""

    def __init__(
        self, port: LeaderPort, entry: QueueEntry, store: QueueStore | None = None
    ) -> None:
        self._port = port
        self.number = entry.number
        self.epoch = entry.placed.epoch
        self.entry = entry
        self.queue = Queue(partial(port.deliver, entry.number), entry.settings)
        self.origins: dict[str, int] = {}
        self._announcing = Announcing(self.queue)
        self.sealed = False  # being deleted: publishes fall away as if it were gone
        self._follows, self._first_position = 0, 1  # see `Begin`
        self.rejections: dict[str, list[Range]] = {}  # see `Replica`
        self._limits = Limits(self.queue, entry.settings, port.now())
        then = self._remove, partial(port.wants_pump, self)
        self._dead = DeadLettering(port, self.number, self.queue, entry.settings, *then)
        self._replication = Replication(port, entry.number, entry.placed.epoch, self.queue)
        self._releasing = Releasing(port, entry.number, self._replication, store)
        self.pager = Pager(port, self.number, self.epoch, self.queue, store, *then)
        self._gets: deque[tuple[str, int, Holder, bool]] = deque()
        self._had_consumer = False
        self._store = store
        self.queue.begin_at(first_position_of(entry.placed.epoch))
        if store is not None:
            store.describe = self._describe

    # --- beginning --------------------------------------------------------------------------------

    def restore(self, replica: Replica) -> None:
        """Take over what this node held as a mirror. Comes before everything else."""
        queue = self.queue
        held = replica.positions.ranges()
        next_position = max(replica.next_position, first_position_of(self.epoch))
        queue.restore(held, replica.messages, replica.seen_through, next_position)
        queue.expiries, queue.counts = dict(replica.expiries), dict(replica.counts)
        self._follows, self._first_position = replica.epoch, replica.next_position
        self._announcing.restore(replica.seen_through)
        self.origins = dict(replica.origins)
        self.rejections = dict(replica.rejections)
        self._had_consumer = replica.consumed
        if self._store is not None:
            self._store.describe_again()

    def replica(self) -> Replica:
        """Return what is held here, for this node to mirror, or to lead in a later epoch."""
        replica = Replica.of(self._describe())
        replica.positions = PositionSet(self.queue.ranges())
        replica.messages = dict(self.queue.entries())
        replica.expiries = dict(self.queue.expiries)
        return replica

    def _describe(self) -> Kept:
        """Return what the store keeps of it besides its messages."""
        queue, generation = self.queue, self._store.generation if self._store is not None else 0
        head = self.epoch, generation, queue.next_position, self._announcing.catch_up()
        numbers = dict(self.origins), dict(self.rejections), list(queue.counts.items())
        return Kept(*head, self._had_consumer, *numbers, queue.needs_all_in_memory)

    def stored(self) -> None:
        """More of what the store was given is durable."""
        self.pager.stored()
        self._advance()

    def configure(self, settings: QueueSettings) -> None:
        """Follow settings that have changed: a policy is another."""
        if settings != self._limits.settings:
            self.queue.configure(settings)
            self._limits.settings = self._dead.settings = settings
            self._port.wants_pump(self)

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
        announced = self._announcing.catch_up()
        begin = Begin(
            *(self.number, self.epoch, self._replication.sequence, not required),
            *(queue.ranges(), queue.next_position, announced),
            *(self.origins, self._follows, self._first_position),
            *(self._had_consumer, self.rejections, list(queue.counts.items())),
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

    def publish(self, user: str, last: int, messages: list[Message], settled: int = 0) -> None:
        """Add a run of messages, all of one route.

        `last` is the publisher's number of the last, `settled` the one through which it has heard
        what became of its publishes.
        """
        rejected: list[Range] = []
        if last <= self.origins.get(user, 0):
            known = self.rejections.get(user, ())
            rejected = [one for one in known if last - len(messages) < one[0] <= last]
        elif not self.sealed:
            rejected = self._enqueue(user, last, messages, settled)
        replication = self._replication
        if replication.any_mirrors:
            self._announcing.enqueued(replication.sequence)
        if rejected:
            self._after_replication(user, Accepted(self.number, self.epoch, last, rejected))
        elif self._releasing.at_once:
            self._port.accepted(self.number, user, last)
        else:
            self._after_replication(user, last)
        self._port.wants_pump(self)

    def _enqueue(self, user: str, last: int, messages: list[Message], settled: int) -> list[Range]:
        """Take a run that is new, or what there is room for; return the numbers rejected."""
        self.origins[user] = last
        rejected: list[Range] = []
        if self._limits.settings.rejects_publishes:
            messages, refused, rejected = self._limits.admit(messages, last)
            note_rejected(self.rejections, user, rejected, settled)
            self._dead.refused(refused)
        expiries = self._limits.expiries(messages, self._port.now())
        queue, replication = self.queue, self._replication
        first = queue.next_position
        queue.publish(messages, expiries)
        store = self.pager.store
        if store is None and not replication.streaming:
            return rejected
        run = run_of(messages) if messages else NO_RUN
        if store is not None:
            store.enqueue(first, run, expiries, everything=self.pager.paging)
        if replication.streaming:
            number = replication.next_number()
            head = self.number, self.epoch, number, first, user, last
            replication.send(Enqueued(*head, run, expiries, rejected, settled))
        return rejected

    # --- from consuming nodes ---------------------------------------------------------------------

    def subscribe(self, user: str, request: int, consumer: Consumer) -> None:
        """Add a consumer, or say why not."""
        if not self._catch_up():
            return
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
        self._limits.touch(self._port.now())
        self._had_consumer = True
        self._port.wants_pump(self)
        self._reply(user, request, None)

    def unsubscribe(self, user: str, request: int, holder: Holder, number: int) -> None:
        """End a consumer; nothing is delivered to it after the reply."""
        ended = self.queue.remove_consumer(holder, number)
        self._reply(user, request, None)
        if ended:
            self._consumers_ended()

    def settle(self, holder: Holder, positions: list[int]) -> None:
        """Messages are done with."""
        settled = self.queue.settle(holder, positions)
        if settled:
            self._remove(ranges_of(sorted(settled)))
            self._port.wants_pump(self)

    def reject(self, holder: Holder, positions: list[int]) -> None:
        """A client will not have these messages."""
        self._dead.give_up("rejected", self.queue.withdraw(holder, positions))
        self._port.wants_pump(self)

    def requeue(self, holder: Holder, positions: list[int], redelivered: bool = True) -> None:
        """Messages come back, to go out again with this mark."""
        self.queue.requeue(holder, positions, redelivered)
        self._came_back()

    def _came_back(self) -> None:
        self._replication.count(self.queue.take_counted())
        self._dead.give_up("delivery_limit", self.queue.take_over_limit())
        self._port.wants_pump(self)

    def release(self, holder: Holder) -> None:
        """A channel has ended."""
        self._gets = deque(get for get in self._gets if get[2] != holder)
        if self.queue.release(holder):
            self._consumers_ended()
        self._came_back()

    def release_user(self, user: str) -> None:
        """The link to a node broke or the node is gone: its channels' business here ends.

        What was on the way to it is lost, so all that it held comes back; if it lives it will
        subscribe again.
        """
        for holder in self.queue.holders():
            if holder[0] == user:
                self.release(holder)
        self._gets = deque(get for get in self._gets if get[0] != user)

    def forget_origin(self, user: str) -> None:
        """That process has ended and will never publish again."""
        self.origins.pop(user, None)
        self.rejections.pop(user, None)

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
        if not self._catch_up():
            return
        self._limits.touch(self._port.now())
        self._gets.append((user, request, holder, no_ack))
        self._port.wants_pump(self)

    def inquire(self, user: str, request: int, what: str, if_unused: bool, if_empty: bool) -> None:
        """Count, purge or delete; the answer to a purge waits for the mirrors."""
        if not self._catch_up():
            return
        declared = self.entry.declared
        name = f"queue '{declared.name}' in vhost '{declared.virtual_host}'"
        if what == "purge":
            count = self.queue.ready_count
            self._remove(self.queue.purge())
            reply = Replied(self.number, self.epoch, request, None, count, 0)
            self._after_replication(user, reply)
        elif what == "count":
            self._limits.touch(self._port.now())
            self._port.wants_pump(self)
            self._reply(user, request, None)
        elif if_empty and self.queue.ready_count:
            self._reply(user, request, Refused(PRECONDITION_FAILED, f"{name} not empty"))
        elif if_unused and self.queue.consumers:
            self._reply(user, request, Refused(PRECONDITION_FAILED, f"{name} in use"))
        else:
            # Should the user, who asks the coordinator too, die meanwhile, it goes all the same.
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
        """Do this once all required mirrors, and this node, have stored the stream as it is now."""
        if self._releasing.add(user, what):
            self._advance()

    def _advance(self) -> None:
        """Release what waited for replication."""
        self._announcing.advance(self._releasing.release())
        self._limit_deliveries()

    def _limit_deliveries(self) -> None:
        if self._announcing.limit(self._replication.limited):
            self._port.wants_pump(self)

    def pump(self) -> None:
        """Hand out what may go out, and announce what may go out next."""
        self._replication.ask()
        queue, now = self.queue, self._port.now()
        while True:
            self._expire(now)
            self._remove(queue.deal(now))
            self._answer_gets(now)
            if queue.sated or (not self._expire(now) and not self._announce()):
                break
        if not self._gets:
            self._dead.give_up("maxlen", self._limits.drop())
        self.pager.read_ahead(bool(queue.consumers or self._gets))
        if queue.deliver_through is None:
            self._announcing.catch_up()
        if self._limits.unused(now) and not self.sealed:
            self.sealed = True
            self._port.delete_queue(self.number)
        self._dead.go_on()
        soon = queue.sated or self._dead.more
        due = now + 1 if soon else self._limits.next_due()
        self._port.wake(self, None if self.sealed else due)

    def _catch_up(self) -> bool:
        """Drop first what is too much by what came before. False: say nothing, it is going.

        Whoever asks is answered when it is gone.
        """
        if self._limits.settings.bounded and not self._gets:
            self.pump()
        return not self.sealed

    def _expire(self, now: int) -> bool:
        """Give up what has expired at the front. True: there was something."""
        if not self.queue.expiries:
            return False
        expired = self.queue.expire(now)
        self._dead.give_up("expired", expired)
        return bool(expired)

    def _remove(self, ranges: list[Range]) -> None:
        """Messages are no more, here and on the mirrors."""
        if ranges:
            self.queue.forget(ranges)
            self._replication.remove(ranges)
            if self.pager.store is not None:
                self.pager.store.remove(ranges)

    def _announce(self) -> bool:
        """Announce further deliveries where consumers could soon take them; True: deal again."""
        if not self._announcing.widen(len(self._gets)):
            return False
        replication = self._replication
        if replication.streaming:
            number = replication.next_number()
            through = self._announcing.announced
            replication.send(
                Announced(self.number, self.epoch, number, through, self._had_consumer)
            )
        self._announcing.sent(replication.sequence)
        before = self.queue.deliver_through
        self._advance()
        return self.queue.deliver_through != before

    def _answer_gets(self, now: int) -> None:
        queue = self.queue
        while self._gets and (queue.may_go() or not queue.ready_count):
            if self._expire(now):
                continue
            user, request, holder, no_ack = self._gets.popleft()
            got = queue.get(holder, no_ack)
            if got is None:
                record = Got(self.number, self.epoch, request, 0, False, None, 0)
            else:
                position, redelivered, message = got
                if no_ack:
                    self._remove([(position, position)])
                run = run_of([message])
                self._expire(now)
                remaining = queue.ready_count
                record = Got(
                    self.number, self.epoch, request, position, redelivered, run, remaining
                )
            self._port.tell_user(user, record)

    def _reply(self, user: str, request: int, refusal: Refused | None) -> None:
        counts = self.queue.ready_count, len(self.queue.consumers)
        self._port.tell_user(user, Replied(self.number, self.epoch, request, refusal, *counts))

    def is_deserted(self) -> bool:
        """Whether all consumers of an auto-delete queue have gone."""
        deserted = self._had_consumer and not self.queue.consumers
        return deserted and self.entry.declared.auto_delete and not self.sealed

    def _consumers_ended(self) -> None:
        self._limits.touch(self._port.now())
        self.delete_if_deserted()
        self._port.wants_pump(self)

    def delete_if_deserted(self) -> None:
        """Have an auto-delete queue deleted whose consumers have all gone."""
        if self.is_deserted():
            self.sealed = True
            self._port.delete_queue(self.number)
