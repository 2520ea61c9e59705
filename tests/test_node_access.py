"""Who may, end to end: an operator asks the coordinator, clients meet it at the nodes."""

from __future__ import annotations

import pytest
from support.coordination_network import Client, Network

from rabbitry.broker.passwords import hash_password
from rabbitry.cluster.access_records import (
    AddVirtualHost,
    DeleteUser,
    DeleteVirtualHost,
    SetParameter,
    SetPermissions,
    SetTopicPermissions,
    SetUser,
)
from rabbitry.cluster.records import DeclareExchange, Refused
from rabbitry.connection.handshake import Credentials
from rabbitry.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicProperties,
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    Method,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
)
from rabbitry.wire.values import FieldValue

SECOND_US = 1_000_000
HOST = AddVirtualHost("v", "", [], b"")
ALICE = SetUser("alice", hash_password(b"secret", b"salt"))


def running(*permissions: SetPermissions | SetTopicPermissions) -> Network:
    network = Network("a", "b")
    network.wait(SECOND_US)
    exchanges = [
        DeclareExchange("v", name, "topic", True, False, False, b"") for name in ("x", "own.x")
    ]
    assert network.operate(HOST, ALICE, *permissions, *exchanges) is None
    return network


def alice(network: Network, node: str = "a", password: str = "secret") -> Client:
    client = network.client(node, credentials=Credentials("alice", password, "v"))
    network.run()
    return client


def fault(client: Client) -> str:
    """Return the text of the close that has come."""
    (close,) = [one for one in client.heard if isinstance(one, ChannelClose | ConnectionClose)]
    client.heard.clear()
    return close.reply_text


def test_a_user_logs_in_by_password_where_permissions_are() -> None:
    network = running(SetPermissions("alice", "v", "", "", ""))
    assert alice(network).endpoint.state == "open"
    assert alice(network, "b").endpoint.state == "open"
    assert alice(network, password="wrong").endpoint.state != "open"


def test_a_user_without_permissions_is_refused() -> None:
    network = running()
    client = alice(network)
    assert client.endpoint.end_reason == (
        "530 NOT_ALLOWED - access to vhost 'v' refused for user 'alice'"
    )


QUEUE = "access to queue 'q' in vhost 'v' refused for user 'alice'"
EXCHANGE = "access to exchange 'x' in vhost 'v' refused for user 'alice'"
DEFAULT = "access to exchange 'amq.default' in vhost 'v' refused for user 'alice'"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (QueueDeclare(queue="q"), QUEUE),
        (QueueDelete(queue="q"), QUEUE),
        (QueuePurge(queue="q"), QUEUE),
        (BasicGet(queue="q"), QUEUE),
        (BasicConsume(queue="q"), QUEUE),
        (QueueBind(queue="q", exchange="x"), QUEUE),
        (QueueBind(queue="own.q", exchange="x"), EXCHANGE),
        (ExchangeDeclare(exchange="x", type="topic"), EXCHANGE),
        (ExchangeDelete(exchange="x"), EXCHANGE),
        (ExchangeBind(destination="x", source="own.x"), EXCHANGE),
        (ExchangeBind(destination="own.x", source="x"), EXCHANGE),
    ],
    ids=lambda value: value.name if isinstance(value, Method) else "",
)
def test_what_is_not_ones_own_is_refused(method: Method, text: str) -> None:
    network = running(SetPermissions("alice", "v", r"^own\.", r"^own\.", r"^own\."))
    client = alice(network).open()
    client.say(QueueDeclare(queue="own.q")).take()
    assert fault(client.say(method)) == f"ACCESS_REFUSED - {text}"


def test_publishing_is_judged_by_exchange_and_anew_when_permissions_change() -> None:
    network = running(SetPermissions("alice", "v", ".*", r"^(amq\.default|own\.q)$", ".*"))
    client = alice(network).open()
    client.say(QueueDeclare(queue="own.q")).take()
    client.publish("own.q", b"one")
    network.run()
    network.operate(SetPermissions("alice", "v", ".*", "", ".*"))
    client.publish("own.q", b"two")
    network.run()
    assert fault(client) == f"ACCESS_REFUSED - {DEFAULT}"
    client.say(ChannelOpen(), channel=2).take()
    client.say(BasicGet(queue="own.q", no_ack=True), BasicGet(queue="own.q"), channel=2)
    assert client.take() == ["basic.get-ok", "basic.get-empty"]
    assert client.bodies == [b"one"]


