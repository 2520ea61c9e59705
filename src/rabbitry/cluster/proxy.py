"""A queue as the channels of one node see it, wherever its leader is.

Channels speak to the proxy; the proxy speaks to the leader, by call where the leader is on this
node and by records where it is not. It keeps what must outlive a leader: publishes that were not
accepted yet (sent again, in order, and recognised by their numbers), subscriptions (made again)
and questions that nobody answered (asked again). A connection to one leader in one epoch over one
unbroken link is a *session*.

Deliveries outlive sessions: a position names one message for ever, and a queue's number one queue,
so an acknowledgement is good with whoever leads when it comes, and settles no other message. Each
session begins with a claim: what the channels here still hold, and what they have settled that the
new leader may not know. What it then finds with others, or not at all, it does not give; it takes
no acknowledgement for it either (`cluster.gathering` tells how it goes on).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Final, Protocol

from rabbitry.broker.message import Message, Routes
from rabbitry.broker.ports import (
    GetReply,
    Lease,
    Owes,
    QueueReply,
    Receipt,
    Refusal,
    Subscriber,
)
from rabbitry.broker.queue import Consumer, Holder
from rabbitry.broker.queue_settings import settings_of
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.declarations import check_owner
from rabbitry.cluster.far_leader import FarLeader, LeaderSide, consumer_of, subscribe_record
from rabbitry.cluster.queue_records import (
    Accepted,
    Claimed,
    Delivered,
    Get,
    Got,
    Inquire,
    Marked,
    Range,
    Record,
    Refused,
    Replied,
    Subscribe,
    ToUser,
    Unsubscribe,
)
from rabbitry.cluster.unsure import Unsure
from rabbitry.wire.errors import NOT_FOUND, PRECONDITION_FAILED
from rabbitry.wire.values import decode_table


class ProxyPort(Protocol):
    """What a proxy needs of its node."""

    origin: str
    routes: Routes

    def send_to_node(self, node: str, record: Record) -> None:
        """Send a record over the link to a node."""

    def delete_queue(self, queue: int, on_answer: Callable[[], None] | None = None) -> None:
        """Have the coordinator delete the queue; `on_answer` follows when it is gone everywhere."""

    def backlog_grew(self, messages: int, size_bytes: int) -> None:
        """Count what waits to be accepted (negative: what does no longer)."""

    def has_unsure(self, proxy: QueueProxy) -> None:
        """Have `mark` called now and then, until it returns True."""


_frames_of: Final = itemgetter(1)

OnReply = Callable[[Replied | Got], None]
_Question = Subscribe | Unsubscribe | Get | Inquire


class _Subscription:
    __slots__ = ("consumer", "established", "lease", "paused", "subscriber")

    def __init__(self, lease: Lease, consumer: Consumer, subscriber: Subscriber) -> None:
        self.lease = lease
        self.consumer = consumer
        self.subscriber = subscriber
        self.established = False  # the queue has agreed once; until then the question is open
        self.paused = False


class QueueProxy:
    """See the module."""

    def __init__(self, port: ProxyPort, entry: QueueEntry) -> None:
        self._port = port
        self.entry = entry
        self.number = entry.number
        self.name = entry.declared.name
        arguments = entry.declared.arguments
        settings = settings_of(decode_table(arguments, 0)[0] if arguments else {})
        self.kind = settings.kind
        self.single_active_consumer = settings.single_active_consumer
        self._gotten = Lease(self)  # by basic.get
        self._leader: LeaderSide | None = None
        self._leader_node = ""  # empty: there is no leader that we can reach
        self._epoch = 0
        self._published = 0
        self._outbox: deque[tuple[int, list[Message], Receipt | None, int]] = deque()
        self._subscriptions: dict[tuple[Holder, int], _Subscription] = {}
        self._next_request = 1
        self._questions: dict[int, tuple[_Question, OnReply]] = {}
        self._users: dict[Holder, Owes] = {}
        self._unsure = Unsure()
        self._gone = False
        self._asks = False  # `mark` will be called
        # Subscriptions made again in this session and not answered, by the number of the request.
        self._made_again: dict[int, tuple[Holder, int]] = {}

    # --- sessions ---------------------------------------------------------------------------------

    def connect(self, node: str, epoch: int, leader: LeaderSide | None) -> None:
        """Begin a session with the leader: `leader` if it is on this node, else over the link."""
        failed_over = self._epoch not in (0, epoch)
        self._leader_node, self._epoch = node, epoch
        if leader is not None:
            self._leader = leader
        else:
            self._leader = FarLeader(self.number, epoch, partial(self._port.send_to_node, node))
        for last, messages, *_ in list(self._outbox):
            self._send_publish(last, messages)
        again: list[tuple[tuple[Holder, int], _Subscription]] = []
        for key, subscription in list(self._subscriptions.items()):
            # What concerns one whose beginning or end is awaited is among the questions.
            if not subscription.established or self._is_ending(key):
                continue
            if failed_over and subscription.subscriber.failed_over():
                subscription.lease.void = True
                self._subscriptions.pop(key, None)
            else:
                again.append((key, subscription))
        self._claim(self._leader)
        for key, subscription in again:
            self._subscribe_again(key, subscription)
        for request, (question, _) in list(self._questions.items()):
            if request in self._questions:
                self._ask(request, question)

    def _claim(self, leader: LeaderSide) -> None:
        """Say what channels have of earlier sessions, before anything can come in this one."""
        settled, rejected = self._unsure.start_again()
        owed = [(holder, *one) for holder, owes in self._users.items() for one in owes(self)]
        claimed = Claimed(self.number, self._epoch, owed, settled, rejected)
        leader.claim(self._port.origin, claimed)

    def disconnect(self) -> None:
        """The session is over. Another will follow, or `deleted`."""
        self._leader, self._leader_node = None, ""
        self._made_again.clear()

    @property
    def connected_to(self) -> tuple[str, int]:
        """Return the node and the epoch of the session; an empty name where there is none."""
        return self._leader_node, self._epoch

    def deleted(self) -> None:
        """The queue is no more: settle all that waits."""
        self.disconnect()
        self._gone = True
        outbox, self._outbox = self._outbox, deque()
        for _, messages, receipt, size_bytes in outbox:
            self._port.backlog_grew(-len(messages), -size_bytes)
            if receipt is not None:
                receipt.settled()
        questions, self._questions = self._questions, {}
        for question, on_reply in questions.values():
            if isinstance(question, Subscribe | Unsubscribe):
                self._subscriptions.pop((question.holder, question.number), None)
            on_reply(self._reply_of_gone(question))
        while self._subscriptions:  # an answer may have ended others
            self._subscriptions.pop(next(iter(self._subscriptions))).subscriber.cancelled()

    def _reply_of_gone(self, question: _Question) -> Replied:
        gone_as_asked = isinstance(question, Unsubscribe) or (
            isinstance(question, Inquire) and question.what == "delete"
        )
        declared = self.entry.declared
        text = f"no queue '{declared.name}' in vhost '{declared.virtual_host}'"
        refusal = None if gone_as_asked else Refused(NOT_FOUND, text)
        return Replied(self.number, self._epoch, 0, refusal)

    # --- what channels do -------------------------------------------------------------------------

    def publish(self, messages: list[Message], receipt: Receipt | None) -> None:
        """Send messages of one route; `receipt` is told when they are safe."""
        self._published += len(messages)
        outbox = self._outbox
        outbox.append((self._published, messages, receipt, 0))
        self._port.backlog_grew(len(messages), 0)
        self._send_publish(self._published, messages)
        if outbox and outbox[-1][0] == self._published:
            # It was not accepted at once: only now is it worth weighing.
            size_bytes = sum(map(len, map(_frames_of, messages)))
            outbox[-1] = (self._published, messages, receipt, size_bytes)
            self._port.backlog_grew(0, size_bytes)

    def subscribe(
        self, consumer: Consumer, subscriber: Subscriber, on_reply: Callable[[QueueReply], None]
    ) -> None:
        """Consume; the reply says whether the queue agrees, and precedes the first delivery."""
        key = (consumer.holder, consumer.number)
        lease = Lease(self, consumer.number)
        subscription = self._subscriptions[key] = _Subscription(lease, consumer, subscriber)

        def answered(reply: Replied | Got) -> None:
            if isinstance(reply, Replied) and reply.refusal is not None:
                self._subscriptions.pop(key, None)
            else:
                subscription.established = True
            on_reply(_queue_reply(reply))

        self._question(subscribe_record(self.number, 0, 0, consumer), answered)

    def unsubscribe(
        self, holder: Holder, number: int, on_reply: Callable[[QueueReply], None]
    ) -> None:
        """End a subscription; deliveries that are on the way come before the reply."""

        def ended(_reply: Replied | Got) -> None:
            self._subscriptions.pop((holder, number), None)
            on_reply(QueueReply())

        self._question(Unsubscribe(self.number, 0, 0, holder, number), ended)

    def settle(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        """Messages delivered under `lease` are done with."""
        if lease.void:
            return
        leader = self._leader
        if leader is None or not leader.alone:
            self._expect_questions()
            self._unsure.note(positions)
        if leader is not None:
            leader.settle(holder, positions)

    def reject(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        """Messages delivered under `lease` are refused: the queue dead-letters or drops them."""
        if lease.void:
            return
        leader = self._leader
        if leader is None or not leader.alone:
            self._expect_questions()
            self._unsure.note_rejected(positions)
        if leader is not None:
            leader.reject(holder, positions)

    def _expect_questions(self) -> None:
        if not self._asks:
            self._asks = True
            self._port.has_unsure(self)

    def mark(self) -> bool:
        """Have the leader asked whether what was settled is known to all. True: nothing is left."""
        if self._gone:
            self._unsure.clear()
        if self._leader is not None and (number := self._unsure.ask()) is not None:
            self._leader.mark(self._port.origin, number)
        self._asks = bool(self._unsure)
        return not self._asks

    def requeue(
        self, lease: Lease, holder: Holder, positions: list[int], *, redelivered: bool = True
    ) -> None:
        """Messages delivered under `lease` go back to their places, with this mark."""
        if self._leader is not None and not lease.void:
            self._leader.requeue(holder, positions, redelivered)

    def lend_to(self, holder: Holder, owes: Owes) -> None:
        """This channel may hold deliveries; `owes` tells the next leader which."""
        self._users[holder] = owes

    def release(self, holder: Holder) -> None:
        """A channel has ended: its subscriptions and questions too, and all that it holds."""
        self._users.pop(holder, None)
        for key in [key for key in self._subscriptions if key[0] == holder]:
            del self._subscriptions[key]
        for request, (question, _) in list(self._questions.items()):
            if not isinstance(question, Inquire) and question.holder == holder:
                del self._questions[request]
        if self._leader is not None:
            self._leader.release(holder)

    def get(
        self, holder: Holder, no_ack: bool, on_reply: Callable[[GetReply, Lease], None]
    ) -> None:
        """Ask for one message."""

        def answered(reply: Replied | Got) -> None:
            on_reply(self._get_reply(reply), self._gotten)

        self._question(Get(self.number, 0, 0, holder, no_ack), answered)

    def inquire(
        self,
        what: str,
        on_reply: Callable[[QueueReply], None],
        *,
        if_unused: bool = False,
        if_empty: bool = False,
    ) -> None:
        """Ask to "count", to "purge" or to "delete"."""
        question = Inquire(self.number, 0, 0, what, if_unused, if_empty)

        def answered(reply: Replied | Got) -> None:
            result = _queue_reply(reply)
            if what == "delete" and result.refusal is None:
                # The leader has sealed the queue; it is gone when the coordinator says so.
                self._port.delete_queue(self.number, lambda: on_reply(result))
            else:
                on_reply(result)

        self._question(question, answered)
        if not (self._leader_node or self.entry.placed.leader):
            self.nobody_leads()

    def nobody_leads(self) -> None:
        """Nobody can lead at present. Deleting does not wait for it, unless something may be there.

        RabbitMQ: rabbit_classic_queue.erl delete/4, of a queue that has stopped.
        """
        for request, (question, on_reply) in list(self._questions.items()):
            if isinstance(question, Inquire) and question.what == "delete":
                declared = self.entry.declared
                text = f"queue '{declared.name}' in vhost '{declared.virtual_host}' not empty"
                refused = Refused(PRECONDITION_FAILED, text) if question.if_empty else None
                del self._questions[request]
                on_reply(Replied(self.number, self._epoch, request, refused, 0, 0))

    def refuse(self, owner: str) -> Refusal | None:
        """Return 405 where the queue is exclusive to another connection than `owner`."""
        refused = check_owner(self.entry, owner)
        return _refusal(refused)

    def _get_reply(self, reply: Replied | Got) -> GetReply:
        if isinstance(reply, Replied):
            return GetReply(_refusal(reply.refusal))
        if reply.run is None:
            return GetReply()
        (message,) = self._port.routes.messages(reply.run)
        return GetReply(None, reply.position, reply.redelivered, message, reply.remaining)

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        """Stop deliveries to a consumer, or go on; `prefetch_count` may be another from now on."""
        subscription = self._subscriptions.get((holder, number))
        if subscription is None:
            return
        subscription.paused = paused
        if prefetch_count is not None:
            subscription.consumer.prefetch_count = prefetch_count
            subscription.consumer.shares_limit = True
        if self._leader is not None:
            self._leader.pause_consumer(holder, number, paused, prefetch_count)

    # --- what the leader says ---------------------------------------------------------------------

    def receive(self, record: ToUser) -> None:
        """Take a record of the leader, of this session's epoch."""
        if isinstance(record, Accepted):
            self.accepted(record.last, record.rejected)
        elif isinstance(record, Delivered):
            messages = self._port.routes.messages(record.run)
            self.delivered(
                record.holder, record.number, record.positions, messages, record.redelivered
            )
        elif isinstance(record, Marked):
            self._unsure.answered(record.number)
        elif record.request in self._questions:
            self._questions.pop(record.request)[1](record)
        else:
            self._made_again_answered(record)

    def accepted(self, last: int, rejected: Sequence[Range] = ()) -> None:
        """All through our number `last` is safe, but for the numbers `rejected`."""
        outbox = self._outbox
        while outbox and outbox[0][0] <= last:
            through, messages, receipt, size_bytes = outbox.popleft()
            self._port.backlog_grew(-len(messages), -size_bytes)
            if receipt is not None:
                before = through - len(messages)
                for one in rejected:
                    first, count = max(one[0] - before - 1, 0), min(one[1], through) - before
                    if first < count:
                        receipt.rejected(first, count - first)
                receipt.settled()

    def delivered(
        self,
        holder: Holder,
        number: int,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
    ) -> None:
        """Messages have come for a subscription; one that has ended meanwhile gives them back.

        It is ended at the leader too, who would deal to it for ever if it knew it still.
        """
        subscription = self._subscriptions.get((holder, number))
        if subscription is not None:
            subscription.subscriber.deliver(subscription.lease, positions, messages, redelivered)
            return
        self._ask(0, Unsubscribe(self.number, 0, 0, holder, number))
        self.requeue(self._gotten, holder, list(positions))

    # --- inside -----------------------------------------------------------------------------------

    def _send_publish(self, last: int, messages: list[Message]) -> None:
        if self._leader is not None:
            self._leader.publish(self._port.origin, last, messages, self._settled_through())

    def _settled_through(self) -> int:
        """Return the last number before the first whose end we have not heard of."""
        through, messages, *_ = self._outbox[0]
        return through - len(messages)

    def _is_ending(self, key: tuple[Holder, int]) -> bool:
        return any(
            isinstance(question, Unsubscribe) and (question.holder, question.number) == key
            for question, _ in self._questions.values()
        )

    def _subscribe_again(self, key: tuple[Holder, int], subscription: _Subscription) -> None:
        request = self._next_request
        self._next_request += 1
        self._made_again[request] = key
        self._ask(request, subscribe_record(self.number, 0, 0, subscription.consumer))

    def _made_again_answered(self, reply: Replied | Got) -> None:
        key = self._made_again.pop(reply.request, None)
        if key is not None and isinstance(reply, Replied) and reply.refusal is not None:
            ended = self._subscriptions.pop(key, None)
            if ended is not None:
                ended.subscriber.cancelled()

    def _remember(self, question: _Question, on_reply: OnReply) -> int:
        request = self._next_request
        self._next_request += 1
        self._questions[request] = (question, on_reply)
        return request

    def _question(self, question: _Question, on_reply: OnReply) -> None:
        if self._gone:  # an answer of `deleted` had a channel go on, which asks more
            on_reply(self._reply_of_gone(question))
            return
        self._ask(self._remember(question, on_reply), question)

    def _ask(self, request: int, question: _Question) -> None:
        leader, user = self._leader, self._port.origin
        if leader is None:
            return
        if isinstance(question, Get):
            leader.get(user, request, question.holder, question.no_ack)
        elif isinstance(question, Inquire):
            what, if_unused, if_empty = question.what, question.if_unused, question.if_empty
            leader.inquire(user, request, what, if_unused, if_empty)
        elif isinstance(question, Unsubscribe):
            leader.unsubscribe(user, request, question.holder, question.number)
        else:
            consumer = consumer_of(question)
            subscription = self._subscriptions.get((question.holder, question.number))
            if subscription is not None:
                consumer.paused = subscription.paused
                consumer.prefetch_count = subscription.consumer.prefetch_count
                consumer.shares_limit = subscription.consumer.shares_limit
            leader.subscribe(user, request, consumer)


def _refusal(refused: Refused | None) -> Refusal | None:
    if refused is None:
        return None
    return Refusal(refused.reply_code, refused.text, refused.hard)


def _queue_reply(reply: Replied | Got) -> QueueReply:
    assert isinstance(reply, Replied)
    return QueueReply(_refusal(reply.refusal), reply.messages, reply.consumers)
