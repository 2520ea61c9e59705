"""Who has not been heard of for too long.

Owns when it is looked, and that a coordinator that was stopped itself (by a signal, or asleep with
its machine) blames nobody: what nodes have sent meanwhile is still to be read.
"""

from __future__ import annotations

from collections.abc import Mapping

from rabbitry.cluster.members import Member


class Leases:
    """See the module. A node that is heard of has `lease_us` from then on."""

    def __init__(self, members: Mapping[str, Member], lease_us: int) -> None:
        self._members = members
        self._lease_us = lease_us
        self._look_at = 0

    def look_at(self, now: int) -> int:
        """Return when to look next."""
        self._look_at = now + self._lease_us // 8
        return self._look_at

    def overdue(self, now: int) -> list[str]:
        """Return the nodes whose lease is over."""
        if now - self._look_at > self._lease_us // 2:
            for member in self._members.values():
                member.heard_at = now
        return [
            name
            for name, member in self._members.items()
            if member.state == "running" and now - member.heard_at > self._lease_us
        ]
