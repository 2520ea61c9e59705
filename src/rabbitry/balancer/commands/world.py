"""What commands act upon, and how one says that it will not.

Owns the hand-over of the balancer's rooms to the commands, finding proxies and servers by name with
HAProxy's answers where there is none (src/server.c, `cli_find_server`; src/proxy.c), and the shape
of a command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rabbitry.balancer.backends import Backend
from rabbitry.balancer.checks import Checks
from rabbitry.balancer.commands.terminal import Terminal
from rabbitry.balancer.proxies import Proxies
from rabbitry.balancer.relay import Relay
from rabbitry.balancer.servers import Server
from rabbitry.balancer.session import Frontend
from rabbitry.balancer.statistics.gathering import rows_of
from rabbitry.balancer.statistics.http_use import fill_http_rows
from rabbitry.balancer.statistics.process import Facts, ProcessCounters
from rabbitry.balancer.statistics.rows import StatisticsRow
from rabbitry.balancer.transitions import Transitions
from rabbitry.machine import Effect

SYSLOG_NUMBERS = {"err": 3, "warning": 4, "notice": 5, "info": 6}


class Said(Exception):
    """Ends a command with a message of a severity; most are refusals (`err`)."""

    def __init__(self, text: str, severity: str = "err") -> None:
        super().__init__(text)
        self.text = text
        self.severity = severity

    def shown_to(self, terminal: Terminal) -> str:
        """The message, behind its severity where the terminal wants that."""
        if terminal.severity == "number":
            return f"[{SYSLOG_NUMBERS[self.severity]}]: {self.text}"
        if terminal.severity == "string":
            return f"[{self.severity}]: {self.text}"
        return self.text


@dataclass(slots=True)
class World:
    """The rooms of a balancer. `facts` is what the world outside knows, newest at each line."""

    proxies: Proxies
    transitions: Transitions
    checks: Checks
    relay: Relay
    counters: ProcessCounters
    out: list[Effect]
    facts: Facts

    def rows(self, now: int) -> list[StatisticsRow]:
        """All rows of the statistics."""
        proxies, sessions = self.proxies, self.relay.sessions
        rows = rows_of(
            proxies.frontends, proxies.backends, proxies.listeners.values(), sessions, now
        )
        fill_http_rows(rows, self.facts.pages, now)
        return rows

    def server(self, name: str) -> tuple[Backend, Server]:
        """The server of this BACKEND/SERVER. Raises `Said`."""
        backend_name, _, server_name = name.partition("/")
        if not backend_name or not server_name:
            raise Said("Require 'backend/server'.\n")
        backend = self.find_backend(backend_name)
        if backend is None:
            raise Said("No such backend.\n")
        for server in backend.servers:
            if server.name == server_name:
                if backend.section.disabled:
                    raise Said("Proxy is disabled.\n")
                return backend, server
        raise Said("No such server.\n")

    def find_backend(self, name: str) -> Backend | None:
        """The backend of this name, or #NUMBER."""
        for backend in self.proxies.backends:
            if name in (backend.section.name, f"#{backend.section.number}"):
                return backend
        return None

    def frontend(self, name: str) -> Frontend:
        """The frontend of this name. Raises `Said`."""
        if not name:
            raise Said("A frontend name is expected.\n")
        for frontend in self.proxies.frontends:
            if name in (frontend.section.name, f"#{frontend.section.number}"):
                return frontend
        raise Said("No such frontend.\n")

    def proxy_number(self, name: str) -> int | None:
        """The number of the proxy of this name or number; None: all (-1). Raises `Said`."""
        for section in self.proxies.configuration.proxies:
            for side in section:
                if side is not None and name == side.name:
                    return side.number
        number = leading_number(name)
        if not number:
            raise Said("No such proxy.\n")
        return None if number == -1 else number


@dataclass(frozen=True, slots=True)
class Call:
    """One command that is to be carried out. `words` has all of it."""

    words: list[str]
    terminal: Terminal
    now: int

    def word(self, place: int) -> str:
        """A word; empty where there is none."""
        return self.words[place] if place < len(self.words) else ""


@dataclass(frozen=True, slots=True)
class Command:
    """`keywords` begin its line, `usage` is its line of `help`, `level` is what it asks for.

    `run` returns the answer, or raises `Said`.
    """

    keywords: str
    usage: str
    level: str
    run: Callable[[World, Call], str]

    @property
    def first_words(self) -> list[str]:
        """The words of `keywords`."""
        return self.keywords.split()


def leading_number(text: str) -> int:
    """The number a text begins with, as C's `atoi` has it: 0 where there is none."""
    sign = text[:1] if text[:1] in ("-", "+") else ""
    digits = ""
    for char in text[len(sign) :]:
        if not "0" <= char <= "9":
            break
        digits += char
    return int(sign + digits[:18]) if digits else 0


def is_number(text: str) -> bool:
    """Whether a text begins with a number, as C's `strtol` has it."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    return "0" <= rest[:1] <= "9"
