"""Where queues live: who leads a queue, who mirrors it, and who takes over.

Pure functions from the catalog to `QueuePlaced` changes; only the coordinator calls them. A queue's
policy may say which nodes mirror it, with RabbitMQ's `ha-mode`: `all`, which is meant where nothing
is said, `exactly` so many replicas, or on `nodes` of these names (the part before `@` counts).
Exclusive queues live and die with the node of their connection (RabbitMQ:
rabbit_mirror_queue_misc.erl, rabbit_mirror_queue_mode_*.erl). A policy moves mirrors, never a
leader.

A new leader is chosen among the in-sync replicas only, for they hold all that was ever confirmed:
the one that leads the fewest queues, so that load spreads; the older in the list where equal.

Who has left may be alive for all that (a link broke, a process hangs), and holds what it held. So
a mirror that leaves keeps its place in the in-sync set, and so does a leader, as a mirror of its
successor. If the leader lives, it will have them taken out when it cannot wait longer
(`DropMirror`); if it dies meanwhile, or was dead already, they can take over when they are back. A
queue whose in-sync replicas have all left waits for one of them. Only where all of them are known
to be dead is what was confirmed lost, whatever we do; the queue goes on with what another mirror
has, or empty, and `forsaken` says so to people.
"""

from __future__ import annotations

from rabbitry.broker.policies import Definition
from rabbitry.cluster.catalog import Catalog, QueueEntry
from rabbitry.cluster.records import QueuePlaced


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
    catalog: Catalog, entry: QueueEntry, node: str, dead: bool
) -> tuple[QueuePlaced, bool] | None:
    """Place a queue after `node` has left; None where nothing changes.

    The flag says that the queue is forsaken: all its in-sync replicas are dead.
    """
    placed = entry.placed
    leads = node == placed.leader
    if not leads and (not dead or node not in placed.mirrors):
        return None
    mirrors = [name for name in placed.mirrors if name != node]
    in_sync = [name for name in placed.in_sync if name != node]
    if placed.leader and not leads:
        made = QueuePlaced(placed.queue, placed.epoch, placed.leader, mirrors, in_sync)
        return _if_exactly(catalog, entry, made), False
    candidates = [name for name in in_sync if name in catalog.nodes]
    if candidates:
        leader = _least_loaded(catalog, candidates)
        stays = [] if dead or not leads else [node]
        made = _led_by(placed, leader, [*mirrors, *stays], [*in_sync, *stays])
        return (_if_exactly(catalog, entry, made) if dead else made), False
    if not dead:
        return None
    if in_sync:
        return QueuePlaced(placed.queue, placed.epoch, "", mirrors, in_sync), False
    rest = [name for name in mirrors if name in catalog.nodes] or list(catalog.nodes)
    if not rest:
        return QueuePlaced(placed.queue, placed.epoch, "", mirrors, []), True
    return _led_by(placed, _least_loaded(catalog, rest), mirrors, []), True


def place_with(catalog: Catalog, entry: QueueEntry, node: str) -> QueuePlaced | None:
    """Place a queue after `node` has joined; None where nothing changes.

    It mirrors; or it leads, if nobody can at present and it is in sync, or nobody is.
    """
    placed = entry.placed
    if entry.declared.owner or node == placed.leader:
        return None
    if placed.leader not in catalog.nodes:
        in_sync = [name for name in placed.in_sync if name != placed.leader]
        if node in in_sync or (not placed.leader and not in_sync):
            stays = [placed.leader] if placed.leader else []
            return _led_by(placed, node, [*placed.mirrors, *stays], [*in_sync, *stays])
    if node in placed.mirrors:
        return None
    if node not in _mirrors([*catalog.nodes, node], entry.policy, placed):
        return None
    mirrors = [*placed.mirrors, node]
    return QueuePlaced(placed.queue, placed.epoch, placed.leader, mirrors, placed.in_sync)


def _if_exactly(catalog: Catalog, entry: QueueEntry, placed: QueuePlaced) -> QueuePlaced:
    """Have another node mirror in the place of one that died, where a number is wanted."""
    if entry.policy.get("ha-mode") != "exactly" or placed.leader not in catalog.nodes:
        return placed
    return _refilled(catalog, entry, placed)


def _refilled(catalog: Catalog, entry: QueueEntry, placed: QueuePlaced) -> QueuePlaced:
    """Return the place with as many mirrors as the policy wants."""
    mirrors = _mirrors(list(catalog.nodes), entry.policy, placed)
    in_sync = [name for name in placed.in_sync if name == placed.leader or name in mirrors]
    return QueuePlaced(placed.queue, placed.epoch, placed.leader, mirrors, in_sync)


def _mirrors(nodes: list[str], policy: Definition, placed: QueuePlaced) -> list[str]:
    """Return who shall mirror, of those that do and the `nodes` of the cluster.

    Those that hold everything come first. Where all shall, who has left keeps its place.
    """
    mode, parameters = policy.get("ha-mode", "all"), policy.get("ha-params")
    here = [name for name in placed.mirrors if name in nodes]
    here.sort(key=lambda name: name not in placed.in_sync)
    here += [name for name in nodes if name not in here and name != placed.leader]
    if mode == "exactly" and isinstance(parameters, int):
        here = here[: max(0, parameters - 1)]
    elif mode == "nodes" and isinstance(parameters, list):
        here = [name for name in here if name in _listed(parameters)]
    kept = [name for name in placed.mirrors if mode == "all" or name in here]
    return [*kept, *(name for name in here if name not in kept)]


def _listed(parameters: list[str]) -> list[str]:
    return [name.partition("@")[0] for name in parameters]


def _led_by(
    placed: QueuePlaced, leader: str, mirrors: list[str], in_sync: list[str]
) -> QueuePlaced:
    """Return the place in the next epoch. `mirrors` and `in_sync` may name the leader or not."""
    return QueuePlaced(
        placed.queue,
        placed.epoch + 1,
        leader,
        [name for name in mirrors if name != leader],
        [leader, *(name for name in in_sync if name != leader)],
    )


def _least_loaded(catalog: Catalog, candidates: list[str]) -> str:
    led = dict.fromkeys(candidates, 0)
    for entry in catalog.queues.values():
        leader = entry.placed.leader
        if leader in led:
            led[leader] += 1
    return min(candidates, key=lambda name: led[name])
