"""Publishers and consumers that lose their connections all the time, come back, and keep a ledger.

Owns threads with a client each: pika, unmodified, which waits for each confirm, and a raw client
that keeps a window of publishes unconfirmed. All publish persistent messages, and again what was
not confirmed when their connection broke. Bodies are what the ledger knows, padded; a body that
does not come as it was published ends the consumer with an error.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel
from support.ledger import Ledger
from support.raw_client import RawClient

from rabbitry.wire.methods import (
    BasicAck,
    BasicNack,
    BasicProperties,
    ConfirmSelect,
    ConnectionClose,
)

DEADLINE_S = 120
"""Far more than the last confirms and acknowledgements take."""

WINDOW = 50
"""How many publishes the raw client sends before it waits for their confirms."""

BACKLOG_MAX = 3000
"""Raw publishers wait while so many messages are confirmed and not delivered."""

# It tells each connection refused in ten lines, and that is what crashes are made of.
logging.getLogger("pika").setLevel(logging.CRITICAL)

PERSISTENT = BasicProperties(delivery_mode=2)


def padded(text: str, size_bytes: int) -> bytes:
    """Return a body of at least this size that tells when a byte of it is changed."""
    line = f"{text}\n".encode()
    return text.encode() if size_bytes == 0 else line * max(size_bytes // len(line), 1)


def unpadded(body: bytes) -> str:
    """Return the text of a body; fail if the body is not what `padded` made of it."""
    line, end, _ = body.partition(b"\n")
    whole = not end or body == (line + b"\n") * (len(body) // (len(line) + 1))
    assert whole, f"a body of {len(body)} bytes is not as it was published, it begins {line[:40]!r}"
    return line.decode()


class Clients:
    """Threads with a connection each; they end with `close`, and tell what went wrong."""

    def __init__(self, ledger: Ledger, queue: str, body_size_bytes: int = 0) -> None:
        self.ledger = ledger
        self.publishing = threading.Event()
        self.publishing.set()
        self.consuming = threading.Event()
        self.consuming.set()
        self._queue = queue
        self._body_size_bytes = body_size_bytes
        self._again = threading.Event()
        self._publishers: list[threading.Thread] = []
        self._consumers: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def publish(self, name: str, port: int) -> None:
        """Start a publisher, pika, which has one message unconfirmed at most."""
        thread = threading.Thread(target=self._run, args=(self._publisher, name, port), daemon=True)
        self._publishers.append(thread)
        thread.start()

    def publish_in_windows(self, name: str, port: int) -> None:
        """Start a publisher that has up to `WINDOW` messages unconfirmed."""
        thread = threading.Thread(
            target=self._run, args=(self._window_publisher, name, port), daemon=True
        )
        self._publishers.append(thread)
        thread.start()

    def consume(self, name: str, port: int) -> None:
        """Start a consumer."""
        thread = threading.Thread(target=self._run, args=(self._consumer, name, port), daemon=True)
        self._consumers.append(thread)
        thread.start()

    def stop_publishing(self) -> None:
        """Return when the publishers have had their last confirm."""
        self.publishing.clear()
        self._join(self._publishers)

    def close(self) -> None:
        """End all; raise what one of them raised."""
        self.publishing.clear()
        self.consuming.clear()
        self._again.set()
        self._join(self._publishers + self._consumers)
        self.check()

    def check(self) -> None:
        """Raise what one of them raised."""
        if self._failures:
            raise self._failures[0]

    def _join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), f"a client hangs; {self.ledger.summary()}"

    def _run(self, client: Callable[[str, int], None], name: str, port: int) -> None:
        try:
            client(name, port)
        except BaseException as error:
            self._failures.append(error)
            self.ledger.broke(f"{name} failed: {error!r}")

    def _connection(self, port: int) -> pika.BlockingConnection:
        credentials = pika.PlainCredentials("guest", "guest")
        parameters = pika.ConnectionParameters(
            "127.0.0.1", port, credentials=credentials, heartbeat=10
        )
        try:
            return pika.BlockingConnection(parameters)
        except ValueError as error:  # pika's word for a peer that is gone as soon as connected
            raise pika.exceptions.AMQPConnectionError(str(error)) from error

    # --- publishers -----------------------------------------------------------------------------

    def _publisher(self, name: str, port: int) -> None:
        number = 0
        properties = pika.BasicProperties(delivery_mode=2)
        while self.publishing.is_set():
            try:
                with self._connection(port) as connection:
                    channel = connection.channel()
                    channel.confirm_delivery()
                    while self.publishing.is_set():
                        text = f"{name} {number}"
                        body = padded(text, self._body_size_bytes)
                        self.ledger.sent(text)
                        channel.basic_publish("", self._queue, body, properties, True)
                        self.ledger.confirmed(text)
                        number += 1
            except pika.exceptions.AMQPConnectionError:
                self.ledger.broke(name)
                self._again.wait(0.05)

    def _window_publisher(self, name: str, port: int) -> None:
        numbers = itertools.count()
        unconfirmed: dict[str, None] = {}
        while self.publishing.is_set():
            try:
                with RawClient(port, [], patience_s=DEADLINE_S / 2) as client:
                    self._publish_windows(client.open(), name, numbers, unconfirmed)
            except OSError:
                pass
            if self.publishing.is_set():
                self.ledger.broke(name)
                self._again.wait(0.05)

    def _publish_windows(
        self, client: RawClient, name: str, numbers: Iterator[int], unconfirmed: dict[str, None]
    ) -> None:
        """Publish until told otherwise, or until the link ends; first what is unconfirmed."""
        client.send(ConfirmSelect())
        if client.take_or_none() is None:
            return
        tags = itertools.count(1)
        while self.publishing.is_set():
            while self.ledger.backlog() > BACKLOG_MAX and self.publishing.is_set():
                self._again.wait(0.02)
            if not unconfirmed:
                unconfirmed |= dict.fromkeys(f"{name} {next(numbers)}" for _ in range(WINDOW))
            texts = list(unconfirmed)
            for text in texts:
                self.ledger.sent(text)
            bodies = [padded(text, self._body_size_bytes) for text in texts]
            by_tag = {next(tags): text for text in texts}
            client.publish(self._queue, *bodies, properties=PERSISTENT)
            if not self._take_confirms(client, by_tag, unconfirmed):
                return

    def _take_confirms(
        self, client: RawClient, by_tag: dict[int, str], unconfirmed: dict[str, None]
    ) -> bool:
        """Return when each has its ack or nack; False if the link ended before."""
        while by_tag:
            method = client.take_or_none()
            if method is None or isinstance(method, ConnectionClose):
                return False
            assert isinstance(method, BasicAck | BasicNack), f"{method} for a publish"
            last = method.delivery_tag
            for tag in [tag for tag in by_tag if tag == last or (method.multiple and tag < last)]:
                text = by_tag.pop(tag)
                if isinstance(method, BasicAck):
                    self.ledger.confirmed(text)
                    del unconfirmed[text]
        return True

    # --- consumers ------------------------------------------------------------------------------

    def _consumer(self, name: str, port: int) -> None:
        while self.consuming.is_set():
            try:
                with self._connection(port) as connection:
                    self._consume(name, connection.channel())
            except pika.exceptions.AMQPConnectionError:
                self.ledger.broke(name)
                self._again.wait(0.05)

    def _consume(self, name: str, channel: BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=10)
        unacknowledged: list[str] = []
        last = 0
        for method, _, body in channel.consume(self._queue, inactivity_timeout=0.1):
            if method is not None:
                text = unpadded(body)
                self.ledger.received(name, text, method.redelivered)
                unacknowledged.append(text)
                last = method.delivery_tag
            # Several at a time, so that there is always something unacknowledged when nodes die.
            if len(unacknowledged) >= 5 or (method is None and unacknowledged):
                self.ledger.acknowledged(unacknowledged)
                # Not tag 0: that takes in what is on its way still, and may never get here.
                channel.basic_ack(last, multiple=True)
                unacknowledged = []
            if not self.consuming.is_set():
                channel.cancel()
                return
        self.ledger.broke(f"{name} was cancelled")
