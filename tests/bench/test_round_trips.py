"""bench.round_trips: what is sent comes back, and each trip's time is told."""

from __future__ import annotations

import pytest

from bench import round_trips, workers


@pytest.mark.processes
def test_each_round_trip_is_timed_and_the_warm_up_is_not() -> None:
    with workers.started("backend", round_trips.echo) as backend:
        given = (backend.word(), 25, 100_000)
        with workers.started("client", round_trips.ping, *given) as client:
            assert client.word() == "ready"
            seconds = client.word()
    trips = 25 + round_trips.WARM_UP
    assert len(seconds) == 25
    assert min(seconds) > 0
    assert client.counter.value == trips
    assert backend.counter.value == trips * round_trips.SIZE_BYTES
