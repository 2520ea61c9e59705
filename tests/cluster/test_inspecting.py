"""What checkers are told of a replica."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rabbitry.broker.message import Message, Route
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.queue import Queue
from rabbitry.cluster.inspecting import digest, inspect_replica
from rabbitry.cluster.replica import Replica

MESSAGES: dict[int, Message] = {2: (Route(b"", b"q"), b"two"), 3: (Route(b"", b"q"), b"three")}
ENTRIES = [(2, b"two"), (3, b"three"), (4, None), (5, None)]


def test_nothing_is_none() -> None:
    assert inspect_replica(None, None) is None


def test_a_leader_tells_what_only_its_store_has() -> None:
    queue = Queue(lambda *_: None)
    queue.restore([(2, 5)], MESSAGES, 0, 9)
    leader: Any = SimpleNamespace(queue=queue, epoch=3)
    assert inspect_replica(leader, None) == {
        "begun": True,
        "complete": True,
        "role": "leader",
        "epoch": 3,
        "position": 8,
        "entries": ENTRIES,
    }


def test_so_does_a_mirror() -> None:
    replica = Replica()
    replica.positions, replica.messages = PositionSet([(2, 5)]), dict(MESSAGES)
    replica.next_position = 7
    mirror: Any = SimpleNamespace(current=replica, epoch=4, begun=True, complete=False)
    assert inspect_replica(None, mirror) == {
        "begun": True,
        "complete": False,
        "role": "mirror",
        "epoch": 4,
        "position": 6,
        "entries": ENTRIES,
    }


def test_digests_tell_contents_apart() -> None:
    assert digest(None) is None
    assert digest(b"a") == digest(b"a") != digest(b"b")
