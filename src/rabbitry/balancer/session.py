"""One client's passage through the balancer, and the door it came in by, as data.

Owns what is remembered of a session (`Session`, with a `Side` for each of its two links), of a
frontend in service (`Frontend`) and of each address it listens at (`Listener`). Decides nothing:
`relay` says which room moves sessions from phase to phase.

Invariants: a session is in `Frontend.sessions` from its admission until it has ended; a side whose
link is gone has ended in both directions; a session waits in at most one queue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import BindLine, FrontendSection
from rabbitry.balancer.proxy_protocol import header_for
from rabbitry.balancer.rates import Rate
from rabbitry.balancer.servers import Server
from rabbitry.balancer.tls_use import TlsCounters
from rabbitry.machine import Address


class Phase(Enum):
    """Where a session stands. The letters are HAProxy's stages (configuration.txt 8.5)."""

    HELD = "held"  # over a limit: waits to be let in
    GREETING = "greeting"  # its PROXY header is awaited
    QUEUED = "queued"  # Q: waits for a place at a server
    CONNECTING = "connecting"  # C: a link to a server is being opened
    WAITING = "waiting"  # C: pauses before it tries a server again
    RELAYING = "relaying"  # D: bytes pass in both directions
    FLUSHING = "flushing"  # L: is over, but what is under way still has to get out
    ENDED = "ended"


@dataclass(slots=True)
class Side:
    """One of the two links of a session, and HAProxy's view of it. Times are microseconds.

    `read_ended`: nothing that it sends is wanted any more (CF_SHUTR); `write_ended`: it has been
    told that nothing more comes (CF_SHUTW). `timeout_us` is how long it may do nothing,
    `fin_timeout_us` how long it may be silent once it has been told (None: the same).
    `waiting_bytes` are on the way to it and not taken, as last measured. `is_closing`: its link
    closes when it has taken them. `active_at` is when it last sent or took a byte, `sent_at` when
    it last sent one; with `counts_alone` only the latter keeps it from being idle (`option
    independent-streams`). `is_abrupt` and `ends_whole` are what `option nolinger` makes of links:
    the one is reset instead of closed, the other is not told of an end but closed.
    """

    link: int = 0
    is_open: bool = False
    is_closing: bool = False
    read_ended: bool = False
    write_ended: bool = False
    timeout_us: int | None = None
    fin_timeout_us: int | None = None
    counts_alone: bool = False
    is_abrupt: bool = False
    ends_whole: bool = False
    active_at: int = 0
    sent_at: int = 0
    sent_bytes: int = 0
    waiting_bytes: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is wanted from it or for it."""
        return self.read_ended and self.write_ended


@dataclass(slots=True, eq=False)
class Session:
    """A client's link, and the link to a server that goes with it. Times are microseconds.

    `backend` is None where the frontend has none. `client` and `local` are the addresses of the
    client and of our side, as a PROXY header tells them if one was asked for. `server` is the last
    one chosen; `is_assigned`: it shall be that one; `has_place`: one of its places is taken;
    `is_counted`: it is one of the server's sessions. `wait_us` and `connect_us` run from
    `accepted_at`: when a server was assigned, and when it was connected. `timer` is the name of its
    one timer. `failure` is what went
    wrong first while connecting. `cause` and `stage` make the termination state.
    """

    listener: Listener
    backend: Backend | None
    client_side: Side
    client: Address
    local: Address | None
    accepted_at: int
    timer: str
    server_side: Side = field(default_factory=Side)
    phase: Phase = Phase.HELD
    server: Server | None = None
    is_assigned: bool = False
    has_place: bool = False
    is_counted: bool = False
    backend_counted: bool = False
    queued_at: int = 0
    queued_behind: int = 0
    server_queue_position: int = 0
    backend_queue_position: int = 0
    wait_us: int | None = None
    connect_us: int | None = None
    retries: int = 0
    redispatched: bool = False
    failure: tuple[str, str] | None = None
    early: list[bytes] = field(default_factory=list)
    early_size: int = 0
    reading_paused: bool = False
    is_shut_down: bool = False
    is_measured: bool = False
    is_logged: bool = False
    expires_at: int | None = None
    timer_at: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_before_join: int = 0
    cause: str = "-"
    stage: str = "-"

    @property
    def frontend(self) -> Frontend:
        """The frontend it came in by."""
        return self.listener.frontend

    @property
    def number(self) -> int:
        """What it is known by, as long as it lives: its client's link."""
        return self.client_side.link

    def proxy_header(self) -> bytes:
        """What tells its server of its client (`send-proxy`)."""
        assert self.server is not None
        local = self.local or self.listener.bind.address
        return header_for(self.server.line.send_proxy, self.client, local)

    def blame(self, cause: str, stage: str) -> bool:
        """Note why it ends: the first to say so is right (src/stream.c). True if this was it."""
        first = self.cause == "-"
        if first:
            self.cause = cause
        if self.stage == "-":
            self.stage = stage
        return first


class Frontend:
    """A `frontend` or the front of a `listen` in service: its sessions and counters.

    `backend` is where its sessions go: None for a page of statistics, or where the file names
    none. `connections_total` counts clients that were let in, `sessions_total` those of them that
    said whom they are for, where that is asked (`accept-proxy`). An operator may have it let
    nobody in for now (`is_disabled`), or until the next reload (`is_shut_down`: its
    ports are free).
    """

    __slots__ = (
        "backend",
        "bytes_in",
        "bytes_out",
        "connections_total",
        "internal_errors",
        "is_disabled",
        "is_shut_down",
        "maxconn",
        "rate",
        "section",
        "sessions",
        "sessions_max",
        "sessions_per_s",
        "sessions_total",
        "tls",
    )

    def __init__(self, section: FrontendSection, backend: Backend | None) -> None:
        self.section = section
        self.backend = backend
        self.is_disabled = False
        self.maxconn = section.maxconn
        self.sessions_per_s = section.sessions_per_s
        self.sessions: dict[int, Session] = {}
        self.sessions_max = 0
        self.sessions_total = 0
        self.connections_total = 0
        self.internal_errors = 0
        self.tls = TlsCounters()
        self.is_shut_down = False
        self.rate = Rate()
        # Bytes of ended sessions; those under way count their own.
        self.bytes_in = 0
        self.bytes_out = 0

    def adopt(self, section: FrontendSection, backend: Backend | None) -> None:
        """Go on with another section of the same name. A limit that an operator has set stays,
        unless the section has another one than before. It listens again if it was shut down."""
        self.is_shut_down = False
        before, self.section = self.section, section
        self.backend = backend
        if section.maxconn != before.maxconn:
            self.maxconn = section.maxconn
        if section.sessions_per_s != before.sessions_per_s:
            self.sessions_per_s = section.sessions_per_s


@dataclass(slots=True, eq=False)
class Listener:
    """One address of a frontend. `number` is its place in the section, from 1 (`luid`)."""

    name: str
    frontend: Frontend
    bind: BindLine
    number: int = 1
    sessions: int = 0
    sessions_max: int = 0
    sessions_total: int = 0
    bytes_in: int = 0  # of ended sessions, like those of its frontend
    bytes_out: int = 0
    held: int = 0
    is_paused: bool = False
    is_refusing: bool = False
    tls: TlsCounters = field(default_factory=TlsCounters)

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket, whose clients have no address."""
        return self.bind.address.host[:1] in ("/", "@")
