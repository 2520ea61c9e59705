"""The operator's desk at the coordinator: what is asked about, and what is asked for, by people.

`StatusDesk` gathers the figures that nodes tell for "status". `judge_all` judges many requests as
one: each against the catalog as the ones before it leave it, and nothing is changed if one of them
is refused; the refusal says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.declarations import judge
from rabbitry.cluster.members import Member
from rabbitry.cluster.records import (
    Change,
    QueueDeclared,
    Refused,
    Request,
    StatisticsTold,
)

STATISTICS_TIMEOUT_US: Final = 1_000_000


def judge_all(
    catalog: Catalog, requests: Sequence[Request], next_queue: int
) -> tuple[list[Change], int] | tuple[int, Refused]:
    """Return the changes that all requests make and the next queue's number.

    Or the index of the first request that is refused, and why.
    """
    if len(requests) > 1:
        # On a copy: the later requests build on what the earlier ones make.
        tried = Catalog()
        for change in catalog.as_changes():
            tried.apply(change)
    else:
        tried = catalog
    made: list[Change] = []
    for index, request in enumerate(requests):
        judgement = judge(tried, request, "", next_queue)
        if isinstance(judgement, Refused):
            return index, judgement
        made += judgement
        for change in judgement:
            if isinstance(change, QueueDeclared):
                next_queue = change.queue + 1
            if tried is not catalog:
                tried.apply(change)
    return made, next_queue


def who_leads(catalog: Catalog, durable: bool) -> dict[str, dict[str, Any]]:
    """Return who leads what in which epoch, for checkers: by queue name, plain data.

    `durable`: the store has all of it; before that nobody hears of it.
    """
    return {
        entry.declared.name: {
            "epoch": entry.placed.epoch,
            "leader": entry.placed.leader,
            "in_sync": list(entry.placed.in_sync),
            "stored": list(entry.placed.stored),
            "durable": durable,
        }
        for entry in catalog.queues.values()
    }


@dataclass(slots=True)
class _Status:
    """A question that waits for the nodes' figures."""

    number: int
    awaited: dict[str, None]
    queues: dict[int, tuple[int, int]]
    until: int


class StatusDesk:
    """Answers "status" when all nodes have told their figures, or have had time to."""

    def __init__(
        self,
        catalog: Catalog,
        members: Mapping[str, Member],
        why_waiting: Callable[[QueueEntry], str],
        trouble: Callable[[], str],
        answer: Callable[[int, Any], None],
    ) -> None:
        """`members` are the nodes by name.

        `why_waiting` says whom a queue without a leader waits for, `trouble` why the catalog cannot
        be written; both are empty where all is well.
        """
        self._catalog = catalog
        self._members = members
        self._why_waiting = why_waiting
        self._trouble = trouble
        self._answer_to = answer
        self._statuses: dict[int, _Status] = {}

    def ask(self, number: int, awaited: Iterable[str], now: int) -> None:
        """Wait for the figures of these nodes, which have been asked."""
        status = _Status(number, dict.fromkeys(awaited), {}, now + STATISTICS_TIMEOUT_US)
        self._statuses[number] = status
        if not status.awaited:
            self._answer(status)

    def told(self, name: str, record: StatisticsTold) -> None:
        """Take a node's figures."""
        status = self._statuses.get(record.number)
        if status is not None:
            for queue, messages, consumers in record.queues:
                status.queues[queue] = (messages, consumers)
            self._no_longer_awaited(status, name)

    def left(self, name: str) -> None:
        """The node will not tell anything."""
        for status in list(self._statuses.values()):
            self._no_longer_awaited(status, name)

    def tick(self, now: int) -> None:
        """Answer with what there is where time has run out."""
        for status in list(self._statuses.values()):
            if now >= status.until:
                self._answer(status)

    def _no_longer_awaited(self, status: _Status, name: str) -> None:
        status.awaited.pop(name, None)
        if not status.awaited and status.number in self._statuses:
            self._answer(status)

    def _answer(self, status: _Status) -> None:
        del self._statuses[status.number]
        nodes = [
            {"name": name, "state": member.state, "alarms": list(member.alarms)}
            for name, member in self._members.items()
        ]
        queues: list[dict[str, Any]] = []
        for entry in self._catalog.queues.values():
            declared, placed = entry.declared, entry.placed
            messages, consumers = status.queues.get(declared.queue, (None, None))
            queues.append(
                {
                    "vhost": declared.virtual_host,
                    "name": declared.name,
                    "durable": declared.durable,
                    "exclusive": bool(declared.owner),
                    "leader": placed.leader,
                    "mirrors": placed.mirrors,
                    "in_sync": placed.in_sync,
                    "stored": placed.stored,
                    "waits": self._why_waiting(entry),
                    "messages": messages,
                    "consumers": consumers,
                }
            )
        answer = {"nodes": nodes, "queues": queues, "catalog_trouble": self._trouble()}
        self._answer_to(status.number, answer)
