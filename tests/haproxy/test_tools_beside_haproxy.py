"""Programs of others that speak to HAProxy, unmodified, beside HAProxy 2.6: haproxyadmin on the
runtime socket, and what Prometheus reads."""

from __future__ import annotations

import re
from typing import Any

import haproxyadmin
from haproxyadmin import haproxy
from support.balancer_sides import Side
from support.beside_haproxy import PREAMBLE, play

TWO = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} weight 10
    server s2 127.0.0.1:{s2} weight 10
"""


def admin(side: Side) -> Any:
    return haproxy.HAProxy(socket_file=str(side.names["socket"]), retry=1, retry_interval=0)


METRICS = PREAMBLE.replace(
    "    stats enable\n",
    "    http-request use-service prometheus-exporter if {{ path /metrics }}\n    stats enable\n",
)


def metrics(side: Side) -> list[str]:
    return side.neutral(side.get("/metrics")[1].decode()).splitlines()


def test_haproxyadmin_looks_around() -> None:
    def script(side: Side) -> object:
        side.reach()
        hap = admin(side)
        backend = hap.backend("front")
        return (
            [each.name for each in hap.frontends()],
            sorted((each.backendname, each.name) for each in hap.servers()),
            {each.name: (each.status, each.weight, each.requests) for each in backend.servers()},
            (backend.status, backend.requests, hap.frontend("front").status),
            (hap.frontend("front").maxconn, hap.maxconn, len(hap.processids)),
            hap.server("s1", backend="front")[0].metric("stot"),
            (hap.frontend("front").metric("stot"), backend.metric("act"), hap.metric("CurrConns")),
            [backend.server("s1").port.isdecimal(), backend.server("s1").address],
        )

    assert play(TWO, script) == (
        ["page", "front"],
        [("front", "s1"), ("front", "s2")],
        {"s1": ("no check", "10", 1), "s2": ("no check", "10", 0)},
        ("UP", 1, "OPEN"),
        (1000, 1000, 1),
        1,
        (1, 2, 0),
        [True, "127.0.0.1"],
    )


def test_haproxyadmin_steers_servers() -> None:
    def script(side: Side) -> object:
        server = admin(side).server("s1", backend="front")[0]
        states = (
            haproxyadmin.STATE_DISABLE,
            haproxyadmin.STATE_ENABLE,
            haproxyadmin.STATE_DRAIN,
            haproxyadmin.STATE_READY,
            haproxyadmin.STATE_MAINT,
        )
        seen = [(server.setstate(state), server.status) for state in states]
        seen.append((server.setstate(haproxyadmin.STATE_READY), server.status))
        seen.append((server.setweight("50%"), server.weight))
        seen.append((server.setweight(20), server.weight))
        return seen

    assert play(TWO, script) == [
        (True, "MAINT"),
        (True, "no check"),
        (True, "DRAIN"),
        (True, "no check"),
        (True, "MAINT"),
        (True, "no check"),
        (True, "5"),
        (True, "20"),
    ]


def test_haproxyadmin_moves_a_server() -> None:
    def script(side: Side) -> object:
        server = admin(side).server("s1", backend="front")[0]
        server.port = side.names["s2"]
        before = server.port == str(side.names["s2"])
        server.address = "127.0.0.2"
        return before, server.address

    assert play(TWO, script) == (True, "127.0.0.2")


def test_haproxyadmin_ends_sessions() -> None:
    def script(side: Side) -> object:
        link = side.connect()
        link.line()
        done = admin(side).server("s1", backend="front")[0].shutdown()
        return done, link.ends(), side.told(1)

    assert play(TWO, script) == (True, (b"", "fin"), ["front front/s1 N/N 3 K- 1/1/0/0/0 0/0"])


def test_haproxyadmin_steers_frontends() -> None:
    def script(side: Side) -> object:
        frontend = admin(side).frontend("front")
        seen = [(frontend.disable(), frontend.status), (frontend.enable(), frontend.status)]
        return seen, side.reach(), frontend.shutdown(), frontend.status

    assert play(TWO, script) == ([(True, "PAUSED"), (True, "OPEN")], "s1", True, "STOP")


def test_haproxyadmin_counts_and_clears() -> None:
    def script(side: Side) -> object:
        for _ in range(3):
            side.reach()
        hap = admin(side)
        before = hap.frontend("front").requests, hap.backend("front").requests
        return before, hap.clearcounters(all=True), hap.frontend("front").metric("stot")

    assert play(TWO, script) == ((0, 3), True, 0)


def test_prometheus_names_and_types() -> None:
    def script(side: Side) -> object:
        return sorted(line for line in metrics(side) if line.startswith("# TYPE haproxy_"))

    assert len(play(TWO, script, preamble=METRICS)) > 100


def test_prometheus_figures() -> None:
    """What is counted of two sessions: labels and values."""

    def script(side: Side) -> object:
        for _ in range(2):
            side.reach()
        pattern = re.compile(
            r"haproxy_(frontend|backend|server)_(status|bytes_(in|out)_total|sessions_total|weight|"
            r"current_\w+|connections_total|max_sessions|connection_\w+_total|active_servers|"
            r"check_failures_total|loadbalanced_total|limit_sessions|\w+_aborts_total)\{"
        )
        return sorted(line for line in metrics(side) if pattern.match(line) and '"front"' in line)

    assert len(play(TWO, script, preamble=METRICS)) > 50
