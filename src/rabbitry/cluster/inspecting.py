"""What a node holds of a queue, as checkers of a simulation compare it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.mirror import QueueMirror


def inspect_replica(
    leader: QueueLeader | None, mirror: QueueMirror | None
) -> dict[str, Any] | None:
    """Return what there is of one queue; None: nothing.

    `entries` are (position, content), the content None where the store alone has it.
    """
    if leader is not None:
        messages = dict(leader.queue.entries())
        ranges = leader.queue.ranges()
        epoch, last = leader.epoch, leader.queue.next_position - 1
    elif mirror is not None:
        replica = mirror.current
        messages, ranges = replica.messages, replica.positions.ranges()
        epoch, last = mirror.epoch, replica.next_position - 1
    else:
        return None
    positions = [at for first, end in ranges for at in range(first, end + 1)]
    return {
        "begun": mirror is None or mirror.begun,
        "complete": mirror is None or mirror.complete,
        "role": "leader" if leader is not None else "mirror",
        "epoch": epoch,
        "position": last,
        "entries": [(at, messages[at][1] if at in messages else None) for at in positions],
    }


def digest(frames: bytes | None) -> str | None:
    """Return what stands for the content of a message, None for one that is not known."""
    return None if frames is None else blake2b(frames, digest_size=8).hexdigest()


def by_name(inspected: dict[int, dict[str, Any]], catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Return what a node holds by the names of its queues, contents as digests."""
    found: dict[str, dict[str, Any]] = {}
    for number, held in inspected.items():
        entry = catalog.queues.get(number)
        if entry is not None:
            messages = [(position, digest(one)) for position, one in held.pop("entries")]
            in_sync = list(entry.placed.in_sync)
            found[entry.declared.name] = {**held, "messages": messages, "in_sync": in_sync}
    return found
