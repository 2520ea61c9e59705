"""Tests of Prometheus's text. What is compared with was printed by Debian's HAProxy 2.6.12."""

from __future__ import annotations

import re

import pytest

from rabbitry.balancer.statistics.columns import (
    TYPE_BACKEND,
    TYPE_FRONTEND,
    TYPE_LISTENER,
    TYPE_SERVER,
)
from rabbitry.balancer.statistics.metrics import (
    BadQuery,
    MetricsScope,
    read_query,
    state_of,
    to_metrics,
)
from rabbitry.balancer.statistics.rows import StatisticsRow

ALL = MetricsScope()


def server(name: str = "s1", status: str = "UP", **columns: object) -> StatisticsRow:
    return StatisticsRow("front", name, TYPE_SERVER, status, "tcp", **columns)  # type: ignore[arg-type]


FRONT = StatisticsRow("front", "FRONTEND", TYPE_FRONTEND, "OPEN", "tcp", scur=4)
BACK = StatisticsRow("front", "BACKEND", TYPE_BACKEND, "DOWN", "tcp")
PAGE = StatisticsRow("page", "FRONTEND", TYPE_FRONTEND, "OPEN", "http", cells={"hrsp_2xx": 9})
CHECKED = server(
    check_status="* L4CON", check_duration=12, check_code=0, slim=None, ctime=1, ctime_max=2500
)


def samples(text: str, family: str) -> list[str]:
    """What stands behind the name of a family, line by line."""
    return [
        line.removeprefix(family) for line in text.splitlines() if re.match(family + r"\b", line)
    ]


def test_a_family_is_told_once() -> None:
    text = to_metrics({}, [FRONT, PAGE], MetricsScope(frozenset(("frontend",))))
    assert text.startswith(
        "# HELP haproxy_frontend_current_sessions sessions open now\n"
        "# TYPE haproxy_frontend_current_sessions gauge\n"
        'haproxy_frontend_current_sessions{proxy="front"} 4\n'
        'haproxy_frontend_current_sessions{proxy="page"} NaN\n'
        "# HELP haproxy_frontend_max_sessions "
    )


def test_the_process() -> None:
    text = to_metrics({"Nbthread": 2, "Version": 'v"1', "Unstoppable Jobs": 3}, [], ALL)
    assert samples(text, "haproxy_process_nbthread") == [" 2"]
    assert samples(text, "haproxy_process_unstoppable_jobs") == [" 3"]
    assert samples(text, "haproxy_process_build_info") == ['{version="v\\"1"} 1']
    assert samples(text, "haproxy_process_max_zlib_memory") == [" NaN"]
    assert "# TYPE haproxy_process_pool_failures_total counter\n" in text
    assert text.count("# TYPE haproxy_process_") == 60


def test_states() -> None:
    rows = [FRONT, CHECKED, server("s2", "DRAIN", uweight=1), BACK]
    text = to_metrics({}, rows, ALL)
    assert samples(text, "haproxy_frontend_status") == [
        '{proxy="front",state="DOWN"} 0',
        '{proxy="front",state="UP"} 1',
    ]
    assert samples(text, "haproxy_backend_status")[0] == '{proxy="front",state="DOWN"} 1'
    assert samples(text, "haproxy_server_status")[5:] == [
        '{proxy="front",server="s2",state="DOWN"} 0',
        '{proxy="front",server="s2",state="UP"} 0',
        '{proxy="front",server="s2",state="MAINT"} 0',
        '{proxy="front",server="s2",state="DRAIN"} 1',
        '{proxy="front",server="s2",state="NOLB"} 0',
    ]
    assert samples(text, "haproxy_backend_agg_server_status") == [
        f'{{proxy="front",state="{state}"}} {count}'
        for state, count in (("DOWN", 0), ("UP", 1), ("MAINT", 0), ("DRAIN", 1), ("NOLB", 0))
    ]
    assert '{proxy="front",state="L4CON"} 1' in samples(text, "haproxy_backend_agg_check_status")


