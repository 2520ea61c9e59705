"""Reads HAProxy's configuration language into `Configuration`, as far as it concerns TCP.

Owns the keywords: which section takes which, their arguments, what is carried out, what is only
warned about (`daemon`, `log ADDR`, `stats socket`, ...), and that everything else is refused by
file and line. Words and values are `configuration_lexer`'s, the result is `configuration_model`'s.
Sources: configuration.txt of HAProxy 2.6, sections 2 to 5.

Choices
- `listen NAME ADDR:PORT` (the spelling of HAProxy 1.x, which 2.x refuses) is read as a `bind` line,
  and `contimeout`, `clitimeout`, `srvtimeout`, `redispatch` as today's words, with a warning.
- `:8100` and `*:8100` listen on all IPv4 addresses, as HAProxy's users expect: whoever writes that
  has told us to leave loopback. A warning says so. `rabbitry up` itself writes 127.0.0.1.
- A word that protects something (`stats auth`, `chroot`, `acl`, ...) is never ignored but refused.

Invariants: pure; all mistakes of a file are found in one reading, in the order of its lines; a
section's settings are the defaults at the point where it opens, changed by its own lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rabbitry.balancer.configuration.lexer import (
    Mistake,
    read_bind_address,
    read_name,
    read_number,
    read_server_address,
    read_time_us,
    split_words,
)
from rabbitry.balancer.configuration.model import (
    REDISPATCH_ON_LAST_RETRY,
    BackendSection,
    BindLine,
    Configuration,
    ConfigurationError,
    FrontendSection,
    Global,
    ServerLine,
    StatisticsPage,
)

__all__ = ["Configuration", "ConfigurationError", "parse"]

_LATER_SECTIONS = ("frontend", "backend")
_MAXCONN_MAX = 1_000_000
_OLD_TIMEOUTS = {"contimeout": "connect", "clitimeout": "client", "srvtimeout": "server"}
_TIMEOUTS = ("connect", "client", "server", "check")


@dataclass(slots=True)
class _Settings:
    """What `defaults` may say and a section may change. Field names are the sections' own."""

    mode: str = "tcp"
    retries: int = 3
    redispatch: int | None = None
    all_backups: bool = False
    maxconn: int = 2000
    timeouts_us: dict[str, int | None] = field(default_factory=dict)
    tcplog: bool = False
    dontlognull: bool = False
    statistics: StatisticsPage | None = None


@dataclass(slots=True)
class _Section:
    """The section being read. `settings` is the object its lines change."""

    keyword: str
    name: str
    line: int
    settings: _Settings
    told_where: bool = False
    binds: list[BindLine] = field(default_factory=list)
    servers: list[ServerLine] = field(default_factory=list)


def parse(text: str, name: str) -> Configuration:
    """Read the configuration `text` of the file `name` (used only to say where something stands).

    Raises `ConfigurationError` with a line `FILE:LINE: 'WORD' ...: what to do` for every mistake.
    What is read but not carried out stands in the result's `warnings`, in the same form.
    """
    reader = _Reader(name)
    for number, line in enumerate(text.split("\n"), start=1):
        reader.read_line(number, line)
    return reader.finish()


