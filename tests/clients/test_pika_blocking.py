"""pika's BlockingConnection, scenario by scenario as pika's own acceptance tests have them.

pika's source distribution holds no tests: what follows was written here after reading its
tests/acceptance/blocking_adapter_test.py. All of it holds against RabbitMQ 3.10 too
(`--against rabbitmq`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import (
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionClosedByBroker,
    ConnectionWrongStateError,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

pytestmark = pytest.mark.processes

Connection = pika.BlockingConnection


@pytest.fixture
def parameters(pika_port: int) -> pika.ConnectionParameters:
    return pika.ConnectionParameters("127.0.0.1", pika_port, blocked_connection_timeout=30)


@pytest.fixture
def connection(parameters: pika.ConnectionParameters) -> Iterator[Connection]:
    connection = Connection(parameters)
    yield connection
    if connection.is_open:
        connection.close()


@pytest.fixture
def channel(connection: Connection) -> BlockingChannel:
    """A channel with confirms: a publish has arrived when it returns."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


@pytest.fixture
def queue(channel: BlockingChannel) -> str:
    name: str = channel.queue_declare("", exclusive=True).method.queue
    return name


def count(channel: BlockingChannel, queue: str) -> int:
    number: int = channel.queue_declare(queue, passive=True).method.message_count
    return number


def publish(channel: BlockingChannel, queue: str, *bodies: bytes) -> None:
    for body in bodies:
        channel.basic_publish("", queue, body, mandatory=True)


def get(channel: BlockingChannel, queue: str, **options: Any) -> tuple[int, bool, bytes]:
    """Delivery tag, redelivered, body of the next message."""
    method, _, body = channel.basic_get(queue, **options)
    return method.delivery_tag, method.redelivered, body


