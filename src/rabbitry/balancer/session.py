"""One client's passage through the balancer, and the frontend it came in by, as data.

Owns what is remembered of a session (`Session`) and of a frontend in service (`Frontend`). Decides
nothing: `relay` moves sessions from phase to phase.

Invariants: a session is in `Frontend.sessions` from its admission until both its links are closed;
`server_closed` is true whenever no link to a server exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.configuration.model import FrontendSection
from rabbitry.balancer.rates import Rate
from rabbitry.balancer.servers import Server
from rabbitry.machine import Address


class Phase(Enum):
    """Where a session stands."""

    HELD = "held"  # over maxconn: waits for another session to end
    CONNECTING = "connecting"  # a link to a server is being opened
    WAITING = "waiting"  # pauses before it tries a server again
    RELAYING = "relaying"  # bytes pass in both directions
    ENDING = "ending"  # links are being closed


@dataclass(slots=True, eq=False)
class Session:
    """A client's link, and the link to a server that goes with it. Times are microseconds."""

    frontend: Frontend
    backend: Backend
    client_link: int
    client: Address
    accepted_at: int
    phase: Phase = Phase.HELD
    relaying: bool = False
    server: Server | None = None
    server_link: int = 0
    server_counted: bool = False
    backend_counted: bool = False
    attempted_at: int | None = None
    connected_at: int | None = None
    active_at: int = 0
    retries: int = 0
    choose_again: bool = False
    redispatched: bool = False
    early: list[bytes] = field(default_factory=list)
    early_size: int = 0
    client_finished: bool = False
    server_finished: bool = False
    client_closed: bool = False
    server_closed: bool = True
    client_reading_paused: bool = False
    client_waiting_bytes: int = 0  # as last measured: not taken yet by the client's socket
    server_waiting_bytes: int = 0
    idle_asked: bool = False  # its links are being measured, to tell whether it is idle
    bytes_in: int = 0
    bytes_out: int = 0
    cause: str = "-"
    stage: str = "-"

    @property
    def timer(self) -> str:
        """The name of its one timer: connect timeout, pause or idle timeout, by phase."""
        return f"session {self.client_link}"


class Frontend:
    """A `frontend` or the front of a `listen` in service: its sessions and counters.

    `backend` is where its sessions go: None for a page of statistics.
    """

    __slots__ = (
        "backend",
        "bytes_in",
        "bytes_out",
        "rate",
        "section",
        "sessions",
        "sessions_max",
        "sessions_total",
    )

    def __init__(self, section: FrontendSection, backend: Backend | None) -> None:
        self.section = section
        self.backend = backend
        self.sessions: dict[int, Session] = {}
        self.sessions_max = 0
        self.sessions_total = 0
        self.rate = Rate()
        # Bytes of ended sessions; those under way count their own.
        self.bytes_in = 0
        self.bytes_out = 0
