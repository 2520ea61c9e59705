"""Direct reply-to over a cluster: a question goes through a queue, its answer straight back."""

from __future__ import annotations

import pytest
from support.coordination_network import Client, Network

from rabbitry.wire.frames import content_frames, content_properties, method_frame
from rabbitry.wire.methods import (
    BasicConsume,
    BasicDeliver,
    BasicProperties,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ChannelOpen,
    QueueDeclare,
    QueueDeclareOk,
)

SECOND_US = 1_000_000
NAME = "amq.rabbitmq.reply-to"


class Talker(Client):
    """Keeps the properties of what it is sent too."""

    properties: list[BasicProperties]

    def receive(self, data: bytes) -> None:
        self.properties = getattr(self, "properties", [])
        for command in self.endpoint.receive_bytes(data, self.network.now):
            self.heard.append(command.method())
            for content in command.contents:
                self.properties.append(BasicProperties.decode(content_properties(content), 0)[0])
        self.flush()

    def send_to(self, queue: str, properties: BasicProperties, mandatory: bool = False) -> None:
        method = BasicPublish(exchange="", routing_key=queue, mandatory=mandatory)
        content = content_frames(1, properties.encode(), b"body", 131072)
        self.endpoint.write([method_frame(1, method.encode()), content])
        self.flush()
        self.network.run()


def asking(server_at: str) -> tuple[Talker, Talker, str]:
    """Return a client at "a" that has asked, a server, and the address for the answer."""
    network = Network("a", "b")
    network.wait(SECOND_US)
    client, server = (Talker(network, network.hosts[at]) for at in ("a", server_at))
    for one in (client, server):
        one.open()
    server.say(QueueDeclare(queue="q"), BasicConsume(queue="q", no_ack=True))
    client.say(BasicConsume(queue=NAME, no_ack=True))
    client.send_to("q", BasicProperties(reply_to=NAME, correlation_id="7"))
    (question,) = server.properties
    assert question.correlation_id == "7"
    assert question.reply_to is not None
    assert question.reply_to.startswith(NAME + ".")
    client.heard.clear()
    server.heard.clear()
    return client, server, question.reply_to


@pytest.mark.parametrize("server_at", ["a", "b"])
def test_an_answer_comes_back_from_any_node(server_at: str) -> None:
    client, server, address = asking(server_at)
    for _ in range(2):
        server.send_to(address, BasicProperties(correlation_id="7"))
    methods = [method for method in client.heard if isinstance(method, BasicDeliver)]
    assert [(one.delivery_tag, one.exchange, one.routing_key) for one in methods] == [
        (1, "", address)
    ] * 2
    assert [one.correlation_id for one in client.properties] == ["7", "7"]


@pytest.mark.parametrize("server_at", ["a", "b"])
def test_a_server_can_ask_whether_the_client_is_there(server_at: str) -> None:
    client, server, address = asking(server_at)
    server.say(QueueDeclare(queue=address, passive=True))
    assert server.heard == [QueueDeclareOk(address, 0, 1)]
    client.say(ChannelClose())
    server.heard.clear()
    server.say(QueueDeclare(queue=address, passive=True))
    (closed,) = server.heard
    assert isinstance(closed, ChannelClose)
    assert closed.reply_code == 404


def test_an_answer_to_a_client_that_is_gone_is_lost() -> None:
    client, server, address = asking("b")
    client.say(ChannelClose()).say(ChannelOpen()).take()
    server.send_to(address, BasicProperties())
    assert client.take() == []
    # RabbitMQ: an answer never counts as routed.
    server.send_to(address, BasicProperties(), mandatory=True)
    (returned,) = server.heard
    assert isinstance(returned, BasicReturn)
    assert returned.reply_code == 312
