"""What lies idle is counted on a real node, and a limit on open files is said."""

from __future__ import annotations

import re
import resource

import pytest

from bench import idle


def test_a_line_says_what_was_not_measured() -> None:
    assert idle.line("queues", 10, 10, 20480, 1.25) == "10 queues: 2.0 KiB each, made in 1.2 s"
    assert idle.line("links", 5, 10, 0, 0).endswith("allows no more; wanted 10)")


@pytest.mark.parametrize(("limit", "fitting"), [(1000, 800), (100, 0), (1 << 20, 5000)])
def test_no_more_connections_than_files(
    monkeypatch: pytest.MonkeyPatch, limit: int, fitting: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert idle.connections_that_fit(5000) == fitting


@pytest.mark.processes
def test_a_node_is_measured() -> None:
    connections, queues = idle.measure(20, 30)
    assert re.match(r"20 idle connections: -?\d+\.\d KiB each, made in ", connections)
    assert re.match(r"30 empty queues: -?\d+\.\d KiB each, made in ", queues)
