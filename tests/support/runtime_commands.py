"""Commands of the runtime socket, played to the balancer and to HAProxy, on one listing."""

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
PLAIN = TWO % ("", "", "")
STATE = ("status", "weight", "uweight", "act", "bck", "slim")


def after(*commands: str, text: str = PLAIN) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """What these commands answer, the state they leave, and whom three clients reach then."""

    def script(side: Side) -> tuple[list[str], dict[str, list[str]], list[str]]:
        answers = [side.ask(command) for command in commands]
        names = []
        for _ in range(3):
            link = side.connect()
            names.append(link.line())
            link.close()
        return answers, side.figures(*STATE), names

    return play(text, script)


def said(*commands: str, text: str = PLAIN) -> list[str]:
    """What these commands answer."""
    return play(text, lambda side: [side.ask(command) for command in commands])
