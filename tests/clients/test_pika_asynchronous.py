"""pika's connections with callbacks, over its own loop and over asyncio.

pika's source distribution holds no tests: what follows was written here after reading its
tests/acceptance/async_adapter_tests.py. All of it holds against RabbitMQ 3.10 too
(`--against rabbitmq`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.select_connection import IOLoop

pytestmark = pytest.mark.processes

PATIENCE_S = 30
Begin = Callable[["Play"], None]


class Play:
    """One connection with one channel; `begin` is called when it is open, `end` ends it."""

    def __init__(self, kind: type[Any], loop: Any, port: int, begin: Begin) -> None:
        self.begin = begin
        self.loop = loop
        self.result: Any = None
        self.channel: Any = None
        self.connection = kind(
            pika.ConnectionParameters("127.0.0.1", port),
            on_open_callback=self._opened,
            on_open_error_callback=lambda _, error: self.stop(error),
            on_close_callback=lambda _, reason: self.stop(self.result or reason),
            custom_ioloop=loop,
        )

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self.channel = channel
        channel.add_on_close_callback(lambda _, reason: self.channel_closed(reason))
        self.begin(self)

    def channel_closed(self, reason: BaseException) -> None:
        """A channel that closes, when nobody asked for it, is the result."""
        if self.result is None:
            self.end(reason)

    def end(self, result: Any) -> None:
        """Close the connection; `result` is what the play came to."""
        self.result = result
        if self.connection.is_open:
            self.connection.close()

    def stop(self, result: Any) -> None:
        self.result = result
        self.loop.stop()


@pytest.fixture(params=["select", "asyncio"])
def play(request: pytest.FixtureRequest, pika_port: int) -> Callable[[Begin], Any]:
    """Plays a scenario to its end and returns what it came to."""

    def run(begin: Begin) -> Any:
        if request.param == "asyncio":
            loop = asyncio.new_event_loop()
            one = Play(AsyncioConnection, loop, pika_port, begin)
            loop.call_later(PATIENCE_S, loop.stop)
            loop.run_forever()
            loop.close()
        else:
            own = IOLoop()
            one = Play(pika.SelectConnection, own, pika_port, begin)
            own.call_later(PATIENCE_S, own.stop)
            own.start()
            own.close()
        return one.result

    return run


def test_connect_and_open_a_channel(play: Callable[[Begin], Any]) -> None:
    assert play(lambda it: it.end("open")) == "open"


def test_update_secret(play: Callable[[Begin], Any]) -> None:
    def begin(it: Play) -> None:
        it.connection.update_secret("new", "reason", lambda frame: it.end(frame.method.NAME))

    assert play(begin) == "Connection.UpdateSecretOk"


def test_confirm_select_and_an_ack(play: Callable[[Begin], Any]) -> None:
    def begin(it: Play) -> None:
        it.channel.confirm_delivery(
            lambda frame: it.end((frame.method.NAME, frame.method.delivery_tag)),
            callback=lambda _: it.channel.basic_publish("", "pika.nowhere", b""),
        )

    assert play(begin) == ("Basic.Ack", 1)


def test_requests_wait_for_each_other(play: Callable[[Begin], Any]) -> None:
    """A request that waits, one that does not, and one that waits again do not stall."""

    def begin(it: Play) -> None:
        it.channel.queue_declare("pika.stall", auto_delete=True, callback=lambda _: None)
        it.channel.queue_purge("pika.stall", callback=None)
        it.channel.queue_delete("pika.stall", callback=lambda frame: it.end(frame.method.NAME))

    assert play(begin) == "Queue.DeleteOk"


def test_consume_and_cancel(play: Callable[[Begin], Any]) -> None:
    bodies: list[bytes] = []

    def begin(it: Play) -> None:
        it.channel.queue_declare("", exclusive=True, callback=lambda frame: declared(it, frame))

    def declared(it: Play, frame: Any) -> None:
        name = frame.method.queue
        for number in range(3):
            it.channel.basic_publish("", name, b"%d" % number)

        def deliver(_: Any, method: Any, __: Any, body: bytes) -> None:
            bodies.append(body)
            if len(bodies) == 3:
                tag = method.consumer_tag
                it.channel.basic_cancel(tag, callback=lambda ok: it.end(ok.method.consumer_tag))

        it.channel.basic_consume(name, deliver, auto_ack=True, consumer_tag="mine")

    assert play(begin) == "mine"
    assert bodies == [b"0", b"1", b"2"]


def test_huge_message_through_get(play: Callable[[Begin], Any]) -> None:
    huge = b"x" * 2_000_000

    def begin(it: Play) -> None:
        it.channel.queue_declare("", exclusive=True, callback=lambda frame: declared(it, frame))

    def declared(it: Play, frame: Any) -> None:
        it.channel.basic_publish("", frame.method.queue, huge)
        # One channel, one queue: what was published before is there.
        it.channel.basic_get(frame.method.queue, lambda _, __, ___, body: it.end(body))

    assert play(begin) == huge


def test_queue_that_expires_is_declared(play: Callable[[Begin], Any]) -> None:
    def begin(it: Play) -> None:
        it.channel.queue_declare(
            "pika.expires",
            auto_delete=True,
            arguments={"x-expires": 5 * 1000},
            callback=lambda frame: it.end(frame.method.queue),
        )

    assert play(begin) == "pika.expires"


def test_other_values_close_the_channel(play: Callable[[Begin], Any]) -> None:
    def begin(it: Play) -> None:
        declare = it.channel.queue_declare
        declare(
            "pika.other", auto_delete=True, callback=lambda _: declare("pika.other", durable=True)
        )

    assert play(begin).reply_code == 406


def test_many_requests_and_a_close_from_the_broker(play: Callable[[Begin], Any]) -> None:
    """The broker closes the channel for the first of 99 requests while the client closes it."""

    def begin(it: Play) -> None:
        for number in range(99):
            it.channel.exchange_declare(f"pika.no.{number}", passive=True, callback=lambda _: None)
        it.channel.close()

    assert play(begin).reply_code in (0, 404)


def test_transaction_methods_answer(play: Callable[[Begin], Any]) -> None:
    names: list[str] = []

    def begin(it: Play) -> None:
        it.channel.tx_select(lambda frame: names.append(frame.method.NAME))
        it.channel.tx_commit(lambda frame: names.append(frame.method.NAME))
        it.channel.tx_rollback(lambda frame: it.end(frame.method.NAME))

    assert play(begin) == "Tx.RollbackOk"
    assert names == ["Tx.SelectOk", "Tx.CommitOk"]


@pytest.mark.parametrize("method", ["tx_commit", "tx_rollback"])
def test_transaction_that_was_not_begun(play: Callable[[Begin], Any], method: str) -> None:
    assert play(lambda it: getattr(it.channel, method)()).reply_code == 406
