"""How servers are judged, beside HAProxy 2.6: checks, their order, agents, what follows."""

# ruff: noqa: E501 - lines of the log are as long as they are
from __future__ import annotations

import os
import re
import signal

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.health_states import CHECK, COUNTS, ONE, QUICK, TWO, checked, when
from support.scripted_servers import says


def test_server_that_goes_and_comes_again() -> None:
    def script(side: Side) -> object:
        names = [side.reach(), side.reach()]
        side.servers["s1"].go()
        side.notices(1, "Server front/s1 is DOWN")
        names += [side.reach(), side.reach()]
        side.servers["s1"].come()
        side.notices(1, "Server front/s1 is UP")
        names += [side.reach(), side.reach()]
        return names, side.notices(2, "Server"), side.figures("status", "chkdown", "act")

    assert play(TWO % ("", QUICK, QUICK), script) == (
        ["s1", "s2", "s2", "s2", "s2", "s1"],
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
            "Server front/s1 is UP, reason: Layer4 check passed, check duration: Nms. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        ],
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["UP", "1", "1"],
            "s2": ["UP", "0", "1"],
            "BACKEND": ["UP", "0", "2"],
        },
    )


def test_last_server_that_goes() -> None:
    def script(side: Side) -> object:
        side.servers["s1"].go()
        side.notices(2)
        side.servers["s1"].come()
        return (
            side.notices(3),
            when(side, "UP", "chkdown"),
            when(side, "UP", "chkdown", name="BACKEND"),
        )

    assert play(ONE % ("", QUICK), script) == (
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
            "proxy front has no server available!",
            "Server front/s1 is UP, reason: Layer4 check passed, check duration: Nms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        ],
        ["1"],
        ["1"],
    )


def test_server_that_was_never_there() -> None:
    def script(side: Side) -> object:
        notices = side.notices(2)
        return notices, when(side, "DOWN", *CHECK), when(side, "DOWN", *COUNTS[1:])

    assert play(ONE % ("", QUICK), script, {"s1": None}) == (
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
            "proxy front has no server available!",
        ],
        ["DOWN", "L4CON", "", "Connection refused", "Layer4 connection problem"],
        ["1", "2", "2", "0", ""],
    )


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


def test_unanswered_is_told_as_such() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:]), side.notices(1, "Server")

    text = ONE % ("timeout check 100", "check inter 100 fall 1")
    assert play(text, script, {"s1": "hangs"}) == (
        ["L4TOUT", "", "", "Layer4 timeout"],
        [
            "Server front/s1 is DOWN, reason: Layer4 timeout, check duration: Nms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue."
        ],
    )


def test_fine_is_told_as_such() -> None:
    def script(side: Side) -> object:
        return checked(side, *CHECK, *COUNTS)

    assert play(ONE % ("", QUICK), script) == [
        "UP",
        "L4OK",
        "",
        "",
        "Layer4 check passed",
        "0",
        "0",
        "2",
        "2",
        "3",
        "",
    ]


def test_status_on_the_way_down_and_up() -> None:
    """`UP 1/2` after a failure, `DOWN 1/2` after a success; the check that follows is quick."""

    def script(side: Side) -> object:
        checked(side, "status")
        side.servers["s1"].go()
        seen = [when(side, "UP 1/2", "check_health", "act")]
        side.notices(1, "is DOWN")
        side.servers["s1"].come()
        return [*seen, when(side, "DOWN 1/2", "check_health", "act")]

    assert play(ONE % ("", "check inter 200 fastinter 400 rise 2 fall 2"), script) == [
        ["2", "1"],
        ["1", "1"],
    ]


def test_checks_are_logged_when_asked_for() -> None:
    def script(side: Side) -> object:
        side.notices(1, "Health check")
        side.servers["s1"].go()
        return side.notices(4, "front/s1")

    text = ONE % ("option log-health-checks", QUICK)
    assert play(text, script) == [
        "Health check for server front/s1 succeeded, reason: Layer4 check passed, check duration: Nms, status: 2/2 UP.",
        'Health check for server front/s1 failed, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms, status: 1/2 UP.',
        'Health check for server front/s1 failed, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms, status: 0/2 DOWN.',
        "Server front/s1 is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
    ]


def test_check_at_another_port() -> None:
    def script(side: Side) -> object:
        side.notices(1, "is DOWN")
        return checked(side, *CHECK), side.connect().ends(), len(side.servers["s1"].arrivals)

    assert play(ONE % ("", QUICK + " port {judge}"), script, {"judge": None}) == (
        ["DOWN", "L4CON", "", "Connection refused", "Layer4 connection problem"],
        (b"", "fin"),
        0,
    )


