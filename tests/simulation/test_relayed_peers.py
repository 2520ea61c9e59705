"""Tests of scripted clients and servers, talking to each other without a balancer between."""

from __future__ import annotations

from random import Random

import pytest

from rabbitry.machine import Address, BytesReceived, Effect, LinkFinished, LinkOpened, SendBytes
from rabbitry.simulation.relayed_peers import ScriptedClients, ScriptedServer, stream
from rabbitry.simulation.world import World

SERVER = Address("server", 5672)


def talk(client_style: str, server_style: str) -> tuple[ScriptedClients, ScriptedServer]:
    world = World(3)
    clients = ScriptedClients(SERVER, [(5, client_style, 3000)], Random(1))
    server = ScriptedServer(4, [server_style])
    world.add_host("server", lambda *_: server, {SERVER.port: "amqp"})
    world.add_host("clients", lambda *_: clients)
    for name in ("server", "clients"):
        world.start(name)
    world.run_until(20_000_000)
    return clients, server


def test_streams_differ_by_key_and_go_on_where_they_were() -> None:
    assert stream(1, 0, 600)[100:200] == stream(1, 100, 100)
    assert stream(1, 0, 600) != stream(2, 0, 600)
    assert stream(1, 0, 0) == b""


@pytest.mark.parametrize(
    ("server_style", "extra"), [("answers", 0), ("greets", 700), ("long", 90_000)]
)
def test_who_behaves_hears_all(server_style: str, extra: int) -> None:
    clients, server = talk("polite", server_style)
    one, other = clients.conversations[0], server.conversations[0]
    assert (other.number, len(other.received)) == (0, 3004)
    assert other.received == bytes(4) + stream(0, 0, 3000)
    assert one.received == bytes([4]) + stream(1004, 0, 3004 + extra)
    assert one.ended == other.ended == "finished"


@pytest.mark.parametrize(
    ("client_style", "server_style", "client_end", "server_end"),
    [
        ("breaks", "answers", "left", "broken"),
        ("leaves", "answers", "left", "finished"),
        ("polite", "resets", "broken", "left"),
        ("waits", "closes", "finished", "finished"),
        ("silent", "hangs", "", ""),
    ],
)
def test_others_end_as_they_are_told(
    client_style: str, server_style: str, client_end: str, server_end: str
) -> None:
    clients, server = talk(client_style, server_style)
    one, other = clients.conversations[0], server.conversations[0]
    assert (one.ended, other.ended) == (client_end, server_end)


def test_styles_of_a_server_take_turns() -> None:
    server = ScriptedServer(1, ["answers", "greets"])
    sent: list[list[Effect]] = [
        server.step(LinkOpened(link, "amqp", Address("h", 1)), 0) for link in range(1, 4)
    ]
    assert [len(effects) for effects in sent] == [0, 1, 0]
    (answer,) = server.step(BytesReceived(1, b"abcd"), 0)
    assert answer == SendBytes(1, b"\x01" + stream(1001, 0, 4))
    server.step(LinkFinished(1), 0)
    assert server.conversations[0].finish_received
