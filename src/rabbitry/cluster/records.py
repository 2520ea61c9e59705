"""What nodes and the coordinator say to each other: one struct for each sentence.

Names in the past tense tell, names in the imperative ask. Encoded with msgspec's MessagePack, as
arrays with a numeric tag; the framing and the login of a link are `cluster.links`.

Between a node and the coordinator: `Join` .. `Answered`. Between nodes, about one queue (named by its
`queue` number, which the coordinator never gives twice): from a queue's users to its leader `Publish`
.. `Inquire`; from the leader to its users `Accepted` .. `Replied`; the one ordered stream from the
leader to a mirror `Begin` .. `Copied`; and back `Lacked` and `Applied`. Every record about a queue
carries the leader's `epoch`; a record of another epoch than the receiver's is dropped.
"""

from __future__ import annotations

import msgspec

from rabbitry.broker.queue import Holder

Range = tuple[int, int]  # inclusive positions
# (exchange, routing key, contents): messages of one route, in order
Run = tuple[bytes, bytes, list[bytes]]


class Record(msgspec.Struct, array_like=True, gc=False):
    """Base of all records."""


# --- the catalog's changes: what the coordinator decided, in one order for all ---------------------


class ExchangeDeclared(Record, tag=1):
    virtual_host: str
    name: str
    kind: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: bytes


class ExchangeDeleted(Record, tag=2):
    virtual_host: str
    name: str


class QueueDeclared(Record, tag=3):
    """`owner` is empty, or the connection an exclusive queue belongs to."""

    virtual_host: str
    name: str
    queue: int
    durable: bool
    auto_delete: bool
    owner: str
    arguments: bytes


class QueueDeleted(Record, tag=4):
    virtual_host: str
    name: str
    queue: int


class Bound(Record, tag=5):
    virtual_host: str
    source: str
    destination_kind: str
    destination: str
    routing_key: str
    arguments: bytes


class Unbound(Record, tag=6):
    virtual_host: str
    source: str
    destination_kind: str
    destination: str
    routing_key: str
    arguments: bytes


class QueuePlaced(Record, tag=7):
    """Who leads a queue, in which epoch; who mirrors it; which of them hold all that is confirmed.

    `leader` is empty while no node can lead. `in_sync` includes the leader.
    """

    queue: int
    epoch: int
    leader: str
    mirrors: list[str]
    in_sync: list[str]


class NodeJoined(Record, tag=8):
    name: str
    incarnation: str
    host: str
    port: int


class NodeLeft(Record, tag=9):
    """The node is gone, or hangs. `incarnation` came to its end if `dead`."""

    name: str
    incarnation: str
    dead: bool


Change = (
    ExchangeDeclared
    | ExchangeDeleted
    | QueueDeclared
    | QueueDeleted
    | Bound
    | Unbound
    | QueuePlaced
    | NodeJoined
    | NodeLeft
)

# --- node and coordinator --------------------------------------------------------------------------


class Join(Record, tag=20):
    """A node's first word: where other nodes reach it, and its process (`incarnation`)."""

    name: str
    incarnation: str
    host: str
    port: int


class Welcomed(Record, tag=21):
    """The whole catalog as changes from nothing; deltas follow from `revision` + 1."""

    revision: int
    changes: list[Change]


class Changed(Record, tag=22):
    revision: int
    changes: list[Change]


class Followed(Record, tag=23):
    """The node has applied everything through `revision`; also the heartbeat of its lease."""

    revision: int


class Refused(Record, tag=24):
    """Why a request cannot be: an AMQP reply code and text; hard ones end the connection."""

    reply_code: int
    text: str
    hard: bool = False


class DeclareExchange(Record, tag=30):
    virtual_host: str
    name: str
    kind: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: bytes


class DeleteExchange(Record, tag=31):
    virtual_host: str
    name: str
    if_unused: bool


class DeclareQueue(Record, tag=32):
    virtual_host: str
    name: str
    durable: bool
    auto_delete: bool
    owner: str
    arguments: bytes


class DeleteQueue(Record, tag=33):
    """Delete the queue of this number; one that is gone already counts as deleted."""

    queue: int


class DeleteOwned(Record, tag=34):
    """A connection has ended: delete its exclusive queues."""

    owner: str


class Bind(Record, tag=35):
    virtual_host: str
    source: str
    destination_kind: str
    destination: str
    routing_key: str
    arguments: bytes
    owner: str = ""  # the connection that asks, for exclusive queues


class Unbind(Record, tag=36):
    virtual_host: str
    source: str
    destination_kind: str
    destination: str
    routing_key: str
    arguments: bytes
    owner: str = ""


class AdmitMirror(Record, tag=37):
    """The leader says that a mirror holds everything; from now on it waits for it (`in_sync`).

    `revision`: what the leader knew of the catalog. A mirror that has left and joined again since
    holds nothing, and the request is void.
    """

    queue: int
    epoch: int
    node: str
    revision: int


class DropMirror(Record, tag=38):
    """The leader cannot reach a mirror: take it out of the in-sync set, so that confirms go on."""

    queue: int
    epoch: int
    node: str


Request = (
    DeclareExchange
    | DeleteExchange
    | DeclareQueue
    | DeleteQueue
    | DeleteOwned
    | Bind
    | Unbind
    | AdmitMirror
    | DropMirror
)


