"""One node driven with real bytes: flow control, slow readers, clients that come early and go late.

`support.coordination_network` checks in every step what drivers are promised.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.coordination_network import Client, Network

from rabbitry.broker import reading
from rabbitry.broker.client_connection import ANSWERS_BYTES_MAX
from rabbitry.cluster.links import MAGIC
from rabbitry.cluster.patience import DESERTED_TICKS
from rabbitry.machine import (
    Asked,
    BytesReceived,
    LinkFinished,
    SendBytes,
    WritingPaused,
    WritingResumed,
)
from rabbitry.node import TICK_US
from rabbitry.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicQos,
    BasicReject,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
)

SECOND_US = 1_000_000


def running(*names: str) -> Network:
    network = Network(*(names or ("a", "b")))
    network.wait(SECOND_US)
    return network


def declared(client: Client, queue: str = "q", **different: Any) -> Client:
    assert client.say(QueueDeclare(queue=queue, **different)).take() == ["queue.declare-ok"]
    return client


def counts(client: Client, queue: str = "q") -> tuple[int, int]:
    client.heard.clear()
    client.say(QueueDeclare(queue=queue, passive=True))
    (reply,) = client.heard
    assert isinstance(reply, QueueDeclareOk)
    client.heard.clear()
    return reply.message_count, reply.consumer_count


# --- the whole ------------------------------------------------------------------------------------


def test_what_goes_in_through_one_node_comes_out_through_another() -> None:
    network = running("a", "b", "c")
    publisher = declared(network.client("a").open())
    publisher.say(ConfirmSelect()).take()
    publisher.publish("q", b"one", b"two", b"x" * 300_000)
    network.run()
    assert publisher.take() == ["basic.ack"]
    consumer = network.client("b").open().say(BasicConsume(queue="q"))
    assert consumer.bodies == [b"one", b"two", b"x" * 300_000]
    consumer.say(BasicAck(delivery_tag=3, multiple=True))
    assert counts(publisher) == (0, 1)


def test_an_auto_delete_queue_goes_with_the_node_of_its_consumers() -> None:
    """The word of their going dies with the leader; its successor waits for them, then deletes."""
    network = running("a", "b", "c")
    leader = declared(network.client("a").open(), auto_delete=True)
    leader.say(BasicConsume(queue="q")).take()
    declared(leader, "p", auto_delete=True)
    leader.say(BasicConsume(queue="p")).take()
    assert counts(leader) == (0, 1)
    stays = network.client("c").open().say(BasicConsume(queue="p"))
    assert stays.take() == ["basic.consume-ok"]
    network.kill("a")
    network.wait(2 * DESERTED_TICKS * TICK_US)
    client = network.client("c").open()
    assert counts(client, "p") == (0, 1)
    client.say(QueueDeclare(queue="q", passive=True))
    assert client.take() == ["channel.close"]


def test_a_mirror_takes_over_and_consumers_go_on() -> None:
    network = running("a", "b", "c")
    publisher = declared(network.client("a").open())
    consumer = network.client("b").open().say(BasicConsume(queue="q"))
    network.kill("a")
    network.coordinator.inbox.append(Asked(1, ("node died", "a")))
    network.wait(SECOND_US)
    assert publisher.closed
    again = network.client("c").open()
    again.publish("q", b"after")
    network.run()
    assert consumer.bodies == [b"after"]
    assert consumer.take() == ["basic.consume-ok", "basic.deliver"]


def test_a_question_that_means_nothing_is_answered() -> None:
    network = running("a")
    network.hosts["a"].step(Asked(3, "what"))
    assert network.hosts["a"].answers == {3: None}


def test_status_counts_what_nodes_hold() -> None:
    network = running()
    client = declared(network.client("a").open())
    client.publish("q", b"one")
    network.run()
    network.coordinator.inbox.append(Asked(1, "status"))
    network.run()
    (queue,) = network.coordinator.answers[1]["queues"]
    assert (queue["leader"], queue["messages"], queue["consumers"]) == ("a", 1, 0)


def test_inspect_shows_the_same_messages_everywhere() -> None:
    network = running()
    client = declared(network.client("a").open())
    client.publish("q", b"one", b"two")
    network.run()
    of_a, of_b = (network.hosts[name].machine.inspect()["q"] for name in "ab")
    assert (of_a["role"], of_b["role"]) == ("leader", "mirror")
    assert len(of_a["messages"]) == 2
    assert of_a["messages"] == of_b["messages"]


# --- one step -------------------------------------------------------------------------------------


def test_what_goes_to_peers_is_sent_before_what_goes_to_clients() -> None:
    network = running()
    consumer = declared(network.client("a").open()).say(BasicConsume(queue="q"))
    publisher = network.client("a").open()
    clients = {consumer.link, publisher.link}
    for number in range(20):
        publisher.publish("q", b"%d" % number)
        network.run()
    consumer.say(BasicAck(delivery_tag=0, multiple=True))
    both = 0
    for effects in network.hosts["a"].steps:
        to_client = [one.link in clients for one in effects if isinstance(one, SendBytes)]
        assert to_client == sorted(to_client)
        both += len(set(to_client)) == 2
    assert both


def test_a_step_sends_once_to_each_link() -> None:
    network = running("a")
    consumers = [network.client("a").open() for _ in range(3)]
    declared(consumers[0])
    for consumer in consumers:
        consumer.say(BasicConsume(queue="q", no_ack=True))
    consumers[0].say(ConfirmSelect())
    before = len(network.hosts["a"].steps)
    consumers[0].publish("q", *[b"m"] * 300)
    network.run()
    steps = network.hosts["a"].steps[before:]
    links = [one.link for effects in steps for one in effects if isinstance(one, SendBytes)]
    assert sorted(links) == sorted(consumer.link for consumer in consumers)
    assert sum(len(consumer.bodies) for consumer in consumers) == 300


# --- clients come and go --------------------------------------------------------------------------


def test_clients_that_come_before_the_welcome_wait_for_it() -> None:
    network = Network("a")
    network.coordinator.frozen = True
    client = network.client("a")
    network.wait(SECOND_US)
    assert client.received_bytes == 0
    assert not client.read
    network.coordinator.frozen = False
    network.wait(SECOND_US)
    declared(client.open())


def test_a_client_is_served_on_while_there_is_no_coordinator() -> None:
    network = running()
    client = declared(network.client("a").open())
    network.kill("coordinator")
    late = network.client("b").open()
    declared(late)  # it is there already
    late.publish("q", b"body")
    network.run()
    assert counts(client) == (1, 0)
    assert late.say(QueueDeclare(queue="new")).take() == []


@pytest.mark.parametrize("polite", [True, False])
def test_exclusive_queues_go_with_their_connection(polite: bool) -> None:
    network = running()
    owner = declared(network.client("a").open(), exclusive=True)
    declared(owner, "other")
    watcher = network.client("b").open()
    watcher.say(QueueDeclare(queue="q", passive=True))
    assert watcher.take() == ["channel.close"]
    if polite:
        owner.say(ConnectionClose(200, "bye", 0, 0), channel=0)
    else:
        owner.host.close(owner.link)
        network.run()
    assert owner.closed
    for host in network.hosts.values():
        if host is not network.coordinator:
            assert list(host.machine.inspect()) == ["other"]
    again = network.client("b").open()
    declared(again, exclusive=True)


def test_an_exclusive_queue_goes_though_its_declaration_was_on_the_way() -> None:
    network = running()
    network.coordinator.frozen = True
    owner = network.client("a").open().say(QueueDeclare(queue="q", exclusive=True))
    owner.host.close(owner.link)
    network.run()
    network.coordinator.frozen = False
    network.run()
    assert network.coordinator.machine.inspect() == {}


def test_shutdown_is_answered_when_the_clients_are_gone() -> None:
    network = running("a")
    host = network.hosts["a"]
    client = network.client("a").open()
    host.inbox.append(Asked(7, "shutdown"))
    network.run()
    assert client.closed
    assert client.endpoint.end_reason.startswith("320 CONNECTION_FORCED")
    assert "shutdown" in client.endpoint.end_reason
    assert host.answers == {7: None}
    late = network.client("a")
    network.run()
    assert late.closed


def test_shutdown_does_not_wait_for_a_client_that_does_not_answer() -> None:
    network = running("a")
    host = network.hosts["a"]
    client = network.client("a").open()
    client.receive = lambda data: None  # type: ignore[method-assign]
    host.inbox.append(Asked(7, "shutdown"))
    network.run()
    assert host.answers == {}
    network.wait(2 * SECOND_US)
    assert client.closed
    assert host.answers == {7: None}


def test_shutdown_without_clients() -> None:
    network = running("a")
    network.hosts["a"].step(Asked(7, "shutdown"))
    network.run()
    assert network.hosts["a"].answers == {7: None}


def test_a_client_that_finishes_its_side_is_let_go() -> None:
    network = running("a")
    client = network.client("a").open()
    client.host.inbox.append(LinkFinished(client.link))
    network.run()
    assert client.closed


@pytest.mark.parametrize(
    "foreign",
    [
        b"AMQP\x00\x00\x09\x01",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x00" * 50,
        b"\x00\x00\x00\x09\x94\xc4\x05" + MAGIC,
    ],
)
@pytest.mark.parametrize("listener", ["cluster", "amqp"])
def test_foreign_bytes_cost_their_link_and_nothing_else(listener: str, foreign: bytes) -> None:
    network = running()
    client = declared(network.client("a").open())
    host = network.hosts["a"]
    stranger = network.client("a")
    network.run()
    stranger.host.close(stranger.link)
    link = host.accept(listener, stranger)
    stranger.closed, stranger.link = False, link
    stranger.receive = lambda data: None  # type: ignore[method-assign]
    network.run()
    for octet in foreign:
        host.inbox.append(BytesReceived(link, bytes([octet])))
    network.wait(20 * SECOND_US)
    whole_header_of_a_client = listener == "amqp" and foreign.startswith(b"AMQP")
    cut_short = listener == "cluster" and foreign.endswith(MAGIC)
    assert stranger.closed or whole_header_of_a_client or cut_short
    assert counts(client) == (0, 0)


# --- flow control ---------------------------------------------------------------------------------


def test_a_backlog_pauses_only_those_that_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BACKLOG_MESSAGES_HIGH", 10)
    monkeypatch.setattr(reading, "BACKLOG_MESSAGES_LOW", 5)
    network = running()
    declared(network.client("a").open())
    publisher, other = network.client("b").open(), network.client("b").open()
    network.hosts["a"].frozen = True
    publisher.publish("q", *[b"m"] * 10)
    network.run()
    assert publisher.read
    publisher.publish("q", b"one too many")
    network.run()
    assert not publisher.read
    assert other.read
    assert other.say(BasicQos(prefetch_count=1)).take() == ["basic.qos-ok"]
    other.publish("q", b"now it publishes too")
    network.run()
    assert not other.read
    network.hosts["a"].frozen = False
    network.run()
    assert publisher.read
    assert other.read
    assert counts(publisher) == (12, 0)


@pytest.mark.parametrize("peer", ["a", "coordinator"])
@pytest.mark.parametrize("end", ["drained", "lost"])
def test_a_congested_link_pauses_those_that_publish(peer: str, end: str) -> None:
    network = running()
    publisher = declared(network.client("b").open())
    publisher.publish("q", b"m")
    other = network.client("b").open()
    host = network.hosts["b"]
    link = network.link("b", peer)
    host.step(WritingPaused(link))
    assert not publisher.read
    assert other.read
    if end == "drained":
        host.step(WritingResumed(link))
    else:
        host.close(link)
    network.wait(SECOND_US)
    assert publisher.read


def test_heartbeats_are_not_missed_by_a_client_that_we_do_not_read() -> None:
    network = running()
    publisher = declared(network.client("b", heartbeat_s=2).open())
    publisher.publish("q", b"m")
    network.run()
    host = network.hosts["b"]
    link = network.link("b", "a")
    host.step(WritingPaused(link))
    network.wait(60 * SECOND_US)
    assert not publisher.closed
    host.step(WritingResumed(link))
    network.wait(3 * SECOND_US)
    assert not publisher.closed, "it has its whole time again"
    network.wait(3 * SECOND_US)
    assert publisher.closed


def test_a_client_with_too_many_commands_waiting_is_not_read() -> None:
    network = running("a")
    network.coordinator.frozen = True
    client, other = network.client("a").open(), network.client("a").open()
    client.send(QueueDeclare(queue="q"), *[BasicQos(prefetch_count=1)] * 1000)
    network.run()
    assert client.read
    client.say(BasicQos(prefetch_count=1))
    assert not client.read
    assert other.read
    network.coordinator.frozen = False
    network.run()
    assert client.read
    assert client.take() == ["queue.declare-ok"] + ["basic.qos-ok"] * 1001


# --- slow readers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("consumes_at", ["a", "b"])
def test_a_client_that_does_not_read_gets_no_more_deliveries(consumes_at: str) -> None:
    network = running()
    publisher = declared(network.client("a").open())
    consumer = network.client(consumes_at).open()
    consumer.say(BasicConsume(queue="q", no_ack=True)).take()
    host = network.hosts[consumes_at]
    host.step(WritingPaused(consumer.link))
    network.run()
    publisher.publish("q", *[b"m" * 1000] * 500)
    network.run()
    assert consumer.bodies == []
    assert counts(publisher) == (500, 1)
    host.step(WritingResumed(consumer.link))
    network.run()
    assert len(consumer.bodies) == 500


def test_a_channel_that_is_opened_while_the_client_does_not_read_is_paused_too() -> None:
    network = running("a")
    client = declared(network.client("a").open())
    client.publish("q", b"m")
    client.host.step(WritingPaused(client.link))
    client.say(ChannelOpen(), BasicConsume(queue="q", no_ack=True), channel=2)
    assert client.take() == ["channel.open-ok", "basic.consume-ok"]
    client.host.step(WritingResumed(client.link))
    network.run()
    assert client.bodies == [b"m"]


def test_a_client_that_asks_and_does_not_read_is_not_read_in_the_end() -> None:
    network = running("a")
    client = declared(network.client("a").open())
    body = b"m" * 100_000
    client.publish("q", *[body] * 30)
    network.run()
    client.host.step(WritingPaused(client.link))
    for _ in range(30):
        client.say(BasicGet(queue="q", no_ack=True))
    assert not client.read
    assert len(client.bodies) == reading.UNREAD_BYTES_MAX // len(body) + 1
    client.host.step(WritingResumed(client.link))
    network.run()
    assert client.read
    assert client.bodies == [body] * 30


def test_one_read_of_gets_is_not_answered_in_one_step() -> None:
    """The same message again and again: twenty bytes for a megabyte."""
    network = running("a")
    client = declared(network.client("a").open())
    body = b"m" * 300_000
    client.publish("q", body)
    network.run()
    asked: list[Method] = []
    for tag in range(1, 51):
        asked += [BasicGet(queue="q"), BasicReject(delivery_tag=tag, requeue=True)]
    before = len(network.hosts["a"].steps)
    client.say(*asked)
    assert 3 <= len(client.bodies) <= 5, "the rest waits for the next step"
    client.host.step(WritingPaused(client.link))
    network.wait(SECOND_US)
    assert len(client.bodies) <= 5, "and for the client to read"
    client.host.step(WritingResumed(client.link))
    network.wait(SECOND_US)
    assert client.bodies == [body] * 50
    steps = network.hosts["a"].steps[before:]
    sent = [len(one.data) for effects in steps for one in effects if isinstance(one, SendBytes)]
    assert max(sent) < ANSWERS_BYTES_MAX + 2 * len(body)
    assert counts(client) == (1, 0)


def test_a_client_that_goes_while_it_is_held_back() -> None:
    network = running("a")
    client = declared(network.client("a").open())
    client.publish("q", *[b"m" * 600_000] * 3)
    client.say(*[BasicGet(queue="q")] * 4)
    assert len(client.bodies) == 2
    client.host.close(client.link)
    network.wait(SECOND_US)
    assert counts(network.client("a").open()) == (3, 0)


def test_a_client_that_is_gone_leaves_nothing_to_pause() -> None:
    network = running("a")
    client = declared(network.client("a").open())
    client.host.step(WritingPaused(client.link))
    client.host.close(client.link)
    network.run()
    watcher = network.client("a").open()
    assert counts(watcher) == (0, 0)
    assert watcher.say(QueueDelete(queue="q")).take() == ["queue.delete-ok"]
