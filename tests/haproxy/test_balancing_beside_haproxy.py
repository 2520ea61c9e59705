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


def test_roundrobin_with_weights() -> None:
    seen = play(THREE % ("roundrobin", "weight 3", "weight 1", "weight 2"), reach(12))
    assert seen == ["s1", "s3", "s1", "s2", "s1", "s3", "s1", "s3", "s1", "s2", "s1", "s3"]


def test_roundrobin_with_large_weights() -> None:
    seen = play(THREE % ("roundrobin", "weight 256", "weight 128", "weight 1"), reach(12))
    assert seen == ["s1", "s1", "s2", "s1", "s1", "s2", "s1", "s1", "s2", "s1", "s1", "s2"]


def test_roundrobin_is_what_balances_unless_told() -> None:
    text = THREE.replace("    balance %s\n", "")
    seen = play(text % ("weight 2", "", ""), reach(8))
    assert seen == ["s1", "s2", "s1", "s3", "s1", "s2", "s1", "s3"]


def test_weight_zero_gets_nothing() -> None:
    seen = play(THREE % ("roundrobin", "weight 0", "", ""), reach(4))
    assert seen == ["s2", "s3", "s2", "s3"]


def test_backup_waits_for_the_last_active_server() -> None:
    def script(side: Side) -> object:
        names = [side.reach(), side.reach()]
        side.servers["s1"].go()
        side.notices(1, "Server front/s1 is DOWN")
        return names, reach(3)(side), side.figures("status", "act", "bck", "weight")

    seen = play(
        THREE % ("roundrobin", "check inter 300ms fastinter 50ms", "backup", "backup"), script
    )
    assert seen == (
        ["s1", "s1"],
        ["s2", "s2", "s2"],
        {
            "FRONTEND": ["OPEN", "", "", ""],
            "s1": ["DOWN", "1", "0", "1"],
            "s2": ["no check", "0", "1", "1"],
            "s3": ["no check", "0", "1", "1"],
            "BACKEND": ["UP", "0", "2", "1"],
        },
    )


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