class Requested(Record, tag=40):
    number: int
    request: Request


class Answered(Record, tag=41):
    """The request of this number was carried out, and every node has applied what it changed."""

    number: int
    refusal: Refused | None


class StatisticsAsked(Record, tag=42):
    number: int


class StatisticsTold(Record, tag=43):
    """Of each queue the node leads: (queue, messages, consumers)."""

    number: int
    queues: list[tuple[int, int, int]]


# --- to a queue's leader ----------------------------------------------------------------------------


class Publish(Record, tag=50):
    """A run of messages. `last` is the number that this node has given to the last of them."""

    queue: int
    epoch: int
    last: int
    run: Run


class Subscribe(Record, tag=51):
    queue: int
    epoch: int
    request: int
    holder: Holder
    number: int
    no_ack: bool
    exclusive: bool
    prefetch_count: int


class Unsubscribe(Record, tag=52):
    queue: int
    epoch: int
    request: int
    holder: Holder
    number: int


class Settle(Record, tag=53):
    queue: int
    epoch: int
    holder: Holder
    positions: list[int]


class Requeue(Record, tag=54):
    queue: int
    epoch: int
    holder: Holder
    positions: list[int]


class Release(Record, tag=55):
    """A channel has ended: its consumers too, and what it held comes back."""

    queue: int
    epoch: int
    holder: Holder


class Get(Record, tag=56):
    queue: int
    epoch: int
    request: int
    holder: Holder
    no_ack: bool


class Inquire(Record, tag=57):
    """`what`: "count", "purge", or "delete" with its two conditions."""

    queue: int
    epoch: int
    request: int
    what: str
    if_unused: bool = False
    if_empty: bool = False


class PauseConsumer(Record, tag=58):
    """Its client does not read fast enough (`paused`), or does again."""

    queue: int
    epoch: int
    holder: Holder
    number: int
    paused: bool


# --- from a queue's leader ---------------------------------------------------------------------------


class Accepted(Record, tag=60):
    """All that this node published through number `last` is held by every in-sync replica."""

    queue: int
    epoch: int
    last: int


class Delivered(Record, tag=61):
    queue: int
    epoch: int
    holder: Holder
    number: int
    positions: list[int]
    redelivered: bool
    run: Run


class Got(Record, tag=62):
    """Answer to `Get`: one message, or none. `remaining` counts what is ready after it."""

    queue: int
    epoch: int
    request: int
    position: int
    redelivered: bool
    run: Run | None
    remaining: int


class Replied(Record, tag=63):
    """Answer to `Subscribe` and `Inquire`."""

    queue: int
    epoch: int
    request: int
    refusal: Refused | None
    messages: int = 0
    consumers: int = 0


# --- the stream from leader to mirror -----------------------------------------------------------------


class Begin(Record, tag=70):
    """The stream starts: the leader holds exactly `ranges`, and will give `next_position` next.

    `fresh`: the mirror must forget what it holds (it was not in sync). `origins`: the last number
    accepted from each publishing node. `seen_through`: no later position has been out.
    """

    queue: int
    epoch: int
    sequence: int
    fresh: bool
    ranges: list[Range]
    next_position: int
    seen_through: int
    origins: dict[str, int]


class Enqueued(Record, tag=71):
    queue: int
    epoch: int
    sequence: int
    first: int
    origin: str
    last: int
    run: Run


class Removed(Record, tag=72):
    queue: int
    epoch: int
    sequence: int
    ranges: list[Range]


class Announced(Record, tag=73):
    """Positions through `through` may go out from now on."""

    queue: int
    epoch: int
    sequence: int
    through: int


class Copied(Record, tag=74):
    """Messages that the mirror lacked: (position, exchange, routing key, content)."""

    queue: int
    epoch: int
    sequence: int
    entries: list[tuple[int, bytes, bytes, bytes]]
    complete: bool


class Lacked(Record, tag=75):
    """The mirror's answer to `Begin`: what it does not hold of the leader's ranges."""

    queue: int
    epoch: int
    sequence: int
    ranges: list[Range]


class Applied(Record, tag=76):
    """The mirror holds the effect of the stream through `sequence`."""

    queue: int
    epoch: int
    sequence: int


CoordinatorRecord = (
    Join | Welcomed | Changed | Followed | Requested | Answered | StatisticsAsked | StatisticsTold
)
ToLeader = (
    Publish
    | Subscribe
    | Unsubscribe
    | Settle
    | Requeue
    | Release
    | Get
    | Inquire
    | PauseConsumer
    | Lacked
    | Applied
)
ToUser = Accepted | Delivered | Got | Replied
ToMirror = Begin | Enqueued | Removed | Announced | Copied
AnyRecord = CoordinatorRecord | ToLeader | ToUser | ToMirror

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyRecord] = msgspec.msgpack.Decoder(AnyRecord)
_change_decoder: msgspec.msgpack.Decoder[Change] = msgspec.msgpack.Decoder(Change)


def encode(record: Record) -> bytes:
    """Return a record's bytes."""
    return _encoder.encode(record)


def decode(data: bytes | memoryview | bytearray) -> AnyRecord:
    """Return the record; raises `msgspec.DecodeError` (a ValueError) for anything else."""
    return _decoder.decode(data)


def decode_change(data: bytes) -> Change:
    """Return a change that the coordinator's store kept."""
    return _change_decoder.decode(data)
