"""Leadership is evened out on demand, as by `rabbitmq-queues rebalance all`.

After nodes were restarted, whoever was back first leads everything and the last one nothing, and it
stays so: a queue moves only when it must. Owns who gives which queue to whom; that things settle
before is `cluster.handing_over`. The rule: in order of their numbers, each queue goes to the node
that leads the fewest of those whose replica is in sync, if that leads at least two fewer than its
leader; counted along, until nothing moves any more. At first only those give that lead more than
their share, so that nobody gives what it is given back. Exclusive queues live with their
connections: they do not move and do not count. Who is low on disk, or about to stop, is given
nothing.

One node hands over after another: each pause is that of a few queues, and who the next gives to is
decided by what is so then.

Told race by race, each with its test of the same name in tests/cluster/test_rebalancing.py:

giver does not settle. Nothing moves: nobody is in a hurry, and what was on its way could come
twice. It goes on by itself (`cluster.quiescing`).

giver leaves. Others lead what it led, by `cluster.placement`. The next has its turn.

taker gone. Whoever left, fell out of sync or is about to stop since is given nothing. The queue
stays where it is, and goes on by itself.

two at a time. The second is refused. So is one while the catalog cannot be written, and nothing
moves if that begins meanwhile: what has settled does not wait so long.

coordinator gone. Nobody knows that something was asked; what settled goes on by itself.

failover meanwhile. Who has had its turn may lead more again, and has no other turn: `leads` tells
who has left how often, so that whoever asked knows to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rabbitry.cluster.catalog import Catalog
from rabbitry.cluster.handing_over import HandingOver
from rabbitry.cluster.members import Member
from rabbitry.cluster.placement import place_handed_over
from rabbitry.cluster.records import Change


def led_by(catalog: Catalog) -> dict[str, int]:
    """Return how many queues each node that is there leads, exclusive ones left out."""
    led = dict.fromkeys(catalog.nodes, 0)
    for entry in catalog.queues.values():
        if entry.placed.leader in led and not entry.declared.owner:
            led[entry.placed.leader] += 1
    return led


def evened_out(catalog: Catalog, givers: Sequence[str], takers: Sequence[str]) -> dict[int, str]:
    """Return which queues move, and who shall lead each; see the module."""
    led = led_by(catalog)
    movable: list[tuple[int, list[str]]] = []
    leaders: dict[int, str] = {}
    for number in sorted(catalog.queues):
        entry = catalog.queues[number]
        leader = entry.placed.leader
        others = [name for name in entry.placed.in_sync if name in takers and name != leader]
        if others and leader in givers and not entry.declared.owner:
            movable.append((number, [leader, *others]))
            leaders[number] = leader
    share = -(-sum(led.values()) // max(1, len(led)))
    for most in (share, 0):
        moved = True
        while moved:
            moved = False
            for number, able in movable:
                before, least = leaders[number], min(able, key=led.__getitem__)
                if led[before] > most and led[least] + 2 <= led[before]:
                    led[before] -= 1
                    led[least] += 1
                    leaders[number] = least
                    moved = True
    return {number: leaders[number] for number, able in movable if leaders[number] != able[0]}


@dataclass(slots=True)
class _Run:
    """One rebalance. `absent` take no part; `had_turn` are those that have given."""

    number: int
    absent: tuple[str, ...]
    had_turn: dict[str, None] = field(default_factory=dict)
    moved: dict[tuple[str, str], int] = field(default_factory=dict)  # from whom to whom
    kept: dict[str, int] = field(default_factory=dict)  # who did not settle so many queues


class Rebalancing:
    """See the module.

    `change` makes changes, `answer` answers a question when all nodes know of them, `refuse` at
    once; `trouble` says why the catalog cannot be written.
    """

    def __init__(
        self,
        catalog: Catalog,
        members: Mapping[str, Member],
        handing_over: HandingOver,
        change: Callable[[Iterable[Change]], int],
        answer: Callable[[int, Any], None],
        refuse: Callable[[int, Any], None],
        trouble: Callable[[], str],
    ) -> None:
        self._catalog = catalog
        self._members = members
        self._handing_over = handing_over
        self._change = change
        self._answer = answer
        self._refuse = refuse
        self._trouble = trouble
        self._run: _Run | None = None
        self._left: dict[str, int] = {}

    def left(self, name: str) -> None:
        """A node has left the cluster."""
        self._left[name] = self._left.get(name, 0) + 1

    def leads(self) -> dict[str, Any]:
        """Return how many queues each node that is there has "led", and how often who has "left".

        Compared with what it was before, the latter tells who left meanwhile, also if it is back.
        """
        led = led_by(self._catalog)
        told = {name: led[name] for name in self._members if name in led}
        return {"led": told, "left": dict(self._left)}

    def begin(self, number: int, absent: Sequence[str]) -> None:
        """Even out who leads; `absent` are nodes that are known to be in no state to take part.

        The answer has what was "moved" ("from", "to", "queues"), how many queues each giver "kept"
        since they did not settle, and how many each node that is there has "led" at the end. Or why
        it is "refused".
        """
        if trouble := self._trouble():
            self._refuse(number, {"refused": f"the catalog cannot be written ({trouble})"})
        elif self._run is not None:
            self._refuse(number, {"refused": "a rebalance is under way already"})
        else:
            self._run = _Run(number, tuple(absent))
            self._next(self._run)

    def _next(self, run: _Run) -> None:
        """The next node has its turn; each has one."""
        there = self._there(run)
        givers = [name for name in there if name not in run.had_turn]
        planned = evened_out(self._catalog, givers, self._takers(run))
        if not planned:
            self._run = None
            self._answer(run.number, self._told(run))
            return
        giver = self._catalog.queues[next(iter(planned))].placed.leader
        planned = {
            number: taker
            for number, taker in planned.items()
            if self._catalog.queues[number].placed.leader == giver
        }
        run.had_turn[giver] = None
        done = partial(self._settled, run, giver, planned)
        self._handing_over.ask(run.number, giver, list(planned), done)

    def _settled(self, run: _Run, giver: str, planned: dict[int, str], settled: bool) -> None:
        if settled and not self._trouble():
            self._change(self._moves(run, giver, planned))
        elif giver in self._catalog.nodes:
            run.kept[giver] = len(planned)
        self._next(run)

    def _moves(self, run: _Run, giver: str, planned: dict[int, str]) -> Iterator[Change]:
        takers = self._takers(run)
        for number, taker in planned.items():
            entry = self._catalog.queues.get(number)
            if entry is None or entry.placed.leader != giver or taker not in takers:
                continue
            placed = place_handed_over(self._catalog, entry, [taker])
            if placed is not None:
                run.moved[giver, taker] = run.moved.get((giver, taker), 0) + 1
                yield placed

    def _there(self, run: _Run) -> list[str]:
        """Return the nodes that hear us, and are not about to stop."""
        return [
            name
            for name, member in self._members.items()
            if name in self._catalog.nodes
            and member.welcomed
            and name not in run.absent
            and not self._handing_over.leaves(name)
        ]

    def _takers(self, run: _Run) -> list[str]:
        return [name for name in self._there(run) if "disk" not in self._members[name].alarms]

    def _told(self, run: _Run) -> dict[str, Any]:
        led = self.leads()["led"]
        return {
            "moved": [
                {"from": giver, "to": taker, "queues": count}
                for (giver, taker), count in run.moved.items()
            ],
            "kept": run.kept,
            "led": led,
        }