def test_topic_permissions() -> None:
    network = running(
        SetPermissions("alice", "v", ".*", ".*", ".*"),
        SetTopicPermissions("alice", "v", "x", r"^{username}\.", "^read$"),
    )
    client = alice(network).open()
    client.say(QueueDeclare(queue="q")).take()
    client.say(QueueBind(queue="q", exchange="x", routing_key="read"))
    assert client.take() == ["queue.bind-ok"]
    client.say(QueueBind(queue="q", exchange="x", routing_key="else"))
    assert fault(client) == (
        "ACCESS_REFUSED - access to topic 'else' in exchange 'x' in vhost 'v' refused for "
        "user 'alice'"
    )
    client.say(ChannelOpen(), channel=2).take()
    client.endpoint.send_content(2, BasicPublish(exchange="x", routing_key="bob.k"), *nothing())
    client.flush()
    network.run()
    assert "access to topic 'bob.k'" in fault(client)


def nothing() -> tuple[BasicProperties, bytes]:
    return BasicProperties(), b""


def test_a_queue_with_dead_letters_needs_the_right_to_write_them() -> None:
    network = running(SetPermissions("alice", "v", ".*", "^own", ".*"))
    client = alice(network).open()
    arguments: dict[str, FieldValue] = {"x-dead-letter-exchange": "x"}
    client.say(QueueDeclare(queue="q", arguments=arguments))
    assert fault(client) == f"ACCESS_REFUSED - {EXCHANGE}"


def test_an_exchange_with_an_alternate_needs_the_right_to_write_to_it() -> None:
    network = running(SetPermissions("alice", "v", ".*", "^own", ".*"))
    client = alice(network).open()
    arguments: dict[str, FieldValue] = {"alternate-exchange": "x"}
    client.say(ExchangeDeclare(exchange="y", type="fanout", arguments=arguments))
    assert fault(client) == f"ACCESS_REFUSED - {EXCHANGE}"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (DeleteUser("alice"), "user 'alice' is deleted"),
        (DeleteVirtualHost("v"), "vhost 'v' is down"),
    ],
)
def test_connections_of_what_is_deleted_are_closed(
    request_: DeleteUser | DeleteVirtualHost, text: str
) -> None:
    network = running(SetPermissions("alice", "v", ".*", ".*", ".*"))
    clients = [alice(network, "a").open(), alice(network, "b").open()]
    clients[0].say(QueueDeclare(queue="q", exclusive=True)).take()
    other = network.client("a").open()
    assert network.operate(request_) is None
    for client in clients:
        assert client.endpoint.end_reason == f"320 CONNECTION_FORCED - {text}"
    assert other.endpoint.state == "open"
    assert alice(network).endpoint.state != "open"


def test_a_limit_on_connections_holds_over_all_nodes_and_frees_again() -> None:
    network = running(
        SetPermissions("alice", "v", ".*", ".*", ".*"),
    )
    network.operate(SetParameter("v", "vhost-limits", "limits", b'{"max-connections":2}'))
    first, second = alice(network, "a"), alice(network, "b")
    assert second.endpoint.state == "open"
    assert alice(network, "b").endpoint.end_reason == (
        "530 NOT_ALLOWED - access to vhost 'v' refused for user 'alice': "
        "connection limit (2) is reached"
    )
    first.endpoint.close(now=network.now)
    first.flush()
    network.run()
    assert alice(network, "b").endpoint.state == "open"


def test_a_limit_on_channels() -> None:
    network = running(SetPermissions("alice", "v", ".*", ".*", ".*"))
    network.operate(SetUser("alice", limits={"max-channels": 1}))
    client = alice(network).open()
    client.say(ChannelOpen(), channel=2)
    assert client.endpoint.end_reason == (
        "530 NOT_ALLOWED - number of channels opened for user 'alice' has reached the maximum "
        "allowed user limit of (1)"
    )


def test_a_limit_on_queues_spares_those_that_are_there() -> None:
    network = running(SetPermissions("alice", "v", ".*", ".*", ".*"))
    network.operate(SetParameter("v", "vhost-limits", "limits", b'{"max-queues":1}'))
    client = alice(network).open()
    assert client.say(QueueDeclare(queue="q")).take() == ["queue.declare-ok"]
    assert client.say(QueueDeclare(queue="q")).take() == ["queue.declare-ok"]
    assert fault(client.say(QueueDeclare(queue="r"))) == (
        "PRECONDITION_FAILED - cannot declare queue 'r': queue limit in vhost 'v' (1) is reached"
    )


def test_an_operators_mistake_changes_nothing_and_says_where_it_is() -> None:
    network = running()
    answer = network.operate(SetUser("bob"), SetPermissions("bob", "nowhere", "", "", ""))
    assert answer == (1, Refused(404, "virtual host 'nowhere' does not exist"))
    assert network.operate(DeleteUser("bob")) == (0, Refused(404, "user 'bob' does not exist"))