def test_checks_of_servers_that_are_checked() -> None:
    text = to_metrics({}, [CHECKED, server("s2", "no check")], ALL)
    states = samples(text, "haproxy_server_check_status")
    assert len(states) == 16
    assert [line for line in states if line.endswith(" 1")] == [
        '{proxy="front",server="s1",state="L4CON"} 1'
    ]
    assert samples(text, "haproxy_server_check_code") == ['{proxy="front",server="s1"} 0']
    assert samples(text, "haproxy_server_check_duration_seconds") == [
        '{proxy="front",server="s1"} 0.012000'
    ]


def test_times_are_seconds_and_what_is_not_known_is_not_a_number() -> None:
    text = to_metrics({}, [CHECKED], ALL)
    labels = '{proxy="front",server="s1"}'
    assert samples(text, "haproxy_server_connect_time_average_seconds") == [f"{labels} 0.001000"]
    assert samples(text, "haproxy_server_max_connect_time_seconds") == [f"{labels} 2.500000"]
    assert samples(text, "haproxy_server_limit_sessions") == [f"{labels} NaN"]


def test_http_is_told_of_http_only() -> None:
    text = to_metrics({}, [FRONT, PAGE], ALL)
    assert samples(text, "haproxy_frontend_http_responses_total")[:3] == [
        '{proxy="page",code="1xx"} 0',
        '{proxy="page",code="2xx"} 9',
        '{proxy="page",code="3xx"} 0',
    ]
    assert samples(text, "haproxy_frontend_http_requests_total") == ['{proxy="page"} 0']


def test_listeners() -> None:
    row = StatisticsRow("front", "sock-1", TYPE_LISTENER, "OPEN", "tcp", scur=1)
    text = to_metrics({}, [row], ALL)
    assert samples(text, "haproxy_listener_current_sessions") == [
        '{proxy="front",listener="sock-1"} 1'
    ]
    assert samples(text, "haproxy_listener_status") == [
        '{proxy="front",listener="sock-1",state="WAITING"} 0',
        '{proxy="front",listener="sock-1",state="OPEN"} 1',
        '{proxy="front",listener="sock-1",state="FULL"} 0',
    ]


def test_labels_are_escaped() -> None:
    row = StatisticsRow('a"b\\c\nd', "FRONTEND", TYPE_FRONTEND, "OPEN", "tcp", scur=1)
    text = to_metrics({}, [row], ALL)
    assert samples(text, "haproxy_frontend_current_sessions") == [r'{proxy="a\"b\\c\nd"} 1']


@pytest.mark.parametrize(
    ("status", "uweight", "state"),
    [
        ("no check", 1, "UP"),
        ("UP 1/3", 1, "UP"),
        ("DOWN 1/2", 1, "DOWN"),
        ("DOWN (agent)", 1, "DOWN"),
        ("NOLB 2/3", 1, "NOLB"),
        ("MAINT (via b/s)", 1, "MAINT"),
        ("DRAIN 2/3", 1, "DRAIN"),
        ("DRAIN", 0, "UP"),
    ],
)
def test_state_of_a_server(status: str, uweight: int, state: str) -> None:
    assert state_of(server(status=status, uweight=uweight)) == state


def test_what_is_asked_for() -> None:
    every = ALL.kinds
    assert read_query("") == ALL
    assert read_query("other=1&x") == ALL
    assert read_query("scope=server&scope=global").kinds == {"server", "global"}
    assert read_query("scope=").kinds == frozenset()
    assert read_query("scope=server&scope=&scope=backend").kinds == {"backend"}
    assert read_query("scope=*").kinds == every
    assert read_query("scope=%66rontend#&scope=x").kinds == {"frontend"}
    assert read_query("no-maint").no_maintenance
    for bad in ("scope", "scope=x", "scope=a=b", "x=a=b"):
        with pytest.raises(BadQuery):
            read_query(bad)


def test_scopes_and_maintenance() -> None:
    rows = [FRONT, server(), server("s2", "MAINT"), BACK]
    text = to_metrics({}, rows, read_query("scope=server&no-maint"))
    assert set(re.findall(r"^haproxy_([a-z]+)_", text, re.M)) == {"server"}
    assert 'server="s2"' not in text
    assert to_metrics({}, rows, read_query("scope=")) == ""
