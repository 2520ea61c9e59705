"""Whether an AMQP server answers: one connection kept open, a question again and again.

Owns when a server is asked, what silence and the end of a connection mean, and when a second
connection is needed. Does not own what is said (`amqp_asking`), health, or links (`Host`).

The rule: every `inter` must contain an answer. While all is well the server is asked half an
`inter` after its last answer and has the other half to answer, so silence that begins at any moment
is a first failure at most one `inter` later; as long as it lasts, one more failure follows every
`inter` (every `fastinter`, every `downinter`, as HAProxy reckons them). So a server that hangs is
DOWN within `fall` times `inter`. `timeout check` can shorten the time to answer, and never makes it
longer, for the bound is to hold: as a default for other checks it is often many times `inter`. A
login has all of `inter`: it is several steps, and a busy broker must not fail for it. An answer
that comes too late is no pass; the next question, asked at once, decides: so a login that takes
longer than `inter`, but not `fall` times as long, takes nobody down.

A disk that stands still (see `amqp_disk`) is silence too, and as long as it lasts the server fails.
But an answer of the disk is a pass however late it comes: it is slow, and moves. At half the time
it is asked whose disk is waited for, where that can be asked.

A silent connection is kept, not replaced: a broker that was stopped and goes on would find, for
each that we gave up on, a client that went without a word, and complain of it. After `PATIENCE_US`
of silence a second connection is tried beside the first: whichever answers first stays, the other
is ended in order. That also tells a hung server from one that is gone with the host it was on. The
second is needed too while RabbitMQ's alarm lasts (see `amqp_asking`): the first waits for its end.

A connection that ends without a word was lost, and a new one is tried at once. One that the server
ends in order with 320 says that it is leaving, or that an operator closed it: the server gets no
new sessions, and the next try decides, without waiting for `fall`. A refused login or virtual host
is tried again every `REFUSED_PAUSE_US` at the soonest, since every one is an error in the broker's
log.

Invariants: at most two connections are in use, and `ENDING_MAX` more end; one question is
outstanding on each; `Host.judged` is called once for each failure and each answer in time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rabbitry.balancer.checking.amqp_asking import AmqpAsking
from rabbitry.balancer.checking.amqp_disk import REFUSED, DiskAsking
from rabbitry.balancer.checking.results import Result, result
from rabbitry.machine import MICROSECONDS_PER_SECOND

PATIENCE_US: Final = 5 * MICROSECONDS_PER_SECOND
REFUSED_PAUSE_US: Final = 10 * MICROSECONDS_PER_SECOND
LEAVING_PAUSE_US: Final = MICROSECONDS_PER_SECOND // 4
"""How soon it is looked whether a server that said goodbye is there still."""
PROBE_PAUSE_US: Final = 5 * MICROSECONDS_PER_SECOND
"""How often an alarm is looked for. Each probe leaves some hundred bytes with RabbitMQ's
connection, until it ends. LavinMQ looks at its disk as often."""
IN_ALARM_PROBE_PAUSE_US: Final = 30 * MICROSECONDS_PER_SECOND
"""How often its end is looked for where nobody tells it: LavinMQ logs a warning each time."""
PROBES_MAX: Final = 10_000
"""After so many a new connection takes the place of this one, in order: twice a day at most."""

ENDING_MAX: Final = 2
"""How many connections may be waiting for the server's last word; the oldest gets none then."""


class Host(Protocol):
    """What a watch needs: links, a clock that wakes it, and somebody to tell."""

    def open(self) -> int:
        """Open a link to the server; return its number."""
        ...

    def send(self, link: int, data: bytes) -> None:
        """Send bytes over a link."""
        ...

    def close(self, link: int, abort: bool) -> None:
        """Close a link."""
        ...

    def wake(self, at: int) -> None:
        """Call `woken` at this time, and no earlier one."""
        ...

    def judged(self, verdict: Result, duration_us: int, final: bool) -> None:
        """A check has ended. `final`: a failure counts at once, whatever `fall` says."""
        ...

    @property
    def interval_us(self) -> int:
        """The pause between checks in the server's present health (`srv_getinter`)."""
        ...

    @property
    def steady(self) -> bool:
        """Whether the server is up and has not failed lately."""
        ...


