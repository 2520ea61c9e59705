"""bench.sessions: idle sessions are opened, all of them held, and gone afterwards."""

from __future__ import annotations

import pytest

from bench import sessions, workers
from bench.connection import LoadError


@pytest.mark.processes
def test_sessions_are_held_until_the_client_ends() -> None:
    count = sessions.BEHIND_MAX + 20
    with workers.started("backend", sessions.hold) as backend:
        given = (backend.word(), count, backend.counter)
        with workers.started("client", sessions.open_all, *given) as client:
            assert client.word() == "ready"
            assert backend.counter.value == client.counter.value == count
        while backend.counter.value:
            backend.check()


@pytest.mark.processes
def test_more_sessions_than_open_files_are_refused() -> None:
    with (
        workers.started("client", sessions.open_all, 1, 1 << 40, workers.Counter()) as client,
        pytest.raises(LoadError, match="limit on open files allows"),
    ):
        client.word()
