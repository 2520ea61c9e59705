"""Finding a server that answers, beside HAProxy 2.6: refusals, retries, redispatch, none left."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.scripted_servers import (
    says,
)

ONE = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
    %s
"""
TWO = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
    server s2 127.0.0.1:{s2}
    %s
"""


def test_server_that_refuses() -> None:
    def script(side: Side) -> object:
        return (
            side.connect().ends(),
            side.told(1),
            side.figures("econ", "wretr", "wredis", "stot", "lbtot", "connect"),
        )

    assert play(ONE % "timeout connect 100", script, {"s1": None}) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 SC 1/1/0/0/3 0/0"],
        {
            "FRONTEND": ["", "", "", "1", "", ""],
            "s1": ["1", "3", "0", "4", "1", "4"],
            "BACKEND": ["1", "3", "0", "1", "1", "4"],
        },
    )


def test_server_that_refuses_without_retries() -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1), side.figures("econ", "wretr", "stot")

    assert play(ONE % "retries 0", script, {"s1": None}) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 SC 1/1/0/0/0 0/0"],
        {"FRONTEND": ["", "", "1"], "s1": ["1", "0", "1"], "BACKEND": ["1", "0", "1"]},
    )


def test_server_that_does_not_answer() -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1), side.figures("econ", "wretr", "stot")

    assert play(ONE % "timeout connect 150\n    retries 1", script, {"s1": "hangs"}) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 sC 1/1/0/0/1 0/0"],
        {"FRONTEND": ["", "", "1"], "s1": ["1", "1", "2"], "BACKEND": ["1", "1", "1"]},
    )


def test_client_that_goes_while_a_server_is_awaited() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        side.pause(0.2)
        link.reset()
        return side.told(1), side.figures("econ", "wretr", "cli_abrt")

    assert play(ONE % "", script, {"s1": "hangs"}) == (
        ["front front/s1 N/-1 0 CD 1/1/0/0/0 0/0"],
        {"FRONTEND": ["", "", ""], "s1": ["0", "0", "1"], "BACKEND": ["0", "0", "1"]},
    )


def test_client_that_says_it_is_done_while_a_server_is_awaited() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.send(b"x")
        link.finish()
        return link.ends(), side.told(1)

    text = ONE % "timeout connect 400\n    retries 0\n    option abortonclose"
    assert play(text, script, {"s1": "hangs"}) == (
        (b"", "fin"),
        ["front front/s1 N/-1 0 CC 1/1/0/0/0 0/0"],
    )


def test_retries_and_then_another_server() -> None:
    def script(side: Side) -> object:
        names = [side.reach() for _ in range(2)]
        return names, side.told(2), side.figures("econ", "wretr", "wredis", "stot", "lbtot")

    text = TWO % "timeout connect 100\n    retries 2\n    option redispatch"
    assert play(text, script, {"s1": None}) == (
        ["s2", "s2"],
        ["front front/s2 N/N 3 -- 1/1/0/0/+1 0/0", "front front/s2 N/N 3 -- 1/1/0/0/+1 0/0"],
        {
            "FRONTEND": ["", "", "", "2", ""],
            "s1": ["0", "0", "2", "2", "2"],
            "s2": ["0", "0", "0", "2", "2"],
            "BACKEND": ["0", "0", "2", "2", "4"],
        },
    )


def test_another_server_at_the_first_retry() -> None:
    def script(side: Side) -> object:
        names = [side.reach() for _ in range(3)]
        return names, side.told(3), side.figures("econ", "wretr", "wredis", "stot", "lbtot")

    text = TWO % "timeout connect 100\n    option redispatch 1"
    assert play(text, script, {"s1": None}) == (
        ["s2", "s2", "s2"],
        [
            "front front/s2 N/N 3 -- 1/1/0/0/+1 0/0",
            "front front/s2 N/N 3 -- 1/1/0/0/+1 0/0",
            "front front/s2 N/N 3 -- 1/1/0/0/+1 0/0",
        ],
        {
            "FRONTEND": ["", "", "", "3", ""],
            "s1": ["0", "0", "3", "3", "3"],
            "s2": ["0", "0", "0", "3", "3"],
            "BACKEND": ["0", "0", "3", "3", "6"],
        },
    )


def test_no_other_server_without_redispatch() -> None:
    def script(side: Side) -> object:
        ends = [side.connect().ends() for _ in range(2)]
        return ends, side.told(2), side.figures("econ", "wretr", "wredis")

    text = TWO % "timeout connect 100\n    retries 1"
    assert play(text, script, {"s1": None, "s2": says(b"s2")}) == (
        [(b"", "fin"), (b"s2", "fin")],
        ["front front/s1 N/-1 0 SC 1/1/0/0/1 0/0", "front front/s2 N/N 2 -- 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["", "", ""],
            "s1": ["1", "1", "0"],
            "s2": ["0", "0", "0"],
            "BACKEND": ["1", "1", "0"],
        },
    )


def test_all_servers_refuse() -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1), side.figures("econ", "wretr", "wredis")

    text = TWO % "timeout connect 100\n    option redispatch"
    assert play(text, script, {"s1": None, "s2": None}) == (
        (b"", "fin"),
        ["front front/s2 N/-1 0 SC 1/1/0/0/+3 0/0"],
        {
            "FRONTEND": ["", "", ""],
            "s1": ["0", "0", "2"],
            "s2": ["1", "0", "1"],
            "BACKEND": ["1", "0", "3"],
        },
    )


def test_no_server_is_left() -> None:
    def script(side: Side) -> object:
        side.notices(1, "has no server")
        ending = side.connect().ends()
        return ending, side.told(1), side.figures("status", "econ", "dresp", "stot", "wredis")

    text = ONE.replace("{s1}", "{s1} check inter 300ms fastinter 50ms") % ""
    assert play(text, script, {"s1": None}) == (
        (b"", "fin"),
        ["front front/<NOSRV> -1/-1 0 SC 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["OPEN", "", "0", "1", ""],
            "s1": ["DOWN", "0", "0", "0", "0"],
            "BACKEND": ["DOWN", "1", "0", "1", "0"],
        },
    )


def test_section_without_a_server() -> None:
    def script(side: Side) -> object:
        return side.connect().ends(), side.told(1)

    assert play("listen front\n    bind 127.0.0.1:{front}\n", script) == (
        (b"", "fin"),
        ["front front/<NOSRV> -1/-1 0 SC 1/1/0/0/0 0/0"],
    )
