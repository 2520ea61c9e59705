"""Class tx: publishes and acknowledgements of one channel, held back until they are committed.

A publish is judged and routed when it comes (a missing exchange closes the channel at once) and
goes to its queues at the commit; what cannot be routed is returned then. Acknowledged deliveries
are no longer owed, but their queues hear of it at the commit; a rollback makes them owed again.
The commit is answered when every queue has taken its messages for good, which is what a publisher
confirm waits for too, so a commit that was answered survives a failover. AMQP promises no more than
that, and RabbitMQ keeps no more: there is no atomicity over several queues.

What is said while a commit waits for the queues waits as well. RabbitMQ closes the connection with
504 there, if it has not finished by then.

Specification: class tx; RabbitMQ: rabbit_channel.erl handle_method 'tx.select', 'tx.commit',
'tx.rollback', maybe_complete_tx/1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Literal

from rabbitry.broker import settling
from rabbitry.broker.consuming import Entry, grouped
from rabbitry.wire.errors import PRECONDITION_FAILED, ChannelException
from rabbitry.wire.methods import (
    Method,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)

if TYPE_CHECKING:
    from rabbitry.broker.channel import Channel

Outcome = Literal["ack", "requeue", "discard"]


class Transaction:
    """Acknowledgements that wait for a commit, in the order they came."""

    def __init__(self) -> None:
        self.held: list[tuple[Outcome, dict[int, Entry]]] = []

    def hold(self, outcome: Outcome, entries: dict[int, Entry]) -> None:
        """Note what shall become of deliveries, by tag. The same again in a row is one."""
        if self.held and self.held[-1][0] == outcome:
            self.held[-1][1].update(entries)
        else:
            self.held.append((outcome, entries))

    def volume(self) -> int:
        """Return how many deliveries wait for the commit."""
        return sum(len(entries) for _, entries in self.held)

    def entries(self) -> Iterable[Entry]:
        """Return the deliveries that wait for the commit."""
        return (entry for _, entries in self.held for entry in entries.values())

    def take(self) -> list[tuple[Outcome, dict[int, Entry]]]:
        """Return what is held, and begin anew."""
        held, self.held = self.held, []
        return held


class Commit:
    """What a commit waits with: a receipt for all its publishes. `done` is called once."""

    def __init__(self, done: Callable[[], None]) -> None:
        self.failed = False  # a queue has refused a message
        self._done = done
        self._remaining = 1  # until `sent`: queues may answer inside the call

    def expect(self, queues: int) -> None:
        """So many queues are about to be sent a run."""
        self._remaining += queues

    def rejected(self, _first: int, _count: int) -> None:
        """A queue has refused messages; what others take stays there all the same."""
        self.failed = True

    def settled(self) -> None:
        """A queue has taken a run for good."""
        self._remaining -= 1
        if not self._remaining:
            self._done()

    sent = settled


def _select(channel: Channel, _method: Method) -> None:
    if channel.publisher.confirms is not None:
        text = "cannot switch from confirm to tx mode"
        raise ChannelException(PRECONDITION_FAILED, text, 90, 10)
    if channel.transaction is None:
        channel.transaction = Transaction()
        channel.publisher.hold()
    channel.reply(TxSelectOk())


def _of(channel: Channel, method: Method) -> Transaction:
    if channel.transaction is None:
        raise ChannelException(
            PRECONDITION_FAILED,
            "channel is not transactional",
            method.class_id,
            method.method_id,
        )
    return channel.transaction


def _commit(channel: Channel, method: Method) -> None:
    transaction = _of(channel, method)

    def answer() -> None:
        if commit.failed:
            raise ChannelException(PRECONDITION_FAILED, "partial tx completion", 90, 20)
        channel.reply(TxCommitOk())

    commit = Commit(lambda: channel.resume(answer))
    channel.wait()
    channel.publisher.commit(commit)
    for outcome, entries in transaction.take():
        ordered = [entries[tag] for tag in sorted(entries)]
        settling.carry_out(channel, outcome, grouped(ordered))
    channel.consumers.settled()
    commit.sent()


def _rollback(channel: Channel, method: Method) -> None:
    transaction = _of(channel, method)
    channel.publisher.hold()
    owed: dict[int, Entry] = {}
    for _, entries in transaction.take():
        owed.update(entries)
    channel.unsettled.restore(owed)
    channel.reply(TxRollbackOk())


HANDLERS: Final[dict[type[Method], Callable[[Channel, Method], None]]] = {
    TxSelect: _select,
    TxCommit: _commit,
    TxRollback: _rollback,
}
