"""Tests of the talk on one checked connection, with a server endpoint at its other end."""

from __future__ import annotations

from support.amqp_server import AmqpServer

from rabbitry.balancer.checking.amqp_asking import PRODUCT, AmqpAsking
from rabbitry.balancer.checking.results import Result
from rabbitry.connection.handshake import Credentials


def asking(
    user: str = "guest", password: str = "guest", vhost: str = "/", probes: bool = False
) -> AmqpAsking:
    return AmqpAsking(
        Credentials(user, password, vhost), "Rabbitry balancer: b/s", 0, probes=probes
    )


def converse(client: AmqpAsking, server: AmqpServer, data: bytes = b"") -> int:
    """Let both talk until both are silent; return how many answers the client had."""
    answers = int(client.received(data, 0)) if data else 0
    while sent := client.take_bytes(0):
        if reply := server.feed(sent):
            answers += client.received(reply, 0)
    return answers


def test_it_logs_in_under_its_name_and_asks_its_first_question() -> None:
    client, server = asking(), AmqpServer()
    assert client.waiting_for == "connection.start"
    assert converse(client, server) == 1
    assert client.ready
    assert not client.outstanding
    assert server.received == ["channel.open", "basic.qos"]
    assert server.endpoint.peer_properties["product"] == PRODUCT
    assert server.endpoint.peer_properties["connection_name"] == "Rabbitry balancer: b/s"
    assert server.endpoint.heartbeat_s == 0
    assert client.server_name == "RabbitMQ 3.10.8"


def test_each_question_has_an_answer() -> None:
    client, server = asking(), AmqpServer()
    converse(client, server)
    client.ask(0, probe=True)
    assert client.outstanding
    assert client.waiting_for == "basic.qos-ok"
    assert converse(client, server) == 1
    assert not client.outstanding


def test_a_retired_connection_ends_in_order() -> None:
    client, server = asking(), AmqpServer()
    converse(client, server)
    client.retire(0)
    converse(client, server)
    assert client.finished
    assert client.conclusion is None
    assert server.endpoint.end_reason == "200 Goodbye"


def test_a_retired_login_is_finished_first() -> None:
    client, server = asking(), AmqpServer()
    client.retire(0)
    converse(client, server)
    assert client.finished
    assert server.endpoint.end_reason == "200 Goodbye"
    assert server.received == []


# --- what servers say instead ---------------------------------------------------------------------


def test_a_refused_login_names_the_user_and_no_password() -> None:
    client = asking(user="monitor", password="secret")
    converse(client, AmqpServer())
    assert client.conclusion is not None
    assert (client.conclusion.status, client.conclusion.code) == ("L7STS", 403)
    assert client.conclusion.info.startswith("refuses the login of user 'monitor': 403 ")
    assert "secret" not in client.conclusion.info


def test_a_missing_virtual_host() -> None:
    client = asking(vhost="orders")
    converse(client, AmqpServer())
    said = "refuses virtual host 'orders': 530 NOT_ALLOWED - vhost orders not found"
    assert client.conclusion == Result("L7STS", said, 530)


def test_a_server_that_leaves() -> None:
    client, server = asking(), AmqpServer()
    converse(client, server)
    converse(client, server, server.close(320, "CONNECTION_FORCED - shutdown"))
    said = "is leaving: 320 CONNECTION_FORCED - shutdown"
    assert client.conclusion == Result("L7OKC", said, 320, remark=said)
    assert client.finished


def test_a_server_that_closes_for_another_reason() -> None:
    client, server = asking(), AmqpServer()
    converse(client, server)
    converse(client, server, server.close(541, "INTERNAL_ERROR"))
    assert client.conclusion == Result("L7STS", "closed the connection: 541 INTERNAL_ERROR", 541)


def test_strangers_are_no_amqp_servers() -> None:
    for words in (b"AMQP\x00\x01\x00\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 30):
        client = asking()
        client.received(words, 0)
        assert client.conclusion == Result("L7RSP", "does not speak AMQP 0-9-1")


def test_a_lost_link_is_told_by_what_was_owed() -> None:
    client, server = asking(), AmqpServer()
    assert client.lost().info == "closed the connection instead of connection.start"
    start = server.feed(client.take_bytes(0))
    client.received(start, 0)
    assert client.lost() == Result(
        "L7RSP", "closed the connection at the login of user 'guest'", 403
    )
    server.silent = False
    converse(client, server)
    assert client.lost().info == "closed the connection without a word"


# --- alarms ---------------------------------------------------------------------------------------


def test_an_alarm_is_found_by_a_message_that_never_ends() -> None:
    client, server = asking(probes=True), AmqpServer()
    assert converse(client, server) == 1
    assert server.contents == 1  # a header, and no body
    server.alarm = "low on disk"
    client.ask(0, probe=True)
    assert converse(client, server) == 1  # the question goes before the probe
    assert client.blocked_by == "low on disk"
    assert "basic.publish" not in server.received
    converse(client, server, server.calm())
    assert client.blocked_by == ""
    client.ask(0, probe=True)
    assert converse(client, server) == 1


def test_only_brokers_that_are_known_to_say_it_are_probed() -> None:
    client, server = asking(probes=True), AmqpServer("LavinMQ")
    converse(client, server)
    client.ask(0, probe=True)
    converse(client, server)
    assert server.contents == 0
    client, server = asking(probes=True), AmqpServer("Rabbitry")
    converse(client, server)
    assert server.contents == 1
