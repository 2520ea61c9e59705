"""Waiting for a server with room, beside HAProxy 2.6: maxconn, queues and what leaves them."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play
from support.scripted_servers import closes_after

ONE = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} %s
    %s
"""
TWO = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} maxconn 1 %s
    server s2 127.0.0.1:{s2} maxconn 1 %s
    %s
"""


def wait_queued(side: Side, count: int, name: str = "BACKEND") -> None:
    """Until so many sessions wait."""
    side.figures_when(lambda found: found[name][0] == str(count), "qcur")


def test_second_session_waits_for_the_first() -> None:
    def script(side: Side) -> object:
        first, second = side.connect(), side.connect()
        name = first.line()
        wait_queued(side, 1)
        during = side.figures("qcur", "qmax", "scur", "smax", "slim", "stot")
        first.close()
        second_name = second.line()
        second.close()
        return (
            name,
            second_name,
            during,
            side.told(2),
            side.figures("qcur", "qmax", "lbtot", "stot"),
        )

    assert play(ONE % ("maxconn 1", ""), script) == (
        "s1",
        "s1",
        {
            "FRONTEND": ["", "", "2", "2", "1000", "2"],
            "s1": ["0", "0", "1", "1", "1", "1"],
            "BACKEND": ["1", "1", "2", "2", "100", "2"],
        },
        ["front front/s1 N/N 3 -- 2/2/1/0/0 0/0", "front front/s1 N/N 3 -- 1/1/0/0/0 0/1"],
        {
            "FRONTEND": ["", "", "", "2"],
            "s1": ["0", "0", "1", "2"],
            "BACKEND": ["0", "1", "1", "2"],
        },
    )


def test_sessions_leave_the_queue_in_order() -> None:
    def script(side: Side) -> object:
        links = [side.connect()]
        links[0].line()
        for count in range(1, 4):
            links.append(side.connect())
            wait_queued(side, count)
        for count, link in enumerate(links, start=1):
            link.send(str(count).encode())
            link.rest()
            link.close()
        return [each.wait()[0] for each in side.servers["s1"].arrivals], side.told(4)

    assert play(ONE % ("maxconn 1", ""), script, {"s1": closes_after(1)}) == (
        [b"1", b"2", b"3", b"4"],
        [
            "front front/s1 N/N 3 -- 4/4/3/0/0 0/0",
            "front front/s1 N/N 3 -- 3/3/2/0/0 0/1",
            "front front/s1 N/N 3 -- 2/2/1/0/0 0/2",
            "front front/s1 N/N 3 -- 1/1/0/0/0 0/3",
        ],
    )


def test_session_that_waits_too_long() -> None:
    def script(side: Side) -> object:
        side.connect().line()
        return side.connect().ends(), side.told(1), side.figures("econ", "eresp", "qmax", "stot")

    assert play(ONE % ("maxconn 1", "timeout queue 200"), script) == (
        (b"", "fin"),
        ["front front/<NOSRV> N/-1 0 sQ 2/2/1/0/0 0/1"],
        {
            "FRONTEND": ["", "", "", "2"],
            "s1": ["0", "0", "0", "1"],
            "BACKEND": ["1", "0", "1", "2"],
        },
    )


def test_without_a_queue_timeout_the_connect_timeout_holds() -> None:
    def script(side: Side) -> object:
        side.connect().line()
        return side.connect().ends(), side.told(1)

    assert play(ONE % ("maxconn 1", "timeout connect 200"), script) == (
        (b"", "fin"),
        ["front front/<NOSRV> N/-1 0 sQ 2/2/1/0/0 0/1"],
    )


def test_client_that_leaves_the_queue() -> None:
    def script(side: Side) -> object:
        first, second, third = side.connect(), None, None
        first.line()
        second = side.connect()
        wait_queued(side, 1)
        third = side.connect()
        wait_queued(side, 2)
        second.reset()
        side.sessions(1)
        first.close()
        name = third.line()
        third.close()
        return name, side.told(3), side.figures("cli_abrt", "econ", "stot")

    assert play(ONE % ("maxconn 1", "option abortonclose"), script) == (
        "s1",
        [
            "front front/<NOSRV> N/-1 0 CD 3/3/2/0/0 0/1",
            "front front/s1 N/N 3 -- 2/2/1/0/0 0/0",
            "front front/s1 N/N 3 -- 1/1/0/0/0 0/1",
        ],
        {"FRONTEND": ["", "", "3"], "s1": ["0", "0", "2"], "BACKEND": ["1", "0", "3"]},
    )


def test_client_that_says_it_is_done_leaves_the_queue() -> None:
    def script(side: Side) -> object:
        first = side.connect()
        first.line()
        second = side.connect()
        wait_queued(side, 1)
        second.finish()
        ending = second.ends()
        side.sessions(1)
        first.close()
        return ending, side.told(2)

    assert play(ONE % ("maxconn 1", ""), script) == (
        (b"", "fin"),
        ["front front/<NOSRV> N/-1 0 CQ 2/2/1/0/0 0/1", "front front/s1 N/N 3 -- 1/1/0/0/0 0/0"],
    )


def test_all_servers_are_full() -> None:
    """What waits at the backend takes the first server that has room."""

    def script(side: Side) -> object:
        links = [side.connect() for _ in range(2)]
        names = [link.line() for link in links]
        third = side.connect()
        wait_queued(side, 1)
        links[1].close()
        names.append(third.line())
        third.close()
        side.told(2)  # else it depends on the machine which of the last two ends first
        links[0].close()
        return names, side.told(3), side.figures("qcur", "qmax", "smax")

    assert play(TWO % ("", "", ""), script) == (
        ["s1", "s2", "s2"],
        [
            "front front/s2 N/N 3 -- 3/3/2/0/0 0/0",
            "front front/s2 N/N 3 -- 2/2/1/0/0 0/1",
            "front front/s1 N/N 3 -- 1/1/0/0/0 0/0",
        ],
        {
            "FRONTEND": ["", "", "3"],
            "s1": ["0", "0", "1"],
            "s2": ["0", "0", "1"],
            "BACKEND": ["0", "1", "3"],
        },
    )


def test_full_server_is_passed_over() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(4)]
        return [link.line() for link in links], side.figures("scur", "qmax")

    assert play(TWO.replace("s2} maxconn 1", "s2} maxconn 3") % ("", "", ""), script) == (
        ["s1", "s2", "s2", "s2"],
        {"FRONTEND": ["4", ""], "s1": ["1", "0"], "s2": ["3", "0"], "BACKEND": ["4", "0"]},
    )


def test_leastconn_with_full_servers() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(4)]
        names = [link.line() for link in links]
        fifth = side.connect()
        wait_queued(side, 1)
        links[2].close()
        return names, fifth.line()

    text = TWO.replace("s2} maxconn 1", "s2} maxconn 3") % ("", "", "balance leastconn")
    assert play(text, script) == (["s1", "s2", "s2", "s2"], "s2")


def test_full_queue_refuses() -> None:
    def script(side: Side) -> object:
        name = side.connect().line()
        side.connect()
        wait_queued(side, 1, name)
        ending = side.connect().ends()
        return name, ending, side.told(1), side.figures("qcur", "qmax", "qlimit", "econ")

    text = TWO % ("maxqueue 1", "maxqueue 1", "balance source")
    assert play(text, script) == (
        "s2",
        (b"", "fin"),
        ["front front/s2 -1/-1 0 SQ 3/3/2/1/0 0/0"],
        {
            "FRONTEND": ["", "", "", ""],
            "s1": ["0", "0", "1", "0"],
            "s2": ["1", "1", "1", "1"],
            "BACKEND": ["0", "0", "", "1"],
        },
    )


def test_source_waits_for_its_own_server() -> None:
    def script(side: Side) -> object:
        first = side.connect()
        name = first.line()
        second = side.connect()
        wait_queued(side, 1, name)
        during = side.figures("qcur", "scur")
        first.close()
        again = second.line()
        second.close()
        return name, again, during, side.told(2)

    assert play(TWO % ("", "", "balance source"), script) == (
        "s2",
        "s2",
        {"FRONTEND": ["", "2"], "s1": ["0", "0"], "s2": ["1", "1"], "BACKEND": ["0", "2"]},
        ["front front/s2 N/N 3 -- 2/2/1/0/0 0/0", "front front/s2 N/N 3 -- 1/1/0/0/0 1/0"],
    )


def test_queue_of_a_server_that_goes_down_is_dealt_out() -> None:
    def script(side: Side) -> object:
        first = side.connect()
        name = first.line()
        second = side.connect()
        wait_queued(side, 1, name)
        side.servers[name].go()
        side.notices(1, "DOWN")
        other = second.line()
        second.close()
        return name, other, side.told(1)

    text = TWO % (
        "check inter 300 fastinter 50",
        "check inter 300 fastinter 50",
        "balance source\n    option redispatch",
    )
    assert play(text, script) == ("s2", "s1", ["front front/s1 N/N 3 -- 2/2/1/0/+0 1/0"])


def test_queue_moves_when_maxconn_is_raised() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        name = links[0].line()
        wait_queued(side, 2)
        answer = side.ask("set maxconn server front/s1 3")
        return answer, name, links[1].line(), links[2].line(), side.figures("slim", "scur", "qcur")

    assert play(ONE % ("maxconn 1", ""), script) == (
        "",
        "s1",
        "s1",
        "s1",
        {"FRONTEND": ["1000", "3", ""], "s1": ["3", "3", "0"], "BACKEND": ["100", "3", "0"]},
    )


def test_sessions_of_a_full_frontend_wait_at_the_door() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        name = links[0].line()
        side.pause(0.2)
        before = side.figures("scur", "stot", "slim")["FRONTEND"]
        links[0].close()
        return name, before, links[1].line()

    assert play(ONE % ("", "maxconn 1"), script) == ("s1", ["1", "1", "1"], "s1")


def test_process_wide_maxconn() -> None:
    def script(side: Side) -> object:
        first, second = side.connect(), side.connect()
        name = first.line()
        side.pause(0.2)
        first.close()
        return name, second.line(), side.told(1)

    text = "global\n    maxconn 1\n" + ONE % ("", "")
    assert play(text, script) == ("s1", "s1", ["front front/s1 N/N 3 -- 2/2/1/1/0 0/0"])


def test_server_maxconn_from_minconn_and_fullconn() -> None:
    """With few sessions in all, a server takes but minconn of them."""

    def script(side: Side) -> object:
        links = [side.connect() for _ in range(4)]
        names = [links[0].line(), links[1].line()]
        wait_queued(side, 2)
        return names, side.figures("qcur", "scur", "slim")

    assert play(ONE % ("minconn 2 maxconn 100", "fullconn 1000"), script) == (
        ["s1", "s1"],
        {"FRONTEND": ["", "4", "1000"], "s1": ["0", "2", "100"], "BACKEND": ["2", "4", "1000"]},
    )