class AmqpWatch:
    """Watches one server. `make(probes, asks_disk, now)` makes a connection's talk.

    `inter_us` is the server's; `connect_limit_us` how long a link may take to open;
    `answer_limit_us` is `timeout check`, None where there is none. With
    `asks_disk` the disk is asked, until the server has refused that (`disk_refusal`); `begin` tries
    it again.
    """

    def __init__(
        self,
        host: Host,
        make: Callable[[bool, bool, int], AmqpAsking],
        inter_us: int,
        connect_limit_us: int,
        answer_limit_us: int | None,
        asks_disk: bool = False,
    ) -> None:
        self._host = host
        self._make = make
        self._inter_us = inter_us
        self._connect_limit_us = connect_limit_us
        self._login_limit_us = inter_us if answer_limit_us is None else answer_limit_us
        self._answer_limit_us = min(inter_us // 2, self._login_limit_us)
        self._pause_us = inter_us - self._answer_limit_us
        self._opening: dict[int, AmqpAsking] = {}  # links that are not open yet
        self._open: dict[int, AmqpAsking] = {}  # in the order they were opened
        self._ending: dict[int, AmqpAsking] = {}
        self._asked_at = 0
        self._waiting = False  # for an answer; else for the time to ask
        self._limit_at = 0  # when silence is judged; before that `woken` looks at the disk
        self._late = False  # the question under way has failed already
        self._disk_late = False  # and nothing but the disk had not answered
        self._leaving = False  # the server has said so
        self._probes = 0
        self._probed_at = 0
        self._asks_disk = asks_disk
        self.disk_refusal = ""
        self.stopped = True

    # --- what the owner does ----------------------------------------------------------------------

    def begin(self, now: int) -> None:
        """Begin to watch."""
        self.stopped = False
        self.disk_refusal = ""
        self._ask(now)

    def stop(self) -> None:
        """Watch no more; connections end in order."""
        self.stopped = True
        self._forget_unopened()
        self._waiting = self._late = self._leaving = False

    def end(self, now: int) -> None:
        """Watch no more, and end all connections in order."""
        self.stop()
        for link in list(self._open):
            self._retire(link, now)

    @property
    def in_progress(self) -> bool:
        """Whether an answer is waited for."""
        return self._waiting

    @property
    def ended(self) -> bool:
        """Whether no link is left."""
        return not (self._opening or self._open or self._ending)

    @property
    def alarm(self) -> str:
        """The reason of the server's alarm; empty where there is none."""
        return next((each.alarm for each in self._open.values() if each.alarm), "")

    @property
    def _blocked(self) -> bool:
        """Whether a connection waits for the end of an alarm."""
        return any(each.blocked_by for each in self._open.values())

    def woken(self, now: int) -> None:
        """The time that `wake` named has come."""
        if self.stopped:
            return
        if not self._waiting:
            self._ask(now)
        elif now < self._limit_at:
            self._press(now)
        else:
            self._be_silent(now)

    # --- links --------------------------------------------------------------------------------

    def owns(self, link: int) -> bool:
        """Whether the link is one of this watch."""
        return link in self._open or link in self._opening or link in self._ending

    def opened(self, link: int, now: int) -> None:
        """A link is open."""
        asking = self._opening.pop(link, None)
        if asking is None:
            return
        self._open[link] = asking
        self._send(link, asking, now)
        if self._waiting and not self._late and len(self._open) == 1:
            self._limit(min(self._asked_at + self._inter_us, now + self._login_limit_us))

    def received(self, link: int, data: bytes, now: int) -> None:
        """A server has sent bytes."""
        asking = self._open.get(link)
        if asking is None:
            asking = self._ending.get(link)
            if asking is not None:
                asking.received(data, now)
                self._send(link, asking, now)
            return
        was_blocked = bool(asking.blocked_by)
        answered = asking.received(data, now)
        self._send(link, asking, now)
        if asking.disk is not None and asking.disk.refusal:
            self.disk_refusal = asking.disk.refusal
        if asking.conclusion is not None:
            self._concluded(link, asking, now)
            return
        if answered and not self.stopped:
            self._answered(link, now)
        blocked = bool(asking.blocked_by)
        if blocked and not was_blocked:
            self._second(now)
        elif was_blocked and not blocked:
            self._spare_is_done(link, now)

    def closed(self, link: int, reason: str, status: str, now: int) -> None:
        """A link is gone, or could not be opened: `status` is L4CON or L6RSP then."""
        if self._ending.pop(link, None) is not None:
            return
        if self._opening.pop(link, None) is not None:
            if not self._open:
                self._fail(result(status, reason), now)
            return
        asking = self._open.pop(link, None)
        if asking is None or self.stopped:
            return
        if self._open or self._opening:
            return  # the other one goes on
        lived = asking.ready and now - asking.opened_at >= self._host.interval_us
        if lived and not self._late:
            self._ask(now)  # whether a new one can be had says more than the loss
        else:
            self._fail(asking.lost(), now)

    # --- asking -------------------------------------------------------------------------------

    def _ask(self, now: int) -> None:
        self._waiting = True
        self._late = False
        self._asked_at = now
        for link, asking in self._open.items():
            if asking.ready and not asking.blocked_by and not asking.outstanding:
                pause_us = IN_ALARM_PROBE_PAUSE_US if asking.alarm else PROBE_PAUSE_US
                probe = now - self._probed_at >= pause_us
                if probe:
                    self._probed_at = now
                    self._probes += 1
                asking.ask(now, probe)
                self._send(link, asking, now)
                self._limit(now + self._answer_limit_us, asking.disk is not None)
                return
        if not self._open and not self._opening:
            self._open_one(probes=True, now=now)
            self._limit(now + self._connect_limit_us)
            return
        if all(each.blocked_by for each in self._open.values()):
            self._second(now)
        self._limit(now + self._answer_limit_us)

    def _limit(self, at: int, looks_at_disk: bool = False) -> None:
        self._limit_at = at
        self._host.wake(at - self._answer_limit_us // 2 if looks_at_disk else at)

    def _press(self, now: int) -> None:
        """Half of the time is over: where it is the disk that is late, look whose."""
        for link, asking in self._open.items():
            if asking.owing_disk is not None:
                asking.owing_disk.press()
                self._send(link, asking, now)
        self._host.wake(self._limit_at)

    def _open_one(self, probes: bool, now: int) -> None:
        if probes:
            self._probes = 0
            self._probed_at = now
        asks_disk = probes and self._asks_disk and not self.disk_refusal
        self._opening[self._host.open()] = self._make(probes, asks_disk, now)

    def _second(self, now: int) -> None:
        """Try a connection beside the one that cannot answer."""
        if len(self._open) + len(self._opening) < 2 and not self.stopped:
            self._open_one(probes=not self._blocked, now=now)

    def _answered(self, link: int, now: int) -> None:
        if not self._open[link].blocked_by:  # else it was the last answer for a while
            for other, asking in list(self._open.items()):
                if other != link and not asking.blocked_by:
                    self._retire(other, now)
            if not self._blocked:
                self._forget_unopened()
        if not self._waiting:
            return
        if self._late and not self._disk_late:
            self._ask(now)
            return
        self._waiting = self._late = self._leaving = False
        asking = self._open[link]
        remark = asking.remark
        if self.alarm:
            remark = f"blocks publishers: {self.alarm}"
        elif not remark and self.disk_refusal:
            remark = f"{REFUSED}{self.disk_refusal}"
        text = f"{asking.server_name}, {remark}" if remark else asking.server_name
        self._host.judged(result("L7OK", text, remark=remark), now - self._asked_at, False)
        if self._probes > PROBES_MAX and not self.alarm:
            self._retire(link, now)
        self._host.wake(now + (self._pause_us if self._host.steady else self._host.interval_us))

    def _spare_is_done(self, link: int, now: int) -> None:
        """The alarm is over: the connection that waited for that takes over again, and the question
        that the other one has not answered with it. Only now can it answer, and what it owes."""
        for other in list(self._open):
            if other != link:
                self._retire(other, now)
        self._forget_unopened()
        if self._waiting:
            self._ask(now)

    def _be_silent(self, now: int) -> None:
        """Time is over, and there is no answer."""
        unopened = self._forget_unopened()
        silent = next((each for each in self._open.values() if not each.blocked_by), None)
        if silent is not None and silent.owing_disk is not None:
            self._disk_is_silent(silent, silent.owing_disk, now)
            return
        self._late = True
        self._disk_late = False
        if silent is None and unopened:
            self._fail(result("L4TOUT"), now)
        else:
            owed = silent.waiting_for if silent is not None else "connection"
            self._fail(result("L7TOUT", f"accepts but does not answer: no {owed}"), now)
        if self._open and (silent is None or now - self._asked_at >= PATIENCE_US):
            self._second(now)

    def _disk_is_silent(self, asking: AmqpAsking, disk: DiskAsking, now: int) -> None:
        """Time is over, and the server has answered all but what it needs its disk for."""
        link = next(link for link, each in self._open.items() if each is asking)
        if disk.waive():
            self._answered(link, now)
            return
        if not disk.pressed:  # it was asked late: with the login, or by `press` of no avail
            disk.press()
            self._send(link, asking, now)
            self._limit(now + self._answer_limit_us)
            return
        self._late = self._disk_late = True
        asking.ask_method()  # it may vanish altogether meanwhile
        self._send(link, asking, now)
        within_ms = self._answer_limit_us // 1000
        self._fail(result("L7TOUT", f"disk: no confirm within {within_ms}ms"), now)

    def _concluded(self, link: int, asking: AmqpAsking, now: int) -> None:
        """The server has ended the connection, and said why."""
        verdict = asking.conclusion
        assert verdict is not None
        self._ending[link] = self._open.pop(link)
        if self.stopped or self._open or self._opening:
            return
        leaves = verdict.outcome == "conditional"
        if asking.disk is not None and asking.disk.declaring and not leaves:
            self.disk_refusal = verdict.info  # whatever else it is will be seen without the disk
            self._ask(now)
            return
        if not self._waiting:
            self._asked_at = now
        if leaves:
            self._waiting = self._late = False
            self._leaving = True
            self._host.judged(verdict, now - self._asked_at, False)
            self._host.wake(now + min(self._host.interval_us, LEAVING_PAUSE_US))
            return
        self._fail(verdict, now)

    def _fail(self, verdict: Result, now: int) -> None:
        """A check has failed. While a connection is silent, so is the next one, an interval on."""
        if self.stopped:
            return
        keeps = bool(self._open)
        self._waiting = keeps
        self._limit_at = now
        final, self._leaving = self._leaving, False
        self._host.judged(verdict, now - self._asked_at, final)
        pause_us = self._host.interval_us
        if verdict.code in (403, 530):
            pause_us = max(pause_us, REFUSED_PAUSE_US)
        self._host.wake(now + pause_us)

    def _forget_unopened(self) -> bool:
        """Give up links that are not open; return whether there were any."""
        links = list(self._opening)
        self._opening.clear()
        for link in links:
            self._host.close(link, abort=True)
        return bool(links)

    # --- ending -------------------------------------------------------------------------------

    def _retire(self, link: int, now: int) -> None:
        if len(self._ending) >= ENDING_MAX:
            oldest = next(iter(self._ending))
            del self._ending[oldest]
            self._host.close(oldest, abort=True)
        asking = self._ending[link] = self._open.pop(link)
        asking.retire(now)
        self._send(link, asking, now)

    def _send(self, link: int, asking: AmqpAsking, now: int) -> None:
        data = asking.take_bytes(now)
        if data:
            self._host.send(link, data)
        if asking.finished:
            self._host.close(link, abort=False)
