"""When no server can be had, beside HAProxy 2.6: who is refused, who waits, and what is said."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play

ONE = """
listen front
    bind 127.0.0.1:{front}
    %s
    server s1 127.0.0.1:{s1} %s
"""
TWO = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} check inter 100ms fall 1
    server s2 127.0.0.1:{s2} check inter 100ms fall 1
"""
CHECKED = "maxconn 1 check inter 200ms fall 1 rise 1"


def wait_queued(side: Side, count: int) -> None:
    """Until so many sessions wait."""
    side.figures_when(lambda found: found["BACKEND"][0] == str(count), "qcur")


def test_with_all_servers_down_clients_are_refused_at_once() -> None:
    def script(side: Side) -> object:
        side.notices(2, "is DOWN")
        ends = []
        for count in (1, 2):
            ends.append(side.connect().ends())
            side.told(count)
        return ends, side.told(2), side.figures("econ", "qmax", "stot", "status", "wretr")

    ends, told, figures = play(TWO, script, {"s1": None, "s2": None})
    assert ends == [(b"", "fin")] * 2
    assert told == ["front front/<NOSRV> -1/-1 0 SC 1/1/0/0/0 0/0"] * 2
    assert figures["BACKEND"] == ["2", "0", "2", "DOWN", "0"]


def test_who_waits_when_the_last_server_goes_waits_on_and_who_comes_is_refused() -> None:
    def script(side: Side) -> object:
        first = side.connect()
        assert first.line() == "s1"
        waiting = side.connect()
        wait_queued(side, 1)
        side.servers["s1"].go()
        side.notices(1, "is DOWN")
        late = side.connect().ends()
        return late, waiting.ends(), side.told(2), side.figures("qcur", "econ", "stot", "status")

    late, waited, told, figures = play(ONE % ("timeout queue 1500ms", CHECKED), script)
    assert late == waited == (b"", "fin")
    assert told == [
        "front front/<NOSRV> -1/-1 0 SC 3/3/2/0/0 0/0",
        "front front/<NOSRV> N/-1 0 sQ 2/2/1/0/0 0/1",
    ]
    assert figures["BACKEND"] == ["0", "2", "3", "DOWN"]


def test_who_waited_is_served_when_the_last_server_is_back() -> None:
    def script(side: Side) -> object:
        first = side.connect()
        assert first.line() == "s1"
        waiting = side.connect()
        wait_queued(side, 1)
        side.servers["s1"].go()
        side.notices(1, "is DOWN")
        side.servers["s1"].come()
        side.notices(1, "is UP")
        first.close()
        return waiting.line(), side.told(1)

    assert play(ONE % ("timeout queue 5s", CHECKED), script) == (
        "s1",
        ["front front/s1 N/N 3 -- 2/2/1/0/0 0/0"],
    )


def test_a_client_that_resets_while_its_server_does_not_answer() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        side.figures_when(lambda found: found["s1"][0] == "1", "scur")
        link.reset()
        return side.told(1), side.figures("stot", "cli_abrt", "econ", "wretr", "scur")

    told, figures = play(ONE % ("", ""), script, {"s1": "hangs"})
    assert told == ["front front/s1 N/-1 0 CD 1/1/0/0/0 0/0"]
    assert figures["s1"] == ["1", "1", "0", "0", "0"]
