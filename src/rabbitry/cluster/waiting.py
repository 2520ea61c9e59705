"""Why a queue has no leader, in words for people: for whom it waits."""

from __future__ import annotations

from collections.abc import Sequence

from rabbitry.cluster.catalog import Catalog, QueueEntry


def why_waiting(catalog: Catalog, entry: QueueEntry, damaged: Sequence[str]) -> str:
    """Return whom a queue waits for; empty if it has a leader that is there.

    `damaged`: the nodes that cannot vouch for their replicas of it.
    """
    placed = entry.placed
    if placed.leader in catalog.nodes:
        return ""
    awaited = placed.in_sync or ([placed.leader] if placed.leader else placed.stored)
    if awaited:
        have = "only it has" if len(awaited) == 1 else "only they have"
        why = f"waits for {' or '.join(awaited)}: {have} all that was confirmed"
    elif damaged:
        why = "waits for its deletion, or for a mirror that has some of it"
    else:
        why = "waits for a node"
    return f"damaged on {', '.join(damaged)}; {why}" if damaged else why
