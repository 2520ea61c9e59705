"""Tests of what is counted of a page's section, as HAProxy counts."""

from __future__ import annotations

from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND, TYPE_SERVER
from rabbitry.balancer.statistics.http_use import HttpUse, fill_http_rows
from rabbitry.balancer.statistics.rows import StatisticsRow, Value

S = 1_000_000


def known(use: HttpUse, now: int, kind: int = TYPE_FRONTEND) -> dict[str, Value]:
    name = "FRONTEND" if kind == TYPE_FRONTEND else "BACKEND"
    row = StatisticsRow("page", name, kind, "OPEN", "http")
    fill_http_rows([row], {"page": use}, now)
    return row.known()


def used() -> HttpUse:
    """Two connections, one of them gone; four requests: a page, a form, nothing there, nonsense."""
    use = HttpUse()
    use.opened(10 * S)
    use.opened(10 * S)
    for status in (200, 303, 503):
        use.requested(10 * S)
        if status != 503:
            use.intercepted(10 * S)
        use.answered(status, 10 * S)
    use.requested(10 * S, is_bad=True)
    use.answered(400, 10 * S)
    use.bytes_in, use.bytes_out = 50, 70
    use.closed()
    return use


def test_the_front() -> None:
    row = known(used(), 10 * S)
    expected = {"scur": 1, "smax": 2, "stot": 2, "conn_tot": 2, "rate": 2, "conn_rate_max": 2}
    expected |= {"req_tot": 4, "req_rate": 4, "req_rate_max": 4, "ereq": 1, "intercepted": 2}
    expected |= {"hrsp_1xx": 0, "hrsp_2xx": 1, "hrsp_3xx": 1, "hrsp_4xx": 1, "hrsp_5xx": 1}
    expected |= {"hrsp_other": 0, "bin": 50, "bout": 70, "h1_open_connections": 1}
    assert {name: row[name] for name in expected} == expected


def test_the_back() -> None:
    row = known(used(), 13 * S, TYPE_BACKEND)
    expected = {"stot": 1, "econ": 1, "req_tot": 1, "hrsp_5xx": 1, "hrsp_2xx": 0, "smax": 1}
    expected |= {"bin": 50, "bout": 70, "lastsess": 3, "rate": 0, "rate_max": 1}
    assert {name: row[name] for name in expected} == expected


def test_a_status_of_no_class() -> None:
    use = HttpUse()
    use.answered(700, S)
    assert known(use, S)["hrsp_other"] == 1


def test_rates_pass() -> None:
    row = known(used(), 15 * S)
    assert (row["rate"], row["rate_max"], row["req_rate"]) == (0, 2, 0)


def test_other_rows_stay() -> None:
    tcp = StatisticsRow("page", "FRONTEND", TYPE_FRONTEND, "OPEN", "tcp", scur=5)
    server = StatisticsRow("page", "s", TYPE_SERVER, "UP", "http", scur=6)
    other = StatisticsRow("x", "FRONTEND", TYPE_FRONTEND, "OPEN", "http", scur=7)
    fill_http_rows([tcp, server, other], {"page": used()}, 10 * S)
    assert [tcp.scur, server.scur, other.scur] == [5, 6, 7]
