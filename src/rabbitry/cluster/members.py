"""What the coordinator knows of a node that has joined at some time."""

from __future__ import annotations


class Member:
    """`incarnation` is empty while no process is known; `link` None while there is none."""

    __slots__ = ("followed", "heard_at", "incarnation", "joined_at", "link", "state", "welcomed")

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.state = "down"  # running, hung (may be alive), down
        self.link: int | None = None
        self.heard_at = 0
        self.joined_at = 0  # the revision of its joining
        self.followed = 0
        self.welcomed = False  # it gets changes as they come
