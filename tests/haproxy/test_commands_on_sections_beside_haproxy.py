"""Frontends taken away and servers added by commands, beside HAProxy 2.6."""

# ruff: noqa: E501 - answers are as long as they are
from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.runtime_commands import PLAIN, TWO


def test_frontend_taken_away_for_a_while() -> None:
    def script(side: Side) -> object:
        answers = [side.ask("disable frontend front")]
        states = [side.figures("status")["FRONTEND"]]
        answers.append(side.ask("disable frontend front"))
        answers.append(side.ask("enable frontend front"))
        states.append(side.figures("status")["FRONTEND"])
        return answers, states, side.reach(), side.notices(2)

    assert play(PLAIN, script) == (
        ["", "All sockets are already disabled.", ""],
        [["PAUSED"], ["OPEN"]],
        "s1",
        ["Paused proxy front.", "Resumed proxy front."],
    )


def outcome(side: Side, place: str = "front") -> str:
    """Whom a new client of this place reaches, or that it is refused."""
    try:
        return side.connect(place).line()
    except ConnectionRefusedError:
        return "refused"


def test_clients_of_a_frontend_taken_away_for_a_while() -> None:
    """Who comes is refused, who waits is reset, who is served stays."""

    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        waits = side.connect()
        side.ask("disable frontend front")
        seen: list[object] = [waits.ends(), outcome(side)]
        link.send(b"x")
        seen.append(side.figures("scur", "stot"))
        link.close()
        side.sessions(1)
        seen.append(outcome(side))
        side.ask("enable frontend front")
        return [*seen, outcome(side)]

    seen = play(TWO % ("maxconn 1", "", ""), script)
    assert seen == [
        (b"", "rst"),
        "refused",
        {"FRONTEND": ["1", "1"], "s1": ["1", "1"], "s2": ["0", "0"], "BACKEND": ["1", "1"]},
        "refused",
        "s2",
    ]


def test_a_page_taken_away_for_a_while_and_for_good() -> None:
    def script(side: Side) -> object:
        seen: list[object] = []
        for command in ("disable", "enable", "shutdown"):
            side.ask(f"{command} frontend other")
            try:
                seen.append(side.get("/stats", "other")[0])
            except ConnectionRefusedError:
                seen.append("refused")
            seen.append(side.rows()["other", "FRONTEND"]["status"])
        return seen, side.notices(3)

    assert play(PLAIN + PAGE.format(words=""), script) == (
        ["refused", "PAUSED", 200, "OPEN", "refused", "STOP"],
        [
            "Paused frontend other.",
            "Resumed frontend other.",
            "Proxy other stopped (cumulated conns: FE: 1, BE: 0).",
        ],
    )


PAGE = """
frontend other
    bind 127.0.0.1:{{other}}
    mode http
    stats enable
    stats uri /stats
    {words}
"""


def test_sections_that_the_file_disables() -> None:
    """Nobody listens there, and no command changes that."""
    off = "listen off\n    disabled\n    bind 127.0.0.1:{off}\n    server s3 127.0.0.1:{s1}\n"

    def script(side: Side) -> object:
        names = ("off", "other")
        commands = [f"{what} frontend {name}" for name in names for what in STEPS]
        answers = [side.ask(command) for command in commands]
        return answers, [outcome(side, name) for name in names], outcome(side)

    answers, outcomes, served = play(PLAIN + off + PAGE.format(words="disabled"), script)
    assert outcomes == ["refused", "refused"]
    assert served == "s1"
    assert answers[:3] == [
        "Frontend was previously shut down, cannot disable.",
        "Frontend was previously shut down, cannot enable.",
        "Frontend was already shut down.",
    ]


STEPS = ("disable", "enable", "shutdown")


def test_frontend_taken_away_for_good() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        answer = side.ask("shutdown frontend front")
        link.send(b"x")
        echo = link.exactly(1)
        again = side.ask("enable frontend front")
        try:
            refused = side.connect().line()
        except ConnectionRefusedError:
            refused = "refused"
        return answer, echo, again, refused, side.figures("status"), side.notices(1)

    assert play(PLAIN, script) == (
        "",
        b"x",
        "Frontend was previously shut down, cannot enable.",
        "refused",
        {"FRONTEND": ["STOP"], "s1": ["no check"], "s2": ["no check"], "BACKEND": ["UP"]},
        ["Proxy front stopped (cumulated conns: FE: 1, BE: 1)."],
    )


def test_add_and_delete_a_server() -> None:
    def script(side: Side) -> object:
        port = side.names["s2"]
        answers = [side.ask(f"add server front/s3 127.0.0.1:{port} weight 2")]
        before = side.figures("status", "sid")
        answers.append(side.ask("enable server front/s3"))
        names = [side.reach() for _ in range(3)]
        answers.append(side.ask("del server front/s3"))
        answers.append(side.ask("disable server front/s3"))
        answers.append(side.ask("del server front/s3"))
        return answers, before, names, side.figures("status")

    text = "listen front\n    bind 127.0.0.1:{front}\n    server s1 127.0.0.1:{s1}\n    server s2 127.0.0.1:{s2} weight 0\n"
    assert play(text, script) == (
        [
            "New server registered.",
            "",
            "Only servers in maintenance mode can be deleted.",
            "",
            "Server deleted.",
        ],
        {
            "FRONTEND": ["OPEN", "0"],
            "s1": ["no check", "1"],
            "s2": ["no check", "2"],
            "s3": ["MAINT", "3"],
            "BACKEND": ["UP", "0"],
        },
        ["s1", "s2", "s2"],
        {"FRONTEND": ["OPEN"], "s1": ["no check"], "s2": ["no check"], "BACKEND": ["UP"]},
    )


def test_add_and_delete_server_mistakes() -> None:
    def script(side: Side) -> object:
        commands = (
            "add server front/s1 127.0.0.1:1",
            "add server front 127.0.0.1:1",
            "add server back/s3 127.0.0.1:1",
            "add server front/s3",
            "del server front/s1",
            "del server front/s9",
        )
        return [side.ask(command) for command in commands]

    assert play(PLAIN, script) == [
        "Already exists a server with the same name in backend.",
        "Require 'backend/server'.",
        "No such backend.",
        "'server' expects <name> and <addr>[:<port>] as arguments.",
        "Only servers in maintenance mode can be deleted.",
        "No such server.",
    ]
