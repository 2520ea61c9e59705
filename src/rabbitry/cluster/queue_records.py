"""What nodes say to each other about one queue: its users, its leader and its mirrors.

From a queue's users to its leader `Publish` .. `PauseConsumer`, `Claimed` and `Mark`; from the
leader to its users `Accepted` .. `Replied` and `Marked`; the one ordered stream from the leader to
a mirror `Begin` .. `Copied`; and back `Lacked` and `Applied`. A queue is named by its number, which
the coordinator never gives twice. Every record carries the leader's `epoch`; one of another epoch
than the receiver's is dropped. Tags are unique together with those of `cluster.records`, where all
records are encoded and decoded.
"""

from __future__ import annotations

import msgspec

from rabbitry.broker.message import Run
from rabbitry.broker.queue import Holder

Range = tuple[int, int]  # inclusive positions


class Record(msgspec.Struct, array_like=True, gc=False):
    """Base of all records."""


class Refused(Record, tag=24):
    """Why a request cannot be: an AMQP reply code and text; hard ones end the connection."""

    reply_code: int
    text: str
    hard: bool = False


# --- to a queue's leader --------------------------------------------------------------------------


class Publish(Record, tag=50):
    """A run of messages. `last` is the number that this node has given to the last of them.

    It has heard what became of all through number `settled`.
    """

    queue: int
    epoch: int
    last: int
    run: Run
    settled: int = 0


class Subscribe(Record, tag=51):
    queue: int
    epoch: int
    request: int
    holder: Holder
    number: int
    no_ack: bool
    exclusive: bool
    prefetch_count: int
    paused: bool = False
    priority: int = 0
    shares_limit: bool = False


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
    """Messages go back to their places; `redelivered` is the mark they go out with again."""

    queue: int
    epoch: int
    holder: Holder
    positions: list[int]
    redelivered: bool = True


class Reject(Record, tag=59):
    """A client will not have these: dead letters, where the queue has an exchange for them."""

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
    """A consumer is sent no more (`paused`), or is again, with another prefetch where one is given.

    Its client does not read fast enough, or its channel has as many unacknowledged as it may have.
    """

    queue: int
    epoch: int
    holder: Holder
    number: int
    paused: bool
    prefetch_count: int | None = None


# --- from a queue's leader ------------------------------------------------------------------------


class Accepted(Record, tag=60):
    """All that this node published through number `last` is held by every in-sync replica.

    All but the numbers in `rejected`, for which there was no room.
    """

    queue: int
    epoch: int
    last: int
    rejected: list[Range] = []


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


# --- the stream from leader to mirror -------------------------------------------------------------


class Begin(Record, tag=70):
    """The stream starts: the leader holds exactly `ranges`, and will give `next_position` next.

    `fresh`: the mirror is not in sync. `origins`: the last number accepted from each publishing
    node. `seen_through`: no later position has been out. `follows`: of which epoch's stream the
    leader held a prefix when it took over, which went to before `first_position`. `consumed`: the
    queue has had a consumer. `rejections`: see `Replica`.
    `counts` as in `Counted`.
    """

    queue: int
    epoch: int
    sequence: int
    fresh: bool
    ranges: list[Range]
    next_position: int
    seen_through: int
    origins: dict[str, int]
    follows: int
    first_position: int
    consumed: bool = False
    rejections: dict[str, list[Range]] = {}
    counts: list[tuple[int, int]] = []


class Enqueued(Record, tag=71):
    """A publish of `origin` through its number `last`: messages from position `first` on.

    `expiries` as in `Queue.publish`. `rejected` are numbers of the publish that are not in `run`,
    which may be empty then; `settled` as in `Publish`.
    """

    queue: int
    epoch: int
    sequence: int
    first: int
    origin: str
    last: int
    run: Run
    expiries: list[int] = []
    rejected: list[Range] = []
    settled: int = 0


class Removed(Record, tag=72):
    queue: int
    epoch: int
    sequence: int
    ranges: list[Range]


class Announced(Record, tag=73):
    """Positions through `through` may go out from now on. `consumed` as in `Begin`."""

    queue: int
    epoch: int
    sequence: int
    through: int
    consumed: bool = False


class Copied(Record, tag=74):
    """Messages that the mirror lacked: (position, exchange, routing key, flags, content).

    `expiries` are positions of them and when they expire.
    """

    queue: int
    epoch: int
    sequence: int
    entries: list[tuple[int, bytes, bytes, int, bytes]]
    complete: bool
    expiries: list[tuple[int, int]] = []


class Counted(Record, tag=77):
    """Messages that came back, by position, with how often they have by now. (Quorum queues.)"""

    queue: int
    epoch: int
    sequence: int
    counts: list[tuple[int, int]]


class Lacked(Record, tag=75):
    """The mirror's answer to `Begin`: what it does not hold of the leader's ranges."""

    queue: int
    epoch: int
    sequence: int
    ranges: list[Range]


class Applied(Record, tag=76):
    """The mirror holds the effect of the stream through `sequence`.

    Through `stored` its store has what it must have of it.
    """

    queue: int
    epoch: int
    sequence: int
    stored: int


class Claimed(Record, tag=64):
    """What a node's channels have of deliveries by earlier leaders, at the start of a session.

    `owed`: what clients may still settle, by channel and consumer. What they have settled, and
    perhaps no leader that counts has heard of: acknowledged (`settled`) or `rejected` positions.
    """

    queue: int
    epoch: int
    owed: list[tuple[Holder, int, list[int]]] = []
    settled: list[int] = []
    rejected: list[int] = []


class Mark(Record, tag=65):
    """`Marked` with this number is to answer when all mirrors hold what came before."""

    queue: int
    epoch: int
    number: int


class Marked(Record, tag=66):
    """All that this node has said before its `Mark` will be known to the next leader too."""

    queue: int
    epoch: int
    number: int


ToLeader = (
    Publish
    | Subscribe
    | Unsubscribe
    | Settle
    | Requeue
    | Reject
    | Release
    | Get
    | Inquire
    | PauseConsumer
    | Lacked
    | Applied
    | Claimed
    | Mark
)
ToUser = Accepted | Delivered | Got | Replied | Marked
StreamRecord = Enqueued | Removed | Announced | Copied | Counted
ToMirror = Begin | StreamRecord
