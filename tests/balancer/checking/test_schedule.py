"""Tests of when checks are made; the figures of the first ones are HAProxy 2.6's."""

from __future__ import annotations

import itertools

from support.checked_server import CheckedServer, line

from rabbitry.balancer.checking.schedule import (
    apart,
    first_checks,
    interval_us,
    opening_limit_us,
)
from rabbitry.balancer.configuration.model import Global
from rabbitry.balancer.servers import Operating

S = 1_000_000


def test_first_checks_are_spread_over_the_shortest_slow_interval() -> None:
    assert first_checks([2 * S] * 4, Global()) == [0, S // 2, S, 3 * S // 2]
    assert first_checks([2 * S, 4 * S], Global()) == [0, 2 * S]
    assert first_checks([S // 10, 4 * S, S // 10], Global()) == [0, 4 * S // 3, 8 * S // 3]
    assert first_checks([S // 10, S // 10], Global()) == [0, S // 20]
    assert first_checks([], Global()) == []


def test_max_spread_checks_brings_them_together() -> None:
    process = Global(max_spread_checks_us=S // 10)
    assert first_checks([60 * S] * 2, process) == [0, S // 20]


def test_the_interval_follows_the_health() -> None:
    server = CheckedServer(line(inter_us=1, fastinter_us=2, downinter_us=3)).server
    assert interval_us(server) == 2  # it starts at `rise`, not at the top
    server.health.fill()
    assert interval_us(server) == 1
    server.health.sink()
    assert interval_us(server) == 2
    server.operating = Operating.STOPPED
    assert interval_us(server) == 3
    assert interval_us(CheckedServer(line(inter_us=7)).server) == 7


def test_timeout_connect_bounds_opening_only_beside_timeout_check() -> None:
    assert opening_limit_us(CheckedServer(timeout_connect_us=3).backend.section, 9) == 9
    both = CheckedServer(timeout_connect_us=3, timeout_check_us=5).backend.section
    assert opening_limit_us(both, 9) == 3
    assert opening_limit_us(both, 2) == 2


def test_spread_checks_stays_within_its_percentage_and_is_even() -> None:
    drawn = list(itertools.islice(apart(10), 1000))
    assert min(drawn) >= -6554
    assert max(drawn) <= 6553
    assert abs(sum(drawn)) < 65536
    assert len(set(drawn)) > 900
    assert list(itertools.islice(apart(0), 3)) == [0, 0, 0]
