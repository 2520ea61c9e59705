"""What is counted of a section with `mode http`: the process around the machine serves it.

Owns the counters and which columns of the section's rows they fill, as HAProxy counts for a page of
its own (proxy.h, `proxy_inc_fe_req_ctr`; http_ana.c): what no page is at counts as a session of the
back that found no server.

Invariants: pure; constant work for each event; times are the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping

from rabbitry.balancer.rates import Rate
from rabbitry.balancer.servers import seconds
from rabbitry.balancer.statistics.columns import TYPE_BACKEND, TYPE_FRONTEND
from rabbitry.balancer.statistics.rows import StatisticsRow

NO_SERVER = 503
"""The answer where there is no page."""

_CLASSES = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other")


class HttpUse:
    """The connections and requests of one section so far."""

    def __init__(self) -> None:
        self.open_now = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self._open_max = 0
        self.connections_total = 0
        self._connection_rate = Rate()
        self.requests_total = 0
        self._request_rate = Rate()
        self._bad_requests = 0
        self._answers = dict.fromkeys(_CLASSES, 0)
        self._pages = 0
        self._unserved = 0
        self._unserved_rate = Rate()
        self._last_page_at: int | None = None

    def opened(self, now: int) -> None:
        """A client has connected."""
        self.open_now += 1
        self._open_max = max(self._open_max, self.open_now)
        self.connections_total += 1
        self._connection_rate.count(now)

    def closed(self) -> None:
        """A client has gone."""
        self.open_now -= 1

    def requested(self, now: int, is_bad: bool = False) -> None:
        """A request has come, or something that is none (`is_bad`)."""
        self.requests_total += 1
        self._request_rate.count(now)
        self._bad_requests += is_bad

    def answered(self, status: int, now: int) -> None:
        """A request is answered with this status."""
        place = status // 100 - 1
        self._answers[_CLASSES[place if 0 <= place < 5 else 5]] += 1
        if status == NO_SERVER:
            self._unserved += 1
            self._unserved_rate.count(now)

    def intercepted(self, now: int) -> None:
        """A request is answered here: by a page, metrics, a form, or for want of a login."""
        self._pages += 1
        self._last_page_at = now

    def fill_front(self, row: StatisticsRow, now: int) -> None:
        """Fill the section's FRONTEND row."""
        row.scur = self.open_now
        row.smax = self._open_max
        row.stot = row.conn_tot = self.connections_total
        row.bin, row.bout = self.bytes_in, self.bytes_out
        row.rate = row.conn_rate = self._connection_rate.per_second(now)
        row.rate_max = row.conn_rate_max = self._connection_rate.highest
        row.cells = {
            "ereq": self._bad_requests,
            "req_rate": self._request_rate.per_second(now),
            "req_rate_max": self._request_rate.highest,
            "req_tot": self.requests_total,
            "intercepted": self._pages,
            "h1_open_connections": self.open_now,
            "h1_total_connections": self.connections_total,
            "h1_total_streams": self.requests_total,
            "h1_bytes_in": self.bytes_in,
            "h1_bytes_out": self.bytes_out,
            **self._answers,
        }

    def fill_back(self, row: StatisticsRow, now: int) -> None:
        """Fill the BACKEND row of a `listen`, which has sent nobody to a server."""
        row.bin, row.bout = self.bytes_in, self.bytes_out
        row.stot = row.econ = self._unserved
        row.smax = int(self._unserved > 0)
        row.rate = self._unserved_rate.per_second(now)
        row.rate_max = self._unserved_rate.highest
        if self._last_page_at is not None:
            row.lastsess = seconds(now - self._last_page_at)
        row.cells = {"req_tot": self._unserved, "hrsp_5xx": self._unserved}


def fill_http_rows(rows: list[StatisticsRow], uses: Mapping[str, HttpUse], now: int) -> None:
    """Fill the rows of these sections, by their names."""
    for row in rows:
        use = uses.get(row.pxname)
        if use is None or row.mode != "http":
            continue
        if row.type == TYPE_FRONTEND:
            use.fill_front(row, now)
        elif row.type == TYPE_BACKEND:
            use.fill_back(row, now)
