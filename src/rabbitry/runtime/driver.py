"""Runs one machine on asyncio: sockets, clock and store on one side, `step` on the other.

Owns the translation of the world into events and of effects into the world, as `rabbitry.machine`
describes it: steps, timers, commits, questions; the links are its `Hand`'s. Decides nothing. The
hot path is `Link.data_received` -> `take` -> `machine.step` -> `transport.write`, with nothing in
between that a message does not need.

Invariants
- A step never runs inside another. An event that arises while effects are carried out (a write that
  crosses the high-water mark, a question out of a report) waits until they are all carried out.
- `LinkClosed` comes exactly once for each link that was opened or asked for with `OpenLink`.
- A machine that raises has a bug of ours. It is logged with its traceback, takes no further step,
  and `stopped` raises `MachineFailed`; the process then ends with `errors.EXIT_SOFTWARE`.
  It never limps on: half a step may have been lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic_ns, time_ns
from typing import Any

from rabbitry.machine import (
    MICROSECONDS_PER_SECOND,
    Address,
    Answer,
    Asked,
    CancelTimer,
    Commit,
    CommitFailed,
    Committed,
    Effect,
    Event,
    Load,
    Loaded,
    Machine,
    Report,
    SendBytes,
    SetTimer,
    Stop,
    TimerFired,
)
from rabbitry.runtime.hand import Hand
from rabbitry.runtime.links import LINGER_S, reason_of
from rabbitry.runtime.listeners import ListenFailed, ListenOptions
from rabbitry.runtime.store import MemoryStore, Store
from rabbitry.runtime.tls import TlsSettings

__all__ = ["Driver", "DriverStopped", "ListenFailed", "MachineFailed"]

LATE_US = 2_000
"""A timer that fires later than this was held up by this process, not by the clock."""

LATE_PAUSE_S = 0.001
"""uvloop calls timers before it looks at sockets: after this pause it has looked."""

_log = logging.getLogger("rabbitry")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}
_LEVELS |= {"warning": logging.WARNING, "error": logging.ERROR}


class MachineFailed(Exception):
    """The machine raised: a bug of ours. The log has the traceback."""


def wall_clock_offset_us() -> int:
    """Return what to add to the time of a step, to have microseconds since 1970."""
    return time_ns() // 1000 - monotonic_ns() // 1000


class DriverStopped(Exception):
    """The machine will not answer any more: it has stopped, or its driver was closed."""


def _one_line(value: object) -> str:
    """Return a value as a line of the log can have it: peers choose names and texts."""
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]


class _Timer:
    """A timer that was set: fires at `at`; the event loop wakes us at `wakes_at`, never later.

    `late`: it is due, and waits until what has come meanwhile is told.
    """

    __slots__ = ("at", "handle", "late", "wakes_at")

    def __init__(self, at: int, handle: asyncio.TimerHandle) -> None:
        self.at = at
        self.wakes_at = at
        self.late = False
        self.handle = handle


class Driver:
    """Runs `machine`: `start`, then `listen` as often as needed, then `await stopped()`, `close`.

    `store` is where its commits go (`MemoryStore` if not given); `hand` has its links (a plain
    `Hand` if not given); `on_report` hears every `Report` after it was logged. More listeners of
    reports can be appended to `reporters`.
    All methods are for the thread of the running event loop.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        store: Store | None = None,
        hand: Hand | None = None,
        on_report: Callable[[Report], None] | None = None,
    ) -> None:
        self.reporters: list[Callable[[Report], None]] = [on_report] if on_report else []
        self._machine_step = machine.step
        self._store: Store = MemoryStore() if store is None else store
        self._busy = False
        self._ended = False
        self._waiting: deque[Event] = deque()
        self.hand = hand or Hand()
        self._links = self.hand.links
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: dict[str, _Timer] = {}
        self._commits: list[Commit] = []
        self._committing = False
        self._writing: asyncio.Task[None] | None = None
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._last_question = 0
        self._act: dict[type[Effect], Callable[[Any], None]] = {
            **self.hand.acts(),
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            Commit: self._commit,
            Load: self._load,
            Report: self._report,
            Answer: self._answer,
            Stop: self._stop,
        }

    # --- for the owner --------------------------------------------------------------------------

    def start(self) -> None:
        """Give the machine `Started` with what the store kept. Call once, in a running loop."""
        self.loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[str] = self.loop.create_future()
        self.hand.serve(self.take, self.tell)
        self.take(self._store.load())

    async def listen(
        self,
        name: str,
        host: str,
        port: int,
        tls: TlsSettings | None = None,
        options: ListenOptions | None = None,
        *,
        accepting: bool = True,
    ) -> Address:
        """Accept links for the listener `name`; port 0 takes any free one; with TLS if it is given.

        Returns the address that was bound. Raises `ListenFailed` (port in use, no such host, ...)
        or `TlsFailed`. What else can be done with a listener is the hand's (`runtime.hand`).
        """
        return await self.hand.listen(name, host, port, tls, options, accepting=accepting)

    async def ask(self, question: Any) -> Any:
        """Give the machine `Asked` and return what it answers.

        Raises `DriverStopped` if it ends without an answer, `MachineFailed` if it raises.
        """
        if self._ended:
            raise DriverStopped
        self._last_question += 1
        number = self._last_question
        future = self._questions[number] = self.loop.create_future()
        self.take(Asked(number, question))
        try:
            return await future
        finally:
            self._questions.pop(number, None)

    async def stopped(self) -> str:
        """Wait until the machine stops; return its reason. Raises `MachineFailed` if it raised."""
        return await asyncio.shield(self._stopped)

    async def close(self, patience_s: float = LINGER_S) -> None:
        """End it from outside: no more steps, ports freed, links closed in order, timers gone.

        Links whose peers have not taken all after `patience_s` are cut off. Closes the store.
        """
        self._end("closed", None)
        await self.hand.close(patience_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._committing:  # what was handed over is written, though nobody hears it
                    await (asyncio.wait([self._writing]) if self._writing else asyncio.sleep(0))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._store.close()

    # --- steps ----------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Hand an event to the machine, now or after the step that is running."""
        if self._busy:
            self._waiting.append(event)
            return
        if self._ended:
            return
        self._busy = True
        links = self._links
        act = self._act
        try:
            while True:
                for effect in self._machine_step(event, monotonic_ns() // 1000):
                    if type(effect) is SendBytes:
                        link = links.get(effect.link)
                        if link is not None:
                            link.write(effect.data)
                    else:
                        act[type(effect)](effect)
                if not self._waiting or self._ended:
                    break
                event = self._waiting.popleft()
        except Exception as error:
            self._fail(event, error)
        finally:
            self._busy = False

    def _fail(self, event: Event, error: BaseException) -> None:
        _log.error("the machine failed at %s", type(event).__name__, exc_info=error)
        self._end("", MachineFailed(f"{type(error).__name__} at {type(event).__name__}"))

    def _end(self, reason: str, failure: MachineFailed | None) -> None:
        """Take no further step. Links close in order, or at once if the machine failed."""
        if self._ended:
            return
        self._ended = True
        self._waiting.clear()
        for timer in self._timers.values():
            timer.handle.cancel()
        self._timers.clear()
        self.hand.end(abort=failure is not None)
        for future in self._questions.values():
            if not future.done():
                future.set_exception(failure or DriverStopped())
        if self._stopped.done():
            return
        if failure is not None:
            self._stopped.set_exception(failure)
            self._stopped.exception()  # somebody may be waiting, nobody has to
        else:
            self._stopped.set_result(reason)

    # --- timers ---------------------------------------------------------------------------------

    def _set_timer(self, effect: SetTimer) -> None:
        timer = self._timers.get(effect.timer)
        if timer is not None:
            # Heartbeats push their timer back all the time. A later time costs nothing: we are
            # woken at the earlier one and then sleep on.
            if timer.wakes_at <= effect.at:
                timer.at = effect.at
                return
            timer.handle.cancel()
        self._timers[effect.timer] = _Timer(effect.at, self._wake_at(effect.at, effect.timer))

    def _wake_at(self, at: int, name: str) -> asyncio.TimerHandle:
        delay_us = max(at - monotonic_ns() // 1000, 0)
        # uvloop counts in milliseconds and rounds; waking a trifle early would mean waking twice.
        return self.loop.call_later(delay_us / MICROSECONDS_PER_SECOND + 0.0005, self._wake, name)

    def _wake(self, name: str) -> None:
        timer = self._timers[name]
        now = monotonic_ns() // 1000
        if now < timer.at:
            timer.wakes_at = timer.at
            timer.late = False
            timer.handle = self._wake_at(timer.at, name)
            return
        if now - timer.at > LATE_US and not timer.late:
            # We were busy. What a timer is to miss may have come in time: it is heard first.
            timer.late = True
            timer.handle = self.loop.call_later(LATE_PAUSE_S, self._wake, name)
            return
        del self._timers[name]
        self.take(TimerFired(name))

    def _cancel_timer(self, effect: CancelTimer) -> None:
        timer = self._timers.pop(effect.timer, None)
        if timer is not None:
            timer.handle.cancel()

    # --- commits --------------------------------------------------------------------------------

    def _commit(self, effect: Commit) -> None:
        self._commits.append(effect)
        if not self._committing:
            # All commits of this turn of the loop become one batch of the store.
            self._committing = True
            self.loop.call_soon(self._write_commits)

    def _write_commits(self) -> None:
        commits, self._commits = self._commits, []
        try:
            done = self._store.commit([write for commit in commits for write in commit.writes])
        except OSError as error:
            self._commit_failed(commits, error)
            return
        if done is None:
            self._committed(commits)
        else:
            self._writing = self.loop.create_task(self._await_commits(done, commits))
            self._keep(self._writing)

    async def _await_commits(self, done: Awaitable[None], commits: list[Commit]) -> None:
        try:
            await done
        except OSError as error:
            self._commit_failed(commits, error)
        except Exception as error:
            self._committing = False
            self._fail(Committed(commits[-1].commit), error)
        else:
            self._committed(commits)

    def _committed(self, commits: list[Commit]) -> None:
        self._committing = False
        if self._commits:
            self._committing = True
            self.loop.call_soon(self._write_commits)
        for commit in commits:
            self.take(Committed(commit.commit))

    def _commit_failed(self, commits: list[Commit], error: OSError) -> None:
        """Nothing is written, and nothing handed over since will be."""
        self._committing = False
        self._commits.clear()
        self.take(CommitFailed(commits[0].commit, reason_of(error)))

    def _load(self, effect: Load) -> None:
        done = self._store.read(effect.keys, lambda found: self.take(Loaded(effect.load, found)))
        if done is not None:
            self._keep(self.loop.create_task(self._await_load(effect.load, done)))

    async def _await_load(self, load: int, done: Awaitable[None]) -> None:
        try:
            await done
        except Exception as error:
            self._fail(Loaded(load, []), error)

    # --- people ---------------------------------------------------------------------------------

    def _report(self, effect: Report) -> None:
        level = _LEVELS.get(effect.level, logging.INFO)
        if _log.isEnabledFor(level):
            details = "".join(
                f" {name}={_one_line(value)}" for name, value in effect.details.items()
            )
            _log.log(level, "%s%s", effect.what, details)
        for reporter in self.reporters:
            reporter(effect)

    def tell(self, level: str, what: str, details: dict[str, object]) -> None:
        """Tell people something of the process, as a machine's `Report` does."""
        self._report(Report(level, what, details))

    def _answer(self, effect: Answer) -> None:
        future = self._questions.pop(effect.number, None)
        if future is not None and not future.done():
            future.set_result(effect.answer)

    def _stop(self, effect: Stop) -> None:
        self._end(effect.reason, None)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done: the event loop itself holds only a weak reference."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
