"""The runtime socket, beside HAProxy 2.6: what commands answer, and what follows from them."""

# ruff: noqa: E501 - answers are as long as they are
from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.runtime_commands import PLAIN, STATE, TWO, after, said


def test_disable_and_enable_server() -> None:
    def script(side: Side) -> object:
        answers = [side.ask("disable server front/s1")]
        during = side.figures(*STATE), side.reach(), side.reach()
        answers.append(side.ask("enable server front/s1"))
        return answers, during, side.figures(*STATE), side.reach(), side.reach(), side.notices(2)

    assert play(PLAIN, script) == (
        ["", ""],
        (
            {
                "FRONTEND": ["OPEN", "", "", "", "", "1000"],
                "s1": ["MAINT", "1", "1", "1", "0", ""],
                "s2": ["no check", "1", "1", "1", "0", ""],
                "BACKEND": ["UP", "1", "1", "1", "0", "100"],
            },
            "s2",
            "s2",
        ),
        {
            "FRONTEND": ["OPEN", "", "", "", "", "1000"],
            "s1": ["no check", "1", "1", "1", "0", ""],
            "s2": ["no check", "1", "1", "1", "0", ""],
            "BACKEND": ["UP", "2", "2", "2", "0", "100"],
        },
        "s2",
        "s1",
        [
            "Server front/s1 is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "Server front/s1 is UP/READY (leaving forced maintenance).",
        ],
    )


def test_drain() -> None:
    """New clients go elsewhere, sessions stay."""

    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        answer = side.ask("set server front/s1 state drain")
        during = side.figures(*STATE), side.reach(), side.reach()
        link.send(b"x")
        echo = link.exactly(1)
        side.ask("set server front/s1 state ready")
        return name, answer, during, echo, side.figures(*STATE), side.notices(2, "front/s1")

    assert play(PLAIN, script) == (
        "s1",
        "",
        (
            {
                "FRONTEND": ["OPEN", "", "", "", "", "1000"],
                "s1": ["DRAIN", "1", "1", "1", "0", ""],
                "s2": ["no check", "1", "1", "1", "0", ""],
                "BACKEND": ["UP", "1", "1", "1", "0", "100"],
            },
            "s2",
            "s2",
        ),
        b"x",
        {
            "FRONTEND": ["OPEN", "", "", "", "", "1000"],
            "s1": ["no check", "1", "1", "1", "0", ""],
            "s2": ["no check", "1", "1", "1", "0", ""],
            "BACKEND": ["UP", "2", "2", "2", "0", "100"],
        },
        [
            "Server front/s1 enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "Server front/s1 is UP (leaving forced drain).",
        ],
    )


def test_maintenance() -> None:
    """Sessions stay here too."""

    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        side.ask("set server front/s1 state maint")
        during = side.figures(*STATE), side.reach(), side.reach()
        link.send(b"x")
        echo = link.exactly(1)
        side.ask("set server front/s1 state ready")
        return during, echo, side.figures(*STATE), side.notices(2, "front/s1")

    assert play(PLAIN, script) == (
        (
            {
                "FRONTEND": ["OPEN", "", "", "", "", "1000"],
                "s1": ["MAINT", "1", "1", "1", "0", ""],
                "s2": ["no check", "1", "1", "1", "0", ""],
                "BACKEND": ["UP", "1", "1", "1", "0", "100"],
            },
            "s2",
            "s2",
        ),
        b"x",
        {
            "FRONTEND": ["OPEN", "", "", "", "", "1000"],
            "s1": ["no check", "1", "1", "1", "0", ""],
            "s2": ["no check", "1", "1", "1", "0", ""],
            "BACKEND": ["UP", "2", "2", "2", "0", "100"],
        },
        [
            "Server front/s1 is going DOWN for maintenance. 1 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.",
            "Server front/s1 is UP/READY (leaving forced maintenance).",
        ],
    )


def test_drain_all_of_them() -> None:
    def script(side: Side) -> object:
        side.ask("set server front/s1 state drain", "set server front/s2 state drain")
        return side.connect().ends(), side.told(1), side.figures("status", "act"), side.notices(3)

    assert play(PLAIN, script) == (
        (b"", "fin"),
        ["front front/<NOSRV> -1/-1 0 SC 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["OPEN", ""],
            "s1": ["DRAIN", "1"],
            "s2": ["DRAIN", "1"],
            "BACKEND": ["DOWN", "0"],
        },
        [
            "Server front/s1 enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "Server front/s2 enters drain state. 0 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "proxy front has no server available!",
        ],
    )


