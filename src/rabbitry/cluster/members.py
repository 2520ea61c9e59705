"""What the coordinator knows of a node that has joined at some time."""

from __future__ import annotations


class Member:
    """`incarnation` is empty while no process is known; `link` None while there is none."""

    __slots__ = (
        "alarms",
        "followed",
        "heard_at",
        "incarnation",
        "joined_at",
        "link",
        "state",
        "welcomed",
    )

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.state = "down"  # running, hung (may be alive), down
        self.link: int | None = None
        self.heard_at = 0
        self.joined_at = 0  # the revision of its joining
        self.followed = 0
        self.welcomed = False  # it gets changes as they come
        self.alarms: tuple[str, ...] = ()  # what it is low on

    def low_on(self, alarms: tuple[str, ...]) -> bool:
        """It is low on these, and on nothing else. Say whether that is news."""
        before, self.alarms = self.alarms, alarms
        return alarms != before

    def left(self, dead: bool) -> None:
        """It is out of the cluster; `dead`: its process is no more. What it lacks nobody knows."""
        self.state = "down" if dead else "hung"
        self.alarms = ()
        if dead:
            self.incarnation = ""
