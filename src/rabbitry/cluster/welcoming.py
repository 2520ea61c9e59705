"""Who has joined, and waits for the catalog.

It is sent when nothing waits for the store: what is told is durable. Requests that come meanwhile
wait with it, whoever asks, or there might always be something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rabbitry.cluster.annals import Annals
from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.members import Member
from rabbitry.cluster.records import Requested, Welcomed


class Welcoming:
    """See the module. `tell` sends to a link; `requested` judges a request."""

    def __init__(
        self,
        catalog: Catalog,
        annals: Annals,
        members: Mapping[str, Member],
        tell: Callable[[int, Welcomed], None],
        requested: Callable[[str, Member, Requested], None],
    ) -> None:
        self._catalog = catalog
        self._annals = annals
        self._members = members
        self._tell = tell
        self._requested = requested
        self._waiting: dict[str, None] = {}
        self._deferred: list[tuple[str, str, Requested]] = []

    def joined(self, name: str) -> None:
        """It has joined, and is to be welcomed when that can be."""
        self._waiting[name] = None

    def take(self, name: str, member: Member, record: Requested) -> None:
        """Have a request judged, at once if nobody waits."""
        if self._waiting:
            self._deferred.append((name, member.incarnation, record))
        else:
            self._requested(name, member, record)

    def welcome(self, cluster: str, life: str) -> None:
        """Send the catalog to those who wait, if all of it is durable.

        Then judge what has waited with it, if who asked is the same still. `cluster` and `life` are
        the coordinator's names.
        """
        if not self._annals.durable:
            return
        waiting, self._waiting = self._waiting, {}
        for name in waiting:
            member = self._members[name]
            if member.link is not None:
                member.welcomed = True
                changes = self._catalog.as_changes()
                self._tell(member.link, Welcomed(self._annals.revision, changes, cluster, life))
        deferred, self._deferred = self._deferred, []
        for name, incarnation, record in deferred:
            member = self._members[name]
            if member.incarnation == incarnation:
                self._requested(name, member, record)
