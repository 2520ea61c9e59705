"""A node alone: the same node, its coordinator in the same machine, the catalog in its store."""

from __future__ import annotations

import pytest
from support.coordination_network import COORDINATOR, Client, Host, Network
from support.coordination_stage import SECRET, Counted

from rabbitry.machine import (
    Asked,
    Commit,
    Committed,
    OpenLink,
    Report,
    SendBytes,
    SetTimer,
    Started,
)
from rabbitry.node import NodeSettings
from rabbitry.standalone import StandaloneNode
from rabbitry.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicProperties,
    BasicPublish,
    ChannelClose,
    ConfirmSelect,
    ExchangeDeclare,
    Method,
    QueueBind,
    QueueDeclare,
)

SECOND_US = 1_000_000


def alone(incarnation: str = "1", kept: dict[bytes, bytes] | None = None) -> tuple[Network, Host]:
    network = Network()
    network.hosts.clear()
    settings = NodeSettings("alone", incarnation, SECRET, COORDINATOR)
    host = Host(network, "alone", StandaloneNode(settings, Counted()))
    network.hosts["alone"] = host
    host.kept = dict(kept or {})
    host.inbox.append(Started(sorted(host.kept.items())))
    network.run()
    return network, host


def declared(client: Client, queue: str = "q", *, exclusive: bool = False) -> Client:
    client.say(QueueDeclare(queue=queue, durable=True, exclusive=exclusive))
    assert client.take() == ["queue.declare-ok"]
    return client


@pytest.mark.parametrize(
    ("end", "answers"),
    [
        (
            BasicCancel(consumer_tag="c"),
            ["queue.declare-ok", "basic.consume-ok", "basic.cancel-ok"],
        ),
        (ChannelClose(), ["channel.close-ok"]),  # a client that closes hears nothing else
    ],
)
def test_a_consumer_may_end_with_the_bytes_that_began_it(end: Method, answers: list[str]) -> None:
    network, _ = alone()
    client = declared(network.client("alone").open())
    client.publish("q", b"one", b"two")
    # What waits for the answer to a declaration is carried out inside that answer.
    client.say(QueueDeclare(queue="r"), BasicConsume(queue="q", consumer_tag="c"), end)
    assert client.take() == answers
    other = network.client("alone").open()
    other.say(QueueDeclare(queue="q", passive=True), BasicConsume(queue="q"))
    other.take()
    assert other.bodies == [b"one", b"two"]


def test_it_serves_as_soon_as_it_has_started() -> None:
    network, _ = alone()
    client = declared(network.client("alone").open())
    client.say(ConfirmSelect(), ExchangeDeclare(exchange="x", type="topic"))
    client.say(QueueBind(queue="q", exchange="x", routing_key="a.*"), BasicConsume(queue="q"))
    client.take()
    client.publish("q", b"one", b"two")
    network.run()
    assert client.bodies == [b"one", b"two"]
    assert sorted(client.take()) == ["basic.ack", "basic.deliver", "basic.deliver"]


def test_the_world_hears_nothing_of_the_imagined_link() -> None:
    network, host = alone()
    declared(network.client("alone").open())
    network.wait(10 * SECOND_US)
    effects = [effect for step in host.steps for effect in step]
    assert not [effect for effect in effects if isinstance(effect, OpenLink)]
    links = {effect.link for effect in effects if isinstance(effect, SendBytes)}
    assert links == {1}
    timers = {effect.timer for effect in effects if isinstance(effect, SetTimer)}
    assert timers == {"tick", "coordinator/tick"}
    levels = {effect.level for effect in effects if isinstance(effect, Report)}
    assert levels <= {"info", "debug"}


def test_commits_are_numbered_upwards_and_no_step_has_two() -> None:
    network, host = alone()
    client = network.client("alone").open()
    before = len(host.steps)
    client.send(*[QueueDeclare(queue=f"q{number}") for number in range(50)])
    network.run()
    assert client.take() == ["queue.declare-ok"] * 50
    commits = [one for step in host.steps[before:] for one in step if isinstance(one, Commit)]
    assert commits
    numbers = [commit.commit for commit in commits]
    assert numbers == sorted(set(numbers))


def test_nothing_is_answered_before_it_is_durable() -> None:
    network, host = alone()
    client = network.client("alone").open()
    client.send(QueueDeclare(queue="q"))
    while host.inbox:
        event = host.inbox.popleft()
        if isinstance(event, Committed):
            assert client.take() == []
        host.take(event)
    assert client.take() == ["queue.declare-ok"]
    assert host.kept


def test_the_catalog_outlives_the_process() -> None:
    network, host = alone()
    client = declared(network.client("alone").open())
    declared(client, "mine", exclusive=True)
    for name, durable in (("x", True), ("transient", False)):
        client.say(ExchangeDeclare(exchange=name, type="fanout", durable=durable))
        client.say(QueueBind(queue="q", exchange=name))
    client.say(QueueDeclare(queue="transient")).take()
    client.publish("q", b"lost with the process, as all is in memory so far")
    network.run()
    network, host = alone("2", host.kept)
    client = network.client("alone").open().say(QueueDeclare(queue="q", passive=True))
    assert client.take() == ["queue.declare-ok"]
    client.say(BasicConsume(queue="q")).take()
    method = BasicPublish(exchange="x", routing_key="")
    client.endpoint.send_content(1, method, BasicProperties(), b"routed")
    client.flush()
    network.run()
    assert client.bodies == [b"routed"]
    assert client.take() == ["basic.deliver"]
    catalog = host.machine._coordinator.catalog
    assert [entry.declared.name for entry in catalog.queues.values()] == ["q"]
    assert catalog.find_exchange("/", "transient") is None
    assert not [one for one in host.reports if one.level == "warning"]


def test_status_and_shutdown() -> None:
    network, host = alone()
    client = declared(network.client("alone").open())
    client.publish("q", b"one")
    network.run()
    host.inbox.append(Asked(1, "status"))
    network.run()
    assert host.answers[1]["nodes"] == [{"name": "alone", "state": "running", "alarms": []}]
    (queue,) = host.answers[1]["queues"]
    assert (queue["leader"], queue["messages"], queue["mirrors"]) == ("alone", 1, [])
    host.inbox.append(Asked(2, "shutdown"))
    network.run()
    assert client.closed
    assert host.answers[2] is None


def test_it_does_not_lose_itself_over_time() -> None:
    network, host = alone()
    client = declared(network.client("alone", heartbeat_s=0).open())
    network.wait(3600 * SECOND_US)
    client.publish("q", b"m")
    network.run()
    host.inbox.append(Asked(1, "status"))
    network.run()
    assert host.answers[1]["queues"][0]["messages"] == 1
