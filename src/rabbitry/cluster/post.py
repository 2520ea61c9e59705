"""What leaders have for the users and the mirrors of their queues, brought to where these are.

A user is a process; where that is this one, its proxy is called, else a record is sent. Confirms
are gathered and told once for each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, cast

from rabbitry.broker.message import Message, run_of
from rabbitry.broker.queue import Consumer
from rabbitry.cluster.peers import Peers
from rabbitry.cluster.queue_records import Accepted, Delivered, Record, ToUser
from rabbitry.cluster.site import Site

_route_of: Final = itemgetter(0)


class Post:
    """See the module. `origin` names this process in the whole cluster."""

    def __init__(self, origin: str, peers: Peers) -> None:
        self.origin = origin
        self._peers = peers
        self._sites: dict[int, Site] = {}
        self._accepted: dict[tuple[int, str], int] = {}  # to tell at the end of the step

    def tell_user(self, user: str, record: Record) -> None:
        """Send a record to the node that uses the queue, or hand it over where that is this one."""
        if user == self.origin:
            site = self._sites.get(getattr(record, "queue", 0))
            if site is not None and site.proxy is not None:
                site.proxy.receive(cast("ToUser", record))
            return
        name = user.partition("#")[0]
        if self._peers.is_up(name) and self._peers.origin_of(name) == user:
            self._peers.send(name, record)

    def tell_mirrors(self, nodes: list[str], encoded: bytes) -> None:
        """Send an encoded record of the stream to these nodes."""
        for name in nodes:
            self._peers.send_encoded(name, encoded)

    def accepted(self, queue: int, user: str, last: int) -> None:
        """Tell a publishing node that all through its number `last` is safe."""
        if user == self.origin:
            site = self._sites.get(queue)
            if site is not None and site.proxy is not None:
                site.proxy.accepted(last)
        else:
            self._accepted[queue, user] = last

    def deliver(
        self,
        queue: int,
        consumer: Consumer,
        positions: Sequence[int],
        messages: list[Message],
        redelivered: bool,
    ) -> None:
        """Bring messages to a consumer, here or on another node."""
        site = self._sites.get(queue)
        if site is None:
            return
        holder, number = consumer.holder, consumer.number
        if holder[0] == self.origin:
            if site.proxy is not None:
                site.proxy.delivered(holder, number, positions, messages, redelivered)
            return
        at = 0
        for _, group in groupby(messages, _route_of):
            run = run_of(list(group))
            part = list(positions[at : at + len(run[3])])
            at += len(part)
            self.tell_user(
                holder[0], Delivered(queue, site.epoch, holder, number, part, redelivered, run)
            )

    def tell_accepted(self) -> None:
        """Tell other nodes what was accepted in this step."""
        accepted, self._accepted = self._accepted, {}
        for (queue, user), last in accepted.items():
            site = self._sites.get(queue)
            if site is not None:
                self.tell_user(user, Accepted(queue, site.epoch, last))
