"""What of the queues of a node is in memory, by the node's budget.

A `Pager` moves messages of one leader's queue. The queue knows what of it is in memory, the store
what it has; the pager brings the two together: it drops from memory what the store has, when it is
told to `page`, and from then on as soon as a commit is durable; and it reads ahead of what is
delivered. It goes on paging until the queue is short. What the store need not have, transient
messages and those of queues that are not durable, is written too while a queue pages, to get it out
of memory, and forgotten when the process ends.

`Budget` judges, ten times a second, which queues page: when messages take half of what they may,
those that take most, until a quarter is left. What mirrors have goes first: nobody reads it.

RabbitMQ: rabbit_variable_queue.erl reduce_memory_use/1, maybe_deltas_to_betas/1.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Final, Protocol

from rabbitry.broker.backlog import memory_bytes_of
from rabbitry.broker.message import Message, run_of
from rabbitry.broker.positions import without
from rabbitry.broker.queue import Queue
from rabbitry.cluster.limits import NEVER
from rabbitry.cluster.queue_records import Range
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.reading_back import OnRead, StoredMessages

# So much is read at a time, at most; the last queues in need of a budget that many share get less.
READ_BYTES_MAX: Final = 4 << 20
READ_BYTES_MIN: Final = 64 << 10
READ_MESSAGES_MAX: Final = 16384
READ_MESSAGES_MIN: Final = 2
# In so many ticks all queues are looked at; in between only the large ones.
SCAN_TICKS: Final = 10
# Until something was read, messages are thought to be so large.
FIRST_GUESS_BYTES: Final = 4096

_route_of = itemgetter(0)


class PagingPort(Protocol):
    """What a pager needs of its node.

    `store_lacks`: the store has not what it should have of this queue; the process must end.
    """

    store_lacks: Callable[[int], None]

    def read_stored(self, queue: int, epoch: int, first: int, last: int, then: OnRead) -> None:
        """Read what this node's store has at these positions; `then` follows, if it still leads."""
        ...

    def passing_store(self, queue: int) -> QueueStore:
        """Return the store of a queue of which nothing is kept, to get it out of memory."""
        ...


class Unwritten:
    """What was in memory, and not in the store, when paging began: it is written in slices."""

    def __init__(self, in_memory: list[Range], store: QueueStore | None = None) -> None:
        self._store = store
        self._left = [] if store is None else without(in_memory, store.held_within(in_memory))

    def write(
        self,
        messages_max: int,
        find: Callable[[int, int], list[tuple[int, list[Message]]]],
        expiries: dict[int, int],
    ) -> None:
        """Have the store keep some of it until the process ends.

        `find` returns what is in memory from one position to another, in runs.
        """
        while self._left and messages_max > 0 and self._store is not None:
            first, last = self._left.pop()
            start = max(first, last - messages_max + 1)
            if first < start:
                self._left.append((first, start - 1))
            messages_max -= last - start + 1
            for at, messages in find(start, last):
                _write(self._store, at, messages, expiries)


def _write(
    store: QueueStore, first: int, messages: list[Message], expiries: dict[int, int]
) -> None:
    for _, group in groupby(messages, _route_of):
        run = run_of(list(group))
        end = first + len(run[3])
        dues = [expiries.get(at, NEVER) for at in range(first, end)] if expiries else []
        store.keep(first, run, dues, lasting=False)
        first = end


NOTHING_UNWRITTEN: Final = Unwritten([])