def test_weight_of_a_server() -> None:
    seen = after("set server front/s1 weight 3", "get weight front/s1", "set weight front/s2 0")
    assert seen == (
        ["", "3 (initial 1)", ""],
        {
            "FRONTEND": ["OPEN", "", "", "", "", "1000"],
            "s1": ["no check", "3", "3", "1", "0", ""],
            "s2": ["no check", "0", "0", "1", "0", ""],
            "BACKEND": ["UP", "3", "3", "1", "0", "100"],
        },
        ["s1", "s1", "s1"],
    )


def test_weight_in_percent() -> None:
    text = TWO % ("", "weight 10", "weight 10")
    seen = after("set weight front/s1 50%", "get weight front/s1", text=text)
    assert seen == (
        ["", "5 (initial 10)"],
        {
            "FRONTEND": ["OPEN", "", "", "", "", "1000"],
            "s1": ["no check", "5", "5", "1", "0", ""],
            "s2": ["no check", "10", "10", "1", "0", ""],
            "BACKEND": ["UP", "15", "15", "2", "0", "100"],
        },
        ["s2", "s2", "s1"],
    )


def test_wrong_weights() -> None:
    seen = said(
        "set weight front/s1 257",
        "set weight front/s1 -1",
        "set weight front/s1 x",
        "set weight front/s1",
        "set weight front/s9 1",
        "set weight back/s1 1",
        "set weight s1 1",
        "get weight front/s9",
    )
    assert seen == [
        "Absolute weight can only be between 0 and 256 inclusive.",
        "Absolute weight can only be between 0 and 256 inclusive.",
        "Empty weight string empty or preceded by garbage",
        "Require <weight> or <weight%>.",
        "No such server.",
        "No such backend.",
        "Require 'backend/server'.",
        "No such server.",
    ]


def test_weight_with_static_rr() -> None:
    text = TWO % ("balance static-rr", "weight 10", "")
    assert said("set weight front/s1 5", "set weight front/s1 0", text=text) == [
        "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.",
        "",
    ]


def test_address_of_a_server() -> None:
    def script(side: Side) -> object:
        port = side.names["s2"]
        answers = [side.ask(f"set server front/s1 addr 127.0.0.1 port {port}")]
        answers.append(side.ask(f"set server front/s1 addr 127.0.0.1 port {port}"))
        return answers, side.reach(), side.reach()

    assert play(PLAIN, script) == (
        [
            "no need to change the addr, port changed from '{s1}' to '{s2}' by 'stats socket command'",
            "no need to change the addr, no need to change the port by 'stats socket command'",
        ],
        "s2",
        "s2",
    )


