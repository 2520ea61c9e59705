"""What is waited for, and for how long."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.leader import QueueLeader
from rabbitry.cluster.patience import DESERTED_TICKS, MIRROR_PATIENCE_US, Patience
from rabbitry.cluster.records import NodeJoined, NodeLeft


class Waiting:
    """A node a with others that are up or not, and one queue that it leads."""

    def __init__(self, awaited: list[str], deserted: bool = False) -> None:
        self.up = ["b", "c"]
        peers: Any = MagicMock()
        peers.is_up.side_effect = self.up.__contains__
        self.catalog = Catalog()
        for name in ("a", "b", "c"):
            self.catalog.apply(NodeJoined(name, "1", "h", 1))
        self.leader: Any = MagicMock(spec=QueueLeader)
        self.leader.awaited = awaited
        self.leader.is_deserted.return_value = deserted
        self.patience = Patience("a", peers)
        self.patience.begun(self.leader)

    def tick(self, now: int) -> list[str]:
        """Return of which nodes nothing is expected any more."""
        self.leader.give_up_word.reset_mock()
        self.patience.tick(now, self.catalog, lambda: [self.leader])
        calls = self.leader.give_up_word.call_args_list
        return [name for one in calls for name in one.args[0]]


def test_a_node_out_of_reach_is_given_up_after_a_while() -> None:
    one = Waiting(["b", "c"])
    assert one.tick(0) == []
    one.up.remove("c")
    assert one.tick(100) == []
    assert one.tick(99 + MIRROR_PATIENCE_US) == []
    one.leader.give_up_mirror.assert_not_called()
    assert one.tick(100 + MIRROR_PATIENCE_US) == ["c"]
    one.leader.give_up_mirror.assert_called_once_with("c")


def test_a_node_that_came_back_has_all_its_time_again() -> None:
    one = Waiting(["c"])
    one.up.remove("c")
    one.tick(0)
    one.patience.peer_up("c")
    assert one.tick(MIRROR_PATIENCE_US) == []


def test_a_node_that_has_left_is_given_up_at_once() -> None:
    one = Waiting(["c"])
    one.catalog.apply(NodeLeft("c", "1", False))
    assert one.tick(0) == ["c"]
    one.patience.ended(one.leader)
    assert one.tick(1) == []


def test_deserted_queues_wait_for_their_consumers() -> None:
    one = Waiting([], deserted=True)
    for now in range(DESERTED_TICKS):
        one.tick(now)
    one.leader.delete_if_deserted.assert_not_called()
    one.tick(DESERTED_TICKS)
    one.leader.delete_if_deserted.assert_called_once()
    other = Waiting([], deserted=True)
    other.leader.is_deserted.return_value = False
    other.tick(0)
    other.leader.is_deserted.return_value = True
    for now in range(2 * DESERTED_TICKS):
        other.tick(now)
    other.leader.delete_if_deserted.assert_not_called()
