"""How servers are judged, beside HAProxy 2.6: checks, their order, agents, what follows."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play

TWO = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
    server s2 127.0.0.1:{s2} %s
"""
ONE = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
"""
QUICK = "check inter 300 fastinter 50 downinter 50 rise 2 fall 2"
CHECK = ("status", "check_status", "check_code", "last_chk", "check_desc")
COUNTS = ("chkfail", "chkdown", "check_rise", "check_fall", "check_health", "hanafail")


def checked(side: Side, *columns: str, name: str = "s1") -> list[str]:
    """These columns of a server once it has been checked."""
    found = side.figures_when(
        lambda rows: rows[name][0] not in ("", "INI") and not rows[name][0].startswith("*"),
        "check_status",
        *columns,
    )
    return found[name][1:]


def when(side: Side, status: str, *columns: str, name: str = "s1") -> list[str]:
    """These columns of a server once it has this status."""
    found = side.figures_when(lambda rows: rows[name][0] == status, "status", *columns)
    return found[name][1:]


def test_first_check_alone_may_take_a_server_down() -> None:
    """At its start a server is up for one failure only, whatever `fall` says."""

    def script(side: Side) -> object:
        side.notices(1, "is DOWN")
        return when(side, "DOWN", "chkfail", "chkdown", "check_fall")

    assert play(ONE % ("", "check inter 1s fall 5"), script, {"s1": None}) == ["1", "1", "5"]


def test_refused_is_told_as_such() -> None:
    def script(side: Side) -> object:
        return checked(side, *CHECK[1:])

    assert play(ONE % ("", QUICK), script, {"s1": None}) == [
        "L4CON",
        "",
        "Connection refused",
        "Layer4 connection problem",
    ]


def test_server_without_a_check() -> None:
    def script(side: Side) -> object:
        return side.figures(*CHECK, *COUNTS, "downtime", "lastchg")["s1"][:-1]

    assert play(ONE % ("", ""), script) == ["no check", "", "", "", "", "", "", "", "", "", "", ""]