def test_connection_and_channels_close_in_order(connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("", exclusive=True)
    connection.close()
    assert connection.is_closed and channel.is_closed
    with pytest.raises(ConnectionWrongStateError):
        connection.close()
    with pytest.raises(ChannelWrongStateError):
        channel.queue_declare("never")


def test_second_of_two_addresses_is_used(parameters: pika.ConnectionParameters) -> None:
    nowhere = pika.ConnectionParameters("127.0.0.1", 1, retry_delay=0)
    with Connection((nowhere, parameters)) as connection:
        assert connection.is_open


def test_wrong_password_is_refused_by_name(pika_port: int) -> None:
    wrong = pika.PlainCredentials("guest", "wrong")
    with pytest.raises(ProbableAuthenticationError):
        Connection(pika.ConnectionParameters("127.0.0.1", pika_port, credentials=wrong))


def test_unknown_virtual_host_is_refused_by_name(pika_port: int) -> None:
    with pytest.raises((ProbableAccessDeniedError, ConnectionClosedByBroker)) as raised:
        Connection(pika.ConnectionParameters("127.0.0.1", pika_port, virtual_host="nowhere"))
    assert raised.value.args[0] == 530 or "530" in str(raised.value)


def test_what_the_broker_can_do_is_told(connection: Connection) -> None:
    assert connection.basic_nack_supported
    assert connection.consumer_cancel_notify_supported
    assert connection.exchange_exchange_bindings_supported
    assert connection.publisher_confirms_supported


def test_update_secret(connection: Connection) -> None:
    connection.update_secret("new_secret", "reason")
    assert connection.channel().is_open


def test_unknown_exchange_type_closes_the_connection(connection: Connection) -> None:
    with pytest.raises(ConnectionClosedByBroker) as raised:
        connection.channel().exchange_declare("pika.odd", exchange_type="odd")
    assert raised.value.reply_code == 503
    assert connection.is_closed


def test_exchange_is_declared_found_and_deleted(connection: Connection) -> None:
    channel = connection.channel()
    channel.exchange_declare("pika.declared", exchange_type="topic")
    channel.exchange_declare("pika.declared", passive=True)
    channel.exchange_delete("pika.declared")
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.exchange_declare("pika.declared", passive=True)
    assert raised.value.reply_code == 404
    assert connection.is_open


def test_exchange_with_other_values_is_refused(connection: Connection) -> None:
    channel = connection.channel()
    channel.exchange_declare("pika.values", exchange_type="direct", auto_delete=True)
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.exchange_declare("pika.values", exchange_type="fanout", auto_delete=True)
    assert raised.value.reply_code == 406
    connection.channel().exchange_delete("pika.values")


def test_exchange_bound_to_exchange_and_unbound(
    connection: Connection, channel: BlockingChannel, queue: str
) -> None:
    for name in ("pika.source", "pika.destination"):
        channel.exchange_declare(name, exchange_type="direct")
    channel.queue_bind(queue, "pika.destination", "key")
    with pytest.raises(UnroutableError):
        channel.basic_publish("pika.source", "key", b"lost", mandatory=True)
    channel.exchange_bind("pika.destination", "pika.source", "key")
    channel.basic_publish("pika.source", "key", b"routed", mandatory=True)
    channel.exchange_unbind("pika.destination", "pika.source", "key")
    with pytest.raises(UnroutableError):
        channel.basic_publish("pika.source", "key", b"lost", mandatory=True)
    assert get(channel, queue)[2] == b"routed"
    for name in ("pika.source", "pika.destination"):
        channel.exchange_delete(name)


def test_queue_is_declared_with_counts_and_deleted(connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("pika.queue", auto_delete=True)
    found = channel.queue_declare("pika.queue", passive=True).method
    assert (found.message_count, found.consumer_count) == (0, 0)
    assert channel.queue_delete("pika.queue").method.message_count == 0
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.queue_declare("pika.queue", passive=True)
    assert raised.value.reply_code == 404


def test_purge_counts_and_bindings_come_and_go(channel: BlockingChannel, queue: str) -> None:
    channel.exchange_declare("pika.bindings", exchange_type="direct", auto_delete=True)
    channel.queue_bind(queue, "pika.bindings", "key")
    channel.basic_publish("pika.bindings", "key", b"one", mandatory=True)
    assert count(channel, queue) == 1
    assert channel.queue_purge(queue).method.message_count == 1
    channel.queue_unbind(queue, "pika.bindings", "key")
    assert count(channel, queue) == 0


def test_get_from_empty_and_from_full(channel: BlockingChannel, queue: str) -> None:
    assert channel.basic_get(queue) == (None, None, None)
    sent = pika.BasicProperties(
        content_type="text/plain", headers={"number": 1, "text": "x"}, message_id="m"
    )
    channel.basic_publish("", queue, b"body", sent, mandatory=True)
    method, properties, body = channel.basic_get(queue)
    assert (method.message_count, method.redelivered, body) == (0, False, b"body")
    assert properties == sent
    channel.basic_ack(method.delivery_tag)
    assert count(channel, queue) == 0


@pytest.mark.parametrize("how", ["reject", "nack"])
@pytest.mark.parametrize("requeue", [True, False])
def test_one_message_given_back(
    channel: BlockingChannel, queue: str, how: str, requeue: bool
) -> None:
    publish(channel, queue, b"first", b"second")
    tag, _, body = get(channel, queue)
    assert body == b"first"
    getattr(channel, f"basic_{how}")(tag, requeue=requeue)
    assert count(channel, queue) == (2 if requeue else 1)
    assert get(channel, queue)[1:] == ((True, b"first") if requeue else (False, b"second"))


def test_nack_of_many_keeps_their_order(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"first", b"second")
    get(channel, queue)
    tag, _, _ = get(channel, queue)
    channel.basic_nack(tag, multiple=True, requeue=True)
    assert [get(channel, queue)[1:] for _ in range(2)] == [(True, b"first"), (True, b"second")]


def test_recover_gives_everything_back(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"first", b"second")
    assert [get(channel, queue)[2] for _ in range(2)] == [b"first", b"second"]
    channel.basic_recover(requeue=True)
    assert [get(channel, queue)[1:] for _ in range(2)] == [(True, b"first"), (True, b"second")]


def test_transactions_commit_and_roll_back(connection: Connection) -> None:
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.tx_select()
    channel.basic_publish("", queue, b"one")
    assert count(channel, queue) == 0
    channel.tx_commit()
    assert count(channel, queue) == 1
    channel.basic_publish("", queue, b"two")
    channel.tx_rollback()
    assert count(channel, queue) == 1


def test_consuming_from_an_unknown_queue_closes_the_channel(connection: Connection) -> None:
    channel = connection.channel()
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.basic_consume("pika.unknown", lambda *_: None)
    assert raised.value.reply_code == 404
    assert channel.is_closed and connection.is_open


def test_unroutable_with_confirms_raises_with_the_message(channel: BlockingChannel) -> None:
    for body in (b"one", b"two"):
        with pytest.raises(UnroutableError) as raised:
            channel.basic_publish("", "pika.unknown", body, mandatory=True)
        (returned,) = raised.value.messages
        assert (returned.method.reply_code, returned.body) == (312, body)
        assert (returned.method.exchange, returned.method.routing_key) == ("", "pika.unknown")


def test_unroutable_without_confirms_comes_to_the_callback(connection: Connection) -> None:
    channel = connection.channel()
    returned: list[tuple[Any, bytes]] = []
    channel.add_on_return_callback(lambda _, method, __, body: returned.append((method, body)))
    for body in (b"one", b"two"):
        channel.basic_publish("", "pika.unknown", body, mandatory=True)
    while len(returned) < 2:
        connection.process_data_events(time_limit=10)
    assert [(method.reply_code, body) for method, body in returned] == [
        (312, b"one"),
        (312, b"two"),
    ]


def test_confirms_after_something_unroutable(channel: BlockingChannel, queue: str) -> None:
    channel.basic_publish("", "pika.unknown", b"nobody minds")
    publish(channel, queue, b"arrived")
    assert get(channel, queue)[2] == b"arrived"


def test_rejected_publish_is_nacked(channel: BlockingChannel) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
    publish(channel, queue, b"fits")
    with pytest.raises(NackError):
        publish(channel, queue, b"does not")
    assert count(channel, queue) == 1


def test_prefetch_of_one_is_kept(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"one", b"two")
    channel.basic_qos(prefetch_count=1)
    arrived: list[tuple[int, bytes]] = []
    channel.basic_consume(queue, lambda _, how, __, body: arrived.append((how.delivery_tag, body)))
    while not arrived:
        channel.connection.process_data_events(time_limit=10)
    assert count(channel, queue) == 1
    assert [body for _, body in arrived] == [b"one"]
    channel.basic_ack(arrived[0][0])
    while len(arrived) < 2:
        channel.connection.process_data_events(time_limit=10)
    assert arrived[1][1] == b"two"


def test_two_consumers_on_one_channel(channel: BlockingChannel) -> None:
    arrived: dict[str, list[bytes]] = {"a": [], "b": []}
    for tag in arrived:
        name = channel.queue_declare("", exclusive=True).method.queue
        publish(channel, name, tag.encode() * 2, tag.encode() * 3)
        channel.basic_consume(
            name,
            lambda _, how, __, body: arrived[how.consumer_tag].append(body),
            consumer_tag=tag,
            auto_ack=True,
        )
    while min(map(len, arrived.values())) < 2:
        channel.connection.process_data_events(time_limit=10)
    assert arrived == {"a": [b"aa", b"aaa"], "b": [b"bb", b"bbb"]}


def test_publishing_and_stopping_within_a_callback(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"question")
    answers = channel.queue_declare("", exclusive=True).method.queue

    def answer(channel: BlockingChannel, method: Any, _: Any, body: bytes) -> None:
        publish(channel, answers, b"answer to " + body)
        channel.basic_ack(method.delivery_tag)
        channel.stop_consuming()

    channel.basic_consume(queue, answer)
    channel.start_consuming()
    assert get(channel, answers)[2] == b"answer to question"
    assert count(channel, queue) == 0


def test_acknowledgement_from_another_thread(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"slow", b"last")
    channel.basic_qos(prefetch_count=1)
    threads: list[threading.Thread] = []

    def work(channel: BlockingChannel, method: Any, _: Any, body: bytes) -> None:
        def acknowledge() -> None:
            channel.basic_ack(method.delivery_tag)
            if body == b"last":
                channel.stop_consuming()

        later = channel.connection.add_callback_threadsafe
        threads.append(threading.Thread(target=later, args=(acknowledge,), daemon=True))
        threads[-1].start()

    channel.basic_consume(queue, work)
    channel.start_consuming()
    for thread in threads:
        thread.join()
    assert count(channel, queue) == 0


def test_consumer_of_a_deleted_queue_is_told(connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("pika.deleted")
    channel.basic_consume("pika.deleted", lambda *_: None)
    connection.channel().queue_delete("pika.deleted")
    channel.start_consuming()  # returns when its last consumer is gone
    assert channel.consumer_tags == [] and channel.is_open


def test_generator_ends_when_the_queue_is_deleted(connection: Connection) -> None:
    channel = connection.channel()
    channel.queue_declare("pika.generated")
    channel.basic_publish("", "pika.generated", b"one")
    seen = []
    for _, _, body in channel.consume("pika.generated", auto_ack=True):
        seen.append(body)
        connection.channel().queue_delete("pika.generated")
    assert seen == [b"one"]


def test_generator_is_cancelled_and_gives_back(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, *[b"%d" % number for number in range(10)])
    for method, _, body in channel.consume(queue):
        channel.basic_ack(method.delivery_tag)
        if body == b"3":
            break
    channel.cancel()
    while count(channel, queue) < 6:  # what was on its way is given back as it comes
        channel.connection.process_data_events(time_limit=0.1)
    assert get(channel, queue)[1:] == (True, b"4")


def test_unacknowledged_returns_when_its_channel_closes(
    connection: Connection, channel: BlockingChannel, queue: str
) -> None:
    publish(channel, queue, b"one", b"two")
    other = connection.channel()
    get(other, queue)
    get(other, queue, auto_ack=True)
    other.close()
    assert count(channel, queue) == 1
    assert get(channel, queue)[1:] == (True, b"one")


def test_cancelled_consumer_keeps_what_it_has(channel: BlockingChannel, queue: str) -> None:
    publish(channel, queue, b"one")
    arrived: list[int] = []
    tag = channel.basic_consume(queue, lambda _, how, *__: arrived.append(how.delivery_tag))
    while not arrived:
        channel.connection.process_data_events(time_limit=10)
    channel.basic_cancel(tag)
    channel.queue_declare(queue, passive=True)
    channel.basic_ack(arrived[0])
    assert count(channel, queue) == 0


def test_huge_message_and_many_messages(channel: BlockingChannel, queue: str) -> None:
    huge = bytes(range(256)) * 4096 * 10
    publish(channel, queue, huge, *[b"%d" % number for number in range(500)])
    bodies = []
    for _, _, body in channel.consume(queue, auto_ack=True):
        bodies.append(body)
        if len(bodies) == 501:
            break
    assert bodies == [huge, *[b"%d" % number for number in range(500)]]


def test_fault_on_a_consuming_channel_comes_out_of_start_consuming(
    connection: Connection, queue: str
) -> None:
    channel = connection.channel()
    channel.basic_consume(queue, lambda *_: None)
    channel.basic_publish("pika.no.such.exchange", "", b"")
    with pytest.raises(ChannelClosedByBroker) as raised:
        channel.start_consuming()
    assert raised.value.reply_code == 404


def test_flow_is_active(channel: BlockingChannel) -> None:
    assert channel.flow(True) is True


def test_closing_a_channel_twice_is_the_clients_fault(connection: Connection) -> None:
    channel = connection.channel()
    channel.close()
    with pytest.raises(ChannelWrongStateError):
        channel.close()
    with connection.channel() as again:
        assert again.is_open
    assert again.is_closed
