"""The world of one run: hosts with machines, their timers and stores, crashes, freezes, restarts.

Executes machines exactly as `rabbitry.machine` says; breaches of that contract by a machine fail
the run, as does an exception out of a step: `SeedFailed` then names the seed and carries the tail
of the trace. A host runs one machine at a time; after a crash the host's factory makes a new
machine from the number of the incarnation, which finds in its store what was committed. Steps take
no virtual time.

Invariants: an event of an earlier incarnation never reaches a later one; a machine is never entered
while one of its steps runs, because effects only schedule; nothing here reads a real clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rabbitry import machine as m
from rabbitry.simulation.ends import ContractBreach, Stack
from rabbitry.simulation.network import Network
from rabbitry.simulation.pipe import LinkWeather
from rabbitry.simulation.schedule import EventLimitExceeded, Schedule, SeededEntropy
from rabbitry.simulation.store import SimulatedStore, StoreListener, take_back
from rabbitry.simulation.trace import Trace

# Makes the machine of a host's n-th incarnation (from 1) with an entropy of its own.
Factory = Callable[[int, m.Entropy], m.Machine]


class SeedFailed(Exception):
    """A run has failed. The text names the seed, the reason and the last steps of the trace."""


class Process:
    """One incarnation of a host: a machine, its timers, and what waits for it while frozen."""

    __slots__ = ("frozen", "held", "host", "incarnation", "machine", "stack", "timers", "up")

    def __init__(self, host: Host, incarnation: int, machine: m.Machine) -> None:
        self.host = host
        self.incarnation = incarnation
        self.machine = machine
        self.stack: Stack
        self.timers: dict[str, int] = {}
        self.held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.frozen = False
        self.up = True


class Host:
    """A name that processes run under, one after another, with one store."""

    def __init__(
        self, name: str, factory: Factory, listeners: Mapping[int, str], store: SimulatedStore
    ) -> None:
        self.name = name
        self.factory = factory
        self.listeners = dict(listeners)
        self.store = store
        self.incarnation = 0
        self.process: Process | None = None
        self.stopped_because: str | None = None

    @property
    def up(self) -> bool:
        """Whether a process runs, frozen or not."""
        return self.process is not None

    @property
    def frozen(self) -> bool:
        """Whether a process runs but takes no steps."""
        return self.process is not None and self.process.frozen

    @property
    def machine(self) -> m.Machine | None:
        """The machine that runs now, None while the host is down. For inspection only."""
        return None if self.process is None else self.process.machine


class World:
    """Everything of one run. The seed decides it all."""

    def __init__(
        self,
        seed: int,
        *,
        weather: LinkWeather | None = None,
        events_max: int = 1_000_000,
        keep_trace: bool = False,
    ) -> None:
        self.seed = seed
        self.schedule = Schedule(seed, events_max=events_max)
        self.network = Network(self.schedule, weather or LinkWeather())
        self.trace = Trace(keep=keep_trace)
        self.hosts: dict[str, Host] = {}
        self.report_observers: list[Callable[[int, str, m.Report], None]] = []
        # Called with a host's name after its machine has ended itself by `Stop`.
        self.stop_observers: list[Callable[[str], None]] = []
        # Called with a host's name and the question's number when its machine has answered one.
        self.answer_observers: list[Callable[[str, int], None]] = []
        # Called with a host's name when a process of it is "starting" (it is not there yet),
        # "running" (it has heard `Started`), and "ending" or "going dark" (peers hear of the one,
        # not of the other; it can be inspected for the last time).
        self.life_observers: list[Callable[[str, str], None]] = []
        self._timers_count = 0
        self._handlers: dict[type, Callable[[Process, Any], None]] = {
            m.SendBytes: lambda p, e: self.network.send(p.stack, e.link, e.data),
            m.OpenLink: lambda p, e: self.network.open(p.stack, e.link, e.address),
            m.FinishLink: lambda p, e: self.network.finish(p.stack, e.link),
            m.CloseLink: lambda p, e: self.network.close(p.stack, e.link, e.abort),
            m.PauseReading: lambda p, e: self.network.pause_reading(p.stack, e.link),
            m.ResumeReading: lambda p, e: self.network.resume_reading(p.stack, e.link),
            m.JoinLinks: lambda p, e: self.network.join(p.stack, e.first, e.second),
            m.MeasureLinks: lambda p, e: self.network.measure(p.stack, e.links, e.number),
            m.StopListening: lambda p, e: self.network.stop_listening(p.stack, e.listener),
            m.PauseListening: lambda p, e: self.network.pause_listening(p.stack, e),
            m.ResumeListening: lambda p, e: self.network.resume_listening(p.stack, e.listener),
            m.SetTimer: self._set_timer,
            m.CancelTimer: self._cancel_timer,
            m.Commit: lambda p, e: p.host.store.commit(e),
            m.Load: lambda p, e: p.host.store.load(e),
            m.Report: self._report,
            m.Answer: self._answer,
            m.Stop: self._stop,
        }

    @property
    def now(self) -> int:
        """Virtual time in microseconds since the start of the run."""
        return self.schedule.now

    # --- hosts -----------------------------------------------------------------------------------

    def add_host(
        self, name: str, factory: Factory, listeners: Mapping[int, str] | None = None
    ) -> Host:
        """Make a host, not yet started. `listeners` maps ports to listener names."""
        if name in self.hosts:
            raise ValueError(f"two hosts named {name!r}")
        store = SimulatedStore(self.schedule, self.schedule.random(f"store of {name}"))
        host = self.hosts[name] = Host(name, factory, listeners or {}, store)
        return host

    def start(self, name: str) -> None:
        """Start the next incarnation of a host that is down; one that runs is left alone."""
        host = self.hosts[name]
        if host.process is not None:
            return
        self._tell_life(name, "starting")
        host.incarnation += 1
        host.stopped_because = None
        entropy = SeededEntropy(self.schedule.random(f"entropy of {name}/{host.incarnation}"))
        process = Process(host, host.incarnation, host.factory(host.incarnation, entropy))
        host.process = process
        self.note(name, f"starts, incarnation {host.incarnation}")
        stored = host.store.open(
            StoreListener(
                lambda commit: self._deliver(process, m.Committed(commit)),
                lambda load, values: self._deliver(process, m.Loaded(load, values)),
                lambda commit, reason: self._deliver_failure(process, commit, reason),
            )
        )
        process.stack = self.network.boot(
            name, host.listeners, lambda event: self._deliver(process, event)
        )
        self._deliver(process, stored)
        for port, listener in host.listeners.items():
            if process.up:
                opened = m.ListenerOpened(listener, m.Address(name, port))
                self._deliver(process, opened)
        if process.up:
            self._tell_life(name, "running")

    def crash(self, name: str, *, silent: bool = False) -> None:
        """Kill a host's process (`silent`: the whole host goes dark, its peers hear nothing)."""
        process = self.hosts[name].process
        if process is not None:
            self.note(name, "goes dark" if silent else "crashes")
            self._end(process, silent=silent)

    def freeze(self, name: str) -> None:
        """Let a host take no step until `thaw` (SIGSTOP)."""
        process = self.hosts[name].process
        if process is not None and not process.frozen:
            self.note(name, "freezes")
            process.frozen = True
            self.network.freeze(process.stack)

    def thaw(self, name: str) -> None:
        """Let a frozen host go on: what has waited comes first, in order."""
        process = self.hosts[name].process
        if process is None or not process.frozen:
            return
        self.note(name, "thaws")
        process.frozen = False
        held, process.held = process.held, []
        for action, arguments in held:
            action(*arguments)
        self.network.thaw(process.stack)

    def ask(self, name: str, number: int, question: Any) -> None:
        """Put the operator's question to a host."""
        process = self.hosts[name].process
        if process is not None:
            self._deliver(process, m.Asked(number, question))

    def note(self, host: str, text: str) -> None:
        """Write into the trace what the driver did."""
        self.trace.note(self.schedule.now, host, text)

    def run_until(self, end: int) -> None:
        """Run until `end` (microseconds). Raises SeedFailed."""
        try:
            self.schedule.run_until(end)
        except EventLimitExceeded as exceeded:
            raise self.failure(str(exceeded)) from exceeded

    def failure(self, reason: str) -> SeedFailed:
        """Return the exception that fails this run for `reason`."""
        return SeedFailed(
            f"seed {self.seed} failed at {self.now} us: {reason}\n"
            f"--- the last steps ---\n{self.trace.tail()}"
        )

    def _tell_life(self, name: str, what: str) -> None:
        for observer in self.life_observers:
            observer(name, what)

    # --- steps and effects -----------------------------------------------------------------------

    def _deliver_failure(self, process: Process, commit: int, reason: str) -> None:
        if process.frozen:
            process.held.append((self._deliver_failure, (process, commit, reason)))
        elif process.up:
            process.host.store.failure_heard()  # before the step: what it commits is taken
            self._deliver(process, m.CommitFailed(commit, reason))

    def _deliver(self, process: Process, event: m.Event) -> None:
        if not process.up:
            return
        if process.frozen:
            process.held.append((self._deliver, (process, event)))
            return
        now = self.schedule.now
        try:
            effects = process.machine.step(event, now)
        except Exception as error:
            self.trace.step(now, process.host.name, event, [])
            raise self.failure(
                f"{process.host.name}: {type(error).__name__} out of a step: {error}"
            ) from error
        self.trace.step(now, process.host.name, event, effects)
        if type(event) is m.Loaded:
            take_back(event.values)
        if effects:
            self._carry_out(process, effects)

    def _carry_out(self, process: Process, effects: list[m.Effect]) -> None:
        handlers = self._handlers
        sent: list[int] = []
        commits_count = 0
        try:
            for effect in effects:
                kind = type(effect)
                if isinstance(effect, m.SendBytes):
                    if effect.link in sent:
                        raise ContractBreach(f"two SendBytes to link {effect.link} in one step")
                    sent.append(effect.link)
                elif kind is m.Commit:
                    commits_count += 1
                    if commits_count > 1:
                        raise ContractBreach("two Commits in one step")
                handlers[kind](process, effect)
                if not process.up:
                    break  # it stopped; what is listed behind the Stop is not carried out
        except ContractBreach as breach:
            raise self.failure(f"{process.host.name} breaks the contract: {breach}") from breach

    def _set_timer(self, process: Process, effect: m.SetTimer) -> None:
        self._timers_count += 1
        token = process.timers[effect.timer] = self._timers_count
        self.schedule.at(effect.at, self._fire, process, effect.timer, token)

    def _cancel_timer(self, process: Process, effect: m.CancelTimer) -> None:
        process.timers.pop(effect.timer, None)

    def _fire(self, process: Process, timer: str, token: int) -> None:
        if not process.up or process.timers.get(timer) != token:
            return
        if process.frozen:
            process.held.append((self._fire, (process, timer, token)))
            return
        del process.timers[timer]
        self._deliver(process, m.TimerFired(timer))

    def _report(self, process: Process, effect: m.Report) -> None:
        for observer in self.report_observers:
            observer(self.schedule.now, process.host.name, effect)

    def _answer(self, process: Process, effect: m.Answer) -> None:
        for observer in self.answer_observers:
            # Not within the step: who hears of it may end the process.
            self.schedule.at(self.schedule.now, observer, process.host.name, effect.number)

    def _stop(self, process: Process, effect: m.Stop) -> None:
        process.host.stopped_because = effect.reason
        self._end(process, silent=False)
        for observer in self.stop_observers:
            observer(process.host.name)

    def _end(self, process: Process, *, silent: bool) -> None:
        self._tell_life(process.host.name, "going dark" if silent else "ending")
        process.up = False
        process.timers.clear()
        process.held.clear()
        process.host.process = None
        process.host.store.crash()
        self.network.crash(process.stack, silent=silent)
