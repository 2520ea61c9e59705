"""bench.balancer_loads: each load against its own backend, without a balancer, in short."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest

from bench import balancer_loads as loads
from bench.balancers import Nothing
from bench.connection import LoadError

pytestmark = pytest.mark.processes

Prepare = Callable[[], AbstractContextManager[loads.Ready]]


@pytest.fixture(autouse=True)
def in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "WARM_UP_S", 0.01)
    monkeypatch.setattr(loads, "WINDOW_S", 0.1)
    monkeypatch.setattr(loads, "ROUND_TRIPS", 50)
    monkeypatch.setattr(loads, "sessions_that_fit", lambda: 30)


@pytest.mark.parametrize(
    "prepare",
    [
        partial(loads.bulk, 262144, False),
        partial(loads.bulk, 4096, True),
        partial(loads.new_connections, prepared=True),
        loads.latency,
    ],
)
def test_a_load_is_measured_again_and_again(prepare: Prepare) -> None:
    with prepare() as ready:
        for _ in range(2):
            found = ready.measure(ready.port, Nothing())
            assert found.value > 0
            assert found.amount > 0
            assert found.cpu_s == 0


def test_p99_is_not_under_p50() -> None:
    with loads.latency() as ready:
        found = ready.measure(ready.port, Nothing())
    assert found.second is not None
    assert found.second >= found.value


def test_idle_sessions_of_no_balancer_take_no_memory() -> None:
    with loads.idle_sessions() as ready:
        for _ in range(2):  # the second waits until the first's sessions have gone
            found = ready.measure(ready.port, Nothing())
            assert (found.value, found.second, found.amount) == (0, 0, 0.03)
            assert found.note == "30: no more open files"


@pytest.mark.parametrize("prepare", [partial(loads.messages, 16, 2000)])
def test_messages_pass_a_node(prepare: Prepare) -> None:
    with prepare() as ready:
        found = ready.measure(ready.port, Nothing())
    assert found.value > 0
    assert found.amount == 0.002


def test_rabbitmq_that_is_missing_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads.rabbitmq, "missing", lambda: "not here")
    with pytest.raises(loads.Missing, match="not here"), loads.messages(16, 1, of_rabbitmq=True):
        pass


def test_a_port_that_refuses_is_one_line() -> None:
    with loads.bulk(4096, False) as ready, pytest.raises(LoadError, match=r"client: .*refused"):
        ready.measure(1, Nothing())
