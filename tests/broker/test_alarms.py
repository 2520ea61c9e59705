"""Alarms of all nodes, as one of them knows them."""

from __future__ import annotations

from rabbitry.broker.alarms import Alarms


def test_one_node_is_enough_and_all_must_be_well() -> None:
    alarms = Alarms()
    assert alarms.reason == ""
    alarms.set("a", ["disk"])
    assert alarms.reason == "low on disk"
    alarms.set("b", ["memory"])
    assert alarms.reason == "low on memory & disk"
    alarms.set("b", ["memory", "disk"])
    alarms.set("a", [])
    assert (alarms.of("a"), alarms.of("b")) == ([], ["memory", "disk"])
    assert alarms.reason == "low on memory & disk"
    alarms.set("b", [])
    alarms.set("c", [])
    assert alarms.reason == ""
