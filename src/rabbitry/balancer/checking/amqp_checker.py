"""`option amqp-check` for one server: an `AmqpWatch` with links, a timer and somebody to tell.

Owns what joins the watch to the balancer: effects in their order, pauses while the server is in
maintenance or its checks are switched off (the connection ends in order then, and is made anew
behind it), and what people are told of alarms, and of a disk that may not be asked, which change
nothing of a server's state.

Invariants: at most one `SendBytes` per link and step; the connection is under TCP's keepalive, so
that neither a firewall forgets it nor a host that has gone keeps it here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checking.amqp_asking import AmqpAsking
from rabbitry.balancer.checking.amqp_watch import AmqpWatch
from rabbitry.balancer.checking.checker import Desk
from rabbitry.balancer.checking.results import Connect, Result
from rabbitry.balancer.checking.schedule import interval_us, opening_limit_us
from rabbitry.balancer.checking.targets import Target, health_target
from rabbitry.balancer.configuration.model import AmqpCheck
from rabbitry.balancer.servers import Admin, Server
from rabbitry.connection.handshake import Credentials
from rabbitry.machine import (
    Address,
    CancelTimer,
    CloseLink,
    LinkOptions,
    Report,
    SendBytes,
    SetTimer,
)

KEEPALIVE_IDLE_S: Final = 30
KEEPALIVE_INTERVAL_S: Final = 10
KEEPALIVE_COUNT: Final = 3


class AmqpChecker:
    """Checks one server: see `Checker`; and the `Host` of its watch."""

    def __init__(
        self, desk: Desk, backend: Backend, server: Server, login: AmqpCheck, now: int
    ) -> None:
        self._desk = desk
        self._backend = backend
        self._server = server
        self._targets: dict[int, Target] = {}  # of links that are not closed
        self._said: dict[int, list[bytes]] = {}
        self._closing: list[CloseLink] = []
        self._next_at = 0
        self._now = now
        self._address: Address | None = None  # where the last link led
        self._alarm = ""
        self._disk_refusal = ""
        section = backend.section
        credentials = Credentials(login.user, login.password, login.virtual_host)
        name = f"Rabbitry balancer: check of {server.key}"
        self.watch = AmqpWatch(
            self,
            lambda probes, asks_disk, at: AmqpAsking(
                credentials, name, at, probes=probes, asks_disk=asks_disk
            ),
            server.line.inter_us,
            opening_limit_us(section, server.line.inter_us),
            section.timeout_check_us,
            login.asks_disk,
        )
        self.timer = f"check {server.key}"

    @property
    def judges(self) -> tuple[Backend, Server]:
        """The server it checks, and of which backend."""
        return self._backend, self._server

    # --- events -------------------------------------------------------------------------------

    def timer_fired(self, now: int) -> None:
        """The watch is to be woken; or the server may have come back from maintenance."""
        self._now = now
        server = self._server
        if server.admin & Admin.MAINT or not server.health.enabled:
            if not self.watch.stopped:
                self.watch.end(now)
            self.wake(now + server.line.inter_us)
        elif self.watch.stopped:
            self.watch.begin(now)
        elif self._address != health_target(server, Connect()).address:  # it was moved
            self.watch.end(now)
            self.watch.begin(now)
        else:
            self.watch.woken(now)
        self._flush()

    def hurry(self, at: int) -> None:
        """Ask at this time if the next question is later than that."""
        if at < self._next_at and not self.watch.in_progress:
            self.wake(at)

    def link_opened(self, link: int, now: int) -> None:
        """A link is open."""
        self._now = now
        self.watch.opened(link, now)
        self._flush()

    def bytes_received(self, link: int, data: bytes, now: int) -> None:
        """The server has sent bytes."""
        self._now = now
        self.watch.received(link, data, now)
        self._flush()

    def link_finished(self, link: int, now: int) -> None:
        """The server will say no more: nor shall we."""
        self._desk.out.append(CloseLink(link))

    def link_closed(self, link: int, reason: str, now: int) -> None:
        """A link is gone."""
        self._now = now
        target = self._targets.pop(link, None)
        if target is not None:
            status, text = target.failure(reason)
            self.watch.closed(link, text, status, now)
        self._flush()

    def end(self, now: int) -> None:
        """Check no more; connections end in order."""
        self._now = now
        self.watch.end(now)
        self._flush()
        self._desk.out.append(CancelTimer(self.timer))

    # --- what the watch wants -----------------------------------------------------------------

    def open(self) -> int:
        """Open a link to the server."""
        target = health_target(self._server, Connect())
        options = replace(
            target.options or LinkOptions(),
            keepalive=True,
            keepalive_idle_s=KEEPALIVE_IDLE_S,
            keepalive_interval_s=KEEPALIVE_INTERVAL_S,
            keepalive_count=KEEPALIVE_COUNT,
        )
        target = replace(target, options=options)
        self._address = target.address
        link = self._desk.open(self, target)
        self._targets[link] = target
        return link

    def send(self, link: int, data: bytes) -> None:
        """Send bytes over a link, at the end of this step."""
        self._said.setdefault(link, []).append(data)

    def close(self, link: int, abort: bool) -> None:
        """Close a link, behind what is sent over it."""
        self._closing.append(CloseLink(link, abort=abort))

    def wake(self, at: int) -> None:
        """Wake the watch at this time."""
        self._next_at = at
        self._desk.out.append(SetTimer(self.timer, at))

    def judged(self, verdict: Result, duration_us: int, final: bool) -> None:
        """A check has ended."""
        backend, server = self._backend, self._server
        self._tell_alarm()
        self._tell_disk_refusal()
        self._desk.verdicts.health(backend, server, verdict, duration_us, self._now, final)

    @property
    def interval_us(self) -> int:
        """The pause between checks in the server's present health."""
        return interval_us(self._server)

    @property
    def steady(self) -> bool:
        """Whether the server is up and has not failed lately."""
        health = self._server.health
        return self._server.is_up and health.value == health.top

    def _tell_alarm(self) -> None:
        before, self._alarm = self._alarm, self.watch.alarm
        if before == self._alarm:
            return
        if self._alarm:
            self._tell("warning", "server blocks publishers", alarm=self._alarm)
        else:
            self._tell("info", "server takes publishers again", alarm=before)

    def _tell_disk_refusal(self) -> None:
        before, self._disk_refusal = self._disk_refusal, self.watch.disk_refusal
        if self._disk_refusal and not before:
            self._tell("warning", "server lets nobody ask its disk", refusal=self._disk_refusal)

    def _tell(self, level: str, what: str, **more: object) -> None:
        details: dict[str, object] = {
            "proxy": self._backend.section.name,
            "server": self._server.name,
            "backup": self._server.is_backup,
            "severity": "warning" if level == "warning" else "notice",
        }
        self._desk.out.append(Report(level, what, details | more))

    def _flush(self) -> None:
        out = self._desk.out
        for link, parts in self._said.items():
            out.append(SendBytes(link, b"".join(parts)))
        self._said.clear()
        out += self._closing
        self._closing.clear()
