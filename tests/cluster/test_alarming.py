"""Alarms: what is told to whom, and that two reasons for one resource are both to go."""

from __future__ import annotations

from rabbitry.broker.alarms import Alarms
from rabbitry.cluster.alarming import Alarming


class Recorded:
    def __init__(self) -> None:
        self.said: list[object] = []
        self.alarms = Alarms()
        self.alarming = Alarming(self, "a", self.alarms)

    def report(self, level: str, what: str, **details: object) -> None:
        self.said.append(what)

    def low_on(self, resources: list[str]) -> None:
        self.said.append(resources)

    def alarms_over(self) -> None:
        self.said.append("over")


def test_everybody_hears_of_a_change_once() -> None:
    one = Recorded()
    one.alarming.changed("memory", "memory", True)
    one.alarming.changed("memory", "memory", True)
    assert one.said == ["alarm: publishers are blocked", ["memory"]]
    one.alarming.changed("memory", "memory", False)
    assert one.said[2:] == ["alarm is over", "over", []]


def test_a_disk_that_is_low_and_a_store_that_refuses_are_one_alarm_until_both_are_over() -> None:
    one = Recorded()
    one.alarming.changed("disk", "disk", True)
    one.alarming.changed("store", "disk", True)
    one.alarming.changed("disk", "disk", False)
    assert one.alarming.own == ["disk"] and one.alarms.reason == "low on disk"
    one.alarming.changed("store", "disk", False)
    assert one.alarming.own == [] and one.alarms.reason == ""


def test_another_node_s_alarm_goes_with_its_word_or_its_link() -> None:
    one = Recorded()
    one.alarming.told("b", ["disk"])
    one.alarming.changed("memory", "memory", True)
    one.alarming.told("b", [])
    assert one.alarms.reason == "low on memory"
    assert "over" not in one.said
