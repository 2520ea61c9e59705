"""The clients of a run: publishers with confirms, and consumers with prefetch and acknowledgements.

Owns what the clients do; `client` owns how they connect. Each writes what it saw into the history
and judges nothing. What a publisher does with messages whose outcome it does not know after a
reconnect (publish again, or give up) and how a consumer misbehaves (requeues, vanishes) is drawn by
the run, in the settings. From `calm_at` on consumers behave, so that a run comes to an end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from random import Random

from rabbitry import machine as m
from rabbitry.simulation.client import CHANNEL, Client, ClientSettings
from rabbitry.simulation.history import History, MessageKey, key_of, make_body
from rabbitry.wire.frames import content_body
from rabbitry.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicProperties,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicReturn,
    ConfirmSelect,
    ConfirmSelectOk,
    Method,
)


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """What a publisher does. `messages_count` in all, the last `final_count` only from `final_at`.

    `window` is how many may be unconfirmed; times in microseconds.
    """

    messages_count: int
    final_count: int
    final_at: int
    interval_us: int
    burst_max: int
    window: int
    publish_again: bool
    persistent: bool
    padding_bytes_max: int
    large_probability: float
    priority: int | None = None


class Publisher(Client):
    """Publishes numbered messages to its queue until each is confirmed, refused or given up."""

    def __init__(
        self,
        client: ClientSettings,
        settings: PublisherSettings,
        history: History,
        random: Random,
    ) -> None:
        super().__init__(client, history, random)
        self.settings = settings
        self._next_sequence = 1
        self._attempts: dict[int, int] = {}
        self._again: deque[int] = deque()
        self._unconfirmed: dict[int, MessageKey] = {}
        self._delivery_tag = 0
        self._confirming = False
        self._writing_paused = False

    @property
    def done(self) -> bool:
        """Whether every message has been settled in one way or another."""
        published_all = self._next_sequence > self.settings.messages_count
        return published_all and not self._again and not self._unconfirmed

    def step(self, event: m.Event, now: int) -> list[m.Effect]:
        """Take one event; the link's back-pressure is heeded here."""
        if isinstance(event, m.WritingPaused):
            self._writing_paused = True
        elif isinstance(event, m.WritingResumed):
            self._writing_paused = False
        return super().step(event, now)

    def on_queue_ready(self) -> None:
        """Ask for confirms."""
        self._writing_paused = False
        self.endpoint.send_method(CHANNEL, ConfirmSelect())

    def on_lost(self) -> None:
        """Decide about what is unconfirmed: its outcome will never be told."""
        self._confirming = False
        self._delivery_tag = 0
        for key in self._unconfirmed.values():
            self.history.give_up(self.now, key)
            if self.settings.publish_again:
                self._again.append(key.sequence)
        self._unconfirmed.clear()
        self._again = deque(sorted(self._again))

    def on_timer(self, timer: str) -> None:
        """Publish a burst, if the connection is there and the window open."""
        if timer == "publish" and self._confirming:
            self._publish_burst()
            if not self.done:
                self.set_timer("publish", self.settings.interval_us)

    def on_command(self, method: Method, contents: list[bytes]) -> None:
        """Take confirms and returns."""
        if isinstance(method, BasicAck):
            for key in self._settle(method.delivery_tag, method.multiple):
                self.history.confirm(self.now, key)
        elif isinstance(method, BasicNack):
            for key in self._settle(method.delivery_tag, method.multiple):
                self.history.refuse(self.now, key)
                self._again.append(key.sequence)
        elif isinstance(method, ConfirmSelectOk):
            self._confirming = True
            self.set_timer("publish", self.random.randint(0, self.settings.interval_us))
        elif isinstance(method, BasicReturn):
            for content in contents:
                self.history.return_(self.now, key_of(content_body(content)))

    def _settle(self, delivery_tag: int, multiple: bool) -> list[MessageKey]:
        # There are clients that drop what names a publish that has been answered, also `multiple`.
        assert delivery_tag in self._unconfirmed, f"{delivery_tag} does not wait for an answer"
        tags = [delivery_tag]
        if multiple:
            tags = [tag for tag in self._unconfirmed if tag <= delivery_tag]
        return [self._unconfirmed.pop(tag) for tag in tags]

    def _publish_burst(self) -> None:
        settings = self.settings
        for _ in range(self.random.randint(1, settings.burst_max)):
            if self._writing_paused or len(self._unconfirmed) >= settings.window:
                return
            if self._again:
                sequence = self._again.popleft()
            elif self._next_sequence <= self._allowed():
                sequence = self._next_sequence
                self._next_sequence += 1
            else:
                return
            self._publish(sequence)

    def _allowed(self) -> int:
        held_back = 0 if self.now >= self.settings.final_at else self.settings.final_count
        return self.settings.messages_count - held_back

    def _publish(self, sequence: int) -> None:
        settings, random = self.settings, self.random
        attempt = self._attempts[sequence] = self._attempts.get(sequence, 0) + 1
        key = MessageKey(self.client_settings.name, sequence, attempt)
        padding_bytes = random.randint(0, settings.padding_bytes_max)
        if random.random() < settings.large_probability:
            padding_bytes = random.randint(100_000, 200_000)
        body = make_body(key, padding_bytes)
        queue = self.client_settings.queue
        self._delivery_tag += 1
        self._unconfirmed[self._delivery_tag] = key
        self.history.publish(
            self.now,
            queue,
            key,
            self.connections_count,
            body,
            persistent=settings.persistent,
            node=self.node,
        )
        self.endpoint.send_content(
            CHANNEL,
            BasicPublish(routing_key=queue, mandatory=True),
            BasicProperties(
                delivery_mode=2 if settings.persistent else 1, priority=settings.priority
            ),
            body,
        )


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """How a consumer works. The probabilities are for each delivery, until `calm_at`.

    Between `linger_at` and `calm_again_at` it leaves some unsettled that it has worked on. Until
    then its work takes `slow_work_us` where that is given, so that messages wait.
    """

    prefetch_count: int
    work_us: int
    multiple_ack: bool
    requeue_probability: float
    vanish_probability: float
    calm_at: int
    linger_probability: float = 0.0
    linger_at: int = 0
    slow_work_us: int = 0
    calm_again_at: int = 0


