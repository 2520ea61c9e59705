"""Nodes that keep a queue and confirm: what the coordinator's word must be good for.

A model of what leaders and mirrors do (`cluster.leader`), as small as can be: a leader confirms a
message when all whom it knows to be required have it in their stores; a mirror that follows the
leader's epoch is copied to at once; what a process knows is what it was told; what it asks for may
be on the way for long, and is asked again over the next link. Whoever begins to lead must have all
that was ever confirmed, unless the coordinator has said that it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from support.coordination_stage import Stage

from rabbitry.cluster.records import AdmitMirror, DeclareQueue, DropMirror, QueuePlaced

ADMIT_OR_DROP = 4  # how often, see `Confirming.possible`
FORSAKEN = "queue has lost all replicas that held everything"


class Asked:
    """A request of a leader, perhaps still on the way. `numbers`: as it was asked, and again."""

    def __init__(self, request: AdmitMirror | DropMirror) -> None:
        self.request = request
        self.on_the_way = True
        self.numbers: list[int] = []


class Process:
    """What a node's process knows besides what its stage's node was told."""

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.alive = True
        self.asked: list[Asked] = []


class Confirming:
    """Plays what may happen. `stores` are what nodes have of the queue, as numbers of messages."""

    def __init__(self) -> None:
        self.stage = Stage("a", "b", "c")
        self.stage.stores = {name: f"store of {name}" for name in "abc"}
        self.processes = {name: Process(1) for name in "abc"}
        self.stores: dict[str, set[int]] = {name: set() for name in "abc"}
        self.confirmed: set[int] = set()
        self.confirms = 0
        self.forsaken = 0
        self.began: set[tuple[str, int, int]] = set()
        for name in "abc":
            self.stage.join(name)
        # All but the first are ballast: so there is something to even out.
        for name in ("q", "r", "s"):
            self.stage.nodes["a"].ask(DeclareQueue("/", name, True, False, "", b""))
        self.stage.commits_wait = True

    # --- what may happen --------------------------------------------------------------------------

    def play(self, drawn: int) -> None:
        """Do one of the things that may happen now."""
        weighted = [one for weight, one in self.possible() for _ in range(weight)]
        weighted[drawn % len(weighted)]()
        self.check()

    def possible(self) -> list[tuple[int, Callable[[], object]]]:
        """Return what may happen, each with how often it shall."""
        stage = self.stage
        found: list[tuple[int, Callable[[], object]]] = [
            (1, partial(stage.restart, 0)),
            (1, partial(stage.restart, 1)),
        ]
        if stage.under_way:
            found += [(12, stage.commit_one), (1, stage.fail)]
        for name, process in self.processes.items():
            node = stage.nodes[name]
            if not process.alive:
                found += [(4, partial(self.starts, name)), (1, partial(self.loses_store, name))]
                found.append((1, partial(stage.ask, 901, ("node died", name))))
                continue
            found += [(1, partial(self.dies, name, True)), (1, partial(self.dies, name, False))]
            if node.closed:
                found.append((4, partial(self.joins_again, name)))
            else:
                found += [(1, partial(stage.lose_link, name))]
                found += [(1, partial(stage.ask, 900, ("hand over", name)))]
                found += [(1, partial(stage.ask, 902, ("rebalance", ())))]
                if any(one.on_the_way for one in process.asked):
                    found.append((4, partial(self.sends, name)))
            found += self.possible_of_leader(name)
        return found

    def possible_of_leader(self, name: str) -> list[tuple[int, Callable[[], object]]]:
        placed = self.placed(name)
        if placed is None or placed.leader != name:
            return []
        required = self.required(name, placed)
        found: list[tuple[int, Callable[[], object]]] = []
        if all(self.follows(one, placed) for one in required):
            found.append((6, partial(self.confirm, name, required)))
        asked = [one.request.node for one in self.processes[name].asked]
        for one in placed.mirrors:
            follows = self.follows(one, placed)
            if one in required and not follows and one not in asked and self.seen(name, one):
                found.append((ADMIT_OR_DROP, partial(self.drop, name, placed, one)))
            if one not in placed.in_sync and follows and one not in asked:
                found.append((ADMIT_OR_DROP, partial(self.admit, name, placed, one)))
        return found

    # --- processes --------------------------------------------------------------------------------

    def dies(self, name: str, heard: bool) -> None:
        self.processes[name].alive = False
        if not self.stage.nodes[name].closed:
            self.stage.lose_link(name)
        if heard:
            self.stage.ask(901, ("node died", name))

    def starts(self, name: str) -> None:
        process = self.processes[name] = Process(self.processes[name].incarnation + 1)
        self.stage.join(name, str(process.incarnation))

    def loses_store(self, name: str) -> None:
        self.stores[name] = set()
        self.stage.stores[name] += "'"

    def joins_again(self, name: str) -> None:
        """The process is the same: what it knew it knows, and what it asked for it asks again."""
        process, before = self.processes[name], self.stage.nodes[name]
        again = self.stage.join(name, str(process.incarnation))
        again._next_request = before._next_request
        again.answers |= before.answers
        if not again.welcomes:
            again.catalog = before.catalog
        for asked in process.asked:
            asked.on_the_way = True

    def sends(self, name: str) -> None:
        node = self.stage.nodes[name]
        for one in self.processes[name].asked:
            if one.on_the_way:
                one.on_the_way = False
                one.numbers.append(node._next_request)
                node.ask(one.request)
                return

    # --- leaders ----------------------------------------------------------------------------------

    def placed(self, name: str) -> QueuePlaced | None:
        """Return where the queue is, as this process was told."""
        entry = self.stage.nodes[name].catalog.queues.get(1)
        alive = self.processes[name].alive
        return entry.placed if alive and entry is not None else None

    def follows(self, name: str, placed: QueuePlaced) -> bool:
        known = self.placed(name)
        return known is not None and (known.epoch, known.leader) == (placed.epoch, placed.leader)

    def required(self, name: str, placed: QueuePlaced) -> list[str]:
        """Return for whom a leader waits: those in the sets, and those that it asked for."""
        process, node = self.processes[name], self.stage.nodes[name]
        answered = node.answers.keys()
        process.asked = [one for one in process.asked if not answered & set(one.numbers)]
        asked = [one.request.node for one in process.asked if isinstance(one.request, AdmitMirror)]
        required = dict.fromkeys([*placed.in_sync, *placed.stored, *asked])
        return [one for one in required if one != name]

    def seen(self, name: str, mirror: str) -> bool:
        """Whether a leader would see that a mirror is out of reach (`Hosting.tick`)."""
        catalog = self.stage.nodes[name].catalog
        stored = catalog.queues[1].placed.stored
        return mirror in catalog.nodes or mirror in catalog.away or mirror in stored

    def confirm(self, name: str, required: list[str]) -> None:
        self.confirms += 1
        self.stores[name].add(self.confirms)
        for one in required:
            self.stores[one] = set(self.stores[name])
        self.confirmed.add(self.confirms)

    def drop(self, name: str, placed: QueuePlaced, mirror: str) -> None:
        self.processes[name].asked.append(Asked(DropMirror(1, placed.epoch, mirror)))

    def admit(self, name: str, placed: QueuePlaced, mirror: str) -> None:
        """The mirror is copied to, and required from here on, whatever the answer will be."""
        self.stores[mirror] = set(self.stores[name])
        revision = self.stage.nodes[name].revision
        self.processes[name].asked.append(Asked(AdmitMirror(1, placed.epoch, mirror, revision)))

    # --- what must be so --------------------------------------------------------------------------

    def check(self) -> None:
        """Who begins to lead has all that was confirmed."""
        reported = self.stage.reported(FORSAKEN)
        forsaken = sum(details["queue"] == "q" for details in reported)
        for name, process in self.processes.items():
            placed = self.placed(name)
            if placed is None or placed.leader != name:
                continue
            beginning = (name, process.incarnation, placed.epoch)
            if beginning not in self.began:
                self.began.add(beginning)
                missing = self.confirmed - self.stores[name]
                if missing and forsaken > self.forsaken:
                    self.forsaken = forsaken
                    self.confirmed &= self.stores[name]
                    continue
                assert not missing, f"{name} leads epoch {placed.epoch} without {missing}"

    def settle(self, name: str) -> None:
        """Let a leader do what it can to get on."""
        for _ in range(10):
            for weight, one in self.possible_of_leader(name):
                if weight == ADMIT_OR_DROP:
                    one()
            self.sends(name)

    def finish(self) -> None:
        """Everything comes back: somebody leads, everybody knows, and gets into the in-sync set.

        Then all others die: the leader goes on alone.
        """
        stage = self.stage
        stage.commits_wait = False
        while stage.under_way:
            stage.commit_one()
        stage.wait(1_000_000)
        for name, process in self.processes.items():
            if not process.alive:
                self.starts(name)
            elif stage.nodes[name].closed:
                self.joins_again(name)
        self.check()
        leader = stage.coordinator.catalog.queues[1].placed.leader
        assert leader in stage.coordinator.catalog.nodes
        known = [self.placed(name) for name in "abc"]
        assert all(one == other for one, other in pairwise(known))
        self.settle(leader)
        placed = self.placed(leader)
        assert placed is not None
        assert sorted(placed.in_sync) == ["a", "b", "c"]
        assert not placed.stored
        others = [name for name in "abc" if name != leader]
        for name in others:
            self.dies(name, heard=True)
        self.settle(leader)
        placed = self.placed(leader)
        assert placed is not None
        assert not self.required(leader, placed), "it waits for the dead for ever"
