"""The contract between decisions and the world.

Everything in Rabbitry that decides is a *machine*: an object with one method,

    step(event, now) -> [effect, ...]

that touches no socket, clock, random source, thread or file. Events tell what has happened and are
named in the past tense; effects tell what shall happen and are named in the imperative. `now` is an
integer count of microseconds of a clock that never goes back; a machine compares it only with
other values of `now`.

Two drivers run the same machines: `rabbitry.runtime` on asyncio and real sockets, and
`rabbitry.simulation` in virtual time with a seed. What a driver owes a machine:

- `Started` is the first event, and comes once. `ListenerOpened` follows for each listener.
- A *link* is an ordered byte stream, named by an integer. The driver names the links that peers
  open (positive numbers, told by `LinkOpened` with the listener's name); the machine names the
  links that it opens itself with `OpenLink` (negative numbers, never used twice), and hears
  `LinkOpened` with an empty listener name, or `LinkClosed` when that failed.
- Bytes arrive as they come, cut anywhere. `LinkFinished` says the peer will send no more (a TCP
  half-close); the other direction is open still. `LinkClosed` is the last event of a link and comes
  exactly once for each link, however it ended, also in answer to `CloseLink`.
- Effects are carried out in the order listed. `SendBytes` to a link that is gone is dropped in
  silence. At most one `SendBytes` per link and one `Commit` come out of one step: batching is where
  the speed comes from, and what changes together is durable together.
- `WritingPaused` says that the bytes waiting for a link exceed the driver's high-water mark;
  `WritingResumed` that they have drained. A machine that goes on sending makes the process grow.
- `JoinLinks` makes two links one way: what either brings, the driver sends over the other itself,
  at the pace of the slower, with bounded memory; `PauseReading` of either is undone. The machine
  hears no `BytesReceived`, `WritingPaused` or `WritingResumed` of them any more. `LinkFinished`
  comes when all bytes before it are with the partner's socket or wait for it; it is not passed on
  by itself (`FinishLink` to the partner does that). What was received before a link broke is still
  sent over the partner, and `CloseLink` of the partner sends what waits first, unless `abort`.
  `LinkFinished` and `LinkClosed` of a joined link tell what both have brought, or `LinksMeasured`
  right before them does, which answers `MeasureLinks`, too (a `LinkClosed` when both have finished
  need not). A link is joined once. Where one is gone already, the other is not read any more.
- A timer has a name; `SetTimer` replaces an earlier one of it. `TimerFired` comes once, not early.
- `Commit` hands over an atomic batch of writes; `Committed` answers when it is durable. Commits are
  answered in order. What must follow durability is emitted in answer to `Committed`, never merely
  listed behind the `Commit`. `CommitFailed` says that the world refused (a full disk, an error of
  the device): nothing of that commit, or of any handed over after it, is in the store; the machine
  hands over again what it still wants, when it likes.
- Values whose keys begin with `BULK` are not in `Started.stored`; their keys are in `Started.bulk`.
  `Load` reads them, `Loaded` answers with what was committed before the `Load`. A value that cannot
  be vouched for is never given out. Values are lent for the step that takes them: who keeps one
  finds it gone.

Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

MICROSECONDS_PER_SECOND = 1_000_000
BULK = b"\xff"  # begins the keys of values that may be many and large, and are read when wanted
Value = bytes | memoryview


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a link leads: host and port of a TCP endpoint.

    A Unix socket has its path as host, "@" and a name for an abstract one, and port 0.
    """

    host: str
    port: int

    def __str__(self) -> str:
        if self.host[:1] in ("/", "@"):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTls:
    """TLS of a link that is opened. Paths are of PEM files; empty: none.

    `verify`: the peer's certificate must be good by `ca_file` (empty: by the system's), and name
    `sni`, or `verify_host` without that, where one is given. `crt` has a certificate and key to
    show. `sni` is the server name that is asked for. What `crl_file` has is not good any more.
    Versions are written "TLSv1.2" (empty: from 1.2 to the newest), `ciphers` are OpenSSL's names up
    to that one; `alpn` is what is offered. Without `tickets` a session is resumed by none; with
    `reuse` a link goes on with the session of an earlier one.
    """

    verify: bool = True
    ca_file: str = ""
    crl_file: str = ""
    crt: str = ""
    sni: str = ""
    verify_host: str = ""
    ciphers: str = ""
    minimum_version: str = ""
    maximum_version: str = ""
    alpn: tuple[str, ...] = ()
    tickets: bool = True
    reuse: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How a link is opened, beyond its address. Zero and None: as the system has it.

    `keepalive` asks for TCP's keepalive, with the times that follow it; `tcp_user_timeout_ms` is
    how long sent bytes may stay unacknowledged; `source` is our side's address (port 0: any).
    `greeting` goes before all else, before the handshake of TLS, too; `names_itself` puts a line of
    the PROXY protocol (version 1) with the link's own two addresses there.
    """

    tls: LinkTls | None = None
    keepalive: bool = False
    keepalive_idle_s: int = 0
    keepalive_interval_s: int = 0
    keepalive_count: int = 0
    tcp_user_timeout_ms: int = 0
    source: Address | None = None
    greeting: bytes = b""
    names_itself: bool = False

    @property
    def greets(self) -> bool:
        """Whether something goes before all else."""
        return self.names_itself or bool(self.greeting)


class Measure(NamedTuple):
    """What a joined link has done, measured by the driver.

    `bytes_received` counts since the join; `active_at` is the time (microseconds) of the last byte
    read from it or taken by its socket; `bytes_waiting` were received from its partner, and its
    socket has not taken them yet.
    """

    link: int
    bytes_received: int
    active_at: int
    bytes_waiting: int


# --- events: what has happened -------------------------------------------------------------------


@dataclass(slots=True)
class Started:
    """The machine runs. `stored` holds what the store kept, as (key, value) in key order.

    `bulk` has the keys of bulk values, in order. `damaged` has keys, bulk or not, whose values are
    not what was written: they are in neither of the other two.
    """

    stored: list[tuple[bytes, bytes]] = field(default_factory=list)
    bulk: list[bytes] = field(default_factory=list)
    damaged: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class ListenerOpened:
    """The listener of this name accepts links at `address` (the port that was bound)."""

    listener: str
    address: Address


@dataclass(slots=True)
class LinkOpened:
    """A link is usable. `listener` is empty for a link that this machine opened itself.

    `peer_name` is whom the peer's verified TLS certificate names, empty where it showed none; None
    where none was asked for. `local` is our side's address, where a peer opened the link. `resumed`
    says whether its TLS goes on with an earlier session; None: it has none.
    """

    link: int
    listener: str
    peer: Address
    peer_name: str | None = None
    local: Address | None = None
    resumed: bool | None = None


@dataclass(slots=True)
class BytesReceived:
    """Bytes came over a link, cut anywhere."""

    link: int
    data: bytes


@dataclass(slots=True)
class LinkFinished:
    """The peer has finished sending; what we send still reaches it.

    `measures`: what it and its partner have done, where it is joined.
    """

    link: int
    measures: Sequence[Measure] = field(default=(), compare=False)


@dataclass(slots=True)
class LinkClosed:
    """The link is gone in both directions. `reason` is for people, empty for an orderly end.

    `measures`: of it and its partner, where it is joined. `in_handshake`: its TLS could not begin.
    `failed_here`: we lost it, its peer did nothing. `data`: what a client said that has reset it.
    """

    link: int
    reason: str
    measures: Sequence[Measure] = field(default=(), compare=False)
    in_handshake: bool = False
    failed_here: bool = False
    data: bytes = b""


@dataclass(slots=True)
class WritingPaused:
    """More bytes wait for this link than the driver's high-water mark."""

    link: int


