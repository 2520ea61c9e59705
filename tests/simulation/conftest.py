"""Seeds for tests that ask for one: `--seeds N`, `--seed N` (options of `tests/conftest.py`).

Runs with stores have seeds of their own, as `durable_seed`: where none are asked for, more of them.
"""

from __future__ import annotations

import pytest

SEEDS_COUNT = {"seed": 200, "durable_seed": 500, "rolling_seed": 60}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test with such an argument its seeds: 0 to N-1, or those that were asked for."""
    for argument, count in SEEDS_COUNT.items():
        if argument in metafunc.fixturenames:
            chosen = metafunc.config.getoption("--seed")
            asked = metafunc.config.getoption("--seeds")
            metafunc.parametrize(argument, chosen or range(count if asked is None else asked))


@pytest.fixture
def keep_trace(request: pytest.FixtureRequest) -> bool:
    """Whether single seeds are replayed, so that their whole traces are wanted."""
    return request.config.getoption("--seed") is not None
