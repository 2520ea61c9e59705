"""Tests of the choice of a server."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import BackendSection, Balance, ServerLine
from rabbitry.balancer.servers import Operating, Server
from rabbitry.machine import Address

PLACE = Address("127.0.0.1", 5672)


def backend(*lines: ServerLine, all_backups: bool = False) -> Backend:
    return Backend(BackendSection("l", 2, "tcp", servers=lines, all_backups=all_backups))


def line(name: str, **words: object) -> ServerLine:
    return ServerLine(name, PLACE, **{"check": True, **words})  # type: ignore[arg-type]


def change(servers: Backend, at: int, operating: Operating) -> None:
    servers.servers[at].operating = operating
    servers.server_changed(servers.servers[at])


def chosen(servers: Backend, count: int) -> str:
    found = [servers.choose() for _ in range(count)]
    return "".join(each.name if each else "-" for each in found)


def test_sessions_go_round_among_the_usable() -> None:
    servers = backend(line("a"), line("b"), line("c"), line("d", weight=0))
    assert chosen(servers, 6) == "abcabc"
    change(servers, 1, Operating.STOPPED)
    assert chosen(servers, 4) == "acac"
    assert servers.counters.chosen_total == 10


def test_one_to_avoid_is_taken_only_alone() -> None:
    servers = backend(line("a"), line("b"))
    first, second = servers.servers
    assert servers.choose(avoid=first) is second
    change(servers, 1, Operating.STOPPED)
    assert servers.choose(avoid=first) is first


def test_backups_serve_only_while_nobody_else_can() -> None:
    lines = (line("a"), line("x", backup=True), line("y", backup=True))
    servers = backend(*lines)
    assert chosen(servers, 2) == "aa"
    change(servers, 0, Operating.STOPPED)
    assert chosen(servers, 2) == "xx"
    servers = backend(*lines, all_backups=True)
    change(servers, 0, Operating.STOPPED)
    assert chosen(servers, 2) == "xy"


def test_nobody_left() -> None:
    servers = backend(line("a"))
    servers.started(0)
    assert not servers.refresh(1)
    change(servers, 0, Operating.STOPPED)
    assert servers.refresh(2_000_000)
    assert not servers.refresh(3_000_000)
    assert chosen(servers, 1) == "-"
    assert (servers.changes.downs, servers.changes.down_us(5_000_000)) == (1, 3_000_000)


def test_who_waits_for_a_full_backend_is_not_overtaken() -> None:
    servers = backend(line("a", maxconn=1))
    servers.counters.sessions = 2
    servers.queued = 1
    assert servers.choose() is None
    servers.queued = 0
    assert servers.choose() is servers.servers[0]


def test_servers_can_be_added_and_taken_away() -> None:
    servers = backend(line("a"))
    added = Server(line("b"), 2, "l")
    servers.add_server(added)
    assert sorted(chosen(servers, 4)) == list("aabb")
    added.operating = Operating.STOPPED
    servers.server_changed(added)
    servers.remove_server(added)
    assert chosen(servers, 2) == "aa"


def test_the_source_decides_where_it_is_asked_to() -> None:
    section = BackendSection(
        "l", 2, "tcp", servers=(line("a"), line("b")), balance=Balance("source")
    )
    servers = Backend(section)
    first = servers.choose(source=b"\x0a\x00\x00\x01")
    assert first is servers.choose(source=b"\x0a\x00\x00\x01")
    assert first is not servers.choose(source=b"\x0a\x00\x00\x02")