def test_check_at_another_address() -> None:
    """Nobody listens there, so the server is down."""

    def script(side: Side) -> object:
        side.notices(1, "is DOWN")
        return checked(side, *CHECK), side.connect().ends()

    assert play(ONE % ("", QUICK + " addr 127.0.0.2"), script) == (
        ["DOWN", "L4CON", "", "Connection refused", "Layer4 connection problem"],
        (b"", "fin"),
    )


def test_tcp_check_that_is_closed() -> None:
    def script(side: Side) -> object:
        return when(side, "DOWN", *CHECK[1:])

    checks = """
    option tcp-check
    tcp-check send hello\\n
    tcp-check expect string good
    """
    assert play(ONE % (checks, QUICK), script, {"s1": says(b"goo")}) == [
        "L7RSP",
        "",
        "TCPCHK did not match content 'good' at step 2",
        "Layer7 invalid response",
    ]


def test_server_that_tracks_another() -> None:
    def script(side: Side) -> object:
        side.servers["s1"].go()
        side.notices(1, "Server front/s2 is DOWN")
        down = side.figures("status", "chkdown", "tracked")
        side.servers["s1"].come()
        side.notices(1, "Server front/s2 is UP")
        return down, side.notices(4, "Server"), side.figures("status", "act", "tracked")

    assert play(TWO % ("", QUICK, "track front/s1"), script) == (
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["DOWN", "1", ""],
            "s2": ["DOWN", "", "front/s1"],
            "BACKEND": ["DOWN", "1", ""],
        },
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 1 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
            "Server front/s2 is DOWN via front/s1. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "Server front/s1 is UP, reason: Layer4 check passed, check duration: Nms. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
            "Server front/s2 is UP via front/s1. 2 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.",
        ],
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["UP", "1", ""],
            "s2": ["UP", "1", "front/s1"],
            "BACKEND": ["UP", "2", ""],
        },
    )


def test_tracked_server_in_maintenance() -> None:
    def script(side: Side) -> object:
        side.ask("disable server front/s1")
        maint = side.figures("status", "act")
        side.ask("enable server front/s1")
        return maint, side.figures("status", "act")

    assert play(TWO % ("", "check inter 5s rise 2 fall 2", "track front/s1"), script) == (
        {
            "FRONTEND": ["OPEN", ""],
            "s1": ["MAINT", "1"],
            "s2": ["MAINT (via front/s1)", "1"],
            "BACKEND": ["DOWN", "0"],
        },
        {
            "FRONTEND": ["OPEN", ""],
            "s1": ["UP 1/2", "1"],
            "s2": ["UP 1/2", "1"],
            "BACKEND": ["UP", "2"],
        },
    )


def test_sessions_stay_where_nothing_is_said() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        side.servers["s1"].go()
        side.notices(1, "is DOWN")
        link.send(b"x")
        echo = link.exactly(1)
        link.close()
        return name, echo, side.told(1), side.notices(1, "Server")

    assert play(TWO % ("", QUICK, QUICK), script) == (
        "s1",
        b"x",
        ["front front/s1 N/N 4 -- 1/1/0/0/0 0/0"],
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 1 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.'
        ],
    )


def test_server_that_came_starts_slowly() -> None:
    """Its weight grows from a part to the whole."""

    def script(side: Side) -> object:
        checked(side)
        side.servers["s1"].go()
        side.notices(1, "is DOWN")
        side.servers["s1"].come()
        side.notices(1, "is UP")
        early, configured, throttle = side.figures("weight", "uweight", "throttle")["s1"]
        full = side.figures_when(lambda rows: rows["s1"][1] == "", "weight", "throttle")
        return int(early) < 50, configured, 0 < int(throttle) < 60, full["s1"]

    text = TWO % ("", QUICK + " weight 100 slowstart 1s", "weight 100")
    assert play(text, script) == (True, "100", True, ["100", ""])


def test_checked_server_in_maintenance_from_the_start() -> None:
    def script(side: Side) -> object:
        return side.figures(*CHECK, "act", "chkdown", "lastsess"), side.reach()

    assert play(TWO % ("", QUICK + " disabled", ""), script) == (
        {
            "FRONTEND": ["OPEN", "", "", "", "", "", "", ""],
            "s1": ["MAINT", "", "", "", "", "1", "0", "-1"],
            "s2": ["no check", "", "", "", "", "1", "", "-1"],
            "BACKEND": ["UP", "", "", "", "", "1", "0", "-1"],
        },
        "s2",
    )


