"""Seeds for tests that ask for one: `--seeds N`, `--seed N` (options of `tests/conftest.py`)."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test with an argument `seed` its seeds: 0 to N-1, or those that were asked for."""
    if "seed" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--seed")
        metafunc.parametrize("seed", chosen or range(metafunc.config.getoption("--seeds")))


@pytest.fixture
def keep_trace(request: pytest.FixtureRequest) -> bool:
    """Whether single seeds are replayed, so that their whole traces are wanted."""
    return request.config.getoption("--seed") is not None
