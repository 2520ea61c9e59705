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


def test_all_weights_zero_is_no_server() -> None:
    def script(side: Side) -> object:
        return side.connect().rest(), side.told(1), side.figures("status", "weight", "act")

    seen = play(THREE % ("roundrobin", "weight 0", "weight 0", "weight 0"), script)
    assert seen == (
        (b"", "fin"),
        ["front front/<NOSRV> -1/-1 0 SC 1/1/0/0/0 0/0"],
        {
            "FRONTEND": ["OPEN", "", ""],
            "s1": ["no check", "0", "1"],
            "s2": ["no check", "0", "1"],
            "s3": ["no check", "0", "1"],
            "BACKEND": ["DOWN", "0", "0"],
        },
    )


def test_static_rr_goes_round_by_weight() -> None:
    seen = play(THREE % ("static-rr", "weight 3", "weight 1", "weight 2"), reach(12))
    assert seen == ["s1", "s1", "s3", "s1", "s2", "s3", "s1", "s1", "s3", "s1", "s2", "s3"]


def test_leastconn_goes_where_fewest_are() -> None:
    def script(side: Side) -> object:
        links = [side.connect() for _ in range(3)]
        names = [link.line() for link in links]
        links[1].close()
        side.sessions(1)
        return names, [side.connect().line() for _ in range(4)]

    seen = play(THREE % ("leastconn", "", "", ""), script)
    assert seen == (["s1", "s2", "s3"], ["s2", "s1", "s3", "s2"])


def test_leastconn_with_weights() -> None:
    seen = play(THREE % ("leastconn", "weight 3", "weight 1", "weight 2"), hold(12))
    assert seen == ["s1", "s2", "s3", "s1", "s3", "s1", "s1", "s3", "s1", "s2", "s3", "s1"]


def test_leastconn_goes_round_where_all_are_idle() -> None:
    seen = play(THREE % ("leastconn", "", "", ""), reach(6))
    assert seen == ["s1", "s2", "s3", "s1", "s2", "s3"]


def test_first_fills_one_server_before_the_next() -> None:
    seen = play(THREE % ("first", "maxconn 2", "maxconn 1", "maxconn 3"), hold(6))
    assert seen == ["s1", "s1", "s2", "s3", "s3", "s3"]


def test_first_goes_by_id_not_by_place() -> None:
    seen = play(THREE % ("first", "id 30", "id 20 maxconn 1", "id 10 maxconn 1"), hold(3))
    assert seen == ["s3", "s2", "s1"]


def test_source_by_a_map() -> None:
    seen = play(THREE % ("source", "", "", ""), come_from(1, 2, 3, 4, 5, 6, 7, 2, 3, 1))
    assert seen == ["s3", "s1", "s2", "s3", "s1", "s2", "s3", "s1", "s2", "s3"]


