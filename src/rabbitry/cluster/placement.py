"""Where queues live: who leads a queue, who mirrors it, and who takes over.

Pure functions from the catalog to `QueuePlaced` changes; only the coordinator calls them. A queue's
policy may say which nodes mirror it, with RabbitMQ's `ha-mode`: `all`, which is meant where nothing
is said, `exactly` so many replicas, or on `nodes` of these names (the part before `@` counts).
Exclusive queues live and die with the node of their connection (RabbitMQ:
rabbit_mirror_queue_misc.erl, rabbit_mirror_queue_mode_*.erl). A policy moves mirrors, never a
leader.

A new leader is chosen among the in-sync replicas only, for they hold all that was ever confirmed:
the one that leads the fewest queues, so that load spreads; the older in the list where equal.

Told case by case, each with its test of the same name in tests/cluster/test_placement*.py:

away. Who has left may be alive for all that (a link broke, a process hangs), and holds what it
held. So a mirror that leaves keeps its place in the in-sync set, and so does a leader, as a mirror
of its successor. If the leader lives, it will have them taken out when it cannot wait longer
(`DropMirror`); if it dies meanwhile, or was dead already, they can take over when they are back. A
queue whose in-sync replicas have all left waits for one of them.

stored. A process that dies loses its memory, not its store. Of a durable queue its node goes from
the in-sync set to `stored`: its store has all that was confirmed and persistent, until somebody
confirms without it, and only a leader can; so the leader, for whom it is required, has it taken out
first (`DropMirror`). Where all in-sync replicas have died, the first of `stored` that is back
leads, and the others stay in `stored`: they are as complete as it is. In-sync replicas that may be
alive are waited for first, for they have what is transient too.

stale. A mirror that was taken out, or never was in sync, is waited with, not for: it never leads a
durable queue while any complete replica may come back.

lost. A store that is another one, or a process without a store: nothing is left there. Only where
that is so of all complete replicas is what was confirmed lost, whatever we do; the queue goes on
with what another mirror has, or empty, and is "forsaken", which is said loudly.

damaged. A store that cannot vouch for its replica: that counts no more than a stale one's. Where
there is no complete replica besides, a mirror that was not complete leads, loudly; but nobody
begins empty: the queue waits, until it is deleted or such a mirror comes. Where a complete one
comes after damaged ones, nothing is lost, and nothing is said of losses.

transient. A queue that is not durable is gone when all its replicas have died.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from rabbitry.broker.policies import Definition
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.records import QueuePlaced
from rabbitry.wire.values import decode_table

# The argument of an exclusive queue whose persistent messages go to the disk nevertheless.
CONFIRM_DURABLY: Final = "x-confirm-durably"

End = Literal["away", "dead", "lost", "damaged"]
"""What has become of a node's replica. See the module; "dead": its store is kept."""


class Departure(NamedTuple):
    """A queue after a replica has ended. `placed` is None where the queue is gone.

    `loss` is "forsaken" or "damaged" (see the module) where there is no complete replica any more.
    """

    placed: QueuePlaced | None
    loss: Literal["", "forsaken", "damaged"] = ""


def place_new(
    catalog: Catalog, queue: int, exclusive: bool, node: str, policy: Definition
) -> QueuePlaced:
    """Place a queue just declared through `node`: it leads ("client-local"), the others mirror.

    One declared by an operator (`node` is empty) is led by the node that leads the fewest.
    """
    if not node:
        if not catalog.nodes:
            return QueuePlaced(queue, 1, "", [], [])  # until one joins
        node = _least_loaded(catalog, list(catalog.nodes))
    names = policy.get("ha-params")
    if policy.get("ha-mode") == "nodes" and isinstance(names, list) and not exclusive:
        listed = [name for name in catalog.nodes if name in _listed(names)]
        node = node if node in listed or not listed else listed[0]
    placed = QueuePlaced(queue, 1, node, [], [])
    mirrors = [] if exclusive else _mirrors(list(catalog.nodes), policy, placed)
    # An empty queue is in sync everywhere: there is nothing that a mirror could lack.
    return QueuePlaced(queue, 1, node, mirrors, [node, *mirrors])


def place_by_policy(catalog: Catalog, entry: QueueEntry) -> QueuePlaced | None:
    """Place a queue's mirrors after its policy has changed; None where nothing changes."""
    placed = entry.placed
    if entry.declared.owner or placed.leader not in catalog.nodes:
        return None  # who takes over will be told, when somebody can
    made = _refilled(catalog, entry, placed)
    return made if made != placed else None


