"""The statistics, beside HAProxy 2.6: rows and columns, the page, its admin, what exporters read."""

# ruff: noqa: E501 - rows are as long as they are
from __future__ import annotations

import base64

from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play
from support.scripted_servers import closes_after, says

TWO = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
    server s2 127.0.0.1:{s2} %s
"""
PLAIN = TWO % ("", "", "")
# What the clock decides.
TIMED = ("lastchg", "lastsess", "downtime", "check_duration", "agent_duration", "rate", "rate_max")
TIMED += ("conn_rate", "conn_rate_max", "req_rate", "req_rate_max")
TIMED += tuple(f"{which}time{more}" for which in "qcrt" for more in ("", "_max"))


def whole_rows(side: Side, proxy: str = "front") -> dict[str, dict[str, str]]:
    """All columns that say something, but those of the clock."""
    return {
        name: {key: value for key, value in row.items() if value and key not in TIMED}
        for (owner, name), row in side.rows().items()
        if owner == proxy
    }


def authorization(word: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(word.encode()).decode()}


def page_with(*lines: str) -> str:
    """The preamble with these lines in the section of the page."""
    more = "".join(f"    {line}\n" for line in lines)
    return PREAMBLE.replace("    stats enable\n", "    stats enable\n" + more)


def test_order_of_columns() -> None:
    def script(side: Side) -> object:
        return side.get("/stats;csv")[1].decode().splitlines()[0].split(",")

    assert play(PLAIN, script)[:8] == [
        "# pxname",
        "svname",
        "qcur",
        "qmax",
        "scur",
        "smax",
        "slim",
        "stot",
    ]


def test_sessions_under_way_are_in_the_rows() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        for link in links:
            link.line()
        return side.figures("scur", "smax", "stot", "lbtot", "conn_tot", "connect")

    assert play(PLAIN, script) == {
        "FRONTEND": ["3", "3", "3", "", "3", ""],
        "s1": ["2", "2", "2", "2", "", "2"],
        "s2": ["1", "1", "1", "1", "", "1"],
        "BACKEND": ["3", "3", "3", "3", "", "3"],
    }


def test_errors_and_aborts_are_told_apart() -> None:
    def script(side: Side) -> object:
        side.connect().ends()  # s1 refuses
        link = side.connect()  # s2
        link.line()
        link.send(b"abc")
        link.ends()
        side.connect().ends()
        reset = side.connect()
        reset.line()
        reset.reset()
        side.sessions(4)
        columns = (
            "stot",
            "econ",
            "eresp",
            "wretr",
            "wredis",
            "cli_abrt",
            "srv_abrt",
            "bin",
            "bout",
            "lbtot",
        )
        return side.figures(*columns), [line.state for line in side.sessions(4)]

    text = TWO % ("retries 0", "", "")
    assert play(text, script, {"s1": None, "s2": closes_after(3)}) == (
        {
            "FRONTEND": ["4", "", "", "", "", "", "", "3", "6", ""],
            "s1": ["2", "2", "0", "0", "0", "0", "0", "0", "0", "2"],
            "s2": ["2", "0", "0", "0", "0", "1", "0", "3", "6", "2"],
            "BACKEND": ["4", "2", "0", "0", "0", "1", "0", "3", "6", "4"],
        },
        ["SC", "--", "SC", "CD"],
    )


def test_rates_count_what_came_in_a_second() -> None:
    def script(side: Side) -> object:
        for _ in range(3):
            side.connect().ends()
        found = side.figures("rate_max", "conn_rate_max")
        return {
            name: [bool(value) and int(value) >= 1 for value in row] for name, row in found.items()
        }

    assert play(PLAIN, script, {"s1": says(b"x"), "s2": says(b"x")}) == {
        "FRONTEND": [True, True],
        "s1": [True, False],
        "s2": [True, False],
        "BACKEND": [True, False],
    }
