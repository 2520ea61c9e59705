"""What the clients of a run saw, and what its replicas showed: the facts that checkers judge.

Owns the shape of the facts, no judgement. A message is known by `publisher:sequence:attempt`,
written at the front of its body: an attempt is one basic.publish, so what a publisher sends again
after a reconnect is another message here, and "delivered twice" has one meaning. The drill over
real processes records the same facts. Plain values throughout; times in microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32


@dataclass(frozen=True, slots=True)
class MessageKey:
    """One basic.publish: who, which message in the publisher's order, which attempt (from 1)."""

    publisher: str
    sequence: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.publisher}:{self.sequence}:{self.attempt}"


def make_body(key: MessageKey, padding_bytes: int = 0) -> bytes:
    """Return a body that says which message it is."""
    return f"{key}|".encode() + b"." * padding_bytes


def key_of(body: bytes) -> MessageKey:
    """Return the key that `make_body` wrote. Raises ValueError for any other body."""
    publisher, sequence, attempt = body.partition(b"|")[0].decode().split(":")
    return MessageKey(publisher, int(sequence), int(attempt))


@dataclass(frozen=True, slots=True)
class Publication:
    """A message handed to a connection of its publisher; `number` counts all of the run.

    `node` is whom the connection was to, empty where nobody knows.
    """

    at: int
    number: int
    queue: str
    connection: int
    size_bytes: int
    digest: int
    persistent: bool = True
    node: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that reached a consumer. `connection` counts the consumer's connections."""

    at: int
    queue: str
    consumer: str
    connection: int
    key: MessageKey
    redelivered: bool


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A consumer's ack, as it was sent; it counts once it has arrived.

    It is for what was delivered at `delivered_at`: a message that was delivered to a connection
    again, since its leader has died, has to be acknowledged by its new delivery tag.
    """

    at: int
    delivered_at: int
    consumer: str
    connection: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """A time without faults at whose end every node died. What was acknowledged in it is gone.

    `since` leaves the cluster time to come to itself after the last fault; `until` leaves the last
    acknowledgements time to arrive, and to be stored, before the nodes die at `end`.
    """

    since: int
    until: int
    end: int


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """What one node holds of one queue. `messages`: (position, digest) in queue order.

    The digest is None of what the node's store alone has. Of a mirror: has the stream of its
    leader's epoch `begun`, is the copying `complete`.
    """

    node: str
    queue: str
    role: str
    epoch: int
    position: int
    messages: tuple[tuple[int, Any], ...]
    in_sync: tuple[str, ...] = ()
    begun: bool = True
    complete: bool = True


def replica_views(node: str, inspected: Mapping[str, Mapping[str, Any]]) -> list[ReplicaView]:
    """Return the views in what a node's `inspect()` gave: queue -> role, epoch, position, messages.

    `in_sync` (names of the in-sync set as this node knows it) may be missing.
    """
    return [
        ReplicaView(
            node,
            queue,
            str(held["role"]),
            int(held["epoch"]),
            int(held["position"]),
            tuple((position, digest) for position, digest in held["messages"]),
            tuple(held.get("in_sync", ())),
            bool(held.get("begun", True)),
            bool(held.get("complete", True)),
        )
        for queue, held in inspected.items()
    ]


@dataclass
class History:
    """The facts of one run, in the order in which they were seen."""

    published: dict[MessageKey, Publication] = field(default_factory=dict)
    confirmed: dict[MessageKey, int] = field(default_factory=dict)
    refused: dict[MessageKey, int] = field(default_factory=dict)
    given_up: dict[MessageKey, int] = field(default_factory=dict)
    returned: dict[MessageKey, int] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    delivered_keys: dict[MessageKey, None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    # (queue, epoch) -> nodes seen leading, in the order seen; and what the coordinator gave.
    leaders_seen: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    leaders_given: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    acknowledged: dict[MessageKey, list[Acknowledgement]] = field(default_factory=dict)
    connections_lost: dict[tuple[str, int], int] = field(default_factory=dict)
    deaths: dict[str, list[int]] = field(default_factory=dict)
    # When the last process died that had everything of a queue in its memory.
    wipes: dict[str, list[int]] = field(default_factory=dict)
    # Queues whose loss the coordinator has said loudly, and when a value in a store was damaged.
    forsaken: dict[str, int] = field(default_factory=dict)
    damage_at: int | None = None
    quiet: Quiet | None = None
    orderly: bool = False  # nothing died or was cut off: nodes ended in order only
    # What a client declared, and what became of it.
    declared: dict[str, int] = field(default_factory=dict)
    undeclared: list[str] = field(default_factory=list)

    def publish(
        self,
        at: int,
        queue: str,
        key: MessageKey,
        connection: int,
        body: bytes,
        *,
        persistent: bool = True,
        node: str = "",
    ) -> None:
        """A publisher hands over a message. Raises ValueError for a key that was used before."""
        if key in self.published:
            raise ValueError(f"message {key} published twice: an attempt has a number of its own")
        self.published[key] = Publication(
            at, len(self.published), queue, connection, len(body), crc32(body), persistent, node
        )

    def confirm(self, at: int, key: MessageKey) -> None:
        """A publisher hears basic.ack."""
        self.confirmed.setdefault(key, at)

    def refuse(self, at: int, key: MessageKey) -> None:
        """A publisher hears basic.nack."""
        self.refused.setdefault(key, at)

    def give_up(self, at: int, key: MessageKey) -> None:
        """A publisher stops waiting: its connection is gone, the outcome unknown."""
        self.given_up.setdefault(key, at)

    def return_(self, at: int, key: MessageKey) -> None:
        """A publisher gets a message back as unroutable."""
        self.returned.setdefault(key, at)

    def deliver(
        self, at: int, queue: str, consumer: str, connection: int, body: bytes, redelivered: bool
    ) -> MessageKey | None:
        """A consumer gets a message; a body that is not as published is a fact of its own.

        Returns which message it is, None where the body does not say.
        """
        try:
            key = key_of(body)
        except ValueError:
            self.damaged.append(f"{consumer} got {len(body)} bytes that nobody published")
            return None
        published = self.published.get(key)
        if published is None:
            self.damaged.append(f"{consumer} got {key}, which was never published")
        elif (published.size_bytes, published.digest) != (len(body), crc32(body)):
            self.damaged.append(f"{consumer} got {key} with another body than was published")
        elif published.queue != queue:
            self.damaged.append(f"{consumer} got {key} from {queue}, sent to {published.queue}")
        self.deliveries.append(Delivery(at, queue, consumer, connection, key, redelivered))
        self.delivered_keys[key] = None
        return key

    def acknowledge(
        self, at: int, delivered_at: int, key: MessageKey, consumer: str, connection: int
    ) -> None:
        """A consumer sends basic.ack for what it got at `delivered_at`."""
        one = Acknowledgement(at, delivered_at, consumer, connection)
        self.acknowledged.setdefault(key, []).append(one)

    def lose_connection(self, at: int, client: str, connection: int) -> None:
        """A client's connection is gone; what fails before the next is there, adds nothing."""
        self.connections_lost.setdefault((client, connection), at)

    def die(self, at: int, node: str) -> None:
        """A node's process has died."""
        self.deaths.setdefault(node, []).append(at)

    def wipe(self, at: int, queue: str) -> None:
        """Nobody is left who has all of a queue in memory; what is in the stores remains."""
        self.wipes.setdefault(queue, []).append(at)

    def forsake(self, at: int, queue: str) -> None:
        """Somebody says that nobody has all of a durable queue any more."""
        self.forsaken.setdefault(queue, at)

    def declare(self, at: int, what: str) -> None:
        """A client hears that something durable is declared."""
        self.declared.setdefault(what, at)

    def miss(self, what: str) -> None:
        """A client looks for what was declared and durable, and it is not there, or the reverse."""
        self.undeclared.append(what)

    def see_replicas(self, at: int, views: list[ReplicaView]) -> None:
        """Somebody looked at what the nodes hold; leaders are remembered."""
        for view in views:
            if view.role == "leader":
                seen = self.leaders_seen.setdefault((view.queue, view.epoch), {})
                seen.setdefault(view.node, at)

    def see_given(self, at: int, queue: str, epoch: int, leader: str) -> None:
        """The coordinator names a leader for an epoch of a queue."""
        self.leaders_given.setdefault((queue, epoch), {}).setdefault(leader, at)
