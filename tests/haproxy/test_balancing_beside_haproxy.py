"""Which server a connection reaches, beside HAProxy 2.6: algorithms, weights, backups."""

from __future__ import annotations

from support.balancer_sides import Side
from support.beside_haproxy import Script, play

THREE = """
listen front
    bind 127.0.0.1:{front}
    balance %s
    server s1 127.0.0.1:{s1} %s
    server s2 127.0.0.1:{s2} %s
    server s3 127.0.0.1:{s3} %s
"""


def reach(count: int) -> Script[list[str]]:
    return lambda side: [side.reach() for _ in range(count)]


def hold(count: int) -> Script[list[str]]:
    """So many connections that stay."""
    return lambda side: [side.connect().line() for _ in range(count)]


def come_from(*hosts: int) -> Script[list[str]]:
    """A connection from each 127.0.0.HOST."""
    return lambda side: [side.reach(source=f"127.0.0.{host}") for host in hosts]


def test_roundrobin_goes_round() -> None:
    seen = play(THREE % ("roundrobin", "", "", ""), reach(7))
    assert seen == ["s1", "s2", "s3", "s1", "s2", "s3", "s1"]


def test_weight_zero_gets_nothing() -> None:
    seen = play(THREE % ("roundrobin", "weight 0", "", ""), reach(4))
    assert seen == ["s2", "s3", "s2", "s3"]


def test_several_addresses_of_one_section() -> None:
    def script(side: Side) -> object:
        return [side.reach("front"), side.reach("side"), side.reach("more")]

    text = """
    listen front
        bind 127.0.0.1:{front},127.0.0.1:{side}
        bind 127.0.0.1:{more}
        server s1 127.0.0.1:{s1}
        server s2 127.0.0.1:{s2}
    """
    assert play(text, script) == ["s1", "s2", "s1"]
