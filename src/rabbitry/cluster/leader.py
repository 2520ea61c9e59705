"""The leader of one queue: the queue itself, and the one ordered stream to its mirrors.

Everything that changes the queue happens here first and goes out as a numbered record of the
stream (`sequence`): enqueued, removed, announced, copied. A mirror answers with the number through
which it holds the effect, and with that through which its store has what is to be kept. Messages
may go out when all *required* mirrors hold them. What waits longer (confirms to publishing
nodes, the answer to a purge) is released when they, and this node, have stored it.

What consumers had when the leader changed is `cluster.gathering`. Told race by race, each with its
test of the same name in tests/cluster/test_leader*.py:

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

from collections.abc import Iterable
from functools import partial

from rabbitry.broker.positions import ranges_of
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.cluster.gathering import Gathering
from rabbitry.cluster.leader_stream import LeaderStream
from rabbitry.cluster.queue_records import (
    Claimed,
    Refused,
    Replied,
)
from rabbitry.wire.errors import ACCESS_REFUSED, PRECONDITION_FAILED


class QueueLeader(LeaderStream):
    """Leads one queue in one epoch."""

    # --- at the beginning -------------------------------------------------------------------------

    def gather(self, names: Iterable[str]) -> None:
        """Let nothing out before these nodes have said what their channels have of it."""
        if self._doubtful:
            done = self._gathered
            self._gathering = Gathering(names, self._claims, self.pager.read, done)

    def _gathered(self) -> None:
        """All who could speak have."""
        gathering, self._gathering = self._gathering, None
        queue = self.queue
        queue.bring_back(max((max(held) for held in queue.held.values() if held), default=0))
        for call in gathering.take_postponed() if gathering is not None else ():
            call()
        self._port.wants_pump(self)

    @property
    def awaited(self) -> list[str]:
        """The nodes whose word is waited for."""
        return self._gathering.awaited if self._gathering is not None else []

    def give_up_word(self, names: Iterable[str]) -> None:
        """Wait no more for what these nodes could say."""
        if self._gathering is not None:
            self._gathering.give_up(names)

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
        if self._gathering is not None:
            self._gathering.postpone(holder[0], partial(self.settle, holder, positions))
            return
        settled = self.queue.settle(holder, positions)
        if settled:
            self._remove(ranges_of(sorted(settled)))
            self._port.wants_pump(self)

    def reject(self, holder: Holder, positions: list[int]) -> None:
        """A client will not have these messages."""
        if self._gathering is not None:
            self._gathering.postpone(holder[0], partial(self.reject, holder, positions))
            return
        self._dead.give_up("rejected", self.queue.withdraw(holder, positions))
        self._port.wants_pump(self)

    def requeue(self, holder: Holder, positions: list[int], redelivered: bool = True) -> None:
        """Messages come back, to go out again with this mark."""
        if self._gathering is not None:
            call = partial(self.requeue, holder, positions, redelivered)
            self._gathering.postpone(holder[0], call)
            return
        self.queue.requeue(holder, positions, redelivered)
        self._came_back()

    def _came_back(self) -> None:
        self._replication.count(self.queue.take_counted())
        self._dead.give_up("delivery_limit", self.queue.take_over_limit())
        self._port.wants_pump(self)

    def release(self, holder: Holder) -> None:
        """A channel has ended."""
        if self._gathering is not None:
            self._gathering.postpone(holder[0], partial(self._release, holder))
        else:
            self._release(holder)

    def _release(self, holder: Holder) -> None:
        self._gets.release(holder)
        if self.queue.release(holder):
            self._consumers_ended()
        self._came_back()

    def release_user(self, user: str) -> None:
        """The link to a node broke or the node is gone: its channels' business here ends.

        What was on the way to it is lost, so all that it held comes back; if it lives it will
        subscribe again.
        """
        if self._gathering is not None:
            self._gathering.lose(user)
        for holder in self.queue.holders():
            if holder[0] == user:
                self._release(holder)
        self._gets.release_user(user)

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
        self._gets.add(user, request, holder, no_ack)
        self._port.wants_pump(self)

    def inquire(self, user: str, request: int, what: str, if_unused: bool, if_empty: bool) -> None:
        """Count, purge or delete; the answer to a purge waits for the mirrors."""
        if self._gathering is not None:
            call = partial(self.inquire, user, request, what, if_unused, if_empty)
            self._gathering.postpone(user, call)
            return
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

    def claim(self, user: str, claimed: Claimed) -> None:
        """A node begins a session: what its channels have, and what they have settled."""
        if self._gathering is not None:
            self._gathering.take(user, claimed)
        else:
            self._claims.apply(claimed)
            self._port.wants_pump(self)

    def mark(self, user: str, number: int) -> None:
        """Answer when all who may lead next know of what came before."""
        if self._gathering is not None:
            self._gathering.postpone(user, partial(self.mark, user, number))
            return
        self._marks.add(self._replication.sequence, user, number)
        self._advance()

    def _catch_up(self) -> bool:
        """Drop first what is too much by what came before. False: say nothing, it is going.

        Whoever asks is answered when it is gone.
        """
        if self._limits.settings.bounded and not self._gets:
            self.pump()
        return not self.sealed

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