@dataclass(slots=True)
class WritingResumed:
    """The bytes that waited for this link have drained below the low-water mark."""

    link: int


@dataclass(slots=True)
class LinksMeasured:
    """What joined links have done so far: answers the `MeasureLinks` of this number, or comes,
    numbered 0, right before the end of one."""

    measures: list[Measure]
    number: int = 0


@dataclass(slots=True)
class TimerFired:
    """The time of the timer of this name has come."""

    timer: str


@dataclass(slots=True)
class Committed:
    """The commit of this number, and all before it, are durable."""

    commit: int


@dataclass(slots=True)
class CommitFailed:
    """The commit of this number, and all handed over after it, were not written. See the module."""

    commit: int
    reason: str


@dataclass(slots=True)
class Loaded:
    """Answer to `Load`: the values in the order of its keys; None: not there, or damaged."""

    load: int
    values: Sequence[Value | None]


@dataclass(slots=True)
class AlarmChanged:
    """This process has become low on a resource ("memory", "disk"), or has enough of it again."""

    resource: str
    low: bool


@dataclass(slots=True)
class Asked:
    """The operator of this process (a command, a page) asks; `Answer` with this number replies."""

    number: int
    question: Any


Event = (
    Started
    | ListenerOpened
    | LinkOpened
    | BytesReceived
    | LinkFinished
    | LinkClosed
    | WritingPaused
    | WritingResumed
    | LinksMeasured
    | TimerFired
    | Committed
    | CommitFailed
    | Loaded
    | AlarmChanged
    | Asked
)