class Consumer(Client):
    """Takes messages from its queue and settles them after some work."""

    def __init__(
        self,
        client: ClientSettings,
        settings: ConsumerSettings,
        history: History,
        random: Random,
    ) -> None:
        super().__init__(client, history, random)
        self.settings = settings
        self.cancels_count = 0
        self._unsettled: list[int] = []
        self._lingering: list[int] = []
        # Delivery tag -> when it came, and what.
        self._taken: dict[int, tuple[int, MessageKey | None]] = {}

    @property
    def idle(self) -> bool:
        """Whether it consumes and has settled everything it got."""
        return self.ready and not self._unsettled and not self._lingering

    def on_queue_ready(self) -> None:
        """Limit what may be unacknowledged."""
        self.endpoint.send_method(CHANNEL, BasicQos(prefetch_count=self.settings.prefetch_count))

    def on_lost(self) -> None:
        """Forget what was not settled: it comes again."""
        self._unsettled.clear()
        self._lingering.clear()
        self._taken.clear()

    def on_command(self, method: Method, contents: list[bytes]) -> None:
        """Take deliveries; consume again when the broker cancels."""
        if isinstance(method, BasicDeliver):
            self._take_delivery(method, content_body(contents[0]))
        elif isinstance(method, BasicQosOk):
            self._consume()
        elif isinstance(method, BasicCancel):
            self.cancels_count += 1
            self.set_timer("consume", self.random.randint(1_000, 50_000))
        elif isinstance(method, BasicConsumeOk):
            pass

    def on_timer(self, timer: str) -> None:
        """Settle what has been worked on, or consume anew."""
        if not self.ready:
            return
        if timer == "work":
            self._settle()
        elif timer == "consume":
            self._consume()
        elif timer == "linger":
            self._unsettled = sorted(self._unsettled + self._lingering)
            self._lingering.clear()
            if self._unsettled:
                self._set_work_timer()

    def _consume(self) -> None:
        name, queue = self.client_settings.name, self.client_settings.queue
        tag = f"{name}/{self.connections_count}/{self.cancels_count}"
        self.endpoint.send_method(CHANNEL, BasicConsume(queue=queue, consumer_tag=tag))

    def _take_delivery(self, method: BasicDeliver, body: bytes) -> None:
        settings = self.settings
        if not self.ready:
            return  # the connection is being closed; this comes again to somebody
        key = self.history.deliver(
            self.now,
            self.client_settings.queue,
            self.client_settings.name,
            self.connections_count,
            body,
            method.redelivered,
        )
        tag = method.delivery_tag
        self._taken[tag] = self.now, key
        if (
            settings.linger_at <= self.now < settings.calm_again_at
            and self.random.random() < settings.linger_probability
        ):
            self._lingering.append(tag)
            self.set_timer("linger", settings.calm_again_at - self.now)
            return
        if not self._unsettled:
            self._set_work_timer()
        self._unsettled.append(tag)
        if self.now < settings.calm_at and self.random.random() < settings.vanish_probability:
            self.disconnect(politely=self.random.random() < 0.5)

    def _set_work_timer(self) -> None:
        settings = self.settings
        slow = settings.slow_work_us and self.now < settings.calm_again_at
        self.set_timer("work", settings.slow_work_us if slow else settings.work_us)

    def _settle(self) -> None:
        settings, unsettled = self.settings, self._unsettled
        if not unsettled:
            return
        if self.now < settings.calm_at and self.random.random() < settings.requeue_probability:
            tag = unsettled.pop(self.random.randrange(len(unsettled)))
            self.endpoint.send_method(CHANNEL, BasicNack(delivery_tag=tag, requeue=True))
            del self._taken[tag]
        elif settings.multiple_ack and not self._lingering:
            self.endpoint.send_method(CHANNEL, BasicAck(unsettled[-1], multiple=True))
            self._acknowledged(unsettled)
            unsettled.clear()
        else:
            tag = unsettled.pop(0)
            self.endpoint.send_method(CHANNEL, BasicAck(tag))
            self._acknowledged([tag])
        if unsettled:
            self._set_work_timer()

    def _acknowledged(self, tags: list[int]) -> None:
        name = self.client_settings.name
        for tag in tags:
            at, key = self._taken.pop(tag)
            if key is not None:
                self.history.acknowledge(self.now, at, key, name, self.connections_count)
