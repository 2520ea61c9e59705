"""Where a running balancer is asked: for its numbers, by runtime sockets and by pages.

Owns putting what the machine knows together with what only this process knows: the facts of the
system, and how its sections with `mode http` are used, which are logged here too.

Invariants: one question to the machine for what is asked here, so that its numbers are of one
moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rabbitry.balancer.balancer import Numbers, PageForm, RuntimeLine
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.configuration.model import Configuration, FrontendSection
from rabbitry.balancer.page_requests import PageRequest, told_of
from rabbitry.balancer.statistics.http_use import HttpUse
from rabbitry.balancer.statistics.process import Facts
from rabbitry.balancer.statistics.rows import StatisticsRow, Value
from rabbitry.runtime.balancer_log import BalancerLog
from rabbitry.runtime.driver import Driver
from rabbitry.runtime.facts import FactFinder


class BalancerDesk:
    """Asks the balancer that `driver` runs. `descriptions` has those of sections, by name.
    `sessions` tells how many the balancer has."""

    def __init__(
        self,
        driver: Driver,
        log: BalancerLog,
        configuration: Configuration,
        sessions: Callable[[], int],
    ) -> None:
        self._driver = driver
        self._log = log
        self._sessions = sessions
        self._with_back: dict[str, None] = {}
        self._finder = FactFinder()
        self._uses: dict[str, HttpUse] = {}
        self.descriptions: dict[str, str] = {}
        self.know(configuration)

    def know(self, configuration: Configuration) -> None:
        """Go on with another configuration; sections that stay are counted on."""
        self.descriptions.clear()
        self._with_back = {
            front.name: None for front, back in configuration.proxies if front and back
        }
        for either in configuration.proxies:
            for side in either:
                if side is not None and side.description:
                    self.descriptions[side.name] = side.description
        pages = {section.name for section in configuration.frontends if section.mode == "http"}
        for name in [name for name in self._uses if name not in pages]:
            del self._uses[name]

    def use_of(self, section: FrontendSection) -> HttpUse:
        """What counts the clients of a section with pages."""
        return self._uses.setdefault(section.name, HttpUse())

    def tell(self, section: FrontendSection, request: PageRequest) -> None:
        """Log a request of a section with pages, as the section wants it."""
        sessions = self._sessions() + sum(use.open_now for use in self._uses.values())
        has_back = section.name in self._with_back
        report = told_of(request, section, sessions, has_back=has_back)
        if report is not None:
            self._log.take(report)

    async def numbers(self) -> tuple[list[StatisticsRow], Mapping[str, Value]]:
        """All rows, and the fields of `show info` by name."""
        answer: tuple[list[StatisticsRow], dict[str, Value]]
        answer = await self._driver.ask(Numbers(self._facts()))
        return answer

    async def hand_in(self, form: bytes) -> str:
        """Do what a form of the page says; return the code of what came of it."""
        code: str = await self._driver.ask(PageForm(form))
        return code

    async def run_line(self, terminal: Terminal, line: str) -> str:
        """Carry out a line of a runtime socket; return what is to be sent."""
        text: str = await self._driver.ask(RuntimeLine(terminal, line, self._facts()))
        return text

    def _facts(self) -> Facts:
        return self._finder.find(self._log.dropped, self._uses)