class _Reader:
    """Reads line by line; collects mistakes and warnings instead of stopping at the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 0
        self._problems: list[tuple[int, str]] = []
        self._warnings: list[str] = []
        self._defaults = _Settings()
        self._section: _Section | None = None
        self._skipping = False
        self._listens: list[tuple[int, FrontendSection, BackendSection | None]] = []
        self._maxconn: int | None = None
        proxy: dict[str, Callable[[list[str]], None]] = {
            "mode": self._mode,
            "balance": self._balance,
            "retries": self._retries,
            "maxconn": self._maxconn_of_proxy,
            "timeout": self._timeout,
            "option": self._option,
            "no": self._no,
            "redispatch": self._redispatch_of_old,
            "log": self._log,
            "stats": self._stats,
        }
        proxy.update((old, self._timeout_of_old) for old in _OLD_TIMEOUTS)
        self._keywords: dict[str, dict[str, Callable[[list[str]], None]]] = {
            "global": {
                "log": self._log,
                "maxconn": self._maxconn_of_process,
                "daemon": self._daemon,
                "stats": self._stats_socket,
            },
            "defaults": proxy,
            "listen": proxy | {"bind": self._bind, "server": self._server},
        }

    # --- lines and sections ---------------------------------------------------------------------

    def read_line(self, number: int, line: str) -> None:
        """Read one line; what is wrong with it is kept for `finish`."""
        self._line = number
        try:
            words = split_words(line)
            if words:
                self._read_words(words)
        except Mistake as mistake:
            self._problem(number, mistake)

    def _read_words(self, words: list[str]) -> None:
        keyword = words[0]
        if keyword in ("global", "defaults", "listen", *_LATER_SECTIONS):
            self._close_section()
            self._skipping = True  # until the section has opened without a mistake
            self._open_section(words)
            self._skipping = False
            return
        if self._section is None:
            if not self._skipping:
                raise Mistake(keyword, "stands in no section: begin with global, defaults, listen")
            return
        keywords = self._keywords[self._section.keyword]
        if keyword not in keywords:
            raise Mistake(
                keyword, f"is not known in '{self._section.keyword}': {_hint(keyword, keywords)}"
            )
        keywords[keyword](words)

    def _open_section(self, words: list[str]) -> None:
        keyword = words[0]
        if keyword in _LATER_SECTIONS:
            raise Mistake(keyword, "comes in a later version: write a 'listen' section, it is both")
        if keyword == "listen":
            name = read_name(_argument(words, 1, "a name"))
            section = _Section(keyword, name, self._line, _copy(self._defaults))
            self._section = section
            if len(words) > 2:
                self._bind(["bind", *words[2:]])
            return
        name = ""
        if keyword == "defaults" and len(words) == 2:
            name = read_name(words[1])
        else:
            _at_most(words, 0)
        if keyword == "defaults":
            self._defaults = _Settings()  # a new 'defaults' forgets the one before
        self._section = _Section(keyword, name, self._line, self._defaults)

    def _close_section(self) -> None:
        section, self._section = self._section, None
        if section is None or section.keyword != "listen":
            return
        try:
            self._listens.append((section.line, *self._listen(section)))
        except Mistake as mistake:
            self._problem(section.line, mistake)

    def _listen(self, section: _Section) -> tuple[FrontendSection, BackendSection | None]:
        settings = section.settings
        for line, other, _ in self._listens:
            if other.name == section.name:
                raise Mistake(section.name, f"is the name of line {line} too: choose another")
        if not section.told_where:
            raise Mistake(section.name, "listens nowhere: add 'bind HOST:PORT'")
        statistics = settings.statistics
        if settings.mode == "http":
            if section.servers:
                raise Mistake(section.name, "has mode http and servers: write 'mode tcp'")
            if statistics is None:
                raise Mistake(section.name, "has mode http but no statistics: add 'stats enable'")
        else:
            if statistics is not None:
                statistics = None
                self._warn_at(section.line, "stats", "needs 'mode http': not served here")
            self._warn_missing(section)
        timeouts_us = settings.timeouts_us
        number = len(self._listens) + 2  # HAProxy's first is its own, for the runtime sockets
        front = FrontendSection(
            name=section.name,
            number=number,
            mode=settings.mode,
            binds=tuple(section.binds),
            default_backend=section.name if settings.mode == "tcp" else None,
            maxconn=settings.maxconn,
            timeout_client_us=timeouts_us.get("client"),
            tcplog=settings.tcplog,
            dontlognull=settings.dontlognull,
            statistics=statistics,
        )
        if settings.mode == "http":
            return front, None
        return front, BackendSection(
            name=section.name,
            number=number,
            mode=settings.mode,
            servers=tuple(section.servers),
            retries=settings.retries,
            redispatch=settings.redispatch,
            all_backups=settings.all_backups,
            timeout_connect_us=timeouts_us.get("connect"),
            timeout_server_us=timeouts_us.get("server"),
            timeout_check_us=timeouts_us.get("check"),
        )

    def _warn_missing(self, section: _Section) -> None:
        missing = [
            f"timeout {which}"
            for which in ("connect", "client", "server")
            if which not in section.settings.timeouts_us
        ]
        if missing:
            text = f"has no {', '.join(missing)}: it waits without limit there"
            self._warn_at(section.line, section.name, text)
        if not section.servers:
            self._warn_at(section.line, section.name, "has no server: every client is closed")

    def finish(self) -> Configuration:
        """Close the last section and return the whole, or raise with all that is wrong."""
        self._close_section()
        if not self._listens and not self._problems:
            self._problem(self._line, Mistake("listen", "is missing: add a section 'listen NAME'"))
        if self._problems:
            in_order = sorted(self._problems, key=lambda problem: problem[0])
            raise ConfigurationError(tuple(text for _, text in in_order))
        proxies = tuple((front, back) for _, front, back in self._listens)
        return Configuration(proxies, Global(maxconn=self._maxconn), tuple(self._warnings))

    def _problem(self, line: int, mistake: Mistake) -> None:
        text = f"{self._name}:{line}: '{mistake.word}' {mistake.advice}"
        self._problems.append((line, text))

    def _warn(self, word: str, text: str) -> None:
        self._warn_at(self._line, word, text)

    def _warn_at(self, line: int, word: str, text: str) -> None:
        self._warnings.append(f"{self._name}:{line}: '{word}' {text}")

    @property
    def _open(self) -> _Section:
        assert self._section is not None
        return self._section

    # --- global ---------------------------------------------------------------------------------

    def _maxconn_of_process(self, words: list[str]) -> None:
        _at_most(words, 1)
        self._maxconn = read_number(_argument(words, 1, "a number"), 1, _MAXCONN_MAX)

    def _daemon(self, words: list[str]) -> None:
        _at_most(words, 0)
        self._warn("daemon", "is ignored: the balancer stays in the foreground")

    def _stats_socket(self, words: list[str]) -> None:
        if _argument(words, 1, "'socket'") not in ("socket", "timeout", "maxconn"):
            raise Mistake(words[1], "is not known after 'stats' in 'global': use 'socket'")
        self._warn(f"stats {words[1]}", "is ignored: there is no runtime socket yet")

    def _log(self, words: list[str]) -> None:
        target = _argument(words, 1, "'global' or an address")
        if target != "global":
            self._warn("log", "to an address is ignored: log lines go to standard error")

    # --- defaults and listen --------------------------------------------------------------------

    def _mode(self, words: list[str]) -> None:
        mode = _argument(words, 1, "tcp or http")
        _at_most(words, 1)
        if mode == "amqp":
            raise Mistake(mode, "comes in a later version: write 'mode tcp'")
        if mode not in ("tcp", "http"):
            raise Mistake(mode, "is not a mode: use tcp, or http for a statistics page")
        self._open.settings.mode = mode

    def _balance(self, words: list[str]) -> None:
        algorithm = _argument(words, 1, "roundrobin")
        _at_most(words, 1)
        if algorithm != "roundrobin":
            raise Mistake(algorithm, "is not an algorithm of this version: use 'roundrobin'")

    def _retries(self, words: list[str]) -> None:
        _at_most(words, 1)
        self._open.settings.retries = read_number(_argument(words, 1, "a number"), 0, 1000)

    def _maxconn_of_proxy(self, words: list[str]) -> None:
        _at_most(words, 1)
        number = read_number(_argument(words, 1, "a number"), 1, _MAXCONN_MAX)
        self._open.settings.maxconn = number

    def _timeout(self, words: list[str]) -> None:
        which = _argument(words, 1, "connect, client, server or check")
        _at_most(words, 2)
        if which not in _TIMEOUTS:
            raise Mistake(which, f"is not a timeout of this version: use {', '.join(_TIMEOUTS)}")
        time_us = read_time_us(_argument(words, 2, "a time"))
        self._open.settings.timeouts_us[which] = time_us or None  # 0 means no limit

    def _timeout_of_old(self, words: list[str]) -> None:
        which = _OLD_TIMEOUTS[words[0]]
        self._timeout(["timeout", which, *words[1:]])
        self._warn(words[0], f"is the old spelling: write 'timeout {which}'")

    def _redispatch_of_old(self, words: list[str]) -> None:
        self._option(["option", *words])
        self._warn("redispatch", "is the old spelling: write 'option redispatch'")

    def _no(self, words: list[str]) -> None:
        if _argument(words, 1, "'option'") != "option":
            raise Mistake(words[1], "cannot follow 'no': only 'no option NAME' is known")
        self._set_option(words[1:], on=False)

    def _option(self, words: list[str]) -> None:
        self._set_option(words, on=True)

    def _set_option(self, words: list[str], on: bool) -> None:
        name = _argument(words, 1, "a name")
        settings = self._open.settings
        _at_most(words, 2 if name == "redispatch" and on else 1)
        if name == "redispatch":
            number = REDISPATCH_ON_LAST_RETRY
            if len(words) > 2:
                number = read_number(words[2], -1000, 1000)
            settings.redispatch = number if on and number else None
        elif name == "tcplog":
            settings.tcplog = on
        elif name == "dontlognull":
            settings.dontlognull = on
        elif name == "allbackups":
            settings.all_backups = on
        elif name == "tcpka":
            self._warn("option tcpka", "is ignored: no TCP keepalives are sent")
        elif name == "httplog":
            self._warn("option httplog", "is ignored: requests of the statistics are not logged")
        else:
            known = ("allbackups", "dontlognull", "httplog", "redispatch", "tcpka", "tcplog")
            raise Mistake(name, f"is not an option of this version: {_hint(name, known)}")

    def _stats(self, words: list[str]) -> None:
        what = _argument(words, 1, "enable, uri or refresh")
        page = self._open.settings.statistics or StatisticsPage()
        if what == "enable":
            _at_most(words, 1)
        elif what == "uri":
            _at_most(words, 2)
            uri = _argument(words, 2, "a path")
            if not uri.startswith("/"):
                raise Mistake(uri, "is not a path: begin it with '/'")
            page = replace(page, uri=uri)
        elif what == "refresh":
            _at_most(words, 2)
            refresh_us = read_time_us(_argument(words, 2, "a time"), default_unit="s")
            page = replace(page, refresh_us=refresh_us or None)
        else:
            raise Mistake(what, "is not known after 'stats': use enable, uri, refresh")
        self._open.settings.statistics = page

    # --- listen ---------------------------------------------------------------------------------

    def _bind(self, words: list[str]) -> None:
        self._open.told_where = True  # even if wrongly: one mistake is enough
        for word in _argument(words, 1, "HOST:PORT").split(","):
            address = read_bind_address(word)
            if address.host == "0.0.0.0":
                self._warn(
                    word, "listens on all addresses: write 127.0.0.1 to stay on this machine"
                )
            self._open.binds.append(BindLine(address))
        if len(words) > 2:
            raise Mistake(words[2], "is not known after an address to listen on: remove it")

    def _server(self, words: list[str]) -> None:
        name = read_name(_argument(words, 1, "a name"))
        address = read_server_address(_argument(words, 2, "HOST:PORT"))
        server = ServerLine(name, address)
        rest = words[3:]
        while rest:
            server, rest = _server_word(server, rest)
        if any(other.name == name for other in self._open.servers):
            raise Mistake(name, "is the name of another server of this section: choose another")
        self._open.servers.append(server)


def _server_word(server: ServerLine, rest: list[str]) -> tuple[ServerLine, list[str]]:
    """Carry out the first word of `rest` with its argument; return what is left."""
    word = rest[0]
    if word == "check":
        return replace(server, check=True), rest[1:]
    if word == "backup":
        return replace(server, backup=True), rest[1:]
    if word in ("inter", "fastinter", "downinter"):
        time_us = read_time_us(_argument(rest, 1, "a time"))
        if time_us == 0:
            raise Mistake(rest[1], f"is no time between checks: give '{word}' more than 0")
        if word == "inter":
            return replace(server, inter_us=time_us), rest[2:]
        if word == "fastinter":
            return replace(server, fastinter_us=time_us), rest[2:]
        return replace(server, downinter_us=time_us), rest[2:]
    if word == "rise":
        return replace(server, rise=read_number(_argument(rest, 1, "a number"), 1, 1000)), rest[2:]
    if word == "fall":
        return replace(server, fall=read_number(_argument(rest, 1, "a number"), 1, 1000)), rest[2:]
    if word == "weight":
        weight = read_number(_argument(rest, 1, "a number"), 0, 256)
        return replace(server, weight=weight), rest[2:]
    known = ("check", "inter", "fastinter", "downinter", "rise", "fall", "weight", "backup")
    raise Mistake(word, f"is not known on a 'server' line: {_hint(word, known)}")


def _argument(words: list[str], index: int, what: str) -> str:
    if len(words) <= index or words[index] == "":
        raise Mistake(" ".join(words[:index]), f"needs {what} behind it: add it")
    return words[index]


def _at_most(words: list[str], arguments: int) -> None:
    if len(words) > arguments + 1:
        raise Mistake(words[arguments + 1], f"is one word too many after '{words[0]}': remove it")


def _hint(word: str, known: Sequence[str] | dict[str, Callable[[list[str]], None]]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(known)}"


def _copy(settings: _Settings) -> _Settings:
    return replace(settings, timeouts_us=dict(settings.timeouts_us))
