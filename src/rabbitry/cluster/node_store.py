"""What one node keeps: the stores of its queues, and one commit under way (group commit).

All that queue stores want written while a commit is under way goes out together when that is
answered: one sync for all that waits, however many publishers wait for it. Nothing waits for a
timer.

    store     how this store is called, for ever (`Join.store`)
    cluster   of which cluster it is (`Welcomed.cluster`)
    heard     the last revision of the catalog that the node heard, and in which life (`Join.life`)
    orderly   that the node has stopped in order: what it knew to have been out is all that was
    ...       and what `cluster.chunks` tells

After a start without `orderly` everything found counts as seen (docs/decisions/0012-durable.md).
The word is taken back before the node serves.

What was heard is written with whatever else is, and by itself at most at every tick: nothing waits
for it, and what a store has of a queue is never younger than what it says it has heard.

When the disk refuses, what was to be written is kept and handed over again every `RETRY_US`;
meanwhile the node is low on disk, so publishers are blocked. What is removed goes first then,
alone: on a full disk that may be all that can be written, and it makes room for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rabbitry.cluster.chunks import (
    HOLES,
    LASTING,
    PASSING,
    Kept,
    chunk_key_of,
    decode_holes,
    decode_kept,
    encode_kept,
    holes_key_of,
    kept_key,
    queue_of,
)
from rabbitry.cluster.merging import Merging
from rabbitry.cluster.queue_store import QueueStore, Writes
from rabbitry.machine import BULK, Commit, Effect, Entropy, Load, Started, Value

RETRY_US: Final = 1_000_000
STORE_KEY: Final = b"store"
CLUSTER_KEY: Final = b"cluster"
HEARD_KEY: Final = b"heard"
ORDERLY_KEY: Final = b"orderly"
NAME_BYTES: Final = 16

OnValues = Callable[[Sequence[Value | None]], None]


class NodeStorePort(Protocol):
    """What the store needs of its node."""

    def queue_stored(self, queue: int) -> None:
        """More of what this queue's store was given is durable."""
        ...

    def store_refuses(self, reason: str) -> None:
        """The disk takes nothing at present; empty: it does again."""
        ...

    def store_failed(self, queue: int) -> None:
        """What was written of this queue cannot be read again: the process must end."""
        ...