# --- effects: what shall happen ------------------------------------------------------------------


@dataclass(slots=True)
class OpenLink:
    """Open a link to `address`, known by the negative number `link` from now on.

    `beside` is the link that it will be joined with, 0 where it will not be: a driver of several
    processes opens it in the process of that one.
    """

    link: int
    address: Address
    options: LinkOptions | None = None
    beside: int = 0


@dataclass(slots=True)
class SendBytes:
    """Send these bytes, in order, after all sent before."""

    link: int
    data: bytes


@dataclass(slots=True)
class FinishLink:
    """Tell the peer that nothing more will be sent (TCP half-close), once all is sent."""

    link: int


@dataclass(slots=True)
class CloseLink:
    """Close the link: after sending what waits, or at once and without sending if `abort`."""

    link: int
    abort: bool = False


@dataclass(slots=True)
class PauseReading:
    """Take no more bytes from this link until `ResumeReading`: back-pressure on the peer."""

    link: int


@dataclass(slots=True)
class ResumeReading:
    """Undo `PauseReading`."""

    link: int


@dataclass(slots=True)
class JoinLinks:
    """Send over each of the two what the other brings, from now on. See the module."""

    first: int
    second: int


@dataclass(slots=True)
class MeasureLinks:
    """Tell what these joined links have done so far, all joined ones if the list is empty.

    `LinksMeasured` with this number answers, with those that are still there.
    """

    links: list[int] = field(default_factory=list)
    number: int = 0


@dataclass(slots=True)
class PauseListening:
    """Accept no more links of this listener: peers wait in the system's backlog.

    With `refuse` they are refused, and so are those that wait, where the system can do that (TCP).
    Links that were accepted before may still come. A listener that is not there is ignored.
    """

    listener: str
    refuse: bool = False


@dataclass(slots=True)
class ResumeListening:
    """Undo `PauseListening`."""

    listener: str


@dataclass(slots=True)
class StopListening:
    """Free the port of this listener for good; its links stay, and it opens no more."""

    listener: str


@dataclass(slots=True)
class SetTimer:
    """Fire the timer of this name at `at` (microseconds), in place of any earlier of that name."""

    timer: str
    at: int


@dataclass(slots=True)
class CancelTimer:
    """Forget the timer of this name."""

    timer: str


@dataclass(slots=True)
class Commit:
    """Write these keys atomically (`None` deletes); `Committed` with this number answers."""

    commit: int
    writes: list[tuple[bytes, bytes | None]]


@dataclass(slots=True)
class Load:
    """Read the values of these bulk keys; `Loaded` with this number answers."""

    load: int
    keys: list[bytes]


@dataclass(slots=True)
class Report:
    """Tell people: a line of the log. `level` is debug, info, warning or error.

    `what` is a stable sentence without values ("connection opened"), `details` has the values.
    Never put a password or a message body here.
    """

    level: str
    what: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Answer:
    """Reply to the `Asked` of this number."""

    number: int
    answer: Any


@dataclass(slots=True)
class Stop:
    """This machine has ended its work; the process may go. `reason` is for people."""

    reason: str = ""


Effect = (
    OpenLink
    | SendBytes
    | FinishLink
    | CloseLink
    | PauseReading
    | ResumeReading
    | JoinLinks
    | MeasureLinks
    | PauseListening
    | ResumeListening
    | StopListening
    | SetTimer
    | CancelTimer
    | Commit
    | Load
    | Report
    | Answer
    | Stop
)


class Entropy(Protocol):
    """Where a machine gets unpredictable bytes: the system's, or a seed's in simulation."""

    def token_bytes(self, count: int) -> bytes:
        """Return `count` bytes nobody can guess."""
        ...


class Machine(Protocol):
    """Anything that a driver can run."""

    def step(self, event: Event, now: int) -> list[Effect]:
        """Take one event at `now` (microseconds) and return what shall happen, in order."""
        ...
