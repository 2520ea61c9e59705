"""One server behind a backend: its states, health, weight, and what is counted of it.

Owns the state of a server as data, the arithmetic of health, of its effective weight and of how
many sessions it may have. Does not own how a check is made (`checks`), what follows from a change
(`transitions`) or which server is chosen (`backends`, `algorithms`).

A server has three kinds of state, as in HAProxy (include/haproxy/server-t.h):
- operating: what checks have found; it is running, starting (throttled by `slowstart`), stopping
  (finishes what it has) or stopped;
- administrative: what people want; ready, drained, or in maintenance, by themselves or inherited
  from a server it tracks;
- health: HAProxy's single number for each kind of check (src/check.c, `set_server_check_status`).
  Below `rise` the check counts as failed, from `rise` up to `rise + fall - 1` as passed. A failed
  check takes one off, a passed one adds one; crossing `rise` downwards drops it to 0, crossing it
  upwards lifts it to the top. It starts at exactly `rise`: up, but the first failed check takes it
  down.

Invariants: 0 <= health <= rise + fall - 1; effective weight is 0 only where the user's is;
`served` is never above `maxconn_now` because of a session that was given a place here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntFlag

from rabbitry.balancer.algorithms.pool import WEIGHT_SCALE
from rabbitry.balancer.configuration.model import ServerLine, ServerTls
from rabbitry.balancer.rates import Averages, Rate
from rabbitry.balancer.tls_use import TlsCounters
from rabbitry.machine import MICROSECONDS_PER_SECOND, Address


class Operating(Enum):
    """What checks have found. Only STOPPED is down. Values are those of `show servers state`."""

    STOPPED = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3


class Admin(IntFlag):
    """What people want of a server. Values are those of `show servers state`."""

    READY = 0
    FORCED_MAINT = 0x01
    INHERITED_MAINT = 0x02
    CONFIGURED_MAINT = 0x04
    FORCED_DRAIN = 0x08
    INHERITED_DRAIN = 0x10
    MAINT = FORCED_MAINT | INHERITED_MAINT
    DRAIN = FORCED_DRAIN | INHERITED_DRAIN


@dataclass(slots=True)
class Check:
    """The last result of a server's checks, in HAProxy's words (management.txt 9.1, 36-38).

    `description` is the status in words, `info` what this check found beyond it, `remark` what of
    that people must not miss.
    """

    status: str = "INI"
    description: str = "Initializing"
    info: str = ""
    duration_us: int | None = None
    code: int | None = None
    remark: str = ""


class Health:
    """The health number of one kind of check (health or agent), and its last result.

    `enabled`: the configuration asks for it and nobody switched it off. `in_progress`: a check is
    under way. `errors_in_row` are those of sessions since one succeeded, `observed_failures` how
    often they were too many (`observe`).
    """

    __slots__ = (
        "check",
        "enabled",
        "errors_in_row",
        "failed",
        "fall",
        "in_progress",
        "observed_failures",
        "rise",
        "value",
    )

    def __init__(self, rise: int, fall: int, enabled: bool) -> None:
        self.rise = rise
        self.fall = fall
        self.enabled = enabled
        self.value = rise
        self.check = Check()
        self.failed = 0
        self.in_progress = False
        self.errors_in_row = 0
        self.observed_failures = 0

    @property
    def passed(self) -> bool:
        """Whether the server is good as far as these checks are concerned."""
        return self.value >= self.rise

    @property
    def top(self) -> int:
        """The health of a server that has not failed lately."""
        return self.rise + self.fall - 1

    def take(self, passed: bool, check: Check) -> None:
        """Take the result of a check."""
        self.check = check
        if passed:
            self.errors_in_row = 0
            if self.value < self.top:
                self.value += 1
                if self.passed:
                    self.value = self.top
        elif self.value > 0:
            self.failed += 1
            self.value -= 1
            if not self.passed:
                self.value = 0

    def expect(self, rise: int, fall: int) -> None:
        """Go on with other thresholds, as good as before."""
        passed = self.passed
        self.rise, self.fall = rise, fall
        self.value = self.top if passed else 0

    def sink(self) -> None:
        """Take it as failed altogether (maintenance, `set server health down`)."""
        self.value = 0

    def lift(self) -> None:
        """Take it as just good enough (end of maintenance): the next failure takes it down."""
        self.value = self.rise

    def fill(self) -> None:
        """Take it as good altogether (`set server health up`)."""
        self.value = self.top


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
    internal_errors: int = 0
    last_session_at: int | None = None
    rate: Rate = field(default_factory=Rate)
    queue_times: Averages = field(default_factory=Averages)
    connect_times: Averages = field(default_factory=Averages)
    total_times: Averages = field(default_factory=Averages)

    def assigned(self, now: int) -> None:
        """A session was given to this server."""
        self.entered(now)
        self.last_session_at = now

    def entered(self, now: int) -> None:
        """A session has come to this backend; whether it finds a server is not known yet."""
        self.sessions += 1
        if self.sessions > self.sessions_max:
            self.sessions_max = self.sessions
        self.sessions_total += 1
        self.rate.count(now)


@dataclass(slots=True)
class Changes:
    """When something last changed, and how long it was down (microseconds)."""

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
    """One server: its configuration `line`, its states, its weight, its counters.

    `number` is its id in the backend, from 1; `key` is BACKEND/SERVER. `maxconn` 0 means no limit.
    `served` counts the sessions that hold a place, `queued` those that wait for this server and no
    other; both are kept by the room of sessions. `operating` and `admin` are changed by
    `transitions` alone.
    """

    __slots__ = (
        "address",
        "admin",
        "agent",
        "changes",
        "counters",
        "effective_weight",
        "health",
        "initial_weight",
        "key",
        "line",
        "maxconn",
        "maxconn_now",
        "name",
        "number",
        "operating",
        "queued",
        "queued_max",
        "served",
        "tls",
        "tls_switched_off",
        "tracked",
        "trackers",
        "weight",
    )

    def __init__(self, line: ServerLine, number: int = 1, backend_name: str = "") -> None:
        self.line = line
        self.name = line.name
        self.key = f"{backend_name}/{line.name}"
        self.number = line.id or number
        self.address: Address = line.address
        self.weight = self.initial_weight = line.weight
        self.effective_weight = line.weight * WEIGHT_SCALE
        self.health = Health(line.rise, line.fall, line.check)
        self.agent = Health(1, 1, line.agent_check)
        self.operating = Operating.RUNNING
        self.admin = Admin.READY
        if line.disabled:
            self.admin = Admin.FORCED_MAINT | Admin.CONFIGURED_MAINT
            self.operating = Operating.STOPPED
            self.health.sink()
        self.changes = Changes(up=not line.disabled)
        self.counters = Counters()
        self.maxconn = line.maxconn or 0
        self.maxconn_now = self.maxconn
        self.served = 0
        self.queued = 0
        self.queued_max = 0
        self.tls = TlsCounters()
        self.tls_switched_off: ServerTls | None = None  # by `set server ... ssl off`
        self.tracked: Server | None = None
        self.trackers: list[Server] = []

    def adopt(self, line: ServerLine, number: int) -> None:
        """Go on with another line of the same server. What an operator has set (weight, maxconn)
        stays unless the line says something new; so does its health."""
        before, self.line = self.line, line
        self.number = line.id or number
        if line.weight != before.weight:
            self.weight = self.initial_weight = line.weight
            self.effective_weight = line.weight * WEIGHT_SCALE
        if line.maxconn != before.maxconn:
            self.maxconn = self.maxconn_now = line.maxconn or 0
        if line.check != before.check:
            self.health.enabled = line.check
        if line.agent_check != before.agent_check:
            self.agent.enabled = line.agent_check
        if (line.rise, line.fall) != (before.rise, before.fall):
            self.health.expect(line.rise, line.fall)

    # --- what algorithms ask --------------------------------------------------------------------

    @property
    def is_backup(self) -> bool:
        """Whether it serves only while no active server can."""
        return self.line.backup

    @property
    def is_up(self) -> bool:
        """Whether it answers as far as we know; it may be drained all the same."""
        return self.operating is not Operating.STOPPED

    @property
    def is_drained(self) -> bool:
        """Whether it is to get no new sessions though it may be up."""
        return bool(self.admin & Admin.DRAIN) or not self.weight

    @property
    def is_usable(self) -> bool:
        """Whether sessions may be given to it (`srv_currently_usable`)."""
        if self.admin & (Admin.MAINT | Admin.DRAIN) or not self.effective_weight:
            return False
        return self.operating in (Operating.STARTING, Operating.RUNNING)

    @property
    def has_room(self) -> bool:
        """Whether one more session would get a place at once."""
        return not self.maxconn or (not self.queued and self.served < self.maxconn_now)

    @property
    def has_room_in_queue(self) -> bool:
        """Whether one more session would get a place, or one in its queue (`leastconn`)."""
        maxqueue = self.line.maxqueue or 0
        return not self.maxconn or self.served + self.queued < self.maxconn_now + maxqueue

    # --- what people see --------------------------------------------------------------------

    @property
    def is_checked(self) -> bool:
        """Whether health checks are made of it now, or of one it tracks."""
        return self.health.enabled or (self.tracked is not None and self.tracked.is_checked)

    @property
    def status(self) -> str:
        """HAProxy's status (src/stats.c, `stats_fill_sv_stats`): `UP`, `UP 1/3`, `DOWN`,
        `DOWN 1/2`, `MAINT`, `MAINT (via b/s)`, `DRAIN`, `NOLB 2/3`, `no check`, `DOWN (agent)`."""
        judged: Server = self
        while judged.tracked is not None:
            judged = judged.tracked
        if self.admin & Admin.INHERITED_MAINT and not self.admin & Admin.FORCED_MAINT:
            return f"MAINT (via {self.line.track})"
        if self.admin & Admin.MAINT:
            return "MAINT"
        if judged.operating is Operating.STOPPED:
            if judged.agent.enabled and not judged.agent.value:
                return "DOWN (agent)"
            if not judged.health.enabled and not judged.agent.enabled:
                return "DOWN"
            value, rise = judged.health.value, judged.health.rise
            return f"DOWN {value}/{rise}" if value else "DOWN"
        drained = bool(self.admin & Admin.DRAIN)  # a weight of 0 alone does not show here
        word = "DRAIN" if drained else "UP"
        if judged.operating is Operating.STOPPING:
            word = "NOLB"
        elif drained and judged.agent.enabled:
            return "DRAIN (agent)"
        elif not judged.health.enabled:
            return "DRAIN" if drained else "no check"
        if not judged.health.enabled or judged.health.value == judged.health.top:
            return word
        good = judged.health.value - judged.health.rise + 1
        return f"{word} {good}/{judged.health.fall}"

    @property
    def check(self) -> Check:
        """The last result of its health checks."""
        return self.health.check

    @property
    def checks_failed(self) -> int:
        """How many health and agent checks failed while it was up."""
        return self.health.failed + self.agent.failed

    # --- weight and places ------------------------------------------------------------------

    def throttle_percent(self, now: int) -> int | None:
        """How far it has got in its `slowstart`; None if it is not in one."""
        slowstart_us = self.line.slowstart_us
        if self.operating is not Operating.STARTING or not slowstart_us:
            return None
        return min(max(100 * seconds(now - self.changes.at) // seconds(slowstart_us), 1), 100)

    def reckon_weight(self, dynamic: bool, now: int) -> None:
        """Reckon the effective weight anew; a `slowstart` that is over ends with it.

        `dynamic`: the algorithm can take any weight (src/server.c, `server_recalc_eweight`). Time
        is counted in whole seconds, as HAProxy does.
        """
        slowstart_s = seconds(self.line.slowstart_us or 0)
        since_s = seconds(now) - seconds(self.changes.at)
        if self.operating is Operating.STARTING and since_s >= slowstart_s:
            self.operating = Operating.RUNNING
        scale = WEIGHT_SCALE
        if self.operating is Operating.STARTING and dynamic:
            scale = (WEIGHT_SCALE * since_s + slowstart_s) // slowstart_s
        self.effective_weight = self.weight * scale

    def reckon_places(self, sessions: int, fullconn: int, now: int) -> None:
        """Reckon `maxconn_now` from the backend's number of sessions (`srv_dynamic_maxconn`)."""
        most = self.maxconn
        minconn = self.line.minconn
        if minconn is not None and minconn != most and sessions < fullconn:
            most = max(minconn, sessions * self.maxconn // fullconn)
        percent = self.throttle_percent(now)
        if percent is not None and percent < 100:
            most = max(1, most * percent // 100)
        self.maxconn_now = most


def seconds(duration_us: int) -> int:
    """Whole seconds of a duration, as HAProxy shows them."""
    return duration_us // MICROSECONDS_PER_SECOND
