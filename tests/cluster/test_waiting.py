"""Why a queue has no leader: what a person reads."""

from __future__ import annotations

import pytest

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.records import NodeJoined, QueueDeclared, QueuePlaced
from rabbitry.cluster.waiting import why_waiting


@pytest.mark.parametrize(
    ("placed", "damaged", "why"),
    [
        (QueuePlaced(1, 1, "a", ["b"], ["a"]), "", ""),
        (
            QueuePlaced(1, 1, "b", ["a"], ["b"]),
            "",
            "waits for b: only it has all that was confirmed",
        ),
        (
            QueuePlaced(1, 1, "", ["b", "c"], ["b"], ["c"]),
            "",
            "waits for b: only it has all that was confirmed",
        ),
        (
            QueuePlaced(1, 1, "", ["b", "c"], [], ["b", "c"]),
            "",
            "waits for b or c: only they have all that was confirmed",
        ),
        (
            QueuePlaced(1, 1, "", ["b", "c"], [], ["c"]),
            "b",
            "damaged on b; waits for c: only it has all that was confirmed",
        ),
        (
            QueuePlaced(1, 1, "", ["b"], [], []),
            "b",
            "damaged on b; waits for its deletion, or for a mirror that has some of it",
        ),
        (QueuePlaced(1, 1, "", [], [], []), "", "waits for a node"),
    ],
)
def test_whom_it_waits_for(placed: QueuePlaced, damaged: str, why: str) -> None:
    catalog = Catalog()
    catalog.apply(NodeJoined("a", "1", "h", 1))
    catalog.apply(QueueDeclared("/", "q", 1, True, False, "", b""))
    catalog.apply(placed)
    assert why_waiting(catalog, catalog.queues[1], list(damaged)) == why
