"""What is counted of TLS: handshakes of clients, and with servers, for rows and for the process.

Owns the counters of HAProxy's `ssl` module (src/ssl_sock.c, `ssl_fill_stats`) and those of `show
info` about TLS. Does not own the handshakes, which are the edge's, nor who asks for them.

Invariants: pure; a handshake is counted once, as new, resumed or failed.
"""

from __future__ import annotations

from collections.abc import Iterable

from rabbitry.balancer.rates import Rate


class TlsCounters:
    """What a listener, a frontend, a server or a backend has had of handshakes."""

    __slots__ = ("failed", "new", "resumed")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin to count anew."""
        self.new = self.resumed = self.failed = 0

    def done(self, resumed: bool) -> None:
        """Count a handshake that was done."""
        if resumed:
            self.resumed += 1
        else:
            self.new += 1

    def cells(self) -> dict[str, int]:
        """The columns of a row."""
        return {
            "ssl_sess": self.new,
            "ssl_reused_sess": self.resumed,
            "ssl_failed_handshake": self.failed,
        }


class TlsUse:
    """What the whole process has had: every link under TLS, and the keys that were made for it."""

    def __init__(self) -> None:
        self.links_total = 0
        self.came = Rate()
        self.client_keys = Rate()
        self.server_keys = Rate()

    def client_done(self, counters: Iterable[TlsCounters], resumed: bool, now: int) -> None:
        """A client has done its handshake; `counters` are its listener's and its frontend's."""
        self.links_total += 1
        self.came.count(now)
        if not resumed:
            self.client_keys.count(now)
        for each in counters:
            each.done(resumed)

    def client_failed(self, counters: Iterable[TlsCounters], counts: bool, now: int) -> None:
        """A client came to nothing; `counts`: in its handshake, not for lack of time."""
        self.links_total += 1
        self.came.count(now)
        for each in counters if counts else ():
            each.failed += 1

    def server_done(self, counters: Iterable[TlsCounters], resumed: bool, now: int) -> None:
        """The handshake with a server was done; `counters` are its own and its backend's."""
        self.links_total += 1
        if not resumed:
            self.server_keys.count(now)
        for each in counters:
            each.done(resumed)

    def server_failed(self, counters: Iterable[TlsCounters]) -> None:
        """The handshake with a server has failed."""
        self.links_total += 1
        for each in counters:
            each.failed += 1

    def clear_highest(self) -> None:
        """Forget the highest rates."""
        for rate in (self.came, self.client_keys, self.server_keys):
            rate.highest = 0

    def values(self, now: int) -> dict[str, int | str]:
        """The fields of `show info`, without those open now (src/stats.c, `stats_fill_info`)."""
        came, keys = self.came.per_second(now), self.client_keys.per_second(now)
        return {
            "CumSslConns": self.links_total,
            "SslRate": came,
            "MaxSslRate": self.came.highest,
            "SslFrontendKeyRate": keys,
            "SslFrontendMaxKeyRate": self.client_keys.highest,
            "SslFrontendSessionReuse_pct": 100 * (came - keys) // came if keys < came else 0,
            "SslBackendKeyRate": self.server_keys.per_second(now),
            "SslBackendMaxKeyRate": self.server_keys.highest,
        }
