"""The shared limit with queues whose leaders are far: whatever the links do, it holds.

A channel talks to two queues over links that carry what is on them when hypothesis says so, while
messages are published and the client acknowledges now and then. Never is more owed than the limit,
each consumer sees the messages of its queue in order and unmarked, and when everything is
acknowledged everything was delivered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_broker import Conversation, FakeQueue, content

from rabbitry.broker.message import Message, Route
from rabbitry.broker.ports import Lease, QueueReply, Subscriber
from rabbitry.broker.queue import Consumer, Holder, Queue
from rabbitry.wire.methods import BasicAck, BasicConsume, BasicDeliver, BasicQos, Method


class FarQueue(FakeQueue):
    """A queue over a link: what is said, and what it says, waits to be carried."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.queue = Queue(self._sink)
        self.count = 0
        self.there: deque[Callable[[], None]] = deque()
        self.back: deque[Callable[[], None]] = deque()
        self._subscribers: dict[int, Subscriber] = {}

    def grow(self) -> None:
        """Publish one message; its routing key is its number."""
        self.queue.publish([(Route(b"", b"%d" % self.count), content())])
        self.count += 1
        self.queue.deal()

    def carry(self, back: bool) -> bool:
        """Carry one thing; False where there is none."""
        waiting = self.back if back else self.there
        if not waiting:
            return False
        waiting.popleft()()
        if not back:
            self.queue.deal()
        return True

    def _sink(
        self, consumer: Consumer, positions: Sequence[int], messages: list[Message], mark: bool
    ) -> None:
        def deliver() -> None:
            subscriber = self._subscribers[consumer.number]
            subscriber.deliver(self.lease, list(positions), list(messages), mark)

        self.back.append(deliver)

    def subscribe(
        self, consumer: Consumer, subscriber: Subscriber, on_reply: Callable[[QueueReply], None]
    ) -> None:
        self._subscribers[consumer.number] = subscriber

        def subscribed() -> None:
            self.queue.consumers.add(consumer)
            self.back.append(lambda: on_reply(QueueReply()))

        self.there.append(subscribed)

    def settle(self, lease: Lease, holder: Holder, positions: list[int]) -> None:
        self.there.append(lambda: self.queue.settle(holder, positions) and None)

    def requeue(
        self, lease: Lease, holder: Holder, positions: list[int], *, redelivered: bool = True
    ) -> None:
        self.there.append(lambda: self.queue.requeue(holder, positions, redelivered))

    def inquire(
        self,
        what: str,
        on_reply: Callable[[QueueReply], None],
        *,
        if_unused: bool = False,
        if_empty: bool = False,
    ) -> None:
        self.there.append(lambda: self.back.append(lambda: on_reply(QueueReply())))

    def pause_consumer(
        self, holder: Holder, number: int, paused: bool, prefetch_count: int | None = None
    ) -> None:
        def pause() -> None:
            consumer = self.queue.consumers.find(holder, number)
            if consumer is not None:
                consumer.paused = paused

        self.there.append(pause)


class Client:
    """What the client has heard, by consumer, and the tags that it owes."""

    def __init__(self, talk: Conversation, limit: int) -> None:
        self._talk = talk
        self._limit = limit
        self.owed: list[int] = []
        self.heard: dict[str, list[int]] = {"a": [], "b": [], "c": []}

    def hear(self, methods: list[Method]) -> None:
        for method in methods:
            if isinstance(method, BasicDeliver):
                assert not method.redelivered
                self.owed.append(method.delivery_tag)
                self.heard[method.consumer_tag].append(int(method.routing_key))
        assert len(self.owed) <= self._limit

    def listen(self) -> None:
        self.hear(self._talk.heard())

    def ack(self, at: int) -> None:
        if self.owed:
            self.hear(self._talk.say(BasicAck(self.owed.pop(at))))


@settings(max_examples=200)
@given(st.integers(1, 4), st.lists(st.integers(0, 7), min_size=10, max_size=80))
def test_the_limit_and_the_order_hold_over_slow_links(limit: int, actions: list[int]) -> None:
    talk = Conversation()
    client = Client(talk, limit)
    queues = [FarQueue("near"), FarQueue("far")]
    for queue in queues:
        talk.port.queues[queue.name] = queue
    client.hear(talk.say(BasicQos(prefetch_count=limit, global_=True)))
    for tag, queue in (("a", queues[0]), ("b", queues[0]), ("c", queues[1])):
        client.hear(talk.say(BasicConsume(queue=queue.name, consumer_tag=tag)))
        while queue.carry(back=False) or queue.carry(back=True):
            client.listen()
    for action in actions:
        if action < 4:
            queues[action // 2].carry(back=bool(action % 2))
            client.listen()
        elif action < 6:
            queues[action - 4].grow()
        else:
            client.ack(6 - action)
    moved = True
    while moved:
        moved = bool(client.owed)
        client.ack(0)
        for queue in queues:
            while queue.carry(back=False) or queue.carry(back=True):
                moved = True
                client.listen()
    for heard in client.heard.values():
        assert heard == sorted(heard)
    assert sorted(client.heard["a"] + client.heard["b"]) == list(range(queues[0].count))
    assert client.heard["c"] == list(range(queues[1].count))
