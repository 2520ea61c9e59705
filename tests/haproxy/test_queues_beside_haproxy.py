"""Waiting for a server with room, beside HAProxy 2.6: maxconn, queues and what leaves them."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import play

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


def test_sessions_of_a_full_frontend_wait_at_the_door() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        name = links[0].line()
        side.pause(0.2)
        before = side.figures("scur", "stot", "slim")["FRONTEND"]
        links[0].close()
        return name, before, links[1].line()

    assert play(ONE % ("", "maxconn 1"), script) == ("s1", ["1", "1", "1"], "s1")
