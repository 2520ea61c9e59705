"""What is known while a file is read: the section at hand, its settings, mistakes and warnings.

Owns `Reading`, which every keyword is handed, and the drafts that keywords change. Knows no
keyword. `reader` drives it, `assembling` makes the `Configuration` of its sections.

Settings are frozen values which keywords replace, so a section takes those of its `defaults` by
reference and can change nobody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from rabbitry.balancer.configuration.lexer import Mistake
from rabbitry.balancer.configuration.model import (
    BackendSection,
    BindLine,
    BindTls,
    CheckStep,
    FrontendSection,
    Global,
    Keepalive,
    LogTarget,
    ServerLine,
    ServerTls,
    StatisticsPage,
)
from rabbitry.machine import Address

Value = TypeVar("Value")

MISTAKES_MAX = 1000
WARNINGS_MAX = 10_000
NOWHERE = Address("", 0)
"""Of prototypes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands. Files are counted from 0; places are in the order of reading."""

    file: int
    line: int


@dataclass(frozen=True, slots=True)
class ServerDraft:
    """A `server` or `default-server` line as its words leave it.

    `line` has what needs nothing else; the rest is folded into it when the line is at its end:
    `tls` counts if `ssl`, for checks if `check_ssl` (None: as traffic does); `addr` and `port` are
    those words, None and 0 where there are none.
    """

    line: ServerLine = field(default_factory=lambda: ServerLine("", NOWHERE))
    ssl: bool = False
    check_ssl: bool | None = None
    check_sni: str | None = None
    check_alpn: tuple[str, ...] = ()
    tls: ServerTls = field(default_factory=lambda: ServerTls(verify=""))
    addr: str | None = None
    port: int = 0
    agent_addr: str | None = None
    agent_port: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What `defaults` may say and a section takes from it. `front` and `back` are prototypes.

    `logs` has the `log` lines, "global" for those of `global`. `default_backend` has the place of
    its line. `steps` are the `tcp-check` lines, used if there is `option tcp-check`; `maxconn` is 0
    where there is none.
    """

    front: FrontendSection = field(default_factory=lambda: FrontendSection("", 0, "tcp", ()))
    back: BackendSection = field(default_factory=lambda: BackendSection("", 0, "tcp"))
    server: ServerDraft = field(default_factory=ServerDraft)
    page: StatisticsPage | None = None
    logs: tuple[LogTarget | str, ...] = ()
    default_backend: tuple[str, Place] | None = None
    source: Address | None = None
    maxconn: int = 0
    client_keepalive: bool = False
    server_keepalive: bool = False
    client_probes: Keepalive = field(default_factory=Keepalive)
    server_probes: Keepalive = field(default_factory=Keepalive)
    steps: tuple[CheckStep, ...] = ()
    disabled: bool = False


@dataclass(slots=True)
class Section:
    """The section being read, and what it has collected."""

    keyword: str  # global, defaults, frontend, backend, listen
    name: str
    place: Place
    settings: Settings = field(default_factory=Settings)
    number: int | None = None  # of an `id` line
    description: str | None = None
    first_backend: tuple[str, Place] | None = None  # of `use_backend` without a condition
    told_where: bool = False
    binds: list[BindLine] = field(default_factory=list)
    # With the TLS words of each: a `tcp-check connect ssl` goes by them where there is no `ssl`.
    servers: list[tuple[ServerLine, Place, ServerTls]] = field(default_factory=list)
    own_page: bool = False
    own_steps: bool = False

    @property
    def is_front(self) -> bool:
        """Whether clients come in here (or may: in what takes these `defaults`)."""
        return self.keyword != "backend"

    @property
    def is_back(self) -> bool:
        """Whether there are servers here (or may be: in what takes these `defaults`)."""
        return self.keyword != "frontend"

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **changes)

    def set_front(self, **changes: Any) -> None:
        """Change settings of the frontend."""
        self.set(front=replace(self.settings.front, **changes))

    def set_back(self, **changes: Any) -> None:
        """Change settings of the backend."""
        self.set(back=replace(self.settings.back, **changes))