class NodeStore:
    """See the module. `name` and `cluster` are empty before `start`."""

    def __init__(self, port: NodeStorePort, entropy: Entropy) -> None:
        self.name = ""
        self.cluster = ""
        self.heard = "", 0  # (life of the coordinator, revision)
        self._heard_written = self.heard
        self._heard_due = False  # to be written now, if nothing else is
        self.orderly = False  # so was the last stop
        self.damaged: list[int] = []  # queues that the store had, and cannot vouch for
        self.kept: dict[int, Kept] = {}  # what was found of each queue
        self.trouble = ""
        self._port = port
        self._entropy = entropy
        self._queues: dict[int, QueueStore] = {}
        self._touched: dict[QueueStore, None] = {}
        self._writes: Writes = []  # of the node itself, and what could not be written
        self._commit = 0
        self._under_way: list[QueueStore] | None = None
        self._handed: Writes = []  # the writes under way
        self._relieves = False  # the commit under way has removals only
        self._relieved = False  # such a one was the last
        self._retry_at: int | None = None
        self._on_durable: list[Callable[[], None]] = []
        self._waiting: list[Callable[[], None]] = []  # for the commit under way
        self._loads: dict[int, OnValues] = {}
        self._last_load = 0
        self._merging = Merging(self.load)
        self._effects: list[Effect] = []

    # --- the beginning ----------------------------------------------------------------------------

    def start(self, event: Started) -> None:
        """Take what was kept."""
        own = {key: value for key, value in event.stored if queue_of(key) is None}
        self.name = own.get(STORE_KEY, b"").decode()
        if not self.name:
            self.name = self._entropy.token_bytes(NAME_BYTES).hex()
            self._writes.append((STORE_KEY, self.name.encode()))
        self.cluster = own.get(CLUSTER_KEY, b"").decode()
        life, _, revision = own.get(HEARD_KEY, b"").decode().rpartition(" ")
        self.heard = self._heard_written = life, int(revision or 0)
        self.orderly = ORDERLY_KEY in own
        if self.orderly:
            self._writes.append((ORDERLY_KEY, None))
        damaged = {queue_of(key): None for key in event.damaged}
        self.damaged = sorted(queue for queue in damaged if queue is not None)
        for queue in self.damaged:
            self.queue(queue).damaged = True
        holes: Writes = []
        for key, value in event.stored:
            number = queue_of(key)
            if number is not None and key[:1] == b"q":
                self._found_kept(number, value)
            elif number is not None:
                holes.append((key, value))
        self._find_chunks(event)
        self._find_holes(holes)

    def _found_kept(self, queue: int, value: bytes) -> None:
        if not self.queue(queue).damaged:
            kept = self.kept[queue] = decode_kept(value)
            if not self.orderly and kept.seen_through < kept.next_position - 1:
                kept.seen_through = kept.next_position - 1
                # At once: this process may end in order before anybody has told it its part.
                self._writes.append((kept_key(queue), encode_kept(kept)))
            self.queue(queue).generation = kept.generation

    def _find_chunks(self, event: Started) -> None:
        damaged = [key for key in event.damaged if key.startswith(BULK)]
        for key in sorted([*event.bulk, *damaged]):
            if key[:2] not in (LASTING, PASSING):
                continue
            chunk = chunk_key_of(key)
            store = self._queues.get(chunk.queue)
            kept = self.kept.get(chunk.queue)
            whole = kept is not None and chunk.generation <= kept.generation and chunk.lasting
            if store is not None and (whole or store.damaged):
                store.found(chunk)
            else:
                self._writes.append((key, None))  # of a replica that never was complete

    def _find_holes(self, holes: Writes) -> None:
        for key, value in holes:
            queue, first, generation = holes_key_of(key)
            store = self._queues.get(queue)
            assert value is not None
            if store is None or not store.found_holes(first, generation, decode_holes(value)):
                self._writes.append((key, None))

    def queue(self, number: int) -> QueueStore:
        """Return the store of a queue, a new one where there is none."""
        store = self._queues.get(number)
        if store is None:
            store = self._queues[number] = QueueStore(number, self._touch)
        return store

    def queues(self) -> list[int]:
        """Return of which queues something is, or was, here."""
        return list(self._queues)

    def forget(self, number: int) -> None:
        """The queue is no more: nothing of it stays."""
        store = self._queues.pop(number, None)
        self.kept.pop(number, None)
        if store is not None:
            store.drop()

    def join_cluster(self, cluster: str) -> None:
        """Note of which cluster this store is."""
        if cluster != self.cluster:
            self.cluster = cluster
            self._writes.append((CLUSTER_KEY, cluster.encode()))

    def hear(self, life: str, revision: int) -> None:
        """The node follows the catalog through this revision."""
        self.heard = life, revision

    def stop(self, on_durable: Callable[[], None]) -> None:
        """Write everything, and that this was an orderly stop. Nothing may go out afterwards."""
        for store in self._queues.values():
            if store.describe is not None:
                store.describe_again()
        self._writes.append((ORDERLY_KEY, b""))
        self.when_durable(on_durable)

    def when_durable(self, then: Callable[[], None]) -> None:
        """Do this when all that was given so far is durable."""
        if self._touched or self._writes:
            self._on_durable.append(then)
        elif self._under_way is not None:
            self._waiting.append(then)
        else:
            then()

    def _touch(self, store: QueueStore) -> None:
        self._touched[store] = None

    # --- commits ----------------------------------------------------------------------------------

    def take_effects(self) -> list[Effect]:
        """Return what the driver has to do. Called at the end of each step."""
        wanted = self._touched or self._writes or self._heard_due
        wanted = wanted or (self._merging.is_ready and not self.trouble)
        if wanted and self._under_way is None and self._retry_at is None:
            self._hand_over()
        effects, self._effects = self._effects, []
        return effects

    def _hand_over(self) -> None:
        touched, self._touched = list(self._touched), {}
        writes, self._writes = self._writes, []
        for store in touched:
            writes += store.gather()
        removals, rest = _parted(writes) if self.trouble and not self._relieved else ([], [])
        self._relieves = self._relieved = bool(removals and rest)
        if self._relieves:
            writes, self._writes = removals, rest
        else:
            self._waiting, self._on_durable = self._on_durable, []
        if not self.trouble:
            writes += self._merging.gather()
        if not self._relieves:
            self._write_heard(writes)
        self._commit += 1
        self._under_way, self._handed = touched, writes
        self._effects.append(Commit(self._commit, writes))

    def _write_heard(self, writes: Writes) -> None:
        if self.heard != self._heard_written:
            self._heard_written = self.heard
            writes.append((HEARD_KEY, f"{self.heard[0]} {self.heard[1]}".encode()))
        self._heard_due = False

    def committed(self, commit: int) -> None:
        """What was handed over is durable."""
        if commit != self._commit or self._under_way is None:
            return
        stored, self._under_way, self._handed = self._under_way, None, []
        if self._relieves:
            self._touched = dict.fromkeys(stored) | self._touched
            return
        if self.trouble:
            self.trouble = ""
            self._port.store_refuses("")
        self._merging.committed()
        for store in stored:
            store.stored()
            self._merging.stored(store)
        for store in stored:
            self._port.queue_stored(store.number)
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()

    def failed(self, reason: str, now: int) -> None:
        """The disk has refused; the next try has all that is wanted by then."""
        if self._under_way is None:
            return
        for store in self._under_way:
            self._touched.setdefault(store)
        merged = dict.fromkeys(self._merging.failed())
        handed = [write for write in self._handed if write[0] not in merged]
        self._writes = list(dict(handed + self._writes).items())
        self._under_way, self._handed, self._relieved = None, [], False
        self._on_durable = self._waiting + self._on_durable
        self._waiting = []
        self._retry_at = now + RETRY_US
        if reason != self.trouble:
            self.trouble = reason
            self._port.store_refuses(reason)

    def tick(self, now: int) -> None:
        """Try again, when it is time; let nothing that was heard be unwritten for long."""
        self._heard_due = self.heard != self._heard_written and not self.trouble
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None

    # --- reading ----------------------------------------------------------------------------------

    def load(self, keys: list[bytes], on_values: OnValues) -> None:
        """Read the values of these keys; None for one that is not there or is damaged."""
        self._last_load += 1
        self._loads[self._last_load] = on_values
        self._effects.append(Load(self._last_load, keys))

    def fail(self, queue: int) -> None:
        """A value of this queue is not there, or not what was written."""
        self._port.store_failed(queue)

    def loaded(self, load: int, values: Sequence[Value | None]) -> None:
        """The answer to `load`."""
        self._loads.pop(load)(values)


def _parted(writes: Writes) -> tuple[Writes, Writes]:
    """Return of what is written last what removes something, and what does not."""
    last = dict(writes).items()
    removals = [(key, value) for key, value in last if value is None or key[:1] == HOLES]
    return removals, [(key, value) for key, value in last if value is not None and key[:1] != HOLES]