def place_without(
    catalog: Catalog, entry: QueueEntry, node: str, end: End, damaged: Sequence[str] = ()
) -> Departure | None:
    """Place a queue after the replica on `node` has come to this end; None where nothing changes.

    `damaged`: the nodes that cannot vouch for their replicas.
    """
    placed = entry.placed
    if end == "dead" and not is_kept(entry):
        end = "lost"
    leads = node == placed.leader
    if not leads and (end == "away" or node not in placed.mirrors):
        return None
    made = _without(placed, node, end)
    if placed.leader and not leads:
        made.leader = placed.leader
        made = _if_exactly(catalog, entry, made)
        return Departure(made) if made != placed else None
    candidates = [name for name in made.in_sync if name in catalog.nodes and name != node]
    if candidates:
        return Departure(_promoted(catalog, entry, made, candidates, refill=end != "away"))
    if end == "away":
        return None
    if made.in_sync:
        return Departure(made) if made != placed else None
    candidates = [name for name in made.stored if name in catalog.nodes]
    if candidates:
        return Departure(_promoted(catalog, entry, made, candidates))
    if made.stored:
        return Departure(made) if made != placed else None
    return _place_incomplete(catalog, entry, made, damaged)


def _place_incomplete(
    catalog: Catalog, entry: QueueEntry, made: QueuePlaced, damaged: Sequence[str]
) -> Departure | None:
    """Place a queue of which there is no complete replica any more."""
    candidates = [name for name in made.mirrors if name in catalog.nodes and name not in damaged]
    if candidates:
        return Departure(_promoted(catalog, entry, made, candidates), "forsaken")
    if damaged:
        return Departure(made, "damaged") if made != entry.placed else None
    if not is_kept(entry):
        # Mirrors that may be alive: the first of them to be back leads.
        return Departure(made, "forsaken") if made.mirrors else Departure(None)
    if catalog.nodes:
        return Departure(_promoted(catalog, entry, made, list(catalog.nodes)), "forsaken")
    return Departure(made, "forsaken") if made != entry.placed else None


def place_with(
    catalog: Catalog, entry: QueueEntry, node: str, damaged: Sequence[str] = ()
) -> QueuePlaced | None:
    """Place a queue after `node` has joined; None where nothing changes.

    It leads, if nobody can at present and it may; or it mirrors. A queue without a leader gets no
    more mirrors until there is one: those that it has are those that hold something.
    """
    placed = entry.placed
    if entry.declared.owner or node == placed.leader:
        return None
    if placed.leader not in catalog.nodes and _may_lead(entry, node, damaged):
        return _promoted(catalog, entry, placed, [node])
    if node in placed.mirrors or not placed.leader:
        return None
    if node not in _mirrors(list({**catalog.nodes, node: None}), entry.policy, placed):
        return None
    mirrors = [*placed.mirrors, node]
    return _changed(placed, mirrors, placed.in_sync, placed.stored)


def _may_lead(entry: QueueEntry, node: str, damaged: Sequence[str]) -> bool:
    """Whether a node may lead a queue whose leader is not there."""
    placed = entry.placed
    if placed.leader or placed.in_sync:
        return node in placed.in_sync
    if placed.stored:
        return node in placed.stored
    if damaged:
        return node in placed.mirrors and node not in damaged
    return is_kept(entry) or node in placed.mirrors or not placed.mirrors


def place_handed_over(
    catalog: Catalog, entry: QueueEntry, takers: Iterable[str] | None = None
) -> QueuePlaced | None:
    """Place a queue whose leader shall not lead it; None where no other replica is in sync.

    The leader lives, and holds everything: it stays in sync, as a mirror. `takers`, if they are
    named, are those that may lead.
    """
    placed = entry.placed
    able = catalog.nodes if takers is None else [one for one in takers if one in catalog.nodes]
    others = [name for name in placed.in_sync if name in able and name != placed.leader]
    return _promoted(catalog, entry, placed, others) if others else None


def place_admitted(entry: QueueEntry, node: str) -> QueuePlaced:
    """Take a mirror into the in-sync set."""
    placed = entry.placed
    stored = [name for name in placed.stored if name != node]
    return _changed(placed, placed.mirrors, [*placed.in_sync, node], stored)


def place_dropped(catalog: Catalog, entry: QueueEntry, node: str) -> QueuePlaced:
    """Take a mirror out of the in-sync set, or of those that are in its place by their stores."""
    placed = entry.placed
    in_sync = [name for name in placed.in_sync if name != node]
    stored = [name for name in placed.stored if name != node]
    made = _changed(placed, placed.mirrors, in_sync, stored)
    dead = node not in catalog.nodes and node not in catalog.away
    return _if_exactly(catalog, entry, made) if dead else made


def is_kept(entry: QueueEntry) -> bool:
    """Whether the queue outlives the processes of its replicas."""
    return entry.declared.durable and not entry.declared.owner