@dataclass(slots=True)
class Process:
    """What `global` has said so far, and what only the rest of the files is read by."""

    settings: Global = field(default_factory=Global)
    counts_as_proxy_at: int | None = None  # before which section HAProxy's own GLOBAL stands
    unix: BindLine = field(
        default_factory=lambda: BindLine(NOWHERE)
    )  # mode, user, group of `unix-bind`
    unix_prefix: str = ""
    certificates_in: str = ""
    authorities_in: str = ""
    bind_tls: BindTls = field(default_factory=lambda: BindTls(()))
    server_tls: ServerTls = field(default_factory=lambda: ServerTls(verify=""))
    verify_servers: str = "required"
    sockets: int = 0  # of all `bind` lines
    processes: dict[str, int] = field(default_factory=dict)  # what nbthread, nbproc said
    log_targets: tuple[LogTarget, ...] = ()
    said: set[str] = field(default_factory=set)  # words that may be said once; only asked for


class Reading:
    """Where the reader is and what it has found. One for all files of a configuration."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment: dict[str, str] = dict(environment)
        self.process = Process()
        self.sections: list[Section] = []
        self.section: Section | None = None
        self.place = Place(0, 0)
        self._files: list[str] = []
        self._mistakes: list[tuple[Place, str]] = []
        self._warnings: list[tuple[Place, str]] = []
        self._fronts: dict[str, Section] = {}
        self._backs: dict[str, Section] = {}
        self.ids: dict[int, Section] = {}
        self.resolvers: list[tuple[str, ...]] = []  # the words of such sections' lines

    def open_file(self, name: str) -> None:
        """Begin with the next file."""
        self._files.append(name)
        self.place = Place(len(self._files) - 1, 0)

    def open_proxy(self, section: Section) -> None:
        """Go on in a new proxy. A name may be had by one frontend and one backend."""
        other = None
        if section.is_front:
            other = self._fronts.setdefault(section.name, section)
        if section.is_back and other in (None, section):
            other = self._backs.setdefault(section.name, section)
        self.sections.append(section)
        self.section = section
        if other is not section and other is not None:
            where = self.where(other.place)
            mistake = Mistake(section.name, f"is the name of {where} too: choose another")
            self.refuse(mistake)

    @property
    def here(self) -> Section:
        """The section at hand; a keyword is read in one."""
        assert self.section is not None
        return self.section

    def where(self, place: Place) -> str:
        """Say where a place is: FILE:LINE."""
        return f"{self._files[place.file]}:{place.line}"

    def refuse(self, mistake: Mistake, place: Place | None = None) -> None:
        """Keep what is wrong at a place (here, if not told), and go on."""
        place = place or self.place
        if len(self._mistakes) < MISTAKES_MAX:
            word = _one_line(mistake.word)
            self._mistakes.append((place, f"{self.where(place)}: '{word}' {mistake.advice}"))

    def warn(self, word: str, text: str, place: Place | None = None) -> None:
        """Keep a warning about a word at a place (here, if not told)."""
        if len(self._warnings) < WARNINGS_MAX:
            place = place or self.place
            line = f"{self.where(place)}: '{_one_line(word)}' {text}"
            self._warnings.append((place, line))

    def ignore(self, words: list[str], why: str) -> None:
        """Warn that a line is not carried out."""
        word = " ".join(words[:2]) if words[0] in ("option", "timeout", "stats") else words[0]
        self.warn(word, f"is ignored: {why}")

    @property
    def mistakes(self) -> tuple[str, ...]:
        """All that is wrong, in the order of files and lines."""
        return tuple(text for _, text in sorted(self._mistakes, key=_by_place))

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that was read but is not carried out."""
        return tuple(text for _, text in sorted(self._warnings, key=_by_place))


Keyword = Callable[[Reading, list[str]], None]
"""Carries out a line, given by its words. Raises `Mistake`."""


def changed(value: Value, **changes: Any) -> Value:
    """A frozen value with fields replaced whose names are data, as `dataclasses.replace`."""
    return replace(value, **changes)  # type: ignore[type-var]


def _by_place(found: tuple[Place, str]) -> tuple[int, int]:
    return found[0].file, found[0].line


def _one_line(word: str) -> str:
    """Show a word on one line, shortened if it is very long."""
    shown = "".join(char if char.isprintable() else "?" for char in word[:80])
    return shown if len(word) <= 80 else shown + "..."