def test_server_without_a_check() -> None:
    def script(side: Side) -> object:
        return side.figures(*CHECK, *COUNTS, "downtime", "lastchg")["s1"][:-1]

    assert play(ONE % ("", ""), script) == ["no check", "", "", "", "", "", "", "", "", "", "", ""]


def test_sessions_of_a_server_that_goes_down_are_ended() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        name = link.line()
        other = side.connect()
        other.line()
        side.servers["s1"].go()
        ending = link.rest()
        other.send(b"x")
        return name, ending, side.told(1), other.exactly(1), side.notices(1, "Server")

    shut = " on-marked-down shutdown-sessions"
    assert play(TWO % ("", QUICK + shut, QUICK + shut), script) == (
        "s1",
        (b"", "fin"),
        ["front front/s1 N/N 3 D- 2/2/1/0/0 0/0"],
        b"x",
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 1 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.'
        ],
    )


def test_sessions_at_backups_end_when_a_server_comes() -> None:
    def script(side: Side) -> object:
        side.notices(1, "s1 is DOWN")
        link = side.connect()
        name = link.line()
        side.servers["s1"].come()
        return name, link.ends(), side.told(1), side.reach(), side.notices(2, "Server")

    text = TWO % ("", QUICK + " on-marked-up shutdown-backup-sessions", "backup")
    assert play(text, script, {"s1": None}) == (
        "s2",
        (b"", "fin"),
        ["front front/s2 N/N 3 U- 1/1/0/0/0 0/0"],
        "s1",
        [
            'Server front/s1 is DOWN, reason: Layer4 connection problem, info: "Connection refused", check duration: Nms. 0 active and 1 backup servers left. Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue.',
            "Server front/s1 is UP, reason: Layer4 check passed, check duration: Nms. 1 active and 1 backup servers online. 0 sessions requeued, 0 total in queue.",
        ],
    )


def test_sighup_has_the_states_logged() -> None:
    """What is told of the section that clients come to; the page's own line differs by its use."""

    def script(side: Side) -> list[str]:
        side.notices(1, "s2 is DOWN")
        side.connect().line()
        assert side.process is not None
        os.kill(side.process, signal.SIGHUP)
        side.notices(1, "Proxy empty")
        lines = side.notices(1, "SIGHUP")
        # HAProxy has a client of HTTP of its own.
        return [line for line in lines if not re.search("roxy page|<HTTPCLIENT>", line)]

    text = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1}
    server s2 127.0.0.1:{s2} check inter 100 fall 1
    server s3 127.0.0.1:{s3} backup
backend spare
    server s1 127.0.0.1:{s1} disabled
    server s3 127.0.0.1:{s3} backup
backend empty
    server s1 127.0.0.1:{s1} disabled
"""
    assert play(text, script, {"s2": None})[4:5] == [
        "SIGHUP: Proxy front has 1 active servers and 1 backup servers available. "
        "Conn: act(FE+BE): 1+1, 0 pend (0 unass), tot(FE+BE): 1+1."
    ]


def test_failed_sessions_are_among_those_of_the_server_that_they_take_down() -> None:
    """Two are served and stay, the one that fails is counted too."""

    def script(side: Side) -> object:
        checked(side)
        stay = [side.connect() for _ in range(2)]
        for link in stay:
            link.line()
        side.servers["s1"].go()
        side.connect().ends()
        return side.notices(1, "is DOWN")

    words = "check inter 20s observe layer4 error-limit 1 on-error mark-down"
    (line,) = play(ONE % ("retries 0", words), script)
    assert ". 3 sessions active, " in line


def test_failed_sessions_count_where_observed() -> None:
    """`observe layer4`: connects that fail take the server down, without waiting for the check."""

    def script(side: Side) -> object:
        checked(side)
        side.servers["s1"].go()
        ends = [side.connect().ends() for _ in range(2)]
        side.notices(1, "is DOWN")
        return ends, side.notices(1, "Server"), when(side, "DOWN", *CHECK[1:], "hanafail")

    text = ONE % (
        "retries 0",
        "check inter 20s observe layer4 error-limit 2 on-error mark-down",
    )
    assert play(text, script) == (
        [(b"", "fin"), (b"", "fin")],
        [
            'Server front/s1 is DOWN, reason: Health analyze, info: "Detected 2 consecutive errors, last one was: L4 unsuccessful connection". 0 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.'
        ],
        [
            "HANA",
            "",
            "Detected 2 consecutive errors, last one was: L4 unsuccessful connection",
            "Health analyze",
            "1",
        ],
    )