def confirms_durably(entry: QueueEntry) -> bool:
    """Whether an exclusive queue, gone with its connection, is to be on the disk all the same.

    RabbitMQ knows nothing of the kind. The balancer's check asks for it, to see a disk move.
    """
    declared = entry.declared
    if not (declared.owner and declared.arguments):
        return False
    return decode_table(declared.arguments, 0)[0].get(CONFIRM_DURABLY) is True


def _without(placed: QueuePlaced, node: str, end: End) -> QueuePlaced:
    """Return the place after the replica on `node` has ended, led by nobody."""
    mirrors, in_sync, stored = placed.mirrors, placed.in_sync, placed.stored
    complete = node in in_sync or node in stored
    if node == placed.leader:
        mirrors = [*mirrors, node]
        in_sync = [*(name for name in in_sync if name != node), node]
    if end == "lost":
        mirrors = [name for name in mirrors if name != node]
    if end != "away":
        in_sync = [name for name in in_sync if name != node]
        if end != "dead":
            stored = [name for name in stored if name != node]
        elif complete and node not in stored:
            stored = [*stored, node]
    return QueuePlaced(placed.queue, placed.epoch, "", mirrors, in_sync, stored)


def _if_exactly(catalog: Catalog, entry: QueueEntry, placed: QueuePlaced) -> QueuePlaced:
    """Have another node mirror in the place of one that died, where a number is wanted."""
    if entry.policy.get("ha-mode") != "exactly" or placed.leader not in catalog.nodes:
        return placed
    return _refilled(catalog, entry, placed)


def _refilled(catalog: Catalog, entry: QueueEntry, placed: QueuePlaced) -> QueuePlaced:
    """Return the place with as many mirrors as the policy wants."""
    mirrors = _mirrors(list(catalog.nodes), entry.policy, placed)
    in_sync = [name for name in placed.in_sync if name == placed.leader or name in mirrors]
    stored = [name for name in placed.stored if name in mirrors]
    return _changed(placed, mirrors, in_sync, stored)


def _mirrors(nodes: list[str], policy: Definition, placed: QueuePlaced) -> list[str]:
    """Return who shall mirror, of those that do and the `nodes` of the cluster.

    Those that hold everything come first. Where all shall, who has left keeps its place; and so
    does one that is required by its store, until the leader has it taken out.
    """
    mode, parameters = policy.get("ha-mode", "all"), policy.get("ha-params")
    here = [name for name in placed.mirrors if name in nodes]
    here.sort(key=lambda name: name not in placed.in_sync)
    here += [name for name in nodes if name not in here and name != placed.leader]
    required = [name for name in placed.stored if name not in nodes]
    if mode == "exactly" and isinstance(parameters, int):
        here = here[: max(0, parameters - 1)]
    elif mode == "nodes" and isinstance(parameters, list):
        here = [name for name in here if name in _listed(parameters)]
    kept = [name for name in placed.mirrors if mode == "all" or name in here or name in required]
    return [*kept, *(name for name in here if name not in kept)]


def _listed(parameters: list[str]) -> list[str]:
    return [name.partition("@")[0] for name in parameters]


def _promoted(
    catalog: Catalog,
    entry: QueueEntry,
    placed: QueuePlaced,
    candidates: list[str],
    refill: bool = False,
) -> QueuePlaced:
    """Return the place led, in the next epoch, by the candidate that leads the fewest.

    The leader before it, if any, mirrors. Nodes that are there and shall mirror, do.
    """
    leader = _least_loaded(catalog, candidates)
    before = [placed.leader] if placed.leader else []
    mirrors = [name for name in [*placed.mirrors, *before] if name != leader]
    others = [name for name in placed.in_sync if name not in (leader, *before)]
    in_sync = [leader, *others, *(name for name in before if name in placed.in_sync)]
    stored = [name for name in placed.stored if name != leader]
    made = QueuePlaced(placed.queue, placed.epoch + 1, leader, mirrors, in_sync, stored)
    if refill and entry.policy.get("ha-mode") == "exactly":
        return _refilled(catalog, entry, made)
    count = entry.policy.get("ha-params")
    if entry.policy.get("ha-mode") == "exactly" and isinstance(count, int):
        room = max(0, count - 1 - len(mirrors))
    else:
        room = len(catalog.nodes)
    wanted = _mirrors([leader, *catalog.nodes], entry.policy, made)
    made.mirrors = [*mirrors, *[name for name in wanted if name not in mirrors][:room]]
    return made


def _changed(
    placed: QueuePlaced, mirrors: list[str], in_sync: list[str], stored: list[str]
) -> QueuePlaced:
    """Return the place in the same epoch, with other mirrors."""
    return QueuePlaced(placed.queue, placed.epoch, placed.leader, mirrors, in_sync, stored)


def _least_loaded(catalog: Catalog, candidates: list[str]) -> str:
    return min(candidates, key=lambda name: catalog.led.get(name, 0))
