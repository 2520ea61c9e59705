"""The balancer on real sockets: its listeners, its pages, its log lines, its end.

Owns the run of one balancer from configuration to exit code. What serves the statistics over HTTP
is handed in (`ServePage`), since the console stands above this room;
`rabbitry.console.balancer_process` puts the two together and is what is started as a process.

Log lines are `balancer_log`'s, what is open and how that changes is `serving`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic_ns
from typing import Any

from rabbitry.balancer.balancer import AllSessionsEnded, Balancer, DumpStates, EndChecks
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.configuration.model import (
    BindLine,
    Configuration,
    FrontendSection,
    Global,
    RuntimeSocket,
)
from rabbitry.machine import Address, Report
from rabbitry.runtime.balancer_desk import BalancerDesk
from rabbitry.runtime.balancer_log import BalancerLog
from rabbitry.runtime.binding import listen_options, tls_settings
from rabbitry.runtime.crew import Crew
from rabbitry.runtime.descriptors import descriptors_kept
from rabbitry.runtime.driver import Driver, DriverStopped, MachineFailed
from rabbitry.runtime.errors import EXIT_SOFTWARE
from rabbitry.runtime.hand import HANDSHAKE_FAILED
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.privileges import PrivilegesFailed, forbidden_file, identity_of, pid_file
from rabbitry.runtime.runtime_socket import RunLine, RuntimeSockets
from rabbitry.runtime.serving import Page, Reloader, Serving
from rabbitry.runtime.supervised import when_to_stop

CLOSE_S = 1.0
"""How long the end waits for clients that do not take note of it."""

_log = logging.getLogger("rabbitry.balancer.lines")

ServePage = Callable[[FrontendSection, BindLine, BalancerDesk], Awaitable[Page]]
"""Serves the pages of a section at one of its addresses; raises `ListenFailed`."""


class _World:
    """Opens and closes what `serving` says."""

    def __init__(
        self,
        driver: Driver,
        hand: JoiningHand,
        log: BalancerLog,
        page: ServePage,
        run: RunLine,
        desk: BalancerDesk,
    ) -> None:
        self._driver = driver
        self._hand = hand
        self._log = log
        self._serve_page = page
        self._run_line = run
        self._desk = desk

    async def ask(self, question: Any) -> Any:
        """Ask the machine."""
        return await self._driver.ask(question)

    async def listen(self, name: str, bind: BindLine, section: FrontendSection) -> Address:
        """Open a listener that does not accept yet."""
        host, port = bind.address.host, bind.address.port
        options = listen_options(bind, section)
        tls = tls_settings(bind)
        return await self._driver.listen(name, host, port, tls, options, accepting=False)

    def accept(self, name: str) -> None:
        """Let a listener accept."""
        self._driver.hand.accept(name)

    def take_over(self, old: str, name: str, bind: BindLine, section: FrontendSection) -> Address:
        """Make a listener out of another one's socket."""
        options = listen_options(bind, section)
        return self._driver.hand.take_over(old, name, tls_settings(bind), options)

    def stop_listening(self, name: str) -> None:
        """Close a listener; its links stay."""
        self._driver.hand.stop_listening(name)

    async def serve_page(self, section: FrontendSection, bind: BindLine) -> Page:
        """Serve a page of statistics."""
        return await self._serve_page(section, bind, self._desk)

    async def serve_commands(
        self, socket: RuntimeSocket, configuration: Configuration
    ) -> RuntimeSockets:
        """Serve a runtime socket."""
        served = RuntimeSockets(self._run_line)
        process = configuration.process
        await served.open([socket], process.runtime_timeout_us, process.runtime_maxconn)
        return served

    async def renew_certificates(self) -> None:
        """Begin new links with what the files of certificates hold now."""
        await self._hand.renew_certificates()

    def log_to(self, configuration: Configuration) -> None:
        """Send log lines where this configuration says."""
        self._log.use(configuration)
        self._desk.know(configuration)


