"""What nodes and the coordinator say to each other: one struct for each sentence.

Names in the past tense tell, names in the imperative ask. Encoded with msgspec's MessagePack, as
arrays with a numeric tag; the framing and the login of a link are `cluster.links`.

Here are the catalog's changes `ExchangeDeclared` .. `NodeLeft` and what nodes and coordinator say,
`Join` .. `AlarmsTold`; what they say for direct reply-to is here too. Changes and requests
about users, permissions and policies are in `cluster.access_records`; what nodes say to each other
about a queue is in `cluster.queue_records`. A tag is never given to another struct.
"""

from __future__ import annotations

import msgspec

from rabbitry.broker.message import Run
from rabbitry.cluster.access_records import AccessChange, AccessRequest, ConnectionsTold
from rabbitry.cluster.queue_records import Record, ToLeader, ToMirror, ToUser
from rabbitry.cluster.queue_records import Refused as Refused  # said by the coordinator too

# --- the catalog's changes: what the coordinator decided, in one order for all --------------------


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

    `leader` is empty while no node can lead. `in_sync` includes the leader. `stored` are replicas
    whose processes have died since, and whose stores have all that is confirmed and persistent.
    """

    queue: int
    epoch: int
    leader: str
    mirrors: list[str]
    in_sync: list[str]
    stored: list[str] = []


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
    | AccessChange
)

# --- node and coordinator -------------------------------------------------------------------------


class Join(Record, tag=20):
    """A node's first word: where other nodes reach it, and its process (`incarnation`).

    `store` names what it keeps its messages in, for ever the same; empty where nothing is kept.
    `damaged`: the queues that the store had, and cannot vouch for. `cluster`: of which cluster the
    store is; `revision`: the last that the node heard of, in which `life` of the coordinator
    (see `cluster.lives`).
    """

    name: str
    incarnation: str
    host: str
    port: int
    store: str = ""
    damaged: list[int] = []
    cluster: str = ""
    life: str = ""
    revision: int = 0


class Welcomed(Record, tag=21):
    """The whole catalog as changes from nothing; deltas follow from `revision` + 1.

    `cluster` names the cluster, for ever the same: what a node has of another it keeps to itself.
    `life` names the time from the coordinator's last start on.
    """

    revision: int
    changes: list[Change]
    cluster: str = ""
    life: str = ""


class TurnedAway(Record, tag=26):
    """The answer to `Join`: it may not, and is to end; for people, why and what to do."""

    reason: str


class Changed(Record, tag=22):
    revision: int
    changes: list[Change]


class Heard(Record, tag=25):
    """The sender lives: the coordinator's answer to `Followed`, a node's word to its peers."""


class Followed(Record, tag=23):
    """The node has applied everything through `revision`, and is low on `alarms` ("memory", "disk")
    and on nothing else; also the heartbeat of its lease."""

    revision: int
    alarms: tuple[str, ...] = ()


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
    | AccessRequest
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


class Quiesce(Record, tag=44):
    """Let nothing more out of these queues: others are to lead them. `Quiesced` answers."""

    number: int
    queues: list[int]


class Quiesced(Record, tag=45):
    """What was on its way out of these queues has settled."""

    number: int


class AlarmsTold(Record, tag=48):
    """A node to the other nodes: what it is low on now, and nothing else."""

    resources: list[str]


# --- direct reply-to, from node to node -----------------------------------------------------------


class AnswerSent(Record, tag=80):
    """A message for the direct reply-to address of a channel of the node."""

    channel: int
    key: str
    run: Run


class ReplyConsumerAsked(Record, tag=81):
    """Does somebody consume at this address? `ReplyConsumerTold` with this number answers."""

    number: int
    channel: int
    key: str


class ReplyConsumerTold(Record, tag=82):
    number: int
    found: bool


ReplyRecord = AnswerSent | ReplyConsumerAsked | ReplyConsumerTold

CoordinatorRecord = (
    Join
    | Welcomed
    | TurnedAway
    | Changed
    | Followed
    | Heard
    | Requested
    | Answered
    | StatisticsAsked
    | StatisticsTold
    | Quiesce
    | Quiesced
    | AlarmsTold
)
AnyRecord = CoordinatorRecord | ConnectionsTold | ToLeader | ToUser | ToMirror | ReplyRecord

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