def test_source_by_a_map_with_weights() -> None:
    text = THREE % ("source", "weight 1", "weight 5", "weight 2")
    seen = play(text, come_from(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert seen == ["s2", "s2", "s3", "s2", "s2", "s2", "s3", "s1", "s2", "s2"]


def test_source_by_a_map_without_a_server_that_went() -> None:
    def script(side: Side) -> object:
        before = come_from(1, 2, 3, 4, 5, 6)(side)
        side.ask("disable server front/s2")
        return before, come_from(1, 2, 3, 4, 5, 6)(side)

    seen = play(THREE % ("source", "", "", ""), script)
    assert seen == (["s3", "s1", "s2", "s3", "s1", "s2"], ["s3", "s1", "s3", "s1", "s3", "s1"])


def test_source_consistent() -> None:
    text = THREE % ("source\n    hash-type consistent", "", "", "")
    seen = play(text, come_from(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert seen == ["s2", "s1", "s3", "s1", "s2", "s1", "s3", "s1", "s1", "s3"]


def test_source_consistent_without_a_server_that_went() -> None:
    def script(side: Side) -> object:
        before = come_from(1, 2, 3, 4, 5, 6)(side)
        side.ask("disable server front/s2")
        return before, come_from(1, 2, 3, 4, 5, 6)(side)

    seen = play(THREE % ("source\n    hash-type consistent", "", "", ""), script)
    assert seen == (["s2", "s1", "s3", "s1", "s2", "s1"], ["s3", "s1", "s3", "s1", "s3", "s1"])


def test_source_with_other_hashes() -> None:
    text = THREE % ("source\n    hash-type map-based djb2 avalanche", "", "", "")
    seen = play(text, come_from(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert seen == ["s2", "s1", "s1", "s1", "s2", "s1", "s3", "s3", "s1", "s2"]


def test_random_reaches_all() -> None:
    def script(side: Side) -> object:
        names = reach(30)(side)
        return sorted(set(names)), all(names.count(name) >= 2 for name in set(names))

    seen = play(THREE % ("random", "", "", ""), script)
    assert seen == (["s1", "s2", "s3"], True)


def test_random_of_two_draws_goes_to_the_one_with_fewer() -> None:
    """With as many draws as there is need for, the one that is idle is found."""

    def script(side: Side) -> object:
        names = [side.connect().line() for _ in range(30)]
        return sorted(set(names)), max(map(names.count, set(names))) <= 15

    seen = play(THREE % ("random(2)", "", "", ""), script)
    assert seen == (["s1", "s2", "s3"], True)


def test_disabled_server_gets_nothing() -> None:
    def script(side: Side) -> object:
        return reach(4)(side), side.figures("status", "weight", "act", "bck")

    seen = play(THREE % ("roundrobin", "", "disabled", ""), script)
    assert seen == (
        ["s1", "s3", "s1", "s3"],
        {
            "FRONTEND": ["OPEN", "", "", ""],
            "s1": ["no check", "1", "1", "0"],
            "s2": ["MAINT", "1", "1", "0"],
            "s3": ["no check", "1", "1", "0"],
            "BACKEND": ["UP", "2", "2", "0"],
        },
    )


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


def test_all_backups_share() -> None:
    def script(side: Side) -> object:
        side.ask("disable server front/s1")
        return reach(6)(side), side.figures("status", "act", "bck", "weight")

    text = THREE % ("roundrobin", "", "backup weight 2", "backup")
    seen = play(text + "    option allbackups\n", script)
    assert seen == (
        ["s2", "s2", "s3", "s2", "s2", "s3"],
        {
            "FRONTEND": ["OPEN", "", "", ""],
            "s1": ["MAINT", "1", "0", "1"],
            "s2": ["no check", "0", "1", "2"],
            "s3": ["no check", "0", "1", "1"],
            "BACKEND": ["UP", "0", "2", "3"],
        },
    )


def test_frontends_and_a_backend_of_another_name() -> None:
    def script(side: Side) -> object:
        names = [side.reach("one"), side.reach("two"), side.reach("one")]
        return names, side.told(3)

    text = """
    frontend one
        bind 127.0.0.1:{one}
        default_backend back
    frontend two
        bind 127.0.0.1:{two}
        default_backend back
    backend back
        server s1 127.0.0.1:{s1}
        server s2 127.0.0.1:{s2}
    """
    assert play(text, script) == (
        ["s1", "s2", "s1"],
        [
            "one back/s1 N/N 3 -- 1/1/0/0/0 0/0",
            "two back/s2 N/N 3 -- 1/1/0/0/0 0/0",
            "one back/s1 N/N 3 -- 1/1/0/0/0 0/0",
        ],
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


def test_default_server_fills_in() -> None:
    def script(side: Side) -> object:
        return reach(5)(side), side.figures("weight", "bck", "slim")

    text = """
    listen front
        bind 127.0.0.1:{front}
        default-server weight 2 maxconn 7
        server s1 127.0.0.1:{s1}
        default-server maxconn 9
        server s2 127.0.0.1:{s2} weight 3
    """
    assert play(text, script) == (
        ["s2", "s2", "s1", "s2", "s1"],
        {
            "FRONTEND": ["", "", "1000"],
            "s1": ["2", "0", "7"],
            "s2": ["3", "0", "9"],
            "BACKEND": ["5", "0", "100"],
        },
    )