def test_health_by_hand() -> None:
    def script(side: Side) -> object:
        answers = [side.ask("set server front/s1 health down")]
        states = [side.figures("status", "act")]
        for health in ("stopping", "up"):
            answers.append(side.ask(f"set server front/s1 health {health}"))
            states.append(side.figures("status", "act"))
        return answers, states, side.notices(3, "front/s1")

    assert play(TWO % ("", "check inter 1h", ""), script) == (
        ["", "", ""],
        [
            {
                "FRONTEND": ["OPEN", ""],
                "s1": ["DOWN", "1"],
                "s2": ["no check", "1"],
                "BACKEND": ["UP", "1"],
            },
            {
                "FRONTEND": ["OPEN", ""],
                "s1": ["NOLB", "1"],
                "s2": ["no check", "1"],
                "BACKEND": ["UP", "1"],
            },
            {
                "FRONTEND": ["OPEN", ""],
                "s1": ["UP", "1"],
                "s2": ["no check", "1"],
                "BACKEND": ["UP", "2"],
            },
        ],
        [
            "Server front/s1 is DOWN, changed from CLI. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "Server front/s1 is stopping, changed from CLI. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "Server front/s1 is UP, changed from CLI. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        ],
    )


def test_checks_by_hand() -> None:
    def script(side: Side) -> object:
        answers = [side.ask("disable health front/s1")]
        states = [side.figures("status", "check_status", "act")]
        answers.append(side.ask("enable health front/s1"))
        states.append(side.figures("status", "act"))
        answers.append(side.ask("disable health front/s2"))
        answers.append(side.ask("enable health front/s2"))
        answers.append(side.ask("enable agent front/s1"))
        answers.append(side.ask("disable agent front/s1"))
        return answers, states

    assert play(TWO % ("", "check inter 1h", ""), script) == (
        [
            "",
            "",
            "",
            "Health check was not configured on this server, cannot enable.",
            "Agent was not configured on this server, cannot enable.",
            "",
        ],
        [
            {
                "FRONTEND": ["OPEN", "", ""],
                "s1": ["no check", "", "1"],
                "s2": ["no check", "", "1"],
                "BACKEND": ["UP", "", "2"],
            },
            {
                "FRONTEND": ["OPEN", ""],
                "s1": ["UP", "1"],
                "s2": ["no check", "1"],
                "BACKEND": ["UP", "2"],
            },
        ],
    )


def test_unknown_servers_and_commands() -> None:
    seen = said(
        "disable server front/s9",
        "disable server back/s1",
        "disable server s1",
        "disable server",
        "enable server front/s9",
        "set server front/s1",
        "set server front/s1 state sleeping",
        "set server front/s1 health ill",
        "set server front/s1 addr nowhere",
        "set server front/s1 colour red",
        "set server front/s9 state maint",
        "shutdown sessions server front/s9",
        "shutdown session 0x1",
        "disable frontend nowhere",
        "enable frontend front",
        "disable health front/s9",
    )
    assert seen == [
        "No such server.",
        "No such backend.",
        "Require 'backend/server'.",
        "Require 'backend/server'.",
        "No such server.",
        "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | check-port | fqdn | health | ssl | state | weight",
        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.",
        "'set server <srv> health' expects 'up', 'stopping', or 'down'.",
        "Invalid addr 'nowhere' by 'stats socket command'",
        "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | check-port | fqdn | health | ssl | state | weight",
        "No such server.",
        "No such server.",
        "No such session (use 'show sess').",
        "No such frontend.",
        "All sockets are already enabled.",
        "No such server.",
    ]


def test_sessions_of_a_server_are_ended() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        names = [link.line() for link in links]
        answer = side.ask("shutdown sessions server front/s1")
        ends = [links[0].ends(), links[2].ends()]
        links[1].send(b"x")
        return names, answer, ends, links[1].exactly(1), side.told(2)

    assert play(PLAIN, script) == (
        ["s1", "s2", "s1"],
        "",
        [(b"", "fin"), (b"", "fin")],
        b"x",
        ["front front/s1 N/N 3 K- 3/3/2/1/0 0/0", "front front/s1 N/N 3 K- 2/2/1/0/0 0/0"],
    )


def test_one_session_is_ended() -> None:
    def script(side: Side) -> object:
        link, other = side.connect(), side.connect()
        link.line()
        line = next(each for each in side.ask("show sess").splitlines() if "srv=s1" in each)
        answer = side.ask(f"shutdown session {line.partition(':')[0]}")
        return answer, link.ends(), other.line(), side.told(1)

    assert play(PLAIN, script) == (
        "",
        (b"", "fin"),
        "s2",
        ["front front/s1 N/N 3 K- 2/2/1/0/0 0/0"],
    )


def test_global_maxconn_by_hand() -> None:
    def script(side: Side) -> object:
        commands = (
            "set maxconn global 20",
            "set maxconn global x",
            "set maxconn server front/s1 4",
            "set maxconn server front/s9 4",
            "set maxconn fly",
        )
        answers = [side.ask(command) for command in commands]
        return answers, side.figures("slim")

    assert play(PLAIN, script) == (
        [
            "",
            "",
            "",
            "No such server.",
            "Unknown command, but maybe one of the following ones is a better match:\n  set maxconn frontend <frontend> <value> : change a frontend's maxconn setting\n  set maxconn global <value>              : change the per-process maxconn setting\n  set maxconn server <bk>/<srv>           : change a server's maxconn setting\n  help [<command>]                        : list matching or all commands\n  prompt                                  : toggle interactive mode with prompt\n  quit                                    : disconnect",
        ],
        {"FRONTEND": ["1000"], "s1": ["4"], "s2": [""], "BACKEND": ["100"]},
    )
