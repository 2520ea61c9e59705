"""When checks are made: the first ones, the next ones, and how long each may take.

Owns HAProxy's arithmetic of `inter`, `fastinter`, `downinter`, `timeout check`, `spread-checks` and
`max-spread-checks` (src/check.c: `start_checks`, `start_check_task`, `process_chk_conn`;
src/tcpcheck.c: `tcpcheck_eval_connect`; src/server.c: `srv_getinter`). Does not own what a check
does.

First checks are spread as HAProxy spreads them: over the shortest interval of a second or more, in
the order of the file. A server that is dead from the start is known up to one interval later than
if all checks began at once; but a hundred servers are not asked in the same millisecond ever after,
and what people compare with HAProxy happens when it happens there.

Invariants: pure arithmetic. Where HAProxy draws a random number for `spread-checks`, the next of an
even sequence is taken: a run can be repeated, and the checks are as well apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rabbitry.balancer.configuration.model import BackendSection, Global
from rabbitry.balancer.servers import Operating, Server

SLOW_ENOUGH_TO_SPREAD_US: Final = 1_000_000
"""HAProxy's SRV_CHK_INTER_THRES."""

_GOLDEN: Final = 40503  # of 65536: the golden ratio's multiples are evenly apart, however many


def first_checks(intervals_us: Sequence[int], process: Global) -> list[int]:
    """When, from the start, each of the checks with these intervals first begins."""
    slow = [each for each in intervals_us if each >= SLOW_ENOUGH_TO_SPREAD_US]
    least_us = min(slow, default=0)
    begin: list[int] = []
    for position, interval_us in enumerate(intervals_us):
        spread_us = max(least_us, interval_us)
        if process.max_spread_checks_us:
            spread_us = min(spread_us, process.max_spread_checks_us)
        begin.append(spread_us * position // len(intervals_us))
    return begin


def interval_us(server: Server) -> int:
    """The pause behind a health check."""
    line = server.line
    health = server.health
    if health.value == health.top:
        return line.inter_us
    if health.value == 0 and server.operating is Operating.STOPPED:
        return line.downinter_us or line.inter_us
    return line.fastinter_us or line.inter_us


def opening_limit_us(section: BackendSection, inter_us: int) -> int:
    """How long a link may take to open; without `timeout check`, the rest of the check too."""
    if section.timeout_check_us is not None and section.timeout_connect_us is not None:
        return min(inter_us, section.timeout_connect_us)
    return inter_us


def apart(percent: int) -> Iterator[int]:
    """How much longer, or shorter, each pause is, in 65536ths of it, with `spread-checks`."""
    position = 0
    while True:
        position = (position + _GOLDEN) % 65536
        yield percent * (65536 - 2 * position) // 100
