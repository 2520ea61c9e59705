"""Tests of what a new file makes of the sections in service."""

from __future__ import annotations

from rabbitry.balancer.configuration.model import Configuration
from rabbitry.balancer.configuration.reader import parse
from rabbitry.balancer.proxies import Proxies

HEAD = "defaults\ntimeout connect 1s\ntimeout client 1s\ntimeout server 1s\n"
BEFORE = """listen a
bind 127.0.0.1:1
bind 127.0.0.1:2
server s 127.0.0.1:11 weight 3
server t 127.0.0.1:12
listen b
bind 127.0.0.1:3
server s 127.0.0.1:11
"""


def read(text: str) -> Configuration:
    return parse(HEAD + text, "f")


def adopted(text: str) -> tuple[Proxies, list[str], list[str], list[str]]:
    proxies = Proxies(read(BEFORE))
    changes = proxies.adopt(read(text), 5)
    return (
        proxies,
        [server.key for _, server in changes.added],
        [server.key for _, server in changes.removed],
        [server.key for _, server, _ in changes.changed],
    )


def test_the_same_file_changes_nothing() -> None:
    proxies = Proxies(read(BEFORE))
    frontends, backends = list(proxies.frontends), list(proxies.backends)
    servers = [server for backend in backends for server in backend.servers]
    plan = proxies.plan(read(BEFORE))
    assert (plan.to_open, plan.to_close) == ((), ())
    changes = proxies.adopt(read(BEFORE), 5)
    assert not (changes.added or changes.removed or changes.changed or changes.new_backends)
    assert proxies.frontends == frontends
    assert proxies.backends == backends
    assert [server for backend in proxies.backends for server in backend.servers] == servers


def test_listeners_come_and_go_under_names_of_their_own() -> None:
    proxies = Proxies(read(BEFORE))
    text = BEFORE.replace("bind 127.0.0.1:1\n", "bind 127.0.0.1:7\n").replace(
        "listen b", "listen c"
    )
    plan = proxies.plan(read(text))
    assert [(name, bind.address.port) for name, bind in plan.to_open] == [("a/3", 7), ("c", 3)]
    assert plan.to_close == ("a", "b")
    assert [*proxies.listeners] == ["a", "a/2", "b"]  # nothing is changed by planning
    proxies.adopt(read(text), 5)
    assert [*proxies.listeners] == ["a/2", "a/3", "c"]
    assert proxies.listener_named("a/3").frontend.section.name == "a"
    assert (
        proxies.listener_named("b").frontend.section.name == "b"
    )  # a link that came as it was closed


def test_a_server_that_stays_keeps_what_it_has() -> None:
    proxies = Proxies(read(BEFORE))
    kept = proxies.backends[0].servers[0]
    kept.weight = 9  # an operator's
    kept.counters.sessions = 4
    changes = proxies.adopt(read(BEFORE.replace("weight 3", "weight 3 check rise 5")), 5)
    assert proxies.backends[0].servers[0] is kept
    assert (kept.weight, kept.health.enabled, kept.health.rise) == (9, True, 5)
    assert kept.counters.sessions == 4
    assert [server for _, server, _ in changes.changed] == [kept]
    proxies.adopt(read(BEFORE.replace("weight 3", "weight 2")), 6)
    assert kept.weight == 2


def test_a_server_at_another_address_is_another_server() -> None:
    proxies, added, removed, changed = adopted(BEFORE.replace("127.0.0.1:12", "127.0.0.1:99"))
    assert (added, removed, changed) == (["a/t"], ["a/t"], [])
    assert proxies.backends[0].servers[1].address.port == 99


def test_sections_come_and_go() -> None:
    text = "listen a\nbind 127.0.0.1:1\nserver u 127.0.0.1:13\n"
    _, added, removed, _ = adopted(text)
    assert (added, removed) == (["a/u"], ["a/s", "a/t", "b/s"])
    proxies = Proxies(read(BEFORE))
    gone = proxies.frontends[1]
    assert proxies.adopt(read(text), 5).left == [gone]
    assert proxies.adopt(read(text), 6).left == []


def test_sessions_go_to_the_servers_of_the_new_file() -> None:
    proxies = Proxies(read(BEFORE))
    frontend = proxies.frontends[0]
    proxies.adopt(read("listen a\nbind 127.0.0.1:1\nserver u 127.0.0.1:13\n"), 5)
    assert frontend.backend is not None
    assert {frontend.backend.choose().name for _ in range(4)} == {"u"}  # type: ignore[union-attr]
