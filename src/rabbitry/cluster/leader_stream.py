"""The leader of one queue as its mirrors and publishers see it: the queue, and the ordered stream.

Owns what changes the queue and how it is told, what waits until it is safe, and the pump, which
hands out what may go. What consumers ask is `cluster.leader`, which also tells the races.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from rabbitry.broker.message import Message, Run, run_of
from rabbitry.broker.position_set import PositionSet
from rabbitry.broker.queue import Queue
from rabbitry.broker.queue_settings import QueueSettings
from rabbitry.cluster.announcing import Announcing
from rabbitry.cluster.catalog import QueueEntry
from rabbitry.cluster.chunks import Kept
from rabbitry.cluster.dead_lettering import DeadLettering
from rabbitry.cluster.gathering import Claims, Gathering
from rabbitry.cluster.getting import Getting
from rabbitry.cluster.leader_port import LeaderPort
from rabbitry.cluster.limits import Limits
from rabbitry.cluster.paging import Pager
from rabbitry.cluster.queue_records import (
    Accepted,
    Announced,
    Applied,
    Begin,
    Enqueued,
    Lacked,
    Marked,
    Range,
    Record,
)
from rabbitry.cluster.queue_store import QueueStore
from rabbitry.cluster.records import AdmitMirror, DropMirror, QueuePlaced
from rabbitry.cluster.releasing import Releasing
from rabbitry.cluster.replica import Replica, first_position_of, note_rejected
from rabbitry.cluster.replication import Replication
from rabbitry.cluster.unsure import Marks

NO_RUN: Final[Run] = (b"", b"", 0, [])


class LeaderStream:
    """See the module; `QueueLeader` is the whole of it."""

    def __init__(
        self, port: LeaderPort, entry: QueueEntry, store: QueueStore | None = None
    ) -> None:
        self._port = port
        self.number = entry.number
        self.epoch = entry.placed.epoch
        self.entry = entry
        self.queue = Queue(partial(port.deliver, entry.number), entry.settings)
        self.origins: dict[str, int] = {}
        self._announcing = Announcing(self.queue)
        self.sealed = False  # being deleted: publishes fall away as if it were gone
        self._follows, self._first_position = 0, 1  # see `Begin`
        self.rejections: dict[str, list[Range]] = {}  # see `Replica`
        self._limits = Limits(self.queue, entry.settings, port.now())
        then = self._remove, partial(port.wants_pump, self)
        head = self.number, self.epoch
        self._dead = DeadLettering(port, self.number, self.queue, entry.settings, *then)
        self._replication = Replication(port, entry.number, entry.placed.epoch, self.queue)
        self._releasing = Releasing(port, entry.number, self._replication, store)
        self.pager = Pager(port, self.number, self.epoch, self.queue, store, *then)
        self._gets = Getting(port, *head, self.queue, self._expire, self._remove)
        reject = partial(self._dead.give_up, "rejected")
        self._claims = Claims(self.queue, self._remove, reject)
        self._gathering: Gathering | None = None
        self._marks = Marks(self._answer_mark)
        self._had_consumer = False
        self.alone = True  # no other node has anything of the queue
        self.quiescing = False
        self._quiet_from: int | None = None  # the number of the stream
        self._store = store
        self._doubtful = False  # some of it may be with consumers
        self.queue.begin_at(first_position_of(entry.placed.epoch))
        if store is not None:
            store.describe = self._describe

    # --- beginning --------------------------------------------------------------------------------

    def restore(self, replica: Replica) -> None:
        """Take over what this node held as a mirror. Comes before everything else."""
        queue = self.queue
        held = replica.positions.ranges()
        next_position = max(replica.next_position, first_position_of(self.epoch))
        queue.restore(held, replica.messages, replica.seen_through, next_position)
        queue.expiries, queue.counts = dict(replica.expiries), dict(replica.counts)
        self._follows, self._first_position = replica.epoch, replica.next_position
        self._announcing.restore(replica.seen_through)
        self.origins = dict(replica.origins)
        self.rejections = dict(replica.rejections)
        self._had_consumer = replica.consumed
        self._doubtful = any(first <= replica.seen_through for first, _ in held[:1])
        if self._store is not None:
            self._store.describe_again()

    def replica(self) -> Replica:
        """Return what is held here, for this node to mirror, or to lead in a later epoch."""
        replica = Replica.of(self._describe())
        replica.positions = PositionSet(self.queue.ranges())
        replica.messages = dict(self.queue.entries())
        replica.expiries = dict(self.queue.expiries)
        return replica

    def _describe(self) -> Kept:
        """Return what the store keeps of it besides its messages."""
        queue, generation = self.queue, self._store.generation if self._store is not None else 0
        head = self.epoch, generation, queue.next_position, self._announcing.catch_up()
        numbers = dict(self.origins), dict(self.rejections), list(queue.counts.items())
        return Kept(*head, self._had_consumer, *numbers, queue.needs_all_in_memory)

    def stored(self) -> None:
        """More of what the store was given is durable."""
        self.pager.stored()
        self._advance()

    # --- before the end ---------------------------------------------------------------------------

    def quiesce(self) -> None:
        """Let nothing more out: another is to lead soon, or the node ends. Publishes go on."""
        self.quiescing = True
        self._dead.halt()

    def resume(self) -> None:
        """Go on: it has come to nothing."""
        self.quiescing, self._quiet_from = False, None
        self._dead.resume()
        self._advance()
        self._port.wants_pump(self)

    @property
    def quiet(self) -> bool:
        """Whether all that was let out, and is no more, is known to all who may lead next."""
        self._dead.go_on()
        if self._quiet_from is None and self._gathering is None and self._dead.settled:
            self._quiet_from = self._replication.sequence
        return self._quiet_from is not None and self._replication.floors()[0] >= self._quiet_from

    def configure(self, settings: QueueSettings) -> None:
        """Follow settings that have changed: a policy is another."""
        if settings != self._limits.settings:
            self.queue.configure(settings)
            self._limits.settings = self._dead.settings = settings
            self._port.wants_pump(self)

    def place(self, placed: QueuePlaced) -> None:
        """Follow the coordinator's word on mirrors and the in-sync set, of this epoch."""
        self._replication.place(placed)
        self.alone = not self._replication.any_mirrors
        self._advance()
        self._port.wants_pump(self)

    def begin_mirror(self, name: str) -> None:
        """A link to this node is up: start the stream to it, if it mirrors this queue."""
        required = self._replication.begin(name)
        if required is None:
            return
        queue = self.queue
        announced = self._announcing.catch_up()
        begin = Begin(
            *(self.number, self.epoch, self._replication.sequence, not required),
            *(queue.ranges(), queue.next_position, announced),
            *(self.origins, self._follows, self._first_position),
            *(self._had_consumer, self.rejections, list(queue.counts.items())),
        )
        self._replication.send_begin(name, begin)
        self._limit_deliveries()

    def lose_mirror(self, name: str) -> None:
        """The link to this node is down; if it is required, confirms wait for it to come back."""
        self._replication.lose(name)
        self._advance()

    def give_up_mirror(self, name: str) -> None:
        """A node is out of reach for long: if confirms wait for it, have it taken out."""
        self._replication.give_up(name)

    def mirror_answered(self, request: AdmitMirror | DropMirror) -> None:
        """The coordinator has answered; what it decided was told before, by `place`."""
        self._replication.answered(request)
        self._advance()
        self._port.wants_pump(self)

    def not_begun(self) -> list[str]:
        """Return the mirrors that no stream goes to."""
        return self._replication.not_begun()

    # --- from publishing nodes --------------------------------------------------------------------

    def publish(self, user: str, last: int, messages: list[Message], settled: int = 0) -> None:
        """Add a run of messages, all of one route.

        `last` is the publisher's number of the last, `settled` the one through which it has heard
        what became of its publishes.
        """
        rejected: list[Range] = []
        if last <= self.origins.get(user, 0):
            known = self.rejections.get(user, ())
            rejected = [one for one in known if last - len(messages) < one[0] <= last]
        elif not self.sealed:
            rejected = self._enqueue(user, last, messages, settled)
        replication = self._replication
        if replication.any_mirrors:
            self._announcing.enqueued(replication.sequence)
        if rejected:
            self._after_replication(user, Accepted(self.number, self.epoch, last, rejected))
        elif self._releasing.at_once:
            self._port.accepted(self.number, user, last)
        else:
            self._after_replication(user, last)
        self._port.wants_pump(self)

    def _enqueue(self, user: str, last: int, messages: list[Message], settled: int) -> list[Range]:
        """Take a run that is new, or what there is room for; return the numbers rejected."""
        self.origins[user] = last
        rejected: list[Range] = []
        if self._limits.settings.rejects_publishes:
            messages, refused, rejected = self._limits.admit(messages, last)
            note_rejected(self.rejections, user, rejected, settled)
            self._dead.refused(refused)
        expiries = self._limits.expiries(messages, self._port.now())
        queue, replication = self.queue, self._replication
        first = queue.next_position
        queue.publish(messages, expiries)
        store = self.pager.store
        if store is None and not replication.streaming:
            return rejected
        run = run_of(messages) if messages else NO_RUN
        if store is not None:
            store.enqueue(first, run, expiries, everything=self.pager.paging)
        if replication.streaming:
            number = replication.next_number()
            head = self.number, self.epoch, number, first, user, last
            replication.send(Enqueued(*head, run, expiries, rejected, settled))
        return rejected

    def forget_origin(self, user: str) -> None:
        """That process has ended and will never publish again."""
        self.origins.pop(user, None)
        self.rejections.pop(user, None)

    # --- from mirrors -----------------------------------------------------------------------------

    def applied(self, name: str, record: Applied) -> None:
        """A mirror holds the effect of the stream through a number."""
        self._replication.applied(name, record)
        if self._replication.wants_asking:
            self._port.wants_pump(self)
        self._advance()

    def lacked(self, name: str, record: Lacked) -> None:
        """A mirror says what it lacks: copy it there in the background."""
        self._replication.lacked(name, record)

    # --- what waits for the stream ----------------------------------------------------------------

    def _after_replication(self, user: str, what: Record | int) -> None:
        """Do this once all required mirrors, and this node, have stored the stream as it is now."""
        if self._releasing.add(user, what):
            self._advance()

    def _advance(self) -> None:
        """Release what waited for replication."""
        held = self._releasing.release()
        self._announcing.advance(held)
        if not self.quiescing:
            self._marks.advance(held)  # else what comes from now on might be thought to be known
        self._limit_deliveries()

    def _answer_mark(self, user: str, number: int) -> None:
        self._port.tell_user(user, Marked(self.number, self.epoch, number))

    def _limit_deliveries(self) -> None:
        if self._announcing.limit(self._replication.limited):
            self._port.wants_pump(self)

    def pump(self) -> None:
        """Hand out what may go out, and announce what may go out next."""
        self._replication.ask()
        if self._gathering is not None or self.quiescing:
            return
        queue, now = self.queue, self._port.now()
        while True:
            self._expire(now)
            self._remove(queue.deal(now))
            self._gets.answer(now)
            if queue.sated or (not self._expire(now) and not self._announce()):
                break
        if not self._gets:
            self._dead.give_up("maxlen", self._limits.drop())
        self.pager.read_ahead(bool(queue.consumers or self._gets))
        if queue.deliver_through is None:
            self._announcing.catch_up()
        if self._limits.unused(now) and not self.sealed:
            self.sealed = True
            self._port.delete_queue(self.number)
        self._dead.go_on()
        soon = queue.sated or self._dead.more
        due = now + 1 if soon else self._limits.next_due()
        self._port.wake(self, None if self.sealed else due)

    def _expire(self, now: int) -> bool:
        """Give up what has expired at the front. True: there was something."""
        if not self.queue.expiries:
            return False
        expired = self.queue.expire(now)
        self._dead.give_up("expired", expired)
        return bool(expired)

    def _remove(self, ranges: list[Range]) -> None:
        """Messages are no more, here and on the mirrors."""
        if ranges:
            self.queue.forget(ranges)
            self._replication.remove(ranges)
            if self.pager.store is not None:
                self.pager.store.remove(ranges)

    def _announce(self) -> bool:
        """Announce further deliveries where consumers could soon take them; True: deal again."""
        if not self._announcing.widen(len(self._gets)):
            return False
        replication = self._replication
        if replication.streaming:
            number = replication.next_number()
            through = self._announcing.announced
            replication.send(
                Announced(self.number, self.epoch, number, through, self._had_consumer)
            )
        self._announcing.sent(replication.sequence)
        before = self.queue.deliver_through
        self._advance()
        return self.queue.deliver_through != before
