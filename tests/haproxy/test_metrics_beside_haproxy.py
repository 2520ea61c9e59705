"""Prometheus's metrics beside HAProxy's own exporter: families, types, labels, values."""

from __future__ import annotations

import re

from support.balancer_sides import Side
from support.beside_haproxy import play

TEXT = """
listen front
    bind 127.0.0.1:{front}
    server s1 127.0.0.1:{s1} check inter 300 fastinter 50 downinter 50
    server s2 127.0.0.1:{s2} check inter 300 fastinter 50 downinter 50 backup
    server s3 127.0.0.1:{s3} maxconn 5 maxqueue 3
    server s4 127.0.0.1:{s4} disabled
    server s5 127.0.0.1:{s5} track front/s1
frontend only
    bind 127.0.0.1:{only}
    default_backend behind
backend behind
    server b1 127.0.0.1:{b1}
listen metrics
    bind 127.0.0.1:{metrics}
    mode http
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
"""
SAMPLE = re.compile(r"(\w+)(\{[^}]*\})? (\S+)")


def scrape(side: Side, query: str = "") -> str:
    status, body = side.get(f"/metrics{query}", "metrics")
    assert status == 200
    return body.decode()


def samples(text: str) -> dict[str, str]:
    """The values by names with labels."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            found[match[1] + (match[2] or "")] = match[3]
    return found


def checked(side: Side) -> None:
    """Wait until all have been checked."""
    side.figures_when(
        lambda rows: all(rows[name][0] == "L4OK" for name in ("s1", "s2")), "check_status"
    )


def test_families_and_types_in_their_order() -> None:
    def script(side: Side) -> object:
        checked(side)
        return re.findall(r"^# TYPE (\S+ \S+)$", scrape(side), re.M)

    families = play(TEXT, script)
    assert len(families) == 186  # type: ignore[arg-type]


def test_samples_and_labels_in_their_order() -> None:
    def script(side: Side) -> object:
        checked(side)
        return [re.sub('version="[^"]*"', "version", name) for name in samples(scrape(side))]

    names = play(TEXT, script)
    assert 'haproxy_server_status{proxy="front",server="s1",state="UP"}' in names  # type: ignore[operator]


def test_values_that_are_determined() -> None:
    unsteady = re.compile(
        r"_rate|_seconds|bytes_|uweight|_process_|check_duration|need_connections|last_session"
        r"|max_sessions\{proxy=\"(page|metrics)|proxy=\"page\""
    )

    def script(side: Side) -> object:
        checked(side)
        side.reach()
        found = samples(scrape(side))
        return {name: value for name, value in found.items() if not unsteady.search(name)}

    found = play(TEXT, script)
    assert found['haproxy_frontend_sessions_total{proxy="front"}'] == "1"  # type: ignore[index]
    assert found['haproxy_server_status{proxy="front",server="s4",state="MAINT"}'] == "1"  # type: ignore[index]
    assert found['haproxy_backend_agg_server_status{proxy="front",state="UP"}'] == "4"  # type: ignore[index]


def test_what_is_determined_of_the_process() -> None:
    steady = ("nbproc", "relative_process_id", "stopping", "active_peers", "max_zlib_memory")

    def script(side: Side) -> object:
        found = samples(scrape(side, "?scope=global"))
        return {name: found[f"haproxy_process_{name}"] for name in steady}

    play(TEXT, script)


def test_a_server_that_is_down() -> None:
    def script(side: Side) -> object:
        # Nothing says which of the two is checked first.
        side.notices(1, "is DOWN")
        side.figures_when(lambda rows: rows["s2"][0] == "L4OK", "check_status")
        found = samples(scrape(side))
        return {
            name: value
            for name, value in found.items()
            if re.search(r"_server_(status|check_status|check_code|check_fail)|agg_", name)
        }

    found = play(TEXT, script, {"s1": None})
    assert found['haproxy_server_check_status{proxy="front",server="s1",state="L4CON"}'] == "1"  # type: ignore[index]


def test_states_set_by_people() -> None:
    def script(side: Side) -> object:
        checked(side)
        side.ask("set server front/s1 state drain", "set server front/s2 weight 0")
        found = samples(scrape(side, "?scope=server"))
        return {name: value for name, value in found.items() if "server_status" in name}

    play(TEXT, script)


def test_scopes() -> None:
    queries = (
        *("?scope=global", "?scope=server&scope=backend", "?scope=", "?scope=*", "?scope=frontend"),
        *("?scope=server&no-maint", "?other=1", "?scope=listener", "?scope=sticktable"),
    )

    def script(side: Side) -> object:
        checked(side)
        return [re.findall(r"^# TYPE (\S+)", scrape(side, query), re.M) for query in queries]

    play(TEXT, script)


def test_bad_queries() -> None:
    def script(side: Side) -> object:
        queries = ("?scope", "?scope=x", "?scope=a=b", "?x=a=b", "/more")
        return [side.get(f"/metrics{query}", "metrics")[0] for query in queries]

    assert play(TEXT, script) == [400, 400, 400, 400, 503]


def test_metrics_everywhere_and_by_prefix() -> None:
    text = """
frontend every
    bind 127.0.0.1:{every}
    mode http
    http-request use-service prometheus-exporter
frontend prefix
    bind 127.0.0.1:{prefix}
    mode http
    http-request use-service prometheus-exporter if {{ path_beg /m }}
"""

    def script(side: Side) -> object:
        targets = (("/", "every"), ("/x", "every"), ("/metrics/x", "prefix"), ("/x", "prefix"))
        return [side.get(target, page)[0] for target, page in targets]

    assert play(text, script) == [200, 200, 200, 503]