async def run_balancer(
    configuration: Configuration,
    serve_page: ServePage,
    *,
    read: Callable[[], Configuration],
    serving: Callable[[dict[str, Address]], None],
    supervised: bool = False,
) -> int:
    """Balance until SIGTERM or SIGINT (or, `supervised`, the end of standard input).

    At SIGUSR2, or when a runtime socket says `reload`, `read` reads another configuration, raising
    `ConfigurationError`. At SIGHUP it logs how all servers are. SIGUSR1 ends it softly: it listens
    no more, and goes when its last session has ended, or `hard-stop-after` is over. `serving` is
    called with the address of every listener and page, by name, when all of them serve. Returns
    the exit code. Raises `ListenFailed`, `TlsFailed`, `PrivilegesFailed` or, for the pidfile,
    `OSError`.
    """
    for warning in configuration.warnings:
        _log.warning("%s", warning)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    when_to_stop(loop, stopping.set, supervised=supervised)
    machine = Balancer(configuration)
    log = BalancerLog(configuration)
    more = configuration.process.processes - 1
    hand = Crew(more) if more > 0 else JoiningHand()
    hand.keep_descriptors(descriptors_kept(configuration))

    def take(report: Report) -> None:
        told = _told(machine, report)
        if told is not None:
            log.take(told)

    driver = Driver(machine, hand=hand, on_report=take)
    desk = BalancerDesk(driver, log, configuration, lambda: machine.sessions_now)

    async def run_line(terminal: Terminal, line: str) -> str:
        if line.strip() == "reload" and terminal.level == "admin":
            return await reloader.reload()
        return await desk.run_line(terminal, line)

    open_now = Serving(_World(driver, hand, log, serve_page, run_line, desk), configuration)
    hand.steer_elsewhere = open_now.steer_page
    reloader = Reloader(open_now, read, _tell)
    driver.start()
    try:
        await open_now.open(machine.listeners)
        tasks = _Tasks()
        tasks.start_at(signal.SIGUSR2, reloader.reload)
        tasks.start_at(signal.SIGHUP, lambda: driver.ask(DumpStates()))
        tasks.start_at(signal.SIGUSR1, lambda: _stop_softly(driver, open_now, stopping))
        with pid_file(configuration.process.pidfile):
            await _become(configuration.process, hand, open_now.put_sockets_in_place)
            open_now.accept()
            serving(open_now.addresses)
            return await _until_stopped(driver, stopping)
    finally:
        await open_now.close()
        await driver.close(CLOSE_S)
        log.close()


async def _become(process: Global, hand: JoiningHand, ready: Callable[[], None]) -> None:
    """Become whom the configuration names, in all processes. Raises `PrivilegesFailed`.

    `ready` is called when that can be done, with the rights from before.
    """
    identity = identity_of(process.user, process.group)
    if identity.is_another:
        with identity.tried():
            file = forbidden_file() if isinstance(hand, Crew) else None
        if file is not None:
            raise PrivilegesFailed(
                f"{identity.name} may not use {file}, so no worker process that dies could be"
                " replaced: install rabbitry where everybody may read it, or take 'nbthread' out of"
                " 'global'"
            )
        if isinstance(hand, Crew):
            await hand.become(identity)
    ready()
    identity.become()


def _told(machine: Balancer, report: Report) -> Report | None:
    if report.what == HANDSHAKE_FAILED:
        return machine.told_of_handshake(report, monotonic_ns() // 1000)
    return report


async def _stop_softly(driver: Driver, open_now: Serving, stopping: asyncio.Event) -> None:
    """Take no new session; stop when the last one has ended, or they have had long enough."""
    _log.info("stopping softly: no new sessions, waiting for the last one to end")
    limit_us = open_now.stop_listening()
    with contextlib.suppress(TimeoutError, DriverStopped, MachineFailed):
        async with asyncio.timeout(None if limit_us is None else limit_us / 1e6):
            await driver.ask(AllSessionsEnded())
    stopping.set()


def _tell(level: str, line: str) -> None:
    _log.log(logging.ERROR if level == "error" else logging.WARNING, "%s", line)


class _Tasks:
    """Work that signals begin; kept, so that it is not collected before its end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def start_at(
        self, number: signal.Signals, work: Callable[[], Coroutine[object, object, object]]
    ) -> None:
        """Begin this work at every such signal."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(number, lambda: self._start(work()))

    def _start(self, work: Coroutine[object, object, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


async def _until_stopped(driver: Driver, stopping: asyncio.Event) -> int:
    told = asyncio.ensure_future(stopping.wait())
    ended = asyncio.ensure_future(driver.stopped())
    await asyncio.wait([told, ended], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if ended.done():
        return EXIT_SOFTWARE if ended.exception() is not None else 0
    ended.cancel()
    with contextlib.suppress(DriverStopped, MachineFailed):
        await driver.ask(EndChecks())
    return 0
