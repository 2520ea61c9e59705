"""The balancer on real sockets: its listeners, its pages, its log lines, its end.

Owns the run of one balancer from configuration to exit code. What serves the statistics over HTTP
is handed in (`ServePage`), since the console stands above this room;
`rabbitry.console.balancer_process` puts the two together and is what is started as a process.

Log lines are `balancer_log`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from rabbitry.balancer.balancer import Balancer, EndChecks, RuntimeLine
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.configuration.model import Configuration, FrontendSection
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.machine import Address
from rabbitry.runtime.balancer_log import BalancerLog
from rabbitry.runtime.binding import listen_options, tls_settings
from rabbitry.runtime.driver import Driver, DriverStopped, MachineFailed
from rabbitry.runtime.errors import EXIT_SOFTWARE
from rabbitry.runtime.facts import FactFinder
from rabbitry.runtime.joining_hand import JoiningHand
from rabbitry.runtime.runtime_socket import RuntimeSockets
from rabbitry.runtime.supervised import when_to_stop

CLOSE_S = 1.0
"""How long the end waits for clients that do not take note of it."""

_log = logging.getLogger("rabbitry.balancer.lines")

ReadRows = Callable[[], Awaitable[list[StatisticsRow]]]
"""Asks the balancer for its statistics."""


class Page(Protocol):
    """A page that is being served."""

    @property
    def address(self) -> Address:
        """Where it is served."""
        ...

    async def close(self) -> None:
        """Serve it no more."""
        ...


ServePage = Callable[[FrontendSection, Address, ReadRows], Awaitable[Page]]
"""Serves the statistics of a section at an address; raises `ListenFailed`."""


async def run_balancer(
    configuration: Configuration,
    serve_page: ServePage,
    *,
    serving: Callable[[dict[str, Address]], None],
    supervised: bool = False,
) -> int:
    """Balance until SIGTERM or SIGINT (or, `supervised`, the end of standard input).

    `serving` is called with the address of every listener and page, by name, when all of them
    serve. Returns the exit code. Raises `ListenFailed`.
    """
    for warning in configuration.warnings:
        _log.warning("%s", warning)
    stopping = asyncio.Event()
    when_to_stop(asyncio.get_running_loop(), stopping.set, supervised=supervised)
    machine = Balancer(configuration)
    log = BalancerLog(configuration)
    driver = Driver(machine, hand=JoiningHand(), on_report=log.take)

    async def read_rows() -> list[StatisticsRow]:
        rows: list[StatisticsRow] = await driver.ask("statistics")
        return rows

    async def run_line(terminal: Terminal, line: str) -> str:
        text: str = await driver.ask(RuntimeLine(terminal, line, facts.find(log.dropped)))
        return text

    facts = FactFinder()
    runtime_sockets = RuntimeSockets(run_line)
    pages: list[Page] = []
    addresses: dict[str, Address] = {}
    driver.start()
    try:
        for name, bind in machine.listeners:
            host, port = bind.address.host, bind.address.port
            options = listen_options(bind, machine.section_of(name))
            addresses[name] = await driver.listen(name, host, port, tls_settings(bind), options)
        for section in configuration.frontends:
            if section.statistics is not None:
                for bind in section.binds:
                    page = await serve_page(section, bind.address, read_rows)
                    pages.append(page)
                    addresses.setdefault(section.name, page.address)
        process = configuration.process
        await runtime_sockets.open(process.runtime_sockets, process.runtime_timeout_us)
        serving(addresses)
        return await _until_stopped(driver, stopping)
    finally:
        await runtime_sockets.close()
        for page in pages:
            await page.close()
        await driver.close(CLOSE_S)
        log.close()


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
