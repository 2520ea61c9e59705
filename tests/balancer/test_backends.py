"""Tests of health, of the choice of a server, and of what is counted."""

from __future__ import annotations

from rabbitry.balancer.backends import Backend, Changes, Check, Counters, Server, seconds
from rabbitry.balancer.configuration_model import Listen, ServerLine
from rabbitry.machine import Address

PLACE = Address("127.0.0.1", 5672)
GOOD = Check("L4OK", "Layer4 check passed")
BAD = Check("L4CON", "Layer4 connection problem")


def server(**words: object) -> Server:
    line: dict[str, object] = {"check": True, **words}
    return Server(ServerLine("s", PLACE, **line))  # type: ignore[arg-type]


def backend(*lines: ServerLine, all_backups: bool = False) -> Backend:
    return Backend(Listen("l", "tcp", (), servers=lines, all_backups=all_backups))


def line(name: str, **words: object) -> ServerLine:
    return ServerLine(name, PLACE, **{"check": True, **words})  # type: ignore[arg-type]


def take_down(each: Server) -> None:
    while each.is_up:
        each.checked(False, BAD, 0)


def chosen(servers: Backend, count: int) -> str:
    found = [servers.choose() for _ in range(count)]
    return "".join(each.name if each else "-" for each in found)


def test_a_fresh_server_is_up_and_falls_at_the_first_failed_check() -> None:
    each = server(rise=2, fall=3)
    assert (each.status, each.is_up) == ("UP 1/3", True)
    assert each.checked(False, BAD, 0) == "down"
    assert (each.status, each.health, each.checks_failed) == ("DOWN", 0, 1)


def test_a_healthy_server_falls_after_fall_checks_and_rises_after_rise() -> None:
    each = server(rise=2, fall=3)
    story = [
        (each.checked(passed, GOOD if passed else BAD, 0), each.status)
        for passed in (True, False, False, False, False, True, True, True)
    ]
    assert story == [
        ("", "UP"),
        ("", "UP 2/3"),
        ("", "UP 1/3"),
        ("down", "DOWN"),
        ("", "DOWN"),
        ("", "DOWN 1/2"),
        ("up", "UP"),
        ("", "UP"),
    ]
    assert each.checks_failed == 3  # the one while it was down does not count


def test_a_failure_on_the_way_up_starts_again() -> None:
    each = server(rise=3, fall=1)
    take_down(each)
    for passed in (True, True, False):
        each.checked(passed, GOOD, 0)
    assert each.status == "DOWN"


def test_a_success_on_the_way_down_heals_wholly() -> None:
    each = server(rise=2, fall=3)
    for passed in (True, False, True):
        each.checked(passed, GOOD, 0)
    assert each.status == "UP"


def test_status_words() -> None:
    assert server(check=False).status == "no check"
    assert server(check=False, weight=0).status == "DRAIN"
    drained = server(weight=0)
    drained.checked(True, GOOD, 0)
    assert drained.status == "DRAIN"


def test_intervals_follow_the_state() -> None:
    each = server(inter_us=1, fastinter_us=2, downinter_us=3)
    assert each.check_interval_us == 2
    each.checked(True, GOOD, 0)
    assert each.check_interval_us == 1
    take_down(each)
    assert each.check_interval_us == 3
    assert server(inter_us=7).check_interval_us == 7


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


def test_time_down_adds_up() -> None:
    changes = Changes()
    for at, up in ((10, False), (15, True), (20, False), (20, False)):
        changes.become(up, at)
    assert changes.downs == 2
    assert changes.down_us(27) == 5 + 7


def test_counters_remember_the_most() -> None:
    counters = Counters()
    counters.assigned(1)
    counters.assigned(2)
    counters.sessions -= 2
    counters.assigned(3)
    assert (counters.sessions, counters.sessions_max, counters.sessions_total) == (1, 2, 3)
    assert counters.last_session_at == 3


def test_seconds_are_whole() -> None:
    assert seconds(2_999_999) == 2
