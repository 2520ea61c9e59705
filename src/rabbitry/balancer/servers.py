"""One server behind a backend: its health, whether it may get sessions, what is counted of it.

Owns the health of a server as a state machine over the results of checks, and the counters that
servers and backends share. Does not own how a check is made (`checks`) or which server is chosen
(`backends`).

Health is HAProxy's single number (src/check.c, `set_server_check_status`): below `rise` the
server is down, from `rise` up to `rise + fall - 1` it is up. A failed check takes one off, a
passed one adds one; crossing `rise` downwards drops it to 0, crossing it upwards lifts it to the
top. A server starts at exactly `rise`: up, but the first failed check takes it down.

Invariants: 0 <= health <= rise + fall - 1; a server without `check` is always up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rabbitry.balancer.configuration.model import ServerLine
from rabbitry.balancer.rates import Averages, Rate
from rabbitry.machine import MICROSECONDS_PER_SECOND, Address

Transition = Literal["", "up", "down"]


@dataclass(slots=True)
class Check:
    """The last result of a server's checks, in HAProxy's words (management.txt 9.1, 36-38)."""

    status: str = "INI"
    description: str = "Initializing"
    info: str = ""
    duration_us: int | None = None


@dataclass(slots=True)
class Counters:
    """What is counted for a server and, summed by events of its own, for a whole backend."""

    sessions: int = 0
    sessions_max: int = 0
    sessions_total: int = 0
    chosen_total: int = 0
    connects_total: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connect_errors: int = 0
    response_errors: int = 0
    retries: int = 0
    redispatches: int = 0
    client_aborts: int = 0
    server_aborts: int = 0
    last_session_at: int | None = None
    rate: Rate = field(default_factory=Rate)
    connect_times: Averages = field(default_factory=Averages)
    total_times: Averages = field(default_factory=Averages)

    def assigned(self, now: int) -> None:
        """A session was given to this server or backend."""
        self.sessions += 1
        self.sessions_max = max(self.sessions_max, self.sessions)
        self.sessions_total += 1
        self.last_session_at = now
        self.rate.count(now)


@dataclass(slots=True)
class Changes:
    """When something went up and down, and how long it was down (microseconds)."""

    up: bool = True
    at: int = 0
    downs: int = 0
    _down_us: int = 0

    def become(self, up: bool, now: int) -> None:
        """Record that it is up (or down) from `now` on."""
        if up == self.up:
            return
        if up:
            self._down_us += now - self.at
        else:
            self.downs += 1
        self.up = up
        self.at = now

    def down_us(self, now: int) -> int:
        """How long it has been down altogether."""
        return self._down_us + (0 if self.up else now - self.at)


class Server:
    """One server: its configuration `line`, health, counters, and turn in the algorithm."""

    __slots__ = (
        "address",
        "changes",
        "check",
        "checks_failed",
        "counters",
        "credit",
        "health",
        "line",
        "name",
        "weight",
    )

    def __init__(self, line: ServerLine) -> None:
        self.line = line
        self.name = line.name
        self.address: Address = line.address
        self.weight = line.weight
        self.health = line.rise
        self.check = Check()
        self.checks_failed = 0
        self.changes = Changes()
        self.counters = Counters()
        self.credit = 0

    @property
    def is_up(self) -> bool:
        """Whether sessions may go there as far as its health is concerned."""
        return self.health >= self.line.rise

    @property
    def health_max(self) -> int:
        """The health of a server that is up and has not failed lately."""
        return self.line.rise + self.line.fall - 1

    @property
    def status(self) -> str:
        """HAProxy's status: `UP`, `UP 1/3`, `DOWN`, `DOWN 1/2`, `DRAIN`, `no check`."""
        if not self.line.check:
            return "no check" if self.weight else "DRAIN"
        if self.is_up:
            word = "UP" if self.weight else "DRAIN"
            if self.health == self.health_max:
                return word
            return f"{word} {self.health - self.line.rise + 1}/{self.line.fall}"
        return f"DOWN {self.health}/{self.line.rise}" if self.health else "DOWN"

    @property
    def check_interval_us(self) -> int:
        """How long after one check began the next begins (configuration.txt 5.2, "inter")."""
        if self.health == self.health_max:
            return self.line.inter_us
        if self.health == 0:
            return self.line.downinter_us or self.line.inter_us
        return self.line.fastinter_us or self.line.inter_us

    def checked(self, passed: bool, check: Check, now: int) -> Transition:
        """Take the result of a check; say whether the server went up or down with it."""
        self.check = check
        was_up = self.is_up
        if passed:
            if self.health < self.health_max:
                self.health += 1
                if self.is_up:
                    self.health = self.health_max
        elif self.health > 0:
            if was_up:
                self.checks_failed += 1  # "only counts checks failed when the server is up"
            self.health -= 1
            if not self.is_up:
                self.health = 0
        if self.is_up == was_up:
            return ""
        self.changes.become(self.is_up, now)
        self.credit = 0  # no turns saved up from before
        return "up" if self.is_up else "down"


def seconds(duration_us: int) -> int:
    """Whole seconds of a duration, as HAProxy shows them."""
    return duration_us // MICROSECONDS_PER_SECOND
