"""Tests of the choice of a server."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import BackendSection, ServerLine
from rabbitry.balancer.servers import Check, Server
from rabbitry.machine import Address

PLACE = Address("127.0.0.1", 5672)
BAD = Check("L4CON", "Layer4 connection problem")


def backend(*lines: ServerLine, all_backups: bool = False) -> Backend:
    return Backend(BackendSection("l", 2, "tcp", servers=lines, all_backups=all_backups))


def line(name: str, **words: object) -> ServerLine:
    return ServerLine(name, PLACE, **{"check": True, **words})  # type: ignore[arg-type]


def take_down(each: Server) -> None:
    while each.is_up:
        each.checked(False, BAD, 0)


def chosen(servers: Backend, count: int) -> str:
    found = [servers.choose() for _ in range(count)]
    return "".join(each.name if each else "-" for each in found)


def test_sessions_go_round_among_the_usable() -> None:
    servers = backend(line("a"), line("b"), line("c"), line("d", weight=0))
    assert chosen(servers, 6) == "abcabc"
    take_down(servers.servers[1])
    assert chosen(servers, 4) == "acac"
    assert servers.counters.chosen_total == 10


def test_one_to_avoid_is_taken_only_alone() -> None:
    servers = backend(line("a"), line("b"))
    first, second = servers.servers
    assert servers.choose(avoid=first) is second
    take_down(second)
    assert servers.choose(avoid=first) is first


def test_backups_serve_only_while_nobody_else_can() -> None:
    lines = (line("a"), line("x", backup=True), line("y", backup=True))
    servers = backend(*lines)
    assert chosen(servers, 2) == "aa"
    take_down(servers.servers[0])
    assert chosen(servers, 2) == "xx"
    servers = backend(*lines, all_backups=True)
    take_down(servers.servers[0])
    assert chosen(servers, 2) == "xy"


def test_nobody_left() -> None:
    servers = backend(line("a"))
    servers.started(0)
    assert not servers.refresh(1)
    take_down(servers.servers[0])
    assert servers.refresh(2_000_000)
    assert not servers.refresh(3_000_000)
    assert chosen(servers, 1) == "-"
    assert (servers.changes.downs, servers.changes.down_us(5_000_000)) == (1, 3_000_000)
