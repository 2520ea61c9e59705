"""bench.backlog: reading, checking, sampling; a short queue through all of it on a node of ours."""

from __future__ import annotations

import dataclasses
import os

import pytest

from bench import backlog, load
from bench.backlog import Backlog, Depth, Part, Peak, Starts
from bench.connection import LoadError
from bench.load import Load
from bench.processes import Memory, SideError

HELD = Memory(64 << 20, 48 << 20, 16 << 20)
FOUND = Backlog(
    side="rabbitry",
    messages=1000,
    published=Part(10, 11, 12, HELD),
    deep_memory=HELD,
    disk_bytes=3 << 20,
    through_per_s=13,
    depth=Depth([30, 40, 80], [50, 41, 42], [7, 6, 6], [8, 9, 1]),
    starts=Starts(1.5, 2.5, HELD),
    empty_start_s=0.5,
    consumed=Part(20, 21, 22, HELD),
)


def test_the_table_has_a_column_for_each_side() -> None:
    text = backlog.table(
        [FOUND, dataclasses.replace(FOUND, side="rabbitmq lazy", empty_start_s=7.25)]
    )
    rows = {line[:34].strip(): line[34:].split() for line in text.splitlines()}
    assert rows["backlog of 1,000"] == ["rabbitry", "rabbitmq", "lazy"]
    assert rows["start when empty, s"] == ["0.50", "7.25"]
    assert rows["the same, nothing in page cache"] == ["2.50", "2.50"]
    assert rows["consumed/s (first..last tenth)"] == ["20", "(21..22)"] * 2
    assert rows["deep by short"] == ["0.95", "in,", "0.75", "out"] * 2
    assert rows["published/s, deep / short"] == ["40", "/", "42"] * 2
    assert rows["MiB anon + file, deep"] == ["48", "+", "16"] * 2


def test_the_peak_is_of_this_process_and_ends_with_the_context() -> None:
    with Peak(os.getpid()) as peak:
        pass
    assert peak.memory.rss_bytes >= peak.memory.anon_bytes > 1 << 20


def test_a_side_that_fails_is_said_and_the_next_one_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(side: str, options: tuple[str, ...]) -> None:
        raise SideError(f"no {side} {options}")

    monkeypatch.setattr(backlog, "starter", refuse)
    said: list[str] = []
    found, errors = backlog.compare(["rabbitry", "rabbitmq"], 10, 16, said.append, ("--x",))
    assert found == []
    assert errors == ["rabbitry: no rabbitry ('--x',)", "rabbitmq: no rabbitmq ('--x',)"]


@pytest.mark.processes
def test_a_queue_that_is_not_as_long_as_it_has_to_be_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "TIMEOUT_S", 1.0)
    with backlog.starter("rabbitry", ()) as node:
        work = Load(port=node.ports[0], prefix="backlog")
        load.declare_queues(work)
        backlog._check_depth(work, 0)
        with pytest.raises(LoadError, match="0 messages wait where 5 have to"):
            backlog._check_depth(work, 5)