class Pager:
    """See the module. `store` is that of the queue, None if nothing is kept of it.

    It gets one then when it pages. `wants_pump`: there is more to deliver; `remove`: the store has
    not what it should have.
    """

    leads = True

    def __init__(
        self,
        port: PagingPort,
        number: int,
        epoch: int,
        queue: Queue,
        store: QueueStore | None,
        remove: Callable[[list[Range]], None],
        wants_pump: Callable[[], None],
    ) -> None:
        self.paging = False
        self.store = store
        self._unwritten = NOTHING_UNWRITTEN
        self._remove = remove
        self._wants_pump = wants_pump
        self._port = port
        self._number = number
        self._epoch = epoch
        self._queue = queue
        self._read_bytes = READ_BYTES_MAX
        self._message_bytes = FIRST_GUESS_BYTES

    @property
    def _messages_max(self) -> int:
        """How many messages are read at a time."""
        count = self._read_bytes // self._message_bytes
        return max(min(count, READ_MESSAGES_MAX), READ_MESSAGES_MIN)

    def memory_bytes(self) -> int:
        """Return about how much memory the messages of the queue take, if any of it could go."""
        return 0 if self._queue.needs_all_in_memory else self._queue.memory_bytes_estimate()

    def page(self, read_bytes: int) -> None:
        """Have in memory the front only, which `read_bytes` are read of at a time."""
        queue = self._queue
        if queue.needs_all_in_memory:
            return
        self._read_bytes = read_bytes
        in_memory = max(queue.memory_count, 1)
        self._message_bytes = max(queue.memory_bytes_estimate() // in_memory, 1)
        if self.store is None:
            self.store = self._port.passing_store(self._number)
        if not self.paging or queue.waiting_in_memory > self._keep:
            ranges = queue.memory_ranges()
            if not self.paging:
                self.paging = True
                self._unwritten = Unwritten(ranges, self.store)
            queue.page_out(self.store.stored_within(ranges), self._keep)
        self._unwritten.write(self._messages_max, queue.in_memory, queue.expiries)

    @property
    def _keep(self) -> int:
        """How much of the front stays: what is read ahead must not be dropped again."""
        return 2 * self._messages_max

    def stored(self) -> None:
        """A commit is durable."""
        if self.paging and self.store is not None:
            queue = self._queue
            queue.page_out(self.store.just_stored, self._keep)
            if queue.ready_count <= self._keep:
                self.paging = False
                self._unwritten = NOTHING_UNWRITTEN

    def read_ahead(self, wanted_soon: bool = True) -> None:
        """Read what is delivered next, if it is not in memory.

        Where nobody wants it soon, only what shows when it expires.
        """
        wanted = self._queue.wanted(self._messages_max if wanted_soon else READ_MESSAGES_MIN)
        if wanted is not None:
            self.read(*wanted)

    def read(self, first: int, last: int, then: Callable[[], None] | None = None) -> None:
        """Read what the store has at these positions; `then` follows, if this node still leads."""

        def read(found: StoredMessages) -> None:
            self._read(first, last, found)
            if then is not None:
                then()

        self._port.read_stored(self._number, self._epoch, first, last, read)

    def _read(self, first: int, last: int, found: StoredMessages) -> None:
        runs, expiries = found
        count = sum(len(messages) for _, messages in runs)
        if count:
            size_bytes = sum(memory_bytes_of(messages) for _, messages in runs)
            self._message_bytes = size_bytes // count
        lacking = self._queue.loaded(first, last, runs, expiries.items())
        if lacking:
            self._port.store_lacks(self._number)
        self._remove(lacking)
        self._wants_pump()


class Pageable(Protocol):
    """A replica of a queue: its leader or a mirror."""

    leads: bool

    def memory_bytes(self) -> int:
        """Return about how much memory its messages take; 0 where none of it could go."""
        ...

    def page(self, read_bytes: int) -> None:
        """Drop from memory what the store has, now and from now on."""
        ...


class Budget:
    """How much memory the messages of a node may take. See the module.

    Ten thousand short queues are looked at once a second only.
    """

    def __init__(self, bytes_max: int, replicas: Callable[[], list[Pageable]]) -> None:
        self._bytes_max = bytes_max
        self._replicas = replicas
        self._ticks = 0
        self._large: list[Pageable] = []
        self._bytes_of_small = 0

    def tick(self) -> None:
        """Have those page that take too much. Called ten times a second."""
        least = min(READ_BYTES_MIN, self._bytes_max // 16)
        if self._ticks % SCAN_TICKS == 0:
            sized = [(one.memory_bytes(), one) for one in self._replicas()]
            self._large = [one for size, one in sized if size > least]
            self._bytes_of_small = sum(size for size, _ in sized if size <= least)
        self._ticks += 1
        large = [(one.memory_bytes(), one) for one in self._large]
        taken = self._bytes_of_small + sum(size for size, _ in large)
        if taken <= self._bytes_max // 2:
            return
        large.sort(key=_mirrors_and_large_first)
        share = self._bytes_max // (8 * max(sum(one.leads for _, one in large), 1))
        for size, one in large:
            if taken <= self._bytes_max // 4:
                break
            one.page(max(min(share, READ_BYTES_MAX), least))
            taken -= size


def _mirrors_and_large_first(sized: tuple[int, Pageable]) -> tuple[bool, int]:
    return sized[1].leads, -sized[0]
